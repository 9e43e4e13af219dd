"""Sums of tensors that do not depend on how many threads torch has.

torch cuts a long sum by its threads, and MKL a dot product: the last bits then differ
from one machine to another, and between a search with one process and with two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["SteadySums", "add_bias", "steady_sum"]

# Below 32,768 values torch takes one thread; MKL is not asked at all.
_BLOCK = 2**14


def steady_sum(values: Tensor) -> Tensor:
    """Return the sum of all values, taken in blocks of one size.

    Parameters
    ----------
    values : Tensor of any shape

    Returns
    -------
    Tensor, scalar

    Examples
    --------
    >>> import torch
    >>> from skwfm._kernels.sums import steady_sum
    >>> steady_sum(torch.ones(300, 300))
    tensor(90000.)
    """
    flat = values.reshape(-1)
    while len(flat) > _BLOCK:
        whole = len(flat) // _BLOCK * _BLOCK
        blocks = flat[:whole].view(-1, _BLOCK).sum(1)
        flat = torch.cat([blocks, flat[whole:].sum(0, keepdim=True)])
    return flat.sum()


def add_bias(scores: Tensor, bias: Tensor | None) -> Tensor:
    """Add the bias of each output.

    Its gradient is a sum over all rows. In blocks of rows that is the same to the bit
    whatever the number of threads.

    Parameters
    ----------
    scores : Tensor of shape (n_rows, n_outputs)
    bias : Tensor of shape (n_outputs,) or None

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    if bias is None:
        return scores
    n_rows, n_outputs = scores.shape
    n_blocks = -(-n_rows // _BLOCK)
    if n_blocks > 1:
        blocks = bias.expand(n_blocks, n_outputs)[:, None]
        rows = blocks.expand(-1, _BLOCK, -1).reshape(-1, n_outputs)
        return scores + rows[:n_rows]
    return scores + bias


class SteadySums(TorchFunctionMode):
    """A context in which ``a.dot(b)`` and ``a.sum()`` of all values are steady.

    For optimizers, whose code is torch's.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or what takes its place."""
        if func is Tensor.dot:
            return steady_sum(args[0] * args[1])
        if func is Tensor.sum and len(args) == 1 and not kwargs:
            return steady_sum(args[0])
        return func(*args, **(kwargs or {}))
