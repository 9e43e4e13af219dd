"""The labels of a field on a map, by their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from skwfm.inspection._drawing import BLUE, new_axes, plain, write_apart
from skwfm.inspection._interactions import statistics_of
from skwfm.inspection._labels import field_vectors
from skwfm.inspection._opened import Opened, open_model

__all__ = ["EmbeddingDisplay"]

Array = npt.NDArray[Any]
# Points of the largest area, in square points.
_LARGEST_AREA = 420
_SMALLEST_AREA = 12


class EmbeddingDisplay:
    """Map of the labels of one field: the main directions of their vectors.

    Made by `from_estimator`. Labels that stand close act alike on the other fields. The
    axes are the two principal axes of the vectors [1]_, whose share of the variance is
    written on them. What they do not show is not seen: a label in the middle may have a
    long vector that points out of the page.

    Parameters
    ----------
    positions : array of shape (n_labels, 2)
        Of the labels, the most frequent first.
    labels : sequence of str
        Their names.
    frequencies : array of shape (n_labels,)
        Rows that hold them, or the share of the rows that do.
    shares : tuple of two float
        Shares of the variance, from 0 to 1, that the axes show.
    field_name : str
        Name of the field.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    points_ : matplotlib PathCollection
        The points; their area grows with the frequency.

    See Also
    --------
    similar : The labels that are nearest to one, by all of the vector.

    References
    ----------
    .. [1] Jolliffe (2002), "Principal Component Analysis", Springer.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import EmbeddingDisplay
    >>> films = pd.DataFrame(
    ...     {"user": ["ann", "bob"] * 20, "genre": ["War", "War", "Art", "Art"] * 10}
    ... )
    >>> fm = WeightedFMRegressor(random_state=0).fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
    >>> display = EmbeddingDisplay.from_estimator(fm, "genre")
    >>> display.labels
    ['Art', 'War']
    """

    def __init__(
        self,
        positions: Any,
        labels: Sequence[str],
        frequencies: Any,
        *,
        shares: tuple[float, float],
        field_name: str,
    ) -> None:
        self.positions = positions
        self.labels = labels
        self.frequencies = frequencies
        self.shares = shares
        self.field_name = field_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        field: str,
        X: Any = None,
        *,
        n_labels: int = 25,
        n_points: int = 1000,
        feature_names: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the labels of a field of a fitted estimator.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted.
        field : str
            Name of the field, one of ``field_names_``.
        X : matrix, array or DataFrame of shape (n_rows, n_features), optional
            Rows to count the labels in; by default the training rows, as they were
            counted by `fit`.
        n_labels : int, default=25
            Names to write, of the most frequent labels. One without room is left out.
        n_points : int, default=1000
            Labels to draw, the most frequent; the axes are theirs.
        feature_names : array-like of str, shape (n_columns,), optional
            Names of the columns, where `estimator` was given a matrix.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        EmbeddingDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `estimator` is none of this package's, or a cell of `X` cannot be read.
        ValueError
            If there is no such field, or `X` does not fit.
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> import pandas as pd
        >>> from skwfm import WeightedFMRegressor
        >>> from skwfm.inspection import EmbeddingDisplay
        >>> films = pd.DataFrame(
        ...     {"user": ["ann", "bob"] * 20, "genre": (["War"] * 2 + ["Art"] * 2) * 10}
        ... )
        >>> fm = WeightedFMRegressor(l2_linear=0.1, l2_factors=2, random_state=0)
        >>> fm = fm.fit(films, [1.0, 2.0, 5.0, 2.0] * 10)
        >>> display = EmbeddingDisplay.from_estimator(
        ...     fm, "genre", films[:3], ax=Figure().subplots()
        ... )
        >>> display.labels, display.frequencies
        (['War', 'Art'], array([2, 1]))
        """
        opened = open_model(estimator, feature_names)
        columns = np.flatnonzero(opened.model.fields == opened.field(field))
        counts = _counts(opened, X)[columns]
        kept = np.argsort(-counts, kind="stable")[:n_points]
        positions, shares = principal_axes(field_vectors(opened.model, columns[kept]))
        display = cls(
            positions,
            opened.labels(columns[kept]),
            counts[kept],
            shares=shares,
            field_name=field,
        )
        return display.plot(n_labels=n_labels, ax=ax)

    def plot(self, *, n_labels: int = 25, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        n_labels : int, default=25
            Names to write, of the most frequent labels. One without room is left out.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        EmbeddingDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skwfm.inspection import EmbeddingDisplay
        >>> positions, labels = [[1.0, 0.2], [-1.0, 0.1], [0.1, -0.9]], ["a", "b", "c"]
        >>> display = EmbeddingDisplay(
        ...     positions, labels, [9, 4, 1], shares=(0.7, 0.2), field_name="genre"
        ... )
        >>> display = display.plot(n_labels=2, ax=Figure().subplots())
        >>> [text.get_text() for text in display.ax_.texts]
        ['a', 'b']
        """
        ax = new_axes(ax, (7.5, 5.5))
        positions = np.asarray(self.positions, dtype=float).reshape(-1, 2)
        frequencies = np.asarray(self.frequencies, dtype=float)
        most = max(frequencies.max(initial=0), np.finfo(float).tiny)
        areas = np.maximum(_LARGEST_AREA * frequencies / most, _SMALLEST_AREA)
        self.points_ = ax.scatter(
            *positions.T, s=areas, color=BLUE, alpha=0.45, linewidths=0
        )
        ax.margins(0.12)
        first, second = (
            f"{100 * share:.0f} % of the variance" for share in self.shares
        )
        ax.set(
            title=f"Labels of {plain(self.field_name)} (area: number of rows)",
            xlabel=f"First principal axis of the vectors ({first})",
            ylabel=f"Second ({second})",
        )
        write_apart(ax, self.labels[:n_labels], positions, areas)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _counts(opened: Opened, X: Any) -> Array:
    """Return the rows that hold each label."""
    if X is None:
        return np.asarray(statistics_of(opened)["count"], dtype=np.float64)
    rows = opened.rows(X)
    counts: Array = np.bincount(rows.indices, minlength=rows.shape[1])
    return counts


def principal_axes(vectors: Array) -> tuple[Array, tuple[float, float]]:
    """Project vectors on their two principal axes; return their shares of variance.

    The sign of an axis is such that its largest coordinate is positive.
    """
    centred = vectors - vectors.astype(np.float64).mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    positions = np.zeros((len(vectors), 2))
    n_axes = min(2, len(lengths))
    positions[:, :n_axes] = left[:, :n_axes] * lengths[:n_axes]
    largest = np.abs(positions).argmax(axis=0)
    positions *= np.where(positions[largest, [0, 1]] < 0, -1, 1)
    squares = np.r_[lengths**2, 0.0, 0.0]
    total = squares.sum() or 1.0
    return positions, (float(squares[0] / total), float(squares[1] / total))
