"""Configuration of Sphinx; everything it needs is local, no page asks the network."""

import re
from importlib.metadata import version as _version

from docutils import nodes

project = "skwfm"
author = "skwfm contributors"
copyright = "2026, skwfm contributors"  # noqa: A001
release = version = _version("skwfm")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# The pages list the methods themselves; stubs of one page per method would bury them.
autosummary_generate = False
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# The headings are in the contents already.
toc_object_entries = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_title = f"skwfm {release}"
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/skwfm/skwfm",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# A page without a tree below it needs no sidebar on the left.
html_sidebars = {
    "index": [],
    "user_guide": [],
    "callbacks": [],
    "files": [],
    "history": [],
    "changelog": [],
    "contributing": [],
}


def _escape_underscores(app, what, name, obj, options, lines):
    """Keep ``n_features_in_`` in the type of a parameter from being read as a link."""
    for i, line in enumerate(lines):
        if re.match(r"\w+(, \w+)* : ", line):
            names, _, kind = line.partition(" : ")
            lines[i] = names + " : " + re.sub(r"(?<=\w)_(?!\w)", r"\\_", kind)


def _strip_blocks(app, doctree):
    """Drop the empty line that a doctest needs before the end of its block."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip()
        block.rawsource = text
        block[:] = [nodes.Text(text)]


def _number_references(app, doctree):
    """Show ``[1]`` where numpydoc makes labels such as ``[R10b19ede973d-1]``."""
    for text in list(doctree.findall(nodes.Text)):
        short = re.sub(r"\bR[0-9a-f]{12}-(?=\d)", "", text)
        if short != text:
            text.parent.replace(text, nodes.Text(short))


def setup(app):
    """Connect them."""
    # Before numpydoc, which listens at 500.
    app.connect("autodoc-process-docstring", _escape_underscores, priority=400)
    app.connect("doctree-read", _strip_blocks)
    app.connect("doctree-read", _number_references)
