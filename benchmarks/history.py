"""What history fields are worth: RMSE on ML-100K with and without `HistoryEncoder`.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.history

The same model with its defaults, on the five published folds, which are random, and
on two splits in time. The cases of a fold run one after the other, so that differences
of RMSE and ratios of times are paired. Splits that are measured again replace their
rows in ``results/history.csv``.
"""

from __future__ import annotations

import argparse
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import root_mean_squared_error
from sklearn.preprocessing import OneHotEncoder

from benchmarks.machine import describe
from benchmarks.options import add_output
from benchmarks.problems import ML100K, Problem, fetch_ml100k, ml100k
from skwfm import FieldTransformer, HistoryEncoder, WeightedFMRegressor

__all__ = ["CASES", "Case", "Run", "main", "markdown", "page_tables", "read", "summary"]

RESULTS = Path(__file__).parent / "results"
RANDOM, USERS_LAST, LAST = "folds", "last of each user", "last of all"
# The folds of every split.
SPLITS: dict[str, Sequence[int]] = {RANDOM: range(1, 6), USERS_LAST: [0], LAST: [0]}
QUICK_ROWS = 600
NONE, BOTH = "none", "history, audience"
KEYS = ["columns", "fields", "n_factors", "rows_per_user", "split"]
PACKAGES = ["skwfm", "numpy", "scipy", "scikit-learn"]


class OwnKept(HistoryEncoder):
    """History with the row's own item where it is among the training rows."""

    def transform(self, X: Any) -> Any:
        """Say nothing about the own item, which leaves it in."""
        return super().transform(X.assign(**{X.columns[1]: None}))


class Liked(HistoryEncoder):
    """History of the training rows with 4 or 5 stars."""

    def fit(self, X: Any, y: Any = None) -> Any:
        """Forget the item of all other rows."""
        return super().fit(X.assign(**{X.columns[1]: X.iloc[:, 1].where(y >= 4)}))


def _both(encoder: Callable[..., Any] = HistoryEncoder, **options: Any) -> list[Any]:
    return [
        ("history", encoder(**options), ["user", "item"]),
        ("audience", encoder(**options), ["item", "user"]),
    ]


LENGTHS: list[int | None] = [25, 50, 200, 400, None]
FIELDS: dict[str, Callable[[], list[Any]]] = {
    NONE: list,
    "history": lambda: _both()[:1],
    "audience": lambda: _both()[1:],
    BOTH: _both,
    **{
        f"{BOTH}, max_items={length}": lambda length=length: _both(max_items=length)
        for length in LENGTHS
    },
    f"{BOTH}, own item kept": lambda: _both(OwnKept),
    f"{BOTH}, of 4 and 5 stars": lambda: _both(Liked),
}


class Case(NamedTuple):
    """What is fitted."""

    columns: str
    """``"ids"``: user and item; ``"all"``: those about user and item too."""
    fields: str
    n_factors: int = 8
    rows_per_user: int | None = None
    """How many training rows of a user are left; None: all."""
    split: str = RANDOM


CASES = [
    *[Case("ids", name) for name in FIELDS],
    *[Case("ids", name, n_factors=16) for name in (NONE, BOTH)],
    *[Case("all", name) for name in (NONE, "history", "audience", BOTH)],
    *[Case("all", name, n_factors=16) for name in (NONE, BOTH)],
    *[
        Case("ids", name, rows_per_user=n)
        for n in (5, 10, 20)
        for name in (NONE, "history", BOTH, f"{BOTH}, own item kept")
    ],
    *[
        Case("ids", name, split=split)
        for split in (USERS_LAST, LAST)
        for name in (NONE, "history", "audience", BOTH)
    ],
]


class Run(NamedTuple):
    """One fit."""

    columns: str
    fields: str
    n_factors: int
    rows_per_user: int | None
    split: str
    fold: int
    rmse: float
    cpu_seconds: float
    """CPU seconds of `fit` of the model."""


