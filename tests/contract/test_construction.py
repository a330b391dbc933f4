"""Points 6 to 9 of the drop-in contract: making nodes, their labels, the graph's shape, powers."""

import math
import random

import numpy as np
import pytest
from operation_table import OPERATIONS
from support import same_bits


def shape(node):
    """A graph as nested tuples: leaves are their data, other nodes (op, operands...)."""
    if not node._children:
        return node.data
    return (node._op, *map(shape, node._children))


def test_06_positional_and_keyword_forms_of_the_first_dialect(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    for node in [
        engine.Value(3.0, (a, b), "+", "c"),
        engine.Value(3.0, (a, b), "+", label="c"),
        engine.Value(3.0, _children=(a, b), _op="+", label="c"),
        engine.Value(data=3.0, _children=[a, b], _op="+", label="c"),
        engine.Value(3.0, [a, b], _op="+", label="c"),
    ]:
        assert (node.data, node.grad, node._op, node.label) == (3.0, 0.0, "+", "c")
        assert node._children == (a, b)
        assert node._prev == {a, b}


def test_06_a_text_in_second_place_is_the_label(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    assert engine.Value(3.0, "x").label == "x"
    assert engine.Value(3.0, "").label == ""
    for node in [
        engine.Value(3.0, "c", (a, b), "+"),
        engine.Value(3.0, "c", "+", (a, b)),
        engine.Value(3.0, "c", [a, b], op="+"),
        engine.Value(3.0, "c", children=(a, b), op="+"),
    ]:
        assert (node.data, node.label, node._op) == (3.0, "c", "+")
        assert node._children == (a, b)


@pytest.mark.parametrize("children", ["_children", "children", "prev", "_prev", "parents"])
@pytest.mark.parametrize("op", ["_op", "op"])
@pytest.mark.parametrize("label", ["label", "name"])
def test_06_keywords_are_taken_for_what_they_mean(engine, children, op, label):
    a, b = engine.Value(1.0), engine.Value(2.0)
    node = engine.Value(3.0, **{children: (a, b), op: "+", label: "c"})
    assert (node.data, node._op, node.label) == (3.0, "+", "c")
    assert node._children == (a, b)
    node = engine.Value(3.0, **{children: {a}, "local_grads": (4.0,)})
    node.backward()
    assert (a.grad, b.grad) == (4.0, 0.0)

    class Sub(engine.Value):
        pass

    assert Sub(3.0, **{children: (a,), label: "s"})._children == (a,)


@pytest.mark.parametrize(
    "arguments",
    [
        {"_children": (), "prev": ()},
        {"op": "+", "_op": "*"},
        {"label": "a", "name": "b"},
    ],
)
def test_06_one_meaning_twice_is_a_type_error(compiled, arguments):
    """Even where both say the same: the compiled engine tells "not given" from "empty"."""
    with pytest.raises(TypeError, match="twice"):
        compiled.Value(1.0, **arguments)


def test_06_a_name_that_is_none_is_refused_with_those_that_are(compiled):
    with pytest.raises(TypeError) as refusal:
        compiled.Value(1.0, colour="red")
    for name in ("Value()", "colour", "_children", "parents", "op", "label", "local_grads"):
        assert name in str(refusal.value)
    for attempt in [
        lambda: compiled.Value(),
        lambda: compiled.Value(1.0, (), "", "", "more"),
        lambda: compiled.Value(1.0, data=2.0),
        lambda: compiled.Value(1.0, third="+"),
    ]:
        with pytest.raises(TypeError, match=r"Value\(\)"):
            attempt()


def test_06_a_failed_initialisation_changes_nothing(compiled):
    a = compiled.Value(2.0)
    node = compiled.Value(3.0, (a,), (5.0,), "old")
    user = node * 2
    for arguments in [
        ("text",),
        (1.0, (5,)),
        (1.0, (a,), (1.0, 2.0)),
        (1.0, (user,), (1.0,), "new"),
        (1.0, (node,), "new op"),
    ]:
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            node.__init__(*arguments)
        assert (node.data, node._children, node._local_grads) == (3.0, (a,), (5.0,))
        assert (node.label, node._op) == ("old", "")


def test_06_a_node_with_an_op_text_alone_has_no_derivative(engine):
    """The text names the operation; what backward does is up to `_backward`."""
    a, b = engine.Value(1.0), engine.Value(2.0)
    node = engine.Value(3.0, (a, b), "+")
    node.backward()
    assert (node.grad, a.grad, b.grad) == (1.0, 0.0, 0.0)
    assert node._backward() is None
    out = engine.Value(3.0, (a, b), "*") * 2 + a
    out.backward()
    assert (a.grad, b.grad) == (1.0, 0.0)


def test_06_children_below_an_op_text_are_still_in_the_graph(engine):
    """Backward visits them in their place, so a custom operation below still runs."""
    a = engine.Value(1.0)
    node = engine.Value(3.0, (a * 2, a * 3), "mine")
    twice, thrice = node._children

    def _backward():
        twice.grad += 10.0 * node.grad
        thrice.grad += 100.0 * node.grad

    node._backward = _backward
    node.backward()
    assert a.grad == 320.0


def test_06_defaults(engine):
    leaf = engine.Value(3)
    assert (leaf.data, leaf.grad, leaf._op, leaf.label) == (3.0, 0.0, "", "")
    assert (leaf._prev, leaf._children, leaf._local_grads) == (set(), (), ())
    node = engine.Value(3.0, (leaf,))
    assert (node._op, node._children) == ("", (leaf,))


def test_06_the_second_dialect(engine):
    a, b = engine.Value(2.0), engine.Value(5.0)
    for node in [
        engine.Value(10.0, (a, b), (5.0, 2.0)),
        engine.Value(10.0, [a, b], [5.0, 2.0]),
        engine.Value(10.0, children=(a, b), local_grads=(5.0, 2.0)),
        engine.Value(data=10.0, children=[a, b], local_grads=[5, np.float64(2)]),
        engine.Value(10.0, (a, b), local_grads=(5.0, 2.0)),
    ]:
        a.grad = b.grad = 0.0
        assert node._children == (a, b)
        assert node._local_grads == (5.0, 2.0)
        assert all(type(local) is float for local in node._local_grads)
        node.backward()
        assert (a.grad, b.grad, node.grad) == (5.0, 2.0, 1.0)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 100, 1000])
