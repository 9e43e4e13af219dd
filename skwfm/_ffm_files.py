"""libFFM files and field matrices: ``label field:feature:value ...`` a line.

A file names a field with every entry, a matrix has a field per column. Hence a column
is either a pair of field and feature, or a feature that must keep to one field; and
`FFMColumns` remembers which, so that other files get the same columns.

Reading is one pass in blocks of lines. Storage: the matrix, an eighth more while it
grows, and some 20 bytes a column; `iter_ffm_file` holds a chunk of rows instead of the
matrix. Cost: see `skwfm._kernels.ffm_text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from skwfm import _file_validation as val
from skwfm import _text_files
from skwfm._field_map import FieldMap
from skwfm._fields import FieldCSR, resolve_fields
from skwfm._kernels import ffm_text
from skwfm._matrix_validation import check_csr, check_format
from skwfm._validation import shorten

__all__ = [
    "FFMColumns",
    "dump_ffm_file",
    "iter_ffm_file",
    "load_ffm_file",
    "scan_ffm_file",
]

# Ids and columns are int32.
_N_IDS = 2**31
_N_COLUMNS = 2**31 - 1
# Columns sorted at a time.
_STEP = 2**20

Unknown = Literal["ignore", "error"]


@dataclass(frozen=True, eq=False, repr=False)
class FFMColumns:
    """What the columns of a matrix are called in libFFM files.

    Parameters
    ----------
    fields : array-like of int, shape (n_columns,)
        Field id of each column. Without `features`, -1 stands for a feature that does
        not occur; the field map then gives its column, which stays empty, the field
        of the column before.
    features : array-like of int, shape (n_columns,), optional
        Feature id of each column. By default column j is feature j.
    field_ids : array-like of int, shape (n_fields,), optional
        The ids of all fields, ascending. By default those in `fields`.

    Attributes
    ----------
    fields, field_ids : array of int32
        As given, read-only.
    features : array of int32, or None
        As given, read-only.
    field_map : FieldMap
        Fields numbered in the order of `field_ids`, and named by them.
    n_columns : int
        Number of columns.

    Raises
    ------
    ValueError
        If an id is no whole number, negative or above 2147483647, two columns have the
        same ids, or the lengths differ.

    See Also
    --------
    load_ffm_file : Read a file into memory.
    scan_ffm_file : Find the columns of files.

    Examples
    --------
    >>> from skwfm.datasets import FFMColumns
    >>> columns = FFMColumns(fields=[0, 0, 7], features=[3, 5, 3])
    >>> columns
    FFMColumns(n_columns=3, field_ids=[0, 7])
    >>> columns.field_map.ids, columns.field_map.names
    (array([0, 0, 1], dtype=int32), ('0', '7'))
    """

    fields: npt.NDArray[Any]
    features: npt.NDArray[Any] | None = None
    field_ids: npt.NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Check and freeze private copies."""
        fields, features = np.asarray(self.fields), self.features
        features = None if features is None else np.asarray(features)
        val.check_ffm_columns(fields, features)
        known = np.unique(fields[fields >= 0])
        ids = known if self.field_ids is None else np.asarray(self.field_ids)
        val.check_field_ids(ids, known)
        for name, part in [
            ("fields", fields),
            ("features", features),
            ("field_ids", ids),
        ]:
            frozen = None if part is None else np.array(part, np.int32)
            if frozen is not None:
                frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)

    @property
    def n_columns(self) -> int:
        """Number of columns.

        Examples
        --------
        >>> from skwfm.datasets import FFMColumns
        >>> FFMColumns(fields=[0, 0, 7], features=[3, 5, 3]).n_columns
        3
        """
        return len(self.fields)

    @property
    def field_map(self) -> FieldMap:
        """The field of every column, numbered from 0, with its id as the name.

        Examples
        --------
        >>> from skwfm.datasets import FFMColumns
        >>> columns = FFMColumns(fields=[7, 0, 7], features=[3, 3, 5])
        >>> columns.field_map.ids, columns.field_map.names
        (array([1, 0, 1], dtype=int32), ('0', '7'))
        """
        ids, fields = np.asarray(self.field_ids), self.fields
        seen = np.flatnonzero(fields >= 0)
        if not len(seen):
            ids = ids if len(ids) or not len(fields) else np.zeros(1, np.int32)
            return FieldMap(np.zeros_like(fields), tuple(map(str, ids.tolist())))
        # A column without a field takes that of the last one before that has one.
        last = np.maximum(np.searchsorted(seen, np.arange(len(fields)), "right") - 1, 0)
        places = np.searchsorted(ids, fields[seen[last]])
        return FieldMap(places.astype(np.int32), tuple(map(str, ids.tolist())))

    def __repr__(self) -> str:
        """Show the size and the fields."""
        ids = shorten(np.asarray(self.field_ids).tolist())
        return f"FFMColumns(n_columns={self.n_columns}, field_ids={ids})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle through the constructor, which makes the arrays read-only again."""
        return FFMColumns, (self.fields, self.features, self.field_ids)

    def _keys(self) -> npt.NDArray[np.int64]:
        """Return the keys of the columns that occur."""
        if self.features is not None:
            return _keys_of(self.fields, self.features)
        seen = np.flatnonzero(self.fields >= 0)
        return _keys_of(self.fields[seen], seen)


