"""Text of libFFM files, ``label field:feature:value ...`` a line, and plain arrays.

`parse` turns whole lines into labels and entries, a `KeyTable` turns entries into
columns, and `format_rows` turns rows into text. Each has a twin in plain Python, which
says what is accepted and works where the core was not built:

- Blanks are the space, the tab and the carriage return. ``#`` starts a comment, and a
  line without a token is skipped.
- A number is ``[+-]digits[.digits][e[+-]digits]`` in ASCII, correctly rounded, and
  finite. An id is a row of ASCII digits.
- The entries of a row come out by ascending key. Those of one key are summed in their
  order, and a value or sum of 0 is no entry.

An entry's key is ``field << 32 | feature``. Storage: 24 bytes a row, 8 an entry and its
value; a table takes 8 bytes a key and 8 to 16 for its places. Cost: 5 to 10 ns a byte
in the core, some 400 ns in Python. Nothing here words errors.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from skwfm._kernels import compiled

__all__ = [
    "FAULTS",
    "KeyTable",
    "Parsed",
    "format_rows",
    "format_slowly",
    "key_table",
    "parse",
    "parse_slowly",
]

# The core counts them from 1; 0 is none.
FAULTS = ("label", "entry", "field", "feature", "value", "sum")

FEATURE_BITS = 2**32 - 1
# Characters that a row and an entry take at most.
ROW_WIDTH, ENTRY_WIDTH = 26, 48
# Text written at a time, at most.
TEXT_SIZE = 2**20

Array = npt.NDArray[Any]

_TOKEN = re.compile(rb"[^ \t\r]+")
# An id has 10 digits at most; Python refuses to read thousands of them.
_ID = re.compile(rb"0*([0-9]{1,10})")
# No two parts can take the same digits: what is no number is known after one pass.
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ENTRY = re.compile(
    b":".join([_ID.pattern, _ID.pattern, b"(" + _NUMBER.pattern + b")"])
)
_DOUBLE, _BITS = struct.Struct("<d"), struct.Struct("<q")
_NORMAL = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_LABEL_TYPE = np.dtype(np.float64)


class Parsed(NamedTuple):
    """The complete rows of some lines, up to the first fault."""

    labels: npt.NDArray[np.float64]
    ends: npt.NDArray[np.int64]
    """Of each row: its entries and those of the rows before."""
    lines: npt.NDArray[np.int64]
    """The line of each row, counted from 0."""
    keys: npt.NDArray[np.int64]
    """Of each entry; they ascend within a row."""
    values: Array
    """float32 or float64, none of them 0."""
    n_lines: int
    """Lines read; where there is a fault, the number of its line."""
    fault: str = ""
    """A part of `FAULTS`, or empty."""
    token: bytes = b""
    """What the fault is in; empty where a sum overflows."""


def parse(text: bytes, dtype: Any, n_fields: int, n_features: int) -> Parsed:
    """Read whole lines, the last one with or without its end.

    Parameters
    ----------
    text : bytes
        Any bytes.
    dtype : dtype
        float32 or float64, that of the values.
    n_fields, n_features : int
        Ids must be below these, which are at most 2**31.

    Returns
    -------
    Parsed
    """
    core = compiled.core()
    if core is None:
        return parse_slowly(text, dtype, n_fields, n_features)
    # The shortest row is "1\n", the shortest entry " 0:0:1".
    rows, entries = len(text) // 2 + 1, len(text) // 6 + 1
    labels, values = np.empty(rows), np.empty(entries, dtype)
    ends, lines, keys = (np.empty(size, np.int64) for size in (rows, rows, entries))
    n_rows, n_entries, n_lines, fault, begin, end = core.parse_text(
        text=np.frombuffer(text, np.uint8),
        n_fields=n_fields,
        n_features=n_features,
        labels=labels,
        ends=ends,
        lines=lines,
        keys=keys,
        values=values,
    )
    return Parsed(
        labels[:n_rows],
        ends[:n_rows],
        lines[:n_rows],
        keys[:n_entries],
        values[:n_entries],
        n_lines,
        FAULTS[fault - 1] if fault else "",
        text[begin:end],
    )


def parse_slowly(text: bytes, dtype: Any, n_fields: int, n_features: int) -> Parsed:
    """Read lines as `parse` does, in plain Python."""
    dtype = np.dtype(dtype)
    labels: list[float] = []
    ends: list[int] = []
    lines: list[int] = []
    entries: list[tuple[int, Any]] = []
    fault, bad_token = "", b""
    contents = text.removesuffix(b"\n").split(b"\n") if text else []
    n_lines = len(contents)
    for line, content in enumerate(contents):
        with np.errstate(over="ignore", under="ignore"):
            row = _row(content, dtype, n_fields, n_features)
        if isinstance(row[0], str):
            n_lines, (fault, bad_token) = line, row
            break
        if row[0]:
            labels += row[0]
            entries += row[1]
            ends.append(len(entries))
            lines.append(line)
    return Parsed(
        np.array(labels, float),
        np.array(ends, np.int64),
        np.array(lines, np.int64),
        np.array([key for key, _ in entries], np.int64),
        np.array([value for _, value in entries], dtype),
        n_lines,
        fault,
        bad_token,
    )


def _row(content: bytes, dtype: Any, n_fields: int, n_features: int) -> Any:
    """Return ([label], entries) of a line, ([], []) without tokens, or its fault."""
    tokens = _TOKEN.findall(content.partition(b"#")[0])
    if not tokens:
        return [], []
    label = _number(tokens[0], _LABEL_TYPE)
    if label is None:
        return "label", tokens[0]
    entries = []
    for token in tokens[1:]:
        entry = _entry(token, dtype, n_fields, n_features)
        if isinstance(entry, str):
            return entry, token
        if entry[1]:
            entries.append(entry)
    summed = _summed(entries)
    if not all(math.isfinite(value) for _, value in summed):
        return "sum", b""
    return [label], summed


def _summed(entries: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Sum the entries of each key in their order; return those left, by key."""
    sums: dict[int, Any] = {}
    for key, value in entries:
        sums[key] = sums[key] + value if key in sums else value
    return sorted((key, value) for key, value in sums.items() if value)


