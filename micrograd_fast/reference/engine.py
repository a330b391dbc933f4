"""The reference engine: scalar reverse-mode differentiation in plain Python.

Every operation makes a new `Value` and gives it a closure, `_backward`, that adds the
operation's share of the chain rule to the gradients of its operands. `Value.backward` calls
the closures from the result back to the leaves. That is the whole engine; the rest of the file
is the table of operations.

The compiled engine must give the same bits as this file, so the order of every floating-point
operation is part of what is said here: each closure does ``operand.grad += D * out.grad``,
operands left to right, and D is written with its factors in the promised order. Operands are
read when backward runs, not when the node is made, so a `data` assigned in between counts.

A closure refers to its own output, so a graph is full of reference cycles and is freed by
Python's cycle collector, not at once.
"""

import builtins
import math
import operator
import sys
import types

__all__ = ["Value", "dot", "sum", "take"]


class Value:
    """A number that remembers how it was computed.

    Parameters
    ----------
    data : float
        The number. Anything with ``__float__`` or ``__index__`` is taken, and arrays of one
        element.
    _children : iterable of Value, optional
        The operands, in order. Also accepted under the name `children`.
    _op : str, optional
        The name of the operation. A tuple or list here is taken as `local_grads`.
    label : str, optional
        A name for people to read.
    local_grads : sequence of float, optional
        The derivative by each operand; backward then adds ``local_grad * self.grad`` to each.

    Raises
    ------
    TypeError
        If `data` is not a real number, or an operand is not a Value.
    ValueError
        If `local_grads` and the operands differ in number.

    Examples
    --------
    >>> a = Value(3.0)
    >>> (a * a + 1).backward()
    >>> a
    Value(data=3.0, grad=6.0)
    """

    _given_local_grads = None  # set only on the nodes that were made with `local_grads`

    def __init__(self, data, _children=(), _op="", label="", **names):
        children, op, local_grads = _children, _op, None
        if names or isinstance(_children, str) or not isinstance(_op, str):
            data, children, op, local_grads, label = arguments((data, children, op, label), names)
        self.data = data if type(data) is float else as_float(data)
        self.grad = 0.0
        self.label = label
        self._op = op
        self._children = children = tuple(children)
        self._backward = do_nothing
        for child in children:
            if not isinstance(child, Value):
                raise TypeError(f"an operand must be a Value, not {type(child).__name__}")
        if not isinstance(op, str):
            raise TypeError(f"_op must be a str, found {type(op).__name__}")
        if local_grads is not None:
            self._use_local_grads(local_grads)

    def _use_local_grads(self, local_grads):
        """Backpropagate by the given derivatives, one for each operand."""
        children = self._children
        local_grads = tuple(as_float(local_grad) for local_grad in local_grads)
        if len(local_grads) != len(children):
            raise ValueError(f"{len(children)} operands but {len(local_grads)} local gradients")
        self._given_local_grads = local_grads

        def _backward():
            for child, local_grad in zip(children, local_grads):
                child.grad += local_grad * self.grad

        self._backward = _backward

    # Backward ---------------------------------------------------------------------------------

    def backward(self):
        """Set this node's gradient to 1 and add to the gradients of all nodes under it.

        Nothing is cleared first: a second call adds a second time, interior nodes included.
        """
        order = topological_order(self)
        self.grad = 1.0
        needed = None  # every node is, up to the first branch that is not taken
        for i, node in enumerate(reversed(order)):
            if needed is not None and node not in needed:
                continue
            node._backward()
            if needed is not None:
                needed.update(taken_operands(node))
            elif is_closed(node) or is_choice(node):
                done = reversed(order[len(order) - 1 - i :])
                needed = {operand for node in done for operand in taken_operands(node)}

    def zero_grad(self):
        """Set the gradient of this node and of every node under it to 0."""
        for node in topological_order(self):
            node.grad = 0.0

    # The face of a node -----------------------------------------------------------------------

    @property
    def _prev(self):
        """The operands as a set: ``a * a`` has one."""
        return set(self._children)

    @property
    def _local_grads(self):
        """The derivative by each operand, in order; empty where only a custom closure knows it.

        No operation keeps its derivatives. They are asked of the closure: a copy of it runs on
        stand-ins for its nodes, with a gradient of 1 coming in, and what arrives at the
        stand-ins of the operands are the derivatives. The graph itself is not touched.
        """
        if self._given_local_grads is not None:
            return self._given_local_grads
        backward = self._backward
        if backward is do_nothing or getattr(backward, "__module__", None) != __name__:
            return ()
        cells = dict(zip(backward.__code__.co_freevars, backward.__closure__))
        if is_choice(self):
            *candidates, index = self._children
            chosen = place_of(index, len(candidates))
            return (*(1.0 if i == chosen else -0.0 for i in range(len(candidates))), -0.0)
        stand_ins = {}
        for name in cells.keys() & {"self", "other", "out"}:
            stand_ins[name] = Value(cells[name].cell_contents.data)
            stand_ins[name].grad = -0.0  # -0.0 + x is x, the sign of a zero included
            cells[name] = types.CellType(stand_ins[name])
        stand_ins["out"] = stand_ins.get("out", Value(0.0))
        stand_ins["out"].grad = 1.0
        closure = tuple(cells.values())
        types.FunctionType(backward.__code__, backward.__globals__, closure=closure)()
        return tuple(stand_ins[name].grad for name in ("self", "other")[: len(self._children)])

    def item(self):
        """The number, as a float."""
        return self.data

    def conjugate(self):
        """The Value itself, which is real; numpy's ``std`` and ``var`` ask."""
        return self

    def __repr__(self):
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}, grad={self.grad}{label})"

    def __format__(self, spec):
        return format(self.data, spec) if spec else str(self)

    # The operations with two operands ---------------------------------------------------------

    def __add__(self, other):
        if not isinstance(other, Value):
            if not is_number(other):
                return NotImplemented
            other = Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        if not isinstance(other, Value):
            if not is_number(other):
                return NotImplemented
            other = Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def __pow__(self, other):
        if isinstance(other, Value):
            return self._pow_value(other)
        if not is_number(other):
            return NotImplemented
        n = as_float(other)
        out = Value(power(self.data, n), (self,), f"**{other}")

        def _backward():
            self.grad += (n * power(self.data, n - 1)) * out.grad

        out._backward = _backward
        return out

    def _pow_value(self, other):
        out = Value(power(self.data, other.data), (self, other), "**")

        def _backward():
            a, b = self.data, other.data
            self.grad += (b * power(a, b - 1)) * out.grad
            # d/db a**b = a**b * log(a), which has no real value below 0
            slope = 0.0 if a == 0 else math.nan if a < 0 else (out.data * math.log(a))
            other.grad += slope * out.grad

        out._backward = _backward
        return out

    def maximum(self, other):
        """The larger of two; on a tie, and where this one is nan, this one."""
        other = other if isinstance(other, Value) else Value(other)
        a, b = self.data, other.data
        out = Value(a if a >= b or a != a else b, (self, other), "maximum")

        def _backward():
            a, b = self.data, other.data
            self_wins = a >= b or a != a
            self.grad += self_wins * out.grad
            other.grad += (not self_wins) * out.grad

        out._backward = _backward
        return out

    def _condition(self, other, holds, name):
        """1.0 or 0.0, by `holds` of the two numbers; no gradient flows through it."""
        other = other if isinstance(other, Value) else Value(other)
        out = Value(float(holds(self.data, other.data)), (self, other), name)

        def _backward():
            self.grad += -0.0  # changes no number; 0.0 would change -0.0
            other.grad += -0.0

        out._backward = _backward
        return out

    def less(self, other):
        """Condition: 1 where this is below the other, else 0."""
        return self._condition(other, operator.lt, "less")

    def less_equal(self, other):
        """Condition: 1 where this is not above the other, else 0."""
        return self._condition(other, operator.le, "less_equal")

    def equal(self, other):
        """Condition: 1 where both are the same number, else 0."""
        return self._condition(other, operator.eq, "equal")

    def logical_and(self, other):
        """Condition: 1 where neither is 0, else 0."""
        return self._condition(other, lambda a, b: a != 0 and b != 0, "logical_and")

    def logical_or(self, other):
        """Condition: 1 where one is not 0, else 0."""
        return self._condition(other, lambda a, b: a != 0 or b != 0, "logical_or")

    def keep(self, other):
        """The number where the condition `other` is not 0, else -0.0, which adds nothing."""
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data if other.data != 0 else -0.0, (self, other), "keep")

        def _backward():
            self.grad += out.grad if other.data != 0 else -0.0
            other.grad += -0.0

        out._backward = _backward
        return out

    def minimum(self, other):
        """The smaller of two; on a tie, and where this one is nan, this one."""
        other = other if isinstance(other, Value) else Value(other)
        a, b = self.data, other.data
        out = Value(a if a <= b or a != a else b, (self, other), "minimum")

        def _backward():
            a, b = self.data, other.data
            self_wins = a <= b or a != a
            self.grad += self_wins * out.grad
            other.grad += (not self_wins) * out.grad

        out._backward = _backward
        return out

    def atan2(self, other):
        """The angle of the point `other` to the right and this up, in radians."""
        other = other if isinstance(other, Value) else Value(other)
        out = Value(math.atan2(self.data, other.data), (self, other), "atan2")

        def _backward():
            a, b = self.data, other.data
            self.grad += (b / (a * a + b * b)) * out.grad
            other.grad += (-a / (a * a + b * b)) * out.grad

        out._backward = _backward
        return out

    def hypot(self, other):
        """``sqrt(a**2 + b**2)``; backward at 0, 0 is a ZeroDivisionError."""
        other = other if isinstance(other, Value) else Value(other)
        out = Value(math.hypot(self.data, other.data), (self, other), "hypot")

        def _backward():
            self.grad += (self.data / out.data) * out.grad
            other.grad += (other.data / out.data) * out.grad

        out._backward = _backward
        return out

    # The operations with one operand ----------------------------------------------------------

    def relu(self):
        """0 below 0, else the number itself; the slope at 0 is 0."""
        out = Value(0.0 if self.data < 0 else self.data, (self,), "ReLU")

        def _backward():
            self.grad += (out.data > 0) * out.grad

        out._backward = _backward
        return out

    def tanh(self):
        """Hyperbolic tangent."""
        out = Value(math.tanh(self.data), (self,), "tanh")

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    def sigmoid(self):
        """``1 / (1 + exp(-a))``."""
        out = Value(logistic(self.data), (self,), "sigmoid")

        def _backward():
            self.grad += (out.data * (1 - out.data)) * out.grad

        out._backward = _backward
        return out

    def exp(self):
        """The exponential function."""
        out = Value(math.exp(self.data), (self,), "exp")

        def _backward():
            self.grad += out.data * out.grad

        out._backward = _backward
        return out

    def log(self):
        """The natural logarithm."""
        out = Value(math.log(self.data), (self,), "log")

        def _backward():
            self.grad += (1 / self.data) * out.grad

        out._backward = _backward
        return out

    def sqrt(self):
        """The square root; backward at 0 is a ZeroDivisionError."""
        out = Value(math.sqrt(self.data), (self,), "sqrt")

        def _backward():
            self.grad += (0.5 / out.data) * out.grad

        out._backward = _backward
        return out

    def abs(self):
        """The absolute value; the slope at 0 is 0."""
        out = Value(math.fabs(self.data), (self,), "abs")

        def _backward():
            self.grad += ((self.data > 0) - (self.data < 0)) * out.grad

        out._backward = _backward
        return out

    def sin(self):
        """The sine, of radians."""
        out = Value(math.sin(self.data), (self,), "sin")

        def _backward():
            self.grad += math.cos(self.data) * out.grad

        out._backward = _backward
        return out

    def cos(self):
        """The cosine, of radians."""
        out = Value(math.cos(self.data), (self,), "cos")

        def _backward():
            self.grad += (-math.sin(self.data)) * out.grad

        out._backward = _backward
        return out

    def leaky_relu(self, negative_slope=0.01):
        """The number itself above 0, else `negative_slope` times it."""
        slope = as_float(negative_slope)
        a = self.data
        out = Value(a if a > 0 else slope * a, (self,), "leaky_relu")

        def _backward():
            self.grad += (1.0 if self.data > 0 else slope) * out.grad

        out._backward = _backward
        return out

    def elu(self, alpha=1.0):
        """The number itself above 0, else ``alpha * (exp(a) - 1)``."""
        alpha = as_float(alpha)
        a = self.data
        out = Value(a if a > 0 else alpha * math.expm1(a), (self,), "elu")

        def _backward():
            a = self.data
            self.grad += (1.0 if a > 0 else alpha * math.exp(a)) * out.grad

        out._backward = _backward
        return out

    def gelu(self):
        """The number times the chance that a standard normal draw is below it."""
        a = self.data
        out = Value(a * normal_cdf(a), (self,), "gelu")

        def _backward():
            a = self.data
            density = math.exp(-0.5 * (a * a)) * 0.3989422804014327  # 1 / sqrt(2 pi)
            self.grad += (normal_cdf(a) + a * density) * out.grad

        out._backward = _backward
        return out

    def silu(self):
        """The number times its sigmoid."""
        a = self.data
        out = Value(a * logistic(a), (self,), "silu")

        def _backward():
            a = self.data
            s = logistic(a)
            self.grad += (s * (1.0 + a * (1.0 - s))) * out.grad

        out._backward = _backward
        return out

    def softplus(self):
        """``log(1 + exp(a))``, a smooth relu."""
        a = self.data
        out = Value(smooth_relu(a), (self,), "softplus")

        def _backward():
            self.grad += logistic(self.data) * out.grad

        out._backward = _backward
        return out

    def clip(self, low=None, high=None):
        """The nearest number in [low, high], None for no bound; the slope at a bound is 1."""
        low = -math.inf if low is None else as_float(low)
        high = math.inf if high is None else as_float(high)
        if not low <= high:
            raise ValueError(f"clip needs low <= high, found low={low} and high={high}")
        a = self.data
        out = Value(low if a < low else high if a > high else a, (self,), "clip")

        def _backward():
            self.grad += (low <= self.data <= high) * out.grad

        out._backward = _backward
        return out

    def softsign(self):
        """``a / (1 + abs(a))``."""
        a = self.data
        out = Value(a / (1.0 + abs(a)), (self,), "softsign")

        def _backward():
            size = 1.0 + abs(self.data)
            self.grad += (1.0 / (size * size)) * out.grad

        out._backward = _backward
        return out

    def erf(self):
        """The error function."""
        a = self.data
        out = Value(math.erf(a), (self,), "erf")

        def _backward():
            a = self.data
            # 2 / sqrt(pi)
            self.grad += (1.1283791670955126 * math.exp(-(a * a))) * out.grad

        out._backward = _backward
        return out

    def cbrt(self):
        """The cube root; backward at 0 is a ZeroDivisionError."""
        out = Value(cube_root(self.data), (self,), "cbrt")

        def _backward():
            self.grad += (1.0 / (3.0 * (out.data * out.data))) * out.grad

        out._backward = _backward
        return out

    def log1p(self):
        """The natural logarithm of ``1 + a``."""
        a = self.data
        out = Value(math.log1p(a), (self,), "log1p")

        def _backward():
            self.grad += (1.0 / (1.0 + self.data)) * out.grad

        out._backward = _backward
        return out

    def expm1(self):
        """``e ** a - 1``, with all digits near 0."""
        a = self.data
        out = Value(math.expm1(a), (self,), "expm1")

        def _backward():
            self.grad += math.exp(self.data) * out.grad

        out._backward = _backward
        return out

    def tan(self):
        """The tangent, of radians."""
        a = self.data
        out = Value(math.tan(a), (self,), "tan")

        def _backward():
            self.grad += (1.0 + out.data * out.data) * out.grad

        out._backward = _backward
        return out

    def sinh(self):
        """Hyperbolic sine."""
        a = self.data
        out = Value(math.sinh(a), (self,), "sinh")

        def _backward():
            self.grad += math.cosh(self.data) * out.grad

        out._backward = _backward
        return out

    def cosh(self):
        """Hyperbolic cosine."""
        a = self.data
        out = Value(math.cosh(a), (self,), "cosh")

        def _backward():
            self.grad += math.sinh(self.data) * out.grad

        out._backward = _backward
        return out

    def asin(self):
        """The angle, in radians, with this sine; backward at -1 and 1 is a ZeroDivisionError."""
        a = self.data
        out = Value(math.asin(a), (self,), "asin")

        def _backward():
            a = self.data
            self.grad += (1.0 / math.sqrt((1.0 - a) * (1.0 + a))) * out.grad

        out._backward = _backward
        return out

    def acos(self):
        """The angle, in radians, with this cosine; backward at -1 and 1 is a ZeroDivisionError."""
        a = self.data
        out = Value(math.acos(a), (self,), "acos")

        def _backward():
            a = self.data
            self.grad += (-1.0 / math.sqrt((1.0 - a) * (1.0 + a))) * out.grad

        out._backward = _backward
        return out

    def atan(self):
        """The angle, in radians, with this tangent."""
        a = self.data
        out = Value(math.atan(a), (self,), "atan")

        def _backward():
            a = self.data
            self.grad += (1.0 / (1.0 + a * a)) * out.grad

        out._backward = _backward
        return out

    def hard_tanh(self):
        """The nearest number from -1 to 1; the slope at both is 0."""
        a = self.data
        out = Value(-1.0 if a < -1.0 else 1.0 if a > 1.0 else a, (self,), "hard_tanh")

        def _backward():
            self.grad += (-1.0 < self.data < 1.0) * out.grad

        out._backward = _backward
        return out

    def mish(self):
        """The number times the tanh of its softplus."""
        a = self.data
        out = Value(a * math.tanh(smooth_relu(a)), (self,), "mish")

        def _backward():
            a = self.data
            t = math.tanh(smooth_relu(a))
            self.grad += (t + a * ((1.0 - t * t) * logistic(a))) * out.grad

        out._backward = _backward
        return out

    def ramp(self):
        """``max(0, a)`` as Python computes it: 0 for -0.0 and nan, too; the slope at 0 is 0."""
        out = Value(self.data if self.data > 0 else 0.0, (self,), "ramp")

        def _backward():
            self.grad += (self.data > 0) * out.grad

        out._backward = _backward
        return out

    def detach(self):
        """The same number, through which no gradient flows, be it infinite."""
        out = Value(self.data, (self,), "detach")

        def _backward():
            self.grad += 0.0

        out._backward = _backward
        return out

    # What numpy calls on its arrays of objects
    fabs, arcsin, arccos, arctan, arctan2 = abs, asin, acos, atan, atan2

    # The operations made of others ------------------------------------------------------------

    def __neg__(self):
        return self * -1

    def __abs__(self):
        return self.abs()

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        if isinstance(other, (Value, int, float)):
            return self + (-other)
        # An unsigned or boolean scalar has no negative of its own kind
        return self + (-as_float(other)) if is_number(other) else NotImplemented

    def __rsub__(self, other):
        return (-self) + other

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        if isinstance(other, Value):
            return self * other**-1
        return self * as_float(other) ** -1 if is_number(other) else NotImplemented

    def __rtruediv__(self, other):
        return self**-1 * other

    def __rpow__(self, other):
        return Value(other) ** self if is_number(other) else NotImplemented


