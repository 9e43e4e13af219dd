"""What weights are worth: ratings of books with the shelves readers put them on.

Every book of goodbooks-10k has up to 100 shelves (tags) and how many readers put it on
each. The fields are reader, book, authors and shelves; a WeightedFMRegressor with its
defaults, or with solver="mcmc", predicts the rating, and only the weights of the
shelves differ. RMSE on a random fifth of the ratings.

    python -m benchmarks.shelves FOLDER     # with ratings, books, book_tags and tags

FOLDER holds the files of goodbooks-10k (CC BY-SA 4.0) as .csv or .csv.gz.
"""

from __future__ import annotations

import argparse
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks.machine import describe
from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder, hstack

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
SOLVERS = ("auto", "mcmc")
# None: no field of shelves; "counted": False counts every shelf of a book once.
VARIANTS: dict[str, dict[str, Any] | None] = {
    "no shelves": None,
    "without weights": {"counted": False},
    "without weights, l2": {"counted": False, "normalize": "l2"},
    "raw counts": {},
    "log1p": {"weight_transform": "log1p"},
    "l1": {"normalize": "l1"},
    "l2": {"normalize": "l2"},
    "log1p, then l1": {"weight_transform": "log1p", "normalize": "l1"},
    "log1p, then l2": {"weight_transform": "log1p", "normalize": "l2"},
}


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return ratings (user, book, rating) and books (authors, tags, tag_counts)."""
    ratings, books, book_tags, tags = (
        pd.read_csv(next(folder.glob(f"{name}.csv*")))
        for name in ("ratings", "books", "book_tags", "tags")
    )
    shelves = book_tags.merge(tags, on="tag_id").groupby("goodreads_book_id")
    books = books.set_index("book_id")
    for column, source in (("tags", "tag_name"), ("tag_counts", "count")):
        books[column] = books["goodreads_book_id"].map(shelves[source].agg(list))
    ratings = ratings[ratings["book_id"].isin(books.index)].reset_index(drop=True)
    return ratings, books[["authors", "tags", "tag_counts"]]


def encode(
    ratings: pd.DataFrame, books: pd.DataFrame, settings: dict[str, Any] | None
) -> Any:
    """Return the fields of all ratings; every book is encoded once."""
    ids = ratings[["user_id", "book_id"]].astype(str)
    ids = WeightedMultiLabelEncoder(sep=None, weight_sep=None).fit_transform(ids)
    authors = WeightedMultiLabelEncoder(sep=",", weight_sep=None, normalize="sqrt")
    blocks = [authors.fit_transform(books[["authors"]])]
    if settings is not None:
        counted = settings.get("counted", True)
        columns = ["tags", "tag_counts"] if counted else ["tags"]
        shelves = WeightedMultiLabelEncoder(
            weights={"tags": "tag_counts"} if counted else None,
            **{name: value for name, value in settings.items() if name != "counted"},
        )
        blocks.append(shelves.fit_transform(books[columns]))
    row = books.index.get_indexer(ratings["book_id"])
    return hstack([ids, *(block[row] for block in blocks)])


def evaluate(
    X: Any, y: Any, variant: str, solver: str, seed: int, **params: Any
) -> dict[str, Any]:
    """Fit on four fifths of the ratings and return the RMSE on the others."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed)
    model = WeightedFMRegressor(random_state=seed, solver=solver, **params)
    start = time.process_time()
    with warnings.catch_warnings():
        # Raw counts are told to be unscaled: that is what is measured.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[train], y[train])
    seconds = time.process_time() - start
    error = y[test] - model.predict(X[test])
    rmse = float(np.sqrt(np.mean(error**2)))
    return {
        "variant": variant,
        "solver": solver,
        "seed": seed,
        "rmse": rmse,
        "seconds": seconds,
    }


def report(results: pd.DataFrame, n_ratings: int) -> str:
    """Return the table of means as Markdown."""
    lines = [
        "# What weights are worth",
        "",
        f'RMSE of `WeightedFMRegressor` with its defaults and with `solver="mcmc"` '
        f"on a fifth of {n_ratings:,} ratings of goodbooks-10k (a part of it; CC BY-SA "
        "4.0), fields reader, book, authors and shelves, mean and standard deviation "
        f"over {results['seed'].nunique()} seeds. Only the weights of the shelves "
        "differ. Written by `python -m benchmarks.shelves FOLDER`.",
        "",
        "| weights of the shelves | RMSE | std | CPU s of fit "
        "| RMSE, mcmc | std, mcmc | CPU s, mcmc |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, group in results.groupby("variant", sort=False):
        line = f"| {variant} |"
        for _, own in group.groupby("solver", sort=False):
            rmse = own["rmse"]
            line += f" {rmse.mean():.4f} | {rmse.std(ddof=0):.4f} |"
            line += f" {own['seconds'].median():.1f} |"
        lines.append(line)
    machine = describe()
    lines += [
        "",
        f"{machine['date']}, {machine['system']}, Python {machine['python']}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="one epoch, no files")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    ratings, books = read(options.folder)
    seeds, params = ((0,), {"max_iter": 1}) if options.quick else (SEEDS, {})
    y = ratings["rating"].to_numpy(dtype=np.float64)
    rows = []
    for variant, settings in VARIANTS.items():
        X = encode(ratings, books, settings)
        for solver, seed in product(SOLVERS, seeds):
            rows.append(evaluate(X, y, variant, solver, seed, **params))
            line = "{variant}, {solver}, seed {seed}: {rmse:.4f}"
            print(line.format(**rows[-1]), flush=True)
    results = pd.DataFrame(rows)
    if not options.quick:
        results.round(5).to_csv(options.output / "shelves.csv", index=False)
        text = report(results, len(ratings))
        (options.output / "shelves.md").write_text(text, encoding="utf-8")
    return results


if __name__ == "__main__":
    main()
