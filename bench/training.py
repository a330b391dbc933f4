"""The rows of training: one step on both sides, from the same weights and on the same samples."""

import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import micrograd_fast
from micrograd_fast import _core, cross_entropy, demo, hinge_loss, reference
from micrograd_fast.optim import SGD

from .kinds import AT_LEAST, AT_MOST, Result, SizedRow, TimedRow, peer
from .timing import ROOT, Effort, MissingPeerError, Side, repeated

DIGITS = [64, 64, 32, 10]
LARGE = [784, 256, 128, 10]
N_CHECKED_STEPS = 5
# The same step is taken again and again, and must stay the same work: with a rate that teaches
# something, the gradients would come to be numbers too small for the processor's fast ways.
DIGITS_RATE = 1e-6
MOONS_RATE = demo.learning_rate(0, 100)

# Two moons ---------------------------------------------------------------------------------------


def moons_loop(engine) -> Side:
    """Time a step of the published two-moons training, after two that are checked."""
    peer("sklearn.datasets")
    points, labels = demo.two_moons(100, 0.1, 1337)
    run = demo.start(engine, 1337)

    def step():
        demo.train_step(run, points, labels, MOONS_RATE)

    step()
    step()
    return Side([*run.losses, *(p.data for p in run.model.parameters())], repeated(step))


def moons_micrograd() -> Side:
    """Time the same step on micrograd itself."""
    engine, nn = peer("micrograd.engine"), peer("micrograd.nn")
    return moons_loop(SimpleNamespace(Value=engine.Value, MLP=nn.MLP))


def moons_unfused() -> Side:
    """Time the same step with every node of the scalar graph made at once."""
    _core.fuse(False)
    return moons_loop(micrograd_fast)


