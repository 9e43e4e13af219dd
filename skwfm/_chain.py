"""Gibbs sampling of a factorization machine: the model, and all that is no block.

For row i with target t, label weights w and row weight c:

- ``t_i ~ N(b + score_i, 1 / (c_i alpha prod_f kappa_j))``, where j is the label of the
  row in field f, over the fields with one label per row: the ratings of some users
  scatter more than those of others. ``kappa_j ~ Gamma(nu_f / 2, nu_f / 2)``, nu_f on a
  grid: a field whose labels do not differ gets a large one;
- blocks (v_j, a_j) are normal, each number with the mean and precision of its group:
  ``lambda ~ Gamma(5, 1/2)``, ``mu ~ N(0, 1 / lambda)``. A group is the labels of a
  field that are about as frequent. With few labels this prior matters: a wider one
  lets vectors grow that the data do not tell apart. It is for label weights of about 1,
  so that blocks are looked at in the unit of their field (see `_units`);
- ``alpha ~ Gamma(1/2, 1/2)`` (shape and rate), ``b ~ N(0, 100)``. Targets are
  standardised.

With classes, t is a latent score: normal with variance 1, on the side of 0 that the
class says (Albert and Chib, 1993), or between the cut points of an ordered level, which
are drawn too and take the place of the intercept.

Least squares take the conditional means instead of draws, with given precisions and no
noise: each step lowers the penalised loss.

A sweep draws all of it once, blocks with overrelaxation (see `gibbs`). A chain goes on
from blocks, intercept and the spread of the noise over labels: the rest follows from
them in a sweep.

References: Rendle (2012), "Factorization machines with libFM", ACM TIST 3(3);
Salakhutdinov and Mnih (2008), "Bayesian probabilistic matrix factorization", ICML;
Freudenthaler, Schmidt-Thieme and Rendle (2011), "Bayesian factorization machines", NIPS
workshop on sparse representation and low-rank approximation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from skwfm._cut_points import draw_cuts
from skwfm._kernels.gibbs import Conditional, RowState, Sweeper
from skwfm._kernels.gibbs_rows import Field

__all__ = [
    "Chain",
    "ChainTarget",
    "LatentTarget",
    "LeastSquares",
    "NormalTarget",
    "Priors",
    "groups_of",
]

Array = npt.NDArray[Any]

# Successive draws lie on opposite sides of their means: the mean of half as many is as
# good. Near 1, their variance would be known the worse.
OVERRELAXATION = 0.6
# Labels that share a mean and a precision: as frequent up to a factor of 2, and at
# least so many.
GROUP_LABELS = 20
# Sweeps after which sums and residuals are taken anew: those of float32 drift.
REFRESH = 16
# Rows that are summed together: bounds the memory.
PART = 2**16
# A field tells how much its labels scatter where they have so many rows on average.
SPREAD_ROWS = 2


class Priors(NamedTuple):
    """Parameters of the priors; gamma distributions by half of shape and rate."""

    noise: tuple[float, float] = (1.0, 1.0)
    precision: tuple[float, float] = (10.0, 1.0)
    """In the burn-in, and where rows are few."""
    later: float = 1.0
    """After the burn-in, so many times as much. With little of it, a factor that comes
    near 0 in the burn-in is caught there; with all of it, the factors that many rows
    need not fade ten times as slowly."""
    mean_weight: float = 1.0
    """Labels that the prior of a group's mean counts as."""
    intercept: float = 0.01
    """Precision of the intercept."""
    spread: tuple[float, ...] = tuple(np.geomspace(1.0, 1000.0, 40))
    """Grid of nu; empty: labels have no spread."""


