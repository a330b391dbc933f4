"""The command ``predict``: what a trained network says of the rows of a CSV file."""

from __future__ import annotations

import argparse
import csv
import sys

from .options import Refused, require

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from .options import Commands


def add(commands: Commands) -> None:
    """Describe the command."""
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a CSV file with what train has left",
        description="Write the rows of a CSV file with a column more: the class or number that"
        " the network of a folder of train predicts. Columns are found by their names; inputs are"
        " scaled as they were in training.",
    )
    predict.add_argument("folder", metavar="FOLDER", help="what train has left")
    predict.add_argument("data", metavar="CSV", help="a file with a header; - is stdin")
    predict.add_argument("-o", "--out", metavar="FILE", help="where to (stdout)")
    predict.add_argument("--delimiter", default=",", help="between cells (a comma)")
    predict.add_argument(
        "--probabilities", action="store_true", help="a column more for each class"
    )
    predict.set_defaults(run=run_predict)


def run_predict(args: argparse.Namespace) -> int:
    """Write the predictions; where the target is in the file, too, say how good they are."""
    for module in ("numpy", "safetensors"):
        require(module, "predict", "train")
    from .training import folder, outcome, table

    if len(args.delimiter) != 1:
        raise Refused(f"--delimiter must be one character, found {args.delimiter!r}")
    encoding, options, _ = folder.read_about(args.folder)
    model = folder.read_model(args.folder, encoding, options)
    read = table.read_table(args.data, args.delimiter)
    found = outcome.predict(model, encoding, options["loss"], read.numbers(encoding.features))
    if args.probabilities and found.probabilities is None:
        raise Refused("--probabilities needs a network trained with a cross entropy, found none")
    header = [*read.header, f"predicted {encoding.target}"]
    columns = [[outcome.text_of(encoding, value) for value in found.values.tolist()]]
    if args.probabilities and found.probabilities is not None:
        header += [f"probability of {name}" for name in encoding.classes]
        columns += [[repr(p) for p in column] for column in found.probabilities.T.tolist()]
    lines = [
        header,
        *([*row, *more] for row, more in zip(read.rows, zip(*columns, strict=True), strict=True)),
    ]
    if args.out is None:
        _write(sys.stdout, lines)
    else:
        try:
            with open(args.out, "w", encoding="utf-8", newline="") as file:
                _write(file, lines)
        except OSError as error:
            raise Refused(f"cannot write {args.out}: {error.strerror}") from None
    judged = outcome.judged(encoding, found, read)
    if judged:
        print(judged, file=sys.stderr)
    return 0


def _write(file: TextIO, lines: list[list[str]]) -> None:
    csv.writer(file, lineterminator="\n").writerows(lines)
