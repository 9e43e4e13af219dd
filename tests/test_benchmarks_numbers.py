"""The benchmark of numbers runs on few rows. Nothing here measures time."""

import importlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]

with pytest.MonkeyPatch.context() as patch:  # benchmarks is not installed
    patch.syspath_prepend(ROOT)
    numbers = importlib.import_module("benchmarks.numbers")


def test_quick_run_writes_the_results(tmp_path, capsys):
    problems = ["diabetes", "prices"]
    runs = numbers.main(["--quick", "--output", str(tmp_path), "--problems", *problems])
    names = [*numbers.ENCODINGS, numbers.BOOSTING]
    expected = [(problem, name) for problem in problems for name in names]
    assert [(run.problem, run.encoding) for run in runs] == expected
    assert all(math.isfinite(run.rmse) and run.rmse > 0 for run in runs)
    assert len(pd.read_csv(tmp_path / "numbers.csv")) == len(runs)
    report = (tmp_path / "numbers.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert "| diabetes | " in report and "soft bins, quantile" in report


def test_films_have_a_number_and_lists(monkeypatch):
    pytest.importorskip("bokeh_sampledata")
    monkeypatch.setattr(
        numbers, "ENCODINGS", {numbers.RAW: numbers.ENCODINGS[numbers.RAW]}
    )
    (run,) = numbers.run_problem("films", 0, n_rows=100)
    assert math.isfinite(run.rmse)


def test_quick_run_leaves_the_committed_results(monkeypatch, tmp_path):
    monkeypatch.setattr(numbers, "RESULTS", tmp_path / "results")
    numbers.main(["--quick", "--problems", "friedman3"])
    assert not numbers.RESULTS.exists()


@pytest.mark.parametrize("name", ["diabetes", "waves", "prices", "friedman1"])
def test_every_encoding_has_as_many_columns(name):
    X, _ = numbers.PROBLEMS[name](0)
    widths = {
        encoding: numbers.transformer(list(X), [], make()).fit_transform(X).shape[1]
        for encoding, make in numbers.ENCODINGS.items()
        if "uniform" in encoding
    }
    if name != "diabetes":  # whose sex has two values
        assert set(widths.values()) == {numbers.N_COLUMNS * X.shape[1]}
    assert (
        numbers.ENCODINGS["soft bins, quantile"]().n_knots
        == numbers.SplineEncoder().n_knots
    )


def test_relative_is_a_geometric_mean():
    runs = [
        numbers.Run(problem, encoding, 0, rmse, 0.0)
        for problem, scale in (("a", 1.0), ("b", 100.0))
        for encoding, rmse in zip(
            numbers.ENCODINGS,
            [scale, *[scale * (0.5 if problem == "a" else 2.0)] * 6],
            strict=True,
        )
    ]
    np.testing.assert_allclose(numbers.relative(runs), 1.0)
    assert numbers.summary(runs).loc["b", numbers.RAW] == 100.0
