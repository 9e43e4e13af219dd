// Rows of a field-aware machine that hold at most one label per field, pair by pair: the
// blocks of a pair lie at known places of two vectors, so that nothing need be turned
// round or written but what moves, and the row's vectors have the first cache to
// themselves. Where a register holds the blocks of two neighbouring fields, two labels
// meet the others at once. Cost O(F^2 k) per row, half of that of the general way.
// Included inside the namespace of one instruction set.

template <class T, int K>
struct FfmPairs {
    // Labels that may go together.
    static constexpr int GROUP = joins(K) && 2 * K <= WIDTH<T> ? 2 : 1;

    // For each label: sums of squares of what it meets, in k parts, and in total; its
    // step and its shrinkage.
    T *squares, *totals, *steps, *shrinks;

    FfmPairs(int32_t n_fields, Arena& arena) {
        squares = arena.take<T>(n_fields * (int64_t(K) + 3));
        totals = squares + n_fields * int64_t(K);
        steps = totals + n_fields;
        shrinks = steps + n_fields;
    }

    // Returns the sum of all pairs; keeps the squares if `keep`.
    template <bool keep>
    inline T score(const Bags<T>& bags, const Model<T>& model, T* scores,
                   Ahead<T>& ahead) const {
        if (keep) std::memset(squares, 0, bags.n * K * sizeof(T));
        for (int32_t b = 0; b < bags.n; b++)
            model.add_linear(scores, bags.weights[b], bags.at[b], bags.labels[b]);
        T total = 0;
        by_groups(bags, [&](auto lanes, int32_t b, int32_t first, int32_t end) {
            constexpr int G = decltype(lanes)::n;
            // Half of them while the row moves: the processor can wait for so many only.
            if (!keep || G == GROUP) ahead.step();
            total += score_group<G, keep>(bags, b, first, end);
        });
        if (!keep) ahead.rest();
        for (int32_t b = 0; keep && b < bags.n; b++)
            totals[b] = sum(Pack<T, K>::load(squares + b * K));
        return total;
    }

    // Calls f(Lanes<G>, b, first, end): labels b .. b + G meet labels first .. end.
    template <class F>
    static inline void by_groups(const Bags<T>& bags, F f) {
        const int32_t n = bags.n;
        for (int32_t b = 0; b < n;) {
            if (GROUP > 1 && b + 1 < n && bags.field[b + 1] == bags.field[b] + 1) {
                f(Lanes<1>{}, b, b + 1, b + 2);
                f(Lanes<GROUP>{}, b, b + 2, n);
                b += 2;
            } else {
                f(Lanes<1>{}, b, b + 1, n);
                b++;
            }
        }
    }

    // One number for each of G labels, k times.
    template <int G>
    static inline Pack<T, G * K> each(const T* x) {
        using P = Pack<T, K>;
        if constexpr (G == 1)
            return P::all(x[0]);
        else
            return join(P::all(x[0]), P::all(x[1]));
    }

    // The blocks of G labels for one field.
    template <int G>
    static inline Pack<T, G * K> blocks_at(T* const* p, int64_t place) {
        using P = Pack<T, K>;
        if constexpr (G == 1)
            return P::load(p[0] + place);
        else
            return join(P::load(p[0] + place), P::load(p[1] + place));
    }

    // The arrays are named anew because the compiler would read their addresses again
    // after every store.
    template <int G, bool keep>
    inline T score_group(const Bags<T>& bags, int32_t b, int32_t first, int32_t end) const {
        using P = Pack<T, K>;
        using Q = Pack<T, G * K>;
        T *const met = squares, *const* const at = bags.at;
        const int32_t* const field = bags.field;
        const T* const weights = bags.weights;
        T* const p[2] = {at[b], at[b + G - 1]};
        const int64_t own = field[b] * int64_t(K);
        const Q x = each<G>(weights + b);
        Q total = Q::all(0), square = total;
        for (int32_t c = first; c < end; c++) {
            const Q there = x * blocks_at<G>(p, field[c] * int64_t(K));
            const Q here = Q::all(weights[c]) * Q::load(at[c] + own);
            total = total + here * there;
            if (keep) {
                square = square + here * here;
                const Q far = there * there;
                P more = P::load(met + c * K);
                for (int i = 0; i < G; i++) more = more + part<K>(far, i);
                more.store(met + c * K);
            }
        }
        for (int i = 0; keep && i < G; i++) {
            T* to = met + (b + i) * K;
            (P::load(to) + part<K>(square, i)).store(to);
        }
        return sum(total);
    }

    // Moves the vectors of all labels, or none: false, where a step is not finite.
    inline bool move(const Bags<T>& bags, const Mover<T>& mover, T g, int32_t n_fields,
                     Ahead<T>& ahead) const {
        bool good = true, shrinking = false;
        for (int32_t b = 0; b < bags.n; b++) {
            const T c = g * bags.weights[b];
            const auto pace = mover.pace(bags.at[b], c, totals[b], n_fields * K);
            good &= pace.good;
            totals[b] = pace.state;
            steps[b] = -pace.rate * c;
            shrinks[b] = pace.shrink;
            shrinking |= pace.shrink != 1;
        }
        if (!good) return false;
        for (int32_t b = 0; b < bags.n; b++) mover.keep_state(bags.at[b], totals[b]);
        by_groups(bags, [&](auto lanes, int32_t b, int32_t first, int32_t end) {
            constexpr int G = decltype(lanes)::n;
            if (G == GROUP) ahead.step();
            shrinking ? move_group<G, true>(bags, b, first, end)
                      : move_group<G, false>(bags, b, first, end);
        });
        if (shrinking) shrink_rest(bags, n_fields);
        ahead.rest();
        return true;
    }

    template <int G, bool shrinking>
    inline void move_group(const Bags<T>& bags, int32_t b, int32_t first, int32_t end) const {
        using Q = Pack<T, G * K>;
        const T *const step = steps, *const shrink = shrinks, *const weights = bags.weights;
        T* const* const at = bags.at;
        const int32_t* const field = bags.field;
        T* const p[2] = {at[b], at[b + G - 1]};
        const int64_t own = field[b] * int64_t(K);
        const Q x = each<G>(weights + b), own_step = each<G>(step + b);
        const Q own_shrink = each<G>(shrink + b);
        for (int32_t c = first; c < end; c++) {
            const int64_t place = field[c] * int64_t(K);
            T* const here = at[c] + own;
            const Q a = blocks_at<G>(p, place), o = Q::load(here);
            Q a_moved = a + own_step * Q::all(weights[c]) * o;
            Q o_moved = o + x * Q::all(step[c]) * a;
            if (shrinking) {
                a_moved = a_moved * own_shrink;
                o_moved = o_moved * Q::all(shrink[c]);
            }
            o_moved.store(here);
            for (int i = 0; i < G; i++) part<K>(a_moved, i).store(p[i] + place);
        }
    }

    // The blocks for a label's own field and for fields without a label.
    void shrink_rest(const Bags<T>& bags, int32_t n_fields) const {
        using P = Pack<T, K>;
        for (int32_t b = 0; b < bags.n; b++) {
            const P shrink = P::all(shrinks[b]);
            for (int32_t f = 0, c = 0; f < n_fields; f++) {
                const bool met = c < bags.n && bags.field[c] == f && c++ != b;
                T* block = bags.at[b] + f * int64_t(K);
                if (!met) (P::load(block) * shrink).store(block);
            }
        }
    }
};

// Without a length that is known when compiled there is no such way.
template <class T>
struct FfmPairs<T, 0> {
    FfmPairs(int32_t, Arena&) {}
};
