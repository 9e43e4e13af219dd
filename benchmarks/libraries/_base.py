"""What the adapters share: the loop that takes the time, metrics, files, the choice.

An adapter either goes epoch by epoch (`Stepwise`) or can only fit from the start
(`Refit`, whose curve is the difference of fits of 1, 2, ... epochs). In both cases the
clock is CPU time of the process, stopped while the test rows are scored.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import expit
from sklearn.metrics import log_loss, root_mean_squared_error

from benchmarks.synthetic import Synthetic

__all__ = [
    "Library",
    "Point",
    "Refit",
    "Stepwise",
    "field_ids",
    "metric",
    "one_hot_labels",
    "plain",
    "scratch",
    "sigmoid",
    "write_rows",
]

Array = npt.NDArray[Any]


class Point(NamedTuple):
    """Where a fit stands after an epoch."""

    cpu_seconds: float
    """Of the process since the start of the fit, evaluation left out."""
    wall_seconds: float
    test: float
    """Logloss or RMSE on the test rows; NaN where it was not asked for."""


class Library:
    """A library that fits FMs or FFMs."""

    name: ClassVar[str]
    package: ClassVar[str]
    """What to import."""
    models: ClassVar[tuple[str, ...]] = ("fm", "ffm")
    tasks: ClassVar[tuple[str, ...]] = ("logloss", "rmse")
    bags: ClassVar[bool] = True
    """Whether a field may have several weighted values."""

    def available(self) -> bool:
        """Tell whether the library is installed."""
        return find_spec(self.package) is not None

    def why_not(self, problem: Synthetic, model: str) -> str:
        """Return why a problem is out of reach, or an empty text."""
        if model not in self.models:
            return f"{self.name} has no {model}"
        if problem.task not in self.tasks:
            return f"{self.name} has no loss for {problem.task}"
        if not self.bags and problem.X_train.nnz != _one_each(problem.X_train, problem):
            return f"{self.name} takes one value per field"
        return ""

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
        """Fit with one thread; return a point per epoch and keep the model.

        Parameters
        ----------
        problem : Synthetic
            Rows and targets.
        model : {"fm", "ffm"}
            What to fit.
        k : int
            Length of the factor vectors.
        n_epochs : int
            Passes over the rows.
        evaluate : bool
            Whether to score the test rows after every epoch.
        **rates : Any
            Parameters of the library, in its own words.
        """
        raise NotImplementedError

    def predict(self, X: Any) -> Array:
        """Return probabilities of y = 1, or the target."""
        raise NotImplementedError


class Stepwise(Library):
    """A library that can be watched between epochs."""

    def begin(self, problem: Synthetic, model: str, k: int, **rates: Any) -> None:
        """Set the model up; this counts as time of the fit."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Pass over the rows once."""
        raise NotImplementedError

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
        """Fit epoch by epoch."""
        points: list[Point] = []
        cpu = wall = 0.0
        for number in range(n_epochs):
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            if number == 0:
                self.begin(problem, model, k, **rates)
            self.epoch()
            cpu += time.process_time() - cpu_start
            wall += time.perf_counter() - wall_start
            points.append(Point(cpu, wall, self._test(problem) if evaluate else np.nan))
        return points

    def _test(self, problem: Synthetic) -> float:
        return metric(problem.task, problem.y_test, self.predict(problem.X_test))


class Refit(Library):
    """A library that only fits from the start to the end."""

    def train(
        self, problem: Synthetic, model: str, k: int, n_epochs: int, **rates: Any
    ) -> None:
        """Fit so many epochs."""
        raise NotImplementedError

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
        """Fit with 1, 2, ... epochs; without evaluation only with 1 and all.

        What a fit takes beyond its epochs, such as reading a file, is left out.
        """
        points: list[Point] = []
        numbers = range(1, n_epochs + 1) if evaluate else sorted({1, n_epochs})
        for number in numbers:
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            self.train(problem, model, k, number, **rates)
            cpu = time.process_time() - cpu_start
            wall = time.perf_counter() - wall_start
            test = np.nan
            if evaluate:
                scores = self.predict(problem.X_test)
                test = metric(problem.task, problem.y_test, scores)
            points.append(Point(cpu, wall, test))
        return _without_setup(points if evaluate else _filled(points, n_epochs))


def _filled(points: list[Point], n_epochs: int) -> list[Point]:
    """Put the epochs that were not fitted on the line through the first and last."""
    first, last = points[0], points[-1]
    shares = np.linspace(0, 1, n_epochs)
    return [
        Point(
            first.cpu_seconds + share * (last.cpu_seconds - first.cpu_seconds),
            first.wall_seconds + share * (last.wall_seconds - first.wall_seconds),
            np.nan,
        )
        for share in shares
    ]


def _without_setup(points: list[Point]) -> list[Point]:
    """Shift the curve so that the first epoch takes as long as the median one."""
    if len(points) < 2:
        return points
    times = np.array([point[:2] for point in points])
    setup = np.maximum(times[0] - np.median(np.diff(times, axis=0), axis=0), 0)
    rows = zip(times - setup, points, strict=True)
    return [Point(*map(float, time_of), point.test) for time_of, point in rows]


def metric(task: str, y: Array, predictions: Array) -> float:
    """Return the logloss of probabilities, or the RMSE."""
    if task == "rmse":
        return float(root_mean_squared_error(y, predictions))
    # Libraries of float32 give exact zeros and ones now and then.
    clipped = np.clip(np.asarray(predictions, dtype=float), 1e-7, 1 - 1e-7)
    return float(log_loss(y, clipped, labels=[0, 1]))


def field_ids(problem: Synthetic) -> Array:
    """Return the field of every column."""
    return np.repeat(np.arange(len(problem.sizes)), problem.sizes)


def plain(X: Any) -> sp.csr_matrix:
    """Return the same matrix without fields, sharing its memory."""
    return sp.csr_matrix((X.data, X.indices, X.indptr), shape=X.shape)


def one_hot_labels(X: Any, problem: Synthetic) -> Array:
    """Return label numbers inside their field, shape (n_rows, n_fields)."""
    starts = np.concatenate([[0], np.cumsum(problem.sizes)[:-1]])
    return X.indices.reshape(-1, len(problem.sizes)).astype(np.int64) - starts


def _one_each(X: Any, problem: Synthetic) -> int:
    return X.shape[0] * len(problem.sizes)


def write_rows(
    path: Path, X: Any, labels: Array, item: str, ids: Array | None = None
) -> None:
    """Write rows as text: the label, then `item` with field, column and value."""
    fields = None if ids is None else ids[X.indices]
    with path.open("w", encoding="ascii") as file:
        for row, label in enumerate(labels):
            part = slice(X.indptr[row], X.indptr[row + 1])
            columns, values = X.indices[part], X.data[part]
            of = columns if fields is None else fields[part]
            parts = map(item.format, of, columns, values)
            file.write(f"{label:g} {' '.join(parts)}\n")


def scratch() -> Path:
    """Return a new folder that goes when the process does."""
    folder = tempfile.mkdtemp(prefix="benchmark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def sigmoid(scores: Array) -> Array:
    """Return probabilities of scores."""
    return np.asarray(expit(scores))
