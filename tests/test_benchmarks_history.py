"""The benchmark of history fields runs on few rows. Nothing here measures time."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


def _module(name):
    """Import a module of the folder benchmarks, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


history = _module("history")
problems = _module("problems")


@pytest.fixture
def problem():
    """Return made-up ratings with the columns of ML-100K."""
    rng = np.random.RandomState(0)
    columns = ["user", "item", "age", "gender", "occupation", "zip", "year", "genres"]
    X = pd.DataFrame(rng.randint(30, size=(300, 8)), columns=columns).astype(str)
    y = rng.randint(1, 6, size=300).astype(float)
    transformer = problems._encoder(columns[:-1], columns[-1:], normalize="sqrt")
    return problems.Problem(X[:200], X[200:], y[:200], y[200:], transformer)


def test_quick_run_fits_every_case_and_writes_the_results(
    problem, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(history, "ml100k", lambda fold, wheel: problem)
    runs = history.main(["--quick", "--wheel", "none", "--output", str(tmp_path)])
    assert [history.Case(*run[:4]) for run in runs] == history.CASES
    assert all(np.isfinite(run.rmse) and run.fold == 1 for run in runs)
    assert history.read(tmp_path / "history.csv") == runs
    report = (tmp_path / "history.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert report.count("\n| ids |") + report.count("\n| all |") == len(runs)


def test_own_kept_has_one_item_more(problem):
    X = problem.train[["user", "item"]].drop_duplicates()
    without = history.HistoryEncoder(max_items=None).fit_transform(X)
    own = history.OwnKept(max_items=None).fit_transform(X)
    np.testing.assert_array_equal(own.getnnz(axis=1), without.getnnz(axis=1) + 1)


def test_liked_holds_the_best_rated_only():
    X = pd.DataFrame({"user": ["a", "a", "a"], "item": ["x", "y", "z"]})
    encoder = history.Liked().fit(X, np.array([4.0, 3.0, 5.0]))
    assert encoder.get_feature_names_out().tolist() == ["item=x", "item=z"]


def test_some_rows_of_every_user():
    users = pd.Series(list("aaaabbc"))
    mask = history._some_rows(users, 2)
    assert users[mask].tolist() == list("aabbc")


def test_differences_are_those_of_the_same_fold_and_model():
    runs = [
        history.Run("ids", fields, k, None, fold, rmse + fold, 2.0, 1.0, 1.0, seconds)
        for fold in (1, 2)
        for fields, k, rmse, seconds in [
            (history.NONE, 8, 0.5, 1.0 * fold),
            (history.BOTH, 8, 0.4, 3.0 * fold),
            (history.NONE, 16, 0.9, 1.0),
        ]
    ]
    table = history.summary(runs).set_index(["fields", "n_factors"])
    both = table.loc[history.BOTH, 8]
    assert both["gain"] == pytest.approx(-0.1)
    assert both["gain_std"] == pytest.approx(0.0)
    assert both["cpu_ratio"] == 3.0
    assert both["rmse"] == pytest.approx(1.9)
    assert table.loc[history.NONE, 16]["gain"] == 0


def test_the_page_quotes_the_committed_results():
    runs = history.read(history.RESULTS / "history.csv")
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    for table in "\n".join(history.page_lines(runs)).split("\n\n"):
        assert table in page
    report = (history.RESULTS / "history.md").read_text(encoding="utf-8")
    assert "\n".join(history._lines(history.summary(runs).head(9))) in report
