"""What a class like micrograd's calls its parts: found by making a few Values and looking."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

DATA, GRAD, CHILDREN, OP, LABEL, LOCAL_GRADS, BACKWARD = (
    "data",
    "grad",
    "children",
    "op",
    "label",
    "local_grads",
    "backward",
)


class NotServed(Exception):
    """The class has to stay as it is; the text says why."""


@dataclass
class Shape:
    """The names of a class's parts.

    Attributes
    ----------
    attributes : dict
        From the name of each attribute to what it means, one of the constants above.
    collections : dict
        From the name of each attribute that holds the operands to the type that holds them.
    constants : dict
        Attributes that every new Value has alike, with what they hold.
    parameters : dict
        From the name of each argument of the constructor, in order, to what it means.
    signature : inspect.Signature
        Of the constructor, without ``self``.
    keeps_ints : bool
        Whether the data of ``Value(2)`` is an int there.
    """

    attributes: dict[str, str]
    collections: dict[str, type]
    constants: dict[str, Any]
    parameters: dict[str, str]
    signature: inspect.Signature = field(repr=False)
    keeps_ints: bool = False

    def names_of(self, meaning: str) -> list[str]:
        """The attributes that mean something."""
        return [name for name, found in self.attributes.items() if found == meaning]

    @property
    def keeps_order(self) -> bool:
        """Whether the operands are kept in order, so that the order of the sweep is one."""
        return any(kind in (tuple, list) for kind in self.collections.values())


def attributes_of(value: object) -> dict[str, Any]:
    """What an instance holds, in its dict and its slots."""
    found = {}
    for base in reversed(type(value).__mro__):
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    # A dataclass keeps defaults in the class.
    for name in getattr(type(value), "__dataclass_fields__", ()):
        if hasattr(value, name):
            found[name] = getattr(value, name)
    found.update(getattr(value, "__dict__", {}))
    return found


def shape_of(cls: type) -> Shape:
    """Find out what a class calls its parts.

    Raises
    ------
    NotServed
        If it has no such parts, or more than a Value can have.
    """
    try:
        left, right = cls(2.0), cls(3.0)
        product = left * right
        product.backward()
    except Exception as error:
        raise NotServed(f"{describe(error)} where two numbers are multiplied") from None
    leaf, node = attributes_of(left), attributes_of(product)
    fresh = attributes_of(cls(2.0))
    if leaf.keys() != node.keys() or leaf.keys() != fresh.keys():
        raise NotServed("not every Value has the same attributes")
    attributes = {}
    collections = {}
    constants = {}
    for name, entry in node.items():
        if isinstance(entry, (tuple, list, set, frozenset)) and holds(entry, (left, right)):
            attributes[name] = CHILDREN
            collections[name] = type(entry)
        elif is_number(entry) and (entry, fresh[name], right_of(right, name)) == (6.0, 2.0, 3.0):
            attributes[name] = DATA
        elif is_number(entry) and (leaf[name], right_of(right, name), entry) == (3.0, 2.0, 1.0):
            attributes[name] = GRAD
        elif isinstance(entry, (tuple, list)) and list(entry) == [3.0, 2.0]:
            attributes[name] = LOCAL_GRADS
        elif callable(entry) and (entry is not fresh[name] or is_function(entry)):
            attributes[name] = BACKWARD
        elif isinstance(entry, str) and entry != fresh[name]:
            attributes[name] = OP
        elif isinstance(entry, (str, int, float, bool, type(None))) and (
            same(entry, fresh[name]) and same(entry, leaf[name])
        ):
            constants[name] = entry
        else:
            raise NotServed(f"its attribute {name!r} is another for each Value")
    for meaning in (DATA, GRAD, CHILDREN):
        if meaning not in attributes.values():
            raise NotServed(f"no attribute of a product is its {meaning}")
    if list(attributes.values()).count(BACKWARD) > 1:
        raise NotServed("it has several rules of propagation for a node")
    signature = signature_of(cls)
    shape = Shape(attributes, collections, constants, {}, signature)
    whole = attributes_of(cls(2))
    shape.keeps_ints = any(type(whole[name]) is int for name in shape.names_of(DATA))
    for name, parameter in signature.parameters.items():
        shape.parameters[name] = meaning_of(cls, shape, parameter, left, right)
    found = list(shape.parameters.values())
    for meaning in set(found):
        if found.count(meaning) > 1:
            raise NotServed(f"two arguments of its constructor are the {meaning}")
    if DATA not in found or not {CHILDREN, DATA} <= set(found):
        raise NotServed("its constructor takes no operands")
    return shape


def signature_of(cls: type) -> inspect.Signature:
    """The signature of the constructor."""
    try:
        return inspect.signature(cls)
    except (TypeError, ValueError):
        raise NotServed("its constructor has no signature") from None


def meaning_of(
    cls: type, shape: Shape, parameter: inspect.Parameter, left: Any, right: Any
) -> str:
    """What an argument of the constructor does to a new Value."""
    name = parameter.name
    if parameter.kind is parameter.VAR_KEYWORD:
        raise NotServed(f"its constructor takes **{name}")
    trials: dict[str, Any] = {
        DATA: 5.0,
        CHILDREN: (left, right),
        OP: "op of a trial",
        LOCAL_GRADS: (3.0, 2.0),
    }
    before = attributes_of(cls(2.0))
    for meaning, argument in trials.items():
        given = {} if meaning == DATA else {first_of(shape): 2.0}
        if meaning == LOCAL_GRADS:
            given.update(children_argument(shape, (left, right)))
        given[name] = argument
        try:
            made = cls(*bound(shape.signature, given).args, **bound(shape.signature, given).kwargs)
        except Exception:
            continue
        changed = {
            key: entry
            for key, entry in attributes_of(made).items()
            if not same(entry, before.get(key))
            and not (key in shape.collections and meaning == LOCAL_GRADS)
            and shape.attributes.get(key) != BACKWARD
        }
        if meaning == OP and len(changed) == 1:
            (key,) = changed
            if shape.attributes.get(key) == OP:
                return OP
            if changed[key] == argument and key in shape.constants:
                return LABEL if shape.constants[key] == "" else constant_meaning(key)
        found = {shape.attributes.get(key) for key in changed}
        if changed and (found == {meaning} or (meaning, found) == (DATA, {GRAD})):
            return found.pop() or meaning
    raise NotServed(f"what the argument {name!r} of its constructor does is not known")


def constant_meaning(name: str) -> str:
    """The meaning of an argument that only sets an attribute."""
    return f"attribute {name}"


def first_of(shape: Shape) -> str:
    """The name of the argument that is the number."""
    for name, meaning in shape.parameters.items():
        if meaning == DATA:
            return name
    return next(iter(shape.signature.parameters))


def children_argument(shape: Shape, children: tuple[Any, ...]) -> dict[str, Any]:
    """The operands as the argument that has been found to take them."""
    return {name: children for name, found in shape.parameters.items() if found == CHILDREN}


def bound(signature: inspect.Signature, given: dict[str, Any]) -> inspect.BoundArguments:
    """Arguments by name, whatever kind the parameters are."""
    arguments = signature.bind_partial()
    for name, parameter in signature.parameters.items():
        if name in given:
            several = parameter.kind is parameter.VAR_POSITIONAL
            arguments.arguments[name] = tuple(given[name]) if several else given[name]
    return arguments


def holds(collection: Any, values: tuple[Any, ...]) -> bool:
    """Whether a collection has these very objects, and nothing else."""
    return sorted(map(id, collection)) == sorted(map(id, values))


def right_of(value: object, name: str) -> Any:
    """An attribute of the second operand."""
    return attributes_of(value).get(name)


def is_number(entry: object) -> bool:
    """Whether it is an ordinary number."""
    return type(entry) in (int, float)


def is_function(entry: object) -> bool:
    """Whether it is written in Python."""
    return inspect.isfunction(entry)


def same(a: object, b: object) -> bool:
    """Whether two simple objects are of one type and equal; never of others."""
    simple = (str, int, float, bool, type(None), tuple, list, set, frozenset)
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, simple):
        return False
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
