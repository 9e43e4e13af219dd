"""Columns of text, or of other single labels, to bags.

Text is split at the separator into raw *pieces*, which are numbered like labels; what
a piece says is then found once per distinct piece:

    piece = label | label weight_sep number | quoted | quoted weight_sep number

with blanks around any of them. In a quoted label the separators are letters like all
others and a doubled quote is one quote. Cost: in the compiled core some 30 ns per piece
of plain text; else one join and one split of some thousand cells at a time, and a
dictionary look-up per piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple, NoReturn

import numpy as np

from skwfm._columns import (
    Bags,
    Codes,
    Column,
    Flat,
    Form,
    Indptr,
    Numbering,
    Weights,
    check_finite,
    check_labels,
    row_of,
    row_pointer,
)

__all__ = [
    "Spelling",
    "finish_pieces",
    "is_text",
    "parse_number",
    "read_values",
    "text_form",
]

# A finite decimal number; "nan", "inf" and "1_000", which float() takes, are text. No
# two parts can take the same digits: what is no number is known after one pass.
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
# The piece of one letter between two texts: CPython has it once, so it costs little.
_ROW_END = "\0"
# Cells at a time: their pieces stay in the processor's cache.
_CHUNK = 1024
# Cells at a time where the compiled core splits them: fewer distinct pieces in all.
_LARGE_CHUNK = 2**15
# Weighted text may have as many distinct pieces as entries: they are forgotten after
# so many cells.
_WEIGHTED_CHUNK = 2**15


class Spelling(NamedTuple):
    """How text cells are written; None: there is no such sign."""

    sep: str | None = "|"
    weight_sep: str | None = ":"
    quotechar: str | None = None


class _Piece(NamedTuple):
    """What a raw piece says; label None: nothing, number None: no weight."""

    label: Any
    number: str | None


def is_text(value: Any) -> bool:
    """Tell text, to be split, from other single labels."""
    return isinstance(value, str)


def parse_number(text: str) -> float | None:
    """Return a decimal number, None if the text is not one."""
    # float() knows fewer blanks than text has: not those from 28 to 31.
    return float(text.strip()) if _NUMBER.fullmatch(text) else None


def read_values(
    column: Column, values: list[Any], spelling: Spelling, form: Form | None
) -> Bags:
    """Read cells of which none is a container, missing ones being None."""
    if form != "weighted" and not any(map(is_text, values)):
        return _read_single(column, values, form)
    found = text_form(values, spelling) if form is None else form
    if found == "weighted":
        return _read_weighted(column, values, spelling)
    numbering = Numbering()
    types = set(map(type, values))
    if spelling.sep and types <= {str, type(None)}:
        any_missing = type(None) in types
        parts = _number_texts(numbering, values, spelling, any_missing)
    else:
        parts = (
            (numbering.codes(pieces, len(pieces)), sizes)
            for _, pieces, sizes in _pieces(column, values, spelling, _CHUNK)
        )
    codes, sizes = Flat(np.int32), Flat(np.int64)
    for some_codes, some_sizes in parts:
        codes.extend(some_codes)
        sizes.extend(some_sizes)
    indptr = row_pointer(sizes.array())
    labels = numbering.labels()
    return finish_pieces(column, labels, codes.array(), indptr, spelling, form)


def _number_texts(
    numbering: Numbering, values: list[Any], spelling: Spelling, any_missing: bool
) -> Iterator[tuple[Codes, Any]]:
    """Yield the numbers of the raw pieces of text and how many a row has."""
    sep, quote = str(spelling.sep), spelling.quotechar
    for start in range(0, len(values), _LARGE_CHUNK):
        texts = values[start : start + _LARGE_CHUNK]
        if any_missing:
            texts = ["" if text is None else text for text in texts]
        found = None
        if not quote or not any(quote in text for text in texts):
            found = numbering.codes_of_pieces(texts, sep)
        if found is None:
            yield from _number_split(numbering, texts, spelling)
        else:
            yield found


def _number_split(
    numbering: Numbering, values: list[str], spelling: Spelling
) -> Iterator[tuple[Codes, Any]]:
    """Do what `_number_texts` does, in Python.

    The texts are joined with a piece between them that marks the end of a row: one
    split gives all pieces, and the marks among their numbers give the rows.
    """
    joint = f"{spelling.sep}{_ROW_END}{spelling.sep}"
    for start in range(0, len(values), _CHUNK):
        texts = values[start : start + _CHUNK]
        whole = joint.join(texts)
        if whole.count(_ROW_END) >= len(texts) or _is_special(whole, spelling):
            pieces, sizes = _split_texts(texts, spelling)
            yield numbering.codes(pieces, len(pieces)), sizes
            continue
        pieces = whole.split(spelling.sep)
        codes = numbering.codes([_ROW_END, *pieces], len(pieces) + 1)
        codes, mark = codes[1:], codes[0]
        ends = np.flatnonzero(codes == mark)
        sizes = np.diff(np.concatenate([[-1], ends, [len(codes)]])) - 1
        yield codes[codes != mark], sizes


def _read_single(column: Column, values: list[Any], form: Form | None) -> Bags:
    """Read cells of which none is text."""
    labels = [value for value in values if value is not None]
    numbering = Numbering()
    try:
        codes = numbering.codes(labels, len(labels))
    except TypeError:
        _fail_unhashable(column, values)
    indptr = row_pointer(np.fromiter((v is not None for v in values), bool))
    distinct = check_labels(column, numbering.labels(), codes, indptr)
    return Bags(distinct, codes, None, indptr, form or ("plain" if labels else None))


def _fail_unhashable(column: Column, values: list[Any]) -> NoReturn:
    for row, value in enumerate(values):
        try:
            hash(value)
        except TypeError:
            expected = "labels that are hashable single values"
            column.fail(row, expected, TypeError)
    raise AssertionError("every value is hashable")


# --- splitting ----------------------------------------------------------------------


def _pieces(
    column: Column, values: list[Any], spelling: Spelling, step: int
) -> Iterator[tuple[int, list[Any], Any]]:
    """Yield, for some cells at a time, first row, raw pieces and their numbers."""
    all_text = set(map(type, values)) <= {str, type(None)}
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        if all_text:
            chunk = ["" if value is None else value for value in chunk]
            yield start, *_split_texts(chunk, spelling)
            continue
        bags = [_split(value, spelling) for value in chunk]
        sizes = np.fromiter(map(len, bags), np.int64, len(bags))
        pieces = [piece for bag in bags for piece in bag]
        try:
            hash(tuple(pieces))
        except TypeError:
            rest = Column(column.cells[start:], column.name)
            _fail_unhashable(rest, chunk)
        yield start, pieces, sizes


def _split_texts(texts: list[str], spelling: Spelling) -> tuple[list[str], Any]:
    sep = spelling.sep
    if sep is None:
        return texts, np.ones(len(texts), dtype=np.int64)
    whole = sep.join(texts)
    if _is_special(whole, spelling):
        bags = [_split(text, spelling) for text in texts]
        sizes = np.fromiter(map(len, bags), np.int64, len(bags))
        return [piece for bag in bags for piece in bag], sizes
    counts = np.fromiter(map(str.count, texts, repeat(sep)), np.int64, len(texts))
    return whole.split(sep), counts + 1


def _is_special(whole: str, spelling: Spelling) -> bool:
    """Tell text that cannot be joined and split as one.

    With a separator such as "::" the end of a text could be taken for one.
    """
    sep, quote = str(spelling.sep), spelling.quotechar
    overlaps = any(sep.startswith(sep[i:]) for i in range(1, len(sep)))
    return overlaps or bool(quote and quote in whole)


def _split(value: Any, spelling: Spelling) -> list[Any]:
    """Split one cell into raw pieces."""
    if value is None:
        return []
    if not is_text(value) or spelling.sep is None:
        return [value]
    if spelling.quotechar and spelling.quotechar in value:
        return _split_quoted(value, spelling.sep, spelling.quotechar)
    pieces: list[Any] = value.split(spelling.sep)
    return pieces


def _split_quoted(text: str, sep: str, quote: str) -> list[str]:
    """Split at separators outside quotes; a quote opens at the start of a piece."""
    q = re.escape(quote)
    quoted = re.compile(f"(\\s*)({q}(?:[^{q}]|{q}{q})*{q})?")
    pieces: list[str] = []
    start, blanks, quotes = 0, -1, -1
    while True:
        if start > blanks:  # a blank separator is among the blanks, looked at once
            found = quoted.match(text, start)
            assert found is not None  # it matches nothing, too
            blanks, quotes = found.end(1), found.end(2)
        at = text.find(sep, max(start, quotes))
        if at < 0:
            return [*pieces, text[start:]]
        pieces.append(text[start:at])
        start = at + len(sep)


# --- what a piece says --------------------------------------------------------------


def _parse(piece: Any, spelling: Spelling) -> _Piece | str:
    """Return what a raw piece says, or what was expected of it."""
    if not is_text(piece):
        return _Piece(piece, None)
    text, weight_sep = piece.strip(), spelling.weight_sep
    if spelling.quotechar and text.startswith(spelling.quotechar):
        return _parse_quoted(text, spelling.quotechar, weight_sep)
    if weight_sep and weight_sep in text:
        label, _, number = text.rpartition(weight_sep)
        if _NUMBER.fullmatch(number):
            return _Piece(label.rstrip() or None, number.strip())
    return _Piece(text or None, None)


def _parse_quoted(text: str, quote: str, weight_sep: str | None) -> _Piece | str:
    q = re.escape(quote)
    parts = re.fullmatch(f"{q}((?:[^{q}]|{q}{q})*){q}(?!{q})(.*)", text, re.DOTALL)
    if parts is None:
        return f"a closing {quote!r} (a quote inside quotes is doubled)"
    label, tail = parts[1].replace(quote * 2, quote), parts[2].strip()
    if not tail:
        return _Piece(label, None)
    number = tail.removeprefix(weight_sep) if weight_sep else tail
    if number != tail and _NUMBER.fullmatch(number):
        return _Piece(label, number.strip())
    return f"a separator after the closing {quote!r}"


def text_form(values: Iterable[Any], spelling: Spelling) -> Form | None:
    """Decide by the first cell with a label whether text carries weights."""
    for value in values:
        parsed = [_parse(piece, spelling) for piece in _split(value, spelling)]
        said = [p for p in parsed if isinstance(p, str) or p != (None, None)]
        if said:
            weighted = all(not isinstance(p, str) and p.number for p in said)
            return "weighted" if weighted else "plain"
    return None


def _half_weighted(weight_sep: str) -> str:
    return (
        f"a number after {weight_sep!r} for every label of the column or for none; "
        f"pass weight_sep=None if {weight_sep!r} is part of the labels"
    )


def finish_pieces(
    column: Column,
    pieces: list[Any],
    codes: Codes,
    indptr: Indptr,
    spelling: Spelling,
    form: Form | None,
) -> Bags:
    """Return the bags of plain text from numbered raw pieces.

    Parameters
    ----------
    column : Column
    pieces : list
        Distinct raw pieces: text, or other labels.
    codes : array of int32
        Number of the piece of every entry; used up.
    indptr : array of int64
    spelling : Spelling
    form : {"plain"} or None
        None: find out that the text is plain, and refuse weights.
    """
    if form == "plain":  # then a weight is part of the label
        spelling = spelling._replace(weight_sep=None)
    parsed = []
    for code, piece in enumerate(pieces):
        said = _parse(piece, spelling)
        if not isinstance(said, str) and said.number is not None:
            said = _half_weighted(str(spelling.weight_sep))
        if isinstance(said, str):
            column.fail(row_of(indptr, int(np.argmax(codes == code))), said)
        parsed.append(said)
    numbering = Numbering()
    codes, indptr = _number_labels(parsed, codes, indptr, numbering)
    labels = check_labels(column, numbering.labels(), codes, indptr)
    return Bags(labels, codes, None, indptr, form or ("plain" if len(codes) else None))


def _number_labels(
    parsed: list[_Piece], codes: Codes, indptr: Indptr, numbering: Numbering
) -> tuple[Codes, Indptr]:
    """Renumber raw pieces by their labels, dropping those that say nothing."""
    said = np.fromiter((p.label is not None for p in parsed), bool, len(parsed))
    known = [p.label for p in parsed if p.label is not None]
    number = np.full(len(parsed), -1, dtype=np.int32)
    number[said] = numbering.codes(known, len(known))
    codes = np.take(number, codes, out=codes, mode="clip")  # see to_csr
    if not said.all():
        keep = codes >= 0
        codes, indptr = codes[keep], row_pointer(keep)[indptr]
    return codes, indptr


# --- weighted text ------------------------------------------------------------------


def _read_weighted(column: Column, values: list[Any], spelling: Spelling) -> Bags:
    """Read text of which every piece must have a weight."""
    numbering = Numbering()
    parts = [
        _read_weighted_chunk(column, numbering, *chunk, spelling)
        for chunk in _pieces(column, values, spelling, _WEIGHTED_CHUNK)
    ]
    empty = np.empty(0, np.int32), np.empty(0), np.empty(0, np.int64)
    arrays = zip(empty, *parts, strict=True)
    codes, weights, sizes = (np.concatenate(part) for part in arrays)
    indptr = row_pointer(sizes)
    labels = check_labels(column, numbering.labels(), codes, indptr)
    return Bags(labels, codes, weights, indptr, "weighted")


def _read_weighted_chunk(
    column: Column,
    numbering: Numbering,
    first_row: int,
    pieces: list[Any],
    sizes: Any,
    spelling: Spelling,
) -> tuple[Codes, Weights, Any]:
    """Return codes and weights of the labels and their number per row."""
    local = Numbering()
    codes, indptr = local.codes(pieces, len(pieces)), row_pointer(sizes)
    parsed = []
    for code, piece in enumerate(local.labels()):
        said = _check_weighted(_parse(piece, spelling), piece, str(spelling.weight_sep))
        if isinstance(said, str):
            row = row_of(indptr, int(np.argmax(codes == code)))
            column.fail(first_row + row, said)
        parsed.append(said)
    numbers = np.array([float(p.number or 0) for p in parsed])
    weights = numbers[codes] if parsed else np.empty(0)
    kept = np.array([p.label is not None for p in parsed], dtype=bool)
    keep = kept[codes]
    codes, indptr = _number_labels(parsed, codes, indptr, numbering)
    weights = weights[keep]
    check_finite(column, weights, indptr, first_row)
    return codes, weights, np.diff(indptr)


def _check_weighted(said: _Piece | str, piece: Any, weight_sep: str) -> _Piece | str:
    """Return what a piece of weighted text says, or what was expected of it."""
    if isinstance(said, str) or (said.label is None and said.number is None):
        return said
    if said.number is None:
        return _half_weighted(weight_sep)
    return f"a label before every {weight_sep!r}" if said.label is None else said
