"""The plane of a model's two inputs, coloured by the class that it predicts."""

from __future__ import annotations

import inspect

from ..program import Program
from ._figure import axes_for, check_axes, require
from ._rows import numbers_of, whole_labels_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes

    from ..nn import Module

__all__ = ["decision_boundary"]

_PAIR = ("tab:red", "tab:blue")  # of a score below and above 0
_MARGIN = 0.15  # around the points, as a share of their extent
_LARGEST = 1e100  # Between larger scores the place of a boundary cannot be interpolated.
_MOST_IN_LEGEND = 10


def decision_boundary(
    model: Module | Program,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    ax: Axes | None = None,
    probability: Callable[[npt.NDArray[np.float64]], npt.ArrayLike] | None = None,
    resolution: int = 200,
    class_names: Sequence[str] | None = None,
) -> Axes:
    """Draw labelled points over the classes that a model predicts around them.

    The areas are drawn by scikit-learn's DecisionBoundaryDisplay.

    Parameters
    ----------
    model : Module or Program
        With two inputs. One output is a score, whose sign decides between two classes; of several
        outputs the largest decides.
    X : array_like of float, shape (rows, 2)
        The points.
    y : array_like of int, shape (rows,)
        Their labels: -1 and 1, or 0 and 1, for a model of one output; from 0 to outputs - 1 for a
        model of several.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    probability : callable, optional
        For a model of one output: makes an array of scores one of probabilities of the second
        class, which shade the plane; the boundary is then at 0.5.
    resolution : int, optional
        How many points the model is evaluated at along either axis, at least 2.
    class_names : sequence of str, optional
        What the legend calls the classes, in the order of their labels.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib or scikit-learn.
    TypeError
        If `model` has no ``predict`` and is no Program, or something else is of the wrong type.
    ValueError
        If the model has not two inputs, a point is not finite or not of two numbers, labels are
        others or not as many as points, or the model gives nan everywhere.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from micrograd_fast import MLP
    >>> from micrograd_fast.plot import decision_boundary
    >>> model = MLP(2, [4, 1], seed=0)
    >>> points, labels = [[0.0, 1.0], [1.0, 0.0]], [-1, 1]
    >>> ax = decision_boundary(model, points, labels, ax=Figure().add_subplot())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['-1', '1']
    """
    check_axes("decision_boundary", ax)
    numpy = require("decision_boundary", "numpy")
    display = require("decision_boundary", "sklearn.inspection").DecisionBoundaryDisplay
    _check_inputs(model)
    points = numbers_of(X, "X")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"X must be of shape (rows, 2), found shape {points.shape}")
    if not numpy.isfinite(points).all():
        raise ValueError("X must be finite, found nan or inf")
    labels = whole_labels_of(y, "y", len(points))
    if not hasattr(type(resolution), "__index__"):
        raise TypeError(f"resolution must be an int, found {type(resolution).__name__}")
    if resolution < 2:
        raise ValueError(f"resolution must be at least 2, found {resolution}")

    low, high = points.min(axis=0), points.max(axis=0)
    margin = numpy.where(high > low, _MARGIN * (high - low), 1.0)
    xs, ys = numpy.linspace(low - margin, high + margin, resolution).T
    grid_x, grid_y = numpy.meshgrid(xs, ys)
    scores = _scores(model, numpy.column_stack([grid_x.ravel(), grid_y.ravel()]), numpy)
    n_classes = max(2, scores.shape[1])
    classes = _class_of_rows(labels, scores.shape[1])
    names = _names(class_names, n_classes, labels)
    if scores.shape[1] > 1:
        if probability is not None:
            raise ValueError(f"probability is for one output, found {scores.shape[1]}")
        # How far each output is above the largest of the others: smooth where classes meet.
        others = [numpy.delete(scores, k, axis=1).max(axis=1) for k in range(n_classes)]
        areas = [scores[:, k] - other for k, other in enumerate(others)]
        colors = _colors(n_classes)
        styles = [{"levels": [0.0, numpy.inf], "colors": [color]} for color in colors]
        level = 0.0
    else:
        areas = [scores[:, 0]]
        colors = list(_PAIR)
        styles = [{"levels": [-numpy.inf, 0.0, numpy.inf], "colors": colors}]
        level = 0.0
        if probability is not None:
            areas = [_probabilities(probability, areas[0], numpy)]
            styles = [{"levels": numpy.linspace(0.0, 1.0, 11), "cmap": _shades()}]
            level = 0.5

    # scikit-learn 1.9 wants to be told how many classes there are, and releases before it do not.
    parameters = inspect.signature(display).parameters
    told = {"n_classes": 2} if "n_classes" in parameters else {}
    with axes_for(ax) as drawn:
        for area, style in zip(areas, styles, strict=True):
            heights = area.reshape(grid_x.shape)
            shown = display(xx0=grid_x, xx1=grid_y, response=heights, **told)
            shown.plot("contourf", ax=drawn, xlabel="", ylabel="", alpha=0.3, **style)
            if area[area == area].min() < level < area[area == area].max():
                drawn.contour(
                    grid_x, grid_y, heights, levels=[level], colors="black", linewidths=0.8
                )
        _draw_points(drawn, points, classes, colors, names)
    return drawn


