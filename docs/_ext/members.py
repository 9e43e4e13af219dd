"""Which members the page of a public class lists."""

import inspect
from collections.abc import Iterable
from importlib import import_module
from types import FunctionType
from typing import Any

# What scikit-learn gives and users of this package look for.
INHERITED = {"fit_transform", "set_callbacks"}
# Parts of another package's interface, and what only the package itself calls.
HIDDEN = {
    "extends",
    "extra_repr",
    "flatten",
    "get_metadata_routing",
    "getcol",
    "getrow",
    "score_flat",
    "set_output",
    "singletons",
}


def own_members(modules: Iterable[str]) -> dict[str, list[str]]:
    """Return the documented members of each public class, by its full name."""
    found = {}
    for name in modules:
        module = import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            if inspect.isclass(value):
                found[f"{name}.{public}"] = _members(value)
    return found


def _members(cls: type) -> list[str]:
    return [name for name in dir(cls) if name in INHERITED or _is_own(cls, name)]


def _is_own(cls: type, name: str) -> bool:
    """Tell whether this package defines it, with a docstring."""
    if name.startswith("_") or name in HIDDEN:
        return False
    home = next((base for base in cls.__mro__ if name in vars(base)), object)
    member: Any = vars(home)[name]
    # Not scikit-learn's `set_fit_request`, an object that it puts into every class.
    is_code = isinstance(member, FunctionType | classmethod | staticmethod | property)
    return home.__module__.startswith("skwfm") and is_code and bool(member.__doc__)
