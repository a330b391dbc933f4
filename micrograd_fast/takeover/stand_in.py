"""Stand-ins: a twin of Value with the names and the further methods of a program's own class."""

from __future__ import annotations

import contextlib
import io
import math
import operator
import random
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .. import _core
from ..engine import Value
from . import trial
from .shape import (
    BACKWARD,
    CHILDREN,
    DATA,
    GRAD,
    LABEL,
    LOCAL_GRADS,
    OP,
    NotServed,
    Shape,
    attributes_of,
    describe,
    shape_of,
)

# What a class may not have: it would see more of a Value than a Value has.
UNSERVED_METHODS = (
    "__new__",
    "__del__",
    "__getattr__",
    "__getattribute__",
    "__setattr__",
    "__delattr__",
    "__init_subclass__",
    "__class_getitem__",
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__copy__",
    "__deepcopy__",
)
# Parts of a class that are not its methods.
FURNITURE = frozenset(
    {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__slots__",
        "__annotations__",
        "__init__",
        "__firstlineno__",
        "__static_attributes__",
        "__match_args__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__replace__",
    }
)
ATTRIBUTE_OF = {
    DATA: Value.data,
    GRAD: Value.grad,
    OP: Value._op,
    LABEL: Value.label,
    LOCAL_GRADS: Value._local_grads,
    BACKWARD: Value._backward,
}
# As long as the operands are in order, gradients are compared to the bit; an own order of a set
# differs from run to run.
SET_TOLERANCE = 1e-9


@dataclass
class StandIn:
    """A stand-in and what became of the methods of the class.

    Attributes
    ----------
    cls : type
        The stand-in.
    keeps_ints : bool
        Whether the class keeps an int where the stand-in has a float.
    by_engine, by_python : list of str
        The methods that are the engine's, and those that are the program's own.
    """

    cls: type
    keeps_ints: bool = False
    by_engine: list[str] = field(default_factory=list)
    by_python: list[str] = field(default_factory=list)


def looks_like_micrograd(cls: type) -> bool:
    """Whether a class is worth a trial: it has `backward`, and adds and multiplies."""
    return all(callable(cls.__dict__.get(name)) for name in ("backward", "__add__", "__mul__"))


def stand_in_for(cls: type, namespace: dict[str, Any]) -> StandIn:
    """Make the stand-in of a class that has just been defined.

    The class is tried, and the stand-in beside it: the same values, gradients, errors and texts,
    to the bit.

    Parameters
    ----------
    cls : type
        With `looks_like_micrograd`.
    namespace : dict
        Of the module, in which the class is found under its name while it is tried.

    Raises
    ------
    NotServed
        If a Value cannot be what an instance of the class is.
    """
    refuse_what_sees_more(cls)
    with nothing_else_changed(cls, namespace):
        with named(cls, cls.__name__, namespace):
            shape = shape_of(cls)
            if cls.__dict__.get("__match_args__") and "__dataclass_fields__" not in cls.__dict__:
                raise NotServed("it has __match_args__")
        return compared(cls, shape, namespace)


def refuse_what_sees_more(cls: type) -> None:
    """Raise NotServed for a class that is more than its methods."""
    if cls.__bases__ != (object,):
        raise NotServed(f"it derives from {', '.join(base.__name__ for base in cls.__bases__)}")
    if type(cls) is not type:
        raise NotServed(f"it has the metaclass {type(cls).__name__}")
    for name in UNSERVED_METHODS:
        if name in cls.__dict__ and "__dataclass_fields__" not in cls.__dict__:
            raise NotServed(f"it defines {name}")


@contextlib.contextmanager
def named(cls: type, name: str, namespace: dict[str, Any]) -> Iterator[None]:
    """Let a name of a module mean a class."""
    missing = object()
    before = namespace.get(name, missing)
    namespace[name] = cls
    try:
        yield
    finally:
        if before is missing:
            namespace.pop(name, None)
        else:
            namespace[name] = before


