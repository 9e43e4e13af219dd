"""The file of a model: its arrays, damage, forged sizes, and killed writers."""

import hashlib
import json
import os
import stat
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import skwfm
from skwfm import ModelFileError, SplineEncoder
from skwfm._model_file import read_file, write_file

X = np.random.default_rng(0).normal(size=(40, 1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skwfm"


def assert_rejected(path, match=None):
    with pytest.raises(ModelFileError, match=match) as caught:
        skwfm.load(path)
    assert str(path) in str(caught.value)


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    np.array(["a", "\U0001f600"]),
    np.array([b"a", b""]),
    np.array([True, False]),
    np.array(5),
    np.empty((0, 3), np.float32),
    np.array(["2020-01-01", "NaT"], "M8[s]"),
    np.arange(10, dtype=np.uint8)[::3],
    np.array([np.nan, -0.0, np.inf], np.float16),
]


@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_come_back(path, mmap):
    write_file(path, {"x": "é"}, ARRAYS)
    header, arrays = read_file(path, mmap)
    assert header == {"x": "é"}
    for one, other in zip(ARRAYS, arrays, strict=True):
        assert one.dtype.newbyteorder("=") == other.dtype
        np.testing.assert_array_equal(one, other)
    assert arrays[1].flags.f_contiguous


# --- damage -------------------------------------------------------------------------


@pytest.fixture
def small(path):
    """Return the path of a small file."""
    skwfm.save(SplineEncoder(n_knots=2).fit(X[:, :1]), path)
    assert path.stat().st_size < 1000
    return path


def test_every_truncation_is_rejected(small):
    content = small.read_bytes()
    for size in range(len(content)):
        small.write_bytes(content[:size])
        assert_rejected(small)


def test_every_addition_is_rejected(small):
    content = small.read_bytes()
    for more in (b"\0", b"\0" * 64, content):
        small.write_bytes(content + more)
        assert_rejected(small)


def test_5000_flipped_bits_are_rejected(small):
    content = small.read_bytes()
    positions = np.random.default_rng(0).integers(0, 8 * len(content), 5000)
    for position in positions.tolist():
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        small.write_bytes(damaged)
        assert_rejected(small)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04K\x01.", b"PK\x03\x04" + bytes(100), bytes(100), b"{}" * 50],
    ids=["empty", "pickle", "zip", "zeros", "JSON"],
)
def test_other_files_are_rejected(content, path):
    path.write_bytes(content)
    assert_rejected(path)


def test_missing_file(path):
    with pytest.raises(FileNotFoundError):
        skwfm.load(path)


# --- forgery: the digest is right, and what it signs is not -------------------------


EMPTY = {"class": "WeightedFMRegressor", "versions": {}, "arrays": [], "model": None}


