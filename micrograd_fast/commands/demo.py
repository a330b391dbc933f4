"""The command ``demo``: train on two moons and draw what was learned."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import natural, nonnegative, positive, seed

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Describe the command."""
    demo = commands.add_parser(
        "demo",
        help="train a network on two moons and draw what it learned",
        description="Train a network on two moons with the compiled engine, next to the"
        " pure-Python one, and draw the decision boundary and the loss.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--steps", type=positive, default=100, help="training steps")
    demo.add_argument(
        "--reference-steps",
        type=natural,
        default=20,
        help="how many of them the pure-Python engine takes too",
    )
    demo.add_argument(
        "--no-reference",
        dest="reference_steps",
        action="store_const",
        const=0,
        # The default is the one of --reference-steps, which writes to the same place.
        default=argparse.SUPPRESS,
        help="leave the pure-Python engine out",
    )
    demo.add_argument("--seed", type=seed, default=1337, help="of the points and the weights")
    demo.add_argument("--points", type=positive, default=100, help="number of points")
    demo.add_argument("--noise", type=nonnegative, default=0.1, help="spread of the points")
    demo.add_argument("--out", type=Path, default=Path("moons-demo"), help="folder for pictures")
    demo.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> None:
    """Train, compare and draw."""
    from micrograd_fast import demo

    demo.run(
        n_steps=args.steps,
        n_reference_steps=args.reference_steps,
        seed=args.seed,
        n_points=args.points,
        noise=args.noise,
        out=args.out,
    )
