"""Solvers by name: which torch optimizer, with which step, on which chunks.

Every solver minimises ``sum_i w_i loss_i + 1/2 l2_linear |a|^2 + 1/2 l2_factors |V|^2``
(divided by ``sum_i w_i``), the penalties counted once as in ridge regression, so that
one value fits few rows and many. ``lbfgs`` takes all rows at once in float64 and is
deterministic to rounding, which makes a weight of 2 the same as a repeated row; the
others take shuffled mini-batches and a step that falls along a half cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["SOLVERS", "Solver", "auto_batch_size", "choose_solver"]

# Up to this many rows a full pass costs less than the overhead of mini-batches; up to
# this many parameters L-BFGS keeps its 20 past vectors in 160 MiB; and a pass takes
# this many values at a time, 32 MiB of float64.
TINY_ROWS = 1000
TINY_PARAMETERS = 2**20
TINY_VALUES = 2**22
# Steps per pass that mini-batches aim at, and the range of their sizes.
STEPS_PER_EPOCH = 64
BATCH_ROWS = (64, 8192)
# Bag sums of one mini-batch, in values: 64 MiB of float32.
BATCH_VALUES = 2**24


@dataclass(frozen=True)
class Solver:
    """What one solver needs, as data."""

    name: str
    optimizer: Callable[..., torch.optim.Optimizer]
    learning_rate: dict[str, float]
    """The first step when ``learning_rate="auto"``, for "fm" and "ffm"."""
    options: tuple[tuple[str, Any], ...] = ()
    """Further keyword arguments of the optimizer."""
    full_batch: bool = False
    """Takes all rows in float64; the penalty is part of its loss."""


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("adam", torch.optim.Adam, {"fm": 0.02, "ffm": 0.01}),
        Solver(
            "adagrad",
            torch.optim.Adagrad,
            {"fm": 0.05, "ffm": 0.05},
            # A start of 0.01 or more would behave like plain gradient descent: the
            # gradients of a mean loss are far smaller.
            options=(("initial_accumulator_value", 1e-6),),
        ),
        Solver(
            "sgd",
            torch.optim.SGD,
            {"fm": 0.05, "ffm": 0.05},
            options=(("momentum", 0.9),),
        ),
        Solver(
            "lbfgs",
            torch.optim.LBFGS,
            {"fm": 1.0, "ffm": 1.0},
            options=(
                ("max_iter", 10),
                ("history_size", 10),
                ("tolerance_grad", 1e-9),
                ("tolerance_change", 1e-14),
                ("line_search_fn", "strong_wolfe"),
            ),
            full_batch=True,
        ),
    )
}


def choose_solver(
    name: str, *, n_rows: int, n_parameters: int, values_per_row: int
) -> Solver:
    """Return the solver of a `solver` parameter; ``"auto"`` looks at the sizes.

    Parameters
    ----------
    name : str
        ``"auto"`` or a key of `SOLVERS`.
    n_rows, n_parameters : int
        Rows to train on, and factors to learn.
    values_per_row : int
        Values that scoring a row needs at a time.

    Returns
    -------
    Solver

    Examples
    --------
    >>> from skwfm._solvers import choose_solver
    >>> choose_solver("auto", n_rows=99, n_parameters=500, values_per_row=80).name
    'lbfgs'
    """
    if name == "auto":
        is_tiny = (
            n_rows <= TINY_ROWS
            and n_parameters <= TINY_PARAMETERS
            and n_rows * values_per_row <= TINY_VALUES
        )
        name = "lbfgs" if is_tiny else "adam"
    return SOLVERS[name]


def auto_batch_size(n_rows: int, values_per_row: int) -> int:
    """Return the rows of a mini-batch: about 64 steps a pass, within memory.

    Parameters
    ----------
    n_rows : int
        Rows to train on.
    values_per_row : int
        Values of the bag sums of one row.

    Returns
    -------
    int

    Examples
    --------
    >>> from skwfm._solvers import auto_batch_size
    >>> auto_batch_size(80_000, 32)
    1250
    """
    smallest, largest = BATCH_ROWS
    wanted = min(max(n_rows // STEPS_PER_EPOCH, smallest), largest)
    return max(1, min(wanted, BATCH_VALUES // max(values_per_row, 1)))


def param_groups(
    solver: Solver, weight_decay: dict[str, float]
) -> Sequence[tuple[str, dict[str, float]]]:
    """Return skorch's ``optimizer__param_groups``: one weight decay per pattern."""
    if solver.full_batch:
        return []  # torch's LBFGS takes a single group
    return [(name, {"weight_decay": decay}) for name, decay in weight_decay.items()]
