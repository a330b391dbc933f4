"""What a step does: PyTorch's numbers, and the bits of the rules written in Python."""

import math
import random

import pytest
import torch
from optimizer_table import OPTIMIZERS, SEED, USES, bits, combinations, quadratic

from micrograd_fast import MLP, Value, optim


def torch_quadratic(params):
    total = torch.zeros((), dtype=torch.float64)
    for i, p in enumerate(params):
        total = total + (p - i) ** 2 * (i + 0.5) + p * 0.1
    return total


def check_a_hundred_steps(name, options):
    # The same gradients for both: those of a loss would magnify what differs by rounding.
    rng = random.Random(SEED)
    start = [rng.uniform(-2, 2) for _ in range(20)]
    ours = [Value(number) for number in start]
    theirs = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    our_optimizer = getattr(optim, name)(ours, **options)
    their_optimizer = getattr(torch.optim, name)([theirs], **options)
    for _ in range(100):
        grads = [rng.gauss(0, 10 ** rng.uniform(-3, 1)) for _ in start]
        for p, g in zip(ours, grads, strict=True):
            p.grad = g
        theirs.grad = torch.tensor(grads, dtype=torch.float64)
        our_optimizer.step()
        their_optimizer.step()
        assert [p.data for p in ours] == pytest.approx(theirs.tolist(), rel=1e-12, abs=1e-12)
    return [p.data for p in ours]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_hundred_steps_have_the_arithmetic_of_pytorch(name, options):
    check_a_hundred_steps(name, options)


@pytest.mark.parametrize("name", USES)
def test_every_combination_of_options_has_the_arithmetic_of_pytorch(name):
    ends = {}
    for options in combinations(name):
        ends[tuple(check_a_hundred_steps(name, options))] = options
    # Dampening is nothing without momentum, and everything else makes a difference.
    meaningless = [o for o in combinations(name) if "dampening" in o and "momentum" not in o]
    assert len(ends) == len(list(combinations(name))) - len(meaningless)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_training_goes_as_with_pytorch(name, options):
    start = [random.Random(SEED).uniform(-2, 2) for _ in range(7)]
    ours = [Value(number) for number in start]
    theirs = [torch.tensor(number, dtype=torch.float64, requires_grad=True) for number in start]
    our_optimizer = getattr(optim, name)(ours, **options)
    their_optimizer = getattr(torch.optim, name)(theirs, **options)
    for _ in range(30):
        our_optimizer.zero_grad()
        quadratic(ours).backward()
        our_optimizer.step()
        their_optimizer.zero_grad()
        torch_quadratic(theirs).backward()
        their_optimizer.step()
    assert [p.data for p in ours] != start
    for p, q in zip(ours, theirs, strict=True):
        assert p.data == pytest.approx(q.item(), rel=1e-11)


