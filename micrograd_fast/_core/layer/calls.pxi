# Calls of fused layers: what nn's classes make of their inputs instead of building node by node.
#
# Input is converted first and rows are looked up after, because to convert can run Python. From the
# look-up on none runs, until every neuron has its handle: the handles are made before the nodes.

cdef extern from "Python.h":
    void PyList_SET_ITEM(PyObject *, Py_ssize_t, PyObject *)

cdef extern from *:
    """
    /* Without a collection: see new_untracked_handle. */
    static PyObject *new_list(Py_ssize_t n) {
        const int collecting = PyGC_Disable();
        PyObject *list = PyList_New(n);
        if (collecting) PyGC_Enable();
        return list;
    }
    """
    PyObject *new_list(Py_ssize_t n) except NULL


cdef list plain_inputs(object x):
    """The inputs as a list, or None if only the scalar path can say what they are."""
    if type(x) is list:
        return <list>x
    if type(x) is tuple:
        return list(x)
    if getattr(x, "ndim", None) == 1 and hasattr(x, "tolist"):
        numbers = x.tolist()
        return <list>numbers if type(numbers) is list else None
    return None


cdef enum:
    UNUSUAL_INPUT = 0
    ONLY_NUMBERS = 1
    SOME_VALUES = 2


cdef int kind_of_inputs(list inputs, uint32_t n_in) noexcept:
    cdef Py_ssize_t i
    cdef PyObject *item
    cdef int kind = ONLY_NUMBERS
    if <size_t>len(inputs) != n_in:
        return UNUSUAL_INPUT
    for i in range(n_in):
        item = list_item(<PyObject *>inputs, i)
        if Py_TYPE(item) == ValueType:
            kind = SOME_VALUES
            if arena.meta[node_of(item)].flags & MG_PARAMETER:
                return UNUSUAL_INPUT
        elif not PyFloat_CheckExact(item) and not PyLong_CheckExact(item):
            return UNUSUAL_INPUT
    return kind


cdef mg_call *room_for_call(FusedRows *rows, bint with_values) except NULL:
    cdef mg_call *call = mg_call_new(
        rows.block, rows.first_row, rows.n_rows, rows.activation, with_values
    )
    if call == NULL:
        raise no_memory(f"a layer call of {rows.n_rows} neurons")
    return call


cdef int fill_inputs(mg_call *call, list inputs) except -1:
    cdef Py_ssize_t i
    cdef PyObject *item
    cdef mg_node node
    for i in range(call.n_in):
        item = list_item(<PyObject *>inputs, i)
        node = MG_NO_NODE
        if Py_TYPE(item) == ValueType:
            node = node_of(item)
            call.x[i] = arena.data[node]
        elif PyFloat_CheckExact(item):
            call.x[i] = PyFloat_AS_DOUBLE(item)
        else:
            call.x[i] = PyLong_AsDouble(item)
        if call.inputs != NULL:
            call.inputs[i] = node
    mg_call_find_duplicates(&arena, call)
    return 0


cdef int evaluate(mg_call *call) except -1:
    """Give a new call its neurons, without references yet; frees the call if it has no value."""
    cdef double failed_pre = 0.0
    cdef mg_op activation = call.activation.op
    cdef mg_status st = mg_call_forward(&arena, call, &failed_pre)
    if st != MG_OK:
        mg_call_free(call)
        raise_status(st, activation, failed_pre, 0.0)
    return 0


cdef mg_call *called(FusedRows *rows, list inputs) except? NULL:
    """A layer's call on the inputs, evaluated; NULL for the scalar path."""
    cdef int kind = kind_of_inputs(inputs, rows.block.n_in)
    cdef mg_call *call
    if kind == UNUSUAL_INPUT:
        return NULL
    call = room_for_call(rows, kind == SOME_VALUES)
    try:
        fill_inputs(call, inputs)
    except BaseException:
        mg_call_free(call)
        raise
    evaluate(call)
    return call


cdef mg_call *called_on(FusedRows *rows, mg_call *before) except NULL:
    """The call on all neurons of another one, which go with it if it fails."""
    cdef uint32_t i, n = before.n_rows
    cdef mg_call *call
    try:
        call = room_for_call(rows, True)
        for i in range(n):
            call.x[i] = arena.data[before.neurons[i]]
            call.inputs[i] = before.neurons[i]
        evaluate(call)
    except BaseException:
        # The call before lives until the last of its neurons has gone.
        for i in range(n):
            mg_arena_discard(&arena, before.neurons[i])
        raise
    return call


cdef PyObject *fresh_handles(uint32_t n) except NULL:
    """A list of handles without nodes."""
    cdef PyObject *outputs = new_list(n)
    cdef uint32_t r
    try:
        for r in range(n):
            PyList_SET_ITEM(outputs, r, handle_new(ValueType))
    except BaseException:
        Py_DECREF(outputs)
        raise
    return outputs


cdef list evaluated(FusedRows *rows, Py_ssize_t n_layers, list inputs):
    """The outputs of the last of some layers, each on those of the one before; None for the
    scalar path. The neurons in between get no handle."""
    cdef PyObject *outputs = fresh_handles(rows[n_layers - 1].n_rows)
    cdef mg_call *call
    cdef Py_ssize_t i
    cdef uint32_t r
    try:
        call = called(&rows[0], inputs)
        if call != NULL:
            for i in range(1, n_layers):
                call = called_on(&rows[i], call)
    except BaseException:
        Py_DECREF(outputs)
        raise
    if call == NULL:
        Py_DECREF(outputs)
        return None
    for r in range(call.n_rows):
        handle_attach(list_item(outputs, r), call.neurons[r])
    return <list>adopt(outputs)


def fused(module, x):
    """What a call of a neuron, a layer or a list of layers gives for a row, evaluated as a whole.

    None where that is for the caller to build node by node.
    """
    cdef FusedRows rows[MAX_STACK]
    cdef Py_ssize_t n_layers = 1
    cdef list inputs = plain_inputs(x), outputs
    if inputs is None:
        return None
    if Py_TYPE(<PyObject *>module) == NeuronType:
        if not find_neuron(module, rows):
            return None
    elif type(module) is list:
        n_layers = find_stack(<list>module, rows)
        if n_layers == 0:
            return None
    elif not find_layer(module, rows):
        return None
    outputs = evaluated(rows, n_layers, inputs)
    if outputs is None:
        return None
    return outputs[0] if len(outputs) == 1 else outputs
