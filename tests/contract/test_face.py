"""Points 10 to 12 of the drop-in contract: what a program sees of a node, and identity."""

import gc
import math
import operator
import weakref

import numpy as np
import pytest

# 10: data, grad, label, _op ----------------------------------------------------------------------


def test_10_everything_can_be_read_and_assigned(engine):
    a = engine.Value(2.0)
    for node in (a, a * 3, engine.Value(1.0, (a,), (2.0,))):
        node.data, node.grad, node.label, node._op = 5.5, -1.5, "name", "mine"
        assert (node.data, node.grad, node.label, node._op) == (5.5, -1.5, "name", "mine")
        node.data += 1.0
        node.grad *= 2.0
        node.label += "s"
        assert (node.data, node.grad, node.label) == (6.5, -3.0, "names")
        node.label = ""
        assert node.label == ""


def test_10_assigned_data_counts_in_the_next_backward(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = a * b
    b.data = 100.0
    assert out.data == 6.0
    out.backward()
    assert (a.grad, b.grad) == (100.0, 2.0)


def test_10_assigned_data_of_interior_nodes_and_results_counts(engine):
    a = engine.Value(0.5)
    inner = a.tanh()
    out = inner * inner
    inner.data = 0.25
    out.backward()
    assert inner.grad == 0.5
    assert a.grad == (1 - 0.25 * 0.25) * 0.5
    a = engine.Value(1.0)
    out = a.exp()
    out.data = 7.0
    out.backward()
    assert a.grad == 7.0


def test_10_assigned_op_text_changes_nothing_else(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = a * b
    out._op = "+"
    out.backward()
    assert (a.grad, b.grad) == (3.0, 2.0)
    a._op = "input"
    assert (a * 2)._children[0]._op == "input"
    a.zero_grad()
    assert a.grad == 0.0
    power = a**2
    power._op = ""
    power.backward()
    assert (power._op, a.grad) == ("", 4.0)


def test_10_assigned_grad_is_where_backward_goes_on(engine):
    a = engine.Value(2.0)
    inner = a * 3
    out = inner * 5
    a.grad, inner.grad = 1000.0, 10.0
    out.backward()
    assert inner.grad == 15.0
    assert a.grad == 1000.0 + 45.0


def test_10_labels_are_any_text(engine):
    for label in ("x", "longer than a word", "Größe ∂L/∂w", "a" * 10000, "it's", 'say "x"'):
        assert engine.Value(1.0, label=label).label == label
        v = engine.Value(1.0)
        v.label = label
        assert v.label == label


def test_10_label_is_seen_through_the_graph(engine):
    a = engine.Value(1.0, label="a")
    inner = a * 2
    inner.label = "inner"
    inner.data = 9.0
    inner.grad = 0.5
    out = inner + 1
    del inner
    gc.collect()
    again = out._children[0]
    assert (again.label, again.data, again.grad) == ("inner", 9.0, 0.5)
    assert again._children[0] is a


# 11: _prev, _children, _local_grads --------------------------------------------------------------


def test_11_prev_is_a_set_and_children_a_tuple(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = a * b
    assert type(out._prev) is set
    assert out._prev == {a, b}
    assert type(out._children) is tuple
    assert out._children == (a, b)
    assert (b * a)._children == (b, a)
    square = a * a
    assert square._prev == {a}
    assert square._children == (a, a)
    assert square._local_grads == (2.0, 2.0)
    assert a._prev == set()


def test_11_local_grads_match_the_children(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    assert (a * b)._local_grads == (3.0, 2.0)
    assert (a + b)._local_grads == (1.0, 1.0)
    assert (a**3)._local_grads == (12.0,)
    assert (a - 1)._local_grads == (1.0, 1.0)
    assert a._local_grads == ()
    out = a * b
    assert (a.grad, b.grad, out.grad) == (0.0, 0.0, 0.0)


def test_11_local_grads_of_a_replaced_backward_are_unknown(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    product, original = a * b, a.tanh()
    product._backward = lambda: None
    assert product._children == (a, b)
    assert product._local_grads == ()
    slopes = original._local_grads
    original._backward = original._backward
    assert original._local_grads == slopes != ()
    given = engine.Value(5.0, (a, b), (1.0, 2.0))
    given._backward = lambda: None
    assert given._local_grads == (1.0, 2.0)


def test_11_reading_local_grads_changes_nothing(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = (a * b).tanh()
    out.backward()
    before = [(v.data, v.grad) for v in (a, b, out, out._children[0])]
    assert len(out._local_grads) == 1
    assert len(out._children[0]._local_grads) == 2
    assert [(v.data, v.grad) for v in (a, b, out, out._children[0])] == before


def test_11_changing_the_set_does_not_change_the_graph(engine):
    """`_prev` is what the lecture's recursion reads; the operands are not edited through it."""
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = a * b
    operands = out._prev
    operands.clear()
    operands.add(engine.Value(7.0))
    assert out._children == (a, b)
    out.backward()
    assert (a.grad, b.grad) == (3.0, 2.0)


def test_11_the_lectures_own_topological_sort_works(engine):
    a = engine.Value(2.0)
    b = a * 3
    out = (b + a) * b
    order, visited = [], set()

    def build(v):
        if v not in visited:
            visited.add(v)
            for child in v._prev:
                build(child)
            order.append(v)

    build(out)
    out.grad = 1.0
    for node in reversed(order):
        node._backward()
    assert a.grad == 3 * (2 * 6) + 3 * 2 + 6


# 12: identity ------------------------------------------------------------------------------------


def test_12_identity_is_object_identity(engine):
    a, same, other = engine.Value(2.0), None, engine.Value(2.0)
    same = a
    assert a == same
    assert a != other
    assert not a == other  # noqa: SIM201
    assert engine.Value.__eq__ is object.__eq__
    assert engine.Value.__hash__ is object.__hash__
    assert hash(a) == hash(same) == object.__hash__(a)
    assert a in [other, a]
    assert a not in [other]
    assert [other, a].index(a) == 1
    assert {a: 1, other: 2}[a] == 1
    assert len({a, other, same}) == 2


def test_12_the_value_in_prev_is_the_very_object(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    inner = a * b
    out = inner + a
    assert a in out._prev
    assert inner in out._prev
    assert out._children[0] is inner
    assert out._children[1] is a
    assert out._children[0]._children[1] is b
    assert id(out._children[0]) == id(inner)
    assert hash(out._children[0]) == hash(inner)


def test_12_a_nameless_node_is_one_object_too(engine):
    a = engine.Value(2.0)
    out = (a * 3) + 1
    first = out._children[0]
    assert out._children[0] is first
    assert first in out._prev
    assert out._children[0]._children[0] is a
    other_user = first * 5
    assert other_user._children[0] is first
    assert (first + 1)._children[0] is out._children[0]


def test_12_ids_taken_through_the_graph_stay_distinct(engine):
    """Drawing code keys nodes by id() without keeping the nodes."""
    a = engine.Value(2.0)
    out = sum((a * i for i in range(50)), engine.Value(0.0))

    def ids(node):
        found = {id(node)}
        for child in node._children:
            found |= ids(child)
        return found

    gc.collect()
    assert len(ids(out)) == 1 + 50 * 3 + 1
    assert ids(out) == ids(out)


def test_12_a_value_is_true_and_has_no_order(engine):
    a, b = engine.Value(0.0), engine.Value(1.0)
    assert a
    assert bool(a) is True
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError):
            compare(a, b)
        with pytest.raises(TypeError):
            compare(a, 1.0)
    with pytest.raises(TypeError):
        sorted([b, a])
    with pytest.raises(TypeError):
        max(a, b)
    assert a != 0.0
    assert 0.0 != a  # noqa: SIM300


def test_12_what_a_float_can_and_a_value_cannot(engine):
    a = engine.Value(2.0)
    for attempt in [
        lambda: a // 2,
        lambda: a % 2,
        lambda: 5 % a,
        lambda: divmod(a, 2),
        lambda: +a,
        lambda: ~a,
        lambda: a << 1,
        lambda: a & 1,
        lambda: a @ a,
        lambda: a[0],
        lambda: len(a),
        lambda: iter(a),
        lambda: a(),
        lambda: 1.0 in a,
        lambda: round(a),
        lambda: math.floor(a),
        lambda: range(a),
        lambda: [1, 2][a],
    ]:
        with pytest.raises(TypeError):
            attempt()


def test_12_weak_references(engine):
    a = engine.Value(2.0)
    reference = weakref.ref(a)
    assert reference() is a
    seen = weakref.WeakValueDictionary(a=a)
    table = weakref.WeakKeyDictionary({a: "kept"})
    assert seen["a"] is a
    assert table[a] == "kept"
    del a
    gc.collect()
    assert reference() is None
    assert len(seen) == len(table) == 0


def test_12_a_weakly_referenced_node_lives_as_long_as_its_graph(engine):
    a = engine.Value(2.0)
    inner = a * 3
    died = []
    reference = weakref.ref(inner, died.append)
    out = inner + 1
    del inner
    gc.collect()
    assert reference() is out._children[0]
    assert not died
    del out
    gc.collect()
    assert reference() is None
    assert len(died) == 1


def test_10_data_and_grad_are_written_the_same_by_every_path(compiled):
    """Directly, by setattr, by the descriptor, for a subclass, and past a patch and its end."""

    class Sub(compiled.Value):
        pass

    written = []

    class Shouting(compiled.Value):
        @property
        def data(self):
            return -1.0

        @data.setter
        def data(self, number):
            written.append(number)

    def write(value, name, number):
        if name == "data":
            value.data = number
        else:
            value.grad = number

    ways = [
        write,
        setattr,
        lambda value, name, number: compiled.Value.__dict__[name].__set__(value, number),
        lambda value, name, number: setattr(value, "".join(list(name)), number),
        compiled.Value.__setattr__,
    ]
    for value in (compiled.Value(1.0), Sub(1.0), compiled.Value(1.0, label="x")):
        for name in ("data", "grad"):
            for way in ways:
                for number in (2, True, -0.0, np.float32(0.5), np.int64(3), math.inf, 10**20):
                    way(value, name, number)
                    read = getattr(value, name)
                    assert (type(read), read) == (float, float(number))
                    assert math.copysign(1.0, read) == math.copysign(1.0, float(number))
                for wrong in ("1", None, 1j, [1.0]):
                    with pytest.raises(TypeError, match=name):
                        way(value, name, wrong)
                with pytest.raises(OverflowError):
                    way(value, name, 10**400)
    shouting = Shouting(1.0)
    shouting.data = 5.0
    assert (shouting.data, written) == (-1.0, [5.0])
    for name in ("data", "grad"):
        with pytest.raises(AttributeError):
            delattr(compiled.Value(1.0), name)


@pytest.mark.parametrize("name", ["data", "grad"])
def test_10_an_attribute_that_is_replaced_in_the_class_is_the_one_that_is_written(compiled, name):
    value = compiled.Value(1.0)
    write = compile(f"value.{name} = 2.0", "", "exec")
    exec(write)
    own, written = compiled.Value.__dict__[name], []
    for _ in range(2):
        setattr(
            compiled.Value,
            name,
            property(lambda self: 7.0, lambda self, number: written.append(number)),
        )
        try:
            exec(write)
            assert getattr(value, name) == 7.0
        finally:
            setattr(compiled.Value, name, own)
        setattr(value, name, 0.0)
        exec(write)
        assert getattr(value, name) == 2.0
    assert written == [2.0, 2.0]


def test_12_values_have_no_order(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        for other in (b, 2, 2.0, np.float64(2.0)):
            with pytest.raises(TypeError):
                compare(a, other)
    assert (a == engine.Value(1.0), a == 1.0, a == a) == (False, False, True)


def test_12_a_division_by_zero_is_the_powers(engine):
    a, zero = engine.Value(1.0), engine.Value(0.0)
    for divide in (lambda: a / zero, lambda: a / 0, lambda: 1 / zero):
        with pytest.raises(ZeroDivisionError, match="negative power"):
            divide()
