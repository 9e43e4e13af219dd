// Blocks of a sweep: the score of a row is linear in the vector of one label,
// const + w_ij (a_j + <v_j, u_i>), so that given everything else the label's block
// (v_j, a_j) is normal with precision  Lambda + alpha G,  G = sum_i w_ij^2 [u_i, 1][u_i, 1]^T
// over its rows (Rendle, "Factorization machines with libFM", 2012, takes the same
// conditional one number at a time). A block costs O(rows k^2) for G, k^3 / 6 for its
// factor and two passes over its rows.
//
// u_i is the row's sum without what the label has no pair with. Where rows have few labels
// no sums are kept: u_i is taken from the blocks of the others.
//
// Where the rows of a field share few bags, G is a sum over the bags of the label,
// w^2 times the moments of the rows that have the bag: these are collected once, and the
// rows corrected once, for all labels of the field.
// Included inside the namespace of one instruction set.

// Rows of a label that are summed at a time, in T; those of the parts in double.
constexpr int PANEL = 64;
// Rows to ask for before their turn.
constexpr int AHEAD = 8;

template <class T>
constexpr double ROUNDING = sizeof(T) == 4 ? 1e-6 : 1e-14;

// The rows of a label, or of a bag. L lanes: vectors are padded with zeros to a multiple
// of L.
template <class T, int L>
struct BlockRows {
    using P = Pack<T, L>;

    const Csc<T>& columns;
    const Chain<T>& chain;
    const bool own_in_sums;
    const int k, padded, stride, capacity;
    T *panel, *old_block, *change;  // a panel has rows [w u, w, e, c], c their weights
    double* gram;

    BlockRows(const Csc<T>& columns, const Chain<T>& chain, bool own_in_sums, Arena& arena)
        : columns(columns), chain(chain), own_in_sums(own_in_sums), k(chain.n_factors),
          padded(chain.sum_stride), stride(padded + 4),
          capacity(int(panel_rows(k, sizeof(T)))) {
        panel = arena.take<T>(int64_t(capacity) * stride);
        old_block = arena.take<T>(padded);
        change = arena.take<T>(padded);
        gram = arena.take<double>(int64_t(padded + 2) * padded + 2);
        for (int d = 0; d < padded; d++) old_block[d] = change[d] = 0;
        for (int t = 0; t < capacity; t++)
            for (int d = k; d < padded; d++) panel[t * stride + d] = 0;
    }

    // Adds up `gram`: rows of u u^T (the blocks on and above the diagonal), then those of
    // w u and e u, then w w and w e. The sums hold `own` of each row, or not.
    void collect(int64_t label, const T* own) {
        const int64_t begin = columns.indptr[label], end = columns.indptr[label + 1];
        const int64_t size = int64_t(padded + 2) * padded + 2;
        for (int d = 0; d < k; d++) old_block[d] = own[d];
        for (int64_t d = 0; d < size; d++) gram[d] = 0;
        for (int64_t at = begin; at < end; at += capacity) {
            const int n = int(end - at < capacity ? end - at : capacity);
            gather(label, at, n, end);
            for (int first = 0; first < n; first += PANEL)
                add_up(panel + first * stride, n - first < PANEL ? n - first : PANEL);
        }
    }

    void add_up(const T* rows, int n) {
        for (int c = 0; c < padded; c += L) {
            double* out = gram + c;
            if constexpr (L >= 8) {
                multiply<8, true>(rows, n, 0, c, out);
                for (int r = 8; r < c + L; r += 8) multiply<8, false>(rows, n, r, c, out);
            } else {
                multiply<4, true>(rows, n, 0, c, out);
                for (int r = 4; r < c + L; r += 4) multiply<4, false>(rows, n, r, c, out);
            }
        }
        double* last = gram + int64_t(padded + 2) * padded;
        for (int t = 0; t < n; t++) {
            const T* p = rows + t * stride + padded;
            const double weighted = double(p[2]) * double(p[0]);
            last[0] += weighted * double(p[0]);
            last[1] += weighted * double(p[1]);
        }
    }

