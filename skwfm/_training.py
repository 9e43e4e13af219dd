"""From checked rows to fitted arrays: the choice of the solver and its training loop.

Three ways: full batch for few rows, online steps in the compiled core, mini-batches in
torch. Each trains a torch module and returns arrays in coded units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from sklearn.model_selection import train_test_split

from skwfm import _validation as val
from skwfm._bags import merge_rows
from skwfm._device import resolve_device
from skwfm._kernels import compiled
from skwfm._loop import LoopNet
from skwfm._losses import HUBER_DELTA, Loss, Target
from skwfm._model import Layout
from skwfm._net import BagDataset, BagNet, stopping_callbacks
from skwfm._online import OnlineNet, OnlineRows, online_callbacks
from skwfm._solvers import (
    Solver,
    auto_batch_size,
    choose_solver,
    chunk_rows,
    online_options,
    start_states,
)
from skwfm.nn._fm import FactorModule

__all__ = ["Fitted", "Problem", "train"]

# Up to so many rows the penalty does more good than rows held out, by half a percent on
# ratings. A field-aware model overfits sooner, and an FM on long rows: its pair terms
# grow with the square of their length while the penalty stays.
EARLY_STOPPING_ROWS = {"fm": 200_000, "ffm": 10_000}
# Mean squared norm. Rows held out cost .5 % at 8 and 10 (ML-100K without and with
# history), gain 2 % at 19 (films, 1 for every label) and 30 % at 39 (clicks).
LONG_ROWS = 12.0
# Rates for rows of unit length need a length that is a number in float32 too.
MEAN_SQUARES = (1e-30, 1e30)

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
        If Ctrl-C came before the first epoch was over.
    """
    solver, online = _solver(params, problem)
    X, values, weights = problem.X, problem.values, problem.weights
    if solver.full_batch:
        X, values, weights = merge_rows(X.astype(np.float64), values, weights)
    target = problem.loss.encode(values, weights, center=params.fit_intercept)
    wide = solver.full_batch or not target.fits_float32
    dtype = np.dtype(np.float64) if wide else problem.dtype
    if (weights == 1).all():
        weights = None
    # The values are coded: nothing holds them any longer.
    problem = problem._replace(
        X=X.astype(dtype, copy=False), values=None, weights=weights, dtype=dtype
    )
    del X, values, weights
    if online:
        return _train_online(params, problem, solver, target, rng)
    return _train_torch(params, problem, solver, target, rng)


def _solver(params: Any, problem: Problem) -> tuple[Solver, bool]:
    """Return the solver, and whether the compiled core does the work."""
    layout, n_outputs = problem.layout, problem.loss.n_outputs
    n_rows, n_columns = problem.X.shape
    on_cpu = resolve_device(params.device, float64=False).type == "cpu"
    has_core = compiled.available()
    solver = choose_solver(
        params.solver,
        n_rows=n_rows,
        n_parameters=n_columns * layout.values_per_label * n_outputs,
        values_per_row=layout.values_per_row(n_outputs, problem.X.nnz / n_rows),
        online=on_cpu and has_core,
    )
    if params.l1_linear and solver.name != "ftrl":
        raise ValueError(val.l1_error(params.l1_linear, solver.name))
    if solver.optimizer is None and not (on_cpu and has_core):
        raise ValueError(val.core_error(solver.name))
    wanted = solver.online or (params.solver == "auto" and not solver.full_batch)
    if wanted and on_cpu and not has_core:
        val.warn_no_core()
    return solver, solver.online and on_cpu and has_core


