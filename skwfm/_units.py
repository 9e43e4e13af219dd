"""Units of fields: priors and starts are for weights of about 1, data come in any."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._kernels.stretches import row_stretches

__all__ = ["by_unit", "units_of"]

Array = npt.NDArray[Any]

# Entries looked at together: bounds the memory.
ENTRIES = 2**16


def units_of(
    X: Any, starts: Array, weights: Array | None = None, *, by_column: bool = False
) -> npt.NDArray[np.float64]:
    """Return the unit of each column: a power of two, 1 where weights are about 1.

    A vector times its unit is what the vector would be in data whose weights had been
    divided by it. The unit of a field is 1 if that lies between the root mean square of
    its weights and that of the norms of its bags, else the one that is nearer.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical; its columns stand in the order of their fields.
    starts : array of int, shape (n_fields + 1,)
        First column of each field.
    weights : array of shape (n_rows,), optional
        How often each row counts.
    by_column : bool
        Each column has its own, as those of a table of numbers; the bag is the row.

    Examples
    --------
    Three fields: single labels, counts, and bags of labels with shares.

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from skwfm._units import units_of
    >>> X = csr_array([[1, 0, 900, 0, 0.3, 0.3], [0, 1, 800, 700, 0.3, 0.3]])
    >>> units_of(X, np.array([0, 2, 4, 6])).tolist()
    [1.0, 1.0, 1024.0, 1024.0, 0.5, 0.5]
    """
    n_columns = X.shape[1]
    if (X.data == 1).all():
        return np.ones(n_columns)
    fields = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    groups = np.arange(n_columns) if by_column else fields
    n_groups = n_columns if by_column else len(starts) - 1
    squares, labels = np.zeros(n_groups), np.zeros(n_groups)
    bags = np.zeros(len(starts) - 1)
    for part in row_stretches(X, X.shape[0], max(ENTRIES, n_groups)):
        rows = X[part]
        count = np.ones(rows.shape[0]) if weights is None else weights[part]
        count = np.repeat(count.astype(np.float64), np.diff(rows.indptr))
        group, own = groups[rows.indices], fields[rows.indices]
        with np.errstate(over="ignore"):  # then it has no unit
            values = count * np.square(rows.data, dtype=np.float64)
        squares += np.bincount(group, values, minlength=n_groups)
        labels += np.bincount(group, count, minlength=n_groups)
        is_first = np.ones(len(own), bool)
        is_first[1:] = own[1:] != own[:-1]
        is_first[rows.indptr[:-1][np.diff(rows.indptr) > 0]] = True
        bags += np.bincount(own[is_first], count[is_first], minlength=len(bags))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = squares / labels
        per_bag = labels.sum() / bags if by_column else labels / bags
        unit = np.clip(1.0, np.sqrt(mean), np.sqrt(mean * per_bag))
        unit = 2.0 ** np.round(np.log2(unit))
    return np.where(np.isfinite(unit) & (unit > 0), unit, 1.0)[groups]


def by_unit(
    groups: npt.NDArray[np.int32], units: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Cut groups of columns by unit; return that of each column, and their units.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._units import by_unit
    >>> groups, units = by_unit(np.array([0, 0, 1]), np.array([2.0, 1.0, 2.0]))
    >>> groups.tolist(), units.tolist()
    ([1, 0, 2], [1.0, 2.0, 2.0])
    """
    # One number for each pair: rows of two are seven times as slow to sort.
    levels, level = np.unique(units, return_inverse=True)
    pairs = groups.astype(np.int64) * len(levels) + level
    pairs, which = np.unique(pairs, return_inverse=True)
    return which.astype(np.int32), levels[pairs % len(levels)]