def sum(values):
    """Add numbers and Values as Python's own sum does, from 0, left to right.

    Parameters
    ----------
    values : iterable of Value or float

    Returns
    -------
    Value
        A Value even where there were only numbers.

    Examples
    --------
    >>> sum([Value(1.0), 2.0, Value(3.0)])
    Value(data=6.0, grad=0.0)
    """
    total = builtins.sum(values)
    return total if isinstance(total, Value) else Value(total)


def dot(w, x):
    """Add up the products of two lists, as ``sum(wi * xi for wi, xi in zip(w, x))``.

    Parameters
    ----------
    w, x : iterable of Value or float

    Returns
    -------
    Value

    Raises
    ------
    ValueError
        If the lists differ in length.

    Examples
    --------
    >>> dot([Value(1.0), Value(2.0)], [3.0, 4.0])
    Value(data=11.0, grad=0.0)
    """
    w, x = list(w), list(x)
    if len(w) != len(x):
        raise ValueError(f"dot needs two lists of one length, found {len(w)} and {len(x)}")
    return sum(wi * xi for wi, xi in zip(w, x))


def take(values, index):
    """Choose one of some Values by the data of another, which is read again when backward runs.

    Parameters
    ----------
    values : iterable of Value or float
    index : Value
        A whole number from 0 on.

    Returns
    -------
    Value
        Its operands are all the values, then the index; its gradient goes to the chosen one alone.

    Raises
    ------
    IndexError
        If `index` is the place of none.

    Examples
    --------
    >>> take([Value(1.0), Value(2.0)], Value(1.0))
    Value(data=2.0, grad=0.0)
    """
    values = [value if isinstance(value, Value) else Value(value) for value in values]
    chosen = values[place_of(index, len(values))]
    out = Value(chosen.data, (*values, index), "take")

    def _backward():
        values[place_of(index, len(values))].grad += out.grad

    out._backward = _backward
    return out


