"""Tracing functions: what `jit` takes for the same arguments, replays, and says of reads."""

import array
import copy
import dataclasses
import enum
import functools
import inspect
import math
import operator
import pickle
import random
import threading
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
import torch
from support import in_threads, run_python

import micrograd_fast
from micrograd_fast import MLP, Value, _core, compile, jit
from micrograd_fast.optim import SGD


def test_a_function_is_traced_once_for_each_structure():
    n_traces = 0

    @jit
    def total(x, scale):
        nonlocal n_traces
        n_traces += 1
        return micrograd_fast.sum([v * scale for v in x])

    assert total([1.0, 2.0], 3.0) == 9.0
    assert total([1.5, 2.0], 2.0) == 7.0
    assert n_traces == 1
    assert total([1.0, 2.0, 3.0], 1.0) == 6.0
    assert total((1.0, 2.0), 1.0) == 3.0
    assert total(np.array([1.0, 4.0]), np.float64(2.0)) == 10.0
    assert n_traces == 4
    assert total.value_and_grad([1.0, 2.0], 3.0) == (9.0, ([3.0, 3.0], 3.0))
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
    assert scores(model, point, 1.0) == wanted
    assert scores(MLP(2, [4, 2]), point, 1.0) != wanted
    assert scores(model, point, 2.0) == wanted


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
    with pytest.warns(RuntimeWarning, match=r"sign looked at a Value.*test_tracing.py:\d+"):
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

    with pytest.warns(RuntimeWarning, match="outer looked at a Value"):
        assert jit(outer)(1.0) == 8.0


def test_a_call_while_another_function_is_traced_is_part_of_the_trace():
    w = Value(3.0)
    square = jit(lambda x: w * x * x)
    assert square(5.0) == 75.0
    both = jit(lambda x: square(x) + square(x + 1.0))
    assert both(2.0) == 39.0
    assert both(3.0) == 75.0
    assert both.value_and_grad(3.0)[1] == 42.0
    assert both.program(3.0).parameters == (w,)


def test_flags_are_branched_on_and_names_are_taken():
    @jit
    def scaled(x, scale=2.0, *, negate=False):
        return -x * scale if negate else x * scale

    assert scaled(3.0) == 6.0
    assert scaled(3.0, negate=True) == -6.0
    assert scaled(3.0, negate=False) == 6.0
    assert scaled(x=3.0, scale=4.0, negate=np.True_) == -12.0
    assert scaled.value_and_grad(scale=4.0, x=3.0)[1] == (4.0, 3.0)
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
    assert two.at.value_and_grad(5.0) == (10.0, 2.0)
    assert one.at.program(3.0) is one.at.program(4.0)
    assert one.at.program(3.0) is not two.at.program(3.0)
    two.at.backward(7.0)
    assert (one.slope.grad, two.slope.grad) == (0.0, 7.0)
    one.slope.data = -1.0
    assert one.at(3.0) == Line.at(one, 3.0) == -3.0


# Arguments ---------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, True),
        (0, None),
        ("a", b"a"),
        (Colour.RED, Colour.BLUE),
        (np.int64(1), np.int32(1)),
        (np.array([0, 1]), np.array([1, 0])),
        (frozenset({1}), frozenset({True})),
        (slice, list),
    ],
)
def test_what_is_no_float_is_static_and_known_by_type_and_value(one, other):
    seen = []
    jitted = jit(lambda x, choice: seen.append(choice) or x * 2.0)
    for choice in (one, other, one, other):
        assert jitted(1.5, choice) == 3.0
    assert len(seen) == 2
    assert type(seen[0]) is type(one)
    assert np.array_equal(seen[0], one)
    assert np.array_equal(seen[1], other)


def test_ints_count_index_and_branch():
    def polynomial(x, coefficients, degree, mode):
        if mode == 1:
            x = -x
        total = 0.0
        for i in range(degree):
            total = total + coefficients[i] * x**i
        return total

    jitted = jit(polynomial, frozen_reads="error")
    for degree in (1, 2, 3):
        for mode in (0, 1):
            arguments = (1.5, [1.0, 2.0, 3.0], degree, mode)
            assert jitted(*arguments) == polynomial(*arguments)


