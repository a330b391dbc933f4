"""What the numbers of a model are called in a listing or drawing."""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def parameter_names(model: Any) -> dict[Any, str]:
    """Name every Value that a model holds, by where it stands there.

    Parameters
    ----------
    model : Module, or any object, dict or list
        Its attributes are gone through, and the lists, tuples, dicts and modules in them. A module
        is what has `parameters`.

    Returns
    -------
    dict of Value to str
        The first place of each. What stands in a list that is named in the plural is called by one
        of them and its number: ``model.layers[0].neurons[3].w[1]`` is
        ``layer 0, neuron 3, w[1]``.

    Examples
    --------
    >>> from micrograd_fast import MLP
    >>> list(parameter_names(MLP(2, [1])).values())
    ['layer 0, neuron 0, w[0]', 'layer 0, neuron 0, w[1]', 'layer 0, neuron 0, b']
    """
    names: dict[Any, str] = {}
    seen = {id(model)}
    stack = [_parts(model, "")]
    while stack:
        for name, part in stack[-1]:
            if all(hasattr(part, face) for face in ("_children", "_op", "data", "grad")):
                names.setdefault(part, name)
            elif _is_a_place(part) and id(part) not in seen:
                seen.add(id(part))
                stack.append(_parts(part, name))
                break
        else:
            stack.pop()
    return names


def _is_a_place(part: Any) -> bool:
    return isinstance(part, (list, tuple, dict)) or hasattr(part, "parameters")


def _parts(place: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What stands in one place, with its name."""
    if isinstance(place, dict):
        for key, part in list(place.items()):
            yield f"{name}[{key!r}]" if name else str(key), part
    elif isinstance(place, (list, tuple)):
        for index, part in enumerate(list(place)):
            yield _numbered(name, index, part), part
    else:
        for attribute, part in list(getattr(place, "__dict__", {}).items()):
            if not attribute.startswith("_"):
                yield f"{name}, {attribute}" if name else attribute, part


def _numbered(name: str, index: int, part: Any) -> str:
    """``layers`` and 3 are ``layer 3`` if that has parameters of its own, else ``layers[3]``."""
    *before, last = name.rpartition(", ")
    if hasattr(part, "parameters") and last.endswith("s") and last[:-1].isidentifier():
        return f"{''.join(before)}{last[:-1]} {index}"
    return f"{name}[{index}]"
