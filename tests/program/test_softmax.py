"""Frozen softmaxes: each row has its own largest logit, as a graph built for the row has."""

import math
import random

import numpy as np
import pytest
from frozen import all_bits, expect_the_bits_of_eager, rows_for

import micrograd_fast
from micrograd_fast import MLP, Value, compile, jit, load_program, losses

WIDTH = 4

SOFTMAXES = {
    "softmax": lambda x: micrograd_fast.dot(losses.softmax(x), [1.0, -2.0, 0.5, 3.0]),
    "log_softmax": lambda x: micrograd_fast.dot(losses.log_softmax(x), [0.25, 0.5, -1.0, 2.0]),
    "cross_entropy": lambda x: losses.cross_entropy(x, 2),
    "cross_entropy of two rows": lambda x: losses.cross_entropy([x[:3], x[1:]], [0, 2]),
}


def far_rows():
    """Rows whose largest logit is in any column, thousands above or below the others."""
    rng = random.Random(6)
    rows = [[0.0] * WIDTH, [-0.0] * WIDTH, [1000.0] * WIDTH, [-1000.0] * WIDTH]
    for column in range(WIDTH):
        for sign in (1000.0, -1000.0):
            rows.append([sign * (i == column) for i in range(WIDTH)])
            rows.append([rng.gauss(-sign, 1.0) for _ in range(WIDTH)])
            rows[-1][column] = rng.gauss(sign, 1.0)
    return np.array(rows)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_rows_far_from_the_frozen_point_have_the_bits_of_eager(name, instruction_set):
    x = [Value(0.1 * i) for i in range(WIDTH)]
    program = compile(SOFTMAXES[name](x), x)
    rows = far_rows()
    expect_the_bits_of_eager(program, SOFTMAXES[name], rows)
    for row in rows:
        expect_the_bits_of_eager(program, SOFTMAXES[name], [row])
    values, gradients = program.value_and_grad(rows)
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
    assert len(set(values.tolist())) > 5


@pytest.mark.parametrize("name", SOFTMAXES)
@pytest.mark.parametrize("start", [0.0, -0.0, 0.125])
def test_weights_below_the_logits_get_the_bits_of_eager(name, start, instruction_set):
    random.seed(8)
    model = MLP(3, [8, WIDTH])
    scale, shift = Value(1.5), Value(0.25)

    def graph(x):
        return SOFTMAXES[name]([logit * scale + shift for logit in model(x)])

    x = [Value(0.5), Value(-1.0), Value(0.25)]
    program = compile(graph(x), x)
    rows = rows_for(program, 70) * np.logspace(-2, 4, 70)[:, None]
    expect_the_bits_of_eager(program, graph, rows, start=start)
    expect_the_bits_of_eager(program, graph, rows[:1], start=start)
    assert any(p.grad != start for p in program.parameters)


def test_a_nan_is_in_its_row_alone():
    x = [Value(0.0) for _ in range(WIDTH)]
    program = compile(SOFTMAXES["log_softmax"](x), x)
    rows = far_rows()
    before = program(rows)
    rows[3, 1] = math.nan
    after = program(rows)
    assert math.isnan(after[3])
    assert all_bits(np.delete(after, 3)) == all_bits(np.delete(before, 3))


def test_a_saved_program_has_the_largest_logit_of_each_row(tmp_path):
    x = [Value(0.1 * i) for i in range(WIDTH)]
    program = compile(SOFTMAXES["log_softmax"](x), x)
    program.save(tmp_path / "program.npz")
    loaded = load_program(tmp_path / "program.npz")
    for found, wanted in zip(
        loaded.value_and_grad(far_rows()), program.value_and_grad(far_rows()), strict=True
    ):
        assert all_bits(found) == all_bits(wanted)


@pytest.mark.parametrize("name", SOFTMAXES)
def test_no_number_is_read_while_a_softmax_is_traced(name):
    frozen = jit(lambda *logits: SOFTMAXES[name](list(logits)), frozen_reads="error")
    assert frozen.program(1.0, 2.0, 3.0, 4.0).frozen_reads == []
    for row in far_rows():
        eager = SOFTMAXES[name]([Value(number) for number in row])
        assert all_bits(frozen(*row)) == all_bits(eager.data)


@pytest.mark.parametrize("start", [-0.0, 0.0, 2.0])
def test_what_is_detached_gets_nothing_but_a_zero(start, instruction_set):
    """Which is added, as in a graph: a gradient of -0.0 becomes 0.0, whatever came back."""
    w, v = Value(2.0), Value(3.0)

    def graph(x):
        return (w * x[0]).detach() * x[1] + v.detach() * x[1] * x[1] + x[2].detach()

    x = [Value(0.5), Value(1.0), Value(4.0)]
    program = compile(graph(x), x)
    rows = rows_for(program, 9)
    rows[1:4, 1] = math.inf, -math.inf, math.nan
    expect_the_bits_of_eager(program, graph, rows, start=start)
    assert all_bits([w.grad, v.grad]) == all_bits([start + 0.0] * 2)
    gradients = program.value_and_grad(rows)[1]
    assert all_bits(gradients[:, [0, 2]]) == all_bits(np.zeros((9, 2)))
