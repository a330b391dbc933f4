"""Optimizers and schedules: PyTorch's numbers, and the bits of the rules written in Python."""

import copy
import inspect
import itertools
import json
import math
import pickle
import random

import numpy as np
import pytest
import torch

from micrograd_fast import MLP, Value, optim
from micrograd_fast.graph import topological_sort
from micrograd_fast.optim import lr_scheduler

SEED = 20


def quadratic(params):
    """A loss with a gradient of its own for every parameter."""
    total = Value(0.0)
    for i, p in enumerate(params):
        total = total + (p - i) ** 2 * (i + 0.5) + p * 0.1
    return total


def torch_quadratic(params):
    total = torch.zeros((), dtype=torch.float64)
    for i, p in enumerate(params):
        total = total + (p - i) ** 2 * (i + 0.5) + p * 0.1
    return total


OPTIMIZERS = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.001, "momentum": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.2, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.2, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-4}),
    ("RMSprop", {"lr": 0.02, "weight_decay": 0.2}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.95, "centered": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.7, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.7, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.5, "lr_decay": 0.1}),
    ("Adagrad", {"lr": 0.5, "weight_decay": 0.2, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 2.0, "lr_decay": 0.01}),
    ("Adagrad", {"lr": 0.3, "weight_decay": 0.2, "maximize": True}),
]

# What an option is where it is used, in every combination with the others.
USES = {
    "SGD": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1, "nesterov": True},
    "Adam": {"betas": (0.5, 0.6), "weight_decay": 0.2, "amsgrad": True},
    "AdamW": {"betas": (0.5, 0.6), "weight_decay": 0.2, "amsgrad": True},
    "RMSprop": {"alpha": 0.9, "weight_decay": 0.2, "momentum": 0.7, "centered": True},
    "Adagrad": {"lr_decay": 0.1, "weight_decay": 0.2, "initial_accumulator_value": 0.5},
}


def combinations(name):
    """Every choice of options to be used, but those that exclude each other."""
    uses = {"lr": 0.05, "eps": 1e-4, "maximize": True, **USES[name]}
    if name == "SGD":
        del uses["eps"]
    for chosen in itertools.product([False, True], repeat=len(uses)):
        options = {key: use for (key, use), is_used in zip(uses.items(), chosen) if is_used}
        if "nesterov" in options and ("momentum" not in options or "dampening" in options):
            continue
        yield options


# The options of PyTorch that are none here, and why.
NOT_OURS = {
    "foreach": "chooses among PyTorch's loops over tensors; here there is one",
    "fused": "likewise",
    "capturable": "is for graphs of CUDA, and Values are on no device",
    "differentiable": "leaves a graph of the step, which here assigns data, and no graph knows",
    "decoupled_weight_decay": "makes Adam what AdamW is",
}


