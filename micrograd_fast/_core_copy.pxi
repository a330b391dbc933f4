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


# What a deepcopy's memo and a pickler's snapshots remember are the numbers of nodes, perhaps from
# one copy to the next. Meanwhile no layer may give its parameters other numbers.
cdef int n_node_maps = 0


cdef int count_node_maps(int change) except -1:
    global n_node_maps
    n_node_maps += change
    if n_node_maps == 0:
        structure_changed()  # a layer that had to stay as it was may try again
    return 0


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


# Pickle. A snapshot numbers its members: first the external ones, which are pickled as objects
# of their own (plain leaves that somebody holds, members of earlier snapshots), then its own
# nodes in topological order. What handles carry may refer to the graph, so it is pickled as the
# snapshot's state, when the snapshot is already known to the pickler.

cdef _NodeMap snapshot_serials = _NodeMap()    # node -> serial of the snapshot that holds it
cdef _NodeMap snapshot_positions = _NodeMap()  # node -> its number there
cdef dict live_snapshots = {}                  # serial -> address of the snapshot
cdef uint32_t last_serial = 0


cdef class _Snapshot:
    """The part of a graph under one node that pickle stores in one piece."""
    cdef mg_order order      # the snapshot's own nodes
    cdef list externals
    cdef object root         # keeps every node of the order alive
    cdef uint32_t serial

    def __cinit__(self):
        memset(&self.order, 0, sizeof(mg_order))
        self.serial = 0
        self.externals = []
        count_node_maps(1)

    def __dealloc__(self):
        cdef size_t i
        count_node_maps(-1)
        if self.serial != 0:
            del live_snapshots[self.serial]
            for i in range(self.order.n_nodes):
                snapshot_serials.entries[self.order.nodes[i]] = 0
        mg_order_free(&self.order)

    def __reduce__(self):
        return load_snapshot, (self.pack(), self.externals), self.attributes() or None

    cdef list attributes(self):
        """What handles carry: triples of position, type and attributes."""
        cdef PyObject *handle
        cdef size_t i
        found = []
        for i in range(self.order.n_nodes):
            handle = <PyObject *>arena.handle[self.order.nodes[i]]
            if handle == NULL:
                continue
            if (<ValueHandle *>handle).dict != NULL or Py_TYPE(handle) != ValueType:
                found.append((i, type(<object>handle), attributes_for_pickle(handle)))
        return found

    def __setstate__(self, list state):
        cdef mg_node node
        for position, kind, attributes in state:
            node = loaded_node(self, position)
            if not (isinstance(kind, type) and issubclass(kind, <object>ValueType)):
                raise damaged(f"{kind!r} is no type of Value")
            if arena.handle[node] == NULL:
                value = kind.__new__(kind) if kind is not <object>ValueType else None
                if value is None:
                    value = adopt(handle_of(node))
                else:
                    rebind(<PyObject *>value, node)
            else:
                value = <object><PyObject *>arena.handle[node]
            if attributes:
                take_attributes(<PyObject *>value, attributes)

    cdef dict pack(self):
        """The nodes as columns of bytes."""
        cdef size_t i, n_nodes = self.order.n_nodes
        cdef uint32_t j, n_operands, n_external = <uint32_t>len(self.externals)
        cdef const mg_node *operands
        cdef mg_node node
        cdef _NodeMap numbers = _NodeMap()
        cdef bytes op_column = PyBytes_FromStringAndSize(NULL, n_nodes)
        cdef bytes flag_column = PyBytes_FromStringAndSize(NULL, n_nodes)
        cdef bytes data_column = PyBytes_FromStringAndSize(NULL, n_nodes * sizeof(double))
        cdef bytes grad_column = PyBytes_FromStringAndSize(NULL, n_nodes * sizeof(double))
        cdef uint8_t *ops = <uint8_t *><char *>op_column
        cdef uint8_t *flags = <uint8_t *><char *>flag_column
        cdef double *data = <double *><char *>data_column
        cdef double *grad = <double *><char *>grad_column
        import array

        operand_counts = array.array("I")
        operand_numbers = array.array("I")
        value_counts = array.array("I")
        values = array.array("d")
        numbers.reserve()
        for i in range(n_external):
            numbers.entries[node_of(<PyObject *>self.externals[i])] = <uint32_t>i + 1
        for i in range(n_nodes):
            node = self.order.nodes[i]
            numbers.entries[node] = n_external + <uint32_t>i + 1
            ops[i] = arena.meta[node].op
            flags[i] = arena.meta[node].flags & COPIED_FLAGS
            data[i] = arena.data[node]
            grad[i] = arena.grad[node]
            n_operands = mg_node_operands(&arena, node, &operands)
            operand_counts.append(n_operands)
            for j in range(n_operands):
                operand_numbers.append(numbers.get(operands[j]) - 1)
            if arena.meta[node].flags & MG_HAS_EXTRA:
                value_counts.append(arena.aux[node].extra.n_values)
                for j in range(arena.aux[node].extra.n_values):
                    values.append(arena.aux[node].extra.values[j])
            elif mg_ops[arena.meta[node].op].n_immediates == 1:
                value_counts.append(1)
                values.append(arena.aux[node].immediate)
            else:
                value_counts.append(0)
        import sys

        return {
            "format": 1,
            "byteorder": sys.byteorder,
            "operations": [operation_name(<mg_op>op) for op in range(<int>MG_N_OPS)],
            "op": op_column,
            "flags": flag_column,
            "data": data_column,
            "grad": grad_column,
            "operand_counts": operand_counts.tobytes(),
            "operands": operand_numbers.tobytes(),
            "value_counts": value_counts.tobytes(),
            "values": values.tobytes(),
        }


