"""One pass over rows as they come, for `partial_fit`: a step per row, in order.

The result depends on the rows and their order alone, not on the calls they came in.
Hence nothing may be known of the rows to come:

- a label's penalty in its n-th row is ``l2 / n``, so that after each row the loss of
  all rows so far and one whole penalty are being minimised;
- the target is not scaled, but rates and penalties are, by the norms of rows and the
  deviation d of targets so far (`Seen`), to what they are for a standardised target: a
  rate r becomes ``r d`` for coefficients and ``r sqrt(d)`` for factors (sgd: r and
  ``r / d``), `l2_factors` counts d times;
- a label gets its first factors with its first row, by its number.

The first 16 rows only find out the units: at rows 2, 4, 8 and 16 learning starts again.

Cost: that of the core, and O(chunk) copies of the labels that the chunk has, whatever
the number of columns; where columns are added, one copy of all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.utils.extmath import row_norms

from skwfm._bags import to_flat
from skwfm._kernels import compiled, online
from skwfm._kernels.compiled import Options, Rows, Table, Threads
from skwfm._losses import HUBER_DELTA, Loss, Target
from skwfm._model import Layout
from skwfm._solvers import (
    ONLINE,
    SOLVERS,
    Solver,
    chunk_rows,
    online_options,
    start_states,
)
from skwfm._state import Known, Seen, SolverState, unit_of, usable_mean_square

__all__ = ["Learned", "Stream"]

Array = npt.NDArray[Any]
# The rate of sgd is halved at four times as many rows.
SGD_ROWS = 100


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

    @classmethod
    def of(cls, params: Any, loss: Loss, layout: Layout, n_threads: int = 1) -> Stream:
        """Return the stream of an estimator: AdaGrad where its solver is not online."""
        name = params.solver if params.solver in ONLINE else "adagrad"
        return cls(params, SOLVERS[name], loss, layout, n_threads)

    @property
    def step(self) -> str:
        """The kind of step, as in the core's `Options`."""
        by_weight = self.params.adagrad_state == "weight"
        name = self.solver.name
        return "adagrad_weight" if name == "adagrad" and by_weight else name

    def begin(self, n_columns: int, dtype: Any, y: float, w: float, seed: int) -> Known:
        """Return the model before its first row, of which y and weight are given."""
        params, n_outputs = self.params, self.loss.n_outputs
        shift = float(y) if self.loss.is_scaled and params.fit_intercept else 0.0
        unit = unit_of(y) if self.loss.is_scaled else 1.0
        first = () if self.loss.is_robust else None
        length = self.layout.values_per_label * n_outputs
        state = SolverState.begun(
            self.loss.name,
            self.step,
            seed,
            counts=np.zeros(n_columns),
            length=length,
            bias=np.zeros(n_outputs, dtype),
            seen=Seen(shift, unit, float(w), first=first),
        )
        factors = np.zeros((n_columns, length), dtype)
        bias = np.full(n_outputs, shift)
        return Known(factors, np.zeros((n_columns, n_outputs), dtype), bias, state)

    def observed(
        self,
        X: Any,
        weights: Array,
        target: Target,
        factors: Array,
        linear: Array | None,
        bias: Array | None,
        seed: int,
    ) -> SolverState:
        """Return the state after a pass over rows that moves nothing.

        Parameters
        ----------
        X : CSR matrix of shape (n_samples, n_columns)
            Canonical.
        weights : array of shape (n_samples,)
            Positive.
        target : Target
            As coded in a fit.
        factors, linear, bias : arrays
            Trained to predict the coded target; the last two may be None.
        seed : int
            For labels to come.
        """
        weight = float(weights.mean())
        standard = target.shift, target.scale
        seen = Seen.of_fit(*standard, weight, X.shape[0], _mean_square(X))
        start = np.zeros(self.loss.n_outputs) if bias is None else bias
        counts = _as_int32(np.bincount(X.indices, minlength=len(factors)))
        if not compiled.available() or self.loss.name not in compiled.LOSSES:
            own = (start * seen.scale).astype(factors.dtype)
            length = factors.shape[1]
            how = self.loss.name, self.step
            return SolverState.begun(*how, seed, counts, length, own, seen)
        scheme = self.layout.scheme(self.loss.n_outputs)
        table = Table(scheme, len(factors), factors.dtype, self.step)
        states = start_states(seen.mean_square)
        table.start(counts, start, init_scale=0.0, seed=seed, **states)
        table.factors[:], table.linear[:] = factors, 0.0 if linear is None else linear
        rows = Rows.of(X.astype(table.dtype, copy=False))
        options = replace(
            self.options(replace(seen, scale=1.0)),
            learning_rate=0.0,
            learning_rate_linear=0.0,
            counting=False,
        )
        targets = target.values.astype(table.dtype)
        own_weights = (weights / weight).astype(table.dtype)
        at_once = chunk_rows(int(X.nnz / X.shape[0] * scheme.length))
        for first in range(0, X.shape[0], at_once):
            size = min(at_once, X.shape[0] - first)
            compiled.train(
                table, rows, targets, own_weights, options, first=first, n_rows=size
            )
        return SolverState.of_table(table, options, seed, counts, seen)

    def resumed(self, known: Known) -> Known:
        """Return the same model with a state of this kind of step."""
        state = known.state
        if state.step == self.step:
            return known
        begun = SolverState.begun(
            state.loss,
            self.step,
            state.seed,
            state.counts,
            known.factors.shape[1],
            state.bias[: self.loss.n_outputs],
            state.seen,
        )
        return known._replace(state=begun)

    def learn(self, known: Known, X: Any, y: Array, weights: Array) -> Learned:
        """Take a step for every row; the arrays of `known` change when all is done.

        Parameters
        ----------
        known : Known
            With a state of this kind of step, for the columns of X.
        X : CSR matrix of shape (n_samples, n_columns)
            Canonical.
        y, weights : arrays of shape (n_samples,)
            Targets as numbers, and positive weights.
        """
        labels, inner = _labels_of(X)
        inner = inner.astype(known.factors.dtype, copy=False)
        part = _Part(self, known, labels, inner, y, weights)
        loss, n_rows = part.learn()
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
        by_linear, by_factor = scale, scale**0.5
        if self.step == "sgd":
            by_linear = (1 + seen.last_change / SGD_ROWS) ** -0.5
            by_factor = by_linear / scale
        return replace(
            options,
            learning_rate=options.learning_rate * by_factor,
            learning_rate_linear=options.learning_rate_linear * by_linear,
        )


