"""Time two sides of one piece of work alternately, each in a process of its own.

A process of its own keeps one side's garbage, and the modules that a peer loads, off the other
side's time: Python's collector, which stays on, works through both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent


class MissingPeerError(Exception):
    """What a row compares with is not installed."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    n_samples: int  # of each side
    sample_seconds: float  # the least that a sample lasts
    scale: int  # graphs that are measured by their size are this many times smaller


FULL = Effort(n_samples=11, sample_seconds=0.2, scale=1)
QUICK = Effort(n_samples=3, sample_seconds=0.02, scale=50)


@dataclass(frozen=True)
class Side:
    """One way of doing a piece of work."""

    result: list[float]  # what it computes, to be compared with the other side's
    run: Callable[[int], float]  # does the work n times and returns the seconds it took


@dataclass(frozen=True)
class Samples:
    """Seconds for one time of the work, of both sides, taken alternately."""

    ours: list[float]
    other: list[float]

    def times_faster(self) -> list[float]:
        """How many times longer the other side took, sample by sample."""
        return [other / ours for ours, other in zip(self.ours, self.other, strict=True)]

    def times_slower(self) -> list[float]:
        """How many times longer our side took, sample by sample."""
        return [ours / other for ours, other in zip(self.ours, self.other, strict=True)]


def repeated(work: Callable[[], object]) -> Callable[[int], float]:
    """Make what runs a side of a function that does the work once."""

    def run(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            work()
        return time.perf_counter() - began

    return run


class Worker:
    """A side in its own process, as the process that asks sees it."""

    def __init__(self, row: str, side: str):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", row, side],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.communicate()

    def result(self) -> list[float]:
        """Wait until the side is ready and return what it computes."""
        outcome = json.loads(self._answer())
        if "missing" in outcome:
            raise MissingPeerError(outcome["missing"])
        return outcome["result"]

    def run(self, n: int) -> float:
        """Have the work done n times; return the seconds it took."""
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args)} failed")
        return line


def serve(side: Side, answers: TextIO) -> None:
    """Answer a `Worker`: the result first, then the seconds for every n that it asks for."""
    print(json.dumps({"result": side.result}), file=answers, flush=True)
    for line in sys.stdin:
        print(side.run(int(line)), file=answers, flush=True)


def calibrate(worker: Worker, seconds: float) -> int:
    """Find how many times the work must be done to last at least `seconds`.

    At least three times: work with much garbage is not collected evenly. The run that finds it
    also warms the side up.
    """
    n = 3
    while (elapsed := worker.run(n)) < seconds:
        n = max(2 * n, int(n * seconds / max(elapsed, 1e-9)))
    return n


def alternate(ours: Worker, other: Worker, effort: Effort) -> Samples:
    """Sample both sides in turn, so that a slower moment of the machine meets both."""
    n_ours = calibrate(ours, effort.sample_seconds)
    n_other = calibrate(other, effort.sample_seconds)
    samples = Samples([], [])
    for _ in range(effort.n_samples):
        samples.ours.append(ours.run(n_ours) / n_ours)
        samples.other.append(other.run(n_other) / n_other)
    return samples