cdef dict attributes_for_pickle(PyObject *handle):
    if (<ValueHandle *>handle).dict == NULL:
        return {}
    attributes = dict(<dict>(<ValueHandle *>handle).dict)
    if "_backward" in attributes:
        import pickle

        raise pickle.PicklingError(
            f"cannot pickle {<object>handle!r}: its _backward is a Python function,"
            f" {attributes['_backward']!r}"
        )
    return attributes


cdef bint is_plain_leaf(mg_node node) noexcept:
    """A leaf that somebody holds and that carries nothing but its numbers."""
    cdef PyObject *handle = <PyObject *>arena.handle[node]
    return (
        arena.meta[node].arity == 0
        and handle != NULL
        and (<ValueHandle *>handle).dict == NULL
        and Py_TYPE(handle) == ValueType
    )


cdef _Snapshot take_snapshot(PyObject *root):
    """Number the graph under a node; only what earlier snapshots do not hold is stored here."""
    global last_serial
    cdef _Snapshot snapshot = _Snapshot()
    cdef mg_node node
    cdef size_t i, n_kept = 0
    build_order(node_of(root), &snapshot.order)
    snapshot_serials.reserve()
    snapshot_positions.reserve()
    last_serial += 1
    for i in range(snapshot.order.n_nodes):
        node = snapshot.order.nodes[i]
        if snapshot_serials.get(node) != 0 or is_plain_leaf(node):
            snapshot.externals.append(adopt(handle_of(node)))
        else:
            snapshot.order.nodes[n_kept] = node
            n_kept += 1
    snapshot.order.n_nodes = n_kept
    for i in range(n_kept):
        snapshot_serials.entries[snapshot.order.nodes[i]] = last_serial
        snapshot_positions.entries[snapshot.order.nodes[i]] = <uint32_t>i
    snapshot.root = <object>root
    snapshot.serial = last_serial
    live_snapshots[last_serial] = <size_t><PyObject *>snapshot
    return snapshot


cdef PyObject *value_reduce(PyObject *self, PyObject *protocol) except NULL:
    cdef mg_node node = node_of(self)
    cdef uint32_t serial = snapshot_serials.get(node)
    cdef _Snapshot snapshot
    if serial == 0 and is_plain_leaf(node):
        return new_reference((load_leaf, (arena.data[node], arena.grad[node])))
    if serial != 0:
        snapshot = <_Snapshot><object><PyObject *><size_t>live_snapshots[serial]
    else:
        snapshot = take_snapshot(self)
    return new_reference((load_node, (snapshot, snapshot_positions.get(node))))


# Loading. What is read may be damaged or made up, so every number is checked before it is used.


cdef object damaged(str what):
    import pickle

    return pickle.UnpicklingError(f"damaged pickle of a Value graph: {what}")


cdef int rebind(PyObject *value, mg_node node) except -1:
    """Move a fresh handle from its own leaf to a node that has no handle."""
    global n_moves
    cdef mg_node fresh = node_of(value)
    arena.handle[fresh] = NULL
    arena.meta[fresh].flags &= ~MG_PINNED
    mg_arena_release(&arena, fresh)
    handle_attach(value, node)
    handle_pin(value)
    n_moves += 1
    return 0


def load_leaf(double data, double grad):
    """Rebuild a plain leaf; called by pickle."""
    value = (<object>ValueType)(data)
    value.grad = grad
    return value


cdef mg_node loaded_node(_Snapshot snapshot, object position) except? 0xFFFFFFFF:
    if not isinstance(position, int) or not 0 <= position < snapshot.order.n_nodes:
        raise damaged(f"node {position!r} of {snapshot.order.n_nodes}")
    return snapshot.order.nodes[<size_t>position]


def load_node(_Snapshot snapshot not None, position):
    """The Value at one position of a loaded snapshot; called by pickle."""
    return adopt(handle_of(loaded_node(snapshot, position)))


cdef object column(dict packed, str name, str typecode, object length):
    import array
    import sys

    cells = array.array(typecode)
    stored = packed.get(name)
    if not isinstance(stored, bytes) or len(stored) % cells.itemsize:
        raise damaged(f"column {name!r}")
    cells.frombytes(stored)
    if length is not None and len(cells) != length:
        raise damaged(f"column {name!r} has {len(cells)} entries, wanted {length}")
    if packed.get("byteorder") != sys.byteorder:
        cells.byteswap()
    return cells


