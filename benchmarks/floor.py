"""The physical floor of an epoch, in microseconds per row: moving the parameters.

One pass reads and writes every parameter row that the rows of the problem touch, in
their order and with one thread. Rows are whole cache lines of 16 floats:

- ``ffm-weight``: F k factors and as many AdaGrad states;
- ``ffm-row``: F k factors and one state;
- ``fm``: k factors, a linear coefficient and a state for either.

``floor.cpp`` is compiled on first use by ``c++`` (or $CXX) into ``benchmarks/cache``.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.synthetic import CACHE, Synthetic

__all__ = ["VARIANTS", "available", "floor", "triad", "width"]

SOURCE = Path(__file__).with_name("floor.cpp")
VARIANTS = ("ffm-weight", "ffm-row", "fm")
FLAGS = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC"]
LINE = 16
# Labels to prefetch ahead: none, or about the latency of memory. The better counts.
AHEAD = (0, 4, 16)
# Far beyond any cache: 256 MiB for each of the three arrays.
TRIAD_FLOATS = 2**26


def available() -> bool:
    """Tell whether there is a compiler."""
    return shutil.which(_compiler()) is not None


def width(variant: str, n_fields: int, k: int) -> int:
    """Return the floats of a parameter row, padded to whole cache lines."""
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r}: expected one of {list(VARIANTS)}.")
    values = n_fields * k
    lines = {
        "ffm-weight": 2 * -(-values // LINE),
        "ffm-row": -(-(values + 1) // LINE),
        "fm": -(-(k + 3) // LINE),
    }
    return LINE * lines[variant]


def floor(problem: Synthetic, variant: str, k: int, repeats: int = 3) -> float:
    """Return the microseconds per train row of the fastest pass."""
    X = problem.X_train
    labels = np.ascontiguousarray(X.indices, dtype=np.int32)
    passes = [
        _library().floor_rows(
            labels.ctypes.data,
            len(labels),
            X.shape[1],
            width(variant, len(problem.sizes), k),
            ahead,
            repeats,
        )
        for ahead in AHEAD
    ]
    if min(passes) < 0:
        raise MemoryError(f"no memory for the parameters of {variant!r}, k={k}.")
    return 1e6 * min(passes) / X.shape[0]


def triad(n_floats: int = TRIAD_FLOATS, repeats: int = 5) -> float:
    """Return the bandwidth of one thread in GB/s."""
    return float(_library().triad(n_floats, repeats))


@cache
def _library() -> Any:
    """Compile the source if need be and load it."""
    tag = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    path = CACHE / f"floor-{tag}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        command = [_compiler(), *FLAGS, str(SOURCE), "-o", str(partial)]
        subprocess.run(command, check=True)
        partial.rename(path)
    library = ctypes.CDLL(str(path))
    library.floor_rows.restype = library.triad.restype = ctypes.c_double
    sizes = [ctypes.c_int64] * 4
    library.floor_rows.argtypes = [ctypes.c_void_p, *sizes, ctypes.c_int]
    library.triad.argtypes = [ctypes.c_int64, ctypes.c_int]
    return library


def _compiler() -> str:
    return os.environ.get("CXX", "c++")
