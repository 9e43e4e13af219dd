"""Numbers -> bags of basis functions: B-splines, of which bins are the degree 0.

A number x becomes the bag of labels j = 0, 1, ... with the weights ``B_j(x)``, the
B-splines of one degree on the knots of its column. At most ``degree + 1`` of them are
not 0, and they sum to 1: degree 0 is one bin per number, degree 1 shares it between
the two nearest knots (soft bins), degree 3 is smooth twice over. An FM over such a
field has a vector ``S_f(x) = sum_j B_j(x) v_j``, a smooth curve in x, where a raw
number has the straight line ``x v``.

Numbers outside the outer knots count as the nearest of these. Storage: the knots. Cost:
scikit-learn's design matrix, ``degree + 1`` entries per number.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import SplineTransformer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from skwfm._callbacks import CallbackSupport, one_task
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._html import FieldsHTML
from skwfm._labels import is_missing_type
from skwfm._validation import cell_error, check_not_masked, not_numbers_error

__all__ = ["SplineEncoder"]

_Floats: TypeAlias = npt.NDArray[np.float64]

_NUMBER = "a number, or NaN where it is missing"
_FINITE = "a finite number, or NaN where it is missing"
_NEXT_TO_NOTHING = 2.0**-500


class SplineEncoder(FieldsHTML, CallbackSupport, TransformerMixin, BaseEstimator):
    """Encode columns of numbers as weighted basis functions, one field per column.

    Every number is a bag: the B-splines of its column are the labels, their values at
    the number are the weights. These are not negative, sum to 1, and at most
    ``degree + 1`` of them are not 0. A missing number (NaN, None) is an empty bag.

    Parameters
    ----------
    n_knots : int, default=8
        Knots per column, the smallest and the largest number of `fit` included. A
        column becomes ``n_knots + degree - 1`` columns.
    degree : int, default=1
        Degree of the polynomials between the knots: 0 gives bins, 1 soft bins (a
        number is shared between the two nearest knots), 3 smooth curves, which need
        some more knots.
    knots : {"quantile", "uniform"}, default="quantile"
        Where the knots are:

        - ``"quantile"``: with as many numbers of `fit` between any two, which suits
          prices and counts. Equal quantiles, as of a column with many zeros, are one
          knot. A column of at most `n_knots` different numbers has them as its knots:
          at degree 1 each is a label of its own. At degree 0, where a bin lies between
          two knots, fewer than `n_knots` different numbers have a bin each.
        - ``"uniform"``: at equal distances.

    Attributes
    ----------
    knots_ : list of array of shape (<= n_knots,)
        Increasing knots of every column; one knot if it is constant in `fit`, which
        is then the label of every number; none if it has no number.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, where `fit` got strings.
    fields_ : array of int32, shape (n_features_out,)
        Input column of every output column.
    field_names_ : tuple of str, length n_features_in_
        Names of the input columns, ``"x0"``, ``"x1"``, ... without names.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer : The same functions, without fields.
    sklearn.preprocessing.KBinsDiscretizer : Bins only.
    DateEncoder : For dates.
    FieldTransformer : Which takes this for numbers, unless told otherwise.

    Notes
    -----
    Numbers outside the outer knots are encoded as the outer knot (constant
    extrapolation). Basis functions for numbers in factorization machines: Shtoff,
    Abboud, Stram and Somekh, arXiv:2305.14528.

    Examples
    --------
    >>> from skwfm import SplineEncoder
    >>> encoder = SplineEncoder(n_knots=3, degree=1, knots="uniform")
    >>> X = encoder.fit_transform([[0.0], [4.0], [1.0], [float("nan")], [9.0]])
    >>> encoder.knots_
    [array([0. , 4.5, 9. ])]
    >>> X.toarray().round(2)
    array([[1.  , 0.  , 0.  ],
           [0.11, 0.89, 0.  ],
           [0.78, 0.22, 0.  ],
           [0.  , 0.  , 0.  ],
           [0.  , 0.  , 1.  ]], dtype=float32)
    >>> X.fields, X.field_names
    (array([0, 0, 0], dtype=int32), ('x0',))
    """

    _parameter_constraints: dict[str, Any] = {
        "n_knots": [Interval(Integral, 2, None, closed="left")],
        "degree": [Interval(Integral, 0, None, closed="left")],
        "knots": [StrOptions({"quantile", "uniform"})],
    }

    def __init__(
        self,
        n_knots: int = 8,
        degree: int = 1,
        *,
        knots: Literal["quantile", "uniform"] = "quantile",
    ) -> None:
        self.n_knots = n_knots
        self.degree = degree
        self.knots = knots

    @one_task
    def fit(self, X: Any, y: Any = None) -> Self:
        """Place the knots.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_columns)
            Numbers, NaN where missing. Not modified.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a cell is infinite or not a number; the message names column and row.
        """
        self._validate_params()
        X = self._validated(X, reset=True)
        self._bases = [
            _Basis.of(column, self.n_knots, self.degree, self.knots) for column in X.T
        ]
        self.knots_ = [basis.knots for basis in self._bases]
        self.field_names_ = tuple(map(str, _check_feature_names_in(self)))
        sizes = [basis.n_columns for basis in self._bases]
        self.fields_ = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        return self

    def transform(self, X: Any) -> FieldCSR:
        """Evaluate the basis functions.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_columns)
            Numbers, NaN where missing. Not modified.

        Returns
        -------
        FieldCSR of float32, shape (n_samples, n_features_out)
            With sorted indices and no stored zeros.

        Raises
        ------
        TypeError, ValueError
            If a cell is infinite or not a number, or the columns are not those of
            `fit`.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        blocks = [
            basis.encode(column) for basis, column in zip(self._bases, X.T, strict=True)
        ]
        out = sp.hstack(blocks, format="csr")
        return FieldCSR(out, fields=FieldMap(self.fields_, self.field_names_))

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
        columns = _check_feature_names_in(self, input_features)
        names = [
            f"{column}_sp_{i}"
            for column, basis in zip(columns, self._bases, strict=True)
            for i in range(basis.n_columns)
        ]
        return np.array(names, dtype=object)

    def _validated(self, X: Any, reset: bool) -> _Floats:
        """Check X and return its numbers, NaN where missing."""
        _check_no_dates(X)
        check_not_masked(X, "X")
        try:
            values = validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite=False,
                ensure_min_samples=int(reset),
            )
        except (TypeError, ValueError, OverflowError) as error:
            values = _numbers_of_cells(X, error)  # raises, unless pd.NA is to blame
            validate_data(self, X, reset=reset, skip_check_array=True)
        infinite = np.isinf(values)
        if infinite.any():
            row, at = np.argwhere(infinite)[0].tolist()
            name = str(_check_feature_names_in(self)[at])
            raise ValueError(cell_error(name, row, float(values[row, at]), _FINITE))
        return np.asarray(values)

    def __getstate__(self) -> Any:
        """Keep only the degrees of the functions: skops asks to trust their parts."""
        state = super().__getstate__()
        if "_bases" in state:
            degrees = [basis.degree for basis in state["_bases"]]
            state = {**state, "_bases": degrees}
        return state

    def __setstate__(self, state: Any) -> None:
        """Make the functions again, unless an older version wrote them."""
        super().__setstate__(state)
        if "_bases" in state:
            self._bases = [
                part if isinstance(part, _Basis) else _Basis.on(knots, part)
                for knots, part in zip(self.knots_, state["_bases"], strict=True)
            ]

    def __sklearn_tags__(self) -> Any:
        """Declare that NaN is welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class _Basis(NamedTuple):
    """The basis functions of one column, which follow from its knots."""

    knots: _Floats
    exponent: int
    """Numbers are divided by this power of 2, which puts them into [-1, 1]."""
    splines: SplineTransformer | None
    """None: fewer than two knots."""

    @classmethod
    def of(cls, column: _Floats, n_knots: int, degree: int, kind: str) -> Self:
        """Place the knots of a column; NaN is missing."""
        present = column[~np.isnan(column)]
        exponent = _exponent(present)
        knots = _place(_scaled(present, exponent), n_knots, degree, kind)
        return cls.on(np.ldexp(knots, exponent), degree)

    @classmethod
    def on(cls, knots: _Floats, degree: int) -> Self:
        """Build the functions on knots, of which equal ones are one."""
        exponent, splines = _exponent(knots), None
        scaled = np.unique(_scaled(knots, exponent))
        if len(scaled) > 1:
            splines = SplineTransformer(
                degree=degree, knots=scaled[:, None], sparse_output=True
            ).fit(scaled[:, None])
            # A global set_config must not ask this one for a data frame.
            splines.set_output(transform="default")
        return cls(np.ldexp(scaled, exponent), exponent, splines)

    @property
    def degree(self) -> int:
        """Degree of the functions, 0 where there are none."""
        return 0 if self.splines is None else int(self.splines.degree)

    @property
    def n_columns(self) -> int:
        """How many basis functions there are."""
        if self.splines is None:
            return len(self.knots)
        return int(self.splines.n_features_out_)

    def encode(self, column: _Floats) -> Any:
        """Return the weights of every row, none where the number is missing."""
        shape = len(column), self.n_columns
        if not len(self.knots) or not len(column):
            return sp.csr_matrix(np.empty(shape, dtype=np.float32))
        present = ~np.isnan(column)
        if self.splines is None:
            return sp.csr_matrix(present[:, None].astype(np.float32))
        # Clipping is constant extrapolation; the rows of NaN are emptied below.
        inside = np.clip(column, self.knots[0], self.knots[-1])
        inside = np.where(present, inside, self.knots[0])
        scaled = _scaled(inside, self.exponent)
        out = sp.csr_matrix(self.splines.transform(scaled[:, None]))
        weights = out.data * np.repeat(present, np.diff(out.indptr))
        out = sp.csr_matrix(
            (weights.astype(np.float32), out.indices, out.indptr), shape=shape
        )
        out.eliminate_zeros()
        return out


def _exponent(numbers: _Floats) -> int:
    """Return the power of 2 above all numbers."""
    return int(np.frexp(np.abs(numbers).max(initial=0.0))[1])


def _scaled(numbers: _Floats, exponent: int) -> _Floats:
    """Divide by a power of 2; what is next to nothing beside the largest is 0.

    Two different results then differ by so much that dividing by it cannot overflow.
    """
    scaled: _Floats = np.ldexp(numbers, -exponent)
    return np.where(np.abs(scaled) < _NEXT_TO_NOTHING, 0.0, scaled)


def _place(numbers: _Floats, n_knots: int, degree: int, kind: str) -> _Floats:
    """Return at most `n_knots` knots in order; none for no number."""
    different = np.unique(numbers)
    if kind == "quantile":
        if degree == 0 and 1 < len(different) < n_knots:  # a bin around each
            between = different[:-1] + np.diff(different) / 2
            return np.concatenate([different[:1], between, different[-1:]])
        if len(different) <= n_knots:
            return different
        return np.asarray(np.quantile(numbers, np.linspace(0, 1, n_knots)))
    if not len(different):
        return different
    return np.linspace(different[0], different[-1], n_knots)


def _check_no_dates(X: Any) -> None:
    """Raise for dates and durations, which NumPy would turn into large numbers."""
    if nw.dependencies.is_into_dataframe(X):
        for name, dtype in nw.from_native(X, eager_only=True).schema.items():
            if dtype.is_temporal():
                raise TypeError(not_numbers_error(name))
    elif getattr(getattr(X, "dtype", None), "kind", "f") in "mM":
        raise TypeError(not_numbers_error("x0"))


def _numbers_of_cells(X: Any, error: Exception) -> _Floats:
    """Read cell by cell what scikit-learn refused; name the cell to blame."""
    cells = np.asarray(X, dtype=object)
    is_complex = getattr(getattr(X, "dtype", None), "kind", "O") == "c"
    if cells.ndim != 2 or is_complex or not cells.size:  # no cell is to blame
        raise error
    names: Any = [f"x{i}" for i in range(cells.shape[1])]
    if nw.dependencies.is_into_dataframe(X):
        names = nw.from_native(X, eager_only=True).columns
    out = np.empty(cells.shape)
    for (row, at), cell in np.ndenumerate(cells):
        try:
            out[row, at] = np.nan if is_missing_type(type(cell)) else float(cell)
        except (TypeError, ValueError, OverflowError) as reason:
            kind = TypeError if isinstance(reason, TypeError) else ValueError
            expected = f"{_NUMBER} ({reason})"
            raise kind(cell_error(names[at], row, cell, expected)) from error
    return out
