"""Points 1 to 5 of the drop-in contract: numbers, bits, errors of arithmetic, relu."""

import gc
import math
import random
from decimal import Decimal
from fractions import Fraction

import micrograd.engine
import numpy as np
import pytest
import torch
from operation_table import OPERATIONS, power
from support import SPECIAL_NUMBERS, bits, outcome, picture, same_bits

import micrograd_fast


class WithFloat:
    def __float__(self):
        return 2.5


class WithIndex:
    def __index__(self):
        return 7


class FloatChild(float):
    pass


class IntChild(int):
    pass


ACCEPTED = [
    (3, 3.0),
    (-3, -3.0),
    (True, 1.0),
    (False, 0.0),
    (2.5, 2.5),
    (-0.0, -0.0),
    (2**53 + 1, float(2**53 + 1)),
    (-(10**300), -1e300),
    (FloatChild(1.5), 1.5),
    (IntChild(4), 4.0),
    (np.float16(0.1), float(np.float16(0.1))),
    (np.float32(0.1), float(np.float32(0.1))),
    (np.float64(0.1), 0.1),
    (np.longdouble(1) / 3, float(np.longdouble(1) / 3)),
    (np.int8(-5), -5.0),
    (np.int16(-5), -5.0),
    (np.int32(-5), -5.0),
    (np.int64(-5), -5.0),
    (np.uint8(200), 200.0),
    (np.uint16(200), 200.0),
    (np.uint32(200), 200.0),
    (np.uint64(2**64 - 1), 2.0**64),
    (np.bool_(True), 1.0),
    (np.array(2.5), 2.5),
    (np.array([2.5]), 2.5),
    (np.array([[3]]), 3.0),
    (torch.tensor(2.5), 2.5),
    (torch.tensor(0.1, dtype=torch.float64), 0.1),
    (torch.tensor([2]), 2.0),
    (torch.tensor(True), 1.0),
    (torch.tensor(2.5, requires_grad=True), 2.5),
    (Fraction(1, 3), 1 / 3),
    (Decimal("0.1"), 0.1),
    (WithFloat(), 2.5),
    (WithIndex(), 7.0),
]
accepted = pytest.mark.parametrize(
    "number, expected", ACCEPTED, ids=[f"{type(n).__name__} {n!r}"[:40] for n, _ in ACCEPTED]
)

REFUSED = [
    "1",
    "",
    b"1",
    bytearray(b"1"),
    1j,
    complex(1, 0),
    np.complex128(1),
    np.complex64(1),
    None,
    [1.0],
    (1.0,),
    {1.0},
    object(),
    len,
    float,
    np.array([1.0, 2.0]),
    np.array([]),
    np.array([1j]),
    np.array("1"),
    np.array([None]),
    np.str_("1"),
    torch.tensor([1.0, 2.0]),
    torch.tensor([]),
    torch.tensor(1j),
]
refused = pytest.mark.parametrize(
    "thing", REFUSED, ids=[f"{type(t).__name__} {t!r}"[:40] for t in REFUSED]
)


@accepted
def test_01_data_takes_anything_with_float_or_index(engine, number, expected):
    v = engine.Value(number)
    assert type(v.data) is float
    assert type(v.grad) is float
    assert same_bits(v.data, expected)
    assert same_bits(v.grad, 0.0)
    assert same_bits(v.item(), expected)
    assert type(v.item()) is float


@accepted
def test_01_operators_take_the_same_numbers(engine, number, expected):
    one = engine.Value(1.5)
    if getattr(number, "ndim", 0) == 0:
        assert same_bits((one + number).data, 1.5 + expected)
        assert same_bits((one * number).data, 1.5 * expected)
        assert same_bits((one - number).data, 1.5 + -expected)
        assert same_bits(one.maximum(number).data, max(1.5, expected))
        assert outcome(lambda: (one**number).data) == outcome(lambda: 1.5**expected)
        inverse = outcome(lambda: 1.5 * expected**-1)
        assert outcome(lambda: (one / number).data) == inverse
        assert same_bits(engine.sum([one, number]).data, 1.5 + expected)
        assert same_bits(engine.dot([one], [number]).data, 0.0 + 1.5 * expected)
    assert same_bits(engine.Value(2.0, (one,), (number,))._local_grads[0], expected)


