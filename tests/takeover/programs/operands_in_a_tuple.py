"""Operands in a tuple, reflected operators by lambdas."""

import math
import random


class Value:
    def __init__(self, data, children=(), op=""):
        self.data = float(data)
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = tuple(children)
        self._op = op

    def __repr__(self):
        return f"Value(data={self.data}, grad={self.grad})"

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def back():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = back
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def back():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = back
        return out

    def __pow__(self, n):
        out = Value(self.data**n, (self,), f"**{n}")

        def back():
            self.grad += n * self.data ** (n - 1) * out.grad

        out._backward = back
        return out

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other**-1

    __radd__ = lambda self, other: self + other
    __rmul__ = lambda self, other: self * other
    __rsub__ = lambda self, other: other + (-self)
    __rtruediv__ = lambda self, other: other * self**-1

    def exp(self):
        out = Value(math.exp(self.data), (self,), "exp")

        def back():
            self.grad += out.data * out.grad

        out._backward = back
        return out

    def tanh(self):
        t = math.tanh(self.data)
        out = Value(t, (self,), "tanh")

        def back():
            self.grad += (1 - t**2) * out.grad

        out._backward = back
        return out

    def softplus_of_twice(self):
        """On top of the others, for nodes of every kind."""
        return ((self * 2.0).exp() + 1.0) ** 0.5

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for child in node._prev:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


random.seed(2)
model = [Value(random.uniform(-1.0, 1.0)) for _ in range(6)]
for step in range(6):
    hidden = [sum(w * x for w, x in zip(model[:3], [0.5, -1.0, v])) for v in (0.1, 0.7, 2.0)]
    out = sum(h * w for h, w in zip(hidden, model[3:]))
    loss = (
        (out - 1.0) ** 2 / 2.0
        + out.tanh() * (out * 0.5).softplus_of_twice()
        + (1.0 - out)
        + 1.0 / (out * out + 2.0)
    )
    for p in model:
        p.grad = 0.0
    loss.backward()
    for i, p in enumerate(model):
        p.data -= 0.05 * p.grad
    print(step, repr(loss.data), [p.grad for p in model])
print(loss)
