"""Limits on gradients, taken before a step."""

from __future__ import annotations

import math

from ._options import check

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..engine import Value

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def clip_grad_value_(params: Iterable[Value], clip_value: float) -> None:
    """Limit every gradient to the range from ``-clip_value`` to ``clip_value``.

    Parameters
    ----------
    params : iterable of Value
    clip_value : float

    Raises
    ------
    ValueError
        If `clip_value` is negative.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p = Value(1.0)
    >>> p.grad = -3.0
    >>> clip_grad_value_([p], 0.5)
    >>> p.grad
    -0.5
    """
    check("clip_value", clip_value)
    for p in params:
        p.grad = min(max(p.grad, -clip_value), clip_value)


def clip_grad_norm_(params: Iterable[Value], max_norm: float, norm_type: float = 2.0) -> float:
    """Scale the gradients down together, so that their norm is at most `max_norm`.

    Parameters
    ----------
    params : iterable of Value
    max_norm : float
    norm_type : float, optional
        The order of the norm; ``inf`` is the largest magnitude.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    ValueError
        If `max_norm` is negative.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p, q = Value(1.0), Value(1.0)
    >>> p.grad, q.grad = 3.0, 4.0
    >>> clip_grad_norm_([p, q], 1.0)
    5.0
    >>> round(p.grad, 4), round(q.grad, 4)
    (0.6, 0.8)
    """
    check("max_norm", max_norm)
    params = list(params)
    magnitudes = [abs(p.grad) for p in params]
    if any(math.isnan(g) for g in magnitudes):
        norm = math.nan
    elif norm_type == math.inf:
        norm = max(magnitudes, default=0.0)
    else:
        norm = math.fsum(g**norm_type for g in magnitudes) ** (1.0 / norm_type)
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0:
        for p in params:
            p.grad *= factor
    return norm
