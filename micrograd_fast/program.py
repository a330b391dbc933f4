"""Frozen programs: write scalars once, replay them over rows of numbers without Python.

`compile` records the graph under an output. The `Program` that it gives computes the same bits
as the graph would, for one row of inputs or for thousands, and reads the parameters anew at every
call.
"""

from __future__ import annotations

import os

from . import _core
from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal, TypeAlias

    import numpy as np
    import numpy.typing as npt

    _Floats: TypeAlias = npt.NDArray[np.float64]
    _DType: TypeAlias = Literal["float64", "float32"] | type[np.floating[Any]] | np.dtype[Any]
    _Wrt: TypeAlias = Literal["parameters", "inputs"] | Sequence[Value]
    _Reduction: TypeAlias = Literal["mean", "sum"] | npt.ArrayLike

__all__ = ["Program", "compile", "load_program"]

_FILE_FORMAT = "micrograd_fast program 1"


class Program(_core.Program):
    """A graph frozen into a program; made by `compile`.

    Attributes
    ----------
    parameters : tuple of Value
        The leaves that are not inputs, in the order of the graph, operands first.
    n_inputs : int
        The length of a row.
    n_outputs : int
    fast : bool
        Whether it may round otherwise than the graph; see `compile`.
    dtype : {"float64", "float32"}
        What sums of products are computed in.
    is_sequence : bool
        Whether it was made of a sequence of outputs, so that results have an axis for them.
    frozen_reads : list of str
        Where a traced function read the data of a Value; see `micrograd_fast.jit`. Not saved.

    Examples
    --------
    >>> from micrograd_fast import Value, compile
    >>> x, w = Value(0.0), Value(3.0)
    >>> program = compile(w * x * x, [x])
    >>> program
    <Program of 1 inputs, 1 parameters: 4 nodes>
    >>> rows = [[1.0], [2.0]]
    >>> program(rows).tolist()
    [3.0, 12.0]
    >>> values, grads = program.value_and_grad(rows)
    >>> grads.tolist()
    [[6.0], [12.0]]
    >>> program.parameter_grads(rows).tolist()
    [[1.0], [4.0]]
    >>> total, gradient = program.value_and_parameter_grad(rows, reduction="sum")
    >>> total, gradient.tolist()
    (15.0, [5.0])
    >>> program.backward(rows), w.grad
    (7.5, 2.5)
    >>> compile([w * x, w + x], [x]).jacobian([2.0]).tolist()
    [[3.0], [1.0]]
    >>> program.stats()["steps"]
    2
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program to a file: a NumPy archive (``.npz``) of its columns.

        Parameters
        ----------
        path : str or os.PathLike
            Where to. Nothing is appended to the name.

        See Also
        --------
        load_program : The way back, which says what is in the file.
        """
        import numpy

        columns: dict[str, Any] = {}
        for name, column in self.tape().items():
            code = _COLUMN_TYPES.get(name)
            columns[name] = numpy.frombuffer(column, code) if code else numpy.array(column)
        columns["data"] = numpy.array([p.data for p in self.parameters], dtype="f8")
        columns["format"] = numpy.array(_FILE_FORMAT)
        # A number would be taken for an open file's.
        with open(os.fspath(path), "wb") as file:
            numpy.savez(file, **columns)

    def fun(
        self,
        parameters: Sequence[Value] | None = None,
        rows: npt.ArrayLike = (),
        reduction: _Reduction = "mean",
    ) -> Callable[[npt.ArrayLike], tuple[float, _Floats]]:
        """Make a function of the parameters' numbers, as `scipy.optimize.minimize` wants it.

        Parameters
        ----------
        parameters : sequence of Value, optional
            Which of the program's parameters the numbers are for; all, in the order of
            `parameters`, if not given.
        rows, reduction
            As for `backward`.

        Returns
        -------
        callable
            Assigns its argument to the data of the parameters and returns the total and its
            gradient, an array as long as its argument. No ``grad`` is touched. Raises ValueError,
            and assigns nothing, for an argument of another length.

        Raises
        ------
        TypeError
            If `parameters` is no sequence.
        ValueError
            If one of the Values is not a parameter of the program or is given twice, or the
            program is of a sequence of outputs.

        Notes
        -----
        `parameters` is in the order of the graph, which need not be that in which they were made,
        and so are `hessian` and `hvp`. Numbers to start from are
        ``[p.data for p in program.parameters]``.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> w = Value(0.0)
        >>> value, gradient = compile((w - 3.0) ** 2).fun([w])([1.0])
        >>> value, gradient.tolist()
        (4.0, [-4.0])
        """
        self._want_one_output("fun")
        if parameters is not None and not hasattr(parameters, "__iter__"):
            raise TypeError(
                f"parameters must be a sequence of Values, found {type(parameters).__name__}"
            )
        chosen = self.parameters if parameters is None else list(parameters)
        places = self._places(chosen)

        def objective(argument: npt.ArrayLike) -> tuple[float, _Floats]:
            numbers = _core.as_numbers(argument, "the argument")
            if numbers.shape != (len(chosen),):
                raise ValueError(
                    f"the argument must be of shape ({len(chosen)},), a number for each parameter,"
                    f" found shape {numbers.shape}"
                )
            for p, number in zip(chosen, numbers.tolist(), strict=True):
                p.data = number
            total, gradient = self.value_and_parameter_grad(rows, reduction)
            return total, gradient[places]

        return objective

    def hvp(
        self,
        vector: npt.ArrayLike,
        rows: npt.ArrayLike = (),
        reduction: _Reduction = "mean",
        wrt: _Wrt = "parameters",
    ) -> _Floats:
        """Multiply the Hessian of the output by a vector, without making the Hessian.

        Nothing in the graph is touched. Forward-over-reverse differentiation; see Pearlmutter,
        "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

        Parameters
        ----------
        vector : array_like of shape (n_parameters,) or (n_inputs,)
            As long as there are Values to differentiate by.
        rows : array_like of shape (n_inputs,) or (batch, n_inputs), optional
        reduction : {"mean", "sum"} or array_like of shape (batch,), optional
            As for `backward`; by the inputs, every row has a Hessian of its own and this does
            not matter.
        wrt : {"parameters", "inputs"} or sequence of Value, optional
            What to differentiate by: all parameters, the inputs, or these of the parameters.

        Returns
        -------
        numpy.ndarray
            Shape (n_parameters,), in the order of `parameters` or of `wrt`; by the inputs
            (n_inputs,) or (batch, n_inputs).

        Raises
        ------
        ValueError
            For shapes that do not fit, or a program of a sequence of outputs.
        TypeError
            For what is not real numbers.
        ArithmeticError, ValueError
            Where a value or derivative does not exist, with the number of the first such row.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> compile(a * a * b).hvp([1.0, 0.0]).tolist()
        [6.0, 4.0]
        """
        directions = _core.as_numbers(vector, "vector")
        length = self._length(wrt)
        if directions.shape != (length,):
            raise ValueError(
                f"vector must be of shape ({length},), a number for each of the"
                f" {self._kind(wrt)}, found shape {directions.shape}"
            )
        return self._second_order(directions[None], rows, reduction, wrt)[..., 0, :]

    def hessian(
        self,
        rows: npt.ArrayLike = (),
        reduction: _Reduction = "mean",
        wrt: _Wrt = "parameters",
    ) -> _Floats:
        """Compute the Hessian of the output.

        Parameters
        ----------
        rows, reduction, wrt
            As for `hvp`.

        Returns
        -------
        numpy.ndarray
            Shape (n_parameters, n_parameters), in the order of `parameters` or of `wrt`; by the
            inputs (n_inputs, n_inputs) or (batch, n_inputs, n_inputs).

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `hvp`.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> compile(a * a * b).hessian().tolist()
        [[6.0, 4.0], [4.0, 0.0]]
        """
        import numpy

        return self._second_order(numpy.eye(self._length(wrt)), rows, reduction, wrt)

    @staticmethod
    def _kind(wrt: _Wrt) -> str:
        return wrt if isinstance(wrt, str) else "parameters"

    def _length(self, wrt: _Wrt) -> int:
        if isinstance(wrt, Value) or not hasattr(wrt, "__iter__"):
            raise TypeError(
                'wrt must be "parameters", "inputs" or a sequence of Values, found'
                f" {type(wrt).__name__}"
            )
        if self._kind(wrt) not in ("parameters", "inputs"):
            raise ValueError(f'wrt must be "parameters" or "inputs", found {wrt!r}')
        if not isinstance(wrt, str):
            return len(wrt)
        return len(self.parameters) if wrt == "parameters" else self.n_inputs

    def _second_order(
        self, directions: _Floats, rows: npt.ArrayLike, reduction: _Reduction, wrt: _Wrt
    ) -> _Floats:
        """Multiply the Hessian by each of some directions: (..., directions, derivatives)."""
        import numpy

        self._want_one_output("a Hessian")
        shape = _core.as_numbers(rows, "rows").shape[:-1]
        n_rows = shape[0] if shape else 1
        weights = _core.weights_of_rows(reduction, n_rows)
        if self._kind(wrt) == "parameters":
            places = slice(None) if isinstance(wrt, str) else self._places(wrt)
            along = numpy.zeros((len(directions), len(self.parameters)))
            along[:, places] = directions
            products = numpy.zeros_like(along)
            self._second_order_into(rows, weights, None, along, None, products)
            return products[:, places]
        products = numpy.zeros((len(directions) * n_rows, self.n_inputs))
        self._second_order_into(rows, numpy.ones(n_rows), directions, None, products, None)
        by_row: _Floats = products.reshape(len(directions), n_rows, self.n_inputs).swapaxes(0, 1)
        return by_row.reshape((*shape, *directions.shape))

    def _places(self, parameters: Sequence[Value]) -> list[int]:
        """The places of some parameters, each of them once, among all."""
        place_of = {id(p): place for place, p in enumerate(self.parameters)}
        first_index: dict[int, int] = {}
        for index, p in enumerate(parameters):
            if id(p) not in place_of:
                raise ValueError(f"parameters[{index}], {p!r}, is not a parameter of {self!r}")
            first = first_index.setdefault(id(p), index)
            if first != index:
                raise ValueError(f"parameters[{index}] is the same Value as parameters[{first}]")
        return [place_of[id(p)] for p in parameters]


