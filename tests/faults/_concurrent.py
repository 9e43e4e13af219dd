"""Forks, threads and processes, each compared with the same in one thread.

Run as ``python _concurrent.py CASE``: writes a line per comparison that failed, and
"done" at the end.
"""

import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from unittest import mock

import joblib
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skwfm import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm._kernels import compiled

SECONDS = 30
SIZES = {"n_factors": 8, "max_iter": 3, "early_stopping": False, "random_state": 0}
FAMILIES = (
    WeightedFMRegressor,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFFMClassifier,
)
DRAWN = {"solver": "mcmc", "n_kept": 2}
DRAWN_FAMILIES = WeightedFMRegressor, WeightedFMClassifier


def table(n_rows=3000, n_columns=12):
    """Return rows so many that torch takes all of its threads."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns))
    return X, X[:, 0] + X[:, 1] * X[:, 2]


X, Y = table()


def target_of(model):
    """Return numbers, two classes or three."""
    if hasattr(model, "loss"):
        return Y
    return np.digitize(Y, [0.0] if model.solver == "mcmc" else [-0.5, 0.5])


def scores_of(model, rows=X):
    """Return what a model predicts, classes by their scores."""
    if hasattr(model, "decision_function"):
        return model.decision_function(rows)
    return model.predict(rows)


def in_torch(model, rows=X):
    """Predict as without the compiled core."""
    return model._torch_scores(*model._looked_at(rows), torch.device("cpu"))


def report(what, is_good):
    """Say what failed."""
    if not is_good:
        sys.stdout.write(f"{what}\n")


def fork():
    """Fit and predict in a child of a process that has done so, in many threads."""
    for params in (
        {},
        {"n_jobs": 2},
        {"solver": "adam", "batch_size": 3000},
        {"solver": "lbfgs"},
    ):
        for family in FAMILIES:
            _fork_after(family(**SIZES, **params))
    for family in DRAWN_FAMILIES:
        for params in (DRAWN, DRAWN | {"n_jobs": 2}):
            _fork_after(family(**SIZES, **params))


def _fork_after(model):
    def work():
        model.fit(X, target_of(model))
        return [scores_of(model), in_torch(model)]

    def is_right():
        if torch.get_num_threads() != 2:
            return False
        # Threads that share a table train another model each time.
        if model.n_jobs and model.solver != "mcmc":
            return all(np.isfinite(scores).all() for scores in work())
        return all(map(np.array_equal, work(), expected))

    expected = work()
    answer = _in_child(is_right)
    report(f"fork, {model!r}: {answer}", answer == b"right")


def _in_child(work):
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.write(sender, b"right" if work() else b"wrong")
        os._exit(0)
    try:
        ready, _, _ = select.select([receiver], [], [], SECONDS)
        return os.read(receiver, 10) if ready else b"hangs"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def preload():
    """Serve as Gunicorn does with --preload: load and warm up, fork, accept."""
    cells = [["a", "b"], ["b"], ["c", "a", "d"], []] * 500
    frame = np.empty((len(cells), 1), dtype=object)
    frame[:, 0] = cells
    model = make_pipeline(WeightedMultiLabelEncoder(), WeightedFMClassifier(**SIZES))
    model.fit(frame, np.digitize(Y[: len(cells)], [0.0]))
    expected = model.predict_proba(frame)[:4].tolist()
    torch.ones(1000, 1000).sum()
    listener = socket.create_server(("127.0.0.1", 0))
    workers = [_serve(listener, model) for _ in range(2)]
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(_ask, [listener.getsockname()] * 32, range(32)))
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
    for number, answer in enumerate(answers):
        wanted = expected[number % 4]
        report(f"preload, request {number}: {answer} not {wanted}", answer == wanted)


def _serve(listener, model):
    """Fork a worker with two threads; the main one uses torch too."""
    worker = os.fork()
    if not worker:
        threading.Thread(target=_answer, args=(listener, model, False)).start()
        _answer(listener, model, True)
    return worker


def _answer(listener, model, with_torch):
    cells = [["a", "b"], ["b"], ["c", "a", "d"], []]
    while True:
        connection, _ = listener.accept()
        with connection:
            row = np.empty((1, 1), dtype=object)
            row[0, 0] = cells[json.loads(connection.recv(100)) % 4]
            if with_torch:
                # Needs more values than torch takes in one thread.
                three = WeightedFMClassifier(**SIZES, solver="lbfgs")
                three.fit(X, target_of(three))
            answer = model.predict_proba(row)[0].tolist()
            connection.sendall(json.dumps(answer).encode())


def _ask(address, number):
    with socket.create_connection(address, timeout=SECONDS) as connection:
        connection.sendall(json.dumps(number).encode())
        return json.loads(connection.recv(1000))


def threads():
    """Predict 64 times in 8 threads at once, and fit in them."""
    for family in FAMILIES:
        model = family(**SIZES).fit(X, target_of(family()))
        wide = family(**SIZES, n_jobs=2)
        wide.__dict__ |= {k: v for k, v in vars(model).items() if k.endswith("_")}
        with ThreadPoolExecutor(8) as pool:
            for name, work in {
                "core": lambda m=model: scores_of(m),
                "core, two threads": lambda m=wide: scores_of(m),
                "torch": lambda m=model: in_torch(m),
            }.items():
                expected = work()
                results = list(pool.map(lambda _, work=work: work(), range(64)))
                good = all(np.array_equal(result, expected) for result in results)
                report(f"threads, {family.__name__}, {name}", good)
        for solver in ("adagrad", "lbfgs", "adam"):

            def fit(_=None, family=family, solver=solver):
                model = family(**{**SIZES, "max_iter": 2}, solver=solver)
                return scores_of(model.fit(X[:500], target_of(model)[:500]))

            with ThreadPoolExecutor(4) as pool:
                same = all(np.array_equal(fit(), one) for one in pool.map(fit, "abcd"))
            report(f"threads fit, {family.__name__}, {solver}", same)
    _draws_in_threads()
    report("threads, number of torch's", torch.get_num_threads() == 2)


def _draws_in_threads():
    """Predict by the draws of a model in threads, with and without the core."""
    for family in DRAWN_FAMILIES:
        model = family(**SIZES, **DRAWN)
        model.fit(X, target_of(model))
        for has_core in (True, False):
            with (
                mock.patch.object(compiled, "available", return_value=has_core),
                ThreadPoolExecutor(8) as pool,
            ):
                expected = scores_of(model)
                results = list(pool.map(lambda _, m=model: scores_of(m), range(32)))
            good = all(np.array_equal(result, expected) for result in results)
            report(f"threads, draws of {family.__name__}, core {has_core}", good)


def spawn():
    """Predict and fit in processes that start from nothing."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        models = [family(**SIZES) for family in FAMILIES]
        models += [family(**SIZES, **DRAWN) for family in DRAWN_FAMILIES]
        for model in models:
            model.fit(X, target_of(model))
            again = pool.submit(model.fit, X, target_of(model))
            far = pool.submit(scores_of, model)
            expected = scores_of(model)
            report(f"spawn, {model!r}", np.array_equal(far.result(), expected))
            fitted = scores_of(again.result())
            report(f"spawn fit, {model!r}", np.array_equal(fitted, expected))


