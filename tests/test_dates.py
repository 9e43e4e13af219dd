"""DateEncoder: every kind of date, against Python's own calendar."""

import datetime as dt
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks

from skwfm import DateEncoder, FieldCSR

PARTS = ["year", "month", "weekday", "day", "hour"]
TIMES = [
    dt.datetime(2019, 12, 31, 23, 30),
    dt.datetime(2020, 2, 29, 0, 10),
    None,
    dt.datetime(1969, 12, 31, 23, 59, 59),
    dt.datetime(2020, 2, 29, 0, 10),
]
DAYS = [None if time is None else time.date() for time in TIMES]
SERIES = pd.Series(TIMES)
UNIX = [t if t is None else int(t.replace(tzinfo=dt.UTC).timestamp()) for t in TIMES]
UTC = pd.Series(TIMES).dt.tz_localize("UTC")


@parametrize_with_checks([DateEncoder(), DateEncoder(["year"], split_fields=True)])
def test_estimator_checks(estimator, check):
    check(estimator)


def labels_of(encoder, out):
    """Return the feature names of every row."""
    names = encoder.get_feature_names_out()
    return [set(names[out[i].indices]) for i in range(out.shape[0])]


def expected_labels(times, column):
    """Return what Python says about every date."""
    return [
        {
            f"{column}_year={time.year}",
            f"{column}_month={time.month}",
            f"{column}_weekday={time:%a}",
            f"{column}_day={time.day}",
            f"{column}_hour={getattr(time, 'hour', 0)}",
        }
        if time is not None
        else set()
        for time in times
    ]


TABLES = {
    "pandas naive": (pd.DataFrame({"t": SERIES}), TIMES),
    "pandas ns": (pd.DataFrame({"t": SERIES.astype("M8[ns]")}), TIMES),
    "pandas tz": (pd.DataFrame({"t": SERIES.dt.tz_localize("US/Eastern")}), TIMES),
    "pandas object": (pd.DataFrame({"t": SERIES.astype(object)}), TIMES),
    "pandas object tz": (
        pd.DataFrame({"t": SERIES.dt.tz_localize("US/Eastern").astype(object)}),
        TIMES,
    ),
    "pandas dates": (pd.DataFrame({"t": pd.Series(DAYS, dtype=object)}), DAYS),
    "numpy scalars": (
        pd.DataFrame(
            {"t": pd.Series([np.datetime64(t, "us") for t in TIMES], dtype=object)}
        ),
        TIMES,
    ),
    "pandas arrow": (
        pd.DataFrame({"t": SERIES.astype("timestamp[us][pyarrow]")}),
        TIMES,
    ),
    "pandas arrow tz": (
        pd.DataFrame({"t": UTC.astype("timestamp[us, tz=UTC][pyarrow]")}),
        TIMES,
    ),
    "pandas arrow date": (pd.DataFrame({"t": SERIES.astype("date32[pyarrow]")}), DAYS),
    "polars datetime": (pl.DataFrame({"t": TIMES}), TIMES),
    "polars date": (pl.DataFrame({"t": DAYS}), DAYS),
    "polars tz": (
        pl.DataFrame({"t": pl.Series(TIMES).dt.replace_time_zone("Europe/Berlin")}),
        TIMES,
    ),
    "arrow timestamp": (pa.table({"t": TIMES}), TIMES),
    "arrow date": (pa.table({"t": DAYS}), DAYS),
    "arrow tz": (
        pa.table({"t": pa.array(UTC, type=pa.timestamp("us", tz="UTC"))}),
        TIMES,
    ),
    "numpy": (np.array([TIMES], "M8[s]").T, TIMES),
    "numpy days": (np.array([DAYS], "M8[D]").T, DAYS),
    "numpy object": (np.array([TIMES], object).T, TIMES),
    "lists": ([[time] for time in TIMES], TIMES),
    "Unix time": (np.array([UNIX], dtype=float).T, TIMES),
    "Unix time, list": ([[second] for second in UNIX], TIMES),
    "Unix time, nullable": (pd.DataFrame({"t": pd.array(UNIX, dtype="Int64")}), TIMES),
}


@pytest.mark.parametrize(("table", "times"), TABLES.values(), ids=TABLES)
def test_every_kind_of_date(table, times):
    encoder = DateEncoder(PARTS)
    out = encoder.fit_transform(table)
    name = "t" if hasattr(table, "columns") else "x0"
    assert labels_of(encoder, out) == expected_labels(times, name)
    assert isinstance(out, FieldCSR) and out.dtype == np.float32
    assert out.has_canonical_format
    assert out.field_names == encoder.field_names_ == (name,)
    assert set(out.data.tolist()) == {np.float32(5**-0.5)}
    again = encoder.transform(table)
    assert again.field_map == out.field_map
    np.testing.assert_array_equal(again.toarray(), out.toarray())


@given(st.lists(st.none() | st.datetimes(), min_size=1, max_size=8))
def test_same_calendar_as_python(times):
    encoder = DateEncoder(PARTS)
    out = encoder.fit_transform([[time] for time in times])
    assert labels_of(encoder, out) == expected_labels(times, "x0")


