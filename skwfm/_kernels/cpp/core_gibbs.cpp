// Sweeps of the Gibbs sampler in Python. Callers check all input; nothing here words
// errors.

#include "arrays.hpp"

#include <tuple>

namespace skwfm {

namespace {

template <class T>
Csc<T> columns_of(const Array<int64_t>& indptr, const Array<int32_t>& rows,
                  const Maybe<T>& values) {
    return {indptr.data(), rows.data(), pointer(values)};
}

// Where no sums are kept: indptr, labels and values of the rows, the blocks of all labels,
// and the last members of `Others`.
template <class T>
using RowLabels = std::tuple<Maybe<int64_t>, Array<int32_t>, Maybe<T>, Array<T>, int64_t,
                             int64_t, int64_t, bool>;

template <class T>
Others<T> others_of(const std::optional<RowLabels<T>>& rows) {
    if (!rows) return {};
    const auto& [indptr, labels, values, table, length, first, end, inside] = *rows;
    return {pointer(indptr), labels.data(), pointer(values), table.data(),
            length,          first,         end,             inside};
}

template <class T>
Chain<T> chain_of(Array<T>& blocks, Maybe<T>& sums, Array<T>& residuals,
                  const Maybe<T>& row_scale, int n_factors,
                  const std::optional<RowLabels<T>>& others) {
    return {blocks.mutable_data(),
            blocks.shape(1),
            sums ? sums->mutable_data() : nullptr,
            residuals.mutable_data(),
            pointer(row_scale),
            n_factors,
            (n_factors + 3) / 4 * 4,
            blocks.shape(1) > n_factors,
            others_of<T>(others)};
}

// Calls f(first, end, scratch) for stretches of labels or bags of which no two share a
// row.
template <class T, class F>
void in_labels(int64_t first, int64_t end, int n_factors, int n_threads, F f) {
    const int64_t bytes = (sweep_bytes(n_factors, sizeof(T)) + 63) / 64 * 64;
    const Block scratch = aligned(bytes * n_threads);
    const int64_t n = end - first;
    const int64_t part = std::clamp<int64_t>(n / (64 * n_threads), 1, 64);
    const int64_t stretch = n_threads == 1 ? std::max<int64_t>(n, 1) : part;
    in_stretches(n, stretch, n_threads, [&](int t, int64_t a, int64_t b) {
        f(first + a, first + b, scratch.get() + bytes * t);
    });
}

// Draws the blocks of some labels; returns how many went well. With several threads no
// two labels may share a row.
template <class T>
int64_t sweep(Array<int64_t> indptr, Array<int32_t> rows, Maybe<T> values, Array<T> blocks,
              Maybe<T> sums, std::optional<RowLabels<T>> others, Array<T> residuals,
              Maybe<T> row_scale, int n_factors, Array<double> precision,
              Array<double> mean, Array<int32_t> groups, double noise_precision,
              uint64_t key, bool draws, double overrelaxation, bool own_in_sums,
              int64_t first, int64_t end, int n_threads) {
    const Csc<T> columns = columns_of(indptr, rows, values);
    const Chain<T> chain = chain_of<T>(blocks, sums, residuals, row_scale, n_factors, others);
    const Prior prior{precision.data(), mean.data(), groups.data(), noise_precision, key,
                      draws, overrelaxation, own_in_sums};
    py::gil_scoped_release release;
    std::atomic<int64_t> done{end - first};
    in_labels<T>(first, end, n_factors, n_threads, [&](int64_t a, int64_t b, char* scratch) {
        const int64_t good = a - first + kernels<T>().sweep(columns, chain, prior, a, b,
                                                            scratch);
        if (good == b - first) return;
        int64_t least = done.load();
        while (good < least && !done.compare_exchange_weak(least, good)) {}
    });
    return done;
}

template <class T>
void collect_bags(Array<int64_t> indptr, Array<int32_t> rows, Array<T> blocks,
                  Maybe<T> sums, std::optional<RowLabels<T>> others, Array<T> residuals,
                  Maybe<T> row_scale, int n_factors, Array<double> squares,
                  Array<double> errors, int n_threads) {
    const Csc<T> members{indptr.data(), rows.data(), nullptr};
    const Chain<T> chain = chain_of<T>(blocks, sums, residuals, row_scale, n_factors, others);
    const Moments moments{squares.mutable_data(), errors.mutable_data()};
    const int64_t n = blocks.shape(0);
    py::gil_scoped_release release;
    in_labels<T>(0, n, n_factors, n_threads, [&](int64_t a, int64_t b, char* scratch) {
        kernels<T>().collect_bags(members, chain, moments, a, b, scratch);
    });
}

template <class T>
int64_t sweep_bags(Array<int64_t> indptr, Array<int32_t> bags, Maybe<T> values,
                   Array<T> blocks, int n_factors, Array<double> squares,
                   Array<double> errors, Array<double> precision, Array<double> mean,
                   Array<int32_t> groups, double noise_precision, uint64_t key, bool draws,
                   double overrelaxation, int64_t first, int64_t end) {
    const Csc<T> columns = columns_of(indptr, bags, values);
    const Chain<T> chain{blocks.mutable_data(), blocks.shape(1), nullptr, nullptr, nullptr,
                         n_factors, n_factors, blocks.shape(1) > n_factors, {}};
    const Prior prior{precision.data(), mean.data(), groups.data(), noise_precision, key,
                      draws, overrelaxation, true};
    const Moments moments{squares.mutable_data(), errors.mutable_data()};
    py::gil_scoped_release release;
    const Block scratch = aligned(sweep_bytes(n_factors, sizeof(T)));
    return kernels<T>().sweep_bags(columns, chain, prior, moments, first, end,
                                   scratch.get());
}

template <class T>
void correct_bags(Array<int64_t> indptr, Array<int32_t> rows, Array<T> before,
                  Array<T> blocks, Maybe<T> sums, std::optional<RowLabels<T>> others,
                  Array<T> residuals, int n_factors, int n_threads) {
    const Csc<T> members{indptr.data(), rows.data(), nullptr};
    const Chain<T> chain = chain_of<T>(blocks, sums, residuals, {}, n_factors, others);
    const T* old = before.data();
    const int64_t n = blocks.shape(0);
    py::gil_scoped_release release;
    in_labels<T>(0, n, n_factors, n_threads, [&](int64_t a, int64_t b, char* scratch) {
        kernels<T>().correct_bags(members, chain, old, a, b, scratch);
    });
}

// The sum of c e^2 of the rows of each label, or all c of a label's rows times a factor;
// no two labels share a row.
template <class T>
void scale_labels(Array<int64_t> indptr, Array<int32_t> rows, Array<T> residuals,
                  Array<T> row_scale, Maybe<double> squares, Maybe<double> factor,
                  int64_t first, int64_t end, int n_threads) {
    const Csc<T> columns{indptr.data(), rows.data(), nullptr};
    Chain<T> chain{};
    chain.residuals = residuals.mutable_data();
    double* out = squares ? squares->mutable_data() - first : nullptr;
    const double* by = factor ? factor->data() - first : nullptr;
    T* scale = row_scale.mutable_data();
    py::gil_scoped_release release;
    in_labels<T>(first, end, 1, n_threads, [&](int64_t a, int64_t b, char*) {
        kernels<T>().scale_labels(columns, chain, out, by, scale, a, b);
    });
}

template <class T>
void add_bags(Array<int64_t> indptr, Array<int32_t> rows, Maybe<T> values, Array<T> blocks,
              Array<T> sums, int n_factors, T sign, int64_t first, int64_t end) {
    const Csc<T> columns = columns_of(indptr, rows, values);
    const Chain<T> chain{blocks.mutable_data(), blocks.shape(1), sums.mutable_data(),
                         nullptr, nullptr, n_factors, int32_t(sums.shape(1)), false, {}};
    py::gil_scoped_release release;
    kernels<T>().add_labels(columns, chain, sign, first, end);
}

template <class T>
void latent(Array<T> values, Array<T> residuals, Maybe<T> row_scale, Array<int32_t> codes,
            Array<double> cuts, uint64_t key, int n_threads) {
    const Latent<T> rows{values.mutable_data(), residuals.mutable_data(),
                         pointer(row_scale),    codes.data(),
                         cuts.data(),           key};
    const int64_t n = values.size();
    py::gil_scoped_release release;
    in_stretches(n, 1 << 12, n_threads, [&](int, int64_t first, int64_t end) {
        kernels<T>().draw_latent(rows, first, end);
    });
}

template <class T>
void bind_of(py::module_& m) {
    using namespace py::literals;
    m.def("sweep", sweep<T>, "indptr"_a.noconvert(), "rows"_a.noconvert(),
          "values"_a.noconvert(), "blocks"_a.noconvert(), "sums"_a.noconvert(),
          "others"_a.noconvert(), "residuals"_a.noconvert(), "row_scale"_a.noconvert(),
          "n_factors"_a, "precision"_a.noconvert(), "mean"_a.noconvert(),
          "groups"_a.noconvert(), "noise_precision"_a, "key"_a, "draws"_a,
          "overrelaxation"_a, "own_in_sums"_a, "first"_a, "end"_a, "n_threads"_a);
    m.def("collect_bags", collect_bags<T>, "indptr"_a.noconvert(), "rows"_a.noconvert(),
          "blocks"_a.noconvert(), "sums"_a.noconvert(), "others"_a.noconvert(),
          "residuals"_a.noconvert(), "row_scale"_a.noconvert(), "n_factors"_a,
          "squares"_a.noconvert(), "errors"_a.noconvert(), "n_threads"_a);
    m.def("sweep_bags", sweep_bags<T>, "indptr"_a.noconvert(), "bags"_a.noconvert(),
          "values"_a.noconvert(), "blocks"_a.noconvert(), "n_factors"_a,
          "squares"_a.noconvert(), "errors"_a.noconvert(), "precision"_a.noconvert(),
          "mean"_a.noconvert(), "groups"_a.noconvert(), "noise_precision"_a, "key"_a,
          "draws"_a, "overrelaxation"_a, "first"_a, "end"_a);
    m.def("correct_bags", correct_bags<T>, "indptr"_a.noconvert(), "rows"_a.noconvert(),
          "before"_a.noconvert(), "blocks"_a.noconvert(), "sums"_a.noconvert(),
          "others"_a.noconvert(), "residuals"_a.noconvert(), "n_factors"_a,
          "n_threads"_a);
    m.def("scale_labels", scale_labels<T>, "indptr"_a.noconvert(), "rows"_a.noconvert(),
          "residuals"_a.noconvert(), "row_scale"_a.noconvert(), "squares"_a.noconvert(),
          "factor"_a.noconvert(), "first"_a, "end"_a, "n_threads"_a);
    m.def("add_bags", add_bags<T>, "indptr"_a.noconvert(), "rows"_a.noconvert(),
          "values"_a.noconvert(), "blocks"_a.noconvert(), "sums"_a.noconvert(),
          "n_factors"_a, "sign"_a, "first"_a, "end"_a);
    m.def("draw_latent", latent<T>, "values"_a.noconvert(), "residuals"_a.noconvert(),
          "row_scale"_a.noconvert(), "codes"_a.noconvert(), "cuts"_a.noconvert(), "key"_a,
          "n_threads"_a);
}

}  // namespace

void bind_gibbs(py::module_& m) {
    bind_of<float>(m);
    bind_of<double>(m);
}

}  // namespace skwfm
