# The types of losses.py: lists of Values in, numbers or arrays as targets.

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from micrograd_fast._core import Value

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_loss",
    "log_softmax",
    "mse_loss",
    "nll_loss",
    "softmax",
]

_Values: TypeAlias = Value | Iterable[Value]
_Rows: TypeAlias = Iterable[Value] | Iterable[Iterable[Value]]
_Reduction: TypeAlias = Literal["mean", "sum"]

# Targets are numbers, lists or arrays of any library.
def mse_loss(predictions: _Values, targets: Any, reduction: _Reduction = "mean") -> Value: ...
def binary_cross_entropy(
    probabilities: _Values, targets: Any, reduction: _Reduction = "mean", eps: float = 1e-12
) -> Value: ...
def binary_cross_entropy_with_logits(
    logits: _Values, targets: Any, reduction: _Reduction = "mean"
) -> Value: ...
def hinge_loss(scores: _Values, targets: Any, reduction: _Reduction = "mean") -> Value: ...
def softmax(logits: _Values) -> list[Value]: ...
def log_softmax(logits: _Values) -> list[Value]: ...
def nll_loss(log_probabilities: _Rows, targets: Any, reduction: _Reduction = "mean") -> Value: ...
def cross_entropy(logits: _Rows, targets: Any, reduction: _Reduction = "mean") -> Value: ...
