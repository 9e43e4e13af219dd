"""Flat batches of torch tensors on the compiled core: scores and their gradients.

Formulas and storage: `torch_ops`. The core takes all of its arguments as they are,
hence every function here takes tensors that `operators.core_for` has looked at. The
gradient scores every row once more, which is cheaper than to keep the bag sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from skwfm._kernels.torch_autograd import bag_of_entry

__all__ = ["Batch", "check", "gradient", "n_threads", "score"]

# A thread costs some 30 us, the time of this many multiplications.
_WORK_PER_THREAD = 2**18


def n_threads(work: int) -> int:
    """Return how many threads so many multiplications are worth."""
    return max(1, min(torch.get_num_threads(), work // _WORK_PER_THREAD))


class Batch(NamedTuple):
    """A model without bias, a flat batch, and how it is scored.

    The rows of an FFM have as many bags as its table has fields.
    """

    table: Tensor
    linear: Tensor | None
    indices: Tensor
    offsets: Tensor
    weights: Tensor
    field_aware: bool
    n_fields: int
    n_outputs: int
    intra_field: bool

    @property
    def n_rows(self) -> int:
        """Rows of the batch."""
        return (self.offsets.numel() - 1) // self.n_fields

    def arguments(self) -> dict[str, Any]:
        """Return what `score` and `gradient` of the compiled core both take."""
        n_targets = self.n_fields if self.field_aware else 1
        ends = self.offsets.long().contiguous().numpy()
        # An FM with the pairs inside a field takes every entry as a bag.
        every_entry = self.intra_field and not self.field_aware
        return {
            "field_aware": self.field_aware,
            "n_factors": self.table.shape[1] // (self.n_outputs * n_targets),
            "n_fields": self.n_fields,
            "n_outputs": self.n_outputs,
            "intra_field": self.intra_field,
            "offsets": None if every_entry else ends,
            "indptr": ends[:: self.n_fields].copy() if every_entry else None,
            "indices": self.indices.int().contiguous().numpy(),
            "values": _array(self.weights),
            "n_rows": self.n_rows,
            "factors": _array(self.table),
            "linear": _array(self.linear),
        }


def check(batch: Batch, grad: Tensor | None = None) -> None:
    """Raise unless the core may read a batch: it looks at nothing itself.

    For calls of ``torch.ops.skwfm``, which are open to everybody. Cost: one pass over
    labels and offsets.

    Parameters
    ----------
    batch : Batch
        What to score.
    grad : Tensor, optional
        Derivative of the scores.

    Raises
    ------
    ValueError
        If shapes do not fit, or labels or offsets leave their range.
    """
    table, linear, offsets = batch.table, batch.linear, batch.offsets
    n_outputs, n_fields = batch.n_outputs, batch.n_fields
    if n_fields < 1 or n_outputs < 1:
        raise ValueError(f"got {n_fields=}, {n_outputs=}, expected at least 1 of each.")
    per_factor = n_outputs * (n_fields if batch.field_aware else 1)
    if table.ndim != 2 or table.shape[1] % per_factor or not table.shape[1]:
        raise ValueError(
            f"table: got shape {tuple(table.shape)}, expected k times {per_factor}"
            " columns."
        )
    shapes = [
        ("linear", linear, (len(table), n_outputs)),
        ("weights", batch.weights, (batch.indices.numel(),)),
        ("indices", batch.indices, (batch.indices.numel(),)),
        ("grad", grad, (batch.n_rows, n_outputs)),
    ]
    for name, part, shape in shapes:
        if part is not None and part.shape != shape:
            got = tuple(part.shape)
            raise ValueError(f"{name}: got shape {got}, expected {shape}.")
    if offsets.ndim != 1 or not offsets.numel() or (offsets.numel() - 1) % n_fields:
        raise ValueError(
            f"offsets: got shape {tuple(offsets.shape)}, expected {n_fields} for every"
            " row, and one."
        )
    _check_range("indices", batch.indices, len(table) - 1)
    _check_range("offsets", offsets, batch.indices.numel(), ascending=True)


def _check_range(
    name: str, part: Tensor, largest: int, *, ascending: bool = False
) -> None:
    if part.is_floating_point() or part.is_complex():
        raise ValueError(f"{name}: got {part.dtype}, expected integers.")
    numbers = part.detach().numpy()
    if not numbers.size:
        return
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high > largest:
        got = f"numbers from {low} to {high}"
        raise ValueError(f"{name}: got {got}, expected them in 0 to {largest}.")
    if ascending and (numbers[1:] < numbers[:-1]).any():
        raise ValueError(f"{name}: got numbers that fall, expected ascending ones.")


def score(core: Any, batch: Batch) -> Tensor:
    """Return the scores of a batch, without the bias.

    Parameters
    ----------
    core : module
        The compiled core.
    batch : Batch
        What to score.

    Returns
    -------
    Tensor of shape (n_rows, n_outputs)
    """
    batch = _without_zero_weights(batch)
    scores = _call_score(core, batch)
    own_fields_count = batch.intra_field or not batch.field_aware
    if own_fields_count or np.isfinite(scores.numpy()).all():
        return scores
    return _call_score(core, _without_own_fields(batch))


def gradient(
    core: Any, grad: Tensor, batch: Batch, sparse: bool, wanted: Sequence[bool]
) -> tuple[Tensor, list[Tensor]]:
    """Return the gradient of a batch's scores.

    Parameters
    ----------
    core : module
        The compiled core.
    grad : Tensor of shape (n_rows, n_outputs)
        Derivative of the scores.
    batch : Batch
        What was scored.
    sparse : bool
        Return the rows of the batch's labels only.
    wanted : sequence of three bools
        Whether to return the gradients of table, linear and weights.

    Returns
    -------
    labels : Tensor of int64, shape (U,)
        With `sparse`, the labels of the batch, ascending; else empty.
    parts : list of three Tensors
        The gradients; those of table and linear have one row per label of `labels`, or
        of the table. What is not wanted is empty.
    """
    batch = batch._replace(indices=batch.indices.int().contiguous())
    table, weights = batch.table.detach(), batch.weights.detach()
    labels, place = torch.empty(0, dtype=torch.int64), None
    n_rows, make = len(table), table.new_zeros
    if sparse and any(wanted[:2]):
        labels, place = _unique(core, batch.indices, n_rows)
        n_rows, make = len(labels), table.new_empty
    makers: list[Callable[[], Tensor]] = [
        lambda: make((n_rows, table.shape[1])),
        lambda: make((n_rows, batch.n_outputs)),
        lambda: torch.empty_like(weights),
    ]
    parts = [
        build() if want else None for build, want in zip(makers, wanted, strict=True)
    ]
    core.gradient(
        **batch.arguments(),
        of_scores=_array(grad),
        place=_array(place),
        out_factors=_array(parts[0]),
        out_linear=_array(parts[1]),
        out_weights=_array(parts[2]),
    )
    return labels, [table.new_empty(0) if part is None else part for part in parts]


def _array(part: Tensor | None) -> Any:
    return None if part is None else part.detach().numpy()


def _call_score(core: Any, batch: Batch) -> Tensor:
    scores = batch.table.new_empty((batch.n_rows, batch.n_outputs))
    core.score(
        **batch.arguments(),
        field_ends=None,
        field_of=None,
        order=None,
        first=0,
        bias=None,
        linear_offset=-1,
        out=scores.numpy(),
        n_threads=n_threads(batch.indices.numel() * batch.table.shape[1]),
    )
    return scores


def _unique(core: Any, indices: Tensor, n_features: int) -> tuple[Tensor, Tensor]:
    """Return the labels of a batch, ascending, and which of them each entry has."""
    place = torch.empty_like(indices)
    labels = torch.empty(min(len(indices), n_features), dtype=torch.int64)
    n_labels = core.unique_labels(
        indices=indices.numpy(),
        n_features=n_features,
        unique=labels.numpy(),
        place=place.numpy(),
    )
    return labels[:n_labels], place


def _without_zero_weights(batch: Batch) -> Batch:
    """Remove what counts as absent, so that scores are the same bit for bit.

    (A bag of one label is multiplied out in another order than a longer one.)
    """
    weights = batch.weights.detach()
    if weights.numpy().all():
        return batch
    kept = weights != 0
    before = F.pad(kept.cumsum(0), (1, 0))
    return batch._replace(
        indices=batch.indices[kept],
        offsets=before[batch.offsets],
        weights=weights[kept],
    )


def _without_own_fields(batch: Batch) -> Batch:
    """Give each entry a table row of its own, zero towards its own field.

    Those vectors do not count, but the core multiplies them by zero, and what is not
    finite there would spoil the score.
    """
    n_entries, n_fields = len(batch.indices), batch.n_fields
    rows = batch.table.detach()[batch.indices]
    blocks = rows.view(n_entries, batch.n_outputs, n_fields, -1)
    entries = torch.arange(n_entries)
    blocks[entries, :, bag_of_entry(batch.offsets) % n_fields] = 0.0
    linear = None if batch.linear is None else batch.linear.detach()[batch.indices]
    return batch._replace(table=rows, linear=linear, indices=entries)
