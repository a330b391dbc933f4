"""Random graphs: the same bits as the reference, and the numbers of three other oracles."""

import math
import operator
import random
from collections import Counter

import fuzz
import micrograd.engine
import numpy as np
import pytest
import torch
from operation_table import BY_ID, logistic
from random_graphs import (
    BINARY,
    CLASSIC,
    KINDS,
    STATED,
    build,
    first_difference,
    forward,
    leaves_of,
    random_program,
    run,
)
from support import trace

from micrograd_fast import _core

# Bit for bit against the reference ---------------------------------------------------------------


@pytest.mark.parametrize("wild", [False, True], ids=["tame", "wild"])
def test_hundreds_of_graphs_have_the_bits_of_the_reference(compiled, reference, wild):
    met, sizes, seen, failures = Counter(), set(), set(), 0
    for seed in range(400):
        size = random.Random(seed).randint(5, 150)
        program = random_program(reference, seed, size, wild=wild)
        ours, theirs = run(compiled, program), run(reference, program)
        assert ours == theirs, (
            f"random_program(seed={seed}, n_nodes={size}, wild={wild}): "
            f"{first_difference(ours, theirs)}"
        )
        met.update(kind for kind, _, _ in program.make)
        sizes.add(len(program.make))
        seen.add(tuple(theirs[1][1]))
        failures += len(theirs[0][1])
    assert set(met) == set(KINDS) >= {name for name, *_ in _core.OPERATIONS}, "some never occur"
    # Two numbers are seldom equal, and in tame graphs a result of 0 is drawn again.
    seldom = {"equal", "equal number"}
    assert min(n for kind, n in met.items() if kind not in seldom) > 100
    assert min(met[kind] for kind in seldom) > 0
    assert len(sizes) > 80
    assert len(seen) == 400, "graphs repeat"
    assert (failures > 100) if wild else (failures == 0)


@pytest.mark.parametrize("seed, size", [(1, 2_000), (2, 4_000), (3, 6_000)])
def test_large_graphs_have_the_bits_of_the_reference(compiled, reference, seed, size):
    program = random_program(reference, seed, size)
    assert len(program.make) == size
    ours, theirs = run(compiled, program), run(reference, program)
    assert ours == theirs, f"seed {seed}: {first_difference(ours, theirs)}"
    assert len(theirs[-2][1]) > size, "the root does not reach everything"


def test_graphs_that_nobody_looks_at_have_the_bits_too(compiled, reference):
    """Looking at a node may change how an engine holds it; here only the leaves are read."""
    for seed in range(1000, 1150):
        program = random_program(reference, seed, 60)
        results = []
        for engine in (compiled, reference):
            nodes, _ = forward(engine, program)
            leaves, root = leaves_of(program, nodes), nodes[-1]
            del nodes
            root.backward()
            root.backward()
            results.append([(leaf.data.hex(), leaf.grad.hex()) for leaf in leaves])
        assert results[0] == results[1], f"seed {seed}"


def test_the_fuzzer_runs_and_finds_nothing(capsys):
    assert fuzz.main(["--programs", "50", "--seed", "11"]) == 0
    assert capsys.readouterr().out == "seed 11: 50 programs, 0 with a difference\n"


def test_the_fuzzer_finds_a_difference(monkeypatch, capsys, compiled):
    """An operation that is wrong in its last bit."""
    original = compiled.Value.tanh

    def crooked(self):
        return original(self) * math.nextafter(1.0, 2.0)

    monkeypatch.setattr(compiled.Value, "tanh", crooked)
    assert fuzz.main(["--programs", "20", "--seed", "11"]) == 1
    *complaints, total = capsys.readouterr().out.splitlines()
    assert 0 < len(complaints) <= 20
    assert any(" differs at " in complaint for complaint in complaints)
    assert total == f"seed 11: 20 programs, {len(complaints)} with a difference"


# Other oracles -----------------------------------------------------------------------------------


