"""Optimizers and learning-rate schedules, with PyTorch's names and arguments.

A step is one C loop over the parameters, which may be any list of Values. Its arithmetic is that
of the same rule written out in Python, line by line, to the last bit.
"""

from __future__ import annotations

import math

from ._core import Updates, first_repeated

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from .engine import Value

    _Parameters: TypeAlias = Iterable[Value] | Iterable[dict[str, Any]]
    _Group: TypeAlias = dict[str, Any]

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearLR",
    "LinearWarmupDecay",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
]


def _check(name: str, number: float, low: float = 0.0, below: float = math.inf) -> None:
    try:
        is_within = low <= number < below
    except TypeError:
        raise TypeError(f"{name} must be a number, found {type(number).__name__}") from None
    if not is_within:
        limit = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"{name} must be at least {low}{limit}, found {number}")


class _Optimizer:
    """What all optimizers share: groups of parameters and their state."""

    def __init__(self, params: _Parameters, defaults: _Group) -> None:
        if not hasattr(params, "__iter__"):
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
        self._updates: list[Updates] = []
        self._n_steps: list[int] = []
        for group in groups:
            group = {**defaults, **group, "params": list(group["params"])}
            self._check_group(group)
            self._updates.append(Updates(group["params"]))
            self._n_steps.append(0)
            self.param_groups.append(group)
        repeated = first_repeated([group["params"] for group in self.param_groups])
        if repeated is not None:
            raise ValueError(f"a parameter appears twice in the optimizer: {repeated!r}")

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for updates in self._updates:
            updates.zero_grad()

    def step(self) -> None:
        """Update every parameter from its gradient."""
        for i, group in enumerate(self.param_groups):
            self._n_steps[i] += 1
            self._step_group(self._updates[i], group, self._n_steps[i])

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers, in PyTorch's layout.

        Returns
        -------
        dict
            ``state``, by the running number of the parameter, and ``param_groups``.
        """
        state: dict[int, _Group] = {}
        groups: list[_Group] = []
        for updates, group, n_steps in zip(
            self._updates, self.param_groups, self._n_steps, strict=True
        ):
            numbers = range(len(state), len(state) + len(updates.values))
            for number, first, second in zip(numbers, *updates.columns(), strict=True):
                state[number] = self._entry(n_steps, first, second)
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
        try:
            groups = state_dict["param_groups"]
            found = [len(group["params"]) for group in groups]
            wanted = [len(group["params"]) for group in self.param_groups]
            if found != wanted:
                raise ValueError(
                    f"the state must be of groups of {wanted} parameters, found {found}"
                )
            columns = [
                self._columns([state_dict["state"][number] for number in group["params"]])
                for group in groups
            ]
        except KeyError as error:
            raise ValueError(
                f"the state of {type(self).__name__} must have {error}, found none"
            ) from None
        for i, (saved, (n_steps, first, second)) in enumerate(zip(groups, columns, strict=True)):
            options = {key: option for key, option in saved.items() if key != "params"}
            self.param_groups[i].update(options)
            self._updates[i].set_columns(first, second, n_steps > 0)
            self._n_steps[i] = n_steps

    def _check_group(self, group: _Group) -> None:
        """Raise for an option that is out of range."""
        raise NotImplementedError

    def _step_group(self, updates: Updates, group: _Group, n_steps: int) -> None:
        """Update the parameters of a group, for the `n_steps`-th time."""
        raise NotImplementedError

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        """The state of a parameter, by PyTorch's names."""
        raise NotImplementedError

    def _columns(self, entries: list[dict[str, Any]]) -> tuple[int, list[float], list[float]]:
        """The way back from the entries of a group: the steps and the two columns."""
        raise NotImplementedError


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
        If there are no parameters, one appears twice, or an option is out of range.

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
            _check(name, group[name])
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "momentum must be above 0 and dampening 0 for nesterov, found"
                f" {group['momentum']} and {group['dampening']}"
            )

    def _step_group(self, updates: Updates, group: _Group, n_steps: int) -> None:
        updates.sgd(
            group["lr"],
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
        )

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        return {"step": n_steps, "momentum_buffer": first}

    def _columns(self, entries: list[dict[str, Any]]) -> tuple[int, list[float], list[float]]:
        buffers = [entry["momentum_buffer"] for entry in entries]
        return entries[0]["step"], buffers, [0.0] * len(buffers)


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
        If there are no parameters, one appears twice, or an option is out of range.

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
            _check(name, group[name])
        betas = group["betas"]
        if not hasattr(betas, "__len__") or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers, found {betas!r}")
        for beta in betas:
            _check("a beta", beta, below=1.0)

    def _step_group(self, updates: Updates, group: _Group, n_steps: int) -> None:
        beta1, beta2 = group["betas"]
        updates.adam(
            group["lr"],
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
            1 - beta1**n_steps,
            1 - beta2**n_steps,
        )

    def _entry(self, n_steps: int, first: float, second: float) -> dict[str, float]:
        return {"step": n_steps, "exp_avg": first, "exp_avg_sq": second}

    def _columns(self, entries: list[dict[str, Any]]) -> tuple[int, list[float], list[float]]:
        first = [entry["exp_avg"] for entry in entries]
        return entries[0]["step"], first, [entry["exp_avg_sq"] for entry in entries]


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


