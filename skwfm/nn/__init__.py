"""Torch modules over weighted bags: embedding bag, FM and field-aware FM.

`SparseAdagrad` and `LazyAdam` are optimizers for their sparse gradients.

Examples
--------
>>> import torch
>>> from skwfm import FieldCSR, nn, to_padded
>>> X = FieldCSR([[1.0, 0.5, 2.0], [0.0, 1.0, 0.0]], fields=[2, 1])
>>> fm = nn.WeightedFM(num_features=3, embedding_dim=4)
>>> fm(*map(torch.from_numpy, to_padded(X))).shape
torch.Size([2])
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