# The reference keeps what is assigned as it is; only the compiled engine has a C double to put
# it into.
@accepted
def test_01_assigned_data_and_grad_become_floats(compiled, number, expected):
    v = compiled.Value(1.0)
    v.data = number
    assert type(v.data) is float
    assert same_bits(v.data, expected)
    v.grad = number
    assert type(v.grad) is float
    assert same_bits(v.grad, expected)


@pytest.mark.parametrize("number", SPECIAL_NUMBERS)
def test_01_every_double_survives(engine, number):
    v = engine.Value(number)
    assert same_bits(v.data, number)
    v.data = -number
    assert same_bits(v.data, -number)
    v.grad = number
    assert same_bits(v.grad, number)


@refused
def test_01_anything_else_is_a_type_error_naming_the_type(engine, thing):
    with pytest.raises(TypeError) as caught:
        engine.Value(thing)
    names = {type(thing).__name__}
    if hasattr(thing, "item") and thing.shape in ((), (1,)):
        names.add(type(thing.item()).__name__)
    assert any(name in str(caught.value) for name in names), caught.value


def test_01_a_value_is_not_data(engine):
    with pytest.raises(TypeError, match="Value"):
        engine.Value(engine.Value(1.0))


@pytest.mark.parametrize("thing", ["1", b"1", 1j, None, [1.0], object(), float])
def test_01_operators_refuse_the_same_things(engine, thing):
    v = engine.Value(2.0)
    name = type(thing).__name__
    attempts = [
        lambda: v + thing,
        lambda: thing + v,
        lambda: v - thing,
        lambda: thing - v,
        lambda: v * thing,
        lambda: thing * v,
        lambda: v / thing,
        lambda: thing / v,
        lambda: v**thing,
        lambda: thing**v,
    ]
    for attempt in attempts:
        with pytest.raises(TypeError, match=r"Value|real number|operand|concatenate|sequence"):
            attempt()
    # Of a sequence and a non-integer, Python itself names the other one.
    for attempt in [*attempts[::2], lambda: v.maximum(thing), lambda: v.minimum(thing)]:
        with pytest.raises(TypeError, match=f"{name}|multiply sequence"):
            attempt()
    assert (v.data, v.grad) == (2.0, 0.0)


# The reference keeps what is assigned as it is.
@refused
def test_01_assignment_refuses_the_same_things(compiled, thing):
    v = compiled.Value(2.0)
    v.grad = 3.0
    with pytest.raises(TypeError):
        v.data = thing
    with pytest.raises(TypeError):
        v.grad = thing
    assert (v.data, v.grad) == (2.0, 3.0)


# As above.
def test_01_data_and_grad_cannot_be_deleted(compiled):
    v = compiled.Value(2.0)
    with pytest.raises((AttributeError, TypeError)):
        del v.data
    with pytest.raises((AttributeError, TypeError)):
        del v.grad
    assert (v.data, v.grad) == (2.0, 0.0)


def test_01_an_int_beyond_the_floats_is_an_overflow(engine):
    v = engine.Value(1.0)
    for attempt in [
        lambda: engine.Value(10**400),
        lambda: v + 10**400,
        lambda: v * -(10**400),
        lambda: v - 10**400,
        lambda: v / 10**400,
        lambda: v ** (10**400),
        lambda: 10**400 + v,
        lambda: (10**400) ** v,
    ]:
        with pytest.raises(OverflowError):
            attempt()