def test_static_names_or_places_make_floats_part_of_the_key():
    n_traces = 0

    def scaled(x, factor, *rest, **named):
        nonlocal n_traces
        n_traces += 1
        assert isinstance(factor, float)
        return x * factor

    for static in ("factor", 1, ["factor"], (1,)):
        n_traces = 0
        jitted = jit(scaled, static=static)
        assert [jitted(2.0, f) for f in (0.0, -0.0, 1.0, 0.0)] == [0.0, -0.0, 2.0, 0.0]
        assert math.copysign(1.0, jitted(2.0, -0.0)) == -1.0
        assert jitted(2.0, factor=1.0) == 2.0
        assert n_traces == 4
    assert jit(scaled, static=["factor", "other"])(1.0, 2.0, other=(1.0, "a")) == 2.0
    with pytest.raises(TypeError, match=r"layers must be hashable to be static.*found list"):
        jit(lambda x, layers: x * 1.0, static="layers")(1.0, [1, 2])

    def product(x, y):
        return x * y

    for wrong in (2, "z", 1.5, None, True):
        with pytest.raises(
            TypeError, match=r"static must name arguments of product\(x, y\), found"
        ):
            jit(product, static=[wrong])


def test_an_object_whose_attributes_may_change_unnoticed_is_not_static():
    class Settings:
        def __init__(self, rate):
            self.rate = rate

    class Slotted:
        __slots__ = ("rate",)

    class Comparable(Settings):
        def __eq__(self, other):
            return self.rate == other.rate

        def __hash__(self):
            return hash(self.rate)

    class Marker:
        pass

    jitted = jit(lambda x, other: x * getattr(other, "rate", 2.0))
    for wrong in (Settings(3.0), Slotted(), [Settings(1.0)], (1, Settings(1.0))):
        with pytest.raises(TypeError, match=r"other must be immutable to be static.*found an ob"):
            jitted(1.0, wrong)
        with pytest.raises(TypeError, match=r"other must be .*to be static"):
            jit(lambda x, other: x * 2.0, static="other")(1.0, wrong)
    changing = Comparable(3.0)
    assert jitted(1.0, changing) == 3.0
    changing.rate = 4.0
    assert jitted(1.0, changing) == 4.0
    assert jitted(1.0, Marker()) == jitted(1.0, len) == jitted(1.0, math) == 2.0
    model = MLP(1, [1])
    loss = jit(lambda model, x: model([x]))
    assert loss(model, 0.5) == model([0.5]).data
    model.layers[0].neurons[0].w[0].data = 0.25
    assert loss(model, 0.5) == model([0.5]).data
    assert loss.cache_info().misses == 1


def test_methods_and_partial_functions_are_static_as_what_they_hold_is():
    class Scaled:
        def __init__(self, scale):
            self.scale = scale

        def times(self, x):
            return x * self.scale

    jitted = jit(lambda x, function: function(x))
    for changing in (Scaled(2.0).times, functools.partial(Scaled.times, Scaled(2.0))):
        with pytest.raises(TypeError, match=r"function must be immutable to be static"):
            jitted(1.0, changing)
    product = operator.mul
    assert jitted(2.0, functools.partial(product, 3.0)) == 6.0
    assert jitted(2.0, functools.partial(product, 3.0)) == 6.0
    assert jitted(2.0, functools.partial(product, 4.0)) == 8.0
    assert jitted.cache_info().misses == 2


def test_whatever_has_a_name_is_static_and_so_are_slices():
    jitted = jit(lambda x, function: function(x))
    cached = functools.lru_cache(lambda x: 3.0)
    assert jit(lambda x, function: x * function(1))(2.0, cached) == 6.0
    assert jitted(0.5, jit(lambda x: x * 2.0)) == 1.0
    assert jitted(0.5, np.exp) == Value(0.5).exp().data
    part = jit(lambda x, places: x[places].sum())
    assert [part(np.arange(4.0), slice(0, stop)) for stop in (2, 4)] == [1.0, 6.0]
    assert part(np.arange(4.0), ...) == 6.0


