"""The ratings of the benchmark of ``solver="mcmc"``, encoded and split.

Every problem is a `Synthetic`: rows to learn from and to predict, and the size of every
field, which other libraries take as groups. Encoders see the training rows only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

from benchmarks import shelves, synthetic
from benchmarks.history import BOTH, FIELDS
from benchmarks.problems import Problem, fetch_ml100k, films, ml100k, movielens
from benchmarks.synthetic import Synthetic
from skwfm import FieldCSR, FieldTransformer

__all__ = [
    "GENERATED",
    "HAS_RIDGE",
    "QUALITY",
    "Sources",
    "planted",
    "problem",
]

QUICK_ROWS = 300
# 900,000 train and 100,000 test rows with a planted FM and noise.
GENERATED = "ratings"
# What shelves weigh in goodbooks.
SHELVES = shelves.VARIANTS["log1p, then l1"]
# Of the planted model: labels of two fields, factors, standard deviations.
PLANTED_SIZES, PLANTED_FACTORS = (1000, 600), 4
PLANTED_SCALES = {"linear": 0.4, "factors": 0.6, "noise": 0.8}
PLANTED_ROWS = 50_000


class Sources(NamedTuple):
    """Where files that are not part of the repository lie."""

    wheel: Path | None = None
    books: Path | None = None


def problem(name: str, seed: int, sources: Sources, *, quick: bool = False) -> Any:
    """Return a problem by name.

    Parameters
    ----------
    name : str
        A key of `QUALITY`, `GENERATED` or ``"planted"``.
    seed : int
        Of the split; the fold of films. The u3 of ML-100K is always the same.
    sources : Sources
        Of the files.
    quick : bool
        Few rows.
    """
    if name == "planted":
        return planted(seed, 600 if quick else PLANTED_ROWS)
    if name == GENERATED:
        return synthetic.small(name) if quick else synthetic.load(name)
    found = QUALITY[name](seed, sources)
    if isinstance(found, Problem):
        found = encoded(name, found.first(QUICK_ROWS) if quick else found)
    return found.first(QUICK_ROWS, QUICK_ROWS) if quick else found


def encoded(name: str, data: Problem) -> Synthetic:
    """Encode train and test rows."""
    X = data.transformer.fit_transform(data.train, data.y_train)
    X_test = data.transformer.transform(data.test)
    return _synthetic(name, X, X_test, data.y_train, data.y_test)


def planted(seed: int, n_rows: int = PLANTED_ROWS) -> Synthetic:
    """Return ratings drawn from the very model: normal blocks and normal noise.

    A fifth are test rows, drawn from the same labels.
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = PLANTED_SIZES
    labels = np.stack([rng.integers(n, size=n_rows) for n in PLANTED_SIZES], axis=1)
    labels[:, 1] += n_users
    n_columns = n_users + n_items
    factors = rng.standard_normal((n_columns, PLANTED_FACTORS))
    factors *= PLANTED_SCALES["factors"]
    linear = PLANTED_SCALES["linear"] * rng.standard_normal(n_columns)
    y = 3.5 + linear[labels].sum(axis=1)
    y += (factors[labels[:, 0]] * factors[labels[:, 1]]).sum(axis=1)
    y += PLANTED_SCALES["noise"] * rng.standard_normal(n_rows)
    indptr = np.arange(0, 2 * n_rows + 1, 2)
    values = np.ones(2 * n_rows, np.float32)
    X = sp.csr_matrix((values, labels.ravel(), indptr), shape=(n_rows, n_columns))
    X = FieldCSR(X, fields=list(PLANTED_SIZES))
    cut = n_rows * 4 // 5
    return _synthetic("planted", X[:cut], X[cut:], y[:cut], y[cut:])


def _synthetic(name: str, X: Any, X_test: Any, y: Any, y_test: Any) -> Synthetic:
    sizes = np.bincount(X.field_map.ids, minlength=X.field_map.n_fields)
    return Synthetic(name, X, X_test, y, y_test, "rmse", tuple(sizes.tolist()))


def _u3(sources: Sources) -> Problem:
    return ml100k(3, wheel=sources.wheel or fetch_ml100k())


def _ids_only(sources: Sources) -> Problem:
    ids = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    transformer = FieldTransformer([("ids", ids, ["user", "item"])])
    return _u3(sources)._replace(transformer=transformer)


def _with_history(sources: Sources, fields: str) -> Problem:
    data = _u3(sources)
    parts = [*data.transformer.transformers, *FIELDS[fields]()]
    return data._replace(transformer=FieldTransformer(parts))


@lru_cache(maxsize=1)  # 200 MB
def _books(folder: Path) -> tuple[Any, Any]:
    """Return the fields of all ratings of books, and their targets."""
    ratings, books = shelves.read(folder)
    X = shelves.encode(ratings, books, SHELVES)
    return X, ratings["rating"].to_numpy(dtype=np.float64)


def goodbooks(seed: int, sources: Sources) -> Synthetic:
    """Return ratings of books with their shelves, a random fifth as test rows."""
    if sources.books is None:
        raise ValueError("goodbooks is no part of the repository: --books says where.")
    X, y = _books(sources.books)
    rows = np.arange(len(y))
    train, test = train_test_split(rows, test_size=0.2, random_state=seed)
    return _synthetic("goodbooks", X[train], X[test], y[train], y[test])


QUALITY: dict[str, Callable[[int, Sources], Any]] = {
    "movielens": lambda seed, sources: movielens(seed),
    "ml100k": lambda seed, sources: _u3(sources),
    "ml100k, ids": lambda seed, sources: _ids_only(sources),
    # All rows of a user have the same history here, and a sweep takes a moment.
    "ml100k, history, own item kept": lambda seed, sources: _with_history(
        sources, f"{BOTH}, own item kept"
    ),
    "ml100k, history": lambda seed, sources: _with_history(sources, BOTH),
    "films": lambda seed, sources: films(seed),
    "goodbooks": goodbooks,
}
# The others have too many values for a search on ridges.
HAS_RIDGE = ("movielens", "ml100k", "ml100k, ids", "films")
