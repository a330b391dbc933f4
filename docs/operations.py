"""Write operations.md from the engine's own table of operations: ``python docs/operations.py``."""

from pathlib import Path

from micrograd_fast._core import OPERATIONS

HEAD = """# Operations

Expanded from `csrc/ops/ops.def`, which also holds each value and derivative as code; do not edit.

| method | `_op` | operands | extra numbers | what it is |
|---|---|---|---|---|
"""


def table():
    """Return the page as text."""
    rows = [
        f"| `{name}` | `{label}` | {arity} | {n_immediates} | {doc.replace('``', '`')} |\n"
        for name, label, arity, n_immediates, doc in OPERATIONS
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    Path(__file__).with_name("operations.md").write_text(table())
