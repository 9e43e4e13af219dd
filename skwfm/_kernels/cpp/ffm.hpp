// The field-aware factorization machine. The sums A[f][g] of a row are written into a
// transposed buffer other[g][f] = A[f][g] with an empty diagonal: the score is then one
// contiguous product per bag, 1/2 sum_f <A[f], other[f]>, and other[f] is the gradient
// of the vectors of field f, up to g w. Cost O(nnz F k + F^2 k).
// Rows of one label per field go another way, see `FfmPairs`.
// Included inside the namespace of one instruction set.

template <class T, int K>
struct FfmRow {
    const Model<T>& model;
    const int32_t n_fields, n_outputs, length;
    const int64_t pitch;  // numbers from one row of `other` to the next
    T *other, *sums, *inner, *suffix, *scores, *gradient, *squares;
    char* filled;  // per field, whether its column of `other` holds something
    FfmPairs<T, K> pairs;
    bool paired = false;  // whether the last row was scored pair by pair

    // As `FmRow` has them.
    static constexpr int LENGTH = 0, AHEAD = 1;

    FfmRow(const Model<T>& model, const Cut& cut, const Bags<T>& bags, Arena& arena)
        : model(model), n_fields(cut.n_fields), n_outputs(model.n_outputs),
          length(model.length(cut.n_fields)),
          pitch((length * sizeof(T) + 63) / 64 * 64 / sizeof(T)),
          pairs(cut.n_fields, arena) {
        other = arena.take<T>(n_fields * pitch);
        std::memset(other, 0, n_fields * pitch * sizeof(T));
        sums = arena.take<T>(length);
        const int32_t inside = n_outputs * model.n_factors;
        inner = arena.take<T>(model.intra_field ? bags.max_entries * inside : 0);
        suffix = arena.take<T>(inside);
        scores = arena.take<T>(n_outputs);
        gradient = arena.take<T>(n_outputs);
        squares = arena.take<T>(n_fields);
        filled = arena.take<char>(n_fields);
        std::memset(filled, 0, n_fields);
    }

    int32_t k() const { return K > 0 ? K : model.n_factors; }

    // Writes x * p, the sums of field f, into column f of `other`.
    inline void spread(int32_t f, T x, const T* p) {
        for (int c = 0; c < n_outputs; c++) {
            const int64_t shift = int64_t(c) * n_fields * k();
            T* to = other + shift + f * k();
            const T* from = p + shift;
            for (int32_t g = 0; g < n_fields; g++, to += pitch, from += k()) {
                if constexpr (K > 0)
                    (Pack<T, K>::all(x) * Pack<T, K>::load(from)).store(to);
                else
                    for (int d = 0; d < k(); d++) to[d] = x * from[d];
            }
        }
        clear_diagonal(f);
    }

    void clear_diagonal(int32_t f) {
        for (int c = 0; c < n_outputs; c++)
            std::memset(diagonal(f, c), 0, k() * sizeof(T));
    }

    T* diagonal(int32_t f, int c) const {
        return other + f * pitch + (int64_t(c) * n_fields + f) * k();
    }

    void forget(int32_t f) {
        for (int c = 0; c < n_outputs; c++)
            for (int32_t g = 0; g < n_fields; g++)
                std::memset(other + g * pitch + (int64_t(c) * n_fields + f) * k(), 0,
                            k() * sizeof(T));
        filled[f] = 0;
    }

    inline void score(const Bags<T>& bags, Ahead<T>& ahead, Purpose purpose) {
        for (int c = 0; c < n_outputs; c++) scores[c] = model.bias ? model.bias[c] : 0;
        if constexpr (K > 0) {
            paired = n_outputs == 1 && bags.start[bags.n] == bags.n &&
                     purpose != Purpose::directions;
            if (paired) {
                scores[0] += purpose == Purpose::steps
                                 ? pairs.template score<true>(bags, model, scores, ahead)
                                 : pairs.template score<false>(bags, model, scores, ahead);
                return;
            }
        }
        const bool keep = purpose == Purpose::steps;
        for (int32_t f = 0, b = 0; f < n_fields; f++) {
            if (b < bags.n && bags.field[b] == f)
                b++;
            else if (filled[f])
                forget(f);
        }
        for (int32_t b = 0; b < bags.n;) b += gather(bags, b, ahead);
        for (int32_t b = 0; b < bags.n; b++) {
            const int32_t f = bags.field[b], q = bags.start[b];
            const T* o = other + f * pitch;
            const bool alone = bags.start[b + 1] == q + 1;
            // The sums of a bag of many labels stand, transposed, in `other` only.
            const T x = alone ? bags.weights[q] : T(1);
            const T* a = alone ? bags.at[q] : collect(f);
            multiply(x, a, o, b, keep);
        }
        ahead.rest();
    }

