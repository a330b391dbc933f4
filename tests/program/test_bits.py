"""Frozen programs: the bits of the graph, row by row."""

import math
import random

import numpy as np
import pytest
from frozen import (
    Case,
    added_in_order,
    all_bits,
    by_inputs,
    expect_the_bits_of_eager,
    expect_the_bits_of_the_case,
    moons_loss,
    rows_for,
)
from support import bits

import micrograd_fast
from micrograd_fast import MLP, Layer, Value, compile, losses

BATCHES = [0, 1, 7, 8, 9]


# The bits of the graph ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [*BATCHES, 70])
def test_random_graphs_have_the_bits_of_eager(compiled, n_rows, instruction_set):
    for seed in range(40):
        case = Case(compiled, seed, random.Random(seed).randint(5, 120), n_rows)
        expect_the_bits_of_the_case(
            compile(case.output(), case.input_values()), case, f"seed {seed}"
        )


def test_single_rows_add_to_gradients_wherever_the_parameters_are(compiled, instruction_set):
    """Among them neighbours in another order, numbers in between, and one that is used twice."""
    rng = random.Random(7)
    weights = [Value(rng.gauss(0, 1)) for _ in range(6 * 17)]
    rng.shuffle(weights)
    for place in (3, 20, 21, 40):
        weights[place] = rng.gauss(0, 1)
    weights[60] = weights[70]
    parameters = [w for w in weights if isinstance(w, Value)]

    def loss(x):
        sums = []
        for first in range(0, len(weights), 17):
            *w, b = weights[first : first + 17]
            sums.append(sum((wi * xi for wi, xi in zip(w, x, strict=True)), b))
        return micrograd_fast.sum([s * s * weights[5] for s in sums])

    x = [Value(rng.gauss(0, 1)) for _ in range(16)]
    program = compile(loss(x), x)
    assert program.stats()["blocks"] > 0
    for p in parameters:
        p.grad = rng.choice([0.0, rng.gauss(0, 1)])
    before = [p.grad for p in parameters]
    for row in rows_for(program, 3):
        value = program.backward(row)
        found = [p.grad for p in parameters]
        for p, gradient in zip(parameters, before, strict=True):
            p.grad = gradient
        wanted = loss([Value(number) for number in row])
        wanted.backward()
        assert bits(value) == bits(wanted.data)
        assert all_bits(found) == all_bits([p.grad for p in parameters])
        assert found != before
        before = found


def test_a_thousand_rows_have_the_bits_of_eager(compiled, instruction_set):
    case = Case(compiled, 5, 60, 1000)
    program = compile(case.output(), case.input_values())
    gradients = case.gradients()
    wanted = [case.eager(row, gradients) for row in case.rows]
    values, input_gradients = program.value_and_grad(case.rows, by_inputs(program))
    assert all_bits(values) == all_bits([value for value, _ in wanted])
    assert all_bits(input_gradients) == all_bits([grads for _, grads in wanted])
    total = program.backward(case.rows, "sum")
    assert bits(total) == bits(added_in_order(value for value, _ in wanted))
    assert all_bits(list(case.gradients().values())) == all_bits(list(gradients.values()))
    assert len(set(gradients.values())) > 1


def test_gradients_of_each_row_have_the_bits_of_eager(compiled):
    for seed in range(60):
        case = Case(compiled, seed, 60, 9)
        program = compile(case.output(), case.input_values())
        places = {id(case.nodes[i]): i for i in case.parameters}
        grads = program.parameter_grads(case.rows)
        assert grads.shape == (9, len(program.parameters))
        for row, found in zip(case.rows, grads, strict=True):
            wanted = dict.fromkeys(case.parameters, 0.0)
            case.eager(row, wanted)
            assert all_bits(found) == all_bits([wanted[places[id(p)]] for p in program.parameters])


@pytest.mark.parametrize("n_rows", [*BATCHES, 100, 1000])
def test_a_network_has_the_bits_of_eager(n_rows, instruction_set):
    loss, inputs, model = moons_loss()
    program = compile(loss, inputs)
    assert program.stats()["sums"] == 33
    assert program.stats()["blocks"] == 3
    expect_the_bits_of_eager(
        program,
        lambda x: (1 - x[2] * model(x[:2])).relu(),
        rows_for(program, n_rows),
        start=0.125,
    )


