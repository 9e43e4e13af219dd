"""Numbers as weighted fields: RMSE of an FM over raw numbers, bins and splines.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.numbers

Every encoding but the raw numbers gives a column of the table the same number of
columns. The model is the regressor with its defaults, never tuned to an encoding;
gradient boosting on the raw numbers shows what there is to learn.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import (
    load_diabetes,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from benchmarks.machine import describe
from benchmarks.options import add_output
from skwfm import (
    FieldTransformer,
    SplineEncoder,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm.datasets import load_movies

__all__ = ["ENCODINGS", "PROBLEMS", "Run", "main", "markdown", "summary"]

RESULTS = Path(__file__).parent / "results"
SEEDS = range(5)
N_ROWS = 2000
QUICK_ROWS = 200
# What SplineEncoder() makes of a number; bins and cubic splines get as many.
N_COLUMNS = 8
RAW, BOOSTING = "raw, scaled", "gradient boosting"
PACKAGES = ["skwfm", "numpy", "scipy", "scikit-learn"]
FILM_LISTS = ["genres", "directors", "actors", "languages", "countries"]
_Table = tuple[pd.DataFrame, np.ndarray]


class Run(NamedTuple):
    """One fit."""

    problem: str
    encoding: str
    seed: int
    """Seed of generated data, of the split and of the model."""
    rmse: float
    cpu_seconds: float
    """Of encoding and fit."""


def _bins(strategy: str) -> Any:
    options = {}
    if strategy == "quantile" and "quantile_method" in KBinsDiscretizer().get_params():
        options["quantile_method"] = "linear"
    return KBinsDiscretizer(N_COLUMNS, strategy=strategy, subsample=None, **options)


ENCODINGS: dict[str, Callable[[], Any]] = {
    RAW: StandardScaler,
    "hard bins, uniform": lambda: _bins("uniform"),
    "hard bins, quantile": lambda: _bins("quantile"),
    "soft bins, uniform": lambda: SplineEncoder(N_COLUMNS, knots="uniform"),
    "soft bins, quantile": lambda: SplineEncoder(N_COLUMNS),
    "cubic, uniform": lambda: SplineEncoder(N_COLUMNS - 2, 3, knots="uniform"),
    "cubic, quantile": lambda: SplineEncoder(N_COLUMNS - 2, 3),
}


def _frame(X: np.ndarray, y: np.ndarray) -> _Table:
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]), y


def _waves(seed: int) -> _Table:
    """Return products of waves: no column tells anything by itself."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (N_ROWS, 4))
    y = 3 * np.sin(3 * np.pi * X[:, 0]) * X[:, 1] ** 2
    y += 2 * np.abs(X[:, 2]) * np.cos(2 * np.pi * X[:, 3])
    return _frame(X, y + 0.3 * rng.standard_normal(N_ROWS))


def _prices(seed: int) -> _Table:
    """Return prices (lognormal), counts (many zeros) and ages that act in pairs."""
    rng = np.random.default_rng(seed)
    price = rng.lognormal(3, 1.5, N_ROWS)
    count = rng.poisson(rng.gamma(0.5, 6, N_ROWS)).astype(float)
    age = rng.uniform(18, 80, N_ROWS)
    y = np.sin(np.log(price)) * np.log1p(count) + np.cos(age / 10) * np.log(price) / 3
    X = np.column_stack([price, count, age])
    return _frame(X, y + 0.3 * rng.standard_normal(N_ROWS))


def _films(seed: int) -> _Table:
    films = load_movies()
    return films[["year", *FILM_LISTS]], films["score"].to_numpy()


PROBLEMS: dict[str, Callable[[int], _Table]] = {
    "diabetes": lambda seed: _frame(*load_diabetes(return_X_y=True)),
    "friedman1": lambda seed: _frame(
        *make_friedman1(N_ROWS, noise=1, random_state=seed)
    ),
    "friedman2": lambda seed: _frame(
        *make_friedman2(N_ROWS, noise=100, random_state=seed)
    ),
    "friedman3": lambda seed: _frame(
        *make_friedman3(N_ROWS, noise=0.1, random_state=seed)
    ),
    "waves": _waves,
    "prices": _prices,
    "films": _films,
}
ABOUT = {
    "diabetes": "442 patients, 10 columns, scikit-learn's",
    "friedman1": f"{N_ROWS} rows, 10 columns, 5 of them noise, generated",
    "friedman2": f"{N_ROWS} rows, 4 columns, generated",
    "friedman3": f"{N_ROWS} rows, 4 columns, generated",
    "waves": f"{N_ROWS} rows, 4 columns: 3 sin(3πa) b² + 2 |c| cos(2πd)",
    "prices": f"{N_ROWS} rows: a heavy-tailed price, a count, an age",
    "films": "17,453 films: the year is the only number, beside five lists",
}


def transformer(numbers: list[str], lists: list[str], encoding: Any) -> Any:
    """Return what makes fields of numbers, in one of the encodings, and of lists."""
    labels = WeightedMultiLabelEncoder(normalize="sqrt", min_frequency=2)
    parts = [("numbers", encoding, numbers), ("lists", labels, lists)]
    return FieldTransformer([part for part in parts if part[2]])