    // out[r][..] += sum_t c_t rows[t][row + r] * rows[t][column ..]; the first rows come
    // with those of w and e.
    template <int R, bool IS_FIRST>
    void multiply(const T* rows, int n, int row, int column, double* out) {
        constexpr int ALL = R + 2 * IS_FIRST;
        P sums[ALL];
        for (int r = 0; r < ALL; r++) sums[r] = P::all(0);
        const T* p = rows;
        for (int t = 0; t < n; t++, p += stride) {
            const P right = P::all(p[padded + 2]) * P::load(p + column);
            for (int r = 0; r < R; r++) sums[r] = sums[r] + P::all(p[row + r]) * right;
            for (int r = R; r < ALL; r++)
                sums[r] = sums[r] + P::all(p[padded + r - R]) * right;
        }
        for (int r = 0; r < ALL; r++) {
            T part[L];
            sums[r].store(part);
            double* to = out + (r < R ? row + r : padded + r - R) * padded;
            for (int d = 0; d < L; d++) to[d] += double(part[d]);
        }
    }

    // Fills the panel with n rows from a place of the column.
    void gather(int64_t label, int64_t at, int n, int64_t end) {
        if (chain.sums)
            fill(at, n, end, SumsOf{chain.sums, old_block, padded, own_in_sums});
        else
            fill(at, n, end, OthersOf(chain, label));
    }

    template <class Source>
    void fill(int64_t at, int n, int64_t end, const Source source) {
        // Copies, since what is written could lie in them as far as compilers know.
        const Csc<T> columns = this->columns;
        const T *row_scale = chain.row_scale, *residuals = chain.residuals;
        const int padded = this->padded, stride = this->stride;
        T* p = panel;
        for (int64_t q = at; q < at + n; q++, p += stride) {
            if (q + 2 * AHEAD < end) {
                const int64_t next = columns.rows[q + 2 * AHEAD];
                prefetch(residuals + next, 1, true);
                if (row_scale) prefetch_line(row_scale + next);
                source.ask_first(next);
            }
            if (q + AHEAD < end) source.ask(columns.rows[q + AHEAD]);
            const int64_t i = columns.rows[q];
            const T w = columns.values ? columns.values[q] : T(1);
            source.take(i, w, p);
            const T scale = row_scale ? row_scale[i] : T(1);
            p[padded] = w;
            p[padded + 1] = residuals[i];
            p[padded + 2] = scale * scale;
        }
    }

    // Where u of a row comes from: what to ask for first, then, and w u.
    struct SumsOf {
        T* sums;
        const T* own;
        int padded;
        bool own_in_sums;

        SKWFM_INLINE void ask_first(int64_t row) const {
            prefetch(sums + row * padded, int(padded * sizeof(T)), true);
        }
        SKWFM_INLINE void ask(int64_t) const {}
        SKWFM_INLINE void take(int64_t row, T w, T* out) const {
            const T* s = sums + row * padded;
            const P all_w = P::all(w);
            for (int d = 0; d < padded; d += L) {
                P u = P::load(s + d);
                if (own_in_sums) u = u - all_w * P::load(own + d);
                (all_w * u).store(out + d);
            }
        }
    };

    // The labels of a row that the field, or the label itself, is not one of; what is left
    // out stands side by side.
    struct OthersOf {
        const Others<T> others;
        const int64_t stride, low, high;
        const int k;

        OthersOf(const Chain<T>& chain, int64_t label)
            : others(chain.others), stride(chain.block_stride),
              low(others.first + (others.pairs_inside ? label : 0)),
              high(others.pairs_inside ? low + 1 : others.end), k(chain.n_factors) {}

        SKWFM_INLINE void ask_first(int64_t row) const {
            prefetch_line(others.labels + others.begin_of(row));
        }
        SKWFM_INLINE void ask(int64_t row) const {
            const int64_t first = others.begin_of(row), last = others.begin_of(row + 1);
            for (int64_t e = first; e < last && e < first + AHEAD; e++) {
                const T* v = others.table + others.labels[e] * stride;
                // As many lines wherever the first one begins: one branch less to guess.
                for (int d = 0; d < k - 1; d += 64 / int(sizeof(T))) prefetch_line(v + d);
                prefetch_line(v + k - 1);
            }
        }
        SKWFM_INLINE void take(int64_t row, T w, T* out) const {
            const int64_t begin = others.begin_of(row), end = others.begin_of(row + 1);
            int64_t left = begin;
            while (left < end && others.labels[left] < low) left++;
            int64_t right = left;
            while (right < end && others.labels[right] < high) right++;
            blocks<T>(k, [&](auto lanes, int d) {
                using Q = Pack<T, decltype(lanes)::n>;
                Q total = Q::all(0);
                for (int64_t e = begin; e < left; e++) total = total + times<Q>(e, d);
                for (int64_t e = right; e < end; e++) total = total + times<Q>(e, d);
                (Q::all(w) * total).store(out + d);
            });
        }
        template <class Q>
        SKWFM_INLINE Q times(int64_t e, int d) const {
            const Q v = Q::load(others.table + others.labels[e] * stride + d);
            return others.values ? Q::all(others.values[e]) * v : v;
        }
    };

