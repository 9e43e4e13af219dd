"""What the estimators share: fit and predict, from raw input to numpy state.

fit: check and encode X -> canonical CSR and its field map -> coded target -> torch
module -> skorch net -> fitted numpy arrays in the units of y. predict: the same module
on the fitted arrays, over bounded slices of rows; it stores nothing.

Fitted arrays: ``intercept_``, ``coef_`` and ``factors_``. With C > 2 classes ``coef_``
has shape (C, n_columns), and ``factors_`` an axis of C after the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix, issparse
from sklearn import config_context
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, check_random_state, check_X_y
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skwfm import _validation as val
from skwfm._bags import canonical_csr, merge_rows
from skwfm._compose import FieldTransformer
from skwfm._default_fields import needs_encoding
from skwfm._device import resolve_device
from skwfm._fields import FieldMap, resolve_fields
from skwfm._losses import Loss, Target
from skwfm._model import Layout
from skwfm._net import BagDataset, BagNet, Batch, slice_batch, stopping_callbacks
from skwfm._solvers import SOLVERS, Solver, auto_batch_size, choose_solver
from skwfm.nn._fm import FactorModule

__all__ = ["BaseWeightedFM"]

# Rows, and values of bag sums, in one slice of predict: this bounds its memory.
PREDICT_ROWS = 2**14
PREDICT_VALUES = 2**22
# Up to so many rows the penalty does more good than rows held out (five of six
# comparisons in benchmarks/results); a field-aware model overfits sooner.
EARLY_STOPPING_ROWS = {"fm": 200_000, "ffm": 10_000}

# scikit-learn's part of the checks; ours of finiteness names the row and the column.
_CHECKS = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}

Array = npt.NDArray[Any]


class BaseWeightedFM(BaseEstimator):
    """Common part of the four estimators."""

    _interactions: ClassVar[Literal["fm", "ffm"]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_factors": [Interval(Integral, 1, None, closed="left")],
        "fields": [StrOptions({"auto"}), "array-like", FieldMap],
        "intra_field": ["boolean"],
        "solver": [StrOptions({"auto", *SOLVERS})],
        "learning_rate": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "l2_linear": [Interval(Real, 0, None, closed="left")],
        "l2_factors": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "init_scale": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "fit_linear": ["boolean"],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_factors: int = 8,
        *,
        fields: Any = "auto",
        intra_field: bool = False,
        solver: str = "auto",
        learning_rate: float | str = "auto",
        l2_linear: float = 5.0,
        l2_factors: float = 20.0,
        max_iter: int = 20,
        batch_size: int | str = "auto",
        init_scale: float = 0.01,
        fit_intercept: bool = True,
        fit_linear: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        callbacks: list[Any] | None = None,
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.fields = fields
        self.intra_field = intra_field
        self.solver = solver
        self.learning_rate = learning_rate
        self.l2_linear = l2_linear
        self.l2_factors = l2_factors
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.init_scale = init_scale
        self.fit_intercept = fit_intercept
        self.fit_linear = fit_linear
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # What regressors and classifiers add.

    def _learn_target(self, y: Array) -> tuple[Loss, Array]:
        """Learn the kind of target; return its loss and y as numbers."""
        raise NotImplementedError

    def _check_target(self, y: Any) -> Array:
        """Return the y of an eval_set as numbers."""
        raise NotImplementedError

    def _row_weights(self, sample_weight: Any, X: Any, values: Array) -> Array:
        """Return one weight >= 0 per row."""
        return val.check_row_weights(sample_weight, X)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            A DataFrame with columns that are not numbers is encoded by a
            `FieldTransformer` that chooses by the types of the columns.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0; a weight of 2 equals the row twice, 0 its absence.
        eval_set : tuple (X, y), optional
            Rows to stop by, instead of a random part of `X`. With
            ``early_stopping=False`` their loss is recorded only.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not finite, has the wrong shape, or the fields of its
            columns are not known.
        """
        # A refit that fails must not leave a mixture of two fits that predicts.
        self.__dict__.pop("factors_", None)
        matrix, y, dtype = self._learn_input(X, y)
        loss, values = self._learn_target(y)
        weights = self._row_weights(sample_weight, matrix, values)
        if eval_set is not None:
            eval_set = self._checked_eval_set(eval_set)
        used = weights > 0
        if not used.all():
            matrix, values, weights = matrix[used], values[used], weights[used]
        val.check_classes_left(loss.n_classes, values)
        self._train(matrix, values, weights, loss, eval_set, dtype)
        return self

    def _learn_input(self, X: Any, y: Any) -> tuple[Any, Any, np.dtype[Any]]:
        """Encode and check X and y; learn the columns and their fields."""
        encode = needs_encoding(X)
        self.field_transformer_ = FieldTransformer() if encode else None
        if encode:
            X, y = validate_data(self, X, y, skip_check_array=True)
            X = self._encoded(X, y)
            matrix, y = check_X_y(X, y, **_CHECKS)
        else:
            val.check_format(X)
            matrix, y = validate_data(self, X, y, **_CHECKS)
        # Whatever is not sparse is a table: each column is a field.
        known = X if issparse(X) else np.empty((0, matrix.shape[1]))
        field_map = resolve_fields(known, self.fields, interactions=self._interactions)
        self.fields_, self.field_names_ = field_map.ids, field_map.names
        self.n_fields_ = field_map.n_fields
        self.input_field_map_ = getattr(X, "field_map", None)
        # An FM over fields of one column each counts all pairs of a row.
        one_each = self._interactions == "fm" and field_map.singletons
        self.intra_field_ = bool(self.intra_field or one_each)
        return self._canonical(matrix), y, _width(X)

    def _encoded(self, X: Any, y: Any = None) -> Any:
        """Encode a data frame, fitting the encoder where `y` is given."""
        encoder: Any = self.field_transformer_
        # This matrix is ours: a global set_config must not make it a frame.
        with config_context(transform_output="default"):
            return encoder.transform(X) if y is None else encoder.fit_transform(X, y)

    def _checked_eval_set(self, eval_set: Any) -> tuple[Any, Array]:
        X, y = val.check_eval_set(eval_set)
        matrix, values = self._checked(X), self._check_target(y)
        check_consistent_length(matrix, values)
        return matrix, values

    def _train(
        self,
        X: Any,
        values: Array,
        weights: Array,
        loss: Loss,
        eval_set: tuple[Any, Array] | None,
        dtype: np.dtype[Any],
    ) -> None:
        """Train on rows of positive weight and set the fitted state."""
        rng = check_random_state(self.random_state)
        layout = self._layout(self.n_factors)
        solver = choose_solver(
            self.solver,
            n_rows=X.shape[0],
            n_parameters=X.shape[1] * layout.values_per_label * loss.n_outputs,
            values_per_row=layout.values_per_row(loss.n_outputs, X.nnz / X.shape[0]),
        )
        if solver.full_batch:
            X, values, weights = merge_rows(X.astype(np.float64), values, weights)
        target = loss.encode(values, weights, center=self.fit_intercept)
        if solver.full_batch or not target.fits_float32:
            dtype = np.dtype(np.float64)
        cut = layout.cut()
        rows = BagDataset(X.astype(dtype, copy=False), cut, target, weights)
        train, valid = rows, None
        if eval_set is not None:
            matrix, y = eval_set
            coded = target._replace(values=target.code(y))
            valid = BagDataset(matrix.astype(dtype), cut, coded, np.ones(len(y)))
        elif self._holds_rows_out(len(rows), solver):
            train, valid = self._split(rows, loss.n_classes, rng)
        module = self._start(layout, X.shape[1], target, rng, dtype)
        net = self._net(module, loss, solver, train, valid, rng, layout)
        net.fit(train, None)
        if net.interrupted_:
            if net.n_epochs() == 0:
                raise KeyboardInterrupt
            val.warn_interrupted(net.kept_epoch())
        self._keep_history(net)
        self._keep_parameters(net.module_, target)

    def _split(
        self, rows: BagDataset, n_classes: int, rng: np.random.RandomState
    ) -> tuple[BagDataset, BagDataset]:
        """Return the rows to learn from and those to stop by."""
        n_valid = val.check_validation_part(self.validation_fraction, len(rows))
        codes = val.strata(rows.target, n_valid) if n_classes else None
        train, valid = train_test_split(
            np.arange(len(rows)), test_size=n_valid, random_state=rng, stratify=codes
        )
        return rows.part(train), rows.part(valid)

    def _holds_rows_out(self, n_rows: int, solver: Solver) -> bool:
        if self.early_stopping != "auto":
            return bool(self.early_stopping)
        enough = n_rows > EARLY_STOPPING_ROWS[self._interactions]
        return enough and not solver.full_batch

    def _layout(self, n_factors: int) -> Layout:
        return Layout(
            self._interactions,
            n_factors,
            self.fields_,
            self.n_fields_,
            self.intra_field_,
        )

    def _start(
        self,
        layout: Layout,
        n_columns: int,
        target: Target,
        rng: np.random.RandomState,
        dtype: np.dtype[Any],
    ) -> FactorModule:
        """Return the module to train: small random factors, no linear term."""
        n_outputs = len(target.start)
        draw = np.random.default_rng(rng.randint(2**31))
        shape = (n_columns, layout.values_per_label * n_outputs)
        table = draw.standard_normal(shape, dtype=dtype)
        table *= self.init_scale
        linear = np.zeros((n_columns, n_outputs), dtype) if self.fit_linear else None
        bias = target.start.astype(dtype) if self.fit_intercept else None
        return layout.build(table, linear, bias)

    def _net(
        self,
        module: FactorModule,
        loss: Loss,
        solver: Solver,
        train: BagDataset,
        valid: BagDataset | None,
        rng: np.random.RandomState,
        layout: Layout,
    ) -> BagNet:
        learning_rate = self.learning_rate
        if learning_rate == "auto":
            learning_rate = solver.learning_rate[self._interactions]
        batch_size = self.batch_size
        if batch_size == "auto":
            mean_entries = train.X.nnz / len(train)
            values = layout.values_per_row(loss.n_outputs, mean_entries)
            batch_size = auto_batch_size(len(train), values)
        stopping = stopping_callbacks(
            solver=solver,
            early_stopping=valid is not None and self.early_stopping is not False,
            max_iter=self.max_iter,
            patience=self.n_iter_no_change,
            tol=self.tol,
            learning_rate=float(learning_rate),
        )
        # The penalties are relative to the sum of the losses, the loss is a mean.
        decay = {"bag.emb.weight": self.l2_factors, "linear": self.l2_linear}
        device = self.device
        if solver.full_batch and device == "auto":
            device = "cpu"  # few rows
        return BagNet(
            module,
            loss,
            solver=solver,
            weight_decay={key: l2 / train.total_weight for key, l2 in decay.items()},
            random_state=rng,
            valid=valid,
            lr=learning_rate,
            max_epochs=self.max_iter,
            batch_size=batch_size,
            # Ours first: a user's that stops must not hide the epoch from them.
            callbacks=[*stopping, *(self.callbacks or [])],
            device=str(resolve_device(device, float64=solver.full_batch)),
            verbose=int(self.verbose),
        )

    def _keep_history(self, net: BagNet) -> None:
        self.history_ = net.curves()
        self.n_iter_ = net.n_epochs()
        self.best_iter_ = net.kept_epoch()

    def _keep_parameters(self, module: torch.nn.Module, target: Target) -> None:
        """Set the fitted arrays, in the units of y."""
        state = {
            name: part.detach().cpu().numpy()
            for name, part in module.state_dict().items()
        }
        table = state["bag.emb.weight"]
        n_columns, n_outputs = len(table), len(target.start)
        # A pair term is a product of two factors: each takes half of the unit.
        table *= np.sqrt(target.scale)
        linear = state.get("linear", np.zeros((n_columns, n_outputs), table.dtype))
        coef = (linear * np.asarray(target.scale, table.dtype)).T
        bias = state.get("bias", np.zeros(n_outputs, table.dtype))
        intercept = bias * target.scale + target.shift
        outputs = () if n_outputs == 1 else (n_outputs,)
        fields = (self.n_fields_,) if self._interactions == "ffm" else ()
        self.coef_ = coef if outputs else coef[0]
        self.intercept_ = intercept.astype(table.dtype)
        if not outputs:
            self.intercept_ = float(intercept[0])
        self.factors_ = table.reshape(n_columns, *outputs, *fields, -1)

    @property
    def module_(self) -> FactorModule:
        """The torch module of the fitted arrays, on the CPU, sharing their memory."""
        check_is_fitted(self, "factors_")
        table = self.factors_.reshape(len(self.factors_), -1)
        linear = np.atleast_2d(self.coef_).T
        bias = np.atleast_1d(np.asarray(self.intercept_, dtype=table.dtype))
        return self._layout(self.factors_.shape[-1]).build(table, linear, bias)

    def _checked(self, X: Any) -> Any:
        """Encode and check X against what was fitted; return a canonical CSR."""
        if self.field_transformer_ is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return self._canonical(self._encoded(X))
        val.check_format(X)
        matrix = validate_data(self, X, reset=False, **_CHECKS)
        val.check_same_fields(getattr(X, "field_map", None), self.input_field_map_)
        return self._canonical(matrix)

    def _canonical(self, X: Any) -> Any:
        """Return X as plain CSR: finite, sorted, summed, without zeros."""
        matrix = csr_matrix(X)
        val.check_csr(matrix, columns=self._column_names)
        matrix = canonical_csr(matrix)
        if matrix.nnz and not matrix.data.all():
            matrix = matrix.copy()
            matrix.eliminate_zeros()
        return matrix

    def _column_names(self) -> Any:
        """Return the names of the (encoded) columns, or None."""
        if self.field_transformer_ is not None:
            return self.field_transformer_.get_feature_names_out()
        return getattr(self, "feature_names_in_", None)

    def _scores(self, X: Any) -> Array:
        """Return the scores of raw input, shape (n_samples, n_outputs)."""
        check_is_fitted(self, "factors_")
        matrix = self._checked(X).astype(self.factors_.dtype, copy=False)
        float64 = matrix.dtype == np.float64
        device = resolve_device(self.device, fallback=True, float64=float64)
        module = self.module_.to(device)
        with torch.no_grad():
            parts = [
                module.score_flat(*batch.to(device).parts, batch.n_fields)
                for batch in self._slices(matrix)
            ]
            scores: Array = torch.cat(parts).cpu().numpy()
        scores = scores.reshape(matrix.shape[0], -1)
        val.check_finite_scores(scores)
        return scores

    def _slices(self, X: Any) -> Iterator[Batch]:
        """Yield batches of consecutive rows, small enough to bound the memory."""
        layout = self._layout(self.factors_.shape[-1])
        cut, per_label = layout.cut(), self.factors_[:1].size
        rows = min(max(PREDICT_VALUES // (per_label * cut[1]), 1), PREDICT_ROWS)
        entries = max(PREDICT_VALUES // per_label, 1)
        start, n_rows = 0, X.shape[0]
        while start < n_rows:
            fits = np.searchsorted(X.indptr, X.indptr[start] + entries, side="right")
            stop = min(max(int(fits) - 1, start + 1), start + rows, n_rows)
            yield slice_batch(X[start:stop], *cut)
            start = stop

    def __sklearn_tags__(self) -> Any:
        """Accept sparse matrices; a field-aware model must be told the fields."""
        tags = super().__sklearn_tags__()
        known = not (isinstance(self.fields, str) and self.fields == "auto")
        tags.input_tags.sparse = self._interactions == "fm" or known
        return tags


def _width(X: Any) -> np.dtype[Any]:
    """Return the type to train many rows in: float64 where X has it, else float32."""
    given = getattr(X, "dtype", None)
    if not isinstance(given, np.dtype):  # a list, a frame, another library's array
        return np.dtype(np.float64)
    wide = given.kind == "O" or (given.kind == "f" and given.itemsize >= 8)
    return np.dtype(np.float64 if wide else np.float32)
