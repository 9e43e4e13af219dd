"""Vowpal Wabbit: low-rank pairs (`--lrq`), or field-aware ones (`--lrqfa`)."""

from __future__ import annotations

import string
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.libraries._base import Array, Refit, field_ids, scratch, sigmoid
from benchmarks.synthetic import Synthetic

NAMESPACES = string.ascii_letters
# Weights of the hash table, 2**BITS; at least eight per label and factor.
BITS = range(18, 29)


class Adapter(Refit):
    """It reads text once and a cache file of its own after that."""

    name, package = "vowpalwabbit", "vowpalwabbit"
    folder: Path | None = None
    written: Any = None

    def why_not(self, problem: Synthetic, model: str) -> str:
        """Add the limit of one letter per field."""
        if len(problem.sizes) > len(NAMESPACES):
            return f"{self.name} names a field by one letter"
        return super().why_not(problem, model)

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Write the rows once, then fit from the file."""
        from vowpalwabbit import Workspace

        self.fields, self.task = field_ids(problem), problem.task
        path = self._train_file(problem)
        values = k * (len(problem.sizes) if model == "ffm" else 1)
        wanted = np.log2(problem.X_train.shape[1] * values)
        bits = next((b for b in BITS if b > wanted), BITS[-1])
        loss = "logistic" if self.task == "logloss" else "squared"
        options = {"learning_rate": 0.5, "loss_function": loss, **rates}
        given = " ".join(f"--{name} {value}" for name, value in options.items())
        Workspace(
            f"--quiet -d {path} -k -c --passes {n_epochs} --holdout_off -b {bits} "
            f"{_pairs(model, len(problem.sizes), k)} {given} -f {path}.model"
        ).finish()

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        from vowpalwabbit import Workspace

        folder = self.folder
        rows, out = folder / "test", folder / "out"
        _write(rows, X, np.zeros(X.shape[0]), self.fields)
        Workspace(f"--quiet -t -d {rows} -i {folder / 'train'}.model -p {out}").finish()
        scores = np.loadtxt(out, usecols=0, ndmin=1)
        return sigmoid(scores) if self.task == "logloss" else scores

    def _train_file(self, problem: Synthetic) -> Path:
        if self.folder is None or self.written is not problem.X_train:
            self.folder, self.written = scratch(), problem.X_train
            y = problem.y_train
            labels = np.where(y > 0, 1, -1) if self.task == "logloss" else y
            path = self.folder / "train"
            _write(path, problem.X_train, labels, self.fields)
        return self.folder / "train"


def _pairs(model: str, n_fields: int, k: int) -> str:
    names = NAMESPACES[:n_fields]
    if model == "ffm":
        return f"--lrqfa {names}{k}"
    return " ".join(f"--lrq {a}{b}{k}" for a, b in combinations(names, 2))


def _write(path: Path, X: Any, labels: Array, fields: Array) -> None:
    """Write Vowpal Wabbit's text: a namespace per field."""
    of = fields[X.indices]
    with path.open("w", encoding="ascii") as file:
        for row, label in enumerate(labels):
            file.write(f"{label:g}")
            last = -1
            for at in range(X.indptr[row], X.indptr[row + 1]):
                if of[at] != last:
                    last = of[at]
                    file.write(f" |{NAMESPACES[last]}")
                file.write(f" {X.indices[at]}:{X.data[at]:.6g}")
            file.write("\n")
