"""Points 19 and 20 at full size: ten million nodes, a million copies, no recursion.

Only the compiled engine promises these sizes, so the programs run on it alone, each in an
interpreter of its own that gives its memory back.
"""

import pytest
from support import run_python

pytestmark = pytest.mark.slow

CHAIN = """
    import gc
    from micrograd_fast import Value
    from micrograd_fast._core import arena_stats

    n = {n}
    start = Value(1.0)
    node = start
"""


def test_19_a_chain_of_ten_million_nodes():
    """Built, run backward, cleared, and freed at once without the collector."""
    out = run_python(
        CHAIN.format(n=10_000_000)
        + """
    gc.disable()
    for _ in range(n // 2):
        node = node + start
        node = node.relu()
    assert node.data == 1.0 + n // 2
    assert arena_stats()["live_nodes"] == n + 1
    node.backward()
    assert start.grad == 1.0 + n // 2
    node.backward()
    assert start.grad > 1.0 + n // 2
    node.zero_grad()
    assert (start.grad, node.grad) == (0.0, 0.0)
    del node
    assert arena_stats()["live_nodes"] == 1
    print("done", start)
    """
    )
    assert out == "done Value(data=1.0, grad=0.0)\n"


def test_19_other_shapes_of_a_million_nodes():
    """A chain of powers of numbers, a right-leaning one, and nodes of a thousand operands."""
    out = run_python(
        CHAIN.format(n=1_000_000)
        + """
    for _ in range(n // 2):
        node = 0.5 * node + 0.5
    node.backward()
    assert node.data == 1.0
    node = start
    for _ in range(n):
        node = start + node
    start.grad = 0.0
    node.backward()
    assert start.grad == n + 1.0
    node = start
    for _ in range(1000):
        node = Value(0.0, [node] * 1000, [0.001] * 1000)
    node.zero_grad()
    node.backward()
    assert abs(start.grad - 1.0) < 1e-9
    del node
    gc.collect()
    assert arena_stats()["live_nodes"] == 1
    print("done")
    """
    )
    assert out == "done\n"


def test_19_freeing_nodes_that_carry_attributes_does_not_recurse():
    out = run_python(
        CHAIN.format(n=300_000)
        + """
    class Named(Value):
        pass

    for i in range(n):
        node = node + 1 if i % 3 else Named(node.data, (node,), (1.0,))
        node.position = i
        node.label = str(i)
    last = node._children[0]._children[0]
    assert last.position == n - 3
    del last
    node.backward()
    assert start.grad == 1.0
    del node
    gc.collect()
    assert arena_stats()["live_nodes"] == 1
    print("done")
    """
    )
    assert out == "done\n"


def test_19_freeing_a_chain_of_closures_does_not_recurse():
    out = run_python(
        CHAIN.format(n=300_000)
        + """
    def custom(child):
        out = Value(child.data, (child,), "same")

        def _backward():
            child.grad += out.grad

        out._backward = _backward
        return out

    for i in range(n):
        node = custom(node)
    node.backward()
    assert start.grad == 1.0
    del node
    gc.collect()
    assert arena_stats()["live_nodes"] == 1
    print("done")
    """
    )
    assert out == "done\n"


def test_19_copying_a_chain_of_a_million_nodes():
    out = run_python(
        CHAIN.format(n=1_000_000)
        + """
    import copy, pickle

    for i in range(n):
        node = node + 1 if i % 2 else node * 1
    twin = copy.deepcopy(node)
    assert twin.data == node.data
    twin.backward()
    assert (node.grad, start.grad) == (0.0, 0.0)
    stored = pickle.dumps((start, node))
    del node, twin
    loaded_start, loaded = pickle.loads(stored)
    loaded.backward()
    assert (loaded.data, loaded_start.grad) == (1.0 + n // 2, 1.0)
    shallow = copy.copy(loaded)
    assert shallow._children == loaded._children
    print("done")
    """
    )
    assert out == "done\n"


def test_19_walking_a_chain_of_a_million_nodes_through_prev():
    out = run_python(
        CHAIN.format(n=1_000_000)
        + """
    for i in range(n):
        node = node.tanh()
    here, steps = node, 0
    while here._prev:
        (here,) = here._prev
        steps += 1
    assert (steps, here) == (n, start)
    print("done")
    """
    )
    assert out == "done\n"
