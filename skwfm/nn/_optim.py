"""Optimizers that move the rows of a table that a mini-batch touches, and no others.

Formulas and their sources: `skwfm._kernels.row_steps`. Storage: what the plain AdaGrad
and Adam keep, or one number per row. Cost of a step: O(rows with a gradient).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from skwfm._kernels import row_steps

__all__ = ["LazyAdam", "SparseAdagrad"]


class _RowOptimizer(torch.optim.Optimizer):
    """What both have in common: argument checks and the loop over parameters."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own.

        Parameters
        ----------
        param_group : dict
            Of "params" and any of the options of the optimizer.

        Raises
        ------
        ValueError
            If an option is out of range, a parameter is not a dense real tensor or is
            in another group; nothing is added then.
        TypeError
            If a parameter is no tensor.

        Examples
        --------
        >>> from skwfm.nn import SparseAdagrad, WeightedFM
        >>> fm = WeightedFM(4, 2, sparse=True)
        >>> optimizer = SparseAdagrad(fm.bag.parameters(), lr=0.5)
        >>> optimizer.add_param_group({"params": [fm.linear, fm.bias], "lr": 0.1})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.5, 0.1]
        """
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def _check(self, group: dict[str, Any]) -> None:
        _check_number("lr", group["lr"], lambda x: x >= 0, "at least 0")
        _check_number("eps", group["eps"], lambda x: x > 0, "above 0")
        for number, parameter in enumerate(group["params"]):
            if parameter.layout != torch.strided or not parameter.is_floating_point():
                raise ValueError(
                    f"params, tensor {number}: got {parameter.dtype} and layout"
                    f" {parameter.layout}, expected dense floating point tensors."
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move all parameters that have a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients again.

        Returns
        -------
        object
            What the closure returned, else None.

        Raises
        ------
        ValueError
            If a sparse gradient is not sparse in the first dimension alone, or (on the
            CPU) is of a row that is not there.

        Examples
        --------
        Only rows of the table that the batch has move:

        >>> import torch
        >>> from skwfm.nn import SparseAdagrad, WeightedFM
        >>> fm = WeightedFM(4, 2, sparse=True)
        >>> before = fm.bag.weight.detach().clone()
        >>> optimizer = SparseAdagrad(fm.parameters(), lr=0.5)
        >>> indices, offsets = torch.tensor([[0, 2]]), torch.tensor([[0, 1]])
        >>> fm(indices, offsets, torch.ones(1, 2)).sum().backward()
        >>> optimizer.step()
        >>> (fm.bag.weight.detach() != before).any(dim=1)
        tensor([ True, False,  True, False])
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _check_labels(parameter)
                    labels, values = _rows_of(parameter.grad)
                    table = parameter.detach() if parameter.ndim else parameter.view(1)
                    self._move(table, self.state[parameter], group, labels, values)
        return loss

    def _move(
        self,
        table: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
        labels: Tensor | None,
        values: Tensor,
    ) -> None:
        raise NotImplementedError


class SparseAdagrad(_RowOptimizer):
    """AdaGrad for sparse gradients.

    ``s += g^2, p -= lr g / (sqrt(s) + eps)`` [1]_ for the rows of each parameter that
    have a gradient: the numbers of ``torch.optim.Adagrad``, in one pass over the
    gradient where the compiled core can take it (float32 and float64 on the CPU).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, as for any optimizer of torch. Sparse gradients cost least where
        they are coalesced, as those of `WeightedFM` and `WeightedFFM` are; dense ones
        move every row.
    lr : float, default=1e-2
        Length of the steps. In batches of thousands of rows 0.1 to 0.5 suits factors.
    per_row : bool, default=False
        Keep one s per row of the parameter, of the mean square of the row's gradient,
        instead of one per weight: next to no memory, and steps that keep the direction
        of the gradient.
    initial_accumulator_value : float, default=0.0
        Start of s.
    eps : float, default=1e-10
        Keeps the first steps finite.

    Raises
    ------
    ValueError
        If an option is out of range or a parameter is not a dense real tensor.

    See Also
    --------
    LazyAdam : Adam for sparse gradients.
    torch.optim.Adagrad : The same numbers, and options that need dense gradients.

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer (2011). "Adaptive Subgradient Methods for
       Online Learning and Stochastic Optimization". JMLR 12.

    Examples
    --------
    >>> import torch
    >>> from skwfm.nn import SparseAdagrad, WeightedFM
    >>> fm = WeightedFM(4, 2, sparse=True, generator=torch.Generator().manual_seed(0))
    >>> optimizer = SparseAdagrad(fm.parameters(), lr=0.5)
    >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
    >>> weights = torch.tensor([[1.0, 0.5, 2.0]])
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     loss = (fm(indices, offsets, weights) - 3.0).square().sum()
    ...     loss.backward()
    ...     optimizer.step()
    >>> fm(indices, offsets, weights).detach().round(decimals=3)
    tensor([3.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        per_row: bool = False,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        defaults = {
            "lr": lr,
            "per_row": per_row,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(params, defaults)

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        name = "initial_accumulator_value"
        _check_number(name, group[name], lambda x: x >= 0, "at least 0")

    def _move(
        self,
        table: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
        labels: Tensor | None,
        values: Tensor,
    ) -> None:
        if not state:
            shape = table.shape[:1] if group["per_row"] else table.shape
            start = group["initial_accumulator_value"]
            state["sum"] = table.new_full(shape, start)
        rate, eps = group["lr"], group["eps"]
        row_steps.adagrad(table, state["sum"], labels, values, rate=rate, eps=eps)


class LazyAdam(_RowOptimizer):
    """Adam for sparse gradients; rows without a gradient keep their moments.

    The bias-corrected Adam [1]_ with the moments of a row moved when the row has a
    gradient: the numbers of ``torch.optim.SparseAdam``, in one pass over the gradient
    where the compiled core can take it (float32 and float64 on the CPU).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, as for any optimizer of torch. Sparse gradients cost least where
        they are coalesced, as those of `WeightedFM` and `WeightedFFM` are; dense ones,
        such as that of a bias, move every row.
    lr : float, default=1e-3
        Length of the steps.
    betas : tuple of float, default=(0.9, 0.999)
        How much of the first and second moment a step leaves, in [0, 1).
    eps : float, default=1e-8
        Keeps the steps finite.

    Raises
    ------
    ValueError
        If an option is out of range or a parameter is not a dense real tensor.

    See Also
    --------
    SparseAdagrad : AdaGrad for sparse gradients, with less to keep.
    torch.optim.SparseAdam : The same numbers, for sparse gradients only.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba (2015). "Adam: A Method for Stochastic Optimization".
       ICLR.

    Examples
    --------
    >>> import torch
    >>> from skwfm.nn import LazyAdam, WeightedFM
    >>> fm = WeightedFM(4, 2, sparse=True, generator=torch.Generator().manual_seed(0))
    >>> optimizer = LazyAdam(fm.parameters(), lr=0.1)
    >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
    >>> weights = torch.tensor([[1.0, 0.5, 2.0]])
    >>> for _ in range(200):
    ...     optimizer.zero_grad()
    ...     loss = (fm(indices, offsets, weights) - 3.0).square().sum()
    ...     loss.backward()
    ...     optimizer.step()
    >>> fm(indices, offsets, weights).detach().round(decimals=3)
    tensor([3.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    def _check(self, group: dict[str, Any]) -> None:
        super()._check(group)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"betas={betas!r}, expected two numbers.")
        for number, beta in enumerate(betas):
            _check_number(f"betas[{number}]", beta, lambda x: 0 <= x < 1, "in [0, 1)")

    def _move(
        self,
        table: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
        labels: Tensor | None,
        values: Tensor,
    ) -> None:
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        first, second = (1 - beta ** state["step"] for beta in group["betas"])
        row_steps.adam(
            table,
            state["exp_avg"],
            state["exp_avg_sq"],
            labels,
            values,
            rate=group["lr"] * math.sqrt(second) / first,
            eps=group["eps"],
            betas=group["betas"],
        )


def _check_number(
    name: str, value: Any, is_good: Callable[[Any], bool], expected: str
) -> None:
    is_number = isinstance(value, Real) and math.isfinite(value)
    if not is_number or not is_good(value):
        raise ValueError(f"{name}={value!r}, expected a finite number {expected}.")


def _check_labels(parameter: Tensor) -> None:
    """Raise for a label that is no row: torch makes such gradients if told to.

    (On CUDA torch checks, and a look at the labels would wait for the device.)
    """
    grad = parameter.grad
    if grad is None or not grad.is_sparse or grad.device.type != "cpu":
        return
    if grad.sparse_dim() == 0 or grad._nnz() == 0:
        return
    labels = grad._indices()[0]
    # Of coalesced ones the first and the last are the smallest and the largest.
    ends = (labels[0], labels[-1]) if grad.is_coalesced() else labels.aminmax()
    first, last = map(int, ends)
    if first < 0 or last >= len(parameter):
        raise ValueError(
            f"Got a gradient of the rows {first} to {last}, expected rows from 0 to "
            f"{len(parameter) - 1}."
        )


def _rows_of(grad: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the rows of a gradient, None for all, and their values."""
    if not grad.is_sparse:
        return None, grad.view(1) if grad.ndim == 0 else grad
    if grad.sparse_dim() != 1:
        raise ValueError(
            f"Got a gradient with {grad.sparse_dim()} sparse dimensions, expected 1:"
            " whole rows."
        )
    grad = grad.coalesce()
    return grad._indices()[0], grad._values()
