import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from . import _core
from .engine import Value

__all__ = ["Program", "compile", "jit", "load_program"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_OnReads: TypeAlias = Literal["warn", "error", "ignore"]
_DType: TypeAlias = Literal["float64", "float32"] | type[np.floating[Any]] | np.dtype[Any]

class Program(_core.Program):
    def save(self, path: str | os.PathLike[str]) -> None: ...
    def fun(
        self,
        parameters: Sequence[Value] | None = None,
        rows: npt.ArrayLike = (),
        reduction: str | npt.ArrayLike = "mean",
    ) -> Callable[[npt.ArrayLike], tuple[float, _Floats]]: ...
    def hvp(
        self,
        vector: npt.ArrayLike,
        rows: npt.ArrayLike = (),
        reduction: str | npt.ArrayLike = "mean",
        wrt: Literal["parameters", "inputs"] | Sequence[Value] = "parameters",
    ) -> _Floats: ...
    def hessian(
        self,
        rows: npt.ArrayLike = (),
        reduction: str | npt.ArrayLike = "mean",
        wrt: Literal["parameters", "inputs"] | Sequence[Value] = "parameters",
    ) -> _Floats: ...

class _Jitted:
    def __get__(self, instance: object, owner: type | None = None) -> _Jitted: ...
    def __init__(
        self, function: Callable[..., Any], frozen_reads: _OnReads, fast: bool, dtype: _DType
    ) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[float, _Floats]: ...
    def backward(self, *args: Any, **kwargs: Any) -> float: ...
    def program(self, *args: Any, **kwargs: Any) -> Program: ...

def compile(
    output: Value | Sequence[Value],
    inputs: Sequence[Value] = (),
    *,
    fast: bool = False,
    dtype: _DType = "float64",
) -> Program: ...
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
def load_program(path: str | os.PathLike[str]) -> Program: ...
