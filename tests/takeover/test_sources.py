"""Sources that are rewritten compute what is written, whatever the operands turn out to be."""

import ast
import math
import random
import types

import pytest
from support import bits

from micrograd_fast import Value, _core
from micrograd_fast import compile as freeze
from micrograd_fast.takeover import sources

Twin = _core.make_twin("Twin", {"__module__": __name__})
sources.provide(lambda filename, line: lambda made: made)


class Loud(Value):
    """A Value whose products say so."""

    def __mul__(self, other):
        return Value(-1.0)


def outcome(code, given):
    """What a piece of a program leaves in its namespace, or what it raises and leaves."""
    namespace = {"Value": Value, "math": math, **given()}
    error = None
    try:
        exec(code, namespace)
    except Exception as raised:
        error = (type(raised), str(raised))
    namespace.pop("__builtins__")
    return error, {name: seen(entry) for name, entry in namespace.items()}


def seen(entry):
    if isinstance(entry, Value):
        children = [bits(child.data) for child in entry._children]
        return (type(entry).__name__, bits(entry.data), bits(entry.grad), entry._op, children)
    if isinstance(entry, float):
        return bits(entry)
    if isinstance(entry, (list, tuple)):
        return [type(entry).__name__, *(seen(each) for each in entry)]
    if isinstance(entry, (int, str, type(None))):
        return entry
    return type(entry).__name__


def assert_same(source, given, calls):
    """The rewritten source calls some of ours, and leaves the same as the plain one."""
    tree = sources.rewritten(ast.parse(source), "a program")
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for name in called if name.startswith("__micrograd_fast")} == set(calls)
    rewritten = compile(tree, "a program", "exec")
    assert outcome(rewritten, given) == outcome(compile(source, "a program", "exec"), given)


def values(*numbers, kind=Twin):
    return [kind(number) for number in numbers]


DOT, INDEXED, LINEAR, LOOP = (
    sources.DOT,
    sources.INDEXED_DOT,
    sources.LINEAR,
    sources.LOOP,
)
U = lambda: values(0.1, -0.7, 1.9)  # noqa: E731
NUMBERS = [0.3, 2, -1.5]
SUMS = {
    "a generator": ("x = sum(a * b for a, b in zip(u, v))", [DOT]),
    "a list": ("x = sum([a * b for a, b in zip(u, v)])", [DOT]),
    "squares": ("x = sum(a * a for a in u)", [DOT]),
    "an index": ("x = sum(u[i] * v[i] for i in range(len(u)))", [INDEXED]),
    "fewer": ("x = sum(u[i] * v[i] for i in range(2))", [INDEXED]),
    "more": ("x = sum(u[i] * v[i] for i in range(9))", [INDEXED]),
    "a row": ("m = [v, u]\nk = 1\nx = sum(u[i] * m[k][i] for i in range(3))", [INDEXED]),
    "a column": ("m = [v, u, v]\nx = sum(u[i] * m[i][0] for i in range(3))", [INDEXED]),
    "a row that is not": ("m = [v]\nx = sum(u[i] * m[4][i] for i in range(3))", [INDEXED]),
    "none": ("x = sum(nobody[i] * u[i] for i in range(0))", [INDEXED]),
    "none, but asked for": ("x = sum(nobody[i] * u[i] for i in range(1))", [INDEXED]),
    "rows": ("m = [u, v, u]\nx = [sum(a * b for a, b in zip(r, v)) for r in m]", [LINEAR]),
    "rows behind": ("m = [u, v]\nx = [sum(a * b for a, b in zip(v, r)) for r in m]", [LINEAR]),
    "a start": ("x = sum((a * b for a, b in zip(u, v)), u[0])", []),
    "an own sum": ("sum = lambda terms: list(terms)\nx = sum(a * b for a, b in zip(u, v))", [DOT]),
    "an own zip": ("zip = lambda u, v: [(1.0, 2.0)]\nx = sum(a * b for a, b in zip(u, v))", [DOT]),
    "an own range": ("range = lambda n: [1]\nx = sum(u[i] * v[i] for i in range(2))", [INDEXED]),
    "iterators": ("x = sum(a * b for a, b in zip(iter(u), iter(v)))", [DOT]),
    "another order": ("x = sum(b * a for a, b in zip(u, v))", []),
    "a condition": ("x = sum(a * b for a, b in zip(u, v) if a)", []),
    "strict": ("x = sum(a * b for a, b in zip(u, v, strict=True))", []),
    "three": ("x = sum(a * b for a, b, c in zip(u, v, v))", []),
    "in a function": (
        "def f(u, v):\n    k = 1\n    return [sum(u[i] * w[i] for i in range(k + 1)) for w in v]\n"
        "x = f(u, [v, u])\ndel f",
        [INDEXED],
    ),
}
OPERANDS = {
    "Values": lambda: {"u": U(), "v": U()},
    "tuples": lambda: {"u": tuple(U()), "v": tuple(U())},
    "numbers second": lambda: {"u": U(), "v": list(NUMBERS)},
    "numbers first": lambda: {"u": list(NUMBERS), "v": U()},
    "numbers alone": lambda: {"u": list(NUMBERS), "v": list(NUMBERS)},
    "ints": lambda: {"u": [1, 2, 3], "v": [4, 5, 6]},
    "mixed": lambda: {"u": [Twin(1.0), 2.0, Twin(3.0)], "v": [2.0, Twin(5.0), Value(1.0)]},
    "numbers among them": lambda: {"u": [2.0, Twin(3.0), 1.0], "v": [2.0, 1.0, Twin(1.0)]},
    "of unequal length": lambda: {"u": U()[:2], "v": U()},
    "a subclass": lambda: {"u": [Loud(1.0), Loud(2.0), Loud(3.0)], "v": U()},
    "text": lambda: {"u": [2, 1, 0], "v": U()},
    "nothing": lambda: {"u": [], "v": []},
    "no sequences": lambda: {"u": 3, "v": None},
}


