"""Ctrl-C: answered at once, the epochs that are over are kept, and searches stop.

The cases run one after the other in a process that trains without an end in sight: a
signal that is not answered is a hang, seen by the time limit.
"""

import json
import os
import signal
import subprocess
import sys
from threading import Timer

import pytest

SECONDS = 120
SIGN = "two epochs\n"

SCRIPT = """
import json, os, sys, warnings
import numpy as np
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from skwfm import WeightedFFMClassifier, WeightedFMRegressor

WITHOUT_END = 10**8


class Scored:
    def fit(self, X, y):
        cross_val_score(model(), X, y, cv=2)


class Tell(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            os.write(1, b"two epochs\\n")  # at once: another process may write too


def model(cls=WeightedFMRegressor, **params):
    params = {"random_state": 0, "early_stopping": False, "tol": 0.0, **params}
    return cls(max_iter=WITHOUT_END, callbacks=[Tell()], **params)


rng = np.random.default_rng(0)
X = rng.standard_normal((2000, 6)).astype(np.float32)
y = X[:, 0] + X[:, 1] * X[:, 2] + rng.standard_normal(2000)
many = {"l2_factors": [1.0, 2.0]}
CASES = {
    "core": lambda: model(),
    "core, two threads": lambda: model(n_jobs=2),
    "held out": lambda: model(early_stopping=True, n_iter_no_change=WITHOUT_END),
    "classifier": lambda: model(WeightedFFMClassifier),
    "adam": lambda: model(solver="adam", batch_size=50),
    # So flat a loss that its line searches go on and on.
    "lbfgs": lambda: model(solver="lbfgs", n_iter_no_change=WITHOUT_END,
                           early_stopping=True, n_factors=40),
    "pipeline": lambda: make_pipeline(StandardScaler(), model()),
    "cross-validation": lambda: Scored(),
    "grid search": lambda: GridSearchCV(model(), many, cv=2),
    "grid search, two processes": lambda: GridSearchCV(model(), many, cv=2, n_jobs=2),
}
for case in json.loads(sys.argv[1]):
    target = (y > 0).astype(int) if case == "classifier" else y
    outcome = {"stopped": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = CASES[case]().fit(X, target)
            last = fitted[-1] if case == "pipeline" else fitted
            outcome["has epochs"] = last.n_iter_ >= 2
            outcome["finite"] = bool(np.isfinite(fitted.predict(X)).all())
        except KeyboardInterrupt:
            outcome["stopped"] = True
    outcome["warned"] = any(
        "Training was interrupted: the model of epoch" in str(warning.message)
        for warning in caught
    )
    print(json.dumps(outcome), flush=True)
"""


def interrupted(cases):
    """Return what fits say that are interrupted after two epochs, by case."""
    # A group of its own, as a shell makes it: Ctrl-C reaches all of its processes.
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(cases)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    guard = Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    guard.start()
    try:
        return {case: _interrupt(process) for case in cases}
    finally:
        guard.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _interrupt(process):
    """Interrupt the next case and return its outcome."""
    line = process.stdout.readline()
    if line != SIGN:
        return f"{line!r} instead of an epoch"
    os.killpg(process.pid, signal.SIGINT)
    # The other process of a search may have come as far before the signal did.
    while line == SIGN:
        line = process.stdout.readline()
    return json.loads(line) if line else "no answer in time"


pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def test_a_fit_keeps_its_epochs():
    cases = [
        "core",
        "core, two threads",
        "held out",
        "classifier",
        "adam",
        "lbfgs",
        "pipeline",
    ]
    kept = {"stopped": False, "has epochs": True, "finite": True, "warned": True}
    assert interrupted(cases) == dict.fromkeys(cases, kept)


def test_a_search_stops():
    cases = ["cross-validation", "grid search", "grid search, two processes"]
    stopped = {"stopped": True, "warned": False}
    assert interrupted(cases) == dict.fromkeys(cases, stopped)
