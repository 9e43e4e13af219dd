"""Tables of any container -> columns of cells, without an object per label.

A column comes out as one of three things: a list of cells; an Arrow array, from
pyarrow, polars and Arrow-backed pandas; or `Coded`, from a pandas categorical. Arrow is
used only where pyarrow is installed: without it a polars column is a list of cells.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm._validation import check_not_masked, shorten

__all__ = ["Coded", "array_values", "as_table", "plain_cells", "table_columns"]


@dataclass(frozen=True)
class Coded:
    """Cells that are dictionary encoded.

    Attributes
    ----------
    values : list
        The distinct cells, all of them in use.
    codes : array of int, shape (n_rows,)
        Row i holds ``values[codes[i]]``; negative: it is missing.
    """

    values: list[Any]
    codes: npt.NDArray[np.integer[Any]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)

    def __getitem__(self, row: int) -> Any:
        """Return the cell of a row."""
        code = self.codes[row]
        return self.values[code] if code >= 0 else None

    @classmethod
    def used(cls, values: Sequence[Any], codes: Any) -> Coded:
        """Encode with those of the values that occur."""
        counts = np.bincount(codes[codes >= 0], minlength=len(values))
        used = np.flatnonzero(counts)
        place = np.full(len(values) + 1, -1)  # code -1 finds the last
        place[used] = np.arange(len(used))
        return cls([values[i] for i in used.tolist()], place[codes])

    def cells(self) -> list[Any]:
        """Return the cell of every row."""
        values = [*self.values, None]
        return [values[code] for code in self.codes.tolist()]


@dataclass(frozen=True)
class _OneColumn:
    """A column without a name, as a table."""

    cells: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return len(self.cells), 1


def as_table(X: Any) -> Any:
    """Return raw input as a data frame or a 2-D array; 1-D input is one column.

    Raises
    ------
    TypeError
        If `X` is sparse.
    ValueError
        If `X` is a 1-D array of numbers, complex, or of more than two dimensions, or
        a text, dict or set.
    """
    if sp.issparse(X):
        raise TypeError("Sparse data was passed as X, expected a dense table of cells.")
    if nw.dependencies.is_into_dataframe(X):
        return X
    if nw.dependencies.is_into_series(X):
        series = nw.from_native(X, series_only=True)
        named = isinstance(series.name, str) and series.name
        return series.to_frame().to_native() if named else _OneColumn(_cells_of(series))
    if hasattr(X, "__array__") and not hasattr(X, "to_pylist"):
        check_not_masked(X, "X")
        return _as_matrix(np.asarray(X))
    # A dict is no table and a set has no order: both would be read as wrong rows.
    if isinstance(X, str | Mapping | Set) or not hasattr(X, "__len__"):
        value = shorten(X)
        raise ValueError(f"X={value}: expected a data frame, a 2-D array or a list.")
    if hasattr(X, "to_pylist"):
        return _OneColumn(_chunked(X))
    return _OneColumn(X if isinstance(X, list) else list(X))


def _as_matrix(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{X}\n")
    if X.ndim == 1 and X.dtype.kind in "OUST":
        return X.reshape(-1, 1)
    if X.ndim != 2:
        raise ValueError(  # the words of sklearn.utils.check_array
            f"Expected 2D array, got {X.ndim}D array instead:\narray={X}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a "
            "single feature or array.reshape(1, -1) if it contains a single sample."
        )
    return X


def table_columns(table: Any) -> list[Any]:
    """Return the cells of every column of what :func:`as_table` returned."""
    if isinstance(table, _OneColumn):
        return [table.cells]
    if isinstance(table, np.ndarray):
        return [array_values(column) for column in table.T]
    frame = nw.from_native(table, eager_only=True)
    return [_cells_of(column) for column in frame.iter_columns()]


def plain_cells(table: Any) -> list[list[Any]]:
    """Return the cells of every column as lists of Python values."""
    return [_listed(cells) for cells in table_columns(table)]


def _listed(cells: Any) -> list[Any]:
    if isinstance(cells, Coded):
        return cells.cells()
    return list(cells.to_pylist() if hasattr(cells, "to_pylist") else cells)


def array_values(array: Any) -> list[Any]:
    """Return the elements of an array as Python values (dates as they are)."""
    values = np.asarray(array)
    return list(values) if values.dtype.kind in "mM" else values.tolist()


def _cells_of(series: Any) -> Any:
    """Return the cells of a narwhals Series in the form that costs least."""
    native = series.to_native()
    if series.implementation.is_pyarrow():
        return _chunked(native)
    if series.implementation.is_polars() and not isinstance(series.dtype, nw.Object):
        return _polars_cells(series)
    if series.implementation.is_pandas():
        if hasattr(native, "cat"):
            categories = native.cat.categories.tolist()
            return Coded.used(categories, native.cat.codes.to_numpy())
        if hasattr(native.dtype, "pyarrow_dtype") or _is_arrow_text(native.dtype):
            import pyarrow as pa

            return _chunked(pa.array(native.array))
    return series.to_list()


def _is_arrow_text(dtype: Any) -> bool:
    return str(getattr(dtype, "storage", "")).startswith("pyarrow")


def _polars_cells(series: Any) -> Any:
    """Return a polars column as Arrow, or as cells without pyarrow."""
    if importlib.util.find_spec("pyarrow") is not None:
        return _chunked(series.to_arrow())
    cells = series.to_list()
    inner = getattr(series.dtype, "inner", None)
    if isinstance(inner, nw.Struct) and len(inner.fields) == 2:
        return [
            None if cell is None else [tuple((pair or {}).values()) for pair in cell]
            for cell in cells
        ]
    return cells


def _chunked(array: Any) -> Any:
    """Return an Arrow array as one of chunks."""
    import pyarrow as pa

    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
