// The compiled core as a Python module: takes NumPy arrays apart, picks the kernels for
// this processor and splits rows over threads. Threads live as long as a call does, so
// that a process may fork after it. Callers check all input; nothing here words errors.

#include <limits>
#include <stdexcept>
#include <string>

#include "arrays.hpp"
#include "replicas.hpp"

namespace skwfm {

#define SKWFM_DECLARE(isa)                         \
    namespace isa {                                \
    extern const Kernels<float> single_kernels;    \
    extern const Kernels<double> double_kernels;   \
    extern const Checks checks;                    \
    }
SKWFM_DECLARE(v2)
#if defined(__x86_64__) && defined(__GNUC__)
#define SKWFM_DISPATCH
SKWFM_DECLARE(v3)
SKWFM_DECLARE(v4)
#endif

namespace {

// Instruction sets that this processor has, the best one last.
std::vector<std::string> instruction_sets() {
    std::vector<std::string> names{"v2"};
#ifdef SKWFM_DISPATCH
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return names;
    names.push_back("v3");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        names.push_back("v4");
#endif
    return names;
}

std::string& instruction_set() {
    static std::string chosen = instruction_sets().back();
    return chosen;
}

void set_instruction_set(const std::string& name) {
    const auto names = instruction_sets();
    if (std::find(names.begin(), names.end(), name) == names.end())
        throw std::invalid_argument("not an instruction set of this processor: " + name);
    instruction_set() = name;
}

template <class T>
const Kernels<T>& pick(const Kernels<float>& single, const Kernels<double>& wide) {
    if constexpr (std::is_same_v<T, float>)
        return single;
    else
        return wide;
}

template <class T>
const Kernels<T>& chosen() {
#ifdef SKWFM_DISPATCH
    if (instruction_set() == "v4") return pick<T>(v4::single_kernels, v4::double_kernels);
    if (instruction_set() == "v3") return pick<T>(v3::single_kernels, v3::double_kernels);
#endif
    return pick<T>(v2::single_kernels, v2::double_kernels);
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
    return chosen<float>();
}
template <>
const Kernels<double>& kernels<double>() {
    return chosen<double>();
}
const Checks& checks() {
#ifdef SKWFM_DISPATCH
    if (instruction_set() == "v4") return v4::checks;
    if (instruction_set() == "v3") return v3::checks;
#endif
    return v2::checks;
}
void bind_batch(py::module_& m);   // core_batch.cpp
void bind_text(py::module_& m);    // core_text.cpp
void bind_labels(py::module_& m);  // core_labels.cpp
void bind_checks(py::module_& m);  // core_checks.cpp
void bind_gibbs(py::module_& m);   // core_gibbs.cpp

namespace {

template <class T>
void score_rows(const Rows<T>& rows, const Cut& cut, const Model<T>& model, T* out,
                int n_threads) {
    // Starting a thread takes as long as some hundred rows.
    const int64_t stretch = n_threads > 1 ? 1024 : std::max<int64_t>(rows.n_rows, 1);
    const int64_t most = max_entries(rows, cut);
    const int64_t bytes = (scratch_bytes(cut, model, most) + 63) / 64 * 64;
    const Block scratch = aligned(bytes * n_threads);
    in_stretches(rows.n_rows, stretch, n_threads, [&](int t, int64_t begin, int64_t end) {
        kernels<T>().score(rows.part(begin, end), cut, model,
                           out + begin * model.n_outputs,
                           {most, scratch.get() + bytes * t});
    });
}

template <class T>
struct Training {
    Rows<T> rows;
    Cut cut;
    Model<T> model;
    Table<T> table;
    Options<T> options;
    T* bias;
    const T* target;
    const T* weight;
    T* scores;  // of each row before its step, or null

    Progress alone(const Rows<T>& part, const Hot<T>& hot, T* own_bias,
                   const Work& work) const {
        Model<T> own = model;
        own.bias = own_bias;
        T* out = scores ? scores + (part.first - rows.first) * model.n_outputs : nullptr;
        return kernels<T>().train(part, cut, own, table, options, hot, own_bias, target,
                                  weight, out, work);
    }

    Progress run() const {
        const int64_t most = max_entries(rows, cut);
        const Block scratch = aligned(scratch_bytes(cut, model, most));
        return alone(rows, {nullptr, nullptr, nullptr}, bias, {most, scratch.get()});
    }

