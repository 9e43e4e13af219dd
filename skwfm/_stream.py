"""One pass over rows as they come, for `partial_fit`: a step per row, in order.

The result depends on the rows and their order alone, not on the calls they came in.
Hence nothing may be known of the rows to come:

- a label's penalty in its n-th row is ``l2 / n``, so that after each row the loss of all
  rows so far and one whole penalty are being minimised;
- the target is not scaled; the rates and the start of AdaGrad's sums are, by the norms
  of rows and the deviation of the targets so far (`Seen`), for the loss ``(t - s)^2 / 2``
  what standardising does: with deviation d, a rate r is ``r d`` for coefficients and
  ``r sqrt(d)`` for factors (sgd: r and ``r / d``), `l2_factors` counts d times;
- a label gets its first factors with its first row, by its number.

The first 16 rows only find out the units: at rows 2, 4, 8 and 16 learning starts again.

Cost: that of the core, and O(chunk) copies of the labels that the chunk has, whatever
the number of columns; where columns are added, one copy of all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.extmath import row_norms

from skwfm._bags import to_flat
from skwfm._kernels import compiled, online
from skwfm._kernels.compiled import Options, Rows, Table, Threads
from skwfm._losses import HUBER_DELTA, Loss
from skwfm._model import Layout
from skwfm._solvers import Solver, chunk_rows, online_options, start_states
from skwfm._state import Known, Seen, SolverState, unit_of

__all__ = ["Learned", "Stream"]

Array = npt.NDArray[Any]
CENTERED = ("squared", "huber")


class Learned(NamedTuple):
    """Parameters and states after some rows."""

    known: Known
    loss: float
    """Mean over the rows, each before its step."""
    n_rows: int
    """Rows taken: fewer than there were if a step was not finite."""


@dataclass(frozen=True)
class Stream:
    """How to learn from rows as they come."""

    params: Any
    """The estimator; read only."""
    solver: Solver
    loss: Loss
    layout: Layout
    n_threads: int = 1

    @property
    def step(self) -> str:
        """The kind of step, as in the core's `Options`."""
        by_weight = self.params.adagrad_state == "weight"
        name = self.solver.name
        return "adagrad_weight" if name == "adagrad" and by_weight else name

    @property
    def is_scaled(self) -> bool:
        """Whether the loss is one of a scaled target."""
        return self.loss.name in CENTERED

    def begin(self, n_columns: int, dtype: Any, y: float, w: float, seed: int) -> Known:
        """Return the model before its first row, of which y and weight are given."""
        params, n_outputs = self.params, self.loss.n_outputs
        shift = y if self.is_scaled and params.fit_intercept else 0.0
        unit = unit_of(y) if self.is_scaled else 1.0
        length = self.layout.values_per_label * n_outputs
        shape = (n_columns, length, n_outputs)
        state = SolverState.empty(self.step, seed, shape, dtype, Seen(shift, unit, w))
        factors = np.zeros((n_columns, length), dtype)
        bias = np.full(n_outputs, shift, dtype)
        return Known(factors, np.zeros((n_columns, n_outputs), dtype), bias, state)

    def learn(self, known: Known, X: Any, y: Array, weights: Array) -> Learned:
        """Take a step for every row; the arrays of `known` change when all is done.

        Parameters
        ----------
        known : Known
            With a state of this kind of step, for the columns of X or the first ones.
        X : CSR matrix of shape (n_samples, n_columns)
            Canonical.
        y, weights : arrays of shape (n_samples,)
            Targets as numbers, and positive weights.
        """
        known = known.grown(X.shape[1])
        labels, inner = _labels_of(X)
        part = _Part(self, known, labels, inner.astype(known.factors.dtype, copy=False))
        loss, n_rows = part.learn(y, weights)
        return Learned(part.merged(known), loss, n_rows)

    def options(self, seen: Seen) -> Options:
        """Return rates and penalties in the units in force."""
        params, scale = self.params, seen.scale
        rate = params.learning_rate
        if rate == "auto":
            rate = dict(self.solver.online_rate)[self.layout.interactions]
        options = online_options(
            self.solver,
            loss=self.loss.name,
            mean_square=seen.mean_square,
            learning_rate=rate,
            learning_rate_linear=params.learning_rate_linear,
            by_weight=self.step == "adagrad_weight",
            l2_factors=params.l2_factors * scale / seen.weight,
            l2_linear=params.l2_linear / seen.weight,
            l1_linear=params.l1_linear * scale,
            huber_delta=HUBER_DELTA * scale,
            fit_linear=params.fit_linear,
            fit_bias=params.fit_intercept,
            counting=True,
        )
        by_linear = 1.0 if self.step == "sgd" else scale
        by_factor = 1 / scale if self.step == "sgd" else scale**0.5
        return replace(
            options,
            learning_rate=options.learning_rate * by_factor,
            learning_rate_linear=options.learning_rate_linear * by_linear,
        )


