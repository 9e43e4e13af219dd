"""Docstrings of public names: numpydoc's checks, and an example that pytest runs.

Public is what a module without underscore has in `__all__`, and of its classes the
methods and properties that this package defines: what scikit-learn, scipy and torch
bring is documented there.
"""

import ast
import builtins
import doctest
import functools
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import ERROR_MSGS, validate

import skwfm

# What numpydoc checks and is not asked for here.
NOT_ASKED = {"ES01": "a summary that says all needs no second paragraph"}
NOT_ASKED_OF_MEMBERS = {"SA01": "their class names its neighbours"}
NOT_ASKED_OF = {
    "skwfm.datasets.iter_ffm_file": {"RT01": "Yields tells what its iterator gives"}
}


class Public(NamedTuple):
    """A public name."""

    name: str
    value: object
    home: str
    """Where it is defined: what doctest calls it."""
    is_member: bool = False


def public_modules() -> list[str]:
    """Return the names of the package and its public modules."""
    inner = (info.name for info in pkgutil.iter_modules(skwfm.__path__))
    public = (name for name in inner if not name.startswith("_"))
    return ["skwfm", *(f"skwfm.{name}" for name in public)]


def public_names() -> dict[str, Public]:
    """Return modules, functions, classes and members, each under its first name."""
    found: dict[str, Public] = {}
    seen = set()
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if not isinstance(value, str) and id(value) not in seen:  # the version is
                seen.add(id(value))
                found |= {item.name: item for item in with_members(module_name, name)}
    return found


def with_members(module_name: str, name: str) -> Iterator[Public]:
    """Yield a public name and, of a class, its members."""
    value = getattr(importlib.import_module(module_name), name)
    own = f"{module_name}.{name}"
    if inspect.ismodule(value):
        yield Public(own, value, value.__name__)
        return
    yield Public(own, value, f"{value.__module__}.{value.__qualname__}")
    if not inspect.isclass(value):
        return
    for member in dir(value):
        home = next((cls for cls in value.__mro__ if member in vars(cls)), None)
        if member.startswith("_") or home is None or not is_ours(home):
            continue
        part = vars(home)[member]
        function = function_of(part)
        if inspect.isfunction(function) and is_ours(function):
            where = f"{home.__module__}.{home.__qualname__}.{member}"
            is_bound = isinstance(part, classmethod | staticmethod)
            yield Public(f"{own}.{member}", function if is_bound else part, where, True)


def function_of(part: object) -> object:
    """Return the function inside a property, class method, ..., or what it is."""
    if isinstance(part, property):
        return part.fget
    if isinstance(part, functools.cached_property):
        return part.func
    return part.__func__ if isinstance(part, classmethod | staticmethod) else part


def is_ours(value: object) -> bool:
    return value.__module__.partition(".")[0] == "skwfm"


def faults(item: Public) -> list[str]:
    """Return what numpydoc finds, without what is not asked for."""
    ignored = NOT_ASKED.keys() | NOT_ASKED_OF.get(item.name, {}).keys()
    if item.is_member:
        ignored |= NOT_ASKED_OF_MEMBERS.keys()
    with warnings.catch_warnings():
        # numpydoc warns of a section that it does not know, and reports it as well.
        warnings.simplefilter("ignore", UserWarning)
        found = validate(get_doc_object(item.value))["errors"]
    return [f"{code}: {text}" for code, text in found if code not in ignored]


@functools.cache
def collected(module_name: str) -> dict[str, doctest.DocTest]:
    """Return the doctests that pytest finds in a module, by name."""
    tests = doctest.DocTestFinder().find(importlib.import_module(module_name))
    return {test.name: test for test in tests if test.examples}


def example_faults(item: Public) -> list[str]:
    """Return why the example of a docstring does not run."""
    module = inspect.getmodule(function_of(item.value) or item.value)
    test = collected(module.__name__).get(item.home)
    if test is None:
        return ["no example that a doctest of its module collects"]
    skipped = [x.source for x in test.examples if x.options.get(doctest.SKIP)]
    return [
        *[f"skipped: {source}" for source in skipped],
        *[f"not imported: {name}" for name in sorted(borrowed_names(test))],
    ]


def borrowed_names(test: doctest.DocTest) -> set[str]:
    """Return what an example takes from its module: a reader's session lacks it."""
    nodes = list(ast.walk(ast.parse("".join(x.source for x in test.examples))))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    used = {name.id for name in names if isinstance(name.ctx, ast.Load)}
    made = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {x.asname or x.name.partition(".")[0] for x in node.names}
        elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
    return used - made - set(vars(builtins))


PUBLIC = public_names()
# numpydoc looks for a "def" in the source, which a module may lack.
VALIDATED = [name for name in PUBLIC if not inspect.ismodule(PUBLIC[name].value)]


