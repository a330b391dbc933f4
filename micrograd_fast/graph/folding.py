"""Finding the neurons and layers of a graph, to draw each as one box.

They are found by their shape, so that neurons of any engine and those that a program wrote out are
found alike: a neuron is a sum of products, each term used once, with at most one leaf added, and
what an activation makes of it. A layer is the neurons with the same inputs and activation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

ACTIVATION_LABELS = frozenset(
    [
        "ReLU",
        "tanh",
        "sigmoid",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "softplus",
        "softsign",
        "hard_tanh",
        "mish",
    ]
)


@dataclass(eq=False)
class Neuron:
    """A part of a graph that is drawn as one box.

    Parameters
    ----------
    output : node
        The only node that the rest of the graph uses.
    inside : list of node
        The other computed nodes.
    inputs, weights : list of node
        One for each product. Where factors are computed on both sides there are no weights, and
        both are inputs.
    bias : node or None
    activation : str
        Its label, or nothing.
    """

    output: Any
    inside: list[Any]
    inputs: list[Any]
    weights: list[Any]
    bias: Any
    activation: str
    caption: str = ""


@dataclass(eq=False)
class Layer:
    """Neurons with the same inputs and activation."""

    neurons: list[Neuron] = field(default_factory=list)
    caption: str = ""


@dataclass
class _Sum:
    """A sum of products on the way up."""

    products: list[Any]
    additions: list[Any]  # the nodes of the sum but the last
    bias: Any = None
    zero: Any = None  # that Python's sum starts from


def find_neurons(order: list[Any], roots: Iterable[Any], names: dict[Any, str]) -> list[Neuron]:
    """List the neurons of a graph, those first that come first in its order."""
    n_uses: dict[Any, int] = dict.fromkeys(order, 0)
    for node in order:
        for operand in node._children:
            n_uses[operand] += 1
    for root in roots:
        n_uses[root] += 2  # it is shown
    sums: dict[Any, _Sum] = {}
    neurons: dict[Any, Neuron] = {}
    for node in order:
        operands = node._children
        if node._op == "+" and len(operands) == 2:
            found = _extended(node, operands, sums, n_uses)
            if found is not None:
                sums[node] = found
        elif len(operands) == 1 and node._op in ACTIVATION_LABELS:
            below = operands[0]
            if n_uses[below] == 1 and below in sums:
                neurons[node] = _neuron(node, sums.pop(below), [below], node._op)
    for node, found in sums.items():
        neurons[node] = _neuron(node, found, [], "")
    return [neurons[node] for node in order if node in neurons and _is_one(neurons[node], names)]


def find_layers(neurons: list[Neuron]) -> list[Layer]:
    """Put the neurons with the same inputs and activation together."""
    layers: dict[tuple[Any, ...], Layer] = {}
    for neuron in neurons:
        key = (neuron.activation, bool(neuron.weights), *map(id, neuron.inputs))
        layers.setdefault(key, Layer()).neurons.append(neuron)
    return list(layers.values())


def name_neurons(layers: list[Layer], names: dict[Any, str]) -> None:
    """Call neurons and layers what their weights are called, or number them."""
    for number, layer in enumerate(layers):
        for place, neuron in enumerate(layer.neurons):
            named = [names[node] for node in neuron.weights if node in names]
            owner = named[0].rpartition(", ")[0] if named else ""
            neuron.caption = owner or f"layer {number}, neuron {place}"
        owners = {neuron.caption.rpartition(", ")[0] for neuron in layer.neurons}
        layer.caption = owners.pop() if len(owners) == 1 else f"layer {number}"
        layer.caption = layer.caption or f"layer {number}"


def _extended(
    node: Any, operands: tuple[Any, ...], sums: dict[Any, _Sum], n_uses: dict[Any, int]
) -> _Sum | None:
    """The sum that a node ends, which goes on with the one below it; or None."""
    below = [operand for operand in operands if operand in sums and n_uses[operand] == 1]
    if len(below) > 1:
        return None
    if below:
        other = operands[1] if operands[0] is below[0] else operands[0]
        found = sums[below[0]]
        is_product = _is_product(other, n_uses)
        if not is_product and (other._children or found.bias is not None):
            return None
        del sums[below[0]]
        found.additions.append(below[0])
        if is_product:
            found.products.append(other)
        else:
            found.bias = other
        return found
    products = [operand for operand in operands if _is_product(operand, n_uses)]
    leaves = [operand for operand in operands if not operand._children]
    if not products or len(products) + len(leaves) < 2:
        return None
    found = _Sum(products, [])
    if leaves:
        # Python's sum adds its 0 after the first term, where it starts from nothing else.
        if leaves[0] is operands[1] and leaves[0].data == 0.0 and n_uses[leaves[0]] == 1:
            found.zero = leaves[0]
        else:
            found.bias = leaves[0]
    return found


def _is_product(node: Any, n_uses: dict[Any, int]) -> bool:
    return node._op == "*" and len(node._children) == 2 and n_uses[node] == 1


def _neuron(output: Any, found: _Sum, below: list[Any], activation: str) -> Neuron:
    left = [product._children[0] for product in found.products]
    right = [product._children[1] for product in found.products]
    inside = [*found.products, *found.additions, *below]
    if found.zero is not None:
        inside.append(found.zero)
    if not any(factor._children for factor in left):
        weights, inputs = left, right
    elif not any(factor._children for factor in right):
        weights, inputs = right, left
    else:
        weights, inputs = [], left + right
    return Neuron(output, inside, inputs, weights, found.bias, activation)


def _is_one(neuron: Neuron, names: dict[Any, str]) -> bool:
    """One product may be anything, unless its weight is known to be one."""
    return len(neuron.inputs) > 1 or any(weight in names for weight in neuron.weights)
