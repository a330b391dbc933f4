# The attributes of a node as Python sees them.

cdef extern from "Python.h":
    PyObject *new_float "PyFloat_FromDouble"(double) except NULL
    enum:
        Py_EQ
        Py_NE
    int PyErr_WarnEx(object category, const char *message, Py_ssize_t stack_level) except -1
    int generic_setattr "PyObject_GenericSetAttr"(PyObject *, PyObject *, PyObject *) except -1
    PyObject *generic_dict "PyObject_GenericGetDict"(PyObject *, void *) except NULL

cdef Py_hash_t value_hash(PyObject *self) except? -1:
    if innermost_watch is not None:
        note_look(self, "hash", NULL)
    return PyBaseObject_Type.tp_hash(self)


cdef int value_truth(PyObject *self) except -1:
    if innermost_watch is not None:
        note_look(self, "truth", NULL)
    return 1


cdef PyObject *value_compare(PyObject *self, PyObject *other, int comparison) except NULL:
    """Values are equal if they are the same object, as any others; they have no order."""
    if innermost_watch is not None and (comparison == Py_EQ or comparison == Py_NE):
        note_look(self, "==" if comparison == Py_EQ else "!=", other)
    return not_implemented()


cdef int assign_number(PyObject *entry, double *target, str name) except -1:
    if entry == NULL:
        raise AttributeError(f"{name} of a Value cannot be deleted")
    target[0] = require_number(<object>entry, name)
    return 0


cdef PyObject *get_data(PyObject *self, void *closure) except NULL:
    if innermost_watch is not None:
        note_look(self, "data", NULL)
    return new_float(arena.data[node_of(self)])


cdef inline int warn_of_programs(PyObject *self) except -1:
    """To be called before the data of a Value is assigned. Python may run."""
    if arena.meta[node_of(self)].marks & MG_FROZEN:
        PyErr_WarnEx(
            RuntimeWarning,
            b"a program was made of the Value whose data is assigned: it was computed, and the"
            b" program computes it again in every call, whatever is assigned to it. What a program"
            b" is to see is assigned to its parameters, or given as an input",
            1,
        )
    return 0


cdef int set_data(PyObject *self, PyObject *entry, void *closure) except -1:
    # Reading the number can run code that moves the columns, so it comes first.
    cdef double number = 0.0
    assign_number(entry, &number, "data")
    if innermost_watch is not None:
        note_look(self, "assignment", NULL)
    warn_of_programs(self)
    note_data_write(node_of(self))
    arena.data[node_of(self)] = number
    return 0


cdef PyObject *get_grad(PyObject *self, void *closure) except NULL:
    if innermost_watch is not None:
        note_look(self, "grad", NULL)
    return new_float(arena.grad[node_of(self)])


cdef int set_grad(PyObject *self, PyObject *entry, void *closure) except -1:
    cdef double number = 0.0
    assign_number(entry, &number, "grad")
    if innermost_watch is not None:
        note_look(self, "assignment of grad", NULL)
    note_grad_write(number)
    arena.grad[node_of(self)] = number
    return 0


cdef str operation_label(mg_node node):
    cdef mg_meta *meta = &arena.meta[node]
    cdef mg_op op = <mg_op>meta.op
    cdef double exponent
    if op == MG_NEURON:
        op = arena.aux[node].call.activation.op
        if op == MG_LEAF:
            op = MG_ADD
    cdef str label = mg_ops[<int>op].label.decode()
    if meta.op != MG_POW_CONST:
        return label
    exponent = arena.aux[node].immediate
    if meta.flags & MG_FLOAT_POWER:
        return f"{label}{exponent}"
    if meta.flags & MG_BOOL_POWER:
        return f"{label}{exponent != 0.0}"
    return f"{label}{int(exponent)}"


cdef PyObject *get_op(PyObject *self, void *closure) except NULL:
    assigned = handle_get(self, "_op", None)
    return new_reference(operation_label(node_of(self)) if assigned is None else assigned)