@pytest.mark.parametrize("n_rows", [1, 40])
def test_gradients_of_each_row_of_a_network_have_the_bits_of_eager(n_rows, instruction_set):
    """Alone, and in a batch; with margins that are kept, whose shares are zeros of either sign."""
    loss, inputs, model = moons_loss()
    program = compile(loss, inputs)
    rows = 2.0 * rows_for(program, n_rows, seed=3)
    n_kept = 0
    for row, found in zip(rows, program.parameter_grads(rows), strict=True):
        model.zero_grad()
        output = (1 - row[2] * model(row[:2])).relu()
        output.backward()
        wanted = all_bits([p.grad for p in program.parameters])
        n_kept += output.data == 0.0
        model.zero_grad()
        assert all_bits(found) == wanted
        assert all_bits(program.parameter_grads(row)) == wanted
        assert all_bits(program.value_and_parameter_grad(row)[1]) == wanted
        assert {p.grad for p in program.parameters} == {0.0}
    assert n_rows == 1 or 0 < n_kept < n_rows


NETWORKS = [
    (1, [1], "relu"),
    (1, [3, 1, 2], "tanh"),
    (5, [7, 9, 3], "sigmoid"),
    (33, [17, 9], "relu"),
    (8, [64, 8, 1], "silu"),
]


@pytest.mark.parametrize(("n_in", "widths", "activation"), NETWORKS)
def test_networks_of_all_shapes_have_the_bits_of_eager(n_in, widths, activation, instruction_set):
    random.seed(n_in)
    model = MLP(n_in, widths, activation=activation)

    def graph(inputs):
        outputs = model(inputs)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return micrograd_fast.sum([(out - 0.5) ** 2 for out in outputs])

    x = [Value(0.1 * i) for i in range(n_in)]
    program = compile(graph(x), x)
    rows = rows_for(program, 13)
    expect_the_bits_of_eager(program, graph, rows[:1])
    expect_the_bits_of_eager(program, graph, rows)


def test_sums_written_by_hand_are_found(instruction_set):
    rng = random.Random(4)
    weights = [[Value(rng.uniform(-1, 1)) for _ in range(8)] for _ in range(9)]

    def graph(x):
        hidden = [sum(wi * xi for wi, xi in zip(w, x)).tanh() for w in weights[:-1]]
        return micrograd_fast.dot(weights[-1], hidden)

    x = [Value(rng.random()) for _ in range(8)]
    program = compile(graph(x), x)
    stats = program.stats()
    assert (stats["sums"], stats["blocks"], stats["steps"]) == (8, 1, 8 + 2 * 8)
    for n_rows in (1, 9):
        expect_the_bits_of_eager(program, graph, rows_for(program, n_rows))


def test_shares_keep_their_order_where_sums_meet_other_uses():
    """Inputs of sums that are used before, between and after the sums' own products."""
    n_sums = 0
    for seed in range(150):
        rng = random.Random(seed)
        width = rng.randint(8, 12)
        weights = [[Value(rng.uniform(-1, 1)) for _ in range(width + 1)] for _ in range(8)]

        def graph(x, weights=weights, seed=seed, width=width):
            rng = random.Random(seed)
            nodes = list(x)
            for layer in range(4):
                chosen = rng.sample(nodes, width) if rng.random() < 0.8 else nodes[:width]
                for row in weights[2 * layer : 2 * layer + 2]:
                    total = row[-1] if rng.random() < 0.7 else rng.choice(nodes)
                    for wi, xi in zip(row, chosen):
                        total = total + (wi * xi if rng.random() < 0.9 else xi * wi)
                    nodes.append(rng.choice([total.tanh, total.relu])())
                nodes.append(rng.choice(nodes) * rng.choice(nodes))
            return micrograd_fast.sum(nodes)

        x = [Value(rng.uniform(-1, 1)) for _ in range(width)]
        program = compile(graph(x), x)
        n_sums += program.stats()["sums"]
        for n_rows in (1, 9):
            rows = np.array([[rng.uniform(-1, 1) for _ in x] for _ in range(n_rows)])
            expect_the_bits_of_eager(program, graph, rows, where=f"seed {seed}")
    assert n_sums > 500


def test_a_shared_weight_gets_its_shares_in_order(instruction_set):
    random.seed(3)
    model = MLP(4, [8, 8, 1])
    model.layers[1].neurons[2].w[3] = model.layers[1].neurons[5].w[1]

    def graph(x):
        once = model(x)
        twice = model([once, *x[1:]])
        return twice + 0.01 * micrograd_fast.sum([p * p for p in model.parameters()])

    x = [Value(0.5) for _ in range(4)]
    program = compile(graph(x), x)
    for n_rows in (1, 9):
        expect_the_bits_of_eager(program, graph, rows_for(program, n_rows), start=-0.5)


