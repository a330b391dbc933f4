from collections.abc import Callable
from typing import Any, Literal, TypeAlias, overload

from .program import Program, _DType, _Floats

__all__ = ["jit"]

_OnReads: TypeAlias = Literal["warn", "error", "ignore"]

class _Jitted:
    def __get__(self, instance: object, owner: type | None = None) -> _Jitted: ...
    def __init__(
        self, function: Callable[..., Any], frozen_reads: _OnReads, fast: bool, dtype: _DType
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[float, _Floats]: ...
    def backward(self, *args: Any, **kwargs: Any) -> float: ...
    def program(self, *args: Any, **kwargs: Any) -> Program: ...

@overload
def jit(
    function: Callable[..., Any],
    *,
    frozen_reads: _OnReads = "warn",
    fast: bool = False,
    dtype: _DType = "float64",
) -> _Jitted: ...
@overload
def jit(
    function: None = None,
    *,
    frozen_reads: _OnReads = "warn",
    fast: bool = False,
    dtype: _DType = "float64",
) -> Callable[[Callable[..., Any]], _Jitted]: ...
