"""Traces: what a traced function looks at, what it returns, and the program made of it."""

from __future__ import annotations

import sys

from . import _core
from ._nests import (
    NUMBER,
    Array,
    Container,
    Static,
    cut,
    is_differentiable,
    n_numbers_of,
    put_together,
    static_key,
)
from .engine import Value
from .program import freeze

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._nests import Leaf, Structure
    from .program import Program


class Watch:
    """Where a traced function looks at Values; the engine reports it."""

    def __init__(self, name: str, inputs: list[Value]) -> None:
        self._name = name
        self._inputs = inputs
        self.places: list[str] = []
        self.assignments: list[str] = []

    def saw(self, what: str, value: Value, other: Any, filename: str, line: int) -> None:
        """Note a place, the first time that it is met.

        The `value` of a "failure", of an operation that raises an exception, is None.

        Raises
        ------
        RuntimeError
            If the answer differs from the one that the plain function gets.
        """
        place = f"{filename}:{line}"
        if what == "assignment":
            self.assignments.append(place)
        # What decides below looks at Values itself.
        if _core.call_under_watch(None, self._is_wrong, what, value, other):
            raise RuntimeError(
                f"{self._name} {_WRONG_LOOKS[what].format(place=place)}, or be named in static="
            )
        if place not in self.places:
            self.places.append(place)

    def _is_wrong(self, what: str, value: Value, other: Any) -> bool:
        """Whether a number in the place of the Value would have answered otherwise."""
        if what == "assignment":
            return self._is_a_number(value)
        if what == "truth":
            return value.data == 0.0 and self._is_a_number(value)
        if what == "hash":
            return self._is_a_number(value)
        if what not in ("==", "!=") or other is value or not self._is_a_number(value):
            return False
        if isinstance(other, Value):
            if not self._is_a_number(other):
                return False
            other = other.data
        return bool(value.data == other)

    def _is_a_number(self, value: Value) -> bool:
        """Whether the plain function has a number in its place: only inputs are under it."""
        try:
            return not freeze(value, "it", self._inputs, False, "float64").parameters
        except ValueError:  # it has a rule of its own
            return False


_CHOICE = (
    "used the {} of a traced number, at {{place}}, where a Value stands for the number: an"
    " argument that chooses must be an int or a bool"
)
_WRONG_LOOKS = {
    "truth": _CHOICE.format("truth"),
    "hash": _CHOICE.format("hash"),
    "==": _CHOICE.format("equality"),
    "!=": _CHOICE.format("equality"),
    "assignment": (
        "assigned the data of a traced number, at {place}, which every call brings anew: it must"
        " compute another Value"
    ),
}


