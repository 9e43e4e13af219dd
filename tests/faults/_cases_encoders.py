"""The encoders: shapes and names (8), containers (12), cells (1, 2, 10)."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from _probe import Case, be_finite, equal, refuse
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import OneHotEncoder

from skwfm import (
    DateEncoder,
    FieldTransformer,
    HistoryEncoder,
    SplineEncoder,
    WeightedMultiLabelEncoder,
)

BAD = (ValueError, TypeError)
N = 6


def _numbers() -> Any:
    return pd.DataFrame({"a": np.arange(float(N)), "b": np.arange(float(N)) ** 2})


def _dates() -> Any:
    days = pd.date_range("2020-01-01", periods=N, freq="37D")
    return pd.DataFrame({"a": days, "b": days[::-1]})


def labels() -> Any:
    return pd.DataFrame({"a": list("xyxyzx"), "b": list("uvwuvw")})


# Every encoder with a good frame of two columns.
ENCODERS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "WeightedMultiLabelEncoder": (WeightedMultiLabelEncoder, labels),
    "HistoryEncoder": (HistoryEncoder, labels),
    "SplineEncoder": (SplineEncoder, _numbers),
    "DateEncoder": (DateEncoder, _dates),
    "FieldTransformer": (FieldTransformer, labels),
    "FieldTransformer of two": (
        lambda: FieldTransformer(
            [
                ("one", OneHotEncoder(), ["a"]),
                ("bag", WeightedMultiLabelEncoder(), ["b"]),
            ]
        ),
        labels,
    ),
}
# What becomes of the good frame; the message in fit, and that in transform; None: it
# is none there.
SHAPES: list[tuple[str, Callable[[Any], Any], str | None, str | None]] = [
    ("no rows", lambda f: f[:0], "0 sample", None),
    ("no columns", lambda f: f[[]], "0 feature|at least|column", "feature|at least"),
    ("3-D", lambda f: np.ones((N, 2, 2)), "dim 3|3D|2D", "dim 3|3D|2D"),
    ("0-D", lambda f: np.array(1.0), "2D", "2D"),
    ("None", lambda f: None, "None|2D|array", "None|2D|array"),
    ("text", lambda f: "abc", "2D|expected|float: .abc", "2D|expected|float: .abc"),
    ("a dict", lambda f: {"a": [1.0]}, "2D|expected|dict", "2D|expected|dict"),
    ("a set", lambda f: {1.0, 2.0}, "2D|expected|set", "2D|expected|set"),
    ("a number", lambda f: 3.0, "2D|expected", "2D|expected"),
    (
        "sparse",
        lambda f: sp.csr_matrix(np.ones((N, 2))),
        "[Ss]parse|only supported for dataframes",
        "[Ss]parse|names|columns",
    ),
    (
        "complex",
        lambda f: np.ones((N, 2)) * 1j,
        "[Cc]omplex|number|date",
        "omplex|number|date|names|columns",
    ),
    (
        "masked",
        lambda f: np.ma.masked_array(np.ones((N, 2)), np.eye(N, 2) > 0),
        "X, row 0, column 0: is masked, expected a value",
        "X, row 0, column 0: is masked, expected a value",
    ),
    ("a column less", lambda f: f[["a"]], None, "missing|b"),
    ("renamed", lambda f: f.rename(columns={"b": "c"}), None, "missing|unseen|b"),
    (
        "a column twice",
        lambda f: f.set_axis(["a", "a"], axis=1),
        "a.* twice|nique|uplicate",
        "a|twice|nique|uplicate",
    ),
]


def _fit(make: Callable[[], Any], X: Any) -> Any:
    return make().fit_transform(X)


def _later(make: Callable[[], Any], good: Callable[[], Any], X: Any) -> Any:
    return make().fit(good()).transform(X)


def _of_shapes() -> Iterator[Case]:
    for name, (make, good) in ENCODERS.items():
        for what, change, in_fit, in_transform in SHAPES:
            # It selects its columns by name.
            if (
                what in ("a column less", "renamed")
                and name == "FieldTransformer of two"
            ):
                in_fit = "not a column|not in|columns"
            if name == "FieldTransformer of two" and what == "no rows":
                in_transform = "0 sample"  # says its OneHotEncoder
            if name == "HistoryEncoder" and what == "a column less":
                in_fit = "1 feature"
            for way, message, act in (
                ("fit", in_fit, partial(_fit, make)),
                ("transform", in_transform, partial(_later, make, good)),
            ):
                must = be_finite() if message is None else refuse(message, BAD)
                yield Case(
                    8,
                    f"{what}, {name}.{way}",
                    lambda g=good, c=change: c(g()),
                    act,
                    must,
                )
        yield Case(
            8,
            f"unfitted, {name}.transform",
            good,
            lambda X, m=make: m().transform(X),
            refuse("not fitted", NotFittedError),
        )
        yield Case(
            8,
            f"unfitted, {name}.get_feature_names_out",
            good,
            lambda X, m=make: m().get_feature_names_out(),
            refuse("not fitted", NotFittedError),
        )
        yield Case(
            8,
            f"columns reordered, {name}.transform",
            lambda g=good: g()[["b", "a"]],
            partial(_later, make, good),
            equal(partial(_good, make, good))
            if "FieldTransformer" in name
            else refuse("same order"),
        )
        yield Case(
            8,
            f"names of two kinds, {name}.fit",
            lambda g=good: g().set_axis(["a", 1], axis=1),
            partial(_fit, make),
            refuse("string names|not a column|columns", BAD),
        )
        for kind, wrap in (("polars", pl.from_pandas), ("Arrow", pa.Table.from_pandas)):
            yield Case(
                12,
                f"{kind}, {name}",
                lambda g=good, w=wrap: w(g()),
                partial(_fit, make),
                equal(partial(_good, make, good)),
            )
            yield Case(
                12,
                f"{kind} after pandas, {name}.transform",
                lambda g=good, w=wrap: w(g()),
                partial(_later, make, good),
                equal(partial(_good, make, good)),
            )
        yield Case(
            12,
            f"numpy objects, {name}",
            lambda g=good: g().set_axis([0, 1], axis=1).to_numpy(object),
            lambda X, m=make: m().fit_transform(X).toarray(),
            equal(lambda m=make, g=good: _good(m, g).toarray())
            if "of two" not in name
            else refuse("string|columns", BAD),
        )
        yield Case(
            8,
            f"an index that repeats, {name}",
            lambda g=good: g().set_axis([1] * N),
            partial(_fit, make),
            equal(partial(_good, make, good)),
        )


def _good(make: Callable[[], Any], good: Callable[[], Any]) -> Any:
    return make().fit_transform(good())


def _column(*cells: Any, dtype: Any = object) -> Callable[[], Any]:
    return lambda: pd.DataFrame({"a": pd.Series(list(cells), dtype=dtype)})


# Encoder, row of the page, name, cells, message. The bad cell is in row 1.
CELLS: list[tuple[str, int, str, Callable[[], Any], str]] = [
    (
        "SplineEncoder",
        1,
        "inf",
        _column(1.0, np.inf, 2.0, dtype=float),
        "row 1: got inf",
    ),
    ("SplineEncoder", 1, "-inf", _column(1.0, -np.inf, dtype=float), "row 1: got -inf"),
    ("SplineEncoder", 1, "inf among objects", _column(1, np.inf), "row 1: got inf"),
    ("SplineEncoder", 10, "text", _column(1.0, "x"), "row 1: got 'x'"),
    ("SplineEncoder", 10, "a list", _column(1.0, [1.0]), r"row 1: got \[1.0\]"),
    ("SplineEncoder", 10, "a dict", _column(1.0, {}), "row 1: got {}"),
    ("SplineEncoder", 10, "complex", _column(1.0, 1j), "row 1: got 1j|[Cc]omplex"),
    ("SplineEncoder", 10, "huge int", _column(1.0, 10**400), "row 1: got 1000|large"),
    ("SplineEncoder", 10, "dates", lambda: _dates(), "dates or durations"),
    (
        "SplineEncoder",
        10,
        "durations",
        lambda: _dates() - pd.Timestamp("2020"),
        "durations",
    ),
    (
        "SplineEncoder",
        10,
        "a date",
        _column(1.0, datetime.date(2020, 1, 1)),
        "row 1: got",
    ),
    (
        "DateEncoder",
        10,
        "text",
        _column(datetime.date(2020, 1, 1), "x"),
        "row 1: got 'x'",
    ),
    (
        "DateEncoder",
        10,
        "text of a date",
        _column(datetime.date(2020, 1, 1), "2020-01-01"),
        "row 1: got '2020",
    ),
    (
        "DateEncoder",
        10,
        "a number",
        _column(datetime.date(2020, 1, 1), 3),
        "row 1: got 3",
    ),
    (
        "DateEncoder",
        10,
        "a list",
        _column(datetime.date(2020, 1, 1), []),
        r"row 1: got \[\]",
    ),
    (
        "DateEncoder",
        10,
        "bool",
        _column(datetime.date(2020, 1, 1), True),
        "row 1: got True",
    ),
    (
        "DateEncoder",
        10,
        "a time of day",
        _column(datetime.date(2020, 1, 1), datetime.time(1)),
        "row 1: got",
    ),
    (
        "DateEncoder",
        10,
        "a duration",
        _column(datetime.date(2020, 1, 1), datetime.timedelta(1)),
        "row 1: got",
    ),
    ("DateEncoder", 1, "inf", _column(1.0, np.inf, dtype=float), "row 1: got inf"),
    ("DateEncoder", 1, "inf among objects", _column(1.0, np.inf), "row 1: got inf"),
    ("DateEncoder", 10, "1e300", _column(1.0, 1e300, dtype=float), "row 1: got 1e.300"),
    ("DateEncoder", 10, "int of 400 digits", _column(1, 10**400), "row 1: got 1000"),
    ("DateEncoder", 10, "complex", _column(1, 1j), "row 1: got 1j"),
    (
        "FieldTransformer",
        10,
        "durations",
        lambda: _dates() - pd.Timestamp("2020"),
        "'a' holds durations",
    ),
    (
        "FieldTransformer",
        10,
        "text among lists",
        _column(["x"], "x"),
        "row 1: got 'x'",
    ),
    (
        "FieldTransformer",
        1,
        "inf",
        lambda: _column(1.0, np.inf, dtype=float)().assign(b="x"),
        "row 1: got inf",
    ),
]
HISTORY: list[tuple[int, str, Any, str]] = [
    (10, "a list of two", ["x", "y"], "row 1: got .*a single label"),
    (10, "a weight", {"x": 2.0}, "row 1: got .*a single label|like the other"),
    (10, "a list", ["x"], "row 1: got .*like the other"),
    (10, "text and bytes", b"x", ""),
]


def _of_cells() -> Iterator[Case]:
    for name, row, what, make, message in CELLS:
        encoder = ENCODERS[name][0]
        yield Case(
            row,
            f"{what}, {name}.fit",
            make,
            partial(_fit, encoder),
            refuse(message, BAD),
        )
    for place in ("owner", "item"):
        for row, what, cell, message in HISTORY:

            def make(p: str = place, c: Any = cell) -> Any:
                frame = labels().astype(object)
                frame.at[1, "a" if p == "owner" else "b"] = c
                return frame

            must = refuse(message, BAD) if message else be_finite()
            yield Case(
                row,
                f"{what} as {place}, HistoryEncoder.fit",
                make,
                partial(_fit, HistoryEncoder),
                must,
            )
            yield Case(
                row,
                f"{what} as {place}, HistoryEncoder.transform",
                make,
                partial(_later, HistoryEncoder, labels),
                must,
            )
    for missing in (None, np.nan, pd.NA, pd.NaT):
        for name in ("SplineEncoder", "DateEncoder"):
            good = (
                [1.0, 2.0]
                if name == "SplineEncoder"
                else [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 2, 3)]
            )
            yield Case(
                1,
                f"a missing cell {missing!r} is an empty bag, {name}",
                _column(good[0], missing, good[1]),
                lambda X, n=name: ENCODERS[n][0]().fit_transform(X).toarray()[1].sum(),
                equal(0.0),
            )
            yield Case(
                1,
                f"only missing cells {missing!r}, {name}",
                _column(missing, missing),
                lambda X, n=name: ENCODERS[n][0]().fit_transform(X).toarray(),
                equal(np.zeros((2, 0))),
            )
    for what, cells in {
        "one number": [3.0],
        "equal numbers": [3.0, 3.0],
        "1e308 and -1e308": [-1e308, 0.0, 1e308],
        "5e-324": [0.0, 5e-324, 1.0],
        "next to each other": [1.0, np.nextafter(1.0, 2.0), 2.0],
        "int64 extremes": [-(2**63), 0, 2**63 - 1],
        "2e308 of longdouble": [np.longdouble("1e300"), 1.0],
        "Decimals": [decimal.Decimal("1.5"), decimal.Decimal(2)],
        "bools": [True, False],
    }.items():
        for knots in ("quantile", "uniform"):
            for degree in (0, 1, 3):
                yield Case(
                    2,
                    f"{what}, SplineEncoder {knots} of degree {degree}",
                    _column(*cells * 3),
                    partial(_spline, knots, degree),
                    equal(True),
                )


def _spline(knots: str, degree: int, X: Any) -> bool:
    """Tell whether the weights of each number are a partition of one."""
    out = SplineEncoder(4, degree, knots=knots).fit_transform(X).toarray()
    return bool(np.allclose(out.sum(1), 1, atol=1e-5) and (out >= -1e-6).all())


def cases() -> Iterator[Case]:
    """Return the cases of the encoders."""
    yield from _of_shapes()
    yield from _of_cells()
