"""Points 22 and 23 of the drop-in contract: micrograd's modules, and what they take as inputs.

Next to micrograd 0.1.0 itself where it makes the promise; the rest is in `tests/test_nn.py`.
"""

import random

import micrograd.nn
import numpy as np
import pytest
from support import as_list, bits, gradients, picture

SIZES = (2, [16, 16, 1])


def seeded(nn, seed=1337, sizes=SIZES):
    random.seed(seed)
    return nn.MLP(*sizes)


def attributes(module):
    return {name for name in vars(module) if not name.startswith("_")}


# 22: attributes, parameters, repr, draws ---------------------------------------------------------


def test_22_modules_have_the_attributes_of_micrograd(engine):
    ours, theirs = seeded(engine.nn), seeded(micrograd.nn)
    assert attributes(ours) == attributes(theirs) == {"layers"}
    assert attributes(ours.layers[0]) == attributes(theirs.layers[0]) == {"neurons"}
    our_neuron, their_neuron = ours.layers[0].neurons[0], theirs.layers[0].neurons[0]
    assert attributes(their_neuron) == {"w", "b", "nonlin"}
    assert attributes(our_neuron) == {"w", "b", "nonlin", "activation"}
    for module in (ours, ours.layers[0], our_neuron):
        assert isinstance(module, engine.nn.Module)
    assert [len(layer.neurons) for layer in ours.layers] == [16, 16, 1]
    assert all(type(v) is engine.Value for v in [*our_neuron.w, our_neuron.b])
    assert isinstance(our_neuron.w, list)


@pytest.mark.parametrize("sizes", [SIZES, (3, [4, 2]), (1, [1]), (5, [3, 1, 2])])
def test_22_a_seed_gives_the_parameters_of_micrograd_in_its_order(engine, sizes):
    ours, theirs = seeded(engine.nn, 7, sizes), seeded(micrograd.nn, 7, sizes)
    after_theirs = random.random()
    seeded(engine.nn, 7, sizes)
    assert random.random() == after_theirs
    assert [bits(p.data) for p in ours.parameters()] == [bits(p.data) for p in theirs.parameters()]
    for our_layer, their_layer in zip(ours.layers, theirs.layers, strict=True):
        for one, other in zip(our_layer.neurons, their_layer.neurons, strict=True):
            assert [w.data for w in one.w] == [w.data for w in other.w]
            assert (one.b.data, one.nonlin) == (other.b.data, other.nonlin)


def test_22_the_published_seed_gives_the_published_model(engine):
    model = seeded(engine.nn)
    assert len(model.parameters()) == 337
    assert model.parameters()[0].data == 0.23550571390294128


def test_22_parameters_are_the_very_values_of_the_neurons(engine):
    model = engine.nn.MLP(2, [3, 2])
    wanted = [
        p for layer in model.layers for neuron in layer.neurons for p in [*neuron.w, neuron.b]
    ]
    assert list(map(id, model.parameters())) == list(map(id, wanted))


@pytest.mark.parametrize("sizes", [SIZES, (3, [1]), (1, [2, 2])])
def test_22_repr_is_that_of_micrograd(engine, sizes):
    ours, theirs = engine.nn.MLP(*sizes), micrograd.nn.MLP(*sizes)
    assert repr(ours) == repr(theirs)
    assert repr(ours.layers[-1]) == repr(theirs.layers[-1])
    assert repr(ours.layers[0].neurons[0]) == repr(theirs.layers[0].neurons[0])


def test_22_a_single_output_is_unwrapped(engine):
    for nn in (engine.nn, micrograd.nn):
        value = type(nn.Neuron(1).b)
        assert type(nn.Neuron(2)([1.0, 2.0])) is value
        assert type(nn.Layer(2, 1)([1.0, 2.0])) is value
        assert [type(out) for out in nn.Layer(2, 2)([1.0, 2.0])] == [value, value]
        assert type(nn.MLP(2, [3, 1])([1.0, 2.0])) is value
        assert [type(out) for out in nn.MLP(2, [3, 2])([1.0, 2.0])] == [value, value]


