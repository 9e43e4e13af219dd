"""The pictures of ``python -m benchmarks.bayes``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import plots
from benchmarks.bayes_parts import OURS, PEER

__all__ = ["calibration", "curves"]

NAMES = {OURS: ("skwfm", 'skwfm, solver="mcmc"'), PEER: ("modern-fm", "myFM 0.4.0")}
# The first sweeps must not squeeze the rest: in units of myFM's last step down.
SHOWN = 4.0
# Of the CPU seconds, from the last down: few enough for ticks at 1, 2 and 5.
SHOWN_SECONDS = 40


def curves(table: pd.DataFrame, path: Path) -> None:
    """Draw test RMSE against CPU seconds, a panel per problem and number of factors."""
    of = table[table["part"] == "curves"]
    cases = list(of[["problem", "n_factors"]].drop_duplicates().itertuples(index=False))
    if not cases:
        return
    figure, panels = plots._panels(len(cases), 2)
    for panel, (problem, k) in zip(panels, cases, strict=True):
        own = of[(of["problem"] == problem) & (of["n_factors"] == k)]
        for model in (OURS, PEER):
            wide = own[own["model"] == model].pivot(
                index="step", columns="measure", values="value"
            )
            if len(wide):
                _curve(panel, wide, model)
        last = own[own["measure"] == "rmse"].groupby("model")["value"].last()
        low = last.min()
        spread = max(last.max() - low, 0.002)
        panel.set_ylim(low - 0.3 * spread, low + SHOWN * spread)
        panel.set(xscale="log", xlabel="CPU seconds", ylabel="test RMSE")
        last_second = own.loc[own["measure"] == "cpu_seconds", "value"].max()
        panel.set_xlim(last_second / SHOWN_SECONDS, last_second * 1.2)
        panel.set_title(f"{problem}, k={k}")
        plots._ticks(panel.xaxis)
        panel.legend(frameon=False, fontsize="small")
    figure.suptitle("Test RMSE of the mean of all draws so far")
    plots._finish(figure, path)


def _curve(panel: Any, wide: pd.DataFrame, model: str) -> None:
    style, text = NAMES[model]
    if model == PEER:
        plots._line(panel, wide["cpu_seconds"], wide["rmse"], style, text)
        return
    # The mean starts anew after the burn-in; a point per sweep needs no marker.
    n_burn_in = len(wide) // 10
    burn_in, rest = wide[:n_burn_in], wide[n_burn_in:]
    for part, line, name in ((rest, "-", text), (burn_in, ":", "its burn-in")):
        plots._line(panel, part["cpu_seconds"], part["rmse"], style, name)
        panel.lines[-1].set(marker="", linewidth=2, linestyle=line)


def calibration(table: pd.DataFrame, path: Path) -> None:
    """Draw the share of targets within intervals against their level."""
    of = table[table["part"] == "calibration"]
    problems = list(of["problem"].unique())
    if not problems:
        return
    figure, panels = plots._panels(len(problems), 2)
    for panel, problem in zip(panels, problems, strict=True):
        own = of[of["problem"] == problem].groupby("step")["value"].mean()
        panel.plot([0, 1], [0, 1], color="#888888", linewidth=1, label="calibrated")
        plots._line(panel, own.index, own, "skwfm", "test targets")
        panel.set(xlim=(0, 1), ylim=(0, 1), xticks=np.linspace(0, 1, 6))
        panel.set(xlabel="level of the central interval", ylabel="share within")
        panel.set_title(problem)
        panel.set_aspect("equal")
        panel.legend(frameon=False)
    figure.suptitle("Intervals of predict(X, return_std=True)")
    plots._finish(figure, path)
