"""What the documentation promises: a page per public name, links that lead somewhere.

The built site is checked by ``docs/check_html.py``, which is tested here; the blocks of
code with prompts on its pages are tests of their own.
"""

import importlib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PUBLIC_MODULES = ["skwfm", "skwfm.datasets", "skwfm.inspection", "skwfm.nn"]
# Not objects with a docstring to show: the version, and modules with a section each.
NO_PAGE = {"skwfm.__version__", *PUBLIC_MODULES}
FENCED = re.compile(r"^ *(```+|:::+).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Made by the build of the site.
GENERATED = {"_generated", "auto_examples"}

check_html = runpy.run_path(str(DOCS / "check_html.py"))


def listed_names() -> list[str]:
    """Return the full names in the autosummary blocks of the API page."""
    names, module = [], ""
    for line in (DOCS / "api" / "index.md").read_text().splitlines():
        if match := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = match[1]
        elif match := re.fullmatch(r" {3}(\w+)", line):
            names.append(f"{module}.{match[1]}")
    return names


def test_every_public_name_is_in_the_api_reference():
    public = {
        f"{name}.{public}"
        for name in PUBLIC_MODULES
        for public in importlib.import_module(name).__all__
    }
    names = listed_names()
    assert public - NO_PAGE - set(names) == set()
    assert set(names) - public == set()
    assert len(names) == len(set(names))


def slugs(text: str) -> set[str]:
    """Return the anchors of the headings of a Markdown page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def fault(page: Path, target: str) -> str:
    """Return what is wrong with a link of a Markdown page, or nothing."""
    path, _, place = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if GENERATED & set(file.parts):
        return ""
    if not file.exists():
        return f"{target}: no such file"
    if place and file.suffix == ".md" and place not in slugs(file.read_text()):
        return f"{target}: no such heading"
    return ""


PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "benchmarks" / "README.md"]
PAGES = [page for page in PAGES if "_build" not in page.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    links = LINK.findall(FENCED.sub("", page.read_text()))
    inside = [link for link in links if not re.match(r"\w+:", link)]
    assert [reason for link in inside if (reason := fault(page, link))] == []


def test_a_broken_link_is_found():
    page = DOCS / "index.md"
    assert fault(page, "no_page.md") == "no_page.md: no such file"
    assert fault(page, "why.md#no-such") == "why.md#no-such: no such heading"
    assert fault(page, "why.md#a-bag") == ""


def test_the_check_of_the_site_finds_what_is_broken(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#here">b</a> <a href="#top">a</a>'
        '<a href="https://example.org">ok</a><script src="//cdn.example/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<a href="c.html">c</a><img src="a.png">')
    (tmp_path / "s.css").write_text("@import 'https://fonts.example/f.css';")
    assert check_html["problems"](tmp_path) == [
        "a.html: loads //cdn.example/x.js",
        "a.html: no such place: b.html#here",
        "b.html: no such file: c.html",
        "b.html: no such file: a.png",
        "s.css: loads https://fonts.example/f.css",
    ]
