"""One side of one row, in a process of its own: ``python -m bench.worker ROW SIDE``."""

import json
import os
import sys

from .rows import ROWS
from .timing import MissingPeerError, serve


def main(row_name: str, side_name: str) -> None:
    """Prepare the side and time it as often as it is asked to."""
    # What a peer has to say at its import must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    (row,) = (row for row in ROWS if row.name == row_name)
    try:
        side = getattr(row, side_name)()
    except MissingPeerError as missing:
        print(json.dumps({"missing": str(missing)}), file=answers, flush=True)
    else:
        serve(side, answers)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
