"""FieldTransformer: field attribution, defaults, and life inside scikit-learn."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm._compose import TAKES_ARROW, FieldTransformer, make_field_transformer
from skwfm._dates import DateEncoder
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._fields import FieldCSR
from skwfm._numbers import SplineEncoder

rng = np.random.default_rng(0)
N = 40


def make_films(n=N):
    return pd.DataFrame(
        {
            "user": rng.choice(["ann", "bob", "eve"], n),
            "item": rng.choice([7, 8], n),
            "genres": [
                rng.choice(["Drama", "War", "Art"], k, replace=False).tolist()
                for k in rng.integers(0, 3, n)
            ],
            "year": rng.integers(1990, 2020, n).astype(float),
            "score": rng.random(n),
        }
    )


FILMS = make_films()
Y = np.arange(N) % 2


def one_hot():
    return OneHotEncoder(handle_unknown="ignore")


@parametrize_with_checks(
    [
        FieldTransformer(),
        FieldTransformer([("a", StandardScaler(), [0])]),
        FieldTransformer([("a", StandardScaler(), [0])], remainder="passthrough"),
        FieldTransformer(
            [("a", WeightedMultiLabelEncoder(), [0])], remainder="passthrough"
        ),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


IDS = ("ids", one_hot(), ["user", "item"])
GENRES = ("genres", WeightedMultiLabelEncoder(), ["genres"])
NUMBERS = ["year", "score"]


@pytest.mark.parametrize(
    ("transformers", "sizes", "names"),
    [
        ([IDS, GENRES], [3, 2, 3], ["user", "item", "genres"]),
        ([GENRES, IDS], [3, 3, 2], ["genres", "user", "item"]),
        ([("g", WeightedMultiLabelEncoder(), "genres")], [3], ["genres"]),
        ([("e", WeightedMultiLabelEncoder(), ["user", "genres"])], [3, 3], None),
        ([("p", "passthrough", NUMBERS)], [1, 1], NUMBERS),
        ([("s", StandardScaler(), NUMBERS)], [1, 1], NUMBERS),
        ([("s", SplineTransformer(n_knots=3), NUMBERS)], [5, 5], NUMBERS),
        ([("s", PolynomialFeatures(), ["year"])], [3], ["year"]),
        ([("mix", PolynomialFeatures(), NUMBERS)], [6], ["mix"]),
        ([("mix", PCA(1), NUMBERS)], [1], ["mix"]),
        (
            [("p", make_pipeline(SimpleImputer(), SplineTransformer(3)), NUMBERS)],
            [5, 5],
            NUMBERS,
        ),
        (
            [
                (
                    "p",
                    make_pipeline("passthrough", WeightedMultiLabelEncoder()),
                    ["user"],
                )
            ],
            [3],
            ["user"],
        ),
        (
            [
                (
                    "u",
                    FeatureUnion([("a", StandardScaler()), ("b", one_hot())]),
                    ["item"],
                )
            ],
            [3],
            ["item"],
        ),
        (
            [("c", ColumnTransformer([("o", one_hot(), [1, 0])]), ["user", "item"])],
            None,
            ["user", "item"],
        ),
        (
            [("n", FieldTransformer([IDS]), ["user", "item", "year"])],
            [3, 2],
            ["user", "item"],
        ),
        ([("t", TargetEncoder(), ["user", "item"])], [1, 1], ["user", "item"]),
        ([("w", CountVectorizer(), "user")], [3], ["user"]),
        ([("a", "drop", ["year"]), ("b", "passthrough", []), GENRES], [3], ["genres"]),
        (
            [("a", StandardScaler(), NUMBERS), ("b", one_hot(), ["item", "score"])],
            [1, 1, 2, N],
            ["year", "a__score", "item", "b__score"],
        ),
        ([("a", one_hot(), slice("user", "item"))], [3, 2], ["user", "item"]),
        ([("a", one_hot(), slice(0, 2))], [3, 2], ["user", "item"]),
        ([("a", one_hot(), [True, False, False, False, False])], [3], ["user"]),
        ([("a", one_hot(), [-4, 0])], [2, 3], ["item", "user"]),
        ([("a", one_hot(), make_column_selector("^us|^it"))], [3, 2], ["user", "item"]),
    ],
)
def test_every_output_column_gets_the_field_of_its_input(transformers, sizes, names):
    transformer = FieldTransformer(transformers)
    out = transformer.fit_transform(FILMS, Y)
    assert isinstance(out, FieldCSR) and out.has_canonical_format
    names = names or transformers[0][2]
    assert list(out.field_names) == list(transformer.field_names_) == names
    counts = np.bincount(out.fields, minlength=len(names)).tolist()
    if sizes is not None:
        assert counts == sizes
        assert out.fields.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()
    again = transformer.transform(FILMS)
    assert again.field_map == out.field_map and again.dtype == out.dtype
    assert len(transformer.get_feature_names_out()) == out.shape[1]


def test_nested_column_transformer_may_reorder_columns():
    inner = ColumnTransformer([("o", one_hot(), [1, 0])])
    out = FieldTransformer([("c", inner, ["user", "item"])]).fit_transform(FILMS)
    assert out.fields.tolist() == [1, 1, 0, 0, 0]


def test_arrays_name_fields_by_position():
    X = FILMS[["year", "user", "genres", "item"]].to_numpy()
    transformer = FieldTransformer(
        [("l", WeightedMultiLabelEncoder(), [2, 1]), ("o", one_hot(), [3])]
    )
    out = transformer.fit_transform(X)
    assert out.field_names == ("x2", "x1", "x3")
    assert out.fields.tolist() == [0] * 3 + [1] * 3 + [2] * 2


@pytest.mark.parametrize(
    ("remainder", "names"),
    [
        ("drop", ["genres"]),
        ("passthrough", ["genres", "item", "year", "score"]),
        (SplineTransformer(3), ["genres", "item", "year", "score"]),
        (PCA(2), ["genres", "remainder"]),
    ],
)
def test_remainder(remainder, names):
    transformer = FieldTransformer([GENRES], remainder=remainder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = transformer.fit_transform(FILMS.drop(columns="user"))
    assert list(out.field_names) == names


def test_same_values_as_column_transformer():
    parts = [IDS, ("s", StandardScaler(), NUMBERS), ("p", "passthrough", ["item"])]
    weights = {"ids": 0.5}
    expected = ColumnTransformer(parts, transformer_weights=weights)
    transformer = FieldTransformer(parts, transformer_weights=weights, n_jobs=2)
    np.testing.assert_array_equal(
        transformer.fit_transform(FILMS).toarray(), expected.fit_transform(FILMS)
    )
    assert isinstance(transformer.named_transformers_["ids"], OneHotEncoder)
    names = transformer.get_feature_names_out()
    assert names.tolist() == expected.get_feature_names_out().tolist()


@pytest.mark.parametrize(
    ("part", "dtype"),
    [
        (IDS, np.float32),
        (GENRES, np.float32),
        (("p", "passthrough", ["item"]), np.float32),
        (("p", "passthrough", ["score"]), np.float64),
        (
            ("w", WeightedMultiLabelEncoder(normalize="l2", dtype=float), "genres"),
            float,
        ),
    ],
)
def test_dtype_loses_nothing(part, dtype):
    transformer = FieldTransformer([part])
    assert transformer.fit_transform(FILMS).dtype == dtype == transformer.dtype_
    assert transformer.transform(FILMS[:1]).dtype == dtype


class Opaque(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X)


@pytest.mark.parametrize(
    ("transformers", "error", "message"),
    [
        (
            [("o", Opaque(), NUMBERS)],
            ValueError,
            "'o' takes 2 columns and does not tell",
        ),
        (
            [("o", make_pipeline(Opaque()), NUMBERS)],
            ValueError,
            "'o' takes 2 columns and does not tell",
        ),
        ([("p", "passthrough", ["user"])], ValueError, "'p' gives '.*', expected numb"),
        (
            [("g", WeightedMultiLabelEncoder(min_frequency=99), ["genres"])],
            ValueError,
            "give no column at all",
        ),
        ("bad", InvalidParameterError, "'transformers' parameter"),
    ],
)
def test_refusals(transformers, error, message):
    transformer = FieldTransformer(transformers)
    with pytest.raises(error, match=message):
        transformer.fit(FILMS)
    assert transformer.transformers is transformers


def test_no_transformer_gives_no_column():
    out = FieldTransformer([]).fit_transform(FILMS)
    assert out.shape == (N, 0) and out.field_names == ()


def test_a_field_may_own_no_column():
    rare = WeightedMultiLabelEncoder(min_frequency=99)
    out = FieldTransformer([("g", rare, ["genres"]), IDS]).fit_transform(FILMS)
    assert out.field_names == ("genres", "user", "item")
    assert out.fields.tolist() == [1, 1, 1, 2, 2]


# --- defaults -----------------------------------------------------------------------

DATA = {
    "text": ["x|y", "z", None, "z"],
    "flag": [True, None, False, True],
    "tags": [["a", "b"], None, ["b"], []],
    "number": [1.0, None, 3.0, 2.5],
    "count": [4, 2, 2, 9],
    "constant": [5, 5, 5, 5],
}
CONTAINERS = {
    "pandas": pd.DataFrame(DATA),
    "pandas nullable": pd.DataFrame(DATA).convert_dtypes(),
    "pandas object": pd.DataFrame(DATA, dtype=object),
    "pandas category": pd.DataFrame(DATA).astype({"text": "category"}),
    "polars": pl.DataFrame(DATA),
    "numpy": pd.DataFrame(DATA, dtype=object).to_numpy(),
}


@pytest.mark.parametrize("X", CONTAINERS.values(), ids=CONTAINERS)
def test_default_transformers(X):
    before = copy.deepcopy(X)
    transformer = FieldTransformer()
    out = transformer.fit_transform(X)
    expected = FieldTransformer().fit_transform(CONTAINERS["pandas"])
    np.testing.assert_array_equal(out.toarray(), expected.toarray())
    assert out.dtype == np.float32 and transformer.transformers is None
    assert [name for name, *_ in transformer.transformers_] == [
        "labels",
        "categories",
        "numbers",
    ]
    assert out.fields.tolist() == expected.fields.tolist()
    names = ("tags", "text", "flag", "number", "count", "constant")
    if not isinstance(X, np.ndarray):
        assert out.field_names == names
        assert X.equals(before)
    # A missing cell is an empty bag, a constant one label; text is not split.
    counts = np.bincount(out.fields).tolist()
    assert counts == [2, 2, 2, 3, 3, 1]
    per_field = [out[:, out.fields == f] for f in range(6)]
    assert [per_field[f][r].nnz for f, r in [(0, 1), (1, 2), (2, 1), (3, 1)]] == [0] * 4
    assert per_field[5].toarray().tolist() == [[1]] * 4
    np.testing.assert_allclose(per_field[3].sum(axis=1).ravel(), [[1, 0, 1, 1]], 1e-6)
    np.testing.assert_array_equal(transformer.transform(X).toarray(), out.toarray())


def test_defaults_of_arrow_tables():
    X = pa.table(DATA)
    if not TAKES_ARROW:
        with pytest.raises(TypeError, match="Arrow table, of which scikit-learn 1.6"):
            FieldTransformer().fit(X)
        return
    out = FieldTransformer().fit_transform(X)
    expected = FieldTransformer().fit_transform(CONTAINERS["pandas"])
    np.testing.assert_array_equal(out.toarray(), expected.toarray())


def test_default_choice_is_kept_for_transform():
    transformer = FieldTransformer().fit(pd.DataFrame(DATA))
    shuffled = pd.DataFrame(DATA)[list(DATA)[::-1]].assign(extra=1)
    out = transformer.transform(shuffled)
    np.testing.assert_array_equal(
        out.toarray(), transformer.transform(pd.DataFrame(DATA)).toarray()
    )
    with pytest.raises(ValueError, match="columns are missing"):
        transformer.transform(shuffled.drop(columns="tags"))


def test_sparse_input():
    X = sp.random(20, 4, 0.5, format="coo", random_state=0)
    with pytest.raises(TypeError, match="Sparse data was passed"):
        FieldTransformer().fit(X)
    transformer = FieldTransformer([("p", "passthrough", [0, 2])])
    out = transformer.fit_transform(X)
    np.testing.assert_array_equal(out.toarray(), X.toarray()[:, [0, 2]])
    assert out.fields.tolist() == [0, 1]


# --- the same as ColumnTransformer, apart from the type of the result ---------------

NUMERIC = FILMS[["item", "year", "score"]]
SCALE = ("scale", StandardScaler(), ["year"])
ONE_HOT = ("ids", one_hot(), ["item"])


def assert_twins(parts, table=NUMERIC, **parameters):
    """Compare with ColumnTransformer: values, names, parts, and in `transform`."""
    ours = FieldTransformer(clone_parts(parts), **parameters)
    twin = ColumnTransformer(clone_parts(parts), **parameters)
    if getattr(twin, "force_int_remainder_cols", False) is True:  # warns otherwise
        twin.set_params(force_int_remainder_cols=False)
    out, expected = ours.fit_transform(table, Y), twin.fit_transform(table, Y)
    np.testing.assert_allclose(out.toarray(), dense(expected), rtol=1e-6)
    again = ours.transform(table[::-1])
    np.testing.assert_allclose(
        again.toarray(), dense(twin.transform(table[::-1])), 1e-6
    )
    names = ours.get_feature_names_out().tolist()
    assert names == twin.get_feature_names_out().tolist()
    assert [part[0] for part in ours.transformers_] == [
        part[0] for part in twin.transformers_
    ]
    assert list(map(str, ours.transformers_[-1][2])) == list(
        map(str, twin.transformers_[-1][2])
    )
    assert len(out.fields) == len(names)
    return ours


def clone_parts(parts):
    return [
        (name, part if isinstance(part, str) else clone(part), columns)
        for name, part, columns in parts
    ]


def dense(X):
    return X.toarray() if sp.issparse(X) else np.asarray(X)


@pytest.mark.parametrize(
    "remainder", ["drop", "passthrough", StandardScaler(), SplineEncoder(3), PCA(1)]
)
@pytest.mark.parametrize("parts", [[ONE_HOT], [SCALE, ONE_HOT], []])
def test_remainder_as_in_column_transformer(parts, remainder):
    if not parts and remainder == "drop":
        pytest.skip("no column at all")
    assert_twins(parts, remainder=remainder)


def shout(transformer, column):
    return f"{transformer.upper()}.{column}"


@pytest.mark.parametrize(
    "verbose", [True, False, "{feature_name}@{transformer_name}", shout]
)
def test_names_as_in_column_transformer(verbose):
    parts = [SCALE, ONE_HOT, ("tags", WeightedMultiLabelEncoder(), ["genres"])]
    ours = assert_twins(
        parts, FILMS, remainder="drop", verbose_feature_names_out=verbose
    )
    assert len(set(ours.get_feature_names_out())) == len(ours.fields_)


def test_equal_names_are_refused_as_in_column_transformer():
    parts = [("a", StandardScaler(), ["year"]), ("b", "passthrough", ["year"])]
    for kind in (FieldTransformer, ColumnTransformer):
        transformer = kind(parts, verbose_feature_names_out=False).fit(NUMERIC)
        with pytest.raises(ValueError, match="Output feature names:.*not unique"):
            transformer.get_feature_names_out()


@pytest.mark.parametrize(
    "selectors",
    [
        (make_column_selector(dtype_include="number"), make_column_selector("us|tem")),
        (
            ["year", "score"],
            make_column_selector(dtype_exclude=["number"], pattern="u"),
        ),
        (slice("item", "item"), slice(3, 5)),
        ([True, False, False, False, False], [-1]),
    ],
)
def test_selection_as_in_column_transformer(selectors):
    first, second = selectors
    parts = [("a", one_hot(), first), ("b", one_hot(), second)]
    assert_twins(parts, FILMS)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_column_selector_by_dtype(kind):
    numbers = make_column_selector(dtype_include="number")
    parts = [("numbers", SplineEncoder(4), numbers)]
    if kind == "pandas":
        assert assert_twins(parts).field_names_ == ("item", "year", "score")
        return
    table = pl.DataFrame(FILMS.to_dict("list"))
    errors = set()
    for transformer in (FieldTransformer(parts), ColumnTransformer(parts)):
        try:
            transformer.fit(table)
        except ValueError as error:  # scikit-learn up to 1.9 selects from pandas only
            errors.add(str(error))
        else:
            assert transformer.transformers_[0][2] == ["item", "year", "score"]
    assert len(errors) <= 1
    # A function of the frame works everywhere.
    parts = [
        ("n", SplineEncoder(4), lambda frame: frame.select(pl.col(pl.Float64)).columns)
    ]
    assert FieldTransformer(parts).fit(table).field_names_ == ("year", "score")


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_as_in_column_transformer(container):
    sparse = ("tags", WeightedMultiLabelEncoder(), ["genres"])
    messages = []
    for kind in (FieldTransformer, ColumnTransformer):
        transformer = kind([sparse]).set_output(transform=container)
        with pytest.raises(ValueError, match="sparse") as caught:
            transformer.fit_transform(FILMS)
        messages.append(str(caught.value)[:40])
    assert messages[0] == messages[1]
    # A sparse result is no data frame, even if all parts are dense.
    dense_parts = FieldTransformer([SCALE]).set_output(transform=container)
    with pytest.raises(ValueError, match="sparse"):
        dense_parts.fit_transform(FILMS)
    back = dense_parts.set_output(transform="default")
    assert isinstance(back.fit_transform(FILMS), FieldCSR)


@pytest.mark.parametrize("kind", [FieldTransformer, ColumnTransformer])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_are_selected_by_name(kind, frame):
    fitted = kind([SCALE, ONE_HOT]).fit(frame(NUMERIC.to_dict("list")))
    expected = dense(fitted.transform(frame(NUMERIC.to_dict("list"))))
    moved = NUMERIC[["score", "item", "year"]].assign(more="x").to_dict("list")
    np.testing.assert_array_equal(dense(fitted.transform(frame(moved))), expected)
    del moved["score"]  # no transformer takes it
    np.testing.assert_array_equal(dense(fitted.transform(frame(moved))), expected)
    moved["years"] = moved.pop("year")
    with pytest.raises(ValueError, match=r"columns are missing: \{'year'\}"):
        fitted.transform(frame(moved))


# --- inside scikit-learn ------------------------------------------------------------


def make_model():
    fields = FieldTransformer(
        [
            ("ids", OneHotEncoder(handle_unknown="ignore"), ["user", "item"]),
            ("genres", WeightedMultiLabelEncoder(normalize="sqrt"), ["genres"]),
        ]
    )
    return Pipeline([("fields", fields), ("clf", LogisticRegression())])


def test_cross_validation_and_grid_search():
    assert np.isfinite(cross_val_score(make_model(), FILMS, Y, cv=3)).all()
    grid = {
        "fields__genres__min_frequency": [1, 0.4],
        "fields__ids": ["drop", one_hot()],
    }
    search = GridSearchCV(make_model(), grid, cv=2, error_score="raise").fit(FILMS, Y)
    assert len(search.cv_results_["params"]) == 4


def test_defaults_inside_cross_validation():
    model = make_pipeline(FieldTransformer(), LogisticRegression())
    for X in (FILMS, pl.DataFrame(FILMS.to_dict("list"))):
        assert np.isfinite(cross_val_score(model, X, Y, cv=3)).all()


def test_parameters():
    transformer = make_model()["fields"]
    assert set(transformer.get_params(deep=False)) == {
        "transformers",
        "remainder",
        "n_jobs",
        "transformer_weights",
        "verbose",
        "verbose_feature_names_out",
    }
    assert transformer.get_params()["genres__normalize"] == "sqrt"
    transformer.set_params(genres__normalize="l1", remainder="passthrough")
    copied = clone(transformer)
    assert copied.get_params()["genres__normalize"] == "l1"
    assert copied.remainder == "passthrough"
    with pytest.raises(ValueError, match="sparse_threshold"):
        transformer.set_params(sparse_threshold=0.1)
    with pytest.raises(InvalidParameterError, match="'remainder' parameter"):
        FieldTransformer(remainder="keep").fit(FILMS)


def test_pickle_repr_and_refit():
    for transformer in (FieldTransformer(), make_model()["fields"]):
        assert "FieldTransformer" in transformer._repr_html_()
        out = transformer.fit_transform(FILMS)
        assert "FieldTransformer" in transformer._repr_html_()
        again = pickle.loads(pickle.dumps(transformer)).transform(FILMS)
        np.testing.assert_array_equal(again.toarray(), out.toarray())
        assert again.field_map == out.field_map
        transformer.fit(FILMS[["genres", "user", "item"]][:5])
        assert len(transformer.field_names_) == 3


def test_set_output():
    for transformer in (FieldTransformer(), FieldTransformer([GENRES])):
        transformer.set_output(transform="default").fit(FILMS)
        with pytest.raises(ValueError, match="sparse"):
            clone(transformer).set_output(transform="pandas").fit_transform(FILMS)


def test_make_field_transformer():
    transformer = make_field_transformer(
        (one_hot(), ["user"]), (one_hot(), ["item"]), remainder="drop", n_jobs=1
    )
    names = [name for name, *_ in transformer.transformers]
    assert names == ["onehotencoder-1", "onehotencoder-2"]
    assert transformer.fit_transform(FILMS).field_names == ("user", "item")
    assert make_field_transformer(verbose=True).transformers is None


def test_names_without_prefix():
    transformer = FieldTransformer([GENRES], verbose_feature_names_out=False).fit(FILMS)
    assert transformer.get_feature_names_out().tolist()[0] == "genres=Art"


def test_fields_of_date_parts_are_named_after_the_column():
    seen = pd.to_datetime(["2020-01-01", "2021-02-03"])
    table = pd.DataFrame({"a": [1, 2], "b": [1, 2], "seen": seen})
    parts = [("d", DateEncoder(["year", "month"], split_fields=True), [2])]
    out = FieldTransformer(parts).fit_transform(table)
    assert out.field_names == ("seen_year", "seen_month")
    array = table.astype(object).to_numpy()
    out = FieldTransformer(parts).fit_transform(array)
    assert out.field_names == ("x2_year", "x2_month")
    assert out.fields.tolist() == [0, 0, 1, 1]


def test_function_transformer_tells_its_columns():
    function = FunctionTransformer(np.log1p, feature_names_out="one-to-one")
    out = FieldTransformer([("f", function, NUMBERS)]).fit_transform(FILMS)
    assert out.field_names == tuple(NUMBERS)
