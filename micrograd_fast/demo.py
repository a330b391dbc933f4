"""Two moons: train a small network on the compiled engine, next to the pure-Python one.

Two interleaved half circles of points are told apart by an `MLP(2, [16, 16, 1])`: a max-margin
loss with a small weight penalty, plain gradient descent on all points at once, and a learning
rate that falls from 1.0 to 0.1. Both engines start from the same weights and take the same steps,
so their losses must agree to the last bit; the demo checks that at every step they share.

NumPy, scikit-learn, Matplotlib and tqdm come with the extra ``demo``.
"""

import importlib
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import micrograd_fast
from micrograd_fast import reference

PENALTY = 1e-4  # weight of the squared parameters in the loss
N_GRID = 100  # points along either axis at which the trained network is drawn
COLORS = ("tab:red", "tab:blue")  # of the labels -1 and 1

Points = list[list[float]]
Labels = list[int]


@dataclass
class Run:
    """A network on one engine, and what its training steps gave."""

    engine: Any  # what holds Value and MLP
    model: Any
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def require(module: str) -> Any:
    """Import what the demo needs beyond the plain install, or end with how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f"The demo needs {module} ({error}). This installs all it needs:\n"
            '    python -m pip install "micrograd_fast[demo]"'
        ) from error


def two_moons(n_points: int, noise: float, seed: int) -> tuple[Points, Labels]:
    """Draw the points of two interleaved half circles.

    Parameters
    ----------
    n_points : int
        How many, both moons together.
    noise : float
        Standard deviation of what is added to each coordinate.
    seed : int
        Decides the points.

    Returns
    -------
    points : list of list of float
        Two coordinates each.
    labels : list of int
        -1 for the upper moon, 1 for the lower.
    """
    datasets = require("sklearn.datasets")
    points, moons = datasets.make_moons(n_samples=n_points, noise=noise, random_state=seed)
    return points.tolist(), [2 * moon - 1 for moon in moons.tolist()]


def start(engine: Any, seed: int) -> Run:
    """Make the network of one engine; the same seed gives the same weights on every engine."""
    random.seed(seed)
    return Run(engine, engine.MLP(2, [16, 16, 1]))


def objective(run: Run, points: Points, labels: Labels) -> tuple[Any, float]:
    """Put every point through the network.

    Parameters
    ----------
    run : Run
        The network and its engine.
    points : list of list of float
        Two coordinates each.
    labels : list of int
        -1 or 1 for each point.

    Returns
    -------
    loss : Value
        The mean of ``relu(1 - label * score)``, plus the weight penalty.
    accuracy : float
        The share of points whose score has the sign of the label.
    """
    scores = [run.model([run.engine.Value(x) for x in point]) for point in points]
    losses = [(1 + -label * score).relu() for label, score in zip(labels, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    penalty = PENALTY * sum(p * p for p in run.model.parameters())
    n_right = sum(
        (label > 0) == (score.data > 0) for label, score in zip(labels, scores, strict=True)
    )
    return data_loss + penalty, n_right / len(labels)


def learning_rate(step: int, n_steps: int) -> float:
    """Fall from 1.0 to 0.1 over the training."""
    return 1.0 - 0.9 * step / n_steps


def train_step(run: Run, points: Points, labels: Labels, rate: float) -> None:
    """Take one step of gradient descent on all points and note its loss and its time."""
    began = time.perf_counter()
    loss, accuracy = objective(run, points, labels)
    run.model.zero_grad()
    loss.backward()
    for p in run.model.parameters():
        p.data -= rate * p.grad
    run.seconds.append(time.perf_counter() - began)
    run.losses.append(loss.data)
    run.accuracies.append(accuracy)


def train_together(
    fast: Run, slow: Run, points: Points, labels: Labels, n_steps: int, n_slow_steps: int
) -> None:
    """Take `n_steps` with the one and the first `n_slow_steps` of them with the other too.

    Raises
    ------
    SystemExit
        If the losses of a step differ in any bit.
    """
    tqdm = require("tqdm").tqdm
    with tqdm(total=n_steps, unit="step", disable=None) as progress:
        for step in range(n_steps):
            rate = learning_rate(step, n_steps)
            train_step(fast, points, labels, rate)
            if step < n_slow_steps:
                train_step(slow, points, labels, rate)
                # As text, a loss that is not a number equals itself.
                if fast.losses[step].hex() != slow.losses[step].hex():
                    raise SystemExit(
                        f"step {step}: the loss is {fast.losses[step]!r} on the compiled engine"
                        f" and {slow.losses[step]!r} on the pure-Python one; they must be equal"
                    )
            progress.set_postfix(
                loss=f"{fast.losses[-1]:.4f}", accuracy=f"{fast.accuracies[-1]:.0%}"
            )
            progress.update()


def draw_boundary(run: Run, points: Points, labels: Labels, path: Path) -> None:
    """Save a picture of the points over the sign of the trained network's score."""
    numpy = require("numpy")
    figure = require("matplotlib.figure").Figure(figsize=(6, 4.5), layout="constrained")
    coordinates = numpy.array(points)
    low, high = coordinates.min(axis=0) - 0.5, coordinates.max(axis=0) + 0.5
    xs, ys = numpy.linspace(low, high, N_GRID).T
    scores = numpy.array([[run.model([x, y]).data for x in xs.tolist()] for y in ys.tolist()])

    axes = figure.add_subplot(
        title=f"two moons, {run.accuracies[-1]:.0%} of {len(labels)} points right",
        xlabel="x",
        ylabel="y",
        aspect="equal",
    )
    levels = [-numpy.inf, 0.0, numpy.inf]
    axes.contourf(xs, ys, scores, levels=levels, colors=COLORS, alpha=0.3)
    for moon, label, color in zip(("upper", "lower"), (-1, 1), COLORS, strict=True):
        of_moon = coordinates[numpy.array(labels) == label]
        axes.scatter(*of_moon.T, c=color, edgecolors="black", s=35, label=f"{moon} moon")
    axes.legend()
    figure.savefig(path, dpi=120)


