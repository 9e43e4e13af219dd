"""Checks of training that goes on: `partial_fit` and ``warm_start``."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, column_or_1d

from skwfm._validation import (
    check_label_kinds,
    check_two_classes,
    shorten,
    warn_user,
)

__all__ = [
    "check_same_factors",
    "check_same_loss",
    "check_solver_state",
    "check_stream_class_weight",
    "check_stream_classes",
    "check_stream_loss",
    "check_stream_solver",
    "warn_stream_stopped",
]


def check_stream_solver(solver: Any, online: list[str]) -> None:
    """Raise when partial_fit cannot take the steps of a solver."""
    if solver not in ("auto", *online):
        expected = ", ".join(map(repr, online))
        raise ValueError(
            f"solver={solver!r} looks at all rows or at batches, but partial_fit takes "
            f"a step per row. Set solver to 'auto' or one of {expected}."
        )


def check_stream_loss(loss: str) -> None:
    """Raise when partial_fit has no steps for a loss."""
    if loss == "ordinal":
        raise ValueError(
            "loss='ordinal' is for solver='mcmc', which looks at all rows, but "
            "partial_fit takes a step per row. Set loss to 'squared_error'."
        )


def check_solver_state(state: Any) -> Any:
    """Return what training may go on with; models of an epoch do not have it."""
    if state is None:
        raise ValueError(
            "This model cannot go on training: it is that of an epoch as a callback "
            "got it, or has lost its solver_state_. Call fit with warm_start=False."
        )
    return state


def check_same_loss(loss: str, fitted: str) -> None:
    """Raise when a model shall go on with another loss."""
    if loss != fitted:
        raise ValueError(
            f"The loss is {loss!r}, but the model to go on from has {fitted!r}. Call "
            "fit with warm_start=False, or clone the estimator, to start anew."
        )


def check_same_factors(n_factors: int, fitted: int) -> None:
    """Raise when a fitted model shall go on with vectors of another length."""
    if n_factors != fitted:
        raise ValueError(
            f"n_factors={n_factors}, but the model to go on from has {fitted}. Call "
            "fit with warm_start=False, or clone the estimator, to start anew."
        )


def check_stream_class_weight(class_weight: object) -> None:
    """Raise for weights that need all rows."""
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight={class_weight!r} counts the classes of all rows, which "
            "partial_fit does not have. Pass a dict, or sample_weight."
        )


def check_stream_classes(classes: Any, fitted: Any) -> Any:
    """Return the classes of a first call of partial_fit, or check those of another."""
    if classes is None:
        if fitted is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return fitted
    classes = column_or_1d(classes)
    check_label_kinds(classes)
    assert_all_finite(classes, input_name="classes")
    classes = np.unique(classes)
    check_two_classes(classes)
    if fitted is not None and not np.array_equal(classes, fitted):
        raise ValueError(
            f"classes={shorten(classes.tolist())}, but {shorten(fitted.tolist())} in "
            "the calls before. Pass the same, or None."
        )
    return classes


def warn_stream_stopped(n_rows: int, learning_rate: object) -> None:
    """Warn that partial_fit left out rows."""
    warn_user(
        f"partial_fit stopped before row {n_rows}: its loss or gradient is not finite, "
        "and the row and those after it were not learned. Look at its target and "
        f"values, or lower learning_rate={learning_rate!r}.",
        ConvergenceWarning,
    )
