# What the collector is told of handles, and what it cannot be told of while it runs.
#
# What must stay true: within one collection handle_traverse reports the same references each time,
# for Python compares what it is told by two walks. It therefore allocates nothing, and its limit
# changes only between collections. To report too few keeps garbage; to report a reference that is
# none would free what is alive.

cdef extern from "Python.h":
    Py_ssize_t PyGC_Collect()

cdef enum:
    # How far handle_traverse looks through nodes without a tracked handle of their own, outside
    # full collections.
    MAX_YOUNG_WALK = 16384
    # How many handles a full collection is worth.
    MAX_SHOWN_NODES = 1048576
    # How many more nodes make one worth while.
    NODES_WORTH_A_COLLECTION = 524288

# The nodes that a walk has still to go through, with room for as many as it may meet.
cdef mg_node young_walk[MAX_YOUNG_WALK]
cdef mg_node *full_walk = NULL
cdef size_t walk_limit = MAX_YOUNG_WALK


cdef int handle_traverse(PyObject *self, visitproc visit, void *context) noexcept:
    """Tell the collector what this handle keeps alive.

    That is its attributes and, through the arena, the pinned handles of operands: one reference
    a use. The walk goes on through nodes that nothing else holds, so that a chain of custom
    operations with ordinary ones between them is seen in one collection. Outside full collections
    it stops after MAX_YOUNG_WALK nodes.
    """
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef mg_node *pending = full_walk if full_walk != NULL else &young_walk[0]
    cdef size_t n_pending = 1, n_met = 1
    cdef uint32_t i, n_operands, uses, first_count
    cdef const mg_node *operands
    cdef mg_node operand
    cdef PyObject *held
    cdef int status = visit(<PyObject *>Py_TYPE(self), context)
    if status == 0 and handle.dict != NULL:
        status = visit(handle.dict, context)
    if status != 0 or handle.node == MG_NO_NODE or arena.meta[handle.node].arity == 0:
        return status
    first_count = mg_arena_begin_counts(&arena)
    pending[0] = handle.node
    while n_pending > 0:
        n_pending -= 1
        n_operands = mg_node_operands(&arena, pending[n_pending], &operands)
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
            uses = mg_arena_count(&arena, operand, first_count)
            if held != NULL:
                # Held by these uses alone: one reference of each, and the handle's own on the node.
                if not arena.meta[operand].flags & MG_PINNED or Py_REFCNT(held) != uses:
                    continue
                uses += 1
            if arena.meta[operand].refs == uses and n_met < walk_limit:
                n_met += 1
                pending[n_pending] = operand
                n_pending += 1
    return 0


cdef void use_young_walk() noexcept:
    global full_walk, walk_limit
    mg_free(full_walk)
    full_walk = NULL
    walk_limit = MAX_YOUNG_WALK


cdef void use_full_walk() noexcept:
    """Let the walks of this collection meet every node that there is, as far as memory allows."""
    global full_walk, walk_limit
    use_young_walk()
    if arena.top > MAX_YOUNG_WALK:
        full_walk = <mg_node *>mg_realloc(NULL, arena.top * sizeof(mg_node))
        if full_walk != NULL:
            walk_limit = arena.top


# A cycle can pass through plain handles too: a leaf's closure that names the root. While a full
# collection runs, every handle with operands is therefore pinned and tracked. And it can pass
# through a layer call, whose references are no single handle's to tell of, or through a node with
# several users, which no single one of them holds: neurons become scalar graphs first, and shared
# nodes get handles for the time of the collection. All that only where some handle carries what
# could lead on.

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
        if not is_plain_type(Py_TYPE(self)):
            return True
        # Python tracks a dict from the moment that it holds something that could be in a cycle.
        if handle.dict != NULL and PyObject_GC_IsTracked(handle.dict):
            return True
    return False


cdef void mark_dying() noexcept:
    """The dying are linked through their counts, which say nothing about them any more."""
    cdef mg_node node = arena.dying
    mg_arena_next_epoch(&arena)
    while node != MG_NO_NODE:
        arena.mark[node] = arena.epoch
        node = arena.meta[node].refs


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
            self = plain_handle_of(node, ValueType)
        except MemoryError:
            return
        handle_pin(self)
        n_shown += 1
        (<ValueHandle *>self).tracked = MADE_FOR_COLLECTION
        PyObject_GC_Track(self)
        Py_DECREF(self)


cdef void show_plain_handles() noexcept:
    """Track every handle with operands."""
    cdef mg_node node
    cdef PyObject *self
    for node in range(arena.top):
        self = <PyObject *>arena.handle[node]
        if arena.meta[node].refs == 0 or self == NULL or arena.meta[node].arity == 0:
            continue
        if (<ValueHandle *>self).tracked == NOT_TRACKED:
            handle_pin(self)
            (<ValueHandle *>self).tracked = TRACKED_FOR_COLLECTION
            PyObject_GC_Track(self)


cdef void hide_plain_handles() noexcept:
    """Undo what the start of the collection has made visible."""
    cdef mg_node node
    cdef PyObject *self
    cdef int tracked
    # To drop a handle can free nodes and run Python: each is looked up when its turn comes.
    for node in range(arena.top):
        self = <PyObject *>arena.handle[node]
        if arena.meta[node].refs == 0 or self == NULL:
            continue
        tracked = (<ValueHandle *>self).tracked
        if tracked == TRACKED_FOR_COLLECTION or tracked == MADE_FOR_COLLECTION:
            (<ValueHandle *>self).tracked = NOT_TRACKED
            PyObject_GC_UnTrack(self)
            if tracked == MADE_FOR_COLLECTION:
                drop_if_unseen(self)


cdef void drop_if_unseen(PyObject *self) noexcept:
    """Free a handle that was made for the collection, unless somebody has come to hold it."""
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef mg_node node = handle.node
    if handle.dict == NULL and handle.weakrefs == NULL and Py_REFCNT(self) == n_uses_of(node):
        Py_INCREF(self)
        arena.meta[node].flags &= ~MG_PINNED
        take_back(self, n_uses_of(node))
        Py_DECREF(self)


# A tracked handle is one object to the collector, whatever hangs from it: by its own reckoning
# Python would let gigabytes of nodes wait for a few hundred closures. So the number of nodes makes
# a full collection due, too: at twice as many as the last one has left, and some more.
cdef mg_node collection_due = NODES_WORTH_A_COLLECTION


cdef void reckon_next_collection() noexcept:
    global collection_due
    collection_due = 2 * min(arena.n_live, MG_NO_NODE // 4) + NODES_WORTH_A_COLLECTION


cdef inline void collect_if_due(PyObject *self) noexcept:
    """To be called last when attributes of a handle have been set: Python may run here."""
    if arena.n_live > collection_due and (<ValueHandle *>self).dict != NULL and (
        # Python tracks a dict once it holds something that could be in a cycle.
        PyObject_GC_IsTracked((<ValueHandle *>self).dict)
    ):
        reckon_next_collection()  # also where the collector is switched off, or runs already
        PyGC_Collect()


def collection_boundary(phase, info):
    """Show all handles to the collector at the start of a full collection, hide them at its end."""
    if info["generation"] != 2:
        return
    if phase != "start":
        hide_plain_handles()
        use_young_walk()
        reckon_next_collection()
    elif cycles_are_possible():
        expand_living_neurons()
        show_shared_nodes()
        show_plain_handles()
        use_full_walk()


collection_callback = collection_boundary
