"""Batches of weighted bags: CSR rows <-> flat bags <-> padded bags (numpy only).

Bag (i, f) holds the labels (columns) of row i that belong to field f, with weights.

Storage: *flat* is CSR over bags in the order (row, field): bag number
``b = i * n_fields + f`` is ``indices[offsets[b] : offsets[b + 1]]``. *Padded* is what
the torch modules take: (B, N) arrays of labels and weights and (B, M) inclusive end
positions, N the longest row of the batch.

Cost: where the columns of each field stand together, flat shares the CSR arrays and
only counts the bags, O(nnz + n_rows n_fields); otherwise one stable sort of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm import _validation as val
from skwfm._fields import FieldCSR, FieldMap, resolve_fields
from skwfm._kernels.checks import Faults, is_ascending
from skwfm._matrix_validation import (
    check_csr,
    check_n_features,
    checked_matrix,
)

__all__ = [
    "FlatBags",
    "canonical_csr",
    "csr_of_dense",
    "from_padded",
    "merge_rows",
    "narrow_csr",
    "put_right",
    "to_flat",
    "to_padded",
]

Array: TypeAlias = npt.NDArray[Any]


class FlatBags(NamedTuple):
    """Weighted bags one after the other, in the order (row, field).

    Attributes
    ----------
    indices : array of int32 or int64, shape (nnz,)
        Labels.
    offsets : array of int64, shape (n_rows * n_fields + 1,)
        Where each bag starts; the last entry is nnz.
    weights : array of float, shape (nnz,)
        Weight of each label.
    n_rows, n_fields : int
        Number of rows, and of bags per row.
    """

    indices: Array
    offsets: npt.NDArray[np.int64]
    weights: Array
    n_rows: int
    n_fields: int


def canonical_csr(X: Any) -> Any:
    """Return `X` as CSR with sorted, distinct columns per row; a copy if it was not.

    Parameters
    ----------
    X : sparse matrix or ndarray of shape (n_rows, n_columns)
        Never modified, not even its cached flags.

    Returns
    -------
    csr_matrix (or csr_array, FieldCSR) of the same shape
        Shares the arrays of `X` where they are canonical.
    """
    csr = _as_csr(X)
    if is_ascending(csr.indices[: csr.indptr[-1]], csr.indptr):
        return csr
    return _summed(csr)


def csr_of_dense(X: Array) -> Any:
    """Return what ``csr_matrix`` makes of a 2-D array, sooner.

    Where no value is zero, in an eighth of the time; it then shares the memory of a
    contiguous array.
    """
    n_rows, n_columns = X.shape
    data, indices = X.ravel(), np.tile(np.arange(n_columns, dtype=np.int32), n_rows)
    indptr = np.arange(n_rows + 1, dtype=np.int64) * n_columns
    if not X.all():
        used = X != 0
        np.cumsum(np.count_nonzero(used, axis=1), out=indptr[1:])
        used = used.ravel()
        data, indices = data[used], indices[used]
    out = sp.csr_matrix((data, indices, indptr), shape=X.shape)
    out.has_canonical_format = True
    return out


def narrow_csr(csr: Any) -> Any:
    """Return a canonical CSR matrix with indices of 32 bits, itself if it has them.

    More than 2^31 stored values need 64 bits for the row pointer, and scipy keeps both
    alike: then it stays as it is.
    """
    if csr.indices.dtype == np.int32 or csr.nnz > np.iinfo(np.int32).max:
        return csr
    arrays = csr.data, csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
    out = type(csr)(arrays, shape=csr.shape)
    out.has_canonical_format = True
    return out


def put_right(csr: Any, faults: Faults) -> Any:
    """Return a CSR matrix sorted, summed and without zeros; itself if it is so.

    Parameters
    ----------
    csr : CSR matrix
        Never modified.
    faults : Faults
        Whether it is unsorted, and has zeros.
    """
    if faults & Faults.UNSORTED:
        n_stored = csr.nnz
        csr = _summed(csr)
        if csr.nnz < n_stored:  # sums may be zero where no value was
            faults |= Faults.ZEROS
    if faults & Faults.ZEROS and not csr.data[: csr.nnz].all():
        csr = csr.copy()
        csr.eliminate_zeros()
    return csr


def _summed(csr: Any) -> Any:
    csr = csr.copy()
    csr.sum_duplicates()
    return csr


def _as_csr(X: Any) -> Any:
    """Return `X` itself if it is CSR, else a plain csr_matrix."""
    if sp.issparse(X):
        is_csr = getattr(X, "format", None) == "csr"
        return X if is_csr else sp.csr_matrix(X)  # type: ignore[call-overload]
    native = X.dtype.newbyteorder("=")  # scipy takes no other order, and no float16
    taken: Any = X.astype(np.float32 if native == np.float16 else native)
    return sp.csr_matrix(taken)


def to_flat(
    X: Any,
    field_ids: npt.ArrayLike,
    n_fields: int,
    *,
    ids_sorted: bool | None = None,
) -> FlatBags:
    """Cut the rows of a CSR matrix into flat bags.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
        Columns sorted in each row and distinct (see `canonical_csr`). Not checked.
    field_ids : array-like of int, shape (n_columns,)
        Field of each column, in ``[0, n_fields)``.
    n_fields : int
        Number of bags per row.
    ids_sorted : bool, optional
        Whether `field_ids` never decrease; found out when None, which costs
        O(n_columns): give it where batches are cut from one matrix.

    Returns
    -------
    FlatBags
        `indices` and `weights` are views of those of `X` when `ids_sorted`.

    Examples
    --------
    >>> from skwfm._bags import to_flat
    >>> from skwfm import FieldCSR
    >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]], fields=[2, 1])
    >>> bags = to_flat(X, X.fields, 2)
    >>> bags.indices, bags.offsets
    (array([0, 2, 2], dtype=int32), array([0, 1, 2, 2, 3]))
    """
    ids = np.asarray(field_ids)
    n_rows, nnz = int(X.shape[0]), int(X.indptr[-1])
    indices, weights = X.indices[:nnz], X.data[:nnz]
    if ids_sorted is None:
        ids_sorted = bool((ids[1:] >= ids[:-1]).all())
    if n_fields == 1:
        offsets = X.indptr.astype(np.int64)
        return FlatBags(indices, offsets, weights, n_rows, n_fields)
    first_bag = np.arange(0, n_rows * n_fields, n_fields, dtype=np.int64)
    bags = np.repeat(first_bag, np.diff(X.indptr))
    bags += ids.take(indices)
    if not ids_sorted:
        order = np.argsort(bags, kind="stable")
        indices, weights = indices[order], weights[order]
    offsets = np.zeros(n_rows * n_fields + 1, dtype=np.int64)
    np.cumsum(np.bincount(bags, minlength=n_rows * n_fields), out=offsets[1:])
    return FlatBags(indices, offsets, weights, n_rows, n_fields)


def to_padded(
    X: Any, fields: Literal["auto"] | FieldMap | npt.ArrayLike = "auto"
) -> tuple[Array, Array, Array]:
    """Turn the rows of a matrix into the padded bags the torch modules take.

    Parameters
    ----------
    X : FieldCSR, sparse matrix or ndarray of shape (B, n_columns)
        Not modified; unsorted and repeated entries are put right in a copy.
    fields : "auto", FieldMap or array-like of int, default="auto"
        Field ids per column, or sizes per field; ``"auto"`` as in the estimators.

    Returns
    -------
    indices : array of int64, shape (B, N)
        Labels; N is the length of the longest row, at least 1. Padding is 0.
    offsets : array of int64, shape (B, M)
        Inclusive end position of each of the M bags; an empty bag repeats the one
        before, and an empty first bag has -1.
    weights : array of float, shape (B, N)
        Weights in the dtype of `X` (float32 for integers). Padding is 0.

    Raises
    ------
    ValueError
        If `fields` does not fit, or an entry of `X` is out of range or not finite.

    Warns
    -----
    FieldMapWarning
        If every column of a plain sparse matrix is taken as a field.

    See Also
    --------
    from_padded : The way back.
    skwfm.nn.WeightedEmbeddingBag : Takes these arrays as tensors.

    Examples
    --------
    >>> from skwfm import FieldCSR, to_padded
    >>> X = FieldCSR([[0.5, 2.0, 3.0], [0.0, 0.0, 4.0]], fields=[2, 1])
    >>> indices, offsets, weights = to_padded(X)
    >>> indices
    array([[0, 1, 2],
           [2, 0, 0]])
    >>> offsets
    array([[ 1,  2],
           [-1,  0]])
    """
    X = checked_matrix(X, "X")
    field_map = resolve_fields(X, fields, interactions="fm")
    X = _as_csr(X)
    check_csr(X)
    X = canonical_csr(X)
    flat = to_flat(X, field_map.ids, field_map.n_fields)
    lengths = np.diff(X.indptr)
    width = max(int(lengths.max(initial=0)), 1)
    filled = np.arange(width) < lengths[:, None]
    indices = np.zeros(filled.shape, dtype=np.int64)
    indices[filled] = flat.indices
    dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)
    weights = np.zeros(filled.shape, dtype=dtype)
    weights[filled] = flat.weights
    ends = flat.offsets[1:].reshape(flat.n_rows, flat.n_fields)
    offsets = ends - X.indptr[:-1, None].astype(np.int64) - 1
    return indices, offsets, weights


def from_padded(
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_features: int,
    *,
    fields: FieldMap | npt.ArrayLike | None = None,
    field_names: Sequence[str] | None = None,
) -> FieldCSR:
    """Turn padded bags into a matrix with a field map.

    Parameters
    ----------
    indices : array-like of int, shape (B, N)
        Labels, in ``[0, n_features)``; what follows the last bag is not read.
    offsets : array-like of int, shape (B, M)
        Inclusive end position of each bag.
    weights : array-like of float, shape (B, N)
        Weight of each label.
    n_features : int
        Number of columns of the result.
    fields : FieldMap or array-like of int, optional
        Field ids per column, or sizes per field. By default a column belongs to the
        bag it occurs in, and columns that occur nowhere to field 0 (their field
        matters to no score).
    field_names : sequence of str, optional
        One name per field.

    Returns
    -------
    FieldCSR of shape (B, n_features)
        A label twice in one row has its summed weight.

    Raises
    ------
    ValueError
        If shapes, labels or offsets do not fit, or a weight is not finite; or without
        `fields`, if a column occurs in bags of two fields. The message names the row.

    See Also
    --------
    to_padded : The way back.

    Examples
    --------
    >>> from skwfm import from_padded
    >>> X = from_padded([[0, 2, 2]], [[0, 2]], [[0.5, 1.0, 2.0]], n_features=3)
    >>> X.toarray(), X.fields
    (array([[0.5, 0. , 3. ]]), array([0, 0, 1], dtype=int32))
    """
    check_n_features(n_features)
    labels, ends = _integers(indices, "indices"), _integers(offsets, "offsets")
    values = np.asarray(weights)
    _check_padded(labels, ends, values)
    lengths = ends[:, -1] + 1
    filled = np.arange(labels.shape[1]) < lengths[:, None]
    rows = np.repeat(np.arange(len(labels)), lengths)
    columns, data = labels[filled], values[filled]
    _check_labels(columns, rows, n_features)
    _check_finite(data, rows)
    if fields is None:
        bags = _bags_of_entries(ends)
        ids = _fields_of_columns(columns, bags, rows, n_features)
        fields = FieldMap(ids, tuple(f"field{i}" for i in range(ends.shape[1])))
    dtype = data.dtype if data.dtype.kind == "f" else np.dtype(np.float32)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    shape = (len(labels), n_features)
    X = sp.csr_matrix((data.astype(dtype), columns, indptr), shape=shape)
    X.sum_duplicates()
    return FieldCSR(X, fields=fields, field_names=field_names)


def _integers(values: npt.ArrayLike, name: str) -> Array:
    """Return a 2-D array of int64; padded arrays have a column at least."""
    out = np.asarray(values)
    if out.ndim != 2 or out.dtype.kind not in "iu" or out.shape[1] == 0:
        got = f"{out.dtype} of shape {out.shape}"
        expected = "a two-dimensional array of integers with at least one column"
        raise ValueError(val.padded_error(name, None, got, expected))
    return out.astype(np.int64)


def _check_padded(labels: Array, ends: Array, values: Array) -> None:
    """Raise unless shapes agree and offsets stay in the row and never decrease."""
    n_rows, width = labels.shape
    if values.shape != labels.shape or values.dtype.kind not in "buif":
        got = f"{values.dtype} of shape {values.shape}"
        expected = f"numbers of shape {labels.shape}, like indices"
        raise ValueError(val.padded_error("weights", None, got, expected))
    if len(ends) != n_rows:
        expected = f"{n_rows} rows, like indices"
        raise ValueError(val.padded_error("offsets", None, ends.shape, expected))
    bad = (ends < -1) | (ends >= width)
    bad[:, 1:] |= ends[:, 1:] < ends[:, :-1]
    if bad.any():
        row = int(np.argmax(bad.any(axis=1)))
        expected = f"end positions from -1 to {width - 1} that never decrease"
        raise ValueError(val.padded_error("offsets", row, ends[row].tolist(), expected))


def _check_labels(columns: Array, rows: Array, n_features: int) -> None:
    bad = (columns < 0) | (columns >= n_features)
    if bad.any():
        at = int(np.argmax(bad))
        expected = f"labels from 0 to {n_features - 1}"
        label, row = int(columns[at]), int(rows[at])
        raise ValueError(val.padded_error("indices", row, label, expected))


def _check_finite(values: Array, rows: Array) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        row, value = int(rows[at]), str(values[at])
        raise ValueError(val.padded_error("weights", row, value, "finite weights"))


def _bags_of_entries(ends: Array) -> Array:
    """Return the bag number (column of `offsets`) of every filled entry."""
    lengths = np.diff(ends, axis=1, prepend=-1)
    bags = np.broadcast_to(np.arange(ends.shape[1]), ends.shape)
    return np.repeat(bags.ravel(), lengths.ravel())


def _fields_of_columns(
    columns: Array, bags: Array, rows: Array, n_features: int
) -> npt.NDArray[np.int32]:
    """Give each column the bag it occurs in, and refuse a column of two bags."""
    ids = np.zeros(n_features, dtype=np.int32)
    ids[columns[::-1]] = bags[::-1]  # the first occurrence is written last
    clash = ids[columns] != bags
    if clash.any():
        at = int(np.argmax(clash))
        column, row = int(columns[at]), int(rows[at])
        raise ValueError(
            val.bag_conflict_error(column, row, int(ids[column]), int(bags[at]))
        )
    return ids


def merge_rows(X: Any, y: Array, weights: Array) -> tuple[Any, Array, Array]:
    """Join equal rows of equal target and sort them: weights are exact repetition.

    Data that differ by the order of the rows, or by a weight in place of repeated
    rows, come out the same to the last bit. Cost: a Python step per row.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical.
    y, weights : arrays of shape (n_rows,)
        Target and weight of each row.

    Returns
    -------
    X, y, weights
        The different rows in a fixed order, with the sums of their weights.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from skwfm._bags import merge_rows
    >>> X = csr_matrix([[2.0], [1.0], [2.0]])
    >>> X, y, weights = merge_rows(X, np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0]))
    >>> X.toarray().ravel(), y, weights
    (array([2., 1.]), array([0, 1]), array([3., 5.]))
    """
    starts = X.indptr.tolist()
    keys = [
        (X.indices[a:b].tobytes(), X.data[a:b].tobytes(), target)
        for (a, b), target in zip(pairwise(starts), y.tolist(), strict=True)
    ]
    group = {key: number for number, key in enumerate(sorted(set(keys)))}
    members = np.array([group[key] for key in keys])
    _, first = np.unique(members, return_index=True)
    return X[first], y[first], np.bincount(members, weights=weights)
