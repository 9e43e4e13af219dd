"""What every training loop is: a skorch net that stops, keeps and reports.

skorch brings the loop, the history, callbacks and the device. Added here: one callback
that stops in time and goes back to the best or the last good epoch, Ctrl-C that is not
taken for a callback's wish to stop, rows to validate on that are given, not drawn, and
the curves.
"""

from __future__ import annotations

import inspect
from dis import opmap
from numbers import Real
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, EarlyStopping
from skorch.utils import noop
from torch import Tensor

from skwfm._validation import warn_diverged

__all__ = ["Keeper", "LoopNet", "StepNet", "is_one_of_many", "joined_curves"]

# Ends of the names in skorch's history that are not curves.
_NOT_CURVES = ("epoch", "_best", "_batch_count")
# Modules that fit many models, and stop at a KeyboardInterrupt only.
_SEARCHES = ("sklearn.model_selection.", "joblib.", "optuna.")


class Keeper(EarlyStopping):
    """Stop in time, and go back to the best epoch or to the last good one.

    Training stops when the loss watched has not improved for some epochs, or at a loss
    or parameter that is not finite. A subclass of skorch's early stopping that lets the
    other callbacks see the last epoch.

    Parameters
    ----------
    monitor : str
        The loss to watch.
    patience : int
        Epochs without improvement.
    threshold : float
        Relative improvement that counts.
    keep : "best", "last" or None
        Which epoch to have one copy of; none where the parameters are large and each
        step keeps them finite.
    keep_start : bool
        Copy the parameters before the first epoch too.
    """

    def __init__(
        self,
        monitor: str,
        patience: int,
        threshold: float,
        keep: str | None = "last",
        keep_start: bool = True,
    ) -> None:
        super().__init__(monitor, patience, threshold, sink=noop)
        self.keep, self.keep_start = keep, keep_start

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Remember the start."""
        super().on_train_begin(net, **kwargs)
        self.copy_: dict[str, Tensor] | None = None
        self.epoch_ = 0
        if self.keep_start and self.keep:
            self._take(net)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Compare the epoch with the best one so far, and keep it or go back."""
        if not net.is_finite():
            warn_diverged(len(net.history), net.history[-1, "train_loss"], net.lr)
            self._restore(net)
            net.stop_was_asked_ = net.went_back_ = True
            return
        try:
            super().on_epoch_end(net, **kwargs)
        except KeyboardInterrupt as error:
            if _is_ctrl_c(error):
                raise
            net.stop_was_asked_ = True
        if self.keep != "best" or self.misses_ == 0:
            self._take(net)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the best epoch; undo one that Ctrl-C cut short."""
        if self.keep == "best" or net.interrupted_:
            self._restore(net)

    def _take(self, net: Any) -> None:
        self.epoch_ = len(net.history)
        if self.keep is None:
            return
        state = net.module_.state_dict()
        if self.copy_ is None:
            # Compact even where the parameters are views of a wider table.
            self.copy_ = {
                name: part.clone(memory_format=torch.contiguous_format)
                for name, part in state.items()
            }
        for name, part in state.items():
            self.copy_[name].copy_(part)

    def _restore(self, net: Any) -> None:
        if self.copy_ is not None:
            net.module_.load_state_dict(self.copy_)


class LoopNet(NeuralNet):
    """A skorch net with the loop that all solvers share.

    Parameters
    ----------
    module : torch.nn.Module
        Trained in place.
    criterion : Loss
        Takes scores and (target, weights).
    random_state : RandomState
        Draws the order of the rows.
    valid : Dataset or None
        Scored after every epoch.
    **kwargs
        As in skorch.
    """

    history_: Any
    callbacks_: list[tuple[str, Any]]

    def __init__(
        self,
        module: torch.nn.Module,
        criterion: torch.nn.Module,
        *,
        random_state: np.random.RandomState,
        valid: Any = None,
        **kwargs: Any,
    ) -> None:
        self.random_state, self.valid = random_state, valid
        super().__init__(module, criterion, **kwargs)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Tell all callbacks, then stop if one asked for it.

        Those of skorch ask by KeyboardInterrupt, which skips the callbacks after them.
        """
        history = self.history_
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as error:
            self.stop_was_asked_ = not _is_ctrl_c(error)
            raise
        if method_name == "on_train_end":
            # A checkpoint that was loaded brought a shorter one.
            self.history_ = history
        if method_name == "on_epoch_end" and self.stop_was_asked_:
            raise KeyboardInterrupt

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Run the epochs; skorch takes Ctrl-C for a callback's wish to stop, not we."""
        self.stop_was_asked_ = self.interrupted_ = self.went_back_ = False
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt:
            self.interrupted_ = self.interrupted_ or not self.stop_was_asked_
            raise

    def get_split_datasets(
        self, X: Any, y: Any = None, **fit_params: Any
    ) -> tuple[Any, Any]:
        """Return the rows to train on and those given for validation."""
        return X, self.valid

    def curves(self) -> dict[str, list[float]]:
        """Return what was recorded per epoch: losses, seconds and scores."""
        names = {"dur": "seconds", "event_lr": "learning_rate"}
        rows = [
            {
                names.get(key, key): float(value)
                for key, value in epoch.items()
                if isinstance(value, Real) and not key.endswith(_NOT_CURVES)
            }
            for epoch in self.history[: self.n_epochs()]
        ]
        keys = dict.fromkeys(key for row in rows for key in row)
        return {key: [row.get(key, np.nan) for row in rows] for key in keys}

    def n_epochs(self) -> int:
        """Return how many epochs ran to their end."""
        return sum("train_loss" in epoch for epoch in self.history)

    def kept_epoch(self) -> int:
        """Return the epoch, from 1, whose parameters were kept; 0 is the start.

        The callbacks of the user go back after ours, so the last word is theirs.
        """
        epochs = [_loaded_epoch(part, self.history) for _, part in self.callbacks_]
        return next(filter(None, reversed(epochs)), self.good_epoch())

    def good_epoch(self) -> int:
        """Return the epoch that training goes back to if the next one goes wrong."""
        return int(dict(self.callbacks_)["skwfm_keep"].epoch_)

    def is_finite(self) -> bool:
        """Tell whether the last epoch left a finite loss and finite parameters."""
        state = self.module_.state_dict().values()
        loss_is_finite = np.isfinite(self.history[-1, "train_loss"])
        return bool(loss_is_finite and all(part.isfinite().all() for part in state))


