"""Nests of numbers: taken apart into a row for a program, and put together again.

A *structure* says what a nest looks like without its numbers. It can be compared and hashed, so
that it tells which program fits. Numbers and arrays of floats are its *leaves*; everything else
that is no container is *static*: part of the structure, by value.

This is ours, and no library of trees, because a nest may not mean something else where a library
happens to be installed, because arrays are leaves with a shape, and because what is static takes
part in the comparison.
"""

from __future__ import annotations

import functools
import operator
import sys
import types

from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from typing import Any, TypeAlias

    Leaf: TypeAlias = Callable[[tuple[int, ...] | None], Any]
    Structure: TypeAlias = "Number | Array | Places | Static | Container"
    Arguments: TypeAlias = tuple[tuple[str, Structure], ...]


class HoldsValues(Exception):
    """A nest holds Values, so it is part of a graph that is there already."""


class Number:
    """The structure of a number: a leaf of no shape."""

    __slots__ = ()
    shape: tuple[int, ...] | None = None
    n_numbers = 1


class Array:
    """The structure of an array of numbers."""

    __slots__ = ("n_numbers", "shape")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.n_numbers = 1
        for length in shape:
            self.n_numbers *= length

    def __eq__(self, other: object) -> bool:
        return type(other) is Array and self.shape == other.shape

    def __hash__(self) -> int:
        return hash(self.shape)


class Places:
    """The structure of an index or of an array of some: traced, without derivatives."""

    __slots__ = ("n_numbers", "shape")

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        self.shape = shape
        self.n_numbers = Array(shape or ()).n_numbers

    def __eq__(self, other: object) -> bool:
        return type(other) is Places and self.shape == other.shape

    def __hash__(self) -> int:
        return hash((Places, self.shape))


class Static:
    """Something that is no number to differentiate by; equal to another by type and value."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any, key: Hashable) -> None:
        self.value = value
        self.key = key

    def __eq__(self, other: object) -> bool:
        return type(other) is Static and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class Container:
    """Structures in a list, tuple, dict, named tuple or instance of a dataclass."""

    __slots__ = ("items", "kind", "names")

    def __init__(
        self, kind: type, names: tuple[Any, ...] | None, items: tuple[Structure, ...]
    ) -> None:
        self.kind = kind
        self.names = names
        self.items = items

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is Container
            and self.kind is other.kind
            and self.names == other.names
            and self.items == other.items
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.names, self.items))

    def entries(self) -> Iterator[tuple[str, Structure]]:
        """Go through the items, each with the text that finds it behind the container's name."""
        if self.names is None:
            texts = [f"[{i}]" for i in range(len(self.items))]
        elif issubclass(self.kind, dict):
            texts = [f"[{name!r}]" for name in self.names]
        else:
            texts = [f".{name}" for name in self.names]
        return zip(texts, self.items, strict=True)

    def containing(self, items: list[Any]) -> Any:
        """Make a container of this kind with other items."""
        kind = self.kind
        if self.names is None:
            return kind._make(items) if hasattr(kind, "_make") else kind(items)
        if issubclass(kind, dict):
            return kind(zip(self.names, items, strict=True))
        made = object.__new__(kind)
        for name, item in zip(self.names, items, strict=True):
            object.__setattr__(made, name, item)
        return made


# Of a type's flags, the one that classes made by Python have.
_HEAP_TYPE = 1 << 9

NUMBER = Number()
_SOMETHING = Static(None, None)


