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
from sklearn.decomposition import PCA
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

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run_demo"]

LIKED = 4.0
# Colours that stay apart for colour-blind readers and in print.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"


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
    """Draw learning curves, predicted against true stars and a map of the genres."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    curves, stars, genres = figure.subplots(1, 3)
    _, ridge, fm, ffm = results
    _draw_curves(curves, [(fm, BLUE), (ffm, ORANGE)])
    _draw_stars(stars, fm, test)
    _draw_genres(genres, fm, test)
    figure.savefig(path, dpi=110)


def _draw_curves(axes: Any, models: list[tuple[Result, str]]) -> None:
    for result, colour in models:
        estimator = result.model[-1]
        history = estimator.history_
        epochs = np.arange(1, estimator.n_iter_ + 1)
        label = result.name.removeprefix("Weighted").removesuffix("Regressor")
        axes.plot(
            epochs, history["train_loss"], ":", color=colour, label=f"{label}, train"
        )
        # The FM holds no rows out from so few: see `early_stopping`.
        shown = history.get("valid_loss", history["train_loss"])
        if "valid_loss" in history:
            axes.plot(epochs, shown, "-", color=colour, label=f"{label}, held out")
        best = estimator.best_iter_
        axes.plot(best, shown[best - 1], "o", color=colour)
    axes.set(
        title="Learning curves (dot: epoch kept)",
        xlabel="Epoch",
        ylabel="Half squared error of the standardised stars",
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


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


def _draw_genres(axes: Any, result: Result, test: pd.DataFrame) -> None:
    fields, estimator = result.model[0], result.model[-1]
    at = estimator.field_names_.index("genres")
    labels = fields.named_transformers_["genres"].categories_[0]
    vectors = estimator.factors_[estimator.fields_ == at]
    pca = PCA(2, random_state=0).fit(vectors)
    x, y = pca.transform(vectors).T
    counts = np.array([test["genres"].str.contains(name).sum() for name in labels])
    axes.scatter(x, y, s=20 + 400 * counts / counts.max(), color=BLUE, alpha=0.45)
    axes.margins(x=0.22, y=0.15)
    _write_apart(axes, labels, x, y)
    shares = 100 * pca.explained_variance_ratio_
    axes.set(
        title="Genre vectors (area: number of ratings)",
        xlabel=f"First principal axis ({shares[0]:.0f} % of the variance)",
        ylabel=f"Second ({shares[1]:.0f} %)",
    )


def _write_apart(axes: Any, names: Any, x: Any, y: Any) -> None:
    """Write a name beside each point, moved up until it covers no other name."""
    height = np.ptp(axes.get_ylim()) / 28
    width = np.ptp(axes.get_xlim()) / 60  # of a letter, as wide as they come
    placed: list[tuple[float, float, float]] = []
    for i in np.argsort(y):
        left, right, level = x[i], x[i] + width * len(names[i]), y[i]
        for a, b, other in sorted(placed, key=lambda box: box[2]):
            if a < right and left < b and abs(other - level) < height:
                level = other + height
        placed.append((left, right, level))
        axes.annotate(f" {names[i]}", (x[i], y[i]), (left, level), size=9, va="center")