@pytest.mark.parametrize("generator", [random.Random(0), np.random.default_rng(0)])
def test_a_generator_of_random_numbers_is_not_static(generator):
    jitted = jit(lambda x, generator: x * generator.random())
    with pytest.raises(TypeError, match=r"generator must be immutable to be static"):
        jitted(1.0, generator)


def test_a_result_that_hides_values_or_may_change_is_refused():
    class Result:
        def __init__(self, loss):
            self.loss = loss

    for function in (Result, lambda x: {"loss": Result(x)}, lambda x: {"a": x}.values()):
        with pytest.raises(TypeError, match=r"returns must be a nest of Values, found"):
            jit(function)(1.0)
    _, constant = jit(lambda x: (x, np.zeros(2)))(1.0)
    assert constant.tolist() == [0.0, 0.0]
    assert not constant.flags.writeable


def test_what_has_one_derivative_is_one_value():
    assert jit(lambda x: np.array(x * x)).value_and_grad(3.0) == (9.0, 6.0)
    for returned, found in (
        (lambda x: [x], r"list: jacobian takes any result"),
        (lambda x: np.array([x]), r"an array of shape \(1,\): jacobian takes any result"),
        (lambda x: None, r"NoneType, which no argument has to do with"),
    ):
        with pytest.raises(TypeError, match=rf"must return one Value for .*, found {found}$"):
            jit(returned).value_and_grad(2.0)


def test_a_jacobian_has_no_derivative_of_what_is_no_value():
    jitted = jit(lambda x: {"y": x * x, "name": "square", "power": 2.0})
    assert jitted.jacobian(3.0) == {"y": 6.0, "name": None, "power": None}
    assert jit(lambda x: 3.0).jacobian(1.0) is None


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"the leading axis must have at least one .* none in x"):
        jit(lambda x: x.sum()).batch(np.zeros((0, 3)))


def test_data_assigned_after_it_was_used_is_an_error():
    def step(x, optimizer, w):
        loss = (w * x - 1.0) ** 2
        loss.backward()
        optimizer.step()
        return loss

    for fast in (False, True):
        w = Value(1.0)
        optimizer = SGD([w], lr=0.1)
        jitted = jit(lambda x, w=w, o=optimizer: step(x, o, w), fast=fast, frozen_reads="ignore")
        with pytest.raises(RuntimeError, match=r"assigned the data of a Value that it had .*py:"):
            jitted(2.0)
    w = Value(1.0)
    before = jit(lambda x: (setattr(w, "data", 3.0), w * x)[1], frozen_reads="ignore")
    assert before(2.0) == 6.0


def test_a_backward_within_a_trace_is_noticed():
    w = Value(1.0)

    def loss(x):
        found = w * x
        found.backward()
        return found

    with pytest.warns(RuntimeWarning, match=r"looked at a Value while it was traced"):
        assert jit(loss)(2.0) == 2.0
    with pytest.raises(RuntimeError, match=r"looked at a Value while it was traced"):
        jit(lambda x: ((x * x).zero_grad(), x)[1], frozen_reads="error")(1.0)


def test_a_failure_that_is_caught_within_a_trace_is_noticed():
    def logarithm(x):
        try:
            return x.log()
        except ValueError:
            return x * 0.0

    with pytest.warns(RuntimeWarning, match=r"looked at a Value while it was traced"):
        assert jit(logarithm)(-1.0) == 0.0
    with pytest.raises(ValueError, match=r"log of -1.0"):
        jit(lambda x: x.log(), frozen_reads="error")(-1.0)


def test_membership_is_noticed_wherever_a_number_decides_it():
    # The same object is found without a comparison, and would be for every number.
    assert jit(lambda x: x * 2.0 if x in [x] else x, frozen_reads="error")(2.0) == 4.0
    for candidates in (lambda x, y: [y], lambda x, y: (1.0, x), lambda x, y: {2.5: y}.keys()):
        choose = jit(lambda x, y, c=candidates: x if x in c(x, y) else y, frozen_reads="error")
        with pytest.raises(RuntimeError, match=r"looked at a Value|used the hash of a traced"):
            choose(2.0, 3.0)


