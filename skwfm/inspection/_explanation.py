"""The terms of some scores, with their names, as arrays and as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from skwfm._extras import require
from skwfm._fields import FieldCSR
from skwfm._inspection_validation import check_row
from skwfm.inspection._opened import labels_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanation"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Explanation:
    """The terms that the scores of some rows consist of, see `explain`.

    With more than two classes every array of terms has a last axis for them. Of a model
    with draws of its parameters, terms are means over the draws, and what ends in
    ``_std`` is their standard deviation over them; else that is None.

    Parameters
    ----------
    rows : FieldCSR of shape (n_rows, n_columns)
        The rows as the model sees them; entry e is label ``rows.indices[e]``.
    intercept : float or array of shape (n_classes,)
        The same for every row.
    linear : array of shape (nnz,)
        Linear term of each entry of `rows`.
    pairs : array of shape (n_rows, n_pairs)
        Term of each pair of fields.
    field_pairs : array of int, shape (n_pairs, 2)
        The fields of each pair.
    feature_names : array of str, shape (n_columns,)
        Names of the columns.
    field_names : tuple of str
        Names of the fields.
    classes : array of shape (n_classes,), optional
        The classes of the last axis.
    label_entries : array of int, shape (n_label_pairs, 2), optional
        The two entries of `rows` of each pair of labels, if asked for.
    label_terms : array of shape (n_label_pairs,), optional
        Their terms; over the labels of two fields they sum to that in `pairs`.
    intercept_std, linear_std, pairs_std, label_terms_std : optional
        Standard deviations, of the shapes of the terms. Terms move together from draw
        to draw, so that the deviation of a sum does not follow from these.

    See Also
    --------
    explain : Makes it.
    ContributionDisplay : Draws one row of it.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import explain
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"] * 20, "genre": ["War", "War", "Art", "Art"] * 10}
    ... )
    >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
    >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
    >>> explained = explain(fm, films[:1])
    >>> explained.feature_names[explained.rows.indices].tolist()
    ['categories__user=ann', 'categories__genre=War']
    >>> explained.linear.round(1), explained.pairs.round(1)
    (array([ 0.5, -1. ]), array([[-0.9]]))
    """

    rows: FieldCSR
    intercept: Any
    linear: Array
    pairs: Array
    field_pairs: npt.NDArray[np.int64]
    feature_names: Array
    field_names: tuple[str, ...]
    classes: Array | None = None
    label_entries: npt.NDArray[np.int64] | None = None
    label_terms: Array | None = None
    intercept_std: float | None = None
    linear_std: Array | None = None
    pairs_std: Array | None = None
    label_terms_std: Array | None = None

    def __repr__(self) -> str:
        """Show how much there is."""
        n_rows, n_pairs = self.pairs.shape[:2]
        return (
            f"Explanation(n_rows={n_rows}, n_linear={len(self.linear)}, "
            f"n_field_pairs={n_pairs})"
        )

    def scores(self) -> Array:
        """Sum the terms of every row.

        Returns
        -------
        array of shape (n_rows,) or (n_rows, n_classes)
            ``decision_function`` of a classifier, ``predict`` of a regressor (its
            logarithm with ``loss="poisson"``), to rounding. Of a model with draws the
            mean score, see `explain`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwfm import FieldCSR, WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], fields=[0, 0, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [1.0, 3.0])
        >>> np.allclose(explain(fm, X).scores(), fm.predict(X))
        True
        """
        out: Array = self.intercept + self._by_row(self.linear) + self.pairs.sum(1)
        return out

    def by_field(self) -> Array:
        """Share the score, less the intercept, among the fields.

        A field has its linear terms and half of each pair that it is part of: its
        Shapley value, where a field that is left out is an empty bag [1]_.

        Returns
        -------
        array of shape (n_rows, n_fields) or (n_rows, n_fields, n_classes)
            The shares, in units of the score; of a model with draws their means.

        References
        ----------
        .. [1] Lundberg and Lee (2017), "A Unified Approach to Interpreting Model
           Predictions", NeurIPS.

        Examples
        --------
        >>> import numpy as np
        >>> from skwfm import FieldCSR, WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], fields=[0, 0, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [1.0, 3.0])
        >>> explained = explain(fm, X)
        >>> shares = explained.by_field()
        >>> shares.shape
        (2, 2)
        >>> bool(np.allclose(explained.intercept + shares.sum(axis=1), fm.predict(X)))
        True
        """
        n_rows, n_fields = self.rows.shape[0], len(self.field_names)
        out = np.zeros((n_rows, n_fields, *self.linear.shape[1:]))
        np.add.at(out, (self.row_of_entry, self.field_of_entry), self.linear)
        for (f, g), terms in zip(
            self.field_pairs, self.pairs.swapaxes(0, 1), strict=True
        ):
            out[:, f] += terms / 2
            out[:, g] += terms / 2
        return out

    def to_frame(self, row: int | None = None) -> pd.DataFrame:
        """Return the terms as a tidy table, which needs pandas.

        Parameters
        ----------
        row : int, optional
            Only this row of `X`; by default all.

        Returns
        -------
        DataFrame
            A line per term with the columns ``row``, ``term`` ("intercept",
            "linear" or "pair"), ``field``, ``label``, ``field_2``, ``label_2``,
            ``contribution`` and, with more than two classes, ``class``; of a model
            with draws also ``std``. Pairs are those of labels if they were asked for,
            else those of fields. Pairs of fields of which one is empty are left out.
            The contributions of a row sum to its score.

        Raises
        ------
        ValueError
            If there is no such row.
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"] * 20, "genre": (["War"] * 2 + ["Art"] * 2) * 10}
        ... )
        >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
        >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
        >>> table = explain(fm, films).to_frame(row=0).round(1)
        >>> table[["term", "field", "label", "contribution"]]
                term  field label  contribution
        0  intercept    NaN   NaN           2.5
        1     linear   user   ann           0.5
        2     linear  genre   War          -1.0
        3       pair   user   NaN          -0.9
        """
        (pandas,) = require("pandas", extra="examples")
        frame: pd.DataFrame = pandas.DataFrame(_table(self, row))
        return frame

    def only(self, row: int) -> Explanation:
        """Return the explanation of one row.

        Parameters
        ----------
        row : int
            From 0.

        Returns
        -------
        Explanation
            Of one row, which is its row 0.

        Raises
        ------
        ValueError
            If there is no such row.

        Examples
        --------
        >>> from skwfm import FieldCSR, WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], fields=[0, 0, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [1.0, 3.0])
        >>> explained = explain(fm, X)
        >>> explained.only(1)
        Explanation(n_rows=1, n_linear=2, n_field_pairs=1)
        >>> bool(explained.only(1).scores()[0] == explained.scores()[1])
        True
        """
        check_row(row, self.rows.shape[0])
        start, stop = self.rows.indptr[row : row + 2].tolist()
        entries = self.label_entries
        kept = {"linear": slice(start, stop), "pairs": slice(row, row + 1)}
        if entries is not None:
            here = (entries[:, 0] >= start) & (entries[:, 0] < stop)
            entries, kept["label_terms"] = entries[here] - start, here
        parts = {
            name: getattr(self, name)[where]
            for term, where in kept.items()
            for name in (term, f"{term}_std")
            if getattr(self, name) is not None
        }
        return replace(self, rows=self.rows[row], label_entries=entries, **parts)

    @property
    def row_of_entry(self) -> npt.NDArray[np.int64]:
        """The row of every entry of `rows`, shape (nnz,).

        Examples
        --------
        >>> from skwfm import FieldCSR, WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], fields=[0, 0, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [1.0, 3.0])
        >>> explain(fm, X).row_of_entry
        array([0, 0, 1, 1])
        """
        counts = np.diff(self.rows.indptr)
        return np.repeat(np.arange(self.rows.shape[0]), counts)

    @property
    def field_of_entry(self) -> npt.NDArray[np.int32]:
        """The field of every entry of `rows`, shape (nnz,).

        Examples
        --------
        >>> from skwfm import FieldCSR, WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> X = FieldCSR([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], fields=[0, 0, 1])
        >>> fm = WeightedFMRegressor(random_state=0).fit(X, [1.0, 3.0])
        >>> explain(fm, X).field_of_entry
        array([0, 1, 0, 1], dtype=int32)
        """
        return np.asarray(self.rows.fields, dtype=np.int32)[self.rows.indices]

    def names_of_entries(self) -> tuple[Array, Array]:
        """Return the fields and the labels of the entries of `rows`, as text.

        Returns
        -------
        fields : array of str, shape (nnz,)
            Names of the fields.
        labels : array of str, shape (nnz,)
            What the names of the columns say beside the field; "" of a field's only
            column.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwfm import WeightedFMRegressor
        >>> from skwfm.inspection import explain
        >>> films = pd.DataFrame({"user": ["ann", "bob"], "genres": [["War"], ["Art"]]})
        >>> fm = WeightedFMRegressor(random_state=0).fit(films, [1.0, 3.0])
        >>> fields, labels = explain(fm, films).names_of_entries()
        >>> fields.tolist(), labels.tolist()
        (['genres', 'user', 'genres', 'user'], ['War', 'ann', 'Art', 'bob'])
        """
        columns, entry = np.unique(self.rows.indices, return_inverse=True)
        fields = np.asarray(self.rows.fields)
        texts = labels_of(columns, self.feature_names, self.field_names, fields)
        labels = np.asarray(texts, dtype=object)
        return np.asarray(self.field_names, object)[self.field_of_entry], labels[entry]

    def _by_row(self, terms: Array) -> Array:
        """Add what belongs to the entries of each row."""
        n_entries = len(terms)
        arrays = np.ones(n_entries), np.arange(n_entries), self.rows.indptr
        sums: Array = csr_array(arrays, (self.rows.shape[0], n_entries)) @ terms
        return sums


def _table(explained: Explanation, row: int | None) -> dict[str, Any]:
    """Return the columns of `Explanation.to_frame`."""
    e = explained if row is None else explained.only(row)
    pairs = _field_pair_part(e) if e.label_terms is None else _label_pair_part(e)
    parts = [_intercept_part(e), _linear_part(e), pairs]
    out = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(out["row"], kind="stable")
    out = {key: values[order] for key, values in out.items()}
    out["row"] += 0 if row is None else row
    numbers = {key: out.pop(key) for key in ("contribution", "std") if key in out}
    if e.classes is not None:
        out = {key: np.repeat(v, len(e.classes)) for key, v in out.items()}
        out["class"] = np.tile(e.classes, len(numbers["contribution"]))
    return {**out, **{key: values.ravel() for key, values in numbers.items()}}


def _part(
    term: str, row: Array, contribution: Array, std: Array | None, **names: Any
) -> dict[str, Array]:
    """Return the columns for one kind of term; names that are not given are None."""
    n_terms = len(row)
    none = np.full(n_terms, None, dtype=object)
    return {
        "row": row,
        "term": np.full(n_terms, term, dtype=object),
        **{k: names.get(k, none) for k in ("field", "label", "field_2", "label_2")},
        "contribution": contribution,
        **({} if std is None else {"std": std}),
    }


def _intercept_part(e: Explanation) -> dict[str, Array]:
    n_rows = e.rows.shape[0]
    intercept = np.broadcast_to(e.intercept, (n_rows, *np.shape(e.intercept)))
    std = None if e.intercept_std is None else np.full(n_rows, e.intercept_std)
    return _part("intercept", np.arange(n_rows), intercept, std)


def _linear_part(e: Explanation) -> dict[str, Array]:
    fields, labels = e.names_of_entries()
    terms = e.linear, e.linear_std
    return _part("linear", e.row_of_entry, *terms, field=fields, label=labels)


def _field_pair_part(e: Explanation) -> dict[str, Array]:
    filled = np.zeros((e.rows.shape[0], len(e.field_names)), dtype=bool)
    filled[e.row_of_entry, e.field_of_entry] = True
    row, pair = np.nonzero(filled[:, e.field_pairs].all(axis=2))
    names = np.array(e.field_names, dtype=object)[e.field_pairs[pair]]
    std = None if e.pairs_std is None else e.pairs_std[row, pair]
    terms = e.pairs[row, pair], std
    return _part("pair", row, *terms, field=names[:, 0], field_2=names[:, 1])


def _label_pair_part(e: Explanation) -> dict[str, Array]:
    fields, labels = e.names_of_entries()
    assert e.label_entries is not None and e.label_terms is not None
    first, second = e.label_entries.T
    return _part(
        "pair",
        e.row_of_entry[first],
        e.label_terms,
        e.label_terms_std,
        field=fields[first],
        label=labels[first],
        field_2=fields[second],
        label_2=labels[second],
    )
