"""Growing vocabularies, duplicates, and the rows 9 to 12 of the reliability table."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from skwfm import WeightedFMRegressor, WeightedMultiLabelEncoder

FIRST = pd.DataFrame({"g": [["b"], ["d"]], "h": ["x", None]})
SECOND = pd.DataFrame({"g": [["c", "a"], ["b"]], "h": ["w", "x"]})


def test_new_labels_come_after_all_columns():
    encoder = WeightedMultiLabelEncoder().partial_fit(FIRST)
    before = encoder.transform(FIRST)
    encoder.partial_fit(SECOND)
    names = encoder.get_feature_names_out().tolist()
    assert names == ["g=b", "g=d", "h=x", "g=a", "g=c", "h=w"]
    assert encoder.fields_.tolist() == [0, 0, 1, 0, 0, 1]
    assert [c.tolist() for c in encoder.categories_] == [
        ["b", "d", "a", "c"],
        ["x", "w"],
    ]
    out = encoder.transform(FIRST)
    assert out.fields.tolist() == encoder.fields_.tolist() and out.has_canonical_format
    np.testing.assert_array_equal(out[:, :3].toarray(), before.toarray())
    np.testing.assert_array_equal(
        encoder.transform(SECOND).toarray(), [[0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 0, 0]]
    )
    assert encoder.inverse_transform(encoder.transform(SECOND)) == [
        [[("a", 1.0), ("c", 1.0)], [("b", 1.0)]],
        [[("w", 1.0)], [("x", 1.0)]],
    ]
    again = pickle.loads(pickle.dumps(encoder)).partial_fit(
        pd.DataFrame({"g": [["a", "e"]], "h": [None]})
    )
    assert again.get_feature_names_out().tolist() == [*names, "g=e"]
    assert encoder.get_feature_names_out().tolist() == names


def test_partial_fit_alone_is_fit():
    grown = WeightedMultiLabelEncoder().partial_fit(FIRST)
    fitted = WeightedMultiLabelEncoder().fit(FIRST)
    assert (grown.transform(SECOND) != fitted.transform(SECOND)).nnz == 0
    fitted.partial_fit(FIRST)
    assert fitted.get_feature_names_out().tolist() == ["g=b", "g=d", "h=x"]
    fitted.fit(SECOND)
    assert fitted.get_feature_names_out().tolist() == [
        "g=a",
        "g=b",
        "g=c",
        "h=w",
        "h=x",
    ]


def test_absent_labels_and_missing_columns_teach_nothing():
    encoder = WeightedMultiLabelEncoder().partial_fit([None, None])
    assert encoder.transform([["a"]]).shape == (1, 0)
    encoder.partial_fit([{"a": 0}, [("b", 1), ("b", -1)], {"c": 2}])
    assert encoder.categories_[0].tolist() == ["c"]
    with pytest.raises(TypeError, match="row 0: got 'c', expected a list"):
        encoder.partial_fit(["c"])  # the form is known by now


def test_a_failed_call_learns_nothing():
    encoder = WeightedMultiLabelEncoder().partial_fit(FIRST)
    with pytest.raises(TypeError, match="Column 'h', row 1"):
        encoder.partial_fit(pd.DataFrame({"g": [["z"], ["z"]], "h": ["x", ["x"]]}))
    assert encoder.get_feature_names_out().tolist() == ["g=b", "g=d", "h=x"]
    with pytest.raises(ValueError, match="unseen at fit time"):
        encoder.partial_fit(FIRST.rename(columns={"g": "other"}))


def test_a_shallow_copy_grows_by_itself():
    encoder = WeightedMultiLabelEncoder().partial_fit(FIRST)
    before = pickle.dumps(encoder)
    grown = copy.copy(encoder).partial_fit(SECOND)
    assert grown.get_feature_names_out().tolist()[3:] == ["g=a", "g=c", "h=w"]
    assert pickle.dumps(encoder) == before


@pytest.mark.parametrize("params", [{"min_frequency": 1}, {"max_categories": 9}])
def test_limits_are_refused(params):
    with pytest.raises(ValueError, match="partial_fit with min_frequency=.*rare"):
        WeightedMultiLabelEncoder(**params).partial_fit(FIRST)
    encoder = WeightedMultiLabelEncoder(min_frequency=2).fit(FIRST)
    with pytest.raises(ValueError, match="known only after all rows"):
        encoder.set_params(min_frequency=None).partial_fit(FIRST)


def test_explicit_categories_stay():
    encoder = WeightedMultiLabelEncoder(categories=[["b"], ["x"]])
    encoder.partial_fit(FIRST).partial_fit(SECOND)
    assert encoder.get_feature_names_out().tolist() == ["g=b", "h=x"]


def test_a_model_takes_scattered_fields():
    encoder = WeightedMultiLabelEncoder().partial_fit(FIRST).partial_fit(SECOND)
    X = encoder.transform(pd.concat([FIRST, SECOND] * 5))
    model = WeightedFMRegressor(random_state=0).fit(X, np.arange(20.0))
    assert model.n_fields_ == 2 and np.isfinite(model.predict(X)).all()


BATCHES = st.lists(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(-2, 2)), max_size=4),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@given(BATCHES)
def test_batches_and_whole_differ_only_in_the_order_of_columns(batches):
    grown = WeightedMultiLabelEncoder()
    names = []
    for batch in batches:
        grown.partial_fit(batch)
        assert grown.get_feature_names_out().tolist()[: len(names)] == names
        names = grown.get_feature_names_out().tolist()
    rows = [row for batch in batches for row in batch]
    whole = WeightedMultiLabelEncoder().fit(rows)
    order = [names.index(name) for name in whole.get_feature_names_out()]
    np.testing.assert_array_equal(
        grown.transform(rows).toarray()[:, order], whole.transform(rows).toarray()
    )


# --- rows 9 to 12 of the reliability table ------------------------------------------

OBJECTS = [1, "1"]


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        ([["a"], OBJECTS], TypeError, r"row 1: got \[1, '1'\], expected labels of one"),
        (
            [["a"], [("b", 1.0), "c"]],
            TypeError,
            "row 1: .*expected only labels or only",
        ),
        ([["a"], "b"], TypeError, "row 1: got 'b', expected a list"),
        ([["a"], 3], TypeError, "row 1: got 3, expected a list"),
        ([{"a": 1}, {"b": "2"}], TypeError, "row 1: .*expected weights that are real"),
        ([{"a": 1}, {"b": float("nan")}], ValueError, "row 1: .*expected finite"),
        ([{"a": 1}, {"b": True}], TypeError, "row 1: .*expected weights that are real"),
        ([[("a", 1)], [("b", None)]], TypeError, "row 1: .*expected weights that are"),
        ([["a"], [None]], ValueError, "row 1: .*expected no missing label"),
        ([["a"], [["b"]]], TypeError, "row 1: .*hashable single values"),
    ],
)
def test_what_cannot_be_meant_is_an_error(cells, error, message):
    encoder = WeightedMultiLabelEncoder()
    with pytest.raises(error, match=f"Column 'x0', {message}"):
        encoder.fit(cells)
    many = [*cells[:1] * 3000, *cells[1:]]  # in a later chunk
    with pytest.raises(error, match="Column 'x0', row 3000: "):
        encoder.fit(many)
    with pytest.raises(error, match="Column 'x0', row 1: "):
        encoder.fit(cells[:1]).transform(cells)


@pytest.mark.parametrize(
    ("cell", "same"),
    [
        (["a", "a"], {"a": 2}),
        ([("a", 1), ("a", -1)], []),
        ({"a": 0, "b": 1}, ["b"]),
        ([("a", -2.5)], {"a": -2.5}),
        ([], None),
        (["a", "unknown"], ["a"]),
    ],
)
def test_the_maths_of_a_cell(cell, same):
    encoder = WeightedMultiLabelEncoder().fit([["a", "b"]])
    left, right = (encoder.transform([c, ["a"]]) for c in (cell, same))
    assert (left != right).nnz == 0 and left.nnz == right.nnz


def test_a_row_with_no_bags():
    X = pd.DataFrame({"g": [["a"], None], "h": [{}, {}]})
    out = WeightedMultiLabelEncoder(normalize="l1").fit_transform(X)
    assert out.toarray().tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("cells", "row", "label"),
    [
        ([["b"], ["a", "c", "a"]], 1, "a"),
        ([{"a": 1}, [("a", 1), ("b", 1), ("b", 2)]], 1, "b"),
        (["a|b", "a", "b|a|b"], 2, "b"),
    ],
)
def test_duplicates_can_be_refused(cells, row, label):
    strict = WeightedMultiLabelEncoder(duplicates="error")
    message = f"Column 'x0', row {row}: .*every label once, but '{label}' twice"
    with pytest.raises(ValueError, match=message):
        strict.fit(cells)
    with pytest.raises(ValueError, match=message):
        strict.fit(cells[:1]).transform(cells)
    absent = [[("a", 0), ("a", 1)], ["a", "b"], [("b", 1), ("b", 0)], None]
    assert strict.fit_transform(absent).toarray().tolist() == [
        [1, 0],
        [1, 1],
        [0, 1],
        [0, 0],
    ]


@pytest.mark.parametrize("quote", ["", "ab", " ", "|", ":"])
def test_quotechar_must_be_a_sign_of_its_own(quote):
    with pytest.raises(ValueError, match="quotechar=.*expected one character"):
        WeightedMultiLabelEncoder(quotechar=quote).fit(["a"])


def test_bools_and_numbers_of_many_chunks():
    cells = [[1, 2]] * 1500 + [[True, False]] * 1500 + [[0, 1]]
    encoder = WeightedMultiLabelEncoder()
    out = encoder.fit_transform(cells)
    assert encoder.categories_[0].tolist() == [False, True, 0, 1, 2]
    assert np.asarray(out.sum(axis=0)).tolist() == [[1500, 1500, 1, 1501, 1500]]


def test_wide_rows_and_long_columns():
    rng = np.random.default_rng(0)
    sizes = [10_000, *rng.integers(0, 4, 3000)]
    codes = rng.integers(0, 50, sum(sizes))
    ends = np.cumsum([0, *sizes])
    cells = [codes[i:j].tolist() for i, j in zip(ends, ends[1:], strict=False)]
    out = WeightedMultiLabelEncoder(categories=[list(range(50))]).fit_transform(cells)
    slow = sp.csr_matrix((np.ones(len(codes)), codes, ends), shape=(len(sizes), 50))
    np.testing.assert_array_equal(out.toarray(), slow.toarray())


BAGS = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(-3, 3).filter(bool)), max_size=4
    ),
    min_size=1,
    max_size=6,
)


@given(BAGS)
def test_round_trip(cells):
    encoder = WeightedMultiLabelEncoder(dtype=np.float64)
    out = encoder.fit_transform(cells)
    [decoded] = encoder.inverse_transform(out)
    for cell, pairs in zip(cells, decoded, strict=True):
        sums = {label: 0.0 for label, _ in cell}
        for label, weight in cell:
            sums[label] += weight
        assert set(pairs) == {(x, w) for x, w in sums.items() if w}
    again = encoder.fit_transform(decoded)
    np.testing.assert_array_equal(again.toarray(), out.toarray())


@given(BAGS, st.randoms())
def test_rows_may_be_permuted(cells, random):
    order = random.sample(range(len(cells)), len(cells))
    out = WeightedMultiLabelEncoder().fit_transform(cells)
    permuted = WeightedMultiLabelEncoder().fit_transform([cells[i] for i in order])
    np.testing.assert_array_equal(permuted.toarray(), out[order].toarray())
