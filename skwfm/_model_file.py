r"""The file that holds a model: a header of JSON, arrays, and a digest of both.

Format 1, all numbers little-endian:

========== ==========================================================================
bytes      content
========== ==========================================================================
0-7        ``\x93SKWFM\r\n``; a transfer as text or 7 bits breaks it
8-11       version of the format, 1
12-19      length of the header
20-        the header, a JSON object in UTF-8
...        the arrays in the order of the header's list ``"arrays"`` of ``[dtype, shape,
           order]``, each at the next multiple of 64 bytes; zeros fill the gaps
last 32    SHA-256 of all bytes before
========== ==========================================================================

Where an array stands follows from the dtypes and shapes before it: no file can name a
place twice or outside itself, and these sizes must give the size of the file exactly.
The digest tells damage, not forgery: who can write the file can sign it. So nothing is
believed for being signed, see `_model_checks`.

Cost: loading reads the file twice, for the digest and for the arrays. Storage: one
array at a time beside the model; nothing is allocated that the file's size does not
cover.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    _LOCKS = True
except ImportError:  # Windows, where nobody can delete an open file
    _LOCKS = False

__all__ = [
    "FORMAT",
    "ModelFileError",
    "dtype_spelling",
    "is_dtype_spelling",
    "read_file",
    "spelling_of",
    "write_file",
]

FORMAT = 1
_MAGIC = b"\x93SKWFM\r\n"
_HEAD = struct.Struct("<8sIQ")
_ALIGN = 64
_DIGEST = 32
_CHUNK = 2**20
_MAX_DIMENSIONS = 8
# Bytes as they are: bools, numbers, dates, text and bytes of one length.
_DTYPE = re.compile(
    r"\|b1|\|[iu]1|<[iu][248]|<f[248]|<[Mm]8(\[\d*[A-Za-z]+\])?|<U[1-9]\d*|\|S[1-9]\d*"
)

Array = npt.NDArray[Any]


class ModelFileError(ValueError):
    """A model file is damaged, not one of this package, or not to be believed.

    See Also
    --------
    load : Raises it.

    Examples
    --------
    >>> import tempfile
    >>> import skwfm
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "splines.skwfm")
    ...     skwfm.save(skwfm.SplineEncoder().fit([[1.0], [2.0]]), path)
    ...     size = path.write_bytes(path.read_bytes()[:-1])
    ...     try:
    ...         skwfm.load(path)
    ...     except skwfm.ModelFileError as error:
    ...         print(str(error).partition(": ")[2])
    the file is damaged: its SHA-256 is another.
    """


# --- writing ------------------------------------------------------------------------


def dtype_spelling(dtype: np.dtype[Any]) -> str | None:
    """Return a dtype as the header has it, little-endian; None for what it lacks.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._model_file import dtype_spelling
    >>> dtype_spelling(np.dtype(">f4")), dtype_spelling(np.dtype(object))
    ('<f4', None)
    """
    spelling = dtype.newbyteorder("<").str
    return spelling if _DTYPE.fullmatch(spelling) else None


def is_dtype_spelling(text: Any) -> bool:
    """Tell whether text spells a dtype, of either byte order; never by NumPy.

    NumPy takes more than names for one, and reads some of it as Python.

    Examples
    --------
    >>> from skwfm._model_file import is_dtype_spelling
    >>> is_dtype_spelling(">f4"), is_dtype_spelling("(2,)f4,i4")
    (True, False)
    """
    little = text.replace(">", "<", 1) if isinstance(text, str) else ""
    return _DTYPE.fullmatch(little) is not None


def spelling_of(array: Array) -> tuple[str, list[int], str] | None:
    """Return dtype, shape and order of an array, None where the file cannot hold it.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm._model_file import spelling_of
    >>> spelling_of(np.zeros((2, 3), dtype=np.float32))
    ('<f4', [2, 3], 'C')
    """
    spelling = dtype_spelling(array.dtype)
    if spelling is None or array.ndim > _MAX_DIMENSIONS:
        return None
    flags = array.flags
    order = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
    return spelling, list(array.shape), order


def write_file(path: Any, header: dict[str, Any], arrays: list[Array]) -> None:
    """Write a model file; what `path` names is the old or the new file at any time.

    Parameters
    ----------
    path : path
        What it names is replaced when everything is on the disk.
    header : dict
        Anything that is JSON. Its list ``"arrays"`` is added.
    arrays : list of array
        Each with a `spelling_of`.

    Raises
    ------
    OSError
        If the folder is missing or the file cannot be written; what was there is as
        before, and no temporary file is left.
    """
    target = Path(os.path.realpath(os.fsdecode(path)))
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: not a file, expected the path of a file to write.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(target.parent)!r}.")
    _remove_stale(target)
    with _temporary(target) as (stream, partial):
        _write(stream, header, arrays)
        if target.exists():
            shutil.copymode(target, partial)
        stream.flush()
        os.fsync(stream.fileno())
        if not _LOCKS:
            stream.close()
        os.replace(partial, target)
    _sync_folder(target.parent)


def _write(stream: BinaryIO, header: dict[str, Any], arrays: list[Array]) -> None:
    spellings = [spelling_of(array) for array in arrays]
    header = {**header, "arrays": spellings}
    text = json.dumps(header, ensure_ascii=False, allow_nan=False, sort_keys=True)
    encoded = text.encode()
    digest = hashlib.sha256()
    at = 0

    def put(data: Any) -> None:
        nonlocal at
        view = memoryview(data)
        digest.update(view)
        stream.write(view)
        at += view.nbytes

    put(_HEAD.pack(_MAGIC, FORMAT, len(encoded)))
    put(encoded)
    for array in arrays:
        put(bytes(-at % _ALIGN))
        put(_raw(array))
    stream.write(digest.digest())


def _raw(array: Array) -> Array:
    """Return the bytes of an array, in its order of memory and little-endian."""
    spelling = spelling_of(array)
    assert spelling is not None
    dtype, _, order = spelling
    array = np.asarray(array).astype(dtype, copy=False)
    return (
        np.ascontiguousarray(array.T if order == "F" else array)
        .view(np.ndarray)
        .reshape(-1)
        .view(np.uint8)
    )


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file beside the target, locked as long as its writer lives."""
    while True:
        partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        stream = open(partial, "xb")
        _lock(stream, wait=True)
        # Between its birth and the lock another writer may have taken it for stale.
        if os.fstat(stream.fileno()).st_nlink:
            break
        stream.close()
    try:
        with stream:
            yield stream, partial
    finally:
        partial.unlink(missing_ok=True)