@pytest.mark.parametrize("shared", [1, 18])
def test_neighbours_of_a_shared_weight_get_their_shares_too(shared):
    """A shared weight has its block add up another way than the one next to it."""
    random.seed(2)
    layer = Layer(16, 2)
    layer([0.0] * 16)  # from here on its weights are neighbours in memory
    weights = layer.parameters()

    def weighted(w, x, b):
        return sum((wi * xi for wi, xi in zip(w, x, strict=True)), b)

    def graph(x):
        first = weighted(weights[:16], x, weights[16])
        second = weighted(weights[17:33], [first, *x[1:]], weights[33])
        return first + second * weights[shared]

    x = [Value(0.1) for _ in range(16)]
    program = compile(graph(x), x)
    assert program.stats()["blocks"] == 2
    expect_the_bits_of_eager(program, graph, rows_for(program, 9), start=0.25)


def test_a_whole_batch_in_one_graph_is_a_program_without_inputs():
    random.seed(3)
    model = MLP(2, [8, 8, 1])
    points = np.random.default_rng(1).normal(size=(11, 2)).tolist()

    def graph(_):
        scores = [model(point) for point in points]
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        return losses.hinge_loss(scores, [1, -1, *[1] * 9]) + penalty

    program = compile(graph([]))
    assert program.stats()["blocks"] > 20
    expect_the_bits_of_eager(program, graph, [[]])
    assert program() == graph([]).data


@pytest.mark.parametrize("wild", [False, True])
def test_what_eager_raises_is_raised_with_the_row(compiled, wild):
    n_raised = 0
    for seed in range(250):
        case = Case(compiled, seed, 40, 9, wild=wild)
        if case.failures:
            continue  # the graph that was built is not the one that its instructions say
        rng = random.Random(seed)
        rows = case.rows
        for _ in range(rng.randint(1, 4)):
            if rows.size:
                rows[rng.randrange(9), rng.randrange(rows.shape[1])] = rng.choice(
                    [0.0, -1.0, 800.0, -0.0, math.inf, math.nan]
                )
        program = compile(case.output(), case.input_values())
        gradients, wanted = case.gradients(), []
        before = dict(gradients)
        raised = None
        for number, row in enumerate(rows):
            try:
                wanted.append(case.eager(row, gradients))
            except (ArithmeticError, ValueError) as error:
                raised = (number, type(error))
                break
        if raised is None:
            total = program.backward(rows, "sum")
            assert bits(total) == bits(added_in_order(value for value, _ in wanted)), (
                f"seed {seed}"
            )
            assert all_bits(list(case.gradients().values())) == all_bits(list(gradients.values()))
            continue
        n_raised += 1
        with pytest.raises(raised[1], match=rf"^row {raised[0]}: "):
            program.backward(rows, "sum")
        assert all_bits(list(case.gradients().values())) == all_bits(list(before.values()))
        with pytest.raises(raised[1]) as single:
            program.backward(rows[raised[0]])
        assert not str(single.value).startswith("row")
    assert n_raised > 10


def test_one_bad_row_of_a_thousand_is_named():
    x, w = Value(1.0), Value(2.0)
    program = compile((w * x).log(), [x])
    rows = np.ones((1000, 1))
    rows[617] = 0.0
    for call in (program, program.value_and_grad, program.backward, program.parameter_grads):
        with pytest.raises(ValueError, match=r"^row 617: log of 0\.0 has no real value"):
            call(rows)
    assert w.grad == 0.0
    assert program.backward(np.ones((10, 1)), "sum") == pytest.approx(10 * math.log(2.0))


# Weights of rows ---------------------------------------------------------------------------------


def test_rows_start_from_their_weights(compiled):
    weights = [0.5, -2.0, 0.0, 3.25, -0.0, 1e-3]
    loss, inputs, model = moons_loss()
    program = compile(loss, inputs)
    rows = rows_for(program, 6)
    for reduction, seeds in ((weights, weights), ("mean", [1 / 6] * 6), ("sum", [1.0] * 6)):
        model.zero_grad()
        values = []
        for row, seed in zip(rows, seeds, strict=True):
            # The local gradient of a node on top hands the seed down.
            root = (1 - row[2] * model(row[:2])).relu()
            values.append(root.data)
            Value(0.0, (root,), (seed,)).backward()
        wanted = [p.grad for p in model.parameters()]
        model.zero_grad()
        total = program.backward(rows, reduction)
        assert all_bits([p.grad for p in model.parameters()]) == all_bits(wanted)
        weighted = [s * v for s, v in zip(seeds, values, strict=True)]
        assert bits(total) == bits(added_in_order(weighted))
        model.zero_grad()
        total, gradient = program.value_and_parameter_grad(rows, reduction)
        places = {id(p): i for i, p in enumerate(program.parameters)}
        assert all_bits([gradient[places[id(p)]] for p in model.parameters()]) == all_bits(wanted)
        assert {p.grad for p in model.parameters()} == {0.0}
