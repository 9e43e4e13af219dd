"""Matrices that are broken (rows 1 and 5), or well-formed but unusual (row 6)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from _inputs import DRAWN, MODELS, N_COLUMNS, N_ROWS, WAYS, csr, field_csr, values
from _probe import Case, Must, equal, refuse

from skwfm import FieldCSR

LAST = N_COLUMNS - 1


def broken(
    make: Callable[[], Any] = csr, **parts: Callable[[Any], Any]
) -> Callable[[], Any]:
    """Return what makes a matrix, of which some arrays went through functions."""

    def make_broken() -> Any:
        X = make()
        for name, change in parts.items():
            # Past scipy's own checks, as after a bit flip or an error of the user's.
            setattr(X, name, change(getattr(X, name).copy()))
        return X

    return make_broken


def put(place: int, value: Any) -> Callable[[Any], Any]:
    """Return a function that changes one element of an array."""

    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


def _masked(X: Any) -> Any:
    mask = np.zeros(X.shape, bool)
    mask[1, 1] = True
    return np.ma.masked_array(X, mask)


def dense(row: int, column: int, value: float) -> Callable[[], Any]:
    """Return what makes a dense array with one other value."""

    def make() -> Any:
        X = values()
        X[row, column] = value
        return X

    return make


# Row 1. Column 1 of row 1 is the place of all values that are not finite.
NOT_FINITE = [
    (f"{kind} with {value}", lambda v=value, f=form: f(dense(1, 1, v)()))
    for value in (np.nan, np.inf, -np.inf)
    for kind, form in {
        "array": np.asarray,
        "float32 array": lambda X: X.astype(np.float32),
        "CSR": sp.csr_matrix,
        "CSC array": sp.csc_array,
        "COO": sp.coo_matrix,
        "FieldCSR": lambda X: FieldCSR(X, fields=[3, 2, 1]),
        "list": lambda X: X.tolist(),
        "Fortran array": np.asfortranarray,
        "object array": lambda X: X.astype(object),
    }.items()
]
MASKED = "X, row 1, column 1: is masked, expected a value"
NAMED = r"row 1, column 1 holds -?(nan|inf), expected finite numbers\. Impute it"

# Row 5. The matrix has some 70 entries; entry 4 is in row 1.
BROKEN: list[tuple[str, Callable[[], Any], str]] = [
    (
        "label too large",
        broken(indices=put(4, 6)),
        f"got column index 6, .*0 to {LAST}",
    ),
    ("label huge", broken(indices=put(4, 2**31 - 1)), "got column index 2147483647"),
    ("label negative", broken(indices=put(4, -1)), "got column index -1"),
    ("label int32 minimum", broken(indices=put(4, -(2**31))), "index -2147483648"),
    (
        "label beyond int32",
        broken(indices=lambda a: put(4, 2**32 + 1)(a.astype(np.int64))),
        "got column index 4294967297",
    ),
    (
        "label int64 minimum",
        broken(indices=lambda a: put(4, -(2**63))(a.astype(np.int64))),
        "got column index -9223372036854775808",
    ),
    ("indptr falls", broken(indptr=put(7, 1)), "indptr, row 6: falls from"),
    ("indptr negative", broken(indptr=put(2, -5)), "indptr, row 1: falls from"),
    ("indptr starts late", broken(indptr=put(0, 1)), "expected 25 from 0 to at most"),
    ("indptr starts below 0", broken(indptr=put(0, -1)), "expected 25 from 0"),
    ("indptr ends late", broken(indptr=put(-1, 999)), "999.*from 0 to at most"),
    ("indptr jumps", broken(indptr=put(9, 2**31 - 1)), "indptr, row 9: falls from"),
    ("indptr too short", broken(indptr=lambda a: a[:-1]), "has 24 entries"),
    ("indptr too long", broken(indptr=lambda a: np.append(a, a[-1])), "has 26 entries"),
    ("indptr empty", broken(indptr=lambda a: a[:0]), "has 0 entries"),
    ("data too short", broken(data=lambda a: a[:-1]), "the number of stored values"),
    ("indices too short", broken(indices=lambda a: a[:-1]), "number of stored values"),
    ("data empty", broken(data=lambda a: a[:0]), "the number of stored values"),
    (
        "indptr int64 beyond int32",
        broken(indptr=lambda a: put(-1, 2**40)(a.astype(np.int64))),
        "1099511627776.*from 0 to at most",
    ),
    ("FieldCSR label", broken(field_csr, indices=put(4, 6)), "got column index 6"),
    ("FieldCSR indptr", broken(field_csr, indptr=put(7, 1)), "indptr, row 6: falls"),
]


def _other(form: str, make: Callable[[], Any] = csr) -> Callable[[], Any]:
    """Return what makes the matrix in another form of scipy."""

    def make_other() -> Any:
        X = make()
        return X.tobsr(blocksize=(2, 3)) if form == "bsr" else X.asformat(form)

    return make_other


def _placed(form: str, name: str, value: Any) -> Callable[[], Any]:
    """Return what makes a COO matrix or array with one other row or column."""

    def make() -> Any:
        X = (sp.coo_array if form == "array" else sp.coo_matrix)(csr())
        coords = {part: np.array(getattr(X, part)) for part in ("row", "col")}
        coords[name] = put(4, value)(coords[name]) if value is not None else [0]
        X.coords = coords["row"], coords["col"]
        return X

    return make


FAR = 2**30
OTHER_FORMS: list[tuple[str, Callable[[], Any], str]] = [
    (
        "CSC row too large",
        broken(_other("csc"), indices=put(4, 24)),
        "X, column 0: got row index 24, expected one of 0 to 23",
    ),
    (
        "CSC row far away",
        broken(_other("csc"), indices=put(4, FAR)),
        "got row index 107",
    ),
    ("CSC row negative", broken(_other("csc"), indices=put(4, -1)), "got row index -1"),
    (
        "CSC indptr falls",
        broken(_other("csc"), indptr=put(3, 1)),
        "column 2: falls from",
    ),
    (
        "CSC indptr far away",
        broken(_other("csc"), indptr=put(3, FAR)),
        "column 3: falls",
    ),
    (
        "CSC indptr ends late",
        broken(_other("csc"), indptr=put(-1, FAR)),
        "0 to at most",
    ),
    (
        "CSC indptr too short",
        broken(_other("csc"), indptr=lambda a: a[:-1]),
        "indptr has",
    ),
    (
        "CSC data too short",
        broken(_other("csc"), data=lambda a: a[:-1]),
        "stored values",
    ),
    (
        "BSR block far away",
        broken(_other("bsr"), indices=put(1, FAR)),
        "got block column index 1073741824, expected one of 0 to 1",
    ),
    (
        "BSR indptr far away",
        broken(_other("bsr"), indptr=put(3, FAR)),
        "block row 3: falls",
    ),
    (
        "BSR data too short",
        broken(_other("bsr"), data=lambda a: a[:-1]),
        "stored values",
    ),
    *(
        (
            f"COO {form} {name} {value}",
            _placed(form, name, value),
            f"entry 4: got {name}.* index {value}, expected one of 0 to {last}",
        )
        for form in ("matrix", "array")
        for name, last in (("row", 23), ("col", 5))
        for value in (last + 1, FAR, -1)
    ),
    ("COO of too few rows", _placed("matrix", "row", None), "has 1 rows?, .* columns"),
    ("COO data too short", broken(_other("coo"), data=lambda a: a[:-1]), "values"),
    ("LIL column far away", lambda: _lil(FAR), "column index"),
    ("LIL column negative", lambda: _lil(-1), "column index"),
]


def _lil(column: int) -> Any:
    X = csr().tolil()
    X.rows[1][0] = column
    return X


def _scrambled(X: Any) -> Any:
    """Return the same matrix with the entries of a row reversed."""
    out = X.copy()
    for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        out.indices[start:stop] = X.indices[start:stop][::-1]
        out.data[start:stop] = X.data[start:stop][::-1]
    out.has_sorted_indices = False
    return out


def _duplicated(X: Any) -> Any:
    """Return the same matrix with every entry twice, of half its value."""
    parts = (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2)
    return type(X)(parts, shape=X.shape)


def _lying(X: Any) -> Any:
    """Return a scrambled matrix that says that it is sorted."""
    out = _scrambled(X)
    out.has_sorted_indices = out.has_canonical_format = True
    return out


def _with_zeros(X: Any) -> Any:
    """Return the same matrix with all zeros stored."""
    every = np.tile(np.arange(N_COLUMNS, dtype=np.int32), N_ROWS)
    indptr = np.arange(0, every.size + 1, N_COLUMNS, dtype=np.int32)
    return type(X)((X.toarray().ravel(), every, indptr), shape=X.shape)


def _with_tail(X: Any) -> Any:
    """Return the same matrix with unused, bad values behind the last row."""
    X = X.copy()
    X.data = np.append(X.data, [np.nan, np.inf])
    X.indices = np.append(X.indices, [99, -7]).astype(np.int32)
    return X


def _changed(**changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def change(X: Any) -> Any:
        X = X.copy()
        for name, function in changes.items():
            setattr(X, name, function(getattr(X, name)))
        return X

    return change


def _strided(array: Any) -> Any:
    return np.repeat(array, 2)[::2]


def _locked(array: Any) -> Any:
    array = array.copy()
    array.setflags(write=False)
    return array


def _mapped(array: Any) -> Any:
    """Return the array in a file, read only."""
    path = Path(tempfile.mkdtemp()) / "array.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


ARRAYS = ("data", "indices", "indptr")


def _all(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return _changed(**dict.fromkeys(ARRAYS, function))


def _big_endian(array: Any) -> Any:
    return array.astype(array.dtype.newbyteorder(">"))


class _Subclass(np.ndarray):
    """A subclass as of a library of units."""


# Row 6: the same numbers in another form; multiples of 1/4 are exact in all of them.
UNUSUAL: dict[str, Callable[[Any], Any]] = {
    "unsorted": _scrambled,
    "duplicates": _duplicated,
    "duplicates, read-only": lambda X: _all(_locked)(_duplicated(X)),
    "unsorted, said to be sorted": _lying,
    "stored zeros": _with_zeros,
    "stored zeros, read-only": lambda X: _all(_locked)(_with_zeros(X)),
    "unused tail": _with_tail,
    "read-only": _all(_locked),
    "unsorted, read-only": lambda X: _all(_locked)(_scrambled(X)),
    "memory-mapped": _all(_mapped),
    "unsorted, memory-mapped": lambda X: _all(_mapped)(_scrambled(X)),
    "not contiguous": _all(_strided),
    "int64 indices": _changed(
        indices=lambda a: a.astype(np.int64), indptr=lambda a: a.astype(np.int64)
    ),
    "int64 indptr": _changed(indptr=lambda a: a.astype(np.int64)),
    "int64 indices alone": _changed(indices=lambda a: a.astype(np.int64)),
    "int16 indices": _changed(indices=lambda a: a.astype(np.int16)),
    "big-endian": _all(_big_endian),
    "big-endian data": _changed(data=_big_endian),
    "big-endian indices": _changed(indices=_big_endian, indptr=_big_endian),
    "csr_array": sp.csr_array,
    "csc_matrix": sp.csc_matrix,
    "csc_array": sp.csc_array,
    "coo_matrix": sp.coo_matrix,
    "coo_array": sp.coo_array,
    "bsr_matrix": lambda X: sp.bsr_matrix(X, blocksize=(2, 3)),
    "dia_matrix": sp.dia_matrix,
    "lil_matrix": sp.lil_matrix,
    "dok_matrix": sp.dok_matrix,
    "float16": lambda X: X.toarray().astype(np.float16),
    "float16 CSR": _changed(data=lambda a: a.astype(np.float16)),
    "longdouble": lambda X: X.toarray().astype(np.longdouble),
    "longdouble CSR": lambda X: X.astype(np.longdouble),
    "object array": lambda X: X.toarray().astype(object),
    "Fortran array": lambda X: np.asfortranarray(X.toarray()),
    "strided array": lambda X: np.repeat(np.repeat(X.toarray(), 2, 0), 2, 1)[::2, ::2],
    "read-only array": lambda X: _locked(X.toarray()),
    "memory-mapped array": lambda X: _mapped(X.toarray()),
    "big-endian array": lambda X: _big_endian(X.toarray()),
    "masked array without mask": lambda X: np.ma.masked_array(X.toarray()),
    "subclass of ndarray": lambda X: X.toarray().view(_Subclass),
    "list of lists": lambda X: X.toarray().tolist(),
    "list of arrays": lambda X: list(X.toarray()),
    "list of tuples": lambda X: list(map(tuple, X.toarray().tolist())),
}
# The same for small whole numbers, of which there are fewer.
WHOLE: dict[str, Callable[[Any], Any]] = {
    **{
        dtype: lambda X, d=dtype: X.toarray().astype(d)
        for dtype in ("int8", "uint8", "int16", "int64", "uint64", ">i4")
    },
    **{
        f"{dtype} CSR": lambda X, d=dtype: X.astype(d)
        for dtype in ("int8", "uint8", "int32", "int64", "uint64")
    },
}


def _whole() -> Any:
    return sp.csr_matrix(np.ceil(values()))


def _boolean() -> Any:
    return sp.csr_matrix((values() > 0).astype(float))


def _at(way: str, name: str) -> Callable[[Any], Any]:
    return partial(WAYS[way], name)


def _lines() -> Iterator[tuple[int, str, Callable[[], Any], Any, str]]:
    """Yield the lines: row, name, input, message or equal matrix, ways to take it."""
    everywhere, here = "fit partial_fit warm_start eval_set predict", "fit predict"
    for name, make in NOT_FINITE:
        common = "CSR" in name or name.startswith("array")
        yield 1, name, make, NAMED, everywhere if common else here
    yield 1, "masked array", lambda: _masked(values()), MASKED, everywhere
    for name, make, message in BROKEN:
        yield 5, name, make, message, everywhere
    for name, make, message in OTHER_FORMS:
        yield 5, name, make, message, here
    for name, form in UNUSUAL.items():
        yield 6, name, lambda f=form: f(csr()), csr, here
    for name, form in WHOLE.items():
        yield 6, name, lambda f=form: f(_whole()), _whole, here
    for name, form in (("bool", np.asarray), ("bool CSR", sp.csr_matrix)):
        yield 6, name, lambda f=form: f(values() > 0), _boolean, here


def cases() -> Iterator[Case]:
    """Return the cases of rows 1, 5 and 6."""
    for row, name, make, expected, ways in _lines():
        for way in (word.replace("_start", " start") for word in ways.split()):
            for model in (*MODELS, *(DRAWN if way == "predict" else ())):
                act = _at(way, model)
                must: Must
                if isinstance(expected, str):
                    must = refuse(expected)
                else:
                    must = equal(lambda e=expected, a=act: a(e()))
                yield Case(row, f"{name}, {model}.{way}", make, act, must)
