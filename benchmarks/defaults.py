"""How good the defaults are: default estimators beside tuned ones and baselines.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.defaults --data FOLDER

FOLDER holds the folders ``goodbooks`` and ``ml-latest-small``; without it these two
are left out. A repeat of a problem is a fold, or the seed of a split. On its training
rows every model is fitted with its defaults, and tuned: by random trials that are
validated on three folds of few rows or on a fifth of many, the best of which is fitted
to all training rows. Only these fits see the test rows.

Every fit is appended to ``results/defaults.csv`` as it ends, and what stands there is
not measured again, so that a run may be cut.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import GridSearchCV

from benchmarks.defaults_table import (
    BOOSTING,
    DEFAULT,
    EPOCHS,
    FACTORS,
    INIT_SCALE,
    L2_FACTORS,
    L2_LINEAR,
    LINEAR,
    RATES,
    STEPS,
    TRIAL,
    TUNED,
    Run,
    markdown,
    read,
    write,
)
from benchmarks.options import add_output
from benchmarks.tasks import SPECS, Sources, Spec, Task, inner_splits
from skwfm import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

__all__ = ["draw", "main", "run_task"]

RESULTS = Path(__file__).parent / "results"
TRIALS = 50
QUICK_ROWS = 300
ALPHAS = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
CS = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
OURS = {
    ("FM", "rmse"): WeightedFMRegressor,
    ("FFM", "rmse"): WeightedFFMRegressor,
    ("FM", "logloss"): WeightedFMClassifier,
    ("FFM", "logloss"): WeightedFFMClassifier,
}


def draw(spec: Spec, repeat: int, trial: int) -> dict[str, Any]:
    """Return the parameters of a trial."""
    rng = np.random.default_rng([repeat, trial])

    def between(low: float, high: float) -> float:
        value = np.exp(rng.uniform(np.log(low), np.log(high)))
        return float(f"{value:.3g}")

    solver = str(rng.choice(spec.solvers))
    return {
        "solver": solver,
        "n_factors": round(between(FACTORS, spec.most_factors)),
        "learning_rate": between(*RATES[solver]),
        "l2_linear": between(*L2_LINEAR),
        "l2_factors": between(*L2_FACTORS),
        "init_scale": between(*INIT_SCALE),
        "max_iter": round(between(*EPOCHS)),
        "early_stopping": bool(rng.integers(2)),
    }


def run_task(
    name: str, repeat: int, task: Task, n_trials: int, done: Sequence[Run]
) -> Iterator[Run]:
    """Yield the fits of a task that are not done."""
    spec, known = SPECS[name], {run.key(): run for run in done}
    splits = inner_splits(task.y_train, spec.metric, repeat)
    for model in spec.models:
        key = name, repeat, model
        if (*key, DEFAULT, None) not in known:
            estimator = OURS[model, spec.metric](random_state=repeat)
            yield Run(*key, DEFAULT, None, None, *_scored(estimator, task, spec))
        if (*key, TUNED, None) in known:
            continue
        trials = []
        for trial in range(n_trials):
            run = known.get((*key, TRIAL, trial))
            if run is None:
                run = _trial(key, trial, task, splits)
                yield run
            trials.append(run)
        if trials:
            best = min(trials, key=lambda run: run.valid)
            estimator = OURS[model, spec.metric](random_state=repeat, **best.params())
            scored = _scored(estimator, task, spec)
            yield Run(*key, TUNED, None, best.valid, *scored, **best.params())
    if (name, repeat, _linear_name(spec), LINEAR, None) not in known:
        yield _linear(name, repeat, task, splits)
    if (name, repeat, "HistGradientBoosting", BOOSTING, None) not in known:
        yield _boosting(name, repeat, task)


def _trial(key: tuple[str, int, str], trial: int, task: Task, splits: Any) -> Run:
    name, repeat, model = key
    spec, scores, seconds = SPECS[name], [], 0.0
    params = draw(spec, repeat, trial)
    for train, valid in splits:
        part = task._replace(
            X_train=task.X_train[train],
            y_train=task.y_train[train],
            X_test=task.X_train[valid],
            y_test=task.y_train[valid],
        )
        estimator = OURS[model, spec.metric](random_state=repeat, **params)
        score, cpu_seconds = _scored(estimator, part, spec)
        scores.append(score)
        seconds += cpu_seconds
    valid_score = round(float(np.mean(scores)), 5)
    return Run(*key, TRIAL, trial, valid_score, None, round(seconds, 2), **params)


def _scored(
    estimator: Any, task: Task, spec: Spec, X: Sequence[Any] = ()
) -> tuple[float, float]:
    """Fit; return the metric on the test rows and the CPU seconds of `fit`."""
    X_train, X_test = X or (task.X_train, task.X_test)
    start = time.process_time()
    with warnings.catch_warnings():
        # Some of the parameters drawn make the best of it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X_train, task.y_train)
    seconds = time.process_time() - start
    if spec.metric == "rmse":
        score = root_mean_squared_error(task.y_test, estimator.predict(X_test))
    else:
        proba = estimator.predict_proba(X_test)
        score = log_loss(task.y_test, proba, labels=estimator.classes_)
    return round(float(score), 5), round(seconds, 2)


def _linear_name(spec: Spec) -> str:
    return "Ridge" if spec.metric == "rmse" else "LogisticRegression"


def _linear(name: str, repeat: int, task: Task, splits: Any) -> Run:
    """Fit a linear model that chooses its penalty by the same splits."""
    spec = SPECS[name]
    model, grid, scoring = (
        (Ridge(), {"alpha": ALPHAS}, "neg_root_mean_squared_error")
        if spec.metric == "rmse"
        else (LogisticRegression(max_iter=1000), {"C": CS}, "neg_log_loss")
    )
    search = GridSearchCV(model, grid, cv=splits, scoring=scoring)
    score, seconds = _scored(search, task, spec)
    chosen = search.best_params_
    penalty = chosen["alpha"] if "alpha" in chosen else round(1 / chosen["C"], 3)
    key = name, repeat, _linear_name(spec), LINEAR
    return Run(*key, None, None, score, seconds, l2_linear=penalty)


def _boosting(name: str, repeat: int, task: Task) -> Run:
    spec = SPECS[name]
    kind: Any = (
        HistGradientBoostingRegressor
        if spec.metric == "rmse"
        else HistGradientBoostingClassifier
    )
    model = kind(random_state=repeat, categorical_features="from_dtype")
    scored = _scored(model, task, spec, (task.table_train, task.table_test))
    return Run(name, repeat, "HistGradientBoosting", BOOSTING, None, None, *scored)


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run what is asked for and not there yet; print a line per fit, then the table."""
    options = _parser().parse_args(arguments)
    output = options.output or (None if options.quick else RESULTS)
    path = None if output is None else output / "defaults.csv"
    runs = [] if path is None else read(path)
    if options.again:
        asked = set(_tasks(options))
        runs = [
            run
            for run in runs
            if (run.problem, run.repeat) not in asked or run.step not in options.again
        ]
        if path is not None:
            write(runs, path)
    sources = Sources(options.data, options.wheel)
    _warm_up()
    for name, repeat in _tasks(options):
        task = SPECS[name].make(repeat, sources)
        if options.quick:
            task = task.first(QUICK_ROWS)
        for run in run_task(name, repeat, task, options.trials, runs):
            print(_line(run), flush=True)
            runs.append(run)
            if path is not None:
                write([run], path, append=True)
    text = markdown(sorted(runs, key=lambda run: list(SPECS).index(run.problem)))
    print(f"\n{text}")
    if output is not None:
        (output / "defaults.md").write_text(text, encoding="utf-8")
    return runs


