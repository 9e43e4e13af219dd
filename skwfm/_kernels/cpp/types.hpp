// What the kernels take: bare arrays, sizes and options. All rows are canonical CSR
// rows whose labels were checked to lie in [0, n_columns).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// What several instruction sets include must be inlined: the linker would keep one copy
// for all of them. (Besides, GCC takes a function that only prefetches for one without
// effect and drops the call.)
#if defined(__GNUC__)
#define SKWFM_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define SKWFM_INLINE __forceinline
#else
#define SKWFM_INLINE inline
#endif

namespace skwfm {

enum class Pairs { fm, ffm };
enum class Loss { squared, logistic, softmax, huber, poisson };
// How parameters move: AdaGrad with one state per table row or per weight, plain SGD,
// or FTRL-Proximal for the linear term with AdaGrad per row for the factors.
enum class Step { adagrad_row, adagrad_weight, sgd, ftrl };

// Some rows of a CSR matrix, in a given order.
template <class T>
struct Rows {
    const int64_t* indptr;
    const int32_t* indices;
    const T* values;
    const int64_t* order;  // null: rows first, first + 1, ...
    int64_t first, n_rows;

    SKWFM_INLINE int64_t row(int64_t i) const { return order ? order[first + i] : first + i; }
    SKWFM_INLINE Rows part(int64_t begin, int64_t end) const {
        return {indptr, indices, values, order, first + begin, end - begin};
    }
};

// Where the bags of a row end. One of the three says it; none: every entry is a bag.
struct Cut {
    const int64_t* field_ends;  // last column + 1 of each field, fields in order
    const int32_t* field_of;    // field of each column, in any order
    const int64_t* offsets;     // end points of n_rows * n_fields bags, bag after bag
    int32_t n_fields;

    SKWFM_INLINE bool every_entry() const { return !field_ends && !field_of && !offsets; }
};

// Parameters to score with: a label's vector has n_outputs * [n_fields *] k numbers.
template <class T>
struct Model {
    Pairs pairs;
    const T* factors;
    int64_t stride;  // numbers from one label's vector to the next
    // Linear weights: in the label's row at `linear_offset` where that is >= 0, else in
    // an array of their own, or null: none.
    int64_t linear_offset;
    const T* linear;
    int64_t linear_stride, linear_output_stride;
    const T* bias;  // n_outputs numbers, or null
    int32_t n_factors, n_outputs;
    bool intra_field;

    SKWFM_INLINE int32_t length(int32_t n_fields) const {
        return n_outputs * n_factors * (pairs == Pairs::ffm ? n_fields : 1);
    }

    // Adds x times the linear weights of a label, whose row is `p`, to the scores.
    SKWFM_INLINE void add_linear(T* scores, T x, const T* p, int64_t label) const {
        if (linear_offset >= 0) {
            for (int c = 0; c < n_outputs; c++) scores[c] += x * p[linear_offset + c];
        } else if (linear) {
            const T* a = linear + label * linear_stride;
            for (int c = 0; c < n_outputs; c++)
                scores[c] += x * a[c * linear_output_stride];
        }
    }
};

// A training table: one row of `stride` numbers per label holds all that an update
// touches, in as few cache lines as possible:
// [vector][linear][linear state][linear z, for FTRL][state][count][pad][states].
// `count` is 1 / (rows with the label) or, where the options say counting, the rows with
// the label so far.
template <class T>
struct Table {
    T* rows;
    int64_t stride;
    int32_t linear, linear_state, linear_z, state, count, states;
};

template <class T>
struct Options {
    Loss loss;
    Step step;
    T learning_rate, learning_rate_linear;
    T l2_factors, l2_linear, l1_linear;
    T huber_delta;
    bool fit_linear, fit_bias;
    bool counting;  // each row adds one to the counts of its labels
};

// Labels that many samples have, with one copy per thread; the others are shared. Which
// they are stands in a table of few cache lines, each label at the one slot where it can
// be: an array over all labels would take as much of the cache as the copies do.
struct HotLabel {
    int32_t label;  // -1: an empty slot
    int32_t place;  // of its copy

