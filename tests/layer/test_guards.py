"""A fused layer is what its lists and attributes say, however they were changed.

Each change is made to the reference, to the engine without fusing and to the engine with it,
between calls of a model that is fused before; the numbers must be the same bits.
"""

import copy
import gc
import operator
import pickle
import random
import sys

import numpy as np
import pytest
from support import as_list, bits, gradients, run_python, same_everywhere

X = [1.0, -2.0, 3.0]


def constant(engine, number):
    return engine.Value(number)


def weights_of(model):
    return model.layers[0].neurons[1].w


CHANGES = {
    "list.__setitem__": lambda e, m: list.__setitem__(weights_of(m), 1, constant(e, 100.0)),
    "list.__setitem__ of a slice": lambda e, m: list.__setitem__(
        weights_of(m), slice(0, 2), [constant(e, 1.0), constant(e, 2.0)]
    ),
    "list.__init__": lambda e, m: list.__init__(
        weights_of(m), [constant(e, float(i)) for i in range(3)]
    ),
    "list.reverse": lambda e, m: list.reverse(weights_of(m)),
    "list.sort": lambda e, m: list.sort(weights_of(m), key=lambda p: p.data),
    "list.sort of neurons": lambda e, m: list.sort(
        m.layers[0].neurons, key=lambda neuron: neuron.w[0].data
    ),
    "list.insert and pop of neurons": lambda e, m: list.insert(
        m.layers[0].neurons, 0, list.pop(m.layers[0].neurons)
    ),
    "operator.setitem": lambda e, m: operator.setitem(weights_of(m), 2, constant(e, -7.0)),
    "random.shuffle": lambda e, m: random.Random(3).shuffle(weights_of(m)),
    "object.__setattr__ of b": lambda e, m: object.__setattr__(
        m.layers[1].neurons[0], "b", constant(e, 50.0)
    ),
    "object.__setattr__ of w": lambda e, m: object.__setattr__(
        m.layers[1].neurons[0], "w", [constant(e, 0.5) for _ in range(4)]
    ),
    "object.__setattr__ of nonlin": lambda e, m: object.__setattr__(
        m.layers[0].neurons[0], "nonlin", False
    ),
    "object.__setattr__ of neurons": lambda e, m: object.__setattr__(
        m.layers[1], "neurons", m.layers[1].neurons[::-1]
    ),
    "vars": lambda e, m: vars(m.layers[0].neurons[0]).update(nonlin=False),
    "a new __dict__": lambda e, m: setattr(
        m.layers[0].neurons[0],
        "__dict__",
        {**vars(m.layers[0].neurons[0]), "b": constant(e, 9.0)},
    ),
    "weights exchanged": lambda e, m: exchange(m.layers[0].neurons),
    "weights of a neuron shared": lambda e, m: setattr(
        m.layers[0].neurons[1], "w", m.layers[0].neurons[0].w
    ),
    "a tuple of weights": lambda e, m: setattr(
        m.layers[0].neurons[1], "w", tuple(m.layers[0].neurons[1].w)
    ),
    "numpy's truth for nonlin": lambda e, m: setattr(
        m.layers[0].neurons[0], "nonlin", np.bool_(False)
    ),
    "a class": lambda e, m: setattr(m.layers[0].neurons[0], "__class__", kind_of(e)),
    "a class by object.__setattr__": lambda e, m: object.__setattr__(
        m.layers[0].neurons[0], "__class__", kind_of(e)
    ),
    "a class for a weight": lambda e, m: setattr(weights_of(m)[1], "__class__", value_of(e)),
}


def exchange(neurons):
    neurons[0].w, neurons[1].w = neurons[1].w, neurons[0].w


def kind_of(engine):
    class Doubling(engine.nn.Neuron):
        def __call__(self, x):
            return super().__call__(x) * 2

    return Doubling


def value_of(engine):
    class Sevens(engine.Value):
        def __mul__(self, other):
            return engine.Value(7.0)

    return Sevens


def model_of(engine, sizes=(3, 4, 2)):
    random.seed(5)
    return engine.nn.MLP(sizes[0], list(sizes[1:]))


def outcome(engine, model):
    out = as_list(model(X))
    engine.sum(out).backward()
    return [bits(v.data) for v in out], gradients(model.parameters())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("held", ["nothing", "lists", "dicts"])
