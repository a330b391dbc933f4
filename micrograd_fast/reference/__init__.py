"""The same engine and networks in plain Python: the oracle of the tests, and slow.

`micrograd_fast.reference.engine` and `micrograd_fast.reference.nn` have the names of
`micrograd_fast.engine` and `micrograd_fast.nn`, and give the same bits.
"""

from .engine import Value, dot, sum
from .nn import MLP, Layer, Module, Neuron

__all__ = ["MLP", "Layer", "Module", "Neuron", "Value", "dot", "sum"]