@pytest.mark.parametrize("operands", OPERANDS)
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_of_products_is_what_is_written(name, operands):
    source, calls = SUMS[name]
    assert_same(source, OPERANDS[operands], calls)


ADAM = """
b1, b2, eps, lr = 0.9, 0.999, 1e-8, 0.01
for i, p in enumerate(params):
    m[i] = b1 * m[i] + (1 - b1) * p.grad
    v[i] = b2 * v[i] + (1 - b2) * p.grad**2
    m_hat = m[i] / (1 - b1 ** (step + 1))
    v_hat = v[i] / (1 - b2 ** (step + 1))
    p.data -= lr * m_hat / (v_hat**0.5 + eps)
    p.grad = 0
"""
LOOPS = {
    "adam": ADAM,
    "sgd": "for p in params:\n    p.data -= 0.1 * p.grad",
    "sgd with a plus": "for p in params:\n    p.data += -0.1 * p.grad\n    p.grad = 0.0",
    "momentum": "for i, p in enumerate(params):\n    m[i] = 0.9 * m[i] - 0.1 * p.grad\n"
    "    p.data += m[i]\n    p.data = p.data * 0.99",
    "zero": "for p in params:\n    p.grad = 0",
    "a negative": "for p in params:\n    p.data = -p.grad / 2 - -p.data",
    "a division that fails": "for p in params:\n    p.data = p.data / p.grad",
    "a root that fails": "for i, p in enumerate(params):\n    v[i] = p.grad\n"
    "    p.data = p.grad**0.5 * v[i]",
    "a name that is not there": "for p in params:\n    p.data -= rate * p.grad",
    "in a function": "def f(params, rate):\n    for p in params:\n"
    "        p.data -= rate * p.grad\n"
    "    return p\nlast = f(params, 0.5)\ndel f",
    "the same list twice": "w = m\nfor i, p in enumerate(params):\n    m[i] = p.grad\n"
    "    p.data = w[i]",
    "an own enumerate": "enumerate = lambda v: [(0, v[-1])]\nfor i, p in enumerate(params):\n"
    "    m[i] = 0.5 * p.grad\n    p.data -= m[i]",
}
NOT_LOOPS = {
    "a temporary before": "t = 1.0\nfor p in params:\n    p.data = t * p.grad\n    t = p.data",
    "a condition": "for p in params:\n    if p.grad > 0:\n        p.data -= 0.1 * p.grad",
    "a call": "for p in params:\n    p.data -= math.sqrt(2.0) * p.grad",
    "the counter": "for i, p in enumerate(params):\n    p.data -= i * p.grad",
    "an else": "for p in params:\n    p.data = 1.0 * p.grad\nelse:\n    done = 1",
    "no store": "for p in params:\n    t = p.grad * 2",
    "in a class": "class A:\n    rate = 0.1\n    for p in params:\n"
    "        p.data -= rate * p.grad\n"
    "del A",
}


def parameters(n=20, kind=Twin):
    draws = random.Random(5)
    made = []
    for _ in range(n):
        made.append(kind(draws.uniform(-1.0, 1.0)))
        made[-1].grad = draws.uniform(-1.0, 1.0)
    return made


def with_columns(params, start=0.0):
    return {"params": params, "m": [start] * len(params), "v": [start] * len(params), "step": 3}


def one_at(place, number, attribute="grad"):
    params = parameters()
    setattr(params[place], attribute, number)
    return params


