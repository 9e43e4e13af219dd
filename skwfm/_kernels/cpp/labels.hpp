// Entries of bags: the different pieces of a text, and rows of codes made canonical.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

namespace skwfm {

// Numbers pieces in the order of their first occurrence. Open addressing, at most half
// of the places taken; the hash starts from a random number, as that of Python does.
// A piece of up to 16 bytes is all in its place: its first and its last 8.
class Pieces {
   public:
    // `bounds` gets begin and end of every different piece, and has room for all.
    Pieces(const char* text, int64_t* bounds)
        : text_(text), bounds_(bounds), places_(1024) {}

    int64_t size() const { return size_; }

    int32_t number(int64_t begin, int64_t end) {
        const Key key = key_of(text_ + begin, end - begin);
        const uint64_t mask = places_.size() - 1;
        uint64_t at = key.hash & mask;
        for (; places_[at].code >= 0; at = (at + 1) & mask)
            if (is_piece(places_[at], key, begin, end - begin)) return places_[at].code;
        places_[at] = {key.first, key.last, end - begin, int32_t(size_)};
        bounds_[2 * size_] = begin;
        bounds_[2 * size_ + 1] = end;
        if (2 * ++size_ > int64_t(places_.size())) grow();
        return int32_t(size_ - 1);
    }

   private:
    struct Place {
        uint64_t first = 0, last = 0;
        int64_t length = 0;
        int32_t code = -1;
    };
    struct Key {
        uint64_t first, last, hash;
    };

    template <class T>
    static uint64_t load(const char* p) {
        T word;
        std::memcpy(&word, p, sizeof(T));
        return word;
    }

    static uint64_t mixed(uint64_t x) {
        x *= 0x9e3779b97f4a7c15u;
        return x ^ (x >> 29);
    }

    static Key key_of(const char* p, int64_t n) {
        static const uint64_t seed = (uint64_t(std::random_device{}()) << 32) |
                                     std::random_device{}();
        Key key{0, 0, seed ^ uint64_t(n)};
        if (n >= 8) {
            key.first = load<uint64_t>(p);
            key.last = load<uint64_t>(p + n - 8);
            for (int64_t at = 8; at < n - 8; at += 8)
                key.hash = mixed(key.hash ^ load<uint64_t>(p + at));
        } else if (n >= 4) {
            key.first = load<uint32_t>(p);
            key.last = load<uint32_t>(p + n - 4);
        } else if (n > 0) {
            key.first = uint64_t(uint8_t(p[0])) << 8 | uint8_t(p[n / 2]);
            key.last = uint8_t(p[n - 1]);
        }
        key.hash = mixed(mixed(key.hash ^ key.first) ^ key.last);
        key.hash ^= key.hash >> 32;
        return key;
    }

    bool is_piece(const Place& place, const Key& key, int64_t begin, int64_t n) const {
        if (place.length != n || place.first != key.first || place.last != key.last)
            return false;
        return n <= 16 ||
               !std::memcmp(text_ + bounds_[2 * place.code], text_ + begin, n);
    }

    void grow() {
        std::vector<Place> before(4 * places_.size());
        before.swap(places_);
        const uint64_t mask = places_.size() - 1;
        for (const Place& place : before) {
            if (place.code < 0) continue;
            const int64_t begin = bounds_[2 * place.code];
            uint64_t at = key_of(text_ + begin, place.length).hash & mask;
            while (places_[at].code >= 0) at = (at + 1) & mask;
            places_[at] = place;
        }
    }

