"""scikit-learn's callbacks in the training loop: every epoch is a task of the fit.

The tree of tasks is ``fit`` -> ``epoch`` 0, 1, ... (at most ``max_iter``); a skorch
callback tells the begin and the end of each. X, y and the weights are those that
``fit`` got. An estimator as fitted so far is made only where a hook takes one, and
costs a copy of the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

from skorch.callbacks import Callback

from skwfm._callbacks import given
from skwfm._training import fitted_so_far

__all__ = ["FitTasks", "end_fit_task", "fit_tasks"]


def fit_tasks(estimator: Any, *data: Any) -> tuple[tuple[str, Callback], ...]:
    """Return what tells scikit-learn's callbacks about a fit, if it has such.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    *data : array-likes
        X, y and sample_weight as its `fit` got them, and whether it goes on from a
        fit before.
    """
    if not hasattr(estimator, "set_callbacks"):
        return ()
    return (("skwfm_tasks", FitTasks(estimator, *data)),)


def end_fit_task(estimator: Any, *data: Any) -> None:
    """Tell that an estimator has its fitted attributes; `data` as its `fit` got it."""
    context = getattr(estimator, "_callback_fit_ctx", None)
    if context is not None:
        arguments = given(estimator, *data)
        context.call_on_fit_task_end(**arguments, reconstruction_attributes={})


class FitTasks(Callback):
    """Tell scikit-learn's callbacks about the epochs, and stop if one asks for it.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    X, y, sample_weight : array-likes
        As its `fit` got them.
    go_on : bool
        Whether it goes on from a fit before.
    """

    def __init__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any, go_on: bool
    ) -> None:
        self.estimator, self.X, self.y = estimator, X, y
        self.sample_weight, self.go_on = sample_weight, go_on

    def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
        """Leave the data out of a net that a checkpoint pickles."""
        return Callback, ()

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin the fit; its end is told when the estimator has its attributes."""
        self.given_ = given(self.estimator, self.X, self.y, self.sample_weight)
        self.epoch_: Any = None
        self.fit_ = self.estimator._init_callback_context(max_subtasks=net.max_epochs)
        self.fit_.call_on_fit_task_begin(**self.given_)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin an epoch."""
        if not hasattr(self.estimator, "_skl_callbacks"):
            return
        self.epoch_ = self.fit_.subcontext(task_name="epoch")
        with _heard(net):
            self.epoch_.call_on_fit_task_begin(**self._so_far(net, **kwargs))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """End an epoch."""
        epoch, self.epoch_ = self.epoch_, None
        if epoch is None:
            return
        with _heard(net):
            asks = epoch.call_on_fit_task_end(**self._so_far(net, **kwargs))
        net.stop_was_asked_ = net.stop_was_asked_ or asks

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """End an epoch that was cut short; there is nothing to say about it."""
        if self.epoch_ is not None:
            self.epoch_.call_on_fit_task_end(estimator=self.estimator)

    def _so_far(self, net: Any, dataset_train: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of a hook, the costly one as a function."""
        attributes = partial(self._attributes, net, dataset_train.coded)
        return {**self.given_, "reconstruction_attributes": attributes}

    def _attributes(self, net: Any, target: Any) -> dict[str, Any]:
        """Return the attributes that the estimator would have, had it stopped now."""
        fitted = copy(self.estimator)
        fitted._keep(fitted_so_far(net, target), self.go_on)
        attributes: dict[str, Any] = vars(fitted)
        return attributes


@contextmanager
def _heard(net: Any) -> Iterator[None]:
    """Take KeyboardInterrupt in a hook for Ctrl-C: only skorch's ask to stop by it."""
    try:
        yield
    except KeyboardInterrupt:
        net.interrupted_ = True
        raise
