"""Which input column every output column of a fitted transformer comes from.

A transformer may know its fields (`fields_`); one input column is one field; for more,
the transformer is asked for its feature names with an unmistakable name (a *sentinel*)
for every input column, and the names in the answer tell. Only public attributes of
scikit-learn are used, so that any transformer with feature names works.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

__all__ = ["fields_of", "positions_of", "unique_names"]

_Ids: TypeAlias = npt.NDArray[np.int32]

_SENTINEL = "skwfmcolumn{}end"
_SENTINEL_PATTERN = re.compile(r"skwfmcolumn(\d+)end")
# Attributes in which scikit-learn's compositions keep (name, estimator, ...) tuples.
_PART_LISTS = ("steps", "transformer_list", "transformers_")


def positions_of(selection: Any, columns: list[str]) -> list[int]:
    """Return the numbers of the columns that a transformer got."""
    if isinstance(selection, str):
        return [columns.index(selection)]
    if isinstance(selection, slice):
        bounds = [selection.start, selection.stop]
        if any(isinstance(bound, str) for bound in bounds):  # both ends included
            first, last = bounds
            start = 0 if first is None else columns.index(first)
            stop = len(columns) if last is None else columns.index(last) + 1
            return list(range(start, stop))
    elif len(names := np.atleast_1d(np.asarray(selection, dtype=object))) == 0:
        return []
    elif isinstance(names[0], str):
        return [columns.index(name) for name in names]
    index = selection if isinstance(selection, slice) else np.asarray(selection)
    positions: list[int] = np.atleast_1d(np.arange(len(columns))[index]).tolist()
    return positions


def fields_of(
    part: str, transformer: Any, inputs: Sequence[str], width: int
) -> tuple[_Ids, list[str]]:
    """Return the field ids of a transformer's output columns and the field names."""
    told = _told_fields(transformer, inputs)
    if told is not None and len(told[0]) == width:
        return told
    if len(inputs) == 1:
        return np.zeros(width, dtype=np.int32), [inputs[0]]
    found = _fields_by_name(part, transformer, len(inputs))
    if found is None or len(found) != width:
        return np.zeros(width, dtype=np.int32), [part]
    return found, list(inputs)


def _told_fields(
    transformer: Any, inputs: Sequence[str]
) -> tuple[_Ids, list[str]] | None:
    """Return the fields that a transformer, or the last step of a Pipeline, knows."""
    if hasattr(transformer, "steps"):
        transformer = transformer.steps[-1][1]
    if not hasattr(transformer, "fields_"):
        return None
    names = list(transformer.field_names_)
    if not hasattr(transformer, "feature_names_in_"):
        known = {f"x{i}": name for i, name in enumerate(inputs)}
        names = [_renamed(name, known) for name in names]
    return np.asarray(transformer.fields_, dtype=np.int32), names


def _renamed(name: str, known: dict[str, str]) -> str:
    """Replace ``"x0"`` at the front of a field name, as in ``"x0_year"``."""
    column, separator, rest = name.partition("_")
    return known.get(column, column) + separator + rest


def _fields_by_name(part: str, transformer: Any, n_inputs: int) -> _Ids | None:
    """Find the input of every output column by its name; None if columns are mixed.

    The fitted transformer is asked for its feature names with an unmistakable name for
    every input column.
    """
    sentinels = np.array([_SENTINEL.format(i) for i in range(n_inputs)], dtype=object)
    try:
        names = _without_input_names(transformer).get_feature_names_out(sentinels)
    except AttributeError:
        raise ValueError(
            f"Transformer {part!r} takes {n_inputs} columns and does not tell which "
            "output belongs to which. Give every column its own transformer, or one "
            "with get_feature_names_out."
        ) from None
    found = [set(_SENTINEL_PATTERN.findall(name)) for name in names]
    if any(len(inputs) != 1 for inputs in found):
        return None
    return np.array([int(inputs.pop()) for inputs in found], dtype=np.int32)


def _without_input_names(estimator: Any) -> Any:
    """Return a shallow copy that accepts any names for its input columns."""
    if not isinstance(estimator, BaseEstimator):
        return estimator
    bare = copy.copy(estimator)
    vars(bare).pop("feature_names_in_", None)
    for attribute in _PART_LISTS:
        if isinstance(parts := vars(bare).get(attribute), list):
            stripped = [
                (name, _without_input_names(inner), *rest)
                for name, inner, *rest in parts
            ]
            setattr(bare, attribute, stripped)
    return bare


def unique_names(names: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Name fields after their column, with the transformer where that is not enough.

    Examples
    --------
    >>> from skwfm._attribution import unique_names
    >>> unique_names([("ids", "user"), ("splines", "year"), ("years", "year")])
    ('user', 'splines__year', 'years__year')
    """
    counts = Counter(name for _, name in names)
    out: list[str] = []
    for part, name in names:
        full = name if counts[name] == 1 else f"{part}__{name}"
        number = 2
        while full in out:
            full, number = f"{part}__{name}_{number}", number + 1
        out.append(full)
    return tuple(out)
