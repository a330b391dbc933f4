"""Each operation against its formula, against PyTorch, against differences, and at its kinks."""

import inspect
import math
import random
import re

import pytest
import torch
from operation_table import BY_ID, CONDITIONS, KINKS, OPERATIONS, WITHOUT_DIFFERENCES
from support import METHODS, SPECIAL_NUMBERS, bits, outcome, same_bits

import micrograd_fast
from micrograd_fast import _core

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda row: row.id)

N_POINTS = 300


def points(operation, seed, n_points=N_POINTS):
    """Random operands of an operation, all different."""
    rng = random.Random(f"{seed} {operation.id}")
    drawn = [operation.draw(rng) for _ in range(n_points)]
    assert len(set(drawn)) > 0.9 * n_points, "the points do not vary"
    return drawn


def run(engine, operation, numbers, seed_gradient=1.0):
    """The value and the gradients of one operation, with `seed_gradient` coming in."""
    operands = [engine.Value(number) for number in numbers]
    out = operation.apply(*operands)
    out.grad = seed_gradient
    out._backward()
    return out, [operand.grad for operand in operands]


def test_table_holds_every_operation_of_the_engine(compiled):
    ours = {(row.name, row.arity) for row in OPERATIONS}
    theirs = {(row.name, row.arity) for row in _core.OPERATIONS}
    assert ours == theirs
    labels = {row.name: row.label for row in OPERATIONS if row.name != "pow_const"}
    for row in _core.OPERATIONS:
        assert labels.get(row.name, "**") == row.label
        assert row.doc.strip(), f"{row.name} has no documentation"


def raised(function):
    """The exception that a call ends with, if any."""
    try:
        function()
    except (ArithmeticError, ValueError) as error:
        return {type(error)}
    return set()


def errors_met(engine, operation):
    """What the value raises, and what backward does where there is a value."""
    grid = [(a, b) for a in SPECIAL_NUMBERS for b in SPECIAL_NUMBERS]
    if operation.arity == 1:
        grid = [(a,) for a in SPECIAL_NUMBERS]
    of_values, of_slopes = set(), set()
    for numbers in [*grid, *points(operation, seed=10)]:
        operands = [*map(engine.Value, numbers)]
        errors = raised(lambda: operation.apply(*operands))
        of_values |= errors
        if not errors:
            of_slopes |= raised(operation.apply(*operands)._backward)
    return of_values, of_slopes


@pytest.mark.parametrize("name", dict.fromkeys(row.name for row in OPERATIONS))
def test_raises_what_the_table_says_and_nothing_else(engine, name):
    (told,) = [row for row in _core.OPERATIONS if row.name == name]
    met = [errors_met(engine, row) for row in OPERATIONS if row.name == name]
    assert set(told.value_errors) == set().union(*(values for values, _ in met))
    assert set(told.slope_errors) == set().union(*(slopes for _, slopes in met))
    assert bool(told.wanted) == (ValueError in told.value_errors)


@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.name)
def test_help_names_the_arguments_and_the_errors(compiled, row):
    method = getattr(compiled.Value, row.name)
    summary, *sections = inspect.getdoc(method).split("\n\n")
    assert summary == row.doc
    named = re.findall(r"^(\w+Error)$", "\n".join(sections), re.MULTILINE)
    bounds = [ValueError] if len(row.immediates) == 2 else []
    told = [*bounds, *row.value_errors, *row.slope_errors]
    assert named == [error.__name__ for error in told]
    assert inspect.getdoc(method).count("From ``backward``") == len(row.slope_errors)
    if row.wanted:
        assert f"neither nan nor {row.wanted}." in sections[-1]
    _self, *parameters = inspect.signature(method).parameters.values()
    if row.arity == 2:
        assert [parameter.name for parameter in parameters] == ["other"]
    else:
        defaults = {p.name: p.default for p in parameters}
        ends = {math.inf: None, -math.inf: None}
        assert defaults == {name: ends.get(k, k) for name, k in row.immediates}
        assert all(f"{name}" in sections[0] for name in defaults)


