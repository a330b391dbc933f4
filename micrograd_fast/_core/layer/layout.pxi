# Where the parameters of layers are: side by side in the arena, as rows of a block.


cdef bint fusable_leaf(object value) noexcept:
    cdef PyObject *handle = <PyObject *>value
    if Py_TYPE(handle) != ValueType or arena.meta[node_of(handle)].arity != 0:
        return False
    return not may_have_closure(handle)


cdef bint all_distinct_leaves(list values) noexcept:
    cdef mg_node node
    for value in values:
        if not fusable_leaf(value):
            return False
    mg_arena_next_epoch(&arena)
    for value in values:
        node = node_of(<PyObject *>value)
        if arena.mark[node] == arena.epoch:
            return False
        arena.mark[node] = arena.epoch
    return True


cdef int move_leaf(PyObject *handle, mg_node target) except -1:
    """Give a leaf that only its handle refers to another slot."""
    global n_moves
    cdef mg_node source = node_of(handle)
    arena.data[target] = arena.data[source]
    arena.grad[target] = arena.grad[source]
    arena.meta[target] = arena.meta[source]
    arena.aux[target].immediate = 0.0
    arena.handle[target] = handle
    (<ValueHandle *>handle).node = target
    n_moves += 1
    arena.handle[source] = NULL
    arena.meta[source].flags = 0
    mg_arena_release(&arena, source)
    return 0


cdef bint are_neighbours(list values) noexcept:
    """Whether the values lie side by side in their order, none of them a parameter yet."""
    cdef Py_ssize_t i
    cdef mg_node node
    cdef mg_node base = node_of(list_item(<PyObject *>values, 0))
    for i in range(len(values)):
        node = node_of(list_item(<PyObject *>values, i))
        if node != base + <mg_node>i or arena.meta[node].flags & MG_PARAMETER:
            return False
    return True


cdef bint can_be_moved(list values) noexcept:
    # A number of a node that somebody remembers, or a use, would be left behind.
    if n_node_maps > 0 or not all_distinct_leaves(values):
        return False
    for value in values:
        if arena.meta[node_of(<PyObject *>value)].refs != 1:
            return False
    return True


cdef list row_values(list neurons, Py_ssize_t *n_in):
    """Every parameter, row by row, bias last; None if the neurons are not of one kind."""
    cdef list values = [], parts = [None, None, None]
    cdef mg_activation activation, first
    for neuron in neurons:
        if not read_neuron(neuron, parts) or not read_activation(parts[2], &activation):
            return None
        if len(values) == 0:
            n_in[0] = len(<list>parts[0])
            first = activation
        if len(<list>parts[0]) != n_in[0] or n_in[0] == 0:
            return None
        if activation.op != first.op or activation.k != first.k:
            return None
        values.extend(<list>parts[0])
        values.append(parts[1])
    return values if len(values) else None


cdef int lay_out(list neurons) except -1:
    """Put the parameters of some neurons into a block of their own, if that is possible.

    Nothing that Python can see changes. Whether the block is what the neurons have at the end
    is for the guard to see: making parameters ordinary first can run Python.
    """
    cdef Py_ssize_t n_in = 0, i, n_rows
    cdef list values = row_values(neurons, &n_in)
    cdef mg_node base
    cdef bint is_span
    if values is None or not all_distinct_leaves(values):
        return 0
    is_span = not are_neighbours(values)
    if is_span:
        for value in values:
            make_ordinary(node_of(<PyObject *>value))
        if not can_be_moved(values):
            return 0
    n_rows = len(values) // (n_in + 1)
    # From here on no Python runs.
    if is_span:
        base = mg_arena_take_span(&arena, <uint32_t>len(values))
        if base == MG_NO_NODE:
            raise no_memory(f"{len(values)} parameters in a row")
        for i in range(len(values)):
            move_leaf(list_item(<PyObject *>values, i), base + <mg_node>i)
    base = node_of(list_item(<PyObject *>values, 0))
    if mg_layer_block_new(&arena, base, <uint32_t>n_rows, <uint32_t>n_in, is_span) == NULL:
        raise no_memory(f"the record of a layer of {n_rows} neurons")
    return 0
