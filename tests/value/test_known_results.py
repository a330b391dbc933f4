"""Graphs whose numbers are published or follow from a formula."""

import math
import random

import pytest
from support import same_bits


def test_readme_graph(engine):
    """The example of micrograd's README."""
    a, b = engine.Value(-4.0), engine.Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert g.data == pytest.approx(24.70408163265306, rel=1e-15)
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert a.grad == pytest.approx(138.8338192419825, rel=1e-15)
    assert b.grad == pytest.approx(645.5772594752186, rel=1e-15)


def lecture_leaves(engine):
    values = {"x1": 2.0, "x2": 0.0, "w1": -3.0, "w2": 1.0, "b": 6.8813735870195432}
    return {name: engine.Value(data, label=name) for name, data in values.items()}


LECTURE_GRADIENTS = {"x1": -1.5, "w1": 1.0, "x2": 0.5, "w2": 0.0, "b": 0.5}


def test_lecture_neuron_with_tanh(engine):
    v = lecture_leaves(engine)
    n = v["x1"] * v["w1"] + v["x2"] * v["w2"] + v["b"]
    o = n.tanh()
    o.backward()
    assert o.data == pytest.approx(0.7071067811865476, rel=1e-14)
    assert n.grad == pytest.approx(0.5, rel=1e-14)
    for name, gradient in LECTURE_GRADIENTS.items():
        assert v[name].grad == pytest.approx(gradient, rel=1e-14), name


def test_lecture_neuron_decomposed_into_exponentials(engine):
    v = lecture_leaves(engine)
    n = v["x1"] * v["w1"] + v["x2"] * v["w2"] + v["b"]
    e = (2 * n).exp()
    o = (e - 1) / (e + 1)
    o.backward()
    assert o.data == pytest.approx(0.7071067811865476, rel=1e-13)
    for name, gradient in LECTURE_GRADIENTS.items():
        assert v[name].grad == pytest.approx(gradient, rel=1e-13), name


def test_lecture_expression(engine):
    """L = (a * b + c) * f of the lecture's first half."""
    a, b, c = engine.Value(2.0), engine.Value(-3.0), engine.Value(10.0)
    f = engine.Value(-2.0)
    e = a * b
    d = e + c
    L = d * f
    assert L.data == -8.0
    L.backward()
    assert [v.grad for v in (d, f, e, c, a, b)] == [-2.0, 4.0, -2.0, -2.0, 6.0, -4.0]


@pytest.mark.parametrize("target", range(4))
def test_softmax_and_negative_log_likelihood(engine, target):
    """Composed from exp, sum, division and log; the gradient is p, less 1 at the target."""
    logits = [0.3, -1.2, 2.5, 0.7]
    values = [engine.Value(logit) for logit in logits]
    powers = [v.exp() for v in values]
    total = sum(powers)
    probabilities = [p / total for p in powers]
    loss = -probabilities[target].log()
    loss.backward()
    norm = math.fsum(map(math.exp, logits))
    p = [math.exp(logit) / norm for logit in logits]
    assert loss.data == pytest.approx(-math.log(p[target]), rel=1e-13)
    assert [q.data for q in probabilities] == pytest.approx(p, rel=1e-14)
    expected = [p[i] - (i == target) for i in range(4)]
    assert [v.grad for v in values] == pytest.approx(expected, rel=1e-12)


def test_logistic_regression_gradient(engine):
    """d/dz of the cross-entropy of a sigmoid is sigmoid(z) - t."""
    for z, t in [(0.3, 1.0), (-2.0, 0.0), (1.5, 0.25)]:
        v = engine.Value(z)
        s = v.sigmoid()
        loss = -(t * s.log() + (1 - t) * (1 - s).log())
        loss.backward()
        assert v.grad == pytest.approx(1 / (1 + math.exp(-z)) - t, rel=1e-12)


def test_softplus_is_the_integral_of_sigmoid(engine):
    for x in (-3.0, -0.1, 0.0, 0.2, 4.0):
        a, b = engine.Value(x), engine.Value(x)
        a.softplus().backward()
        assert same_bits(a.grad, b.sigmoid().data)


def test_first_weights_after_a_seed(engine):
    random.seed(1337)
    model = engine.nn.MLP(2, [16, 16, 1])
    assert len(model.parameters()) == 337
    assert model.layers[0].neurons[0].w[0].data == 0.23550571390294128


XOR = [([0.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0)]


def test_xor_is_learnt(engine):
    """A 2-4-4-1 net of the defaults, plain gradient descent, mean squared error below 0.01."""
    random.seed(3)
    model = engine.nn.MLP(2, [4, 4, 1])
    assert len(model.parameters()) == 37
    for _ in range(600):
        loss = engine.sum([(model(x) - y) ** 2 for x, y in XOR]) / 4
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
        if loss.data < 0.005:
            break
    assert loss.data < 0.01
    assert [round(model(x).data) for x, _ in XOR] == [0, 1, 1, 0]
