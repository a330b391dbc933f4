"""Minibatches of lists and arrays."""

from __future__ import annotations

import operator
import random

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["minibatches"]


def minibatches(
    *columns: Any,
    batch_size: int,
    shuffle: bool = True,
    seed: int | random.Random | None = None,
    drop_last: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Go once through columns of one length, in batches of rows that belong together.

    Parameters
    ----------
    *columns : list, tuple or numpy.ndarray
        Such as the inputs and the targets: row i of each belongs to row i of the others.
    batch_size : int
        How many rows a batch has, at least 1. The last one has what is left.
    shuffle : bool, optional
        Whether the rows come in random order.
    seed : int or random.Random, optional
        Decides the order. An int gives the same order every time; a generator gives another one
        each time that it is used; None uses Python's own, which `random.seed` decides.
    drop_last : bool, optional
        Whether to leave out a last batch that is not full.

    Returns
    -------
    iterator of tuple
        For every batch, its part of each column: arrays of arrays, lists of everything else.

    Raises
    ------
    TypeError
        If `batch_size` is not an int, or `seed` something else than what it can be.
    ValueError
        If there are no columns or no rows, the lengths differ, or `batch_size` is below 1.

    Examples
    --------
    >>> for x, y in minibatches([1, 2, 3], ["a", "b", "c"], batch_size=2, shuffle=False):
    ...     print(x, y)
    [1, 2] ['a', 'b']
    [3] ['c']
    """
    lengths = [len(column) for column in columns]
    if not lengths:
        raise ValueError("columns must be one or more, found none")
    if len(set(lengths)) > 1:
        raise ValueError(f"columns must be of one length, found {lengths}")
    if lengths[0] == 0:
        raise ValueError("columns must be at least one row long, found empty columns")
    if not hasattr(type(batch_size), "__index__"):
        raise TypeError(f"batch_size must be an int, found {type(batch_size).__name__}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    order = list(range(lengths[0]))
    if shuffle:
        _generator(seed).shuffle(order)
    end = len(order) - len(order) % batch_size if drop_last else len(order)
    return (
        tuple(_taken(column, order[start : start + batch_size]) for column in columns)
        for start in range(0, end, batch_size)
    )


def _generator(seed: int | random.Random | None) -> Any:
    if seed is None:
        return random
    if isinstance(seed, random.Random):
        return seed
    if not hasattr(type(seed), "__index__"):
        raise TypeError(
            f"seed must be an int, a random.Random or None, found {type(seed).__name__}"
        )
    return random.Random(operator.index(seed))


def _taken(column: Any, rows: list[int]) -> Any:
    """Some rows of a column."""
    if hasattr(column, "shape"):
        return column[rows]
    return [column[row] for row in rows]
