"""Speed against other libraries: each measurement in a process of its own.

From the root of the checkout::

    python -m benchmarks.run epoch quality      # some modes
    python -m benchmarks.run                    # all of them: hours
    python -m benchmarks.run --quick            # tiny sizes, writes nothing

Within a repeat the libraries take turns on the same problem, and repeat follows repeat,
so that a ratio of two of them compares neighbours in time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import machine
from benchmarks.grid import DEFAULT_REPEATS, MODES, REPEATS, Job, jobs
from benchmarks.libraries import NAMES
from benchmarks.worker import SkippedError, measure

__all__ = ["COLUMNS", "KEY", "main", "merge"]

RESULTS = Path(__file__).parent / "results"
KEY = ["mode", "problem", "model", "k", "library", "option"]
COLUMNS = [*KEY, "repeat", "step", "measure", "value"]


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure what the command line asks for; return the rows of the results."""
    options = _parser().parse_args(arguments)
    output = options.output or (None if options.quick else RESULTS)
    tables = []
    for mode in options.modes or MODES:
        rows = list(_mode(mode, options))
        table = pd.DataFrame(rows, columns=COLUMNS)
        tables.append(table)
        # After every mode: an interrupted run keeps what it has.
        if output is not None:
            write(table, output, mode)
    return pd.concat(tables, ignore_index=True)


def _mode(mode: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the rows of a mode, and print each as it comes."""
    made = [_prepared(job, options) for job in jobs(mode, quick=options.quick)]
    chosen = [job for job in made if _wanted(job, options)]
    repeats = options.repeats or REPEATS.get(mode, DEFAULT_REPEATS)
    hopeless: set[str] = set()
    for repeat in range(1 if options.quick else repeats):
        for job in chosen:
            name = _name(job)
            if name in hopeless:
                continue
            try:
                found = _run(job, options.in_process or options.quick)
            except (SkippedError, subprocess.CalledProcessError) as error:
                print(f"{name}: {error}", flush=True)
                hopeless.add(name)
                continue
            for step, kind, value in found:
                print(f"{name} {step} {kind} {value:.6g}", flush=True)
                place = {"repeat": repeat, "step": step}
                yield {**job.key(), **place, "measure": kind, "value": value}


def _run(job: Job, in_process: bool) -> list[Any]:
    """Measure in this process or, to have its memory and time alone, in another."""
    if in_process:
        return list(measure(job))
    threads = str(job.params.get("n_jobs", 1))
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.worker", json.dumps(asdict(job))],
        # xLearn looks up the user.
        env={"USER": "benchmark", **os.environ, "OMP_NUM_THREADS": threads},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result = json.loads(child.stdout.splitlines()[-1])
    if "skipped" in result:
        raise SkippedError(result["skipped"])
    return list(result["measurements"])


def _prepared(job: Job, options: argparse.Namespace) -> Job:
    params = {**job.params, **_given(options.set or [], job.library)}
    if options.quick:
        job = replace(job, n_epochs=min(job.n_epochs, 2), quick=True)
    return replace(job, params=params)


def _given(settings: Sequence[str], library: str) -> dict[str, Any]:
    """Return the parameters of ``library:name=value`` for one library."""
    found = {}
    for setting in settings:
        of, _, assignment = setting.partition(":")
        name, _, value = assignment.partition("=")
        if of == library:
            found[name] = json.loads(value)
    return found


def _wanted(job: Job, options: argparse.Namespace) -> bool:
    return (
        (not options.problems or job.problem in ("", *options.problems))
        and (not options.models or job.model in ("", *options.models))
        and (not options.libraries or job.library in ("", *options.libraries))
    )


def _name(job: Job) -> str:
    return " ".join(str(part) for part in job.key().values() if part not in ("", 0))


def merge(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return both tables; what was measured again replaces what it was before."""
    keys = set(new[KEY].itertuples(index=False, name=None))
    kept = [key not in keys for key in old[KEY].itertuples(index=False, name=None)]
    return pd.concat([old[kept], new], ignore_index=True) if any(kept) else new


def write(table: pd.DataFrame, folder: Path, mode: str) -> None:
    """Add a mode to ``speed.csv``, and where it was measured to ``speed.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path, about = folder / "speed.csv", folder / "speed.json"
    if path.exists():
        table = merge(read(path), table)
    order = {name: number for number, name in enumerate(MODES)}
    table = table.sort_values("mode", key=lambda s: s.map(order), kind="stable")
    table.to_csv(path, index=False, float_format="%.6g")
    known = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
    known[mode] = machine.describe()
    about.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> pd.DataFrame:
    """Return the results; texts that are not there are empty."""
    texts = ["mode", "problem", "model", "library", "option", "measure"]
    return pd.read_csv(
        path,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values={"value": ["", "nan"]},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.run")
    parser.add_argument("modes", nargs="*", metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--problems", nargs="+", help="only these, such as As Bs")
    parser.add_argument("--models", nargs="+", choices=["fm", "ffm"])
    parser.add_argument("--libraries", nargs="+", choices=NAMES, help="only these")
    parser.add_argument("--repeats", type=int, help="instead of those of the mode")
    parser.add_argument(
        "--set",
        action="append",
        metavar="LIBRARY:NAME=JSON",
        help="a parameter, such as skwfm:learning_rate=0.2; may be repeated",
    )
    parser.add_argument("--output", type=Path, help="folder; default: results/")
    parser.add_argument(
        "--in-process", action="store_true", help="for a profiler; memory is wrong then"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, once, in this process; no file unless --output is given",
    )
    return parser


if __name__ == "__main__":
    main()
