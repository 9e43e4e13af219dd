"""Weights of rows and of classes (row 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from _cases_targets import changed_at, fit_on, read_only, stream_on
from _inputs import (
    CLASSIFIERS,
    MODELS,
    N_ROWS,
    REGRESSORS,
    csr,
    make_model,
    parameters,
    target_of,
)
from _probe import Case, equal, refuse

BAD_WEIGHTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("NaN", changed_at(2, np.nan), "sample_weight.*NaN"),
    ("inf", changed_at(2, np.inf), "sample_weight.*infinity"),
    (
        "negative",
        changed_at(2, -0.5),
        "sample_weight.*[Nn]egative|[Nn]egative.*sample_weight",
    ),
    ("-inf", changed_at(2, -np.inf), "sample_weight.*infinity"),
    (
        "a masked value",
        lambda w: np.ma.masked_array(w, np.arange(len(w)) == 2),
        "sample_weight, row 2: is masked",
    ),
    (
        "all zero",
        lambda w: w * 0,
        "sample_weight is zero for every row|at least one non-zero",
    ),
    ("one less", lambda w: w[1:], r"sample_weight.shape == \(23,\), expected \(24,\)"),
    ("one more", lambda w: np.ones(25), r"sample_weight.shape == \(25,\)"),
    ("empty", lambda w: w[:0], r"sample_weight|array with 0 sample"),
    ("two columns", lambda w: np.ones((24, 2)), "[Ss]ample.?weight"),
    ("a column", lambda w: w[:, None], "[Ss]ample.?weight.*1D"),
    ("text", lambda w: np.array(["a"] * 24), "could not convert|sample_weight"),
    ("text of a name", lambda w: "balanced", "could not convert|sample_weight"),
    ("None among objects", changed_at(2, None, object), "NaN|NoneType"),
    ("complex", lambda w: w + 1j, "[Cc]omplex"),
    ("dictionary", lambda w: {0: 1.0}, "sample_weight|float|dict"),
    ("lists", lambda w: [[1.0], [1.0, 2.0]] * 12, "inhomogeneous|sequence"),
    ("sum beyond float64", lambda w: w * 0 + 1e308, "sample_weight.*sums to inf"),
    ("sparse", lambda w: sp.csr_matrix(w), "[Ss]parse"),
]
WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda w: w.astype(np.float32),
    "int": lambda w: w.astype(int),
    "uint8": lambda w: w.astype(np.uint8),
    "objects": lambda w: w.astype(object),
    "list": lambda w: w.tolist(),
    "pandas": pd.Series,
    "pandas Float64": lambda w: pd.Series(w, dtype="Float64"),
    "polars": pl.Series,
    "arrow": pa.array,
    "read-only": read_only,
    "big-endian": lambda w: w.astype(">f8"),
    "strided": lambda w: np.repeat(w, 2)[::2],
}
BAD_CLASS_WEIGHTS: list[tuple[str, Any, str]] = [
    ("negative", {"no": 1.0, "yes": -1.0}, "class_weight of class 'yes' is -1.0"),
    ("NaN", {"no": np.nan, "yes": 1.0}, "class_weight of class 'no' is nan"),
    ("inf", {"no": np.inf, "yes": 1.0}, "class_weight of class 'no' is inf"),
    ("zero", {"no": 0.0, "yes": 0.0}, "class_weight|one class only"),
    ("one zero", {"no": 0.0, "yes": 1.0}, "one class only among the rows"),
    ("text", {"no": "a", "yes": 1.0}, "could not convert|class_weight"),
    ("unknown label", {"no": 1.0, "maybe": 2.0}, "'yes'.* not in class_weight"),
    ("a name", "balance", "'class_weight' parameter"),
    ("a number", 2.0, "'class_weight' parameter"),
]


def _ones() -> Any:
    return 1.0 + np.arange(N_ROWS) % 3


def _of_weights() -> Iterator[Case]:
    for what, change, message in BAD_WEIGHTS:
        for name in MODELS:
            make = lambda c=change: c(_ones())  # noqa: E731
            must = refuse(message, (ValueError, TypeError))
            yield Case(
                4,
                f"sample_weight: {what}, {name}.fit",
                make,
                partial(_weighted, name),
                must,
            )
            yield Case(
                4,
                f"sample_weight: {what}, {name}.partial_fit",
                make,
                lambda w, n=name: stream_on(n, target_of(n), sample_weight=w),
                must,
            )
    for what, change in WEIGHTS.items():
        for name in MODELS:
            yield Case(
                4,
                f"sample_weight: {what}, {name}.fit",
                lambda c=change: c(_ones()),
                partial(_weighted, name),
                equal(lambda n=name: _weighted(n, _ones())),
            )
    for name in MODELS:
        for solver in ("auto", "adagrad", "adam"):
            yield Case(
                4,
                f"zero weights are removed rows, {name}.fit {solver}",
                lambda: _ones() * (np.arange(N_ROWS) % 4 > 0),
                partial(_weighted, name, solver=solver),
                equal(partial(_removed, name, solver)),
            )
        yield Case(
            4,
            f"zero weights are removed rows, {name}.partial_fit",
            lambda: _ones() * (np.arange(N_ROWS) % 4 > 0),
            lambda w, n=name: parameters(stream_on(n, target_of(n), sample_weight=w)),
            equal(partial(_removed_from_stream, name)),
        )
    for what, given, message in BAD_CLASS_WEIGHTS:
        for name in CLASSIFIERS:
            must = refuse(message, (ValueError, TypeError))
            yield Case(
                4,
                f"class_weight: {what}, {name}.fit",
                lambda g=given: g,
                lambda g, n=name: fit_on(n, target_of(n), class_weight=g),
                must,
            )


def _weighted(name: str, weights: Any, **params: Any) -> Any:
    model = make_model(name, **params)
    model.fit(csr(), target_of(name), sample_weight=weights)
    return parameters(model)


def _removed(name: str, solver: str) -> Any:
    kept = np.arange(N_ROWS) % 4 > 0
    model = make_model(name, solver=solver)
    model.fit(csr()[kept], target_of(name)[kept], sample_weight=_ones()[kept])
    return parameters(model)


def _removed_from_stream(name: str) -> Any:
    kept = np.arange(N_ROWS) % 4 > 0
    kinds = {} if name in REGRESSORS else {"classes": ["no", "yes"]}
    model = make_model(name)
    model.partial_fit(
        csr()[kept], target_of(name)[kept], sample_weight=_ones()[kept], **kinds
    )
    return parameters(model)


def cases() -> Iterator[Case]:
    """Return the cases of row 4."""
    yield from _of_weights()
