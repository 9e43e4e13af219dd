"""Which label of a raw column has which output column.

The vocabulary of one input column numbers its labels 0..n-1; rare labels share the
infrequent bucket, column n, or are dropped. The frequency of a label is the number of
rows whose summed weight for it is not 0. Cost: one dictionary look-up per distinct
label, and some passes over the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._columns import Bags, Codes, row_of, to_csr
from skwfm._labels import keys_of, label_array
from skwfm._validation import cell_error

__all__ = ["Limits", "Vocabulary", "pairs_of"]

_UNKNOWN, _DROPPED = -2, -1
_CHUNK = 2**20
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
            The cells of `fit`, in the canonical form of `sorted_bags`.
        given : sequence or None
            The labels to choose from; None: those seen.
        limits : Limits

        Returns
        -------
        Vocabulary
        """
        labels, counts = bags.labels, _row_counts(bags)
        if given is not None:
            index = {key: i for i, key in enumerate(keys_of(given))}
            places = _look_up(index, keys_of(bags.labels), len(given))
            seen = np.bincount(places, weights=counts, minlength=len(given) + 1)
            labels, counts = list(given), seen[:-1].astype(np.int64)
        present = counts > 0 if given is None else np.ones(len(labels), dtype=bool)
        kept = np.zeros(len(labels), dtype=bool)
        kept[present] = limits.kept(counts[present], bags.n_rows)
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

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the index: skops would make text of its keys, 1 and "1" alike."""
        return {name: part for name, part in vars(self).items() if name != "index"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the index again."""
        vars(self).update(state)
        if "index" not in state:  # which older versions wrote
            object.__setattr__(self, "index", self.derived_index())

    def derived_index(self) -> dict[Any, int]:
        """Return the `index` that follows from the labels."""
        index = {key: i for i, key in enumerate(keys_of(self.labels.tolist()))}
        if self.unknown == _UNKNOWN:
            index.update(dict.fromkeys(keys_of(self.rare.tolist()), _DROPPED))
        return index

    def unseen(self, bags: Bags) -> list[Any]:
        """Return the labels of canonical bags that are not in the vocabulary."""
        keys = keys_of(bags.labels)
        seen = (_row_counts(bags) > 0).tolist()
        return [
            label
            for label, key, is_seen in zip(bags.labels, keys, seen, strict=True)
            if is_seen and key not in self.index
        ]

    def grown(self, labels: Sequence[Any]) -> Vocabulary:
        """Return the vocabulary with more labels, in columns after the others."""
        # A copy of the dictionary costs a twentieth of filling one anew.
        new = zip(keys_of(labels), count(len(self.labels)), strict=False)
        every = label_array([*self.labels.tolist(), *labels])
        return replace(self, labels=every, index=self.index | dict(new))

    def encode(self, bags: Bags, name: object) -> sp.csr_matrix:
        """Return the summed weights of every row, canonical, in float64 (see `to_csr`).

        Raises
        ------
        ValueError
            If a label is unknown and must not be; `name` is the column in the message.
        """
        return to_csr(bags, self.check_known(bags, name), self.n_columns)

    def check_known(self, bags: Bags, name: object) -> Codes:
        """Return the column of every distinct label; raises as `encode`."""
        columns = _look_up(self.index, keys_of(bags.labels), self.unknown)
        if (columns == _UNKNOWN).any():
            _refuse_unknown(bags, columns == _UNKNOWN, name)
        return columns

    def decode(self, block: Any) -> list[list[tuple[Any, float]]]:
        """Return the (label, weight) pairs of every row of the column's CSR block."""
        labels = self._column_labels()
        return pairs_of(block, labels.__getitem__)

    def texts(self) -> list[str]:
        """Return the labels as text, quoted where 1 and "1" would look the same."""
        labels = self._column_labels()
        texts = list(map(str, labels))
        return texts if len(set(texts)) == len(texts) else list(map(repr, labels))

    def _column_labels(self) -> list[Any]:
        return [*self.labels.tolist(), *[_INFREQUENT] * self.has_bucket]


def pairs_of(
    block: Any, label_of: Callable[[int], Any]
) -> list[list[tuple[Any, float]]]:
    """Return the (label, weight) pairs of every row of a CSR matrix."""
    entries = zip(block.indices.tolist(), block.data.tolist(), strict=True)
    pairs = [(label_of(j), weight) for j, weight in entries]
    bounds = block.indptr.tolist()
    return [pairs[i:j] for i, j in zip(bounds[:-1], bounds[1:], strict=True)]


def _look_up(index: dict[Any, int], keys: Sequence[Any], unknown: int) -> Codes:
    return np.fromiter(map(index.get, keys, repeat(unknown)), np.int32, len(keys))


def _row_counts(bags: Bags) -> npt.NDArray[np.int64]:
    """Return in how many rows every label of canonical bags is."""
    counts = np.zeros(len(bags.labels), dtype=np.int64)
    for start in range(0, len(bags.codes), _CHUNK):  # bincount copies to 64 bits
        part = bags.codes[start : start + _CHUNK]
        counts += np.bincount(part, minlength=len(counts))
    return counts


def _refuse_unknown(bags: Bags, unknown: npt.NDArray[np.bool_], name: object) -> None:
    """Raise for the first unknown label whose weights do not sum to 0 (absent)."""
    columns = np.where(unknown, np.arange(len(unknown), dtype=np.int32), -1)
    weights = None if bags.weights is None else bags.weights.copy()
    copy = bags._replace(codes=bags.codes.copy(), weights=weights)
    held = to_csr(copy, columns, len(columns))
    if held.nnz:
        row, label = row_of(held.indptr, 0), bags.labels[held.indices[0]]
        expected = "a label seen in fit, or handle_unknown='ignore'"
        raise ValueError(cell_error(name, row, label, expected))
