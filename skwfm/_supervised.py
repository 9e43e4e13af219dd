"""What a real target and classes add to the common estimator: loss, coding, methods."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets

from skwfm import _validation as val
from skwfm._base import BaseWeightedFM
from skwfm._losses import Huber, Logistic, Loss, Poisson, Softmax, Squared

__all__ = ["WeightedClassifier", "WeightedRegressor"]

Array = npt.NDArray[Any]


LOSSES: dict[str, type[Loss]] = {
    "squared_error": Squared,
    "huber": Huber,
    "poisson": Poisson,
}


class WeightedRegressor(RegressorMixin, BaseWeightedFM):
    """A real target."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseWeightedFM._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
    }

    def __init__(
        self,
        n_factors: int = 8,
        *,
        loss: str = "squared_error",
        fields: Any = "auto",
        intra_field: bool = False,
        solver: str = "auto",
        adagrad_state: str = "row",
        learning_rate: float | str = "auto",
        learning_rate_linear: float | str = "auto",
        l1_linear: float = 0.0,
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
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_factors,
            fields=fields,
            intra_field=intra_field,
            solver=solver,
            adagrad_state=adagrad_state,
            learning_rate=learning_rate,
            learning_rate_linear=learning_rate_linear,
            l1_linear=l1_linear,
            l2_linear=l2_linear,
            l2_factors=l2_factors,
            max_iter=max_iter,
            batch_size=batch_size,
            init_scale=init_scale,
            fit_intercept=fit_intercept,
            fit_linear=fit_linear,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.loss = loss

    def _learn_target(self, y: Array) -> tuple[Loss, Array]:
        return LOSSES[self.loss](), self._check_target(y)

    def _check_target(self, y: Any) -> Array:
        values = val.check_real_target(y)
        return val.check_counts(values) if self.loss == "poisson" else values

    def predict(self, X: Any) -> Array:
        """Predict the target.

        Parameters
        ----------
        X : FieldCSR, sparse matrix, array or DataFrame of shape (n_samples, n_features)
            Rows, in the form that `fit` got.

        Returns
        -------
        array of shape (n_samples,)
            Predictions in the units of y.
        """
        scores = self._scores(X)[:, 0]
        return val.checked_exp(scores) if self.loss == "poisson" else scores


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
        solver: str = "auto",
        adagrad_state: str = "row",
        learning_rate: float | str = "auto",
        learning_rate_linear: float | str = "auto",
        l1_linear: float = 0.0,
        l2_linear: float = 1.0,
        l2_factors: float = 20.0,
        max_iter: int = 20,
        batch_size: int | str = "auto",
        init_scale: float = 0.01,
        fit_intercept: bool = True,
        fit_linear: bool = True,
        class_weight: Any = None,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
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
            adagrad_state=adagrad_state,
            learning_rate=learning_rate,
            learning_rate_linear=learning_rate_linear,
            l1_linear=l1_linear,
            l2_linear=l2_linear,
            l2_factors=l2_factors,
            max_iter=max_iter,
            batch_size=batch_size,
            init_scale=init_scale,
            fit_intercept=fit_intercept,
            fit_linear=fit_linear,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _learn_target(self, y: Array) -> tuple[Loss, Array]:
        val.check_label_kinds(y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        codes = np.searchsorted(self.classes_, y)  # unique's inverse would sort y
        val.check_two_classes(self.classes_)
        n_classes = len(self.classes_)
        return (Logistic() if n_classes == 2 else Softmax(n_classes)), codes

    def _check_target(self, y: Any) -> Array:
        y = column_or_1d(y)
        val.check_known_classes(y, self.classes_)
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
        """
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
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return np.asarray(softmax(scores, axis=1))
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
        """
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return np.asarray(log_softmax(scores, axis=1))
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
        """
        scores = self.decision_function(X)
        best = scores.argmax(axis=1) if scores.ndim == 2 else (scores > 0).astype(int)
        labels: Array = self.classes_[best]
        return labels
