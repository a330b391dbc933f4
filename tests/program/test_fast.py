"""Programs that may round otherwise than the graph: by how much, and what stays as it was."""

import itertools
import math
import pickle
import random

import numpy as np
import pytest
from frozen import all_bits, result_or_message, rows_for
from operation_table import OPERATIONS

import micrograd_fast
from micrograd_fast import MLP, Value, compile, jit, load_program

pytestmark = pytest.mark.usefixtures("instruction_set")

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-320, -1e-320, 1e-155, 1e155, -1e155, 1e-200, 1e200]
SPECIAL += [710.0, -710.0, -746.0, 40.0, -40.0, 1e308, -1e308, math.inf, -math.inf, math.nan]


def both(make, arity=1, dtype="float64"):
    """The same graph as a program with its bits, and as a fast one."""
    x = [Value(0.5) for _ in range(arity)]
    output = make(*x)
    return compile(output, x), compile(output, x, fast=True, dtype=dtype)


def units_apart(found, wanted):
    """How far numbers are from others, in units in the last place of those."""
    return float(np.max(np.abs(np.asarray(found) - wanted) / np.spacing(np.abs(wanted))))


# Single steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operand", [709.5, 709.78, 709.79, 1000.0, 1e300])
def test_expm1_is_right_up_to_the_largest_float_and_fails_above_it(operand):
    exact, fast = both(Value.expm1)
    if operand < 709.782712893384:
        assert units_apart(fast([operand]), exact([operand])) <= 4.0
    else:
        with pytest.raises(OverflowError, match="expm1"):
            fast([operand])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_values_and_slopes_are_those_of_the_operation_but_for_rounding(operation):
    exact, fast = both(operation.apply, operation.arity)
    rng = random.Random(operation.id)
    rows = np.array([operation.draw(rng) for _ in range(3000)])
    wanted, slopes = exact.value_and_grad(rows)
    found, fast_slopes = fast.value_and_grad(rows)
    assert units_apart(found, wanted) <= 4.0
    # A slope is made of a few such functions, each off by 4 units of 2**-53: 1e-14 is 90 of them.
    # Where it is a difference, such as 1 - y**2 of tanh, the units are those of the 1.
    assert fast_slopes == pytest.approx(slopes, rel=1e-14, abs=2e-15)


@pytest.mark.parametrize(
    ("low", "high", "function"),
    [
        (-700.0, 700.0, Value.exp),
        (-1.0, 1.0, Value.exp),
        (-20.0, 20.0, Value.tanh),
        (-0.3, 0.3, Value.tanh),
        (-1e-8, 1e-8, Value.tanh),
        (-700.0, 700.0, Value.sigmoid),
        (-2.0, 2.0, Value.sigmoid),
        (1e-300, 1e-290, Value.log),
        (1e-9, 2.0, Value.log),
        (0.99, 1.01, Value.log),
        (1e9, 1e300, Value.log),
        (-700.0, 700.0, Value.softplus),
        (-2.0, 2.0, Value.softplus),
        (-700.0, 700.0, Value.silu),
        (-2.0, 2.0, Value.silu),
        (-50.0, 709.7, Value.expm1),
        (-1e-8, 1e-8, Value.expm1),
        (-50.0, 0.0, Value.elu),
        (-0.5, 0.0, Value.elu),
        (1e-300, 1e300, Value.sqrt),
    ],
)
def test_functions_are_within_four_units_in_the_last_place(low, high, function):
    exact, fast = both(function)
    rows = np.random.default_rng(1).uniform(low, high, size=(20_000, 1))
    assert units_apart(fast(rows), exact(rows)) <= 4.0


def test_silu_is_near_where_its_exponential_has_few_digits():
    exact, fast = both(Value.silu)
    rows = np.random.default_rng(1).uniform(-746.0, -708.0, size=(20_000, 1))
    assert np.abs(fast(rows) - exact(rows)).max() <= 1e-319


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_special_numbers_and_errors_are_those_of_the_graph(operation):
    """What is raised, too, and for which row; alone, and in the middle of a batch."""
    exact, fast = both(operation.apply, operation.arity)
    usual = operation.draw(random.Random(1))
    for numbers in itertools.product(SPECIAL, repeat=operation.arity):
        for rows in ([numbers], [usual] * 11 + [numbers] + [usual] * 5):
            for call in ("__call__", "value_and_grad"):
                wanted = outcome(getattr(exact, call), rows)
                found = outcome(getattr(fast, call), rows)
                assert wanted[0] == found[0], (numbers, call)
                for one, other in zip(wanted[1:], found[1:], strict=True):
                    assert other == pytest.approx(one, rel=1e-14, abs=5e-324, nan_ok=True), numbers