_COLUMN_TYPES = {
    "op": "u1",
    "kind": "u1",
    "a": "u4",
    "b": "u4",
    "k": "f8",
    "h": "f8",
    "outputs": "u4",
}
_FILE_COLUMNS = (
    "format",
    *_COLUMN_TYPES,
    "operations",
    "n_inputs",
    "is_sequence",
    "fast",
    "dtype",
    "data",
)


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read a program that `Program.save` wrote.

    The file is a NumPy archive. For every entry of the graph, operands before users, it has the
    columns ``op`` (a place in ``operations``, the list of names; "leaf" for a leaf), ``kind`` of a
    leaf (0 a constant, 1 an input, 2 a parameter), the operands ``a`` and ``b`` (of a leaf: its
    number among its kind), and the immediates ``k`` and ``h`` (a constant's value is ``k``);
    then ``outputs`` (entries), ``n_inputs``, ``is_sequence``, ``fast``, ``dtype``, the
    parameters' ``data``, and ``format``, which says what it is.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    Program
        With new Values as its parameters.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a program, or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from micrograd_fast import Value, compile, load_program
    >>> x = Value(0.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     compile(x * 2.0, [x]).save(f"{folder}/double.npz")
    ...     program = load_program(f"{folder}/double.npz")
    >>> program([4.0])
    8.0
    """
    import numpy

    with open(os.fspath(path), "rb") as file:
        try:
            # NumPy would take anything else for a pickle, and advise how to trust it.
            if file.peek(4)[:4] != b"PK\x03\x04":
                raise ValueError("it is no NumPy archive")
            archive = numpy.load(file, allow_pickle=False)
            return _program_of_columns({name: archive[name] for name in archive.files})
        # A damaged archive fails with whatever the damage is first met by.
        except Exception as error:
            raise ValueError(f"{os.fspath(path)} is not a program: {error}") from error


def _program_of_columns(columns: dict[str, npt.NDArray[Any]]) -> Program:
    missing = [name for name in _FILE_COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"it has no {missing[0]!r}")
    found = str(columns["format"])
    if found != _FILE_FORMAT:
        raise ValueError(f"its format must be {_FILE_FORMAT!r}, found {found!r}")
    tape: dict[str, Any] = {
        # Only the order of the bytes may be another one: a cast would hide damage.
        name: columns[name].astype(code, casting="equiv").tobytes()
        for name, code in _COLUMN_TYPES.items()
    }
    for name in ("is_sequence", "fast"):
        if columns[name].dtype != bool:
            raise ValueError(f"its {name!r} must be bool, found {columns[name].dtype}")
    tape["operations"] = columns["operations"].tolist()
    tape["n_inputs"] = int(columns["n_inputs"])
    tape["is_sequence"] = bool(columns["is_sequence"])
    tape["fast"] = bool(columns["fast"])
    tape["dtype"] = str(columns["dtype"])
    parameters = [Value(number) for number in columns["data"].tolist()]
    return _core.program_of_tape(Program, tape, parameters)


def compile(
    output: Value | Sequence[Value],
    inputs: Sequence[Value] = (),
    *,
    fast: bool = False,
    dtype: _DType = "float64",
) -> Program:
    """Freeze the graph under an output.

    Leaves that are not inputs are parameters: what they hold is read at every call. Numbers that
    were written as numbers are constants. What is frozen is the graph: where Python code looked
    at ``data`` to decide something while the graph was built, the decision stays as it was.

    Parameters
    ----------
    output : Value or sequence of Value
        What to compute. With a sequence, results gain an axis.
    inputs : sequence of Value, optional
        Leaves under the output; a row has a number for each, in this order.
    fast : bool, optional
        Let it round otherwise than the graph. Products and sums are fused where the machine can
        (fused multiply-add), powers 2, 3, -1, -2, 1/2 and -1/2 are products, quotients and roots,
        and ``exp``, ``log``, ``tanh``, ``sigmoid``, ``softplus``, ``silu`` and ``elu`` are
        computed for several rows at once. Each of these functions is within 4 units in the last
        place (``silu`` below -708, where its exponential has few digits, within 1e-319), and a
        zero may have the other sign; a sum of n products is, as without, off by at most n such
        units of the sum of the terms' magnitudes. The bits differ from one kind of machine to
        another, and may between one row and a batch, but not from call to call. What the graph
        would raise is raised, but for rounding next to the largest number.
    dtype : {"float64", "float32"}, optional
        What sums of products are computed in, for batches of rows; "float32" wants `fast`. The
        terms are rounded to single precision (24 bits) and added up in it, so a sum of n products
        is off by at most about ``(n + 2) * 6e-8`` of the sum of the terms' magnitudes. The rest
        stays in double precision: single steps, what adds up from strip to strip of at most 64
        rows, parameters, gradients and results. In a sum, a number above 3.4e38 is an infinity,
        which can hide what the graph would raise, and one below 1.2e-38 loses digits or is 0.

    Returns
    -------
    Program

    Raises
    ------
    TypeError
        If an output or input is not a Value, or `inputs` no sequence.
    ValueError
        If there is no output; an input is computed, given twice or not under the output; a node
        has a Python ``_backward`` or no operation that could be done again; or `dtype` is
        neither of the two, or "float32" without `fast`.

    Examples
    --------
    >>> from micrograd_fast import Value, compile
    >>> x, w = Value(0.0), Value(3.0)
    >>> program = compile((w * x - 1.0) ** 2, [x])
    >>> program([2.0])
    25.0
    >>> program([[2.0], [1.0]]).tolist()
    [25.0, 4.0]
    >>> program.backward([[2.0], [1.0]], reduction="sum")
    29.0
    >>> w.grad
    24.0
    """
    return freeze(output, "output", inputs, True, fast, dtype)


def freeze(
    output: Value | Sequence[Value],
    output_name: str,
    inputs: Sequence[Value],
    need_inputs: bool,
    fast: bool,
    dtype: _DType,
) -> Program:
    """Make a program of an output, which messages call `output_name`; see `compile`."""
    is_sequence = not isinstance(output, Value)
    if isinstance(output, Value):
        outputs = [output]
    elif hasattr(output, "__iter__"):
        outputs = list(output)
    else:
        raise TypeError(
            f"{output_name} must be a Value or a sequence of Values, found {type(output).__name__}"
        )
    if not outputs:
        raise ValueError("output must be one Value or more, found an empty sequence")
    if isinstance(inputs, Value) or not hasattr(inputs, "__iter__"):
        raise TypeError(f"inputs must be a sequence of Values, found {type(inputs).__name__}")
    return _core.freeze(Program, outputs, list(inputs), is_sequence, need_inputs, fast, dtype)
