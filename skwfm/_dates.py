"""Dates -> bags of calendar labels: year, month, weekday, day of the month, hour.

A date is read as seconds of local time since 1970, ``datetime64[s]``, whatever it was
stored as; the parts follow by integer arithmetic on whole columns. Storage: the values
of every part that `fit` saw. Cost: O(rows) passes; one Python step per cell for dates
kept as Python objects.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any, Self, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from skwfm._callbacks import CallbackSupport, one_task
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR
from skwfm._frames import plain_cells
from skwfm._html import FieldsHTML
from skwfm._labels import is_container, is_missing, python_value
from skwfm._validation import (
    cell_error,
    check_not_masked,
    check_table_shape,
    parts_error,
)

__all__ = ["DateEncoder"]

_Dates: TypeAlias = npt.NDArray[np.datetime64]
_Ints: TypeAlias = npt.NDArray[np.int64]

# Matches what scikit-learn's checks look for.
_EXPECTED = (
    "a date: the argument must be a date or datetime, no string, or a number of "
    "seconds since 1970 (Unix time) in the years 1 to 9999"
)
# Unix time of the first second of the year 1 and of the year 10000.
_FIRST_SECOND, _END_SECOND = -62_135_596_800, 253_402_300_800
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _whole(dates: _Dates, unit: str) -> _Ints:
    """Return how many whole years (``"Y"``), days (``"D"``), ... since 1970."""
    return dates.astype(f"datetime64[{unit}]").astype(np.int64)


def _day(dates: _Dates) -> _Ints:
    first = dates.astype("datetime64[M]").astype("datetime64[D]")
    return _whole(dates, "D") - first.astype(np.int64) + 1


_PARTS: dict[str, Callable[[_Dates], _Ints]] = {
    "year": lambda dates: _whole(dates, "Y") + 1970,
    "month": lambda dates: _whole(dates, "M") % 12 + 1,
    "weekday": lambda dates: (_whole(dates, "D") + 3) % 7,  # 1970 began on a Thursday
    "day": _day,
    "hour": lambda dates: _whole(dates, "h") % 24,
}


class DateEncoder(FieldsHTML, CallbackSupport, TransformerMixin, BaseEstimator):
    """Encode columns of dates as bags of calendar labels, one field per column.

    A date is the bag of its year, month and weekday, each a label of weight
    ``1/sqrt(3)`` (``1/sqrt(n)`` for n parts). A missing date (NaT, None, NaN) is an
    empty bag, and labels that `fit` did not see, such as a new year, are ignored.

    Parameters
    ----------
    parts : sequence of str, default=("year", "month", "weekday")
        Which labels a date has, of ``"year"``, ``"month"``, ``"weekday"``, ``"day"``
        (of the month) and ``"hour"``.
    split_fields : bool, default=False
        Make every part a field of its own, of weight 1. Parts of one field do not act
        on each other, only on other columns.

    Attributes
    ----------
    categories_ : list of dict
        For every input column the numbers of each part that `fit` saw, sorted, as
        arrays of int64; weekdays count from Monday, 0.
    n_features_in_ : int
        Number of input columns.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, where `fit` got strings.
    fields_ : array of int32, shape (n_features_out,)
        Field of every output column.
    field_names_ : tuple of str
        Names of the input columns, ``"x0"``, ``"x1"``, ... without names; with
        `split_fields` ``"<column>_<part>"``.

    See Also
    --------
    SplineEncoder : For numbers.
    FieldTransformer : Which takes this for dates, unless told otherwise.

    Notes
    -----
    Dates may be datetime64 of NumPy, of pandas (with or without a time zone), Arrow or
    polars, Python's date and datetime, or numbers, which are taken as Unix time. Times
    with a zone are read as the local time of that zone. Text is refused: parse it, for
    example by ``pandas.to_datetime``.

    One field per date, and not one per part, is the default: no vectors are spent on
    pairs among year, month and weekday, and an FFM has one vector per label for the
    date and not three. This suits dates that matter through other columns, as the time
    of a rating does. Where the parts matter together, as the hour and the month for
    the delay of a flight, `split_fields` is better.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import DateEncoder
    >>> seen = pd.to_datetime(["2019-12-31", "2020-01-07", None])
    >>> days = pd.DataFrame({"seen": seen})
    >>> encoder = DateEncoder(parts=["year", "weekday"])
    >>> X = encoder.fit_transform(days)
    >>> encoder.get_feature_names_out().tolist()
    ['seen_year=2019', 'seen_year=2020', 'seen_weekday=Tue']
    >>> X.toarray().round(2)
    array([[0.71, 0.  , 0.71],
           [0.  , 0.71, 0.71],
           [0.  , 0.  , 0.  ]], dtype=float32)
    >>> X.fields, X.field_names
    (array([0, 0, 0], dtype=int32), ('seen',))
    """

    _parameter_constraints: dict[str, Any] = {
        "parts": [list, tuple],
        "split_fields": ["boolean"],
    }

    def __init__(
        self,
        parts: Sequence[str] = ("year", "month", "weekday"),
        *,
        split_fields: bool = False,
    ) -> None:
        self.parts = parts
        self.split_fields = split_fields

    @one_task
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which years, months, ... there are.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_columns)
            The dates. Not modified.
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a cell is not a date (the message names its column and row), or a
            parameter is not valid.
        """
        self._validate_params()
        unknown = [part for part in self.parts if part not in _PARTS]
        if unknown or not self.parts or len(set(self.parts)) < len(self.parts):
            raise ValueError(parts_error(self.parts, list(_PARTS)))
        self.categories_ = [
            {
                part: np.unique(_PARTS[part](dates[~np.isnat(dates)]))
                for part in self.parts
            }
            for dates in self._dates(X, reset=True)
        ]
        self._record_fields()
        return self

    def transform(self, X: Any) -> FieldCSR:
        """Encode dates.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_columns)
            The dates. Not modified.

        Returns
        -------
        FieldCSR of float32, shape (n_samples, n_features_out)
            With sorted indices and no stored zeros.

        Raises
        ------
        TypeError, ValueError
            If a cell is not a date, or the columns are not those of `fit`.
        """
        check_is_fitted(self)
        blocks = [
            _one_hot(_PARTS[part](dates), known, ~np.isnat(dates))
            for dates, categories in zip(
                self._dates(X, reset=False), self.categories_, strict=True
            )
            for part, known in categories.items()
        ]
        out = sp.hstack(blocks, format="csr")
        if not self.split_fields:
            out.data *= np.float32(len(self.parts) ** -0.5)
        return FieldCSR(out, fields=FieldMap(self.fields_, self.field_names_))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return ``"<column>_<part>=<label>"`` for every output column.

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
            f"{column}_{part}={_WEEKDAYS[value] if part == 'weekday' else value}"
            for column, categories in zip(columns, self.categories_, strict=True)
            for part, known in categories.items()
            for value in known.tolist()
        ]
        return np.array(names, dtype=object)

    def _record_fields(self) -> None:
        """Set `fields_` and `field_names_`."""
        columns = _check_feature_names_in(self)
        sizes = [len(known) for part in self.categories_ for known in part.values()]
        if self.split_fields:
            names = [f"{column}_{part}" for column in columns for part in self.parts]
        else:
            names = list(map(str, columns))
        ids = np.arange(len(sizes), dtype=np.int32)
        if not self.split_fields:
            ids //= np.int32(len(self.parts))
        self.fields_ = np.repeat(ids, sizes)
        self.field_names_ = tuple(names)

    def _dates(self, X: Any, reset: bool) -> list[_Dates]:
        """Check X and return its columns as local time."""
        check_not_masked(X, "X")
        if nw.dependencies.is_into_dataframe(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset:
                check_table_shape(tuple(X.shape), 1, type(self).__name__)
        else:
            X = validate_data(
                self,
                X,
                reset=reset,
                dtype=None if hasattr(X, "__array__") else object,
                ensure_all_finite=False,
                ensure_min_samples=int(reset),
            )
        names = _check_feature_names_in(self)
        columns = zip(names, _columns(X), strict=True)
        return [_local_seconds(column, str(name)) for name, column in columns]

    def __sklearn_tags__(self) -> Any:
        """Declare what the cells may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _columns(X: Any) -> Iterator[Any]:
    """Yield the columns of a table as arrays, or lists where they are objects."""
    if isinstance(X, np.ndarray):
        yield from X.T
        return
    for column in nw.from_native(X, eager_only=True).iter_columns():
        if isinstance(column.dtype, nw.Date | nw.Datetime):
            yield _typed_seconds(column)
        else:
            yield plain_cells(column.to_frame().to_native())[0]


def _typed_seconds(column: Any) -> _Dates:
    """Read a narwhals Series of dates as datetime64[s].

    Through numbers: to_numpy of dates fails in polars 1.0 beside NumPy 2.
    """
    if getattr(column.dtype, "time_zone", None):
        column = column.dt.replace_time_zone(None)
    values = column.dt.timestamp("ms").cast(nw.Float64).to_numpy()
    seconds = np.floor(np.asarray(values, dtype=np.float64) / 1000)
    return _from_numbers(seconds)


def _from_numbers(seconds: npt.NDArray[np.float64]) -> _Dates:
    """Return whole seconds since 1970 as dates; NaN is NaT."""
    missing = np.isnan(seconds)
    out = np.where(missing, 0, seconds).astype(np.int64).astype("datetime64[s]")
    out[missing] = np.datetime64("NaT")
    return out


def _local_seconds(column: Any, name: str) -> _Dates:
    """Read one column as datetime64[s], NaT where missing."""
    kind = column.dtype.kind if isinstance(column, np.ndarray) else "O"
    if kind == "M":
        return np.asarray(column, dtype="datetime64[s]")
    if kind in "iuf":
        return _unix_seconds(np.floor(column.astype(np.float64)), name)
    cells = column.tolist() if isinstance(column, np.ndarray) else column
    return _object_seconds(cells, name)


def _unix_seconds(seconds: npt.NDArray[np.float64], name: str) -> _Dates:
    """Read a column of whole numbers, NaN where missing."""
    missing = np.isnan(seconds)
    good = missing | ((seconds >= _FIRST_SECOND) & (seconds < _END_SECOND))
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(cell_error(name, row, float(seconds[row]), _EXPECTED))
    return _from_numbers(seconds)


def _object_seconds(cells: Sequence[Any], name: str) -> _Dates:
    """Read a column of Python objects: all dates, or all numbers."""
    out = np.full(len(cells), "NaT", dtype="datetime64[s]")
    read: Callable[[Any], Any] | None = None
    for row, cell in enumerate(cells):
        if not is_container(type(cell)) and is_missing(cell):
            continue
        read = read or (_unix_second if _is_number(cell) else _second)
        seconds = read(cell)
        if seconds is None:
            error = ValueError if _is_number(cell) else TypeError
            raise error(cell_error(name, row, cell, _EXPECTED))
        out[row] = seconds
    return out


def _is_number(cell: Any) -> bool:
    is_number = isinstance(cell, Real | decimal.Decimal)
    return is_number and not isinstance(cell, bool | np.bool_)


def _unix_second(cell: Any) -> Any:
    """Return a number as datetime64[s], None if it is none or far away."""
    cell = python_value(cell)  # float16 cannot be compared with the bounds
    if not _is_number(cell) or not _FIRST_SECOND <= cell < _END_SECOND:
        return None
    return np.datetime64(math.floor(cell), "s")


def _second(cell: Any) -> Any:
    """Return a date as datetime64[s], None if it is none."""
    if isinstance(cell, np.datetime64):
        return cell.astype("datetime64[s]")
    if isinstance(cell, datetime.datetime):
        return np.datetime64(cell.replace(tzinfo=None), "s")
    return np.datetime64(cell, "s") if isinstance(cell, datetime.date) else None


def _one_hot(values: _Ints, known: _Ints, present: npt.NDArray[np.bool_]) -> Any:
    """Return a 1 per row at the place of its value, nothing where it is not known."""
    at = np.searchsorted(known, values)
    at[at == len(known)] = 0
    hit = present & (known[at] == values) if len(known) else np.zeros_like(present)
    indptr = np.concatenate([[0], np.cumsum(hit)])
    ones = np.ones(int(indptr[-1]), dtype=np.float32)
    return sp.csr_matrix((ones, at[hit], indptr), shape=(len(values), len(known)))
