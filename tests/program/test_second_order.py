"""Products with the Hessian, against finite differences of gradients and against PyTorch."""

import random

import numpy as np
import pytest
import torch
from frozen import Case, moons_loss, rows_for
from operation_table import OPERATIONS, WITHOUT_DIFFERENCES
from random_graphs import KINDS, STATED

import micrograd_fast
from micrograd_fast import MLP, Layer, Value, compile

POINT = 0.625


def differences(program, row, step=1e-5):
    """The Hessian by the inputs as central differences of the gradient.

    Off by the step's square times a fourth derivative, and by 2**-53 over the step: some 1e-10.
    What is compared with it allows for derivatives and terms that are a thousand times larger.
    """
    columns = []
    for i in range(len(row)):
        shift = np.zeros(len(row))
        shift[i] = step
        above = program.value_and_grad(row + shift)[1]
        below = program.value_and_grad(row - shift)[1]
        columns.append((above - below) / (2 * step))
    return np.array(columns).reshape(len(row), len(row))


@pytest.mark.parametrize(
    "operation",
    [row for row in OPERATIONS if row.id not in WITHOUT_DIFFERENCES],
    ids=lambda row: row.id,
)
def test_every_operation_has_its_second_derivatives(operation):
    rng = random.Random(operation.id)
    for _ in range(5):
        point = np.array([*operation.draw(rng), 1.75])
        *operands, factor = inputs = [Value(number) for number in point]
        out = operation.apply(*operands)
        program = compile((out * out + out) * factor, inputs)
        wanted = differences(program, point)
        scale = 1.0 + np.abs(wanted).max()
        assert program.hessian(point, wrt="inputs") == pytest.approx(
            wanted, rel=1e-6, abs=1e-6 * scale
        )


def test_a_detached_value_is_a_constant_to_the_hessian():
    """As PyTorch has it, where differences of gradients would see it move."""

    def graph(a, b, w):
        return (a * w).detach() * b**2 * a + (b * b).detach() * w + (w * a * b).detach()

    a, b, w = Value(0.5), Value(-1.5), Value(2.0)
    program = compile(graph(a, b, w), [a, b, w])
    point = np.array([0.5, -1.5, 2.0])
    wanted = torch.autograd.functional.hessian(graph, tuple(torch.tensor(point)))
    wanted = np.array([[float(entry) for entry in row] for row in wanted])
    assert np.count_nonzero(wanted) == 3
    found = program.hessian(point, wrt="inputs")
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-15)
    assert np.abs(found - differences(program, point)).max() > 0.1
    direction = np.array([1.0, -2.0, 3.0])
    product = program.hvp(direction, point, wrt="inputs")
    assert product == pytest.approx(wanted @ direction, rel=1e-12)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, 0.5, -2.5])
def test_powers_have_their_second_derivatives(exponent):
    a = Value(POINT)
    program = compile((a**exponent) * a, [a])
    assert program.hessian([POINT], wrt="inputs") == pytest.approx(
        differences(program, np.array([POINT])), rel=1e-6, abs=1e-8
    )


def test_a_line_has_a_second_derivative_of_0_where_its_power_would_not_exist():
    a = Value(0.0)
    assert compile(a**1, [a]).hessian([0.0], wrt="inputs").tolist() == [[0.0]]
    with pytest.raises(ZeroDivisionError, match="row 1: "):
        compile(a**1.5, [a]).hessian([[1.0], [0.0]], wrt="inputs")


def test_random_graphs_have_the_differences_of_their_gradients(compiled):
    n_entries = 0
    kinds = [kind for kind in KINDS if kind not in STATED]
    for seed in range(60):
        case = Case(compiled, seed, random.Random(seed).randint(5, 60), 2, kinds=kinds)
        program = compile(case.output(), case.input_values())
        if program.n_inputs == 0:
            continue
        found = program.hessian(case.rows, wrt="inputs")
        assert found.shape == (2, program.n_inputs, program.n_inputs)
        for row, hessian in zip(case.rows, found, strict=True):
            wanted = differences(program, row)
            scale = 1.0 + np.abs(wanted).max(initial=0.0)
            assert hessian == pytest.approx(wanted, rel=1e-4, abs=1e-5 * scale), f"seed {seed}"
            assert hessian == pytest.approx(hessian.T, rel=1e-9, abs=1e-9 * scale)
            n_entries += np.count_nonzero(hessian)
    assert n_entries > 200