def magnitudes(root):
    """For each node the sum of the magnitudes of the terms of its gradient.

    Two engines that add the same terms in another order, or round them elsewhere, differ by a
    few roundings of this number and not of the gradient itself, which may have cancelled.
    """
    order = trace(root)
    total = {id(node): 0.0 for node in order}
    total[id(root)] = 1.0
    for node in reversed(order):
        for child, local in zip(node._children, node._local_grads):
            total[id(child)] += abs(local) * total[id(node)]
    return total


def assert_close(ours, theirs, scale, tolerance, message):
    assert abs(ours - theirs) <= tolerance * max(abs(ours), abs(theirs), scale), (
        f"{message}: {ours!r} and {theirs!r} with terms of {scale:.3g}"
    )


class Pypi:
    Value = micrograd.engine.Value


def test_graphs_match_pypi_micrograd(engine):
    """To 1e-12 of the terms added; its operands are in a set, so its last bits vary."""
    met, nonzero = Counter(), 0
    for seed in range(1000):
        if seed >= 150 and set(met) == set(KINDS):
            break
        rng = random.Random(seed)
        program = random_program(engine, seed, rng.randint(5, 80), kinds=CLASSIC)
        # It knows int and float alone.
        program = program._replace(
            make=[
                (kind, operands, tuple(plain(number) for number in immediates))
                for kind, operands, immediates in program.make
            ]
        )
        ours, failures = forward(engine, program)
        theirs, their_failures = forward(Pypi, program)
        assert not failures
        assert not their_failures
        ours[-1].backward()
        theirs[-1].backward()
        scale = magnitudes(ours[-1])
        for position, (a, b) in enumerate(zip(ours, theirs)):
            message = f"seed {seed}, node {position}"
            assert a.data == pytest.approx(b.data, rel=1e-12, abs=0), message
            assert_close(a.grad, b.grad, scale.get(id(a), 0.0), 1e-12, message)
            nonzero += a.grad != 0.0
        met.update(kind for kind, _, _ in program.make)
    assert set(met) == set(CLASSIC)
    assert nonzero > 1000


def plain(number):
    return number if type(number) in (int, float) else float(number)


class Tensors:
    """The operations of `random_graphs.build` on PyTorch's float64 tensors."""

    @staticmethod
    def leaf(number):
        return torch.tensor(float(number), dtype=torch.float64, requires_grad=True)

    @staticmethod
    def build(nodes, instruction):
        kind, operands, immediates = instruction
        values = [nodes[operand] for operand in operands]
        numbers = [n if n is None else float(n) for n in immediates]
        functional = torch.nn.functional
        if kind == "leaf":
            return Tensors.leaf(*numbers)
        if kind == "sum":
            return sum([*values, *numbers])
        if kind == "builtin_sum":
            return sum(values) + torch.zeros((), dtype=torch.float64)
        if kind == "dot":
            half = len(values) // 2
            pairs = zip(values[:half], values[half:])
            return sum(w * x for w, x in pairs) + sum(n * n for n in numbers)
        if kind == "custom":
            return CustomProduct.apply(*values)
        if kind == "custom_op":
            return values[0] * values[1] + torch.sin(values[0])
        if kind == "local_grads":
            return LocalGradients.apply(numbers[0], numbers[1:], *values)
        if kind == "in_place":
            return (values[0] + values[1]) * numbers[0]
        if kind in ("leaky_relu", "elu"):
            return getattr(functional, kind)(values[0], *numbers)
        if kind == "clip":
            return values[0] * 1.0 if numbers == [None, None] else values[0].clamp(*numbers)
        name = kind.replace(" number", "").replace("number ", "")
        if name not in BINARY:
            function = {"neg": torch.neg, "pow_const": torch.pow}.get(kind)
            return (function or BY_ID[kind].torch)(*values, *numbers)
        pair = [*values, *(torch.tensor(n, dtype=torch.float64) for n in numbers)]
        if kind.startswith("number "):
            pair.reverse()
        return (BY_ID[name].torch if name in BY_ID else getattr(operator, name))(*pair)


