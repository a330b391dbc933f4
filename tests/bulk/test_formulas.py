"""Sums, products and losses that the engine builds at once: the graph of Python's formulas."""

import itertools
import math
import random
from decimal import Decimal
from fractions import Fraction

import pytest
from support import bits, outcome, picture

from micrograd_fast import Value, losses
from micrograd_fast._core import arena_stats

SEED = 31

FORMULAS = {
    "sum": lambda engine, x: engine.sum(x),
    "sum of numbers too": lambda engine, x: engine.sum([2, *x, 3.5, x[0], 1, *x]),
    "dot": lambda engine, x: engine.dot(x, x[::-1]),
    "dot with numbers": lambda engine, x: engine.dot(x + x, [0.5, -2, *x, *[3.0] * (len(x) - 2)]),
    "dot of numbers": lambda engine, x: engine.dot([2, 1.5, *x], [3, x[0], *x]),
    "dot, numbers first": lambda engine, x: engine.dot([-0.0, 2, *x[2:]], x),
    "mse": lambda engine, x: losses.mse_loss(x, [0, -0.0, 1.5, *[-2] * (len(x) - 3)]),
    "mse, summed": lambda engine, x: losses.mse_loss(x, [0.25] * len(x), reduction="sum"),
    "bce": lambda engine, x: losses.binary_cross_entropy(
        [v.sigmoid() for v in x], [0, 1.0, 0.25, *[1] * (len(x) - 3)]
    ),
    "bce, of logits": lambda engine, x: losses.binary_cross_entropy_with_logits(
        x, [0, -0.0, 0.25, *[1] * (len(x) - 3)]
    ),
    "nll": lambda engine, x: losses.nll_loss([x, x[:2], x[1:]], [len(x) - 1, 0, 1.0]),
    "hinge": lambda engine, x: losses.hinge_loss(x, [1, -1, 1.0, *[-1.0] * (len(x) - 3)]),
    "softmax": lambda engine, x: engine.dot(losses.softmax(x), [1, 2, *x[2:]]),
    "log_softmax": lambda engine, x: engine.dot(losses.log_softmax(x), [1, 2, *x[2:]]),
    "cross_entropy": lambda engine, x: losses.cross_entropy(x, 1),
    "cross_entropy, rows": lambda engine, x: losses.cross_entropy(
        [x, x[1:], [x[2]]], [0, 1.0, 0], reduction="sum"
    ),
}
SOFTMAXES = {"softmax", "log_softmax", "cross_entropy", "cross_entropy, rows"}
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 700.0, -700.0, 1e-320]


def everything_visible(engine, formula, numbers):
    leaves = [engine.Value(number) for number in numbers]
    result = formula(engine, leaves)
    before = picture(result)
    result.backward()
    gradients = [bits(leaf.grad) for leaf in leaves]
    after = picture(result)
    assert before != after
    return before, after, gradients


@pytest.mark.parametrize("name", FORMULAS)
def test_the_graph_is_the_one_of_the_operators(compiled, reference, name):
    rng = random.Random(SEED)
    for n in (3, 4, 11):
        numbers = [rng.uniform(-3, 3) for _ in range(n)]
        found, wanted = (
            everything_visible(engine, FORMULAS[name], numbers) for engine in (compiled, reference)
        )
        assert found == wanted, f"seed {SEED}, {numbers}"


@pytest.mark.parametrize("name", FORMULAS)
def test_special_numbers_give_the_same_bits_or_errors(compiled, reference, name):
    def result(engine, numbers):
        leaves = [engine.Value(number) for number in numbers]
        out = FORMULAS[name](engine, leaves)
        data = bits(out.data)
        out.backward()
        return data, [bits(leaf.grad) for leaf in leaves]

    for numbers in itertools.product(SPECIAL, repeat=3):
        found, wanted = (_outcome(result, engine, numbers) for engine in (compiled, reference))
        assert found == wanted, numbers


