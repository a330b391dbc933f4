"""The rows of frozen programs, against what other libraries make of the same formulas."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import micrograd_fast
from micrograd_fast import Value, compile, demo
from micrograd_fast.optim import SGD

from .kinds import AT_LEAST, AT_MOST, Result, Row, TimedRow, expect, format_seconds, peer
from .timing import Effort, Side, repeated
from .training import (
    DIGITS,
    DIGITS_RATE,
    LARGE,
    MOONS_RATE,
    N_CHECKED_STEPS,
    classifier,
    classify_torch,
    moons_torch,
    torch_numbers,
    torch_twin,
    torch_with_one_thread,
)

N_BATCH = 1024

# Two moons, a whole step -------------------------------------------------------------------------


def moons_data():
    """Draw the points with their labels as a third column, and the model to train."""
    numpy = peer("numpy")
    peer("sklearn.datasets")
    points, labels = demo.two_moons(100, 0.1, 1337)
    return numpy.column_stack([points, labels]), demo.start(micrograd_fast, 1337).model


def margin_program(model, fast=False):
    """Freeze the margin loss of one point: a row is the point and its label."""
    x, y = [Value(0.1), Value(0.2)], Value(1.0)
    return compile((1 - y * model(x)).relu(), [*x, y], fast=fast)


def moons_frozen() -> Side:
    """Time a full-batch step: loss, L2 term, gradients and SGD."""
    rows, model = moons_data()
    parameters = model.parameters()
    margin = margin_program(model)
    penalty = compile(demo.PENALTY * sum(p * p for p in parameters))
    optimizer = SGD(parameters, lr=MOONS_RATE)

    def step():
        optimizer.zero_grad()
        loss = margin.backward(rows) + penalty.backward()
        optimizer.step()
        return loss

    return Side([step(), step(), *(p.data for p in parameters)], repeated(step))


def moons_jax() -> Side:
    """Time the same step as JAX compiles it, in double precision."""
    jax = peer("jax")
    numpy = jax.numpy
    jax.config.update("jax_enable_x64", True)
    rows, model = moons_data()
    x, y = numpy.array(rows[:, :2]), numpy.array(rows[:, 2])
    parameters = [
        (
            numpy.array([[w.data for w in neuron.w] for neuron in layer.neurons]),
            numpy.array([neuron.b.data for neuron in layer.neurons]),
        )
        for layer in model.layers
    ]

    def total(parameters):
        h = x
        for w, b in parameters[:-1]:
            h = numpy.maximum(h @ w.T + b, 0.0)
        w, b = parameters[-1]
        scores = (h @ w.T + b)[:, 0]
        squares = sum((w * w).sum() + (b * b).sum() for w, b in parameters)
        return numpy.maximum(1.0 - y * scores, 0.0).mean() + demo.PENALTY * squares

    @jax.jit
    def step(parameters):
        loss, gradients = jax.value_and_grad(total)(parameters)
        change = jax.tree.map(lambda p, g: p - MOONS_RATE * g, parameters, gradients)
        return change, loss

    losses = []
    for _ in range(2):
        parameters, loss = step(parameters)
        losses.append(float(loss))
    numbers = [
        float(number)
        for w, b in parameters
        for row, bias in zip(w, b, strict=True)
        for number in (*row, bias)
    ]

    def run(n):
        state = parameters
        began = time.perf_counter()
        for _ in range(n):
            state, loss = step(state)
        loss.block_until_ready()
        return time.perf_counter() - began

    return Side([*losses, *numbers], run)


# One point, and many, of the same network --------------------------------------------------------


def point_rows(n_rows):
    """Draw points with their labels."""
    return peer("numpy").random.default_rng(7).normal(size=(n_rows, 3))


def point_frozen(n_rows) -> Side:
    """Time value and gradient by the parameters, rows added up, for one call."""
    model = moons_data()[1]
    program = margin_program(model)
    rows = point_rows(n_rows)
    given = rows[0].copy() if n_rows == 1 else rows
    total = program.backward(given, "sum")
    return Side(
        [total, *(p.grad for p in model.parameters())],
        repeated(lambda: program.backward(given, "sum")),
    )


def tanh_frozen(fast) -> Side:
    """Time the same over a batch, with tanh between the layers."""
    random.seed(1337)
    model = micrograd_fast.MLP(2, [16, 16, 1], activation="tanh")
    program = margin_program(model, fast)
    rows = point_rows(N_BATCH)
    total = program.backward(rows)
    return Side(
        [total, *(p.grad for p in model.parameters())],
        repeated(lambda: program.backward(rows)),
    )


def product_frozen() -> Side:
    """Time a product with the Hessian of a squared error by the parameters."""
    model, rows = moons_data()[1], point_rows(N_BATCH)
    x, y = [Value(0.1), Value(0.2)], Value(1.0)
    program = compile((model(x) - y) ** 2, [*x, y])
    place = {id(p): i for i, p in enumerate(program.parameters)}
    vector = peer("numpy").ones(len(place))
    product = program.hvp(vector, rows, wrt="parameters")
    return Side(
        [product[place[id(p)]] for p in model.parameters()],
        repeated(lambda: program.hvp(vector, rows, wrt="parameters")),
    )


def product_torch() -> Side:
    """Time the same with PyTorch, differentiating twice."""
    torch = torch_with_one_thread()
    twin = torch_twin(torch, moons_data()[1])
    parameters = list(twin.parameters())
    rows = torch.tensor(point_rows(N_BATCH))

    def product():
        loss = ((twin(rows[:, :2])[:, 0] - rows[:, 2]) ** 2).mean()
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        along = sum(gradient.sum() for gradient in gradients)
        return torch.autograd.grad(along, parameters)

    products = dict(zip(parameters, product(), strict=True))
    return Side(torch_numbers(torch, twin, products.__getitem__), repeated(product))


def point_casadi(n_rows) -> Side:
    """Time CasADi's function on its buffers, row after row."""
    casadi, numpy = peer("casadi"), peer("numpy")
    model = moons_data()[1]
    parameters = model.parameters()
    symbols = casadi.SX.sym("p", len(parameters))
    place = {id(p): i for i, p in enumerate(parameters)}
    x = casadi.SX.sym("x", 3)
    h = [x[0], x[1]]
    for number, layer in enumerate(model.layers):
        sums = []
        for neuron in layer.neurons:
            total = symbols[place[id(neuron.b)]]
            for w, v in zip(neuron.w, h, strict=True):
                total = total + symbols[place[id(w)]] * v
            sums.append(total if number == len(model.layers) - 1 else casadi.fmax(total, 0))
        h = sums
    loss = casadi.fmax(1 - x[2] * h[0], 0)
    function = casadi.Function("f", [x, symbols], [loss, casadi.gradient(loss, symbols)])
    buffer, evaluate = function.buffer()
    row = numpy.zeros(3)
    numbers = numpy.array([p.data for p in parameters])
    value, gradient = numpy.zeros(1), numpy.zeros(len(parameters))
    buffer.set_arg(0, memoryview(row))
    buffer.set_arg(1, memoryview(numbers))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))
    rows = point_rows(n_rows)
    # CasADi has their addresses alone.
    held = (function, buffer, row, numbers, value, gradient)

    def one_row(_alive=held):
        evaluate()

    def all_rows(_alive=held):
        for given in rows:
            row[:] = given
            evaluate()

    row[:] = rows[0]
    total, added = 0.0, numpy.zeros(len(parameters))
    for given in rows:
        row[:] = given
        evaluate()
        total += value[0]
        added += gradient
    row[:] = rows[0]
    return Side([total, *added], repeated(one_row if n_rows == 1 else all_rows))


