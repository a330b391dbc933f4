"""Drawings that Graphviz lays out, be it the program ``dot`` or the library in pygraphviz.

Imported where a drawing is asked for: it needs the package graphviz, and one of the two.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import Any

import graphviz


def can_lay_out() -> bool:
    """Whether there is anything that lays drawings out."""
    return shutil.which("dot") is not None or importlib.util.find_spec("pygraphviz") is not None


class Drawing(graphviz.Digraph):
    """A Digraph that goes to pygraphviz where there is no program ``dot``."""

    def pipe(
        self,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        *,
        engine: str | None = None,
        encoding: str | None = None,
    ) -> Any:
        """Return the picture as bytes, or as a string in an encoding."""
        if shutil.which("dot") is not None:
            return super().pipe(
                format=format,
                renderer=renderer,
                formatter=formatter,
                neato_no_op=neato_no_op,
                quiet=quiet,
                engine=engine,
                encoding=encoding,
            )
        kind = ":".join(filter(None, [format or self.format, renderer, formatter]))
        picture = self._laid_out(kind, engine)
        return picture if encoding is None else picture.decode(encoding)

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        quiet_view: bool = False,
        *,
        outfile: str | os.PathLike[str] | None = None,
        engine: str | None = None,
        raise_if_result_exists: bool = False,
        overwrite_source: bool = False,
    ) -> str:
        """Save the source and the picture beside it, and return the name of the latter."""
        if shutil.which("dot") is not None:
            rendered: str = super().render(
                filename=filename,
                directory=directory,
                view=view,
                cleanup=cleanup,
                format=format,
                renderer=renderer,
                formatter=formatter,
                neato_no_op=neato_no_op,
                quiet=quiet,
                quiet_view=quiet_view,
                outfile=outfile,
                engine=engine,
                raise_if_result_exists=raise_if_result_exists,
                overwrite_source=overwrite_source,
            )
            return rendered
        if outfile is not None:
            path = os.fspath(outfile)
            if directory is None:
                path = os.path.join(self.directory, path)
            stem, suffix = os.path.splitext(path)
            by_suffix = suffix[1:]
            filename = filename or f"{stem}.{self._default_extension}"
        else:
            by_suffix = ""
        plain_kind = format or by_suffix or self.format
        kind = ":".join(filter(None, [plain_kind, renderer, formatter]))
        source = self.save(filename, directory=directory)
        if outfile is None:
            path = ".".join([source, *reversed(kind.split(":"))])
        if raise_if_result_exists and os.path.exists(path):
            raise graphviz.FileExistsError(f"output file exists: {path!r}")
        picture = self._laid_out(kind, engine)
        with open(path, "wb") as file:
            file.write(picture)
        if cleanup:
            os.remove(source)
        if view or quiet_view:
            self._view(path, format=plain_kind, quiet=quiet_view)
        return path

    def _laid_out(self, kind: str, engine: str | None) -> bytes:
        import pygraphviz

        graph = pygraphviz.AGraph(string=self.source)
        try:
            picture: bytes = graph.draw(format=kind, prog=engine or self.engine)
        finally:
            graph.close()
        return picture
