"""The compiled engine behind the names that ``micrograd.engine`` has."""

from micrograd_fast._core import Value, dot, sum

__all__ = ["Value", "dot", "sum"]
