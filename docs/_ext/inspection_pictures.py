"""The pictures of the page on inspecting: what its blocks of code would draw."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from skwfm import WeightedFMRegressor, inspection
from skwfm.datasets import load_movielens


@cache
def _fitted(**params: Any) -> tuple[WeightedFMRegressor, Any]:
    """Return a model of the page and its rows."""
    ratings = load_movielens().astype({"user": str})
    ratings["genres"] = ratings["genres"].replace("", None).str.split("|")
    X = ratings[["user", "title", "genres"]]
    return WeightedFMRegressor(random_state=0, **params).fit(X, ratings["rating"]), X


def _picture(width: float, height: float) -> Callable[..., Callable[[Path], None]]:
    """Make a function that draws on axes one that writes a file."""

    def decorate(draw: Callable[[Any], None]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure.subplots())
            figure.savefig(path, dpi=150)

        return write

    return decorate


@_picture(7.0, 4.2)
def contributions(axes: Any) -> None:
    """Draw the terms of a row."""
    fm, X = _fitted()
    inspection.ContributionDisplay.from_estimator(fm, X, row=1, ax=axes)


@_picture(7.0, 4.2)
def spread(axes: Any) -> None:
    """Draw the terms of a row and how sure they are."""
    fm, X = _fitted(solver="mcmc", max_iter=30)
    inspection.ContributionDisplay.from_estimator(fm, X, row=1, ax=axes)


@_picture(6.0, 3.4)
def interactions(axes: Any) -> None:
    """Draw how strong the pairs of fields are."""
    fm, X = _fitted()
    inspection.FieldInteractionDisplay.from_estimator(fm, X, ax=axes)


@_picture(6.6, 4.8)
def embedding(axes: Any) -> None:
    """Draw the map of the genres."""
    fm, X = _fitted()
    inspection.EmbeddingDisplay.from_estimator(fm, "genres", X, ax=axes)


@_picture(6.4, 3.4)
def training(axes: Any) -> None:
    """Draw the losses of a fit that holds rows out."""
    fm, X = _fitted()
    ratings = load_movielens()["rating"]
    fm = WeightedFMRegressor(
        early_stopping=True, max_iter=40, l2_factors=5, random_state=0
    ).fit(X, ratings)
    inspection.TrainingHistoryDisplay.from_estimator(fm, ax=axes)


PICTURES: dict[str, Callable[[Path], None]] = {
    "contributions": contributions,
    "spread": spread,
    "interactions": interactions,
    "embedding": embedding,
    "training": training,
}
