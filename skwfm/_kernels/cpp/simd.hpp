// Short vectors of the compiler's own where it has them (GCC, Clang), else arrays.
// Included inside the namespace of one instruction set, which defines WIDTH_BYTES.

template <class T>
constexpr int WIDTH = WIDTH_BYTES / sizeof(T);

#if defined(__GNUC__)
template <class T, int N>
struct Pack {
    typedef T Vector
        __attribute__((vector_size(N * sizeof(T)), may_alias, aligned(alignof(T))));
    Vector v;
    static Pack load(const T* p) { return {*reinterpret_cast<const Vector*>(p)}; }
    static Pack all(T x) { return {x - Vector{}}; }
    void store(T* p) const { *reinterpret_cast<Vector*>(p) = v; }
    Pack operator+(Pack b) const { return {v + b.v}; }
    Pack operator-(Pack b) const { return {v - b.v}; }
    Pack operator*(Pack b) const { return {v * b.v}; }
};
#else
template <class T, int N>
struct Pack {
    T v[N];
    static Pack load(const T* p) {
        Pack a;
        std::memcpy(a.v, p, sizeof a.v);
        return a;
    }
    static Pack all(T x) {
        Pack a;
        for (T& e : a.v) e = x;
        return a;
    }
    void store(T* p) const { std::memcpy(p, v, sizeof v); }
    Pack operator+(Pack b) const {
        for (int i = 0; i < N; i++) b.v[i] = v[i] + b.v[i];
        return b;
    }
    Pack operator-(Pack b) const {
        for (int i = 0; i < N; i++) b.v[i] = v[i] - b.v[i];
        return b;
    }
    Pack operator*(Pack b) const {
        for (int i = 0; i < N; i++) b.v[i] = v[i] * b.v[i];
        return b;
    }
};
#endif

template <class T>
struct Pack<T, 1> {
    T v;
    static Pack load(const T* p) { return {*p}; }
    static Pack all(T x) { return {x}; }
    void store(T* p) const { *p = v; }
    Pack operator+(Pack b) const { return {v + b.v}; }
    Pack operator-(Pack b) const { return {v - b.v}; }
    Pack operator*(Pack b) const { return {v * b.v}; }
};

template <class T>
inline T sum(Pack<T, 1> a) {
    return a.v;
}

template <class T, int N>
inline T sum(Pack<T, N> a) {
    T parts[N];
    a.store(parts);
    return sum(Pack<T, N / 2>::load(parts) + Pack<T, N / 2>::load(parts + N / 2));
}

// A vector of two halves of 4 or 8 numbers, and the halves of one; only where compilers
// do it in registers.
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SKWFM_HALVES
#endif
#endif

template <class T, int N>
inline Pack<T, 2 * N> join(Pack<T, N> low, Pack<T, N> high) {
#ifdef SKWFM_HALVES
    if constexpr (N == 4)
        return {__builtin_shufflevector(low.v, high.v, 0, 1, 2, 3, 4, 5, 6, 7)};
    else if constexpr (N == 8)
        return {__builtin_shufflevector(low.v, high.v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                        12, 13, 14, 15)};
    else
#endif
        return Pack<T, 2 * N>::all(0);
}

template <int N, class T, int M>
inline Pack<T, N> part(Pack<T, M> all, int which) {
    if constexpr (N == M) return all;
#ifdef SKWFM_HALVES
    else if constexpr (N == 4)
        return {which ? __builtin_shufflevector(all.v, all.v, 4, 5, 6, 7)
                      : __builtin_shufflevector(all.v, all.v, 0, 1, 2, 3)};
    else if constexpr (N == 8)
        return {which ? __builtin_shufflevector(all.v, all.v, 8, 9, 10, 11, 12, 13, 14, 15)
                      : __builtin_shufflevector(all.v, all.v, 0, 1, 2, 3, 4, 5, 6, 7)};
#endif
    else
        return Pack<T, N>::all(0);
}

