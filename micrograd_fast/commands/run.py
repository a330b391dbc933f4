"""The command ``run``: run a program that is written for micrograd on this engine."""

from __future__ import annotations

import argparse

from .options import natural

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Describe the command."""
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