@pytest.mark.parametrize("name", USES)
def test_the_options_are_those_of_pytorch_at_the_same_places(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert set(theirs) - set(ours) <= set(NOT_OURS)
    assert set(ours) <= set(theirs)
    for option in set(ours) - {"params"}:
        assert ours[option].default == theirs[option].default, option
    by_place = [key for key, option in ours.items() if option.kind is not option.KEYWORD_ONLY]
    assert by_place == list(theirs)[: len(by_place)]


def test_no_option_is_left_out_for_nothing():
    theirs = [inspect.signature(getattr(torch.optim, name)).parameters for name in USES]
    ours = [inspect.signature(getattr(optim, name)).parameters for name in USES]
    assert set(NOT_OURS) == set().union(*theirs) - set().union(*ours)


def test_every_option_is_compared():
    for name in {name for name, _ in OPTIMIZERS}:
        options = set(inspect.signature(getattr(optim, name)).parameters) - {"params"}
        tried = set().union(*(given for kind, given in OPTIMIZERS if kind == name))
        assert options == tried, name
    kinds = {kind for kind in vars(optim).values() if inspect.isclass(kind)}
    optimizers = {kind.__name__ for kind in kinds if hasattr(kind, "zero_grad")}
    assert optimizers == {name for name, _ in OPTIMIZERS}


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


def bits(numbers):
    return list(map(float.hex, numbers))


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


def test_a_fused_layer_sees_the_step_and_its_old_graph_does_not():
    random.seed(SEED)
    neuron = MLP(2, [1]).layers[0].neurons[0]
    optimizer = optim.SGD(neuron.parameters(), lr=0.5)
    old = neuron([3.0, -2.0])
    old.backward()
    at_forward = [p.data for p in neuron.parameters()]
    optimizer.step()
    assert [p.data for p in neuron.w] == [at_forward[0] - 1.5, at_forward[1] + 1.0]
    assert neuron([3.0, -2.0]).data != old.data
    first_sum, last_product = old._children
    assert last_product.data == at_forward[1] * -2.0
    assert first_sum._children[1].data == at_forward[0] * 3.0


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_loaded_state_goes_on_where_it_was(name, options):
    def trained(n_steps, params, optimizer):
        for _ in range(n_steps):
            optimizer.zero_grad()
            quadratic(params).backward()
            optimizer.step()
        return [p.data for p in params]

    first = [Value(0.3), Value(-0.7)]
    optimizer = getattr(optim, name)(first, **options)
    trained(5, first, optimizer)
    second = [Value(p.data) for p in first]
    resumed = getattr(optim, name)(second, lr=99.0)
    resumed.load_state_dict(optimizer.state_dict())
    assert trained(5, second, resumed) == trained(5, first, optimizer)
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] != 99.0


def test_groups_have_options_of_their_own():
    a, b = Value(1.0), Value(1.0)
    a.grad = b.grad = 1.0
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    optimizer.step()
    assert (a.data, b.data) == (0.75, 0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert (a.data, b.data) == (0.75, 0.0)


@pytest.mark.parametrize(
    ("error", "build"),
    [
        (ValueError, lambda: optim.SGD([])),
        (TypeError, lambda: optim.SGD([1.0])),
        (ValueError, lambda: optim.SGD([Value(1.0)] * 2)),
        (ValueError, lambda: optim.SGD([{"params": [p]} for p in [Value(1.0)] * 2])),
        (ValueError, lambda: optim.SGD([Value(1.0)], lr=-1.0)),
        (ValueError, lambda: optim.SGD([Value(1.0)], nesterov=True)),
        (ValueError, lambda: optim.Adam([Value(1.0)], betas=(1.0, 0.9))),
        (ValueError, lambda: optim.Adam([Value(1.0)], eps=-1e-8)),
        (ValueError, lambda: optim.Adam([Value(1.0)], betas=(0.9,))),
        (ValueError, lambda: optim.Adam([Value(1.0)], betas=0.9)),
        (ValueError, lambda: optim.StepLR(optim.SGD([Value(1.0)]), 0)),
        (ValueError, lambda: optim.clip_grad_norm_([Value(1.0)], -1.0)),
    ],
)
def test_bad_arguments_are_refused(error, build):
    with pytest.raises(error, match=r", found|appears twice"):
        build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: optim.SGD(MLP(1, [1])), r"such as model\.parameters\(\), found MLP"),
        (lambda: optim.SGD(Value(1.0)), r"such as model\.parameters\(\), found Value"),
        (lambda: optim.SGD([Value(1.0)], lr="0.1"), "lr must be a number, found str"),
        (lambda: optim.Adam([Value(1.0)], eps=None), "eps must be a number, found NoneType"),
        (lambda: optim.Adam([Value(1.0)], betas="ab"), "a beta must be a number, found str"),
    ],
)
def test_arguments_of_another_type_are_refused_by_name(build, message):
    with pytest.raises(TypeError, match=message):
        build()


