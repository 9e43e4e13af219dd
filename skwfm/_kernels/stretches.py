"""Rows of a matrix, some at a time: bounds what a pass over them needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["row_stretches"]


def row_stretches(X: Any, n_rows: int, n_entries: int) -> Iterator[slice]:
    """Cut rows in stretches of so many rows and entries, but never a row.

    Parameters
    ----------
    X : CSR matrix or array of shape (n, n_columns)
        An array has an entry for each of its columns.
    n_rows, n_entries : int
        The most of a stretch; a longer row is one by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._kernels.stretches import row_stretches
    >>> list(row_stretches(np.zeros((3, 4)), 10, 8))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    start, end = 0, X.shape[0]
    is_csr = hasattr(X, "indptr")
    indptr = X.indptr if is_csr else X.shape[1] * np.arange(end + 1)
    while start < end:
        fits = np.searchsorted(indptr, indptr[start] + n_entries, side="right")
        stop = min(max(int(fits) - 1, start + 1), start + n_rows, end)
        yield slice(start, stop)
        start = stop
