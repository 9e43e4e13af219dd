"""Properties of model files: what is loaded is what was saved, to the bit."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skwfm
from skwfm import (
    FieldMap,
    FieldTransformer,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)

SMALL = st.floats(-(2**20), 2**20, width=32)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("models") / "model.skwfm"


def there_and_back(model, path):
    """Save and load a model; what is loaded must give the same file again."""
    skwfm.save(model, path)
    content = path.read_bytes()
    restored = skwfm.load(path)
    assert repr(restored) == repr(model)
    skwfm.save(restored, path)
    assert path.read_bytes() == content
    return restored


def assert_same_matrix(left, right):
    assert left.dtype == right.dtype and left.field_map == right.field_map
    np.testing.assert_array_equal(left.toarray(), right.toarray())


# --- encoders -----------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
TIMES = st.integers(-(2**40), 2**40).map(lambda n: np.datetime64(n, "s"))
LABELS = st.one_of(
    st.none(),
    ANY_TEXT,
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.binary(max_size=6),
    TIMES,
)
ENCODERS = st.fixed_dictionaries(
    {},
    optional={
        "normalize": st.sampled_from(["l1", "l2", "sqrt", "max"]),
        "weight_transform": st.just("log1p"),
        "handle_unknown": st.sampled_from(["ignore", "infrequent"]),
        "min_frequency": st.integers(1, 3) | st.floats(0.1, 0.9),
        "max_categories": st.integers(1, 5),
        "dtype": st.sampled_from([np.float32, np.float64, "float64"]),
        "quotechar": st.sampled_from(["'", '"']),
    },
)


@given(st.lists(LABELS, min_size=1, max_size=8), ENCODERS)
def test_labels_of_any_kind(path, labels, parameters):
    cells = np.empty((len(labels), 1), dtype=object)
    cells[:, 0] = labels
    encoder = WeightedMultiLabelEncoder(sep=None, weight_sep=None, **parameters)
    encoder.fit(cells)
    restored = there_and_back(encoder, path)
    assert_same_matrix(restored.transform(cells), encoder.transform(cells))
    for name in ("categories_", "infrequent_categories_"):
        before, after = getattr(encoder, name)[0], getattr(restored, name)[0]
        assert before.dtype == after.dtype
        kinds = [[(type(x), x) for x in known.tolist()] for known in (before, after)]
        assert kinds[0] == kinds[1]
    assert_same_matrix(
        pickle.loads(pickle.dumps(encoder)).transform(cells), encoder.transform(cells)
    )


@given(
    st.lists(st.lists(ANY_TEXT, max_size=3), min_size=1, max_size=4),
    st.lists(st.lists(ANY_TEXT, max_size=3), min_size=1, max_size=4),
)
def test_grown_vocabularies_go_on(path, first, later):
    encoder = WeightedMultiLabelEncoder().partial_fit(first)
    restored = there_and_back(encoder, path)
    for one in (encoder, restored):
        one.partial_fit(later)
    assert_same_matrix(restored.transform(later), encoder.transform(later))
    assert_same_matrix(restored.transform(first), encoder.transform(first))


@given(
    st.lists(st.lists(SMALL | st.just(math.nan), min_size=2, max_size=2), min_size=1),
    st.integers(2, 9),
    st.integers(0, 3),
    st.sampled_from(["quantile", "uniform"]),
)
def test_splines_on_any_knots(path, rows, n_knots, degree, knots):
    X = np.array(rows)
    encoder = SplineEncoder(n_knots, degree, knots=knots).fit(X)
    restored = there_and_back(encoder, path)
    assert_same_matrix(restored.transform(X), encoder.transform(X))
    again = pickle.loads(pickle.dumps(encoder))
    assert_same_matrix(again.transform(X), encoder.transform(X))


# --- estimators ---------------------------------------------------------------------

RATES = st.floats(1e-4, 0.5)
PENALTIES = st.sampled_from([0.0, 1e-6, 0.1])
PARAMETERS = st.fixed_dictionaries(
    {
        "n_factors": st.integers(1, 5),
        "max_iter": st.integers(1, 2),
        "random_state": st.integers(0, 2**32 - 1),
    },
    optional={
        "solver": st.sampled_from(["adagrad", "ftrl", "sgd"]),
        "learning_rate": RATES,
        "l2_linear": PENALTIES,
        "l2_factors": PENALTIES,
        "intra_field": st.booleans(),
        "fit_intercept": st.booleans(),
        "fit_linear": st.booleans(),
        "init_scale": st.floats(1e-3, 1),
        "warm_start": st.booleans(),
        "batch_size": st.integers(1, 9),
        "early_stopping": st.just(False),
    },
)
REGRESSORS = st.sampled_from([WeightedFMRegressor, WeightedFFMRegressor])
CLASSIFIERS = st.sampled_from([WeightedFMClassifier, WeightedFFMClassifier])
FIELDS = st.sampled_from(["auto", [2, 1], [0, 2, 1], FieldMap([0, 1, 0], ("x", "é"))])
ROWS = st.lists(st.lists(SMALL, min_size=3, max_size=3), min_size=4, max_size=8)
CLASSES = st.sampled_from(
    [(0, 1), (True, False), ("é", "b"), (5, -9, 7), ("a", "b", "c"), (1.0, 2.0)]
)


def outcome(model, name, X):
    """Return what a method gives, or its error: scores of a wild model overflow."""
    try:
        return getattr(model, name)(X)
    except ValueError as error:
        return np.array(str(error))


def assert_same_model(model, restored, X):
    """Compare predictions and fitted attributes to the bit."""
    methods = ("predict", "predict_proba")
    for name in methods:
        if hasattr(model, name):
            got, want = outcome(restored, name, X), outcome(model, name, X)
            np.testing.assert_array_equal(got, want, strict=True)
    assert vars(restored).keys() == vars(model).keys()
    for name, value in vars(model).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(restored, name), value, strict=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(ROWS, REGRESSORS, PARAMETERS, FIELDS, st.sampled_from([np.float32, np.float64]))
def test_any_regressor(path, rows, cls, parameters, fields, dtype):
    X = np.array(rows, dtype) / 2**10
    y = X.sum(axis=1) + np.arange(len(X))
    model = cls(**parameters, fields=fields).fit(X, y)
    restored = there_and_back(model, path)
    assert_same_model(model, restored, X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(ROWS, CLASSIFIERS, PARAMETERS, CLASSES, st.booleans())
def test_any_classifier(path, rows, cls, parameters, classes, as_objects):
    X = np.array(rows) / 2**10
    y = np.resize(np.array(classes), len(X))
    if y.dtype.kind == "U" and as_objects:
        y = y.astype(object)
    model = cls(**parameters).fit(X, y)
    restored = there_and_back(model, path)
    assert_same_model(model, restored, X)


TABLES = st.lists(
    st.tuples(st.sampled_from(["a", "é", ""]), st.none() | SMALL),
    min_size=2,
    max_size=6,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(TABLES, TABLES, st.integers(0, 99))
def test_streams_of_tables_go_on(path, first, later, seed):
    """Both halves of a stream, with a file between them, are the whole stream."""
    frame = pytest.importorskip("pandas").DataFrame
    first = [("a", 1.0), *first]  # from nothing comes no column, an error
    parts = [frame(rows, columns=["user", "year"]) for rows in (first, later)]
    parts = [part.astype({"user": object, "year": float}) for part in parts]
    model = WeightedFFMRegressor(2, random_state=seed)
    model.partial_fit(parts[0], np.arange(len(parts[0]), dtype=float))
    restored = there_and_back(model, path)
    for one in (model, restored):
        one.partial_fit(parts[1], np.arange(len(parts[1]), dtype=float))
    assert_same_model(model, restored, parts[0])


def test_a_transformer_of_others_is_named(path):
    """The one kind of part that these properties leave out."""
    from sklearn.preprocessing import OneHotEncoder

    model = FieldTransformer([("o", OneHotEncoder(), [0])]).fit([["a"], ["b"]])
    with pytest.raises(TypeError, match="OneHotEncoder"):
        skwfm.save(model, path)
