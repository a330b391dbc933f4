"""The kinds of rows that the table has, and what their measurements share."""

import importlib
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .timing import Effort, MissingPeerError, Side, Worker, alternate

AT_MOST, AT_LEAST = "at most", "at least"


@dataclass(frozen=True)
class Result:
    """One measured row."""

    ours: str
    other: str
    figures: list[float]  # what the target speaks of, sample by sample
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    work: str
    other_side: str
    bound: str  # AT_MOST or AT_LEAST
    target: float | None  # None: a row for comparison only
    unit: str

    def meets(self, figure: float) -> bool:
        """Whether a median keeps the target."""
        if self.target is None:
            return True
        return figure <= self.target if self.bound == AT_MOST else figure >= self.target


@dataclass(frozen=True)
class TimedRow(Row):
    """Work that both sides can do again and again."""

    ours: Callable[[], Side]
    other: Callable[[], Side]
    relative: float = 0.0  # how far the two results may differ
    note: str = ""

    def measure(self, effort: Effort) -> Result:
        """Check both sides, then time them alternately."""
        with Worker(self.name, "ours") as ours, Worker(self.name, "other") as other:
            expect(ours.result(), other.result(), self.relative)
            samples = alternate(ours, other, effort)
        return Result(
            format_seconds(statistics.median(samples.ours)),
            format_seconds(statistics.median(samples.other)),
            samples.times_slower() if self.bound == AT_MOST else samples.times_faster(),
            self.note,
        )


@dataclass(frozen=True)
class SizedRow(Row):
    """Work that is measured by the node, on one large graph."""

    measure: Callable[[Effort], Result]


def peer(module: str):
    """Import a package that a row needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPeerError(f"{module} is not installed") from error


def expect(found, wanted, relative: float) -> None:
    """Refuse to time sides whose results differ."""
    for x, y in zip(found, wanted, strict=True):
        if not (x == y or math.isclose(x, y, rel_tol=relative, abs_tol=0.0)):
            raise SystemExit(f"the two sides differ: {found} and {wanted}")


def format_seconds(seconds: float) -> str:
    """Write a duration in the unit that fits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
