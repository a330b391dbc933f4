# What the collector is told of handles, and what it cannot be told of while it runs.

# How many uses of each node the traversal under way has found, by open addressing. An entry
# belongs to the traversal if it has its stamp.
cdef struct TraversedNode:
    mg_node node
    uint32_t uses
    uint64_t stamp

cdef TraversedNode traversed[TRAVERSED_TABLE_SIZE]
cdef uint64_t traversal_stamp = 0
cdef mg_node traversal_pending[MAX_TRAVERSED_NODES]


cdef uint32_t count_use(mg_node node) noexcept:
    """One more use of ``node`` found; how many there are now, or 0 where the table is full."""
    cdef uint32_t i = (node * <uint32_t>2654435761) % TRAVERSED_TABLE_SIZE
    cdef uint32_t probe
    for probe in range(32):
        if traversed[i].stamp != traversal_stamp:
            traversed[i] = TraversedNode(node, 0, traversal_stamp)
        if traversed[i].node == node:
            traversed[i].uses += 1
            return traversed[i].uses
        i = (i + 1) % TRAVERSED_TABLE_SIZE
    return 0


cdef int handle_traverse(PyObject *self, visitproc visit, void *context) noexcept:
    """Tell the collector what this handle keeps alive.

    That is its attributes and, through the arena, the pinned handles of operands: one reference
    a use. The walk goes on through nodes that nothing else holds, so that a chain of custom
    operations with ordinary ones between them is seen in one collection. It stops after
    MAX_TRAVERSED_NODES, which errs on the side of keeping.
    """
    global traversal_stamp
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef int n_pending = 1, n_met = 1, status
    cdef uint32_t i, n_operands, uses
    cdef const mg_node *operands
    cdef mg_node operand
    cdef PyObject *held
    status = visit(<PyObject *>Py_TYPE(self), context)
    if status == 0 and handle.dict != NULL:
        status = visit(handle.dict, context)
    if status != 0 or handle.node == MG_NO_NODE or arena.meta[handle.node].arity == 0:
        return status
    traversal_stamp += 1
    traversal_pending[0] = handle.node
    while n_pending > 0:
        n_pending -= 1
        n_operands = mg_node_operands(&arena, traversal_pending[n_pending], &operands)
        for i in range(n_operands):
            operand = operands[i]
            held = <PyObject *>arena.handle[operand]
            if arena.meta[operand].flags & MG_PINNED:
                status = visit(held, context)
                if status != 0:
                    return status
                if (<ValueHandle *>held).tracked:
                    continue
            if arena.meta[operand].arity == 0:
                continue
            uses = count_use(operand)
            if held != NULL:
                # Held by these uses alone: one reference of each, and the handle's own on the node.
                if not arena.meta[operand].flags & MG_PINNED or Py_REFCNT(held) != uses:
                    continue
                uses += 1
            if arena.meta[operand].refs == uses and n_met < MAX_TRAVERSED_NODES:
                n_met += 1
                traversal_pending[n_pending] = operand
                n_pending += 1
    return 0


# A cycle can pass through plain handles too: a leaf's closure that names the root. While a full
# collection runs, every handle with operands is therefore pinned and tracked. And it can pass
# through a layer call, whose references are no single handle's to tell of, or through a node with
# several users, which no single one of them holds: where some handle carries what could lead on,
# neurons become scalar graphs first, and shared nodes get handles for the time of the collection.

cdef bint cycles_are_possible() noexcept:
    """Whether some handle carries more than numbers and text."""
    cdef mg_node node
    cdef PyObject *self
    cdef ValueHandle *handle
    for node in range(arena.top):
        self = <PyObject *>arena.handle[node]
        if arena.meta[node].refs == 0 or self == NULL:
            continue
        handle = <ValueHandle *>self
        if handle.tracked != TRACKED:
            continue
        if Py_TYPE(self) != ValueType:
            return True
        # Python tracks a dict from the moment that it holds something that could be in a cycle.
        if handle.dict != NULL and PyObject_GC_IsTracked(handle.dict):
            return True
    return False


cdef void expand_living_neurons() noexcept:
    """Make the scalar graph of every neuron appear, as far as memory allows."""
    cdef mg_node node, top = arena.top
    mark_dying()
    for node in range(top):
        if arena.meta[node].refs == 0 or arena.mark[node] == arena.epoch:
            continue
        if arena.meta[node].arity == MG_FUSED and mg_neuron_expand(&arena, node) != MG_OK:
            return


cdef void show_shared_nodes() noexcept:
    """Make a handle for every node with operands that has several users and none yet."""
    cdef mg_node node
    cdef PyObject *self
    cdef uint32_t n_shown = 0
    mark_dying()
    for node in range(arena.top):
        if arena.meta[node].refs < 2 or arena.mark[node] == arena.epoch:
            continue
        if arena.meta[node].arity == 0 or arena.handle[node] != NULL or n_shown == MAX_SHOWN_NODES:
            continue
        try:
            self = plain_handle_of(node)
        except MemoryError:
            return
        handle_pin(self)
        n_shown += 1
        (<ValueHandle *>self).tracked = MADE_FOR_COLLECTION
        PyObject_GC_Track(self)
        Py_DECREF(self)


cdef void mark_dying() noexcept:
    """The dying are linked through their counts, which say nothing about them any more."""
    cdef mg_node node = arena.dying
    mg_arena_next_epoch(&arena)
    while node != MG_NO_NODE:
        arena.mark[node] = arena.epoch
        node = arena.meta[node].refs


cdef void drop_if_unseen(PyObject *self) noexcept:
    """Free a handle that was made for the collection, unless somebody has come to hold it."""
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef mg_meta *meta = &arena.meta[handle.node]
    if handle.dict == NULL and handle.weakrefs == NULL and (
        Py_REFCNT(self) == <Py_ssize_t>meta.refs - 1
    ):
        meta.flags &= ~MG_PINNED
        Py_SET_REFCNT(self, 1)
        Py_DECREF(self)


def collection_boundary(phase, info):
    """Show all handles to the collector at the start of a full collection, hide them at its end."""
    cdef mg_node node
    cdef PyObject *self
    cdef ValueHandle *handle
    if info["generation"] != 2:
        return
    starting = phase == "start"
    if starting and cycles_are_possible():
        expand_living_neurons()
        show_shared_nodes()
    for node in range(arena.top):
        self = <PyObject *>arena.handle[node]
        if arena.meta[node].refs == 0 or self == NULL or arena.meta[node].arity == 0:
            continue
        handle = <ValueHandle *>self
        if starting and handle.tracked == NOT_TRACKED:
            handle_pin(self)
            handle.tracked = TRACKED_FOR_COLLECTION
            PyObject_GC_Track(self)
        elif not starting and handle.tracked == TRACKED_FOR_COLLECTION:
            handle.tracked = NOT_TRACKED
            PyObject_GC_UnTrack(self)
        elif not starting and handle.tracked == MADE_FOR_COLLECTION:
            handle.tracked = NOT_TRACKED
            PyObject_GC_UnTrack(self)
            drop_if_unseen(self)


collection_callback = collection_boundary
