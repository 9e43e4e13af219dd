"""libFFM, through pylibffm: FFM and logistic loss, rows scaled to length 1."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.libraries._base import Array, Refit, field_ids, plain
from benchmarks.synthetic import Synthetic


class Adapter(Refit):
    """libFFM has no linear term. Set OMP_NUM_THREADS=1 for one thread."""

    name, package = "libffm", "pylibffm"
    models = ("ffm",)
    tasks = ("logloss",)
    model: Any
    fields: Array

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Write libFFM's binary file and fit; the file is part of the time."""
        import pylibffm

        self.fields = field_ids(problem)
        options = {"eta": 0.2, "lambda": 0.0, **rates, "k": k, "nr_iters": n_epochs}
        X, y = plain(problem.X_train), problem.y_train
        with tempfile.TemporaryDirectory() as folder, quiet():
            self.model = pylibffm.train(X, y, self.fields, folder, options)
        self.model.W = restored(self.model.W)

    def predict(self, X: Any) -> Array:
        """Return probabilities."""
        return restored(self.model.predict(plain(X), self.fields))


def restored(array: Array) -> Array:
    """Undo a fault of pylibffm 0.4.1: its arrays come with a stride of 0."""
    if array.strides == (0,):
        array = np.lib.stride_tricks.as_strided(array, strides=(array.itemsize,))
    return array.copy()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what compiled code prints to nowhere."""
    saved = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
