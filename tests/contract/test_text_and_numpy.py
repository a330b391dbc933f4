"""Points 15 and 16 of the drop-in contract: repr, format, float, and numpy."""

import gc
import math
import operator
import sys

import numpy as np
import pytest
import torch
from support import METHODS, same_bits

from micrograd_fast._core import NUMPY_NAMES

# 15: repr, format, float -------------------------------------------------------------------------


def test_15_repr(engine):
    a = engine.Value(2)
    assert repr(a) == str(a) == "Value(data=2.0, grad=0.0)"
    a.grad = -1.5
    assert repr(a) == "Value(data=2.0, grad=-1.5)"
    assert repr(engine.Value(2.0, label="x")) == "Value(data=2.0, grad=0.0, label='x')"
    assert repr(a * 3) == "Value(data=6.0, grad=0.0)"
    for number in (-0.0, math.inf, math.nan, 1e22, 0.1, 5e-324):
        assert repr(engine.Value(number)) == f"Value(data={number!r}, grad=0.0)"
    assert repr([a]) == "[Value(data=2.0, grad=-1.5)]"


def test_15_repr_quotes_the_label(engine):
    for label in ("it's", 'a "b"', "a\nb", "\\", "ä"):
        v = engine.Value(1.0, label=label)
        assert repr(v) == f"Value(data=1.0, grad=0.0, label={label!r})"


def test_15_format_is_that_of_data(engine):
    v = engine.Value(3.14159)
    assert f"{v:.3f}" == "3.142"
    assert f"{v:>10.2e}|" == "  3.14e+00|"
    assert format(v, "+.1f") == "+3.1"
    assert "{:08.3f}".format(v) == "0003.142"  # noqa: UP032
    with pytest.raises(ValueError, match="format"):
        f"{v:nonsense}"


def test_15_format_without_a_specification_is_str(engine):
    v = engine.Value(2.0)
    assert f"{v}" == format(v) == str(v)
    assert f"{v!r}" == repr(v)


def test_15_there_is_no_silent_float(engine):
    v = engine.Value(2.0)
    for convert in (float, int, complex, math.sqrt, math.exp, operator.index):
        with pytest.raises(TypeError):
            convert(v)
    with pytest.raises(TypeError):
        "%.3f" % v  # noqa: UP031
    with pytest.raises(TypeError):
        np.zeros(1)[0] = np.float64(v)
    assert not hasattr(engine.Value, "__float__")
    assert not hasattr(engine.Value, "__index__")


def test_15_item_is_the_float(engine):
    v = engine.Value(2)
    assert v.item() == 2.0
    assert type(v.item()) is float
    assert type((v * 3).item()) is float


# 16: numpy ---------------------------------------------------------------------------------------

NUMPY_SCALARS = [
    np.bool_(True),
    np.int8(3),
    np.int16(3),
    np.int32(3),
    np.int64(3),
    np.uint8(3),
    np.uint16(3),
    np.uint32(3),
    np.uint64(3),
    np.float16(1.5),
    np.float32(1.5),
    np.float64(1.5),
    np.longdouble(1.5),
]


@pytest.mark.parametrize("scalar", NUMPY_SCALARS, ids=lambda scalar: type(scalar).__name__)
def test_16_numpy_scalars_on_either_side_give_a_value(engine, scalar):
    number = float(scalar)
    for build in [
        lambda a, s: a + s,
        lambda a, s: s + a,
        lambda a, s: a * s,
        lambda a, s: s * a,
        lambda a, s: a - s,
        lambda a, s: s - a,
        lambda a, s: a / s,
        lambda a, s: s / a,
        lambda a, s: a**s,
        lambda a, s: s**a,
    ]:
        a, b = engine.Value(2.0), engine.Value(2.0)
        out, plain = build(a, scalar), build(b, number)
        assert type(out) is engine.Value
        out.backward()
        plain.backward()
        assert same_bits(out.data, plain.data)
        assert same_bits(a.grad, b.grad)


