"""Finite but huge or tiny numbers, and steps that are too long (row 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from _inputs import (
    MODELS,
    REGRESSORS,
    fitted,
    make_model,
    outputs,
    target_of,
    values,
)
from _probe import Case, Must, refuse, survive
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

# All rows at once, a step per row in the core, and mini-batches in torch.
KINDS = ("auto", "adagrad", "adam")
SOLVERS = (*KINDS, "sgd", "ftrl", "AdamW", "Rprop", "ASGD")
LOSSES = ("squared_error", "huber", "poisson")
# Numbers that multiply to more than the largest one: an error that says so, or the
# last finite model and a warning.
EITHER = survive(
    r"row \d+: the score overflows.*scale the features", ConvergenceWarning
)


def _times(factor: float, dtype: Any = np.float64) -> Callable[[], Any]:
    return lambda: (values() * factor).astype(dtype)


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


X: dict[str, Callable[[], Any]] = {
    **{f"X times {f:g}": _times(f) for f in (1e30, 1e200, 1e307, 1e-200, 1e-307)},
    "float32 X times 1e37": _times(1e37, np.float32),
    "float32 X times 1e-40": _times(1e-40, np.float32),
    **{f"one {v:g} in X": _one(v) for v in (1e30, 1e155, 1e308, -1e308, 5e-324)},
    "one 3e38 in float32 X": _one(3e38, np.float32),
    "a column times 1e300": _column(1e300),
    "a column times 1e-300": _column(1e-300),
}


def _spread(low: float, high: float) -> Callable[[Any], Any]:
    return lambda y: np.where(np.arange(len(y)) % 2, low, high)


NO_COUNT = refuse("y holds zeros only among the rows of positive sample_weight")
TARGETS: list[tuple[str, Callable[[Any], Any], tuple[str, ...], Must]] = [
    ("y times 1e300", lambda y: y * 1e300, LOSSES, EITHER),
    ("y times 1e30", lambda y: y * 1e30, LOSSES, EITHER),
    ("y times 1e-300", lambda y: y * 1e-300, LOSSES, EITHER),
    ("y plus 1e300", lambda y: y + 1e300, LOSSES[:2], EITHER),
    ("y of -1e308 and 1e308", _spread(-1e308, 1e308), LOSSES[:2], EITHER),
    ("y of 0 and 1e308", _spread(0.0, 1e308), LOSSES, EITHER),
    ("y of 0 and 5e-324", _spread(0.0, 5e-324), LOSSES, EITHER),
    ("y with one 1e308", lambda y: np.append(y[:-1], 1e308), LOSSES, EITHER),
    ("y of 1e308", lambda y: np.full(len(y), 1e308), LOSSES, EITHER),
    ("y of 0", lambda y: y * 0.0, LOSSES[:2], EITHER),
    ("y of 0", lambda y: y * 0.0, LOSSES[2:], NO_COUNT),
]
TOO_MUCH = refuse(r"sample_weight \(times class_weight\) sums to (inf|2.4e\+301)")
WEIGHTS: list[tuple[str, Callable[[int], Any], Must]] = [
    ("sample_weight 1e300", lambda n: np.full(n, 1e300), TOO_MUCH),
    ("sample_weight 1e308", lambda n: np.full(n, 1e308), TOO_MUCH),
    ("sample_weight 1e290", lambda n: np.full(n, 1e290), EITHER),
    ("sample_weight 1e-300", lambda n: np.full(n, 1e-300), EITHER),
    ("sample_weight 5e-324", lambda n: np.full(n, 5e-324), EITHER),
    ("sample_weight 1e-300 to 1e290", lambda n: np.logspace(-300, 290, n), EITHER),
    ("one sample_weight 1e290", lambda n: np.append(np.ones(n - 1), 1e290), EITHER),
]
FREE = {"learning_rate_linear": 1e6, "l2_factors": 0.0, "l2_linear": 0.0}
HELD_OUT = {"early_stopping": True, "validation_fraction": 0.3}
PARAMS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("learning_rate 1e6", {"learning_rate": 1e6}, SOLVERS),
    ("learning_rate 1e6, no penalty", {"learning_rate": 1e6, **FREE}, SOLVERS),
    ("learning_rate 1e6, stopping", {"learning_rate": 1e6, **HELD_OUT}, KINDS),
    ("learning_rate 1e300", {"learning_rate": 1e300, **FREE}, SOLVERS),
    ("learning_rate 1e-300", {"learning_rate": 1e-300}, KINDS),
    ("init_scale 1e200", {"init_scale": 1e200}, KINDS),
    ("init_scale 1e300, no penalty", {"init_scale": 1e300, **FREE}, KINDS),
    ("penalties 1e300", {"l2_factors": 1e300, "l2_linear": 1e300}, KINDS),
    ("bare factors", {"fit_intercept": False, "fit_linear": False}, KINDS),
]


class Infinite(torch.optim.SGD):
    """An optimizer whose steps lead to infinity."""

    def step(self, *args: Any, **kwargs: Any) -> Any:
        out = super().step(*args, **kwargs)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(torch.inf)
        return out


class Spoiling(Callback):
    """A callback that writes NaN into the model."""

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.bag.emb.weight.data.fill_(torch.nan)


class SpoilingAtTheEnd(Callback):
    """The same when training is over."""

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.bag.emb.weight.data.fill_(torch.nan)


def _learn(name: str, given: Any, **params: Any) -> Any:
    """Fit, and return what the model says of ordinary rows and of those it learned."""
    if params["solver"] == "auto":
        params["max_iter"] = 1  # of ten iterations
    model = make_model(name, **params)
    model.fit(*given)
    return outputs(model, values()), outputs(model, given[0])


def _spoiled(name: str, callback: Any, given: Any, **params: Any) -> Any:
    return _learn(name, given, callbacks=[callback()], **params)


def _stream(name: str, X: Any, y: Any, sample_weight: Any = None) -> Any:
    model = make_model(name)
    kinds = {} if name in REGRESSORS else {"classes": ["no", "yes"]}
    for _ in range(2):
        model.partial_fit(X, y, sample_weight=sample_weight, **kinds)
    return outputs(model, values()), outputs(model, X)


def _target(name: str) -> Any:
    y = target_of(name)
    return np.abs(y) if name in REGRESSORS else y  # which any loss takes


def _loss_of(name: str) -> list[dict[str, str]]:
    return [{"loss": loss} for loss in LOSSES] if name in REGRESSORS else [{}]


def _ways(
    name: str,
    what: str,
    make: Callable[[], Any],
    must: Must,
    stream: bool = True,
    **params: Any,
) -> Iterator[Case]:
    """Yield a case for every kind of training."""
    for solver in KINDS:
        how = ", ".join([f"{name}.fit {solver}", *params.values()])
        act = partial(_learn, name, solver=solver, **params)
        yield Case(2, f"{what}, {how}", make, act, must)
    if stream:
        act = lambda given: _stream(name, *given)  # noqa: E731
        yield Case(2, f"{what}, {name}.partial_fit", make, act, must)


def cases() -> Iterator[Case]:
    """Return the cases of row 2."""
    for name in MODELS:
        given = partial(lambda n: (values(), _target(n)), name)
        for what, params, solvers in PARAMS:
            for solver in solvers:
                for loss in _loss_of(name):
                    title = f"{what}, {name}.fit {solver} {loss.get('loss', '')}"
                    how = partial(_learn, name, solver=solver, **params, **loss)
                    yield Case(2, title.strip(), given, how, EITHER)
        optimizer = partial(_learn, name, solver=Infinite)
        title = f"an optimizer that leads to infinity, {name}.fit"
        yield Case(2, title, given, optimizer, EITHER)
        for spoiling in (Spoiling, SpoilingAtTheEnd):
            for solver in KINDS:
                title = f"{spoiling.__name__} callback, {name}.fit {solver}"
                how = partial(_spoiled, name, spoiling, solver=solver)
                yield Case(2, title, given, how, EITHER)
        for what, make in X.items():
            rows = partial(lambda m, n: (m(), _target(n)), make, name)
            yield from _ways(name, what, rows, EITHER)
            predict = partial(lambda n, X: outputs(fitted(n), X), name)
            yield Case(2, f"{what}, {name}.predict", make, predict, EITHER)
        for what, weigh, must in WEIGHTS:
            rows = partial(lambda w, n: (values(), _target(n), w(24)), weigh, name)
            yield from _ways(name, what, rows, must)
    for name in REGRESSORS:
        for what, change, losses, must in TARGETS:
            rows = partial(lambda c, n: (values(), c(_target(n))), change, name)
            for loss in losses:
                stream = loss == LOSSES[0]
                yield from _ways(name, what, rows, must, stream, loss=loss)
