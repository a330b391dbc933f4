"""Schedules of the learning rate: PyTorch's numbers to the bit."""

import math
import random

import numpy as np
import pytest
import torch

from micrograd_fast import Value, optim
from micrograd_fast.optim import lr_scheduler

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
