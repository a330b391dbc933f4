"""From options to a training that can begin, or go on; and what is left at its end."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from micrograd_fast.nn.layers import ACTIVATIONS

from ..options import Refused
from . import datasets, encoding, folder, learner, outcome, report, table

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    _Floats = npt.NDArray[np.float64]

_INTERRUPTED = 130


@dataclasses.dataclass
class Work:
    """A training: its data, how it is split, and the network."""

    name: str
    options: dict[str, Any]
    encoding: encoding.Encoding
    learner: learner.Learner
    rows: _Floats
    targets: _Floats
    training: npt.NDArray[np.intp]
    held_out: npt.NDArray[np.intp]
    training_rows: _Floats
    held_out_rows: _Floats

    def description(self) -> list[str]:
        """What is trained with what, for people."""
        classes = self.encoding.classes
        task = f"{len(classes)} classes" if classes else "a regression"
        sizes = [len(self.encoding.features), *self.options["layers"]]
        sizes.append(len(classes) if self.options["loss"] == "cross-entropy" else 1)
        scaled = "standardised" if self.options["standardise"] else "as they are"
        return [
            f"{self.name}: {len(self.rows)} rows, {sizes[0]} features ({scaled}),"
            f" target {self.encoding.target!r}: {task}",
            f"{len(self.training)} rows to train with, {len(self.held_out)} held out",
            f"network {'-'.join(map(str, sizes))}, {self.options['activation']},"
            f" {len(self.learner.model.parameters())} parameters;"
            f" {self.options['loss']}, {self.options['optimizer']}, rate {self.options['lr']:g},"
            f" {self.options['schedule']}",
        ]


@dataclasses.dataclass
class _Data:
    name: str
    features: list[str]
    rows: _Floats
    target: str
    cells: list[str]
    lines: list[int]
    digest: str


def begin(out: str, options: dict[str, Any], overwrite: bool) -> Work:
    """Check everything and make the folder; nothing is trained yet."""
    options = dict(options)
    data = _read(options)
    for name in ("target", "features"):
        if options["dataset"] is not None and options[name] is not None:
            raise Refused(f"--{name} must be left out with --dataset, found {options[name]}")
    if options["task"] is None:
        is_named = encoding.is_classification(data.cells)
        options["task"] = "classification" if is_named else "regression"
    where = f"{data.name}, column {data.target!r}"
    encoding.check_target(where, data.cells, data.lines, options["task"])
    _complete(options, data)
    training, _ = _split(len(data.rows), options)
    encoded = encoding.fit(
        *(data.features, data.rows, data.target, data.cells, options["task"], training),
        options["standardise"],
    )
    work = _work(options, data, encoded)
    folder.prepare(out, overwrite)
    folder.write_about(out, encoded, options, data.digest)
    return work


def resume(out: str, given: dict[str, Any]) -> Work:
    """Take up a training where its last checkpoint was.

    Raises
    ------
    Refused
        If an option is another than it was, but for the number of epochs, or the data has changed.
    """
    encoded, options, digest = folder.read_about(out)
    for name, found in given.items():
        if name == "features":
            found = _names(found)
        wanted = options.get(name)
        if name != "epochs" and found != wanted:
            raise Refused(
                f"--{name.replace('_', '-')} must be {wanted} as before to resume, found {found}"
            )
    epochs = given.get("epochs", options["epochs"])
    if options["schedule"] in ("cosine", "linear") and epochs > options["schedule_epochs"]:
        raise Refused(
            f"--epochs must be at most {options['schedule_epochs']}, where the schedule"
            f" {options['schedule']} ends, found {epochs}"
        )
    options["epochs"] = epochs
    data = _read(options)
    if data.digest != digest:
        raise Refused(f"{data.name} must be what it was when the training began, found other rows")
    work = _work(options, data, encoded)
    folder.read_checkpoint(out, work.learner)
    if work.learner.epoch > epochs:
        raise Refused(f"--epochs must be at least the {work.learner.epoch} done, found {epochs}")
    folder.write_about(out, encoded, options, digest)
    return work


def _read(options: dict[str, Any]) -> _Data:
    path, dataset = options["data"], options["dataset"]
    if (path is None) == (dataset is None):
        found = "none" if path is None else "both"
        raise Refused(f"the data must be a CSV file or a --dataset, found {found}")
    if dataset is not None:
        if options["samples"] < 4:
            raise Refused(f"--samples must be at least 4, found {options['samples']}")
        features, rows, classes = datasets.make(
            dataset, options["samples"], options["noise"], options["seed"]
        )
        lines = list(range(len(rows)))
        return _Data(dataset, features, rows, "class", classes, lines, _digest_of(rows, classes))
    if len(options["delimiter"]) != 1:
        raise Refused(f"--delimiter must be one character, found {options['delimiter']!r}")
    read = table.read_table(path, options["delimiter"])
    target = options["target"] or read.header[-1]
    cells = read.cells(target)
    features = options["features"]
    features = [n for n in read.header if n != target] if features is None else _names(features)
    if not features or target in features or len(set(features)) < len(features):
        raise Refused(
            f"--features must be one column or more besides {target!r}, each once,"
            f" found {', '.join(features) or 'none'}"
        )
    return _Data(
        *(os.path.basename(read.name), features, read.numbers(features), target, cells),
        *(read.lines, read.digest),
    )


def _names(features: Any) -> list[str]:
    return features.split(",") if isinstance(features, str) else list(features)


def _digest_of(rows: _Floats, classes: list[str]) -> str:
    import hashlib

    return hashlib.sha256(rows.tobytes() + "\n".join(classes).encode()).hexdigest()


def _complete(options: dict[str, Any], data: _Data) -> None:
    """Put in what follows from the data and from other options, and check what depends on both."""
    is_regression = options["task"] == "regression"
    n_classes = len(set(encoding.class_names(data.cells)))
    if options["loss"] is None:
        options["loss"] = "mse" if is_regression else "cross-entropy"
    if is_regression != (options["loss"] == "mse"):
        wanted = "mse" if is_regression else "cross-entropy, binary-cross-entropy or hinge"
        raise Refused(f"--loss must be {wanted} for a {options['task']}, found {options['loss']}")
    if options["loss"] in ("hinge", "binary-cross-entropy") and n_classes != 2:
        raise Refused(f"--loss {options['loss']} needs two classes, found {n_classes}")
    if options["activation"] not in (*ACTIVATIONS, "linear"):
        raise Refused(
            f"--activation must be one of {', '.join(('linear', *ACTIVATIONS))},"
            f" found {options['activation']!r}"
        )
    if options["momentum"] and options["optimizer"] not in ("sgd", "rmsprop"):
        raise Refused(f"--momentum is of sgd and rmsprop, found {options['optimizer']}")
    if options["patience"] and not options["validation"]:
        raise Refused("--patience needs a --validation share above 0, found 0")
    if options["init"] is None:
        options["init"] = "he" if "relu" in options["activation"] else "glorot"
    if options["lr"] is None:
        options["lr"] = learner.RATES[options["optimizer"]]
    options.update(target=data.target, features=data.features, schedule_epochs=options["epochs"])


def _split(n_rows: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """The numbers of the rows to train with, and of those held out; the seed decides."""
    import numpy

    order = numpy.random.default_rng([options["seed"]]).permutation(n_rows)
    n_held_out = round(options["validation"] * n_rows)
    if options["validation"]:
        n_held_out = max(1, n_held_out)
    if n_held_out >= n_rows:
        raise Refused(f"the rows must be enough to hold some out, found {n_rows}")
    return numpy.sort(order[n_held_out:]), numpy.sort(order[:n_held_out])


def _work(options: dict[str, Any], data: _Data, encoded: encoding.Encoding) -> Work:
    training, held_out = _split(len(data.rows), options)
    inputs, targets = encoded.inputs(data.rows), encoded.targets(data.cells)
    learning = learner.Learner(encoded, options)
    rows = learning.rows(inputs, targets)
    return Work(
        *(data.name, options, encoded, learning, data.rows, targets, training, held_out),
        *(rows[training], rows[held_out]),
    )


def finish(work: Work, out: str, ended: str) -> int:
    """Write history and report, and say what was reached; return the exit status."""
    learning = work.learner
    folder.write_history(out, learning)
    if ended == "interrupted":
        print(
            f"interrupted after epoch {learning.epoch} of {work.options['epochs']}; the checkpoint"
            f" is in {out}: micrograd-fast train --resume -o {out}",
            file=sys.stderr,
        )
        return _INTERRUPTED
    learning.use(learning.best)
    judged = work.held_out if len(work.held_out) else work.training
    which = "held-out" if len(work.held_out) else "training"
    found = outcome.predict(learning.model, work.encoding, work.options["loss"], work.rows[judged])
    quality = outcome.quality(work.encoding, found, work.targets[judged])
    stopped = ", stopped early" if ended == "early" else ""
    best = f", of which {learning.best_epoch} was best" if len(work.held_out) else ""
    print(f"{learning.epoch} epochs{stopped}{best}; {which} rows: {quality}")
    text = report.page(work, found, judged, which, quality)
    folder.write_text(out, folder.REPORT, text)
    for name in (folder.MODEL, folder.HISTORY_FILE, folder.REPORT):
        print(f"wrote {os.path.join(out, name)}")
    return 0