def outcome(call, rows):
    """The error that a call raises, or that it raises none, and its results."""
    try:
        results = call(rows)
    except (ArithmeticError, ValueError) as error:
        return (f"{type(error).__name__}: {error}",)
    return (None, *(results if isinstance(results, tuple) else (results,)))


# Sums of products --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2, 8, 17, 64, 100])
@pytest.mark.parametrize(("dtype", "unit"), [("float64", 2.0**-53), ("float32", 2.0**-24)])
def test_sums_are_off_by_what_the_documentation_says(dtype, unit, n_rows):
    for n_terms, n_sums in ((2, 9), (7, 3), (16, 16), (33, 5), (70, 20)):
        rng = np.random.default_rng(n_terms)
        w = [[Value(v) for v in rng.normal(size=n_terms)] for _ in range(n_sums)]
        x = [Value(0.0) for _ in range(n_terms)]
        output = sum((micrograd_fast.dot(row, x) for row in w), start=Value(0.0))
        program = compile(output, x, fast=True, dtype=dtype)
        rows = rng.normal(size=(n_rows, n_terms))
        numbers = np.array([[v.data for v in row] for row in w])
        values, by_x = program.value_and_grad(rows)
        _, gradient = program.value_and_parameter_grad(rows, "sum")
        place = {id(p): i for i, p in enumerate(program.parameters)}
        by_w = np.array([[gradient[place[id(v)]] for v in row] for row in w])
        # A sum's bound, and that of the sum of the sums.
        n_roundings = n_terms + 2 + n_sums
        for found, wanted, magnitude, n in (
            (values, (rows @ numbers.T).sum(axis=1), (abs(rows) @ abs(numbers).T).sum(axis=1), 0),
            (by_x, [numbers.sum(axis=0)] * n_rows, abs(numbers).sum(axis=0), 0),
            (by_w, [rows.sum(axis=0)] * n_sums, abs(rows).sum(axis=0), n_rows),
        ):
            assert (np.abs(found - wanted) <= (n_roundings + n) * unit * magnitude).all()


def test_single_precision_is_what_sums_are_computed_in():
    """Batches only, and blocks only: a term that single precision cannot hold is lost in them."""
    w = [Value(1.0) for _ in range(16)]
    x = [Value(1.0) for _ in range(16)]
    program = compile(micrograd_fast.dot(w, x), x, fast=True, dtype="float32")
    assert program.stats()["blocks"] == 1
    tiny = [[1.0] + [2.0**-30] * 15] * 2
    assert program(tiny).tolist() == [1.0, 1.0]
    assert program([[2.0**-30] * 16] * 2).tolist() == [2.0**-26] * 2
    assert program([[3e38] * 16] * 2).tolist() == [math.inf] * 2
    assert program([[1e-46] * 16] * 2).tolist() == [0.0] * 2
    exponential = compile(micrograd_fast.dot(w, x).exp(), x, fast=True, dtype="float32")
    assert exponential([[3e38] * 16] * 2).tolist() == [math.inf] * 2
    with pytest.raises(OverflowError, match=r"^row 0: exp of 3e\+38"):
        exponential([[3e38] + [0.0] * 15] * 2)
    single_steps = compile(x[0] + x[1] * 3.0, x[:2], fast=True, dtype="float32")
    assert single_steps([[1.0, 2.0**-40]] * 2).tolist() == [1.0 + 3 * 2.0**-40] * 2


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_networks_learn_the_same_but_for_rounding(activation, dtype):
    """Sums of up to 64 terms in three layers: some hundred roundings of 2**-53 or 2**-24, which
    a sum that cancels, as many do, makes a hundred times larger relative to itself."""
    tolerance = {"float64": 1e-9, "float32": 1e-3}[dtype]
    for n_in, widths in ((3, [5, 1]), (32, [64, 16, 1]), (17, [33, 9, 4, 1])):
        random.seed(n_in)
        model = MLP(n_in, widths, activation=activation)
        x = [Value(0.1) for _ in range(n_in)]
        loss = model(x) ** 2
        exact, fast = compile(loss, x), compile(loss, x, fast=True, dtype=dtype)
        for n_rows in (1, 7, 50, 130):
            rows = rows_for(exact, n_rows)
            wanted, gradient = exact.value_and_parameter_grad(rows)
            found, fast_gradient = fast.value_and_parameter_grad(rows)
            assert found == pytest.approx(wanted, rel=tolerance)
            assert np.linalg.norm(fast_gradient - gradient) <= tolerance * np.linalg.norm(gradient)
            by_row, fast_by_row = exact.parameter_grads(rows), fast.parameter_grads(rows)
            assert np.linalg.norm(fast_by_row - by_row) <= tolerance * np.linalg.norm(by_row)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_add_to_what_the_parameters_hold(dtype):
    random.seed(3)
    model = MLP(16, [20, 1])
    x = [Value(0.1) for _ in range(16)]
    program = compile(model(x), x, fast=True, dtype=dtype)
    rows = rows_for(program, 40)
    rows[:, 5] = 0.0  # whose 20 weights get shares of 0
    _, gradient = program.value_and_parameter_grad(rows)
    for p in program.parameters:
        p.grad = 1.0 + 2.0**-40
    program.backward(rows)
    # Shares in single precision, of a few units of 2**-24 each.
    assert [p.grad for p in program.parameters] == pytest.approx(gradient + 1.0, rel=1e-6)
    # What was there keeps the bits that single precision has no room for.
    without_share = [p.grad for p, share in zip(program.parameters, gradient) if share == 0.0]
    assert len(without_share) >= 20
    assert set(without_share) == {1.0 + 2.0**-40}


