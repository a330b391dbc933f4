# Making frozen programs of graphs.

cdef object refusal(mg_refused *refused):
    node = adopt(handle_of(refused.node, ValueType))
    if refused.refusal == MG_HAS_CLOSURE:
        return ValueError(f"{node!r} has a Python _backward, which a program cannot replay")
    if refused.refusal == MG_HAS_DATA:
        return ValueError(
            f"the data of {node!r} was assigned after it had been computed, which a program would"
            " do again; Value(number) makes a parameter of it"
        )
    return ValueError(
        f"{node!r} was made from operands without an operation that could be replayed"
    )


cdef int check_values(list values, str name) except -1:
    for index, value in enumerate(values):
        if not is_value(<PyObject *>value):
            raise TypeError(f"{name}[{index}] must be a Value, found {type(value).__name__}")
    return 0


cdef int check_leaves(list values, str name, dict first_places) except -1:
    """Values must be leaves, and none of them where ``first_places`` says that one was before."""
    for index, value in enumerate(values):
        if was_computed(node_of(<PyObject *>value)):
            raise ValueError(f"{name}[{index}], {value!r}, is not a leaf: it was computed")
        place = f"{name}[{index}]"
        first = first_places.setdefault(id(value), place)
        if first is not place:
            raise ValueError(f"{place} is the same Value as {first}")
    return 0


cdef int check_all_are_named(tuple parameters, Py_ssize_t n_given) except -1:
    """Where the parameters were given, the graph has no others."""
    if len(parameters) > n_given:
        raise ValueError(
            f"{parameters[n_given]!r} is a leaf of the graph, and must be in inputs or parameters:"
            f" they lack {len(parameters) - n_given} of its leaves"
        )
    return 0


cdef mg_status function_of(void *context, mg_node node, uint32_t *function) noexcept:
    """Number the custom operations of a graph in a dict. Runs no Python: its keys have no methods
    of their own."""
    cdef dict found = <dict><PyObject *>context
    cdef CustomOp operation
    cdef const mg_node *operands
    cdef mg_status st = MG_OK
    if arena.handle[node] == NULL or arena.meta[node].op != MG_LOCAL:
        return MG_OK
    operation = custom_operation_of(<PyObject *>arena.handle[node])
    if operation is None or mg_node_operands(&arena, node, &operands) != operation.arity:
        return MG_OK
    try:
        function[0] = <uint32_t>found.setdefault(operation, len(found))
    except MemoryError:
        st = MG_NO_MEMORY  # see answer_call
    return st


cdef mg_node *nodes_of(list values) except NULL:
    """The nodes of some Values, to be freed. They are good until Python runs."""
    cdef size_t i, n = len(values)
    cdef mg_node *nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
    if nodes == NULL:
        raise no_memory(f"{n} nodes")
    for i in range(n):
        nodes[i] = node_of(list_item(<PyObject *>values, i))
    return nodes


def freeze(kind, outputs, inputs, bint is_sequence, fast, dtype, parameters=None,
           input_names=None, parameter_names=None):
    """Make a program; ``micrograd_fast.compile`` says more."""
    cdef mg_tape tape
    cdef mg_node *roots = NULL
    cdef mg_node *input_nodes = NULL
    cdef mg_node *given_nodes = NULL
    cdef mg_node *parameter_nodes = NULL
    cdef mg_known_leaves known
    cdef mg_known_functions known_functions
    cdef mg_refused refused
    cdef mg_status st
    cdef uint32_t i
    cdef PyTypeObject *plain
    cdef mg_arithmetic arithmetic = arithmetic_of(fast, dtype)
    # Lists and tuples of our own, made while there are no nodes in hand that could be moved.
    cdef list output_list = list(outputs), input_list = list(inputs), found = []
    cdef dict functions = {}
    cdef list given = [] if parameters is None else list(parameters)
    cdef tuple input_tuple = tuple(input_list)
    cdef Names own_input_names = Names(input_names, "input")
    cdef Names own_parameter_names = Names(parameter_names, "parameter")
    if len(output_list) == 0 or not (is_sequence or len(output_list) == 1):
        raise ValueError(
            f"output must be one Value or a sequence of some, found {len(output_list)}"
        )
    check_values(output_list, "outputs" if is_sequence else "output")
    check_values(input_list, "inputs")
    check_values(given, "parameters")
    first_places = {}
    check_leaves(input_list, "inputs", first_places)
    check_leaves(given, "parameters", first_places)
    try:
        roots = nodes_of(output_list)
        input_nodes = nodes_of(input_list)
        given_nodes = nodes_of(given)
        known = mg_known_leaves(input_nodes, given_nodes, <uint32_t>len(input_list),
                                <uint32_t>len(given))
        known_functions = mg_known_functions(function_of, <PyObject *>functions)
        st = mg_tape_record(&arena, roots, <uint32_t>len(output_list), &known, &known_functions,
                            &tape, &parameter_nodes, &refused)
        if st != MG_OK:
            raise no_memory("the record of the graph")
        if refused.refusal != MG_FREEZABLE:
            raise refusal(&refused)
        try:
            plain = kind_of(<PyObject *>output_list[0])
            for i in range(tape.n_parameters):
                found.append(adopt(handle_of(parameter_nodes[i], plain)))
            all_parameters = tuple(found)
            if parameters is not None:
                check_all_are_named(all_parameters, len(given))
            own_input_names.settle(input_tuple)
            own_parameter_names.settle(all_parameters)
        except BaseException:
            mg_tape_free(&tape)
            raise
    finally:
        mg_free(parameter_nodes)
        mg_free(given_nodes)
        mg_free(input_nodes)
        mg_free(roots)
    graph = new_graph(&tape, all_parameters, input_tuple, is_sequence, arithmetic)
    graph.functions = tuple(functions)
    graph.input_names = own_input_names.names
    graph.parameter_names = own_parameter_names.names
    return new_program(kind, graph)
