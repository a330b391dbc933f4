"""The published two-moons training loop on the compiled engine, next to the reference."""

import gc
import random

from sklearn.datasets import make_moons
from support import bits

N_POINTS = 100


def two_moons():
    x, y = make_moons(n_samples=N_POINTS, noise=0.1, random_state=1337)
    return x, y * 2 - 1


def train(engine, n_steps):
    """Full-batch gradient descent on the SVM loss with L2; yields loss and accuracy a step."""
    x, y = two_moons()
    random.seed(1337)
    model = engine.nn.MLP(2, [16, 16, 1])
    assert len(model.parameters()) == 337
    for k in range(n_steps):
        scores = [model([engine.Value(xi) for xi in row]) for row in x]
        margins = [(1 + -yi * score).relu() for yi, score in zip(y, scores)]
        data_loss = sum(margins) * (1.0 / len(margins))
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        total = data_loss + penalty
        yield total.data, sum((yi > 0) == (s.data > 0) for yi, s in zip(y, scores)) / N_POINTS
        model.zero_grad()
        total.backward()
        rate = 1.0 - 0.9 * k / 100
        for p in model.parameters():
            p.data -= rate * p.grad


def test_the_data_is_what_it_says():
    x, y = two_moons()
    assert x.shape == (100, 2)
    assert sorted(set(y)) == [-1, 1]
    assert sum(y) == 0


def test_training_accuracy_reaches_100_percent(compiled):
    losses, accuracies = zip(*train(compiled, 100))
    assert 1.0 in accuracies
    assert accuracies[-1] == 1.0
    assert accuracies[0] < 0.9
    assert losses[-1] < 0.1 * losses[0]


def test_first_20_losses_have_the_bits_of_the_reference(compiled, reference):
    ours = [bits(loss) for loss, _ in train(compiled, 20)]
    theirs = []
    gc.disable()  # the reference's closures are collected once a step, not all the time
    try:
        for loss, _ in train(reference, 20):
            theirs.append(bits(loss))
            gc.collect()
    finally:
        gc.enable()
    assert len(set(ours)) == 20, "the losses do not vary"
    assert ours == theirs
