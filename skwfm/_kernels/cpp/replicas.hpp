// Training in threads: each has copies of the labels that many samples have, and of the
// bias. Now and then a thread merges what changed in its copies into the table and takes
// over what the others changed; no thread waits for another to be ready.
#pragma once

#include <cmath>
#include <condition_variable>
#include <mutex>

#include "arrays.hpp"

namespace skwfm {

// How the changes of threads that began alike become one change. Each of them went part
// of the way to where its rows draw a label: were they added up, n threads would go n
// times as far, past the aim, and farther at every turn.
//
// With a way x = rate * curvature * steps, a thread covers about x / (1 + x) of the
// distance, as one implicit step does, and n threads in turn n x / (1 + n x), which is
// their sum times (1 + x) / (1 + n x): all of the sum for rare labels and short steps,
// the mean where each arrived by itself. The curvature is Fisher's information, which is
// the sum of the squared gradients, divided by the mean square of the derivatives by the
// score where the loss is a square.
//
// The labels of a row move its score together. `JOINT` of their joint way is added to
// that of each: all of it would slow what a label learns for itself, none of it lets 16
// threads run away where rows have 39 labels.
template <class T>
struct Merge {
    static constexpr T JOINT = T(1) / 16;

    const Table<T>& table;
    const Options<T>& options;
    const int32_t length, n_outputs;
    T rate = 0, rate_linear = 0;  // over the mean square of the derivatives by the score
    T joint = 0;                  // way that is added to each

    // The same for what a thread changed in these rows.
    Merge of(const Progress& part) const {
        Merge merge = *this;
        const bool square = options.loss == Loss::squared || options.loss == Loss::huber;
        T unit = 1;
        if (square && part.squares > 0) unit = T(part.squares / double(part.done));
        merge.rate = options.learning_rate / unit;
        merge.rate_linear = options.learning_rate_linear / unit;
        return merge;
    }

    T way(T rate, const T* copy, const T* seen, int32_t state) const {
        const T grown = copy[state] - seen[state];
        return options.step == Step::sgd ? rate * grown
                                         : rate * grown / std::sqrt(copy[state]);
    }

    // Writes the ways of a label's vector and coefficients, 1 + n_outputs numbers.
    // Returns how far they moved the scores of the rows that have it.
    T ways(const T* copy, const T* seen, T* own) const {
        T total = 0;
        own[0] = 0;
        if (options.step == Step::adagrad_weight)
            for (int32_t d = 0; d < length; d++)
                total += way(rate, copy, seen, table.states + d);
        else
            total = T(length) * (own[0] = way(rate, copy, seen, table.state));
        for (int32_t c = 0; c < n_outputs; c++)
            total += own[1 + c] = way(rate_linear, copy, seen, table.linear_state + c);
        return total / T(n_outputs);
    }

    T way_of_bias(const T* copy, const T* seen) const {
        T total = 0;
        for (int32_t c = n_outputs; c < 2 * n_outputs; c++)
            total += way(rate_linear, copy, seen, c);
        return total / T(n_outputs);
    }

    // The part of its change that one of n threads adds.
    T share(T own, T n) const {
        const T x = own + joint;
        return x < T(1e6) ? (1 + x) / (1 + n * x) : 1 / n;
    }

    // Parts of what changes in a label's row that do not hang on the row: sums of squares
    // and counts are added up; the sums of sgd are of use here only.
    void begin(T* parts) const {
        std::fill(parts, parts + table.stride, T(1));
        if (options.step != Step::sgd) return;
        parts[table.state] = 0;
        T* const states = parts + table.linear_state;
        std::fill(states, states + n_outputs, T(0));
    }

    // A label's row, which went `own` ways and n threads change.
    void row(T* base, T* copy, T* seen, const T* own, T n, T* parts) const {
        if (options.step == Step::adagrad_weight)
            for (int32_t d = 0; d < length; d++)
                parts[d] = share(way(rate, copy, seen, table.states + d), n);
        else
            std::fill(parts, parts + length, share(own[0], n));
        for (int32_t c = 0; c < n_outputs; c++) {
            const T part = parts[table.linear + c] = share(own[1 + c], n);
            if (options.step == Step::ftrl) parts[table.linear_z + c] = part;
        }
        add(base, copy, seen, parts, table.stride);
        if (options.step == Step::ftrl)
            for (int32_t c = 0; c < n_outputs; c++) leave_zero(base, copy, seen, c);
    }

    // Coefficients at 0 together may be beyond the penalty where none was alone.
    void leave_zero(T* base, T* copy, T* seen, int32_t output) const {
        const int32_t a = table.linear + output;
        const T l1 = options.l1_linear, z = base[table.linear_z + output];
        if (base[a] != 0 || std::abs(z) <= l1) return;
        const T root = std::sqrt(base[table.linear_state + output]);
        const T slope = root / options.learning_rate_linear + options.l2_linear;
        base[a] = copy[a] = seen[a] = ((z < 0 ? -l1 : l1) - z) / slope;
    }

    void bias(T* base, T* copy, T* seen, T n) const {
        for (int32_t c = 0; c < n_outputs; c++) {
            const int32_t state = n_outputs + c;
            const T part = share(way(rate_linear, copy, seen, state), n);
            const T whole = options.step == Step::sgd ? 0 : 1;
            add(base + c, copy + c, seen + c, &part, 1);
            add(base + state, copy + state, seen + state, &whole, 1);
        }
    }

    static void add(T* __restrict base, T* __restrict copy, T* __restrict seen,
                    const T* __restrict parts, int64_t n) {
        for (int64_t d = 0; d < n; d++)
            base[d] = copy[d] = seen[d] = base[d] + parts[d] * (copy[d] - seen[d]);
    }
};

template <class T>
struct Replicas {
    static constexpr int64_t BLOCK = 64;  // labels under one lock

