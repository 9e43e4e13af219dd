"""Torch modules over weighted bags: embedding bag, FM and field-aware FM."""

from __future__ import annotations

from skwfm.nn._bag import WeightedEmbeddingBag
from skwfm.nn._ffm import WeightedFFM
from skwfm.nn._fm import WeightedFM

__all__ = ["WeightedEmbeddingBag", "WeightedFFM", "WeightedFM"]