STATES = {
    "twins": lambda: with_columns(parameters()),
    "Values": lambda: with_columns(parameters(kind=Value)),
    "a tuple": lambda: {**with_columns(parameters()), "params": tuple(parameters())},
    "few": lambda: with_columns(parameters(3)),
    "none": lambda: with_columns([]),
    "ints in the columns": lambda: with_columns(parameters(), 0),
    "one int in a column": lambda: {**with_columns(parameters()), "m": [0.0] * 7 + [0] * 13},
    "a short column": lambda: {**with_columns(parameters()), "v": [0.0] * 11},
    "a tuple as a column": lambda: {**with_columns(parameters()), "m": (0.0,) * 20},
    "a gradient of 0": lambda: with_columns(one_at(9, 0.0)),
    "an infinite gradient": lambda: with_columns(one_at(9, math.inf)),
    "a large gradient": lambda: with_columns(one_at(9, 1e200)),
    "nan": lambda: with_columns(one_at(4, math.nan)),
    "another object": lambda: with_columns([*parameters(), types.SimpleNamespace(data=1, grad=2)]),
    "a subclass": lambda: with_columns([*parameters(12), Loud(2.0), *parameters(8)]),
    "one twice": lambda: with_columns(parameters() + [parameters()[0]] * 2),
    "computed ones": lambda: with_columns([p * 2.0 for p in parameters()]),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_over_parameters_is_what_is_written(name, state):
    assert_same(LOOPS[name], STATES[state], [LOOP])


@pytest.mark.parametrize("name", NOT_LOOPS)
def test_other_loops_stay(name):
    assert_same(NOT_LOOPS[name], STATES["twins"], [])


def test_the_engine_does_all_but_the_last():
    params, columns = parameters(50), ([0.0] * 50, [0.0] * 50)
    loop = _core.ElementLoop(
        1, [(1, 1, 0, 0), (2, 2, 0, 0), (8, 3, 0, 2), (7, 4, 1, 3), (4, 0, 4, 0)]
    )
    assert loop.run(params, [], [0.5], 49) == 49
    assert loop.run(params, [], ["0.5"], 49) == 0
    with pytest.raises(ValueError, match="as many as the loop has"):
        loop.run(params, list(columns), [0.5], 49)
    with pytest.raises(ValueError, match="a register must be below 64"):
        _core.ElementLoop(0, [(1, 64, 0, 0)])
    with pytest.raises(ValueError, match="no instruction is 99"):
        _core.ElementLoop(0, [(99, 0, 0, 0)])


def test_an_assignment_that_is_warned_of_is_left_to_python():
    params = [Twin(1.0), Twin(2.0) * 3.0, Twin(4.0)]
    freeze(params[1] * 2.0, [])
    code = sources.compiled("for p in params:\n    p.data -= 0.5\n    p.grad = 1.0", "a program")
    with pytest.warns(RuntimeWarning, match="a program was made of the Value") as caught:
        exec(code, {"params": params})
    assert [(w.filename, w.lineno) for w in caught] == [("a program", 2)]
    assert [p.data for p in params] == [0.5, 5.5, 3.5]


def test_arithmetic_at_random_has_pythons_bits():
    draws = random.Random(11)

    def expression(depth):
        if depth == 0:
            return draws.choice(["p.data", "p.grad", "m[i]", "v[i]", "a", "3", "0.7", "(a - 2)"])
        kind = draws.choice(["+", "-", "*", "/", "**", "neg"])
        if kind == "neg":
            return f"(-{expression(depth - 1)})"
        return f"({expression(depth - 1)} {kind} {expression(depth - 1)})"

    for _ in range(150):
        targets = draws.sample(["p.data", "p.grad", "m[i]", "v[i]", "t"], 3)
        lines = [f"    {target} = {expression(draws.randrange(1, 4))}" for target in targets]
        source = "a = 1.25\nfor i, p in enumerate(params):\n" + "\n".join(lines)
        if not any(target.startswith("p.") for target in targets):
            source += "\n    p.data += m[i]"
        assert_same(source, lambda: with_columns(parameters(12), 0.5), [LOOP])


def test_lines_stay_what_they_were():
    source = (
        "\n\nclass A:\n    def backward(self):\n        pass\n\n\ndef f(u, v):\n    return sum(\n"
    )
    source += "        a * b for a, b in zip(u, v)\n    )\n"
    code = sources.compiled(source, "a program")
    lines = {line for _, _, line in code.co_lines() if line is not None}
    assert lines - {0} == {3, 8}
    namespace = {"__name__": "a program"}
    exec(code, namespace)
    with pytest.raises(TypeError) as caught:
        namespace["f"](1, 2)
    assert caught.traceback[-1].frame.code.name in ("f", "dot_as_written")


def test_a_source_that_does_not_parse_is_pythons_error():
    with pytest.raises(SyntaxError) as caught:
        sources.compiled("x = = 1", "a program")
    assert (caught.value.filename, caught.value.lineno) == ("a program", 1)
