"""Check the built site: ``python docs/check_html.py docs/_build/html``.

Every link inside the site has a page and, after ``#``, a place on it; and no page loads
anything from elsewhere, so that the site works without a network. Ordinary links to
other sites are fine and are not followed.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself, and the attribute that says where from.
LOADED = {
    ("iframe", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("link", "href"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("video", "src"),
}
STYLE_URL = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """The places of a page, what it links to and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what the attributes of a tag say."""
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            elif (tag, name) in LOADED:
                self.loads += [part.split()[0] for part in value.split(", ")]
            elif (tag, name) == ("a", "href"):
                self.links.append(value)


def problems(root: Path) -> list[str]:
    """Return a line for each broken link and each thing loaded from elsewhere."""
    pages = {p.resolve(): Page(p.read_text()) for p in page_files(root)}
    found = []
    for path, page in pages.items():
        where = path.relative_to(root.resolve())
        elsewhere = [url for url in page.loads if not _is_inside(url)]
        found += [f"{where}: loads {url}" for url in elsewhere]
        inside = filter(_is_inside, page.links + page.loads)
        found += [
            f"{where}: {reason}: {url}"
            for url in dict.fromkeys(inside)
            if (reason := _fault(path, url, pages))
        ]
    for path in sorted(root.rglob("*.css")):
        found += [
            f"{path.relative_to(root)}: loads {url}"
            for url in STYLE_URL.findall(path.read_text())
        ]
    return found


def page_files(root: Path) -> list[Path]:
    """Return the pages; what lies in `_static` are templates of the theme."""
    return [p for p in sorted(root.rglob("*.html")) if "_static" not in p.parts]


def _is_inside(url: str) -> bool:
    parts = urlsplit(url)
    return not parts.scheme and not parts.netloc


def _fault(page: Path, url: str, pages: dict[Path, Page]) -> str:
    """Return what is wrong with a link inside the site, or nothing."""
    parts = urlsplit(url)
    path, place = unquote(parts.path), unquote(parts.fragment)
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return "no such file"
    if place and target in pages and place not in pages[target].places:
        return "no such place"
    return ""


def main() -> None:
    """Print the problems and exit with 1 if there are any."""
    root = Path(sys.argv[1])
    found = problems(root)
    sys.stdout.writelines(f"{line}\n" for line in found)
    print(f"{root}: {len(page_files(root))} pages, {len(found)} problems")  # noqa: T201
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
