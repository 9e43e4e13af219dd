"""How often the labels of the training rows occur, and with which weights.

With s_i the weight of row i: ``count_j = sum_i s_i [w_ij != 0]``,
``weight_j = sum_i s_i w_ij``, ``square_j = sum_i s_i w_ij^2``, and per field
``bag_square_f = sum_i s_i (sum_{j in f} w_ij)^2``. They say how strong a term of the
model is over the rows that it was trained on, without those rows.

Storage: three numbers per column, one per field, in float32; in float64 where rows keep
coming. Cost: O(nnz) of at most `MOST_ROWS` rows, spread evenly; of more rows the sums
are estimates.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Statistics", "added", "statistics_of"]

Array = npt.NDArray[Any]
Statistics: TypeAlias = dict[str, Any]

# Their shares of a label differ from those of all rows by half a percent at most.
MOST_ROWS = 2**15
# Entries that are looked at together: bounds the memory.
_PART = 2**20


def statistics_of(
    X: Any, weights: Array, fields: Array, n_fields: int, dtype: Any = np.float32
) -> Statistics:
    """Return the sums over some rows.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
        Canonical.
    weights : array of shape (n_rows,)
        Weights of the rows, > 0.
    fields : array of int, shape (n_columns,)
        Field of each column.
    n_fields : int
        Number of fields.
    dtype : dtype, default=float32
        Of the sums.

    Returns
    -------
    dict
        ``n_rows`` (their weight), ``count``, ``weight`` and ``square`` of shape
        (n_columns,), ``bag_square`` of shape (n_fields,).

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import FieldCSR
    >>> from skwfm._statistics import statistics_of
    >>> X = FieldCSR([[1.0, 2.0], [0.0, 3.0]], fields=[0, 0])
    >>> sums = statistics_of(X, np.ones(2), X.fields, 1)
    >>> sums["weight"].tolist(), sums["bag_square"].tolist()
    ([1.0, 5.0], [18.0])
    """
    n_rows, n_columns = X.shape
    step = -(-n_rows // MOST_ROWS)
    used = weights[::step]
    uniform = bool((used == used[0]).all())
    sums, bag_square = np.zeros((3, n_columns)), np.zeros(n_fields)
    n_part = max(_PART // max(X.nnz // n_rows, 1), 1)
    with np.errstate(over="ignore"):  # of absurd weights: told where they are used
        for start in range(0, len(used), n_part):
            stop = min(start + n_part, len(used))
            part = X[start * step : stop * step : step]
            if part.nnz:
                by_row = None if uniform else used[start:stop]
                _add(sums, bag_square, part, by_row, fields)
        total = float(weights.sum())
        scale = total / len(used) if uniform else total / float(used.sum())
        count, weight, square = (sums * scale).astype(dtype)
        bag_square = (bag_square * scale).astype(dtype)
    return {
        "n_rows": total,
        "count": count,
        "weight": weight,
        "square": square,
        "bag_square": bag_square,
    }


def _add(
    sums: Array, bag_square: Array, X: Any, weights: Array | None, fields: Array
) -> None:
    """Add the entries of some rows, in place; each row counts 1 without weights."""
    values = X.data.astype(np.float64)
    by_entry = None if weights is None else np.repeat(weights, np.diff(X.indptr))
    terms = [by_entry, values, values**2]
    if by_entry is not None:
        terms[1:] = [by_entry * term for term in terms[1:]]
    for out, term in zip(sums, terms, strict=True):
        out += np.bincount(X.indices, term, minlength=len(out))
    field = fields[X.indices]
    is_first = np.zeros(X.nnz, dtype=bool)
    is_first[X.indptr[:-1][np.diff(X.indptr) > 0]] = True
    if ((field[1:] < field[:-1]) & ~is_first[1:]).any():
        # The columns of a field do not stand together; rows stay where they are.
        order = np.lexsort((field, np.cumsum(is_first)))
        field, values = field[order], values[order]
    is_first[1:] |= field[1:] != field[:-1]
    starts = np.flatnonzero(is_first)
    squares = np.add.reduceat(values, starts) ** 2
    if by_entry is not None:
        squares *= by_entry[starts]
    bag_square += np.bincount(field[starts], squares, minlength=len(bag_square))


def added(before: Statistics | None, further: Statistics) -> Statistics:
    """Return the sums over the rows of both; columns may have come at the end."""
    if before is None:
        return further
    out: Statistics = {"n_rows": before["n_rows"] + further["n_rows"]}
    for key in ("count", "weight", "square", "bag_square"):
        out[key] = further[key].astype(np.float64)
        with np.errstate(over="ignore"):  # as in `statistics_of`
            out[key][: len(before[key])] += before[key]
    return out
