"""The training loop of solvers that sweep over the labels: an epoch is a sweep.

skorch keeps its part: epochs, history, callbacks, stopping. A batch is all rows. With
``"mcmc"`` a sweep is a draw, and some of those after the burn-in are kept; the rows to
validate on are predicted by the mean of all draws so far. With ``"als"`` a sweep lowers
the penalised loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtr
from skorch.callbacks import Callback
from torch import Tensor

from skwfm._chain import (
    PART,
    Chain,
    LatentTarget,
    LeastSquares,
)
from skwfm._draws import Order, SampleStore, SweepRows, chain_of, unit_of_scores
from skwfm._loop import Keeper, StepNet
from skwfm._losses import Target
from skwfm._model import Layout, arrays_of
from skwfm._samples import Samples, log_odds_of, mean_factors
from skwfm._solver_validation import warn_sweep_failed
from skwfm.nn._fm import FactorModule

__all__ = ["SweepNet", "sweep_net"]

Array = npt.NDArray[Any]

# More fields than these have no curves of their own in the history.
MOST_CURVES = 32


class SweepNet(StepNet):
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
    **kwargs
        As `StepNet`.
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
        **kwargs: Any,
    ) -> None:
        self.chain, self.order, self.store = chain, order, store
        self.n_burn_in, self.field_names = n_burn_in, field_names
        super().__init__(module, criterion, **kwargs)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Begin the running mean too."""
        self.totals_: Any = 0.0
        self.n_totals_ = 0
        return super().initialize_optimizer(*args, **kwargs)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return all rows as one batch."""
        return _Whole(dataset)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Sweep once; the loss is that of the draw."""
        rows, targets = batch
        chain = self.chain
        self.failed_ = not chain.sweep()
        self.count_step()
        self._show()
        if self.store is not None and self.store.levels is not None:
            self.criterion_.cuts = torch.from_numpy(chain.target.cuts[1:-1])
        scores = self._units(chain.target.values - chain.rows.residuals)
        y_pred = torch.from_numpy(scores[:, None])
        loss = torch.tensor(np.nan)
        if not self.failed_:
            loss = self._train_loss(y_pred, targets, rows) + self._penalty(rows)
            if self.store is not None:
                self.store.offer(chain.n_sweeps)
                self._record_draw()
        return {"loss": loss, "y_pred": y_pred}

    def _units(self, scores: Array) -> Array:
        """Return scores of the chain in those of the loss."""
        return np.asarray(scores * scores.dtype.type(unit_of_scores(self.chain.target)))

    def _show(self) -> None:
        """Write the present draw to the module."""
        chain, k = self.chain, self.chain.sweeper.n_factors
        unit, dtype = unit_of_scores(chain.target), chain.blocks.dtype.type
        table, linear, bias = arrays_of(self.module_)
        self.order.write(chain.blocks[:, :k] * dtype(np.sqrt(unit)), table)
        if linear is not None:
            self.order.write(chain.blocks[:, k:] * dtype(unit), linear)
        if bias is not None:
            bias[:] = chain.intercept * unit

    def _train_loss(self, scores: Tensor, targets: Tensor, rows: Any) -> Tensor:
        """Return the loss of the draw: of the residuals, without the label's noise."""
        if isinstance(self.chain.target, LatentTarget):
            return self.get_loss(scores, targets, rows)
        total = 0.0
        errors, weights = self.chain.rows.residuals, rows.weights
        for start in range(0, len(errors), PART):
            part = slice(start, start + PART)
            squares = np.square(errors[part].astype(np.float64))
            total += squares.sum() if weights is None else weights[part] @ squares
        weight = len(errors) if weights is None else weights.sum()
        return torch.tensor(total / (2 * weight))

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
        has_classes = unit_of_scores(chain.target) != 1.0
        self.totals_ = self.totals_ + (ndtr(scores) if has_classes else scores)
        mean = self.totals_ / self.n_totals_
        if has_classes:
            mean = log_odds_of(mean, 1 - mean)
        return torch.from_numpy(mean.astype(x.X.dtype)[:, None])

    def result(
        self,
    ) -> tuple[tuple[Array, Array | None, Array | None], Samples | None]:
        """Return parameters in coded units, and the draws in units of y."""
        table, linear, bias = arrays_of(self.module_)
        if self.store is None:
            return (table, linear, bias), None
        samples, target = self.store.samples(), self.store.target
        table[:] = mean_factors(samples.factors) / np.sqrt(target.scale)
        if linear is not None:
            linear[:, 0] = samples.linear.mean(axis=0) / target.scale
        if bias is not None:
            bias[:] = (samples.intercept.mean() - target.shift) / target.scale
        return (table, linear, bias), samples


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


def sweep_net(
    params: Any,
    solver: str,
    layout: Layout,
    start: FactorModule,
    rows: SweepRows,
    target: Target,
    *,
    criterion: Any,
    n_burn_in: int,
    goes_on: bool,
    spread: Array | None,
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
    solver : str
        "mcmc" or "als".
    layout : Layout
        Of an FM.
    start : FactorModule
        Its parameters are where the chain starts from.
    rows : SweepRows
        To learn from.
    target : Target
        Coded.
    criterion : Loss
        Says what the target is.
    n_burn_in : int
        Sweeps before draws count.
    goes_on : bool
        Whether the start is another fit's.
    spread : array of shape (n_columns,) or None
        Of the draw that the chain goes on from.
    rule : dict
        When to stop.
    max_epochs, random_state, callbacks, **options
        Of the loop.
    """
    arrays = arrays_of(start)
    whole = params, solver, criterion, rows, layout, arrays, spread, random_state
    chain, order = chain_of(*whole, n_burn_in=n_burn_in, goes_on=goes_on)
    draws, store = chain.target.draws, None
    if draws:
        span = n_burn_in + 1, max_epochs
        levels = getattr(criterion, "levels", None)
        store = SampleStore(
            params.n_kept,
            *span,
            target,
            chain,
            order,
            levels,
            may_stop=rule["early_stopping"],
        )
    stopping = sweep_callbacks(draws=draws, n_burn_in=n_burn_in, **rule)
    return SweepNet(
        start,
        criterion,
        chain=chain,
        order=order,
        store=store,
        n_burn_in=n_burn_in,
        field_names=params.field_names_ if len(order.starts) > 2 else ("columns",),
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
