"""Conditions and choices: the branch that is not taken has no part in anything."""

import math
import random

import numpy as np
import pytest
from random_choices import (
    EVERYWHERE,
    FALLIBLE,
    check_bits,
    evaluate,
    outcome,
    random_expression,
    random_rows,
)

import micrograd_fast as mg
from micrograd_fast import MLP, Value, compile, jit, where

NUMBERS = [-1.0, -0.0, 0.0, 1.0, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize(
    ("function", "holds"),
    [
        (mg.less, lambda a, b: a < b),
        (mg.less_equal, lambda a, b: a <= b),
        (mg.greater, lambda a, b: a > b),
        (mg.greater_equal, lambda a, b: a >= b),
        (mg.equal, lambda a, b: a == b),
        (mg.logical_and, lambda a, b: bool(a) and bool(b)),
        (mg.logical_or, lambda a, b: bool(a) or bool(b)),
    ],
)
def test_conditions_are_what_python_says_of_the_numbers(engine, function, holds):
    for a in NUMBERS:
        for b in NUMBERS:
            wanted = float(holds(a, b))
            x, y = engine.Value(a), engine.Value(b)
            for condition in (function(x, y), function(x, b), function(a, y)):
                assert condition.data == wanted
                condition.backward()
            assert math.copysign(1.0, x.grad) == 1.0
            assert x.grad == y.grad == 0.0


def test_logical_not_turns_a_condition_round(engine):
    assert [mg.logical_not(engine.Value(a)).data for a in NUMBERS] == [0, 1, 1, 0, 0, 0, 0]


def test_values_still_have_no_order(engine):
    with pytest.raises(TypeError, match="'<' not supported"):
        engine.Value(1.0) < 2.0  # noqa: B015


@pytest.mark.parametrize("chosen", NUMBERS)
@pytest.mark.parametrize("other", NUMBERS)
def test_where_gives_the_bits_of_the_branch_that_is_taken(engine, chosen, other):
    for condition in (1.0, engine.Value(2.0)):
        a, b = engine.Value(chosen), engine.Value(other)
        out = where(condition, a, b) if isinstance(condition, engine.Value) else None
        out = out or where(engine.Value(condition), a, b)
        assert float.hex(out.data) == float.hex(chosen)
        out = where(mg.logical_not(engine.Value(3.0)), b, a)
        assert float.hex(out.data) == float.hex(chosen)


def test_the_gradient_goes_to_the_branch_that_is_taken(engine):
    for x0, slope in ((-3.0, -6.0), (3.0, 1.0)):
        x = engine.Value(x0)
        out = where(mg.less(x, 0.0), x * x, x)
        out.backward()
        assert (out.data, x.grad) == (x0 * x0 if x0 < 0 else x0, slope)


def test_what_only_the_other_branch_needs_cannot_fail_and_adds_nothing(engine):
    x, w = engine.Value(0.0), engine.Value(-0.0)
    w.grad = x.grad = -0.0
    root = x.sqrt()  # no slope at 0
    huge = (x + 1e-308) ** -1.0 * 1e308 * 1e308  # infinite, and so is its slope
    inner = where(mg.less(x, 1.0), root * w, huge * w)
    out = where(mg.less(x, -1.0), inner, w * 2.0) + w
    out.backward()
    assert out.data == 0.0
    assert w.grad == 3.0
    assert float.hex(x.grad) == float.hex(-0.0)
    assert root.grad == inner.grad == 0.0
    # What both branches need is gone through once, by the one that is taken.
    y = engine.Value(2.0)
    square = y * y
    where(mg.less(y, 1.0), square.log(), square * 3.0).backward()
    assert (square.grad, y.grad) == (3.0, 12.0)


def test_an_operand_assigned_later_decides_when_backward_runs(engine):
    c, a, b = engine.Value(1.0), engine.Value(2.0), engine.Value(3.0)
    out = where(c, a * 5.0, b * 7.0)
    c.data = 0.0
    out._children[1]._children[1].data = 1.0
    out.backward()
    assert (a.grad, b.grad) == (0.0, 7.0)


def random_choices(engine, seed):
    """A graph of nested choices, some of whose other branches have no slope."""
    rng = random.Random(seed)
    leaves = [engine.Value(rng.choice([0.0, rng.uniform(-2.0, 2.0)])) for _ in range(4)]
    nodes = list(leaves)
    for _ in range(40):
        a, b, c = (rng.choice(nodes) for _ in range(3))
        kind = rng.randrange(6)
        if kind < 3:
            condition = rng.choice([mg.less, mg.less_equal, mg.equal])(c, rng.uniform(-1.0, 1.0))
            nodes.append(where(condition, a.abs().sqrt() * b, b))
        else:
            nodes.append([a * b, a + b, (a * 0.5).tanh()][kind - 3])
    return leaves, nodes


def test_random_choices_have_the_bits_of_the_reference(compiled, reference):
    n_closed = n_failed = 0
    for seed in range(200):
        seen = []
        for engine in (compiled, reference):
            leaves, nodes = random_choices(engine, seed)
            try:
                nodes[-1].backward()
                failed = None
            except ZeroDivisionError:
                failed = "ZeroDivisionError"
            seen.append((failed, [(n.data.hex(), n.grad.hex()) for n in (*leaves, *nodes)]))
        assert seen[0] == seen[1], seed
        n_failed += seen[0][0] is not None
        halves = [half for n in nodes for half in n._children if half._op == "keep"]
        n_closed += any(half._children[1].data == 0.0 for half in halves)
    assert 0 < n_failed < 150
    assert n_closed > 100


def test_neurons_of_the_other_branch_are_left_out(layer_engine):
    random.seed(1)
    model = layer_engine.nn.MLP(2, [4, 3], activation="tanh")
    x = layer_engine.Value(0.5)
    first, second, third = model([x, -1.0])
    out = where(mg.less(x, 0.0), first * second, third)
    out.backward()
    assert first.grad == second.grad == 0.0
    rows = model.layers[1].neurons
    assert all(p.grad == 0.0 for neuron in rows[:2] for p in neuron.parameters())
    assert any(p.grad != 0.0 for p in rows[2].parameters())
    assert any(p.grad != 0.0 for p in model.layers[0].parameters())


def test_rows_of_a_program_choose_for_themselves():
    w = Value(2.0)
    jitted = jit(lambda x: where(mg.greater(x, 0.0), w * x, w * w * x), frozen_reads="error")
    rows = np.array([1.0, -1.0, 0.0, 3.0])
    wanted, slopes = [], []
    for x0 in rows:
        x = Value(x0)
        w.grad = 0.0
        out = where(mg.greater(x, 0.0), w * x, w * w * x)
        out.backward()
        wanted.append(out.data)
        slopes.append((x.grad, w.grad))
        assert jitted(x0) == out.data
        assert jitted.value_and_grad(x0)[1] == x.grad
    assert jitted.batch(rows).tolist() == wanted
    program = jitted.program(1.0)
    values, by_x = program.value_and_grad(rows[:, None])
    assert values.tolist() == wanted
    assert by_x.ravel().tolist() == [slope for slope, _ in slopes]
    assert program.parameter_grads(rows[:, None]).ravel().tolist() == [
        slope for _, slope in slopes
    ]


def test_a_branch_that_a_row_of_a_program_does_not_take_has_values_that_cannot_fail():
    x = Value(0.5)
    branches = [x.log(), x**-1, x.sqrt(), (x * 1000.0).exp(), (1.0 + x.log()) ** 0.5]
    holds = [mg.greater(x, 0.0), mg.less(x, 0.0), mg.greater(x, 0.5), mg.less(x, 0.5)]
    holds.append(mg.logical_and(mg.greater(x, 1.0), mg.less(x, 9.0)))
    rng = random.Random(3)
    column = [rng.choice([0.0, -1.0, 1.0, 2.0, 1000.0]) for _ in range(700)]  # several strips
    for condition, branch in zip(holds, branches, strict=True):
        program = compile(where(condition, branch, x * 3.0), [x])
        failing = compile(branch, [x])
        taken = compile(condition, [x])
        wanted = [failing([x0]) if taken([x0]) else x0 * 3.0 for x0 in column]
        assert [y.hex() for y in program([[x0] for x0 in column]).tolist()] == [
            y.hex() for y in wanted
        ]
        assert [program([x0]).hex() for x0 in column] == [y.hex() for y in wanted]


def test_a_branch_that_is_taken_fails_in_the_first_row_that_takes_it():
    x = Value(25.0)
    inner = where(mg.greater(x, 10.0), (x - 20.0).log(), x * 2.0)
    program = compile(where(mg.greater(x, 0.0), inner, x.exp()), [x])
    rows = [[-1.0]] * 300 + [[21.0], [1.0], [15.0], [12.0]]
    assert program(rows[:302]).tolist() == [math.exp(-1.0)] * 300 + [0.0, 2.0]
    with pytest.raises(ValueError, match=r"row 302: log of -5\.0"):
        program(rows)
    shared = x.log()
    program = compile(where(mg.less(x, 0.0), x * 1.0, shared) + 0.0 * shared, [x])
    with pytest.raises(ValueError, match=r"row 1: log of -1\.0"):
        program([[1.0], [-1.0]])
    with pytest.raises(ValueError, match=r"log of -1\.0"):  # a condition is needed itself
        compile(where(mg.less(x.log(), 0.0), x, x * 2.0), [x])([-1.0])


def test_what_no_input_reaches_fails_in_whichever_row_takes_it():
    x, w = Value(1.0), Value(1.0)
    program = compile(where(mg.greater(x, 0.0), w.log(), x), [x])
    w.data = -1.0
    assert program([[-1.0]] * 1000).tolist() == [-1.0] * 1000
    with pytest.raises(ValueError, match=r"row 900: log of -1\.0"):
        program([[-1.0]] * 900 + [[1.0]] * 100)


def test_an_index_in_a_branch_that_is_not_taken_may_be_out_of_range():
    x, i = Value(1.0), Value(0.0)
    table = [x.log(), x * 2.0]
    program = compile(where(mg.less(i, 2.0), mg.take(table, i), x), [x, i])
    assert program([[-1.0, 2.0], [1.0, 0.0], [-3.0, 1.0]]).tolist() == [-1.0, 0.0, -6.0]
    with pytest.raises(IndexError, match="row 1"):
        program([[1.0, 2.0], [1.0, -1.0]])
    with pytest.raises(ValueError, match=r"row 2: log of -2\.0"):
        program([[-1.0, 2.0], [1.0, 0.0], [-2.0, 0.0]])


def test_derivatives_of_programs_with_choices_have_the_bits_of_the_graph():
    seen = [check_bits(seed) for seed in range(120)]
    assert 10 < seen.count("fails") < 60
    assert seen.count("infinite") > 5


def test_derivatives_of_a_row_are_those_of_what_its_choices_lead_to():
    n_failed = n_right = 0
    unary = FALLIBLE | EVERYWHERE
    del unary["huge"]
    for seed in range(150):
        rng = random.Random(seed)
        instructions = random_expression(rng, 4, unary)
        rows = random_rows(rng, rng.choice([1, 3, 70]), 2)
        weights = [Value(rng.uniform(0.1, 2.0)) for _ in range(2)]
        whole = None
        while whole is None:  # a row in which no branch fails, to record the graph from
            inputs = [Value(rng.uniform(0.01, 2.0)) for _ in range(2)]
            start = [rng.uniform(0.1, 2.0) for _ in range(2)]
            for w, data in zip(weights, start, strict=True):
                w.data = data
            leaves = [*inputs, *weights]
            whole, _ = outcome(lambda: evaluate(leaves, instructions, unary, whole=True))
            if whole is None and rng.random() < 0.02:
                break
        if whole is None:
            continue
        program = compile([whole, whole * whole], inputs, parameters=weights)
        single = compile(whole, inputs, parameters=weights)
        direction = np.array([0.5, -1.5])

        def one_row(row, weights=weights, instructions=instructions, direction=direction):
            inputs = [Value(x) for x in row]
            root = evaluate([*inputs, *weights], instructions, unary, whole=False)
            taken = compile(root, inputs, parameters=weights)
            value, by_inputs = taken.value_and_grad([row])
            return [
                value,
                by_inputs,
                taken.parameter_grads([row]),
                taken.hvp(direction, [row]),
                taken.hvp(direction, [row], wrt="parameters"),
                taken.jvp(direction, [row]),
            ]

        wanted, failed = outcome(lambda rows=rows, one_row=one_row: [one_row(row) for row in rows])
        calls = [
            lambda: single(rows),
            lambda: single.value_and_grad(rows)[1],
            lambda: single.parameter_grads(rows),
            lambda: single.hvp(direction, rows),
            lambda: single.hvp(direction, rows, wrt="parameters"),
            lambda: single.jvp(direction, rows),
        ]
        found = [outcome(call) for call in calls]
        if failed:
            n_failed += 1
            assert any(error is not None for _, error in found), seed
            continue
        n_right += 1
        for i, (numbers, error) in enumerate(found):
            assert error is None, (seed, i)
            if i == 4:
                rows_of = np.mean([np.asarray(row[i]).ravel() for row in wanted], axis=0)
                numbers = np.asarray(numbers).ravel()
            else:
                rows_of = [np.asarray(row[i]).ravel() for row in wanted]
                numbers = np.asarray(numbers).reshape(len(rows), -1)
            np.testing.assert_allclose(numbers, rows_of, rtol=1e-9, atol=1e-300, err_msg=str(seed))
        by_inputs = program.jacobian(rows)[:, 0]
        np.testing.assert_allclose(by_inputs, found[1][0], rtol=1e-9, err_msg=str(seed))
    assert n_failed > 10
    assert n_right > 40


def test_an_infinite_branch_that_is_not_taken_adds_no_nan():
    x, w = Value(1.0), Value(2.0)
    infinite = (x * 1e200 * 1e200) * (x * 0.0) * w
    program = compile(where(mg.less(x, 1e300), w * x * x, infinite), [x])
    rows = [[1.0]] * 100
    assert program.value_and_grad(rows)[1].tolist() == [[4.0]] * 100
    assert program.parameter_grads(rows).tolist() == [[1.0]] * 100
    assert program.hessian([3.0]).tolist() == [[4.0]]
    program.backward([1.0])
    assert w.grad == 1.0


def test_what_no_input_reaches_spoils_no_derivative_of_a_row_that_does_not_take_it():
    x, w = Value(1.0), Value(1.0)
    program = compile(where(mg.greater(x, 0.0), w.log() * x, x * x), [x])
    w.data = -1.0
    rows = [[-1.0]] * 200
    assert program.value_and_grad(rows)[1].tolist() == [[-2.0]] * 200
    assert program.hvp([1.0], rows).tolist() == [[2.0]] * 200
    assert program.jvp([1.0], rows).tolist() == [-2.0] * 200
    with pytest.raises(ValueError, match=r"row 150: log of -1\.0"):
        program.value_and_grad([*rows[:150], [1.0]])


def test_a_failing_slope_of_a_branch_that_is_taken_names_its_row():
    x, w = Value(1.0), Value(1.0)
    program = compile(where(mg.less(x, 1.0), x.sqrt() * w, x.log() * w), [x])
    rows = [[0.25], [2.0], [0.0], [3.0]]
    assert program(rows)[2] == 0.0
    for call in (program.value_and_grad, program.backward, program.hessian):
        with pytest.raises(ZeroDivisionError, match="row 2"):
            call(rows)
    assert w.grad == 0.0


def test_candidates_that_are_not_chosen_spoil_no_derivative():
    x, i = Value(1.0), Value(0.0)
    program = compile(mg.take([x.log(), x.sqrt(), x * x], i), [x, i])
    rows = [[-3.0, 2.0], [0.0, 2.0], [4.0, 1.0], [2.0, 0.0]] * 30
    gradients = program.value_and_grad(rows)[1]
    assert gradients.tolist() == [[-6.0, 0.0], [0.0, 0.0], [0.25, 0.0], [0.5, 0.0]] * 30
    assert program.hvp([1.0, 0.0], rows)[:, 0].tolist() == [2.0, 2.0, -0.03125, -0.25] * 30


def test_an_operation_of_functions_is_called_only_in_rows_that_take_its_branch():
    seen = []

    def log(x):
        seen.append(x)
        return math.log(x)

    custom_log = mg.custom_op(log, lambda x: 1.0 / x, lambda x: -1.0 / (x * x))
    x, w = Value(1.0), Value(3.0)
    program = compile(where(mg.less(0.0, x), custom_log(x) * w, x * x * w), [x])
    rows = [[-1.0], [2.0], [0.0], [4.0]] * 30
    column = [row[0] for row in rows]
    assert program(rows).tolist() == [
        math.log(x) * 3.0 if x > 0.0 else x * x * 3.0 for x in column
    ]
    gradients = program.value_and_grad(rows)[1].ravel().tolist()
    assert gradients == [1.0 / x * 3.0 if x > 0.0 else 6.0 * x for x in column]
    assert program.hvp([1.0], rows).ravel().tolist() == [
        -1.0 / (x * x) * 3.0 if x > 0.0 else 6.0 for x in column
    ]
    program.backward(rows, reduction="sum")
    assert math.isclose(w.grad, sum(math.log(x) if x > 0.0 else x * x for x in column))
    program = compile(where(mg.less(-2.0, x), custom_log(x) * w, x * x * w), [x])
    seen.clear()
    with pytest.raises(ValueError, match="row 1"):
        program.value_and_grad([[3.0], [-1.0], [-3.0]])
    assert -3.0 not in seen[-2:]


def test_a_function_for_scipy_has_the_slope_of_the_branch_that_is_taken():
    w = Value(1.0)
    fun = compile(where(mg.greater(w, 0.0), w.log(), w * 0.5), []).fun()
    values, slopes = zip(*(fun([x]) for x in (-4.0, 0.5)), strict=True)
    assert values == (-2.0, math.log(0.5))
    assert [slope.tolist() for slope in slopes] == [[0.5], [2.0]]


def test_arrays_choose_entry_by_entry():
    jitted = jit(lambda x: where(mg.less(x, 0.0), -x, x * 2.0).sum())
    value, gradient = jitted.value_and_grad(np.array([-1.0, 2.0, -3.0]))
    assert value == 8.0
    assert gradient.tolist() == [-1.0, 2.0, -1.0]
    assert where(np.array([1.0, 0.0]), Value(1.0), 2.0)[1].data == 2.0


def test_a_model_under_a_choice_learns_only_where_it_is_chosen():
    random.seed(2)
    model = MLP(1, [3, 1])
    x = Value(-1.0)
    loss = where(mg.greater(x, 0.0), model([x]) ** 2, x * x)
    loss.backward()
    assert all(p.grad == 0.0 for p in model.parameters())
    assert x.grad == -2.0


def test_what_is_no_number_is_refused():
    for wrong in ("1", None, [1.0]):
        with pytest.raises(TypeError, match="an operand must be a real number, found"):
            where(wrong, Value(1.0), 2.0)
