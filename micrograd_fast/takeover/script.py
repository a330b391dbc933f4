"""Run a program as ``python`` would, with the engine in the place of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
import types
from collections.abc import Sequence
from typing import Any

from . import children, counting, sources
from .hooks import Takeover

# What python itself exits with where it cannot open a file.
CANNOT_OPEN = 2


class CannotRun(Exception):
    """The program cannot be found or read; the text is for the user."""


def run(
    target: str,
    arguments: Sequence[str],
    *,
    is_module: bool = False,
    plain: bool = False,
    report: bool = False,
    as_is: bool = False,
    n_steps: int | None = None,
) -> int:
    """Run a script or module as ``__main__``.

    Parameters
    ----------
    target : str
        The path of a script, or of a folder with a ``__main__.py``; with `is_module` a name.
    arguments : sequence of str
        What the program finds behind its own name in ``sys.argv``.
    plain : bool, optional
        Leave loops as they are written; only classes and imports are replaced.
    report : bool, optional
        Say on stderr at the end what was replaced, and how long the program took.
    as_is : bool, optional
        Replace nothing.
    n_steps : int, optional
        End the program where it calls `backward` once more than so many times.

    Returns
    -------
    int
        The exit status; `SystemExit` of the program goes through.

    Raises
    ------
    CannotRun
        If there is no such program.
    """
    started = time.perf_counter(), time.process_time()
    module = types.ModuleType("__main__")
    if is_module:
        sys.path[0] = os.getcwd()
        root = os.getcwd()
    else:
        root = folder_of(target)
        sys.path[0] = root
    takeover = Takeover(plain, [root], say, only_watch=as_is)
    if n_steps is not None:
        counting.StepCounter(n_steps).watch(takeover)
    watching = not as_is or n_steps is not None
    if watching:
        takeover.start()
    load = load_module if is_module else load_script
    try:
        source, filename = load(module, target)
        if watching:
            code = sources.compiled(source, filename, takeover.plain)
        else:
            code = compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        sys.excepthook(type(error), error.with_traceback(None), None)
        return 1
    sys.argv = [str(module.__file__), *arguments]
    if not is_module:
        sys.argv[0] = target
    if not as_is:
        children.pass_on(plain)
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    keep = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        return execute(code, module.__dict__)
    finally:
        if report:
            write_report(takeover, started)
        del keep


def execute(code: types.CodeType, namespace: dict[str, Any]) -> int:
    """Run code; show an error as Python does, without the frames of this library."""
    try:
        exec(code, namespace)
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is not code:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        if isinstance(error, KeyboardInterrupt):
            end_by_interrupt()
        return 1
    return 0


def end_by_interrupt() -> None:
    """End as a process that Ctrl-C has ended, which shells ask about."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)


def load_script(module: types.ModuleType, target: str) -> tuple[bytes, str]:
    """Read a script, and name it in the namespace that it will run in."""
    path = os.path.abspath(
        os.path.join(target, "__main__.py") if os.path.isdir(target) else target
    )
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise CannotRun(f"can't open file {path!r}: {error.strerror}") from None
    if b"\0" in source:
        raise CannotRun(f"{path!r} must be a Python source, found null bytes in it")
    module.__file__ = path
    # As in any script that python runs.
    module.__dict__.update(__cached__=None, __package__=None, __spec__=None, __loader__=None)
    return source, path


def load_module(module: types.ModuleType, target: str) -> tuple[bytes, str]:
    """Find a module by its name, and name it in the namespace that it will run in."""
    try:
        spec = importlib.util.find_spec(target)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{target}.__main__")
    except (ImportError, ValueError, AttributeError) as error:
        raise CannotRun(f"no module named {target!r} could be found: {error}") from None
    if spec is None or spec.origin is None or not hasattr(spec.loader, "get_data"):
        raise CannotRun(f"no module named {target!r} with a source could be found")
    module.__file__ = spec.origin
    module.__dict__.update(
        __cached__=spec.cached, __package__=spec.parent, __spec__=spec, __loader__=spec.loader
    )
    return spec.loader.get_data(spec.origin), spec.origin  # type: ignore[union-attr]


def folder_of(target: str) -> str:
    """The folder from which a script imports."""
    return os.path.realpath(target if os.path.isdir(target) else os.path.dirname(target) or ".")


def say(line: str) -> None:
    """Tell people, beside the program's own output."""
    print(line, file=sys.stderr, flush=True)


def write_report(takeover: Takeover, started: tuple[float, float]) -> None:
    """Say what was replaced and how long the program took."""
    wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    for filename, line, name, stand_in in takeover.stand_ins:
        say(f"{os.path.basename(filename)}:{line}: class {name}")
        say(f"    by the engine: {', '.join(stand_in.by_engine)}")
        if stand_in.by_python:
            say(f"    by its own methods: {', '.join(stand_in.by_python)}")
    for filename, line, name, reason in takeover.refused:
        say(f"{os.path.basename(filename)}:{line}: class {name} stays as it is: {reason}")
    if not takeover.stand_ins and not takeover.refused:
        say("no class like micrograd's was defined")
    say(f"{wall:.2f} s, of which {processor:.2f} s of processor time")