    // Neighbouring fields whose blocks share a cache line of `other`.
    static constexpr int GROUP = K > 0 && K * sizeof(T) < 64 ? 64 / (K * sizeof(T)) : 1;

    // Writes the columns of one or of several bags; returns how many.
    inline int32_t gather(const Bags<T>& bags, int32_t b, Ahead<T>& ahead) {
        const int32_t f = bags.field[b];
        // A line: bags of one label each, in fields without a gap.
        if (GROUP > 1 && n_outputs == 1 && f % GROUP == 0 && b + GROUP <= bags.n &&
            bags.start[b + GROUP] == bags.start[b] + GROUP &&
            bags.field[b + GROUP - 1] == f + GROUP - 1) {
            gather_line(bags, f, bags.start[b], ahead);
            return GROUP;
        }
        gather_one(bags, b, ahead);
        return 1;
    }

    inline void gather_line(const Bags<T>& bags, int32_t f, int32_t first,
                            Ahead<T>& ahead) {
        const T* from[GROUP];
        for (int j = 0; j < GROUP; j++) {
            const T* p = from[j] = bags.at[first + j];
            ahead.step();
            model.add_linear(scores, bags.weights[first + j], p, bags.labels[first + j]);
            filled[f + j] = 1;
        }
        T* to = other + f * K;
        for (int32_t g = 0; g < n_fields; g++, to += pitch)
            for (int j = 0; j < GROUP; j++) {
                using P = Pack<T, (K > 0 ? K : 1)>;
                const P x = P::all(bags.weights[first + j]);
                (x * P::load(from[j] + g * K)).store(to + j * K);
            }
        for (int j = 0; j < GROUP; j++) clear_diagonal(f + j);
    }

    inline void gather_one(const Bags<T>& bags, int32_t b, Ahead<T>& ahead) {
        const int32_t f = bags.field[b], first = bags.start[b], end = bags.start[b + 1];
        filled[f] = 1;
        for (int32_t q = first; q < end; q++) {
            ahead.step();
            const int64_t label = bags.labels[q];
            model.add_linear(scores, bags.weights[q], bags.at[q], label);
        }
        if (end == first + 1) {
            spread(f, bags.weights[first], bags.at[first]);
            return;
        }
        add_up(bags, first, end);
        if (model.intra_field) pair_inside(bags, b);
        spread(f, T(1), sums);
    }

    // sums = the weighted sum of the vectors, a few registers at a time.
    inline void add_up(const Bags<T>& bags, int32_t first, int32_t end) {
        constexpr int W = WIDTH<T>;
        int d = 0;
        for (; d + 4 * W <= length; d += 4 * W) add_up_at<W, 4>(bags, first, end, d);
        for (; d + W <= length; d += W) add_up_at<W, 1>(bags, first, end, d);
        if constexpr (W > 4)
            for (; d + 4 <= length; d += 4) add_up_at<4, 1>(bags, first, end, d);
        for (; d < length; d++) add_up_at<1, 1>(bags, first, end, d);
    }

    template <int N, int TIMES>
    inline void add_up_at(const Bags<T>& bags, int32_t first, int32_t end, int d) {
        using P = Pack<T, N>;
        P part[TIMES];
        for (int t = 0; t < TIMES; t++) part[t] = P::all(0);
        for (int32_t q = first; q < end; q++) {
            const T* p = bags.at[q] + d;
            const P x = P::all(bags.weights[q]);
            for (int t = 0; t < TIMES; t++) part[t] = part[t] + x * P::load(p + t * N);
        }
        for (int t = 0; t < TIMES; t++) part[t].store(sums + d + t * N);
    }

