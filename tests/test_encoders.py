"""WeightedMultiLabelEncoder: what it learns, scales and refuses."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._fields import FieldCSR

GENRES = [["Drama", "War"], {"War": 0.5, "Comedy": 3}, None, []]


def encode(cells, fit_on=None, **params):
    encoder = WeightedMultiLabelEncoder(**params)
    encoder.fit(cells if fit_on is None else fit_on)
    return encoder.transform(cells)


def assert_same(left, right):
    assert left.dtype == right.dtype and left.shape == right.shape
    np.testing.assert_array_equal(left.toarray(), right.toarray())


@parametrize_with_checks([WeightedMultiLabelEncoder()])
def test_estimator_checks(estimator, check):
    check(estimator)


def test_output_is_a_canonical_field_csr():
    X = pd.DataFrame({"genres": GENRES, "tags": ["b:2|a", None, "a|a", "b"]})
    encoder = WeightedMultiLabelEncoder(weight_sep=None)
    out = encoder.fit_transform(X)
    assert isinstance(out, FieldCSR) and out.dtype == np.float32
    assert out.has_canonical_format and 0 not in out.data
    assert out.fields.tolist() == encoder.fields_.tolist() == [0, 0, 0, 1, 1, 1]
    assert encoder.fields_.dtype == np.int32
    assert out.field_names == encoder.field_names_ == ("genres", "tags")
    assert encoder.n_features_in_ == 2
    assert encoder.feature_names_in_.tolist() == ["genres", "tags"]
    assert [c.tolist() for c in encoder.categories_] == [
        ["Comedy", "Drama", "War"],
        ["a", "b", "b:2"],
    ]
    names = encoder.get_feature_names_out().tolist()
    assert names[1:4] == ["genres=Drama", "genres=War", "tags=a"]
    np.testing.assert_array_equal(
        out.toarray(),
        [
            [0, 1, 1, 1, 0, 1],
            [3, 0, 0.5, 0, 0, 0],
            [0, 0, 0, 2, 0, 0],
            [0, 0, 0, 0, 1, 0],
        ],
    )
    assert_same(out, encoder.transform(X))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [[1, 2], [0, 0], [-4, 0]]),
        ({"normalize": "l1"}, [[1 / 3, 2 / 3], [0, 0], [-1, 0]]),
        ({"normalize": "l2"}, [[5**-0.5, 2 * 5**-0.5], [0, 0], [-1, 0]]),
        ({"normalize": "sqrt"}, [[3**-0.5, 2 * 3**-0.5], [0, 0], [-2, 0]]),
        ({"normalize": "max"}, [[0.5, 1], [0, 0], [-1, 0]]),
        ({"weight_transform": np.abs}, [[1, 2], [0, 0], [4, 0]]),
        (
            {"weight_transform": np.square, "normalize": "l1"},
            [[0.2, 0.8], [0, 0], [1, 0]],
        ),
        ({"weight_transform": lambda w: w - 1}, [[0, 1], [0, 0], [-5, 0]]),
    ],
)
def test_scaling(params, expected):
    cells = [{"a": 1, "b": 2}, {}, {"a": -4}]
    out = encode(cells, dtype=np.float64, **params)
    np.testing.assert_allclose(out.toarray(), expected, rtol=1e-15)
    assert out.dtype == np.float64 and 0 not in out.data


def test_log1p_sums_first():
    out = encode([["a", "a"], ["a"]], weight_transform="log1p", dtype=np.float64)
    np.testing.assert_allclose(out.toarray(), np.log([[3], [2]]))


@pytest.mark.parametrize(
    ("cells", "params"),
    [
        ([{"a": 1}, {"a": -1}], {"weight_transform": "log1p"}),
        ([{"a": 1}, {"a": -5}], {"weight_transform": "log1p"}),
        ([{"a": 1}, {"a": 1e300}], {}),
        ([{"a": 1}, {"a": 1e200, "b": 1e200}], {"normalize": "l2"}),
        ([["a"], [("a", 1e308), ("a", 1e308)]], {"dtype": np.float64}),
    ],
)
def test_weights_that_do_not_stay_finite(cells, params):
    encoder = WeightedMultiLabelEncoder(**params).fit(cells)
    with pytest.raises(ValueError, match=r"Column 'x0', row 1: got .*finite after"):
        encoder.transform(cells)


FREQUENT = [["a", "b"], ["a", "c"], ["a", "b", "d"], [("z", 0.0)]]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, "abcd"),
        ({"min_frequency": 2}, "ab"),
        ({"min_frequency": 0.5}, "ab"),
        ({"min_frequency": 0.75}, "a"),
        ({"min_frequency": 9}, ""),
        ({"max_categories": 3}, "abc"),
        ({"max_categories": 2, "min_frequency": 3}, "a"),
        ({"handle_unknown": "infrequent"}, "abcd"),
        ({"handle_unknown": "infrequent", "max_categories": 4}, "abcd"),
        ({"handle_unknown": "infrequent", "min_frequency": 2}, "ab*"),
        ({"handle_unknown": "infrequent", "max_categories": 3}, "ab*"),
        ({"handle_unknown": "infrequent", "max_categories": 1}, "*"),
        ({"handle_unknown": "error", "max_categories": 1}, "a"),
        ({"categories": [["d", "a", "q"]]}, "daq"),
        ({"categories": [["d", "a", "q"]], "min_frequency": 1}, "da"),
    ],
)
def test_which_labels_get_a_column(params, names):
    encoder = WeightedMultiLabelEncoder(**params).fit(FREQUENT)
    expected = [f"x0={'<infrequent>' if n == '*' else n}" for n in names]
    assert encoder.get_feature_names_out().tolist() == expected
    assert encoder.transform(FREQUENT).shape == (4, len(names))
    kept = encoder.categories_[0].tolist()
    assert kept == [name for name in names if name != "*"]
    if "categories" not in params:
        assert sorted([*kept, *encoder.infrequent_categories_[0]]) == list("abcd")


def test_unknown_and_rare_labels():
    new = [["a", "c", "new"]]
    fitted = {
        how: WeightedMultiLabelEncoder(handle_unknown=how, min_frequency=2).fit(
            FREQUENT
        )
        for how in ("ignore", "error", "infrequent")
    }
    assert fitted["ignore"].transform(new).toarray().tolist() == [[1, 0]]
    assert fitted["infrequent"].transform(new).toarray().tolist() == [[1, 0, 2]]
    assert fitted["error"].transform([["a", "c"]]).toarray().tolist() == [[1, 0]]
    with pytest.raises(
        ValueError, match=r"Column 'x0', row 1: got 'new', expected a lab"
    ):
        fitted["error"].transform([["a"], *new])
    encoder = WeightedMultiLabelEncoder(categories=[["a"]], handle_unknown="error")
    with pytest.raises(ValueError, match="row 0: got 'b', expected a label seen"):
        encoder.fit([["a", "b"]])


def test_labels_of_different_kinds():
    cells = [1, "1", True, 1.0, np.int64(1), None]
    encoder = WeightedMultiLabelEncoder().fit(cells)
    assert encoder.categories_[0].tolist() == [True, 1, "1"]
    assert encoder.get_feature_names_out().tolist() == ["x0=True", "x0=1", "x0='1'"]
    codes = encoder.transform(cells).indices.tolist()
    assert codes == [1, 2, 0, 1, 1]
    only_bools = WeightedMultiLabelEncoder().fit([True, False])
    assert only_bools.transform([1, 0, True]).toarray().tolist() == [
        [0, 0],
        [0, 0],
        [0, 1],
    ]


def test_inverse_transform():
    encoder = WeightedMultiLabelEncoder(handle_unknown="infrequent", min_frequency=2)
    X = pd.DataFrame({"g": FREQUENT, "n": [1, 1, 2, 2]})
    out = encoder.fit_transform(X)
    expected = [
        [
            [("a", 1.0), ("b", 1.0)],
            [("a", 1.0), ("<infrequent>", 1.0)],
            [("a", 1.0), ("b", 1.0), ("<infrequent>", 1.0)],
            [],
        ],
        [[(1, 1.0)], [(1, 1.0)], [(2, 1.0)], [(2, 1.0)]],
    ]
    assert encoder.inverse_transform(out) == expected
    assert encoder.inverse_transform(out.toarray()) == expected
    with pytest.raises(ValueError, match="X has 2 columns, expected the 5"):
        encoder.inverse_transform(np.ones((1, 2)))


CONTAINERS = {
    "pandas": pd.DataFrame,
    "pandas object": lambda d: pd.DataFrame(d, dtype=object),
    "polars": lambda d: pl.DataFrame(d, strict=False),
    "pyarrow": pa.table,
    "numpy": lambda d: pd.DataFrame(d, dtype=object).to_numpy(),
}
DATA = {
    "lists": [["a", "b"], None, ["c"]],
    "texts": ["x|y", None, "y"],
    "numbers": [1, 2, 1],
    "flags": [True, None, False],
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_encode_alike(make):
    X = make(DATA)
    before = copy.deepcopy(X)
    encoder = WeightedMultiLabelEncoder(normalize="sqrt")
    out = encoder.fit_transform(X)
    assert_same(
        out,
        WeightedMultiLabelEncoder(normalize="sqrt").fit_transform(pd.DataFrame(DATA)),
    )
    assert [c.tolist() for c in encoder.categories_] == [
        ["a", "b", "c"],
        ["x", "y"],
        [1, 2],
        [False, True],
    ]
    if isinstance(X, np.ndarray):
        np.testing.assert_equal(X, before)
    else:
        assert X.equals(before)


@pytest.mark.parametrize(
    "dtype", [object, "string", "str", "category", pd.ArrowDtype(pa.string())]
)
def test_pandas_text_types(dtype):
    series = pd.Series(DATA["texts"], dtype=dtype, name="t")
    encoder = WeightedMultiLabelEncoder()
    out = encoder.fit_transform(series)
    assert out.toarray().tolist() == [[1, 1], [0, 0], [0, 1]]
    assert encoder.get_feature_names_out().tolist() == ["t=x", "t=y"]


def test_nullable_numbers_equal_plain_ones():
    plain = WeightedMultiLabelEncoder().fit([1, 2, None])
    for values in (pd.Series([1, None, 3.0]), pd.Series([1, None, 3], dtype="Int64")):
        assert plain.transform(values.rename(None)).toarray().tolist() == [
            [1, 0],
            [0, 0],
            [0, 0],
        ]


def test_column_transformer_takes_a_scalar_name():
    X = pd.DataFrame({"genres": GENRES, "n": range(4)})
    columns = ColumnTransformer([("g", WeightedMultiLabelEncoder(), "genres")])
    out = columns.fit_transform(X)
    assert out.shape == (4, 3)
    assert columns.get_feature_names_out().tolist()[0] == "g__genres=Comedy"


def test_all_columns_empty():
    encoder = WeightedMultiLabelEncoder(normalize="l2", weight_transform="log1p")
    assert encoder.fit_transform([None, [], ""[:0] or None]).shape == (3, 0)
    assert encoder.transform([["a"]]).shape == (1, 0)
    assert encoder.get_feature_names_out().shape == (0,)


def test_transform_zero_rows():
    encoder = WeightedMultiLabelEncoder().fit(pd.DataFrame({"g": ["a"]}))
    assert encoder.transform(pd.DataFrame({"g": []})).shape == (0, 1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"categories": "all"}, "'categories' parameter"),
        ({"min_frequency": 0}, "'min_frequency' parameter"),
        ({"min_frequency": 1.5}, "'min_frequency' parameter"),
        ({"max_categories": 0}, "'max_categories' parameter"),
        ({"handle_unknown": "drop"}, "'handle_unknown' parameter"),
        ({"normalize": "l3"}, "'normalize' parameter"),
        ({"weight_transform": "exp"}, "'weight_transform' parameter"),
        ({"sep": 1}, "'sep' parameter"),
        ({"weight_sep": 1}, "'weight_sep' parameter"),
    ],
)
def test_parameter_ranges(params, message):
    with pytest.raises(InvalidParameterError, match=message):
        WeightedMultiLabelEncoder(**params).fit(GENRES)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dtype": np.int32}, "dtype=.*int32.*expected np.float32 or np.float64"),
        ({"dtype": ",,f4"}, "dtype=',,f4', expected np.float32 or np.float64"),
        ({"dtype": "no type"}, "dtype='no type', expected np.float32 or np.float64"),
        ({"sep": ""}, "sep='', weight_sep=':': expected two different"),
        ({"sep": ":"}, "sep=':', weight_sep=':': expected two different"),
        ({"categories": [["a"], ["b"]]}, "categories has 2 lists"),
        ({"categories": [["a", "a"]]}, "categories of column 'x0' repeat"),
        ({"weight_transform": lambda w: w[:1]}, "returned shape"),
    ],
)
def test_parameters_that_do_not_fit(params, message):
    with pytest.raises(ValueError, match=message):
        WeightedMultiLabelEncoder(**params).fit_transform(GENRES)


def test_shape_and_name_errors():
    X = pd.DataFrame({"a": ["x"], "b": ["y"]})
    encoder = WeightedMultiLabelEncoder()
    with pytest.raises(NotFittedError):
        encoder.transform(X)
    with pytest.raises(ValueError, match=re.escape("0 sample(s) (shape=(0, 2))")):
        encoder.fit(X[:0])
    with pytest.raises(ValueError, match=re.escape("0 feature(s) (shape=(1, 0))")):
        encoder.fit(X[[]])
    encoder.fit(X)
    with pytest.raises(ValueError, match="must be in the same order"):
        encoder.transform(X[["b", "a"]])
    with pytest.raises(ValueError, match="unseen at fit time"):
        encoder.transform(X.rename(columns={"a": "c"}))
    encoder.fit(X.to_numpy())
    with pytest.raises(
        ValueError, match="X has 1 features, but Weighted.* expecting 2"
    ):
        encoder.transform(X.to_numpy()[:, :1])
    assert not hasattr(encoder, "feature_names_in_")


def test_row_errors_name_the_column():
    X = pd.DataFrame({"a": ["x", "y"], "b": [["x"], "y"]})
    with pytest.raises(TypeError, match="Column 'b', row 1: got 'y', expected a list"):
        WeightedMultiLabelEncoder().fit(X)


def test_clone_pickle_and_set_output():
    encoder = WeightedMultiLabelEncoder(min_frequency=1, normalize="l2")
    assert clone(encoder).get_params() == encoder.get_params()
    out = encoder.fit_transform(GENRES)
    again = pickle.loads(pickle.dumps(encoder))
    assert_same(again.transform(GENRES), out)
    assert encoder.set_output(transform="default").transform(GENRES).nnz == out.nnz
    with pytest.raises(ValueError, match="sparse"):
        encoder.set_output(transform="pandas").transform(GENRES)


LABELS = st.one_of(st.text(max_size=3), st.integers(-3, 3), st.booleans())
WEIGHTS = st.floats(-100, 100).map(lambda w: round(w, 3))
KINDS = st.sampled_from([st.text("abc", max_size=2), st.integers(-3, 3), st.booleans()])
BAGS = KINDS.flatmap(lambda kind: st.lists(st.tuples(kind, WEIGHTS), max_size=5))
NORMS = st.sampled_from([None, "l1", "l2", "sqrt", "max"])


@given(st.lists(BAGS, min_size=1, max_size=5), NORMS, st.randoms())
def test_order_and_zero_weights_do_not_matter(cells, normalize, random):
    expected = encode(cells, normalize=normalize)
    shuffled = [random.sample(bag, len(bag)) for bag in cells]
    np.testing.assert_allclose(
        encode(shuffled, normalize=normalize).toarray(), expected.toarray(), atol=1e-4
    )
    zeros = [[*bag, *((label, 0.0) for label, _ in bag)] for bag in cells]
    assert_same(encode(zeros, normalize=normalize), expected)


@given(st.lists(BAGS, min_size=1, max_size=5), NORMS)
def test_duplicates_are_summed(cells, normalize):
    halves = [[(label, w / 2) for label, w in bag for _ in range(2)] for bag in cells]
    np.testing.assert_allclose(
        encode(halves, normalize=normalize).toarray(),
        encode(cells, normalize=normalize).toarray(),
        atol=1e-4,
    )


@given(st.lists(BAGS, min_size=2, max_size=6), NORMS, st.integers(1, 5))
def test_unknown_equals_removed_and_rows_are_independent(cells, normalize, n_fit):
    encoder = WeightedMultiLabelEncoder(normalize=normalize).fit(cells[:n_fit])
    known = {(type(x), x) for x in encoder.categories_[0].tolist()}
    removed = [[p for p in bag if (type(p[0]), p[0]) in known] for bag in cells]
    out = encoder.transform(cells)
    assert_same(out, encoder.transform(removed))
    alone = sp.vstack([encoder.transform([cell]) for cell in cells])
    assert_same(out, alone)


TEXT_BAGS = st.lists(st.tuples(st.sampled_from("abcd"), WEIGHTS), max_size=5)
LIMITS = st.fixed_dictionaries(
    {"handle_unknown": st.sampled_from(["ignore", "infrequent"])},
    optional={
        "min_frequency": st.integers(1, 3) | st.floats(0.1, 0.9),
        "max_categories": st.integers(1, 3),
    },
)
HASHED = st.just({"categories": "hash", "n_hash_features": 3})


@given(st.lists(TEXT_BAGS, min_size=1, max_size=5), LIMITS | HASHED, st.data())
def test_labels_of_weight_0_are_not_seen_in_fit(cells, parameters, data):
    absent = st.lists(st.sampled_from("abcdef"), max_size=3)
    zeros = [[(label, 0.0) for label in data.draw(absent)] for _ in cells]
    both = [[*none, *bag] for none, bag in zip(zeros, cells, strict=True)]
    encoders = [WeightedMultiLabelEncoder(**parameters).fit(c) for c in (cells, both)]
    assert_same(encoders[1].transform(both), encoders[0].transform(cells))
    for name in ("categories_", "infrequent_categories_"):
        known = [getattr(encoder, name)[0].tolist() for encoder in encoders]
        assert known[0] == known[1]


def test_absent_unknown_labels_are_no_error():
    encoder = WeightedMultiLabelEncoder(handle_unknown="error").fit([["a"]])
    cells = [{"new": 0}, [("new", 1), ("new", -1)], ["a"]]
    assert encoder.transform(cells).toarray().tolist() == [[0], [0], [1]]
    with pytest.raises(ValueError, match="row 0: got True"):
        encoder.transform([[True]])


@pytest.mark.parametrize("missing", [[None, None], [float("nan")], [None, "", pd.NA]])
@pytest.mark.parametrize("later", [["x", "a|b"], [["x"], {"a": 1}], [1, 2]])
def test_a_column_without_a_cell_in_fit_takes_any_cells_later(missing, later):
    fitted = pd.DataFrame({"g": pd.Series(missing, dtype=object)})
    rows = pd.DataFrame({"g": pd.Series(later, dtype=object)})
    encoder = WeightedMultiLabelEncoder().fit(fitted)
    assert encoder.transform(rows).shape == (2, 0)
    assert len(encoder.partial_fit(rows).categories_[0]) > 1


def test_the_message_for_a_long_cell_is_short():
    cell = [f"label {i}" for i in range(10_000)] + [["nested"]]
    message = r"^Column 'g', row 1: got \['label 0'.{,200}\['nested'\]\], expected"
    with pytest.raises(TypeError, match=message) as caught:
        WeightedMultiLabelEncoder().fit(pd.DataFrame({"g": [["a"], cell]}))
    assert len(str(caught.value)) < 400


def test_more_hashed_columns_than_int32_can_number_are_refused():
    X = pd.DataFrame({"a": ["x"], "b": ["y"]})
    encoder = WeightedMultiLabelEncoder(categories="hash", n_hash_features=2**30)
    message = "^n_hash_features=1073741824 for 2 fields: expected at most 2147483647"
    with pytest.raises(ValueError, match=message):
        encoder.fit(X)
