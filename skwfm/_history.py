"""History fields: what else the owner of a row holds among the training rows.

Of the training rows, `fit` keeps for every owner u (a user) the set N(u) of the items
that stand beside it. The history of any row (u, i) is

    N(u) without i,  every item with weight 1/sqrt(n),

n being the number of items left, so that a bag of items has length 1 like a single
label. Three things follow from leaving out the row's own item *always*, not only where
the row is known to be a training row:

- There is no leak of the row itself. Were i kept, it would stand in the history of each
  training row and in that of no held-out row, and what a model learns about i beside
  itself would be wrong for new rows.
- The history of a row depends on nothing but its owner and item and on the rows of
  `fit`. So `fit_transform(X)` is `fit(X).transform(X)`, and the held-out rows of a
  cross-validation, which `fit` never sees, are in no history.
- A pair (u, i) that occurs in several training rows is left out as a whole.

N(u) holds all training rows of u, also those after the row in time: validate with
a split in time if the model is to predict the future.

Only the `max_items` last of the others are kept, "last" being the order of the rows of
`fit`. One more is stored for every owner, the *spare*: it leaves in place of the own
item where that is not among the stored ones. Hence one rule makes a row: the stored
items of its owner except one.

Storage: a CSR owner -> items, sorted, of at most ``max_items + 1`` entries per owner,
and the spare. Cost: one sort of the training rows; for a row a binary search and a copy
of its history. The result takes 8 bytes per item of a history, up to
``8 * max_items`` bytes per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from skwfm._callbacks import CallbackSupport, one_task
from skwfm._cells import as_table, table_columns
from skwfm._columns import Column
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._html import FieldsHTML
from skwfm._validation import check_table_shape

__all__ = ["HistoryEncoder"]

_Codes: TypeAlias = npt.NDArray[np.int64]
_Items: TypeAlias = npt.NDArray[np.int32]

# Histories are copied some rows at a time: so many entries fit in a processor's cache,
# and the temporary arrays stay small beside the result.
_CHUNK_ENTRIES = 2**18


class HistoryEncoder(FieldsHTML, CallbackSupport, TransformerMixin, BaseEstimator):
    """Encode the other items that the owner of a row has among the training rows.

    Of two columns, *owner* and *item*, `fit` learns which items stand beside each
    owner: the films that a user rated. A row becomes the bag of these items *without
    its own*, each of n items with the weight ``1/sqrt(n)``. Beside the columns owner
    and item themselves, this bag is the implicit feedback of SVD++ [1]_. With the
    columns in the other order it is an audience: the other users who rated the film.

    Parameters
    ----------
    max_items : int or None, default=100
        The longest history. Of more items the last ones are kept, by the last row of
        `fit` in which the owner has them; None keeps all. The result takes up to
        ``8 * max_items`` bytes per row.

    Attributes
    ----------
    categories_ : list of array of shape (n_items,)
        The items seen in `fit` and the order of their output columns, for every
        column but the first.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Names of the input columns, where `fit` got names that are all strings.
    fields_ : array of int32, shape (n_features_out,)
        Field of every output column: 0 for the first column of items, and so on.
    field_names_ : tuple of str, length n_features_in_ - 1
        Names of the columns of items; of ``"x1"``, ... without names.

    See Also
    --------
    FieldTransformer : Put ids, histories and other fields side by side.
    WeightedMultiLabelEncoder : For bags that are a column of the data.

    Notes
    -----
    The own item is left out in `transform` as in `fit_transform`, so that both agree
    and a row says nothing about itself. Rows that are held out, by `cross_val_score`
    say, are in no history.

    An item counts once, however many rows it has. A row whose owner is missing or was
    not seen in `fit`, or has no other item, has the empty bag; a missing item is in no
    history. A cell is a single label, and equal labels are those of
    `WeightedMultiLabelEncoder`: 1 and 1.0 are equal, 1 and "1" are not.

    A third and further columns are more items of the same owner, each a field of its
    own.

    References
    ----------
    .. [1] Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative
           Filtering Model", ACM SIGKDD, 2008.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import HistoryEncoder
    >>> ratings = pd.DataFrame(
    ...     {"user": ["ann", "ann", "ann", "bob"], "film": ["Alien", "Heat", "M", "M"]}
    ... )
    >>> history = HistoryEncoder().fit(ratings)
    >>> history.get_feature_names_out()
    array(['film=Alien', 'film=Heat', 'film=M'], dtype=object)
    >>> history.transform(ratings).toarray().round(2)
    array([[0.  , 0.71, 0.71],
           [0.71, 0.  , 0.71],
           [0.71, 0.71, 0.  ],
           [0.  , 0.  , 0.  ]], dtype=float32)
    >>> new = pd.DataFrame({"user": ["bob", "eve"], "film": ["Heat", "Heat"]})
    >>> history.transform(new).toarray()
    array([[0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    _parameter_constraints: dict[str, Any] = {
        "max_items": [Interval(Integral, 1, None, closed="left"), None]
    }

    def __init__(self, *, max_items: int | None = 100) -> None:
        self.max_items = max_items

    @one_task
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the items of every owner.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_columns)
            The training rows: the owner, then one or more columns of items. Not
            modified.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If there are fewer than two columns or no rows, a cell is not a single
            label (the message names its column and row), or a parameter is not valid.
        """
        self._validate_params()
        table = validate_data(self, _as_rows(X), skip_check_array=True)
        check_table_shape(table.shape, 2, type(self).__name__)
        names = _check_feature_names_in(self)
        self.field_names_ = tuple(map(str, names[1:]))
        self._encoder = WeightedMultiLabelEncoder(sep=None, weight_sep=None)
        # A global set_config must not ask this one for a data frame.
        self._encoder.set_output(transform="default")
        encoded = self._encoder.fit_transform(table)
        self.categories_ = self._encoder.categories_[1:]
        self._sizes = [len(labels) for labels in self._encoder.categories_]
        owners, *columns = self._codes(table, encoded)
        self._histories = [
            _Histories.learn(owners, items, self._sizes[0], n_items, self.max_items)
            for items, n_items in zip(columns, self._sizes[1:], strict=True)
        ]
        numbers = np.arange(len(columns), dtype=np.int32)
        self.fields_ = np.repeat(numbers, self._sizes[1:])
        return self

    def transform(self, X: Any) -> FieldCSR:
        """Encode rows; each row on its own, whatever else is in `X`.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_columns)
            The columns of `fit`. Not modified.

        Returns
        -------
        FieldCSR of shape (n_samples, n_features_out)
            float32, with sorted indices, without duplicates or stored zeros.

        Raises
        ------
        TypeError, ValueError
            If a cell is not a single label or the columns are not those of `fit`.
        """
        check_is_fitted(self)
        table = validate_data(self, _as_rows(X), reset=False, skip_check_array=True)
        owners, *columns = self._codes(table, self._encoder.transform(table))
        blocks = [
            histories.rows(owners, items)
            for histories, items in zip(self._histories, columns, strict=True)
        ]
        # hstack would copy a single block, which may be large.
        out = blocks[0] if len(blocks) == 1 else sp.hstack(blocks, format="csr")
        return FieldCSR(out, fields=FieldMap(self.fields_, self.field_names_))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return ``"<column>=<item>"`` for every output column.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; by default those seen in `fit`.

        Returns
        -------
        array of object, shape (n_features_out,)
        """
        check_is_fitted(self)
        columns = _check_feature_names_in(self, input_features)
        names: npt.NDArray[Any] = self._encoder.get_feature_names_out(columns)
        return names[self._sizes[0] :]

    def _codes(self, table: Any, encoded: FieldCSR) -> list[_Codes]:
        """Return the numbers of the labels, an array per column; -1 is none."""
        ends = np.cumsum(self._sizes).tolist()
        blocks = [
            encoded[:, end - size : end]
            for end, size in zip(ends, self._sizes, strict=True)
        ]
        for column, block in enumerate(blocks):
            if (row := _row_of_bag(block)) is not None:
                name = self._encoder.field_names_[column]
                cells = table_columns(table)[column]
                Column(cells, name).fail(row, "a single label")
        return [_only_label(block) for block in blocks]

    def __sklearn_tags__(self) -> Any:
        """Declare what the cells may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _as_rows(X: Any) -> Any:
    """Return raw input as a data frame or a 2-D array; a list is one of rows."""
    return as_table(np.array(X, dtype=object) if isinstance(X, list | tuple) else X)


def _row_of_bag(block: Any) -> int | None:
    """Return the first row with several labels, or with one that has a weight."""
    bad = (np.diff(block.indptr) > 1)[_rows_of(block)] | (block.data != 1)
    return int(_rows_of(block)[np.argmax(bad)]) if bad.any() else None


def _only_label(block: Any) -> _Codes:
    """Return the column of the only entry of every row, -1 for a row without."""
    codes = np.full(block.shape[0], -1, dtype=np.int64)
    codes[_rows_of(block)] = block.indices
    return codes


def _rows_of(block: Any) -> _Codes:
    return np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))


@dataclass(frozen=True)
class _Histories:
    """The items of every owner.

    Attributes
    ----------
    indptr : array of int64, shape (n_owners + 2,)
        Owner u has the items ``items[indptr[u]:indptr[u + 1]]``. The last owner has
        none: it stands for all that are not known.
    items : array of int32
        Sorted for every owner.
    spare : array of int64, shape (n_owners + 1,)
        The item that is one too many, or -1.
    n_items : int
        Number of different items.
    """

    indptr: npt.NDArray[np.int64]
    items: _Items
    spare: _Codes
    n_items: int

    @classmethod
    def learn(
        cls,
        owners: _Codes,
        items: _Codes,
        n_owners: int,
        n_items: int,
        max_items: int | None,
    ) -> _Histories:
        """Learn from training rows; a negative code is a missing label."""
        present = (owners >= 0) & (items >= 0)
        keys = (owners * n_items + items)[present][::-1]
        # The first place in reverse order is that of the last row of a pair.
        pairs, age = np.unique(keys, return_index=True)
        owner_of, item_of = np.divmod(pairs, max(n_items, 1))
        by_age = np.lexsort((age, owner_of))
        first = np.searchsorted(owner_of, np.arange(n_owners))
        rank = np.empty(len(pairs), dtype=np.int64)
        rank[by_age] = np.arange(len(pairs)) - first[owner_of]
        limit = len(pairs) if max_items is None else max_items
        spare = np.full(n_owners + 1, -1, dtype=np.int64)
        spare[owner_of[rank == limit]] = item_of[rank == limit]
        kept = rank <= limit
        indptr = np.searchsorted(owner_of[kept], np.arange(n_owners + 2))
        return cls(indptr, item_of[kept].astype(np.int32), spare, n_items)

    def rows(self, owners: _Codes, items: _Codes) -> sp.csr_matrix:
        """Return the weighted histories of rows as canonical CSR."""
        known = np.where(owners < 0, len(self.spare) - 1, owners)
        lengths = np.diff(self.indptr)[known]
        leaving = np.where(self._holds(known, items), items, self.spare[known])
        n_kept = lengths - (leaving >= 0)
        indptr = np.concatenate([[0], np.cumsum(n_kept)])
        indices = np.empty(indptr[-1], dtype=np.int32)
        for part in _parts(lengths):
            size = lengths[part]
            before = np.repeat(np.cumsum(size) - size, size)
            start = np.repeat(self.indptr[known[part]], size)
            found = self.items[start + np.arange(len(before)) - before]
            found = found[found != np.repeat(leaving[part], size)]
            indices[indptr[part.start] : indptr[part.stop]] = found
        weights = (1 / np.sqrt(np.maximum(n_kept, 1))).astype(np.float32)
        arrays = np.repeat(weights, n_kept), indices, indptr
        return sp.csr_matrix(arrays, shape=(len(known), self.n_items))

    def _holds(self, owners: _Codes, items: _Codes) -> npt.NDArray[np.bool_]:
        """Tell which pairs are among those stored."""
        n_owners = len(self.spare)
        all_owners = np.repeat(np.arange(n_owners), np.diff(self.indptr))
        stored = all_owners * self.n_items + self.items
        wanted = owners * self.n_items + items
        place = np.searchsorted(stored, wanted)
        stored = np.append(stored, -1)
        found: npt.NDArray[np.bool_] = (items >= 0) & (stored[place] == wanted)
        return found


def _parts(lengths: _Codes) -> Iterator[slice]:
    """Cut rows into stretches of about `_CHUNK_ENTRIES` entries."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_CHUNK_ENTRIES, total, _CHUNK_ENTRIES)) + 1
    bounds = [0, *np.unique(cuts).tolist(), len(lengths)]
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        yield slice(start, stop)
