"""RMSprop."""

from __future__ import annotations

from ._options import check, check_flag
from .optimizer import MEANS, SQUARES, VELOCITIES, Optimizer

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import Updates
    from .optimizer import _Group, _Parameters

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop, after Tieleman and Hinton, "Lecture 6.5: RMSprop" (2012).

    With g the gradient, and v and b the numbers kept for a parameter::

        v = alpha * v + (1 - alpha) * g**2
        b = momentum * b + g / (v**0.5 + eps)
        p -= lr * b

    Parameters
    ----------
    params : iterable of Value, or of dict
        What to train; dicts are groups with ``params`` and options of their own.
    lr : float, optional
    alpha : float, optional
        How much of the mean of squares stays at a step.
    eps : float, optional
    weight_decay : float, optional
        Added to the gradient as a multiple of the parameter.
    momentum : float, optional
    centered : bool, optional
        Divide by an estimate of the standard deviation instead: with ``a``, the mean of gradients,
        kept like ``v``, ``max(0, v - a**2)`` stands in the place of ``v`` (Graves, "Generating
        Sequences With Recurrent Neural Networks", 2013).
    maximize : bool, optional
        Climb instead: every gradient g counts as -g, before anything else.

    Raises
    ------
    TypeError
        If a parameter is no Value, or an option no number.
    ValueError
        If there are no parameters, one was computed or appears twice, or an option is out of
        range.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p = Value(1.0)
    >>> optimizer = RMSprop([p], lr=0.01)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.9
    """

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "alpha", "eps", "weight_decay", "momentum"):
            check(name, group[name])
        for name in ("centered", "maximize"):
            check_flag(name, group[name])

    def _tell(self, known: Updates, group: _Group) -> None:
        known.rmsprop(
            group["lr"],
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["maximize"],
        )

    def _kept(self, group: _Group) -> dict[str, int]:
        names = {"square_avg": SQUARES}
        if group["momentum"] > 0:
            names["momentum_buffer"] = VELOCITIES
        if group["centered"]:
            names["grad_avg"] = MEANS
        return names
