"""Steps of optimizers over the rows of a table that a gradient touches, in place.

AdaGrad [1]_: ``s += g^2, p -= rate g / (sqrt(s) + eps)``, s per weight or, for a whole
row, of the mean square of g. Lazy Adam [2]_: ``m += (1 - beta1) (g - m)``,
``v += (1 - beta2) (g^2 - v)``, ``p -= rate m / (sqrt(v) + eps)``, rows without gradient
left as they are.

Storage: `labels` (U,), all different, or None for every row in order; `values`
(U, ...), one gradient per label; states as long as the table, or one number per row.
Cost: O(U dim), in one pass on the compiled core, and in a handful with torch's index
operations on other devices, other dtypes, and without the core.

References
----------
.. [1] J. Duchi, E. Hazan and Y. Singer (2011). "Adaptive Subgradient Methods for Online
   Learning and Stochastic Optimization". JMLR 12.
.. [2] D. P. Kingma and J. Ba (2015). "Adam: A Method for Stochastic Optimization".
   ICLR.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skwfm._kernels.core_batches import n_threads
from skwfm._kernels.operators import core_for

__all__ = ["adagrad", "adam"]


def adagrad(
    table: Tensor,
    sums: Tensor,
    labels: Tensor | None,
    values: Tensor,
    *,
    rate: float,
    eps: float,
) -> None:
    """Move rows of a table by AdaGrad.

    Parameters
    ----------
    table : Tensor of shape (n, ...)
        Parameters; changed in place.
    sums : Tensor of shape (n, ...) or (n,)
        Sums of squared gradients, per weight or per row; changed in place.
    labels : Tensor of int64, shape (U,), or None
        Rows that have a gradient.
    values : Tensor of shape (U, ...)
        Their gradients.
    rate, eps : float
        Length of a step, and what keeps it finite.
    """
    per_row = sums.ndim < table.ndim
    values = values.contiguous()
    core = core_for(table, sums, values)
    if core is not None:
        _call(
            core.adagrad_step,
            labels,
            values,
            table,
            states=sums.numpy() if per_row else _rows(sums),
            per_row=per_row,
            rate=rate,
            eps=eps,
        )
        return
    squares = values.square()
    if per_row:
        squares = squares.flatten(1).mean(1)
    roots = _add(sums, labels, squares).sqrt_().add_(eps)
    if per_row:
        roots = roots.view(-1, *[1] * (values.ndim - 1))
    _add(table, labels, -rate * values / roots)


def adam(
    table: Tensor,
    means: Tensor,
    squares: Tensor,
    labels: Tensor | None,
    values: Tensor,
    *,
    rate: float,
    eps: float,
    betas: tuple[float, float],
) -> None:
    """Move rows of a table, and their moments, by Adam.

    Parameters
    ----------
    table, means, squares : Tensors of shape (n, ...)
        Parameters and both moments; changed in place.
    labels : Tensor of int64, shape (U,), or None
        Rows that have a gradient.
    values : Tensor of shape (U, ...)
        Their gradients.
    rate, eps : float
        Length of a step, bias correction included, and what keeps it finite.
    betas : tuple of float
        How much of each moment stays.
    """
    values = values.contiguous()
    core = core_for(table, means, squares, values)
    if core is not None:
        _call(
            core.adam_step,
            labels,
            values,
            table,
            means=_rows(means),
            squares=_rows(squares),
            rate=rate,
            eps=eps,
            beta1=betas[0],
            beta2=betas[1],
        )
        return
    moved = []
    for state, target, beta in zip(
        (means, squares), (values, values.square()), betas, strict=True
    ):
        old = state if labels is None else state.index_select(0, labels)
        moved.append(_add(state, labels, (1 - beta) * (target - old)))
    _add(table, labels, -rate * moved[0] / moved[1].sqrt_().add_(eps))


def _rows(table: Tensor) -> Any:
    """Return a contiguous tensor as an array of two dimensions, on the same memory."""
    return (table[:, None] if table.ndim == 1 else table.flatten(1)).numpy()


def _call(
    step: Any, labels: Tensor | None, values: Tensor, table: Tensor, **options: Any
) -> None:
    step(
        labels=None if labels is None else labels.contiguous().numpy(),
        values=_rows(values),
        table=_rows(table.detach()),
        n_threads=n_threads(values.numel()),
        **options,
    )
    # Autograd notices that the values it may have saved are gone.
    torch.autograd.graph.increment_version(table)


def _add(table: Tensor, labels: Tensor | None, values: Tensor) -> Tensor:
    """Add to rows of a table; return a copy of what they are now."""
    if labels is None:
        return table.add_(values).clone()
    return table.index_add_(0, labels, values).index_select(0, labels)
