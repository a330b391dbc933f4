"""Notebooks: cells are rewritten as modules are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import sources
from .hooks import Takeover


class _Cells:
    """Rewrites each cell before it is compiled."""

    def __init__(self, takeover: Takeover) -> None:
        self.takeover = takeover

    def visit(self, tree: Any) -> Any:
        """Rewrite the tree of a cell."""
        return sources.rewritten(tree, "cell", self.takeover.plain)


def load(ipython: Any, say: Callable[[str], None]) -> None:
    """Let the cells from the next one on pass through here."""
    if any(isinstance(entry, _Cells) for entry in ipython.ast_transformers):
        return
    takeover = Takeover(False, [os.getcwd()], say)
    takeover.start()
    ipython.ast_transformers.append(_Cells(takeover))


def unload(ipython: Any) -> None:
    """Leave cells as they are."""
    for entry in list(ipython.ast_transformers):
        if isinstance(entry, _Cells):
            ipython.ast_transformers.remove(entry)
            entry.takeover.stop()