def test_16_arrays_of_numbers_give_arrays_of_values(engine):
    v = engine.Value(3.0)
    for array in (np.array([1.0, 2.0]), np.array([1, 2]), np.array([1, 2], dtype=np.float32)):
        for out, expected in [
            (array * v, [3.0, 6.0]),
            (array + v, [4.0, 5.0]),
            (array - v, [-2.0, -1.0]),
            (array / v, [1.0 * 3.0**-1, 2.0 * 3.0**-1]),
            (v * array, [3.0, 6.0]),
            (v + array, [4.0, 5.0]),
            (v - array, [2.0, 1.0]),
        ]:
            assert type(out) is np.ndarray
            assert (out.dtype, out.shape) == (object, (2,))
            assert all(type(element) is engine.Value for element in out)
            assert [element.data for element in out] == expected
    total = (np.array([1.0, 2.0]) * v).sum()
    total.backward()
    assert v.grad == 3.0
    matrix = np.ones((2, 3)) * v
    assert matrix.shape == (2, 3)


def test_16_arrays_of_values(engine):
    a, b = engine.Value(0.5), engine.Value(0.25)
    array = np.array([a, b])
    assert (array.dtype, array.shape) == (object, (2,))
    assert array[0] is a
    assert np.asarray(a).shape == ()
    assert np.array([[a, b], [b, a]]).shape == (2, 2)
    out = (array * array).sum() + array @ np.array([2.0, 3.0]) + np.mean(array)
    out.backward()
    # Sums of a few powers of 2, which round nothing.
    assert out.data == 0.3125 + 1.75 + 0.375
    assert a.grad == 1.0 + 2.0 + 0.5
    assert np.dot([a, b], [b, a]).data == 0.25
    assert (-array)[0].data == -0.5
    assert (array**2)[1].data == 0.0625


#: The functions of numpy by their own names, but for those that can give a bool: these numpy
#: decides by comparing.
NUMPY_UFUNCS = {
    thing.__name__: thing
    for thing in vars(np).values()
    if isinstance(thing, np.ufunc) and not any(kind.endswith("?") for kind in thing.types)
}

#: Those that are operations, by the name of the operation.
NUMPY_FUNCTIONS = {
    row.name: NUMPY_UFUNCS[NUMPY_NAMES.get(row.name, row.name)]
    for row in METHODS
    if NUMPY_NAMES.get(row.name, row.name) in NUMPY_UFUNCS
}


def test_16_the_functions_of_numpy_are_among_the_operations():
    assert set(NUMPY_FUNCTIONS) >= {
        *("exp", "expm1", "log", "log1p", "sqrt", "cbrt", "sin", "cos", "tan", "sinh", "cosh"),
        *("tanh", "asin", "acos", "atan", "atan2", "hypot"),
    }
    for name, function in NUMPY_FUNCTIONS.items():
        assert function.nin == {row.name: row.arity for row in METHODS}[name], name


@pytest.mark.parametrize("name", NUMPY_FUNCTIONS)
def test_16_numpy_functions_call_the_methods(engine, name):
    function = NUMPY_FUNCTIONS[name]
    numbers = [0.5, 0.25][: function.nin]
    operands = [*map(engine.Value, numbers)]
    out = function(*operands)
    assert type(out) is engine.Value
    assert out._op == name
    assert out._children == tuple(operands)
    wanted = getattr(engine.Value(0.5), name)(*numbers[1:])
    assert same_bits(out.data, wanted.data)
    assert math.isclose(out.data, function(*numbers), rel_tol=1e-15)
    out.backward()
    assert [v.grad for v in operands] == list(wanted._local_grads)
    arrays = [np.array([v, v]) for v in operands]
    array = function(*arrays)
    assert array.dtype == object
    assert [element._op for element in array] == [name, name]
    assert same_bits(array[1].data, wanted.data)
    if function.nin == 2:
        assert same_bits(function(arrays[0], 0.25)[1].data, wanted.data)


#: Operands that tell the operations apart, and of which each of them has some in its domain.
TELLING_POINTS = [(0.5, 0.25), (0.75, 1.5), (1.25, -2.0), (-0.5, 0.5), (-3.0, 2.0)]


def outcomes(call, arity):
    """What a function gives at each of those points, nan for an error."""
    results = []
    for point in TELLING_POINTS:
        try:
            with np.errstate(all="ignore"):
                results.append(float(call(*point[:arity])))
        except (ValueError, TypeError):
            results.append(math.nan)
    return results


