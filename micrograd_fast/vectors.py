"""What networks of vectors are written with, for lists of Values: nothing but compositions.

Each formula stands here once, in a Value's own operations, and every engine gives its bits. The
compiled engine builds the graph of most of them without going through Python's operators.
"""

from __future__ import annotations

import functools
import operator
import sys

from . import _core
from .engine import Value
from .losses import softmax
from .tables import take

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

__all__ = ["attention", "embedding", "layer_norm", "linear", "rms_norm"]


def linear(x: Iterable[Any], W: Iterable[Any], b: Iterable[Any] | None = None) -> Any:
    """Multiply a matrix by a vector, and add a bias.

    Parameters
    ----------
    x : sequence of Value or number, of length n_in; or of such rows
    W : sequence of n_out rows of length n_in
        As `torch.nn.functional.linear` has them.
    b : sequence of length n_out, optional

    Returns
    -------
    list of Value
        ``dot(row, x) + b[i]`` for each row, or ``dot(row, x)`` without; for rows a list of
        such lists.

    Raises
    ------
    ValueError
        If a length does not fit.

    Examples
    --------
    >>> from micrograd_fast import Value, linear
    >>> W = [[Value(1.0), Value(2.0)], [Value(0.0), Value(-1.0)]]
    >>> [y.data for y in linear([3.0, 4.0], W, [0.5, 0.5])]
    [11.5, -3.5]
    """
    x, rows = list(x), [_listed("row of W", row) for row in W]
    offsets = None if b is None else list(b)
    if offsets is not None and len(offsets) != len(rows):
        raise ValueError(f"b must be one for each row of W, found {len(offsets)} for {len(rows)}")
    if x and hasattr(x[0], "__iter__"):
        return [_linear(list(row), rows, offsets) for row in x]
    return _linear(x, rows, offsets)


def embedding(table: Sequence[Any], indices: Iterable[Any]) -> list[Any]:
    """Take a row of a table for each of some indices.

    Parameters
    ----------
    table : sequence of rows of Values
    indices : sequence of int or Value

    Returns
    -------
    list
        ``[take(table, index) for index in indices]``.

    Raises
    ------
    IndexError, TypeError, ValueError
        As `take`.

    Examples
    --------
    >>> from micrograd_fast import Value, embedding
    >>> table = [[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]]
    >>> [[entry.data for entry in row] for row in embedding(table, [1, 0])]
    [[3.0, 4.0], [1.0, 2.0]]
    """
    rows: list[Any] = take(table, list(indices))
    return rows


def rms_norm(
    x: Iterable[Any], weight: Iterable[Any] | None = None, eps: float = 1e-5
) -> list[Value]:
    """Scale a vector to a root mean square of 1.

    See Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).

    Parameters
    ----------
    x : sequence of Value
    weight : sequence of Value, optional
        As long as `x`.
    eps : float, optional
        Added to the mean square.

    Returns
    -------
    list of Value
        ``x[i] * s``, or ``x[i] * s * weight[i]``, with
        ``s = (sum(a * a for a in x) / len(x) + eps) ** -0.5``.

    Raises
    ------
    ValueError
        If there are no numbers, or the lengths differ.

    Examples
    --------
    >>> from micrograd_fast import Value, rms_norm
    >>> [y.data for y in rms_norm([Value(1.0), Value(-7.0)], eps=0.0)]
    [0.2, -1.4000000000000001]
    """
    x = _vector("rms_norm", x)
    scaled: list[Value]
    if weight is None:
        scaled = _rms_norm(x, eps)
    else:
        scaled = _weighted_rms_norm(x, _fitting("weight of rms_norm", weight, x), eps)
    return scaled


def layer_norm(
    x: Iterable[Any],
    weight: Iterable[Any] | None = None,
    bias: Iterable[Any] | None = None,
    eps: float = 1e-5,
) -> list[Value]:
    """Shift and scale a vector to a mean of 0 and a variance of 1.

    See Ba, Kiros and Hinton, "Layer Normalization" (2016).

    Parameters
    ----------
    x : sequence of Value
    weight, bias : sequence of Value, optional
        As long as `x`.
    eps : float, optional
        Added to the variance.

    Returns
    -------
    list of Value
        ``c[i] * s``, then ``* weight[i]``, then ``+ bias[i]`` where they are given, with
        ``c[i] = x[i] - sum(x) / len(x)`` and
        ``s = (sum(a * a for a in c) / len(x) + eps) ** -0.5``.

    Raises
    ------
    ValueError
        If there are no numbers, or the lengths differ.

    Examples
    --------
    >>> from micrograd_fast import Value, layer_norm
    >>> [y.data for y in layer_norm([Value(1.0), Value(5.0)], eps=0.0)]
    [-1.0, 1.0]
    """
    x = _vector("layer_norm", x)
    normal: list[Value] = _layer_norm(x, eps)
    if weight is not None:
        normal = _products(normal, _fitting("weight of layer_norm", weight, x))
    if bias is not None:
        normal = _sums(normal, _fitting("bias of layer_norm", bias, x))
    return normal


