"""The base of everything that has parameters."""

from __future__ import annotations

from .._core import fused_rows
from .._state import assign, check_arrays, named_arrays, to_arrays
from ..engine import Value
from ._html import table_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    import numpy as np
    import numpy.typing as npt

__all__ = ["Module"]


class Module:
    """The base of everything that has parameters.

    A subclass overrides `parameters` and `__call__`; `zero_grad` and `predict` follow from them.

    Examples
    --------
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Value(2.0)
    ...
    ...     def __call__(self, x):
    ...         return self.factor * x
    ...
    ...     def parameters(self):
    ...         return [self.factor]
    >>> scale = Scale()
    >>> scale(3.0).backward()
    >>> scale.factor.grad
    3.0
    >>> scale.zero_grad()
    >>> scale.factor.grad
    0.0
    """

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0."""
        for p in self.parameters():
            p.grad = 0.0

    def parameters(self) -> list[Value]:
        """List what there is to train.

        Returns
        -------
        list of Value
            Empty, unless a subclass says otherwise.
        """
        return []

    def _repr_html_(self) -> str | None:
        """Describe the module for a notebook; None, for its text, where that cannot be done."""
        # Whatever a subclass's methods raise, showing it must not.
        try:
            return table_of(self)
        except Exception:
            return None

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Go through the parameters with their names.

        Yields
        ------
        tuple of (str, Value)
            A name says where the parameter stands in `state_dict`: ``layers.0.weight[3, 1]`` is
            the weight of neuron 3 of the first layer for input 1.

        Raises
        ------
        TypeError
            If a parameter is not in an attribute of the module.

        Examples
        --------
        >>> from micrograd_fast import MLP
        >>> [name for name, _ in MLP(2, [1]).named_parameters()]
        ['layers.0.weight[0, 0]', 'layers.0.weight[0, 1]', 'layers.0.bias[0]']
        """
        for named in named_arrays(self):
            yield from named.items()

    def state_dict(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the parameters' numbers as arrays. Needs numpy.

        Returns
        -------
        dict of str to numpy.ndarray of float64
            By PyTorch's names: a layer has ``weight``, of shape (outputs, inputs), and ``bias``;
            modules in modules and lists put theirs in front, as in ``layers.0.weight``.

        Raises
        ------
        TypeError
            If a parameter is not in an attribute of the module.

        Examples
        --------
        >>> from micrograd_fast import MLP
        >>> model = MLP(2, [4, 1])
        >>> {name: array.shape for name, array in model.state_dict().items()}
        {'layers.0.weight': (4, 2), 'layers.0.bias': (4,), 'layers.1.weight': (1, 4), \
'layers.1.bias': (1,)}
        """
        return to_arrays(self)

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Take over numbers that `state_dict` gave. Needs numpy.

        Parameters
        ----------
        state : mapping of str to array_like
            With the names and shapes of `state_dict`. PyTorch's tensors will do.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape is another. Nothing is changed then.
        TypeError
            If an array is not of real numbers. Likewise.

        Examples
        --------
        >>> from micrograd_fast import MLP
        >>> one, other = MLP(2, [4, 1]), MLP(2, [4, 1])
        >>> other.load_state_dict(one.state_dict())
        >>> other([1.0, 2.0]).data == one([1.0, 2.0]).data
        True
        """
        assign(check_arrays(self, state))

    def predict(self, x: npt.ArrayLike) -> Any:
        """Give the outputs as plain numbers, to the bit those of a call, and keep no graph.

        Where every layer is an ordinary one, no graph is made in the first place. Needs numpy.

        Parameters
        ----------
        x : array_like of float
            A row, one number for each input, or a 2-D array of rows.

        Returns
        -------
        float or numpy.ndarray of float64
            For a row a float, or an array of as many numbers as there are outputs. For n rows an
            array of shape (n,), or (n, outputs) where there are several.

        Raises
        ------
        ValueError
            If there are not as many numbers in a row as inputs, or `x` is neither a row nor rows.

        Examples
        --------
        >>> from micrograd_fast import Neuron, Value
        >>> model = Neuron(2, nonlin=False)
        >>> model.w = [Value(1.0), Value(-1.0)]
        >>> model.predict([2.0, 0.5])
        1.5
        >>> model.predict([[2.0, 0.5], [1.0, 1.0]]).tolist()
        [1.5, 0.0]
        """
        import numpy

        rows = numpy.asarray(x)
        if rows.ndim not in (1, 2):
            raise ValueError(f"x must be a row or an array of rows, found {rows.ndim} axes")
        outputs = self._predicted(rows if rows.ndim == 2 else rows[None], numpy)
        if rows.ndim == 2:
            return outputs
        return outputs[0] if outputs.ndim == 2 else float(outputs[0])

    def _predicted(self, rows: npt.NDArray[Any], numpy: Any) -> Any:
        """The outputs for a 2-D array: one number for each row, or a row of several."""
        if rows.dtype.kind in "biuf":
            outputs = fused_rows(self, numpy.ascontiguousarray(rows, dtype=numpy.float64))
            if outputs is not None:
                return outputs if outputs.shape[1] > 1 else outputs.reshape(len(rows))
        # A row's graph is gone before that of the next one is made.
        model: Any = self  # which a subclass has made callable
        by_row = [_plain(model(row)) for row in rows.tolist()]
        return numpy.array(by_row, dtype=numpy.float64)


def _plain(out: Any) -> Any:
    """What a call gave, as numbers."""
    if isinstance(out, (list, tuple)):
        return [_plain(part) for part in out]
    return out.data if isinstance(out, Value) else out