@contextlib.contextmanager
def nothing_else_changed(cls: type, namespace: dict[str, Any]) -> Iterator[None]:
    """Leave random numbers as they were, and refuse classes whose Values write somewhere else."""
    numpy_random = getattr(sys.modules.get("numpy"), "random", None)
    state = random.getstate(), numpy_random.get_state() if numpy_random else None
    holders = (namespace, dict(cls.__dict__))
    kept = [(name, entry, contents(entry)) for holder in holders for name, entry in holder.items()]
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield
        if output.getvalue():
            raise NotServed("its Values print something while they are computed")
        for name, entry in holders[1].items():
            if cls.__dict__.get(name) is not entry:
                raise NotServed(f"its Values change {name!r} of the class")
        for name, entry, before in kept:
            if before is not None and contents(entry) != before:
                raise NotServed(f"its Values write to {name!r}")
        if random.getstate() != state[0]:
            raise NotServed("its Values draw random numbers")
    finally:
        random.setstate(state[0])
        if numpy_random:
            numpy_random.set_state(state[1])
        for name, entry in holders[1].items():
            if name not in FURNITURE and cls.__dict__.get(name) is not entry:
                setattr(cls, name, entry)
        for _, entry, before in kept:
            if before is not None and contents(entry) != before:
                put_back(entry, before)


def contents(entry: object) -> Any:
    """What a plain container holds, as a copy that can be compared by identity; else None."""
    if type(entry) is dict and entry.get("__name__") is None:
        return [(id(key), id(value)) for key, value in entry.items()], dict(entry)
    if type(entry) in (list, set):
        items = list(entry)  # type: ignore[call-overload]
        return [id(item) for item in items], items
    return None


def put_back(entry: Any, before: Any) -> None:
    """Let a container hold what it held."""
    entry.clear()
    if isinstance(entry, list):
        entry.extend(before[1])
    else:
        entry.update(before[1])


def compared(cls: type, shape: Shape, namespace: dict[str, Any]) -> StandIn:
    """Decide for every method whether it is the engine's, and compare the whole."""
    name = cls.__name__
    attributes = parts_of(cls, shape)
    own = {
        key: entry
        for key, entry in cls.__dict__.items()
        # Slots and defaults of fields are no methods; what they hold is in the Value.
        if key not in FURNITURE
        and key not in shape.attributes
        and key not in shape.constants
        and not isinstance(entry, types.MemberDescriptorType)
    }
    theirs = trial.Face(cls, shape)
    bare = trial.Face(_core.make_twin(name, attributes), shape)
    result = StandIn(bare.cls, shape.keeps_ints)
    names: dict[str, str] = {}
    for key, entry in own.items():
        engines = None
        if isinstance(entry, types.FunctionType):
            with named(cls, name, namespace):
                engines = engine_method(key, theirs, bare, names)
        if engines is not None:
            result.by_engine.append(key)
            if engines != key:
                attributes[key] = getattr(Value, engines)
        elif key not in ("backward", *trial.COMPARISONS) or key in own:
            attributes[key] = entry
            result.by_python.append(key)
    for key in ("backward", "__add__", "__mul__"):
        if key in result.by_python:
            raise NotServed(f"its {key} gives other numbers")
    if names:
        for attribute in shape.names_of(OP):
            attributes[attribute] = renamed(names)
    result.cls = _core.make_twin(name, attributes)
    check_together(cls, result, shape, namespace)
    return result


def parts_of(cls: type, shape: Shape) -> dict[str, Any]:
    """The parts of a Value under the names that the class has for them, and its constructor."""
    attributes: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    for name, meaning in shape.attributes.items():
        if meaning == CHILDREN:
            attributes[name] = children_as(shape.collections[name])
        elif name != {LOCAL_GRADS: "_local_grads", BACKWARD: "_backward", OP: "_op"}.get(
            meaning, meaning
        ):
            attributes[name] = ATTRIBUTE_OF[meaning]
    for name, entry in shape.constants.items():
        if (name, entry) != ("label", ""):
            attributes[name] = entry
    if "__repr__" not in cls.__dict__:
        attributes["__repr__"] = object.__repr__
    constructor = constructor_of(shape)
    if constructor is not None:
        attributes["__init__"] = constructor
    return attributes