def test_the_hessian_by_parameters_is_that_of_torch():
    random.seed(2)
    model = MLP(2, [5, 1], activation="tanh")
    x = [Value(0.0), Value(0.0)]
    program = compile(model(x) ** 2, x)
    rows = rows_for(program, 6)
    weights = [0.5, 1.0, -2.0, 0.25, 3.0, 1.0]
    places = {id(p): i for i, p in enumerate(program.parameters)}
    order = [places[id(p)] for p in model.parameters()]

    def total(flat):
        w1, w2 = flat[:15].reshape(5, 3), flat[15:]
        h = torch.tanh(torch.tensor(rows) @ w1[:, :2].T + w1[:, 2])
        out = h @ w2[:5] + w2[5]
        return (torch.tensor(weights, dtype=torch.float64) * out**2).sum()

    flat = torch.tensor([p.data for p in model.parameters()], dtype=torch.float64)
    wanted = torch.autograd.functional.hessian(total, flat).numpy()
    found = program.hessian(rows, weights, "parameters")
    assert found[np.ix_(order, order)] == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    vector = np.arange(1.0, 22.0)
    product = program.hvp(vector, rows, weights, "parameters")
    assert product == pytest.approx(found @ vector, rel=1e-12)
    assert {p.grad for p in program.parameters} == {0.0}
    mean = program.hvp(vector, rows, wrt="parameters")
    total = program.hvp(vector, rows, "sum", "parameters")
    assert 6 * mean == pytest.approx(total, rel=1e-12)


def layers(x):
    return MLP(8, [12, 6, 1], activation="tanh")(x) ** 2


def a_layer_used_twice(x):
    """Its weights have two uses, and the second sums start from what the first ones gave."""
    layer = Layer(8, 8, activation="sigmoid")
    hidden = layer(layer(x))
    return micrograd_fast.sum([h * h for h in hidden])


def sums_with_starts_that_vary(x):
    rows = [[Value(random.gauss(0, 1)) for _ in x] for _ in range(5)]
    sums = [sum((w * v for w, v in zip(row, x, strict=True)), x[0].sin()) for row in rows]
    return micrograd_fast.sum([s.tanh() for s in sums])


def a_penalty_on_weights(x):
    w = [Value(random.gauss(0, 1)) for _ in x]
    return micrograd_fast.dot(w, x).softplus() + 0.3 * sum(v**4 for v in w).exp() ** 0.5


@pytest.mark.parametrize(
    "graph", [layers, a_layer_used_twice, sums_with_starts_that_vary, a_penalty_on_weights]
)
@pytest.mark.parametrize(
    "arithmetic",
    [{}, {"fast": True}, {"fast": True, "dtype": "float32"}],
    ids=["exact", "fast", "single"],
)
def test_products_are_the_differences_of_gradients(graph, arithmetic, instruction_set):
    """Along parameters and along inputs, for one row and for several strips of rows."""
    random.seed(11)
    x = [Value(random.gauss(0, 0.1)) for _ in range(8)]
    exact = compile(graph(x), x)
    random.seed(11)
    x = [Value(random.gauss(0, 0.1)) for _ in range(8)]
    program = compile(graph(x), x, **arithmetic)
    # A central difference with this step is off by its square, and by 2**-53 over it: 1e-10 of
    # the gradient's terms, of which a sum of 150 rows has thousands. In single precision, sums of
    # such terms are off by 2**-24 each: 1e-4 of their magnitudes, and more where they cancel.
    tolerance = {"rel": 1e-2, "abs": 1e-3} if "dtype" in arithmetic else {"rel": 1e-5, "abs": 1e-7}
    step = 1e-5
    for n_rows in (1, 9, 150):
        rows = 0.5 * rows_for(program, n_rows, seed=n_rows)
        weights = np.linspace(-1.0, 2.0, n_rows)
        vector = np.random.default_rng(3).normal(size=len(program.parameters))
        numbers = np.array([p.data for p in exact.parameters])
        gradients = []
        for sign in (1.0, -1.0):
            for p, number in zip(exact.parameters, numbers + sign * step * vector, strict=True):
                p.data = number
            gradients.append(exact.value_and_parameter_grad(rows, weights)[1])
        for p, number in zip(exact.parameters, numbers, strict=True):
            p.data = number
        wanted = (gradients[0] - gradients[1]) / (2 * step)
        found = program.hvp(vector, rows, weights, "parameters")
        assert np.abs(wanted).max() > 0.01
        assert found == pytest.approx(wanted, **tolerance)
        direction = np.random.default_rng(4).normal(size=8)
        above = exact.value_and_grad(rows + step * direction)[1]
        below = exact.value_and_grad(rows - step * direction)[1]
        by_inputs = program.hvp(direction, rows, wrt="inputs")
        assert by_inputs == pytest.approx((above - below) / (2 * step), **tolerance)
        hessian = program.hessian(rows, wrt="inputs")
        assert hessian @ direction == pytest.approx(by_inputs, **tolerance)
    assert {p.grad for p in program.parameters} == {0.0}


