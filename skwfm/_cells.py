"""One raw column -> distinct labels, codes, weights and a row pointer.

A cell is the bag of one row: labels with a weight each, not yet sorted or summed. Cells
are read some thousand at a time, so that what is made of them stays in the processor's
cache: a C loop over the labels, and no object per (label, weight).

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

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np

from skwfm._arrow import is_arrow, read_arrow, to_cells
from skwfm._columns import (
    Bags,
    Codes,
    Column,
    Flat,
    Form,
    Indptr,
    Numbering,
    Weights,
    check_labels,
    check_weights,
    row_pointer,
    take_rows,
)
from skwfm._frames import Coded, array_values, as_table, table_columns
from skwfm._labels import is_container, is_missing_type
from skwfm._text import Spelling, read_values

__all__ = [
    "Bags",
    "Form",
    "Spelling",
    "as_table",
    "read_column",
    "table_columns",
    "without_missing",
]

# Cells at a time: their labels stay in the processor's cache.
_CHUNK = 1024


def read_column(
    cells: Any,
    name: object,
    *,
    spelling: Spelling | None = None,
    form: Form | None = None,
) -> Bags:
    """Read the cells of one column.

    Parameters
    ----------
    cells : sequence of length n_rows, Coded, or Arrow array
        Not modified.
    name : object
        Name of the column in errors.
    spelling : Spelling, optional
        The separators inside text cells.
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
    >>> bags.labels, bags.codes
    (['b', 'a'], array([0, 1, 1], dtype=int32))
    >>> bags.weights, bags.indptr
    (array([2. , 0.5, 1. ]), array([0, 2, 2, 3]))
    """
    spelling = Spelling() if spelling is None else spelling
    if is_arrow(cells):
        found = read_arrow(Column(cells, name), spelling, form)
        if isinstance(found, Bags):
            return found
        cells = to_cells(cells) if found is None else found
    if isinstance(cells, Coded):
        try:
            bags = read_column(cells.values, name, spelling=spelling, form=form)
        except (TypeError, ValueError):
            cells = cells.cells()  # raises again, and names the row
        else:
            return take_rows(bags, cells.codes)
    column = Column(cells, name)
    values, contained, types = without_missing(column, form)
    if contained:
        return _read_containers(column, values, types)
    return read_values(column, values, spelling, form)


def without_missing(
    column: Column, form: Form | None
) -> tuple[list[Any], bool, set[type]]:
    """Replace missing cells by None; tell whether the others are containers.

    The third result is the types of the cells that were passed.
    """
    types = set(map(type, column.cells))
    single = {t for t in types if not is_container(t)}
    values = column.cells if isinstance(column.cells, list) else list(column.cells)
    if single - {str, int, bool, type(None)}:
        missing = {t for t in types if is_missing_type(t)}
        values = [
            None if (t := type(v)) in missing or (t in single and v != v) else v
            for v in values
        ]
    first = next((type(value) for value in values if value is not None), None)
    contained = form == "bags" if form else first not in {None, *single}
    if contained or types != single:
        _check_one_form(column, values, single, contained)
    return values, contained, types


def _check_one_form(
    column: Column, values: list[Any], single: set[type], contained: bool
) -> None:
    if contained and single <= {type(None)}:
        return
    expected = "a list, set, dict or array" if contained else "a single label or text"
    for row, value in enumerate(values):
        if value is not None and (type(value) in single) == contained:
            column.fail(
                row, f"{expected} like the other cells of the column", TypeError
            )


# --- containers ---------------------------------------------------------------------


def _read_containers(column: Column, values: list[Any], types: set[type]) -> Bags:
    """Read lists, sets, arrays (weight 1), lists of pairs and dicts."""
    single = {t for t in types if not is_container(t)}
    mappings = any(issubclass(t, Mapping) for t in types - single)
    arrays = {t for t in types - single if hasattr(t, "__array__")}
    numbering = Numbering()
    flat = _FlatBags()
    for start in range(0, len(values), _CHUNK):
        bags = values[start : start + _CHUNK]
        if single:
            empty: Any = {} if mappings else ()
            bags = [empty if bag is None else bag for bag in bags]
        if arrays:
            bags = _with_lists(column, bags, arrays, start)
        sizes = np.fromiter(map(len, bags), np.int64, len(bags))
        chunk = _Chunk(column, numbering, bags, row_pointer(sizes), start)
        found = chunk.read_weighted() if mappings else chunk.read()
        flat.extend(sizes, *found)
    indptr, codes, weights = flat.arrays()
    labels = check_labels(column, numbering.labels(), codes, indptr)
    return Bags(labels, codes, weights, indptr, "bags")


class _FlatBags:
    """Sizes, codes and weights as they come, chunk by chunk."""

    def __init__(self) -> None:
        self._sizes, self._codes = Flat(np.int64), Flat(np.int32)
        self._weights: Flat | None = None

    def extend(self, sizes: Any, codes: Codes, weights: Weights | None) -> None:
        if weights is not None and self._weights is None:
            self._weights = Flat(np.float64)
            self._weights.extend(np.ones(len(self._codes)))
        self._sizes.extend(sizes)
        self._codes.extend(codes)
        if self._weights is not None:
            self._weights.extend(np.ones(len(codes)) if weights is None else weights)

    def arrays(self) -> tuple[Indptr, Codes, Weights | None]:
        weights = None if self._weights is None else self._weights.array()
        return row_pointer(self._sizes.array()), self._codes.array(), weights


def _with_lists(
    column: Column, bags: list[Any], arrays: set[type], first_row: int
) -> list[Any]:
    """Return the bags with lists in place of arrays."""
    out = []
    for row, bag in enumerate(bags):
        if type(bag) in arrays:
            if np.ndim(bag) == 0:  # text would become its letters
                expected = "a list, set, dict or 1-D array of labels"
                column.fail(first_row + row, expected, TypeError)
            bag = array_values(bag)
        out.append(bag)
    return out


class _Chunk:
    """Some neighbouring containers of a column, none of them an array or None."""

    def __init__(
        self,
        column: Column,
        numbering: Numbering,
        bags: list[Any],
        indptr: Indptr,
        first_row: int,
    ) -> None:
        self.column = column
        self.numbering = numbering
        self.bags = bags
        self.indptr = indptr
        self.first_row = first_row
        self.size = int(indptr[-1])

    def read(self) -> tuple[Codes, Weights | None]:
        """Read lists of labels or of pairs; codes, and weights if there are any."""
        first = next((label for bag in self.bags for label in bag), None)
        if isinstance(first, tuple):
            return self._read_pairs()
        return self._codes_of_labels() or self._read_slowly()

    def read_weighted(self) -> tuple[Codes, Weights | None]:
        """Read dicts, and lists among them."""
        found = self._codes_of_labels()
        if found is None:
            return self._read_slowly()
        all_dicts = set(map(type, self.bags)) == {dict}
        weights = map(dict.values if all_dicts else _weights_of, self.bags)
        return found[0], self._check_weights(list(chain.from_iterable(weights)))

    def _codes_of_labels(self) -> tuple[Codes, None] | None:
        """Return the numbers of all labels; None for tuples and what has no hash."""
        before = len(self.numbering)
        try:
            codes = self.numbering.codes_in(self.bags, self.size)
        except TypeError:
            return None
        if any(map(_is_tuple, self._labels_since(before))):
            self.numbering.forget(before)
            return None
        return codes, None

    def _labels(self) -> Iterable[Any]:
        return chain.from_iterable(self.bags)

    def _labels_since(self, before: int) -> Iterable[Any]:
        """Return the new labels, of which the keys of bools look like tuples."""
        new = self.numbering.newest(before)
        return self._labels() if any(map(_is_tuple, new)) else new

    def _read_pairs(self) -> tuple[Codes, Weights | None]:
        flat = list(self._labels())
        types = set(map(type, flat))
        if not all(issubclass(t, tuple) for t in types) or set(map(len, flat)) != {2}:
            return self._read_slowly()
        try:
            codes = self.numbering.codes(lambda: map(itemgetter(0), flat), self.size)
        except TypeError:
            return self._read_slowly()
        return codes, self._check_weights(list(map(itemgetter(1), flat)))

    def _check_weights(self, weights: Sequence[Any]) -> Weights:
        return check_weights(self.column, weights, self.indptr, self.first_row)

    def _read_slowly(self) -> tuple[Codes, Weights | None]:
        """Read any bags one by one; cells that cannot be read end here."""
        labels: list[Any] = []
        weights: list[Any] = []
        for row, bag in enumerate(self.bags):
            pairs = [] if isinstance(bag, Mapping) else list(filter(_is_tuple, bag))
            if pairs and (len(pairs) < len(bag) or any(len(p) != 2 for p in pairs)):
                expected = "only labels or only (label, weight) pairs"
                self.column.fail(self.first_row + row, expected, TypeError)
            labels.extend([pair[0] for pair in pairs] if pairs else bag)
            weights.extend([pair[1] for pair in pairs] if pairs else _weights_of(bag))
        try:
            hash(tuple(labels))
        except TypeError:
            self._fail_label(labels)
        if any(map(_is_tuple, labels)):
            self._fail_label(labels)
        codes = self.numbering.codes(labels, self.size)
        return codes, self._check_weights(weights)

    def _fail_label(self, labels: list[Any]) -> NoReturn:
        for label, row in zip(
            labels,
            np.repeat(np.arange(len(self.bags)), np.diff(self.indptr)),
            strict=True,
        ):
            if _is_tuple(label) or type(label).__hash__ is None:
                expected = "labels that are hashable single values"
                self.column.fail(self.first_row + int(row), expected, TypeError)
        raise TypeError(f"Column {self.column.name!r} holds a label without a hash.")


def _weights_of(bag: Any) -> Iterable[Any]:
    return bag.values() if isinstance(bag, Mapping) else repeat(1.0, len(bag))


def _is_tuple(item: Any) -> bool:
    return isinstance(item, tuple)
