"""Every bad input: the exception's type, what its message says, and an engine that works on."""

import math
import sys

import pytest
from support import run_python


def cases(engine):
    """(what, type, pattern of the message, the bad call)."""
    V, dot = engine.Value, engine.dot
    nn = engine.nn
    a = V(2.0)
    return {
        "Value of a str": (TypeError, r"\bstr\b", lambda: V("2.0")),
        "Value of bytes": (TypeError, r"\bbytes\b", lambda: V(b"2")),
        "Value of None": (TypeError, r"\bNoneType\b", lambda: V(None)),
        "Value of complex": (TypeError, r"\bcomplex\b", lambda: V(2j)),
        "Value of a list": (TypeError, r"\blist\b", lambda: V([1.0])),
        "Value of a Value": (TypeError, r"\bValue\b", lambda: V(a)),
        "Value of a huge int": (OverflowError, r"too large", lambda: V(10**400)),
        "Value + str": (TypeError, r"\bstr\b", lambda: a + "1"),
        "str + Value": (TypeError, r"\bValue\b", lambda: "1" + a),
        "Value - None": (TypeError, r"\bNoneType\b", lambda: a - None),
        "Value / list": (TypeError, r"\blist\b", lambda: a / [1.0]),
        "Value ** complex": (TypeError, r"\bcomplex\b", lambda: a**1j),
        "complex * Value": (TypeError, r"\bcomplex\b", lambda: 1j * a),
        "maximum of str": (TypeError, r"\bstr\b", lambda: a.maximum("1")),
        "child that is no Value": (TypeError, r"\bfloat\b", lambda: V(1.0, (a, 2.0), "+")),
        "local gradient that is none": (TypeError, r"\bstr\b", lambda: V(1.0, (a,), ("1",))),
        "lengths that differ": (ValueError, r"\b2\b.*\b1\b", lambda: V(1.0, (a, a), (1.0,))),
        "sum of a str": (TypeError, r"\bstr\b", lambda: engine.sum([a, "1"])),
        "sum of a number": (TypeError, r"\bfloat\b|iterable", lambda: engine.sum(1.0)),
        "dot of lengths that differ": (
            ValueError,
            r"\b3\b.*\b2\b",
            lambda: dot([a, a, a], [1.0, 2.0]),
        ),
        "dot of a str": (TypeError, r"\bstr\b|multiply", lambda: dot([a], ["1"])),
        "clip upside down": (ValueError, r"\b2\.0\b.*\b1\.0\b", lambda: a.clip(2, 1)),
        "clip of nan": (ValueError, r"nan", lambda: a.clip(math.nan, 1)),
        "clip of nan above": (ValueError, r"nan", lambda: a.clip(0, math.nan)),
        "clip of str": (TypeError, r"\bstr\b", lambda: a.clip("0", 1)),
        "slope that is a str": (TypeError, r"\bstr\b", lambda: a.leaky_relu("0")),
        "slope that is a Value": (TypeError, r"\bValue\b", lambda: a.leaky_relu(a)),
        "alpha that is None": (TypeError, r"\bNoneType\b", lambda: a.elu(None)),
        "too short an input": (
            ValueError,
            r"\b3\b.*\b2\b|\b2\b.*\b3\b",
            lambda: nn.Neuron(3)([1.0, 2.0]),
        ),
        "too long an input": (
            ValueError,
            r"\b3\b.*\b4\b|\b4\b.*\b3\b",
            lambda: nn.Layer(3, 2)([1.0] * 4),
        ),
        "no input": (ValueError, r"\b2\b.*\b0\b|\b0\b.*\b2\b", lambda: nn.MLP(2, [2, 1])([])),
        "unknown activation": (
            ValueError,
            r"nonsense",
            lambda: nn.Neuron(2, activation="nonsense"),
        ),
        "0 to a negative power": (ZeroDivisionError, r"0\.0", lambda: V(0.0) ** -1),
        "division by 0": (ZeroDivisionError, r"0", lambda: a / 0),
        "division by a Value of 0": (ZeroDivisionError, r"0\.0", lambda: a / V(0.0)),
        "exp too large": (OverflowError, None, lambda: V(1000.0).exp()),
        "power too large": (OverflowError, None, lambda: V(1e200) ** 2),
        "log of 0": (ValueError, None, lambda: V(0.0).log()),
        "root of a negative": (ValueError, None, lambda: V(-2.0).sqrt()),
        "negative base": (ValueError, r"-8\.0", lambda: V(-8.0) ** 0.5),
        "slope at 0": (ZeroDivisionError, None, lambda: (V(0.0) ** 0.5).backward()),
        "unknown attribute": (AttributeError, r"colour", lambda: a.colour),
        "float()": (TypeError, r"\bValue\b", lambda: float(a)),
        "order": (TypeError, r"<", lambda: a < a),
        "format": (ValueError, r"format", lambda: f"{a:q}"),
    }


def names():
    class Nothing:
        def __getattr__(self, name):
            return self

        def __call__(self, *args, **kwargs):
            return self

    return list(cases(Nothing()))


@pytest.mark.parametrize("name", names())
def test_bad_input_has_the_type_and_the_message(engine, name):
    error, pattern, attempt = cases(engine)[name]
    with pytest.raises(error, match=pattern) as caught:
        attempt()
    assert type(caught.value) is error
    assert str(caught.value).strip()


@pytest.mark.parametrize("name", names())
def test_nothing_leaks_and_the_engine_works_on(compiled, name):
    a, b = compiled.Value(2.0), compiled.Value(3.0)
    out = a * b + a
    attempt = cases(compiled)[name][2]
    before = compiled.arena_stats()["live_nodes"]
    for _ in range(3):
        with pytest.raises(Exception):  # noqa: B017, PT011
            attempt()
    assert compiled.arena_stats()["live_nodes"] == before
    out.backward()
    assert (out.data, a.grad, b.grad) == (8.0, 4.0, 2.0)
    fresh = (a - b).tanh()
    fresh.backward()
    assert fresh._children[0].data == -1.0


