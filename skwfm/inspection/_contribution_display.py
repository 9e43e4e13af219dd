"""The score of one row as a waterfall of its terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skwfm._inspection_validation import check_count, check_row
from skwfm._validation import shorten_text
from skwfm.inspection._drawing import (
    BLUE,
    DARK,
    GREY,
    ORANGE,
    decimals,
    new_axes,
    plain,
)
from skwfm.inspection._explain import explained_by
from skwfm.inspection._explanation import Explanation
from skwfm.inspection._opened import Opened, open_model, score_unit
from skwfm.inspection._terms import field_pair_terms, linear_terms

__all__ = ["ContributionDisplay"]

# Characters of the name of a term.
_NAME_WIDTH = 44
# Of the labels of one bag in it.
_BAG_WIDTH = 18


class ContributionDisplay:
    """Waterfall of the terms that the score of one row is the sum of.

    Made by `from_estimator`. From the intercept on, each bar is a term, the largest
    first; small ones are one bar. The last one ends at the score. Of a model with draws
    of its parameters, bars are means, and lines across their ends reach one standard
    deviation to both sides.

    Parameters
    ----------
    names : sequence of str
        Of the terms.
    contributions : array of shape (n_terms,)
        Terms, which sum to the score less the intercept.
    intercept : float
        Where the bars start.
    unit : str, default="score"
        What the score is.
    draws : array of shape (n_draws, 1 + n_terms), optional
        Intercept and terms in each draw of the parameters. All of them, since the
        deviation of a sum does not follow from those of its terms.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib BarContainer
        The terms that are shown.

    See Also
    --------
    explain : The numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import ContributionDisplay
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"] * 20, "genre": ["War", "War", "Art", "Art"] * 10}
    ... )
    >>> fm = WeightedFMRegressor(random_state=0).fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
    >>> display = ContributionDisplay.from_estimator(fm, films, row=2)
    >>> sorted(display.names)
    ['genre=Art', 'user=ann', 'user=ann × genre=Art']
    """

    def __init__(
        self,
        names: Sequence[str],
        contributions: Any,
        intercept: float,
        *,
        unit: str = "score",
        draws: Any = None,
    ) -> None:
        self.names = names
        self.contributions = contributions
        self.intercept = intercept
        self.unit = unit
        self.draws = draws

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        row: int = 0,
        n_terms: int = 12,
        target: Any = None,
        feature_names: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the terms of one row.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted.
        X : matrix, array or DataFrame of shape (n_rows, n_features)
            Rows as for `predict`.
        row : int, default=0
            Which one.
        n_terms : int, default=12
            Bars at most, that of small terms included.
        target : label of a class, optional
            Whose score, where there are more than two; by default the class that is
            predicted.
        feature_names : array-like of str, shape (n_columns,), optional
            Names of the columns, where `estimator` was given a matrix.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        ContributionDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `estimator` is none of this package's, or a cell of `X` cannot be read.
        ValueError
            If there is no such row or class, or `X` does not fit.
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> import pandas as pd
        >>> from skwfm import WeightedFMRegressor
        >>> from skwfm.inspection import ContributionDisplay
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"] * 20, "genre": (["War"] * 2 + ["Art"] * 2) * 10}
        ... )
        >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
        >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
        >>> display = ContributionDisplay.from_estimator(
        ...     fm, films, row=2, ax=Figure().subplots()
        ... )
        >>> [label.get_text() for label in display.ax_.get_yticklabels()]
        ['genre=Art', 'user=ann × genre=Art', 'user=ann']
        >>> display.ax_.get_xlabel()
        'Units of the target'
        """
        check_row(row, _num_samples(X))
        opened = open_model(estimator, feature_names)
        one = _safe_indexing(X, [int(row)])
        explained = explained_by(opened, one)
        intercept, linear = explained.intercept, explained.linear
        pairs = explained.pairs
        if explained.classes is not None:
            at = int(explained.scores()[0].argmax())
            at = at if target is None else opened.target(target)
            target = explained.classes[at]
            intercept, linear, pairs = intercept[at], linear[:, at], pairs[..., at]
        names, shown = _names(explained)
        display = cls(
            names,
            np.r_[linear, pairs[0][shown]],
            float(intercept),
            unit=score_unit(opened, target),
            draws=_by_draw(opened, explained, shown) if opened.draws else None,
        )
        return display.plot(n_terms=n_terms, ax=ax)

    def plot(self, *, n_terms: int = 12, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        n_terms : int, default=12
            Bars at most, that of small terms included.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        ContributionDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skwfm.inspection import ContributionDisplay
        >>> names = ["user=ann", "genre=Art", "user=ann × genre=Art"]
        >>> display = ContributionDisplay(names, [0.5, 1.0, -0.2], intercept=2.5)
        >>> display = display.plot(n_terms=2, ax=Figure().subplots())
        >>> [label.get_text() for label in display.ax_.get_yticklabels()]
        ['genre=Art', '2 smaller terms']
        """
        check_count(n_terms, "n_terms")
        names, terms, spreads = self._largest(n_terms)
        ends = self.intercept + np.cumsum(terms)
        ax = new_axes(ax, (7.5, 1.6 + 0.32 * len(names)))
        self._draw_bars(ax, terms, ends, spreads)
        levels = np.r_[self.intercept, ends]
        for place, level in enumerate(levels[1:-1]):
            ax.plot([level, level], [place, place + 1], color=GREY, linewidth=0.6)
        self._draw_lines(ax, float(levels[-1]))
        ax.set_yticks(
            np.arange(len(names)),
            [plain(shorten_text(name, _NAME_WIDTH)) for name in names],
        )
        ax.invert_yaxis()
        ax.use_sticky_edges = False  # the numbers stand beyond the bars
        ax.margins(x=0.16, y=0.02)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        unit = self.unit[:1].upper() + self.unit[1:]
        spread = "" if self.draws is None else ", ± one standard deviation"
        ax.set(xlabel=plain(unit), title=f"Terms of one row{spread}")
        ax.legend(frameon=False, loc="best", fontsize=8)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_bars(self, ax: Any, terms: Any, ends: Any, spreads: Any) -> None:
        """Draw the bars, their numbers and how sure they are."""
        colours = [BLUE if term >= 0 else ORANGE for term in terms]
        self.bars_ = ax.barh(
            np.arange(len(terms)),
            terms,
            left=ends - terms,
            color=colours,
            height=0.62,
            xerr=spreads,
            error_kw={"ecolor": DARK, "elinewidth": 1.2},
        )
        paper = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "pad": 0.4}
        n_decimals = decimals(np.abs(terms).max(initial=0), 3)
        texts = [f"{term:+.{n_decimals}f}" for term in terms]
        ax.bar_label(self.bars_, texts, padding=3, size=8, bbox=paper)

    def _draw_lines(self, ax: Any, score: float) -> None:
        """Draw where the bars start and where they end."""
        spreads = ["", ""]
        if self.draws is not None:
            draws = np.asarray(self.draws, dtype=float)
            sums = draws[:, 0], draws.sum(axis=1)
            spreads = [f" ± {values.std():.2g}" for values in sums]
        levels = (self.intercept, ":"), (score, "-")
        for name, (level, style), spread in zip(
            ("intercept", "score"), levels, spreads, strict=True
        ):
            label = f"{name} {level:.3g}{spread}"
            ax.axvline(level, color=GREY, linestyle=style, linewidth=1, label=label)

    def _largest(self, n_terms: int) -> tuple[list[str], Any, Any]:
        """Return the largest terms, the sum of the rest as one, and their spread."""
        terms = np.asarray(self.contributions, dtype=float)
        order = np.argsort(-np.abs(terms), kind="stable")
        names = [self.names[i] for i in order]
        # The terms, and below them what they are in each draw.
        table = (
            terms[None]
            if self.draws is None
            else np.vstack([terms, np.asarray(self.draws, dtype=float)[:, 1:]])
        )
        table = table[:, order]
        if len(names) > n_terms:
            kept = n_terms - 1
            names = [*names[:kept], f"{len(names) - kept} smaller terms"]
            rest = table[:, kept:].sum(axis=1)
            table = np.column_stack([table[:, :kept], rest])
        return names, table[0], None if self.draws is None else table[1:].std(axis=0)


def _names(explained: Explanation) -> tuple[list[str], Any]:
    """Return the names of the terms of the only row, and the pairs among them."""
    fields, labels = explained.names_of_entries()
    names = [f"{f}={t}" if t else str(f) for f, t in zip(fields, labels, strict=True)]
    bags: list[list[str]] = [[] for _ in explained.field_names]
    for f, label in zip(explained.field_of_entry, labels, strict=True):
        bags[f].append(str(label))
    shown = []
    for at, (f, g) in enumerate(explained.field_pairs):
        if bags[f] and bags[g] and (f != g or len(bags[f]) > 1):
            one, other = (_bag_name(explained.field_names[h], bags[h]) for h in (f, g))
            names.append(f"{one} × {other}" if f != g else f"inside {one}")
            shown.append(at)
    return names, np.array(shown, dtype=np.int64)


def _by_draw(opened: Opened, explained: Explanation, shown: Any) -> Any:
    """Return the intercept and the terms of the only row in each draw."""
    rows = explained.rows
    table = [
        (
            draw.bias,
            linear_terms(draw, rows)[:, 0],
            field_pair_terms(draw, rows).mean[0, shown, 0],
        )
        for draw in opened.draws
    ]
    return np.array([np.concatenate(parts) for parts in table])


def _bag_name(field: str, labels: list[str]) -> str:
    """Return the labels of a bag, or their number where they are too long."""
    text = "+".join(labels)
    if not text:
        return field
    return f"{field}={text}" if len(text) <= _BAG_WIDTH else f"{field} ({len(labels)})"
