"""Layers, activations and what they are put together in, with PyTorch's names."""

from __future__ import annotations

import random

from .._state import Named, named_arrays
from ..engine import Value
from ._arguments import check_size, has_rows, rows_of
from .layers import ACTIVATIONS, Layer
from .module import Module

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._core import _Number

__all__ = ["Activation", "Linear", "Sequential"]


class Linear(Layer):
    """A layer without activation: the outputs are ``W x + b``, always in a list.

    The weights are drawn uniformly within ``1 / sqrt(inputs)``, and so are the biases, as PyTorch
    does.

    Parameters
    ----------
    nin : int
        The number of inputs, at least 1.
    nout : int
        The number of outputs, at least 1.
    seed : int, optional
        Draw from a generator of its own, begun with this, instead of Python's `random`.

    Raises
    ------
    TypeError
        If a size is not an int.
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> layer = Linear(3, 1)
    >>> len(layer([1.0, 2.0, 3.0]))
    1
    """

    def __init__(self, nin: int, nout: int, seed: int | None = None) -> None:
        check_size("nin", nin)
        rng: Any = random if seed is None else random.Random(seed)
        bound = 1.0 / nin**0.5
        super().__init__(nin, nout, nonlin=False, draw=lambda: rng.uniform(-bound, bound))
        for neuron in self.neurons:
            neuron.b.data = rng.uniform(-bound, bound)

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Evaluate the layer; a list of Values, or of such lists for a 2-D array of rows."""
        if has_rows(x):
            return [self(row) for row in rows_of(x)]
        out = super().__call__(x)
        return out if isinstance(out, list) else [out]

    def __repr__(self) -> str:
        return f"Linear({len(self.neurons[0].w)}, {len(self.neurons)})"


class Activation(Module):
    """An operation of `Value` on each entry of a list.

    Parameters
    ----------
    name : str
        An operation with one operand, such as "relu" or "tanh".

    Raises
    ------
    ValueError
        If there is no such operation.

    Examples
    --------
    >>> [out.data for out in Activation("relu")([Value(-1.0), Value(2.0)])]
    [0.0, 2.0]
    """

    def __init__(self, name: str) -> None:
        if name not in ACTIVATIONS:
            choices = ", ".join(ACTIVATIONS)
            raise ValueError(f"name must be one of {choices}, found {name!r}")
        self.name = name

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Apply the operation to each entry; numbers become Values."""
        outs = []
        for entry in x:
            value = entry if isinstance(entry, Value) else Value(entry)
            outs.append(getattr(value, self.name)())
        return outs

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"


class Sequential(Module):
    """Modules one after the other, each on what the one before gives.

    Parameters
    ----------
    *modules : Module or callable

    Attributes
    ----------
    modules : list

    Raises
    ------
    TypeError
        If one of them cannot be called.

    Examples
    --------
    >>> model = Sequential(Linear(2, 8), Activation("tanh"), Linear(8, 1))
    >>> len(model([0.5, -1.0]))
    1
    >>> list(model.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *modules: Callable[[Any], Any]) -> None:
        for i, module in enumerate(modules):
            if not callable(module):
                raise TypeError(f"modules[{i}] must be callable, found {type(module).__name__}")
        self.modules = list(modules)

    def __call__(self, x: Any) -> Any:
        """Evaluate the modules in order; for a 2-D array of rows the list of what each gives."""
        if has_rows(x):
            return [self(row) for row in rows_of(x)]
        for module in self.modules:
            x = module(x)
        return x

    def parameters(self) -> list[Value]:
        """List the parameters of each module in turn.

        Returns
        -------
        list of Value
        """
        modules = [module for module in self.modules if hasattr(module, "parameters")]
        return [p for module in modules for p in module.parameters()]

    def _weight_rows(self) -> list[Named] | None:
        found = []
        for i, module in enumerate(self.modules):
            if hasattr(module, "parameters"):
                found += [named.below(str(i)) for named in named_arrays(module)]
        return found

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.modules))})"
