"""Custom operations in programs: the graph's bits, its errors, and functions that do anything."""

import copy
import gc
import math
import pickle
import threading

import numpy as np
import pytest

import micrograd_fast as mg
from micrograd_fast import Value, compile, custom_op


def square_times(a, b):
    return a**2 * b


def its_slopes(a, b):
    return 2.0 * a * b, a**2


def its_seconds(a, b):
    return (2.0 * b, 2.0 * a), (2.0 * a, 0.0)


def reciprocal(x):
    return 1.0 / (1.0 + x * x)


def minus_sin(x):
    return -np.sin(x)


power = custom_op(square_times, its_slopes, its_seconds, name="power")
arctan = custom_op(math.atan, reciprocal)
sine = custom_op(np.sin, np.cos, minus_sin)
log = custom_op(math.log, lambda x: 1.0 / x, lambda x: -1.0 / x**2, name="ln")
identity = custom_op(lambda x: x, lambda x: 1.0, lambda x: 0.0, name="identity")
N_ROWS = 131


def graph(x, y, v, w):
    """Operations among operations: shared, of constants, of one operand twice, beside sums."""
    hidden = [arctan(a * x + b * y + v) for a, b in ((w, 0.5), (0.3, w), (v, v))]
    total = hidden[0] * w + hidden[1] * v + hidden[2] * 0.7 + x
    inner = power(total, hidden[1])
    return sine(inner) + power(x, x) * power(w, v) + arctan(2.0) * sine(w) + arctan(hidden[0])


def new_leaves():
    return Value(0.0), Value(0.0), Value(0.3), Value(-1.1)


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(size=(N_ROWS, 2))


@pytest.mark.parametrize("n_rows", [1, 2, N_ROWS])
def test_values_and_gradients_have_the_bits_of_the_graph(rows, n_rows):
    leaves = new_leaves()
    rows = rows[:n_rows]
    x, y, v, w = leaves
    program = compile(graph(*leaves), [x, y], parameters=[v, w])
    values, by_inputs = program.value_and_grad(rows)
    sums = program.value_and_parameter_grad(rows, reduction="sum")
    grads = program.parameter_grads(rows)
    v.grad = w.grad = 0.0
    for row, value, slopes, grad in zip(rows, values, by_inputs, grads, strict=True):
        a, b, p, q = Value(row[0]), Value(row[1]), Value(v.data), Value(w.data)
        out = graph(a, b, p, q)
        out.backward()
        assert out.data == value
        assert [a.grad, b.grad] == slopes.tolist()
        assert [p.grad, q.grad] == grad.tolist()
        graph(Value(row[0]), Value(row[1]), v, w).backward()
    assert sums[1].tolist() == [v.grad, w.grad]
    v.grad = w.grad = 0.0
    program.backward(rows, reduction="sum")
    assert sums[1].tolist() == [v.grad, w.grad]


def test_traced_functions_have_the_bits_of_the_graph():
    leaves = new_leaves()
    x, y, _v, _w = leaves
    value, grads = mg.jit(graph).value_and_grad(0.4, -0.7, 0.3, -1.1)
    x.data, y.data = 0.4, -0.7
    out = graph(*leaves)
    out.backward()
    assert value == out.data
    assert list(grads) == [leaf.grad for leaf in leaves]


def same_without_operations(x, y, v, w):
    hidden = [(a * x + b * y + v).atan() for a, b in ((w, 0.5), (0.3, w), (v, v))]
    total = hidden[0] * w + hidden[1] * v + hidden[2] * 0.7 + x
    return total * total * hidden[1] + x * x * x * w * w * v + w.sin() + hidden[0].atan()


def smooth(x, y, v, w):
    atan = custom_op(math.atan, reciprocal, lambda x: -2.0 * x * reciprocal(x) ** 2)
    hidden = [atan(a * x + b * y + v) for a, b in ((w, 0.5), (0.3, w), (v, v))]
    total = hidden[0] * w + hidden[1] * v + hidden[2] * 0.7 + x
    return power(total, hidden[1]) + power(x, x) * power(w, v) + sine(w) + atan(hidden[0])


