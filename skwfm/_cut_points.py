"""Levels in an order: cut points of a latent score, drawn given the scores.

Level c of a row with score s has the probability ``Phi(g_c - s) - Phi(g_{c-1} - s)``:
an ordered probit model, with infinite outer cut points. The latent scores are
integrated out: given these, cut points could hardly move (Cowles, "Accelerating Monte
Carlo Markov chain convergence for cumulative-link generalized linear models", 1996).

The logarithm of the likelihood is concave. A step of Newton's method from the present
cut points, plus a normal draw with the inverse of the Hessian, is the proposal of a
Metropolis-Hastings step (Qi and Minka, "Hessian-based Markov chain Monte-Carlo
algorithms", 2002): with many rows it is nearly a draw from the conditional itself.

Cost: two passes over the rows per draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

__all__ = ["draw_cuts", "first_cuts"]

Array = npt.NDArray[Any]
# Precision of the prior of each cut point, in an order.
PRIOR = 0.01
# The least probability that is told from 0.
TINY = 1e-300
# Rows looked at together: bounds the memory.
PART = 2**16


class Fit(NamedTuple):
    """What cut points make of some scores: log-likelihood and its derivatives."""

    value: float
    gradient: Array
    """Shape (n_levels - 1,)."""
    information: Array
    """The Hessian times -1."""


def first_cuts(codes: Array, weights: Array | None, n_levels: int) -> Array:
    """Return cut points that give the levels their shares, with infinite outer ones.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._cut_points import first_cuts
    >>> first_cuts(np.array([0, 1, 1, 2]), None, 3).round(2).tolist()
    [-inf, -0.67, 0.67, inf]
    """
    counts = np.bincount(codes, weights, minlength=n_levels)
    inner = np.cumsum(counts)[:-1] / counts.sum()
    return np.concatenate([[-np.inf], ndtri(inner), [np.inf]])


def draw_cuts(
    cuts: Array,
    scores: Array,
    codes: Array,
    weights: Array | None,
    rng: np.random.Generator,
) -> Array:
    """Draw cut points given the scores of rows and their levels.

    Parameters
    ----------
    cuts : array of shape (n_levels + 1,)
        The present ones, with infinite outer ones.
    scores : array of shape (n_rows,)
        Means of the latent scores.
    codes : array of int, shape (n_rows,)
        Level of each row.
    weights : array of shape (n_rows,) or None
        Exponents of the rows in the likelihood.
    rng : Generator
        Decides the draw.

    Returns
    -------
    array of shape (n_levels + 1,)
        The present ones where the proposal was not taken.
    """
    rows = scores, codes, weights
    here = _fit(cuts, *rows)
    lower = np.linalg.cholesky(here.information)
    noise = rng.standard_normal(len(cuts) - 2)
    step = np.linalg.solve(here.information, here.gradient)
    inner = cuts[1:-1] + step + np.linalg.solve(lower.T, noise)
    chance = np.log(rng.random())
    if not (np.diff(inner) > 0).all():
        return cuts
    proposed = np.concatenate([[-np.inf], inner, [np.inf]])
    there = _fit(proposed, *rows)
    ratio = there.value - here.value
    ratio += _density(cuts, proposed, there) - _density(proposed, cuts, here)
    return proposed if chance < ratio else cuts


def _density(to: Array, start: Array, fit: Fit) -> float:
    """Return the logarithm of the density of a proposal, up to a constant."""
    mean = start[1:-1] + np.linalg.solve(fit.information, fit.gradient)
    away = to[1:-1] - mean
    _, logarithm = np.linalg.slogdet(fit.information)
    return float(logarithm - away @ fit.information @ away) / 2


def _fit(cuts: Array, scores: Array, codes: Array, weights: Array | None) -> Fit:
    """Look at all rows, a part at a time."""
    inner = cuts[1:-1]
    value = -PRIOR / 2 * float(inner @ inner)
    gradient = -PRIOR * inner
    diagonal, beside = np.full(len(inner), PRIOR), np.zeros(max(len(inner) - 1, 0))
    for start in range(0, len(scores), PART):
        part = slice(start, start + PART)
        own = None if weights is None else weights[part].astype(np.float64)
        added = _part(cuts, scores[part].astype(np.float64), codes[part], own)
        value += added[0]
        gradient, diagonal = gradient + added[1], diagonal + added[2]
        beside = beside + added[3]
    information = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    return Fit(value, gradient, information)


def _part(
    cuts: Array, scores: Array, codes: Array, weights: Array | None
) -> tuple[float, Array, Array, Array]:
    """Return value, gradient, diagonal and off-diagonal of some rows."""
    n = len(cuts) - 2
    low, high = cuts[codes] - scores, cuts[codes + 1] - scores
    # Both in the lower tail, where differences are exact.
    mirror = low > 0
    tail = ndtr(np.where(mirror, -low, high)) - ndtr(np.where(mirror, -high, low))
    share = np.maximum(tail, TINY)
    below, above = _bell(low) / share, _bell(high) / share
    low, high = (np.where(np.isfinite(x), x, 0.0) for x in (low, high))
    terms = [
        np.log(share),
        above,
        -below,
        high * above + above**2,
        -low * below + below**2,
        -above * below,
    ]
    if weights is not None:
        terms = [weights * term for term in terms]
    value, up, down, of_high, of_low, both = terms
    # A row of level c touches the cut points c - 1 and c, the inner ones.
    sums = [np.bincount(codes, term, minlength=n + 1) for term in terms[1:]]
    up, down, of_high, of_low, both = sums
    gradient = up[:n] + down[1:]
    return float(value.sum()), gradient, of_high[:n] + of_low[1:], both[1:n]


def _bell(x: Array) -> Array:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi))