class Trace:
    """A program, and how arguments and results are made of its rows and outputs."""

    def __init__(
        self,
        name: str,
        program: Program | None,
        arguments: Sequence[tuple[str, Structure]],
        results: Structure,
        argnums: list[str] | None,
        one_argnum: bool,
    ) -> None:
        self.program = program
        self._name = name
        self._results = results
        first = 0
        places = {}
        for argument, structure in arguments:
            places[argument] = (structure, first)
            first += n_numbers_of(structure)
        if argnums is None:
            self._by = [entry for entry in places.values() if is_differentiable(entry[0])]
        else:
            for argument in argnums:
                if argument not in places or not is_differentiable(places[argument][0]):
                    raise TypeError(
                        f"{name} cannot be differentiated by {argument}: it is static, or chooses"
                    )
            self._by = [places[argument] for argument in argnums]
        self._one_argnum = one_argnum or (argnums is None and len(self._by) == 1)

    def of_one_value(self, what: str) -> Program:
        """The program of a result that is one number; TypeError for any other."""
        if self._results is not NUMBER or self.program is None:
            raise TypeError(
                f"{self._name} must return one Value for {what}, found {self._described()}"
            )
        if what != "backward" and not self._by:
            raise TypeError(
                f"{self._name} must be given a float for {what}, found static arguments alone:"
                " jit differentiates by no int and by no choice"
            )
        return self.program

    def _described(self) -> str:
        """What was returned that is not one Value, for a message."""
        results = self._results
        if isinstance(results, Static):
            return f"{type(results.value).__name__}, which no argument has to do with"
        hint = " without Values" if self.program is None else ": jacobian takes any result"
        if isinstance(results, Container):
            return results.kind.__name__ + hint
        return f"an array of shape {results.shape}{hint}"

    def result(self, outputs: Any) -> Any:
        """Put outputs together to what the function returned."""
        if self._results is NUMBER:
            return outputs
        return put_together(self._results, cut(outputs))

    def result_of_rows(self, outputs: Any) -> Any:
        """Put a row of outputs for each call together to arrays with a leading axis."""
        return put_together(self._results, cut(outputs, axis=-1))

    def by_arguments(self, derivatives: Any) -> Any:
        """Put derivatives, by all inputs along the last axis, together to arguments."""
        parts = [
            put_together(structure, cut(derivatives, first, -1), keep_static=False)
            for structure, first in self._by
        ]
        return parts[0] if self._one_argnum else tuple(parts)

    def by_arguments_twice(self, derivatives: Any) -> Any:
        """Put second derivatives, of shape (inputs, inputs), together."""
        parts = [
            put_together(structure, self._behind(cut(derivatives, first)), keep_static=False)
            for structure, first in self._by
        ]
        return parts[0] if self._one_argnum else tuple(parts)

    def by_results(self, derivatives: Any) -> Any:
        """Put rows of derivatives, one for each output, together to what was returned."""
        return put_together(self._results, self._behind(cut(derivatives)), keep_static=False)

    def _behind(self, leaf: Leaf) -> Leaf:
        """Let each leaf be what stands for the arguments, behind the leaf's own axes."""
        return lambda shape: self.by_arguments(leaf(shape))

    def jacobian(self, row: list[float]) -> Any:
        """The derivatives of all outputs by all inputs, of shape (outputs, inputs)."""
        import numpy

        if self.program is None:
            return numpy.zeros((0, len(row)))
        return self.program.jacobian(row).reshape(-1, len(row))


def results_apart(result: Any, outputs: list[Value], what: str) -> Structure:
    """Append the Values of what a function returned to a list; return the structure."""
    if isinstance(result, Value):
        outputs.append(result)
        return NUMBER
    if isinstance(result, dict):
        items = tuple([results_apart(item, outputs, what) for item in result.values()])
        return Container(dict, tuple(result), items)
    if isinstance(result, (list, tuple)):
        kind = type(result) if hasattr(result, "_make") else type(result).__mro__[-2]
        items = tuple([results_apart(item, outputs, what) for item in result])
        return Container(kind, None, items)
    fields = getattr(type(result), "__dataclass_fields__", None)
    if fields is not None and not isinstance(result, type):
        items = tuple([results_apart(getattr(result, field), outputs, what) for field in fields])
        return Container(type(result), tuple(fields), items)
    numpy = sys.modules.get("numpy")
    if numpy and isinstance(result, numpy.ndarray) and result.dtype.kind != "O":
        # Its owner may write to it later; nobody can to a copy that every call returns.
        result = result.copy()
        result.flags.writeable = False
        return Static(result, ())
    if getattr(getattr(result, "dtype", None), "kind", "") == "O":
        if result.ndim == 0:
            return results_apart(result.item(), outputs, what)
        entries = result.ravel().tolist()
        for entry in entries:
            outputs.append(entry if isinstance(entry, Value) else _constant(entry, what))
        return Array(result.shape)
    # A number that no argument has to do with, text, None: the same at every call, as long as it
    # cannot change, and hides no Value.
    try:
        static_key(result, what)
    except TypeError:
        found = type(result).__name__
        raise TypeError(f"{what} must be a nest of Values, found {found}") from None
    return Static(result, ())


def _constant(number: Any, what: str) -> Value:
    """A Value that a program takes for the number it is."""
    try:
        return _core.constant(number)
    except TypeError:
        raise TypeError(f"{what} must be an array of Values, found {number!r} in it") from None
