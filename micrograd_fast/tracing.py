"""Functions of numbers, traced at their first call and replayed as programs after."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections import OrderedDict, namedtuple

from . import _core
from ._nests import (
    NUMBER,
    HoldsValues,
    Static,
    leaves_of,
    of_values,
    put_together,
    split_batch,
    static_key,
    take_apart,
    take_indices_apart,
    without_statics,
)
from ._traces import Trace, Watch, results_apart
from .engine import Value
from .program import freeze

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

    from ._nests import Structure
    from .program import Program, _DType

    P = ParamSpec("P")
    R = TypeVar("R")

    _OnReads: TypeAlias = Literal["warn", "error", "ignore"]
    _Chosen: TypeAlias = str | int | Sequence[str | int]
    # How many arguments came by place, then each with its name.
    _Arguments: TypeAlias = tuple[tuple[str, Structure], ...]
    _Key: TypeAlias = tuple[int, _Arguments]

    class _Signed(Generic[P, R]):
        """What type checkers know of a jitted function: it is called as the function is."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

else:
    P = R = None

    class _Signed:
        """Nothing at run time."""

        __class_getitem__ = classmethod(lambda cls, _: cls)


__all__ = ["jit"]

# So many traces that differ in what is static look like a mistake.
_MANY_TRACES = 10

CacheInfo = namedtuple("CacheInfo", ["hits", "misses", "maxsize", "currsize"])


if TYPE_CHECKING:

    @overload
    def jit(
        function: Callable[P, Value],
        *,
        static: _Chosen = (),
        indices: _Chosen = (),
        argnums: _Chosen | None = None,
        frozen_reads: _OnReads = "warn",
        max_programs: int = 128,
        fast: bool = False,
        dtype: _DType = "float64",
    ) -> Jitted[P, float]: ...

    @overload
    def jit(
        function: Callable[P, R],
        *,
        static: _Chosen = (),
        indices: _Chosen = (),
        argnums: _Chosen | None = None,
        frozen_reads: _OnReads = "warn",
        max_programs: int = 128,
        fast: bool = False,
        dtype: _DType = "float64",
    ) -> Jitted[P, R]: ...

    @overload
    def jit(
        function: None = None,
        *,
        static: _Chosen = (),
        indices: _Chosen = (),
        argnums: _Chosen | None = None,
        frozen_reads: _OnReads = "warn",
        max_programs: int = 128,
        fast: bool = False,
        dtype: _DType = "float64",
    ) -> Callable[[Callable[P, R]], Jitted[P, R]]: ...