@pytest.mark.parametrize("wrt", ["inputs", "parameters", "both"])
def test_derivatives_of_each_kind_are_those_of_the_engine_s_own_operations(rows, wrt):
    leaves = new_leaves()
    x, y, v, w = leaves
    by = [x, w, v] if wrt == "both" else wrt
    own, custom = (
        compile(f(*leaves), [x, y], parameters=[v, w]) for f in (same_without_operations, smooth)
    )
    n = 3 if wrt == "both" else 2
    vector = np.arange(1.0, n + 1.0)
    for method, arguments in (
        ("jacobian", ()),
        ("jvp", (vector,)),
        ("vjp", (np.ones(N_ROWS),)),
        ("hvp", (vector,)),
        ("hessian", ()),
    ):
        wanted, found = (
            getattr(program, method)(*arguments, rows, wrt=by) for program in (own, custom)
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12, err_msg=method)


def test_second_derivatives_that_were_not_given_are_an_error_where_they_count():
    x, y, v, _w = new_leaves()
    program = compile(arctan(x) + y * y * v, [x, y])
    with pytest.raises(NotImplementedError, match="row 0: atan must have a second_derivative"):
        program.hessian([[1.0, 2.0]])
    assert program.hvp([0.0, 1.0], [[1.0, 2.0]]).tolist() == [[0.0, 0.6]]
    assert program.jvp([1.0, 0.0], [1.0, 2.0]) == 0.5
    # It counts where the gradient is 0, too.
    program = compile(arctan(x) * v + y, [x, y])
    v.data = 0.0
    with pytest.raises(NotImplementedError, match="atan must have a second_derivative"):
        program.hessian([1.0, 2.0])


def test_steps_that_no_input_reaches_are_computed_once():
    x, _, _, w = new_leaves()
    calls = []
    op = custom_op(lambda a: calls.append(a) or a, lambda a: 1.0)
    program = compile(x * op(w) + x, [x])
    calls.clear()
    program(np.ones((200, 1)))
    assert calls == [w.data]


def test_vectorized_functions_get_columns(rows):
    x, y, v, _ = new_leaves()
    shapes = []

    def forward(a, b):
        shapes.append((a.shape, b.shape))
        a[:] += b  # their own
        return a

    op = custom_op(forward, lambda a, b: (1.0, 1), vectorized=True, name="op")
    program = compile(op(x, v) * y + x, [x, y])
    shapes.clear()
    values, grads = program.value_and_grad(rows)
    assert values.tolist() == [(a + v.data) * b + a for a, b in rows.tolist()]
    assert grads[:, 0].tolist() == [b + 1.0 for b in rows[:, 1].tolist()]
    assert sum(n for (n,), _ in shapes) == N_ROWS
    assert len(shapes) <= 4


def test_exceptions_come_through_with_the_row():
    x, _, v, w = new_leaves()
    x.data = 2.0
    program = compile((x - 1.0).log() + log(x) * w, [x])
    with pytest.raises(ValueError, match=r"^math domain error$"):
        compile(log(x), [x])([-1.0])
    with pytest.raises(ValueError, match=r"^row 70: math domain error$"):
        compile(log(x), [x])(np.concatenate([np.ones(70), [-1.0], [-2.0]])[:, None])
    # The graph's order says what fails first in a row.
    with pytest.raises(ValueError, match=r"^row 1: log of -2.0"):
        program([[2.0], [-1.0]])
    v.grad = 2.0
    program = compile(log(x) * v, [x])
    with pytest.raises(ValueError, match=r"^row 66: math domain error$"):
        program.backward([[1.0]] * 66 + [[0.0]])
    assert v.grad == 2.0
    assert program([[1.0]]).tolist() == [0.0]


class OfTheUser(Exception):
    pass


def test_exceptions_of_the_user_are_the_very_objects():
    x, *_ = new_leaves()
    error = OfTheUser("no", 3)

    def fail(a):
        if a > 1.0:
            raise error
        return a

    value_fails = compile(custom_op(fail, lambda a: 1.0)(x) * x, [x])
    slope_fails = compile(custom_op(lambda a: a, fail, lambda a: 0.0)(x) * x, [x])
    for call in value_fails, slope_fails.value_and_grad, slope_fails.hessian:
        with pytest.raises(OfTheUser) as raised:
            call([[0.5], [1.5], [2.5]])
        assert raised.value is error
        if hasattr(error, "add_note"):
            assert error.__notes__[-1] == "in row 1"


def test_the_first_row_fails_whichever_step_it_is_in():
    x, *_ = new_leaves()

    def below(limit):
        def slope(a):
            if a > limit:
                raise ArithmeticError(f"above {limit}")
            return 1.0

        return custom_op(lambda a: a, slope, lambda a: 0.0, name="below")

    program = compile(below(2.0)(x) * below(1.0)(x * 1.0), [x])
    for call in program.value_and_grad, program.hessian:
        with pytest.raises(ArithmeticError, match=r"^row 1: above 1.0$"):
            call([[0.0], [1.5], [3.0]])


