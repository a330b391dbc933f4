"""Functions of numbers, traced at their first call and replayed as programs after."""

from __future__ import annotations

import copy
import functools
import warnings

from . import _core
from .engine import Value
from .program import freeze

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal, TypeAlias, overload

    from .program import Program, _DType, _Floats

    _OnReads: TypeAlias = Literal["warn", "error", "ignore"]
    _Arguments: TypeAlias = tuple[Any, ...]
    _Keywords: TypeAlias = dict[str, Any]

__all__ = ["jit"]


if TYPE_CHECKING:

    @overload
    def jit(
        function: Callable[..., Any],
        *,
        frozen_reads: _OnReads = "warn",
        fast: bool = False,
        dtype: _DType = "float64",
    ) -> _Jitted: ...
    @overload
    def jit(
        function: None = None,
        *,
        frozen_reads: _OnReads = "warn",
        fast: bool = False,
        dtype: _DType = "float64",
    ) -> Callable[[Callable[..., Any]], _Jitted]: ...


def jit(
    function: Callable[..., Any] | None = None,
    *,
    frozen_reads: _OnReads = "warn",
    fast: bool = False,
    dtype: _DType = "float64",
) -> _Jitted | Callable[[Callable[..., Any]], _Jitted]:
    """Trace a function of numbers at its first call, and replay it after.

    The function is called with Values in place of the numbers, once for each structure of its
    arguments, by place or by name: numbers, and lists, tuples, dicts and arrays of them; an array
    arrives as nested lists. Arguments of any other kind are handed on as they are and are part of
    the structure: strings, bytes, None, True and False by what they are, others by their identity;
    they are kept with the program. So is the object that a method belongs to. What a call returns
    is the value of what the function returned. While another function is traced, a call is part of
    that trace.

    A function that reads ``data`` while it is traced can decide something by it, and the decision
    is frozen with the graph. Every such read is listed in `Program.frozen_reads`.

    Parameters
    ----------
    function : callable
        Takes numbers, returns a Value or a sequence of Values.
    frozen_reads : {"warn", "error", "ignore"}, optional
        What to do about reads of ``data``: a warning that names the first, once for each trace;
        a `RuntimeError`; nothing.
    fast, dtype
        As for `compile`.

    Returns
    -------
    callable
        Called with numbers, it returns a float, or an array for a sequence. Its
        ``program(*args)`` is the `Program` for such arguments, whose rows have all the numbers
        in them from left to right, as they are in the call; ``value_and_grad(*args)`` and
        ``backward(*args)`` are that program's.

    Raises
    ------
    TypeError
        If `function` is not one.
    ValueError
        If `frozen_reads` is none of the three, or for `dtype` as `compile`.

    Examples
    --------
    >>> from micrograd_fast import jit
    >>> @jit
    ... def distance(p, q):
    ...     return ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5
    >>> distance([0.0, 0.0], [3.0, 4.0])
    5.0
    >>> distance.value_and_grad([0.0, 0.0], [0.0, 4.0])[1].tolist()
    [0.0, -1.0, 0.0, 1.0]
    """
    if frozen_reads not in ("warn", "error", "ignore"):
        raise ValueError(
            f'frozen_reads must be "warn", "error" or "ignore", found {frozen_reads!r}'
        )
    _core.check_arithmetic(fast, dtype)
    if function is None:
        return functools.partial(jit, frozen_reads=frozen_reads, fast=fast, dtype=dtype)
    if not callable(function):
        raise TypeError(f"jit wants a function, found {type(function).__name__}")
    return _Jitted(function, frozen_reads, fast, dtype)


