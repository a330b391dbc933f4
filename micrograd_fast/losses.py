"""Losses over lists of Values, built from the operations that a Value has.

Scores, probabilities and predictions are lists of Values (a single Value counts as a list of
one), targets are numbers, lists or arrays of them; both may be rows of rows, as a model gives them
for a batch. `reduction` is "mean", "sum" or "none", which gives every term. The formulas
use nothing but a Value's own operations, so every engine with them gives the same bits. The
compiled engine records each formula once and builds its graph from then on by itself.
"""

from __future__ import annotations

import functools
import itertools
import math

from . import _core
from .engine import Value
from .tables import take

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal, TypeAlias

    _Values: TypeAlias = Value | Iterable[Value]
    _Rows: TypeAlias = Iterable[Value] | Iterable[Iterable[Value]]
    _Reduction: TypeAlias = Literal["mean", "sum", "none"]
    # What a loss gives: one Value or, for "none", a list of some, or of such lists.
    _Loss: TypeAlias = Any

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


# The least probability by default: no logarithm is below -100, PyTorch's bound.
_LEAST = math.exp(-100.0)
# The steepest line on which a logarithm goes on below the least probability: so flat that the
# logarithm of 0 is still -100 to the bit, and a slope that single precision holds, too.
_STEEPEST = 1e28

# Targets are numbers, lists or arrays of any library.


def mse_loss(predictions: _Values, targets: Any, reduction: _Reduction = "mean") -> _Loss:
    """Average the squares of the differences.

    Parameters
    ----------
    predictions : list of Value, or of such lists
    targets : list of float, one for each, in rows as the predictions are
    reduction : {"mean", "sum", "none"}, optional

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    TypeError
        If a list or str is in the place of a number.
    ValueError
        If the lengths differ, there are none, or the reduction is unknown.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> mse_loss([Value(1.0), Value(3.0)], [0.0, 1.0]).data
    2.5
    """
    batch = _Batch("mse_loss", predictions, targets, reduction)
    return batch.reduced(_squared_error)


def binary_cross_entropy(
    probabilities: _Values, targets: Any, reduction: _Reduction = "mean", eps: float = _LEAST
) -> _Loss:
    """Measure how probable the targets are, given the probability of a 1 for each.

    The term for probability p and target t is ``-(t * log(p) + (1 - t) * log(1 - p))``. Below
    `eps`, each logarithm goes on as its tangent there (where that is steeper than 1e28, as a line
    of slope 1e28), so that a model that is most wrong learns most, be its probability 0. By
    default, no term is above 100, as in PyTorch. Where a sigmoid has rounded to 1, it has no slope
    itself: `binary_cross_entropy_with_logits` has one everywhere.

    Parameters
    ----------
    probabilities : list of Value, or of such lists
    targets : list of float from 0 to 1, one for each, in rows as the probabilities are
    reduction : {"mean", "sum", "none"}, optional
    eps : float above 0, optional

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    TypeError
        If a list or str is in the place of a number.
    ValueError
        If the lengths differ, there are none, `eps` is not above 0 and below 1, a probability or
        target is not from 0 to 1, or the reduction is unknown.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> round(binary_cross_entropy([Value(0.5)], [1]).data, 4)
    0.6931
    """
    batch = _Batch("binary_cross_entropy", probabilities, targets, reduction)
    # A check decides nothing that a trace would freeze.
    _core.call_under_watch(None, _check_probabilities, batch.values)
    return batch.reduced(_binary_cross_entropy(eps))


def binary_cross_entropy_with_logits(
    logits: _Values, targets: Any, reduction: _Reduction = "mean"
) -> _Loss:
    """Take `binary_cross_entropy` of the sigmoids, without overflow or loss of digits.

    The term for logit x and target t is ``softplus(x) - t * x``.

    Parameters
    ----------
    logits : list of Value, or of such lists
    targets : list of float from 0 to 1, one for each, in rows as the logits are
    reduction : {"mean", "sum", "none"}, optional

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    TypeError, ValueError
        As `binary_cross_entropy`.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> binary_cross_entropy_with_logits([Value(1000.0)], [1]).data
    0.0
    """
    batch = _Batch("binary_cross_entropy_with_logits", logits, targets, reduction)
    return batch.reduced(_logistic_loss)


def hinge_loss(scores: _Values, targets: Any, reduction: _Reduction = "mean") -> _Loss:
    """Average ``relu(1 - target * score)``, the max-margin loss.

    Parameters
    ----------
    scores : list of Value, or of such lists
    targets : list of -1 or +1, one for each, in rows as the scores are
    reduction : {"mean", "sum", "none"}, optional

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    TypeError
        If a list or str is in the place of a number.
    ValueError
        If the lengths differ, there are none, a target is neither -1 nor +1, or the reduction is
        unknown.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> hinge_loss([Value(0.5), Value(2.0)], [1, -1]).data
    1.75
    """
    return _Batch("hinge_loss", scores, targets, reduction).reduced(_hinge)


