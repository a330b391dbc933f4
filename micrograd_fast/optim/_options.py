"""The checks that optimizers and schedules share."""

from __future__ import annotations

import math

__all__ = ["check", "check_flag"]


def check(name: str, number: float, low: float = 0.0, below: float = math.inf) -> None:
    """Refuse a number that is not from `low` to `below`."""
    try:
        is_within = low <= number < below
    except TypeError:
        raise TypeError(f"{name} must be a number, found {type(number).__name__}") from None
    if not is_within:
        limit = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"{name} must be at least {low}{limit}, found {number}")


def check_flag(name: str, flag: bool) -> None:
    """Refuse what is neither True nor False: a text would count as True, whatever it says."""
    if flag not in (False, True):
        raise ValueError(f"{name} must be True or False, found {flag!r}")