def _entry(
    token: bytes, dtype: np.dtype[Any], n_fields: int, n_features: int
) -> str | tuple[int, Any]:
    """Return key and value, or the fault."""
    match = _ENTRY.fullmatch(token)
    if not match:
        return _fault(token, n_fields, n_features)
    field, feature, value = int(match[1]), int(match[2]), _rounded(match[3], dtype)
    if field >= n_fields or feature >= n_features or not math.isfinite(value):
        return _fault(token, n_fields, n_features)
    return field << 32 | feature, value


def _fault(token: bytes, n_fields: int, n_features: int) -> str:
    parts = token.split(b":")
    if len(parts) != 3:
        return "entry"
    if not _is_id(parts[0], n_fields):
        return "field"
    return "value" if _is_id(parts[1], n_features) else "feature"


def _is_id(token: bytes, limit: int) -> bool:
    match = _ID.fullmatch(token)
    return match is not None and int(match[1]) < limit


def _number(token: bytes, dtype: np.dtype[Any]) -> Any:
    value = _rounded(token, dtype) if _NUMBER.fullmatch(token) else math.nan
    return value if math.isfinite(value) else None


def _rounded(token: bytes, dtype: np.dtype[Any]) -> Any:
    """Return the number of this type that is nearest to a decimal."""
    wide = float(token)
    if dtype.itemsize == 8 or math.isinf(wide):
        return wide
    near = np.float32(wide)
    # What a float has no room for begins with a 1 where the double is in the middle.
    rest = _BITS.unpack(_DOUBLE.pack(wide))[0] & 0x1FFFFFFF
    if rest != 0x10000000 and (not wide or _NORMAL[0] <= abs(wide) <= _NORMAL[1]):
        return near
    return _rounded_once(token, wide, near)


def _rounded_once(token: bytes, wide: float, near: np.float32) -> np.float32:
    """Round a decimal that may be beside the middle of two floats, as a double is."""
    beyond = np.inf if float(near) < wide else -np.inf
    other = np.nextafter(near, np.float32(beyond))
    if float(near) == wide or (_finite(near) + _finite(other)) / 2 != wide:
        return near
    beside = Decimal(token.decode()).compare(Decimal(wide))
    return near if beside == 0 else (max if beside > 0 else min)(near, other)


def _finite(value: np.float32) -> float:
    """Return what infinity would be, had the exponent one more value."""
    return math.copysign(2.0**128, value) if np.isinf(value) else float(value)


class KeyTable(Protocol):
    """The columns of keys, numbered as they come."""

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        """The key of every column."""

    def find(
        self, keys: npt.NDArray[np.int64], add: bool
    ) -> tuple[npt.NDArray[np.int32], int]:
        """Look up keys.

        Parameters
        ----------
        keys : array of int64
            Keys; any number of times each.
        add : bool
            Give an unknown key the next column. By default its column is -1.

        Returns
        -------
        columns : array of int32
            The column of each key.
        done : int
            How many are found: fewer than there are where the feature of the next one
            is known in another field, and a column is a feature.
        """


def key_table(by_feature: bool, keys: npt.NDArray[np.int64]) -> KeyTable:
    """Return a table of some different keys.

    Parameters
    ----------
    by_feature : bool
        A column is a feature, which has one field, and not a pair of both.
    keys : array of int64
        The keys of the first columns.
    """
    table = _PlainTable(by_feature) if compiled.core() is None else _Table(by_feature)
    table.find(keys, add=True)
    return table


