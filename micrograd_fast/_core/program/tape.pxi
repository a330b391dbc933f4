# The tape of a frozen program as columns of bytes: how it is pickled, saved, and checked when it
# comes back.

cdef tuple TAPE_COLUMNS = ("op", "kind", "a", "b", "k", "h")


cdef dict packed_tape(mg_tape *tape):
    """The columns of a tape; `Program.tape` says what they are."""
    import array

    cdef uint32_t i
    columns = list(map(array.array, "BBIIdd"))
    for i in range(tape.n_entries):
        columns[0].append(tape.entries[i].op)
        columns[1].append(tape.entries[i].leaf)
        columns[2].append(tape.entries[i].a)
        columns[3].append(tape.entries[i].b)
        columns[4].append(tape.entries[i].k)
        columns[5].append(tape.entries[i].h)
    packed = {name: column.tobytes() for name, column in zip(TAPE_COLUMNS, columns)}
    outputs = array.array("I")
    for i in range(tape.n_outputs):
        outputs.append(tape.outputs[i])
    packed["outputs"] = outputs.tobytes()
    packed["operations"] = operation_names()
    packed["n_inputs"] = tape.n_inputs
    return packed


cdef object damaged_program(str what):
    return ValueError(f"damaged program: {what}")


cdef int fill_tape(mg_tape *tape, object packed) except -1:
    """Entries from the columns of a tape, which may hold anything."""
    import array

    cdef Py_ssize_t i, n
    cdef list names = list(packed["operations"])
    codes = {operation_name(<mg_op>op): op for op in range(<int>MG_N_OPS)}
    columns = []
    for name, code in zip(TAPE_COLUMNS, "BBIIdd"):
        entries = array.array(code)
        entries.frombytes(bytes(packed[name]))
        columns.append(entries)
    outputs = array.array("I")
    outputs.frombytes(bytes(packed["outputs"]))
    ops, kinds, a, b, k, h = columns
    n = len(ops)
    if any(len(column) != n for column in columns) or not 0 < n < 2**32 - 1:
        raise damaged_program("its columns differ in length")
    tape.entries = <mg_entry *>mg_calloc(n, sizeof(mg_entry))
    tape.outputs = <uint32_t *>mg_calloc(len(outputs), sizeof(uint32_t))
    if tape.entries == NULL or tape.outputs == NULL:
        raise MemoryError(f"no memory for a program of {n} entries")
    for i in range(n):
        if ops[i] >= len(names) or names[ops[i]] not in codes:
            raise damaged_program(f"entry {i} has the unknown operation {ops[i]}")
        tape.entries[i].op = codes[names[ops[i]]]
        tape.entries[i].arity = mg_ops[tape.entries[i].op].arity
        tape.entries[i].leaf = kinds[i]
        tape.entries[i].a = a[i]
        tape.entries[i].b = b[i]
        tape.entries[i].k = k[i]
        tape.entries[i].h = h[i]
        tape.n_parameters += tape.entries[i].op == MG_LEAF and kinds[i] == 2
    for i in range(len(outputs)):
        tape.outputs[i] = outputs[i]
    tape.n_entries = <uint32_t>n
    tape.n_outputs = <uint32_t>len(outputs)
    tape.n_inputs = packed["n_inputs"]
    if not mg_tape_is_sound(tape):
        raise damaged_program("its entries refer to what is not there")
    return 0