    // G and the sum of w e [u, 1], of what was collected.
    void read(Normal& normal) const {
        const double* of_w = gram + padded * padded;
        const double* of_e = of_w + padded;
        for (int r = 0; r < k; r++) {
            double* row = normal.precision + r * normal.width;
            for (int c = r; c < k; c++) row[c] = gram[r * padded + c];
            if (normal.dim > k) row[k] = of_w[r];
            normal.vector[r] = of_e[r];
        }
        if (normal.dim == k) return;
        normal.precision[k * normal.width + k] = of_e[padded];
        normal.vector[k] = of_e[padded + 1];
    }

    // Residuals and sums of the rows after a change of the block; where `is_held`, the
    // rows of the label were the last to be collected.
    void correct(int64_t label, const T* before, const T* after, bool is_held) {
        const int64_t begin = columns.indptr[label], end = columns.indptr[label + 1];
        for (int d = 0; d < k; d++) {
            old_block[d] = before[d];
            change[d] = after[d] - before[d];
        }
        const T linear = chain.fit_linear ? after[k] - before[k] : T(0);
        is_held &= end - begin <= capacity;
        for (int64_t at = begin; at < end; at += capacity) {
            const int n = int(end - at < capacity ? end - at : capacity);
            if (!is_held) gather(label, at, n, end);
            for (int t = 0; t < n; t++) {
                const int64_t i = columns.rows[at + t];
                const T* p = panel + t * stride;
                P total = P::all(0);
                for (int d = 0; d < padded; d += L)
                    total = total + P::load(change + d) * P::load(p + d);
                chain.residuals[i] -= p[padded] * linear + sum(total);
                if (chain.sums && own_in_sums) move_sum(i, p[padded]);
            }
        }
    }

    void move_sum(int64_t i, T w) const {
        T* s = chain.sums + i * padded;
        for (int d = 0; d < padded; d += L)
            (P::load(s + d) + P::all(w) * P::load(change + d)).store(s + d);
    }
};

// Calls f(Lanes) with as many lanes as the padded vectors allow.
template <class T, class F>
auto with_lanes(const Chain<T>& chain, F f) {
    constexpr int W = WIDTH<T> < 8 ? WIDTH<T> : 8;
    if constexpr (W > 4)
        if (chain.sum_stride % W == 0) return f(Lanes<W>{});
    return f(Lanes<4>{});
}

// Draws the blocks of labels `first` to `end`; returns how many went well.
template <class T>
int64_t sweep_labels(const Csc<T>& columns, const Chain<T>& chain, const Prior& prior,
                     int64_t first, int64_t end, char* scratch) {
    return with_lanes(chain, [&](auto lanes) {
        Arena arena{scratch};
        BlockRows<T, decltype(lanes)::n> rows(columns, chain, prior.own_in_sums, arena);
        const int dim = chain.n_factors + chain.fit_linear;
        Normal normal(dim, arena);
        T* after = arena.take<T>(dim);
        for (int64_t j = first; j < end; j++) {
            T* block = chain.blocks + j * chain.block_stride;
            rows.collect(j, block);
            rows.read(normal);
            normal.condition(prior, j, block);
            bool good = normal.draw(prior, j, block, ROUNDING<T>);
            for (int d = 0; d < dim; d++) {
                after[d] = T(normal.vector[d]);
                good &= finite(after[d]);
            }
            if (!good) return j - first;
            rows.correct(j, block, after, true);
            for (int d = 0; d < dim; d++) block[d] = after[d];
        }
        return end - first;
    });
}

// The moments of the rows of some bags: G as a full matrix, and the sum of e [u, 1].
template <class T>
void collect_bags(const Csc<T>& members, const Chain<T>& chain, const Moments& moments,
                  int64_t first, int64_t end, char* scratch) {
    with_lanes(chain, [&](auto lanes) {
        Arena arena{scratch};
        BlockRows<T, decltype(lanes)::n> rows(members, chain, true, arena);
        const int dim = chain.n_factors + chain.fit_linear;
        Normal normal(dim, arena);
        for (int64_t b = first; b < end; b++) {
            rows.collect(b, chain.blocks + b * chain.block_stride);
            rows.read(normal);
            double* out = moments.squares + b * dim * dim;
            for (int r = 0; r < dim; r++) {
                for (int c = r; c < dim; c++)
                    out[r * dim + c] = out[c * dim + r] =
                        normal.precision[r * normal.width + c];
                moments.errors[b * dim + r] = normal.vector[r];
            }
        }
    });
}

