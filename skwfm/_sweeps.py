"""The training loop of solvers that sweep over the labels: an epoch is a sweep.

skorch keeps its part: epochs, history, callbacks, stopping. A batch is all rows. With
``"mcmc"`` a sweep is a draw, and some of those after the burn-in are kept; the rows to
validate on are predicted by the mean of all draws so far. With ``"als"`` a sweep lowers
the penalised loss.

Columns are swept in the order of their fields; everything that leaves this module has
them in their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from skorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import Dataset

from skwfm._chain import (
    Chain,
    LatentTarget,
    LeastSquares,
    NormalTarget,
    Priors,
    groups_of,
)
from skwfm._kernels.gibbs import Sweeper
from skwfm._loop import Keeper, LoopNet
from skwfm._losses import Target
from skwfm._memory import memory_limit
from skwfm._model import Layout, as_tensor
from skwfm._samples import LOGIT, TINY, Samples, mean_factors
from skwfm._size_validation import samples_error
from skwfm._solver_validation import burn_in_error, warn_sweep_failed
from skwfm.nn._fm import FactorModule

__all__ = [
    "START_SCALE",
    "SampleStore",
    "SweepNet",
    "SweepRows",
    "burn_in",
    "is_small",
    "sweep_net",
]

Array = npt.NDArray[Any]

# More fields than these have no curves of their own in the history.
MOST_CURVES = 32
# A start of this times `init_scale` leaves the neighbourhood of 0 in a few sweeps.
START_SCALE = 10.0
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
        """Return the order of the columns of a model."""
        fields = layout.fields
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
    params: Any, rows: SweepRows, layout: Layout, start: Any, rng: Any, n_threads: int
) -> tuple[Chain, Order]:
    """Return the chain of an estimator at its start.

    Parameters
    ----------
    params : estimator
        Read only.
    rows : SweepRows
        To learn from.
    layout : Layout
        Of an FM.
    start : tuple of arrays
        Factors (n_columns, k), linear coefficients or None, and bias or None, in coded
        units.
    rng : RandomState
        Decides the draws.
    n_threads : int
        They do not change a bit.
    """
    order = Order.of(layout)
    X = rows.X if order.columns is None else rows.X[:, order.columns]
    X.sort_indices()
    factors, linear, bias = start
    # Fields of one column each have no pairs inside.
    inside = layout.intra_field and layout.n_fields < len(layout.fields)
    sweeper = Sweeper(
        X,
        order.starts,
        layout.n_factors,
        fit_linear=linear is not None,
        pairs_inside=inside,
        n_threads=n_threads,
    )
    blocks = factors if linear is None else np.concatenate([factors, linear], axis=1)
    blocks = np.ascontiguousarray(order.sorted(blocks))
    intercept = 0.0 if bias is None else float(bias[0])
    target: Any
    weights = None if rows.weights is None else rows.weights.astype(X.dtype)
    if params.solver == "als":
        penalties = [params.l2_factors] * layout.n_factors
        penalties += [params.l2_linear] * (linear is not None)
        target = LeastSquares(rows.target, weights, np.array(penalties, np.float64))
    elif not hasattr(params, "classes_"):
        target = NormalTarget(rows.target, weights)
    else:
        cuts = np.array([-np.inf, 0.0, np.inf])
        codes = rows.target.astype(np.int32)
        target = LatentTarget(codes, cuts, weights, X.dtype)
        # From the units of log-odds.
        blocks[:, : layout.n_factors] /= np.sqrt(LOGIT)
        blocks[:, layout.n_factors :] /= LOGIT
        intercept /= LOGIT
    groups = groups_of(sweeper.counts, order.starts)
    chain = Chain(
        sweeper,
        target,
        blocks,
        intercept,
        groups,
        Priors(),
        np.random.default_rng(rng.randint(2**31)),
        fit_intercept=bias is not None,
    )
    return chain, order


class SampleStore:
    """Kept draws, in the units of y and in the order of the columns.

    Parameters
    ----------
    n_kept : int
        How many draws to keep at most.
    first, last : int
        Sweeps, from 1, between which they are spread.
    target : Target
        What turns scores into the units of y.
    chain : Chain
        Where they come from.
    order : Order
        Of its columns.

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
    ) -> None:
        n_kept = min(n_kept, last - first + 1)
        self.wanted = set(np.linspace(first, last, n_kept).round().astype(int).tolist())
        self.target, self.chain, self.order = target, chain, order
        n_columns, dim = chain.blocks.shape
        self.k, dtype = chain.sweeper.n_factors, chain.blocks.dtype
        has_spread = chain.target.spread is not None
        per_draw = n_columns * (self.k + 1 + has_spread) * dtype.itemsize
        limit = memory_limit()
        if limit is not None and n_kept * per_draw > limit:
            raise MemoryError(samples_error(n_kept, per_draw, limit))
        try:
            self.factors = np.empty((n_kept, n_columns, self.k), dtype)
            self.linear = np.zeros((n_kept, n_columns), dtype)
            self.spread = np.empty((n_kept, n_columns), dtype) if has_spread else None
        except MemoryError as error:
            raise MemoryError(samples_error(n_kept, per_draw, limit)) from error
        self.scalars: list[tuple[float, float]] = []

    def offer(self, sweep: int) -> None:
        """Keep the draw of a sweep, if it is one of those wanted."""
        if sweep in self.wanted:
            self.keep()

    def keep(self) -> None:
        """Keep the present draw."""
        at, chain, scale = len(self.scalars), self.chain, self.target.scale
        if at == len(self.factors):
            return
        factors, linear = chain.blocks[:, : self.k], chain.blocks[:, self.k :]
        unit = LOGIT if isinstance(chain.target, LatentTarget) else scale
        dtype = chain.blocks.dtype.type
        self.order.write(factors * dtype(np.sqrt(unit)), self.factors[at])
        if linear.shape[1]:
            self.order.write(linear[:, 0] * dtype(unit), self.linear[at])
        if self.spread is not None:
            self.order.write(-np.log(chain.target.spread), self.spread[at])
        noise = unit / np.sqrt(chain.target.noise_precision)
        self.scalars.append((chain.intercept * unit + self.target.shift, noise))

    def samples(self) -> Samples:
        """Return the draws kept; the present one if there are none."""
        if not self.scalars:
            self.keep()
        n = len(self.scalars)
        intercept, noise = np.array(self.scalars, np.float64).T.copy()
        spread = None if self.spread is None else self.spread[:n]
        return Samples(self.factors[:n], self.linear[:n], intercept, noise, spread)


