"""The targets, each beside the figure that the results give for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["TARGETS", "Figures", "Target", "assess"]

CASE = ("problem", "model", "k")
ROWS = {"A": 1e6, "As": 2e5, "B": 2e5, "Bs": 4e4, "ratings": 9e5}


class Figures:
    """Medians and ratios of the results; NaN for what was not measured."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table

    def series(self, mode: str, case: Sequence[object], measure: str, **where: str):
        """Return the values of a measurement by repeat, steps in a row."""
        of, wanted = self.table, dict(zip(CASE, case, strict=False))
        wanted |= {"library": "skwfm", "option": "", **where}
        chosen = (of["mode"] == mode) & (of["measure"] == measure)
        for column, value in wanted.items():
            chosen &= of[column] == value
        return of[chosen].sort_values(["repeat", "step"])

    def median(self, *args: object, **where: str) -> float:
        """Return the median over the repeats."""
        values = self.series(*args, **where)["value"]
        return float(values.median()) if len(values) else np.nan

    def ratio(
        self,
        mode: str,
        case: Sequence[object],
        measure: str,
        top: dict[str, str],
        bottom: dict[str, str],
    ) -> float:
        """Return the median of the ratios, each within one repeat."""
        parts = [
            self.series(mode, case, measure, **where).set_index("repeat")["value"]
            for where in (top, bottom)
        ]
        return float((parts[0] / parts[1]).dropna().median())

    def curve(self, case: Sequence[object], **where: str) -> pd.DataFrame:
        """Return the medians of CPU seconds and test metric by epoch."""
        names = ("cpu_seconds", "test")
        parts = [
            self.series("quality", case, name, **where).groupby("step")["value"]
            for name in names
        ]
        medians = [part.median() for part in parts]
        return pd.DataFrame(dict(zip(names, medians, strict=True)))

    def time_to(self, case: Sequence[object], goal: float, **where: str) -> float:
        """Return the CPU seconds until the test metric is as good as `goal`."""
        curve = self.curve(case, **where)
        reached = curve[curve["test"] <= goal]
        return float(reached["cpu_seconds"].iloc[0]) if len(reached) else np.nan

    def time_ratio(self, case: Sequence[object], **peer: str) -> float:
        """Return how many times sooner than `peer` we are as good as its best."""
        best = self.curve(case, **peer)["test"].min()
        return self.time_to(case, best, **peer) / self.time_to(case, best)


class Target(NamedTuple):
    """One line of the table."""

    text: str
    goal: float
    unit: str
    figure: Callable[[Figures], float]
    at_most: bool = False


def _epoch(case: Sequence[object]) -> Callable[[Figures], float]:
    return lambda f: f.median("epoch", case, "cpu_seconds")


def _rows_per_second(case: Sequence[object]) -> Callable[[Figures], float]:
    return lambda f: ROWS[str(case[0])] / f.median("epoch", case, "cpu_seconds")


def _against(case: Sequence[object], library: str) -> Callable[[Figures], float]:
    peer, ours = {"library": library}, {"library": "skwfm"}
    return lambda f: f.ratio("epoch", case, "cpu_seconds", peer, ours)


def _floors(case: Sequence[object]) -> Callable[[Figures], float]:
    def figure(f: Figures) -> float:
        where = {"library": "", "option": "ffm-row"}
        row = 1e6 * f.median("epoch", case, "cpu_seconds") / ROWS[str(case[0])]
        return row / f.median("floor", case, "us_per_row", **where)

    return figure


def _predicts(case: Sequence[object]) -> Callable[[Figures], float]:
    one = {"option": "n_jobs=1"}
    return lambda f: f.median("predict", case, "rows_per_cpu_second", **one)


def _two_cores(mode: str, case: Sequence[object]) -> Callable[[Figures], float]:
    """Return wall time, one thread over two."""
    one, two = {"option": "n_jobs=1"}, {"option": "n_jobs=2"}
    if mode == "predict":
        return lambda f: f.ratio(mode, case, "rows_per_wall_second", two, one)
    return lambda f: f.ratio(mode, case, "wall_seconds", one, two)


def _loss_change(
    case: Sequence[object], best: bool = True
) -> Callable[[Figures], float]:
    """Return the difference of the best losses, or the largest at equal epochs.

    The best is what early stopping keeps; epochs after it overfit.
    """

    def figure(f: Figures) -> float:
        one, two = (
            f.series("threads", case, "test", option=f"n_jobs={n}")
            .groupby("step")["value"]
            .median()
            for n in (1, 2)
        )
        if best:
            return abs(float(two.min() - one.min()))
        return float((two - one).abs().max())

    return figure


def _excess(case: Sequence[object]) -> Callable[[Figures], float]:
    def figure(f: Figures) -> float:
        names = ("extra_mib", "parameters_mib", "states_mib")
        extra, parameters, states = (f.median("memory", case, n) for n in names)
        return extra - parameters - states

    return figure


