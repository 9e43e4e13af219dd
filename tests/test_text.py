"""Text cells: separators, quotes and the rows of chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skwfm import _text
from skwfm._cells import Spelling, read_column


def rows(cells, form=None, **signs):
    """Return what was read as one list of (label, weight) per row."""
    bags = read_column(cells, "c", spelling=Spelling(**signs), form=form)
    weights = [1] * len(bags.codes) if bags.weights is None else bags.weights.tolist()
    pairs = list(zip([bags.labels[i] for i in bags.codes], weights, strict=True))
    return [pairs[i:j] for i, j in zip(bags.indptr, bags.indptr[1:], strict=False)]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('"a|b"|c', [("a|b", 1), ("c", 1)]),
        (' "a|b" | c ', [("a|b", 1), ("c", 1)]),
        ('"say ""hi"""|b', [('say "hi"', 1), ("b", 1)]),
        ('""|b', [("", 1), ("b", 1)]),
        ('" a "', [(" a ", 1)]),
        ('"a:1"', [("a:1", 1)]),
        ('12" vinyl|b', [('12" vinyl', 1), ("b", 1)]),
        ('"a|b":2|c:3', [("a|b", 2), ("c", 3)]),
        ('"a:5":2', [("a:5", 2)]),
        ('"a" : 2', [("a", 2)]),
        ("a|b", [("a", 1), ("b", 1)]),
        ('"new\nline"', [("new\nline", 1)]),
    ],
)
def test_quotes(cell, expected):
    assert rows([cell], quotechar='"') == [expected]
    assert rows(["", cell, None], quotechar='"') == [[], expected, []]


@pytest.mark.parametrize(
    ("cells", "row", "message"),
    [
        (["a", '"a|b'], 1, "a closing"),
        (["a", '"a"b'], 1, "a separator after the closing"),
        (['"a":1', '"a"'], 1, "a number after ':'"),
        (["a", '"b":1'], 1, "a number after ':'"),
        (['"a":x'], 0, "a separator after the closing"),
    ],
)
def test_quotes_that_do_not_fit(cells, row, message):
    with pytest.raises(ValueError, match=f"Column 'c', row {row}: got .*{message}"):
        rows(cells, quotechar='"')


def test_without_a_quote_character_quotes_are_letters():
    assert rows(['"a|b"']) == [[('"a', 1), ('b"', 1)]]
    with pytest.raises(ValueError, match="a separator after the closing"):
        rows(['"a":1'], form="plain", quotechar='"')


def test_other_signs():
    assert rows(["'a;b'=2;c=1"], sep=";", weight_sep="=", quotechar="'") == [
        [("a;b", 2), ("c", 1)]
    ]
    assert rows(["'a|b'"], sep=None, quotechar="'") == [[("a|b", 1)]]
    assert rows(["a::b::", "::c"], sep="::") == [[("a", 1), ("b", 1)], [("c", 1)]]
    assert rows(["a:", ":b"], sep="::", weight_sep=None) == [[("a:", 1)], [(":b", 1)]]
    assert rows(["a\0|b", "\0", "c"]) == [
        [("a\0", 1), ("b", 1)],
        [("\0", 1)],
        [("c", 1)],
    ]


def test_text_among_other_labels():
    assert rows(["a|b", 3, None, True, "3"]) == [
        [("a", 1), ("b", 1)],
        [(3, 1)],
        [],
        [(True, 1)],
        [("3", 1)],
    ]
    assert rows([1, True, "x", 1.0, 0, False]) == [
        [(1, 1)],
        [(True, 1)],
        [("x", 1)],
        [(1, 1)],
        [(0, 1)],
        [(False, 1)],
    ]
    with pytest.raises(TypeError, match="row 1: got bytearray"):
        rows(["a", bytearray(b"a")])


@pytest.mark.parametrize("blank", ["\x1c", "\x1f", "\x85", "\u2003", "\n"])
def test_numbers_between_any_blanks(blank):
    """Found by fuzzing: float() takes fewer blanks than text has."""
    assert rows([f"a:{blank}2{blank}|b:3"]) == [[("a", 2), ("b", 3)]]
    assert rows([f'"a":{blank}2{blank}'], quotechar='"') == [[("a", 2)]]
    assert _text.parse_number(f"{blank}2{blank}") == 2


def test_many_digits_that_are_no_number():
    """Found by fuzzing: each way to share them between two parts was tried."""
    digits = "7" * 200_000
    assert rows([f"a:{digits}x|b"]) == [[(f"a:{digits}x", 1), ("b", 1)]]
    with pytest.raises(ValueError, match="row 1: .*expected a separator after the"):
        rows(["a", f'"a":{digits}x'], quotechar='"')


def test_many_blank_separators():
    """Each was the start of a look for a quote behind all of them."""
    blanks = " " * 200_000
    assert rows([f'"a b"{blanks}"c'], sep=" ") == [[('"a', 1), ('b"', 1), ('"c', 1)]]
    expected = [[("a b", 1), ("c", 1), ("d e", 1)]]
    assert rows([f'"a b"{blanks}c{blanks}"d e"'], sep=" ", quotechar='"') == expected
    with pytest.raises(ValueError, match="a closing"):
        rows([f'"a b"{blanks}"c{blanks}'], sep=" ", quotechar='"')


def plainly_split(text, sep, quote):
    """Split letter by letter; return None if a quote that opens is never closed."""
    pieces, start = [], 0
    while True:
        at = start
        while text[at : at + 1].isspace():
            at += 1
        at = behind_quotes(text, at, quote) if text.startswith(quote, at) else start
        if at is None:
            return None
        at = text.find(sep, at)
        if at < 0:
            return [*pieces, text[start:]]
        pieces.append(text[start:at])
        start = at + len(sep)


def behind_quotes(text, at, quote):
    """Return the place behind the quote that closes the one at a place, or None."""
    at += 1
    while at < len(text):
        if text.startswith(quote * 2, at):
            at += 2
        elif text[at] == quote:
            return at + 1
        else:
            at += 1
    return None


@given(st.text('ab" |', max_size=14), st.sampled_from(["|", " ", "a", "||", " |"]))
def test_quoted_splitting_is_that_letter_by_letter(text, sep):
    expected = plainly_split(text, sep, '"')
    if expected is None:
        with pytest.raises(ValueError, match="a closing|a separator after"):
            rows([text], sep=sep, quotechar='"')
    else:
        assert _text._split_quoted(text, sep, '"') == expected


CELLS = st.lists(st.none() | st.text("ab|: \0é", max_size=8), min_size=1, max_size=12)


@given(CELLS, st.sampled_from(["|", "||", "a"]), st.integers(1, 4))
def test_joined_splitting_equals_cell_by_cell(cells, sep, step):
    def slowly(cell):
        parts = [part.strip() for part in (cell or "").split(sep)]
        return [(part, 1) for part in parts if part]

    expected = list(map(slowly, cells))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_text, "_CHUNK", step)
        assert rows(cells, sep=sep, weight_sep=None) == expected
        assert rows([*cells, 7], sep=sep, weight_sep=None)[:-1] == expected


WEIGHTED = st.lists(
    st.lists(st.tuples(st.text("ab:", min_size=1, max_size=3), st.integers(-9, 9)))
    | st.none(),
    min_size=1,
    max_size=9,
)


@given(WEIGHTED, st.integers(1, 4))
def test_weighted_text_equals_its_pairs(cells, step):
    texts = [cell and "|".join(f"{x} :{w}" for x, w in cell) or "" for cell in cells]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_text, "_WEIGHTED_CHUNK", step)
        assert rows(texts, form="weighted") == [cell or [] for cell in cells]