def softmax(logits: _Values) -> list[Value]:
    """Turn numbers into probabilities, without overflow.

    Parameters
    ----------
    logits : list of Value

    Returns
    -------
    list of Value
        ``exp(x - max) / sum(exp(x - max))`` for each.

    Raises
    ------
    TypeError
        If one of them is no Value.
    ValueError
        If there are none.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> [p.data for p in softmax([Value(1.0), Value(1.0)])]
    [0.5, 0.5]
    """
    probabilities: list[Value] = _softmax(_listed("logits of softmax", logits))
    return probabilities


def log_softmax(logits: _Values) -> list[Value]:
    """Take the logarithms of `softmax`, without overflow or underflow.

    Parameters
    ----------
    logits : list of Value

    Returns
    -------
    list of Value
        ``(x - max) - log(sum(exp(x - max)))`` for each.

    Raises
    ------
    TypeError
        If one of them is no Value.
    ValueError
        If there are none.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> round(log_softmax([Value(1000.0), Value(1000.0)])[0].data, 4)
    -0.6931
    """
    logarithms: list[Value] = _log_softmax(_listed("logits of log_softmax", logits))
    return logarithms


def nll_loss(log_probabilities: _Rows, targets: Any, reduction: _Reduction = "mean") -> _Loss:
    """Take the negative logarithm of the probability of the right class.

    Parameters
    ----------
    log_probabilities : list of Value, or list of such lists
        One for each class; for a batch, a row for each sample.
    targets : int or Value, or list of these
        The right class, or one for each row; a Value chooses it as in `take`.
    reduction : {"mean", "sum", "none"}, optional

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    ValueError
        If there are not as many targets as rows, no rows, no such class, or the reduction is
        unknown.
    IndexError
        If there is no such class as a Value says.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> nll_loss([Value(-0.25), Value(-2.0)], 0).data
    0.25
    """
    rows, classes = _rows("nll_loss", log_probabilities, targets, reduction)
    return _reduced(_negative_picked, (rows, classes), reduction)


def cross_entropy(
    logits: _Rows, targets: Any, reduction: _Reduction = "mean", label_smoothing: float = 0.0
) -> _Loss:
    """Take `nll_loss` of `log_softmax`.

    Parameters
    ----------
    logits : list of Value, or list of such lists
        One for each class; for a batch, a row for each sample.
    targets : int or Value, or list of these
        The right class, or one for each row; a Value chooses it as in `take`.
    reduction : {"mean", "sum", "none"}, optional
    label_smoothing : float from 0 to 1, optional
        How much of the target is spread over all classes alike.

    Returns
    -------
    Value
        Or, for "none", the terms in the structure of the first argument.

    Raises
    ------
    TypeError
        If something is no Value where one is wanted.
    ValueError, IndexError
        As `nll_loss`.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> round(cross_entropy([Value(0.0), Value(0.0)], 1).data, 4)
    0.6931
    """
    rows, classes = _rows("cross_entropy", logits, targets, reduction)
    formula = _cross_entropy
    if label_smoothing != 0.0:
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"label_smoothing of cross_entropy must be from 0 to 1, found {label_smoothing!r}"
            )
        formula = _smoothed_cross_entropy(float(label_smoothing))
    return _reduced(formula, (rows, classes), reduction)


# What the losses are given -----------------------------------------------------------------------


def _is_value(candidate: object) -> bool:
    """Whether it is a Value of some engine. To look at `_prev` of ours would expand a neuron."""
    if isinstance(candidate, Value):
        return True
    return hasattr(candidate, "backward") and hasattr(candidate, "_prev")


def _listed(name: str, values: Any) -> list[Any]:
    if type(values) is list:
        return values
    if _is_value(values):
        return [values]
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a list of Values, found {type(values).__name__}")
    return list(values)


def _numbers(targets: Any) -> list[Any]:
    if hasattr(targets, "tolist"):
        targets = targets.tolist()
    return list(targets) if hasattr(targets, "__len__") else [targets]


