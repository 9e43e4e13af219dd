// The loops over the entries of a matrix that is checked: arithmetic of unsigned
// integers, which every instruction set has, and whose highest bit is a sign.
// Included inside the namespace of one instruction set.

// W is the unsigned integer as wide as T, and `infinite` are the bits of infinity.
template <class T, class W>
SeenValues<W> look_at_values(const T* values, int64_t n, W infinite) {
    const W largest = ~W(0) >> 1;
    const W up = largest + 1 - infinite;
    W high = 0, low = 0;
#pragma omp simd reduction(| : high, low)
    for (int64_t q = 0; q < n; q++) {
        W bits;
        std::memcpy(&bits, values + q, sizeof(T));
        bits &= largest;    // of the absolute value
        high |= bits + up;  // the sign is set from infinity on
        low |= bits - 1;    // and here by zero
    }
    return {high, low};
}

// The first label has one before it.
template <class J, class W>
SeenLabels<W> look_at_labels(const J* labels, int64_t n, W last) {
    W outside = 0, falls = 0;
#pragma omp simd reduction(| : outside) reduction(+ : falls)
    for (int64_t q = 0; q < n; q++) {
        const W label = W(labels[q]);
        outside |= label | (last - label);
        falls += (label - W(labels[q - 1]) - 1) >> (8 * sizeof(W) - 1);
    }
    return {outside, int64_t(falls)};
}

inline SeenValues<uint32_t> look_at_floats(const float* values, int64_t n) {
    return look_at_values<float, uint32_t>(values, n, 0x7f800000u);
}
inline SeenValues<uint64_t> look_at_doubles(const double* values, int64_t n) {
    return look_at_values<double, uint64_t>(values, n, 0x7ff0000000000000u);
}
