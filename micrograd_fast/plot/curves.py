"""The loss over the steps of a training."""

from __future__ import annotations

from ._figure import axes_for, check_axes, require
from ._rows import numbers_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes

__all__ = ["loss_curve"]

_SPAN_OF_LOG = 100.0  # from the least number to the largest, as a factor


def loss_curve(
    history: Sequence[float] | Mapping[str, Sequence[float]],
    *,
    ax: Axes | None = None,
    log: bool | None = None,
) -> Axes:
    """Draw losses over the steps.

    Steps whose loss is nan or infinite are gaps, with a cross at the foot of the picture.

    Parameters
    ----------
    history : sequence of float, or mapping of str to sequences of float
        A loss for each step, counted from 0; of several curves each by its name. They may be of
        different lengths.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.
    log : bool, optional
        Whether the scale of losses is logarithmic. If not given, it is where all of them are above
        0 and the largest is at least 100 times the least.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError
        If something is not a number.
    ValueError
        If there is no curve, or none in it, or `log` is True and a loss is not above 0.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from micrograd_fast.plot import loss_curve
    >>> ax = loss_curve({"training": [1.0, 0.1, 0.001]}, ax=Figure().add_subplot())
    >>> ax.get_yscale()
    'log'
    """
    check_axes("loss_curve", ax)
    numpy = require("loss_curve", "numpy")
    curves = _curves_of(history)
    losses = numpy.concatenate(list(curves.values()))
    losses = losses[numpy.isfinite(losses)]
    least = losses.min() if len(losses) else numpy.inf
    if log and least <= 0:
        raise ValueError(f"history must be above 0 for log=True, found {float(least)!r}")
    if log is None:
        log = bool(len(losses) and least > 0 and losses.max() / _SPAN_OF_LOG >= least)
    with axes_for(ax) as drawn:
        for name, curve in curves.items():
            _draw(drawn, name, curve, numpy)
        drawn.set(xlabel="step", ylabel="loss", yscale="log" if log else "linear")
        if any(curves):
            # Names are text as they are: a dollar sign begins no formula.
            for text in drawn.legend(loc="upper right").get_texts():
                text.set_parse_math(False)
    return drawn


def _curves_of(history: Any) -> dict[str, npt.NDArray[np.float64]]:
    """Each curve by its name; a single one that has none by an empty name."""
    if not hasattr(history, "keys"):
        return {"": _curve_of(history, "history")}
    if not len(history):
        raise ValueError("history must have one curve or more, found none")
    return {str(name): _curve_of(history[name], f"history[{name!r}]") for name in history}


def _curve_of(given: Any, name: str) -> npt.NDArray[np.float64]:
    curve = numbers_of(given, name)
    if curve.ndim != 1:
        raise ValueError(f"{name} must be a sequence of losses, found shape {curve.shape}")
    if len(curve) == 0:
        raise ValueError(f"{name} must have one loss or more, found none")
    return curve


def _draw(drawn: Axes, name: str, curve: npt.NDArray[np.float64], numpy: Any) -> None:
    finite = numpy.isfinite(curve)
    shown = numpy.where(finite, curve, numpy.nan)
    padded = numpy.pad(finite, 1)
    # Between gaps no line is drawn to a single step, so it has a point.
    single = numpy.flatnonzero(finite & ~padded[:-2] & ~padded[2:])
    (line,) = drawn.plot(shown, label=name or None, marker="o", markersize=4, markevery=single)
    lost = numpy.flatnonzero(~finite)
    if len(lost):
        label = f"{name}, nan or inf" if name else None
        foot = drawn.get_xaxis_transform()
        drawn.plot(
            lost, numpy.full(len(lost), 0.02), "x", color=line.get_color(), transform=foot,
            label=label, clip_on=False,
        )  # fmt: skip
