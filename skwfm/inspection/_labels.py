"""The strongest pairs of labels, and labels that are alike, by their vectors.

Effect of two labels of weight 1: ``<v_j, v_l>`` of an FM, ``<V[j, g], V[l, f]>`` of an
FFM. The search for the strongest is exact: labels are sorted by the length of their
vector, products are taken block by block, and blocks whose lengths cannot reach the
n-th best so far are skipped.

Storage: the vectors of a field, and the products of two blocks. Cost: at worst
O(n_columns^2 k); since lengths differ, few blocks are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skwfm._inspection_validation import (
    by_error,
    check_count,
    check_two_fields,
    target_error,
)
from skwfm.inspection._interactions import mean_sums, statistics_of
from skwfm.inspection._opened import Opened, open_model
from skwfm.inspection._terms import Model

__all__ = [
    "LabelPair",
    "SimilarLabel",
    "field_vectors",
    "similar",
    "top_interactions",
]

Array = npt.NDArray[Any]
# Labels in a block.
_BLOCK = 2**11


class LabelPair(NamedTuple):
    """Two labels of different fields and what they do to the score together.

    Parameters
    ----------
    field_1, label_1, field_2, label_2 : str
        The labels, in the order of their fields.
    effect : float
        What they add to the score where both have weight 1.
    strength : float
        What pairs are ranked by: the size of `effect`, or its root mean square over
        the training rows.

    See Also
    --------
    top_interactions : Returns these.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm.inspection import LabelPair
    >>> pd.DataFrame([LabelPair("user", "ann", "genre", "Art", -0.8, 0.8)])
      field_1 label_1 field_2 label_2  effect  strength
    0    user     ann   genre     Art    -0.8       0.8
    """

    field_1: str
    label_1: str
    field_2: str
    label_2: str
    effect: float
    strength: float


class SimilarLabel(NamedTuple):
    """A label and the cosine of its vector with that of another label.

    Parameters
    ----------
    label : str
        The label.
    similarity : float
        The cosine, from -1 to 1.

    See Also
    --------
    similar : Returns these.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm.inspection import SimilarLabel
    >>> pd.DataFrame([SimilarLabel("Battle", 0.98), SimilarLabel("Comedy", -0.97)])
        label  similarity
    0  Battle        0.98
    1  Comedy       -0.97
    """

    label: str
    similarity: float


class _Best:
    """The n largest products so far."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.strengths = np.empty(0)
        self.pairs = np.empty((0, 2), dtype=np.int64)

    @property
    def least(self) -> float:
        """What a pair must exceed."""
        return float(self.strengths.min()) if len(self.strengths) == self.n else 0.0

    def add(self, products: Array, first: Array, second: Array) -> None:
        """Look at the products of two blocks of labels."""
        strengths = np.abs(products).ravel()
        places = np.flatnonzero(strengths > self.least)
        if len(places) > self.n:
            kept = np.argpartition(strengths[places], -self.n)[-self.n :]
            places = places[kept]
        rows, columns = np.divmod(places, len(second))
        pairs = np.column_stack([first[rows], second[columns]])
        self.strengths = np.r_[self.strengths, strengths[places]]
        self.pairs = np.concatenate([self.pairs, pairs])
        if len(self.strengths) > self.n:
            kept = np.argpartition(self.strengths, -self.n)[-self.n :]
            self.strengths, self.pairs = self.strengths[kept], self.pairs[kept]


