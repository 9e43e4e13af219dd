"""What the estimators share: fit and predict, from raw input to numpy state.

fit: check and encode X -> canonical CSR and its field map -> coded target -> training
-> fitted numpy arrays in the units of y. predict: the compiled core on the fitted
arrays, or the torch module on bounded slices of rows; it stores nothing.

Fitted arrays: ``intercept_``, ``coef_`` and ``factors_``. With C > 2 classes ``coef_``
has shape (C, n_columns), and ``factors_`` an axis of C after the columns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skwfm import _stream_validation as stream_val
from skwfm import _validation as val
from skwfm._bags import narrow_csr
from skwfm._callbacks import CallbackSupport, during_fit
from skwfm._device import no_threads_of_parent
from skwfm._epoch_tasks import end_fit_task, fit_tasks
from skwfm._field_map import FieldMap
from skwfm._html import FieldsHTML
from skwfm._loop import joined_curves
from skwfm._losses import Loss
from skwfm._optimizers import OPTIMIZER_METHODS, OPTIMIZERS
from skwfm._saving import save_model
from skwfm._schedules import SCHEDULES
from skwfm._scoring import Scoring
from skwfm._solver_validation import check_solver_name, check_stream_options
from skwfm._solvers import ONLINE, SOLVERS
from skwfm._state import Known
from skwfm._statistics import Statistics, added, statistics_of
from skwfm._stream import Learned, Stream
from skwfm._training import Fitted, Problem, room_for_table, train
from skwfm._verdict import warn_if_useless_so_far
from skwfm.nn._fm import FactorModule

__all__ = ["BaseWeightedFM"]

Array = npt.NDArray[Any]


class BaseWeightedFM(FieldsHTML, CallbackSupport, Scoring):
    """Common part of the four estimators."""

    history_: dict[str, list[float]]
    n_iter_: int
    statistics_: Statistics

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_factors": [Interval(Integral, 1, None, closed="left")],
        "fields": [StrOptions({"auto"}), "array-like", FieldMap],
        "intra_field": ["boolean"],
        "solver": [
            StrOptions({"auto", *SOLVERS, *OPTIMIZERS}),
            HasMethods(OPTIMIZER_METHODS),
        ],
        "solver_params": [dict, None],
        "adagrad_state": [StrOptions({"row", "weight"})],
        "learning_rate": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "learning_rate_linear": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "learning_rate_schedule": [StrOptions({"auto", *SCHEDULES})],
        "l1_linear": [Interval(Real, 0, None, closed="left")],
        "l2_linear": [Interval(Real, 0, None, closed="left")],
        "l2_factors": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_burn_in": [
            StrOptions({"auto"}),
            Interval(Integral, 0, None, closed="left"),
        ],
        "n_kept": [Interval(Integral, 1, None, closed="left")],
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
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_factors: int = 8,
        *,
        fields: Any = "auto",
        intra_field: bool = False,
        solver: Any = "auto",
        solver_params: dict[str, Any] | None = None,
        adagrad_state: str = "row",
        learning_rate: float | str = "auto",
        learning_rate_linear: float | str = "auto",
        learning_rate_schedule: str = "auto",
        l1_linear: float = 0.0,
        l2_linear: float = 5.0,
        l2_factors: float = 20.0,
        dropout: float = 0.0,
        max_iter: int | str = "auto",
        n_burn_in: int | str = "auto",
        n_kept: int = 100,
        batch_size: int | str = "auto",
        init_scale: float = 0.01,
        fit_intercept: bool = True,
        fit_linear: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.fields = fields
        self.intra_field = intra_field
        self.solver = solver
        self.solver_params = solver_params
        self.adagrad_state = adagrad_state
        self.learning_rate = learning_rate
        self.learning_rate_linear = learning_rate_linear
        self.learning_rate_schedule = learning_rate_schedule
        self.l1_linear = l1_linear
        self.l2_linear = l2_linear
        self.l2_factors = l2_factors
        self.dropout = dropout
        self.max_iter = max_iter
        self.n_burn_in = n_burn_in
        self.n_kept = n_kept
        self.batch_size = batch_size
        self.init_scale = init_scale
        self.fit_intercept = fit_intercept
        self.fit_linear = fit_linear
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _validate_params(self) -> None:
        """Check the parameters; a mistyped solver is told the names like it."""
        known = ["auto", *SOLVERS, *OPTIMIZERS]
        check_solver_name(self.solver, known, type(self).__name__)
        super()._validate_params()

    # What regressors and classifiers add.

    def _learn_target(self, y: Array, classes: Array | None) -> tuple[Loss, Array]:
        """Learn the kind of target, classes where none are given; y as numbers."""
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
            A DataFrame (pandas, polars, Arrow table) with columns that are not numbers
            is encoded by a `FieldTransformer` that chooses by the types of the columns.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0; a weight of 2 equals the row twice, 0 its absence.
        eval_set : tuple of (X, y), optional
            Rows to stop by, instead of a random part of `X`. With
            ``early_stopping=False`` their loss is recorded only.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If `X`, `y` or `sample_weight` cannot be read, is not finite or has the
            wrong shape, the fields of the columns are not known, or a parameter is not
            valid.
        MemoryError
            If the factors are too many for the memory.

        Warns
        -----
        ConvergenceWarning
            If training diverges or is interrupted; the last good epoch is kept. If
            weights are not scaled, and the model predicts its own rows worse than a
            constant.
        FieldMapWarning
            If every column of a plain sparse matrix is taken as a field.

        Examples
        --------
        A weight of 2 is the row twice, and a weight of 0 its absence:

        >>> from skwfm import WeightedFMRegressor
        >>> X, y = [[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]], [1.0, 2.0, 4.0]
        >>> weighted = WeightedFMRegressor(random_state=0)
        >>> weighted = weighted.fit(X, y, sample_weight=[2, 1, 0])
        >>> repeated = WeightedFMRegressor(random_state=0)
        >>> repeated = repeated.fit([X[0], X[0], X[1]], [1.0, 1.0, 2.0])
        >>> bool((weighted.predict(X) == repeated.predict(X)).all())
        True
        """
        if self.warm_start and hasattr(self, "factors_"):
            with self._unchanged_on_error():
                self._fit(X, y, sample_weight, eval_set, self._known())
        else:
            # A refit that fails must not leave a mixture of two fits that predicts.
            for name in ("factors_", "samples_"):
                self.__dict__.pop(name, None)
            self._fit(X, y, sample_weight, eval_set, None)
        end_fit_task(self, X, y, sample_weight)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, known: Known | None
    ) -> None:
        rng = check_random_state(self.random_state)
        # Nobody else holds the parts of the problem: training frees what it has used.
        rows = X, y, sample_weight
        with no_threads_of_parent():
            fitted = train(
                self, self._counted(self._whole_problem(*rows, eval_set, known)), rng
            )
            self._keep(fitted, known is not None)

    def _whole_problem(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, known: Known | None
    ) -> Problem:
        classes = None if known is None else getattr(self, "classes_", None)
        problem = self._problem(X, y, sample_weight, known, classes)
        if eval_set is not None:
            problem = problem._replace(eval_set=self._checked_eval_set(eval_set))
        loss = problem.loss
        val.check_target_left(loss.name, loss.n_classes, problem.values)
        tasks = fit_tasks(self, X, y, sample_weight, known is not None)
        return problem._replace(watchers=tasks)

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, classes: Any = None
    ) -> Self:
        """Take a step for every row, in order."""
        started = time.perf_counter()
        stream_val.check_stream_solver(self.solver, ONLINE)
        check_stream_options(self.dropout, self.solver_params)
        with self._unchanged_on_error():
            go_on = hasattr(self, "factors_")
            before = self._known() if go_on else None
            counted = getattr(self, "statistics_", None) if go_on else None
            problem = self._problem(X, y, sample_weight, before, classes)
            self._counted(problem, np.float64)
            self.statistics_ = added(counted, self.statistics_)
            X, values, weights = problem.X, problem.values, problem.weights
            known = problem.known
            stream = Stream.of(self, problem.loss, problem.layout, self._n_threads())
            if known is None:
                seed = check_random_state(self.random_state).randint(2**31)
                shape = (X.shape[1], problem.dtype)
                sizes = problem.layout, shape[0], problem.loss.n_outputs, shape[1]
                with room_for_table(*sizes):
                    known = stream.begin(*shape, values[0], weights[0], seed)
            learned = stream.learn(stream.resumed(known), X, values, weights)
            seconds = time.perf_counter() - started
            self._keep_stream(learned, seconds, go_on)
        if learned.n_rows < len(values):
            stream_val.warn_stream_stopped(learned.n_rows, self.learning_rate)
        else:
            seen = learned.known.state.seen
            warn_if_useless_so_far(
                learned.loss,
                seen.scale * seen.unit,
                problem.loss,
                values,
                weights,
                X,
                self.fields_,
                self.field_names_,
                has_intercept=self.fit_intercept,
            )
        return self

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            # A fit that fails in its midst takes its callbacks down.
            self.__dict__ = before | during_fit(self)
            raise

    def _problem(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        known: Known | None,
        classes: Array | None,
    ) -> Problem:
        """Learn columns and target; return the rows of positive weight."""
        matrix, y, dtype = self._learn_input(X, y, go_on=known is not None)
        loss, values = self._learn_target(y, classes)
        if known is not None:
            stream_val.check_same_loss(loss.name, known.state.loss)
        with np.errstate(over="ignore"):
            weights = self._row_weights(sample_weight, matrix, values)
        val.check_total_weight(weights)
        used = weights > 0
        if not used.all():
            matrix, values, weights = matrix[used], values[used], weights[used]
        matrix = narrow_csr(matrix)  # once, not wherever the core looks at rows
        layout = self._layout(self.n_factors)
        if known is not None:
            sizes = layout, matrix.shape[1], loss.n_outputs, known.factors.dtype
            with room_for_table(*sizes):
                known = known.grown(matrix.shape[1])
        return Problem(matrix, values, weights, loss, None, layout, dtype, known)

    def _counted(self, problem: Problem, dtype: Any = np.float32) -> Problem:
        """Learn how often the labels occur; return the problem."""
        columns = self.fields_, self.n_fields_
        rows = problem.X, problem.weights
        self.statistics_ = statistics_of(*rows, *columns, dtype)
        return problem

    def _known(self) -> Known:
        """Return the fitted parameters, to go on from."""
        stream_val.check_same_factors(self.n_factors, self.factors_.shape[-1])
        state = stream_val.check_solver_state(getattr(self, "solver_state_", None))
        factors, linear, _ = self._parameters()
        bias = np.atleast_1d(np.asarray(self.intercept_, np.float64))
        if not hasattr(self, "samples_") or self.solver != "mcmc":
            return Known(factors, linear, bias, state)
        # The chain goes on from its last draw.
        samples = self.samples_
        factors, linear, _ = samples[-1]
        spread = None if samples.spread is None else samples.spread[-1]
        return Known(factors, linear, samples.intercept[-1:], state, spread)

    def _checked_eval_set(self, eval_set: Any) -> tuple[Any, Array]:
        X, y = val.check_eval_set(eval_set)
        matrix, values = self._checked(X), self._check_target(y)
        check_consistent_length(matrix, values)
        return matrix, values

    def _keep(self, fitted: Fitted, go_on: bool) -> None:
        """Set the fitted arrays, in the units of y."""
        target, table = fitted.target, fitted.table
        n_columns, n_outputs = len(table), len(target.start)
        # A pair term is a product of two factors: each takes half of the unit.
        table *= np.sqrt(target.scale)
        linear, bias = fitted.linear, fitted.bias
        if linear is None:
            linear = np.zeros((n_columns, n_outputs), table.dtype)
        if bias is None:
            bias = np.zeros(n_outputs, table.dtype)
        linear = linear * np.asarray(target.scale, table.dtype)
        self._set_parameters(table, linear, bias * target.scale + target.shift)
        self.solver_state_ = fitted.state
        if fitted.samples is not None:
            self.samples_ = fitted.samples
        epochs = fitted.n_iter, fitted.best_iter
        self._record(fitted.history, *epochs, go_on=go_on)

    def _keep_stream(self, learned: Learned, seconds: float, go_on: bool) -> None:
        """Set the arrays after some further rows."""
        known = learned.known
        self._set_parameters(known.factors, known.linear, known.bias)
        self.solver_state_ = known.state
        history = {"train_loss": [learned.loss], "seconds": [seconds]}
        self._record(history, 1, 1, go_on=go_on)

    def _set_parameters(self, table: Array, linear: Array, intercept: Array) -> None:
        self.__dict__.pop("samples_", None)  # of another fit
        n_columns, n_outputs = linear.shape
        outputs = () if n_outputs == 1 else (n_outputs,)
        fields = (self.n_fields_,) if self._interactions == "ffm" else ()
        self.coef_ = linear.T if outputs else linear[:, 0]
        self.intercept_: Any = intercept.astype(table.dtype)
        if not outputs:
            self.intercept_ = float(intercept[0])
        self.factors_ = table.reshape(n_columns, *outputs, *fields, -1)

    def _record(
        self, history: dict[str, list[float]], n_iter: int, best_iter: int, go_on: bool
    ) -> None:
        before = self.n_iter_ if go_on else 0
        self.history_ = joined_curves(self.history_ if go_on else {}, history)
        self.n_iter_, self.best_iter_ = before + n_iter, before + best_iter

    @property
    def module_(self) -> FactorModule:
        """The torch module of the fitted arrays, on the CPU, sharing their memory.

        A `WeightedFM` or `WeightedFFM` of `skwfm.nn`. It is made anew at each access.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.

        Examples
        --------
        >>> import torch
        >>> from skwfm import FieldCSR, WeightedFMRegressor, to_padded
        >>> X = FieldCSR([[1, 0, 2], [0, 1, 1], [1, 1, 0], [1, 0, 0]], fields=[2, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [3.0, 2.0, 2.0, 1.0])
        >>> scores = fm.module_(*map(torch.from_numpy, to_padded(X)))
        >>> bool((abs(scores.detach().numpy() - fm.predict(X)) < 1e-5).all())
        True
        """
        check_is_fitted(self, "factors_")
        layout = self._layout(self.factors_.shape[-1])
        return layout.build(*self._parameters())

    def save(self, path: Any) -> None:
        """Write the model to a file that `skwfm.load` reads without running code.

        Parameters
        ----------
        path : str or path-like
            The file, which is replaced; on an error it stays as it was.

        Raises
        ------
        TypeError
            If a parameter is something that a file cannot hold, such as callbacks.
        OSError
            If the file cannot be written.
        sklearn.exceptions.NotFittedError
            If `fit` was not called.

        See Also
        --------
        skwfm.save : The same for encoders and pipelines.
        skwfm.load : The way back.

        Examples
        --------
        >>> import tempfile
        >>> import skwfm
        >>> from pathlib import Path
        >>> X, y = [[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]], [1.0, 2.0, 4.0]
        >>> fm = skwfm.WeightedFMRegressor(random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fm.save(Path(folder, "ratings.skwfm"))
        ...     restored = skwfm.load(Path(folder, "ratings.skwfm"))
        >>> bool((restored.predict(X) == fm.predict(X)).all())
        True
        """
        check_is_fitted(self, "factors_")
        save_model(self, path)

    def __sklearn_tags__(self) -> Any:
        """Accept sparse matrices; a field-aware model must be told the fields."""
        tags = super().__sklearn_tags__()
        known = not (isinstance(self.fields, str) and self.fields == "auto")
        tags.input_tags.sparse = self._interactions == "fm" or known
        return tags
