"""Sparse Jacobians and Hessians: their patterns, their entries, and how few products they take."""

import random

import numpy as np
import pytest
import scipy.sparse
from frozen import REPLAYABLE, Case
from operation_table import OPERATIONS
from support import run_python

import micrograd_fast
from micrograd_fast import Value, _sparse, compile, less, take, where


@pytest.fixture
def vectors(monkeypatch):
    """The vectors that derivatives are multiplied with, as lists of them."""
    met = []
    plain = _sparse.sums_of_unit_vectors

    def noted(plan):
        met.append(plain(plan))
        return met[-1]

    monkeypatch.setattr(_sparse, "sums_of_unit_vectors", noted)
    return met


def assert_same(found, dense):
    assert isinstance(found, scipy.sparse.csr_array)
    assert found.has_sorted_indices
    dense = np.atleast_2d(dense)
    assert found.shape == dense.shape
    scale = np.abs(dense).max(initial=1.0)
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-13 * scale)


def rosenbrock(n):
    """A chain: neighbours meet."""
    x = [Value(0.1 * (i % 7)) for i in range(n)]
    terms = [100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(n - 1)]
    return compile(micrograd_fast.sum(terms), x)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.id)
def test_every_operation_is_in_the_pattern(operation):
    rng = random.Random(operation.id)
    point = np.array([*operation.draw(rng), 1.75])
    *operands, factor = inputs = [Value(number) for number in point]
    out = operation.apply(*operands)
    for graph in (out, out * factor, (out + factor).tanh()):
        program = compile([graph, factor * 2.0], inputs)
        assert_same(program.jacobian(point, sparse=True), program.jacobian(point))
        alone = compile(graph, inputs)
        assert_same(alone.hessian(point, sparse=True), alone.hessian(point))


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed):
    case = Case(micrograd_fast, seed, 12 + seed, 3, kinds=REPLAYABLE)
    assert not case.failures
    nodes = case.nodes[-4:]
    values = [node for node in nodes if isinstance(node, Value)]
    program, alone = compile(values, case.input_values()), compile(values[-1], case.input_values())
    for wrt in ["inputs", "parameters", [*program.parameters[:2], *program.inputs[-1:]]]:
        if wrt == "inputs" and not case.inputs:
            continue
        for row, dense in zip(case.rows, derivatives(program.jacobian, case.rows, wrt)):
            if dense is not None:
                assert_same(program.jacobian(row, wrt=wrt, sparse=True), dense)
        for row, dense in zip(case.rows, derivatives(alone.hessian, case.rows, wrt)):
            if dense is not None:
                assert_same(alone.hessian(row, wrt=wrt, sparse=True), dense)


def derivatives(method, rows, wrt):
    """Of each row, or None where one does not exist or is no number."""
    found = []
    for row in rows:
        try:
            dense = method(row, wrt=wrt)
        except (ArithmeticError, ValueError):
            dense = None
        found.append(dense if dense is not None and np.isfinite(dense).all() else None)
    return found


def test_a_chain_takes_three_products(vectors):
    program = rosenbrock(40)
    row = np.random.default_rng(3).normal(size=40)
    found = program.hessian(row, sparse=True)
    assert_same(found, program.hessian(row))
    assert found.nnz == 40 + 2 * 39
    assert (found != found.T).nnz == 0
    assert [len(each) for each in vectors] == [3]


def test_a_star_takes_two_products(vectors):
    x = [Value(0.3 * i) for i in range(30)]
    program = compile(micrograd_fast.sum([x[0] * other.sin() for other in x[1:]]), x)
    row = np.linspace(-1.0, 1.0, 30)
    assert_same(program.hessian(row, sparse=True), program.hessian(row))
    assert [len(each) for each in vectors] == [2]


def test_columns_or_rows_are_coloured_whichever_are_fewer(vectors):
    x = [Value(0.5) for _ in range(20)]
    row = np.linspace(0.5, 1.5, 20)
    # Every output has all inputs: one row is one product, or 20 columns are. And the transpose.
    wide = compile([micrograd_fast.dot(x, x), x[3] * 2.0], x)
    tall = compile([x[0] * (0.1 * i) for i in range(20)], x)
    assert_same(wide.jacobian(row, sparse=True), wide.jacobian(row))
    assert_same(tall.jacobian(row, sparse=True), tall.jacobian(row))
    assert [each.shape for each in vectors] == [(2, 2), (1, 20)]


