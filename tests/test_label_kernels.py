"""Labels to numbers and canonical rows: the compiled core against its slow twins."""

from collections import defaultdict

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skwfm import WeightedMultiLabelEncoder
from skwfm._columns import Bags, Numbering, _to_csr_slowly, to_csr
from skwfm._kernels import compiled, labels

needs_core = pytest.mark.skipif(not compiled.available(), reason="needs the core")

TEXTS = st.text("abé|:\0😀\ud800", max_size=12) | st.text("ab", min_size=5, max_size=40)
LABELS = st.sampled_from(["a", "b", 2, 0.5, None]) | st.integers(-5, 5)


def new_index():
    index = defaultdict()
    index.default_factory = index.__len__
    return index


def first_seen(items):
    """Number items by their first occurrence, the obvious way."""
    seen = list(dict.fromkeys(items))
    return seen, [seen.index(item) for item in items]


# --- containers ---------------------------------------------------------------------


class Odd:
    """A collection that tells a wrong length."""

    def __iter__(self):
        return iter("abc")


class Shrinking:
    """A label that empties the list it is in."""

    def __init__(self, bag):
        self.bag = bag

    def __hash__(self):
        self.bag.clear()
        return 0


@given(st.lists(st.lists(LABELS) | st.sets(LABELS) | st.dictionaries(LABELS, LABELS)))
def test_labels_in_bags(bags):
    bags += [tuple(bag) for bag in bags]
    count = sum(map(len, bags))
    seen, expected = first_seen([label for bag in bags for label in bag])
    for number in (labels.number_bags, labels.number_bags_slowly):
        index = new_index()
        codes = number(index, bags, count)
        assert codes.dtype == np.int32
        assert_array_equal(codes, expected)
        assert index == dict(zip(seen, range(len(seen)), strict=True))


def test_known_labels_keep_their_number():
    index = new_index()
    assert_array_equal(labels.number_bags(index, [["a", "b"]], 2), [0, 1])
    assert_array_equal(labels.number_bags(index, [("b", "c"), {"a": 1}], 3), [1, 2, 0])


def test_label_without_hash():
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        labels.number_bags(new_index(), [["a"], [[]]], 2)
    numbering = Numbering()
    with pytest.raises(TypeError, match="unhashable"):
        numbering.codes_in([["a", []]], 2)
    assert len(numbering) == 0


@needs_core
@pytest.mark.parametrize(("count", "word"), [(2, "more"), (4, "fewer")])
def test_wrong_count(count, word):
    with pytest.raises(ValueError, match=f"{word} labels than were counted"):
        labels.number_bags(new_index(), [Odd()], count)


@needs_core
def test_bag_that_changes_while_it_is_read():
    bag = ["a"]
    bag += [Shrinking(bag), "b"]
    with pytest.raises(ValueError, match="fewer labels than were counted"):
        labels.number_bags(new_index(), [bag], 3)


def test_bools_are_not_numbers():
    numbering = Numbering()
    assert_array_equal(
        numbering.codes_in([[1, True], [0, False, 1]], 5), [0, 1, 2, 3, 0]
    )
    assert numbering.labels() == [1, True, 0, False]


# --- text ---------------------------------------------------------------------------


@needs_core
@given(st.lists(TEXTS), st.sampled_from(["|", "::", "é", "aba", "😀", "ab"]))
def test_pieces_are_those_of_split(rows, sep):
    found = labels.number_pieces(rows, sep)
    if any("\0" in row for row in rows):
        assert found is None
        return
    seen, codes = first_seen([piece for row in rows for piece in row.split(sep)])
    decoded = [piece.decode("utf-8", "surrogatepass") for piece in found.labels]
    assert decoded == seen
    assert_array_equal(found.codes, codes)
    assert_array_equal(found.sizes, [len(row.split(sep)) for row in rows])


@needs_core
def test_many_different_pieces():
    pieces = [f"{i}" * (1 + i % 7) for i in range(20_000)]
    found = labels.number_pieces(["|".join(pieces), "|".join(pieces[::-1])], "|")
    seen, first = np.unique(pieces, return_index=True)
    assert len(found.labels) == len(seen)
    assert_array_equal(np.array(found.labels)[found.codes[:20_000]].astype(str), pieces)
    assert_array_equal(found.codes[20_000:], found.codes[:20_000][::-1])


def test_separator_with_zero_byte():
    assert labels.number_pieces(["a"], "\0") is None


@needs_core
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(st.lists(st.binary(max_size=20)))
def test_texts_one_after_the_other(dtype, texts):
    ends = np.cumsum([3, *map(len, texts)]).astype(dtype)
    found, codes = labels.number_texts(b"___" + b"".join(texts), ends)
    seen, expected = first_seen(texts)
    assert found == seen
    assert_array_equal(codes, expected)