def test_the_first_row_without_a_second_derivative_is_named(instruction_set):
    """Not that of the first step: two rows fail here, in a strip that is not the first."""
    x = [Value(1.0), Value(1.0)]
    program = compile(x[0] ** 1.5 + x[1] ** 1.25, x)
    rows = np.ones((200, 2))
    rows[170, 0] = rows[150, 1] = rows[199, 1] = 0.0
    with pytest.raises(ZeroDivisionError, match=r"^row 150: "):
        program.hessian(rows, wrt="inputs")
    rows[150, 1] = 1.0
    with pytest.raises(ZeroDivisionError, match=r"^row 170: "):
        program.hessian(rows, wrt="inputs")
    rows[3, 0] = -1.0
    with pytest.raises(ValueError, match=r"^row 3: "):
        program.hessian(rows, wrt="inputs")


def test_a_second_derivative_that_does_not_count_need_not_exist(instruction_set):
    """Along a direction that leaves its operand alone."""
    a, b = Value(0.0), Value(1.0)
    resting = compile(a**1.5 + b**2, [a, b])
    rows = np.array([[0.0, 1.0], [4.0, 1.0], [0.0, -3.0]])
    for given in (rows, rows[:1]):
        products = resting.hvp([0.0, 1.0], given, wrt="inputs").tolist()
        assert products == [[0.0, 2.0]] * len(given)
    with pytest.raises(ZeroDivisionError, match=r"^row 0: .*0\.0 \*\* -0\.5"):
        resting.hvp([1.0, 0.0], rows, wrt="inputs")


def test_a_second_derivative_that_does_not_exist_is_no_0_by_accident(instruction_set):
    """Nor where its gradient is 0: of x ** 1.44 it would be infinite."""
    x = Value(1.0)
    for root in ((x**1.2) ** 1.2, 0.0 * x**1.5, x**1.5 * x):
        program = compile(root, [x])
        for rows in ([0.0], [[2.0], [0.0]], [[1.0]] * 100 + [[0.0]]):
            with pytest.raises(ZeroDivisionError, match=r"0\.0 cannot be raised to a negative"):
                program.hessian(rows)
        assert np.isfinite(program.hessian([[2.0], [1e-3]])).all()


def test_a_slope_that_does_not_exist_is_an_error_as_in_the_gradient(instruction_set):
    """Not 0, though all that meets it is 0: that of the gradient, too, is an error."""
    x, y = Value(1.0), Value(1.0)
    for program in (
        compile((x * x + y * y).sqrt() ** 2, [x, y]),
        compile(0.0 * (x * x + y * y).sqrt(), [x, y]),
    ):
        for rows in ([0.0, 0.0], [[0.0, 0.0]], [[3.0, 4.0], [0.0, 0.0]]):
            with pytest.raises(ZeroDivisionError, match=r"derivative: sqrt of 0\.0"):
                program.value_and_grad(rows)
            with pytest.raises(ZeroDivisionError, match=r"derivative: sqrt of 0\.0"):
                program.hessian(rows, wrt="inputs")
            with pytest.raises(ZeroDivisionError, match=r"derivative: sqrt of 0\.0"):
                program.hvp([1.0, 0.0], rows, wrt="inputs")


def test_an_exponent_that_rests_has_no_say(instruction_set):
    x, n = Value(1.0), Value(2.0)
    program = compile(x**n, [x])
    assert program.hessian([-1.0], wrt="inputs").tolist() == [[2.0]]
    assert program.hessian([[-1.0], [0.0], [3.0]], wrt="inputs").ravel().tolist() == [2.0] * 3
    # By both, the logarithm of the base is asked for.
    assert np.isnan(program.hessian([-1.0], wrt=[x, n])[1, 1])
    assert program.hessian([0.0], wrt=[x, n]).tolist() == [[2.0, 0.0], [0.0, 0.0]]
    n.data = 1.0
    with pytest.raises(ZeroDivisionError, match=r"0\.0 \*\* -1\.0"):
        program.hessian([0.0], wrt=[x, n])