def test_01_an_error_inside_float_is_passed_on(engine):
    class Stubborn:
        def __float__(self):
            raise RuntimeError("no number today")

    for attempt in [
        lambda: engine.Value(Stubborn()),
        lambda: engine.Value(1.0) + Stubborn(),
        lambda: Stubborn() * engine.Value(1.0),
        lambda: engine.Value(1.0, (engine.Value(2.0),), (Stubborn(),)),
    ]:
        with pytest.raises(RuntimeError, match="no number today"):
            attempt()


def test_01_a_float_method_may_use_the_engine(engine):
    """Converting an operand can run any code, also code that makes and frees nodes."""

    class Busy:
        def __float__(self):
            values = [engine.Value(i) * 2 for i in range(5000)]
            del values
            gc.collect()
            return 4.0

    a = engine.Value(3.0)
    out = (a * Busy() + Busy()) ** Busy()
    out.backward()
    assert out.data == 16.0**4
    assert a.grad == 4 * 16.0**3 * 4.0


def test_02_forward_pass_of_every_operation_has_the_bits_of_python(engine):
    """Chains through all operations, each step checked against the float it should be."""
    rng = random.Random(2)
    met = set()
    for _ in range(60):
        values, floats = [], []
        for _ in range(3):
            floats.append(rng.uniform(-2, 2))
            values.append(engine.Value(floats[-1]))
        for _ in range(40):
            operation = rng.choice(OPERATIONS)
            positions = [rng.randrange(len(values)) for _ in range(operation.arity)]
            try:
                y = operation.value(*(floats[i] for i in positions))
            except (ValueError, OverflowError, ZeroDivisionError) as error:
                with pytest.raises(type(error)):
                    operation.apply(*(values[i] for i in positions))
                continue
            out = operation.apply(*(values[i] for i in positions))
            assert same_bits(out.data, y), (operation.id, [floats[i] for i in positions])
            met.add(operation.id)
            if math.isfinite(y) and abs(y) < 1e6:
                values.append(out)
                floats.append(y)
    assert met == {operation.id for operation in OPERATIONS}


def test_02_no_fused_multiply_add_anywhere(engine):
    """(1 + 2**-27)**2 rounds to 1 + 2**-26; a fused product would leave 2**-54 behind."""
    x, minus = 1.0 + 2.0**-27, -(1.0 + 2.0**-26)
    a, b, c = engine.Value(x), engine.Value(x), engine.Value(minus)
    assert (a * b + c).data == 0.0
    assert (c + a * b).data == 0.0
    assert (a * x + minus).data == 0.0
    assert engine.dot([c, a], [1.0, b]).data == 0.0
    assert engine.dot([minus, x], [engine.Value(1.0), b]).data == 0.0
    assert engine.sum([c, a * b]).data == 0.0
    neuron = engine.nn.Neuron(1, nonlin=False)
    neuron.w[0].data, neuron.b.data = x, minus
    assert neuron([b]).data == 0.0
    # Backward: grad += local * g, from a gradient that the product cancels.
    out = a * b
    a.grad, out.grad = minus, x
    out._backward()
    assert a.grad == 0.0
    local = engine.Value(0.0, (a,), (x,))
    a.grad, local.grad = minus, x
    local._backward()
    assert a.grad == 0.0
    y = math.tanh(0.5)
    t = engine.Value(0.5).tanh()
    t.grad = 1.0
    t._backward()
    assert t._children[0].grad == 1.0 - y**2


def test_02_power_is_the_c_library_and_not_a_product(engine):
    rng = random.Random(4)
    for exponent in (2, 2.0, 3, -1, 0.5):
        differing = 0
        for _ in range(8000):
            a = rng.uniform(0.1, 4.0)
            expected = a ** float(exponent)
            assert same_bits((engine.Value(a) ** exponent).data, expected), (a, exponent)
            product = {2: a * a, 3: a * a * a, -1: 1.0 / a, 0.5: math.sqrt(a)}[exponent]
            differing += product != expected
        if exponent == 2:
            assert differing > 0, "no point tells pow from a product"


