"""Every operation as the drop-in contract writes it, in plain floats: the tests' own table.

A row holds what a test needs to know of one operation: how to call it on Values, its value and
its derivatives in the promised factor order, where to draw random operands, the same operation
in PyTorch, and the slopes at its kinks. It is written apart from both engines, so that neither
can be wrong in its company. `test_operations.py` holds the names against the engine's own table:
a new operation without a row here fails the suite.
"""

import ctypes
import ctypes.util
import math
from collections import namedtuple

import torch

#: The C library's own: Python's math has none before 3.11, and numpy's may have other bits.
c_cbrt = ctypes.CDLL(ctypes.util.find_library("m")).cbrt
c_cbrt.restype, c_cbrt.argtypes = ctypes.c_double, [ctypes.c_double]

Operation = namedtuple(
    "Operation",
    [
        "name",  # of the row in the engine's table
        "id",  # of the test, apart for the same row with other immediates
        "label",  # what _op reads
        "arity",
        "apply",  # on Values
        "value",  # on floats
        "slopes",  # on the floats a[, b], y: the factors D, one for each operand
        "draw",  # random operands, away from kinks, as a tuple
        "torch",  # on float64 tensors
    ],
)


def power(a, n):
    """Python's float power, real or an error."""
    if -math.inf < a < 0 and math.isfinite(n) and n != math.floor(n):
        raise ValueError("complex")  # Python may overflow on its way to the complex result
    return a**n


def logistic(a):
    if -709.782712893384 > a > -math.inf:  # exp(-a) would be above the largest float
        return math.exp(a) / (1 + math.exp(a))
    return 1 / (1 + math.exp(-a))


def softplus(a):
    return a + math.log1p(math.exp(-a)) if a > 0 else math.log1p(math.exp(a))


def normal_cdf(a):
    return 0.5 * (1.0 + math.erf(a * 0.7071067811865476))


def normal_pdf(a):
    return math.exp(-0.5 * (a * a)) * 0.3989422804014327


def slope_of_exponent(a, y):
    return 0.0 if a == 0 else math.nan if a < 0 else y * math.log(a)


def anywhere(count, spread=4.0, gap=0.0):
    """Operands within `spread` of 0, none within `gap` of it."""

    def draw(rng):
        return tuple(rng.choice([-1, 1]) * rng.uniform(gap or 1e-9, spread) for _ in range(count))

    return draw


def positive(count, low=0.05, high=5.0):
    return lambda rng: tuple(rng.uniform(low, high) for _ in range(count))


def apart(rng):
    """Two operands that are not near each other."""
    a, b = anywhere(2)(rng)
    return (a, b) if abs(a - b) > 0.1 else (a, b + 0.5)


def inside_or_outside(low, high):
    def draw(rng):
        a = rng.uniform(low - 2.0, high + 2.0)
        return (a,) if min(abs(a - low), abs(a - high)) > 0.05 else ((low + high) / 2.0,)

    return draw


def power_row(n, draw=None):
    return Operation(
        "pow_const",
        f"pow {n!r}",
        f"**{n}",
        1,
        lambda a: a**n,
        lambda a: power(a, float(n)),
        lambda a, y: (n * power(a, float(n) - 1.0),),
        draw or positive(1),
        lambda a: a**n,
    )


def unary(name, value, slope, draw, torch_function, label=None):
    return Operation(
        name,
        name,
        label or name,
        1,
        lambda a: getattr(a, name)(),
        value,
        lambda a, y: (slope(a, y),),
        draw,
        torch_function,
    )


def leaky_relu_row(*slope):
    k = slope[0] if slope else 0.01
    return Operation(
        "leaky_relu",
        f"leaky_relu{slope}",
        "leaky_relu",
        1,
        lambda a: a.leaky_relu(*slope),
        lambda a: a if a > 0 else k * a,
        lambda a, y: (1.0 if a > 0 else float(k),),
        anywhere(1, gap=0.05),
        lambda a: torch.nn.functional.leaky_relu(a, k),
    )


def elu_row(*alpha):
    k = alpha[0] if alpha else 1.0
    return Operation(
        "elu",
        f"elu{alpha}",
        "elu",
        1,
        lambda a: a.elu(*alpha),
        lambda a: a if a > 0 else k * math.expm1(a),
        lambda a, y: (1.0 if a > 0 else k * math.exp(a),),
        anywhere(1, gap=0.05),
        lambda a: torch.nn.functional.elu(a, k),
    )


