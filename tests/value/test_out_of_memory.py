"""Memory that runs out at any allocation: a MemoryError, and everything as it was.

CPython's `_testcapi.set_nomemory(n, m)` lets n allocations of Python's pass and fails those after
them, up to the mth. Each case runs in a process of its own, with a failure at every allocation in
turn until one attempt passes without.
"""

import textwrap

import pytest
from support import run_python

HARNESS = """
import copy, gc, pickle
import _testcapi
from micrograd_fast import Value, take
from micrograd_fast._core import arena_stats

class Sub(Value):
    __slots__ = ("slot",)

def custom_slopes(a, b):
    return 1.0, -1.0

def custom_seconds(a, b):
    return (0.0, 0.0), (0.0, 0.0)

# The second is what pickle says in places; made here, because to make it takes memory.
NO_MEMORY = (MemoryError, pickle.PicklingError)
gc.disable()
a, b = Value(2.0), Value(3.0, label="b")
a.momentum = [1.0]
# PROGRAMS

def state(values):
    return [
        (v.data, v.grad, v._op, v.label, v._children, sorted(vars(v).items(), key=repr))
        for v in values
    ]

def live():
    return arena_stats()["live_nodes"]

def spare_pairs():
    # So many pairs are ready that no iterator over a dict must allocate one: CPython 3.11 crashes
    # where that fails, and copy.deepcopy goes over dicts.
    del [(i, i + 1) for i in range(100)][:]

def attempts(prepare, act, check, length, forget=lambda: None):
    for n in range(2000):
        thing = prepare()
        before, n_nodes = state(thing), live()
        gc.collect()  # Python's own spare lists and dicts, which would need no memory
        spare_pairs()
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
            forget()
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

PROGRAMS = """
import math, os, sys, tempfile
import numpy as np
from micrograd_fast import compile, load_program

