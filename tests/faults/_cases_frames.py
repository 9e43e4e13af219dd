"""Data frames given to the estimators (rows 1, 8, 9, 10 and 12)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from _inputs import make_model, outputs, target_of
from _probe import Case, Must, be_finite, equal, refuse

from skwfm._compose import TAKES_ARROW

BAD = (ValueError, TypeError)
N = 24


def films(**changes: Any) -> Callable[[], Any]:
    """Return what makes a frame of a column of every kind, with other columns."""

    def make() -> Any:
        frame = pd.DataFrame(
            {
                "tags": [["a"], ["b", "c"], None, ["a", "a"]] * 6,
                "country": ["x", "y", "z"] * 8,
                "year": np.where(np.arange(N) % 5, np.arange(N) / 2, np.nan),
                "seen": pd.date_range("2020-01-01", periods=N, freq="40D"),
            }
        )
        return frame.assign(**changes)

    return make


def other(change: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return what makes a changed frame."""
    return lambda: change(films()())


def _cell(name: str, value: Any) -> Callable[[], Any]:
    def make() -> Any:
        frame = films()()
        column = frame[name].astype(object).tolist()
        column[1] = value
        return frame.assign(**{name: pd.Series(column, dtype=object)})

    return make


def _twice(frame: Any) -> Any:
    return frame.set_axis(list("aabc"), axis=1)


def _rows(frame: Any) -> Any:
    return frame.to_numpy().tolist()


def _days(frame: Any) -> Any:
    return frame.assign(seen=frame["seen"].dt.date)


def _arrow_text(frame: Any) -> Any:
    return frame.astype({"country": pd.ArrowDtype(pa.string())})


def _each(kind: Callable[[Any], Any], frame: Any) -> Any:
    tags = [None if cell is None else kind(cell) for cell in frame["tags"]]
    return frame.assign(tags=tags)


# Of both kinds of pairs and of targets: encoding takes most of the time.
NAMES = ("FMRegressor", "FFMClassifier")
AT = "Column '{}', row 1: got "
# Row of the page, name, frame, what must happen in fit, in predict.
SAME = object()
LINES: list[tuple[int, str, Callable[[], Any], Any, Any]] = [
    (1, "inf", _cell("year", np.inf), AT.format("year"), AT.format("year")),
    (1, "a weight of NaN", _cell("tags", [("a", np.nan)]), "tags", "tags"),
    (1, "a missing number", _cell("year", None), be_finite(), be_finite()),
    (1, "a missing text", _cell("country", None), be_finite(), be_finite()),
    (1, "a missing date", _cell("seen", pd.NaT), be_finite(), be_finite()),
    (1, "pd.NA for a text", _cell("country", pd.NA), be_finite(), be_finite()),
    (1, "a column of None", films(year=None), be_finite(), be_finite()),
    (10, "text among lists", _cell("tags", "a"), AT.format("tags"), AT.format("tags")),
    (10, "a list in a list", _cell("tags", [["a"]]), AT.format("tags"), None),
    (10, "1 and '1'", _cell("tags", [1, "1"]), AT.format("tags"), AT.format("tags")),
    (10, "text among dates", _cell("seen", "2020"), AT.format("seen"), None),
    (10, "text for a number", _cell("year", "x"), None, AT.format("year")),
    (10, "a list for a number", _cell("year", [1.0]), None, AT.format("year")),
    (10, "a list for a text", _cell("country", ["x"]), None, AT.format("country")),
    (10, "a time of day", films(t=datetime.time(1)), "'t' holds durations", None),
    (10, "durations", films(t=pd.Timedelta(1, "s")), "'t' holds durations", None),
    (9, "unknown labels", films(country="new", tags=[["z"]] * N), None, be_finite()),
    (8, "no rows", other(lambda f: f[:0]), "0 sample|inconsistent", "0 sample"),
    (8, "no columns", other(lambda f: f[[]]), "0 feature|at least", "X has 0 features"),
    (8, "a column less", other(lambda f: f.drop(columns="seen")), None, "- seen"),
    (8, "a column more", films(z=1.0), None, "unseen at fit time.*- z"),
    (8, "reordered", other(lambda f: f[f.columns[::-1]]), None, "in the same order"),
    (
        8,
        "a name twice",
        other(_twice),
        "'a' occurs twice",
        "'a' occurs twice",
    ),
    (
        8,
        "a list of rows",
        other(_rows),
        "sequence|convert|inhom",
        None,
    ),
    (8, "a dictionary", other(lambda f: f.to_dict("list")), "2D|array|dict", None),
    (12, "polars", other(pl.from_pandas), SAME, SAME),
    (12, "an index", other(lambda f: f.set_axis(range(100, 100 + N))), SAME, SAME),
    (12, "an index that repeats", other(lambda f: f.set_axis([0] * N)), SAME, SAME),
    (12, "categorical", other(lambda f: f.astype({"country": "category"})), SAME, SAME),
    (12, "string", other(lambda f: f.astype({"country": "string"})), SAME, SAME),
    (12, "text of objects", other(lambda f: f.astype({"country": object})), SAME, SAME),
    (12, "Float64", other(lambda f: f.astype({"year": "Float64"})), SAME, SAME),
    (12, "numbers of objects", other(lambda f: f.astype({"year": object})), SAME, SAME),
    (
        12,
        "dates of objects",
        other(_days),
        SAME,
        SAME,
    ),
    (
        12,
        "Arrow text",
        other(_arrow_text),
        SAME,
        SAME,
    ),
    (12, "tuples", other(partial(_each, tuple)), SAME, SAME),
    (12, "arrays", other(partial(_each, np.array)), SAME, SAME),
]
if TAKES_ARROW:
    LINES.append((12, "Arrow", other(pa.Table.from_pandas), SAME, SAME))


def _fit(name: str, X: Any) -> Any:
    model = make_model(name, fields="auto").fit(X, target_of(name)[:N])
    return outputs(model, X)


def _predict(name: str, X: Any) -> Any:
    return outputs(_fitted(name), X)


@cache
def _fitted(name: str) -> Any:
    return make_model(name, fields="auto").fit(films()(), target_of(name))


def cases() -> Iterator[Case]:
    """Return the cases of data frames."""
    for row, what, make, in_fit, in_predict in LINES:
        for name in NAMES:
            for way, act, expected in (
                ("fit", partial(_fit, name), in_fit),
                ("predict", partial(_predict, name), in_predict),
            ):
                if expected is None:
                    continue
                must: Must = expected
                if expected is SAME:
                    must = equal(lambda n=name: _predict(n, films()()))
                elif isinstance(expected, str):
                    must = refuse(expected, BAD)
                yield Case(row, f"frame: {what}, {name}.{way}", make, act, must)
