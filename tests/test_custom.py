"""Operations made from functions of numbers, in ordinary graphs."""

import copy
import gc
import math
import pickle
import weakref

import numpy as np
import pytest
import scipy.special

import micrograd_fast as mg
from micrograd_fast import Value, custom_op


def product_of_powers(a, b):
    return a**2 * b


def its_slopes(a, b):
    return 2.0 * a * b, a**2


power = custom_op(product_of_powers, its_slopes)
arctan = custom_op(math.atan, lambda x: 1.0 / (1.0 + x * x))
importable = custom_op(math.sinh, math.cosh)


def test_an_operation_is_one_node_with_its_name():
    a, b = Value(3.0), Value(-2.0)
    y = power(a, b)
    assert type(y) is Value
    assert y.data == -18.0
    assert y._op == "product_of_powers"
    assert y._children == (a, b)
    assert y._prev == {a, b}
    assert y._local_grads == (-12.0, 9.0)
    assert arctan(1.0)._op == "atan"


def closure_of_atan(x):
    y = Value(math.atan(x.data), (x,), "atan")

    def backward():
        x.grad += 1.0 / (1.0 + x.data * x.data) * y.grad

    y._backward = backward
    return y


def test_gradients_have_the_bits_of_a_closure_in_its_place():
    rng = np.random.default_rng(5)
    for _ in range(50):
        numbers = rng.normal(size=3)
        grads = []
        for atan in arctan, closure_of_atan:
            a, b, c = map(Value, numbers)
            t = a * b
            y = atan(t) * t + atan(c * atan(a)) * a + t
            y.backward()
            grads.append((y.data, a.grad, b.grad, c.grad, t.grad))
        assert grads[0] == grads[1]


def test_an_operand_that_stands_twice_gets_both_shares():
    a = Value(3.0)
    power(a, a).backward()
    assert a.grad == 27.0


def test_data_that_is_assigned_counts_in_the_next_backward():
    a = Value(3.0)
    y = arctan(a)
    a.data = 2.0
    y.backward()
    assert a.grad == 0.2


def test_backward_by_hand_propagates_one_node():
    a = Value(3.0)
    y = arctan(a)
    y.grad = 2.0
    y._backward()
    assert a.grad == 0.2


def test_a_closure_may_take_the_place_of_the_operation():
    a = Value(3.0)
    y = arctan(a)
    called = []
    y._backward = lambda: called.append(1)
    y.backward()
    assert called == [1]
    assert a.grad == 0.0


def test_numbers_and_arrays_are_taken():
    assert power(3, np.float64(2.0)).data == 18.0
    column = arctan(np.array([Value(1.0), Value(2.0)]))
    assert [v.data for v in column] == [math.atan(1.0), math.atan(2.0)]
    grid = power(np.array([[1.0], [2.0]]), np.array([Value(1.0), Value(2.0)]))
    assert grid.shape == (2, 2)
    assert grid[1, 1].data == 8.0
    with pytest.raises(TypeError, match="operand 1 of product_of_powers must be a real number"):
        power(Value(1.0), "2")
    with pytest.raises(TypeError, match="product_of_powers takes 2 operands, found 1"):
        power(Value(1.0))


@pytest.mark.parametrize("derivative", [its_slopes, [lambda a, b: 2.0 * a * b, lambda a, b: a**2]])
def test_derivatives_are_one_function_or_one_for_each_operand(derivative):
    a, b = Value(3.0), Value(-2.0)
    custom_op(product_of_powers, derivative)(a, b).backward()
    assert (a.grad, b.grad) == (-12.0, 9.0)


def test_ufuncs_are_vectorized():
    exp = custom_op(np.exp, np.exp)
    assert exp.vectorized
    assert exp.arity == 1
    assert not arctan.vectorized
    x = Value(0.5)
    y = exp(x)
    y.backward()
    assert y.data == x.grad == np.exp(0.5)
    assert type(y.data) is float


def test_functions_of_scipy_are_taken():
    gammaln = custom_op(
        scipy.special.gammaln, scipy.special.digamma, lambda x: scipy.special.polygamma(1, x)
    )
    assert mg.gradcheck(gammaln, 2.5, order=1)


@pytest.mark.parametrize(
    ("forward", "found"),
    [
        (lambda x: "one", "str"),
        (lambda x: None, "NoneType"),
        (lambda x: 1j, "complex"),
        (lambda x: Value(x), "Value"),
        (lambda x: np.ones(2), "ndarray"),
    ],
)
def test_results_must_be_numbers(forward, found):
    op = custom_op(forward, lambda x: 1.0, name="op")
    with pytest.raises(TypeError, match=f"forward of op must return a number, found {found}"):
        op(Value(1.0))
    op = custom_op(lambda x: 1.0, forward, name="op")
    x = Value(1.0)
    with pytest.raises(TypeError, match="derivative of op must return a number, found"):
        op(x).backward()
    assert x.grad == 0.0


