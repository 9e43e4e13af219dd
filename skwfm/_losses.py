"""Losses: how a score is compared with a target, and how a target is coded.

For a row with score s and target t, before weighting:

- squared: ``1/2 (s - t)^2``, t standardised to mean 0 and variance 1, so that one
  learning rate and one penalty fit targets in any unit;
- huber: ``1/2 e^2`` where the error ``e = s - t`` is at most 1.35, else
  ``1.35 (|e| - 1.35 / 2)``, t standardised by median and median deviation;
- poisson: ``e^s - t s``, t a count >= 0, so that the expected count is ``e^s``;
- logistic: ``log(1 + e^s) - t s``, t in {0, 1};
- softmax: ``log sum_c e^{s_c} - s_t``, t in {0, ..., C-1};
- ordinal: ``-log(Phi(g_{t+1} - s) - Phi(g_t - s))``, t in {0, ..., C-1}, for the cut
  points g that the solver has.

A batch of B rows with weights w (mean 1 over the data) costs ``sum_i w_i loss_i / B``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from skwfm._kernels.sums import steady_sum

__all__ = [
    "Huber",
    "Logistic",
    "Loss",
    "Ordinal",
    "Poisson",
    "Softmax",
    "Squared",
    "Target",
]

# 95 % of the efficiency of least squares where errors are normal (Huber, 1981).
HUBER_DELTA = 1.35
# A normal variable's standard deviation in units of its median absolute deviation.
MAD_TO_DEVIATION = 1.4826

FloatArray = npt.NDArray[Any]


class Target(NamedTuple):
    """Coded targets, and what turns scores back: ``score * scale + shift``."""

    values: FloatArray
    """Shape (n_samples,): float for squared and logistic, int64 for softmax."""
    start: FloatArray
    """Shape (n_outputs,): intercept to start from, in coded units."""
    shift: float = 0.0
    """Mean of the target."""
    scale: float = 1.0
    """Standard deviation of the target."""

    @property
    def fits_float32(self) -> bool:
        """Whether parameters in the unit of the target stay inside float32."""
        in_range = 1e-30 < self.scale < 1e30 and abs(self.shift) < 1e30
        # Float32 has 7 digits: a mean of 1e4 standard deviations leaves 3 of them.
        return in_range and abs(self.shift) <= 1e4 * self.scale

    def code(self, y: FloatArray) -> FloatArray:
        """Code further targets, of rows to stop by, in the same way."""
        coded: FloatArray = (y - self.shift) / self.scale
        return coded.astype(self.values.dtype)


class Loss(nn.Module):
    """Weighted mean of a loss per row; the criterion of the skorch net."""

    name: str
    """Name in the compiled core."""
    n_outputs = 1
    n_classes = 0
    """Number of classes, 0 for regression."""
    is_scaled = False
    """Whether it is of a target in units of its deviation."""
    is_robust = False
    """Whether outliers do not change that deviation."""

    def forward(self, score: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch.

        Parameters
        ----------
        score : Tensor of shape (B, n_outputs)
            Scores.
        target : pair of Tensors of shape (B,)
            Coded targets and weights.

        Returns
        -------
        Tensor, scalar
        """
        values, weights = target
        return steady_sum(self.per_row(score, values) * weights) / len(weights)

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, unweighted: shape (B,)."""
        raise NotImplementedError

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Code targets; `center` tells whether the model may have an intercept."""
        raise NotImplementedError


class Squared(Loss):
    """Half the squared error of the standardised target."""

    name = "squared"
    is_scaled = True

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return ``1/2 (s - t)^2``."""
        return 0.5 * (score[:, 0] - target) ** 2

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Standardise by the weighted mean and standard deviation."""
        shift = float(np.average(y, weights=weights)) if center else 0.0
        # Divide first: the square of a large target may overflow.
        largest = float(np.max(np.abs(y - shift))) or 1.0
        relative = np.average(((y - shift) / largest) ** 2, weights=weights)
        scale = largest * float(np.sqrt(relative)) or 1.0
        return Target((y - shift) / scale, np.zeros(1), shift, scale)


class Huber(Loss):
    """Squared for small errors, absolute for large ones: few outliers do no harm."""

    name = "huber"
    is_scaled = is_robust = True

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return half the squared error up to 1.35, linear beyond."""
        return F.huber_loss(score[:, 0], target, reduction="none", delta=HUBER_DELTA)

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Standardise by the weighted median and median absolute deviation."""
        shift = _median(y, weights) if center else 0.0
        scale = MAD_TO_DEVIATION * _median(np.abs(y - shift), weights)
        if scale == 0:  # more than half of the targets are equal
            scale = float(np.max(np.abs(y - shift))) or 1.0
        return Target((y - shift) / scale, np.zeros(1), shift, scale)


def _median(values: FloatArray, weights: FloatArray) -> float:
    """Return the lower weighted median: the same for a weight of 2 and two rows."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])


class Poisson(Loss):
    """Negative log-likelihood of a count, up to a constant; the score is its log."""

    name = "poisson"

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return ``e^s - t s``."""
        return score[:, 0].exp() - target * score[:, 0]

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Take counts as they are and start from the logarithm of their mean."""
        mean = float(np.average(y, weights=weights))
        mean = max(mean, float(np.finfo(np.float64).tiny))  # of counts next to nothing
        return Target(y, np.array([np.log(mean) if center else 0.0]))


class Ordinal(Loss):
    """Negative log-likelihood of levels in an order, for given cut points."""

    name = "ordinal"

    def __init__(self, levels: FloatArray) -> None:
        super().__init__()
        self.levels = levels
        self.cuts = torch.linspace(-1, 1, len(levels) - 1, dtype=torch.float64)

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return the negative log-likelihood of each level."""
        ends = torch.tensor([-torch.inf, torch.inf], dtype=torch.float64)
        cuts = torch.cat([ends[:1], self.cuts, ends[1:]])
        score = score[:, 0].double()
        low, high = cuts[target] - score, cuts[target + 1] - score
        # Both in the lower tail, where differences are exact.
        mirror = low > 0
        low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
        share = torch.special.ndtr(high) - torch.special.ndtr(low)
        loss: Tensor = -share.clamp(min=1e-300).log()
        return loss

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Take 0 to C-1 as they are; cut points are no part of the coding."""
        return Target(y.astype(np.int64), np.zeros(1))


class Logistic(Loss):
    """Negative log-likelihood of two classes."""

    name = "logistic"
    n_classes = 2

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return ``log(1 + e^s) - t s``."""
        return F.softplus(score[:, 0]) - target * score[:, 0]

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Take {0, 1} as they are and start from the log-odds."""
        share = np.average(y, weights=weights)
        start = float(np.log(share / (1 - share))) if center else 0.0
        return Target(y.astype(np.float32), np.array([start]))


class Softmax(Loss):
    """Negative log-likelihood of three or more classes."""

    name = "softmax"

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.n_outputs = self.n_classes = n_classes

    def per_row(self, score: Tensor, target: Tensor) -> Tensor:
        """Return ``log sum_c e^{s_c} - s_t``."""
        return F.cross_entropy(score, target, reduction="none")

    def encode(self, y: FloatArray, weights: FloatArray, *, center: bool) -> Target:
        """Take 0 to C-1 as they are and start from the log-frequencies."""
        codes = y.astype(np.int64)
        start = np.zeros(self.n_outputs)
        if center:
            counts = np.bincount(codes, weights=weights, minlength=self.n_outputs)
            # A class whose rows all have weight zero still gets a finite start.
            start = np.log(np.maximum(counts, 1e-3 * counts.max()))
            start -= start.mean()
        return Target(codes, start)
