"""torchfm: one value per field, dense gradients of whole tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.libraries._base import Array, Stepwise, one_hot_labels
from benchmarks.libraries.bench_torch import BATCH_ROWS
from benchmarks.synthetic import Synthetic


class Adapter(Stepwise):
    """Its models end in a sigmoid, so that they only classify."""

    name, package = "torchfm", "torchfm"
    tasks = ("logloss",)
    bags = False

    def begin(self, problem: Synthetic, model: str, k: int, **rates: Any) -> None:
        """Make the model and the optimizer."""
        from torchfm.model.ffm import FieldAwareFactorizationMachineModel
        from torchfm.model.fm import FactorizationMachineModel

        torch.manual_seed(0)
        kind = FactorizationMachineModel
        if model == "ffm":
            kind = FieldAwareFactorizationMachineModel
        self.problem = problem
        self.labels = one_hot_labels(problem.X_train, problem)
        self.module: nn.Module = kind(np.array(problem.sizes), k)
        rate = float(rates.get("learning_rate", 0.05))
        self.optimizer = torch.optim.Adagrad(self.module.parameters(), lr=rate)

    def epoch(self) -> None:
        """Pass over the rows once, shuffled by torch."""
        y = torch.from_numpy(self.problem.y_train)
        for rows in torch.randperm(len(y)).split(BATCH_ROWS):
            self.optimizer.zero_grad()
            scores = self.module(torch.from_numpy(self.labels[rows.numpy()]))
            nn.functional.binary_cross_entropy(scores, y[rows]).backward()
            self.optimizer.step()

    def predict(self, X: Any) -> Array:
        """Return probabilities."""
        labels = torch.from_numpy(one_hot_labels(X, self.problem))
        with torch.no_grad():
            parts: list[Tensor] = [self.module(part) for part in labels.split(10_000)]
        return torch.cat(parts).numpy()
