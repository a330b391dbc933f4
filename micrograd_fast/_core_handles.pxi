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

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        mg_node node;
        int tracked;         /* whether the collector knows it, and why */
        int seen;            /* whether the graph has shown it */
        PyObject *dict;      /* attributes, _backward, label, an assigned _op; or NULL */
        PyObject *weakrefs;
    } ValueHandle;

    /* Without a collection, which could run Python that looks at the node for which this handle is,
     * or moves it. The next container that is allocated brings it on instead. */
    static PyObject *new_untracked_handle(PyTypeObject *type) {
        const int collecting = PyGC_Disable();
        PyObject *self = (PyObject *)PyObject_GC_New(ValueHandle, type);
        if (collecting) PyGC_Enable();
        return self;
    }
    """
    ctypedef struct ValueHandle:
        mg_node node
        int tracked
        int seen
        PyObject *dict
        PyObject *weakrefs

    PyObject *new_untracked_handle(PyTypeObject *) except NULL

cdef extern from "Python.h":
    ctypedef struct PyNumberMethods:
        void *nb_add
        void *nb_subtract
        void *nb_multiply
        void *nb_power
        void *nb_negative

    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef PyObject *(*allocfunc)(PyTypeObject *, Py_ssize_t) except NULL
    ctypedef struct PyTypeObject:
        void *tp_init
        void *tp_vectorcall
        void *tp_getattro
        allocfunc tp_alloc
        void (*tp_free)(void *) noexcept
        PyNumberMethods *tp_as_number

    PyTypeObject *Py_TYPE(PyObject *o)
    Py_ssize_t Py_REFCNT(PyObject *o)
    void Py_SET_REFCNT(PyObject *o, Py_ssize_t count)
    void Py_INCREF(PyObject *o)
    void Py_DECREF(PyObject *o)
    void Py_CLEAR(PyObject *o)
    bint PyType_IsSubtype(PyTypeObject *a, PyTypeObject *b)
    void PyObject_GC_Track(void *o)
    void PyObject_GC_UnTrack(void *o)
    void PyObject_ClearWeakRefs(PyObject *o)
    bint PyObject_GC_IsTracked(PyObject *o)
    PyObject *new_dict "PyDict_New"() except NULL
    PyObject *dict_get "PyDict_GetItemWithError"(PyObject *d, PyObject *key) except? NULL

cdef PyTypeObject *ValueType = NULL

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


cdef inline bint is_value(PyObject *o) noexcept:
    if Py_TYPE(o) == ValueType:
        return True
    # The common operands that are none are told apart without a walk over their bases.
    return not PyFloat_CheckExact(o) and not PyLong_CheckExact(o) and PyType_IsSubtype(
        Py_TYPE(o), ValueType
    )


cdef inline mg_node node_of(PyObject *value) noexcept:
    return (<ValueHandle *>value).node


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

cdef bint watching_collections = False


cdef int watch_collections() except -1:
    """From now on there are handles that a cycle can pass through."""
    global watching_collections
    if watching_collections:
        return 0
    import gc

    gc.callbacks.append(collection_boundary)
    watching_collections = True
    return 0


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