NUMBERS = {
    "SGD": ["lr", "momentum", "weight_decay"],
    "Adam": ["lr", "eps", "weight_decay"],
    "AdamW": ["lr", "eps", "weight_decay"],
    "RMSprop": ["lr", "alpha", "eps", "weight_decay", "momentum"],
    "Adagrad": ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"],
}
FLAGS = {
    "SGD": ["nesterov", "maximize"],
    "Adam": ["amsgrad", "maximize"],
    "AdamW": ["amsgrad", "maximize"],
    "RMSprop": ["centered", "maximize"],
    "Adagrad": ["maximize"],
}
BAD_OPTIONS = [
    (name, option, found, error, message)
    for options, wrongs in [
        (
            NUMBERS,
            [
                (-0.5, ValueError, r"must be at least 0\.0, found -0\.5"),
                (math.nan, ValueError, r"must be at least 0\.0, found nan"),
                ("0.1", TypeError, "must be a number, found str"),
                (None, TypeError, "must be a number, found NoneType"),
            ],
        ),
        (
            FLAGS,
            [
                ("no", ValueError, "must be True or False, found 'no'"),
                (None, ValueError, "must be True or False, found None"),
                (0.5, ValueError, r"must be True or False, found 0\.5"),
            ],
        ),
    ]
    for name, names in options.items()
    for option in names
    for found, error, message in wrongs
]


@pytest.mark.parametrize(("name", "option", "found", "error", "message"), BAD_OPTIONS)
def test_a_bad_option_is_refused_by_name_wherever_it_is_given(name, option, found, error, message):
    kind, bad = getattr(optim, name), {option: found}
    optimizer = kind([Value(1.0)])
    state = optimizer.state_dict()
    state["param_groups"][0].update(bad)
    before = snapshot(optimizer)
    for give in [
        lambda: kind([Value(1.0)], **bad),
        lambda: kind([{"params": [Value(1.0)], **bad}]),
        lambda: optimizer.add_param_group({"params": [Value(2.0)], **bad}),
        lambda: optimizer.load_state_dict(state),
    ]:
        with pytest.raises(error, match=f"^{option} {message}$"):
            give()
        assert snapshot(optimizer) == before


def test_a_number_or_a_flag_of_numpy_is_as_good():
    options = {"lr": np.float32(0.5), "momentum": np.int64(0), "centered": np.False_}
    p, q = Value(1.0), Value(1.0)
    p.grad = q.grad = 2.0
    optim.RMSprop([p], maximize=np.True_, **options).step()
    optim.RMSprop([q], lr=0.5, maximize=True).step()
    assert p.data == q.data > 1.0


def test_a_state_of_another_shape_is_refused():
    state = optim.SGD([Value(1.0)]).state_dict()
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters, found \[1\]"):
        optim.SGD([Value(1.0), Value(2.0)]).load_state_dict(state)


def test_a_state_of_another_kind_is_refused_and_nothing_taken_over():
    optimizer = optim.SGD([Value(1.0)], lr=0.25, momentum=0.5)
    state = optimizer.state_dict()
    for other, missing in [
        (optim.Adam([Value(1.0)], lr=9.0).state_dict(), "momentum_buffer"),
        ({"state": {}}, "param_groups"),
        ({"state": {}, "param_groups": [{"lr": 9.0}]}, "params"),
    ]:
        with pytest.raises(ValueError, match=f"of SGD must have '?{missing}'?, found none"):
            optimizer.load_state_dict(other)
        assert optimizer.state_dict() == state


def test_a_gradient_whose_square_overflows_is_reported():
    p = Value(1.0)
    p.grad = 1e200
    with pytest.raises(OverflowError, match="gradient 0, 1e\\+200"):
        optim.Adam([p]).step()
    assert p.data == 1.0