class _Scheduler:
    """What all schedules share: the count of epochs and the rates to start from."""

    def __init__(self, optimizer: _Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def step(self) -> None:
        """Go on to the next epoch and set the optimizer's learning rates."""
        self.last_epoch += 1
        factors = [self._rate(base) for base in self.base_lrs]
        for group, lr in zip(self.optimizer.param_groups, factors, strict=True):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer."""
        return {key: entry for key, entry in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        vars(self).update(state_dict)

    def _rate(self, base: float) -> float:
        """The rate of a group in this epoch, from the rate that it began with."""
        raise NotImplementedError


class StepLR(_Scheduler):
    """Multiply the learning rate by `gamma` every `step_size` epochs.

    Parameters
    ----------
    optimizer : SGD, Adam or AdamW
        Whose learning rates to set, from now on and at every `step`.
    step_size : int
    gamma : float, optional
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If `step_size` is below 1.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: _Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        _check("step_size", step_size, 1)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class CosineAnnealingLR(_Scheduler):
    """Follow half a cosine from the learning rate down to `eta_min` over `T_max` epochs.

    Parameters
    ----------
    optimizer : SGD, Adam or AdamW
        Whose learning rates to set, from now on and at every `step`.
    T_max : int
    eta_min : float, optional
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If `T_max` is below 1.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=3)
    >>> schedule.step()
    >>> round(schedule.get_last_lr()[0], 6)
    0.75
    """

    def __init__(
        self, optimizer: _Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        _check("T_max", T_max, 1)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        cosine = math.cos(math.pi * self.last_epoch / self.T_max)
        return self.eta_min + (base - self.eta_min) * (1 + cosine) / 2


class LinearLR(_Scheduler):
    """Go in a straight line from `start_factor` to `end_factor` times the learning rate.

    Parameters
    ----------
    optimizer : SGD, Adam or AdamW
        Whose learning rates to set, from now on and at every `step`.
    start_factor, end_factor : float, optional
    total_iters : int, optional
        How many epochs that takes.
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If `total_iters` is below 1.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: _Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        _check("total_iters", total_iters, 1)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class LinearWarmupDecay(_Scheduler):
    """Rise in a straight line over `warmup_steps`, then fall to 0 at `total_steps`.

    Parameters
    ----------
    optimizer : SGD, Adam or AdamW
        Whose learning rates to set, from now on and at every `step`.
    warmup_steps : int
    total_steps : int
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If `warmup_steps` is negative, or `total_steps` not above it.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = LinearWarmupDecay(optimizer, warmup_steps=0, total_steps=4)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self, optimizer: _Optimizer, warmup_steps: int, total_steps: int, last_epoch: int = -1
    ) -> None:
        _check("warmup_steps", warmup_steps)
        _check("total_steps", total_steps, warmup_steps + 1)
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        super().__init__(optimizer, last_epoch)

    def _rate(self, base: float) -> float:
        if self.last_epoch < self.warmup_steps:
            return base * (self.last_epoch + 1) / self.warmup_steps
        left = max(0, self.total_steps - self.last_epoch)
        return base * left / (self.total_steps - self.warmup_steps)


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
    _check("clip_value", clip_value)
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
    _check("max_norm", max_norm)
    params = list(params)
    magnitudes = [abs(p.grad) for p in params]
    if norm_type == math.inf:
        norm = max(magnitudes, default=0.0)
    else:
        norm = math.fsum(g**norm_type for g in magnitudes) ** (1.0 / norm_type)
    factor = max_norm / (norm + 1e-6)
    if factor < 1.0:
        for p in params:
            p.grad *= factor
    return norm
