"""What is a parameter of a program, and what is none: leaves, and only those that are named."""

import copy
import math
import pickle
import random
import warnings

import numpy as np
import pytest
from frozen import all_bits

from micrograd_fast import MLP, Program, Value, _core, compile, jit, load_program, optim

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


def fast_way(node):
    node.data = 100.0


def by_slot(node):
    Value.data.__set__(node, 100.0)


ASSIGNED_LATER = "a program was made of the Value whose data is assigned"


@pytest.mark.parametrize("assign", [fast_way, by_slot])
@pytest.mark.parametrize(
    "make", [lambda w: w * 2.0, lambda w: MLP(1, [1])([w]), lambda w: w.exp()]
)
def test_data_assigned_to_a_computed_value_of_a_program_is_warned_of(make, assign):
    w = Value(1.5)
    node = make(w)
    program = compile(node * 3.0, [w])
    before = program([1.5])
    with pytest.warns(RuntimeWarning, match=ASSIGNED_LATER) as caught:
        assign(node)
    assert caught[0].filename == __file__
    assert node.data == 100.0
    assert program([1.5]) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match=ASSIGNED_LATER):
            node.data = 7.0
        w.data = 2.0  # a leaf
    assert node.data == 100.0


def test_a_graph_without_a_program_has_no_warning():
    node = Value(1.5) * 2.0
    x = Value(1.0)
    with pytest.raises(ValueError, match="not a leaf"):
        compile(node * x, [node])
    node.data = 1.0
    copied = copy.deepcopy(compile(Value(1.5) * x, [x]))
    assert copied([2.0]) == 3.0


def test_an_assignment_may_free_the_graph_while_it_is_warned_of():
    """What is done at the warning happens before the assignment."""
    held = [Value(1.5) * 2.0]
    compile(held[0] + 1.0, [])
    with warnings.catch_warnings():
        warnings.showwarning = lambda *_: (held.clear(), [Value(k) * 1.0 for k in range(1000)])
        warnings.simplefilter("always")
        held[0].data = 5.0
    assert held == []


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


# Their order -------------------------------------------------------------------------------------


def permuted_program(**options):
    """A program whose parameters are not in the order of the graph; one of them is not in it."""
    a, b, c, x = (Value(number) for number in (2.0, 3.0, 4.0, 0.5))
    output = (b * x + a).tanh() * b
    return compile(output, [x], parameters=[a, c, b], **options), (a, b, c, x), output


def test_parameters_are_in_the_order_that_was_given():
    program, (a, b, c, x), output = permuted_program()
    assert program.parameters == (a, c, b)
    assert program.n_parameters == 3
    assert compile(output, [x]).parameters == (b, a)
    output.backward()
    gradient = [a.grad, 0.0, b.grad]
    rows = [[0.5], [0.5]]
    assert program.value_and_grad([0.5], wrt="parameters")[1].tolist() == gradient
    assert program.parameter_grads(rows).tolist() == [gradient, gradient]
    assert program.value_and_parameter_grad(rows, "sum")[1].tolist() == [2 * g for g in gradient]
    assert program.jacobian([0.5], wrt="parameters").tolist() == gradient
    total, of_fun = program.fun(rows=rows)([2.0, 4.0, 3.0])
    assert (total, of_fun.tolist()) == (output.data, gradient)
    hessian = program.hessian([0.5], wrt="parameters")
    assert hessian[1].tolist() == hessian[:, 1].tolist() == [0.0, 0.0, 0.0]
    twice = compile(output, [x]).hessian([0.5], wrt=[a, b])
    np.testing.assert_allclose(hessian[np.ix_([0, 2], [0, 2])], twice, rtol=1e-15)
    for p in (a, b):
        p.grad = 0.0
    c.grad = -0.0
    program.backward([[0.5]])
    assert [a.grad, c.grad, b.grad] == gradient
    assert math.copysign(1.0, c.grad) == -1.0


def test_a_model_may_say_the_order_of_its_parameters():
    random.seed(5)
    model = MLP(3, [16, 4, 1], activation="tanh")
    x = [Value(0.0) for _ in range(3)]
    output = model(x)
    program = compile(output, x, parameters=model.parameters())
    assert program.parameters == tuple(model.parameters())
    by_graph = compile(output, x)
    rows = np.random.default_rng(0).normal(size=(70, 3))
    order = [by_graph.parameters.index(p) for p in model.parameters()]
    assert order != sorted(order)
    ours = program.value_and_parameter_grad(rows)[1]
    assert all_bits(ours) == all_bits(by_graph.value_and_parameter_grad(rows)[1][order])
    assert program.stats()["sums"] == by_graph.stats()["sums"] > 0
    program.backward(rows)
    assert [p.grad for p in model.parameters()] == ours.tolist()