def test_02_powers_of_special_numbers(engine):
    """All pairs of special values, with the exponent as a number and as a Value."""

    for a in SPECIAL_NUMBERS:
        for b in SPECIAL_NUMBERS:
            want = outcome(power, a, b)
            assert outcome(lambda: (engine.Value(a) ** b).data) == want, (a, b)
            assert outcome(lambda: (engine.Value(a) ** engine.Value(b)).data) == want, (a, b)
            assert outcome(lambda: (a ** engine.Value(b)).data) == want, (a, b)


def test_02_division_is_multiplication_by_the_inverse(engine):
    rng = random.Random(5)
    differing = 0
    for _ in range(3000):
        a, b = rng.uniform(-5, 5), rng.uniform(0.1, 5)
        inverse = b**-1
        assert same_bits((engine.Value(a) / engine.Value(b)).data, a * inverse)
        assert same_bits((engine.Value(a) / b).data, a * inverse)
        assert same_bits((a / engine.Value(b)).data, inverse * a)
        differing += a / b != a * inverse
    assert differing > 100


def test_03_accumulation_order_is_reversed_post_order(engine):
    """One leaf, three uses, terms whose sum depends on the order in which they are added."""
    big, one = 1e16, 1.0
    a = engine.Value(1.0)
    terms = [a * big, a * one, a * -big]
    ((terms[0] + terms[1]) + terms[2]).backward()
    # Post-order meets terms[0], terms[1], terms[2]; reversed, -big comes first.
    assert a.grad == (-big + one) + big
    a = engine.Value(1.0)
    (a * big + (a * one + a * -big)).backward()
    assert a.grad == (-big + one) + big
    a = engine.Value(1.0)
    (a * one + (a * big + a * -big)).backward()
    assert a.grad == (-big + big) + one
    assert (-big + one) + big != (-big + big) + one


def test_03_first_path_decides_the_order_of_a_shared_node(engine):
    """A node is placed where depth-first search leaves it, not where it was made."""
    a = engine.Value(1.0)
    shared = a * 1.0
    left, right = shared * 1e16, shared * 3.0
    out = (right + left) + a * -1e16
    out.backward()
    assert shared.grad == 1e16 + 3.0
    assert a.grad == -1e16 + shared.grad


