"""Checks and error texts of files in the format of libFFM, see `_validation`.

A fault in a file is told with file and line, the token, and what was expected.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from skwfm._validation import shorten


def token_error(
    place: str, fault: str, token: bytes, limits: dict[str, int], dtype: object
) -> str:
    """Word the error for one token of a libFFM file.

    Parameters
    ----------
    place : str
        The file and its line.
    fault : {"label", "entry", "field", "feature", "value", "sum"}
        What is wrong with it; ``"sum"``: with the sum of repeated entries.
    token : bytes
        Anything.
    limits : dict
        What the ids of a ``"field"`` and of a ``"feature"`` are below.
    dtype : dtype
        That of the values.
    """
    if fault == "sum":
        return (
            f"{place}: the values of a repeated entry add up to infinity, expected a "
            f"sum in the range of {dtype}."
        )
    expected = {
        "label": "the label of the row, a finite number, before its entries",
        "entry": "field:feature:value (files of feature:value are for scikit-learn's "
        "load_svmlight_file)",
        "value": f"field:feature:value with a finite number in the range of {dtype}",
    }
    if fault in limits:
        expected[fault] = (
            f"field:feature:value with a {fault} id, a whole number from 0 to "
            f"{limits[fault] - 1}"
        )
    try:
        text = token.decode()
    except UnicodeDecodeError:
        text = token.decode("latin-1")
    return f"{place}: got {shorten(text)}, expected {expected[fault]}."


def two_fields_error(place: str, feature: int, field: int, known: int) -> str:
    """Word the error for a feature that a file has in two fields."""
    return (
        f"{place}: got feature {feature} in field {field}, but it is known in field "
        f"{known}. A column of columns='features' has one field; 'pairs' makes a "
        "column of every field and feature."
    )


def unknown_pair_error(place: str, field: int, feature: int) -> str:
    """Word the error for a field and feature that no column has."""
    return (
        f"{place}: got {field}:{feature}, expected a field:feature of columns=. Drop "
        "the unknown by handle_unknown='ignore'."
    )


def empty_file_error(name: str) -> str:
    """Word the error for a libFFM file without a row."""
    return f"{name}: no row, expected at least one 'label field:feature:value ...'."


def long_line_error(place: str) -> str:
    """Word the error for a line that no text file has."""
    return f"{place}: this line has no end, expected a text file of rows."


def damaged_file_error(name: str, line: int, error: object) -> str:
    """Word the error for compressed data that end too early or make no sense."""
    return (
        f"{name}:{line}: the compressed file is damaged or cut off here ({error}), "
        "expected a whole one."
    )


def file_type_error(name: str, got: object) -> str:
    """Word the error for what is neither a path nor a binary file."""
    return (
        f"{name}: got {type(got).__name__}, expected a path or a file opened in "
        "binary mode."
    )


def check_ffm_columns(fields: Any, features: Any) -> None:
    """Raise unless ids of fields and features name columns.

    Parameters
    ----------
    fields : array
        Field of every column; -1 where `features` is None and the feature has none.
    features : array or None
        Feature of every column; None: its number.
    """
    _check_ids("fields", fields, -1 if features is None else 0)
    if features is None:
        return
    _check_ids("features", features, 0)
    if len(features) != len(fields):
        raise ValueError(
            f"features has {len(features)} ids and fields {len(fields)}, expected one "
            "of each per column."
        )
    pairs = fields.astype(np.int64) << 32 | features.astype(np.int64)
    if len(np.unique(pairs)) < len(pairs):
        raise ValueError(
            "fields and features name two columns alike, expected a different pair "
            "for each."
        )


def _check_ids(name: str, ids: Any, lowest: int) -> None:
    good = ids.ndim == 1 and (ids.dtype.kind in "iu" or not ids.size)
    if not good or (ids.size and not lowest <= ids.min() <= ids.max() < 2**31):
        raise ValueError(
            f"{name}={shorten(ids)}: expected one whole number from {lowest} to "
            f"{2**31 - 1} per column."
        )


def check_field_ids(ids: Any, known: Any) -> None:
    """Raise unless the ids of all fields ascend and hold those of the columns."""
    _check_ids("field_ids", ids, 0)
    if (np.diff(ids) <= 0).any() or not np.isin(known, ids).all():
        raise ValueError(
            f"field_ids={shorten(ids)}: expected ascending ids, with those of fields, "
            f"{shorten(known)}, among them."
        )


def float_type(dtype: Any) -> np.dtype[Any] | None:
    """Return float32 or float64 as a dtype; None for anything else.

    Of text only names come to NumPy, which reads some other text as Python: what a
    model file says must not.
    """
    if isinstance(dtype, str) and not re.fullmatch(r"[<>=|]?\w+", dtype):
        return None
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        return None
    return found if found in (np.float32, np.float64) else None


def check_float_type(dtype: Any) -> np.dtype[Any]:
    """Return float32 or float64 as a dtype."""
    found = float_type(dtype)
    if found is None:
        raise ValueError(f"dtype={shorten(dtype)}: expected float32 or float64.")
    return found


def check_ffm_parameters(columns: Any, n_features: object, n_fields: object) -> None:
    """Raise when parameters of a reader of libFFM files contradict each other."""
    if n_features is not None and columns != "features":
        raise ValueError(
            f"n_features={n_features!r} needs columns='features', got columns="
            f"{shorten(columns)}. The columns of 'pairs' are those that occur."
        )
    if n_fields is not None and not isinstance(columns, str):
        raise ValueError(
            f"n_fields={n_fields!r}, but columns= knows the fields: drop one of both."
        )


def check_real_type(dtype: Any) -> None:
    """Raise when the values of a matrix are not real numbers."""
    if dtype.kind not in "buif":
        raise ValueError(f"X has dtype {dtype}, expected real numbers.")


def check_dump(y: Any, n_rows: int, n_columns: int, columns: Any) -> Any:
    """Return y as float64, shape (n_rows,), to write beside rows; or raise."""
    try:
        values = np.asarray(column_or_1d(y, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y={shorten(y)}: {error}. A libFFM file has one number per row; encode "
            "classes as numbers."
        ) from error
    if len(values) != n_rows:
        raise ValueError(f"y has {len(values)} numbers, expected {n_rows} like X.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"y, row {row}: got {values[row]!s}, expected finite numbers.")
    if columns is not None and columns.n_columns != n_columns:
        raise ValueError(
            f"columns names {columns.n_columns} columns, expected {n_columns} like X."
        )
    return values
