"""Schedules of the learning rate by name: its share of the first rate, per epoch.

With t epochs done of T planned, and e = 0.01 where a fall ends:

- cosine: ``e + (1 - e) (1 + cos(pi t / T)) / 2`` (Loshchilov and Hutter, "SGDR:
  Stochastic Gradient Descent with Warm Restarts", ICLR 2017; without restarts);
- linear: ``1 - (1 - e) t / T``;
- exponential: ``e^(t / T)``;
- inverse_sqrt: ``1 / sqrt(1 + t)``, which knows no plan (scikit-learn's "invscaling");
- constant: 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["AUTO_SCHEDULE", "FINAL_STEP", "SCHEDULES", "rate_share"]

# The step ends at this share of its start.
FINAL_STEP = 0.01

AUTO_SCHEDULE = "cosine"


def _cosine(epoch: int, n_epochs: int) -> float:
    half_cosine = 0.5 * (1 + np.cos(np.pi * (epoch / n_epochs)))
    return float(FINAL_STEP + (1 - FINAL_STEP) * half_cosine)


def _linear(epoch: int, n_epochs: int) -> float:
    return 1 - (1 - FINAL_STEP) * epoch / n_epochs


def _exponential(epoch: int, n_epochs: int) -> float:
    return float(FINAL_STEP ** (epoch / n_epochs))


def _inverse_sqrt(epoch: int, n_epochs: int) -> float:
    return float(1 / np.sqrt(1 + epoch))


def _constant(epoch: int, n_epochs: int) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "inverse_sqrt": _inverse_sqrt,
    "linear": _linear,
}


def rate_share(schedule: str, epoch: int, n_epochs: int) -> float:
    """Return the rate of an epoch as a share of the first one.

    Parameters
    ----------
    schedule : str
        ``"auto"`` or a key of `SCHEDULES`.
    epoch : int
        Epochs done.
    n_epochs : int
        Epochs planned.

    Returns
    -------
    float

    Examples
    --------
    >>> from skwfm._schedules import rate_share
    >>> [round(rate_share("linear", epoch, 4), 4) for epoch in range(5)]
    [1.0, 0.7525, 0.505, 0.2575, 0.01]
    """
    name = AUTO_SCHEDULE if schedule == "auto" else schedule
    return SCHEDULES[name](epoch, n_epochs)
