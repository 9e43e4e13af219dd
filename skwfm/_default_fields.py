"""One transformer per kind of column, for data whose user named none.

Lists, sets and dicts become weighted labels, text, categoricals and bools one label
each, numbers soft bins, dates calendar labels. A missing cell is an empty bag in all of
them: it has no entry.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np

from skwfm._dates import DateEncoder
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._frames import plain_cells
from skwfm._labels import is_container, is_missing
from skwfm._numbers import SplineEncoder
from skwfm._validation import check_unique_names, no_default_error

__all__ = ["HINTS", "Default", "default_transformers", "defaults", "needs_encoding"]

_Kind: TypeAlias = Literal["labels", "categories", "numbers", "dates", "durations"]
_ARRAY_KINDS: dict[str, _Kind] = {
    **dict.fromkeys("iuf", "numbers"),
    **dict.fromkeys("bUST", "categories"),
    "M": "dates",
    "m": "durations",
}
_DATES = (datetime.date, np.datetime64)
_DURATIONS = (datetime.time, datetime.timedelta, np.timedelta64)
_Transformers: TypeAlias = list[tuple[str, Any, list[Any]]]

# By the name of the transformer: what is not guessed, and how to say it.
HINTS = {
    "categories": 'Text such as "a|b" is one label: WeightedMultiLabelEncoder() '
    "splits it.",
    "numbers": 'Numbers that are ids: make them text, X.astype({"id": str}).',
}


class Default(NamedTuple):
    """What the columns of one kind get."""

    name: str
    transformer: Any
    takes: str
    """The columns, in words."""


def defaults() -> list[Default]:
    """Return a new transformer for every kind of column."""
    labels = WeightedMultiLabelEncoder(normalize="l2")
    categories = WeightedMultiLabelEncoder(sep=None, weight_sep=None)
    return [
        Default("labels", labels, "lists, sets, dicts, arrays"),
        Default("categories", categories, "text, categoricals, bools"),
        Default("numbers", SplineEncoder(), "numbers"),
        Default("dates", DateEncoder(), "dates and datetimes"),
    ]


def default_transformers(X: Any) -> _Transformers:
    """Choose a transformer for every column from its dtype, or its cells.

    Parameters
    ----------
    X : data frame or ndarray of shape (n_samples, n_columns)

    Returns
    -------
    list of (name, transformer, columns)
        ``"labels"`` for cells that are lists, sets, dicts, ``"categories"`` for text,
        categoricals and bools, ``"numbers"``, ``"dates"``; only those that have
        columns.

    Raises
    ------
    ValueError
        If a column holds durations or times of day.
    TypeError
        If `X` is sparse.
    """
    chosen = defaults()
    columns: dict[str, list[Any]] = {default.name: [] for default in chosen}
    is_frame = nw.dependencies.is_into_dataframe(X)
    for key, name, kind in _frame_kinds(X) if is_frame else _array_kinds(X):
        if kind == "durations":
            raise ValueError(no_default_error(name, "durations or times of day"))
        columns[kind].append(key)
    return [
        (default.name, default.transformer, columns[default.name])
        for default in chosen
        if columns[default.name]
    ]


def _frame_kinds(X: Any) -> Iterator[tuple[Any, object, _Kind]]:
    """Yield how every column is selected, its name and its kind."""
    frame = nw.from_native(X, eager_only=True)
    by_name = all(isinstance(name, str) for name in frame.columns)
    for position, column in enumerate(frame.iter_columns()):
        kind = _dtype_kind(column.dtype)
        if kind is None:
            kind = _cells_kind(plain_cells(column.to_frame().to_native())[0])
        yield (column.name if by_name else position), column.name, kind


def _dtype_kind(dtype: Any) -> _Kind | None:
    """Return the kind of a narwhals dtype; None if only the cells can tell."""
    if dtype.is_temporal():
        return "dates" if isinstance(dtype, nw.Date | nw.Datetime) else "durations"
    if dtype.is_numeric():
        return "numbers"
    if dtype.is_nested():
        return "labels"
    known = (nw.String, nw.Categorical, nw.Enum, nw.Boolean, nw.Binary)
    return "categories" if isinstance(dtype, known) else None


def _array_kinds(X: Any) -> Iterator[tuple[int, str, _Kind]]:
    if not isinstance(X, np.ndarray):
        raise TypeError(
            "Sparse data was passed as X: transformers=None chooses from the columns "
            "of a data frame or a dense array."
        )
    kind = _ARRAY_KINDS.get(X.dtype.kind)
    for position, column in enumerate(X.T):
        yield position, f"x{position}", kind or _cells_kind(column.tolist())


def _cells_kind(cells: list[Any]) -> _Kind:
    types = {type(c) for c in cells if is_container(type(c)) or not is_missing(c)}
    if any(map(is_container, types)):
        return "labels"
    numbers = (Real, decimal.Decimal)
    if types and bool not in types and all(issubclass(t, numbers) for t in types):
        return "numbers"
    if any(issubclass(t, _DATES) for t in types):
        return "dates"
    return (
        "durations" if any(issubclass(t, _DURATIONS) for t in types) else "categories"
    )


def needs_encoding(X: Any) -> bool:
    """Tell whether `X` is a data frame with a column of neither numbers nor bools."""
    if not nw.dependencies.is_into_dataframe(X):
        return False
    check_unique_names(X)
    dtypes = nw.from_native(X, eager_only=True).schema.dtypes()
    plain = [bool(dtype.is_numeric() or dtype == nw.Boolean) for dtype in dtypes]
    if all(plain):
        return False
    kinds = (kind for _, _, kind in _frame_kinds(X))
    return any(
        kind != "numbers" and not known
        for kind, known in zip(kinds, plain, strict=True)
    )
