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
            "operations": operation_names(),
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
    if watches is not None:
        note_look(self, "copy", NULL)
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
    held = [snapshot.root]
    for i in range(n_nodes):
        if arena.meta[members[i]].refs == 0:
            held.append(adopt(handle_of(members[i])))
    snapshot.root = held
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
