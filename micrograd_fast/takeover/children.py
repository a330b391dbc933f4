"""Processes that a program starts with `multiprocessing`: they define its classes anew.

A forked child has what its parent has. One that is spawned imports the main module by itself; so
its command line first lets that happen as it has happened in the parent.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from typing import Any

from . import sources
from .hooks import Takeover


def pass_on(plain: bool) -> None:
    """Let the children that `multiprocessing` spawns from here on be taken over, too."""
    from multiprocessing import spawn

    command_line: Any = spawn.get_command_line

    def get_command_line(**arguments: Any) -> list[str]:
        command: list[str] = command_line(**arguments)
        if "-c" in command:
            place = command.index("-c") + 1
            here = f"from micrograd_fast.takeover import children; children.prepare({plain}); "
            command[place] = here + command[place]
        return command

    spawn.get_command_line = get_command_line


def prepare(plain: bool) -> None:
    """In a child: let the main module come through here when it is imported."""
    from multiprocessing import spawn

    pass_on(plain)
    spawn.runpy = _Runner(plain)  # type: ignore[attr-defined]


class _Runner:
    """What `multiprocessing` uses of `runpy`."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain

    def run_path(self, path: str, run_name: str) -> dict[str, Any]:
        """Run a script and return its namespace."""
        self._start(os.path.dirname(os.path.abspath(path)))
        with open(path, "rb") as file:
            return self._run(file.read(), path, run_name, None)

    def run_module(self, name: str, run_name: str, alter_sys: bool = False) -> dict[str, Any]:
        """Run a module and return its namespace."""
        self._start(os.getcwd())
        spec: Any = importlib.util.find_spec(name)
        return self._run(spec.loader.get_data(spec.origin), spec.origin, run_name, spec)

    def _start(self, root: str) -> None:
        Takeover(self._plain, [root], lambda line: None).start()

    def _run(self, source: bytes, path: str, run_name: str, spec: Any) -> dict[str, Any]:
        module = types.ModuleType(run_name)
        module.__file__ = path
        module.__dict__.update(
            __cached__=None, __spec__=spec, __package__=spec.parent if spec else ""
        )
        before = sys.modules.get(run_name)
        sys.modules[run_name] = module
        try:
            exec(sources.compiled(source, path, self._plain), module.__dict__)
        finally:
            if before is None:
                del sys.modules[run_name]
            else:
                sys.modules[run_name] = before
        return module.__dict__
