"""Programs as people have them, on this engine without an edit.

``python -m micrograd_fast run script.py`` runs a script as ``python script.py`` does, with its
imports of micrograd, and its own classes like micrograd's ``Value``, replaced: those that compute
the same to the bit, tried at the moment they are defined. `install` does so from within a program,
and ``%load_ext micrograd_fast`` in a notebook.
"""

from __future__ import annotations

import os
import sys

# True for type checkers only: nothing of this is loaded before it is used.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .hooks import Takeover

_installed: list[Takeover] = []


def install(*, plain: bool = False) -> None:
    """Let what this program imports and defines from here on run on the engine.

    Imports of ``micrograd``, ``micrograd.engine`` and ``micrograd.nn`` give the modules of this
    package; a class that a module of the program defines, and that computes what ``Value`` does,
    to the bit, is replaced by a class with its names and further methods. A line on stderr says
    which, or why not. Modules that have been imported before stay as they are.

    Parameters
    ----------
    plain : bool, optional
        Leave sums of products and loops over parameters in imported modules as they are written.
        Otherwise the engine does them where that is certainly the same.

    Examples
    --------
    >>> import micrograd_fast
    >>> micrograd_fast.install()
    >>> from micrograd.engine import Value
    >>> Value is micrograd_fast.Value
    True
    """
    from .hooks import Takeover

    if _installed:
        _installed[0].plain = plain
        return
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    root = os.path.dirname(os.path.abspath(file)) if file else os.getcwd()
    takeover = Takeover(plain, [root], say)
    takeover.start()
    takeover.watch_class_statements()
    _installed.append(takeover)


def load_ipython_extension(ipython: Any) -> None:
    """Take over a notebook's imports and its cells' classes: ``%load_ext micrograd_fast``."""
    from .notebook import load

    load(ipython, say)


def unload_ipython_extension(ipython: Any) -> None:
    """Leave the cells that follow as they are; ``%unload_ext micrograd_fast``."""
    from .notebook import unload

    unload(ipython)


def say(line: str) -> None:
    """Tell people, beside the program's own output."""
    print(line, file=sys.stderr, flush=True)


__all__ = ["install", "load_ipython_extension", "unload_ipython_extension"]
