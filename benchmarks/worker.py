"""One measurement in one process: ``python -m benchmarks.worker JOB`` prints JSON.

Every mode is a function from a job, its problem and the adapter to measurements, each
``(step, measure, value)``; the step counts epochs from 1 and is 0 where there are none.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import floor, machine, synthetic
from benchmarks.grid import TWO_PROCESSES, Job
from benchmarks.libraries import Library, get
from benchmarks.synthetic import Synthetic

__all__ = ["SkippedError", "measure"]

Measurement = tuple[int, str, float]
# Rows of the fit before a prediction: it takes as long with any parameters.
PREDICT_FIT_ROWS = 20_000
PREDICT_TIMES = 5
WARM_UP_ROWS = 64
IMPORT_CODE = """
import time, torch
start = time.perf_counter()
import skwfm
print(time.perf_counter() - start)
import narwhals.stable.v2, scipy.sparse, skorch.callbacks
import sklearn.compose, sklearn.model_selection, sklearn.preprocessing
start = time.perf_counter()
skwfm.WeightedFMRegressor
print(time.perf_counter() - start)
"""


class SkippedError(Exception):
    """The measurement is not possible here; the message says why."""


def measure(job: Job) -> list[Measurement]:
    """Make one measurement in this process."""
    if job.mode == "imports":
        return _imports()
    if job.mode == "floor":
        return _floor(job)
    adapter = get(job.library)
    if not adapter.available():
        raise SkippedError(f"{job.library} is not installed")
    missing = getattr(adapter, "missing", lambda params: [])(job.params)
    if missing:
        raise SkippedError(f"this version has no parameter {', '.join(missing)}")
    problem = _problem(job)
    reason = adapter.why_not(problem, job.model)
    if reason:
        raise SkippedError(reason)
    _warm_up(job, problem)
    return HANDLERS[job.mode](job, problem, adapter)


def _problem(job: Job) -> Synthetic:
    if job.problem == "scaled":
        spec = synthetic.scaled(**job.size)
        if job.quick:
            smaller = {"rows": 200, "fields": 4, "vocabulary": 200}
            spec = synthetic.scaled(**{**smaller, **job.size})
        return synthetic.make(spec)
    return synthetic.small(job.problem) if job.quick else synthetic.load(job.problem)


def _warm_up(job: Job, problem: Synthetic) -> None:
    """Let imports, thread pools and first calls be no part of what is measured."""
    few = problem.first(WARM_UP_ROWS, WARM_UP_ROWS)
    if job.mode == "memory":  # freed tables of the real size would hide new ones
        few = synthetic.small(job.problem, WARM_UP_ROWS, WARM_UP_ROWS)
    y = few.y_train.copy()
    if few.task == "logloss":
        y[:2] = [0, 1]  # both classes, whatever the rows
    _fit(replace(job, n_epochs=1), few._replace(y_train=y), get(job.library))


def _fit(job: Job, problem: Synthetic, adapter: Library, evaluate: bool = False) -> Any:
    curve = adapter.fit_curve(
        problem, job.model, job.k, job.n_epochs, evaluate=evaluate, **job.params
    )
    return np.array(curve)


def _epoch(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return the seconds of an epoch after the first."""
    curve = _fit(job, problem, adapter)
    return [
        (0, name, float(np.median(np.diff(curve[:, column]))))
        for column, name in enumerate(("cpu_seconds", "wall_seconds"))
    ]


