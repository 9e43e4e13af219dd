"""Small fitted models of every kind, for the tests that write and read them."""

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

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
    hstack,
)

N_ROWS = 40
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "user": RNG.choice(["ann", "bob", "eve"], N_ROWS),
        "film": RNG.choice(["Alien", "Heat", "M"], N_ROWS),
        "genres": [[("Drama", 1.0), ("War", 0.5)][: i % 3] for i in range(N_ROWS)],
        "year": RNG.integers(1930, 2020, N_ROWS).astype(float),
        "seen": pd.date_range("2020-01-01", periods=N_ROWS, freq="9D"),
    }
)
X = RNG.normal(size=(N_ROWS, 4))
Y = RNG.normal(size=N_ROWS)
FM = {"n_factors": 2, "max_iter": 2, "random_state": 0}
DRAWN = FM | {"solver": "mcmc", "max_iter": 6, "n_kept": 3}


def three(*classes):
    """Return a target of some classes, each of which occurs."""
    return np.resize(np.array(classes), N_ROWS)


def target_for(model):
    """Return a target that a model can go on with."""
    for name in ("classes_", "levels_"):
        if hasattr(model, name):
            return three(*getattr(model, name))
    return Y


def outputs(model, rows):
    """Return everything that a model says about rows."""
    if hasattr(model, "transform"):
        encoded = model.transform(rows)
        names = np.array(encoded.field_names), model.get_feature_names_out()
        return [encoded.toarray(), encoded.fields, *names]
    methods = ("predict", "predict_proba")
    out = [getattr(model, name)(rows) for name in methods if hasattr(model, name)]
    if hasattr(model, "samples_") and not hasattr(model, "classes_"):
        out.append(model.predict(rows, return_std=True)[1])
    return out


def labels(column, **parameters):
    return WeightedMultiLabelEncoder(**parameters).fit(FRAME[[column]]), FRAME[[column]]


def dense(model, y, rows=X):
    return model.fit(rows, y), rows


def grown():
    frame = FRAME.assign(user="a new one")
    classes = ["no", "perhaps", "yes"]
    model = WeightedFFMClassifier(**FM).partial_fit(FRAME, three(*classes), classes)
    return model.partial_fit(frame, three(*classes)), FRAME


def hashed():
    encoder = WeightedMultiLabelEncoder(categories="hash", n_hash_features=32)
    pipeline = make_pipeline(encoder, WeightedFFMRegressor(**FM))
    rows = FRAME[["user", "film"]]
    return pipeline.fit(rows, Y), rows


def mixed_frame():
    transformer = FieldTransformer(
        [
            ("tags", WeightedMultiLabelEncoder(handle_unknown="error"), ["genres"]),
            ("history", HistoryEncoder(max_items=2), ["user", "film"]),
            ("years", SplineEncoder(4, 3), ["year"]),
            ("seen", DateEncoder(["month", "weekday"], split_fields=True), ["seen"]),
            ("same", "passthrough", ["year"]),
            ("gone", "drop", ["film"]),
        ],
        transformer_weights={"years": 0.5},
    )
    return transformer.fit(FRAME), FRAME


def grown_transformer():
    transformer = FieldTransformer().partial_fit(FRAME)
    return transformer.partial_fit(FRAME.assign(film="Ran")), FRAME


def with_map():
    rows = hstack([X[:, :2], np.abs(X[:, 2:])])
    return WeightedFFMRegressor(**FM).fit(rows, Y), rows


def float32():
    rows = X.astype(np.float32)
    return WeightedFMRegressor(**FM, solver="adagrad").fit(rows, Y), rows


def pairs():
    rows = FRAME[["genres"]].assign(
        genres=[["a", "b"][: i % 3] for i in range(N_ROWS)],
        weights=[[1.0, 2.0][: i % 3] for i in range(N_ROWS)],
    )
    return WeightedMultiLabelEncoder(weights={"genres": "weights"}).fit(rows), rows


MIXED = np.empty((6, 1), dtype=object)
MIXED[:, 0] = ["a", 1, True, 2.5, b"x", None]

KINDS = {
    "squared_error": lambda: dense(WeightedFMRegressor(**FM), Y),
    "huber": lambda: dense(WeightedFFMRegressor(**FM, loss="huber"), Y),
    "poisson": lambda: dense(WeightedFMRegressor(**FM, loss="poisson"), np.abs(Y)),
    "ftrl": lambda: dense(WeightedFMRegressor(**FM, solver="ftrl"), Y),
    "adam": lambda: dense(WeightedFMRegressor(**FM, solver="adam"), Y),
    "per weight": lambda: dense(
        WeightedFMRegressor(**FM, solver="adagrad", adagrad_state="weight"), Y
    ),
    "float32": float32,
    "field map": with_map,
    "parameters": lambda: dense(
        WeightedFMRegressor(
            **FM, fields=[2, 2], callbacks=[], solver="AdamW", solver_params={"eps": 1}
        ),
        Y,
    ),
    "named columns": lambda: dense(
        WeightedFMRegressor(**FM), Y, pd.DataFrame(X, columns=list("abcd"))
    ),
    "binary": lambda: dense(WeightedFMClassifier(**FM), three(False, True)),
    "classes of text": lambda: dense(WeightedFMClassifier(**FM), three("é", "b", "c")),
    "classes of objects": lambda: dense(
        WeightedFFMClassifier(**FM), three("a", "b", "c").astype(object)
    ),
    "classes of numbers": lambda: dense(WeightedFFMClassifier(**FM), three(5, -9, 7)),
    "class weights": lambda: dense(
        WeightedFMClassifier(**FM, class_weight={0: 1.0, 1: 2.5}), three(0, 1)
    ),
    "draws": lambda: dense(WeightedFMRegressor(**DRAWN), Y),
    "draws with spread": lambda: dense(
        WeightedFMRegressor(**DRAWN), Y, FRAME[["user", "film"]]
    ),
    "draws of levels": lambda: dense(
        WeightedFMRegressor(**DRAWN, loss="ordinal"), three(1, 2, 5), FRAME
    ),
    "draws of classes": lambda: dense(
        WeightedFMClassifier(**DRAWN), three("no", "yes"), FRAME
    ),
    "frame": lambda: dense(WeightedFFMClassifier(**FM), three("a", "b"), FRAME),
    "grown": grown,
    "hashed": hashed,
    "pipeline": lambda: dense(
        make_pipeline(FieldTransformer(), WeightedFMRegressor(**FM)), Y, FRAME
    ),
    "labels": lambda: labels("genres", normalize="l1", dtype=np.float64),
    "given labels": lambda: labels("user", categories=[["ann", "eve"]]),
    "rare labels": lambda: labels(
        "user", min_frequency=15, handle_unknown="infrequent"
    ),
    "mixed labels": lambda: (WeightedMultiLabelEncoder().fit(MIXED), MIXED),
    "numbers as labels": lambda: labels("year", weight_transform="log1p"),
    "labels and weights": pairs,
    "transformer": mixed_frame,
    "chosen transformer": grown_transformer,
    "remainder": lambda: (
        FieldTransformer([("n", SplineEncoder(), [0])], remainder="passthrough").fit(X),
        X,
    ),
    "splines": lambda: (SplineEncoder(knots="uniform", degree=0).fit(X), X),
    "constant column": lambda: (SplineEncoder().fit(X[:1]), X),
    "dates": lambda: (DateEncoder().fit(FRAME[["seen"]]), FRAME[["seen"]]),
    "history": lambda: (
        HistoryEncoder(max_items=None).fit(FRAME[["user", "film", "year"]]),
        FRAME[["user", "film", "year"]],
    ),
}
