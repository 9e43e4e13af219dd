"""One raw column -> labels, weights and a row pointer.

A cell is the bag of one row: labels with a weight each. The bag of row i is
``labels[indptr[i]:indptr[i + 1]]`` with the weights at the same places, not yet
sorted or summed. Cost: C-level iteration over the labels plus one Python step per cell
(per *distinct* cell for text); no object is made per (label, weight).

What a cell may be, judged by its Python type:

======================================  ===========================================
list, tuple, set, 1-D array of labels   every label with weight 1
list of ``(label, weight)`` tuples      all of the cell or none of it
dict ``{label: weight}``
text ``"a|b"``, ``"a:0.5|b:1.2"``       labels of text; surrounding blanks are dropped
any other hashable value                a bag of this one label
None, NaN, NaT, ``pd.NA``, ``""``       the empty bag
======================================  ===========================================

A column holds either containers or single values, never both. Text is *weighted* when
every label of the column ends in the weight separator and a decimal number, and
*plain* when none does; anything between is refused, since "Blade Runner: 2049" may be
either. The form seen in `fit` is the one that `transform` expects (a plain column then
takes every text as labels), so a row is read the same in whatever batch it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, NoReturn, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._labels import (
    Bags,
    Column,
    Form,
    check_labels,
    check_weights,
    is_container,
    is_missing_type,
)

__all__ = ["Bags", "Form", "as_table", "read_column", "table_columns"]

_Indptr: TypeAlias = npt.NDArray[np.int64]

# A finite decimal number; "nan", "inf" and "1_000", which float() takes, are text.
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_column(
    cells: Sequence[Any],
    name: object,
    *,
    sep: str | None = "|",
    weight_sep: str | None = ":",
    form: Form | None = None,
) -> Bags:
    """Read the cells of one column.

    Parameters
    ----------
    cells : sequence of length n_rows
        Not modified.
    name : object
        Name of the column in errors.
    sep, weight_sep : str or None
        Separators inside text cells; None means that text is not split there.
    form : {"bags", "plain", "weighted"} or None
        What the cells must be; None: find out.

    Returns
    -------
    Bags

    Raises
    ------
    TypeError, ValueError
        If a cell is not of a form described at the top of this module.

    Examples
    --------
    >>> from skwfm._cells import read_column
    >>> bags = read_column(["b:2|a:0.5", None, "a:1"], "genres")
    >>> bags.labels, bags.weights, bags.indptr
    (['b', 'a', 'a'], array([2. , 0.5, 1. ]), array([0, 2, 2, 3]))
    """
    column = Column(cells, name)
    values, contained = _without_missing(column, form)
    if contained:
        return _read_containers(column, values)
    return _read_values(column, values, sep, weight_sep, form)


def _without_missing(column: Column, form: Form | None) -> tuple[list[Any], bool]:
    """Replace missing cells by None; tell whether the others are containers."""
    types = set(map(type, column.cells))
    single = {t for t in types if not is_container(t)}
    values = list(column.cells)
    if single - {str, int, bool, type(None)}:
        missing = {t for t in types if is_missing_type(t)}
        values = [
            None if (t := type(v)) in missing or (t in single and v != v) else v
            for v in values
        ]
    first = next((type(value) for value in values if value is not None), str)
    contained = first not in single if form is None else form == "bags"
    if contained or types != single:
        _check_one_form(column, values, single, contained)
    return values, contained


def _check_one_form(
    column: Column, values: list[Any], single: set[type], contained: bool
) -> None:
    expected = "a list, set, dict or array" if contained else "a single label or text"
    for row, value in enumerate(values):
        if value is not None and (type(value) in single) == contained:
            column.fail(
                row, f"{expected} like the other cells of the column", TypeError
            )


def _row_pointer(bags: list[Any]) -> _Indptr:
    indptr = np.zeros(len(bags) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, bags), np.int64, len(bags)), out=indptr[1:])
    return indptr


# --- single values and text ---------------------------------------------------------


def _read_values(
    column: Column,
    values: list[Any],
    sep: str | None,
    weight_sep: str | None,
    form: Form | None,
) -> Bags:
    if form != "weighted" and not any(map(_is_text, values)):
        return _read_single(column, values, form)
    bags = _split_values(values, sep)
    indptr = _row_pointer(bags)
    labels = check_labels(column, list(chain.from_iterable(bags)), indptr)
    if form is None and labels:
        marked = weight_sep and any(_is_text(x) and weight_sep in x for x in labels)
        form = _text_form(column, bags, str(weight_sep)) if marked else "plain"
    if form != "weighted":
        return Bags(labels, np.ones(len(labels)), indptr, form)
    return _read_weighted(column, bags, indptr, str(weight_sep))


def _read_single(column: Column, values: list[Any], form: Form | None) -> Bags:
    """Read cells of which none is text."""
    labels = [value for value in values if value is not None]
    counts = np.fromiter((value is not None for value in values), bool, len(values))
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    labels = check_labels(column, labels, indptr)
    return Bags(
        labels, np.ones(len(labels)), indptr, form or ("plain" if labels else None)
    )


def _split_values(values: list[Any], sep: str | None) -> list[tuple[Any, ...]]:
    """Split text (every distinct text once); other values are bags of one label."""
    texts = set(filter(_is_text, values))
    parts: dict[Any, tuple[str, ...]] = {text: _split(text, sep) for text in texts}
    parts[None] = ()
    if all(value is None or _is_text(value) for value in values):
        return list(map(parts.__getitem__, values))
    return [
        parts[value] if value is None or _is_text(value) else (value,)
        for value in values
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _split(text: str, sep: str | None) -> tuple[str, ...]:
    pieces = text.split(sep) if sep else (text,)
    return tuple(filter(None, map(str.strip, pieces)))


def _text_form(column: Column, bags: list[tuple[Any, ...]], weight_sep: str) -> Form:
    """Decide whether text carries weights: all labels of the column, or none."""
    first = next(bag for bag in bags if bag)
    if all(_weight_text(part, weight_sep) for part in first):
        return "weighted"  # the reader refuses labels without a weight
    for row, bag in enumerate(bags):
        if any(_weight_text(part, weight_sep) for part in bag):
            _fail_half_weighted(column, row, weight_sep)
    return "plain"


def _fail_half_weighted(column: Column, row: int, weight_sep: str) -> NoReturn:
    column.fail(
        row,
        f"a number after {weight_sep!r} for every label of the column or for none; "
        f"pass weight_sep=None if {weight_sep!r} is part of the labels",
    )


def _weight_text(part: Any, weight_sep: str) -> str | None:
    """Return what follows the last separator if it is a number."""
    if not isinstance(part, str) or weight_sep not in part:
        return None
    number = part.rpartition(weight_sep)[2]
    return number if _NUMBER.fullmatch(number) else None


def _read_weighted(
    column: Column, bags: list[tuple[Any, ...]], indptr: _Indptr, weight_sep: str
) -> Bags:
    labels: dict[Any, str] = {}
    weights: dict[Any, float] = {}
    for row, bag in enumerate(bags):
        for part in bag:
            if part in labels:
                continue
            number = _weight_text(part, weight_sep)
            if number is None:
                _fail_half_weighted(column, row, weight_sep)
            labels[part] = part[: -len(number) - len(weight_sep)].strip()
            weights[part] = float(number)
            if not labels[part]:
                column.fail(row, f"a label before every {weight_sep!r}")
    parts = list(chain.from_iterable(bags))
    checked = check_weights(column, [weights[part] for part in parts], indptr)
    return Bags([labels[part] for part in parts], checked, indptr, "weighted")


# --- containers ---------------------------------------------------------------------


def _read_containers(column: Column, values: list[Any]) -> Bags:
    """Read lists, sets, arrays (weight 1), lists of pairs and dicts."""
    as_bag = {t: _unwrapper(t) for t in set(map(type, values))}
    bags = [as_bag[type(value)](value) for value in values]
    for row, bag in enumerate(bags):
        if not hasattr(bag, "__len__"):  # a 0-d array
            column.fail(row, "a list, set, dict or 1-D array of labels", TypeError)
    indptr = _row_pointer(bags)
    labels = list(chain.from_iterable(bags))
    weights: list[Any] | None = None
    if any(issubclass(t, Mapping) for t in as_bag):
        weights = list(chain.from_iterable(map(_weights_of, bags)))
    if any(issubclass(t, tuple) for t in set(map(type, labels))):
        labels, weights = _unzip_pairs(column, bags)
    labels = check_labels(column, labels, indptr)
    if weights is None:
        return Bags(labels, np.ones(len(labels)), indptr, "bags")
    return Bags(labels, check_weights(column, weights, indptr), indptr, "bags")


def _unwrapper(cell_type: type) -> Callable[[Any], Any]:
    """Return what turns a cell of a type into something to iterate over."""
    if cell_type is type(None):
        return lambda cell: ()
    return _array_values if hasattr(cell_type, "__array__") else lambda cell: cell


def _array_values(array: Any) -> Any:
    """Return the elements of an array as Python values (dates as they are)."""
    values = np.asarray(array)
    return list(values) if values.dtype.kind in "mM" else values.tolist()


def _weights_of(bag: Any) -> Iterable[Any]:
    return bag.values() if isinstance(bag, Mapping) else repeat(1.0, len(bag))


def _unzip_pairs(column: Column, bags: list[Any]) -> tuple[list[Any], list[Any]]:
    """Take lists of pairs apart; none of them may be half pairs."""
    labels: list[Any] = []
    weights: list[Any] = []
    for row, bag in enumerate(bags):
        n_tuples = 0 if isinstance(bag, Mapping) else sum(map(_is_tuple, bag))
        if n_tuples == 0:
            labels.extend(bag)
            weights.extend(_weights_of(bag))
            continue
        if n_tuples < len(bag) or any(len(pair) != 2 for pair in bag):
            column.fail(row, "only labels or only (label, weight) pairs", TypeError)
        labels.extend(pair[0] for pair in bag)
        weights.extend(pair[1] for pair in bag)
    return labels, weights


def _is_tuple(item: Any) -> bool:
    return isinstance(item, tuple)


# --- tables -------------------------------------------------------------------------


def as_table(X: Any) -> Any:
    """Return raw input as a data frame or a 2-D array; 1-D input is one column.

    Raises
    ------
    TypeError
        If `X` is sparse.
    ValueError
        If `X` is a 1-D array of numbers, complex, or of more than two dimensions.
    """
    if sp.issparse(X):
        raise TypeError("Sparse data was passed as X, expected a dense table of cells.")
    if nw.dependencies.is_into_dataframe(X):
        return X
    if nw.dependencies.is_into_series(X):
        series = nw.from_native(X, series_only=True)
        named = isinstance(series.name, str) and series.name
        return series.to_frame().to_native() if named else _one_column(_cells_of(X))
    if hasattr(X, "__array__") and not hasattr(X, "to_pylist"):
        return _as_matrix(np.asarray(X))
    if isinstance(X, str) or not hasattr(X, "__len__"):
        raise ValueError(f"X={X!r}: expected a data frame, a 2-D array or a list.")
    return _one_column(_cells_of(X))


def _as_matrix(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{X}\n")
    if X.ndim == 1 and X.dtype.kind in "OUST":
        return X.reshape(-1, 1)
    if X.ndim != 2:
        raise ValueError(  # the words of sklearn.utils.check_array
            f"Expected 2D array, got {X.ndim}D array instead:\narray={X}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a "
            "single feature or array.reshape(1, -1) if it contains a single sample."
        )
    return X


def _one_column(cells: Sequence[Any]) -> npt.NDArray[np.object_]:
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column.reshape(-1, 1)


def table_columns(table: Any) -> list[list[Any]]:
    """Return the cells of every column of what :func:`as_table` returned."""
    if isinstance(table, np.ndarray):
        return [_array_values(column) for column in table.T]
    frame = nw.from_native(table, eager_only=True)
    return [_cells_of(column.to_native()) for column in frame.iter_columns()]


def _cells_of(column: Any) -> list[Any]:
    for method in ("to_pylist", "to_list"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)
