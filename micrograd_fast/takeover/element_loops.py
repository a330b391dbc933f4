"""Loops over parameters that a program has written out, such as those of SGD and Adam.

Such a loop computes, for one parameter after the other, with floats: the parameter's data and
gradient, entries of lists at its place, and numbers that stay the same. Its source becomes
instructions for the engine, and the loop gets another iterator. Before that gives anything, the
engine does the elements as far as they are what they seem; what remains, the last two always,
goes through the body as it is written. So all names have their values after it, and what is
unusual or an error happens where it would.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from .._core import ElementLoop, Value, float_attributes

(
    LOAD_LIST,
    LOAD_DATA,
    LOAD_GRAD,
    STORE_LIST,
    STORE_DATA,
    STORE_GRAD,
    ADD,
    SUB,
    MUL,
    DIV,
    POW,
    NEG,
) = range(12)
ARITHMETIC: dict[type[ast.operator], int] = {
    ast.Add: ADD,
    ast.Sub: SUB,
    ast.Mult: MUL,
    ast.Div: DIV,
    ast.Pow: POW,
}
# As many as the engine takes.
MAX_REGISTERS, MAX_INSTRUCTIONS, MAX_LISTS = 64, 128, 8
# Below this, to look costs more than it saves.
MIN_ELEMENTS = 8


class NotPlain(Exception):
    """The body of a loop is something else."""


def loop_in(node: ast.For, name: str) -> ast.Call | None:
    """Another iterator for a loop, a call of `name`; None where it is not plain arithmetic."""
    if node.orelse or not node.body:
        return None
    iterator: ast.expr = node.iter
    counter = None
    counting: ast.expr = ast.Constant(None)
    element: ast.expr = node.target
    if isinstance(element, ast.Tuple):
        call = enumerate_in(iterator)
        if call is None or len(element.elts) != 2 or not isinstance(element.elts[0], ast.Name):
            return None
        counter, element = element.elts[0].id, element.elts[1]
        counting, iterator = call.func, call.args[0]
    if not isinstance(element, ast.Name):
        return None
    body = _Body(element.id, counter, node.body)
    try:
        body.read(node.body)
    except NotPlain:
        return None
    if not any(kind in (STORE_DATA, STORE_GRAD) for kind, *_ in body.instructions):
        return None
    # Constants may be tuples, whatever the types of the standard library say.
    spec: Any = (
        len(body.given),
        tuple(body.instructions),
        tuple(body.attributes),
        tuple(sorted(body.floats)),
    )
    lists = ast.List([ast.Name(entry, ast.Load()) for entry in body.lists], ast.Load())
    given = ast.List(list(body.given.values()), ast.Load())
    nothing = ast.arguments([], [], None, [], [], None, [])
    later = ast.Lambda(nothing, ast.Tuple([lists, given], ast.Load()))
    return ast.Call(
        ast.Name(name, ast.Load()), [ast.Constant(spec), counting, iterator, later], []
    )


def enumerate_in(node: ast.expr) -> ast.Call | None:
    """``enumerate(sequence)``, from 0; None for anything else."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "enumerate"
        and len(node.args) == 1
        and not node.keywords
        and not isinstance(node.args[0], ast.Starred)
    ):
        return node
    return None


