"""From an estimator to the chain that it means, and from draws to what it keeps.

Columns are swept in the order of their fields; everything that leaves this module has
them in their own, and in the units of y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skwfm._chain import (
    Chain,
    ChainTarget,
    LatentTarget,
    LeastSquares,
    NormalTarget,
    Priors,
    groups_of,
)
from skwfm._cut_points import first_cuts
from skwfm._kernels.gibbs import Sweeper
from skwfm._losses import Target
from skwfm._memory import NoRoomError, memory_limit
from skwfm._model import Layout, as_tensor
from skwfm._samples import LOGIT, Samples
from skwfm._size_validation import samples_error
from skwfm._solver_validation import burn_in_error
from skwfm._units import by_unit, units_of

__all__ = [
    "Order",
    "SampleStore",
    "SweepRows",
    "burn_in",
    "chain_of",
    "is_small",
    "needs_float64",
    "start_scale",
    "sweeps_to_keep",
    "unit_of_scores",
]

Array = npt.NDArray[Any]

# A start of this times `init_scale` leaves the neighbourhood of 0 in a few sweeps. As
# latent scores follow slowly, more of it would stay for long there.
START_SCALE, START_SCALE_NORMAL = 10.0, 15.0
# With more rows than these the prior of the precisions is weaker, down to a tenth.
PRIOR_ROWS, LEAST_PRIOR = 20_000, 0.1
# Draws are kept in runs of so many sweeps: errors of one make up for those of the next.
RUN = 2
# Up to so many rows or columns, sweeps are in float64.
FEW = 1000
# What the sweeps of NumPy do in a minute or so.
TWIN_ENTRIES, TWIN_COLUMNS = 200_000, 2000


class SweepRows(Dataset[Any]):
    """All rows of a matrix, with their targets and weights.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_features)
        Canonical.
    target : Target
        As coded by the loss.
    weights : array of shape (n_samples,) or None
        Positive, as given.
    """

    def __init__(self, X: Any, target: Target, weights: Array | None) -> None:
        self.X, self.coded, self.weights = X, target, weights
        values = target.values
        self.target = values.astype(X.dtype) if values.dtype.kind == "f" else values

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.X.shape[0])

    def part(self, rows: npt.NDArray[np.int64]) -> SweepRows:
        """Return some of the rows."""
        rows = np.sort(rows)
        weights = None if self.weights is None else self.weights[rows]
        target = self.coded._replace(values=self.coded.values[rows])
        return SweepRows(self.X[rows], target, weights)

    def row_weights(self) -> Tensor:
        """Return the weights of the rows, scaled to mean 1."""
        if self.weights is None:
            return torch.ones(len(self), dtype=as_tensor(self.X.data[:0]).dtype)
        return as_tensor((self.weights / self.weights.mean()).astype(self.X.dtype))


@dataclass
class Order:
    """The columns in the order of their fields."""

    columns: npt.NDArray[np.int64] | None
    """None: they stand in it already."""
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, layout: Layout) -> Order:
        """Return the order of the columns of a model.

        Fields of one column each are swept as one with pairs inside: it is the same,
        and the columns share their priors.
        """
        fields = layout.fields
        if layout.intra_field and layout.n_fields == len(fields):
            return cls(None, np.array([0, len(fields)]))
        columns = None
        if (fields[1:] < fields[:-1]).any():
            columns = np.argsort(fields, kind="stable")
            fields = fields[columns]
        return cls(columns, np.searchsorted(fields, np.arange(layout.n_fields + 1)))

    def sorted(self, array: Array) -> Array:
        """Return rows of columns in this order, as a copy."""
        return array.copy() if self.columns is None else array[self.columns]

    def write(self, array: Array, out: Array) -> None:
        """Write rows in this order to where the columns have their own."""
        out[slice(None) if self.columns is None else self.columns] = array


def chain_of(
    params: Any,
    solver: str,
    loss: Any,
    rows: SweepRows,
    layout: Layout,
    start: Any,
    spread: Array | None,
    rng: Any,
    *,
    n_burn_in: int,
    goes_on: bool,
) -> tuple[Chain, Order]:
    """Return the chain of an estimator at its start.

    Parameters
    ----------
    params : estimator
        Read only.
    solver : str
        "mcmc" or "als".
    loss : Loss
        Says what the target is.
    rows : SweepRows
        To learn from.
    layout : Layout
        Of an FM.
    start : tuple of arrays
        Factors (n_columns, k), linear coefficients or None, and bias or None, in coded
        units.
    spread : array of shape (n_columns,) or None
        Of the draw that the chain goes on from.
    rng : RandomState
        Decides the draws.
    n_burn_in : int
        Sweeps whose draws do not count.
    goes_on : bool
        Whether the start is another fit's; else it is drawn for weights of about 1.
    """
    order = Order.of(layout)
    X = rows.X if order.columns is None else rows.X[:, order.columns]
    X.sort_indices()
    factors, linear, bias = start
    sweeper = Sweeper(
        X,
        order.starts,
        layout.n_factors,
        fit_linear=linear is not None,
        pairs_inside=layout.intra_field,
        n_threads=params._n_threads(),
    )
    blocks = factors if linear is None else np.concatenate([factors, linear], axis=1)
    blocks = np.ascontiguousarray(order.sorted(blocks))
    target = _target_of(params, solver, loss, rows, layout.n_factors)
    # Scores may be in units of log-odds.
    unit = unit_of_scores(target)
    blocks[:, : layout.n_factors] /= np.sqrt(unit)
    blocks[:, layout.n_factors :] /= unit
    # Weighted, so that a weight of 2 is the row twice.
    is_pooled = len(order.starts) - 1 < layout.n_fields
    units = units_of(X, order.starts, target.weights, by_column=is_pooled)
    if not goes_on:
        blocks /= units[:, None].astype(blocks.dtype)
    # Least squares have one penalty.
    groups = np.zeros(len(blocks), np.int32)
    if target.draws:
        groups = groups_of(sweeper.counts(target.weights), order.starts)
        groups, units = by_unit(groups, units)
    # Cut points take the place of an intercept.
    has_intercept = bias is not None and loss.name != "ordinal"
    chain = Chain(
        sweeper,
        target,
        blocks,
        float(bias[0]) / unit if has_intercept else 0.0,
        groups,
        Priors(later=min(1.0, max(LEAST_PRIOR, PRIOR_ROWS / X.shape[0]))),
        np.random.default_rng(rng.randint(2**31)),
        fit_intercept=has_intercept,
        n_burn_in=n_burn_in,
        units=units if target.draws else None,
    )
    if spread is not None:
        chain.target.resume(chain, np.exp(-order.sorted(spread)))
    return chain, order


def _target_of(
    params: Any, solver: str, loss: Any, rows: SweepRows, n_factors: int
) -> ChainTarget:
    """Return the target of a chain, by the solver and the loss."""
    dtype = rows.X.dtype
    weights = None if rows.weights is None else rows.weights.astype(dtype)
    if solver == "als":
        penalties = [params.l2_factors] * n_factors
        penalties += [params.l2_linear] * bool(params.fit_linear)
        return LeastSquares(rows.target, weights, np.array(penalties, np.float64))
    if loss.name != "ordinal" and not loss.n_classes:
        return NormalTarget(rows.target, weights)
    codes, is_ordinal = rows.target.astype(np.int32), loss.name == "ordinal"
    cuts = np.array([-np.inf, 0.0, np.inf])
    if is_ordinal:
        cuts = first_cuts(codes, weights, len(loss.levels))
    return LatentTarget(codes, cuts, weights, dtype, draws_cuts=is_ordinal)


class SampleStore:
    """Kept draws, in the units of y and in the order of the columns.

    Parameters
    ----------
    n_kept : int
        How many draws to keep at most.
    first, last : int
        Sweeps, from 1, between which they are spread, by twos.
    target : Target
        What turns scores into the units of y.
    chain : Chain
        Where they come from.
    order : Order
        Of its columns.
    levels : array of shape (n_levels,), optional
        Values of the levels of an ordered target.
    may_stop : bool
        Whether the chain may end before the last: draws are then kept from the first
        on, and every second two dropped whenever there is no room for others.

    Raises
    ------
    MemoryError
        If they cannot fit.
    """

    def __init__(
        self,
        n_kept: int,
        first: int,
        last: int,
        target: Target,
        chain: Chain,
        order: Order,
        levels: Array | None = None,
        *,
        may_stop: bool = False,
    ) -> None:
        n_kept = min(n_kept, last - first + 1)
        self.target, self.chain, self.order = target, chain, order
        n_columns, dim = chain.blocks.shape
        self.k, dtype = chain.sweeper.n_factors, chain.blocks.dtype
        has_spread = chain.target.spread is not None
        per_draw = n_columns * (self.k + 1 + has_spread) * dtype.itemsize
        limit = memory_limit()
        if limit is not None and n_kept * per_draw > limit:
            raise NoRoomError(samples_error(n_kept, per_draw, limit))
        try:
            self.factors = np.empty((n_kept, n_columns, self.k), dtype)
            self.linear = np.zeros((n_kept, n_columns), dtype)
            self.spread = np.empty((n_kept, n_columns), dtype) if has_spread else None
        except MemoryError as error:
            raise NoRoomError(samples_error(n_kept, per_draw, limit)) from error
        self.wanted = None if may_stop else sweeps_to_keep(n_kept, first, last)
        self.first, self.run, self.every = first, min(RUN, n_kept), 1
        self.scalars: list[tuple[float, float]] = []
        self.levels, self.cuts = levels, list[Array]()

    def offer(self, sweep: int) -> None:
        """Keep the draw of a sweep, if it is one of those wanted."""
        if self.wanted is not None:
            if sweep in self.wanted:
                self.keep()
            return
        before, place = divmod(sweep - self.first, self.run)
        if before < 0 or (before + 1) % self.every:
            return
        if place == 0 and len(self.scalars) + self.run > len(self.factors):
            self.thin()
        if (before + 1) % self.every == 0:
            self.keep()

    def thin(self) -> None:
        """Drop every second run of the draws so far."""
        left = [at for at in range(len(self.scalars)) if at // self.run % 2]
        for array in (self.factors, self.linear, self.spread):
            if array is not None:
                for to, at in enumerate(left):
                    array[to] = array[at]
        self.scalars = [self.scalars[at] for at in left]
        if self.levels is not None:
            self.cuts = [self.cuts[at] for at in left]
        self.every *= 2

    def keep(self) -> None:
        """Keep the present draw."""
        at, chain, scale = len(self.scalars), self.chain, self.target.scale
        if at == len(self.factors):
            return
        factors, linear = chain.blocks[:, : self.k], chain.blocks[:, self.k :]
        unit = unit_of_scores(chain.target) * scale
        dtype = chain.blocks.dtype.type
        self.order.write(factors * dtype(np.sqrt(unit)), self.factors[at])
        if linear.shape[1]:
            self.order.write(linear[:, 0] * dtype(unit), self.linear[at])
        if self.spread is not None:
            self.order.write(-np.log(chain.target.spread), self.spread[at])
        noise = unit / np.sqrt(chain.target.noise_precision)
        self.scalars.append((chain.intercept * unit + self.target.shift, noise))
        if self.levels is not None:
            self.cuts.append(chain.target.cuts[1:-1])

    def samples(self) -> Samples:
        """Return the draws kept; the present one if there are none."""
        if not self.scalars:
            self.keep()
        n = len(self.scalars)
        intercept, noise = np.array(self.scalars, np.float64).T.copy()
        spread = None if self.spread is None else self.spread[:n]
        return Samples(
            self.factors[:n],
            self.linear[:n],
            intercept,
            noise,
            spread,
            None if self.levels is None else np.array(self.cuts),
            self.levels,
        )


def sweeps_to_keep(n_kept: int, first: int, last: int) -> set[int]:
    """Return sweeps by twos, evenly spread, with the last: a chain goes on from it.

    Examples
    --------
    >>> from skwfm._draws import sweeps_to_keep
    >>> sorted(sweeps_to_keep(4, 11, 20)), sorted(sweeps_to_keep(3, 1, 3))
    ([14, 15, 19, 20], [1, 2, 3])
    """
    if n_kept > last - first:
        return set(range(first, last + 1))
    n_runs = -(-n_kept // RUN)
    ends = np.linspace(first - 1, last, n_runs + 1)[1:].round().astype(int)
    sweeps = {int(end) - before for end in ends for before in range(RUN)}
    return set(sorted(sweeps)[-n_kept:])


def start_scale(solver: str, loss: Any) -> float:
    """Return what `init_scale` is taken times."""
    is_normal = solver == "mcmc" and loss.name == "squared"
    return START_SCALE_NORMAL if is_normal else START_SCALE


def unit_of_scores(target: Any) -> float:
    """Return what scores of a chain are taken times: log-odds for two classes."""
    is_latent = isinstance(target, LatentTarget)
    return LOGIT if is_latent and not target.draws_cuts else 1.0


def needs_float64(X: Any) -> bool:
    """Tell where sweeps are in float64: few labels have many rows each.

    Blocks that the data hardly tell apart then grow against each other, and what is
    left of their sums is lost in float32.
    """
    return bool(min(X.shape) <= FEW)


def is_small(X: Any) -> bool:
    """Tell whether NumPy can do the sweeps, in a minute or so."""
    return bool(X.nnz <= TWIN_ENTRIES and X.shape[1] <= TWIN_COLUMNS)


def burn_in(params: Any, solver: str, max_iter: int, *, goes_on: bool) -> int:
    """Return the sweeps whose draws do not count; a chain that goes on needs none."""
    if params.n_burn_in == "auto":
        return 0 if goes_on and hasattr(params, "samples_") else max_iter // 10
    if solver == "mcmc" and params.n_burn_in >= max_iter:
        raise ValueError(burn_in_error(params.n_burn_in, max_iter))
    return int(params.n_burn_in)