def place_of(index, n):
    """The place that the data of `index` is among `n`."""
    if not (0 <= index.data < n and index.data == int(index.data)):
        raise IndexError(f"index must be a whole number from 0 to {n - 1}, found {index.data}")
    return int(index.data)


MEANINGS = {
    "children": "children",
    "prev": "children",
    "_prev": "children",
    "parents": "children",
    "op": "op",
    "local_grads": "local_grads",
    "name": "label",
}


def arguments(places, names):
    """What the arguments of `Value` mean: data, children, op, local gradients, label.

    A str in second place is the label, a tuple or list of numbers in third place is the local
    gradients, and there are other names for some.
    """
    data, second, third, fourth = places
    found = {"data": data}

    def take(meaning, argument, default):
        if type(argument) is not type(default) or argument != default:
            if meaning in found:
                raise TypeError(f"Value() takes {meaning} once, found it twice")
            found[meaning] = argument

    if isinstance(second, str):
        take("label", second, "")
        take("op" if isinstance(third, str) else "children", third, "")
        take("op" if isinstance(fourth, str) else "children", fourth, "")
    else:
        take("children", second, ())
        take("op" if isinstance(third, str) else "local_grads", third, "")
        take("label", fourth, "")
    for name, argument in names.items():
        if name not in MEANINGS:
            raise TypeError(f"Value() takes no argument {name!r}")
        take(MEANINGS[name], argument, None)
    return (
        data,
        found.get("children", ()),
        found.get("op", ""),
        found.get("local_grads"),
        found.get("label", ""),
    )


