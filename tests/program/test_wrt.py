"""By what derivatives of programs are taken: the inputs, unless another choice is made."""

import doctest
import inspect

import numpy as np
import pytest

import micrograd_fast
from micrograd_fast import Program, Value, compile, load_program


def cubic():
    """w0 * x0**2 * x1 + w1 * x0: a program, its inputs and its parameters."""
    x = [Value(2.0), Value(3.0)]
    w = [Value(5.0), Value(-7.0)]
    return compile(w[0] * x[0] * x[0] * x[1] + w[1] * x[0], x), x, w


ROWS = np.array([[2.0, 3.0], [1.0, -4.0], [0.5, 0.25]])


def gradient_of(row):
    a, b = row
    return [10.0 * a * b - 7.0, 5.0 * a * a, a * a * b, a]


def hessian_of(row):
    a, b = row
    return [
        [10.0 * b, 10.0 * a, 2.0 * a * b, 1.0],
        [10.0 * a, 0.0, a * a, 0.0],
        [2.0 * a * b, a * a, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
    ]


CHOICES = {
    "inputs": (lambda x, w: "inputs", [0, 1]),
    "parameters": (lambda x, w: "parameters", [2, 3]),
    "an input": (lambda x, w: [x[1]], [1]),
    "parameters in another order": (lambda x, w: (w[1], w[0]), [3, 2]),
    "some of both": (lambda x, w: [w[0], x[1], x[0]], [2, 1, 0]),
    "all of both": (lambda x, w: iter([*x, *w]), [0, 1, 2, 3]),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_first_derivatives_are_by_what_is_asked_for(choice):
    program, x, w = cubic()
    wrt, places = CHOICES[choice]
    wanted = np.array([gradient_of(row) for row in ROWS])[:, places]
    values, grads = program.value_and_grad(ROWS, wrt=wrt(x, w))
    assert values.tolist() == program(ROWS).tolist()
    assert grads.tolist() == wanted.tolist()
    assert program.value_and_grad(ROWS[1], wrt(x, w))[1].tolist() == wanted[1].tolist()
    assert program.jacobian(ROWS, wrt(x, w)).tolist() == wanted.tolist()
    assert program.jacobian(ROWS[2], wrt=wrt(x, w)).tolist() == wanted[2].tolist()
    several = compile([w[0] * x[0], x[1] * w[1]], x)
    assert several.jacobian(ROWS, wrt=wrt(x, w)).shape == (3, 2, len(places))
    assert [v.grad for v in (*x, *w)] == [0.0] * 4


@pytest.mark.parametrize("choice", CHOICES)
def test_second_derivatives_are_by_what_is_asked_for(choice):
    """By parameters alone they are reduced; with an input, every row has a Hessian of its own."""
    program, x, w = cubic()
    wrt, places = CHOICES[choice]
    wanted = np.array([hessian_of(row) for row in ROWS])[:, places][:, :, places]
    weights = [1.0, 0.5, -2.0]
    if min(places) >= 2:
        wanted = np.tensordot(weights, wanted, 1)
    found = program.hessian(ROWS, weights, wrt(x, w))
    assert found == pytest.approx(wanted, rel=1e-14, abs=1e-14)
    vector = np.arange(1.0, 1.0 + len(places))
    product = program.hvp(vector, ROWS, weights, wrt(x, w))
    assert product == pytest.approx(wanted @ vector, rel=1e-14, abs=1e-14)
    one = program.hessian(ROWS[0], "sum", wrt(x, w))
    wanted = np.array(hessian_of(ROWS[0]))[np.ix_(places, places)]
    assert one == pytest.approx(wanted, rel=1e-14, abs=1e-14)


def test_the_default_is_the_inputs_everywhere():
    for name in ("value_and_grad", "jacobian", "hessian", "hvp"):
        assert inspect.signature(getattr(Program, name)).parameters["wrt"].default == "inputs"
    program, _, _ = cubic()
    assert program.value_and_grad(ROWS[0])[1].shape == (2,)
    assert program.jacobian(ROWS).shape == (3, 2)
    assert program.hessian(ROWS).shape == (3, 2, 2)
    assert program.hvp([1.0, 0.0], ROWS).shape == (3, 2)


def test_a_program_without_inputs_says_so():
    w = Value(3.0)
    program = compile(w * w)
    for call in (
        program.value_and_grad,
        program.jacobian,
        program.hessian,
        lambda: program.hvp([]),
    ):
        with pytest.raises(
            ValueError, match=r"found a program without inputs; wrt=\"parameters\""
        ):
            call()
    assert program.value_and_grad(wrt="parameters")[1].tolist() == [6.0]
    assert program.hessian(wrt="parameters").tolist() == [[2.0]]


def test_the_shorthands_are_what_they_stand_for():
    program, _, w = cubic()
    by_row = program.value_and_grad(ROWS, wrt="parameters")[1]
    assert program.parameter_grads(ROWS).tolist() == by_row.tolist()
    total, gradient = program.value_and_parameter_grad(ROWS, "sum")
    assert total == program.backward(ROWS, "sum")
    assert gradient.tolist() == [v.grad for v in w]


BAD = [
    ("weights", ValueError, 'wrt must be "inputs", "parameters" or a sequence of Values'),
    (None, TypeError, "found NoneType"),
    (3, TypeError, "found int"),
    (Value(1.0), TypeError, "found Value"),
    ([1.0], ValueError, r"wrt\[0\], 1\.0, is neither an input nor a parameter of <Program of 2"),
    ([Value(9.0)], ValueError, r"wrt\[0\], Value\(data=9\.0, grad=0\.0\), is neither"),
]


@pytest.mark.parametrize(("wrt", "error", "message"), BAD)
def test_what_is_no_choice_is_refused(wrt, error, message):
    program, x, _ = cubic()
    for call in (program.value_and_grad, program.jacobian, program.hessian):
        with pytest.raises(error, match=message):
            call(ROWS, wrt=wrt)
        with pytest.raises(ValueError, match=r"wrt\[1\] is the same Value as wrt\[0\]"):
            call(ROWS, wrt=[x[0], x[0]])
    with pytest.raises(error, match=message):
        program.hvp([1.0, 2.0], ROWS, wrt=wrt)


def test_a_program_counts_and_names_what_it_has(tmp_path):
    program, x, w = cubic()
    assert program.inputs == tuple(x)
    assert program.parameters == tuple(w)
    assert (program.n_inputs, program.n_parameters, program.n_outputs) == (2, 2, 1)
    program.save(tmp_path / "program.npz")
    loaded = load_program(tmp_path / "program.npz")
    assert (loaded.n_inputs, loaded.n_parameters) == (2, 2)
    found = loaded.jacobian(ROWS, wrt=[loaded.inputs[1], loaded.parameters[0]])
    assert found.tolist() == program.jacobian(ROWS, wrt=[x[1], w[0]]).tolist()


def test_everything_of_a_program_is_explained():
    assert Program is micrograd_fast.program.Program
    assert (Program.__module__, Program.__mro__) == ("micrograd_fast.program", (Program, object))
    names = [name for name in vars(Program) if not name.startswith("_")]
    assert {"hessian", "frozen_reads", "n_parameters", "fun"} <= set(names)
    for name in names:
        assert inspect.getdoc(vars(Program)[name]), name
    tests = doctest.DocTestFinder().find(Program, "Program", module=False)
    assert sum(len(test.examples) for test in tests) > 20
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0, test.name


def test_rows_are_converted_once():
    class Counted:
        n = 0

        def __array__(self, dtype=None, copy=None):
            Counted.n += 1
            return ROWS.copy()

    program, x, w = cubic()
    calls = [
        lambda rows: program.hvp([1.0, 2.0], rows),
        lambda rows: program.hessian(rows, wrt="parameters"),
        lambda rows: program.hessian(rows, wrt=[*x, *w]),
        lambda rows: program.value_and_grad(rows, wrt=[*x, *w]),
        lambda rows: program.jacobian(rows),
        program.backward,
        program,
    ]
    for n, call in enumerate(calls, 1):
        call(Counted())
        assert Counted.n == n
