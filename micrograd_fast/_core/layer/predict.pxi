# Fused layers on rows of numbers, without a graph.

cdef Py_ssize_t find_layers_for(object model, uint32_t n_in, FusedRows *rows,
                                uint32_t *width) except -1:
    """The rows of the layers that a call of the model evaluates, and how many there are; 0 if it
    does anything else. ``width`` is that of the widest layer."""
    cdef list layers = layers_of(model)
    cdef Py_ssize_t i, n_layers = 0 if layers is None else find_stack(layers, rows)
    width[0] = 1
    if n_layers > 0 and rows[0].block.n_in != n_in:
        raise ValueError(f"a neuron with {rows[0].block.n_in} weights was given {n_in} inputs")
    for i in range(n_layers):
        width[0] = max(width[0], rows[i].n_rows)
    return n_layers


cdef mg_status evaluate_rows(FusedRows *rows, Py_ssize_t n_layers, const double *numbers,
                             Py_ssize_t n, double *outputs, double *scratch, uint32_t width,
                             mg_op *failed, double *failed_pre) noexcept:
    """The outputs of a stack of layers for each row. ``scratch`` has room for two wide rows."""
    cdef Py_ssize_t r, i
    cdef size_t n_in = rows[0].block.n_in, n_out = rows[n_layers - 1].n_rows
    cdef const double *before
    cdef double *after
    cdef mg_status st
    for r in range(n):
        before = numbers + r * n_in
        for i in range(n_layers):
            after = outputs + r * n_out if i == n_layers - 1 else scratch + i % 2 * width
            st = mg_call_values(&arena, rows[i].block, rows[i].first_row, rows[i].n_rows,
                                rows[i].activation, before, after, failed_pre)
            if st != MG_OK:
                failed[0] = rows[i].activation.op
                return st
            before = after
    return MG_OK


def fused_rows(model, x):
    """The outputs of a model for each row of an array of float64, without a graph.

    Returns an array of as many rows. None if the model's calls must be made one by one;
    ValueError for rows of the wrong length.
    """
    import numpy

    cdef FusedRows rows[MAX_STACK]
    cdef Py_buffer numbers_view, outputs_view
    cdef const double *numbers = take_doubles(x, 2, False, "x", &numbers_view)
    cdef double *outputs
    cdef double *scratch = NULL
    cdef double failed_pre = 0.0
    cdef Py_ssize_t n_layers
    cdef uint32_t n_in, n_out, width, width_now
    cdef mg_status st
    cdef mg_op failed = MG_LEAF
    try:
        n_in = <uint32_t>numbers_view.shape[1]
        n_layers = find_layers_for(model, n_in, rows, &width)
        if n_layers == 0:
            return None
        n_out = rows[n_layers - 1].n_rows
        result = numpy.empty((numbers_view.shape[0], n_out))
        outputs = take_doubles(result, 2, True, "outputs", &outputs_view)
        try:
            scratch = <double *>mg_realloc(NULL, 2 * <size_t>width * sizeof(double))
            if scratch == NULL:
                raise no_memory(f"two rows of {width} numbers")
            # Once more, now that there is all the room: to make it can have run Python.
            if find_layers_for(model, n_in, rows, &width_now) != n_layers or (
                rows[n_layers - 1].n_rows != n_out or width_now != width
            ):
                return None
            st = evaluate_rows(rows, n_layers, numbers, numbers_view.shape[0], outputs, scratch,
                               width, &failed, &failed_pre)
        finally:
            mg_free(scratch)
            PyBuffer_Release(&outputs_view)
    finally:
        PyBuffer_Release(&numbers_view)
    if st != MG_OK:
        raise_status(st, failed, failed_pre, 0.0)
    return result