def signed(header, data=b"", magic=b"\x93SKWFM\r\n", number=1, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    content = struct.pack("<8sIQ", magic, number, length) + text + data
    return content + hashlib.sha256(content).digest()


def with_array(*description):
    return {**EMPTY, "arrays": [list(description)]}


FORGED = {
    "another magic": (signed(EMPTY, magic=b"\x93NUMPY\1\0"), "not a model file"),
    "future version": (signed(EMPTY, number=2), "version 2, expected 1"),
    "version 0": (signed(EMPTY, number=0), "version 0"),
    "header of 2**63": (signed(EMPTY, length=2**63), "cut off"),
    "header too long": (signed(EMPTY, length=500), "cut off"),
    "header too short": (signed(EMPTY, length=5), "not JSON"),
    "no UTF-8": (signed(b'{"a": "\xff"}'), "not JSON"),
    "deep lists": (signed(b"[" * 10**5), "not JSON"),
    "deep objects": (signed(b'{"a":' * 10**5), "not JSON"),
    "a list": (signed([1]), "not an object"),
    "repeated key": (signed(b'{"a": 1, "a": 1}'), "repeats a key"),
    "NaN": (signed(b'{"a": NaN}'), "holds NaN"),
    "endless number": (signed(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
    "no arrays": (signed({"model": None}), "lacks its list of arrays"),
    "no model": (signed({"class": "X", "arrays": []}), "KeyError"),
    "rest": (signed(EMPTY, b"\0" * 64), "not the size"),
    "huge": (signed(with_array("<f8", [2**40], "C")), "cannot be"),
    "product": (signed(with_array("<f8", [90] * 8, "C")), "not the size"),
    "beside nothing": (signed(with_array("<f8", [0, 2**62], "C")), "cannot be"),
    "negative": (signed(with_array("<f8", [-1], "C")), "cannot be"),
    "bool size": (signed(with_array("<f8", [True], "C")), "cannot be"),
    "float size": (signed(with_array("<f8", [1.0], "C")), "cannot be"),
    "dimensions": (signed(with_array("<f8", [1] * 9, "C")), "cannot be"),
    "objects": (signed(with_array("|O", [1], "C"), bytes(8)), "cannot be"),
    "records": (signed(with_array("<f8,<f8", [1], "C"), bytes(16)), "cannot be"),
    "void": (signed(with_array("|V8", [1], "C"), bytes(8)), "cannot be"),
    "text of nothing": (signed(with_array("<U0", [99], "C")), "cannot be"),
    "wide text": (signed(with_array("<U" + "9" * 30, [1], "C")), "cannot be|size"),
    "a unit": (signed(with_array("<M8[lightyears]", [1], "C")), "cannot be"),
    "order": (signed(with_array("<f8", [0], "Z")), "cannot be"),
    "incomplete": (signed(with_array("<f8", [0])), "cannot be"),
    "a path": (signed(with_array("../../etc/passwd", [0], "C")), "cannot be"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_container_is_rejected(kind, path):
    content, match = FORGED[kind]
    path.write_bytes(content)
    assert_rejected(path, match)


@pytest.mark.parametrize(
    ("dtype", "data", "match"),
    [("|b1", b"\x02", "bool"), ("<U1", b"\xff\xff\xff\x7f", "U1")],
)
def test_bytes_that_are_no_value_are_rejected(dtype, data, match, path):
    header = with_array(dtype, [1], "C")
    padding = bytes(-(20 + len(json.dumps(header))) % 64)
    path.write_bytes(signed(header, padding + data))
    assert_rejected(path, match)


# --- killed writers, full and forbidden places --------------------------------------


WRITER = """
import os, sys
import numpy as np
from skwfm._model_file import write_file
path, number = sys.argv[1], 0
print("ready", flush=True)
while True:
    number += 1
    write_file(path, {"number": number}, [np.full(200_000, number)])
"""


def assert_kills_do_no_harm(path, n_kills):
    chooser = np.random.default_rng(n_kills)
    write_file(path, {"number": 0}, [np.full(200_000, 0)])
    for _ in range(n_kills):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE
        )
        writer.stdout.readline()
        # Somewhere in its loop: not a wait for anything.
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(float(chooser.uniform(0, 0.05)))
        writer.kill()
        writer.communicate()
        header, (array,) = read_file(path)
        assert (array == header["number"]).all()
    write_file(path, {"number": 0}, [np.full(9, 0)])
    assert os.listdir(path.parent) == [path.name]


def test_10_kills_leave_a_whole_file(path):
    assert_kills_do_no_harm(path, 10)


@pytest.mark.slow
def test_100_kills_leave_a_whole_file(path):
    assert_kills_do_no_harm(path, 100)


def test_only_what_killed_writers_left_is_removed(small):
    orphan = small.with_name(f".{small.name}.{'0' * 16}.tmp")
    others = [f".{small.name}.tmp", f".{small.name}x.{'0' * 16}.tmp", "other.skwfm"]
    for other in [orphan.name, *others]:
        small.with_name(other).write_bytes(b"x")
    skwfm.load(small)
    write_file(small, {}, [])
    assert sorted(os.listdir(small.parent)) == sorted([small.name, *others])


def test_a_writer_at_work_is_left_alone(small):
    fcntl = pytest.importorskip("fcntl")
    partial = small.with_name(f".{small.name}.{'0' * 16}.tmp")
    with open(partial, "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_file(small, {}, [])
        assert partial.exists()
    write_file(small, {}, [])
    assert not partial.exists()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fsync", OSError(28, "No space left on device")),
        ("replace", PermissionError(13, "Permission denied")),
        ("replace", KeyboardInterrupt()),
    ],
)
def test_error_while_writing_leaves_the_old_file(name, error, small, monkeypatch):
    content = small.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(error)):
        write_file(small, {}, [np.zeros(10)])
    assert small.read_bytes() == content
    assert os.listdir(small.parent) == [small.name]


def test_folder_that_may_not_be_listed(small, monkeypatch):
    def fail(*args):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", fail)
        write_file(small, {"x": 1}, [])
    assert read_file(small)[0] == {"x": 1}


def test_threads_save_to_one_path(path):
    def work(number):
        for _ in range(20):
            write_file(path, {"number": number}, [np.full(1000, number)])
            header, (array,) = read_file(path)
            assert (array == header["number"]).all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert os.listdir(path.parent) == [path.name]


def test_missing_folder_and_folder_as_file(path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_file(path / "x", {}, [])
    with pytest.raises(OSError, match="not a file"):
        write_file(path.parent, {}, [])


def test_permissions_and_links_are_kept(small):
    small.chmod(0o640)
    link = small.with_name("link")
    link.symlink_to(small)
    write_file(str(link), {"x": 1}, [])
    assert link.is_symlink() and stat.S_IMODE(small.stat().st_mode) == 0o640
    assert read_file(small)[0] == {"x": 1}
