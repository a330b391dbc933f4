# Handles: the Python objects that stand for nodes.
#
# A handle owns one reference on its node; the arena's handle column points back without owning.
# Every use of a *pinned* node as an operand holds one strong reference on the handle, so Python's
# own counts say who keeps whom, and the collector is told of exactly these references
# (handle_traverse). What a handle is, and what happens to it:
#
#                       plain             shown             pinned
#   attributes, or of   -> pinned         -> pinned         -
#     a subclass
#   the graph shows it  -> shown          -                 -
#   the node gains or   -                 -                 gains or loses a reference
#     loses a use
#   the last reference from outside goes, and the node
#     is in use         dies, the node    -> pinned         cannot be: the uses hold it
#                       goes on nameless
#                       (weakly referenced: -> pinned)
#     is not in use     dies with its node, in all three cases
#
# Plain and shown handles are created and dropped within an expression, invisible to the collector.
# Of a pinned one something must outlive the user's last name for it while the graph still uses
# the node: its attributes, its type, its id() that the graph has shown, its weak references. Once
# pinned, always pinned (but for those made for one collection, see drop_if_unseen). `lend` and
# `take_back` are the only places where counts are changed by more than one.
#
# A dying handle is not to be found: it leaves the arena's column before any Python runs, be it
# the callback of a weak reference or the finalizer of an attribute. Its node is still counted,
# has no handle and no user, and goes last.
#
# What the collector knows of a handle is its `tracked`:
#
#   NOT_TRACKED             plain and shown handles, and those pinned for these alone
#   TRACKED                 has attributes or is of a subclass: from then on until it dies
#   TRACKED_FOR_COLLECTION  was not tracked, and is shown while a full collection runs
#   MADE_FOR_COLLECTION     likewise, and had to be made for it
#
# The last two exist only during full collections, and only once some handle was TRACKED: without
# any, no cycle can pass through the arena (collection_boundary).
#
# Nodes are held by number only where no Python can run: a collection, a finalizer or another
# thread may initialise a Value anew, free a node or give a parameter another number (n_moves).
# Handles are made without a collection for that reason.

cdef enum:
    NOT_TRACKED = 0
    TRACKED = 1
    TRACKED_FOR_COLLECTION = 2
    MADE_FOR_COLLECTION = 3

cdef enum:
    # Memory of dead handles kept for the next ones: what a loop over a small graph turns over.
    MAX_SPARE_HANDLES = 4096

# How often a handle that was there before has been given another node.
cdef uint64_t n_moves = 1

# Of the type Value, with cleared fields.
cdef PyObject *spare_handles[MAX_SPARE_HANDLES]
cdef int n_spare_handles = 0


cdef inline void handle_clear_fields(PyObject *self, int tracked) noexcept:
    cdef ValueHandle *handle = <ValueHandle *>self
    handle.node = MG_NO_NODE
    handle.tracked = tracked
    handle.seen = False
    handle.dict = NULL
    handle.weakrefs = NULL


cdef inline void change_type(PyObject *self, PyTypeObject *kind) noexcept:
    """Make an instance of a plain type one of another: they differ in nothing else."""
    cdef PyTypeObject *before = Py_TYPE(self)
    Py_INCREF(<PyObject *>kind)
    Py_SET_TYPE(self, kind)
    Py_DECREF(<PyObject *>before)


cdef PyObject *handle_of_kind(PyTypeObject *kind) except NULL:
    global n_spare_handles
    cdef PyObject *self
    if n_spare_handles > 0:
        n_spare_handles -= 1
        self = spare_handles[n_spare_handles]
        Py_SET_REFCNT(self, 1)
        change_type(self, kind)
    else:
        self = new_untracked_handle(kind)
        handle_clear_fields(self, NOT_TRACKED)
    return self


cdef inline PyObject *handle_new(PyTypeObject *kind) except NULL:
    """A handle of a plain type without a node yet. No Python runs here."""
    global n_spare_handles
    cdef PyObject *self
    if kind != ValueType or n_spare_handles == 0:
        return handle_of_kind(kind)
    n_spare_handles -= 1
    self = spare_handles[n_spare_handles]
    Py_SET_REFCNT(self, 1)
    return self


