"""Learning-rate schedules, with PyTorch's names, arguments and arithmetic.

A schedule sets the rates of an optimizer's groups when it is made and at every `step`. Most go on
from the rate that is there, so that several may be stepped one after the other on one optimizer.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from ._options import check

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


class LRScheduler:
    """What all schedules share: the count of epochs and the rates to start from.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set, from now on and at every `step`.
    last_epoch : int, optional
        The epoch to go on from; -1 begins.
    """

    def __init__(self, optimizer: Any, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        self._resumed = self.last_epoch >= 0
        self.step()
        self._resumed = False

    def step(self) -> None:
        """Go on to the next epoch and set the optimizer's learning rates."""
        self.last_epoch += 1
        self._set(self._next)

    def _restart(self) -> None:
        """Begin anew at epoch 0."""
        self.last_epoch = 0
        self._set(lambda rate, i: self._first(i))

    def _set(self, rule: Callable[[float, int], float]) -> None:
        groups = self.optimizer.param_groups
        rates = [rule(group["lr"], i) for i, group in enumerate(groups)]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate

    def _next(self, rate: float, i: int) -> float:
        """The rate of group `i` at `last_epoch`, after `rate` in the one before."""
        raise NotImplementedError

    def _first(self, i: int) -> float:
        """The rate of group `i` at epoch 0."""
        return self.base_lrs[i]

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer."""
        return {key: entry for key, entry in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """Multiply the first learning rate by what a function says of the epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set, from now on and at every `step`.
    lr_lambda : callable, or sequence of callable
        From the number of the epoch to a factor; a sequence has one for each group.
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If there are not as many functions as groups.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Any,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n_groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * n_groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != n_groups:
            raise ValueError(
                f"lr_lambda must be {n_groups} functions, found {len(self.lr_lambdas)}"
            )
        super().__init__(optimizer, last_epoch)

    def _next(self, rate: float, i: int) -> float:
        return self.base_lrs[i] * self.lr_lambdas[i](self.last_epoch)

    def _first(self, i: int) -> float:
        return self._next(0.0, i)

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer and the functions."""
        return {key: entry for key, entry in super().state_dict().items() if key != "lr_lambdas"}


class StepLR(LRScheduler):
    """Multiply the learning rate by `gamma` every `step_size` epochs.

    Parameters
    ----------
    optimizer : Optimizer
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
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Any, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check("step_size", step_size, 1)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, rate: float, i: int) -> float:
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return rate
        return rate * self.gamma


class ExponentialLR(LRScheduler):
    """Multiply the learning rate by `gamma` every epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set, from now on and at every `step`.
    gamma : float
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = ExponentialLR(optimizer, gamma=0.25)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Any, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _next(self, rate: float, i: int) -> float:
        return rate if self.last_epoch == 0 else rate * self.gamma


class LinearLR(LRScheduler):
    """Go in a straight line from `start_factor` to `end_factor` times the learning rate.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set, from now on and at every `step`.
    start_factor, end_factor : float, optional
        `start_factor` is above 0 and at most 1, `end_factor` from 0 to 1.
    total_iters : int, optional
        How many epochs that takes.
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If a factor is out of range, or `total_iters` is below 1.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Any,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise ValueError(f"start_factor must be above 0 and at most 1, found {start_factor}")
        if not 0.0 <= end_factor <= 1.0:
            raise ValueError(f"end_factor must be from 0 to 1, found {end_factor}")
        check("total_iters", total_iters, 1)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _next(self, rate: float, i: int) -> float:
        if self.last_epoch == 0:
            return rate * self.start_factor
        if self.last_epoch > self.total_iters:
            return rate
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return rate * (1.0 + rise / before)

    def _first(self, i: int) -> float:
        return self.base_lrs[i] * self.start_factor