def _lock(stream: BinaryIO, *, wait: bool) -> bool:
    """Lock a file until it is closed; False if it is in use, or cannot be locked."""
    if not _LOCKS:
        return True
    try:
        flock(stream, LOCK_EX | (0 if wait else LOCK_NB))
    except OSError:
        return False
    return True


def _remove_stale(target: Path) -> None:
    """Remove temporary files of writers that were killed, and no others."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.tmp")
    names: list[str] = []
    with contextlib.suppress(OSError):  # a folder that may not be listed
        names = os.listdir(target.parent)
    for name in filter(pattern.fullmatch, names):
        path = target.with_name(name)
        # Not ours to delete, in use, or gone meanwhile: the save goes on.
        with contextlib.suppress(OSError), open(path, "r+b") as stream:
            if _lock(stream, wait=False):
                if not _LOCKS:
                    stream.close()
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where folders can be synced."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


# --- reading ------------------------------------------------------------------------


def read_file(path: Any, mmap: bool = False) -> tuple[dict[str, Any], list[Array]]:
    """Read a model file and check its digest and its sizes.

    Parameters
    ----------
    path : path
        The file.
    mmap : bool, default=False
        Map the arrays into memory, read-only, instead of reading them.

    Returns
    -------
    header : dict
        JSON without a repeated key, NaN or infinity.
    arrays : list of array

    Raises
    ------
    ModelFileError
        If any byte is not as it was written, or the header makes no sense.
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        header_size = _read_head(stream, size)
        _check_digest(stream, size)
        stream.seek(_HEAD.size)
        header = _parsed(_exactly(stream, header_size))
        spellings = _checked_spellings(header.pop("arrays", None), size)
        places = _places(spellings, _HEAD.size + header_size, size - _DIGEST)
        mapped = np.memmap(stream, np.uint8, "r") if mmap else None
        arrays = [
            _read_array(stream, mapped, start, *spelling)
            for start, spelling in zip(places, spellings, strict=True)
        ]
    return header, arrays


