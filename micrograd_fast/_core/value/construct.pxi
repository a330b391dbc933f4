# Value(data, _children=(), _op='', label='') and Value(data, children=(), local_grads=()).

cdef extern from "Python.h":
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    PyObject *tuple_item "PyTuple_GET_ITEM"(PyObject *, Py_ssize_t)

cdef object MISSING = object()


cdef tuple children_tuple(object children):
    if is_value(<PyObject *>children):
        raise TypeError("children must be an iterable of Values, found a single Value")
    try:
        operands = tuple(children)
    except TypeError:
        raise TypeError(
            f"children must be an iterable of Values, found {type(children).__name__}"
        ) from None
    for i, operand in enumerate(operands):
        if not is_value(<PyObject *>operand):
            raise TypeError(f"children[{i}] must be a Value, found {type(operand).__name__}")
    return operands


cdef mg_node local_node(double data, tuple operands, list local_grads) except? 0xFFFFFFFF:
    cdef mg_extra *extra = mg_extra_new(<uint32_t>len(operands), <uint32_t>len(local_grads))
    cdef mg_node node = MG_NO_NODE
    cdef Py_ssize_t i
    if extra != NULL:
        for i in range(len(local_grads)):
            extra.values[i] = local_grads[i]
        for i in range(len(operands)):
            mg_extra_operands(extra)[i] = node_of(<PyObject *>operands[i])
        node = mg_arena_node_extra(&arena, MG_LOCAL, MG_NO_NODE, extra, data)
    if node == MG_NO_NODE:
        mg_free(extra)
        raise_status(MG_NO_MEMORY, MG_LOCAL, data, 0.0)
    return node


cdef int replace_content(PyObject *self, mg_node fresh) except -1:
    """Start the handle's node over with the content of ``fresh``, which has no user and is
    consumed: ``__init__`` called again. Users of the node see the new content."""
    cdef mg_node node = node_of(self)
    cdef mg_order order
    # The leaf that __new__ made, or any other that nothing uses, has nothing to go wrong.
    cdef bint refused = arena.meta[node].arity != 0 and n_sweeps > 0
    if not refused and arena.meta[node].refs > 1:
        order = take_order()
        refused = mg_order_build(&arena, fresh, MG_ORDER_ALL, &order) != MG_OK
        refused = refused or arena.mark[node] == arena.epoch
        give_order(&order)
    if refused:
        mg_arena_discard(&arena, fresh)
        raise RuntimeError(
            "a Value cannot be initialised again while backward runs, nor as its own operand"
        )
    make_ordinary(node)
    mg_arena_exchange(&arena, node, fresh)
    mg_arena_discard(&arena, fresh)
    arena.meta[node].flags &= ~MG_CUSTOM
    for key in ("_op", "label", "_backward"):
        handle_unset(self, key)
    return 0


cdef int initialise(PyObject *self, object data, object children, object op, object local_grads,
                    object label) except -1:
    """Give a handle its node, the work of ``Value.__init__``."""
    cdef double number = require_number(data, "data")
    cdef tuple operands = children_tuple(children)
    cdef list grads = []
    cdef mg_node node, previous = node_of(self)
    if not isinstance(op, str):
        raise TypeError(f"_op must be a str, found {type(op).__name__}")
    if local_grads is not MISSING:
        if not isinstance(local_grads, (tuple, list)):
            raise TypeError(
                "the third argument must be _op (a str) or local_grads (a tuple or list of"
                f" numbers), found {type(local_grads).__name__}"
            )
        for i, d in enumerate(local_grads):
            grads.append(require_number(d, f"local_grads[{i}]"))
        if len(grads) != len(operands):
            raise ValueError(
                "wanted one local gradient for each child,"
                f" found {len(operands)} children and {len(grads)} local_grads"
            )
    node = local_node(number, operands, grads) if operands else leaf(number)
    if previous == MG_NO_NODE:
        handle_attach(self, node)
    else:
        replace_content(self, node)
    if op:
        handle_set(self, "_op", op)
    if label is not None and label != "":
        handle_set(self, "label", label)
    return 0


def _signature(data, children=MISSING, third=MISSING, label="", *, _children=MISSING, _op=MISSING,
               local_grads=MISSING):
    # The two dialects in one signature; Python reports the arguments that fit neither.
    if _children is not MISSING:
        if children is not MISSING:
            raise TypeError("Value() got both children and _children")
        children = _children
    if third is not MISSING:
        if isinstance(third, str):
            if _op is not MISSING:
                raise TypeError("Value() got _op twice")
            _op = third
        else:
            if local_grads is not MISSING:
                raise TypeError("Value() got local_grads twice")
            local_grads = third
    return (
        data,
        () if children is MISSING else children,
        "" if _op is MISSING else _op,
        local_grads,
        label,
    )


cdef int initialise_from(PyObject *self, tuple args, dict kwargs) except -1:
    if len(args) > 4:
        raise TypeError(f"Value() takes at most 4 positional arguments, found {len(args)}")
    if "third" in kwargs:
        raise TypeError("Value() got an unexpected keyword argument 'third'")
    if not args and "data" not in kwargs:
        raise TypeError("Value() wants data, a real number, as its first argument")
    data, children, op, local_grads, label = _signature(*args, **kwargs)
    return initialise(self, data, children, op, local_grads, label)


cdef int value_init(PyObject *self, PyObject *args, PyObject *kwargs) except -1:
    return initialise_from(self, <tuple>args, {} if kwargs == NULL else <dict>kwargs)


cdef PyObject *value_new(PyTypeObject *kind, PyObject *args, PyObject *kwargs) except NULL:
    """A leaf of value 0.0, which ``__init__`` replaces."""
    cdef PyObject *self
    if kind == ValueType:
        self = handle_new()
    else:
        # Instances of subclasses are tracked from the start, and pinned: their type is state.
        self = kind.tp_alloc(kind, 0)
        (<ValueHandle *>self).node = MG_NO_NODE
        (<ValueHandle *>self).tracked = TRACKED
    try:
        handle_attach(self, leaf(0.0))
    except BaseException:
        Py_DECREF(self)
        raise
    if kind != ValueType:
        handle_pin(self)
        watch_collections()
    return self


cdef PyObject *value_vectorcall(PyObject *kind, PyObject **args, size_t nargsf,
                                PyObject *keywords) except NULL:
    """``Value(...)`` without packing arguments into a tuple where only data is given."""
    cdef PyObject *self
    cdef double number
    cdef Py_ssize_t i, n_args = PyVectorcall_NARGS(nargsf), n_keywords = 0
    cdef tuple positional
    cdef dict named
    if n_args == 1 and keywords == NULL and ValueType.tp_init == <void *>value_init:
        if PyFloat_CheckExact(args[0]):
            number = PyFloat_AS_DOUBLE(args[0])
        else:
            number = require_number(<object>args[0], "data")
        self = handle_new()
        try:
            handle_attach(self, leaf(number))
        except BaseException:
            Py_DECREF(self)
            raise
        return self

    given = []
    for i in range(n_args):
        given.append(<object>args[i])
    positional = tuple(given)
    named = {}
    if keywords != NULL:
        names = <tuple>keywords
        for i in range(len(names)):
            named[names[i]] = <object>args[n_args + i]
    self = value_new(ValueType, NULL, NULL)
    try:
        if ValueType.tp_init == <void *>value_init:
            initialise_from(self, positional, named)
        else:
            type(<object>self).__init__(<object>self, *positional, **named)
    except BaseException:
        Py_DECREF(self)
        raise
    return self
