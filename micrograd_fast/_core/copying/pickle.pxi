# Pickle. A snapshot numbers its members: first the external ones, which are pickled as objects
# of their own (plain leaves that somebody holds, members of earlier snapshots, nodes of a subclass
# that says itself how it is pickled), then its own nodes in topological order. What handles carry
# may refer to the graph, so it is pickled as the snapshot's state, when the snapshot is already
# known to the pickler; their types are needed before, for the state may show the graph.
#
# What must stay true: a node that snapshot_serials knows is alive and belongs to that one live
# snapshot, which has its number. Initialising a Value anew makes that untrue, so snapshots from
# before are given up when a node is next looked for (snapshot_of). A snapshot is registered once
# all that can fail has been done, and unregistering cannot fail.

cdef _NodeMap snapshot_serials = _NodeMap()    # node -> serial of the snapshot that holds it
cdef _NodeMap snapshot_positions = _NodeMap()  # node -> its number there
cdef dict live_snapshots = {}                  # serial -> address of the snapshot
cdef uint32_t last_serial = 0


@cython.no_gc_clear
cdef class _Snapshot:
    """The part of a graph under one node that pickle stores in one piece."""
    cdef mg_order order      # the snapshot's own nodes
    cdef list externals
    cdef object root         # keeps every node of the order alive
    cdef list handles        # those made when it was loaded
    cdef uint32_t serial     # 0 for one that is not registered
    cdef object key          # the same as Python's number
    cdef uint64_t n_contents_replaced  # before it was taken

    def __cinit__(self):
        memset(&self.order, 0, sizeof(mg_order))
        self.serial = 0
        self.externals = []
        self.handles = []
        count_node_maps(1)

    def __dealloc__(self):
        self.unregister()
        mg_order_free(&self.order)
        count_node_maps(-1)

    cdef int register(self) except -1:
        """Let the snapshot's nodes be found from now on; all or nothing."""
        global last_serial
        cdef uint32_t serial = last_serial % 0xFFFFFFFF + 1
        cdef size_t i
        snapshot_serials.reserve()
        snapshot_positions.reserve()
        self.key = serial
        live_snapshots[self.key] = <size_t><PyObject *>self
        self.serial = last_serial = serial
        for i in range(self.order.n_nodes):
            snapshot_serials.entries[self.order.nodes[i]] = serial
            snapshot_positions.entries[self.order.nodes[i]] = <uint32_t>i
        return 0

    cdef void unregister(self) noexcept:
        cdef size_t i
        if self.serial == 0:
            return
        for i in range(self.order.n_nodes):
            snapshot_serials.entries[self.order.nodes[i]] = 0
        self.serial = 0
        live_snapshots.pop(self.key, None)

    def __reduce__(self):
        kinds, states = self.kinds_and_states()
        return load_snapshot, (self.pack(), list(self.externals), kinds), states or None

    cdef tuple kinds_and_states(self):
        """Pairs of a position and the type there, where it is a subclass, and of a position and
        what the Value there carries."""
        cdef PyObject *handle
        cdef size_t i
        cdef list kinds = [], states = []
        # Python runs in between: each handle is looked up when its turn comes, and held.
        for i in range(self.order.n_nodes):
            handle = <PyObject *>arena.handle[self.order.nodes[i]]
            if handle == NULL or (
                (<ValueHandle *>handle).dict == NULL and Py_TYPE(handle) == ValueType
            ):
                continue
            value = <object>handle
            if type(value) is not <object>ValueType:
                kinds.append((i, type(value)))
            state = state_for_pickle(value)
            if state is not None:
                states.append((i, state))
        return kinds, states

    def __setstate__(self, list states):
        for position, state in states:
            take_state(load_node(self, position), state)

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
                if numbers.get(operands[j]) == 0:
                    raise RuntimeError(
                        "a Value was initialised again while its graph was pickled"
                    )
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

        return {
            "format": 2,
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


cdef object state_for_pickle(object value):
    state = state_of(value)
    attributes = state[0] if isinstance(state, tuple) and len(state) == 2 else state
    if (
        isinstance(attributes, dict)
        and BACKWARD in attributes
        and not isinstance(attributes[BACKWARD], CustomOp)
    ):
        import pickle

        raise pickle.PicklingError(
            f"cannot pickle {value!r}: its _backward is a Python function,"
            f" {attributes[BACKWARD]!r}"
        )
    return state


cdef bint is_plain_leaf(mg_node node) noexcept:
    """A leaf that somebody holds and that carries nothing but its numbers."""
    cdef PyObject *handle = <PyObject *>arena.handle[node]
    return (
        arena.meta[node].arity == 0
        and not arena.meta[node].flags & MG_LITERAL
        and handle != NULL
        and (<ValueHandle *>handle).dict == NULL
        and Py_TYPE(handle) == ValueType
    )


cdef bint reduces_itself(PyObject *handle) except -1:
    """Whether a Value is of a subclass that says itself how it is pickled."""
    return Py_TYPE(handle) != ValueType and (
        overrides(type(<object>handle), "__reduce__")
        or type(<object>handle).__reduce_ex__ is not (<object>ValueType).__reduce_ex__
    )


cdef _Snapshot snapshot_of(mg_node node):
    """The live snapshot that holds a node as it is now, or None."""
    cdef uint32_t serial = snapshot_serials.get(node)
    cdef _Snapshot snapshot
    if serial == 0:
        return None
    snapshot = <_Snapshot><object><PyObject *><size_t>live_snapshots[serial]
    if snapshot.n_contents_replaced != n_contents_replaced:
        snapshot.unregister()
        return None
    return snapshot


cdef _Snapshot take_snapshot(PyObject *root):
    """Number the graph under a node; only what earlier snapshots do not hold is stored here."""
    cdef _Snapshot snapshot = _Snapshot()
    cdef mg_order order
    cdef PyObject *handle
    cdef mg_node node
    cdef size_t i, n_kept = 0
    snapshot.root = <object>root
    snapshot.n_contents_replaced = n_contents_replaced
    build_order(node_of(root), &snapshot.order)
    order = snapshot.order
    snapshot.order.n_nodes = 0
    for i in range(order.n_nodes):
        node = order.nodes[i]
        handle = <PyObject *>arena.handle[node]
        if node != node_of(root) and (
            is_plain_leaf(node)
            or snapshot_of(node) is not None
            or handle != NULL and reduces_itself(handle)
        ):
            snapshot.externals.append(adopt(handle_of(node, kind_of(root))))
        else:
            order.nodes[n_kept] = node
            n_kept += 1
    snapshot.order.n_nodes = n_kept
    snapshot.register()
    return snapshot


cdef PyObject *value_reduce(PyObject *self, PyObject *protocol) except NULL:
    cdef _Snapshot snapshot
    value = <object>self
    if innermost_watch is not None:
        note_look(self, "copy", NULL)
    if overrides(type(value), "__reduce__"):
        return new_reference(value.__reduce__())
    if is_plain_leaf(node_of(self)):
        return new_reference(
            (load_leaf, (arena.data[node_of(self)], arena.grad[node_of(self)]))
        )
    snapshot = snapshot_of(node_of(self))
    if snapshot is None:
        snapshot = take_snapshot(self)
    return new_reference((load_node, (snapshot, snapshot_positions.get(node_of(self)))))


# Loading. What is read may be damaged or made up, so every number is checked before it is used,
# and every list is a copy of the one that was given.


cdef object damaged(str what):
    import pickle

    return pickle.UnpicklingError(f"damaged pickle of a Value graph: {what}")


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
    return adopt(handle_of(loaded_node(snapshot, position), ValueType))


cdef object column(dict packed, str name, str typecode, object length):
    import array

    cells = array.array(typecode)
    stored = packed.get(name)
    if type(stored) is not bytes or len(stored) % cells.itemsize:
        raise damaged(f"column {name!r}")
    cells.frombytes(stored)
    if length is not None and len(cells) != length:
        raise damaged(f"column {name!r} has {len(cells)} entries, wanted {length}")
    if packed.get("byteorder") != sys.byteorder:
        cells.byteswap()
    return cells


cdef list checked_externals(object externals):
    if type(externals) is not list:
        raise damaged("externals")
    cdef list own = list(externals)
    for external in own:
        if not is_value(<PyObject *>external):
            raise damaged("externals")
    return own


cdef dict checked_kinds(object kinds, size_t n_nodes):
    """The subclasses of the loaded Values, by position."""
    cdef dict own = {}
    if type(kinds) is not list:
        raise damaged("types")
    for entry in list(kinds):
        if type(entry) is not tuple or len(<tuple>entry) != 2:
            raise damaged("types")
        position, kind = entry
        if type(position) is not int or not 0 <= position < n_nodes or position in own:
            raise damaged(f"a type for node {position!r} of {n_nodes}")
        if not isinstance(kind, type) or not PyType_IsSubtype(
            <PyTypeObject *><PyObject *>kind, ValueType
        ):
            raise damaged(f"{kind!r} is no type of Value")
        own[position] = kind
    return own


cdef dict codes_of_operations(object names):
    """What this engine's codes are for those of the pickle."""
    cdef dict own = {}
    if type(names) is not list:
        raise damaged("operations")
    codes = {name: code for code, name in enumerate(operation_names())}
    for i, name in enumerate(list(names)):
        if type(name) is str and name in codes:
            own[i] = codes[name]
    return own


def load_snapshot(packed, externals, kinds):
    """Rebuild the nodes of a snapshot; called by pickle."""
    if type(packed) is not dict or packed.get("format") != 2:
        raise damaged("unknown format")
    cdef list others = checked_externals(externals)
    cdef dict codes = codes_of_operations(packed.get("operations"))
    ops = column(packed, "op", "B", None)
    cdef size_t i, n_nodes = len(ops)
    if n_nodes == 0:
        raise damaged("no nodes")
    flags = column(packed, "flags", "B", n_nodes)
    data = column(packed, "data", "d", n_nodes)
    grad = column(packed, "grad", "d", n_nodes)
    operand_counts = column(packed, "operand_counts", "I", n_nodes)
    value_counts = column(packed, "value_counts", "I", n_nodes)
    operands = column(packed, "operands", "I", builtins.sum(operand_counts))
    values = column(packed, "values", "d", builtins.sum(value_counts))
    cdef dict subclasses = checked_kinds(kinds, n_nodes)

    # From here on no layer moves a node.
    cdef _Snapshot snapshot = _Snapshot()
    cdef size_t n_members = 0, n_external = len(others)
    cdef mg_node *members = <mg_node *>mg_realloc(NULL, (n_nodes + n_external) * sizeof(mg_node))
    cdef mg_node node
    if members == NULL:
        raise no_memory(f"{n_nodes} nodes")
    try:
        for external in others:
            members[n_members] = node_of(<PyObject *>external)
            n_members += 1
        first_operand = first_value = 0
        for i in range(n_nodes):
            if ops[i] not in codes:
                raise damaged(f"unknown operation {ops[i]}")
            last_operand = first_operand + operand_counts[i]
            last_value = first_value + value_counts[i]
            node = load_one(
                codes[ops[i]], members, n_members, data[i],
                operands[first_operand:last_operand], values[first_value:last_value],
            )
            members[n_members] = node
            n_members += 1
            note_grad_write(grad[i])
            arena.grad[node] = grad[i]
            arena.meta[node].flags |= flags[i] & flags_of(arena.meta[node].op)
            first_operand, first_value = last_operand, last_value
        snapshot.root = keeper_of(members + n_external, n_nodes)
    except BaseException:
        discard_all(members + n_external, n_members - n_external)
        mg_free(members)
        raise
    for i in range(n_nodes):
        members[i] = members[n_external + i]
    snapshot.order.nodes = members
    snapshot.order.n_nodes = n_nodes
    snapshot.order.nodes_cap = n_nodes
    snapshot.externals = others
    if subclasses:
        watch_collections()
    for position, kind in subclasses.items():
        node = members[<size_t>position]
        if arena.handle[node] == NULL:
            snapshot.handles.append(adopt(handle_for(<PyTypeObject *><PyObject *>kind, node)))
    return snapshot


cdef int flags_of(int op) noexcept:
    """The flags that say something of a node of this operation."""
    if op == MG_LEAF:
        return COPIED_FLAGS & MG_LITERAL
    return COPIED_FLAGS if op == MG_POW_CONST else MG_ASSIGNED


cdef object keeper_of(mg_node *nodes, size_t n_nodes):
    """A node that uses those of the nodes that nothing else does, and so keeps all of them alive,
    without giving any of them a handle: of what type that is, is not known yet."""
    cdef mg_extra *extra
    cdef mg_node keeper = MG_NO_NODE
    cdef size_t i
    cdef uint32_t n_unused = 0
    cdef PyObject *self = handle_new(ValueType)
    for i in range(n_nodes):
        n_unused += arena.meta[nodes[i]].refs == 0
    extra = mg_extra_new(n_unused, 0)
    if extra != NULL:
        n_unused = 0
        for i in range(n_nodes):
            if arena.meta[nodes[i]].refs == 0:
                mg_extra_operands(extra)[n_unused] = nodes[i]
                n_unused += 1
        keeper = mg_arena_node_extra(&arena, MG_LOCAL, MG_NO_NODE, extra, 0.0)
    if keeper == MG_NO_NODE:
        mg_free(extra)
        Py_DECREF(self)
        raise no_memory(f"{n_nodes} nodes")
    handle_attach(self, keeper)
    return adopt(self)


cdef mg_node load_one(int op, mg_node *members, size_t n_members, double data, object operands,
                      object values) except? 0xFFFFFFFF:
    cdef mg_extra *extra
    cdef mg_node a = MG_NO_NODE, b = MG_NO_NODE, node
    cdef int n_operands = len(operands), n_values = len(values)
    cdef bint nary = op == MG_LOCAL or op == MG_JOIN
    for operand in operands:
        if operand >= n_members:
            raise damaged(f"operand {operand} of node {n_members}")
    if op == MG_LEAF:
        if n_operands or n_values:
            raise damaged("a leaf with operands")
        return leaf(data)
    if not nary:
        if op < MG_TAKE:
            raise damaged(f"a node that is a {operation_name(<mg_op>op)}")
        if n_operands != mg_ops[op].arity or n_values != mg_ops[op].n_immediates:
            raise damaged(f"{operation_name(<mg_op>op)} with {n_operands} operands")
        a = members[<size_t>operands[0]]
        if n_operands == 2:
            b = members[<size_t>operands[1]]
        if (arena.meta[a].op == MG_JOIN) != (op == MG_TAKE):
            raise damaged("a choice without candidates, or candidates without a choice")
    elif n_operands == 0 or n_values not in (0, 0 if op == MG_JOIN else n_operands):
        raise damaged("a node whose operands and derivatives do not match")
    if not nary and n_values < 2:
        node = mg_arena_node(&arena, <mg_op>op, a, b, values[0] if n_values else 0.0, data)
    else:
        extra = mg_extra_new(n_operands if nary else 0, n_values)
        if extra == NULL:
            raise_status(MG_NO_MEMORY, <mg_op>op, data, 0.0)
        for i in range(n_values):
            extra.values[i] = values[i]
        if nary:
            for i in range(n_operands):
                mg_extra_operands(extra)[i] = members[<size_t>operands[i]]
        node = mg_arena_node_extra(&arena, <mg_op>op, a, extra, data)
        if node == MG_NO_NODE:
            mg_free(extra)
    if node == MG_NO_NODE:
        raise_status(MG_NO_MEMORY, <mg_op>op, data, 0.0)
    return node
