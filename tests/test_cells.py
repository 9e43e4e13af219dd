"""Reading raw columns: every cell form, every refusal, every container."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from skwfm._cells import Spelling, as_table, read_column, table_columns
from skwfm._labels import keys_of, label_array, sorted_labels
from skwfm._validation import shorten_text

NAN = float("nan")


def rows(cells, **options):
    """Return what was read as one list of (label, weight) per row."""
    form = options.pop("form", None)
    bags = read_column(cells, "c", spelling=Spelling(**options), form=form)
    assert bags.codes.dtype == np.int32 and bags.indptr.dtype == np.int64
    assert bags.weights is None or bags.weights.dtype == np.float64
    weights = np.ones(len(bags.codes)) if bags.weights is None else bags.weights
    labels = [bags.labels[code] for code in bags.codes]
    pairs = list(zip(labels, weights.tolist(), strict=True))
    bounds = zip(bags.indptr[:-1], bags.indptr[1:], strict=True)
    return [pairs[start:end] for start, end in bounds]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (["a", "b"], [("a", 1), ("b", 1)]),
        (("a", "b"), [("a", 1), ("b", 1)]),
        ({"a"}, [("a", 1)]),
        (frozenset({"a"}), [("a", 1)]),
        (np.array(["a", "b"]), [("a", 1), ("b", 1)]),
        (np.array([1, 2]), [(1, 1), (2, 1)]),
        (pd.Series(["a", "b"]), [("a", 1), ("b", 1)]),
        ([np.int64(3), np.str_("a")][:1], [(3, 1)]),
        ([("a", 0.5), ("b", 2)], [("a", 0.5), ("b", 2)]),
        ([("a", np.float32(0.5))], [("a", 0.5)]),
        ({"a": 0.5, "b": -1}, [("a", 0.5), ("b", -1)]),
        ({"a": 0}, [("a", 0)]),
        ([], []),
        ({}, []),
        ([""], [("", 1)]),
        ("a|b", [("a", 1), ("b", 1)]),
        (" a | b |", [("a", 1), ("b", 1)]),
        ("a:0.5|b:1.2", [("a", 0.5), ("b", 1.2)]),
        ("x:y:-1e-3", [("x:y", -0.001)]),
        ("Mission: Impossible", [("Mission: Impossible", 1)]),
        ("a:nan|b:inf", [("a:nan", 1), ("b:inf", 1)]),
        ("", []),
        ("  ", []),
        ("|", []),
        (7, [(7, 1)]),
        (2.5, [(2.5, 1)]),
        (True, [(True, 1)]),
        (b"a|b", [(b"a|b", 1)]),
        (datetime.date(2020, 1, 1), [(datetime.date(2020, 1, 1), 1)]),
        (None, []),
        (NAN, []),
        (np.float32("nan"), []),
        (pd.NA, []),
        (pd.NaT, []),
        (np.datetime64("NaT"), []),
        (decimal.Decimal("NaN"), []),
    ],
)
def test_cell_forms(cell, expected):
    assert rows([cell]) == [expected]
    assert rows([None, cell]) == [[], expected]


def test_numpy_scalars_become_python_values():
    labels = read_column([np.int64(1), np.float64(2.5), np.str_("a")], "c").labels
    assert [type(label) for label in labels] == [int, float, str]


@pytest.mark.parametrize(
    ("cells", "row", "error", "expected"),
    [
        (
            [["a"], "b|c"],
            1,
            TypeError,
            "a list, set, dict or array like the other cells",
        ),
        (
            [None, ["a"], 3],
            2,
            TypeError,
            "a list, set, dict or array like the other cells",
        ),
        (["a", ["b"]], 1, TypeError, "a single label or text like the other cells"),
        ([["a"], [("a", 1.0), "b"]], 1, TypeError, "only labels or only"),
        ([["a", ("b", 1.0)]], 0, TypeError, "only labels or only"),
        ([[("a", 1.0, 2.0)]], 0, TypeError, "only labels or only"),
        ([[("a", "b")]], 0, TypeError, "weights that are real numbers"),
        ([{"a": "0.5"}], 0, TypeError, "weights that are real numbers"),
        ([{"a": None}], 0, TypeError, "weights that are real numbers"),
        ([{"a": True}], 0, TypeError, "weights that are real numbers"),
        ([{"a": 1j}], 0, TypeError, "weights that are real numbers"),
        ([{"b": 1}, {"a": NAN}], 1, ValueError, "finite weights"),
        ([[("a", float("inf"))]], 0, ValueError, "finite weights"),
        ([{"a": 10**400}], 0, ValueError, "finite weights"),
        (["a:1e999"], 0, ValueError, "finite weights"),
        ([["b"], [["a", 0.5]]], 1, TypeError, "hashable single values"),
        ([[{"a": 1}]], 0, TypeError, "hashable single values"),
        ([{("a", "b"): 1.0}], 0, TypeError, "only labels|hashable single"),
        ([[frozenset("a")]], 0, TypeError, "hashable single values"),
        ([bytearray(b"a")], 0, TypeError, "hashable single values"),
        ([iter("ab")], 0, TypeError, "hashable single values"),
        ([np.ones((2, 2))], 0, TypeError, "hashable single values"),
        ([np.array(1.0)], 0, TypeError, "1-D array of labels"),
        ([["a"], [1, "1"]], 1, TypeError, "labels of one kind"),
        ([[1, True]], 0, TypeError, "labels of one kind"),
        ([["a", None]], 0, ValueError, "no missing label"),
        ([[1.0, NAN]], 0, ValueError, "no missing label"),
        (["Alien", "Blade Runner: 2049"], 1, ValueError, "weight_sep=None"),
        (["a:1", "b:2|c"], 1, ValueError, "a number after ':'"),
        (["a:1|b"], 0, ValueError, "a number after ':'"),
        (["a:1", 3], 1, ValueError, "a number after ':'"),
        (["a:1|:2"], 0, ValueError, "a label before every ':'"),
    ],
)
def test_refused_cells_name_column_row_and_value(cells, row, error, expected):
    with pytest.raises(error, match=expected) as caught:
        read_column(cells, "c")
    text = shorten_text(repr(cells[row]), 200)
    assert str(caught.value).startswith(f"Column 'c', row {row}: got {text}")


def test_text_separators():
    assert rows(["a;b"], sep=";") == [[("a", 1), ("b", 1)]]
    assert rows(["a|b"], sep=None) == [[("a|b", 1)]]
    assert rows(["a=2|b=1"], weight_sep="=") == [[("a", 2), ("b", 1)]]
    titles = ["Alien", "Blade Runner: 2049"]
    assert rows(titles, weight_sep=None) == [[(t, 1)] for t in titles]
    assert rows(["a::2"], weight_sep="::") == [[("a", 2)]]


def test_form_of_fit_is_kept():
    assert read_column([["a"]], "c").form == "bags"
    assert read_column(["a", 1], "c").form == "plain"
    assert read_column(["a:1"], "c").form == "weighted"
    assert read_column([None, NAN, ""], "c").form is None
    assert rows(["a:1"], form="plain") == [[("a:1", 1)]]
    with pytest.raises(TypeError, match="a list, set"):
        read_column(["a"], "c", form="bags")
    with pytest.raises(TypeError, match="a single label"):
        read_column([["a"]], "c", form="plain")
    for cell in ("a", 3):
        with pytest.raises(ValueError, match="a number after"):
            read_column([cell], "c", form="weighted")
    assert rows([None], form="bags") == rows([None], form="weighted") == [[]]


def test_labels_are_kept_apart_by_kind():
    assert keys_of([1, True, "1"]) == [1, (True,), "1"]
    mixed = ["b", 2, None, True, "a", 1.5, b"x", datetime.date(2020, 1, 1)]
    assert sorted_labels(mixed) == [
        None,
        True,
        b"x",
        datetime.date(2020, 1, 1),
        1.5,
        2,
        "a",
        "b",
    ]
    assert sorted_labels([1j, 2j]) == [1j, 2j]  # without an order of their own


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([1, 2], "i"), ([1.5], "f"), ([True], "b"), (["a"], "O"), ([1, 1.5], "O")],
)
def test_label_array(labels, kind):
    array = label_array(labels)
    assert array.dtype.kind == kind and array.tolist() == labels


def test_large_integers_stay_exact():
    assert label_array([2**80, 1]).tolist() == [2**80, 1]


LISTS = [["a", "b"], None, []]
TEXTS = ["a|b", None, ""]


@pytest.mark.parametrize(
    "X",
    [
        LISTS,
        tuple(LISTS),
        np.array([*LISTS, "end"], dtype=object)[:-1],
        pd.Series(LISTS),
        pd.Series(LISTS, name="c"),
        pd.DataFrame({"c": LISTS}),
        pd.DataFrame({7: LISTS}),
        pl.Series("c", LISTS),
        pl.Series(LISTS),
        pl.DataFrame({"c": LISTS}),
        pa.array(LISTS),
        pa.chunked_array([LISTS[:1], LISTS[1:]]),
        pa.table({"c": LISTS}),
        pd.Series(LISTS, dtype=pd.ArrowDtype(pa.list_(pa.string()))),
        TEXTS,
        np.array(TEXTS, dtype=object),
        np.array(["a|b", "", ""]),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype=object),
        pl.Series("c", TEXTS),
        pl.Series("c", TEXTS, dtype=pl.Categorical),
        pa.array(TEXTS),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(
            [[("a", 1.0), ("b", 1.0)], None, []], pa.map_(pa.string(), pa.float64())
        ),
    ],
    ids=lambda X: type(X).__module__.split(".")[0] + type(X).__name__,
)
def test_containers_are_one_column(X):
    table = as_table(X)
    assert table.shape == (3, 1)
    [cells] = table_columns(table)
    assert rows(cells) == [[("a", 1), ("b", 1)], [], []]


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (sp.eye(2).tocsr(), TypeError, "Sparse data"),
        (np.ones(3), ValueError, "Expected 2D array, got 1D.*Reshape your data"),
        (np.ones((2, 2, 2)), ValueError, "Expected 2D array, got 3D"),
        (np.ones((2, 2)) * 1j, ValueError, "Complex data not supported"),
        ({"a": ["x"]}, ValueError, "expected a data frame"),
        ({"a", "b"}, ValueError, "expected a data frame"),
        ("a|b", ValueError, "expected a data frame"),
        (None, ValueError, "expected a data frame"),
    ],
)
def test_refused_tables(X, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        as_table(X)
