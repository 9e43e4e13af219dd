"""The online solvers in float64 numpy, slow and obvious: the twin of the compiled core.

One row after the other: score s, loss l(s, t), g = weight * dl/ds, and then every label
of the row moves once, along the gradient at the parameters before the row. With G the
gradient of a label's vector v, and of n rows with that label each taking l2 / n of its
penalty:

- sgd: ``v = (v - r G) / (1 + r l2 / n)``, a proximal step of rate r;
- adagrad: the same with ``r / sqrt(h)`` for r, where h, one number per label, has first
  gained the mean of G^2;
- adagrad_weight: ``D = G + l2 / n v``, ``h = h + D^2``, ``v = v - r D / sqrt(h)``, with
  one h per number;
- ftrl: vectors as in adagrad.

Counting, n is the number of rows with the label so far, this one included.

A linear coefficient is a vector of length 1 with a rate of its own, and the penalty in
the proximal step for adagrad_weight too. FTRL-Proximal takes it to the minimum of
``sum_s G_s a + 1/2 sum_s c_s (a - a_s)^2 + l1 |a| + l2 / 2 a^2`` over the steps s so
far, where ``c_s = (sqrt(h_s) - sqrt(h_{s-1})) / r``, and c_0 = sqrt(h_0) / r around 0.
A coefficient that is not 0 stays where it is when r changes: the past is then that with
which today's r comes to it.
The bias is a linear coefficient without penalty, by sgd or adagrad.

Cost: that of `reference` for every row and output.

References: Duchi, Hazan and Singer (2011), "Adaptive Subgradient Methods for Online
Learning and Stochastic Optimization", JMLR 12; McMahan and others (2013), "Ad Click
Prediction: a View from the Trenches", KDD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from skwfm._kernels import reference
from skwfm._kernels.compiled import Options, Table

__all__ = ["Bags", "Parameters", "row_loss", "score", "start", "train"]

FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bags:
    """Flat bags, as in `reference`, and the pairs that count."""

    indices: npt.NDArray[Any]
    offsets: npt.NDArray[Any]
    weights: npt.NDArray[Any]
    n_fields: int
    intra_field: bool = False

    def row(self, i: int) -> dict[str, Any]:
        """Return one row as arguments of `reference`."""
        offsets = self.offsets[i * self.n_fields : (i + 1) * self.n_fields + 1]
        entries = slice(offsets[0], offsets[-1])
        return {
            "indices": self.indices[entries],
            "offsets": offsets - offsets[0],
            "weights": self.weights[entries],
            "n_fields": self.n_fields,
            "intra_field": self.intra_field,
        }

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return (len(self.offsets) - 1) // self.n_fields


@dataclass
class Parameters:
    """Parameters of C scores, and what the steps remember; changed in place."""

    factors: FloatArray
    """Shape (n_columns, C, k) or, field-aware, (n_columns, C, n_fields, k)."""
    linear: FloatArray
    """Shape (n_columns, C)."""
    bias: FloatArray
    """Shape (C,)."""
    counts: npt.NDArray[Any]
    """Rows with each label, shape (n_columns,)."""
    state: FloatArray
    """Shape (n_columns,) or, with a state per number, that of `factors`."""
    linear_state: FloatArray
    bias_state: FloatArray
    linear_z: FloatArray
    """FTRL's ``sum_s (G_s - c_s a_s)``, shaped like `linear`."""

    @classmethod
    def of_table(cls, table: Table, step: str) -> Parameters:
        """Copy what a table holds."""
        scheme = table.scheme
        C, fields = scheme.n_outputs, [scheme.n_fields] * scheme.field_aware
        shape = (len(table.rows), C, *fields, scheme.n_factors)
        wide = {name: part.astype(float) for name, part in table.states(step).items()}
        if step == "adagrad_weight":
            wide["state"] = wide["state"].reshape(shape)
        wide.setdefault("linear_z", np.zeros((len(table.rows), C)))
        return cls(
            factors=table.factors.astype(float).reshape(shape),
            linear=table.linear.astype(float),
            bias=table.bias[:C].astype(float),
            bias_state=table.bias[C:].astype(float),
            counts=table.rows[:, table.places[4]].astype(float),
            **wide,
        )

    def write(self, table: Table, step: str) -> None:
        """Copy everything back."""
        n_columns = len(table.rows)
        for name, view in table.states(step).items():
            view[:] = getattr(self, name).reshape(view.shape)
        table.factors[:] = self.factors.reshape(n_columns, -1)
        table.linear[:] = self.linear
        table.bias[:] = np.concatenate([self.bias, self.bias_state])
        table.rows[:, table.places[4]] = self.counts

    def is_finite(self) -> bool:
        """Tell whether all numbers are finite."""
        return all(np.isfinite(part).all() for part in vars(self).values())

    @property
    def name(self) -> str:
        """Which functions of `reference` score: "fm" or "ffm"."""
        return "ffm" if self.factors.ndim == 4 else "fm"