def attention(
    query: Iterable[Any], keys: Iterable[Iterable[Any]], values: Iterable[Iterable[Any]]
) -> list[Value]:
    """Average rows of values, each by how well its key fits a query.

    See Vaswani et al., "Attention Is All You Need" (2017), 3.2.1, for one query.

    Parameters
    ----------
    query : sequence of Value, of length d
    keys : sequence of n rows of length d
    values : sequence of n rows of one length

    Returns
    -------
    list of Value
        As long as a row of `values`: ``dot(p, column)`` for each of their columns, with
        ``p = softmax([dot(query, key) / d**0.5 for key in keys])``.

    Raises
    ------
    ValueError
        If there are no rows, or lengths differ.

    Examples
    --------
    >>> from micrograd_fast import Value, attention
    >>> keys, values = [[Value(1.0)], [Value(1.0)]], [[Value(2.0)], [Value(4.0)]]
    >>> [y.data for y in attention([Value(0.3)], keys, values)]
    [3.0]
    """
    query = _vector("attention", query)
    rows = [_listed("row of values", row) for row in values]
    scores = [_dot(query, _fitting("key of attention", key, query)) for key in keys]
    if len(scores) != len(rows):
        raise ValueError(
            f"values of attention must be a row for each key, found {len(rows)} for {len(scores)}"
        )
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                "values of attention must be of one length, found"
                f" {len(rows[0])} in row 0 and {len(row)} in row {i}"
            )
    weights = softmax([score / len(query) ** 0.5 for score in scores])
    return [_dot(weights, list(column)) for column in zip(*rows)]


# What they are given -----------------------------------------------------------------------------


def _listed(name: str, row: Any) -> list[Any]:
    if not hasattr(row, "__iter__"):
        raise TypeError(f"{name} must be a sequence, found {type(row).__name__}")
    return list(row)


def _vector(name: str, x: Any) -> list[Any]:
    entries = _listed(f"vector of {name}", x)
    if not entries:
        raise ValueError(f"vector of {name} must be one number or more, found none")
    return entries


def _fitting(name: str, row: Any, x: list[Any]) -> list[Any]:
    entries = _listed(name, row)
    if len(entries) != len(x):
        raise ValueError(f"{name} must be of length {len(x)}, found {len(entries)}")
    return entries


# Formulas ----------------------------------------------------------------------------------------


def _dot(w: list[Any], x: list[Any]) -> Any:
    for entry in (*w[:1], *x[:1]):
        # Another engine's Values have its own loop.
        if hasattr(entry, "backward") and not isinstance(entry, Value):
            return sys.modules[type(entry).__module__].dot(w, x)
    return _core.dot(w, x)


def _linear(x: list[Any], rows: list[list[Any]], offsets: list[Any] | None) -> list[Any]:
    sums = [_dot(_fitting("row of W", row, x), x) for row in rows]
    return sums if offsets is None else list(map(operator.add, sums, offsets))


def _inverse_root_of_mean_square(x: list[Any], eps: float) -> Any:
    return (_core.add_up([a * a for a in x]) / len(x) + eps) ** -0.5


@functools.partial(_core.Formula, example=([Value(1.0), Value(2.0)], 1e-5))
def _rms_norm(x: list[Any], eps: float) -> list[Any]:
    scale = _inverse_root_of_mean_square(x, eps)
    return [a * scale for a in x]


@functools.partial(
    _core.Formula, example=([Value(1.0), Value(2.0)], [Value(1.0), Value(2.0)], 1e-5)
)
def _weighted_rms_norm(x: list[Any], weight: list[Any], eps: float) -> list[Any]:
    scale = _inverse_root_of_mean_square(x, eps)
    return [a * scale * w for a, w in zip(x, weight)]


@functools.partial(_core.Formula, example=([Value(1.0), Value(2.0)], 1e-5))
def _layer_norm(x: list[Any], eps: float) -> list[Any]:
    mean = _core.add_up(x) / len(x)
    centred = [a - mean for a in x]
    scale = _inverse_root_of_mean_square(centred, eps)
    return [c * scale for c in centred]


@functools.partial(_core.Formula, example=([Value(1.0), Value(2.0)], [Value(1.0), Value(2.0)]))
def _products(x: list[Any], weight: list[Any]) -> list[Any]:
    return [a * w for a, w in zip(x, weight)]


@functools.partial(_core.Formula, example=([Value(1.0), Value(2.0)], [Value(1.0), Value(2.0)]))
def _sums(x: list[Any], bias: list[Any]) -> list[Any]:
    return [a + b for a, b in zip(x, bias)]
