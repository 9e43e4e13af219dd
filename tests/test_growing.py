"""FieldTransformer.partial_fit: columns that come later, and what stays as it is."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimators_partial_fit_n_features

from skwfm import (
    DateEncoder,
    FieldTransformer,
    SplineEncoder,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
    make_field_transformer,
)
from skwfm._compose import TAKES_ARROW
from skwfm._growing import appends_columns, extended, placed, places_of

FIRST = pd.DataFrame(
    {
        "tags": [["b", "d"], ["d"], None],
        "user": ["ann", "bob", None],
        "price": [1.0, 2.5, 4.0],
        "seen": pd.to_datetime(["2020-01-01", "2020-05-01", None]),
    }
)
SECOND = pd.DataFrame(
    {
        "tags": [["c", "a"], ["b", "c"], []],
        "user": ["eve", "ann", "abe"],
        "price": [0.5, None, 9.0],
        "seen": pd.to_datetime(["2021-01-01", "2020-05-01", None]),
    }
)
THIRD = SECOND.assign(tags=[["e"], ["a"], None], user=["ann", "zoe", None])
TAGS = ("tags", WeightedMultiLabelEncoder(), ["tags"])
USER = ("user", WeightedMultiLabelEncoder(), ["user"])


def states(transformer):
    """Return everything that a failed call must leave as it was."""
    return pickle.dumps(transformer)


def names(transformer):
    return transformer.get_feature_names_out().tolist()


def grown(*chunks, transformer=None):
    transformer = FieldTransformer() if transformer is None else transformer
    for chunk in chunks:
        transformer.partial_fit(chunk)
    return transformer


# --- the first call is fit ----------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_the_first_call_is_fit(frame):
    X = FIRST if frame is pd.DataFrame else pl.from_pandas(FIRST)
    fitted, first = FieldTransformer().fit(X), FieldTransformer().partial_fit(X)
    assert str(first) == str(fitted) and names(first) == names(fitted)
    assert first.output_indices_ == fitted.output_indices_
    assert first.transformers is None
    left, right = first.transform(X), fitted.transform(X)
    assert left.field_map == right.field_map and left.dtype == right.dtype
    for array in ("data", "indices", "indptr"):
        assert getattr(left, array).tobytes() == getattr(right, array).tobytes()


class MeanTarget(TransformerMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def transform(self, X):
        return np.full((len(X), 1), self.mean_)


def test_the_target_goes_to_the_first_call():
    transformer = FieldTransformer([("mean", MeanTarget(), ["price"])])
    transformer.partial_fit(FIRST, [1, 2, 6]).partial_fit(SECOND).partial_fit(THIRD, 0)
    assert transformer.transform(SECOND).toarray().tolist() == [[3]] * 3


def test_a_failed_first_call_leaves_it_unfitted():
    transformer = FieldTransformer([("t", WeightedMultiLabelEncoder(), ["tags"])])
    with pytest.raises(TypeError, match="Column 'tags', row 1"):
        transformer.partial_fit(FIRST.assign(tags=[["a"], "b", None]))
    assert set(vars(transformer)) == set(vars(clone(transformer)))
    with pytest.raises(NotFittedError):
        transformer.transform(FIRST)
    assert names(transformer.partial_fit(FIRST)) == ["t__tags=b", "t__tags=d"]


def test_partial_fit_goes_on_from_fit_and_fit_starts_again():
    transformer = FieldTransformer().fit(FIRST)
    assert names(transformer.partial_fit(SECOND)) == names(grown(FIRST, SECOND))
    assert names(transformer.fit(SECOND)) == names(FieldTransformer().fit(SECOND))
    assert transformer.output_indices_["labels"] == slice(0, 3)


# --- the columns of later calls -----------------------------------------------------


def test_new_columns_come_after_all_others():
    transformer = FieldTransformer().partial_fit(FIRST)
    before, n = transformer.transform(FIRST), len(transformer.fields_)
    old_names, old_fields = names(transformer), transformer.fields_.tolist()
    transformer.partial_fit(SECOND)
    assert names(transformer)[:n] == old_names
    assert names(transformer)[n:] == [
        "labels__tags=a",
        "labels__tags=c",
        "categories__user=abe",
        "categories__user=eve",
    ]
    assert transformer.fields_.tolist() == [*old_fields, 0, 0, 1, 1]
    assert transformer.field_names_ == ("tags", "user", "price", "seen")
    out = transformer.transform(FIRST)
    np.testing.assert_array_equal(out[:, :n].toarray(), before.toarray())
    assert out[:, n:].nnz == 0 and out.has_canonical_format
    assert out.field_map.ids.tolist() == transformer.fields_.tolist()
    transformer.partial_fit(THIRD)
    assert names(transformer)[n + 4 :] == ["labels__tags=e", "categories__user=zoe"]
    # What is not grown encodes the rows as it did.
    later = transformer.transform(SECOND)
    numbers = transformer.output_indices_["numbers"]
    np.testing.assert_array_equal(
        later[:, numbers].toarray(),
        SplineEncoder().fit(FIRST[["price"]]).transform(SECOND[["price"]]).toarray(),
    )


def test_output_indices_say_where_the_columns_are():
    transformer = grown(FIRST, SECOND, THIRD)
    indices = transformer.output_indices_
    assert list(indices) == ["labels", "categories", "numbers", "dates", "remainder"]
    assert all(isinstance(indices[part], slice) for part in ("numbers", "dates"))
    out = transformer.transform(SECOND)
    n = out.shape[1]
    assert indices["labels"].tolist() == [0, 1, n - 6, n - 5, n - 2]
    assert indices["categories"].tolist() == [2, 3, n - 4, n - 3, n - 1]
    for part, column in [("labels", "tags"), ("categories", "user")]:
        inner = transformer.named_transformers_[part]
        block = out[:, indices[part]]
        expected = inner.transform(SECOND[[column]])
        np.testing.assert_array_equal(block.toarray(), expected.toarray())
        [bags] = inner.inverse_transform(block)
        assert [[label for label, _ in bag] for bag in bags] == [
            [label for label, _ in bag] for bag in inner.inverse_transform(expected)[0]
        ]
        assert set(block.fields) == {list(out.field_names).index(column)}


def test_columns_that_stay_side_by_side_are_a_slice():
    parts = [
        ("none", WeightedMultiLabelEncoder(), ["none"]),
        ("tags", WeightedMultiLabelEncoder(), ["tags"]),
    ]
    transformer = FieldTransformer(parts).partial_fit(FIRST.assign(none=None))
    assert transformer.output_indices_["none"] == slice(0, 0)
    transformer.partial_fit(SECOND.assign(none=None))
    assert transformer.output_indices_["tags"] == slice(0, 4)
    out = transformer.partial_fit(FIRST.assign(none="x|y")).transform(
        FIRST.assign(none="y")
    )
    assert transformer.output_indices_["none"] == slice(4, 6)
    assert transformer.output_indices_["tags"] == slice(0, 4)
    assert names(transformer)[4:] == ["none__none=x", "none__none=y"]
    assert out.fields.tolist() == [1] * 4 + [0] * 2
    assert out.toarray()[:, 4:].tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("verbose", [True, False, "{feature_name}@{transformer_name}"])
def test_names_with_and_without_prefix(verbose):
    transformer = FieldTransformer([USER, TAGS], verbose_feature_names_out=verbose)
    found = names(grown(FIRST, SECOND, transformer=transformer))
    labels = ["user=ann", "user=bob", "tags=b", "tags=d"]
    labels += ["user=abe", "user=eve", "tags=a", "tags=c"]
    for name, label in zip(found, labels, strict=True):
        part = label.partition("=")[0]
        form = {True: f"{part}__{label}", False: label}
        assert name == form.get(verbose, f"{label}@{part}")


def test_arrays():
    first, second = (X[["user", "tags"]].to_numpy() for X in (FIRST, SECOND))
    parts = [("t", WeightedMultiLabelEncoder(), [1, 0]), ("o", "passthrough", [])]
    transformer = grown(first, second, transformer=FieldTransformer(parts))
    assert names(transformer)[4:] == ["t__x1=a", "t__x1=c", "t__x0=abe", "t__x0=eve"]
    assert transformer.fields_.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="X has 1 features, but .* is expecting 2"):
        transformer.partial_fit(second[:, :1])


def test_the_number_of_features_is_checked():
    check_estimators_partial_fit_n_features("FieldTransformer", FieldTransformer())


def test_what_does_not_append_columns_stays():
    pipeline = make_pipeline("passthrough", WeightedMultiLabelEncoder())
    plain = ColumnTransformer([("e", WeightedMultiLabelEncoder(), ["tags"])])
    hashed = WeightedMultiLabelEncoder(categories="hash", n_hash_features=9)
    parts = [
        ("scaled", StandardScaler(), ["price"]),
        ("one_hot", OneHotEncoder(handle_unknown="ignore"), ["user"]),
        ("pipeline", pipeline, ["user"]),
        ("plain", plain, ["tags"]),
        ("hashed", hashed, ["tags"]),
        ("list", WeightedMultiLabelEncoder(categories=[["b"]]), ["tags"]),
        ("date", DateEncoder(["year"]), ["seen"]),
    ]
    transformer = FieldTransformer(parts).fit(FIRST)
    inner = transformer.named_transformers_
    expected, columns = transformer.transform(SECOND), transformer.output_indices_
    out = transformer.partial_fit(SECOND).transform(SECOND)
    np.testing.assert_array_equal(out.toarray(), expected.toarray())
    assert (
        out.field_map == expected.field_map and columns == transformer.output_indices_
    )
    for part in ("scaled", "one_hot", "pipeline", "plain", "date"):
        assert transformer.named_transformers_[part] is inner[part]
    assert not any(map(appends_columns, [StandardScaler(), pipeline, plain, "drop"]))


def test_a_transformer_without_columns_is_not_asked():
    limited = WeightedMultiLabelEncoder(min_frequency=2)
    parts = [TAGS, ("none", limited, []), ("inner", FieldTransformer([USER]), [])]
    transformer = grown(FIRST, SECOND, transformer=FieldTransformer(parts))
    assert len(transformer.fields_) == 4
    assert transformer.output_indices_["none"] == slice(0, 0)


def test_a_subclass_appends_columns_as_well():
    class Sub(WeightedMultiLabelEncoder):
        pass

    parts = [("s", Sub(), ["tags"]), ("p", "passthrough", ["price"])]
    assert len(grown(FIRST, SECOND, transformer=FieldTransformer(parts)).fields_) == 5


def test_remainder_weights_and_jobs():
    transformer = FieldTransformer(
        [("tags", WeightedMultiLabelEncoder(), ["tags"]), ("d", "drop", ["seen"])],
        remainder=WeightedMultiLabelEncoder(),
        transformer_weights={"tags": 0.5},
        n_jobs=2,
    )
    chunks = [X.assign(price=[1, 2, 3 * i]) for i, X in enumerate([FIRST, SECOND])]
    transformer = grown(*chunks, transformer=transformer)
    assert names(transformer)[-5:] == [
        "tags__tags=a",
        "tags__tags=c",
        "remainder__user=abe",
        "remainder__user=eve",
        "remainder__price=3",
    ]
    out = transformer.transform(chunks[1]).toarray()
    assert set(out[:, [*range(2), -5, -4]].ravel()) == {0, 0.5}
    with joblib.parallel_config("threading", n_jobs=2):
        again = grown(*chunks, transformer=clone(transformer).set_params(n_jobs=None))
    np.testing.assert_array_equal(again.transform(chunks[1]).toarray(), out)


def test_nested_field_transformers_grow():
    inner = FieldTransformer([USER, TAGS], verbose_feature_names_out=False)
    parts = [("p", "passthrough", ["price"]), ("in", inner, ["tags", "user"])]
    transformer = grown(FIRST, SECOND, THIRD, transformer=FieldTransformer(parts))
    flat = grown(
        FIRST,
        SECOND,
        THIRD,
        transformer=FieldTransformer([parts[0], *inner.transformers]),
    )
    assert transformer.field_names_ == ("price", "user", "tags")
    left, right = (
        t.transform(SECOND.fillna({"price": 0})) for t in (transformer, flat)
    )
    assert left.field_map == right.field_map and left.has_canonical_format
    np.testing.assert_array_equal(left.toarray(), right.toarray())
    assert [name.split("__")[1] for name in names(transformer)] == [
        name.split("__")[1] for name in names(flat)
    ]
    limits = clone(transformer).set_params(**{"in__tags__min_frequency": 1})
    with pytest.raises(ValueError, match="'in': Transformer 'tags': partial_fit with"):
        limits.partial_fit(FIRST)


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize(
    "later", [["x", "y", "x"], [["x"], ["y", "x"], None], [1, 2, 1]]
)
def test_a_column_without_labels_gets_them_later(missing, later):
    first = FIRST.assign(new=pd.Series([missing] * 3, dtype=object))
    transformer = FieldTransformer(verbose_feature_names_out=False).partial_fit(first)
    field = transformer.field_names_.index("new")
    assert field not in transformer.fields_
    out = transformer.partial_fit(SECOND.assign(new=later)).transform(
        SECOND.assign(new=later)
    )
    assert (out.fields == field).sum() == 2
    assert out[:, out.fields == field].toarray()[0].tolist() == [1, 0]
    assert transformer.field_names_.index("new") == field


def test_typed_columns_without_a_value_get_labels_later():
    first = pl.DataFrame({"a": ["x"], "b": [None], "c": [None]})
    first = first.with_columns(pl.col("c").cast(pl.String))
    second = pl.DataFrame({"a": ["x"], "b": ["y"], "c": ["z"]})
    tables = [(first, second)]
    if TAKES_ARROW:
        tables.append((first.to_arrow(), second.to_arrow()))
    for chunks in tables:
        transformer = FieldTransformer(verbose_feature_names_out=False)
        assert names(grown(*chunks, transformer=transformer)) == ["a=x", "b=y", "c=z"]
        assert transformer.fields_.tolist() == [0, 1, 2]


def test_dtype_widens_where_values_need_it_and_stays():
    parts = [
        ("p", "passthrough", ["price"]),
        ("t", WeightedMultiLabelEncoder(), ["tags"]),
    ]
    exact, long = FIRST.assign(price=[0.5, 1, 2]), FIRST.assign(price=[0.1, 1, 2])
    transformer = FieldTransformer(parts).partial_fit(exact)
    assert transformer.transform(long).dtype == np.float32
    assert transformer.partial_fit(exact).dtype_ == np.float32
    out = transformer.partial_fit(long).transform(long)
    assert transformer.dtype_ == out.dtype == np.float64 and out[0, 0] == 0.1
    assert transformer.partial_fit(exact).dtype_ == np.float64
    assert FieldTransformer(parts).fit(pd.concat([exact, long])).dtype_ == np.float64


def test_no_rows_teach_nothing():
    transformer = FieldTransformer().partial_fit(FIRST)
    before = names(transformer)
    assert names(transformer.partial_fit(FIRST[:0])) == before


# --- all or nothing -----------------------------------------------------------------

STRICT = ("one_hot", OneHotEncoder(), ["user"])


@pytest.mark.parametrize(
    ("transformers", "chunk", "error", "message"),
    [
        # The first encoder has grown when the second fails.
        (
            [TAGS, USER],
            SECOND.assign(user=["u", "v", ["w"]]),
            TypeError,
            r"Column 'user', row 2: got \['w'\], expected",
        ),
        (
            [TAGS, USER],
            SECOND.assign(tags="b"),
            TypeError,
            "Column 'tags', row 0: got 'b'",
        ),
        # What transform refuses is refused before anything is learned.
        ([TAGS, USER, STRICT], SECOND, ValueError, "Found unknown categories"),
        (None, SECOND.assign(price="cheap"), (TypeError, ValueError), "'price'"),
        (
            None,
            SECOND.drop(columns="user"),
            ValueError,
            "columns are missing: {'user'}",
        ),
        (
            None,
            SECOND.rename(columns={"user": "usr"}),
            ValueError,
            "columns are missing: {'user'}",
        ),
        (None, SECOND.to_numpy()[:, :3], ValueError, "X has 3 features, but"),
    ],
)
def test_a_failed_call_learns_nothing(transformers, chunk, error, message):
    first = FIRST.fillna({"user": "bob"})
    transformer = FieldTransformer(transformers).partial_fit(first)
    transformer.partial_fit(first.assign(tags=[["x"], None, ["b"]]))
    before = states(transformer)
    with pytest.raises(error, match=message):
        transformer.partial_fit(chunk)
    assert states(transformer) == before
    assert transformer.transform(first).shape[1] == len(names(transformer))


def test_an_interrupt_learns_nothing():
    class Interrupted(WeightedMultiLabelEncoder):
        def partial_fit(self, X, y=None):
            raise KeyboardInterrupt

    parts = [TAGS, ("user", Interrupted(), ["user"])]
    transformer = FieldTransformer(parts).fit(FIRST)
    before = transformer.transform(SECOND).toarray()
    with pytest.raises(KeyboardInterrupt):
        transformer.partial_fit(SECOND)
    np.testing.assert_array_equal(transformer.transform(SECOND).toarray(), before)
    assert names(transformer.named_transformers_["tags"]) == ["tags=b", "tags=d"]


@pytest.mark.parametrize("limits", [{"min_frequency": 1}, {"max_categories": 3}])
def test_limits_are_refused_with_the_transformer(limits):
    parts = [USER, ("tags", WeightedMultiLabelEncoder(**limits), ["tags"])]
    transformer = FieldTransformer(parts)
    message = "Transformer 'tags': partial_fit with min_frequency=.*only after all rows"
    with pytest.raises(ValueError, match=message):
        transformer.partial_fit(FIRST)
    with pytest.raises(NotFittedError):
        transformer.transform(FIRST)
    before = states(transformer.fit(FIRST))
    with pytest.raises(ValueError, match=message):
        transformer.partial_fit(SECOND)
    assert states(transformer) == before


def test_copies_grow_apart():
    transformer = FieldTransformer().partial_fit(FIRST)
    before = names(transformer)
    for copied in (
        copy.copy(transformer),
        copy.deepcopy(transformer),
        pickle.loads(pickle.dumps(transformer)),
    ):
        assert names(copied.partial_fit(SECOND)) == names(grown(FIRST, SECOND))
        assert names(transformer) == before
    unfitted = clone(grown(FIRST, SECOND))
    assert vars(unfitted) == vars(FieldTransformer())


# --- life after growing -------------------------------------------------------------


def test_a_grown_transformer_is_shown_saved_and_used():
    transformer = grown(FIRST, SECOND)
    assert f"columns out: {len(transformer.fields_)})" in str(transformer)
    assert "labels" in transformer._repr_html_()
    out = transformer.transform(THIRD)
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(again.transform(THIRD).toarray(), out.toarray())
    assert names(again.partial_fit(THIRD)) == names(grown(FIRST, SECOND, THIRD))
    X = transformer.transform(pd.concat([FIRST, SECOND, THIRD] * 4))
    fm = WeightedFMRegressor(random_state=0).fit(X, np.arange(36.0))
    assert fm.n_fields_ == 4 and np.isfinite(fm.predict(X)).all()


def test_the_rows_of_a_call_can_be_had_transformed():
    transformer = FieldTransformer()
    for chunk in (FIRST, SECOND, THIRD):
        out = transformer._partial_fit_transform(chunk)
        again = transformer.transform(chunk)
        assert out.field_map == again.field_map and out.dtype == again.dtype
        np.testing.assert_array_equal(out.toarray(), again.toarray())


def test_made_by_name():
    transformer = make_field_transformer(
        (WeightedMultiLabelEncoder(), ["tags", "user"])
    )
    assert len(grown(FIRST, SECOND, transformer=transformer).fields_) == 8


# --- chunks and whole ---------------------------------------------------------------

CONTAINERS = ["pandas", "polars", *["arrow"] * TAKES_ARROW]
SCHEMA = {
    "tags": pl.List(pl.String),
    "user": pl.String,
    "seen": pl.String,
    "day": pl.Float64,
}
ROW = st.fixed_dictionaries(
    {
        "tags": st.none() | st.lists(st.sampled_from("abcdef"), max_size=4),
        "user": st.none() | st.sampled_from(["ann", "bob", "eve", "zoe"]),
        "seen": st.none() | st.sampled_from(["x", "y"]),
        "day": st.sampled_from([0.0, 0.5, 0.1, 7.0]),
    }
)
CHUNKS = st.lists(st.lists(ROW, min_size=1, max_size=5), min_size=1, max_size=4)


def table(container, rows):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    if container == "pandas":
        return pd.DataFrame(frame.to_dict(as_series=False))
    return frame.to_arrow() if container == "arrow" else frame


def whole_and_grown(transformer, tables, rows):
    grown, known = clone(transformer), []
    for table in tables:
        grown.partial_fit(table)
        assert names(grown)[: len(known)] == known
        known = names(grown)
    whole = clone(transformer).fit(rows)
    order = [known.index(name) for name in names(whole)]
    assert sorted(order) == list(range(len(known)))
    left, right = grown.transform(rows), whole.transform(rows)
    assert left.has_canonical_format and left.dtype == right.dtype
    assert left.field_names == right.field_names
    assert left.fields[order].tolist() == right.fields.tolist()
    return left[:, order], right


@pytest.mark.parametrize("container", CONTAINERS)
@given(chunks=CHUNKS, nested=st.booleans())
def test_chunks_and_whole_differ_only_in_the_order_of_columns(
    container, chunks, nested
):
    tags = ("tags", WeightedMultiLabelEncoder(), ["tags"])
    one_label = WeightedMultiLabelEncoder(sep=None, weight_sep=None)
    # scikit-learn passes no Arrow column through, but scales it.
    same = StandardScaler(with_mean=False, with_std=False)
    parts = [tags, ("day", same, ["day"]), ("ids", one_label, ["user", "seen"])]
    transformer = FieldTransformer(parts)
    if nested:
        outer = ("in", transformer, ["user", "tags", "day", "seen"])
        transformer = FieldTransformer([outer, tags])
    rows = [row for chunk in chunks for row in chunk]
    tables = [table(container, chunk) for chunk in chunks]
    left, right = whole_and_grown(transformer, tables, table(container, rows))
    np.testing.assert_array_equal(left.toarray(), right.toarray())


def test_defaults_in_chunks():
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame(
        {
            "tags": [
                rng.choice(30, k).astype(str).tolist() for k in rng.integers(0, 5, n)
            ],
            "user": rng.choice([f"u{i}" for i in range(60)], n),
            "flag": rng.choice([True, False], n),
        }
    )
    chunks = [frame[i : i + 50] for i in range(0, n, 50)]
    left, right = whole_and_grown(FieldTransformer(), chunks, frame)
    # The norm of a bag is a sum in the order of its columns.
    np.testing.assert_allclose(left.toarray(), right.toarray(), rtol=1e-6)


# --- the parts ----------------------------------------------------------------------


def test_places():
    assert places_of([]) is None
    assert places_of([slice(0, 2), slice(2, 2), slice(2, 5), slice(0, 0)]) is None
    assert places_of([slice(0, 2), slice(7, 7), slice(2, 5)]) is None
    assert places_of([slice(3, 5), slice(0, 3)]).tolist() == [3, 4, 0, 1, 2]
    assert places_of([slice(0, 2), np.array([2, 4]), slice(3, 4)]).tolist() == [
        *range(3),
        4,
        3,
    ]
    assert extended(slice(4, 4), 9, 9) == slice(4, 4)
    assert extended(np.array([0, 2]), 3, 4).tolist() == [0, 2, 3]


def test_placed_moves_columns_and_sorts_rows():
    X = sp.random(20, 6, 0.5, format="csr", random_state=0)
    order = np.array([5, 0, 1, 4, 2, 3])
    out = placed(X.copy(), order)
    assert out.has_sorted_indices and out.indices.dtype == X.indices.dtype
    np.testing.assert_array_equal(out.toarray()[:, order], X.toarray())
