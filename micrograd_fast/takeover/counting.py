"""End a program after so many training steps, whichever engine it runs on."""

from __future__ import annotations

import sys
from typing import Any

from ..engine import Value
from .stand_in import looks_like_micrograd


class EnoughSteps(SystemExit):
    """So many calls of `backward` were wanted, and another one has begun."""


class StepCounter:
    """Counts the calls of `backward` of every class like micrograd's that a program has.

    Parameters
    ----------
    n_steps : int
        The call after so many ends the program.
    """

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self._n_calls = 0
        self._is_counting = True

    def watch(self, takeover: Any) -> None:
        """Count what a takeover replaces, or would replace."""
        replaced = takeover.replaced

        def replaced_and_counted(made: Any, *where: Any) -> Any:
            if not isinstance(made, type) or not looks_like_micrograd(made):
                return made
            # What a trial propagates is no step.
            self._is_counting = False
            try:
                result = replaced(made, *where)
            finally:
                self._is_counting = True
            # A stand-in has the backward of Value, which is counted already.
            return self.counted(made) if result is made else result

        takeover.replaced = replaced_and_counted
        if not takeover.only_watch:
            self.counted(Value)

    def counted(self, cls: Any) -> Any:
        """Let a class count, and return it."""
        backward = cls.backward

        def count(value: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._is_counting:
                return backward(value, *args, **kwargs)
            if self._n_calls == self._n_steps:
                sys.stdout.flush()
                raise EnoughSteps(0)
            self._n_calls += 1
            self._is_counting = False  # of a backward that calls itself
            try:
                return backward(value, *args, **kwargs)
            finally:
                self._is_counting = True

        cls.backward = count
        return cls
