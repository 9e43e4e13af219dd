"""The bags of one raw column as numbers, and the checks of labels and weights.

Storage: the distinct labels of the column once as Python values, and per entry an int32
code, the number of its label; weights in float64, or none where all of them are 1; one
row pointer. So what looks at labels (kinds, missing ones) runs over distinct labels,
and all else is arrays: 4 to 12 bytes and some 50 ns per entry, in the compiled core
where there is one (`skwfm._kernels.labels`) and twice that without.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import chain, islice
from numbers import Real
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._kernels import labels as kernels
from skwfm._labels import (
    is_missing,
    keys_of,
    kind_of,
    may_be_label,
    python_value,
    sorted_labels,
)
from skwfm._validation import cell_error

__all__ = [
    "Bags",
    "Codes",
    "Column",
    "Flat",
    "Form",
    "Indptr",
    "Numbering",
    "Weights",
    "check_labels",
    "check_unique",
    "check_weights",
    "row_of",
    "row_pointer",
    "sorted_bags",
    "take_rows",
    "to_csr",
]

# How the cells of a column are read, see _cells.
Form: TypeAlias = Literal["bags", "plain", "weighted"]
Codes: TypeAlias = npt.NDArray[np.int32]
Indptr: TypeAlias = npt.NDArray[np.int64]
Weights: TypeAlias = npt.NDArray[np.float64]


class Bags(NamedTuple):
    """The bags of one column, flat.

    Attributes
    ----------
    labels : list
        The distinct labels, hashable Python values.
    codes : array of int32, shape (n_entries,)
        Entry e has the label ``labels[codes[e]]``. Unless `is_canonical` a label may
        occur twice in a row.
    weights : array of float64, shape (n_entries,), or None
        Finite; None: all 1.
    indptr : array of int64, shape (n_rows + 1,)
        Row i owns the entries ``indptr[i]:indptr[i + 1]``.
    form : {"bags", "plain", "weighted"} or None
        How the cells were read; None when all of them are missing.
    is_canonical : bool
        Whether the codes of every row increase and no weight is 0.
    """

    labels: list[Any]
    codes: Codes
    weights: Weights | None
    indptr: Indptr
    form: Form | None
    is_canonical: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1


class Column(NamedTuple):
    """The cells of a raw column with its name, to word errors."""

    cells: Any
    name: object

    def fail(
        self, row: int, expected: str, error: type[Exception] = ValueError
    ) -> NoReturn:
        """Raise the error for the cell of a row."""
        value = self.cells[row]
        value = value.as_py() if hasattr(value, "as_py") else value  # of Arrow
        raise error(cell_error(self.name, row, value, expected))


class Numbering:
    """Numbers labels in the order of their first occurrence.

    Examples
    --------
    >>> from skwfm._columns import Numbering
    >>> numbering = Numbering()
    >>> numbering.codes(["b", "a", "b"], 3), numbering.labels()
    (array([0, 1, 0], dtype=int32), ['b', 'a'])
    """

    def __init__(self) -> None:
        self._index: defaultdict[Any, int] = defaultdict()
        self._index.default_factory = self._index.__len__

    def __len__(self) -> int:
        """Return the number of distinct labels so far."""
        return len(self._index)

    def codes_in(self, bags: list[Any], count: int) -> Codes:
        """Return the number of every label in some containers, as `codes` does."""
        size = len(self._index)
        try:
            out = kernels.number_bags(self._index, bags, count)
        except TypeError:
            self.forget(size)
            raise
        return self._bools_apart(out, size, lambda: chain.from_iterable(bags))

    def codes(
        self, labels: Iterable[Any] | Callable[[], Iterable[Any]], count: int
    ) -> Codes:
        """Return the number of every label.

        Parameters
        ----------
        labels : iterable, or callable that returns one
            The labels; iterated twice where bools may be among them.
        count : int
            How many they are.

        Returns
        -------
        array of int32, shape (count,)

        Raises
        ------
        TypeError
            If a label is not hashable; nothing is numbered then.
        """
        again = labels if callable(labels) else lambda: labels
        size = len(self._index)
        try:
            out = self._look_up(again(), count)
        except TypeError:
            self.forget(size)
            raise
        return self._bools_apart(out, size, again)

    def _bools_apart(
        self, codes: Codes, size: int, again: Callable[[], Iterable[Any]]
    ) -> Codes:
        """Return other numbers, from `size` on, if there are bools among the labels."""
        if 0 in self._index or 1 in self._index:  # which False and True are equal to
            keys = keys_of(seen := list(again()))
            if keys is not seen:
                self.forget(size)
                return self._look_up(keys, len(codes))
        return codes

    def _look_up(self, keys: Iterable[Any], count: int) -> Codes:
        return np.fromiter(map(self._index.__getitem__, keys), np.int32, count)

    def codes_of_pieces(self, rows: list[str], sep: str) -> tuple[Codes, Any] | None:
        """Return the numbers of what stands between separators, and how many a row has.

        None: the text is to be split another way.
        """
        found = kernels.number_pieces(rows, sep)
        if found is None:
            return None
        return self._renumbered(found.labels, found.codes), found.sizes

    def codes_of_texts(self, text: Any, ends: npt.NDArray[Any]) -> Codes | None:
        """Return the numbers of texts in UTF-8 that lie one after the other.

        None: the texts are to be numbered another way.
        """
        found = kernels.number_texts(text, ends)
        return None if found is None else self._renumbered(*found)

    def _renumbered(self, labels: list[bytes], codes: Codes) -> Codes:
        texts = [label.decode("utf-8", "surrogatepass") for label in labels]
        numbers = self.codes(texts, len(texts))
        if np.array_equal(numbers, np.arange(len(numbers))):
            return codes
        return np.take(numbers, codes, out=codes, mode="clip")

    def newest(self, size: int) -> list[Any]:
        """Return what was numbered after the first `size` labels, latest first."""
        return list(islice(reversed(self._index), len(self._index) - size))

    def forget(self, size: int) -> None:
        """Take back all numbers from `size` on."""
        while len(self._index) > size:
            self._index.popitem()

    def labels(self) -> list[Any]:
        """Return the distinct labels by number."""
        keys = list(self._index)
        if tuple in set(map(type, keys)):  # the keys of bools
            return [key[0] if type(key) is tuple else key for key in keys]
        return keys


class Flat:
    """An array that grows at its end.

    It grows in place where the C library can move memory without a copy, so that at no
    time there is a second copy of the elements.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._columns import Flat
    >>> flat = Flat(np.int32)
    >>> flat.extend(np.array([1, 2], np.int32))
    >>> flat.extend(np.array([3], np.int32))
    >>> flat.array()
    array([1, 2, 3], dtype=int32)
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._array: npt.NDArray[Any] = np.empty(0, dtype)
        self._size = 0

    def __len__(self) -> int:
        """Return the number of elements."""
        return self._size

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Append the elements of an array."""
        end = self._size + len(values)
        if end > len(self._array):
            # No other reference to the array is ever given away before `array`.
            self._array.resize(end + end // 4, refcheck=False)
        self._array[self._size : end] = values
        self._size = end

    def array(self) -> Any:
        """Return the elements; they are gone from here."""
        out, self._array = self._array, np.empty(0, self._array.dtype)
        out.resize(self._size, refcheck=False)
        self._size = 0
        return out


def row_of(indptr: npt.NDArray[np.integer[Any]], entry: int) -> int:
    """Return the row that an entry belongs to."""
    return int(np.searchsorted(indptr, entry, side="right")) - 1


def row_pointer(sizes: Any) -> Indptr:
    """Return the row pointer for the number of entries of every row."""
    indptr = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=indptr[1:])
    return indptr


# --- checks -------------------------------------------------------------------------


def check_labels(
    column: Column, labels: list[Any], codes: Codes, indptr: Indptr
) -> list[Any]:
    """Return distinct labels with numpy scalars as Python values.

    Raises
    ------
    TypeError
        If a label is a container or not hashable, or a cell holds two kinds of labels.
    ValueError
        If a label inside a cell is missing (None, NaN).
    """
    types = set(map(type, labels))
    if types <= {str} or types <= {int}:
        return labels
    labels = [python_value(label) for label in labels]
    types = set(map(type, labels))
    bad = {t for t in types if not may_be_label(t)}
    for code, label in enumerate(labels):
        if type(label) in bad:
            expected = "labels that are hashable single values"
            column.fail(_first_row(code, codes, indptr), expected, TypeError)
        if is_missing(label):
            expected = "no missing label inside a cell"
            column.fail(_first_row(code, codes, indptr), expected)
    _check_one_kind(column, labels, codes, indptr)
    return labels


def _first_row(code: int, codes: Codes, indptr: Indptr) -> int:
    return row_of(indptr, int(np.argmax(codes == code)))


def _check_one_kind(
    column: Column, labels: list[Any], codes: Codes, indptr: Indptr
) -> None:
    kinds = [kind_of(type(label)) for label in labels]
    number = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
    if len(number) < 2 or not len(codes):
        return
    entries = np.array([number[kind] for kind in kinds], dtype=np.int16)[codes]
    differs = entries[1:] != entries[:-1]
    inner = indptr[(indptr > 0) & (indptr < len(codes))]
    differs[inner - 1] = False  # neighbours of two rows
    if differs.any():
        row = row_of(indptr, int(np.argmax(differs)))
        expected = "labels of one kind or (label, weight) pairs"
        column.fail(row, expected, TypeError)


def check_weights(
    column: Column, weights: Sequence[Any], indptr: Indptr, first_row: int = 0
) -> Weights:
    """Return flat weights as float64; `indptr` is that of the rows from `first_row`.

    The result may be read-only.

    Raises
    ------
    TypeError
        If a weight is not a real number; bools are not.
    ValueError
        If a weight is not finite.
    """
    try:
        values = np.frombuffer(struct.pack(f"{len(weights)}d", *weights))
        perhaps = np.flatnonzero((values == 0) | (values == 1)).tolist()
        good = not any(isinstance(weights[i], bool | np.bool_) for i in perhaps)
    except struct.error:  # something is no number
        good = False
    if not good:
        values = _slowly_checked(column, weights, indptr, first_row)
    check_finite(column, values, indptr, first_row)
    return values


def _slowly_checked(
    column: Column, weights: Sequence[Any], indptr: Indptr, first_row: int
) -> Weights:
    types = set(map(type, weights))
    bad = {t for t in types if t is bool or not issubclass(t, Real | Decimal)}
    if bad:
        entry = next(i for i, weight in enumerate(weights) if type(weight) in bad)
        row = first_row + row_of(indptr, entry)
        column.fail(row, "weights that are real numbers", TypeError)
    try:
        values = np.fromiter(weights, np.float64, len(weights))
    except (OverflowError, ValueError):
        values = np.fromiter(map(_to_float, weights), np.float64, len(weights))
    return values


def check_finite(
    column: Column, values: Weights, indptr: Indptr, first_row: int = 0
) -> None:
    """Raise ValueError for the first weight that is not finite."""
    finite = np.isfinite(values)
    if not finite.all():
        row = first_row + row_of(indptr, int(np.argmin(finite)))
        column.fail(row, "finite weights")


def _to_float(weight: Any) -> float:
    try:
        return float(weight)
    except OverflowError:  # an int beyond the largest float64
        return np.inf
    except ValueError:  # a signalling NaN of decimal
        return np.nan


def check_unique(column: Column, bags: Bags) -> None:
    """Raise ValueError for the first row that holds a label twice (weights 0 aside)."""
    size = len(bags.labels)
    codes = bags.codes.copy()
    present = None if bags.weights is None else (bags.weights != 0).astype(np.int8)
    block = _csr(present, codes, bags.indptr, size)
    block.eliminate_zeros()
    block.sort_indices()
    same = block.indices[1:] == block.indices[:-1]
    inner = block.indptr[(block.indptr > 0) & (block.indptr < block.nnz)]
    same[inner - 1] = False
    if same.any():
        entry = int(np.argmax(same))
        label = bags.labels[block.indices[entry]]
        expected = f"every label once, but {label!r} twice; or pass duplicates='sum'"
        column.fail(row_of(block.indptr, entry), expected)


# --- bags to matrices ---------------------------------------------------------------


def sorted_bags(bags: Bags) -> Bags:
    """Return the canonical form of bags, with sorted labels.

    The arrays of `bags` are used up.
    """
    labels = sorted_labels(bags.labels)
    place = dict(zip(keys_of(labels), range(len(labels)), strict=True))
    ranks = [place[key] for key in keys_of(bags.labels)]
    block = to_csr(bags, np.array(ranks, dtype=np.int32), len(labels))
    weights = None if block.data.dtype == np.float32 else block.data
    indptr = block.indptr.astype(np.int64, copy=False)
    return Bags(labels, block.indices, weights, indptr, bags.form, True)


def to_csr(bags: Bags, columns: Codes, n_columns: int) -> sp.csr_matrix:
    """Return the summed weights of every row: canonical and without zeros.

    Parameters
    ----------
    bags : Bags
        Its arrays are used up: they may be part of the result, or be overwritten.
    columns : array of int32, shape (n_labels,)
        Column of every distinct label; negative: the label is dropped.
    n_columns : int
        Number of columns.

    Returns
    -------
    CSR matrix of float64, or of ones in float32 (exact, at half the memory)

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._columns import Bags, to_csr
    >>> codes = np.array([1, 0, 1], np.int32)
    >>> bags = Bags(["a", "b"], codes, None, np.array([0, 3, 3]), "bags")
    >>> to_csr(bags, np.array([0, 1], np.int32), 2).toarray()
    array([[1., 2.],
           [0., 0.]])
    """
    weights, indptr = bags.weights, bags.indptr
    if bags.is_canonical and np.array_equal(columns, np.arange(n_columns)):
        return _canonical(bags.codes, weights, indptr, n_columns)
    found = kernels.canonical_rows(indptr, bags.codes, weights, columns)
    if found is None:
        return _to_csr_slowly(bags, columns, n_columns)
    indptr, entries, weights = found
    return _canonical(entries, weights, indptr, n_columns)


def _to_csr_slowly(bags: Bags, columns: Codes, n_columns: int) -> sp.csr_matrix:
    """Do what `to_csr` does, with numpy and scipy."""
    weights, indptr = bags.weights, bags.indptr
    # "clip" only because the default would buffer the output; no code is out of range.
    entries = np.take(columns, bags.codes, out=bags.codes, mode="clip")
    if len(columns) and columns.min() < 0:
        keep = entries >= 0
        before = row_pointer(keep)
        entries, indptr = entries[keep], before[indptr]
        weights = None if weights is None else weights[keep]
    used = columns[columns >= 0]
    out = _csr(weights, entries, indptr, n_columns)
    if bags.is_canonical and (used[1:] > used[:-1]).all():
        out.has_canonical_format = True
    else:
        out.sort_indices()
    if weights is None:
        dtype = np.float32 if out.has_canonical_format else np.float64
        out.data = np.ones(out.nnz, dtype)
        out.sum_duplicates()
        return out
    out.sum_duplicates()
    if np.count_nonzero(out.data) < out.nnz:
        out.eliminate_zeros()
    return out


def _canonical(
    entries: Codes, weights: Weights | None, indptr: Indptr, n_columns: int
) -> sp.csr_matrix:
    """Return canonical rows as they are, in a matrix that shares their arrays."""
    data = np.ones(len(entries), np.float32) if weights is None else weights
    out = _csr(data, entries, indptr, n_columns)
    out.has_canonical_format = True
    return out


def _csr(data: Any, indices: Codes, indptr: Indptr, n_columns: int) -> sp.csr_matrix:
    """Return a CSR matrix over arrays; of placeholders where there are no data."""
    if data is None:
        data = np.ones(len(indices), np.int8)
    return sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_columns))


def take_rows(bags: Bags, rows: npt.NDArray[np.integer[Any]]) -> Bags:
    """Return the bags of some rows, in this order; a negative row is an empty bag."""
    sizes = np.append(np.diff(bags.indptr), 0)[rows]
    starts = np.append(bags.indptr[:-1], 0)[rows]
    indptr = row_pointer(sizes)
    entries = np.arange(indptr[-1])
    entries += np.repeat(starts - indptr[:-1], sizes)
    weights = None if bags.weights is None else bags.weights[entries]
    return bags._replace(codes=bags.codes[entries], weights=weights, indptr=indptr)