# What stays as it is -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_calls_repeat_their_bits_also_from_a_pickle_or_a_file(dtype, tmp_path):
    random.seed(1)
    model = MLP(32, [64, 16, 1], activation="tanh")
    x = [Value(0.1) for _ in range(32)]
    program = compile(model(x) ** 2, x, fast=True, dtype=dtype)
    assert (program.fast, program.dtype) == (True, dtype)
    rows = rows_for(program, 50)
    total, gradient = program.value_and_parameter_grad(rows)
    program.save(tmp_path / "fast.npz")
    others = (program, pickle.loads(pickle.dumps(program)), load_program(tmp_path / "fast.npz"))
    for other in others:
        assert (other.fast, other.dtype) == (True, dtype)
        assert all_bits(other(rows)) == all_bits(program(rows))
        again, same_gradient = other.value_and_parameter_grad(rows)
        assert all_bits([again, *same_gradient]) == all_bits([total, *gradient])


def test_a_program_is_exact_unless_it_is_asked_not_to_be():
    x = Value(0.5)
    program = compile(x.tanh(), [x])
    assert (program.fast, program.dtype) == (False, "float64")


def test_jit_takes_the_same_choices():
    @jit(fast=True, dtype="float32")
    def squashed(numbers):
        return micrograd_fast.dot([Value(0.5)] * 16, numbers).tanh()

    program = squashed.program([0.1] * 16)
    assert (program.fast, program.dtype) == (True, "float32")
    assert squashed([0.1] * 16) == pytest.approx(math.tanh(0.8), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"])
def test_a_dtype_may_be_that_of_numpy(dtype):
    x = Value(0.5)
    assert compile(x * 2.0, [x], fast=True, dtype=dtype).dtype == "float32"


@pytest.mark.parametrize("dtype", ["float16", "f4", np.int32, None, 32, float])
def test_a_dtype_of_another_kind_is_refused(dtype):
    x = Value(0.5)
    with pytest.raises(ValueError, match='dtype must be "float64" or "float32", found'):
        compile(x * 2.0, [x], fast=True, dtype=dtype)


def test_single_precision_needs_fast():
    x = Value(0.5)
    with pytest.raises(ValueError, match='without fast=True, found "float32"'):
        compile(x * 2.0, [x], dtype="float32")
    with pytest.raises(ValueError, match='without fast=True, found "float32"'):
        jit(dtype="float32")


def test_a_saved_dtype_that_does_not_exist_is_damage():
    x = Value(0.5)
    program = compile(x * 2.0, [x], fast=True)
    for change in ({"dtype": "float8"}, {"fast": False, "dtype": "float32"}):
        tape = {**program.tape(), **change}
        with pytest.raises(ValueError, match="dtype"):
            micrograd_fast._core.program_of_tape(micrograd_fast.Program, tape, ())


def test_a_fast_program_raises_by_its_own_rounding_or_has_computed_every_row():
    """Here the sum is above 0 when products are rounded, and may be below when they are not:
    with and without fused products, either is right."""
    number = 1.0 + 2.0**-30
    for w0 in (number, -number):
        w = [Value(v) for v in (w0, -w0, 2.0**-70, *[0.0] * 13)]

        def graph(x, w=w):
            return micrograd_fast.dot(w, x).log()

        x = [Value(1.0) for _ in w]
        program = compile(graph(x), x, fast=True)
        assert program.stats()["blocks"] == 1
        rows = np.ones((9, 16))
        rows[4:, :2] = number
        wanted = [graph([Value(v) for v in row]).data for row in rows]
        values, message = result_or_message(program, rows)
        assert (message or "row 4: log of -").startswith("row 4: log of -")
        assert message or all_bits(values[:4]) == all_bits(wanted[:4])
        assert message or np.isfinite(values).all()