def children_as(kind: type) -> Any:
    """An attribute that shows the operands in a collection of some type."""
    if kind is tuple:
        return Value._children
    if kind is set:
        return Value._prev
    children: Any = Value._children
    return property(lambda self: kind(children.__get__(self)))


NATIVE = (
    [DATA, CHILDREN, OP, LABEL],
    [DATA, CHILDREN, LOCAL_GRADS, LABEL],
    [DATA, LABEL, CHILDREN, OP],
)
KEYWORDS = {
    "data": DATA,
    "_children": CHILDREN,
    "children": CHILDREN,
    "_prev": CHILDREN,
    "prev": CHILDREN,
    "parents": CHILDREN,
    "_op": OP,
    "op": OP,
    "local_grads": LOCAL_GRADS,
    "label": LABEL,
    "name": LABEL,
}


def constructor_of(shape: Shape) -> Callable[..., None] | None:
    """A constructor with the arguments of the class; None where Value's own takes them."""
    meanings = list(shape.parameters.values())
    plain = all(
        parameter.kind is parameter.POSITIONAL_OR_KEYWORD and KEYWORDS.get(name) == meaning
        for (name, meaning), parameter in zip(
            shape.parameters.items(), shape.signature.parameters.values(), strict=True
        )
    )
    # A label given as None, or operands as None, are not what Value's own defaults are.
    usual = all(
        parameter.default in (parameter.empty, "", ())
        for parameter in shape.signature.parameters.values()
    )
    if plain and usual and any(meanings == form[: len(meanings)] for form in NATIVE):
        return None
    return written_out(shape)


def written_out(shape: Shape) -> Callable[..., None]:
    """A constructor that hands its arguments on to Value's by what they mean."""
    names: dict[str, Any] = {"initialise": Value.__init__}
    arguments, last = [], None
    for place, (name, parameter) in enumerate(shape.signature.parameters.items()):
        if parameter.kind is parameter.KEYWORD_ONLY and last not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            arguments.append("*")
        last = parameter.kind
        text = f"*{name}" if parameter.kind is parameter.VAR_POSITIONAL else name
        if parameter.default is not parameter.empty:
            names[f"default_{place}"] = parameter.default
            text += f"=default_{place}"
        arguments.append(text)
    by_meaning = {meaning: name for name, meaning in shape.parameters.items()}
    call = [by_meaning[DATA], f"_children={by_meaning[CHILDREN]} or ()"]
    lines = []
    if OP in by_meaning:
        # What every leaf is called is not written on each.
        names["of_a_leaf"] = shape.signature.parameters[by_meaning[OP]].default
        op = by_meaning[OP]
        call.append(f"_op='' if {op} is None or {op} == of_a_leaf else {op}")
    if LABEL in by_meaning:
        call.append(f"label={by_meaning[LABEL]}")
    if LOCAL_GRADS in by_meaning:
        name = by_meaning[LOCAL_GRADS]
        lines.append(f"    if {name}:")
        lines.append(f"        initialise(self, {', '.join([*call, f'local_grads={name}'])})")
        lines.append("    else:")
        lines.append(f"        initialise(self, {', '.join(call)})")
    else:
        lines.append(f"    initialise(self, {', '.join(call)})")
    for meaning, name in by_meaning.items():
        if meaning == GRAD:
            lines.append(f"    self.grad = {name}")
        elif meaning.startswith("attribute "):
            lines.append(f"    self.{meaning.removeprefix('attribute ')} = {name}")
    source = "\n".join([f"def __init__(self, {', '.join(arguments)}):", *lines])
    exec(source, names)
    made: Callable[..., None] = names["__init__"]
    return made


# Methods of one Value, by the number of their immediates none.
UNARY_METHODS = tuple(
    row.name
    for row in _core.OPERATIONS
    if row.arity == 1 and not row.immediates and row.label.isidentifier()
)