cdef int set_op(PyObject *self, PyObject *entry, void *closure) except -1:
    if entry == NULL:
        return handle_unset(self, "_op")
    if not isinstance(<object>entry, str):
        raise TypeError(f"_op must be a str, found {type(<object>entry).__name__}")
    return handle_set(self, "_op", <object>entry)


cdef PyObject *get_label(PyObject *self, void *closure) except NULL:
    return new_reference(handle_get(self, "label", ""))


cdef int set_label(PyObject *self, PyObject *entry, void *closure) except -1:
    if entry == NULL:
        return handle_unset(self, "label")
    return handle_set(self, "label", <object>entry)


cdef PyObject *get_backward(PyObject *self, void *closure) except NULL:
    cdef PyObject *own = closure_of(self)
    if own != NULL and custom_operation_of(self) is None:
        return new_reference(<object>own)
    return new_reference((<object>self)._propagate)


cdef int set_backward(PyObject *self, PyObject *entry, void *closure) except -1:
    if entry == NULL:
        return handle_unset(self, BACKWARD)
    expect_closure(self)
    return handle_set(self, BACKWARD, <object>entry)


cdef uint32_t shown_operands(mg_node node, const mg_node **operands) noexcept:
    """The operands that Python sees; of a choice, the candidates, which the index follows."""
    if arena.meta[node].op == MG_TAKE:
        return mg_candidates(&arena, node, operands)
    return mg_node_operands(&arena, node, operands)


cdef tuple operand_values(PyObject *self):
    cdef const mg_node *operands
    cdef uint32_t i, n_operands
    cdef PyTypeObject *kind = kind_of(self)
    cdef list result = []
    # From here on no Python runs until all are in the list, so the operands stay what they are.
    expand_neuron(node_of(self))
    n_operands = shown_operands(node_of(self), &operands)
    for i in range(n_operands):
        result.append(adopt(handle_of(operands[i], kind)))
    if arena.meta[node_of(self)].op == MG_TAKE:
        result.append(adopt(handle_of(arena.operands[node_of(self)].b, kind)))
    return tuple(result)


cdef PyObject *get_children(PyObject *self, void *closure) except NULL:
    return new_reference(operand_values(self))


cdef PyObject *get_prev(PyObject *self, void *closure) except NULL:
    global showing_operands
    operands = operand_values(self)
    showing_operands = True
    try:
        return new_reference(set(operands))
    finally:
        showing_operands = False


cdef PyObject *get_local_grads(PyObject *self, void *closure) except NULL:
    cdef mg_node node
    cdef const mg_node *operands
    cdef uint32_t i, n_operands
    cdef mg_status st = MG_OK
    cdef mg_failure failure
    cdef list derivatives = []
    cdef CustomOp operation = custom_operation_of(self)
    if operation is not None:
        return new_reference(tuple(custom_slopes(self, operation)))
    # Before anything is looked up: what is asked here may be the program's own.
    cdef bint only_closure_knows = closure_of(self) != NULL and (
        <object>closure_of(self) != (<object>self)._propagate
    )
    if innermost_watch is not None:
        note_look(self, "_local_grads", NULL)
    node = node_of(self)
    expand_neuron(node)
    n_operands = shown_operands(node, &operands) + (arena.meta[node].op == MG_TAKE)
    if arena.meta[node].op == MG_LOCAL:
        if arena.aux[node].extra.n_values == 0:
            n_operands = 0
    elif only_closure_knows:
        n_operands = 0
    for i in range(n_operands):
        derivatives.append(mg_local_gradient(&arena, node, i, &st))
        if st != MG_OK:
            failure.node = node
            if st == MG_INDEX:
                failure.a = arena.data[arena.operands[node].b]
                failure.b = n_operands - 1
            else:
                failure.a = arena.data[operands[0]]
                failure.b = arena.data[operands[n_operands - 1]]
            raise_failure(st, &failure)
    return new_reference(tuple(derivatives))


