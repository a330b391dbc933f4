"""Programs as functions of their parameters' numbers, for SciPy's searches."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize

from micrograd_fast import Value, compile


def program_of_one(function):
    w = Value(0.5)
    return w, compile(function(w), parameters=[w])


#: A function, and the same in NumPy with its derivative.
FUNCTIONS = {
    "log": (lambda w: w - w.log(), lambda x: x - np.log(x), lambda x: 1.0 - 1.0 / x),
    "sqrt": (lambda w: w.sqrt(), np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "reciprocal": (lambda w: 1.0 / w, lambda x: x**-1.0, lambda x: -(x**-2.0)),
    "a power": (lambda w: w**-1.5, lambda x: x**-1.5, lambda x: -1.5 * x**-2.5),
    "exp": (lambda w: (w * 400.0).exp(), lambda x: np.exp(x * 400.0), lambda x: None),
    "log1p": (lambda w: (-w).log1p(), lambda x: np.log1p(-x), lambda x: -1.0 / (1.0 - x)),
}


@pytest.mark.parametrize("number", [0.0, -0.0, -1.0, 2.0, 1.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_outside_of_the_domain_it_is_what_numpy_gives(name, number, instruction_set):
    function, of_numpy, slope = FUNCTIONS[name]
    _, program = program_of_one(function)
    with np.errstate(all="ignore"):
        wanted = of_numpy(np.float64(number)), slope(np.float64(number))
    value, gradient = program.fun()([number])
    np.testing.assert_equal(value, wanted[0] + 0.0)  # the total begins with 0.0
    if wanted[1] is not None:
        np.testing.assert_equal(np.abs(gradient[0]), np.abs(wanted[1]))


def test_on_request_it_is_an_error_and_nothing_has_changed():
    w, program = program_of_one(lambda w: w - w.log())
    fun = program.fun(on_error="raise")
    assert fun([2.0])[0] == 2.0 - math.log(2.0)
    for ask in (fun, fun.hess, lambda x: fun.hessp(x, [1.0])):
        with pytest.raises(ValueError, match=r"log of -3\.0"):
            ask([-3.0])
        assert w.data == 2.0
    residuals = program.residuals(on_error="raise")
    for ask in (residuals, residuals.jac):
        with pytest.raises(ValueError, match=r"log of -3\.0"):
            ask([-3.0])
        assert w.data == 2.0
    with pytest.raises(ValueError, match=r'on_error must be "continue" or "raise", found \'no\''):
        program.fun(on_error="no")


def test_elsewhere_errors_stay_errors():
    w, program = program_of_one(lambda w: w.log())
    assert program.fun()([-1.0])[0] != 0.0
    w.data = 0.0
    with pytest.raises(ValueError, match=r"log of 0\.0"):
        program()
    with pytest.raises(ValueError, match=r"log of 0\.0"):
        program.backward()
    assert w.grad == 0.0


def test_rows_that_fail_make_the_total_what_numpy_makes_it(instruction_set):
    x, w = Value(1.0), Value(1.0)
    program = compile((w * x).log(), [x])
    rows = np.array([[1.0], [0.0], [2.0]])
    value, gradient = program.fun(rows=rows, reduction="sum")([3.0])
    assert value == -math.inf
    assert np.isnan(gradient).all()  # 0 times infinity
    assert program.fun(rows=rows[::2])([3.0])[1].tolist() == [1.0 / 3.0]


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP"])
def test_a_search_turns_back_where_there_is_no_number(method):
    _, program = program_of_one(lambda w: w - w.log())
    with np.errstate(all="ignore"):
        found = minimize(program.fun(), [5.0], jac=True, method=method)
    assert abs(found.x[0] - 1.0) < 1e-3


def rosenbrock():
    x = [Value(0.0) for _ in range(4)]
    terms = [100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x)]
    return compile(sum(terms), parameters=x)


@pytest.mark.parametrize("method", ["trust-ncg", "trust-exact", "Newton-CG", "trust-krylov"])
@pytest.mark.parametrize("second", ["hess", "hessp"])
def test_methods_of_second_order_find_the_minimum(method, second):
    if method == "trust-exact":
        second = "hess"  # it wants the Hessian itself
    fun = rosenbrock().fun()
    start = [0.5, 0.8, 0.7, 0.5]
    found = minimize(fun, start, jac=True, method=method, **{second: getattr(fun, second)})
    assert np.abs(found.x - 1.0).max() < 1e-4


def test_second_derivatives_are_those_of_the_program():
    program = rosenbrock()
    fun = program.fun()
    point = np.array([0.3, -0.2, 0.9, 1.1])
    hessian = fun.hess(point)
    assert program.get_parameters().tolist() == point.tolist()
    assert hessian.tolist() == program.hessian(wrt="parameters").tolist()
    direction = np.array([1.0, -2.0, 0.5, 0.0])
    assert (
        fun.hessp(point, direction).tolist() == program.hvp(direction, wrt="parameters").tolist()
    )
    some = program.fun([program.parameters[2], program.parameters[0]])
    assert some.hess(point[[2, 0]]).tolist() == hessian[np.ix_([2, 0], [2, 0])].tolist()
    with pytest.raises(ValueError, match=r"p must be of shape \(4,\), .* found shape \(3,\)"):
        fun.hessp(point, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"the argument must be of shape \(4,\)"):
        fun.hess([1.0])


def test_residuals_of_rows_fit_a_curve():
    x, y, rate, scale = Value(0.0), Value(0.0), Value(1.0), Value(1.0)
    program = compile(scale * (-rate * x).exp() - y, [x, y], parameters=[scale, rate])
    points = np.linspace(0.0, 4.0, 30)
    rows = np.column_stack([points, 2.5 * np.exp(-1.3 * points)])
    residuals = program.residuals(rows=rows)
    found = least_squares(residuals, [1.0, 0.5], jac=residuals.jac)
    assert np.abs(found.x - [2.5, 1.3]).max() < 1e-8
    assert residuals.jac([1.0, 0.5]).shape == (30, 2)


def test_residuals_of_several_outputs_are_row_by_row():
    x, a, b = Value(0.0), Value(2.0), Value(3.0)
    program = compile([a * x, a + b * x], [x], parameters=[a, b])
    residuals = program.residuals(rows=[[1.0], [10.0]])
    assert residuals([5.0, 7.0]).tolist() == [5.0, 12.0, 50.0, 75.0]
    assert residuals.jac([5.0, 7.0]).tolist() == [[1, 0], [1, 1], [10, 0], [1, 10]]
    alone = program.residuals([b], rows=[2.0])
    assert alone([1.0]).tolist() == [10.0, 7.0]
    assert alone.jac([1.0]).tolist() == [[0.0], [2.0]]