def _quality(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return the whole curve."""
    curve = _fit(job, problem, adapter, evaluate=True)
    return [
        (step, name, float(value))
        for step, point in enumerate(curve, start=1)
        for name, value in zip(("cpu_seconds", "test"), point[[0, 2]], strict=True)
    ]


def _predict(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return rows per second; the fit before is short, on one thread."""
    few = problem.first(PREDICT_FIT_ROWS)
    _fit(replace(job, n_epochs=1), few, adapter)
    X = problem.X_test
    if job.option == TWO_PROCESSES:
        halves = X[: len(problem.y_test) // 2], X[len(problem.y_test) // 2 :]
        times = _at_once([lambda X=X: _predict_seconds(adapter, X)[1] for X in halves])
        return [(0, "rows_per_wall_second", X.shape[0] / max(times))]
    cpu, wall = X.shape[0] / _predict_seconds(adapter, X)
    return [(0, "rows_per_cpu_second", cpu), (0, "rows_per_wall_second", wall)]


def _predict_seconds(adapter: Library, X: Any) -> Any:
    """Return the medians of CPU and wall seconds."""
    adapter.predict(X)
    seconds = np.empty((PREDICT_TIMES, 2))
    for time_of in seconds:
        start = time.process_time(), time.perf_counter()
        adapter.predict(X)
        time_of[:] = time.process_time() - start[0], time.perf_counter() - start[1]
    return np.median(seconds, axis=0)


def _at_once(works: list[Callable[[], float]]) -> list[float]:
    """Return what functions return that run at the same time, each in a fork."""
    context = multiprocessing.get_context("fork")
    waiting = []
    for work in works:
        receiver, sender = context.Pipe(duplex=False)
        # The default arguments are of this work, not of the last one.
        process = context.Process(target=lambda s=sender, w=work: s.send(float(w())))
        process.start()
        sender.close()
        waiting.append((process, receiver))
    results = [receiver.recv() for _, receiver in waiting]
    for process, _ in waiting:
        process.join()
    return results


def _threads(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return wall seconds of an epoch and the loss after each."""
    if job.option == TWO_PROCESSES:
        half = problem.first(len(problem.y_train) // 2)
        times = _at_once([lambda: _wall(_fit(job, half, get(job.library)))] * 2)
        return [(0, "wall_seconds", max(times))]
    curve = _fit(job, problem, adapter, evaluate=True)
    timed = _fit(job, problem, get(job.library))
    tests = [(step, "test", float(p[2])) for step, p in enumerate(curve, start=1)]
    return [(0, "wall_seconds", _wall(timed)), *tests]


def _wall(curve: Any) -> float:
    """Return the wall seconds of an epoch after the first."""
    return float(np.median(np.diff(curve[:, 1])))


def _memory(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return MiB: peak of the fit over what was there before, and its parameters."""
    # Validation remembers what it found out about X; that is not the fit's memory.
    problem.X_train.has_canonical_format  # noqa: B018
    machine.reset_peak()
    before = machine.memory_now()
    _fit(job, problem, adapter)
    extra = machine.peak_memory() - before
    estimator = getattr(adapter, "estimator", None)
    if not hasattr(estimator, "factors_"):
        return [(0, "extra_mib", extra)]
    parameters = estimator.factors_.nbytes + np.asarray(estimator.coef_).nbytes
    # One AdaGrad state for the factors of a label, one for its coefficient.
    states = 2 * problem.X_train.shape[1] * estimator.factors_.itemsize
    return [
        (0, "extra_mib", extra),
        (0, "parameters_mib", parameters / machine.MIB),
        (0, "states_mib", states / machine.MIB),
    ]


def _fit_overhead(job: Job, problem: Synthetic, adapter: Library) -> list[Measurement]:
    """Return wall seconds of the whole fit and of its epochs."""
    start = time.perf_counter()
    _fit(job, problem, adapter)
    seconds = time.perf_counter() - start
    history = adapter.estimator.history_  # type: ignore[attr-defined]
    kernel = float(np.sum(history.get("kernel_seconds", history["seconds"])))
    return [(0, "fit_seconds", seconds), (0, "kernel_seconds", kernel)]


def _imports() -> list[Measurement]:
    """Return the seconds that importing skwfm takes once torch is there.

    And then the estimators, once all that they need is there too.
    """
    command = [sys.executable, "-c", IMPORT_CODE]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = ("wall_seconds", "estimators_wall_seconds")
    return [
        (0, name, float(seconds))
        for name, seconds in zip(names, out.split(), strict=True)
    ]


def _floor(job: Job) -> list[Measurement]:
    """Return the microseconds of a row; `option` is the variant."""
    if not floor.available():
        raise SkippedError("there is no C++ compiler")
    seconds = floor.floor(_problem(job), job.option, job.k)
    size = 2**16 if job.quick else floor.TRIAD_FLOATS
    return [(0, "us_per_row", seconds), (0, "triad_gb_s", floor.triad(size))]


HANDLERS: dict[str, Callable[[Job, Synthetic, Library], list[Measurement]]] = {
    "epoch": _epoch,
    "scaling": _epoch,
    "quality": _quality,
    "predict": _predict,
    "threads": _threads,
    "memory": _memory,
    "fit_overhead": _fit_overhead,
}


def main(text: str) -> None:
    """Measure the job that `text` describes and print the result as JSON."""
    try:
        result: dict[str, Any] = {"measurements": measure(Job(**json.loads(text)))}
    except SkippedError as error:
        result = {"skipped": str(error)}
    print(f"\n{json.dumps(result)}")


if __name__ == "__main__":
    main(sys.argv[1])
