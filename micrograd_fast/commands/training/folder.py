"""What ``train`` leaves in a folder, and how it is read again.

``model.json`` says what the model is and is written once, before the first epoch.
``checkpoint.safetensors`` is the whole training after its last epoch: one file, replaced in one
step, so that weights, optimizer, schedule and history always belong together.
``model.safetensors`` are the weights that ``predict`` uses.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from typing import Any

from micrograd_fast.io import load_model, save_model

from ..options import Refused
from .encoding import Encoding
from .learner import HISTORY, build_model

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from micrograd_fast.nn import MLP

    from .learner import Learner

_FORMAT = "micrograd_fast training 1"
ABOUT = "model.json"
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
HISTORY_FILE = "history.csv"
REPORT = "report.html"


def prepare(folder: str, overwrite: bool) -> None:
    """Make a folder for a new training, or make sure that one may be used for it.

    Raises
    ------
    Refused
        If there is something in it that was not left by ``train``, or there is and `overwrite` is
        false; or it cannot be made or written.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        entries = os.listdir(folder)
        if entries and not _is_ours(folder):
            raise Refused(
                f"the folder {folder} must be empty or of an earlier train,"
                f" found {sorted(entries)[0]!r} in it"
            )
        if entries and not overwrite:
            raise Refused(
                f"the folder {folder} has a model: --resume goes on with it,"
                " --overwrite begins anew"
            )
        # A stale checkpoint would not belong to the new model.json.
        for name in (CHECKPOINT, MODEL, HISTORY_FILE, REPORT):
            if name in entries:
                os.remove(os.path.join(folder, name))
        write_text(folder, ".writable", "")
        os.remove(os.path.join(folder, ".writable"))
    except OSError as error:
        raise Refused(f"cannot write in the folder {folder}: {error.strerror}") from None


def _is_ours(folder: str) -> bool:
    try:
        return read_about_file(folder).get("format") == _FORMAT
    except Refused:
        return False


def read_about_file(folder: str) -> dict[str, Any]:
    """The content of ``model.json``."""
    path = os.path.join(folder, ABOUT)
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
    except OSError as error:
        raise Refused(f"{folder} has no model of train: {ABOUT}: {error.strerror}") from None
    except ValueError as error:
        raise Refused(f"{path} is damaged: {error}") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise Refused(f"{path} must be of the format {_FORMAT!r}, found another file")
    return about


def write_about(folder: str, encoding: Encoding, options: dict[str, Any], digest: str) -> None:
    """Write ``model.json``."""
    about = {
        "format": _FORMAT,
        "options": options,
        "encoding": dataclasses.asdict(encoding),
        "data": digest,
    }
    write_text(folder, ABOUT, json.dumps(about, indent=2) + "\n")


def read_about(folder: str) -> tuple[Encoding, dict[str, Any], str]:
    """Read what `write_about` wrote: the encoding, the options, the digest of the data."""
    about = read_about_file(folder)
    try:
        return Encoding(**about["encoding"]), dict(about["options"]), str(about["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{os.path.join(folder, ABOUT)} is damaged: {error}") from None


def write_text(folder: str, name: str, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    path = os.path.join(folder, name)
    partial = f"{path}.{os.getpid()}.part"
    try:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


def write_checkpoint(folder: str, learner: Learner) -> None:
    """Write where the training is, and the weights to predict with.

    Raises
    ------
    Refused
        If they cannot be written, such as on a full disk; the checkpoint before is left then.
    """
    try:
        path = os.path.join(folder, CHECKPOINT)
        save_model(path, learner.model, learner.optimizer, learner)
        now = learner.parameters()
        try:
            learner.use(learner.best)
            save_model(os.path.join(folder, MODEL), learner.model)
        finally:
            learner.use(now)
    except OSError as error:
        raise Refused(f"cannot write in the folder {folder}: {error.strerror}") from None


def read_checkpoint(folder: str, learner: Learner) -> None:
    """Bring a learner to where `write_checkpoint` was."""
    path = os.path.join(folder, CHECKPOINT)
    try:
        load_model(path, learner.model, learner.optimizer, learner)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise Refused(_one_line(str(error))) from None


def read_model(folder: str, encoding: Encoding, options: dict[str, Any]) -> MLP:
    """The network that ``predict`` uses."""
    path = os.path.join(folder, MODEL)
    try:
        model = build_model(encoding, options)
        load_model(path, model)
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(_one_line(str(error))) from None
    return model


def write_history(folder: str, learner: Learner) -> None:
    """Write a row for each epoch to ``history.csv``."""
    import io

    names = [name for name in HISTORY if learner.history[name]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *names])
    columns = [learner.history[name] for name in names]
    writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*columns, strict=True), 1))
    write_text(folder, HISTORY_FILE, text.getvalue())


def _one_line(text: str) -> str:
    return " ".join(text.split())