x = Value(0.5)
gc.freeze()  # what is there now need not be looked at by every collection
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
    for n in range(2000):
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
    "copies": """
    sub = Sub(1.5)
    sub.slot, sub.z = [1], 5
    root = (a * b + sub).tanh()
    root.label = "root"
    # CPython 3.11 never gives back what it hands to a Python function that it has no memory to
    # call, as copy.deepcopy is handed the memo: that is emptied before nodes are counted.
    memo = {}
    def deep(things):
        memo.clear()
        return copy.deepcopy(root, memo)
    def deep_by_method(things):
        memo.clear()
        return root.__deepcopy__(memo)
    def check(things, made):
        memo.clear()
        assert (made.data, made.label, made._op) == (root.data, "root", "tanh")
        total = made._children[0]
        twin = total._children[1]
        assert (type(twin), twin.slot, twin.z) == (Sub, [1], 5)
        assert total._children[0]._children[1].label == "b"
    for act in (lambda v: copy.copy(root), deep, deep_by_method):
        assert attempts(lambda: [root, sub], act, check, length, memo.clear) > 1
    """,
    "copies of a bare graph": """
    # No attributes, so that only this library's own work fails.
    x, y = Value(2.0), Value(3.0)
    root = (x * y).tanh()
    def check(things, made):
        assert (made.data, made._op) == (root.data, "tanh")
        assert [v.data for v in made._children[0]._children] == [2.0, 3.0]
    for act in (
        lambda v: copy.copy(root), lambda v: copy.deepcopy(root), lambda v: root.__deepcopy__({}),
    ):
        assert attempts(lambda: [root, x, y], act, check, length) >= 1
    """,
    "copies with a memo": """
    root = (a * b).tanh()
    bare = live()
    for n in range(2000):
        memo = {}
        first = copy.deepcopy(a * 5.0, memo)
        twin, keys = None, set(memo)
        spare_pairs()
        _testcapi.set_nomemory(n, n + length)
        failed = False
        try:
            twin = root.__deepcopy__(memo)
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if failed:
            # All of the graph is in the memo, though attributes may be missing, or none of it.
            assert set(memo) == keys or {id(root), id(b)} <= set(memo), n
        else:
            assert twin._children[0]._children[0] is first._children[0]
            assert (twin.data, twin._children[0]._children[1].label) == (root.data, "b")
        memo.clear()  # see the copies above
        del first, twin
        gc.collect()
        assert live() == bare, (n, live(), bare)
        if not failed:
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
    "choosing rows": """
    index = Value(1.0)
    table = [[a, b], [b, a]]
    def check(things, made):
        assert [v.data for v in made] == [3.0, 2.0] and made[0]._children == (a, b, index)
    assert attempts(lambda: [a, b, index], lambda v: take(table, index), check, length) > 3
    """,
    "a program that chooses": """
    index = Value(1.0)
    chosen = take([[a, b], [b, a * x]], index)
    output = chosen[0] * chosen[1]
    def check(things, program):
        assert program([2.0, 0]) == 6.0 and program.parameters == (a, b)
        assert program([2.0, 1]) == 12.0
    act = lambda things: compile(output, [x, index])
    assert attempts(lambda: [a, b, x], act, check, length) > 3
    program = compile(output, [x, index])
    rows = np.array([[2.0, 0], [2.0, 1]] * 35)
    for act in (
        lambda v: program(rows), lambda v: program.backward(rows),
        lambda v: program.backward([2, 1]), lambda v: program.parameter_grads(rows),
        lambda v: program.hessian(rows, wrt=[x, b]),
        lambda v: pickle.loads(pickle.dumps(program)),
    ):
        def check(things, made):
            a.grad = b.grad = 0.0
        attempts(lambda: [a, b, x], act, check, length)
    """,
    "custom operations": """
    import operator
    from micrograd_fast import custom_op
    add = custom_op(operator.sub, custom_slopes, arity=2)
    def act(things):
        out = add(a, b)
        out.backward()
        return out, out._local_grads, copy.deepcopy(out)
    def check(things, made):
        out, slopes, copied = made
        assert (out.data, out._op, out._children, slopes) == (-1.0, "sub", (a, b), (1.0, -1.0))
        assert copied._backward.__name__ == "_propagate"
        a.grad = b.grad = 0.0
    attempts(lambda: [a], lambda v: add(a, b), lambda v, made: None, length)
    out = add(a, b)
    attempts(lambda: [a], lambda v: out._local_grads, lambda v, made: None, length)
    attempts(lambda: [a], lambda v: pickle.dumps(add), lambda v, made: None, length)
    check(None, act(None))
    """,
    "a program of custom operations": """
    import operator
    from micrograd_fast import custom_op
    sub = custom_op(operator.sub, custom_slopes, custom_seconds, arity=2)
    sine = custom_op(np.sin, np.cos, np.tan)
    output = sub(a, x) * b + sine(x * a)
    def check(things, program):
        assert program.parameters == (a, b) and program([0.0]) == 6.0
    act = lambda things: compile(output, [x])
    assert attempts(lambda: [a, b, x], act, check, length) > 3
    program = compile(output, [x])
    plain = compile(sub(a, x) * b, [x])
    rows = np.zeros((9, 1))
    for act in (
        lambda v: program([2.0]), lambda v: program(rows), lambda v: program.backward(rows),
        lambda v: plain.hessian(rows, wrt=[x, b]), lambda v: plain.jvp([1.0], rows),
        lambda v: pickle.loads(pickle.dumps(plain)),
    ):
        def check(things, made):
            a.grad = b.grad = 0.0
        attempts(lambda: [a, b, x], act, check, length)
    """,
    "making a program": """
    # The list is made before: Python's own list() may keep what it could not copy.
    def check(things, program):
        assert program.parameters == (a, b) and program([2.0]).tolist()[0] == 7.0
    outputs = [a * x + b, (a * x).tanh()]
    act = lambda things: compile(things, [x])
    assert attempts(lambda: outputs, act, check, length) > 3
    """,
    "calling a program": """
    program = compile((a * x + b).tanh(), [x])
    rows, shares = np.ones((70, 1)), np.full(70, 0.5)
    for act in (
        lambda v: program([2.0]), lambda v: program(rows), lambda v: program.backward(rows),
        lambda v: program.backward(rows, shares), lambda v: program.value_and_grad(rows),
        lambda v: program.jacobian(rows), lambda v: program.parameter_grads([2.0]),
        lambda v: program.value_and_parameter_grad(rows, "sum"),
        lambda v: program.hvp([1.0], rows), lambda v: program.hessian(rows, wrt=[x, b]),
        lambda v: program.fun([a], rows)([2.0]),
    ):
        def check(things, made):
            a.grad = b.grad = 0.0
        attempts(lambda: [a, b, x], act, check, length)
        assert program([2.0]) == math.tanh(7.0)
    """,
    "pickling a program": """
    program = compile(a * x + b, [x])
    def check(things, dump):
        assert pickle.loads(dump)([2.0]) == 7.0
    assert attempts(lambda: [a, b], lambda v: pickle.dumps(program), check, length) > 3
    def check(things, parts):
        assert parts[0](*parts[1])([2.0]) == 7.0
    assert attempts(lambda: [a, b], lambda v: program.__reduce__(), check, length) > 3
    """,
    "loading a program": """
    dump = pickle.dumps(compile(a * x + b, [x]))
    make, (kind, tape, _) = compile(a * x + b, [x]).__reduce__()
    def check(things, program):
        assert program([2.0]) == 7.0
    assert attempts(lambda: [a, b], lambda v: pickle.loads(dump), check, length) > 3
    # Parameters that are numbers, as they are in a file.
    act = lambda v: make(kind, tape, [2.0, 3.0])
    assert attempts(lambda: [a, b], act, check, length) > 3
    """,
    "a file of a program": """
    path = os.path.join(tempfile.mkdtemp(), "program.npz")
    compile(a * x + b, [x]).save(path)
    load_program(path)
    n_failed = 0
    # CPython 3.10 may find no memory to handle its own MemoryError with.
    length = length if sys.version_info >= (3, 11) else 1
    # Python goes on without some of its allocations, and calls the lack of others by other names.
    for n in range(300):
        program = None
        n_nodes = live()
        _testcapi.set_nomemory(n, n + length)
        try:
            program = load_program(path)
        except MemoryError:
            n_failed += 1
        except ValueError as error:
            assert not isinstance(error.__context__, MemoryError), (n, error)
        except Exception:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        if program is None:
            gc.collect()
            assert live() == n_nodes, (n, live(), n_nodes)
            program = load_program(path)
        assert program([2.0]) == 7.0
    assert n_failed > 100
    os.remove(path)
    os.rmdir(os.path.dirname(path))
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_memory_runs_out_during(case):
    program = (
        HARNESS.replace("# PROGRAMS\n", PROGRAMS if "program" in case else "")
        + textwrap.indent(textwrap.dedent(CASES[case]), "    ")
        + "print('done')\n"
    )
    assert run_python(program) == "done\n"
