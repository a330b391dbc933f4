"""Operations of the user's own, made from functions of numbers."""

from __future__ import annotations

import inspect

from ._core import CustomOp

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["CustomOp", "custom_op"]


def custom_op(
    forward: Callable[..., Any],
    derivative: Callable[..., Any] | Sequence[Callable[..., Any]],
    second_derivative: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    arity: int | None = None,
    vectorized: bool | None = None,
) -> CustomOp:
    """Make an operation on Values from functions of numbers.

    It makes one node, whose ``_op`` is its name, wherever other operations do: in a graph, in a
    traced function, in a program. `gradcheck` finds out whether its derivatives are right.

    The functions must be pure, that is, depend on their arguments alone: a program calls them once
    for a step that no input reaches, and again to find out which row fails.

    Parameters
    ----------
    forward : callable
        Takes `arity` floats and returns a number.
    derivative : callable or sequence of callable
        Takes the same and returns the derivative by each operand: a number, or a sequence of
        `arity` numbers; or a function for each operand, which returns a number.
    second_derivative : callable, optional
        Takes the same and returns the second derivatives: a number, or `arity` rows of `arity`
        numbers. Without it, what needs one is an error.
    name : str, optional
        What ``_op`` reads; by default the name of `forward`.
    arity : int, optional
        How many operands there are; by default as many as there are derivatives in a sequence, or
        arguments that `forward`, or else `derivative`, must have.
    vectorized : bool, optional
        Whether the functions take arrays of one length, a column for each operand, and return
        such arrays (or a number that holds for all rows). By default they do if `forward` is a
        NumPy ufunc, SciPy's included. A program then calls them for many rows at once, and has the
        graph's bits where theirs do not depend on how long their arrays are.

    Returns
    -------
    CustomOp
        Called with `arity` Values or numbers, it gives a Value; with arrays, an array of them.

    Raises
    ------
    TypeError
        If something that must be callable is not, or the number of operands is not known. When it
        is called: for a wrong number of operands, or a result that is no number. Whatever the
        functions raise comes through; a program says in which row.
    ValueError
        If there are not as many derivatives as operands.
    NotImplementedError
        From what needs a second derivative that was not given.

    Examples
    --------
    >>> import math
    >>> from micrograd_fast import Value, custom_op, gradcheck
    >>> arctan = custom_op(math.atan, lambda x: 1.0 / (1.0 + x * x))
    >>> x = Value(2.0)
    >>> y = arctan(x)
    >>> y.backward()
    >>> y._op, x.grad
    ('atan', 0.2)
    >>> gradcheck(arctan, 2.0, order=1)
    True
    """
    if not callable(forward):
        raise TypeError(f"forward must be callable, found {type(forward).__name__}")
    n = _arity_of(forward, derivative) if arity is None else arity
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"arity must be an int, found {type(n).__name__}")
    if not callable(derivative):
        derivative = _functions_of(derivative, n)
    if second_derivative is not None and not callable(second_derivative):
        raise TypeError(
            f"second_derivative must be callable, found {type(second_derivative).__name__}"
        )
    if vectorized is None:
        vectorized = _is_ufunc(forward)
    if name is None:
        name = getattr(forward, "__name__", "custom")
        if not name.isidentifier():
            name = "custom"
    return CustomOp(name, n, forward, derivative, second_derivative, bool(vectorized))


def _functions_of(derivative: Any, n: int) -> tuple[Callable[..., Any], ...]:
    try:
        functions = tuple(derivative)
    except TypeError:
        raise TypeError(
            "derivative must be callable or a sequence of functions,"
            f" found {type(derivative).__name__}"
        ) from None
    if len(functions) != n:
        raise ValueError(f"derivative must have {n} functions, found {len(functions)}")
    for i, function in enumerate(functions):
        if not callable(function):
            raise TypeError(f"derivative[{i}] must be callable, found {type(function).__name__}")
    return functions


def _is_ufunc(function: Any) -> bool:
    """Whether a function is a ufunc of one result; those of `numpy.frompyfunc` give objects."""
    types = getattr(function, "types", None)
    is_one = hasattr(function, "nin") and getattr(function, "nout", 0) == 1
    return is_one and isinstance(types, list) and any(name.endswith("->d") for name in types)


def _arity_of(forward: Any, derivative: Any) -> int:
    """The number of operands, which a built-in function need not tell."""
    if hasattr(derivative, "__len__"):
        return len(derivative)
    for function in (forward, derivative):
        if isinstance(getattr(function, "nin", None), int):
            return int(function.nin)
        n = _n_positional(function)
        if n is not None:
            return n
    raise TypeError(f"arity must be given for {forward!r}, whose signature does not tell it")


def _n_positional(function: Any) -> int | None:
    """How many arguments a function must have, or None if its signature does not say so."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)