class CosineAnnealingLR(LRScheduler):
    """Follow half a cosine from the learning rate down to `eta_min` over `T_max` epochs.

    Parameters
    ----------
    optimizer : Optimizer
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
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer, T_max=3)
    >>> schedule.step()
    >>> round(schedule.get_last_lr()[0], 6)
    0.75
    """

    def __init__(
        self, optimizer: Any, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check("T_max", T_max, 1)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _next(self, rate: float, i: int) -> float:
        epoch, height = self.last_epoch, self.base_lrs[i] - self.eta_min
        if epoch == 0:
            return rate
        if self._resumed:
            return self.eta_min + height * (1 + math.cos(epoch * math.pi / self.T_max)) / 2
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            return rate + height * (1 - math.cos(math.pi / self.T_max)) / 2
        now = 1 + math.cos(math.pi * epoch / self.T_max)
        before = 1 + math.cos(math.pi * (epoch - 1) / self.T_max)
        return now / before * (rate - self.eta_min) + self.eta_min

    def _first(self, i: int) -> float:
        return self.eta_min + (self.base_lrs[i] - self.eta_min) * (1 + math.cos(0.0)) / 2


class SequentialLR(LRScheduler):
    """One schedule after the other.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set, from now on and at every `step`.
    schedulers : sequence of LRScheduler
        Made for this optimizer, in their order.
    milestones : sequence of int
        The epochs at which the next schedule begins, one fewer than there are schedules.
    last_epoch : int, optional
        The epoch to go on from; -1 begins.

    Raises
    ------
    ValueError
        If there is no schedule, one is for another optimizer, or there are too few or too many
        milestones.

    Examples
    --------
    A warm-up over two epochs, then down to 0 in two more:

    >>> from micrograd_fast import Value
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> up = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> down = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=2)
    >>> schedule = SequentialLR(optimizer, [up, down], milestones=[2])
    >>> rates = schedule.get_last_lr()
    >>> for _ in range(4):
    ...     schedule.step()
    ...     rates += schedule.get_last_lr()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        optimizer: Any,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(schedulers) < 1:
            raise ValueError("schedulers must be at least one, found none")
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"schedulers[{i}] must be for this optimizer, found another")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"milestones must be {len(schedulers) - 1} for {len(schedulers)} schedulers,"
                f" found {len(milestones)}"
            )
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        # As if none had begun but the first
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in schedulers:
            scheduler.last_epoch -= 1
        self._schedulers[0]._begin()

    def step(self) -> None:
        """Go on to the next epoch and set the optimizer's learning rates."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            self._schedulers[i]._restart()
        else:
            self._schedulers[i].step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the optimizer, with the state of each schedule."""
        state = super().state_dict()
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        state = dict(state_dict)
        for scheduler, known in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(known)
        vars(self).update(state)


class ReduceLROnPlateau(LRScheduler):
    """Lower the learning rate once a number, such as a loss, has stopped getting better.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to lower.
    mode : {"min", "max"}, optional
        Whether smaller or larger is better.
    factor : float below 1, optional
        What the rate is multiplied by.
    patience : int, optional
        So many epochs in a row without getting better are let pass; the next lowers the rate.
    threshold : float, optional
        By how much a number must be better to count.
    threshold_mode : {"rel", "abs"}, optional
        Whether that is a share of the best number or a difference.
    cooldown : int, optional
        So many epochs after lowering none counts.
    min_lr : float or sequence of float, optional
        What the rate does not go below, for all groups or for each.
    eps : float, optional
        A change smaller than this is not made.

    Raises
    ------
    TypeError
        If something that must be a number is none.
    ValueError
        If an option is out of range, or `min_lr` has another length than there are groups.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> from micrograd_fast.optim import SGD
    >>> optimizer = SGD([Value(1.0)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (1.0, 0.5, 0.5, 0.5):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Any,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f'mode must be "min" or "max", found {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'threshold_mode must be "rel" or "abs", found {threshold_mode!r}')
        check("factor", factor, below=1.0)
        for name, number in (("patience", patience), ("cooldown", cooldown), ("eps", eps)):
            check(name, number)
        n_groups = len(optimizer.param_groups)
        lowest: list[Any] = [min_lr] * n_groups
        if isinstance(min_lr, (list, tuple)):
            lowest = list(min_lr)
        if len(lowest) != n_groups:
            raise ValueError(
                f"min_lr must be a number, or one for each of {n_groups} groups,"
                f" found {len(lowest)}"
            )
        for rate in lowest:
            check("min_lr", rate)
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.min_lrs: list[float] = lowest
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: Any = None) -> None:
        """Look at the number of an epoch, and lower the rates if it has been time.

        Parameters
        ----------
        metrics : float
            Such as the loss on data that are not trained on. Not a number counts as not better.

        Raises
        ------
        TypeError
            If it is no number.
        """
        try:
            number = float(metrics)
        except (TypeError, ValueError):
            found = type(metrics).__name__
            raise TypeError(f"metrics must be a number, found {found}") from None
        self.last_epoch += 1
        if self._is_better(number):
            self.best = number
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._set(self._lowered)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, number: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            limit = self.best * (1.0 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return number > limit if self.mode == "max" else number < limit

    def _lowered(self, rate: float, i: int) -> float:
        lowered = max(rate * self.factor, self.min_lrs[i])
        return lowered if rate - lowered > self.eps else rate
