"""The command line: ``python -m micrograd_fast demo``, ``run`` and ``info``."""

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

    add_run(commands)

    info = commands.add_parser("info", help="print versions, build, instruction set and threads")
    info.set_defaults(run=run_info)
    return parser


def add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command that runs programs."""
    run = commands.add_parser(
        "run",
        help="run a program that is written for micrograd, or has a class like it, on this engine",
        description="Run a script as python does, with its imports of micrograd, and its own"
        " classes that compute what micrograd's Value does, replaced. What it prints stays the"
        " same, to the last digit. A line on stderr says what was replaced, or why not.",
        usage="%(prog)s [--plain] [--report] [--check N] (SCRIPT | -m MODULE) [ARGS ...]",
    )
    run.add_argument("-m", dest="is_module", action="store_true", help="run a module by its name")
    run.add_argument(
        "--plain",
        action="store_true",
        help="leave sums of products and loops over parameters as they are written",
    )
    run.add_argument(
        "--report",
        action="store_true",
        help="say at the end what was replaced and how long it took",
    )
    run.add_argument(
        "--check",
        type=step_limit,
        metavar="N",
        help="run N training steps (or N seconds, as in 10s) with and without micrograd_fast, and"
        " compare what is printed, line by line",
    )
    run.add_argument("--as-is", action="store_true", help=argparse.SUPPRESS)
    run.add_argument("--stop-after", type=natural, metavar="N", help=argparse.SUPPRESS)
    run.add_argument("target", metavar="SCRIPT", help="the script, or the module after -m")
    run.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="its arguments")
    run.set_defaults(run=run_program)


def step_limit(text: str) -> str:
    """Read a number of steps, or of seconds with an s."""
    try:
        is_good = float(text[:-1]) > 0 if text.endswith("s") else int(text) > 0
    except ValueError:
        is_good = False
    if not is_good:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of steps above 0, or of seconds as in 10s, found {text!r}"
        )
    return text


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


def run_program(args: argparse.Namespace) -> int:
    """Run a script or module; return its exit status."""
    from micrograd_fast.takeover import comparison, say, script

    if args.check is not None:
        command = ["--plain"] if args.plain else []
        command += ["-m"] if args.is_module else []
        command += [args.target, *args.arguments]
        return comparison.compare(command, args.check, args.report, say)
    try:
        return script.run(
            args.target,
            args.arguments,
            is_module=args.is_module,
            plain=args.plain,
            report=args.report,
            as_is=args.as_is,
            n_steps=args.stop_after,
        )
    except script.CannotRun as error:
        say(f"micrograd_fast run: {error}")
        return script.CANNOT_OPEN


def run_info(args: argparse.Namespace) -> None:
    """Print what a report about a problem should say."""
    show_config()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
