"""Finite but huge or tiny numbers, and steps that are too long (row 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _inputs import (
    CLASSIFIERS,
    MODELS,
    REGRESSORS,
    fitted,
    make_model,
    outputs,
    target_of,
    values,
)
from _probe import Case, be_finite, survive
from sklearn.exceptions import ConvergenceWarning

SOLVERS = ("auto", "adagrad", "sgd", "ftrl", "adam", "lbfgs", "AdamW", "Rprop", "ASGD")
LOSSES = ("squared_error", "huber", "poisson")
# What an error about numbers that are too large has to say.
TOO_LARGE = r"row \d+: the score overflows.*scale the features"
EITHER = survive(TOO_LARGE, ConvergenceWarning)


def _times(factor: float, dtype: Any = np.float64) -> Callable[[], Any]:
    def make() -> Any:
        with np.errstate(over="ignore"):
            return (values() * factor).astype(dtype)

    return make


def _one(value: float, dtype: Any = np.float64) -> Callable[[], Any]:
    def make() -> Any:
        X = values().astype(dtype)
        X[5, 1] = value
        return X

    return make


def _column(value: float) -> Callable[[], Any]:
    def make() -> Any:
        X = values()
        X[:, 2] *= value
        return X

    return make


HUGE_X: dict[str, Callable[[], Any]] = {
    **{f"X times {f:g}": _times(f) for f in (1e30, 1e38, 1e200, 1e307, 1e-200, 1e-307)},
    "float32 X times 1e37": _times(1e37, np.float32),
    "float32 X times 1e-40": _times(1e-40, np.float32),
    **{f"one {v:g} in X": _one(v) for v in (1e30, 1e155, 1e308, -1e308, 5e-324)},
    "one 3e38 in float32 X": _one(3e38, np.float32),
    "column times 1e30": _column(1e30),
    "column times 1e300": _column(1e300),
    "column times 1e-300": _column(1e-300),
}


def _spread(low: float, high: float) -> Callable[[Any], Any]:
    return lambda y: np.where(np.arange(len(y)) % 2, low, high)


HUGE_Y: dict[str, Callable[[Any], Any]] = {
    "y times 1e300": lambda y: y * 1e300,
    "y times 1e30": lambda y: y * 1e30,
    "y times 1e-300": lambda y: y * 1e-300,
    "y plus 1e300": lambda y: y + 1e300,
    "y of -1e308 and 1e308": _spread(-1e308, 1e308),
    "y of 0 and 1e308": _spread(0.0, 1e308),
    "y of 0 and 5e-324": _spread(0.0, 5e-324),
    "y with one 1e308": lambda y: np.append(y[:-1], 1e308),
    "y of 1e308": lambda y: np.full(len(y), 1e308),
    "y of 0": lambda y: np.zeros(len(y)),
}
WEIGHTS: dict[str, Callable[[int], Any]] = {
    "sample_weight 1e300": lambda n: np.full(n, 1e300),
    "sample_weight 1e308": lambda n: np.full(n, 1e308),
    "sample_weight 1e-300": lambda n: np.full(n, 1e-300),
    "sample_weight 5e-324": lambda n: np.full(n, 5e-324),
    "sample_weight 1e-300 to 1e300": lambda n: np.logspace(-300, 300, n),
    "one sample_weight 1e300": lambda n: np.append(np.ones(n - 1), 1e300),
}
PARAMS: dict[str, dict[str, Any]] = {
    "learning_rate 1e6": {"learning_rate": 1e6},
    "learning_rate 1e300": {"learning_rate": 1e300, "learning_rate_linear": 1e300},
    "learning_rate 1e6, constant": {
        "learning_rate": 1e6,
        "learning_rate_linear": 1e6,
        "learning_rate_schedule": "constant",
        "l2_factors": 0.0,
        "l2_linear": 0.0,
    },
    "learning_rate 1e-300": {"learning_rate": 1e-300},
    "init_scale 1e200": {"init_scale": 1e200},
    "init_scale 1e300, no penalty": {"init_scale": 1e300, "l2_factors": 0.0},
    "penalties 1e300": {"l2_factors": 1e300, "l2_linear": 1e300},
    "early stopping, learning_rate 1e6": {
        "learning_rate": 1e6,
        "early_stopping": True,
        "validation_fraction": 0.3,
    },
    "no intercept, no linear part": {"fit_intercept": False, "fit_linear": False},
}
FULL = ("auto", "lbfgs")


def _learn(name: str, given: Any, **params: Any) -> Any:
    """Fit, and return what the model says of ordinary rows and of those it learned."""
    model = make_model(name, **params)
    model.fit(*given)
    return outputs(model, values()), outputs(model, given[0])


def _with_solver(params: dict[str, Any], solver: str) -> dict[str, Any]:
    params = {**params, "solver": solver}
    if solver in FULL:
        params["max_iter"] = 2
        params.pop("learning_rate_schedule", None)
    return params


def _losses(name: str) -> tuple[str, ...]:
    return LOSSES if name in REGRESSORS else ("",)


def _loss(loss: str) -> dict[str, Any]:
    return {"loss": loss} if loss else {}


def _of_solvers() -> Iterator[Case]:
    """Yield bad steps and huge rows for every way to train."""
    for name in MODELS:
        for solver in SOLVERS:
            for loss in _losses(name):
                for what, params in PARAMS.items():
                    how = {**_with_solver(params, solver), **_loss(loss)}
                    yield Case(
                        2,
                        f"{what}, {name}.fit {solver} {loss}".rstrip(),
                        lambda n=name: (values(), _target(n)),
                        lambda given, n=name, h=how: _learn(n, given, **h),
                        EITHER,
                    )


def _target(name: str) -> Any:
    y = target_of(name)
    return y if name in CLASSIFIERS else np.abs(y)  # which any loss takes


def _of_rows() -> Iterator[Case]:
    for name in MODELS:
        for solver in ("auto", "adagrad", "sgd", "ftrl", "adam"):
            for what, make in HUGE_X.items():
                yield Case(
                    2,
                    f"{what}, {name}.fit {solver}",
                    lambda n=name, m=make: (m(), _target(n)),
                    lambda given, n=name, s=solver: _learn(n, given, solver=s),
                    EITHER,
                )
        for what, make in HUGE_X.items():
            yield Case(
                2,
                f"{what}, {name}.predict",
                make,
                lambda X, n=name: outputs(fitted(n), X),
                EITHER,
            )
            yield Case(
                2,
                f"{what}, {name}.partial_fit",
                lambda n=name, m=make: (m(), _target(n)),
                lambda given, n=name: _stream(n, *given),
                EITHER,
            )


def _stream(name: str, X: Any, y: Any, sample_weight: Any = None) -> Any:
    model = make_model(name)
    kinds = {} if name in REGRESSORS else {"classes": ["no", "yes"]}
    for _ in range(2):
        model.partial_fit(X, y, sample_weight=sample_weight, **kinds)
    return outputs(model, values()), outputs(model, X)


def _of_targets() -> Iterator[Case]:
    for name in REGRESSORS:
        for what, change in HUGE_Y.items():

            def make(n: str = name, c: Any = change) -> Any:
                return values(), np.abs(c(target_of(n)))

            for solver in ("auto", "adagrad", "sgd", "adam"):
                for loss in ("squared_error", "huber", "poisson"):
                    yield Case(
                        2,
                        f"{what}, {name}.fit {solver} {loss}",
                        make,
                        lambda given, n=name, s=solver, k=loss: _learn(
                            n, given, solver=s, loss=k
                        ),
                        EITHER,
                    )
            yield Case(
                2,
                f"{what}, {name}.partial_fit",
                make,
                lambda given, n=name: _stream(n, *given),
                EITHER,
            )


def _of_weights() -> Iterator[Case]:
    for name in MODELS:
        for what, weigh in WEIGHTS.items():

            def make(n: str = name, w: Any = weigh) -> Any:
                X = values()
                return X, _target(n), w(len(X))

            for solver in ("auto", "adagrad", "sgd", "ftrl", "adam"):
                yield Case(
                    2,
                    f"{what}, {name}.fit {solver}",
                    make,
                    lambda given, n=name, s=solver: _learn(n, given, solver=s),
                    EITHER,
                )
            yield Case(
                2,
                f"{what}, {name}.partial_fit",
                make,
                lambda given, n=name: _stream(n, *given),
                EITHER,
            )


def cases() -> Iterator[Case]:
    """Return the cases of row 2."""
    yield from _of_solvers()
    yield from _of_rows()
    yield from _of_targets()
    yield from _of_weights()
