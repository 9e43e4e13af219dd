"""The benchmarks of the encoder run, on few rows. Nothing here measures time."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


def _module(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        return importlib.import_module(f"benchmarks.{name}")


encoders = _module("encoders")
shelves = _module("shelves")


def test_encoder_and_peer_give_the_same_sums():
    cells = encoders.make_cells(50)
    for case in encoders.CASES.values():
        encoder = encoders.WeightedMultiLabelEncoder()
        ours = encoder.fit_transform(case.make(cells))
        theirs = case.peer().fit_transform(case.make_for_peer(cells))
        assert ours.shape == theirs.shape
        if case.peer is encoders.dict_vectorizer and case.make is encoders.as_dicts:
            np.testing.assert_allclose(ours.toarray(), theirs.toarray())


def test_quick_run_writes_nothing(tmp_path):
    times = encoders.main(
        ["--quick", "--rounds", "1", "--cases", "lists", "--output", str(tmp_path)]
    )
    assert times["ratio"].gt(0).all() and not list(tmp_path.iterdir())


def test_results_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "memory_apart", encoders.memory)
    encoders.main(
        ["--rows", "60", "--rounds", "2", "--cases", "texts", "--output", str(tmp_path)]
    )
    assert "| texts |" in (tmp_path / "encoders.md").read_text()
    assert len(pd.read_csv(tmp_path / "encoders.csv")) == 2


def test_memory_is_printed(capsys):
    encoders.main(["--memory", "dicts", "--rows", "20"])
    assert set(json.loads(capsys.readouterr().out)) == {"peak", "output"}


@pytest.fixture
def goodbooks(tmp_path):
    rng = np.random.default_rng(0)
    n_ratings = 200
    tables = {
        "ratings": {
            "user_id": rng.integers(0, 20, n_ratings),
            "book_id": rng.integers(1, 8, n_ratings),
            "rating": rng.integers(1, 6, n_ratings),
        },
        "books": {
            "book_id": range(1, 8),
            "goodreads_book_id": range(101, 108),
            "authors": ["A, B", "A", "B", "C", "D", "E", "F"],
        },
        "book_tags": {
            "goodreads_book_id": [*range(101, 107), 101],
            "tag_id": [0, 1, 2, 0, 1, 2, 1],
            "count": [5, 100, 2, 3, 4, 5, 6],
        },
        "tags": {"tag_id": range(3), "tag_name": ["x", "y|z", "w:1"]},
    }
    for name, table in tables.items():
        pd.DataFrame(table).to_csv(tmp_path / f"{name}.csv.gz", index=False)
    return tmp_path


def test_shelves(goodbooks, tmp_path, monkeypatch):
    results = shelves.main([str(goodbooks), "--quick"])
    assert results["variant"].unique().tolist() == list(shelves.VARIANTS)
    assert np.isfinite(results["rmse"]).all()
    ratings, books = shelves.read(goodbooks)
    X = shelves.encode(ratings, books, shelves.VARIANTS["raw counts"])
    assert X.field_names == ("user_id", "book_id", "authors", "tags")
    monkeypatch.setattr(shelves, "SEEDS", (0,))
    monkeypatch.setattr(shelves, "VARIANTS", {"l1": {"normalize": "l1"}})
    output = tmp_path / "out"
    output.mkdir()
    shelves.main([str(goodbooks), "--output", str(output)])
    assert "| l1 |" in (output / "shelves.md").read_text()