def test_03_gradient_bits_where_the_factor_order_matters(engine):
    rng = random.Random(6)
    differing = 0
    for _ in range(500):
        a, n, g = rng.uniform(0.5, 3), rng.uniform(-3, 3), rng.uniform(-3, 3)
        x = engine.Value(a)
        out = x**n
        out.grad = g
        out._backward()
        assert same_bits(x.grad, (n * a ** (n - 1)) * g)
        differing += x.grad != n * (a ** (n - 1) * g)
        x = engine.Value(a)
        out = x.tanh()
        out.grad = g
        out._backward()
        assert same_bits(x.grad, (1 - out.data**2) * g)
        differing += x.grad != (1 - out.data * out.data) * g
        y = 1.0 / (1.0 + math.exp(-a))
        x = engine.Value(a)
        out = x.sigmoid()
        out.grad = g
        out._backward()
        assert same_bits(x.grad, (y * (1.0 - y)) * g)
        differing += x.grad != y * ((1.0 - y) * g)
        x = engine.Value(a)
        out = x.log()
        out.grad = g
        out._backward()
        assert same_bits(x.grad, (1.0 / a) * g)
        differing += x.grad != g / a
    assert differing > 100


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("exponent", [2, 3, -1, 0.5])
def test_02_small_powers_have_the_bits_of_pythons(compiled, exponent):
    """Eagerly and frozen: where products, quotients and roots are the same, and where not."""
    rng = random.Random(13)
    bases = [rng.uniform(0.5, 2.0) for _ in range(20_000)]
    bases += [rng.choice([1, 1 + 2**-52, 1 - 2**-53]) * 2.0**i for i in range(-330, 331)]
    bases += [rng.uniform(0.5, 2.0) * 10 ** rng.uniform(-102, 102) for _ in range(20_000)]
    bases += [i * 0.25 for i in range(1, 200)] + [math.inf, math.nan]
    if exponent > 0:
        bases += [0.0, -0.0, 5e-324, 1e-310]
    if exponent != 0.5:
        bases += [-base for base in bases]
    wanted = [base**exponent for base in bases]
    plain = {2: lambda a: a * a, 3: lambda a: a * a * a, -1: lambda a: 1 / a, 0.5: math.sqrt}
    differs = sum(plain[exponent](a) != y for a, y in zip(bases, wanted, strict=True))
    assert differs > 10
    x = compiled.Value(1.0)
    program = micrograd_fast.compile(x**exponent, [x])
    assert [*map(bits, program([[base] for base in bases]))] == [*map(bits, wanted)]
    found = [(compiled.Value(base) ** exponent).data for base in bases]
    assert [*map(bits, found)] == [*map(bits, wanted)]


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("door", ["graph", "layer", "predict", "program"])
def test_03_tanh_and_sigmoid_have_the_bits_of_their_formulas_through_every_door(compiled, door):
    """With Python's power in the slope of tanh, and one formula for sigmoid on both sides of 0."""
    rng = random.Random(12)
    nn, V = compiled.nn, compiled.Value
    unlike = 0
    for activation in ("tanh", "sigmoid"):
        a = [rng.uniform(-3.0, 3.0) for _ in range(500)] + [-709.0, -709.78, -709.79, -740.0]
        if activation == "tanh":
            values = [math.tanh(x) for x in a]
            slopes = [1 - y**2 for y in values]
            unlike += sum(slope != 1 - y * y for slope, y in zip(slopes, values))
        else:
            values = [1 / (1 + math.exp(-x)) for x in a[:-2]]
            values += [math.exp(x) / (1 + math.exp(x)) for x in a[-2:]]
            slopes = [y * (1 - y) for y in values]
            unlike += sum(y != math.exp(x) / (1 + math.exp(x)) for x, y in zip(a[:-4], values))
        leaves = [V(x) for x in a]
        if door == "graph":
            outs = [getattr(v, activation)() for v in leaves]
            for out in outs:
                out.backward()
            found, gradients = [out.data for out in outs], [v.grad for v in leaves]
        elif door == "program":
            x = V(0.5)
            program = micrograd_fast.compile(getattr(x, activation)(), [x])
            found, gradients = program.value_and_grad([[x] for x in a])
            gradients = gradients[:, 0]
        else:
            layer = nn.Layer(1, 2, activation=activation)
            for neuron in layer.neurons:
                neuron.w[0].data, neuron.b.data = 1.0, 0.0
            if door == "predict":
                found = [layer.predict([[x]])[0][0] for x in a]
                gradients = slopes
            else:
                outs = [layer([v])[0] for v in leaves]
                for out in outs:
                    out.backward()
                found, gradients = [out.data for out in outs], [v.grad for v in leaves]
        assert [*map(bits, found)] == [*map(bits, values)], activation
        assert [*map(bits, gradients)] == [*map(bits, slopes)], activation
    assert unlike > 20


def test_03_gradients_match_pypi_micrograd(engine):
    def net(value):
        a, b = value(-4.0), value(2.0)
        c = a + b
        d = a * b + b**3
        c += c + 1
        c += 1 + c + (-a)
        d += d * 2 + (b + a).relu()
        d += 3 * d + (b - a).relu()
        e = c - d
        out = e**2 / 2.0
        out += 10.0 / out
        out.backward()
        return [out.data, a.grad, b.grad]

    assert net(engine.Value) == pytest.approx(net(micrograd.engine.Value), rel=1e-12, abs=0)


