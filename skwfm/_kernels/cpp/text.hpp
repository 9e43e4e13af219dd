// libFFM's text, `label field:feature:value ...` a line, to numbers and back.
//
// Nothing is read behind the end of the text, whatever stands in it, and the locale
// plays no part. A number is correctly rounded: short ones by one exact operation
// (Clinger, 1990), the others by the standard library.
#pragma once

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <system_error>
#include <type_traits>
#include <vector>

#if !defined(__cpp_lib_to_chars) && !defined(_MSC_VER)
#define SKWFM_STRTOD 1  // libc++ reads no floating-point numbers by from_chars.
#endif
#ifdef SKWFM_STRTOD
#include <locale.h>
#include <stdlib.h>
#if defined(__APPLE__) || defined(__FreeBSD__)
#include <xlocale.h>
#endif
#include <string>
#endif

namespace skwfm {

// What is wrong with a token; `ffm_text.py` has the same list.
enum class Fault { none, label, entry, field, feature, value, sum };

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// A decimal without sign: any digits, and where its first one stands (10^magnitude).
template <class T>
T read_slowly(const char* p, const char* end, int64_t magnitude) {
#ifdef SKWFM_STRTOD
    static const locale_t plain = newlocale(LC_ALL_MASK, "C", locale_t(0));
    (void)magnitude;
    const std::string copy(p, end);
    if constexpr (std::is_same_v<T, float>) return strtof_l(copy.c_str(), nullptr, plain);
    return T(strtod_l(copy.c_str(), nullptr, plain));
#else
    T value = 0;
    if (std::from_chars(p, end, value).ec == std::errc::result_out_of_range)
        return magnitude > 0 ? std::numeric_limits<T>::infinity() : T(0);
    return value;
#endif
}

// Whether rounding this double to T is the same as rounding what it stands for.
inline bool rounds_alike(double, double) { return true; }
inline bool rounds_alike(double value, float) {
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const bool is_tie = (bits & 0x1fffffffu) == 0x10000000u;
    return !is_tie && value >= FLT_MIN && value <= FLT_MAX;
}

// Reads [+-]digits[.digits][e[+-]digits], and nothing else, from all of [p, end).
template <class T>
bool read_number(const char* p, const char* end, T& out) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    const char* const begin = p;
    uint64_t digits = 0;           // the first 18 that matter
    int64_t n_read = 0, n_digits = 0, exponent = 0;
    const auto take = [&](int64_t shift) {
        for (; p < end && is_digit(*p); p++, n_read++, exponent -= shift) {
            if (n_digits < 18) digits = 10 * digits + uint64_t(*p - '0');
            n_digits += n_digits > 0 || *p != '0';
        }
    };
    take(0);
    if (p < end && *p == '.') {
        p++;
        take(1);
    }
    if (!n_read) return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const bool down = ++p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+')) p++;
        if (p == end) return false;
        int64_t given = 0;
        for (; p < end && is_digit(*p); p++)
            if (given < int64_t(1) << 40) given = 10 * given + (*p - '0');
        exponent += down ? -given : given;
    }
    if (p < end) return false;
    T value = 0;
    if (n_digits) {
        constexpr bool exact = FLT_EVAL_METHOD == 0;
        const bool is_short = n_digits <= 18 && digits <= uint64_t(1) << 53 &&
                              exponent >= -22 && exponent <= 22;
        const double wide = !is_short      ? 0
                            : exponent < 0 ? double(digits) / powers[-exponent]
                                           : double(digits) * powers[exponent];
        value = exact && is_short && rounds_alike(wide, value)
                    ? T(wide)
                    : read_slowly<T>(begin, end, n_digits + exponent);
    }
    out = negative ? -value : value;
    return true;
}

template <class T>
bool read_finite(const char* p, const char* end, T& out) {
    return read_number(p, end, out) && std::isfinite(out);
}

// Reads digits and moves p behind them; the id must be below the limit.
inline bool read_id(const char*& p, const char* end, uint64_t limit, uint64_t& id) {
    const char* const begin = p;
    id = 0;
    for (; p < end && is_digit(*p); p++)
        if (id < uint64_t(1) << 40) id = 10 * id + uint64_t(*p - '0');
    return p > begin && id < limit;
}

struct Limits {
    uint64_t n_fields, n_features;
};

// An entry's key: its field in the upper half, its feature in the lower.
template <class T>
bool read_entry(const char* p, const char* end, Limits limits, int64_t& key, T& value) {
    uint64_t field, feature;
    if (!read_id(p, end, limits.n_fields, field) || p == end || *p++ != ':')
        return false;
    if (!read_id(p, end, limits.n_features, feature) || p == end || *p++ != ':')
        return false;
    key = int64_t(field << 32 | feature);
    return read_finite(p, end, value);
}

// What is wrong with an entry that `read_entry` refuses.
inline Fault fault_of(const char* p, const char* end, Limits limits) {
    int64_t n_colons = 0;
    for (const char* q = p; q < end; q++) n_colons += *q == ':';
    if (n_colons != 2) return Fault::entry;
    uint64_t id;
    if (!read_id(p, end, limits.n_fields, id) || *p++ != ':') return Fault::field;
    if (!read_id(p, end, limits.n_features, id) || *p != ':') return Fault::feature;
    return Fault::value;
}

template <class T>
struct Entry {
    int64_t key, place;
    T value;
};