def _train_online(
    params: Any,
    problem: Problem,
    solver: Solver,
    target: Target,
    rng: np.random.RandomState,
) -> Fitted:
    """Train in the compiled core."""
    data = OnlineRows(problem.X, target, problem.weights)
    train, valid = _held_out(params, problem, data, target, solver, rng)
    layout, n_columns = problem.layout, problem.X.shape[1]
    counts, mean_square = compiled.count_labels(train.rows, n_columns)
    mean_square = float(np.clip(mean_square, *MEAN_SQUARES)) if mean_square else 1.0
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
    table.start(
        counts,
        target.start,
        init_scale=params.init_scale,
        seed=int(rng.randint(2**31)),
        **start_states(mean_square),
    )
    stopping = online_callbacks(
        n_bytes=table.factors.size * table.dtype.itemsize, **_rule(params, valid)
    )
    n_threads = compiled.n_threads(effective_n_jobs(params.n_jobs))
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
        **_loop(params, valid, rng, stopping),
    )
    record = _run(net, train)
    # The table gives its memory to the factors once nothing else looks at it.
    net.module_ = net.module = net.optimizer_ = None
    factors, linear = table.compact()
    bias = table.bias[: scheme.n_outputs]
    return Fitted(
        factors,
        linear if params.fit_linear else None,
        bias if params.fit_intercept else None,
        target,
        *record,
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
    train, valid = _held_out(params, problem, data, target, solver, rng)
    net = _torch_net(params, problem, solver, target, train, valid, rng)
    record = _run(net, train)
    state = {
        name: part.detach().cpu().numpy()
        for name, part in net.module_.state_dict().items()
    }
    table = state.pop("bag.emb.weight")
    return Fitted(table, state.get("linear"), state.get("bias"), target, *record)


def _torch_net(
    params: Any,
    problem: Problem,
    solver: Solver,
    target: Target,
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
        max_iter=params.max_iter,
        learning_rate=float(learning_rate),
        **_rule(params, valid),
    )
    # The penalties are relative to the sum of the losses, the loss is a mean.
    decay = {"bag.emb.weight": params.l2_factors, "linear": params.l2_linear}
    device = params.device
    if solver.full_batch and device == "auto":
        device = "cpu"  # few rows
    return BagNet(
        _start(params, problem, target, rng),
        problem.loss,
        solver=solver,
        weight_decay={key: l2 / train.total_weight for key, l2 in decay.items()},
        lr=learning_rate,
        batch_size=batch_size,
        device=str(resolve_device(device, float64=solver.full_batch)),
        **_loop(params, valid, rng, stopping),
    )


def _start(
    params: Any, problem: Problem, target: Target, rng: np.random.RandomState
) -> FactorModule:
    """Return the module to train: small random factors, no linear term."""
    layout, dtype, n_columns = problem.layout, problem.dtype, problem.X.shape[1]
    n_outputs = len(target.start)
    draw = np.random.default_rng(rng.randint(2**31))
    shape = (n_columns, layout.values_per_label * n_outputs)
    table = draw.standard_normal(shape, dtype=dtype)
    table *= params.init_scale
    linear = np.zeros((n_columns, n_outputs), dtype) if params.fit_linear else None
    bias = target.start.astype(dtype) if params.fit_intercept else None
    return layout.build(table, linear, bias)


def _held_out(
    params: Any,
    problem: Problem,
    data: Any,
    target: Target,
    solver: Solver,
    rng: np.random.RandomState,
) -> tuple[Any, Any]:
    """Return the rows to learn from and those to stop by, or None."""
    if problem.eval_set is not None:
        X, y = problem.eval_set
        coded = target._replace(values=target.code(y))
        X = X.astype(problem.dtype, copy=False)
        if isinstance(data, OnlineRows):
            return data, OnlineRows(X, coded, None)
        return data, BagDataset(X, problem.layout.cut(), coded, np.ones(len(y)))
    if not _holds_rows_out(params, problem, solver):
        return data, None
    n_valid = val.check_validation_part(params.validation_fraction, len(data))
    classes = problem.loss.n_classes
    codes = val.strata(target.values, n_valid) if classes else None
    train, valid = train_test_split(
        np.arange(len(data)), test_size=n_valid, random_state=rng, stratify=codes
    )
    return data.part(train), data.part(valid)


def _holds_rows_out(params: Any, problem: Problem, solver: Solver) -> bool:
    if params.early_stopping != "auto":
        return bool(params.early_stopping)
    if solver.full_batch:
        return False
    kind = "ffm" if _has_long_rows(problem) else problem.layout.interactions
    return bool(problem.X.shape[0] > EARLY_STOPPING_ROWS[kind])


def _has_long_rows(problem: Problem) -> bool:
    values = problem.X.data
    return bool(np.vdot(values, values) > LONG_ROWS * problem.X.shape[0])


def _rule(params: Any, valid: Any) -> dict[str, Any]:
    """Return when every loop stops."""
    return {
        "early_stopping": valid is not None and params.early_stopping is not False,
        "patience": params.n_iter_no_change,
        "tol": params.tol,
    }


def _loop(
    params: Any, valid: Any, rng: np.random.RandomState, stopping: list[Any]
) -> dict[str, Any]:
    """Return the options of every loop."""
    return {
        "random_state": rng,
        "valid": valid,
        "max_epochs": params.max_iter,
        # Ours first: a user's that stops must not hide the epoch from them.
        "callbacks": [*stopping, *(params.callbacks or [])],
        "verbose": int(params.verbose),
    }


def _run(net: LoopNet, data: Any) -> tuple[dict[str, list[float]], int, int]:
    """Run the epochs; return the curves, their number and the one kept."""
    net.fit(data, None)
    if net.interrupted_:
        if net.n_epochs() == 0:
            raise KeyboardInterrupt
        val.warn_interrupted(net.kept_epoch())
    return net.curves(), net.n_epochs(), net.kept_epoch()
