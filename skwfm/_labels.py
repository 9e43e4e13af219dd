"""Labels: which Python values they may be, their kinds and their order.

Two labels are the same when they are equal and of one *kind*: text, number, bool, or
the name of their type. So 1 and 1.0 are one label, while 1, "1" and True are three.
Labels sort by kind, then by value. Cost: a few Python steps per distinct label.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "is_container",
    "is_missing",
    "is_missing_type",
    "keys_of",
    "kind_of",
    "label_array",
    "may_be_label",
    "python_value",
    "sorted_labels",
]

# By name, so that pandas need not be imported.
_MISSING_TYPES = frozenset({"NoneType", "NAType", "NaTType"})
_KINDS = {bool: "b", int: "i", float: "f"}
# numpy datetimes stay what they are: `item()` turns nanoseconds into a plain int.
_NUMPY_DATES = (np.datetime64, np.timedelta64)


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


def may_be_label(cell_type: Any) -> bool:
    """Tell types whose values are hashable and single."""
    is_single = not is_container(cell_type) and not issubclass(cell_type, Iterator)
    return is_single and issubclass(cell_type, Hashable)


def python_value(label: Any) -> Any:
    """Return a numpy scalar as a Python value (dates as they are)."""
    is_scalar = isinstance(label, np.generic) and not isinstance(label, _NUMPY_DATES)
    return label.item() if is_scalar else label


def kind_of(label_type: type) -> str:
    """Return the kind of a type of labels: labels of two kinds are never the same."""
    if issubclass(label_type, str):
        return "text"
    if issubclass(label_type, bool | np.bool_):
        return "bool"
    is_number = issubclass(label_type, Real) or label_type.__name__ == "Decimal"
    return "number" if is_number else label_type.__name__


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
    bools = (bool, np.bool_)
    if not any(issubclass(t, bools) for t in set(map(type, labels))):
        return labels
    return [(bool(x),) if isinstance(x, bools) else x for x in labels]


def sorted_labels(labels: Iterable[Any]) -> list[Any]:
    """Sort labels by kind, then by value; never fails on mixed types.

    Examples
    --------
    >>> from skwfm._labels import sorted_labels
    >>> sorted_labels(["b", 2, "a", 1.5, False])
    [False, 1.5, 2, 'a', 'b']
    """
    labels = list(labels)
    if len(set(map(type, labels))) < 2:
        return _sorted_kind(labels)
    by_kind = sorted(labels, key=_kind)
    groups = [list(group) for _, group in groupby(by_kind, key=_kind)]
    return [label for group in groups for label in _sorted_kind(group)]


def _kind(label: Any) -> str:
    return kind_of(type(label))


def _sorted_kind(labels: list[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:  # of a type without order
        return sorted(labels, key=repr)


def label_array(labels: Sequence[Any]) -> npt.NDArray[Any]:
    """Return labels as an array: of numbers where nothing is lost, else of objects."""
    types = set(map(type, labels))
    if len(types) == 1 and types <= _KINDS.keys():
        array = np.array(labels)
        # NumPy makes floats of 2**63 beside -1.
        if array.dtype.kind == _KINDS[types.pop()]:
            return array
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array
