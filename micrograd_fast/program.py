"""Frozen programs: write scalars once, replay them over rows of numbers without Python.

`compile` records the graph under an output. The `Program` that it gives computes the same bits
as the graph would, for one row of inputs or for thousands, and reads the parameters anew at every
call.
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import struct
import zipfile
import zlib

from . import _core
from ._core import CustomOp, Program
from .engine import Value

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, BinaryIO, Literal, TypeAlias

    import numpy as np
    import numpy.typing as npt

    _DType: TypeAlias = Literal["float64", "float32"] | type[np.floating[Any]] | np.dtype[Any]

__all__ = ["Program", "compile", "load_program"]

# Why a file that is no program cannot be read, whatever the damage is first met by; not because
# memory runs out or somebody presses Ctrl-C.
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, NotImplementedError),
    *(SyntaxError, TypeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error),
)

# The numbers of a column, in bytes, may be this many times as large as the file, which may be
# packed, or this large.
_MOST_UNPACKED = 32
_LEAST_UNPACKED = 1 << 20
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# A file without names, as they were before.
_NAMELESS_FORMAT = "micrograd_fast program 1"

_NAME_COLUMNS = ("names", "name_lengths")
# Where a program has custom operations.
_FUNCTION_COLUMNS = ("function_names", "function_name_lengths")
_FILE_COLUMNS = (
    *_core.TAPE_COLUMNS,
    "candidates",
    "outputs",
    "operations",
    "n_inputs",
    "is_sequence",
    "fast",
    "dtype",
    "data",
)


def load_program(
    path: str | os.PathLike[str], *, custom_ops: Mapping[str, CustomOp] | None = None
) -> Program:
    """Read a program that `Program.save` wrote.

    The file is a NumPy archive. For every entry of the graph, operands before users, it has the
    columns ``op`` (a place in ``operations``, the list of names; "leaf" for a leaf), ``kind`` of a
    leaf (0 a constant, 1 an input, 2 a parameter), the operands ``a`` and ``b`` (of a leaf: its
    number among its kind), and the immediates ``k`` and ``h`` (a constant's value is ``k``);
    then ``candidates`` (entries, of which a "join" has ``b`` from the one numbered ``a`` on, for a
    "take" to choose from), ``outputs`` (entries), ``n_inputs``, ``is_sequence``, ``fast``,
    ``dtype``, the parameters' ``data``, the bytes of the ``names`` of inputs and parameters in
    UTF-8, one after the other, with their ``name_lengths``, and ``format``, which says what it is.
    Where the program has custom operations, their ``function_names`` and
    ``function_name_lengths`` are there, too; a "function" has its place among them in ``k`` and
    its operands among the candidates, as a "join" does. No code is in the file.
    Whatever else is in the archive is not looked at.

    Parameters
    ----------
    path : str or os.PathLike
    custom_ops : mapping of str to CustomOp, optional
        The custom operations that the program calls, by name.

    Returns
    -------
    Program
        With new Values as its inputs and parameters.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a program, or damaged, or calls an operation that is not in `custom_ops`.
    TypeError
        If `custom_ops` has something else than a `CustomOp` for one.

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
    with open(os.fspath(path), "rb") as file, _damage_as_value_error(path):
        # NumPy would take anything else for a pickle, and advise how to trust it.
        if file.peek(4)[:4] != b"PK\x03\x04":
            raise ValueError("it is no NumPy archive")
        columns = _read_columns(file)
        names = _names_of_columns(columns, *_FUNCTION_COLUMNS)
    functions = _functions_called(names, custom_ops)
    with _damage_as_value_error(path):
        return _program_of_columns(columns, functions)


@contextlib.contextmanager
def _damage_as_value_error(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        # A place in the file that is before its beginning is damage, too.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{os.fspath(path)} is not a program: {error}") from error


def _functions_called(
    names: Sequence[str], custom_ops: Mapping[str, CustomOp] | None
) -> tuple[CustomOp, ...]:
    """The custom operations of these names."""
    given = {} if custom_ops is None else custom_ops
    functions = []
    for name in names:
        if name not in given:
            raise ValueError(
                f"custom_ops must have the operation {name!r}, which the program calls,"
                f" found {', '.join(map(repr, given)) or 'none'}"
            )
        operation = given[name]
        if not isinstance(operation, CustomOp):
            raise TypeError(
                f"custom_ops[{name!r}] must be a CustomOp, found {type(operation).__name__}"
            )
        functions.append(operation)
    return tuple(functions)


def _read_columns(file: BinaryIO) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an archive that a program has, and no more bytes than it can hold."""
    most = max(_LEAST_UNPACKED, _MOST_UNPACKED * os.fstat(file.fileno()).st_size)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}

        def read(name: str) -> npt.NDArray[Any]:
            member = members.get(f"{name}.npy")
            if member is None:
                raise ValueError(f"it has no {name!r}")
            if member.file_size > most:
                raise ValueError(
                    f"its {name!r} must be of at most {most} bytes in a file of its size, found"
                    f" {member.file_size}"
                )
            if member.flag_bits & 1 or member.compress_type not in _PACKINGS:
                raise ValueError(f"its {name!r} is encrypted, or packed in a way of its own")
            # To read it to its end would unpack it to its end, whatever size it says it has.
            with archive.open(member) as stream:
                return _array_of(stream.read(member.file_size), name)

        found = str(read("format"))
        if found not in (_core.PROGRAM_FORMAT, _NAMELESS_FORMAT):
            raise ValueError(f"its format must be {_core.PROGRAM_FORMAT!r}, found {found!r}")
        wanted = _FILE_COLUMNS if found == _NAMELESS_FORMAT else (*_FILE_COLUMNS, *_NAME_COLUMNS)
        optional = [name for name in _FUNCTION_COLUMNS if f"{name}.npy" in members]
        return {name: read(name) for name in (*wanted, *optional)}


def _array_of(content: bytes, name: str) -> npt.NDArray[Any]:
    """Read an array in NumPy's format, whose header may say anything."""
    import numpy
    from numpy.lib import format as numpy_format

    stream = io.BytesIO(content)
    version = numpy_format.read_magic(stream)
    read_header = {
        (1, 0): numpy_format.read_array_header_1_0,
        (2, 0): numpy_format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(stream)
    # Of numbers without bytes, any number would fit.
    if dtype.hasobject or dtype.itemsize == 0 or len(shape) > 1:
        raise ValueError(f"its {name!r} is no list of numbers or text")
    n_bytes = math.prod(shape) * dtype.itemsize
    found = len(content) - stream.tell()
    if n_bytes != found:
        raise ValueError(f"its {name!r} must have {n_bytes} bytes, found {found}")
    if n_bytes == 0:
        return numpy.empty(shape, dtype)
    return numpy.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _program_of_columns(
    columns: dict[str, npt.NDArray[Any]], functions: tuple[CustomOp, ...]
) -> Program:
    tape: dict[str, Any] = {
        # Only the order of the bytes may be another one: a cast would hide damage.
        name: columns[name].astype(code, casting="equiv").tobytes()
        for name, code in {**_core.TAPE_COLUMNS, "candidates": "I", "outputs": "I"}.items()
    }
    for name in ("is_sequence", "fast"):
        if columns[name].dtype != bool:
            raise ValueError(f"its {name!r} must be bool, found {columns[name].dtype}")
        tape[name] = bool(columns[name])
    if columns["n_inputs"].dtype.kind not in "iu":
        raise ValueError(f"its 'n_inputs' must be whole, found {columns['n_inputs'].dtype}")
    tape["operations"] = columns["operations"].tolist()
    tape["n_inputs"] = int(columns["n_inputs"])
    tape["dtype"] = str(columns["dtype"])
    data = columns["data"].astype("d", casting="equiv")
    if "names" in columns:
        names = _names_of_columns(columns, *_NAME_COLUMNS)
        tape["input_names"] = names[: tape["n_inputs"]]
        tape["parameter_names"] = names[tape["n_inputs"] :]
    return _core.program_of_tape(Program, tape, data.tolist(), functions)


def _names_of_columns(
    columns: dict[str, npt.NDArray[Any]], text_column: str, length_column: str
) -> tuple[str, ...]:
    """Names whose bytes stand one after the other; none where there is no such column."""
    if text_column not in columns:
        return ()
    text = columns[text_column].astype("B", casting="equiv").tobytes()
    lengths = columns[length_column].astype("I", casting="equiv").tolist()
    names, end = [], 0
    for length in lengths:
        begin, end = end, end + length
        names.append(text[begin:end].decode("utf-8", "surrogatepass"))
    if end != len(text):
        raise ValueError(f"its {text_column!r} must have {end} bytes, found {len(text)}")
    return tuple(names)


def compile(
    output: Value | Sequence[Value],
    inputs: Sequence[Value] = (),
    *,
    parameters: Sequence[Value] | None = None,
    input_names: Sequence[str] | None = None,
    parameter_names: Sequence[str] | None = None,
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
        Leaves; a row has a number for each, in this order. Derivatives by one that the output
        does not depend on are 0.
    parameters : sequence of Value, optional
        All other leaves that are no constants, in the order that they are to have everywhere, such
        as ``model.parameters()``; that of the graph if not given. Derivatives by one that the
        output does not depend on are 0. A number's Value that is among them is no constant.
    input_names, parameter_names : sequence of str, optional
        What to call them; by default their labels and, where they have none, their places.
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
        If an output, input or parameter is not a Value, a name no str, or `inputs`, `parameters`
        or names no sequence.
    ValueError
        If there is no output; an input or parameter is computed or given twice, or a parameter of
        the graph not among those given; there are not as many names as there are Values; a node
        has a Python ``_backward`` (`custom_op` makes operations that may be there), no operation
        that could be done again, or data that was assigned after it had been computed; or `dtype`
        is neither of the two, or "float32" without `fast`.

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
    return freeze(
        output,
        "output",
        inputs,
        fast,
        dtype,
        parameters=parameters,
        input_names=input_names,
        parameter_names=parameter_names,
    )


def freeze(
    output: Value | Sequence[Value],
    output_name: str,
    inputs: Sequence[Value],
    fast: bool,
    dtype: _DType,
    **leaves: Any,
) -> Program:
    """Make a program of an output, which messages call `output_name`.

    `compile` says more; `leaves` are what it takes for parameters and names.
    """
    is_sequence = not isinstance(output, Value)
    if isinstance(output, Value):
        outputs = [output]
    elif hasattr(output, "__iter__") and not isinstance(output, (set, frozenset)):
        outputs = list(output)
    else:
        raise TypeError(
            f"{output_name} must be a Value or a sequence of Values, found {type(output).__name__}"
        )
    if not outputs:
        raise ValueError("output must be one Value or more, found an empty sequence")
    _check_is_sequence(inputs, "inputs")
    if leaves.get("parameters") is not None:
        _check_is_sequence(leaves["parameters"], "parameters")
    return _core.freeze(Program, outputs, inputs, is_sequence, fast, dtype, **leaves)


def _check_is_sequence(values: Any, name: str) -> None:
    """TypeError for what is no sequence; the order of a set is none."""
    if isinstance(values, (Value, set, frozenset)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a sequence of Values, found {type(values).__name__}")
