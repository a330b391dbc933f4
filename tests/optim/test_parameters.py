"""The parameters of an optimizer: in groups, in layers, and never exchanged in silence."""

import math
import random

import pytest
from optimizer_table import OPTIMIZERS, SEED, snapshot, two_groups

from micrograd_fast import MLP, Value, optim
from micrograd_fast.graph import topological_sort


def test_groups_have_options_of_their_own():
    a, b = Value(1.0), Value(1.0)
    a.grad = b.grad = 1.0
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    assert (a.data, b.data) == (0.75, 0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert (a.data, b.data) == (0.75, 0.0)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_group_that_is_added_begins_anew(name, options):
    first, second = [Value(1.0)], [Value(2.0), Value(3.0)]
    optimizer = getattr(optim, name)(first, **options)
    twin = getattr(optim, name)([Value(p.data) for p in second], **options)
    first[0].grad = 1.0
    optimizer.step()
    optimizer.add_param_group({"params": second})
    for own, other in zip(second, twin.param_groups[0]["params"], strict=True):
        own.grad = other.grad = 0.25
    for _ in range(3):
        optimizer.step()
        twin.step()
    assert [p.data for p in second] == [p.data for p in twin.param_groups[0]["params"]]
    for wrong in [{"params": second}, {"params": [1.0]}, {}, [Value(1.0)]]:
        before = snapshot(optimizer)
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(wrong)
        assert snapshot(optimizer) == before


EXTENSIONS = {
    "+=": lambda group, new: group.__setitem__("params", group["params"] + new),
    "append": lambda group, new: group["params"].append(new[0]),
    "extend": lambda group, new: group["params"].extend(new),
    "an item": lambda group, new: group["params"].__setitem__(0, new[0]),
    "others": lambda group, new: group.update(params=new),
    "others in a tuple": lambda group, new: group.update(params=(*group["params"], *new)),
    "none": lambda group, new: group.pop("params"),
}


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("action", ["step", "zero_grad", "state_dict"])
def test_the_parameters_of_a_group_cannot_be_exchanged_in_silence(extension, action):
    optimizer = two_groups("Adam")
    new = MLP(2, [16, 16, 1]).parameters()

    def extended():
        EXTENSIONS[extension](optimizer.param_groups[1], new)
        getattr(optimizer, action)()

    with pytest.raises((TypeError, AttributeError, ValueError)):
        extended()


def test_a_fused_layer_sees_the_step_and_its_old_graph_does_not():
    random.seed(SEED)
    neuron = MLP(2, [1]).layers[0].neurons[0]
    optimizer = optim.SGD(neuron.parameters(), lr=0.5)
    old = neuron([3.0, -2.0])
    old.backward()
    at_forward = [p.data for p in neuron.parameters()]
    optimizer.step()
    assert [p.data for p in neuron.w] == [at_forward[0] - 1.5, at_forward[1] + 1.0]
    assert neuron([3.0, -2.0]).data != old.data
    first_sum, last_product = old._children
    assert last_product.data == at_forward[1] * -2.0
    assert first_sum._children[1].data == at_forward[0] * 3.0


def replaced_bias(model):
    model.layers[0].neurons[1].b = Value(0.5)


def shared_weight(model):
    first, second = (layer.neurons[0] for layer in model.layers)
    second.w[0] = first.w[0]


def appended_neuron(model):
    model.layers[1].neurons.append(model.layers[1].neurons.pop(0))


def hooked_weight(model):
    model.layers[1].neurons[0].w[1]._backward = lambda: None


@pytest.mark.parametrize("change", [replaced_bias, shared_weight, appended_neuron, hooked_weight])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_find_the_parameters_wherever_a_layer_has_put_them(change, momentum):
    """An optimizer made before the first call, over a list in disorder, while layers change."""
    results = []
    for with_optimizer in (True, False):
        random.seed(SEED)
        model = MLP(3, [2, 2])
        params = [*model.parameters(), Value(0.25), Value(-0.5)]
        random.shuffle(params)
        optimizer = optim.SGD(params, lr=0.1, momentum=momentum)
        velocity = [None] * len(params)
        trace = []
        for step in range(6):
            if step == 3:
                change(model)
            out = model([math.sin(step), 1.0, -0.5])
            loss = (out[0] - 1.0) ** 2 + (out[1] + 1.0) ** 2 + sum(p * p for p in params) * 0.1
            if with_optimizer:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            else:
                for p in params:
                    p.grad = 0.0
                loss.backward()
                for i, p in enumerate(params):
                    g = p.grad
                    if momentum:
                        v = velocity[i]
                        g = velocity[i] = g if v is None else momentum * v + 1.0 * g
                    p.data -= 0.1 * g
            trace.append([loss.data, *(p.data for p in params), *(p.grad for p in params)])
        results.append(trace)
    assert results[0] == results[1]
    assert results[0][2] != results[0][5]


def test_graphs_from_before_a_step_keep_their_weights_in_every_layer():
    random.seed(SEED)
    model = MLP(2, [3, 2, 1])
    twin = MLP(2, [3, 2, 1])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        q.data = p.data
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    old, wanted = model([3.0, -2.0]), twin([3.0, -2.0])
    for p in model.parameters():
        p.grad = 1.0
    optimizer.step()
    found = topological_sort(old)
    products = [node.data for node in found if node._op == "*"]
    assert products == [node.data for node in topological_sort(wanted) if node._op == "*"]
    assert len(products) == 2 * 3 + 3 * 2 + 2
