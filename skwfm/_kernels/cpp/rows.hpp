// One row of the data as bags, and one label's row of the table moved by one step.
// Included inside the namespace of one instruction set.

// Scratch memory is one block that the caller owns; parts start on cache lines.
struct Arena {
    char* next;
    template <class T>
    T* take(int64_t n) {
        T* part = reinterpret_cast<T*>(next);
        next += (n * sizeof(T) + 63) / 64 * 64;
        return part;
    }
};

// What a row is scored for: the score, directions of its vectors too, or these with what
// the steps of `Mover` need.
enum class Purpose { score, directions, steps };

// Where the vector of a label lies: in a thread's own copy, or in the table.
template <class T>
struct Finder {
    T* table;
    int64_t stride;
    Hot<T> hot;

    SKWFM_INLINE T* operator()(int64_t label) const {
        if (hot.slots) {
            const HotLabel found = hot.slots[HotLabel::slot(label)];
            if (found.label == label) return hot.rows + found.place * stride;
        }
        return table + label * stride;
    }
};

// Bag b of the current row: entries start[b] .. start[b + 1] of labels and weights,
// in field[b]; at[q] is the vector of entry q. Bags without entries are left out.
template <class T>
struct Bags {
    const Rows<T>& rows;
    const Cut& cut;
    const Finder<T> find;
    const int64_t max_entries;
    int64_t most;
    int32_t n = 0;
    const int32_t* labels = nullptr;
    const T* weights = nullptr;
    int32_t *field, *start;
    int32_t *counts, *own_labels;
    T* own_weights;
    T** at;

    Bags(const Rows<T>& rows, const Cut& cut, const Finder<T>& find, int64_t max_entries,
         Arena& arena)
        : rows(rows), cut(cut), find(find), max_entries(max_entries) {
        at = arena.take<T*>(max_entries);
        most = max_entries < cut.n_fields || cut.every_entry() ? max_entries
                                                               : cut.n_fields;
        field = arena.take<int32_t>(most + 1);
        start = arena.take<int32_t>(most + 1);
        counts = arena.take<int32_t>(cut.n_fields + 1);
        const int64_t sorted = cut.field_of ? max_entries : 0;
        own_labels = arena.take<int32_t>(sorted);
        own_weights = arena.take<T>(sorted);
        if (cut.every_entry())
            for (int64_t b = 0; b <= most; b++) start[b] = int32_t(b), field[b] = 0;
    }

    void read(int64_t i) {
        cut_row(i);
        for (int32_t q = 0; q < start[n]; q++) at[q] = find(labels[q]);
    }

    void cut_row(int64_t i) {
        const int64_t row = rows.row(i);
        const int64_t first = cut.offsets ? cut.offsets[row * cut.n_fields]
                                          : rows.indptr[row];
        labels = rows.indices + first;
        weights = rows.values + first;
        if (cut.offsets) return by_offsets(cut.offsets + row * cut.n_fields);
        const int32_t size = int32_t(rows.indptr[row + 1] - first);
        if (cut.field_ends) return by_ends(size);
        if (cut.field_of) return by_table(size);
        n = size;
    }

    void by_offsets(const int64_t* ends) {
        n = 0;
        start[0] = 0;
        for (int32_t f = 0; f < cut.n_fields; f++) {
            if (ends[f + 1] == ends[f]) continue;
            field[n] = f;
            start[++n] = int32_t(ends[f + 1] - ends[0]);
        }
    }

    void by_ends(int32_t size) {
        int32_t at = 0;
        n = 0;
        for (int32_t f = 0; at < size; f++) {
            const int64_t end = cut.field_ends[f];
            if (labels[at] >= end) continue;
            field[n] = f;
            start[n++] = at;
            while (++at < size && labels[at] < end) {}
        }
        start[n] = size;
    }

    // A stable counting sort of the row's entries by field.
    void by_table(int32_t size) {
        for (int32_t f = 0; f <= cut.n_fields; f++) counts[f] = 0;
        for (int32_t q = 0; q < size; q++) counts[cut.field_of[labels[q]] + 1]++;
        n = 0;
        start[0] = 0;
        for (int32_t f = 0; f < cut.n_fields; f++) {
            if (counts[f + 1]) field[n] = f, start[++n] = counts[f] + counts[f + 1];
            counts[f + 1] += counts[f];
        }
        for (int32_t q = 0; q < size; q++) {
            const int32_t place = counts[cut.field_of[labels[q]]]++;
            own_labels[place] = labels[q];
            own_weights[place] = weights[q];
        }
        labels = own_labels;
        weights = own_weights;
    }
};