def run_case(case: Case, problem: Problem, fold: int) -> Run:
    """Fit and score one case."""
    train, y = problem.train, problem.y_train
    if case.rows_per_user is not None:
        kept = _some_rows(train["user"], case.rows_per_user)
        train, y = train[kept], y[kept]
    transformer = FieldTransformer(
        [*_base(case, problem).transformers, *FIELDS[case.fields]()]
    )
    X = transformer.fit_transform(train, y)
    start = time.process_time()
    model = WeightedFMRegressor(case.n_factors, random_state=0).fit(X, y)
    seconds = time.process_time() - start
    predicted = model.predict(transformer.transform(problem.test))
    return Run(
        *case,
        fold,
        round(float(root_mean_squared_error(problem.y_test, predicted)), 4),
        round(seconds, 2),
    )


def _base(case: Case, problem: Problem) -> FieldTransformer:
    if case.columns == "all":
        return problem.transformer
    ids = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    return FieldTransformer([("ids", ids, ["user", "item"])])


def problem_of(split: str, fold: int, wheel: Path) -> Problem:
    """Return train and test rows; in time the test rows are the last fifth."""
    if split == RANDOM:
        return ml100k(fold, wheel=wheel)
    problem = ml100k(1, wheel=wheel)
    rows = pd.concat([problem.train, problem.test])
    y = np.concatenate([problem.y_train, problem.y_test])
    in_file = np.argsort(rows.index)  # the two parts, each in the order of the file
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{ML100K}.inter") as file:
        times = pd.read_csv(file, sep="\t")["timestamp:float"].to_numpy()
    order = in_file[np.argsort(times, kind="stable")]
    rows, y = rows.iloc[order], y[order]
    last = _last_fifth(rows["user"] if split == USERS_LAST else rows["user"].eq(""))
    return problem._replace(
        train=rows[~last], test=rows[last], y_train=y[~last], y_test=y[last]
    )


def _last_fifth(groups: pd.Series) -> np.ndarray:
    """Return a mask of the last fifth of the rows of every group."""
    of_group = groups.groupby(groups)
    left = of_group.cumcount(ascending=False)
    return (left < of_group.transform("size") / 5).to_numpy()


def _some_rows(users: pd.Series, n_rows: int) -> np.ndarray:
    """Return a mask of at most `n_rows` random rows of every user."""
    order = np.random.RandomState(0).permutation(len(users))
    number = users.iloc[order].groupby(users.iloc[order]).cumcount()
    mask = np.zeros(len(users), dtype=bool)
    mask[order[number.to_numpy() < n_rows]] = True
    return mask


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per case.

    ``gain`` is the mean of the differences of RMSE to the same model without history
    fields on the same fold, ``gain_std`` their standard deviation; ``cpu_ratio`` the
    median of the ratios of CPU seconds, likewise.
    """
    table = pd.DataFrame(runs).astype({"rows_per_user": "Int64"})
    same = [key for key in (*KEYS, "fold") if key != "fields"]
    base = table.loc[table["fields"] == NONE, [*same, "rmse", "cpu_seconds"]]
    table = table.merge(base, on=same, suffixes=("", "_base"), validate="many_to_one")
    table["gain"] = table["rmse"] - table["rmse_base"]
    table["cpu_ratio"] = table["cpu_seconds"] / table["cpu_seconds_base"]
    return (
        table.groupby(KEYS, sort=False, dropna=False)
        .agg(
            rmse=("rmse", "mean"),
            spread=("rmse", lambda values: values.std(ddof=0)),
            gain=("gain", "mean"),
            gain_std=("gain", lambda values: values.std(ddof=0)),
            cpu_seconds=("cpu_seconds", "median"),
            cpu_ratio=("cpu_ratio", "median"),
            folds=("fold", "size"),
        )
        .reset_index()
    )


def markdown(runs: Sequence[Run]) -> str:
    """Return the tables and where the run was made."""
    text = [
        "# History fields on ML-100K",
        "",
        "`WeightedFMRegressor` with its defaults. RMSE: mean and standard deviation "
        "over the folds; difference: to the same model without history fields on the "
        "same fold, mean and standard deviation, negative being better; CPU: median "
        "seconds of `fit`, and median ratio. Written by "
        "`python -m benchmarks.history`.",
        "",
    ]
    for title, table in _tables(runs).items():
        text += [f"{title}:", "", *_lines(table), ""]
    return "\n".join([*text, _environment(), ""])


def _tables(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the parts of the summary by their titles."""
    table = summary(runs)
    few, random = table["rows_per_user"].notna(), table["split"] == RANDOM
    tables = {
        "The published folds u1 to u5": table[random & ~few],
        "With some training rows of every user only, chosen at random": table[few],
        "The last fifth of the rows in time as test rows": table[~random],
    }
    return {title: part for title, part in tables.items() if len(part)}


