"""Checking derivatives: what is right passes, what is wrong is named."""

import dataclasses
import math
import random

import numpy as np
import pytest
from operation_table import OPERATIONS, WITHOUT_DIFFERENCES

from micrograd_fast import (
    MLP,
    Program,
    Value,
    checking,
    cross_entropy,
    custom_op,
    gradcheck,
    less,
    where,
)
from micrograd_fast.checking import GradientError
from micrograd_fast.program import freeze


@dataclasses.dataclass
class Pair:
    x: float
    y: float


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda a, b: (a * b).tanh() / b, (0.5, -2.0)),
        (lambda a: [a.exp(), a.sin() * a], 2.0),
        (lambda m: (m @ m).sum(), np.arange(4.0).reshape(2, 2)),
        (lambda d: {"z": d["x"] ** 3 * d["y"]}, {"x": 2.0, "y": -1.0}),
        (lambda p, n: p.x**n / p.y, (Pair(2.0, 3.0), 3)),
        (lambda a: a.sigmoid().log(), -30.0),
        (lambda a: a.exp() * 1e8, 3.0),
        (lambda a: a * 1e-12, 1e9),
        (lambda a, unused: a * a, (1.0, 1.0)),
        (lambda xs: cross_entropy([xs], [1]), [0.5, -1.0, 2.0]),
    ],
)
def test_right_derivatives_pass(function, inputs):
    assert gradcheck(function, inputs) is True


def test_a_network_passes():
    model = MLP(3, [4, 2], activation="tanh")
    assert gradcheck(lambda x: model(x), [0.3, -0.7, 1.1])


def sine(slope):
    """A custom operation with the slope that is given."""

    def function(x):
        out = Value(math.sin(x.data), (x,), "sine")

        def backward():
            x.grad += slope(x.data) * out.grad

        out._backward = backward
        return out

    return function


def test_a_wrong_derivative_is_named_with_both_numbers():
    assert gradcheck(sine(math.cos), 1.0, order=1)
    wanted = r"by inputs\[0\] = 1.0 must be 0\.54030230\d+, .*found 0\.8414709848078965"
    with pytest.raises(GradientError, match=wanted):
        gradcheck(sine(math.sin), 1.0, order=1)
    wanted = r"^the derivative of output 1 by inputs\[0\]\[1\] = 2.0 must be"
    with pytest.raises(GradientError, match=wanted):
        gradcheck(lambda xs: [xs[0], sine(math.sin)(xs[1])], ([1.0, 2.0],), order=1)
    # Wrong by little more than what is allowed, and by less.
    with pytest.raises(GradientError):
        gradcheck(sine(lambda x: math.cos(x) * (1.0 + 1e-5)), 1.0, order=1)
    assert gradcheck(sine(lambda x: math.cos(x) * (1.0 + 1e-5)), 1.0, order=1, rtol=1e-4)


@pytest.mark.parametrize(
    ("function", "operation", "slopes"),
    [
        (lambda a: a.relu(), ", in ReLU", "0 below and 1 above"),
        (lambda a: a.exp() * a.abs() + a * 2.0, ", in abs", "1 below and 3 above"),
        (lambda a: a.maximum(a * 3.0), ", in maximum", "1 below and 3 above"),
        (lambda a: (a + 1.0).clip(None, 1.0), ", in clip", "1 below and 0 above"),
        (lambda a: where(less(a, 0.0), a, a * 3.0), ", in where", "1 below and 3 above"),
        (custom_op(abs, np.sign, lambda x: 0), ", in abs", "-1 below and 1 above"),
        (lambda a: a if a.data < 0 else a * 2.0, ", where the function makes another", "1 below"),
    ],
)
def test_a_kink_is_named(function, operation, slopes):
    wanted = rf"^inputs\[0\] = 0.0 is at a kink of the output{operation}.*: its slope is {slopes}"
    with pytest.raises(GradientError, match=wanted):
        gradcheck(function, 0.0)
    assert gradcheck(function, 0.5)


