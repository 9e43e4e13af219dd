"""One adapter per library, all with the methods of `Library`; none is required."""

from __future__ import annotations

from importlib import import_module

from benchmarks.libraries._base import Library, Point

__all__ = ["NAMES", "Library", "Point", "get", "installed"]

NAMES = (
    "skwfm",
    "modern_fm",
    "libffm",
    "xlearn",
    "torch",
    "myfm",
    "lightfm",
    "vowpalwabbit",
    "deepctr_torch",
    "torchfm",
)


def get(name: str) -> Library:
    """Return a fresh adapter, whether or not its library is installed."""
    if name not in NAMES:
        raise ValueError(f"name={name!r}: expected one of {list(NAMES)}.")
    adapter: Library = import_module(f"benchmarks.libraries.bench_{name}").Adapter()
    return adapter


def installed() -> list[str]:
    """Return the names of the libraries that can be imported here."""
    return [name for name in NAMES if get(name).available()]
