# Calls of fused layers: what nn's classes make of their inputs instead of building node by node.


cdef list plain_inputs(object x):
    """The inputs as a list, or None if only the scalar path can say what they are."""
    if type(x) is list:
        return <list>x
    if type(x) is tuple:
        return list(x)
    if getattr(x, "ndim", None) == 1 and hasattr(x, "tolist"):
        return x.tolist()
    return None


cdef mg_call *new_call(mg_layer_block *block, uint32_t first_row, uint32_t n_rows,
                       list inputs) except? NULL:
    """A call with its inputs filled in; NULL if one of them is unusual."""
    cdef mg_call *call
    cdef Py_ssize_t i, n_in = len(inputs)
    cdef bint with_values = False
    cdef PyObject *item
    cdef mg_node node
    for i in range(n_in):
        item = list_item(<PyObject *>inputs, i)
        if Py_TYPE(item) == ValueType:
            with_values = True
            if arena.meta[node_of(item)].flags & MG_PARAMETER:
                return NULL
        elif not PyFloat_CheckExact(item) and not PyLong_CheckExact(item):
            return NULL
    call = mg_call_new(block, first_row, n_rows, with_values)
    if call == NULL:
        raise MemoryError(f"no memory for a layer call of {n_rows} neurons")
    try:
        for i in range(n_in):
            item = list_item(<PyObject *>inputs, i)
            node = MG_NO_NODE
            if Py_TYPE(item) == ValueType:
                node = node_of(item)
                call.x[i] = arena.data[node]
            elif PyFloat_CheckExact(item):
                call.x[i] = PyFloat_AS_DOUBLE(item)
            else:
                call.x[i] = PyLong_AsDouble(item)
            if with_values:
                call.inputs[i] = node
    except BaseException:
        mg_call_free(call)
        raise
    mg_call_find_duplicates(&arena, call)
    return call


cdef object neurons_of_call(mg_call *call):
    """The Values of a call that has just been made."""
    cdef uint32_t r = 0, n_rows = call.n_rows
    cdef PyObject *handle
    cdef PyObject *outputs
    outputs = PyList_New(n_rows)
    try:
        while r < n_rows:
            handle = handle_new()
            handle_attach(handle, call.neurons[r])
            PyList_SET_ITEM(outputs, r, handle)
            r += 1
    except BaseException:
        for r in range(n_rows):
            discard_unused(call.neurons[r])
        Py_DECREF(outputs)
        raise
    return adopt(outputs)


cdef int evaluate(mg_call *call) except -1:
    """Give a new call its neurons, without handles yet; frees the call if it has no value."""
    cdef double failed_pre = 0.0
    cdef mg_op activation = call.activation
    cdef mg_status st = mg_call_forward(&arena, call, &failed_pre)
    if st != MG_OK:
        mg_call_free(call)
        raise_status(st, activation, failed_pre, 0.0)
    return 0


cdef mg_call *called(mg_layer_block *block, uint32_t first_row, uint32_t n_rows, object x) except? NULL:
    """The call of some rows of a block, evaluated; NULL for the scalar path."""
    cdef mg_call *call
    inputs = plain_inputs(x)
    if inputs is None or len(<list>inputs) != block.n_in:
        return NULL
    call = new_call(block, first_row, n_rows, inputs)
    if call != NULL:
        evaluate(call)
    return call


cdef object fused(mg_layer_block *block, uint32_t first_row, uint32_t n_rows, object x):
    """The outputs of some rows of a block, or None for the scalar path."""
    cdef mg_call *call = called(block, first_row, n_rows, x)
    return None if call == NULL else neurons_of_call(call)


cdef mg_call *called_on(mg_layer_block *block, mg_call *before) except NULL:
    """The call of a whole block on all neurons of another call, which go with it if it fails."""
    cdef uint32_t i, n = before.n_rows
    cdef mg_call *call = mg_call_new(block, 0, block.n_rows, True)
    try:
        if call == NULL:
            raise MemoryError(f"no memory for a layer call of {block.n_rows} neurons")
        for i in range(n):
            call.x[i] = arena.data[before.neurons[i]]
            call.inputs[i] = before.neurons[i]
        evaluate(call)
    except BaseException:
        for i in range(n):
            discard_unused(before.neurons[i])
        raise
    return call


def fused_layer(layer, x):
    """The list of a layer's outputs, or None where it must be built node by node."""
    cdef mg_layer_block *block = layer_block(layer)
    return None if block == NULL else fused(block, 0, block.n_rows, x)


cdef enum:
    MAX_STACK = 32  # layers that are evaluated in one go


def fused_stack(layers, x):
    """The list of the last layer's outputs, each layer evaluated on the one before.

    None where the layers must be called one by one. The neurons in between get no handle.
    """
    cdef mg_layer_block *blocks[MAX_STACK]
    cdef mg_call *call
    cdef Py_ssize_t i, n
    if type(layers) is not list or not 0 < len(<list>layers) <= MAX_STACK:
        return None
    n = len(<list>layers)
    for i in range(n):
        if Py_TYPE(list_item(<PyObject *>layers, i)) != LayerType:
            return None
    if not layer_class_unchanged() or not lay_out_all(<list>layers, blocks):
        return None
    for i in range(1, n):
        if blocks[i].n_in != blocks[i - 1].n_rows:
            return None
    call = called(blocks[0], 0, blocks[0].n_rows, x)
    if call == NULL:
        return None
    for i in range(1, n):
        call = called_on(blocks[i], call)
    return neurons_of_call(call)


def fused_neuron(neuron, x):
    """A neuron's output, or None where it must be built node by node."""
    cdef mg_layer_block *block
    cdef uint32_t row
    if Py_TYPE(<PyObject *>neuron) != NeuronType or not classes_unchanged():
        return None
    block = block_of(neuron)
    if block == NULL:
        block = find_block(neuron, [neuron])
    if block == NULL or block.version != structure_version:
        return None
    row = (node_of(<PyObject *>neuron.w[0]) - block.base) / (block.n_in + 1)
    if block.row_owners[row] != <void *><PyObject *>neuron:
        return None
    outputs = fused(block, row, 1, x)
    return None if outputs is None else outputs[0]
