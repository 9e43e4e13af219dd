"""The training loop around the compiled core: chunks of rows, no copies.

skorch keeps its part: epochs, history, callbacks, stopping. A batch is a stretch of the
order in which rows are taken, and the step of a batch is one call of the core, which
takes a step per row. X is never copied nor gathered: shuffling permutes the order.

Cost per batch of some ten thousand rows: skorch's 45 us.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.callbacks import Callback, LRScheduler
from torch import Tensor
from torch.utils.data import Dataset

from skwfm._kernels.compiled import Options, Rows, Table, Threads, score, train
from skwfm._loop import Keeper, StepNet
from skwfm._losses import Target
from skwfm._model import as_tensor
from skwfm._schedules import AUTO_SCHEDULE, rate_share

__all__ = ["Chunk", "OnlineNet", "OnlineRows", "online_callbacks"]

Array = npt.NDArray[Any]

# Larger parameters are not copied every epoch for the case that one goes wrong: the
# core stops before a step that is not finite.
KEEP_BYTES = 2**24


class Chunk:
    """A stretch of an order of rows; its length is its rows."""

    def __init__(self, data: OnlineRows, rows: Rows, first: int, n_rows: int) -> None:
        self.data, self.rows, self.first, self.n_rows = data, rows, first, n_rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.n_rows

    @property
    def places(self) -> Any:
        """Where the rows stand in the matrix."""
        stretch = slice(self.first, self.first + self.n_rows)
        return stretch if self.rows.order is None else self.rows.order[stretch]

    def row_weights(self) -> Tensor:
        """Return the weights of the rows, mean 1 over the data."""
        weights = self.data.weights
        if weights is None:
            return torch.ones(self.n_rows, dtype=as_tensor(self.data.target).dtype)
        return as_tensor(weights[self.places])


class OnlineRows(Dataset[Any]):
    """Rows of a matrix by their places, with all of its targets and weights.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_features)
        Canonical; shared.
    target : Target
        As coded by the loss, for all rows of X.
    weights : array of shape (n_samples,) or None
        Positive; scaled to mean 1 over the rows taken, whose sum is `total_weight`.
    places : array of int64, optional
        Which rows to take, by default all.
    """

    def __init__(
        self, X: Any, target: Target, weights: Array | None, places: Array | None = None
    ) -> None:
        self.X, self.raw_weights = X, weights
        rows = Rows.of(X)
        self.rows = rows if places is None else rows.reordered(places)
        self.target = np.ascontiguousarray(target.values, X.dtype)
        # Classes stay integers for the loss in torch; numbers are kept once.
        is_class = target.values.dtype.kind == "i"
        self.coded = target if is_class else target._replace(values=self.target)
        self.total_weight, self.weights = float(len(self)), None
        if weights is not None:
            used = weights if places is None else weights[places]
            self.total_weight = float(used.sum())
            self.weights = (weights * (len(self) / self.total_weight)).astype(X.dtype)

    def __len__(self) -> int:
        """Return the number of rows taken."""
        return len(self.rows)

    def part(self, places: Array) -> OnlineRows:
        """Return some of the rows, sharing everything."""
        return OnlineRows(self.X, self.coded, self.raw_weights, np.sort(places))


class ChunkIterator:
    """Stretches of the rows as they stand, or of a fresh permutation per pass."""

    def __init__(
        self, net: OnlineNet, data: OnlineRows, rng: np.random.RandomState | None
    ) -> None:
        self.net, self.data, self.rng = net, data, rng

    def __iter__(self) -> Iterator[Any]:
        """Yield (chunk, coded targets), until a step fails."""
        rows, values, size = self.data.rows, self.data.coded.values, self.net.batch_size
        if self.rng is not None:
            places = np.random.default_rng(self.rng.randint(2**31)).permutation(
                len(rows)
            )
            rows = rows.reordered(places if rows.order is None else rows.order[places])
        for first in range(0, len(rows), size):
            n_rows = min(size, len(rows) - first)
            chunk = Chunk(self.data, rows, first, n_rows)
            yield chunk, torch.as_tensor(values[chunk.places])
            if self.net.failed_:
                return


class OnlineNet(StepNet):
    """A skorch net whose step is a call of the compiled core.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters are views of the table, so that callbacks and copies see them.
    criterion : Loss
        For the validation loss.
    table : Table
        What the core trains.
    options : Options
        Its rates are those of the first epoch.
    threads : Threads
        How several threads share the table.
    **kwargs
        As `StepNet`.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        criterion: torch.nn.Module,
        *,
        table: Table,
        options: Options,
        threads: Threads,
        **kwargs: Any,
    ) -> None:
        self.table, self.options, self.threads = table, options, threads
        super().__init__(module, criterion, **kwargs)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Find out whose rate that of the steps is: a scheduler's of the user, or ours.

        Theirs sets that of the optimizer.
        """
        self.falling_ = 1.0
        callbacks = [callback for _, callback in self.callbacks_]
        self.is_scheduled_ = any(isinstance(part, LRScheduler) for part in callbacks)
        return super().initialize_optimizer(*args, **kwargs)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Shuffle in training."""
        return ChunkIterator(self, dataset, self.random_state if training else None)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        """Take a step for every row of a chunk; the loss is that before each step."""
        chunk = batch[0]
        table, n_outputs = self.table, self.table.scheme.n_outputs
        scores = np.empty((len(chunk), n_outputs), table.dtype)
        factor = self.rate() / self.lr
        options = replace(
            self.options,
            learning_rate=self.options.learning_rate * factor,
            learning_rate_linear=self.options.learning_rate_linear * factor,
        )
        loss, done = train(
            table,
            chunk.rows,
            chunk.data.target,
            chunk.data.weights,
            options,
            first=chunk.first,
            n_rows=len(chunk),
            scores=scores,
            threads=self.threads,
        )
        self.count_step()
        self.failed_ = done < len(chunk)
        mean = np.nan if self.failed_ else loss / len(chunk)
        return {"loss": torch.tensor(mean), "y_pred": torch.from_numpy(scores)}

    def rate(self) -> float:
        """Return the rate of this epoch, as `lr` gives that of the first."""
        if self.is_scheduled_:
            return float(self.optimizer_.param_groups[0]["lr"])
        return float(self.lr * self.falling_)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Score a chunk by the table."""
        table = self.table
        linear = table.linear if self.options.fit_linear else None
        bias = table.bias[: table.scheme.n_outputs]
        return torch.from_numpy(
            score(
                table.scheme,
                x.rows,
                table.factors,
                linear,
                bias,
                first=x.first,
                n_rows=len(x),
                n_threads=self.threads.n_threads,
            )
        )


class FallingRate(Callback):
    """The rate follows a schedule of `rate_share`."""

    def __init__(self, schedule: str = AUTO_SCHEDULE) -> None:
        self.schedule = schedule

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Set the rate of the epoch; record it under the name that skorch uses."""
        done = len(net.history) - 1
        net.falling_ = rate_share(self.schedule, done, net.max_epochs)
        net.history.record("event_lr", net.rate())


def online_callbacks(
    *,
    early_stopping: bool,
    patience: int,
    tol: float,
    n_bytes: int,
    schedule: str = AUTO_SCHEDULE,
) -> list[tuple[str, Callback]]:
    """Return the callbacks of every online fit, for parameters of so many bytes."""
    keep = "best" if early_stopping else "last" if n_bytes <= KEEP_BYTES else None
    keeper = Keeper(
        monitor="valid_loss" if early_stopping else "train_loss",
        patience=patience,
        threshold=tol,
        keep=keep,
        keep_start=n_bytes <= KEEP_BYTES,
    )
    return [("skwfm_keep", keeper), ("skwfm_step", FallingRate(schedule))]
