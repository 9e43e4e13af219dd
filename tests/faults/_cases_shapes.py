"""Sizes (row 7), shapes and names (row 8)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from _inputs import (
    MODELS,
    N_COLUMNS,
    WAYS,
    csr,
    field_csr,
    fitted,
    make_model,
    outputs,
    parameters,
    target_of,
    values,
)
from _probe import Case, be_finite, equal, refuse
from sklearn.exceptions import NotFittedError

from skwfm import FieldCSR, hstack
from skwfm._fields import FieldMapWarning

BAD = (ValueError, TypeError)
NAMES = list("abcdef")
# What is wrong with X; what makes it; the message in fit, and that in predict.
SHAPES: list[tuple[str, Callable[[], Any], str, str]] = [
    ("1-D", lambda: np.ones(6), "Expected 2D array", "Expected 2D array"),
    ("3-D", lambda: np.ones((24, 6, 1)), "dim 3", "dim 3"),
    ("0-D", lambda: np.array(1.0), "Expected 2D array", "Expected 2D array"),
    ("no rows", lambda: np.ones((0, 6)), "0 sample", "0 sample"),
    ("no rows, CSR", lambda: sp.csr_matrix((0, 6)), "0 sample", "0 sample"),
    ("no columns", lambda: np.ones((24, 0)), "0 feature", "0 feature"),
    ("no columns, CSR", lambda: sp.csr_matrix((24, 0)), "0 feature", "0 feature"),
    ("no cells at all", lambda: np.ones((0, 0)), "0 (sample|feature)", "0 "),
    ("empty list", list, "2D array|0 sample", "2D array|0 sample"),
    ("None", lambda: None, "2D array|NoneType", "2D array|NoneType"),
    ("text", lambda: "abc", "2D array|text|str", "2D array|text|str"),
    ("a number", lambda: 3.0, "2D array", "2D array"),
    ("ragged list", lambda: [[1.0], [1.0, 2.0]] * 12, "inhomogen", "inhomogen"),
    ("text in an array", lambda: np.full((24, 6), "a"), "convert|text|str", "convert"),
    ("text in a list", lambda: [["a"] * 6] * 24, "convert|text|str", "convert"),
    ("dictionaries", lambda: [{"a": 1}] * 24, "2D array|dict", "2D array|dict"),
    ("complex", lambda: values() + 1j, "Complex data", "Complex data"),
    ("complex CSR", lambda: csr().astype(complex), "Complex data", "Complex data"),
    (
        "dates",
        lambda: np.zeros((24, 6), "datetime64[s]"),
        "X holds dates",
        "X holds dates",
    ),
    (
        "durations",
        lambda: np.zeros((24, 6), "timedelta64[s]"),
        "X holds dates",
        "X holds dates",
    ),
    ("too few columns", lambda: values()[:, :5], "fields=", "X has 5 features, but"),
    (
        "too many columns",
        lambda: hstack([values(), values()[:, :1]]),
        "fields=",
        "X has 7 features, but",
    ),
    ("too few columns, CSR", lambda: csr()[:, :5], "fields=", "X has 5 features, but"),
    (
        "more columns than int32",
        lambda: sp.csr_matrix((24, 2**31)),
        "X has 2147483648 columns, expected at most 2147483647",
        "X has 2147483648 columns, expected at most 2147483647",
    ),
    (
        "more columns than fit in memory",
        lambda: sp.csr_matrix((24, 2**50)),
        "X has 1125899906842624 columns, expected at most",
        "X has 1125899906842624 columns, expected at most",
    ),
]


def _frame(names: Any = NAMES, kind: Callable[[Any], Any] = lambda f: f) -> Any:
    return kind(pd.DataFrame(values()[:, : len(names)], columns=list(names)))


# A frame that is not that of fit, whose columns are a to f.
FRAMES: list[tuple[str, Callable[[], Any], str]] = [
    ("reordered", lambda: _frame("bacdef"), "must be in the same order"),
    ("renamed", lambda: _frame("abcdex"), "unseen at fit time.*- x"),
    ("a column less", lambda: _frame("abcde"), "seen at fit time.*missing.*- f"),
    (
        "a column more",
        lambda: _frame()[[*NAMES, "a"]].set_axis([*NAMES, "g"], axis=1),
        "unseen at fit time.*- g",
    ),
    ("upper case", lambda: _frame("ABCDEF"), "unseen at fit time"),
    ("a column twice", lambda: _frame("aacdef"), "column 'a' occurs twice"),
    ("reordered, polars", lambda: _frame("bacdef", pl.from_pandas), "the same order"),
    ("reordered, Arrow", lambda: _frame("bacdef", pa.Table.from_pandas), "same order"),
    (
        "names of two kinds",
        lambda: _frame(["a", "b", "c", "d", "e", 1]),
        "only supported if all input features have string names",
    ),
]


def _of_shapes() -> Iterator[Case]:
    for what, make, in_fit, in_predict in SHAPES:
        for name in MODELS:
            for way in ("fit", "partial_fit", "predict"):
                message = in_predict if way == "predict" else in_fit
                row = 7 if "more columns than" in what else 8
                yield Case(
                    row,
                    f"{what}, {name}.{way}",
                    make,
                    partial(_at, way, name),
                    refuse(message, BAD),
                )
    for name in MODELS:
        for what, make, message in FRAMES:
            yield Case(
                8,
                f"columns {what}, {name}.predict",
                make,
                lambda X, n=name: _of_frame(n).predict(X),
                refuse(message, BAD),
            )
        yield Case(
            8,
            f"names of two kinds, {name}.fit",
            FRAMES[-1][1],
            partial(_at, "fit", name),
            refuse("string names", TypeError),
        )
        yield Case(
            8,
            f"a column twice, {name}.fit",
            lambda: _frame("aacdef"),
            partial(_at, "fit", name),
            refuse("column 'a' occurs twice"),
        )
        yield Case(
            8,
            f"a column twice, {name}.partial_fit",
            lambda: _frame("aacdef"),
            partial(further, name, {}, target_of(name)),
            refuse("column 'a' occurs twice"),
        )
        yield Case(
            8,
            f"names that are numbers, {name}.fit",
            lambda: _frame(range(6)),
            partial(_at, "fit", name),
            equal(partial(_fit_values, name)),
        )
        yield Case(
            8,
            f"no names in predict, {name}",
            values,
            lambda X, n=name: _of_frame(n).predict(X),
            equal(lambda n=name: _of_frame(n).predict(_frame()), warning=UserWarning),
        )
        for method in _methods(name):
            yield Case(
                8,
                f"unfitted, {name}.{method}",
                csr,
                lambda X, n=name, m=method: getattr(make_model(n), m)(X),
                refuse("is not fitted yet", NotFittedError),
            )
        yield Case(
            8,
            f"unfitted, {name}.module_",
            csr,
            lambda _, n=name: make_model(n).module_,
            refuse("is not fitted yet", (NotFittedError, AttributeError)),
        )
        yield Case(
            8,
            f"after a fit that failed, {name}.predict",
            csr,
            partial(_failed_fit, name),
            refuse("is not fitted yet", NotFittedError),
        )


def _at(way: str, name: str, X: Any) -> Any:
    if way == "predict":
        return WAYS[way](name, X)
    model = make_model(name)
    if way == "fit":
        return parameters(model.fit(X, target_of(name)))
    kinds = {} if "Regressor" in name else {"classes": ["no", "yes"]}
    return parameters(model.partial_fit(X, target_of(name), **kinds))


def _of_frame(name: str) -> Any:
    return make_model(name).fit(_frame(), target_of(name))


def _fit_values(name: str) -> Any:
    return parameters(make_model(name).fit(values(), target_of(name)))


def _failed_fit(name: str, X: Any) -> Any:
    """Predict by a model whose second fit failed."""
    model = make_model(name).fit(X, target_of(name))
    try:
        model.fit(X, target_of(name)[:-1])
    except ValueError:
        return model.predict(X)
    return None


def _methods(name: str) -> list[str]:
    more = ("decision_function", "predict_proba", "predict_log_proba")
    return ["predict", *(more if "Classifier" in name else ())]


# --- small and odd sizes ------------------------------------------------------------


# Fitted arrays that somebody has replaced.
CHANGED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("factors_", lambda a: a[:2], "factors_ has shape"),
    ("factors_", lambda a: a[..., None], "factors_ has shape"),
    ("factors_", lambda a: np.concatenate([a, a]), "factors_ has shape"),
    ("coef_", lambda a: a[:3], "coef_ has shape"),
    ("coef_", lambda a: a[:, None], "coef_ has shape"),
    ("fields_", lambda a: a[:2], "factors_ has shape"),
    ("fields_", lambda a: a + 100, "fields_ holds 100 to 102"),
    ("fields_", lambda a: a - 1, "fields_ holds -1 to 1"),
    ("intercept_", lambda a: np.zeros(2), "factors_ has shape"),
]


def _of_changed() -> Iterator[Case]:
    for name in MODELS:
        for number, (attribute, change, message) in enumerate(CHANGED):
            for doing, act in (
                ("predict", lambda m: m.predict(csr())),
                ("module_", lambda m: m.module_),
            ):
                yield Case(
                    5,
                    f"fitted {attribute} changed ({number}), {name}.{doing}",
                    csr,
                    lambda X, n=name, a=attribute, c=change, f=act: f(_with(n, a, c)),
                    refuse(message),
                )


def _with(name: str, attribute: str, change: Callable[[Any], Any]) -> Any:
    model = copy.copy(fitted(name))
    setattr(model, attribute, change(getattr(model, attribute)))
    return model


def _empty_rows() -> Any:
    return sp.csr_matrix((24, N_COLUMNS))


def _of_sizes() -> Iterator[Case]:
    for name in MODELS:
        y = partial(target_of, name)
        for solver in ("auto", "adagrad", "sgd", "ftrl", "adam"):
            fit = partial(_fitted_outputs, name, solver=solver)
            yield Case(
                8,
                f"all rows empty, {name}.fit {solver}",
                _empty_rows,
                lambda X, f=fit, y=y: f(X, y()),
                be_finite(),
            )
            yield Case(
                8,
                f"a single column, {name}.fit {solver}",
                lambda: values()[:, :1],
                lambda X, f=fit, y=y: f(X, y(), fields="auto"),
                be_finite(),
            )
            yield Case(
                8,
                f"a field without columns, {name}.fit {solver}",
                csr,
                lambda X, f=fit, y=y: f(X, y(), fields=[0, 0, 2, 2, 4, 4]),
                be_finite(),
            )
            yield Case(
                8,
                f"two rows, {name}.fit {solver}",
                lambda: csr()[:2],
                lambda X, f=fit, n=name: f(X, _two(n)),
                be_finite(),
            )
            yield Case(
                8,
                f"equal rows, {name}.fit {solver}",
                lambda: np.ones((24, 6)),
                lambda X, f=fit, y=y: f(X, y()),
                be_finite(),
            )
            if "Regressor" in name:
                yield Case(
                    8,
                    f"one row, {name}.fit {solver}",
                    lambda: csr()[:1],
                    lambda X, f=fit: f(X, [2.5]),
                    be_finite(),
                )
                yield Case(
                    8,
                    f"constant target, {name}.fit {solver}",
                    csr,
                    lambda X, f=fit: f(X, np.full(24, 2.5)),
                    be_finite(),
                )
        yield Case(
            8,
            f"rows one by one, {name}.partial_fit",
            csr,
            partial(_one_by_one, name),
            be_finite(),
        )
        yield Case(
            8,
            f"no rows to hold out, {name}.fit",
            lambda: csr()[:2],
            lambda X, n=name: make_model(n, early_stopping=True).fit(X, _two(n)),
            refuse("validation_fraction=0.1 of 2 different rows leaves none"),
        )
        yield Case(
            8,
            f"plain sparse, {name}.fit",
            csr,
            lambda X, n=name, y=y: parameters(make_model(n, fields="auto").fit(X, y())),
            refuse("plain sparse matrix of 6 columns")
            if "FFM" in name
            else be_finite(FieldMapWarning, "every column is taken"),
        )
        yield Case(
            8,
            f"fields of another matrix, {name}.predict",
            lambda: FieldCSR(values(), fields=[1, 2, 3]),
            partial(_moved, name),
            refuse("column 1 belongs to field 1, but to field 0"),
        )


def _moved(name: str, X: Any) -> Any:
    model = make_model(name, fields="auto").fit(field_csr(), target_of(name))
    return model.predict(X)


def _two(name: str) -> Any:
    return [1.0, 2.0] if "Regressor" in name else ["no", "yes"]


def _fitted_outputs(name: str, X: Any, y: Any, **params: Any) -> Any:
    return outputs(make_model(name, **params).fit(X, y), X)


def _one_by_one(name: str, X: Any) -> Any:
    model = make_model(name)
    kinds = {} if "Regressor" in name else {"classes": ["no", "yes"]}
    for row in range(X.shape[0]):
        model.partial_fit(X[[row]], target_of(name)[[row]], **kinds)
    return outputs(model, X)


def further(name: str, params: Any, y: Any, X: Any) -> Any:
    kinds = {} if "Regressor" in name else {"classes": ["no", "yes"]}
    model = make_model(name).partial_fit(csr(), y, **kinds)
    return model.set_params(**params).partial_fit(X, y)


def cases() -> Iterator[Case]:
    """Return the cases of rows 7 and 8."""
    yield from _of_shapes()
    yield from _of_sizes()
    yield from _of_changed()
