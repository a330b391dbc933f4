"""Fused layers cannot be told from the scalar graph: point 24 of the contract, over everything.

Each test compares the reference, the compiled engine without fusing and the compiled engine with
it, to the bit. What a test says of one program, the random lives at the end say of many.
"""

import math
import random
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise

import fuzz_layers
import numpy as np
import pytest
from layer_actions import ACTIONS, ACTIVATION_CHOICES
from layer_scenarios import SCENARIOS
from random_layers import check, random_program
from support import (
    METHODS,
    TESTS,
    as_list,
    bits,
    gradients,
    live_nodes_after_collection,
    picture,
    run_python,
    same_everywhere,
)

# Random nets --------------------------------------------------------------------------------


def draw_sizes(rng):
    """Widths from 1 to 70 and depths from 1 to 6, of a size that pure Python can bear."""
    sizes = [rng.choice([1, 2, 3, 5, 8, rng.randint(1, 70)]) for _ in range(rng.randint(2, 7))]
    while sum(m * n for m, n in pairwise(sizes)) > 2500:
        sizes[sizes.index(max(sizes))] //= 2
    return sizes


def draw_inputs(engine, rng, n, kind):
    numbers = [rng.uniform(-2, 2) for _ in range(n)]
    if kind == "floats":
        return numbers
    if kind == "ints":
        return [round(x) for x in numbers]
    if kind == "row":
        return np.array([numbers, numbers])[1]
    if kind == "Values":
        return [engine.Value(x) for x in numbers]
    shared = engine.Value(0.5)
    return [rng.choice([x, round(x), engine.Value(x), shared]) for x in numbers]


def net(engine, seed, activation, kind, when):
    rng = random.Random(f"{seed} {activation}")
    sizes = draw_sizes(rng)
    random.seed(seed)
    model = engine.nn.MLP(sizes[0], sizes[1:], activation=activation)
    # What refuses some numbers takes those between 0 and 1
    refuses = any(row.name == activation and row.wanted for row in METHODS)
    for neuron in [neuron for layer in model.layers for neuron in layer.neurons]:
        for w in neuron.w:
            w.data = w.data / (len(neuron.w) * (8 if refuses else 1))
        neuron.b.data = 0.5 if refuses else 0.1
    x = draw_inputs(engine, rng, sizes[0], kind)
    seen = []
    out = as_list(model(x))
    loss = engine.sum([(v - 0.5) ** 2 for v in out])
    for moment in ("before", "between", "after"):
        if moment == when:
            seen.append(picture(loss))
        if moment != "after":
            loss.backward()
        seen.append([bits(loss.data), gradients(model.parameters()), gradients(out)])
        seen.append([bits(v.grad) for v in x if isinstance(v, engine.Value)])
    return sizes, seen


@pytest.mark.parametrize("activation", ACTIVATION_CHOICES)
@pytest.mark.parametrize("when", ["before", "between", "after", "never"])
def test_random_nets(layer_engines, activation, when):
    met = set()
    for seed in range(3):
        kind = ["floats", "ints", "row", "Values", "mixed"][
            (seed + len(str(activation)) + len(when)) % 5
        ]
        sizes, seen = same_everywhere(layer_engines, net, seed, activation, kind, when)
        met.add(str(seen))
        assert 1 <= len(sizes) - 1 <= 6
        assert 1 <= min(sizes) <= max(sizes) <= 70
    assert len(met) == 3, "nets repeat"


@pytest.mark.parametrize("first", [1, 15, 29, 43, 57])
def test_every_width_from_1_to_70(layer_engines, first):
    def scenario(engine, width):
        layer = engine.nn.Layer(width, 71 - width, activation="tanh")
        x = [engine.Value(math.sin(i)) for i in range(width)]
        out = as_list(layer(x))
        loss = engine.sum([v * (i + 1.0) for i, v in enumerate(out)])
        loss.backward()
        return [bits(v.data) for v in out], gradients(x), gradients(layer.parameters())

    for width in range(first, first + 14):
        data, x_grads, *_ = same_everywhere(layer_engines, scenario, width)
        assert (len(x_grads), len(data)) == (width, 71 - width)


def test_layers_are_fused_where_nothing_is_unusual(layer_engines):
    """The comparisons say nothing if both sides build node by node."""

    def n_nodes(engine):
        model = engine.nn.MLP(5, [7, 3])
        before = engine.arena_stats()["live_nodes"]
        out = model([1.0, engine.Value(2.0), 3, 4.0, 5.0])
        return engine.arena_stats()["live_nodes"] - before, len(out)

    counts = {}
    for name in ("unfused", "fused"):
        engine, context = layer_engines[name]
        with context():
            counts[name] = n_nodes(engine)
    assert counts == {"unfused": (1 + 4 * 7 + 2 * 35 + 7 + 2 * 21, 3), "fused": (1 + 10, 3)}


# Programs that people write -------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_programs_that_people_write(layer_engines, scenario):
    same_everywhere(layer_engines, scenario)


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "activation, number", [("exp", 1e6), ("log", -1.0), ("sqrt", -1.0), ("sin", math.inf)]
)
def test_a_forward_error_has_its_type_and_leaves_nothing(layer_engines, activation, number):
    def scenario(engine):
        layer = engine.nn.Layer(1, 3, activation=activation)
        for neuron in layer.neurons:
            neuron.w[0].data = 1.0
        before = engine.arena_stats and engine.arena_stats()["live_nodes"]
        try:
            layer([number])
        except (ArithmeticError, ValueError) as error:
            raised = type(error).__name__
        left = live_nodes_after_collection(engine.arena_stats) - before if before else 0
        return raised, left, picture(engine.sum(layer([0.75])))

    raised, left, _ = same_everywhere(layer_engines, scenario)
    assert raised.endswith("Error")
    assert left == 0


