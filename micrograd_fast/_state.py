"""What a model's parameters are called, and how they go into arrays and come back."""

from __future__ import annotations

from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    import numpy as np
    import numpy.typing as npt


class Named:
    """Values that go into one array."""

    __slots__ = ("name", "shape", "values")

    def __init__(self, name: str, shape: tuple[int, ...], values: list[Value]) -> None:
        self.name = name
        self.shape = shape
        self.values = values

    def below(self, prefix: str) -> Named:
        """The same with a name in front."""
        return Named(f"{prefix}.{self.name}", self.shape, self.values)

    def items(self) -> Iterator[tuple[str, Value]]:
        """Each Value with a name of its own, as in ``weight[3, 1]``."""
        for number, value in enumerate(self.values):
            index = []
            for length in reversed(self.shape):
                number, place = divmod(number, length)
                index.append(place)
            where = f"[{', '.join(map(str, reversed(index)))}]" if index else ""
            yield self.name + where, value


def named_arrays(module: Any) -> list[Named]:
    """Find the parameters of a module among its attributes.

    Returns
    -------
    list of Named
        In the order of the attributes. Values that are no parameters are left out.

    Raises
    ------
    TypeError
        If a parameter is not among the attributes, or an attribute holds parameters and other
        Values.
    """
    wanted = {id(p) for p in module.parameters()}
    found = []
    for named in _arrays_of(module):
        n_wanted = sum([id(value) in wanted for value in named.values])
        if n_wanted == 0:
            continue
        if n_wanted < len(named.values):
            raise TypeError(f"{named.name} must be parameters all, found {n_wanted} that are some")
        found.append(named)
    missing = wanted - {id(value) for named in found for value in named.values}
    if missing:
        raise TypeError(
            f"every parameter of {type(module).__name__} must be in one of its attributes, found"
            f" {len(missing)} that are in none"
        )
    return found


def _arrays_of(module: Any, above: tuple[Any, ...] = ()) -> list[Named]:
    """The arrays of a module that is in those `above` it; none if it is one of them."""
    if any(module is other for other in above):
        return []
    rows = getattr(module, "_weight_rows", None)
    found: list[Named] | None = rows() if rows else None
    if found is None:
        found = []
        for name, entry in vars(module).items():
            found += _arrays_in(name, entry, (*above, module))
    return found


def _arrays_in(name: str, entry: Any, above: tuple[Any, ...]) -> list[Named]:
    """What an attribute holds: a Value, a rectangle of some, a module, or several of these."""
    if isinstance(entry, Value):
        return [Named(name, (), [entry])]
    if hasattr(entry, "parameters") and callable(entry.parameters):
        return [named.below(name) for named in _arrays_of(entry, above)]
    if isinstance(entry, dict):
        parts = [_arrays_in(f"{name}.{key}", part, above) for key, part in entry.items()]
        return [named for part in parts for named in part]
    if getattr(getattr(entry, "dtype", None), "kind", "") == "O":
        entry = entry.tolist()
    if not isinstance(entry, (list, tuple)):
        return []
    rectangle = _rectangle(entry)
    if rectangle is not None:
        return [Named(name, *rectangle)]
    parts = [_arrays_in(f"{name}.{i}", part, above) for i, part in enumerate(entry)]
    return [named for part in parts for named in part]


def _rectangle(entries: Any) -> tuple[tuple[int, ...], list[Value]] | None:
    """The shape and the Values of a nest of lists of them; None if it is not one."""
    if isinstance(entries, Value):
        return (), [entries]
    if not isinstance(entries, (list, tuple)) or len(entries) == 0:
        return None
    parts = [_rectangle(entry) for entry in entries]
    first = parts[0]
    if first is None or any(part is None or part[0] != first[0] for part in parts):
        return None
    values = [value for part in parts if part is not None for value in part[1]]
    return (len(entries), *first[0]), values


def weight_rows(neurons: Iterable[Any]) -> list[Named] | None:
    """The weights and biases of neurons as PyTorch has them; None if they are of several kinds."""
    weights: list[Value] = []
    biases: list[Value] = []
    n_in = None
    for neuron in neurons:
        w, b = neuron.w, neuron.b
        if not isinstance(w, list) or not isinstance(b, Value) or n_in not in (None, len(w)):
            return None
        n_in = len(w)
        weights += w
        biases.append(b)
    if not biases or not all(isinstance(value, Value) for value in weights):
        return None
    return [
        Named("weight", (len(biases), n_in or 0), weights),
        Named("bias", (len(biases),), biases),
    ]


def to_arrays(module: Any) -> dict[str, npt.NDArray[np.float64]]:
    """The numbers of a module's parameters by name."""
    import numpy

    return {
        named.name: numpy.array([value.data for value in named.values]).reshape(named.shape)
        for named in named_arrays(module)
    }


def check_arrays(module: Any, arrays: Mapping[str, Any]) -> list[tuple[Value, float]]:
    """Each parameter with its number from arrays like those of `to_arrays`.

    Raises
    ------
    ValueError
        If the names or a shape differ.
    TypeError
        If an array is not of real numbers.
    """
    import numpy

    if not hasattr(arrays, "keys"):
        raise TypeError(f"state must be a dict of arrays, found {type(arrays).__name__}")
    expected = named_arrays(module)
    names = [named.name for named in expected]
    missing = [name for name in names if name not in arrays]
    unknown = sorted(map(str, set(arrays.keys()) - set(names)))
    if missing or unknown:
        raise ValueError(
            f"state must have the names of {type(module).__name__}: found no"
            f" {_few(missing) or 'lack'}, and unknown {_few(unknown) or 'none'}"
        )
    pairs: list[tuple[Value, float]] = []
    for named in expected:
        array = numpy.asarray(arrays[named.name])
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{named.name} must be real numbers, found {array.dtype}")
        if array.shape != named.shape:
            raise ValueError(f"{named.name} must be of shape {named.shape}, found {array.shape}")
        numbers = array.astype(numpy.float64).ravel().tolist()
        pairs += zip(named.values, numbers, strict=True)
    return pairs


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def assign(pairs: Iterable[tuple[Value, float]]) -> None:
    """Give each Value its number; all of them, or none."""
    done: list[tuple[Value, float]] = []
    try:
        for value, number in pairs:
            before = value.data
            value.data = number
            done.append((value, before))
    except BaseException:
        for value, before in reversed(done):
            value.data = before
        raise