def _lines(table: pd.DataFrame, names: list[str] | None = None) -> list[str]:
    rows = [
        {
            "columns": row["columns"],
            "k": str(row["n_factors"]),
            "rows of a user": (
                "all" if pd.isna(row["rows_per_user"]) else str(row["rows_per_user"])
            ),
            "split": row["split"],
            "history fields": row["fields"],
            "RMSE": f"{row['rmse']:.4f}",
            "std": f"{row['spread']:.4f}",
            "difference": f"{row['gain']:+.4f}"
            + (f" ± {row['gain_std']:.4f}" if row["folds"] > 1 else ""),
            "CPU s fit": f"{row['cpu_seconds']:.2f}",
            "ratio": f"{row['cpu_ratio']:.1f}",
        }
        for row in table.to_dict("records")
    ]
    names = list(rows[0]) if names is None else names
    lines = [names, ["---"] * len(names), *[[row[n] for n in names] for row in rows]]
    return [f"| {' | '.join(line)} |" for line in lines]


def page_tables(runs: Sequence[Run]) -> list[str]:
    """Return the tables of the documentation, as those of `markdown` but narrower."""
    fields = ["history fields", "RMSE", "difference"]
    names = (
        ["columns", "k", *fields, "ratio"],
        ["rows of a user", *fields],
        ["split", *fields],
    )
    tables = zip(_tables(runs).values(), names, strict=True)
    return ["\n".join(_lines(table, columns)) for table, columns in tables]


def _environment() -> str:
    """Return date, kind of machine and versions; nothing that names the machine."""
    info = describe()
    packages = ", ".join(f"{name} {info['packages'][name]}" for name in PACKAGES)
    return f"{info['date']}, {info['processor']}, Python {info['python']}, {packages}."


def write(runs: Sequence[Run], folder: Path) -> None:
    """Write every fit to ``history.csv`` and the table to ``history.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(runs).astype({"rows_per_user": "Int64"})
    table.to_csv(folder / "history.csv", index=False)
    (folder / "history.md").write_text(markdown(runs), encoding="utf-8")


def read(path: Path) -> list[Run]:
    """Return the fits that `write` wrote."""
    table = pd.read_csv(
        path, dtype={"rows_per_user": "Int64"}, keep_default_na=False, na_values=[""]
    ).astype({"rows_per_user": object})
    table = table.where(table.notna(), None)
    return [Run(*row) for row in table.itertuples(index=False)]


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run all cases; print a line per fit, then the table."""
    options = _parser().parse_args(arguments)
    wheel = options.wheel or fetch_ml100k()
    output = options.output or (None if options.quick else RESULTS)
    runs = []
    for split in options.splits:
        for fold in SPLITS[split][:1] if options.quick else SPLITS[split]:
            problem = problem_of(split, fold, wheel)
            if options.quick:
                problem = problem.first(QUICK_ROWS)
            if not runs:  # what runs first pays for imports
                run_case(CASES[0], problem.first(QUICK_ROWS), fold)
            for case in (case for case in CASES if case.split == split):
                run = run_case(case, problem, fold)
                print(
                    f"{fold} {run.rmse:.4f} {run.cpu_seconds:6.2f} s  {case}",
                    flush=True,
                )
                runs.append(run)
    if output is not None and (output / "history.csv").exists():
        others = read(output / "history.csv")
        runs = [run for run in others if run.split not in options.splits] + runs
    print(f"\n{markdown(runs)}")
    if output is not None:
        write(runs, output)
    return runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.history")
    parser.add_argument(
        "--wheel", type=Path, help="wheel of recbole 1.2.1; default: ask pip for it"
    )
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    add_output(parser, "few rows, one fold")
    return parser


if __name__ == "__main__":
    main()
