"""Models as tables for notebooks: a row for each layer."""

from __future__ import annotations

import html

from .._core import glance

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# No colours: those of the notebook hold, be it light or dark.
_CELL = '<td style="text-align:left">'
_HEAD = '<th style="text-align:left">'


def table_of(module: Any) -> str:
    """Describe a module in HTML; raises whatever its `parameters` raises."""
    total = len({id(p) for p in module.parameters()})
    counted: set[int] = set()
    head = "".join(f"{_HEAD}{name}</th>" for name in ("name", "layer", "activation", "parameters"))
    rows = []
    for name, part in _parts(module, "", ()):
        parameters = {id(p) for p in part.parameters()}
        new = parameters - counted
        counted |= parameters
        shared = f" ({len(parameters) - len(new)} shared)" if len(new) < len(parameters) else ""
        shape, activation = _shape_and_activation(part)
        kind = f"{type(part).__name__} {shape}".rstrip()
        rows.append(_row(name, kind, activation, f"{len(new):,}{shared}"))
    if total > len(counted):
        rows.append(_row("", "in no layer", "", f"{total - len(counted):,}"))
    caption = html.escape(f"{type(module).__name__}: {total:,} parameters")
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{''.join(rows)}</table>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'{_CELL}{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _parts(module: Any, name: str, above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The innermost modules with their names; a layer counts as one, and none is in itself."""
    if any(module is other for other in above):
        return
    found = False
    if not _is_layer(module):
        for key, entry in vars(module).items():
            for place, part in _modules_in(key, entry):
                found = True
                yield from _parts(part, f"{name}.{place}".lstrip("."), (*above, module))
    if not found:
        yield name, module


def _modules_in(name: str, entry: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(entry, type) and callable(getattr(entry, "parameters", None)):
        yield name, entry
        return
    items: Any = ()
    if isinstance(entry, dict):
        items = entry.items()
    elif isinstance(entry, (list, tuple)):
        items = enumerate(entry)
    for key, item in items:
        if not isinstance(item, type) and callable(getattr(item, "parameters", None)):
            yield f"{name}.{key}", item


def _is_layer(module: Any) -> bool:
    return "neurons" in vars(module) or _is_neuron(module)


def _is_neuron(module: Any) -> bool:
    return "w" in vars(module) and "nonlin" in vars(module)


def _shape_and_activation(part: Any) -> tuple[str, str]:
    """What a layer or neuron says of itself; nothing of another module."""
    if not _is_layer(part):
        return "", ""
    neurons = [part] if _is_neuron(part) else list(glance(part, "neurons"))
    kinds = {str(n.activation or "linear") if n.nonlin else "linear" for n in neurons}
    sizes = {len(glance(n, "w")) for n in neurons}
    n_in = str(*sizes) if len(sizes) == 1 else "several"
    return f"{n_in} → {len(neurons)}", ", ".join(sorted(kinds))
