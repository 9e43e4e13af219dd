"""What ``solver="mcmc"`` is worth on ratings: quality, speed, memory, calibration.

Run from the root of the checkout, with one thread and myFM installed::

    OMP_NUM_THREADS=1 python -m benchmarks.bayes --books FOLDER

FOLDER holds the files of goodbooks-10k, which are not part of the repository; without
it the other problems are measured. What is measured again replaces its rows in
``results/bayes.csv``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import bayes_parts as parts
from benchmarks import bayes_plots, bayes_problems
from benchmarks.bayes_parts import Row
from benchmarks.bayes_problems import GENERATED, QUALITY, Sources
from benchmarks.bayes_report import markdown
from benchmarks.options import add_output

__all__ = ["PARTS", "main", "read", "write"]

RESULTS = Path(__file__).parent / "results"
SEEDS = range(3)
# myFM has to start anew for each; a sweep takes it half a second to two on ratings.
SWEEPS = {"movielens": (10, 20, 50, 100, 200), GENERATED: (10, 50, 200)}
FACTORS = (8, 32)
TIMED_SWEEPS = 10
MEMORY = ((GENERATED, 8), (GENERATED, 32), ("ml100k", 8), ("goodbooks", 8))
CALIBRATED = ("planted", "movielens")
PARTS = ("quality", "curves", "threads", "memory", "calibration")
SAME = ["part", "problem", "model", "n_factors"]


def run(options: Any) -> Iterator[Row]:
    """Measure what the command line asks for."""
    sources = Sources(options.wheel, options.books)
    quick = {"quick": options.quick}

    def get(name: str, seed: int = 0) -> Any:
        return bayes_problems.problem(name, seed, sources, **quick)

    def chosen(names: Any) -> list[str]:
        return [name for name in names if name in options.problems]

    seeds = SEEDS[:1] if options.quick else SEEDS[: options.seeds]
    sweeps = {"n_sweeps": 5} if options.quick else {}
    if "quality" in options.parts:
        for name in chosen(QUALITY):
            for seed in seeds:
                data = get(name, seed)
                yield from parts.quality(name, data, seed, options.models, **sweeps)
    if "curves" in options.parts:
        for name in chosen(SWEEPS):
            for k in options.factors:
                sweeps_of = (2, 4) if options.quick else SWEEPS[name]
                yield from parts.curves(name, get(name), k, sweeps_of, seed=0)
    if "threads" in options.parts and GENERATED in options.problems:
        for k in options.factors:
            n_sweeps = 2 if options.quick else TIMED_SWEEPS
            yield from parts.threads(GENERATED, get(GENERATED), k, n_sweeps)
    if "memory" in options.parts:
        for name, k in MEMORY:
            if name in options.problems:
                yield from parts.memory(name, k, _again(options))
    if "calibration" in options.parts:
        for name in chosen(CALIBRATED):
            for seed in seeds:
                yield from parts.calibration(name, get(name, seed), seed, **sweeps)


def _again(options: Any) -> list[str]:
    """Return the options that a process of its own needs."""
    known = [("--wheel", options.wheel), ("--books", options.books)]
    again = [word for name, path in known if path for word in (name, str(path))]
    return again + ["--quick"] * options.quick


def _memory_of(options: Any) -> None:
    """Measure memory in this process, and print it."""
    name, k = options.memory_of
    sources = Sources(options.wheel, options.books)
    data = bayes_problems.problem(name, 0, sources, quick=options.quick)
    few = bayes_problems.planted(0, 200)
    print(json.dumps(parts.spread_of(data, int(k), few)))


def read(path: Path) -> list[Row]:
    """Return the rows that `write` wrote."""
    table = pd.read_csv(path, keep_default_na=False)
    return [Row(*row) for row in table.itertuples(index=False)]


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write table, report and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "bayes.csv", index=False)
    (folder / "bayes.md").write_text(markdown(rows), encoding="utf-8")
    bayes_plots.curves(table, folder / "bayes_curves.png")
    bayes_plots.calibration(table, folder / "bayes_calibration.png")


def _joined(rows: Sequence[Row], path: Path) -> list[Row]:
    """Return the rows of before that were not measured again, and the new ones."""
    if not path.exists():
        return list(rows)
    again = {row[: len(SAME)] for row in rows}
    kept = [row for row in read(path) if row[: len(SAME)] not in again]
    return sorted(kept + list(rows), key=lambda row: PARTS.index(row.part))


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Run what the command line asks for; print a line per number, then the report."""
    options = _parser().parse_args(arguments)
    if options.memory_of:
        _memory_of(options)
        return []
    if options.books is None:
        options.problems = [name for name in options.problems if name != "goodbooks"]
    output = options.output or (None if options.quick else RESULTS)
    rows: list[Row] = []
    try:
        for row in run(options):
            rows.append(row._replace(value=round(row.value, 5)))
            print(*rows[-1], flush=True)
    finally:  # what was measured before Ctrl-C is kept
        if output is not None:
            rows = _joined(rows, output / "bayes.csv")
            write(rows, output)
    print(f"\n{markdown(rows)}")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.bayes")
    names = [*QUALITY, GENERATED, "planted"]
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=str(PARTS))
    parser.add_argument("--problems", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--models", nargs="+", choices=parts.MODELS, default=list(parts.MODELS)
    )
    parser.add_argument(
        "--factors", nargs="+", type=int, default=FACTORS, help="of curves and threads"
    )
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--wheel", type=Path, help="of recbole 1.2.1")
    parser.add_argument("--books", type=Path, help="folder of goodbooks-10k")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    add_output(parser, "few rows, one seed")
    return parser


if __name__ == "__main__":
    main()
