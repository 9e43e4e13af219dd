"""Arrow columns to bags without a Python object per entry.

Lists keep their offsets, and their flat values are dictionary encoded chunk by chunk,
text by the compiled core and all else by Arrow: only the distinct labels of a chunk
become Python values. A column that this module does not read (nested lists, quoted or
weighted text) is read as Python cells instead, and so is one with a fault, for the sake
of the message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skwfm._columns import (
    Bags,
    Codes,
    Column,
    Form,
    Indptr,
    Numbering,
    Weights,
    check_labels,
    row_pointer,
)
from skwfm._frames import Coded
from skwfm._text import Spelling, finish_pieces, text_form

__all__ = ["flat_numbers", "is_arrow", "read_arrow", "to_cells"]


class _Flat(NamedTuple):
    """The lists of a chunk, flat: an Arrow array per field of its values."""

    sizes: Indptr
    values: list[Any]


def is_arrow(cells: Any) -> bool:
    """Tell a pyarrow ChunkedArray."""
    return hasattr(cells, "to_pylist") and hasattr(cells, "chunks")


def to_cells(array: Any) -> list[Any]:
    """Return a column as Python cells; structs in lists become tuples."""
    cells: list[Any] = array.to_pylist()
    if not _is_struct(getattr(array.type, "value_type", None)):
        return cells
    return [
        cell and [tuple(s.values()) if isinstance(s, dict) else s for s in cell]
        for cell in cells
    ]


def read_arrow(
    column: Column, spelling: Spelling, form: Form | None
) -> Bags | Coded | None:
    """Read a column of an Arrow ChunkedArray.

    Parameters
    ----------
    column : Column
        Its cells are the array.
    spelling : Spelling
    form : {"bags", "plain", "weighted"} or None

    Returns
    -------
    Bags; Coded, for cells that are single values; or None
        None: the cells are to be read as Python values.
    """
    array = column.cells
    if array.null_count == len(array):
        return Bags(
            [], np.empty(0, np.int32), None, row_pointer([0] * len(array)), form
        )
    try:
        if _is_list(array.type):
            return _read_lists(column) if form in (None, "bags") else None
        if _is_text(array.type):
            return _read_text(column, spelling, form)
        return _encode(array)
    except (TypeError, ValueError, NotImplementedError):
        return None


def flat_numbers(array: Any) -> tuple[Weights, Indptr] | None:
    """Return the numbers of a column of numbers or lists of them; None: neither."""
    values, sizes = [np.empty(0)], [np.empty(0, np.int64)]
    try:
        for chunk in _chunks(array):
            flat = _flatten(chunk) if _is_list(array.type) else _singles(chunk)
            [numbers] = flat.values
            values.append(_numbers(numbers))
            sizes.append(flat.sizes)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return np.concatenate(values), row_pointer(np.concatenate(sizes))


# --- kinds of arrays ----------------------------------------------------------------


def _is_list(kind: Any) -> bool:
    import pyarrow.types as t

    tests = (t.is_list, t.is_large_list, t.is_fixed_size_list, t.is_map)
    return any(test(kind) for test in tests)


def _is_struct(kind: Any) -> bool:
    import pyarrow.types as t

    return kind is not None and bool(t.is_struct(kind))


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_number(kind: Any) -> bool:
    import pyarrow.types as t

    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind))


# --- lists --------------------------------------------------------------------------


def _chunks(array: Any) -> list[Any]:
    return [chunk for chunk in array.chunks if len(chunk)]


def _joined(arrays: list[Any]) -> Any:
    """Return arrays as one, which is the array itself if there is but one."""
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _read_lists(column: Column) -> Bags:
    """Read lists of labels, lists of structs (label, weight), and maps."""
    numbering = Numbering()
    codes: list[Codes] = []
    sizes: list[Indptr] = []
    weights: list[Weights] = []
    for chunk in _chunks(column.cells):
        flat = _flatten(chunk)
        labels, *rest = flat.values
        codes.append(_codes(numbering, labels))
        sizes.append(flat.sizes)
        weights.extend(map(_numbers, rest))
    entries, indptr = _joined(codes), row_pointer(_joined(sizes))
    distinct = check_labels(column, numbering.labels(), entries, indptr)
    heavy = _joined(weights) if weights else None
    return Bags(distinct, entries, heavy, indptr, "bags")


def _flatten(chunk: Any) -> _Flat:
    """Return what the lists hold, less what stands behind null lists."""
    import pyarrow as pa

    valid = chunk.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(chunk.type):
        sizes = np.full(len(chunk), chunk.type.list_size, dtype=np.int64)
        first = chunk.offset * chunk.type.list_size
    else:
        offsets = chunk.offsets.to_numpy().astype(np.int64)
        sizes, first = np.diff(offsets), offsets[0]
    values = chunk.values.slice(first, sizes.sum())
    if sizes[~valid].any():
        values = values.filter(pa.array(np.repeat(valid, sizes)))
        sizes = np.where(valid, sizes, 0)
    if not _is_struct(values.type):
        return _Flat(sizes, [values])
    if values.type.num_fields != 2:
        raise TypeError("a struct of (label, weight) has two fields")
    return _Flat(sizes, values.flatten())


def _codes(numbering: Numbering, values: Any) -> Codes:
    """Return the numbers of Arrow values that are labels."""
    import pyarrow as pa

    if values.null_count:
        raise ValueError("a missing label")
    if str(values.type) == "string_view":
        values = values.cast(pa.large_string())
    if _is_text(values.type):
        found = _codes_of_texts(numbering, values)
        if found is not None:
            return found
    is_encoded = pa.types.is_dictionary(values.type)
    encoded = values if is_encoded else values.dictionary_encode()
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    labels = encoded.dictionary.to_pylist()
    if is_encoded:  # by the user, perhaps with more values than are in use
        used = Coded.used(labels, indices.astype(np.int64))
        labels, indices = used.values, used.codes
    numbers = numbering.codes(labels, len(labels))
    return np.asarray(numbers[indices])


def _codes_of_texts(numbering: Numbering, values: Any) -> Codes | None:
    """Return the numbers of Arrow texts from their memory; None: in another way."""
    _, ends, text = values.buffers()
    if ends is None or text is None:
        return None
    kind = np.int64 if str(values.type) == "large_string" else np.int32
    flat = np.frombuffer(ends, kind)[values.offset :][: len(values) + 1]
    return numbering.codes_of_texts(text, flat)


def _numbers(values: Any) -> Weights:
    """Return finite Arrow numbers as float64, in memory that may be written."""
    import pyarrow as pa

    if values.null_count or not _is_number(values.type):
        raise TypeError("weights are numbers")
    out = np.array(values.cast(pa.float64(), safe=False).to_numpy())
    if not np.isfinite(out).all():
        raise ValueError("weights are finite")
    return out


# --- text and single values ---------------------------------------------------------


def _read_text(
    column: Column, spelling: Spelling, form: Form | None
) -> Bags | Coded | None:
    """Read plain text without quotes; None: anything else."""
    import pyarrow.compute as pc

    quote, array = spelling.quotechar, column.cells
    if quote and pc.any(pc.match_substring(array, quote)).as_py():
        return None
    found = form or text_form((cell.as_py() for cell in array), spelling)
    if found not in ("plain", None):
        return None
    numbering = Numbering()
    codes: list[Codes] = []
    sizes: list[Indptr] = []
    for chunk in _chunks(array):
        flat = _split(chunk, spelling.sep)
        codes.append(_codes(numbering, flat.values[0]))
        sizes.append(flat.sizes)
    entries, indptr = _joined(codes), row_pointer(_joined(sizes))
    return finish_pieces(column, numbering.labels(), entries, indptr, spelling, form)


def _split(chunk: Any, sep: str | None) -> _Flat:
    import pyarrow as pa
    import pyarrow.compute as pc

    if str(chunk.type) == "string_view":
        chunk = chunk.cast(pa.large_string())
    return _singles(chunk) if sep is None else _flatten(pc.split_pattern(chunk, sep))


def _singles(chunk: Any) -> _Flat:
    valid = chunk.is_valid().to_numpy(zero_copy_only=False)
    return _Flat(valid.astype(np.int64), [chunk.drop_null()])


def _encode(array: Any) -> Coded:
    """Return single values dictionary encoded."""
    import pyarrow as pa

    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    chunks = _chunks(array.unify_dictionaries())
    codes = [
        chunk.indices.cast(pa.int64()).fill_null(-1).to_numpy() for chunk in chunks
    ]
    return Coded.used(chunks[0].dictionary.to_pylist(), np.concatenate(codes))