def test_interrupts_end_the_call_at_once():
    x, _, v, _ = new_leaves()
    calls = []

    def interrupted(a):
        calls.append(a)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return a

    op = custom_op(interrupted, lambda a: 1.0, name="op")
    program = compile(op(x) * v, [x])
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        program.backward(np.ones((20, 1)))
    assert len(calls) == 5
    assert v.grad == 0.0
    calls.clear()
    slopes = compile(custom_op(lambda a: a, interrupted, lambda a: 0.0)(x) * x, [x])
    with pytest.raises(KeyboardInterrupt):
        slopes.hessian(np.ones((20, 1)))
    assert len(calls) == 5


def test_searches_go_on_where_a_function_has_no_number():
    *_, w = new_leaves()
    w.data = 1.0
    fun = compile(log(w) + w).fun([w])
    value, _grad = fun([-1.0])
    assert math.isnan(value)
    assert fun([1.0])[1].tolist() == [2.0]
    with pytest.raises(TypeError, match="must return a number"):
        compile(custom_op(lambda a: "1" if a > 1.5 else a, math.cos)(w)).fun([w])([2.0])


def test_a_function_may_call_the_program_and_drop_it():
    x, _, v, _ = new_leaves()
    depth = []

    def nested(a):
        if len(depth) < 3:
            depth.append(a)
            assert programs[0]([[a], [a + 1.0]]).tolist() == [2.0 * a, 2.0 * a + 2.0]
        if programs and a == 5.0:
            programs.clear()
            gc.collect()
        return 2.0 * a

    programs = []
    op = custom_op(nested, lambda a: 2.0)
    depth.extend([1, 2, 3])
    programs.append(compile(op(x) + v * 0.0, [x]))
    depth.clear()
    assert programs[0]([[1.0], [2.0], [3.0]]).tolist() == [2.0, 4.0, 6.0]
    assert programs[0]([[5.0], [6.0]]).tolist() == [10.0, 12.0]
    assert not programs


def test_a_function_that_calls_its_program_without_end_is_a_recursion_error():
    x, *_ = new_leaves()
    programs, calls = [], []

    def nested(a):
        calls.append(a)
        assert len(calls) < 10_000
        return programs[0]([[a], [a]])[0] if programs else a

    programs.append(compile(custom_op(nested, lambda a: 1.0)(x) * 2.0, [x]))
    with pytest.raises(RecursionError):
        programs[0]([1.0])
    programs.clear()


def test_a_function_may_change_parameters_and_make_nodes():
    x, _, v, _ = new_leaves()
    made = []

    def slope(a):
        v.data += 1.0
        made.extend(Value(1.0) * 2.0 for _ in range(2000))
        return 1.0

    program = compile(custom_op(lambda a: a, slope)(x) * v, [x])
    v.data = 1.0
    _, grads = program.value_and_grad([[1.0], [2.0]])
    assert grads.tolist() == [[1.0], [1.0]]
    assert v.data == 3.0


def test_a_function_that_keeps_writing_gradients_is_an_error():
    x, _, v, _ = new_leaves()

    def slope(a):
        v.grad += 1.0
        return 1.0

    program = compile(custom_op(lambda a: a, slope)(x * v), [x])
    with pytest.raises(RuntimeError, match="gradients of the parameters must stay what they are"):
        program.backward(np.ones((3, 1)))
    assert program([2.0]) == 2.0 * v.data


def test_threads_share_a_program(rows):
    leaves = new_leaves()
    x, y, _v, _w = leaves
    program = compile(graph(*leaves), [x, y])
    wanted = program(rows).tolist()
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(program(rows).tolist() == wanted for _ in range(3))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12


def test_programs_pickle_with_operations_that_can_be_imported():
    x, _, v, w = new_leaves()
    program = compile(power(x, v) + sine(x), [x])
    for copied in pickle.loads(pickle.dumps(program)), copy.deepcopy(program):
        assert copied([[0.5], [2.0]]).tolist() == program([[0.5], [2.0]]).tolist()
        assert copied.hessian([0.5]).tolist() == program.hessian([0.5]).tolist()
    with pytest.raises(pickle.PicklingError, match="'ln': its derivative must be importable"):
        pickle.dumps(compile(log(w + 3.0)))