// Asks for the table rows of a coming data row, a few at a time.
template <class T>
struct Ahead {
    const Rows<T>& rows;
    const Cut& cut;
    const Finder<T>& find;
    int bytes;
    bool writes;  // the rows will be moved, not only read
    const T* linear;  // linear weights that lie apart, or null
    int64_t linear_stride;
    const int32_t *at = nullptr, *end = nullptr;

    // In two steps for rows further ahead: where their entries lie, then the entries.
    SKWFM_INLINE void aim_far(int64_t i, const T* target, const T* weight) const {
        if (!rows.order) return;  // the processor foresees rows in order by itself
        if (i + 24 < rows.n_rows) {
            const int64_t row = rows.row(i + 24);
            prefetch_line(rows.indptr + row);
            prefetch_line(rows.indptr + row + 1);
            prefetch_line(target + row);
            if (weight) prefetch_line(weight + row);
        }
        if (i + 12 < rows.n_rows) {
            const int64_t row = rows.row(i + 12);
            const int64_t first = rows.indptr[row], end = rows.indptr[row + 1];
            for (int64_t q = first; q < end; q += 16) {
                prefetch_line(rows.indices + q);
                prefetch_line(rows.values + q);
            }
            if (first < end) {
                prefetch_line(rows.indices + end - 1);
                prefetch_line(rows.values + end - 1);
            }
        }
    }

    SKWFM_INLINE void aim(int64_t i) {
        if (i >= rows.n_rows) {
            at = end;
            return;
        }
        const int64_t row = rows.row(i);
        const int64_t* p = cut.offsets ? cut.offsets + row * cut.n_fields
                                       : rows.indptr + row;
        at = rows.indices + p[0];
        end = rows.indices + p[cut.offsets ? cut.n_fields : 1];
    }
    SKWFM_INLINE void step() {
        if (at >= end) return;
        const int64_t label = *at++;
        prefetch(find(label), bytes, writes);
        if (linear) prefetch_line(linear + label * linear_stride);
    }
    SKWFM_INLINE void rest() {
        while (at < end) step();
    }
};

template <class T>
inline bool finite(T x) {
    return x - x == 0;
}

// Moves one label's parameters along `-c * direction`, where c * direction is the
// gradient of its vector and `gradient` (one per output) that of its linear weight.
template <class T>
struct Mover {
    const Table<T>& table;
    const Options<T>& options;
    const int32_t n_outputs;
    const Hot<T>& hot;

    // Copies are merged by the squares of their gradients, which sgd itself needs not.
    bool has_state(const T* p) const { return options.step != Step::sgd || hot.owns(p); }

    // The part of its penalty that a label takes in one row.
    inline T share(const T* p) const {
        return options.counting ? 1 / p[table.count] : p[table.count];
    }

    void count(const Bags<T>& bags) const {
        for (int32_t q = 0; q < bags.start[bags.n]; q++) bags.at[q][table.count] += 1;
    }

    // Step length and shrinkage of a label's vector, and its state after the step.
    struct Pace {
        T rate, shrink, state;
        bool good;  // all is finite
    };

    // `square` is the sum of squares of direction.
    inline Pace pace(const T* p, T c, T square, int length) const {
        Pace pace{options.learning_rate, 1, 0, true};
        const T l2 = options.l2_factors * share(p);
        if (has_state(p)) {
            pace.state = p[table.state] + c * c * square / length;
            pace.good = finite(pace.state);
        } else {
            pace.good = finite(c * square);
        }
        if (options.step != Step::sgd) pace.rate /= std::sqrt(pace.state);
        if (l2 != 0) pace.shrink = 1 / (1 + pace.rate * l2);
        return pace;
    }

    inline void keep_state(T* p, T state) const {
        if (has_state(p)) p[table.state] = state;
    }