FORWARD_ERRORS = [
    (ZeroDivisionError, lambda V: V(0.0) ** -1),
    (ZeroDivisionError, lambda V: V(-0.0) ** -0.5),
    (ZeroDivisionError, lambda V: V(1.0) / 0),
    (ZeroDivisionError, lambda V: V(1.0) / -0.0),
    (ZeroDivisionError, lambda V: V(1.0) / False),
    (ZeroDivisionError, lambda V: V(1.0) / V(0.0)),
    (ZeroDivisionError, lambda V: V(0.0) / V(0.0)),
    (ZeroDivisionError, lambda V: 1 / V(0.0)),
    (ZeroDivisionError, lambda V: V(0.0) ** V(-1.0)),
    (ZeroDivisionError, lambda V: 0 ** V(-1.0)),
    (OverflowError, lambda V: V(710.0).exp()),
    (OverflowError, lambda V: V(1e308).exp()),
    (OverflowError, lambda V: V(10.0) ** 400),
    (OverflowError, lambda V: V(-10.0) ** 401),
    (OverflowError, lambda V: V(5e-324) ** -1),
    (OverflowError, lambda V: V(1.0) / 5e-324),
    (OverflowError, lambda V: V(10.0) ** V(400.0)),
    (OverflowError, lambda V: 10 ** V(400.0)),
    (ValueError, lambda V: V(0.0).log()),
    (ValueError, lambda V: V(-0.0).log()),
    (ValueError, lambda V: V(-1.0).log()),
    (ValueError, lambda V: V(-math.inf).log()),
    (ValueError, lambda V: V(-8.0) ** (1 / 3)),
    (ValueError, lambda V: V(-8.0) ** -0.5),
    (ValueError, lambda V: V(-8.0) ** V(0.5)),
    (ValueError, lambda V: V(-1e200) ** 1.7),
    (ValueError, lambda V: (-8) ** V(0.5)),
    (ValueError, lambda V: V(-1.0).sqrt()),
    (ValueError, lambda V: V(math.inf).sin()),
    (ValueError, lambda V: V(-math.inf).cos()),
]


@pytest.mark.parametrize("error, attempt", FORWARD_ERRORS)
def test_04_forward_errors_are_pythons(engine, error, attempt):
    with pytest.raises(error) as caught:
        attempt(engine.Value)
    assert type(caught.value) is error
    assert str(caught.value)


def test_04_sums_and_products_overflow_to_inf_silently(engine):
    V = engine.Value
    assert (V(1e308) + 1e308).data == math.inf
    assert (V(-1e308) - V(1e308)).data == -math.inf
    assert (V(1e200) * V(-1e200)).data == -math.inf
    assert math.isnan((V(math.inf) - math.inf).data)
    assert math.isnan((V(math.inf) * 0).data)
    assert engine.sum([V(1e308)] * 2).data == math.inf
    assert engine.dot([V(1e200)], [1e200]).data == math.inf


def test_04_no_error_where_python_has_none(engine):
    V = engine.Value
    assert V(-1000.0).exp().data == 0.0
    assert V(math.inf).exp().data == math.inf
    assert V(-math.inf).exp().data == 0.0
    assert V(math.inf).log().data == math.inf
    assert math.isnan(V(math.nan).log().data)
    assert math.isnan(V(math.nan).sin().data)
    assert V(math.inf).sqrt().data == math.inf
    assert same_bits(V(-0.0).sqrt().data, -0.0)
    assert (V(0.0) ** 0).data == 1.0
    assert (V(math.nan) ** 0).data == 1.0
    assert (V(1.0) ** math.nan).data == 1.0
    assert same_bits((V(-0.0) ** 3).data, -0.0)
    assert same_bits((V(-0.0) ** 2).data, 0.0)
    assert (V(1e-200) ** 2).data == 0.0
    assert (V(-8.0) ** 3.0).data == -512.0
    assert (V(math.inf) ** 0.5).data == math.inf
    assert V(math.inf).tanh().data == 1.0
    assert V(math.inf).sigmoid().data == 1.0
    assert V(-math.inf).sigmoid().data == 0.0


