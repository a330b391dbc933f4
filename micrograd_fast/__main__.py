"""The command line: ``python -m micrograd_fast`` and ``micrograd-fast``."""

from __future__ import annotations

import importlib
import os
import sys

from micrograd_fast import __version__
from micrograd_fast.commands.options import Parser, Refused

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

# Every command, and the module that describes it.
COMMANDS = {
    "demo": "micrograd_fast.commands.demo",
    "train": "micrograd_fast.commands.train",
    "predict": "micrograd_fast.commands.predict",
    "run": "micrograd_fast.commands.run",
    "info": "micrograd_fast.commands.info",
}

_CLOSED_PIPE = 141  # as the shell has it for a program that the signal of a closed pipe ends
_INTERRUPTED = 130


def build_parser(names: Iterable[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Describe the command line, or only the commands of some names."""
    parser = Parser(
        prog="python -m micrograd_fast",
        description="Scalar automatic differentiation with a C engine.",
    )
    parser.add_argument("--version", action="version", version=f"micrograd_fast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in names:
        importlib.import_module(COMMANDS[name]).add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Only the file of the command that is asked for is imported.
    names = [name for name in arguments[:1] if name in COMMANDS] or COMMANDS
    args = build_parser(names).parse_args(arguments)
    try:
        if args.command == "run":
            return args.run(args) or 0
        return _run_ours(args)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run_ours(args: argparse.Namespace) -> int:
    """Run a command that writes for itself, wherever its text goes."""
    for stream in (sys.stdout, sys.stderr):
        # A name in a terminal without UTF-8 is shown with escapes rather than not at all.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
    except Refused as error:
        print(f"micrograd-fast {args.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Otherwise Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    return status


if __name__ == "__main__":
    sys.exit(main())
