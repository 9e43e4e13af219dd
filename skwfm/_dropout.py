"""Dropout on factors: each training row leaves out some dimensions of the vectors.

The pairs of a row add up to a vector of k numbers before they become a score: its
entry d is ``z_d = sum over pairs of (u * v)_d``, u and v being the two vectors of a
pair. Dropout with rate p scores ``sum_d m_d z_d / (1 - p)`` instead of ``sum_d z_d``,
with m_d = 0 with probability p and else 1, drawn anew for every row and step. The
expected score is the one without dropout, which is what predicts. It keeps dimensions
from relying on each other. The linear term is not touched.

For an FM this is the dropout on the Bi-Interaction layer of X. He and T.-S. Chua,
"Neural Factorization Machines for Sparse Predictive Analytics", SIGIR 2017, without
hidden layers. An FFM has one vector per pair of fields; the row leaves out the same
dimensions of all of them, and of all classes.

Storage: one number per row of the batch and dimension. As z_d has two factors, each of
them is scaled by ``sqrt(m_d / (1 - p))``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FactorDropout"]


class FactorDropout:
    """Draws what a training step scales the factors of its rows with.

    Parameters
    ----------
    rate : float
        Probability p of leaving a dimension out, in [0, 1).
    n_factors : int
        Dimensions k.
    seed : int
        Of the draws; torch's global random state is neither read nor moved.

    Examples
    --------
    >>> import torch
    >>> from skwfm._dropout import FactorDropout
    >>> scale = FactorDropout(0.75, n_factors=8, seed=0).scale(100, torch.zeros(1))
    >>> scale.shape, scale.unique().tolist()
    (torch.Size([100, 8]), [0.0, 2.0])
    """

    def __init__(self, rate: float, n_factors: int, seed: int) -> None:
        self.rate, self.n_factors, self.seed = rate, n_factors, seed
        self.generator: torch.Generator | None = None

    def scale(self, n_rows: int, like: Tensor) -> Tensor:
        """Draw for so many rows.

        Parameters
        ----------
        n_rows : int
            Rows of the batch.
        like : Tensor
            Its device and dtype are taken.

        Returns
        -------
        Tensor of shape (n_rows, n_factors)
            0 or ``1 / sqrt(1 - rate)``.
        """
        if self.generator is None:
            self.generator = torch.Generator(like.device).manual_seed(self.seed)
        kept = like.new_empty((n_rows, self.n_factors))
        kept.bernoulli_(1 - self.rate, generator=self.generator)
        return kept.div_((1 - self.rate) ** 0.5)
