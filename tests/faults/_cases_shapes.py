"""Sizes (row 7), shapes and names (row 8), parameters (row 19)."""

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
    MODELS,
    N_COLUMNS,
    PARAMS,
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
from sklearn.utils._param_validation import InvalidParameterError

from skwfm import FieldCSR, FieldMap, hstack
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
        "2147483648 features",
    ),
    (
        "more columns than fit in memory",
        lambda: sp.csr_matrix((24, 2**50)),
        "X has 1125899906842624 columns, expected at most",
        "1125899906842624 features",
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
            partial(_further, name, {}, target_of(name)),
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


# --- parameters ---------------------------------------------------------------------

# Values that each parameter refuses, with a message that names it and the value.
NUMBERS = [-1, "a", None, np.nan, [1]]
BAD_PARAMS: dict[str, list[Any]] = {
    "n_factors": [0, -3, 2.5, "8", None, np.nan],
    "intra_field": ["yes", 2, None],
    "solver_params": ["momentum", [1]],
    "adagrad_state": ["column", 1, None],
    "learning_rate": [0, *NUMBERS, -np.inf],
    "learning_rate_linear": [0, *NUMBERS],
    "learning_rate_schedule": ["cosin", None, 1],
    "l1_linear": NUMBERS,
    "l2_linear": NUMBERS,
    "l2_factors": NUMBERS,
    "dropout": [1.0, 1.5, *NUMBERS],
    "max_iter": [0, 1.5, "20", None, np.nan],
    "batch_size": [0, -5, "all", 2.5],
    "init_scale": NUMBERS,
    "fit_intercept": ["no", 3, None],
    "fit_linear": ["no", 3, None],
    "early_stopping": ["yes", 3, None],
    "validation_fraction": [0, 1, 1.0, *NUMBERS],
    "n_iter_no_change": [0, 1.5, "a"],
    "tol": NUMBERS,
    "warm_start": ["yes", 3],
    "callbacks": ["progress", 3],
    "device": [3, None],
    "n_jobs": ["all", 1.5],
    "random_state": ["a", -1, 1.5],
    "verbose": ["a", -1],
}
OTHER_PARAMS: list[tuple[str, dict[str, Any], str]] = [
    (
        "solver adagrd",
        {"solver": "adagrd"},
        "'solver' parameter.*Did you mean 'adagrad'",
    ),
    ("solver of no name", {"solver": "newton"}, "'solver' parameter.*Names:"),
    ("solver None", {"solver": None}, "'solver' parameter"),
    ("solver class", {"solver": dict}, "solver"),
    ("solver Muon", {"solver": "Muon"}, "solver='Muon' cannot train"),
    ("solver SparseAdam", {"solver": "SparseAdam"}, "solver='SparseAdam' cannot train"),
    ("solver_params typo", {"solver": "AdamW", "solver_params": {"beta": 1}}, "'beta'"),
    (
        "solver_params lr",
        {"solver": "AdamW", "solver_params": {"lr": 1}},
        "pass it as learning_rate",
    ),
    (
        "solver_params bad",
        {"solver": "AdamW", "solver_params": {"betas": (2, 2)}},
        "solver='AdamW'.*[Ii]nvalid beta",
    ),
    ("solver_params of the core", {"solver_params": {"momentum": 1}}, "solver_params="),
    ("l1 without ftrl", {"l1_linear": 1.0}, "l1_linear=1.0 is known to solver='ftrl'"),
    ("dropout of lbfgs", {"dropout": 0.5, "solver": "lbfgs"}, "dropout=0.5 needs"),
    (
        "schedule of lbfgs",
        {"learning_rate_schedule": "linear", "solver": "lbfgs"},
        "learning_rate_schedule='linear' is not for",
    ),
    ("device of no name", {"device": "gpu"}, "gpu"),
    ("device that is not there", {"device": "cuda:77"}, "cuda:77"),
    ("fields text", {"fields": "ids"}, "'fields' parameter"),
    ("fields sum", {"fields": [3, 2, 2]}, r"fields=\[3, 2, 2\]"),
    ("fields negative", {"fields": [0, 0, 1, 1, -1, 2]}, "fields="),
    ("fields of fractions", {"fields": [0, 0, 1, 1, 0.5, 2]}, "fields="),
    ("fields NaN", {"fields": [0, 0, 1, 1, np.nan, 2]}, "fields="),
    ("fields text ids", {"fields": ["a", "a", "b", "b", "c", "c"]}, "fields="),
    ("fields nested", {"fields": [[3], [2, 1]]}, "fields="),
    ("fields empty", {"fields": []}, "fields="),
    ("fields huge", {"fields": [0, 0, 1, 1, 2, 2**40]}, "fields="),
    ("fields a number", {"fields": 3}, "'fields' parameter"),
    ("fields of another width", {"fields": FieldMap.from_fields([2, 2], 4)}, "fields="),
    ("callbacks of another kind", {"callbacks": [print]}, r"callbacks\[0\]="),
    ("n_factors beyond memory", {"n_factors": 2**45}, "Unable to allocate"),
    ("n_factors beyond int64", {"n_factors": 2**61}, "n_factors=2305843009213693952: "),
    (
        "n_factors beyond C",
        {"n_factors": 2**80},
        "n_factors=1208925819614629174706176: ",
    ),
]


def _of_parameters() -> Iterator[Case]:
    for name in MODELS:
        for parameter, bad in BAD_PARAMS.items():
            for value in bad:
                yield Case(
                    19,
                    f"{parameter}={value!r}, {name}.fit",
                    lambda p=parameter, v=value: {p: v},
                    partial(_fit_with, name),
                    refuse(
                        f"The '{parameter}' parameter of .*Got ", InvalidParameterError
                    ),
                )
        for what, params, message in OTHER_PARAMS:
            row = 7 if what.startswith("n_factors") else 19
            yield Case(
                row,
                f"{what}, {name}.fit",
                lambda p=params: dict(p),
                partial(_fit_with, name),
                refuse(message, (ValueError, TypeError, MemoryError)),
            )
        yield Case(
            19,
            f"mistyped, {name}.set_params",
            dict,
            lambda _, n=name: make_model(n).set_params(n_factor=3),
            refuse("Invalid parameter 'n_factor'"),
        )
        yield Case(
            19,
            f"mistyped, {name}()",
            dict,
            lambda _, n=name: MODELS[n](n_factor=3),
            refuse("n_factor", TypeError),
        )
        yield Case(
            19,
            f"positional, {name}()",
            dict,
            lambda _, n=name: MODELS[n](3, "auto"),
            refuse("positional", TypeError),
        )
        if "Regressor" in name:
            yield Case(
                19,
                f"loss, {name}.fit",
                lambda: {"loss": "hinge"},
                partial(_fit_with, name),
                refuse("The 'loss' parameter", InvalidParameterError),
            )


def _fit_with(name: str, params: Any) -> Any:
    return MODELS[name](**{**PARAMS, **params}).fit(csr(), target_of(name))


def _of_further_training() -> Iterator[Case]:
    """Yield what must not change between two calls that go on from each other."""
    for name in MODELS:
        y = partial(target_of, name)
        for what, params, message in [
            ("n_factors", {"n_factors": 3}, "n_factors=3, but the model to go on from"),
            ("fields", {"fields": [2, 3, 1]}, "column 2 belongs to field 1"),
        ]:
            yield Case(
                8,
                f"warm start with other {what}, {name}.fit",
                csr,
                partial(_warm, name, params, y()),
                refuse(message),
            )
            yield Case(
                8,
                f"other {what}, {name}.partial_fit",
                csr,
                partial(_further, name, params, y()),
                refuse(message),
            )
        yield Case(
            8,
            f"fewer columns, {name}.partial_fit",
            lambda: csr()[:, :5],
            partial(_further, name, {}, y()),
            refuse("X has 5 features, but|fields="),
        )
        for what, eval_set, message in [
            ("of three", (1, 2, 3), "eval_set=.*expected a pair"),
            ("that is a number", 3, "eval_set=3: expected a pair"),
            ("of None", (None, None), "2D array|NoneType"),
            ("of other columns", (values()[:, :5], y()), "X has 5 features"),
            ("of too few targets", (values(), y()[1:]), "inconsistent"),
            ("of NaN", (values() * np.nan, y()), "X contains NaN"),
            ("of no rows", (values()[:0], y()[:0]), "0 sample"),
        ]:
            yield Case(
                8,
                f"eval_set {what}, {name}.fit",
                lambda e=eval_set: e,
                lambda e, n=name, y=y: make_model(n).fit(csr(), y(), eval_set=e),
                refuse(message, BAD),
            )


def _warm(name: str, params: Any, y: Any, X: Any) -> Any:
    model = make_model(name, warm_start=True).fit(X, y)
    return model.set_params(**params).fit(X, y)


def _further(name: str, params: Any, y: Any, X: Any) -> Any:
    kinds = {} if "Regressor" in name else {"classes": ["no", "yes"]}
    model = make_model(name).partial_fit(csr(), y, **kinds)
    return model.set_params(**params).partial_fit(X, y)


def cases() -> Iterator[Case]:
    """Return the cases of rows 7, 8 and 19."""
    yield from _of_shapes()
    yield from _of_sizes()
    yield from _of_parameters()
    yield from _of_further_training()
