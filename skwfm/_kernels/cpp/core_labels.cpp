// Labels of bags in Python; `labels.py` says what the arguments mean.

#include <stdexcept>

#include "arrays.hpp"
#include "labels.hpp"

namespace skwfm {

namespace {

using Text = Array<uint8_t>;

const char* begin_of(const Text& text) {
    return reinterpret_cast<const char*>(text.data());
}

int32_t number_of(PyObject* index, PyObject* label) {
    PyObject* known = PyDict_GetItemWithError(index, label);  // borrowed
    if (known) return int32_t(PyLong_AsLong(known));
    if (PyErr_Occurred()) throw py::error_already_set();
    const Py_ssize_t size = PyDict_Size(index);
    const auto number = py::reinterpret_steal<py::object>(PyLong_FromSsize_t(size));
    if (!number || PyDict_SetItem(index, label, number.ptr()))
        throw py::error_already_set();
    return int32_t(size);
}

void number_objects(py::dict index, py::list bags, Array<int32_t> codes) {
    int32_t* const out = codes.mutable_data();
    const int64_t room = codes.size();
    int64_t n = 0;
    // A hash or a comparison may run any code, and that may change list and bags.
    const auto add = [&](PyObject* label) {
        if (n >= room) throw std::length_error("more labels than were counted");
        const auto held = py::reinterpret_borrow<py::object>(label);
        out[n++] = number_of(index.ptr(), label);
    };
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(bags.ptr()); i++) {
        const auto bag =
            py::reinterpret_borrow<py::object>(PyList_GET_ITEM(bags.ptr(), i));
        if (PyList_CheckExact(bag.ptr())) {
            for (Py_ssize_t e = 0; e < PyList_GET_SIZE(bag.ptr()); e++)
                add(PyList_GET_ITEM(bag.ptr(), e));
        } else if (PyTuple_CheckExact(bag.ptr())) {
            for (Py_ssize_t e = 0; e < PyTuple_GET_SIZE(bag.ptr()); e++)
                add(PyTuple_GET_ITEM(bag.ptr(), e));
        } else {
            for (py::handle label : bag) add(label.ptr());
        }
    }
    if (n < room) throw std::length_error("fewer labels than were counted");
}

int64_t number_pieces(Text text, Text sep, Array<int32_t> codes, Array<int64_t> sizes,
                      Array<int64_t> bounds) {
    if (!sep.size()) throw std::invalid_argument("an empty separator");
    const int64_t room = std::min(codes.size(), bounds.size() / 2), rows = sizes.size();
    int32_t* const code = codes.mutable_data();
    int64_t* const size = sizes.mutable_data();
    Pieces pieces(begin_of(text), bounds.mutable_data());
    int64_t n = 0, row = 0, before = 0;
    py::gil_scoped_release release;
    split_rows(
        begin_of(text), text.size(), begin_of(sep), sep.size(),
        [&](int64_t begin, int64_t end) {
            if (n >= room) throw std::length_error("no room for the pieces");
            code[n++] = pieces.number(begin, end);
        },
        [&] {
            if (row < rows) size[row] = n - before;
            row++;
            before = n;
        });
    return row == rows ? pieces.size() : -1;
}

template <class T>
int64_t number_texts(Text text, Array<T> ends, Array<int32_t> codes,
                     Array<int64_t> bounds) {
    const int64_t n = codes.size();
    if (ends.size() != n + 1 || bounds.size() < 2 * n)
        throw std::length_error("no room for the texts");
    const T* end = ends.data();
    for (int64_t e = 0; e < n; e++)
        if (end[e] < 0 || end[e] > end[e + 1])
            throw std::invalid_argument("texts that end before they begin");
    if (int64_t(end[n]) > text.size()) throw std::length_error("texts beyond the end");
    int32_t* const code = codes.mutable_data();
    Pieces pieces(begin_of(text), bounds.mutable_data());
    py::gil_scoped_release release;
    for (int64_t e = 0; e < n; e++) code[e] = pieces.number(end[e], end[e + 1]);
    return pieces.size();
}

bool canonical(Array<int64_t> indptr, Array<int32_t> columns, Array<int32_t> codes,
               Array<double> weights, bool weighted, Array<int64_t> ends) {
    if (ends.size() != indptr.size() || weights.size() != codes.size())
        throw std::length_error("arrays of different lengths");
    int32_t* const code = codes.mutable_data();
    double* const weight = weights.mutable_data();
    int64_t* const end = ends.mutable_data();
    py::gil_scoped_release release;
    return canonical_rows(indptr.data(), indptr.size() - 1, columns.data(), code, weight,
                          weighted, end);
}

}  // namespace

void bind_labels(py::module_& m) {
    using namespace py::literals;
    m.def("number_objects", number_objects, "index"_a, "bags"_a, "codes"_a.noconvert());
    m.def("number_pieces", number_pieces, "text"_a.noconvert(), "sep"_a.noconvert(),
          "codes"_a.noconvert(), "sizes"_a.noconvert(), "bounds"_a.noconvert());
    m.def("number_texts", number_texts<int32_t>, "text"_a.noconvert(),
          "ends"_a.noconvert(), "codes"_a.noconvert(), "bounds"_a.noconvert());
    m.def("number_texts", number_texts<int64_t>, "text"_a.noconvert(),
          "ends"_a.noconvert(), "codes"_a.noconvert(), "bounds"_a.noconvert());
    m.def("canonical_rows", canonical, "indptr"_a.noconvert(), "columns"_a.noconvert(),
          "codes"_a.noconvert(), "weights"_a.noconvert(), "weighted"_a,
          "ends"_a.noconvert());
}

}  // namespace skwfm