def test_labels_are_sorted_and_unknown_ones_ignored():
    encoder = DateEncoder().fit(pl.DataFrame({"t": DAYS}))
    assert encoder.get_feature_names_out().tolist() == [
        "t_year=1969",
        "t_year=2019",
        "t_year=2020",
        "t_month=2",
        "t_month=12",
        "t_weekday=Tue",
        "t_weekday=Wed",
        "t_weekday=Sat",
    ]
    assert {part: known.tolist() for part, known in encoder.categories_[0].items()} == {
        "year": [1969, 2019, 2020],
        "month": [2, 12],
        "weekday": [1, 2, 5],
    }
    out = encoder.transform(
        pl.DataFrame({"t": [dt.date(2030, 2, 5), dt.date(1950, 1, 1)]})
    )
    assert labels_of(encoder, out) == [{"t_month=2", "t_weekday=Tue"}, set()]


@pytest.mark.parametrize("split", [False, True])
def test_fields(split):
    table = pd.DataFrame({"a": TIMES, "b": TIMES[::-1]})
    encoder = DateEncoder(["year", "month"], split_fields=split)
    out = encoder.fit_transform(table)
    names = ("a_year", "a_month", "b_year", "b_month") if split else ("a", "b")
    assert out.field_names == names
    expected = np.repeat([0, 1, 2, 3] if split else [0, 0, 1, 1], [3, 2, 3, 2])
    assert out.fields.tolist() == expected.tolist()
    assert set(out.data.tolist()) == {1.0 if split else np.float32(0.5**0.5)}


def test_all_dates_missing():
    encoder = DateEncoder()
    missing = pd.DataFrame({"t": pd.to_datetime([None, None])})
    assert encoder.fit_transform(missing).shape == (2, 0)
    encoder.fit(pd.DataFrame({"t": TIMES}))
    for table in (missing, missing.astype(object), missing.assign(t=np.nan)):
        assert encoder.transform(table).nnz == 0
    assert encoder.transform(missing[:0]).shape == (0, 8)


def test_nothing_is_modified_and_everything_pickles():
    table = pd.DataFrame({"t": SERIES.astype(object)})
    before = table.copy(deep=True)
    encoder = DateEncoder().fit(table)
    out = pickle.loads(pickle.dumps(encoder)).transform(table)
    np.testing.assert_array_equal(out.toarray(), encoder.transform(table).toarray())
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (
            [["2020-01-01"]],
            TypeError,
            "Column 'x0', row 0: got '2020-01-01', expected a d",
        ),
        (pd.DataFrame({"t": ["x"]}), TypeError, "Column 't', row 0: got 'x', expected"),
        (pl.DataFrame({"t": [None, "x"]}), TypeError, "Column 't', row 1: got 'x'"),
        (pl.DataFrame({"t": [True]}), TypeError, "Column 't', row 0: got True"),
        (np.array([[True]]), TypeError, "Column 'x0', row 0: got True"),
        ([[1.7e12]], ValueError, "got 1700.*, expected .* in the years 1 to 9999"),
        (np.array([[0], [10**12]]), ValueError, "row 1: got 1000000000000.0, expected"),
        (np.array([[np.inf]]), ValueError, "row 0: got inf, expected a date"),
        ([[10**400]], ValueError, "Column 'x0', row 0: got 1000"),
        ([[TIMES[0]], [5]], ValueError, "Column 'x0', row 1: got 5, expected a date"),
        ([[5], [TIMES[0]]], TypeError, "Column 'x0', row 1: got datetime.datetime"),
        ([[dt.timedelta(1)]], TypeError, "row 0: got datetime.timedelta"),
        (pd.DataFrame({"t": []}), ValueError, r"0 sample\(s\) .* by DateEncoder"),
        (pd.DataFrame(index=[0]), ValueError, r"0 feature\(s\)"),
        (np.array(["2020"], "M8[Y]"), ValueError, "Expected 2D array"),
    ],
)
def test_refusals(table, error, message):
    with pytest.raises(error, match=message):
        DateEncoder().fit(table)


@pytest.mark.parametrize("parts", [[], ["year", "year"], ["year", "second"]])
def test_parts_are_checked(parts):
    with pytest.raises(
        ValueError, match=r"parts=\[.*\]: expected one or more different"
    ):
        DateEncoder(parts).fit([[0.0]])


def test_parameters_are_checked():
    with pytest.raises(InvalidParameterError, match="'parts' parameter"):
        DateEncoder("year").fit([[0.0]])
    with pytest.raises(InvalidParameterError, match="'split_fields' parameter"):
        DateEncoder(split_fields="yes").fit([[0.0]])


@pytest.mark.parametrize("number", [np.float16(3), Decimal("3.5"), np.int8(3)])
def test_numbers_of_any_type_among_objects_are_unix_time(number):
    X = pd.DataFrame({"seen": pd.Series([number, None], dtype=object)})
    names = DateEncoder(parts=["year", "weekday"]).fit(X).get_feature_names_out()
    assert names.tolist() == ["seen_year=1970", "seen_weekday=Thu"]