@pytest.mark.parametrize("name", VALIDATED)
def test_docstring_is_what_numpydoc_asks_for(name):
    assert faults(PUBLIC[name]) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_example_is_run(name):
    assert example_faults(PUBLIC[name]) == []


def test_names_are_found_wherever_they_are_public():
    assert {
        "skwfm.nn",
        "skwfm.WeightedFMRegressor.fit",  # of a base that is not public
        "skwfm.WeightedFMClassifier.module_",  # a property
        "skwfm.FieldMap.from_fields",  # a class method
        "skwfm.SplineEncoder.transform",  # wrapped by scikit-learn
        "skwfm.nn.SparseAdagrad.step",
        "skwfm.datasets.load_ffm_file",
        "skwfm.inspection.explain",
    } <= set(PUBLIC)
    assert "skwfm.FieldCSR.tocoo" not in PUBLIC  # scipy's
    assert "skwfm.WeightedFMRegressor.set_fit_request" not in PUBLIC  # scikit-learn's


def test_exceptions_are_in_use():
    """One for a check that passes, or for a name that is gone, is taken out."""
    codes = {*NOT_ASKED, *NOT_ASKED_OF_MEMBERS}
    assert codes <= set(ERROR_MSGS)
    for name, exceptions in NOT_ASKED_OF.items():
        errors = validate(get_doc_object(PUBLIC[name].value))["errors"]
        assert set(exceptions) <= {code for code, _ in errors}


def test_examples_are_compared_to_the_letter(pytestconfig):
    """With NUMBER, 0. passes for 1.: it compares to the last digit that is shown."""
    flags = pytestconfig.getini("doctest_optionflags")
    assert "NUMBER" not in flags


def test_examples_of_pages_are_collected(pytestconfig):
    assert {"skwfm", "README.md", "docs"} <= set(pytestconfig.getini("testpaths"))
    assert pytestconfig.getoption("doctestmodules")
    assert pytestconfig.getoption("doctestglob") == ["*.md"]


def test_figures_are_closed_after_every_test_and_example(request, pytestconfig):
    """Those of tests/conftest.py would not be known to the examples of skwfm."""
    assert "no_open_figures" in request.fixturenames
    assert "no_open_figures" in (pytestconfig.rootpath / "conftest.py").read_text()


# The checks above must be able to fail.


def good(x: float) -> float:
    """Return a number.

    Parameters
    ----------
    x : float
        The number.

    Returns
    -------
    float
        The same.

    See Also
    --------
    abs : Another.

    Examples
    --------
    >>> 1 + 1
    2
    """
    return x


def without(text: str) -> object:
    """Return `good` with a docstring that lacks a text."""

    def bad(x: float) -> float:
        return x

    assert text in good.__doc__
    bad.__doc__ = good.__doc__.replace(text, "")
    return bad


def as_public(value: object, is_member: bool = False) -> Public:
    return Public("bad", value, f"{__name__}.{value.__qualname__}", is_member)


def test_good_docstring_passes():
    assert faults(as_public(good)) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (good.__doc__, "GL08"),
        ("Return a number.\n", "SS01"),
        ("a number.", "SS03"),
        ("Parameters\n    ----------\n    x : float\n        The number.\n", "PR01"),
        (" : float", "PR04"),
        ("        The number.\n", "PR07"),
        ("Returns\n    -------\n    float\n        The same.\n", "RT01"),
        ("        The same.\n", "RT03"),
        ("See Also\n    --------\n    abs : Another.\n", "SA01"),
        (" : Another.", "SA04"),
        ("Examples\n    --------\n    >>> 1 + 1\n    2\n", "EX01"),
    ],
)
def test_bad_docstring_is_found(text, code):
    assert code in {fault[:4] for fault in faults(as_public(without(text)))}


def test_member_needs_no_neighbours():
    value = without("See Also\n    --------\n    abs : Another.\n\n    ")
    assert faults(as_public(value, is_member=True)) == []


def test_property_needs_an_example():
    class Bad:
        @property
        def size(self) -> int:
            """Number of rows."""

    (fault,) = faults(as_public_property(Bad))
    assert fault.startswith("EX01")


def as_public_property(cls: type) -> Public:
    return Public("bad", vars(cls)["size"], f"{__name__}.size", True)


def test_example_that_nobody_collects_is_found():
    """As of a function that is made by another, and no name of its module."""
    (fault,) = example_faults(as_public(without("Return a number.")))
    assert "no example" in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (">>> 1 + 1  # doctest: +SKIP\n", "skipped: 1 + 1  # doctest: +SKIP\n"),
        (">>> import numpy\n>>> x = np.ones(2)\n>>> x\n", "not imported: np"),
    ],
)
def test_example_that_cannot_be_copied_is_found(text, fault, monkeypatch):
    test = doctest.DocTestParser().get_doctest(text, {}, "f", None, None)
    monkeypatch.setitem(globals(), "collected", lambda module: {test.name: test})
    assert example_faults(Public("f", good, "f")) == [fault]
