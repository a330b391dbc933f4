"""What the commands have in common: how a number is read, and what is said where one is wrong."""

from __future__ import annotations

import argparse
import math

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


class Refused(Exception):
    """Something that a user gave cannot be used; the message is the one line that says why."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the whole usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def require(module: str, command: str, extra: str) -> Any:
    """Import what a command needs beyond the plain install.

    Raises
    ------
    Refused
        If it is not installed, with what to install.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        name = {"sklearn": "scikit-learn"}.get(package, package)
        raise Refused(f'{command} needs {name}: pip install "micrograd_fast[{extra}]"') from None


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a whole number, found {text!r}") from None


def natural(text: str) -> int:
    """Read a whole number from 0 on."""
    number = whole(text)
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
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, found {number}")
    return number


def real(text: str) -> float:
    """Read a number, which may be an infinity or nan."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a number, found {text!r}") from None


def nonnegative(text: str) -> float:
    """Read a finite number that is not below 0."""
    number = real(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number not below 0, found {number}")
    return number


def above_zero(text: str) -> float:
    """Read a finite number above 0."""
    number = real(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, found {number}")
    return number


def share(text: str) -> float:
    """Read a number from 0 on and below 1."""
    number = real(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 on and below 1, found {number}")
    return number


def sizes(text: str) -> list[int]:
    """Read whole numbers from 1 on with commas between them."""
    return [positive(part.strip()) for part in text.split(",")]
