"""What is fuzzed: where inputs come from, what runs them, and what may become of them.

A target has ``seeds()``, which are valid inputs; ``mutated(data, rng, pool)``;
``prepare()``, once in the process that runs; and ``run(data)``, which returns an
outcome in words and raises if it is none that the documentation allows. An input is
bytes.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import io
import re
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np

TOKENS = [
    *(b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"1e999", b"-1e999", b"1e-999"),
    *(b"0", b"-0", b"-1", b"1", b"2147483647", b"2147483648", b"9" * 20, b"9" * 400),
    *(b"3.5e38", b"1e308", b"4e-324", b"0x1", b"1_0", b"1.", b".5", b"+", b"-", b"e5"),
    *(b"'", b'"', b'""', b"|", b":", b"::", b",", b";", b"#", b"\\", b"{", b"}", b"["),
    *(b"\0", b"\n", b"\r", b"\r\n", b"\t", b" ", b"\x0b", b"\x1c", b"\x1e", b"\x85"),
    *(
        b"\xff",
        b"\xc3",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xed\xb0\x80",
        b"\xf0\x9f\x98\x80",
    ),
    *("\u0301", "e\u0301", "\u00e9", "\u200b", "\u2028", "\u00a0", "\ufeff", "\u0663"),
    *(b"None", b"true", b"false", b"<infrequent>", b"__class__", b"../../etc/passwd"),
]
TOKENS = [t.encode() if isinstance(t, str) else t for t in TOKENS]

# Of an input: what it may take grows with it.
MAX_SIZE = 2**20


def mutated_bytes(data, rng, pool):
    """Change some bytes."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        at = rng.randint(0, len(data))
        to = min(len(data), at + rng.choice([0, 1, 1, 2, 4, 16, 256]))
        match rng.randrange(7):
            case 0 if data:  # a bit
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:  # a deletion
                del data[at:to]
            case 2:  # some of it again
                data[at:at] = data[at:to]
            case 3:  # a part of another input
                other = rng.choice(pool)
                start = rng.randint(0, len(other))
                data[at:to] = other[start : start + rng.choice([1, 4, 16, 64, 1024])]
            case 4:
                data[at:to] = rng.randbytes(rng.choice([1, 2, 4, 8]))
            case 5 if rng.random() < 0.05:  # a very long one
                data[at:at] = rng.choice(TOKENS) * 10 ** rng.randint(2, 5)
            case _:
                data[at:to] = rng.choice(TOKENS)
    return bytes(data[:MAX_SIZE])


def size_of(number):
    """Return the size of a number in a way that tells outcomes apart."""
    return "i" * min(number.bit_length(), 6)


def check(condition, message):
    """Raise if something is not as it must be."""
    if not condition:
        raise AssertionError(message)


@contextlib.contextmanager
def without_core():
    """Read by the twins of the compiled core."""
    from skwfm._kernels import compiled

    before, compiled._core = compiled._core, None
    try:
        yield
    finally:
        compiled._core = before


# --- model files ----------------------------------------------------------------------

VALUES = (
    *(None, True, False, 0, 1, -1, 2, 7, 2**31, -(2**31), 2**62, 10**30, 0.5, -1e308),
    *("", "x", "auto", "\0", "e\u0301", [], [0], [[]], {}, {"tuple": []}, {"array": 0}),
    *({"float": "nan"}, {"float": "inf"}, {"int": "-0xffffffffffffffffff"}, {"x": 1}),
    *({"array": -1}, {"dict": [[1, 1]]}, {"objects": [[1], ["a"]]}, {"slice": [0] * 3}),
    *({"dtype": "<f8"}, {"type": "float64"}, {"scalar": ["<f8", "AAAAAAAA8H8="]}),
    *({"text": "AAAA"}, {"bytes": "AA=="}, {"estimator": ["SplineEncoder", {}, {}]}),
)


class ModelFiles:
    """`skwfm.load`, and what was loaded in use: only ModelFileError, and no NaN."""

    def seeds(self):
        import models

        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder, "model")
            found = []
            for make in models.MODELS.values():
                models.save(make(), path)
                found.append(path.read_bytes())
        return found

    def mutated(self, data, rng, pool):
        if rng.random() < 0.1:
            return mutated_bytes(data, rng, pool)
        parts = self._parts(data)
        if parts is None or rng.random() < 0.1:
            return _signed(mutated_bytes(data[:-32], rng, pool))
        header, arrays = parts
        other = self._parts(rng.choice(pool)) or parts
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            if arrays and rng.random() < 0.3:
                at = rng.randrange(len(arrays))
                arrays[at] = _mutated_array(arrays[at], rng)
            else:
                _mutate_json(header, rng, other[0])
        return _written(header, arrays)

    def _parts(self, data):
        """Return header and arrays of what can be read so far."""
        from skwfm._model_file import read_file

        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            try:
                return read_file(file.name)
            except ValueError:
                return None

    def prepare(self):
        import models

        warnings.simplefilter("ignore")
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "model")
        for make in models.MODELS.values():  # whatever is imported late
            models.use(make())

    def run(self, data):
        import models

        import skwfm

        self.path.write_bytes(data)
        try:
            model = skwfm.load(self.path, mmap=len(data) % 2 == 1)
        except skwfm.ModelFileError as error:
            message = str(error)
            check(message.startswith(str(self.path)), f"no file in {message}")
            return message.removeprefix(str(self.path))
        return models.use(model)