class SweepNet(LoopNet):
    """A skorch net whose step is a sweep over all labels.

    Parameters
    ----------
    module : torch.nn.Module
        Shows the present draw; its parameters are written after every sweep.
    criterion : Loss
        For the losses that are recorded.
    chain : Chain
        What the sweeps draw.
    order : Order
        Of its columns.
    store : SampleStore or None
        Keeps draws; none for least squares.
    n_burn_in : int
        Sweeps before draws count.
    field_names : tuple of str
        For the curves.
    has_guests : bool
        Whether there are callbacks of the user's.
    **kwargs
        As `LoopNet`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        criterion: torch.nn.Module,
        *,
        chain: Chain,
        order: Order,
        store: SampleStore | None,
        n_burn_in: int,
        field_names: tuple[str, ...] = (),
        has_guests: bool = False,
        **kwargs: Any,
    ) -> None:
        self.chain, self.order, self.store = chain, order, store
        self.n_burn_in, self.field_names = n_burn_in, field_names
        self.has_guests = has_guests
        super().__init__(module, criterion, **kwargs)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make an optimizer only where callbacks of the user's may look at it."""
        self.optimizer_: Any = None
        self.failed_ = False
        self.totals_: Any = 0.0
        self.n_totals_ = 0
        if self.has_guests:
            self.optimizer_ = torch.optim.SGD(self.module_.parameters(), lr=self.lr)
        return self

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return all rows as one batch."""
        return _Whole(dataset)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Sweep once; the loss is that of the draw."""
        rows, targets = batch
        chain = self.chain
        self.failed_ = not chain.sweep()
        if self.optimizer_ is not None:
            self.optimizer_.step()  # nothing to do, but torch's schedulers ask for it
        self._show()
        scores = self._units(chain.target.values - chain.rows.residuals)
        y_pred = torch.from_numpy(scores[:, None])
        loss = torch.tensor(np.nan)
        if not self.failed_:
            loss = self.get_loss(y_pred, targets, rows) + self._penalty(rows)
            if self.store is not None:
                self.store.offer(chain.n_sweeps)
                self._record_draw()
        return {"loss": loss, "y_pred": y_pred}

    def _units(self, scores: Array) -> Array:
        """Return scores of the chain in those of the loss."""
        is_latent = isinstance(self.chain.target, LatentTarget)
        return scores * scores.dtype.type(LOGIT) if is_latent else scores

    def _show(self) -> None:
        """Write the present draw to the module."""
        chain, k = self.chain, self.chain.sweeper.n_factors
        unit = LOGIT if isinstance(chain.target, LatentTarget) else 1.0
        state = {key: part.numpy() for key, part in self.module_.state_dict().items()}
        factors = chain.blocks[:, :k] * chain.blocks.dtype.type(np.sqrt(unit))
        self.order.write(factors, state["bag.emb.weight"])
        if "linear" in state:
            linear = chain.blocks[:, k:] * chain.blocks.dtype.type(unit)
            self.order.write(linear, state["linear"])
        if "bias" in state:
            state["bias"][:] = chain.intercept * unit

    def _penalty(self, rows: Any) -> float:
        """Return the penalty of least squares, relative as the loss is."""
        if not isinstance(self.chain.target, LeastSquares):
            return 0.0
        total = len(rows) if rows.weights is None else rows.weights.sum()
        squares = np.square(self.chain.blocks.astype(np.float64)).sum(axis=0)
        return float((squares * self.chain.target.penalties).sum() / 2 / total)

    def _record_draw(self) -> None:
        """Record noise and precisions of the draw, in the units of the coded target."""
        chain = self.chain
        self.history.record("noise", float(chain.target.noise_precision**-0.5))
        if len(self.field_names) > MOST_CURVES:
            return
        k, groups = chain.sweeper.n_factors, chain.groups
        for number, name in enumerate(self.field_names):
            first, end = self.order.starts[number : number + 2]
            if first == end:
                continue
            own = np.unique(groups[first:end])
            shares = chain.sizes[own] / chain.sizes[own].sum()
            # Of the mean variance of the labels.
            variance = shares @ (1 / chain.precision[own])
            self.history.record(f"precision_{name}", float(1 / variance[:k].mean()))
            if len(variance) > k:
                self.history.record(f"linear_precision_{name}", float(1 / variance[k]))
            if number in chain.target.freedom:
                freedom = float(chain.target.freedom[number])
                self.history.record(f"noise_freedom_{name}", freedom)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Score rows: by the mean of the draws, or by the parameters as they are."""
        chain = self.chain
        columns = self.order.columns
        X = x.X if columns is None else x.X[:, columns]
        scores = chain.sweeper.score(X, chain.blocks) + chain.intercept
        if self.store is None:
            return torch.from_numpy(scores.astype(x.X.dtype)[:, None])
        if chain.n_sweeps == self.n_burn_in + 1:
            self.totals_, self.n_totals_ = 0.0, 0
        self.n_totals_ += 1
        is_latent = isinstance(chain.target, LatentTarget)
        self.totals_ = self.totals_ + (ndtr(scores) if is_latent else scores)
        mean = self.totals_ / self.n_totals_
        if is_latent:
            mean = np.log(np.maximum(mean, TINY) / np.maximum(1 - mean, TINY))
        return torch.from_numpy(mean.astype(x.X.dtype)[:, None])

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of some rows, which carry their weights."""
        target = y_true.to(y_pred.dtype) if y_true.is_floating_point() else y_true
        loss: Tensor = self.criterion_(y_pred, (target, X.row_weights()))
        return loss

    def is_finite(self) -> bool:
        """Tell whether the last sweep went well."""
        return not self.failed_

    def result(self) -> tuple[Array, Array | None, Array | None, Samples | None]:
        """Return parameters in coded units, and the draws in units of y."""
        state = {key: part.numpy() for key, part in self.module_.state_dict().items()}
        table, linear = state["bag.emb.weight"], state.get("linear")
        bias = state.get("bias")
        if self.store is None:
            return table, linear, bias, None
        samples, target = self.store.samples(), self.store.target
        table[:] = mean_factors(samples.factors) / np.sqrt(target.scale)
        if linear is not None:
            linear[:, 0] = samples.linear.mean(axis=0) / target.scale
        if bias is not None:
            bias[:] = (samples.intercept.mean() - target.shift) / target.scale
        return table, linear, bias, samples


