"""deepctr-torch: a DeepFM without its network, which is an FM; dense gradients."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from benchmarks.libraries._base import Array, Stepwise, one_hot_labels
from benchmarks.libraries.bench_torch import BATCH_ROWS
from benchmarks.synthetic import Synthetic


class Adapter(Stepwise):
    """One label per field. Its import asks for newer versions, in a thread."""

    name, package = "deepctr_torch", "deepctr_torch"
    models = ("fm",)
    bags = False

    def begin(self, problem: Synthetic, model: str, k: int, **rates: Any) -> None:
        """Make the model."""
        import torch
        from deepctr_torch.inputs import SparseFeat
        from deepctr_torch.models import DeepFM

        self.problem = problem
        columns = [
            SparseFeat(f"f{field}", size, embedding_dim=k)
            for field, size in enumerate(problem.sizes)
        ]
        self.input = self._columns(problem.X_train)
        is_rating = problem.task == "rmse"
        task, loss = ("regression", "mse") if is_rating else ("binary", None)
        self.model = DeepFM(
            columns,
            columns,
            dnn_hidden_units=(),
            l2_reg_linear=0,
            l2_reg_embedding=0,
            init_std=0.01,
            task=task,
        )
        rate = float(rates.get("learning_rate", 0.05))
        optimizer = torch.optim.Adagrad(self.model.parameters(), lr=rate)
        self.model.compile(optimizer, loss or "binary_crossentropy")

    def epoch(self) -> None:
        """Pass over the rows once."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.model.fit(
                self.input, self.problem.y_train, batch_size=BATCH_ROWS, verbose=0
            )

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        scores = self.model.predict(self._columns(X), batch_size=10_000)
        return np.asarray(scores).ravel()

    def _columns(self, X: Any) -> dict[str, Array]:
        labels = one_hot_labels(X, self.problem)
        return {f"f{field}": labels[:, field] for field in range(labels.shape[1])}