def run_problem(name: str, seed: int, n_rows: int | None = None) -> Iterator[Run]:
    """Fit and score every encoding on one problem."""
    X, y = PROBLEMS[name](seed)
    X, y = X[:n_rows], y[:n_rows]
    lists = [column for column in FILM_LISTS if column in X]
    numbers = [column for column in X if column not in lists]
    train, test, y_train, y_test = train_test_split(X, y, random_state=seed)
    for encoding, make in ENCODINGS.items():
        start = time.process_time()
        encoder = transformer(numbers, lists, make())
        fm = WeightedFMRegressor(random_state=seed)
        with warnings.catch_warnings():
            # Hard bins at equal quantiles: there are fewer of them.
            warnings.filterwarnings("ignore", "Bins whose width are too small")
            X_train = encoder.fit_transform(train)
        fm.fit(X_train, y_train)
        seconds = time.process_time() - start
        predicted = fm.predict(encoder.transform(test))
        rmse = float(root_mean_squared_error(y_test, predicted))
        yield Run(name, encoding, seed, rmse, seconds)
    if not lists:
        start = time.process_time()
        boosting = HistGradientBoostingRegressor(random_state=seed).fit(train, y_train)
        seconds = time.process_time() - start
        rmse = float(root_mean_squared_error(y_test, boosting.predict(test)))
        yield Run(name, BOOSTING, seed, rmse, seconds)


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the mean RMSE, a row per problem and a column per encoding."""
    table = pd.DataFrame(runs)
    order = list(dict.fromkeys(table["problem"]))
    names = [name for name in [*ENCODINGS, BOOSTING] if name in set(table["encoding"])]
    means = table.pivot_table("rmse", "problem", "encoding", aggfunc="mean")
    return means.loc[order, names]


def relative(runs: Sequence[Run]) -> pd.Series:
    """Return the geometric mean over the problems of RMSE relative to raw numbers."""
    means = summary(runs)
    ratios = means.div(means[RAW], axis=0)[list(ENCODINGS)]
    return np.exp(np.log(ratios).mean())


def markdown(runs: Sequence[Run]) -> str:
    """Return the tables and where the run was made."""
    means = summary(runs)
    n_seeds = len({run.seed for run in runs})
    return "\n".join(
        [
            "# Numbers as weighted fields",
            "",
            "RMSE of `WeightedFMRegressor()` on a quarter of the rows, mean ± standard "
            f"deviation over {n_seeds} seeds; the best encoding is bold. Bins and "
            f"splines give a number {N_COLUMNS} columns. Last line: geometric mean "
            "over the problems. Written by `python -m benchmarks.numbers`.",
            "",
            *_lines(["problem", *means.columns], _rows(runs)),
            "",
            *[f"- `{name}`: {ABOUT[name]}." for name in means.index],
            "",
            _environment(),
            "",
        ]
    )


def _rows(runs: Sequence[Run]) -> list[list[str]]:
    """Return the cells of the table, the line of ratios included."""
    means = summary(runs)
    spread = pd.DataFrame(runs).groupby(["problem", "encoding"])["rmse"].std(ddof=0)
    rows = []
    for problem, values in means.iterrows():
        best = values[list(ENCODINGS)].min()
        cells = [
            _cell(mean, spread.get((problem, name)), mean == best)
            for name, mean in values.items()
        ]
        rows.append([str(problem), *cells])
    ratios = relative(runs)
    last = [f"{ratios[name]:.2f}" if name in ratios else "" for name in means.columns]
    return [*rows, ["relative to raw", *last]]


def _environment() -> str:
    """Return date, system and versions; nothing that names the machine."""
    info = describe()
    versions = [f"{name} {info['packages'][name]}" for name in PACKAGES]
    parts = [info["date"], info["system"], f"Python {info['python']}", *versions]
    return f"{', '.join(parts)}."


def _cell(mean: float, spread: float | None, best: bool) -> str:
    if np.isnan(mean):
        return ""
    digits = 2 if mean > 10 else 4
    text = f"{mean:.{digits}f} ± {spread:.{digits}f}"
    return f"**{text}**" if best else text


def _lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [names, ["---"] * len(names), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write every fit to ``numbers.csv`` and the table to ``numbers.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(runs).round({"rmse": 5, "cpu_seconds": 3})
    table.to_csv(folder / "numbers.csv", index=False)
    (folder / "numbers.md").write_text(markdown(runs), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run what the command line asks for; print a line per fit, then the table."""
    options = _parser().parse_args(arguments)
    n_rows = QUICK_ROWS if options.quick else None
    runs = []
    for name in options.problems:
        for seed in range(1) if options.quick else SEEDS:
            for run in run_problem(name, seed, n_rows):
                print(
                    f"{name:<10}{seed:>2}{run.rmse:10.4f}  {run.encoding}", flush=True
                )
                runs.append(run)
    print(f"\n{markdown(runs)}")
    output = options.output or (None if options.quick else RESULTS)
    if output is not None:
        write(runs, output)
    return runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.numbers")
    parser.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS)
    )
    add_output(parser, "few rows, one seed")
    return parser


if __name__ == "__main__":
    main()
