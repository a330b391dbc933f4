# Value(data, _children=(), _op='', label='') and Value(data, children=(), local_grads=()).
#
# What must stay true: arguments are converted before anything is looked up, for to convert them
# runs Python; a handle has a node from value_new on; __init__ called again leaves everything as it
# was if it fails, and no node becomes its own operand.

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


cdef bint is_under(mg_node node, mg_node root) except -1:
    """Whether the graph under ``root`` contains the node."""
    cdef mg_order order = take_order()
    cdef mg_status st = mg_order_build(&arena, root, MG_ORDER_ALL, &order)
    cdef bint found = arena.mark[node] == arena.epoch
    give_order(&order)
    if st != MG_OK:
        raise no_memory("the order of the graph's nodes")
    return found


cdef int start_over(PyObject *self, mg_node fresh) except -1:
    """Exchange what the handle's node contains for the content of ``fresh``, a new node without a
    user, which is consumed in any case. Users of the node see the new content."""
    global n_contents_replaced
    cdef PyObject *kept = NULL
    cdef mg_node node
    try:
        make_ordinary(node_of(self))
        if n_node_maps > 0:
            kept = handle_new(kind_of(self))
            kept_contents.append(adopt(kept))
        # No Python runs from here on.
        node = node_of(self)
        # The leaf that __new__ made, or any other that nothing uses, has nothing to go wrong.
        if (arena.meta[node].arity != 0 and n_sweeps > 0) or (
            n_uses_of(node) > 0 and is_under(node, fresh)
        ):
            raise RuntimeError(
                "a Value cannot be initialised again while backward runs, nor as its own operand"
            )
    except BaseException:
        if kept != NULL:
            kept_contents.pop()
        mg_arena_discard(&arena, fresh)
        raise
    n_contents_replaced += 1
    mg_arena_exchange(&arena, node, fresh)
    if kept != NULL:
        handle_attach(kept, fresh)
    else:
        mg_arena_discard(&arena, fresh)
    return 0


cdef int put_back(PyObject *self, str key, object old) except -1:
    """Undo handle_set. The key is there, or not to be there, so no memory is wanted."""
    if old is None:
        return handle_unset(self, key)
    return handle_set(self, key, old)


cdef int initialise_again(PyObject *self, double number, tuple operands, list grads, object op,
                          object label) except -1:
    """``__init__`` on a Value that has a node; all or nothing."""
    # What may fail comes first. The old attributes stay alive to the end, so that none of their
    # finalizers runs in between, and to be put back.
    old_op = handle_get(self, "_op", None)
    old_label = handle_get(self, "label", None)
    old_closure = handle_get(self, BACKWARD, None)
    try:
        if op is not None:
            handle_set(self, "_op", op)
        if label is not None:
            handle_set(self, "label", label)
        start_over(self, node_on(number, operands, grads))
    except BaseException:
        if op is not None:
            put_back(self, "_op", old_op)
        if label is not None:
            put_back(self, "label", old_label)
        raise
    if op is None:
        handle_unset(self, "_op")
    if label is None:
        handle_unset(self, "label")
    handle_unset(self, BACKWARD)
    return 0


cdef mg_node node_on(double number, tuple operands, list grads) except? 0xFFFFFFFF:
    return local_node(number, operands, grads) if operands else leaf(number)


cdef list gradients_of(object local_grads, Py_ssize_t n_children):
    cdef list grads = []
    if local_grads is MISSING:
        return grads
    if not isinstance(local_grads, (tuple, list)):
        raise TypeError(
            "local_grads must be a tuple or list of numbers,"
            f" found {type(local_grads).__name__}"
        )
    for i, d in enumerate(local_grads):
        grads.append(require_number(d, f"local_grads[{i}]"))
    if len(grads) != n_children:
        raise ValueError(
            "wanted one local gradient for each child,"
            f" found {n_children} children and {len(grads)} local_grads"
        )
    return grads


cdef int initialise(PyObject *self, object data, object children, object op, object local_grads,
                    object label) except -1:
    """Give a handle its node, the work of ``Value.__init__``."""
    cdef double number = require_number(data, "data")
    cdef tuple operands = children_tuple(children)
    cdef list grads = gradients_of(local_grads, len(operands))
    if not isinstance(op, str):
        raise TypeError(f"_op must be a str, found {type(op).__name__}")
    return initialise_again(
        self, number, operands, grads, op if op else None,
        label if label is not None and label != "" else None,
    )