#ifdef SKWFM_HALVES
constexpr bool joins(int n) { return n == 4 || n == 8; }
#else
constexpr bool joins(int) { return false; }
#endif

template <int N>
struct Lanes {
    static constexpr int n = N;
};

// Calls f(Lanes<N>, d) for blocks d .. d + N that cover 0 .. length and nothing else.
template <class T, class F>
inline void blocks(int length, F f) {
    constexpr int W = WIDTH<T>;
    int d = 0;
    for (; d + W <= length; d += W) f(Lanes<W>{}, d);
    if constexpr (W > 4)
        for (; d + 4 <= length; d += 4) f(Lanes<4>{}, d);
    for (; d < length; d++) f(Lanes<1>{}, d);
}

template <class T>
inline T dot(const T* a, const T* b, int length) {
    constexpr int W = WIDTH<T>;
    auto wide = Pack<T, W>::all(0), more = wide;
    int d = 0;
    for (; d + 2 * W <= length; d += 2 * W) {
        wide = wide + Pack<T, W>::load(a + d) * Pack<T, W>::load(b + d);
        more = more + Pack<T, W>::load(a + d + W) * Pack<T, W>::load(b + d + W);
    }
    if (d + W <= length) {
        wide = wide + Pack<T, W>::load(a + d) * Pack<T, W>::load(b + d);
        d += W;
    }
    T total = sum(wide + more);
    if constexpr (W > 4) {
        auto four = Pack<T, 4>::all(0);
        for (; d + 4 <= length; d += 4)
            four = four + Pack<T, 4>::load(a + d) * Pack<T, 4>::load(b + d);
        total += sum(four);
    }
    for (; d < length; d++) total += a[d] * b[d];
    return total;
}

// Returns <a, b> and adds <b, b> to `square`.
template <class T>
inline T dot_and_square(const T* a, const T* b, int length, T& square) {
    constexpr int W = WIDTH<T>;
    auto wide = Pack<T, W>::all(0), wide_square = wide;
    int d = 0;
    for (; d + W <= length; d += W) {
        const auto bd = Pack<T, W>::load(b + d);
        wide = wide + Pack<T, W>::load(a + d) * bd;
        wide_square = wide_square + bd * bd;
    }
    auto four = Pack<T, 4>::all(0), four_square = four;
    for (; d + 4 <= length; d += 4) {
        const auto bd = Pack<T, 4>::load(b + d);
        four = four + Pack<T, 4>::load(a + d) * bd;
        four_square = four_square + bd * bd;
    }
    T total = sum(wide) + sum(four);
    square += sum(wide_square) + sum(four_square);
    for (; d < length; d++) {
        total += a[d] * b[d];
        square += b[d] * b[d];
    }
    return total;
}

// out = x * a
template <class T>
inline void scale(T* out, T x, const T* a, int length) {
    blocks<T>(length, [&](auto lanes, int d) {
        using P = Pack<T, decltype(lanes)::n>;
        (P::all(x) * P::load(a + d)).store(out + d);
    });
}

// out += x * a
template <class T>
inline void add_scaled(T* out, T x, const T* a, int length) {
    blocks<T>(length, [&](auto lanes, int d) {
        using P = Pack<T, decltype(lanes)::n>;
        (P::load(out + d) + P::all(x) * P::load(a + d)).store(out + d);
    });
}

SKWFM_INLINE void prefetch_line(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, 3);
#else
    (void)p;
#endif
}

// To write, a line must be taken from the other processors as well: asking for that at
// once saves a second trip (a sixth of the time of an FM's epoch, even on one thread).
SKWFM_INLINE void prefetch(const void* p, int bytes, bool writes) {
#if defined(__GNUC__)
    const char* line = static_cast<const char*>(p);
    const char* end = line + bytes;
    line -= reinterpret_cast<uintptr_t>(line) % 64;
    if (writes)
        for (; line < end; line += 64) __builtin_prefetch(line, 1, 3);
    else
        for (; line < end; line += 64) __builtin_prefetch(line, 0, 2);
#endif
}