def test_a_backward_error_leaves_the_gradients_of_the_scalar_graph(layer_engines):
    """Where the sweep ends early, a neuron must not have given what the scalar graph gives late:
    the shares of its bias and of the inputs before the one with the error under it."""

    def scenario(engine, position, make):
        neuron = engine.nn.Neuron(3, activation="tanh")
        zero = engine.Value(0.0)
        x = [engine.Value(0.5), engine.Value(0.25), engine.Value(-0.5)]
        bad = make(engine, zero)
        x[position] = bad
        out = neuron(x) + neuron([1.0, 2.0, 3.0])
        with pytest.raises(ArithmeticError):
            out.backward()
        return gradients([*x, *neuron.parameters(), zero, out])

    def root(engine, zero):
        return zero.sqrt()

    def power(engine, zero):
        return (zero**0.5) * 2.0

    def neuron_of_root(engine, zero):
        inner = engine.nn.Neuron(2, activation="sqrt")
        inner.w[0].data = inner.w[1].data = 0.0
        return inner([zero, zero])

    seen = set()
    for position in range(3):
        for make in (root, power, neuron_of_root):
            seen.add(tuple(same_everywhere(layer_engines, scenario, position, make)))
    assert len(seen) == 3, "the position makes no difference"


# Every build of the loops ---------------------------------------------------------------------

BITS_OF_NETS = """\
import random, sys
sys.path.append(sys.argv[1])
from support import bits, picture
from micrograd_fast import _core, engine, nn

print(_core.kernels()[0])
rng = random.Random(8)
for n_in, n_out in [(1, 1), (3, 2), (4, 8), (5, 9), (7, 16), (8, 3), (13, 11), (16, 17),
                    (31, 12), (33, 33), (64, 5), (70, 23), (2, 70)]:
    for wild in (False, True):
        random.seed(n_in)
        layer = nn.Layer(n_in, n_out)
        if wild:
            for p in rng.sample(layer.parameters(), 1 + n_in // 3):
                p.data = rng.choice([float("inf"), float("nan"), -0.0, 1e308, 5e-324])
        for values in (False, True):
            x = [rng.uniform(-1, 1) for _ in range(n_in)]
            x = [engine.Value(v) for v in x] if values else x
            out = layer(x)
            loss = engine.sum([v * v for v in (out if isinstance(out, list) else [out])])
            loss.backward()
            print([bits(p.grad) for p in layer.parameters()])
            print(picture(loss))
"""


def test_every_build_that_the_machine_runs_gives_the_same_bits(monkeypatch):
    from micrograd_fast._core import kernels

    results = {}
    for build in kernels()[1:]:
        monkeypatch.setenv("MICROGRAD_FAST_KERNELS", build)
        name, _, results[build] = run_python(BITS_OF_NETS, TESTS).partition("\n")
        assert name == build
    # Not built for a particular machine, and so everywhere
    wanted = results.pop("baseline")
    assert len(wanted.splitlines()) == 13 * 2 * 2 * 2
    for build, result in results.items():
        assert result == wanted, build


def test_the_loops_have_the_bits_of_the_graph_built_node_by_node():
    fused = run_python(BITS_OF_NETS, TESTS)
    unfused = run_python(
        "from micrograd_fast import _core\n_core.fuse(False)\n" + BITS_OF_NETS, TESTS
    )
    assert fused == unfused


def test_a_build_that_the_machine_does_not_run_is_refused(monkeypatch):
    monkeypatch.setenv("MICROGRAD_FAST_KERNELS", "abacus")
    refused = run_python(
        """
        try:
            import micrograd_fast
        except ValueError as error:
            print(error)
        """
    )
    assert "abacus" in refused
    assert "baseline" in refused


# Random lives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("block", range(4))
def test_random_lives_of_models(layer_engines, block):
    actions, kinds = Counter(), Counter()
    for seed in range(30 * block, 30 * block + 30):
        program = random_program(seed)
        complaint = check(layer_engines, program)
        assert complaint is None, f"random_program({seed}): {complaint}"
        actions.update(name for name, _ in program.steps)
        kinds[program.wild, program.copies] += 1
    assert len(actions) > 0.8 * len(ACTIONS)
    assert len(kinds) == 4


def test_the_fuzzer_runs_and_finds_nothing(capsys):
    assert fuzz_layers.main(["--programs", "1", "--seed", "1000"]) == 0
    assert capsys.readouterr().out == "seed 1000: 1 programs, 0 with a difference\n"


def test_the_fuzzer_finds_a_difference(monkeypatch, capsys):
    """A layer that is wrong in its last bit is found, and the program that shows it shortened."""
    engines = fuzz_layers.load_engines()
    engine, fused = engines["fused"]
    original = engine.nn.Layer.__call__

    def crooked_call(self, x):
        out = original(self, x)
        for value in as_list(out):
            value.data = math.nextafter(value.data, 9.0)
        return out

    @contextmanager
    def crooked():
        with fused(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine.nn.Layer, "__call__", crooked_call)
            yield

    engines["fused"] = (engine, crooked)
    monkeypatch.setattr(fuzz_layers, "load_engines", lambda: engines)
    assert fuzz_layers.main(["--programs", "1", "--seed", "1000"]) == 1
    complaint, steps, shortened, total = capsys.readouterr().out.splitlines()
    assert complaint.startswith("program 1000: fused: ")
    assert "'call'" in steps
    assert steps.count("(") < 1 + len(random_program(1000).steps)
    assert shortened.strip().startswith("fused: ")
    assert total == "seed 1000: 1 programs, 1 with a difference"
