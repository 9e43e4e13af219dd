// What is the matter with a CSR matrix that a kernel shall take: one pass over its
// entries, without a branch per entry.

#include <limits>
#include <type_traits>

#include "arrays.hpp"

namespace skwfm {

namespace {

// Bits of the answer, as `checks.py` names them.
enum Fault : int { broken = 1, not_finite = 2, unsorted = 4, zeros = 8 };

// Entries at a time: counts of a block fit in 32 bits, and compilers use short vectors.
constexpr int64_t BLOCK = 1 << 14;

template <class W>
bool sign(W word) {
    return word >> (8 * sizeof(W) - 1);
}

auto look(const float* values, int64_t n) { return checks().floats(values, n); }
auto look(const double* values, int64_t n) { return checks().doubles(values, n); }
auto look(const int32_t* labels, int64_t n, uint32_t last) {
    return checks().labels(labels, n, last);
}
auto look(const int64_t* labels, int64_t n, uint64_t last) {
    return checks().wide_labels(labels, n, last);
}

// The faults of rows `begin` to `finish`.
template <class T, class I, class J>
int faults(const I* indptr, const J* labels, const T* values, int64_t begin,
           int64_t finish, int64_t n_stored, int64_t n_columns) {
    using W = std::make_unsigned_t<J>;
    int bad = 0;
    for (int64_t i = begin; i < finish; i++) bad |= indptr[i] > indptr[i + 1];
    const int64_t first = indptr[begin], end = indptr[finish];
    if (bad || first < 0 || end > n_stored || (first < end && n_columns < 1))
        return broken;
    if (first == end) return 0;
    const W last = W(std::min<int64_t>(n_columns - 1, std::numeric_limits<J>::max()));
    // The first label has none before it.
    W outside = W(labels[first]) | (last - W(labels[first]));
    int64_t falls = 0;
    auto seen = look(values + first, 1);
    for (int64_t at = first + 1; at < end; at += BLOCK) {
        const int64_t n = std::min(BLOCK, end - at);
        const auto of_labels = look(labels + at, n, last);
        const auto of_values = look(values + at, n);
        outside |= of_labels.outside;
        falls += of_labels.falls;
        seen.not_finite |= of_values.not_finite;
        seen.zero |= of_values.zero;
    }
    if (sign(outside)) return broken;
    // From one row to the next, labels may fall.
    int64_t i = begin;
    while (indptr[i] == first) i++;
    for (; i < finish && indptr[i] < end; i++) {
        const int64_t at = indptr[i];
        falls -= (labels[at] <= labels[at - 1]) & (at < indptr[i + 1]);
    }
    return (sign(seen.not_finite) ? not_finite : 0) | (sign(seen.zero) ? zeros : 0) |
           (falls ? unsorted : 0);
}

template <class T, class I, class J>
void bind_faults(py::module_& m) {
    using namespace py::literals;
    m.def(
        "faults",
        [](Array<I> indptr, Array<J> indices, Array<T> values, int64_t n_columns,
           int n_threads) -> int {
            const int64_t n_stored = std::min(indices.size(), values.size());
            const int64_t n_rows = indptr.size() - 1;
            const I* p = indptr.data();
            const J* labels = indices.data();
            const T* weights = values.data();
            py::gil_scoped_release release;
            if (n_rows < 0 || p[0] != 0) return broken;
            std::atomic<int> found{0};
            in_stretches(n_rows, 1 << 14, n_threads, [&](int, int64_t begin, int64_t end) {
                if (!(found & broken))
                    found |= faults(p, labels, weights, begin, end, n_stored, n_columns);
            });
            return found;
        },
        "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "n_columns"_a, "n_threads"_a);
}

template <class T>
void bind_of(py::module_& m) {
    bind_faults<T, int32_t, int32_t>(m);
    bind_faults<T, int64_t, int32_t>(m);
    bind_faults<T, int32_t, int64_t>(m);
    bind_faults<T, int64_t, int64_t>(m);
}

// Writes labels of 64 bits as such of 32; those that do not fit become -1.
void narrow(Array<int64_t> indices, Array<int32_t> out) {
    const int64_t* labels = indices.data();
    const int64_t n = std::min(indices.size(), out.size());
    int32_t* to = out.mutable_data();
    py::gil_scoped_release release;
#pragma omp simd
    for (int64_t q = 0; q < n; q++) {
        const uint64_t label = uint64_t(labels[q]);
        const uint32_t high = uint32_t(label >> 31) | uint32_t(label >> 32);
        to[q] = int32_t(uint32_t(label) | (high ? ~0u : 0u));
    }
}

}  // namespace

void bind_checks(py::module_& m) {
    using namespace py::literals;
    m.def("narrow", narrow, "indices"_a.noconvert(), "out"_a.noconvert());
    bind_of<float>(m);
    bind_of<double>(m);
}

}  // namespace skwfm
