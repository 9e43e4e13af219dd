"""Kernels on bare arrays: the slow truth (`reference`) and its fast twins.

`reference` holds the formulas in float64 numpy loops; `torch_ops` computes the same
on flat batches of torch tensors. Nothing here words user errors.
"""

from __future__ import annotations