def top_interactions(
    estimator: Any,
    n: int = 20,
    *,
    fields: tuple[str, str] | None = None,
    by: str = "effect",
    target: Any = None,
    feature_names: Any = None,
) -> list[LabelPair]:
    """Return the pairs of labels that move the score most when they come together.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted.
    n : int, default=20
        Number of pairs.
    fields : tuple of two str, optional
        Only pairs of a label of the one field with one of the other. By default of any
        two fields.
    by : {"effect", "rms"}, default="effect"
        ``"effect"`` ranks by what the pair adds to the score where both labels have
        weight 1, however seldom that is. ``"rms"`` ranks by the root mean square of
        that over the training rows, as if labels occurred independently: strong and
        frequent.
    target : label of a class, optional
        Whose score, where there are more than two classes.
    feature_names : array-like of str, shape (n_columns,), optional
        Names of the columns, where `estimator` was given a matrix.

    Returns
    -------
    list of LabelPair
        Named tuples ``(field_1, label_1, field_2, label_2, effect, strength)``, the
        strongest first; ``pandas.DataFrame`` takes the list as it is. `effect` is
        signed and for weight 1, `strength` is what they are ranked by. Of a model with
        draws: of `factors_`, their aligned mean.

    Raises
    ------
    TypeError
        If `estimator` is none of this package's.
    ValueError
        If a field, a class or `by` is not known, `n` is no number of pairs, or the
        model has several scores and `target` is missing.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    field_interactions : How strong whole fields act together.
    explain : The pairs of given rows.

    Notes
    -----
    No list of all pairs is made, and pairs that cannot be among the best are not looked
    at; the result is exact. Memory: the vectors once more, and a few MB.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import top_interactions
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"] * 20, "genre": ["War", "War", "Art", "Art"] * 10}
    ... )
    >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
    >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
    >>> for pair in top_interactions(fm, 2):
    ...     print(pair.label_1, pair.label_2, round(pair.effect, 1))
    ann Art 0.9
    ann War -0.9
    """
    if by not in ("effect", "rms"):
        raise ValueError(by_error(by))
    check_count(n, "n")
    if fields is not None:
        check_two_fields(fields)
    opened = open_model(estimator, feature_names)
    vectors = _Vectors(opened, _output(opened, target), _scales(opened, by))
    best = _Best(n)
    for left, right in _lists(opened, fields):
        _search(vectors, left, right, best)
    effects = vectors.effects(best.pairs)
    strengths = np.abs(effects)
    if vectors.scales is not None:
        strengths = strengths * vectors.scales[best.pairs].prod(axis=1)
    order = np.lexsort((*best.pairs.T[::-1], -strengths))
    return [_named(opened, best.pairs[i], effects[i], strengths[i]) for i in order]


def _named(opened: Opened, pair: Array, effect: Any, strength: Any) -> LabelPair:
    """Name two labels, in the order of their fields."""
    fields = opened.model.fields
    pair = pair[np.lexsort((pair, fields[pair]))]
    one, other = (opened.field_names[f] for f in fields[pair])
    label, label_2 = opened.labels(pair)
    return LabelPair(one, label, other, label_2, float(effect), float(strength))


def _scales(opened: Opened, by: str) -> Array | None:
    """Return the root mean square of the weight of each label."""
    return None if by == "effect" else np.sqrt(mean_sums(opened)["square"])


def _output(opened: Opened, target: Any) -> int:
    if target is None and opened.model.n_outputs > 1:
        raise ValueError(target_error(target, opened.estimator.classes_.tolist()))
    return opened.target(target)


class _List(NamedTuple):
    """Labels of one side of a search, and the field that they look towards."""

    labels: Array
    towards: int | None


def _lists(
    opened: Opened, fields: tuple[str, str] | None
) -> Iterator[tuple[_List, _List]]:
    """Yield what to search in: the fields of a pair, or all labels with themselves."""
    model = opened.model
    if fields is not None:
        chosen = [tuple(opened.field(name) for name in fields)]
    elif not model.field_aware:
        every = _List(np.arange(len(model.fields)), None)
        yield every, every
        return
    else:
        chosen = model.field_pairs.tolist()
    for f, g in chosen:
        left = _List(np.flatnonzero(model.fields == f), g)
        right = _List(np.flatnonzero(model.fields == g), f)
        yield left, left if f == g else right


class _Vectors:
    """The vectors of one score."""

    def __init__(self, opened: Opened, output: int, scales: Array | None) -> None:
        self.model, self.output, self.scales = opened.model, output, scales

    def of(self, side: _List) -> Array:
        """Return the vectors of some labels, in the width of the model."""
        vectors: Array = self.model.factors[side.labels, self.output]
        if self.model.field_aware:
            vectors = vectors[:, side.towards]
        if self.scales is not None:
            vectors = vectors * self.scales[side.labels, None].astype(vectors.dtype)
        return vectors

    def effects(self, pairs: Array) -> Array:
        """Return the products of the vectors of pairs for weight 1, in float64."""
        left, right = (self.model.vectors(labels)[:, self.output] for labels in pairs.T)
        if self.model.field_aware:
            first, second = self.model.fields[pairs].T
            at = np.arange(len(pairs))
            left, right = left[at, second], right[at, first]
        products: Array = np.einsum("pk,pk->p", left, right)
        return products