def test_22_outputs_and_gradients_are_those_of_micrograd(engine):
    """To 1e-12: micrograd keeps operands in a set, so its own last bits vary."""
    results = []
    for nn in (engine.nn, micrograd.nn):
        model = seeded(nn)
        loss = (model([0.5, -1.25]) - 1.0) ** 2
        loss.backward()
        results.append([loss.data, *(p.grad for p in model.parameters())])
    ours, theirs = results
    assert ours == pytest.approx(theirs, rel=1e-12, abs=0.0)
    assert sum(gradient != 0.0 for gradient in ours) > 100


def test_22_relu_in_hidden_layers_and_a_linear_head_are_the_default(engine):
    model = seeded(engine.nn)
    random.seed(1337)
    explicit = engine.nn.MLP(*SIZES, activation="relu")
    assert picture(model([0.5, -1.0])) == picture(explicit([0.5, -1.0]))
    nonlinear = [{neuron.nonlin for neuron in layer.neurons} for layer in model.layers]
    assert nonlinear == [{True}, {True}, {False}]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear"])
def test_22_an_activation_may_be_chosen(engine, activation):
    random.seed(1337)
    model = engine.nn.MLP(2, [3, 1], activation=activation)
    operations = [op for op, *_ in picture(model([0.5, -1.0]))]
    assert operations.count(activation) == (0 if activation == "linear" else 3)
    assert "ReLU" not in operations


def test_22_a_hidden_layer_of_one_neuron_works(engine):
    """micrograd unwraps its output, and the next layer fails on it."""
    theirs = micrograd.nn.MLP(2, [1, 2])
    with pytest.raises(TypeError):
        theirs([1.0, 2.0])
    model = engine.nn.MLP(2, [1, 2])
    hidden, (first, second) = model.layers[0].neurons[0], model.layers[1].neurons
    x = [0.5, -1.0]
    wanted = [picture(neuron([hidden(x)])) for neuron in (first, second)]
    assert [picture(out) for out in model(x)] == wanted


# 23: inputs --------------------------------------------------------------------------------------

ROW = [0.5, -1.25, 2.0]
REST = {"Neuron": [], "Layer": [2], "MLP": [[4, 2]]}
KINDS = {
    "Values": lambda value: [value(x) for x in ROW],
    "floats": lambda value: list(ROW),
    "a tuple": lambda value: tuple(ROW),
    "a numpy row": lambda value: np.array([ROW, ROW])[1],
    "a numpy row of Values": lambda value: np.array([value(x) for x in ROW]),
    "a mix": lambda value: [value(0.5), -1.25, np.int64(2)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", ["Neuron", "Layer", "MLP"])
def test_23_inputs_of_every_kind_give_the_bits_of_values(engine, make, kind):
    module = getattr(engine.nn, make)(3, *REST[make], activation="tanh")

    def results(x):
        outs = as_list(module(x))
        module.zero_grad()
        engine.sum([out * out for out in outs]).backward()
        return [bits(out.data) for out in outs], gradients(module.parameters())

    found = results(KINDS[kind](engine.Value))
    assert found == results(KINDS["Values"](engine.Value))
    assert len(set(found[1])) > 3


def test_23_values_among_the_inputs_get_their_gradients(engine):
    neuron = engine.nn.Neuron(3, nonlin=False)
    x = [engine.Value(0.5), -1.25, engine.Value(2.0)]
    neuron(x).backward()
    assert (x[0].grad, x[2].grad) == (neuron.w[0].data, neuron.w[2].data)


@pytest.mark.parametrize("length", [0, 1, 2, 4, 100])
@pytest.mark.parametrize("make", ["Neuron", "Layer", "MLP"])
def test_23_a_wrong_length_is_a_value_error_that_says_both(engine, make, length):
    """micrograd takes as many as there are of both, and says nothing."""
    rest = REST[make]
    getattr(micrograd.nn, make)(3, *rest)([1.0] * length)
    module = getattr(engine.nn, make)(3, *rest)
    before = [p.grad for p in module.parameters()]
    for row in ([1.0] * length, np.ones(length), [engine.Value(1.0)] * length):
        with pytest.raises(ValueError, match=rf"\b3\b.*\b{length}\b") as caught:
            module(row)
        assert type(caught.value) is ValueError
    assert [p.grad for p in module.parameters()] == before