def _labels_of(X: Any) -> tuple[Array, Any]:
    """Return the columns that have a value, ascending, and X over them alone."""
    n_columns = X.shape[1]
    if X.nnz < n_columns // 8:
        labels, indices = np.unique(X.indices, return_inverse=True)
    else:
        is_there = np.zeros(n_columns, bool)
        is_there[X.indices] = True
        labels = np.flatnonzero(is_there)
        place = np.cumsum(is_there, dtype=np.int32) - np.int32(1)
        indices = place[X.indices]
    inner = type(X)(
        (X.data, indices.astype(np.int32, copy=False), X.indptr),
        shape=(X.shape[0], len(labels)),
    )
    inner.has_canonical_format = True
    return labels.astype(np.int64, copy=False), inner


class _Part:
    """The labels of one chunk of rows, on their way."""

    def __init__(self, stream: Stream, known: Known, labels: Array, X: Any) -> None:
        self.stream, self.labels, self.X = stream, labels, X
        state: Any = known.state
        self.state: SolverState = state
        self.seen = state.seen
        # Whether learning started again: then no label is trained but those of the part.
        self.is_new = False
        layout = replace(stream.layout, fields=stream.layout.fields[labels])
        self.layout = layout
        scheme = layout.scheme(stream.loss.n_outputs)
        self.table = Table(scheme, len(labels), known.factors.dtype, stream.step)
        self._draw(slice(None))
        self._fill(known)

    @property
    def counts(self) -> Array:
        """Rows with each label so far: a view of the table."""
        return self.table.rows[:, self.table.places[4]]

    def learn(self, y: Array, weights: Array) -> tuple[float, int]:
        """Take a step per row; return the mean loss before each, and the rows taken."""
        stream, dtype, n_rows = self.stream, self.table.dtype, len(y)
        targets = (y - self.seen.shift) / self.seen.unit
        squares = row_norms(self.X, squared=True)
        arrays = targets.astype(dtype), (weights / self.seen.weight).astype(dtype)
        largest = chunk_rows(int(self.X.nnz / n_rows * self.table.scheme.length))
        total, first = 0.0, 0
        while first < n_rows:
            if self.seen.changes_units:
                self._measure(targets[first : first + 1], squares[first : first + 1])
            options = stream.options(self.seen)
            size = min(self.seen.rows_to_change, largest, n_rows - first)
            loss, done = self._steps(arrays, options, first, size)
            total += loss / self.seen.scale**2
            rows = slice(first, first + done)
            self.seen = self.seen.plus(self._measurable(targets[rows]), squares[rows])
            first += done
            if done < size:
                break
        return total / max(first, 1), first

    def _measurable(self, targets: Array) -> Array:
        return self.seen.clip(targets) if self.stream.loss.name == "huber" else targets

    def _measure(self, target: Array, square: Array) -> None:
        """Find the units from the rows so far and the next one; begin labels anew."""
        stream, before = self.stream, self.seen
        after = before.plus(self._measurable(target), square).measured(
            center=stream.params.fit_intercept, scaled=stream.is_scaled
        )
        units = ("mean_square", "mean", "scale")
        self.seen = replace(before, **{name: getattr(after, name) for name in units})
        if before.starts_again:
            self.is_new = True
            self.counts[:] = 0
            self._draw_bias()
        self._draw(np.flatnonzero(self.counts == 0))

    def _draw_bias(self) -> None:
        """Start from the mean, where the loss has one."""
        table, seen, n_outputs = self.table, self.seen, self.stream.loss.n_outputs
        start = 0.0
        if self.stream.params.fit_intercept:
            if self.stream.is_scaled:
                start = seen.mean
            elif self.stream.loss.name == "poisson":
                start = float(np.log(seen.mean or 0.5))
        table.bias[:n_outputs] = start
        states = start_states(seen.mean_square)
        table.bias[n_outputs:] = states["linear_state"] * seen.scale**2

    def _draw(self, which: Any) -> None:
        """Give labels without a row their first factors and states."""
        labels, scale = self.labels[which], self.seen.scale
        fresh = Table(
            self.table.scheme, len(labels), self.table.dtype, self.stream.step
        )
        states = start_states(self.seen.mean_square)
        begin = Table.start if compiled.available() else online.start
        begin(
            fresh,
            np.zeros(len(labels), np.int32),
            np.zeros(self.stream.loss.n_outputs),
            init_scale=self.stream.params.init_scale * scale**0.5,
            state=states["state"] * scale**3,
            linear_state=states["linear_state"] * scale**2,
            seed=self.state.seed,
            labels=labels,
        )
        fresh.rows[:, self.table.places[4]] = 0
        self.table.rows[which] = fresh.rows

    def _fill(self, known: Known) -> None:
        """Copy the labels that were trained, and the bias."""
        table, unit = self.table, self.seen.unit
        trained = np.flatnonzero(self.state.counts[self.labels] > 0)
        labels = self.labels[trained]
        for whole, part, by in self._parts(known, np.sqrt(unit), unit):
            part[trained] = whole[labels] / table.dtype.type(by)
        table.bias[:] = self.state.bias

    def _parts(
        self, known: Known, by_factor: float, by_linear: float
    ) -> list[tuple[Array, Array, float]]:
        """Return (array of all columns, view of the table, unit) of every part."""
        state: Any = known.state
        views = self.table.states(state.step)
        parts = [
            (known.factors, self.table.factors, by_factor),
            (known.linear, self.table.linear, by_linear),
            (state.counts, self.counts, 1.0),
        ]
        parts += [(getattr(state, name), view, 1.0) for name, view in views.items()]
        return parts

    def merged(self, known: Known) -> Known:
        """Write the labels of the part where they came from; return all columns."""
        unit, table = self.seen.unit, self.table
        n_outputs = table.scheme.n_outputs
        bias = table.bias[:n_outputs].astype(np.float64) * unit + self.seen.shift
        state = replace(self.state, bias=table.bias.copy(), seen=self.seen)
        trained = np.flatnonzero(self.counts > 0)
        labels = self.labels[trained]
        for whole, part, by in self._parts(known, np.sqrt(unit), unit):
            if self.is_new:
                whole[:] = 0
            whole[labels] = part[trained] * table.dtype.type(by)
        return known._replace(bias=bias, state=state)

    def _steps(
        self, arrays: tuple[Array, Array], options: Options, first: int, n_rows: int
    ) -> tuple[float, int]:
        if not compiled.available():
            return self._slow_steps(arrays, options, first, n_rows)
        counts = np.bincount(self.X.indices, minlength=len(self.labels))
        threads = Threads.of(self.stream.n_threads, counts.astype(np.int32), n_rows)
        return compiled.train(
            self.table,
            Rows.of(self.X),
            *arrays,
            options,
            first=first,
            n_rows=n_rows,
            threads=threads,
        )

    def _slow_steps(
        self, arrays: tuple[Array, Array], options: Options, first: int, n_rows: int
    ) -> tuple[float, int]:
        """Take the same steps without the core; none if one is not finite."""
        rows = slice(first, first + n_rows)
        ids, n_bags, is_sorted = self.layout.cut()
        flat = to_flat(self.X[rows], ids, n_bags, ids_sorted=is_sorted)
        bags = online.Bags(*flat[:3], n_bags, self.layout.intra_field)
        parameters = online.Parameters.of_table(self.table, options.step)
        target, weight = (array[rows] for array in arrays)
        with np.errstate(all="ignore"):
            loss = online.train(parameters, bags, target, weight, options)
        if not np.isfinite(loss) or not parameters.is_finite():
            return 0.0, 0
        parameters.write(self.table, options.step)
        return loss, n_rows
