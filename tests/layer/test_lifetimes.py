"""Fused layers cannot be told from the scalar graph: who outlives whom, copies, odd modules."""

import copy
import gc
import pickle
import sys
import weakref

import pytest
from support import (
    bits,
    gradients,
    live_nodes_after_collection,
    picture,
    run_python,
    same_everywhere,
    trace,
    view,
)

from micrograd_fast import MLP, compile
from micrograd_fast.graph import draw_graph, topological_sort

# Lifetimes ------------------------------------------------------------------------------------


def test_a_graph_outlives_its_model(layer_engines):
    def scenario(engine):
        model = engine.nn.MLP(2, [3, 2])
        out = model([0.5, engine.Value(0.25)])
        loss = out[0] * out[1]
        del model, out
        gc.collect()
        loss.backward()
        first = bits(loss.grad)
        loss.backward()
        return first, picture(loss)

    same_everywhere(layer_engines, scenario)


@pytest.mark.parametrize(
    "look",
    [topological_sort, draw_graph, pickle.dumps, lambda loss: compile(loss, [])],
    ids=["topological_sort", "draw_graph", "pickle", "compile"],
)
def test_a_layer_is_as_light_to_call_after_somebody_has_looked(look):
    """A call holds no reference on the Value of each weight, which would take it time."""
    model = MLP(2, [3, 1])
    weight = model.layers[0].neurons[0].w[0]
    before = sys.getrefcount(weight)
    look(model([1.0, 2.0]))
    outputs = [model([1.0, 2.0]) for _ in range(10)]
    assert sys.getrefcount(weight) == before
    assert len({output.data for output in outputs}) == 1


def test_a_model_outlives_its_graphs(layer_engines):
    def scenario(engine):
        model = engine.nn.MLP(2, [3, 2])
        for _ in range(5):
            loss = engine.sum(model([0.5, engine.Value(0.25)]))
            loss.backward()
            del loss
            gc.collect()
        return gradients(model.parameters()), view(model.parameters())

    same_everywhere(layer_engines, scenario)


@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_what_a_parameter_carries_is_found_when_the_model_is_gone(layer_engine, moment):
    def attach(neuron):
        neuron.w[0].label = "first"
        neuron.b.momentum = [0.5]

    neuron = layer_engine.nn.Neuron(2)
    if moment == "before the call":
        attach(neuron)
    outs = [neuron([1.0, 2.0]), neuron([3.0, 4.0])]
    if moment == "after the call":
        attach(neuron)
    del neuron
    gc.collect()
    for out in outs:
        nodes = trace(out)
        assert [node.label for node in nodes if node.label] == ["first"]
        assert [node.momentum for node in nodes if hasattr(node, "momentum")] == [[0.5]]


def test_what_a_parameter_carries_survives_a_ring_through_the_model(layer_engine):
    neuron = layer_engine.nn.Neuron(2)
    neuron.w[1].model, neuron.w[1].tag = neuron, "tagged"
    out = neuron([1.0, 2.0])
    del neuron
    gc.collect()
    (found,) = [node for node in trace(out) if hasattr(node, "tag")]
    assert found.model.w[1] is found


def test_a_weak_reference_to_a_parameter_holds_as_long_as_the_graph(layer_engine):
    neuron = layer_engine.nn.Neuron(2)
    parameter = weakref.ref(neuron.w[0])
    out = neuron([1.0, 2.0])
    del neuron
    gc.collect()
    assert parameter() is out._children[0]._children[0]._children[1]._children[0]
    del out
    gc.collect()
    assert parameter() is None


@pytest.mark.parametrize("ring", ["input", "several outputs", "parameter"])
def test_a_ring_through_a_layer_call_is_collected(layer_engines, ring):
    def scenario(engine):
        before = live_nodes_after_collection(engine.arena_stats)
        for _ in range(3):
            layer, x = engine.nn.Layer(2, 3), engine.Value(1.0)
            out = layer([x, 2.0])
            if ring == "input":
                x.kept = out[1]
            elif ring == "several outputs":
                x.kept = out
            else:
                layer.neurons[0].w[0].kept = out[2]
            del layer, x, out
        return live_nodes_after_collection(engine.arena_stats) - before

    assert same_everywhere(layer_engines, scenario, only=("unfused", "fused")) == 0


def test_dead_layers_leave_room_for_others():
    """Layers of any size, built and dropped, and layers that are taken apart again and again."""
    capacities = run_python(
        """
        import random
        from micrograd_fast import nn
        from micrograd_fast._core import arena_stats
        from micrograd_fast.engine import Value, sum

        rng = random.Random(5)

        def alternating(step):
            model = nn.MLP(2, [[16, 16, 1], [15, 15, 1]][step % 2])
            model([1.0, 2.0]).backward()

        def of_any_size(step):
            model = nn.MLP(2, [rng.randint(1, 9), rng.randint(1, 9), 1])
            model([1.0, Value(2.0)]).backward()

        layer = nn.Layer(16, 16)

        def taken_apart(step):
            out = sum(layer([1.0] * 16))
            layer.neurons[step % 16].w[3] = Value(0.5)
            out.backward()

        for step in (alternating, of_any_size, taken_apart):
            for i in range(1500):
                step(i)
            settled = arena_stats()["capacity"]
            for i in range(3000):
                step(i)
            print(step.__name__, settled, arena_stats()["capacity"])
        """
    )
    for line in capacities.splitlines():
        name, settled, final = line.split()
        assert settled == final, name
    assert len(capacities.splitlines()) == 3


