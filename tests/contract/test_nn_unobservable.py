"""Point 24 of the drop-in contract: whatever a layer does to be fast cannot be seen."""

import random

import pytest
from support import bits, picture, trace


@pytest.fixture
def patch(engine):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch.setattr


def twins(compiled, reference, sizes=(3, [4, 4, 2]), **keywords):
    models = []
    for engine in (compiled, reference):
        random.seed(9)
        models.append(engine.nn.MLP(*sizes, **keywords))
    return models


def outputs(model, x):
    out = model(x)
    return out if isinstance(out, list) else [out]


def same_graphs(compiled, reference, change=lambda engine, model: None, **keywords):
    """Build, change and run a model on both engines; everything visible must agree."""
    pictures = []
    for engine, model in zip((compiled, reference), twins(compiled, reference, **keywords)):
        change(engine, model)
        x = [engine.Value(0.5), -0.25, 2]
        outs = outputs(model, x)
        loss = engine.sum([(out - 1.0) ** 2 for out in outs])
        before = picture(loss)
        loss.backward()
        once = picture(loss)
        loss.backward()
        twice = picture(loss)
        gradients = [bits(p.grad) for p in model.parameters()]
        assert once != twice
        pictures.append((before, once, twice, gradients))
    assert pictures[0] == pictures[1]
    return pictures[0]


def test_24_the_graph_is_the_scalar_graph(compiled, reference):
    before, once, _, _ = same_graphs(compiled, reference)
    ops = [op for op, *_ in before]
    # 4 * 3 + 4 * 4 + 2 * 4 products of weights and inputs, 8 hidden units.
    assert ops.count("*") >= 36
    assert ops.count("ReLU") == 8
    assert any(gradient != bits(0.0) for *_, gradient in once)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_24_the_graph_of_other_activations(compiled, reference, activation):
    same_graphs(compiled, reference, activation=activation)


def test_24_a_replaced_weight(compiled, reference):
    def change(engine, model):
        model.layers[0].neurons[0].w[0] = engine.Value(0.125)
        model.layers[1].neurons[1].b = engine.Value(-0.5) * 3

    same_graphs(compiled, reference, change)


def test_24_a_weight_that_is_a_number(compiled, reference):
    def change(engine, model):
        model.layers[0].neurons[0].w[1] = engine.Value(2.0) + 0
        model.layers[0].neurons[2].w = [engine.Value(i) for i in (1, 2, 3)]

    same_graphs(compiled, reference, change)


def test_24_an_appended_and_a_removed_neuron(compiled, reference):
    def change(engine, model):
        random.seed(10)
        model.layers[-1].neurons.append(engine.nn.Neuron(4, nonlin=False))
        model.layers[-1].neurons.append(engine.nn.Neuron(4))
        del model.layers[-1].neurons[0]

    same_graphs(compiled, reference, change)


def test_24_a_shared_weight_and_a_shared_neuron(compiled, reference):
    def change(engine, model):
        first, second = model.layers[0].neurons[:2]
        first.w[0] = second.w[0] = second.w[1]
        model.layers[1].neurons[2] = model.layers[1].neurons[3]

    same_graphs(compiled, reference, change)


def test_24_assigned_data_between_forward_and_backward(compiled, reference):
    results = []
    for engine, model in zip((compiled, reference), twins(compiled, reference)):
        loss = engine.sum(outputs(model, [0.5, engine.Value(1.0), -2]))
        for i, p in enumerate(model.parameters()):
            p.data = 0.01 * i
        interior = [node for node in trace(loss) if node._op == "ReLU"]
        interior[0].data = 5.0
        interior[1].grad = -3.0
        loss.backward()
        results.append((picture(loss), [bits(p.grad) for p in model.parameters()]))
    assert results[0] == results[1]


def test_24_a_patched_neuron_call(engine, patch):
    calls = []
    original = engine.nn.Neuron.__call__

    def counted(self, x):
        calls.append(self)
        return original(self, x)

    patch(engine.nn.Neuron, "__call__", counted)
    model = engine.nn.MLP(3, [4, 2])
    model([1.0, 2.0, 3.0])
    assert len(calls) == 6
    assert calls[:4] == model.layers[0].neurons


def test_24_a_patched_layer_call(engine, patch):
    patch(engine.nn.Layer, "__call__", lambda self, x: [engine.Value(len(x))])
    out = engine.nn.MLP(3, [4, 2])([1.0, 2.0, 3.0])
    assert [v.data for v in out] == [1.0]


def test_24_overridden_calls_in_subclasses(engine):
    class Scaled(engine.nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) * 10

    layer = engine.nn.Layer(2, 2)
    plain = [v.data for v in layer([0.5, 0.25])]
    for i, neuron in enumerate(layer.neurons):
        scaled = Scaled(2, nonlin=neuron.nonlin)
        scaled.w, scaled.b = neuron.w, neuron.b
        layer.neurons[i] = scaled
    assert [v.data for v in layer([0.5, 0.25])] == [10 * number for number in plain]


@pytest.mark.parametrize("name", ["relu", "__add__", "__mul__"])
def test_24_a_patched_operation_is_used_inside_layers(engine, patch, name):
    calls = []
    original = getattr(engine.Value, name)

    def counted(self, *others):
        calls.append(name)
        return original(self, *others)

    model = engine.nn.MLP(3, [4, 2])
    expected = [v.data for v in model([1.0, 2.0, 3.0])]
    patch(engine.Value, name, counted)
    out = model([1.0, 2.0, 3.0])
    wanted = {"relu": 4, "__add__": 4 * 3 + 2 * 4, "__mul__": 4 * 3 + 2 * 4}[name]
    assert len(calls) == wanted
    assert [v.data for v in out] == expected