class _Body:
    """Reads the body of a loop into instructions."""

    def __init__(self, element: str, counter: str | None, body: list[ast.stmt]) -> None:
        self._element = element
        self._counter = counter
        self._assigned = {
            node.id
            for statement in body
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._names: dict[str, int] = {}
        self._places: dict[tuple[int, Any], int] = {}
        self._loads: list[tuple[int, int, int, int]] = []
        self._steps: list[tuple[int, int, int, int]] = []
        self._stores: dict[tuple[int, Any], int] = {}
        self._n_registers = 0
        self.lists: list[str] = []
        self.attributes: list[str] = []
        # What stays the same, by its source; and the places of what must be floats there, for an
        # int that a name or a list comes to hold would go on as an int.
        self.floats: set[int] = set()
        self.given: dict[str, ast.expr] = {}

    def read(self, body: list[ast.stmt]) -> None:
        """Read all statements; NotPlain if one is anything but arithmetic."""
        # The registers of what is given come first.
        for statement in body:
            self._find_given(statement)
        self._n_registers = len(self.given)
        for statement in body:
            self._statement(statement)
        if self._n_registers > MAX_REGISTERS or len(self.lists) > MAX_LISTS:
            raise NotPlain
        if len(self.instructions) > MAX_INSTRUCTIONS:
            raise NotPlain

    @property
    def instructions(self) -> list[tuple[int, int, int, int]]:
        """Loads, arithmetic, and the stores of what was assigned last."""
        stores = []
        for (kind, place), register in self._stores.items():
            if kind == LOAD_LIST:
                stores.append((STORE_LIST, self.lists.index(place), register, 0))
            else:
                stores.append((STORE_DATA if kind == LOAD_DATA else STORE_GRAD, 0, register, 0))
        return [*self._loads, *self._steps, *stores]

    def _find_given(self, statement: ast.stmt) -> None:
        for node in maximal_constants(statement, self._varies):
            self.given.setdefault(ast.dump(node), node)

    def _varies(self, node: ast.AST) -> bool:
        """Whether something differs from element to element, or is no arithmetic."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                if part.id in self._assigned or part.id in (self._element, self._counter):
                    return True
            elif not isinstance(
                part, (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Load)
            ):
                return True
        return False

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            (target,) = statement.targets
            register = self._expression(statement.value)
        elif isinstance(statement, ast.AugAssign) and type(statement.op) in ARITHMETIC:
            target = statement.target
            before = self._expression(as_read(target))
            value = self._expression(statement.value)
            register = self._step(ARITHMETIC[type(statement.op)], before, value)
        else:
            raise NotPlain
        if register < len(self.given) and not isinstance(target, ast.Attribute):
            self.floats.add(register)
        if isinstance(target, ast.Name):
            if target.id in (self._element, self._counter):
                raise NotPlain
            self._names[target.id] = register
            return
        place = self._place(target)
        self._places[place] = register
        self._stores[place] = register

    def _place(self, node: ast.expr) -> tuple[int, Any]:
        """What is loaded from or stored to: an attribute of the element, or a list's entry."""
        if isinstance(node, ast.Attribute) and is_named(node.value, self._element):
            if node.attr not in self.attributes:
                self.attributes.append(node.attr)
            kind = ATTRIBUTES.get(node.attr)
            if kind is None:
                raise NotPlain
            return (kind, None)
        if (
            isinstance(node, ast.Subscript)
            and self._counter is not None
            and isinstance(node.value, ast.Name)
            and is_named(node.slice, self._counter)
            and node.value.id not in self._assigned
        ):
            name = node.value.id
            if name not in self.lists:
                self.lists.append(name)
            return (LOAD_LIST, name)
        raise NotPlain

    def _expression(self, node: ast.expr) -> int:
        key = ast.dump(node)
        if key in self.given:
            return list(self.given).index(key)
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            left, right = self._expression(node.left), self._expression(node.right)
            return self._step(ARITHMETIC[type(node.op)], left, right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._step(NEG, self._expression(node.operand), 0)
        if isinstance(node, ast.Name) and node.id in self._names:
            return self._names[node.id]
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            place = self._place(node)
            if place not in self._places:
                register = self._places[place] = self._new_register()
                number = self.lists.index(place[1]) if place[0] == LOAD_LIST else 0
                self._loads.append((place[0], register, number, 0))
            return self._places[place]
        raise NotPlain

    def _step(self, kind: int, a: int, b: int) -> int:
        register = self._new_register()
        self._steps.append((kind, register, a, b))
        return register

    def _new_register(self) -> int:
        self._n_registers += 1
        return self._n_registers - 1


# What the attributes are called; that they are the engine's own is looked at when the loop runs.
ATTRIBUTES = {"data": LOAD_DATA, "value": LOAD_DATA, "grad": LOAD_GRAD, "gradient": LOAD_GRAD}


def maximal_constants(node: ast.AST, varies: Callable[[ast.AST], bool]) -> Iterator[ast.expr]:
    """The largest expressions under a statement that do not vary."""
    if isinstance(node, (ast.Assign, ast.AugAssign)):
        yield from maximal_constants(node.value, varies)
    elif isinstance(node, ast.expr):
        if not varies(node):
            yield node
        elif isinstance(node, (ast.BinOp, ast.UnaryOp)):
            for child in ast.iter_child_nodes(node):
                yield from maximal_constants(child, varies)


def as_read(target: ast.expr) -> ast.expr:
    """An assignment's target as an expression."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    raise NotPlain


def is_named(node: ast.AST, name: str) -> bool:
    """Whether it is this name."""
    return isinstance(node, ast.Name) and node.id == name


_loops: dict[Any, ElementLoop] = {}


def loop_as_written(spec: Any, counting: Any, elements: Any, later: Any) -> Any:
    """Do the first elements of a loop; give an iterator over the others."""
    is_plain = (
        type(elements) in (list, tuple)
        and len(elements) > MIN_ELEMENTS
        and (counting is None or counting is builtins.enumerate)
        and isinstance(elements[0], Value)
    )
    n_done = 0
    if is_plain:
        n_given, instructions, attributes, floats = spec
        if all(
            float_attributes(type(elements[0])).get(name) == ATTRIBUTES[name]
            for name in attributes
        ):
            try:
                lists, given = later()
            except Exception:  # the body raises it, in its place
                return iter(elements) if counting is None else counting(elements)
            loop = _loops.get(spec)
            if loop is None:
                loop = _loops[spec] = ElementLoop(n_given, instructions)
            if not all(type(given[place]) is float for place in floats):
                return iter(elements) if counting is None else counting(elements)
            # The last two are left, so that names have the values of the last one, and of the one
            # before where that fails.
            n_done = loop.run(elements, lists, given, len(elements) - 2)
    if counting is None:
        return itertools.islice(elements, n_done, None) if n_done else iter(elements)
    return itertools.islice(counting(elements), n_done, None) if n_done else counting(elements)