def _overhead(case: Sequence[object]) -> Callable[[Figures], float]:
    def figure(f: Figures) -> float:
        names = ("fit_seconds", "kernel_seconds")
        fit, kernel = (
            f.series("fit_overhead", case, name).set_index("repeat")["value"]
            for name in names
        )
        return float((fit / kernel).median())

    return figure


A, AS, BS, B = (("A", "ffm", 4), ("As", "ffm", 4), ("Bs", "ffm", 4), ("B", "ffm", 4))
FM_A, FM_AS, FM_BS = (("A", "fm", 8), ("As", "fm", 8), ("Bs", "fm", 8))
FM_R = ("ratings", "fm", 8)

TARGETS = [
    Target("FFM k=4, A: rows of an epoch", 150e3, "rows/s", _rows_per_second(A)),
    Target("FFM k=4, As: rows of an epoch", 150e3, "rows/s", _rows_per_second(AS)),
    Target("FFM k=4, A: epoch over the floor, row state", 3, "x", _floors(A), True),
    Target("FFM k=4, As: epoch over the floor, row state", 3, "x", _floors(AS), True),
    Target("FFM k=4, As: epoch against modern-fm", 20, "x", _against(AS, "modern_fm")),
    Target(
        "FFM k=4, A: time to the best loss of our per-weight mode",
        1.3,
        "x",
        lambda f: f.time_ratio(A, option="per-weight"),
    ),
    Target("FFM k=4, Bs: epoch", 0.5, "CPU s", _epoch(BS), True),
    Target("FFM k=4, Bs: epoch against modern-fm", 30, "x", _against(BS, "modern_fm")),
    Target("FM k=8, As: epoch", 0.32, "CPU s", _epoch(FM_AS), True),
    Target(
        "FM k=8, As: epoch against modern-fm", 10, "x", _against(FM_AS, "modern_fm")
    ),
    Target("FM k=8, As: epoch against xLearn", 2, "x", _against(FM_AS, "xlearn")),
    Target("FM k=8, Bs: epoch", 0.2, "CPU s", _epoch(FM_BS), True),
    Target("FM k=8, ratings: epoch", 0.26, "CPU s", _epoch(FM_R), True),
    Target("Prediction, FFM k=4, A, one core", 280e3, "rows/s", _predicts(A)),
    Target("Prediction, FM k=8, A, one core", 1e6, "rows/s", _predicts(FM_A)),
    Target("Prediction, FFM k=4, B, one core", 500e3, "rows/s", _predicts(B)),
    Target("Prediction, FFM k=4, A, two cores", 1.9, "x", _two_cores("predict", A)),
    Target("Prediction, FM k=8, A, two cores", 1.9, "x", _two_cores("predict", FM_A)),
    Target("Prediction, FFM k=4, B, two cores", 1.9, "x", _two_cores("predict", B)),
    Target("Training, FFM k=4, A, two threads", 1.6, "x", _two_cores("threads", A)),
    Target("Training, FM k=8, As, two threads", 1.6, "x", _two_cores("threads", FM_AS)),
    *(
        Target(f"{name}: {what} of two threads", 0.001, "change", figure, True)
        for name, case in (("FFM k=4, A", A), ("FM k=8, As", FM_AS))
        for what, figure in (
            ("best loss", _loss_change(case)),
            ("loss, overfitted epochs too,", _loss_change(case, best=False)),
        )
    ),
    Target(
        "FFM k=4, A: memory of fit beyond X, parameters, states",
        64,
        "MiB",
        _excess(A),
        True,
    ),
    Target(
        "FM k=8, A: memory of fit beyond X, parameters, states",
        64,
        "MiB",
        _excess(FM_A),
        True,
    ),
    Target(
        "Import of skwfm, torch imported",
        0.3,
        "s",
        lambda f: f.median("imports", ("", "", 0), "wall_seconds"),
        True,
    ),
    Target(
        "Import of the estimators, torch, scikit-learn and skorch imported",
        0.3,
        "s",
        lambda f: f.median("imports", ("", "", 0), "estimators_wall_seconds"),
        True,
    ),
    Target("FFM k=4, A: fit over its epochs", 1.15, "x", _overhead(A), True),
    Target("FM k=8, A: fit over its epochs", 1.15, "x", _overhead(FM_A), True),
]


def assess(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per target: text, goal, figure, and whether it is met."""
    figures = Figures(table)
    rows = []
    for target in TARGETS:
        figure = target.figure(figures)
        met = figure <= target.goal if target.at_most else figure >= target.goal
        verdict = "not measured" if np.isnan(figure) else "yes" if met else "no"
        sign = "at most" if target.at_most else "at least"
        goal = f"{sign} {target.goal:,.6g} {target.unit}"
        rows.append((target.text, goal, figure, target.unit, verdict))
    return pd.DataFrame(rows, columns=["target", "goal", "figure", "unit", "met"])