def groups_of(
    counts: Array, starts: Array, least: int = GROUP_LABELS
) -> npt.NDArray[np.int32]:
    """Return the group of each label: those of a field that are about as frequent.

    Parameters
    ----------
    counts : array of int, shape (n_columns,)
        Rows with each label.
    starts : array of int, shape (n_fields + 1,)
        First column of each field.
    least : int
        Labels of a group, at least; a smaller field is one group.

    Examples
    --------
    >>> from skwfm._chain import groups_of
    >>> groups_of([1, 1, 9, 1, 8, 8], [0, 5, 6], least=2).tolist()
    [0, 0, 1, 0, 1, 2]
    """
    # Labels without rows say nothing of a prior of their own: they join the rarest.
    octaves = np.frexp(np.maximum(np.asarray(counts, np.float64), 1.0))[1]
    groups = np.zeros(len(octaves), np.int32)
    n_groups = 0
    for first, end in zip(starts[:-1], starts[1:], strict=True):
        if first == end:
            continue
        values, which, sizes = np.unique(
            octaves[first:end], return_inverse=True, return_counts=True
        )
        # The next group begins once one is full, if the rest can fill another.
        before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        number, begin = np.zeros(len(values), np.int32), 0
        for at in range(1, len(values)):
            is_full = before[at] - begin >= least and end - first - before[at] >= least
            number[at] = number[at - 1] + is_full
            begin = before[at] if is_full else begin
        groups[first:end] = n_groups + number[which]
        n_groups += int(number[-1]) + 1
    return groups


class Chain:
    """All parameters, and the rows as they see them.

    Parameters
    ----------
    sweeper : Sweeper
        The rows.
    target : ChainTarget
        What the scores are compared with, and how.
    blocks : array of shape (n_columns, dim)
        Where to start from, in the order of the sweeper; changed in place.
    intercept : float
        The same, 0 where none is fitted.
    groups : array of int32, shape (n_columns,)
        Group of each label.
    priors : Priors
        Priors.
    rng : Generator
        Decides all draws.
    fit_intercept : bool
        Whether the intercept is drawn.
    n_burn_in : int
        Sweeps whose draws do not count.
    units : array of shape (n_groups,), optional
        Size of the label weights of each group; all 1 by default.
    """

    def __init__(
        self,
        sweeper: Sweeper,
        target: ChainTarget,
        blocks: Array,
        intercept: float,
        groups: npt.NDArray[np.int32],
        priors: Priors,
        rng: np.random.Generator,
        *,
        fit_intercept: bool = True,
        n_burn_in: int = 0,
        units: Array | None = None,
    ) -> None:
        self.sweeper, self.priors, self.rng = sweeper, priors, rng
        self.target: Any = target
        self.blocks, self.intercept = blocks, float(intercept)
        self.groups, self.fit_intercept = groups, fit_intercept
        self.sizes = np.bincount(groups)
        self.units = np.ones(len(self.sizes)) if units is None else units
        self.n_sweeps, self.n_burn_in = 0, n_burn_in
        self.precision: Any = None  # of the groups, as last drawn
        target.begin(sweeper, priors)
        self.refresh()

    def refresh(self) -> None:
        """Take sums and residuals anew."""
        with np.errstate(over="ignore", invalid="ignore"):  # told by the sweep
            scores, sums = self.sweeper.scores(self.blocks)
            residuals = self.target.values - scores
            residuals -= residuals.dtype.type(self.intercept)
        self.rows = RowState(sums, residuals, self.target.scale)

    def sweep(self) -> bool:
        """Draw everything once; return whether all was finite."""
        with np.errstate(over="ignore", invalid="ignore"):  # told by the result
            return self._sweep()

    def _sweep(self) -> bool:
        if self.n_sweeps and self.n_sweeps % REFRESH == 0:
            self.refresh()
        self.n_sweeps += 1
        if not self.target.draw(self):
            return False
        self.precision, mean = self.target.prior(self)
        if self.fit_intercept:
            self._draw_intercept()
        given = Conditional(
            self.precision,
            mean,
            self.groups,
            self.target.noise_precision,
            self.target.draws,
            OVERRELAXATION,
        )
        return self.sweeper.sweep(self.rows, self.blocks, given, self.key())

    def sums(self) -> Array:
        """Return the sums over rows of c, c e and c e^2, in float64."""
        out = np.zeros(3)
        for start in range(0, len(self.rows.residuals), PART):
            part = slice(start, start + PART)
            errors = self.rows.residuals[part].astype(np.float64)
            scale = np.ones(len(errors))
            if self.rows.scale is not None:
                scale = self.rows.scale[part].astype(np.float64)
            scaled = scale * errors
            out += (scale**2).sum(), (scale * scaled).sum(), (scaled**2).sum()
        return out

    def key(self) -> int:
        """Return the key of some draws in the core."""
        return int(self.rng.integers(2**63))

    def _draw_intercept(self) -> None:
        alpha = self.target.noise_precision
        weight, total, _ = self.sums()
        prior = self.priors.intercept if self.target.draws else 0.0
        precision = prior + alpha * weight
        drawn = alpha * (total + weight * self.intercept) / precision
        if self.target.draws:
            drawn += self.rng.standard_normal() / np.sqrt(precision)
        self.rows.residuals[:] -= self.rows.residuals.dtype.type(drawn - self.intercept)
        self.intercept = drawn

    def draw_prior(self) -> tuple[Array, Array]:
        """Draw precision and mean of every group, given its blocks."""
        is_burning = 0 < self.n_sweeps <= self.n_burn_in
        part = 1.0 if is_burning else self.priors.later
        shape, rate = (part * number for number in self.priors.precision)
        weight = self.priors.mean_weight
        sizes = self.sizes[:, None].astype(np.float64)
        blocks = self.blocks.astype(np.float64)
        totals = _group_sums(blocks, self.groups, len(sizes))
        squares = _group_sums(np.square(blocks, out=blocks), self.groups, len(sizes))
        # The mean of a group is integrated out before its precision is drawn.
        squares = np.maximum(squares - totals**2 / (sizes + weight), 0.0)
        precision = self.rng.standard_gamma((shape + sizes) / 2, totals.shape)
        precision /= (rate / self.units[:, None] ** 2 + squares) / 2
        drawn = self.rng.standard_normal(totals.shape)
        mean = totals / (sizes + weight) + drawn / np.sqrt((sizes + weight) * precision)
        return precision, mean


