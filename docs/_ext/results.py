"""Tables of the committed benchmark results, made when the site is built.

A table is chosen from a report in ``benchmarks/results`` by the heading above it::

    ```{results-table} speed.md
    :section: CPU seconds of an epoch, one thread
    :columns: library; epoch=CPU seconds
    :where: problem=A
    ```

``section`` (the first table of the report without it) is a heading or the start of the
text before the table; ``columns`` chooses, orders and, after ``=``, renames; ``where``
keeps the rows of these values, ``|`` between alternatives. ``results-text`` is the text
below a heading, up to the next one. What is not found fails the build.
"""

import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("results-table", ResultsTable)
    app.add_directive("results-text", ResultsText)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class ResultsTable(SphinxDirective):
    """One table of a report."""

    required_arguments = 1
    option_spec: ClassVar = {
        "section": directives.unchanged,
        "columns": directives.unchanged,
        "where": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Return the table, parsed as if it stood in the page."""
        path = RESULTS / self.arguments[0]
        self.env.note_dependency(path)
        try:
            names, rows = find_table(path.read_text(), self.options.get("section", ""))
            rows = keep_rows(names, rows, self.options.get("where", ""))
            names, rows = choose(names, rows, self.options.get("columns", ""))
        except (OSError, ValueError) as error:
            raise self.error(f"{path.name}: {error}") from None
        lines = [names, ["---"] * len(names), *rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return self.parse_text_to_nodes(text)


class ResultsText(SphinxDirective):
    """The text below a heading of a report."""

    required_arguments = 1
    option_spec: ClassVar = {"section": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return it, parsed as if it stood in the page."""
        path = RESULTS / self.arguments[0]
        self.env.note_dependency(path)
        heading = rf"^#+ {re.escape(self.options['section'])}\n(.*?)(?=^#|\Z)"
        found = re.search(heading, path.read_text(), re.DOTALL | re.MULTILINE)
        if found is None:
            raise self.error(f"{path.name}: has no {self.options['section']!r}")
        return self.parse_text_to_nodes(found[1])


def find_table(report: str, section: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the first table after the start of a section."""
    start = re.search(rf"^(#+ )?{re.escape(section)}", report, re.MULTILINE)
    if start is None:
        raise ValueError(f"has no line that starts with {section!r}")
    table = re.search(r"(^\|.*\n)+", report[start.end() :], re.MULTILINE)
    if table is None:
        raise ValueError(f"has no table after {section!r}")
    cells = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in table[0].splitlines()
    ]
    return cells[0], cells[2:]


def keep_rows(names: list[str], rows: list[list[str]], wanted: str) -> list[list[str]]:
    """Return the rows that have all wanted values, ``name=value|value; name=value``."""
    for part in filter(None, wanted.split(";")):
        name, _, value = part.partition("=")
        place = _place(names, name)
        values = [text.strip() for text in value.split("|")]
        rows = [row for row in rows if row[place] in values]
    if not rows:
        raise ValueError(f"has no row where {wanted!r}")
    return rows


def choose(
    names: list[str], rows: list[list[str]], wanted: str
) -> tuple[list[str], list[list[str]]]:
    """Return the wanted columns, ``name; name=new name``; all of them for ``""``."""
    if not wanted:
        return names, rows
    parts = [part.partition("=") for part in wanted.split(";")]
    places = [_place(names, name) for name, _, _ in parts]
    new = [(title or name).strip() for name, _, title in parts]
    return new, [[row[place] for place in places] for row in rows]


def _place(names: list[str], name: str) -> int:
    if name.strip() not in names:
        raise ValueError(f"has no column {name.strip()!r}, but {names}")
    return names.index(name.strip())
