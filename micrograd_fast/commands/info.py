"""The command ``info``: what a report about a problem should say."""

from __future__ import annotations

import argparse

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .options import Commands


def add(commands: Commands) -> None:
    """Describe the command."""
    info = commands.add_parser("info", help="print versions, build, instruction set and threads")
    info.set_defaults(run=run_info)


def run_info(args: argparse.Namespace) -> None:
    """Print what runs here."""
    from micrograd_fast import show_config

    show_config()
