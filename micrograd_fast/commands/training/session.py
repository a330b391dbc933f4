"""The epochs of a training: progress, checkpoints, early stopping and Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time

from ..options import Refused, require
from . import folder as files

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    import numpy.typing as npt

    from .learner import Learner

SECONDS_BETWEEN_CHECKPOINTS = 1.0


class Stop:
    """Whether Ctrl-C was pressed."""

    is_asked_for = False


@contextlib.contextmanager
def _finishing_the_epoch() -> Iterator[Stop]:
    """Let the first Ctrl-C wait for the end of an epoch; the second is Python's own."""
    stop = Stop()
    # Only the main thread may set handlers, and only it gets the signal.
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        stop.is_asked_for = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def run(
    learner: Learner,
    n_epochs: int,
    rows: npt.NDArray[np.float64],
    held_out: npt.NDArray[np.float64],
    folder: str,
) -> str:
    """Train until an epoch is done, and write checkpoints.

    Returns
    -------
    str
        Why it ended: "done", "early" or "interrupted".

    Raises
    ------
    KeyboardInterrupt
        At a second Ctrl-C. The last checkpoint is at most a second, or an epoch, old.
    Refused
        If the loss is no number any more, or a checkpoint cannot be written. The last checkpoint
        is left.
    """
    tqdm = require("tqdm", "train", "train").tqdm
    files.write_checkpoint(folder, learner)
    written = time.monotonic()
    ended = "done"
    with (
        _finishing_the_epoch() as stop,
        # Nothing where no terminal is watching.
        tqdm(total=n_epochs, initial=learner.epoch, unit="epoch", disable=None) as progress,
    ):
        while learner.epoch < n_epochs:
            if stop.is_asked_for:
                ended = "interrupted"
                break
            if learner.has_stopped_early:
                ended = "early"
                break
            _epoch(learner, rows, held_out)
            progress.set_postfix(
                loss=f"{learner.history['loss'][-1]:.4f}",
                rate=f"{learner.history['rate'][-1]:.2g}",
                refresh=False,
            )
            progress.update()
            if time.monotonic() - written > SECONDS_BETWEEN_CHECKPOINTS:
                files.write_checkpoint(folder, learner)
                written = time.monotonic()
        files.write_checkpoint(folder, learner)
    return ended


def _epoch(
    learner: Learner, rows: npt.NDArray[np.float64], held_out: npt.NDArray[np.float64]
) -> None:
    number = learner.epoch + 1
    try:
        loss = learner.train(rows)
        judged = learner.loss(held_out) if len(held_out) else None
    except (ArithmeticError, ValueError) as error:
        # What exp, log and the like raise where numbers have grown out of bounds.
        raise Refused(_diverged(number, " ".join(str(error).split()))) from None
    if not (math.isfinite(loss) and learner.is_finite):
        raise Refused(_diverged(number, f"the loss is {loss}"))
    learner.finish_epoch(loss, judged)


def _diverged(epoch: int, why: str) -> str:
    return (
        f"epoch {epoch}: the training has diverged ({why}); a smaller --lr may help;"
        " the last good checkpoint is left"
    )