@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.name)
def test_the_reference_takes_the_same_arguments(reference, row):
    ours = inspect.signature(getattr(micrograd_fast.Value, row.name)).parameters
    theirs = inspect.signature(getattr(reference.Value, row.name)).parameters
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values()
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: a.elu(beta=2), TypeError, "a keyword of elu must be alpha, found beta"),
        (lambda a: a.clip(lo=2), TypeError, "a keyword of clip must be low or high, found lo"),
        (lambda a: a.elu(1, 2), TypeError, "arguments of elu must be at most 1, found 2"),
        (lambda a: a.clip(1, 2, 3), TypeError, "arguments of clip must be at most 2, found 3"),
        (lambda a: a.elu(1, alpha=2), TypeError, "alpha must be given once"),
        (lambda a: a.clip(1, low=2), TypeError, "low must be given once"),
        (lambda a: a.elu(None), TypeError, "alpha must be a real number, found NoneType"),
        (lambda a: a.clip("1"), TypeError, "low must be a real number, found str"),
        (lambda a: a.clip(high=1j), TypeError, "high must be a real number, found complex"),
        (lambda a: a.clip(2, 1), ValueError, "low must be at most high, found low=2.0 and high=1"),
        (lambda a: a.clip(math.nan), ValueError, "low must be at most high, found low=nan"),
        (lambda a: a.maximum("1"), TypeError, "maximum must be a real number, found str"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(compiled, call, error, message):
    before = compiled.arena_stats()["live_nodes"]
    a = compiled.Value(0.5)
    with pytest.raises(error, match=message):
        call(a)
    assert compiled.arena_stats()["live_nodes"] == before + 1


def test_an_argument_that_moves_the_operand_is_read_first(compiled):
    """Converting a number runs Python, which may build a layer of the very operand."""

    class Alpha:
        def __float__(self):
            neuron.w = [*neuron.w[:1], a]
            layer([1.0, 2.0])
            return 0.5

    for _ in range(3):
        layer = compiled.nn.Layer(2, 3, activation="elu")
        neuron = layer.neurons[1]
        a = neuron.w[1]
        a.data = -2.0
        out = a.elu(alpha=Alpha())
        assert out._prev == {a}
        assert out.data == 0.5 * math.expm1(-2.0)


@every_operation
def test_value_has_the_bits_of_the_formula(engine, operation):
    for numbers in points(operation, seed=1):
        out, _ = run(engine, operation, numbers)
        expected = operation.value(*numbers)
        assert same_bits(out.data, expected), (numbers, out.data, expected)
        assert out._op == operation.label


@every_operation
def test_gradient_has_the_bits_of_the_formula(engine, operation):
    rng = random.Random(2)
    for numbers in points(operation, seed=3):
        g = rng.uniform(-3.0, 3.0)
        _out, gradients = run(engine, operation, numbers, g)
        slopes = operation.slopes(*numbers, operation.value(*numbers))
        expected = [0.0 + slope * g for slope in slopes]
        assert [*map(bits, gradients)] == [*map(bits, expected)], (numbers, g)


@every_operation
def test_gradient_is_added_to_what_is_there(engine, operation):
    rng = random.Random(4)
    for numbers in points(operation, seed=5, n_points=20):
        g, before = rng.uniform(-3.0, 3.0), rng.uniform(-3.0, 3.0)
        operands = [engine.Value(number) for number in numbers]
        for operand in operands:
            operand.grad = before
        out = operation.apply(*operands)
        out.grad = g
        out._backward()
        slopes = operation.slopes(*numbers, operation.value(*numbers))
        for operand, slope in zip(operands, slopes):
            assert same_bits(operand.grad, before + slope * g), (numbers, g, before)


@every_operation
def test_local_grads_are_the_derivatives(engine, operation):
    for numbers in points(operation, seed=6, n_points=20):
        operands = [engine.Value(number) for number in numbers]
        out = operation.apply(*operands)
        slopes = operation.slopes(*numbers, operation.value(*numbers))
        assert isinstance(out._local_grads, tuple)
        assert [*map(bits, out._local_grads)] == [*map(bits, slopes)], numbers


@every_operation
def test_engines_agree_on_special_numbers(compiled, reference, operation):
    """Zeros, subnormals, infinities, nan, huge numbers: the same bits or the same exception."""
    if operation.arity == 1:
        operand_lists = [(a,) for a in SPECIAL_NUMBERS]
    else:
        operand_lists = [(a, b) for a in SPECIAL_NUMBERS for b in SPECIAL_NUMBERS]
    outcomes = set()
    for numbers in operand_lists:
        results = []
        for engine in (compiled, reference):
            operands = [engine.Value(number) for number in numbers]
            result = [outcome(lambda: operation.apply(*operands).data)]
            if not result[0].startswith("raises"):
                out = operation.apply(*operands)
                out.grad = 1.5
                result.append(outcome(lambda: out._backward() or 0.0))
                result += [bits(operand.grad) for operand in operands]
            results.append(result)
        assert results[0] == results[1], numbers
        outcomes.add(tuple(results[0]))
    few = operation.id in ("pow False", "pow 0", "pow True") or operation.name in CONDITIONS
    assert len(outcomes) >= (2 if few else 5), "the special numbers do not tell cases apart"


@every_operation
def test_value_of_special_numbers_is_the_formula(engine, operation):
    numbers = SPECIAL_NUMBERS
    for a in numbers:
        for operands in [(a,)] if operation.arity == 1 else [(a, b) for b in numbers]:
            found = outcome(lambda: operation.apply(*map(engine.Value, operands)).data)
            assert found == outcome(operation.value, *operands), operands


@every_operation
def test_matches_torch(engine, operation):
    """Value to 1e-13 and gradient to 1e-12 of float64: a few roundings of another library."""
    for numbers in points(operation, seed=7, n_points=100):
        out, gradients = run(engine, operation, numbers)
        tensors = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]
        y = operation.torch(*tensors)
        y.backward()
        assert math.isclose(out.data, y.item(), rel_tol=1e-13, abs_tol=1e-300), numbers
        for gradient, tensor in zip(gradients, tensors):
            assert math.isclose(gradient, tensor.grad.item(), rel_tol=1e-12, abs_tol=1e-15), (
                numbers
            )


