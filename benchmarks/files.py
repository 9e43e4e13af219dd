"""Reading and writing libFFM files: megabytes of text per CPU second.

Run from the root of the checkout, with one thread::

    OMP_NUM_THREADS=1 python -m benchmarks.files

One file of 39 fields is made from a seed. All cases take turns in each round, and
ratios are those of one round. What is slow takes the first rows of the file only.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from benchmarks.machine import describe
from benchmarks.options import add_output
from skwfm import FieldCSR
from skwfm._kernels import compiled
from skwfm.datasets import dump_ffm_file, iter_ffm_file, load_ffm_file, scan_ffm_file

__all__ = ["CASES", "Files", "Run", "main", "make_rows", "markdown", "read_by_loop"]

RESULTS = Path(__file__).parent / "results"
N_ROWS, N_FIELDS, FIELD_SIZE = 150_000, 39, 25_000
ROUNDS = 5
# A slow case takes this part of the rows.
PART = 10
READ_LOOP, WRITE_LOOP = "read: loop in Python", "write: loop in Python"


class Files(NamedTuple):
    """The files of a benchmark, and the rows that they hold."""

    X: FieldCSR
    y: Any
    folder: Path

    def path(self, name: str) -> Path:
        """Return the path of one of them."""
        return self.folder / name


class Run(NamedTuple):
    """One case in one round."""

    case: str
    round: int
    megabytes: float
    cpu_seconds: float


def make_rows(n_rows: int, seed: int = 0) -> tuple[FieldCSR, Any]:
    """Return rows with a Zipf-distributed label in each field, and their targets."""
    rng = np.random.default_rng(seed)
    ranks = np.minimum(rng.zipf(1.3, (n_rows, N_FIELDS)), FIELD_SIZE) - 1
    columns = ranks + FIELD_SIZE * np.arange(N_FIELDS)
    weights = np.round(rng.random(columns.shape), 4) + 1e-4
    values = np.where(rng.random(columns.shape) < 0.7, 1, weights)
    arrays = values.astype(np.float32).ravel(), columns.astype(np.int32).ravel()
    indptr = N_FIELDS * np.arange(n_rows + 1)
    shape = n_rows, N_FIELDS * FIELD_SIZE
    X = FieldCSR((*arrays, indptr), shape, fields=[FIELD_SIZE] * N_FIELDS)
    return X, rng.integers(0, 2, n_rows)


def make_files(n_rows: int, folder: Path) -> Files:
    """Write the file, its first rows, and both in other formats."""
    X, y = make_rows(n_rows)
    files = Files(X, y, folder)
    n_part = max(n_rows // PART, 1)
    dump_ffm_file(X, y, files.path("all.ffm"))
    dump_ffm_file(X[:n_part], y[:n_part], files.path("part.ffm"))
    dump_svmlight_file(X, y, str(files.path("all.svm")))
    packed = gzip.compress(files.path("all.ffm").read_bytes(), 6)
    files.path("all.ffm.gz").write_bytes(packed)
    return files


def read_by_loop(path: Path) -> tuple[FieldCSR, Any]:
    """Read a file as one would without thinking of speed, and without checks."""
    labels, indptr, indices, values = [], [0], [], []
    columns: dict[tuple[int, int], int] = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            label, *entries = line.split()
            labels.append(float(label))
            for entry in entries:
                field, feature, value = entry.split(":")
                pair = int(field), int(feature)
                indices.append(columns.setdefault(pair, len(columns)))
                values.append(float(value))
            indptr.append(len(indices))
    fields = np.unique([field for field, _ in columns], return_inverse=True)[1]
    data = np.array(values, np.float32)
    X = sp.csr_matrix((data, indices, indptr), (len(labels), len(columns)))
    return FieldCSR(X, fields=fields), np.array(labels)


def write_by_loop(X: FieldCSR, y: Any, path: Path) -> None:
    """Write a file as one would without thinking of speed."""
    fields = X.fields
    with open(path, "w", encoding="ascii") as file:
        for row in range(X.shape[0]):
            file.write(f"{y[row]:g}")
            for at in range(X.indptr[row], X.indptr[row + 1]):
                column = X.indices[at]
                file.write(f" {fields[column]}:{column}:{X.data[at]}")
            file.write("\n")


@contextmanager
def _without_core() -> Iterator[None]:
    core = compiled._core
    compiled._core = None
    try:
        yield
    finally:
        compiled._core = core


def _read_without_core(files: Files) -> None:
    with _without_core():
        load_ffm_file(files.path("part.ffm"))


def _iterate(files: Files) -> None:
    path = files.path("all.ffm")
    for _ in iter_ffm_file(path, scan_ffm_file(path)):
        pass


def _write_part(files: Files) -> None:
    n_part = max(len(files.y) // PART, 1)
    write_by_loop(files.X[:n_part], files.y[:n_part], files.path("out"))


# Each with the file that holds its text, uncompressed.
CASES: dict[str, tuple[str, Callable[[Files], Any]]] = {
    READ_LOOP: ("part.ffm", lambda files: read_by_loop(files.path("part.ffm"))),
    "read: load_ffm_file": (
        "all.ffm",
        lambda files: load_ffm_file(files.path("all.ffm")),
    ),
    "read: load_ffm_file, features": (
        "all.ffm",
        lambda files: load_ffm_file(files.path("all.ffm"), columns="features"),
    ),
    "read: load_ffm_file, gzip": (
        "all.ffm",
        lambda files: load_ffm_file(files.path("all.ffm.gz")),
    ),
    "read: load_ffm_file without the core": ("part.ffm", _read_without_core),
    "read: scan_ffm_file": (
        "all.ffm",
        lambda files: scan_ffm_file(files.path("all.ffm")),
    ),
    "read: scan_ffm_file and iter_ffm_file": ("all.ffm", _iterate),
    "read: scikit-learn's load_svmlight_file": (
        "all.svm",
        lambda files: load_svmlight_file(str(files.path("all.svm")), dtype=np.float32),
    ),
    WRITE_LOOP: ("part.ffm", _write_part),
    "write: dump_ffm_file": (
        "all.ffm",
        lambda files: dump_ffm_file(files.X, files.y, files.path("out")),
    ),
}


def run(files: Files, n_rounds: int) -> Iterator[Run]:
    """Measure every case, n_rounds times in turn."""
    for number in range(n_rounds):
        for case, (name, function) in CASES.items():
            megabytes = files.path(name).stat().st_size / 1e6
            start = time.process_time()
            function(files)
            yield Run(case, number, megabytes, time.process_time() - start)


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row per case: median speed, and median ratio to the loop of a round."""
    table = pd.DataFrame(runs)
    table["speed"] = table["megabytes"] / table["cpu_seconds"].clip(lower=1e-9)
    speeds = table.pivot(index="round", columns="case", values="speed")[list(CASES)]
    loops = {case: READ_LOOP if case[0] == "r" else WRITE_LOOP for case in CASES}
    ratios = {case: (speeds[case] / speeds[loops[case]]).median() for case in CASES}
    sizes = table.groupby("case")["megabytes"].first()
    out = pd.DataFrame({"megabytes": sizes, "speed": speeds.median(), "ratio": ratios})
    return out.loc[list(CASES)].rename_axis("case").reset_index()


