"""Neurons, layers of them, and layers one after the other, with micrograd's names."""

from __future__ import annotations

import random

from .._core import OPERATIONS, fused, glance, register_nn
from .._state import Named, weight_rows
from .._watched import Watched, watched
from ..engine import Value
from ._arguments import check_size, has_rows, hint, refuse, rows_of, sized
from .module import Module

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn

    from .._core import _Number

__all__ = ["ACTIVATIONS", "MLP", "Layer", "Neuron"]

# Every operation that a Value can do to itself with no further argument, but for `detach`, with
# which nothing would learn
ACTIVATIONS = tuple(
    row.name
    for row in OPERATIONS
    if row.arity == 1 and hasattr(Value, row.name) and row.name != "detach"
)
_LINEAR = (None, "linear")


def _uniform() -> float:
    return random.uniform(-1, 1)


class Neuron(Watched, Module):
    """A weighted sum of its inputs plus a bias, put through an activation.

    The weights are drawn uniformly from -1 to 1, the bias starts at 0.

    Parameters
    ----------
    nin : int
        The number of inputs, at least 1.
    nonlin : bool, optional
        False makes the neuron linear, whatever the activation.
    activation : str or None, optional
        The name of an operation of `Value` with one operand, such as "relu", "tanh" or
        "sigmoid". "linear" and None make the neuron linear.
    draw : callable, optional
        Called for each weight in turn, without arguments; gives the number that it starts with.

    Attributes
    ----------
    w : list of Value
        The weights, one for each input.
    b : Value
        The bias.
    nonlin : bool
        As given.
    activation : str or None
        As given.

    Raises
    ------
    TypeError
        If `nin` is not an int.
    ValueError
        If `nin` is below 1, or the activation is unknown.

    Examples
    --------
    >>> neuron = Neuron(2, activation="tanh")
    >>> neuron
    tanhNeuron(2)
    >>> neuron.w = [Value(1.0), Value(-1.0)]
    >>> neuron([2.0, 2.0])
    Value(data=0.0, grad=0.0)
    """

    w: list[Value] = watched()
    b: Value = watched()
    nonlin: bool = watched()
    # For a subclass whose __init__ sets only w, b and nonlin
    activation: str | None = watched("relu")

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        activation: str | None = "relu",
        draw: Callable[[], float] | None = None,
        **unknown: NoReturn,
    ) -> None:
        refuse("Neuron", "nonlin, activation and draw", unknown)
        check_size("nin", nin)
        if activation not in _LINEAR and activation not in ACTIVATIONS:
            choices = ", ".join(("linear", *ACTIVATIONS))
            raise ValueError(f"unknown activation {activation!r}; the choices are {choices}")
        if draw is None:
            draw = _uniform
        self.w = [Value(draw()) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Evaluate the neuron.

        Parameters
        ----------
        x : iterable of Value or float
            One number for each weight: a list, a numpy row, a generator, or a mix of kinds. Or a
            2-D array of such rows.

        Returns
        -------
        Value, or list of Value
            A list for a 2-D array: one for each row.

        Raises
        ------
        TypeError
            If `x` is no iterable, or what is in it is neither a number nor a Value.
        ValueError
            If there are not as many inputs as weights, or an array has neither 1 nor 2 axes.
        """
        if has_rows(x):
            return [self._evaluate(row) for row in rows_of(x)]
        return self._evaluate(x)

    def _evaluate(self, x: Any) -> Any:
        out = fused(self, x)
        return self._by_weight(sized(x)) if out is None else out

    def _by_weight(self, x: Sequence[Value | _Number]) -> Value:
        w = glance(self, "w")
        if len(x) != len(w):
            raise ValueError(f"a neuron with {len(w)} weights was given {len(x)} inputs{hint(x)}")
        try:
            act = sum((wi * xi for wi, xi in zip(w, x)), self.b)
        except TypeError as error:
            # Python says of a list or str only that it cannot be repeated.
            if not hint(x):
                raise
            raise TypeError(f"an input of a neuron must be a number or Value{hint(x)}") from error
        if not self.nonlin or self.activation in _LINEAR:
            return act
        # A method call, so that one that a program has put on Value is the one that runs
        activated: Value = getattr(act, self.activation)()
        return activated

    def parameters(self) -> list[Value]:
        """List the weights, then the bias.

        Returns
        -------
        list of Value
        """
        return [*glance(self, "w"), self.b]

    def __repr__(self) -> str:
        if not self.nonlin or self.activation in _LINEAR:
            kind = "Linear"
        else:
            kind = "ReLU" if self.activation == "relu" else self.activation
        return f"{kind}Neuron({len(glance(self, 'w'))})"

    def _weight_rows(self) -> list[Named] | None:
        rows = weight_rows([self])
        # One row: its weights, and a bias without an axis.
        return rows and [
            Named(rows[0].name, rows[0].shape[1:], rows[0].values),
            Named("bias", (), [self.b]),
        ]


class Layer(Watched, Module):
    """Neurons side by side, all with the same inputs.

    Parameters
    ----------
    nin : int
        The number of inputs, at least 1.
    nout : int
        The number of neurons, at least 1.
    nonlin, activation, draw : optional
        Those of each `Neuron`.

    Attributes
    ----------
    neurons : list of Neuron

    Raises
    ------
    TypeError
        If a size is not an int.
    ValueError
        If a size is below 1, or the activation is unknown.

    Examples
    --------
    >>> layer = Layer(3, 2, nonlin=False)
    >>> layer
    Layer of [LinearNeuron(3), LinearNeuron(3)]
    >>> len(layer([1.0, 2.0, 3.0]))
    2
    """

    neurons: list[Neuron] = watched()

    def __init__(
        self,
        nin: int,
        nout: int,
        *,
        nonlin: bool = True,
        activation: str | None = "relu",
        draw: Callable[[], float] | None = None,
        **unknown: NoReturn,
    ) -> None:
        refuse("Layer", "nonlin, activation and draw", unknown)
        check_size("nin", nin)
        check_size("nout", nout)
        self.neurons = [Neuron(nin, nonlin, activation, draw) for _ in range(nout)]

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Evaluate every neuron.

        Parameters
        ----------
        x : iterable of Value or float
            One number for each weight of a neuron. Or a 2-D array of such rows.

        Returns
        -------
        list of Value, or Value
            One for each neuron; where there is a single neuron, its Value without a list. For a
            2-D array the list of what each row gives.

        Raises
        ------
        TypeError
            If `x` is no iterable, or what is in it is neither a number nor a Value.
        ValueError
            If there are not as many inputs as weights, or an array has neither 1 nor 2 axes.
        """
        if has_rows(x):
            return [self._evaluate(row) for row in rows_of(x)]
        return self._evaluate(x)

    def _evaluate(self, x: Any) -> Any:
        out = fused(self, x)
        if out is not None:
            return out
        x = sized(x)  # a generator lasts for one neuron only
        outs = [neuron(x) for neuron in glance(self, "neurons")]
        return outs[0] if len(outs) == 1 else outs

    def _weight_rows(self) -> list[Named] | None:
        return weight_rows(self.neurons)

    def parameters(self) -> list[Value]:
        """List the parameters of each neuron in turn.

        Returns
        -------
        list of Value
        """
        return [p for neuron in glance(self, "neurons") for p in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(str(neuron) for neuron in glance(self, 'neurons'))}]"


