"""The fits of `benchmarks.defaults`: what is kept of them, and the tables.

A gap is paired: the mean over the repeats that have a default and a tuned fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.machine import describe
from benchmarks.tasks import SPECS

__all__ = ["Run", "chosen_rows", "lines", "main_rows", "markdown", "read", "summary"]

GOAL = 0.02
DEFAULT, TRIAL, TUNED = "default", "trial", "tuned"
LINEAR, BOOSTING = "linear", "boosting"
STEPS = [DEFAULT, TRIAL, TUNED, LINEAR, BOOSTING]
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
        *lines(main_rows(table)),
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
        *lines(chosen_rows(runs)),
        "",
        _space(),
        "",
        _environment(),
        "",
    ]
    return "\n".join(text)


def main_rows(table: pd.DataFrame) -> list[dict[str, str]]:
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


def chosen_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
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


def lines(rows: Sequence[dict[str, str]]) -> list[str]:
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