SCHEDULES = {
    "steps": lambda s, o: s.StepLR(o, step_size=3, gamma=0.5),
    "exponential": lambda s, o: s.ExponentialLR(o, gamma=0.9),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=10, eta_min=0.01),
    "half a cosine and back": lambda s, o: s.CosineAnnealingLR(o, T_max=4),
    "up": lambda s, o: s.LinearLR(o, start_factor=0.2, total_iters=4),
    "down": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=7),
    "a function": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "warm-up and decay": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.25, total_iters=3), s.LinearLR(o, 1.0, 0.0, total_iters=6)],
        milestones=[3],
    ),
    "one after the other": lambda s, o: s.SequentialLR(
        o,
        [s.ExponentialLR(o, 0.5), s.StepLR(o, 2, 0.5), s.CosineAnnealingLR(o, 5)],
        milestones=[3, 8],
    ),
}


@pytest.mark.parametrize("make", SCHEDULES)
def test_schedules_are_those_of_pytorch_to_the_bit(make):
    ours = optim.SGD([Value(1.0)], lr=0.3)
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    our_schedule = SCHEDULES[make](optim.lr_scheduler, ours)
    their_schedule = SCHEDULES[make](torch.optim.lr_scheduler, theirs)
    rates = set()
    for _ in range(14):
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]
        assert our_schedule.get_last_lr() == their_schedule.get_last_lr()
        rates.add(ours.param_groups[0]["lr"])
        theirs.step()
        our_schedule.step()
        their_schedule.step()
    assert len(rates) > 2


def test_schedules_may_be_stepped_one_after_the_other():
    rates = []
    for package in (optim, torch.optim):
        p = Value(1.0) if package is optim else torch.zeros(1, requires_grad=True)
        optimizer = package.SGD([p], lr=1.0)
        up = package.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4)
        down = package.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
        rates.append([optimizer.param_groups[0]["lr"]])
        for _ in range(4):
            optimizer.step()
            up.step()
            down.step()
            rates[-1].append(optimizer.param_groups[0]["lr"])
    assert rates[0] == rates[1]
    assert rates[0] == pytest.approx([0.5, 0.625, 0.075, 0.0875, 0.01])


@pytest.mark.parametrize("make", SCHEDULES)
def test_a_schedule_can_be_saved_and_loaded(make):
    schedules = []
    for _ in range(2):
        optimizer = optim.SGD([Value(1.0)], lr=0.3)
        schedules.append(SCHEDULES[make](optim.lr_scheduler, optimizer))
    first, second = schedules
    for _ in range(4):
        first.step()
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    for _ in range(6):
        first.step()
        second.step()
        assert first.get_last_lr() == second.get_last_lr()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_by_norm_is_that_of_pytorch(norm_type, max_norm):
    grads = [0.3, -4.0, 2.5]
    ours = [Value(0.0) for _ in grads]
    theirs = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in grads]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad = g
        q.grad = torch.tensor(g, dtype=torch.float64)
    norm = optim.clip_grad_norm_(ours, max_norm, norm_type)
    wanted = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert norm == pytest.approx(wanted.item(), rel=1e-12)
    assert [p.grad for p in ours] == pytest.approx([q.grad.item() for q in theirs], rel=1e-12)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("norm_type", [1.0, 2.0, math.inf])
def test_a_norm_does_not_hide_a_nan(place, norm_type):
    params = [Value(0.0) for _ in range(3)]
    for i, p in enumerate(params):
        p.grad = math.nan if i == place else 1.0
    assert math.isnan(optim.clip_grad_norm_(params, 1.0, norm_type))


def test_clipping_by_value():
    params = [Value(0.0) for _ in range(3)]
    for p, g in zip(params, [0.3, -4.0, 2.5], strict=True):
        p.grad = g
    optim.clip_grad_value_(params, 1.0)
    assert [p.grad for p in params] == [0.3, -1.0, 1.0]


def replaced_bias(model):
    model.layers[0].neurons[1].b = Value(0.5)


def shared_weight(model):
    first, second = (layer.neurons[0] for layer in model.layers)
    second.w[0] = first.w[0]


def appended_neuron(model):
    model.layers[1].neurons.append(model.layers[1].neurons.pop(0))


def hooked_weight(model):
    model.layers[1].neurons[0].w[1]._backward = lambda: None


