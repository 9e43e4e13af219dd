"""A column of labels with its weights in another column.

The two cells of a row are taken side by side: the first weight is that of the first
label, and both hold as many. An empty or missing cell holds none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import chain
from typing import Any

import numpy as np

from skwfm._arrow import flat_numbers, is_arrow, to_cells
from skwfm._cells import read_column, without_missing
from skwfm._columns import (
    Bags,
    Column,
    Form,
    Indptr,
    Weights,
    check_weights,
    row_pointer,
)
from skwfm._frames import Coded, array_values
from skwfm._text import Spelling, parse_number
from skwfm._validation import pair_error

__all__ = ["Pair", "read_pair", "resolve_pairs"]

# Positions of the columns of labels and of weights; None: the labels have their own.
Pair = tuple[int, int | None]


def resolve_pairs(
    weights: Mapping[Any, Any] | None, names: Sequence[str] | None, n_columns: int
) -> list[Pair]:
    """Return which columns are fields, and where their weights stand.

    Parameters
    ----------
    weights : mapping or None
        Column of labels to column of weights, each by name or position.
    names : sequence of str or None
        Names of the columns, if they have any.
    n_columns : int
        Number of columns.

    Returns
    -------
    list of (int, int or None)

    Raises
    ------
    ValueError
        If there is no such column, or one is used twice.

    Examples
    --------
    >>> from skwfm._pairs import resolve_pairs
    >>> resolve_pairs({"tags": "counts"}, ["counts", "tags", "year"], 3)
    [(1, 0), (2, None)]
    """
    places = {
        _position(key, weights, names, n_columns): _position(
            value, weights, names, n_columns
        )
        for key, value in (weights or {}).items()
    }
    used = [*places, *places.values()]
    if len(set(used)) < len(used) or len(places) < len(weights or {}):
        raise ValueError(f"weights={weights!r} takes a column twice.")
    taken = set(places.values())
    return [(i, places.get(i)) for i in range(n_columns) if i not in taken]


def _position(
    key: Any, weights: Any, names: Sequence[str] | None, n_columns: int
) -> int:
    if isinstance(key, str) and names is not None and key in names:
        return list(names).index(key)
    is_number = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if is_number and 0 <= key < n_columns:
        return int(key)
    known = f"one of {list(names)!r}" if names is not None else "a column's position"
    raise ValueError(f"weights={weights!r} names the column {key!r}, expected {known}.")


def read_pair(
    cells: tuple[Any, Any],
    names: tuple[object, object],
    spelling: Spelling,
    form: Form | None,
) -> Bags:
    """Read a column of labels and the column of their weights.

    Parameters
    ----------
    cells : pair of cells as `read_column` takes them
    names : pair of names of the two columns in errors
    spelling : Spelling
        Its `weight_sep` is of no use here.
    form : {"bags", "plain"} or None

    Returns
    -------
    Bags

    Raises
    ------
    TypeError, ValueError
        If a cell cannot be read, or the two cells of a row differ in length.
    """
    spelling = spelling._replace(weight_sep=None)
    bags = read_column(cells[0], names[0], spelling=spelling, form=form)
    _check_ordered(Column(cells[0], names[0]), "labels only", bags.weights is not None)
    weights, indptr = _read_weights(Column(cells[1], names[1]), spelling)
    n_labels, n_weights = np.diff(bags.indptr), np.diff(indptr)
    if (n_labels != n_weights).any():
        row = int(np.argmax(n_labels != n_weights))
        raise ValueError(pair_error(names, row, n_labels[row], n_weights[row]))
    return bags._replace(weights=weights)


def _check_ordered(column: Column, expected: str, weighted: bool = False) -> None:
    """Refuse dicts, pairs and sets, which a second column cannot go along with."""
    expected = f"{expected}, in a list, tuple or array"
    for row, cell in enumerate(_unordered(column.cells, weighted)):
        if cell:
            column.fail(row, expected, TypeError)


def _unordered(cells: Any, weighted: bool) -> Any:
    """Tell for every row whether its cell has no order or has weights."""
    if is_arrow(cells) or isinstance(cells, Coded):
        return (cell.is_valid for cell in cells) if weighted else ()
    types = {t for t in set(map(type, cells)) if issubclass(t, Mapping | Set)}
    if not types and not weighted:
        return ()
    return (
        type(cell) in types or (weighted and any(map(_is_tuple, cell or ())))
        for cell in cells
    )


def _is_tuple(item: Any) -> bool:
    return isinstance(item, tuple)


def _read_weights(column: Column, spelling: Spelling) -> tuple[Weights, Indptr]:
    """Return the flat weights of a column and its row pointer."""
    if is_arrow(column.cells):
        found = flat_numbers(column.cells)
        if found is not None:
            return found
        column = column._replace(cells=to_cells(column.cells))
    elif isinstance(column.cells, Coded):
        column = column._replace(cells=column.cells.cells())
    _check_ordered(column, "weights")
    values, contained, _ = without_missing(column, None)
    if contained:
        bags = [() if v is None else v for v in values]
        bags = [array_values(b) if hasattr(b, "__array__") else b for b in bags]
    else:
        bags = [_split(column, row, v, spelling.sep) for row, v in enumerate(values)]
    indptr = row_pointer([len(bag) for bag in bags])
    weights = check_weights(column, list(chain.from_iterable(bags)), indptr)
    return weights.copy(), indptr


def _split(column: Column, row: int, value: Any, sep: str | None) -> list[Any]:
    """Return the weights in a cell that is not a container."""
    if not isinstance(value, str):
        return [] if value is None else [value]
    pieces = filter(None, map(str.strip, value.split(sep) if sep else [value]))
    numbers = list(map(parse_number, pieces))
    if None in numbers:
        column.fail(row, f"numbers, between {sep!r} if there are several")
    return numbers
