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
from skwfm._net import BagDataset, BagNet, Batch, slice_batch, stopping_callbacks
from skwfm._solvers import SOLVERS, Solver, auto_batch_size, choose_solver
from skwfm.nn import WeightedFFM, WeightedFM
from skwfm.nn._fm import FactorModule

__all__ = ["BaseWeightedFM"]

# Rows, and values of bag sums, in one slice of predict: this bounds its memory.
PREDICT_ROWS = 2**14
PREDICT_VALUES = 2**22
# Up to so many rows the penalty does more good than rows held out (five of six
# comparisons in benchmarks/results); a field-aware model overfits sooner.
EARLY_STOPPING_ROWS = {"fm": 200_000, "ffm": 10_000}

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
            Rows to stop by, instead of a random part of `X`.

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
        matrix, y = self._learn_input(X, y)
        loss, values = self._learn_target(y)
        weights = self._row_weights(sample_weight, matrix, values)
        used = weights > 0
        if not used.all():
            matrix, values, weights = matrix[used], values[used], weights[used]
        val.check_classes_left(loss.n_classes, values)
        self._train(matrix, values, weights, loss, eval_set)
        return self

    def _learn_input(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Encode and check X and y; learn the columns and their fields."""
        encode = needs_encoding(X)
        self.field_transformer_ = FieldTransformer() if encode else None
        options = _check_options(X)
        if encode:
            X, y = validate_data(self, X, y, skip_check_array=True)
            X = self.field_transformer_.fit_transform(X, y)  # type: ignore[union-attr]
            matrix, y = check_X_y(X, y, **options)
        else:
            val.check_format(X)
            matrix, y = validate_data(self, X, y, **options)
        known = X if issparse(X) else matrix
        field_map = resolve_fields(known, self.fields, interactions=self._interactions)
        self.fields_, self.field_names_ = field_map.ids, field_map.names
        self.n_fields_ = field_map.n_fields
        return _canonical(matrix, self), y

    def _train(
        self, X: Any, values: Array, weights: Array, loss: Loss, eval_set: Any
    ) -> None:
        """Train on rows of positive weight and set the fitted state."""
        rng = check_random_state(self.random_state)
        n_parameters = X.shape[1] * self._values_per_label * loss.n_outputs
        solver = choose_solver(self.solver, X.shape[0], n_parameters)
        if solver.full_batch:
            X, values, weights = merge_rows(X.astype(np.float64), values, weights)
        target = loss.encode(values, weights, center=self.fit_intercept)
        dtype = X.dtype if target.fits_float32 else np.dtype(np.float64)
        X = X.astype(dtype, copy=False)
        train, valid = self._split(
            X, target, weights, eval_set, rng, solver, n_classes=loss.n_classes
        )
        module = self._start(X.shape[1], loss.n_outputs, target, rng, dtype)
        net = self._net(module, loss, solver, train, valid, rng)
        net.fit(train, None)
        self._keep_history(net, early_stopping=valid is not None)
        self._keep_parameters(net.module_, target)

    def _split(
        self,
        X: Any,
        target: Target,
        weights: Array,
        eval_set: Any,
        rng: np.random.RandomState,
        solver: Solver,
        *,
        n_classes: int,
    ) -> tuple[BagDataset, BagDataset | None]:
        """Return the rows to learn from and those to stop by."""
        fields = self._batch_fields()
        if eval_set is not None:
            X_valid, y_valid = val.check_eval_set(eval_set)
            matrix = self._checked(X_valid).astype(X.dtype, copy=False)
            coded = target.code(self._check_target(y_valid))
            check_consistent_length(matrix, coded)
            valid = BagDataset(matrix, fields, coded, np.ones(len(coded)))
            return BagDataset(X, fields, target.values, weights), valid
        if not self._stops_early(X.shape[0], solver):
            return BagDataset(X, fields, target.values, weights), None
        rows = train_test_split(
            np.arange(X.shape[0]),
            test_size=self.validation_fraction,
            random_state=rng,
            stratify=val.strata(target.values) if n_classes else None,
        )
        return tuple(  # type: ignore[return-value]
            BagDataset(X[part], fields, target.values[part], weights[part])
            for part in rows
        )

    def _all_pairs_count(self) -> bool:
        """Tell whether a machine scores all pairs of a row, whatever their fields."""
        if self._interactions == "ffm":
            return False
        return self.intra_field or FieldMap(self.fields_, self.field_names_).singletons

    def _batch_fields(self) -> tuple[Array, int, bool]:
        """Return what it takes to cut rows into bags."""
        if self._all_pairs_count():
            # One bag a row: many fields of one column each would be many empty bags.
            return np.zeros_like(self.fields_), 1, True
        ids_sorted = bool((self.fields_[1:] >= self.fields_[:-1]).all())
        return self.fields_, self.n_fields_, ids_sorted

    def _stops_early(self, n_rows: int, solver: Solver) -> bool:
        if self.early_stopping != "auto":
            return bool(self.early_stopping)
        enough = n_rows > EARLY_STOPPING_ROWS[self._interactions]
        return enough and not solver.full_batch

    def _start(
        self,
        n_columns: int,
        n_outputs: int,
        target: Target,
        rng: np.random.RandomState,
        dtype: np.dtype[Any],
    ) -> torch.nn.Module:
        """Return the module to train: small random factors, no linear term."""
        width = self._values_per_label * n_outputs
        draw = np.random.default_rng(rng.randint(2**31))
        table = draw.standard_normal((n_columns, width), dtype=dtype)
        table *= self.init_scale
        linear = np.zeros((n_columns, n_outputs), dtype) if self.fit_linear else None
        bias = target.start.astype(dtype) if self.fit_intercept else None
        return self._module(table, linear, bias)

    def _module(
        self, table: Array, linear: Array | None, bias: Array | None
    ) -> FactorModule:
        """Build the torch module on arrays, sharing their memory where it can."""
        parts = {"bag.emb.weight": table, "linear": linear, "bias": bias}
        given = {key: _tensor(part) for key, part in parts.items() if part is not None}
        n_outputs = table.shape[1] // self._values_per_label
        options = {
            "num_outputs": n_outputs,
            "intra_field": self.intra_field or self._all_pairs_count(),
            "linear": linear is not None,
            "bias": bias is not None,
            # No memory, and no draw from torch's random state.
            "device": "meta",
        }
        n_columns, k = len(table), self.n_factors
        module: FactorModule
        if self._interactions == "fm":
            module = WeightedFM(n_columns, k, **options)
        else:
            module = WeightedFFM(n_columns, k, self.n_fields_, **options)
        module.load_state_dict(given, assign=True)
        return module

    def _net(
        self,
        module: torch.nn.Module,
        loss: Loss,
        solver: Solver,
        train: BagDataset,
        valid: BagDataset | None,
        rng: np.random.RandomState,
    ) -> BagNet:
        learning_rate = self.learning_rate
        if learning_rate == "auto":
            learning_rate = solver.learning_rate[self._interactions]
        stopping = stopping_callbacks(
            solver=solver,
            early_stopping=valid is not None,
            max_iter=self.max_iter,
            patience=self.n_iter_no_change,
            tol=self.tol,
            learning_rate=float(learning_rate),
        )
        batch_size = self.batch_size
        if batch_size == "auto":
            values = self._values_per_label * train.fields[1] * loss.n_outputs
            batch_size = auto_batch_size(len(train), values)
        # The penalties are relative to the sum of the losses, the loss is a mean.
        total = train.total_weight
        return BagNet(
            module,
            loss,
            solver=solver,
            weight_decay={
                "bag.emb.weight": self.l2_factors / total,
                "linear": self.l2_linear / total,
            },
            random_state=rng,
            valid=valid,
            lr=learning_rate,
            max_epochs=self.max_iter,
            batch_size=batch_size,
            callbacks=[*(self.callbacks or []), *stopping],
            device=str(self._train_device(solver)),
            verbose=int(self.verbose),
        )

    def _train_device(self, solver: Solver) -> torch.device:
        if solver.full_batch and self.device == "auto":
            return torch.device("cpu")  # few rows
        return resolve_device(self.device, float64=solver.full_batch)

    @property
    def _values_per_label(self) -> int:
        """Factors of one label for one output; a bag sum is as long."""
        return self.n_factors * (self.n_fields_ if self._interactions == "ffm" else 1)

    def _keep_history(self, net: BagNet, *, early_stopping: bool) -> None:
        self.history_ = net.curves()
        self.n_iter_ = len(net.history)
        self.best_iter_ = net.best_epoch() if early_stopping else self.n_iter_

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
        self.factors_ = table.reshape(n_columns, *outputs, *fields, self.n_factors)
        self.coef_ = coef if outputs else coef[0]
        self.intercept_ = intercept.astype(table.dtype)
        if not outputs:
            self.intercept_ = float(intercept[0])

    @property
    def module_(self) -> FactorModule:
        """The torch module of the fitted arrays, on the CPU, sharing their memory."""
        check_is_fitted(self)
        table = self.factors_.reshape(len(self.factors_), -1)
        linear = np.atleast_2d(self.coef_).T
        bias = np.atleast_1d(np.asarray(self.intercept_, dtype=table.dtype))
        return self._module(table, linear, bias)

    def _checked(self, X: Any) -> Any:
        """Encode and check X against what was fitted; return a canonical CSR."""
        check_is_fitted(self)
        options = _check_options(X)
        if self.field_transformer_ is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return _canonical(self.field_transformer_.transform(X), self)
        val.check_format(X)
        matrix = validate_data(self, X, reset=False, **options)
        val.check_same_fields(X, self.fields_)
        return _canonical(matrix, self)

    def _scores(self, X: Any) -> Array:
        """Return the scores of raw input, shape (n_samples, n_outputs)."""
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
        fields = self._batch_fields()
        values = self.factors_[:1].size * fields[1]  # of the bag sums of a row
        rows = min(max(PREDICT_VALUES // max(values, 1), 1), PREDICT_ROWS)
        for start in range(0, X.shape[0], rows):
            yield slice_batch(X[start : start + rows], *fields)

    def __sklearn_tags__(self) -> Any:
        """Accept sparse matrices; a field-aware model must be told the fields."""
        tags = super().__sklearn_tags__()
        known = not (isinstance(self.fields, str) and self.fields == "auto")
        tags.input_tags.sparse = self._interactions == "fm" or known
        return tags


def _check_options(X: Any) -> dict[str, Any]:
    """Return the options of scikit-learn's check: floats of the width X has."""
    dtype = getattr(X, "dtype", None)
    wide = dtype is None or dtype in (np.float64, object)
    return {
        "accept_sparse": "csr",
        "dtype": np.float64 if wide else np.float32,
        # Checked by us, with the row and the column in the message.
        "ensure_all_finite": False,
    }


def _canonical(X: Any, estimator: BaseWeightedFM) -> Any:
    """Return X as plain CSR: finite, sorted, summed, without zeros; X stays as is."""
    matrix = csr_matrix(X)
    columns = getattr(estimator, "feature_names_in_", None)
    if estimator.field_transformer_ is not None:
        columns = estimator.field_transformer_.get_feature_names_out()
    val.check_csr(matrix, columns=columns)
    matrix = canonical_csr(matrix)
    if matrix.nnz and not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def _tensor(array: Array) -> torch.Tensor:
    """Share the memory of an array, or copy one that torch may not write to."""
    contiguous = np.ascontiguousarray(array)
    return torch.from_numpy(
        contiguous if contiguous.flags.writeable else contiguous.copy()
    )