def jit(
    function: Callable[..., Any] | None = None,
    *,
    static: _Chosen = (),
    indices: _Chosen = (),
    argnums: _Chosen | None = None,
    frozen_reads: _OnReads = "warn",
    max_programs: int = 128,
    fast: bool = False,
    dtype: _DType = "float64",
) -> Any:
    """Trace a function of numbers at its first call, and replay it after.

    The function is called once for each structure of its arguments, with Values in place of the
    numbers: every float, and every number of a float array, in whatever lists, tuples, dicts,
    named tuples and dataclasses they are. An array arrives as an array of Values of its shape.
    Everything else is *static*: ints, bools, strings, enums, None, arrays of ints, models, and
    objects that cannot change.
    A call with other static arguments is traced anew, so that the function may count, index and
    branch by them. What a call returns has the structure of what the function returned, with
    numbers and float arrays in place of Values.

    Called on Values, or while another function is traced, it is the plain function: part of that
    graph, with all its gradients.

    A function that looks at a traced Value (its ``data``, its truth, its text, ...) can decide
    something by it, and the decision is frozen with the graph; see `frozen_reads`.

    Parameters
    ----------
    function : callable
        Takes numbers and nests of them; returns Values, or a nest of some.
    static : str, int or sequence of these, optional
        Names or places of further arguments that are static, by value. They must be hashable and,
        models apart, not change.
    indices : str, int or sequence of these, optional
        Names or places of arguments whose ints choose: the function gets a Value for each, by
        which `take` chooses a row and `cross_entropy` a class, and another int makes no other
        program. Ints, arrays of ints, and lists and tuples of them; no derivative is by them.
    argnums : str, int or sequence of these, optional
        Names or places of the arguments to differentiate by; all traced ones if not given.
    frozen_reads : {"warn", "error", "ignore"}, optional
        What to do where the function looks at a Value while it is traced: a warning that names
        the first place, once for each trace; a `RuntimeError`; nothing. What would be wrong at
        this very call is an error always.
    max_programs : int, optional
        How many programs are kept; the one that was not used for longest goes.
    fast, dtype
        As for `compile`.

    Returns
    -------
    Jitted
        To be called as `function` is. Its methods `value_and_grad`, `jacobian`, `hessian`,
        `backward`, `batch` and `program` take the same arguments.

    Raises
    ------
    TypeError
        If `function` is none, or `static`, `indices` or `argnums` names no argument.
    ValueError
        If `frozen_reads` is none of the three, `max_programs` is below 1, or for `dtype` as
        `compile`.

    Examples
    --------
    >>> from micrograd_fast import jit
    >>> @jit
    ... def distance(p, q):
    ...     return ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) ** 0.5
    >>> distance([0.0, 0.0], [3.0, 4.0])
    5.0
    >>> distance.value_and_grad([0.0, 0.0], [0.0, 4.0])
    (4.0, ([0.0, -1.0], [0.0, 1.0]))
    >>> import numpy as np
    >>> value, gradient = jit(lambda w: (w * w).sum()).value_and_grad(np.ones((2, 3)))
    >>> value, gradient.shape
    (6.0, (2, 3))
    """
    if frozen_reads not in ("warn", "error", "ignore"):
        raise ValueError(
            f'frozen_reads must be "warn", "error" or "ignore", found {frozen_reads!r}'
        )
    if max_programs < 1:
        raise ValueError(f"max_programs must be at least 1, found {max_programs}")
    _core.check_arithmetic(fast, dtype)
    options: dict[str, Any] = {
        "static": static,
        "indices": indices,
        "argnums": argnums,
        "frozen_reads": frozen_reads,
        "max_programs": max_programs,
        "fast": fast,
        "dtype": dtype,
    }
    if function is None:
        return functools.partial(jit, **options)
    if not callable(function):
        raise TypeError(f"function must be callable, found {type(function).__name__}")
    return Jitted(function, **options)