def _signed(data):
    import hashlib

    return data + hashlib.sha256(data).digest()


def _written(header, arrays):
    from skwfm._model_file import _write

    stream = io.BytesIO()
    try:
        _write(stream, header, arrays)
    except (ValueError, TypeError, RecursionError):  # NaN, another dtype, too deep
        return b""
    return stream.getvalue()


def _places(value, found):
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in pairs:
        found.append((value, key))
        if isinstance(child, dict | list):
            _places(child, found)
    return found


def _mutate_json(header, rng, other):
    """Exchange, drop, repeat or rename a value somewhere in a header."""
    header.setdefault("model", None)
    inner, key = rng.choice(_places(header, []))
    value = inner[key]
    match rng.randrange(8):
        case 0:
            del inner[key]
        case 1 if isinstance(value, int | float):
            inner[key] = rng.choice([value + 1, value - 1, -value, value * value])
        case 2 if isinstance(inner, list):
            inner.insert(key, copy.deepcopy(rng.choice(VALUES)))
        case 3:  # what another file has in some place
            there, its_key = rng.choice(_places(other, []))
            inner[key] = copy.deepcopy(there[its_key])
        case 4 if isinstance(inner, dict):
            name = rng.choice([str(k) for _, k in _places(other, [])])
            inner[name] = inner.pop(key)
        case 5 if isinstance(value, str):
            text = mutated_bytes(value.encode("utf-8", "replace"), rng, [b"x"])
            inner[key] = text.decode("utf-8", "replace")
        case 6 if isinstance(value, list) and value:
            rng.shuffle(value)
        case _:
            inner[key] = copy.deepcopy(rng.choice(VALUES))


def _mutated_array(array, rng):
    """Change the values, the shape or the type of an array."""
    array = array.copy()
    match rng.randrange(6):
        case 0 if array.size:
            array = array[: rng.randrange(len(array) + 1)] if array.ndim else array
        case 1 if array.ndim:
            array = np.concatenate([array, array])
        case 2:
            kinds = [np.float32, np.float64, np.int32, np.int64, bool, "U3", "M8[s]"]
            with contextlib.suppress(
                ValueError, TypeError, ArithmeticError, RuntimeError
            ):
                with np.errstate(invalid="ignore", over="ignore"):
                    array = array.astype(rng.choice(kinds))
        case 3:
            array = array.T if array.ndim > 1 else array[..., None]
        case _ if array.size and array.dtype.kind in "iuf":
            values = [0, -1, 1, 2, 100, np.iinfo(np.int32).max]
            if array.dtype.kind == "f":
                values += [np.nan, np.inf, 1e38, -1e-40]
            value = np.asarray(rng.choice(values)).astype(array.dtype)
            array.flat[rng.randrange(array.size)] = value
        case _:
            array = array[::-1].copy() if array.ndim else array
    return array


# --- files in the format of libFFM ----------------------------------------------------


class FFMFiles:
    """`load_ffm_file` by the core and by Python: the same arrays, or the same line."""

    OPTIONS = (
        {},
        {"dtype": np.float64},
        {"columns": "features", "n_features": 10_000},
        {"n_fields": 8, "dtype": np.float64},
        {"columns": "features", "n_features": 10, "n_fields": 3},
    )

    def seeds(self):
        text = b"1 0:3:1 7:5:0.5\n-1 0:4:1 7:5:2\n"
        long = b"".join(
            b"%d 0:%d:1 1:%d:.25 2:7:1e-3\n" % (i % 2, i, 9) for i in range(9)
        )
        files = [text, b"0.5\n", b"# a comment\n\n1 2:1:1 # more\n", long]
        files += [b"1 1:1:1 1:1:-1\r\n0\t2:2:0\r\n", gzip.compress(long, mtime=0)]
        return [b"%d" % option + file for option in range(5) for file in files]

    def mutated(self, data, rng, pool):
        if data[1:3] == b"\x1f\x8b" and rng.random() < 0.5:
            with contextlib.suppress(OSError, EOFError, zlib.error):
                inside = mutated_bytes(gzip.decompress(data[1:]), rng, pool)
                return data[:1] + gzip.compress(inside, mtime=0)
        option = b"%d" % rng.randrange(5) if rng.random() < 0.1 else data[:1]
        return option + mutated_bytes(data[1:], rng, pool)

    def prepare(self):
        self.run(self.seeds()[0])

    def run(self, data):
        options = self.OPTIONS[data[0] % len(self.OPTIONS)] if data else {}
        told, arrays = self._read(data[1:], options)
        with without_core():
            check((told, arrays) == self._read(data[1:], options), f"no twin: {told}")
        return told

    def _read(self, content, options):
        from skwfm.datasets import load_ffm_file

        try:
            X, y, columns = load_ffm_file(
                io.BytesIO(content), return_columns=True, **options
            )
        except ValueError as error:
            message = str(error)
            place = r"^<?[\w<>]+>?:\d+: |: no row, expected"
            check(re.search(place, message), f"no line in {message}")
            return message, None
        check(np.isfinite(X.data).all() and np.isfinite(y).all(), "a NaN")
        check(X.has_canonical_format and X.data.all(), "not canonical")
        parts = X.indptr, X.indices, X.data, y, columns.fields, X.fields
        found = [X.shape, X.field_names, *(part.tobytes() for part in parts)]
        return f"read rows {size_of(X.shape[0])}, columns {size_of(X.shape[1])}", found