def test_a_batch_is_a_list_of_matrices():
    program = rosenbrock(6)
    rows = np.random.default_rng(5).normal(size=(4, 6))
    for found, dense in zip(
        program.hessian(rows, sparse=True), program.hessian(rows), strict=True
    ):
        assert_same(found, dense)
    for found, dense in zip(
        program.jacobian(rows, sparse=True), program.jacobian(rows), strict=True
    ):
        assert_same(found, dense)
    w = [Value(0.5), Value(-1.0)]
    x = [Value(1.0)]
    fit = compile((w[0] * x[0] + w[1]).tanh(), x, parameters=w)
    found = fit.hessian(rows[:, :1], "sum", wrt="parameters", sparse=True)
    assert_same(found, fit.hessian(rows[:, :1], "sum", wrt="parameters"))
    several = compile([w[0] * x[0], w[1] * x[0]], x, parameters=w)
    for by in ("parameters", [w[1], x[0]]):
        for found, dense in zip(
            several.jacobian(rows[:, :1], wrt=by, sparse=True),
            several.jacobian(rows[:, :1], wrt=by),
            strict=True,
        ):
            assert_same(found, dense)


def test_what_does_not_move_is_not_in_the_pattern():
    a, b, c = x = [Value(1.0), Value(2.0), Value(3.0)]
    program = compile([a * 2.0 + (b * b).detach(), where(less(c, 0.0), a, b), Value(1.0) * 2.0], x)
    found = program.jacobian([1.0, 2.0, 3.0], sparse=True)
    assert sorted(zip(*found.nonzero(), strict=True)) == [(0, 0), (1, 1)]
    assert found.indices.tolist() == [0, 0, 1]
    linear = compile(a * 2.0 + b.relu() - where(less(a, b), a, c), x)
    assert linear.hessian([1.0, 2.0, 3.0], sparse=True).nnz == 0
    chosen = take([a * a, b * c], less(a, 0.0))
    both = compile(chosen, x).hessian([1.0, 2.0, 3.0], sparse=True)
    assert_same(both, [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert both.nnz == 3


def test_one_output_is_one_row():
    a, b = Value(1.0), Value(2.0)
    program = compile(a * b, [a, b])
    assert program.jacobian([3.0, 4.0], sparse=True).toarray().tolist() == [[4.0, 3.0]]
    [only] = program.jacobian([[3.0, 4.0]], sparse=True)
    assert only.toarray().tolist() == [[4.0, 3.0]]


def test_a_matrix_is_the_caller_s_own():
    program = rosenbrock(5)
    first = program.hessian([0.5] * 5, sparse=True)
    wanted = first.toarray()
    first.data[:] = 9.0
    first.indices[:] = 0
    first.indptr[:] = 0
    assert program.hessian([0.5] * 5, sparse=True).toarray().tolist() == wanted.tolist()


def test_rows_are_converted_once():
    class Rows:
        n_asked = 0

        def __array__(self, dtype=None, copy=None):
            self.n_asked += 1
            return np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])

    a, b, c = x = [Value(1.0), Value(2.0), Value(3.0)]
    by_rows = compile([a * b * c, (a + b).exp() * c], x)  # two products, not three
    by_columns = compile([a * b, b.exp(), a.sin(), c * c], x)
    for ask in (
        lambda rows: by_rows.vjp([1.0, 2.0], rows),
        lambda rows: by_rows.jacobian(rows, sparse=True),
        lambda rows: by_columns.jacobian(rows, sparse=True),
        lambda rows: compile(a * b * c, x).hessian(rows, sparse=True),
    ):
        rows = Rows()
        ask(rows)
        assert rows.n_asked == 1


def test_errors_are_those_of_the_dense_derivatives():
    a, b = Value(1.0), Value(2.0)
    program = compile([a.log(), b.sqrt() * a], [a, b])
    with pytest.raises(ValueError, match="row 1"):
        program.jacobian([[1.0, 2.0], [-1.0, 2.0]], sparse=True)
    with pytest.raises(ValueError, match="must have one output for hessian"):
        program.hessian([1.0, 2.0], sparse=True)
    with pytest.raises(ValueError, match="shape"):
        program.jacobian([1.0], sparse=True)


def test_scipy_is_asked_for_by_name():
    said = run_python(
        "import sys; sys.modules['scipy.sparse'] = None\n"
        "from micrograd_fast import Value, compile\n"
        "x = Value(1.0)\n"
        "try: compile(x * x, [x]).hessian([1.0], sparse=True)\n"
        "except ImportError as error: print(error)"
    )
    assert said == 'sparse=True needs SciPy: pip install "micrograd_fast[sparse]"\n'


def test_a_custom_operation_may_bend_in_all_its_operands():
    product = micrograd_fast.custom_op(
        lambda a, b: a * b, lambda a, b: (b, a), lambda a, b: ((0.0, 1.0), (1.0, 0.0))
    )
    a, b, c = x = [Value(1.0), Value(2.0), Value(3.0)]
    row = [0.5, -1.5, 2.0]
    program = compile(product(a * 2.0, c) + b, x)
    found = program.hessian(row, sparse=True)
    assert found.nnz == 4  # nothing is known of it
    assert_same(found, program.hessian(row))
    several = compile([product(a, c), b * c], x)
    assert_same(several.jacobian(row, sparse=True), several.jacobian(row))
    assert several.vjp([2.0, 3.0], row).tolist() == [4.0, 6.0, -3.5]
