"""Small fitted models of every kind, to be saved, changed and used."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

import skwfm
from skwfm import (
    DateEncoder,
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)

N_ROWS = 12
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "user": np.resize(["ann", "bob", "eve"], N_ROWS),
        "film": np.resize(["Alien", "Heat", "M", "Ran"], N_ROWS),
        "genres": [[("Drama", 1.0), ("War", 0.5)][: i % 3] for i in range(N_ROWS)],
        "year": RNG.integers(1930, 2020, N_ROWS).astype(float),
        "seen": pd.date_range("2020-01-01", periods=N_ROWS, freq="9D"),
    }
)
X = RNG.normal(size=(N_ROWS, 4))
Y = RNG.normal(size=N_ROWS)
FM = {"n_factors": 2, "max_iter": 2, "random_state": 0}
DRAWN = FM | {"solver": "mcmc", "max_iter": 4, "n_kept": 2}
USED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def classes(*names):
    return np.resize(np.array(names), N_ROWS)


def grown():
    model = WeightedFFMClassifier(**FM)
    model.partial_fit(FRAME, classes("no", "yes"), ["no", "perhaps", "yes"])
    return model.partial_fit(FRAME.assign(user="new"), classes("no", "perhaps", "yes"))


def transformer():
    return FieldTransformer(
        [
            ("tags", WeightedMultiLabelEncoder(handle_unknown="error"), ["genres"]),
            ("history", HistoryEncoder(max_items=2), ["user", "film"]),
            ("years", SplineEncoder(4, 3), ["year"]),
            ("seen", DateEncoder(["month"], split_fields=True), ["seen"]),
            ("same", "passthrough", ["year"]),
        ],
        transformer_weights={"years": 0.5},
    ).fit(FRAME)


def hashed():
    encoder = WeightedMultiLabelEncoder(categories="hash", n_hash_features=16)
    rows = FRAME[["user", "film"]]
    return make_pipeline(encoder, WeightedFFMRegressor(**FM)).fit(rows, Y)


def rare_labels():
    encoder = WeightedMultiLabelEncoder(min_frequency=4, handle_unknown="infrequent")
    return encoder.fit(FRAME[["user", "film"]])


MODELS = {
    "regressor": lambda: WeightedFMRegressor(**FM).fit(X, Y),
    "ftrl": lambda: WeightedFMRegressor(**FM, solver="ftrl").fit(X, Y),
    "binary": lambda: WeightedFMClassifier(**FM).fit(X, classes(False, True)),
    "classes": lambda: WeightedFFMClassifier(**FM).fit(FRAME, classes("a", "b", "c")),
    "draws": lambda: WeightedFMRegressor(**DRAWN).fit(FRAME[["user", "film"]], Y),
    "draws of levels": lambda: WeightedFMRegressor(**DRAWN, loss="ordinal").fit(
        FRAME[["user", "year"]], classes(1, 2, 5)
    ),
    "draws of classes": lambda: WeightedFMClassifier(**DRAWN).fit(X, classes(0, 1)),
    "grown": grown,
    "transformer": transformer,
    "hashed": hashed,
    "rare labels": rare_labels,
    "splines": lambda: SplineEncoder().fit(X),
    "dates": lambda: DateEncoder().fit(FRAME[["seen"]]),
    "history": lambda: HistoryEncoder(max_items=None).fit(FRAME[["user", "film"]]),
}
save = skwfm.save


def use(model):
    """Predict and go on training; return what became of it, raise where it must not.

    Anything may be wrong with a model of a forged file. It must say so in an exception
    that Python code raises, and may not predict NaN.
    """
    rows = rows_for(model)
    try:
        found = outputs(model, rows)
        if any(not np.isfinite(part).all() for part in found):
            raise AssertionError(f"{type(model).__name__} gives a NaN")
        if hasattr(model, "samples_"):
            go_on = model.set_params(warm_start=True, max_iter=1)
            go_on.fit(rows, target_for(model))
        elif hasattr(model, "partial_fit"):
            model.partial_fit(rows, target_for(model))
    except USED as error:
        return f"{type(model).__name__} raises {type(error).__name__}: {error}"
    return f"{type(model).__name__} works"


def target_for(model):
    for name in ("classes_", "levels_"):
        if hasattr(model, name):
            return np.resize(getattr(model, name), N_ROWS)
    return Y if hasattr(model, "factors_") else None


def rows_for(model):
    names = list(getattr(model, "feature_names_in_", []))
    if set(names) <= set(FRAME.columns) and names:
        return FRAME[names]
    return X[:, : max(1, min(getattr(model, "n_features_in_", 4), 4))]


def outputs(model, rows):
    if hasattr(model, "transform"):
        return [model.transform(rows).data]
    if hasattr(model, "predict_proba"):
        return [model.predict_proba(rows)]
    if hasattr(model, "samples_"):
        return list(model.predict(rows, return_std=True))
    return [model.predict(rows)]
