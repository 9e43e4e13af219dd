"""Labels in one column, their weights in another."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skwfm import FieldTransformer, WeightedMultiLabelEncoder

NAN = float("nan")
DATA = {
    "counts": [[2, 1], None, [], [0.5]],
    "year": [1999, 2000, 2000, None],
    "tags": [["slow", "dark"], None, [], ["dark"]],
}
WEIGHTS = {"tags": "counts"}
EXPECTED = [[1, 0, 1, 2], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0]]


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        lambda d: pd.DataFrame(d, dtype=object),
        lambda d: pl.DataFrame(d, strict=False),
        pa.table,
        lambda d: pa.table(d).slice(0),
        lambda d: pd.DataFrame(
            {
                **d,
                "tags": ["slow|dark", None, "", "dark"],
                "counts": ["2|1", "", None, ".5"],
            }
        ),
        lambda d: pd.DataFrame(
            {**d, "tags": [("slow", "dark"), None, (), np.array(["dark"])]}
        ),
        lambda d: pd.DataFrame({**d, "counts": [np.array([2, 1]), None, (), (0.5,)]}),
    ],
)
def test_two_columns_are_one_field(make):
    encoder = WeightedMultiLabelEncoder(weights=WEIGHTS)
    out = encoder.fit_transform(make(DATA))
    assert out.toarray().tolist() == EXPECTED
    assert out.field_names == encoder.field_names_ == ("year", "tags")
    assert out.fields.tolist() == [0, 0, 1, 1]
    assert encoder.n_features_in_ == 3 and len(encoder.categories_) == 2
    names = encoder.get_feature_names_out().tolist()
    assert names[2:] == ["tags=dark", "tags=slow"]
    assert encoder.transform(make(DATA)).toarray().tolist() == EXPECTED
    assert encoder.inverse_transform(out)[1][0] == [("dark", 1.0), ("slow", 2.0)]


def test_positions_and_single_values():
    X = np.array([["a", 2.0], ["b", 1], [None, NAN], ["a", -3]], dtype=object)
    out = WeightedMultiLabelEncoder(weights={0: 1}).fit_transform(X)
    assert out.toarray().tolist() == [[2, 0], [0, 1], [0, 0], [-3, 0]]
    numbers = pa.table({"x": [3, None, 4], "w": [1, None, 2]})
    out = WeightedMultiLabelEncoder(weights={"x": "w"}).fit_transform(numbers)
    assert out.toarray().tolist() == [[1, 0], [0, 0], [0, 2]]
    texts = pd.DataFrame({"x": ["a:1", "b"], "w": [2, 3]})
    encoder = WeightedMultiLabelEncoder(weights={"x": "w"}).fit(texts)
    assert encoder.categories_[0].tolist() == ["a:1", "b"]
    categories = texts.astype("category")
    assert (encoder.transform(categories) != encoder.transform(texts)).nnz == 0


@pytest.mark.parametrize(
    ("tags", "counts", "row", "error", "message"),
    [
        ([["a"], ["b"]], [[1], [1, 2]], 1, ValueError, "got 1 labels and 2 weights"),
        ([["a"], None], [[1], [1]], 1, ValueError, "got 0 labels and 1 weights"),
        (["a", "b"], [1, NAN], 1, ValueError, "got 1 labels and 0 weights"),
        (["a", "a|b"], ["1", "1"], 1, ValueError, "got 2 labels and 1 weights"),
        (["a", "b"], ["1", "x"], 1, ValueError, "Column 'n', .*numbers, between"),
        ([["a"], ["b"]], [[1], ["x"]], 1, TypeError, "Column 'n', .*real numbers"),
        ([["a"], ["b"]], [[1], [NAN]], 1, ValueError, "Column 'n', .*finite weights"),
        ([["a"], ["b"]], [[1], [None]], 1, TypeError, "Column 'n', .*real numbers"),
        ([["a"], {"b"}], [[1], [1]], 1, TypeError, "Column 'tags', .*labels only"),
        ([["a"], {"b": 1}], [[1], [1]], 1, TypeError, "Column 'tags', .*labels only"),
        ([[("a", 1)]], [[1]], 0, TypeError, "Column 'tags', .*labels only"),
        ([["a"]], [{1: 2}], 0, TypeError, "Column 'n', .*weights, in a list"),
        ([["a"], []], [[1], 2], 1, TypeError, "Column 'n', .*a list, set, dict"),
    ],
)
def test_rows_that_do_not_fit(tags, counts, row, error, message):
    X = pd.DataFrame({"tags": pd.Series(tags, dtype=object), "n": counts})
    with pytest.raises(error, match=f"row {row}: .*{message}|{message}") as caught:
        WeightedMultiLabelEncoder(weights={"tags": "n"}).fit(X)
    assert f"row {row}:" in str(caught.value)
    if "labels and" in message:
        assert "Columns 'tags' and 'n'" in str(caught.value)


def test_arrow_labels_with_weights_of_their_own_are_refused():
    maps = pa.array([None, [("a", 1.0)]], pa.map_(pa.string(), pa.float64()))
    X = pa.table({"tags": maps, "n": [None, [1.0]]})
    with pytest.raises(TypeError, match="Column 'tags', row 1: .*labels only"):
        WeightedMultiLabelEncoder(weights={"tags": "n"}).fit(X)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"tags": "no"}, "names the column 'no', expected one of"),
        ({7: "tags"}, "names the column 7, expected one of"),
        ({True: "tags"}, "names the column True"),
        ({"tags": "tags"}, "takes a column twice"),
        ({"tags": "counts", "year": "counts"}, "takes a column twice"),
        ({"tags": "counts", 2: "year"}, "takes a column twice"),
    ],
)
def test_weights_that_name_no_columns(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedMultiLabelEncoder(weights=weights).fit(pd.DataFrame(DATA))


def test_in_a_field_transformer():
    fields = FieldTransformer(
        [("t", WeightedMultiLabelEncoder(weights=WEIGHTS), ["tags", "counts"])]
    )
    out = fields.fit_transform(pd.DataFrame(DATA))
    assert out.field_names == ("tags",) and out.fields.tolist() == [0, 0]
    assert out.toarray().tolist() == [row[2:] for row in EXPECTED]
