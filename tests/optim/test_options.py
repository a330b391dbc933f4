"""The options of optimizers: those of PyTorch, and refused by name where they are bad."""

import inspect
import math
import random

import numpy as np
import pytest
import torch
from optimizer_table import OPTIMIZERS, USES, snapshot, two_groups

from micrograd_fast import MLP, Value, optim

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
    torch.zeros(1)  # where it is not installed, only a call says so
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert set(theirs) - set(ours) <= set(NOT_OURS)
    assert set(ours) <= set(theirs)
    for option in set(ours) - {"params"}:
        assert ours[option].default == theirs[option].default, option
    by_place = [key for key, option in ours.items() if option.kind is not option.KEYWORD_ONLY]
    assert by_place == list(theirs)[: len(by_place)]


def test_no_option_is_left_out_for_nothing():
    torch.zeros(1)
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
