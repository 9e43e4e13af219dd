"""The compiled core: what it takes, from plain arrays and tables to scores and steps.

Rows are those of a canonical CSR matrix, in any order. A `Scheme` says how they are cut
into bags and which pairs count. Scores come from any factors whose labels lie at a
constant distance; training needs a `Table`, which keeps all that an update of a label
touches side by side. Nothing here checks input or words errors.

Without a compiler the package installs without the core: ask `available()`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

try:
    from skwfm._kernels import _core
except ImportError:  # installed without a compiler
    _core = None  # type: ignore[assignment]

__all__ = [
    "Options",
    "Rows",
    "Scheme",
    "Table",
    "Threads",
    "available",
    "core",
    "count_labels",
    "n_threads",
    "score",
    "table_bytes",
    "train",
]

LOSSES = {"squared": 0, "logistic": 1, "softmax": 2, "huber": 3, "poisson": 4}
STEPS = {"adagrad": 0, "adagrad_weight": 1, "sgd": 2, "ftrl": 3}

CACHE_LINE = 64
# Labels that threads have copies of (some two thirds of them find a slot, which is half
# of the slots), and the rows that a thread takes before it exchanges what it changed.
HOT_LABELS = 6144
MERGE_ROWS = 4096
# Labels moved at a time when a table becomes plain arrays.
COMPACT_ROWS = 2**14

Array = npt.NDArray[Any]


def core() -> Any:
    """Return the compiled core, or None where it was not built."""
    return _core


def available() -> bool:
    """Tell whether this installation has the compiled core."""
    return core() is not None


def n_threads(wanted: int) -> int:
    """Return how many threads to use: no more than there are processors."""
    return max(1, min(wanted, os.cpu_count() or 1))


@dataclass(frozen=True)
class Scheme:
    """How rows are cut into bags, and the pairs that count.

    Parameters
    ----------
    field_aware : bool
        FFM instead of FM.
    n_factors, n_fields, n_outputs : int
        Length k, fields F (of the table, for an FFM), and scores per row C.
    intra_field : bool
        Pairs inside a field count.
    field_ends : array of int64, shape (n_fields,), or None
        Last column of each field plus one, where the columns of each field stand
        together, in the order of the fields.
    field_of : array of int32, shape (n_columns,), or None
        The field of each column, otherwise. An FM with neither counts all pairs.
    """

    field_aware: bool
    n_factors: int
    n_fields: int
    n_outputs: int = 1
    intra_field: bool = False
    field_ends: Array | None = None
    field_of: Array | None = None

    @classmethod
    def of_fields(cls, field_ids: Array, is_sorted: bool, **sizes: Any) -> Scheme:
        """Return the scheme of a field id per column."""
        if not is_sorted:
            return cls(field_of=np.ascontiguousarray(field_ids, np.int32), **sizes)
        fields = np.arange(sizes["n_fields"])
        ends = np.searchsorted(field_ids, fields, side="right")
        return cls(field_ends=ends.astype(np.int64), **sizes)

    @property
    def length(self) -> int:
        """Numbers in a label's vector."""
        fields = self.n_fields if self.field_aware else 1
        return self.n_outputs * fields * self.n_factors

    def arguments(self) -> dict[str, Any]:
        """Return the fields as arguments of the core."""
        return vars(self)