    const char* text_;
    int64_t* bounds_;
    int64_t size_ = 0;
    std::vector<Place> places_;
};

// Splits rows, which end in a zero byte, at a separator without one. Calls
// piece(begin, end) and, after the last piece of a row, row().
template <class Piece, class Row>
void split_rows(const char* text, int64_t n, const char* sep, int64_t width,
                Piece piece, Row row) {
    int64_t begin = 0;
    for (int64_t at = 0; at < n;) {
        if (text[at] == sep[0] && n - at >= width && !std::memcmp(text + at, sep, width)) {
            piece(begin, at);
            begin = at += width;
        } else if (!text[at]) {
            piece(begin, at);
            row();
            begin = ++at;
        } else {
            at++;
        }
    }
}

// Sorts up to 16 entries. The place of an entry is the number of those before it: no
// branch depends on the codes, and labels come in any order, which no processor guesses.
inline void sort_few(int32_t* codes, double* weights, int64_t n) {
    int32_t code[16], place[16];
    double weight[16];
    for (int64_t e = 0; e < n; e++) {
        code[e] = codes[e];
        place[e] = 0;
        for (int64_t before = 0; before < e; before++) {
            const int32_t is_less = code[e] < code[before];
            place[before] += is_less;
            place[e] += 1 - is_less;
        }
    }
    for (int64_t e = 0; e < n; e++) codes[place[e]] = code[e];
    if (!weights) return;
    std::copy(weights, weights + n, weight);
    for (int64_t e = 0; e < n; e++) weights[place[e]] = weight[e];
}

// Sorts the entries of a row by code, keeping the order of equal ones.
inline void sort_row(int32_t* codes, double* weights, int64_t n) {
    if (n < 2) return;
    if (n <= 16) return sort_few(codes, weights, n);
    if (std::is_sorted(codes, codes + n)) return;
    if (!weights) return std::sort(codes, codes + n);
    std::vector<std::pair<int32_t, double>> row(n);
    for (int64_t e = 0; e < n; e++) row[e] = {codes[e], weights[e]};
    std::stable_sort(row.begin(), row.end(),
                     [](auto& a, auto& b) { return a.first < b.first; });
    for (int64_t e = 0; e < n; e++) codes[e] = row[e].first;
    for (int64_t e = 0; e < n; e++) weights[e] = row[e].second;
}

// Sums the weights of equal neighbours and drops those of 0; returns how many are left.
inline int64_t sum_row(int32_t* codes, double* weights, int64_t n) {
    int64_t last = -1;
    int32_t before = -1;
    for (int64_t e = 0; e < n; e++) {
        const int32_t code = codes[e];
        const double weight = weights[e], sum = weights[last < 0 ? 0 : last];
        last += code != before;
        weights[last] = code == before ? sum + weight : weight;
        codes[last] = before = code;
    }
    int64_t kept = 0;
    for (int64_t e = 0; e <= last; e++) {
        codes[kept] = codes[e];
        weights[kept] = weights[e];
        kept += weights[e] != 0;
    }
    return kept;
}

// Whether a sorted row has a column twice.
inline bool repeats(const int32_t* row, int64_t n) {
    bool any = false;
    for (int64_t e = 1; e < n; e++) any |= row[e] == row[e - 1];
    return any;
}

// Replaces codes by columns, drops entries whose column is negative, sorts every row and
// sums the weights of a column. Works in place: entries move to the front, `ends` gets
// the new row pointer. Unless `weighted`, all weights are 1, and `weights` is written
// only where a column occurs twice in a row; returns whether there are weights now.
inline bool canonical_rows(const int64_t* indptr, int64_t n_rows,
                           const int32_t* columns, int32_t* codes, double* weights,
                           bool weighted, int64_t* ends) {
    const bool given = weighted;
    int64_t first = 0;
    ends[0] = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        int64_t n = 0;
        for (int64_t e = indptr[i]; e < indptr[i + 1]; e++) {
            const int32_t column = columns[codes[e]];
            if (column < 0) continue;
            if (weighted) weights[first + n] = given ? weights[e] : 1.0;
            codes[first + n++] = column;
        }
        int32_t* row = codes + first;
        sort_row(row, given ? weights + first : nullptr, n);
        if (!weighted && repeats(row, n)) {
            std::fill(weights, weights + first + n, 1.0);
            weighted = true;
        }
        if (weighted) n = sum_row(row, weights + first, n);
        ends[i + 1] = first += n;
    }
    return weighted;
}

}  // namespace skwfm
