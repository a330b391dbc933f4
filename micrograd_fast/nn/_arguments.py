"""What models are given: inputs in whatever form, sizes and keywords."""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["check_size", "has_rows", "hint", "refuse", "rows_of", "sized"]


def has_rows(x: Any) -> bool:
    if type(x) is list:
        return False
    n_axes = getattr(x, "ndim", None)
    if n_axes not in (None, 1, 2):
        raise ValueError(f"inputs must be a row or a 2-D array of rows, found {n_axes} axes")
    return n_axes == 2


def rows_of(x: Any) -> Any:
    """The rows of a 2-D array as lists, whoever made it."""
    if hasattr(x, "tolist"):
        return x.tolist()
    import numpy

    return numpy.asarray(x).tolist()


def sized(x: Any) -> Any:
    """`x`, or a list of it where it can be read once only."""
    if hasattr(x, "__len__"):
        return x
    if not hasattr(x, "__iter__"):
        raise TypeError(f"inputs must be an iterable of numbers, found {type(x).__name__}")
    return list(x)


def hint(x: Iterable[object]) -> str:
    """How an error about some inputs goes on where one of them is no scalar."""
    for xi in x:
        if isinstance(xi, (list, tuple)):
            return f", found a {type(xi).__name__} among them: several rows go in a 2-D array"
        if isinstance(xi, str):
            return ", found a str among them"
    return ""


def refuse(owner: str, known: str, unknown: dict[str, Any]) -> None:
    """Say which keywords there are, where one is none of them."""
    if unknown:
        raise TypeError(f"the keywords of {owner} are {known}, found {', '.join(unknown)}")


def check_size(name: str, size: int) -> None:
    """Refuse a size that is not a positive int."""
    if not hasattr(type(size), "__index__"):
        raise TypeError(f"{name} must be an int, found {type(size).__name__}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, found {size}")
