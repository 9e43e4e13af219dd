"""Torch modules over weighted bags: embedding bag, FM and field-aware FM.

`SparseAdagrad` and `LazyAdam` are optimizers for their sparse gradients.
"""

from __future__ import annotations

from skwfm.nn._bag import WeightedEmbeddingBag
from skwfm.nn._ffm import WeightedFFM
from skwfm.nn._fm import WeightedFM
from skwfm.nn._optim import LazyAdam, SparseAdagrad

__all__ = [
    "LazyAdam",
    "SparseAdagrad",
    "WeightedEmbeddingBag",
    "WeightedFFM",
    "WeightedFM",
]
