"""Helpers that say exactly what the tests compare."""

import gc
import math
import os
import random
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from micrograd_fast._core import OPERATIONS

#: The folder of the tests, and the project's.
TESTS = Path(__file__).parent
ROOT = TESTS.parent

#: Every method of the engine's table, and those with which a neuron can end: through `detach`
#: nothing would learn.
METHODS = [row for row in OPERATIONS if row.label.isidentifier()]
ACTIVATIONS = [row.name for row in METHODS if row.arity == 1 and row.name != "detach"]

#: Numbers at which floating-point code goes wrong.
SPECIAL_NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    2.5,
    1.0 / 3.0,
    -1.0 / 3.0,
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,  # the largest subnormal
    1e-320,
    1.0 - 2.0**-53,
    1.0 + 2.0**-52,
    -1.0 - 2.0**-52,
    36.7,
    -745.2,
    709.78,
    709.79,
    1000.0,
    -1000.0,
    1023.0,
    1024.0,
    -1074.0,
    2.0**52,
    2.0**53 - 1.0,  # the largest odd float
    -(2.0**53) + 1.0,
    2.0**53,
    -(2.0**53) - 2.0,
    1e16,
    1e200,
    -1e200,
    1.7976931348623157e308,
    -1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
]


def bits(number):
    """A float as text that tells every value apart: -0.0 from 0.0, and nan equal to nan.

    The sign and payload of a nan are left out: IEEE 754 leaves them open, and Python shows them
    nowhere.
    """
    return float(number).hex()


def same_bits(x, y):
    """Whether two floats are the same number to the last bit (nan is nan)."""
    return bits(x) == bits(y)


def outcome(function, *args):
    """What a call does, to be compared: the bits it gives or the type it raises."""
    try:
        result = function(*args)
    except Exception as error:
        return f"raises {type(error).__name__}"
    return bits(result)


def trace(root):
    """Every node under `root`, operands first, in the order in which backward meets them."""
    order, met, stack = [], {id(root)}, [(root, iter(root._children))]
    while stack:
        node, operands = stack[-1]
        for operand in operands:
            if id(operand) not in met:
                met.add(id(operand))
                stack.append((operand, iter(operand._children)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def picture(root):
    """The graph under `root` as plain data: op, operands by position, data and grad to the bit."""
    order = trace(root)
    position = {id(node): i for i, node in enumerate(order)}
    return [
        (
            node._op,
            tuple(position[id(operand)] for operand in node._children),
            bits(node.data),
            bits(node.grad),
        )
        for node in order
    ]


def view(roots, held=()):
    """The graphs under `roots` as one, as plain data like `picture`, with what nodes carry.

    `held` are nodes to be known again: an entry closes with the position there.
    """
    places = {id(value): i for i, value in enumerate(held)}
    position, nodes = {}, []
    for root in roots:
        stack = [] if id(root) in position else [(root, iter(root._children))]
        met = {id(root)}
        while stack:
            node, operands = stack[-1]
            for operand in operands:
                if id(operand) not in met and id(operand) not in position:
                    met.add(id(operand))
                    stack.append((operand, iter(operand._children)))
                    break
            else:
                position[id(node)] = len(nodes)
                nodes.append(node)
                stack.pop()
    return [
        (
            node._op,
            tuple(position[id(operand)] for operand in node._children),
            bits(node.data),
            bits(node.grad),
            node.label,
            getattr(node, "tag", None),
            places.get(id(node)),
        )
        for node in nodes
    ]


def gradients(values):
    """Their gradients, to the bit."""
    return [bits(v.grad) for v in values]


def as_list(outputs):
    """What a layer gives, which is a bare Value for a single neuron, as a list."""
    return outputs if isinstance(outputs, list) else [outputs]


def same_everywhere(layer_engines, scenario, *arguments, only=()):
    """What a scenario gives with every engine (or only some), which must be the same.

    `layer_engines` is the fixture of that name.
    """
    results = {}
    for name in only or layer_engines:
        engine, context = layer_engines[name]
        random.seed(4)
        with context():
            results[name] = scenario(engine, *arguments)
    first = next(iter(results))
    for name, result in results.items():
        assert result == results[first], f"{name} differs from {first}"
    return results[first]


def live_nodes_after_collection(arena_stats):
    """Nodes in use once the collector finds no more; a cycle through a graph may take it a few
    rounds, one for each layer of handles that it frees."""
    before, now = None, arena_stats()["live_nodes"]
    while now != before:
        gc.collect()
        before, now = now, arena_stats()["live_nodes"]
    return now


def run_python(program, *arguments, timeout=600):
    """Run `program` in a fresh interpreter and return what it printed; fail on a bad exit.

    The time limit only keeps a hang from being endless; nothing is measured.
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )
    assert finished.returncode == 0, (
        f"the program ended with {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    )
    return finished.stdout


def resident_bytes():
    """Memory of this process that is in RAM now."""
    import psutil

    return psutil.Process().memory_info().rss


def in_threads(work, n_threads=4):
    """Do work(0), work(1) and so on at once; none of it may fail."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