def central_differences(engine, operation, numbers, h=1e-5):
    """The slope by each operand, as the engine's values have it."""
    for i in range(len(numbers)):
        ahead = [n + h * (i == j) for j, n in enumerate(numbers)]
        behind = [n - h * (i == j) for j, n in enumerate(numbers)]
        rise = run(engine, operation, ahead)[0].data - run(engine, operation, behind)[0].data
        yield rise / (2 * h)


@pytest.mark.parametrize(
    "operation",
    [row for row in OPERATIONS if row.id not in WITHOUT_DIFFERENCES],
    ids=lambda row: row.id,
)
def test_matches_central_differences(engine, operation):
    """To 1e-6, the error of a central difference with this step on these functions."""
    for numbers in points(operation, seed=8, n_points=50):
        _, gradients = run(engine, operation, numbers)
        differences = central_differences(engine, operation, numbers)
        for gradient, difference in zip(gradients, differences, strict=True):
            assert math.isclose(gradient, difference, rel_tol=1e-6, abs_tol=1e-6), numbers


@pytest.mark.parametrize("name", WITHOUT_DIFFERENCES)
def test_what_differences_cannot_check_is_only_what_they_contradict(engine, name):
    """A detached number has the slope of the number itself, and passes on nothing of it."""
    for numbers in points(BY_ID[name], seed=8, n_points=50):
        _, gradients = run(engine, BY_ID[name], numbers)
        assert [*central_differences(engine, BY_ID[name], numbers)] == pytest.approx([1.0])
        assert [*map(bits, gradients)] == [bits(0.0)], numbers


