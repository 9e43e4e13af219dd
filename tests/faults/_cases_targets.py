"""Targets that are wrong, or only unusual (row 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from _inputs import (
    CLASSIFIERS,
    MODELS,
    REGRESSORS,
    csr,
    make_model,
    outputs,
    parameters,
    target_of,
)
from _probe import Case, be_finite, equal, refuse
from sklearn.exceptions import DataConversionWarning

NAMES = {"any": MODELS, "regressor": REGRESSORS, "classifier": CLASSIFIERS}


def changed_at(place: int, value: Any, dtype: Any = None) -> Callable[[Any], Any]:
    """Return a function that changes one element of a copy."""

    def change(y: Any) -> Any:
        y = y.astype(dtype or y.dtype)
        y[place] = value
        return y

    return change


def _kinds(*labels: Any, dtype: Any = None) -> Callable[[Any], Any]:
    """Return a function that puts other labels in place of "no" and "yes"."""

    def change(y: Any) -> Any:
        out = np.array(labels, dtype=dtype)
        return out[(y == "yes").astype(int)]

    return change


def _as(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return kind


# Which models; name; what becomes of the target; what must happen in fit.
BAD_Y: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("regressor", "NaN", changed_at(2, np.nan), "y.*NaN"),
    ("regressor", "inf", changed_at(2, np.inf), "y.*infinity"),
    ("regressor", "-inf", changed_at(2, -np.inf), "y.*infinity"),
    (
        "any",
        "None among objects",
        changed_at(2, None, object),
        "(y|Input).*(NaN|nan|None)",
    ),
    (
        "any",
        "NaN among objects",
        changed_at(2, np.nan, object),
        "(y|Input).*(NaN|nan|None)",
    ),
    (
        "any",
        "pd.NA",
        lambda y: pd.Series(y).where(np.arange(len(y)) != 2, pd.NA),
        "(y|Input).*(NaN|nan|None)",
    ),
    ("regressor", "complex", lambda y: y.astype(complex), "Complex data not supported"),
    ("classifier", "complex", lambda y: (y == "yes") + 1j, "[Cc]omplex"),
    (
        "regressor",
        "text",
        lambda y: np.where(y > 3, "a", "b"),
        "y=.*A regressor expects",
    ),
    (
        "regressor",
        "longdouble beyond float64",
        changed_at(2, np.longdouble("1e400"), np.longdouble),
        "y.*(inf|too large)",
    ),
    (
        "regressor",
        "dates",
        lambda y: y.astype("datetime64[s]"),
        "y holds dates or durations",
    ),
    ("regressor", "lists", lambda y: [[1.0], [1.0, 2.0]] * 12, "y|inhomogeneous|shape"),
    ("any", "scalar", lambda y: y[0], "y|array|Singleton|iterable"),
    ("any", "a masked value", lambda y: _masked(y), "y, row 2: is masked"),
    ("any", "None", lambda y: None, "requires y to be passed"),
    ("any", "empty", lambda y: y[:0], "inconsistent numbers of samples"),
    ("any", "one row less", lambda y: y[1:], r"inconsistent.*\[24, 23\]"),
    (
        "any",
        "two columns",
        lambda y: np.column_stack([y, y]),
        r"y should be a 1d array",
    ),
    ("any", "three dimensions", lambda y: np.ones((24, 1, 1)), "dim 3"),
    ("any", "sparse", lambda y: sp.csr_matrix(np.ones((24, 1))), "[Ss]parse"),
    ("classifier", "continuous", lambda y: np.linspace(0, 1, 24), "Unknown label type"),
    (
        "classifier",
        "NaN",
        lambda y: changed_at(2, np.nan)((y == "yes") * 1.0),
        "y.*NaN",
    ),
    (
        "classifier",
        "inf",
        lambda y: changed_at(2, np.inf)((y == "yes") * 1.0),
        "y.*infinity",
    ),
    (
        "classifier",
        "unknown numbers",
        lambda y: np.zeros(24),
        "one class only|got class 0",
    ),
    ("classifier", "bytes", _kinds(b"no", b"yes"), "labels represented as bytes"),
    (
        "classifier",
        "bool objects",
        _kinds(False, True, dtype=object),
        "Unknown label type",
    ),
    ("classifier", "dictionaries", lambda y: [{}] * 24, "y|label"),
]
MIXED_Y = [
    ("text and number", changed_at(2, 1, object)),
    ("text and bool", changed_at(2, True, object)),
    ("text and bytes", changed_at(2, b"no", object)),
]
# Labels of two classes of any kind: as "no" and "yes", in their order.
LABELS: dict[str, Callable[[Any], Any]] = {
    "text": _as(lambda y: y),
    "objects": lambda y: y.astype(object),
    "bool": _kinds(False, True),
    "0 and 1": _kinds(0, 1),
    "5 and 9": _kinds(5, 9),
    "-1 and 1": _kinds(-1, 1),
    "floats": _kinds(1.0, 2.0),
    "float16": _kinds(1.0, 2.0, dtype=np.float16),
    "int8": _kinds(-128, 127, dtype=np.int8),
    "uint64": _kinds(0, 2**64 - 1, dtype=np.uint64),
    "int64 extremes": _kinds(-(2**63), 2**63 - 1),
    "big-endian": _kinds(1, 2, dtype=">i4"),
    "empty text": _kinds("", "yes"),
    "text with zeros": _kinds("a", "a\x00b"),
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "pandas": pd.Series,
    "pandas categorical": lambda y: pd.Series(y, dtype="category"),
    "pandas string": lambda y: pd.Series(y, dtype="string"),
    "pandas Int64": lambda y: pd.Series((y == "yes") * 1, dtype="Int64"),
    "pandas boolean": lambda y: pd.Series(y == "yes", dtype="boolean"),
    "pandas with an index": lambda y: pd.Series(y, index=range(100, 124)),
    "pandas arrow": lambda y: pd.Series(y, dtype=pd.ArrowDtype(pa.string())),
    "polars": pl.Series,
    "arrow": pa.array,
    "read-only": lambda y: read_only(y),
    "strided": lambda y: np.repeat(y, 3)[::3],
    "reversed": lambda y: y[::-1].copy()[::-1],
}
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda y: y.astype(np.float32),
    "float16": lambda y: y.astype(np.float16),
    "longdouble": lambda y: y.astype(np.longdouble),
    "int64": lambda y: y.astype(np.int64),
    "int8": lambda y: y.astype(np.int8),
    "uint8": lambda y: np.abs(y).astype(np.uint8),
    "bool": lambda y: y > 3,
    "objects": lambda y: y.astype(object),
    "big-endian": lambda y: y.astype(">f8"),
    "text of numbers": lambda y: y.astype(str),
    "list": lambda y: y.tolist(),
    "pandas": pd.Series,
    "pandas Float64": lambda y: pd.Series(y, dtype="Float64"),
    "polars": pl.Series,
    "arrow": pa.array,
    "read-only": lambda y: read_only(y),
    "masked": np.ma.masked_array,
}


def _masked(y: Any) -> Any:
    return np.ma.masked_array(y, np.arange(len(y)) == 2)


def read_only(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array


def fit_on(name: str, y: Any, **params: Any) -> Any:
    return make_model(name, **params).fit(csr(), y)


def _said(model: Any) -> Any:
    """Return what a classifier says, its classes as numbers."""
    out = outputs(model, csr())
    out["predict"] = np.searchsorted(model.classes_, out["predict"])
    return out


def _plain(name: str) -> Any:
    return _said(fit_on(name, target_of(name)))


def _of_targets() -> Iterator[Case]:
    for kind, what, change, message in BAD_Y:
        for name in NAMES[kind]:
            y = partial(_changed, name, change)
            must = refuse(message, (ValueError, TypeError))
            yield Case(3, f"y of {what}, {name}.fit", y, partial(fit_on, name), must)
            yield Case(
                3, f"y of {what}, {name}.partial_fit", y, partial(stream_on, name), must
            )
    for name in CLASSIFIERS:
        yield Case(
            3,
            f"y of one class, {name}.fit",
            lambda: np.full(24, "yes"),
            partial(fit_on, name),
            refuse("one class only, .'yes'"),
        )
    for what, change in MIXED_Y:
        for name in CLASSIFIERS:
            y = partial(_changed, name, change)
            must = refuse("y, row 2: got .*expected text as in row", TypeError)
            yield Case(3, f"y of {what}, {name}.fit", y, partial(fit_on, name), must)
    for what, change in LABELS.items():
        for name in CLASSIFIERS:
            yield Case(
                3,
                f"labels: {what}, {name}.fit",
                partial(_changed, name, change),
                lambda y, n=name: _said(fit_on(n, y)),
                equal(partial(_plain, name)),
            )
            yield Case(
                3,
                f"labels: {what}, {name}.classes_",
                partial(_changed, name, change),
                partial(_labels, name),
                equal(True),
            )
    for what, change in NUMBERS.items():
        for name in REGRESSORS:
            y = partial(_changed, name, change)
            yield Case(
                3,
                f"numbers: {what}, {name}.fit",
                y,
                lambda y, n=name: outputs(fit_on(n, y), csr()),
                equal(partial(_as_float, name, change), warning=None),
            )
    for name in MODELS:
        column = partial(_changed, name, lambda y: y[:, None])
        yield Case(
            3,
            f"y (n, 1), {name}.fit",
            column,
            lambda y, n=name: parameters(fit_on(n, y)),
            equal(
                lambda n=name: parameters(fit_on(n, target_of(n))),
                warning=DataConversionWarning,
            ),
        )


def _changed(name: str, change: Callable[[Any], Any]) -> Any:
    return change(target_of(name))


def _as_float(name: str, change: Callable[[Any], Any]) -> Any:
    y = np.asarray(change(target_of(name))).astype(np.float64)
    return outputs(fit_on(name, y), csr())


def stream_on(name: str, y: Any, **more: Any) -> Any:
    kinds = {} if name in REGRESSORS else {"classes": ["no", "yes"]}
    return make_model(name).partial_fit(csr(), y, **kinds, **more)


def _labels(name: str, y: Any) -> bool:
    """Tell whether the labels of y are the classes, and what is predicted."""
    model = fit_on(name, y)
    known = np.unique(np.asarray(y)).tolist()
    same = model.classes_.tolist() == known
    return same and set(model.predict(csr()).tolist()) <= set(known)


def _counts(name: str, y: Any, **where: Any) -> Any:
    """Fit a Poisson model to counts of rows that are all there, or weighted."""
    model = make_model(name, loss="poisson")
    return parameters(model.fit(csr(), y, **where))


def _stream_of_counts(name: str, y: Any) -> Any:
    model = make_model(name, loss="poisson")
    return parameters(model.partial_fit(csr(), y).partial_fit(csr(), y * 0))


def _half() -> Any:
    return np.arange(24.0) // 12


def _of_counts() -> Iterator[Case]:
    for name in REGRESSORS:
        none = refuse("y holds zeros only among the rows of positive sample_weight")
        first = {"sample_weight": np.arange(24) < 12}
        zeros = {"eval_set": (csr()[:3], np.zeros(3))}
        below = {"eval_set": (csr()[:3], -np.ones(3))}
        for what, make, act, must in (
            ("no count", lambda: np.zeros(24), partial(_counts, name), none),
            ("no count of weight", _half, partial(_counts, name, **first), none),
            ("below 0", lambda: -_half(), partial(_counts, name), refuse("y, row 12")),
            ("none to stop by", _half, partial(_counts, name, **zeros), be_finite()),
            (
                "below 0 to stop by",
                _half,
                partial(_counts, name, **below),
                refuse("row 0: got -1.0, expected a value >= 0"),
            ),
            ("none in a batch", _half, partial(_stream_of_counts, name), be_finite()),
        ):
            yield Case(3, f"counts: {what}, {name}", make, act, must)


def cases() -> Iterator[Case]:
    """Return the cases of row 3."""
    yield from _of_targets()
    yield from _of_counts()
