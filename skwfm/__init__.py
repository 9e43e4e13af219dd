"""Factorization machines over weighted multi-value fields, for scikit-learn.

A name is imported when it is first used: `skwfm.nn` does without scikit-learn, which
takes longer to import than everything here.
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skwfm import datasets, inspection, nn
    from skwfm._bags import from_padded, to_padded
    from skwfm._compose import FieldTransformer, make_field_transformer
    from skwfm._dates import DateEncoder
    from skwfm._encoders import WeightedMultiLabelEncoder
    from skwfm._estimators import (
        WeightedFFMClassifier,
        WeightedFFMRegressor,
        WeightedFMClassifier,
        WeightedFMRegressor,
    )
    from skwfm._fields import FieldCSR, FieldMap, FieldMapWarning, hstack
    from skwfm._history import HistoryEncoder
    from skwfm._model_file import ModelFileError
    from skwfm._numbers import SplineEncoder
    from skwfm.persistence import load, save

    __version__: str

__all__ = [
    "DateEncoder",
    "FieldCSR",
    "FieldMap",
    "FieldMapWarning",
    "FieldTransformer",
    "HistoryEncoder",
    "ModelFileError",
    "SplineEncoder",
    "WeightedFFMClassifier",
    "WeightedFFMRegressor",
    "WeightedFMClassifier",
    "WeightedFMRegressor",
    "WeightedMultiLabelEncoder",
    "__version__",
    "datasets",
    "from_padded",
    "hstack",
    "inspection",
    "load",
    "make_field_transformer",
    "nn",
    "save",
    "to_padded",
]

_MODULES = {"datasets", "inspection", "nn"}
_HOMES = {
    "_bags": ("from_padded", "to_padded"),
    "_compose": ("FieldTransformer", "make_field_transformer"),
    "_dates": ("DateEncoder",),
    "_encoders": ("WeightedMultiLabelEncoder",),
    "_estimators": (
        "WeightedFFMClassifier",
        "WeightedFFMRegressor",
        "WeightedFMClassifier",
        "WeightedFMRegressor",
    ),
    "_fields": ("FieldCSR", "FieldMap", "FieldMapWarning", "hstack"),
    "_history": ("HistoryEncoder",),
    "_model_file": ("ModelFileError",),
    "_numbers": ("SplineEncoder",),
    "persistence": ("load", "save"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a checker of types shall know every name, and no other

    def __getattr__(name: str) -> object:
        """Import a public name (PEP 562); afterwards it is an ordinary one."""
        if name == "__version__":
            value = _version("skwfm")
        elif name in _MODULES:
            value = _import_module(f"skwfm.{name}")
        elif name in _HOME_OF:
            value = getattr(_import_module(f"skwfm.{_HOME_OF[name]}"), name)
        else:
            raise AttributeError(f"module 'skwfm' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
