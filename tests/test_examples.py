"""The scripts of the gallery, without running them: that is done to build the pages."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "examples"
SCRIPTS = sorted(FOLDER.glob("plot_*.py"))


def public_names(tree):
    """Yield module and name of all that a script takes from this package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "skwfm":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "skwfm":
                yield "skwfm", node.attr


def test_numbers_give_the_order():
    numbers = [int(path.stem.split("_")[1]) for path in SCRIPTS]
    assert numbers == list(range(1, len(SCRIPTS) + 1))
    assert len(SCRIPTS) >= 13


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
class TestScript:
    def test_begins_with_title_and_text(self, path):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        title, line, *rest = text.splitlines()
        assert line == "=" * len(title)
        assert len("\n".join(rest).strip().split("\n\n")) >= 2

    def test_headings_are_underlined_in_full(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        for above, line in zip(lines, lines[1:], strict=False):
            if re.fullmatch("# -+", line):
                assert len(line) == len(above)

    def test_ends_with_the_picture(self, path):
        *_, last = ast.parse(path.read_text(encoding="utf-8")).body
        assert ast.unparse(last) == "plt.show()"

    def test_takes_public_names_only(self, path):
        names = list(public_names(ast.parse(path.read_text(encoding="utf-8"))))
        assert names
        for module, name in names:
            assert name in import_module(module).__all__, f"{module}.{name}"
