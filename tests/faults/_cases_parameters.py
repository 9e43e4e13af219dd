"""Parameters of the estimators (row 19), alone and between two calls (row 8)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from _cases_shapes import BAD, further
from _inputs import (
    MODELS,
    PARAMS,
    csr,
    make_model,
    target_of,
    values,
)
from _probe import Case, refuse
from sklearn.utils._param_validation import InvalidParameterError

from skwfm import FieldMap

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
    ("n_factors beyond int32", {"n_factors": 2**31}, "n_factors=2147483648 gives"),
    ("n_factors beyond int64", {"n_factors": 2**61}, "=2305843009213693952 gives"),
    ("n_factors beyond C", {"n_factors": 2**80}, "=1208925819614629174706176 gives"),
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
                partial(further, name, params, y()),
                refuse(message),
            )
        yield Case(
            8,
            f"fewer columns, {name}.partial_fit",
            lambda: csr()[:, :5],
            partial(further, name, {}, y()),
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


def cases() -> Iterator[Case]:
    """Return the cases of parameters."""
    yield from _of_parameters()
    yield from _of_further_training()
