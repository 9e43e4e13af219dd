"""Solvers by name: what takes the steps, with which rate, on which chunks.

Every solver minimises ``sum_i w_i loss_i + 1/2 l2_linear |a|^2 + 1/2 l2_factors |V|^2``
(divided by ``sum_i w_i``), the penalties counted once as in ridge regression, so that
one value fits few rows and many.

- *Online* solvers take a step per row in the compiled core, with the label's share of
  the penalty in each of its rows. Their rates are relative to rows of unit length: a
  rate r is used as ``r / sqrt(q)``, by sgd as ``r / q``, q the mean squared norm of a
  row, and AdaGrad's sums of squares start from a multiple of q: one rate then fits any
  number and size of weights.
- Without the core, on another device or with dropout, the same names mean torch's
  optimizers on shuffled mini-batches; so does ``adam`` always.
- ``als`` and ``mcmc`` sweep over the labels, which are fitted or drawn one after the
  other given all else. ``mcmc`` finds its penalties by itself.
- ``lbfgs`` takes all rows at once in float64 and is deterministic to rounding, which
  makes a weight of 2 the same as a repeated row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from skwfm._kernels.compiled import Options

__all__ = [
    "ONLINE",
    "SOLVERS",
    "TINY_ROWS",
    "Solver",
    "auto_batch_size",
    "choose_solver",
    "chunk_rows",
    "online_options",
    "param_groups",
    "start_states",
]

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
# Rows that the core takes per call, and the values that keep a call, after which Ctrl-C
# is heard, well under a second.
CHUNK_ROWS = (1024, 65_536)
CHUNK_VALUES = 2**29
# AdaGrad starts from these multiples of the mean squared norm of a row: small enough to
# adapt to labels of ten rows, large enough not to jump at the first.
START_STATE, START_STATE_LINEAR = 0.1, 1.0


@dataclass(frozen=True)
class Solver:
    """What one solver needs, as data."""

    name: str
    optimizer: Callable[..., torch.optim.Optimizer] | None = None
    learning_rate: tuple[tuple[str, float], ...] = ()
    """The first step when ``learning_rate="auto"``, for "fm" and "ffm"."""
    options: tuple[tuple[str, Any], ...] = ()
    """Further keyword arguments of the optimizer."""
    full_batch: bool = False
    """Takes all rows in float64, without a schedule or dropout."""
    adds_penalty: bool = False
    """The penalty is added to the loss, not left to the optimizer's weight decay."""
    online: bool = False
    """Takes a step per row in the compiled core, where there is one."""
    online_rate: tuple[tuple[str, float], ...] = ()
    """The rate for rows of unit length, for "fm", "ffm" and "linear"."""
    sweeps: bool = False
    """Goes over the labels, and takes each from its conditional given all else."""
    max_iter: int = 20
    """Passes when ``max_iter="auto"``."""


def _rates(**rates: float) -> tuple[tuple[str, float], ...]:
    return tuple(rates.items())


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("adam", torch.optim.Adam, _rates(fm=0.02, ffm=0.01)),
        Solver(
            "adagrad",
            torch.optim.Adagrad,
            _rates(fm=0.05, ffm=0.05),
            # A start of 0.01 or more would behave like plain gradient descent: the
            # gradients of a mean loss are far smaller.
            options=(("initial_accumulator_value", 1e-6),),
            online=True,
            online_rate=_rates(fm=0.5, ffm=0.5, linear=0.2),
        ),
        Solver(
            "sgd",
            torch.optim.SGD,
            _rates(fm=0.05, ffm=0.05),
            options=(("momentum", 0.9),),
            online=True,
            online_rate=_rates(fm=0.2, ffm=0.2, linear=0.1),
        ),
        Solver(
            "ftrl",
            online=True,
            online_rate=_rates(fm=0.5, ffm=0.5, linear=0.2),
        ),
        Solver(
            "lbfgs",
            torch.optim.LBFGS,
            _rates(fm=1.0, ffm=1.0),
            options=(
                ("max_iter", 10),
                ("history_size", 10),
                ("tolerance_grad", 1e-9),
                ("tolerance_change", 1e-14),
                ("line_search_fn", "strong_wolfe"),
            ),
            full_batch=True,
            adds_penalty=True,
        ),
        Solver("als", sweeps=True, max_iter=50),
        Solver("mcmc", sweeps=True, max_iter=200),
    )
}

ONLINE = [solver.name for solver in SOLVERS.values() if solver.online]


def choose_solver(
    name: str,
    *,
    n_rows: int,
    n_parameters: int,
    values_per_row: int,
    online: bool,
    dropout: bool = False,
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
    online : bool
        Whether the compiled core can do the work.
    dropout : bool, default=False
        Whether the steps are random beyond the choice of rows.

    Returns
    -------
    Solver

    Examples
    --------
    >>> from skwfm._solvers import choose_solver
    >>> sizes = dict(n_parameters=500, values_per_row=80, online=True)
    >>> choose_solver("auto", n_rows=99, **sizes).name
    'lbfgs'
    >>> choose_solver("auto", n_rows=9999, **sizes).name
    'adagrad'
    """
    if name == "auto":
        is_tiny = (
            n_rows <= TINY_ROWS
            and n_parameters <= TINY_PARAMETERS
            and n_rows * values_per_row <= TINY_VALUES
            and not dropout
        )
        name = "lbfgs" if is_tiny else "adagrad" if online else "adam"
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


def chunk_rows(values_per_row: int) -> int:
    """Return the rows of one call of the compiled core.

    Parameters
    ----------
    values_per_row : int
        Values that a row touches: entries times the length of a vector.

    Examples
    --------
    >>> from skwfm._solvers import chunk_rows
    >>> chunk_rows(39 * 156), chunk_rows(10**6)
    (65536, 1024)
    """
    smallest, largest = CHUNK_ROWS
    return min(max(CHUNK_VALUES // max(values_per_row, 1), smallest), largest)


def online_options(
    solver: Solver,
    *,
    loss: str,
    mean_square: float,
    learning_rate: float,
    learning_rate_linear: float | str,
    by_weight: bool,
    **penalties: Any,
) -> Options:
    """Return what the compiled core takes, rates in the units of the parameters.

    Parameters
    ----------
    solver : Solver
        An online one.
    loss : str
        Name of the loss in the core.
    mean_square : float
        Mean squared norm of a row.
    learning_rate, learning_rate_linear : float (the latter may be "auto")
        Rates for rows of unit length.
    by_weight : bool
        AdaGrad with a state per weight.
    **penalties
        Further fields of `Options`.
    """
    linear = learning_rate_linear
    if linear == "auto":
        linear = dict(solver.online_rate)["linear"]
    per_unit = mean_square if solver.name == "sgd" else mean_square**0.5
    return Options(
        loss=loss,
        step="adagrad_weight" if by_weight else solver.name,
        learning_rate=learning_rate / per_unit,
        learning_rate_linear=float(linear) / per_unit,
        **penalties,
    )


def start_states(mean_square: float) -> dict[str, Any]:
    """Return what AdaGrad's sums start from, for rows of a mean squared norm."""
    return {
        "state": START_STATE * mean_square,
        "linear_state": START_STATE_LINEAR * mean_square,
    }


def param_groups(
    solver: Solver, weight_decay: dict[str, float]
) -> Sequence[tuple[str, dict[str, float]]]:
    """Return skorch's ``optimizer__param_groups``: one weight decay per pattern."""
    if solver.adds_penalty:
        return []  # and torch's LBFGS takes a single group only
    return [(name, {"weight_decay": decay}) for name, decay in weight_decay.items()]
