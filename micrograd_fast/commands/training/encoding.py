"""From columns to what a network sees and back: standardised numbers, classes by name."""

from __future__ import annotations

import dataclasses
import math

from ..options import Refused
from .table import number_in

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    _Floats = npt.NDArray[np.float64]

MOST_GUESSED_CLASSES = 20  # whole numbers, of more kinds than this, are measured and not named


@dataclasses.dataclass(frozen=True)
class Encoding:
    """What the columns are, and how they are scaled; plain data, which goes into a file.

    Attributes
    ----------
    features : list of str
        The columns that the network is given, in its order.
    target : str
        The column that it learns.
    classes : list of str
        The names of the classes; empty for a regression.
    shifts, scales : list of float
        A feature ``x`` is given as ``(x - shift) / scale``.
    target_shift, target_scale : float
        Likewise for the target of a regression.
    """

    features: list[str]
    target: str
    classes: list[str]
    shifts: list[float]
    scales: list[float]
    target_shift: float
    target_scale: float

    def inputs(self, rows: _Floats) -> _Floats:
        """What the network sees of rows of features."""
        import numpy

        with numpy.errstate(over="ignore"):
            scaled: _Floats = (rows - numpy.array(self.shifts)) / numpy.array(self.scales)
        if not numpy.isfinite(scaled).all():
            i, j = numpy.argwhere(~numpy.isfinite(scaled))[0]
            raise Refused(
                f"column {self.features[j]!r} must be near the numbers trained with,"
                f" found {float(rows[i, j])!r}"
            )
        return scaled

    def targets(self, cells: Sequence[str]) -> _Floats:
        """What the network is to give: the numbers of classes, or scaled numbers."""
        import numpy

        if not self.classes:
            numbers = numpy.array([float(cell) for cell in cells])
            return (numbers - self.target_shift) / self.target_scale
        places = {name: float(i) for i, name in enumerate(self.classes)}
        return numpy.array([places[name] for name in class_names(cells)])


def is_classification(cells: Sequence[str]) -> bool:
    """Whether a target is one of classes: text, or whole numbers of few kinds."""
    numbers = [number_in(cell) for cell in cells]
    if any(number is None for number in numbers):
        return True
    kinds = set(numbers)
    return len(kinds) <= MOST_GUESSED_CLASSES and all(
        number is not None and number.is_integer() for number in kinds
    )


def class_names(cells: Sequence[str]) -> list[str]:
    """One name for each way to write a class: 1 and 1.0 are the same where all are numbers."""
    numbers = [number_in(cell) for cell in cells]
    if any(number is None or not math.isfinite(number) for number in numbers):
        return list(cells)
    return [f"{number:.17g}" for number in numbers if number is not None]


def check_target(where: str, cells: Sequence[str], lines: Sequence[int], task: str) -> None:
    """Refuse a target that its task cannot be learned from."""
    if task == "classification":
        kinds = set(class_names(cells))
        if len(kinds) < 2:
            raise Refused(f"{where} must have two classes or more, found only {cells[0]!r}")
        if len(kinds) == len(cells) and len(cells) > MOST_GUESSED_CLASSES:
            raise Refused(f"{where} must have classes, found another value in each row")
        return
    for cell, line in zip(cells, lines, strict=True):
        number = number_in(cell)
        if number is None or not math.isfinite(number):
            raise Refused(f"{where}, line {line}: wanted a finite number, found {cell!r}")


def fit(
    features: list[str],
    rows: _Floats,
    target: str,
    cells: Sequence[str],
    task: str,
    used: npt.NDArray[np.intp],
    standardise: bool,
) -> Encoding:
    """Find the classes of all rows, and the scaling by the rows that are trained with.

    Raises
    ------
    Refused
        If a column spreads further than doubles do.
    """
    import numpy

    shifts, scales = [0.0] * len(features), [1.0] * len(features)
    if standardise:
        pairs = [_scaling(f"column {n!r}", rows[used, j]) for j, n in enumerate(features)]
        shifts, scales = [shift for shift, _ in pairs], [scale for _, scale in pairs]
    if task == "classification":
        names = set(class_names(cells))
        by_number = all(number_in(name) is not None for name in names)
        classes = sorted(names, key=lambda name: (float(name) if by_number else 0.0, name))
        return Encoding(features, target, classes, shifts, scales, 0.0, 1.0)
    numbers = numpy.array([float(cell) for cell in cells])
    shift, scale = _scaling(f"column {target!r}", numbers[used])
    return Encoding(features, target, [], shifts, scales, shift, scale)


def _scaling(where: str, numbers: _Floats) -> tuple[float, float]:
    import numpy

    with numpy.errstate(over="ignore", invalid="ignore"):
        shift, scale = float(numbers.mean()), float(numbers.std())
    if not (math.isfinite(shift) and math.isfinite(scale)):
        raise Refused(f"{where} must spread less than 1e150, found {float(abs(numbers).max())!r}")
    # A column that is always the same tells nothing, and is 0.
    return shift, scale if scale > 0.0 else 1.0
