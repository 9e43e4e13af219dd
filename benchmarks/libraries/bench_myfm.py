"""myFM: Gibbs sampling of an FM; an epoch is a sweep, the prediction their mean."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from typing import Any

import numpy as np

from benchmarks.libraries._base import Array, Point, Refit, metric, plain
from benchmarks.synthetic import Synthetic


class Adapter(Refit):
    """Fields are the groups of its prior; the last half of the sweeps is kept."""

    name, package = "myfm", "myfm"
    models = ("fm",)
    estimator: Any

    def available(self) -> bool:
        """Tell whether it can be imported: it needs setuptools below 81."""
        if not super().available():
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import myfm  # noqa: F401
            except ImportError:
                return False
        return True

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Draw so many samples."""
        self._fit(problem, k, n_epochs, None, **rates)

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
        """Watch the sweeps; the quality is that of the whole chain, at its end."""
        start = time.process_time(), time.perf_counter()
        points: list[Point] = []

        def watch(*state: Any) -> tuple[bool, None]:
            cpu, wall = time.process_time(), time.perf_counter()
            points.append(Point(cpu - start[0], wall - start[1], np.nan))
            return False, None

        self._fit(problem, k, n_epochs, watch, **rates)
        if evaluate:
            points[-1] = points[-1]._replace(test=self._test(problem))
        return points

    def _fit(
        self, problem: Synthetic, k: int, n_epochs: int, watch: Any, **rates: Any
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import myfm

        is_rating = problem.task == "rmse"
        kind = myfm.MyFMRegressor if is_rating else myfm.MyFMClassifier
        self.estimator = kind(k, random_seed=0, **rates)
        # It has float64 only; the conversion is part of the fit.
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            self.estimator.fit(
                plain(problem.X_train).astype(np.float64),
                problem.y_train.astype(np.float64),
                n_iter=n_epochs,
                n_kept_samples=max(n_epochs // 2, 1),
                group_shapes=list(problem.sizes),
                callback=watch,
            )

    def _test(self, problem: Synthetic) -> float:
        return metric(problem.task, problem.y_test, self.predict(problem.X_test))

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        matrix = plain(X).astype(np.float64)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(matrix))
        return np.asarray(self.estimator.predict(matrix))
