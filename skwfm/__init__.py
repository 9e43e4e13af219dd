"""Factorization machines over weighted multi-value fields, for scikit-learn."""

from importlib.metadata import version as _version

from skwfm import datasets, nn
from skwfm._bags import from_padded, to_padded
from skwfm._compose import FieldTransformer, make_field_transformer
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._estimators import (
    WeightedFFMClassifier,
    WeightedFFMRegressor,
    WeightedFMClassifier,
    WeightedFMRegressor,
)
from skwfm._fields import FieldCSR, FieldMap, FieldMapWarning, hstack
from skwfm._history import HistoryEncoder

__version__ = _version("skwfm")

__all__ = [
    "FieldCSR",
    "FieldMap",
    "FieldMapWarning",
    "FieldTransformer",
    "HistoryEncoder",
    "WeightedFFMClassifier",
    "WeightedFFMRegressor",
    "WeightedFMClassifier",
    "WeightedFMRegressor",
    "WeightedMultiLabelEncoder",
    "__version__",
    "datasets",
    "from_padded",
    "hstack",
    "make_field_transformer",
    "nn",
    "to_padded",
]