def take_apart(nest: Any, numbers: list[float], name: str) -> Structure:
    """Append the numbers of a nest to a list; return its structure.

    Parameters
    ----------
    nest : object
        Floats and whatever else has ``__float__``, float arrays, and lists, tuples, named tuples,
        dicts and dataclasses of them; everything else is static.
    numbers : list of float
        What the numbers are appended to, from left to right.
    name : str
        What messages call the nest.

    Raises
    ------
    HoldsValues
        If there is a Value in it.
    TypeError
        If something in it is neither a number nor hashable.
    """
    kind = type(nest)
    if kind is float:
        numbers.append(nest)
        return NUMBER
    if kind is int or kind is str or kind is bool or nest is None:
        return Static(nest, (kind, nest))
    if kind is list or kind is tuple:
        return Container(kind, None, tuple([take_apart(item, numbers, name) for item in nest]))
    if isinstance(nest, Value):
        raise HoldsValues
    if isinstance(nest, dict):
        items = tuple([take_apart(item, numbers, name) for item in nest.values()])
        # Other kinds of dict want more than their entries to be made.
        ordered = kind.__module__ == "collections" and kind.__name__ == "OrderedDict"
        return Container(kind if ordered else dict, tuple(nest), items)
    if isinstance(nest, tuple) and hasattr(kind, "_make"):
        return Container(kind, None, tuple([take_apart(item, numbers, name) for item in nest]))
    if isinstance(nest, (list, tuple)):
        base = list if isinstance(nest, list) else tuple
        return Container(base, None, tuple([take_apart(item, numbers, name) for item in nest]))
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        names = tuple([field for field in fields if hasattr(nest, field)])
        items = tuple([take_apart(getattr(nest, field), numbers, name) for field in names])
        return Container(kind, names, items)
    return _unusual(nest, numbers, name)


def _unusual(nest: Any, numbers: list[float], name: str) -> Structure:
    """Take apart what is neither a container nor a plain number."""
    kind = type(nest)
    enum = sys.modules.get("enum")
    if isinstance(nest, (int, str, bytes)) or (enum and isinstance(nest, enum.Enum)):
        return Static(nest, static_key(nest, name))
    if hasattr(nest, "shape") and (hasattr(nest, "__array__") or hasattr(nest, "tolist")):
        return _array(nest, numbers, name)
    if hasattr(nest, "typecode") and hasattr(nest, "tolist"):  # the standard library's array
        return _array(nest, numbers, name)
    if hasattr(kind, "__float__"):
        numbers.append(float(nest))
        return NUMBER
    if hasattr(kind, "__next__"):
        raise TypeError(
            f"{name} must be a number or a nest of some, found {kind.__name__}: make a list of it"
        )
    return Static(nest, static_key(nest, name))


def _array(nest: Any, numbers: list[float], name: str) -> Structure:
    import numpy

    array = numpy.asarray(nest)
    if array.dtype.kind == "O":
        if any(isinstance(entry, Value) for entry in array.flat):
            raise HoldsValues
        array = array.astype(numpy.float64)
    if array.dtype.kind in "iub":
        if array.ndim == 0:
            return Static(array[()], (array.dtype.str, array.item()))
        # What is whole is for counting and choosing. A copy, which nobody can write to.
        array = array.copy()
        array.flags.writeable = False
        return Static(array, (array.dtype.str, array.shape, array.tobytes()))
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must be an array of real numbers, found one of {array.dtype}")
    if array.ndim == 0:
        numbers.append(float(array))
        return NUMBER
    numbers.extend(array.ravel().tolist())
    return Array(array.shape)


def take_indices_apart(nest: Any, numbers: list[float], name: str) -> Structure:
    """Append the indices of a nest to a list of numbers; return its structure.

    Parameters
    ----------
    nest : object
        Ints, arrays of ints, None, and lists and tuples of them.
    numbers, name
        As for `take_apart`.

    Raises
    ------
    HoldsValues
        If there is a Value in it.
    TypeError
        If there is something else in it.
    """
    kind = type(nest)
    if nest is None:
        return Static(None, (kind, None))
    if isinstance(nest, Value):
        raise HoldsValues
    if isinstance(nest, (list, tuple)):
        items = tuple([take_indices_apart(item, numbers, name) for item in nest])
        if not hasattr(kind, "_make"):
            kind = list if isinstance(nest, list) else tuple
        return Container(kind, None, items)
    if getattr(nest, "ndim", 0) > 0:
        import numpy

        array = numpy.asarray(nest)
        if any(isinstance(entry, Value) for entry in array.flat if array.dtype.kind == "O"):
            raise HoldsValues
        if array.dtype.kind in "iu":
            numbers.extend(array.ravel().astype(float).tolist())
            return Places(array.shape)
        raise TypeError(f"{name} must be an array of ints, found one of {array.dtype}")
    if isinstance(nest, bool) or not hasattr(nest, "__index__"):
        raise TypeError(
            f"{name} must be an int, as it is named in indices=, found {kind.__name__}"
        )
    numbers.append(float(operator.index(nest)))
    return Places(None)