    // False: not finite, nothing moved.
    inline bool vector(T* p, const T* direction, int length, T c, T square) const {
        if (options.step == Step::adagrad_weight)
            return weight_by_weight(p, direction, length, c);
        const Pace by = pace(p, c, square, length);
        if (!by.good) return false;
        keep_state(p, by.state);
        const T step = -by.rate * c;
        blocks<T>(length, [&](auto lanes, int d) {
            using P = Pack<T, decltype(lanes)::n>;
            const P moved = P::load(p + d) + P::all(step) * P::load(direction + d);
            (moved * P::all(by.shrink)).store(p + d);
        });
        return true;
    }

    bool weight_by_weight(T* p, const T* direction, int length, T c) const {
        const T l2 = options.l2_factors * share(p);
        T* states = p + table.states;
        T total = 0;
        const T rate = options.learning_rate;
#pragma omp simd reduction(+ : total)
        for (int d = 0; d < length; d++) {
            const T g = c * direction[d] + l2 * p[d];
            total += g * g;
        }
        if (!finite(total)) return false;
#pragma omp simd
        for (int d = 0; d < length; d++) {
            const T g = c * direction[d] + l2 * p[d];
            states[d] += g * g;
            p[d] -= rate * g / std::sqrt(states[d]);
        }
        return true;
    }

    // False: not finite, nothing moved.
    inline bool linear(T* p, T gradient, int output) const {
        T& a = p[table.linear + output];
        T rate = options.learning_rate_linear;
        const T l2 = options.l2_linear * share(p);
        T& state = p[table.linear_state + output];
        const T after = state + gradient * gradient;
        if (!finite(after)) return false;
        if (options.step == Step::sgd) {
            if (hot.owns(p)) state = after;
            a = (a - rate * gradient) / (1 + rate * l2);
            return true;
        }
        state = after;
        if (options.step != Step::ftrl) {
            rate /= std::sqrt(state);
            const T moved = a - rate * gradient;
            a = l2 == 0 ? moved : moved / (1 + rate * l2);
            return true;
        }
        // FTRL-Proximal (McMahan and others, 2013): z sums the gradients, less what
        // keeps the past steps in place; the penalties are those of the sum of losses.
        // What led to a coefficient that is not 0 is taken as of the rate of today.
        T& z = p[table.linear_z + output];
        const T l1 = options.l1_linear, slope = std::sqrt(state) / rate + options.l2_linear;
        if (a != 0) z = (a < 0 ? l1 : -l1) - a * slope;
        z += gradient;
        const T past = z > l1 ? z - l1 : z < -l1 ? z + l1 : T(0);
        a = -past / slope;
        return true;
    }

    void bias(T* values, const T* gradient) const {
        if (!options.fit_bias) return;
        for (int c = 0; c < n_outputs; c++) {
            T rate = options.learning_rate_linear;
            T& state = values[n_outputs + c];
            if (has_state(values)) state += gradient[c] * gradient[c];
            if (options.step != Step::sgd) rate /= std::sqrt(state);
            values[c] -= rate * gradient[c];
        }
    }
};

// Returns the loss of one row and writes its derivatives by the scores.
template <class T>
inline double row_loss(const Options<T>& options, const T* score, T target, int n,
                       T* gradient) {
    const T s = score[0];
    switch (options.loss) {
        case Loss::squared:
            gradient[0] = s - target;
            return 0.5 * double(gradient[0]) * double(gradient[0]);
        case Loss::logistic: {
            const T e = std::exp(-std::abs(s));
            const T p = (s > 0 ? T(1) : e) / (1 + e);
            gradient[0] = p - target;
            return std::log1p(e) + (s > 0 ? s : T(0)) - target * s;
        }
        case Loss::huber: {
            const T error = s - target, delta = options.huber_delta;
            const T size = std::abs(error);
            if (size <= delta) {
                gradient[0] = error;
                return 0.5 * double(error) * double(error);
            }
            gradient[0] = error > 0 ? delta : -delta;
            return double(delta) * (double(size) - 0.5 * double(delta));
        }
        case Loss::poisson: {
            const T mean = std::exp(s);
            gradient[0] = mean - target;
            return double(mean) - double(target) * double(s);
        }
        case Loss::softmax: break;
    }
    T top = s, total = 0;
    for (int c = 1; c < n; c++) top = score[c] > top ? score[c] : top;
    for (int c = 0; c < n; c++) total += gradient[c] = std::exp(score[c] - top);
    const int label = int(target);
    for (int c = 0; c < n; c++) gradient[c] = gradient[c] / total - (c == label);
    return double(top) + std::log(double(total)) - double(score[label]);
}
