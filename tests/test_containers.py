"""The same bags in every container give the identical matrix."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skwfm import WeightedMultiLabelEncoder
from skwfm._cells import read_column
from skwfm._frames import as_table, table_columns

PAIRS = [[("b", 2.0), ("a", 0.5)], None, [], [("c", -1.0), ("b", 1.0), ("b", 3.0)]]
MORE = [[("b", 7.0), ("new", 1.0)], None, [("a", 1.0)]]
STRUCT = pa.list_(pa.struct([("label", pa.string()), ("weight", pa.float32())]))
MAP = pa.map_(pa.string(), pa.float64())
DICTIONARY = pa.dictionary(pa.int8(), pa.string())


def _structs(rows):
    return [
        None if row is None else [{"label": x, "weight": w} for x, w in row]
        for row in rows
    ]


def _sliced(array):
    """Return the array as a slice of a longer one, in two chunks."""
    whole = pa.concat_arrays([array[-1:], array, array[:1]])
    return pa.chunked_array([whole[1:2], whole[2:-1]], array.type)


def _behind_nulls(rows):
    """Return lists with values behind the null ones."""
    filled = [[("hidden", 9.0)] if row is None else row for row in rows]
    array = pa.array(_structs(filled), STRUCT)
    mask = pa.array([row is None for row in rows])
    return pa.ListArray.from_arrays(array.offsets, array.values, mask=mask)


def _objects(rows):
    out = np.empty(len(rows), dtype=object)
    out[:] = rows
    return out


def _each(function, rows):
    """Apply a function to the rows that are not missing."""
    return [None if row is None else function(row) for row in rows]


def _texts(rows):
    return _each(lambda row: "|".join(f" {x}:{w} " for x, w in row), rows)


def _quoted(row):
    return "|".join(f'"{x}"' for x in row)


def _dictionary_structs(rows):
    flat = [x for row in rows for x in row or ()]
    labels = pa.array([x for x, _ in flat]).dictionary_encode()
    weights = pa.array([w for _, w in flat], pa.float64())
    fields = pa.StructArray.from_arrays([labels, weights], ["l", "w"])
    ends = np.cumsum([0, *(len(row or ()) for row in rows)]).tolist()
    mask = pa.array([row is None for row in rows])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), fields, mask=mask)


WEIGHTED = {
    "lists of tuples": list,
    "numpy objects": _objects,
    "pandas objects": pd.Series,
    "text": _texts,
    "pandas str": lambda rows: pd.Series(_texts(rows), dtype="str"),
    "pandas string": lambda rows: pd.Series(_texts(rows), dtype="string"),
    "pandas text objects": lambda rows: pd.Series(_texts(rows), dtype=object),
    "pandas categorical": lambda rows: pd.Series(_texts(rows), dtype="category"),
    "pandas arrow map": lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(MAP)),
    "pandas arrow structs": lambda rows: pd.Series(
        _structs(rows), dtype=pd.ArrowDtype(STRUCT)
    ),
    "arrow map": lambda rows: pa.array(rows, MAP),
    "arrow map, sliced": lambda rows: _sliced(pa.array(rows, MAP)),
    "arrow structs": lambda rows: pa.array(_structs(rows), STRUCT),
    "arrow structs, sliced": lambda rows: _sliced(pa.array(_structs(rows), STRUCT)),
    "arrow large list": lambda rows: pa.array(
        _structs(rows), pa.large_list(STRUCT.value_type)
    ),
    "arrow table": lambda rows: pa.table({"x0": pa.array(_structs(rows), STRUCT)}),
    "arrow, hidden values": _behind_nulls,
    "arrow dictionary of labels": _dictionary_structs,
    "arrow text": lambda rows: pa.array(_texts(rows)),
    "arrow dictionary of text": lambda rows: pa.array(_texts(rows), DICTIONARY),
    "polars structs": lambda rows: pl.DataFrame({"x0": _structs(rows)}),
    "polars text": lambda rows: pl.Series("x0", _texts(rows)),
    "polars categorical": lambda rows: pl.Series(
        "x0", _texts(rows), dtype=pl.Categorical
    ),
}


def assert_identical(left, right):
    assert left.shape == right.shape and left.dtype == right.dtype
    assert left.has_canonical_format
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


@pytest.mark.parametrize("make", WEIGHTED.values(), ids=WEIGHTED)
def test_weighted_bags(make):
    reference = WeightedMultiLabelEncoder(normalize="l2")
    expected = reference.fit_transform(PAIRS)
    encoder = WeightedMultiLabelEncoder(normalize="l2")
    assert_identical(encoder.fit_transform(make(PAIRS)), expected)
    assert encoder.categories_[0].tolist() == ["a", "b", "c"]
    assert_identical(encoder.transform(make(MORE)), reference.transform(MORE))
    assert encoder.get_feature_names_out().tolist() == ["x0=a", "x0=b", "x0=c"]


LISTS = [["b", "a"], None, [], ["c", "b", "b"]]
LIST = pa.list_(pa.string())
UNWEIGHTED = {
    "lists": list,
    "tuples": lambda rows: _each(tuple, rows),
    "arrays": lambda rows: _each(np.array, rows),
    "list of str arrays in numpy": lambda rows: _objects(
        [None if row is None else np.array(row, dtype=object) for row in rows]
    ),
    "text": lambda rows: _each("|".join, rows),
    "quoted text": lambda rows: _each(_quoted, rows),
    "arrow list": lambda rows: pa.array(rows, LIST),
    "arrow list, sliced": lambda rows: _sliced(pa.array(rows, LIST)),
    "arrow large list": lambda rows: pa.array(rows, pa.large_list(pa.large_string())),
    "arrow list of dictionary": lambda rows: pa.array(rows, pa.list_(DICTIONARY)),
    "arrow text": lambda rows: pa.array(_each(" | ".join, rows)),
    "arrow text, sliced": lambda rows: _sliced(pa.array(_each("|".join, rows))),
    "arrow quoted": lambda rows: pa.array(_each(_quoted, rows)),
    "pandas arrow": lambda rows: pd.Series(rows, dtype=pd.ArrowDtype(LIST)),
    "polars list": lambda rows: pl.Series("x0", rows, dtype=pl.List(pl.String)),
    "polars categories": lambda rows: pl.Series(
        "x0", rows, dtype=pl.List(pl.Categorical)
    ),
}


@pytest.mark.parametrize("make", UNWEIGHTED.values(), ids=UNWEIGHTED)
def test_bags_without_weights(make):
    reference = WeightedMultiLabelEncoder()
    expected = reference.fit_transform(LISTS)
    assert expected.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 2, 1]]
    encoder = WeightedMultiLabelEncoder(quotechar='"')
    assert_identical(encoder.fit_transform(make(LISTS)), expected)
    new = [["a", "new"], None, ["c"]]
    assert_identical(encoder.transform(make(new)), reference.transform(new))


SINGLE = {
    "list": list,
    "pandas": lambda v: pd.Series(v, dtype="Int64"),
    "floats": lambda v: pd.Series(v, dtype="float64"),
    "arrow": lambda v: pa.array(v, pa.int16()),
    "arrow floats": lambda v: pa.array(
        [float("nan") if x is None else x for x in v], pa.float64()
    ),
    "arrow dictionary": lambda v: _sliced(pa.array(v, pa.int64()).dictionary_encode()),
    "categorical": lambda v: pd.Series(v, dtype="category"),
    "polars": lambda v: pl.Series("x0", v),
}


@pytest.mark.parametrize("make", SINGLE.values(), ids=SINGLE)
def test_single_labels(make):
    encoder = WeightedMultiLabelEncoder()
    out = encoder.fit_transform(make([3, 1, None, 3]))
    assert out.toarray().tolist() == [[0, 1], [1, 0], [0, 0], [0, 1]]
    assert encoder.transform(make([1, 2, None])).toarray().tolist() == [
        [1, 0],
        [0, 0],
        [0, 0],
    ]


def test_fixed_size_lists():
    kind = pa.list_(pa.string(), 2)
    array = pa.array([["x", "x"], ["a", "b"], None, ["b", "b"]], kind)[1:]
    out = WeightedMultiLabelEncoder().fit_transform(array)
    assert out.toarray().tolist() == [[1, 1], [0, 0], [0, 2]]


@pytest.mark.parametrize(
    ("array", "row", "error", "message"),
    [
        (pa.array([["a"], ["b", None]]), 1, ValueError, "no missing label"),
        (pa.array([[("a", 1.0)], [("b", None)]], MAP), 1, TypeError, "real numbers"),
        (
            pa.array([[("a", 1.0)], [("b", float("inf"))]], MAP),
            1,
            ValueError,
            "finite weights",
        ),
        (pa.array([None, [{"l": "a", "w": "x"}]]), 1, TypeError, "real numbers"),
        (
            pa.array([None, [{"a": 1, "b": 1, "c": 1}]]),
            1,
            TypeError,
            r"\(label, weight\) pairs",
        ),
        (pa.array([[["a"]]]), 0, TypeError, "hashable single values"),
        (pa.array(["a:1", "b"]), 1, ValueError, "a number after ':'"),
        (pa.array(["a", "b:1"]), 1, ValueError, "a number after ':'"),
        (pa.array([["a"], None, [None]]), 2, ValueError, "no missing label"),
        (
            pa.array([["a"], [None]], pa.list_(DICTIONARY)),
            1,
            ValueError,
            "no missing label",
        ),
        (pa.array([{"a": 1}]), 0, TypeError, "hashable|list, set|real"),
    ],
)
def test_arrow_errors_name_column_and_row(array, row, error, message):
    if pa.types.is_struct(array.type):  # a struct is a dict: not a fault
        assert WeightedMultiLabelEncoder().fit_transform(array).shape == (1, 1)
        return
    with pytest.raises(error, match=f"Column 'x0', row {row}: got .*{message}"):
        WeightedMultiLabelEncoder().fit(array)


def test_unused_values_of_a_dictionary_do_not_count():
    series = pd.Series(["a", "b:1", "c"], dtype="category")[[0, 2]]
    encoder = WeightedMultiLabelEncoder().fit(series)
    assert encoder.categories_[0].tolist() == ["a", "c"]
    with pytest.raises(ValueError, match="Column 'x0', row 2: got 'b:1'"):
        encoder.fit(pd.Series(["a", "a", "b:1"], dtype="category"))


def test_the_form_of_fit_holds_for_arrow():
    lists, texts = pa.array([["a"]]), pa.array(["a"])
    with pytest.raises(TypeError, match="row 0: got 'a', expected a list"):
        WeightedMultiLabelEncoder().fit(lists).transform(texts)
    with pytest.raises(TypeError, match=r"row 0: got \['a'\], expected a single"):
        WeightedMultiLabelEncoder().fit(texts).transform(lists)
    empty = pa.array([None, None], LIST)
    assert WeightedMultiLabelEncoder().fit(texts).transform(empty).nnz == 0
    assert WeightedMultiLabelEncoder().fit_transform(empty).shape == (2, 0)


def test_arrow_input_is_not_modified():
    weights = np.array([2.0, 1.0, 3.0])
    fields = pa.StructArray.from_arrays([pa.array(["b", "a", "b"]), weights], "lw")
    array = pa.ListArray.from_arrays(pa.array([0, 3], pa.int32()), fields)
    before = array.to_pylist()
    WeightedMultiLabelEncoder(normalize="l1").fit_transform(array)
    assert array.to_pylist() == before and weights.tolist() == [2, 1, 3]


def test_polars_without_pyarrow(monkeypatch):
    frame = pl.DataFrame({"x0": _structs(PAIRS), "t": ["a|b", None, "", "b"]})
    expected = WeightedMultiLabelEncoder().fit_transform(frame)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    columns = table_columns(as_table(frame))
    assert all(isinstance(column, list) for column in columns)
    assert_identical(WeightedMultiLabelEncoder().fit_transform(frame), expected)


def test_no_object_per_entry_is_made():
    cells = pa.chunked_array([[["a", "b"], ["b"]], [["b", "c"]]])
    bags = read_column(cells, "c")
    assert bags.labels == ["a", "b", "c"] and bags.weights is None
    assert bags.codes.tolist() == [0, 1, 1, 1, 2]
    ones = read_column([["a", "b"], ["b"]], "c")
    assert ones.weights is None and ones.codes.tolist() == [0, 1, 1]


LABELS = st.sampled_from(["a", "b", "x|y", 'q"q', " z ", "", "0", "é", "a:1"])
ROWS = st.lists(
    st.none() | st.lists(st.tuples(LABELS, st.integers(-8, 8)), max_size=4),
    min_size=1,
    max_size=6,
)


@given(ROWS)
def test_any_bags_are_the_same_in_every_container(rows):
    floats = [row and [(x, float(w)) for x, w in row] for row in rows]
    expected = WeightedMultiLabelEncoder().fit_transform(floats)
    for name in ("arrow map", "arrow structs, sliced", "polars structs"):
        if all(row is None for row in rows) and "polars" in name:
            continue  # a column of type Null
        out = WeightedMultiLabelEncoder().fit_transform(WEIGHTED[name](floats))
        assert_identical(out, expected)
    quoted = _each(
        lambda row: "|".join(
            '"' + x.replace('"', '""') + f'":{float(w)}' for x, w in row
        ),
        rows,
    )
    text = WeightedMultiLabelEncoder(quotechar='"')
    assert_identical(text.fit_transform(quoted), expected)
    parallel = pd.DataFrame(
        {
            "x0": _each(lambda row: [x for x, _ in row], rows),
            "w": _each(lambda row: [w for _, w in row], rows),
        },
        dtype=object,
    )
    pair = WeightedMultiLabelEncoder(weights={"x0": "w"})
    assert_identical(pair.fit_transform(parallel), expected)
