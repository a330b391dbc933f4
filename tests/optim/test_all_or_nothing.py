"""A step is taken by all groups or, on an error, by none."""

import math

import pytest
from optimizer_table import snapshot, two_groups

from micrograd_fast import Value, optim


def test_a_gradient_whose_square_overflows_is_reported():
    p = Value(1.0)
    p.grad = 1e200
    with pytest.raises(OverflowError, match="gradient 0, 1e\\+200"):
        optim.Adam([p]).step()
    assert p.data == 1.0


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
