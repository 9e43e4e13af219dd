"""A fitted estimator as the functions of this package see it: arrays, rows and names.

A Pipeline that ends in an estimator is taken apart: its first steps encode the rows and
name the columns. The label of a column is its name without what stands for the field,
``"Drama"`` for ``"genres=Drama"`` or ``"ids__genres_Drama"`` of the field "genres".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skwfm._base import BaseWeightedFM
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._inspection_validation import (
    feature_names_error,
    no_model_error,
    target_error,
    unknown_field_error,
    unknown_label_error,
)
from skwfm.inspection._terms import Model

__all__ = ["Opened", "labels_of", "open_model", "score_unit"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Opened:
    """A fitted estimator and the names of its columns."""

    estimator: BaseWeightedFM
    steps: Any
    """What encodes the rows, None where they are taken as they are."""
    model: Model
    """Of a model with draws: their mean, as `factors_` is."""
    draws: tuple[Model, ...] = ()
    given_names: Array | None = None
    """Names of the columns, if some were given."""

    @cached_property
    def feature_names(self) -> Array:
        """Names of the columns. Those of a large vocabulary take their time."""
        if self.given_names is not None:
            return self.given_names
        n_columns = len(self.model.fields)
        names = _names(self.estimator, self.steps, n_columns)
        return _checked_names(names, n_columns)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields."""
        names: tuple[str, ...] = self.estimator.field_names_
        return names

    def rows(self, X: Any) -> FieldCSR:
        """Encode rows as for `predict`."""
        if self.steps is not None:
            X = self.steps.transform(X)
        matrix = self.estimator._checked(X)
        fields = FieldMap(self.model.fields, self.field_names)
        return FieldCSR(matrix, fields=fields)

    def field(self, name: Any) -> int:
        """Return the number of a field."""
        if name not in self.field_names:
            raise ValueError(unknown_field_error(name, self.field_names))
        return self.field_names.index(name)

    def labels(self, columns: Sequence[int] | Array) -> list[str]:
        """Return the labels of some columns, as text."""
        return labels_of(
            columns, self.feature_names, self.field_names, self.model.fields
        )

    def column(self, field: str, label: Any) -> int:
        """Return the column of a label of a field."""
        columns = np.flatnonzero(self.model.fields == self.field(field))
        labels = self.labels(columns)
        if (text := str(label)) in labels:
            return int(columns[labels.index(text)])
        close = get_close_matches(text, labels, n=3, cutoff=0.5)
        raise ValueError(unknown_label_error(field, label, close or labels))

    def target(self, label: Any) -> int:
        """Return the number of a class, 0 where there is one score."""
        if self.model.n_outputs == 1:
            return 0
        classes = self.estimator.classes_.tolist()
        if label not in classes:
            raise ValueError(target_error(label, classes))
        return int(classes.index(label))


def open_model(estimator: Any, feature_names: Any = None) -> Opened:
    """Take a fitted estimator, pipeline or search apart.

    Raises
    ------
    TypeError
        If there is none of this package's estimators in it.
    ValueError
        If there are more or fewer names than columns.
    """
    inner = getattr(estimator, "best_estimator_", estimator)
    steps = None
    if isinstance(inner, Pipeline):
        check_is_fitted(inner)
        steps = inner[:-1] if len(inner.steps) > 1 else None
        inner = inner.steps[-1][1]
    if not isinstance(inner, BaseWeightedFM):
        raise TypeError(no_model_error(inner))
    check_is_fitted(inner, "factors_")
    if feature_names is not None:
        feature_names = _checked_names(feature_names, len(inner.fields_))
    model = _model(inner)
    return Opened(inner, steps, model, _draws(inner, model), feature_names)


def _checked_names(feature_names: Any, n_columns: int) -> Array:
    names = np.asarray(feature_names, dtype=object)
    if names.shape != (n_columns,):
        raise ValueError(feature_names_error(names.shape, n_columns))
    return names


def _model(estimator: BaseWeightedFM) -> Model:
    table, linear, bias = estimator._parameters()
    layout = estimator._layout(estimator.factors_.shape[-1])
    aware = (layout.n_fields,) if estimator._interactions == "ffm" else ()
    shape = (len(table), len(bias), *aware, layout.n_factors)
    fields = FieldMap(layout.fields, estimator.field_names_)
    return Model(
        table.reshape(shape),
        linear,
        bias,
        layout.fields,
        layout.n_fields,
        # Fields of one column each have no pairs inside.
        layout.intra_field and not fields.singletons,
    )


def _draws(estimator: BaseWeightedFM, model: Model) -> tuple[Model, ...]:
    """Return the model by each draw of its parameters, if it has some."""
    return tuple(
        replace(model, factors=factors[:, None], linear=linear, bias=bias)
        for factors, linear, bias in getattr(estimator, "samples_", ())
    )


def _names(estimator: BaseWeightedFM, steps: Any, n_columns: int) -> Any:
    names = estimator._column_names()
    if names is None and steps is not None:
        try:
            names = steps.get_feature_names_out()
        except AttributeError:  # a step without names
            names = None
    return [f"x{j}" for j in range(n_columns)] if names is None else names


def labels_of(
    columns: Sequence[int] | Array,
    feature_names: Array,
    field_names: Sequence[str],
    fields: Array,
) -> list[str]:
    """Return the labels of some columns, as text."""
    return [label_of(str(feature_names[j]), field_names[fields[j]]) for j in columns]


def label_of(name: str, field: str) -> str:
    """Return what a column's name says beside its field; "" of a field's only column.

    Examples
    --------
    >>> from skwfm.inspection._opened import label_of
    >>> label_of("ids__user_12", "user"), label_of("seen__film=Alien", "seen__film")
    ('12', 'Alien')
    >>> label_of("genres__genres=War", "genres")
    'War'
    >>> label_of("price", "price"), label_of("x3", "field0")
    ('', 'x3')
    """
    column = field.partition("__")[2]
    tail = name
    while True:
        for stem in (field, column):
            if stem and tail == stem:
                return ""
            rest = tail[len(stem) :] if stem and tail.startswith(stem) else ""
            # Two underscores end the name of a transformer.
            if rest[:1] == "=" or (rest[:1] == "_" and rest[:2] != "__"):
                return rest[1:]
        _, found, tail = tail.partition("__")
        if not found:
            return name


def score_unit(opened: Opened, target: Any = None) -> str:
    """Return what the score is, for the label of an axis."""
    estimator = opened.estimator
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if getattr(getattr(estimator, "samples_", None), "levels", None) is not None:
            return "latent score"
        is_log = getattr(estimator, "loss", None) == "poisson"
        return "logarithm of the prediction" if is_log else "units of the target"
    if len(classes) == 2:
        return f"log-odds of {classes[1]}"
    return "score before softmax" if target is None else f"score of class {target}"
