"""The benchmark of files runs on few rows. Nothing here measures time."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skwfm._kernels import compiled
from skwfm.datasets import load_ffm_file

ROOT = Path(__file__).parents[1]

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    files = importlib.import_module("benchmarks.files")


def test_quick_run_measures_every_case(tmp_path, capsys):
    core = compiled.core()
    runs = files.main(["--quick", "--output", str(tmp_path)])
    assert compiled.core() is core
    assert [run.case for run in runs] == 2 * list(files.CASES)
    assert all(run.megabytes > 0 and run.cpu_seconds >= 0 for run in runs)
    report = (tmp_path / "files.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert all(f"| {case} |" in report for case in files.CASES)
    assert len(pd.read_csv(tmp_path / "files.csv")) == len(runs)


def test_quick_run_leaves_the_committed_results(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "RESULTS", tmp_path / "results")
    files.main(["--quick"])
    assert not files.RESULTS.exists()


def test_ratios_are_those_of_a_round():
    seconds = dict.fromkeys(files.CASES, 1.0)
    runs = [
        files.Run(case, number, 10.0, slow * (1 if "loop" in case else 0.25))
        for number, slow in enumerate([1.0, 100.0, 3.0])
        for case in seconds
    ]
    table = files.summary(runs).set_index("case")
    assert table.loc["read: load_ffm_file", "ratio"] == 4
    assert table.loc[files.WRITE_LOOP, "ratio"] == 1
    assert table.loc[files.READ_LOOP, "speed"] == pytest.approx(10 / 3)


def test_the_loop_reads_the_same(tmp_path):
    made = files.make_files(30, tmp_path)
    X, y = load_ffm_file(made.path("all.ffm"))
    Z, z = files.read_by_loop(made.path("all.ffm"))
    order = np.lexsort((np.arange(Z.shape[1]), Z.fields))
    assert X.shape == Z.shape
    np.testing.assert_array_equal(y, z)
    np.testing.assert_array_equal(np.sort(X.sum(0)), np.sort(Z[:, order].sum(0)))
    files.write_by_loop(made.X, made.y, made.path("loop.ffm"))
    Z, z = load_ffm_file(made.path("loop.ffm"))
    assert (X != Z).nnz == 0
