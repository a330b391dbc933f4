# copy, deepcopy and pickle, without recursion.
#
# A graph is copied and pickled as a whole, in topological order. Two maps from nodes to what
# has become of them make objects that share nodes come out sharing them:
#   - deepcopy keeps a _Clones in its memo, from a node to its copy;
#   - pickle gives no place to keep anything, so a node's __reduce_ex__ refers to a _Snapshot of
#     the graph under it, which the pickler stores once, and _snapshot_of remembers, while a
#     snapshot lives, which nodes it already holds.

from cpython.bytes cimport PyBytes_FromStringAndSize


# What a node's flags say of itself, and not of who holds it
cdef enum:
    COPIED_FLAGS = MG_FLOAT_POWER | MG_BOOL_POWER | MG_LITERAL

cdef class _NodeMap:
    """A dense map from nodes to numbers; 0 says absent."""
    cdef uint32_t *entries
    cdef size_t n_entries

    def __cinit__(self):
        self.entries = NULL
        self.n_entries = 0

    def __dealloc__(self):
        mg_free(self.entries)

    cdef int reserve(self) except -1:
        """Make room for every node that there is now."""
        cdef size_t wanted = arena.top
        cdef uint32_t *moved
        if wanted > self.n_entries:
            moved = <uint32_t *>mg_realloc(self.entries, wanted * sizeof(uint32_t))
            if moved == NULL:
                raise MemoryError(f"no memory for a map of {wanted} nodes")
            memset(moved + self.n_entries, 0, (wanted - self.n_entries) * sizeof(uint32_t))
            self.entries = moved
            self.n_entries = wanted
        return 0

    cdef uint32_t get(self, mg_node node) noexcept:
        return self.entries[node] if node < self.n_entries else 0


cdef int build_order(mg_node root, mg_order *order) except -1:
    if mg_order_build(&arena, root, MG_ORDER_ALL, order) != MG_OK:
        mg_order_free(order)
        raise MemoryError("no memory for the order of the graph's nodes")
    return 0


cdef mg_node clone(mg_node source, _NodeMap clones) except? 0xFFFFFFFF:
    """A copy of a node on the copies of its operands, or on the same operands without a map."""
    cdef const mg_node *operands
    cdef uint32_t i, n_operands = mg_node_operands(&arena, source, &operands)
    cdef mg_meta meta = arena.meta[source]
    cdef mg_node first = MG_NO_NODE, second = MG_NO_NODE, node = MG_NO_NODE
    cdef mg_extra *extra = NULL
    cdef mg_extra *original
    cdef size_t n_bytes
    if meta.arity != MG_NARY:
        if n_operands > 0:
            first = operands[0] if clones is None else clones.get(operands[0]) - 1
        if n_operands > 1:
            second = operands[1] if clones is None else clones.get(operands[1]) - 1
    if meta.flags & MG_HAS_EXTRA:
        original = arena.aux[source].extra
        extra = mg_extra_new(original.n_operands, original.n_values)
        if extra != NULL:
            memcpy(extra.values, original.values, original.n_values * sizeof(double))
            for i in range(original.n_operands):
                mg_extra_operands(extra)[i] = (
                    operands[i] if clones is None else clones.get(operands[i]) - 1
                )
            node = mg_arena_node_extra(&arena, <mg_op>meta.op, first, extra, arena.data[source])
    elif meta.arity == 0:
        node = mg_arena_leaf(&arena, arena.data[source])
    else:
        node = mg_arena_node(&arena, <mg_op>meta.op, first, second, arena.aux[source].immediate,
                             arena.data[source])
    if node == MG_NO_NODE:
        mg_free(extra)
        raise_status(MG_NO_MEMORY, MG_LEAF, 0.0, 0.0)
    arena.grad[node] = arena.grad[source]
    arena.meta[node].flags |= meta.flags & COPIED_FLAGS
    return node


cdef object handle_like(PyObject *original, mg_node node):
    """A handle of the original's type for a new node, without attributes yet."""
    cdef PyObject *self
    cdef PyTypeObject *kind = Py_TYPE(original)
    if kind == ValueType:
        self = handle_new()
        handle_attach(self, node)
    else:
        self = kind.tp_alloc(kind, 0)
        (<ValueHandle *>self).tracked = TRACKED
        (<ValueHandle *>self).node = MG_NO_NODE
        handle_attach(self, node)
        handle_pin(self)
        watch_collections()
    return adopt(self)


