"""Checks of matrices: their type and size, and what their arrays point to.

The words are as in `_validation`. One pass over the stored values is the most a check
costs (10 million entries: some 15 ms).
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._validation import holds_dates, shorten

__all__ = [
    "check_csr",
    "check_fitted_shapes",
    "check_format",
    "check_n_features",
    "checked_matrix",
]


def checked_matrix(value: Any, name: str) -> Any:
    """Return a sparse matrix as it is, anything else as an array; 2-D, real numbers."""
    matrix: Any = value if sp.issparse(value) else np.asarray(value)
    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        shape = getattr(value, "shape", None)
        got = shorten(value) if shape is None else f"shape {shape} of {value.dtype}"
        raise ValueError(
            f"{name}: got {type(value).__name__} with {got}, expected a FieldCSR, a "
            "sparse matrix or a 2-D array of numbers."
        )
    check_format(matrix, name)
    return matrix


def check_csr(
    X: Any, name: str = "X", *, finite: bool = True, columns: Any = None
) -> None:
    """Raise unless the arrays of a CSR matrix are safe to hand to a kernel.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_features)
        Neither sorted nor coalesced entries are needed. It is not modified.
    name : str, default="X"
        What the message calls the matrix.
    finite : bool, default=True
        Also refuse NaN and infinity among the stored values.
    columns : callable, optional
        Gives the names of the columns, or None; called for the message only.

    Raises
    ------
    ValueError
        If the row pointer is broken, a column index is outside ``[0, n_features)`` or
        a stored value is not finite; the message names row and column.
    """
    used = _check_pointers(X, X.shape, name, ("row", "column"))
    if finite:
        _check_finite(X, used, name, columns)


def _check_pointers(X: Any, shape: Any, name: str, axes: tuple[str, str]) -> Any:
    """Check the arrays of a CSR, CSC or BSR matrix; return the indices in use.

    `shape` counts what `axes` names: rows and columns, the reverse, or blocks.
    """
    n_stored = min(len(X.indices), len(X.data))
    _check_indptr(X.indptr, shape[0], n_stored, name, axes[0])
    used = X.indices[: int(X.indptr[-1])]
    if used.size and (used.min() < 0 or used.max() >= shape[1]):
        at = int(np.argmax((used < 0) | (used >= shape[1])))
        raise ValueError(
            f"{name}, {axes[0]} {_row_of(X.indptr, at)}: got {axes[1]} index "
            f"{int(used[at])}, expected one of 0 to {shape[1] - 1}."
        )
    return used


def _check_indptr(indptr: Any, n_rows: int, n_stored: int, name: str, row: str) -> None:
    if indptr.size != n_rows + 1 or indptr[0] != 0 or indptr[-1] > n_stored:
        raise ValueError(
            f"{name}.indptr has {indptr.size} entries from {shorten(indptr[:1])} to "
            f"{shorten(indptr[-1:])}, expected {n_rows + 1} from 0 to at most "
            f"{n_stored}, the number of stored values."
        )
    falls = np.flatnonzero(indptr[1:] < indptr[:-1])
    if falls.size:
        at = int(falls[0])
        raise ValueError(
            f"{name}.indptr, {row} {at}: falls from {int(indptr[at])} to "
            f"{int(indptr[at + 1])}, expected a {row} pointer that never decreases."
        )


def _check_places(X: Any, name: str) -> None:
    """Check the rows and columns of a COO matrix."""
    sizes = [len(X.row), len(X.col), len(X.data)]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"{name} has {sizes[0]} rows, {sizes[1]} columns and {sizes[2]} values, "
            "expected one row and one column for every value."
        )
    for axis, places, size in zip(
        ("row", "column"), (X.row, X.col), X.shape, strict=True
    ):
        bad = (places < 0) | (places >= size)
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(
                f"{name}, entry {at}: got {axis} index {int(places[at])}, expected one "
                f"of 0 to {size - 1}."
            )


def _check_finite(X: Any, used: Any, name: str, columns: Any) -> None:
    data = X.data[: used.size]
    if data.dtype.kind not in "fc" or np.isfinite(data).all():
        return
    at = int(np.argmin(np.isfinite(data)))
    names = None if columns is None else columns()
    column = int(used[at]) if names is None else repr(str(names[used[at]]))
    raise ValueError(
        f"{name} contains NaN or infinity: row {_row_of(X.indptr, at)}, column "
        f"{column} holds {data[at]!s}, expected finite numbers. Impute it, or encode "
        "the column by a FieldTransformer(), for which a missing cell has no entry."
    )


def _row_of(indptr: Any, position: int) -> int:
    """Return the row that stored value number `position` belongs to."""
    return int(np.searchsorted(indptr, position, side="right")) - 1


def check_n_features(n_features: Any) -> None:
    """Raise unless a number of columns is one."""
    if not isinstance(n_features, Integral) or n_features < 1:
        raise ValueError(f"n_features={n_features!r}: expected an integer above 0.")


def check_fitted_shapes(
    factors: npt.NDArray[Any],
    coef: npt.NDArray[Any],
    fields: npt.NDArray[Any],
    n_fields: int,
    outputs: tuple[int, ...],
    targets: tuple[int, ...],
) -> None:
    """Raise unless fitted arrays fit each other: the core takes them as they are."""
    n_columns = len(fields)
    expected = {
        "factors_": (factors, (n_columns, *outputs, *targets, *factors.shape[-1:])),
        "coef_": (coef, (*outputs, n_columns)),
    }
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {shape} beside the other "
                "fitted arrays. Set arrays that fit each other, or fit again."
            )
    if n_columns and not 0 <= fields.min() <= fields.max() < n_fields:
        raise ValueError(
            f"fields_ holds {int(fields.min())} to {int(fields.max())}, expected ids "
            f"from 0 to n_fields_ - 1, {n_fields - 1}. Set ids that fit, or fit again."
        )


def check_format(X: Any, name: str = "X") -> None:
    """Check X before anything else touches it.

    A broken sparse matrix can crash scipy, and NumPy turns dates into large numbers, of
    which a missing one is finite.
    """
    if holds_dates(X):
        raise TypeError(
            f"{name} holds dates or durations, {X.dtype}, expected numbers. Take a "
            "DateEncoder for dates, and turn durations into numbers."
        )
    if not sp.issparse(X):
        return
    matrix: Any = X  # whose type says little more
    if matrix.ndim != 2:
        return
    _check_sparse(matrix, name)


def _check_sparse(X: Any, name: str) -> None:
    kind, shape = X.format, X.shape
    if kind == "csr":
        _check_pointers(X, shape, name, ("row", "column"))
    elif kind == "csc":
        _check_pointers(X, shape[::-1], name, ("column", "row"))
    elif kind == "bsr":
        blocks = [size // part for size, part in zip(shape, X.blocksize, strict=True)]
        _check_pointers(X, blocks, name, ("block row", "block column"))
    elif kind == "coo":
        _check_places(X, name)
