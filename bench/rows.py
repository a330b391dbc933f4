"""The rows of the table: each compares the results of both sides, then measures both."""

import itertools
import json
import statistics
import subprocess
import sys
import time
import timeit
from pathlib import Path

import micrograd_fast
from micrograd_fast import reference

from . import chain
from .frozen import FROZEN_ROWS
from .kinds import AT_LEAST, AT_MOST, Result, SizedRow, TimedRow, format_seconds, peer
from .timing import Effort, MissingPeerError, Side, repeated
from .training import TRAINING_ROWS


def add(number) -> Side:
    """One addition as ``timeit`` times it, the loop around it included."""
    names = {"a": number(2.0), "b": number(-3.5)}
    total = names["a"] + names["b"]
    return Side(
        [total if isinstance(total, float) else total.data],
        timeit.Timer("a + b", globals=names).timeit,
    )


def tiny_graph(leaf):
    """Build the tiny graph, go backward, and return its result and its two leaves."""
    a, b = leaf(-41.0), leaf(2.0)
    c = a + b
    d = a * b + b**3
    e = c - d
    f = e**2
    g = f / 2
    g.backward()
    return g, a, b


def tiny(leaf) -> Side:
    """Time the tiny graph on one engine."""
    g, a, b = tiny_graph(leaf)
    return Side([float(g.data), float(a.grad), float(b.grad)], repeated(lambda: tiny_graph(leaf)))


def tiny_torch() -> Side:
    """Time the tiny graph on PyTorch scalars of double precision, with one thread."""
    torch = peer("torch")
    torch.set_num_threads(1)
    return tiny(lambda number: torch.tensor(number, dtype=torch.float64, requires_grad=True))


def measure_memory(effort: Effort) -> Result:
    """Build a chain in a fresh process and see what it adds to the resident memory."""
    if not Path("/proc/self/statm").exists():
        raise MissingPeerError("resident memory is only read on Linux")

    def bytes_per_node(package: str, n_nodes: int) -> dict[str, float]:
        command = [sys.executable, chain.__file__, package, str(n_nodes)]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(child.stdout)

    n_nodes, n_other = 5_000_000 // effort.scale, 500_000 // effort.scale
    ours = [bytes_per_node("micrograd_fast", n_nodes) for _ in range(3)]
    other = bytes_per_node("micrograd_fast.reference", n_other)
    built = [sample["built"] for sample in ours]
    swept = statistics.median(sample["swept"] for sample in ours)
    return Result(
        f"{statistics.median(built):.1f} B",
        f"{other['built']:.0f} B",
        built,
        f"{n_nodes:,} nodes ({n_other:,} on the other side); {swept:.1f} B once backward has run",
    )


def measure_chain(effort: Effort) -> Result:
    """Build a long chain from Python, go backward and free it, all timed."""

    def seconds_per_node(value_type, n_nodes: int) -> list[float]:
        moments = [time.perf_counter()]
        x, start, b = chain.build(value_type, n_nodes)
        moments.append(time.perf_counter())
        x.backward()
        moments.append(time.perf_counter())
        chain.check(x, start, b, n_nodes)
        unchecked = time.perf_counter() - moments[-1]
        del x
        moments.append(time.perf_counter() - unchecked)
        return [(late - early) / n_nodes for early, late in itertools.pairwise(moments)]

    n_nodes, n_other = 10_000_000 // effort.scale, 500_000 // effort.scale
    ours = [seconds_per_node(micrograd_fast.Value, n_nodes) for _ in range(3)]
    other = seconds_per_node(reference.Value, n_other)
    build, backward, free = (
        format_seconds(statistics.median(part)) for part in zip(*ours, strict=True)
    )
    totals = [sum(parts) for parts in ours]
    return Result(
        format_seconds(statistics.median(totals)),
        format_seconds(sum(other)),
        [1e6 * total for total in totals],
        f"{n_nodes:,} nodes ({n_other:,} on the other side, freed later by the collector);"
        f" build {build}, backward {backward}, free {free} a node",
    )


ROWS = [
    TimedRow(
        "add",
        "a + b",
        "Python floats",
        AT_MOST,
        3.0,
        " times slower",
        ours=lambda: add(micrograd_fast.Value),
        other=lambda: add(float),
    ),
    TimedRow(
        "tiny",
        "tiny graph, build and backward",
        "pure-Python engine",
        AT_LEAST,
        35.0,
        " times faster",
        ours=lambda: tiny(micrograd_fast.Value),
        other=lambda: tiny(reference.Value),
    ),
    TimedRow(
        "tiny-torch",
        "tiny graph, build and backward",
        "PyTorch",
        AT_LEAST,
        100.0,
        " times faster",
        ours=lambda: tiny(micrograd_fast.Value),
        other=tiny_torch,
    ),
    SizedRow(
        "memory",
        "resident memory of an interior node",
        "pure-Python engine",
        AT_MOST,
        64.0,
        " bytes",
        measure=measure_memory,
    ),
    SizedRow(
        "chain",
        "long chain: build, backward and free, a node",
        "pure-Python engine",
        AT_MOST,
        1.0,
        " µs",
        measure=measure_chain,
    ),
    *TRAINING_ROWS,
    *FROZEN_ROWS,
]
