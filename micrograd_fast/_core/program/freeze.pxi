# Making frozen programs of graphs.

cdef object refusal(mg_refused *refused):
    node = adopt(handle_of(refused.node))
    if refused.refusal == MG_HAS_CLOSURE:
        return ValueError(f"{node!r} has a Python _backward, which a program cannot replay")
    if refused.refusal == MG_HAS_NO_RULE:
        return ValueError(
            f"{node!r} was made from operands without an operation that could be replayed"
        )
    return ValueError(f"inputs[{refused.index}], {node!r}, is not below the output")


cdef mg_node *nodes_of(object values, str name) except NULL:
    """The nodes of some Values, to be freed."""
    cdef size_t i, n = len(values)
    cdef mg_node *nodes
    for i in range(n):
        if not is_value(<PyObject *>values[i]):
            raise TypeError(f"{name}[{i}] must be a Value, found {type(values[i]).__name__}")
    nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
    if nodes == NULL:
        raise MemoryError(f"no memory for {n} nodes")
    for i in range(n):
        nodes[i] = node_of(<PyObject *>values[i])
    return nodes


cdef int check_inputs(mg_node *nodes, list inputs) except -1:
    first_places = {}
    for index, value in enumerate(inputs):
        if arena.meta[nodes[index]].op != MG_LEAF or arena.meta[nodes[index]].arity != 0:
            raise ValueError(f"inputs[{index}], {value!r}, is not a leaf: it was computed")
        if id(value) in first_places:
            raise ValueError(
                f"inputs[{index}] is the same Value as inputs[{first_places[id(value)]}]"
            )
        first_places[id(value)] = index
    return 0


def freeze(kind, list outputs, list inputs, bint is_sequence, bint need_inputs, fast, dtype):
    """Make a program; ``micrograd_fast.compile`` says more."""
    cdef mg_tape tape
    cdef mg_node *parameter_nodes = NULL
    cdef mg_node *input_nodes = NULL
    cdef mg_refused refused
    cdef mg_status st
    cdef mg_node *roots
    arithmetic_of(fast, dtype)
    if len(outputs) == 0 or not (is_sequence or len(outputs) == 1):
        raise ValueError(f"compile wants one output or a sequence, found {len(outputs)}")
    roots = nodes_of(outputs, "outputs" if is_sequence else "output")
    try:
        input_nodes = nodes_of(inputs, "inputs")
        check_inputs(input_nodes, inputs)
        st = mg_tape_record(&arena, roots, <uint32_t>len(outputs), input_nodes,
                            <uint32_t>len(inputs), need_inputs, &tape, &parameter_nodes, &refused)
        if st != MG_OK:
            raise MemoryError("no memory to record the graph")
        if refused.refusal != MG_FREEZABLE:
            raise refusal(&refused)
        try:
            parameters = []
            for i in range(tape.n_parameters):
                parameters.append(adopt(handle_of(parameter_nodes[i])))
        except BaseException:
            mg_tape_free(&tape)
            raise
        return new_program(kind, &tape, tuple(parameters), is_sequence, fast, dtype)
    finally:
        mg_free(parameter_nodes)
        mg_free(input_nodes)
        mg_free(roots)
