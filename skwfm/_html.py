"""What notebooks show of an estimator beside scikit-learn's diagram: its fields.

A fitted estimator or encoder gets a table of its fields below the diagram, with their
sizes and where they come from, and the diagram a link to the documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import estimator_html_repr

from skwfm._validation import shorten_text

__all__ = ["FieldsHTML"]

DOCUMENTATION = "https://skwfm.github.io/skwfm"
_MOST_FIELDS = 20
_STYLE = (
    "<style>.skwfm-fields{margin:.6em 0;font-size:13px;color:inherit}"
    ".skwfm-fields summary{cursor:pointer}"
    ".skwfm-fields table{border-collapse:collapse;margin:.4em 0;font-size:inherit}"
    ".skwfm-fields th,.skwfm-fields td{padding:.15em .9em;text-align:left;"
    "border-bottom:1px solid rgba(128,128,128,.4)}"
    ".skwfm-fields .n{text-align:right}</style>"
)


class FieldsHTML:
    """Mixin: the table of fields, and the link to the documentation."""

    _doc_link_module = "skwfm"
    _doc_link_template = DOCUMENTATION + "/api/generated/skwfm.{estimator_name}.html"

    def _repr_html_inner(self) -> str:
        """Return scikit-learn's diagram and the fields below it."""
        diagram: str = estimator_html_repr(self)
        return diagram + fields_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return what a notebook shows."""
        shown = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            shown["text/html"] = self._repr_html_inner()
        return shown


def fields_html(estimator: Any) -> str:
    """Return a table of the fields of a fitted estimator, "" of one without.

    Examples
    --------
    >>> from skwfm import WeightedMultiLabelEncoder
    >>> from skwfm._html import fields_html
    >>> encoder = WeightedMultiLabelEncoder().fit([["a|b"], ["c"]])
    >>> "1 field, 2 columns" in fields_html(encoder)
    True
    """
    if not hasattr(estimator, "field_names_"):
        return ""
    names = estimator.field_names_
    sizes = np.bincount(estimator.fields_, minlength=len(names))
    title = f"{_counted(len(names), 'field')}, {_counted(int(sizes.sum()), 'column')}"
    columns = {"field": names, "columns": [f"{size:,}" for size in sizes]}
    if hasattr(estimator, "statistics_"):
        columns["labels per row"] = _labels_per_row(estimator)
    if sources := _sources(estimator):
        columns["from"] = sources
    cells = zip(*columns.values(), strict=True)
    rows = [_row(columns, row, "td") for row in islice(cells, _MOST_FIELDS)]
    if len(names) > _MOST_FIELDS:
        rows.append(f"<tr><td>and {len(names) - _MOST_FIELDS:,} more</td></tr>")
    notes = "".join(f"<div>{escape(note)}</div>" for note in _notes(estimator))
    return (
        f'{_STYLE}<details class="skwfm-fields" open><summary>{title}</summary>{notes}'
        f"<table>{_row(columns, columns, 'th')}{''.join(rows)}</table></details>"
    )


def _row(columns: Iterable[str], cells: Iterable[Any], tag: str) -> str:
    """Return a row of the table; what is not text stands on the right."""
    out = []
    for column, cell in zip(columns, cells, strict=True):
        kind = "" if column in ("field", "from") else ' class="n"'
        out.append(f"<{tag}{kind}>{escape(shorten_text(str(cell), 100))}</{tag}>")
    return f"<tr>{''.join(out)}</tr>"


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _labels_per_row(estimator: Any) -> list[str]:
    """Return the mean number of labels in a bag of each field."""
    sums, n_fields = estimator.statistics_, len(estimator.field_names_)
    counts = np.bincount(estimator.fields_, sums["count"], minlength=n_fields)
    return [f"{count:.2f}" for count in counts / sums["n_rows"]]


def _sources(estimator: Any) -> list[str]:
    """Return the transformer behind each field, nothing where there is no choice."""
    transformer = getattr(estimator, "field_transformer_", estimator)
    out: list[str] = []
    starts = getattr(transformer, "_first_fields", {})
    ends = [*list(starts.values())[1:], len(estimator.field_names_)]
    for (part, start), end in zip(starts.items(), ends, strict=False):
        inner = " ".join(repr(transformer.named_transformers_[part]).split())
        out += [f"{part}: {inner}"] * (end - start)
    return out


def _notes(estimator: Any) -> Iterator[str]:
    """Yield what was chosen or found in fit."""
    if not hasattr(estimator, "factors_"):
        return
    kind = "FFM" if estimator._interactions == "ffm" else "FM"
    inside = ", pairs inside fields too" if estimator.intra_field else ""
    yield f"{kind} with {estimator.factors_.shape[-1]} factors{inside}"
    yield (
        f"{_counted(estimator.n_iter_, 'epoch')}, kept: {estimator.best_iter_}; "
        f"parameters in {estimator.factors_.dtype}"
    )