@pytest.mark.parametrize("change", [replaced_bias, shared_weight, appended_neuron, hooked_weight])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_find_the_parameters_wherever_a_layer_has_put_them(change, momentum):
    """An optimizer made before the first call, over a list in disorder, while layers change."""
    results = []
    for with_optimizer in (True, False):
        random.seed(SEED)
        model = MLP(3, [2, 2])
        params = [*model.parameters(), Value(0.25), Value(-0.5)]
        random.shuffle(params)
        optimizer = optim.SGD(params, lr=0.1, momentum=momentum)
        velocity = [None] * len(params)
        trace = []
        for step in range(6):
            if step == 3:
                change(model)
            out = model([math.sin(step), 1.0, -0.5])
            loss = (out[0] - 1.0) ** 2 + (out[1] + 1.0) ** 2 + sum(p * p for p in params) * 0.1
            if with_optimizer:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            else:
                for p in params:
                    p.grad = 0.0
                loss.backward()
                for i, p in enumerate(params):
                    g = p.grad
                    if momentum:
                        v = velocity[i]
                        g = velocity[i] = g if v is None else momentum * v + 1.0 * g
                    p.data -= 0.1 * g
            trace.append([loss.data, *(p.data for p in params), *(p.grad for p in params)])
        results.append(trace)
    assert results[0] == results[1]
    assert results[0][2] != results[0][5]


def test_graphs_from_before_a_step_keep_their_weights_in_every_layer():
    random.seed(SEED)
    model = MLP(2, [3, 2, 1])
    twin = MLP(2, [3, 2, 1])
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        q.data = p.data
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    old, wanted = model([3.0, -2.0]), twin([3.0, -2.0])
    for p in model.parameters():
        p.grad = 1.0
    optimizer.step()
    found = topological_sort(old)
    products = [node.data for node in found if node._op == "*"]
    assert products == [node.data for node in topological_sort(wanted) if node._op == "*"]
    assert len(products) == 2 * 3 + 3 * 2 + 2


# All or nothing ----------------------------------------------------------------------------------


def snapshot(optimizer):
    return repr(optimizer.state_dict()), [
        (p.data, p.grad) for group in optimizer.param_groups for p in group["params"]
    ]


def two_groups(name, **options):
    groups = [{"params": [Value(float(i + 1)) for i in range(3)]} for _ in range(2)]
    optimizer = getattr(optim, name)(groups, **options)
    for p in [p for group in groups for p in group["params"]]:
        p.grad = p.data
    optimizer.step()
    return optimizer


def test_a_step_that_fails_in_a_later_group_changes_none():
    optimizer = two_groups("Adam", lr=0.1)
    last = optimizer.param_groups[1]["params"][2]
    last.grad = 1e200
    before = snapshot(optimizer)
    with pytest.raises(OverflowError, match=r"gradient 2, 1e\+200"):
        optimizer.step()
    assert snapshot(optimizer) == before
    last.grad = 1.0
    twin = two_groups("Adam", lr=0.1)
    twin.param_groups[1]["params"][2].grad = 1.0
    optimizer.step()
    twin.step()
    assert snapshot(optimizer) == snapshot(twin)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 1e200])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adagrad"])
def test_the_largest_gradients_are_taken_and_the_next_refused(name, weight_decay, maximize):
    largest = 1.3407807929942596e154  # the square root of the largest float
    for grad, fits in [(largest, True), (math.nextafter(largest, math.inf), False)]:
        p = Value(0.0)
        p.grad = -grad
        optimizer = getattr(optim, name)([p], weight_decay=weight_decay, maximize=maximize)
        if fits:
            optimizer.step()
        else:
            with pytest.raises(OverflowError):
                optimizer.step()
        assert (p.data != 0.0) == fits