@needs_core
@pytest.mark.parametrize("ends", [[0, 2, 1], [-1, 1], [0, 9]])
def test_ends_outside_the_text(ends):
    with pytest.raises(ValueError, match="texts"):
        labels.number_texts(b"abc", np.array(ends))


# --- rows ---------------------------------------------------------------------------


@st.composite
def bags(draw):
    n_labels, sizes = draw(st.integers(1, 6)), draw(st.lists(st.integers(0, 60)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    codes = rng.integers(0, n_labels, sum(sizes)).astype(np.int32)
    weights = rng.integers(-2, 3, sum(sizes)) / 2 if draw(st.booleans()) else None
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    columns = rng.permutation(n_labels).astype(np.int32)
    columns[rng.random(n_labels) < draw(st.sampled_from([0, 0.3]))] = -1
    return Bags(list(range(n_labels)), codes, weights, indptr, "bags"), columns


def copied(bags):
    weights = None if bags.weights is None else bags.weights.copy()
    return bags._replace(codes=bags.codes.copy(), weights=weights)


@given(bags())
def test_canonical_rows(drawn):
    bags, columns = drawn
    expected = _to_csr_slowly(copied(bags), columns, len(columns))
    out = to_csr(copied(bags), columns, len(columns))
    assert out.dtype == expected.dtype
    for name in ("indptr", "indices", "data"):
        assert_array_equal(getattr(out, name), getattr(expected, name))
    again = sp.csr_matrix((out.data, out.indices, out.indptr), out.shape)
    assert again.has_canonical_format and np.count_nonzero(out.data) == out.nnz


@needs_core
@pytest.mark.parametrize("size", [1, 5, 48, 49, 500])
def test_equal_columns_are_summed_in_their_order(size):
    weights = np.array([1e16, 1.0, -1e16, 1.0] * size)
    codes = np.array([0, 1, 0, 1] * size, dtype=np.int32)
    indptr = np.array([0, len(codes)])
    columns = np.array([1, 0], dtype=np.int32)
    ends, found, sums = labels.canonical_rows(indptr, codes, weights, columns)
    assert_array_equal(ends, [0, 1])
    assert_array_equal(found, [0])
    assert_array_equal(sums, [2.0 * size])


def test_arrays_that_may_not_be_written():
    weights = np.frombuffer(np.array([1.0, 2.0]).tobytes())
    codes = np.frombuffer(np.array([0, 0], np.int32).tobytes(), np.int32)
    found = labels.canonical_rows(
        np.array([0, 2]), codes, weights, np.zeros(1, np.int32)
    )
    assert found is None or found[2].tolist() == [3.0]
    assert weights.tolist() == [1.0, 2.0]


# --- the encoder --------------------------------------------------------------------

CELLS = {
    "lists": [["b", "a", "b"], None, ("c",), {"a"}, np.array(["d", "a"])],
    "numbers": [[1, 0, 1], [True, False][:0], [2.5, 1]],
    "dicts": [{"b": 1.0, "a": 0.0}, {"c": -1}, {}],
    "pairs": [[("b", 1.0), ("a", 2.0), ("b", -1.0)], [("a", 1)]],
    "texts": ["b| a |é", "", None, "a||b", "a\0|c", "x" * 40 + "|a"],
    "quoted": ["'a|b'|c", "a|c"],
    "weighted": ["b:2|a:0.5", "a:0"],
}


@pytest.mark.parametrize("name", CELLS)
def test_encoder_is_the_same_without_the_core(name, monkeypatch):
    def encode():
        encoder = WeightedMultiLabelEncoder(quotechar="'" if name == "quoted" else None)
        out = encoder.fit_transform(CELLS[name])
        return encoder.get_feature_names_out().tolist(), out.toarray().tolist()

    fast = encode()
    monkeypatch.setattr(compiled, "_core", None)
    assert encode() == fast


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_arrow_is_the_same_without_the_core(kind, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    if not hasattr(pa, kind):
        pytest.skip(f"this pyarrow has no {kind}")
    rows = [["b", "a", ""], None, [], ["é", "a" * 30, "b"]]
    array = pa.array(rows, pa.list_(pa.large_string()))
    if kind != "large_string":
        array = array.cast(pa.list_(getattr(pa, kind)()))
    table = pa.table({"x": pa.chunked_array([array, array[1:]])})

    def encode():
        encoder = WeightedMultiLabelEncoder()
        out = encoder.fit_transform(table)
        return encoder.get_feature_names_out().tolist(), out.toarray().tolist()

    fast = encode()
    monkeypatch.setattr(compiled, "_core", None)
    assert encode() == fast