class _Jitted:
    """What `jit` returns."""

    _leading: _Arguments = ()

    def __init__(
        self, function: Callable[..., Any], frozen_reads: _OnReads, fast: bool, dtype: _DType
    ) -> None:
        functools.update_wrapper(self, function)
        # A partial function or an object that can be called has none.
        self._name = getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._frozen_reads = frozen_reads
        self._fast = fast
        self._dtype = dtype
        self._programs: dict[Any, tuple[Program, list[Any]]] = {}

    def __get__(self, instance: object, owner: type | None = None) -> _Jitted:
        if instance is None:
            return self
        bound = copy.copy(self)
        bound._leading = (instance,)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _core.is_watching_reads():
            return self._function(*self._leading, *args, **kwargs)
        program, row = self._prepared(args, kwargs)
        return program(row)

    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[Any, _Floats]:
        """Compute the value and its derivatives by the numbers, from left to right."""
        program, row = self._prepared(args, kwargs)
        return program.value_and_grad(row)

    def backward(self, *args: Any, **kwargs: Any) -> float:
        """Add the derivatives by the parameters to their ``grad``; return the value."""
        program, row = self._prepared(args, kwargs)
        return program.backward(row)

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program for arguments of this structure."""
        return self._prepared(args, kwargs)[0]

    def _prepared(self, args: _Arguments, kwargs: _Keywords) -> tuple[Program, list[float]]:
        row: list[float] = []
        others: list[Any] = []
        structure = _flatten(((*self._leading, *args), kwargs), row, others)
        key = (structure, *map(_identity, others))
        if key not in self._programs:
            # What is kept with the program keeps the identities from being used again.
            self._programs[key] = (self._traced(structure, row, others), others)
        return self._programs[key][0], row

    def _traced(self, structure: Any, row: list[float], others: list[Any]) -> Program:
        inputs = [Value(number) for number in row]
        args, kwargs = _unflatten(structure, iter(inputs), iter(others))
        reads: list[tuple[str, int]] = []
        before = _core.watch_reads(reads)
        try:
            output = self._function(*args, **kwargs)
        finally:
            _core.watch_reads(before)
        places = list(dict.fromkeys(f"{filename}:{line}" for filename, line in reads))
        if places and self._frozen_reads != "ignore":
            more = f" and {len(places) - 1} other lines" if len(places) > 1 else ""
            message = (
                f"{self._name} read the data of a Value while it was traced, at"
                f" {places[0]}{more}: what it decided by that is frozen"
            )
            if self._frozen_reads == "error":
                raise RuntimeError(message)
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        what = f"what {self._name} returns"
        program = freeze(output, what, inputs, False, self._fast, self._dtype)
        program.frozen_reads.extend(places)
        return program


_NUMBER, _OTHER = "number", "other"


def _identity(argument: object) -> object:
    """What makes an argument the same as one before."""
    by_value = type(argument) in (str, bytes, bool, type(None))
    return (type(argument), argument) if by_value else id(argument)


def _flatten(argument: Any, row: list[float], others: list[Any]) -> Any:
    """Append the numbers of an argument to `row`, what is none to `others`; return its shape."""
    if hasattr(argument, "tolist"):
        argument = argument.tolist()
    if isinstance(argument, (list, tuple)):
        kind: type = tuple if isinstance(argument, tuple) else list
        if hasattr(argument, "_make"):
            kind = type(argument)  # a tuple whose entries have names
        return (kind, *(_flatten(item, row, others) for item in argument))
    if isinstance(argument, dict):
        items = (_flatten(item, row, others) for item in argument.values())
        return (dict, tuple(argument), *items)
    # A bool is there to be branched on, which a Value in its place could not be.
    if isinstance(argument, (int, float)) and not isinstance(argument, bool):
        row.append(float(argument))
        return _NUMBER
    others.append(argument)
    return _OTHER


def _unflatten(structure: Any, inputs: Iterator[Value], others: Iterator[Any]) -> Any:
    """Rebuild an argument with Values in place of its numbers."""
    if structure == _NUMBER:
        return next(inputs)
    if structure == _OTHER:
        return next(others)
    kind = structure[0]
    if kind is dict:
        values = [_unflatten(item, inputs, others) for item in structure[2:]]
        return dict(zip(structure[1], values, strict=True))
    items = [_unflatten(item, inputs, others) for item in structure[1:]]
    return kind._make(items) if hasattr(kind, "_make") else kind(items)
