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

// The unsigned integer as wide as a number: its arithmetic is in every instruction set,
// and its highest bit is a sign.
template <class T>
using Word = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
template <class T>
bool sign(Word<T> word) {
    return word >> (8 * sizeof(T) - 1);
}

template <class T>
int value_faults(const T* values, int64_t n) {
    constexpr T INFINITE = std::numeric_limits<T>::infinity();
    Word<T> infinite, largest = ~Word<T>(0) >> 1;
    std::memcpy(&infinite, &INFINITE, sizeof(T));
    const Word<T> up = largest + 1 - infinite;
    Word<T> high = 0, low = 0;
#pragma omp simd reduction(| : high, low)
    for (int64_t q = 0; q < n; q++) {
        Word<T> bits;
        std::memcpy(&bits, values + q, sizeof(T));
        bits &= largest;    // of the absolute value
        high |= bits + up;  // the sign is set from infinity on
        low |= bits - 1;    // and here by zero
    }
    return (sign<T>(high) ? not_finite : 0) | (sign<T>(low) ? zeros : 0);
}

// What is seen of labels: whether the sign is set of one of them, or of how far one is
// below the last column; and how many are no larger than the one before them.
template <class J>
struct Seen {
    Word<J> outside;
    int64_t falls;
};

// Looks at `n` labels, of which the first has one before it.
template <class J>
Seen<J> look(const J* labels, int64_t n, Word<J> last) {
    Word<J> outside = 0, falls = 0;
#pragma omp simd reduction(| : outside) reduction(+ : falls)
    for (int64_t q = 0; q < n; q++) {
        const Word<J> label = Word<J>(labels[q]);
        outside |= label | (last - label);
        falls += (label - Word<J>(labels[q - 1]) - 1) >> (8 * sizeof(J) - 1);
    }
    return {outside, int64_t(falls)};
}

// The faults of rows `begin` to `finish`.
template <class T, class I, class J>
int faults(const I* indptr, const J* labels, const T* values, int64_t begin,
           int64_t finish, int64_t n_stored, int64_t n_columns) {
    int bad = 0;
    for (int64_t i = begin; i < finish; i++) bad |= indptr[i] > indptr[i + 1];
    const int64_t first = indptr[begin], end = indptr[finish];
    if (bad || first < 0 || end > n_stored || (first < end && n_columns < 1))
        return broken;
    if (first == end) return 0;
    const int64_t largest = std::numeric_limits<J>::max();
    const Word<J> last = Word<J>(std::min(n_columns - 1, largest));
    // The first label has none before it.
    Seen<J> seen{Word<J>(labels[first]) | (last - Word<J>(labels[first])), 0};
    int found = value_faults(values + first, 1);
    for (int64_t at = first + 1; at < end; at += BLOCK) {
        const int64_t n = std::min(BLOCK, end - at);
        const Seen<J> more = look(labels + at, n, last);
        seen.outside |= more.outside;
        seen.falls += more.falls;
        found |= value_faults(values + at, n);
    }
    if (sign<J>(seen.outside)) return broken;
    // From one row to the next, labels may fall.
    int64_t i = begin;
    while (indptr[i] == first) i++;
    for (; i < finish && indptr[i] < end; i++) {
        const int64_t at = indptr[i];
        seen.falls -= (labels[at] <= labels[at - 1]) & (at < indptr[i + 1]);
    }
    return found | (seen.falls ? unsorted : 0);
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

}  // namespace

void bind_checks(py::module_& m) {
    bind_of<float>(m);
    bind_of<double>(m);
}

}  // namespace skwfm
