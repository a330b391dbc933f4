"""Tables of text: CSV files with a header, read whole and checked line by line."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import math
import sys

from ..options import Refused

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Table:
    """A header and rows of cells, with the line of the file that each row ends in."""

    name: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    digest: str

    def place(self, column: str) -> int:
        """The number of a column."""
        if column not in self.header:
            raise Refused(
                f"{self.name}: the column must be one of {_listed(self.header)}, found {column!r}"
            )
        return self.header.index(column)

    def cells(self, column: str) -> list[str]:
        """The text in a column, without spaces around it; none may be empty."""
        place = self.place(column)
        cells = [row[place].strip() for row in self.rows]
        for cell, line in zip(cells, self.lines, strict=True):
            if not cell:
                raise Refused(
                    f"{self.name}, line {line}, column {column!r}: wanted a value, found none"
                )
        return cells

    def numbers(self, columns: Sequence[str]) -> npt.NDArray[np.float64]:
        """Columns of finite numbers, side by side."""
        import numpy

        matrix = numpy.empty((len(self.rows), len(columns)))
        for j, column in enumerate(columns):
            for i, cell in enumerate(self.cells(column)):
                number = number_in(cell)
                if number is None or not math.isfinite(number):
                    wanted = "a number" if number is None else "a finite number"
                    raise Refused(
                        f"{self.name}, line {self.lines[i]}, column {column!r}:"
                        f" wanted {wanted}, found {_short(cell)}"
                    )
                matrix[i, j] = number
        return matrix


def number_in(cell: str) -> float | None:
    """The number that a cell is; None for other text."""
    try:
        # Underscores are digits to Python alone.
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def read_table(path: str, delimiter: str = ",") -> Table:
    """Read a CSV file, or standard input for ``-``.

    Raises
    ------
    Refused
        If it cannot be read, is no text in UTF-8, has no header or no rows, a name twice, or a
        row of another length.
    """
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise Refused(f"cannot read {name}: {why}") from None
    try:
        # Spreadsheets put a mark of the byte order in front.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(
            f"{name}: wanted text in UTF-8, found the byte {content[error.start]:#04x} at"
            f" {error.start}"
        ) from None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found = []
    try:
        for row in lines:
            if row:
                found.append((row, lines.line_num))
    except csv.Error as error:
        raise Refused(f"{name}, line {lines.line_num}: {error}") from None
    if not found:
        raise Refused(f"{name}: wanted a header and rows, found an empty file")
    header = [column.strip() for column in found[0][0]]
    for column in header:
        if not column:
            raise Refused(f"{name}: every column must have a name, found one without")
        if header.count(column) > 1:
            raise Refused(f"{name}: names in the header must be different, found {column!r} twice")
    if len(found) == 1:
        raise Refused(f"{name}: wanted rows under the header, found none")
    for row, line in found[1:]:
        if len(row) != len(header):
            raise Refused(
                f"{name}, line {line}: wanted {len(header)} cells, as the header has,"
                f" found {len(row)}"
            )
    return Table(
        name,
        header,
        [row for row, _ in found[1:]],
        [line for _, line in found[1:]],
        hashlib.sha256(content).hexdigest(),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")