def test_a_call_that_the_function_does_not_take_says_so_alone():
    jitted = jit(lambda x, y: x * y)
    for args, kwargs, found in (
        ((1.0,), {}, r"missing 1 required positional argument: 'y'$"),
        ((1.0, 2.0, 3.0), {}, r"takes 2 positional arguments but 3 were given$"),
        ((1.0, 2.0), {"z": 1.0}, r"got an unexpected keyword argument 'z'$"),
    ):
        with pytest.raises(TypeError, match=found):
            jitted(*args, **kwargs)


def test_without_a_float_there_is_nothing_to_differentiate_by():
    w = Value(2.0)
    jitted = jit(lambda n: w * n)
    for method in (jitted.value_and_grad, jitted.hessian):
        with pytest.raises(TypeError, match=r"must be given a float for .*, found static argum"):
            method(3)
    assert jitted.backward(3) == 6.0
    assert w.grad == 3.0


@jit
def squared(x):
    return x * x


class Scaled:
    scale = Value(3.0)

    @jit
    def times(self, x):
        return x * self.scale


def test_jitted_functions_are_pickled_and_copied_as_functions_are():
    assert pickle.loads(pickle.dumps(squared)) is squared
    assert copy.copy(squared) is copy.deepcopy(squared) is squared
    times = pickle.loads(pickle.dumps(Scaled().times))
    assert times(2.0) == 6.0
    times.clear_cache()
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(jit(lambda x: x))


def test_what_cannot_be_static_is_refused_by_name():
    jitted = jit(lambda x, other: x * 1.0)
    with pytest.raises(TypeError, match=r"other must be hashable to be static.*found set"):
        jitted(1.0, {1, 2})
    with pytest.raises(TypeError, match=r"other must be a number or a nest of some, found gen"):
        jitted(1.0, (i for i in range(3)))
    with pytest.raises(TypeError, match=r"other must be an array of real numbers, found.*complex"):
        jitted(1.0, np.array([1j]))


def test_arrays_arrive_with_their_shape():
    def energy(w, x):
        assert w.shape == (2, 3)
        assert w.dtype == object
        return ((w @ x) ** 2).sum() + w[0, 1:].sum() + np.dot(w[1], x)

    jitted = jit(energy, frozen_reads="error")
    w, x = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0, 2.0])
    value, (by_w, by_x) = jitted.value_and_grad(w, x)
    assert value == jitted(w, x) == energy(w.astype(object), x.astype(object))
    assert by_w.shape == (2, 3)
    assert by_w.dtype == float
    outer = np.outer(2.0 * (w @ x), x)
    assert by_w.tolist() == np.add(outer, [[0.0, 1.0, 1.0], x]).tolist()
    assert by_x.tolist() == (2.0 * (w @ x) @ w + w[1]).tolist()
    assert jitted(w.astype(np.float32), array.array("d", x)) == value
    assert jitted(torch.tensor(w), x) == value


@dataclasses.dataclass(frozen=True)
class Line:
    slope: float
    name: str
    offset: float = 0.0


class Point(NamedTuple):
    x: float
    y: float


def test_gradients_and_results_have_the_structures_of_arguments_and_what_is_returned():
    @jit
    def bent(line, point, table, unused):
        assert line.name == "steep"
        y = line.slope * point.x + line.offset
        return {"y": y, "all": (y, Point(point.x * 2.0, y)), "name": line.name, "three": 3}

    arguments = (Line(2.0, "steep", 1.0), Point(3.0, 4.0), {"a": np.ones(2)}, 7)
    assert bent(*arguments) == {
        "y": 7.0,
        "all": (7.0, Point(6.0, 7.0)),
        "name": "steep",
        "three": 3,
    }
    by_line, by_point, by_table = jit(
        lambda line, point, table, unused: line.slope * point.x + table["a"][1]
    ).value_and_grad(*arguments)[1]
    assert by_line == Line(3.0, None, 0.0)
    assert by_point == Point(2.0, 0.0)
    assert {name: a.tolist() for name, a in by_table.items()} == {"a": [0.0, 1.0]}


