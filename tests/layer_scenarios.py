"""Programs on layers such as people write, and such as take a layer to its limits.

Each is a function of an engine that gives what can be seen, to be compared between engines.
"""

import inspect
import math
import random

import numpy as np
import pytest
from support import SPECIAL_NUMBERS, as_list, bits, gradients, picture, view


def recurrent(engine):
    layer = engine.nn.Layer(4, 3, activation="tanh")
    state = [engine.Value(0.0) for _ in range(3)]
    for x in (0.5, -1.0, 2.0, 0.0):
        state = layer([x, *state])
    loss = engine.sum([s * s for s in state])
    loss.backward()
    return gradients(layer.parameters()), picture(loss)


def skip_connections(engine):
    first, second = engine.nn.Layer(3, 3), engine.nn.Layer(3, 3, activation="gelu")
    x = [engine.Value(v) for v in (0.3, -0.7, 1.1)]
    h = [a + b for a, b in zip(first(x), x)]
    out = [a * b + c for a, b, c in zip(second(h), h, x)]
    loss = engine.sum(out)
    loss.backward()
    loss.backward()
    return gradients(x), gradients(first.parameters()), picture(loss)


def concatenation_in_every_order(engine):
    first, second = engine.nn.Layer(2, 2), engine.nn.Layer(2, 2, activation="sigmoid")
    last = engine.nn.Neuron(4, activation="tanh")
    x = [engine.Value(0.4), engine.Value(-0.2)]
    a, b = first(x), second(x)
    # Each order in turn: the sums of x's gradient are different ones.
    seen = []
    for order in ([0, 1, 2, 3], [3, 0, 2, 1], [2, 3, 0, 1], [1, 3, 2, 0]):
        out = last([[*a, *b][i] for i in order])
        out.backward()
        seen.append(gradients([*x, *a, *b]))
    return seen, picture(out)


def shares_that_arrive_late(engine):
    """What a neuron adds to, used again under a later input of it: in the scalar graph that use
    has its turn before the neuron's own share, which shows in the last bit of some sums."""

    def input_again(neuron, x):
        return neuron([x, x * 0.7]) + x * 0.1

    def weight_again(neuron, x):
        return neuron([x, neuron.w[0] * 0.7]) + neuron.w[0] * 0.1

    def bias_again(neuron, x):
        return neuron([x, neuron.b.tanh()]) + neuron.b * 0.1

    def neuron_again(neuron, x):
        return neuron([x, neuron([0.3, 0.4])]) + neuron.w[0] * 0.1 + neuron.b

    seen = []
    for use in (input_again, weight_again, bias_again, neuron_again):
        for _ in range(20):
            neuron = engine.nn.Neuron(2, activation="tanh")
            x = engine.Value(random.random())
            neuron([x, 1.0])  # so that it is fused before its parameters have other uses
            out = use(neuron, x)
            out.backward()
            seen.append(gradients([x, *neuron.parameters()]))
    return seen, picture(out)


def layer_met_again_under_a_later_input(engine):
    """Of a layer's two neurons one is met before a neuron that shares an input with it, the other
    under that neuron: its share of the input comes first, though its layer is no news."""
    seen = []
    for _ in range(20):
        layer = engine.nn.Layer(2, 2, activation="tanh")
        neuron = engine.nn.Neuron(2, activation="tanh")
        x, y = engine.Value(random.random()), engine.Value(random.random())
        first, second = layer([x, y])
        out = first * 3.0 + neuron([x, second]) + x * 0.1
        out.backward()
        seen.append(gradients([x, y, *layer.parameters(), *neuron.parameters()]))
    return seen, picture(out)


def one_value_many_times(engine):
    layer = engine.nn.Layer(5, 2)
    x, y = engine.Value(0.1), engine.Value(0.3)
    out = engine.sum(layer([x, y, x, 2.0, x]))
    out.backward()
    return gradients([x, y]), picture(out)


def parameters_as_inputs(engine):
    layer, other = engine.nn.Layer(2, 3), engine.nn.Layer(3, 2)
    out = engine.sum(layer(other([layer.neurons[0].w[0], layer.neurons[1].b, 0.5])))
    out.backward()
    return gradients([*layer.parameters(), *other.parameters()]), picture(out)


def hidden_values_used_again(engine):
    first, second = engine.nn.Layer(2, 4), engine.nn.Layer(4, 1)
    h = first([0.5, engine.Value(-1.5)])
    out = second(h) + engine.sum([v * v for v in h]) + h[2].exp()
    out.backward()
    h[1].backward()
    return gradients(h), gradients(first.parameters()), picture(out)