cdef PyObject *get_dict(PyObject *self, void *closure) except NULL:
    # What is done to the dict from here on is not reported: a closure may come and go.
    expect_closure(self)
    handle_ensure_dict(self)
    return generic_dict(self, NULL)


# data and grad are written by a direct path, past the look-up in the type: a training loop does it
# for every parameter. Names in code are interned, so that to compare addresses will do; any other
# name, a subclass, a replaced attribute of the class and a thread that watches go the ordinary way.
#
# There is no such path for reading. It would want a tp_getattro of our own, and a type that has one
# has its methods bound anew for every call: measured with CPython 3.11, 8 ns less for v.data and 65
# more for v.relu().

cdef str DATA = "data"
cdef str GRAD = "grad"
# The attributes that the type was made with, set by type.pxi
cdef object own_data = None
cdef object own_grad = None
cdef PyTypeObject *known_type = NULL          # the plain type that was looked at last
cdef unsigned int known_tag = 0               # its version then
cdef bint data_and_grad_are_own = False       # ... and what was found


cdef bint look_at_type(PyTypeObject *kind) except -1:
    """Find out whether ``data`` and ``grad`` still are the type's own attributes."""
    global known_type, known_tag, data_and_grad_are_own
    # In this order, and a look-up first of all: that is what gives a modified type its next tag.
    data = getattr(<object>kind, DATA, None)
    known_type = kind
    known_tag = version_tag(kind)
    data_and_grad_are_own = data is own_data and getattr(<object>kind, GRAD, None) is own_grad
    return known_tag != 0 and data_and_grad_are_own


cdef inline bint goes_directly(PyObject *self) except -1:
    cdef PyTypeObject *kind = Py_TYPE(self)
    if innermost_watch is not None or not is_plain_type(kind):
        return False
    if kind == known_type and known_tag != 0 and known_tag == version_tag(kind):
        return data_and_grad_are_own
    return look_at_type(kind)


cdef int value_setattro(PyObject *self, PyObject *name, PyObject *entry) except -1:
    cdef double number
    if name == <PyObject *>DATA and entry != NULL and goes_directly(self):
        number = require_number(<object>entry, DATA)
        warn_of_programs(self)
        note_data_write(node_of(self))
        arena.data[node_of(self)] = number
        return 0
    if name == <PyObject *>GRAD and entry != NULL and goes_directly(self):
        number = require_number(<object>entry, GRAD)
        note_grad_write(number)
        arena.grad[node_of(self)] = number
        return 0
    generic_setattr(self, name, entry)
    if (<ValueHandle *>self).tracked != TRACKED:
        if not is_plain_type(Py_TYPE(self)):  # __class__ was assigned
            expand_neuron(node_of(self))
            make_ordinary(node_of(self))
            handle_note_state(self)
        elif (<ValueHandle *>self).dict != NULL:
            handle_note_state(self)
    collect_if_due(self)
    return 0


cdef PyObject *value_repr(PyObject *self) except NULL:
    if innermost_watch is not None:
        note_look(self, "text", NULL)
    data = arena.data[node_of(self)]
    grad = arena.grad[node_of(self)]
    label = handle_get(self, "label", "")
    suffix = f", label={label!r}" if label else ""
    return new_reference(f"Value(data={data!r}, grad={grad!r}{suffix})")


cdef PyObject *value_format(PyObject *self, PyObject *spec) except NULL:
    text = <object>spec
    if text == "":
        return new_reference(str(<object>self))
    if innermost_watch is not None:
        note_look(self, "text", NULL)
    return new_reference(format(arena.data[node_of(self)], text))


cdef PyObject *value_conjugate(PyObject *self, PyObject *unused) except NULL:
    return new_reference(<object>self)


cdef PyObject *value_item(PyObject *self, PyObject *unused) except NULL:
    return get_data(self, NULL)
