"""Whether what was learned is of any use: a loss is held against a constant's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from skwfm._kernels import compiled
from skwfm._losses import Loss, Target
from skwfm._model import Layout, as_tensor
from skwfm._validation import warn_worse_than_constant

__all__ = ["scorer", "warn_if_useless", "warn_if_useless_so_far"]

# How much worse than a constant, in nats per row: half the variance of a target. A
# model that found nothing may be worse by what it learned of noise.
TOLERANCE = 0.5
# Root of the mean squared norm of a field's weights above which they are to blame.
LARGE_NORM = 3.0
# Fewer rows of a stream say too little.
FEW = 200
# Rows whose loss is taken together: bounds the memory.
ROWS = 2**16


def warn_if_useless(
    loss: float,
    criterion: Loss,
    target: Target,
    weights: npt.NDArray[Any] | None,
    X: Any,
    fields: npt.NDArray[Any],
    field_names: tuple[str, ...],
    score: Callable[[], npt.NDArray[Any]] | None = None,
) -> None:
    """Warn where weights are large and predictions worse than a constant.

    Parameters
    ----------
    loss : float
        Mean loss of the rows in the epoch kept, each before its step.
    criterion : Loss
        What it is of.
    target : Target
        Coded.
    weights : array of shape (n_rows,) or None
        Of the rows.
    X : CSR matrix of shape (n_rows, n_columns)
        The rows.
    fields : array of int, shape (n_columns,)
        Field of each column.
    field_names : tuple of str
        Their names.
    score : callable, optional
        Returns the coded scores of the rows as the model now has them: steps that went
        astray at first may have found their way.
    """
    constant = _constant_loss(criterion, target, weights)
    if loss <= constant + TOLERANCE:
        return
    # Divide first: the square of a large weight may overflow.
    largest = float(np.abs(X.data).max(initial=1.0))
    squares = np.square(X.data / largest, dtype=np.float64)
    by_column = np.bincount(X.indices, squares, minlength=X.shape[1])
    norms = np.sqrt(np.bincount(fields, by_column) / X.shape[0]) * largest
    worst = int(norms.argmax())
    if norms[worst] <= LARGE_NORM:
        return
    if score is not None:
        loss = _mean_loss(criterion, as_tensor(score()), target.values, weights)
        if loss <= constant + TOLERANCE:
            return
    warn_worse_than_constant(loss, constant, field_names[worst], float(norms[worst]))


def warn_if_useless_so_far(
    loss: float,
    scale: float,
    criterion: Loss,
    values: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    *told: Any,
    has_intercept: bool,
) -> None:
    """Warn where a stream's rows were predicted worse than by their own constant.

    Parameters
    ----------
    loss : float
        Mean loss of the rows, each before its step.
    scale : float
        Unit of the target that it is in.
    criterion : Loss
        What it is of.
    values, weights : arrays of shape (n_rows,)
        Targets as they are, and weights of the rows.
    *told : X, fields, field_names
        As in `warn_if_useless`.
    has_intercept : bool
        Else the constant is 0.
    """
    if len(values) < FEW or values.min() == values.max():
        return
    target = criterion.encode(values, weights, center=has_intercept)
    loss *= (scale / target.scale) ** 2
    warn_if_useless(loss, criterion, target, weights, *told)


def scorer(layout: Layout, X: Any, model: Any) -> Callable[[], Any] | None:
    """Return what scores rows; None without the compiled core.

    Parameters
    ----------
    layout : Layout
        Of the model.
    X : CSR matrix
        Canonical.
    model : tuple of arrays
        Factors, linear coefficients or None, bias or None.
    """
    if not compiled.available():
        return None
    factors, *terms = model
    scheme = layout.scheme(factors.shape[1] // layout.values_per_label)
    return lambda: compiled.score(scheme, compiled.Rows.of(X), factors, *terms)


def _constant_loss(
    criterion: Loss, target: Target, weights: npt.NDArray[Any] | None
) -> float:
    """Return the mean loss of the scores that training starts from."""
    values = target.values
    if criterion.n_classes:  # rows of a class have one loss
        weights = np.bincount(values.astype(np.int64), weights, criterion.n_classes)
        values = np.arange(criterion.n_classes).astype(values.dtype)
    scores = torch.from_numpy(target.start).expand(len(values), -1)
    return _mean_loss(criterion, scores, values, weights)


def _mean_loss(
    criterion: Loss,
    scores: torch.Tensor,
    values: npt.NDArray[Any],
    weights: npt.NDArray[Any] | None,
) -> float:
    total = 0.0
    for first in range(0, len(values), ROWS):
        part = slice(first, first + ROWS)
        losses = criterion.per_row(scores[part], as_tensor(values[part])).numpy()
        total += losses.sum() if weights is None else weights[part] @ losses
    return float(total / (len(values) if weights is None else weights.sum()))
