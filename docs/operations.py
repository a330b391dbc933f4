"""Write operations.md from the engine's own table of operations: ``python docs/operations.py``."""

import math
from pathlib import Path

from micrograd_fast._core import OPERATIONS

HEAD = """# Operations

Written by `make docs` from `csrc/ops/ops.def`, which also holds each value and derivative as code;
do not edit.

An operand that is nan is never refused: the result is nan, or what the row says of it. What is
raised in `backward` comes from the slope of a number that has a value. An operand that is assigned
in between is refused by `backward` as by the operation itself.

| method | `_op` | operands | what it is | raises | raises in `backward` |
|---|---|---|---|---|---|
"""


def call(row):
    """Return how the method is called."""
    arguments = ["other"] if row.arity == 2 else []
    for name, default in row.immediates:
        if math.isnan(default):
            arguments.append(name)
        else:
            arguments.append(f"{name}={None if math.isinf(default) else default}")
    return f"{row.name}({', '.join(arguments)})"


def errors(exceptions, wanted=""):
    """Return the names of exceptions; that of operands which are refused says which are not."""
    names = [
        f"{kind.__name__} (wanted: {wanted})" if kind is ValueError else kind.__name__
        for kind in exceptions
    ]
    return ", ".join(names)


def table():
    """Return the page as text."""
    rows = [
        f"| `{call(row)}` | `{row.label}` | {row.arity} | {row.doc.replace('``', '`')} "
        f"| {errors(row.value_errors, row.wanted)} | {errors(row.slope_errors)} |\n"
        for row in OPERATIONS
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    Path(__file__).with_name("operations.md").write_text(table())
