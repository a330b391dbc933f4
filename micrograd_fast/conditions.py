"""Conditions and choices that are part of a graph, so that each row of a program has its own.

Values have no order (``a < b`` is a TypeError, as in micrograd). The functions here make
conditions of them: Values that are 1 or 0 and have no slope. `where` chooses by one.
"""

from __future__ import annotations

from . import _core
from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "where",
]


def where(condition: Any, a: Any, b: Any) -> Any:
    """Choose `a` where a condition holds, and `b` elsewhere.

    The gradient goes to the one that is chosen: the backward pass does not go into the other
    branch, which can then neither fail there nor give anything. In a frozen program each row
    chooses for itself, and nothing fails by the other branch, in first and second order. Eagerly,
    both must have a value, because they are computed where they are written.

    Parameters
    ----------
    condition : Value or number
        Holds where it is not 0; made by `less`, `equal` and the like.
    a, b : Value or number

    Returns
    -------
    Value
        ``a.keep(condition) + b.keep(logical_not(condition))``; for arrays, an array of them.

    Examples
    --------
    >>> from micrograd_fast import Value, less, where
    >>> x = Value(-2.0)
    >>> y = where(less(x, 0.0), x * x, x)
    >>> y.backward()
    >>> y.data, x.grad
    (4.0, -4.0)
    """
    if _has_axes(condition) or _has_axes(a) or _has_axes(b):
        import numpy

        return numpy.frompyfunc(where, 3, 1)(condition, a, b)
    condition, a, b = _values(condition, a, b)
    return a.keep(condition) + b.keep(condition.equal(0.0))


def less(a: Any, b: Any) -> Any:
    """Make the condition that `a` is below `b`.

    Parameters
    ----------
    a, b : Value or number
        Or arrays of them.

    Returns
    -------
    Value
        1.0 or 0.0, without a slope; 0.0 where one of them is nan.

    Examples
    --------
    >>> from micrograd_fast import Value, less
    >>> less(Value(1.0), 2.0).data
    1.0
    """
    return _applied("less", a, b)


def less_equal(a: Any, b: Any) -> Any:
    """Make the condition that `a` is not above `b`; see `less`."""
    return _applied("less_equal", a, b)


def greater(a: Any, b: Any) -> Any:
    """Make the condition that `a` is above `b`, which is ``less(b, a)``; see `less`."""
    return _applied("less", b, a)


def greater_equal(a: Any, b: Any) -> Any:
    """Make the condition that `a` is not below `b`, ``less_equal(b, a)``; see `less`."""
    return _applied("less_equal", b, a)


def equal(a: Any, b: Any) -> Any:
    """Make the condition that `a` and `b` are the same number; see `less`."""
    return _applied("equal", a, b)


def logical_and(a: Any, b: Any) -> Any:
    """Make the condition that both hold, that is, neither is 0; see `less`."""
    return _applied("logical_and", a, b)


def logical_or(a: Any, b: Any) -> Any:
    """Make the condition that one holds or both do; see `less`."""
    return _applied("logical_or", a, b)


def logical_not(a: Any) -> Any:
    """Make the condition that another does not hold, ``equal(a, 0.0)``; see `less`."""
    return _applied("equal", a, 0.0)


def _has_axes(x: Any) -> bool:
    return getattr(x, "ndim", 0) > 0


def _values(*operands: Any) -> list[Any]:
    """Values, of whichever engine one of them is, with a constant for each number."""
    kinds = [type(x) for x in operands if hasattr(x, "keep")]
    of_another_engine = kinds and not issubclass(kinds[0], Value)
    constant: Any = kinds[0] if of_another_engine else _core.constant
    return [x if hasattr(x, "keep") else constant(x) for x in operands]


def _applied(name: str, a: Any, b: Any) -> Any:
    if _has_axes(a) or _has_axes(b):
        import numpy

        return numpy.frompyfunc(lambda a, b: _applied(name, a, b), 2, 1)(a, b)
    a, b = _values(a, b)
    return getattr(a, name)(b)
