"""Factorization machine over weighted bags, as a torch module.

Formula: ``b + sum_j w_j a_j + sum_{f<g} <S_f, S_g>`` with the bag sums
``S_f = sum_{j in f} w_j v_j``. Storage: factors (num_features, num_outputs * k), linear
(num_features, num_outputs), bias (num_outputs,). Cost: O(labels * k) per row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skwfm._kernels import operators, torch_ops
from skwfm.nn import _checks
from skwfm.nn._bag import WeightedEmbeddingBag

__all__ = ["FactorModule", "WeightedFM"]


class FactorModule(nn.Module):
    """Parameters and batch handling that FM and FFM share.

    Parameters
    ----------
    num_features : int
        Number of labels.
    dim : int
        Length of a label's factors per output.
    bias, linear, intra_field, num_outputs, sparse, init_scale, generator, device, dtype
        As in `WeightedFM`.
    """

    bias: nn.Parameter | None
    linear: nn.Parameter | None

    def __init__(
        self,
        num_features: int,
        dim: int,
        *,
        bias: bool,
        linear: bool,
        intra_field: bool,
        num_outputs: int,
        sparse: bool,
        init_scale: float,
        generator: torch.Generator | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_outputs = num_outputs
        self.intra_field = intra_field
        self.sparse = sparse
        self.init_scale = init_scale

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, device=device, dtype=dtype)

        # A given table keeps EmbeddingBag from drawing one that is overwritten anyway.
        width = num_outputs * dim
        table = empty(num_features, width)
        self.bag = WeightedEmbeddingBag(
            num_features, width, sparse=sparse, _weight=table
        )
        values = nn.Parameter(empty(num_features, num_outputs)) if linear else None
        self.register_parameter("linear", values)
        self.register_parameter(
            "bias", nn.Parameter(empty(num_outputs)) if bias else None
        )
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the factors from N(0, init_scale^2); set linear and bias to zero.

        Parameters
        ----------
        generator : torch.Generator, optional
            Source of the draws, by default torch's global one.

        Examples
        --------
        >>> import torch
        >>> from skwfm.nn import WeightedFM
        >>> fm, drawn = WeightedFM(4, 2), []
        >>> for _ in range(2):
        ...     fm.reset_parameters(torch.Generator().manual_seed(7))
        ...     drawn.append(fm.bag.weight.detach().clone())
        >>> torch.equal(*drawn)
        True
        """
        if self.bag.weight.is_meta:
            return  # no numbers, and torch would import its compiler: 1.5 seconds
        with torch.no_grad():
            self.bag.weight.normal_(0.0, self.init_scale, generator=generator)
            for parameter in (self.linear, self.bias):
                if parameter is not None:
                    parameter.zero_()

    def _flatten(
        self,
        indices: Tensor | None,
        offsets: Tensor | None,
        weights: Tensor | None,
        input: Tensor | None,
        per_sample_weights: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Check a padded batch; return it flat, with the number of bags per row."""
        indices, offsets, weights = _checks.pick_arguments(
            indices, offsets, weights, input, per_sample_weights
        )
        flat = self.bag.flatten(indices, offsets, weights)
        return *flat, offsets.shape[1]

    def score_flat(
        self,
        indices: Tensor,
        offsets: Tensor,
        weights: Tensor,
        n_fields: int,
        *,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Score flat rows; nothing is checked."""
        raise NotImplementedError

    def _squeeze(self, scores: Tensor) -> Tensor:
        return scores.squeeze(1) if self.num_outputs == 1 else scores

    def extra_repr(self) -> str:
        """Show what the table's shape does not say.

        Returns
        -------
        str
            What torch puts into the ``repr`` of the module.

        Examples
        --------
        >>> from skwfm.nn import WeightedFM
        >>> WeightedFM(4, 2, num_outputs=3)
        WeightedFM(
          num_outputs=3, intra_field=False
          (bag): WeightedEmbeddingBag(
            (emb): EmbeddingBag(4, 6, mode='sum')
          )
        )
        """
        return f"num_outputs={self.num_outputs}, intra_field={self.intra_field}"


class WeightedFM(FactorModule):
    """Factorization machine over weighted multi-value fields.

    ``b + sum_j w_j a_j + sum_{f<g} <S_f, S_g>``, ``S_f = sum_{j in f} w_j v_j``: pairs
    of labels of different fields, and with one label per field Rendle's machine [1]_.

    Parameters
    ----------
    num_features : int
        Number of labels.
    embedding_dim : int
        Length k of the factors.
    bias, linear : bool, default=True
        Fit b and a.
    intra_field : bool, default=False
        Count the pairs of different labels of one field too.
    num_outputs : int, default=1
        Scores per row, each with its own parameters.
    sparse : bool, default=False
        Sparse gradients of factors and linear coefficients (for SGD, SparseAdam,
        Adagrad).
    init_scale : float, default=0.01
        Standard deviation of the initial factors: small enough that the linear part
        leads at first, large enough to break the symmetry. Linear and bias start at
        zero.
    generator : torch.Generator, optional
        Source of the initial factors, on their device; by default torch's global one.
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    bag : WeightedEmbeddingBag
        Factors ``bag.weight`` of shape (num_features, num_outputs * embedding_dim).
    linear : Parameter of shape (num_features, num_outputs) or None
    bias : Parameter of shape (num_outputs,) or None

    See Also
    --------
    WeightedFFM : One vector per label and partner field.
    skwfm.WeightedFMClassifier, skwfm.WeightedFMRegressor : The same with fit.

    References
    ----------
    .. [1] S. Rendle (2010). "Factorization Machines". IEEE ICDM.

    Examples
    --------
    >>> import torch
    >>> from skwfm.nn import WeightedFM
    >>> fm = WeightedFM(4, 2)
    >>> _ = fm.bag.weight.data.copy_(torch.tensor([[1., 0], [0, 1], [2, 1], [0, 3]]))
    >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
    >>> fm(indices, offsets, torch.tensor([[1.0, 0.5, 2.0]])).item()
    5.0
    """

    def __init__(
        self,
        num_features: int,
        embedding_dim: int,
        *,
        bias: bool = True,
        linear: bool = True,
        intra_field: bool = False,
        num_outputs: int = 1,
        sparse: bool = False,
        init_scale: float = 0.01,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features,
            embedding_dim,
            bias=bias,
            linear=linear,
            intra_field=intra_field,
            num_outputs=num_outputs,
            sparse=sparse,
            init_scale=init_scale,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        self.embedding_dim = embedding_dim

    def forward(
        self,
        indices: Tensor | None = None,
        offsets: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        input: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Score padded rows.

        Parameters
        ----------
        indices, offsets, weights, input, per_sample_weights : Tensor
            As in `WeightedEmbeddingBag.forward`; any number of bags per row.

        Returns
        -------
        Tensor of shape (B,), or (B, num_outputs) for more than one output
            The scores.

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
        A term for each pair of labels of different fields: labels 0 and 1 are in the
        first bag, label 2 is in the second.

        >>> import torch
        >>> from skwfm.nn import WeightedFM
        >>> fm = WeightedFM(3, 2, linear=False)
        >>> _ = fm.bag.weight.data.copy_(torch.tensor([[1.0, 0], [0, 1], [2, 3]]))
        >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
        >>> fm(indices, offsets, weights=torch.tensor([[10.0, 1.0, 1.0]])).detach()
        tensor([23.])
        """
        labels, starts, values, n_bags = self._flatten(
            indices, offsets, weights, input, per_sample_weights
        )
        if self.intra_field:
            labels, starts, values = torch_ops.coalesce_flat(
                labels, starts, values, self.num_features
            )
        return self.score_flat(labels, starts, values, n_bags)

    def score_flat(
        self,
        indices: Tensor,
        offsets: Tensor,
        weights: Tensor,
        n_fields: int,
        *,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Score flat rows; nothing is checked.

        Parameters
        ----------
        indices : Tensor of shape (nnz,)
            Labels, in the order (row, field). With `intra_field` no label may stand
            twice in a bag.
        offsets : Tensor of shape (B * n_fields + 1,)
            Where each bag starts; the last entry is nnz.
        weights : Tensor of shape (nnz,)
            Weights, of the table's dtype.
        n_fields : int
            Bags per row.
        scale : Tensor of shape (B, embedding_dim), optional
            What each row multiplies the dimensions of its factors with: dropout.

        Returns
        -------
        Tensor of shape (B,), or (B, num_outputs) for more than one output
            The scores.

        See Also
        --------
        WeightedEmbeddingBag.flatten : Checks padded rows and makes them flat.

        Examples
        --------
        >>> import torch
        >>> from skwfm.nn import WeightedFM
        >>> fm = WeightedFM(4, 2)
        >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
        >>> padded = indices, offsets, torch.tensor([[1.0, 0.5, 2.0]])
        >>> flat = fm.bag.flatten(*padded)
        >>> torch.equal(fm.score_flat(*flat, n_fields=2), fm(*padded))
        True
        """
        scores = operators.fm_score(
            self.bag.weight,
            self.linear,
            self.bias,
            indices,
            offsets,
            weights,
            n_fields,
            n_outputs=self.num_outputs,
            intra_field=self.intra_field,
            sparse=self.sparse,
            scale=scale,
        )
        return self._squeeze(scores)