# Copies ---------------------------------------------------------------------------------------

CLONES = [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
clones = pytest.mark.parametrize("clone", CLONES, ids=["deepcopy", "pickle"])


@clones
@pytest.mark.parametrize("called", [False, True])
def test_a_copied_model_is_a_model(layer_engines, clone, called):
    def scenario(engine):
        model = engine.nn.MLP(2, [3, 2])
        if called:
            engine.sum(model([0.5, 1.0])).backward()
        twin = clone(model)
        seen = []
        for trained, rate in ((model, 0.1), (twin, 0.3), (model, 0.1)):
            loss = engine.sum(trained([engine.Value(0.5), 1.0]))
            loss.backward()
            for p in trained.parameters():
                p.data -= rate * p.grad
            seen.append(view([loss, *model.parameters(), *twin.parameters()]))
        return seen

    # The reference's closures cannot be pickled.
    only = () if clone is copy.deepcopy else ("unfused", "fused")
    same_everywhere(layer_engines, scenario, only=only)


@clones
@pytest.mark.parametrize("swept", [False, True])
def test_a_copied_graph_is_the_graph(layer_engines, clone, swept):
    def scenario(engine):
        model = engine.nn.MLP(2, [3, 2])
        loss = engine.sum(model([0.5, engine.Value(1.0)]))
        if swept:
            loss.backward()
        other_model, other = clone((model, loss))
        other.backward()
        assert picture(loss) != picture(other)
        engine.sum(other_model([1.0, 2.0])).backward()
        return view([loss, other, *model.parameters(), *other_model.parameters()])

    same_everywhere(layer_engines, scenario, only=("unfused", "fused"))


def test_a_shallow_copy_is_not_taken_for_what_was_in_its_place(layer_engine):
    layer = layer_engine.nn.Layer(2, 2)
    wanted = [v.data for v in layer([1.0, 2.0])]
    for _ in range(20):
        gone = layer_engine.nn.Layer(2, 2)
        gone([1.0, 2.0])
        layer([1.0, 2.0])
        del gone
        twin = copy.copy(layer)
        assert [v.data for v in twin([1.0, 2.0])] == wanted


def test_a_memo_stays_right_when_a_layer_is_called_in_between(layer_engine):
    layer = layer_engine.nn.Layer(2, 2)
    for neuron in reversed(layer.neurons):
        neuron.w[:] = [layer_engine.Value(1.0), layer_engine.Value(2.0)]
    memo = {}
    weights = [w for neuron in layer.neurons for w in neuron.w]
    copied = [copy.deepcopy(w, memo) for w in weights]
    layer([1.0, 2.0])
    fillers = [layer_engine.Value(float(i)) for i in range(20)]
    assert all(copy.deepcopy(w, memo) is twin for w, twin in zip(weights, copied))
    assert [copy.deepcopy(v, memo).data for v in fillers] == [float(i) for i in range(20)]


def test_a_gradient_of_minus_zero_from_another_process_stays(layer_engines):
    """A sum of zeros keeps the sign only if nothing is added: here something is."""
    pickled = run_python(
        """
        import pickle
        from micrograd_fast import nn
        random_weights = nn.Layer(2, 3)
        for p in random_weights.parameters():
            p.data, p.grad, p.label = -1.0, -0.0, "labelled"
        print(pickle.dumps(random_weights).hex())
        """
    )
    program = """
        import pickle, sys
        from micrograd_fast import _core
        _core.fuse(sys.argv[1] == "fused")
        layer = pickle.loads(bytes.fromhex(sys.argv[2]))
        for out in layer([1.0, 2.0]):
            out.backward()
        print([p.grad for p in layer.parameters()])
    """
    unfused, fused = (run_python(program, name, pickled.strip()) for name in ("unfused", "fused"))
    assert fused == unfused
    assert "-0.0" not in fused


# Modules that are not quite neurons -----------------------------------------------------------


def test_a_neuron_without_an_attribute_says_so(layer_engine):
    layer = layer_engine.nn.Layer(2, 2)
    layer([1.0, 2.0])
    del layer.neurons[1].nonlin
    with pytest.raises(AttributeError, match="nonlin"):
        layer([1.0, 2.0])


def test_defaults_and_properties_on_the_class_count(layer_engines):
    def scenario(engine):
        Neuron, seen = engine.nn.Neuron, []
        layer = engine.nn.Layer(2, 2)
        layer([1.0, 2.0])
        del layer.neurons[0].activation
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Neuron, "activation", "tanh")
            seen.append(view(layer([1.0, 2.0])))
            bias = property(lambda self: engine.Value(7.0))
            patch.setattr(Neuron, "b", bias, raising=False)
            seen.append(view(layer([1.0, 2.0])))
        seen.append(view(layer([1.0, 2.0])))
        return seen

    tanh, biased, plain = same_everywhere(layer_engines, scenario)
    assert tanh != biased != plain != tanh


def test_attributes_written_through_a_dict_count(layer_engine):
    Value = layer_engine.Value
    layer = layer_engine.nn.Layer(2, 2, nonlin=False)
    layer([1.0, 2.0])
    attributes = vars(layer.neurons[1])
    layer([1.0, 2.0])
    attributes["b"] = Value(100.0)
    attributes["w"] = [Value(1.0), Value(1.0)]
    assert layer([1.0, 2.0])[1].data == 103.0
    attributes["b"] = Value(200.0)
    assert layer([1.0, 2.0])[1].data == 203.0
