"""Model files that are safe to load: no pickle, and nothing in them is believed.

`_model_file` is the format and says what a file looks like; `_model_codec` turns
objects into JSON and arrays and back; `_model_checks` tells whether the parts of what
was read fit each other. Here is what knows the classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from skwfm._compose import FieldTransformer
from skwfm._dates import DateEncoder
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._estimators import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm._field_map import FieldMap
from skwfm._hashing import HashedLabels
from skwfm._history import HistoryEncoder, _Histories
from skwfm._model_checks import check, check_spline_sizes
from skwfm._model_codec import DERIVED, Decoder
from skwfm._model_file import ModelFileError, read_file
from skwfm._numbers import SplineEncoder, _Basis
from skwfm._samples import Samples
from skwfm._saving import reworded, save_model
from skwfm._state import Seen, SolverState
from skwfm._vocabulary import Vocabulary

__all__ = ["load", "save"]


def save(model: Any, path: Any) -> None:
    """Write a fitted estimator, encoder or pipeline to a model file.

    The file holds numbers, labels and parameters, and no code: `load` is safe with
    files of others too. What `path` names is the old file or the whole new one at any
    time, whatever happens to the process or the machine.

    Parameters
    ----------
    model : estimator
        One of the four estimators, WeightedMultiLabelEncoder, SplineEncoder,
        DateEncoder, HistoryEncoder or FieldTransformer, or a
        :class:`sklearn.pipeline.Pipeline` of them. Not modified.
    path : str or path-like
        The file, which is replaced. Nothing is added to its name.

    Raises
    ------
    TypeError
        If a part is something that the file cannot hold: callbacks, functions, a class
        as `solver`, a RandomState, transformers of other packages, labels that are
        neither text, numbers, bools, bytes nor dates of NumPy. The message names it.
    sklearn.exceptions.NotFittedError
        If `model` is not fitted.
    OSError
        If the file cannot be written. What was there stays as it was.

    See Also
    --------
    load : The way back.

    Notes
    -----
    Temporary files that killed savers left beside the file are removed.

    Examples
    --------
    >>> import tempfile
    >>> import skwfm
    >>> from pathlib import Path
    >>> encoder = skwfm.WeightedMultiLabelEncoder().fit([["Drama", "War"], ["Comedy"]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skwfm.save(encoder, Path(folder, "genres.skwfm"))
    ...     restored = skwfm.load(Path(folder, "genres.skwfm"))
    >>> restored.transform([["War"]]).toarray()
    array([[0., 0., 1.]], dtype=float32)
    """
    save_model(model, path)


def load(path: Any, mmap: bool = False) -> Any:
    """Read a model file that `save` wrote.

    It runs no code of the file, whoever made it, and takes memory in proportion to its
    size. Damage of any kind is found: the file is checked by its SHA-256, and
    afterwards whether what it says makes sense.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default=False
        Map the arrays into memory instead of reading them: processes that load the
        same file share them. They are read-only then; `fit` and `partial_fit` make
        copies. The file must not be changed in place, only replaced, as `save` does.

    Returns
    -------
    estimator
        Which predicts what the one that was saved did, to the bit, and goes on
        training as it.

    Raises
    ------
    ModelFileError
        If the file is damaged or cut off, was not written by `save`, is of a newer
        version, or says what cannot be.
    OSError
        If the file cannot be read.

    See Also
    --------
    save : The way there.

    Examples
    --------
    >>> import tempfile
    >>> import skwfm
    >>> from pathlib import Path
    >>> model = skwfm.WeightedFMRegressor().fit([[1, 2], [3, 5], [4, 1]], [1, 2, 4])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.skwfm")
    ...     model.save(path)
    ...     restored = skwfm.load(path)
    >>> bool((restored.predict([[2, 2]]) == model.predict([[2, 2]])).all())
    True
    """
    path = os.fspath(path)
    with reworded(f"{os.fsdecode(path)}: "):
        header, arrays = read_file(path, mmap)
        decoder = Decoder(arrays, _RECORDS, _ESTIMATORS)
        model = decoder.decode(header["model"])
        if type(model) not in _CLASSES or header["class"] != type(model).__name__:
            raise ModelFileError("the file holds something other than it says.")
        check(model)
        check_is_fitted(model)
        return model


def _vocabulary(labels: Any, rare: Any, has_bucket: bool, unknown: int) -> Vocabulary:
    bare = Vocabulary(labels, rare, has_bucket, {}, unknown)
    index = bare.derived_index()
    return Vocabulary(labels, rare, has_bucket, index, unknown)


def _derive_labels(model: WeightedMultiLabelEncoder) -> None:
    if hasattr(model, "_vocabularies"):
        model._publish()


def _derive_splines(model: SplineEncoder) -> None:
    check_spline_sizes(model)
    if hasattr(model, "knots_"):
        model._bases = [_Basis.on(knots, model.degree) for knots in model.knots_]


def _derive_history(model: HistoryEncoder) -> None:
    if hasattr(model, "_encoder"):
        categories = model._encoder.categories_
        model.categories_, model._sizes = categories[1:], list(map(len, categories))
        numbers = np.arange(len(model.categories_), dtype=np.int32)
        model.fields_ = np.repeat(numbers, model._sizes[1:])


_DERIVE: dict[type, Callable[[Any], None]] = {
    HistoryEncoder: _derive_history,
    SplineEncoder: _derive_splines,
    WeightedMultiLabelEncoder: _derive_labels,
}


def _maker(cls: type) -> Callable[[dict[str, Any], dict[str, Any]], Any]:
    """Return what makes an estimator from its parameters and attributes."""

    def make(parameters: dict[str, Any], attributes: dict[str, Any]) -> Any:
        model = cls(**parameters)
        derived = DERIVED.get(cls.__name__, set())
        for name in attributes:
            # None may hide a method, or stand for what is a parameter.
            hides = hasattr(cls, name) or name in vars(model) or name in derived
            if hides or not name.isidentifier():
                raise ModelFileError(f"{cls.__name__} has no attribute {name!r}.")
        vars(model).update(attributes)
        if cls in _DERIVE:
            _DERIVE[cls](model)
        return model

    return make


_CLASSES: tuple[type, ...] = (
    DateEncoder,
    FieldTransformer,
    HistoryEncoder,
    Pipeline,
    SplineEncoder,
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
    WeightedMultiLabelEncoder,
)
_ESTIMATORS = {cls.__name__: _maker(cls) for cls in (*_CLASSES, FunctionTransformer)}
_RECORDS: dict[str, Callable[..., Any]] = {
    cls.__name__: cls
    for cls in (FieldMap, HashedLabels, Samples, Seen, SolverState, _Histories)
}
_RECORDS["Vocabulary"] = _vocabulary