def start(
    table: Table,
    counts: npt.NDArray[np.int32],
    bias: npt.ArrayLike,
    *,
    init_scale: float,
    state: float,
    linear_state: float,
    seed: int,
    labels: npt.NDArray[np.int64] | None = None,
) -> None:
    """Start a table as `Table.start` does, without the core.

    The factors are SplitMix64 (Steele, Lea and Flood, 2014) of seed and position.
    """
    n_outputs, length = table.scheme.n_outputs, table.scheme.length
    _, linear_state_place, _, state_place, count_place, states = table.places
    numbers = np.arange(len(table.rows)) if labels is None else labels
    table.rows[:] = 0
    table.rows[:, :length] = _uniform(seed, numbers, length, init_scale, table.dtype)
    table.rows[:, linear_state_place : linear_state_place + n_outputs] = linear_state
    table.rows[:, state_place] = state
    table.rows[:, count_place] = 1 / np.maximum(counts, 1).astype(table.dtype)
    table.rows[:, states:] = state
    table.bias[:n_outputs], table.bias[n_outputs:] = bias, linear_state


def _uniform(
    seed: int, numbers: npt.NDArray[Any], length: int, scale: float, dtype: Any
) -> npt.NDArray[Any]:
    """Draw a vector per number, of mean 0 and standard deviation `scale`."""
    width = dtype.type(scale) * dtype.type(2 * np.sqrt(3.0) / 2**32)
    with np.errstate(over="ignore"):
        keys = _mix(np.uint64(seed)) + numbers.astype(np.uint64) * np.uint64(length)
        pairs = np.arange(0, length, 2, dtype=np.uint64)
        drawn = _mix(keys[:, None] + pairs)
    halves = [drawn & np.uint64(2**32 - 1), drawn >> np.uint64(32)]
    signed = np.stack(halves, axis=-1).astype(np.uint32).view(np.int32)
    whole = signed.reshape(len(numbers), 2 * len(pairs))[:, :length].astype(dtype)
    out: npt.NDArray[Any] = width * (whole + dtype.type(0.5))
    return out


def _mix(x: Any) -> Any:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def score(parameters: Parameters, bags: Bags, i: int, fit_linear: bool) -> FloatArray:
    """Return the C scores of one row."""
    function = getattr(reference, f"{parameters.name}_score")
    row = bags.row(i)
    labels, row["indices"] = np.unique(row["indices"], return_inverse=True)
    linear = parameters.linear[labels] * fit_linear
    factors = parameters.factors[labels]
    scores = [
        function(bias, linear[:, c], factors[:, c], **row)[0]
        for c, bias in enumerate(parameters.bias)
    ]
    return np.array(scores)


def row_loss(
    loss: str, scores: FloatArray, target: float, huber_delta: float = 1.0
) -> tuple[float, FloatArray]:
    """Return the loss of one row and its derivative by each score."""
    if loss == "softmax":
        log_total = np.logaddexp.reduce(scores)
        derivative = np.exp(scores - log_total)
        derivative[int(target)] -= 1
        return float(log_total - scores[int(target)]), derivative
    value, slope = _single_loss(loss, float(scores[0]), target, huber_delta)
    return float(value), np.array([slope])


def _single_loss(
    loss: str, s: float, target: float, huber_delta: float
) -> tuple[float, float]:
    error = s - target
    if loss == "squared":
        return error**2 / 2, error
    if loss == "logistic":
        return np.logaddexp(0, s) - target * s, np.exp(-np.logaddexp(0, -s)) - target
    if loss == "poisson":
        return np.exp(s) - target * s, np.exp(s) - target
    slope = float(np.clip(error, -huber_delta, huber_delta))
    return slope * error - slope**2 / 2, slope


