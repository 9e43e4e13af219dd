"""Which column belongs to which field, and a CSR matrix that remembers it.

A *field map* gives every column j of a matrix a field f(j); the values of row i in the
columns of field f are the *bag* (i, f), whose sum is ``S_f = sum_j w_ij v_j`` over the
j with f(j) = f.

Storage: one int32 id per column and one name per field, kept beside the three CSR
arrays. Cost: nothing per stored value; row slices share the map, column selections
copy the ids of the columns they keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skwfm import _validation as val
from skwfm._field_map import FieldMap, IntArray
from skwfm._matrix_validation import check_format, checked_matrix
from skwfm._size_validation import check_n_columns

__all__ = ["FieldCSR", "FieldMap", "FieldMapWarning", "hstack", "resolve_fields"]


class FieldMapWarning(UserWarning):
    """A sparse matrix without field map was taken with every column its own field.

    See Also
    --------
    FieldCSR : A sparse matrix with a field map.
    hstack : Keeps the map, where ``scipy.sparse.hstack`` does not.

    Examples
    --------
    Make it an error, so that a map that was lost is noticed:

    >>> import warnings
    >>> from scipy.sparse import csr_matrix
    >>> from skwfm import FieldMapWarning, to_padded
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", FieldMapWarning)
    ...     arrays = to_padded(csr_matrix([[1.0, 2.0]]))
    Traceback (most recent call last):
    ...
    skwfm._fields.FieldMapWarning: fields='auto', but X is a plain sparse matrix ...
    """


class FieldCSR(sp.csr_matrix):
    """CSR matrix that remembers which field each column belongs to.

    The map follows row slices, column selections, ``copy``, ``astype``, pickling and
    what scikit-learn's validation and splitting do. It becomes None, never wrong,
    where columns change their meaning (``X @ A``), and is lost by ``X.T`` and by
    ``scipy.sparse.hstack`` and ``vstack``: use :func:`hstack`.

    Parameters
    ----------
    arg1 : array-like, sparse matrix or tuple
        What ``scipy.sparse.csr_matrix`` takes. Another FieldCSR hands on its map.
    shape : tuple of int, optional
        Number of rows and columns.
    dtype : dtype, optional
        Type of the stored values.
    copy : bool, default=False
        Copy the arrays of `arg1`.
    fields : FieldMap or array-like of int, optional
        One field id per column, or one size per field.
    field_names : sequence of str, optional
        One name per field, by default ``"field0"``, ``"field1"``, ...

    Attributes
    ----------
    fields : array of int32, shape (n_columns,), or None
        Field id of each column, read-only.
    field_names : tuple of str, or None
        One name per field.
    field_map : FieldMap or None
        Both together.

    Raises
    ------
    ValueError
        If `fields` or `field_names` do not fit the columns.

    See Also
    --------
    hstack : Put blocks of columns side by side.

    Examples
    --------
    >>> from skwfm import FieldCSR
    >>> X = FieldCSR([[1, 0, 2], [0, 3, 4]], fields=[1, 2], field_names=["a", "b"])
    >>> X.fields
    array([0, 1, 1], dtype=int32)
    >>> X[:1, 1:].fields, X.field_names
    (array([1, 1], dtype=int32), ('a', 'b'))
    >>> (X @ X.T).fields is None
    True
    """

    # A class attribute, so that objects scipy makes without __init__ have no map.
    _field_map: FieldMap | None = None

    def __init__(
        self,
        arg1: Any,
        shape: tuple[int, int] | None = None,
        dtype: npt.DTypeLike | None = None,
        copy: bool = False,
        *,
        fields: FieldMap | npt.ArrayLike | None = None,
        field_names: Sequence[str] | None = None,
    ) -> None:
        if getattr(arg1, "format", "csr") != "csr":  # which scipy will convert
            check_format(arg1)
        super().__init__(arg1, shape=shape, dtype=dtype, copy=copy)
        if fields is None and isinstance(arg1, FieldCSR):
            fields = arg1.field_map
        if fields is not None:
            n_columns = int(self.shape[1])
            self._field_map = FieldMap.from_fields(fields, n_columns, field_names)
        elif field_names is not None:
            raise ValueError(f"field_names={val.shorten(field_names)} without fields.")

    @property
    def field_map(self) -> FieldMap | None:
        """The field of every column, or None where it is not known.

        Examples
        --------
        >>> from skwfm import FieldCSR
        >>> X = FieldCSR([[1, 0, 2], [0, 3, 4]], fields=[1, 2])
        >>> X.field_map
        FieldMap(n_columns=3, names=('field0', 'field1'))
        >>> (X @ X.T).field_map is None
        True
        """
        field_map = self._field_map
        # resize() changes the number of columns in place.
        if field_map is None or field_map.n_columns != self.shape[1]:
            return None
        return field_map

    @property
    def fields(self) -> IntArray | None:
        """Field id of each column (read-only), or None.

        Examples
        --------
        >>> from skwfm import FieldCSR
        >>> FieldCSR([[1, 0, 2], [0, 3, 4]], fields=[1, 2]).fields
        array([0, 1, 1], dtype=int32)
        """
        return None if self.field_map is None else self.field_map.ids

    @property
    def field_names(self) -> tuple[str, ...] | None:
        """Name of each field, or None.

        Examples
        --------
        >>> from skwfm import FieldCSR
        >>> X = FieldCSR([[1, 0, 2]], fields=[1, 2], field_names=["year", "genre"])
        >>> X.field_names
        ('year', 'genre')
        """
        return None if self.field_map is None else self.field_map.names

    def _with_data(self, data: Any, copy: bool = True) -> Any:
        """Give the result of copy, astype and scalar arithmetic the same map."""
        out = super()._with_data(data, copy=copy)  # type: ignore[misc]
        out._field_map = self.field_map
        return out

    def __getitem__(self, key: Any) -> Any:
        """Index as scipy does; a block of rows and columns keeps its map."""
        rows, columns = _rows_and_columns(key)
        if _takes_strides(columns) and _is_list(rows):
            # Here scipy takes single points, and reads behind the shorter index.
            return self[rows][:, columns]
        out = super().__getitem__(key)
        if isinstance(out, FieldCSR):
            out._field_map = _map_of_selection(self.field_map, rows, columns)
        return out

    def __repr__(self) -> str:
        """Add the fields to what scipy shows."""
        known = self.field_map
        text = "unknown fields" if known is None else f"fields {known.names}"
        return f"{super().__repr__()[:-1]} and {val.shorten_text(text)}>"

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rows."""
        return (self[row] for row in range(self.shape[0]))

    def getrow(self, i: Any) -> Any:
        """Return row `i` with the map.

        Parameters
        ----------
        i : int
            Number of the row; negative ones count from the end.

        Returns
        -------
        FieldCSR of shape (1, n_columns)
            The row.

        Raises
        ------
        IndexError
            If there is no such row.

        Examples
        --------
        >>> from skwfm import FieldCSR
        >>> row = FieldCSR([[1, 0, 2], [0, 3, 4]], fields=[1, 2]).getrow(1)
        >>> row.toarray(), row.fields
        (array([[0, 3, 4]]), array([0, 1, 1], dtype=int32))
        """
        return self[i]

    def getcol(self, j: Any) -> Any:
        """Return column `j` with the map.

        Parameters
        ----------
        j : int
            Number of the column; negative ones count from the end.

        Returns
        -------
        FieldCSR of shape (n_rows, 1)
            The column.

        Raises
        ------
        IndexError
            If there is no such column.

        Examples
        --------
        >>> from skwfm import FieldCSR
        >>> X = FieldCSR([[1, 0], [0, 3]], fields=[0, 1], field_names=["a", "b"])
        >>> column = X.getcol(1)
        >>> column.toarray().ravel(), column.fields, column.field_names
        (array([0, 3]), array([1], dtype=int32), ('a', 'b'))
        """
        return self[:, j]


