# The types of nn.py, whose attributes a program may replace and whose inputs are many.

from collections.abc import Iterable
from typing import Any

from micrograd_fast._core import Value, _Number

__all__ = ["MLP", "Layer", "Module", "Neuron"]

class Module:
    def zero_grad(self) -> None: ...
    def parameters(self) -> list[Value]: ...
    # A float or an array, by the number of axes of x and of outputs: the caller knows which.
    def predict(self, x: Any) -> Any: ...

class Neuron(Module):
    w: list[Value]
    b: Value
    nonlin: bool
    activation: str | None
    def __init__(self, nin: int, nonlin: bool = True, activation: str | None = "relu") -> None: ...
    # For one row. What has two axes, an array of rows, gives a list.
    def __call__(self, x: Iterable[Value | _Number]) -> Value: ...

class Layer(Module):
    neurons: list[Neuron]
    def __init__(
        self, nin: int, nout: int, *, nonlin: bool = True, activation: str | None = "relu"
    ) -> None: ...
    # A single output is a Value, several are a list of them: the caller knows which.
    def __call__(self, x: Iterable[Value | _Number]) -> Any: ...

class MLP(Module):
    layers: list[Layer]
    def __init__(
        self, nin: int, nouts: Iterable[int], activation: str | None = "relu"
    ) -> None: ...
    def __call__(self, x: Iterable[Value | _Number]) -> Any: ...