def test_argnums_choose_what_to_differentiate_by():
    def f(x, y, z):
        return x * y * z

    assert jit(f).value_and_grad(2.0, 3.0, 5.0) == (30.0, (15.0, 10.0, 6.0))
    assert jit(f, argnums=1).value_and_grad(2.0, 3.0, 5.0) == (30.0, 10.0)
    assert jit(f, argnums=-1).value_and_grad(2.0, 3.0, 5.0) == (30.0, 6.0)
    assert jit(f, argnums=("z", 0)).value_and_grad(2.0, 3.0, 5.0) == (30.0, (6.0, 15.0))
    assert jit(f, argnums=(1,)).value_and_grad(2.0, 3.0, 5.0) == (30.0, (10.0,))
    assert jit(f).value_and_grad(2.0, 3, 5) == (30.0, 15.0)
    with pytest.raises(TypeError, match="cannot be differentiated by y: it is static"):
        jit(f, argnums=1).value_and_grad(2.0, 3, 5.0)


def test_other_kinds_of_numbers_are_traced():
    product = jit(lambda x, y: x * y)
    for number in (Fraction(1, 2), Decimal("0.5"), np.float32(0.5), np.array(0.5)):
        assert product.value_and_grad(3.0, number) == (1.5, (0.5, 3.0))
    assert product.cache_info().misses == 1


# Results -----------------------------------------------------------------------------------------


def test_jacobian_and_hessian_are_nests_of_arrays():
    a, x = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([0.5, -1.0])
    jitted = jit(lambda a, x: {"ax": a @ x, "norm": (x * x).sum()})
    jacobian = jitted.jacobian(a, x)
    by_a, by_x = jacobian["ax"]
    assert by_a.tolist() == np.einsum("ik,j->ikj", np.eye(2), x).tolist()
    assert by_x.tolist() == a.tolist()
    assert jacobian["norm"][1].tolist() == (2.0 * x).tolist()
    form = jit(lambda a, x: x @ a @ x)
    (aa, ax), (xa, xx) = form.hessian(a, x)
    assert aa.tolist() == np.zeros((2, 2, 2, 2)).tolist()
    assert xx.tolist() == (a + a.T).tolist()
    assert ax.shape == (2, 2, 2)
    assert xa.tolist() == ax.transpose(2, 0, 1).tolist()
    assert jit(lambda x: x**3).hessian(2.0) == 12.0
    assert jit(lambda x: [x, x * x]).jacobian(3.0) == [1.0, 6.0]


def test_batch_maps_over_a_leading_axis():
    jitted = jit(lambda p, scale: (p[0] * p[1] * scale, p * 2.0))
    points = np.arange(8.0).reshape(4, 2)
    products, doubled = jitted.batch(points, 10.0)
    assert products.tolist() == (10.0 * points[:, 0] * points[:, 1]).tolist()
    assert doubled.tolist() == (2.0 * points).tolist()
    assert jit(lambda x: x * x).batch(np.array([1.0, 2.0])).tolist() == [1.0, 4.0]
    with pytest.raises(ValueError, match="must agree, found 4 in p, 3 in scale"):
        jitted.batch(points, np.zeros(3))
    with pytest.raises(ValueError, match="must have a leading axis, found none that has"):
        jitted.batch([1.0, 2.0], 3.0)


def test_a_result_without_values_is_what_was_returned():
    jitted = jit(lambda x: ["text", 2.5, None])
    assert jitted(1.0) == jitted(2.0) == ["text", 2.5, None]
    with pytest.raises(TypeError, match="must return a Value for this"):
        jitted.program(1.0)
    for method in (jitted.value_and_grad, jitted.hessian, jitted.backward):
        with pytest.raises(TypeError, match=r"return one Value for .*, found list without"):
            method(1.0)
    assert jit(lambda x: np.array([x, 2.0], dtype=object))(1.0).tolist() == [1.0, 2.0]


# Called on Values --------------------------------------------------------------------------------


