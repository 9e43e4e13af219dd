// Mini-batches in Python: the gradient of given scores and the steps of optimizers.
// Rows are cut as for `score`; a gradient has rows for all labels or for those of the
// batch. Callers check all input; nothing here words errors.

#include "arrays.hpp"
#include "unique.hpp"

namespace skwfm {

namespace {

template <class T>
T* writable(Maybe<T>& array) {
    return array ? array->mutable_data() : nullptr;
}

// Rows the gradient has, where they are those of the batch's labels.
template <class T>
int64_t n_touched(const Maybe<T>& factors, const Maybe<T>& linear) {
    return factors ? factors->shape(0) : linear ? linear->shape(0) : 0;
}

template <class T>
void gradient(bool field_aware, int n_factors, int n_fields, int n_outputs,
              bool intra_field, Maybe<int64_t> offsets, Maybe<int64_t> indptr,
              Array<int32_t> indices, Array<T> values, int64_t n_rows,
              Array<T> factors, Maybe<T> linear, Array<T> of_scores,
              Maybe<int32_t> place, Maybe<T> out_factors, Maybe<T> out_linear,
              Maybe<T> out_weights) {
    const Rows<T> rows{pointer(indptr), indices.data(), values.data(), nullptr, 0,
                       n_rows};
    const Cut cut{nullptr, nullptr, pointer(offsets), n_fields};
    const Model<T> model{field_aware ? Pairs::ffm : Pairs::fm, factors.data(),
                         factors.shape(1), -1, pointer(linear), n_outputs, 1, nullptr,
                         n_factors, n_outputs, intra_field};
    Gradient<T> out{writable(out_factors), writable(out_linear), writable(out_weights),
                    pointer(place), nullptr};
    const T* derivative = of_scores.data();
    const int64_t n_places = place ? n_touched(out_factors, out_linear) : 0;
    py::gil_scoped_release release;
    std::vector<char> touched(n_places);
    if (n_places) out.touched = touched.data();
    const int64_t most = max_entries(rows, cut);
    const Block scratch = aligned(scratch_bytes(cut, model, most));
    kernels<T>().gradient(rows, cut, model, derivative, out, {most, scratch.get()});
}

// Calls step(part of the gradient) in threads: no two of them touch the same row.
template <class T, class Step>
void step_rows(const RowGradient<T>& whole, int n_threads, Step step) {
    const int64_t n = whole.end - whole.begin;
    in_threads(n_threads, [&](int t) {
        RowGradient<T> part = whole;
        part.begin = whole.begin + n * t / n_threads;
        part.end = whole.begin + n * (t + 1) / n_threads;
        step(part);
    });
}

template <class T>
RowGradient<T> row_gradient(const Maybe<int64_t>& labels, const Array<T>& values) {
    return {pointer(labels), values.data(), 0, values.shape(0), values.shape(1)};
}

template <class T>
void bind_of(py::module_& m) {
    using namespace py::literals;
    m.def("gradient", gradient<T>, "field_aware"_a, "n_factors"_a, "n_fields"_a,
          "n_outputs"_a, "intra_field"_a, "offsets"_a.noconvert(),
          "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
          "n_rows"_a, "factors"_a.noconvert(), "linear"_a.noconvert(),
          "of_scores"_a.noconvert(), "place"_a.noconvert(), "out_factors"_a.noconvert(),
          "out_linear"_a.noconvert(), "out_weights"_a.noconvert());
    m.def(
        "adagrad_step",
        [](Maybe<int64_t> labels, Array<T> values, Array<T> table, Array<T> states,
           bool per_row, T rate, T eps, int n_threads) {
            const RowGradient<T> whole = row_gradient(labels, values);
            T *parameters = table.mutable_data(), *sums = states.mutable_data();
            py::gil_scoped_release release;
            step_rows(whole, n_threads, [&](const RowGradient<T>& part) {
                kernels<T>().adagrad(part, parameters, sums, {rate, eps, per_row});
            });
        },
        "labels"_a.noconvert(), "values"_a.noconvert(), "table"_a.noconvert(),
        "states"_a.noconvert(), "per_row"_a, "rate"_a, "eps"_a, "n_threads"_a);
    m.def(
        "adam_step",
        [](Maybe<int64_t> labels, Array<T> values, Array<T> table, Array<T> means,
           Array<T> squares, T rate, T eps, T beta1, T beta2, int n_threads) {
            const RowGradient<T> whole = row_gradient(labels, values);
            T *parameters = table.mutable_data(), *first = means.mutable_data();
            T* second = squares.mutable_data();
            py::gil_scoped_release release;
            step_rows(whole, n_threads, [&](const RowGradient<T>& part) {
                kernels<T>().adam(part, parameters, first, second,
                                  {rate, eps, beta1, beta2});
            });
        },
        "labels"_a.noconvert(), "values"_a.noconvert(), "table"_a.noconvert(),
        "means"_a.noconvert(), "squares"_a.noconvert(), "rate"_a, "eps"_a, "beta1"_a,
        "beta2"_a, "n_threads"_a);
}

}  // namespace

void bind_batch(py::module_& m) {
    using namespace py::literals;
    bind_of<float>(m);
    bind_of<double>(m);
    m.def(
        "unique_labels",
        [](Array<int32_t> indices, int64_t n_features, Array<int64_t> unique,
           Array<int32_t> place) {
            const int32_t* labels = indices.data();
            const int64_t n = indices.size();
            int64_t* out = unique.mutable_data();
            int32_t* places = place.mutable_data();
            py::gil_scoped_release release;
            return unique_labels(labels, n, n_features, out, places);
        },
        "indices"_a.noconvert(), "n_features"_a, "unique"_a.noconvert(),
        "place"_a.noconvert());
}

}  // namespace skwfm
