"""From raw input and fitted arrays to scores: in the compiled core, or in torch.

A model with draws of its parameters is scored by each of them, a stretch of rows at a
time; without, by the one set that it has. Nothing is stored, and memory does not grow
with the rows but for what is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted

from skwfm import _validation as val
from skwfm._device import no_threads_of_parent, resolve_device
from skwfm._input import FieldInput
from skwfm._kernels import compiled
from skwfm._kernels.checks import Faults
from skwfm._kernels.compiled import Rows
from skwfm._matrix_validation import check_fitted_shapes
from skwfm._model import Layout
from skwfm._net import Batch, slice_batch
from skwfm._samples import Samples, Score

__all__ = ["Scoring"]

# Rows, and values of bag sums, in one slice of predict: this bounds its memory.
PREDICT_ROWS = 2**14
PREDICT_VALUES = 2**19
# A GPU takes so many times as much (128 MiB of float32), or it would mostly wait.
GPU_FACTOR = 64
# Rows, and stored values, that are converted at a time where X is not what the core
# takes.
CONVERT_ROWS = 2**14
CONVERT_ENTRIES = 2**20

Array = npt.NDArray[Any]


class Scoring(FieldInput):
    """The part of the estimators that scores rows."""

    # Parameters and fitted arrays.
    device: str
    factors_: Array
    coef_: Array
    intercept_: Any
    samples_: Samples

    def _layout(self, n_factors: int) -> Layout:
        return Layout(
            self._interactions,
            n_factors,
            self.fields_,
            self.n_fields_,
            self.intra_field_,
        )

    def _parameters(self) -> tuple[Array, Array, Array]:
        """Return factors (n_columns, -1), linear (n_columns, C) and bias (C,)."""
        n_outputs = np.size(self.intercept_)
        outputs = () if n_outputs == 1 else (n_outputs,)
        targets = (self.n_fields_,) if self._interactions == "ffm" else ()
        check_fitted_shapes(
            self.factors_, self.coef_, self.fields_, self.n_fields_, outputs, targets
        )
        table = self.factors_.reshape(len(self.factors_), -1)
        linear = np.atleast_2d(self.coef_).T
        bias = np.atleast_1d(np.asarray(self.intercept_, dtype=table.dtype))
        return table, linear, bias

    def _scores(self, X: Any) -> Array:
        """Return the scores of raw input, shape (n_samples, n_outputs)."""
        check_is_fitted(self, "factors_")
        matrix, faults = self._looked_at(X)
        device, in_core = self._where()
        if in_core:
            scores = self._core_scores(matrix, faults)
        else:
            scores = self._torch_scores(matrix, faults, device)
        val.check_finite_scores(scores)
        return scores

    def _where(self) -> tuple[torch.device, bool]:
        """Return the device to score on, and whether the core does."""
        wide = self.factors_.dtype == np.float64
        core = compiled.available()
        device = resolve_device(self.device, fallback=True, float64=wide, core=core)
        return device, core and device.type == "cpu"

    def _core_scores(self, X: Any, faults: Faults | None) -> Array:
        """Score rows in the compiled core: a row the same, alone or among others."""
        layout = self._layout(self.factors_.shape[-1])
        table, linear, bias = self._parameters()
        scheme, model = layout.scheme(len(bias)), (table, linear, bias)
        n_threads = self._n_threads()
        ready = faults == Faults.NONE and X.dtype == table.dtype
        if ready and X.indices.dtype == np.int32:
            return compiled.score(scheme, Rows.of(X), *model, n_threads=n_threads)
        scores = np.empty((X.shape[0], len(bias)), table.dtype)
        sizes = CONVERT_ROWS, CONVERT_ENTRIES
        for rows, part in self._parts(X, faults, table.dtype, *sizes):
            scores[rows] = compiled.score(
                scheme, Rows.of(part), *model, n_threads=n_threads
            )
        return scores

    def _torch_scores(
        self, X: Any, faults: Faults | None, device: torch.device
    ) -> Array:
        """Score rows in torch, in slices of bounded memory."""
        module = self.module_.to(device)
        # Not a list of results: each would lie between memory that could be given back.
        scores = np.empty((X.shape[0], module.num_outputs), self.factors_.dtype)
        with no_threads_of_parent(), torch.no_grad():
            for rows, batch in self._slices(X, faults, device.type):
                parts = batch.to(device).parts
                part = module.score_flat(*parts, batch.n_fields)
                scores[rows] = part.view(len(batch), -1).cpu().numpy()
        return scores

    def _slices(
        self, X: Any, faults: Faults | None, kind: str = "cpu"
    ) -> Iterator[tuple[slice, Batch]]:
        """Yield batches of consecutive rows, small enough to bound the memory.

        The kind is that of the device: a GPU wants more rows at a time.
        """
        layout = self._layout(self.factors_.shape[-1])
        cut, per_label = layout.cut(), self.factors_[:1].size
        more = 1 if kind == "cpu" else GPU_FACTOR
        values, most = more * PREDICT_VALUES, more * PREDICT_ROWS
        rows = min(max(values // (per_label * cut[1]), 1), most)
        entries = max(values // per_label, 1)
        dtype = self.factors_.dtype
        for stretch, part in self._parts(X, faults, dtype, rows, entries):
            yield stretch, slice_batch(part, *cut)

    def _by_draws(self, X: Any, predict: Callable[[Score, Any], Any]) -> Array:
        """Predict by all draws, stretch by stretch.

        Parameters
        ----------
        X : Any
            Raw input.
        predict : callable
            Takes what scores a stretch of rows by some parameters, and the rows as CSR;
            returns an array, or a tuple of arrays, with one number per row.

        Returns
        -------
        array of float64, shape (n_samples,) or (n_arrays, n_samples)
        """
        check_is_fitted(self, "factors_")
        self._parameters()  # which checks that their shapes fit
        matrix, faults = self._looked_at(X)
        device, in_core = self._where()
        parts = []
        stretches = self._parts(
            matrix, faults, self.factors_.dtype, CONVERT_ROWS, CONVERT_ENTRIES
        )
        with no_threads_of_parent(), torch.no_grad():
            for _, part in stretches:
                score = (
                    self._core_scorer(part) if in_core else self._scorer(part, device)
                )
                parts.append(np.asarray(predict(score, part)))
        out = np.concatenate(parts, axis=-1)
        val.check_finite_scores(np.atleast_2d(out).T)
        return out

    def _core_scorer(self, part: Any) -> Score:
        layout = self._layout(self.factors_.shape[-1])
        scheme, rows, n_threads = layout.scheme(1), Rows.of(part), self._n_threads()
        return lambda model: compiled.score(scheme, rows, *model, n_threads=n_threads)

    def _scorer(self, part: Any, device: torch.device) -> Score:
        layout = self._layout(self.factors_.shape[-1])
        batch = slice_batch(part, *layout.cut()).to(device)

        def score(model: Any) -> Array:
            module = layout.build(*model).to(device)
            scores: Array = (
                module.score_flat(*batch.parts, batch.n_fields).cpu().numpy()
            )
            return scores.reshape(len(batch), -1)

        return score