# The reference passes Python's own words on.
@pytest.mark.parametrize(
    "pattern, attempt",
    [
        (r"-3\.5", lambda V: V(-3.5).log()),
        (r"0\.0", lambda V: V(0.0).log()),
        (r"-3\.5", lambda V: V(-3.5).sqrt()),
        (r"1234\.5", lambda V: V(1234.5).exp()),
        (r"1e\+200 \*\* 2", lambda V: V(1e200) ** 2),
        (r"-8\.0 \*\* 0\.5", lambda V: V(-8.0) ** 0.5),
        (r"-8\.0 \*\* 0\.5", lambda V: V(-8.0) ** V(0.5)),
        (r"0\.0 \*\* -1", lambda V: V(0.0) ** -1),
        (r"inf", lambda V: V(math.inf).sin()),
        (r"inf", lambda V: V(-math.inf).cos()),
        (r"wanted", lambda V: V(-3.5).log()),
        (r"data.*list", lambda V: V([1])),
        (r"children.*float", lambda V: V(1.0, (2.0,))),
    ],
)
def test_messages_say_what_was_found(compiled, pattern, attempt):
    with pytest.raises((ArithmeticError, ValueError, TypeError), match=pattern):
        attempt(compiled.Value)


# The reference takes what is assigned as it is.
def test_assignments_say_what_was_found(compiled):
    v = compiled.Value(1.0)
    for name in ("data", "grad"):
        for thing in ("1", None, 1j, [1.0]):
            with pytest.raises(TypeError, match=type(thing).__name__):
                setattr(v, name, thing)
            with pytest.raises(TypeError, match=name):
                setattr(v, name, thing)
    with pytest.raises(OverflowError):
        v.data = 10**400
    assert (v.data, v.grad) == (1.0, 0.0)


def test_an_iterator_that_fails_midway_leaves_nothing(compiled):
    a = compiled.Value(2.0)

    def broken():
        yield a * 2
        yield a * 3
        raise RuntimeError("midway")

    before = compiled.arena_stats()["live_nodes"]
    for attempt in [
        lambda: compiled.sum(broken()),
        lambda: compiled.dot(broken(), [1.0] * 3),
        lambda: compiled.dot([a] * 3, broken()),
        lambda: compiled.Value(0.0, broken(), "+"),
        lambda: compiled.Value(0.0, children=broken(), local_grads=[1.0]),
    ]:
        with pytest.raises(RuntimeError, match="midway"):
            attempt()
    assert compiled.arena_stats()["live_nodes"] == before


def test_many_errors_in_a_row(engine):
    a = engine.Value(-1.0)
    for _ in range(20_000):
        try:
            a.log()
        except ValueError:
            continue
        raise AssertionError("no error")
    assert (a * a).data == 1.0


LIMITED = """
    import gc, resource, sys
    from micrograd_fast import Value
    from micrograd_fast._core import arena_stats

    def limit(extra):
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + extra, resource.RLIM_INFINITY))

    def unlimit():
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

    def small_graph_works():
        a = Value(2.0)
        (a * 3 + a).backward()
        assert a.grad == 4.0
"""

# The address space of a process can be limited, and measured, on Linux.
if sys.platform == "linux":

    @pytest.mark.memory
    def test_memory_that_runs_out_is_a_memory_error():
        out = run_python(
            LIMITED
            + """
    start = node = Value(1.0)
    limit(100 * 2**20)
    built = 0
    try:
        while True:
            node = node + start
            built += 1
    except MemoryError as error:
        message = str(error)
    assert arena_stats()["live_nodes"] == built + 1
    assert built > 100_000
    assert node.data == built + 1.0
    assert "memory" in message and str(built + 1) in message, message
    for attempt in (lambda: node + start, lambda: node * 2.0, lambda: node.tanh(),
                    lambda: Value(1.0), lambda: 1 - node, lambda: node / start,
                    lambda: Value(1.0, (node, start), (1.0, 2.0))):
        try:
            attempt()
        except MemoryError:
            pass
        else:
            raise SystemExit("no error")
        assert arena_stats()["live_nodes"] == built + 1
    unlimit()
    node.backward()
    assert start.grad == built + 1.0
    small_graph_works()
    del node
    assert arena_stats()["live_nodes"] == 1
    print("done")
    """
        )
        assert out == "done\n"

    @pytest.mark.memory
    def test_memory_that_runs_out_in_backward_is_a_memory_error():
        out = run_python(
            LIMITED
            + """
    start = node = Value(1.0)
    n = 2_000_000
    for _ in range(n):
        node = start + node
    start.grad = node.grad = 0.5
    limit(2**20)
    for attempt in (node.backward, node.zero_grad):
        try:
            attempt()
        except MemoryError:
            pass
        else:
            raise SystemExit("no error")
        assert (start.grad, node.grad, node.data) == (0.5, 0.5, n + 1.0)
    small_graph_works()
    unlimit()
    node.backward()
    assert start.grad == n + 1.5
    print("done")
    """
        )
        assert out == "done\n"

    @pytest.mark.memory
    def test_the_engine_goes_on_after_freeing_what_filled_the_memory():
        out = run_python(
            LIMITED
            + """
    limit(60 * 2**20)
    for _ in range(3):
        start = node = Value(1.0)
        try:
            while True:
                node = (node + start).relu()
        except MemoryError:
            pass
        del node
        small_graph_works()
        assert arena_stats()["live_nodes"] == 1
    print("done")
    """
        )
        assert out == "done\n"