def _map_of_selection(
    field_map: FieldMap | None, rows: Any, columns: Any
) -> FieldMap | None:
    """Return the map of a selection, None unless it is a block of rows and columns."""
    if field_map is None or not _is_outer(rows, columns):
        return None
    if isinstance(columns, slice):
        return field_map if columns == slice(None) else field_map.take(columns)
    return field_map.take(np.atleast_1d(columns).ravel())


def _rows_and_columns(key: Any) -> tuple[Any, Any]:
    """Split an index in two; what is not given, or Ellipsis, stands for all."""
    parts = key if isinstance(key, tuple) else (key,)
    dots = (i for i, part in enumerate(parts) if part is Ellipsis)
    at = next(dots, len(parts))
    given = len(parts) - (at < len(parts))
    both = (*parts[:at], *[slice(None)] * (2 - given), *parts[at + 1 :])
    return both if len(both) == 2 else (None, None)


def _is_list(index: Any) -> bool:
    """Tell an array of one dimension, or what is one."""
    return not isinstance(index, slice) and _n_axes(index) == 1


def _takes_strides(index: Any) -> bool:
    """Tell a slice that leaves some out, or goes backwards."""
    return isinstance(index, slice) and index.step not in (None, 1)


def _n_axes(index: Any) -> int:
    """Return the number of dimensions of an index: 0 for a number, 1 for a slice."""
    if index is None:
        return -1
    if isinstance(index, slice):
        return 1
    return index.ndim if sp.issparse(index) else np.ndim(index)  # type: ignore[attr-defined]


def _is_outer(rows: Any, columns: Any) -> bool:
    """Tell a block of rows and columns from a selection of single points."""
    n_rows_axes, n_column_axes = _n_axes(rows), _n_axes(columns)
    if isinstance(columns, slice) or n_column_axes == 0:
        return n_rows_axes in (0, 1)
    if isinstance(rows, slice) or n_rows_axes == 0:
        return n_column_axes == 1
    # np.ix_: a column of rows against a row of columns.
    return n_rows_axes == 2 and np.shape(rows)[1] == 1 and _is_row(columns)


def _is_row(columns: Any) -> bool:
    return _n_axes(columns) == 1 or np.shape(columns)[0] == 1


