"""What the steps remember, so that training can go on: `partial_fit`, `warm_start`.

Fitted arrays are in the units of y; the core learns ``t = (y - shift) / unit``. A unit
is a power of 4: ``factors / sqrt(unit)``, ``coef / unit`` and back are exact, and so
training goes on to the bit.

AdaGrad's sums are of squared gradients of the loss of t. Where the loss is of
``t / scale`` instead, as in `fit`, the gradient of a factor is ``scale^(3/2)`` times as
small and that of a coefficient ``scale`` times.

Storage beside the parameters: with the default solver three numbers per label.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skwfm._kernels.compiled import Options, Table
from skwfm._losses import Loss
from skwfm._solvers import start_states

__all__ = ["Known", "Seen", "SolverState", "unit_of", "usable_mean_square"]

Array = npt.NDArray[Any]

# Rates for rows of unit length need a length that is a number in float32 too.
MEAN_SQUARES = (1e-30, 1e30)
# A state is a sum of squared gradients, or of gradients: by which powers of the scale
# of the target it differs from that of `fit`.
POWERS = {"state": 3, "linear_state": 2, "linear_z": 1}
# Less than this is no size of a target: its square is near the least float64.
NOTHING = 1e-100
# So many rows of a new stream only find out the units; then learning starts again.
WARM_UP = 16
# So many targets give the deviation of a robust loss.
FIRST = 64


def usable_mean_square(value: float) -> float:
    """Return a mean squared norm to divide rates by: within float32, 1 for 0."""
    return float(np.clip(value, *MEAN_SQUARES)) if value else 1.0


def unit_of(size: float) -> float:
    """Return the power of 4 at or below a size, 1 for next to nothing.

    Examples
    --------
    >>> from skwfm._state import unit_of
    >>> unit_of(3.0), unit_of(-70.0), unit_of(0.0)
    (1.0, 64.0, 1.0)
    """
    if abs(size) < NOTHING:
        return 1.0
    _, exponent = np.frexp(abs(size))
    return float(4.0 ** ((int(exponent) - 1) // 2))


@dataclass(frozen=True)
class Seen:
    """The rows so far, and the units that they give.

    The units in force change when the number of rows reaches a power of two, so that it
    does not matter in which parts the rows come.
    """

    shift: float
    """Subtracted from y."""
    unit: float
    """Divides y after that."""
    weight: float
    """Divides the weights of rows."""
    n_rows: int = 0
    weights: float = 0.0
    """Sum of the weights of the rows, as they were given."""
    squares: float = 0.0
    """Sum of the squared norms of the rows."""
    total: float = 0.0
    """Sum of the targets t."""
    total_squares: float = 0.0
    first: tuple[float, ...] | None = None
    """The first targets, for a robust loss: outliers do not change their deviation."""
    mean_square: float = 1.0
    """In force: the mean squared norm of a row."""
    mean: float = 0.0
    """In force: the mean of t."""
    scale: float = 1.0
    """In force: the standard deviation of t."""
    is_new: bool = True
    """Whether everything learned came as a stream."""

    @classmethod
    def of_fit(
        cls, shift: float, scale: float, weight: float, n_rows: int, mean_square: float
    ) -> Seen:
        """Return the rows of a whole fit, given what standardised its target."""
        unit = unit_of(scale)
        scale /= unit
        return cls(
            shift,
            unit,
            weight,
            n_rows,
            weights=n_rows * weight,
            squares=n_rows * mean_square,
            total_squares=n_rows * scale**2,
            mean_square=mean_square,
            scale=scale,
            is_new=False,
        )

    @property
    def changes_units(self) -> bool:
        """Whether the next row changes the units in force."""
        return self.n_rows & (self.n_rows - 1) == 0

    @property
    def starts_again(self) -> bool:
        """Whether what was learned is forgotten when the units change."""
        return self.is_new and self.n_rows <= WARM_UP

    @property
    def last_change(self) -> int:
        """Rows before the last change of units."""
        return (1 << int(self.n_rows).bit_length()) >> 1

    @property
    def rows_to_change(self) -> int:
        """Rows until the units change, at least 1."""
        return (1 << int(self.n_rows).bit_length()) - self.n_rows

    def coded(self, y: Array) -> Array:
        """Return targets t."""
        return (y - self.shift) / self.unit

    def plus(self, y: Array, weights: Array, squares: Array) -> Seen:
        """Count rows; sums from left to right do not depend on the parts."""
        targets = self.coded(y)
        return replace(
            self,
            n_rows=self.n_rows + len(targets),
            weights=_sum_from(self.weights, weights),
            squares=_sum_from(self.squares, squares),
            total=_sum_from(self.total, targets),
            total_squares=_sum_from(self.total_squares, targets * targets),
            first=self._first_with(targets),
        )

    def _first_with(self, targets: Array) -> tuple[float, ...] | None:
        if self.first is None or len(self.first) == FIRST:
            return self.first
        return (*self.first, *targets[: FIRST - len(self.first)].tolist())

    def measured(
        self, y: Array, weights: Array, squares: Array, *, loss: Loss, center: bool
    ) -> Seen:
        """Return the same with the units that the next row gives in force.

        Parameters
        ----------
        y, weights, squares : arrays of shape (1,)
            Of the next row.
        loss : Loss
            Scales the targets, or not.
        center : bool
            The scale is that about the mean, not about 0.
        """
        after = self.plus(y, weights, squares)
        mean_square = usable_mean_square(after.squares / after.n_rows)
        mean, scale = after.total / after.n_rows, 1.0
        if after.first is not None:
            first = np.array(after.first)
            coded = loss.encode(first, np.ones(len(first)), center=center)
            mean, scale = coded.shift, coded.scale
        elif loss.is_scaled:
            variance = after.total_squares / after.n_rows - (mean**2 if center else 0.0)
            scale = float(np.sqrt(max(variance, 0.0)))
        scale = scale or self.scale
        seen = replace(self, mean_square=mean_square, mean=mean, scale=scale)
        if not self.starts_again:
            return seen
        weight = after.weights / after.n_rows
        unit = unit_of(scale * self.unit) if loss.is_scaled else 1.0
        return replace(seen, weight=weight).in_unit(unit)

    def in_unit(self, unit: float) -> Seen:
        """Return the same with another unit of y."""
        by, first = self.unit / unit, self.first
        return replace(
            self,
            unit=unit,
            total=self.total * by,
            total_squares=self.total_squares * by**2,
            first=None if first is None else tuple(t * by for t in first),
            mean=self.mean * by,
            scale=self.scale * by,
        )


def _sum_from(start: float, values: Array) -> float:
    whole = np.concatenate([[start], values.astype(np.float64, copy=False)])
    return float(np.add.accumulate(whole)[-1])


@dataclass(frozen=True)
class SolverState:
    """What an online solver keeps beside the parameters, in units of t."""

    loss: str
    step: str
    """Both as in the core's `Options`."""
    seed: int
    """Decides the first factors of every label."""
    counts: Array
    """Shape (n_columns,): rows with the label; one with none yet is untrained."""
    state: Array
    """Shape (n_columns,), or (n_columns, length) with a state per weight."""
    linear_state: Array
    """Shape (n_columns, n_outputs)."""
    linear_z: Array | None
    """The same shape, for FTRL."""
    bias: Array
    """Shape (2 n_outputs,): intercepts and their states."""
    seen: Seen

    @classmethod
    def begun(
        cls,
        loss: str,
        step: str,
        seed: int,
        counts: Array,
        length: int,
        bias: Array,
        seen: Seen,
    ) -> SolverState:
        """Return the state of steps that begin.

        Parameters
        ----------
        loss, step, seed, counts, seen
            As the fields.
        length : int
            Numbers in a label's vector.
        bias : array of shape (n_outputs,)
            Intercepts in units of t; its dtype is that of all.
        """
        n_columns, dtype = len(counts), bias.dtype
        start = start_states(seen.mean_square)
        state = start["state"] * seen.scale ** POWERS["state"]
        linear = start["linear_state"] * seen.scale ** POWERS["linear_state"]
        shape = (n_columns, length) if step == "adagrad_weight" else (n_columns,)
        states, linear_states = np.zeros(shape, dtype), np.zeros((n_columns, len(bias)))
        states[counts > 0], linear_states[counts > 0] = state, linear
        return cls(
            loss,
            step,
            seed,
            counts=counts.astype(dtype),
            state=states,
            linear_state=linear_states.astype(dtype),
            linear_z=np.zeros_like(linear_states, dtype) if step == "ftrl" else None,
            bias=np.concatenate([bias, np.full_like(bias, linear)]),
            seen=seen,
        )

    @classmethod
    def of_table(
        cls, table: Table, options: Options, seed: int, counts: Array, seen: Seen
    ) -> SolverState:
        """Copy what a table holds after training in units of ``t / scale``."""
        scale, n_outputs = seen.scale, table.scheme.n_outputs
        bias = table.bias.copy()
        bias[:n_outputs] *= scale
        bias[n_outputs:] *= scale ** POWERS["linear_state"]
        views = table.states(options.step)
        parts: dict[str, Any] = {
            name: view * scale ** POWERS[name] for name, view in views.items()
        }
        parts.setdefault("linear_z", None)
        return cls(
            options.loss,
            options.step,
            seed,
            counts.astype(table.dtype),
            **parts,
            bias=bias,
            seen=seen,
        )

    @property
    def trained(self) -> npt.NDArray[np.int64]:
        """The columns that had a row."""
        return np.flatnonzero(self.counts > 0)

    def restore(self, table: Table, scale: float) -> None:
        """Write the states into a table in units of ``y / scale``."""
        trained, scale = self.trained, scale / self.seen.unit
        for name, view in table.states(self.step).items():
            view[trained] = getattr(self, name)[trained] / scale ** POWERS[name]
        n_outputs = table.scheme.n_outputs
        states = self.bias[n_outputs:] / scale ** POWERS["linear_state"]
        table.bias[n_outputs:] = states

    def grown(self, n_columns: int) -> SolverState:
        """Return the state with room for further columns, which are untrained."""
        arrays = {name: getattr(self, name) for name in ("counts", *POWERS)}
        longer: dict[str, Any] = {
            name: _padded(array, n_columns)
            for name, array in arrays.items()
            if array is not None
        }
        return replace(self, **longer)


