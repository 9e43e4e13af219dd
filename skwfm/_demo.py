"""The demo: rating regression and liked / not liked on real film ratings.

Users, films and years are one-hot fields, the genres of a film one field of weight
1/sqrt(n) each. Linear models get the same encoding. Everything is measured on a random
fifth of the ratings that no model has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm._compose import FieldTransformer
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._estimators import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm._extras import require
from skwfm.datasets import load_movielens
from skwfm.inspection import (
    ContributionDisplay,
    EmbeddingDisplay,
    FieldInteractionDisplay,
)
from skwfm.inspection._drawing import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run_demo"]

LIKED = 4.0


class Result(NamedTuple):
    """One fitted model and what it reached on the test rows."""

    name: str
    model: Pipeline
    scores: dict[str, float]


class Task(NamedTuple):
    """A target, the models to compare and how to score them."""

    title: str
    y: Any
    models: dict[str, Any]
    score: Callable[[Any, Any, Any], dict[str, float]]


def run_demo(folder: Path, *, seed: int, report: Callable[[str], None]) -> Path:
    """Fit, compare, save a model and draw it.

    Parameters
    ----------
    folder : Path
        Where model and picture go; made if missing.
    seed : int
        Decides the split and the models.
    report : callable
        Gets each line of the output.

    Returns
    -------
    Path
        The folder, absolute.
    """
    require("matplotlib", extra="examples")  # before minutes of work, not after
    ratings = load_movielens()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train, test = train_test_split(ratings, test_size=0.2, random_state=seed)
    report(
        f"{len(ratings):,} ratings of {ratings['film'].nunique():,} films by "
        f"{ratings['user'].nunique()} users; {len(test):,} of them held out.\n"
    )
    results = {}
    for task in _tasks(ratings["rating"], seed):
        report(task.title)
        results[task.title] = list(_fit_all(task, train, test, report))
        report("")
    regressors = results[_REGRESSION]
    best = min(regressors[2:], key=lambda result: result.scores["RMSE"])
    joblib.dump(best.model, folder / "model.joblib")
    _draw(regressors, test, folder / "demo.png")
    report(f"Model ({best.name}) and picture are in {folder}")
    return folder


_REGRESSION = "Stars, 0.5 to 5"


def _tasks(ratings: pd.Series[float], seed: int) -> Iterator[Task]:
    yield Task(
        _REGRESSION,
        ratings,
        {
            "mean": DummyRegressor(),
            "ridge, one-hot": Ridge(alpha=5.0),
            "WeightedFMRegressor": WeightedFMRegressor(random_state=seed),
            "WeightedFFMRegressor": WeightedFFMRegressor(random_state=seed),
        },
        _score_regressor,
    )
    yield Task(
        f"Liked, {LIKED:g} stars or more",
        ratings >= LIKED,
        {
            "base rate": DummyClassifier(),
            "logistic, one-hot": LogisticRegression(C=0.2, max_iter=500),
            "WeightedFMClassifier": WeightedFMClassifier(random_state=seed),
            "WeightedFFMClassifier": WeightedFFMClassifier(random_state=seed),
        },
        _score_classifier,
    )


def _score_regressor(model: Pipeline, X: pd.DataFrame, y: Any) -> dict[str, float]:
    return {"RMSE": float(root_mean_squared_error(y, model.predict(X)))}


def _score_classifier(model: Pipeline, X: pd.DataFrame, y: Any) -> dict[str, float]:
    proba = model.predict_proba(X)[:, 1]
    return {"AUC": float(roc_auc_score(y, proba)), "logloss": float(log_loss(y, proba))}


def encoder() -> FieldTransformer:
    """Return the transformer of all models: three one-hot fields and the genres."""
    one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    genres = WeightedMultiLabelEncoder(normalize="sqrt")
    return FieldTransformer(
        [("ids", one_hot, ["user", "film", "year"]), ("genres", genres, ["genres"])]
    )


def _fit_all(
    task: Task, train: Any, test: Any, report: Callable[[str], None]
) -> Iterator[Result]:
    """Fit the models of a task; report a line each."""
    header = None
    for name, estimator in task.models.items():
        model = Pipeline([("fields", encoder()), ("model", estimator)])
        start = time.perf_counter()
        model.fit(train, task.y[train.index])
        seconds = time.perf_counter() - start
        scores = task.score(model, test, task.y[test.index])
        if header is None:
            header = f"  {'':<22}" + "".join(f"{key:>9}" for key in scores)
            report(f"{header}{'seconds':>9}")
        values = "".join(f"{value:9.4f}" for value in scores.values())
        report(f"  {name:<22}{values}{seconds:9.2f}")
        yield Result(name, model, scores)


def _draw(results: list[Result], test: pd.DataFrame, path: Path) -> None:
    """Draw predicted against true stars, and what the model has learned."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9.4), layout="constrained")
    FigureCanvasAgg(figure)
    (stars, pairs), (genres, terms) = figure.subplots(2, 2)
    fm = results[2]
    _draw_stars(stars, fm, test)
    FieldInteractionDisplay.from_estimator(fm.model, test, ax=pairs)
    EmbeddingDisplay.from_estimator(fm.model, "genres", ax=genres)
    ContributionDisplay.from_estimator(fm.model, test, n_terms=10, ax=terms)
    pairs.set_title("Which fields act together")
    genres.set_title("Map of the genres (area: number of ratings)")
    terms.set_title("Why this rating: terms of one prediction")
    terms.set_xlabel("Stars")
    figure.savefig(path, dpi=100)


def _draw_stars(axes: Any, result: Result, test: pd.DataFrame) -> None:
    predicted = result.model.predict(test)
    levels = np.sort(test["rating"].unique())
    parts = [predicted[(test["rating"] == level).to_numpy()] for level in levels]
    axes.boxplot(
        parts,
        positions=levels,
        widths=0.32,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": "#CFE3F2", "edgecolor": BLUE},
        medianprops={"color": ORANGE},
    )
    axes.plot([0.5, 5], [0.5, 5], "--", color=GREY, linewidth=1, label="perfect")
    axes.set(
        title=f"Held-out ratings, RMSE {result.scores['RMSE']:.3f}",
        xlabel="True stars",
        ylabel="Predicted stars (quartiles and range)",
        xticks=[1, 2, 3, 4, 5],
    )
    axes.legend(frameon=False, loc="upper left")