def point_aadc() -> Side:
    """Time AADC's machine code on the whole batch, values and gradients of every row."""
    aadc, numpy = peer("aadc"), peer("numpy")
    model = moons_data()[1]
    parameters = model.parameters()
    rows = point_rows(N_BATCH)
    function = aadc.Functions()
    function.start_recording()
    x = [aadc.idouble(0.1) for _ in range(3)]
    arguments = [v.mark_as_input() for v in x]
    symbols = {id(p): aadc.idouble(p.data) for p in parameters}
    parameter_arguments = [symbols[id(p)].mark_as_input() for p in parameters]
    h = x[:2]
    for number, layer in enumerate(model.layers):
        sums = []
        for neuron in layer.neurons:
            total = symbols[id(neuron.b)]
            for w, v in zip(neuron.w, h, strict=True):
                total = total + symbols[id(w)] * v
            last = number == len(model.layers) - 1
            sums.append(total if last else aadc.math.max(total, aadc.idouble(0.0)))
        h = sums
    loss = aadc.math.max(1.0 - x[2] * h[0], aadc.idouble(0.0)).mark_as_output()
    function.stop_recording()
    function.compile("auto")  # the machine's vector lanes
    numbers = {a: rows[:, i].copy() for i, a in enumerate(arguments)}
    numbers |= {a: p.data for a, p in zip(parameter_arguments, parameters, strict=True)}
    pool = aadc.ThreadPool(1)

    def evaluate():
        return aadc.evaluate(function, {loss: parameter_arguments}, numbers, pool)

    values, gradients = evaluate()[:2]
    total = float(numpy.sum(values[loss]))
    added = [float(numpy.sum(gradients[loss][a])) for a in parameter_arguments]
    return Side([total, *added], repeated(evaluate))


