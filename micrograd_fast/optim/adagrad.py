"""Adagrad."""

from __future__ import annotations

from ._options import check, check_flag
from .optimizer import SQUARES, Optimizer

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Updates
    from .optimizer import _Group, _Parameters

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad, after Duchi, Hazan and Singer, "Adaptive Subgradient Methods" (2011).

    With g the gradient and t the number of the step::

        s = s + g**2
        p -= lr / (1 + (t - 1) * lr_decay) * (g / (s**0.5 + eps))

    Parameters
    ----------
    params : iterable of Value, or of dict
        What to train; dicts are groups with ``params`` and options of their own.
    lr, lr_decay : float, optional
    weight_decay : float, optional
        Added to the gradient as a multiple of the parameter.
    initial_accumulator_value : float, optional
        What ``s`` begins with.
    eps : float, optional
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
    >>> optimizer = Adagrad([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.9
    """

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def _add(self, group: Any) -> None:
        super()._add(group)
        self._groups[-1].start_squares(self.param_groups[-1]["initial_accumulator_value"])

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            check(name, group[name])
        check_flag("maximize", group["maximize"])

    def _tell(self, known: Updates, group: _Group) -> None:
        known.adagrad(
            group["lr"],
            group["lr_decay"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )

    def _kept(self, group: _Group) -> dict[str, int]:
        return {"sum": SQUARES}

    def _start(self, group: _Group) -> dict[int, float]:
        return {SQUARES: group["initial_accumulator_value"]}
