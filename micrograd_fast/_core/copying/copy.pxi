# copy, deepcopy and pickle, without recursion.
#
# A graph is copied and pickled as a whole, in topological order. Two maps from nodes to what
# has become of them make objects that share nodes come out sharing them:
#   - deepcopy keeps a _Clones in its memo, from a node to its copy;
#   - pickle gives no place to keep anything, so a node's __reduce_ex__ refers to a _Snapshot of
#     the graph under it, which the pickler stores once, and _snapshot_of remembers, while a
#     snapshot lives, which nodes it already holds.
#
# What must stay true: while any of these lives (n_node_maps), the nodes that it names are alive
# and keep their numbers. What they contain may change whenever Python runs, so every operand is
# looked for in the map, and one that is not there ends the copy with an error. New nodes have no
# reference until a handle or a user holds them; whatever ends a copy early frees them.


# What a node's flags say of itself, and not of who holds it
cdef enum:
    COPIED_FLAGS = MG_FLOAT_POWER | MG_BOOL_POWER | MG_LITERAL | MG_ASSIGNED

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
                raise no_memory(f"a map of {wanted} nodes")
            memset(moved + self.n_entries, 0, (wanted - self.n_entries) * sizeof(uint32_t))
            self.entries = moved
            self.n_entries = wanted
        return 0

    cdef uint32_t get(self, mg_node node) noexcept:
        return self.entries[node] if node < self.n_entries else 0


cdef int build_order(mg_node root, mg_order *order) except -1:
    if mg_order_build(&arena, root, MG_ORDER_ALL, order) != MG_OK:
        mg_order_free(order)
        raise no_memory("the order of the graph's nodes")
    return 0


cdef mg_node copy_of(_NodeMap clones, mg_node operand) except? 0xFFFFFFFF:
    """The copy of an operand, or the operand itself without a map."""
    if clones is None:
        return operand
    if clones.get(operand) == 0:
        raise RuntimeError("a Value was initialised again while its graph was copied")
    return clones.get(operand) - 1


cdef mg_node clone(mg_node source, _NodeMap clones) except? 0xFFFFFFFF:
    """A copy of a node on the copies of its operands, or on the same operands without a map."""
    cdef const mg_node *operands
    cdef uint32_t i, n_operands = mg_node_operands(&arena, source, &operands)
    cdef mg_meta meta = arena.meta[source]
    cdef mg_node first = MG_NO_NODE, second = MG_NO_NODE, node = MG_NO_NODE
    cdef mg_extra *extra = NULL
    cdef mg_extra *original
    for i in range(n_operands):
        copy_of(clones, operands[i])
    if meta.arity != MG_NARY:
        if n_operands > 0:
            first = copy_of(clones, operands[0])
        if n_operands > 1:
            second = copy_of(clones, operands[1])
    if meta.flags & MG_HAS_EXTRA:
        original = arena.aux[source].extra
        extra = mg_extra_new(original.n_operands, original.n_values)
        if extra != NULL:
            memcpy(extra.values, original.values, original.n_values * sizeof(double))
            for i in range(original.n_operands):
                mg_extra_operands(extra)[i] = copy_of(clones, operands[i])
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


# The state of a Value is what it carries beside the engine's columns, as Python's own copying
# finds it for any object: __getstate__ where a subclass has one, else attributes and slots.


cdef bint overrides(object kind, str name) except -1:
    """Whether a subclass of Value has its own method in place of object's."""
    if kind is <object>ValueType:
        return False
    method = getattr(kind, name, None)
    return method is not None and method is not getattr(object, name, None)


cdef object state_of(object value):
    cdef PyObject *attributes = (<ValueHandle *><PyObject *>value).dict
    cdef dict slots = {}
    kind = type(value)
    if overrides(kind, "__getstate__"):
        return value.__getstate__()
    state = None if attributes == NULL else dict(<dict>attributes)
    if kind is not <object>ValueType:
        import copyreg

        for name in copyreg._slotnames(kind):
            if hasattr(value, name):
                slots[name] = getattr(value, name)
    return (state, slots) if slots else state


cdef int take_attributes(PyObject *self, object attributes) except -1:
    if not isinstance(attributes, dict):
        raise TypeError(
            f"the attributes of a Value must be a dict, found {type(attributes).__name__}"
        )
    if not attributes:
        return 0
    if BACKWARD in attributes:
        expect_closure(self)
    handle_ensure_dict(self)
    (<dict>(<ValueHandle *>self).dict).update(attributes)
    return 0


cdef int take_state(object value, object state) except -1:
    if state is None:
        return 0
    if hasattr(type(value), "__setstate__"):
        value.__setstate__(state)
        return 0
    slots = {}
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state is not None:
        take_attributes(<PyObject *>value, state)
    for name, entry in (slots or {}).items():
        setattr(value, name, entry)
    return 0


cdef PyObject *value_copy(PyObject *self, PyObject *unused) except NULL:
    cdef mg_node node
    if innermost_watch is not None:
        note_look(self, "copy", NULL)
    expand_neuron(node_of(self))
    node = clone(node_of(self), None)
    try:
        copied = adopt(handle_for(Py_TYPE(self), node))
    except BaseException:
        discard_unused(node)
        raise
    take_state(copied, state_of(<object>self))
    return new_reference(copied)