@pytest.mark.parametrize(("maximize", "fits"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad"])
def test_the_square_that_must_be_a_float_is_that_of_what_is_gone_along(name, maximize, fits):
    p = Value(1.0)
    p.grad = 1e154
    optimizer = getattr(optim, name)([p], weight_decay=1e154, maximize=maximize)
    if fits:  # -1e154 + 1e154 * 1.0
        optimizer.step()
        assert p.data == 1.0
    else:
        with pytest.raises(OverflowError, match=r"gradient 0, 1e\+154"):
            optimizer.step()


@pytest.mark.parametrize("option", ["lr", "momentum", "weight_decay"])
def test_an_option_that_is_no_number_is_found_before_the_step(option):
    optimizer = two_groups("SGD", lr=0.1, momentum=0.5)
    optimizer.param_groups[1][option] = "a lot"
    before = snapshot(optimizer)
    with pytest.raises(TypeError):
        optimizer.step()
    assert snapshot(optimizer) == before


def test_an_option_may_do_anything_when_it_is_read():
    class Rate(float):
        def __float__(self):
            optimizer.param_groups[0]["params"][0].grad = 100.0
            random.seed(3)
            MLP(2, [4, 1])([1.0, 2.0])
            return 0.5

    class Like:
        def __float__(self):
            return float(Rate(0.5).__float__())

        __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True

    p = Value(1.0)
    optimizer = optim.SGD([p], lr=0.5)
    optimizer.param_groups[0]["lr"] = Like()
    p.grad = 1.0
    optimizer.step()
    assert p.data == 1.0 - 0.5 * 100.0


# The parameters of a running optimizer -----------------------------------------------------------

EXTENSIONS = {
    "+=": lambda group, new: group.__setitem__("params", group["params"] + new),
    "append": lambda group, new: group["params"].append(new[0]),
    "extend": lambda group, new: group["params"].extend(new),
    "an item": lambda group, new: group["params"].__setitem__(0, new[0]),
    "others": lambda group, new: group.update(params=new),
    "others in a tuple": lambda group, new: group.update(params=(*group["params"], *new)),
    "none": lambda group, new: group.pop("params"),
}


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("action", ["step", "zero_grad", "state_dict"])
def test_the_parameters_of_a_group_cannot_be_exchanged_in_silence(extension, action):
    optimizer = two_groups("Adam")
    new = MLP(2, [16, 16, 1]).parameters()

    def extended():
        EXTENSIONS[extension](optimizer.param_groups[1], new)
        getattr(optimizer, action)()

    with pytest.raises((TypeError, AttributeError, ValueError)):
        extended()


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_group_that_is_added_begins_anew(name, options):
    first, second = [Value(1.0)], [Value(2.0), Value(3.0)]
    optimizer = getattr(optim, name)(first, **options)
    twin = getattr(optim, name)([Value(p.data) for p in second], **options)
    first[0].grad = 1.0
    optimizer.step()
    optimizer.add_param_group({"params": second})
    for own, other in zip(second, twin.param_groups[0]["params"], strict=True):
        own.grad = other.grad = 0.25
    for _ in range(3):
        optimizer.step()
        twin.step()
    assert [p.data for p in second] == [p.data for p in twin.param_groups[0]["params"]]
    for wrong in [{"params": second}, {"params": [1.0]}, {}, [Value(1.0)]]:
        before = snapshot(optimizer)
        with pytest.raises((TypeError, ValueError)):
            optimizer.add_param_group(wrong)
        assert snapshot(optimizer) == before


# States ------------------------------------------------------------------------------------------

DAMAGES = {
    "text for a number": lambda s: s["state"][2].update(exp_avg_sq="x"),
    "a complex number": lambda s: s["state"][0].update(exp_avg=1j),
    "a missing number": lambda s: s["state"][4].pop("exp_avg"),
    "a negative square": lambda s: s["state"][5].update(exp_avg_sq=-1.0),
    "a negative largest square": lambda s: s["state"][5].update(max_exp_avg_sq=-1.0),
    "no largest square": lambda s: s["state"][1].pop("max_exp_avg_sq"),
    "a negative step": lambda s: [entry.update(step=-1) for entry in s["state"].values()],
    "a huge step": lambda s: [entry.update(step=2**70) for entry in s["state"].values()],
    "half a step": lambda s: [entry.update(step=0.5) for entry in s["state"].values()],
    "steps that differ": lambda s: s["state"][1].update(step=7),
    "a learning rate": lambda s: s["param_groups"][1].update(lr=-1.0),
    "a text for a learning rate": lambda s: s["param_groups"][1].update(lr="fast"),
    "a pair of betas": lambda s: s["param_groups"][1].update(betas=(0.9, 1.5)),
    "no state": lambda s: s.pop("state"),
    "no groups": lambda s: s.pop("param_groups"),
    "no parameters": lambda s: s["param_groups"][0].pop("params"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_and_nothing_taken_over(damage):
    optimizer = two_groups("Adam", lr=0.1, amsgrad=True)
    state = optimizer.state_dict()
    for entry in state["state"].values():
        entry["exp_avg"] = 9.0
    for group in state["param_groups"]:
        group["lr"] = 77.0
    DAMAGES[damage](state)
    before = snapshot(optimizer)
    with pytest.raises((TypeError, ValueError)):
        optimizer.load_state_dict(state)
    assert snapshot(optimizer) == before


def test_private_functions_check_what_they_take():
    from micrograd_fast import _core

    group = _core.ParameterGroup([Value(1.0) for _ in range(3)])
    zeros = [0.0] * 3
    for columns in [
        ([], [], [], []),
        ([1.0], [1.0], [1.0], [1.0]),
        (zeros, [0.0] * 4, zeros, zeros),
        ([None] * 3, zeros, zeros, zeros),
        (zeros, [-1.0] * 3, zeros, zeros),
        (zeros, zeros, zeros, [-1.0] * 3),
        (zeros, zeros, zeros),
        (zeros, zeros, zeros, zeros, zeros),
    ]:
        with pytest.raises((TypeError, ValueError)):
            _core.take_states([group], [(1, columns, True)])
    assert group.columns() == (zeros, zeros, zeros, zeros)
    for wrong in [[None], [[]], [Value(1.0)], 3]:
        with pytest.raises(TypeError):
            _core.take_step(wrong)
    with pytest.raises(TypeError, match="must be Values"):
        _core.first_repeated([[1.0]])


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_state_goes_through_json(name, options):
    original = two_groups(name, **options)
    other = two_groups(name, **options)
    other.step()
    other.load_state_dict(json.loads(json.dumps(original.state_dict())))
    for source, target in zip(original.param_groups, other.param_groups, strict=True):
        for p, q in zip(source["params"], target["params"], strict=True):
            q.data, q.grad = p.data, p.grad
    original.step()
    other.step()
    assert snapshot(original)[1] == snapshot(other)[1]


def test_a_state_of_pytorch_is_taken_over():
    p, q = Value(1.0), torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    for name, options in [
        ("SGD", {"momentum": 0.9}),
        ("SGD", {}),
        ("Adam", {}),
        ("Adam", {"amsgrad": True, "betas": (0.9, 0.5)}),
        ("AdamW", {"amsgrad": True, "maximize": True}),
        ("RMSprop", {"momentum": 0.5, "centered": True}),
        ("RMSprop", {}),
        ("Adagrad", {"initial_accumulator_value": 0.5}),
    ]:
        ours = getattr(optim, name)([p], lr=0.1, **options)
        theirs = getattr(torch.optim, name)([q], lr=0.1, **options)
        for _ in range(2):
            q.grad = torch.tensor([2.0], dtype=torch.float64)
            theirs.step()
            state = copy.deepcopy(theirs.state_dict())
            for entry in state["state"].values():
                for key, number in entry.items():
                    if key == "step":
                        entry[key] = int(number)
                    elif number is not None:
                        entry[key] = number.item()
            known = ours.param_groups[0].keys()
            for group in state["param_groups"]:
                for key in set(group) - set(known):
                    del group[key]
            ours.load_state_dict(state)
            p.data, p.grad = q.item(), 1.0
            ours.step()
            q.grad = torch.tensor([1.0], dtype=torch.float64)
            theirs.step()
            assert p.data == pytest.approx(q.item(), rel=1e-12)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_an_optimizer_is_copied_with_its_model(name, options, copied):
    def train(model, optimizer):
        optimizer.zero_grad()
        (model([1.0, -2.0]) ** 2).backward()
        optimizer.step()
        return [p.data for p in model.parameters()]

    model = MLP(2, [4, 1], activation="tanh", seed=SEED)
    optimizer = getattr(optim, name)(model.parameters(), **options)
    train(model, optimizer)
    before = [p.data for p in model.parameters()]
    other, own = copied((model, optimizer))
    trained = train(other, own)
    assert [p.data for p in model.parameters()] == before
    assert train(model, optimizer) == trained != before


# Schedules that look at a number ----------------------------------------------------------------

PLATEAUS = [
    {},
    {"patience": 2},
    {"mode": "max", "patience": 1},
    {"patience": 1, "factor": 0.5, "cooldown": 3},
    {"patience": 0, "threshold": 0.05, "threshold_mode": "abs"},
    {"mode": "max", "patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
    {"patience": 0, "min_lr": 0.01},
    {"patience": 0, "min_lr": [0.01, 0.5]},
    {"patience": 0, "eps": 0.02},
]


@pytest.mark.parametrize("options", PLATEAUS)
def test_plateaus_are_those_of_pytorch_to_the_bit(options):
    draws = random.Random(9)
    numbers = [math.exp(-i / 9.0) + draws.uniform(-0.1, 0.1) for i in range(60)] + [math.nan, 0.0]
    ours = optim.SGD([{"params": [Value(1.0)]}, {"params": [Value(1.0)], "lr": 1.0}], lr=0.3)
    theirs = torch.optim.SGD(
        [{"params": [torch.ones(1)]}, {"params": [torch.ones(1)], "lr": 1.0}], lr=0.3
    )
    schedule = lr_scheduler.ReduceLROnPlateau(ours, **options)
    wanted = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    seen = set()
    for number in numbers:
        schedule.step(number)
        wanted.step(number)
        assert schedule.get_last_lr() == [group["lr"] for group in theirs.param_groups]
        seen.add(schedule.get_last_lr()[0])
    assert len(seen) > 1
    again = lr_scheduler.ReduceLROnPlateau(ours, **options)
    again.load_state_dict(schedule.state_dict())
    again.step(5.0)
    wanted.step(5.0)
    assert again.get_last_lr() == [group["lr"] for group in theirs.param_groups]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "low"}, 'mode must be "min" or "max", found'),
        ({"threshold_mode": "much"}, 'threshold_mode must be "rel" or "abs", found'),
        ({"factor": 1.0}, r"factor must be at least 0\.0 and below 1\.0, found 1\.0"),
        ({"patience": -1}, "patience must be at least"),
        ({"min_lr": [0.1, 0.2]}, "min_lr must be a number, or one for each of 1 groups, found 2"),
        ({"eps": "small"}, "eps must be a number, found str"),
    ],
)
def test_a_plateau_that_cannot_be_is_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        lr_scheduler.ReduceLROnPlateau(optim.SGD([Value(1.0)], lr=0.1), **options)


def test_a_plateau_wants_a_number_and_takes_a_value():
    schedule = lr_scheduler.ReduceLROnPlateau(optim.SGD([Value(1.0)], lr=0.1))
    for wrong in (None, "low", [1.0]):
        with pytest.raises(
            TypeError, match=f"metrics must be a number, found {type(wrong).__name__}"
        ):
            schedule.step(wrong)
    assert schedule.last_epoch == 0
    schedule.step(np.float32(0.5))
    schedule.step(Value(0.25).item())
    assert schedule.best == 0.25
