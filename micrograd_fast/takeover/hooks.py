"""Where a program's modules and classes pass through: imports, and classes that are defined."""

from __future__ import annotations

import builtins
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Sequence
from typing import Any

from . import sources
from .stand_in import NotServed, StandIn, looks_like_micrograd, stand_in_for

# The modules that are ours under micrograd's names.
ALIASES = {
    "micrograd": "micrograd_fast",
    "micrograd.engine": "micrograd_fast.engine",
    "micrograd.nn": "micrograd_fast.nn",
}


class Takeover:
    """What is replaced in a program, and what has been.

    Parameters
    ----------
    plain : bool
        Leave the program's loops as they are.
    roots : sequence of str
        The folders whose modules are the program's.
    say : callable
        Is given a line for people.
    only_watch : bool, optional
        Replace nothing; classes like micrograd's still come through `replaced`.
    """

    def __init__(
        self, plain: bool, roots: Sequence[str], say: Any, only_watch: bool = False
    ) -> None:
        self.plain = plain or only_watch
        self.only_watch = only_watch
        self.roots = [os.path.realpath(root) for root in roots]
        self.say = say
        self.stand_ins: list[tuple[str, int, str, StandIn]] = []
        self.refused: list[tuple[str, int, str, str]] = []
        self._build_class = builtins.__build_class__
        self._finder = _Finder(self)

    def start(self) -> None:
        """Stand between a program and its imports."""
        sources.provide(self.offer)
        sys.meta_path.insert(0, self._finder)

    def stop(self) -> None:
        """Let imports pass by."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)

    def watch_class_statements(self) -> None:
        """Take over classes of modules that were compiled before, too."""

        def build(function: Any, name: str, *bases: Any, **keywords: Any) -> Any:
            made = self._build_class(function, name, *bases, **keywords)
            code = getattr(function, "__code__", None)
            if code is None or not isinstance(made, type) or not self.is_ours(code.co_filename):
                return made
            if sources.is_rewritten(function.__globals__):
                return made  # it comes as a whole, behind its decorators
            return self.replaced(made, function.__globals__, code.co_filename, code.co_firstlineno)

        builtins.__build_class__ = build  # type: ignore[assignment]

    def is_ours(self, filename: str) -> bool:
        """Whether a file is the program's own, or a cell of a notebook."""
        if filename.startswith("<"):
            return not filename.startswith("<frozen")
        real = os.path.realpath(filename)
        return is_program_file(real, self.roots)

    def offer(self, filename: str, line: int) -> Any:
        """The decorator that rewritten sources put on classes."""
        namespace = sys._getframe(1).f_globals
        return lambda made: self.replaced(made, namespace, filename, line)

    def replaced(self, made: Any, namespace: dict[str, Any], filename: str, line: int) -> Any:
        """A stand-in for a class, or the class itself."""
        if self.only_watch or not isinstance(made, type) or not looks_like_micrograd(made):
            return made
        name = made.__name__
        try:
            stand_in = stand_in_for(made, namespace)
        except NotServed as reason:
            self.refused.append((filename, line, name, str(reason)))
            self.say(f"{shown(filename)}:{line}: class {name} stays as it is: {reason}")
            return made
        self.stand_ins.append((filename, line, name, stand_in))
        ints = "; ints become floats" if stand_in.keeps_ints else ""
        self.say(f"{shown(filename)}:{line}: class {name} runs on micrograd_fast{ints}")
        return stand_in.cls


def shown(filename: str) -> str:
    """A file as a line for people names it."""
    return os.path.basename(filename)


def is_program_file(filename: str, roots: Sequence[str]) -> bool:
    """Whether a file lies in one of the folders, and not among installed packages."""
    if any(part in ("site-packages", "dist-packages") for part in filename.split(os.sep)):
        return False
    standard = os.path.realpath(os.path.dirname(os.__file__))
    own = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))
    return any(
        os.path.commonpath([filename, root]) == root
        and not filename.startswith((standard + os.sep, own + os.sep))
        for root in roots
        if os.path.isabs(filename)
    )


class _Finder(importlib.abc.MetaPathFinder):
    """Finds micrograd in micrograd_fast, and rewrites the program's own modules."""

    def __init__(self, takeover: Takeover) -> None:
        self._takeover = takeover

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        origin = spec.origin if spec is not None else None
        local = origin is not None and self._takeover.is_ours(origin)
        if fullname in ALIASES and self._takeover.only_watch:
            local = origin is not None
        elif fullname in ALIASES and not local:
            return importlib.util.spec_from_loader(
                fullname, _Alias(ALIASES[fullname]), is_package=fullname == "micrograd"
            )
        if spec is None or origin is None or not local:
            return None
        if type(spec.loader) is not importlib.machinery.SourceFileLoader:
            return None
        spec.loader = _Rewriting(fullname, origin, self._takeover.plain)
        return spec


class _Alias(importlib.abc.Loader):
    """Gives one of our modules under another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        ours = importlib.import_module(self._name)
        for name, entry in vars(ours).items():
            if not name.startswith("__") or name == "__all__":
                setattr(module, name, entry)
        module.__doc__ = ours.__doc__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class _Rewriting(importlib.machinery.SourceFileLoader):
    """Loads a module from its rewritten source; never from a cache, nor into one."""

    def __init__(self, fullname: str, path: str, plain: bool) -> None:
        super().__init__(fullname, path)
        self._plain = plain

    def exec_module(self, module: types.ModuleType) -> None:
        sources.mark(module.__dict__)
        super().exec_module(module)

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        code: types.CodeType = sources.compiled(self.get_data(path), path, self._plain)
        return code