def _keys_of(fields: Any, features: Any) -> npt.NDArray[np.int64]:
    keys: npt.NDArray[np.int64] = fields.astype(np.int64) << 32 | features
    return keys


_FILE_PARAMETERS: dict[str, Any] = {
    "columns": [StrOptions({"pairs", "features"}), FFMColumns],
    "n_features": [Interval(Integral, 1, _N_COLUMNS, closed="both"), None],
    "n_fields": [Interval(Integral, 1, _N_IDS, closed="both"), None],
    "dtype": "no_validation",
    "handle_unknown": [StrOptions({"ignore", "error"})],
}


def _constraints(*names: str, **more: Any) -> dict[str, Any]:
    return {**{name: _FILE_PARAMETERS[name] for name in names}, **more}


@validate_params(
    _constraints(
        *("columns", "n_features", "n_fields", "dtype", "handle_unknown"),
        return_columns=["boolean"],
    ),
    prefer_skip_nested_validation=True,
)
def load_ffm_file(
    file: Any,
    *,
    columns: Literal["pairs", "features"] | FFMColumns = "pairs",
    n_features: int | None = None,
    n_fields: int | None = None,
    dtype: npt.DTypeLike = np.float32,
    handle_unknown: Unknown = "ignore",
    return_columns: bool = False,
) -> Any:
    r"""Load a file in the format of libFFM.

    A line is ``label field:feature:value ...`` with blanks between; ids are whole
    numbers from 0, in any order and with gaps. A field of the file is a field of the
    matrix. Entries of value 0 are dropped and repeated ones summed, lines without a
    token are skipped, and ``#`` starts a comment.

    Parameters
    ----------
    file : path or binary file
        Plain, gzip, bz2 or xz, as its first bytes say. A file is read from where it
        stands, and left open.
    columns : {"pairs", "features"} or FFMColumns, default="pairs"
        What a column is:

        - ``"pairs"``: a field and a feature that occur together, sorted by both.
          Nothing is merged, and an id may be as large as a hash.
        - ``"features"``: the feature with the number of the column. A feature in two
          fields is an error. There are as many columns as the largest id says, and
          memory for all of them.
        - FFMColumns: the columns of another file.
    n_features : int, optional
        Number of columns of ``"features"``, by default the largest id plus one; a
        larger id is an error.
    n_fields : int, optional
        The fields are 0 to ``n_fields - 1``, whether they occur or not; a larger id
        is an error. By default they are those that occur.
    dtype : {float32, float64}, default=float32
        Type of the values.
    handle_unknown : {"ignore", "error"}, default="ignore"
        What happens to an entry that has no column among given FFMColumns.
    return_columns : bool, default=False
        Return the FFMColumns too.

    Returns
    -------
    X : FieldCSR of shape (n_rows, n_columns)
        Canonical; its field names are the ids of the fields.
    y : array of float64, shape (n_rows,)
        The labels as they are.
    columns : FFMColumns
        Only with `return_columns`.

    Raises
    ------
    ValueError
        If a line is not of the format, a number is not finite or out of the range of
        its type, an id is above 2147483647 or not below its limit, a feature has two
        fields, there is no row, or compressed data are damaged. The message names
        file and line and shows the token.
    TypeError
        If `file` is neither a path nor a binary file.
    OSError
        If the file cannot be read.

    See Also
    --------
    iter_ffm_file : Read a file that memory does not hold.
    dump_ffm_file : Write one.
    sklearn.datasets.load_svmlight_file : Files without fields.

    Examples
    --------
    >>> from io import BytesIO
    >>> from skwfm.datasets import load_ffm_file
    >>> train = BytesIO(b"1 0:3:1 7:5:0.5\n-1 0:4:1 7:5:2\n")
    >>> X, y, columns = load_ffm_file(train, return_columns=True)
    >>> X.toarray()
    array([[1. , 0. , 0.5],
           [0. , 1. , 2. ]], dtype=float32)
    >>> X.field_names, y
    (('0', '7'), array([ 1., -1.]))

    The columns of other rows are the same, and what they do not know is dropped:

    >>> test = BytesIO(b"1 0:4:1 7:6:1\n")
    >>> load_ffm_file(test, columns=columns)[0].toarray()
    array([[0., 1., 0.]], dtype=float32)
    """
    reader = _Reader(columns, n_features, n_fields, dtype, handle_unknown)
    labels = _Growing(np.float64)
    ends, indices = _Growing(np.int64), _Growing(np.int32)
    values = _Growing(reader.dtype)
    for part in reader.read(file):
        ends.extend(part.ends + indices.size)
        indices.extend(part.columns)
        values.extend(part.values)
        labels.extend(part.labels)
    known = reader.columns()
    part = _Part(labels.take(), ends.take(), indices.take(), values.take())
    reader.renumber(part.columns)
    X_y = _matrix(part, known.field_map)
    return (*X_y, known) if return_columns else X_y


