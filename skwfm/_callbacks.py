"""scikit-learn's callbacks: ``set_callbacks``, and a fit as one task.

``sklearn.callback`` came with scikit-learn 1.9. Before that the method is absent, and
nothing here does anything. An encoder's fit is one task without parts, without which a
pipeline would warn that its callbacks do not reach the encoder; the tasks of a training
loop are in `_epoch_tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from numbers import Number
from typing import Any, TypeVar

try:
    from sklearn.callback import CallbackSupportMixin as _Support
    from sklearn.callback import with_callbacks
except ImportError:  # scikit-learn before 1.9
    _Support = object

__all__ = ["CallbackSupport", "during_fit", "given", "one_task"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

# What scikit-learn keeps on an estimator during a fit, and drops at the end of it.
_DURING_FIT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")


class CallbackSupport(_Support):
    """What gives an estimator ``set_callbacks``, where scikit-learn knows it."""


def given(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> dict[str, Any]:
    """Return what every hook may ask for.

    Parameters
    ----------
    estimator : estimator
        The one that is being fitted.
    X, y, sample_weight : array-likes
        As its `fit` got them.
    """
    # One number for all rows is nothing that a scorer takes, and changes no score.
    is_array = not isinstance(sample_weight, Number | None)
    metadata = {"sample_weight": sample_weight} if is_array else None
    return {"estimator": estimator, "X": X, "y": y, "metadata": metadata}


def during_fit(estimator: Any) -> dict[str, Any]:
    """Return the attributes by which scikit-learn ends the task of a fit.

    Parameters
    ----------
    estimator : estimator
        One that is being fitted.
    """
    state = vars(estimator)
    return {name: state[name] for name in _DURING_FIT if name in state}


def one_task(method: _Method) -> _Method:
    """Make a method of fitting tell scikit-learn's callbacks its begin and its end.

    Parameters
    ----------
    method : function of (self, X, y=None, ...)
        Of an estimator with `CallbackSupport`.
    """
    if _Support is object:
        return method

    @wraps(method)
    def told(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = given(self, X, args[0] if args else kwargs.get("y"))
        context = self._init_callback_context()
        context.call_on_fit_task_begin(**arguments)
        with _hidden(self):
            result = method(self, X, *args, **kwargs)
        context.call_on_fit_task_end(**arguments, reconstruction_attributes={})
        return result

    managed: _Method = with_callbacks(told)
    return managed


@contextmanager
def _hidden(estimator: Any) -> Iterator[None]:
    """Keep a fit of scikit-learn's that is part of ours from ending the task."""
    kept = during_fit(estimator)
    for name in kept:
        delattr(estimator, name)
    try:
        yield
    finally:
        vars(estimator).update(kept)
