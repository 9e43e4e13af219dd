"""libFFM files: what is read, what is refused and where, the twins, memory."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from skwfm import FieldCSR, FieldMap, _text_files
from skwfm._kernels import compiled, ffm_text
from skwfm.datasets import (
    FFMColumns,
    dump_ffm_file,
    iter_ffm_file,
    load_ffm_file,
    scan_ffm_file,
)

needs_core = pytest.mark.skipif(not compiled.available(), reason="needs the core")

ID_LIMIT = 2**31


@pytest.fixture(params=[pytest.param("core", marks=needs_core), "python"], autouse=True)
def kernel(request, monkeypatch):
    """Run every test on the compiled core and on its twin."""
    if request.param == "python":
        monkeypatch.setattr(compiled, "_core", None)
    return request.param


def load(text, **parameters):
    text = text if isinstance(text, bytes) else text.encode()
    return load_ffm_file(io.BytesIO(text), **parameters)


def dump(X, y, **parameters):
    file = io.BytesIO()
    dump_ffm_file(X, y, file, **parameters)
    return file.getvalue()


def assert_same(X, Z):
    """Compare every bit of two matrices, and their fields."""
    assert X.shape == Z.shape
    assert X.dtype == Z.dtype
    assert X.field_map == Z.field_map
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(X, name), getattr(Z, name))


# What is read


def test_pairs_of_field_and_feature_are_columns():
    X, y, columns = load("1 7:5:0.5 0:3:1\n-1 0:5:2\n", return_columns=True)
    assert isinstance(X, FieldCSR)
    assert X.dtype == np.float32
    assert X.indices.dtype == np.int32
    np.testing.assert_array_equal(X.toarray(), [[1, 0, 0.5], [0, 2, 0]])
    np.testing.assert_array_equal(y, [1, -1])
    assert y.dtype == np.float64
    np.testing.assert_array_equal(X.fields, [0, 0, 1])
    assert X.field_names == ("0", "7")
    np.testing.assert_array_equal(columns.fields, [0, 0, 7])
    np.testing.assert_array_equal(columns.features, [3, 5, 5])
    assert X.has_canonical_format


def test_features_are_columns():
    text = "1 7:5:0.5 2:1:1\n0 2:3:1\n"
    X, _, columns = load(text, columns="features", return_columns=True)
    np.testing.assert_array_equal(
        X.toarray(), [[0, 1, 0, 0, 0, 0.5], [0, 0, 0, 1, 0, 0]]
    )
    # A feature that does not occur takes the field of the one before.
    np.testing.assert_array_equal(X.fields, [0, 0, 0, 0, 0, 1])
    assert X.field_names == ("2", "7")
    assert columns.features is None
    np.testing.assert_array_equal(columns.fields, [-1, 2, -1, 2, -1, 7])


def test_features_out_of_the_order_of_fields_are_sorted():
    X, _ = load("1 0:9:1 1:2:2 2:5:3\n", columns="features")
    assert X.has_sorted_indices
    np.testing.assert_array_equal(X.indices, [2, 5, 9])
    np.testing.assert_array_equal(X.data, [2, 3, 1])


def test_sizes_can_be_given():
    X, _ = load("1 1:2:1\n", columns="features", n_features=5, n_fields=3)
    assert X.shape == (1, 5)
    assert X.field_names == ("0", "1", "2")
    np.testing.assert_array_equal(X.fields, [1] * 5)
    X, _ = load("1 1:2:1\n", n_fields=3)
    assert X.shape == (1, 1)
    assert X.field_names == ("0", "1", "2")


def test_large_ids_take_no_memory_as_pairs():
    X, _ = load("1 2147483647:2147483647:1 999999999:1000000000:2\n")
    assert X.shape == (1, 2)
    assert X.field_names == ("999999999", "2147483647")
    np.testing.assert_array_equal(X.toarray(), [[2, 1]])


def test_blanks_comments_and_line_ends():
    text = (
        b"\xef\xbb\xbf# made by hand\r\n\r\n"
        b"  1\t0:1:1  1:2:2 \t\r\n"
        b" # nothing\n"
        b"0 0:1:3# no blank before 9:9:9\n"
        b"+.5e1 01:002:-1.\r"
    )
    X, y = load(text)
    np.testing.assert_array_equal(X.toarray(), [[1, 2], [3, 0], [0, -1]])
    np.testing.assert_array_equal(y, [1, 0, 5])


def test_zeros_are_dropped_and_repeated_entries_summed():
    X, _ = load("1 1:1:2 0:0:0 1:1:0.5 2:2:1 2:2:-1 3:3:0e9\n0 4:4:1e-400\n")
    assert X.nnz == 1
    # A column has a value somewhere, or entries that cancel.
    assert X.field_names == ("1",)
    np.testing.assert_array_equal(X.toarray(), [[2.5], [0]])


def test_rows_without_entries():
    X, y = load("1\n0 # none\n")
    assert X.shape == (2, 0)
    assert X.field_names == ()
    X, y = load("1\n", columns="features", n_features=2)
    assert X.field_names == ("0",)
    np.testing.assert_array_equal(X.fields, [0, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "token",
    [
        *(
            "1",
            "0.1",
            "1e5",
            "1E+5",
            "-1.5e-3",
            "1.",
            ".5",
            "00012.500",
            "1e22",
            "1e23",
        ),
        *("123456789012345678", "1234567890123456789", "9007199254740993", "1e-45"),
        *(
            "0.1234567890123456789",
            "3.4028235e38",
            "1e-38",
            "1e-46",
            "1e-400",
            "16777217",
        ),
        "0." + "0" * 500 + "1e501",
        "1" + "0" * 30 + "e-30",
        "0" * 5000 + "1",
    ],
)
def test_numbers_are_correctly_rounded(token, dtype):
    X, y = load(f"{token} 0:0:{token}\n0 0:0:1", dtype=dtype)
    assert X.dtype == dtype
    assert y[0] == float(token)
    assert X[0, 0] == dtype(float(token))


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("1.000000059604644775390625", 1.0),
        ("1.0000000596046447753906250000000001", 1 + 2**-23),
        ("1.0000000596046447753906249999999999", 1.0),
        ("1.00000017881393432617187500000000001", 1 + 2**-22),
        ("1.00000017881393432617187499999999999", 1 + 2**-23),
        ("-1.0000000596046447753906250000000001", -1 - 2**-23),
        ("7.006492321624085e-46", 0.0),
        ("7.0064923216240853546186479164495806564013097093825788587854e-46", 2**-149),
        ("3.40282356779733661637539395458142568447e38", 2.0**128 - 2.0**104),
    ],
)
def test_numbers_beside_the_middle_of_two_floats_are_rounded_once(token, expected):
    """A double in between would stand in the middle, and be rounded again."""
    X, _ = load(f"1 0:0:{token} 0:1:1")
    assert X.toarray()[0, 0 if X.shape[1] == 2 else -1] == (expected or 1)


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
    ],
)
@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_paths_and_compression(tmp_path, suffix, compress, kind):
    path = tmp_path / f"data.ffm{suffix}"
    path.write_bytes(compress(b"1 0:0:1\n"))
    X, y = load_ffm_file(kind(path))
    assert X.shape == (1, 1)
    # The bytes count when reading, not the suffix.
    other = path.rename(tmp_path / "other.txt")
    assert_same(load_ffm_file(kind(other))[0], X)
    dump_ffm_file(X, y, kind(path))
    content = path.read_bytes()
    assert (content == b"1 0:0:1\n") == (not suffix)
    assert_same(load_ffm_file(path)[0], X)
    # A file of two parts put together.
    path.write_bytes(compress(b"1 0:0:1\n") + compress(b"1 0:0:1"))
    assert load_ffm_file(path)[0].shape == (2, 1)


class Slow(io.RawIOBase):
    """A file that gives a few bytes at a time and cannot seek."""

    def __init__(self, content, size=2):
        self._rest, self._size = content, size

    def read(self, size=-1):
        size = min(self._size, size) if size >= 0 else self._size
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_files_are_read_as_they_come(compress):
    text = b"\xef\xbb\xbf1 0:0:1 1:1:2\n0 0:0:1\n"
    X, y = load_ffm_file(Slow(compress(text)))
    assert_same(X, load(text)[0])


def test_files_are_read_from_where_they_stand_and_left_open():
    file = io.BytesIO(b"x\n1 0:0:1\n")
    file.seek(2)
    assert load_ffm_file(file)[0].shape == (1, 1)
    assert not file.closed


def test_blocks_hold_whole_lines(monkeypatch):
    text = "".join(f"{i} {i % 3}:{i}:{i + 1}\n" for i in range(50))
    X, y = load(text)
    for size in (1, 7, 64):
        monkeypatch.setattr(_text_files, "BLOCK", size)
        assert_same(load(text)[0], X)
        with pytest.raises(ValueError, match=r"<BytesIO>:51: got 'end'"):
            load(text + "end")


# Columns of other files


def test_given_columns_encode_other_files():
    train = "1 0:3:1 7:5:0.5\n-1 0:4:1\n"
    X, _, columns = load(train, return_columns=True)
    test = "1 0:4:1 7:6:9 1:3:9\n0 7:5:2\n"
    Z, _, same = load(test, columns=columns, return_columns=True)
    assert same is columns
    assert Z.field_map == X.field_map
    np.testing.assert_array_equal(Z.toarray(), [[0, 1, 0], [0, 0, 2]])
    message = r"<BytesIO>:1: got 1:3, expected a field:feature of columns=\. .*'ignore'"
    with pytest.raises(ValueError, match=message):
        load(test, columns=columns, handle_unknown="error")


def test_given_features_encode_other_files():
    train = "1 0:3:1 7:5:0.5\n-1 0:4:1\n"
    X, _, columns = load(train, columns="features", return_columns=True)
    test = "1 0:4:1 7:6:9 9:0:9\n0 7:5:2\n"
    Z, _ = load(test, columns=columns)
    assert Z.field_map == X.field_map
    np.testing.assert_array_equal(Z.toarray(), [[0, 0, 0, 0, 1, 0], [0] * 5 + [2]])
    with pytest.raises(
        ValueError, match=r"<BytesIO>:1: got 7:6, expected a field:feat"
    ):
        load(test, columns=columns, handle_unknown="error")
    with pytest.raises(
        ValueError, match=r":3: got feature 3 in field 1.*in field 0\. "
    ):
        load(test + "1 1:3:1", columns=columns)


def test_columns_in_any_order():
    columns = FFMColumns(fields=[5, 2, 2], features=[1, 9, 3])
    X, _ = load("1 2:3:3 2:9:2 5:1:1\n", columns=columns)
    np.testing.assert_array_equal(X.toarray(), [[1, 2, 3]])
    assert X.has_sorted_indices
    np.testing.assert_array_equal(X.fields, [1, 0, 0])


def test_scan_finds_the_columns_of_several_files():
    texts = "1 0:3:1 4:5:0.5\n", "0 2:8:1\n"
    for kind in ("pairs", "features"):
        columns = scan_ffm_file(*map(io.BytesIO, map(str.encode, texts)), columns=kind)
        X, _, loaded = load("".join(texts), columns=kind, return_columns=True)
        np.testing.assert_array_equal(columns.fields, loaded.fields)
        assert columns.field_map == X.field_map
        assert_same(load("".join(texts), columns=columns)[0], X)
    second = io.BytesIO(b"\n1 1:3:1\n")
    with pytest.raises(
        ValueError, match=r"<BytesIO>:2: got feature 3 in field 1.*'pai"
    ):
        scan_ffm_file(io.BytesIO(b"1 0:3:1"), second, columns="features")


def test_columns_are_values():
    columns = FFMColumns([0, -1, 4], field_ids=[0, 2, 4])
    again = pickle.loads(pickle.dumps(columns))
    for name in ("fields", "field_ids"):
        np.testing.assert_array_equal(getattr(again, name), getattr(columns, name))
        assert not getattr(again, name).flags.writeable
    assert again.features is None
    assert again.field_map == FieldMap(np.array([0, 0, 2]), ("0", "2", "4"))
    assert repr(columns) == "FFMColumns(n_columns=3, field_ids=[0, 2, 4])"
    with pytest.raises(ValueError, match="read-only"):
        columns.fields[0] = 1
    given = np.array([0, 1])
    FFMColumns(given)
    assert given.flags.writeable
    assert FFMColumns([]).field_map.n_fields == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, -2],), r"fields=array\(\[ 0, -2\]\): expected one whole number from -1"),
        (([0, -1], [0, 1]), r"fields=.*whole number from 0 to 2147483647"),
        (([0, 1.5],), "fields=.*whole number"),
        (([[0]],), "fields=.*whole number"),
        (([0, 1], [2**31, 0]), r"features=.*whole number from 0 to 2147483647"),
        (([0, 1], [0]), "features has 1 ids and fields 2, expected one of each"),
        (([1, 1], [2, 2]), "fields and features name two columns alike"),
        (([1, 3], None, [1, 2]), r"field_ids=.*expected ascending ids.*\[1, 3\]"),
        (([1], None, [2, 1]), r"field_ids=array\(\[2, 1\]\): expected ascending ids"),
    ],
)
def test_columns_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        FFMColumns(*arguments)


# Chunks


@pytest.mark.parametrize("chunk_rows", [1, 3, 10, 11, 100])
@pytest.mark.parametrize("block", [16, 2**19])
@pytest.mark.parametrize("kind", ["pairs", "features"])
def test_chunks_are_the_rows(chunk_rows, block, kind, monkeypatch):
    monkeypatch.setattr(_text_files, "BLOCK", block)
    text = "".join(f"{i} {2 - i % 3}:{i % 3}:{i} 5:{i + 9}:1\n" for i in range(10))
    X, y, columns = load(text, columns=kind, return_columns=True)
    chunks = list(
        iter_ffm_file(io.BytesIO(text.encode()), columns, chunk_rows=chunk_rows)
    )
    assert [len(part) for _, part in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert 0 < len(chunks[-1][1]) <= chunk_rows
    for part, _ in chunks:
        assert part.shape[1] == X.shape[1]
        assert part.field_map == X.field_map
        assert part.has_canonical_format
    np.testing.assert_array_equal(np.concatenate([part for _, part in chunks]), y)
    stacked = sp.vstack([sp.csr_matrix(part) for part, _ in chunks])
    np.testing.assert_array_equal(stacked.toarray(), X.toarray())


def test_chunks_before_a_fault_are_there():
    columns = FFMColumns([0])
    chunks = iter_ffm_file(io.BytesIO(b"1 0:0:1\n2 0:0:x\n"), columns, chunk_rows=1)
    assert next(chunks)[1].tolist() == [1]
    with pytest.raises(ValueError, match=r"<BytesIO>:2: got '0:0:x'"):
        next(chunks)


def test_chunks_need_columns_at_once():
    with pytest.raises(ValueError, match="'columns' parameter .* 'pairs'"):
        iter_ffm_file(io.BytesIO(b"1 0:0:1"), "pairs")
    with pytest.raises(ValueError, match="'chunk_rows' parameter"):
        iter_ffm_file(io.BytesIO(b"1 0:0:1"), FFMColumns([0]), chunk_rows=0)


MEMORY = """
import sys, tracemalloc
from skwfm._kernels import compiled
from skwfm.datasets import iter_ffm_file, load_ffm_file, scan_ffm_file
assert compiled.available()