@validate_params(
    _constraints("columns", "n_features", "n_fields", "dtype"),
    prefer_skip_nested_validation=True,
)
def scan_ffm_file(
    *files: Any,
    columns: Literal["pairs", "features"] = "pairs",
    n_features: int | None = None,
    n_fields: int | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> FFMColumns:
    r"""Find the columns of files in the format of libFFM.

    The memory it takes depends on the number of columns alone.

    Parameters
    ----------
    *files : path or binary file
        The files; the columns are those of all of them.
    columns : {"pairs", "features"}, default="pairs"
        What a column is, see `load_ffm_file`.
    n_features, n_fields : int, optional
        As for `load_ffm_file`.
    dtype : {float32, float64}, default=float32
        Type that the values will have: a column has a value that is not 0.

    Returns
    -------
    FFMColumns
        Of all entries that are not 0.

    Raises
    ------
    ValueError, TypeError, OSError
        As `load_ffm_file`.

    See Also
    --------
    iter_ffm_file : Read with these columns.

    Examples
    --------
    >>> from io import BytesIO
    >>> from skwfm.datasets import scan_ffm_file
    >>> scan_ffm_file(BytesIO(b"1 0:3:1\n"), BytesIO(b"0 2:7:1\n"))
    FFMColumns(n_columns=2, field_ids=[0, 2])
    """
    reader = _Reader(columns, n_features, n_fields, dtype, "error")
    for file in files:
        for _ in reader.read(file):
            pass
    return reader.columns()


@validate_params(
    _constraints(
        "dtype",
        "handle_unknown",
        columns=[FFMColumns],
        chunk_rows=[Interval(Integral, 1, None, closed="left")],
    ),
    prefer_skip_nested_validation=True,
)
def iter_ffm_file(
    file: Any,
    columns: FFMColumns,
    *,
    chunk_rows: int = 10_000,
    dtype: npt.DTypeLike = np.float32,
    handle_unknown: Unknown = "ignore",
) -> Iterator[tuple[FieldCSR, npt.NDArray[np.float64]]]:
    r"""Read a file in the format of libFFM in chunks of rows.

    Memory holds the columns, a chunk and a quarter of a megabyte of text, whatever
    the size of the file.

    Parameters
    ----------
    file : path or binary file
        As for `load_ffm_file`.
    columns : FFMColumns
        The columns of every chunk: those of `scan_ffm_file`, or of another file.
    chunk_rows : int, default=10_000
        Rows of a chunk; the last one may have fewer.
    dtype : {float32, float64}, default=float32
        Type of the values.
    handle_unknown : {"ignore", "error"}, default="ignore"
        What happens to an entry that has no column.

    Yields
    ------
    X : FieldCSR of shape (chunk_rows, n_columns)
        Canonical; its field names are the ids of the fields.
    y : array of float64, shape (chunk_rows,)
        The labels as they are.

    Raises
    ------
    ValueError, TypeError, OSError
        As `load_ffm_file`, after the chunks before the fault.

    See Also
    --------
    scan_ffm_file : Find the columns of files.

    Examples
    --------
    >>> from io import BytesIO
    >>> from skwfm.datasets import iter_ffm_file, scan_ffm_file
    >>> file = BytesIO(b"1 0:3:1\n0 2:7:1\n1 2:3:0.5\n")
    >>> columns = scan_ffm_file(file)
    >>> position = file.seek(0)
    >>> for X, y in iter_ffm_file(file, columns, chunk_rows=2):
    ...     print(X.shape, y)
    (2, 3) [1. 0.]
    (1, 3) [1.]
    """
    reader = _Reader(columns, None, None, dtype, handle_unknown)
    return _chunks(reader.read(file), columns.field_map, chunk_rows)


class _Part(NamedTuple):
    """Some rows of a file."""

    labels: npt.NDArray[np.float64]
    ends: npt.NDArray[np.int64]
    """Of each row: its entries and those of the rows before."""
    columns: npt.NDArray[np.int32]
    values: npt.NDArray[Any]

    def rows(self, first: int, last: int) -> _Part:
        """Return copies of some rows."""
        begin = self.ends[first - 1] if first else 0
        end = self.ends[last - 1] if last else 0
        return _Part(
            self.labels[first:last].copy(),
            self.ends[first:last] - begin,
            self.columns[begin:end].copy(),
            self.values[begin:end].copy(),
        )


def _chunks(
    parts: Iterator[_Part], field_map: FieldMap, chunk_rows: int
) -> Iterator[tuple[FieldCSR, npt.NDArray[np.float64]]]:
    waiting: list[_Part] = []
    n_waiting = 0
    for part in parts:
        waiting.append(part)
        n_waiting += len(part.labels)
        if n_waiting >= chunk_rows:
            joined = _joined(waiting)
            for first in range(0, n_waiting - chunk_rows + 1, chunk_rows):
                yield _matrix(joined.rows(first, first + chunk_rows), field_map)
            first = n_waiting - n_waiting % chunk_rows
            waiting, n_waiting = [joined.rows(first, n_waiting)], n_waiting - first
    if n_waiting:
        yield _matrix(_joined(waiting), field_map)


def _joined(parts: list[_Part]) -> _Part:
    labels, ends, columns, values = zip(*parts, strict=True)
    shifts = np.cumsum([0, *(len(part) for part in columns)])
    shifted = [end + shift for end, shift in zip(ends, shifts[:-1], strict=True)]
    return _Part(*map(np.concatenate, (labels, shifted, columns, values)))


def _matrix(
    part: _Part, field_map: FieldMap
) -> tuple[FieldCSR, npt.NDArray[np.float64]]:
    arrays = part.values, part.columns, np.r_[0, part.ends]
    X = FieldCSR(arrays, (len(part.labels), field_map.n_columns), fields=field_map)
    X.sort_indices()
    return X, part.labels


class _Growing:
    """A vector that grows in place."""

    def __init__(self, dtype: Any) -> None:
        self.size = 0
        self._values: npt.NDArray[Any] = np.empty(0, dtype)

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Append some values."""
        end = self.size + len(values)
        if end > len(self._values):
            self._values.resize(end + end // 8, refcheck=False)
        self._values[self.size : end] = values
        self.size = end

    def take(self) -> npt.NDArray[Any]:
        """Return the values; nothing can be appended any more."""
        self._values.resize(self.size, refcheck=False)
        return self._values


class _Reader:
    """Rows of files, as columns that are given or found on the way.

    Where pairs are found, their columns are numbered as they come; `renumber` gives
    them the order of `columns`.
    """

    def __init__(
        self,
        columns: str | FFMColumns,
        n_features: int | None,
        n_fields: int | None,
        dtype: Any,
        handle_unknown: str,
    ) -> None:
        val.check_ffm_parameters(columns, n_features, n_fields)
        self.dtype = val.check_float_type(dtype)
        self._given = columns if isinstance(columns, FFMColumns) else None
        self._n_features, self._n_fields = n_features, n_fields
        self._error = handle_unknown == "error"
        if self._given is None:
            self._by_feature = columns == "features"
            keys = np.empty(0, np.int64)
        else:
            self._by_feature = self._given.features is None
            keys = self._given._keys()
        self._table = ffm_text.key_table(self._by_feature, keys)
        default = _N_COLUMNS if self._by_feature and self._given is None else _N_IDS
        self._limits = {"field": n_fields or _N_IDS, "feature": n_features or default}

    def read(self, file: Any) -> Iterator[_Part]:
        """Read a file, in parts of at least one row."""
        name, is_empty = _text_files.name_of(file), True
        n_fields, n_features = self._limits.values()
        for first, text in _text_files.blocks(file):
            parsed = ffm_text.parse(text, self.dtype, n_fields, n_features)
            # What is wrong in the rows before a fault is told first.
            if len(parsed.labels):
                is_empty = False
                yield self._part(parsed, name, first)
            if parsed.fault:
                place = f"{name}:{first + parsed.n_lines}"
                raise ValueError(
                    val.token_error(
                        place, parsed.fault, parsed.token, self._limits, self.dtype
                    )
                )
        if is_empty:
            raise ValueError(val.empty_file_error(name))

    def _part(self, parsed: ffm_text.Parsed, name: str, first: int) -> _Part:
        def place(entry: int) -> str:
            row = np.searchsorted(parsed.ends, entry, side="right")
            return f"{name}:{first + int(parsed.lines[row])}"

        columns, done = self._table.find(parsed.keys, add=self._given is None)
        if done < len(columns):
            self._refuse_field(parsed.keys[done], place(done))
        if self._by_feature:
            features = parsed.keys & ffm_text.FEATURE_BITS
            columns = np.where(columns < 0, -1, features).astype(np.int32)
        part = _Part(parsed.labels, parsed.ends, columns, parsed.values)
        if self._given is None or columns.min(initial=0) >= 0:
            return part
        if self._error:
            at = int(np.argmax(columns < 0))
            ids = _ids_of(parsed.keys[at])
            raise ValueError(val.unknown_pair_error(place(at), *ids))
        return _known(part)

    def _refuse_field(self, key: Any, place: str) -> None:
        """Raise for an entry whose feature is known in another field."""
        field, feature = _ids_of(key)
        keys = self._table.keys
        known = keys[(keys & ffm_text.FEATURE_BITS) == feature][0]
        raise ValueError(val.two_fields_error(place, feature, field, _ids_of(known)[0]))

    def columns(self) -> FFMColumns:
        """Return the columns: those given, or those found so far."""
        if self._given is not None:
            return self._given
        ids = None if self._n_fields is None else np.arange(self._n_fields)
        keys = np.sort(self._table.keys)
        fields, features = keys >> 32, keys & ffm_text.FEATURE_BITS
        if not self._by_feature:
            return FFMColumns(fields, features, ids)
        most = int(features.max()) + 1 if len(features) else 0
        all_fields = np.full(self._n_features or most, -1, np.int32)
        all_fields[features] = fields
        return FFMColumns(all_fields, None, ids)

    def renumber(self, columns: npt.NDArray[np.int32]) -> None:
        """Put columns that were read in the order of `columns`, in place."""
        if self._given is not None or self._by_feature:
            return
        keys = self._table.keys
        rank = np.empty(len(keys), np.int32)
        rank[np.argsort(keys)] = np.arange(len(keys), dtype=np.int32)
        for start in range(0, len(columns), _STEP):
            part = columns[start : start + _STEP]
            part[:] = rank[part]


def _ids_of(key: Any) -> tuple[int, int]:
    """Return field and feature."""
    return int(key) >> 32, int(key) & ffm_text.FEATURE_BITS


def _known(part: _Part) -> _Part:
    """Drop entries without a column."""
    known = part.columns >= 0
    before = np.r_[0, np.cumsum(known)]
    columns, values = part.columns[known], part.values[known]
    return _Part(part.labels, before[part.ends], columns, values)


@validate_params(
    {"columns": [FFMColumns, None]},
    prefer_skip_nested_validation=True,
)
def dump_ffm_file(
    X: Any,
    y: Any,
    file: Any,
    *,
    fields: Any = "auto",
    columns: FFMColumns | None = None,
) -> None:
    """Write rows in the format of libFFM.

    Numbers have the fewest digits that read as the same number, so that
    `load_ffm_file` gives back every bit of values of its `dtype` and of the labels.
    Entries of value 0 are not written.

    Parameters
    ----------
    X : FieldCSR or array-like of shape (n_rows, n_columns)
        Values of float32 or float64; other types are written as float64.
    y : array-like of numbers, shape (n_rows,)
        Labels.
    file : path or binary file
        What the path names is replaced when all is written, not before. The suffix
        .gz, .bz2 or .xz compresses.
    fields : "auto", FieldMap or array-like of int, default="auto"
        Field ids per column, or sizes per field; ``"auto"``: those of a FieldCSR.
    columns : FFMColumns, optional
        What fields and features are called, instead of `fields`. By default feature
        ids are the numbers of the columns, and field ids those of the fields, except
        where the field names are ascending whole numbers: then they are the names.

    Raises
    ------
    ValueError
        If nothing says what the fields are, a number is not finite, or the sizes do
        not fit.
    TypeError
        If `file` is neither a path nor a binary file, or `X` holds dates.
    OSError
        If the file cannot be written.

    See Also
    --------
    load_ffm_file : Read the file.

    Examples
    --------
    >>> from io import BytesIO
    >>> from skwfm import FieldCSR
    >>> from skwfm.datasets import dump_ffm_file
    >>> X = FieldCSR([[1, 0, 0.5], [0, 3, 0.1]], dtype="float32", fields=[2, 1])
    >>> file = BytesIO()
    >>> dump_ffm_file(X, [1, -1], file)
    >>> print(file.getvalue().decode(), end="")
    1 0:0:1 1:2:0.5
    -1 0:1:3 1:2:0.1
    """
    rows, field_ids, features = _named_rows(X, fields, columns)
    n_rows, n_columns = rows.shape
    labels = val.check_dump(y, n_rows, n_columns, columns)
    indptr = rows.indptr.astype(np.int64)
    indices = rows.indices.astype(np.int32)
    names = field_ids.astype(np.int32), features.astype(np.int32)
    text = ffm_text.format_rows(labels, indptr, indices, rows.data, *names)
    _text_files.write(file, text)


def _named_rows(X: Any, fields: Any, columns: FFMColumns | None) -> tuple[Any, ...]:
    """Return a plain CSR without zeros, and ids of the field and feature of columns."""
    check_format(X)
    matrix: Any = X if sp.issparse(X) else check_array(X, dtype="numeric")
    val.check_real_type(matrix.dtype)
    is_float = matrix.dtype in (np.float32, np.float64)
    rows = sp.csr_matrix(matrix, dtype=None if is_float else np.float64)
    check_csr(rows)
    if not rows.has_canonical_format or not rows.data.all():
        rows = rows.copy()
        rows.sum_duplicates()
        rows.eliminate_zeros()
    if columns is not None:
        features = columns.features
        if features is None:
            features = np.arange(columns.n_columns)
        return rows, columns.fields, features
    field_map = resolve_fields(matrix, fields, interactions="ffm")
    ids = np.array(_numbers(field_map.names))
    return rows, ids[field_map.ids], np.arange(rows.shape[1])


def _numbers(names: tuple[str, ...]) -> list[int]:
    """Return the names of fields if they are ascending ids, else 0, 1, ..."""
    digits = (name for name in names if name.isascii() and name.isdigit())
    ids = [int(name) for name in digits if len(name) <= len(str(_N_IDS))]
    ascending = ids == sorted(set(ids)) and list(map(str, ids)) == list(names)
    if ascending and (not ids or ids[-1] < _N_IDS):
        return ids
    return list(range(len(names)))
