"""The command ``train``: fit a network to a CSV file or a small data set."""

from __future__ import annotations

import argparse
import os

from .options import Refused, above_zero, natural, nonnegative, positive, seed, share, sizes

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .options import Commands

# What an option is where it is not given. With --resume, those of the folder hold.
DEFAULTS: dict[str, Any] = {
    "target": None,
    "features": None,
    "task": None,
    "delimiter": ",",
    "dataset": None,
    "samples": 200,
    "noise": 0.1,
    "layers": [16, 16],
    "activation": "relu",
    "init": None,
    "loss": None,
    "optimizer": "adam",
    "lr": None,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "epochs": 100,
    "batch_size": 32,
    "seed": 0,
    "validation": 0.2,
    "patience": 0,
    "standardise": True,
}
_DATASETS = ("moons", "circles", "xor", "spiral", "digits")
_LOSSES = ("cross-entropy", "binary-cross-entropy", "hinge", "mse")
_OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
_SCHEDULES = ("constant", "step", "exponential", "cosine", "linear", "plateau")


def add(commands: Commands) -> None:
    """Describe the command."""
    train = commands.add_parser(
        "train",
        help="fit a network to a CSV file or a small data set",
        description="Fit a network to the rows of a CSV file, or of a small data set. Inputs are"
        " standardised. The model, its history and a report are left in a folder, from which"
        " predict reads. Ctrl-C finishes the epoch and leaves a checkpoint for --resume.",
    )
    # An option that was not given must be told from one that was: --resume takes up the old ones.
    add = train.add_argument
    add("data", nargs="?", metavar="CSV", help="a file with a header, in UTF-8; - is stdin")
    add("--dataset", choices=_DATASETS, help="made here, instead of a file")
    add("--samples", type=positive, help="rows of such a data set (200)")
    add("--noise", type=nonnegative, help="spread of its points (0.1)")
    add("--target", metavar="COLUMN", help="what to learn (the last column)")
    add("--features", metavar="COLUMNS", help="what from, with commas between (all others)")
    add("--task", choices=("classification", "regression"), help="(by the values of the target)")
    add("--delimiter", help="between cells (a comma)")
    add("--layers", type=sizes, metavar="N,N", help="neurons of the hidden layers (16,16)")
    add("--activation", help="of the hidden layers, as MLP has it (relu)")
    add("--init", choices=("uniform", "glorot", "he"), help="(he for relu, otherwise glorot)")
    add("--loss", choices=_LOSSES, help="(cross-entropy; mse for a regression)")
    add("--optimizer", choices=_OPTIMIZERS, help="(adam)")
    add("--lr", type=above_zero, help="learning rate (0.01; sgd 0.1, adagrad 0.05)")
    add("--momentum", type=share, help="of sgd and rmsprop (0)")
    add("--weight-decay", type=nonnegative, help="(0)")
    add("--schedule", choices=_SCHEDULES, help="of the learning rate over the epochs (constant)")
    add("--epochs", type=positive, help="times through the rows, in all (100)")
    add("--batch-size", type=positive, help="rows a step (32)")
    add("--seed", type=seed, help="of rows, split, weights and batches (0)")
    add("--validation", type=share, help="share of the rows to hold out (0.2)")
    add(
        "--patience",
        type=natural,
        help="epochs without a better held-out loss to stop after (0: all)",
    )
    add(
        *("--no-standardise",),
        dest="standardise",
        action="store_const",
        const=False,
        help="give the network the columns as they are",
    )
    add("-o", "--out", default="model", metavar="FOLDER", help="what to leave it in (model)")
    add("--resume", action="store_true", help="go on with what is in the folder")
    add("--overwrite", action="store_true", help="begin anew where the folder has a model")
    train.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Train, or go on with a training."""
    from .options import require

    for module in ("numpy", "safetensors", "tqdm", "matplotlib"):
        require(module, "train", "train")
    from .training import preparation, session

    given = {name: getattr(args, name) for name in DEFAULTS if getattr(args, name) is not None}
    if args.data is not None:
        # So that --resume finds it from another folder, too.
        given["data"] = args.data if args.data == "-" else os.path.abspath(args.data)
    if args.resume:
        work = preparation.resume(args.out, given)
    else:
        work = preparation.begin(args.out, {"data": None, **DEFAULTS, **given}, args.overwrite)
    for line in work.description():
        print(line, flush=True)
    try:
        ended = session.run(
            work.learner, work.options["epochs"], work.training_rows, work.held_out_rows, args.out
        )
    except KeyboardInterrupt:
        raise Refused(f"interrupted; the last good checkpoint is in {args.out}") from None
    return preparation.finish(work, args.out, ended)
