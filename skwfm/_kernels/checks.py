"""What is the matter with a CSR matrix, found in one pass.

The compiled core reads the arrays once, 10 million entries in some 7 ms; without it,
or for numbers that it does not take, numpy looks at some rows at a time. Nothing here
words errors: a fault is only named, for the caller to look closer or to put right.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._kernels import compiled

__all__ = [
    "Faults",
    "faults",
    "faults_slowly",
    "is_ascending",
    "narrow",
]

# Rows that numpy looks at together, to bound its memory.
BLOCK_ROWS = 2**14


class Faults(IntFlag):
    """What may keep a matrix from being what the core takes; numbered as there."""

    NONE = 0
    BROKEN = 1
    """Row pointer or a column out of range: nothing else is known."""
    NOT_FINITE = 2
    UNSORTED = 4
    """The columns of a row do not strictly ascend."""
    ZEROS = 8
    """A stored value is zero."""


def faults(X: Any, n_threads: int = 1) -> Faults | None:
    """Return what is the matter with a matrix; None if it is not CSR.

    Parameters
    ----------
    X : object
        Of a CSR matrix anything may be wrong but the kinds of its arrays.
    n_threads : int, default=1
        Threads to split the rows over.
    """
    if getattr(X, "format", None) != "csr":
        return None
    if X.shape[0] + 1 != len(X.indptr):
        return Faults.BROKEN
    if not _core_takes(X):
        return faults_slowly(X)
    found = compiled.core().faults(
        indptr=X.indptr,
        indices=X.indices,
        values=X.data,
        n_columns=X.shape[1],
        n_threads=n_threads,
    )
    return Faults(found)


def _core_takes(X: Any) -> bool:
    arrays = (X.indptr, X.indices, X.data)
    plain = all(a.flags.c_contiguous and a.dtype.isnative for a in arrays)
    integers = all(a.dtype in (np.int32, np.int64) for a in arrays[:2])
    is_float = X.data.dtype in (np.float32, np.float64)
    return compiled.available() and plain and integers and is_float


def narrow(X: Any) -> tuple[Any, Any] | None:
    """Return row pointer and columns of a CSR matrix with 32 bits, in one pass.

    Columns that do not fit become -1, hence a fault. None where they have 32 bits, the
    core cannot do it, the pointer needs more, or scipy would refuse what comes out.
    """
    indptr = X.indptr
    is_wide = X.indices.dtype == indptr.dtype == np.int64
    if not is_wide or not _core_takes(X) or len(indptr) != X.shape[0] + 1:
        return None
    if indptr.min() < 0 or indptr.max() > np.iinfo(np.int32).max:
        return None
    if indptr[0] != 0 or not indptr[-1] <= len(X.indices) == len(X.data):
        return None
    indices = np.empty(len(X.indices), np.int32)
    compiled.core().narrow(indices=X.indices, out=indices)
    return X.indptr.astype(np.int32), indices


def faults_slowly(X: Any) -> Faults:
    """Return the same by numpy."""
    indptr, n_rows = X.indptr, X.shape[0]
    n_stored = min(len(X.indices), len(X.data))
    if indptr[0] != 0 or indptr[-1] > n_stored or (indptr[1:] < indptr[:-1]).any():
        return Faults.BROKEN
    found = Faults.NONE
    for first in range(0, n_rows, BLOCK_ROWS):
        starts = indptr[first : first + BLOCK_ROWS + 1]
        entries = slice(starts[0], starts[-1])
        labels, values = X.indices[entries], X.data[entries]
        if not len(labels):
            continue
        if labels.min() < 0 or labels.max() >= X.shape[1]:
            return Faults.BROKEN
        if values.dtype.kind in "fc" and not np.isfinite(values).all():
            found |= Faults.NOT_FINITE
        if not values.all():
            found |= Faults.ZEROS
        if not is_ascending(labels, starts - starts[0]):
            found |= Faults.UNSORTED
    return found


def is_ascending(
    labels: npt.NDArray[np.integer[Any]], indptr: npt.NDArray[np.integer[Any]]
) -> bool:
    """Tell whether the labels of every row strictly ascend, by numpy."""
    rises = labels[1:] > labels[:-1]
    starts = indptr[(indptr > 0) & (indptr < len(labels))]
    rises[starts - 1] = True  # from the last entry of a row to the next row
    return bool(rises.all())