def test_a_number_may_be_said_to_be_a_parameter():
    x = Value(1.0)
    output = x * 2.0
    (number,) = [operand for operand in output._prev if operand is not x]
    program = compile(output, [x], parameters=[number])
    program.set_parameters([5.0])
    assert program([3.0]) == 15.0


def test_what_is_no_parameter_is_refused():
    a, b, x = Value(2.0), Value(3.0), Value(0.0)
    output = a * x + b
    for given, error, message in [
        ([a, a * 1.0, b], ValueError, r"^parameters\[1\], .*, is not a leaf: it was computed$"),
        ([a, b, a], ValueError, r"^parameters\[2\] is the same Value as parameters\[0\]$"),
        ([x, a, b], ValueError, r"^parameters\[0\] is the same Value as inputs\[0\]$"),
        ([a, 3.0], TypeError, r"^parameters\[1\] must be a Value, found float$"),
        ([a, None], TypeError, r"^parameters\[1\] must be a Value, found NoneType$"),
        ([a], ValueError, r"^Value\(data=3.0, grad=0.0\) is a leaf of the graph, and must be in"),
        ([], ValueError, "they lack 2 of its leaves$"),
        (a, TypeError, "^parameters must be a sequence of Values, found Value$"),
        ({a, b}, TypeError, "^parameters must be a sequence of Values, found set$"),
        (3, TypeError, "^parameters must be a sequence of Values, found int$"),
    ]:
        with pytest.raises(error, match=message):
            compile(output, [x], parameters=given)
    b._backward = lambda: None
    with pytest.raises(ValueError, match="has a Python _backward"):
        compile(a * x, [x], parameters=[a, b])


# Their names -------------------------------------------------------------------------------------


def kept(program, tmp_path):
    """The program as it comes back from a file, a pickle and a copy."""
    program.save(tmp_path / "program.npz")
    return [
        load_program(tmp_path / "program.npz"),
        pickle.loads(pickle.dumps(program)),
        copy.deepcopy(program),
    ]


def test_names_are_labels_or_places_unless_they_are_given():
    a, b, x, y = Value(2.0, label="a"), Value(3.0), Value(0.0, label="x"), Value(1.0)
    program = compile(a * x + b * y, [x, y])
    assert program.input_names == ("x", "inputs[1]")
    assert program.parameter_names == ("a", "parameters[1]")
    a.label = "another"
    assert program.parameter_names == ("a", "parameters[1]")
    named = compile(a * x + b, [x], input_names=["in"], parameter_names=iter(["slope", ""]))
    assert (named.input_names, named.parameter_names) == (("in",), ("slope", ""))


@pytest.mark.parametrize(
    "names", [("a", "c", "b"), ("", "", ""), ("zero\0", "\ud800", "größe" * 1000), ("same",) * 3]
)
def test_names_and_order_are_kept_with_the_program(names, tmp_path):
    program, _, output = permuted_program(input_names=["x"], parameter_names=names)
    for other in kept(program, tmp_path):
        assert other.input_names == ("x",)
        assert other.parameter_names == names
        assert other.get_parameters().tolist() == [2.0, 4.0, 3.0]
        assert other([0.5]) == output.data
        gradient = other.value_and_parameter_grad([0.5])[1]
        assert all_bits(gradient) == all_bits(program.value_and_parameter_grad([0.5])[1])


def test_a_file_without_names_is_read(tmp_path):
    program, _, output = permuted_program()
    path = tmp_path / "program.npz"
    program.save(path)
    with np.load(path) as archive:
        columns = dict(archive)
    del columns["names"], columns["name_lengths"]
    np.savez(path, **{**columns, "format": np.array("micrograd_fast program 1")})
    old = load_program(path)
    assert old([0.5]) == output.data
    assert old.parameter_names == ("parameters[0]", "parameters[1]", "parameters[2]")
    np.savez(path, **columns)
    with pytest.raises(ValueError, match="is not a program: it has no 'names'"):
        load_program(path)


@pytest.mark.parametrize(
    "change",
    [
        {"names": np.array([0x66, 0xFF, 0x66, 0x66], "B")},
        {"names": np.array([0x66] * 3, "B")},
        {"names": np.array([0x66] * 5, "B")},
        {"names": np.array([0x66] * 4, "b")},
        {"names": np.array("four")},
        {"name_lengths": np.array([1, 1, 1], "I")},
        {"name_lengths": np.array([1, 1, 1, 1, 0], "I")},
        {"name_lengths": np.array([1, 1, 1, 2**32 - 1], "I")},
        {"name_lengths": np.array([1.0, 1.0, 1.0, 1.0])},
        {"name_lengths": np.array([1, 1, 1, 1], "i")},
        {"name_lengths": np.array([], "I")},
    ],
)
def test_damaged_names_are_refused(change, tmp_path):
    program, _, _ = permuted_program(input_names=["x"], parameter_names=list("acb"))
    path = tmp_path / "program.npz"
    program.save(path)
    with np.load(path) as archive:
        columns = dict(archive)
    np.savez(path, **{**columns, **change})
    with pytest.raises(ValueError, match="is not a program"):
        load_program(path)


