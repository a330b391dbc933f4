"""Optimizers, with PyTorch's names and arguments; `lr_scheduler` has schedules of their rates.

A step is one C loop over the parameters, which may be any list of Values. Its arithmetic is that
of the same rule written out in Python, line by line, to the last bit.
"""

from __future__ import annotations

import math

from .._core import ParameterGroup, first_repeated, require_shown, take_states, take_step
from ..engine import Value
from . import lr_scheduler
from ._options import check
from .lr_scheduler import CosineAnnealingLR, LinearLR, StepLR

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    _Parameters: TypeAlias = Iterable[Value] | Iterable[dict[str, Any]]
    _Group: TypeAlias = dict[str, Any]

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearLR",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]


class _Optimizer:
    """What all optimizers share: groups of parameters and their state."""

    def __init__(self, params: _Parameters, defaults: _Group) -> None:
        if not hasattr(params, "__iter__") or isinstance(params, (set, frozenset)):
            raise TypeError(
                "params must be a list of Values, such as model.parameters(), found"
                f" {type(params).__name__}"
            )
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("params must be one Value or more, found an empty list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[_Group] = []
        self._groups: list[ParameterGroup] = []
        for group in groups:
            self._add(group)

    def _add(self, group: Any) -> None:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f"a group must be a dict with params, found {type(group).__name__}")
        parameters = group["params"]
        if isinstance(parameters, Value):
            parameters = [parameters]
        known = ParameterGroup(parameters)
        group = {**self.defaults, **group, "params": known.values}
        self._check_group(group)
        repeated = first_repeated([own.values for own in (*self._groups, known)])
        if repeated is not None:
            raise ValueError(f"a parameter appears twice in the optimizer: {repeated!r}")
        self._groups.append(known)
        self.param_groups.append(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train some more parameters, from the next step on.

        Parameters
        ----------
        param_group : dict
            With ``params`` and options of its own; the others are those of the optimizer.

        Raises
        ------
        TypeError
            If a parameter is no Value, or an option no number.
        ValueError
            If a parameter was computed or is in the optimizer already, or an option is out of
            range.
        """
        self._add(param_group)

    def _checked_groups(self) -> list[ParameterGroup]:
        """The groups, if they still have the parameters that `param_groups` shows."""
        require_shown(self._groups, self.param_groups)
        return self._groups

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for group in self._checked_groups():
            group.zero_grad()

    def step(self) -> None:
        """Update every parameter from its gradient.

        Raises
        ------
        OverflowError
            If the square of a gradient is too large for a float. No parameter has changed then,
            in any group.
        TypeError
            If an option has become something else than a number. Likewise.
        ValueError
            If the parameters of a group have been exchanged for others. Likewise.
        """
        groups = self._checked_groups()
        for known, group in zip(groups, self.param_groups):
            self._tell(known, group)
        take_step(groups)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers, in PyTorch's layout.

        Returns
        -------
        dict
            ``state``, by the running number of the parameter, and ``param_groups``.
        """
        state: dict[int, _Group] = {}
        groups: list[_Group] = []
        for known, group in zip(self._checked_groups(), self.param_groups):
            numbers = range(len(state), len(state) + len(known.values))
            for number, first, second in zip(numbers, *known.columns(), strict=True):
                state[number] = self._entry(known.n_steps, first, second)
            groups.append({**group, "params": list(numbers)})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave.

        Parameters
        ----------
        state_dict : dict
            Of an optimizer of this kind, for as many parameters.

        Raises
        ------
        ValueError
            If it is of other groups than these or of another kind of optimizer. Nothing is taken
            over then.
        """
        known = self._checked_groups()
        saved = self._part(state_dict, "param_groups")
        found = [len(self._part(group, "params")) for group in saved]
        wanted = [len(group.values) for group in known]
        if found != wanted:
            raise ValueError(f"the state must be of groups of {wanted} parameters, found {found}")
        options, states = [], []
        for own, group in zip(self.param_groups, saved):
            merged = {**own, **group, "params": own["params"]}
            self._check_group(merged)
            options.append(merged)
            states.append(self._state([self._entry_of(state_dict, i) for i in group["params"]]))
        take_states(known, states)
        for own, merged in zip(self.param_groups, options):
            own.update(merged)

    def _check_group(self, group: _Group) -> None:
        """Raise for an option that is out of range."""
        raise NotImplementedError

    def _tell(self, known: ParameterGroup, group: _Group) -> None:
        """Tell a group what its next step is."""
        raise NotImplementedError

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        """The state of a parameter, by PyTorch's names."""
        raise NotImplementedError

    def _state(self, entries: list[_Group]) -> tuple[int, list[float], list[float], bool]:
        """The way back: the steps, the two columns, and whether the first is a velocity."""
        raise NotImplementedError

    def _part(self, whole: dict[str, Any], name: str) -> Any:
        if name not in whole:
            raise ValueError(f"the state of {type(self).__name__} must have {name!r}, found none")
        return whole[name]

    def _column(self, entries: list[_Group], name: str) -> list[Any]:
        """One number of each entry."""
        return [self._part(entry, name) for entry in entries]

    def _entry_of(self, state_dict: dict[str, Any], number: Any) -> _Group:
        """What a state says of a parameter; JSON has made text of the numbers."""
        state = self._part(state_dict, "state")
        entry: _Group = state.get(number, state.get(str(number), {}))
        return entry


class SGD(_Optimizer):
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
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check(name, group[name])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "momentum must be above 0 and dampening 0 for nesterov, found"
                f" {group['momentum']} and {group['dampening']}"
            )

    def _tell(self, known: ParameterGroup, group: _Group) -> None:
        known.sgd(
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
        )

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        return {"step": n_steps, "momentum_buffer": first}

    def _state(self, entries: list[_Group]) -> tuple[int, list[float], list[float], bool]:
        # PyTorch has no step there, and no entry or buffer before the first with momentum.
        zeros = [0.0] * len(entries)
        buffers: list[Any] = [None]
        if any(entries):
            buffers = self._column(entries, "momentum_buffer")
        has_velocity = not any(buffer is None for buffer in buffers)
        n_steps: int = max((entry.get("step", int(has_velocity)) for entry in entries), default=0)
        if n_steps == 0 or not has_velocity:
            return n_steps, zeros, zeros, False
        return n_steps, buffers, zeros, True


