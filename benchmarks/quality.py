"""Quality on real data: RMSE on test rows beside the CPU seconds that `fit` took.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.quality

Columns are encoded before the clock starts; the models of one problem and seed run one
after the other on the same arrays, so that ratios of their times are fair.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import GridSearchCV

from benchmarks.options import add_output
from benchmarks.problems import Problem, fetch_ml100k, films, ml100k, movielens
from skwfm import WeightedFFMRegressor, WeightedFMRegressor

__all__ = ["PROBLEMS", "REFERENCES", "Run", "main", "markdown", "models", "summary"]

RESULTS = Path(__file__).parent / "results"
SEEDS = range(5)
# Every model in well under a second; the solver is then the one of tiny data.
QUICK_ROWS = 300
ALPHAS = [2.0, 5.0, 10.0, 20.0, 50.0]
FM, FFM = "WeightedFMRegressor", "WeightedFFMRegressor"
PACKAGES = ["skwfm", "numpy", "scipy", "scikit-learn", "torch", "skorch", "pandas"]

# From a seed and, for ML-100K, the path of its wheel.
PROBLEMS: dict[str, Callable[[int, Path | None], Problem]] = {
    "ml100k": lambda seed, wheel: ml100k(wheel=wheel or fetch_ml100k()),
    "films": lambda seed, wheel: films(seed),
    "movielens": lambda seed, wheel: movielens(seed),
}

_SURPRISE = "README of Surprise: 5 random folds, ids only"
_MYFM = "documentation of myFM"
_OWN = "own run of myFM 0.4.0 or scikit-learn"
# Problem, model, RMSE, source: on the same rows unless the source says otherwise.
REFERENCES = [
    ("ml100k", "Surprise SVD", ".934", _SURPRISE),
    ("ml100k", "Surprise SVD++", ".919", _SURPRISE),
    ("ml100k", "myFM, rank 10, user and item only", ".8944", _MYFM),
    ("ml100k", "myFM, rank 10, all columns", ".8855", _MYFM),
    ("films", "ridge, plain one-hot", "23.6 to 23.8", _OWN),
    ("films", "ridge, tuned", "22.8", _OWN),
    ("films", "myFM", "22.8", _OWN),
    ("movielens", "mean", "1.057", f"{_OWN}, one split"),
    ("movielens", "ridge", ".8806", f"{_OWN}, one split"),
    ("movielens", "myFM", ".8445", f"{_OWN}, one split"),
]


class Run(NamedTuple):
    """One fit."""

    problem: str
    model: str
    seed: int
    """Seed of the model, and of the split where that is random; the fold of films."""
    rmse: float
    cpu_seconds: float


def models(seed: int) -> dict[str, Any]:
    """Return what to compare: baselines, our defaults and one change of these."""
    return {
        "mean": DummyRegressor(),
        "ridge": _ridge(),
        FM: WeightedFMRegressor(random_state=seed),
        f"{FM}, early_stopping=True": WeightedFMRegressor(
            early_stopping=True, random_state=seed
        ),
        f"{FM}, n_factors=16": WeightedFMRegressor(16, random_state=seed),
        FFM: WeightedFFMRegressor(random_state=seed),
        f"{FFM}, early_stopping=False": WeightedFFMRegressor(
            early_stopping=False, random_state=seed
        ),
    }


def _ridge() -> GridSearchCV:
    """Return a ridge regression that chooses its penalty on the training rows."""
    scoring = "neg_root_mean_squared_error"
    return GridSearchCV(Ridge(), {"alpha": ALPHAS}, cv=3, scoring=scoring)


def run_problem(name: str, problem: Problem, seed: int) -> Iterator[Run]:
    """Fit and score every model on one problem."""
    candidates = [(problem.transformer, models(seed))]
    if problem.plain is not None:
        candidates.append((problem.plain, {"ridge, plain one-hot": _ridge()}))
    for transformer, estimators in candidates:
        X_train = transformer.fit_transform(problem.train)
        X_test = transformer.transform(problem.test)
        for model, estimator in estimators.items():
            start = time.process_time()
            estimator.fit(X_train, problem.y_train)
            seconds = time.process_time() - start
            rmse = root_mean_squared_error(problem.y_test, estimator.predict(X_test))
            yield Run(name, model, seed, float(rmse), seconds)


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per problem and model.

    ``cpu_ratio`` is the median of the ratios to our default FM, each of one seed.
    """
    table = pd.DataFrame(runs)
    base = table[table["model"] == FM].set_index(["problem", "seed"])["cpu_seconds"]
    of_base = base.loc[pd.MultiIndex.from_frame(table[["problem", "seed"]])]
    table["cpu_ratio"] = table["cpu_seconds"] / of_base.to_numpy()
    groups = table.groupby(["problem", "model"], sort=False)
    return groups.agg(
        rmse=("rmse", "mean"),
        spread=("rmse", lambda values: values.std(ddof=0)),
        cpu_seconds=("cpu_seconds", "median"),
        cpu_ratio=("cpu_ratio", "median"),
        runs=("seed", "size"),
    ).reset_index()


def markdown(runs: Sequence[Run]) -> str:
    """Return the summary, the reference figures and where the run was made."""
    table = summary(runs).to_dict("records")
    rows = [
        (
            row["problem"],
            row["model"],
            f"{row['rmse']:.4f}",
            f"{row['spread']:.4f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['cpu_ratio']:.2f}",
        )
        for row in table
    ]
    names = ["problem", "model", "RMSE", "std", "CPU s of fit", "CPU ratio"]
    seen = {row["problem"] for row in table}
    references = [reference for reference in REFERENCES if reference[0] in seen]
    return "\n".join(
        [
            "# Quality on real data",
            "",
            f"Mean and standard deviation over {table[0]['runs']} seeds or folds, and "
            f"medians of CPU seconds and of their ratios to those of `{FM}` on the "
            "same seed or fold. Written by `python -m benchmarks.quality`.",
            "",
            *_table(names, rows),
            "",
            "Figures to compare with:",
            "",
            *_table(["problem", "model", "RMSE", "source"], references),
            "",
            _environment(),
            "",
        ]
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _environment() -> str:
    """Return date, kind of machine and versions; nothing that names the machine."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{platform.system()} {platform.machine()}"
    python = f"Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {python}, {packages}."


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write every fit to ``quality.csv`` and the tables to ``quality.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(runs).round({"rmse": 5, "cpu_seconds": 3})
    table.to_csv(folder / "quality.csv", index=False)
    (folder / "quality.md").write_text(markdown(runs), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run what the command line asks for; print a line per fit, then the tables."""
    options = _parser().parse_args(arguments)
    runs = []
    for name in options.problems:
        for seed in range(1) if options.quick else SEEDS:
            problem = PROBLEMS[name](seed, options.wheel)
            if options.quick:
                problem = problem.first(QUICK_ROWS)
            for run in run_problem(name, problem, seed):
                print(_line(run), flush=True)
                runs.append(run)
    print(f"\n{markdown(runs)}")
    output = options.output or (None if options.quick else RESULTS)
    if output is not None:
        write(runs, output)
    return runs


def _line(run: Run) -> str:
    rmse, seconds = f"{run.rmse:8.4f}", f"{run.cpu_seconds:6.2f} s"
    return f"{run.problem:<10}{run.seed:>2}{rmse}{seconds}  {run.model}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.quality")
    parser.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS)
    )
    parser.add_argument(
        "--wheel", type=Path, help="wheel of recbole 1.2.1; default: ask pip for it"
    )
    add_output(parser, "few rows, one seed")
    return parser


if __name__ == "__main__":
    main()
