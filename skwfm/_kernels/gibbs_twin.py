"""The sampler's steps in numpy, slow and obvious: the twin of the compiled ones.

The functions have the names and arguments of the core's, see `gibbs`; sums are always
kept. A block
(v_j, a_j) is normal given all else, with precision ``Lambda + alpha G`` and mean
``precision^-1 (Lambda mu + alpha sum_i c_i w_ij [u_i, 1] r_i)``, where
``G = sum_i c_i w_ij^2 [u_i, 1][u_i, 1]^T`` and r_i is the residual of row i without the
label's part.

Cost: one Python step per label.

References: Rendle (2012), "Factorization machines with libFM", ACM TIST 3(3); there a
block is one number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import ndtr, ndtri

__all__ = [
    "add_bags",
    "collect_bags",
    "correct_bags",
    "draw_latent",
    "mixed",
    "normals",
    "scale_labels",
    "sweep",
    "sweep_bags",
    "truncated",
    "truncated_mean",
    "uniforms",
]

Array = npt.NDArray[Any]
# The least probability that is told from 0.
TINY = 1e-300


def mixed(x: Array) -> Array:
    """Return well-mixed 64 bits (SplitMix64: Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def uniforms(key: int, n: int) -> Array:
    """Return numbers between 0 and 1 by their places after a key.

    Examples
    --------
    >>> from skwfm._kernels.gibbs_twin import uniforms
    >>> bool((uniforms(7, 5)[2:] == uniforms(9, 3)).all())
    True
    """
    with np.errstate(over="ignore"):
        places = np.uint64(key) + np.arange(n, dtype=np.uint64)
    return ((mixed(places) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(key: int, n: int) -> Array:
    """Return normal numbers by their places after a key."""
    return np.asarray(ndtri(uniforms(key, n)))


def truncated(low: Array, high: Array, u: Array) -> Array:
    """Return normal numbers between bounds, by numbers between 0 and 1."""
    mirror = low > 0
    low, high = np.where(mirror, -high, low), np.where(mirror, -low, high)
    u = np.where(mirror, 1 - u, u)
    below = ndtr(low)
    p = below + u * (ndtr(high) - below)
    x = np.clip(np.where(p > 0, ndtri(np.where(p > 0, p, 0.5)), high), low, high)
    return np.where(mirror, -x, x)


def truncated_mean(low: Array, high: Array) -> Array:
    """Return the means of normal numbers between bounds."""
    mirror = low > 0
    below, above = np.where(mirror, -high, low), np.where(mirror, -low, high)
    share = ndtr(above) - ndtr(below)
    is_far = ~(share > TINY)
    bells = (np.exp(-0.5 * below**2) - np.exp(-0.5 * above**2)) / np.sqrt(2 * np.pi)
    mean = bells / np.where(is_far, 1.0, share)
    # Beyond all tails: the bound nearer to the mean.
    mean = np.where(is_far, above, mean)
    return np.where(mirror, -mean, mean)


def sweep(
    *,
    indptr: Array,
    rows: Array,
    values: Array | None,
    blocks: Array,
    sums: Array,
    others: None,
    residuals: Array,
    row_scale: Array | None,
    n_factors: int,
    own_in_sums: bool,
    first: int,
    end: int,
    n_threads: int,
    **given: Any,
) -> int:
    """Draw the blocks of labels, one after the other; return how many went well.

    `given` is what `_draw` takes.
    """
    for j in range(first, end):
        at = slice(indptr[j], indptr[j + 1])
        i, w = rows[at], _weights(values, at)[:, None]
        theta = blocks[j].astype(np.float64)
        own = w * theta[:n_factors] if own_in_sums else 0.0
        z = w * _design(sums[i, :n_factors], own, len(theta))
        c = _row_weights(row_scale, i)
        with np.errstate(invalid="ignore", over="ignore"):  # told by the result
            gram = (c * z).T @ z
            errors = (c * z).T @ residuals[i].astype(np.float64)
        if not _draw(blocks, j, gram, errors, **given):
            return j - first
        change = blocks[j].astype(np.float64) - theta
        residuals[i] -= (z @ change).astype(residuals.dtype)
        if own_in_sums:
            sums[i, :n_factors] += (w * change[:n_factors]).astype(sums.dtype)
    return end - first


def _draw(
    blocks: Array,
    j: int,
    gram: Array,
    errors: Array,
    *,
    precision: Array,
    mean: Array,
    groups: Array,
    noise_precision: float,
    key: int,
    draws: bool,
    overrelaxation: float,
) -> bool:
    """Write the conditional mean of a block, or a draw; False where it is not finite.

    `errors` sum the residuals as they are: the label's own part comes back by `gram`.
    """
    theta, group = blocks[j].astype(np.float64), groups[j]
    with np.errstate(invalid="ignore", over="ignore"):  # told by the result
        full = noise_precision * gram + np.diag(precision[group])
        vector = noise_precision * (errors + gram @ theta)
        vector += precision[group] * mean[group]
    if not (np.isfinite(full).all() and np.isfinite(vector).all()):
        return False
    try:
        factor = cho_factor(full)
    except np.linalg.LinAlgError:  # lost to rounding
        return False
    drawn = cho_solve(factor, vector)
    if draws:
        noise = normals((key + j * len(theta)) % 2**64, len(theta))
        over, rest = overrelaxation, np.sqrt(1 - overrelaxation**2)
        drawn = (1 + over) * drawn - over * theta
        drawn += rest * solve_triangular(factor[0], noise)
    if not np.isfinite(drawn).all():
        return False
    blocks[j] = drawn
    return True


def _design(sums: Array, own: Any, dim: int) -> Array:
    """Return ``[u, 1]`` of rows, the label's or the bag's own vectors taken out."""
    u = sums.astype(np.float64) - own
    return np.column_stack([u, np.ones(len(u))])[:, :dim]


def _row_weights(row_scale: Array | None, i: Array) -> Any:
    return 1.0 if row_scale is None else row_scale[i].astype(np.float64)[:, None] ** 2


def _weights(values: Array | None, at: slice) -> Array:
    if values is None:
        return np.ones(at.stop - at.start)
    return values[at].astype(np.float64)


def collect_bags(
    *,
    indptr: Array,
    rows: Array,
    blocks: Array,
    sums: Array,
    others: None,
    residuals: Array,
    row_scale: Array | None,
    n_factors: int,
    squares: Array,
    errors: Array,
    n_threads: int,
) -> None:
    """Write the moments of the rows of every bag, whose sums hold its block."""
    dim = blocks.shape[1]
    for b, own in enumerate(blocks):
        i = rows[indptr[b] : indptr[b + 1]]
        z = _design(sums[i, :n_factors], own[:n_factors], dim)
        c = _row_weights(row_scale, i)
        squares[b] = (c * z).T @ z
        errors[b] = (c * z).T @ residuals[i].astype(np.float64)


def sweep_bags(
    *,
    indptr: Array,
    bags: Array,
    values: Array | None,
    blocks: Array,
    n_factors: int,
    squares: Array,
    errors: Array,
    first: int,
    end: int,
    **given: Any,
) -> int:
    """Draw the blocks of labels by the moments of their bags, which are kept right."""
    for j in range(first, end):
        at = slice(indptr[j], indptr[j + 1])
        b, w = bags[at], _weights(values, at)
        theta = blocks[j].astype(np.float64)
        gram = np.einsum("b,brc->rc", w**2, squares[b])
        if not _draw(blocks, j, gram, w @ errors[b], **given):
            return j - first
        change = blocks[j].astype(np.float64) - theta
        errors[b] -= w[:, None] * (squares[b] @ change)
    return end - first


def correct_bags(
    *,
    indptr: Array,
    rows: Array,
    before: Array,
    blocks: Array,
    sums: Array,
    others: None,
    residuals: Array,
    n_factors: int,
    n_threads: int,
) -> None:
    """Correct residuals and sums after the blocks of bags have changed."""
    dim = blocks.shape[1]
    for b in range(len(blocks)):
        i = rows[indptr[b] : indptr[b + 1]]
        change = blocks[b].astype(np.float64) - before[b]
        z = _design(sums[i, :n_factors], before[b, :n_factors], dim)
        residuals[i] -= (z @ change).astype(residuals.dtype)
        sums[i, :n_factors] += change[:n_factors].astype(sums.dtype)


def scale_labels(
    *,
    indptr: Array,
    rows: Array,
    residuals: Array,
    row_scale: Array,
    squares: Array | None,
    factor: Array | None,
    first: int,
    end: int,
    n_threads: int,
) -> None:
    """Sum c e^2 over the rows of each label, or take all its rows' c times a factor."""
    for at, j in enumerate(range(first, end)):
        i = rows[indptr[j] : indptr[j + 1]]
        if factor is not None:
            row_scale[i] *= np.sqrt(factor[at])
        if squares is not None:
            errors = row_scale[i].astype(np.float64) * residuals[i]
            squares[at] = (errors**2).sum()


def add_bags(
    *,
    indptr: Array,
    rows: Array,
    values: Array | None,
    blocks: Array,
    sums: Array,
    n_factors: int,
    sign: float,
    first: int,
    end: int,
) -> None:
    """Add the vectors of labels, times a sign, to the sums of their rows."""
    for j in range(first, end):
        at = slice(indptr[j], indptr[j + 1])
        w = sign * _weights(values, at)[:, None]
        sums[rows[at], :n_factors] += (w * blocks[j, :n_factors]).astype(sums.dtype)


def draw_latent(
    *,
    values: Array,
    residuals: Array,
    row_scale: Array | None,
    codes: Array,
    cuts: Array,
    key: int,
    n_threads: int,
) -> None:
    """Draw the latent score of every row between its cut points; the mean stays.

    A row of weight c gets the mean and the variance of the mean of c such scores.
    """
    mean = values.astype(np.float64) - residuals
    bounds = cuts[codes] - mean, cuts[codes + 1] - mean
    drawn = truncated(*bounds, uniforms(key, len(values)))
    if row_scale is not None:
        centre = truncated_mean(*bounds)
        drawn = np.where(row_scale == 1, drawn, centre + (drawn - centre) / row_scale)
    values[:] = mean + drawn
    residuals[:] = values - mean.astype(values.dtype)
