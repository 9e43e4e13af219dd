"""Labels and weights: which Python values they may be, their kinds and their order.

Two labels are the same when they are equal and of one *kind*: text, number, bool, or
the name of their type. So 1 and 1.0 are one label, while 1, "1" and True are three.
Labels sort by kind, then by value. Cost: O(1) Python steps per distinct type and
C-level passes over the labels, so that columns of one type cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from numbers import Real
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from skwfm._validation import cell_error

__all__ = [
    "Bags",
    "Column",
    "Form",
    "check_labels",
    "check_weights",
    "is_container",
    "is_missing",
    "is_missing_type",
    "keys_of",
    "label_array",
    "sorted_labels",
]

# How the cells of a column are read, see _cells.
Form: TypeAlias = Literal["bags", "plain", "weighted"]

# By name, so that pandas need not be imported.
_MISSING_TYPES = frozenset({"NoneType", "NAType", "NaTType"})
# numpy datetimes stay what they are: `item()` turns nanoseconds into a plain int.
_NUMPY_DATES = (np.datetime64, np.timedelta64)


class Bags(NamedTuple):
    """The bags of one column, flat.

    Attributes
    ----------
    labels : list of length n_entries
        Hashable Python values; a label may occur twice in a row.
    weights : array of float64, shape (n_entries,)
        Finite.
    indptr : array of int64, shape (n_rows + 1,)
        Row i owns the entries ``indptr[i]:indptr[i + 1]``.
    form : {"bags", "plain", "weighted"} or None
        How the cells were read; None when all of them are missing.
    """

    labels: list[Any]
    weights: npt.NDArray[np.float64]
    indptr: npt.NDArray[np.int64]
    form: Form | None


class Column(NamedTuple):
    """The cells of a raw column with its name, to word errors."""

    cells: Sequence[Any]
    name: object

    def fail(
        self, row: int, expected: str, error: type[Exception] = ValueError
    ) -> NoReturn:
        """Raise the error for the cell of a row."""
        raise error(cell_error(self.name, row, self.cells[row], expected))


def is_container(cell_type: type) -> bool:
    """Tell types that hold labels from those that are a label."""
    if issubclass(cell_type, str | bytes | bytearray | np.generic):
        return False
    return issubclass(cell_type, Collection) or hasattr(cell_type, "__array__")


def is_missing_type(cell_type: type) -> bool:
    """Tell the types of None, ``pd.NA`` and ``pd.NaT``; a NaN is a float."""
    return cell_type.__name__ in _MISSING_TYPES


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and ``pd.NA``; `value` is not a container."""
    return is_missing_type(type(value)) or bool(value != value)


def _kind_of(label_type: type) -> str:
    if issubclass(label_type, str):
        return "text"
    if issubclass(label_type, bool):
        return "bool"
    is_number = issubclass(label_type, Real) or label_type.__name__ == "Decimal"
    return "number" if is_number else label_type.__name__


def _row_of(indptr: npt.NDArray[np.int64], entry: int) -> int:
    return int(np.searchsorted(indptr, entry, side="right")) - 1


def check_labels(
    column: Column, labels: list[Any], indptr: npt.NDArray[np.int64]
) -> list[Any]:
    """Return flat labels with numpy scalars as Python values.

    Raises
    ------
    TypeError
        If a label is a container or not hashable, or a cell holds two kinds of labels.
    ValueError
        If a label inside a cell is missing (None, NaN).
    """
    types = set(map(type, labels))
    if types <= {str} or types <= {int}:
        return labels
    if any(issubclass(t, np.generic) for t in types):
        labels = [_python_value(label) for label in labels]
        types = set(map(type, labels))
    bad = {t for t in types if not _may_be_label(t)}
    for entry, label in enumerate(labels):
        if type(label) in bad:
            expected = "labels that are hashable single values"
            column.fail(_row_of(indptr, entry), expected, TypeError)
        if is_missing(label):
            column.fail(_row_of(indptr, entry), "no missing label inside a cell")
    _check_one_kind(column, labels, indptr, {t: _kind_of(t) for t in types})
    return labels


def _may_be_label(cell_type: Any) -> bool:
    is_single = not is_container(cell_type) and not issubclass(cell_type, Iterator)
    return is_single and issubclass(cell_type, Hashable)


def _python_value(label: Any) -> Any:
    is_scalar = isinstance(label, np.generic) and not isinstance(label, _NUMPY_DATES)
    return label.item() if is_scalar else label


def _check_one_kind(
    column: Column,
    labels: list[Any],
    indptr: npt.NDArray[np.int64],
    kinds: dict[type, str],
) -> None:
    number = {kind: i for i, kind in enumerate(sorted(set(kinds.values())))}
    if len(number) < 2:
        return
    codes = np.array([number[kinds[type(label)]] for label in labels])
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    differs = (codes[1:] != codes[:-1]) & (rows[1:] == rows[:-1])
    if differs.any():
        row = int(rows[1:][differs][0])
        expected = "labels of one kind or (label, weight) pairs"
        column.fail(row, expected, TypeError)


def check_weights(
    column: Column, weights: list[Any], indptr: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return flat weights as float64.

    Raises
    ------
    TypeError
        If a weight is not a real number; bools are not.
    ValueError
        If a weight is not finite.
    """
    types = set(map(type, weights))
    bad = {t for t in types if t is bool or not issubclass(t, Real)}
    if bad:
        entry = next(i for i, weight in enumerate(weights) if type(weight) in bad)
        expected = "weights that are real numbers"
        column.fail(_row_of(indptr, entry), expected, TypeError)
    values = np.fromiter(map(_to_float, weights), np.float64, len(weights))
    finite = np.isfinite(values)
    if not finite.all():
        column.fail(_row_of(indptr, int(np.argmin(finite))), "finite weights")
    return values


def _to_float(weight: Any) -> float:
    try:
        return float(weight)
    except OverflowError:  # an int beyond the largest float64
        return np.inf


def keys_of(labels: Sequence[Any]) -> Sequence[Any]:
    """Return dictionary keys that are equal exactly when the labels are the same.

    Python has ``hash(True) == hash(1)`` and ``True == 1``: bools get a key of their
    own, all other labels are their own key.

    Examples
    --------
    >>> from skwfm._labels import keys_of
    >>> keys_of(["a", "b"]), keys_of([1, True])
    (['a', 'b'], [1, (True,)])
    """
    if bool not in set(map(type, labels)):
        return labels
    return [(label,) if isinstance(label, bool) else label for label in labels]


def sorted_labels(labels: Iterable[Any]) -> list[Any]:
    """Sort labels by kind, then by value; never fails on mixed types.

    Examples
    --------
    >>> from skwfm._labels import sorted_labels
    >>> sorted_labels(["b", 2, "a", 1.5, False])
    [False, 1.5, 2, 'a', 'b']
    """
    by_kind = sorted(labels, key=_kind)
    groups = [list(group) for _, group in groupby(by_kind, key=_kind)]
    return [label for group in groups for label in _sorted_kind(group)]


def _kind(label: Any) -> str:
    return _kind_of(type(label))


def _sorted_kind(labels: list[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:  # of a type without order
        return sorted(labels, key=repr)


def label_array(labels: Sequence[Any]) -> npt.NDArray[Any]:
    """Return labels as an array: of numbers where nothing is lost, else of objects."""
    types = set(map(type, labels))
    typed = len(types) == 1 and types <= {bool, int, float}
    array = np.array(labels) if typed else np.empty(0, dtype=object)
    if typed and array.dtype.kind in "bif":
        return array
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array