class Jitted(_Signed[P, R]):
    """A function that `jit` has taken over.

    Examples
    --------
    >>> from micrograd_fast import jit
    >>> cube = jit(lambda x: x * x * x)
    >>> cube(2.0), cube.value_and_grad(2.0), cube.hessian(2.0)
    (8.0, (8.0, 12.0), 12.0)
    """

    _leading: tuple[Any, ...] = ()

    def __init__(
        self,
        function: Callable[P, Any],
        static: _Chosen,
        indices: _Chosen,
        argnums: _Chosen | None,
        frozen_reads: _OnReads,
        max_programs: int,
        fast: bool,
        dtype: _DType,
    ) -> None:
        functools.update_wrapper(self, function)
        # A partial function or an object that can be called has none.
        self._name = getattr(function, "__name__", type(function).__name__)
        self._function: Callable[..., Any] = function
        self._parameters = _parameters_of(function)
        self._static = self._chosen(static, "static")
        self._indices = self._chosen(indices, "indices")
        self._argnums = None if argnums is None else self._chosen(argnums, "argnums")
        self._one_argnum = isinstance(argnums, (str, int))
        self._frozen_reads = frozen_reads
        self._max_programs = max_programs
        self._fast = fast
        self._dtype = dtype
        self._traces: OrderedDict[_Key, Trace] = OrderedDict()
        self._n_alike: dict[Any, int] = {}
        self._n_calls = {"hits": 0, "misses": 0}

    def __repr__(self) -> str:
        return f"<jitted {self._name}: {len(self._traces)} programs>"

    def __get__(self, instance: object, owner: type | None = None) -> Jitted[..., R]:
        if instance is None:
            return self
        bound: Jitted[..., R] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._leading = (instance,)
        return bound

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickle as functions do, by name, and as methods do, by object and name."""
        if self._leading:
            return getattr, (*self._leading, self._name)
        return getattr(self._function, "__qualname__", self._name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        trace, row = self._prepared_or_plain(args, kwargs)
        if trace is None:
            return self._function(*self._leading, *args, **kwargs)
        return trace.result(trace.program(row) if trace.program else None)

    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[float, Any]:
        """Compute the value, and its derivatives by the traced arguments.

        Returns
        -------
        value : float
        gradient : nest
            Of one argument, numbers in its own structure; of several, a tuple of such. What is
            static in an argument has None in its place.

        Raises
        ------
        TypeError
            If the function returns anything but one Value.
        """
        trace, row = self._prepared(args, kwargs)
        value, gradient = trace.of_one_value("value_and_grad").value_and_grad(row)
        return value, trace.by_arguments(gradient)

    def jacobian(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the derivatives of everything that is returned by the traced arguments.

        Returns
        -------
        nest
            In the structure of the result, with the structure of the arguments in place of each
            number or array: an array of shape ``result.shape + argument.shape``. What no argument
            has to do with has None in its place.
        """
        trace, row = self._prepared(args, kwargs)
        return trace.by_results(trace.jacobian(row))

    def hessian(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the second derivatives of the value by the traced arguments.

        Returns
        -------
        nest
            In the structure of the arguments twice: by an array of shape ``s`` alone, an array
            of shape ``s + s``.

        Raises
        ------
        TypeError
            If the function returns anything but one Value.
        """
        trace, row = self._prepared(args, kwargs)
        program = trace.of_one_value("hessian")
        return trace.by_arguments_twice(program.hessian(row, wrt="inputs"))

    def backward(self, *args: Any, **kwargs: Any) -> float:
        """Add the derivatives by the Values that the function closes over to their ``grad``.

        Returns
        -------
        float
            The value.

        Raises
        ------
        TypeError
            If the function returns anything but one Value.
        """
        trace, row = self._prepared(args, kwargs)
        return trace.of_one_value("backward").backward(row)

    def batch(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function for each index of a leading axis of its traced arguments.

        Arrays have one axis more than the function takes, of one length for all; a float is the
        same for every call.

        Returns
        -------
        nest
            In the structure of the result, with arrays that have the leading axis.

        Raises
        ------
        ValueError
            If there is no array, or the lengths differ.
        """
        import numpy

        (n_by_place, arguments), numbers = self._taken_apart(args, kwargs)
        length, of_one, columns = split_batch(arguments, numbers, self._name)
        trace = self._trace_for((n_by_place, of_one), [float(column[0]) for column in columns])
        if trace.program is None:
            return trace.result(None)
        values = trace.program(numpy.stack(columns, axis=1))
        return trace.result_of_rows(values.reshape(length, -1))

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the `Program` for arguments of this structure.

        Its rows have all traced numbers from left to right, as they are in the call; its outputs
        are all numbers of the result.

        Raises
        ------
        TypeError
            If the function returns no Value.
        """
        trace, _ = self._prepared(args, kwargs)
        if trace.program is None:
            raise TypeError(f"{self._name} must return a Value for this, found none in its result")
        return trace.program

    def clear_cache(self) -> None:
        """Forget every program, so that the function is traced anew."""
        self._traces.clear()
        self._n_alike.clear()
        self._n_calls.update(hits=0, misses=0)

    def cache_info(self) -> CacheInfo:
        """Tell how often a program was there, how often not, and how many there are."""
        return CacheInfo(maxsize=self._max_programs, currsize=len(self._traces), **self._n_calls)

    def _chosen(self, choice: _Chosen, what: str) -> list[str]:
        """The names of the arguments that an option lists by name or place."""
        entries = (choice,) if isinstance(choice, (str, int)) else tuple(choice)
        names = self._parameters.names
        found = []
        for entry in entries:
            name: str | int = entry
            if isinstance(entry, int) and not isinstance(entry, bool):
                place = entry + len(names) if entry < 0 else entry
                name = self._parameters.name_of(place)
            if not isinstance(name, str) or not self._parameters.takes(name):
                raise TypeError(
                    f"{what} must name arguments of {self._name}{self._parameters.text}, found"
                    f" {entry!r}"
                )
            found.append(name)
        return found

    def _prepared_or_plain(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace | None, list[float]]:
        """A trace and a row; or None, where the plain function is to be called."""
        if not _core.is_watching_looks():
            try:
                structures, numbers = self._taken_apart(args, kwargs)
            except HoldsValues:
                return None, []
            return self._trace_for(structures, numbers), numbers
        return None, []

    def _prepared(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, list[float]]:
        """A trace and a row."""
        try:
            structures, numbers = self._taken_apart(args, kwargs)
        except HoldsValues:
            raise TypeError(
                f"{self._name} must be given numbers for this, found Values: call it on them, and"
                " use backward() on what it returns"
            ) from None
        return self._trace_for(structures, numbers), numbers

    def _taken_apart(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[_Key, list[float]]:
        """The structures of all arguments by name, and their numbers."""
        numbers: list[float] = []
        structures = []
        name_of = self._parameters.name_of
        for place, argument in enumerate((*self._leading, *args)):
            name = name_of(place)
            structures.append((name, self._structure(argument, numbers, name)))
        for name in self._parameters.in_order(kwargs):
            structures.append((name, self._structure(kwargs[name], numbers, name)))
        # How many came by place is part of how the function is called.
        return (len(self._leading) + len(args), tuple(structures)), numbers

    def _structure(self, argument: Any, numbers: list[float], name: str) -> Structure:
        if name == "self" or (self._leading and argument is self._leading[0]):
            return Static(argument, static_key(argument, name, may_change=True))
        if name in self._static:
            return Static(argument, static_key(argument, name))
        if name in self._indices:
            return take_indices_apart(argument, numbers, name)
        return take_apart(argument, numbers, name)

    def _trace_for(self, key: _Key, numbers: list[float]) -> Trace:
        trace = self._traces.get(key)
        if trace is not None:
            self._traces.move_to_end(key)
            self._n_calls["hits"] += 1
            return trace
        self._n_calls["misses"] += 1
        trace = self._traced(key, numbers)
        self._traces[key] = trace
        while len(self._traces) > self._max_programs:
            self._traces.popitem(last=False)
        self._count_alike(key)
        return trace

    def _traced(self, key: _Key, numbers: list[float]) -> Trace:
        n_by_place, arguments = key
        inputs = [Value(number) for number in numbers]
        leaf = of_values(inputs)
        values = [put_together(structure, leaf) for _, structure in arguments]
        by_name = {
            name: value
            for (name, _), value in zip(arguments[n_by_place:], values[n_by_place:], strict=True)
        }
        watch = Watch(self._name, inputs)
        try:
            output = _core.call_under_watch(watch, self._function, *values[:n_by_place], **by_name)
        except TypeError as error:
            if not self._parameters.fit(n_by_place, [name for name, _ in arguments[n_by_place:]]):
                raise
            raise TypeError(self._say_what_is_traced(error, arguments)) from error
        self._tell(watch.places)
        outputs: list[Value] = []
        results = results_apart(output, outputs, f"what {self._name} returns")
        program = None
        if outputs:
            what = outputs[0] if results is NUMBER else outputs
            program = freeze(what, f"what {self._name} returns", inputs, self._fast, self._dtype)
            program.frozen_reads.extend(watch.places)
            if watch.assignments:
                self._compare(outputs, numbers, inputs, watch.assignments[0])
        return Trace(self._name, program, arguments, results, self._argnums, self._one_argnum)

    def _compare(
        self, outputs: list[Value], numbers: list[float], inputs: list[Value], place: str
    ) -> None:
        """Refuse a function that assigned data of a parameter after it had computed with it."""
        program = freeze(outputs, f"what {self._name} returns", inputs, False, "float64")
        for output, replayed in zip(outputs, program(numbers).tolist(), strict=True):
            if output.data != replayed and (output.data == output.data or replayed == replayed):
                raise RuntimeError(
                    f"{self._name} assigned the data of a Value that it had computed with, at"
                    f" {place}: a program computes with what is assigned before it is called. Let"
                    " the function return what is to be assigned, and assign it outside"
                )

    def _tell(self, places: list[str]) -> None:
        """Warn of places where the function looked at Values, or refuse them."""
        if not places or self._frozen_reads == "ignore":
            return
        n_others = len(places) - 1
        plural = "s" if n_others > 1 else ""
        others = f" and at {n_others} other place{plural}" if n_others else ""
        message = (
            f"{self._name} looked at a Value while it was traced, at {places[0]}{others}: what it"
            " decided by that is frozen"
        )
        if self._frozen_reads == "error":
            raise RuntimeError(message)
        warnings.warn(message, RuntimeWarning, stacklevel=_frames_of_this_library())

    def _say_what_is_traced(self, error: TypeError, arguments: _Arguments) -> str:
        traced = [name for name, structure in arguments if any(leaves_of(structure))]
        if not traced:
            return str(error)
        names = ", ".join(traced)
        return (
            f"{error}. While jit traces {self._name}, a Value stands for each number of"
            f" {names}: an argument that counts, indexes or chooses must be an int, or be named"
            f" in static=, as in jit(..., static={traced[0]!r}); take chooses by a Value"
        )

    def _count_alike(self, key: _Key) -> None:
        """Warn once of a static argument that is another one at every call."""
        alike = without_statics(key[1])
        n_alike = self._n_alike[alike] = self._n_alike.get(alike, 0) + 1
        if n_alike != _MANY_TRACES:
            return
        traced = [
            arguments for _, arguments in self._traces if without_statics(arguments) == alike
        ]
        changing = [
            name
            for place, (name, _) in enumerate(key[1])
            if len({arguments[place][1] for arguments in traced}) >= _MANY_TRACES // 2
        ]
        warnings.warn(
            f"{self._name} was traced {n_alike} times because static arguments keep changing:"
            f" {', '.join(changing) or 'several of them'}. A number that only counts as a number"
            " should be a float",
            RuntimeWarning,
            stacklevel=_frames_of_this_library(),
        )


class _Parameters:
    """The names of a function's arguments, as far as it tells them."""

    def __init__(
        self,
        names: list[str],
        variadic: str | None,
        any_name: bool,
        signature: inspect.Signature | None,
    ) -> None:
        self.names = names
        self.text = "(...)" if signature is None else str(signature)
        self._variadic = variadic
        self._any_name = any_name
        self._signature = signature

    def fit(self, n_by_place: int, by_name: list[str]) -> bool:
        """Whether the function can be called so, as far as it tells."""
        if self._signature is None:
            return True
        try:
            self._signature.bind(*[None] * n_by_place, **dict.fromkeys(by_name))
        except TypeError:
            return False
        return True

    def name_of(self, place: int) -> str:
        """The name of the argument at a place."""
        if 0 <= place < len(self.names):
            return self.names[place]
        return f"{self._variadic or 'args'}[{place - len(self.names)}]"

    def takes(self, name: str) -> bool:
        """Whether there can be an argument of that name."""
        by_place = self._variadic is not None and name.startswith(f"{self._variadic}[")
        return name in self.names or self._any_name or by_place

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Names of arguments as the function lists them, so that their order does not matter."""
        listed = [name for name in self.names if name in names]
        return [*listed, *sorted(name for name in names if name not in self.names)]


def _parameters_of(function: Callable[..., Any]) -> _Parameters:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in, without a signature
        return _Parameters([], "args", True, None)
    names, variadic, any_name = [], None, False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = name
        elif parameter.kind is parameter.VAR_KEYWORD:
            any_name = True
        else:
            names.append(name)
    return _Parameters(names, variadic, any_name, signature)


def _frames_of_this_library() -> int:
    """How far up the stack the first line is that is not this library's."""
    frame = sys._getframe(1)
    n_frames = 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("micrograd_fast."):
        frame = frame.f_back
        n_frames += 1
    return n_frames
