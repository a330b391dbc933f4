"""What is a parameter of a program, and what is none: leaves, and only those that are named."""

import copy
import pickle

import pytest

from micrograd_fast import MLP, Value, compile, jit, optim

COMPUTED = r"must be leaves, found Value\(data=.*\), which was computed"

# Computed Values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_an_optimizer_refuses_what_was_computed(kind):
    leaf, computed = Value(1.0), Value(1.5) * 0.5
    made_of_children = Value(1.0, (leaf,), "custom")
    model = MLP(2, [2, 1])
    for refused in (computed, made_of_children, model([1.0, 2.0])):
        with pytest.raises(ValueError, match=COMPUTED):
            kind([leaf, refused])
        with pytest.raises(ValueError, match=COMPUTED):
            kind([{"params": [leaf]}, {"params": refused}])
        optimizer = kind([leaf])
        with pytest.raises(ValueError, match=COMPUTED):
            optimizer.add_param_group({"params": [Value(2.0), refused]})
        assert len(optimizer.param_groups) == 1
        optimizer.step()


def test_a_layer_with_a_computed_weight_has_no_optimizer():
    model = MLP(2, [2, 1])
    model.layers[0].neurons[1].w[0] = Value(1.5) * 0.5
    with pytest.raises(ValueError, match=COMPUTED):
        optim.SGD(model.parameters())


def assigned():
    node = Value(1.5) * 2.0
    node.data = 100.0
    return node


def assigned_by_name():
    node = Value(1.5).exp()
    setattr(node, "data", 100.0)  # noqa: B010
    return node


def assigned_by_slot():
    node = Value(1.5) ** 2
    Value.data.__set__(node, 100.0)
    return node


def assigned_subclass():
    class Named(Value):
        pass

    node = Named(1.5).tanh()
    node.__class__ = Named
    node.data = 100.0
    return node


def assigned_neuron():
    node = MLP(2, [3, 1])([Value(1.0), 2.0])
    node.data = 100.0
    return node


def assigned_hidden_neuron():
    model = MLP(2, [3, 1])
    hidden = model.layers[0]([Value(1.0), 2.0])
    hidden[1].data = 100.0
    return hidden[1]


def assigned_after_it_was_used():
    node = Value(1.5) * 2.0
    user = node * 3.0
    node.data = 100.0
    return user


def assigned_and_copied():
    return copy.deepcopy(assigned())


def assigned_and_copied_alone():
    return copy.copy(assigned())


def assigned_and_pickled():
    return pickle.loads(pickle.dumps(assigned()))


@pytest.mark.parametrize(
    "make",
    [
        assigned,
        assigned_by_name,
        assigned_by_slot,
        assigned_subclass,
        assigned_neuron,
        assigned_hidden_neuron,
        assigned_after_it_was_used,
        assigned_and_copied,
        assigned_and_copied_alone,
        assigned_and_pickled,
    ],
)
def test_a_computed_value_that_was_assigned_data_is_not_frozen(make):
    x = Value(1.0)
    node = make()
    with pytest.raises(ValueError, match="assigned after it had been computed"):
        compile(node + x, [x])
    with pytest.raises(ValueError, match="assigned after it had been computed"):
        jit(lambda x: node * x)(2.0)


def test_the_graph_goes_on_with_data_that_was_assigned():
    a, x = Value(1.5), Value(1.0)
    node = a * 2.0
    node.data = 100.0
    output = node + x
    output.backward()
    assert (output.data, a.grad) == (101.0, 2.0)


def test_leaves_may_be_assigned_and_made_again():
    a, x = Value(1.5), Value(1.0)
    a.data = 2.0
    computed = a * 2.0
    computed.data = 100.0
    computed.__init__(3.0)  # a leaf now
    program = compile(computed * a + x, [x])
    assert program.parameters == (computed, a)
    assert program([1.0]) == 7.0


def test_a_number_that_is_made_a_value_again_is_a_parameter():
    x = Value(1.0)
    output = x * 2.0
    (number,) = [operand for operand in output._prev if operand is not x]
    assert compile(output, [x]).parameters == ()
    number.__init__(5.0)
    program = compile(output, [x])
    assert program.parameters == (number,)
    assert program([3.0]) == 15.0