def peak(function):
    tracemalloc.start()
    result = function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, most

for path in sys.argv[1:]:
    columns, scanned = peak(lambda: scan_ffm_file(path))
    n, chunks = peak(
        lambda: sum(X.nnz for X, _ in iter_ffm_file(path, columns, chunk_rows=1000))
    )
    (X, _), loaded = peak(lambda: load_ffm_file(path))
    assert X.nnz == n
    print(n, scanned, chunks, loaded)
"""


@needs_core
@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["core"], indirect=True)
def test_memory_of_chunks_does_not_grow_with_the_file(tmp_path):
    row = " ".join(f"{f}:{f * 100 + 7}:0.25" for f in range(40)) + "\n"
    sizes, paths = [5_000, 60_000], []  # 2.5 and 30 MB
    for n_rows in sizes:
        paths.append(tmp_path / f"{n_rows}.ffm")
        paths[-1].write_text("".join(f"{i % 2} {row}" for i in range(n_rows)))
    command = [sys.executable, "-c", MEMORY, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    peaks = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [peak[0] for peak in peaks] == [40 * n_rows for n_rows in sizes]
    for small, large in zip(peaks[0][1:3], peaks[1][1:3], strict=True):
        # A block of text, its arrays, and a chunk.
        assert large < 12 * 2**20
        assert large < 1.2 * small
    # A column and a value for each entry, an eighth to grow, and the same blocks.
    assert peaks[1][3] < 1.3 * 8 * 40 * sizes[1] + 12 * 2**20


# Refusals

TOKEN = "expected field:feature:value"


@pytest.mark.parametrize(
    ("line", "got", "expected"),
    [
        ("x 0:0:1", "'x'", "the label of the row, a finite number"),
        ("0:1:2 3:4:5", "'0:1:2'", "the label of the row"),
        ("nan 0:0:1", "'nan'", "the label"),
        ("inf", "'inf'", "the label"),
        ("1e999 0:0:1", "'1e999'", "the label"),
        ("0x1p3 0:0:1", "'0x1p3'", "the label"),
        ("1_0 0:0:1", "'1_0'", "the label"),
        ("+ 0:0:1", "'[+]'", "the label"),
        ("1e 0:0:1", "'1e'", "the label"),
        ("1e+ 0:0:1", "'1e[+]'", "the label"),
        (". 0:0:1", "'[.]'", "the label"),
        ("--1", "'--1'", "the label"),
        ("1,5", "'1,5'", "the label"),
        ("\u0663 0:0:1", "'\u0663'", "the label"),
        ("1\x0b0:0:1", r"'1\\x0b0:0:1'", "the label"),
        ("\x00\x01", r"'\\x00\\x01'", "the label"),
        ("1 3:0.5", "'3:0.5'", r"field:feature:value \(files of .*load_svmlight_file"),
        ("1 2", "'2'", r"field:feature:value \("),
        ("1 qid:3", "'qid:3'", r"field:feature:value \("),
        ("1 0:0:1:1", "'0:0:1:1'", r"field:feature:value \("),
        ("1 0:0 :1", "'0:0'", r"field:feature:value \("),
        ("1 -1:0:1", "'-1:0:1'", "field:feature:value with a field id, a whole number"),
        ("1 :0:1", "':0:1'", "field:feature:value with a field id"),
        ("1 1.0:0:1", "'1.0:0:1'", "field:feature:value with a field id"),
        ("1 \u0661:0:1", "'\u0661:0:1'", "field:feature:value with a field id"),
        ("1 2147483648:0:1", "'2147483648:0:1'", ".*field id.* from 0 to 2147483647"),
        ("1 0:2147483648:1", "'0:21.*'", ".*feature id.* from 0 to 2147483647"),
        (f"1 0:1{'0' * 5000}:1", "'0:10*[.]*0*:1'", ".*a feature id"),
        ("1 0:-3:1", "'0:-3:1'", ".*with a feature id"),
        ("1 0::1", "'0::1'", ".*with a feature id"),
        ("1 0:+3:1", "'0:[+]3:1'", ".*with a feature id"),
        ("1 0:0:", "'0:0:'", ".*with a finite number in the range of float32"),
        ("1 0:0:nan", "'0:0:nan'", ".*with a finite number"),
        ("1 0:0:-inf", "'0:0:-inf'", ".*with a finite number"),
        ("1 0:0:1e39", "'0:0:1e39'", ".*in the range of float32"),
        ("1 0:0:3.4028236e38", "'0:0:3.*'", ".*in the range of float32"),
        ("1 0:0:1" + "0" * 39, "'0:0:10*'", ".*in the range of float32"),
        ("1 0:0:0x10", "'0:0:0x10'", ".*with a finite number"),
        ("1 0:0:1e5e", "'0:0:1e5e'", ".*with a finite number"),
        ("1 0:0:1\x00", r"'0:0:1\\x00'", ".*with a finite number"),
    ],
)
def test_a_malformed_token_is_shown(line, got, expected):
    with pytest.raises(
        ValueError, match=rf"^<BytesIO>:3: got {got}, expected {expected}"
    ):
        load(f"1 0:0:1\n\n{line}\n0 zzz\n")


def test_bytes_that_are_no_text_are_shown():
    with pytest.raises(
        ValueError, match=r"<BytesIO>:1: got '\xff\xfe1\\x00', expected"
    ):
        load(b"\xff\xfe1\x00")


def test_path_stands_before_the_line(tmp_path):
    path = tmp_path / "some.ffm"
    path.write_text("1 0:0:1\noops\n")
    with pytest.raises(ValueError, match=r"some\.ffm:2: got 'oops'"):
        load_ffm_file(path)
    with open(path, "rb") as file, pytest.raises(ValueError, match=r"some\.ffm:2: got"):
        load_ffm_file(file)


def test_ids_beyond_the_given_sizes_are_refused():
    with pytest.raises(ValueError, match=r":1: got '3:0:1'.* field id.* from 0 to 2\."):
        load("1 3:0:1", n_fields=3)
    with pytest.raises(
        ValueError, match=r":1: got '0:4:1'.*feature id.* from 0 to 3\."
    ):
        load("1 0:4:1", columns="features", n_features=4)
    with pytest.raises(ValueError, match=r"feature id.* from 0 to 2147483646\."):
        load("1 0:2147483647:1", columns="features")


def test_a_feature_in_two_fields_is_refused():
    text = "1 0:5:1\n0 1:4:1\n\n0 3:1:1 2:5:1\n1 x\n"
    message = (
        r"<BytesIO>:4: got feature 5 in field 2, but it is known in field 0\. .*"
        r"'pairs' makes a column of every field and feature\."
    )
    with pytest.raises(ValueError, match=message):
        load(text, columns="features")
    # The first entry wrong in a row, in the order of fields.
    with pytest.raises(ValueError, match="got feature 7 in field 2.* in field 1"):
        load("1 2:7:1 1:7:1", columns="features")


def test_a_sum_that_overflows_is_refused():
    message = r":2: the values of a repeated entry add up to infinity.* of float32\."
    with pytest.raises(ValueError, match=message):
        load("1 0:0:1\n1 0:0:3e38 1:1:1 0:0:3e38\n")
    X, _ = load("1 0:0:3e38 0:0:3e38", dtype="float64")
    assert X[0, 0] == 6e38


@pytest.mark.parametrize("text", ["", "\n\n", " \r\n# nothing", "\ufeff"])
def test_an_empty_file_is_refused(text):
    with pytest.raises(ValueError, match=r"<BytesIO>: no row, expected at least one"):
        load(text)
    with pytest.raises(ValueError, match="no row"):
        scan_ffm_file(io.BytesIO(text.encode()))
    with pytest.raises(ValueError, match="no row"):
        list(iter_ffm_file(io.BytesIO(text.encode()), FFMColumns([0])))


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(_text_files, "MAX_LINE", 1000)
    monkeypatch.setattr(_text_files, "BLOCK", 100)
    with pytest.raises(
        ValueError, match=r"<BytesIO>:2: this line has no end, expected"
    ):
        load(b"1\n" + bytes(2000))


def test_many_digits_that_are_no_number():
    """Found by fuzzing: each way to share them between two parts was tried."""
    digits = b"7" * 200_000
    with pytest.raises(ValueError, match="<BytesIO>:1: .*expected field:feature:value"):
        load(b"1 0:0:" + digits + b"x\n")
    with pytest.raises(ValueError, match="<BytesIO>:1: .*expected the label of the"):
        load(digits + b"x 0:0:1\n")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_files_are_refused(compress, tmp_path):
    path = tmp_path / "data.ffm.z"
    generator = np.random.default_rng(0)
    text = "".join(f"{x} 0:0:{x}\n" for x in generator.random(2000))
    content = compress(text.encode())
    message = r"data\.ffm\.z:\d+: the compressed file is damaged or cut off here \(.+\)"
    for part in (content[:8], content[: len(content) // 2], content[:-1]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=message):
            load_ffm_file(path)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"data\.ffm\.z:\d+: "):
        load_ffm_file(path)


def test_what_is_no_file_is_refused(tmp_path):
    message = "got {}, expected a path or a file opened in binary mode"
    for file, name in [(3, "int"), ([b"1"], "list"), (None, "NoneType")]:
        with pytest.raises(TypeError, match=message.format(name)):
            load_ffm_file(file)
        with pytest.raises(TypeError, match=message.format(name)):
            dump_ffm_file(np.eye(2), [0, 1], file)
    with pytest.raises(TypeError, match=f"<StringIO>: {message.format('str')}"):
        load_ffm_file(io.StringIO("1 0:0:1"))
    with pytest.raises(FileNotFoundError, match="missing"):
        load_ffm_file(tmp_path / "missing.ffm")


class Broken:
    """A compressed file on a device that fails."""

    def __init__(self):
        self._head = gzip.compress(os.urandom(2000))[:20]

    def read(self, size=-1):
        if not self._head:
            raise OSError(5, "Input/output error")
        head, self._head = self._head[:size], b""
        return head


def test_errors_of_the_device_are_not_reworded():
    with pytest.raises(OSError, match="Input/output error"):
        load_ffm_file(Broken())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"columns": "both"}, "'columns' parameter .*'both'"),
        ({"n_features": 0, "columns": "features"}, "'n_features' parameter"),
        ({"n_features": 3}, r"n_features=3 needs columns='features', got .*'pairs'"),
        ({"n_fields": 1.5}, "'n_fields' parameter"),
        ({"n_fields": 2, "columns": FFMColumns([0])}, "n_fields=2, but columns= knows"),
        ({"n_features": 2, "columns": FFMColumns([0])}, "n_features=2 needs columns="),
        ({"dtype": "int32"}, "dtype='int32': expected float32 or float64"),
        ({"dtype": "huh"}, "dtype='huh': expected float32 or float64"),
        ({"handle_unknown": "drop"}, "'handle_unknown' parameter"),
        ({"return_columns": "yes"}, "'return_columns' parameter"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        load("1 0:0:1", **parameters)


# Writing


def test_dump_writes_few_digits():
    data = [[1, 0.1, 1e-5, 1e20], [-2.5, 123456789, 0, 1 / 3]]
    X = FieldCSR(data, dtype=np.float32, fields=[2, 2])
    assert dump(X, [1, 0.25]) == (
        b"1 0:0:1 0:1:0.1 1:2:1e-05 1:3:1e+20\n"
        b"0.25 0:0:-2.5 0:1:123456792 1:3:0.33333334\n"
    )
    X = FieldCSR([[1 / 3]], fields=[0])
    assert dump(X, [1e16]) == b"1e+16 0:0:0.3333333333333333\n"
    assert dump(FieldCSR([[True]], fields=[0]), [True]) == b"1 0:0:1\n"


def test_dump_names_fields_by_ascending_ids_only():
    for names, ids in [
        (["0", "7"], (0, 7)),
        (["7", "0"], (0, 1)),
        (["07", "8"], (0, 1)),
        (["a", "7"], (0, 1)),
        (["7", "1234567890x"], (0, 1)),
        (["7", "1" * 5000], (0, 1)),
        (["3", "2147483648"], (0, 1)),
        (["\u0661", "7"], (0, 1)),
    ]:
        X = FieldCSR([[1, 2]], fields=[0, 1], field_names=names)
        assert dump(X, [0]) == f"0 {ids[0]}:0:1 {ids[1]}:1:2\n".encode()


def test_dump_uses_given_fields_and_columns():
    X = sp.csr_matrix([[1.0, 0, 2], [0, 3, 0]])
    assert dump(X, [1, 0], fields=[1, 2]) == b"1 0:0:1 1:2:2\n0 1:1:3\n"
    columns = FFMColumns([4, 4, 9], [7, 5, 5])
    text = dump(X, [1, 0], columns=columns)
    assert text == b"1 4:7:1 9:5:2\n0 4:5:3\n"
    assert dump(X, [1, 0], columns=FFMColumns([4, 4, 9])) == b"1 4:0:1 9:2:2\n0 4:1:3\n"
    assert dump([[1, 2]], [1]) == b"1 0:0:1 1:1:2\n"


def test_dump_drops_zeros_and_leaves_its_input():
    X = FieldCSR(([1.0, 0.0, 2.0, 3.0], [1, 0, 1, 2], [0, 4]), (1, 3), fields=[3])
    before = X.data.copy(), X.indices.copy()
    assert dump(X, [1]) == b"1 0:1:3 0:2:3\n"
    np.testing.assert_array_equal(X.data, before[0])
    np.testing.assert_array_equal(X.indices, before[1])


@pytest.mark.parametrize(
    ("X", "y", "parameters", "message"),
    [
        (sp.csr_matrix([[1.0]]), [1], {}, "fields='auto', but X is a plain sparse"),
        (
            FieldCSR([[np.nan]], fields=[1]),
            [1],
            {},
            "X contains NaN or infinity: row 0",
        ),
        ([[np.inf]], [1], {}, "infinity"),
        (sp.csr_matrix([[1j]]), [1], {}, "X has dtype complex128, expected real num"),
        ([[1]], [np.nan], {}, "y, row 0: got nan, expected finite numbers"),
        ([[1]], ["a"], {}, r"y=\['a'\]: could not convert.* one number per row"),
        ([[1]], [[1, 2]], {}, "y=.*one number per row"),
        ([[1]], [1, 2], {}, "y has 2 numbers, expected 1 like X"),
        ([[1]], [1], {"columns": FFMColumns([0, 1])}, "names 2 columns, expected 1"),
        ([[1]], [1], {"columns": "pairs"}, "'columns' parameter"),
        ([[1]], [1], {"fields": [1, 1]}, r"fields=\[1, 1\]"),
    ],
)
def test_dump_refuses(X, y, parameters, message):
    with pytest.raises(ValueError, match=message):
        dump(X, y, **parameters)


def test_a_failed_dump_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "data.ffm"
    path.write_text("old")

    def fail(*_):
        yield b"1"
        raise OSError("disk full")

    monkeypatch.setattr(ffm_text, "format_rows", fail)
    with pytest.raises(OSError, match="disk full"):
        dump_ffm_file([[1]], [1], path)
    assert [p.name for p in tmp_path.iterdir()] == ["data.ffm"]
    assert path.read_text() == "old"


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_a_dump_follows_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link.ffm"
    target.write_text("old")
    link.symlink_to(target)
    dump_ffm_file([[1]], [1], link)
    assert link.is_symlink()
    assert target.read_text() == "1 0:0:1\n"


@pytest.mark.skipif(not Path(os.devnull).exists(), reason="no device to write to")
def test_a_dump_to_a_device():
    dump_ffm_file([[1]], [1], os.devnull)
    assert not Path(os.devnull).is_file()


def test_dump_cuts_long_text(monkeypatch):
    X = sp.random(50, 9, 0.5, "csr", dtype=np.float32, random_state=0)
    y = np.arange(50)
    whole = dump(X, y, fields=[4, 5])
    for size in (1, 500):
        monkeypatch.setattr(ffm_text, "TEXT_SIZE", size)
        assert dump(X, y, fields=[4, 5]) == whole


FLOATS = {
    dtype: st.floats(width=width, allow_nan=False, allow_infinity=False)
    for dtype, width in [("float32", 32), ("float64", 64)]
}


@st.composite
def matrices(draw):
    dtype = draw(st.sampled_from(list(FLOATS)))
    n_rows, n_columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    values = st.lists(
        st.one_of(st.just(0.0), FLOATS[dtype]),
        min_size=n_rows * n_columns,
        max_size=n_rows * n_columns,
    )
    dense = np.array(draw(values), dtype).reshape(n_rows, n_columns)
    fields = sorted(
        draw(st.lists(st.integers(0, 3), min_size=n_columns, max_size=n_columns))
    )
    y = draw(st.lists(FLOATS["float64"], min_size=n_rows, max_size=n_rows))
    names = ("0", "3", "4", "2147483647")
    # Not a list, which could as well be sizes.
    return FieldCSR(dense, fields=FieldMap(fields, names)), np.array(y)


@given(matrices())
def test_round_trip_is_exact(data):
    X, y = data
    text = dump(X, y)
    ids = [int(name) for name in X.field_names]
    columns = FFMColumns(np.array(ids)[X.fields], field_ids=ids)
    Z, z = load(text, columns=columns, dtype=X.dtype)
    assert_same(Z, X)
    np.testing.assert_array_equal(z, y)
    # The pairs that occur, and the same text again.
    Z, z, pairs = load(text, dtype=X.dtype, return_columns=True)
    used = np.flatnonzero(X.getnnz(axis=0))
    np.testing.assert_array_equal(pairs.features, used)
    np.testing.assert_array_equal(Z.toarray(), X[:, used].toarray())
    assert dump(Z, z, columns=pairs) == text


# The twins


def same_parsed(text, dtype=np.float32, n_fields=ID_LIMIT, n_features=ID_LIMIT):
    """Check that both parsers say the same; return what."""
    slow = ffm_text.parse_slowly(text, dtype, n_fields, n_features)
    fast = ffm_text.parse(text, dtype, n_fields, n_features)
    for a, b in zip(slow[:5], fast[:5], strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    assert slow[5:] == fast[5:]
    return slow


PIECES = st.sampled_from(
    [
        *(b"0", b"1", b"9", b"123", b"2147483647", b"2147483648", b"007", b"-1", b"+2"),
        *(
            b".",
            b"0.5",
            b"1.",
            b".5",
            b"1e5",
            b"1e-5",
            b"e",
            b"E+",
            b"1e999",
            b"1e-999",
        ),
        *(b"3e38", b"1e-45", b"0.1234567890123456789", b"nan", b"inf", b"0x1", b"1_0"),
        *(
            b":",
            b"0:0:1",
            b"1:2:3",
            b"1:2:-3",
            b" 1:1:",
            b"0:0:3e38",
            b"#",
            b"\n",
            b" ",
        ),
        *(b"\t", b"\r", b"\r\n", b"\x00", b"\xff", b"\x0b", b"\xd9\xa3", b",", b"\n1 "),
    ]
)
TEXTS = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=20).map(b"".join))
TYPES = st.sampled_from([np.float32, np.float64])


@given(TEXTS, TYPES, st.sampled_from([3, ID_LIMIT]))
@example(b"1 1:1:1 0:0:1 1:1:-1\n\n0", np.float32, ID_LIMIT)
def test_parsers_agree_on_anything(text, dtype, limit):
    same_parsed(text + b"\n", dtype, limit, limit)
    if text:
        same_parsed(text, dtype, limit, limit)


@st.composite
def mutants(draw):
    """Return a valid file with some bytes changed."""
    entry = st.tuples(st.integers(0, 4), st.integers(0, 9), FLOATS["float32"])
    rows = draw(st.lists(st.lists(entry, max_size=4), min_size=1, max_size=5))
    lines = [" ".join(["1", *(f"{f}:{j}:{x!r}" for f, j, x in row)]) for row in rows]
    text = bytearray("\n".join(lines).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text) - 1))
        text[at : at + draw(st.integers(0, 2))] = draw(PIECES)
        text = text or bytearray(b"1")
    return bytes(text)


def outcome(text, **parameters):
    """Return what a file gives: bytes, or the error."""
    try:
        X, y, columns = load(text, return_columns=True, **parameters)
    except ValueError as error:
        return str(error)
    arrays = X.indptr, X.indices, X.data, y, columns.fields, X.fields
    return X.shape, X.field_names, [part.tobytes() for part in arrays]


@needs_core
@given(mutants(), TYPES, st.sampled_from(["pairs", "features"]))
def test_readers_agree_on_mutated_files(text, dtype, columns):
    parameters = {"dtype": dtype, "columns": columns}
    if columns == "features":
        parameters["n_features"] = 10_000
    fast = outcome(text, **parameters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_core", None)
        assert outcome(text, **parameters) == fast


DECIMALS = st.builds(
    "{}{}.{}{}".format,
    st.sampled_from(["", "-", "+"]),
    st.integers(0, 10**25),
    st.integers(0, 10**25),
    st.one_of(st.just(""), st.integers(-400, 400).map("e{}".format)),
)


@given(st.one_of(DECIMALS, FLOATS["float64"].map(repr), FLOATS["float32"].map(repr)))
def test_numbers_agree_with_python(token):
    for dtype in (np.float32, np.float64):
        same_parsed(f"{token} 0:0:{token}\n".encode(), dtype)
    parsed = same_parsed(f"{token}".encode())
    if np.isfinite(float(token)):
        assert parsed.labels[0] == float(token)
    else:
        assert parsed.fault == "label"


@needs_core
@given(FLOATS["float32"], FLOATS["float64"])
@example(6256327.5, 4503599627370495.5)
@example(9.999999747378752e-05, 1e-4)
def test_writers_agree(narrow, wide):
    parts = [
        np.array([wide]),
        np.array([0, 1]),
        np.array([0], np.int32),
        np.array([narrow], np.float32),
        np.array([ID_LIMIT - 1], np.int32),
        np.array([ID_LIMIT - 1], np.int32),
    ]
    for value in (parts[3], np.array([wide])):
        parts[3] = value
        text = b"".join(ffm_text.format_rows(*parts))
        assert text == ffm_text.format_slowly(parts, 0, 1)
        assert len(text) <= ffm_text.ROW_WIDTH + ffm_text.ENTRY_WIDTH


KEYS = st.lists(st.integers(0, 20), max_size=30).map(lambda k: np.array(k, np.int64))


@needs_core
@pytest.mark.parametrize("kernel", ["core"], indirect=True)
@given(st.booleans(), st.lists(st.tuples(KEYS, KEYS, st.booleans()), max_size=5))
def test_tables_agree(by_feature, calls):
    empty = np.empty(0, np.int64)
    tables = ffm_text._Table(by_feature), ffm_text._PlainTable(by_feature)
    assert all(len(table.find(empty, add=False)[0]) == 0 for table in tables)
    for fields, features, add in calls:
        n = min(len(fields), len(features))
        keys = fields[:n] % 2 << 32 | features[:n]
        (fast, done), (slow, slow_done) = (table.find(keys, add) for table in tables)
        assert done == slow_done
        np.testing.assert_array_equal(fast[:done], slow[:done])
        np.testing.assert_array_equal(tables[0].keys, tables[1].keys)


def test_a_table_grows():
    generator = np.random.default_rng(0)
    keys = generator.permutation(100_000).astype(np.int64) << 20
    table = ffm_text.key_table(False, keys[:10])
    for part in np.array_split(keys, 50):
        table.find(part, add=True)
    columns, done = table.find(keys, add=False)
    assert done == len(keys)
    np.testing.assert_array_equal(table.keys[columns], keys)
    assert len(table.keys) == len(keys)


@needs_core
@pytest.mark.parametrize("kernel", ["core"], indirect=True)
def test_the_core_refuses_arrays_that_are_too_short():
    core = compiled.core()
    short = np.empty(1, np.int64)
    with pytest.raises(ValueError, match="arrays too short"):
        core.parse_text(
            text=np.frombuffer(b"1\n2\n3\n", np.uint8),
            n_fields=1,
            n_features=1,
            labels=np.empty(1),
            ends=short,
            lines=short,
            keys=short,
            values=np.empty(1),
        )
    for places, n_known in [(1, 1), (3, 0), (0, 0)]:
        with pytest.raises(ValueError, match="table too small"):
            core.find_columns(
                keys=short,
                slots=np.full(places, -1, np.int32),
                known=short,
                n_known=n_known,
                by_feature=False,
                add=False,
                out=np.empty(1, np.int32),
            )
    if hasattr(core, "format_text"):  # not everywhere
        with pytest.raises(ValueError, match="no room"):
            core.format_text(
                *(np.zeros(1), np.array([0, 0]), np.empty(0, np.int32), np.empty(0)),
                *(np.empty(0, np.int32), np.empty(0, np.int32)),
                *(0, 1, np.empty(25, np.uint8)),
            )


# Other formats


def test_svmlight_files_get_fields(tmp_path):
    from sklearn.datasets import dump_svmlight_file, load_svmlight_file

    path = tmp_path / "data.svm"
    dump_svmlight_file(np.eye(3), [0, 1, 1], str(path))
    X, y = load_svmlight_file(str(path), n_features=3, zero_based=True)
    X = FieldCSR(X, fields=[1, 2], field_names=["0", "1"])
    assert_same(load(dump(X, y), columns=FFMColumns([0, 1, 1]), dtype=float)[0], X)