cdef int take_attributes(PyObject *self, dict attributes) except -1:
    handle_ensure_dict(self)
    (<dict>(<ValueHandle *>self).dict).update(attributes)
    if "_backward" in attributes:
        arena.meta[node_of(self)].flags |= MG_CUSTOM
    return 0


cdef PyObject *value_copy(PyObject *self, PyObject *unused) except NULL:
    cdef mg_node node
    if watches is not None:
        note_look(self, "copy", NULL)
    expand_neuron(node_of(self))
    node = clone(node_of(self), None)
    try:
        copied = handle_like(self, node)
    except BaseException:
        discard_unused(node)
        raise
    if (<ValueHandle *>self).dict != NULL:
        take_attributes(<PyObject *>copied, <dict>(<ValueHandle *>self).dict)
    return new_reference(copied)


cdef class _Clones(_NodeMap):
    """What one deepcopy has made of each node: the copy's number plus one."""
    cdef list kept

    def __cinit__(self):
        # Both sides stay alive for as long as the map names them.
        self.kept = []
        count_node_maps(1)

    def __dealloc__(self):
        count_node_maps(-1)


cdef str CLONES = "micrograd_fast clones"


cdef PyObject *value_deepcopy(PyObject *self, PyObject *memo_argument) except NULL:
    import copy

    cdef dict memo = <dict?><object>memo_argument
    cdef _Clones clones = memo.get(CLONES)
    cdef mg_order order
    cdef mg_node node, copied = MG_NO_NODE
    cdef size_t i, n_cloned = 0
    cdef PyObject *handle
    if watches is not None:
        note_look(self, "copy", NULL)
    if clones is None:
        clones = memo[CLONES] = _Clones()
    memset(&order, 0, sizeof(mg_order))
    build_order(node_of(self), &order)
    clones.reserve()
    with_attributes = []
    try:
        for i in range(order.n_nodes):
            node = order.nodes[i]
            if clones.get(node) == 0:
                copied = clone(node, clones)
                clones.entries[node] = copied + 1
                order.nodes[n_cloned] = node
                n_cloned += 1
        # From here on the copies under the root are owned by its handle.
        copied = clones.get(node_of(self)) - 1
        result = handle_like(self, copied) if arena.handle[copied] == NULL else (
            <object><PyObject *>arena.handle[copied]
        )
        for i in range(n_cloned):
            node = order.nodes[i]
            handle = <PyObject *>arena.handle[node]
            if handle == NULL:
                continue
            copied = clones.get(node) - 1
            if arena.handle[copied] == NULL:
                twin = handle_like(handle, copied)
            else:
                twin = <object><PyObject *>arena.handle[copied]
            memo[id(<object>handle)] = twin
            clones.kept.append((<object>handle, twin))
            if (<ValueHandle *>handle).dict != NULL:
                with_attributes.append((<object>handle, twin))
    except BaseException:
        undo_clones(clones, &order, n_cloned)
        raise
    finally:
        mg_order_free(&order)
    for original, twin in with_attributes:
        attributes = <dict>(<ValueHandle *><PyObject *>original).dict
        take_attributes(<PyObject *>twin, copy.deepcopy(attributes, memo))
    return new_reference(result)


cdef int undo_clones(_Clones clones, mg_order *order, size_t n_cloned) except -1:
    """Free the copies of an unfinished deepcopy."""
    cdef mg_node source
    cdef size_t i
    for i in range(n_cloned):
        source = order.nodes[i]
        order.nodes[i] = clones.get(source) - 1
        clones.entries[source] = 0
    return discard_all(order.nodes, n_cloned)


cdef int discard_all(mg_node *nodes, size_t n_nodes) except -1:
    """Free new nodes that only use each other; those that somebody holds stay."""
    cdef size_t i, n_unused = 0
    for i in range(n_nodes):
        if arena.meta[nodes[i]].refs == 0:
            nodes[n_unused] = nodes[i]
            n_unused += 1
    for i in range(n_unused):
        mg_arena_discard(&arena, nodes[i])
    return 0