BACKWARD_ERRORS = [
    (ZeroDivisionError, 0.0, lambda a: a**0.5),
    (ZeroDivisionError, 0.0, lambda a: a**0),
    (ZeroDivisionError, 0.0, lambda a: a**False),
    (ZeroDivisionError, -0.0, lambda a: a**0.25),
    (ZeroDivisionError, 0.0, lambda a: a.sqrt()),
    (ZeroDivisionError, -0.0, lambda a: a.sqrt()),
    (ZeroDivisionError, 0.0, lambda a: a ** (0 * a + 0.5)),
    (OverflowError, 5e-324, lambda a: a**-0.5),
]


@pytest.mark.parametrize("error, number, attempt", BACKWARD_ERRORS)
def test_04_backward_errors_have_the_type_of_the_reference(engine, error, number, attempt):
    a = engine.Value(number)
    power = attempt(a)
    out = power * 2 + 1
    with pytest.raises(error) as caught:
        out.backward()
    assert type(caught.value) is error
    assert str(caught.value)
    # What lies above the failing node has its gradient, what lies below has none.
    assert (out.grad, power.grad, a.grad) == (1.0, 2.0, 0.0)
    with pytest.raises(error):
        power._backward()
    # The graph goes on once the cause is gone.
    a.data = 4.0
    power.data = 2.0
    out.zero_grad()
    out.backward()
    assert math.isfinite(a.grad)


@pytest.mark.parametrize("error, attempt", FORWARD_ERRORS)
def test_04_an_error_in_forward_leaves_no_half_made_node(engine, error, attempt):
    made = []

    class Watched(engine.Value):
        pass

    def value(number):
        made.append(Watched(number))
        return made[-1]

    with pytest.raises(error):
        attempt(value)
    for v in made:
        assert (v.grad, v._op, v._children) == (0.0, "", ())
    a = engine.Value(2.0)
    out = a * 3 + 1
    out.backward()
    assert (out.data, a.grad) == (7.0, 3.0)


def test_05_relu_passes_everything_that_is_not_below_zero(engine):
    for number, expected in [
        (-1.0, 0.0),
        (-5e-324, 0.0),
        (-math.inf, 0.0),
        (-0.0, -0.0),
        (0.0, 0.0),
        (5e-324, 5e-324),
        (math.inf, math.inf),
        (math.nan, math.nan),
    ]:
        assert same_bits(engine.Value(number).relu().data, expected), number


def test_05_relu_slope_looks_at_the_output(engine):
    for number, slope in [(-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (5e-324, 1.0), (math.nan, 0.0)]:
        a = engine.Value(number)
        a.relu().backward()
        assert a.grad == slope, number
    # Assigning to the output moves the slope, assigning to the input does not.
    a = engine.Value(-1.0)
    out = a.relu()
    out.data = 3.0
    out.backward()
    assert a.grad == 1.0
    a = engine.Value(-1.0)
    out = a.relu()
    a.data = 3.0
    out.backward()
    assert a.grad == 0.0


def test_05_tanh_and_sigmoid_do_not_overflow(engine):
    for number in (-1e308, -1000.0, -745.2, -40.0, 40.0, 745.2, 1000.0, 1e308):
        for name, limit in (("tanh", math.copysign(1.0, number)), ("sigmoid", number > 0)):
            a = engine.Value(number)
            out = getattr(a, name)()
            # exp(-40) is 4e-18, which is below half a unit of 1 but no 0.
            assert out.data == limit or abs(out.data - limit) < 1e-17
            out.backward()
            assert math.isfinite(a.grad)
    for number in (-1000.0, 1000.0):
        for name in ("softplus", "silu", "gelu"):
            a = engine.Value(number)
            out = getattr(a, name)()
            assert out.data == max(number, 0.0)
            out.backward()
            assert a.grad == float(number > 0)


def test_05_nan_flows_through_a_graph(engine):
    a = engine.Value(math.nan)
    out = (a * 2).relu() + a.tanh()
    out.backward()
    assert math.isnan(out.data)
    assert math.isnan(a.grad)
    assert picture(out)[0][2:] == (bits(math.nan), bits(math.nan))
