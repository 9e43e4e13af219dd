"""The plots: how an epoch scales, and test metric against CPU seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.targets import CASE, Figures

__all__ = ["exponent", "scaling", "time_to_quality"]

# Okabe and Ito, which colour-blind readers tell apart; markers say the same again.
# Each series has the same in every panel.
STYLES = {
    "skwfm": ("#0072B2", "o"),
    "skwfm, per-weight": ("#56B4E9", "v"),
    "modern-fm": ("#D55E00", "s"),
    "libFFM": ("#009E73", "D"),
    "xLearn": ("#CC79A7", "^"),
    "torch": ("#E69F00", "P"),
    "FFM": ("#0072B2", "o"),
    "FM": ("#D55E00", "s"),
}
OTHER = ("#000000", "X")
NAMES = {
    "modern_fm": "modern-fm",
    "libffm": "libFFM",
    "xlearn": "xLearn",
    "myfm": "myFM",
    "lightfm": "LightFM",
    "vowpalwabbit": "Vowpal Wabbit",
}
AXES = {
    "rows": "rows",
    "k": "factors k",
    "fields": "fields F",
    "values": "values per bag",
    "vocabulary": "labels",
}
METRICS = {"rmse": "test RMSE", "logloss": "test logloss"}
# A curve that starts far away or explodes must not squeeze the others.
SHOWN_SPREAD = 3.0


def label(library: str, option: str) -> str:
    """Return what to call a series."""
    name = NAMES.get(library, library)
    return f"{name}, {option}" if option else name


def exponent(sizes: Any, seconds: Any) -> float:
    """Return the slope of the line through the points in log-log axes."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def scaling_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return axis, model, size and the median CPU seconds of an epoch."""
    chosen = (table["mode"] == "scaling") & (table["measure"] == "cpu_seconds")
    of = table[chosen].copy()
    parts = [option.partition("=") for option in of["option"]]
    of["axis"] = [axis for axis, _, _ in parts]
    of["size"] = [int(size) for _, _, size in parts]
    return of.groupby(["axis", "model", "size"])["value"].median().reset_index()


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted exponents, a row per axis and a column per model."""
    rows = [
        (axis, model, exponent(part["size"], part["value"]))
        for (axis, model), part in scaling_table(table).groupby(["axis", "model"])
        if len(part) > 1
    ]
    found = pd.DataFrame(rows, columns=["axis", "model", "exponent"])
    return found.pivot(index="axis", columns="model", values="exponent")


def scaling(table: pd.DataFrame, path: Path) -> None:
    """Draw the seconds of an epoch against every axis."""
    points = scaling_table(table)
    axes = [axis for axis in AXES if axis in set(points["axis"])]
    figure, panels = _panels(len(axes), 3)
    for panel, axis in zip(panels, axes, strict=True):
        of = points[points["axis"] == axis]
        for model, part in of.groupby("model"):
            text = model.upper()
            if len(part) > 1:
                slope = exponent(part["size"], part["value"])
                text += f": slope {slope:.2f}"
            _line(panel, part["size"], part["value"], model.upper(), text)
        panel.set(xscale="log", yscale="log", xlabel=f"number of {AXES[axis]}")
        panel.set(ylabel="CPU seconds of an epoch", title=f"More {AXES[axis]}")
        _ticks(panel.xaxis)
        _ticks(panel.yaxis)
        panel.legend(frameon=False)
    figure.suptitle("One epoch on one thread, as one size grows")
    _finish(figure, path)


def time_to_quality(table: pd.DataFrame, path: Path) -> None:
    """Draw the test metric against CPU seconds, a panel per problem and model."""
    of = table[table["mode"] == "quality"]
    cases = list(of[list(CASE)].drop_duplicates().itertuples(index=False))
    figure, panels = _panels(len(cases), 3)
    for panel, case in zip(panels, cases, strict=True):
        bests = []
        mine = (of[list(CASE)] == list(case)).all(axis=1)
        who = of.loc[mine, ["library", "option"]].drop_duplicates()
        for library, option in who.itertuples(index=False):
            curve = Figures(table).curve(case, library=library, option=option).dropna()
            name = label(library, option)
            _line(panel, curve["cpu_seconds"], curve["test"], name, name)
            bests.append(curve["test"].min())
        task = "rmse" if case[0] == "ratings" else "logloss"
        low, high = np.nanmin(bests), np.nanmedian(bests)
        spread = max(high - low, 0.01)
        panel.set_ylim(low - 0.2 * spread, low + SHOWN_SPREAD * spread)
        panel.set(xscale="log", xlabel="CPU seconds", ylabel=METRICS[task])
        panel.set_title(f"{case[0]}, {case[1].upper()}, k={case[2]}")
        _ticks(panel.xaxis)
        panel.legend(frameon=False, fontsize="small")
    figure.suptitle("Test metric after every epoch")
    _finish(figure, path)


def _panels(n: int, columns: int) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    columns = max(min(n, columns), 1)
    rows = max(-(-n // columns), 1)
    figure = Figure(figsize=(4.4 * columns, 3.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in panels[n:]:
        panel.remove()
    return figure, panels[:n]


def _line(panel: Any, x: Any, y: Any, style: str, text: str) -> None:
    colour, marker = STYLES.get(style, OTHER)
    panel.plot(x, y, color=colour, marker=marker, markersize=5, label=text)


def _ticks(axis: Any) -> None:
    """Show plain numbers, and some even where a logarithmic axis spans no decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 5.0) if high < 50 * low else (1.0,))
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _finish(figure: Any, path: Path) -> None:
    for panel in figure.axes:
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
