"""Draws of a model from its posterior, and the predictions that are means over them.

A draw s has parameters (b, a, V) and a noise; a row with scores f_s is predicted by

- a real target: the mean of f_s. Its variance is that of f_s plus the mean of the
  noise's, ``noise_s^2 exp(sum_j spread_sj)`` over the labels j of the row;
- two classes: the mean of ``Phi(f_s / noise_s)``, as log-odds. Scores are in units of
  log-odds: those of the normal link times `LOGIT`;
- levels in an order: the mean of the expected level, where level c has the probability
  ``Phi(cut_c - f_s) - Phi(cut_{c-1} - f_s)``.

Storage: (k + 1) numbers per column and draw, one more where labels have a spread. Cost
of a prediction: that of one model, times the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import ndtr

__all__ = ["LOGIT", "Samples", "Score", "log_odds_of", "mean_factors"]

Array = npt.NDArray[Any]
# Factors (n_columns, k), linear coefficients (n_columns, 1) and bias (1,).
Parameters: TypeAlias = tuple[Array, Array, Array]
Score: TypeAlias = Callable[[Parameters], Array]

# The logistic function and Phi(x / 1.702) differ by less than .01 (Camilli, "Origin of
# the scaling constant d = 1.7 in item response theory", 1994).
LOGIT = 1.702
# The least probability that is told from 0.
TINY = 1e-300


@dataclass(frozen=True)
class Samples:
    """Draws of the parameters; the score of a draw is that of an FM."""

    factors: Array
    """Shape (n_draws, n_columns, k)."""
    linear: Array
    """Shape (n_draws, n_columns)."""
    intercept: npt.NDArray[np.float64]
    """Shape (n_draws,)."""
    noise: npt.NDArray[np.float64]
    """Standard deviation, in the units of the score; shape (n_draws,)."""
    spread: Array | None = None
    """What each label adds to the logarithm of the noise's variance; like `linear`."""
    cuts: Array | None = None
    """Cut points between levels, shape (n_draws, n_levels - 1)."""
    levels: Array | None = None
    """Values of the levels, shape (n_levels,)."""

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.intercept)

    def __getitem__(self, at: int) -> Parameters:
        """Return the parameters of a draw."""
        bias = np.array([self.intercept[at]], self.factors.dtype)
        return self.factors[at], self.linear[at][:, None], bias

    def __iter__(self) -> Iterator[Parameters]:
        """Yield the parameters of every draw."""
        return (self[at] for at in range(len(self)))

    def _scored(self, score: Score) -> Iterator[Array]:
        """Yield the scores of rows by every draw, in float64."""
        return (score(part)[:, 0].astype(np.float64) for part in self)

    def mean(self, score: Score) -> Array:
        """Return the mean of the target of some rows.

        Parameters
        ----------
        score : callable
            Takes parameters, returns scores of shape (n_rows, 1).
        """
        total: Any = 0.0
        for at, scores in enumerate(self._scored(score)):
            if self.levels is not None:
                scores, _ = self._level_moments(at, scores)
            total = total + scores
        return np.asarray(total / len(self))

    def log_odds(self, score: Score) -> Array:
        """Return the log-odds of the mean probability of the second class."""
        above, below = 0.0, 0.0
        for scores, noise in zip(self._scored(score), self.noise, strict=True):
            above = above + ndtr(scores / noise)
            below = below + ndtr(-scores / noise)
        return log_odds_of(above, below)

    def mean_and_std(self, score: Score, rows: Any) -> tuple[Array, Array]:
        """Return mean and standard deviation of the target of some rows.

        Parameters
        ----------
        score : callable
            As for `mean`.
        rows : CSR matrix of shape (n_rows, n_columns)
            The rows.
        """
        pattern = sp.csr_array(
            (np.ones(len(rows.data), np.float32), rows.indices, rows.indptr),
            shape=rows.shape,
        )
        mean, squares, noise = (np.zeros(rows.shape[0]) for _ in range(3))
        for at, scores in enumerate(self._scored(score)):
            expected, variance = self._moments(at, scores, pattern)
            # Welford (1962): no difference of large sums.
            change = expected - mean
            mean += change / (at + 1)
            squares += change * (expected - mean)
            noise += variance
        return mean, np.sqrt((squares + noise) / len(self))

    def _moments(self, at: int, scores: Array, pattern: Any) -> tuple[Array, Array]:
        """Return the expectation of rows in a draw, and the variance around it."""
        if self.levels is not None:
            return self._level_moments(at, scores)
        variance = np.full(len(scores), self.noise[at] ** 2)
        if self.spread is not None:
            variance *= np.exp(pattern @ self.spread[at].astype(np.float64))
        return scores, variance

    def _level_moments(self, at: int, scores: Array) -> tuple[Array, Array]:
        cuts, levels = np.asarray(self.cuts)[at], np.asarray(self.levels)
        tails = ndtr((cuts - scores[:, None]) / self.noise[at])
        shares = np.diff(tails, prepend=0.0, append=1.0)
        mean = shares @ levels
        return mean, (shares * (levels - mean[:, None]) ** 2).sum(axis=1)


def log_odds_of(above: Any, below: Any) -> Array:
    """Return the log-odds of shares of two classes, finite where one is 0."""
    return np.asarray(np.log(np.maximum(above, TINY) / np.maximum(below, TINY)))


def mean_factors(factors: Array) -> Array:
    """Return the mean of draws of factors that are turned to lie on each other.

    Scores do not change when the vectors of all labels are turned together, so that the
    plain mean of draws says nothing. Each is turned to the last one as well as can be
    (Schoenemann, "A generalized solution of the orthogonal Procrustes problem", 1966).

    Parameters
    ----------
    factors : array of shape (n_draws, n_columns, k)
        Draws.

    Returns
    -------
    array of shape (n_columns, k)

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._samples import mean_factors
    >>> draw = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]])
    >>> bool(np.allclose(mean_factors(np.array([-draw, draw])), draw))
    True
    """
    last = factors[-1].astype(np.float64)
    total = np.zeros_like(last)
    for draw in factors:
        # Not by BLAS, whose threads would go on spinning.
        left, _, right = np.linalg.svd(np.einsum("pk,pl->kl", draw, last))
        total += np.einsum("pk,kl->pl", draw, left @ right)
    return np.asarray(total / len(factors), factors.dtype)