def _outcome(function, *arguments):
    try:
        return function(*arguments)
    except (ArithmeticError, ValueError) as error:
        return type(error)


def test_an_overflow_is_reported_and_leaves_no_node():
    x = [Value(1.0), Value(1e200), Value(-1e200)]
    before = arena_stats()["live_nodes"]
    with pytest.raises(OverflowError, match=r"1e\+200 \*\* 2"):
        losses.mse_loss(x, [0.0, 0.0, 0.0])
    assert arena_stats()["live_nodes"] == before
    assert [v.grad for v in x] == [0.0] * 3
    assert losses.mse_loss(x[:1], [0.0]).data == 1.0


@pytest.mark.parametrize("name", FORMULAS)
def test_nothing_but_the_result_keeps_the_nodes(compiled, name):
    x = [Value(0.5), Value(-1.0), Value(0.25)]
    before = arena_stats()["live_nodes"]
    result = FORMULAS[name](compiled, x)
    assert arena_stats()["live_nodes"] > before + 3
    del result
    assert arena_stats()["live_nodes"] == before


def test_some_of_the_results_can_go_before_the_others():
    x = [Value(0.5), Value(-1.0), Value(0.25)]
    first, *rest = losses.log_softmax(x)
    del rest
    first.backward()
    assert math.fsum(v.grad for v in x) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("__add__", set(FORMULAS)),
        (
            "__mul__",
            {*SOFTMAXES, *(name for name in FORMULAS if name.startswith(("dot", "hinge")))},
        ),
        ("__rmul__", {"dot, numbers first", "hinge", "bce", "bce, of logits"}),
        ("__sub__", {name for name in FORMULAS if name.startswith(("mse", "log_", "cross"))}),
        ("__rsub__", {"bce"}),
        ("__pow__", {"mse", "softmax"}),
        ("__neg__", {*SOFTMAXES, "nll", "bce"}),
        ("clip", {"bce"}),
        ("softplus", {"bce, of logits"}),
        ("maximum", SOFTMAXES),
        ("detach", SOFTMAXES),
        ("exp", SOFTMAXES),
        ("log", SOFTMAXES - {"softmax"}),
        ("relu", {"hinge"}),
    ],
)
def test_24_a_patched_operation_is_used_in_formulas(compiled, name, users):
    numbers = [0.5, -1.0, 0.25]
    original = getattr(Value, name)
    calls = []

    def counted(self, *others):
        calls.append(name)
        return original(self, *others)

    for formula in sorted(users):
        wanted = everything_visible(compiled, FORMULAS[formula], numbers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Value, name, counted)
            calls.clear()
            assert everything_visible(compiled, FORMULAS[formula], numbers) == wanted
            assert calls, formula
        calls.clear()
        assert everything_visible(compiled, FORMULAS[formula], numbers) == wanted
        assert not calls


# What `clip` gives of a subclass is a plain Value, and all that "bce" does comes after it.
@pytest.mark.parametrize("name", [name for name in FORMULAS if name != "bce"])
def test_a_subclass_among_the_values_has_its_say(compiled, name):
    class Loud(Value):
        pass

    calls = []
    for operation in ("__add__", "__radd__", "__mul__", "__rmul__", "__sub__"):
        original = getattr(Value, operation)

        def counted(self, other, original=original):
            calls.append(other)
            return original(self, other)

        setattr(Loud, operation, counted)
    plain = [Value(0.5), Value(-1.0), Value(0.25)]
    mixed = [plain[0], plain[1], Loud(0.25)]
    found, wanted = FORMULAS[name](compiled, mixed), FORMULAS[name](compiled, plain)
    assert bits(found.data) == bits(wanted.data)
    assert calls


