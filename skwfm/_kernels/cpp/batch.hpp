// Mini-batches: the gradient of given scores, and steps of the optimizers over the rows
// that it touches.
// Included inside the namespace of one instruction set.

// Adds the gradient of one entry to that of its label.
template <class T>
struct Collector {
    const Rows<T>& rows;
    const Model<T>& model;
    const Gradient<T>& out;
    const int32_t length;
    const T* gradient;  // of the row's scores

    int64_t row(int64_t entry) const {
        return out.place ? out.place[entry] : rows.indices[entry];
    }

    // Asks for the rows of `out` that the entries of a data row will move.
    SKWFM_INLINE void ask(const Bags<T>& bags) const {
        if (!out.factors) return;
        const int64_t first = bags.labels - rows.indices;
        for (int32_t q = 0; q < bags.start[bags.n]; q++)
            prefetch(out.factors + row(first + q) * length, int(length * sizeof(T)),
                     true);
    }

    // c * x * direction is the gradient of the label's vector, x its weight.
    inline void entry(int64_t at, const T* direction, T c) const {
        const T x = rows.values[at];
        const int64_t to = row(at);
        const bool first = out.touched && !out.touched[to];
        if (out.factors) {
            T* p = out.factors + to * length;
            first ? scale(p, c * x, direction, length)
                  : add_scaled(p, c * x, direction, length);
        }
        if (out.linear)
            for (int o = 0; o < model.n_outputs; o++) {
                T& a = out.linear[to * model.n_outputs + o];
                a = (first ? T(0) : a) + gradient[o] * x;
            }
        if (first) out.touched[to] = 1;
        if (out.weights) out.weights[at] = weight(rows.indices[at], direction, c);
    }

    // A score is linear in each weight.
    inline T weight(int64_t label, const T* direction, T c) const {
        T total = c * dot(model.factors + label * model.stride, direction, length);
        if (!model.linear) return total;
        const T* a = model.linear + label * model.linear_stride;
        for (int o = 0; o < model.n_outputs; o++)
            total += gradient[o] * a[o * model.linear_output_stride];
        return total;
    }
};

// Row is `FmRow` or `FfmRow`.
template <class T, class Row>
void gradient_rows(const Rows<T>& rows, const Cut& cut, const Model<T>& model,
                   const T* of_scores, const Gradient<T>& out, const Work& work) {
    Arena arena{work.scratch};
    Bags<T> bags(rows, cut, reader(model), work.max_entries, arena);
    Row row(model, cut, bags, arena);
    const int32_t length = Row::LENGTH > 0 ? Row::LENGTH : row.length;
    const Collector<T> collector{rows, model, out, length, row.gradient};
    Ahead<T> ahead{rows, cut, bags.find, int(length * sizeof(T)), false,
                   model.linear, model.linear_stride};
    for (int64_t i = 0; i < rows.n_rows; i++) {
        bags.read(i);
        ahead.aim(i + Row::AHEAD);
        collector.ask(bags);
        row.score(bags, ahead, Purpose::directions);
        std::memcpy(row.gradient, of_scores + i * row.n_outputs,
                    row.n_outputs * sizeof(T));
        const T c = row.n_outputs == 1 ? row.gradient[0] : T(1);
        const int64_t first = bags.labels - rows.indices;
        row.directions(bags, [&](int32_t q, const T* direction, T) {
            collector.entry(first + q, direction, c);
        });
    }
}

// Calls move(row of the table, gradient) for every row of a gradient, having asked for
// the rows of the table and of the states some steps ahead.
template <class T, class Move>
inline void for_rows(const RowGradient<T>& gradient, const T* table, const T* states,
                     Move move) {
    constexpr int64_t AHEAD = 4;
    const int64_t length = gradient.length;
    const int bytes = int(length * sizeof(T));
    for (int64_t i = gradient.begin; i < gradient.end; i++) {
        if (gradient.labels && i + AHEAD < gradient.end) {
            const int64_t next = gradient.labels[i + AHEAD];
            prefetch(table + next * length, bytes, true);
            if (states) prefetch(states + next * length, bytes, true);
        }
        move(gradient.labels ? gradient.labels[i] : i, gradient.values + i * length);
    }
}

// Duchi, Hazan and Singer (2011). One state per row holds the mean square of its
// gradients.
template <class T>
void adagrad(const RowGradient<T>& gradient, T* table, T* states,
             const AdagradStep<T>& step) {
    const int64_t length = gradient.length;
    const T rate = step.rate, eps = step.eps;
    for_rows(gradient, table, step.per_row ? nullptr : states,
             [&](int64_t label, const T* g) {
                 T* p = table + label * length;
                 if (step.per_row) {
                     T& state = states[label];
                     state += dot(g, g, int(length)) / T(length);
                     add_scaled(p, -rate / (std::sqrt(state) + eps), g, int(length));
                     return;
                 }
                 T* s = states + label * length;
#pragma omp simd
                 for (int64_t d = 0; d < length; d++) {
                     s[d] += g[d] * g[d];
                     p[d] -= rate * g[d] / (std::sqrt(s[d]) + eps);
                 }
             });
}

// Kingma and Ba (2015), the moments moved where there is a gradient only.
template <class T>
void adam(const RowGradient<T>& gradient, T* table, T* means, T* squares,
          const AdamStep<T>& step) {
    const int64_t length = gradient.length;
    const T rate = step.rate, eps = step.eps;
    const T first = 1 - step.beta1, second = 1 - step.beta2;
    for_rows(gradient, table, means, [&](int64_t label, const T* g) {
        T *p = table + label * length, *m = means + label * length;
        T* v = squares + label * length;
#pragma omp simd
        for (int64_t d = 0; d < length; d++) {
            m[d] += first * (g[d] - m[d]);
            v[d] += second * (g[d] * g[d] - v[d]);
            p[d] -= rate * m[d] / (std::sqrt(v[d]) + eps);
        }
    });
}