def test_24_a_hook_on_one_parameter(engine):
    model = engine.nn.MLP(2, [3, 1])
    seen = []
    p = model.layers[0].neurons[0].w[0]
    p._backward = lambda: seen.append(p.grad)
    out = model([1.0, 2.0])
    out.backward()
    assert seen == [p.grad]


def test_24_a_hook_on_an_interior_node(engine):
    model = engine.nn.MLP(2, [3, 1])
    for q in model.parameters():
        q.data = 0.5
    out = model([1.0, 2.0])
    relu = next(node for node in trace(out) if node._op == "ReLU")
    original = relu._backward
    seen = []

    def hook():
        seen.append(relu.grad)
        relu.grad = 0.0
        original()

    relu._backward = hook
    out.backward()
    assert seen == [0.5]
    neurons = model.layers[0].neurons
    silent = [neuron for neuron in neurons if not any(w.grad for w in neuron.w)]
    assert len(silent) == 1


def test_24_a_weight_of_a_subclass(engine):
    class Named(engine.Value):
        pass

    neuron = engine.nn.Neuron(2)
    named = neuron.w[1] = Named(0.75)
    named.name = "mine"
    out = neuron([engine.Value(1.0), engine.Value(2.0)])
    found = [node for node in trace(out) if type(node) is Named]
    assert found == [named]
    out.backward()
    assert named.name == "mine"


def test_24_parameters_carry_what_an_optimizer_hangs_on_them(engine):
    model = engine.nn.MLP(2, [3, 1])
    for i, p in enumerate(model.parameters()):
        p.m, p.v = float(i), 0.0
    for _ in range(3):
        out = model([1.0, 2.0])
        model.zero_grad()
        out.backward()
        for p in model.parameters():
            p.m = 0.9 * p.m + p.grad
            p.data -= 0.01 * p.m
    assert all(hasattr(p, "v") for p in model.parameters())


def test_24_a_model_that_gives_the_same_node_twice(compiled, reference):
    results = []
    for engine, model in zip((compiled, reference), twins(compiled, reference)):
        x = engine.Value(0.75)
        loss = engine.sum(outputs(model, [x, x, x]) + outputs(model, [x, 1.0, x]))
        loss.backward()
        results.append((picture(loss), bits(x.grad)))
    assert results[0] == results[1]


# All layers of a model in one go -----------------------------------------------------------------


def test_24_a_layer_call_patched_after_the_model_has_run(engine, patch):
    model = engine.nn.MLP(3, [4, 4, 2])
    before = [v.data for v in model([1.0, 2.0, 3.0])]
    calls = []
    original = engine.nn.Layer.__call__

    def counted(self, x):
        calls.append(self)
        return original(self, x)

    with pytest.MonkeyPatch.context() as inner:
        inner.setattr(engine.nn.Layer, "__call__", counted)
        assert [v.data for v in model([1.0, 2.0, 3.0])] == before
        assert calls == model.layers
    assert [v.data for v in model([1.0, 2.0, 3.0])] == before
    assert len(calls) == 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_24_a_layer_of_a_subclass(engine, place):
    class Doubling(engine.nn.Layer):
        def __call__(self, x):
            return [out * 2.0 for out in super().__call__(x)]

    random.seed(9)
    model = engine.nn.MLP(3, [3, 3, 3], activation="linear")
    before = [v.data for v in model([1.0, 2.0, 3.0])]
    doubling = Doubling(3, 3, nonlin=False)
    doubling.neurons = model.layers[place].neurons
    model.layers[place] = doubling
    assert [v.data for v in model([1.0, 2.0, 3.0])] == [2.0 * number for number in before]


def test_24_layers_in_another_container(compiled, reference):
    def change(engine, model):
        model.layers = tuple(model.layers)

    same_graphs(compiled, reference, change)


def test_24_one_layer_in_two_places(compiled, reference):
    def change(engine, model):
        model.layers.insert(1, model.layers[1])

    same_graphs(compiled, reference, change)


def test_24_a_weight_shared_by_two_layers(compiled, reference):
    def change(engine, model):
        model([0.5, 0.25, 1.0])
        model.layers[1].neurons[0].w[2] = model.layers[0].neurons[3].w[1]

    same_graphs(compiled, reference, change)


def test_24_layers_that_do_not_fit_are_refused(compiled):
    model = compiled.nn.MLP(3, [4, 2])
    model.layers[1] = compiled.nn.Layer(5, 2)
    with pytest.raises(ValueError, match="5 weights was given 4 inputs"):
        model([1.0, 2.0, 3.0])


@pytest.mark.parametrize("failing", [0, 1])
def test_24_an_error_in_some_layer_leaves_no_node(compiled, failing):
    random.seed(9)
    model = compiled.nn.MLP(2, [3, 3, 1], activation="exp")
    model([0.5, 0.25])
    before = compiled.arena_stats()["live_nodes"]
    weight = model.layers[failing].neurons[1].w[0]
    weight.data = 1e300
    with pytest.raises(OverflowError, match="exp"):
        model([1.0, 2.0])
    assert compiled.arena_stats()["live_nodes"] == before
    weight.data = 0.5
    model([0.5, 0.25]).backward()
    assert weight.grad != 0.0


def test_24_neurons_between_layers_are_the_same_objects_when_seen_again(engine):
    model = engine.nn.MLP(2, [3, 1])
    out = model([1.0, 2.0])
    hidden = [node for node in trace(out) if node._op == "ReLU"]
    hidden[0].mark = "seen"
    assert [node for node in trace(out) if node._op == "ReLU"] == hidden
    assert hidden[0].mark == "seen"
