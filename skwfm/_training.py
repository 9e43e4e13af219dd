"""From checked rows to fitted arrays: the choice of the solver and its training loop.

Three ways: full batch for few rows, online steps in the compiled core, mini-batches in
torch. Each trains a torch module and returns arrays in coded units.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skwfm import _validation as val
from skwfm._bags import merge_rows
from skwfm._device import resolve_device
from skwfm._draws import SweepRows, burn_in, is_small, needs_float64, start_scale
from skwfm._dropout import FactorDropout
from skwfm._held_out import held_out
from skwfm._kernels import compiled
from skwfm._loop import LoopNet, is_one_of_many
from skwfm._losses import HUBER_DELTA, Loss, Target
from skwfm._memory import room_for
from skwfm._model import Layout, arrays_of
from skwfm._net import BagDataset, BagNet, stopping_callbacks
from skwfm._online import OnlineNet, OnlineRows, online_callbacks
from skwfm._optimizers import resolve_solver
from skwfm._samples import Samples
from skwfm._size_validation import check_vector_length
from skwfm._solver_validation import (
    check_swept,
    device_error,
    dropout_error,
    own_solver,
    schedule_error,
)
from skwfm._solvers import (
    Solver,
    auto_batch_size,
    chunk_rows,
    online_options,
    start_states,
)
from skwfm._state import Known, Seen, SolverState, usable_mean_square
from skwfm._stream import Stream
from skwfm._sweeps import sweep_net
from skwfm._verdict import scorer, warn_if_useless
from skwfm.nn._fm import FactorModule

__all__ = ["Fitted", "Problem", "fitted_so_far", "room_for_table", "train"]

Array = npt.NDArray[Any]


class Problem(NamedTuple):
    """What to learn from; all weights are positive."""

    X: Any
    """Canonical CSR."""
    values: Any
    """None once they are coded."""
    weights: Any
    """None where all are 1."""
    loss: Loss
    eval_set: tuple[Any, Array] | None
    layout: Layout
    dtype: np.dtype[Any]
    """What many rows are trained in."""
    known: Known | None = None
    """Parameters to start from, for all columns."""
    watchers: tuple[Any, ...] = ()
    """Callbacks of skorch's that see each epoch before the user's do."""


class Fitted(NamedTuple):
    """Parameters in coded units, and how they came about."""

    table: Array
    """Shape (n_columns, n_outputs * values_per_label)."""
    linear: Array | None
    """Shape (n_columns, n_outputs)."""
    bias: Array | None
    """Shape (n_outputs,)."""
    target: Target
    history: dict[str, list[float]]
    n_iter: int
    best_iter: int
    state: SolverState | None
    """What training may go on with; none in the midst of it."""
    samples: Samples | None = None
    """Draws of the parameters, in units of y."""


def train(params: Any, problem: Problem, rng: np.random.RandomState) -> Fitted:
    """Train as the parameters of an estimator say.

    Parameters
    ----------
    params : estimator
        Read only.
    problem : Problem
        Rows and targets.
    rng : RandomState
        Decides the start, the rows held out and their order.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C came before the first epoch was over, or inside a search.
    """
    solver, online = _solver(params, problem)
    X, values, weights = problem.X, problem.values, problem.weights
    if solver.full_batch:
        X, values, weights = merge_rows(X.astype(np.float64), values, weights)
    target = problem.loss.encode(values, weights, center=params.fit_intercept)
    is_wide = solver.sweeps and needs_float64(X)
    wide = solver.full_batch or is_wide or not target.fits_float32
    dtype = np.dtype(np.float64) if wide else problem.dtype
    if (weights == 1).all():
        weights = None
    # The values are coded: nothing holds them any longer.
    problem = problem._replace(
        X=X.astype(dtype, copy=False), values=None, weights=weights, dtype=dtype
    )
    del X, values, weights
    sizes = problem.layout, problem.X.shape[1], problem.loss.n_outputs, dtype
    step = Stream.of(params, problem.loss, problem.layout).step if online else None
    # torch holds the gradients of all parameters beside them.
    with room_for_table(*sizes, step=step, n_copies=2 - online):
        kind = _train_sweeps if solver.sweeps else _train_torch
        fit = _train_online if online else kind
        fitted = fit(params, problem, solver, target, rng)
    if fitted.best_iter and not solver.sweeps:
        loss = fitted.history["train_loss"][fitted.best_iter - 1]
        columns = problem.layout.fields, params.field_names_
        told = problem.loss, target, problem.weights, problem.X
        model = fitted.table, fitted.linear, fitted.bias
        warn_if_useless(loss, *told, *columns, scorer(problem.layout, problem.X, model))
    return fitted


def room_for_table(
    layout: Layout,
    n_columns: int,
    n_outputs: int,
    dtype: np.dtype[Any],
    *,
    step: str | None = None,
    n_copies: int = 1,
) -> AbstractContextManager[None]:
    """Raise MemoryError where the parameters cannot fit, see `room_for`.

    With a kind of step they lie in a table of the core, with their states.
    """
    check_vector_length(n_outputs * layout.values_per_label, layout.n_factors)

    def n_bytes(n_factors: int) -> int:
        part = replace(layout, n_factors=n_factors)
        if step is not None:
            scheme = part.scheme(n_outputs)
            return compiled.table_bytes(scheme, n_columns, dtype, step)
        n_values = n_columns * n_outputs * part.values_per_label
        return n_copies * n_values * dtype.itemsize

    return room_for(n_columns, layout.n_factors, n_bytes)


def _solver(params: Any, problem: Problem) -> tuple[Solver, bool]:
    """Return the solver, and whether the compiled core does the work."""
    layout, n_outputs = problem.layout, problem.loss.n_outputs
    n_rows, n_columns = problem.X.shape
    has_core = compiled.available()
    can_core = has_core and not params.dropout
    on_cpu = resolve_device(params.device, core=can_core).type == "cpu"
    in_core = on_cpu and can_core
    solver = resolve_solver(
        own_solver(params.solver, problem.loss.name),
        params.solver_params,
        n_rows=n_rows,
        n_parameters=n_columns * layout.values_per_label * n_outputs,
        values_per_row=layout.values_per_row(n_outputs, problem.X.nnz / n_rows),
        online=in_core,
        dropout=params.dropout > 0,
    )
    _check_serves(params, solver)
    if solver.sweeps:
        if params.device != "auto" and not on_cpu:
            raise ValueError(device_error(params.device, solver.name))
        loss = problem.loss.name, problem.loss.n_classes
        check_swept(solver.name, layout.interactions, *loss)
        if not (has_core or is_small(problem.X)):
            raise ValueError(val.core_error(solver.name))
    elif solver.optimizer is None and not in_core:
        raise ValueError(val.core_error(solver.name))
    wanted = solver.online or solver.sweeps
    wanted = wanted or (params.solver == "auto" and not solver.full_batch)
    if wanted and not has_core and (on_cpu or solver.sweeps):
        val.warn_no_core()
    return solver, solver.online and in_core


def _check_serves(params: Any, solver: Solver) -> None:
    """Raise where a parameter asks for what the solver does not do."""
    if params.l1_linear and solver.name != "ftrl":
        raise ValueError(val.l1_error(params.l1_linear, solver.name))
    if params.dropout and (solver.optimizer is None or solver.full_batch):
        raise ValueError(dropout_error(params.dropout, solver.name))
    schedule = params.learning_rate_schedule
    keeps_rate = solver.full_batch or solver.sweeps
    if keeps_rate and schedule not in ("auto", "constant"):
        raise ValueError(schedule_error(schedule, solver.name))


def _train_online(
    params: Any,
    problem: Problem,
    solver: Solver,
    target: Target,
    rng: np.random.RandomState,
) -> Fitted:
    """Train in the compiled core."""
    data = OnlineRows(problem.X, target, problem.weights)
    train, valid = held_out(params, problem, data, target, solver, rng)
    layout, n_columns = problem.layout, problem.X.shape[1]
    counts, mean_square = compiled.count_labels(train.rows, n_columns)
    mean_square = usable_mean_square(mean_square)
    rate = params.learning_rate
    if rate == "auto":
        rate = dict(solver.online_rate)[layout.interactions]
    options = online_options(
        solver,
        loss=problem.loss.name,
        mean_square=mean_square,
        learning_rate=rate,
        learning_rate_linear=params.learning_rate_linear,
        by_weight=solver.name == "adagrad" and params.adagrad_state == "weight",
        # Weights have mean 1, so the penalties keep their size beside the losses.
        l2_factors=params.l2_factors * len(train) / train.total_weight,
        l2_linear=params.l2_linear * len(train) / train.total_weight,
        l1_linear=params.l1_linear,
        huber_delta=HUBER_DELTA,
        fit_linear=params.fit_linear,
        fit_bias=params.fit_intercept,
    )
    scheme = layout.scheme(problem.loss.n_outputs)
    table = compiled.Table(scheme, n_columns, problem.dtype, options.step)
    seed = int(rng.randint(2**31))
    table.start(
        counts,
        target.start,
        init_scale=params.init_scale,
        seed=seed,
        **start_states(mean_square),
    )
    if problem.known is not None:
        known = Stream.of(params, problem.loss, layout).resumed(problem.known)
        bias = table.bias[: scheme.n_outputs] if params.fit_intercept else None
        known.write(target, table.factors, table.linear, bias)
        known.state.restore(table, target.scale)
    stopping = online_callbacks(
        n_bytes=table.factors.size * table.dtype.itemsize,
        schedule=params.learning_rate_schedule,
        **_rule(params, valid),
    )
    n_threads = params._n_threads()
    net = OnlineNet(
        _module(table, layout, params),
        problem.loss,
        table=table,
        options=options,
        threads=compiled.Threads.of(n_threads, counts, len(train)),
        has_guests=bool(params.callbacks),
        lr=rate,
        batch_size=_chunk(params, problem),
        device="cpu",
        **_loop(params, solver, valid, rng, [*stopping, *problem.watchers]),
    )
    record = _run(net, train)
    # The table gives its memory to the factors once nothing else looks at it.
    net.module_ = net.module = net.optimizer_ = None
    seen = Seen.of_fit(
        target.shift,
        target.scale,
        train.total_weight / len(train),
        len(train),
        mean_square,
    )
    state = SolverState.of_table(table, options, seed, counts, seen)
    factors, linear = table.compact()
    bias = table.bias[: scheme.n_outputs]
    return Fitted(
        factors,
        linear if params.fit_linear else None,
        bias if params.fit_intercept else None,
        target,
        *record,
        state,
    )


def _module(table: compiled.Table, layout: Layout, params: Any) -> FactorModule:
    """Return the torch module that looks at a table."""
    linear = table.linear if params.fit_linear else None
    bias = table.bias[: table.scheme.n_outputs] if params.fit_intercept else None
    return layout.build(table.factors, linear, bias)


def _chunk(params: Any, problem: Problem) -> int:
    if params.batch_size != "auto":
        return int(params.batch_size)
    length = problem.layout.values_per_label * problem.loss.n_outputs
    return chunk_rows(int(problem.X.nnz / problem.X.shape[0] * length))


def _train_torch(
    params: Any,
    problem: Problem,
    solver: Solver,
    target: Target,
    rng: np.random.RandomState,
) -> Fitted:
    """Train by a torch optimizer."""
    weights = np.ones(problem.X.shape[0])
    if problem.weights is not None:
        weights = problem.weights
    data = BagDataset(problem.X, problem.layout.cut(), target, weights)
    train, valid = held_out(params, problem, data, target, solver, rng)
    seed = int(rng.randint(2**31))
    start = _start(params, problem, target, seed)
    net = _torch_net(params, problem, solver, start, train, valid, rng)
    record = _run(net, train)
    arrays = arrays_of(net.module_)
    stream = Stream.of(params, problem.loss, problem.layout)
    kept = stream.observed(problem.X, weights, target, *arrays, seed)
    return Fitted(*arrays, target, *record, kept)


def fitted_so_far(net: LoopNet, target: Target) -> Fitted:
    """Return what a net in training has learned by the last epoch, as a copy."""
    table, linear, bias = arrays_of(net.module_)
    epoch = net.good_epoch() if net.went_back_ else net.n_epochs()
    record = net.curves(), net.n_epochs(), epoch
    return Fitted(table.copy(), linear, bias, target, *record, None)


def _torch_net(
    params: Any,
    problem: Problem,
    solver: Solver,
    start: FactorModule,
    train: BagDataset,
    valid: BagDataset | None,
    rng: np.random.RandomState,
) -> BagNet:
    layout = problem.layout
    learning_rate = params.learning_rate
    if learning_rate == "auto":
        learning_rate = dict(solver.learning_rate)[layout.interactions]
    batch_size = params.batch_size
    if batch_size == "auto":
        mean_entries = problem.X.nnz / problem.X.shape[0]
        values = layout.values_per_row(problem.loss.n_outputs, mean_entries)
        batch_size = auto_batch_size(len(train), values)
    stopping = stopping_callbacks(
        solver=solver,
        max_iter=_max_iter(params, solver),
        learning_rate=float(learning_rate),
        schedule=params.learning_rate_schedule,
        **_rule(params, valid),
    )
    # The penalties are relative to the sum of the losses, the loss is a mean.
    decay = {"bag.emb.weight": params.l2_factors, "linear": params.l2_linear}
    device = params.device
    if solver.full_batch and device == "auto":
        device = "cpu"  # few rows
    dropout = None
    if params.dropout:
        seed = int(rng.randint(2**31))
        dropout = FactorDropout(params.dropout, layout.n_factors, seed)
    return BagNet(
        start,
        problem.loss,
        solver=solver,
        dropout=dropout,
        weight_decay={key: l2 / train.total_weight for key, l2 in decay.items()},
        lr=learning_rate,
        batch_size=batch_size,
        device=str(resolve_device(device, float64=solver.full_batch)),
        **_loop(params, solver, valid, rng, [*stopping, *problem.watchers]),
    )


def _train_sweeps(
    params: Any,
    problem: Problem,
    solver: Solver,
    target: Target,
    rng: np.random.RandomState,
) -> Fitted:
    """Train by sweeps over the labels."""
    data = SweepRows(problem.X, target, problem.weights)
    train, valid = held_out(params, problem, data, target, solver, rng)
    seed = int(rng.randint(2**31))
    scale = start_scale(solver.name, problem.loss)
    start = _start(params, problem, target, seed, scale)
    max_iter, known = _max_iter(params, solver), problem.known
    net = sweep_net(
        params,
        solver.name,
        problem.layout,
        start,
        train,
        target,
        criterion=problem.loss,
        n_burn_in=burn_in(params, solver.name, max_iter, goes_on=known is not None),
        goes_on=known is not None,
        spread=None if known is None else known.spread,
        rule=_rule(params, valid),
        **_loop(params, solver, valid, rng, list(problem.watchers)),
    )
    record = _run(net, train)
    arrays, samples = net.result()
    stream = Stream.of(params, problem.loss, problem.layout)
    weights = np.ones(len(data)) if problem.weights is None else problem.weights
    kept = stream.observed(problem.X, weights, target, *arrays, seed)
    return Fitted(*arrays, target, *record, kept, samples)


def _max_iter(params: Any, solver: Solver) -> int:
    return solver.max_iter if params.max_iter == "auto" else int(params.max_iter)


def _start(
    params: Any, problem: Problem, target: Target, seed: int, by: float = 1.0
) -> FactorModule:
    """Return the module to train: small random factors, no linear term."""
    layout, dtype, n_columns = problem.layout, problem.dtype, problem.X.shape[1]
    n_outputs = len(target.start)
    draw = np.random.default_rng(seed)
    shape = (n_columns, layout.values_per_label * n_outputs)
    table = draw.standard_normal(shape, dtype=dtype)
    table *= by * params.init_scale
    linear = np.zeros((n_columns, n_outputs), dtype) if params.fit_linear else None
    bias = target.start.astype(dtype) if params.fit_intercept else None
    if problem.known is not None:
        problem.known.write(target, table, linear, bias)
    return layout.build(table, linear, bias)


def _rule(params: Any, valid: Any) -> dict[str, Any]:
    """Return when every loop stops."""
    return {
        "early_stopping": valid is not None and params.early_stopping is not False,
        "patience": params.n_iter_no_change,
        "tol": params.tol,
    }


def _loop(
    params: Any,
    solver: Solver,
    valid: Any,
    rng: np.random.RandomState,
    stopping: list[Any],
) -> dict[str, Any]:
    """Return the options of every loop."""
    return {
        "random_state": rng,
        "valid": valid,
        "max_epochs": _max_iter(params, solver),
        # Ours first: a user's that stops must not hide the epoch from them.
        "callbacks": [*stopping, *val.check_callbacks(params.callbacks)],
        "verbose": int(params.verbose),
    }


def _run(net: LoopNet, data: Any) -> tuple[dict[str, list[float]], int, int]:
    """Run the epochs; return the curves, their number and the one kept."""
    net.fit(data, None)
    if net.optimizer_ is not None:
        # A scheduler of the user's holds it, and would hold (and pickle) all it knows.
        net.optimizer_.state.clear()
        for group in net.optimizer_.param_groups:
            group["params"] = []
    if net.interrupted_:
        if net.n_epochs() == 0 or is_one_of_many():
            raise KeyboardInterrupt
        val.warn_interrupted(net.kept_epoch())
    return net.curves(), net.n_epochs(), net.kept_epoch()
