"""Losses over lists of Values, built from the operations that a Value has.

Scores, probabilities and predictions are lists of Values (a single Value counts as a list of
one), targets are numbers, lists or arrays of them. `reduction` is "mean" or "sum". The formulas
use nothing but a Value's own operations, so every engine with them gives the same bits. For
ordinary Values of the compiled engine it builds the same graph itself, a formula at a time; where
it declines, with None, the formula here is what runs.
"""

import builtins
import functools

from . import _core, engine

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


def mse_loss(predictions, targets, reduction="mean"):
    """Average the squares of the differences.

    Parameters
    ----------
    predictions : list of Value
    targets : list of float, one for each
    reduction : {"mean", "sum"}, optional

    Returns
    -------
    Value

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
    predictions, targets = _paired(predictions, targets)
    total = _core.sum_of_squares(predictions, targets)
    if total is None:
        _check_scalars(predictions, targets)
        total = _total([(p - t) ** 2 for p, t in zip(predictions, targets)])
    return _reduced(total, len(targets), reduction)


def binary_cross_entropy(probabilities, targets, reduction="mean", eps=1e-12):
    """Measure how probable the targets are, given the probability of a 1 for each.

    A probability outside ``[eps, 1 - eps]`` counts as the nearest bound.

    Parameters
    ----------
    probabilities : list of Value
    targets : list of float from 0 to 1, one for each
    reduction : {"mean", "sum"}, optional
    eps : float, optional

    Returns
    -------
    Value

    Raises
    ------
    TypeError
        If a list or str is in the place of a number.
    ValueError
        If the lengths differ, there are none, a target is not in its range, or the reduction is
        unknown.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> round(binary_cross_entropy([Value(0.5)], [1]).data, 4)
    0.6931
    """
    probabilities, targets = _paired(probabilities, targets)
    _check_scalars(probabilities, targets)
    terms = []
    for i, (p, t) in enumerate(zip(probabilities, targets)):
        _check_unit_range(i, t)
        p = p.clip(eps, 1.0 - eps)
        terms.append(-(t * p.log() + (1.0 - t) * (1.0 - p).log()))
    return _reduced(_total(terms), len(terms), reduction)


def binary_cross_entropy_with_logits(logits, targets, reduction="mean"):
    """Take `binary_cross_entropy` of the sigmoids, without overflow or loss of digits.

    The term for logit x and target t is ``softplus(x) - t * x``.

    Parameters
    ----------
    logits : list of Value
    targets : list of float from 0 to 1, one for each
    reduction : {"mean", "sum"}, optional

    Returns
    -------
    Value

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
    logits, targets = _paired(logits, targets)
    _check_scalars(logits, targets)
    terms = []
    for i, (x, t) in enumerate(zip(logits, targets)):
        _check_unit_range(i, t)
        terms.append(x.softplus() - t * x)
    return _reduced(_total(terms), len(terms), reduction)


