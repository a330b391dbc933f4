"""Conditions and choices: the branch that is not taken has no part in anything."""

import math
import random

import numpy as np
import pytest

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


def test_a_slope_needs_a_value_of_both_branches_in_a_program():
    x = Value(1.0)
    program = compile(where(mg.greater(x, 0.0), x.log(), x * 0.0), [x])
    with pytest.raises(ValueError, match=r"log of -1\.0"):
        program.value_and_grad([[1.0], [-1.0]])


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