# --- text cells -----------------------------------------------------------------------


class TextCells:
    """`WeightedMultiLabelEncoder` on text, by the core, Python and Arrow, row by row.

    The first byte of an input chooses the separators, the others are cells with the
    byte 30 between them. Bytes that are no UTF-8 become lone surrogates.
    """

    OPTIONS = (
        {},
        {"quotechar": '"'},
        {"sep": "::", "weight_sep": "=", "quotechar": "'"},
        {"sep": None},
        {"sep": ",", "weight_sep": None},
        {"sep": "aba", "handle_unknown": "error"},
        {"normalize": "l2", "dtype": np.float64},
        {"categories": "hash", "n_hash_features": 8},
    )

    def seeds(self):
        cells = [
            [b"Drama|War", b"War", b"", b" Comedy | Drama "],
            [b"Drama:0.8|War:1", b"War:2", b"", b"a:b:-1e3"],
            [b'"a|b":1|c:2', b'"say ""x""":3'],
            [b"'a::b'=2::c=1", b"d=0"],
            [b"a|a|b", b"a:1"],
            ["\u00e9|\u0065\u0301|\U0001f600".encode(), b"\xed\xa0\x80|x"],
        ]
        return [
            b"%d" % option + b"\x1e".join(some) for option in range(8) for some in cells
        ]

    def mutated(self, data, rng, pool):
        option = b"%d" % rng.randrange(8) if rng.random() < 0.1 else data[:1]
        return option + mutated_bytes(data[1:], rng, pool)

    def prepare(self):
        for seed in self.seeds():
            self.run(seed)

    def run(self, data):
        options = self.OPTIONS[data[0] % len(self.OPTIONS)] if data else {}
        cells = data[1:].decode("utf-8", "surrogateescape").split("\x1e")
        told, found = self._encode(cells, options)
        with without_core():
            check((told, found) == self._encode(cells, options), f"no twin: {told}")
        if found is not None:
            self._check_rows(cells, options)
        with contextlib.suppress(UnicodeEncodeError):
            self._check_arrow(cells, options, told, found)
        return told

    def _encode(self, cells, options):
        from skwfm import WeightedMultiLabelEncoder

        encoder = WeightedMultiLabelEncoder(**options)
        try:
            X = encoder.fit_transform(cells)
        except (TypeError, ValueError) as error:
            place = r"^Column 'x0', row \d+: "
            check(re.search(place, str(error)), f"no row in {error}")
            return f"{type(error).__name__}: {error}", None
        check(np.isfinite(X.data).all() and X.data.all(), "a NaN or a stored zero")
        check(X.has_canonical_format, "not canonical")
        parts = X.indptr, X.indices, X.data
        labels = [known.tolist() for known in encoder.categories_]
        found = [X.shape, labels, *(part.tobytes() for part in parts)]
        return f"read rows {size_of(len(cells))}, labels {size_of(X.shape[1])}", found

    def _check_rows(self, cells, options):
        from skwfm import WeightedMultiLabelEncoder

        encoder = WeightedMultiLabelEncoder(**options).fit(cells)
        together = encoder.transform(cells)
        for row in range(0, len(cells), 1 + len(cells) // 4):
            alone = encoder.transform([cells[row]])
            check((alone != together[row]).nnz == 0, f"row {row} alone is another")

    def _check_arrow(self, cells, options, told, found):
        import pyarrow as pa

        its_told, its_found = self._encode(pa.array(cells, pa.string()), options)
        check((told, found) == (its_told, its_found), f"Arrow: {its_told}, not {told}")


TARGETS = {"load": ModelFiles, "ffm": FFMFiles, "text": TextCells}
