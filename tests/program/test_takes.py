"""Choices from tables in programs: the bits of the graph, whoever the candidates are."""

import math
import pickle
import random

import numpy as np
import pytest
from support import bits as bits_of_one

import micrograd_fast as mg
from micrograd_fast import Index, Value, compile, load_program, take
from micrograd_fast.reference import engine as reference


class Case:
    """A random graph with tables of parameters, inputs, constants and computed Values.

    Built anew for every row, on the same numbers, by either engine.
    """

    N_INPUTS = 4  # three numbers and an index

    def __init__(self, seed):
        rng = random.Random(seed)
        self.numbers = [rng.gauss(0.0, 1.0) for _ in range(40)]
        self.n_rows, self.n_columns = rng.randint(1, 5), rng.randint(1, 4)
        self.plan = [
            [
                (rng.choice(["parameter", "input", "constant", "computed"]), rng.randrange(40))
                for _ in range(self.n_columns)
            ]
            for _ in range(self.n_rows)
        ]
        self.steps = [(rng.choice("+*-tmw"), rng.random(), rng.random()) for _ in range(25)]
        self.n_takes = rng.randint(1, 3)
        self.rows = [
            [rng.gauss(0.0, 1.0) for _ in range(3)] + [float(rng.randrange(self.n_rows))]
            for _ in range(rng.choice([1, 2, 7, 70]))
        ]

    def build(self, engine, parameters, inputs, choose):
        """The output; `choose` takes a row of the table."""
        *values, index = inputs
        pool = [*parameters[:6], *values]
        for kind, a, b in self.steps[:10]:
            pool.append(self.step(engine, pool, kind, a, b))
        entries = {
            "parameter": lambda k: parameters[k % len(parameters)],
            "input": lambda k: values[k % 3],
            "constant": lambda k: self.numbers[k],
            "computed": lambda k: pool[k % len(pool)],
        }
        table = [[entries[kind](k) for kind, k in row] for row in self.plan]
        for _ in range(self.n_takes):
            pool.extend(choose(table, index))
            for kind, a, b in self.steps[10:]:
                pool.append(self.step(engine, pool, kind, a, b))
        return engine.dot(parameters[:4], pool[-4:]) + engine.sum(pool[-6:])

    @staticmethod
    def step(engine, pool, kind, a, b):
        left, right = pool[int(a * len(pool))], pool[-1 - int(b * min(6, len(pool)))]
        if kind == "+":
            return left + right
        if kind == "-":
            return left - right
        if kind == "t":
            return left.tanh()
        if kind == "m":
            return left.maximum(right)
        if kind == "w":
            return (left * 3.0).sin() * right
        return left * right

    def eager(self, engine, choose):
        """Values, gradients of inputs, and gradients of parameters after all rows."""
        parameters = [engine.Value(number) for number in self.numbers[:12]]
        values, gradients = [], []
        for row in self.rows:
            inputs = [engine.Value(number) for number in row]
            root = self.build(engine, parameters, inputs, choose)
            root.backward()
            values.append(root.data)
            gradients.append([x.grad for x in inputs])
        return values, gradients, [p.grad for p in parameters]


def bits(nest):
    return [bits(item) for item in nest] if isinstance(nest, (list, tuple)) else bits_of_one(nest)


def picked(table, row):
    numbers = table[int(row[3])]
    return [n if isinstance(n, Value) else mg._core.constant(n) for n in numbers]


def take_by_reference(table, index):
    return [reference.take(column, index) for column in zip(*table, strict=True)]