def load_snapshot(packed, externals):
    """Rebuild the nodes of a snapshot; called by pickle."""
    if not isinstance(packed, dict) or packed.get("format") != 1:
        raise damaged("unknown format")
    if not isinstance(externals, list) or not builtins.all(
        is_value(<PyObject *>external) for external in externals
    ):
        raise damaged("externals")
    names = packed.get("operations")
    if not isinstance(names, list):
        raise damaged("operations")
    codes = {operation_name(<mg_op>op): op for op in range(<int>MG_N_OPS)}
    ops = column(packed, "op", "B", None)
    n_nodes = len(ops)
    if n_nodes == 0:
        raise damaged("no nodes")
    flags = column(packed, "flags", "B", n_nodes)
    data = column(packed, "data", "d", n_nodes)
    grad = column(packed, "grad", "d", n_nodes)
    operand_counts = column(packed, "operand_counts", "I", n_nodes)
    value_counts = column(packed, "value_counts", "I", n_nodes)
    operands = column(packed, "operands", "I", builtins.sum(operand_counts))
    values = column(packed, "values", "d", builtins.sum(value_counts))

    cdef _Snapshot snapshot = _Snapshot()
    cdef mg_node *members = <mg_node *>mg_realloc(NULL, (n_nodes + len(externals)) * sizeof(mg_node))
    cdef size_t n_members = 0, n_external = len(externals)
    if members == NULL:
        raise MemoryError(f"no memory for {n_nodes} nodes")
    try:
        for external in externals:
            members[n_members] = node_of(<PyObject *>external)
            n_members += 1
        first_operand = first_value = 0
        for i in range(n_nodes):
            if ops[i] >= len(names) or names[ops[i]] not in codes:
                raise damaged(f"unknown operation {ops[i]}")
            last_operand = first_operand + operand_counts[i]
            last_value = first_value + value_counts[i]
            members[n_members] = load_one(
                codes[names[ops[i]]], members, n_members, data[i],
                operands[first_operand:last_operand], values[first_value:last_value],
            )
            note_grad_write(grad[i])
            arena.grad[members[n_members]] = grad[i]
            arena.meta[members[n_members]].flags |= flags[i] & COPIED_FLAGS
            n_members += 1
            first_operand, first_value = last_operand, last_value
        snapshot.root = adopt(handle_of(members[n_members - 1]))
    except BaseException:
        discard_all(members + n_external, n_members - n_external)
        mg_free(members)
        raise
    for i in range(n_nodes):
        members[i] = members[n_external + i]
    snapshot.order.nodes = members
    snapshot.order.n_nodes = n_nodes
    snapshot.order.nodes_cap = n_nodes
    snapshot.externals = externals
    # A damaged pickle can hold nodes that nothing uses: they live as long as the snapshot.
    snapshot.root = [snapshot.root] + [
        adopt(handle_of(members[i])) for i in range(n_nodes) if arena.meta[members[i]].refs == 0
    ]
    return snapshot


cdef mg_node load_one(int op, mg_node *members, size_t n_members, double data, object operands,
                      object values) except? 0xFFFFFFFF:
    cdef mg_extra *extra
    cdef mg_node a = MG_NO_NODE, b = MG_NO_NODE, node
    cdef int n_operands = len(operands), n_values = len(values)
    for operand in operands:
        if operand >= n_members:
            raise damaged(f"operand {operand} of node {n_members}")
    if op == MG_LEAF:
        if n_operands or n_values:
            raise damaged("a leaf with operands")
        return leaf(data)
    if op != MG_LOCAL:
        if n_operands != mg_ops[op].arity or n_values != mg_ops[op].n_immediates:
            raise damaged(f"{operation_name(<mg_op>op)} with {n_operands} operands")
        a = members[<size_t>operands[0]]
        if n_operands == 2:
            b = members[<size_t>operands[1]]
    elif n_operands == 0 or n_values not in (0, n_operands):
        raise damaged("a node whose operands and derivatives do not match")
    if op != MG_LOCAL and n_values < 2:
        node = mg_arena_node(&arena, <mg_op>op, a, b, values[0] if n_values else 0.0, data)
    else:
        extra = mg_extra_new(n_operands if op == MG_LOCAL else 0, n_values)
        if extra == NULL:
            raise_status(MG_NO_MEMORY, <mg_op>op, data, 0.0)
        for i in range(n_values):
            extra.values[i] = values[i]
        if op == MG_LOCAL:
            for i in range(n_operands):
                mg_extra_operands(extra)[i] = members[<size_t>operands[i]]
        node = mg_arena_node_extra(&arena, <mg_op>op, a, extra, data)
        if node == MG_NO_NODE:
            mg_free(extra)
    if node == MG_NO_NODE:
        raise_status(MG_NO_MEMORY, <mg_op>op, data, 0.0)
    return node
