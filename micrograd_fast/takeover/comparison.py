"""Both ways: a program as it is and taken over, side by side, by what they print."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# How many lines that differ are shown.
MOST_SHOWN = 5


@dataclass
class Side:
    """What became of one of the two.

    Attributes
    ----------
    lines : list of str
        What it printed on stdout, without line ends.
    status : int or None
        Its exit status; None if its time was up.
    seconds : float
        How long it took.
    """

    lines: list[str]
    status: int | None
    seconds: float


def compare(command: Sequence[str], limit: str, report: bool, say: Callable[[str], None]) -> int:
    """Run a program both ways and compare their output line by line.

    Parameters
    ----------
    command : sequence of str
        What follows ``run`` on the command line, without the options of the comparison.
    limit : str
        A number of training steps, or of seconds with an ``s`` behind it.
    report : bool
        Let the second side say what was replaced.
    say : callable
        Is given lines for people.

    Returns
    -------
    int
        0 if all lines are the same, else 1.
    """
    seconds = float(limit[:-1]) if limit.endswith("s") else None
    stop = [] if seconds is not None else ["--stop-after", limit]
    stdin = b"" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read()
    start = [sys.executable, "-m", "micrograd_fast", "run"]
    say("the program as it is ...")
    plain = run_side([*start, "--as-is", *stop, *command], stdin, seconds)
    say(f"... {len(plain.lines)} lines in {plain.seconds:.2f} s; now on micrograd_fast ...")
    reporting = ["--report"] if report else []
    taken = run_side([*start, *stop, *reporting, *command], stdin, seconds)
    say(f"... {len(taken.lines)} lines in {taken.seconds:.2f} s")
    return tell_differences(plain, taken, say)


def run_side(command: list[str], stdin: bytes, seconds: float | None) -> Side:
    """Run a command to its end or until its time is up."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        with subprocess.Popen(command, stdin=given, stdout=output, env=environment) as process:
            status: int | None
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
                process.kill()
                process.wait()
            except BaseException:
                process.kill()
                raise
        took = time.perf_counter() - started
        output.seek(0)
        text = output.read().decode(errors="replace")
    lines = text.split("\n")
    # The last one is not whole where the time was up.
    return Side(lines[:-1] if status is None or lines[-1] == "" else lines, status, took)


def tell_differences(plain: Side, taken: Side, say: Callable[[str], None]) -> int:
    """Say which lines differ; return the exit status of the comparison."""
    n = min(len(plain.lines), len(taken.lines))
    different = [i for i in range(n) if plain.lines[i] != taken.lines[i]]
    for i in different[:MOST_SHOWN]:
        say(f"line {i + 1}: {plain.lines[i]}")
        say(f"  became: {taken.lines[i]}")
    if len(different) > MOST_SHOWN:
        say(f"and {len(different) - MOST_SHOWN} more lines differ")
    ended = plain.status is not None and taken.status is not None
    if ended and len(plain.lines) != len(taken.lines):
        say(f"one side printed {len(plain.lines)} lines, the other {len(taken.lines)}")
        return 1
    if ended and plain.status != taken.status:
        say(f"one side ended with {plain.status}, the other with {taken.status}")
        return 1
    if different:
        return 1
    if n == 0:
        say("nothing was printed that could be compared")
        return 0
    if ended:
        say(f"{n} lines, all the same; {plain.seconds / taken.seconds:.1f} times as fast")
    else:
        say(f"{n} lines, all the same; {len(taken.lines)} of them in the same time")
    return 0