def several_samples_and_a_regulariser(engine):
    model = engine.nn.MLP(2, [5, 4, 1], activation="silu")
    rows = np.arange(12.0).reshape(6, 2) / 10
    data_loss = engine.sum([(1 - model(row)).relu() for row in rows]) * (1.0 / 6)
    loss = data_loss + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    return bits(loss.data), gradients(model.parameters()), picture(loss)


def training(engine):
    model = engine.nn.MLP(3, [6, 5, 2], activation="leaky_relu")
    seen = []
    for step in range(8):
        outs = [model([0.1 * step, -0.5, engine.Value(k)]) for k in range(3)]
        loss = engine.sum([(v - 1.0) ** 2 for out in outs for v in out])
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
        seen.append((bits(loss.data), gradients(model.parameters())))
    return seen, picture(loss)


def several_roots_over_one_trunk(engine):
    trunk, heads = engine.nn.MLP(2, [4, 3]), engine.nn.Layer(3, 4, activation="elu")
    out = heads(trunk([0.6, engine.Value(0.9)]))
    seen = []
    for root in [*out, out[0], out[1] * out[2]]:
        root.backward()
        seen.append(gradients([*trunk.parameters(), *heads.parameters()]))
    out[3].zero_grad()
    out[3].backward()
    trunk.zero_grad()
    out[0].backward()
    return seen, view([*out, *trunk.parameters()])


def weights_that_change_in_between(engine):
    model = engine.nn.MLP(2, [3, 2])
    x = [engine.Value(0.5), engine.Value(0.25)]
    out = model(x)
    first, second = model.layers
    for i, p in enumerate(model.parameters()):
        p.data = 0.1 * i - 0.7
    x[0].data = 3.0
    out[0].backward()
    first.neurons[1].w[0].data = 10.0
    out[1].backward()
    second.neurons[0].b.data = x[1].data = -4.0
    both = out[0] + out[1]
    both.backward()
    return gradients([*x, *model.parameters()]), picture(both)


def hooks_on_parameters_and_inputs(engine):
    model = engine.nn.MLP(2, [3, 1], activation="tanh")
    x = [engine.Value(0.5), engine.Value(0.25)]
    seen = []
    for watched in (x[1], model.layers[0].neurons[2].w[1], model.layers[1].neurons[0].b):
        watched._backward = lambda watched=watched: seen.append(gradients([watched, *x]))
        out = model(x)
        out.backward()
    return seen, picture(out)


def gradients_of_every_kind(engine):
    """-0.0 stays where nothing is added, and nothing is skipped that is not a number."""
    layer = engine.nn.Layer(3, 4)
    x = [engine.Value(0.5), 0.0, engine.Value(-0.0)]
    seen = []
    for number in (-0.0, math.inf, math.nan, 1e308, -1e308, 5e-324):
        out = layer(x)
        for p in [*layer.parameters(), x[0], x[2], out[1]]:
            p.grad = number
        for v in out:
            v.backward()
        (out[0] * 0.0).backward()
        seen.append(gradients([x[0], x[2], *out, *layer.parameters()]))
    return seen, view(out)


def signs_of_zero_on_the_way_to_a_bias(engine):
    """A linear neuron of one input hands its gradient to the bias as it is."""
    seen = []
    for n_in in (1, 2):
        neuron = engine.nn.Neuron(n_in, activation=None)
        out = neuron([2.0] * n_in)
        for value in (out, *neuron.parameters()):
            value.grad = -0.0
        (out * -0.0).backward()
        seen.append(gradients([out, *neuron.parameters()]))
    return seen


def infinities_that_come_late(engine):
    """A gradient of 0 times an infinity is not a number, whatever it was in the forward pass."""
    seen = []
    for late in ("input", "weight", "neither"):
        layer = engine.nn.Layer(2, 3)
        for neuron in layer.neurons:
            neuron.b.data = -9.0
        x = [engine.Value(0.5), 0.25]
        out = engine.sum(layer(x))
        if late == "input":
            x[0].data = math.inf
        elif late == "weight":
            layer.neurons[1].w[0].data = math.inf
        out.backward()
        seen.append(gradients([x[0], *layer.parameters()]))
    return seen, picture(out)


def infinite_weights_and_zero_grad(engine):
    """What a number among the inputs has received is cleared too."""
    layer = engine.nn.Layer(2, 2, activation="tanh")
    layer.neurons[0].w[0].data = math.inf
    out = engine.sum(layer([1.0, 2.0]))
    out.backward()
    out.zero_grad()
    return picture(out)


