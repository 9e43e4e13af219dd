"""How much memory there can be, and what a table of parameters needs.

Linux hands out more memory than there is and ends the process that uses it. Hence a
table that cannot fit is refused before it is asked for: one that needs more than all
memory and swap of the machine, or more than a limit of the process or its container.
One that is merely large is not: who knows what else will be freed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from skwfm import _size_validation as val

__all__ = ["NoRoomError", "memory_limit", "room_for"]

# Where Linux says what a container may have; {} is the place of this process.
CONTAINER_FILES = (
    "/sys/fs/cgroup{}/memory.max",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory{}/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


class NoRoomError(MemoryError):
    """Want of memory for something that the message names already."""


def memory_limit() -> int | None:
    """Return the most bytes that this process can have, None where nothing says."""
    limits = [size for size in (_machine(), _process()) if size is not None]
    return min(limits, default=None)


@cache
def _machine() -> int | None:
    """Return the memory and swap of the machine or its container."""
    sizes = [size for size in (_physical(), _container()) if size is not None]
    return min(sizes) + _swap() if sizes else None


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None


def _swap() -> int:
    for line in _read("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "SwapTotal":
            return int(rest.split()[0]) * 1024
    return 0


def _container() -> int | None:
    groups = _read("/proc/self/cgroup").splitlines()
    own = {line.split(":", 2)[2] for line in groups if line.count(":") >= 2}
    paths = {file.format(place) for file in CONTAINER_FILES for place in own or {""}}
    texts = [_read(path).strip() for path in paths]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _process() -> int | None:
    """Return the limit of the address space (`ulimit -v`)."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


@contextmanager
def room_for(
    n_columns: int, n_factors: int, n_bytes: Callable[[int], int]
) -> Iterator[None]:
    """Raise where a table cannot fit; say of one that did not fit how large it is.

    Parameters
    ----------
    n_columns, n_factors : int
        Of the model.
    n_bytes : callable
        Takes a number of factors and returns the bytes that training holds at least.

    Raises
    ------
    MemoryError
        With the size, and how many factors fit.
    """
    limit = memory_limit()
    needed = n_bytes(n_factors)
    sizes = n_columns, n_factors, needed
    if limit is not None and needed > limit:
        most = _most_factors(n_factors, n_bytes, limit)
        raise MemoryError(val.no_room_error(*sizes, limit, most))
    try:
        yield
    except NoRoomError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not _ran_out(error):
            raise
        raise MemoryError(val.ran_out_error(*sizes, error)) from error


def _most_factors(n_factors: int, n_bytes: Callable[[int], int], limit: int) -> int:
    """Return the most factors whose table fits, by halving."""
    fits, too_many = 0, n_factors
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if n_bytes(middle) <= limit:
            fits = middle
        else:
            too_many = middle
    return fits


def _ran_out(error: Exception) -> bool:
    """Tell want of memory on the CPU: torch raises a plain RuntimeError for it."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)
