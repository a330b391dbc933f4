# What must be said to the engine before a node is changed from outside.

# How often something has changed that a fused layer relies on; the blocks of parameters that were
# laid out before are then looked at again.
cdef uint64_t structure_version = 1

# What a deepcopy's memo and a pickler's snapshots remember are the numbers of nodes, perhaps from
# one copy to the next. Meanwhile no layer may give its parameters other numbers, and no node that
# they hold a root of may go: what a node contained before it was initialised anew is kept here.
cdef int n_node_maps = 0
cdef list kept_contents = []
cdef uint64_t n_contents_replaced = 0  # ever


def structure_changed():
    """Note that some module is no longer what it was."""
    global structure_version
    structure_version += 1


cdef int expand_neuron(mg_node node) except -1:
    """Make the scalar graph of a fused neuron appear."""
    if arena.meta[node].arity == MG_FUSED and mg_neuron_expand(&arena, node) != MG_OK:
        raise no_memory("the scalar graph of a neuron")
    return 0


cdef int make_ordinary(mg_node node) except -1:
    """Take a parameter out of its layer's block: something about it cannot be fused."""
    if arena.meta[node].flags & MG_PARAMETER:
        structure_changed()
        if mg_layer_block_dissolve(&arena, arena.aux[node].block) != MG_OK:
            raise no_memory("the scalar graphs of a layer")
    return 0


cdef int expect_closure(PyObject *self) except -1:
    """To be called before the attributes of a node may come to hold a closure for backward."""
    expand_neuron(node_of(self))
    make_ordinary(node_of(self))
    arena.meta[node_of(self)].flags |= MG_CUSTOM
    return 0


cdef inline int note_data_write(mg_node node) except -1:
    """To be called before the data of a node is assigned, whoever does it."""
    if arena.meta[node].flags & MG_PARAMETER:
        if mg_layer_block_before_write(&arena, arena.aux[node].block) != MG_OK:
            raise no_memory("the weights that live graphs were made with")
    elif arena.meta[node].op != MG_LEAF:
        # A program would compute it again, so none is made of it.
        arena.meta[node].flags |= MG_ASSIGNED
    return 0


cdef inline bint was_computed(mg_node node) noexcept:
    """Whether a node is no leaf."""
    return arena.meta[node].op != MG_LEAF or arena.meta[node].arity != 0


cdef inline void note_grad_write(double grad) noexcept:
    """To be called when a gradient is assigned from outside the backward pass."""
    if grad == 0.0 and signbit(grad):
        arena.negative_zero_grads = 1


cdef int count_node_maps(int change) except -1:
    global n_node_maps
    n_node_maps += change
    if n_node_maps == 0:
        structure_changed()  # a layer that had to stay as it was may try again
        kept_contents.clear()
    return 0
