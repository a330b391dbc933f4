"""What frozen programs say to arguments of another kind than theirs."""

import functools

import numpy as np
import pytest

import micrograd_fast
from micrograd_fast import MLP, Value, compile, jit, load_program
from micrograd_fast.optim import SGD


@pytest.mark.parametrize("output", [3.0, None, lambda x: x])
def test_an_output_that_is_none_is_refused_by_its_type(output):
    wanted = f"^output must be a Value or a sequence of Values, found {type(output).__name__}$"
    with pytest.raises(TypeError, match=wanted):
        compile(output)


@pytest.mark.parametrize("arguments", [(), (Value(1.0),), (Value(1.0), [])])
def test_a_program_is_not_made_by_its_class(arguments):
    with pytest.raises(TypeError, match=r"programs are made by micrograd_fast\.compile"):
        micrograd_fast.Program(*arguments)


@pytest.mark.parametrize("function", [3, "loss", Value(1.0)])
def test_only_what_can_be_called_is_traced(function):
    with pytest.raises(
        TypeError, match=f"function must be callable, found {type(function).__name__}"
    ):
        jit(function)


def test_a_warning_counts_the_other_lines_that_read():
    def once(x):
        return x * x.data

    def thrice(x):
        y = x * x.data
        z = y * x.data
        return z * x.data

    with pytest.warns(RuntimeWarning, match=r"test_errors\.py:\d+: what it decided"):
        jit(once)(2.0)
    with pytest.warns(RuntimeWarning, match=r"errors\.py:\d+ and at 2 other places: what"):
        jit(thrice)(2.0)


def test_functions_without_a_name_are_named_by_their_type():
    class Sign:
        def __call__(self, x):
            return x * 1.0 if x.data > 0 else x * -1.0

    for function in (Sign(), functools.partial(Sign.__call__, Sign())):
        with pytest.warns(RuntimeWarning, match=f"^{type(function).__name__} looked at"):
            assert jit(function)(3.0) == 3.0
    model = MLP(2, [2, 1])
    assert jit(model)([0.5, -1.0]) == model([0.5, -1.0]).data


def test_parameters_of_a_function_are_a_sequence():
    w = Value(1.0)
    with pytest.raises(TypeError, match="parameters must be a sequence of Values, found Value"):
        compile(w * w).fun(w)


def test_a_path_is_no_number(tmp_path):
    program = compile(Value(1.0) * 2.0)
    with open(tmp_path / "open", "w+b") as file:
        for call in (program.save, load_program):
            with pytest.raises(TypeError, match=r"PathLike.*int"):
                call(file.fileno())
        assert file.read() == b""


def test_a_file_that_is_no_archive_is_refused_without_advice_to_trust_it(tmp_path):
    path = tmp_path / "program.npz"
    path.write_bytes(np.array([{}]).dumps())
    with pytest.raises(ValueError, match=r"program\.npz is not a program: it is no NumPy archive"):
        load_program(path)


@pytest.mark.parametrize("kind", [set, frozenset])
def test_what_has_no_order_is_no_sequence_of_values(kind):
    x, y = Value(0.0), Value(0.0)
    with pytest.raises(
        TypeError, match=f"^inputs must be a sequence of Values, found {kind.__name__}$"
    ):
        compile(x - y, kind((x, y)))
    with pytest.raises(TypeError, match=f"sequence of Values, found {kind.__name__}$"):
        compile(kind((x, y)))
    with pytest.raises(
        TypeError, match=f"params must be a list of Values.*, found {kind.__name__}$"
    ):
        SGD(kind((x, y)))
