"""What a network says of rows, and how good that is."""

from __future__ import annotations

import dataclasses
import math

from .encoding import class_names
from .table import number_in

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from micrograd_fast.nn import MLP

    from .encoding import Encoding
    from .table import Table

    _Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is predicted for rows.

    Attributes
    ----------
    values : numpy.ndarray
        For each row the number of a class, or the number that is expected.
    probabilities : numpy.ndarray of float64, shape (n, classes), or None
        None for a regression, and for the hinge loss, whose scores are no logits.
    """

    values: _Floats
    probabilities: _Floats | None


def predict(model: MLP, encoding: Encoding, loss: str, rows: _Floats) -> Outcome:
    """Put rows of features, in their own units, through the network."""
    import numpy

    outputs = numpy.asarray(model.predict(encoding.inputs(rows)))
    if not encoding.classes:
        return Outcome(outputs * encoding.target_scale + encoding.target_shift, None)
    if loss == "hinge":
        return Outcome((outputs > 0).astype(float), None)
    if loss == "binary-cross-entropy":
        outputs = numpy.column_stack([numpy.zeros_like(outputs), outputs])
    weights = numpy.exp(outputs - outputs.max(axis=1, keepdims=True))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return Outcome(outputs.argmax(axis=1).astype(float), probabilities)


def quality(encoding: Encoding, outcome: Outcome, targets: _Floats) -> str:
    """Say how good predictions are, given the targets as the network has them."""
    if encoding.classes:
        n_right = int((outcome.values == targets).sum())
        return f"{n_right / len(targets):.1%} right ({n_right} of {len(targets)})"
    wanted = targets * encoding.target_scale + encoding.target_shift
    errors = outcome.values - wanted
    total = float(((wanted - wanted.mean()) ** 2).sum())
    text = f"root of the mean squared error {float((errors**2).mean()) ** 0.5:.6g}"
    return f"{text}, R² {1 - float((errors**2).sum()) / total:.4f}" if total > 0 else text


def text_of(encoding: Encoding, value: float) -> str:
    """The name of a class, or a number."""
    return encoding.classes[int(value)] if encoding.classes else repr(value)


def judged(encoding: Encoding, outcome: Outcome, read: Table) -> str:
    """Say how good predictions are; nothing where the table does not tell the target of each."""
    if encoding.target not in read.header:
        return ""
    place = read.place(encoding.target)
    cells = [row[place].strip() for row in read.rows]
    if encoding.classes:
        is_known = set(class_names(cells)) <= set(encoding.classes)
    else:
        numbers = [number_in(cell) for cell in cells]
        is_known = all(number is not None and math.isfinite(number) for number in numbers)
    return quality(encoding, outcome, encoding.targets(cells)) if is_known else ""