def test_24_a_change_is_seen_whoever_makes_it(layer_engines, change, held):
    def scenario(engine):
        model = model_of(engine)
        kept = []
        if held == "lists":
            kept = [layer.neurons for layer in model.layers]
            kept += [neuron.w for neurons in kept for neuron in neurons]
        elif held == "dicts":
            kept = [vars(neuron) for layer in model.layers for neuron in layer.neurons]
        seen = [outcome(engine, model)]
        CHANGES[change](engine, model)
        seen += [outcome(engine, model) for _ in range(3)]
        assert kept or held == "nothing"
        return seen

    before, after, *_ = same_everywhere(layer_engines, scenario)
    assert before != after


@pytest.mark.parametrize("kind", ["list", "dict", "neurons"])
def test_24_what_was_handed_out_before_may_be_changed_at_any_time(layer_engines, kind):
    def scenario(engine):
        model = model_of(engine)
        seen = [outcome(engine, model)]
        neuron = model.layers[0].neurons[1]
        held = {"list": neuron.w, "dict": vars(neuron), "neurons": model.layers[0].neurons}[kind]
        for step in range(4):
            seen.append(outcome(engine, model))
            if kind == "list":
                list.__setitem__(held, step % 3, engine.Value(step + 10.0))
            elif kind == "dict":
                held["b"] = engine.Value(step + 10.0)
            else:
                list.append(held, list.pop(held, 0))
        del held
        seen += [outcome(engine, model) for _ in range(2)]
        return seen

    seen = same_everywhere(layer_engines, scenario)
    assert len({str(part) for part in seen}) > 4


def test_24_layers_with_the_same_parameters_keep_their_own_activation(layer_engines):
    def scenario(engine):
        random.seed(2)
        one = engine.nn.Layer(3, 2)
        other = engine.nn.Layer(3, 2, nonlin=False)
        for neuron, twin in zip(one.neurons, other.neurons):
            twin.w, twin.b = neuron.w, neuron.b
        return [
            [bits(v.data) for v in layer(X)]
            for layer in (one, other, one, one.neurons[0], other.neurons[0], other, one)
            if isinstance(layer, engine.nn.Layer)
        ] + [bits(layer.neurons[0](X).data) for layer in (one, other, one)]

    seen = same_everywhere(layer_engines, scenario)
    assert seen[0] != seen[1]


def test_24_part_of_a_layer_is_a_layer(layer_engines):
    def scenario(engine):
        whole = model_of(engine).layers[0]
        seen = [[bits(v.data) for v in whole(X)]]
        part = engine.nn.Layer(3, 2)
        part.neurons = whole.neurons[1:3]
        for _ in range(2):
            seen.append([bits(v.data) for v in part(X)])
            seen.append([bits(v.data) for v in whole(X)])
            seen.append([bits(neuron(X).data) for neuron in whole.neurons])
        return seen

    same_everywhere(layer_engines, scenario)


CLASS_CHANGES = {
    "Layer.neurons": lambda e, set_: set_(e.nn.Layer, "neurons", property(lambda self: [])),
    "Neuron.w": lambda e, set_: set_(
        e.nn.Neuron, "w", property(lambda self: [e.Value(1.0), e.Value(2.0), e.Value(3.0)])
    ),
    "Neuron.activation": lambda e, set_: set_(
        e.nn.Neuron, "activation", property(lambda self: "tanh")
    ),
    "Neuron.__getattribute__": lambda e, set_: set_(
        e.nn.Neuron,
        "__getattribute__",
        lambda self, name: e.Value(4.0) if name == "b" else object.__getattribute__(self, name),
    ),
    "Layer.__getattribute__": lambda e, set_: set_(
        e.nn.Layer,
        "__getattribute__",
        lambda self, name: (
            object.__getattribute__(self, name)[:1]
            if name == "neurons"
            else object.__getattribute__(self, name)
        ),
    ),
}


@pytest.mark.parametrize("change", CLASS_CHANGES)
def test_24_a_class_that_is_changed_is_obeyed(layer_engines, change, monkeypatch):
    def scenario(engine):
        layer = model_of(engine).layers[0]
        before = [bits(v.data) for v in as_list(layer(X))]
        with monkeypatch.context() as patch:
            CLASS_CHANGES[change](engine, lambda *what: patch.setattr(*what, raising=False))
            changed = [bits(v.data) for v in as_list(layer(X))]
        assert [bits(v.data) for v in as_list(layer(X))] == before
        return before, changed

    before, changed = same_everywhere(layer_engines, scenario)
    assert before != changed