def hinge_loss(scores, targets, reduction="mean"):
    """Average ``relu(1 - target * score)``, the max-margin loss.

    Parameters
    ----------
    scores : list of Value
    targets : list of -1 or +1, one for each
    reduction : {"mean", "sum"}, optional

    Returns
    -------
    Value

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
    scores, targets = _paired(scores, targets)
    total = _core.sum_of_hinges(scores, targets)
    if total is None:
        _check_scalars(scores, targets)
        for i, t in enumerate(targets):
            if t != 1 and t != -1:
                raise ValueError(f"target {i} of hinge_loss must be -1 or +1, found {t!r}")
        total = _total([(1 + -t * s).relu() for s, t in zip(scores, targets)])
    return _reduced(total, len(targets), reduction)


def softmax(logits):
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
    logits = _listed(logits)
    probabilities = _core.softmax(logits)
    if probabilities is None:
        exponentials = [x.exp() for x in _shifted(logits)]
        inverse = _total(exponentials) ** -1
        probabilities = [e * inverse for e in exponentials]
    return probabilities


def log_softmax(logits):
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
    logits = _listed(logits)
    logarithms = _core.log_softmax(logits)
    if logarithms is None:
        shifted = _shifted(logits)
        log_total = _total([x.exp() for x in shifted]).log()
        logarithms = [x - log_total for x in shifted]
    return logarithms


def nll_loss(log_probabilities, targets, reduction="mean"):
    """Take the negative logarithm of the probability of the right class.

    Parameters
    ----------
    log_probabilities : list of Value, or list of such lists
        One for each class; for a batch, a row for each sample.
    targets : int, or list of int
        The right class, or one for each row.
    reduction : {"mean", "sum"}, optional

    Returns
    -------
    Value

    Raises
    ------
    ValueError
        If there are not as many targets as rows, no rows, no such class, or the reduction is
        unknown.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> nll_loss([Value(-0.25), Value(-2.0)], 0).data
    0.25
    """
    rows, classes = _rows(log_probabilities, targets)
    return _reduced(_total([-row[k] for row, k in zip(rows, classes)]), len(rows), reduction)


def cross_entropy(logits, targets, reduction="mean"):
    """Take `nll_loss` of `log_softmax`.

    Parameters
    ----------
    logits : list of Value, or list of such lists
        One for each class; for a batch, a row for each sample.
    targets : int, or list of int
        The right class, or one for each row.
    reduction : {"mean", "sum"}, optional

    Returns
    -------
    Value

    Raises
    ------
    TypeError
        If something is no Value where one is wanted.
    ValueError
        As `nll_loss`.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> round(cross_entropy([Value(0.0), Value(0.0)], 1).data, 4)
    0.6931
    """
    rows, classes = _rows(logits, targets)
    total = _core.sum_of_cross_entropies(rows, classes)
    if total is None:
        terms = []
        for row, k in zip(rows, classes):
            shifted = _shifted(row)
            terms.append(_total([x.exp() for x in shifted]).log() - shifted[k])
        total = _total(terms)
    return _reduced(total, len(rows), reduction)


def _is_value(candidate):
    return hasattr(candidate, "backward") and hasattr(candidate, "_prev")


def _listed(values):
    if type(values) is list:
        return values
    if _is_value(values):
        return [values]
    if not hasattr(values, "__iter__"):
        raise TypeError(f"wanted a list of Values, found {type(values).__name__}")
    return list(values)


def _numbers(targets):
    if hasattr(targets, "tolist"):
        targets = targets.tolist()
    return list(targets) if hasattr(targets, "__len__") else [targets]


def _paired(values, targets):
    values, targets = _listed(values), _numbers(targets)
    if len(values) != len(targets):
        raise ValueError(
            f"wanted one target for each value, found {len(values)} values"
            f" and {len(targets)} targets"
        )
    if not values:
        raise ValueError("a loss wants at least one value, found an empty batch")
    return values, targets


def _rows(values, targets):
    values = _listed(values)
    if not values:
        raise ValueError("a loss wants at least one value, found an empty batch")
    rows = [values] if _is_value(values[0]) else [_listed(row) for row in values]
    classes = _numbers(targets)
    if len(rows) != len(classes):
        raise ValueError(
            f"wanted one class for each row, found {len(rows)} rows and {len(classes)} classes"
        )
    for i, (row, k) in enumerate(zip(rows, classes)):
        if hasattr(k, "tolist"):
            k = k.tolist()
        if isinstance(k, float) and k.is_integer():
            k = int(k)
        classes[i] = k
        if not isinstance(k, int) or not 0 <= k < len(row):
            raise ValueError(f"target {i} must be a class from 0 to {len(row) - 1}, found {k!r}")
    return rows, classes


def _check_scalars(values, targets):
    """Refuse rows, such as those of a column that came as a 2-D array, and text."""
    for name, scalars in (("value", values), ("target", targets)):
        for i, scalar in enumerate(scalars):
            if isinstance(scalar, (list, tuple, str)):
                raise TypeError(f"{name} {i} must be a number, found {type(scalar).__name__}")


def _check_unit_range(i, target):
    if not 0 <= target <= 1:
        raise ValueError(f"target {i} must be from 0 to 1, found {target!r}")


def _shifted(logits):
    """The logits less their maximum, which has no gradient: the result does not depend on it."""
    if not logits:
        raise ValueError("a softmax wants at least one value, found an empty list")
    for i, x in enumerate(logits):
        if not _is_value(x):
            raise TypeError(f"logit {i} must be a Value, found {type(x).__name__}")
    largest = functools.reduce(lambda largest, x: largest.maximum(x), logits)
    offset = -largest.detach()
    return [x + offset for x in logits]


def _total(values):
    """Python's sum; in C where the Values are compiled ones."""
    if all(isinstance(v, engine.Value) for v in values):
        return engine.sum(values)
    return builtins.sum(values)


def _reduced(total, n_terms, reduction):
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean" or "sum", found {reduction!r}')
    return total * (1.0 / n_terms) if reduction == "mean" else total