class MLP(Module):
    """A multi-layer perceptron: layers one after the other, the last one linear.

    Parameters
    ----------
    nin : int
        The number of inputs, at least 1.
    nouts : iterable of int
        The number of neurons in each layer, each at least 1.
    activation : str or None, optional
        The activation of every layer but the last; see `Neuron`.
    init : {"uniform", "glorot", "he"}, optional
        How weights are drawn; biases start at 0. "uniform" is micrograd's, from -1 to 1. "glorot"
        is uniform within ``sqrt(6 / (inputs + outputs))``, after Glorot and Bengio (2010), and
        "he" normal with deviation ``sqrt(2 / inputs)``, after He et al. (2015): for networks that
        are wide, or whose inputs are many.
    seed : int, optional
        Draw from a generator of its own, begun with this, instead of Python's `random`.

    Attributes
    ----------
    layers : list of Layer

    Raises
    ------
    TypeError
        If a size is not an int, or `nouts` no iterable.
    ValueError
        If a size is below 1, or the activation or `init` is unknown.

    Examples
    --------
    >>> random.seed(1337)
    >>> model = MLP(2, [16, 16, 1])
    >>> len(model.parameters())
    337
    >>> model.parameters()[0].data
    0.23550571390294128
    """

    def __init__(
        self,
        nin: int,
        nouts: Iterable[int],
        activation: str | None = "relu",
        init: str = "uniform",
        seed: int | None = None,
        **unknown: NoReturn,
    ) -> None:
        refuse("MLP", "activation, init and seed", unknown)
        if not hasattr(nouts, "__iter__"):
            raise TypeError(f"nouts must be an iterable of ints, found {type(nouts).__name__}")
        sizes = [nin, *nouts]
        for nout in sizes[1:]:
            check_size("every number in nouts", nout)
        n_layers = len(sizes) - 1
        rng: Any = random if seed is None else random.Random(seed)
        self.layers = [
            Layer(
                sizes[i],
                sizes[i + 1],
                nonlin=i != n_layers - 1,
                activation=activation,
                draw=_draws(init, sizes[i], sizes[i + 1], rng),
            )
            for i in range(n_layers)
        ]

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Evaluate the layers in order.

        Parameters
        ----------
        x : iterable of Value or float
            One number for each input. Or a 2-D array of such rows.

        Returns
        -------
        list of Value, or Value
            What the last layer gives: a bare Value where it has one neuron. For a 2-D array the
            list of what it gives for each row.

        Raises
        ------
        TypeError
            If `x` is no iterable, or what is in it is neither a number nor a Value.
        ValueError
            If there are not as many numbers as inputs, or an array has neither 1 nor 2 axes.
        """
        if has_rows(x):
            return [self._evaluate(row) for row in rows_of(x)]
        return self._evaluate(x)

    def _evaluate(self, x: Any) -> Any:
        out = fused(self.layers, x)
        if out is not None:
            return out
        for i, layer in enumerate(self.layers):
            # A hidden layer of one neuron gives a bare Value, and the next one wants a list
            x = layer([x] if i > 0 and isinstance(x, Value) else x)
        return x

    def parameters(self) -> list[Value]:
        """List the parameters of each layer in turn.

        Returns
        -------
        list of Value
        """
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(str(layer) for layer in self.layers)}]"


def _draws(init: str, nin: int, nout: int, rng: Any) -> Callable[[], float]:
    """What draws the weights of a layer."""
    if init == "uniform":
        return lambda: rng.uniform(-1, 1)
    if init == "glorot":
        bound = (6.0 / (nin + nout)) ** 0.5
        return lambda: rng.uniform(-bound, bound)
    if init == "he":
        deviation = (2.0 / nin) ** 0.5
        return lambda: rng.gauss(0.0, deviation)
    raise ValueError(f'init must be "uniform", "glorot" or "he", found {init!r}')


register_nn(Neuron, Layer, MLP)