    const Table<T>& table;
    const int n_threads, n_bias;
    std::vector<HotLabel> slots;
    std::vector<int32_t> hot;  // labels in the order of their copies
    std::vector<T> shares;     // of the samples that have them
    // How often the copies of a block were exchanged, and how often each had changed.
    std::vector<int32_t> exchanged, changed;
    int64_t n_blocks;
    Block memory;
    std::vector<std::mutex> locks;  // one for each block, and one for the bias

    // `labels`: the commonest first. One that finds its slot taken stays shared.
    Replicas(const Table<T>& table, const Array<int32_t>& labels,
             const Array<float>& shares_of_labels, int n_threads, int n_bias)
        : table(table), n_threads(n_threads), n_bias(n_bias),
          slots(int64_t(1) << HotLabel::LOG_SLOTS, {-1, 0}) {
        for (int64_t i = 0; i < labels.size(); i++) {
            const int32_t label = labels.data()[i];
            HotLabel& slot = slots[HotLabel::slot(label)];
            if (slot.label >= 0) continue;
            slot = {label, int32_t(hot.size())};
            hot.push_back(label);
            shares.push_back(T(shares_of_labels.data()[i]));
        }
        n_blocks = (int64_t(hot.size()) + BLOCK - 1) / BLOCK;
        exchanged.assign(n_blocks, 0);
        changed.assign(hot.size(), 0);
        locks = std::vector<std::mutex>(n_blocks + 1);
        memory = aligned(sizeof(T) * 2 * size() * n_threads);
    }

    // Of the copies of a thread: hot rows, the bias, and cache lines that keep the
    // biases of two threads apart. As many numbers say how the copies were last.
    int64_t size() const {
        const int64_t line = 64 / sizeof(T);
        return int64_t(hot.size()) * table.stride + (n_bias + 2 * line - 1) / line * line;
    }
    T* rows(int thread) const {
        return reinterpret_cast<T*>(memory.get()) + 2 * size() * thread;
    }
    T* bias(int thread) const {
        return rows(thread) + int64_t(hot.size()) * table.stride;
    }

    Hot<T> of(int thread) const {
        return {slots.data(), rows(thread), rows(thread) + size()};
    }

    void take(const T* base, T* copy, int64_t n) const {
        std::copy(base, base + n, copy);
        std::copy(base, base + n, copy + size());
    }

    // Begins the copies of a thread; others may have gone on already.
    void copy(int thread, const T* values) {
        each_block(thread, [&](int64_t, int64_t begin, int64_t end) {
            for (int64_t s = begin; s < end; s++) {
                const int64_t n = table.stride;
                take(table.rows + hot[s] * n, rows(thread) + s * n, n);
            }
        });
        const std::lock_guard<std::mutex> lock(locks[n_blocks]);
        take(values, bias(thread), n_bias);
    }

    // Merges into the table what a thread changed in its copies since they were alike.
    void exchange(int thread, T* values, Merge<T> merge) {
        const int64_t n = table.stride;
        T *const own_bias = bias(thread), *const seen_bias = own_bias + size();
        const int64_t m = 1 + merge.n_outputs;
        std::vector<T> ways(hot.size() * m), parts(n);
        T joint = merge.way_of_bias(own_bias, seen_bias);
        for (size_t s = 0; s < hot.size(); s++) {
            const T* own = rows(thread) + int64_t(s) * n;
            joint += shares[s] * merge.ways(own, own + size(), &ways[s * m]);
        }
        merge.joint = Merge<T>::JOINT * joint;
        merge.begin(parts.data());
        each_block(thread, [&](int64_t block, int64_t begin, int64_t end) {
            const T turns = T(++exchanged[block]);
            for (int64_t s = begin; s < end; s++) {
                T *base = table.rows + hot[s] * n, *own = rows(thread) + s * n;
                if (std::equal(own, own + n, own + size())) {
                    take(base, own, n);
                    continue;
                }
                // So many threads change this label before the next exchange.
                const T meet = T(n_threads) * T(++changed[s]) / turns;
                merge.row(base, own, own + size(), &ways[s * m], std::max(meet, T(1)),
                          parts.data());
            }
        });
        const std::lock_guard<std::mutex> lock(locks[n_blocks]);
        merge.bias(values, own_bias, seen_bias, T(n_threads));
    }

    // Calls visit(block, first place, last + 1) under the lock of each block; every
    // thread begins elsewhere.
    template <class Visit>
    void each_block(int thread, Visit visit) {
        for (int64_t i = 0; i < n_blocks; i++) {
            const int64_t block = (n_blocks * thread / n_threads + i) % n_blocks;
            const std::lock_guard<std::mutex> lock(locks[block]);
            const int64_t end = std::min((block + 1) * BLOCK, int64_t(hot.size()));
            visit(block, block * BLOCK, end);
        }
    }
};

// Where threads that go in step meet: each waits until all that have not left are there.
class Meeting {
    std::mutex lock;
    std::condition_variable met;
    int members, here = 0;
    int64_t round = 0;

    void begin_next() {
        here = 0;
        round++;
        met.notify_all();
    }

  public:
    explicit Meeting(int members) : members(members) {}

    void wait() {
        std::unique_lock<std::mutex> hold(lock);
        const int64_t mine = round;
        if (++here == members) return begin_next();
        met.wait(hold, [&] { return round != mine; });
    }

    void leave() {
        const std::lock_guard<std::mutex> hold(lock);
        if (--members == here && here > 0) begin_next();
    }
};

}  // namespace skwfm
