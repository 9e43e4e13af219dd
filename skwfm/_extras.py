"""Packages of the extras: imported where they are used, or an error that helps."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from skwfm._validation import missing_extra_error

__all__ = ["require"]


def require(*packages: str, extra: str) -> list[Any]:
    """Import packages, or say in one line which extra brings them.

    Parameters
    ----------
    *packages : str
        Names to import, of modules too.
    extra : str
        The extra of this package that installs them.

    Returns
    -------
    list of modules

    Raises
    ------
    ImportError
        If one is not installed; none is imported then.
    """
    for name in packages:
        root = name.partition(".")[0]
        if find_spec(root) is None:
            raise ImportError(missing_extra_error(root, extra))
    return [import_module(name) for name in packages]