template <class T>
struct Parsed {
    double* labels;  // of each row
    int64_t* ends;   // of each row: its entries and those before
    int64_t* lines;  // of each row, counted from 0
    int64_t* keys;   // of each entry; they ascend within a row
    T* values;       // of each entry, none of them 0
    int64_t n_rows = 0, n_entries = 0, n_lines = 0;
    Fault fault = Fault::none;
    const char *begin = nullptr, *end = nullptr;  // the token at fault
    std::vector<Entry<T>> row{};                  // for sorting
};

// Sorts the entries from `first` to `n` by key, sums those of one key in their order
// and drops what becomes 0. Returns the end of the entries, or -1 where a sum overflows.
template <class T>
int64_t sort_and_sum(Parsed<T>& out, int64_t first, int64_t n) {
    out.row.clear();
    for (int64_t q = first; q < n; q++) out.row.push_back({out.keys[q], q, out.values[q]});
    std::sort(out.row.begin(), out.row.end(), [](const auto& a, const auto& b) {
        return a.key != b.key ? a.key < b.key : a.place < b.place;
    });
    int64_t end = first;
    for (size_t q = 0; q < out.row.size();) {
        out.keys[end] = out.row[q].key;
        out.values[end] = out.row[q].value;
        while (++q < out.row.size() && out.row[q].key == out.keys[end])
            out.values[end] += out.row[q].value;
        if (!std::isfinite(out.values[end])) return -1;
        end += out.values[end] != 0;
    }
    return end;
}

// Reads one line up to its comment; false at a fault.
template <class T>
bool parse_line(const char* p, const char* end, Limits limits, Parsed<T>& out) {
    const auto next = [&] {
        while (p < end && is_blank(*p)) p++;
        out.begin = p;
        while (p < end && !is_blank(*p)) p++;
        out.end = p;
        return out.begin < out.end;
    };
    if (!next()) return true;
    if (!read_finite(out.begin, out.end, out.labels[out.n_rows])) {
        out.fault = Fault::label;
        return false;
    }
    int64_t n = out.n_entries, last = -1;
    bool ascending = true;
    while (next()) {
        if (!read_entry(out.begin, out.end, limits, out.keys[n], out.values[n])) {
            out.fault = fault_of(out.begin, out.end, limits);
            return false;
        }
        if (out.values[n] == 0) continue;
        ascending &= out.keys[n] > last;
        last = out.keys[n++];
    }
    if (!ascending) n = sort_and_sum(out, out.n_entries, n);
    if (n < 0) {
        out.fault = Fault::sum;
        return false;
    }
    out.ends[out.n_rows] = out.n_entries = n;
    out.lines[out.n_rows++] = out.n_lines;
    return true;
}

inline const char* find(const char* p, const char* end, char c) {
    const void* at = p < end ? std::memchr(p, c, size_t(end - p)) : nullptr;
    return at ? static_cast<const char*>(at) : end;
}

// Reads whole lines, the last one with or without its end, until a fault.
template <class T>
void parse(const char* p, const char* end, Limits limits, Parsed<T>& out) {
    while (p < end) {
        const char* const stop = find(p, end, '\n');
        if (!parse_line(p, find(p, stop, '#'), limits, out)) return;
        out.n_lines++;
        p = stop + (stop < end);
    }
}

// The columns of keys: a hash table with linear probing, at most half full.
struct Columns {
    int32_t* slots;  // column at each place, or -1
    uint64_t mask;   // number of places, a power of two, minus 1
    int64_t* keys;   // of each column
    int64_t n;       // columns so far
    bool by_feature; // a column is a feature, of one field
};

inline uint64_t scatter(uint64_t x) {
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

// Looks up keys, -1 for an unknown one unless it may be added. Returns how many: fewer
// than n where the next one's feature has another field.
inline int64_t find_columns(Columns& columns, const int64_t* keys, int64_t n, bool add,
                            int32_t* out) {
    const int64_t part = columns.by_feature ? int64_t(0xffffffff) : int64_t(-1);
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = scatter(uint64_t(keys[i] & part)) & columns.mask;
        int32_t column;
        while ((column = columns.slots[at]) >= 0 &&
               (columns.keys[column] & part) != (keys[i] & part))
            at = (at + 1) & columns.mask;
        if (column >= 0 && columns.keys[column] != keys[i]) return i;
        if (column < 0 && add) {
            column = columns.slots[at] = int32_t(columns.n);
            columns.keys[columns.n++] = keys[i];
        }
        out[i] = column;
    }
    return n;
}

#if !defined(SKWFM_STRTOD)
#define SKWFM_WRITES_TEXT 1

// At most 25 characters: the shortest that read as the same number.
template <class T>
char* write_number(char* p, char* end, T value) {
    const double size = std::fabs(double(value));
    if (size < 1e16 && value == std::floor(value))
        return std::to_chars(p, end, int64_t(value)).ptr;
    const bool is_plain = size >= 1e-4 && size < 1e16;
    const auto format = is_plain ? std::chars_format::fixed : std::chars_format::scientific;
    return std::to_chars(p, end, value, format).ptr;
}

// Writes rows first to last - 1; room for 26 characters a row and 48 an entry.
template <class T>
char* write_rows(char* p, char* end, const double* labels, const int64_t* indptr,
                 const int32_t* indices, const T* values, const int32_t* fields,
                 const int32_t* features, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
        p = write_number(p, end, labels[i]);
        for (int64_t q = indptr[i]; q < indptr[i + 1]; q++) {
            *p++ = ' ';
            p = std::to_chars(p, end, fields[indices[q]]).ptr;
            *p++ = ':';
            p = std::to_chars(p, end, features[indices[q]]).ptr;
            *p++ = ':';
            p = write_number(p, end, values[q]);
        }
        *p++ = '\n';
    }
    return p;
}
#endif

}  // namespace skwfm