def searches(*backends):
    """Search in two processes or threads, and in one."""
    for model in (
        WeightedFMRegressor(**SIZES),
        WeightedFFMClassifier(**SIZES),
        WeightedFFMRegressor(**SIZES, solver="lbfgs"),
        WeightedFMRegressor(**SIZES, solver="adam"),
        WeightedFMClassifier(**SIZES, **DRAWN),
    ):
        rows = X[:900]
        expected = _search(model, rows, 1)
        for backend in backends:
            with joblib.parallel_config(backend):
                found = _search(model, rows, 2)
            report(f"{backend}, {model!r}", found == expected)


def _search(model, rows, n_jobs):
    search = GridSearchCV(
        model, {"l2_factors": [1.0, 20.0]}, cv=2, n_jobs=n_jobs, error_score="raise"
    ).fit(rows, target_of(model)[: len(rows)])
    tables = [search.cv_results_[f"split{cut}_test_score"].tolist() for cut in (0, 1)]
    return tables, scores_of(search, rows).tolist()


def backends():
    """Search by joblib's own backends; that of multiprocessing forks."""
    searches("loky", "threading", "multiprocessing")


def dask():
    """Search by workers of dask."""
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        searches("dask")


CASES = {
    case.__name__: case for case in (fork, preload, threads, spawn, backends, dask)
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    assert compiled.available() or not os.environ.get("SKWFM_REQUIRE_CORE")
    assert torch.get_num_threads() == 2
    torch.ones(2000, 2000).sum()  # all of its threads are there now
    CASES[sys.argv[1]]()
    sys.stdout.write("done\n")