    static constexpr int LOG_SLOTS = 13;
    static SKWFM_INLINE uint32_t slot(int64_t label) {  // Fibonacci hashing
        return uint32_t(label) * 2654435769u >> (32 - LOG_SLOTS);
    }
};

template <class T>
struct Hot {
    const HotLabel* slots;  // null: none
    T *rows, *end;  // with the copy of the bias

    bool owns(const T* p) const { return p >= rows && p < end; }
};

// `done` < n_rows: the score or gradient of that row was not finite. Nothing of the row
// was applied, or, where the gradient of one label alone overflows, all but that label's.
struct Progress {
    double loss;
    int64_t done;
    double squares = 0;  // of the derivatives by the scores
};

// What a thread needs beside the arrays: the most entries of a row, and a block of
// scratch memory as large as `scratch_bytes` says.
struct Work {
    int64_t max_entries;
    char* scratch;
};

template <class T>
int64_t scratch_bytes(const Cut& cut, const Model<T>& model, int64_t max_entries) {
    const int64_t fields = cut.n_fields, length = model.length(cut.n_fields);
    const int64_t bags = cut.every_entry() || max_entries < fields ? max_entries : fields;
    const int64_t pointers = 2 * max_entries;  // in units of int32_t
    const int64_t integers = 2 * (bags + 1) + fields + 1 + max_entries + pointers;
    int64_t numbers = max_entries + 4 * model.n_outputs;
    if (model.pairs == Pairs::fm) {
        numbers += 2 * (bags + 1) * length;
    } else {
        const int64_t inside = int64_t(model.n_outputs) * model.n_factors;
        numbers += fields * (length + model.n_factors + 64 / sizeof(T) + 5) + length;
        numbers += inside * (1 + (model.intra_field ? max_entries : 0));
    }
    // No more than 16 parts, each rounded up to cache lines.
    return integers * int64_t(sizeof(int32_t)) + numbers * int64_t(sizeof(T)) + 17 * 64;
}

// Where the gradient of a batch goes; null: that part is not wanted.
template <class T>
struct Gradient {
    T* factors;  // one vector per label
    T* linear;   // n_outputs numbers per label
    T* weights;  // one number per entry
    // Which row of the first two each entry adds to, and whether a row holds something
    // yet. Null: row j is label j, and the rows start with numbers to add to.
    const int32_t* place;
    char* touched;
};

// Rows `begin` to `end` of a gradient that has rows for some labels of a table, or
// (labels null) for all of them. No label occurs twice.
template <class T>
struct RowGradient {
    const int64_t* labels;
    const T* values;
    int64_t begin, end;
    int64_t length;
};

template <class T>
struct AdagradStep {
    T rate, eps;
    bool per_row;  // one state per row, not per number
};

template <class T>
struct AdamStep {
    T rate, eps, beta1, beta2;  // `rate` with the bias correction
};

// A matrix by its columns (CSC); values null: all are 1.
template <class T>
struct Csc {
    const int64_t* indptr;
    const int32_t* rows;
    const T* values;
};

// The labels of every row (CSR), and the blocks of all labels: what the sum of a row is
// taken from where none is kept.
template <class T>
struct Others {
    const int64_t* indptr;  // null: every row has `length` labels
    const int32_t* labels;  // null: sums are kept
    const T* values;        // null: all are 1
    const T* table;
    int64_t length;
    int64_t first, end;  // the labels of the field, which are left out
    bool pairs_inside;   // only the label itself is left out

