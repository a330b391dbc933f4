"""What a frozen program must compute: the graph, built and propagated row by row."""

import random

import numpy as np
from operation_table import CONDITIONS
from random_graphs import KINDS, build, forward, random_program
from support import bits

from micrograd_fast import MLP, Value

#: Instructions whose nodes can be computed again from other numbers near them. A condition jumps
#: from 1 to 0, by which the next node may divide; tests/test_conditions.py has them in programs.
NOT_REPLAYABLE = {"custom", "local_grads"}.union(
    *({name, f"{name} number"} for name in ("keep", *CONDITIONS))
)
REPLAYABLE = [kind for kind in KINDS if kind not in NOT_REPLAYABLE]


class Case:
    """A random graph with some of its leaves as inputs, and rows of numbers for them."""

    def __init__(self, engine, seed, n_nodes, n_rows, wild=False, kinds=REPLAYABLE):
        rng = random.Random(seed)
        self.engine = engine
        self.make = in_order_of_the_graph(random_program(engine, seed, n_nodes, kinds, wild).make)
        leaves = [i for i, (kind, _, _) in enumerate(self.make) if kind == "leaf"]
        self.inputs = rng.sample(leaves, rng.randint(0, len(leaves) - 1))
        self.parameters = [i for i in leaves if i not in self.inputs]
        self.nodes, self.failures = forward(engine, _Make(self.make))
        self.rows = np.array(
            [
                [float(self.make[i][2][0]) + rng.gauss(0, 1e-3) for i in self.inputs]
                for _ in range(n_rows)
            ]
        ).reshape(n_rows, len(self.inputs))
        for i in self.parameters:
            self.nodes[i].grad = rng.choice([0.0, rng.gauss(0, 1)])

    def output(self):
        return self.nodes[-1]

    def input_values(self):
        return [self.nodes[i] for i in self.inputs]

    def gradients(self):
        """What the parameters hold now."""
        return {i: self.nodes[i].grad for i in self.parameters}

    def eager(self, row, gradients, seed=None):
        """Build the graph for one row and propagate; `gradients` are what parameters start from,
        and are updated. Returns the value and the gradients of the inputs."""
        make = list(self.make)
        for i, number in zip(self.inputs, row, strict=True):
            make[i] = ("leaf", (), (float(number),))
        nodes = []
        for instruction in make:
            nodes.append(build(self.engine, nodes, instruction))
        for i, gradient in gradients.items():
            nodes[i].grad = gradient
        root = nodes[-1]
        if seed is not None:
            root = root * seed
        root.backward()
        for i in gradients:
            gradients[i] = nodes[i].grad
        return nodes[-1].data, [nodes[i].grad for i in self.inputs]


def in_order_of_the_graph(make):
    """The instructions under the last one, operands first and left to right: where two of them
    fail, the first to be built is then the first in a program, too."""
    places, ordered, stack = {}, [], [len(make) - 1]
    while stack:
        number = stack[-1]
        kind, operands, immediates = make[number]
        missing = [operand for operand in operands if operand not in places]
        if missing:
            stack.append(missing[0])
            continue
        stack.pop()
        if number not in places:
            places[number] = len(ordered)
            ordered.append((kind, tuple(places[operand] for operand in operands), immediates))
    return ordered


class _Make:
    """What `forward` reads of a program."""

    def __init__(self, make):
        self.make = make


def all_bits(numbers):
    return [bits(number) for number in np.ravel(numbers)]


def moons_loss():
    """The margin loss of one point: the loss, its inputs, and the model."""
    random.seed(1337)
    model = MLP(2, [16, 16, 1])
    x, y = [Value(0.25), Value(-0.5)], Value(1.0)
    return (1 - y * model(x)).relu(), [*x, y], model


def rows_for(program, n_rows, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, program.n_inputs))


def by_inputs(program):
    """What derivatives by the inputs are asked for with: there may be none."""
    return "inputs" if program.n_inputs else ()


def added_in_order(numbers):
    """The sum from left to right, as the graph adds; since Python 3.12 `sum` is cleverer."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def expect_the_bits_of_eager(program, graph, rows, start=0.0, where=""):
    """`graph` builds the program's graph over a list of inputs and returns its output."""
    for p in program.parameters:
        p.grad = start
    values, gradients = [], []
    for row in rows:
        inputs = [Value(number) for number in row]
        output = graph(inputs)
        output.backward()
        values.append(output.data)
        gradients.append([v.grad for v in inputs])
    wanted = [p.grad for p in program.parameters]
    for p in program.parameters:
        p.grad = start
    assert bits(program.backward(rows, "sum")) == bits(added_in_order(values)), where
    assert all_bits([p.grad for p in program.parameters]) == all_bits(wanted), where
    found = program.value_and_grad(rows, by_inputs(program))
    assert all_bits(found[0]) == all_bits(values), where
    assert all_bits(found[1]) == all_bits(gradients), where
    assert all_bits(program(rows)) == all_bits(values), where


def expect_the_bits_of_the_case(program, case, where):
    """`program` is made of the case's output, by its inputs."""
    gradients = case.gradients()
    wanted = [case.eager(row, gradients) for row in case.rows]
    where = f"{where}: {program.stats()}"
    values, input_gradients = program.value_and_grad(case.rows, by_inputs(program))
    assert all_bits(program(case.rows)) == all_bits([value for value, _ in wanted]), where
    assert all_bits(values) == all_bits([value for value, _ in wanted]), where
    assert all_bits(input_gradients) == all_bits([grads for _, grads in wanted]), where
    total = program.backward(case.rows, "sum")
    assert bits(total) == bits(added_in_order(value for value, _ in wanted)), where
    assert {i: bits(g) for i, g in case.gradients().items()} == {
        i: bits(g) for i, g in gradients.items()
    }, where


def result_or_message(call, rows):
    """What a call gives, and what it says where it raises."""
    try:
        return call(rows), None
    except ValueError as error:
        return None, str(error)
