"""Trials: what a class computes, written down so that two classes can be compared to the bit."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from .shape import Shape, describe

# Numbers at which functions of one variable differ where they differ at all: in the rounding of
# ordinary ones, at zeros of both signs, where something over- or underflows, and beyond numbers.
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-8, -1e-8, 1e-300, 20.0, -20.0, 40.0, -40.0]
EXTREMES = [710.0, -710.0, 1e300, -1e300, math.inf, -math.inf, math.nan]
N_ORDINARY = 120

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "__add__": lambda a, b: a + b,
    "__mul__": lambda a, b: a * b,
    "__sub__": lambda a, b: a - b,
    "__truediv__": lambda a, b: a / b,
    "__pow__": lambda a, b: a**b,
    "__radd__": lambda a, b: b + a,
    "__rmul__": lambda a, b: b * a,
    "__rsub__": lambda a, b: b - a,
    "__rtruediv__": lambda a, b: b / a,
    "__rpow__": lambda a, b: b**a,
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "__neg__": lambda a: -a,
    "__abs__": abs,
}
# Between the first operand and what has no Value on the left, Python calls these.
REFLECTED = ("__radd__", "__rmul__", "__rsub__", "__rtruediv__", "__rpow__")
COMPARISONS = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__bool__", "__hash__")


def bits(number: Any) -> Any:
    """A number such that two are equal if their bits are; all nans are one."""
    if type(number) not in (int, float):
        return repr(number)
    number = float(number)
    return "nan" if number != number else struct.pack("<d", number)


IS_COMPLEX = ("is complex",)


class Face:
    """How to reach the parts of Values of a class."""

    def __init__(self, cls: type, shape: Shape) -> None:
        self.cls = cls
        self._data = shape.names_of("data")[0]
        self._grad = shape.names_of("grad")[0]
        self._children = shape.names_of("children")
        self._ordered = [n for n in self._children if shape.collections[n] in (tuple, list)]
        self._ops = shape.names_of("op")

    def data(self, value: Any) -> Any:
        """The number of a Value."""
        return getattr(value, self._data)

    def grad(self, value: Any) -> Any:
        """The gradient of a Value."""
        return getattr(value, self._grad)

    def set_grad(self, value: Any, number: float) -> None:
        """Assign the gradient of a Value."""
        setattr(value, self._grad, number)

    def children(self, value: Any) -> list[Any]:
        """The operands of a Value."""
        return list(getattr(value, (self._ordered or self._children)[0]))

    def structure(self, value: Any, depth: int = 4) -> Any:
        """The graph under a Value as it shows it: the numbers of its nodes."""
        if depth == 0:
            return bits(self.data(value))
        below = [self.structure(child, depth - 1) for child in self.children(value)]
        if not self._ordered:
            below.sort(key=repr)
        return (bits(self.data(value)), below)

    def operations(self, value: Any) -> tuple[Any, ...]:
        """What a Value and its operands say which operation they are of."""
        children = self.children(value)
        if not self._ordered:
            children.sort(key=lambda child: repr(self.structure(child)))
        return tuple(getattr(node, name) for name in self._ops for node in [value, *children])


def outcome(face: Face, function: Callable[..., Any], numbers: list[float]) -> tuple[Any, ...]:
    """Value and gradients of a function of Values, or the exception."""
    values = [face.cls(number) for number in numbers]
    try:
        result = function(*values)
        if not isinstance(result, face.cls):
            return ("no Value", repr(result))
        if isinstance(face.data(result), complex):
            return IS_COMPLEX
        data = bits(face.data(result))
        shown = face.structure(result), face.operations(result)
    except RecursionError:
        raise
    except Exception as error:
        return ("raises", type(error))
    try:
        result.backward()  # type: ignore[attr-defined]
    except Exception as error:
        return ("raises in backward", data, type(error))
    return ("gives", data, [bits(face.grad(value)) for value in values], *shown)


def numbers_for_one() -> list[float]:
    """Where functions of one number are tried."""
    draws = random.Random(1)
    ordinary = [draws.uniform(-3.0, 3.0) for _ in range(N_ORDINARY)]
    return [*EDGES, *ordinary, *EXTREMES]


def pairs() -> list[tuple[float, float]]:
    """Where functions of two numbers are tried."""
    draws = random.Random(2)
    edges = [(a, b) for a in EDGES[:9] for b in EDGES[:9]]
    return [*edges, *((draws.uniform(0.01, 3.0), draws.uniform(-3.0, 3.0)) for _ in range(60))]


def unary_outcomes(face: Face, function: Callable[[Any], Any]) -> list[tuple[Any, ...]]:
    """What a function of one Value gives."""
    return [outcome(face, function, [number]) for number in numbers_for_one()]


def two_outcomes(face: Face, name: str) -> list[tuple[Any, ...]]:
    """What an operator gives for two Values."""
    if name in REFLECTED:
        return []
    return [outcome(face, BINARY[name], [a, b]) for a, b in pairs()]


def number_outcomes(face: Face, name: str) -> list[tuple[Any, ...]]:
    """What an operator gives for a Value and a number."""
    function = BINARY[name]
    found = [outcome(face, lambda v, b=b: function(v, b), [a]) for a, b in pairs()]
    for a in EDGES:
        for whole in (2, 3, -1, 0):
            found.append(outcome(face, lambda v, n=whole: function(v, n), [a]))
    return found


def computes_alike(
    wanted: list[tuple[Any, ...]], found: list[tuple[Any, ...]], names: dict[str, str]
) -> bool:
    """Whether a method of the engine gives what the class's own does.

    Where the own one goes complex, as Python's powers do, the engine raises; and where the own one
    takes no such operand at all, nobody calls it. A slope that cannot be is an error in backward
    here, and in a class that computes slopes ahead one of the operation. Where the own one would
    make a float of a complex number, a TypeError, the engine's is a ValueError.

    Parameters
    ----------
    names : dict
        Is given the operation's names that differ, from ours to the class's.
    """
    if all(entry[0] == "raises" for entry in wanted):
        return True
    own_names: dict[str, str] = {}
    for own, ours in zip(wanted, found, strict=True):
        if own in (IS_COMPLEX, ours):
            continue
        if own[0] == "raises" and ours[0] == "raises in backward" and own[1] is ours[2]:
            continue
        if own == ("raises", TypeError) and ours == ("raises", ValueError):
            continue
        if own[:-1] != ours[:-1] or own[0] != "gives":
            return False
        for theirs, ours_name in zip(own[-1], ours[-1], strict=True):
            if theirs != ours_name and own_names.setdefault(ours_name, theirs) != theirs:
                return False
    if any(names.get(name, theirs) != theirs for name, theirs in own_names.items()):
        return False
    if any(not isinstance(entry, str) for entry in own_names.values()):
        return False
    names.update(own_names)
    return True


def graph_outcomes(face: Face, names: list[str], n_graphs: int = 40) -> Iterator[list[Any]]:
    """Gradients of all Values of random graphs, whose shares meet in every order."""
    draws = random.Random(3)
    for _ in range(n_graphs):
        values = [face.cls(draws.uniform(0.5, 1.5)) for _ in range(4)]
        for _ in range(draws.randrange(4, 24)):
            name = draws.choice(names)
            a, b = draws.choice(values), draws.choice(values[-6:])
            factor = draws.uniform(0.3, 1.2)
            if name in BINARY:
                made = BINARY[name](a, b if name not in REFLECTED else factor)
            else:
                made = UNARY[name](a)
            if not 1e-3 < abs(face.data(made)) < 1e3:
                made = a + b * factor
            values.append(made)
        root = values[-1]
        for value in values[-4:-1]:
            root = root * value + value
        root.backward()
        found = [face.grad(value) for value in values]
        root.backward()
        yield [*found, *(face.grad(value) for value in values)]


def texts(face: Face) -> list[str]:
    """How Values are shown, those whose numbers are floats."""
    a, b = face.cls(2.0), face.cls(-3.5)
    product = a * b
    product.backward()
    found = []
    for value in (a, b, product):
        for show in (repr, str):
            try:
                found.append(show(value))
            except Exception as error:
                found.append(describe(error))
    return [text for text in found if " at 0x" not in text]
