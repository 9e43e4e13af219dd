"""What the defaults are measured on: encoded rows, and a dense table for boosting.

A task is one repeat of a problem: a fold, or the seed of a split. Ours and the linear
baseline take the same fields. Gradient boosting takes numbers as they are, labels as
categories (those beyond the 250 most frequent of a column together) and the 30 most
frequent labels of a column of lists as zeros and ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import (
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.preprocessing import OrdinalEncoder

from benchmarks import problems, synthetic
from skwfm import FieldTransformer

__all__ = ["SPECS", "Sources", "Spec", "Task", "inner_splits"]

CATEGORIES = 250
LIST_LABELS = 30
FOLDS = 5
# Up to so many rows every trial is validated on three folds, above on a fifth.
FOLD_ROWS = 2000
INNER_FOLDS, INNER_SHARE = 3, 0.2
# Of problem A, so that 50 trials are payable.
CLICK_ROWS, CLICK_TEST_ROWS = 50_000, 20_000


class Sources(NamedTuple):
    """Where the data lie that neither an installed package nor a generator brings."""

    folder: Path | None = None
    """Holds the folders ``goodbooks`` and ``ml-latest-small``."""
    wheel: Path | None = None
    """The wheel of recbole; None asks pip for it."""


class Task(NamedTuple):
    """Rows to tune and fit on, and rows to score."""

    X_train: Any
    X_test: Any
    y_train: np.ndarray
    y_test: np.ndarray
    table_train: pd.DataFrame
    """For gradient boosting: columns of dtype ``category`` and numbers."""
    table_test: pd.DataFrame

    def first(self, n_rows: int) -> Task:
        """Return the task with at most `n_rows` rows in each part."""
        return Task(*(part[:n_rows] for part in self))


@dataclass(frozen=True)
class Spec:
    """One problem: its tasks, and what is affordable on them."""

    make: Callable[[int, Sources], Task]
    """From the number of the repeat."""
    about: str
    repeats: int
    metric: Literal["rmse", "logloss"] = "rmse"
    models: tuple[str, ...] = ("FM", "FFM")
    solvers: tuple[str, ...] = (*["adagrad"] * 9, "adam")
    """To draw from; adam costs ten times as much."""
    most_factors: int = 32
    in_folder: bool = False


def inner_splits(y: np.ndarray, metric: str, seed: int) -> list[Any]:
    """Return the rows to learn from and to validate on, by which trials compare."""
    classes = metric == "logloss"
    if len(y) <= FOLD_ROWS:
        folds: Any = StratifiedKFold if classes else KFold
        splitter = folds(INNER_FOLDS, shuffle=True, random_state=seed)
    else:
        parts: Any = StratifiedShuffleSplit if classes else ShuffleSplit
        splitter = parts(1, test_size=INNER_SHARE, random_state=seed)
    return list(splitter.split(np.empty((len(y), 1)), y))


def tables(
    train: pd.DataFrame, test: pd.DataFrame, sep: str = "|"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the dense tables; text is split at `sep` where a column has any."""
    parts = [_dense(train[name], test[name], sep) for name in train]
    first, second = zip(*parts, strict=True)
    return pd.concat(first, axis=1), pd.concat(second, axis=1)


def _dense(train: pd.Series, test: pd.Series, sep: str) -> list[pd.DataFrame]:
    """Return the dense columns of one column, of both sides."""
    name, sides = str(train.name), (train, test)
    if is_numeric_dtype(train):
        return [side.reset_index(drop=True).to_frame() for side in sides]
    is_list = train.map(lambda cell: isinstance(cell, list))
    if is_list.any() or train.astype(str).str.contains(sep, regex=False).any():
        counter = CountVectorizer(
            analyzer=lambda cell: cell if isinstance(cell, list) else cell.split(sep),
            max_features=LIST_LABELS,
            binary=True,
        ).fit(train)
        names = [f"{name} {label}" for label in counter.get_feature_names_out()]
        return [
            pd.DataFrame(counter.transform(side).toarray(), columns=names)
            for side in sides
        ]
    encoder = OrdinalEncoder(
        max_categories=CATEGORIES,
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
    ).fit(train.astype(str).to_frame())
    kinds = pd.CategoricalDtype(range(CATEGORIES + 1))
    return [
        pd.DataFrame(encoder.transform(side.astype(str).to_frame()), columns=[name])
        .astype("Int64")
        .astype(kinds)
        for side in sides
    ]


