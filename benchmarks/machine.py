"""What the figures depend on: kind of machine and versions, nothing that names it."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["describe", "memory_now", "peak_memory", "reset_peak", "return_memory"]

PACKAGES = (
    "skwfm numpy scipy scikit-learn torch skorch modern-fm pylibffm xlearn myfm "
    "lightfm-next vowpalwabbit deepctr-torch torchfm"
).split()
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
KIB, MIB = 2**10, 2**20


def describe() -> dict[str, Any]:
    """Return date, processor, cores, memory, caches, versions and load."""
    lines = _read("/proc/cpuinfo").splitlines()
    info = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    wanted = ("avx2", "fma", "avx512f")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": info.get("model name", platform.machine()),
        "instruction_sets": [s for s in wanted if s in info.get("flags", "").split()],
        "cores": os.cpu_count(),
        "memory_gib": round(_status("/proc/meminfo").get("MemTotal", 0) / MIB),
        "caches": _caches(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def memory_now() -> float:
    """Return the resident memory of this process in MiB."""
    resident = _status("/proc/self/status").get("VmRSS")
    return peak_memory() if resident is None else resident / KIB


def peak_memory() -> float:
    """Return the largest resident memory of this process in MiB."""
    import resource

    peak = _status("/proc/self/status").get("VmHWM")
    if peak is not None:
        return peak / KIB
    # Kilobytes on Linux, bytes on macOS.
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (MIB if sys.platform == "darwin" else KIB)


def return_memory() -> None:
    """Give freed memory back to the system, where the C library can.

    What the process keeps would be used again without the resident memory growing.
    """
    gc.collect()
    trim = (
        getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    )
    if trim is not None:
        trim(0)


def reset_peak() -> bool:
    """Forget the peak so far, where Linux lets us; else the loading is part of it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(path: str) -> dict[str, int]:
    """Return the lines ``name: number kB``."""
    parts = [line.replace(":", " ").split() for line in _read(path).splitlines()]
    return {p[0]: int(p[1]) for p in parts if len(p) == 3 and p[2] == "kB"}


def _caches() -> dict[str, str]:
    found = {}
    for folder in sorted(CACHES.glob("index*")):
        level, kind = _read(folder / "level").strip(), _read(folder / "type").strip()
        if kind != "Instruction":
            found[f"L{level}"] = _read(folder / "size").strip()
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
