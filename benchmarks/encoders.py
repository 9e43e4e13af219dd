"""Speed and memory of WeightedMultiLabelEncoder against scikit-learn's encoders.

Cells of five labels out of 5,000, frequent ones far more often (Zipf's law); weights
are random. Encoder and peer take turns on the same cells; CPU seconds of the process.
Memory is measured in a process of its own: how much the resident memory grows at most
in `fit_transform`, in multiples of the output's three arrays.

    python -m benchmarks.encoders                # some minutes, writes results/encoders
    python -m benchmarks.encoders --quick        # few rows, writes nothing
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import MultiLabelBinarizer

from benchmarks.machine import (
    describe,
    memory_now,
    peak_memory,
    reset_peak,
    return_memory,
)
from skwfm import WeightedMultiLabelEncoder

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
N_LABELS, PER_CELL, ZIPF = 5_000, 5, 1.05


class Cells(NamedTuple):
    """Labels and weights of the cells, shape (n_rows, 5)."""

    labels: Any
    weights: Any


def make_cells(n_rows: int, seed: int = 0) -> Cells:
    """Draw labels by Zipf's law; a cell may hold a label twice."""
    rng = np.random.default_rng(seed)
    shares = np.arange(1, N_LABELS + 1) ** -ZIPF
    ids = rng.choice(N_LABELS, (n_rows, PER_CELL), p=shares / shares.sum())
    names = np.array([f"label{i}" for i in range(N_LABELS)], dtype=object)
    return Cells(names[ids], rng.random((n_rows, PER_CELL)).round(3))


def as_lists(cells: Cells) -> Any:
    return cells.labels.tolist()


def as_dicts(cells: Cells) -> Any:
    rows = zip(cells.labels.tolist(), cells.weights.tolist(), strict=True)
    return [dict(zip(labels, weights, strict=True)) for labels, weights in rows]


def as_pairs(cells: Cells) -> Any:
    return [list(cell.items()) for cell in as_dicts(cells)]


def as_texts(cells: Cells) -> Any:
    return ["|".join(row) for row in cells.labels.tolist()]


def as_arrow_maps(cells: Cells) -> Any:
    kind = pa.map_(pa.string(), pa.float64())
    return pa.table({"x": pa.array(as_pairs(cells), kind)})


def as_arrow_lists(cells: Cells) -> Any:
    return pa.table({"x": pa.array(as_lists(cells))})


def as_ones(cells: Cells) -> Any:
    return [dict.fromkeys(row, 1.0) for row in cells.labels.tolist()]


def _split(text: str) -> list[str]:
    return text.split("|")


def dict_vectorizer() -> Any:
    return DictVectorizer(dtype=np.float32)


def binarizer() -> Any:
    return MultiLabelBinarizer(sparse_output=True)


def count_vectorizer() -> Any:
    return CountVectorizer(tokenizer=_split, token_pattern=None, lowercase=False)


class Case(NamedTuple):
    """One form of cells, the peer, what the peer gets, and the ratio to reach."""

    make: Callable[[Cells], Any]
    peer: Callable[[], Any]
    make_for_peer: Callable[[Cells], Any]
    target: float | None


CASES = {
    "dicts": Case(as_dicts, dict_vectorizer, as_dicts, 6),
    "pairs": Case(as_pairs, dict_vectorizer, as_dicts, None),
    "lists": Case(as_lists, binarizer, as_lists, 2.5),
    "texts": Case(as_texts, count_vectorizer, as_texts, 5),
    "arrow map": Case(as_arrow_maps, dict_vectorizer, as_dicts, 30),
    "arrow list": Case(as_arrow_lists, dict_vectorizer, as_ones, 30),
}


def cpu_seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(name: str, n_rows: int, n_rounds: int) -> list[dict[str, Any]]:
    """Time encoder and peer in turns."""
    case = CASES[name]
    cells = make_cells(n_rows)
    ours, theirs = case.make(cells), case.make_for_peer(cells)
    del cells
    rows = []
    for turn in range(n_rounds):
        seconds = cpu_seconds(lambda: WeightedMultiLabelEncoder().fit_transform(ours))
        peer = cpu_seconds(lambda: case.peer().fit_transform(theirs))
        rows.append(
            {
                "case": name,
                "rows": n_rows,
                "round": turn,
                "seconds": seconds,
                "peer": type(case.peer()).__name__,
                "peer_seconds": peer,
                "ratio": peer / seconds,
            }
        )
    return rows


