// The physical floor of an epoch: one read-modify-write of every touched parameter row
// in the real order of the labels, no arithmetic beyond an addition, one thread.
// Compiled and loaded by floor.py.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

constexpr std::size_t HUGE_PAGE = std::size_t(1) << 21;

double cpu_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// Zeroed memory in huge pages where the system gives them, as a trainer would ask for.
float* allocate(std::size_t n_floats) {
    std::size_t bytes = (n_floats * sizeof(float) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void* memory = std::aligned_alloc(HUGE_PAGE, bytes);
    if (memory == nullptr) return nullptr;
#if defined(MADV_HUGEPAGE)
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, bytes);
    return static_cast<float*>(memory);
}

}  // namespace

// CPU seconds of the fastest of `repeats` passes, negative if there is no memory.
// Rows have `width` floats; `ahead` labels ahead are prefetched, none if it is 0.
extern "C" double floor_rows(const std::int32_t* labels, std::int64_t n_labels,
                             std::int64_t n_columns, std::int64_t width,
                             std::int64_t ahead, int repeats) {
    float* table = allocate(std::size_t(n_columns) * std::size_t(width));
    if (table == nullptr) return -1;
    double best = 1e30;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        double start = cpu_seconds();
        for (std::int64_t at = 0; at < n_labels; ++at) {
            if (ahead > 0 && at + ahead < n_labels) {
                const float* next = table + labels[at + ahead] * width;
                for (std::int64_t d = 0; d < width; d += 16)
                    __builtin_prefetch(next + d, 1);
            }
            float* row = table + labels[at] * width;
            for (std::int64_t d = 0; d < width; ++d) row[d] += 1.0f;
        }
        double seconds = cpu_seconds() - start;
        if (seconds < best) best = seconds;
    }
    // The sum depends on the passes, so that they cannot be left out.
    volatile float sink = table[labels[0] * width];
    (void)sink;
    std::free(table);
    return best;
}

// GB/s of a[i] = b[i] + s c[i], three streams counted, the best of `repeats`.
extern "C" double triad(std::int64_t n_floats, int repeats) {
    float *a = allocate(n_floats), *b = allocate(n_floats), *c = allocate(n_floats);
    double best = 0;
    if (a != nullptr && b != nullptr && c != nullptr) {
        for (int repeat = 0; repeat < repeats; ++repeat) {
            double start = cpu_seconds();
            float scale = 0.5f + float(repeat);
            for (std::int64_t i = 0; i < n_floats; ++i) a[i] = b[i] + scale * c[i];
            volatile float sink = a[n_floats / 2];
            (void)sink;
            double rate = 12e-9 * double(n_floats) / (cpu_seconds() - start);
            if (rate > best) best = rate;
        }
    }
    std::free(a);
    std::free(b);
    std::free(c);
    return best;
}