def static_key(value: Any, name: str, may_change: bool = False) -> Hashable:
    """Return what makes a static argument the same as another: 1, 1.0 and True are three.

    An object that `may_change` is the same as itself, whatever its attributes are.

    Raises
    ------
    TypeError
        If the argument, or something in it, cannot be hashed, or is an object with attributes that
        is only equal to itself: it could change unnoticed.
    """
    kind = type(value)
    if kind is float:
        return kind, value.hex()
    if kind is tuple:
        return kind, tuple([static_key(item, name) for item in value])
    if kind is frozenset:
        return kind, frozenset([static_key(item, name) for item in value])
    if kind is slice:
        return kind, static_key((value.start, value.stop, value.step), name)
    if isinstance(value, functools.partial):
        parts = (value.func, value.args, *value.keywords.items())
        return kind, static_key(parts, name)
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{name} must be hashable to be static, as a tuple, a str or a number is; found"
            f" {kind.__name__}"
        ) from None
    if not may_change and _changes_unnoticed(value):
        raise TypeError(
            f"{name} must be immutable to be static, as a tuple, an enum or a frozen dataclass is,"
            f" or define __eq__ and __hash__; found an object of {kind.__name__}, which may change"
        )
    return kind, value


def _changes_unnoticed(value: Any) -> bool:
    """Whether an object is the same for its hash whatever its attributes are.

    Functions, classes, ufuncs, modules and whatever else has a name are what they are called; the
    numbers of a model are Values, which a program reads anew. A method is its object.
    """
    if isinstance(value, types.MethodType):
        return _changes_unnoticed(value.__self__)
    kind = type(value)
    hashes: Any = kind.__hash__
    if hashes is not object.__hash__ or callable(getattr(value, "parameters", None)):
        return False
    named = hasattr(value, "__name__") and (callable(value) or kind is types.ModuleType)
    if named or value is None or value is Ellipsis:
        return False
    if getattr(value, "__dict__", None) or any(getattr(k, "__slots__", ()) for k in kind.__mro__):
        return True
    # What is not of Python's classes may have a state that nobody sees, as random generators do.
    return not callable(value) and any(not k.__flags__ & _HEAP_TYPE for k in kind.__mro__[:-1])


def leaves_of(structure: Structure) -> Iterator[Number | Array | Places]:
    """Go through the leaves of a structure, from left to right."""
    pending = [structure]
    while pending:
        part = pending.pop()
        if isinstance(part, Container):
            pending.extend(reversed(part.items))
        elif not isinstance(part, Static):
            yield part


def is_differentiable(structure: Structure) -> bool:
    """Whether a structure has leaves that are no indices."""
    return any(not isinstance(leaf, Places) for leaf in leaves_of(structure))


def n_numbers_of(structure: Structure) -> int:
    """Count the numbers of a structure."""
    total = 0
    for leaf in leaves_of(structure):
        total += leaf.n_numbers
    return total


def put_together(structure: Structure, leaf: Leaf, keep_static: bool = True) -> Any:
    """Make a nest of a structure.

    Parameters
    ----------
    structure : Structure
    leaf : callable
        Called with the shape of each leaf in turn, None for a number; gives what takes its place.
    keep_static : bool, optional
        Whether static parts come back as they are, or as None; and what `leaf` gives for indices.
    """
    if isinstance(structure, Container):
        return structure.containing(
            [put_together(item, leaf, keep_static) for item in structure.items]
        )
    if isinstance(structure, Static):
        return structure.value if keep_static else None
    part = leaf(structure.shape)
    return part if keep_static or not isinstance(structure, Places) else None