def test_a_kink_without_a_name_is_one_all_the_same():
    with pytest.raises(
        GradientError, match=r"is at a kink of the derivative of the output by inp"
    ):
        gradcheck(lambda a: a.elu(), 0.0)
    # Beside the point, something else has no derivative.
    with pytest.raises(GradientError, match=r"is at a kink of the output: its slope is 0 below"):
        gradcheck(lambda a: a.relu() + (a - 1e-9).abs().sqrt() * 0.0, 0.0, order=1)


def test_values_are_taken_where_there_are_some():
    assert gradcheck(lambda a: a.log(), 0.005)
    assert gradcheck(lambda a: a.asin(), 0.9999)
    assert gradcheck(lambda a, b: a.sqrt() * b, (1e-4, 1.0))
    with pytest.raises(ValueError, match="log of "):
        gradcheck(lambda a: (a + 1e-300).log(), 0.0)


def test_inputs_are_named_by_the_expression_that_finds_them():
    with pytest.raises(GradientError, match=r"^inputs\[0\]\['p'\]\.y = 0\.0 is at a kink"):
        gradcheck(lambda d: d["p"].x + d["p"].y.relu(), {"p": Pair(1.0, 0.0)})
    with pytest.raises(GradientError, match=r"^inputs\[1\]\[0, 2\] = 0\.0 is at a kink"):
        gradcheck(lambda a, m: a + m[0, 2].abs(), (1.0, np.array([[1.0, 2.0, 0.0]])))


def test_second_derivatives_are_checked(monkeypatch):
    assert gradcheck(lambda a, b: a**3 * b, (2.0, 3.0))

    class Wrong(Program):
        def hessian(self, *args, **kwargs):
            return super().hessian(*args, **kwargs) * 1.001

    def wrong(*args):
        make, (_, *rest) = freeze(*args).__reduce__()
        return make(Wrong, *rest)

    monkeypatch.setattr(checking, "freeze", wrong)
    with pytest.raises(GradientError, match=r"derivative of the derivative of the output by inp"):
        gradcheck(lambda a, b: a**3 * b, (2.0, 3.0))
    assert gradcheck(lambda a, b: a**3 * b, (2.0, 3.0), order=1)


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(ValueError, match="order must be 1 or 2, found 3"):
        gradcheck(lambda a: a, 1.0, order=3)
    with pytest.raises(ValueError, match="inputs must hold a number, found none"):
        gradcheck(lambda n: n, 1)
    with pytest.raises(ValueError, match="function must return a Value, found none"):
        gradcheck(lambda a: 1.0, 1.0)
    with pytest.raises(ValueError, match="has a Python _backward"):
        gradcheck(sine(math.cos), 1.0)
    with pytest.raises(ValueError, match=r"log of -1\.0"):
        gradcheck(lambda a: a.log(), -1.0)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.name not in WITHOUT_DIFFERENCES],
    ids=lambda operation: operation.id,
)
def test_every_operation_passes(operation):
    rng = random.Random(7)
    for _ in range(3):
        assert gradcheck(operation.apply, operation.draw(rng), step=1e-3)


@pytest.mark.parametrize(
    ("function", "number"),
    [
        (lambda a: 1 / a, 1e-3),
        (lambda a: a.log(), 1e-8),
        (lambda a: (a * 1e4).tanh(), 1e-4),
        (lambda a: a.relu(), 1e-4),
        (lambda a: a * 2.0, 1e200),
    ],
)
def test_right_derivatives_pass_close_to_where_there_are_others(function, number):
    assert gradcheck(function, number)


def test_what_no_difference_speaks_for_is_no_success():
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=rf"inputs must be finite, found {number}"):
            gradcheck(lambda a: a * 2.0, (0.5, [number]))
    for step in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"step must be a finite number above 0, found"):
            gradcheck(lambda a: a * 2.0, 0.5, step=step)
    with pytest.raises(GradientError, match=r"must be a number, as differences are, found nan"):
        gradcheck(lambda a: a * float("nan"), 0.5)