class _Whole:
    """One batch: all rows and their targets."""

    def __init__(self, rows: SweepRows) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        """Yield it."""
        yield self.rows, torch.as_tensor(self.rows.target)


class SweepKeeper(Keeper):
    """Stop where draws are not finite, and by validation only after the burn-in.

    Parameters
    ----------
    n_burn_in : int
        Sweeps that are not compared.
    is_watched : bool
        Whether sweeps are compared at all.
    **kwargs
        As `Keeper`.
    """

    def __init__(self, n_burn_in: int, is_watched: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_burn_in, self.is_watched = n_burn_in, is_watched

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the sweep with the best so far."""
        if not net.is_finite():
            warn_sweep_failed(len(net.history))
            self._restore(net)
            net.stop_was_asked_ = net.went_back_ = True
        elif self.is_watched and len(net.history) > self.n_burn_in:
            super().on_epoch_end(net, **kwargs)
        else:
            self._take(net)


def is_small(X: Any) -> bool:
    """Tell whether NumPy can do the sweeps, in a minute or so."""
    return bool(X.nnz <= TWIN_ENTRIES and X.shape[1] <= TWIN_COLUMNS)


def burn_in(params: Any, max_iter: int, *, goes_on: bool) -> int:
    """Return the sweeps whose draws do not count; a chain that goes on needs none."""
    if params.n_burn_in == "auto":
        return 0 if goes_on and hasattr(params, "samples_") else max_iter // 10
    if params.solver == "mcmc" and params.n_burn_in >= max_iter:
        raise ValueError(burn_in_error(params.n_burn_in, max_iter))
    return int(params.n_burn_in)


def sweep_net(
    params: Any,
    layout: Layout,
    start: FactorModule,
    rows: SweepRows,
    target: Target,
    *,
    n_burn_in: int,
    rule: dict[str, Any],
    max_epochs: int,
    random_state: Any,
    callbacks: list[Any],
    **options: Any,
) -> SweepNet:
    """Return the net of an estimator.

    Parameters
    ----------
    params : estimator
        Read only.
    layout : Layout
        Of an FM.
    start : FactorModule
        Its parameters are where the chain starts from.
    rows : SweepRows
        To learn from.
    target : Target
        Coded.
    n_burn_in : int
        Sweeps before draws count.
    rule : dict
        When to stop.
    max_epochs, random_state, callbacks, **options
        Of the loop.
    """
    state = {key: part.numpy() for key, part in start.state_dict().items()}
    arrays = state["bag.emb.weight"], state.get("linear"), state.get("bias")
    chain, order = chain_of(
        params, rows, layout, arrays, random_state, params._n_threads()
    )
    draws, store = chain.target.draws, None
    if draws:
        span = n_burn_in + 1, max_epochs
        store = SampleStore(params.n_kept, *span, target, chain, order)
    stopping = sweep_callbacks(draws=draws, n_burn_in=n_burn_in, **rule)
    return SweepNet(
        start,
        chain=chain,
        order=order,
        store=store,
        n_burn_in=n_burn_in,
        field_names=params.field_names_,
        has_guests=bool(params.callbacks),
        lr=0.0,
        batch_size=-1,
        device="cpu",
        max_epochs=max_epochs,
        random_state=random_state,
        callbacks=[*stopping, *callbacks],
        **options,
    )


def sweep_callbacks(
    *, draws: bool, n_burn_in: int, early_stopping: bool, patience: int, tol: float
) -> list[tuple[str, Callback]]:
    """Return the callbacks of every fit by sweeps."""
    keeper = SweepKeeper(
        n_burn_in,
        is_watched=early_stopping or not draws,
        monitor="valid_loss" if early_stopping else "train_loss",
        # The loss of least squares falls: the first stall is the last.
        patience=patience if early_stopping else 1,
        threshold=tol,
        keep=None if draws else "best" if early_stopping else "last",
    )
    return [("skwfm_keep", keeper)]