def test_16_what_numpy_calls_an_operation_is_its_name_too(compiled):
    """A function of numpy with the same numbers finds a method of its own name."""
    n_found = 0
    for function in NUMPY_UFUNCS.values():
        if function.signature is not None or function.nout > 1 or "d" not in str(function.types):
            continue
        wanted = outcomes(function, function.nin)
        if wanted == pytest.approx([a for a, _ in TELLING_POINTS]):
            continue  # the number itself or its neighbour; `detach` and others give it as well
        for row in METHODS:
            if row.arity == function.nin:
                method = getattr(compiled.Value, row.name)
                found = outcomes(lambda a, *b: method(compiled.Value(a), *b).data, row.arity)
                if found == pytest.approx(wanted, rel=1e-12, nan_ok=True):
                    assert getattr(compiled.Value, function.__name__, None) is method
                    n_found += 1
    assert n_found == len(NUMPY_FUNCTIONS)


def test_16_names_of_numpy_are_the_operations_themselves(engine):
    for name, numpy_name in NUMPY_NAMES.items():
        assert getattr(engine.Value, numpy_name) is getattr(engine.Value, name)
        assert getattr(np, numpy_name).__name__ == numpy_name


def test_16_numpy_arithmetic_functions(engine):
    a, b = engine.Value(-0.5), engine.Value(0.25)
    assert np.add(a, b).data == -0.25
    assert np.multiply(a, 2).data == -1.0
    assert np.negative(a).data == 0.5
    assert np.absolute(a)._op == "abs"
    assert np.abs(np.array([a, b]))[0].data == 0.5
    assert np.power(b, 2).data == 0.0625
    assert np.sum([a, b]).data == -0.25


def test_16_an_array_element_assignment_keeps_the_value(engine):
    a = engine.Value(0.5)
    array = np.empty(2, dtype=object)
    array[0] = a
    array[1] = a * 2
    assert array[0] is a
    with pytest.raises(TypeError):
        np.zeros(2)[0] = a


def test_16_torch_scalars_are_numbers_on_either_side(engine):
    v = engine.Value(3.0)
    for tensor in (torch.tensor(2.0), torch.tensor(2, dtype=torch.int64)):
        for out, expected in [(v * tensor, 6.0), (v + tensor, 5.0), (v - tensor, 1.0)]:
            assert type(out) is engine.Value
            assert out.data == expected


def test_16_numbers_are_not_kept(engine):
    """An operand that is a number is read once; its object is not held."""
    number, scalar = 12345.678, np.float64(3.5)
    before = sys.getrefcount(number), sys.getrefcount(scalar)
    v = engine.Value(number)
    nodes = [v + number for _ in range(100)] + [v * scalar for _ in range(100)]
    del nodes, v
    gc.collect()
    assert (sys.getrefcount(number), sys.getrefcount(scalar)) == before


@pytest.mark.parametrize("shape", [(4,), (2, 2), (4, 1)])
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("name", ["mean", "std", "var"])
def test_16_numpys_statistics_are_functions_of_values(engine, name, ddof, axis, shape):
    numbers = np.array([1.0, 3.0, -0.5, 7.25]).reshape(shape)
    options = {"axis": axis} if name == "mean" else {"axis": axis, "ddof": ddof}
    if name != "mean" and axis == 0 and shape[0] - ddof < 1:
        options["ddof"] = 0
    values = np.array([engine.Value(x) for x in numbers.ravel()]).reshape(shape)
    found = getattr(np, name)(values, **options)
    wanted = getattr(np, name)(numbers, **options)
    entries = found.ravel().tolist() if isinstance(found, np.ndarray) else [found]
    assert [v.data for v in entries] == pytest.approx(wanted.ravel().tolist(), rel=1e-14)
    total = sum(entries)
    total.backward()
    tensor = torch.tensor(numbers, requires_grad=True)
    if name == "mean":
        of_torch = tensor.mean() if axis is None else tensor.mean(axis)
    else:
        of_torch = getattr(torch, name)(tensor, axis, correction=options["ddof"])
    of_torch.sum().backward()
    slopes = [v.grad for v in values.ravel()]
    assert slopes == pytest.approx(tensor.grad.ravel().tolist(), rel=1e-12, abs=1e-14)


def test_16_conjugate_is_the_value_itself(engine):
    a = engine.Value(2.0)
    assert a.conjugate() is a
