"""The training loop: a skorch net over whole slices of a CSR matrix.

skorch brings the loop, the history, callbacks and the device; this module replaces
what is slow or wrong for sparse rows: the iterator (one row-gather per batch instead of
a Python call per row), the loss (weighted, with the penalty where the solver needs it)
and the split (given, not drawn). The module to train is passed in.

Cost per batch: the gather and one ``bincount``, some 50 us plus 10 ns per stored value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR
from torch.utils.data import Dataset

from skwfm._bags import to_flat
from skwfm._dropout import FactorDropout
from skwfm._kernels.sums import SteadySums, steady_sum
from skwfm._loop import Keeper, LoopNet
from skwfm._losses import Target
from skwfm._model import as_tensor
from skwfm._schedules import AUTO_SCHEDULE, FINAL_STEP, rate_share
from skwfm._solver_validation import optimizer_error
from skwfm._solvers import Solver, param_groups

__all__ = [
    "BagDataset",
    "BagNet",
    "Batch",
    "slice_batch",
    "stopping_callbacks",
]


class Batch:
    """A flat mini-batch: what ``module.score_flat`` takes; its length is its rows."""

    def __init__(
        self,
        parts: tuple[Tensor, Tensor, Tensor],
        n_fields: int,
        row_weights: Tensor | None = None,
    ) -> None:
        self.parts, self.n_fields, self.row_weights = parts, n_fields, row_weights

    def __len__(self) -> int:
        """Return the number of rows."""
        return (len(self.parts[1]) - 1) // self.n_fields

    def to(self, device: str | torch.device) -> Batch:
        """Return the bags on a device; the same memory if they are there already."""
        indices, offsets, weights = (part.to(device) for part in self.parts)
        return Batch((indices, offsets, weights), self.n_fields)


def slice_batch(
    X: Any, field_ids: npt.NDArray[np.int32], n_fields: int, ids_sorted: bool
) -> Batch:
    """Return CSR rows as a batch of tensors that share their memory."""
    bags = to_flat(X, field_ids, n_fields, ids_sorted=ids_sorted)
    indices, offsets = as_tensor(bags.indices), as_tensor(bags.offsets)
    return Batch((indices, offsets, as_tensor(bags.weights)), n_fields)


class BagDataset(Dataset[Any]):
    """Rows, coded targets and weights; sliced by our own iterator, never row by row.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_features)
        Canonical.
    cut : tuple of (array of int32, int, bool)
        Bag of each column, bags of a row, and whether the former never decrease.
    target : Target
        As coded by the loss.
    weights : array of shape (n_samples,)
        Positive; scaled here to mean 1, their sum is kept as `total_weight`.
    """

    def __init__(
        self,
        X: Any,
        cut: tuple[npt.NDArray[np.int32], int, bool],
        target: Target,
        weights: npt.NDArray[Any],
    ) -> None:
        self.X, self.cut, self.coded = X, cut, target
        self.total_weight = float(weights.sum())
        self.weights = (weights * (len(weights) / self.total_weight)).astype(X.dtype)
        values = target.values
        self.target = values.astype(X.dtype) if values.dtype.kind == "f" else values

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.X.shape[0])

    def part(self, rows: npt.NDArray[np.int64]) -> BagDataset:
        """Return some of the rows as a data set of its own."""
        target = self.coded._replace(values=self.coded.values[rows])
        weights = self.weights[rows] * (self.total_weight / len(self))
        return BagDataset(self.X[rows], self.cut, target, weights)

    def take(self, rows: Any) -> tuple[Batch, Tensor]:
        """Return some rows as a batch, and their targets."""
        batch = slice_batch(self.X[rows], *self.cut)
        batch.row_weights = as_tensor(self.weights[rows])
        return batch, as_tensor(self.target[rows])


class BatchIterator:
    """Whole slices in order, or gathers of a fresh permutation per pass."""

    def __init__(
        self,
        dataset: BagDataset,
        batch_size: int,
        rng: np.random.RandomState | None = None,
    ) -> None:
        self.dataset, self.batch_size, self.rng = dataset, batch_size, rng

    def __iter__(self) -> Iterator[Any]:
        """Yield (batch, target)."""
        n_rows, size = len(self.dataset), self.batch_size
        order = None if self.rng is None else self.rng.permutation(n_rows)
        for start in range(0, n_rows, size):
            rows = slice(start, start + size)
            yield self.dataset.take(rows if order is None else order[rows])


class BagNet(LoopNet):
    """A skorch net that trains a module with ``score_flat`` on a `BagDataset`.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place; its method ``score_flat(indices, offsets, weights, n_fields)``
        gives scores of shape (B, n_outputs).
    criterion : Loss
        Takes scores and (target, weights).
    solver : Solver
        What to minimise with.
    weight_decay : dict
        Penalty per name pattern of parameters, relative to the mean loss.
    dropout : FactorDropout, optional
        Of the factors, in training.
    **kwargs
        As `LoopNet`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        criterion: torch.nn.Module,
        *,
        solver: Solver,
        weight_decay: dict[str, float],
        dropout: FactorDropout | None = None,
        **kwargs: Any,
    ) -> None:
        self.solver, self.weight_decay = solver, weight_decay
        self.dropout = dropout
        options = {f"optimizer__{key}": value for key, value in solver.options}
        if solver.name == "adam" and kwargs.get("device", "").startswith("cuda"):
            options["optimizer__fused"] = True  # else it mostly waits for its kernels
        groups = param_groups(solver, weight_decay)
        if groups:
            options["optimizer__param_groups"] = groups
        super().__init__(
            module, criterion, optimizer=solver.optimizer, **options, **kwargs
        )

    def initialize_callbacks(self) -> BagNet:
        """Leave the step to a scheduler of the user's, where there is one."""
        super().initialize_callbacks()
        callbacks: list[tuple[str, Any]] = vars(self)["callbacks_"]
        guests = [item for item in callbacks if item[0] != "skwfm_step"]
        if any(isinstance(part, LRScheduler) for _, part in guests):
            self.callbacks_ = guests
        return self

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make the optimizer; say which parameters it does not take."""
        try:
            return super().initialize_optimizer(*args, **kwargs)
        except (TypeError, ValueError) as error:
            name, options = self.solver.name, dict(self.solver.options)
            raise ValueError(optimizer_error(name, options, self.lr, error)) from error

    def get_iterator(self, dataset: Any, training: bool = False) -> BatchIterator:
        """Shuffle in training unless the solver takes all rows at once."""
        if training and self.solver.full_batch:
            return BatchIterator(dataset, max(len(dataset), 1))
        rng = self.random_state if training else None
        return BatchIterator(dataset, self.batch_size, rng)

    def infer(self, x: Batch, **fit_params: Any) -> Tensor:
        """Score a batch on the net's device."""
        batch = x.to(self.device)
        options = {}
        if self.dropout is not None and self.module_.training:
            options["scale"] = self.dropout.scale(len(batch), batch.parts[2])
        scores: Tensor = self.module_.score_flat(
            *batch.parts, batch.n_fields, **options
        )
        return scores.view(len(batch), -1)

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch, whose rows carry their weights."""
        target, weights = y_true.to(self.device), X.row_weights.to(self.device)
        loss: Tensor = self.criterion_(y_pred, (target, weights))
        return loss

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Take a step; that of a full-batch solver is made of dot products."""
        with SteadySums() if self.solver.full_batch else nullcontext():
            step: dict[str, Tensor] = super().train_step(batch, **fit_params)
        return step

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Add the penalty to the loss where the optimizer cannot.

        What is recorded is the loss without it, as for other mini-batches; a full-batch
        solver shows what it minimises.
        """
        if not self.solver.adds_penalty:
            step: dict[str, Tensor] = super().train_step_single(batch, **fit_params)
            return step
        self._set_training(True)
        scores = self.infer(batch[0])
        loss = self.get_loss(scores, batch[1], X=batch[0], training=True)
        total: Any = loss + self._penalty()
        total.backward()
        shown = total if self.solver.full_batch else loss
        return {"loss": shown, "y_pred": scores}

    def _penalty(self) -> Tensor:
        total: Any = 0.0
        for name, part in self.module_.named_parameters():
            decay = self.weight_decay.get(name, 0.0)
            if decay:
                total = total + 0.5 * decay * steady_sum(part.square())
        return total  # type: ignore[no-any-return]


def stopping_callbacks(
    *,
    solver: Solver,
    early_stopping: bool,
    max_iter: int,
    patience: int,
    tol: float,
    learning_rate: float,
    schedule: str = AUTO_SCHEDULE,
) -> list[tuple[str, Callback]]:
    """Return the callbacks of every fit: what stops and keeps, and the falling step."""
    keeper = Keeper(
        monitor="valid_loss" if early_stopping else "train_loss",
        # A full-batch loss does not fluctuate: the first stall is the last.
        patience=1 if solver.full_batch and not early_stopping else patience,
        threshold=tol,
        keep="best" if early_stopping else "last",
    )
    callbacks: list[tuple[str, Callback]] = [("skwfm_keep", keeper)]
    if not solver.full_batch:
        falling = _falling_step(schedule, max_iter, learning_rate)
        callbacks.append(("skwfm_step", falling))
    return callbacks


def _falling_step(schedule: str, max_iter: int, learning_rate: float) -> LRScheduler:
    """Return skorch's callback for a schedule of `rate_share`."""
    if schedule in ("auto", AUTO_SCHEDULE):
        # torch's recursion: equal to rounding, and what models were trained with.
        eta_min = FINAL_STEP * learning_rate
        return LRScheduler(CosineAnnealingLR, T_max=max_iter, eta_min=eta_min)
    share = partial(rate_share, schedule, n_epochs=max_iter)
    return LRScheduler(LambdaLR, lr_lambda=share)