class StepNet(LoopNet):
    """A net whose steps are the core's, and whose parameters it changes in place.

    A batch brings the weights of its rows.

    Parameters
    ----------
    module, criterion
        As `LoopNet`.
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
        has_guests: bool = False,
        **kwargs: Any,
    ) -> None:
        self.has_guests = has_guests
        super().__init__(module, criterion, **kwargs)

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """Make an optimizer only where callbacks of the user's may look at it.

        (The first one of a process takes torch more than a second.)
        """
        self.optimizer_: Any = None
        self.failed_ = False
        if self.has_guests:
            self.optimizer_ = torch.optim.SGD(self.module_.parameters(), lr=self.lr)
        return self

    def count_step(self) -> None:
        """Let the optimizer step, which has nothing to do: schedulers ask for it."""
        if self.optimizer_ is not None:
            self.optimizer_.step()

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False
    ) -> Tensor:
        """Return the loss of a batch, whose rows carry their weights."""
        target = y_true.to(y_pred.dtype) if y_true.is_floating_point() else y_true
        loss: Tensor = self.criterion_(y_pred, (target, X.row_weights()))
        return loss

    def is_finite(self) -> bool:
        """Tell whether the last epoch went well."""
        return not self.failed_


def joined_curves(
    before: dict[str, list[float]], after: dict[str, list[float]]
) -> dict[str, list[float]]:
    """Return the curves of epochs before and after, NaN where one has no value."""
    sizes = [max(map(len, curves.values()), default=0) for curves in (before, after)]
    return {
        key: [
            *before.get(key, [np.nan] * sizes[0]),
            *after.get(key, [np.nan] * sizes[1]),
        ]
        for key in {**before, **after}
    }


def _is_ctrl_c(error: KeyboardInterrupt) -> bool:
    """Tell a signal, which comes anywhere, from a callback's ``raise``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return True
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] != opmap["RAISE_VARARGS"]


def is_one_of_many() -> bool:
    """Tell whether a search or the like called `fit`: Ctrl-C then means all of it."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_SEARCHES):
            return True
        frame = frame.f_back
    return False


def _loaded_epoch(callback: Any, history: Any) -> int | None:
    """Return the epoch that a callback of skorch went back to at the end, if it did."""
    if not getattr(callback, "load_best", False):
        return None
    if isinstance(callback, Checkpoint) and callback.monitor is not None:
        saved = [epoch.get(callback.event_name) for epoch in history]
        return max((at for at, was in enumerate(saved, 1) if was), default=None)
    if isinstance(callback, EarlyStopping) and callback.best_model_weights_ is not None:
        best = int(callback.best_epoch_)
        return best if best != history[-1, "epoch"] else None
    return None