def test_attributes_of_modules_are_plain_lists_in_their_dicts():
    from micrograd_fast.nn import MLP, Neuron

    model = MLP(2, [3, 1])
    neuron = model.layers[0].neurons[0]
    assert type(neuron.w) is type(model.layers[0].neurons) is list
    assert vars(neuron) == {"w": neuron.w, "b": neuron.b, "nonlin": True, "activation": "relu"}
    assert not hasattr(Neuron, "w")
    assert Neuron.activation == "relu"
    with pytest.raises(AttributeError, match="'Neuron' object has no attribute 'w'"):
        Neuron.__new__(Neuron).w  # noqa: B018
    del neuron.b
    with pytest.raises(AttributeError, match="b"):
        del neuron.b
    assert not hasattr(neuron, "b")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_modules_are_copied_and_pickled_by_every_protocol(protocol):
    from micrograd_fast.nn import MLP

    model = MLP(3, [4, 2])
    wanted = [v.data for v in model(X)]
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model, protocol))):
        assert [v.data for v in made(X)] == wanted
        made.layers[0].neurons[0].b.data += 1.0
        made.layers[1].neurons[0].w[0] = made.layers[1].neurons[0].w[0] + 0.0
        assert [v.data for v in model(X)] == wanted
    shallow = copy.copy(model.layers[0])
    shallow.neurons = shallow.neurons[:1]
    assert len(as_list(shallow(X))) == 1
    assert [v.data for v in model(X)] == wanted


class Row:
    """An array-like that does something when it is converted first."""

    ndim = 1

    def __init__(self, numbers, happen):
        self.numbers, self.happen = numbers, happen

    def __len__(self):
        return len(self.numbers)

    def __iter__(self):
        return iter(self.numbers)

    def tolist(self):
        happen, self.happen = self.happen, lambda: None
        happen()
        return list(self.numbers)


HAPPENINGS = {
    "hooks": lambda m: [
        setattr(neuron.w[0], "_backward", lambda: None) for neuron in m.layers[1].neurons
    ],
    "a weight": lambda m: m.layers[0].neurons[0].w.__setitem__(0, m.layers[0].neurons[1].w[0]),
    "fewer neurons": lambda m: m.layers[1].neurons.pop(),
    "other models": lambda m: [type(m)(3, [4, 4, 2])(X) for _ in range(20)],
    "a collection": lambda m: gc.collect(),
}


@pytest.mark.parametrize("part", ["model", "layer", "neuron"])
@pytest.mark.parametrize("happening", HAPPENINGS)
def test_24_an_input_that_touches_the_model_is_converted_first(layer_engines, happening, part):
    def scenario(engine):
        seen = []
        for _ in range(3):
            model = model_of(engine, (3, 4, 2))
            called = {
                "model": model,
                "layer": model.layers[0],
                "neuron": model.layers[0].neurons[0],
            }[part]
            called(X)
            row = Row(X, lambda model=model: HAPPENINGS[happening](model))
            if engine.name == "reference":
                row.tolist()  # the reference does not convert
            seen.append([bits(v.data) for v in as_list(called(row))])
        return seen

    same_everywhere(layer_engines, scenario)