def train(
    parameters: Parameters,
    bags: Bags,
    target: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    options: Options,
    order: npt.ArrayLike | None = None,
) -> float:
    """Take one step per row; return the sum of the losses before each step.

    Parameters
    ----------
    parameters : Parameters
        Changed in place.
    bags : Bags
        Rows.
    target, weight : array-like of shape (n_rows,)
        Coded targets and weights, 1 if None.
    options : Options
        Loss, rates and penalties.
    order : array-like of int, optional
        Rows to take, in this order; all of them if None.
    """
    targets = np.asarray(target, np.float64)
    weights = np.ones(bags.n_rows) if weight is None else np.asarray(weight, np.float64)
    total = 0.0
    rows = range(bags.n_rows) if order is None else np.asarray(order).tolist()
    for i in rows:
        scores = score(parameters, bags, i, options.fit_linear)
        loss, slope = row_loss(options.loss, scores, targets[i], options.huber_delta)
        total += weights[i] * loss
        _step(parameters, bags.row(i), weights[i] * slope, options)
    return float(total)


def _step(
    parameters: Parameters, row: dict[str, Any], slope: FloatArray, options: Options
) -> None:
    """Move all that one row touches, by the derivative of its loss by each score."""
    labels, local = np.unique(row["indices"], return_inverse=True)
    if options.counting:
        parameters.counts[labels] += 1
    row = {**row, "indices": local}
    d_linear, d_factors = _gradients(parameters, labels, row, slope)
    for place, j in enumerate(labels):
        _move_vector(parameters, j, d_factors[place], options)
        if options.fit_linear:
            for c in range(len(slope)):
                _move_linear(parameters, j, c, d_linear[place, c], options)
    if options.fit_bias:
        _move_bias(parameters, slope, options)


def _gradients(
    parameters: Parameters,
    labels: npt.NDArray[Any],
    row: dict[str, Any],
    slope: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the gradients of the linear coefficients and factors of some labels."""
    function = getattr(reference, f"{parameters.name}_gradient")
    linear, factors = parameters.linear[labels], parameters.factors[labels]
    d_linear, d_factors = np.zeros_like(linear), np.zeros_like(factors)
    for c, g in enumerate(slope):
        _, d_linear[:, c], d_factors[:, c] = function(
            [g], linear[:, c], factors[:, c], **row
        )
    return d_linear, d_factors


def _move_vector(
    parameters: Parameters, j: int, gradient: FloatArray, options: Options
) -> None:
    v, state = parameters.factors, parameters.state
    l2 = options.l2_factors / parameters.counts[j]
    rate = options.learning_rate
    if options.step == "adagrad_weight":
        gradient = gradient + l2 * v[j]
        state[j] += gradient**2
        v[j] -= rate * gradient / np.sqrt(state[j])
        return
    if options.step != "sgd":
        state[j] += np.mean(gradient**2)
        rate /= np.sqrt(state[j])
    v[j] = (v[j] - rate * gradient) / (1 + rate * l2)


def _move_linear(
    parameters: Parameters, j: int, c: int, gradient: float, options: Options
) -> None:
    a, state = parameters.linear, parameters.linear_state
    rate = options.learning_rate_linear
    if options.step != "sgd":
        state[j, c] += gradient**2
    if options.step == "ftrl":
        l1, z = options.l1_linear, parameters.linear_z[j, c]
        slope = np.sqrt(state[j, c]) / rate + options.l2_linear
        if a[j, c] != 0:
            z = -a[j, c] * slope - np.sign(a[j, c]) * l1
        z += gradient
        a[j, c] = -np.sign(z) * max(abs(z) - l1, 0.0) / slope
        parameters.linear_z[j, c] = z
        return
    if options.step != "sgd":
        rate /= np.sqrt(state[j, c])
    l2 = options.l2_linear / parameters.counts[j]
    a[j, c] = (a[j, c] - rate * gradient) / (1 + rate * l2)


def _move_bias(parameters: Parameters, slope: FloatArray, options: Options) -> None:
    rate: Any = options.learning_rate_linear
    if options.step != "sgd":
        parameters.bias_state += slope**2
        rate = rate / np.sqrt(parameters.bias_state)
    parameters.bias -= rate * slope