// Draws the blocks of labels of a field by the moments of the bags they are in, one after
// the other; returns how many went well.
template <class T>
int64_t sweep_bags(const Csc<T>& columns, const Chain<T>& chain, const Prior& prior,
                   const Moments& moments, int64_t first, int64_t end, char* scratch) {
    Arena arena{scratch};
    const int dim = chain.n_factors + chain.fit_linear;
    Normal normal(dim, arena);
    double* change = arena.take<double>(dim);
    for (int64_t j = first; j < end; j++) {
        T* block = chain.blocks + j * chain.block_stride;
        for (int r = 0; r < dim; r++) {
            for (int c = r; c < dim; c++) normal.precision[r * normal.width + c] = 0;
            normal.vector[r] = 0;
        }
        for (int64_t q = columns.indptr[j]; q < columns.indptr[j + 1]; q++) {
            const int64_t b = columns.rows[q];
            const double w = columns.values ? double(columns.values[q]) : 1.0;
            const double *squares = moments.squares + b * dim * dim,
                         *errors = moments.errors + b * dim;
            for (int r = 0; r < dim; r++) {
                double* row = normal.precision + r * normal.width;
                for (int c = r; c < dim; c++) row[c] += w * w * squares[r * dim + c];
                normal.vector[r] += w * errors[r];
            }
        }
        normal.condition(prior, j, block);
        bool good = normal.draw(prior, j, block, ROUNDING<T>);
        for (int d = 0; d < dim; d++) good &= finite(T(normal.vector[d]));
        if (!good) return j - first;
        for (int d = 0; d < dim; d++) {
            const T after = T(normal.vector[d]);
            change[d] = double(after) - double(block[d]);
            block[d] = after;
        }
        for (int64_t q = columns.indptr[j]; q < columns.indptr[j + 1]; q++) {
            const int64_t b = columns.rows[q];
            const double w = columns.values ? double(columns.values[q]) : 1.0;
            const double* squares = moments.squares + b * dim * dim;
            double* errors = moments.errors + b * dim;
            for (int c = 0; c < dim; c++) {
                const double by = w * change[c];
                for (int r = 0; r < dim; r++) errors[r] -= by * squares[c * dim + r];
            }
        }
    }
    return end - first;
}

// Residuals and sums of the rows of some bags, whose blocks were `before`.
template <class T>
void correct_bags(const Csc<T>& members, const Chain<T>& chain, const T* before,
                  int64_t first, int64_t end, char* scratch) {
    with_lanes(chain, [&](auto lanes) {
        Arena arena{scratch};
        BlockRows<T, decltype(lanes)::n> rows(members, chain, true, arena);
        for (int64_t b = first; b < end; b++)
            rows.correct(b, before + b * chain.block_stride,
                         chain.blocks + b * chain.block_stride, false);
    });
}

// Adds `sign` times the vectors of some labels to the sums of their rows.
template <class T>
void add_labels(const Csc<T>& columns, const Chain<T>& chain, T sign, int64_t first,
                int64_t end) {
    const int k = chain.n_factors;
    for (int64_t j = first; j < end; j++) {
        const T* block = chain.blocks + j * chain.block_stride;
        const int64_t last = columns.indptr[j + 1];
        for (int64_t q = columns.indptr[j]; q < last; q++) {
            const T w = columns.values ? columns.values[q] : T(1);
            if (q + AHEAD < last)
                prefetch(chain.sums + int64_t(columns.rows[q + AHEAD]) * chain.sum_stride,
                         int(k * sizeof(T)), true);
            add_scaled(chain.sums + int64_t(columns.rows[q]) * chain.sum_stride, sign * w,
                       block, k);
        }
    }
}

// The sum of c e^2 over the rows of each label, or (factor not null) all c of a label's
// rows times a factor, c being the square of the row's scale.
template <class T>
void scale_labels(const Csc<T>& columns, const Chain<T>& chain, double* squares,
                  const double* factor, T* row_scale, int64_t first, int64_t end) {
    for (int64_t j = first; j < end; j++) {
        const T by = factor ? T(std::sqrt(factor[j])) : T(1);
        double total = 0;
        for (int64_t q = columns.indptr[j]; q < columns.indptr[j + 1]; q++) {
            const int64_t i = columns.rows[q];
            if (factor) {
                row_scale[i] *= by;
            } else {
                const double error = double(row_scale[i]) * double(chain.residuals[i]);
                total += error * error;
            }
        }
        if (squares) squares[j] = total;
    }
}
