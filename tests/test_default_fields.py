"""What a column gets whose user said nothing, and estimators on whole data frames."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skwfm import (
    DateEncoder,
    FieldTransformer,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
from skwfm._default_fields import default_transformers, defaults, needs_encoding

TIMES = [dt.datetime(2020, 1, 1, 5), None, dt.datetime(2021, 6, 7, 8)]


def names(X):
    return {
        column: name
        for name, _, columns in default_transformers(X)
        for column in columns
    }


PANDAS = pd.DataFrame(
    {
        "list": [["a"], None, []],
        "dict": [{"a": 1.0}, None, {}],
        "text": ["a", None, "a|b"],
        "bool": [True, False, True],
        "bool_missing": [True, None, False],
        "id": [1, 2, 3],
        "float": [0.5, np.nan, 1],
        "day": pd.to_datetime(TIMES),
        "all_missing": [None, None, None],
    }
)
KINDS = {
    "list": "labels",
    "dict": "labels",
    "text": "categories",
    "bool": "categories",
    "bool_missing": "categories",
    "id": "numbers",
    "float": "numbers",
    "day": "dates",
    "all_missing": "categories",
}


def test_kinds_of_pandas_columns():
    assert names(PANDAS) == KINDS
    assert names(PANDAS.astype(object)) == KINDS
    changed = PANDAS.assign(
        text=PANDAS["text"].astype("category"),
        bool_missing=PANDAS["bool_missing"].astype("boolean"),
        id=PANDAS["id"].astype("Int64"),
        float=PANDAS["float"].astype("double[pyarrow]"),
        day=PANDAS["day"].dt.tz_localize("UTC"),
    )
    assert names(changed) == KINDS
    arrow = PANDAS.assign(
        day=PANDAS["day"].astype("timestamp[us][pyarrow]"),
        bool=PANDAS["bool"].astype("bool[pyarrow]"),
    )
    assert names(arrow) == KINDS
    days = PANDAS.assign(day=pd.Series([t and t.date() for t in TIMES], dtype=object))
    assert names(days) == KINDS


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table])
def test_kinds_of_typed_columns(frame):
    data = {
        "list": [["a"], None, []],
        "text": ["a", None, "a|b"],
        "bool": [True, None, True],
        "id": [1, 2, None],
        "day": [t and t.date() for t in TIMES],
        "time": TIMES,
    }
    assert names(frame(data)) == {
        "list": "labels",
        "text": "categories",
        "bool": "categories",
        "id": "numbers",
        "day": "dates",
        "time": "dates",
    }


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.array([[1], [2]]), "numbers"),
        (np.array([[1.5], [np.nan]]), "numbers"),
        (np.array([[True], [False]]), "categories"),
        (np.array([["a"], ["b"]]), "categories"),
        (np.array([["2020-01-01"], ["NaT"]], "M8[D]"), "dates"),
        (np.array([[dt.date(2020, 1, 1)], [None]]), "dates"),
        (np.array([[np.datetime64("2020-01-01")], [None]], object), "dates"),
        (np.array([[True], [None]]), "categories"),
        (np.array([[Decimal("1.5")], [None]]), "numbers"),
        (np.array([[1], [True]], object), "categories"),
    ],
)
def test_kinds_of_arrays(array, kind):
    assert names(array) == {0: kind}


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.to_timedelta([1, 2], "D")),
        pd.Series([dt.time(5), None], dtype=object),
        pd.Series([dt.timedelta(5), None], dtype=object),
        pl.Series([dt.timedelta(5), None]),
        pl.Series([dt.time(5), None]),
    ],
)
def test_durations_have_no_default(column):
    frame = pd.DataFrame if isinstance(column, pd.Series) else pl.DataFrame
    message = "Column 'long' holds durations or times of day, for which there is no def"
    with pytest.raises(ValueError, match=message):
        FieldTransformer().fit(frame({"long": column}))
    with pytest.raises(ValueError, match="Column 'x0' holds durations"):
        FieldTransformer().fit(np.array([[1], [2]], "m8[D]"))


def test_the_transformers_are_new_and_documented():
    first, second = defaults(), defaults()
    assert [type(default.transformer) for default in first] == [
        WeightedMultiLabelEncoder,
        WeightedMultiLabelEncoder,
        SplineEncoder,
        DateEncoder,
    ]
    for one, other in zip(first, second, strict=True):
        assert one.transformer is not other.transformer
    text = " ".join(FieldTransformer.__doc__.split())
    for default in first:
        assert repr(default.transformer).replace("'", '"') in text.replace("'", '"')


BOOLS = {
    "numpy": pd.DataFrame({"flag": [True, False, True], "text": ["a", "b", "a"]}),
    "boolean": pd.DataFrame(
        {"flag": pd.array([True, False, None]), "text": ["a", "b", "a"]}
    ),
    "object": pd.DataFrame({"flag": [True, False, None], "text": ["a", "b", "a"]}),
    "arrow": pa.table({"flag": [True, False, None], "text": ["a", "b", "a"]}),
    "polars": pl.DataFrame({"flag": [True, False, None], "text": ["a", "b", "a"]}),
}


@pytest.mark.parametrize("table", BOOLS.values(), ids=BOOLS)
def test_a_bool_is_one_of_two_labels(table):
    if isinstance(table, pa.Table) and not hasattr(
        __import__("sklearn.utils").utils, "_dataframe"
    ):
        pytest.skip("ColumnTransformer takes no Arrow tables")
    transformer = FieldTransformer(verbose_feature_names_out=False).fit(table)
    out = transformer.transform(table)
    assert transformer.get_feature_names_out().tolist()[:2] == [
        "flag=False",
        "flag=True",
    ]
    flags = out[:, out.fields == 0].toarray().tolist()
    third = [0, 1] if table is BOOLS["numpy"] else [0, 0]
    assert flags == [[0, 1], [1, 0], third]
    # The kind of column may change: what was read as bool in fit may be object later.
    later = FieldTransformer().fit(BOOLS["numpy"]).transform(BOOLS["object"])
    assert later[:, :2].toarray().tolist() == [[0, 1], [1, 0], [0, 0]]


# --- estimators on data frames ------------------------------------------------------

rng = np.random.default_rng(0)
N = 120
DAYS = pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, N), "D")
FRAME = pd.DataFrame(
    {
        "tags": [
            rng.choice(["x", "y", "z"], k).tolist() for k in rng.integers(0, 4, N)
        ],
        "country": rng.choice(["FR", "US"], N),
        "member": rng.choice([True, False], N),
        "price": rng.lognormal(size=N),
        "seen": DAYS,
    }
)
Y = (
    np.where(FRAME["country"] == "FR", 1.0, -1.0) * (FRAME["seen"].dt.year == 2020)
    + FRAME["member"] * np.log(FRAME["price"])
).to_numpy()


def frames():
    """Return the data in several kinds of frame; each with all cells missing later."""
    yield FRAME
    yield FRAME.convert_dtypes()
    yield FRAME.assign(seen=FRAME["seen"].dt.tz_localize("Europe/Paris"))
    yield FRAME.assign(seen=FRAME["seen"].astype("timestamp[us][pyarrow]"))
    yield FRAME.assign(seen=FRAME["seen"].dt.date)
    yield pl.from_pandas(FRAME)
    yield pl.from_pandas(FRAME).with_columns(pl.col("seen").cast(pl.Date))


def test_an_estimator_takes_frames_of_all_kinds_of_columns():
    expected = WeightedFMRegressor(random_state=0).fit(FRAME, Y)
    assert expected.field_names_ == ("tags", "country", "member", "price", "seen")
    assert expected.score(FRAME, Y) > 0.5
    predicted = expected.predict(FRAME)
    for frame in frames():
        fm = WeightedFMRegressor(random_state=0).fit(frame, Y)
        np.testing.assert_allclose(fm.predict(frame), predicted, rtol=1e-4, atol=1e-4)


def test_missing_cells_at_predict():
    fm = WeightedFMRegressor(random_state=0).fit(FRAME, Y)
    missing = pd.DataFrame({name: [None, None] for name in FRAME})
    np.testing.assert_allclose(fm.predict(missing), fm.intercept_, rtol=1e-6)
    holes = FRAME.astype(object)
    for i, column in enumerate(FRAME):
        holes.iloc[i, i] = None
        encoded = fm.field_transformer_.transform(holes)
        assert (
            encoded[i, encoded.fields == list(fm.field_names_).index(column)].nnz == 0
        )
    out = fm.predict(holes)
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[5:], fm.predict(FRAME)[5:])
    polars = pl.DataFrame(FRAME.to_dict("list"))
    gone = pl.DataFrame({name: [None] for name in FRAME}, schema=polars.schema)
    np.testing.assert_allclose(fm.predict(gone), fm.intercept_, rtol=1e-6)


def test_columns_of_predict_are_found_by_name():
    for model in (WeightedFMClassifier(), WeightedFFMClassifier()):
        model.set_params(random_state=0).fit(FRAME, Y > 0)
        expected = model.predict_proba(FRAME)
        with pytest.raises(ValueError, match="feature names should match"):
            model.predict(FRAME.rename(columns={"seen": "day"}))
        assert np.isfinite(expected).all()


def test_pipelines_find_reordered_columns_by_name():
    transformer = FieldTransformer().fit(FRAME)
    fm = WeightedFMRegressor(random_state=0).fit(transformer.transform(FRAME), Y)
    moved = FRAME[FRAME.columns[::-1]].assign(more=1)
    np.testing.assert_array_equal(
        fm.predict(transformer.transform(moved)),
        fm.predict(transformer.transform(FRAME)),
    )
    with pytest.raises(ValueError, match=r"columns are missing: \{'seen'\}"):
        transformer.transform(FRAME.drop(columns="seen"))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (FRAME[["price", "member"]], False),
        (FRAME[["price", "seen"]], True),
        (FRAME[["country"]], True),
        (pl.DataFrame({"d": [dt.date(2020, 1, 1)]}), True),
        (FRAME[["price"]].to_numpy(), False),
        (pd.DataFrame({"flag": [True, None]}), True),
        (pd.DataFrame({"number": [1, None]}, dtype=object), False),
    ],
)
def test_needs_encoding(table, expected):
    assert needs_encoding(table) is expected
