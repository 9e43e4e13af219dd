"""The field of every column: reading the `fields` parameter, keeping ids and names.

A *field map* gives every column j a field f(j) in ``[0, n_fields)``. Storage: one int32
id per column and one name per field. Cost: O(n_columns) to make, nothing to share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from skwfm import _validation as val
from skwfm._size_validation import check_n_columns

__all__ = ["FieldMap", "IntArray"]

# Names are made for every id up to the largest one; beyond this many fields an id is
# far more likely a hash or a size given by mistake.
_MAX_UNNAMED_FIELDS = 2**16

IntArray: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False, repr=False)
class FieldMap:
    """The field of every column, and the name of every field.

    Parameters
    ----------
    ids : array of int32, shape (n_columns,)
        Field of each column, in ``[0, n_fields)``. Stored as a read-only copy.
    names : tuple of str, length n_fields
        One name per field. A field may own no column (after a column selection).

    Raises
    ------
    ValueError
        If `ids` are no one-dimensional array of whole numbers in ``[0, n_fields)``.

    See Also
    --------
    FieldCSR : A sparse matrix that carries a field map.

    Examples
    --------
    >>> from skwfm import FieldMap
    >>> field_map = FieldMap.from_fields([3, 2], n_columns=5, names=["year", "genre"])
    >>> field_map
    FieldMap(n_columns=5, names=('year', 'genre'))
    >>> field_map.ids
    array([0, 0, 0, 1, 1], dtype=int32)
    """

    ids: IntArray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the ids and freeze a private copy of them."""
        given, names = np.asarray(self.ids), tuple(self.names)
        val.check_map_ids(given, len(names))
        ids = np.array(given, dtype=np.int32)
        ids.setflags(write=False)
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "names", names)

    @property
    def n_fields(self) -> int:
        """Number of fields, those without a column included.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> field_map = FieldMap([0, 0, 1], names=("genre", "year"))
        >>> field_map.n_fields, field_map.take([0]).n_fields
        (2, 2)
        """
        return len(self.names)

    @property
    def n_columns(self) -> int:
        """Number of columns.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> FieldMap([0, 0, 1], names=("genre", "year")).n_columns
        3
        """
        return int(self.ids.size)

    @property
    def singletons(self) -> bool:
        """Whether every column is the only one of its field.

        An FM over such fields counts all pairs of a row: it is the FM with one field
        and ``intra_field=True``, which needs no bag per column.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> FieldMap([2, 0, 1], names=("a", "b", "c")).singletons
        True
        >>> FieldMap([0, 0, 1], names=("a", "b", "c")).singletons
        False
        """
        if self.n_fields < self.n_columns:
            return False
        return bool(np.unique(self.ids).size == self.n_columns)

    def take(self, columns: Any) -> FieldMap:
        """Return the map of some columns; field ids and names stay as they are.

        Parameters
        ----------
        columns : slice, or array of int or bool
            Anything that indexes one axis of a numpy array.

        Returns
        -------
        FieldMap
            Of these columns, in this order.

        Raises
        ------
        IndexError
            If there is no such column.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> field_map = FieldMap([0, 0, 1], names=("genre", "year"))
        >>> field_map.take([2, 0]).ids
        array([1, 0], dtype=int32)
        >>> field_map.take(slice(0, 2))
        FieldMap(n_columns=2, names=('genre', 'year'))
        """
        return FieldMap(self.ids[columns], self.names)

    def extends(self, other: FieldMap | None) -> bool:
        """Tell whether this is another map with further columns of its fields.

        Parameters
        ----------
        other : FieldMap or None
            Of the first columns.

        Returns
        -------
        bool
            False for None.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> names = ("genre", "year")
        >>> before, after = FieldMap([0, 1], names), FieldMap([0, 1, 0], names)
        >>> after.extends(before), before.extends(after)
        (True, False)
        """
        if other is None or self.names != other.names:
            return False
        return np.array_equal(self.ids[: other.n_columns], other.ids)

    def __eq__(self, other: object) -> bool:
        """Compare ids and names."""
        if not isinstance(other, FieldMap):
            return NotImplemented
        return self.names == other.names and np.array_equal(self.ids, other.ids)

    def __hash__(self) -> int:
        """Hash ids and names."""
        return hash((self.ids.tobytes(), self.names))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle through the constructor, which makes the ids read-only again."""
        FieldMap.__init__(self, **state)

    def __repr__(self) -> str:
        """Show the size and the names."""
        return f"FieldMap(n_columns={self.n_columns}, names={val.shorten(self.names)})"

    @classmethod
    def from_fields(
        cls,
        fields: FieldMap | npt.ArrayLike,
        n_columns: int,
        names: Sequence[str] | None = None,
    ) -> FieldMap:
        """Read a `fields` parameter: one id per column, or one size per field.

        A sequence as long as the number of columns holds ids, except that all ones
        (two columns or more) means sizes: every column its own field. Any other
        sequence must hold positive sizes that sum to `n_columns`.

        Parameters
        ----------
        fields : FieldMap or array-like of int
            Ids (>= 0) per column or sizes (> 0) per field.
        n_columns : int
            Number of columns of the matrix.
        names : sequence of str, optional
            One name per field, by default ``"field0"``, ``"field1"``, ...

        Returns
        -------
        FieldMap
            `fields` itself if it is one and no names are given.

        Raises
        ------
        ValueError
            If `fields` fits neither reading, or `names` are not as many different
            strings as there are fields.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> FieldMap.from_fields([0, 1, 1], n_columns=3).ids
        array([0, 1, 1], dtype=int32)
        >>> FieldMap.from_fields([1, 2], n_columns=3).ids
        array([0, 1, 1], dtype=int32)
        """
        check_n_columns(n_columns)
        if isinstance(fields, FieldMap):
            if fields.n_columns != n_columns:
                raise ValueError(_wrong_length(fields, n_columns, fields.n_columns))
            return fields if names is None else cls(fields.ids, _names(names, fields))
        ids = _read_fields(fields, n_columns)
        return cls(ids, _names(names, ids))

    @classmethod
    def each_column(cls, n_columns: int) -> FieldMap:
        """Return the map in which every column is its own field.

        Parameters
        ----------
        n_columns : int
            Number of columns, at most 2147483647.

        Returns
        -------
        FieldMap
            With the names ``"field0"``, ``"field1"``, ...

        Raises
        ------
        ValueError
            If there are too many columns.

        Examples
        --------
        >>> from skwfm import FieldMap
        >>> FieldMap.each_column(3).ids
        array([0, 1, 2], dtype=int32)
        """
        check_n_columns(n_columns)
        ids = np.arange(n_columns, dtype=np.int32)
        return cls(ids, _default_names(n_columns))


def _wrong_length(fields: object, n_columns: int, length: int) -> str:
    return val.fields_error(fields, n_columns, f"describes {length} columns")


def _read_fields(fields: npt.ArrayLike, n_columns: int) -> IntArray:
    """Turn ids or sizes into ids."""
    try:
        values = np.asarray(fields)
    except ValueError:  # a ragged list
        values = np.empty((), dtype=object)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        problem = "is not a one-dimensional sequence of integers"
        raise ValueError(val.fields_error(fields, n_columns, problem))
    all_ones = n_columns >= 2 and bool(np.all(values == 1))
    if values.size == n_columns and not all_ones:
        return _read_ids(fields, values, n_columns)
    return _read_sizes(fields, values, n_columns)


def _read_ids(fields: object, values: Any, n_columns: int) -> IntArray:
    limit = max(n_columns, _MAX_UNNAMED_FIELDS)
    if values.size and (values.min() < 0 or values.max() >= limit):
        problem = f"holds an id outside 0 to {limit - 1}"
        raise ValueError(val.fields_error(fields, n_columns, problem))
    return np.asarray(values, dtype=np.int32)


def _read_sizes(fields: object, values: Any, n_columns: int) -> IntArray:
    if values.size > n_columns or (values.size and values.min() < 1):
        problem = f"has {values.size} entries, not all of them positive sizes"
        if values.size > n_columns:
            problem = f"has {values.size} entries, more than there are columns"
        raise ValueError(val.fields_error(fields, n_columns, problem))
    total = sum(values.tolist())  # Python integers: huge sizes do not wrap around
    if total != n_columns:
        problem = f"has {values.size} entries that sum to {total}"
        raise ValueError(val.fields_error(fields, n_columns, problem))
    return np.repeat(np.arange(values.size, dtype=np.int32), values)


def _default_names(n_fields: int) -> tuple[str, ...]:
    return tuple(f"field{i}" for i in range(n_fields))


def _names(names: Sequence[str] | None, known: FieldMap | IntArray) -> tuple[str, ...]:
    """Check given names against a map, or against the ids in use; or make some."""
    exact = isinstance(known, FieldMap)
    n_fields = known.n_fields if isinstance(known, FieldMap) else _n_ids(known)
    if names is None:
        return _default_names(n_fields)
    given = () if isinstance(names, str) else tuple(names)
    fits = len(given) == n_fields if exact else len(given) >= n_fields
    good = all(isinstance(name, str) for name in given)
    if not fits or not good or len(set(given)) != len(given):
        raise ValueError(val.field_names_error(names, n_fields))
    return tuple(str(name) for name in given)


def _n_ids(ids: IntArray) -> int:
    return int(ids.max()) + 1 if ids.size else 0
