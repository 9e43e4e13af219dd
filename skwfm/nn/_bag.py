"""Weighted sums of embedding rows over bags.

Formula: ``S[i, f] = sum_{j in bag (i, f)} w_ij v_j``. Storage: the table of an
``nn.EmbeddingBag``, (num_embeddings, embedding_dim); batches come padded and are
flattened, which copies labels and weights once. Cost: O(labels * embedding_dim).

The sums are made bag by bag. Differences of one running sum over the row, the other
way to do it, lose up to 1e-1 relative accuracy on long or badly scaled bags and let
one NaN spoil the rest of the row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from skwfm._kernels import torch_ops
from skwfm.nn import _checks

__all__ = ["WeightedEmbeddingBag", "flatten_padded"]


def flatten_padded(
    indices: Tensor, offsets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Drop the padding of checked padded bags.

    Parameters
    ----------
    indices, weights : Tensors of shape (B, N)
        Labels and weights. Values behind the last bag are not read.
    offsets : Tensor of shape (B, M)
        Inclusive end position of each bag.

    Returns
    -------
    indices, offsets, weights : Tensors of shapes (nnz,), (B * M + 1,), (nnz,)
        Flat bags in the order (row, bag); the offsets are int64 and start at 0.
    """
    width = indices.shape[1]
    ends = offsets.long() + 1
    lengths = ends[:, -1:]
    if bool((lengths == width).all()):
        labels, values = indices.reshape(-1), weights.reshape(-1)
    else:
        filled = torch.arange(width, device=indices.device) < lengths
        labels, values = indices[filled], weights[filled]
    first = torch.cumsum(lengths, 0) - lengths
    return labels, F.pad((ends + first).reshape(-1), (1, 0)), values