def test_vectorized_results_must_have_the_shape_of_columns():
    op = custom_op(lambda x: np.ones(3), np.cos, name="op", vectorized=True)
    with pytest.raises(TypeError, match=r"must return an array of shape \(1,\), found shape"):
        op(1.0)
    op = custom_op(lambda x: np.array(["a"]), np.cos, name="op", vectorized=True)
    with pytest.raises(TypeError, match="forward of op must return an array of numbers, found"):
        op(1.0)
    assert custom_op(lambda x: 2, np.cos, vectorized=True)(1.0).data == 2.0


def test_the_number_of_derivatives_must_be_that_of_operands():
    with pytest.raises(TypeError, match="derivative of op must return 2 numbers, found 1"):
        custom_op(product_of_powers, lambda a, b: (a,), name="op")(Value(1.0), 2.0).backward()
    with pytest.raises(TypeError, match="derivative of op must return 2 numbers, found float"):
        custom_op(product_of_powers, lambda a, b: a, name="op")(Value(1.0), 2.0).backward()
    with pytest.raises(ValueError, match="derivative must have 2 functions, found 1"):
        custom_op(product_of_powers, [math.sin], arity=2)


def test_what_cannot_be_an_operation_is_refused():
    with pytest.raises(TypeError, match="forward must be callable, found float"):
        custom_op(1.0, math.cos)
    with pytest.raises(TypeError, match="derivative must be callable or a sequence of functions"):
        custom_op(math.sin, 1.0)
    with pytest.raises(TypeError, match=r"derivative\[0\] must be callable, found float"):
        custom_op(math.sin, [1.0])
    with pytest.raises(TypeError, match="second_derivative must be callable, found int"):
        custom_op(math.sin, math.cos, 1)
    with pytest.raises(TypeError, match="arity must be given for"):
        custom_op(math.hypot, lambda *numbers: numbers)
    with pytest.raises(TypeError, match="arity must be an int, found float"):
        custom_op(math.sin, math.cos, arity=1.0)
    with pytest.raises(ValueError, match="arity must be at least 1, found 0"):
        custom_op(lambda: 1.0, lambda: ())
    assert custom_op(math.hypot, lambda *numbers: numbers, arity=2).arity == 2
    assert custom_op(math.log, lambda x: 1.0 / x).arity == 1
    assert custom_op(lambda *x: 1.0, [math.sin, math.cos]).arity == 2


def test_exceptions_come_through():
    def fail(x):
        raise KeyError(x)

    with pytest.raises(KeyError):
        custom_op(fail, math.cos)(Value(1.0))
    x = Value(1.0)
    y = custom_op(math.sin, fail)(x)
    with pytest.raises(KeyError):
        (y * x).backward()
    with pytest.raises(KeyError):
        y._backward()


def test_graphs_copy_and_pickle():
    a = Value(3.0)
    y = importable(a) * a
    for copied in copy.deepcopy(y), pickle.loads(pickle.dumps(y)):
        twin, leaf = copied._children
        assert twin._op == "sinh"
        copied.backward()
        assert leaf.grad == math.cosh(3.0) * 3.0 + math.sinh(3.0)
    assert copy.copy(y).data == y.data
    assert copy.deepcopy(arctan) is arctan
    assert a.grad == 0.0


def test_what_cannot_be_imported_cannot_be_pickled():
    y = arctan(Value(1.0))
    with pytest.raises(pickle.PicklingError, match="'atan': its derivative must be importable"):
        pickle.dumps(y)


def test_graphs_are_freed_without_the_collector():
    class Leaf(Value):
        pass

    gc.disable()
    try:
        leaf = Leaf(1.0)
        gone = weakref.ref(leaf)
        y = arctan(leaf) * 2.0
        y.backward()
        del leaf, y
        assert gone() is None
    finally:
        gc.enable()


def test_a_function_may_do_anything_to_the_graph():
    nodes = []

    def slope(x):
        nodes.extend(Value(float(i)) * 2.0 for i in range(1000))
        gc.collect()
        return 2.0

    x = Value(1.0)
    custom_op(lambda v: 2.0 * v, slope)(x).backward()
    assert x.grad == 2.0

    def rebuild(x):
        y.__init__(1.0, (Value(1.0), Value(2.0)))
        return 1.0

    y = custom_op(math.sin, rebuild, name="op")(x)
    with pytest.raises(RuntimeError, match="initialised again while backward runs"):
        y.backward()
    y = custom_op(math.sin, rebuild, name="op")(x)
    with pytest.raises(RuntimeError, match="derivative of op has changed the operands"):
        y._backward()


def test_derivatives_are_checked():
    assert mg.gradcheck(power, (1.5, -2.0), order=1)
    wrong = custom_op(math.sin, math.sin)
    with pytest.raises(mg.checking.GradientError, match=r"the derivative of the output by inputs"):
        mg.gradcheck(wrong, 1.0, order=1)
