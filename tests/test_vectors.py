"""Compositions on lists of Values: the formulas, written out once more, and PyTorch's numbers."""

import random

import pytest
import torch

import micrograd_fast as mg
from micrograd_fast import Value, attention, embedding, jit, layer_norm, linear, rms_norm
from micrograd_fast import take as take_row


def dot(w, x):
    return sum(a * b for a, b in zip(w, x, strict=True))


def scale_of(x, eps):
    return (sum(a * a for a in x) / len(x) + eps) ** -0.5


def rms_by_hand(x, w, b):
    scale = scale_of(x, 1e-5)
    return [a * scale * v for a, v in zip(x, w, strict=True)]


def layer_by_hand(x, w, b):
    mean = sum(x) / len(x)
    centred = [a - mean for a in x]
    scale = scale_of(centred, 1e-5)
    return [c * scale * v + u for c, v, u in zip(centred, w, b, strict=True)]


def attention_by_hand(query, keys, values):
    scores = [dot(query, key) / len(query) ** 0.5 for key in keys]
    weights = mg.softmax(scores)
    return [dot(weights, column) for column in zip(*values, strict=True)]


def linear_by_hand(x, rows, b):
    return [dot(row, x) + c for row, c in zip(rows, b, strict=True)]


N = 5
CASES = {
    "linear": (linear, linear_by_hand, [N, (3, N), 3]),
    "rms_norm": (lambda x, w, b: rms_norm(x, w), rms_by_hand, [N, N, N]),
    "layer_norm": (layer_norm, layer_by_hand, [N, N, N]),
    "attention": (attention, attention_by_hand, [N, (3, N), (3, 4)]),
}


def arguments_of(make, shapes):
    rng = random.Random(7)
    return [
        [make(rng.gauss(0.0, 1.0)) for _ in range(shape)]
        if isinstance(shape, int)
        else [[make(rng.gauss(0.0, 1.0)) for _ in range(shape[1])] for _ in range(shape[0])]
        for shape in shapes
    ]


def flat(nest):
    return [x for item in nest for x in flat(item)] if isinstance(nest, list) else [nest]


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_have_the_bits_of_the_formula(engine, name):
    function, by_hand, shapes = CASES[name]
    found = []
    for compute in (function, function, by_hand):
        arguments = arguments_of(engine.Value, shapes)
        results = compute(*arguments)
        engine.sum([y * (0.3 + i) for i, y in enumerate(results)]).backward()
        numbers = [y.data for y in results] + [v.grad for v in flat(arguments)]
        found.append([number.hex() for number in numbers])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) > N


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_pytorch(name):
    function, _, shapes = CASES[name]
    x, w, b = (
        torch.tensor(numbers, dtype=torch.float64) for numbers in arguments_of(float, shapes)
    )
    wanted = {
        "linear": lambda: torch.nn.functional.linear(x, w, b),
        "rms_norm": lambda: torch.nn.functional.rms_norm(x, (N,), w, 1e-5),
        "layer_norm": lambda: torch.nn.functional.layer_norm(x, (N,), w, b),
        "attention": lambda: torch.softmax(w @ x / N**0.5, 0) @ b,
    }[name]()
    found = [y.data for y in function(*arguments_of(Value, shapes))]
    assert found == pytest.approx(wanted.tolist(), rel=1e-13)


def test_what_is_left_out_is_left_out(engine):
    x, rows = arguments_of(engine.Value, [N, (2, N)])
    assert [y.data for y in linear(x, rows)] == [dot(row, x).data for row in rows]
    assert [[y.data for y in row] for row in linear([x, x], rows)] == [
        [dot(row, x).data for row in rows]
    ] * 2
    ones = [engine.Value(1.0)] * N
    assert [y.data for y in rms_norm(x)] == [y.data for y in rms_norm(x, ones)]
    assert [y.data for y in layer_norm(x)] == [y.data for y in layer_norm(x, ones)]


def test_a_graph_is_built_without_python_s_operators():
    x, w, b = arguments_of(Value, [40, 40, 40])
    layer_norm(x, w, b)
    before = mg._core.arena_stats()["live_nodes"]
    results = layer_norm(x, w, b)
    # A leaf for each number and a node for each operation of the formula.
    assert mg._core.arena_stats()["live_nodes"] - before > 6 * 40
    del results
    assert mg._core.arena_stats()["live_nodes"] == before


def test_embedding_takes_a_row_for_each_index(engine):
    table = arguments_of(engine.Value, [(4, 3)])[0]
    assert embedding(table, [2, 0]) == [table[2], table[0]]
    rows = embedding(table, [engine.Value(2.0), 3])
    assert [y.data for y in rows[0]] == [y.data for y in take_row(table, 2)]
    assert rows[1] is table[3]
    assert embedding(table, []) == []


def test_they_are_part_of_traced_functions():
    table, w, rows = arguments_of(Value, [(4, N), N, (3, N)])

    @jit(indices="i")
    def f(i, x):
        y = rms_norm([a + b for a, b in zip(take_row(table, i), x, strict=True)], w)
        return mg.sum(attention(linear(y, [*rows, *rows[:2]]), rows, layer_norm_rows(rows)))

    def layer_norm_rows(matrix):
        return [layer_norm(row) for row in matrix]

    x = [0.1, -0.2, 0.3, 0.0, 1.0]
    for i in (0, 3):
        y = rms_norm([a + b for a, b in zip(table[i], x, strict=True)], w)
        eager = mg.sum(attention(linear(y, [*rows, *rows[:2]]), rows, layer_norm_rows(rows)))
        assert f(i, x) == eager.data


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: linear(v, [v[:2]]), ValueError, "row of W must be of length 3, found 2"),
        (lambda v: linear(v, [v], [1.0, 2.0]), ValueError, "b must be one for each row of W"),
        (lambda v: linear(v, v), TypeError, "row of W must be a sequence, found Value"),
        (lambda v: rms_norm([]), ValueError, "vector of rms_norm must be one number or more"),
        (lambda v: rms_norm(v, v[:1]), ValueError, "weight of rms_norm must be of length 3"),
        (lambda v: layer_norm(v, v, v[:1]), ValueError, "bias of layer_norm must be of length 3"),
        (lambda v: attention(v, [v[:1]], [v]), ValueError, "key of attention must be of length 3"),
        (lambda v: attention(v, [v], [v, v]), ValueError, "a row for each key, found 2 for 1"),
        (lambda v: attention(v, [v, v], [v, v[:1]]), ValueError, "3 in row 0 and 1 in row 1"),
        (lambda v: attention(v, [], []), ValueError, "logits of softmax"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call([Value(1.0), Value(2.0), Value(3.0)])