def test_06_local_gradients_of_any_length(engine, length):
    rng = random.Random(length)
    children = [engine.Value(rng.uniform(-1, 1)) for _ in range(length)]
    slopes = [rng.uniform(-1, 1) for _ in range(length)]
    node = engine.Value(1.0, children, slopes)
    out = node * 3.0
    out.backward()
    for child, slope in zip(children, slopes):
        assert same_bits(child.grad, slope * 3.0)
    assert node._children == tuple(children)
    assert node._local_grads == tuple(slopes)
    assert node._prev == set(children)


def test_06_local_gradients_are_added_in_order(engine):
    """The same child many times: the order of the additions is the order of the list."""
    a = engine.Value(1.0)
    slopes = [1e16, 1.0, -1e16, 1.0]
    engine.Value(0.0, [a] * 4, slopes).backward()
    expected = 0.0
    for slope in slopes:
        expected += slope * 1.0
    assert a.grad == expected == 1.0


def test_06_local_gradients_are_copied(engine):
    a = engine.Value(1.0)
    children, slopes = [a], [2.0]
    node = engine.Value(0.0, children, slopes)
    slopes[0] = 5.0
    slopes.append(1.0)
    children.append(node)
    node.backward()
    assert a.grad == 2.0
    assert node._children == (a,)


def test_06_local_gradients_may_be_special_numbers(engine):
    a, b = engine.Value(1.0), engine.Value(1.0)
    engine.Value(0.0, (a, b), (math.inf, -0.0)).backward()
    assert a.grad == math.inf
    assert same_bits(b.grad, 0.0)


@pytest.mark.parametrize("n_children, n_slopes", [(1, 2), (2, 1), (0, 1), (3, 5), (200, 199)])
def test_06_lengths_that_differ_are_a_value_error(engine, n_children, n_slopes):
    children = [engine.Value(1.0) for _ in range(n_children)]
    with pytest.raises(ValueError, match=rf"\b{n_children}\b.*\b{n_slopes}\b") as caught:
        engine.Value(0.0, children, [1.0] * n_slopes)
    assert type(caught.value) is ValueError
    with pytest.raises(ValueError, match=rf"\b{n_children}\b.*\b{n_slopes}\b"):
        engine.Value(0.0, children=children, local_grads=[1.0] * n_slopes)