def topological_order(root):
    """All nodes under `root`, operands before results: depth first, operands left to right."""
    order = []
    visited = {root}
    stack = [(root, iter(root._children))]  # the nodes being entered, with operands still to see
    while stack:
        node, operands = stack[-1]
        for operand in operands:
            if operand not in visited:
                visited.add(operand)
                if operand._children:
                    stack.append((operand, iter(operand._children)))
                    break
                order.append(operand)
        else:
            order.append(node)
            stack.pop()
    return order


def is_closed(node):
    """Whether `node` keeps nothing of its first operand, now: a branch that is not taken."""
    kept = getattr(node._backward, "__qualname__", "") == "Value.keep.<locals>._backward"
    return kept and node._children[1].data == 0


def is_choice(node):
    """Whether `node` is one of several, chosen by an index."""
    return getattr(node._backward, "__qualname__", "") == "take.<locals>._backward"


def taken_operands(node):
    """The operands that backward goes on to: all but branches and candidates not taken."""
    if is_choice(node):
        *candidates, index = node._children
        return [candidates[place_of(index, len(candidates))]]
    return node._children[1:] if is_closed(node) else node._children


def is_number(x):
    """Whether `x` can be an operand: a real number; arrays with axes spread themselves out."""
    if isinstance(x, (float, int)):
        return True
    kind = type(x)
    has_value = hasattr(kind, "__float__") or hasattr(kind, "__index__")
    return has_value and getattr(x, "ndim", 0) == 0


