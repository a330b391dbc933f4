# The types of data.py: columns are lists and arrays, of any library.

from collections.abc import Iterator
from random import Random
from typing import Any

__all__ = ["minibatches"]

def minibatches(
    *columns: Any,
    batch_size: int,
    shuffle: bool = True,
    seed: int | Random | None = None,
    drop_last: bool = False,
) -> Iterator[tuple[Any, ...]]: ...