def of_values(values: list[Value]) -> Leaf:
    """Make a `leaf` for `put_together` that hands out Values, and object arrays of them."""
    n_taken = 0

    def leaf(shape: tuple[int, ...] | None) -> Any:
        nonlocal n_taken
        first = n_taken
        if shape is None:
            n_taken += 1
            return values[first]
        import numpy

        array = numpy.empty(shape, dtype=object)
        n_taken += array.size
        array.reshape(-1)[:] = values[first:n_taken]
        return array

    return leaf


def cut(numbers: Any, first: int = 0, axis: int = 0) -> Leaf:
    """Make a `leaf` for `put_together` that cuts an array into the leaves' shapes.

    Parameters
    ----------
    numbers : numpy.ndarray
    first : int, optional
        Where the first leaf begins.
    axis : {0, -1}, optional
        The axis that is cut; the others stay, behind the leaf's own or before them.
    """

    def leaf(shape: tuple[int, ...] | None) -> Any:
        nonlocal first
        start = first
        axes = () if shape is None else shape
        first += Array(axes).n_numbers
        if axis == 0:
            part = numbers[start:first].reshape((*axes, *numbers.shape[1:]))
        else:
            part = numbers[..., start:first].reshape((*numbers.shape[:-1], *axes))
        return float(part) if part.ndim == 0 else part

    return leaf


def without_statics(arguments: Arguments) -> Arguments:
    """Make the structures of arguments the same where only something static differs."""

    def bare(structure: Structure) -> Structure:
        if isinstance(structure, Static):
            return _SOMETHING
        if isinstance(structure, Container):
            items = tuple([bare(item) for item in structure.items])
            return Container(structure.kind, structure.names, items)
        return structure

    return tuple([(name, bare(structure)) for name, structure in arguments])


def split_batch(
    arguments: Arguments, numbers: list[float], function_name: str
) -> tuple[int, Arguments, list[Any]]:
    """Take the leading axis off the arrays of arguments.

    Returns its length, the structures without it, and for each number an array along it.
    """
    import numpy

    lengths: dict[int, str] = {}
    columns: list[tuple[Any, bool]] = []
    position = 0

    def split(structure: Structure, name: str) -> Structure:
        nonlocal position
        if isinstance(structure, Static):
            return structure
        if isinstance(structure, Container):
            items = tuple([split(item, name) for item in structure.items])
            return Container(structure.kind, structure.names, items)
        first, position = position, position + structure.n_numbers
        part = numpy.array(numbers[first:position])
        if structure.shape is None:
            columns.append((part, True))
            return structure
        lengths.setdefault(structure.shape[0], name)
        inner = structure.shape[1:]
        part = part.reshape(structure.shape[0], Array(inner).n_numbers)
        columns.extend((part[:, i], False) for i in range(part.shape[1]))
        if isinstance(structure, Places):
            return Places(inner or None)
        return Array(inner) if inner else NUMBER

    of_one = tuple([(name, split(structure, name)) for name, structure in arguments])
    if not lengths:
        raise ValueError(
            f"an argument of {function_name}.batch must have a leading axis, found none that has"
        )
    if len(lengths) > 1:
        found = ", ".join(f"{length} in {name}" for length, name in lengths.items())
        raise ValueError(
            f"the leading axes of {function_name}'s arguments must agree, found {found}"
        )
    (length,) = lengths
    if length == 0:
        raise ValueError(
            f"the leading axis must have at least one entry, found none in {lengths[length]}"
        )
    spread = [
        numpy.broadcast_to(column, (length,)) if is_same else column for column, is_same in columns
    ]
    return length, of_one, spread
