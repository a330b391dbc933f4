# Handles: the Python objects that stand for nodes.
#
# A handle owns one reference on its node; the arena's handle column points back without owning.
# Most handles are plain: created and dropped within an expression, invisible to the collector.
# A handle is *pinned* when something of it must outlive the user's last reference while the
# graph still uses the node: it carries attributes, or it is an instance of a subclass; or, once
# that last reference goes, it was seen through the graph (so that id() stays what it was) or is
# weakly referenced. Every use of a pinned node as an operand holds one strong reference on the
# handle, so Python's own counts say who keeps whom, and the collector is told of exactly these
# references (handle_traverse).
# A handle with attributes, or of a subclass, is also tracked by the collector. The others are
# shown to it only during full collections, and only once some handle was of these kinds:
# without any, no cycle can pass through the arena (collection_boundary).

cdef enum:
    NOT_TRACKED = 0
    TRACKED = 1
    TRACKED_FOR_COLLECTION = 2
    MADE_FOR_COLLECTION = 3

cdef enum:
    # Memory of dead handles kept for the next ones: what a loop over a small graph turns over.
    MAX_SPARE_HANDLES = 4096
    # How far handle_traverse looks through nodes without a tracked handle of their own.
    MAX_TRAVERSED_NODES = 16384
    TRAVERSED_TABLE_SIZE = 2 * MAX_TRAVERSED_NODES
    # How many handles a full collection is worth.
    MAX_SHOWN_NODES = 1048576

# How often a handle that was there before has been given another node.
cdef uint64_t n_moves = 1

cdef PyObject *spare_handles[MAX_SPARE_HANDLES]
cdef int n_spare_handles = 0


cdef inline PyObject *handle_new() except NULL:
    """A handle without a node yet. No Python runs here."""
    global n_spare_handles
    cdef PyObject *self
    cdef ValueHandle *handle
    if n_spare_handles > 0:
        n_spare_handles -= 1
        self = spare_handles[n_spare_handles]
        Py_SET_REFCNT(self, 1)
    else:
        self = new_untracked_handle(ValueType)
    handle = <ValueHandle *>self
    handle.node = MG_NO_NODE
    handle.tracked = NOT_TRACKED
    handle.seen = False
    handle.dict = NULL
    handle.weakrefs = NULL
    return self


cdef inline void handle_attach(PyObject *self, mg_node node) noexcept:
    (<ValueHandle *>self).node = node
    arena.handle[node] = self
    arena.meta[node].refs += 1


cdef PyObject *plain_handle_of(mg_node node) except NULL:
    """The handle of a node, made if there is none; a new reference. If it was made, another may
    be made once it is gone."""
    cdef PyObject *self = <PyObject *>arena.handle[node]
    if self != NULL:
        Py_INCREF(self)
    else:
        self = handle_new()
        handle_attach(self, node)
    return self


cdef PyObject *handle_of(mg_node node) except NULL:
    """The handle of a node as the graph shows it: the same one from now on; a new reference."""
    cdef PyObject *self = plain_handle_of(node)
    (<ValueHandle *>self).seen = True
    return self


cdef void handle_pin(PyObject *self) noexcept:
    cdef mg_meta *meta = &arena.meta[node_of(self)]
    if not meta.flags & MG_PINNED:
        meta.flags |= MG_PINNED
        Py_SET_REFCNT(self, Py_REFCNT(self) + meta.refs - 1)
        if meta.flags & MG_PARAMETER:
            mg_parameter_pinned(&arena, node_of(self))


cdef bint watching_collections = False
cdef object collection_callback = None  # set by collector.pxi


cdef int watch_collections() except -1:
    """From now on there are handles that a cycle can pass through."""
    global watching_collections
    if watching_collections:
        return 0
    import gc

    gc.callbacks.append(collection_callback)
    watching_collections = True
    return 0


cdef int handle_ensure_dict(PyObject *self) except -1:
    """Give the handle a place for attributes and everything that follows from having some."""
    cdef ValueHandle *handle = <ValueHandle *>self
    if handle.dict == NULL:
        handle.dict = new_dict()
    return handle_note_dict(self)


cdef int handle_note_dict(PyObject *self) except -1:
    cdef ValueHandle *handle = <ValueHandle *>self
    handle_pin(self)
    if handle.tracked == NOT_TRACKED:
        PyObject_GC_Track(self)
    handle.tracked = TRACKED
    watch_collections()
    return 0


cdef object handle_get(PyObject *self, str key, object default):
    """An entry of the handle's attributes."""
    cdef PyObject *found
    if (<ValueHandle *>self).dict == NULL:
        return default
    found = dict_get((<ValueHandle *>self).dict, <PyObject *>key)
    return default if found == NULL else <object>found


cdef int handle_set(PyObject *self, str key, object entry) except -1:
    handle_ensure_dict(self)
    (<dict>(<ValueHandle *>self).dict)[key] = entry
    return 0


cdef int handle_unset(PyObject *self, str key) except -1:
    if (<ValueHandle *>self).dict != NULL:
        (<dict>(<ValueHandle *>self).dict).pop(key, None)
    return 0


cdef void acquire_handle(void *handle) noexcept:
    Py_INCREF(<PyObject *>handle)


cdef void drop_handle(void *handle) noexcept:
    Py_DECREF(<PyObject *>handle)


arena.handle_acquire = acquire_handle
arena.handle_drop = drop_handle


cdef void handle_dealloc(PyObject *self) noexcept:
    global n_spare_handles
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef PyTypeObject *kind = Py_TYPE(self)
    cdef mg_node node = handle.node
    if (handle.seen or handle.weakrefs != NULL) and node != MG_NO_NODE and (
        arena.meta[node].refs > 1 or mg_parameter_in_use(&arena, node)
    ):
        # The graph still holds the node, so the object that it has shown, or that a weak reference
        # names, lives on.
        Py_SET_REFCNT(self, 1)
        handle_pin(self)
        Py_SET_REFCNT(self, Py_REFCNT(self) - 1)
        return
    if handle.weakrefs != NULL:
        if handle.tracked:
            PyObject_GC_UnTrack(self)
            handle.tracked = NOT_TRACKED
        PyObject_ClearWeakRefs(self)
    if handle.tracked:
        PyObject_GC_UnTrack(self)
    Py_CLEAR(handle.dict)
    if node != MG_NO_NODE:
        if arena.meta[node].flags & MG_PARAMETER and arena.meta[node].flags & MG_PINNED:
            mg_parameter_unpinned(&arena, node)
        arena.handle[node] = NULL
        arena.meta[node].flags &= ~(MG_PINNED | MG_CUSTOM)
        mg_arena_release(&arena, node)
    if kind == ValueType and n_spare_handles < MAX_SPARE_HANDLES:
        spare_handles[n_spare_handles] = self
        n_spare_handles += 1
    else:
        kind.tp_free(self)
        Py_DECREF(<PyObject *>kind)


cdef int handle_clear(PyObject *self) noexcept:
    if node_of(self) != MG_NO_NODE:
        arena.meta[node_of(self)].flags &= ~MG_CUSTOM
    Py_CLEAR((<ValueHandle *>self).dict)
    return 0
