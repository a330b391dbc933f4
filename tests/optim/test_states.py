"""States of optimizers: saved, loaded, copied, and refused where they are damaged."""

import copy
import json
import pickle

import pytest
import torch
from optimizer_table import OPTIMIZERS, SEED, quadratic, snapshot, two_groups

from micrograd_fast import MLP, Value, optim


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
    assert json.dumps(original.state_dict()) == json.dumps(other.state_dict())


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


def test_a_state_from_before_an_option_leaves_the_option_as_it_is():
    optimizer = two_groups("Adam", lr=0.1)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["amsgrad"], group["maximize"]
    other = two_groups("Adam", maximize=True)
    other.load_state_dict(state)
    for own, group in zip(other.param_groups, optimizer.param_groups, strict=True):
        assert {**group, "params": 0, "maximize": True} == {**own, "params": 0}


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
    for _ in range(5):
        train(model, optimizer)
    before = [p.data for p in model.parameters()]
    other, own = copied((model, optimizer))
    trained = train(other, own)
    assert [p.data for p in model.parameters()] == before
    assert train(model, optimizer) == trained != before
    assert own.state_dict() == optimizer.state_dict()


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

    group = _core.Updates([Value(1.0) for _ in range(3)])
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