@pytest.mark.parametrize("names", ["ab", {"a"}, 3, [b"a", "b", "c"], [], ["a"] * 4])
def test_names_that_do_not_fit_are_refused(names):
    for kind in ("input_names", "parameter_names"):
        with pytest.raises(
            (TypeError, ValueError), match=rf"^{kind}(\[0\])? must be .*, found \w+$"
        ):
            permuted_program(**{kind: names})
    tape = permuted_program()[0].tape()
    for kind in ("input_names", "parameter_names"):
        with pytest.raises(ValueError, match="damaged program"):
            _core.program_of_tape(Program, {**tape, kind: names}, (1.0, 2.0, 3.0))


# All of them as one vector -----------------------------------------------------------------------


def test_parameters_and_gradients_are_vectors():
    program, (a, b, c, _), _ = permuted_program()
    assert program.get_parameters().dtype == np.float64
    assert program.get_parameters().tolist() == [2.0, 4.0, 3.0]
    program.set_parameters(np.array([1.0, 2.0, 3.0], "f4"))
    assert [a.data, c.data, b.data] == [1.0, 2.0, 3.0]
    program.set_parameters(np.arange(6.0)[::2])
    assert [a.data, c.data, b.data] == [0.0, 2.0, 4.0]
    program.set_grad((1, True, -0.0))
    assert [a.grad, c.grad, b.grad] == [1.0, 1.0, 0.0]
    assert math.copysign(1.0, b.grad) == -1.0
    a.data = 7.0
    vector = program.get_parameters()
    vector[0] = 1.0
    assert a.data == 7.0
    x = Value(1.0)
    empty = compile(x * 2.0, [x], parameters=[])
    assert empty.get_parameters().shape == (0,)
    empty.set_parameters([])


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([1.0, 2.0], ValueError),
        ([1.0, 2.0, 3.0, 4.0], ValueError),
        ([[1.0, 2.0, 3.0]], ValueError),
        (1.0, ValueError),
        ([1.0, 2.0, [3.0]], ValueError),
        ([1.0, 2.0, "3"], TypeError),
        ([1.0, 2.0, None], TypeError),
        ([1.0, 2.0, 1j], TypeError),
        ([1.0, 2.0, Value(3.0)], TypeError),
    ],
)
def test_a_vector_that_does_not_fit_assigns_nothing(vector, error):
    program, (a, b, c, _), _ = permuted_program()
    for assign in (program.set_parameters, program.set_grad):
        with pytest.raises(error, match=r"^vector must be "):
            assign(vector)
    assert [p.data for p in (a, b, c)] == [2.0, 3.0, 4.0]
    assert [p.grad for p in (a, b, c)] == [0.0, 0.0, 0.0]


def test_graphs_keep_the_weights_that_a_vector_replaces():
    random.seed(2)
    model = MLP(2, [4, 1], activation="tanh")
    twin = copy.deepcopy(model)
    x = [Value(0.5), Value(-1.0)]
    program = compile(model(x), x, parameters=model.parameters())
    before = [model(x), twin(x)]
    program.set_parameters(np.linspace(-1.0, 1.0, len(model.parameters())))
    for p, number in zip(twin.parameters(), np.linspace(-1.0, 1.0, len(twin.parameters()))):
        p.data = number
    assert program([0.5, -1.0]) == model(x).data == twin(x).data
    for output in before:
        output.backward()
    assert [p.grad for p in model.parameters()] == [p.grad for p in twin.parameters()]
    products = [{node.data for node in output._prev} for output in before]
    assert products[0] == products[1]


def test_vectors_are_looks_and_writes_to_a_trace():
    weight = Value(2.0)
    program = compile(weight * 3.0)

    def reads(x):
        return x * float(program.get_parameters()[0])

    def writes(x):
        program.set_parameters([4.0])
        return x * weight

    def writes_gradients(x):
        program.set_grad([4.0])
        return x * weight

    for function in (reads, writes, writes_gradients):
        with pytest.raises(RuntimeError, match="looked at a Value while it was traced"):
            jit(function, frozen_reads="error")(1.0)
