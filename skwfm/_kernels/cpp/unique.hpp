// The different labels of a batch, in ascending order, and which of them each entry
// has. Cost O(n): a bit per possible label, whose place is the number of bits below it.
// Where there are far more possible labels than entries, a sort of the entries instead.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace skwfm {

inline int32_t count_bits(uint64_t x) {  // compilers know this for one instruction
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return int32_t((x * 0x0101010101010101u) >> 56);
}

// `unique` has room for n numbers or for all labels. Returns how many there are.
inline int64_t unique_by_bits(const int32_t* labels, int64_t n, int64_t n_features,
                              int64_t* unique, int32_t* place) {
    const int64_t n_words = n_features / 64 + 1;
    std::vector<uint64_t> words(n_words);
    std::vector<int32_t> below(n_words);
    for (int64_t q = 0; q < n; q++) words[labels[q] >> 6] |= uint64_t(1) << (labels[q] & 63);
    int32_t total = 0;
    for (int64_t w = 0; w < n_words; w++) {
        below[w] = total;
        for (uint64_t rest = words[w]; rest; rest &= rest - 1)
            unique[total++] = 64 * w + count_bits((rest & -rest) - 1);
    }
    for (int64_t q = 0; q < n; q++) {
        const int64_t w = labels[q] >> 6;
        const uint64_t mask = (uint64_t(1) << (labels[q] & 63)) - 1;
        place[q] = below[w] + count_bits(words[w] & mask);
    }
    return total;
}

inline int64_t unique_by_sort(const int32_t* labels, int64_t n, int64_t* unique,
                              int32_t* place) {
    std::copy(labels, labels + n, unique);
    std::sort(unique, unique + n);
    const int64_t total = std::unique(unique, unique + n) - unique;
    for (int64_t q = 0; q < n; q++)
        place[q] = int32_t(std::lower_bound(unique, unique + total, labels[q]) - unique);
    return total;
}

inline int64_t unique_labels(const int32_t* labels, int64_t n, int64_t n_features,
                             int64_t* unique, int32_t* place) {
    constexpr int64_t WORDS_PER_ENTRY = 16;  // passing over a word costs a tenth of an entry
    if (n_features / 64 <= WORDS_PER_ENTRY * n)
        return unique_by_bits(labels, n, n_features, unique, place);
    return unique_by_sort(labels, n, unique, place);
}

}  // namespace skwfm
