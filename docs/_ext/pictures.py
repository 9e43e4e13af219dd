"""Pictures that pages show, drawn when the site is built, into ``docs/_generated``.

A picture is drawn if it is missing or older than what it is made of.
"""

from pathlib import Path

import inspection_pictures
import results_pictures
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
SOURCES = [
    (results_pictures.PICTURES, ROOT / "benchmarks" / "results", "*.csv"),
    (inspection_pictures.PICTURES, ROOT / "skwfm" / "inspection", "*.py"),
]


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw before any page is read."""
    app.connect("builder-inited", _draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _draw(app: Sphinx) -> None:
    folder = Path(app.confdir, "_generated")
    folder.mkdir(exist_ok=True)
    for pictures, sources, pattern in SOURCES:
        newest = max(path.stat().st_mtime for path in sources.glob(pattern))
        for name, draw in pictures.items():
            path = folder / f"{name}.png"
            if not path.exists() or path.stat().st_mtime < newest:
                draw(path)