def as_float(x):
    """`x` as a Python float, or TypeError where it is not one real number."""
    if isinstance(x, (float, int)):
        return float(x)
    number = x
    shape = getattr(x, "shape", None)
    if shape is not None:  # numpy and torch, scalars included
        if math.prod(shape) != 1:
            raise TypeError(
                f"a Value holds one real number, not {type(x).__name__} of shape {tuple(shape)}"
            )
        number = x.item()
    kind = type(number)
    if hasattr(kind, "__float__") or hasattr(kind, "__index__"):
        return float(number)
    raise TypeError(f"a Value holds one real number, not {kind.__name__}")


def do_nothing():
    """The `_backward` of a leaf."""


def power(a, n):
    """``a ** n`` for floats, with a ValueError where Python would go complex."""
    try:
        y = a**n
    except OverflowError:
        # Complex powers overflow too; that the power is not real comes first.
        if not (a < 0 and n % 1):
            raise
    else:
        if type(y) is not complex:
            return y
    raise ValueError(f"{a} ** {n} is not a real number")


def logistic(a):
    """``1 / (1 + exp(-a))``, without overflow."""
    try:
        return 1 / (1 + math.exp(-a))
    except OverflowError:
        return math.exp(a) / (1 + math.exp(a))


def cube_root(a):
    """The C library's cube root, which Python's math has from 3.11 on."""
    if sys.version_info >= (3, 11):
        return math.cbrt(a)
    import ctypes

    library = ctypes.CDLL(None)
    library.cbrt.restype = ctypes.c_double
    return library.cbrt(ctypes.c_double(a))


def smooth_relu(a):
    """``log(1 + exp(a))`` without overflow."""
    return a + math.log1p(math.exp(-a)) if a > 0 else math.log1p(math.exp(a))


def normal_cdf(a):
    """The chance that a standard normal draw is below `a`."""
    return 0.5 * (1.0 + math.erf(a * 0.7071067811865476))
