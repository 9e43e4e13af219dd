"""Errors of `skwfm.inspection`: what was asked of a model and cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._validation import shorten

__all__ = [
    "by_error",
    "check_finite_terms",
    "check_row",
    "check_two_fields",
    "check_count",
    "feature_names_error",
    "inside_error",
    "no_model_error",
    "no_statistics_error",
    "target_error",
    "too_many_terms_error",
    "unknown_field_error",
    "unknown_label_error",
]


def no_model_error(estimator: object) -> str:
    """Word the error for something else than an estimator of this package."""
    return (
        f"Got {shorten(estimator)} of type {type(estimator).__name__!r}, expected a "
        "fitted FM or FFM of skwfm, or a Pipeline or search that ends in one."
    )


def feature_names_error(shape: tuple[int, ...], n_columns: int) -> str:
    """Word the error for names that are not one per column."""
    return (
        f"feature_names has shape {shape}, expected one name for each of the "
        f"{n_columns} columns. get_feature_names_out() of the encoder returns them."
    )


def unknown_field_error(field: object, known: Sequence[str]) -> str:
    """Word the error for a field that the model does not have."""
    return f"There is no field {field!r}; the fields are {shorten(list(known), 200)}."


def unknown_label_error(field: str, label: object, close: Sequence[str]) -> str:
    """Word the error for a label that a field does not have."""
    return (
        f"Field {field!r} has no label {label!r}; there is, for instance, "
        f"{shorten(list(close)[:3], 120)}."
    )


def target_error(target: object, classes: Sequence[object]) -> str:
    """Word the error for a class that is not one of several."""
    return (
        f"target={target!r} is not a class; the model has one score for each of "
        f"{shorten(list(classes), 120)}."
    )


def by_error(by: object) -> str:
    """Word the error for an order that there is not."""
    return f"by={by!r} is not known, expected 'effect' or 'rms'."


def check_count(n: Any, name: str) -> None:
    """Raise for a number of results that is none."""
    if not isinstance(n, Integral) or int(n) < 1:
        raise ValueError(f"{name}={n!r}, expected a whole number of 1 or more.")


def check_two_fields(fields: Any) -> None:
    """Raise for what are not the names of two fields."""
    if not isinstance(fields, tuple | list) or len(fields) != 2:
        raise ValueError(f"fields={fields!r}, expected the names of two fields.")


def check_row(row: Any, n_rows: int) -> None:
    """Raise for a row that is not there."""
    if not isinstance(row, Integral) or not 0 <= int(row) < n_rows:
        raise ValueError(f"row={row!r} is not a row; X has {n_rows}, counted from 0.")


def too_many_terms_error(what: str, n_terms: int, limit: int) -> str:
    """Word the error for terms that take more memory than there is."""
    gib = 2.0**30
    return (
        f"{n_terms:,} terms of {what} take {8 * n_terms / gib:.1f} GiB, but there are "
        f"{limit / gib:.1f} GiB. Explain fewer rows at a time."
    )


def no_statistics_error(estimator: object) -> str:
    """Word the error for a model that knows nothing of its training rows."""
    return (
        f"This {type(estimator).__name__} has no statistics_ of its training rows, "
        "which come with fit. Pass X, or fit again."
    )


def inside_error() -> str:
    """Word the error for pairs inside a field, which the statistics do not tell."""
    return (
        "With intra_field=True the statistics of the training rows do not tell the "
        "strength of the pairs inside a field. Pass X."
    )


def check_finite_terms(terms: npt.NDArray[Any]) -> None:
    """Raise when terms of the score are beyond the largest number."""
    if not np.isfinite(terms).all():
        raise ValueError(
            "Terms of the score are too large for a float. Scale the weights of X and "
            "fit again."
        )
