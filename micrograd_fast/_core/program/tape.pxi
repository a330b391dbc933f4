# The tape of a frozen program as columns of bytes: how it is pickled, saved, and checked when it
# comes back.

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.bytearray cimport PyByteArray_AS_STRING

#: The columns of a tape, one number for each entry, and what their numbers are: unsigned bytes
#: (B), unsigned 32-bit integers (I) and doubles (d), in native order. `Program.tape` says more.
TAPE_COLUMNS = {"op": "B", "kind": "B", "a": "I", "b": "I", "k": "d", "h": "d"}


cdef dict packed_tape(mg_tape *tape):
    """The columns of a tape, its outputs, and the names that ``op`` counts in."""
    cdef uint32_t i, n = tape.n_entries
    op, kind = bytearray(n), bytearray(n)
    a, b = bytearray(n * sizeof(uint32_t)), bytearray(n * sizeof(uint32_t))
    k, h = bytearray(n * sizeof(double)), bytearray(n * sizeof(double))
    cdef uint8_t *ops = <uint8_t *>PyByteArray_AS_STRING(op)
    cdef uint8_t *kinds = <uint8_t *>PyByteArray_AS_STRING(kind)
    cdef uint32_t *left = <uint32_t *>PyByteArray_AS_STRING(a)
    cdef uint32_t *right = <uint32_t *>PyByteArray_AS_STRING(b)
    cdef double *first = <double *>PyByteArray_AS_STRING(k)
    cdef double *second = <double *>PyByteArray_AS_STRING(h)
    for i in range(n):
        ops[i] = tape.entries[i].op
        kinds[i] = tape.entries[i].leaf
        left[i] = tape.entries[i].a
        right[i] = tape.entries[i].b
        first[i] = tape.entries[i].k
        second[i] = tape.entries[i].h
    columns = dict(zip(TAPE_COLUMNS, map(bytes, (op, kind, a, b, k, h))))
    columns["candidates"] = PyBytes_FromStringAndSize(
        <const char *>tape.candidates, tape.n_candidates * sizeof(uint32_t)
    )
    columns["outputs"] = PyBytes_FromStringAndSize(
        <const char *>tape.outputs, tape.n_outputs * sizeof(uint32_t)
    )
    columns["operations"] = operation_names()
    columns["n_inputs"] = tape.n_inputs
    return columns


cdef object damaged_program(str what):
    return ValueError(f"damaged program: {what}")


cdef const char *tape_column(dict packed, str name, Py_ssize_t itemsize,
                           Py_ssize_t *n) except NULL:
    """The numbers of a column and how many they are; they live as long as ``packed``."""
    column = packed[name]
    if type(column) is not bytes:
        raise damaged_program(f"{name!r} must be bytes, found {type(column).__name__}")
    if len(column) % itemsize:
        raise damaged_program(f"{name!r} has {len(column)} bytes, which are no whole numbers")
    n[0] = len(column) // itemsize
    return PyBytes_AS_STRING(column)


cdef object tape_flag(object packed, str name):
    flag = packed[name]
    if type(flag) is not bool:
        raise damaged_program(f"{name!r} must be a bool, found {type(flag).__name__}")
    return flag


cdef int read_codes(object names, uint8_t *codes, Py_ssize_t *n) except -1:
    """The codes that operations have here, by the place of their name in a list."""
    if type(names) not in (list, tuple) or len(names) > 256:
        raise damaged_program("'operations' must be a list of at most 256 names")
    known = dict(zip(operation_names(), range(<int>MG_N_OPS)))
    n[0] = len(names)
    for place, name in enumerate(names):
        # A name that this version does not know is an error where an entry has it.
        codes[place] = known.get(name, <int>MG_N_OPS) if type(name) is str else <int>MG_N_OPS
    return 0