def _padded(array: Array, n_rows: int) -> Array:
    """Return an array with zeros after its rows; itself if it may be written to."""
    if n_rows == len(array):
        return array if array.flags.writeable else array.copy()
    rest = np.zeros((n_rows - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, rest])


class Known(NamedTuple):
    """Parameters in the units of y, to go on from."""

    factors: Array
    """Shape (n_columns, n_outputs * values_per_label)."""
    linear: Array
    """Shape (n_columns, n_outputs)."""
    bias: Array
    """Shape (n_outputs,)."""
    state: SolverState
    spread: Array | None = None
    """Of the draw that a chain goes on from, see `Samples`."""

    def write(
        self, target: Any, factors: Array, linear: Array | None, bias: Array | None
    ) -> None:
        """Write the trained columns, in the units of a coded target, over a start."""
        trained = self.state.trained
        factors[trained] = self.factors[trained] / np.sqrt(target.scale)
        if linear is not None:
            linear[trained] = self.linear[trained] / target.scale
        if bias is not None:
            bias[:] = (self.bias - target.shift) / target.scale

    def grown(self, n_columns: int) -> Known:
        """Return arrays for all columns to write to, the new ones untrained."""
        factors, linear = (_padded(a, n_columns) for a in (self.factors, self.linear))
        spread = None if self.spread is None else _padded(self.spread, n_columns)
        return Known(factors, linear, self.bias, self.state.grown(n_columns), spread)
