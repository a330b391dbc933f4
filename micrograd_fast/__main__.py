"""The command line: ``python -m micrograd_fast demo`` and ``python -m micrograd_fast info``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from micrograd_fast import __version__, show_config


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m micrograd_fast",
        description="Scalar automatic differentiation with a C engine.",
    )
    parser.add_argument("--version", action="version", version=f"micrograd_fast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

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

    info = commands.add_parser("info", help="print versions, build, instruction set and threads")
    info.set_defaults(run=run_info)
    return parser


def natural(text: str) -> int:
    """Read a whole number from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, found {number}")
    return number


def seed(text: str) -> int:
    """Read a whole number that NumPy takes as a seed."""
    number = natural(text)
    if number >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a number below 2**32, found {number}")
    return number


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, found {number}")
    return number


def nonnegative(text: str) -> float:
    """Read a number that is not below 0."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number not below 0, found {number}")
    return number


def run_demo(args: argparse.Namespace) -> None:
    """Train, compare and draw."""
    # Imported here because it is of no use to the other commands.
    from micrograd_fast import demo

    demo.run(
        n_steps=args.steps,
        n_reference_steps=args.reference_steps,
        seed=args.seed,
        n_points=args.points,
        noise=args.noise,
        out=args.out,
    )


def run_info(args: argparse.Namespace) -> None:
    """Print what a report about a problem should say."""
    show_config()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
