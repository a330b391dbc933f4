# What the table says of each operation, to Python.

Operation = namedtuple(
    "Operation",
    "name label arity immediates value_errors slope_errors wanted doc",
    module="micrograd_fast._core",
)
Operation.__doc__ = """What the engine knows of an operation.

`name` is its method and `label` what ``_op`` reads; `immediates` are the numbers that the method
takes, each with its default (infinite for no end of a range). `value_errors` are the exceptions of
the operation itself, `slope_errors` those of ``backward`` where there is a value. `wanted` says
which operands are accepted, where not all are.
"""


cdef tuple exceptions_of(int errors):
    """The exceptions that a set of ways to fail stands for."""
    exceptions = []
    if errors & MG_ERROR_BIT(MG_DOMAIN):
        exceptions.append(ValueError)
    if errors & MG_ERROR_BIT(MG_OVERFLOW):
        exceptions.append(OverflowError)
    if errors & MG_ERROR_BIT(MG_ZERO_DIVISION):
        exceptions.append(ZeroDivisionError)
    return tuple(exceptions)


cdef tuple rows_of_the_table():
    rows = []
    for op in range(<int>MG_ADD, <int>MG_N_OPS):
        immediates = []
        for i in range(mg_ops[op].n_immediates):
            immediate = mg_ops[op].immediates[i]
            immediates.append((immediate.name.decode(), immediate.otherwise))
        rows.append(
            Operation(
                operation_name(<mg_op>op),
                mg_ops[op].label.decode(),
                mg_ops[op].arity,
                tuple(immediates),
                exceptions_of(mg_ops[op].value_errors),
                exceptions_of(mg_ops[op].slope_errors),
                mg_ops[op].wanted.decode(),
                mg_ops[op].doc.decode(),
            )
        )
    return tuple(rows)


#: Every operation, in the order of the table.
OPERATIONS = rows_of_the_table()


#: What numpy calls an operation, where that is not its name: on arrays of objects, numpy's function
#: calls the method that is named like itself.
NUMPY_NAMES = {
    "abs": "fabs",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
}


cdef object row_of(mg_op op):
    return OPERATIONS[<int>op - <int>MG_ADD]


cdef str signature_of(row):
    """What a method takes, as ``inspect.signature`` reads it."""
    if row.arity == 2:
        return "$self, other, /"
    text = "$self"
    for name, default in row.immediates:
        text += f", {name}={None if isinf(<double>default) else default!r}"
    return text if row.immediates else "$self, /"


cdef str parameters_of(row):
    if row.arity == 2:
        return "other : Value or float\n"
    text = ""
    for name, default in row.immediates:
        text += f"{name} : float, {'optional' if isinf(<double>default) else f'default {default}'}\n"
        if isinf(<double>default):
            text += f"    The {'lower' if default < 0 else 'upper'} bound; None for no bound.\n"
    return text


cdef str errors_of(row):
    """Each exception with a sentence that says when."""
    operand = "an operand" if row.arity == 2 else "the operand"
    text = ""
    if len(row.immediates) == 2:
        text += f"ValueError\n    If {row.immediates[0][0]} is above {row.immediates[1][0]}.\n"
    for error in row.value_errors:
        when = {
            ValueError: f"If {operand} is neither nan nor {row.wanted}.",
            OverflowError: f"If {operand} is finite, and the result too large for a float.",
            ZeroDivisionError: "If 0 is raised to a negative power.",
        }[error]
        text += f"{error.__name__}\n    {when}\n"
    for error in row.slope_errors:
        when = {
            OverflowError: "if the slope is too large for a float.",
            ZeroDivisionError: "if the slope would be a division by 0.",
        }[error]
        text += f"{error.__name__}\n    From ``backward``, {when}\n"
    return text


cdef str help_of(row):
    """The docstring of an operation's method."""
    parameters, errors = parameters_of(row), errors_of(row)
    text = f"{row.name}({signature_of(row)})\n--\n\n{row.doc}\n"
    if parameters:
        text += f"\nParameters\n----------\n{parameters}"
    text += "\nReturns\n-------\nValue\n"
    if errors:
        text += f"\nRaises\n------\n{errors}"
    return text