def test_inputs_may_shrink_while_the_layer_is_looked_up():
    from micrograd_fast import Value
    from micrograd_fast.nn import Layer

    class Leaves(Value):
        def __del__(self):
            x.clear()

    x = [1.0, 2.0]
    layer = Layer(2, 2)
    layer(x)
    layer.neurons[0].w[0] = Leaves(1.0)
    layer(x)
    layer.neurons[0].w[0] = Value(1.0)
    gc.collect()
    assert x == []
    with pytest.raises(ValueError, match="2 weights was given 0 inputs"):
        layer(x)


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_predict_may_be_interrupted_by_a_collection_anywhere(happening):
    """The interpreter up to 3.11 collects in the middle of an allocation."""
    from micrograd_fast.nn import MLP

    class Finalizer:
        def __init__(self, happen):
            self.me, self.happen = self, happen

        def __del__(self):
            self.happen()

    rows = np.array([X, X])
    n_interrupted = 0
    try:
        for k in range(1, 40):
            gc.collect()
            gc.disable()
            random.seed(5)
            model = MLP(3, [4, 2])
            wanted = model.predict(rows)
            done = []

            def happen(model=model, done=done):
                HAPPENINGS[happening](model)
                done.append(True)

            Finalizer(happen)
            _ = model.layers[0].neurons  # the layer is to be looked at anew
            gc.set_threshold(gc.get_count()[0] + k)
            gc.enable()
            found = model.predict(rows)
            gc.disable()
            n_interrupted += bool(done)
            after = model.predict(rows) if done else wanted
            # As the model was before the collection or is after it
            assert found.tolist() in (wanted.tolist(), after.tolist())
    finally:
        gc.set_threshold(700, 10, 10)
        gc.enable()
    assert n_interrupted > 0 or sys.version_info >= (3, 12)


def test_the_classes_of_nn_are_registered_once():
    from micrograd_fast import _core
    from micrograd_fast.nn import MLP, Layer, Neuron

    with pytest.raises(RuntimeError, match="registered"):
        _core.register_nn(Neuron, Layer, MLP)
    assert len(as_list(MLP(2, [2, 1])([1.0, 2.0]))) == 1


def test_private_functions_refuse_what_they_cannot_use():
    from micrograd_fast import _core
    from micrograd_fast.nn import MLP

    for module in (None, 3, [], [None], (), object(), MLP(2, [1])):
        assert _core.fused(module, [1.0, 2.0]) is None
    layers = MLP(2, [1]).layers
    assert _core.fused(layers, [1.0, 2.0]).data == layers[0]([1.0, 2.0]).data
    assert _core.fused(layers * 33, [1.0, 2.0]) is None
    assert _core.fused_rows(None, np.ones((1, 2))) is None
    with pytest.raises(ValueError, match="float64"):
        _core.fused_rows(layers[0], np.ones((3, 2), dtype=np.float32))


@pytest.mark.parametrize(
    "make", ["Layer(2, 2, activaton='tanh')", "Neuron(2, nonlinear=True)", "MLP(2, [1], bias=0)"]
)
def test_an_unknown_keyword_names_the_class_and_what_it_takes(make):
    from micrograd_fast import nn

    with pytest.raises(TypeError, match=f"the keywords of {make.partition('(')[0]} are .*activat"):
        eval(make, vars(nn))


MEMORY_RUNS_OUT = """
import _testcapi
from micrograd_fast import _core, Value
from micrograd_fast.nn import MLP

def attempt(do, check):
    n_failures = 0
    for nth in range(400):
        _testcapi.set_nomemory(nth, nth + 1)
        try:
            try:
                do()
            finally:
                _testcapi.remove_mem_hooks()
        except MemoryError:
            n_failures += 1
        check()
    assert n_failures > 0

x = [1.0, 2.0, Value(3.0)]
for sizes in ([4], [4, 2], [4, 4, 1]):
    model = MLP(3, sizes)
    model(x)
    wanted = _core.arena_stats()["live_nodes"]
    def live():
        assert _core.arena_stats()["live_nodes"] == wanted, (sizes, _core.arena_stats(), wanted)
    attempt(lambda: model(x), live)
    attempt(lambda: model.predict([[1.0, 2.0, 3.0]]), live)
    attempt(lambda: model.layers[0](x), live)
    attempt(lambda: model.layers[0].neurons[0](x), live)
    def look_again():
        model.layers[0].neurons[0].w[0] = Value(1.0)
        model(x)
    attempt(look_again, live)
print("ok")
"""


def test_memory_that_runs_out_in_a_call_leaves_no_node_behind():
    assert run_python(MEMORY_RUNS_OUT).strip() == "ok"


def test_a_failing_activation_in_the_middle_leaves_no_node_behind(layer_engines):
    def scenario(engine):
        random.seed(1)
        model = engine.nn.MLP(2, [3, 3, 1], activation="log")
        for p in model.parameters():
            p.data = 1.0
        for p in model.layers[1].neurons[2].w:
            p.data = -5.0
        with pytest.raises(ValueError, match=r"log|math domain"):
            model([1.0, 2.0])
        return [bits(p.grad) for p in model.parameters()]

    same_everywhere(layer_engines, scenario)