def _group_sums(values: Array, groups: Array, n_groups: int) -> Array:
    """Sum the rows of every group."""
    out = np.empty((n_groups, values.shape[1]))
    for d in range(values.shape[1]):
        out[:, d] = np.bincount(groups, values[:, d], minlength=n_groups)
    return out


class ChainTarget:
    """What the scores of a chain are compared with, and how.

    Parameters
    ----------
    values : array of shape (n_rows,)
        What the scores should be, in units of the noise but for its precision.
    weights : array of shape (n_rows,) or None
        Exponents of the rows in the likelihood.
    """

    draws = True
    """Else blocks become conditional means."""
    noise_precision = 1.0
    spread: Array | None = None
    """The factor kappa of each label, 1 in fields that have none."""

    def __init__(self, values: Array, weights: Array | None) -> None:
        self.values, self.weights = values, weights
        self.scale: Array | None = None
        if weights is not None:
            self.scale = np.sqrt(weights).astype(values.dtype)
        self.freedom: dict[int, float] = {}
        """nu of the fields that have one, by their number."""

    def begin(self, sweeper: Sweeper, priors: Priors) -> None:
        """Look at the rows, before the first sweep."""

    def resume(self, chain: Chain, spread: Array) -> None:
        """Take the factors of all labels, where there are some, from another chain."""

    def draw(self, chain: Chain) -> bool:
        """Draw what belongs to the target; return whether residuals are finite."""
        return bool(np.isfinite(chain.rows.residuals).all())

    def prior(self, chain: Chain) -> tuple[Array, Array]:
        """Draw precision and mean of every group."""
        return chain.draw_prior()