def _check_inputs(model: Any) -> None:
    """Refuse what cannot be evaluated, or is known to have other than two inputs."""
    if isinstance(model, Program):
        n_inputs = model.n_inputs
    elif callable(getattr(model, "predict", None)):
        layer = model
        for name in ("layers", "modules", "neurons"):
            parts = getattr(layer, name, None)
            layer = parts[0] if isinstance(parts, (list, tuple)) and parts else layer
        n_inputs = len(layer.w) if isinstance(getattr(layer, "w", None), (list, tuple)) else 2
    else:
        raise TypeError(
            f"model must be a Module with predict or a Program, found {type(model).__name__}"
        )
    if n_inputs != 2:
        raise ValueError(f"model must have 2 inputs, found {n_inputs}")


def _scores(model: Any, rows: npt.NDArray[np.float64], numpy: Any) -> npt.NDArray[np.float64]:
    """What the model gives for each row, as columns."""
    given = model(rows) if isinstance(model, Program) else model.predict(rows)
    scores: npt.NDArray[np.float64] = numpy.asarray(given, dtype=numpy.float64)
    if scores.ndim not in (1, 2) or len(scores) != len(rows):
        raise ValueError(
            f"model must give outputs for each of {len(rows)} rows, found shape {scores.shape}"
        )
    if numpy.isnan(scores.reshape(len(rows), -1)).any(axis=1).all():
        raise ValueError("model must give numbers, found nan at every point")
    return scores.reshape(len(rows), -1).clip(-_LARGEST, _LARGEST)


def _class_of_rows(labels: npt.NDArray[np.int64], n_outputs: int) -> npt.NDArray[np.int64]:
    """The number of each row's class, from 0 on."""
    found = sorted(set(labels.tolist()))
    if n_outputs > 1:
        if found[0] < 0 or found[-1] >= n_outputs:
            wrong = found[0] if found[0] < 0 else found[-1]
            raise ValueError(f"y must be from 0 to {n_outputs - 1}, found {wrong}")
        return labels
    if not (set(found) <= {-1, 1} or set(found) <= {0, 1}):
        few = ", ".join(map(str, found[:4])) + (", ..." if len(found) > 4 else "")
        raise ValueError(f"y must be -1 and 1 or 0 and 1 for one output, found {few}")
    return (labels > 0).astype(labels.dtype)


def _names(given: Sequence[str] | None, n: int, labels: npt.NDArray[np.int64]) -> list[str]:
    if given is None:
        if n > 2:
            return [str(k) for k in range(n)]
        return ["-1" if -1 in labels else "0", "1"]
    if isinstance(given, str) or len(given) != n:
        raise ValueError(f"class_names must be {n} names, found {given!r}")
    return [str(name) for name in given]


def _colors(n: int) -> list[Any]:
    import matplotlib

    if n == 2:
        return list(_PAIR)
    if n <= 10:
        return list(matplotlib.color_sequences["tab10"][:n])
    return [matplotlib.colormaps["gist_rainbow"](k / (n - 1)) for k in range(n)]


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("probability", [_PAIR[0], "white", _PAIR[1]])


def _probabilities(
    probability: Callable[[Any], Any], scores: npt.NDArray[np.float64], numpy: Any
) -> npt.NDArray[np.float64]:
    given = numbers_of(probability(scores), "what probability gives")
    if given.shape != scores.shape:
        raise ValueError(
            f"probability must give an array of shape {scores.shape}, found {given.shape}"
        )
    if ((given < 0) | (given > 1)).any():
        wrong = given[(given < 0) | (given > 1)][0]
        raise ValueError(f"probability must give numbers from 0 to 1, found {float(wrong)!r}")
    return given


def _draw_points(
    drawn: Axes, points: Any, classes: Any, colors: Sequence[Any], names: Sequence[str]
) -> None:
    """The points of each class in its colour, and smaller where there are many."""
    size = min(35.0, max(4.0, 7000.0 / len(points)))
    for k, (color, name) in enumerate(zip(colors, names, strict=True)):
        of_class = points[classes == k]
        if len(of_class):
            xs, ys = of_class.T
            width = 0.6 if size > 10 else 0.2
            drawn.scatter(
                xs, ys, color=color, s=size, label=name, edgecolors="black", linewidths=width
            )
    if len(names) <= _MOST_IN_LEGEND:
        handles, labels = drawn.get_legend_handles_labels()
        # Names are text as they are: a dollar sign begins no formula.
        for text in drawn.legend(handles, labels, loc="upper right").get_texts():
            text.set_parse_math(False)