class Adam(_Optimizer):
    """Adam, after Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015).

    With g the gradient and t the number of the step::

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p -= lr * (m / (1 - b1**t)) / ((v / (1 - b2**t)) ** 0.5 + eps)

    Parameters
    ----------
    params : iterable of Value, or of dict
        What to train; dicts are groups with ``params`` and options of their own.
    lr : float, optional
    betas : pair of float, optional
    eps : float, optional
    weight_decay : float, optional
        Added to the gradient as a multiple of the parameter.

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
    >>> optimizer = Adam([p], lr=0.1)
    >>> (p * p).backward()
    >>> optimizer.step()
    >>> round(p.data, 6)
    0.9
    """

    _decoupled = False

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def _check_group(self, group: _Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check(name, group[name])
        betas = group["betas"]
        if not hasattr(betas, "__len__") or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, found {betas!r}")
        for beta in betas:
            check("a beta", beta, below=1.0)

    def _tell(self, known: ParameterGroup, group: _Group) -> None:
        beta1, beta2 = group["betas"]
        known.adam(group["lr"], beta1, beta2, group["eps"], group["weight_decay"], self._decoupled)

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        return {"step": n_steps, "exp_avg": first, "exp_avg_sq": second}

    def _state(self, entries: list[_Group]) -> tuple[int, list[float], list[float], bool]:
        if not any(entries):  # PyTorch's, before the first step
            return 0, [0.0] * len(entries), [0.0] * len(entries), False
        steps = self._column(entries, "step")
        if any(step != steps[0] for step in steps):
            raise ValueError(f"step must be the same in a group, found {steps}")
        first, second = (self._column(entries, name) for name in ("exp_avg", "exp_avg_sq"))
        return steps[0], first, second, False


class AdamW(Adam):
    """Adam with decoupled weight decay, after Loshchilov and Hutter (2019).

    Before the step of `Adam`, each parameter is multiplied by ``1 - lr * weight_decay``.

    Parameters
    ----------
    params, lr, betas, eps
        As for `Adam`.
    weight_decay : float, optional

    Raises
    ------
    TypeError, ValueError
        As `Adam`.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> p = Value(1.0)
    >>> AdamW([p], lr=0.1, weight_decay=0.5).step()
    >>> p.data
    0.95
    """

    _decoupled = True

    def __init__(
        self,
        params: _Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


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
