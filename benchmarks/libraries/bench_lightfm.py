"""LightFM (lightfm-next): pairs between two halves of the fields, not all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.libraries._base import Array, Stepwise, plain, sigmoid
from benchmarks.synthetic import Synthetic


class Adapter(Stepwise):
    """Row i is user i and item i, described by the first fields and by the rest.

    An FM of half the pairs, then, with a logistic loss; no FFM and no regression.
    """

    name, package = "lightfm", "lightfm"
    models = ("fm",)
    tasks = ("logloss",)

    def begin(self, problem: Synthetic, model: str, k: int, **rates: Any) -> None:
        """Split the columns and start."""
        import lightfm

        self.cut = int(np.sum(problem.sizes[: len(problem.sizes) // 2]))
        self.sides = self._sides(problem.X_train)
        n = problem.X_train.shape[0]
        labels = np.where(problem.y_train > 0, 1, -1).astype(np.float32)
        rows = np.arange(n, dtype=np.int32)
        self.interactions = sp.coo_matrix((labels, (rows, rows)), shape=(n, n))
        options = {"learning_rate": 0.05, "learning_schedule": "adagrad", **rates}
        self.estimator = lightfm.LightFM(k, loss="logistic", random_state=0, **options)

    def epoch(self) -> None:
        """Pass over the rows once."""
        users, items = self.sides
        self.estimator.fit_partial(self.interactions, users, items, num_threads=1)

    def predict(self, X: Any) -> Array:
        """Return probabilities."""
        users, items = self._sides(X)
        rows = np.arange(X.shape[0], dtype=np.int32)
        return sigmoid(self.estimator.predict(rows, rows, items, users, num_threads=1))

    def _sides(self, X: Any) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        matrix = plain(X)
        return matrix[:, : self.cut], matrix[:, self.cut :]
