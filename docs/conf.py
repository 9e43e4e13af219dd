"""Configuration of Sphinx; everything it needs is local, no page asks the network."""

import re
import sys
from importlib.metadata import version as _version
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[1]
# The package `benchmarks`, whose plots the performance page shows, and the extensions.
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

from members import own_members  # noqa: E402

SUBMODULES = ["skwfm.datasets", "skwfm.inspection", "skwfm.nn"]

project = "skwfm"
author = "skwfm contributors"
copyright = "2026, skwfm contributors"  # noqa: A001
release = version = _version("skwfm")

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "pictures",
    "results",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "examples", "sg_execution_times.rst"]

html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# A page per public name, made by the templates from what `own_members` says.
autosummary_generate = True
autosummary_context = {"own_members": own_members(["skwfm", *SUBMODULES])}
templates_path = ["_templates"]
numpydoc_show_class_members = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
# Every reference in a docstring leads somewhere, but for those to other packages, whose
# inventories are on the network, and one that comes with a docstring of scikit-learn's.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(matplotlib|numpy|pandas|scipy|sklearn|skorch|torch)\..*"),
    (r"py:obj", r"named_transformers_"),
]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("skwfm",),
    "reference_url": {"skwfm": None},
    "download_all_examples": False,
    # Twice as large as shown: pictures of two panels stay sharp.
    "thumbnail_size": (480, 336),
    "notebook_extensions": [],
    "write_computation_times": False,
    "min_reported_time": 1e6,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_title = f"skwfm {release}"
html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "github_url": "https://github.com/skwfm/skwfm",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# A page without a tree below it needs no sidebar on the left.
html_sidebars = {
    name: [] for name in ("index", "performance", "changelog", "contributing")
}


def _escape_underscores(app, what, name, obj, options, lines):
    """Keep ``n_features_in_`` in the type of a parameter from being read as a link."""
    for i, line in enumerate(lines):
        if re.match(r"\w+(, \w+)* : ", line):
            names, _, kind = line.partition(" : ")
            lines[i] = names + " : " + re.sub(r"(?<=\w)_(?!\w)", r"\\_", kind)


def _without_zip(app, docname, source):
    """Drop the note on top of an example, and the archive of its one script."""
    if docname.startswith("auto_examples/"):
        note = r"\.\. only:: html\n\n    \.\. note::\n.*?\n\n(?=\.\. rst-class)"
        archive = r" +\.\. container:: sphx-glr-download sphx-glr-download-zip\n\n.*\n"
        source[0] = re.sub(note, "", source[0], flags=re.DOTALL)
        source[0] = re.sub(archive, "", source[0])


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
    app.connect("source-read", _without_zip)
    app.connect("doctree-read", _strip_blocks)
    app.connect("doctree-read", _number_references)
