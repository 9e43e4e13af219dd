"""The strengths of pairs of fields as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from skwfm.inspection._drawing import decimals, new_axes, plain
from skwfm.inspection._interactions import strengths_of
from skwfm.inspection._opened import open_model, score_unit

__all__ = ["FieldInteractionDisplay"]

# With more fields than these, numbers in the cells could not be read.
_MOST_NUMBERS = 15
_MOST_DECIMALS = 4


class FieldInteractionDisplay:
    """Heat map of how much each pair of fields moves the score.

    Made by `from_estimator`.

    Parameters
    ----------
    strengths : array of shape (n_fields, n_fields)
        Symmetric, see `field_interactions`.
    field_names : sequence of str
        Names of the fields.
    unit : str, default="score"
        What the strengths are measured in.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    im_ : matplotlib AxesImage
        The heat map.
    text_ : array of matplotlib Text, shape (n_fields, n_fields), or None
        The numbers in the cells; None where there is no cell.

    See Also
    --------
    field_interactions : The numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import FieldInteractionDisplay
    >>> X = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 3))
    >>> fm = WeightedFMRegressor(random_state=0).fit(X, 2 * X[:, 0] * X[:, 1])
    >>> display = FieldInteractionDisplay.from_estimator(fm, X)
    >>> display.text_[1, 0].get_text()
    '1.9'
    """

    def __init__(
        self, strengths: Any, field_names: Sequence[str], *, unit: str = "score"
    ) -> None:
        self.strengths = strengths
        self.field_names = field_names
        self.unit = unit

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any = None,
        *,
        cmap: Any = "cividis",
        values_format: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the interactions of a fitted estimator.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted.
        X : matrix, array or DataFrame of shape (n_rows, n_features), optional
            Rows to take the root mean square over; by default it comes from the sums
            over the training rows, as if fields were independent of each other.
        cmap : str or matplotlib Colormap, default="cividis"
            Colours.
        values_format : str, optional
            Format of the numbers in the cells; by default two digits of the largest,
            and none with more than 15 fields. "" for none.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        FieldInteractionDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `estimator` is none of this package's, or a cell of `X` cannot be read.
        ValueError
            If `X` does not fit, or is needed.
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> import pandas as pd
        >>> from skwfm import WeightedFMRegressor
        >>> from skwfm.inspection import FieldInteractionDisplay
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"] * 20, "genre": (["War"] * 2 + ["Art"] * 2) * 10}
        ... )
        >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
        >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
        >>> display = FieldInteractionDisplay.from_estimator(
        ...     fm, values_format=".2f", ax=Figure().subplots()
        ... )
        >>> display.text_[1, 0].get_text(), display.unit
        ('0.85', 'units of the target')
        """
        opened = open_model(estimator)
        strengths = strengths_of(opened, X)
        display = cls(strengths, opened.field_names, unit=score_unit(opened))
        return display.plot(cmap=cmap, values_format=values_format, ax=ax)

    def plot(
        self,
        *,
        cmap: Any = "cividis",
        values_format: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        cmap : str or matplotlib Colormap, default="cividis"
            Colours.
        values_format : str, optional
            Format of the numbers in the cells; by default two digits of the largest,
            and none with more than 15 fields. "" for none.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        FieldInteractionDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from skwfm.inspection import FieldInteractionDisplay
        >>> strengths = np.array([[0.0, 1.5, 0.2], [1.5, 0.0, 0.1], [0.2, 0.1, 0.0]])
        >>> display = FieldInteractionDisplay(strengths, ["user", "film", "year"])
        >>> display = display.plot(ax=Figure().subplots())
        >>> [text.get_text() for text in display.text_[2, :2]]
        ['0.2', '0.1']
        """
        n_fields = len(self.field_names)
        side = min(max(2.2 + 0.55 * n_fields, 4.2), 11)
        ax = new_axes(ax, (side + 1.2, side))
        strengths = np.asarray(self.strengths, dtype=float)
        # The matrix is symmetric: each pair once, pairs inside only where they count.
        first = int(n_fields > 1 and not np.diag(strengths).any())
        hidden = np.triu(np.ones_like(strengths, dtype=bool), 1 - first)
        shown = np.ma.masked_array(strengths, hidden)
        top = float(strengths.max()) or 1.0
        self.im_ = ax.imshow(shown, cmap=cmap, vmin=0, vmax=top)
        tilted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        names = [plain(name) for name in self.field_names]
        ax.set_xticks(range(n_fields), names, **tilted)
        ax.set_yticks(range(n_fields), names)
        ax.set_xlim(-0.5, n_fields - 0.5 - first)
        ax.set_ylim(n_fields - 0.5, first - 0.5)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_title("Interactions of fields")
        label = f"Root mean square of the pair's term\n({plain(self.unit)})"
        ax.figure.colorbar(self.im_, ax=ax, label=label, shrink=0.8)
        self.text_: Any = None
        if values_format is None:
            fits = n_fields <= _MOST_NUMBERS
            values_format = _format_of(top) if fits else ""
        if values_format:
            self._write(ax, shown, values_format)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write(self, ax: Any, shown: Any, values_format: str) -> None:
        """Write the numbers in the cells, dark on bright and bright on dark."""
        self.text_ = np.full(shown.shape, None, dtype=object)
        for i, j in zip(*np.nonzero(~shown.mask), strict=True):
            rgb = self.im_.cmap(self.im_.norm(shown[i, j]))[:3]
            is_dark = np.dot(rgb, (0.299, 0.587, 0.114)) < 0.5
            self.text_[i, j] = ax.text(
                j,
                i,
                format(float(shown[i, j]), values_format),
                ha="center",
                va="center",
                color="white" if is_dark else "black",
            )


def _format_of(top: float) -> str:
    """Return the format with two digits of the largest number, for all alike."""
    n_decimals = decimals(top, 2)
    # Of next to nothing, as where a penalty has put all to zero, the cells hold less.
    return f".{n_decimals}f" if n_decimals <= _MOST_DECIMALS else ".0e"