def _read_head(stream: BinaryIO, size: int) -> int:
    """Return the length of the header."""
    if size < _HEAD.size + _DIGEST:
        raise ModelFileError(f"{size} bytes are too few for a model file.")
    magic, version, header_size = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if magic != _MAGIC:
        raise ModelFileError("not a model file, which skwfm.save writes.")
    if version != FORMAT:
        raise ModelFileError(
            f"the format has version {version}, expected {FORMAT}. Load it with the "
            "version of skwfm that wrote it, or a newer one."
        )
    if header_size > size - _HEAD.size - _DIGEST:
        raise ModelFileError("the file is cut off, or damaged.")
    return int(header_size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise ModelFileError("the file became shorter while it was read.")
    return data


def _check_digest(stream: BinaryIO, size: int) -> None:
    stream.seek(0)
    digest, left = hashlib.sha256(), size - _DIGEST
    while left:
        data = _exactly(stream, min(left, _CHUNK))
        digest.update(data)
        left -= len(data)
    if digest.digest() != _exactly(stream, _DIGEST):
        raise ModelFileError("the file is damaged: its SHA-256 is another.")


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(
            text.decode(), object_pairs_hook=_no_repeats, parse_constant=_no_constant
        )
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the header is not JSON ({error}).") from None
    if not isinstance(header, dict):
        raise ModelFileError("the header is not an object.")
    return header


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ModelFileError("the header repeats a key.")
    return found


def _no_constant(name: str) -> None:
    raise ModelFileError(f"the header holds {name}.")


def _checked_spellings(found: Any, size: int) -> list[tuple[np.dtype[Any], Any, str]]:
    """Return dtype, shape and order of every array."""
    if not isinstance(found, list):
        raise ModelFileError("the header lacks its list of arrays.")
    return [_checked_spelling(item, size) for item in found]


def _checked_spelling(item: Any, size: int) -> tuple[np.dtype[Any], Any, str]:
    match item:
        case [str(spelling), [*shape], "C" | "F" as order] if (
            _DTYPE.fullmatch(spelling)
            # Not of a bool; none longer than the file, also where others are 0.
            and all(type(n) is int and 0 <= n <= size for n in shape)
            and len(shape) <= _MAX_DIMENSIONS
            and len(spelling) < 40
        ):
            with contextlib.suppress(TypeError, ValueError):
                return np.dtype(spelling), tuple(shape), order
    raise ModelFileError("the header describes an array that cannot be.")


def _places(
    spellings: list[tuple[np.dtype[Any], Any, str]], start: int, end: int
) -> list[int]:
    """Return where the arrays start; they must end where the digest begins."""
    places = []
    for dtype, shape, _ in spellings:
        start += -start % _ALIGN
        places.append(start)
        start += dtype.itemsize * math.prod(shape)
    if start != end:
        raise ModelFileError("the arrays have not the size that the header tells.")
    return places


def _read_array(
    stream: BinaryIO,
    mapped: Array | None,
    start: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    order: str,
) -> Array:
    size = dtype.itemsize * math.prod(shape)
    if mapped is not None:
        data = np.asarray(mapped)[start : start + size]
    else:
        data = np.empty(size, np.uint8)
        stream.seek(start)
        if stream.readinto(data) != size:  # type: ignore[attr-defined]
            raise ModelFileError("the file became shorter while it was read.")
    _check_values(data, dtype)
    # A dtype with the byte order of this machine; a copy only on big-endian ones.
    array = data.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape(shape[::-1]).T if order == "F" else array.reshape(shape)


def _check_values(data: Array, dtype: np.dtype[Any]) -> None:
    """Refuse bytes that are no bool, or no character."""
    limit = {"b": 1, "U": 0x10FFFF}.get(dtype.kind)
    if limit is None or not data.size:
        return
    numbers = data if dtype.kind == "b" else data.view("<u4")
    if numbers.max() > limit:
        raise ModelFileError(f"an array of {dtype} holds what is none.")
