"""From a fitted object to a model file: check, encode, write."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from sklearn.utils.validation import check_is_fitted

from skwfm._model_checks import check
from skwfm._model_codec import ESTIMATORS, Encoder, class_name
from skwfm._model_file import ModelFileError, write_file
from skwfm._validation import shorten

__all__ = ["reworded", "save_model"]

_LIBRARIES = ("skwfm", "numpy", "scipy", "scikit-learn")
# What a mistake in a file or in a changed object leads to, before it is found out.
_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextmanager
def reworded(prefix: str) -> Iterator[None]:
    """Turn whatever a broken object leads to into a ModelFileError.

    Parameters
    ----------
    prefix : str
        The beginning of its text.
    """
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{prefix}{error}") from error.__cause__
    except (*_FAULTS, RecursionError) as error:
        kind = type(error).__name__
        text = f"{prefix}its parts do not fit each other ({kind}: {error})."
        raise ModelFileError(text) from error


def save_model(model: Any, path: Any) -> None:
    """Write a fitted object, see `skwfm.save`.

    Parameters
    ----------
    model : estimator
        Not modified.
    path : path
        The file.
    """
    name = class_name(model, ESTIMATORS)
    if name is None:
        raise TypeError(
            f"{shorten(model)} of type {type(model).__name__!r}: expected an estimator "
            "or encoder of skwfm itself, or a Pipeline of them. Write other objects by "
            "pickle, joblib or skops."
        )
    check_is_fitted(model)
    encoder = Encoder()
    encoded = encoder.encode(model, name)
    with reworded(""):
        check(model)
    versions = {library: version(library) for library in _LIBRARIES}
    versions["python"] = platform.python_version()
    header = {"class": name, "versions": versions, "model": encoded}
    write_file(path, header, encoder.arrays)
