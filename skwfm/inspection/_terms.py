"""The terms of the score of every row, in float64.

Linear terms ``w_ij a_j``; pair terms of two fields f < g, ``<S_f, S_g>`` of an FM and
``<A[f, g], A[g, f]>`` of an FFM, see `skwfm._kernels.reference`; and of one field with
itself where pairs inside fields count, half of ``|S_f|^2 - sum_{j in f} |w_ij v_j|^2``.
Terms of two labels j, l: ``w_ij w_il <v_j, v_l>`` or ``w_ij w_il <V[j, g], V[l, f]>``.
A model with draws of its parameters has the mean over them, and the standard deviation.

Storage: rows are taken in parts, so that the vectors of their labels take little, and
so do the terms of a draw.
Cost: O(nnz F k + n_rows F^2 k) for the pairs of fields, O(k) for each pair of labels;
as often as there are draws.

References: Rendle (2010), "Factorization Machines", ICDM; Juan, Zhuang, Chin and Lin
(2016), "Field-aware Factorization Machines for CTR Prediction", RecSys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._bags import FlatBags, to_flat
from skwfm._inspection_validation import check_finite_terms

__all__ = [
    "Model",
    "Terms",
    "field_pair_terms",
    "label_pair_terms",
    "linear_terms",
    "n_label_pairs",
    "over_draws",
]

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


class Terms(NamedTuple):
    """Terms of a model; if it has draws, mean and standard deviation over them."""

    mean: Any
    std: Any = None
    """None without draws."""


def over_draws(
    terms: Callable[[Model], Array], model: Model, draws: Sequence[Model]
) -> Terms:
    """Return the terms of a model, or their moments over its draws.

    Parameters
    ----------
    terms : callable
        Takes a model, returns an array that is nobody else's.
    model : Model
        Used where there are no draws.
    draws : sequence of Model
        The model by each of them.
    """
    if not draws:
        return Terms(terms(model))
    mean: Any = 0.0
    squares: Any = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for n, draw in enumerate(draws, start=1):
            # Welford (1962): no difference of large sums.
            change = terms(draw)
            change -= mean
            mean += change / n
            squares += np.square(change, out=change) * ((n - 1) / n)
    std = np.sqrt(squares / len(draws))
    check_finite_terms(std)
    return Terms(mean, std)


def linear_terms(model: Model, X: Any) -> Array:
    """Return the linear term of every entry of `X`, shape (nnz, C)."""
    terms: Array = X.data.astype(np.float64)[:, None] * model.linear[X.indices]
    return terms


def field_pair_terms(model: Model, X: Any, draws: Sequence[Model] = ()) -> Terms:
    """Return the term of every pair of fields, shape (n_rows, n_pairs, C).

    Parameters
    ----------
    model : Model
        With pairs in the order of its `field_pairs`.
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical.
    draws : sequence of Model
        See `over_draws`.
    """
    pairs = model.field_pairs
    out = _empty((X.shape[0], len(pairs), model.n_outputs), draws)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows, bags in _parts(model, X):
            terms = partial(_pair_terms, bags=bags, pairs=pairs)
            _write(over_draws(terms, model, draws), out, rows)
    check_finite_terms(out.mean)
    return out


def _empty(shape: tuple[int, ...], draws: Sequence[Model]) -> Terms:
    return Terms(np.empty(shape), np.empty(shape) if draws else None)


def _write(part: Terms, out: Terms, rows: slice) -> None:
    for values, whole in zip(part, out, strict=True):
        if whole is not None:
            whole[rows] = values


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


def label_pair_terms(
    model: Model, X: Any, draws: Sequence[Model] = ()
) -> tuple[Array, Terms]:
    """Return the pairs of labels of every row, and their terms.

    Parameters
    ----------
    model : Model
        Says which pairs count.
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical.
    draws : sequence of Model
        See `over_draws`.

    Returns
    -------
    entries : array of int64, shape (n_pairs, 2)
        Positions in ``X.indices``, by row.
    terms : Terms of shape (n_pairs, C)
    """
    entries = _entry_pairs(X)
    first, second = model.fields[X.indices][entries].T
    if not model.intra_field:
        entries = entries[first != second]
    out = _empty((len(entries), model.n_outputs), draws)
    size = max(_PART_VALUES // (2 * model.factors[:1].size), 1)
    for start in range(0, len(entries), size):
        part = slice(start, start + size)
        terms = partial(_products, X=X, pairs=entries[part])
        _write(over_draws(terms, model, draws), out, part)
    return entries, out


def _products(model: Model, X: Any, pairs: Array) -> Array:
    """Return the terms of some pairs of entries, shape (n_pairs, C)."""
    left, right = (model.vectors(X.indices[side]) for side in pairs.T)
    if model.field_aware:
        first, second = model.fields[X.indices[pairs]].T
        at = np.arange(len(pairs))
        left, right = left[at, :, second], right[at, :, first]
    weights = X.data[pairs].astype(np.float64).prod(axis=1)
    products: Array = np.einsum("pck,pck->pc", left, right)
    products *= weights[:, None]
    return products


def _entry_pairs(X: Any) -> npt.NDArray[np.int64]:
    """Return all pairs of entries of one row."""
    n_after = np.repeat(X.indptr[1:], np.diff(X.indptr)) - np.arange(X.nnz) - 1
    left = np.repeat(np.arange(X.nnz), n_after)
    begins = np.repeat(np.cumsum(n_after) - n_after, n_after)
    right = left + 1 + np.arange(len(left)) - begins
    return np.column_stack([left, right]).astype(np.int64, copy=False)
