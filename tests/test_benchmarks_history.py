"""The benchmark of history fields runs on few rows. Nothing here measures time."""

import importlib
import zipfile
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
    monkeypatch.setattr(history, "problem_of", lambda split, fold, wheel: problem)
    runs = history.main(["--quick", "--wheel", "none", "--output", str(tmp_path)])
    assert [history.Case(*run[:5]) for run in runs] == history.CASES
    assert all(
        np.isfinite(run.rmse) and run.fold == history.SPLITS[run.split][0]
        for run in runs
    )
    assert history.read(tmp_path / "history.csv") == runs
    report = (tmp_path / "history.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert report.count("\n| ids |") + report.count("\n| all |") == len(runs)
    # Again for one split: the others stay.
    again = ["--splits", history.LAST, "--output", str(tmp_path)]
    more = history.main(["--quick", "--wheel", "none", *again])
    assert [run[:6] for run in more] == [run[:6] for run in runs]
    assert [run.rmse for run in more] == [run.rmse for run in runs]


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


def test_last_fifth_of_every_user():
    users = pd.Series(list("abaaaabbbb"))
    mask = history._last_fifth(users)
    assert np.flatnonzero(mask).tolist() == [5, 9]


def test_splits_in_time(monkeypatch, tmp_path, problem):
    """The rows of a split in time are those of the file, in the order of time."""
    places = np.random.RandomState(1).permutation(300)
    order = np.argsort(places)
    rows = pd.concat([problem.train, problem.test])
    y = np.arange(300.0)
    test = np.arange(300) < 50
    given = problem._replace(
        train=rows[~test], test=rows[test], y_train=y[~test], y_test=y[test]
    )
    monkeypatch.setattr(history, "ml100k", lambda fold, wheel: given)
    wheel = tmp_path / "recbole.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        times = "".join(f"1\t{place}\n" for place in places)
        name = f"{problems.ML100K}.inter"
        archive.writestr(name, "user_id:token\ttimestamp:float\n" + times)
    last = history.problem_of(history.LAST, 0, wheel)
    assert last.y_train.tolist() == order[:240].tolist()
    assert last.y_test.tolist() == order[240:].tolist()
    assert last.test.index.tolist() == order[240:].tolist()
    of_users = history.problem_of(history.USERS_LAST, 0, wheel)
    for user, part in of_users.train.groupby("user"):
        later = of_users.test.index[of_users.test["user"] == user]
        assert places[part.index].max() < places[later].min()


def test_differences_are_those_of_the_same_fold_and_model():
    runs = [
        history.Run("ids", fields, k, None, "folds", fold, rmse + fold, seconds)
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
    report = (history.RESULTS / "history.md").read_text(encoding="utf-8")
    for table, narrow in zip(
        history._tables(runs).values(), history.page_tables(runs), strict=True
    ):
        assert "\n".join(history._lines(table)) in report
        assert narrow in page