@pytest.mark.parametrize("nest", [lambda v: [v], lambda v: {"a": v}, np.array])
def test_called_on_values_it_is_part_of_their_graph(nest):
    def square(values, exponent):
        (v,) = values.values() if isinstance(values, dict) else values
        return v**exponent

    x = Value(3.0)
    argument = nest([x]) if nest is np.array else nest(x)
    out = Value(1.0) * jit(square)(argument, 2) + x
    out.backward()
    assert (out.data, x.grad) == (12.0, 7.0)


def test_derivatives_of_a_call_on_values_are_refused():
    with pytest.raises(TypeError, match="must be given numbers for this, found Values"):
        jit(lambda x: x * x).value_and_grad(Value(1.0))


# What a trace must not see -----------------------------------------------------------------------

PARAMETER = Value(2.0)
PROGRAM = compile(PARAMETER * 2.0, parameters=[PARAMETER])

LOOKS = {
    "data": lambda x: x.data,
    "item": lambda x: x.item(),
    "grad": lambda x: x.grad,
    "_local_grads": lambda x: (x * x)._local_grads,
    "repr": repr,
    "str": str,
    "format": lambda x: f"{x:.3f}",
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "assignment of a gradient": lambda x: setattr(x, "grad", 3.0),
    "assignment to a parameter": lambda x: setattr(PARAMETER, "data", 2.0),
    "a step": lambda x: SGD([PARAMETER], 0.1).step(),
    "zero_grad": lambda x: SGD([PARAMETER], 0.1).zero_grad(),
    "set_parameters": lambda x: PROGRAM.set_parameters([2.0]),
    "get_parameters": lambda x: PROGRAM.get_parameters(),
    "set_grad": lambda x: PROGRAM.set_grad([2.0]),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_at_a_value_is_counted_with_its_line(look):
    def looking(x):
        LOOKS[look](x)
        return x * 2.0

    with pytest.raises(RuntimeError, match=r"looking looked at a Value.*test_tracing.py:\d+"):
        jit(looking, frozen_reads="error")(3.0)
    with pytest.warns(RuntimeWarning, match="looking looked at a Value") as record:
        assert jit(looking)(3.0) == 6.0
    assert record[0].filename == __file__
    assert jit(looking, frozen_reads="ignore")(3.0) == 6.0
    assert jit(looking, frozen_reads="ignore").program(3.0).frozen_reads != []


WRONG = {
    "truth": (lambda x: x * 2.0 if x else x, 0.0),
    "or": (lambda x: x * (x or 5.0), 0.0),
    "not": (lambda x: x * (1.0 if not x else 2.0), 0.0),
    "any": (lambda x: x * float(any([x, x])), 0.0),
    "equality": (lambda x: x if x == 1.0 else -x, 1.0),
    "inequality": (lambda x: x if x != 1 else -x, 1.0),
    "of two": (lambda x: x if x * 2.0 == x + 1.0 else -x, 1.0),
    "in": (lambda x: x if x in [0.0, 1.0] else -x, 1.0),
    "index": (lambda x: x * float([0.0, 1.0].index(x)), 1.0),
    "hash": (lambda x: {1.0: x}[x], 1.0),
    "in a set": (lambda x: x if x in {2.0} else -x, 1.0),
    "assignment": (lambda x: (setattr(x, "data", 5.0), x * 2.0)[1], 1.0),
    "assignment to what is computed": (lambda x: assigned(x * 2.0) * 3.0, 1.0),
}


def assigned(value):
    value.data = 7.0
    return value


@pytest.mark.parametrize("frozen_reads", ["warn", "error", "ignore"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_would_be_wrong_at_this_call_is_an_error_always(wrong, frozen_reads):
    function, argument = WRONG[wrong]
    with pytest.raises(RuntimeError, match=r"of a traced number, at .*test_tracing.py:\d+"):
        jit(function, frozen_reads=frozen_reads)(argument)


def test_values_that_are_values_in_the_plain_function_too_keep_their_identity():
    w, v = Value(2.0), Value(2.0)

    def chosen(x):
        names = {w: "w", v: "v"}
        assert names[w] == "w"
        assert w == w
        assert w != v
        return x * w if w in [v, w] and w * x else x

    assert jit(chosen, frozen_reads="ignore")(0.0) == 0.0
    assert [chosen(1.0).data, jit(chosen, frozen_reads="ignore")(1.0)] == [2.0, 2.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: [x * i for i in range(n)][-1],
        lambda x, n: [x, x][n],
        lambda x, n: x if n < 2 else -x,
        lambda x, n: x * round(n),
        lambda x, n: x * int(n),
        lambda x, n: x * float(n),
        lambda x, n: x * math.floor(n),
    ],
)
def test_a_type_error_says_what_is_traced(function):
    with pytest.raises(TypeError, match=r"While jit traces <lambda>.*of x, n:.*must be an int"):
        jit(function)(1.0, 1.0)
    jit(function, static="n")


def test_traces_of_two_threads_end_in_any_order():
    first_runs, second_runs, first_is_done = (threading.Event() for _ in range(3))
    watched = []

    def first(x):
        first_runs.set()
        assert second_runs.wait(10)
        return x * 2.0

    def second(x):
        second_runs.set()
        assert first_is_done.wait(10)
        return x * 3.0

    def trace(number):
        if number == 0:
            jit(first)(1.0)
        else:
            assert first_runs.wait(10)
            jit(second)(1.0)
        watched.append(_core.is_watching_looks())
        first_is_done.set()

    in_threads(trace, n_threads=2)
    assert watched == [False, False]


NO_MEMORY = """
    import _testcapi
    from micrograd_fast import jit
    from micrograd_fast._core import is_watching_looks

    n_failed = 0
    for n in range(100):
        jitted = jit(lambda x: x * 2.0 if x else x, frozen_reads="ignore")
        _testcapi.set_nomemory(n, n + LENGTH)
        try:
            jitted(1.0)
        except MemoryError:
            n_failed += 1
        finally:
            _testcapi.remove_mem_hooks()
        assert not is_watching_looks(), n
    assert n_failed > 3
    print("done")
"""


@pytest.mark.parametrize("length", [1, 10_000])
def test_running_out_of_memory_while_tracing_leaves_nothing_watched(length):
    assert run_python(NO_MEMORY.replace("LENGTH", str(length))) == "done\n"


def test_outside_of_a_trace_nothing_is_watched():
    value = Value(0.0)
    assert value
    assert value == value
    assert value != 0.0
    assert hash(value) == object.__hash__(value)
    assert {value: 1}[value] == 1
    with pytest.raises(TypeError, match="'<' not supported between instances of"):
        value < 1.0  # noqa: B015


# The programs that are kept ----------------------------------------------------------------------


def test_programs_are_counted_bounded_and_forgotten():
    jitted = jit(lambda x, n: x * float(n), max_programs=2)
    assert [jitted(1.0, n) for n in (1, 2, 1, 3, 2)] == [1.0, 2.0, 1.0, 3.0, 2.0]
    assert jitted.cache_info() == (1, 4, 2, 2)
    jitted.clear_cache()
    assert jitted.cache_info() == (0, 0, 2, 0)
    with pytest.raises(ValueError, match="max_programs must be at least 1, found 0"):
        jit(lambda x: x, max_programs=0)


def test_a_static_argument_that_keeps_changing_is_warned_of_once():
    jitted = jit(lambda x, step, name: x * float(step))
    for step in range(9):
        jitted(1.0, step, "a")
    with pytest.warns(RuntimeWarning, match=r"traced 10 times.*keep changing: step\. A number"):
        jitted(1.0, 9, "a")
    for step in range(10, 30):
        jitted(1.0, step, "a")


def test_what_help_and_inspect_say_is_the_functions_own():
    @jit
    def area(width: float, height: float = 1.0) -> "Value":
        """The area of a rectangle."""
        return Value(width) * height

    assert area.__doc__ == "The area of a rectangle."
    assert str(inspect.signature(area)) == "(width: float, height: float = 1.0) -> 'Value'"
    assert repr(area) == "<jitted area: 0 programs>"