# Graphs without layers ---------------------------------------------------------------------------


def irregular_graph(n_nodes):
    """Build a random graph of sums, differences, products and relus; its output and inputs."""
    rng = random.Random(5)
    inputs = [Value(rng.uniform(-1.0, 1.0)) for _ in range(16)]
    nodes = list(inputs)

    def operand():
        if rng.random() < 0.3:
            return rng.choice(nodes)
        return nodes[-rng.randint(1, min(50, len(nodes)))]

    while len(nodes) < n_nodes:
        kind = rng.randrange(4)
        if kind == 0:
            node = operand() + operand()
        elif kind == 1:
            node = operand() - operand()
        elif kind == 2:
            node = operand() * operand()
        else:
            node = operand().relu()
        nodes.append(node * 0.05 if abs(node.data) > 10.0 else node)
    return sum([*nodes[-200:], *inputs]), inputs


@dataclass(frozen=True)
class OwnRow(Row):
    """Work that has a limit of its own, and no other side."""

    ours: Callable[[], tuple[Callable[[int], float], float]]  # runs n times; divisor of a time
    note: str = ""

    def measure(self, effort: Effort) -> Result:
        """Time it in this process."""
        run, divisor = self.ours()
        n = 1
        while run(n) < effort.sample_seconds / 4:
            n *= 2
        samples = [run(n) / n / divisor for _ in range(effort.n_samples)]
        scale = {" ns": 1e9, " µs": 1e6}[self.unit]
        return Result(
            format_seconds(statistics.median(samples)),
            "",
            [scale * seconds for seconds in samples],
            self.note,
        )


def irregular():
    """Time value and gradient of 10,000 nodes on 1,024 rows."""
    numpy = peer("numpy")
    output, inputs = irregular_graph(10_000)
    program = compile(output, inputs)
    rows = numpy.random.default_rng(3).uniform(-1.0, 1.0, size=(N_BATCH, len(inputs)))
    rows[0] = [v.data for v in inputs]
    values, gradients = program.value_and_grad(rows)
    output.backward()
    expect([values[0], *gradients[0]], [output.data, *(v.grad for v in inputs)], 0.0)
    divisor = N_BATCH * program.stats()["nodes"]
    return repeated(lambda: program.value_and_grad(rows)), divisor


