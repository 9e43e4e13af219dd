"""Which torch device trains and predicts, and how after a fork.

``"auto"`` takes the CPU for what the compiled core does, which is as fast there and the
same on every machine, and else CUDA when there is one. The fitted state is numpy, so a
model trained on one device predicts on any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["no_threads_of_parent", "resolve_device"]

_IMPORTED_BY = os.getpid()


@contextmanager
def no_threads_of_parent() -> Iterator[None]:
    """Let torch compute in one thread, if this process is a fork.

    A fork inherits what OpenMP knows of its pool of threads, but not the threads: the
    first large tensor operation would wait for them forever.
    """
    if os.getpid() == _IMPORTED_BY:
        yield
        return
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def resolve_device(
    device: str, *, fallback: bool = False, float64: bool = False, core: bool = False
) -> torch.device:
    """Return the torch device a `device` parameter means.

    Parameters
    ----------
    device : str
        ``"auto"``, or what ``torch.device`` takes: ``"cpu"``, ``"cuda"``,
        ``"cuda:1"``, ``"mps"``.
    fallback : bool, default=False
        Take the CPU, rather than raise, when the device is not there: a model trained
        on a GPU must predict on a machine without one.
    float64 : bool, default=False
        Numbers of 64 bits, which ``"mps"`` does not know: the CPU takes its place.
    core : bool, default=False
        The compiled core could do the work: ``"auto"`` is the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the name means no device, or the device is not available here.

    Examples
    --------
    >>> from skwfm._device import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        has_gpu = not core and torch.cuda.is_available()
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device={device!r}: expected 'auto', 'cpu', 'cuda', 'cuda:<number>' or "
            "'mps'."
        ) from None
    if _is_available(wanted):
        lacks_float64 = wanted.type == "mps" and float64
        return torch.device("cpu") if lacks_float64 else wanted
    if fallback:
        return torch.device("cpu")
    raise ValueError(
        f"device={device!r} is not available to torch on this machine; "
        "device='auto' takes what there is."
    )


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (
            (device.index or 0) < torch.cuda.device_count()
        )
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"