def moons_library() -> Side:
    """Time the same training as a program writes it with what the library has."""
    numpy = peer("numpy")
    peer("sklearn.datasets")
    points, labels = demo.two_moons(100, 0.1, 1337)
    points, labels = numpy.array(points), numpy.array(labels)
    model = demo.start(micrograd_fast, 1337).model
    # The derivative of the penalty is twice the parameter.
    optimizer = SGD(model.parameters(), lr=MOONS_RATE, weight_decay=2 * demo.PENALTY)

    def step():
        loss = hinge_loss(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    penalties = [demo.PENALTY * sum(p.data * p.data for p in model.parameters())]
    losses = [step()]
    penalties.append(demo.PENALTY * sum(p.data * p.data for p in model.parameters()))
    losses.append(step())
    totals = [loss + penalty for loss, penalty in zip(losses, penalties, strict=True)]
    return Side([*totals, *(p.data for p in model.parameters())], repeated(step))


def moons_torch() -> Side:
    """Time the same step on PyTorch's tensors of all points at once."""
    torch = torch_with_one_thread()
    peer("sklearn.datasets")
    points, labels = demo.two_moons(100, 0.1, 1337)
    model = torch_twin(torch, demo.start(micrograd_fast, 1337).model)
    points = torch.tensor(points, dtype=torch.float64)
    labels = torch.tensor(labels, dtype=torch.float64)[:, None]
    optimizer = torch.optim.SGD(model.parameters(), lr=MOONS_RATE)

    def step():
        hinge = (1 - labels * model(points)).relu().mean()
        loss = hinge + demo.PENALTY * sum((p * p).sum() for p in model.parameters())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Side([step(), step(), *torch_numbers(torch, model)], repeated(step))


# Networks that name one of ten classes -----------------------------------------------------------


def classifier(sizes: list[int], n_rows: int):
    """Make a network, images and classes, the same ones every time."""
    random.seed(1337)
    model = micrograd_fast.MLP(sizes[0], sizes[1:])
    for layer in model.layers:
        for neuron in layer.neurons:
            for w in neuron.w:
                w.data *= (6 / len(neuron.w)) ** 0.5
    images = [[random.random() for _ in range(sizes[0])] for _ in range(n_rows)]
    return model, images, [random.randrange(sizes[-1]) for _ in range(n_rows)]


def classify(sizes: list[int], batch_size: int) -> Side:
    """Time a step of cross entropy and gradient descent on one sample or a batch of them."""
    numpy = peer("numpy")
    model, images, classes = classifier(sizes, batch_size)
    optimizer = SGD(model.parameters(), lr=DIGITS_RATE)
    x, y = (numpy.array(images), classes) if batch_size > 1 else (images[0], classes[0])

    def step():
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    return Side([step() for _ in range(N_CHECKED_STEPS)], repeated(step))


def classify_torch(sizes: list[int], batch_size: int, dtype: str = "float64") -> Side:
    """Time the same step on PyTorch."""
    torch = torch_with_one_thread()
    model, images, classes = classifier(sizes, batch_size)
    twin = torch_twin(torch, model).to(getattr(torch, dtype))
    images, classes = torch.tensor(images, dtype=getattr(torch, dtype)), torch.tensor(classes)
    optimizer = torch.optim.SGD(twin.parameters(), lr=DIGITS_RATE)

    def step():
        loss = torch.nn.functional.cross_entropy(twin(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Side([step() for _ in range(N_CHECKED_STEPS)], repeated(step))


# PyTorch's side ----------------------------------------------------------------------------------


def torch_with_one_thread():
    """Import PyTorch for one thread, which is what this engine has."""
    torch = peer("torch")
    torch.set_num_threads(1)
    return torch


def torch_twin(torch, model):
    """Make the same network in PyTorch, in double precision and from the same weights."""
    parts = []
    for layer in model.layers:
        n_inputs, n_neurons = len(layer.neurons[0].w), len(layer.neurons)
        linear = torch.nn.Linear(n_inputs, n_neurons, dtype=torch.float64)
        weights = [[w.data for w in neuron.w] for neuron in layer.neurons]
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weights, dtype=torch.float64))
            linear.bias.copy_(
                torch.tensor([neuron.b.data for neuron in layer.neurons], dtype=torch.float64)
            )
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def torch_numbers(torch, model, of=lambda parameter: parameter) -> list[float]:
    """Read the parameters, or what goes with each, neuron by neuron with the bias last."""
    numbers = []
    for linear in model:
        if isinstance(linear, torch.nn.Linear):
            rows = torch.cat([of(linear.weight), of(linear.bias)[:, None]], dim=1)
            numbers += rows.flatten().tolist()
    return numbers


# Memory ------------------------------------------------------------------------------------------


def measure_footprint(effort: Effort) -> Result:
    """Build a model in a fresh process and see what it and a step's graph take in memory."""
    if not Path("/proc/self/statm").exists():
        raise MissingPeerError("resident memory is only read on Linux")

    def measured(package: str, n_hidden: int) -> dict[str, float]:
        command = [sys.executable, "-m", "bench.footprint", package, str(n_hidden)]
        child = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(child.stdout)

    n_hidden, n_other = 1024 // (effort.scale // 10 or 1), 64
    other = measured("micrograd_fast.reference", n_other)
    small = measured("micrograd_fast", n_other)
    if small["loss"] != other["loss"] or small["gradient"] != other["gradient"]:
        raise SystemExit(f"the two sides differ: {small} and {other}")
    ours = [measured("micrograd_fast", n_hidden) for _ in range(3)]
    figures = [sample["bytes"] for sample in ours]
    return Result(
        f"{statistics.median(figures):.1f} B",
        f"{other['bytes']:.0f} B",
        figures,
        f"{ours[0]['parameters']:,} parameters ({other['parameters']:,} on the other side), after"
        " forward and backward, with the graph still there",
    )


TRAINING_ROWS = [
    TimedRow(
        "moons",
        "one step of the two-moons training",
        "pure-Python engine",
        AT_LEAST,
        1000.0,
        " times faster",
        ours=lambda: moons_loop(micrograd_fast),
        other=lambda: moons_loop(reference),
        note="both sides have scikit-learn loaded, which draws the points",
    ),
    TimedRow(
        "moons-micrograd",
        "one step of the two-moons training",
        "micrograd from PyPI",
        AT_LEAST,
        None,
        " times faster",
        ours=lambda: moons_loop(micrograd_fast),
        other=moons_micrograd,
        relative=1e-12,  # it adds in an order that changes from run to run
        note="likewise",
    ),
    TimedRow(
        "moons-unfused",
        "one step of the two-moons training",
        "this engine, every node at once",
        AT_LEAST,
        8.0,
        " times faster",
        ours=lambda: moons_loop(micrograd_fast),
        other=moons_unfused,
    ),
    TimedRow(
        "moons-torch",
        "one step of the two-moons training",
        "PyTorch, all points in one tensor",
        AT_MOST,
        1.7,
        " times slower",
        ours=lambda: moons_loop(micrograd_fast),
        other=moons_torch,
        relative=1e-9,
    ),
    TimedRow(
        "moons-library",
        "the same with hinge_loss and optim.SGD",
        "PyTorch, all points in one tensor",
        AT_LEAST,
        1.0,
        " times faster",
        ours=moons_library,
        other=moons_torch,
        relative=1e-9,
        note="the L2 term is SGD's weight_decay; the other side has it in the loss",
    ),
    TimedRow(
        "digits-one",
        "64-64-32-10, a step on one sample",
        "PyTorch, float64",
        AT_LEAST,
        10.0,
        " times faster",
        ours=lambda: classify(DIGITS, 1),
        other=lambda: classify_torch(DIGITS, 1),
        relative=1e-9,
        note="forward, cross entropy, backward and SGD, in this row and the next two",
    ),
    TimedRow(
        "large-one",
        "784-256-128-10, a step on one sample",
        "PyTorch, float64",
        AT_LEAST,
        1.0,
        " times faster",
        ours=lambda: classify(LARGE, 1),
        other=lambda: classify_torch(LARGE, 1),
        relative=1e-9,
    ),
    TimedRow(
        "digits-batch",
        "64-64-32-10, a step on 32 samples",
        "PyTorch, float64",
        AT_MOST,
        2.0,
        " times slower",
        ours=lambda: classify(DIGITS, 32),
        other=lambda: classify_torch(DIGITS, 32),
        relative=1e-9,
    ),
    SizedRow(
        "footprint",
        "resident memory of a parameter, with a step's graph",
        "pure-Python engine",
        AT_MOST,
        128.0,
        " bytes",
        measure=measure_footprint,
    ),
]
