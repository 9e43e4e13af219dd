"""The benchmark of Gibbs sampling runs on few rows. Nothing here measures time."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
SIZES = (30, 20)


def _module(name):
    """Import a module of the folder benchmarks, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


bayes = _module("bayes")
parts = _module("bayes_parts")
problems = _module("bayes_problems")
report = _module("bayes_report")


@pytest.fixture
def small(monkeypatch):
    """Let every problem be few rows of the planted one."""
    monkeypatch.setattr(problems, "PLANTED_SIZES", SIZES)
    data = problems.planted(0, 200)
    monkeypatch.setattr(
        problems, "problem", lambda name, seed, sources, quick: data._replace(name=name)
    )
    # The process of its own would not see these few rows.
    monkeypatch.setattr(
        parts, "memory", lambda name, k, options: iter([_memory_row(name, k, options)])
    )
    return data


def _memory_row(name, k, options):
    assert options == ["--quick"]
    return parts.Row("memory", name, parts.OURS, k, 0, 0, "ratio", 2.0)


def test_quick_run_measures_every_part_and_writes_the_results(
    small, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(
        report, "TABLES", {k: v for k, v in report.TABLES.items() if k != "memory"}
    )
    models = ["--models", parts.OURS, parts.PEER, parts.ADAGRAD]
    rows = bayes.main(["--quick", *models, "--output", str(tmp_path)])
    table = pd.DataFrame(rows)
    assert set(table["part"]) == set(bayes.PARTS)
    assert np.isfinite(table["value"]).all()
    quality = table[table["part"] == "quality"]
    assert set(quality["problem"]) == set(problems.QUALITY) - {"goodbooks"}
    assert {parts.OURS, parts.ADAGRAD} <= set(quality["model"])
    timed = table[table["part"] == "threads"]
    assert set(timed["model"]) == {"n_jobs=1", "n_jobs=2"}
    assert len(timed) == 8 * parts.THREAD_REPEATS
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bayes.csv",
        "bayes.md",
        "bayes_calibration.png",
        "bayes_curves.png",
    ]
    text = (tmp_path / "bayes.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "| movielens | at most .838 | " in text
    assert bayes.read(tmp_path / "bayes.csv") == rows


def test_what_is_measured_again_replaces_its_rows(small, tmp_path):
    part = ["--quick", "--output", str(tmp_path), "calibration", "--problems"]
    first = bayes.main([*part, "planted", "movielens"])
    again = bayes.main([*part, "movielens"])
    assert sorted(again) == sorted(first)


def test_memory_of_a_fit_in_this_process(monkeypatch, capsys):
    monkeypatch.setattr(problems, "PLANTED_SIZES", SIZES)
    assert bayes.main(["--quick", "--memory-of", "planted", "2"]) == []
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    data = problems.planted(0, 600)
    assert found["csc_mib"] == (8 * data.X_train.nnz + 4 * 51) / 2**20
    # Draws of 50 columns in float64: two factors, a coefficient and a spread.
    assert found["kept_mib"] == parts.MEMORY_KEPT * 50 * 4 * 8 / 2**20


def test_running_mean_is_in_the_units_of_the_target(monkeypatch):
    """At the end of a chain its RMSE is that of the predictions, whose draws it has."""
    monkeypatch.setattr(problems, "PLANTED_SIZES", SIZES)
    data = problems.planted(0, 300)
    seconds, rmse = parts._our_curve(data, 2, 20, 0)
    assert (np.diff(seconds) >= 0).all() and len(rmse) == 20
    model = parts.WeightedFMRegressor(
        2, solver="mcmc", max_iter=20, early_stopping=False, random_state=0
    ).fit(data.X_train, data.y_train)
    error = data.y_test - model.predict(data.X_test)
    assert rmse[-1] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)


def test_planted_problem_is_the_same_again():
    first, again = problems.planted(1, 100), problems.planted(1, 100)
    np.testing.assert_array_equal(first.y_train, again.y_train)
    assert first.sizes == problems.PLANTED_SIZES
    assert first.X_train.shape[0] == 80 and first.X_test.shape[0] == 20


def test_books_must_be_somewhere():
    with pytest.raises(ValueError, match="--books"):
        problems.goodbooks(0, problems.Sources())


def test_time_to_quality_is_that_of_the_first_good_sweep():
    def row(model, step, measure, value):
        return parts.Row("curves", "movielens", model, 8, 0, step, measure, value)

    rows = [
        row(model, step, measure, value)
        for model, step, seconds, rmse in [
            (parts.OURS, 1, 1.0, 0.9),
            (parts.OURS, 2, 2.0, 0.8),
            (parts.OURS, 3, 3.0, 0.7),
            (parts.PEER, 10, 5.0, 0.95),
            (parts.PEER, 20, 10.0, 0.8),
        ]
        for measure, value in [("cpu_seconds", seconds), ("rmse", rmse)]
    ]
    (found,) = report.time_to_quality(pd.DataFrame(rows))
    assert found["our sweeps"] == 2 and found["ratio"] == pytest.approx(0.2)
    text = report.markdown(rows)
    assert "| movielens | 8 | 20 | 0.8000 | 10.0 | 2 | 2.00 | 0.200 | 0.7000 |" in text


def test_without_a_peer_there_is_no_ratio(small, monkeypatch):
    monkeypatch.setattr(parts, "has_peer", lambda: False)
    rows = list(parts.curves("movielens", small, 2, (2, 4), 0))
    assert {row.model for row in rows} == {parts.OURS}
    (found,) = report.time_to_quality(pd.DataFrame(rows))
    assert "ratio" not in found
    assert report.markdown(rows)


def test_the_report_is_that_of_the_committed_numbers():
    rows = bayes.read(bayes.RESULTS / "bayes.csv")
    text = (bayes.RESULTS / "bayes.md").read_text(encoding="utf-8")
    # The last line says where and when.
    assert report.markdown(rows).splitlines()[:-1] == text.splitlines()[:-1]