def engine_method(
    key: str, theirs: trial.Face, bare: trial.Face, names: dict[str, str]
) -> str | None:
    """The name of the method of Value that computes the same, or None."""
    if key in trial.BINARY:
        for outcomes in (trial.two_outcomes, trial.number_outcomes):
            if not trial.computes_alike(outcomes(theirs, key), outcomes(bare, key), names):
                return None
        return key
    if key in trial.UNARY:
        function = trial.UNARY[key]
        wanted, found = (trial.unary_outcomes(face, function) for face in (theirs, bare))
        return key if trial.computes_alike(wanted, found, names) else None
    if key == "backward":
        return "backward" if takes_nothing(theirs.cls, key) else None
    if key in ("__repr__", "__str__"):
        return None if key in bare.cls.__dict__ else shown_alike(key, theirs, bare)
    if key.startswith("__") or not takes_nothing(theirs.cls, key):
        return None
    wanted = trial.unary_outcomes(theirs, lambda v: getattr(v, key)())
    if all(found[0] != "gives" for found in wanted):
        return None
    for name in sorted(UNARY_METHODS, key=lambda name: name != key.lower()):
        found = trial.unary_outcomes(bare, operator.methodcaller(name))
        if trial.computes_alike(wanted, found, names):
            return name
    return None


def renamed(names: dict[str, str]) -> Any:
    """An attribute that shows the engine's names of operations as the class has them."""
    powers = {theirs for ours, theirs in names.items() if ours.startswith("**")}
    power = powers.pop() if len(powers) == 1 else None
    own: Any = Value._op
    get, assign = own.__get__, own.__set__

    def op(self: Value) -> str:
        ours: str = get(self)
        if power is not None and ours.startswith("**"):
            return power
        return names.get(ours, ours)

    return property(op, lambda self, text: assign(self, text))


def shown_alike(key: str, theirs: trial.Face, bare: trial.Face) -> str | None:
    """The method's own name if it gives the text that Value's does."""
    return key if trial.texts(theirs) == trial.texts(bare) else None


def takes_nothing(cls: type, key: str) -> bool:
    """Whether a method has no argument but ``self``."""
    function = cls.__dict__[key]
    code = function.__code__
    return (
        code.co_argcount == 1
        and not code.co_kwonlyargcount
        and not code.co_flags & (0x04 | 0x08)  # *args, **kwargs
    )


def check_together(cls: type, stand_in: StandIn, shape: Shape, namespace: dict[str, Any]) -> None:
    """Compare graphs of all operators, and texts; raise NotServed."""
    name = cls.__name__
    operators = [
        key for key in (*trial.BINARY, *trial.UNARY) if key in cls.__dict__ and key != "__pow__"
    ]
    operators = [key for key in operators if key != "__rpow__"]
    with named(cls, name, namespace):
        face = trial.Face(cls, shape)
        wanted = list(trial.graph_outcomes(face, operators)), trial.texts(face)
    with named(stand_in.cls, name, namespace):
        face = trial.Face(stand_in.cls, shape)
        try:
            found = list(trial.graph_outcomes(face, operators)), trial.texts(face)
        except Exception as error:
            raise NotServed(f"its methods need more than a Value has: {describe(error)}") from None
        for a, b in zip(wanted[0], found[0], strict=True):
            if not all(agree(x, y, shape.keeps_order) for x, y in zip(a, b, strict=True)):
                raise NotServed("its backward gives other gradients, or goes another way")
        if wanted[1] != found[1]:
            raise NotServed("its Values are shown otherwise")


def agree(a: Any, b: Any, to_the_bit: bool) -> bool:
    """Whether two gradients are the same."""
    if to_the_bit:
        return bool(trial.bits(a) == trial.bits(b))
    return math.isclose(a, b, rel_tol=SET_TOLERANCE, abs_tol=SET_TOLERANCE)


__all__ = ["NotServed", "StandIn", "attributes_of", "looks_like_micrograd", "stand_in_for"]
