"""Point 13 of the drop-in contract: attributes, patched methods, subclasses, finalizers."""

import contextlib
import gc
import math
import weakref

import numpy as np
import pytest


@pytest.fixture
def patch(engine):
    """Set attributes on the class Value for one test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield lambda name, attribute: monkeypatch.setattr(
            engine.Value, name, attribute, raising=False
        )


def test_13_any_attribute_can_be_set(engine):
    p = engine.Value(2.0)
    with pytest.raises(AttributeError, match="momentum"):
        p.momentum  # noqa: B018
    assert not hasattr(p, "momentum")
    p.momentum = 0.0
    p.momentum += 1.5
    p.note = ["any", "object"]
    assert (p.momentum, p.note) == (1.5, ["any", "object"])
    setattr(p, "with space", 1)
    assert getattr(p, "with space") == 1
    del p.momentum
    assert not hasattr(p, "momentum")
    with pytest.raises(AttributeError):
        del p.momentum
    assert vars(p)["note"] == ["any", "object"]


def test_13_attributes_are_each_objects_own(engine):
    values = [engine.Value(i) for i in range(1000)]
    for i, v in enumerate(values):
        v.tag = i
    assert [v.tag for v in values] == [*range(1000)]
    del values[::2]
    fresh = [engine.Value(0.0) for _ in range(1000)]
    assert not any(hasattr(v, "tag") for v in fresh)
    assert [v.tag for v in values] == [*range(1, 1000, 2)]


def test_13_a_new_value_inherits_nothing_from_a_dead_one(engine):
    """Memory of handles and nodes is used again; what hung on the old ones must be gone."""
    for _ in range(5):
        old = engine.Value(1.0, label="old")
        old.colour = "red"
        old.grad = 5.0
        old._backward = lambda: None
        old._op = "old"
        del old
        gc.collect()
        for new in (engine.Value(2.0), engine.Value(3.0) * 2):
            assert not hasattr(new, "colour")
            assert new.label == ""
            assert new._op in ("", "*")
            assert new.grad == 0.0
            new.backward()


def test_13_what_was_set_is_there_when_the_node_is_reached_again(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    inner = a * b
    inner.colour, inner.label = "red", "inner"
    inner.extra = {"deep": [1, 2]}
    out = (inner + 1) * 2
    identity = id(inner)
    del inner
    gc.collect()
    again = out._children[0]._children[0]
    assert (again.colour, again.label, again.extra) == ("red", "inner", {"deep": [1, 2]})
    assert id(again) == identity
    del again
    gc.collect()
    out.backward()
    again = next(v for v in out._children[0]._prev if v._op == "*")
    assert (again.colour, again.grad) == ("red", 2.0)
    a.name, b.name = "a", "b"
    del a, b
    gc.collect()
    assert [v.name for v in again._children] == ["a", "b"]


def test_13_what_was_set_goes_away_with_the_graph(engine):
    class Token:
        pass

    a = engine.Value(2.0)
    inner = a * 3
    inner.token = Token()
    reference = weakref.ref(inner.token)
    out = inner + 1
    del inner
    gc.collect()
    assert reference() is not None
    del out
    gc.collect()
    assert reference() is None


def test_13_attributes_may_be_values(engine):
    a = engine.Value(2.0)
    out = a * 3
    a.friend, out.friend = out, a
    assert a.friend is out
    assert out.friend.friend is out
    out.backward()
    assert a.friend.friend.grad == 3.0
    reference = weakref.ref(a)
    del a, out
    gc.collect()
    assert reference() is None


def test_13_class_attributes_and_new_methods(engine, patch):
    patch("square", lambda self: self * self)
    patch("scale", 3.0)
    patch("twice", property(lambda self: self.data * 2))
    a = engine.Value(3.0)
    assert a.square().data == 9.0
    assert (a * a).square().data == 81.0
    assert a.scale == 3.0
    assert a.twice == 6.0
    a.scale = 4.0
    assert (a.scale, engine.Value(1.0).scale) == (4.0, 3.0)


def test_13_a_patched_operation_is_the_one_that_runs(engine, patch):
    def my_tanh(self):
        t = (math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)
        out = engine.Value(t, (self,), "my tanh")

        def _backward():
            self.grad += (1 - t**2) * out.grad

        out._backward = _backward
        return out

    a = engine.Value(0.5)
    original = a.tanh()
    patch("tanh", my_tanh)
    mine = a.tanh()
    assert mine._op == "my tanh"
    mine.backward()
    assert a.grad == 1 - mine.data**2
    assert original._op == "tanh"
    assert np.tanh(a)._op == "my tanh"


def test_13_patched_arithmetic_is_used_by_what_is_made_of_it(engine, patch):
    """`a - b` is `a + (-b)`, `-a` is `a * -1`, `a / b` is `a * b**-1`."""
    calls = []

    def counting(name):
        original = getattr(engine.Value, name)

        def method(self, other):
            calls.append(name)
            return original(self, other)

        return method

    for name in ("__add__", "__mul__", "__pow__"):
        patch(name, counting(name))
    a, b = engine.Value(3.0), engine.Value(2.0)

    def calls_of(function):
        calls.clear()
        function()
        return calls[:]

    assert calls_of(lambda: a + b) == ["__add__"]
    assert calls_of(lambda: a * b) == ["__mul__"]
    assert calls_of(lambda: a**2) == ["__pow__"]
    assert calls_of(lambda: -a) == ["__mul__"]
    assert calls_of(lambda: a - b) == ["__mul__", "__add__"]
    assert calls_of(lambda: a - 2) == ["__add__"]
    assert calls_of(lambda: 2 - a) == ["__mul__", "__add__"]
    assert calls_of(lambda: 2 + a) == ["__add__"]
    assert calls_of(lambda: 2 * a) == ["__mul__"]
    assert calls_of(lambda: a / b) == ["__pow__", "__mul__"]
    assert calls_of(lambda: a / 2) == ["__mul__"]
    assert calls_of(lambda: 2 / a) == ["__pow__", "__mul__"]
    assert calls_of(lambda: sum([a, b])) == ["__add__", "__add__"]
    assert calls_of(lambda: engine.sum([a, b])) == ["__add__", "__add__"]
    assert calls_of(lambda: engine.dot([a], [b])) == ["__mul__", "__add__"]
    assert (a - b).data == 1.0


def test_13_unpatching_gives_the_engine_back(engine):
    original = engine.Value.__dict__["__add__"]
    engine.Value.__add__ = lambda self, other: "patched"
    try:
        assert engine.Value(1.0) + 2 == "patched"
        assert engine.Value(1.0) - 2 == "patched"
    finally:
        engine.Value.__add__ = original
    a = engine.Value(1.0)
    out = a - 2
    out.backward()
    assert (out.data, a.grad) == (-1.0, 1.0)


def test_13_a_patched_negation_is_used_by_subtraction(engine, patch):
    patch("__neg__", lambda self: engine.Value(42.0))
    a = engine.Value(1.0)
    assert (-a).data == 42.0
    assert (a - a).data == 43.0
    assert (5 - a).data == 47.0


def test_13_patched_backward_and_repr(engine, patch):
    patch("backward", lambda self: "mine")
    patch("__repr__", lambda self: f"<{self.data}>")
    a = engine.Value(2.0)
    assert (a * 3).backward() == "mine"
    assert repr(a) == str(a) == "<2.0>"
    assert f"{a}" == "<2.0>"


def test_13_operators_on_a_subclass_give_plain_values(engine):
    class Tracked(engine.Value):
        kind = "tracked"

    a, b = Tracked(2.0), engine.Value(3.0)
    assert isinstance(a, engine.Value)
    for out in (a + a, a + b, b + a, a * 2, 2 * a, -a, a - 1, 1 - a, a / 2, 2 / a, a**2, 2**a):
        assert type(out) is engine.Value
    for name in ("relu", "tanh", "sigmoid", "exp", "log", "sqrt", "abs"):
        assert type(getattr(a, name)()) is engine.Value
    assert type(engine.sum([a, a])) is engine.Value
    assert type(engine.dot([a], [a])) is engine.Value
    out = a * b + a
    out.backward()
    assert (a.grad, b.grad) == (4.0, 2.0)
    assert a.kind == "tracked"
    assert (a * 2)._children[0] is a


def test_13_a_subclass_instance_comes_back_as_itself(engine):
    class Named(engine.Value):
        def __init__(self, data, name):
            super().__init__(data)
            self.name = name

    out = Named(2.0, "n") * 3
    gc.collect()
    again = next(v for v in out._children if v.data == 2.0)
    assert type(again) is Named
    assert again.name == "n"


def test_13_a_subclass_may_override_operators(engine):
    class Loud(engine.Value):
        def __add__(self, other):
            return ("add", super().__add__(other).data)

        def __radd__(self, other):
            return ("radd", super().__add__(other).data)

        def relu(self):
            return "loud"

        def __neg__(self):
            return engine.Value(100.0)

    a, loud = engine.Value(1.0), Loud(2.0)
    assert loud + 1 == ("add", 3.0)
    assert 1 + loud == ("radd", 3.0)
    assert a + loud == ("radd", 3.0)
    assert loud + a == ("add", 3.0)
    assert loud - 1 == ("add", 1.0)
    assert (a - loud).data == 101.0
    assert loud.relu() == "loud"
    assert (loud * 3).data == 6.0


def test_13_a_subclass_may_override_backward_and_fields(engine):
    class Counted(engine.Value):
        runs = 0

        def backward(self):
            Counted.runs += 1
            super().backward()

    a = Counted(3.0)
    a.backward()
    assert (Counted.runs, a.grad) == (1, 1.0)

    class Slotted(engine.Value):
        __slots__ = ("extra",)

    s = Slotted(2.0)
    s.extra = "kept"
    out = s * 2
    out.backward()
    assert (s.extra, s.grad) == ("kept", 2.0)


def test_13_a_subclass_without_super_init_does_no_harm(engine):
    class Forgetful(engine.Value):
        def __init__(self, data):
            pass

    for make in (lambda: Forgetful(1.0), lambda: engine.Value.__new__(engine.Value)):
        hollow = make()
        for attempt in [
            lambda v: v.data,
            lambda v: repr(v),
            lambda v: v + 1,
            lambda v: engine.Value(1.0) * v,
            lambda v: v.relu(),
            lambda v: v.backward(),
            lambda v: v._children,
            lambda v: v.zero_grad(),
            lambda v: engine.Value(0.0, (v,), (1.0,)),
            lambda v: v._backward,
        ]:
            with contextlib.suppress(AttributeError, TypeError, ValueError, RuntimeError):
                attempt(hollow)
        hollow.colour = "red"
        engine.Value.__init__(hollow, 3.0)
        out = hollow * 2
        out.backward()
        assert (hollow.data, hollow.grad, hollow.colour) == (3.0, 2.0, "red")


def test_13_a_finalizer_may_use_the_engine(engine):
    """`__del__` runs in the middle of taking a graph apart, and may make and keep nodes."""
    kept = []

    class Final(engine.Value):
        def __del__(self):
            big = engine.Value(0.0)
            for _ in range(3000):
                big = big + 1
            big.backward()
            kept.append(self.data + big.data)

    out = engine.Value(0.0)
    for i in range(5):
        out = out * 2 + Final(i)
    del out
    gc.collect()
    assert sorted(kept) == [3000.0 + i for i in range(5)]


def test_13_a_finalizer_may_bring_its_value_back(engine):
    saved = []

    class Phoenix(engine.Value):
        def __del__(self):
            saved.append(self)

    a = engine.Value(3.0)
    bird = Phoenix(2.0, (a,), (5.0,))
    bird.colour = "red"
    out = bird * 3
    del bird, out
    gc.collect()
    (bird,) = saved
    assert (bird.data, bird.colour) == (2.0, "red")
    assert bird._children == (a,)
    (bird * 2).backward()
    assert (bird.grad, a.grad) == (2.0, 10.0)
    saved.clear()
    del bird
    gc.collect()


def test_13_a_weak_reference_callback_may_use_the_engine(engine):
    results = []

    def callback(_):
        a = engine.Value(2.0)
        ((a * 3) + 1).backward()
        results.append(a.grad)

    out = engine.Value(1.0)
    references = []
    for _ in range(10):
        out = out * 2
        references.append(weakref.ref(out, callback))
        out = out + 1
    del out
    gc.collect()
    assert results == [3.0] * 10


def numbers_and_identities(values):
    return [v.data for v in values], len({id(v) for v in values})


@pytest.mark.parametrize("named", [False, True], ids=["no attributes anywhere", "attributes"])
@pytest.mark.parametrize("ending", ["callback", "finalizer of an attribute"])
def test_13_a_value_on_its_way_out_is_nobody_elses(engine, ending, named):
    """What runs while a Value goes may collect: no later Value is the same object."""
    leaf = engine.Value(1.0)
    if named:
        leaf.name = "weight"
    a = engine.Value(2.0)

    class Collector:
        def __del__(self):
            gc.collect()
            self.seen.append([v.data for v in (a + 10.0, a * leaf)])

    Collector.seen = []
    for _ in range(3):
        v = a + leaf
        if ending == "callback":
            weakref.finalize(v, gc.collect)
        else:
            v.at_the_end = Collector()
        del v
        made = [a + float(k) for k in range(6)]
        assert numbers_and_identities(made) == ([2.0 + k for k in range(6)], 6)
        assert all(m._children[0] is a for m in made)
    if ending != "callback":
        gc.collect()
        assert Collector.seen == [[12.0, 2.0]] * 3


def test_13_a_weak_reference_is_dead_when_its_callback_runs(engine):
    """Nothing in the graph leads to the Value any more, also for a collection in the callback."""
    a = engine.Value(2.0)
    found = []

    def callback(reference):
        gc.collect()
        found.append(reference())
        found.append([v for v in gc.get_objects() if type(v) is engine.Value and v.data == 7.0])

    for _ in range(2):
        v = a + 5.0
        v.mark = 1  # so that the collector knows it
        reference = weakref.ref(v, callback)
        del v
        gc.collect()
    assert found == [None, [], None, []]
    assert reference() is None


def test_13_the_class_of_a_value_may_be_assigned(engine):
    class Loud(engine.Value):
        def __mul__(self, other):
            return "loud"

    a = engine.Value(2.0)
    out = a + 1
    assert a in out._prev
    a.__class__ = Loud
    assert (type(a), a * 2, a + 1 is None) == (Loud, "loud", False)
    number = id(a)
    del a
    gc.collect()
    again = out._children[0]
    assert (type(again), id(again), again.data) == (Loud, number, 2.0)
    again.__class__ = engine.Value
    assert (again * 2).data == 4.0


def test_13_a_parameter_of_another_class_is_asked_by_its_layer(layer_engine):
    class Doubled(layer_engine.Value):
        def __mul__(self, other):
            return layer_engine.Value(2.0) * super().__mul__(other)

        __rmul__ = __mul__

    layer = layer_engine.nn.Layer(1, 2, nonlin=False)
    layer([1.0])
    weight = layer.neurons[0].w[0]
    weight.data, layer.neurons[0].b.data = 3.0, 0.5
    assert layer([1.0])[0].data == 3.5
    weight.__class__ = Doubled
    assert layer([1.0])[0].data == 6.5


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8, np.bool_, np.float32, int, bool])
def test_13_numbers_are_subtracted_as_numbers_also_by_an_operator_of_ones_own(engine, kind):
    class Counted(engine.Value):
        def __add__(self, other):
            return super().__add__(other)

    for three in (kind(3), kind(0)):
        assert (Counted(1.0) - three).data == 1.0 - float(three)
        assert (three - Counted(1.0)).data == float(three) - 1.0
        assert math.copysign(1.0, (Counted(-0.0) - three).data) == math.copysign(
            1.0, (engine.Value(-0.0) - three).data
        )


def test_13_reflected_operators_are_made_of_what_the_contract_says(engine, patch):
    """`3 - a` is `(-a) + 3`, `1 / a` is `a**-1 * 1`, `2 ** a` is `Value(2) ** a`, `abs(a)` is
    `a.abs()`: with the operators that there are then, and the operands in this order."""
    calls = []

    def noting(name):
        original = getattr(engine.Value, name)

        def method(self, *others):
            calls.append((name, self.data, *others))
            return original(self, *others)

        return method

    names = ("__add__", "__radd__", "__mul__", "__rmul__", "__pow__", "abs")
    a = engine.Value(4.0)
    originals = {name: noting(name) for name in names}
    for name, method in originals.items():
        patch(name, method)

    def calls_of(function):
        calls.clear()
        function()
        return calls[:]

    assert calls_of(lambda: 3 - a) == [("__mul__", 4.0, -1), ("__add__", -4.0, 3)]
    assert calls_of(lambda: 1 / a) == [("__pow__", 4.0, -1), ("__mul__", 0.25, 1)]
    assert calls_of(lambda: 2**a) == [("__pow__", 2.0, a)]
    assert calls_of(lambda: abs(a)) == [("abs", 4.0)]
    assert (2**a).data == 16.0


def test_13_a_power_with_an_exponent_of_a_subclass_uses_its_operators(engine):
    class Exponent(engine.Value):
        def __rpow__(self, base):
            return "mine"

    class Other(engine.Value):
        def __pow__(self, exponent):
            return "not this one"

    assert 2 ** Exponent(3.0) == "mine"
    assert (2 ** Other(3.0)).data == 8.0
