"""Print the table of ratios: ``python -m bench``."""

import argparse
import importlib.metadata
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    from micrograd_fast import __version__, _core
except ImportError as error:
    raise SystemExit(f"{error}\nInstall the package first: make develop") from error

from .kinds import Result, Row
from .rows import ROWS
from .timing import FULL, QUICK, Effort, MissingPeerError

HEADINGS = (
    "work",
    "compiled engine",
    "other side",
    "takes",
    "figure",
    "spread",
    "target",
    "verdict",
)


def processor() -> str:
    """Name the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def version(package: str) -> str:
    """Give the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def circumstances() -> list[str]:
    """Say what the figures were measured on."""
    peers = ("torch", "micrograd", "numpy", "scikit-learn", "jax", "casadi", "aadc")
    return [
        f"machine: {processor()}, {os.cpu_count()} logical cores, {platform.system()}"
        f" {platform.release()}",
        f"Python: {platform.python_implementation()} {platform.python_version()},"
        f" built with {platform.python_compiler()}",
        f"micrograd_fast {__version__}: "
        + ", ".join(f"{name} {fact}" for name, fact in _core.build_info().items()),
        "peers: " + ", ".join(f"{package} {version(package)}" for package in peers),
    ]


def three_digits(figure: float) -> str:
    """Write a figure as people do: three digits, or all of those before the point."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def cells(row: Row, result: Result) -> tuple[str, ...]:
    """Write one measured row."""
    figure = statistics.median(result.figures)
    if row.target is None:
        target = verdict = ""
    else:
        target = f"{row.bound} {row.target:g}{row.unit}"
        verdict = "pass" if row.meets(figure) else "MISS"
    return (
        row.work,
        result.ours,
        row.other_side,
        result.other,
        f"{three_digits(figure)}{row.unit}",
        f"{three_digits(min(result.figures))} to {three_digits(max(result.figures))}",
        target,
        verdict,
    )


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Lay a table out in columns."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """Lay a table out as Markdown."""
    lines = [f"| {' | '.join(line)} |" for line in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


def measure(rows: Sequence[Row], effort: Effort) -> tuple[list[tuple[str, ...]], list[str]]:
    """Measure rows one after the other; return the table and the notes under it."""
    table, notes = [HEADINGS], []
    for row in rows:
        print(f"measuring {row.name} ...", file=sys.stderr, flush=True)
        try:
            result = row.measure(effort)
        except MissingPeerError as missing:
            empty = [""] * (len(HEADINGS) - 4)
            table.append((row.work, "", row.other_side, f"not measured: {missing}", *empty))
            continue
        table.append(cells(row, result))
        if result.note:
            notes.append(f"{row.name}: {result.note}")
    return table, notes


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen rows and print the table."""
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the compiled engine and its peers, both sides in one run.",
    )
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="few samples, small graphs")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    args = parser.parse_args(argv)
    rows = [row for row in ROWS if row.name in args.rows]
    if args.list:
        for row in rows:
            print(f"{row.name:16} {row.work}, against {row.other_side}")
        return 0

    effort = QUICK if args.quick else FULL
    table, notes = measure(rows, effort)
    bullet = "- " if args.markdown else ""
    print("\n".join(bullet + line for line in circumstances()))
    print("\n" + (as_markdown if args.markdown else as_text)(table) + "\n")
    explanation = (
        f"medians of {effort.n_samples} samples a side (3 for memory and chain), taken"
        " alternately after the results of both sides were compared, each side in a process of"
        " its own; the spread is the least and the most. Python's collector is on. Not measured:"
        " the import, and more than one thread."
    )
    print("\n".join(bullet + line for line in [*notes, explanation]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