@pytest.mark.parametrize("bad", [1.0, None, "a", [1.0]])
def test_06_an_operand_that_is_no_value_is_a_type_error(engine, bad):
    a = engine.Value(1.0)
    name = type(bad).__name__
    with pytest.raises(TypeError, match=name):
        engine.Value(0.0, (a, bad), "+")
    with pytest.raises(TypeError, match=name):
        engine.Value(0.0, (bad, a), (1.0, 2.0))


def test_06_a_local_gradient_that_is_no_number_is_a_type_error(engine):
    a = engine.Value(1.0)
    for bad in ("1", None, 1j, a):
        with pytest.raises(TypeError, match=type(bad).__name__):
            engine.Value(0.0, (a, a), (1.0, bad))


def test_06_wrong_calls_are_type_errors(engine):
    a = engine.Value(1.0)
    for attempt in [
        lambda: engine.Value(),
        lambda: engine.Value(1.0, (), "", "", "surplus", "more"),
        lambda: engine.Value(1.0, colour="red"),
        lambda: engine.Value(1.0, 5),
        lambda: engine.Value(1.0, data=2.0),
        lambda: a.relu(1.0),
        lambda: a.leaky_relu(0.1, 0.2),
        lambda: a.leaky_relu(slope=0.1),
        lambda: a.backward(1.0),
        lambda: a.maximum(),
        lambda: a.clip(0.0, 1.0, 2.0),
    ]:
        with pytest.raises(TypeError):
            attempt()


def test_06_children_may_be_any_iterable(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    assert engine.Value(0.0, {a, b}, "+")._prev == {a, b}
    assert engine.Value(0.0, (v for v in (a, b)), "+")._children == (a, b)
    assert engine.Value(0.0, {a: 1, b: 2}, "+")._children == (a, b)


def test_06_init_called_again_starts_over(engine):
    v = engine.Value(1.0, label="old")
    v.grad = 5.0
    v.__init__(3.0, (), "", "new")
    assert (v.data, v.grad, v.label, v._op, v._children) == (3.0, 0.0, "new", "", ())
    a = engine.Value(2.0)
    v.__init__(4.0, (a,), (7.0,))
    out = v * 2
    out.backward()
    assert (v.grad, a.grad) == (2.0, 14.0)
    v.__init__(5.0)
    assert (v.data, v.grad, v._children, out._children[0]) == (5.0, 0.0, (), v)
    a.grad = 0.0
    out.backward()
    assert (v.grad, a.grad) == (2.0, 0.0)


# The reference lets a graph be bent into a ring; the compiled engine keeps it free of cycles.
def test_06_init_with_itself_below_is_refused(compiled):
    a = compiled.Value(2.0)
    v = a * 3
    out = v + 1
    for children in [(v,), (out,), (a, out * 2)]:
        with pytest.raises(RuntimeError, match="own operand"):
            v.__init__(5.0, children, "ring")
    alone = compiled.Value(1.0)
    with pytest.raises(RuntimeError, match="own operand"):
        alone.__init__(2.0, (alone,))
    out.backward()
    assert (v.data, v.grad, a.grad, out.data) == (6.0, 1.0, 3.0, 7.0)


def test_06_a_long_chain_made_by_the_constructor(engine):
    """Making a node looks at its operands, not at everything under them."""
    node = start = engine.Value(1.0)
    for _ in range(100_000):
        node = engine.Value(1.0, (node,), (1.0,))
    node.backward()
    assert start.grad == 1.0


def test_06_subclass_with_its_own_constructor(engine):
    class Named(engine.Value):
        def __init__(self, data, name, **extra):
            super().__init__(data, label=name)
            self.extra = extra

    n = Named(2, "n", colour="red")
    assert (n.data, n.label, n.extra) == (2.0, "n", {"colour": "red"})


def test_07_numbers_become_leaves(engine):
    a = engine.Value(2.0)
    for out, number in [(a + 1, 1.0), (a * 2.5, 2.5), (3 + a, 3.0), (True * a, 1.0)]:
        leaf = next(child for child in out._children if child is not a)
        assert type(leaf) is engine.Value
        assert (leaf.data, leaf.grad, leaf._op, leaf.label) == (number, 0.0, "", "")
        assert leaf._children == ()
    out = a * 3
    out.backward()
    assert [child.grad for child in out._children] == [3.0, 2.0]


def test_07_every_number_is_its_own_leaf(engine):
    a = engine.Value(2.0)
    one, other = (a + 7)._children[1], (a + 7)._children[1]
    assert one is not other
    out = (a * 7) + (a * 7)
    assert len({id(leaf) for mul in out._children for leaf in mul._children}) == 3


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.id)
def test_07_op_text(engine, operation):
    numbers = operation.draw(random.Random(1))
    out = operation.apply(*map(engine.Value, numbers))
    assert type(out._op) is str
    assert out._op == operation.label
    assert len(out._children) == operation.arity