def _check_reduction(loss: str, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(
            f'reduction of {loss} must be "mean", "sum" or "none", found {reduction!r}'
        )


class _Batch:
    """Values and a target for each, side by side, and the rows that they came in."""

    def __init__(self, loss: str, values: Any, targets: Any, reduction: str) -> None:
        _check_reduction(loss, reduction)
        self._reduction = reduction
        self.values, self._targets = _listed(f"values of {loss}", values), _numbers(targets)
        if len(self.values) != len(self._targets):
            raise ValueError(
                f"targets of {loss} must be one for each value,"
                f" found {len(self.values)} values and {len(self._targets)} targets"
            )
        self._lengths: list[int] | None = None
        if _are_rows(self.values) and _are_rows(self._targets):
            self._lay_side_by_side(loss)
        if not self.values:
            raise ValueError(f"values of {loss} must be one or more, found an empty batch")

    def _lay_side_by_side(self, loss: str) -> None:
        rows, rows_of_targets = [list(row) for row in self.values], self._targets
        self._lengths = [len(row) for row in rows]
        for i, (row, own_targets) in enumerate(zip(rows, rows_of_targets)):
            if len(row) != len(own_targets):
                raise ValueError(
                    f"targets of {loss} must be one for each value,"
                    f" found {len(row)} values and {len(own_targets)} targets in row {i}"
                )
        self.values = [value for row in rows for value in row]
        self._targets = [target for row in rows_of_targets for target in row]

    def reduced(self, formula: _core.Formula) -> _Loss:
        """The formula of all, as the reduction says."""
        result = _reduced(formula, (self.values, self._targets), self._reduction)
        if self._reduction != "none" or self._lengths is None:
            return result
        terms = iter(result)
        return [list(itertools.islice(terms, n)) for n in self._lengths]


def _are_rows(entries: list[Any]) -> bool:
    return all(hasattr(entry, "__len__") and not isinstance(entry, str) for entry in entries)


def _rows(
    loss: str, values: Any, targets: Any, reduction: str
) -> tuple[list[list[Any]], list[int]]:
    """Lists of the rows and of the classes, one for each, which the row has."""
    _check_reduction(loss, reduction)
    values = _listed(f"values of {loss}", values)
    if not values:
        raise ValueError(f"values of {loss} must be one or more, found an empty batch")
    if _is_value(values[0]):
        rows = [values]
    else:
        rows = [_listed(f"row {i} of {loss}", row) for i, row in enumerate(values)]
    classes = _numbers(targets)
    if len(rows) != len(classes):
        if len(rows) == 1 and len(values) == len(classes):
            raise ValueError(
                f"values of {loss} must be a row for each of the {len(classes)} targets, found"
                f" {len(values)} Values: a row of one class is a list of one"
            )
        raise ValueError(
            f"targets of {loss} must be one class for each row,"
            f" found {len(rows)} rows and {len(classes)} classes"
        )
    for i, (row, k) in enumerate(zip(rows, classes)):
        # A Value chooses: whether there is such a class is known where its data are.
        if (type(k) is int and 0 <= k < len(row)) or _is_value(k):
            continue
        if hasattr(k, "tolist"):
            k = k.tolist()
        if isinstance(k, float) and k.is_integer():
            k = int(k)
        classes[i] = k
        if not isinstance(k, int) or not 0 <= k < len(row):
            raise ValueError(f"target {i} of {loss} must be {_choices(len(row))}, found {k!r}")
    return rows, classes


def _choices(n_classes: int) -> str:
    if n_classes > 1:
        return f"a class from 0 to {n_classes - 1}"
    return "0, the only class of its row" if n_classes else "a class, which an empty row has not"


def _reduced(formula: _core.Formula, columns: tuple[list[Any], ...], reduction: str) -> _Loss:
    if reduction == "none":
        return formula.each(*columns)
    total = formula.total(*columns)
    return total * (1.0 / len(columns[0])) if reduction == "mean" else total


# What Python alone has to check: the compiled engine builds a formula by itself only for plain
# Values, and numbers in the range that the formula names.


def _check_numbers(loss: str, values: list[Any], targets: list[Any]) -> None:
    """Refuse rows, such as those of a column that came as a 2-D array, and text."""
    for name, scalars in (("value", values), ("target", targets)):
        for i, scalar in enumerate(scalars):
            if isinstance(scalar, (list, tuple, str)):
                found = type(scalar).__name__
                raise TypeError(f"{name} {i} of {loss} must be a number, found {found}")


def _check_signs(loss: str, values: list[Any], targets: list[Any]) -> None:
    _check_numbers(loss, values, targets)
    for i, t in enumerate(targets):
        if t != 1 and t != -1:
            raise ValueError(f"target {i} of {loss} must be -1 or +1, found {t!r}")


def _check_unit_range(loss: str, values: list[Any], targets: list[Any]) -> None:
    _check_numbers(loss, values, targets)
    for i, t in enumerate(targets):
        if not 0 <= t <= 1:
            raise ValueError(f"target {i} of {loss} must be from 0 to 1, found {t!r}")


def _check_logits(where: str, logits: list[Any]) -> None:
    if not logits:
        raise ValueError(f"logits of {where} must be one or more, found an empty list")
    for i, x in enumerate(logits):
        if not _is_value(x):
            raise TypeError(f"logit {i} of {where} must be a Value, found {type(x).__name__}")


def _check_rows(loss: str, rows: list[list[Any]], classes: list[int]) -> None:
    for i, row in enumerate(rows):
        _check_logits(f"row {i} of {loss}", row)


# Formulas ----------------------------------------------------------------------------------------


@functools.partial(
    _core.Formula,
    example=(Value(0.0), 0.0),
    check=functools.partial(_check_numbers, "mse_loss"),
)
def _squared_error(prediction: Value, target: float) -> Value:
    return (prediction - target) ** 2


@functools.partial(
    _core.Formula,
    example=(Value(0.0), 1.0),
    check=functools.partial(_check_signs, "hinge_loss"),
    smallest=-1.0,
    largest=1.0,
    between=False,
)
def _hinge(score: Value, target: float) -> Value:
    return (1 + -target * score).relu()


def _check_probabilities(probabilities: list[Value]) -> None:
    for i, p in enumerate(probabilities):
        number = getattr(p, "data", None)
        # What is no Value is refused with the formula.
        if isinstance(number, float) and not 0.0 <= number <= 1.0:
            raise ValueError(
                f"probability {i} of binary_cross_entropy must be from 0 to 1, found {number!r}:"
                " of scores, take binary_cross_entropy_with_logits"
            )


# Few programs use more than one bound.
@functools.lru_cache(maxsize=8, typed=True)
def _binary_cross_entropy(eps: float) -> _core.Formula:
    if not 0.0 < eps < 1.0:
        raise ValueError(f"eps must be a number above 0 and below 1, found {eps!r}")
    slope = min(1.0 / eps, _STEEPEST)

    def log(probability: Value) -> Value:
        return probability.clip(eps, None).log() - (eps - probability).relu() * slope

    @functools.partial(
        _core.Formula,
        example=(Value(0.5), 1.0),
        check=functools.partial(_check_unit_range, "binary_cross_entropy"),
        smallest=0.0,
        largest=1.0,
    )
    def formula(probability: Value, target: float) -> Value:
        return -(target * log(probability) + (1.0 - target) * log(1.0 - probability))

    return formula


@functools.partial(
    _core.Formula,
    example=(Value(0.0), 1.0),
    check=functools.partial(_check_unit_range, "binary_cross_entropy_with_logits"),
    smallest=0.0,
    largest=1.0,
)
def _logistic_loss(logit: Value, target: float) -> Value:
    return logit.softplus() - target * logit


def _picked(values: list[Value], target: Any) -> Value:
    picked: Value = (take if _is_value(target) else _core.pick)(values, target)
    return picked


def _shifted(logits: list[Value]) -> list[Value]:
    """The logits less their maximum, which has no gradient: the result does not depend on it."""
    largest = functools.reduce(lambda largest, x: largest.maximum(x), logits)
    offset = -largest.detach()
    return [x + offset for x in logits]


@functools.partial(
    _core.Formula,
    example=([Value(0.0), Value(0.0)],),
    check=functools.partial(_check_logits, "softmax"),
)
def _softmax(logits: list[Value]) -> list[Value]:
    exponentials = [x.exp() for x in _shifted(logits)]
    inverse = _core.add_up(exponentials) ** -1
    return [e * inverse for e in exponentials]


@functools.partial(
    _core.Formula,
    example=([Value(0.0), Value(0.0)],),
    check=functools.partial(_check_logits, "log_softmax"),
)
def _log_softmax(logits: list[Value]) -> list[Value]:
    shifted = _shifted(logits)
    log_total = _core.add_up([x.exp() for x in shifted]).log()
    return [x - log_total for x in shifted]


@functools.partial(_core.Formula, example=([Value(0.0), Value(0.0)], 0))
def _negative_picked(log_probabilities: list[Value], target: int) -> Value:
    return -_picked(log_probabilities, target)


@functools.partial(
    _core.Formula,
    example=([Value(0.0), Value(0.0)], 0),
    check=functools.partial(_check_rows, "cross_entropy"),
)
def _cross_entropy(logits: list[Value], target: int) -> Value:
    shifted = _shifted(logits)
    log_total = _core.add_up([x.exp() for x in shifted]).log()
    return log_total - _picked(shifted, target)


# Few programs smooth by more than one share.
@functools.lru_cache(maxsize=8)
def _smoothed_cross_entropy(share: float) -> _core.Formula:
    @functools.partial(
        _core.Formula,
        example=([Value(0.0), Value(0.0)], 0),
        check=functools.partial(_check_rows, "cross_entropy"),
    )
    def formula(logits: list[Value], target: int) -> Value:
        shifted = _shifted(logits)
        log_total = _core.add_up([x.exp() for x in shifted]).log()
        everywhere = _core.add_up(shifted) * (share / len(shifted))
        return log_total - (_picked(shifted, target) * (1.0 - share) + everywhere)

    return formula
