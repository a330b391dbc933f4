"""What pictures are given: arrays of numbers, and a label for each row."""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt

__all__ = ["labels_of", "numbers_of", "whole_labels_of"]


def numbers_of(given: Any, name: str) -> npt.NDArray[np.float64]:
    """An array of floats, whatever its shape; TypeError for what is not of real numbers."""
    import numpy

    try:
        array = numpy.asarray(given)
    except ValueError:
        raise ValueError(f"{name} must have rows of one length, found several") from None
    if array.size and array.dtype.kind not in "biuf":
        found = next((x for x in array.flat if not isinstance(x, (int, float))), array.flat[0])
        raise TypeError(f"{name} must be numbers, found {_described(found)}")
    return array.astype(numpy.float64)


def labels_of(given: Any, name: str, n_rows: int | None = None) -> npt.NDArray[Any]:
    """Numbers or text, one for each row."""
    import numpy

    try:
        array = numpy.asarray(given)
    except ValueError:
        raise ValueError(f"{name} must be one label a row, found lists of lengths") from None
    if array.ndim != 1 or n_rows not in (None, len(array)):
        wanted = "one label a row" if n_rows is None else f"one label for each of {n_rows} rows"
        raise ValueError(f"{name} must be {wanted}, found shape {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} must have one label or more, found none")
    if array.dtype.kind == "O" and all(isinstance(label, str) for label in array):
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise TypeError(f"{name} must be numbers or text, found {_described(array[0])}")
    if array.dtype.kind == "f":
        if not numpy.isfinite(array).all():
            raise ValueError(f"{name} must be finite, found nan or inf")
        if (array == numpy.floor(array)).all():
            array = array.astype(numpy.int64)
    return array.astype(numpy.int64) if array.dtype.kind == "b" else array


def whole_labels_of(given: Any, name: str, n_rows: int) -> npt.NDArray[np.int64]:
    """Whole numbers, one for each row."""
    array = labels_of(given, name, n_rows)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, found {_described(array[0])}")
    return array


def _described(found: object) -> str:
    if isinstance(found, (str, int, float)):
        return repr(str(found)) if isinstance(found, str) else repr(float(found))
    return type(found).__name__
