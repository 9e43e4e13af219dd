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

__all__ = ["SteadySums", "steady_sum"]

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
    >>> from skwfm._sums import steady_sum
    >>> steady_sum(torch.ones(300, 300))
    tensor(90000.)
    """
    flat = values.reshape(-1)
    while len(flat) > _BLOCK:
        whole = len(flat) // _BLOCK * _BLOCK
        blocks = flat[:whole].view(-1, _BLOCK).sum(1)
        flat = torch.cat([blocks, flat[whole:].sum(0, keepdim=True)])
    return flat.sum()


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