class CustomProduct(torch.autograd.Function):
    """`random_graphs.custom_node`."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b + 1.0

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * b, (a + 0.5) * g


class LocalGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx, number, slopes, *values):
        ctx.slopes = slopes
        return torch.tensor(number, dtype=torch.float64) + 0.0 * values[0].detach()

    @staticmethod
    def backward(ctx, g):
        return (None, None, *(slope * g for slope in ctx.slopes))


def test_graphs_match_torch(engine):
    """To 1e-9 of the terms added: the roundings of other exponentials, passed on through up to
    a hundred operations with slopes of up to 30. And to 1e-15, for slopes such as 1 - y**2, which
    are nothing but a rounding where y is nearly 1."""
    met, nonzero = Counter(), 0
    for seed in range(150):
        rng = random.Random(seed)
        program = random_program(engine, seed, rng.randint(5, 100))
        ours, _ = forward(engine, program)
        tensors = []
        for instruction in program.make:
            tensor = Tensors.build(tensors, instruction)
            tensor.retain_grad()
            tensors.append(tensor)
        ours[-1].backward()
        tensors[-1].backward()
        scale = magnitudes(ours[-1])
        for position, (node, tensor) in enumerate(zip(ours, tensors)):
            message = f"seed {seed}, node {position}, {program.make[position]}"
            assert math.isclose(node.data, tensor.item(), rel_tol=1e-9), message
            theirs = 0.0 if tensor.grad is None else tensor.grad.item()
            assert_close(node.grad, theirs, scale.get(id(node), 0.0) + 1e-6, 1e-9, message)
            nonzero += theirs != 0.0
        met.update(kind for kind, _, _ in program.make)
    assert set(met) == set(KINDS)
    assert nonzero > 1000


def test_graphs_match_central_differences(engine):
    """To 1e-5 of the terms added, for graphs small enough for the step to stay off the kinks."""
    kinds = [kind for kind in KINDS if kind not in STATED]
    met, compared = Counter(), 0
    h = 1e-6
    for seed in range(2000):
        if seed >= 300 and set(met) == set(kinds):
            break
        rng = random.Random(seed)
        program = random_program(engine, seed, rng.randint(5, 14), kinds=kinds)
        nodes, _ = forward(engine, program)
        nodes[-1].backward()
        scale = magnitudes(nodes[-1])
        for position, (kind, _, immediates) in enumerate(program.make):
            if kind != "leaf":
                continue
            results = []
            for step in (h, -h):
                make = list(program.make)
                make[position] = ("leaf", (), (float(immediates[0]) + step,))
                results.append(forward(engine, program._replace(make=make))[0][-1].data)
            difference = (results[0] - results[1]) / (2 * h)
            leaf = nodes[position]
            terms = max(scale.get(id(leaf), 0.0), 1.0)
            assert_close(leaf.grad, difference, terms, 1e-5, f"seed {seed}, leaf {position}")
            compared += leaf.grad != 0.0
        met.update(kind for kind, _, _ in program.make)
    assert set(met) == set(kinds)
    assert compared > 300


def test_the_generator_is_not_its_own_oracle(engine):
    """A program by hand, so that `build` itself is known to do what its names say."""
    make = [
        ("leaf", (), (2.0,)),
        ("leaf", (), (3.0,)),
        ("sub", (0, 1), ()),
        ("number truediv", (1,), (6,)),
        ("truediv number", (1,), (6,)),
        ("dot", (0, 1, 1, 0), (0.5,)),
        ("sum", (0, 1), (4,)),
        ("in_place", (0, 1), (10.0,)),
        ("sigmoid", (0,), ()),
        ("local_grads", (0, 1), (7.0, 1.0, 2.0)),
        ("clip", (1,), (None, 2.5)),
        ("number pow", (1,), (2,)),
        ("pow_const", (1,), (np.int64(2),)),
        ("custom", (0, 1), ()),
    ]
    nodes = []
    for instruction in make:
        nodes.append(build(engine, nodes, instruction))
    expected = [2, 3, -1, 2, 0.5, 12.25, 9, 50, logistic(2.0), 7, 2.5, 8, 9, 7]
    assert [node.data for node in nodes] == pytest.approx(expected, rel=1e-15)
