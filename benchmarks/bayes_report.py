"""The tables of ``python -m benchmarks.bayes``, from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bayes_parts import ADAGRAD, LEVELS, OURS, PEER, RIDGE, Row
from benchmarks.machine import describe

__all__ = ["TARGETS", "markdown", "time_to_quality"]

# RMSE to reach; history fields are to be worth something beside the other columns.
TARGETS = {
    "movielens": "at most .838",
    "ml100k": "at most .8855",
    "ml100k, ids": "at most .891",
    "ml100k, history, own item kept": "below `ml100k`",
    "ml100k, history": "below `ml100k`",
    "films": "at most 22.8",
    "goodbooks": "at most .8814",
}
NOTES = {
    "quality": "RMSE of the test rows, mean and standard deviation over seeds, and "
    "median CPU seconds of `fit` (of ridge: with its search). 8 factors, our defaults "
    "but `solver`; myFM: 200 sweeps, the first tenth as burn-in, fields as groups.",
    "curves": "CPU seconds until the running mean's test RMSE is that of "
    "myFM after its sweeps. Ours include all that `fit` does, and scoring the test "
    "rows after every sweep; myFM scores none.",
    "threads": "Median wall seconds of a sweep on one and two threads, which took "
    "turns five times; median of the ratios.",
    "memory": "Peak of resident memory in `fit` beyond what was there before, in a "
    "process of its own, without the kept draws; X as float32 CSC is the unit.",
    "calibration": "Share of the test targets within central intervals of the normal "
    "distribution with mean and standard deviation of `predict(X, return_std=True)`, "
    "mean over seeds.",
}
TITLES = {
    "quality": "Quality",
    "curves": "Time to quality",
    "threads": "Two threads",
    "memory": "Memory",
    "calibration": "Calibration",
}
PACKAGES = ["skwfm", "numpy", "scipy", "scikit-learn", "torch", "skorch", "myfm"]


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables of the parts that were measured, and where they were."""
    table = pd.DataFrame(rows, columns=Row._fields)
    lines = ["# Gibbs sampling", "", "Written by `python -m benchmarks.bayes`.", ""]
    for part, make in TABLES.items():
        of = table[table["part"] == part]
        if len(of):
            found = make(of)
            lines += [f"## {TITLES[part]}", "", NOTES[part], "", *_lines(found), ""]
    info = describe()
    found = info["packages"]
    packages = ", ".join(f"{name} {found[name]}" for name in PACKAGES if name in found)
    machine = f"{info['date']}, {info['processor']}, Python {info['python']}"
    return "\n".join([*lines, f"{machine}, {packages}.", ""])


def _lines(rows: list[dict[str, str]]) -> list[str]:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *[list(r.values()) for r in rows]]
    return [f"| {' | '.join(line)} |" for line in lines]


def _quality(table: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for problem, target in TARGETS.items():
        of = table[table["problem"] == problem]
        if not len(of):
            continue
        row = {"problem": problem, "target": target}
        for model in (OURS, PEER, RIDGE, ADAGRAD):
            row[model] = _rmse_of(of[of["model"] == model])
        for model in (OURS, PEER):
            own = of[(of["model"] == model) & (of["measure"] == "cpu_seconds")]
            seconds = f"{own['value'].median():.1f}" if len(own) else "-"
            row[f"CPU s, {model}"] = seconds
        rows.append(row)
    return rows


def _rmse_of(table: pd.DataFrame) -> str:
    values = table.loc[table["measure"] == "rmse", "value"]
    if not len(values):
        return "-"
    digits = 2 if values.mean() > 10 else 4
    spread = f" ± {values.std(ddof=0):.{digits}f}" if len(values) > 1 else ", one seed"
    return f"{values.mean():.{digits}f}{spread}"


def time_to_quality(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for every curve when ours was as good as myFM at its end."""
    found = []
    for (problem, k), of in table.groupby(["problem", "n_factors"], sort=False):
        wide = of.pivot_table(
            index="step", columns=["model", "measure"], values="value"
        )
        ours, row = wide[OURS].dropna(), {"problem": problem, "k": k}
        row["ours at the end"] = ours["rmse"].iloc[-1]
        if PEER in wide:
            peer = wide[PEER].dropna()
            row |= {"myFM": peer["rmse"].iloc[-1], "sweeps": peer.index[-1]}
            row["its CPU s"] = peer["cpu_seconds"].iloc[-1]
            good = ours[ours["rmse"] <= row["myFM"]]
            if len(good):
                seconds = good["cpu_seconds"].iloc[0]
                row |= {"our sweeps": good.index[0], "our CPU s": seconds}
                row["ratio"] = seconds / peer["cpu_seconds"].iloc[-1]
        found.append(row)
    return found


def _curves(table: pd.DataFrame) -> list[dict[str, str]]:
    def text(row: dict[str, Any], name: str, style: str) -> str:
        return format(row[name], style) if name in row else "-"

    return [
        {
            "problem": str(row["problem"]),
            "k": str(row["k"]),
            "sweeps of myFM": text(row, "sweeps", ".0f"),
            "its RMSE": text(row, "myFM", ".4f"),
            "its CPU s": text(row, "its CPU s", ".1f"),
            "our sweeps until then": text(row, "our sweeps", ".0f"),
            "our CPU s": text(row, "our CPU s", ".2f"),
            "ratio (at most .25)": text(row, "ratio", ".3f"),
            "our RMSE at the end": text(row, "ours at the end", ".4f"),
        }
        for row in time_to_quality(table)
    ]


def _threads(table: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for (problem, k), of in table.groupby(["problem", "n_factors"], sort=False):
        wall, cpu = (
            of[of["measure"] == f"{clock}_seconds"].pivot(
                index="step", columns="model", values="value"
            )
            for clock in ("wall", "cpu")
        )
        ratios = wall["n_jobs=1"] / wall["n_jobs=2"]
        work = cpu["n_jobs=2"] / cpu["n_jobs=1"]
        rows.append(
            {
                "problem": str(problem),
                "k": str(k),
                "wall s, one": f"{wall['n_jobs=1'].median():.3f}",
                "two": f"{wall['n_jobs=2'].median():.3f}",
                "ratio (at least 1.6)": f"{ratios.median():.2f}",
                "of all five": f"{ratios.min():.2f} to {ratios.max():.2f}",
                "CPU of two to one": f"{work.median():.2f}",
            }
        )
    return rows


def _memory(table: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for (problem, k), of in table.groupby(["problem", "n_factors"], sort=False):
        value = of.set_index("measure")["value"]
        rows.append(
            {
                "problem": str(problem),
                "k": str(k),
                "X as CSC, MiB": f"{value['csc_mib']:.0f}",
                "peak, MiB": f"{value['extra_mib']:.0f}",
                "kept draws, MiB": f"{value['kept_mib']:.0f}",
                "ratio (at most 3)": f"{value['ratio']:.2f}",
            }
        )
    return rows


def _calibration(table: pd.DataFrame) -> list[dict[str, str]]:
    means = table.groupby(["problem", "step"], sort=False)["value"].mean()
    return [
        {"problem": str(problem)}
        | {f"{level:.0%}": f"{_near(means[problem], level):.1%}" for level in LEVELS}
        for problem in table["problem"].unique()
    ]


def _near(shares: pd.Series, level: float) -> float:
    return float(shares[np.isclose(shares.index.to_numpy(float), level)].iloc[0])


TABLES = {
    "quality": _quality,
    "curves": _curves,
    "threads": _threads,
    "memory": _memory,
    "calibration": _calibration,
}