def memory(name: str, n_rows: int) -> dict[str, float]:
    """Return the peak of `fit_transform` and the size of its result in MiB.

    The peak is the growth of the resident memory, from when the cells are there, all
    is imported and freed memory is back with the system, to its maximum in the call.
    """
    WeightedMultiLabelEncoder().fit_transform(CASES[name].make(make_cells(100)))
    X = CASES[name].make(make_cells(n_rows))
    pa.default_memory_pool().release_unused()
    return_memory()
    known = reset_peak()
    before = memory_now()
    out = WeightedMultiLabelEncoder().fit_transform(X)
    peak = peak_memory() - before if known else float("nan")
    size = (out.data.nbytes + out.indices.nbytes + out.indptr.nbytes) / 2**20
    return {"peak": peak, "output": size}


def memory_apart(name: str, n_rows: int) -> dict[str, float]:
    """Measure memory in a new process."""
    command = [sys.executable, "-m", "benchmarks.encoders", "--rows", str(n_rows)]
    done = subprocess.run(
        [*command, "--memory", name],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(times: pd.DataFrame, memories: dict[str, dict[str, float]]) -> str:
    """Return the table of medians as Markdown."""
    lines = [
        "# Speed and memory of the encoder",
        "",
        f"`fit_transform` of {times['rows'].iloc[0]:,} cells of {PER_CELL} labels out "
        f"of {N_LABELS:,} (Zipf, exponent {ZIPF}). CPU seconds, medians of "
        f"{times['round'].nunique()} turns; the ratio is that of one turn. Memory: "
        "the most by which the resident memory of a process of its own (VmHWM, reset "
        "before) grows in `fit_transform`, after a small call for the imports, with "
        "the cells there and freed memory given back to the system; in multiples of "
        "the output's three arrays. Arrow columns are compared with the same data as "
        "dicts. Written by `python -m benchmarks.encoders`.",
        "",
        "| cells | skwfm s | peer | peer s | ratio | to reach | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, group in times.groupby("case", sort=False):
        target, middle = CASES[str(name)].target, group.median(numeric_only=True)
        used = memories[str(name)]["peak"] / memories[str(name)]["output"]
        lines.append(
            f"| {name} | {middle['seconds']:.2f} | {group['peer'].iloc[0]} "
            f"| {middle['peer_seconds']:.2f} | {middle['ratio']:.1f} "
            f"| {target or '-'} | {used:.1f} |"
        )
    machine = describe()
    packages = ", ".join(
        f"{package} {machine['packages'][package]}"
        for package in ("numpy", "scipy", "scikit-learn")
    )
    lines += [
        "",
        f"{machine['date']}, {machine['processor']}, {machine['system']}, Python "
        f"{machine['python']}, {packages}, pyarrow {pa.__version__}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--memory", choices=CASES, help="print JSON of one case")
    parser.add_argument("--quick", action="store_true", help="few rows, no files")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    if options.memory:
        print(json.dumps(memory(options.memory, options.rows)))
        return pd.DataFrame()
    n_rows = 300 if options.quick else options.rows
    rows: list[dict[str, Any]] = []
    memories = {}
    for name in options.cases:
        rows += compare(name, n_rows, options.rounds)
        measure = memory if options.quick else memory_apart
        memories[name] = measure(name, n_rows)
        ratio = statistics.median(r["ratio"] for r in rows if r["case"] == name)
        print(f"{name}: {ratio:.1f} times as fast, {memories[name]}", flush=True)
        times = pd.DataFrame(rows)
        text = report(times, memories)
        if not options.quick:
            times.round(4).to_csv(options.output / "encoders.csv", index=False)
            (options.output / "encoders.md").write_text(text, encoding="utf-8")
    return times


if __name__ == "__main__":
    main()
