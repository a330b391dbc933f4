# backward(), zero_grad() and _backward() of a single node.

cdef extern from "Python.h":
    PyObject *call "PyObject_CallNoArgs"(PyObject *)


cdef mg_status call_custom(void *context, mg_node node) noexcept:
    """Call the closure that the user has set on a node."""
    cdef PyObject *self = <PyObject *>arena.handle[node]
    cdef PyObject *closure = closure_of(self)
    cdef PyObject *outcome
    if custom_operation_of(self) is not None:
        Py_INCREF(self)
        # What it raises is pending then, as after any call.
        outcome = (<PyObject *(*)(PyObject *, PyObject *) noexcept><void *>value_propagate)(
            self, NULL
        )
        Py_DECREF(self)
    else:
        Py_INCREF(closure)
        outcome = call(closure)
        Py_DECREF(closure)
    if outcome == NULL:
        return MG_CALLBACK
    Py_DECREF(outcome)
    return MG_OK


cdef int raise_failure(mg_status st, mg_failure *failure) except -1:
    cdef mg_op op = <mg_op>arena.meta[failure.node].op
    cdef double k = failure.b
    if op == MG_NEURON:
        op = arena.aux[failure.node].call.activation.op
    if op == MG_POW_CONST:
        k = arena.aux[failure.node].immediate
    # The derivative of a power is a power one lower: that is what could not be taken.
    if op == MG_POW_CONST or op == MG_POW:
        k -= 1.0
    return raise_status(st, op, failure.a, k)


cdef PyObject *value_backward(PyObject *self, PyObject *unused) except NULL:
    global n_sweeps
    if innermost_watch is not None:
        note_look(self, "backward", NULL)
    cdef mg_order order = take_order()
    cdef mg_failure failure
    cdef mg_status st = mg_order_build(&arena, node_of(self), MG_ORDER_ACTIVE, &order)
    if st != MG_OK:
        give_order(&order)
        raise no_memory("the order of the graph's nodes")
    arena.grad[node_of(self)] = 1.0
    n_sweeps += 1
    st = mg_backward_sweep(&arena, &order, call_custom, NULL, &failure)
    n_sweeps -= 1
    give_order(&order)
    if st == MG_CALLBACK:
        return NULL
    if st != MG_OK:
        raise_failure(st, &failure)
    Py_INCREF(Py_None)
    return Py_None


cdef PyObject *value_zero_grad(PyObject *self, PyObject *unused) except NULL:
    if innermost_watch is not None:
        note_look(self, "assignment of grad", NULL)
    cdef mg_order order = take_order()
    cdef size_t i
    cdef mg_status st = mg_order_build(&arena, node_of(self), MG_ORDER_FUSED, &order)
    if st == MG_OK:
        for i in range(order.n_nodes):
            if arena.meta[order.nodes[i]].arity == MG_FUSED:
                mg_neuron_zero_grad(&arena, order.nodes[i])
            else:
                arena.grad[order.nodes[i]] = 0.0
    give_order(&order)
    if st != MG_OK:
        raise no_memory("the order of the graph's nodes")
    Py_INCREF(Py_None)
    return Py_None


cdef PyObject *value_propagate(PyObject *self, PyObject *unused) except NULL:
    """What ``_backward`` is on a node that the user has not given one."""
    cdef mg_failure failure
    cdef mg_status st
    operation = custom_operation_of(self)
    if operation is not None:
        propagate_custom(self, operation)
        Py_INCREF(Py_None)
        return Py_None
    expand_neuron(node_of(self))
    st = mg_backward_node(&arena, node_of(self), &failure)
    if st != MG_OK:
        raise_failure(st, &failure)
    Py_INCREF(Py_None)
    return Py_None
