"""The formulas in float64 numpy, slow and obvious: the twin of every fast path.

FM: ``b + sum_j w_j a_j + sum_{f<g} <S_f, S_g>`` with ``S_f = sum_{j in f} w_j v_j``.
FFM: ``b + sum_j w_j a_j + sum_{f<g} <A[f, g], A[g, f]>`` with
``A[f, g] = sum_{j in f} w_j V[j, g]``. With ``intra_field`` the pairs inside a field
count too: ``w_j w_l <v_j, v_l>``, or ``w_j w_l <V[j, f], V[l, f]>``, a label never with
itself.

Storage: flat bags (`indices`, `offsets`, `weights`) in the order (row, field),
`offsets` of length n_rows * n_fields + 1. Cost: one Python step per label and pair.

References: Rendle (2010), "Factorization Machines", ICDM; Juan, Zhuang, Chin and Lin
(2016), "Field-aware Factorization Machines for CTR Prediction", RecSys.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["ffm_gradient", "ffm_score", "fm_gradient", "fm_score"]

FloatArray: TypeAlias = npt.NDArray[np.float64]
Bag: TypeAlias = dict[int, float]


def fm_score(
    bias: float,
    linear: npt.ArrayLike,
    factors: npt.ArrayLike,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_fields: int,
    *,
    intra_field: bool = False,
) -> FloatArray:
    """Score rows by the factorization machine.

    Parameters
    ----------
    bias : float
        Intercept b.
    linear : array-like of shape (n_features,)
        Coefficients a.
    factors : array-like of shape (n_features, k)
        Vectors v.
    indices, weights : array-like of shape (nnz,)
        Labels and weights, in the order (row, field).
    offsets : array-like of int, shape (n_rows * n_fields + 1,)
        Where each bag starts; the last entry is nnz.
    n_fields : int
        Bags per row.
    intra_field : bool, default=False
        Count the pairs inside a field too.

    Returns
    -------
    ndarray of float64, shape (n_rows,)

    Examples
    --------
    Two fields with one label each: 0.5 + <v_0, v_1>.

    >>> from skwfm._kernels.reference import fm_score
    >>> fm_score(0.5, [0, 0], [[1, 2], [3, 4]], [0, 1], [0, 1, 2], [1, 1], 2)
    array([11.5])
    """
    a, v = _float(linear), _float(factors)
    scores = []
    for row in _rows(indices, offsets, weights, n_fields):
        score = bias + _linear_term(row, a)
        for f, g in combinations(range(n_fields), 2):
            score += float(_bag_sum(row[f], v) @ _bag_sum(row[g], v))
        if intra_field:
            score += sum(_inside(bag, v) for bag in row)
        scores.append(score)
    return _float(scores)


def ffm_score(
    bias: float,
    linear: npt.ArrayLike,
    factors: npt.ArrayLike,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_fields: int,
    *,
    intra_field: bool = False,
) -> FloatArray:
    """Score rows by the field-aware factorization machine.

    Parameters
    ----------
    factors : array-like of shape (n_features, n_fields, k)
        Vectors V, one per label and target field.
    bias, linear, indices, offsets, weights, n_fields, intra_field
        As in `fm_score`.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
    """
    a, v = _float(linear), _float(factors)
    scores = []
    for row in _rows(indices, offsets, weights, n_fields):
        score = bias + _linear_term(row, a)
        for f, g in combinations(range(n_fields), 2):
            score += float(_bag_sum(row[f], v[:, g]) @ _bag_sum(row[g], v[:, f]))
        if intra_field:
            score += sum(_inside(bag, v[:, f]) for f, bag in enumerate(row))
        scores.append(score)
    return _float(scores)


def fm_gradient(
    grad: npt.ArrayLike,
    linear: npt.ArrayLike,
    factors: npt.ArrayLike,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_fields: int,
    *,
    intra_field: bool = False,
) -> tuple[float, FloatArray, FloatArray]:
    """Differentiate ``sum_i grad_i * score_i`` of the factorization machine.

    ``d/dv_j = grad_i w_j (S - S_f(j))``, S the sum over all fields, and with
    `intra_field` ``grad_i w_j (S - w_j v_j)``.

    Parameters
    ----------
    grad : array-like of shape (n_rows,)
        Derivative of the loss by each score.
    linear, factors, indices, offsets, weights, n_fields, intra_field
        As in `fm_score`.

    Returns
    -------
    bias, linear, factors : float and ndarrays
        Derivatives, shaped like the parameters.
    """
    g, v = _float(grad), _float(factors)
    d_linear, d_factors = np.zeros_like(_float(linear)), np.zeros_like(v)
    for g_i, row in zip(g, _rows(indices, offsets, weights, n_fields), strict=True):
        sums = [_bag_sum(bag, v) for bag in row]
        for f, bag in enumerate(row):
            partners = _total(sums[:f] + sums[f + 1 :], v.shape[1])
            for j, w in bag.items():
                d_linear[j] += g_i * w
                d_factors[j] += g_i * w * partners
                if intra_field:
                    d_factors[j] += g_i * w * _bag_sum(_without(bag, j), v)
    return float(g.sum()), d_linear, d_factors


def ffm_gradient(
    grad: npt.ArrayLike,
    linear: npt.ArrayLike,
    factors: npt.ArrayLike,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_fields: int,
    *,
    intra_field: bool = False,
) -> tuple[float, FloatArray, FloatArray]:
    """Differentiate ``sum_i grad_i * score_i`` of the field-aware machine.

    ``d/dV[j, g] = grad_i w_j A[g, f(j)]`` for g other than f(j), and with `intra_field`
    ``d/dV[j, f(j)] = grad_i w_j sum_{l != j} w_l V[l, f(j)]`` over the same bag.

    Parameters
    ----------
    grad : array-like of shape (n_rows,)
        Derivative of the loss by each score.
    linear, factors, indices, offsets, weights, n_fields, intra_field
        As in `ffm_score`.

    Returns
    -------
    bias, linear, factors : float and ndarrays
        Derivatives, shaped like the parameters.
    """
    g, v = _float(grad), _float(factors)
    d_linear, d_factors = np.zeros_like(_float(linear)), np.zeros_like(v)
    for g_i, row in zip(g, _rows(indices, offsets, weights, n_fields), strict=True):
        for f, bag in enumerate(row):
            for j, w in bag.items():
                d_linear[j] += g_i * w
                for other in range(n_fields):
                    if other != f:
                        partners = _bag_sum(row[other], v[:, f])
                        d_factors[j, other] += g_i * w * partners
                if intra_field:
                    partners = _bag_sum(_without(bag, j), v[:, f])
                    d_factors[j, f] += g_i * w * partners
    return float(g.sum()), d_linear, d_factors


def _float(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _rows(
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike,
    weights: npt.ArrayLike,
    n_fields: int,
) -> list[list[Bag]]:
    """Return the bags of each row; a label twice in a bag is its summed weight."""
    labels, starts, values = np.asarray(indices), np.asarray(offsets), _float(weights)
    bags: list[Bag] = []
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        bag: Bag = {}
        for j, w in zip(labels[start:end], values[start:end], strict=True):
            bag[int(j)] = bag.get(int(j), 0.0) + float(w)
        bags.append(bag)
    return [bags[i : i + n_fields] for i in range(0, len(bags), n_fields)]


def _linear_term(row: list[Bag], a: FloatArray) -> float:
    return float(sum(w * a[j] for bag in row for j, w in bag.items()))


def _bag_sum(bag: Bag, v: FloatArray) -> FloatArray:
    return _total([w * v[j] for j, w in bag.items()], v.shape[1])


def _total(vectors: list[FloatArray], k: int) -> FloatArray:
    out = np.zeros(k)
    for vector in vectors:
        out += vector
    return out


def _inside(bag: Bag, v: FloatArray) -> float:
    """Sum the pairs of different labels of one bag."""
    pairs = combinations(bag.items(), 2)
    return float(sum(w * u * (v[j] @ v[i]) for (j, w), (i, u) in pairs))


def _without(bag: Bag, label: int) -> Bag:
    return {j: w for j, w in bag.items() if j != label}