def numbers_of_every_kind(engine):
    seen = []
    for i, number in enumerate(SPECIAL_NUMBERS):
        layer = engine.nn.Layer(2, 3, activation=["relu", "tanh", "softplus", "abs"][i % 4])
        layer.neurons[1].w[0].data = number
        layer.neurons[2].b.data = number
        x = [engine.Value(number), engine.Value(SPECIAL_NUMBERS[-1 - i])]
        out = layer(x)
        (out[0] * 0.0 + out[1]).backward()
        out[2].backward()
        seen.append((gradients([*x, *layer.parameters()]), view(out)))
    return seen


def neurons_that_detach(engine):
    """No activation to begin with, but one that a neuron can be given."""
    layer = engine.nn.Layer(2, 3)
    for neuron in layer.neurons[1:]:
        neuron.activation = "detach"
    x = [engine.Value(0.5), engine.Value(-2.0)]
    for p in layer.parameters():
        p.grad = -0.0
    seen = []
    for gradient in (1.0, math.inf, math.nan):
        out = layer(x)
        engine.Value(0.0, (out[1],), (gradient,)).backward()
        seen.append(gradients([*x, *layer.parameters()]))
        engine.sum(out).backward()
        seen.append(gradients([*x, *layer.parameters()]))
        seen.append(picture(out[2]))
    return seen


def the_module_changes(engine):
    """Every way to replace a part of a module that has been called already."""
    Value, nn = engine.Value, engine.nn
    layer = nn.Layer(2, 3)
    x = [Value(0.5), 2.0]
    seen = []

    def run():
        out = engine.sum(as_list(layer(x)))
        out.backward()
        seen.append((gradients([x[0], *layer.parameters()]), picture(out)))

    changes = [
        lambda: None,
        lambda: layer.neurons[0].w.__setitem__(1, Value(0.75)),
        lambda: setattr(layer.neurons[1], "b", layer.neurons[0].b),
        lambda: layer.neurons.append(nn.Neuron(2, activation="tanh")),
        lambda: layer.neurons.__setitem__(0, layer.neurons[3]),
        lambda: layer.neurons.pop(3),
        lambda: setattr(layer.neurons[0], "w", [Value(1.0), Value(2.0)]),
        lambda: setattr(layer.neurons[1], "activation", "sigmoid"),
        lambda: setattr(layer.neurons[2], "nonlin", False),
        lambda: layer.neurons[2].__dict__.update(b=Value(-3.0)),
        lambda: vars(layer).update(neurons=[nn.Neuron(2) for _ in range(2)]),
        lambda: layer.neurons.reverse(),
        lambda: layer.neurons[0].w.reverse(),
        lambda: setattr(layer.neurons[0], "b", layer.neurons[0].w[0] * 2),
        lambda: setattr(layer, "neurons", layer.neurons[:1]),
    ]
    for change in changes:
        change()
        run()
    return seen


def patches_and_their_end(engine):
    Value, nn = engine.Value, engine.nn
    model = nn.MLP(2, [3, 1], activation="tanh")
    seen = []

    def run():
        out = model([0.5, Value(0.1)])
        out.backward()
        seen.append((gradients(model.parameters()), picture(out)))

    def own_tanh(self):
        out = Value(math.tanh(self.data), (self,), "own tanh")

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    run()
    add, call = Value.__add__, nn.Neuron.__call__
    for owner, name, patch in [
        (Value, "tanh", own_tanh),
        (Value, "__add__", lambda self, other: add(add(self, other), 0.25)),
        (nn.Neuron, "__call__", lambda self, x: call(self, x) * 2),
    ]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(owner, name, patch)
            run()
        run()
    return seen


def lists_from_outside(engine):
    """What can be given as inputs, and what cannot."""
    layer = engine.nn.Layer(3, 2)
    v = engine.Value(0.5)
    seen = []
    for x in (
        (1, 2.5, v),
        np.float32([0.1, 0.2, 0.3]),
        np.array([1, 2, 3]),
        np.array([v, 1, 2.0], dtype=object),
        (number for number in (1.0, 2.0, 3.0)),
        [True, False, 1],
        [np.float64(1.5), np.int64(2), v],
        [1.0, 2.0],
        [1.0, 2.0, 3.0, 4.0],
        [1.0, "2", 3.0],
        [1.0, None, 3.0],
        [1.0, 10**400, 3.0],
        [1.0, 2j, 3.0],
    ):
        try:
            seen.append(picture(engine.sum(layer(x))))
        except Exception as error:
            seen.append(type(error).__name__)
    return seen


#: All of the above, so that none is forgotten.
SCENARIOS = [
    thing
    for thing in list(globals().values())
    if inspect.isfunction(thing) and thing.__module__ == __name__
]
