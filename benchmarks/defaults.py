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
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import GridSearchCV

from benchmarks.machine import describe
from benchmarks.tasks import SPECS, Sources, Spec, Task, inner_splits
from skwfm import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

__all__ = ["Run", "draw", "main", "markdown", "read", "summary"]

RESULTS = Path(__file__).parent / "results"
TRIALS = 50
QUICK_ROWS = 300
GOAL = 0.02
DEFAULT, TRIAL, TUNED = "default", "trial", "tuned"
LINEAR, BOOSTING = "linear", "boosting"
STEPS = [DEFAULT, TRIAL, TUNED, LINEAR, BOOSTING]
ALPHAS = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
CS = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
OURS = {
    ("FM", "rmse"): WeightedFMRegressor,
    ("FFM", "rmse"): WeightedFFMRegressor,
    ("FM", "logloss"): WeightedFMClassifier,
    ("FFM", "logloss"): WeightedFFMClassifier,
}
# Drawn log-uniformly, around the defaults of version 0.1.0.
RATES = {"adagrad": (0.05, 2.0), "adam": (0.002, 0.1), "lbfgs": (1.0, 1.0)}
FACTORS = 2
L2_LINEAR, L2_FACTORS = (0.02, 500.0), (0.05, 2000.0)
INIT_SCALE, EPOCHS = (0.002, 0.3), (5, 60)
PARAMS = [
    "solver",
    "n_factors",
    "learning_rate",
    "l2_linear",
    "l2_factors",
    "init_scale",
    "max_iter",
    "early_stopping",
]
PACKAGES = ["skwfm", "numpy", "scipy", "scikit-learn", "torch", "skorch"]


