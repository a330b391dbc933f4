"""Names of its own for everything, type hints, and a list of parents."""

from __future__ import annotations

import random


class Scalar:
    value: float
    gradient: float

    def __init__(
        self, value: float, parents: list[Scalar] | None = None, how: str = "leaf"
    ) -> None:
        self.value = value
        self.gradient = 0.0
        self.parents = parents or []
        self.how = how
        self.pull = lambda: None

    def __str__(self) -> str:
        return f"<{self.value:.6f} by {self.how}>"

    def __add__(self, other):
        other = other if isinstance(other, Scalar) else Scalar(other)
        out = Scalar(self.value + other.value, [self, other], "plus")

        def back():
            self.gradient += out.gradient
            other.gradient += out.gradient

        out.pull = back
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Scalar) else Scalar(other)
        out = Scalar(self.value * other.value, [self, other], "times")

        def back():
            self.gradient += other.value * out.gradient
            other.gradient += self.value * out.gradient

        out.pull = back
        return out

    def __pow__(self, n):
        out = Scalar(self.value**n, [self], "power")

        def back():
            self.gradient += n * self.value ** (n - 1) * out.gradient

        out.pull = back
        return out

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def backward(self):
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for child in node.parents:
                    visit(child)
                order.append(node)

        visit(self)
        self.gradient = 1.0
        for node in reversed(order):
            node.pull()


random.seed(2)
model = [Scalar(random.uniform(-1.0, 1.0)) for _ in range(6)]
for step in range(6):
    hidden = [sum(w * x for w, x in zip(model[:3], [0.5, -1.0, v])) for v in (0.1, 0.7, 2.0)]
    out = sum(h * w for h, w in zip(hidden, model[3:]))
    loss = (out - 1.0) ** 2 / 2.0 + out * out * 0.1
    for p in model:
        p.gradient = 0.0
    loss.backward()
    for i, p in enumerate(model):
        p.value -= 0.05 * p.gradient
    print(step, repr(loss.value), [p.gradient for p in model])
print(loss, out.how, (out * 2.0).how, (out**3).how)