class WeightedEmbeddingBag(nn.Module):
    """Sum the embeddings of weighted bags, several bags per row.

    Parameters
    ----------
    num_embeddings : int
        Number of labels.
    embedding_dim : int
        Length of each vector.
    **emb_kwargs : dict
        Passed to ``torch.nn.EmbeddingBag``: `device`, `dtype`, `sparse`, `max_norm`,
        `padding_idx`, ... Mode "sum" and ``include_last_offset=True`` are fixed.

    Attributes
    ----------
    emb : torch.nn.EmbeddingBag
        Holds the table ``emb.weight`` of shape (num_embeddings, embedding_dim),
        initialized by torch (standard normal).
    weight : torch.nn.Parameter
        Alias of ``emb.weight``.

    Raises
    ------
    ValueError
        If `emb_kwargs` asks for another mode.

    See Also
    --------
    WeightedFM : Pairs of these sums as a score.
    skwfm.to_padded : Makes the arguments of forward from a CSR matrix.

    Examples
    --------
    >>> import torch
    >>> from skwfm.nn import WeightedEmbeddingBag
    >>> emb_bag = WeightedEmbeddingBag(6, 4)
    >>> _ = emb_bag.weight.data.copy_(torch.tensor([
    ...     [-0.4172, -0.1485, 0.9262, -0.4852],
    ...     [0.1526, -0.5395, 0.0916, -1.2741],
    ...     [-0.3022, -0.0705, -0.1614, -0.2234],
    ...     [0.8110, -0.2389, 0.7278, -0.1804],
    ...     [1.3034, 1.2308, -0.3032, 1.7542],
    ...     [0.2870, -3.3745, 1.4647, -0.4888],
    ... ]))
    >>> indices = torch.IntTensor([[0, 4, 2, 5], [1, 1, 4, 5], [1, 2, 3, 5]])
    >>> weights = torch.Tensor([[.2, .1, .9, .8], [.5, .2, .3, .3], [2, -2, .3, .6]])
    >>> offsets = torch.IntTensor([[0, 1, 3], [0, 2, 3], [1, 2, 3]])
    >>> emb_bag(indices, offsets, weights).detach()
    tensor([[[-0.0834, -0.0297,  0.1852, -0.0970],
             [ 0.1303,  0.1231, -0.0303,  0.1754],
             [-0.0424, -2.7631,  1.0265, -0.5921]],
    <BLANKLINE>
            [[ 0.0763, -0.2697,  0.0458, -0.6370],
             [ 0.4215,  0.2613, -0.0726,  0.2714],
             [ 0.0861, -1.0124,  0.4394, -0.1466]],
    <BLANKLINE>
            [[ 0.9096, -0.9380,  0.5060, -2.1014],
             [ 0.2433, -0.0717,  0.2183, -0.0541],
             [ 0.1722, -2.0247,  0.8788, -0.2933]]])
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, **emb_kwargs: Any
    ) -> None:
        super().__init__()
        mode = emb_kwargs.pop("mode", "sum")
        if mode != "sum":
            raise ValueError(f"mode={mode!r}, expected 'sum', the only one here.")
        emb_kwargs["include_last_offset"] = True
        self.emb = nn.EmbeddingBag(
            num_embeddings, embedding_dim, mode="sum", **emb_kwargs
        )

    @property
    def weight(self) -> Tensor:
        """The table, ``emb.weight``.

        Examples
        --------
        >>> from skwfm.nn import WeightedEmbeddingBag
        >>> bag = WeightedEmbeddingBag(5, 3)
        >>> bag.weight is bag.emb.weight, tuple(bag.weight.shape)
        (True, (5, 3))
        """
        return self.emb.weight

    @property
    def num_embeddings(self) -> int:
        """Number of labels.

        Examples
        --------
        >>> from skwfm.nn import WeightedEmbeddingBag
        >>> WeightedEmbeddingBag(5, 3).num_embeddings
        5
        """
        return self.emb.num_embeddings

    @property
    def embedding_dim(self) -> int:
        """Length of each vector.

        Examples
        --------
        >>> from skwfm.nn import WeightedEmbeddingBag
        >>> WeightedEmbeddingBag(5, 3).embedding_dim
        3
        """
        return self.emb.embedding_dim

    def forward(
        self,
        indices: Tensor | None = None,
        offsets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        input: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted sum of every bag.

        Parameters
        ----------
        indices : Tensor of int32 or int64, shape (B, N)
            Labels in ``[0, num_embeddings)``, bag after bag. Alias `input`.
        offsets : Tensor of int32 or int64, shape (B, M)
            Inclusive end position of each bag; equal to the one before for an empty
            bag, -1 for an empty first bag. What follows the last bag is padding: it
            is not read and may hold anything, NaN weights included.
        weights : floating point Tensor of shape (B, N)
            Weight of each label, cast to the table's dtype. Alias
            `per_sample_weights`.
        input, per_sample_weights : Tensor
            The same under the names of ``torch.nn.EmbeddingBag``.

        Returns
        -------
        Tensor of shape (B, M, embedding_dim)
            The sum of bag m of row i at ``[i, m]``; 0 for an empty bag.

        Raises
        ------
        ValueError
            If a shape or dtype is wrong, a label is out of range, or offsets decrease
            or leave the row. The message names the row.
        TypeError
            If an argument is missing, no tensor, or given under both of its names.

        See Also
        --------
        skwfm.to_padded : Makes these arrays from a matrix.

        Examples
        --------
        Two rows of two bags; in the second the first bag is empty and the last two
        places are padding:

        >>> import torch
        >>> from skwfm.nn import WeightedEmbeddingBag
        >>> bag = WeightedEmbeddingBag(3, 2)
        >>> _ = bag.weight.data.copy_(torch.tensor([[1.0, 0], [0, 1], [5, 5]]))
        >>> indices = torch.tensor([[0, 1, 2], [2, 0, 0]])
        >>> offsets = torch.tensor([[1, 2], [-1, 0]])
        >>> weights = torch.tensor([[3.0, 0.5, 2.0], [1.0, 0.0, torch.nan]])
        >>> bag(indices, offsets, weights).detach()
        tensor([[[ 3.0000,  0.5000],
                 [10.0000, 10.0000]],
        <BLANKLINE>
                [[ 0.0000,  0.0000],
                 [ 5.0000,  5.0000]]])
        """
        indices, offsets, weights = _checks.pick_arguments(
            indices, offsets, weights, input, per_sample_weights
        )
        flat = self.flatten(indices, offsets, weights)
        return self._sums(*flat).view(*offsets.shape, self.embedding_dim)

    def flatten(
        self, indices: Tensor, offsets: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Check padded bags and drop their padding.

        Parameters
        ----------
        indices, offsets, weights : Tensor
            As in `forward`.

        Returns
        -------
        indices : Tensor of shape (nnz,)
            Labels, bag after bag.
        offsets : Tensor of int64, shape (B * M + 1,)
            Where each bag starts; the last entry is nnz.
        weights : Tensor of shape (nnz,)
            Weights, in the table's dtype.

        Raises
        ------
        ValueError, TypeError
            As `forward`.

        Examples
        --------
        >>> import torch
        >>> from skwfm.nn import WeightedEmbeddingBag
        >>> indices = torch.tensor([[0, 1, 2], [2, 0, 0]])
        >>> offsets = torch.tensor([[1, 2], [-1, 0]])
        >>> weights = torch.tensor([[3.0, 5.0, 2.0], [1.0, 0.0, 0.0]])
        >>> WeightedEmbeddingBag(3, 2).flatten(indices, offsets, weights)
        (tensor([0, 1, 2, 2]), tensor([0, 2, 3, 3, 4]), tensor([3., 5., 2., 1.]))
        """
        _checks.check_padded(indices, offsets, weights)
        labels, starts, values = flatten_padded(indices, offsets, weights)
        n_bags = offsets.shape[1]
        _checks.check_labels(labels, starts, n_bags, self.num_embeddings)
        return labels, starts, values.to(self.weight.dtype)

    def _sums(self, indices: Tensor, offsets: Tensor, weights: Tensor) -> Tensor:
        emb = self.emb
        special = (emb.max_norm, emb.padding_idx, emb.scale_grad_by_freq or None)
        if special == (None, None, None):
            return torch_ops.bag_sums(
                emb.weight, indices, offsets, weights, sparse=emb.sparse
            )
        sums: Tensor = emb(indices.long(), offsets, per_sample_weights=weights)
        return sums
