// The factorization machine. Pairs by prefix and suffix sums over the bags of a row,
// sum_f <S_f, S_1 + .. + S_{f-1}>: never a difference of squares, which loses all
// digits where one bag is much larger than the others. The gradient of a label's
// vector is g w (prefix + suffix). Cost O(nnz k).
// Included inside the namespace of one instruction set.

// K numbers per vector in registers where K > 0, else `length` in memory.
template <class T, int K>
struct FmRow {
    const Model<T>& model;
    const int32_t length, n_outputs;
    T *prefix, *sums, *total, *products, *scores, *gradient;

    // Known when compiled, or 0; rows ahead to ask for.
    static constexpr int LENGTH = K, AHEAD = 2;

    FmRow(const Model<T>& model, const Cut&, const Bags<T>& bags, Arena& arena)
        : model(model), length(model.length(1)), n_outputs(model.n_outputs) {
        const int64_t n_bags = bags.most;
        prefix = arena.take<T>(n_bags * length);
        sums = arena.take<T>(n_bags * length);
        total = arena.take<T>(length);
        products = arena.take<T>(length);
        scores = arena.take<T>(n_outputs);
        gradient = arena.take<T>(n_outputs);
    }

    // Scores the row; leaves the bag sums and prefixes for the gradient.
    inline void score(const Bags<T>& bags, Ahead<T>& ahead, Purpose purpose) {
        const bool keep = purpose != Purpose::score;
        for (int c = 0; c < n_outputs; c++) scores[c] = model.bias ? model.bias[c] : 0;
        if constexpr (K > 0) {
            using V = Pack<T, K>;
            V all = V::all(0), pairs = all;
            for (int32_t b = 0; b < bags.n; b++) {
                V s = V::all(0);
                for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++) {
                    const T* p = bags.at[q];
                    ahead.step();
                    s = s + V::all(bags.weights[q]) * V::load(p);
                    model.add_linear(scores, bags.weights[q], p, bags.labels[q]);
                }
                if (keep) all.store(prefix + b * K), s.store(sums + b * K);
                pairs = pairs + s * all;
                all = all + s;
            }
            scores[0] += sum(pairs);
        } else {
            score_any(bags, ahead);
        }
        ahead.rest();
    }

    void score_any(const Bags<T>& bags, Ahead<T>& ahead) {
        for (int d = 0; d < length; d++) total[d] = products[d] = 0;
        for (int32_t b = 0; b < bags.n; b++) {
            T *s = sums + int64_t(b) * length, *before = prefix + int64_t(b) * length;
            std::memcpy(before, total, length * sizeof(T));
            for (int d = 0; d < length; d++) s[d] = 0;
            for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++) {
                const T* p = bags.at[q];
                ahead.step();
                add_scaled(s, bags.weights[q], p, length);
                model.add_linear(scores, bags.weights[q], p, bags.labels[q]);
            }
            blocks<T>(length, [&](auto lanes, int d) {
                using P = Pack<T, decltype(lanes)::n>;
                const P sd = P::load(s + d), td = P::load(total + d);
                (P::load(products + d) + sd * td).store(products + d);
                (td + sd).store(total + d);
            });
        }
        const int32_t k = model.n_factors;
        for (int c = 0; c < n_outputs; c++)
            for (int d = 0; d < k; d++) scores[c] += products[c * k + d];
    }

    // Moves all vectors at once, where the row knows how; see `FfmRow`.
    static constexpr bool paired = false;
    bool move(const Bags<T>&, const Mover<T>&, T, Ahead<T>&) { return false; }

    // Turns prefixes into directions, from the last bag to the first: calls
    // visit(entry, direction, its sum of squares) for every entry.
    template <class Visit>
    inline void directions(const Bags<T>& bags, Visit visit) {
        if constexpr (K > 0) {
            using V = Pack<T, K>;
            V suffix = V::all(0);
            for (int32_t b = bags.n - 1; b >= 0; b--) {
                const V others = V::load(prefix + b * K) + suffix;
                suffix = suffix + V::load(sums + b * K);
                others.store(prefix + b * K);
                const T square = sum(others * others);
                for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++)
                    visit(q, prefix + b * K, square);
            }
        } else {
            const int32_t k = model.n_factors;
            for (int d = 0; d < length; d++) total[d] = 0;
            for (int32_t b = bags.n - 1; b >= 0; b--) {
                T *s = sums + int64_t(b) * length, *o = prefix + int64_t(b) * length;
                for (int d = 0; d < length; d++) {
                    o[d] += total[d];
                    total[d] += s[d];
                }
                if (n_outputs > 1)  // each output has its own derivative
                    for (int c = 0; c < n_outputs; c++)
                        scale(o + c * k, gradient[c], o + c * k, k);
                const T square = dot(o, o, length);
                for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++)
                    visit(q, o, square);
            }
        }
    }
};