def draw_loss(fast: Run, slow: Run, path: Path) -> None:
    """Save a picture of the loss over the steps, of both engines where both trained."""
    figure = require("matplotlib.figure").Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(title="two moons", xlabel="step", ylabel="loss", yscale="log")
    axes.plot(fast.losses, label="compiled engine")
    if slow.losses:
        axes.plot(slow.losses, "o", markersize=4, label="pure-Python engine")
    axes.legend()
    figure.savefig(path, dpi=120)


def report(fast: Run, slow: Run, pictures: Sequence[Path]) -> None:
    """Print what was reached, and the time of a step on each engine."""
    print(
        f"after {len(fast.losses)} steps: loss {fast.losses[-1]:.6f},"
        f" accuracy {fast.accuracies[-1]:.1%}"
    )
    fast_ms = 1e3 * statistics.median(fast.seconds)
    print(f"compiled engine     {fast_ms:8.2f} ms a step (median of {len(fast.seconds)})")
    if slow.seconds:
        slow_ms = 1e3 * statistics.median(slow.seconds)
        print(f"pure-Python engine  {slow_ms:8.2f} ms a step (median of {len(slow.seconds)})")
        print(
            f"ratio               {slow_ms / fast_ms:8.1f}, and the {len(slow.losses)} losses"
            " of both agree to the last bit"
        )
    for picture in pictures:
        print(f"wrote {picture}")


def run(
    n_steps: int, n_reference_steps: int, seed: int, n_points: int, noise: float, out: Path
) -> None:
    """Train on both engines, compare them, and write ``moons.png`` and ``loss.png``.

    Parameters
    ----------
    n_steps : int
        Training steps on the compiled engine.
    n_reference_steps : int
        How many of them the pure-Python engine takes too; 0 leaves it out.
    seed : int
        Decides the points and the first weights.
    n_points : int
        How many points, at least one.
    noise : float
        Standard deviation of what is added to each coordinate.
    out : Path
        Folder for the pictures; made if it is not there.

    Raises
    ------
    SystemExit
        If something that the extra ``demo`` installs is missing, the folder cannot be made, or
        the engines disagree. Missing parts are reported before the training, not after it.
    """
    for module in ("numpy", "sklearn.datasets", "matplotlib.figure", "tqdm"):
        require(module)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"cannot make the folder for the pictures: {error}") from error
    points, labels = two_moons(n_points, noise, seed)
    fast = start(micrograd_fast, seed)
    slow = start(reference, seed)
    n_parameters = len(fast.model.parameters())
    print(f"two moons: {n_points} points, a network of {n_parameters} parameters")

    train_together(fast, slow, points, labels, n_steps, min(n_steps, n_reference_steps))
    pictures = [out / "moons.png", out / "loss.png"]
    draw_boundary(fast, points, labels, pictures[0])
    draw_loss(fast, slow, pictures[1])
    report(fast, slow, pictures)
