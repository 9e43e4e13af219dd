"""Scaling of label weights: weight_transform, then normalize, then the output dtype.

For the weights w of one row, `normalize` divides by ``sum|w|`` (l1), ``sqrt(sum w^2)``
(l2), ``sqrt(sum|w|)`` (sqrt) or ``max|w|`` (max). All of it is computed in float64, for
all rows of a column at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

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
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    weights = block.data
    if weight_transform is not None:
        weights = _transformed(weights, weight_transform)
    if normalize is not None:
        weights = weights / _norms(weights, rows, block.shape[0], normalize)[rows]
    with np.errstate(over="ignore", under="ignore"):
        data = weights.astype(dtype)
    finite = np.isfinite(data)
    if not finite.all():
        bad = int(np.argmin(finite))
        expected = f"a weight that is finite after scaling, in {data.dtype}"
        weight = float(block.data[bad])
        raise ValueError(cell_error(name, int(rows[bad]), weight, expected))
    out = sp.csr_matrix((data, block.indices, block.indptr), shape=block.shape)
    out.eliminate_zeros()
    return out


def _transformed(weights: _Floats, function: WeightTransform) -> _Floats:
    if isinstance(function, str):
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(weights)
    out = np.asarray(function(weights.copy()), dtype=np.float64)
    if out.shape != weights.shape:
        raise ValueError(
            f"weight_transform={function!r} returned shape {out.shape}, expected "
            f"{weights.shape}: one number for every weight."
        )
    return out


def _norms(
    weights: _Floats, rows: npt.NDArray[np.int64], n_rows: int, kind: Normalize
) -> _Floats:
    """Return the divisor of every row: 1 for a norm of 0, NaN if it overflows."""
    sizes = np.abs(weights)
    norms = np.zeros(n_rows)
    with np.errstate(over="ignore"):
        if kind == "max":
            np.maximum.at(norms, rows, sizes)
        else:
            np.add.at(norms, rows, sizes**2 if kind == "l2" else sizes)
    if kind in ("l2", "sqrt"):
        norms = np.sqrt(norms)
    norms[norms == 0] = 1.0
    norms[np.isinf(norms)] = np.nan
    return norms