def _mean_square(X: Any) -> float:
    return usable_mean_square(row_norms(X, squared=True).mean(dtype=np.float64))


def _as_int32(counts: Array) -> npt.NDArray[np.int32]:
    """Return counts with 32 bits; more than that makes no difference to a penalty."""
    return np.minimum(counts, np.iinfo(np.int32).max).astype(np.int32)


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

    def __init__(
        self,
        stream: Stream,
        known: Known,
        labels: Array,
        X: Any,
        y: Array,
        weights: Array,
    ) -> None:
        self.stream, self.labels, self.X = stream, labels, X
        self.y, self.weights, self.squares = y, weights, row_norms(X, squared=True)
        self.rows = Rows.of(X)
        self.state, self.seen = known.state, known.state.seen
        # Whether learning started again: then only labels of the part are trained.
        self.is_new = False
        layout = replace(stream.layout, fields=stream.layout.fields[labels])
        self.layout = layout
        scheme = layout.scheme(stream.loss.n_outputs)
        self.table = Table(scheme, len(labels), known.factors.dtype, stream.step)
        self.counts[:] = 0
        if not compiled.available():
            self.table.rows[:] = 0  # the slow steps look at all labels
        self._fill(known)
        self.arrays = self._arrays()

    @property
    def counts(self) -> Array:
        """Rows with each label so far: a view of the table."""
        return self.table.rows[:, self.table.places[4]]

    def learn(self) -> tuple[float, int]:
        """Take a step per row; return the mean loss before each, and the rows taken."""
        stream, n_rows = self.stream, len(self.y)
        largest = chunk_rows(int(self.X.nnz / n_rows * self.table.scheme.length))
        total, first = 0.0, 0
        while first < n_rows:
            if self.seen.changes_units:
                self._measure(first)
            options = stream.options(self.seen)
            size = min(self.seen.rows_to_change, largest, n_rows - first)
            self._draw(self._untrained(first, size))
            loss, done = self._steps(options, first, size)
            total += loss / self.seen.scale**2
            rows = slice(first, first + done)
            self.seen = self.seen.plus(*self._given(rows))
            first += done
            if done < size:
                break
        return total / max(first, 1), first

    def _given(self, rows: slice) -> tuple[Array, Array, Array]:
        return self.y[rows], self.weights[rows], self.squares[rows]

    def _arrays(self) -> tuple[Array, Array]:
        """Return targets and weights in the units of the core."""
        dtype = self.table.dtype
        with np.errstate(over="ignore"):  # the core finds what is not finite
            weights = self.weights / self.seen.weight
            return self.seen.coded(self.y).astype(dtype), weights.astype(dtype)

    def _measure(self, row: int) -> None:
        """Find the units from the rows so far and the next one."""
        self.seen = self.seen.measured(
            *self._given(slice(row, row + 1)),
            loss=self.stream.loss,
            center=self.stream.params.fit_intercept,
        )
        if self.seen.starts_again:
            self.is_new = True
            self.counts[:] = 0
            self.arrays = self._arrays()
            self._draw_bias()

    def _untrained(self, first: int, n_rows: int) -> Array:
        """Return the labels of some rows that had no row before."""
        start, end = self.X.indptr[[first, first + n_rows]]
        found = np.zeros(len(self.labels), bool)
        found[self.X.indices[start:end]] = True
        return np.flatnonzero(found & (self.counts == 0))

    def _draw_bias(self) -> None:
        """Start from the mean, where the loss has one."""
        table, seen, n_outputs = self.table, self.seen, self.stream.loss.n_outputs
        start = 0.0
        if self.stream.params.fit_intercept:
            if self.stream.loss.is_scaled:
                start = seen.mean
            elif self.stream.loss.name == "poisson":
                start = float(np.log(seen.mean or 0.5))
        table.bias[:n_outputs] = start
        states = start_states(seen.mean_square)
        table.bias[n_outputs:] = states["linear_state"] * seen.scale**2

    def _draw(self, which: Array) -> None:
        """Give labels their first factors and states."""
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
        trained = np.flatnonzero(self.state.counts[self.labels] > 0)
        labels = self.labels[trained]
        for whole, part, by in self._parts(known):
            part[trained] = whole[labels] if by == 1 else whole[labels] / by
        self.table.bias[:] = self.state.bias

    def _parts(self, known: Known) -> list[tuple[Array, Array, float]]:
        """Return (array of all columns, view of the table, unit) of every part."""
        state, unit = known.state, self.seen.unit
        views = self.table.states(state.step)
        parts = [
            (known.factors, self.table.factors, unit**0.5),
            (known.linear, self.table.linear, unit),
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
        forgets = self.is_new and self.state.seen.n_rows > 0
        for whole, part, by in self._parts(known):
            if len(labels) == len(whole):
                np.multiply(part, by, out=whole)
                continue
            if forgets:
                whole[:] = 0
            whole[labels] = part[trained] if by == 1 else part[trained] * by
        return known._replace(bias=bias, state=state)

    @cached_property
    def occurrences(self) -> npt.NDArray[np.int32]:
        """Rows of the part with each label."""
        return _as_int32(np.bincount(self.X.indices, minlength=len(self.labels)))

    def _steps(self, options: Options, first: int, n_rows: int) -> tuple[float, int]:
        if not compiled.available():
            return self._slow_steps(options, first, n_rows)
        threads = Threads()
        if self.stream.n_threads > 1:
            threads = Threads.of(self.stream.n_threads, self.occurrences, n_rows)
        return compiled.train(
            self.table,
            self.rows,
            *self.arrays,
            options,
            first=first,
            n_rows=n_rows,
            threads=threads,
        )

    def _slow_steps(
        self, options: Options, first: int, n_rows: int
    ) -> tuple[float, int]:
        """Take the same steps without the core; none if one is not finite."""
        rows = slice(first, first + n_rows)
        ids, n_bags, is_sorted = self.layout.cut()
        flat = to_flat(self.X[rows], ids, n_bags, ids_sorted=is_sorted)
        bags = online.Bags(*flat[:3], n_bags, self.layout.intra_field)
        parameters = online.Parameters.of_table(self.table, options.step)
        target, weight = (array[rows] for array in self.arrays)
        with np.errstate(all="ignore"):
            loss = online.train(parameters, bags, target, weight, options)
        if not np.isfinite(loss) or not parameters.is_finite():
            return 0.0, 0
        parameters.write(self.table, options.step)
        return loss, n_rows
