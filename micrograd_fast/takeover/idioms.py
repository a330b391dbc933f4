"""What programs write as loops, done by the engine where that is certainly the same."""

from __future__ import annotations

import builtins
from typing import Any

from .._core import dot_if_plain


def dot_as_written(total: Any, pairing: Any, left: Any, right: Any) -> Any:
    """Compute ``total(a * b for a, b in pairing(left, right))``.

    Where there is no pairing, that is ``total(a * a for a in left)``. The engine does it where
    `sum` and `zip` are what they always are, and the operands lists or tuples of Values and
    numbers with nothing of their own about them.
    """
    if total is builtins.sum:
        if pairing is None:
            result = dot_if_plain(left, left)
        else:
            result = dot_if_plain(left, right) if pairing is builtins.zip else None
        if result is not None:
            return result
    if pairing is None:
        return total(a * a for a in left)
    return total(a * b for a, b in pairing(left, right))


def linear_as_written(
    total: Any, pairing: Any, matrix: Any, vector: Any, rows_first: bool
) -> list[Any]:
    """Compute `dot_as_written` of each row and the vector, or of the vector and each row."""
    if rows_first:
        return [dot_as_written(total, pairing, row, vector) for row in matrix]
    return [dot_as_written(total, pairing, vector, row) for row in matrix]


def indexed_dot_as_written(
    total: Any, ranging: Any, length: Any, operands: Any, original: Any
) -> Any:
    """Compute what `original` says, ``total(u[i] * v[i] for i in ranging(length))``.

    Each factor may be an entry of a row or a column of a matrix, too.
    """
    if total is not builtins.sum or ranging is not builtins.range or type(length) is not int:
        return original()
    try:
        left, right = operands()
    except Exception:  # of a name that is not there, perhaps, which nobody may ask for
        return original()
    u, v = _sequence(left, length), _sequence(right, length)
    result = None if u is None or v is None else dot_if_plain(u, v)
    return original() if result is None else result


def _sequence(factor: Any, length: int) -> Any:
    """The first entries of a list, a row or a column of lists; None for anything else."""
    base, row, place = factor
    if type(base) not in (list, tuple):
        return None
    if place is not None:
        if type(place) is not int or len(base) < length:
            return None
        rows = base[:length]
        if all(type(each) in (list, tuple) and -len(each) <= place < len(each) for each in rows):
            return [each[place] for each in rows]
        return None
    if row is not None:
        if type(row) is not int or not -len(base) <= row < len(base):
            return None
        base = base[row]
        if type(base) not in (list, tuple):
            return None
    if len(base) < length:
        return None
    return base if len(base) == length else base[:length]