    // Every thread takes the next `interval` rows, meets the table, and so on, until no
    // rows are left or a step has failed. In step, they wait for each other before they
    // do: no step then sees more of the others' than with as many processors.
    Progress run_threads(int n_threads, const Array<int32_t>& labels,
                         const Array<float>& shares, int64_t interval,
                         bool in_step) const {
        interval = std::min(interval, (rows.n_rows + n_threads - 1) / n_threads);
        const int64_t most = max_entries(rows, cut);
        const int64_t bytes = (scratch_bytes(cut, model, most) + 63) / 64 * 64;
        const Block scratch = aligned(bytes * n_threads);
        const Merge<T> merge{table, options, model.length(cut.n_fields), model.n_outputs};
        Replicas<T> replicas(table, labels, shares, n_threads, 2 * model.n_outputs);
        Meeting meeting(n_threads);
        std::vector<double> losses(n_threads);
        std::atomic<int64_t> next{0}, done{rows.n_rows};
        in_threads(n_threads, [&](int t) {
            replicas.copy(t, bias);
            if (in_step) meeting.wait();
            double loss = 0;
            while (done.load() == rows.n_rows) {
                const int64_t begin = next.fetch_add(interval);
                if (begin >= rows.n_rows) break;
                const int64_t end = std::min(begin + interval, rows.n_rows);
                const Progress part = alone(rows.part(begin, end),
                                            replicas.of(t),
                                            replicas.bias(t),
                                            {most, scratch.get() + bytes * t});
                if (in_step) meeting.wait();
                replicas.exchange(t, bias, merge.of(part));
                if (in_step) meeting.wait();
                loss += part.loss;
                if (part.done == end - begin) continue;
                int64_t first = done.load();
                while (begin + part.done < first &&
                       !done.compare_exchange_weak(first, begin + part.done)) {}
            }
            meeting.leave();
            losses[t] = loss;
        });
        double loss = 0;
        for (double part : losses) loss += part;
        return {loss, done.load()};
    }
};

template <class T>
Rows<T> rows_of(const Maybe<int64_t>& indptr, const Array<int32_t>& indices,
                const Array<T>& values, const Maybe<int64_t>& order, int64_t first,
                int64_t n_rows) {
    return {pointer(indptr), indices.data(), values.data(), pointer(order), first, n_rows};
}

// Adds one to the count of every label of every row, as far as 32 bits count; returns
// the sum of the squared weights.
template <class T>
double count(const Rows<T>& rows, int32_t* counts) {
    double squares = 0;
    for (int64_t i = 0; i < rows.n_rows; i++) {
        const int64_t row = rows.row(i), first = rows.indptr[row];
        const int64_t end = rows.indptr[row + 1];
        for (int64_t q = first; q < end; q++) {
            int32_t& n = counts[rows.indices[q]];
            n += n < std::numeric_limits<int32_t>::max();
        }
        double part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t q = first; q < end; q++)
            part += double(rows.values[q]) * double(rows.values[q]);
        squares += part;
    }
    return squares;
}

// Fills `length` numbers with uniform ones of mean 0 and standard deviation `scale`.
template <class T>
void draw(T* p, int64_t length, T scale, uint64_t key) {
    const T width = scale * T(2 * std::sqrt(3.0) / 4294967296.0);
    for (int64_t d = 0; d < length; d += 2) {
        const uint64_t x = mix(key + uint64_t(d));
        p[d] = width * (T(int32_t(uint32_t(x))) + T(0.5));
        if (d + 1 < length) p[d + 1] = width * (T(int32_t(uint32_t(x >> 32))) + T(0.5));
    }
}

template <class T>
void bind(py::module_& m) {
    using namespace py::literals;
    m.def(
        "count",
        [](Array<int64_t> indptr, Array<int32_t> indices, Array<T> values,
           Maybe<int64_t> order, int64_t n_rows, Array<int32_t> counts) {
            const Rows<T> rows{indptr.data(), indices.data(), values.data(),
                               pointer(order), 0, n_rows};
            int32_t* out = counts.mutable_data();
            py::gil_scoped_release release;
            return count(rows, out);
        },
        "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "order"_a.noconvert(), "n_rows"_a, "counts"_a.noconvert());
    m.def(
        "start",
        [](Array<T> table, int length, int n_outputs, std::vector<int> places,
           Array<int32_t> counts, T init_scale, T state, T linear_state, uint64_t seed,
           Maybe<int64_t> labels) {
            T* rows = table.mutable_data();
            const int64_t* names = pointer(labels);
            const int32_t* n = counts.data();
            const int64_t n_labels = table.shape(0), stride = table.shape(1);
            py::gil_scoped_release release;
            for (int64_t j = 0; j < n_labels; j++) {
                T* p = rows + j * stride;
                const uint64_t label = uint64_t(names ? names[j] : j);
                draw(p, length, init_scale, mix(seed) + label * uint64_t(length));
                std::fill(p + length, p + stride, T(0));
                std::fill_n(p + places[1], n_outputs, linear_state);
                p[places[3]] = state;
                p[places[4]] = T(1) / T(std::max(n[j], 1));
                std::fill(p + std::min<int64_t>(places[5], stride), p + stride, state);
            }
        },
        "table"_a.noconvert(), "length"_a, "n_outputs"_a, "places"_a,
        "counts"_a.noconvert(), "init_scale"_a, "state"_a, "linear_state"_a, "seed"_a,
        "labels"_a.noconvert());
    m.def(
        "score",
        [](bool field_aware, int n_factors, int n_fields, int n_outputs, bool intra_field,
           Maybe<int64_t> field_ends, Maybe<int32_t> field_of, Maybe<int64_t> offsets,
           Maybe<int64_t> indptr, Array<int32_t> indices, Array<T> values,
           Maybe<int64_t> order, int64_t first, int64_t n_rows, Strided<T> factors,
           std::optional<Strided<T>> linear, Maybe<T> bias, int64_t linear_offset, Array<T> out,
           int n_threads) {
            const Rows<T> rows = rows_of(indptr, indices, values, order, first, n_rows);
            const Cut cut{pointer(field_ends), pointer(field_of), pointer(offsets),
                          n_fields};
            Model<T> model{field_aware ? Pairs::ffm : Pairs::fm, factors.data(),
                           factors.strides(0) / int64_t(sizeof(T)), linear_offset,
                           nullptr, 0, 0, pointer(bias), n_factors, n_outputs,
                           intra_field};
            if (linear) {
                model.linear = linear->data();
                model.linear_stride = linear->strides(0) / int64_t(sizeof(T));
                model.linear_output_stride = linear->strides(1) / int64_t(sizeof(T));
            }
            T* target = out.mutable_data();
            py::gil_scoped_release release;
            score_rows(rows, cut, model, target, n_threads);
        },
        "field_aware"_a, "n_factors"_a, "n_fields"_a, "n_outputs"_a, "intra_field"_a,
        "field_ends"_a.noconvert(), "field_of"_a.noconvert(), "offsets"_a.noconvert(),
        "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "order"_a.noconvert(), "first"_a, "n_rows"_a, "factors"_a.noconvert(),
        "linear"_a.noconvert(), "bias"_a.noconvert(), "linear_offset"_a, "out"_a.noconvert(),
        "n_threads"_a);
    m.def(
        "train",
        [](bool field_aware, int n_factors, int n_fields, int n_outputs, bool intra_field,
           Maybe<int64_t> field_ends, Maybe<int32_t> field_of, Array<int64_t> indptr,
           Array<int32_t> indices, Array<T> values, Maybe<int64_t> order, int64_t first,
           int64_t n_rows, Array<T> target, Maybe<T> weight,
           std::optional<Array<T>> scores, Array<T> table, Array<T> bias,
           std::vector<int> places, int loss, int step, T learning_rate,
           T learning_rate_linear, T l2_factors, T l2_linear, T l1_linear, T huber_delta,
           bool fit_linear, bool fit_bias, bool counting, int n_threads,
           Maybe<int32_t> hot, Maybe<float> shares, int64_t interval, bool in_step) {
            const int64_t stride = table.shape(1);
            Training<T> training{
                rows_of<T>(indptr, indices, values, order, first, n_rows),
                {pointer(field_ends), pointer(field_of), nullptr, n_fields},
                {field_aware ? Pairs::ffm : Pairs::fm, table.data(), stride,
                 fit_linear ? places[0] : -1, nullptr, 0, 0, bias.data(), n_factors,
                 n_outputs, intra_field},
                {table.mutable_data(), stride, places[0], places[1], places[2], places[3],
                 places[4], places[5]},
                {Loss(loss), Step(step), learning_rate, learning_rate_linear, l2_factors,
                 l2_linear, l1_linear, huber_delta, fit_linear, fit_bias, counting},
                bias.mutable_data(), target.data(), pointer(weight),
                scores ? scores->mutable_data() : nullptr};
            Progress progress;
            {
                py::gil_scoped_release release;
                progress = n_threads > 1
                               ? training.run_threads(n_threads, *hot, *shares, interval,
                                                      in_step)
                               : training.run();
            }
            return py::make_tuple(progress.loss, progress.done);
        },
        "field_aware"_a, "n_factors"_a, "n_fields"_a, "n_outputs"_a, "intra_field"_a,
        "field_ends"_a.noconvert(), "field_of"_a.noconvert(), "indptr"_a.noconvert(),
        "indices"_a.noconvert(), "values"_a.noconvert(), "order"_a.noconvert(), "first"_a,
        "n_rows"_a, "target"_a.noconvert(), "weight"_a.noconvert(),
        "scores"_a.noconvert(), "table"_a.noconvert(), "bias"_a.noconvert(), "places"_a, "loss"_a, "step"_a,
        "learning_rate"_a, "learning_rate_linear"_a, "l2_factors"_a, "l2_linear"_a,
        "l1_linear"_a, "huber_delta"_a, "fit_linear"_a, "fit_bias"_a, "counting"_a,
        "n_threads"_a, "hot"_a.noconvert(), "shares"_a.noconvert(),
        "interval"_a, "in_step"_a);
}

}  // namespace
}  // namespace skwfm

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
    m.doc() = "The compiled core.";
    skwfm::bind<float>(m);
    skwfm::bind<double>(m);
    skwfm::bind_batch(m);
    skwfm::bind_text(m);
    skwfm::bind_labels(m);
    skwfm::bind_checks(m);
    skwfm::bind_gibbs(m);
    m.def("instruction_sets", skwfm::instruction_sets);
    m.def("instruction_set", [] { return skwfm::instruction_set(); });
    m.def("set_instruction_set", skwfm::set_instruction_set);
}