def hstack(
    blocks: Sequence[Any], *, field_names: Sequence[str] | None = None
) -> FieldCSR:
    """Put blocks of columns side by side and keep the fields apart.

    A FieldCSR keeps its fields (their ids shifted behind those of the blocks before
    it); any other sparse or dense 2-D block becomes one field.

    Parameters
    ----------
    blocks : sequence of FieldCSR, sparse matrix or array-like of shape (n_rows, ?)
        None of them is modified, nor does the result share their memory.
    field_names : sequence of str, optional
        Names of all fields of the result. By default the names of the FieldCSR blocks
        and ``"field<i>"`` for the others; a name that occurs twice gets a number.

    Returns
    -------
    FieldCSR of shape (n_rows, sum of columns)
        Of float32 when all blocks are float32.

    Raises
    ------
    ValueError
        If there is no block, a block is not 2-D or holds no numbers, the numbers of
        rows differ, or `field_names` are not one different name per field.

    See Also
    --------
    scipy.sparse.hstack : The same without fields.

    Examples
    --------
    >>> from skwfm import FieldCSR, hstack
    >>> genres = FieldCSR([[1, 0], [1, 2]], fields=[2], field_names=["genre"])
    >>> X = hstack([genres, [[7.0], [8.0]]])
    >>> X.fields, X.field_names
    (array([0, 0, 1], dtype=int32), ('genre', 'field1'))
    """
    matrices = [_as_csr(position, block) for position, block in enumerate(blocks)]
    if not matrices:
        raise ValueError("blocks is empty, expected at least one block of columns.")
    for position, matrix in enumerate(matrices):
        if matrix.shape[0] != matrices[0].shape[0]:
            n_rows, expected = matrix.shape[0], matrices[0].shape[0]
            raise ValueError(val.hstack_rows_error(position, n_rows, expected))
    check_n_columns(sum(matrix.shape[1] for matrix in matrices), "The result")
    ids, names = _joined_fields(blocks, matrices)
    field_map = FieldMap(ids.astype(np.int32), _unique(names))
    out = sp.hstack(matrices, format="csr")
    return FieldCSR(out, fields=field_map, field_names=field_names)


def _as_csr(position: int, block: Any) -> Any:
    """Return a block as plain csr_matrix; it may share the block's memory."""
    return sp.csr_matrix(checked_matrix(block, f"blocks[{position}]"))


def _joined_fields(
    blocks: Sequence[Any], matrices: Sequence[Any]
) -> tuple[npt.NDArray[np.int64], list[str]]:
    ids: list[npt.NDArray[np.int64]] = []
    names: list[str] = []
    for block, matrix in zip(blocks, matrices, strict=True):
        known = block.field_map if isinstance(block, FieldCSR) else None
        own = np.zeros(matrix.shape[1], dtype=np.int64) if known is None else known.ids
        ids.append(own.astype(np.int64) + len(names))
        names.extend((f"field{len(names)}",) if known is None else known.names)
    return np.concatenate(ids), names


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Give repeated names a number, avoiding names already there."""
    taken = set(names)
    seen: set[str] = set()
    out: list[str] = []
    for name in names:
        if name in seen:
            number = 2
            while f"{name}_{number}" in taken:
                number += 1
            name = f"{name}_{number}"
            taken.add(name)
        seen.add(name)
        out.append(name)
    return tuple(out)


def resolve_fields(
    X: Any,
    fields: Literal["auto"] | FieldMap | npt.ArrayLike,
    *,
    interactions: Literal["fm", "ffm"],
) -> FieldMap:
    """Find the field map of a matrix, without ever guessing quietly.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_columns)
        Only its type and number of columns are looked at.
    fields : "auto", FieldMap or array-like of int
        Ids per column or sizes per field always win. ``"auto"`` takes the map of a
        FieldCSR, and every column of a dense array as a field.
    interactions : {"fm", "ffm"}
        What ``"auto"`` does with a sparse matrix that has no map: ``"fm"`` warns and
        takes every column as a field, ``"ffm"`` raises.

    Returns
    -------
    FieldMap

    Raises
    ------
    ValueError
        If `fields` does not fit the columns, or nothing says what the fields are.

    Warns
    -----
    FieldMapWarning
        If every column of a plain sparse matrix is taken as a field.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._fields import resolve_fields
    >>> resolve_fields(np.ones((2, 3)), "auto", interactions="ffm").ids
    array([0, 1, 2], dtype=int32)
    """
    n_columns = int(X.shape[1])
    if isinstance(fields, str):
        if fields != "auto":
            raise ValueError(val.fields_error(fields, n_columns, "is not understood"))
        return _auto_fields(X, n_columns, interactions)
    return FieldMap.from_fields(fields, n_columns)


def _auto_fields(X: Any, n_columns: int, interactions: str) -> FieldMap:
    if isinstance(X, FieldCSR) and X.field_map is not None:
        return X.field_map
    if sp.issparse(X):
        message = val.plain_sparse_message(n_columns, interactions)
        if interactions == "ffm":
            raise ValueError(message)
        val.warn_user(message, FieldMapWarning)
    return FieldMap.each_column(n_columns)
