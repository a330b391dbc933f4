# Fused layers on rows of numbers, without a graph.


def fused_values(list layers not None, const double[:, ::1] x not None):
    """The outputs of a stack of layers for each row of numbers, without a graph.

    Returns the numbers of all rows in one ``array.array`` (of at least one), and how many a row
    has. None if the layers cannot be fused; ValueError for rows of the wrong length.
    """
    import array

    cdef Py_ssize_t n = x.shape[0], n_layers = len(layers), r, i
    cdef uint32_t n_in = <uint32_t>x.shape[1], width = 1
    cdef double failed_pre = 0.0
    cdef mg_status st
    cdef const double *before
    cdef double *after
    cdef double[::1] scratch, outputs
    cdef mg_layer_block *block
    cdef mg_layer_block **blocks = <mg_layer_block **>mg_realloc(NULL, (n_layers + 1) * sizeof(mg_layer_block *))
    if blocks == NULL:
        raise MemoryError(f"no memory for the blocks of {n_layers} layers")
    try:
        # Once more where the first round has taken a neuron out of a block of its own.
        if n_layers == 0 or not (lay_out_all(layers, blocks) or lay_out_all(layers, blocks)):
            return None
        for i in range(n_layers):
            if blocks[i].n_in != n_in:
                raise ValueError(
                    f"a neuron with {blocks[i].n_in} weights was given {n_in} inputs"
                )
            n_in = blocks[i].n_rows
            width = max(width, n_in)
        result = array.array("d", [0.0]) * max(1, n * n_in)
        outputs = result
        scratch = array.array("d", [0.0]) * (2 * width)
        for r in range(n):
            before = &x[r, 0]
            for i in range(n_layers):
                block = blocks[i]
                after = &outputs[r * n_in] if i == n_layers - 1 else &scratch[i % 2 * width]
                st = mg_layer_block_values(&arena, block, before, after, &failed_pre)
                if st != MG_OK:
                    raise_status(st, block.activation, failed_pre, 0.0)
                before = after
        return result, n_in
    finally:
        mg_free(blocks)