def test_files_have_the_names_of_operations_alone(tmp_path):
    x, _, v, w = new_leaves()
    program = compile(power(x, v) + sine(x) + log(w + 3.0), [x])
    program.save(tmp_path / "program.npz")
    with pytest.raises(ValueError, match="custom_ops must have the operation 'power', which the"):
        mg.load_program(tmp_path / "program.npz")
    with pytest.raises(TypeError, match=r"custom_ops\['sin'\] must be a CustomOp, found ufunc"):
        mg.load_program(tmp_path / "program.npz", custom_ops={"power": power, "sin": np.sin})
    ops = {"power": power, "sin": sine, "ln": log, "unused": arctan}
    loaded = mg.load_program(tmp_path / "program.npz", custom_ops=ops)
    assert loaded([[0.5], [2.0]]).tolist() == program([[0.5], [2.0]]).tolist()
    assert loaded.tape()["function_names"] == ("power", "sin", "ln")
    with pytest.raises(ValueError, match="is not a program: damaged program: atan takes 1"):
        mg.load_program(tmp_path / "program.npz", custom_ops=ops | {"power": arctan})
    twice = compile(power(x, custom_op(math.sin, math.cos, name="power")(x)), [x])
    with pytest.raises(ValueError, match="must have names of their own to be saved"):
        twice.save(tmp_path / "twice.npz")


def test_tapes_that_make_no_sense_are_refused():
    x, *_ = new_leaves()
    program = compile(power(x, x) + power(x, 2.0), [x])
    tape = program.tape()
    names = tape["operations"]
    assert mg._core.program_of_tape(mg.Program, tape, (), (power,))([3.0]) == 45.0
    for functions in (), (arctan,), (3.0,), (power, None):
        with pytest.raises(ValueError, match=r"^damaged program"):
            mg._core.program_of_tape(mg.Program, tape, (), functions)
    at = tape["op"].index(names.index("function"))
    for number in -1.0, 0.5, 1.0, math.nan, math.inf:
        k = np.frombuffer(tape["k"]).copy()
        k[at] = number
        with pytest.raises(ValueError, match=r"^damaged program"):
            mg._core.program_of_tape(mg.Program, {**tape, "k": k.tobytes()}, (), (power,))
    for column, number in ("a", 3), ("a", 2**32 - 1), ("b", 0), ("b", 2**32 - 1):
        numbers = np.frombuffer(tape[column], "u4").copy()
        numbers[at] = number
        with pytest.raises(ValueError, match=r"^damaged program"):
            mg._core.program_of_tape(mg.Program, {**tape, column: numbers.tobytes()}, (), (power,))


def test_what_was_changed_later_is_refused():
    x, *_ = new_leaves()
    y = arctan(x)
    y.data = 3.0
    with pytest.raises(ValueError, match="was assigned after it had been computed"):
        compile(y * x, [x])
    y = arctan(x)
    y._backward = lambda: None
    with pytest.raises(ValueError, match="has a Python _backward"):
        compile(y * x, [x])
    x._backward = arctan
    with pytest.raises(ValueError, match="has a Python _backward"):
        compile(x * 2.0)


def test_choices_and_operations_share_leaves():
    table = [[Value(0.5), Value(1.5)], [Value(-0.5), Value(2.5)]]
    index, x = mg.Index(0), Value(0.0)
    flat = [leaf for row in table for leaf in row]

    def build(index, x, flat):
        rows = [flat[:2], flat[2:]]
        chosen = mg.take(rows, index)
        return power(chosen[0], flat[1]) + arctan(flat[0] * chosen[1] + x) * flat[3]

    program = compile(build(index, x, flat), [index, x], parameters=flat)
    rows = [[0.0, 0.5], [1.0, -0.5], [1.0, 2.0]]
    grads = program.parameter_grads(rows).tolist()
    for (i, number), grad in zip(rows, grads, strict=True):
        own = [Value(leaf.data) for leaf in flat]
        build(mg.Index(int(i)), Value(number), own).backward()
        assert [leaf.grad for leaf in own] == grad


def test_second_derivatives_are_checked():
    assert mg.gradcheck(lambda a, b: power(a, sine(b)), (0.7, 0.4))
    wrong = custom_op(square_times, its_slopes, lambda a, b: ((b, a), (a, 0.0)))
    with pytest.raises(mg.checking.GradientError, match=r"the derivative of the derivative"):
        mg.gradcheck(wrong, (0.7, 0.4))
