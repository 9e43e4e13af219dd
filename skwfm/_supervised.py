"""What a real target and classes add to the common estimator: loss, coding, methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets

from skwfm import _stream_validation as stream_val
from skwfm import _validation as val
from skwfm._base import BaseWeightedFM
from skwfm._losses import (
    Huber,
    Logistic,
    Loss,
    Ordinal,
    Poisson,
    Softmax,
    Squared,
)

__all__ = ["WeightedClassifier", "WeightedRegressor"]

Array = npt.NDArray[Any]
# Rows whose probabilities of several classes are worked out at a time.
PROBA_ROWS = 2**14
# scikit-learn's check of a target looks closer at more labels than these.
FEW_LABELS = 20

LOSSES: dict[str, type[Loss]] = {
    "squared_error": Squared,
    "huber": Huber,
    "poisson": Poisson,
}
# Beside them, with levels that are learned.
ORDINAL = "ordinal"


class WeightedRegressor(RegressorMixin, BaseWeightedFM):
    """A real target."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseWeightedFM._parameter_constraints,
        "loss": [StrOptions({*LOSSES, ORDINAL})],
    }

    def __init__(
        self,
        n_factors: int = 8,
        *,
        loss: str = "squared_error",
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
        super().__init__(
            n_factors,
            fields=fields,
            intra_field=intra_field,
            solver=solver,
            solver_params=solver_params,
            adagrad_state=adagrad_state,
            learning_rate=learning_rate,
            learning_rate_linear=learning_rate_linear,
            learning_rate_schedule=learning_rate_schedule,
            l1_linear=l1_linear,
            l2_linear=l2_linear,
            l2_factors=l2_factors,
            dropout=dropout,
            max_iter=max_iter,
            n_burn_in=n_burn_in,
            n_kept=n_kept,
            batch_size=batch_size,
            init_scale=init_scale,
            fit_intercept=fit_intercept,
            fit_linear=fit_linear,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss

    def _learn_target(self, y: Array, classes: Array | None) -> tuple[Loss, Array]:
        if self.loss != ORDINAL:
            self.__dict__.pop("levels_", None)
            return LOSSES[self.loss](), self._check_target(y)
        if not (hasattr(self, "factors_") and hasattr(self, "levels_")):
            self.levels_ = val.check_levels(val.check_real_target(y))
        return Ordinal(self.levels_), self._check_target(y)

    def _check_target(self, y: Any) -> Array:
        values = val.check_real_target(y)
        if self.loss == ORDINAL:
            val.check_known_classes(values, self.levels_, "y")
            codes: Array = np.searchsorted(self.levels_, values)
            return codes
        return val.check_counts(values) if self.loss == "poisson" else values

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on learning from further rows: one step for each, in their order.

        The result depends on the rows and their order, not on the calls that they came
        in. AdaGrad takes the steps, or sgd or ftrl where that is the `solver`, in the
        compiled core (thousands of times slower without it). Rows may have further
        columns at the end, as those of an encoder that has grown; old columns keep
        what they learned. Rows count anew each time that they are given. Parameters
        about epochs, rows held out and callbacks do not matter. After `fit`, training
        goes on with what the steps had become.

        A target is scaled by the first rows; the first 16 rows of a new model only
        find out its scale and size of rows, and learning starts again after them.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that the calls before got.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0 of the rows.

        Returns
        -------
        self
            The estimator, fitted further. After an error it is what it was.

        Raises
        ------
        TypeError, ValueError
            If the input cannot be read, is not finite, has other columns or fields, or
            the solver takes no step per row.
        MemoryError
            If the factors are too many for the memory.

        Warns
        -----
        ConvergenceWarning
            If a step is not finite; the rows from there on are left out.
            If weights are not scaled, and 200 rows or more are predicted worse, each
            before its step, than by a constant.

        Examples
        --------
        >>> import numpy as np
        >>> from skwfm import WeightedFMRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.choice([-1.0, 1.0], size=(4000, 2))
        >>> y = 50 + 10 * X[:, 0] * X[:, 1]
        >>> fm = WeightedFMRegressor(l2_factors=1, random_state=0)
        >>> for rows in np.array_split(np.arange(4000), 40):
        ...     fm = fm.partial_fit(X[rows], y[rows])
        >>> fm.predict([[1.0, 1.0], [1.0, -1.0]]).round()
        array([60., 40.])
        """
        stream_val.check_stream_loss(self.loss)
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.
        return_std : bool, default=False
            Also return how far a target may be from its prediction; for
            ``solver="mcmc"``.

        Returns
        -------
        y_mean : array of shape (n_samples,)
            Predictions in the units of y.
        y_std : array of shape (n_samples,)
            Standard deviation of the predictive distribution, the noise of the target
            included; only with `return_std`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If `X` cannot be read, is not finite or has other columns than in `fit`, or
            a score overflows.

        Examples
        --------
        >>> from skwfm import WeightedFMRegressor
        >>> X = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] * 25
        >>> y = [60.0, 40.0, 40.0, 60.0] * 25
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, y)
        >>> fm.predict([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]]).round(1)
        array([58., 42., 50.])
        """
        if return_std:
            val.check_has_samples(self)
            mean, std = self._by_draws(X, self.samples_.mean_and_std)
            return mean.astype(self.factors_.dtype), std
        if hasattr(self, "samples_"):
            mean = self._by_draws(X, lambda score, _: self.samples_.mean(score))
            return mean.astype(self.factors_.dtype)
        scores = self._scores(X)[:, 0]
        return val.checked_exp(scores) if self.loss == "poisson" else scores


def _by_rows(function: Callable[..., Array], scores: Array) -> Array:
    """Put a function of the scores of each row in their place; some rows at a time."""
    for start in range(0, len(scores), PROBA_ROWS):
        rows = slice(start, start + PROBA_ROWS)
        scores[rows] = function(scores[rows], axis=1)
    return scores


def _different(y: Array) -> Array:
    """Return the different labels of a target, refused where they are no classes."""
    is_number = y.dtype.kind in "biuf"
    if not is_number:
        check_classification_targets(y)
    labels = np.unique(y)
    if is_number:
        # A few numbers say of what kind all are; of many, scikit-learn counts how many.
        check_classification_targets(labels if len(labels) <= FEW_LABELS else y)
    return labels


class WeightedClassifier(ClassifierMixin, BaseWeightedFM):
    """Two classes and the logistic loss, or more and the softmax loss."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseWeightedFM._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
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
        l2_linear: float = 1.0,
        l2_factors: float = 20.0,
        dropout: float = 0.0,
        max_iter: int | str = "auto",
        n_burn_in: int | str = "auto",
        n_kept: int = 100,
        batch_size: int | str = "auto",
        init_scale: float = 0.01,
        fit_intercept: bool = True,
        fit_linear: bool = True,
        class_weight: Any = None,
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
        super().__init__(
            n_factors,
            fields=fields,
            intra_field=intra_field,
            solver=solver,
            solver_params=solver_params,
            adagrad_state=adagrad_state,
            learning_rate=learning_rate,
            learning_rate_linear=learning_rate_linear,
            learning_rate_schedule=learning_rate_schedule,
            l1_linear=l1_linear,
            l2_linear=l2_linear,
            l2_factors=l2_factors,
            dropout=dropout,
            max_iter=max_iter,
            n_burn_in=n_burn_in,
            n_kept=n_kept,
            batch_size=batch_size,
            init_scale=init_scale,
            fit_intercept=fit_intercept,
            fit_linear=fit_linear,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _learn_target(self, y: Array, classes: Array | None) -> tuple[Loss, Array]:
        val.check_label_kinds(y)
        found = _different(y)
        if classes is not None:
            self.classes_ = classes
            val.check_known_classes(y, classes, "y")
        else:
            self.classes_ = found
            val.check_two_classes(self.classes_)
        codes = np.searchsorted(self.classes_, y)  # unique's inverse would sort y
        n_classes = len(self.classes_)
        return (Logistic() if n_classes == 2 else Softmax(n_classes)), codes

    def _check_target(self, y: Any) -> Array:
        y = column_or_1d(y)
        val.check_known_classes(y, self.classes_, "eval_set y")
        codes: Array = np.searchsorted(self.classes_, y)
        return codes

    def _row_weights(self, sample_weight: Any, X: Any, values: Array) -> Array:
        weights = super()._row_weights(sample_weight, X, values)
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, str):  # "balanced"
            # Counted with the weights: a row of weight 0 is no row.
            totals = np.bincount(values, weights, minlength=len(self.classes_))
            present = totals > 0
            shares = weights.sum() / (present.sum() * np.where(present, totals, 1))
            return np.asarray(weights * shares[values])
        by_class = compute_sample_weight(self.class_weight, self.classes_[values])
        val.check_class_weights(by_class, self.classes_[values])
        return np.asarray(weights * by_class)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Go on learning from further rows: one step for each, in their order.

        The result depends on the rows and their order, not on the calls that they came
        in. AdaGrad takes the steps, or sgd or ftrl where that is the `solver`, in the
        compiled core (thousands of times slower without it). Rows may have further
        columns at the end, as those of an encoder that has grown; old columns keep
        what they learned. Rows count anew each time that they are given. Parameters
        about epochs, rows held out and callbacks do not matter. After `fit`, training
        goes on with what the steps had become.

        The first 16 rows of a new model only find out the size of rows, and learning
        starts again after them.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that the calls before got.
        y : array-like of shape (n_samples,)
            Classes; one call need not have them all.
        classes : array-like of shape (n_classes,), optional
            All classes there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0 of the rows.

        Returns
        -------
        self
            The estimator, fitted further. After an error it is what it was.

        Raises
        ------
        TypeError, ValueError
            If the input cannot be read, is not finite, has other columns, fields or
            classes, the solver takes no step per row, or `class_weight` is "balanced".
        MemoryError
            If the factors are too many for the memory.

        Warns
        -----
        ConvergenceWarning
            If a step is not finite; the rows from there on are left out.
            If weights are not scaled, and 200 rows or more are predicted worse, each
            before its step, than by a constant.

        Examples
        --------
        >>> import numpy as np
        >>> from skwfm import WeightedFMClassifier
        >>> rng = np.random.default_rng(0)
        >>> X = rng.choice([-1.0, 1.0], size=(4000, 2))
        >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "different")
        >>> fm = WeightedFMClassifier(l2_factors=1, random_state=0)
        >>> for rows in np.array_split(np.arange(4000), 40):
        ...     fm = fm.partial_fit(X[rows], y[rows], classes=["different", "same"])
        >>> fm.predict([[1.0, 1.0], [1.0, -1.0]])
        array(['same', 'different'], dtype='<U9')
        """
        stream_val.check_stream_class_weight(self.class_weight)
        fitted = self.classes_ if hasattr(self, "factors_") else None
        classes = stream_val.check_stream_classes(classes, fitted)
        return self._partial_fit(X, y, sample_weight, classes)

    def __sklearn_tags__(self) -> Any:
        """Say that a sampler takes two classes only."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.solver != "mcmc"
        return tags

    def decision_function(self, X: Any) -> Array:
        """Score the rows, before the logistic function or softmax.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
            With two classes the log-odds of ``classes_[1]``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If `X` cannot be read, is not finite or has other columns than in `fit`, or
            a score overflows.

        See Also
        --------
        predict_proba : The same as probabilities.

        Examples
        --------
        >>> from skwfm import WeightedFMClassifier
        >>> X = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] * 25
        >>> y = ["same", "other", "other", "same"] * 25
        >>> fm = WeightedFMClassifier(random_state=0).fit(X, y)
        >>> fm.classes_
        array(['other', 'same'], dtype='<U5')
        >>> fm.decision_function([[1.0, 1.0], [1.0, -1.0], [1.0, 0.5]]).round(2)
        array([ 1.39, -1.39,  0.69])
        """
        if hasattr(self, "samples_"):
            odds = self._by_draws(X, lambda score, _: self.samples_.log_odds(score))
            return odds.astype(self.factors_.dtype)
        scores = self._scores(X)
        decision: Array = scores if scores.shape[1] > 1 else scores[:, 0]
        return decision

    def predict_proba(self, X: Any) -> Array:
        """Predict the probability of every class.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Rows sum to 1, in the order of ``classes_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If `X` cannot be read, is not finite or has other columns than in `fit`, or
            a score overflows.

        See Also
        --------
        predict_log_proba : Exact where a probability is next to 0 or 1.

        Examples
        --------
        >>> from skwfm import WeightedFMClassifier
        >>> X = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] * 25
        >>> y = ["same", "other", "other", "same"] * 25
        >>> fm = WeightedFMClassifier(random_state=0).fit(X, y)
        >>> fm.predict_proba([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]]).round(2)
        array([[0.2, 0.8],
               [0.8, 0.2],
               [0.5, 0.5]])
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return _by_rows(softmax, scores)
        return np.column_stack([expit(-scores), expit(scores)])

    def predict_log_proba(self, X: Any) -> Array:
        """Predict the logarithm of the probability of every class.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.

        Returns
        -------
        array of shape (n_samples, n_classes)
            Exact where the probability itself rounds to 0 or 1.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If `X` cannot be read, is not finite or has other columns than in `fit`, or
            a score overflows.

        See Also
        --------
        predict_proba : The probabilities themselves.

        Examples
        --------
        >>> from skwfm import WeightedFMClassifier
        >>> X = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] * 25
        >>> y = ["same", "other", "other", "same"] * 25
        >>> fm = WeightedFMClassifier(random_state=0).fit(X, y)
        >>> fm.predict_log_proba([[1000.0, 1.0]])[:, 0].round(1)
        array([-1386.3])
        >>> fm.predict_proba([[1000.0, 1.0]])
        array([[0., 1.]])
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return _by_rows(log_softmax, scores)
        return np.column_stack([log_expit(-scores), log_expit(scores)])

    def predict(self, X: Any) -> Array:
        """Predict the most probable class.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.

        Returns
        -------
        array of shape (n_samples,)
            Labels as given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `fit` was not called.
        TypeError, ValueError
            If `X` cannot be read, is not finite or has other columns than in `fit`, or
            a score overflows.

        Examples
        --------
        >>> from skwfm import WeightedFMClassifier
        >>> X = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] * 25
        >>> y = ["up", "odd", "odd", "down"] * 25
        >>> fm = WeightedFMClassifier(random_state=0).fit(X, y)
        >>> fm.predict([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
        array(['up', 'odd', 'down'], dtype='<U4')
        """
        scores = self.decision_function(X)
        best = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        labels: Array = self.classes_[best]
        return labels