def tiny_program():
    """Freeze the tiny graph of the other rows."""
    a, b = Value(-41.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    e = c - d
    return compile(e**2 / 2, [a, b])


def tiny_call():
    """Time one call with one row."""
    program = tiny_program()
    row = peer("numpy").array([-41.0, 2.0])
    expect([program(row)], [612.5], 0.0)
    return repeated(lambda: program(row)), 1


def tiny_rows():
    """Time 100,000 rows in a call."""
    program = tiny_program()
    rows = peer("numpy").random.default_rng(1).normal(size=(100_000, 2))
    expect(program(rows)[:9], [program(row) for row in rows[:9]], 0.0)
    return repeated(lambda: program(rows)), len(rows)


def freezing():
    """Time making a program of a graph."""
    output, inputs = irregular_graph(50_000)
    divisor = compile(output, inputs).stats()["nodes"]
    return repeated(lambda: compile(output, inputs)), divisor


# Classifiers -------------------------------------------------------------------------------------


def classify_frozen(sizes, batch_size, fast=False, dtype="float64") -> Side:
    """Time a step of cross entropy and gradient descent on a minibatch.

    The class is an input, too: a row is an image and ten numbers, of which one is 1.
    """
    numpy = peer("numpy")
    model, images, classes = classifier(sizes, batch_size)
    x = [Value(0.01 * (i % 7)) for i in range(sizes[0])]
    is_class = [Value(0.0) for _ in range(sizes[-1])]
    loss = -micrograd_fast.dot(is_class, micrograd_fast.log_softmax(model(x)))
    program = compile(loss, [*x, *is_class], fast=fast, dtype=dtype)
    rows = numpy.hstack([numpy.array(images), numpy.eye(sizes[-1])[classes]])
    optimizer = SGD(model.parameters(), lr=DIGITS_RATE)

    def step():
        optimizer.zero_grad()
        loss = program.backward(rows)
        optimizer.step()
        return loss

    return Side([step() for _ in range(N_CHECKED_STEPS)], repeated(step))


def classify_sklearn() -> Side:
    """Time scikit-learn's own step on the same minibatch; its weights are its own."""
    numpy = peer("numpy")
    neural_network = peer("sklearn.neural_network")
    _, images, classes = classifier(DIGITS, 32)
    model = neural_network.MLPClassifier(
        DIGITS[1:-1],
        solver="sgd",
        learning_rate_init=DIGITS_RATE,
        momentum=0.0,
        alpha=0.0,
        batch_size=32,
    )
    images, classes = numpy.array(images), numpy.array(classes)
    labels = numpy.arange(10)
    model.partial_fit(images, classes, classes=labels)
    return Side([], repeated(lambda: model.partial_fit(images, classes)))


def without_result(side: Side) -> Side:
    """Leave nothing to compare with a side whose initial weights are its own."""
    return Side([], side.run)


FROZEN_ROWS = [
    TimedRow(
        "frozen-moons-jax",
        "two moons, a full-batch step, frozen",
        "JAX, jit, float64",
        AT_LEAST,
        1.5,
        " times faster",
        ours=moons_frozen,
        other=moons_jax,
        relative=1e-9,
        note="with L2 term and SGD, in this row and the next",
    ),
    TimedRow(
        "frozen-moons-torch",
        "two moons, a full-batch step, frozen",
        "PyTorch, all points in one tensor",
        AT_LEAST,
        15.0,
        " times faster",
        ours=moons_frozen,
        other=moons_torch,
        relative=1e-9,
    ),
    TimedRow(
        "frozen-point",
        "MLP(2, [16, 16, 1]), one point, value and gradient",
        "CasADi, buffers",
        AT_LEAST,
        1.8,
        " times faster",
        ours=lambda: point_frozen(1),
        other=lambda: point_casadi(1),
        relative=1e-9,
        note="the gradient is that by the 337 parameters, in this row and the next three",
    ),
    TimedRow(
        "frozen-batch",
        "the same on 1,024 points",
        "CasADi, buffers",
        AT_LEAST,
        5.0,
        " times faster",
        ours=lambda: point_frozen(N_BATCH),
        other=lambda: point_casadi(N_BATCH),
        relative=1e-9,
    ),
    TimedRow(
        "frozen-batch-aadc",
        "the same on 1,024 points",
        "AADC, batch",
        AT_LEAST,
        4.0,
        " times faster",
        ours=lambda: point_frozen(N_BATCH),
        other=point_aadc,
        relative=1e-9,
        note="AADC's licence allows it for measuring without commercial use; it is in no extra",
    ),
    TimedRow(
        "frozen-tanh-fast",
        "the same with tanh and fast=True",
        "without fast=True",
        AT_LEAST,
        None,
        " times faster",
        ours=lambda: tanh_frozen(fast=True),
        other=lambda: tanh_frozen(fast=False),
        relative=1e-9,
    ),
    TimedRow(
        "frozen-hessian",
        "MLP(2, [16, 16, 1]), 1,024 points, a product with the Hessian",
        "PyTorch, all points in one tensor",
        AT_LEAST,
        None,
        " times faster",
        ours=product_frozen,
        other=product_torch,
        relative=1e-9,
    ),
    OwnRow(
        "frozen-irregular",
        "10,000 nodes without layers, a node and point of 1,024",
        "",
        AT_MOST,
        1.0,
        " ns",
        ours=irregular,
        note="value and gradient",
    ),
    OwnRow("frozen-tiny", "tiny graph, one call", "", AT_MOST, 0.4, " µs", ours=tiny_call),
    OwnRow(
        "frozen-tiny-rows",
        "tiny graph, a row of 100,000",
        "",
        AT_MOST,
        12.0,
        " ns",
        ours=tiny_rows,
    ),
    TimedRow(
        "frozen-digits",
        "64-64-32-10, a step on 32 samples, frozen",
        "PyTorch, float64",
        AT_LEAST,
        1.5,
        " times faster",
        ours=lambda: classify_frozen(DIGITS, 32),
        other=lambda: classify_torch(DIGITS, 32),
        relative=1e-9,
    ),
    TimedRow(
        "frozen-digits-sklearn",
        "64-64-32-10, a step on 32 samples, frozen",
        "scikit-learn, MLPClassifier",
        AT_LEAST,
        1.0,
        " times faster",
        ours=lambda: without_result(classify_frozen(DIGITS, 32)),
        other=classify_sklearn,
        note="partial_fit; its initial weights are its own, so that no results are compared",
    ),
    TimedRow(
        "frozen-large",
        "784-256-128-10, a step on 128 samples, frozen",
        "PyTorch, float64",
        AT_MOST,
        2.5,
        " times slower",
        ours=lambda: classify_frozen(LARGE, 128),
        other=lambda: classify_torch(LARGE, 128),
        relative=1e-9,
    ),
    TimedRow(
        "frozen-large-fast",
        "the same with fast=True",
        "PyTorch, float64",
        AT_MOST,
        1.3,
        " times slower",
        ours=lambda: classify_frozen(LARGE, 128, fast=True),
        other=lambda: classify_torch(LARGE, 128),
        relative=1e-9,
    ),
    TimedRow(
        "frozen-large-single",
        "the same in single precision",
        "PyTorch, float32",
        AT_MOST,
        None,
        " times slower",
        ours=lambda: classify_frozen(LARGE, 128, fast=True, dtype="float32"),
        other=lambda: classify_torch(LARGE, 128, "float32"),
        relative=1e-5,
    ),
    OwnRow("freezing", "making a program, a node", "", AT_MOST, 1.0, " µs", ours=freezing),
]