@pytest.mark.parametrize(
    "function",
    [Value.gelu, Value.silu, Value.tanh, Value.softplus, Value.mish, lambda v: v.atan2(1.0)],
)
def test_where_nothing_bends_any_more_the_second_derivative_is_0(function, instruction_set):
    x = Value(0.5)
    program = compile(function(x), [x])
    rows = [[1e200], [-1e200], [800.0], [-800.0]]
    assert np.abs(program.hessian(rows, wrt="inputs")).max() < 1e-8


def test_an_error_names_the_power_that_cannot_be(instruction_set):
    x = Value(0.5)
    for exponent, power in ((1.875, "-0.125"), (0.5, "-0.5"), (-1.0, "-1.0")):
        program = compile(x**exponent, [x])
        with pytest.raises(ZeroDivisionError, match=rf"0\.0 \*\* {power}$"):
            program.hessian([0.0], wrt="inputs")


def test_some_parameters_in_an_order_of_their_own():
    a, b, c = Value(2.0), Value(3.0), Value(5.0)
    program = compile(a * a * b + c * b * b)
    whole = program.hessian(wrt="parameters")
    places = [program.parameters.index(p) for p in (c, a)]
    assert program.hessian(wrt=[c, a]).tolist() == whole[np.ix_(places, places)].tolist()
    assert program.hvp([10.0, 1.0], wrt=(c, a)).tolist() == [0.0, 6.0]
    assert program.hvp([], wrt=[]).tolist() == []
    with pytest.raises(
        ValueError, match=r"wrt\[1\], .* is neither an input nor a parameter of <Program"
    ):
        program.hessian(wrt=[a, Value(1.0)])
    with pytest.raises(ValueError, match=r"vector must be of shape \(2,\), .* of the Values"):
        program.hvp([1.0, 2.0, 3.0], wrt=[c, a])
    with pytest.raises(TypeError, match="or a sequence of Values, found Value"):
        program.hessian(wrt=a)


def test_newtons_method_with_scipy():
    from scipy.optimize import minimize

    x, y = Value(-1.0), Value(2.0)
    program = compile((1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2)
    assert program.parameters == (x, y)
    found = minimize(
        program.fun(),
        [-1.0, 2.0],
        jac=True,
        method="Newton-CG",
        hess=lambda _: program.hessian(wrt="parameters"),
    )
    assert found.x == pytest.approx([1.0, 1.0], abs=1e-4)
    found = minimize(
        program.fun([y, x]),
        [2.0, -1.0],
        jac=True,
        method="Newton-CG",
        hessp=lambda _, vector: program.hvp(vector, wrt=[y, x]),
    )
    assert found.x == pytest.approx([1.0, 1.0], abs=1e-4)


def test_arguments_that_do_not_fit_are_refused():
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    row = np.zeros(3)
    with pytest.raises(ValueError, match=r"vector must be of shape \(3,\), .* found shape \(2,\)"):
        program.hvp([1.0, 2.0], row, wrt="inputs")
    with pytest.raises(TypeError, match="vector must be numbers, found an array of complex128"):
        program.hvp([1j, 2.0, 3.0], row, wrt="inputs")
    with pytest.raises(ValueError, match='wrt must be "inputs", "parameters" or'):
        program.hessian(row, wrt="weights")
    with pytest.raises(ValueError, match="found 'median'"):
        program.hessian(row, "median")
    with pytest.raises(ValueError, match=r"found shape \(3,\)"):
        program.hessian(np.zeros((2, 3)), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="found shape"):
        program.hessian(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="found a sequence"):
        compile([loss, loss], inputs).hessian(row)
    assert program.hessian(np.zeros((0, 3)), wrt="inputs").shape == (0, 3, 3)


def test_arrays_that_cannot_be_written_are_only_read():
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    rows, weights = rows_for(program, 2), np.array([0.5, 2.0])
    vector = np.arange(1.0, 1.0 + len(program.parameters))
    total, product = (
        program.backward(rows, weights),
        program.hvp(vector, rows, weights, "parameters"),
    )
    for array in (rows, weights, vector):
        array.flags.writeable = False
    assert program.backward(rows, weights) == total
    assert program.hvp(vector, rows, weights, "parameters").tolist() == product.tolist()
