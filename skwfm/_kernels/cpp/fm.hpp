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

    FmRow(const Model<T>& model, int64_t n_bags, Arena& arena)
        : model(model), length(model.length(1)), n_outputs(model.n_outputs) {
        prefix = arena.take<T>(n_bags * length);
        sums = arena.take<T>(n_bags * length);
        total = arena.take<T>(length);
        products = arena.take<T>(length);
        scores = arena.take<T>(n_outputs);
        gradient = arena.take<T>(n_outputs);
    }

    // Scores the row; leaves the bag sums and prefixes for the gradient.
    inline void score(const Bags<T>& bags, Ahead<T>& ahead, bool keep) {
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

    // Turns prefixes into directions, from the last bag to the first: calls
    // visit(bag, direction, its sum of squares).
    template <class Visit>
    inline void directions(const Bags<T>& bags, Visit visit) {
        if constexpr (K > 0) {
            using V = Pack<T, K>;
            V suffix = V::all(0);
            for (int32_t b = bags.n - 1; b >= 0; b--) {
                const V others = V::load(prefix + b * K) + suffix;
                suffix = suffix + V::load(sums + b * K);
                others.store(prefix + b * K);
                visit(b, prefix + b * K, sum(others * others));
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
                visit(b, o, dot(o, o, length));
            }
        }
    }
};

template <class T, int K>
void score_fm(const Rows<T>& rows, const Cut& cut, const Model<T>& model, T* out,
              const Work& work) {
    Arena arena{work.scratch};
    // Scoring only reads what it finds.
    const Finder<T> find{const_cast<T*>(model.factors), model.stride, {nullptr, nullptr}};
    Bags<T> bags(rows, cut, find, work.max_entries, arena);
    FmRow<T, K> row(model, bags.most, arena);
    Ahead<T> ahead{rows, cut, bags.find, int(row.length * sizeof(T))};
    for (int64_t i = 0; i < rows.n_rows; i++) {
        bags.read(i);
        ahead.aim(i + 2);
        row.score(bags, ahead, false);
        for (int c = 0; c < row.n_outputs; c++)
            out[i * row.n_outputs + c] = row.scores[c];
    }
}

template <class T, int K>
Progress train_fm(const Rows<T>& rows, const Cut& cut, const Model<T>& model,
                  const Table<T>& table, const Options<T>& options, const Hot<T>& hot,
                  T* bias, const T* target, const T* weight, T* scores,
                  const Work& work) {
    Arena arena{work.scratch};
    const Finder<T> find{table.rows, table.stride, hot};
    Bags<T> bags(rows, cut, find, work.max_entries, arena);
    FmRow<T, K> row(model, bags.most, arena);
    const Mover<T> mover{table, options, model.n_outputs};
    Ahead<T> ahead{rows, cut, bags.find, int(table.stride * sizeof(T))};
    double loss = 0;
    for (int64_t i = 0; i < rows.n_rows; i++) {
        bags.read(i);
        ahead.aim(i + 2);
        ahead.aim_far(i, target, weight);
        row.score(bags, ahead, true);
        if (scores)
            std::memcpy(scores + i * row.n_outputs, row.scores,
                        row.n_outputs * sizeof(T));
        const int64_t at = rows.row(i);
        const T w = weight ? weight[at] : T(1);
        double part = row_loss(options, row.scores, target[at], row.n_outputs,
                               row.gradient);
        bool good = finite(part);
        if (!good) return {loss, i};
        for (int c = 0; c < row.n_outputs; c++) {
            row.gradient[c] *= w;
            good &= finite(row.gradient[c] * row.gradient[c]);
        }
        if (!good) return {loss, i};
        const T g = row.n_outputs == 1 ? row.gradient[0] : T(1);
        row.directions(bags, [&](int32_t b, const T* direction, T square) {
            const int32_t length = K > 0 ? K : row.length;
            for (int32_t q = bags.start[b]; q < bags.start[b + 1]; q++) {
                T* p = bags.at[q];
                const T x = bags.weights[q];
                good &= mover.vector(p, direction, length, g * x, square);
                if (options.fit_linear)
                    for (int c = 0; c < row.n_outputs; c++)
                        good &= mover.linear(p, row.gradient[c] * x, c);
            }
        });
        if (!good) return {loss, i};
        loss += double(w) * part;
        mover.bias(bias, row.gradient);
    }
    return {loss, rows.n_rows};
}
