"""What is drawn of a graph: boxes, operations, and the arrows between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .folding import Layer, Neuron, find_layers, find_neurons, name_neurons
from .order import order_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    Fold: TypeAlias = Literal["auto", "none", "neurons", "layers"]

FOLDS = ("none", "neurons", "layers")
# Of gradients, from white on: black text is read on each of them.
NEGATIVE, POSITIVE, NEITHER = (107, 174, 240), (247, 144, 120), (200, 200, 200)


@dataclass
class Picture:
    """Names and labels as Graphviz reads them."""

    boxes: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    operations: list[tuple[str, str]] = field(default_factory=list)
    arrows: list[tuple[str, str]] = field(default_factory=list)


class Folded:
    """The order of a graph, and the part of it that each node is drawn in.

    Parameters
    ----------
    roots : list of node
    fold : {"auto", "none", "neurons", "layers"}
    unfold : sequence of node or str
        Outputs of neurons, and captions, of what is drawn in full.
    max_nodes : int or None
    names : dict of node to str

    Raises
    ------
    ValueError
        If more than `max_nodes` boxes would be drawn, or nothing has a name in `unfold`.
    """

    def __init__(
        self,
        roots: list[Any],
        fold: Fold,
        unfold: list[Any],
        max_nodes: int | None,
        names: dict[Any, str],
    ) -> None:
        self.order = order_of(roots)
        self.names = names
        self.places: dict[Any, Neuron | Layer] = {}
        self.hidden: set[Any] = set()
        limit = math.inf if max_nodes is None else max_nodes
        if fold == "none" or (fold == "auto" and not unfold and len(self.order) <= limit):
            n_boxes = len(self.order)
        else:
            neurons = find_neurons(self.order, roots, names)
            layers = find_layers(neurons)
            name_neurons(layers, names)
            for kind in FOLDS[1:] if fold == "auto" else (fold,):
                n_boxes = self._fold(layers, kind == "layers", unfold)
                if n_boxes <= limit:
                    break
        if n_boxes > limit:
            raise ValueError(
                f"max_nodes must be at least {n_boxes:,} to draw this graph, found {max_nodes:,}: "
                + (
                    f"it has {len(self.order):,} nodes"
                    + (", and that many parts with its layers folded" if self.places else "")
                )
                + "; None draws a graph of any size"
            )

    def _fold(self, layers: list[Layer], whole_layers: bool, unfold: list[Any]) -> int:
        """Decide where each node is drawn; return the number of boxes."""
        wanted = {text for text in unfold if isinstance(text, str)}
        outputs = {node for node in unfold if not isinstance(node, str)}
        captions = set()
        self.places = {}
        parts: set[Neuron | Layer] = set()
        for layer in layers:
            captions.add(layer.caption)
            is_opened = [
                neuron.output in outputs or neuron.caption in wanted for neuron in layer.neurons
            ]
            stays = whole_layers and layer.caption not in wanted and not any(is_opened)
            for neuron, opened in zip(layer.neurons, is_opened):
                captions.add(neuron.caption)
                if opened:
                    continue
                part: Neuron | Layer = layer if stays and len(layer.neurons) > 1 else neuron
                parts.add(part)
                for node in (*neuron.inside, neuron.output):
                    self.places[node] = part
        unknown = wanted - captions
        unknown_outputs = outputs - {n.output for layer in layers for n in layer.neurons}
        if unknown or unknown_outputs:
            found = min(unknown) if unknown else next(iter(unknown_outputs))
            raise ValueError(
                "unfold must have captions of neurons or layers of the drawing, or Values that are"
                f" their outputs, found {found!r}"
            )
        self._hide_weights(layers)
        drawn = [n for n in self.order if n not in self.places and n not in self.hidden]
        return len(drawn) + len(parts)

    def _hide_weights(self, layers: list[Layer]) -> None:
        """Weights and biases are part of their box, unless something else uses them, too."""
        own: set[Any] = set()
        for layer in layers:
            for neuron in layer.neurons:
                own.update(neuron.weights)
                if neuron.bias is not None:
                    own.add(neuron.bias)
        for node in self.order:
            if node not in self.places:
                own.difference_update(node._children)
        # What is a weight here may be an input there.
        for layer in layers:
            for neuron in layer.neurons:
                own.difference_update(neuron.inputs)
        self.hidden = own


def picture_of(folded: Folded, colors: bool) -> Picture:
    """Lay out what is drawn, operands before what is made of them."""
    picture = Picture()
    names = {node: f"n{i}" for i, node in enumerate(folded.order)}
    shades = _shades(folded.order) if colors else None
    boxes_of_parts: dict[int, str] = {}
    arrows: dict[tuple[str, str], None] = {}

    def box_of(node: Any) -> str:
        part = folded.places.get(node)
        return names[node] if part is None else boxes_of_parts[id(part)]

    for node, name in names.items():
        part = folded.places.get(node)
        if node in folded.hidden:
            continue
        if part is not None:
            if id(part) not in boxes_of_parts:
                boxes_of_parts[id(part)] = name
                picture.boxes.append((name, _part_label(part), _look(part, shades)))
            for operand in node._children:
                if operand not in folded.hidden and folded.places.get(operand) is not part:
                    arrows[box_of(operand), box_of(node)] = None
            continue
        picture.boxes.append((name, _node_label(node, folded.names), _look(node, shades)))
        head = name
        if node._op:
            head = f"{name}_op"
            picture.operations.append((head, escape(node._op)))
            arrows[head, name] = None
        for operand in node._children:  # a * a has one arrow
            arrows[box_of(operand), head] = None
    picture.arrows = list(arrows)
    return picture


def escape(text: object, special: str = "") -> str:
    """Write `text` so that Graphviz shows it as it is in a label; `special` gets backslashes."""
    escaped = str(text).replace("\\", "\\\\").replace("&", "&amp;").replace("\n", "\\n")
    for character in special:
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def _record(fields: list[str]) -> str:
    return f"{{ {'|'.join(fields)}}}"


def _node_label(node: Any, names: dict[Any, str]) -> str:
    label = escape(node.label or names.get(node, ""), "{}|<>")
    return _record(
        [f"{label} " if label else "", f" data {node.data:.4f} ", f" grad {node.grad:.4f} "]
    )


def _part_label(part: Neuron | Layer) -> str:
    if isinstance(part, Neuron):
        label = f"{part.caption}: {part.output.label}" if part.output.label else part.caption
        formula = "w·x" if part.weights else f"sum of {len(part.inputs) // 2} products"
        formula += "" if part.bias is None else " + b"
        if part.activation:
            formula = f"{part.activation}({formula})"
        output = part.output
        numbers = [f" data {output.data:.4f} ", f" grad {output.grad:.4f} "]
        what = f"{formula}, {_count(len(part.inputs), 'input')}" if part.weights else formula
    else:
        first = part.neurons[0]
        label = part.caption
        what = f"{len(part.neurons)} neurons of {_count(len(first.inputs), 'input')}"
        what += f", {first.activation}" if first.activation else ""
        numbers = [
            f" data {_range([n.output.data for n in part.neurons])} ",
            f" grad {_range([n.output.grad for n in part.neurons])} ",
        ]
    return _record([f"{escape(text, '{}|<>')} " for text in (label, what)] + numbers)


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _range(numbers: list[float]) -> str:
    known = [number for number in numbers if not math.isnan(number)]
    if not known:
        return "nan"
    text = f"{min(known):.4f} to {max(known):.4f}"
    return text if len(known) == len(numbers) else f"{text}, {len(numbers) - len(known)} nan"


def _shades(order: list[Any]) -> float:
    """The largest gradient that is a number."""
    return max((abs(node.grad) for node in order if math.isfinite(node.grad)), default=0.0)


def _look(part: Any, largest: float | None) -> dict[str, str]:
    """Attributes of a box: folded ones are round, and gradients have colours where wanted."""
    look = {}
    is_folded = isinstance(part, (Neuron, Layer))
    if is_folded:
        look["style"] = "rounded"
    if largest is not None:
        look["style"] = "rounded,filled" if is_folded else "filled"
        if isinstance(part, Layer):
            grads = [neuron.output.grad for neuron in part.neurons]
            grad = max(grads, key=lambda g: math.inf if math.isnan(g) else abs(g))
        else:
            grad = part.output.grad if is_folded else part.grad
        look["fillcolor"] = _color(grad, largest)
    return look


def _color(grad: float, largest: float) -> str:
    """Blue below 0, red above, the deeper the further away from it; grey where it is no number."""
    if math.isnan(grad):
        return "#{:02x}{:02x}{:02x}".format(*NEITHER)
    # The root, so that small gradients beside a large one are told from 0.
    share = 1.0 if math.isinf(grad) else math.sqrt(abs(grad) / largest) if largest else 0.0
    end = NEGATIVE if grad < 0.0 else POSITIVE
    return "#{:02x}{:02x}{:02x}".format(*(round(255 + (c - 255) * share) for c in end))