def _warm_up() -> None:
    """Fit once: what runs first pays for imports."""
    X = np.eye(100)
    for solver in ("adam", "lbfgs"):
        WeightedFMRegressor(solver=solver, max_iter=1).fit(X, X[0])


def _tasks(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Yield problems and repeats, the first repeat of all problems first."""
    most = 1 if options.quick else options.repeats
    for repeat in range(most):
        for name in options.problems:
            spec = SPECS[name]
            if repeat < spec.repeats and (options.data or not spec.in_folder):
                yield name, repeat


def _line(run: Run) -> str:
    score = run.valid if run.test is None else run.test
    step = run.step if run.trial is None else f"{run.step} {run.trial}"
    return (
        f"{run.problem:<16}{run.repeat:>2} {run.model:<21}{step:<9}{score:9.4f}"
        f"{run.cpu_seconds:8.2f} s"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.defaults")
    parser.add_argument("--problems", nargs="+", choices=SPECS, default=list(SPECS))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument(
        "--repeats",
        type=int,
        default=max(spec.repeats for spec in SPECS.values()),
        help="at most so many; default: as many as a problem has",
    )
    parser.add_argument(
        "--data", type=Path, help="folder with goodbooks and ml-latest-small"
    )
    parser.add_argument(
        "--wheel", type=Path, help="wheel of recbole 1.2.1; default: ask pip for it"
    )
    parser.add_argument(
        "--again", nargs="+", choices=STEPS, default=[], help="forget these fits first"
    )
    add_output(parser, "few rows, one repeat")
    return parser


if __name__ == "__main__":
    main()