def markdown(runs: Sequence[Run]) -> str:
    """Return the table and where the run was made."""
    rows = [
        f"| {case} | {megabytes:.1f} | {speed:.1f} | {ratio:.1f} |"
        for _, case, megabytes, speed, ratio in summary(runs).itertuples()
    ]
    n_rounds = len({run.round for run in runs})
    about = describe()
    packages = ", ".join(
        f"{name} {about['packages'][name]}"
        for name in ("skwfm", "numpy", "scipy", "scikit-learn")
    )
    lines = [
        "# Files in the format of libFFM",
        "",
        "Megabytes of uncompressed text per CPU second, and how many times the loop's: "
        f"medians over {n_rounds} rounds, ratios within a round. {N_FIELDS} entries a "
        "row, 70 % of the values 1, the others of four digits. Written by "
        "`python -m benchmarks.files`.",
        "",
        "| case | MB | MB per CPU s | times the loop |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        f"{about['date']}, {about['processor']}, {about['cores']} cores, "
        f"{about['system']}, Python {about['python']}, {packages}.",
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> list[Run]:
    """Run, print the table, and write it unless the run is quick."""
    options = _parser().parse_args(arguments)
    n_rows, n_rounds = (200, 2) if options.quick else (N_ROWS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        runs = list(run(make_files(n_rows, Path(folder)), n_rounds))
    text = markdown(runs)
    print(text)
    output = options.output or (None if options.quick else RESULTS)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(runs).round({"megabytes": 3, "cpu_seconds": 4})
        table.to_csv(output / "files.csv", index=False)
        (output / "files.md").write_text(text, encoding="utf-8")
    return runs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.files")
    add_output(parser, "few rows")
    return parser


if __name__ == "__main__":
    main()
