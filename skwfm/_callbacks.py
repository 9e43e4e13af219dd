"""scikit-learn's callbacks in the training loop: every epoch is a task of the fit.

``sklearn.callback`` came with scikit-learn 1.9. Before that there is no
``set_callbacks``, and nothing here does anything. The tree of tasks is

``fit`` -> ``epoch`` 0, 1, ... (at most ``max_iter``),

and a skorch callback tells the begin and the end of each. X, y and the weights are
those that ``fit`` got. An estimator as fitted so far is made only where a hook takes
one, and costs a copy of the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from skwfm._training import fitted_so_far

try:
    from sklearn.callback import CallbackSupportMixin as _Support
except ImportError:  # scikit-learn before 1.9
    _Support = object

__all__ = ["CallbackSupport", "FitTasks"]


class CallbackSupport(_Support):
    """What gives an estimator ``set_callbacks``, where scikit-learn knows it."""

    def _fit_tasks(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Return what tells scikit-learn's callbacks about the epochs of a fit."""
        if not hasattr(self, "_init_callback_context"):
            return ()
        return (("skwfm_tasks", FitTasks(self, X, y, sample_weight)),)

    def _end_fit_task(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Tell that the estimator is fitted."""
        context = getattr(self, "_callback_fit_ctx", None)
        if context is not None:
            given = _given(self, X, y, sample_weight)
            context.call_on_fit_task_end(**given, reconstruction_attributes={})


class FitTasks(Callback):
    """Tell scikit-learn's callbacks about the epochs, and stop if one asks for it.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    X, y, sample_weight : array-likes
        As its `fit` got them.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator, self.X, self.y = estimator, X, y
        self.sample_weight = sample_weight

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Begin the fit; its end is told when the estimator has its attributes."""
        self.given_ = _given(self.estimator, self.X, self.y, self.sample_weight)
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
        fitted._keep(fitted_so_far(net, target))
        attributes: dict[str, Any] = vars(fitted)
        return attributes


def _given(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return what every hook may ask for."""
    # One weight for all rows is none to a scorer.
    is_array = sample_weight is not None and np.ndim(sample_weight)
    metadata = {"sample_weight": sample_weight} if is_array else None
    return {"estimator": estimator, "X": X, "y": y, "metadata": metadata}


@contextmanager
def _heard(net: Any) -> Iterator[None]:
    """Take KeyboardInterrupt in a hook for Ctrl-C: only skorch's ask to stop by it."""
    try:
        yield
    except KeyboardInterrupt:
        net.interrupted_ = True
        raise
