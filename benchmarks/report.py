"""Tables and plots of the results: ``python -m benchmarks.report``.

Reads ``results/speed.csv``, writes ``speed.md`` and the plots beside it and fills the
blocks that other files mark::

    <!-- benchmark:begin NAME -->
    <!-- benchmark:end NAME -->

with NAME one of `BLOCKS`. Files without such a block stay as they are.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import plots
from benchmarks.grid import TWO_PROCESSES
from benchmarks.run import RESULTS, read
from benchmarks.targets import Figures, assess

__all__ = ["BLOCKS", "fill", "main", "markdown"]

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(<!-- benchmark:begin (?P<name>[\w-]+) -->\n)"
    r".*?(<!-- benchmark:end (?P=name) -->)",
    re.DOTALL,
)


def targets_block(table: pd.DataFrame) -> str:
    """Return the targets beside their figures."""
    rows = [
        (row.target, row.goal, _number(row.figure, row.unit), row.met)
        for row in assess(table).itertuples()
    ]
    return _table(["target", "goal", "measured", "met"], rows)


def epoch_block(table: pd.DataFrame) -> str:
    """Return the CPU seconds of an epoch, and how many times ours they are."""
    of = table[(table["mode"] == "epoch") & (table["measure"] == "cpu_seconds")]
    of = of.sort_values(["model", "problem"], kind="stable")
    figures, ours = Figures(table), {"library": "skwfm", "option": ""}
    rows = []
    for case in _unique(of, ["problem", "model", "k", "library", "option"]):
        problem, model, k, library, option = case
        who = {"library": library, "option": option}
        seconds = figures.median("epoch", case[:3], "cpu_seconds", **who)
        ratio = figures.ratio("epoch", case[:3], "cpu_seconds", who, ours)
        of_case = problem, f"{model.upper()} k={k}", plots.label(library, option)
        rows.append((*of_case, _number(seconds, "CPU s"), _number(ratio, "x")))
    return _table(["problem", "model", "library", "epoch", "over ours"], rows)


def quality_block(table: pd.DataFrame) -> str:
    """Return each library's best test metric and how much sooner we get there."""
    figures, of = Figures(table), table[table["mode"] == "quality"]
    rows = []
    for case in _unique(of, ["problem", "model", "k", "library", "option"]):
        problem, model, k, library, option = case
        who = {"library": library, "option": option}
        best = figures.curve(case[:3], **who)["test"].min()
        theirs = figures.time_to(case[:3], best, **who)
        ours = figures.time_to(case[:3], best)
        rows.append(
            (
                problem,
                f"{model.upper()} k={k}",
                plots.label(library, option),
                f"{best:.4f}",
                _number(theirs, "CPU s"),
                "never" if np.isnan(ours) else _number(ours, "CPU s"),
                _number(theirs / ours, "x"),
            )
        )
    names = ["problem", "model", "library", "best", "after", "ours as good after"]
    return _table([*names, "sooner"], rows)


def scaling_block(table: pd.DataFrame) -> str:
    """Return the exponents of the scaling study."""
    found = plots.exponents(table)
    rows = [
        (title, *(_number(found.loc[axis].get(model), "") for model in ("fm", "ffm")))
        for axis, title in plots.AXES.items()
        if axis in found.index
    ]
    return _table(["as this grows", "FM", "FFM"], rows)


def cores_block(table: pd.DataFrame) -> str:
    """Return wall time, one thread over two, and what two processes reach."""
    figures, rows = Figures(table), []
    one = {"option": "n_jobs=1"}
    for mode, measure, what in (
        ("threads", "wall_seconds", "training"),
        ("predict", "rows_per_wall_second", "prediction"),
    ):
        of = table[(table["mode"] == mode) & (table["measure"] == measure)]
        for case in _unique(of, ["problem", "model", "k"]):
            pairs = [({"option": o}, one) for o in ("n_jobs=2", TWO_PROCESSES)]
            if measure == "wall_seconds":
                pairs = [pair[::-1] for pair in pairs]
            ratios = [figures.ratio(mode, case, measure, *pair) for pair in pairs]
            name = f"{case[1].upper()} k={case[2]}"
            rows.append((what, case[0], name, *(_number(r, "x") for r in ratios)))
    return _table(["", "problem", "model", "two threads", "two processes"], rows)