cdef inline void handle_attach(PyObject *self, mg_node node) noexcept:
    (<ValueHandle *>self).node = node
    arena.handle[node] = self
    arena.meta[node].refs += 1


cdef PyObject *plain_handle_of(mg_node node, PyTypeObject *kind) except NULL:
    """The handle of a node, made of a plain type if there is none; a new reference. If it was
    made, another may be made once it is gone."""
    cdef PyObject *self = <PyObject *>arena.handle[node]
    if self != NULL:
        Py_INCREF(self)
    else:
        self = handle_new(kind)
        handle_attach(self, node)
    return self


cdef PyObject *handle_of(mg_node node, PyTypeObject *kind) except NULL:
    """The handle of a node as the graph shows it, of the plain type of whoever shows it if there
    is none: the same one from now on; a new reference."""
    cdef PyObject *self = plain_handle_of(node, kind)
    if (<ValueHandle *>self).tracked == MADE_FOR_COLLECTION and not (<ValueHandle *>self).seen:
        change_type(self, kind)  # made without anybody who shows it
    (<ValueHandle *>self).seen = True
    return self


cdef inline void lend(PyObject *self, Py_ssize_t n_uses) noexcept:
    """Count a reference for each of so many uses of the node."""
    Py_SET_REFCNT(self, Py_REFCNT(self) + n_uses)


cdef inline void take_back(PyObject *self, Py_ssize_t n_references) noexcept:
    """Count so many references less; not the last one, which only Py_DECREF may give back."""
    Py_SET_REFCNT(self, Py_REFCNT(self) - n_references)


cdef inline Py_ssize_t n_uses_of(mg_node node) noexcept:
    """Uses as an operand of a node that has a handle."""
    return <Py_ssize_t>arena.meta[node].refs - 1


cdef void handle_pin(PyObject *self) noexcept:
    cdef mg_node node = node_of(self)
    if not arena.meta[node].flags & MG_PINNED:
        arena.meta[node].flags |= MG_PINNED
        lend(self, n_uses_of(node))
        if arena.meta[node].flags & MG_PARAMETER:
            mg_parameter_pinned(&arena, node)


cdef PyObject *handle_for(PyTypeObject *kind, mg_node node) except NULL:
    """A handle of Value, a twin or a subclass for a node that has none; without its ``__new__``. No
    Python runs here."""
    cdef PyObject *self
    if is_plain_type(kind):
        self = handle_new(kind)
        handle_attach(self, node)
    else:
        self = new_tracked_handle(kind)
        handle_clear_fields(self, TRACKED)
        handle_attach(self, node)
        handle_pin(self)
    return self


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


cdef int handle_note_state(PyObject *self) except -1:
    """The handle has come to carry what must not be lost: see to all that follows from it."""
    watch_collections()
    handle_pin(self)
    if (<ValueHandle *>self).tracked == NOT_TRACKED:
        PyObject_GC_Track(self)
    (<ValueHandle *>self).tracked = TRACKED
    return 0


cdef int handle_ensure_dict(PyObject *self) except -1:
    """Give the handle a place for attributes and everything that follows from having some."""
    cdef PyObject *attributes
    if (<ValueHandle *>self).dict == NULL:
        attributes = new_dict()
        # To allocate it can have run a finalizer, which set an attribute.
        if (<ValueHandle *>self).dict == NULL:
            (<ValueHandle *>self).dict = attributes
        else:
            Py_DECREF(attributes)
    return handle_note_state(self)


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


cdef str BACKWARD = "_backward"


cdef PyObject *closure_of(PyObject *self) noexcept:
    """The closure that backward calls for this node, borrowed, or NULL.

    The dict alone says so, which is handed out. It is gone through entry by entry because a
    look-up could run the ``__eq__`` of a key, where nothing may.
    """
    cdef PyObject *key
    cdef PyObject *entry
    cdef Py_ssize_t position = 0
    if (<ValueHandle *>self).dict == NULL:
        return NULL
    while dict_next((<ValueHandle *>self).dict, &position, &key, &entry):
        if key == <PyObject *>BACKWARD or (
            PyUnicode_Check(key) and PyUnicode_Compare(key, <PyObject *>BACKWARD) == 0
        ):
            return entry
    return NULL