class NormalTarget(ChainTarget):
    """A target with normal noise, whose precision has a factor for each label.

    Parameters
    ----------
    values : array of shape (n_rows,)
        Standardised.
    weights : array of shape (n_rows,), optional
        Exponents of the rows in the likelihood.
    """

    def __init__(self, values: Array, weights: Array | None = None) -> None:
        super().__init__(values, weights)
        self.total = float(len(values))
        if weights is not None:
            self.total = float(weights.sum(dtype=np.float64))
        self.fields: list[tuple[int, Field, Array]] = []
        """Those with a spread: number, field, and the rows of each label."""

    def begin(self, sweeper: Sweeper, priors: Priors) -> None:
        """Find the fields whose labels may scatter differently."""
        if not priors.spread:
            return
        all_counts = sweeper.counts(self.weights)
        for number, field in enumerate(sweeper.fields):
            counts = all_counts[field.first : field.end]
            if field.is_single and _has_spread(counts):
                self.fields.append((number, field, counts))
                self.freedom[number] = priors.spread[-1]
        if self.fields:
            self.spread = np.ones(sweeper.n_columns)
            if self.scale is None:
                self.scale = np.ones_like(self.values)

    def resume(self, chain: Chain, spread: Array) -> None:
        """Take the factors of all labels, and draw how much they differ."""
        for number, field, _ in self.fields:
            self._set_spread(chain, number, field, spread[field.first : field.end])

    def draw(self, chain: Chain) -> bool:
        """Draw the noise, given the residuals."""
        square = float(chain.sums()[2])
        if not np.isfinite(square):
            return False
        shape, rate = chain.priors.noise
        drawn = chain.rng.standard_gamma((shape + self.total) / 2)
        self.noise_precision = float(drawn / ((rate + square) / 2))
        for number, field, counts in self.fields:
            self._draw_spread(chain, number, field, counts)
        return True

    def _draw_spread(
        self, chain: Chain, number: int, field: Field, counts: Array
    ) -> None:
        own = self._spread_of(field)
        half = self.freedom[number] / 2
        squares = chain.sweeper.squared_errors(field, chain.rows) / own
        rate = half + self.noise_precision * squares / 2
        drawn = chain.rng.standard_gamma(half + counts / 2) / rate
        self._set_spread(chain, number, field, drawn)

    def _spread_of(self, field: Field) -> Array:
        spread: Any = self.spread
        return np.asarray(spread[field.first : field.end])

    def _set_spread(
        self, chain: Chain, number: int, field: Field, spread: Array
    ) -> None:
        """Take the factors of a field, and draw their nu."""
        own = self._spread_of(field)
        spread = np.maximum(spread, np.finfo(np.float64).tiny)
        chain.sweeper.scale_rows(field, chain.rows, spread / own)
        own[:] = spread
        self.freedom[number] = _draw_freedom(chain, spread)


def _has_spread(counts: Array) -> bool:
    n_labels = int((counts > 0).sum())
    return n_labels > 1 and bool(counts.sum() >= SPREAD_ROWS * n_labels)


def _draw_freedom(chain: Chain, spread: Array) -> float:
    """Draw nu, given the factors of its labels: ``kappa ~ Gamma(nu / 2, nu / 2)``."""
    grid = np.asarray(chain.priors.spread)
    half = grid / 2
    total = (np.log(spread) - spread).sum()
    density = len(spread) * (half * np.log(half) - gammaln(half)) + half * total
    shares = np.cumsum(np.exp(density - density.max()))
    return float(grid[np.searchsorted(shares, chain.rng.random() * shares[-1])])


class LatentTarget(ChainTarget):
    """Classes in an order: each is a stretch of a latent score of variance 1.

    Parameters
    ----------
    codes : array of int32, shape (n_rows,)
        Number of each row's class.
    cuts : array of shape (n_classes + 1,)
        Where the stretches meet, the outer ones infinite.
    weights : array of shape (n_rows,), optional
        Exponents of the rows in the likelihood: exact where they are 1, else by the
        first two moments of the latent score.
    dtype : dtype
        Of the latent scores.
    draws_cuts : bool
        Whether the cut points are drawn, or stay.
    """

    def __init__(
        self,
        codes: Array,
        cuts: Array,
        weights: Array | None,
        dtype: Any,
        *,
        draws_cuts: bool = False,
    ) -> None:
        super().__init__(np.zeros(len(codes), dtype), weights)
        self.codes, self.cuts, self.draws_cuts = codes, cuts, draws_cuts

    def draw(self, chain: Chain) -> bool:
        """Draw the cut points, if they are, and the latent scores."""
        if not super().draw(chain):
            return False
        if self.draws_cuts:
            rows = self.values - chain.rows.residuals, self.codes, self.weights
            self.cuts = draw_cuts(self.cuts, *rows, chain.rng)
        chain.sweeper.draw_latent(
            self.values, chain.rows, self.codes, self.cuts, chain.key()
        )
        return super().draw(chain)


class LeastSquares(ChainTarget):
    """A target without noise, and given penalties: blocks become conditional means.

    Parameters
    ----------
    values : array of shape (n_rows,)
        Standardised.
    weights : array of shape (n_rows,), optional
        Weights of the rows.
    penalties : array of shape (dim,)
        Of each number of a block.
    """

    draws = False

    def __init__(self, values: Array, weights: Array | None, penalties: Array) -> None:
        super().__init__(values, weights)
        self.penalties = penalties

    def prior(self, chain: Chain) -> tuple[Array, Array]:
        """Return the penalties, of the one group that there is."""
        precision = np.ascontiguousarray(self.penalties[None], np.float64)
        return precision, np.zeros_like(precision)
