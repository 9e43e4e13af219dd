"""Which columns got which transformer, as text and as labels of the HTML diagram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from skwfm._attribution import positions_of
from skwfm._validation import shorten_text

__all__ = ["CHOSEN_IN_FIT", "fitted_text", "labelled_names"]

CHOSEN_IN_FIT = "chosen in fit from the dtypes"
# Characters of a list of columns.
_TEXT_WIDTH, _LABEL_WIDTH = 60, 40


def fitted_text(transformer: Any, hints: dict[str, str]) -> str:
    """Return a line per transformer: its name, what it is, and its columns.

    Parameters
    ----------
    transformer : FieldTransformer
        Fitted.
    hints : dict
        A last line for some of the transformers, by name.

    Returns
    -------
    str
    """
    n_fields, n_columns = len(transformer.field_names_), len(transformer.fields_)
    lines = [
        f"{type(transformer).__name__} (columns in: {transformer.n_features_in_}, "
        f"fields: {n_fields}, columns out: {n_columns})"
    ]
    names = getattr(transformer, "feature_names_in_", None)
    if names is None:
        names = [f"x{i}" for i in range(transformer.n_features_in_)]
    rows = [
        (part, _one_line(inner), _joined(_selected(columns, list(names)), _TEXT_WIDTH))
        for part, inner, columns in transformer.transformers_
    ]
    rows = [row for row in rows if row[2]]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    lines += [
        f"  {part:<{widths[0]}}  {inner:<{widths[1]}}  {columns}"
        for part, inner, columns in rows
    ]
    lines += [hints[part] for part, *_ in rows if part in hints]
    return "\n".join(lines)


def labelled_names(names: Sequence[str], columns: Sequence[Any]) -> list[str]:
    """Return ``"<transformer>: <its columns>"`` for the boxes of the diagram.

    Examples
    --------
    >>> from skwfm._display import labelled_names
    >>> labelled_names(["numbers", "rest"], [["price", "year"], []])
    ['numbers: price, year', 'rest']
    """
    texts = [_joined(_as_list(selection), _LABEL_WIDTH) for selection in columns]
    return [
        f"{name}: {text}" if text else name
        for name, text in zip(names, texts, strict=True)
    ]


def _selected(selection: Any, names: list[Any]) -> list[Any]:
    """Return the names of the columns that a transformer got."""
    return [names[i] for i in positions_of(selection, names)]


def _as_list(selection: Any) -> list[Any]:
    if isinstance(selection, slice):
        return [f"{selection.start} to {selection.stop}"]
    return list(np.atleast_1d(np.asarray(selection, dtype=object)).tolist())


def _joined(columns: Iterable[Any], width: int) -> str:
    return shorten_text(", ".join(map(str, columns)), width)


def _one_line(transformer: Any) -> str:
    # What scikit-learn fits for "passthrough".
    if isinstance(transformer, FunctionTransformer) and transformer.func is None:
        return "passthrough"
    text = transformer if isinstance(transformer, str) else repr(transformer)
    return shorten_text(" ".join(text.split()), _TEXT_WIDTH)
