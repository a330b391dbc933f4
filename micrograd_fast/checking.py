"""Checking derivatives against differences."""

from __future__ import annotations

import functools
import math

from ._nests import Container, Static, of_values, put_together, take_apart
from ._traces import results_apart
from .engine import Value
from .program import freeze

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from ._nests import Structure

    _Function: TypeAlias = Callable[[list[float]], list[float]]

__all__ = ["GradientError", "gradcheck"]

_N_HALVINGS = 6
_N_SIZES = 3
_MOST_SHORTENINGS = 30


class GradientError(AssertionError):
    """A derivative is not what differences say; made by `gradcheck`."""


def gradcheck(
    function: Callable[..., Any],
    inputs: Any,
    *,
    order: int = 2,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    step: float = 1e-2,
) -> bool:
    """Check the derivatives of a function of Values against differences of its values.

    Parameters
    ----------
    function : callable
        Takes Values, or nests of them, and returns a Value or a nest of some.
    inputs : tuple or number
        The arguments, with numbers in place of Values, as for `jit`; one that is no tuple is the
        only argument.
    order : {1, 2}, optional
        1 checks what ``backward`` gives, 2 also the Hessians of a frozen program, against
        differences of gradients.
    rtol, atol : float, optional
        A derivative ``d`` may be off by ``atol + rtol * |d|``.
    step : float, optional
        The largest distance at which values are taken, relative to numbers above 1; smaller where
        there are none that far, and where a derivative does not agree.

    Returns
    -------
    bool
        True; whatever is wrong is raised.

    Raises
    ------
    GradientError
        If a derivative is wrong, or there is a kink at an input: slopes that differ from one side
        to the other. The message names the input, as in ``inputs[0][2]``, and the operation that
        has the kink.
    ValueError
        If `order` is neither 1 nor 2, a number among the inputs is not finite or there is none, no
        Value is in the result, or `step` is not above 0; or for order 2, if a node has a Python
        ``_backward``.
    NotImplementedError
        For order 2, if a custom operation has no second derivative where it counts.
    ArithmeticError, ValueError
        Where the function or a derivative has no value at the inputs.

    Notes
    -----
    Differences are extrapolated to a step of 0; see Ridders, "Accurate computation of F'(x) and
    F'(x)F''(x)", Advances in Engineering Software 4 (1982).

    Examples
    --------
    >>> from micrograd_fast import Value, gradcheck
    >>> gradcheck(lambda a, b: (a * b).tanh() / b, (0.5, -2.0))
    True
    >>> gradcheck(lambda a: a.relu(), 0.0)
    Traceback (most recent call last):
        ...
    micrograd_fast.checking.GradientError: inputs[0] = 0.0 is at a kink of the output, in ReLU: ...
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, found {order!r}")
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    point: list[float] = []
    structure = take_apart(arguments, point, "inputs")
    if not point:
        raise ValueError("inputs must hold a number, found none")
    for number in point:
        if not math.isfinite(number):
            raise ValueError(f"inputs must be finite, found {number!r}")
    if not 0.0 < step < math.inf:
        raise ValueError(f"step must be a finite number above 0, found {step!r}")
    names = _names_of(structure, "inputs")

    def graph(numbers: list[float]) -> tuple[list[Value], list[Value]]:
        values = [Value(number) for number in numbers]
        outputs: list[Value] = []
        result = function(*put_together(structure, of_values(values)))
        results_apart(result, outputs, "what the function returns")
        return values, outputs

    def kink(i: int) -> str:
        """Where the graphs on both sides of an input part, for a message."""
        distance = 1e-9 * max(1.0, abs(point[i]))
        sides = []
        for shift in (-distance, distance):
            moved = list(point)
            moved[i] += shift
            try:
                sides.append(_derivatives_by_operand(graph(moved)[1]))
            except (ArithmeticError, ValueError):
                return ""  # what is off the path that counts may have no derivative
        return _parting(*sides)

    def values(numbers: list[float]) -> list[float]:
        return [output.data for output in graph(numbers)[1]]

    def gradients(numbers: list[float]) -> list[float]:
        leaves, outputs = graph(numbers)
        found: list[float] = []
        for output in outputs:
            output.zero_grad()
            for leaf in leaves:
                leaf.grad = 0.0
            output.backward()
            found.extend(leaf.grad for leaf in leaves)
        return found

    leaves, outputs = graph(point)
    if not outputs:
        raise ValueError("function must return a Value, found none in its result")
    what = [f"output {i}" if len(outputs) > 1 else "the output" for i in range(len(outputs))]
    compare = functools.partial(
        _compare, point=point, inputs=names, kink=kink, step=step, rtol=rtol, atol=atol
    )
    compare(values, derivatives=gradients(point), outputs=what)
    if order == 2:
        hessians = []
        for output in outputs:
            program = freeze(output, "the output", leaves, False, "float64")
            hessian = program.hessian(point, wrt="inputs")
            hessians.extend(hessian.ravel().tolist())
        slopes = [f"the derivative of {w} by {name}" for w in what for name in names]
        compare(gradients, derivatives=hessians, outputs=slopes)
    return True


def _derivatives_by_operand(outputs: list[Value]) -> list[tuple[str, tuple[float, ...]]]:
    """Of each node of a graph, operands first, what it is and its derivatives by its operands."""
    found = []
    done = set()
    stack = list(reversed(outputs))
    while stack:
        node = stack[-1]
        waiting = [operand for operand in node._children if id(operand) not in done]
        if waiting:
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        if id(node) not in done:
            done.add(id(node))
            found.append((node._op, node._local_grads))
    return found


def _parting(
    below: list[tuple[str, tuple[float, ...]]], above: list[tuple[str, tuple[float, ...]]]
) -> str:
    """The first operation whose derivatives jump from one graph to another like it."""
    if [op for op, _ in below] != [op for op, _ in above]:
        return ", where the function makes another graph"
    for (op, slopes), (_, others) in zip(below, above, strict=True):
        for slope, other in zip(slopes, others, strict=True):
            if not abs(slope - other) <= 1e-4 * max(1.0, abs(slope), abs(other)):
                return f", in {'where' if op == 'keep' else op}"
    return ""


def _names_of(structure: Structure, name: str) -> list[str]:
    """A name for each number of a nest: the expression that finds it."""
    if isinstance(structure, Static):
        return []
    if isinstance(structure, Container):
        found: list[str] = []
        for key, item in structure.entries():
            found += _names_of(item, name + key)
        return found
    if structure.shape is None:
        return [name]
    import numpy

    return [f"{name}[{', '.join(map(str, index))}]" for index in numpy.ndindex(structure.shape)]


def _compare(
    function: _Function,
    *,
    point: list[float],
    derivatives: list[float],
    outputs: list[str],
    inputs: list[str],
    kink: Callable[[int], str],
    step: float,
    rtol: float,
    atol: float,
) -> None:
    """Compare derivatives, those of an output together, with differences of a function."""
    for i, name in enumerate(inputs):
        size = step * max(1.0, abs(point[i]))
        size = min(_reach(function, point, i, -size), _reach(function, point, i, size))
        given = derivatives[i :: len(inputs)]
        faults: dict[int, str] = {}
        waiting = list(range(len(outputs)))
        for n_shortened in range(_N_SIZES):
            below = _extrapolated(function, point, i, -size)
            above = _extrapolated(function, point, i, size)
            found = {
                j: _fault(
                    given[j], below[j], above[j], atol + rtol * abs(given[j]), n_shortened > 0
                )
                for j in waiting
            }
            waiting = [j for j, fault in found.items() if fault is not None]
            if not waiting:
                break
            for j in waiting:
                faults.setdefault(j, found[j] or "")  # what the longest distance says is clearest
            size /= 100.0
        for j in waiting:
            at = f"{name} = {point[i]!r}"
            if faults[j].startswith("its slope"):
                where = f"{at} is at a kink of {outputs[j]}{kink(i)}: {faults[j]}"
            else:
                where = f"the derivative of {outputs[j]} by {at} must be {faults[j]}"
            raise GradientError(f"{where}, found {given[j]!r}")


def _fault(
    given: float,
    below: tuple[float, float],
    above: tuple[float, float],
    allowed: float,
    is_shortened: bool,
) -> str | None:
    """What differences from both sides, each with its error, have against a derivative.

    At a distance that was shortened to save a derivative, rounding must not hide a fault.
    """
    (slope_below, error_below), (slope_above, error_above) = below, above
    largest = max(error_below, error_above)
    if not (math.isfinite(given) and largest < math.inf):
        return "a number, as differences are"
    if is_shortened and largest > 1e-5 * max(1.0, abs(given)):
        return "what differences say, which do not settle"
    # What rounding leaves in differences is no fault of the derivative.
    weight = 0.1 if is_shortened else 10.0
    if abs(slope_below - slope_above) > allowed + weight * (error_below + error_above):
        return f"its slope is {slope_below:.8g} below and {slope_above:.8g} above"
    slope, error = min(below, above, key=lambda estimate: estimate[1])
    if not abs(given - slope) <= allowed + weight * error:
        return f"{slope:.10g}, as differences say"
    return None


def _reach(function: _Function, point: list[float], i: int, step: float) -> float:
    """The distance on one side up to which a function has values, `step` or a part of it.

    Raises what the function does where it has none however near.
    """
    for n_left in reversed(range(_MOST_SHORTENINGS)):
        moved = list(point)
        moved[i] += step
        try:
            function(moved)
        except (ArithmeticError, ValueError):
            if n_left == 0 or point[i] + step / 4.0 == point[i]:
                raise
            step /= 4.0
        else:
            break
    return abs(step)


def _extrapolated(
    function: _Function, point: list[float], i: int, step: float
) -> list[tuple[float, float]]:
    """The derivatives by one number from one side, each with an estimate of its error.

    Differences over steps that are halved again and again are extrapolated to a step of 0; the
    entry of the table that differs least from its neighbours counts.
    """
    here = function(point)
    rows: list[list[list[float]]] = []
    best = [(0.0, float("inf"))] * len(here)
    for n_halvings in range(_N_HALVINGS):
        moved = list(point)
        moved[i] += step / 2.0**n_halvings
        distance = moved[i] - point[i]
        there = function(moved)
        row = [[(b - a) / distance for a, b in zip(here, there, strict=True)]]
        for column in range(n_halvings):
            factor = 2.0 ** (column + 1)
            finer, coarser = row[column], rows[-1][column]
            row.append(
                [(factor * f - c) / (factor - 1.0) for f, c in zip(finer, coarser, strict=True)]
            )
            for j, estimate in enumerate(row[-1]):
                error = max(abs(estimate - finer[j]), abs(estimate - coarser[j]))
                if error < best[j][1]:
                    best[j] = (estimate, error)
        rows.append(row)
    return best
