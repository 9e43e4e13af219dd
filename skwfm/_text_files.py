"""Text files of any size: whole lines in blocks, plain or compressed, and writing.

Compression is told by the first bytes when reading and by the suffix when writing.
Storage: a block and, in a file of longer lines, a line of at most `MAX_LINE` bytes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skwfm import _file_validation as val

__all__ = ["blocks", "name_of", "write"]

BLOCK = 2**18
MAX_LINE = 2**26

_MAGIC: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_HEAD = max(map(len, _MAGIC))
_SUFFIXES: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def name_of(file: Any) -> str:
    """Return what messages call a file: its path, or its kind where it has none."""
    name = file if _is_path(file) else getattr(file, "name", None)
    if isinstance(name, str | bytes | os.PathLike):
        return os.fsdecode(name)
    return f"<{type(file).__name__}>"


def blocks(file: Any) -> Iterator[tuple[int, bytes]]:
    """Read a file in blocks of whole lines.

    Parameters
    ----------
    file : path or binary file
        A file is read from where it stands, and left open.

    Yields
    ------
    line : int
        Number of the first line, from 1.
    text : bytes
        Some lines. The last one of the file may lack its end.

    Raises
    ------
    TypeError
        If `file` is neither.
    ValueError
        If a line is longer than `MAX_LINE`, or compressed data are damaged.
    """
    with _opened(file) as stream:
        line, rest = 1, b""
        for data in _pieces(stream, name_of(file)):
            cut = data.rfind(b"\n") + 1
            if cut:
                text = rest + data[:cut]
                yield line, text
                line, rest = line + text.count(b"\n"), data[cut:]
            else:
                rest += data
            if len(rest) > MAX_LINE:
                raise ValueError(val.long_line_error(f"{name_of(file)}:{line}"))
        if rest:
            yield line, rest


def _pieces(stream: Any, name: str) -> Iterator[bytes]:
    """Read a stream to its end, without a byte order mark."""
    head = _read_head(stream, name)
    opener = next((f for magic, f in _MAGIC.items() if head.startswith(magic)), None)
    stream = _WithHead(head, stream)
    if opener is None:
        yield from _without_mark(stream)
        return
    line = 1
    try:
        with opener(stream, "rb") as unpacked:
            for data in _without_mark(unpacked):
                yield data
                line += data.count(b"\n")
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if getattr(error, "errno", None) is not None:  # of the device
            raise
        raise ValueError(val.damaged_file_error(name, line, error)) from error


def _read_head(stream: Any, name: str) -> bytes:
    """Read as many bytes as the longest magic has, fewer in a shorter file."""
    head = b""
    while len(head) < _HEAD:
        data = stream.read(_HEAD - len(head))
        if not isinstance(data, bytes):
            raise TypeError(val.file_type_error(name, data))
        if not data:
            break
        head += data
    return head


def _without_mark(stream: Any) -> Iterator[bytes]:
    yield stream.read(BLOCK).removeprefix(_BYTE_ORDER_MARK)
    while data := stream.read(BLOCK):
        yield data


class _WithHead:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        """Read up to so many bytes."""
        if self._head:
            size = len(self._head) if size < 0 else size
            head, self._head = self._head[:size], self._head[size:]
            return head
        data: bytes = self._stream.read(size)
        return data


@contextmanager
def _opened(file: Any) -> Iterator[Any]:
    if _is_path(file):
        with open(file, "rb") as stream:
            yield stream
    elif hasattr(file, "read"):
        yield file
    else:
        raise TypeError(val.file_type_error("file", file))


def write(file: Any, parts: Iterable[bytes]) -> None:
    """Write a file from its parts.

    Parameters
    ----------
    file : path or binary file
        What the path names is replaced when all is written, not before: an error
        leaves it as it was. The suffix .gz, .bz2 or .xz compresses. A file is left
        open.
    parts : iterable of bytes
        The content.

    Raises
    ------
    TypeError
        If `file` is neither.
    """
    if not _is_path(file):
        if not hasattr(file, "write"):
            raise TypeError(val.file_type_error("file", file))
        file.writelines(parts)
        return
    path = Path(os.path.realpath(os.fsdecode(file)))
    opener = _SUFFIXES.get(path.suffix.lower(), open)
    if path.exists() and not path.is_file():  # a device or a pipe
        with opener(path, "wb") as stream:
            stream.writelines(parts)
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with opener(partial, "wb") as stream:
            stream.writelines(parts)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _is_path(file: Any) -> bool:
    return isinstance(file, str | bytes | os.PathLike)
