// Text of libFFM files in Python; `ffm_text.py` says what the arguments mean.

#include <stdexcept>

#include "arrays.hpp"
#include "text.hpp"

namespace skwfm {

namespace {

using Text = Array<uint8_t>;

const char* begin_of(const Text& text) {
    return reinterpret_cast<const char*>(text.data());
}

template <class T>
py::tuple parse_text(Text text, int64_t n_fields, int64_t n_features,
                     Array<double> labels, Array<int64_t> ends, Array<int64_t> lines,
                     Array<int64_t> keys, Array<T> values) {
    // The shortest row is "1\n", the shortest entry " 0:0:1".
    const int64_t n = text.size(), rows = n / 2 + 1, entries = n / 6 + 1;
    if (std::min({labels.size(), ends.size(), lines.size()}) < rows ||
        std::min(keys.size(), values.size()) < entries)
        throw std::length_error("arrays too short for the text");
    Parsed<T> out{labels.mutable_data(), ends.mutable_data(), lines.mutable_data(),
                  keys.mutable_data(), values.mutable_data()};
    const char* const p = begin_of(text);
    const Limits limits{uint64_t(n_fields), uint64_t(n_features)};
    {
        py::gil_scoped_release release;
        parse(p, p + n, limits, out);
    }
    const bool good = out.fault == Fault::none;
    return py::make_tuple(out.n_rows, out.n_entries, out.n_lines, int(out.fault),
                          good ? 0 : out.begin - p, good ? 0 : out.end - p);
}

py::tuple find_in_table(Array<int64_t> keys, Array<int32_t> slots, Array<int64_t> known,
                        int64_t n_known, bool by_feature, bool add, Array<int32_t> out) {
    Columns columns{slots.mutable_data(), uint64_t(slots.size()) - 1,
                    known.mutable_data(), n_known, by_feature};
    const int64_t n = keys.size(), most = n_known + (add ? n : 0);
    const bool is_power = slots.size() > 0 && !(slots.size() & (slots.size() - 1));
    if (!is_power || slots.size() <= 2 * most || known.size() < most || out.size() < n)
        throw std::length_error("table too small for the keys");
    const int64_t* wanted = keys.data();
    int32_t* found = out.mutable_data();
    int64_t done;
    {
        py::gil_scoped_release release;
        done = find_columns(columns, wanted, n, add, found);
    }
    return py::make_tuple(done, columns.n);
}

#ifdef SKWFM_WRITES_TEXT
template <class T>
int64_t format_text(Array<double> labels, Array<int64_t> indptr, Array<int32_t> indices,
                    Array<T> values, Array<int32_t> fields, Array<int32_t> features,
                    int64_t first, int64_t last, Text out) {
    const int64_t* p = indptr.data();
    if (out.size() < 26 * (last - first) + 48 * (p[last] - p[first]))
        throw std::length_error("no room for the text");
    char* const begin = reinterpret_cast<char*>(out.mutable_data());
    const double* y = labels.data();
    const int32_t *j = indices.data(), *f = fields.data(), *id = features.data();
    const T* x = values.data();
    char* const end = begin + out.size();
    py::gil_scoped_release release;
    return write_rows(begin, end, y, p, j, x, f, id, first, last) - begin;
}
#endif

template <class T>
void bind_of(py::module_& m) {
    using namespace py::literals;
    m.def("parse_text", parse_text<T>, "text"_a.noconvert(), "n_fields"_a,
          "n_features"_a, "labels"_a.noconvert(), "ends"_a.noconvert(),
          "lines"_a.noconvert(), "keys"_a.noconvert(), "values"_a.noconvert());
#ifdef SKWFM_WRITES_TEXT
    m.def("format_text", format_text<T>, "labels"_a.noconvert(), "indptr"_a.noconvert(),
          "indices"_a.noconvert(), "values"_a.noconvert(), "fields"_a.noconvert(),
          "features"_a.noconvert(), "first"_a, "last"_a, "out"_a.noconvert());
#endif
}

}  // namespace

void bind_text(py::module_& m) {
    using namespace py::literals;
    bind_of<float>(m);
    bind_of<double>(m);
    m.def("find_columns", find_in_table, "keys"_a.noconvert(), "slots"_a.noconvert(),
          "known"_a.noconvert(), "n_known"_a, "by_feature"_a, "add"_a,
          "out"_a.noconvert());
}

}  // namespace skwfm
