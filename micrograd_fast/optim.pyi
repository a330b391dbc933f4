# The types of optim.py.

from collections.abc import Iterable
from typing import Any

from micrograd_fast._core import Value

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

class _Optimizer:
    defaults: dict[str, Any]
    param_groups: list[dict[str, Any]]
    def __init__(
        self, params: Iterable[Value] | Iterable[dict[str, Any]], defaults: dict[str, Any]
    ) -> None: ...
    def zero_grad(self) -> None: ...
    def step(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...

class SGD(_Optimizer):
    def __init__(
        self,
        params: Iterable[Value] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None: ...

class Adam(_Optimizer):
    def __init__(
        self,
        params: Iterable[Value] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None: ...

class AdamW(Adam):
    def __init__(
        self,
        params: Iterable[Value] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None: ...

class _Scheduler:
    optimizer: _Optimizer
    base_lrs: list[float]
    last_epoch: int
    def __init__(self, optimizer: _Optimizer, last_epoch: int = -1) -> None: ...
    def step(self) -> None: ...
    def get_last_lr(self) -> list[float]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...

class StepLR(_Scheduler):
    step_size: int
    gamma: float
    def __init__(
        self, optimizer: _Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None: ...

class CosineAnnealingLR(_Scheduler):
    T_max: int
    eta_min: float
    def __init__(
        self, optimizer: _Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None: ...

class LinearLR(_Scheduler):
    start_factor: float
    end_factor: float
    total_iters: int
    def __init__(
        self,
        optimizer: _Optimizer,
        start_factor: float = ...,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None: ...

class LinearWarmupDecay(_Scheduler):
    warmup_steps: int
    total_steps: int
    def __init__(
        self, optimizer: _Optimizer, warmup_steps: int, total_steps: int, last_epoch: int = -1
    ) -> None: ...

def clip_grad_value_(params: Iterable[Value], clip_value: float) -> None: ...
def clip_grad_norm_(params: Iterable[Value], max_norm: float, norm_type: float = 2.0) -> float: ...
