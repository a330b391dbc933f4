# The one place that turns a C status into a Python exception.


cdef str operation_name(mg_op op):
    return mg_ops[<int>op].name.decode()


cdef list operation_names():
    """The names of all operations; an operation's code is its place among them."""
    names = []
    for op in range(<int>MG_N_OPS):
        names.append(operation_name(<mg_op>op))
    return names


cdef object no_memory(str what):
    """The exception for memory that is not to be had."""
    return MemoryError(f"no memory for {what}")


cdef str described_places(uint32_t n):
    """What an index among n may be."""
    if n == 1:
        return "0, the only row"
    return f"a whole number from 0 to {n - 1}" if n > 0 else "a row, which an empty table has not"


def describe_places(n):
    """What an index among n may be, for messages."""
    return described_places(n)


cdef int raise_status(mg_status st, mg_op op, double a, double b) except -1:
    """Raise the exception that ``st`` stands for.

    ``a`` is the operand, ``b`` the second operand or the exponent; of an index, how many there are
    to choose from. Always raises; the return
    value only lets callers write ``return raise_status(...)``.
    """
    power = op == MG_POW or op == MG_POW_CONST
    if st == MG_NO_MEMORY:
        raise no_memory(
            f"another node: {arena.n_live} nodes are alive"
            f" in {arena.cap * mg_arena_node_bytes()} bytes"
        )
    if innermost_watch is not None:  # whoever catches what is raised here decides by it
        note_look(<PyObject *>None, "failure", NULL)
    if st == MG_INDEX:
        raise IndexError(f"index must be {described_places(<uint32_t>b)}, found {a!r}")
    if power:
        found = f"{a!r} ** {b!r}"
    else:
        found = f"{operation_name(op)} of {a!r}"
    if st == MG_ZERO_DIVISION:
        if power:
            raise ZeroDivisionError(f"0.0 cannot be raised to a negative power: {found}")
        raise ZeroDivisionError(f"division by zero in the derivative: {found}")
    if st == MG_OVERFLOW:
        raise OverflowError(f"{found}: the result is too large for a float")
    wanted = mg_ops[<int>op].wanted.decode()
    raise ValueError(f"{found} has no real value: found {a!r}, wanted {wanted}")