class Run(NamedTuple):
    """One fit; a trial of three folds is one."""

    problem: str
    repeat: int
    model: str
    step: str
    trial: int | None
    valid: float | None
    """The metric on the rows to validate on: of trials."""
    test: float | None
    """The metric on the test rows: of all other steps."""
    cpu_seconds: float
    solver: str | None = None
    n_factors: int | None = None
    learning_rate: float | None = None
    l2_linear: float | None = None
    """Of the baseline: alpha, or 1 / C."""
    l2_factors: float | None = None
    init_scale: float | None = None
    max_iter: int | None = None
    early_stopping: bool | None = None

    def key(self) -> tuple[Any, ...]:
        """Return what a fit is known by."""
        return self[:5]

    def params(self) -> dict[str, Any]:
        """Return the parameters of a trial."""
        return {name: getattr(self, name) for name in PARAMS}


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


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per problem and model of ours.

    ``gap`` is the mean of the default's metric over that of the tuned model, less 1;
    ``gap_error`` the standard error of the mean of their differences over repeats,
    relative to the tuned mean.
    """
    table = pd.DataFrame(runs)
    cases = table.loc[table["step"] == DEFAULT, ["problem", "model"]].drop_duplicates()
    return pd.DataFrame(
        [_summary_row(table, *case) for case in cases.itertuples(index=False)]
    )


def _summary_row(table: pd.DataFrame, problem: str, model: str) -> dict[str, Any]:
    of = table[table["problem"] == problem]
    of = of[(of["model"] == model) | of["step"].isin([LINEAR, BOOSTING])]
    steps = {step: of[of["step"] == step].set_index("repeat") for step in STEPS}
    tests = {step: part["test"] for step, part in steps.items() if step != TRIAL}
    both = tests[DEFAULT].index.intersection(tests[TUNED].index)
    if len(both):
        tests = {step: test[test.index.isin(both)] for step, test in tests.items()}
    n_trials = steps[TRIAL].index.value_counts().reindex(both, fill_value=0)
    gaps, tuned = tests[DEFAULT] - tests[TUNED], tests[TUNED].mean()
    return {
        "problem": problem,
        "model": model,
        **{step: test.mean() for step, test in tests.items()},
        "gap": gaps.mean() / tuned,
        "gap_error": gaps.sem() / tuned if len(gaps) > 1 else np.nan,
        "repeats": len(both),
        "trials": n_trials.min() if len(both) else 0,
        "cpu_seconds": steps[DEFAULT]["cpu_seconds"].median(),
    }


def markdown(runs: Sequence[Run]) -> str:
    """Return the tables and where the run was made."""
    table = summary(runs)
    met = table["gap"] <= GOAL
    missed = [f"{row.problem} ({row.model})" for row in table[~met].itertuples()]
    names = {
        problem: (SPECS[problem].about, SPECS[problem].metric)
        for problem in dict.fromkeys(table["problem"])
    }
    text = [
        "# Defaults",
        "",
        "The default estimators beside the same ones tuned by random trials, mean "
        "metric on the test rows over the repeats that have both; their number, and "
        "that of the trials of each. "
        "Gap: default over tuned, less 1, ± the standard error of the mean paired "
        "difference. Linear: Ridge or LogisticRegression on the same fields, its "
        "penalty chosen from eight. Boosting: HistGradientBoosting with its defaults "
        "on numbers, categories and 0/1 columns. CPU: median seconds of the default "
        "`fit`. Written by `python -m benchmarks.defaults`.",
        "",
        *_lines(_main_rows(table)),
        "",
        f"The default is within {GOAL:.0%} of the tuned model in {met.sum()} of "
        f"{len(table)} rows" + (f"; not in {', '.join(missed)}." if missed else "."),
        "",
        *[
            f"- `{name}` ({metric}): {about}."
            for name, (about, metric) in names.items()
        ],
        "",
        "FFM is left out on the tables of many numbers or classes, where it is slow.",
        "",
        "What tuning chose: median over the repeats (least to most), counts of solvers "
        "and of early stopping.",
        "",
        *_lines(_chosen_rows(runs)),
        "",
        _space(),
        "",
        _environment(),
        "",
    ]
    return "\n".join(text)


def _main_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {
            "problem": row["problem"],
            "model": row["model"],
            "default": _number(row[DEFAULT]),
            "tuned": _number(row[TUNED]),
            "gap %": _percent(row["gap"], row["gap_error"]),
            "linear": _number(row[LINEAR]),
            "boosting": _number(row[BOOSTING]),
            "repeats": str(row["repeats"]),
            "trials": str(row["trials"]),
            "CPU s": f"{row['cpu_seconds']:.2f}",
        }
        for row in table.to_dict("records")
    ]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.{2 if value > 10 else 4}f}"


def _percent(gap: float, error: float) -> str:
    if np.isnan(gap):
        return ""
    return f"{gap:+.1%}"[:-1] + ("" if np.isnan(error) else f" ± {error:.1%}"[:-1])


def _chosen_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    table = pd.DataFrame(
        [run for run in runs if run.step == TUNED], columns=Run._fields
    )
    rows = []
    for (problem, model), part in table.groupby(["problem", "model"], sort=False):
        solvers = part["solver"].value_counts()
        stopped = int(part["early_stopping"].astype(bool).sum())
        rows.append(
            {
                "problem": problem,
                "model": model,
                **{name: _range(part[name]) for name in PARAMS[1:-1]},
                "solver": ", ".join(f"{n} {name}" for name, n in solvers.items()),
                "early stopping": f"{stopped} of {len(part)}",
            }
        )
    return rows


def _range(values: pd.Series) -> str:
    values = values.astype(float)
    return f"{values.median():.3g} ({values.min():.3g} to {values.max():.3g})"


def _lines(rows: Sequence[dict[str, str]]) -> list[str]:
    if not rows:
        return []
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *[[row[n] for n in names] for row in rows]]
    return [f"| {' | '.join(line)} |" for line in lines]


def _space() -> str:
    """Return what trials draw from."""
    most = max(spec.most_factors for spec in SPECS.values())
    few = {name: spec.most_factors for name, spec in SPECS.items()}
    less = [f"{n} on `{name}`" for name, n in few.items() if n < most]
    rates = "; ".join(f"{low} to {high} ({s})" for s, (low, high) in RATES.items())
    return (
        f"Trials draw log-uniformly: n_factors {FACTORS} to {most} (at most "
        f"{', '.join(less)}), learning_rate {rates}, l2_linear {L2_LINEAR[0]} to "
        f"{L2_LINEAR[1]:.0f}, l2_factors {L2_FACTORS[0]} to {L2_FACTORS[1]:.0f}, "
        f"init_scale {INIT_SCALE[0]} to {INIT_SCALE[1]}, max_iter {EPOCHS[0]} to "
        f"{EPOCHS[1]}; early stopping and the solver at even odds, but adam a tenth "
        "above 10,000 rows and adagrad alone on `A` and `digits`."
    )


def _environment() -> str:
    """Return date, kind of machine and versions; nothing that names the machine."""
    info = describe()
    packages = ", ".join(f"{name} {info['packages'][name]}" for name in PACKAGES)
    return f"{info['date']}, {info['processor']}, Python {info['python']}, {packages}."


def read(path: Path) -> list[Run]:
    """Return the fits in a file that `main` writes; none if there is no file."""
    if not path.exists():
        return []
    whole = dict.fromkeys(["trial", "n_factors", "max_iter"], "Int64")
    table = pd.read_csv(path, dtype={**whole, "early_stopping": "boolean"})
    table = table.astype(object)
    return [Run(*row) for row in table.where(table.notna(), None).itertuples(False)]


def write(runs: Sequence[Run], path: Path, *, append: bool = False) -> None:
    """Write fits, or add them to those that the file holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = not (append and path.exists())
    pd.DataFrame(runs, columns=Run._fields).to_csv(
        path, index=False, header=header, mode="a" if append else "w"
    )


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
    parser.add_argument("--output", type=Path, help="folder; default: results/")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few rows, one repeat, no file unless --output is given",
    )
    return parser


if __name__ == "__main__":
    main()
