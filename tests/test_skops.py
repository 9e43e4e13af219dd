"""Files of skops: round trips with the documented list of types to trust."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skwfm import (
    DateEncoder,
    FieldCSR,
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

io = pytest.importorskip("skops.io", reason="skops is not installed")

DOCS = Path(__file__).parents[1] / "docs" / "api" / "persistence.md"
DOCUMENTED = re.findall(r'^\.\.\.     "(.+)",$', DOCS.read_text(), re.MULTILINE)

N_ROWS = 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
Y = RNG.normal(size=N_ROWS)
TWO = np.resize(["no", "yes"], N_ROWS)
THREE = np.resize([5, -9, 7], N_ROWS)
FRAME = pd.DataFrame(
    {
        "user": RNG.choice(["ann", "bob", "eve"], N_ROWS),
        "film": RNG.choice(["Alien", "Heat", "M"], N_ROWS),
        "genres": [[("Drama", 1.0), ("War", 0.5)][: i % 3] for i in range(N_ROWS)],
        "year": RNG.integers(1930, 2020, N_ROWS).astype(float),
        "seen": pd.date_range("2020-01-01", periods=N_ROWS, freq="9D"),
    }
)
FM = {"n_factors": 2, "max_iter": 2, "random_state": 0}
# Keys of a dict that skops would make one: of 1, "1", True and b"1".
MIXED = np.empty((8, 1), dtype=object)
MIXED[:, 0] = ["1", 1, True, 1.5, b"1", None, "\ud800", np.datetime64("2020-01-01")]


def labels(column, **parameters):
    return WeightedMultiLabelEncoder(**parameters).fit(FRAME[[column]]), FRAME[[column]]


def transformer(**more):
    blocks = [
        ("tags", WeightedMultiLabelEncoder(handle_unknown="error"), ["genres"]),
        ("history", HistoryEncoder(max_items=2), ["user", "film"]),
        ("years", SplineEncoder(4, 3), ["year"]),
        ("seen", DateEncoder(["month", "weekday"], split_fields=True), ["seen"]),
        ("user", more.get("user", "passthrough"), more.get("columns", ["year"])),
    ]
    return FieldTransformer(blocks).fit(FRAME), FRAME


def with_map():
    rows = hstack([X[:, :2], np.abs(X[:, 2:])])
    return WeightedFFMRegressor(**FM, solver="adagrad").fit(rows, Y), rows


def hashed():
    encoder = WeightedMultiLabelEncoder(categories="hash", n_hash_features=32)
    rows = FRAME[["user", "film"]]
    return make_pipeline(encoder, WeightedFFMRegressor(**FM)).fit(rows, Y), rows


KINDS = {
    "FM regressor": lambda: (WeightedFMRegressor(**FM).fit(X, Y), X),
    "FM classifier": lambda: (WeightedFMClassifier(**FM).fit(X, TWO), X),
    "FFM regressor": with_map,
    "FFM classifier": lambda: (WeightedFFMClassifier(**FM).fit(X, THREE), X),
    "frame": lambda: (WeightedFFMClassifier(**FM).fit(FRAME, TWO), FRAME),
    "stream": lambda: (WeightedFMRegressor(**FM).partial_fit(FRAME, Y), FRAME),
    "labels": lambda: labels("genres", normalize="l1"),
    "rare labels": lambda: labels("user", min_frequency=12, handle_unknown="error"),
    "mixed labels": lambda: (WeightedMultiLabelEncoder().fit(MIXED), MIXED),
    "numbers as labels": lambda: labels("year"),
    "splines": lambda: (SplineEncoder(degree=0).fit(X), X),
    "constant column": lambda: (SplineEncoder().fit(X[:1]), X),
    "dates": lambda: (DateEncoder().fit(FRAME[["seen"]]), FRAME[["seen"]]),
    "history": lambda: (
        HistoryEncoder(max_items=None).fit(FRAME[["user", "film"]]),
        FRAME[["user", "film"]],
    ),
    "transformer": transformer,
    "transformer of others": lambda: transformer(
        user=OneHotEncoder(), columns=["user"]
    ),
    "pipeline": lambda: (
        make_pipeline(FieldTransformer(), WeightedFMRegressor(**FM)).fit(FRAME, Y),
        FRAME,
    ),
    "hashed": hashed,
}


def outputs(model, rows):
    """Return everything that a model says about rows."""
    if hasattr(model, "transform"):
        encoded = model.transform(rows)
        names = np.array(encoded.field_names), model.get_feature_names_out()
        return [encoded.toarray(), encoded.fields, *names]
    methods = ("predict", "predict_proba")
    return [getattr(model, name)(rows) for name in methods if hasattr(model, name)]


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip_with_the_documented_types_is_exact(kind, tmp_path):
    model, rows = KINDS[kind]()
    io.dump(model, tmp_path / "model.skops")
    restored = io.load(tmp_path / "model.skops", trusted=DOCUMENTED)
    assert repr(restored) == repr(model)
    assert vars(restored).keys() == vars(model).keys()
    for one, other in zip(outputs(model, rows), outputs(restored, rows), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_documented_types_are_those_that_skops_asks_for():
    found = set()
    for kind in KINDS.values():
        found.update(io.get_untrusted_types(data=io.dumps(kind()[0])))
    assert sorted(found) == DOCUMENTED


def test_training_goes_on_to_the_bit():
    model, _ = KINDS["stream"]()
    restored = io.loads(io.dumps(model), trusted=DOCUMENTED)
    further = FRAME.assign(user="a new one")
    predictions = [
        one.partial_fit(further, Y).predict(FRAME) for one in (model, restored)
    ]
    np.testing.assert_array_equal(*predictions)


def test_field_ids_are_read_only_again():
    field_map = hstack([X, X]).field_map
    restored = io.loads(io.dumps(field_map), trusted=DOCUMENTED)
    assert restored == field_map
    assert not restored.ids.flags.writeable


def test_matrix_comes_back_without_its_map():
    """What the documentation says; a plain matrix is never taken for one with a map."""
    rows = hstack([X, X])
    content = io.dumps(rows)
    restored = io.loads(content, trusted=io.get_untrusted_types(data=content))
    assert not isinstance(restored, FieldCSR)
    np.testing.assert_array_equal(restored.toarray(), rows.toarray())
