"""Stochastic gradient descent."""

from __future__ import annotations

from .._core import KEPT_COLUMNS
from ._options import check, check_flag
from .optimizer import VELOCITIES, Optimizer

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._core import Updates
    from .optimizer import _Group, _Parameters

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, Nesterov's variant and weight decay.

    Parameters
    ----------
    params : iterable of Value, or of dict
        What to train; dicts are groups with ``params`` and options of their own.
    lr : float, optional
        The learning rate.
    momentum, dampening, weight_decay : float, optional
    nesterov : bool, optional
        Needs a momentum and no dampening.
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
    >>> optimizer = SGD([p], lr=0.25)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> p.data
    0.5
    """

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check(name, group[name])
        for name in ("nesterov", "maximize"):
            check_flag(name, group[name])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "momentum must be above 0 and dampening 0 for nesterov, found"
                f" {group['momentum']} and {group['dampening']}"
            )

    def _tell(self, known: Updates, group: _Group) -> None:
        known.sgd(
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )

    def _kept(self, group: _Group) -> dict[str, int]:
        return {"momentum_buffer": VELOCITIES}

    def _state(self, group: _Group, entries: list[_Group]) -> tuple[int, list[list[float]], bool]:
        # PyTorch has no step there, and no entry or buffer before the first with momentum.
        columns = [[0.0] * len(entries) for _ in KEPT_COLUMNS]
        buffers: list[Any] = [None]
        if any(entries):
            buffers = self._column(entries, "momentum_buffer")
        has_velocity = not any(buffer is None for buffer in buffers)
        n_steps: int = max((entry.get("step", int(has_velocity)) for entry in entries), default=0)
        if n_steps == 0 or not has_velocity:
            return n_steps, columns, False
        columns[VELOCITIES] = buffers
        return n_steps, columns, True
