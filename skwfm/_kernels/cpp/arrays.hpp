// What the bindings share: NumPy arrays taken apart, scratch memory, threads that live
// as long as a call does.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "types.hpp"

namespace skwfm {

namespace py = pybind11;

// The kernels for this processor.
template <class T>
const Kernels<T>& kernels();
template <>
const Kernels<float>& kernels<float>();
template <>
const Kernels<double>& kernels<double>();
const Checks& checks();

template <class T>
using Array = py::array_t<T, py::array::c_style>;
template <class T>
using Strided = py::array_t<T, 0>;
template <class T>
using Maybe = std::optional<Array<T>>;

template <class T>
const T* pointer(const Maybe<T>& array) {
    return array ? array->data() : nullptr;
}

struct AlignedDelete {
    void operator()(char* p) const { ::operator delete(p, std::align_val_t(64)); }
};
using Block = std::unique_ptr<char, AlignedDelete>;

inline Block aligned(int64_t bytes) {
    return Block(static_cast<char*>(::operator new(bytes, std::align_val_t(64))));
}

template <class T>
int64_t max_entries(const Rows<T>& rows, const Cut& cut) {
    int64_t most = 1;
    for (int64_t i = 0; i < rows.n_rows; i++) {
        const int64_t row = rows.row(i);
        const int64_t* p = cut.offsets ? cut.offsets + row * cut.n_fields
                                       : rows.indptr + row;
        most = std::max(most, p[cut.offsets ? cut.n_fields : 1] - p[0]);
    }
    return most;
}

// Calls f(thread) for every thread, the last one in this thread. None starts before all
// are there: should the system refuse one, the others leave and the error is passed on.
template <class F>
void in_threads(int n_threads, F f) {
    enum State { waiting, all_there, refused };
    std::atomic<int> state{waiting};
    std::vector<std::thread> others;
    const auto start = [&](int t) {
        while (state.load(std::memory_order_acquire) == waiting)
            std::this_thread::yield();
        if (state.load(std::memory_order_acquire) == all_there) f(t);
    };
    const auto join = [&](State last) {
        state.store(last, std::memory_order_release);
        if (last == all_there) f(n_threads - 1);
        for (auto& other : others) other.join();
    };
    try {
        for (int t = 0; t + 1 < n_threads; t++) others.emplace_back(start, t);
    } catch (...) {
        join(refused);
        throw;
    }
    join(all_there);
}

// Calls f(thread, first, end) for stretches of 0 .. n: a thread that is done takes the
// next one, so that none waits long for one that the system lets run less.
template <class F>
void in_stretches(int64_t n, int64_t stretch, int n_threads, F f) {
    n_threads = int(std::min<int64_t>(n_threads, (n + stretch - 1) / stretch));
    std::atomic<int64_t> next{0};
    in_threads(std::max(n_threads, 1), [&](int t) {
        for (int64_t first; (first = next.fetch_add(stretch)) < n;)
            f(t, first, std::min(first + stretch, n));
    });
}

}  // namespace skwfm
