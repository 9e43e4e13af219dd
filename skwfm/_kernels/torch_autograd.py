"""The differentiable pieces of `torch_ops`, with hand-written gradients.

Each class is one formula of `torch_ops` and its derivative. The derivative of a bag
sum is the bag sum of the transposed batch; that of a pair sum is the other half of
each pair, which the forward pass has at hand. Storage: what backward needs, one tensor
of the size of the sums. Second derivatives raise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

__all__ = [
    "BagSums",
    "FieldPairs",
    "SegmentPairs",
    "TransposedPairs",
    "apply",
    "bag_of_entry",
    "embedding_bag",
    "first_order",
    "starts",
]

# Up to this width one weighted bincount per column beats the sort (1 ms for 300,000
# entries against 15 ms).
_BINCOUNT_WIDTH = 2
_INT32_MAX = 2**31 - 1
# torch 2.4 fails where the weights alone want a gradient.
_WANTS_GRADIENT = torch.__version__.startswith("2.4.")


def embedding_bag(
    table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor, sparse: bool
) -> Tensor:
    """Sum bags with torch's kernel, which wants one integer type."""
    if indices.dtype != offsets.dtype:
        indices, offsets = indices.long(), offsets.long()
    if _WANTS_GRADIENT and weights.requires_grad and not table.requires_grad:
        table = table.detach().requires_grad_()
    return F.embedding_bag(
        indices,
        table,
        offsets,
        mode="sum",
        sparse=sparse,
        per_sample_weights=weights,
        include_last_offset=True,
    )


def bag_of_entry(offsets: Tensor) -> Tensor:
    """Return the number of the bag each entry belongs to, shape (nnz,)."""
    bags = torch.arange(offsets.numel() - 1, device=offsets.device)
    return torch.repeat_interleave(bags, offsets.diff().long())


def starts(counts: Tensor) -> Tensor:
    """Turn bag lengths into offsets that include the end."""
    return F.pad(torch.cumsum(counts, 0), (1, 0))


def _transposed_sums(
    grad: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor, n_features: int
) -> Tensor:
    """Return ``sum of w * grad[bag]`` over the entries of every label.

    These are bag sums too, those of the transposed batch: its bags are the labels.
    """
    bags = bag_of_entry(offsets)
    if grad.shape[1] <= _BINCOUNT_WIDTH:
        per_entry = grad.index_select(0, bags) * weights[:, None]
        columns = [
            torch.bincount(indices, column, minlength=n_features)
            for column in per_entry.unbind(1)
        ]
        return torch.stack(columns, 1).to(grad.dtype)
    # Sorting int32 takes half the time of int64; stable keeps the result reproducible.
    keys = indices.int() if n_features <= _INT32_MAX else indices
    order = torch.argsort(keys, stable=True)
    label_starts = starts(torch.bincount(indices, minlength=n_features))
    bags, weights = bags.index_select(0, order), weights.index_select(0, order)
    return embedding_bag(grad, bags, label_starts, weights, False)


def first_order(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse ``create_graph=True``: saved intermediates would count as constants.

    (torch's `once_differentiable` lets that pass where the incoming gradient itself
    needs none, and the second derivative would silently lack terms.)
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("skwfm scores have no second derivative.")
        return backward(ctx, *grads)

    return checked


def apply(function: Any, *args: Any) -> Tensor:
    """Call one of the classes below (``Function.apply`` has no types)."""
    out: Tensor = function.apply(*args)
    return out


class BagSums(torch.autograd.Function):
    """Bag sums whose dense CPU gradient is computed by `_transposed_sums`."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, indices: Tensor, offsets: Tensor, weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(table, indices, offsets, weights)
        return embedding_bag(table, indices, offsets, weights, False)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, indices, offsets, weights = ctx.saved_tensors
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            n_features = table.shape[0]
            grad = grad.contiguous()
            grad_table = _transposed_sums(grad, indices, offsets, weights, n_features)
        if ctx.needs_input_grad[3]:
            rows = table.index_select(0, indices)
            grad_weights = (rows * grad[bag_of_entry(offsets)]).sum(1)
        return grad_table, None, None, grad_weights


def _others(sums: Tensor) -> Tensor:
    """Return what `FieldPairs` adds field by field, in few steps, as a GPU wants it.

    Row f of the result is the sum of all fields but f: of those before and those after.
    """
    before = torch.cumsum(sums[:, :-1], 1)
    after = torch.cumsum(sums[:, 1:].flip(1), 1).flip(1)
    others = torch.zeros_like(sums)
    others[:, 1:] += before
    others[:, :-1] += after
    return others


class FieldPairs(torch.autograd.Function):
    """``sum_{f<g} <S_f, S_g>`` of sums (B, F, n_outputs, k) -> (B, n_outputs)."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        if sums.device.type != "cpu":
            others = _others(sums)
            if ctx.needs_input_grad[0]:
                ctx.save_for_backward(others)
            return (sums * others).sum((1, 3)) / 2
        others = torch.empty_like(sums)
        fields, outs = sums.unbind(1), others.unbind(1)
        running = torch.zeros_like(fields[0])
        for field, out in zip(fields, outs, strict=True):
            out.copy_(running)
            running += field
        scores = (sums * others).sum((1, 3))
        if ctx.needs_input_grad[0]:
            running.zero_()
            for field, out in zip(fields[::-1], outs[::-1], strict=True):
                out += running
                running += field
            ctx.save_for_backward(others)
        return scores

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        others: Tensor = ctx.saved_tensors[0]
        return others * grad[:, None, :, None]


class TransposedPairs(torch.autograd.Function):
    """``sum_{f<g} <A[f, g], A[g, f]>`` of (B, F, n_outputs, F, k) -> (B, n_outputs)."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        ctx.save_for_backward(sums)
        products = sums * sums.transpose(1, 3)
        products.diagonal(dim1=1, dim2=3).zero_()
        return products.sum((1, 3, 4)) / 2

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        sums: Tensor = ctx.saved_tensors[0]
        out = sums.transpose(1, 3) * grad[:, None, :, None, None]
        out.diagonal(dim1=1, dim2=3).zero_()
        return out


class SegmentPairs(torch.autograd.Function):
    """Pairs inside each segment of entries (nnz, n_outputs, k) -> (n, n_outputs).

    ``1/2 sum_j <E_j, S - E_j>``, S in float64: with as many terms as entries there is
    no cheap prefix form, and float64 loses nothing that float32 entries hold.
    """

    @staticmethod
    def forward(ctx: Any, entries: Tensor, starts: Tensor) -> Tensor:
        segments = bag_of_entry(starts)
        sums = entries.new_zeros(
            (starts.numel() - 1, *entries.shape[1:]), dtype=torch.float64
        ).index_add_(0, segments, entries.double())
        others = (sums.index_select(0, segments) - entries).to(entries.dtype)
        ctx.save_for_backward(others, segments)
        halves = (entries * others).sum(2) / 2
        zeros = entries.new_zeros((starts.numel() - 1, entries.shape[1]))
        return zeros.index_add_(0, segments, halves)

    @staticmethod
    @first_order
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        others, segments = ctx.saved_tensors
        return others * grad.index_select(0, segments)[:, :, None], None
