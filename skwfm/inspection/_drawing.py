"""What the displays share: axes, colours, and names that cover nothing.

The colours are Okabe and Ito's (2008): they stay apart for colour-blind readers, and
blue and orange differ in print.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skwfm._extras import require

__all__ = [
    "BLUE",
    "DARK",
    "GREY",
    "ORANGE",
    "decimals",
    "new_axes",
    "plain",
    "write_apart",
]

Array = npt.NDArray[Any]

BLUE, ORANGE, GREY, DARK = "#0072B2", "#D55E00", "#666666", "#222222"
# Directions in which a name may stand from its point, the best first.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
# Pixels between a point and its name, and where a line must tell what belongs together.
_GAPS = (2.0, 14.0, 28.0, 42.0)


def new_axes(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return the axes, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    (pyplot,) = require("matplotlib.pyplot", extra="plot")
    return pyplot.subplots(figsize=figsize, layout="constrained")[1]


def decimals(largest: float, n_digits: int) -> int:
    """Return how many decimals show so many digits of the largest of some numbers.

    Examples
    --------
    >>> from skwfm.inspection._drawing import decimals
    >>> decimals(0.2, 2), decimals(12.5, 2), decimals(0, 2)
    (2, 0, 1)
    """
    n_whole = math.floor(math.log10(largest)) if 0 < largest < math.inf else 0
    return min(max(n_digits - 1 - n_whole, 0), 12)


def write_apart(
    ax: Any, names: Sequence[str], points: Array, areas: Array, *, size: float = 9
) -> int:
    """Write names beside their points such that none covers another or a point.

    Parameters
    ----------
    ax : matplotlib Axes
        With its final limits.
    names : sequence of str
        The most important first: a name without room is left out.
    points : array of shape (n_points, 2)
        Where they are, in data; those beyond the names have none.
    areas : array of shape (n_points,)
        Of the points, in square points.
    size : float, default=9
        Of the letters, in points.

    Returns
    -------
    int
        Number of names written.
    """
    ax.figure.draw_without_rendering()  # places the axes
    scale = ax.figure.dpi / 72
    pixels = ax.transData.transform(points)
    radii = np.sqrt(areas / np.pi) * scale
    discs = np.column_stack([pixels - radii[:, None], pixels + radii[:, None]])
    page = np.array(ax.get_window_extent().extents)
    taken = discs.copy()
    n_written = 0
    for i, name in enumerate(names):
        if not name.strip():  # the empty label
            continue
        extent = _text_size(name, size) * scale
        others = np.delete(taken, i, axis=0)
        place = _free_place(pixels[i], radii[i], extent, others, page)
        if place is None:
            continue
        box, is_far = place
        taken = np.vstack([taken, box])
        n_written += 1
        ax.annotate(
            plain(name),
            points[i],
            (box[:2] - pixels[i]) / scale,
            textcoords="offset points",
            size=size,
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6}
            if is_far
            else None,
        )
    return n_written


def _text_size(text: str, size: float) -> Array:
    """Return width and height of a line of text in points."""
    from matplotlib.textpath import TextPath

    width = TextPath((0, 0), text.replace("$", "S"), size=size).get_extents().x1
    # On the screen letters stand on whole pixels, somewhat apart.
    return np.array([1.07 * width + 1, 1.25 * size])


def plain(text: str) -> str:
    """Return text that matplotlib writes as it is: two dollars make a formula."""
    return text.replace("$", r"\$")


def _free_place(
    point: Array, radius: float, extent: Array, others: Array, page: Array
) -> tuple[Array, bool] | None:
    """Return the first box for a name that covers nothing, and whether it is far."""
    for box, is_far in _places(point, radius, extent):
        inside = (box[:2] >= page[:2]).all() and (box[2:] <= page[2:]).all()
        covers = (box[:2] < others[:, 2:]) & (box[2:] > others[:, :2])
        if inside and not covers.all(axis=1).any():
            return box, is_far
    return None


def _places(point: Array, radius: float, extent: Array) -> Iterator[tuple[Array, bool]]:
    for gap in _GAPS:
        for direction in _DIRECTIONS:
            away = np.array(direction) * (radius + gap) / np.hypot(*direction)
            centre = point + away + np.array(direction) * extent / 2
            yield np.r_[centre - extent / 2, centre + extent / 2], gap > _GAPS[0]
