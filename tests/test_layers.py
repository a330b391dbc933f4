"""Fused layers cannot be told from the scalar graph: point 24 of the contract, over everything.

Each test compares the reference, the compiled engine without fusing and the compiled engine with
it, to the bit. What a test says of one program, the random lives at the end say of many.
"""

import math
import random
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import fuzz_layers
import numpy as np
import pytest
from layer_actions import ACTIONS, ACTIVATIONS
from random_layers import check, random_program
from support import (
    SPECIAL_NUMBERS,
    as_list,
    bits,
    gradients,
    live_nodes_after_collection,
    picture,
    run_python,
    same_everywhere,
    view,
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
    for neuron in [neuron for layer in model.layers for neuron in layer.neurons]:
        for w in neuron.w:
            w.data = w.data / len(neuron.w)
        # Where a logarithm or a root needs it, all below is positive
        neuron.b.data = 3.0 if activation in ("log", "sqrt") else 0.1
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


@pytest.mark.parametrize("activation", ACTIVATIONS)
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


def recurrent(engine):
    layer = engine.nn.Layer(4, 3, activation="tanh")
    state = [engine.Value(0.0) for _ in range(3)]
    for x in (0.5, -1.0, 2.0, 0.0):
        state = layer([x, *state])
    loss = engine.sum([s * s for s in state])
    loss.backward()
    return gradients(layer.parameters()), picture(loss)


def skip_connections(engine):
    first, second = engine.nn.Layer(3, 3), engine.nn.Layer(3, 3, activation="gelu")
    x = [engine.Value(v) for v in (0.3, -0.7, 1.1)]
    h = [a + b for a, b in zip(first(x), x)]
    out = [a * b + c for a, b, c in zip(second(h), h, x)]
    loss = engine.sum(out)
    loss.backward()
    loss.backward()
    return gradients(x), gradients(first.parameters()), picture(loss)


def concatenation_in_every_order(engine):
    first, second = engine.nn.Layer(2, 2), engine.nn.Layer(2, 2, activation="sigmoid")
    last = engine.nn.Neuron(4, activation="tanh")
    x = [engine.Value(0.4), engine.Value(-0.2)]
    a, b = first(x), second(x)
    # Each order in turn: the sums of x's gradient are different ones.
    seen = []
    for order in ([0, 1, 2, 3], [3, 0, 2, 1], [2, 3, 0, 1], [1, 3, 2, 0]):
        out = last([[*a, *b][i] for i in order])
        out.backward()
        seen.append(gradients([*x, *a, *b]))
    return seen, picture(out)


def layer_under_its_own_input(engine):
    """The inputs of a neuron, and its weights, used again under a later input of it."""
    neuron = engine.nn.Neuron(3, activation="tanh")
    x = engine.Value(0.7)
    inner = neuron([x, 0.25, 1.0])
    regular = neuron.w[0] * neuron.w[1] + neuron.b
    out = neuron([x, inner * x + regular, inner])
    out.backward()
    return gradients([x, inner, *neuron.parameters()]), picture(out)


def one_value_many_times(engine):
    layer = engine.nn.Layer(5, 2)
    x, y = engine.Value(0.1), engine.Value(0.3)
    out = engine.sum(layer([x, y, x, 2.0, x]))
    out.backward()
    return gradients([x, y]), picture(out)


def parameters_as_inputs(engine):
    layer, other = engine.nn.Layer(2, 3), engine.nn.Layer(3, 2)
    out = engine.sum(layer(other([layer.neurons[0].w[0], layer.neurons[1].b, 0.5])))
    out.backward()
    return gradients([*layer.parameters(), *other.parameters()]), picture(out)


def hidden_values_used_again(engine):
    first, second = engine.nn.Layer(2, 4), engine.nn.Layer(4, 1)
    h = first([0.5, engine.Value(-1.5)])
    out = second(h) + engine.sum([v * v for v in h]) + h[2].exp()
    out.backward()
    h[1].backward()
    return gradients(h), gradients(first.parameters()), picture(out)


def several_samples_and_a_regulariser(engine):
    model = engine.nn.MLP(2, [5, 4, 1], activation="silu")
    rows = np.arange(12.0).reshape(6, 2) / 10
    data_loss = engine.sum([(1 - model(row)).relu() for row in rows]) * (1.0 / 6)
    loss = data_loss + 1e-4 * sum(p * p for p in model.parameters())
    model.zero_grad()
    loss.backward()
    return bits(loss.data), gradients(model.parameters()), picture(loss)


def training(engine):
    model = engine.nn.MLP(3, [6, 5, 2], activation="leaky_relu")
    seen = []
    for step in range(8):
        outs = [model([0.1 * step, -0.5, engine.Value(k)]) for k in range(3)]
        loss = engine.sum([(v - 1.0) ** 2 for out in outs for v in out])
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
        seen.append((bits(loss.data), gradients(model.parameters())))
    return seen, picture(loss)


def several_roots_over_one_trunk(engine):
    trunk, heads = engine.nn.MLP(2, [4, 3]), engine.nn.Layer(3, 4, activation="elu")
    out = heads(trunk([0.6, engine.Value(0.9)]))
    seen = []
    for root in [*out, out[0], out[1] * out[2]]:
        root.backward()
        seen.append(gradients([*trunk.parameters(), *heads.parameters()]))
    out[3].zero_grad()
    out[3].backward()
    trunk.zero_grad()
    out[0].backward()
    return seen, view([*out, *trunk.parameters()])


def weights_that_change_in_between(engine):
    model = engine.nn.MLP(2, [3, 2])
    x = [engine.Value(0.5), engine.Value(0.25)]
    out = model(x)
    first, second = model.layers
    for i, p in enumerate(model.parameters()):
        p.data = 0.1 * i - 0.7
    x[0].data = 3.0
    out[0].backward()
    first.neurons[1].w[0].data = 10.0
    out[1].backward()
    second.neurons[0].b.data = x[1].data = -4.0
    both = out[0] + out[1]
    both.backward()
    return gradients([*x, *model.parameters()]), picture(both)


def hooks_on_parameters_and_inputs(engine):
    model = engine.nn.MLP(2, [3, 1])
    x = [engine.Value(0.5), engine.Value(0.25)]
    seen = []
    for watched in (x[1], model.layers[0].neurons[2].w[1], model.layers[1].neurons[0].b):
        watched._backward = lambda watched=watched: seen.append(gradients([watched, *x]))
        out = model(x)
        out.backward()
    return seen, picture(out)


def gradients_of_every_kind(engine):
    """-0.0 stays where nothing is added, and nothing is skipped that is not a number."""
    layer = engine.nn.Layer(3, 4)
    x = [engine.Value(0.5), 0.0, engine.Value(-0.0)]
    seen = []
    for number in (-0.0, math.inf, math.nan, 1e308, -1e308, 5e-324):
        out = layer(x)
        for p in [*layer.parameters(), x[0], x[2], out[1]]:
            p.grad = number
        for v in out:
            v.backward()
        (out[0] * 0.0).backward()
        seen.append(gradients([x[0], x[2], *out, *layer.parameters()]))
    return seen, view(out)


def numbers_of_every_kind(engine):
    seen = []
    for i, number in enumerate(SPECIAL_NUMBERS):
        layer = engine.nn.Layer(2, 3, activation=["relu", "tanh", "softplus", "abs"][i % 4])
        layer.neurons[1].w[0].data = number
        layer.neurons[2].b.data = number
        x = [engine.Value(number), engine.Value(SPECIAL_NUMBERS[-1 - i])]
        out = layer(x)
        (out[0] * 0.0 + out[1]).backward()
        out[2].backward()
        seen.append((gradients([*x, *layer.parameters()]), view(out)))
    return seen


def the_module_changes(engine):
    """Every way to replace a part of a module that has been called already."""
    Value, nn = engine.Value, engine.nn
    layer = nn.Layer(2, 3)
    x = [Value(0.5), 2.0]
    seen = []

    def run():
        out = engine.sum(as_list(layer(x)))
        out.backward()
        seen.append((gradients([x[0], *layer.parameters()]), picture(out)))

    changes = [
        lambda: None,
        lambda: layer.neurons[0].w.__setitem__(1, Value(0.75)),
        lambda: setattr(layer.neurons[1], "b", layer.neurons[0].b),
        lambda: layer.neurons.append(nn.Neuron(2, activation="tanh")),
        lambda: layer.neurons.__setitem__(0, layer.neurons[3]),
        lambda: layer.neurons.pop(3),
        lambda: setattr(layer.neurons[0], "w", [Value(1.0), Value(2.0)]),
        lambda: setattr(layer.neurons[1], "activation", "sigmoid"),
        lambda: setattr(layer.neurons[2], "nonlin", False),
        lambda: layer.neurons[2].__dict__.update(b=Value(-3.0)),
        lambda: vars(layer).update(neurons=[nn.Neuron(2) for _ in range(2)]),
        lambda: layer.neurons.reverse(),
        lambda: layer.neurons[0].w.reverse(),
        lambda: setattr(layer.neurons[0], "b", layer.neurons[0].w[0] * 2),
        lambda: setattr(layer, "neurons", layer.neurons[:1]),
    ]
    for change in changes:
        change()
        run()
    return seen


def patches_and_their_end(engine):
    Value, nn = engine.Value, engine.nn
    model = nn.MLP(2, [3, 1], activation="tanh")
    seen = []

    def run():
        out = model([0.5, Value(0.1)])
        out.backward()
        seen.append((gradients(model.parameters()), picture(out)))

    def own_tanh(self):
        out = Value(math.tanh(self.data), (self,), "own tanh")

        def _backward():
            self.grad += (1 - out.data**2) * out.grad

        out._backward = _backward
        return out

    run()
    add, call = Value.__add__, nn.Neuron.__call__
    for owner, name, patch in [
        (Value, "tanh", own_tanh),
        (Value, "__add__", lambda self, other: add(add(self, other), 0.25)),
        (nn.Neuron, "__call__", lambda self, x: call(self, x) * 2),
    ]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(owner, name, patch)
            run()
        run()
    return seen


def lists_from_outside(engine):
    """What can be given as inputs, and what cannot."""
    layer = engine.nn.Layer(3, 2)
    v = engine.Value(0.5)
    seen = []
    for x in (
        (1, 2.5, v),
        np.float32([0.1, 0.2, 0.3]),
        np.array([1, 2, 3]),
        np.array([v, 1, 2.0], dtype=object),
        (number for number in (1.0, 2.0, 3.0)),
        [True, False, 1],
        [np.float64(1.5), np.int64(2), v],
        [1.0, 2.0],
        [1.0, 2.0, 3.0, 4.0],
        [1.0, "2", 3.0],
        [1.0, None, 3.0],
        [1.0, 10**400, 3.0],
        [1.0, 2j, 3.0],
    ):
        try:
            seen.append(picture(engine.sum(layer(x))))
        except Exception as error:
            seen.append(type(error).__name__)
    return seen


SCENARIOS = [
    recurrent,
    skip_connections,
    concatenation_in_every_order,
    layer_under_its_own_input,
    one_value_many_times,
    parameters_as_inputs,
    hidden_values_used_again,
    several_samples_and_a_regulariser,
    training,
    several_roots_over_one_trunk,
    weights_that_change_in_between,
    hooks_on_parameters_and_inputs,
    gradients_of_every_kind,
    numbers_of_every_kind,
    the_module_changes,
    patches_and_their_end,
    lists_from_outside,
]


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

TESTS = Path(__file__).parent
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
    assert fuzz_layers.main(["--seconds", "0", "--seed", "1000"]) == 0
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
    assert fuzz_layers.main(["--seconds", "0", "--seed", "1000"]) == 1
    complaint, steps, shortened, total = capsys.readouterr().out.splitlines()
    assert complaint.startswith("program 1000: fused: ")
    assert "'call'" in steps
    assert steps.count("(") < 1 + len(random_program(1000).steps)
    assert shortened.strip().startswith("fused: ")
    assert total == "seed 1000: 1 programs, 1 with a difference"
