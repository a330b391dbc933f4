"""Neurons, layers and multi-layer perceptrons whose every number is a `Value`.

Nothing here is more than a program on `Value` could do: a neuron is a sum of products, and
weights, biases, neurons and layers are plain attributes that may be read and replaced. Initial
weights are drawn with Python's `random`, so `random.seed` decides them.

As long as a layer is an ordinary one, the engine evaluates it as a whole, and its scalar graph
appears when somebody looks at it. Whether it may is for the engine to say: `fused` and
`fused_rows` give a result, or None for what has to be built node by node here. To know that a
layer still is ordinary without a look at every weight, the engine watches the attributes that say
so.
"""

from ..engine import Value as Value  # micrograd.nn has that name, too
from .layers import MLP, Layer, Neuron
from .module import Module
from .sequential import Activation, Linear, Sequential

__all__ = ["MLP", "Activation", "Layer", "Linear", "Module", "Neuron", "Sequential"]
