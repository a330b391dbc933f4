"""What every picture shares: the libraries that it needs, and the axes that it is drawn on."""

from __future__ import annotations

import contextlib
import importlib

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from matplotlib.axes import Axes

__all__ = ["axes_for", "check_axes", "require"]

_PACKAGES = {"sklearn": "scikit-learn"}


def require(function: str, module: str) -> Any:
    """Import what a function needs beyond the plain install, or say how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{function} needs {_PACKAGES.get(package, package)}:"
            ' pip install "micrograd_fast[plot]"'
        ) from error


def check_axes(function: str, ax: Axes | None) -> None:
    """Import matplotlib, and refuse what is neither None nor one of its axes."""
    axes = require(function, "matplotlib.axes")
    if ax is not None and not isinstance(ax, axes.Axes):
        raise TypeError(f"ax must be matplotlib's Axes, found {type(ax).__name__}")


@contextlib.contextmanager
def axes_for(ax: Axes | None, size: tuple[float, float] | None = None) -> Iterator[Axes]:
    """Give `ax`, or those of a new figure, which is closed again after an error."""
    if ax is not None:
        yield ax
        return
    import matplotlib.pyplot as plt

    figure, made = plt.subplots(figsize=size, layout="constrained")
    try:
        yield made
    except BaseException:
        plt.close(figure)
        raise