class _Table:
    """A `KeyTable` of the core."""

    def __init__(self, by_feature: bool) -> None:
        self._by_feature = by_feature
        self._n = 0
        self._known: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._slots: npt.NDArray[np.int32] = np.full(1, -1, np.int32)

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        return self._known[: self._n]

    def find(
        self, keys: npt.NDArray[np.int64], add: bool
    ) -> tuple[npt.NDArray[np.int32], int]:
        if add:
            self._reserve(self._n + len(keys))
        columns = np.empty(len(keys), np.int32)
        done, self._n = self._call(keys, self._n, add, columns)
        return columns, done

    def _call(self, keys: Array, n_known: int, add: bool, out: Array) -> Any:
        core: Any = compiled.core()
        return core.find_columns(
            keys=np.ascontiguousarray(keys),
            slots=self._slots,
            known=self._known,
            n_known=n_known,
            by_feature=self._by_feature,
            add=add,
            out=out,
        )

    def _reserve(self, size: int) -> None:
        """Make room for so many columns, at most half of the places taken."""
        if size > np.iinfo(np.int32).max:
            raise MemoryError(f"{size} columns")
        if size > len(self._known):
            known = np.empty(max(size, len(self._known) * 5 // 4), np.int64)
            known[: self._n] = self.keys
            self._known = known
        if 2 * size >= len(self._slots):
            places: int = 2 ** int(2 * size).bit_length()
            self._slots = np.full(places, -1, np.int32)
            self._call(self.keys.copy(), 0, True, np.empty(self._n, np.int32))


class _PlainTable:
    """A `KeyTable` in plain Python."""

    def __init__(self, by_feature: bool) -> None:
        self._part = FEATURE_BITS if by_feature else -1
        self._columns: dict[int, int] = {}
        self._keys: list[int] = []

    @property
    def keys(self) -> npt.NDArray[np.int64]:
        return np.array(self._keys, np.int64)

    def find(
        self, keys: npt.NDArray[np.int64], add: bool
    ) -> tuple[npt.NDArray[np.int32], int]:
        columns = np.empty(len(keys), np.int32)
        for at, key in enumerate(keys.tolist()):
            column = self._columns.get(key & self._part, -1)
            if column >= 0 and self._keys[column] != key:
                return columns, at
            if column < 0 and add:
                column = self._columns[key & self._part] = len(self._keys)
                self._keys.append(key)
            columns[at] = column
        return columns, len(keys)


def format_rows(
    labels: npt.NDArray[np.float64],
    indptr: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int32],
    values: Array,
    fields: npt.NDArray[np.int32],
    features: npt.NDArray[np.int32],
) -> Iterator[bytes]:
    """Write rows as lines, numbers by the fewest digits that read as the same.

    Parameters
    ----------
    labels : array of float64, shape (n_rows,)
        Finite.
    indptr, indices, values : arrays
        A CSR matrix of finite values, float32 or float64.
    fields, features : arrays of int32, shape (n_columns,)
        What the columns are called.

    Yields
    ------
    bytes
        Some lines.
    """
    given = (labels, indptr, indices, values, fields, features)
    parts = [np.ascontiguousarray(part) for part in given]
    write = getattr(compiled.core(), "format_text", None)
    widths = ENTRY_WIDTH * indptr + ROW_WIDTH * np.arange(len(indptr))
    first = 0
    while first < len(labels):
        last = int(np.searchsorted(widths, widths[first] + TEXT_SIZE, side="right")) - 1
        last = max(last, first + 1)
        if write is None:
            yield format_slowly(parts, first, last)
        else:
            out = np.empty(widths[last] - widths[first], np.uint8)
            yield out[: write(*parts, first, last, out)].tobytes()
        first = last


def format_slowly(parts: Sequence[Any], first: int, last: int) -> bytes:
    """Write rows `first` to ``last - 1`` as `format_rows` does, in plain Python."""
    labels, indptr, indices, values, fields, features = parts
    lines = []
    for row in range(first, last):
        tokens = [_shortest(labels[row])]
        for at in range(indptr[row], indptr[row + 1]):
            column = indices[at]
            name = f"{fields[column]}:{features[column]}"
            tokens.append(f"{name}:{_shortest(values[at])}")
        lines.append(" ".join(tokens) + "\n")
    return "".join(lines).encode()


def _shortest(value: Any) -> str:
    wide = float(value)
    if abs(wide) < 1e16 and wide.is_integer():
        return str(int(wide))
    if 1e-4 <= abs(wide) < 1e16:
        return np.format_float_positional(value, trim="-")
    return np.format_float_scientific(value, trim="-", exp_digits=2)