def clip_row(low, high):
    floor = -math.inf if low is None else low
    ceiling = math.inf if high is None else high
    return Operation(
        "clip",
        f"clip({low},{high})",
        "clip",
        1,
        lambda a: a.clip(low, high),
        lambda a: float(floor if a < floor else ceiling if a > ceiling else a),
        lambda a, y: (float(floor <= a <= ceiling),),
        inside_or_outside(-3.0 if low is None else low, 3.0 if high is None else high),
        lambda a: torch.clamp(a, low, high) if (low, high) != (None, None) else a * 1.0,
    )


def condition_row(name, holds):
    """A condition of two numbers, which has no slope."""
    return Operation(
        name,
        name,
        name,
        2,
        lambda a, b: getattr(a, name)(b),
        lambda a, b: float(holds(a, b)),
        lambda a, b, y: (-0.0, -0.0),
        apart,
        lambda a, b: holds(a, b).double() + 0.0 * a * b,
    )


OPERATIONS = [
    Operation(
        "add",
        "add",
        "+",
        2,
        lambda a, b: a + b,
        lambda a, b: a + b,
        lambda a, b, y: (1.0, 1.0),
        anywhere(2),
        lambda a, b: a + b,
    ),
    Operation(
        "mul",
        "mul",
        "*",
        2,
        lambda a, b: a * b,
        lambda a, b: a * b,
        lambda a, b, y: (b, a),
        anywhere(2),
        lambda a, b: a * b,
    ),
    power_row(2, anywhere(1)),
    power_row(3, anywhere(1)),
    power_row(2.0, anywhere(1)),
    power_row(-1, anywhere(1, gap=0.2)),
    power_row(-2.0, anywhere(1, gap=0.2)),
    power_row(0, anywhere(1)),
    power_row(1, anywhere(1)),
    power_row(0.5),
    power_row(-0.5),
    power_row(1.7),
    power_row(17, anywhere(1)),
    power_row(True, anywhere(1)),
    power_row(False, anywhere(1)),
    Operation(
        "pow",
        "pow",
        "**",
        2,
        lambda a, b: a**b,
        power,
        lambda a, b, y: (b * power(a, b - 1.0), slope_of_exponent(a, y)),
        lambda rng: (rng.uniform(0.05, 4.0), rng.uniform(-3.0, 3.0)),
        lambda a, b: a**b,
    ),
    unary(
        "relu",
        lambda a: 0.0 if a < 0 else a,
        lambda a, y: float(y > 0),
        anywhere(1, gap=0.05),
        torch.relu,
        label="ReLU",
    ),
    unary("tanh", math.tanh, lambda a, y: 1.0 - y**2, anywhere(1), torch.tanh),
    unary("sigmoid", logistic, lambda a, y: y * (1.0 - y), anywhere(1, 8.0), torch.sigmoid),
    unary("exp", math.exp, lambda a, y: y, anywhere(1), torch.exp),
    unary("log", math.log, lambda a, y: 1.0 / a, positive(1), torch.log),
    unary("sqrt", math.sqrt, lambda a, y: 0.5 / y, positive(1), torch.sqrt),
    unary(
        "abs",
        math.fabs,
        lambda a, y: float((a > 0) - (a < 0)),
        anywhere(1, gap=0.05),
        torch.abs,
    ),
    unary("sin", math.sin, lambda a, y: math.cos(a), anywhere(1, 10.0), torch.sin),
    unary("cos", math.cos, lambda a, y: -math.sin(a), anywhere(1, 10.0), torch.cos),
    leaky_relu_row(),
    leaky_relu_row(0.2),
    leaky_relu_row(-1),
    elu_row(),
    elu_row(0.7),
    elu_row(2),
    unary(
        "gelu",
        lambda a: a * normal_cdf(a),
        lambda a, y: normal_cdf(a) + a * normal_pdf(a),
        anywhere(1),
        torch.nn.functional.gelu,
    ),
    unary(
        "silu",
        lambda a: a * logistic(a),
        lambda a, y: logistic(a) * (1.0 + a * (1.0 - logistic(a))),
        anywhere(1, 8.0),
        torch.nn.functional.silu,
    ),
    unary(
        "softplus",
        softplus,
        lambda a, y: logistic(a),
        anywhere(1, 8.0),
        lambda a: torch.nn.functional.softplus(a, threshold=1e9),
    ),
    clip_row(-1.0, 1.5),
    clip_row(None, 0.5),
    clip_row(-2, None),
    clip_row(None, None),
    Operation(
        "maximum",
        "maximum",
        "maximum",
        2,
        lambda a, b: a.maximum(b),
        lambda a, b: a if a >= b or a != a else b,
        lambda a, b, y: (float(a >= b or a != a), float(not (a >= b or a != a))),
        apart,
        torch.maximum,
    ),
    Operation(
        "minimum",
        "minimum",
        "minimum",
        2,
        lambda a, b: a.minimum(b),
        lambda a, b: a if a <= b or a != a else b,
        lambda a, b, y: (float(a <= b or a != a), float(not (a <= b or a != a))),
        apart,
        torch.minimum,
    ),
    unary(
        "softsign",
        lambda a: a / (1.0 + abs(a)),
        lambda a, y: 1.0 / ((1.0 + abs(a)) * (1.0 + abs(a))),
        anywhere(1, gap=0.05),
        torch.nn.functional.softsign,
    ),
    unary(
        "erf",
        math.erf,
        lambda a, y: 1.1283791670955126 * math.exp(-(a * a)),
        anywhere(1, 3.0),
        torch.erf,
    ),
    unary(
        "cbrt",
        c_cbrt,
        lambda a, y: 1.0 / (3.0 * (y * y)),
        anywhere(1, gap=0.05),
        lambda a: torch.sign(a) * torch.abs(a) ** (1.0 / 3.0),
    ),
    unary("log1p", math.log1p, lambda a, y: 1.0 / (1.0 + a), positive(1, -0.9), torch.log1p),
    unary("expm1", math.expm1, lambda a, y: math.exp(a), anywhere(1), torch.expm1),
    unary("tan", math.tan, lambda a, y: 1.0 + y * y, anywhere(1, 1.4), torch.tan),
    unary("sinh", math.sinh, lambda a, y: math.cosh(a), anywhere(1), torch.sinh),
    unary("cosh", math.cosh, lambda a, y: math.sinh(a), anywhere(1), torch.cosh),
    unary(
        "asin",
        math.asin,
        lambda a, y: 1.0 / math.sqrt((1.0 - a) * (1.0 + a)),
        anywhere(1, 0.95),
        torch.asin,
    ),
    unary(
        "acos",
        math.acos,
        lambda a, y: -1.0 / math.sqrt((1.0 - a) * (1.0 + a)),
        anywhere(1, 0.95),
        torch.acos,
    ),
    unary("atan", math.atan, lambda a, y: 1.0 / (1.0 + a * a), anywhere(1), torch.atan),
    Operation(
        "atan2",
        "atan2",
        "atan2",
        2,
        lambda a, b: a.atan2(b),
        math.atan2,
        lambda a, b, y: (b / (a * a + b * b), -a / (a * a + b * b)),
        anywhere(2, gap=0.3),
        torch.atan2,
    ),
    Operation(
        "hypot",
        "hypot",
        "hypot",
        2,
        lambda a, b: a.hypot(b),
        math.hypot,
        lambda a, b, y: (a / y, b / y),
        anywhere(2, gap=0.3),
        torch.hypot,
    ),
    unary(
        "hard_tanh",
        lambda a: -1.0 if a < -1.0 else 1.0 if a > 1.0 else a,
        lambda a, y: float(-1.0 < a < 1.0),
        inside_or_outside(-1.0, 1.0),
        torch.nn.functional.hardtanh,
    ),
    unary(
        "mish",
        lambda a: a * math.tanh(softplus(a)),
        lambda a, y: (
            math.tanh(softplus(a)) + a * ((1.0 - math.tanh(softplus(a)) ** 2) * logistic(a))
        ),
        anywhere(1),
        torch.nn.functional.mish,
    ),
    unary(
        "ramp",
        lambda a: float(max(0, a)),
        lambda a, y: float(a > 0),
        anywhere(1, gap=0.05),
        torch.relu,
    ),
    unary(
        "detach",
        lambda a: a,
        lambda a, y: 0.0,
        anywhere(1),
        lambda a: a.detach() + 0.0 * a,  # the detached number alone refuses to go backward
    ),
    condition_row("less", lambda a, b: a < b),
    condition_row("less_equal", lambda a, b: a <= b),
    condition_row("equal", lambda a, b: a == b),
    condition_row("logical_and", lambda a, b: (a != 0) & (b != 0)),
    condition_row("logical_or", lambda a, b: (a != 0) | (b != 0)),
    Operation(
        "keep",
        "keep",
        "keep",
        2,
        lambda a, b: a.keep(b),
        lambda a, b: a if b != 0 else -0.0,
        lambda a, b, y: (1.0 if b != 0 else -0.0, -0.0),
        anywhere(2),
        lambda a, b: torch.where(b != 0, a, -0.0) + 0.0 * b,
    ),
]

