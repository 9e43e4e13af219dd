"""The pictures of the performance page, by the name of their file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import plots
from benchmarks.run import RESULTS, read
from benchmarks.targets import Figures

OURS, THEIRS = "#0072B2", "#999999"


def epochs(path: Path) -> None:
    """Draw the CPU seconds of an epoch: a panel per problem, a bar per library."""
    table = read(RESULTS / "speed.csv")
    of = table[(table["mode"] == "epoch") & (table["measure"] == "cpu_seconds")]
    cases = of[["problem", "model", "k"]].drop_duplicates()
    cases = list(cases.sort_values(["model", "problem"]).itertuples(index=False))
    figure = Figure(figsize=(7.8, 5.2), layout="constrained")
    panels = figure.subplots(2, -(-len(cases) // 2), squeeze=False).ravel()
    for panel in panels[len(cases) :]:
        panel.remove()
    for panel, case in zip(panels, cases, strict=False):
        _bars(panel, _seconds(of, table, tuple(case)))
        panel.set_title(f"{case.model.upper()} k={case.k}, {case.problem}", fontsize=10)
    figure.suptitle("CPU seconds of one epoch on one thread (less is better)")
    figure.savefig(path, dpi=150)


def _seconds(of: pd.DataFrame, table: pd.DataFrame, case: tuple) -> pd.Series:
    mine = (of[["problem", "model", "k"]] == list(case)).all(axis=1)
    who = of.loc[mine, ["library", "option"]].drop_duplicates()
    seconds = {
        plots.label(*one): Figures(table).median(
            "epoch", case, "cpu_seconds", library=one.library, option=one.option
        )
        for one in who.itertuples(index=False)
    }
    return pd.Series(seconds).sort_values(ascending=False)


def _bars(panel, seconds: pd.Series) -> None:
    colours = [OURS if name.startswith("skwfm") else THEIRS for name in seconds.index]
    panel.barh(seconds.index, seconds, color=colours)
    for place, value in enumerate(seconds):
        panel.text(value, place, f" {value:.2g}", va="center", fontsize=9)
    panel.set_xlim(0, 1.25 * seconds.max())
    panel.tick_params(axis="y", labelsize=9, length=0)
    panel.set_xticks([])
    panel.spines[["top", "right", "bottom"]].set_visible(False)


def quality(path: Path) -> None:
    """Draw how much lower the RMSE is than that of ridge on the same seed or fold."""
    runs = pd.read_csv(RESULTS / "quality.csv")
    rmse = runs.pivot_table(index=["problem", "seed"], columns="model", values="rmse")
    below = 100 * (1 - rmse.div(rmse["ridge"], axis=0))
    models = [
        ("WeightedFMRegressor", "FM", "o", -0.12),
        ("WeightedFFMRegressor", "FFM", "s", 0.12),
    ]
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=1)
    problems = list(below.index.get_level_values("problem").unique())
    for name, label, marker, shift in models:
        colour = plots.STYLES[label][0]
        for place, problem in enumerate(problems):
            values = below.loc[problem, name].to_numpy()
            y = place + shift
            axes.plot(values, np.full(len(values), y), marker, color=colour, alpha=0.4)
            axes.vlines(values.mean(), y - 0.1, y + 0.1, color=colour, linewidth=3)
        axes.plot([], [], marker, color=colour, label=f"{label}, defaults")
    axes.set_yticks(range(len(problems)), problems)
    axes.set_ylim(len(problems) - 0.5, -0.5)
    axes.set_xlabel("RMSE below that of ridge on the same fields, %")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=150)


def scaling(path: Path) -> None:
    """Draw the time of an epoch as one size grows."""
    plots.scaling(read(RESULTS / "speed.csv"), path)


def time_to_quality(path: Path) -> None:
    """Draw the test metric after every epoch against CPU seconds."""
    plots.time_to_quality(read(RESULTS / "speed.csv"), path)


PICTURES: dict[str, Callable[[Path], None]] = {
    "epochs": epochs,
    "quality": quality,
    "scaling": scaling,
    "time_to_quality": time_to_quality,
}