def test_targets_that_are_no_plain_numbers_take_the_long_way(compiled):
    x = [Value(0.5), Value(-1.0)]
    assert losses.mse_loss(x, [Fraction(1, 2), True]).data == 2.0
    assert losses.hinge_loss(x, [True, Fraction(-1)]).data == 0.25
    t = Value(1.0)
    losses.mse_loss(x, [t, t]).backward()
    assert t.grad == 2.5


def test_sums_take_what_python_adds(compiled):
    assert outcome(lambda: compiled.sum([]).data) == bits(0.0)
    assert outcome(lambda: compiled.sum([1, 2]).data) == bits(3.0)
    assert outcome(lambda: compiled.dot([], []).data) == bits(0.0)
    assert outcome(lambda: compiled.dot([2], [3]).data) == bits(6.0)
    assert outcome(lambda: compiled.sum([Value(1.0), "2"])) == "raises TypeError"
    assert outcome(lambda: compiled.dot([Value(1.0)], [None])) == "raises TypeError"
    assert outcome(lambda: compiled.dot([Value(1.0)], [10**400])) == "raises OverflowError"
    assert outcome(lambda: losses.mse_loss([Value(1.0)], [10**400])) == "raises OverflowError"


def test_sums_start_in_the_arithmetic_of_their_first_numbers(compiled):
    """As Python's do: the numbers before the first Value are added by their own rules."""
    import numpy as np

    starts = [
        [np.float32(0.1), 0.2],
        [0.1, np.float32(0.2), np.float64(0.3)],
        [np.float16(0.1)] * 3,
        [np.int8(7), True, 5],
        [Fraction(1, 3), Fraction(1, 3), 1],
        [Decimal("0.1"), Decimal("0.2")],
        [True, np.bool_(True)],
        [2**53, 1, 1],
    ]
    for numbers in starts:
        for terms in ([*numbers, Value(1.0)], [*numbers, Value(1.0), *numbers[1:], Value(0.5)]):
            found, wanted = compiled.sum(iter(terms)), sum(terms)
            assert picture(found) == picture(wanted), numbers
        w, x = [*numbers, Value(0.5)], [Value(0.3), *[Value(-1.5)] * len(numbers)]
        found, wanted = compiled.dot(w, x), sum(a * b for a, b in zip(w, x, strict=True))
        assert picture(found) == picture(wanted), numbers
    numbers = [np.float32(0.1), np.float32(0.7)]
    found = compiled.dot([*numbers, Value(1.0)], [*numbers, 1.0])
    assert bits(found.data) == bits(sum([*(n * n for n in numbers), Value(1.0)]).data)


@pytest.mark.parametrize("kind", [Fraction, Decimal, bool, "float32", "int8", "float64"])
def test_targets_of_any_kind_of_number_give_the_graph_of_the_operators(compiled, kind):
    import numpy as np

    number = getattr(np, kind) if isinstance(kind, str) else kind
    x = [Value(0.5), Value(-1.25), Value(2.0)]
    targets = [number(1), number(0), number(1)]
    found = losses.mse_loss(x, targets, reduction="sum")
    assert picture(found) == picture(sum((v - t) ** 2 for v, t in zip(x, targets, strict=True)))


def test_a_number_that_changes_the_list_while_it_is_read_changes_nothing(compiled):
    terms = [Value(1.0)]

    class Sly:
        def __float__(self):
            terms.clear()
            return 2.0

    terms += [Sly(), Value(4.0)]
    assert compiled.sum(terms).data == 7.0


def test_a_patched_addition_is_given_the_negated_number_as_it_is(engine):
    seen = []
    original = engine.Value.__add__

    def noted(self, other):
        seen.append(other)
        return original(self, other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.Value, "__add__", noted)
        differences = [engine.Value(-0.0) - number for number in (0, 2, 0.0, True)]
    assert [bits(v.data) for v in differences] == [bits(x) for x in (0.0, -2.0, -0.0, -1.0)]
    assert [repr(other) for other in seen] == ["0", "-2", "-0.0", "-1"]