    SKWFM_INLINE int64_t begin_of(int64_t row) const {
        return indptr ? indptr[row] : row * length;
    }
};

// What a sweep over the labels changes: blocks [v, a] of all labels of a field, the
// residual of every row, and the sum of its vectors, padded with zeros to `sum_stride`
// numbers, or (null) none.
template <class T>
struct Chain {
    T* blocks;
    int64_t block_stride;
    T* sums;
    T* residuals;
    const T* row_scale;  // square roots of the rows' weights, or null: all are 1
    int32_t n_factors, sum_stride;
    bool fit_linear;
    Others<T> others;
};

// The prior of the blocks, and how they are drawn. A group has rows `precision` and `mean`.
struct Prior {
    const double* precision;
    const double* mean;
    const int32_t* groups;  // of each label
    double noise_precision;
    uint64_t key;  // of the draws: a number of a label has its own place after it
    bool draws;    // else the block becomes its conditional mean
    double overrelaxation;  // share of the distance to the mean that a draw goes beyond it
    bool own_in_sums;  // the sums of a row hold the label's own vector
};

// Of the rows that share each bag: G of `gibbs.hpp` as a full matrix, and the sum of
// residuals times [u, 1].
struct Moments {
    double* squares;
    double* errors;
};

// Rows whose latent score is drawn: normal around its present mean `latent - residual`,
// with variance 1, between two neighbours among the cut points. A row of weight c gets the
// mean and the variance of the mean of c such scores.
template <class T>
struct Latent {
    T* values;
    T* residuals;
    const T* row_scale;  // square roots of the rows' weights, or null: all are 1
    const int32_t* codes;  // which cut point is the lower one
    const double* cuts;
    uint64_t key;
};

// Rows of a label that are held at a time: a power of two of them, in about 128 KiB.
SKWFM_INLINE int64_t panel_rows(int32_t n_factors, int64_t number_bytes) {
    int64_t rows = 1024;
    while (rows > 64 && rows * (n_factors + 12) * number_bytes > 1 << 17) rows /= 2;
    return rows;
}

SKWFM_INLINE int64_t sweep_bytes(int32_t n_factors, int64_t number_bytes) {
    const int64_t k = n_factors + 8, rows = panel_rows(n_factors, number_bytes);
    // No more than 11 parts, each rounded up to cache lines.
    return number_bytes * (rows * (k + 4) + 3 * k) + 8 * (2 * (k + 2) * k + 5 * k + 2) +
           11 * 64;
}

// SplitMix64 (Steele, Lea and Flood, 2014): a well-mixed number for every position.
SKWFM_INLINE uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// The same kernels, compiled for one instruction set.
template <class T>
struct Kernels {
    Progress (*train)(const Rows<T>&, const Cut&, const Model<T>&, const Table<T>&,
                      const Options<T>&, const Hot<T>&, T* bias, const T* target,
                      const T* weight, T* scores, const Work&);
    void (*score)(const Rows<T>&, const Cut&, const Model<T>&, T* out, const Work&);
    void (*gradient)(const Rows<T>&, const Cut&, const Model<T>&, const T* of_scores,
                     const Gradient<T>&, const Work&);
    void (*adagrad)(const RowGradient<T>&, T* table, T* states, const AdagradStep<T>&);
    void (*adam)(const RowGradient<T>&, T* table, T* means, T* squares,
                 const AdamStep<T>&);
    int64_t (*sweep)(const Csc<T>&, const Chain<T>&, const Prior&, int64_t first,
                     int64_t end, char* scratch);
    void (*collect_bags)(const Csc<T>&, const Chain<T>&, const Moments&, int64_t first,
                         int64_t end, char* scratch);
    int64_t (*sweep_bags)(const Csc<T>&, const Chain<T>&, const Prior&, const Moments&,
                          int64_t first, int64_t end, char* scratch);
    void (*correct_bags)(const Csc<T>&, const Chain<T>&, const T* before, int64_t first,
                         int64_t end, char* scratch);
    void (*scale_labels)(const Csc<T>&, const Chain<T>&, double* squares,
                         const double* factor, T* row_scale, int64_t first, int64_t end);
    void (*add_labels)(const Csc<T>&, const Chain<T>&, T sign, int64_t first,
                       int64_t end);
    void (*draw_latent)(const Latent<T>&, int64_t first, int64_t end);
};

// What is seen of some values: whether the highest bit is set by one that is not finite,
// and by one that is zero.
template <class W>
struct SeenValues {
    W not_finite, zero;
};

// What is seen of some labels: whether the highest bit is set by one outside the columns
// up to `last`; and how many are no larger than the one before them.
template <class W>
struct SeenLabels {
    W outside;
    int64_t falls;
};

// The loops of a check, compiled for one instruction set; at most 2^31 entries.
struct Checks {
    SeenValues<uint32_t> (*floats)(const float*, int64_t n);
    SeenValues<uint64_t> (*doubles)(const double*, int64_t n);
    SeenLabels<uint32_t> (*labels)(const int32_t*, int64_t n, uint32_t last);
    SeenLabels<uint64_t> (*wide_labels)(const int64_t*, int64_t n, uint64_t last);
};

}  // namespace skwfm
