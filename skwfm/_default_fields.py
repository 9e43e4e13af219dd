"""One transformer per kind of column, for data whose user named none.

Numbers become cubic B-splines (five knots: seven values, at most four of them not 0),
everything else labels. A missing cell is an empty bag in all of them: it has no entry.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, Literal, Self, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import SplineTransformer
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from skwfm._cells import table_columns
from skwfm._encoders import WeightedMultiLabelEncoder
from skwfm._labels import is_container, is_missing
from skwfm._validation import check_unique_names

__all__ = ["NumberSplines", "default_transformers", "needs_encoding"]

_Kind: TypeAlias = Literal["labels", "categories", "numbers", "dates"]
_ARRAY_KINDS: dict[str, _Kind] = {
    **dict.fromkeys("iuf", "numbers"),
    **dict.fromkeys("bUST", "categories"),
    **dict.fromkeys("mM", "dates"),
}
_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64)
_Transformers: TypeAlias = list[tuple[str, Any, list[Any]]]


class NumberSplines(TransformerMixin, BaseEstimator):
    """B-splines of numbers, in which a missing number has no entry.

    `sklearn.preprocessing.SplineTransformer` with sparse float32 output; NaN, which it
    refuses before scikit-learn 1.9, becomes a row of zeros. So does a column that is
    constant in `fit`.

    Parameters
    ----------
    n_knots : int, default=5
        Knots, at equal distances between the smallest and the largest number.
    degree : int, default=3
        Degree of the polynomials. A column becomes ``n_knots + degree - 1``.

    Attributes
    ----------
    splines_ : SplineTransformer
        Fitted on the numbers that are not missing.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, where `fit` got strings.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer : The same without missing numbers.

    Examples
    --------
    >>> from skwfm._default_fields import NumberSplines
    >>> splines = NumberSplines(n_knots=2, degree=1)
    >>> splines.fit_transform([[0.0], [4.0], [1.0], [float("nan")]]).toarray()
    array([[1.  , 0.  ],
           [0.  , 1.  ],
           [0.75, 0.25],
           [0.  , 0.  ]], dtype=float32)
    """

    _parameter_constraints: dict[str, Any] = {
        "n_knots": [Interval(Integral, 2, None, closed="left")],
        "degree": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(self, n_knots: int = 5, degree: int = 3) -> None:
        self.n_knots = n_knots
        self.degree = degree

    def fit(self, X: Any, y: Any = None) -> Self:
        """Place the knots.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_columns)
            Numbers, NaN where missing.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a number is infinite or a cell is not a number.
        """
        self._validate_params()
        X = self._validated(X, reset=True)
        lowest = np.fmin.reduce(X, axis=0)  # the minimum that is not NaN
        # Filling in the minimum moves no knot.
        filled = np.where(np.isnan(X), np.nan_to_num(lowest), X)
        splines = SplineTransformer(
            self.n_knots, degree=self.degree, sparse_output=True
        )
        self.splines_ = splines.fit(filled)
        return self

    def transform(self, X: Any) -> Any:
        """Evaluate the splines.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_columns)
            Numbers, NaN where missing.

        Returns
        -------
        csr_matrix of float32, shape (n_samples, n_columns * (n_knots + degree - 1))
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        missing = np.isnan(X)
        out = self.splines_.transform(np.where(missing, 0.0, X)).tocsr()
        rows = np.repeat(np.arange(len(X)), np.diff(out.indptr))
        columns = out.indices // (out.shape[1] // X.shape[1])
        out.data[missing[rows, columns]] = 0.0
        out.eliminate_zeros()
        return out.astype(np.float32)

    def _validated(self, X: Any, reset: bool) -> npt.NDArray[np.float64]:
        checks = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
        X = validate_data(self, X, reset=reset, **checks)
        return np.asarray(X)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return ``"<column>_sp_<i>"`` for every output column.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; by default those seen in `fit`.

        Returns
        -------
        array of object, shape (n_features_out,)
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.asarray(self.splines_.get_feature_names_out(names), dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Declare that NaN is welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def default_transformers(X: Any) -> _Transformers:
    """Choose a transformer for every column from its dtype, or its cells.

    Parameters
    ----------
    X : data frame or ndarray of shape (n_samples, n_columns)

    Returns
    -------
    list of (name, transformer, columns)
        ``"labels"`` for cells that are lists, sets, dicts, ``"categories"`` for text,
        categoricals and bools, ``"numbers"``; only those that have columns.

    Raises
    ------
    ValueError
        If a column holds dates.
    TypeError
        If `X` is sparse.
    """
    made = {
        "labels": WeightedMultiLabelEncoder(normalize="sqrt"),
        "categories": WeightedMultiLabelEncoder(sep=None, weight_sep=None),
        "numbers": NumberSplines(),
    }
    columns: dict[str, list[Any]] = {name: [] for name in made}
    is_frame = nw.dependencies.is_into_dataframe(X)
    for key, name, kind in _frame_kinds(X) if is_frame else _array_kinds(X):
        if kind == "dates":
            raise ValueError(
                f"Column {name!r} holds dates, for which there is no default. Turn it "
                "into numbers or text, or give every column its transformer."
            )
        columns[kind].append(key)
    return [(name, made[name], keys) for name, keys in columns.items() if keys]


def _frame_kinds(X: Any) -> Iterator[tuple[Any, object, _Kind]]:
    """Yield how every column is selected, its name and its kind."""
    frame = nw.from_native(X, eager_only=True)
    by_name = all(isinstance(name, str) for name in frame.columns)
    for position, column in enumerate(frame.iter_columns()):
        kind = _dtype_kind(column.dtype)
        if kind is None:
            kind = _cells_kind(table_columns(column.to_frame().to_native())[0])
        yield (column.name if by_name else position), column.name, kind


def _dtype_kind(dtype: Any) -> _Kind | None:
    """Return the kind of a narwhals dtype; None if only the cells can tell."""
    if dtype.is_temporal():
        return "dates"
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
    if types and all(issubclass(t, Real) and not issubclass(t, bool) for t in types):
        return "numbers"
    return "dates" if any(issubclass(t, _DATES) for t in types) else "categories"


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
