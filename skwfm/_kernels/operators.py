"""Scores of flat bags as torch operators on the compiled core.

`fm_score` and `ffm_score` take what their twins in `torch_ops` take, and give the same
scores and gradients. Batches and tables on the CPU go to the compiled core, through
``torch.ops.skwfm.fm_score`` and ``ffm_score``; everything else, and an installation
without the core, to the formulas of `torch_ops`.

An operator looks at shapes, labels and offsets before the core reads memory, unless
`checked` says that its caller has: the modules have, in words of their own.

Storage: backward keeps the inputs only. Sparse gradients are coalesced, with one row
per label of the batch. Cost: O(nnz k) for FM, O(nnz F k + n_rows F^2 k) for FFM, an
eighth of the time of `torch_ops` on a table that no cache holds. The smallest batch
takes 0.05 ms, and 0.3 ms with backward, about as there.

The operators are registered through ``torch.library.Library``: one registered through
``torch.library.custom_op`` imports torch._dynamo when it is first called, which takes
1.5 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skwfm._kernels import compiled, core_batches, torch_ops
from skwfm._kernels.sums import add_bias
from skwfm._kernels.torch_autograd import first_order

__all__ = ["core_for", "ffm_score", "fm_score"]

_DTYPES = (torch.float32, torch.float64)
_INT32_MAX = 2**31 - 1


def core_for(*tensors: Tensor | None) -> Any:
    """Return the compiled core if it can work on all of these tensors, else None."""
    core = compiled.core()
    present = [part for part in tensors if part is not None]
    taken = core is not None and all(
        part.dtype == present[0].dtype
        and part.dtype in _DTYPES
        and part.device.type == "cpu"
        and part.layout == torch.strided
        and part.is_contiguous()
        and len(part) <= _INT32_MAX
        for part in present
    )
    return core if taken else None


def fm_score(
    table: Tensor,
    linear: Tensor | None,
    bias: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    n_fields: int,
    *,
    n_outputs: int = 1,
    intra_field: bool = False,
    sparse: bool = False,
    scale: Tensor | None = None,
) -> Tensor:
    """Score flat rows by a factorization machine over weighted bags.

    Parameters
    ----------
    table, linear, bias, indices, offsets, weights, n_fields
        As in `torch_ops.fm_score`.
    n_outputs, intra_field, sparse, scale
        As there; sparse gradients are coalesced. With a scale torch does the work.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    if scale is not None or core_for(table, linear, weights.contiguous()) is None:
        return torch_ops.fm_score(
            table,
            linear,
            bias,
            indices,
            offsets,
            weights,
            n_fields,
            n_outputs=n_outputs,
            intra_field=intra_field,
            sparse=sparse,
            scale=scale,
        )
    if intra_field:  # all pairs of a row count, whatever their bags
        offsets, n_fields = offsets[::n_fields], 1
    batch = (indices, offsets, weights, n_fields)
    scores = _FM_SCORE(table, linear, *batch, n_outputs, intra_field, sparse, True)
    return add_bias(scores, bias)


