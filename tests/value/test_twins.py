"""Twins of Value: classes whose operators give their own kind."""

import copy
import gc
import pickle
import sys
import weakref

import pytest
from support import bits

from micrograd_fast import Value, _core, compile, dot, take
from micrograd_fast import sum as total


def twin_of(name="Twin", **attributes):
    return _core.make_twin(name, {"__module__": __name__, **attributes})


Twin = twin_of(double=lambda self: self + self)

RESULTS = {
    "a + b": lambda a, b: a + b,
    "a + 1": lambda a, b: a + 1,
    "1 + a": lambda a, b: 1 + a,
    "a - b": lambda a, b: a - b,
    "1 - a": lambda a, b: 1 - a,
    "-a": lambda a, b: -a,
    "a * b": lambda a, b: a * b,
    "2.0 * a": lambda a, b: 2.0 * a,
    "a / b": lambda a, b: a / b,
    "1 / a": lambda a, b: 1 / a,
    "a ** 2": lambda a, b: a**2,
    "a ** b": lambda a, b: a**b,
    "2 ** a": lambda a, b: 2**a,
    "abs": lambda a, b: abs(a),
    "tanh": lambda a, b: a.tanh(),
    "elu": lambda a, b: a.elu(0.5),
    "clip": lambda a, b: a.clip(0.0, 1.0),
    "maximum": lambda a, b: a.maximum(b),
    "maximum of a number": lambda a, b: a.maximum(1.0),
    "its own method": lambda a, b: (a * b).double(),
    "sum": lambda a, b: total([1.0, a, b]),
    "dot": lambda a, b: dot([a, 2.0], [1.0, b]),
    "dot of numbers first": lambda a, b: dot([1.0, b], [a, 2.0]),
    "builtin sum": lambda a, b: sum([a, b]),
    "take": lambda a, b: take([[a], [b]], Value(1.0))[0],
    "copy": lambda a, b: copy.copy(a * b),
    "deepcopy": lambda a, b: copy.deepcopy(a * b),
    "pickle": lambda a, b: pickle.loads(pickle.dumps(a * b)),
    "a parameter": lambda a, b: compile(a * b).parameters[0],
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_made_of_a_twin_is_of_the_twin(name):
    a, b = Twin(1.5), Twin(2.5)
    made = RESULTS[name](a, b)
    assert type(made) is Twin
    made.backward()
    plain = [Value(1.5), Value(2.5)]
    if "own" not in name:
        wanted = RESULTS[name](*plain)
        wanted.backward()
        assert bits(made.data) == bits(wanted.data)
        if name not in ("deepcopy", "pickle"):
            assert [bits(v.grad) for v in (a, b)] == [bits(v.grad) for v in plain]


def test_of_two_kinds_the_left_one_decides():
    assert type(Twin(1.0) * Value(2.0)) is Twin
    assert type(Value(1.0) * Twin(2.0)) is Value
    other = twin_of("Other")
    assert type(other(1.0) - Twin(2.0)) is other


def test_a_subclass_of_a_twin_gives_twins_as_one_of_value_gives_values():
    class Parameter(Twin):
        pass

    p = Parameter(3.0)
    assert (type(p), type(p * 2), type(p.exp())) == (Parameter, Twin, Twin)
    assert type((p * 2)._children[0]) is Parameter


def test_a_graph_of_twins_shows_twins():
    out = (Twin(2.0) * Twin(3.0) + 1.0).tanh()
    seen = [out]
    for value in seen:
        seen.extend(value._children)
    assert len(seen) == 6
    assert {type(value) for value in seen} == {Twin}
    assert {type(value) for value in out._prev} == {Twin}
    assert out._children[0] is out._children[0]


def test_what_collections_find_is_shown_as_what_it_is():
    shared = Twin(2.0) * Twin(3.0)
    root = shared + shared
    root.note = [root]  # a cycle, so that the next collection looks at all nodes
    del shared
    gc.collect()
    assert type(root._children[0]) is Twin


def test_its_methods_may_be_replaced_without_touching_value():
    twin = twin_of()
    twin.__repr__ = lambda self: "mine"
    twin.tanh = lambda self: self * 2.0
    twin.__mul__ = lambda self, other: self + other
    assert (repr(twin(1.0)), repr(Value(1.0))) == ("mine", "Value(data=1.0, grad=0.0)")
    assert twin(3.0).tanh().data == 5.0
    assert dot([twin(3.0)], [twin(4.0)]).data == 7.0
    assert (Value(3.0) * 2.0).data == 6.0
    assert type(-Twin(3.0)) is Twin


def test_its_constructor_may_be_replaced():
    class Other:
        def __init__(self, children, data):
            Value.__init__(self, data, children)

    twin = twin_of("Reversed", __init__=Other.__init__)
    a = twin((), 2.0)
    assert (type(a), a.data, type(a * 3.0)) == (twin, 2.0, twin)
    assert twin([a], 5.0)._children == (a,)


def test_its_attributes_are_assigned_as_those_of_value():
    a = Twin(1.0)
    a.data, a.grad, a.momentum = 2, 3, [4]
    assert (a.data, a.grad, a.momentum) == (2.0, 3.0, [4])
    noisy = twin_of(data=property(lambda self: -1.0, lambda self, number: None))
    b = noisy(1.0)
    b.data = 9.0
    assert b.data == -1.0


def test_handles_that_change_their_type_hold_the_right_one():
    twin = twin_of("Counted")
    values = [Value(float(i)) for i in range(50)]
    del values
    before = sys.getrefcount(twin), sys.getrefcount(Value)
    for _ in range(3):
        made = [twin(float(i)) for i in range(100)] + [Value(float(i)) for i in range(50)]
        del made
    assert abs(sys.getrefcount(twin) - before[0]) <= 1
    assert sys.getrefcount(Value) - before[1] <= 150  # spare handles


def test_a_twin_that_nobody_has_goes():
    twin = twin_of("Short")
    value = twin(1.0) * 2.0
    gone = weakref.ref(twin)
    del twin, value
    gc.collect()
    assert gone() is None
