"""Random expressions with choices, and what a program of one must give: the graph's bits."""

import math
import random

import micrograd_fast as mg
from micrograd_fast import Value, compile, where

# Expressions with choices, as lists of instructions: ("where", condition, a, b), an operation and
# its operands, by number.
FALLIBLE = {
    "log": lambda a: a.log(),
    "sqrt": lambda a: a.sqrt(),
    "reciprocal": lambda a: a**-1,
    "exp": lambda a: (a * 400.0).exp(),
}
EVERYWHERE = {
    "huge": lambda a: a * 1e200 * 1e200 * a,
    "root": lambda a: a.abs().sqrt(),
    "tanh": lambda a: (a * 0.5).tanh(),
    "neuron": lambda a: a * 0.5 + 0.25,
}
CONDITIONS = [mg.less, mg.less_equal, mg.greater, mg.equal]


def random_expression(rng, n_leaves, unary):
    instructions = []
    for i in range(n_leaves, n_leaves + 24):
        a, b, c = (rng.randrange(max(0, i - 12), i) for _ in range(3))
        kind = rng.choice(["where", "where", "add", "mul", "unary", "take"])
        if kind == "where":
            instructions.append(
                (kind, rng.choice(CONDITIONS), (c, rng.uniform(-1.0, 1.0)), (a, b))
            )
        elif kind == "take":
            instructions.append((kind, None, (c, rng.uniform(-1.0, 1.0)), (a, b)))
        else:
            instructions.append((kind, rng.choice(list(unary)), None, (a, b)))
    return instructions


def evaluate(leaves, instructions, unary, whole):
    """The last node of an expression: of all its nodes, or of what its choices lead to alone."""
    nodes = dict(enumerate(leaves))

    def node(i):
        if i in nodes:
            return nodes[i]
        kind, what, condition, (a, b) = instructions[i - len(leaves)]
        if condition:
            holds = (what or mg.less)(node(condition[0]), condition[1])
            if not whole:
                nodes[i] = node(b if bool(holds.data) == (kind == "take") else a)
                if kind == "where":  # the sweep goes through the condition, with nothing
                    nodes[i] = nodes[i] + holds * 0.0
            elif kind == "take":
                nodes[i] = mg.take([node(a), node(b)], holds)
            else:
                nodes[i] = where(holds, node(a), node(b))
        elif kind == "unary":
            nodes[i] = unary[what](node(a))
        else:
            nodes[i] = node(a) * node(b) if kind == "mul" else node(a) + node(b)
        return nodes[i]

    for i in range(len(leaves), len(leaves) + len(instructions)):
        if whole:
            node(i)
    return node(len(leaves) + len(instructions) - 1)


def outcome(compute):
    try:
        return compute(), None
    except (ValueError, OverflowError, ZeroDivisionError) as error:
        return None, type(error)


def random_rows(rng, n_rows, n_inputs):
    return [
        [rng.choice([0.0, rng.uniform(-2.0, 2.0)]) for _ in range(n_inputs)] for _ in range(n_rows)
    ]


def check_bits(seed):
    """Compare a program with choices and its derivatives with the graph of each row. Says whether
    the graph "fails", or has "infinite" or "finite" gradients."""
    rng = random.Random(seed)
    instructions = random_expression(rng, 4, EVERYWHERE)
    rows = random_rows(rng, rng.choice([1, 3, 70]), 2)
    weights = [Value(rng.uniform(-2.0, 2.0)) for _ in range(2)]

    def one_row(row):
        inputs = [Value(x) for x in row]
        out = evaluate([*inputs, *weights], instructions, EVERYWHERE, whole=True)
        out.backward()
        return out.data, [x.grad for x in inputs]

    def all_rows():
        by_row = []
        for row in rows:
            for w in weights:
                w.grad = 0.0
            value, by_inputs = one_row(row)
            by_row.append((value, by_inputs, [w.grad for w in weights]))
        for w in weights:
            w.grad = 0.0
        for row in rows:
            one_row(row)
        sums = [w.grad for w in weights]
        return by_row, sums

    wanted, failed = outcome(all_rows)
    for w in weights:
        w.grad = 0.0
    inputs = [Value(x) for x in rows[0]]
    root = evaluate([*inputs, *weights], instructions, EVERYWHERE, whole=True)
    program = compile(root, inputs, parameters=weights)
    found, error = outcome(lambda: program.value_and_grad(rows))
    assert error is failed, seed
    if failed:
        assert outcome(lambda: program.parameter_grads(rows))[1] is failed
        assert outcome(lambda: program.backward(rows))[1] is failed
        assert [w.grad for w in weights] == [0.0, 0.0]
        return "fails"
    by_row, sums = wanted
    is_infinite = any(not math.isfinite(g) for _, gradient, _ in by_row for g in gradient)
    hexes = [
        [float(y).hex(), *(float(g).hex() for g in by_x)] for y, by_x in zip(*found, strict=True)
    ]
    assert hexes == [[y.hex(), *(g.hex() for g in by_x)] for y, by_x, _ in by_row], seed
    by_weights = program.parameter_grads(rows).tolist()
    assert [[g.hex() for g in row] for row in by_weights] == [
        [g.hex() for g in row] for _, _, row in by_row
    ], seed
    program.backward(rows, reduction="sum")
    assert [w.grad.hex() for w in weights] == [g.hex() for g in sums], seed
    return "infinite" if is_infinite else "finite"