@dataclass(frozen=True)
class Rows:
    """Rows of a canonical CSR matrix; those that matter, in the order to take them."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: Array
    order: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(cls, X: Any) -> Rows:
        """Share the arrays of a CSR matrix; only wide indices are copied."""
        indices = np.ascontiguousarray(X.indices, np.int32)
        indptr = np.ascontiguousarray(X.indptr, np.int64)
        return cls(indptr, indices, np.ascontiguousarray(X.data))

    def reordered(self, order: Array) -> Rows:
        """Return rows at some positions of the matrix, sharing the arrays."""
        order = np.ascontiguousarray(order, np.int64)
        return Rows(self.indptr, self.indices, self.values, order)

    def __len__(self) -> int:
        """Return the number of rows taken."""
        return len(self.indptr) - 1 if self.order is None else len(self.order)


def count_labels(rows: Rows, n_columns: int) -> tuple[npt.NDArray[np.int32], float]:
    """Return how many rows have each label, and the mean squared norm of a row."""
    counts = np.zeros(n_columns, np.int32)
    squares = _core.count(**vars(rows), n_rows=len(rows), counts=counts)
    return counts, squares / max(len(rows), 1)


@dataclass(frozen=True)
class Options:
    """What to minimise and how; rates are those of the parameters themselves."""

    loss: str
    step: str
    """A key of `STEPS`; ``"adagrad_weight"`` has a state per weight."""
    learning_rate: float
    learning_rate_linear: float
    l2_factors: float = 0.0
    """Relative to the sum of the losses: every row with a label takes its share."""
    l2_linear: float = 0.0
    l1_linear: float = 0.0
    huber_delta: float = 1.0
    fit_linear: bool = True
    fit_bias: bool = True
    counting: bool = False
    """The table holds the rows with each label so far, and counts on."""

    def arguments(self) -> dict[str, Any]:
        """Return the fields as arguments of the core."""
        codes = {"loss": LOSSES[self.loss], "step": STEPS[self.step]}
        return {**vars(self), **codes}


def score(
    scheme: Scheme,
    rows: Rows,
    factors: Array,
    linear: Array | None,
    bias: Array | None,
    *,
    first: int = 0,
    n_rows: int | None = None,
    n_threads: int = 1,
) -> Array:
    """Score rows; neither `n_threads` nor the other rows change a bit.

    Parameters
    ----------
    scheme : Scheme
        Cut and pairs.
    rows : Rows
        Rows to score.
    factors : array of shape (n_columns, scheme.length)
        Vectors; those of different labels may lie apart.
    linear : array of shape (n_columns, n_outputs) or None
        Linear coefficients, with any strides.
    bias : array of shape (n_outputs,) or None
        Intercept.
    first, n_rows : int
        Which part of the order to score; by default all.
    n_threads : int, default=1
        Threads to split the rows over.

    Returns
    -------
    array of shape (n_rows, n_outputs), of the dtype of `factors`
    """
    n_rows = len(rows) - first if n_rows is None else n_rows
    out = np.empty((n_rows, scheme.n_outputs), factors.dtype)
    _core.score(
        **scheme.arguments(),
        **vars(rows),
        offsets=None,
        first=first,
        n_rows=n_rows,
        factors=factors,
        linear=linear,
        linear_offset=-1,
        bias=bias,
        out=out,
        n_threads=n_threads,
    )
    return out


class Table:
    """Parameters and optimizer states of all labels, a few cache lines for each.

    A row holds ``[vector][linear][linear state][linear z][state][count]`` and, with a
    state per weight, those on cache lines of their own. `factors` and `linear` are
    views; `bias` holds the intercepts and then their states. The count is 1 over that
    of `start`, or rows so far where these are being counted.
    """

    def __init__(
        self, scheme: Scheme, n_columns: int, dtype: Any, step: str = "adagrad"
    ) -> None:
        self.scheme = scheme
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.places, stride = _row_places(scheme, self.dtype, step)
        n_outputs = scheme.n_outputs
        per_line = CACHE_LINE // self.dtype.itemsize
        self._buffer: Array = np.empty(n_columns * stride + per_line, self.dtype)
        shift = -self._buffer.ctypes.data // self.dtype.itemsize % per_line
        part = self._buffer[shift : shift + n_columns * stride]
        self.rows: Array = part.reshape(n_columns, stride)
        self.bias: Array = np.zeros(2 * n_outputs, self.dtype)

    @property
    def factors(self) -> Array:
        """The vectors, shape (n_columns, length)."""
        return self.rows[:, : self.scheme.length]

    @property
    def linear(self) -> Array:
        """The linear coefficients, shape (n_columns, n_outputs)."""
        return self.rows[:, self.places[0] : self.places[0] + self.scheme.n_outputs]

    def start(
        self,
        counts: npt.NDArray[np.int32],
        bias: Array,
        *,
        init_scale: float,
        state: float,
        linear_state: float,
        seed: int,
        labels: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Draw the factors and set the states.

        Parameters
        ----------
        counts : array of int32, shape (n_columns,)
            Rows with each label: each of them takes its share of the penalty.
        bias : array of shape (n_outputs,)
            Intercepts to start from.
        init_scale : float
            Standard deviation of the factors, which are uniform.
        state, linear_state : float
            AdaGrad's sums of squares to start from.
        seed : int
            Decides the factors.
        labels : array of int64, shape (n_columns,), optional
            Numbers of the labels, which the factors depend on; by default their places.
        """
        self.bias[: self.scheme.n_outputs] = bias
        self.bias[self.scheme.n_outputs :] = linear_state
        _core.start(
            table=self.rows,
            length=self.scheme.length,
            n_outputs=self.scheme.n_outputs,
            places=self.places,
            counts=counts,
            init_scale=init_scale,
            state=state,
            linear_state=linear_state,
            seed=seed,
            labels=labels,
        )

    def states(self, step: str) -> dict[str, Array]:
        """Return views of what the steps remember of each label."""
        _, linear_state, linear_z, state, _, states = self.places
        n_outputs, length = self.scheme.n_outputs, self.scheme.length
        by_weight = self.rows[:, states : states + length]
        views = {
            "state": by_weight if step == "adagrad_weight" else self.rows[:, state],
            "linear_state": self.rows[:, linear_state : linear_state + n_outputs],
        }
        if step == "ftrl":
            views["linear_z"] = self.rows[:, linear_z : linear_z + n_outputs]
        return views

    def compact(self) -> tuple[Array, Array]:
        """Return factors and linear coefficients as plain arrays; the table is gone.

        The factors take the place of the table unless someone else still looks at it.
        """
        factors, linear = self.factors, np.ascontiguousarray(self.linear)
        shape, length = factors.shape, self.scheme.length
        del self.rows
        buffer = self.__dict__.pop("_buffer")
        # An array with one name and one view, as `buffer` should be by now.
        alone = np.empty(1)
        _view = alone[:]
        if sys.getrefcount(buffer) > sys.getrefcount(alone):
            return np.ascontiguousarray(factors), linear
        for start in range(0, shape[0], COMPACT_ROWS):
            part = factors[start : start + COMPACT_ROWS].ravel()
            buffer[start * length : start * length + part.size] = part
        del factors
        buffer.resize(shape[0] * length, refcheck=False)
        return buffer.reshape(shape), linear


