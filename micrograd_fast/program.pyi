import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .engine import Value

__all__ = ["Program", "compile", "load_program"]

_Floats: TypeAlias = npt.NDArray[np.float64]
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

def compile(
    output: Value | Sequence[Value],
    inputs: Sequence[Value] = (),
    *,
    fast: bool = False,
    dtype: _DType = "float64",
) -> Program: ...
def freeze(
    output: object,
    output_name: str,
    inputs: object,
    need_inputs: bool,
    fast: bool,
    dtype: object,
) -> Program: ...
def load_program(path: str | os.PathLike[str]) -> Program: ...
