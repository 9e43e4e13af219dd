"""The benchmark of the defaults runs on few rows. Nothing here measures time."""

import importlib
import math
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


defaults = _module("defaults")
problems = _module("problems")
table = _module("defaults_table")
tasks = _module("tasks")


def _quick(output, *arguments):
    return defaults.main(["--quick", "--output", str(output), *arguments])


def _write(folder, **tables):
    folder.mkdir()
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)


def _keys(runs):
    return [run.key() for run in runs]


def test_quick_run_writes_every_fit_and_the_tables(tmp_path, capsys):
    arguments = ["--trials", "2", "--problems", "diabetes", "wine"]
    runs = _quick(tmp_path, *arguments)
    ours = [("default", None), ("trial", 0), ("trial", 1), ("tuned", None)]
    expected = [
        ("diabetes", 0, "FM", *ours[0]),
        *[("diabetes", 0, "FM", *step) for step in ours[1:]],
        *[("diabetes", 0, "FFM", *step) for step in ours],
        ("diabetes", 0, "Ridge", "linear", None),
        ("diabetes", 0, "HistGradientBoosting", "boosting", None),
        *[("wine", 0, "FM", *step) for step in ours],
        ("wine", 0, "LogisticRegression", "linear", None),
        ("wine", 0, "HistGradientBoosting", "boosting", None),
    ]
    assert _keys(runs) == expected
    for run in runs:
        assert (run.valid is None) == (run.step not in ("trial", "tuned"))
        assert (run.test is None) == (run.step == "trial")
        assert math.isfinite(run.valid if run.test is None else run.test)
    assert table.read(tmp_path / "defaults.csv") == runs
    report = (tmp_path / "defaults.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert "| diabetes | FFM | " in report and " | 1 | 2 | " in report


def test_a_cut_run_goes_on(tmp_path, monkeypatch):
    arguments = ["--trials", "2", "--problems", "diabetes"]
    whole = _quick(tmp_path / "whole", *arguments)
    path = tmp_path / "cut" / "defaults.csv"
    table.write(whole[:3], path)
    again = _quick(tmp_path / "cut", *arguments)
    assert _keys(again) == _keys(whole)
    assert [run[5:7] for run in again] == [run[5:7] for run in whole]
    monkeypatch.setattr(defaults, "_scored", None)  # nothing is left to fit
    assert _quick(tmp_path / "cut", *arguments) == again
    # A run that is forgotten is the only one that is gone.
    monkeypatch.setattr(defaults, "run_task", lambda *rest: iter(()))
    left = _quick(tmp_path / "cut", *arguments, "--again", "tuned", "linear")
    assert left == [run for run in again if run.step not in ("tuned", "linear")]


def test_trials_are_drawn_by_repeat_and_number():
    spec = tasks.SPECS["A"]
    drawn = [defaults.draw(spec, 1, trial) for trial in range(20)]
    assert drawn == [defaults.draw(spec, 1, trial) for trial in range(20)]
    assert len({params["l2_factors"] for params in drawn}) == 20
    assert all(2 <= params["n_factors"] <= 16 for params in drawn)
    assert {params["solver"] for params in drawn} == {"adagrad"}


def test_tuning_takes_the_trial_that_validates_best(monkeypatch):
    scores = iter([0.5, 2.0, 1.0, 3.0, 4.0, *range(5)])
    fitted = []

    def scored(estimator, task, spec, X=()):
        fitted.append(estimator)
        return next(scores), 0.0

    spec = tasks.SPECS["goodbooks"]
    monkeypatch.setattr(defaults, "_scored", scored)
    monkeypatch.setattr(defaults, "_linear", lambda *rest: None)
    monkeypatch.setattr(defaults, "_boosting", lambda *rest: None)
    X, y = np.zeros((3000, 1)), np.zeros(3000)
    task = tasks.Task(X, X, y, y, X, X)
    runs = list(defaults.run_task("goodbooks", 0, task, 3, []))
    # The default scored .5, then trials 2, 1, 3; the second of them is taken.
    tuned = runs[4]
    assert tuned.step == "tuned" and tuned.valid == 1.0
    assert tuned.params() == defaults.draw(spec, 0, 1)
    assert fitted[4].get_params()["n_factors"] == tuned.n_factors


def test_few_rows_are_validated_on_folds_and_many_on_a_part():
    few = tasks.inner_splits(np.arange(300) % 2, "logloss", 0)
    assert [len(valid) for _, valid in few] == [100, 100, 100]
    many = tasks.inner_splits(np.arange(5000.0), "rmse", 0)
    assert [len(valid) for _, valid in many] == [1000]


def test_the_table_of_boosting_has_numbers_categories_and_labels():
    train = pd.DataFrame(
        {
            "number": [1.0, 2.0, np.nan],
            "text": ["a", None, "b"],
            "lists": [["x", "y"], [], ["y"]],
            "joined": ["x|y", "z", "y"],
        }
    )
    test = pd.DataFrame(
        {"number": [3.0], "text": ["c"], "lists": [["q", "x"]], "joined": ["y"]}
    )
    first, second = tasks.tables(train, test)
    names = ["number", "text", "lists x", "lists y"]
    assert list(first) == [*names, "joined x", "joined y", "joined z"]
    assert list(first) == list(second)
    assert isinstance(first["text"].dtype, pd.CategoricalDtype)
    assert second["text"].isna().all()
    assert second["lists x"].tolist() == [1] and second["lists y"].tolist() == [0]
    assert first["joined y"].tolist() == [1, 0, 1]


def test_data_in_a_folder(tmp_path):
    n = 50
    ids = np.arange(n) % 5
    _write(
        tmp_path / "goodbooks",
        ratings={"user_id": np.arange(n) % 7, "book_id": ids, "rating": ids + 1},
        books={
            "book_id": range(5),
            "goodreads_book_id": range(10, 15),
            "authors": ["A. One, B. Two", "A. One", "C", "D", "B. Two"],
        },
        book_tags={"goodreads_book_id": [10], "tag_id": [0], "count": [3]},
        tags={"tag_id": [0], "tag_name": ["good"]},
    )
    _write(
        tmp_path / "ml-latest-small",
        ratings={"userId": np.arange(n) % 7, "movieId": ids, "rating": ids + 0.5},
        movies={
            "movieId": range(5),
            "title": ["One (1990)", "Two (2001) ", "Three", "M (1931)", "F (2000)"],
            "genres": ["Drama|War", "Drama", "Comedy", "Crime", "War"],
        },
    )
    books = problems.goodbooks(tmp_path / "goodbooks")
    assert len(books.train) == 40 and len(books.test) == 10
    assert ["A. One", "B. Two"] in books.train["authors"].tolist()
    films = problems.latest_small(tmp_path / "ml-latest-small")
    assert set(films.train["year"].dropna()) == {"1990", "2001", "1931", "2000"}
    arguments = ["--trials", "1", "--data", str(tmp_path)]
    names = ["goodbooks", "ml-latest-small"]
    runs = _quick(tmp_path / "out", *arguments, "--problems", *names)
    assert {run.problem for run in runs} == set(names)
    assert _quick(tmp_path / "none", "--problems", "diabetes", "--trials", "1")
    with pytest.raises(ValueError, match="needs --data"):
        tasks.SPECS["goodbooks"].make(0, tasks.Sources())


def test_a_gap_is_paired_over_the_repeats_that_have_both():
    def run(repeat, model, step, test):
        return table.Run("films", repeat, model, step, None, None, test, 1.0)

    runs = [
        run(0, "FM", "default", 1.1),
        run(0, "FM", "tuned", 1.0),
        run(1, "FM", "default", 3.3),
        run(1, "FM", "tuned", 3.0),
        run(2, "FM", "default", 9.0),
        run(0, "Ridge", "linear", 2.0),
    ]
    (row,) = table.summary(runs).to_dict("records")
    assert row["gap"] == pytest.approx(0.1)
    assert row["gap_error"] == pytest.approx(0.05)
    assert row["repeats"] == 2
    assert row["linear"] == 2.0


def test_the_report_is_that_of_the_committed_fits():
    runs = table.read(defaults.RESULTS / "defaults.csv")
    report = (defaults.RESULTS / "defaults.md").read_text(encoding="utf-8")
    for rows in (table.main_rows(table.summary(runs)), table.chosen_rows(runs)):
        assert all(line in report for line in table.lines(rows))
