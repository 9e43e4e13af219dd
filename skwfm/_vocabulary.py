"""Which label of a raw column has which output column.

The vocabulary of one input column numbers its labels 0..n-1; rare labels share the
infrequent bucket, column n, or are dropped. The frequency of a label is the number of
rows whose summed weight for it is not 0. Cost: one dictionary look-up per entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._labels import Bags, keys_of, label_array, sorted_labels
from skwfm._validation import cell_error

__all__ = ["Limits", "Vocabulary"]

_UNKNOWN, _DROPPED = -2, -1
_INFREQUENT = "<infrequent>"


@dataclass(frozen=True)
class Limits:
    """Which labels get a column of their own, and what becomes of the others.

    Attributes
    ----------
    min_frequency : int, float or None
        Least number, or share below 1, of rows.
    max_categories : int or None
        Most output columns.
    handle_unknown : {"ignore", "error", "infrequent"}
        See `WeightedMultiLabelEncoder`.
    """

    min_frequency: float | None = None
    max_categories: int | None = None
    handle_unknown: str = "ignore"

    def kept(self, counts: npt.NDArray[np.int64], n_rows: int) -> npt.NDArray[np.bool_]:
        """Tell which labels, held by `counts` rows each, are not rare."""
        least = self.min_frequency or 0
        least = least * n_rows if least < 1 else least
        kept = counts >= least
        if self.max_categories is None or (
            kept.all() and len(counts) <= self.max_categories
        ):
            return kept
        room = self.max_categories - (self.handle_unknown == "infrequent")
        most_frequent = np.argsort(-np.where(kept, counts, -1), kind="stable")
        kept[most_frequent[room:]] = False
        return kept


@dataclass(frozen=True)
class Vocabulary:
    """The labels of one input column and the output column of each.

    Attributes
    ----------
    labels : array of shape (n_labels,)
        Labels with a column of their own, in the order of the columns.
    rare : array
        Labels seen in `fit` without one.
    has_bucket : bool
        Whether column n_labels takes the rare and unknown labels.
    index : dict
        Key of a label to its column.
    unknown : int
        Column of all other labels; negative: none.
    """

    labels: npt.NDArray[Any]
    rare: npt.NDArray[Any]
    has_bucket: bool
    index: dict[Any, int]
    unknown: int

    @property
    def n_columns(self) -> int:
        """Number of output columns."""
        return len(self.labels) + self.has_bucket

    @classmethod
    def learn(
        cls, bags: Bags, given: Sequence[Any] | None, limits: Limits
    ) -> Vocabulary:
        """Choose the labels of a column from its bags.

        Parameters
        ----------
        bags : Bags
            The cells of `fit`.
        given : sequence or None
            The labels to choose from; None: those seen.
        limits : Limits

        Returns
        -------
        Vocabulary
        """
        keys = keys_of(bags.labels)
        labels = given
        if labels is None:
            labels = sorted_labels(dict(zip(keys, bags.labels, strict=True)).values())
        index = {key: i for i, key in enumerate(keys_of(labels))}
        counts = _row_counts(bags, _look_up(index, keys, _DROPPED), len(labels))
        present = counts > 0 if given is None else np.ones(len(labels), dtype=bool)
        kept = np.zeros(len(labels), dtype=bool)
        kept[present] = limits.kept(counts[present], len(bags.indptr) - 1)
        return cls._from_masks(labels, kept, present & ~kept, limits.handle_unknown)

    @classmethod
    def _from_masks(
        cls,
        labels: Sequence[Any],
        kept: npt.NDArray[np.bool_],
        rare: npt.NDArray[np.bool_],
        handle_unknown: str,
    ) -> Vocabulary:
        kept_labels = [labels[i] for i in np.flatnonzero(kept).tolist()]
        rare_labels = [labels[i] for i in np.flatnonzero(rare).tolist()]
        has_bucket = handle_unknown == "infrequent" and bool(rare_labels)
        index = {key: i for i, key in enumerate(keys_of(kept_labels))}
        unknown = len(kept_labels) if has_bucket else _DROPPED
        if handle_unknown == "error":
            # Only here does it matter whether a label without a column is known.
            index.update(dict.fromkeys(keys_of(rare_labels), _DROPPED))
            unknown = _UNKNOWN
        return cls(
            label_array(kept_labels),
            label_array(rare_labels),
            has_bucket,
            index,
            unknown,
        )

    def encode(self, bags: Bags, name: object) -> sp.csr_matrix:
        """Return the summed weights of every row, canonical, in float64.

        Raises
        ------
        ValueError
            If a label is unknown and must not be; `name` is the column in the message.
        """
        columns = _look_up(self.index, keys_of(bags.labels), self.unknown)
        if self.unknown == _UNKNOWN:
            _refuse_unknown(bags, np.flatnonzero(columns == _UNKNOWN), name)
        return _sum_weights(bags, columns, self.n_columns)

    def decode(self, block: Any) -> list[list[tuple[Any, float]]]:
        """Return the (label, weight) pairs of every row of the column's CSR block."""
        labels = self._column_labels()
        entries = zip(block.indices.tolist(), block.data.tolist(), strict=True)
        pairs = [(labels[j], weight) for j, weight in entries]
        bounds = block.indptr.tolist()
        return [pairs[i:j] for i, j in zip(bounds[:-1], bounds[1:], strict=True)]

    def texts(self) -> list[str]:
        """Return the labels as text, quoted where 1 and "1" would look the same."""
        labels = self._column_labels()
        texts = list(map(str, labels))
        return texts if len(set(texts)) == len(texts) else list(map(repr, labels))

    def _column_labels(self) -> list[Any]:
        return [*self.labels.tolist(), *[_INFREQUENT] * self.has_bucket]


def _look_up(
    index: dict[Any, int], keys: Sequence[Any], unknown: int
) -> npt.NDArray[np.int64]:
    return np.fromiter(map(index.get, keys, repeat(unknown)), np.int64, len(keys))


def _refuse_unknown(bags: Bags, entries: npt.NDArray[np.int64], name: object) -> None:
    """Raise for the first unknown label whose weights do not sum to 0 (absent)."""
    rows = (np.searchsorted(bags.indptr, entries, side="right") - 1).tolist()
    labels = [bags.labels[entry] for entry in entries]
    sums: dict[Any, float] = {}
    places = list(zip(rows, keys_of(labels), strict=True))
    for place, entry in zip(places, entries, strict=True):
        sums[place] = sums.get(place, 0.0) + float(bags.weights[entry])
    for place, row, label in zip(places, rows, labels, strict=True):
        if sums[place] != 0:
            expected = "a label seen in fit, or handle_unknown='ignore'"
            raise ValueError(cell_error(name, row, label, expected))


def _sum_weights(
    bags: Bags, columns: npt.NDArray[np.int64], n_columns: int
) -> sp.csr_matrix:
    """Sum duplicates and drop zeros and entries without a column."""
    keep = columns >= 0
    n_kept_before = np.concatenate([[0], np.cumsum(keep)])
    arrays = bags.weights[keep], columns[keep], n_kept_before[bags.indptr]
    out = sp.csr_matrix(arrays, shape=(len(bags.indptr) - 1, n_columns))
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def _row_counts(
    bags: Bags, columns: npt.NDArray[np.int64], n_columns: int
) -> npt.NDArray[np.int64]:
    entries = _sum_weights(bags, columns, n_columns).indices
    return np.bincount(entries, minlength=n_columns).astype(np.int64)