@pytest.mark.parametrize("seed", range(150))
def test_a_program_gives_the_bits_of_the_graph_and_of_the_reference(seed):
    case = Case(seed)
    parameters = [Value(number) for number in case.numbers[:12]]
    inputs = [Value(0.5) for _ in range(3)] + [Index(0)]
    root = case.build(mg.engine, parameters, inputs, take)
    program = compile(root, inputs)
    values, gradients, by_parameters = case.eager(mg.engine, take)
    assert bits(case.eager(reference, take_by_reference)) == bits(
        [values, gradients, by_parameters]
    )
    assert bits(program(case.rows).tolist()) == bits(values)
    found, by_inputs = program.value_and_grad(case.rows)
    assert bits(found.tolist()) == bits(values)
    assert bits(by_inputs.tolist()) == bits(gradients)
    root.zero_grad()
    for p in parameters:
        p.grad = 0.0
    program.backward(case.rows, reduction="sum")
    assert bits([p.grad for p in parameters]) == bits(by_parameters)
    again = pickle.loads(pickle.dumps(program))
    assert bits(again(case.rows).tolist()) == bits(values)
    one_by_one = [program(row) for row in case.rows[:3]]
    assert bits(one_by_one) == bits(values[:3])
    assert np.allclose(compile(root, inputs, fast=True)(case.rows), values, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_derivatives_of_second_order_are_those_of_the_chosen_row(seed):
    case = Case(seed)
    case.rows = case.rows[:3]
    parameters = [Value(number) for number in case.numbers[:12]]
    inputs = [Value(0.5) for _ in range(3)] + [Index(0)]
    chosen = compile(case.build(mg.engine, parameters, inputs, take), inputs)
    used = {id(p) for p in chosen.parameters}
    for row in case.rows:
        plain = compile(
            case.build(mg.engine, parameters, inputs, lambda table, _: picked(table, row)), inputs
        )
        assert {id(p) for p in plain.parameters} <= used
        wanted = np.zeros((4 + len(used),) * 2)
        places = [*range(4), *(4 + chosen.parameters.index(p) for p in plain.parameters)]
        wrt = [*inputs, *plain.parameters]
        wanted[np.ix_(places, places)] = plain.hessian(row, wrt=wrt)
        found = chosen.hessian(row, wrt=[*inputs, *chosen.parameters])
        # The constants of the table are numbers to one and Values to the other.
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def table_of(n_rows, n_columns):
    return [[Value(math.sin(10.0 * i + j)) for j in range(n_columns)] for i in range(n_rows)]


def test_rows_and_slots_do_not_grow_with_the_table():
    index = Index(0)
    small, large = (
        compile(mg.sum(take(table_of(n, 3), index)), [index]).stats() for n in (2, 2000)
    )
    for name in ("steps", "blocks", "runs"):
        assert small[name] == large[name]
    # A parameter costs its leaf and its place, in each of the program's columns.
    grown = (large["bytes"] - small["bytes"]) / (3 * 1998)
    assert grown < 200


def test_an_index_out_of_range_is_an_error_with_the_row_and_leaves_gradients_alone():
    table, index = table_of(3, 2), Index(0)
    program = compile(mg.sum(take(table, index)), [index])
    for bad in (3.0, -1.0, 0.5, math.nan, math.inf, 1e300):
        rows = np.zeros((70, 1))
        rows[68] = bad
        with pytest.raises(IndexError, match=r"row 68: index must be a whole number from 0 to 2"):
            program.backward(rows)
        with pytest.raises(IndexError, match=r"^index must be a whole number from 0 to 2, found"):
            program.value_and_grad([bad])
        with pytest.raises(IndexError, match="row 1"):
            program.hvp(np.ones(6), [[0.0], [bad]], "sum", wrt="parameters")
    assert all(entry.grad == 0.0 for row in table for entry in row)
    assert program([-0.0]) == program([0.0])


def test_the_first_error_of_a_row_is_that_of_the_graph():
    x, index = Value(1.0), Index(0)
    program = compile(x.log() + take([Value(1.0), Value(2.0)], index), [x, index])
    with pytest.raises(ValueError, match="row 0: log"):
        program([[-1.0, 5.0], [1.0, 5.0]])
    with pytest.raises(IndexError, match="row 1: index"):
        program([[1.0, 1.0], [1.0, 5.0]])


def test_a_table_may_be_used_otherwise_too():
    # The weights of a layer are the rows of the table, in another order of use.
    table, index, x = table_of(8, 4), Index(0), [Value(0.0) for _ in range(4)]
    row = take(table, index)
    scores = [mg.dot(weights, [a + b for a, b in zip(row, x, strict=True)]) for weights in table]
    output = mg.sum([score.tanh() for score in scores])
    program = compile(output, [*x, index])
    rows = np.random.default_rng(3).normal(size=(20, 5))
    rows[:, 4] = np.arange(20) % 8
    wanted = []
    for numbers in rows:
        for value, number in zip([*x, index], numbers, strict=True):
            value.data = float(number)
        chosen = take(table, index)
        root = mg.sum(
            [
                mg.dot(weights, [a + b for a, b in zip(chosen, x, strict=True)]).tanh()
                for weights in table
            ]
        )
        root.backward()
        wanted.append(root.data)
    eager = [entry.grad for entries in table for entry in entries]
    for entries in table:
        for entry in entries:
            entry.grad = 0.0
    assert bits(program(rows).tolist()) == bits(wanted)
    program.backward(rows, "sum")
    assert bits([entry.grad for entries in table for entry in entries]) == bits(eager)


def test_a_table_and_its_choice_survive_a_file(tmp_path):
    table, index = table_of(4, 3), Index(1)
    program = compile(take(table, index), [index])
    program.save(tmp_path / "table.npz")
    loaded = load_program(tmp_path / "table.npz")
    assert loaded([[0], [3]]).tolist() == program([[0], [3]]).tolist()
    assert len(loaded.parameters) == 12


def test_a_damaged_list_of_candidates_is_refused():
    index = Index(0)
    program = compile(take([Value(1.0), Value(2.0)], index), [index])
    tape = program.tape()
    for candidates in (b"", b"\xff" * 8, tape["candidates"][:4], tape["candidates"] * 2):
        with pytest.raises(ValueError, match="damaged program"):
            mg._core.program_of_tape(mg.Program, {**tape, "candidates": candidates}, [1.0, 2.0])