# What the arguments may be called, by what they mean.
cdef dict MEANINGS = {
    "data": "data",
    "_children": "children", "children": "children",
    "_prev": "children", "prev": "children", "parents": "children",
    "_op": "op", "op": "op",
    "local_grads": "local_grads",
    "label": "label", "name": "label",
}

cdef str KEYWORDS = (
    "data, _children (or children, _prev, prev, parents), _op (or op), label (or name)"
    " and local_grads"
)


cdef int take_argument(dict found, str meaning, object entry) except -1:
    if meaning in found:
        raise TypeError(f"Value() takes {meaning} once, found it twice")
    found[meaning] = entry
    return 0


cdef dict arguments_of(tuple args, dict kwargs):
    """What the arguments mean, whatever dialect they are in.

    A str in second place is the label; children and the op follow it. Otherwise the children
    stand there, and after them the op, a str, or the local gradients, and the label.
    """
    cdef dict found = {}
    cdef Py_ssize_t i, n_args = len(args)
    if n_args > 4:
        raise TypeError(f"Value() takes at most 4 positional arguments, found {n_args}")
    cdef bint label_second = n_args > 1 and isinstance(args[1], str)
    for i in range(n_args):
        if i == 0:
            meaning = "data"
        elif label_second:
            meaning = "label" if i == 1 else "op" if isinstance(args[i], str) else "children"
        elif i == 2:
            meaning = "op" if isinstance(args[2], str) else "local_grads"
        else:
            meaning = "children" if i == 1 else "label"
        take_argument(found, meaning, args[i])
    for name, entry in kwargs.items():
        if name not in MEANINGS:
            raise TypeError(f"Value() takes {KEYWORDS}, found the keyword {name!r}")
        # The second dialect's third argument, spelled out.
        if MEANINGS[name] == "op" and isinstance(entry, (tuple, list)):
            take_argument(found, "local_grads", entry)
        else:
            take_argument(found, MEANINGS[name], entry)
    if "data" not in found:
        raise TypeError("data, the first argument of Value(), must be a real number, found none")
    return found


cdef int initialise_from(PyObject *self, tuple args, dict kwargs) except -1:
    cdef dict found = arguments_of(args, kwargs)
    return initialise(
        self, found["data"], found.get("children", ()), found.get("op", ""),
        found.get("local_grads", MISSING), found.get("label", ""),
    )


cdef int value_init(PyObject *self, PyObject *args, PyObject *kwargs) except -1:
    return initialise_from(self, <tuple>args, {} if kwargs == NULL else <dict>kwargs)


cdef PyObject *value_new(PyTypeObject *kind, PyObject *args, PyObject *kwargs) except NULL:
    """A leaf of value 0.0, which ``__init__`` replaces."""
    cdef mg_node node
    if not is_plain_type(kind):
        # Instances of subclasses are tracked from the start, and pinned: their type is state.
        watch_collections()
    node = leaf(0.0)
    try:
        return handle_for(kind, node)
    except BaseException:
        mg_arena_discard(&arena, node)
        raise


cdef PyObject *value_vectorcall(PyObject *kind, PyObject **args, size_t nargsf,
                                PyObject *keywords) except NULL:
    """``Value(...)`` without packing arguments into a tuple where only data is given."""
    cdef PyObject *self
    cdef double number
    cdef Py_ssize_t i, n_args = PyVectorcall_NARGS(nargsf)
    cdef bint unpatched = (
        (<PyTypeObject *>kind).tp_init == <void *>value_init
        and (<PyTypeObject *>kind).tp_new == <void *>value_new
    )
    cdef list positional
    cdef dict named
    if n_args == 1 and keywords == NULL and unpatched:
        number = require_number(<object>args[0], "data")
        self = handle_new(<PyTypeObject *>kind)
        try:
            handle_attach(self, leaf(number))
        except BaseException:
            Py_DECREF(self)
            raise
        return self

    positional = []
    named = {}
    for i in range(n_args):
        positional.append(<object>args[i])
    if keywords != NULL:
        names = <tuple>keywords
        for i in range(len(names)):
            named[names[i]] = <object>args[n_args + i]
    if not unpatched:
        return new_reference(type.__call__(<object>kind, *positional, **named))
    self = value_new(<PyTypeObject *>kind, NULL, NULL)
    try:
        initialise_from(self, tuple(positional), named)
    except BaseException:
        Py_DECREF(self)
        raise
    return self
