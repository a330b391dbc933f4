"""Networks over the reference engine: each neuron is a sum of products, node by node."""

import inspect
import random
import types

from .engine import Value

__all__ = ["MLP", "Layer", "Module", "Neuron"]


def is_activation(name):
    """Whether `name` is an operation with one operand, through which a gradient flows."""
    method = vars(Value).get(name)
    if name in NO_OPERATIONS or not isinstance(method, types.FunctionType):
        return False
    _self, *others = inspect.signature(method).parameters.values()
    return method.__name__ == name and all(other.default is not other.empty for other in others)


#: Other methods of a Value with no further argument, and the operation that would learn nothing
NO_OPERATIONS = ("backward", "zero_grad", "item", "detach")
ACTIVATIONS = tuple(
    name for name in vars(Value) if not name.startswith("_") and is_activation(name)
)


class Module:
    """Something with parameters."""

    def zero_grad(self):
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self):
        """The Values to be trained."""
        return []


class Neuron(Module):
    """A weighted sum of the inputs plus a bias, put through an activation.

    Parameters
    ----------
    nin : int
        The number of inputs.
    nonlin : bool, optional
        False for a linear neuron, whatever the activation.
    activation : str or None, optional
        The name of an operation with one operand; "linear" or None for none.
    """

    activation = "relu"  # for a subclass that sets only what it needs

    def __init__(self, nin, nonlin=True, activation="relu"):
        check_size("nin", nin)
        check_activation(activation)
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation

    def __call__(self, x):
        x = x if hasattr(x, "__len__") else list(x)
        if len(x) != len(self.w):
            raise ValueError(f"a neuron with {len(self.w)} weights was given {len(x)} inputs")
        act = sum((wi * xi for wi, xi in zip(self.w, x)), self.b)
        if not self.nonlin or self.activation in (None, "linear"):
            return act
        return getattr(act, self.activation)()

    def parameters(self):
        """The weights, then the bias."""
        return [*self.w, self.b]

    def __repr__(self):
        kind = self.activation
        if not self.nonlin or kind in (None, "linear"):
            kind = "Linear"
        elif kind == "relu":
            kind = "ReLU"
        return f"{kind}Neuron({len(self.w)})"


class Layer(Module):
    """Neurons that see the same inputs.

    Parameters
    ----------
    nin, nout : int
        The number of inputs and of neurons.
    **kwargs
        Handed to each `Neuron`.
    """

    def __init__(self, nin, nout, **kwargs):
        check_size("nout", nout)
        self.neurons = [Neuron(nin, **kwargs) for _ in range(nout)]

    def __call__(self, x):
        # A generator is read once, for all neurons; anything else is handed on as it is
        x = x if hasattr(x, "__len__") else list(x)
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self):
        """Those of each neuron in turn."""
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self):
        return f"Layer of [{', '.join(str(neuron) for neuron in self.neurons)}]"


class MLP(Module):
    """Layers one after the other, the last one linear.

    Parameters
    ----------
    nin : int
        The number of inputs.
    nouts : sequence of int
        The number of neurons in each layer.
    activation : str or None, optional
        The activation of every layer but the last.
    """

    def __init__(self, nin, nouts, activation="relu"):
        if not hasattr(nouts, "__iter__"):
            raise TypeError(f"nouts must be an iterable of ints, found {type(nouts).__name__}")
        sizes = [nin, *nouts]
        for nout in sizes[1:]:
            check_size("every number in nouts", nout)
        n_layers = len(sizes) - 1
        self.layers = [
            Layer(sizes[i], sizes[i + 1], nonlin=i != n_layers - 1, activation=activation)
            for i in range(n_layers)
        ]

    def __call__(self, x):
        for i, layer in enumerate(self.layers):
            # A hidden layer of one neuron gives a bare Value
            x = layer([x] if i > 0 and isinstance(x, Value) else x)
        return x

    def parameters(self):
        """Those of each layer in turn."""
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self):
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


def check_size(name, size):
    """Refuse what is not a positive int."""
    if not hasattr(type(size), "__index__"):
        raise TypeError(f"{name} must be an int, found {type(size).__name__}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, found {size}")


def check_activation(activation):
    """Refuse what is not the name of an activation."""
    if activation not in (None, "linear", *ACTIVATIONS):
        choices = ", ".join(("linear", *ACTIVATIONS))
        raise ValueError(f"unknown activation {activation!r}; the choices are {choices}")
