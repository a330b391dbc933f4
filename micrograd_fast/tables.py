"""Rows of tables, chosen by numbers that are part of a graph.

A program has no list that could be indexed by one of its inputs. `take` chooses a row of Values by
an index that may be a Value, so that each row of a program, and each call of a traced function,
chooses its own.
"""

from __future__ import annotations

import operator
import sys

from . import _core
from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, SupportsIndex

__all__ = ["Index", "take"]


def Index(place: SupportsIndex) -> Value:
    """Make a Value to choose by: an input of a program that stands for a whole number.

    Parameters
    ----------
    place : int
        What it chooses now, from 0 on.

    Returns
    -------
    Value
        An ordinary leaf. Any Value can be an index.

    Raises
    ------
    TypeError
        If `place` is no int.
    ValueError
        If `place` is below 0.

    Examples
    --------
    >>> from micrograd_fast import Index, Value, compile, take
    >>> table, row = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]], Index(0)
    >>> program = compile(take(table, row), [row])
    >>> program([1]).tolist()
    [3.0, 4.0]
    """
    number = operator.index(place)
    if number < 0:
        raise ValueError(f"place of Index must be a whole number from 0 on, found {number}")
    return Value(float(number))


def take(table: Any, index: Any) -> Any:
    """Choose a row of a table by an index that may be a Value.

    By an int it is ``table[index]``. By a Value, which an input of a program and an argument of a
    traced function are, every entry of the row is a Value of its own: it has the number of the
    entry that is chosen, gives its gradient to that one alone, and the backward pass goes into no
    other. In a program a row of Values costs as much as it is long, however long the table is.

    Parameters
    ----------
    table : sequence or array of Value or number
        One-dimensional, or of rows of one length; arrays may have more axes.
    index : int, Value, or sequence or array of these
        From 0 on and below the length of the table.

    Returns
    -------
    Value, list of Value, or array of Value
        An entry of a one-dimensional table; a row of any other, an array of an array's. For a
        sequence of indices a list of these, for an array of them an array where the table is one.

    Raises
    ------
    IndexError
        If an index is not a whole number from 0 on and below the length of the table. A program
        says in which row.
    TypeError
        If something is neither a Value nor a number.
    ValueError
        If the table is empty, or its rows differ in length.

    Notes
    -----
    Of a table ``t`` with n rows, entry j has the operands ``t[0][j]``, ..., ``t[n - 1][j]`` and
    the index, in this order. Gradients add up in the order that this gives; where the entries of
    the table are leaves it is the order of ``t[index]``.

    Examples
    --------
    >>> from micrograd_fast import Value, jit, take
    >>> table = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]]
    >>> [entry.data for entry in take(table, 1)]
    [3.0, 4.0]
    >>> product = jit(lambda i: take(table, i)[0] * take(table, i)[1], indices="i")
    >>> product(0), product(1)
    (2.0, 12.0)
    >>> product.backward(1)
    12.0
    >>> [[entry.grad for entry in row] for row in table]
    [[0.0, 0.0], [4.0, 3.0]]
    """
    if _is_value(index):
        return _Table(table).rows_at([index], index)[0]
    if hasattr(index, "__index__") and getattr(index, "ndim", 0) == 0:
        return _row(table, index)
    if getattr(index, "ndim", None) == 0:
        return take(table, index.item())
    return _rows(table, index)


def _is_value(candidate: Any) -> bool:
    return hasattr(candidate, "backward") and hasattr(candidate, "_prev")


def _has_axes(x: Any) -> bool:
    return getattr(x, "ndim", 0) > 0


def _row(table: Any, index: Any) -> Any:
    """A row by an index that is no Value."""
    place, n = operator.index(index), len(table)
    if not 0 <= place < n:
        raise IndexError(f"index must be {_core.describe_places(n)}, found {place}")
    return table[place]


def _rows(table: Any, indices: Any) -> Any:
    """A row for each index of a sequence, however deep, or of an array."""
    if isinstance(indices, (str, bytes)) or not hasattr(indices, "__iter__"):
        raise TypeError(
            f"index must be an int, a Value or a sequence of these, found {type(indices).__name__}"
        )
    found = list(indices)
    values = [index for index in found if _is_value(index)]
    chosen = iter(_Table(table).rows_at(values, values[0]) if values else [])
    rows = [next(chosen) if _is_value(index) else take(table, index) for index in found]
    if not (_has_axes(indices) and _has_axes(table)):
        return rows
    import numpy

    # Values have no axes of their own, whatever numpy would find in them.
    array = numpy.empty((len(rows), *numpy.shape(table)[1:]), dtype=object)
    if indices.ndim > 1:
        array = numpy.empty((*indices.shape, *numpy.shape(table)[1:]), dtype=object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


class _Table:
    """A table taken apart into columns of Values."""

    def __init__(self, table: Any) -> None:
        self._shape: tuple[int, ...] | None = None
        self._is_flat = False
        if _has_axes(table):
            self._shape = tuple(table.shape[1:])
            rows = table.reshape(len(table), -1).tolist() if len(table) else []
        elif hasattr(table, "__iter__") and not _is_value(table):
            rows = [list(row) if hasattr(row, "__iter__") else row for row in table]
        else:
            raise TypeError(f"table must be a sequence of rows, found {type(table).__name__}")
        if not rows:
            raise ValueError("table must have at least one row, found none")
        self._is_flat = not isinstance(rows[0], list)
        if self._is_flat:
            rows = [[entry] for entry in rows]
        for i, row in enumerate(rows):
            found = len(row) if isinstance(row, list) else None
            if found != len(rows[0]):
                raise ValueError(
                    f"rows of table must be of one length, found"
                    f" {len(rows[0])} in row 0 and {'none' if found is None else found} in row {i}"
                )
        self._columns: list[list[Any]] = [list(column) for column in zip(*rows)]

    def rows_at(self, indices: list[Any], like: Any) -> list[Any]:
        """The rows that some Values choose, all of them of the engine that one is of."""
        if isinstance(like, Value):
            columns = [
                [entry if _is_value(entry) else _core.constant(entry) for entry in column]
                for column in self._columns
            ]
            rows = _core.take_rows(columns, indices)
        else:
            # The engine that the index is of has a choice of its own.
            take_one = sys.modules[type(like).__module__].take
            rows = [[take_one(column, index) for column in self._columns] for index in indices]
        return [self._shaped(row) for row in rows]

    def _shaped(self, row: list[Any]) -> Any:
        if self._is_flat or self._shape == ():
            return row[0]
        if self._shape is None:
            return row
        import numpy

        array = numpy.empty(len(row), dtype=object)
        array[:] = row
        return array.reshape(self._shape)