cdef bint may_have_closure(PyObject *self) noexcept:
    """Whether backward may have a closure to call here, now or later without notice."""
    if not arena.meta[node_of(self)].flags & MG_CUSTOM:
        return False
    if closure_of(self) != NULL:
        return True
    if (<ValueHandle *>self).dict != NULL and Py_REFCNT((<ValueHandle *>self).dict) > 1:
        return True  # somebody holds the dict and could put one there
    arena.meta[node_of(self)].flags &= ~MG_CUSTOM
    return False


cdef int node_has_hook(mg_arena *any_arena, mg_node node) noexcept:
    cdef PyObject *self = <PyObject *>arena.handle[node]
    return self != NULL and may_have_closure(self) and closure_of(self) != NULL


cdef void acquire_handle(void *handle) noexcept:
    Py_INCREF(<PyObject *>handle)


cdef void drop_handle(void *handle) noexcept:
    Py_DECREF(<PyObject *>handle)


arena.handle_acquire = acquire_handle
arena.handle_drop = drop_handle
arena.node_has_hook = node_has_hook


cdef void handle_revive(PyObject *self) noexcept:
    """Pin a handle whose last reference has just gone, for a node that is in use."""
    Py_SET_REFCNT(self, 1)
    handle_pin(self)
    take_back(self, 1)  # the uses hold it now
    # Python tracks what it deallocates as a subclass, whoever made it one.
    if PyObject_GC_IsTracked(self) and (<ValueHandle *>self).tracked == NOT_TRACKED:
        (<ValueHandle *>self).tracked = TRACKED


cdef inline void leave_node(mg_node node) noexcept:
    """Take a dying handle out of the arena's column."""
    if arena.meta[node].flags & MG_PARAMETER and arena.meta[node].flags & MG_PINNED:
        mg_parameter_unpinned(&arena, node)
    arena.handle[node] = NULL
    arena.meta[node].flags &= ~(MG_PINNED | MG_CUSTOM)


cdef bint part_with(PyObject *self) noexcept:
    """Let go of all that a dying handle has and that leads to it, its node apart; or, where the
    graph still holds the node, let the object live on. Whether it dies."""
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef mg_node node = handle.node
    if (handle.seen or handle.weakrefs != NULL) and node != MG_NO_NODE and (
        n_uses_of(node) > 0 or mg_parameter_in_use(&arena, node)
    ):
        # The graph has shown the object, or a weak reference names it.
        handle_revive(self)
        return False
    # Nothing may lead to a dying handle: all that does goes before any Python can run.
    if handle.tracked or not is_plain_type(Py_TYPE(self)):
        PyObject_GC_UnTrack(self)
    if node != MG_NO_NODE:
        leave_node(node)
    if handle.weakrefs != NULL:
        PyObject_ClearWeakRefs(self)
    Py_CLEAR(handle.dict)
    handle_clear_fields(self, NOT_TRACKED)
    return True


cdef void give_back_memory(PyObject *self) noexcept:
    cdef PyTypeObject *kind = Py_TYPE(self)
    kind.tp_free(self)
    Py_DECREF(<PyObject *>kind)


cdef void handle_dealloc(PyObject *self) noexcept:
    global n_spare_handles
    cdef ValueHandle *handle = <ValueHandle *>self
    cdef PyTypeObject *kind = Py_TYPE(self)
    cdef mg_node node = handle.node
    if (
        kind != ValueType
        or handle.seen
        or handle.tracked
        or handle.weakrefs != NULL
        or handle.dict != NULL
    ):
        if not part_with(self):
            return
    elif node != MG_NO_NODE:
        leave_node(node)
        handle.node = MG_NO_NODE
    if node != MG_NO_NODE:
        mg_arena_release(&arena, node)
    if n_spare_handles == MAX_SPARE_HANDLES or not is_plain_type(kind):
        give_back_memory(self)
        return
    if kind != ValueType:
        change_type(self, ValueType)
    spare_handles[n_spare_handles] = self
    n_spare_handles += 1


cdef int handle_clear(PyObject *self) noexcept:
    Py_CLEAR((<ValueHandle *>self).dict)
    return 0
