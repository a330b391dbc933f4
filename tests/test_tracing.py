"""Tracing functions: what `jit` takes for the same arguments, replays, and says of reads."""

import random
from typing import NamedTuple

import numpy as np
import pytest
from support import in_threads

import micrograd_fast
from micrograd_fast import MLP, Value, jit


def test_a_function_is_traced_once_for_each_structure():
    n_traces = 0

    @jit
    def total(x, scale):
        nonlocal n_traces
        n_traces += 1
        return micrograd_fast.sum([v * scale for v in x])

    assert total([1.0, 2.0], 3.0) == 9.0
    assert total([1.5, 2], 2) == 7.0
    assert n_traces == 1
    assert total([1.0, 2.0, 3.0], 1.0) == 6.0
    assert total((1.0, 2.0), 1.0) == 3.0
    assert total(np.array([1.0, 4.0]), np.float64(2.0)) == 10.0
    assert n_traces == 3
    value, gradient = total.value_and_grad([1.0, 2.0], 3.0)
    assert (value, gradient.tolist()) == (9.0, [3.0, 3.0, 3.0])
    assert total.program([0.0, 0.0], 0.0)([[1.0, 1.0, 5.0]] * 9).tolist() == [10.0] * 9
    assert total.__name__ == "total"


def test_jit_takes_models_and_dicts_and_gives_sequences():
    random.seed(4)
    model = MLP(2, [4, 2])

    @jit
    def scores(net, point, unused):
        return net([point["x"], point["y"]])

    point = {"x": 0.5, "y": -1.0}
    wanted = [out.data for out in model([0.5, -1.0])]
    assert scores(model, point, 1.0).tolist() == wanted
    assert scores(MLP(2, [4, 2]), point, 1.0).tolist() != wanted
    assert scores(model, point, 2.0).tolist() == wanted


def test_jit_leaves_a_tuple_the_names_of_its_entries():
    class Point(NamedTuple):
        x: float
        y: float

    @jit
    def slope(p, q):
        return (p.y - q.y) / (p.x - q.x)

    assert slope(Point(0.0, 0.0), Point(2.0, 3.0)) == 1.5
    assert slope(Point(1.0, 1.0), Point(2.0, 0.0)) == -1.0
    with pytest.raises(AttributeError, match="no attribute 'y'"):
        slope((0.0, 0.0), (2.0, 3.0))


def test_jit_adds_to_the_gradients_of_parameters():
    w = Value(3.0)
    square = jit(lambda x: (w * x) ** 2)
    assert square.backward(2.0) == 36.0
    assert w.grad == 24.0


def test_a_frozen_branch_is_loud():
    def sign(x):
        return x * 1.0 if x.data > 0 else x * -1.0

    frozen = jit(sign)
    with pytest.warns(RuntimeWarning, match=r"sign read the data of a Value.*test_tracing.py:\d+"):
        assert frozen(3.0) == 3.0
    assert frozen(-3.0) == -3.0
    (place,) = frozen.program(1.0).frozen_reads
    assert place.startswith(__file__)
    assert place.rpartition(":")[2].isdigit()
    with pytest.raises(RuntimeError, match="is frozen"):
        jit(sign, frozen_reads="error")(3.0)
    assert jit(frozen_reads="ignore")(sign)(-3.0) == 3.0
    assert jit(lambda x: x * 2.0).program(1.0).frozen_reads == []
    with pytest.raises(ValueError, match="found 'maybe'"):
        jit(sign, frozen_reads="maybe")


def test_reads_of_other_threads_are_their_own():
    other = Value(1.0)

    def read_in_a_thread(x):
        in_threads(lambda _: other.data, n_threads=2)
        return x * 2.0

    assert jit(read_in_a_thread).program(1.0).frozen_reads == []


def test_a_trace_within_a_trace_leaves_the_outer_one_watched():
    inner = jit(lambda x: x * 2.0)

    def outer(x):
        scale = inner.program(1.0)([4.0])
        return x * scale if x.data > 0 else x

    with pytest.warns(RuntimeWarning, match="outer read the data"):
        assert jit(outer)(1.0) == 8.0


def test_a_call_while_another_function_is_traced_is_part_of_the_trace():
    w = Value(3.0)
    square = jit(lambda x: w * x * x)
    assert square(5.0) == 75.0
    both = jit(lambda x: square(x) + square(x + 1.0))
    assert both(2.0) == 39.0
    assert both(3.0) == 75.0
    assert both.value_and_grad(3.0)[1].tolist() == [42.0]
    assert both.program(3.0).parameters == (w,)


def test_flags_are_branched_on_and_names_are_taken():
    @jit
    def scaled(x, scale=2.0, *, negate=False):
        return -x * scale if negate else x * scale

    assert scaled(3.0) == 6.0
    assert scaled(3.0, negate=True) == -6.0
    assert scaled(3.0, negate=False) == 6.0
    assert scaled(x=3.0, scale=4.0, negate=np.True_) == -12.0
    assert scaled.value_and_grad(scale=4.0, x=3.0)[1].tolist() == [3.0, 4.0]
    assert scaled.program(3.0, negate=True)([[1.0], [2.0]]).tolist() == [-2.0, -4.0]


def test_what_fails_while_it_is_traced_leaves_no_trace():
    @jit
    def broken(x):
        raise KeyError("no")

    for _ in range(2):
        with pytest.raises(KeyError):
            broken(1.0)
    x = Value(1.0)
    assert x.data == 1.0
    assert jit(lambda x: x + 1)(1.0) == 2.0


def test_jit_knows_strings_and_the_like_by_what_they_are():
    n_traces = 0

    @jit
    def scaled(x, name, exact=None):
        nonlocal n_traces
        n_traces += 1
        return x * len(name)

    for i in range(12):
        assert scaled(2.0, "n" * (1 + i % 3)) == 2.0 * (1 + i % 3)
        assert scaled(2.0, b"n" * (1 + i % 3), exact=i % 2 == 0) == 2.0 * (1 + i % 3)
    assert n_traces == 3 + 6
    assert scaled(1.0, "1") == scaled(1.0, b"1") == 1.0
    assert n_traces == 3 + 6 + 2


def test_jit_makes_methods():
    class Line:
        def __init__(self, slope):
            self.slope = Value(slope)

        @jit
        def at(self, x):
            return self.slope * x

    one, two = Line(1.0), Line(2.0)
    assert (one.at(3.0), two.at(3.0), two.at(4.0)) == (3.0, 6.0, 8.0)
    value, gradient = two.at.value_and_grad(5.0)
    assert (value, gradient.tolist()) == (10.0, [2.0])
    assert one.at.program(3.0) is one.at.program(4.0)
    assert one.at.program(3.0) is not two.at.program(3.0)
    two.at.backward(7.0)
    assert (one.slope.grad, two.slope.grad) == (0.0, 7.0)
    one.slope.data = -1.0
    assert one.at(3.0) == Line.at(one, 3.0) == -3.0
