"""What the benchmark of ``solver="mcmc"`` measures: each part yields rows of the table.

The clock is CPU time of the process. For the curves it includes all that `fit` does,
the scoring of the test rows after every sweep too; myFM's matrix is converted to
float64 before its clock starts, and it scores nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from benchmarks import machine
from benchmarks.bayes_problems import HAS_RIDGE
from benchmarks.libraries._base import plain
from benchmarks.quality import ALPHAS
from benchmarks.synthetic import Synthetic
from skwfm import WeightedFMRegressor

__all__ = [
    "LEVELS",
    "MODELS",
    "OURS",
    "PEER",
    "Row",
    "calibration",
    "curves",
    "memory",
    "quality",
    "spread_of",
    "threads",
]

OURS, PEER, RIDGE, ADAGRAD = "mcmc", "myFM", "ridge", "adagrad"
MODELS = (OURS, PEER, RIDGE, ADAGRAD)
# Our default; of myFM's too a tenth is burn-in.
SWEEPS = 200
LEVELS = (0.5, 0.8, 0.9, 0.95)
# A picture needs more of them than the table.
SHOWN_LEVELS = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())
THREAD_REPEATS = 5
WARM_ROWS = 64
# Sweeps before those that are timed.
WARM_SWEEPS = 2
# Few, so that what they take stands apart from what a fit needs.
MEMORY_KEPT = 10


class Row(NamedTuple):
    """One number."""

    part: str
    problem: str
    model: str
    n_factors: int
    seed: int
    step: float
    """Sweep, repetition or level; 0 where there is none."""
    measure: str
    value: float


class Clock(Callback):  # type: ignore[misc]
    """Remember when every sweep ended."""

    def __init__(self) -> None:
        self.cpu = [time.process_time()]
        self.wall = [time.perf_counter()]

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Look at the clocks."""
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())


def has_peer() -> bool:
    """Tell whether myFM is installed."""
    return find_spec("myfm") is not None


def fit_peer(data: Synthetic, k: int, n_sweeps: int, seed: int) -> tuple[Any, float]:
    """Return a fitted myFM and the CPU seconds that it took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import myfm
    X = plain(data.X_train).astype(np.float64)
    y = data.y_train.astype(np.float64)
    model = myfm.MyFMRegressor(k, random_seed=seed)
    start = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        model.fit(
            X,
            y,
            n_iter=n_sweeps,
            n_kept_samples=max(n_sweeps - n_sweeps // 10, 1),
            group_shapes=list(data.sizes),
        )
    return model, time.process_time() - start


def _peer_rmse(model: Any, data: Synthetic) -> float:
    X = plain(data.X_test).astype(np.float64)
    return _rmse(data.y_test, model.predict(X))


def _rmse(y: Any, predicted: Any) -> float:
    return float(root_mean_squared_error(y, predicted))


def quality(
    name: str,
    data: Synthetic,
    seed: int,
    models: Sequence[str] = MODELS,
    n_sweeps: int = SWEEPS,
) -> Iterator[Row]:
    """Fit and score the models, all with their defaults and 8 factors."""
    warm_up(data)
    for model in models:
        if model == PEER and not has_peer():
            continue
        if model == PEER:
            peer, seconds = fit_peer(data, 8, n_sweeps, seed)
            rmse = _peer_rmse(peer, data)
        elif model == RIDGE and name not in HAS_RIDGE:
            continue
        else:
            estimator = _estimator(model, n_sweeps, seed)
            start = time.process_time()
            estimator.fit(data.X_train, data.y_train)
            seconds = time.process_time() - start
            rmse = _rmse(data.y_test, estimator.predict(data.X_test))
        for measure, value in (("rmse", rmse), ("cpu_seconds", seconds)):
            yield Row("quality", name, model, 8, seed, 0, measure, value)


def _estimator(model: str, n_sweeps: int, seed: int) -> Any:
    if model == RIDGE:
        scoring = "neg_root_mean_squared_error"
        return GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3, scoring=scoring)
    max_iter = n_sweeps if model == OURS else "auto"
    return WeightedFMRegressor(solver=model, max_iter=max_iter, random_state=seed)


def curves(
    name: str, data: Synthetic, k: int, sweeps: Sequence[int], seed: int
) -> Iterator[Row]:
    """Measure test RMSE and CPU seconds as sweeps are added.

    Parameters
    ----------
    name : str
        Of the problem.
    data : Synthetic
        Its rows.
    k : int
        Factors.
    sweeps : sequence of int
        How many for myFM, which has to start anew for each; ours does the last number.
    seed : int
        Of both.
    """
    warm_up(data)
    ours = zip(*_our_curve(data, k, sweeps[-1], seed), strict=True)
    points = [(OURS, at, *point) for at, point in enumerate(ours, start=1)]
    for n_sweeps in sweeps if has_peer() else ():
        peer, seconds = fit_peer(data, k, n_sweeps, seed)
        points.append((PEER, n_sweeps, seconds, _peer_rmse(peer, data)))
    for model, at, seconds, rmse in points:
        yield Row("curves", name, model, k, seed, at, "cpu_seconds", seconds)
        yield Row("curves", name, model, k, seed, at, "rmse", rmse)


def warm_up(data: Synthetic) -> None:
    """Let imports and first calls be no part of what is timed."""
    few = data.first(WARM_ROWS, WARM_ROWS)
    _our_curve(few, 2, 2, 0)
    if has_peer():
        fit_peer(few, 2, 2, 0)


def _our_curve(data: Synthetic, k: int, n_sweeps: int, seed: int) -> tuple[Any, Any]:
    """Return CPU seconds and the running mean's test RMSE after every sweep."""
    clock = Clock()
    model = WeightedFMRegressor(
        k,
        solver="mcmc",
        max_iter=n_sweeps,
        early_stopping=False,
        callbacks=[clock],
        random_state=seed,
    )
    model.fit(data.X_train, data.y_train, eval_set=(data.X_test, data.y_test))
    # The loss is half the square, of targets with variance 1.
    losses = 2 * np.asarray(model.history_["valid_loss"])
    rmse = np.sqrt(losses) * np.std(data.y_train, dtype=np.float64)
    return np.array(clock.cpu[1:]) - clock.cpu[0], rmse