    // Reads the sums of field f back from their column; its own block does not count.
    T* collect(int32_t f) {
        for (int c = 0; c < n_outputs; c++) {
            const int64_t shift = int64_t(c) * n_fields * k();
            for (int32_t g = 0; g < n_fields; g++)
                std::memcpy(sums + shift + g * k(),
                            other + g * pitch + shift + f * k(), k() * sizeof(T));
        }
        return sums;
    }

    inline void multiply(T x, const T* a, const T* o, int32_t b, bool keep) {
        if (n_outputs == 1) {
            squares[b] = 0;
            const T pairs = keep ? dot_and_square(a, o, length, squares[b])
                                 : dot(a, o, length);
            scores[0] += T(0.5) * x * pairs;
            return;
        }
        const int32_t part = n_fields * k();
        for (int c = 0; c < n_outputs; c++)
            scores[c] += T(0.5) * x * dot(a + c * part, o + c * part, part);
    }

    // Pairs inside a field: prefix sums over the entries' own blocks, kept in `inner`.
    void pair_inside(const Bags<T>& bags, int32_t b) {
        const int32_t f = bags.field[b], inside = n_outputs * k();
        for (int d = 0; d < inside; d++) suffix[d] = 0;
        for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++) {
            const T* p = bags.at[q];
            std::memcpy(inner + int64_t(q) * inside, suffix, inside * sizeof(T));
            for (int c = 0; c < n_outputs; c++)
                for (int d = 0; d < k(); d++) {
                    const T e = bags.weights[q] * p[(int64_t(c) * n_fields + f) * k() + d];
                    T& before = suffix[c * k() + d];
                    scores[c] += e * before;
                    before += e;
                }
        }
    }

    // Moves the vectors of a row that was scored pair by pair; false: not finite.
    inline bool move(const Bags<T>& bags, const Mover<T>& mover, T g, Ahead<T>& ahead) {
        if constexpr (K > 0)
            return pairs.move(bags, mover, g, n_fields, ahead);
        else
            return false;
    }

    // Calls visit(entry, direction, its sum of squares) for every entry of the row.
    template <class Visit>
    inline void directions(const Bags<T>& bags, Visit visit) {
        for (int32_t b = 0; b < bags.n; b++) {
            const int32_t f = bags.field[b];
            T* o = other + f * pitch;
            if (n_outputs > 1) {  // each output has its own derivative
                const int32_t part = n_fields * k();
                for (int c = 0; c < n_outputs; c++)
                    scale(o + c * part, gradient[c], o + c * part, part);
                squares[b] = dot(o, o, length);
            }
            const int32_t first = bags.start[b], end = bags.start[b + 1];
            if (model.intra_field && end > first + 1) {
                inside_directions(bags, b, visit);
                continue;
            }
            for (int32_t q = first; q < end; q++) visit(q, o, squares[b]);
        }
    }

    template <class Visit>
    void inside_directions(const Bags<T>& bags, int32_t b, Visit visit) {
        const int32_t f = bags.field[b], inside = n_outputs * k();
        for (int d = 0; d < inside; d++) suffix[d] = 0;
        for (int32_t q = bags.start[b + 1] - 1; q >= bags.start[b]; q--) {
            const T* p = bags.at[q];
            T more = 0;
            for (int c = 0; c < n_outputs; c++) {
                const T own = n_outputs > 1 ? gradient[c] : T(1);
                T* block = diagonal(f, c);
                for (int d = 0; d < k(); d++) {
                    const int32_t e = c * k() + d;
                    block[d] = own * (inner[int64_t(q) * inside + e] + suffix[e]);
                    more += block[d] * block[d];
                    suffix[e] += bags.weights[q] *
                                 p[(int64_t(c) * n_fields + f) * k() + d];
                }
            }
            visit(q, other + f * pitch, squares[b] + more);
        }
        clear_diagonal(f);
    }
};
