"""Clipping of gradients: PyTorch's numbers."""

import math

import pytest
import torch

from micrograd_fast import Value, optim


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