def threads(name: str, data: Synthetic, k: int, n_sweeps: int) -> Iterator[Row]:
    """Time sweeps on one and two threads, which take turns."""
    warm_up(data)
    for repeat in range(THREAD_REPEATS):
        for n_jobs in (1, 2):
            clock = Clock()
            model = WeightedFMRegressor(
                k,
                solver="mcmc",
                max_iter=n_sweeps + WARM_SWEEPS,
                n_kept=1,
                callbacks=[clock],
                n_jobs=n_jobs,
                random_state=0,
            )
            model.fit(data.X_train, data.y_train)
            for measure, times in (("wall", clock.wall), ("cpu", clock.cpu)):
                seconds = float(np.median(np.diff(times)[WARM_SWEEPS:]))
                case = "threads", name, f"n_jobs={n_jobs}", k, 0, repeat
                yield Row(*case, f"{measure}_seconds", seconds)


def calibration(
    name: str, data: Synthetic, seed: int, n_sweeps: int = SWEEPS
) -> Iterator[Row]:
    """Count the test targets in central intervals of the normal distribution."""
    model = _estimator(OURS, n_sweeps, seed)
    model.fit(data.X_train, data.y_train)
    mean, std = model.predict(data.X_test, return_std=True)
    errors = np.abs(data.y_test - mean) / std
    for level in SHOWN_LEVELS:
        share = float((errors <= ndtri((1 + level) / 2)).mean())
        yield Row("calibration", name, OURS, 8, seed, level, "share", share)


def memory(name: str, k: int, options: Sequence[str]) -> Iterator[Row]:
    """Measure the memory of a fit in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bayes", "--memory-of", name, str(k)]
    done = subprocess.run(
        [*command, *options], check=True, capture_output=True, text=True
    )
    for measure, value in json.loads(done.stdout.splitlines()[-1]).items():
        yield Row("memory", name, OURS, k, 0, 0, measure, value)


def spread_of(data: Synthetic, k: int, few: Synthetic) -> dict[str, float]:
    """Return what a fit takes in this process, in MiB, beyond X and y.

    Parameters
    ----------
    data : Synthetic
        The rows.
    k : int
        Factors.
    few : Synthetic
        To fit first, so that imports and thread pools are not counted.
    """
    model = WeightedFMRegressor(
        k, solver="mcmc", max_iter=40, n_kept=MEMORY_KEPT, random_state=0
    )
    model.fit(few.X_train, few.y_train)
    X = data.X_train
    X.has_canonical_format  # noqa: B018  # remembered by X, not by the fit
    machine.return_memory()
    machine.reset_peak()
    before = machine.memory_now()
    model.fit(X, data.y_train)
    extra = machine.peak_memory() - before
    samples = model.samples_
    kept = samples.factors.nbytes + samples.linear.nbytes
    kept += 0 if samples.spread is None else samples.spread.nbytes
    # As float32 with column starts.
    csc = 8 * X.nnz + 4 * (X.shape[1] + 1)
    return {
        "extra_mib": extra,
        "kept_mib": kept / machine.MIB,
        "csc_mib": csc / machine.MIB,
        "ratio": (extra - kept / machine.MIB) / (csc / machine.MIB),
    }