cdef int fill_tape(mg_tape *tape, object given) except -1:
    """Entries from the columns of a tape, which may hold anything. What they ask for is no more
    than they hold."""
    cdef Py_ssize_t i, n = 0, n_names = 0, n_outputs = 0, n_candidates = 0, length = 0
    cdef uint8_t codes[256]
    if not isinstance(given, dict):
        raise damaged_program(f"its tape must be a dict, found {type(given).__name__}")
    # Of our own: nothing takes a column away meanwhile.
    cdef dict packed = dict(given)
    read_codes(packed["operations"], codes, &n_names)
    cdef const uint8_t *ops = <const uint8_t *>tape_column(packed, "op", 1, &n)
    cdef const uint8_t *kinds = <const uint8_t *>tape_column(packed, "kind", 1, &length)
    cdef bint fit = length == n
    cdef const uint32_t *left = <const uint32_t *>tape_column(packed, "a", 4, &length)
    fit = fit and length == n
    cdef const uint32_t *right = <const uint32_t *>tape_column(packed, "b", 4, &length)
    fit = fit and length == n
    cdef const double *first = <const double *>tape_column(packed, "k", 8, &length)
    fit = fit and length == n
    cdef const double *second = <const double *>tape_column(packed, "h", 8, &length)
    fit = fit and length == n
    cdef const uint32_t *outputs = <const uint32_t *>tape_column(packed, "outputs", 4, &n_outputs)
    cdef const uint32_t *candidates = <const uint32_t *>tape_column(
        packed, "candidates", 4, &n_candidates
    )
    if not fit or not 0 < n < 2**32 - 1 or max(n_outputs, n_candidates) >= 2**32 - 1:
        raise damaged_program("its columns differ in length")
    n_inputs = packed["n_inputs"]
    # A cast would hide damage.
    if type(n_inputs) is not int:
        raise damaged_program(f"'n_inputs' must be an int, found {type(n_inputs).__name__}")
    tape.n_inputs = n_inputs
    tape.entries = <mg_entry *>mg_calloc(n, sizeof(mg_entry))
    tape.outputs = <uint32_t *>mg_calloc(n_outputs, sizeof(uint32_t))
    tape.candidates = <uint32_t *>mg_calloc(n_candidates, sizeof(uint32_t))
    if tape.entries == NULL or tape.outputs == NULL or tape.candidates == NULL:
        raise no_memory(f"a program of {n} entries")
    memcpy(tape.candidates, candidates, n_candidates * sizeof(uint32_t))
    tape.n_candidates = <uint32_t>n_candidates
    memcpy(tape.outputs, outputs, n_outputs * sizeof(uint32_t))
    for i in range(n):
        if ops[i] >= n_names or codes[ops[i]] == <int>MG_N_OPS:
            raise damaged_program(f"entry {i} has the unknown operation {ops[i]}")
        tape.entries[i].op = codes[ops[i]]
        tape.entries[i].arity = mg_ops[tape.entries[i].op].arity
        tape.entries[i].leaf = kinds[i]
        tape.entries[i].a = left[i]
        tape.entries[i].b = right[i]
        tape.entries[i].k = first[i]
        tape.entries[i].h = second[i]
        tape.n_parameters += tape.entries[i].op == MG_LEAF and kinds[i] == MG_FREE
    tape.n_entries = <uint32_t>n
    tape.n_outputs = <uint32_t>n_outputs
    if not mg_tape_is_sound(tape):
        raise damaged_program("its entries refer to what is not there")
    return 0


# Custom operations, which a tape has the numbers of


cdef tuple function_names(tuple functions):
    names = []
    for operation in functions:
        names.append((<CustomOp>operation).name)
    return tuple(names)


cdef tuple names_to_save(tuple functions):
    """The names of operations, which must differ to tell them apart."""
    names = function_names(functions)
    met = set()
    for name in names:
        if name in met:
            raise ValueError(
                f"custom operations must have names of their own to be saved, found two {name!r}"
            )
        met.add(name)
    return names


cdef int check_functions(tuple functions) except -1:
    for operation in functions:
        if type(operation) is not CustomOp:
            raise damaged_program(f"a custom operation is of type {type(operation).__name__}")
    return 0


cdef int check_operands_of_functions(mg_tape *tape, tuple functions) except -1:
    """Every use of an operation must have as many operands as that takes."""
    cdef uint32_t i
    cdef CustomOp operation
    for i in range(tape.n_entries):
        if tape.entries[i].op != MG_FUNCTION:
            continue
        operation = <CustomOp>functions[<Py_ssize_t>tape.entries[i].k]
        if tape.entries[i].b != operation.arity:
            raise damaged_program(
                f"{operation.name} takes {operation.arity} operands, found {tape.entries[i].b}"
            )
    return 0