@pytest.mark.parametrize("gradient", [1.0, -2.0, 0.0, -0.0, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("before", [0.0, -0.0, 0.75, math.inf])
def test_nothing_flows_through_detach(engine, gradient, before):
    a = engine.Value(3.0)
    a.grad = before
    out = a.detach()
    out.grad = gradient
    out._backward()
    assert bits(a.grad) == bits(before + 0.0)
    assert [*map(bits, out._local_grads)] == [bits(0.0)]


def test_detach_is_a_node_of_the_graph(engine):
    """As in PyTorch, what is detached still counts with its value."""
    a, b = engine.Value(3.0), engine.Value(2.0)
    square = a * a
    detached = square.detach()
    out = detached * a + b
    out.backward()
    assert (detached.data, detached._op, detached._prev) == (9.0, "detach", {square})
    assert (out.data, a.grad, square.grad, detached.grad, b.grad) == (29.0, 9.0, 0.0, 3.0, 1.0)
    assert engine.Value(-0.0).detach().data.hex() == "-0x0.0p+0"


@pytest.mark.parametrize("name, numbers, slopes", KINKS)
def test_slope_at_a_kink_is_the_stated_one(engine, name, numbers, slopes):
    _, gradients = run(engine, BY_ID[name], numbers)
    assert [*map(bits, gradients)] == [*map(bits, slopes)]


def test_hypot_has_the_bits_of_python_at_every_magnitude(engine):
    """Python's is not the C library's, and has another way below the normal numbers."""
    rng = random.Random(13)
    unlike = 0
    for _ in range(5000):
        scale = 10.0 ** rng.randint(-323, 308)
        a, b = (rng.uniform(-1.0, 1.0) * scale * 10.0 ** rng.randint(-3, 0) for _ in range(2))
        found = engine.Value(a).hypot(b).data
        assert same_bits(found, math.hypot(a, b)), (a, b)
        unlike += math.isfinite(found) and found != abs(complex(a, b))
    assert unlike > 5
    assert engine.Value(1.7e308).hypot(1.7e308).data == math.inf


def test_same_operand_twice_gets_both_shares(engine):
    a = engine.Value(3.0)
    (a * a).backward()
    assert a.grad == 6.0
    a = engine.Value(3.0)
    (a + a).backward()
    assert a.grad == 2.0
    a = engine.Value(2.0)
    (a**a).backward()
    assert a.grad == 2.0 * 2.0**1.0 + 4.0 * math.log(2.0)
    a = engine.Value(5.0)
    a.maximum(a).backward()
    assert a.grad == 1.0
    a = engine.Value(5.0)
    (a - a).backward()
    assert a.grad == 0.0
    a = engine.Value(5.0)
    (a / a).backward()
    assert a.grad == -1.0 * 5.0**-2 * 5.0 + 5.0**-1


def test_immediates_may_be_keywords_and_any_number(engine):
    a = engine.Value(-2.0)
    assert a.leaky_relu(negative_slope=0.5).data == -1.0
    assert a.elu(alpha=2.0).data == 2.0 * math.expm1(-2.0)
    assert a.clip(low=-1).data == -1.0
    assert a.clip(high=-3).data == -3.0
    assert a.clip(low=-1, high=1).data == -1.0
    assert a.clip().data == -2.0
    assert a.clip(-2, -2).data == -2.0


def test_immediates_do_not_leak_between_nodes(engine):
    """Two nodes of one operation keep their own immediates until backward."""
    a = engine.Value(-2.0)
    steep, flat = a.leaky_relu(0.5), a.leaky_relu(0.25)
    narrow, wide = a.clip(-1.0, 1.0), a.clip(-5.0, 5.0)
    square, cube = a**2, a**3
    for node, slope in [
        (steep, 0.5),
        (flat, 0.25),
        (narrow, 0.0),
        (wide, 1.0),
        (square, -4.0),
        (cube, 12.0),
    ]:
        a.grad = 0.0
        node.backward()
        assert a.grad == slope


def test_maximum_and_minimum_take_numbers(engine):
    a = engine.Value(2.0)
    out = a.maximum(3) + a.minimum(3)
    out.backward()
    assert (out.data, a.grad) == (5.0, 1.0)
    assert a.maximum(1)._children[1].data == 1.0


def test_abs_is_the_builtin_too(engine):
    a = engine.Value(-2.0)
    out = abs(a)
    out.backward()
    assert (out.data, out._op, a.grad) == (2.0, "abs", -1.0)


def test_sum_and_dot_have_the_bits_of_python(engine):
    """The module's sum and dot against a loop of additions, mixed with plain numbers."""
    rng = random.Random(9)
    for length in [1, 2, 3, 10, 100]:
        w = [rng.uniform(-1, 1) * 10.0 ** rng.randint(-8, 8) for _ in range(length)]
        x = [rng.uniform(-1, 1) * 10.0 ** rng.randint(-8, 8) for _ in range(length)]
        total = 0.0
        for wi, xi in zip(w, x):
            total = total + wi * xi
        ws, xs = [*map(engine.Value, w)], [*map(engine.Value, x)]
        assert same_bits(engine.dot(ws, xs).data, total), length
        assert same_bits(engine.dot(ws, x).data, total), length
        assert same_bits(engine.dot(w, xs).data, total), length
        product = engine.dot(ws, xs)
        product.backward()
        assert [*map(bits, (v.grad for v in ws))] == [*map(bits, x)]
        assert [*map(bits, (v.grad for v in xs))] == [*map(bits, w)]
        total = 0.0
        for wi in w:
            total = total + wi
        assert same_bits(engine.sum(ws).data, total)
        assert same_bits(sum(ws).data, total)
        assert same_bits(engine.sum(iter(ws)).data, total)


def test_sum_and_dot_always_give_a_value(engine):
    assert type(engine.sum([])) is engine.Value
    assert engine.sum([]).data == 0.0
    assert type(engine.sum([1, 2.5])) is engine.Value
    assert engine.sum([1, 2.5]).data == 3.5
    assert type(engine.dot([], [])) is engine.Value
    assert type(engine.dot([1, 2], [3, 4.5])) is engine.Value
    assert engine.dot([1, 2], [3, 4.5]).data == 12.0


def test_sum_of_leading_numbers_is_pythons_own(engine):
    """Python 3.12 adds floats with compensation; what stands before the first Value is so too."""
    numbers = [0.1] * 10
    v = engine.Value(1.0)
    assert same_bits(engine.sum([*numbers, v]).data, sum([*numbers, v]).data)
    assert same_bits(engine.sum(numbers).data, sum(numbers))
    assert same_bits(engine.dot(numbers, [1.0] * 10).data, sum(n * 1.0 for n in numbers))
