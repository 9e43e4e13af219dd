"""skwfm itself. A skorch callback takes the CPU time of every epoch."""

from __future__ import annotations

import inspect
import time
from typing import Any

import numpy as np
from skorch.callbacks import Callback

from benchmarks.libraries._base import Array, Library, Point
from benchmarks.synthetic import Synthetic
from skwfm import (
    FieldCSR,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)

ESTIMATORS = {
    ("fm", "logloss"): WeightedFMClassifier,
    ("fm", "rmse"): WeightedFMRegressor,
    ("ffm", "logloss"): WeightedFFMClassifier,
    ("ffm", "rmse"): WeightedFFMRegressor,
}
DEFAULTS = {
    "solver": "adagrad",
    "l2_factors": 0.0,
    "l2_linear": 0.0,
    "early_stopping": False,
    "random_state": 0,
    "n_jobs": 1,
}


class EpochClock(Callback):
    """CPU and wall seconds of the fit at the end of every epoch, validation left out.

    The clock starts when it is made.
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.start, self.pause, self.mark = _now(), np.zeros(2), None

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = True, **kwargs: Any
    ) -> None:
        """Stop the clock at the first batch of the rows to validate with."""
        if not training and self.mark is None:
            self.mark = _now()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Note the time and let the clock run again."""
        now = _now()
        mark = now if self.mark is None else self.mark
        self.points.append(tuple(mark - self.start - self.pause))
        self.pause, self.mark = self.pause + now - mark, None


class Adapter(Library):
    """skwfm with its online AdaGrad."""

    name = package = "skwfm"
    estimator: Any
    scale: bool

    def make(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> Any:
        """Return the estimator; parameters that this version lacks are left out.

        ``scale_rows=True`` is no parameter of the estimator: it divides each row by
        its Euclidean length, as libFFM does.
        """
        self.scale = bool(rates.pop("scale_rows", False))
        kind = ESTIMATORS[model, problem.task]
        known = inspect.signature(kind).parameters
        # Without `tol` the fit would end early where the loss rises for five epochs.
        wanted = {**DEFAULTS, "max_iter": n_epochs, "n_iter_no_change": n_epochs + 1}
        wanted.update(rates)
        self.estimator = kind(k, **{p: v for p, v in wanted.items() if p in known})
        return self.estimator

    def missing(self, params: dict[str, Any]) -> list[str]:
        """Return parameters of `params` without which the result would be another."""
        known = inspect.signature(WeightedFFMClassifier).parameters
        needed = {"adagrad_state", "n_jobs"} & params.keys() - known.keys()
        if params.get("n_jobs", 1) == 1:
            needed.discard("n_jobs")
        return sorted(needed)

    def fit_curve(
        self,
        problem: Synthetic,
        model: str,
        k: int,
        n_epochs: int,
        *,
        evaluate: bool = True,
        **rates: Any,
    ) -> list[Point]:
        """Fit once; the loss on the test rows is that of `eval_set`."""
        estimator = self.make(problem, model, k, n_epochs, **rates)
        X, X_test = self._input(problem.X_train), self._input(problem.X_test)
        clock = EpochClock()
        estimator.set_params(callbacks=[("clock", clock)])
        eval_set = (X_test, problem.y_test) if evaluate else None
        estimator.fit(X, problem.y_train, eval_set=eval_set)
        estimator.set_params(callbacks=None)
        losses = estimator.history_.get("valid_loss", [np.nan] * n_epochs)
        if problem.task == "rmse":
            # Half the mean square of the target scaled to variance 1.
            losses = np.sqrt(2 * np.array(losses)) * problem.y_train.std(dtype=float)
        pairs = zip(clock.points, losses, strict=True)
        return [Point(*times, float(loss)) for times, loss in pairs]

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        X = self._input(X)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(X)[:, 1])
        return np.asarray(self.estimator.predict(X))

    def _input(self, X: Any) -> Any:
        if not self.scale:
            return X
        lengths = np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1]))
        data = X.data / np.repeat(lengths, np.diff(X.indptr))
        arrays = (data.astype(np.float32), X.indices, X.indptr)
        return FieldCSR(arrays, shape=X.shape, fields=X.field_map)


def _now() -> Array:
    return np.array([time.process_time(), time.perf_counter()])
