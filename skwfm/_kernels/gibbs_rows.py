"""A matrix as the sweeps of a chain take it: columns, fields, and labels of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._kernels import compiled, gibbs_twin
from skwfm._kernels.stretches import row_stretches

__all__ = ["Columns", "Field", "RowLabels"]

Array = npt.NDArray[Any]

# Entries whose bags are told apart at a time: some 50 bytes for each.
DIGEST_ENTRIES = 2**16


class RowLabels(NamedTuple):
    """The labels of every row, and where their blocks are, as the core takes them."""

    indptr: npt.NDArray[np.int64] | None
    """None: all rows have as many labels."""
    labels: npt.NDArray[np.int32]
    values: Array | None
    """None: all are 1."""
    table: Array
    length: int
    """Labels of each row, if all have as many."""
    first: int = 0
    end: int = 0
    """The labels of the field, which are left out of the sums."""
    pairs_inside: bool = False
    """Only the label itself is left out."""

    @classmethod
    def of(cls, X: Any) -> RowLabels:
        """Share the arrays of a CSR matrix, without a table."""
        rows, lengths = compiled.Rows.of(X), np.diff(X.indptr)
        is_even = bool((lengths == lengths[0]).all())
        return cls(
            None if is_even else rows.indptr,
            rows.indices,
            _unless_ones(rows.values),
            np.empty((0, 0), X.dtype),
            int(lengths[0]) if is_even else 0,
        )


class Columns(NamedTuple):
    """Columns of a matrix; values None: all are 1."""

    indptr: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    values: Array | None = None

    @classmethod
    def of(cls, matrix: Any) -> Columns:
        """Take the arrays of a CSC matrix."""
        indptr = matrix.indptr.astype(np.int64, copy=False)
        rows = matrix.indices.astype(np.int32, copy=False)
        return cls(indptr, rows, _unless_ones(matrix.data))

    def part(self, first: int, end: int) -> Columns:
        """Return some columns, sharing memory."""
        start, stop = self.indptr[first], self.indptr[end]
        values = self.values
        if values is not None:
            values = _unless_ones(values[start:stop])
        indptr = self.indptr[first : end + 1] - start
        return Columns(indptr, self.rows[start:stop], values)

    def matrix(self, n_rows: int, dtype: Any) -> Any:
        """Return the columns as a CSC matrix."""
        values, indptr = self.values, self.indptr
        if values is None:
            values = np.ones(len(self.rows), dtype)
        if len(self.rows) <= np.iinfo(np.int32).max:
            indptr = indptr.astype(np.int32)  # else SciPy widens the rows to match
        shape = n_rows, len(indptr) - 1
        return sp.csc_array((values, self.rows, indptr), shape=shape)


def _unless_ones(values: Array) -> Array | None:
    return None if (values == 1).all() else values


@dataclass(frozen=True)
class Field:
    """Labels `first` to `end`, in the order of the sweep, and their rows."""

    first: int
    end: int
    columns: Columns
    """Of the rows, or of the different bags."""
    is_single: bool
    """No row has two labels."""
    members: Columns | None = None
    """The rows of each bag, where they share few."""
    bags: Any = None
    """The different bags as a CSR matrix."""

    @classmethod
    def of(
        cls, columns: Columns, first: int, end: int, n_rows: int, bags_per_entry: float
    ) -> Field:
        """Look at the rows of some columns; few are at most so many bags per entry."""
        part = columns.part(first, end)
        if end - first < 2 or _are_different(part.rows, n_rows):
            return cls(first, end, part, True)
        shared = _shared_bags(part, n_rows, int(bags_per_entry * len(part.rows)))
        if shared is None:
            return cls(first, end, part, False)
        bags, members = shared
        return cls(first, end, Columns.of(bags.tocsc()), False, members, bags)


def _are_different(rows: Array, n_rows: int) -> bool:
    """Tell whether no row occurs twice."""
    if 8 * len(rows) < n_rows:  # there may be many such fields
        return len(np.unique(rows)) == len(rows)
    seen = np.zeros(n_rows, bool)
    seen[rows] = True
    return int(np.count_nonzero(seen)) == len(rows)


def _shared_bags(part: Columns, n_rows: int, most: int) -> tuple[Any, Columns] | None:
    """Return the different bags and the rows of each, if there are at most so many."""
    if most < 1:
        return None
    rows = part.matrix(n_rows, np.float32).tocsr()
    first, which = np.unique(_digests(rows), return_index=True, return_inverse=True)[1:]
    if len(first) > most:
        return None
    order = np.argsort(which, kind="stable").astype(np.int32)
    counts = np.bincount(which, minlength=len(first))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return rows[first], Columns(indptr, order)


def _digests(rows: Any) -> Array:
    """Return a number of 128 bits for every row: the same for equal bags."""
    out = np.zeros((rows.shape[0], 2), np.uint64)
    for part in row_stretches(rows, rows.shape[0], DIGEST_ENTRIES):
        out[part] = _digests_of_some(rows[part])
    return out.view([("high", np.uint64), ("low", np.uint64)])[:, 0]


def _digests_of_some(rows: Any) -> Array:
    bits = rows.data.astype(np.float64).view(np.uint64)
    labels = rows.indices.astype(np.uint64)
    out = np.zeros((rows.shape[0], 2), np.uint64)
    filled = np.flatnonzero(np.diff(rows.indptr))
    for side, key in enumerate((0x243F6A8885A308D3, 0x13198A2E03707344)):
        mixed = gibbs_twin.mixed(gibbs_twin.mixed(bits ^ np.uint64(key)) + labels)
        out[filled, side] = np.add.reduceat(mixed, rows.indptr[filled])
    return out
