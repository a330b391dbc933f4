"""Which classes are taken for which."""

from __future__ import annotations

from ._figure import axes_for, check_axes, require
from ._rows import labels_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    import numpy.typing as npt
    from matplotlib.axes import Axes

__all__ = ["confusion_matrix"]

_MOST_WITH_COUNTS = 20  # classes; the counts of more would run into each other


def confusion_matrix(
    y: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    ax: Axes | None = None,
    normalize: Literal["true", "pred", "all"] | None = None,
) -> Axes:
    """Draw how often each class was taken for each, with scikit-learn's ConfusionMatrixDisplay.

    Parameters
    ----------
    y : array_like of int or str, shape (rows,)
        The true labels.
    predicted : array_like of int or str, shape (rows,)
        The predicted labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    normalize : {"true", "pred", "all"}, optional
        Draw shares of the true labels, of the predicted ones or of all rows instead of counts.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib or scikit-learn.
    TypeError
        If labels are neither numbers nor text, or text on one side only.
    ValueError
        If there are no labels, or not as many of both.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from micrograd_fast.plot import confusion_matrix
    >>> ax = confusion_matrix([0, 1, 1], [0, 1, 0], ax=Figure().add_subplot())
    >>> ax.get_xlabel()
    'Predicted label'
    """
    check_axes("confusion_matrix", ax)
    numpy = require("confusion_matrix", "numpy")
    display = require("confusion_matrix", "sklearn.metrics").ConfusionMatrixDisplay
    if normalize not in (None, "true", "pred", "all"):
        raise ValueError(f'normalize must be "true", "pred" or "all", found {normalize!r}')
    true = labels_of(y, "y")
    guessed = labels_of(predicted, "predicted", len(true))
    if (true.dtype.kind == "U") != (guessed.dtype.kind == "U"):
        raise TypeError("y and predicted must both be numbers or both text, found one of each")
    classes = numpy.unique(numpy.concatenate([true, guessed]))
    with axes_for(ax) as drawn:
        display.from_predictions(
            true,
            guessed,
            labels=classes,
            normalize=normalize,
            include_values=len(classes) <= _MOST_WITH_COUNTS,
            cmap="Blues",
            colorbar=False,
            ax=drawn,
        )
        # Labels are text as it is: a dollar sign begins no formula.
        for label in (*drawn.get_xticklabels(), *drawn.get_yticklabels()):
            label.set_parse_math(False)
        if true.dtype.kind == "U":
            drawn.tick_params(axis="x", labelrotation=45)
    return drawn