def floor_block(table: pd.DataFrame) -> str:
    """Return the floor of every problem in microseconds per row."""
    of = table[(table["mode"] == "floor") & (table["measure"] == "us_per_row")]
    rows = [
        (problem, option, str(k), _number(part["value"].median(), "us/row"))
        for (problem, option, k), part in of.groupby(
            ["problem", "option", "k"], sort=False
        )
    ]
    return _table(["problem", "parameters", "k", "floor"], rows)


# What a marked block may be called.
BLOCKS: dict[str, Callable[[pd.DataFrame], str]] = {
    "targets": targets_block,
    "epoch": epoch_block,
    "time-to-quality": quality_block,
    "cores": cores_block,
    "scaling": scaling_block,
    "floor": floor_block,
}
TITLES = {
    "targets": "Targets",
    "epoch": "CPU seconds of an epoch, one thread",
    "time-to-quality": "CPU seconds to the best test metric of each library",
    "cores": "Two cores: threads, and processes that share nothing",
    "scaling": "Exponents of the epoch's time",
    "floor": "Physical floor: one read and write of every touched parameter row",
}


def markdown(table: pd.DataFrame, about: dict[str, Any]) -> str:
    """Return the page ``speed.md``."""
    parts = [
        "# Speed",
        "Medians over the repeats; ratios are medians of ratios within a repeat. "
        "Written by `python -m benchmarks.report` from `speed.csv`.",
    ]
    for name, block in BLOCKS.items():
        parts += [f"## {TITLES[name]}", block(table)]
    parts += ["## Machine", _machines(about)]
    return "\n\n".join(parts) + "\n"


def fill(text: str, table: pd.DataFrame) -> str:
    """Return the text with its marked blocks written anew."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in BLOCKS:
            expected = f"expected one of {list(BLOCKS)}"
            raise ValueError(f"benchmark:begin {name!r}: {expected}.")
        return f"{match[1]}\n{BLOCKS[name](table)}\n\n{match[3]}"

    return BLOCK.sub(block, text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, the plots and the marked blocks."""
    options = _parser().parse_args(arguments)
    folder: Path = options.results
    table = read(folder / "speed.csv")
    about = json.loads((folder / "speed.json").read_text(encoding="utf-8"))
    (folder / "speed.md").write_text(markdown(table, about), encoding="utf-8")
    modes = set(table["mode"])
    if "scaling" in modes:
        plots.scaling(table, folder / "scaling.png")
    if "quality" in modes:
        plots.time_to_quality(table, folder / "time_to_quality.png")
    for path in options.fill if options.fill is not None else _marked():
        old = path.read_text(encoding="utf-8")
        new = fill(old, table)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"filled {path.name}")


def _marked() -> Iterable[Path]:
    """Return the files that may have marked blocks."""
    docs = [p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts]
    return [ROOT / "README.md", *sorted(docs)]


def _unique(table: pd.DataFrame, columns: list[str]) -> list[tuple[Any, ...]]:
    return list(table[columns].drop_duplicates().itertuples(index=False, name=None))


def _number(value: float | None, unit: str) -> str:
    """Return a number that a reader can take in, with its unit."""
    if value is None or np.isnan(value):
        return "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 30 else 2
    # Changes of a loss and times of small problems need more.
    text = f"{value:.2g}" if abs(value) < 0.1 else f"{value:,.{digits}f}"
    return f"{text} {unit}".strip()


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Not measured."
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machines(about: dict[str, Any]) -> str:
    """Return where each mode was measured, equal ones together."""
    places: dict[str, list[str]] = {}
    for mode, m in about.items():
        caches = ", ".join(f"{level} {size}" for level, size in m["caches"].items())
        packages = ", ".join(f"{name} {v}" for name, v in m["packages"].items())
        text = (
            f"{m['date']}, {m['processor']} ({', '.join(m['instruction_sets'])}), "
            f"{m['cores']} cores, {m['memory_gib']} GiB, caches {caches}, "
            f"{m['system']}, Python {m['python']}, {packages}."
        )
        places.setdefault(text, []).append(mode)
    return "\n\n".join(f"{', '.join(modes)}: {text}" for text, modes in places.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.report")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder")
    parser.add_argument(
        "--fill",
        type=Path,
        nargs="*",
        help="files with marked blocks; default: README.md and docs/",
    )
    return parser


if __name__ == "__main__":
    main()
