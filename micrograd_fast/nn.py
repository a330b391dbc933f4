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

from __future__ import annotations

import random

from ._core import OPERATIONS, fused, fused_rows, glance, register_nn
from ._state import Named, assign, check_arrays, named_arrays, to_arrays, weight_rows
from ._watched import Watched, watched
from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, NoReturn

    import numpy as np
    import numpy.typing as npt

    from ._core import _Number

__all__ = ["MLP", "Activation", "Layer", "Linear", "Module", "Neuron", "Sequential"]

# Every operation that a Value can do to itself with no further argument, but for `detach`, with
# which nothing would learn
_ACTIVATIONS = tuple(
    row.name
    for row in OPERATIONS
    if row.arity == 1 and hasattr(Value, row.name) and row.name != "detach"
)
_LINEAR = (None, "linear")


class Module:
    """The base of everything that has parameters.

    A subclass overrides `parameters` and `__call__`; `zero_grad` and `predict` follow from them.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Value(2.0)
    ...
    ...     def __call__(self, x):
    ...         return self.factor * x
    ...
    ...     def parameters(self):
    ...         return [self.factor]
    >>> scale = Scale()
    >>> scale(3.0).backward()
    >>> scale.factor.grad
    3.0
    >>> scale.zero_grad()
    >>> scale.factor.grad
    0.0
    """

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """List what there is to train.

        Returns
        -------
        list of Value
            Empty, unless a subclass says otherwise.
        """
        return []

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Go through the parameters with their names.

        Yields
        ------
        tuple of (str, Value)
            A name says where the parameter stands in `state_dict`: ``layers.0.weight[3, 1]`` is
            the weight of neuron 3 of the first layer for input 1.

        Raises
        ------
        TypeError
            If a parameter is not in an attribute of the module.

        Examples
        --------
        >>> [name for name, _ in MLP(2, [1]).named_parameters()]
        ['layers.0.weight[0, 0]', 'layers.0.weight[0, 1]', 'layers.0.bias[0]']
        """
        for named in named_arrays(self):
            yield from named.items()

    def state_dict(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the parameters' numbers as arrays. Needs numpy.

        Returns
        -------
        dict of str to numpy.ndarray of float64
            By PyTorch's names: a layer has ``weight``, of shape (outputs, inputs), and ``bias``;
            modules in modules and lists put theirs in front, as in ``layers.0.weight``.

        Raises
        ------
        TypeError
            If a parameter is not in an attribute of the module.

        Examples
        --------
        >>> model = MLP(2, [4, 1])
        >>> {name: array.shape for name, array in model.state_dict().items()}
        {'layers.0.weight': (4, 2), 'layers.0.bias': (4,), 'layers.1.weight': (1, 4), \
'layers.1.bias': (1,)}
        """
        return to_arrays(self)

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Take over numbers that `state_dict` gave. Needs numpy.

        Parameters
        ----------
        state : mapping of str to array_like
            With the names and shapes of `state_dict`. PyTorch's tensors will do.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape is another. Nothing is changed then.
        TypeError
            If an array is not of real numbers. Likewise.

        Examples
        --------
        >>> one, other = MLP(2, [4, 1]), MLP(2, [4, 1])
        >>> other.load_state_dict(one.state_dict())
        >>> other([1.0, 2.0]).data == one([1.0, 2.0]).data
        True
        """
        assign(check_arrays(self, state))

    def predict(self, x: npt.ArrayLike) -> Any:
        """Give the outputs as plain numbers, to the bit those of a call, and keep no graph.

        Where every layer is an ordinary one, no graph is made in the first place. Needs numpy.

        Parameters
        ----------
        x : array_like of float
            A row, one number for each input, or a 2-D array of rows.

        Returns
        -------
        float or numpy.ndarray of float64
            For a row a float, or an array of as many numbers as there are outputs. For n rows an
            array of shape (n,), or (n, outputs) where there are several.

        Raises
        ------
        ValueError
            If there are not as many numbers in a row as inputs, or `x` is neither a row nor rows.

        Examples
        --------
        >>> model = Neuron(2, nonlin=False)
        >>> model.w = [Value(1.0), Value(-1.0)]
        >>> model.predict([2.0, 0.5])
        1.5
        >>> model.predict([[2.0, 0.5], [1.0, 1.0]]).tolist()
        [1.5, 0.0]
        """
        import numpy

        rows = numpy.asarray(x)
        if rows.ndim not in (1, 2):
            raise ValueError(f"x must be a row or an array of rows, found {rows.ndim} axes")
        outputs = self._predicted(rows if rows.ndim == 2 else rows[None], numpy)
        if rows.ndim == 2:
            return outputs
        return outputs[0] if outputs.ndim == 2 else float(outputs[0])

    def _predicted(self, rows: npt.NDArray[Any], numpy: Any) -> Any:
        """The outputs for a 2-D array: one number for each row, or a row of several."""
        if rows.dtype.kind in "biuf":
            outputs = fused_rows(self, numpy.ascontiguousarray(rows, dtype=numpy.float64))
            if outputs is not None:
                return outputs if outputs.shape[1] > 1 else outputs.reshape(len(rows))
        # A row's graph is gone before that of the next one is made.
        model: Any = self  # which a subclass has made callable
        by_row = [_plain(model(row)) for row in rows.tolist()]
        return numpy.array(by_row, dtype=numpy.float64)


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
        _refuse("Neuron", "nonlin, activation and draw", unknown)
        _check_size("nin", nin)
        if activation not in _LINEAR and activation not in _ACTIVATIONS:
            choices = ", ".join(("linear", *_ACTIVATIONS))
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
        if _has_rows(x):
            return [self._evaluate(row) for row in _rows(x)]
        return self._evaluate(x)

    def _evaluate(self, x: Any) -> Any:
        out = fused(self, x)
        return self._by_weight(_sized(x)) if out is None else out

    def _by_weight(self, x: Sequence[Value | _Number]) -> Value:
        w = glance(self, "w")
        if len(x) != len(w):
            raise ValueError(f"a neuron with {len(w)} weights was given {len(x)} inputs{_hint(x)}")
        try:
            act = sum((wi * xi for wi, xi in zip(w, x)), self.b)
        except TypeError as error:
            # Python says of a list or str only that it cannot be repeated.
            if not _hint(x):
                raise
            raise TypeError(f"an input of a neuron must be a number or Value{_hint(x)}") from error
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
        _refuse("Layer", "nonlin, activation and draw", unknown)
        _check_size("nin", nin)
        _check_size("nout", nout)
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
        if _has_rows(x):
            return [self._evaluate(row) for row in _rows(x)]
        return self._evaluate(x)

    def _evaluate(self, x: Any) -> Any:
        out = fused(self, x)
        if out is not None:
            return out
        x = _sized(x)  # a generator lasts for one neuron only
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
        _refuse("MLP", "activation, init and seed", unknown)
        if not hasattr(nouts, "__iter__"):
            raise TypeError(f"nouts must be an iterable of ints, found {type(nouts).__name__}")
        sizes = [nin, *nouts]
        for nout in sizes[1:]:
            _check_size("every number in nouts", nout)
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
        if _has_rows(x):
            return [self._evaluate(row) for row in _rows(x)]
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
        _check_size("nin", nin)
        rng: Any = random if seed is None else random.Random(seed)
        bound = 1.0 / nin**0.5
        super().__init__(nin, nout, nonlin=False, draw=lambda: rng.uniform(-bound, bound))
        for neuron in self.neurons:
            neuron.b.data = rng.uniform(-bound, bound)

    def __call__(self, x: Iterable[Value | _Number]) -> Any:
        """Evaluate the layer; a list of Values, or of such lists for a 2-D array of rows."""
        if _has_rows(x):
            return [self(row) for row in _rows(x)]
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
        if name not in _ACTIVATIONS:
            choices = ", ".join(_ACTIVATIONS)
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
        if _has_rows(x):
            return [self(row) for row in _rows(x)]
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


def _has_rows(x: Any) -> bool:
    if type(x) is list:
        return False
    n_axes = getattr(x, "ndim", None)
    if n_axes not in (None, 1, 2):
        raise ValueError(f"inputs must be a row or a 2-D array of rows, found {n_axes} axes")
    return n_axes == 2


def _rows(x: Any) -> Any:
    """The rows of a 2-D array as lists, whoever made it."""
    if hasattr(x, "tolist"):
        return x.tolist()
    import numpy

    return numpy.asarray(x).tolist()


def _plain(out: Any) -> Any:
    """What a call gave, as numbers."""
    if isinstance(out, (list, tuple)):
        return [_plain(part) for part in out]
    return out.data if isinstance(out, Value) else out


def _sized(x: Any) -> Any:
    """`x`, or a list of it where it can be read once only."""
    if hasattr(x, "__len__"):
        return x
    if not hasattr(x, "__iter__"):
        raise TypeError(f"inputs must be an iterable of numbers, found {type(x).__name__}")
    return list(x)


def _hint(x: Iterable[object]) -> str:
    """How an error about some inputs goes on where one of them is no scalar."""
    for xi in x:
        if isinstance(xi, (list, tuple)):
            return f", found a {type(xi).__name__} among them: several rows go in a 2-D array"
        if isinstance(xi, str):
            return ", found a str among them"
    return ""


def _refuse(owner: str, known: str, unknown: dict[str, Any]) -> None:
    """Say which keywords there are, where one is none of them."""
    if unknown:
        raise TypeError(f"the keywords of {owner} are {known}, found {', '.join(unknown)}")


def _check_size(name: str, size: int) -> None:
    """Refuse a size that is not a positive int."""
    if not hasattr(type(size), "__index__"):
        raise TypeError(f"{name} must be an int, found {type(size).__name__}")
    if size < 1:
        raise ValueError(f"{name} must be at least 1, found {size}")


register_nn(Neuron, Layer, MLP)
