"""xLearn (C++): it reads text files, so that the cost of a file is in every fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.libraries._base import Array, Refit, field_ids, scratch, write_rows
from benchmarks.libraries.bench_libffm import quiet
from benchmarks.synthetic import Synthetic


class Adapter(Refit):
    """xLearn with one thread and no evaluation of its own.

    Reading the file cancels out in differences of fits. Rows are scaled to length 1,
    as xLearn does by default.
    """

    name, package = "xlearn", "xlearn"
    FORMS: ClassVar[dict[str, str]] = {"ffm": "{0}:{1}:{2:.6g}", "fm": "{1}:{2:.6g}"}
    folder: Path | None = None
    written: tuple[Any, str]

    def fit_curve(self, problem: Synthetic, model: str, *args: Any, **options: Any):
        """Write the rows before the clock starts."""
        same = self.folder is not None and self.written[0] is problem.X_train
        if not (same and self.written[1] == model):
            self.folder = scratch()
            self.written = problem.X_train, model
            path = self.folder / "train.txt"
            self.fields, self.form = field_ids(problem), self.FORMS[model]
            self._write(path, problem.X_train, problem.y_train)
        return super().fit_curve(problem, model, *args, **options)

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Fit so many epochs."""
        # xLearn looks the user up, if only to name its log.
        os.environ.setdefault("USER", "benchmark")
        import xlearn

        self.task = "binary" if problem.task == "logloss" else "reg"
        folder = self.folder
        self.kind = xlearn.create_ffm if model == "ffm" else xlearn.create_fm
        trainer = self.kind()
        trainer.setTrain(str(folder / "train.txt"))
        trainer.setQuiet()
        trainer.disableEarlyStop()
        trainer.disableLockFree()
        options = {"task": self.task, "opt": "adagrad", "lr": 0.2, "lambda": 0.0}
        options.update(rates, k=k, epoch=n_epochs, nthread=1)
        options["log"] = str(folder / "log")
        with quiet():
            trainer.fit(options, str(folder / "model"))
        self._drop_binary_copy(folder)

    def predict(self, X: Any) -> Array:
        """Return probabilities or the target."""
        folder = self.folder
        self._write(folder / "test.txt", X, np.zeros(X.shape[0]))
        trainer = self.kind()
        trainer.setTest(str(folder / "test.txt"))
        if self.task == "binary":
            trainer.setSigmoid()
        with quiet():
            trainer.predict(str(folder / "model"), str(folder / "out"))
        (folder / "test.txt.bin").unlink(missing_ok=True)
        return np.loadtxt(folder / "out", ndmin=1)

    def _write(self, path: Path, X: Any, y: Array) -> None:
        write_rows(path, X, y, self.form, self.fields)

    def _drop_binary_copy(self, folder: Path) -> None:
        """Make the next fit read the text again, as the first one did."""
        (folder / "train.txt.bin").unlink(missing_ok=True)
