"""Memory that runs out at any allocation: a MemoryError, and everything as it was.

CPython's `_testcapi.set_nomemory(n)` makes the nth allocation of Python's from now on fail, and
all after it up to a second number. Each case runs in a process of its own, with a failure at every
allocation in turn until one attempt passes without.
"""

import textwrap

import pytest
from support import run_python

pytest.importorskip("_testcapi", reason="comes with CPython, but not with every distribution")

HARNESS = """
import copy, gc, pickle
import _testcapi
from micrograd_fast import Value
from micrograd_fast._core import arena_stats

class Sub(Value):
    __slots__ = ("slot",)

# The second is what pickle says in places; made here, because to make it takes memory.
NO_MEMORY = (MemoryError, pickle.PicklingError)
gc.disable()
a, b = Value(2.0), Value(3.0, label="b")
a.momentum = [1.0]

def state(values):
    return [
        (v.data, v.grad, v._op, v.label, v._children, sorted(vars(v).items(), key=repr))
        for v in values
    ]

def live():
    return arena_stats()["live_nodes"]

def attempts(prepare, act, check, length):
    for n in range(1, 2000):
        thing = prepare()
        before, n_nodes = state(thing), live()
        failed = False
        result = None
        _testcapi.set_nomemory(n, n + length)
        try:
            result = act(thing)
        except NO_MEMORY:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if failed:
            gc.collect()  # the frames of Python's own copy may have become garbage
            assert state(thing) == before, (n, state(thing), before)
            assert live() == n_nodes, (n, live(), n_nodes)
        check(thing, act(thing))
        del result, thing
        gc.collect()
        if not failed:
            return n
    raise AssertionError("never passed")

for length in (1, 10_000):
"""

CASES = {
    "construction": """
    def check(things, made):
        assert (made.data, made._op, made.label, made._children) == (6.0, "*", "c", (a, b))
    n = attempts(lambda: [a, b], lambda v: Value(6.0, (a, b), "*", "c"), check, length)
    assert n > 3
    n = attempts(lambda: [a, b], lambda v: Value(6.0, (a, b), op="*", label="c"), check, length)
    """,
    "construction of a subclass": """
    def check(things, made):
        made.backward()
        assert (type(made), a.grad) == (Sub, 4.0)
        a.grad = 0.0
    n = attempts(lambda: [a, b], lambda v: Sub(6.0, (a, b), (4.0, 5.0)), check, length)
    assert n > 3
    """,
    "a second initialisation": """
    def prepare():
        old = Value(3.0, (a,), (5.0,), "old")
        return [old, old * 2]
    def act(things):
        things[0].__init__(6.0, (a, b), (4.0, 5.0), "new")
        things[0].__init__(7.0, (a, b), "op")
    def check(things, made):
        assert (things[0].data, things[0].label, things[0]._op) == (7.0, "", "op")
    for n in range(1, 2000):
        things = prepare()
        before = state(things)
        _testcapi.set_nomemory(n, n + length)
        failed = False
        try:
            things[0].__init__(6.0, (a, b), (4.0, 5.0), "new")
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        after = state(things)
        assert after == before if failed else after != before, (n, before, after)
        act(things)
        check(things, None)
        if not failed:
            break
    assert n > 3
    """,
    "operators": """
    one = Value(1.0)
    for act in (
        lambda v: a + b, lambda v: a * 2, lambda v: 2 - a, lambda v: a - b, lambda v: a / b,
        lambda v: 2 / a, lambda v: a ** 2, lambda v: a ** b, lambda v: 2 ** a, lambda v: -a,
        lambda v: a.tanh(), lambda v: a.clip(0.0, 5.0), lambda v: a.maximum(1.0),
        lambda v: one ** 2**60, lambda v: abs(a), lambda v: a.leaky_relu(0.1),
    ):
        wanted = act(None).data
        def check(things, made):
            assert made.data == wanted
        attempts(lambda: [a, b], act, check, length)
    """,
    "attributes": """
    def act(things):
        v = a * b
        v.color, v.label, v._op = "red", "v", "mine"
        v._backward = print
        return v
    def check(things, made):
        assert (made.color, made.label, made._op, made._backward) == ("red", "v", "mine", print)
        assert made._prev == {a, b} and made._children == (a, b)
    attempts(lambda: [a, b], act, check, length)
    """,
    "looking at a graph": """
    def act(things):
        out = (a * b).tanh() + a
        below = out._children[0]._children[0]._children
        return out, out._children, out._prev, below, out._local_grads
    def check(things, made):
        assert made[1][1] is a and made[3] == (a, b) and made[4] == (1.0, 1.0)
    assert attempts(lambda: [a, b], act, check, length) > 3
    """,
    "copies with a memo": """
    root = (a * b).tanh()
    memo = {}
    first = copy.deepcopy(a * 5.0, memo)
    def act(things):
        return root.__deepcopy__(memo)
    for n in range(1, 2000):
        n_nodes, keys = live(), set(memo)
        _testcapi.set_nomemory(n, n + length)
        failed = False
        try:
            twin = act(None)
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if failed:
            assert live() == n_nodes or set(memo) != keys, (n, live(), n_nodes)
            # As with Python's own copies, a memo may have one whose attributes were not to be had.
            memo = {}
            first = copy.deepcopy(a * 5.0, memo)
            continue
        assert twin._children[0]._children[0] is first._children[0]
        assert (twin.data, twin._children[0]._children[1].label) == (root.data, "b")
        break
    assert n > 3
    """,
    "pickles": """
    sub = Sub(1.5)
    sub.slot, sub.z = [1], 5
    root = (a * b + sub).tanh()
    root.label = "root"
    def check(things, dump):
        made = pickle.loads(dump)
        assert (made.data, made.label, made._op) == (root.data, "root", "tanh")
        twin = made._children[0]._children[1]
        assert (type(twin), twin.slot, twin.z) == (Sub, [1], 5)
    assert attempts(lambda: [root, sub], lambda v: pickle.dumps(root), check, length) > 3
    """,
    "loading": """
    root = (a * b + Sub(1.5)).tanh()
    root.label = "root"
    dump = pickle.dumps(root)
    def check(things, made):
        assert (made.data, made.label, made._op) == (root.data, "root", "tanh")
        assert type(made._children[0]._children[1]) is Sub
        made.backward()
    assert attempts(lambda: [root], lambda v: pickle.loads(dump), check, length) > 3
    """,
    "passes": """
    root = (a * b + 2.0).tanh() / 3
    def act(things):
        root.zero_grad()
        root.backward()
        return root
    def check(things, made):
        assert made.grad == 1.0 and a.grad != 0.0
        root.zero_grad()
    attempts(lambda: [root], act, check, length)
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_memory_runs_out_during(case):
    program = (
        textwrap.dedent(HARNESS)
        + textwrap.indent(textwrap.dedent(CASES[case]), "    ")
        + "print('done')\n"
    )
    assert run_python(program) == "done\n"
