"""Plain torch: `nn.EmbeddingBag(sparse=True)` and a sparse optimizer of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.libraries._base import Array, Stepwise, field_ids
from benchmarks.synthetic import Synthetic

BATCH_ROWS = 4096


class BagModel(nn.Module):
    """FM or FFM over the sums of the bags, as one would write it."""

    def __init__(self, n_columns: int, n_fields: int, model: str, k: int) -> None:
        super().__init__()
        self.n_fields, self.k, self.field_aware = n_fields, k, model == "ffm"
        width = k * (n_fields if self.field_aware else 1)
        self.factors = nn.EmbeddingBag(n_columns, width, mode="sum", sparse=True)
        self.linear = nn.EmbeddingBag(n_columns, 1, mode="sum", sparse=True)
        self.bias = nn.Parameter(torch.zeros(1))
        nn.init.normal_(self.factors.weight, std=0.01)
        nn.init.zeros_(self.linear.weight)

    def forward(self, columns: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        """Return the scores; bag f of row i starts at ``offsets[i * F + f]``."""
        sums = self.factors(columns, offsets, per_sample_weights=weights)
        linear = self.linear(columns, offsets, per_sample_weights=weights)
        return self.bias + linear.view(-1, self.n_fields).sum(1) + self._pairs(sums)

    def _pairs(self, sums: Tensor) -> Tensor:
        if not self.field_aware:
            sums = sums.view(-1, self.n_fields, self.k)
            squares = sums.square().sum((1, 2))
            return 0.5 * (sums.sum(1).square().sum(1) - squares)
        sums = sums.view(-1, self.n_fields, self.n_fields, self.k)
        products = (sums * sums.transpose(1, 2)).sum(3)
        diagonal = products.diagonal(dim1=1, dim2=2).sum(1)
        return 0.5 * (products.sum((1, 2)) - diagonal)


class Adapter(Stepwise):
    """Mini-batches of 4096 rows; ``optimizer="adagrad"`` or ``"sparse_adam"``."""

    name, package = "torch", "torch"

    def begin(self, problem: Synthetic, model: str, k: int, **rates: Any) -> None:
        """Make the tables and the optimizers."""
        torch.manual_seed(0)
        # The default, but said, or torch warns of its own optimizer.
        torch.sparse.check_sparse_tensor_invariants.disable()
        self.rng = np.random.default_rng(0)
        self.fields, self.task = field_ids(problem), problem.task
        self.X, self.y = problem.X_train, torch.from_numpy(problem.y_train)
        self.batch_rows = int(rates.get("batch_size", BATCH_ROWS))
        self.module = BagModel(self.X.shape[1], len(problem.sizes), model, k)
        tables = [self.module.factors.weight, self.module.linear.weight]
        rate = float(rates.get("learning_rate", 0.05))
        if rates.get("optimizer", "adagrad") == "sparse_adam":
            self.optimizer: Any = torch.optim.SparseAdam(tables, lr=rate)
        else:
            self.optimizer = torch.optim.Adagrad(tables, lr=rate)
        self.of_bias = torch.optim.Adagrad([self.module.bias], lr=rate)

    def epoch(self) -> None:
        """Pass over the rows once, shuffled."""
        order = self.rng.permutation(self.X.shape[0])
        loss = nn.MSELoss() if self.task == "rmse" else nn.BCEWithLogitsLoss()
        for start in range(0, len(order), self.batch_rows):
            rows = order[start : start + self.batch_rows]
            self.optimizer.zero_grad()
            self.of_bias.zero_grad()
            loss(self._score(self.X[rows]), self.y[rows]).backward()
            self.optimizer.step()
            self.of_bias.step()

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        steps = range(0, X.shape[0], self.batch_rows)
        with torch.no_grad():
            parts = [self._score(X[at : at + self.batch_rows]) for at in steps]
        scores = torch.cat(parts)
        return (scores if self.task == "rmse" else scores.sigmoid()).numpy()

    def _score(self, X: Any) -> Tensor:
        n_bags = X.shape[0] * self.module.n_fields
        rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
        bags = rows * self.module.n_fields + self.fields[X.indices]
        ends = np.cumsum(np.bincount(bags, minlength=n_bags))
        offsets = np.concatenate([[0], ends[:-1]])
        return self.module(
            torch.from_numpy(X.indices).long(),
            torch.from_numpy(offsets),
            torch.from_numpy(X.data),
        )