def ffm_score(
    table: Tensor,
    linear: Tensor | None,
    bias: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    n_fields: int,
    *,
    n_outputs: int = 1,
    n_bags: int | None = None,
    fields: Tensor | None = None,
    intra_field: bool = False,
    sparse: bool = False,
    scale: Tensor | None = None,
) -> Tensor:
    """Score flat rows by a field-aware factorization machine over weighted bags.

    Parameters
    ----------
    table, linear, bias, indices, offsets, weights, n_fields
        As in `torch_ops.ffm_score`.
    n_outputs, n_bags, fields, intra_field, sparse, scale
        As there; sparse gradients are coalesced. With a scale torch does the work.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    if scale is not None or core_for(table, linear, weights.contiguous()) is None:
        return torch_ops.ffm_score(
            table,
            linear,
            bias,
            indices,
            offsets,
            weights,
            n_fields,
            n_outputs=n_outputs,
            n_bags=n_bags,
            fields=fields,
            intra_field=intra_field,
            sparse=sparse,
            scale=scale,
        )
    if fields is not None:
        indices, offsets, weights = torch_ops.merge_fields(
            indices, offsets, weights, fields, n_fields
        )
    elif n_bags is not None and n_bags < n_fields:
        offsets = _add_empty_bags(offsets, n_bags, n_fields)
    batch = (indices, offsets, weights, n_fields)
    scores = _FFM_SCORE(table, linear, *batch, n_outputs, intra_field, sparse, True)
    return add_bias(scores, bias)


def _add_empty_bags(offsets: Tensor, n_bags: int, n_fields: int) -> Tensor:
    """Give rows of `n_bags` bags empty ones up to `n_fields`."""
    starts = offsets[:-1].view(-1, n_bags)
    ends = offsets[n_bags::n_bags, None].expand(-1, n_fields - n_bags)
    return torch.cat([torch.cat([starts, ends], 1).view(-1), offsets[-1:]])


def _score(
    field_aware: bool,
    table: Tensor,
    linear: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    n_fields: int,
    n_outputs: int = 1,
    intra_field: bool = False,
    sparse: bool = False,
    checked: bool = False,
) -> Tensor:
    """Return the scores without the bias: what ``torch.ops.skwfm.*_score`` runs."""
    weights = weights.contiguous()
    inputs = (table, linear, indices, offsets, weights)
    options = (field_aware, n_fields, n_outputs, intra_field)
    core = core_for(table, linear, weights)
    if core is not None:
        batch = core_batches.Batch(*inputs, *options)
        if not checked:
            core_batches.check(batch)
        return core_batches.score(core, batch)
    with torch.no_grad():
        return _score_by_formulas(*inputs, *options)


def _gradient(
    grad: Tensor,
    table: Tensor,
    linear: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    field_aware: bool,
    n_fields: int,
    n_outputs: int,
    intra_field: bool,
    sparse: bool,
    wanted: Sequence[bool],
    checked: bool = False,
) -> tuple[Tensor, ...]:
    """Return labels and gradients, as `core_batches.gradient` describes them."""
    grad, weights = grad.contiguous(), weights.contiguous()
    inputs = (table, linear, indices, offsets, weights)
    options = (field_aware, n_fields, n_outputs, intra_field)
    core = core_for(grad, table, linear, weights)
    if core is None:
        return _gradient_by_formulas(grad, inputs, options, sparse, wanted)
    batch = core_batches.Batch(*inputs, *options)
    if not checked:
        core_batches.check(batch, grad)
    labels, parts = core_batches.gradient(core, grad, batch, sparse, wanted)
    return labels, *parts


def _score_by_formulas(
    table: Tensor,
    linear: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    field_aware: bool,
    n_fields: int,
    n_outputs: int,
    intra_field: bool,
) -> Tensor:
    formula = torch_ops.ffm_score if field_aware else torch_ops.fm_score
    return formula(
        table,
        linear,
        None,
        indices,
        offsets,
        weights,
        n_fields,
        n_outputs=n_outputs,
        intra_field=intra_field,
    )


def _gradient_by_formulas(
    grad: Tensor,
    inputs: tuple[Any, ...],
    options: tuple[Any, ...],
    sparse: bool,
    wanted: Sequence[bool],
) -> tuple[Tensor, ...]:
    table, linear, indices, offsets, weights = inputs
    leaves = [
        part.detach().requires_grad_() if want else part
        for part, want in zip((table, linear, weights), wanted, strict=True)
    ]
    with torch.enable_grad():
        batch = (*leaves[:2], indices, offsets, leaves[2])
        scores = _score_by_formulas(*batch, *options)
    asked = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(scores, asked, grad))
    parts = [next(found) if want else table.new_empty(0) for want in wanted]
    labels = indices.new_empty(0, dtype=torch.int64)
    if sparse and any(wanted[:2]):
        labels = torch.unique(indices).long()
        parts[:2] = [part[labels] if len(part) else part for part in parts[:2]]
    return labels, *parts


def _fake_score(
    table: Tensor,
    linear: Tensor | None,
    indices: Tensor,
    offsets: Tensor,
    weights: Tensor,
    n_fields: int,
    n_outputs: int = 1,
    intra_field: bool = False,
    sparse: bool = False,
    checked: bool = False,
) -> Tensor:
    """Return scores without values, for tracing."""
    return table.new_empty(((offsets.numel() - 1) // n_fields, n_outputs))


def _fake_gradient(
    grad: Tensor, table: Tensor, linear: Tensor | None, *args: Any
) -> tuple[Tensor, ...]:
    indices, _, weights, _, _, n_outputs, _, sparse, wanted = args[:9]
    n_rows: Any = table.shape[0]
    n_labels: Any = 0
    if sparse and any(wanted[:2]):
        n_rows = n_labels = torch.library.get_ctx().new_dynamic_size()
    shapes = ((n_rows, table.shape[1]), (n_rows, n_outputs), weights.shape)
    parts = [
        table.new_empty(shape if want else 0)
        for shape, want in zip(shapes, wanted, strict=True)
    ]
    return indices.new_empty(n_labels, dtype=torch.int64), *parts


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.options = inputs[5:9]


def _backward(field_aware: bool, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs, saved = ctx.needs_input_grad, ctx.saved_tensors
    wanted = [needs[0], needs[1], needs[4]]
    # What was scored has been looked at, by the operator or by who called it.
    labels, *parts = _GRADIENT(grad, *saved, field_aware, *ctx.options, wanted, True)
    sparse = ctx.options[-1]
    for number, parameter in enumerate(saved[:2]):
        if sparse and wanted[number]:
            parts[number] = _as_sparse(parts[number], labels, parameter)
    table, linear, weights = (
        part if want else None for part, want in zip(parts, wanted, strict=True)
    )
    return table, linear, None, None, weights, None, None, None, None, None


def _as_sparse(values: Tensor, labels: Tensor, parameter: Tensor) -> Tensor:
    """Return row gradients as a coalesced tensor, and see that ``.grad`` is one."""
    if parameter.is_leaf:
        # torch turns a first gradient into ``.grad`` without a copy, and forgets that
        # it is coalesced: said again when backward ends, it spares optimizers a sort.
        engine: Any = torch.autograd.Variable._execution_engine
        engine.queue_callback(partial(_mark_coalesced, parameter))
    return torch.sparse_coo_tensor(
        labels[None],
        values,
        parameter.shape,
        check_invariants=False,
        is_coalesced=True,
    )


def _mark_coalesced(parameter: Tensor) -> None:
    grad = parameter.grad
    if grad is None or not grad.is_sparse or grad.is_coalesced():
        return
    indices = grad._indices()
    if len(indices) == 1 and indices.device.type == "cpu":
        labels = indices[0].numpy()
        if (labels[1:] > labels[:-1]).all():
            grad._coalesced_(True)


_INPUTS = "Tensor table, Tensor? linear, Tensor indices, Tensor offsets, Tensor weights"
_SCHEMAS = {
    "fm_score": f"({_INPUTS}, int n_fields, int n_outputs=1, bool intra_field=False,"
    " bool sparse=False, bool checked=False) -> Tensor",
    "gradient": f"(Tensor grad, {_INPUTS}, bool field_aware, int n_fields,"
    " int n_outputs, bool intra_field, bool sparse, bool[3] wanted,"
    " bool checked=False)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
}
_SCHEMAS["ffm_score"] = _SCHEMAS["fm_score"]


def _register() -> Any:
    """Define the operators; they exist as long as what this returns."""
    library: Any = torch.library.Library("skwfm", "FRAGMENT")  # type: ignore[no-untyped-call]

    def add(name: str, kernel: Callable[..., Any], fake: Callable[..., Any]) -> None:
        library.define(name + _SCHEMAS[name])
        library.impl(name, kernel, "CompositeExplicitAutograd")
        torch.library.register_fake(f"skwfm::{name}", fake, lib=library)

    add("gradient", _gradient, _fake_gradient)
    for name, field_aware in (("fm_score", False), ("ffm_score", True)):
        add(name, partial(_score, field_aware), _fake_score)
        torch.library.register_autograd(
            f"skwfm::{name}",
            first_order(partial(_backward, field_aware)),
            setup_context=_save_inputs,
            lib=library,
        )
    return library


_LIBRARY = _register()
_FM_SCORE: Callable[..., Tensor] = torch.ops.skwfm.fm_score.default
_FFM_SCORE: Callable[..., Tensor] = torch.ops.skwfm.ffm_score.default
_GRADIENT: Callable[..., tuple[Tensor, ...]] = torch.ops.skwfm.gradient.default
