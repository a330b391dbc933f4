"""A chain of nodes, and what it takes in memory.

As a program, ``python chain.py PACKAGE NODES`` builds one chain in a fresh process and prints the
resident bytes per node that it added, as JSON.
"""

import importlib
import json
import os
import sys
from pathlib import Path

STEP = 2.0**-20  # a power of two: the sum of any number of them here is exact


def build(value_type, n_nodes):
    """Build ``x = x * w + b`` again and again, two interior nodes each time.

    Nothing but the last node is held by a name.
    """
    start, w, b = value_type(0.5), value_type(1.0), value_type(STEP)
    x = start
    for _ in range(n_nodes // 2):
        x = x * w + b
    return x, start, b


def check(x, start, b, n_nodes):
    """Compare a chain that has gone backward with what is known of it."""
    found = x.data, start.grad, b.grad
    wanted = 0.5 + n_nodes // 2 * STEP, 1.0, n_nodes // 2
    if found != wanted:
        raise AssertionError(f"the chain gives {found}, wanted {wanted}")


def resident_bytes():
    """Measure the memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(package, n_nodes):
    """Measure one chain and print the bytes per node after the build and after backward."""
    value_type = importlib.import_module(package).Value
    before = resident_bytes()
    x, start, b = build(value_type, n_nodes)
    built = resident_bytes()
    x.backward()
    swept = resident_bytes()
    check(x, start, b, n_nodes)
    print(json.dumps({"built": (built - before) / n_nodes, "swept": (swept - before) / n_nodes}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