@pytest.mark.parametrize(
    "exponent, text",
    [
        (2, "**2"),
        (2.0, "**2.0"),
        (-1, "**-1"),
        (-1.0, "**-1.0"),
        (0.5, "**0.5"),
        (1 / 3, "**0.3333333333333333"),
        (0, "**0"),
        (-0.0, "**-0.0"),
        (True, "**True"),
        (False, "**False"),
        (1e22, "**1e+22"),
        (1e-7, "**1e-07"),
        (10**20, "**100000000000000000000"),
        (-(10**15), "**-1000000000000000"),
        (math.inf, "**inf"),
        (math.nan, "**nan"),
        (np.int64(2), "**2"),
        (np.uint8(3), "**3"),
        (np.float64(2), "**2.0"),
        (np.float32(0.5), "**0.5"),
        (2**53 + 1, "**9007199254740993"),
    ],
)
def test_07_exponent_as_it_was_written(engine, exponent, text):
    assert (engine.Value(1.0) ** exponent)._op == text


def test_07_op_text_of_sums(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    assert engine.sum([a, b])._op == "+"
    assert engine.dot([a, b], [1.0, b])._op == "+"
    assert (a**b)._op == (2**a)._op == "**"


SHAPES = [
    (lambda a, b: -a, ("*", 3.0, -1.0)),
    (lambda a, b: a - b, ("+", 3.0, ("*", 5.0, -1.0))),
    (lambda a, b: a - 2, ("+", 3.0, -2.0)),
    (lambda a, b: a - np.uint8(2), ("+", 3.0, -2.0)),
    (lambda a, b: 2 - a, ("+", ("*", 3.0, -1.0), 2.0)),
    (lambda a, b: a / b, ("*", 3.0, ("**-1", 5.0))),
    (lambda a, b: a / 2, ("*", 3.0, 0.5)),
    (lambda a, b: a / 3.0, ("*", 3.0, 3.0**-1)),
    (lambda a, b: a / np.int64(4), ("*", 3.0, 0.25)),
    (lambda a, b: 1 / a, ("*", ("**-1", 3.0), 1.0)),
    (lambda a, b: 2 + a, ("+", 3.0, 2.0)),
    (lambda a, b: 2 * a, ("*", 3.0, 2.0)),
    (lambda a, b: a + 2, ("+", 3.0, 2.0)),
    (lambda a, b: 2**a, ("**", 2.0, 3.0)),
    (lambda a, b: a**b, ("**", 3.0, 5.0)),
    (lambda a, b: abs(a), ("abs", 3.0)),
    (lambda a, b: a.maximum(4), ("maximum", 3.0, 4.0)),
    (lambda a, b: sum([a, b]), ("+", ("+", 3.0, 0.0), 5.0)),
    (lambda a, b: sum([a, b], b), ("+", ("+", 5.0, 3.0), 5.0)),
]


@pytest.mark.parametrize("build, expected", SHAPES)
def test_08_shape_of_the_graph(engine, build, expected):
    a, b = engine.Value(3.0), engine.Value(5.0)
    assert shape(build(a, b)) == expected


def test_08_shape_of_the_module_functions(engine):
    a, b = engine.Value(3.0), engine.Value(5.0)
    for values in ([a], [a, b], [a, 2, b], [2, 1, a, b], [a, a]):
        assert shape(engine.sum(values)) == shape(sum(values)), values
    assert shape(engine.sum([a, b])) == ("+", ("+", 3.0, 0.0), 5.0)
    for w, x in [([a], [b]), ([a, b], [2.0, a]), ([1, a], [2, b]), ([1.5, 2, a], [a, b, 4])]:
        assert shape(engine.dot(w, x)) == shape(sum(wi * xi for wi, xi in zip(w, x)))
    assert shape(engine.dot([a, 2], [b, b])) == (
        "+",
        ("+", ("*", 3.0, 5.0), 0.0),
        ("*", 5.0, 2.0),
    )


def test_08_in_place_operators_make_new_nodes(engine):
    a = start = engine.Value(3.0)
    a += 1
    a *= 2
    a -= 1
    a /= 2
    a **= 2
    assert a is not start
    assert start.data == 3.0
    assert a.data == (((3 + 1) * 2 - 1) * 0.5) ** 2
    a.backward()
    assert start.grad == 2 * 3.5 * 0.5 * 2


def test_08_operands_are_the_very_objects(engine):
    a, b = engine.Value(3.0), engine.Value(5.0)
    assert (a + b)._children[0] is a
    assert (a - b)._children[1]._children[0] is b
    assert (a / b)._children[1]._children[0] is b
    assert (2 - a)._children[0]._children[0] is a
    assert sum([a, b])._children[0]._children[0] is a
    assert engine.sum([a, b])._children[0]._children[0] is a
    assert engine.dot([a], [b])._children[0]._children == (a, b)


def test_08_numbers_only_operators_are_still_graphs(engine):
    a = engine.Value(3.0)
    for out in (a + 0, a * 1, a**1, a - 0, a / 1, +0.0 + a):
        assert out is not a
        assert a in out._prev


@pytest.mark.parametrize(
    "exponent", [2, 2.0, True, np.int8(2), np.uint64(2), np.float32(2), np.float64(2)]
)
def test_09_exponents_of_every_kind(engine, exponent):
    a = engine.Value(3.0)
    out = a**exponent
    out.backward()
    n = float(exponent)
    assert out.data == 3.0**n
    assert a.grad == n * 3.0 ** (n - 1)


@pytest.mark.parametrize("exponent", [10**300, -(10**300), 10**20])
def test_09_huge_integer_exponents(engine, exponent):
    assert (engine.Value(1.0) ** exponent).data == 1.0
    assert (engine.Value(0.5) ** abs(exponent)).data == 0.0
    with pytest.raises(OverflowError):
        engine.Value(2.0) ** abs(exponent)


def test_09_power_of_two_values_carries_both_gradients(engine):
    a, b = engine.Value(3.0), engine.Value(2.5)
    out = a**b
    out.backward()
    assert out.data == 3.0**2.5
    assert a.grad == 2.5 * 3.0**1.5
    assert b.grad == 3.0**2.5 * math.log(3.0)
    b = engine.Value(2.5)
    out = 2**b
    out.backward()
    assert b.grad == 2.0**2.5 * math.log(2.0)
    base = out._children[0]
    assert (base.data, base.grad) == (2.0, 2.5 * 2.0**1.5)
    out = np.float64(2) ** b
    assert out.data == 2.0**2.5


def test_09_gradient_of_the_exponent_at_and_below_zero(engine):
    for base, exponent, slope in [
        (0.0, 2.0, 0.0),
        (0.0, 1.0, 0.0),
        (-0.0, 5.0, 0.0),
        (-2.0, 2.0, math.nan),
        (-2.0, -3.0, math.nan),
        (-math.inf, 3.0, math.nan),
    ]:
        a, b = engine.Value(base), engine.Value(exponent)
        (a**b).backward()
        assert same_bits(b.grad, slope), (base, exponent)
        assert same_bits(a.grad, exponent * base ** (exponent - 1)), (base, exponent)


def test_09_operands_and_result_of_a_power_are_read_at_backward_time(engine):
    a, b = engine.Value(3.0), engine.Value(2.0)
    out = a**b
    a.data, b.data, out.data = 4.0, 3.0, 10.0
    out.backward()
    assert a.grad == 3.0 * 4.0**2.0
    assert b.grad == 10.0 * math.log(4.0)
    a = engine.Value(3.0)
    out = a**3
    a.data = 5.0
    out.backward()
    assert a.grad == 75.0


def test_09_modular_power_is_refused(engine):
    with pytest.raises(TypeError):
        pow(engine.Value(2.0), 2, 3)
