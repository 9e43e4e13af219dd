"""Field-aware factorization machine over weighted bags, as a torch module.

Formula: ``b + sum_j w_j a_j + sum_{f<g} <A[f, g], A[g, f]>`` with
``A[f, g] = sum_{j in f} w_j V[j, g]``. Storage: factors (num_features, num_outputs *
num_fields * k), laid out [output][target field][k]. Cost: O(labels * F * k + F^2 k) per
row, where pairs of labels would cost O(labels^2 k).
"""

from __future__ import annotations

import torch
from torch import Tensor

from skwfm._kernels import operators, torch_ops
from skwfm.nn import _checks
from skwfm.nn._fm import FactorModule

__all__ = ["WeightedFFM"]


class WeightedFFM(FactorModule):
    """Field-aware factorization machine over weighted multi-value fields.

    ``b + sum_j w_j a_j + sum_{f<g} <A[f, g], A[g, f]>`` where
    ``A[f, g] = sum_{j in f} w_j V[j, g]``: every label has one vector per partner field
    [1]_.

    Parameters
    ----------
    num_features : int
        Number of labels.
    field_dim : int
        Length k of each vector.
    num_fields : int
        Number of fields F.
    bias, linear : bool, default=True
        Fit b and a.
    intra_field : bool, default=False
        Count the pairs of different labels of one field too, as libFFM does.
    num_outputs : int, default=1
        Scores per row, each with its own parameters.
    sparse : bool, default=False
        Sparse gradients of factors and linear coefficients.
    init_scale : float, default=0.01
        Standard deviation of the initial factors; linear and bias start at zero.
    generator : torch.Generator, optional
        Source of the initial factors, on their device; by default torch's global one.
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    bag : WeightedEmbeddingBag
        Factors ``bag.weight`` of shape (num_features, num_outputs * num_fields *
        field_dim), laid out [output][target field][field_dim].
    linear : Parameter of shape (num_features, num_outputs) or None
    bias : Parameter of shape (num_outputs,) or None

    See Also
    --------
    WeightedFM : One vector per label.
    skwfm.WeightedFFMClassifier, skwfm.WeightedFFMRegressor : The same with fit.

    References
    ----------
    .. [1] Y. Juan, Y. Zhuang, W.-S. Chin and C.-J. Lin (2016). "Field-aware
       Factorization Machines for CTR Prediction". ACM RecSys.

    Examples
    --------
    Labels 0 and 1 belong to field 0, label 2 to field 1.

    >>> import torch
    >>> from skwfm.nn import WeightedFFM
    >>> ffm = WeightedFFM(3, 1, num_fields=2)
    >>> _ = ffm.bag.weight.data.copy_(torch.tensor([[9.0, 1], [9, 2], [3, 9]]))
    >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
    >>> ffm(indices, offsets, torch.tensor([[1.0, 0.5, 2.0]])).item()
    12.0
    """

    def __init__(
        self,
        num_features: int,
        field_dim: int,
        num_fields: int,
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
            num_fields * field_dim,
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
        self.field_dim = field_dim
        self.num_fields = num_fields

    def forward(
        self,
        indices: Tensor | None = None,
        offsets: Tensor | None = None,
        weights: Tensor | None = None,
        fields: Tensor | None = None,
        *,
        input: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """Score padded rows.

        Parameters
        ----------
        indices, offsets, weights : Tensor
            As in `WeightedEmbeddingBag.forward`.
        fields : Tensor of int32 or int64, shape (B, M), optional
            The field of each bag, in ``[0, num_fields)``; bags of one row with the
            same field are merged. By default bag m is field m, and M may be less than
            num_fields.
        input, per_sample_weights : Tensor
            As in `WeightedEmbeddingBag.forward`.

        Returns
        -------
        Tensor of shape (B,), or (B, num_outputs) for more than one output
            The scores.

        Raises
        ------
        ValueError
            If a shape or dtype is wrong, a label or field is out of range, offsets
            decrease or leave the row, or M passes num_fields without `fields`. The
            message names the row.
        TypeError
            If an argument is missing, no tensor, or given under both of its names.

        See Also
        --------
        skwfm.to_padded : Makes these arrays from a matrix.

        Examples
        --------
        Labels 0 and 1 are of field 0, label 2 of field 1; bags in another order need
        `fields`:

        >>> import torch
        >>> from skwfm.nn import WeightedFFM
        >>> ffm = WeightedFFM(3, 2, num_fields=2)
        >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
        >>> score = ffm(indices, offsets, torch.tensor([[1.0, 0.5, 2.0]]))
        >>> indices, offsets = torch.tensor([[2, 0, 1]]), torch.tensor([[0, 2]])
        >>> weights, fields = torch.tensor([[2.0, 1.0, 0.5]]), torch.tensor([[1, 0]])
        >>> torch.allclose(ffm(indices, offsets, weights, fields), score)
        True
        """
        labels, starts, values, n_bags = self._flatten(
            indices, offsets, weights, input, per_sample_weights
        )
        if fields is None:
            _checks.check_n_bags(n_bags, self.num_fields)
        else:
            n_rows = (starts.numel() - 1) // n_bags
            _checks.check_fields(fields, (n_rows, n_bags), self.num_fields)
            labels, starts, values = torch_ops.merge_fields(
                labels, starts, values, fields, self.num_fields
            )
            n_bags = self.num_fields
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
            Bags per row, at most num_fields; bag m is field m.
        scale : Tensor of shape (B, field_dim), optional
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
        >>> from skwfm.nn import WeightedFFM
        >>> ffm = WeightedFFM(3, 2, num_fields=2)
        >>> indices, offsets = torch.tensor([[0, 1, 2]]), torch.tensor([[1, 2]])
        >>> padded = indices, offsets, torch.tensor([[1.0, 0.5, 2.0]])
        >>> flat = ffm.bag.flatten(*padded)
        >>> torch.equal(ffm.score_flat(*flat, n_fields=2), ffm(*padded))
        True
        """
        scores = operators.ffm_score(
            self.bag.weight,
            self.linear,
            self.bias,
            indices,
            offsets,
            weights,
            self.num_fields,
            n_bags=n_fields,
            n_outputs=self.num_outputs,
            intra_field=self.intra_field,
            sparse=self.sparse,
            scale=scale,
        )
        return self._squeeze(scores)