def _search(vectors: _Vectors, left: _List, right: _List, best: _Best) -> None:
    """Look at all products that may be among the best."""
    model, alone = vectors.model, left is right
    rows = _by_length(left, vectors)
    columns = rows if alone else _by_length(right, vectors)
    for i in range(0, len(rows.labels), _BLOCK):
        for j in range(i if alone else 0, len(columns.labels), _BLOCK):
            if rows.lengths[i] * columns.lengths[j] <= best.least:
                break  # and so on: lengths decrease
            one, other = rows.block(i), columns.block(j)
            products = one.vectors @ other.vectors.T
            if alone and i == j:
                products = np.triu(products, 1)
            if alone and not model.intra_field:
                fields = model.fields[one.labels], model.fields[other.labels]
                products[np.equal.outer(*fields)] = 0
            best.add(products, one.labels, other.labels)


class _Sorted(NamedTuple):
    """Labels with their vectors, the longest first."""

    labels: Array
    vectors: Array
    lengths: Array

    def block(self, start: int) -> _Sorted:
        """Return the labels from one on."""
        return _Sorted(*(part[start : start + _BLOCK] for part in self))


def _by_length(side: _List, vectors: _Vectors) -> _Sorted:
    taken = vectors.of(side)
    lengths = np.linalg.norm(taken, axis=1)
    order = np.argsort(-lengths, kind="stable")
    return _Sorted(side.labels[order], taken[order], lengths[order])


def similar(
    estimator: Any,
    field: str,
    label: Any,
    n: int = 10,
    *,
    min_count: float = 0,
    feature_names: Any = None,
) -> list[SimilarLabel]:
    """Return the labels of a field whose vectors point the way of a label's.

    They act on all other fields in the same way. The similarity is the cosine of the
    vectors; of an FFM those towards all other fields, of several classes those of all
    classes, one after the other.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
        Fitted.
    field : str
        Name of the field, one of ``field_names_``.
    label : label
        The label, or its text.
    n : int, default=10
        Number of labels.
    min_count : float, default=0
        Only labels that at least so many training rows hold, by ``statistics_``: the
        vectors of rare ones are short and point anywhere.
    feature_names : array-like of str, shape (n_columns,), optional
        Names of the columns, where `estimator` was given a matrix.

    Returns
    -------
    list of SimilarLabel
        Named tuples ``(label, similarity)``, the most similar first, without `label`
        itself; ``pandas.DataFrame`` takes the list as it is. Of a model with draws: by
        `factors_`, their aligned mean.

    Raises
    ------
    TypeError
        If `estimator` is none of this package's.
    ValueError
        If there is no such field or label, or `n` is no number of labels.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    See Also
    --------
    EmbeddingDisplay : A map of the labels of a field.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import similar
    >>> rng = np.random.default_rng(0)
    >>> films = pd.DataFrame(
    ...     {
    ...         "user": rng.choice(["ann", "bob"], 400),
    ...         "genre": rng.choice(["War", "Battle", "Comedy"], 400),
    ...     }
    ... )
    >>> likes = (films["user"] == "ann") == (films["genre"] == "Comedy")
    >>> fm = WeightedFMRegressor(random_state=0).fit(films, 4.0 * likes)
    >>> [near.label for near in similar(fm, "genre", "War")]
    ['Battle', 'Comedy']
    """
    check_count(n, "n")
    opened = open_model(estimator, feature_names)
    column = opened.column(field, label)
    columns = np.flatnonzero(opened.model.fields == opened.field(field))
    vectors = unit_vectors(field_vectors(opened.model, columns))
    cosines = vectors @ vectors[columns == column][0]
    order = np.argsort(-cosines, kind="stable")
    order = order[columns[order] != column]
    if min_count > 0:
        counts = statistics_of(opened)["count"][columns]
        order = order[counts[order] >= min_count]
    order = order[:n]
    names = opened.labels(columns[order])
    return [
        SimilarLabel(name, float(cosine))
        for name, cosine in zip(names, cosines[order], strict=True)
    ]


def field_vectors(model: Model, columns: Array) -> Array:
    """Return all that labels of one field act by, a row of numbers each.

    Vectors towards the own field are left out where they are not used.
    """
    vectors: Array = model.factors[columns]
    if model.field_aware and not model.intra_field and len(columns):
        vectors = np.delete(vectors, model.fields[columns[0]], axis=2)
    return vectors.reshape(len(columns), -1)


def unit_vectors(vectors: Array) -> Array:
    """Divide rows by their lengths; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Array = vectors / np.where(lengths > 0, lengths, 1)
    return scaled