#: Operations whose slope is stated, and is not that of their value.
WITHOUT_DIFFERENCES = ["detach"]

#: What is 1 or 0.
CONDITIONS = ["less", "less_equal", "equal", "logical_and", "logical_or"]

#: (operation, operands, slopes): the derivative where two formulas meet, stated in the contract.
KINKS = [
    ("relu", (0.0,), (0.0,)),
    ("relu", (-0.0,), (0.0,)),
    ("relu", (5e-324,), (1.0,)),
    ("relu", (-5e-324,), (0.0,)),
    ("abs", (0.0,), (0.0,)),
    ("abs", (-0.0,), (0.0,)),
    ("abs", (5e-324,), (1.0,)),
    ("abs", (-5e-324,), (-1.0,)),
    ("leaky_relu()", (0.0,), (0.01,)),
    ("leaky_relu()", (-0.0,), (0.01,)),
    ("leaky_relu()", (5e-324,), (1.0,)),
    ("leaky_relu(0.2,)", (0.0,), (0.2,)),
    ("elu()", (0.0,), (1.0,)),
    ("elu()", (-0.0,), (1.0,)),
    ("elu(0.7,)", (0.0,), (0.7,)),
    ("elu(0.7,)", (5e-324,), (1.0,)),
    ("clip(-1.0,1.5)", (-1.0,), (1.0,)),
    ("clip(-1.0,1.5)", (1.5,), (1.0,)),
    ("clip(-1.0,1.5)", (-1.0 - 2.0**-52,), (0.0,)),
    ("clip(-1.0,1.5)", (1.5 + 2.0**-52,), (0.0,)),
    ("maximum", (1.0, 1.0), (1.0, 0.0)),
    ("minimum", (1.0, 1.0), (1.0, 0.0)),
    ("maximum", (0.0, -0.0), (1.0, 0.0)),
    ("maximum", (-0.0, 0.0), (1.0, 0.0)),
    ("minimum", (-0.0, 0.0), (1.0, 0.0)),
    ("maximum", (math.nan, 1.0), (1.0, 0.0)),
    ("maximum", (1.0, math.nan), (0.0, 1.0)),
    ("minimum", (math.nan, 1.0), (1.0, 0.0)),
    ("minimum", (1.0, math.nan), (0.0, 1.0)),
    ("less", (1.0, 1.0), (0.0, 0.0)),
    ("less_equal", (1.0, 1.0), (0.0, 0.0)),
    ("equal", (1.0, 1.0), (0.0, 0.0)),
    ("equal", (0.0, -0.0), (0.0, 0.0)),
    ("less", (math.nan, 1.0), (0.0, 0.0)),
    ("logical_and", (0.0, 1.0), (0.0, 0.0)),
    ("logical_or", (-0.0, 0.0), (0.0, 0.0)),
    ("keep", (3.0, 0.0), (0.0, 0.0)),
    ("keep", (math.inf, -0.0), (0.0, 0.0)),
    ("keep", (3.0, math.nan), (1.0, 0.0)),
    ("sigmoid", (0.0,), (0.25,)),
    ("softplus", (0.0,), (0.5,)),
    ("gelu", (0.0,), (0.5,)),
    ("silu", (0.0,), (0.5,)),
    ("pow", (0.0, 2.0), (0.0, 0.0)),
    ("pow", (0.0, 1.0), (1.0, 0.0)),
    ("pow", (-0.0, 3.0), (0.0, 0.0)),
    ("pow", (-2.0, 3.0), (12.0, math.nan)),
    ("pow 2", (0.0,), (0.0,)),
    ("pow 1", (0.0,), (1.0,)),
    ("mish", (0.0,), (0.6,)),
    ("ramp", (0.0,), (0.0,)),
    ("ramp", (-0.0,), (0.0,)),
    ("ramp", (5e-324,), (1.0,)),
    ("ramp", (math.nan,), (0.0,)),
    ("hard_tanh", (-1.0,), (0.0,)),
    ("hard_tanh", (1.0,), (0.0,)),
    ("hard_tanh", (1.0 - 2.0**-53,), (1.0,)),
    ("softsign", (0.0,), (1.0,)),
]

BY_ID = {operation.id: operation for operation in OPERATIONS}
