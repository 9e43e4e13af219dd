"""modern-fm (Rust): `partial_fit` for curves, the difference of fits for time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.libraries._base import (
    Array,
    Point,
    Refit,
    field_ids,
    metric,
    plain,
)
from benchmarks.synthetic import Synthetic


class Adapter(Refit):
    """Online AdaGrad with one thread; rows in natural order in curves."""

    name, package = "modern_fm", "modern_fm"
    estimator: Any

    def make(self, problem: Synthetic, model: str, k: int, **rates: Any) -> Any:
        """Return the estimator."""
        import modern_fm

        kind = {
            ("fm", "logloss"): modern_fm.FMClassifier,
            ("fm", "rmse"): modern_fm.FMRegressor,
            ("ffm", "logloss"): modern_fm.FFMClassifier,
            ("ffm", "rmse"): modern_fm.FFMRegressor,
        }[model, problem.task]
        options = {"l2_linear": 0.0, "l2_factors": 0.0, "learning_rate": 0.1, **rates}
        self.estimator = kind(k, n_jobs=1, random_state=0, **options)
        return self.estimator

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Fit so many epochs."""
        estimator = self.make(problem, model, k, max_iter=n_epochs, **rates)
        known = {"field_ids": field_ids(problem)} if model == "ffm" else {}
        estimator.fit(plain(problem.X_train), problem.y_train, **known)

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
        """Go epoch by epoch where the test rows are to be scored."""
        if not evaluate:
            return super().fit_curve(
                problem, model, k, n_epochs, evaluate=False, **rates
            )
        estimator = self.make(problem, model, k, **rates)
        X = plain(problem.X_train)
        known: dict[str, Any] = {}
        if model == "ffm":
            known["field_ids"] = field_ids(problem)
        if problem.task == "logloss":
            known["classes"] = np.array([0, 1])
        points: list[Point] = []
        cpu = wall = 0.0
        for _ in range(n_epochs):
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            estimator.partial_fit(X, problem.y_train, **known)
            cpu += time.process_time() - cpu_start
            wall += time.perf_counter() - wall_start
            scores = self.predict(problem.X_test)
            points.append(
                Point(cpu, wall, metric(problem.task, problem.y_test, scores))
            )
        return points

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(plain(X))[:, 1])
        return np.asarray(self.estimator.predict(plain(X)))
