"""The benchmarks run: readers, quick mode and tables. Nothing here measures time."""

import importlib
import math
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
N_USERS, N_ITEMS = 943, 1682
BASELINES = ["mean", "ridge"]
OURS = ["WeightedFMRegressor", "WeightedFFMRegressor"]


def _module(name):
    """Import a module of the folder benchmarks, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


problems = _module("problems")
quality = _module("quality")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a made-up wheel with the tables of ML-100K in RecBole's format."""
    rows = range(100_000)
    tables = {
        "inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
        + [f"{i % N_USERS + 1}\t{i % N_ITEMS + 1}\t{i % 5 + 1}\t{i}" for i in rows],
        # Not in the order of the ids, so that rows must be joined by id.
        "user": [
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"
        ]
        + [f"{i}\t{i % 60 + 10}\tF\twriter\t{i:05}" for i in range(N_USERS, 0, -1)],
        "item": [
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
        ]
        + [f'{i}\t"{i}\t{1900 + i % 99}\tWar Drama' for i in range(N_ITEMS, 0, -1)],
    }
    path = tmp_path_factory.mktemp("cache") / "recbole-1.2.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, lines in tables.items():
            archive.writestr(f"{problems.ML100K}.{name}", "\n".join(lines) + "\n")
    return path


def _quick(names, wheel, output):
    arguments = ["--quick", "--wheel", str(wheel), "--output", str(output)]
    return quality.main([*arguments, "--problems", *names])


def test_ml100k_u3_tests_on_rows_40000_to_59999(wheel):
    problem = problems.ml100k(3, wheel=wheel)
    held_out = np.arange(40_000, 60_000)
    kept = np.r_[:40_000, 60_000:100_000]
    for part, y, rows in [
        (problem.test, problem.y_test, held_out),
        (problem.train, problem.y_train, kept),
    ]:
        np.testing.assert_array_equal(part.index, rows)
        np.testing.assert_array_equal(part["user"].astype(int), rows % N_USERS + 1)
        np.testing.assert_array_equal(part["item"].astype(int), rows % N_ITEMS + 1)
        np.testing.assert_array_equal(y, rows % 5 + 1)


def test_ml100k_has_the_columns_of_user_and_item(wheel):
    problem = problems.ml100k(1, wheel=wheel, zip_length=3)
    # The first row is user 1 (11 years) and item 1.
    assert problem.test.iloc[0].to_dict() == {
        "user": "1",
        "item": "1",
        "age": 2,
        "gender": "F",
        "occupation": "writer",
        "zip": "000",
        "year": "1901",
        "genres": "War Drama",
    }
    X = problem.transformer.fit_transform(problem.train[:50])
    assert X.field_names == tuple(problem.train.columns)
    np.testing.assert_allclose(X[:, X.fields == 7].toarray(), 0.5**0.5, rtol=1e-6)


def test_ml100k_refuses_another_split(wheel):
    with pytest.raises(ValueError, match="split=6"):
        problems.ml100k(6, wheel=wheel)


def test_fetch_takes_the_wheel_that_is_there(wheel):
    assert problems.fetch_ml100k(wheel.parent) == wheel


def test_movielens_splits_80_to_20():
    problem = problems.movielens(seed=1)
    assert (len(problem.train), len(problem.test)) == (80_003, 20_001)
    assert problem.train.index.intersection(problem.test.index).empty
    assert not problem.first(10).test.equals(problems.movielens(seed=0).test[:10])


def test_films_drop_rare_labels():
    pytest.importorskip("bokeh_sampledata")
    folds = [problems.films(fold) for fold in (0, 4)]
    assert len(folds[0].train) + len(folds[0].test) == 17_453
    assert folds[0].test.index.intersection(folds[1].test.index).empty
    train = folds[0].train[:500]
    kept = folds[0].transformer.fit_transform(train)
    plain = folds[0].plain.fit_transform(train)
    assert kept.field_names == plain.field_names
    assert kept.shape[1] < plain.shape[1]
    assert set(plain.data) == {1.0}


def test_quick_run_fits_every_model_and_writes_the_results(wheel, tmp_path, capsys):
    runs = _quick(["ml100k", "movielens"], wheel, tmp_path)
    models = list(quality.models(0))
    assert set(BASELINES + OURS) < set(models)
    expected = [(name, model) for name in ("ml100k", "movielens") for model in models]
    assert [(run.problem, run.model) for run in runs] == expected
    assert all(math.isfinite(run.rmse) and run.rmse > 0 for run in runs)
    assert all(run.cpu_seconds >= 0 and run.seed == 0 for run in runs)
    written = pd.read_csv(tmp_path / "quality.csv")
    assert list(written.columns) == list(quality.Run._fields)
    assert len(written) == len(runs)
    report = (tmp_path / "quality.md").read_text(encoding="utf-8")
    assert report in capsys.readouterr().out
    assert ".8855" in report
    assert "23.6" not in report  # that of films, which did not run


def test_quick_run_of_films_has_a_plain_encoding(wheel, tmp_path):
    pytest.importorskip("bokeh_sampledata")
    runs = _quick(["films"], wheel, tmp_path)
    assert [run.model for run in runs] == [*quality.models(0), "ridge, plain one-hot"]
    assert all(math.isfinite(run.rmse) for run in runs)


def test_quick_run_leaves_the_committed_results(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "models", lambda seed: {quality.FM: quality._ridge()})
    quality.main(["--quick", "--problems", "movielens"])
    assert not quality.RESULTS.exists()


def test_summary_takes_ratios_within_a_seed():
    runs = [
        quality.Run("p", model, seed, rmse, seconds)
        for seed, slow in enumerate([1.0, 10.0, 3.0])
        for model, rmse, seconds in [
            (quality.FM, 0.8 + seed / 10, slow),
            ("other", 0.5, 2 * slow),
        ]
    ]
    table = quality.summary(runs).set_index("model")
    assert table.loc["other", "cpu_ratio"] == 2.0
    assert table.loc[quality.FM, "cpu_seconds"] == 3.0
    assert table.loc[quality.FM, "rmse"] == pytest.approx(0.9)
    assert table.loc[quality.FM, "spread"] == pytest.approx(0.1 * (2 / 3) ** 0.5)
    assert table["runs"].tolist() == [3, 3]
