"""The terms of the score of every row, in float64.

Linear terms ``w_ij a_j``; pair terms of two fields f < g, ``<S_f, S_g>`` of an FM and
``<A[f, g], A[g, f]>`` of an FFM, see `skwfm._kernels.reference`; and of one field with
itself where pairs inside fields count, half of ``|S_f|^2 - sum_{j in f} |w_ij v_j|^2``.
Terms of two labels j, l: ``w_ij w_il <v_j, v_l>`` or ``w_ij w_il <V[j, g], V[l, f]>``.

Storage: rows are taken in parts, so that the vectors of their labels take little.
Cost: O(nnz F k + n_rows F^2 k) for the pairs of fields, O(k) for each pair of labels.

References: Rendle (2010), "Factorization Machines", ICDM; Juan, Zhuang, Chin and Lin
(2016), "Field-aware Factorization Machines for CTR Prediction", RecSys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._bags import FlatBags, to_flat
from skwfm._inspection_validation import check_finite_terms

__all__ = ["Model", "field_pair_terms", "label_pair_terms", "n_label_pairs"]

Array = npt.NDArray[Any]
# Float64 values that a part of the rows may need.
_PART_VALUES = 2**22


@dataclass(frozen=True)
class Model:
    """The arrays of a fitted estimator, and which pairs count."""

    factors: Array
    """(n_columns, C, k) of an FM, (n_columns, C, F, k) of an FFM."""
    linear: Array
    """(n_columns, C)."""
    bias: Array
    """(C,)."""
    fields: npt.NDArray[np.int32]
    n_fields: int
    intra_field: bool
    """Whether there are pairs inside a field."""

    @property
    def field_aware(self) -> bool:
        """Whether a label has a vector per other field."""
        return self.factors.ndim == 4

    @property
    def n_outputs(self) -> int:
        """Scores of a row."""
        return int(self.linear.shape[1])

    @property
    def field_pairs(self) -> npt.NDArray[np.int64]:
        """The pairs (f, g) that count, f <= g, shape (n_pairs, 2)."""
        first = 0 if self.intra_field else 1
        return np.column_stack(np.triu_indices(self.n_fields, first))

    def vectors(self, labels: Array) -> Array:
        """Return the vectors of some labels in float64."""
        taken: Array = self.factors[labels].astype(np.float64)
        return taken


def field_pair_terms(model: Model, X: Any) -> Array:
    """Return the term of every pair of fields, shape (n_rows, n_pairs, C).

    Parameters
    ----------
    model : Model
        With pairs in the order of its `field_pairs`.
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical.
    """
    pairs = model.field_pairs
    out = np.empty((X.shape[0], len(pairs), model.n_outputs))
    with np.errstate(over="ignore", invalid="ignore"):
        for rows, bags in _parts(model, X):
            out[rows] = _pair_terms(model, bags, pairs)
    check_finite_terms(out)
    return out


def _parts(model: Model, X: Any) -> Iterator[tuple[slice, FlatBags]]:
    """Yield flat bags of consecutive rows, a row at least."""
    width = model.factors[:1].size
    values = (np.diff(X.indptr).astype(np.int64) + model.n_fields) * width
    values += len(model.field_pairs) * model.factors.shape[-1]
    ends = np.flatnonzero(np.diff(np.cumsum(values) // _PART_VALUES)) + 1
    cut = model.fields, model.n_fields
    is_sorted = bool((model.fields[1:] >= model.fields[:-1]).all())
    for start, stop in pairwise([0, *ends.tolist(), X.shape[0]]):
        yield slice(start, stop), to_flat(X[start:stop], *cut, ids_sorted=is_sorted)


def _pair_terms(model: Model, bags: FlatBags, pairs: Array) -> Array:
    vectors = model.vectors(bags.indices)
    weights = bags.weights.astype(np.float64)
    sums = _bag_sums(bags, weights, vectors)
    first, second = pairs.T
    if model.field_aware:
        # (rows, F, C, target field, k): each field looks at the other.
        left, right = sums[:, first, :, second], sums[:, second, :, first]
        terms: Array = np.einsum("prck,prck->rpc", left, right)
    else:
        products = np.einsum("rfck,rgck->rfgc", sums, sums, optimize=True)
        terms = products[:, first, second]
    if model.intra_field:
        inside = first == second
        terms[:, inside] -= _own_squares(model, bags, weights, vectors)
        terms[:, inside] /= 2
    return terms


def _bag_sums(bags: FlatBags, weights: Array, entries: Array) -> Array:
    """Add the entries of each bag; shape (n_rows, n_fields, ...)."""
    n_bags, shape = len(bags.offsets) - 1, entries.shape[1:]
    arrays = weights, np.arange(len(weights)), bags.offsets
    values = entries.reshape(len(entries), math.prod(shape))
    sums: Array = sp.csr_array(arrays, shape=(n_bags, len(weights))) @ values
    return sums.reshape(bags.n_rows, bags.n_fields, *shape)


def _own_squares(model: Model, bags: FlatBags, weights: Array, vectors: Array) -> Array:
    """Return the products of labels with themselves, shape (n_rows, n_fields, C)."""
    if model.field_aware:
        vectors = vectors[np.arange(len(vectors)), :, model.fields[bags.indices]]
    return _bag_sums(bags, weights**2, np.square(vectors).sum(axis=-1))


def n_label_pairs(X: Any) -> int:
    """Return the pairs of labels of all rows, those inside a field counted too."""
    counts = np.diff(X.indptr).astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def label_pair_terms(model: Model, X: Any) -> tuple[Array, Array]:
    """Return the pairs of labels of every row, and their terms.

    Returns
    -------
    entries : array of int64, shape (n_pairs, 2)
        Positions in ``X.indices``, by row.
    terms : array of float64, shape (n_pairs, C)
    """
    entries = _entry_pairs(X)
    fields = model.fields[X.indices]
    first, second = fields[entries].T
    if not model.intra_field:
        entries = entries[first != second]
    terms = np.empty((len(entries), model.n_outputs))
    size = max(_PART_VALUES // (2 * model.factors[:1].size), 1)
    for start in range(0, len(entries), size):
        pairs = entries[start : start + size]
        left, right = (model.vectors(X.indices[side]) for side in pairs.T)
        if model.field_aware:
            at = np.arange(len(pairs))
            left = left[at, :, fields[pairs[:, 1]]]
            right = right[at, :, fields[pairs[:, 0]]]
        weights = X.data[pairs].astype(np.float64).prod(axis=1)
        products = np.einsum("pck,pck->pc", left, right)
        terms[start : start + size] = weights[:, None] * products
    return entries, terms


def _entry_pairs(X: Any) -> npt.NDArray[np.int64]:
    """Return all pairs of entries of one row."""
    n_after = np.repeat(X.indptr[1:], np.diff(X.indptr)) - np.arange(X.nnz) - 1
    left = np.repeat(np.arange(X.nnz), n_after)
    begins = np.repeat(np.cumsum(n_after) - n_after, n_after)
    right = left + 1 + np.arange(len(left)) - begins
    return np.column_stack([left, right]).astype(np.int64, copy=False)