def _of_problem(problem: problems.Problem, sep: str = "|") -> Task:
    """Encode a problem with its own transformer."""
    X_train = problem.transformer.fit_transform(problem.train)
    X_test = problem.transformer.transform(problem.test)
    targets = problem.y_train, problem.y_test
    return Task(X_train, X_test, *targets, *tables(problem.train, problem.test, sep))


def _ml100k(repeat: int, sources: Sources) -> Task:
    wheel = sources.wheel or problems.fetch_ml100k()
    return _of_problem(problems.ml100k(repeat + 1, wheel=wheel), sep=" ")


def _in_folder(name: str) -> Callable[[int, Sources], Task]:
    def make(repeat: int, sources: Sources) -> Task:
        if sources.folder is None:
            raise ValueError(f"{name} needs --data FOLDER.")
        of_folder = {
            "goodbooks": problems.goodbooks,
            "ml-latest-small": problems.latest_small,
        }
        return _of_problem(of_folder[name](sources.folder / name, repeat))

    return make


def _clicks(repeat: int, sources: Sources) -> Task:
    """Return other train rows of problem A in every repeat, and the same test rows."""
    whole = synthetic.load("A")
    rows = slice(repeat * CLICK_ROWS, (repeat + 1) * CLICK_ROWS)
    X_train, X_test = whole.X_train[rows], whole.X_test[:CLICK_TEST_ROWS]
    # Labels that are nowhere in the rows take memory only.
    seen = np.unique(X_train.indices)
    frames = [
        pd.DataFrame(X.indices.reshape(X.shape[0], -1)).add_prefix("x").astype(str)
        for X in (X_train, X_test)
    ]
    return Task(
        X_train[:, seen],
        X_test[:, seen],
        whole.y_train[rows],
        whole.y_test[:CLICK_TEST_ROWS],
        *tables(*frames),
    )


def _bundled(load: Callable[..., Any], classes: bool) -> Callable[..., Task]:
    """Return tasks on a table of numbers, which become soft bins."""

    def make(repeat: int, sources: Sources) -> Task:
        X, y = load(return_X_y=True, as_frame=True)
        splitter: Any = StratifiedKFold if classes else KFold
        folds = splitter(FOLDS, shuffle=True, random_state=repeat // FOLDS)
        train, test = list(folds.split(X, y))[repeat % FOLDS]
        problem = problems.Problem(
            X.iloc[train],
            X.iloc[test],
            y.to_numpy()[train],
            y.to_numpy()[test],
            FieldTransformer(),
        )
        return _of_problem(problem)

    return make


_TINY = ("lbfgs", "adagrad", "adam")
SPECS = {
    "films": Spec(
        lambda repeat, sources: _of_problem(problems.films(repeat)),
        "17,453 films, score 0 to 100; half-decade, genres, people, languages, "
        "countries; 5 folds",
        5,
    ),
    "ml100k": Spec(
        _ml100k,
        "MovieLens 100K, all columns of user and item; the published folds u1 and u2",
        2,
    ),
    "goodbooks": Spec(
        _in_folder("goodbooks"),
        "233,383 ratings of a part of goodbooks-10k; reader, book, authors; a random "
        "fifth is test",
        1,
        in_folder=True,
    ),
    "ml-latest-small": Spec(
        _in_folder("ml-latest-small"),
        "100,836 ratings of MovieLens; user, film, year, genres; a random fifth is "
        "test",
        2,
        in_folder=True,
    ),
    "A": Spec(
        _clicks,
        f"the first {CLICK_ROWS:,} of the 1,000,000 generated clicks of problem A, "
        f"{CLICK_TEST_ROWS:,} test rows; 39 fields",
        1,
        "logloss",
        solvers=("adagrad",),
        most_factors=16,
    ),
    "diabetes": Spec(
        _bundled(load_diabetes, classes=False),
        "442 rows, 10 numbers, scikit-learn's; 5 folds",
        5,
        solvers=_TINY,
    ),
    "breast_cancer": Spec(
        _bundled(load_breast_cancer, classes=True),
        "569 rows, 30 numbers, two classes, scikit-learn's; 5 folds",
        5,
        "logloss",
        models=("FM",),
        solvers=_TINY,
    ),
    "wine": Spec(
        _bundled(load_wine, classes=True),
        "178 rows, 13 numbers, three classes, scikit-learn's; 5 folds, whose 36 test "
        "rows make the gap mostly noise",
        5,
        "logloss",
        models=("FM",),
        solvers=_TINY,
    ),
    "digits": Spec(
        _bundled(load_digits, classes=True),
        "1,797 rows, 64 numbers, ten classes, scikit-learn's; 5 folds",
        5,
        "logloss",
        models=("FM",),
        solvers=("adagrad",),
    ),
}
