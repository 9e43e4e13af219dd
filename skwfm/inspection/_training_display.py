"""The curves of training."""

from __future__ import annotations

from typing import Any, Self

from skwfm.inspection._drawing import BLUE, GREY, ORANGE, new_axes
from skwfm.inspection._opened import open_model

__all__ = ["TrainingHistoryDisplay"]


class TrainingHistoryDisplay:
    """Loss per epoch, on the training rows and on those held out.

    Made by `from_estimator`.

    Parameters
    ----------
    train_loss : sequence of float
        Per epoch.
    valid_loss : sequence of float or None, default=None
        The same for rows held out.
    best_iter : int or None, default=None
        Epoch whose parameters were kept, from 1.
    loss_name : str, default="Loss"
        What is drawn.
    name : str, default=""
        Of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        The curves.

    See Also
    --------
    skwfm.WeightedFMRegressor : Has the numbers in ``history_``.

    Examples
    --------
    >>> import numpy as np
    >>> from skwfm import WeightedFMRegressor
    >>> from skwfm.inspection import TrainingHistoryDisplay
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> fm = WeightedFMRegressor(max_iter=5, early_stopping=True, random_state=0)
    >>> display = TrainingHistoryDisplay.from_estimator(fm.fit(X, X[:, 0] * X[:, 1]))
    >>> display.ax_.get_xlabel()
    'Epoch'
    """

    def __init__(
        self,
        train_loss: Any,
        valid_loss: Any = None,
        *,
        best_iter: int | None = None,
        loss_name: str = "Loss",
        name: str = "",
    ) -> None:
        self.train_loss = train_loss
        self.valid_loss = valid_loss
        self.best_iter = best_iter
        self.loss_name = loss_name
        self.name = name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator, Pipeline or search
            Fitted.
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        TrainingHistoryDisplay

        Raises
        ------
        TypeError
            If `estimator` is none of this package's.
        ImportError
            If matplotlib is not installed.
        """
        model = open_model(estimator).estimator
        display = cls(
            model.history_["train_loss"],
            model.history_.get("valid_loss"),
            best_iter=model.best_iter_,
            loss_name=_loss_name(model),
            name=type(model).__name__,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            The display.
        """
        ax = new_axes(ax)
        curves = [("training rows", self.train_loss, ORANGE, "--")]
        if self.valid_loss is not None:
            curves.append(("rows held out", self.valid_loss, BLUE, "-"))
        self.lines_ = []
        for label, values, colour, style in curves:
            epochs = range(1, len(values) + 1)
            marker = "o" if len(values) == 1 else ""
            self.lines_ += ax.plot(
                epochs, values, style, marker=marker, color=colour, label=label
            )
        self._mark_best(ax, curves[-1][1], curves[-1][2])
        ax.set(xlabel="Epoch", ylabel=self.loss_name, title=self._title())
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _mark_best(self, ax: Any, values: Any, colour: str) -> None:
        best = self.best_iter
        if best is None or not 1 <= best <= len(values):
            return
        ax.axvline(best, color=GREY, linewidth=0.8, linestyle=":")
        label = f"epoch kept: {best}"
        ax.plot(best, values[best - 1], "o", color=colour, label=label)

    def _title(self) -> str:
        return f"Training of {self.name}" if self.name else "Training"


def _loss_name(model: Any) -> str:
    """Return the label of the axis: what the losses of the history are."""
    if hasattr(model, "classes_"):
        return "Log loss per row"
    names = {
        "squared_error": "Half squared error per row\n(standardised target)",
        "huber": "Huber loss per row (standardised target)",
        "poisson": "Poisson loss per row (up to a constant)",
    }
    return names[model.loss]
