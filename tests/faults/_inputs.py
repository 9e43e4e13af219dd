"""Data, models and what comes out of them, for the tables of the fault probe.

All data are tiny, and nothing here is random from one run to the next: a case takes
milliseconds, and its error message is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from skwfm import (
    FieldCSR,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

REGRESSORS = {"FMRegressor": WeightedFMRegressor, "FFMRegressor": WeightedFFMRegressor}
CLASSIFIERS = {
    "FMClassifier": WeightedFMClassifier,
    "FFMClassifier": WeightedFFMClassifier,
}
MODELS: dict[str, Any] = {**REGRESSORS, **CLASSIFIERS}
# The same with draws of their parameters, to be saved and to predict only.
DRAWN = {f"draws of {name}": name for name in ("FMRegressor", "FMClassifier")}

N_ROWS = 24
SIZES = [3, 2, 1]
N_COLUMNS = sum(SIZES)
# "adagrad" takes a tenth of the time of "auto", which is "lbfgs" for so few rows.
PARAMS: dict[str, Any] = {
    "n_factors": 2,
    "max_iter": 3,
    "fields": SIZES,
    "solver": "adagrad",
    "random_state": 0,
}


def values(seed: int = 0) -> Any:
    """Return a dense array with zeros, of a row without any, and of an empty row."""
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 9, (N_ROWS, N_COLUMNS)) / 4.0
    X *= rng.random(X.shape) < 0.6
    X[3], X[5] = 0.0, 1.0
    return X


def csr() -> Any:
    """Return the same as canonical CSR of float64 and int32."""
    return sp.csr_matrix(values())


def target_of(name: str) -> Any:
    """Return what a model of this name shall learn."""
    y = np.round(values() @ np.arange(1.0, N_COLUMNS + 1), 2)
    return y if "Regressor" in name else np.where(y > np.median(y), "yes", "no")


def make_model(name: str, **params: Any) -> Any:
    """Return a model that learns fast."""
    return MODELS[name](**{**PARAMS, **params})


@cache
def fitted(name: str) -> Any:
    """Return a fitted model; to be used, not to be changed."""
    params = {}
    if name in DRAWN:
        name, params = DRAWN[name], {"solver": "mcmc", "max_iter": 6, "n_kept": 3}
    return make_model(name, **params).fit(csr(), target_of(name))


def outputs(model: Any, X: Any) -> dict[str, Any]:
    """Return all that a model knows and says."""
    out = {"predict": model.predict(X)}
    for method in ("decision_function", "predict_proba", "predict_log_proba"):
        if hasattr(model, method):
            out[method] = getattr(model, method)(X)
    return {**out, **parameters(model)}


def parameters(model: Any) -> dict[str, Any]:
    """Return the numbers that a fitted model consists of."""
    names = ("intercept_", "coef_", "factors_")
    return {name: getattr(model, name) for name in names}


# Ways in which a matrix X reaches a model. Each gives a function of X.


def _fit(name: str, X: Any) -> Any:
    return parameters(make_model(name).fit(X, target_of(name)[: rows_of(X)]))


def _partial_fit(name: str, X: Any) -> Any:
    kinds = () if "Regressor" in name else (["no", "yes"],)
    y = target_of(name)[: rows_of(X)]
    return parameters(make_model(name).partial_fit(X, y, *kinds))


def _eval_set(name: str, X: Any) -> Any:
    model = make_model(name, early_stopping=True)
    y = target_of(name)[: rows_of(X)]
    return parameters(model.fit(csr(), target_of(name), eval_set=(X, y)))


def _warm_start(name: str, X: Any) -> Any:
    model = make_model(name, warm_start=True).fit(csr(), target_of(name))
    return parameters(model.fit(X, target_of(name)[: rows_of(X)]))


def _predict(name: str, X: Any) -> Any:
    model = fitted(name)
    return {key: part for key, part in outputs(model, X).items() if key[-1] != "_"}


WAYS: dict[str, Callable[[str, Any], Any]] = {
    "fit": _fit,
    "partial_fit": _partial_fit,
    "warm start": _warm_start,
    "eval_set": _eval_set,
    "predict": _predict,
}


def rows_of(X: Any) -> int:
    """Return the number of rows that an input says it has."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def field_csr() -> Any:
    """Return the matrix with its fields."""
    return FieldCSR(values(), fields=SIZES)