def gradients(rng, n):
    """Of all sizes, some of whose squares and roots are not those of a product."""
    odd = [0.0, -0.0, 5e-324, 1e-200, 1e-160, -1e120, 1.0, -0.5]
    return odd + [rng.gauss(0, 10 ** rng.uniform(-8, 3)) for _ in range(n - len(odd))]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_step_leaves_the_gradients_as_they_are(name, options):
    grads = gradients(random.Random(SEED), 20)
    params = [Value(1.0) for _ in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    optimizer = getattr(optim, name)(params, **options)
    for _ in range(2):
        optimizer.step()
        assert bits(p.grad for p in params) == bits(grads)


def test_sgd_has_the_bits_of_the_loop_in_python():
    random.seed(SEED)
    a = MLP(3, [4, 1])
    random.seed(SEED)
    b = MLP(3, [4, 1])
    optimizer = optim.SGD(a.parameters(), lr=0.1)
    for step in range(10):
        x = [math.sin(step + i) for i in range(3)]
        a(x).backward()
        optimizer.step()
        optimizer.zero_grad()
        b(x).backward()
        for p in b.parameters():
            p.data -= 0.1 * p.grad
        b.zero_grad()
        assert [p.data for p in a.parameters()] == [p.data for p in b.parameters()]
        assert {p.grad for p in a.parameters()} == {0.0}


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(
    ("momentum", "dampening", "nesterov"),
    [(0.0, 0.0, False), (0.7, 0.0, False), (0.7, 0.2, False), (0.7, 0.0, True)],
)
def test_every_option_of_sgd_has_the_bits_of_the_loop_in_python(
    momentum, dampening, nesterov, weight_decay, maximize
):
    rng = random.Random(SEED)
    n, lr = 150, 0.01
    params = [Value(number) for number in (0.0, -0.0)]
    params += [Value(rng.uniform(-1, 1)) for _ in range(n - 2)]
    numbers, b = [p.data for p in params], [0.0] * n
    optimizer = optim.SGD(
        params, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize
    )
    for step in range(20):
        for i, g in enumerate(gradients(rng, n)):
            params[i].grad = g
            if maximize:
                g = -g
            if weight_decay:
                g = g + weight_decay * numbers[i]
            if momentum:
                b[i] = momentum * b[i] + (1 - dampening) * g if step else g
                g = g + momentum * b[i] if nesterov else b[i]
            numbers[i] -= lr * g
        optimizer.step()
        assert bits(p.data for p in params) == bits(numbers), f"seed {SEED}, step {step}"


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_adam_has_the_bits_of_the_loop_in_python(name, weight_decay, amsgrad, maximize):
    rng = random.Random(SEED)
    n = 150
    params = [Value(rng.uniform(-1, 1)) for _ in range(n)]
    numbers = [p.data for p in params]
    m, v, x = [0.0] * n, [0.0] * n, [0.0] * n
    lr, beta1, beta2, eps = 0.01, 0.85, 0.99, 1e-8
    optimizer = getattr(optim, name)(
        params, lr, (beta1, beta2), eps, weight_decay, amsgrad, maximize=maximize
    )
    unlike = n_larger = 0
    for step in range(1, 60):
        for i, g in enumerate(gradients(rng, n)):
            params[i].grad = g
            if maximize:
                g = -g
            if weight_decay and name == "Adam":
                g = g + weight_decay * numbers[i]
            if weight_decay and name == "AdamW":
                numbers[i] = numbers[i] * (1 - lr * weight_decay)
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            m_hat = m[i] / (1 - beta1**step)
            x[i] = max(x[i], v[i]) if amsgrad else v[i]
            v_hat = x[i] / (1 - beta2**step)
            numbers[i] -= lr * m_hat / (v_hat**0.5 + eps)
            unlike += (g**2 != g * g) + (v_hat**0.5 != math.sqrt(v_hat))
            n_larger += x[i] > v[i]
        optimizer.step()
        assert bits(p.data for p in params) == bits(numbers), f"seed {SEED}, step {step}"
    assert unlike > 10
    assert (n_larger > 1000) == amsgrad


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("maximize", [False, True])
def test_rmsprop_has_the_bits_of_the_loop_in_python(centered, momentum, weight_decay, maximize):
    rng = random.Random(SEED)
    n, lr, alpha, eps = 150, 0.01, 0.9, 1e-8
    params = [Value(rng.uniform(-1, 1)) for _ in range(n)]
    numbers = [p.data for p in params]
    v, a, b = [0.0] * n, [0.0] * n, [0.0] * n
    optimizer = optim.RMSprop(
        params, lr, alpha, eps, weight_decay, momentum, centered, maximize=maximize
    )
    for step in range(60):
        for i, g in enumerate(gradients(rng, n)):
            params[i].grad = g
            if maximize:
                g = -g
            if weight_decay:
                g = g + weight_decay * numbers[i]
            v[i] = alpha * v[i] + (1 - alpha) * g**2
            variance = v[i]
            if centered:
                a[i] = alpha * a[i] + (1 - alpha) * g
                variance = max(0.0, v[i] - a[i] ** 2)
            d = g / (variance**0.5 + eps)
            if momentum:
                b[i] = d = momentum * b[i] + d
            numbers[i] -= lr * d
        optimizer.step()
        assert [p.data for p in params] == numbers, f"seed {SEED}, step {step}"


@pytest.mark.usefixtures("instruction_set")
@pytest.mark.parametrize("lr_decay", [0.0, 0.1])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("maximize", [False, True])
def test_adagrad_has_the_bits_of_the_loop_in_python(lr_decay, weight_decay, maximize):
    rng = random.Random(SEED)
    n, lr, start, eps = 150, 0.01, 0.1, 1e-8
    params = [Value(rng.uniform(-1, 1)) for _ in range(n)]
    numbers, s = [p.data for p in params], [start] * n
    optimizer = optim.Adagrad(params, lr, lr_decay, weight_decay, start, eps, maximize=maximize)
    for step in range(60):
        for i, g in enumerate(gradients(rng, n)):
            params[i].grad = g
            if maximize:
                g = -g
            if weight_decay:
                g = g + weight_decay * numbers[i]
            s[i] = s[i] + g**2
            numbers[i] -= lr / (1 + step * lr_decay) * (g / (s[i] ** 0.5 + eps))
        optimizer.step()
        assert [p.data for p in params] == numbers, f"seed {SEED}, step {step}"
