# Fused layers on rows of numbers, without a graph.


cdef int fuse_stack(list layers, mg_layer_block **blocks, Py_ssize_t n_inputs) except -1:
    """The blocks of a stack of layers: 0 if they cannot be fused. ValueError where a layer does
    not fit the one before it."""
    cdef mg_layer_block *block
    # Once more where the first round has taken a neuron out of a block of its own.
    if not (lay_out_all(layers, blocks) or lay_out_all(layers, blocks)):
        return 0
    for i in range(len(layers)):
        block = blocks[i]
        if <Py_ssize_t>block.n_in != n_inputs:
            raise ValueError(f"a neuron with {block.n_in} weights was given {n_inputs} inputs")
        n_inputs = block.n_rows
    return 1


cdef int evaluate_rows(mg_layer_block **blocks, Py_ssize_t n_layers, const double *rows,
                       Py_ssize_t n_rows, double *outputs) except -1:
    """The outputs of a stack of blocks for each row."""
    cdef size_t n_in = blocks[0].n_in, n_out = blocks[n_layers - 1].n_rows, widest = 1
    cdef Py_ssize_t r, i
    cdef double failed_pre = 0.0
    cdef mg_status st
    cdef const double *before
    cdef double *after
    cdef double *scratch
    for i in range(n_layers):
        widest = max(widest, blocks[i].n_rows)
    scratch = <double *>mg_realloc(NULL, 2 * widest * sizeof(double))
    if scratch == NULL:
        raise MemoryError(f"no memory for two rows of {widest} numbers")
    try:
        for r in range(n_rows):
            before = rows + r * n_in
            for i in range(n_layers):
                after = outputs + r * n_out if i == n_layers - 1 else scratch + i % 2 * widest
                st = mg_layer_block_values(&arena, blocks[i], before, after, &failed_pre)
                if st != MG_OK:
                    raise_status(st, blocks[i].activation, failed_pre, 0.0)
                before = after
    finally:
        mg_free(scratch)
    return 0


def fused_values(list layers not None, rows):
    """The outputs of a stack of layers for each row of an array of numbers, without a graph.

    Returns an array of as many rows. None if the layers cannot be fused; ValueError for rows of
    the wrong length.
    """
    import numpy

    cdef Py_ssize_t n_layers = len(layers), n_rows, n_inputs, n_outputs
    cdef Py_buffer rows_view, outputs_view
    cdef const double *numbers = take_doubles(rows, 2, False, "rows", &rows_view)
    cdef double *outputs
    cdef mg_layer_block **blocks
    try:
        n_rows, n_inputs = rows_view.shape[0], rows_view.shape[1]
        blocks = <mg_layer_block **>mg_realloc(NULL, (n_layers + 1) * sizeof(mg_layer_block *))
        if blocks == NULL:
            raise MemoryError(f"no memory for the blocks of {n_layers} layers")
        try:
            if n_layers == 0 or not fuse_stack(layers, blocks, n_inputs):
                return None
            n_outputs = blocks[n_layers - 1].n_rows
            result = numpy.empty((n_rows, n_outputs))
            outputs = take_doubles(result, 2, True, "outputs", &outputs_view)
            try:
                # What the collector ran meanwhile can have changed a layer.
                if (
                    not fuse_stack(layers, blocks, n_inputs)
                    or <Py_ssize_t>blocks[n_layers - 1].n_rows != n_outputs
                ):
                    return None
                evaluate_rows(blocks, n_layers, numbers, n_rows, outputs)
            finally:
                PyBuffer_Release(&outputs_view)
            return result
        finally:
            mg_free(blocks)
    finally:
        PyBuffer_Release(&rows_view)
