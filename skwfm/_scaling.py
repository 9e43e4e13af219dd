"""Scaling of label weights: weight_transform, then normalize, then the output dtype.

For the weights w of one row, `normalize` divides by ``sum|w|`` (l1), ``sqrt(sum w^2)``
(l2), ``sqrt(sum|w|)`` (sqrt) or ``max|w|`` (max). All of it is computed in float64, for
all rows of a column at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._columns import row_of
from skwfm._validation import cell_error

__all__ = ["Normalize", "WeightTransform", "scaled"]

_Floats: TypeAlias = npt.NDArray[np.float64]
Normalize: TypeAlias = Literal["l1", "l2", "sqrt", "max"]
WeightTransform: TypeAlias = Literal["log1p"] | Callable[[_Floats], npt.ArrayLike]


def scaled(
    block: sp.csr_matrix,
    name: object,
    weight_transform: WeightTransform | None,
    normalize: Normalize | None,
    dtype: npt.DTypeLike,
) -> sp.csr_matrix:
    """Return the weights of one raw column scaled, without stored zeros.

    Raises
    ------
    ValueError
        If a weight becomes NaN or infinite; `name` is the column in the message.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from skwfm._scaling import scaled
    >>> block = sp.csr_matrix([[1.0, 3.0], [0.0, 5.0]])
    >>> scaled(block, "tags", None, "l1", np.float32).toarray()
    array([[0.25, 0.75],
           [0.  , 1.  ]], dtype=float32)
    """
    weights = block.data
    if weight_transform is not None:
        weights = _transformed(weights.astype(np.float64), weight_transform)
    if normalize is not None:
        weights = _normalized(weights.astype(np.float64), block.indptr, normalize)
    with np.errstate(over="ignore", under="ignore"):
        data = weights.astype(dtype, copy=False)
    finite = np.isfinite(data)
    if not finite.all():
        bad = int(np.argmin(finite))
        expected = f"a weight that is finite after scaling, in {data.dtype}"
        row, weight = row_of(block.indptr, bad), float(block.data[bad])
        raise ValueError(cell_error(name, row, weight, expected))
    out = sp.csr_matrix((data, block.indices, block.indptr), shape=block.shape)
    out.has_canonical_format = True
    if np.count_nonzero(data) < len(data):
        out.eliminate_zeros()
    return out


def _transformed(weights: _Floats, function: WeightTransform) -> _Floats:
    if isinstance(function, str):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(weights)
    out = np.asarray(function(weights))
    if out.dtype.kind not in "buif":
        raise ValueError(
            f"weight_transform={function!r} returned {out.dtype}, expected real "
            "numbers."
        )
    out = out.astype(np.float64)
    if out.shape != weights.shape:
        raise ValueError(
            f"weight_transform={function!r} returned shape {out.shape}, expected "
            f"{weights.shape}: one number for every weight."
        )
    return out


def _normalized(weights: _Floats, indptr: npt.NDArray[Any], kind: Normalize) -> _Floats:
    """Divide by the norm of the row: by 1 for a norm of 0, by NaN if it overflows."""
    sizes = np.diff(indptr)
    sizes, starts = sizes[sizes > 0], indptr[:-1][sizes > 0]
    if not len(starts):
        return weights
    with np.errstate(over="ignore"):
        parts = weights**2 if kind == "l2" else np.abs(weights)
        combine = np.maximum if kind == "max" else np.add
        norms = combine.reduceat(parts, starts)
    if kind in ("l2", "sqrt"):
        norms = np.sqrt(norms)
    norms[norms == 0] = 1.0
    norms[np.isinf(norms)] = np.nan
    return np.asarray(weights / np.repeat(norms, sizes))
