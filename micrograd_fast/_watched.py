"""Modules whose changes the engine hears of, so that it can keep what it found out about them."""

from __future__ import annotations

from ._core import instance_dict, structure_changed, watched

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Watched", "watched"]


class _Attributes:
    """Has Python's own `__dict__`.

    CPython 3.13.0 loses what was in it where C replaces it in another way.
    """


class Watched(_Attributes):
    """A module with `watched` attributes; its dict and its class are watched as well."""

    @property
    def __dict__(self) -> dict[str, Any]:
        # To be written to, for all that one can know: copy and pickle do
        return instance_dict(self)

    @__dict__.setter
    def __dict__(self, attributes: dict[str, Any]) -> None:
        structure_changed()
        _Attributes.__dict__["__dict__"].__set__(self, attributes)
        structure_changed()

    @property
    def __class__(self) -> type:
        return type(self)

    @__class__.setter
    def __class__(self, kind: type) -> None:
        structure_changed()
        object.__dict__["__class__"].__set__(self, kind)
