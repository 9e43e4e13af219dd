"""The benchmark of the checks runs on few rows, and its table says what it measured."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skwfm._kernels import compiled

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not compiled.available(), reason="installed without the compiled core"
)

with pytest.MonkeyPatch.context() as patch:
    # The folder is no package that is installed.
    patch.syspath_prepend(ROOT)
    validation = importlib.import_module("benchmarks.validation")


def test_quick_run_writes_the_results(tmp_path, capsys):
    options = ["--quick", "--output", str(tmp_path), "--problems", "clicks10"]
    runs = validation.main(options)
    expected = [
        (model, name, call)
        for model in validation.MODELS
        for name in validation.KINDS
        for call in ("fit", "predict")
    ]
    assert [(run.model, run.kind, run.call) for run in runs] == expected
    assert all(run.epoch > 0 and np.isfinite(run.ratio) for run in runs)
    assert len(pd.read_csv(tmp_path / "validation.csv")) == len(runs)
    report = (tmp_path / "validation.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert report.count("| clicks10 | ") == len(expected)


def test_quick_run_leaves_the_committed_results(monkeypatch, tmp_path):
    monkeypatch.setattr(validation, "RESULTS", tmp_path / "results")
    options = ["--quick", "--problems", "clicks10", "--models", "fm"]
    validation.main(options)
    assert not validation.RESULTS.exists()


def test_kinds_hold_the_same_rows():
    problem = validation.make(
        validation.replace(
            validation.PROBLEMS["clicks10"], n_train=50, sizes=(7,) * 10, n_test=1
        )
    )
    whole = problem.X_train.toarray()
    forms = {name: kind.make(problem) for name, kind in validation.KINDS.items()}
    for name in ("CSR, fields=", "CSR, int64 indices", "CSR, unsorted"):
        assert_array_equal(forms[name].toarray(), whole)
    assert forms["CSR, int64 indices"].indices.dtype == np.int64
    assert (np.diff(forms["CSR, unsorted"].indices[:10]) < 0).all()
    assert forms["dense"].shape == (50, 10)