def table_bytes(scheme: Scheme, n_columns: int, dtype: Any, step: str) -> int:
    """Return the size of a table."""
    _, stride = _row_places(scheme, np.dtype(dtype), step)
    return n_columns * stride * int(np.dtype(dtype).itemsize)


def _row_places(
    scheme: Scheme, dtype: np.dtype[Any], step: str
) -> tuple[list[int], int]:
    """Return where the parts of a row begin behind its vector, and its length."""
    length, n_outputs = scheme.length, scheme.n_outputs
    linear_z = length + 2 * n_outputs
    state = linear_z + (n_outputs if step == "ftrl" else 0)
    states = _padded(state + 2, dtype)
    stride = states
    if step == "adagrad_weight":
        stride += _padded(length, dtype)
    return [length, length + n_outputs, linear_z, state, state + 1, states], stride


def _padded(size: int, dtype: np.dtype[Any]) -> int:
    """Return the size of rows of which none lies on more cache lines than it must."""
    n_bytes = size * dtype.itemsize
    line = CACHE_LINE // 2 if n_bytes <= CACHE_LINE // 2 else CACHE_LINE
    return -(-n_bytes // line) * line // dtype.itemsize


class Threads(NamedTuple):
    """How several threads train: each has copies of the labels that most rows have.

    They share the rest of the table without locks (Niu et al., "Hogwild!", 2011).
    """

    n_threads: int = 1
    hot: npt.NDArray[np.int32] | None = None
    """Labels with copies, the commonest first."""
    shares: npt.NDArray[np.float32] | None = None
    """The share of the rows that have each of them."""
    interval: int = MERGE_ROWS
    """Rows that a thread takes before it exchanges the changes of its copies."""
    in_step: bool = False
    """Threads wait for each other at every exchange, so that their steps are made with
    as little knowledge of the others as with a processor for each."""

    @classmethod
    def of(cls, n_threads: int, counts: npt.NDArray[np.int32], n_rows: int) -> Threads:
        """Return the plan for some rows whose labels occur so many times."""
        n_threads = min(n_threads, max(n_rows, 1))
        if n_threads == 1:
            return cls()
        n_hot = min(HOT_LABELS, len(counts))
        most = np.argpartition(counts, len(counts) - n_hot)[-n_hot:]
        hot = most[np.argsort(-counts[most], kind="stable")].astype(np.int32)
        # Threads that meet rarely repeat each other's steps.
        interval = min(MERGE_ROWS, max(n_rows // (32 * n_threads), 1))
        shares = (counts[hot] / n_rows).astype(np.float32)
        return cls(n_threads, hot, shares, interval)


ALONE = Threads()


def train(
    table: Table,
    rows: Rows,
    target: Array,
    weight: Array | None,
    options: Options,
    *,
    first: int = 0,
    n_rows: int | None = None,
    scores: Array | None = None,
    threads: Threads = ALONE,
) -> tuple[float, int]:
    """Take one step per row, for some consecutive rows of an order.

    Parameters
    ----------
    table : Table
        Changed in place.
    rows : Rows
        All rows, in the order to take them.
    target, weight : arrays of shape (rows of the matrix,)
        Coded targets and weights, of the table's dtype; `weight` may be None.
    options : Options
        Loss, rates and penalties.
    first, n_rows : int
        Which part of the order to take.
    scores : array of shape (n_rows, n_outputs), optional
        Receives the score of each row before its step.
    threads : Threads
        With one thread the result is reproducible to the bit.

    Returns
    -------
    loss : float
        Sum of the losses before each step.
    done : int
        Rows taken. Fewer than `n_rows`: the score or the gradient of the next one was
        not finite.
    """
    result: tuple[float, int] = _core.train(
        **table.scheme.arguments(),
        **vars(rows),
        **options.arguments(),
        first=first,
        n_rows=len(rows) - first if n_rows is None else n_rows,
        target=target,
        weight=weight,
        scores=scores,
        table=table.rows,
        bias=table.bias,
        places=table.places,
        **threads._asdict(),
    )
    return result
