"""Output columns that come later: what a fitted transformer gets by `partial_fit`.

Several blocks stand side by side in one matrix. When a block gets columns, they are
appended to the *whole* matrix, so that no column changes its number: own column j of
block b has the number p_b(j), increasing in j.

A transformer *appends columns* if its class says so by ``_appends_columns = True``.
It promises that its `partial_fit`

- only appends columns: those there are keep their number and meaning (StandardScaler
  has a `partial_fit` that changes what it returns for the same row);
- attributes every column by `fields_`, and never changes `field_names_`;
- sets new fitted attributes and changes no old one in place, so that a shallow copy
  can grow while the original stays as it is;

and that ``_growing_error()`` says why a fitted one refuses, or None.

Storage: a slice for each block whose columns lie side by side, else 8 bytes a column.
Cost: none before a block has grown; then a look-up per stored value, and a sort of
every row.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

__all__ = [
    "Where",
    "appends_columns",
    "extended",
    "grow_one",
    "growing_error",
    "numbers_of",
    "placed",
    "places_of",
]

_Numbers: TypeAlias = npt.NDArray[np.int64]
# The columns of a block: a slice where they lie side by side.
Where: TypeAlias = slice | _Numbers


def appends_columns(transformer: Any) -> bool:
    """Tell whether `partial_fit` of a transformer appends columns, see above."""
    return bool(getattr(transformer, "_appends_columns", False))


def growing_error(parts: Iterable[tuple[str, Any]]) -> str | None:
    """Return why a fitted transformer that appends columns cannot, with its name."""
    for part, transformer in parts:
        if appends_columns(transformer):
            error: str | None = transformer._growing_error()
            if error is not None:
                return f"Transformer {part!r}: {error}"
    return None


def grow_one(transformer: Any, X: Any, **_: Any) -> Any:
    """Return a copy that has learned from `X`; None for one that does not grow."""
    if not appends_columns(transformer):
        return None
    return copy.copy(transformer).partial_fit(X)


def numbers_of(where: Where) -> _Numbers:
    """Return the numbers of a block's columns.

    Examples
    --------
    >>> from skwfm._growing import numbers_of
    >>> numbers_of(slice(2, 5))
    array([2, 3, 4])
    """
    return np.arange(where.start, where.stop) if isinstance(where, slice) else where


def extended(where: Where, start: int, stop: int) -> Where:
    """Return a block's columns and the new ones from `start` to `stop`.

    Examples
    --------
    >>> from skwfm._growing import extended
    >>> extended(slice(0, 2), 2, 4), extended(slice(0, 2), 5, 6)
    (slice(0, 4, None), array([0, 1, 5]))
    """
    if start == stop:
        return where
    numbers = np.concatenate([numbers_of(where), np.arange(start, stop)])
    first, last = int(numbers[0]), int(numbers[-1])
    side_by_side = last - first == len(numbers) - 1
    return slice(first, last + 1) if side_by_side else numbers


def places_of(blocks: Sequence[Where]) -> _Numbers | None:
    """Return the number of every column of blocks put side by side.

    None if the numbers are 0, 1, 2, ...: nothing has grown.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._growing import places_of
    >>> places_of([np.array([0, 1, 3]), slice(2, 3)])
    array([0, 1, 3, 2])
    >>> places_of([slice(0, 2), slice(2, 3)]) is None
    True
    """
    end = 0
    for where in blocks:
        if isinstance(where, slice) and where.start in (end, where.stop):
            end += where.stop - where.start
        else:
            return np.concatenate([numbers_of(where) for where in blocks])
    return None


def placed(block: Any, places: _Numbers) -> sp.csr_matrix:
    """Return a CSR matrix with column j moved to ``places[j]``, its rows sorted.

    The arrays of `block` are used for the result.
    """
    indices = places.astype(block.indices.dtype, copy=False)[block.indices]
    out = sp.csr_matrix((block.data, indices, block.indptr), shape=block.shape)
    out.sort_indices()
    return out