@cython.no_gc_clear
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


cdef _Clones clones_of(object memo):
    clones = memo.get(CLONES)
    if clones is None:
        clones = memo[CLONES] = _Clones()
    return <_Clones?>clones


cdef list named_values(mg_order *order):
    """The Values that somebody holds or that carry something, in the order."""
    cdef PyObject *handle
    cdef size_t i
    cdef list named = []
    for i in range(order.n_nodes):
        handle = <PyObject *>arena.handle[order.nodes[i]]
        if handle != NULL:
            named.append(<object>handle)
    return named


cdef int keep_to_wanted(mg_node root, _Clones clones, mg_order *order) except -1:
    """Leave in the order what must be copied: what is under the root and has no copy yet, nor is
    only under what has one."""
    cdef const mg_node *operands
    cdef size_t i, n_wanted = 0
    cdef uint32_t j
    cdef mg_node node
    mg_arena_next_epoch(&arena)
    if clones.get(root) == 0:
        arena.mark[root] = arena.epoch
    for i in reversed(range(order.n_nodes)):
        node = order.nodes[i]
        if arena.mark[node] != arena.epoch:
            continue
        for j in range(mg_node_operands(&arena, node, &operands)):
            if clones.get(operands[j]) == 0:
                arena.mark[operands[j]] = arena.epoch
    for i in range(order.n_nodes):
        if arena.mark[order.nodes[i]] == arena.epoch:
            order.nodes[n_wanted] = order.nodes[i]
            n_wanted += 1
    order.n_nodes = n_wanted
    return 0


cdef list copy_nodes(_Clones clones, mg_order *order):
    """Copy the nodes of the order. Each Value that somebody holds, followed by its copy; all or
    nothing. No Python runs here, so no tuples of the two: they would bring on a collection."""
    cdef size_t i, n_cloned = 0
    cdef PyObject *handle
    cdef list named = []
    clones.reserve()
    try:
        for i in range(order.n_nodes):
            clones.entries[order.nodes[i]] = clone(order.nodes[i], clones) + 1
            n_cloned += 1
        for i in range(order.n_nodes):
            handle = <PyObject *>arena.handle[order.nodes[i]]
            if handle != NULL:
                named.append(<object>handle)
                named.append(adopt(handle_for(Py_TYPE(handle), clones.get(order.nodes[i]) - 1)))
    except BaseException:
        forget_copies(clones, order.nodes, n_cloned)
        raise
    return named


cdef int forget_copies(_Clones clones, mg_node *sources, size_t n_sources) except -1:
    """Undo the copies of some nodes; those that have a handle go with it."""
    cdef mg_node source
    cdef size_t i
    for i in range(n_sources):
        source = sources[i]
        sources[i] = clones.get(source) - 1
        clones.entries[source] = 0
    return discard_all(sources, n_sources)


cdef int take_known_copies(object memo, _Clones clones, mg_order *order) except -1:
    """Note the copies that the memo has for nodes of the order already, be they the program's."""
    for value in named_values(order):
        known = memo.get(id(value))
        if known is None or clones.get(node_of(<PyObject *>value)) != 0:
            continue
        if not is_value(<PyObject *>known):
            raise TypeError(
                f"the memo must have a Value for each Value, found {type(known).__name__}"
            )
        clones.kept.append((value, known))
        clones.reserve()
        clones.entries[node_of(<PyObject *>value)] = node_of(<PyObject *>known) + 1
    return 0


cdef list copy_graph(PyObject *self, object memo, _Clones clones):
    """Copy what of the graph has no copy yet. Each Value that somebody holds, followed by its
    copy; all or nothing."""
    cdef mg_order order
    cdef list named = None, keys = []
    memset(&order, 0, sizeof(mg_order))
    build_order(node_of(self), &order)
    try:
        take_known_copies(memo, clones, &order)
        keep_to_wanted(node_of(self), clones, &order)
        named = copy_nodes(clones, &order)
        for i in range(0, len(named), 2):
            keys.append(id(named[i]))
        for i in range(len(keys)):
            memo[keys[i]] = named[2 * i + 1]
        clones.kept.append(named)  # as one, so that this is done or not done
    except BaseException:
        if named is not None:
            forget_copies(clones, order.nodes, order.n_nodes)
            for key in keys:
                memo.pop(key, None)
        raise
    finally:
        mg_order_free(&order)
    return named


cdef PyObject *value_deepcopy(PyObject *self, PyObject *memo_argument) except NULL:
    import copy

    if innermost_watch is not None:
        note_look(self, "copy", NULL)
    memo = {} if memo_argument == Py_None else <object>memo_argument
    cdef _Clones clones = clones_of(memo)
    cdef list named = copy_graph(self, memo, clones)
    result = adopt(plain_handle_of(clones.get(node_of(self)) - 1, kind_of(self)))
    for i in range(0, len(named), 2):
        state = state_of(named[i])
        if state is not None:
            take_state(named[i + 1], copy.deepcopy(state, memo))
    return new_reference(result)


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
