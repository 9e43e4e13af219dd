"""Checks of padded bags before a kernel reads memory; the errors of `skwfm.nn`.

Every error is a ValueError that names the argument, and the row where there is one,
shows the value and says what was expected. Cost: one pass over offsets and labels; on
CUDA one synchronization each.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "check_fields",
    "check_labels",
    "check_n_bags",
    "check_padded",
    "pick_arguments",
]

_INTEGERS = (torch.int32, torch.int64)


def pick_arguments(
    indices: Tensor | None,
    offsets: Tensor | None,
    weights: Tensor | None,
    input: Tensor | None,
    per_sample_weights: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices, offsets and weights under whichever name each was given.

    Raises
    ------
    TypeError
        If one is missing, or given under both of its names.
    """
    return (
        _pick("indices (or input)", indices, input),
        _pick("offsets", offsets, None),
        _pick("weights (or per_sample_weights)", weights, per_sample_weights),
    )


def check_padded(indices: Tensor, offsets: Tensor, weights: Tensor) -> None:
    """Raise unless types and shapes agree and offsets stay inside their row.

    Parameters
    ----------
    indices, weights : Tensors of shape (B, N)
        Labels (int32 or int64) and weights (floating point).
    offsets : Tensor of int32 or int64, shape (B, M)
        Inclusive end positions, M at least 1.

    Raises
    ------
    ValueError
        If a dtype or shape is wrong, or offsets decrease, pass N or fall below -1.
    """
    given = {"indices": indices, "offsets": offsets, "weights": weights}
    for name, value in given.items():
        _check_dense(name, value)
    _check_integers("indices", indices)
    _check_integers("offsets", offsets)
    _check_2d("indices", indices, "(B, N)")
    _check_2d("offsets", offsets, "(B, M)")
    if not weights.is_floating_point():
        expected = "a floating point dtype"
        raise ValueError(f"weights: got dtype {weights.dtype}, expected {expected}.")
    if weights.shape != indices.shape:
        _raise_shape("weights", weights, f"{tuple(indices.shape)}, as indices")
    if offsets.shape[0] != indices.shape[0]:
        _raise_shape("offsets", offsets, f"({indices.shape[0]}, M), one row per row")
    if offsets.shape[1] == 0:
        _raise_shape("offsets", offsets, "(B, M) with M at least 1")
    _check_offsets(offsets, indices.shape[1])


def check_labels(
    indices: Tensor, offsets: Tensor, n_bags: int, num_embeddings: int
) -> None:
    """Raise unless the labels of a flat batch are rows of the table.

    Parameters
    ----------
    indices : Tensor of shape (nnz,)
        Labels without padding.
    offsets : Tensor of shape (B * n_bags + 1,)
        Where each bag starts, to find the row.
    n_bags : int
        Bags per row.
    num_embeddings : int
        Rows of the table.

    Raises
    ------
    ValueError
        If a label is negative or not below `num_embeddings`.
    """
    if indices.numel() == 0:
        return
    low, high = torch.aminmax(indices)
    if not bool((low < 0) | (high >= num_embeddings)):
        return
    bad = (indices < 0) | (indices >= num_embeddings)
    at = int(bad.nonzero()[0])
    row = int(torch.searchsorted(offsets[::n_bags].contiguous(), at, right=True)) - 1
    raise ValueError(
        f"indices, row {row}: got {int(indices[at])}, expected labels from 0 to "
        f"{num_embeddings - 1}."
    )


def check_n_bags(n_bags: int, num_fields: int) -> None:
    """Raise if a row has more bags than fields and nothing says which is which."""
    if n_bags > num_fields:
        raise ValueError(
            f"offsets: got {n_bags} bags per row, expected at most num_fields="
            f"{num_fields}. Pass fields= to say which field each bag is."
        )


def check_fields(fields: Tensor, shape: tuple[int, int], num_fields: int) -> None:
    """Raise unless `fields` gives every bag a field.

    Parameters
    ----------
    fields : Tensor of int32 or int64, shape (B, M)
        Field of each bag.
    shape : tuple of int
        (B, M).
    num_fields : int
        Ids lie in ``[0, num_fields)``.

    Raises
    ------
    ValueError
        If dtype or shape are wrong or an id is out of range.
    """
    _check_dense("fields", fields)
    _check_integers("fields", fields)
    if fields.shape != shape:
        _raise_shape("fields", fields, f"{shape}, as offsets")
    bad = ((fields < 0) | (fields >= num_fields)).any(1)
    if bool(bad.any()):
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"fields, row {row}: got {_show(fields[row])}, expected ids from 0 to "
            f"{num_fields - 1}."
        )


def _pick(name: str, value: Tensor | None, alias: Tensor | None) -> Tensor:
    if value is not None and alias is not None:
        raise TypeError(f"Got {name} under both names, expected one of them.")
    given = value if alias is None else alias
    if given is None:
        raise TypeError(f"Argument {name} is missing, expected a Tensor.")
    return given


def _check_dense(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise TypeError(f"{name}: got {got}, expected a Tensor.")
    if value.layout != torch.strided:
        raise ValueError(f"{name}: got layout {value.layout}, expected a dense Tensor.")


def _check_integers(name: str, value: Tensor) -> None:
    if value.dtype not in _INTEGERS:
        expected = "torch.int32 or torch.int64"
        raise ValueError(f"{name}: got dtype {value.dtype}, expected {expected}.")


def _check_2d(name: str, value: Tensor, expected: str) -> None:
    if value.ndim != 2:
        _raise_shape(name, value, expected)


def _raise_shape(name: str, value: Tensor, expected: str) -> None:
    raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {expected}.")


def _check_offsets(offsets: Tensor, width: int) -> None:
    offsets = offsets.long()  # the width of a row need not fit into 32 bits
    outside = (offsets < -1) | (offsets >= width)
    falls = offsets[:, 1:] < offsets[:, :-1]
    if not bool(outside.any() | falls.any()):
        return
    row = int((outside.any(1) | falls.any(1)).nonzero()[0])
    raise ValueError(
        f"offsets, row {row}: got {_show(offsets[row])}, expected end positions from "
        f"-1 to {width - 1} that never decrease."
    )


def _show(row: Tensor) -> str:
    """Return the values of a row, cut after ten."""
    values = ", ".join(str(value) for value in row[:10].tolist())
    return f"[{values}{', ...' if row.numel() > 10 else ''}]"
