# The forward pass: one node per operation.
#
# Where an operator is made of others (a - b is a + (-b)), it goes through the type's own slots
# if a subclass or a patch has replaced them, as the pure-Python engine would, with the operands in
# the order that is written there.
#
# What must stay true: numbers are read before anything is looked up, because to read one can run
# Python. From then on none runs: handles are made without a collection, and a handle before its
# node, so that from the node on nothing can fail.

cdef extern from *:
    """
    /* Two C functions per row of the table, as a method needs it: with its operands alone, and
     * with immediates, of which each may be left out. */
    static PyObject *(*mg_method)(PyObject *, PyObject *, mg_op);
    static PyObject *(*mg_method_k)(PyObject *, PyObject **, Py_ssize_t, PyObject *, mg_op);
    #define OP(ID, name, ...) \\
        static PyObject *mg_method_##name(PyObject *self, PyObject *argument) { \\
            return mg_method(self, argument, MG_##ID); \\
        } \\
        static PyObject *mg_method_k_##name(PyObject *self, PyObject *const *arguments, \\
                                            Py_ssize_t n, PyObject *keywords) { \\
            return mg_method_k(self, (PyObject **)arguments, n, keywords, MG_##ID); \\
        }
    #include "ops/ops.def"
    #undef OP
    static void *const mg_methods[MG_N_OPS] = {
    #define OP(ID, name, label, arity, n_immediates, ...) \\
        [MG_##ID] = n_immediates == 0 ? (void *)mg_method_##name : (void *)mg_method_k_##name,
    #include "ops/ops.def"
    #undef OP
    };
    """
    PyObject *(*mg_method)(PyObject *, PyObject *, mg_op) except NULL
    PyObject *(*mg_method_k)(PyObject *, PyObject **, Py_ssize_t, PyObject *, mg_op) except NULL
    void *mg_methods[]

cdef extern from "Python.h":
    PyObject *Py_NotImplemented
    PyObject *Py_None
    PyObject *PyNumber_Add(PyObject *, PyObject *) except NULL
    PyObject *PyNumber_Multiply(PyObject *, PyObject *) except NULL
    bint PyBool_Check(PyObject *o)


cdef object LEFT_OUT = object()


cdef inline PyObject *not_implemented() noexcept:
    Py_INCREF(Py_NotImplemented)
    return Py_NotImplemented


cdef PyObject *declined(PyObject *left, PyObject *right, str ufunc) except NULL:
    """What an operator gives for an operand that is no number.

    numpy's arrays leave the decision to Value (see ``__array_priority__``): they broadcast.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(<object>left, numpy.ndarray):
        return new_reference(getattr(numpy, ufunc)(<object>left, <object>right))
    return not_implemented()


cdef inline bint adds_natively(PyObject *value) noexcept:
    return Py_TYPE(value).tp_as_number.nb_add == <void *>value_add


cdef inline bint multiplies_natively(PyObject *value) noexcept:
    return Py_TYPE(value).tp_as_number.nb_multiply == <void *>value_multiply


cdef inline bint negates_natively(PyObject *value) noexcept:
    cdef PyNumberMethods *slots = Py_TYPE(value).tp_as_number
    return slots.nb_negative == <void *>value_negative and slots.nb_multiply == <void *>value_multiply


cdef inline bint raises_natively(PyObject *value) noexcept:
    return Py_TYPE(value).tp_as_number.nb_power == <void *>value_power


cdef int raise_forward(mg_status st, mg_op op, mg_node a, mg_node b, double k) except -1:
    return raise_status(st, op, arena.data[a], k if b == MG_NO_NODE else arena.data[b])


cdef mg_node leaf(double data) except? 0xFFFFFFFF:
    cdef mg_node node = mg_arena_leaf(&arena, data)
    if node == MG_NO_NODE:
        raise_status(MG_NO_MEMORY, MG_LEAF, data, 0.0)
    return node


cdef int discard_unused(mg_node node) except -1:
    """Undo a node that did not find a user."""
    if node != MG_NO_NODE and arena.meta[node].refs == 0:
        mg_arena_discard(&arena, node)
    return 0


cdef inline PyObject *with_handle(PyObject *self, mg_node node) noexcept:
    handle_attach(self, node)
    return self


cdef inline PyObject *apply(PyTypeObject *kind, mg_op op, mg_node a, mg_node b,
                            double k) except NULL:
    """The Value of an operation on nodes that the caller keeps alive."""
    cdef mg_status st = MG_OK
    cdef PyObject *self = handle_new(kind)
    cdef mg_node node = mg_apply(&arena, op, a, b, k, &st)
    if node != MG_NO_NODE:
        return with_handle(self, node)
    Py_DECREF(self)
    raise_forward(st, op, a, b, k)


cdef PyObject *apply_to_fresh(PyObject *self, mg_op op, mg_node a, mg_node b) except NULL:
    """Complete the handle ``self`` with an operation on two nodes, of which some are new and have
    no other user. One that is MG_NO_NODE says that memory ran out."""
    cdef mg_status st = MG_NO_MEMORY
    cdef mg_node node = MG_NO_NODE
    if a != MG_NO_NODE and b != MG_NO_NODE:
        st = MG_OK
        node = mg_apply(&arena, op, a, b, 0.0, &st)
        if node != MG_NO_NODE:
            return with_handle(self, node)
    Py_DECREF(self)
    try:
        if st == MG_NO_MEMORY:
            raise_status(st, op, 0.0, 0.0)
        raise_forward(st, op, a, b, 0.0)
    finally:
        discard_unused(a)
        discard_unused(b)


cdef inline PyObject *apply_number(mg_op op, PyObject *value, double number) except NULL:
    """The Value of an operation on a Value and a number, which becomes a leaf."""
    cdef PyObject *self = handle_new(kind_of(value))
    return apply_to_fresh(self, op, node_of(value), mg_arena_literal(&arena, number))


cdef mg_node negated(mg_node node) noexcept:
    """``node * -1`` without a handle; MG_NO_NODE when memory is out."""
    cdef mg_status st = MG_OK
    cdef mg_node minus_one = mg_arena_literal(&arena, -1.0), product
    if minus_one == MG_NO_NODE:
        return MG_NO_NODE
    product = mg_apply(&arena, MG_MUL, node, minus_one, 0.0, &st)
    if product == MG_NO_NODE:
        mg_arena_discard(&arena, minus_one)
    return product


cdef inline PyObject *commuting(mg_op op, PyObject *left, PyObject *right) except NULL:
    """``+`` and ``*`` of a Value and something else: the reflection is the operator itself with the
    Value first."""
    cdef double number
    if is_value(left):
        if operand_number(right, &number) == NOT_A_NUMBER:
            return not_implemented()
        return apply_number(op, left, number)
    if operand_number(left, &number) == NOT_A_NUMBER:
        return declined(left, right, "add" if op == MG_ADD else "multiply")
    return apply_number(op, right, number)


cdef int out_of_memory(PyObject *self, mg_op op) except -1:
    Py_DECREF(self)
    raise_status(MG_NO_MEMORY, op, 0.0, 0.0)


cdef inline PyObject *completed(PyObject *self, mg_op op, mg_node node) except NULL:
    """The handle of a node that can have failed for want of memory only."""
    if node == MG_NO_NODE:
        out_of_memory(self, op)
    return with_handle(self, node)


cdef PyObject *value_add(PyObject *left, PyObject *right) except NULL:
    cdef PyObject *self
    if is_value(left) and is_value(right):
        self = handle_new(kind_of(left))
        return completed(self, MG_ADD, mg_apply_known(&arena, MG_ADD, node_of(left), node_of(right)))
    if not is_value(left) and not adds_natively(right):
        return PyNumber_Add(right, left)
    return commuting(MG_ADD, left, right)


cdef PyObject *value_multiply(PyObject *left, PyObject *right) except NULL:
    cdef PyObject *self
    if is_value(left) and is_value(right):
        self = handle_new(kind_of(left))
        return completed(self, MG_MUL, mg_apply_known(&arena, MG_MUL, node_of(left), node_of(right)))
    if not is_value(left) and not multiplies_natively(right):
        return PyNumber_Multiply(right, left)
    return commuting(MG_MUL, left, right)


cdef object MINUS_ONE = -1


cdef PyObject *value_negative(PyObject *value) except NULL:
    if not multiplies_natively(value):
        return PyNumber_Multiply(value, <PyObject *>MINUS_ONE)
    return apply_number(MG_MUL, value, -1.0)


cdef double minus(PyObject *candidate, double number) noexcept:
    """The negative of an operand that was read as ``number``."""
    # An int has no negative zero: -0 is 0.
    return 0.0 if number == 0.0 and PyLong_Check(candidate) else -number


cdef object minus_by_python(PyObject *candidate, double number):
    """The same as the object that Python's own arithmetic goes on with: an unsigned or boolean
    scalar has no negative of its own kind."""
    if PyLong_Check(candidate) or PyFloat_Check(candidate):
        return -<object>candidate
    return -number


cdef PyObject *value_subtract(PyObject *left, PyObject *right) except NULL:
    """``a - b`` is ``a + (-b)``; ``number - b`` is ``(-b) + number``."""
    cdef PyObject *self
    cdef double number
    cdef mg_node minus_right
    if not is_value(right):
        if operand_number(right, &number) == NOT_A_NUMBER:
            return not_implemented()
        if not adds_natively(left):
            return new_reference(<object>left + minus_by_python(right, number))
        return apply_number(MG_ADD, left, minus(right, number))
    if not is_value(left) and operand_number(left, &number) == NOT_A_NUMBER:
        return declined(left, right, "subtract")
    if not negates_natively(right) or not adds_natively(left if is_value(left) else right):
        if is_value(left):
            return new_reference(<object>left + (-<object>right))
        return new_reference((-<object>right) + <object>left)
    self = handle_new(kind_of(left if is_value(left) else right))
    minus_right = negated(node_of(right))
    if is_value(left):
        return apply_to_fresh(self, MG_ADD, node_of(left), minus_right)
    return apply_to_fresh(self, MG_ADD, minus_right, mg_arena_literal(&arena, number))


cdef PyObject *value_divide(PyObject *left, PyObject *right) except NULL:
    """``a / b`` is ``a * b**-1``; with a number on either side likewise."""
    cdef PyObject *self
    cdef double number, reciprocal
    cdef mg_status st = MG_OK
    cdef mg_node power
    if not is_value(right):
        if operand_number(right, &number) == NOT_A_NUMBER:
            return not_implemented()
        reciprocal = mg_pow(number, -1.0, &st)
        if st != MG_OK:
            raise_status(st, MG_POW_CONST, number, -1.0)
        if multiplies_natively(left):
            return apply_number(MG_MUL, left, reciprocal)
        return new_reference(<object>left * reciprocal)
    if not is_value(left) and operand_number(left, &number) == NOT_A_NUMBER:
        return declined(left, right, "true_divide")
    if not raises_natively(right) or not multiplies_natively(left if is_value(left) else right):
        if is_value(left):
            return new_reference(<object>left * (<object>right) ** MINUS_ONE)
        return new_reference((<object>right) ** MINUS_ONE * <object>left)
    self = handle_new(kind_of(left if is_value(left) else right))
    power = mg_apply(&arena, MG_POW_CONST, node_of(right), MG_NO_NODE, -1.0, &st)
    if power == MG_NO_NODE and st != MG_NO_MEMORY:
        Py_DECREF(self)
        raise_forward(st, MG_POW_CONST, node_of(right), MG_NO_NODE, -1.0)
    if is_value(left):
        return apply_to_fresh(self, MG_MUL, node_of(left), power)
    return apply_to_fresh(self, MG_MUL, power, mg_arena_literal(&arena, number))


cdef bint exponent_reads_back(PyObject *exponent, double number) except -1:
    """Whether the stored double, and three kinds of number, can tell how the exponent was
    written; ``_op`` promises its text."""
    if PyLong_CheckExact(exponent):
        return abs(number) < 2.0**53
    return PyFloat_Check(exponent) or PyBool_Check(exponent)


cdef PyObject *literal(PyTypeObject *kind, double number) except NULL:
    """The Value of an operand that was given as a plain number."""
    cdef PyObject *self = handle_new(kind)
    cdef mg_node node = mg_arena_literal(&arena, number)
    if node != MG_NO_NODE:
        return with_handle(self, node)
    Py_DECREF(self)
    raise_status(MG_NO_MEMORY, MG_LEAF, number, 0.0)


cdef PyObject *value_power(PyObject *base, PyObject *exponent, PyObject *modulus) except NULL:
    cdef double number
    cdef PyObject *self
    cdef PyTypeObject *kind
    cdef mg_node node
    if modulus != Py_None:
        return not_implemented()
    if is_value(base) and is_value(exponent):
        return apply(kind_of(base), MG_POW, node_of(base), node_of(exponent), 0.0)
    if not is_value(base):
        if operand_number(base, &number) == NOT_A_NUMBER:
            return declined(base, exponent, "power")
        kind = kind_of(exponent)
        if not raises_natively(exponent) or kind.tp_as_number.nb_power != <void *>value_power:
            return new_reference(adopt(literal(kind, number)) ** <object>exponent)
        self = handle_new(kind)
        return apply_to_fresh(self, MG_POW, mg_arena_literal(&arena, number), node_of(exponent))
    if operand_number(exponent, &number) == NOT_A_NUMBER:
        return not_implemented()
    self = apply(kind_of(base), MG_POW_CONST, node_of(base), MG_NO_NODE, number)
    node = node_of(self)
    if PyBool_Check(exponent):
        arena.meta[node].flags |= MG_BOOL_POWER
    elif not PyLong_Check(exponent) and PyFloat_Check(exponent):
        arena.meta[node].flags |= MG_FLOAT_POWER
    if not exponent_reads_back(exponent, number):
        try:
            handle_set(self, "_op", f"**{<object>exponent}")
        except BaseException:
            Py_DECREF(self)
            raise
    return self


cdef PyObject *value_absolute(PyObject *value) except NULL:
    """``abs(v)`` is ``v.abs()``, whatever that now is."""
    return new_reference((<object>value).abs())


def constant(number):
    """A Value for a plain number, which is a constant when it is frozen."""
    return adopt(literal(ValueType, require_number(number, "an operand")))


cdef PyObject *value_method(PyObject *self, PyObject *argument, mg_op op) except NULL:
    """Any method of the table: ``v.tanh()``, ``v.maximum(other)``."""
    cdef double number
    if mg_ops[<int>op].arity == 1:
        return apply(kind_of(self), op, node_of(self), MG_NO_NODE, 0.0)
    if is_value(argument):
        return apply(kind_of(self), op, node_of(self), node_of(argument), 0.0)
    number = require_number(<object>argument, f"the argument of {operation_name(op)}")
    return apply_number(op, self, number)


mg_method = value_method


cdef int read_immediates(object row, PyObject **arguments, Py_ssize_t n, PyObject *keywords,
                         double *numbers) except -1:
    """The immediates of a call, by place or name, with the row's defaults for what is missing.
    None stands for no bound."""
    cdef Py_ssize_t i, n_immediates = len(row.immediates)
    cdef list given = [LEFT_OUT] * n_immediates
    cdef dict places = {name: i for i, (name, _) in enumerate(row.immediates)}
    if n > n_immediates:
        raise TypeError(f"the number of arguments of {row.name} must be at most {n_immediates},"
                        f" found {n}")
    for i in range(n):
        given[i] = <object>arguments[i]
    for keyword in () if keywords == NULL else <tuple>keywords:
        if keyword not in places:
            raise TypeError(f"a keyword of {row.name} must be {' or '.join(places)},"
                            f" found {keyword}")
        i = places[keyword]
        if given[i] is not LEFT_OUT:
            raise TypeError(f"{keyword} must be given once, found in two places")
        given[i] = <object>arguments[n]
        n += 1
    for i, (name, default) in enumerate(row.immediates):
        numbers[i] = default
        if given[i] is not LEFT_OUT and not (given[i] is None and isinf(numbers[i])):
            numbers[i] = require_number(given[i], name)
    if n_immediates == 2 and not numbers[0] <= numbers[1]:
        low, high = places
        raise ValueError(f"{low} must be at most {high}, found {low}={numbers[0]!r} and"
                         f" {high}={numbers[1]!r}")
    return 0


cdef PyObject *value_method_k(PyObject *self, PyObject **arguments, Py_ssize_t n,
                              PyObject *keywords, mg_op op) except NULL:
    """A method of the table that takes immediates: ``v.elu(alpha=0.5)``, ``v.clip(0, 1)``."""
    cdef double[2] numbers
    read_immediates(row_of(op), arguments, n, keywords, numbers)
    if mg_ops[<int>op].n_immediates == 2:
        return apply_in_range(op, self, numbers[0], numbers[1])
    return apply(kind_of(self), op, node_of(self), MG_NO_NODE, numbers[0])


mg_method_k = value_method_k


cdef PyObject *apply_in_range(mg_op op, PyObject *value, double k, double h) except NULL:
    """The Value of an operation whose two immediates are the ends of a range."""
    cdef double a
    cdef mg_status st = MG_OK
    cdef mg_node node = MG_NO_NODE
    cdef PyObject *result = handle_new(kind_of(value))
    cdef mg_extra *ends = mg_extra_new(0, 2)
    a = arena.data[node_of(value)]
    if ends != NULL:
        ends.values[0] = k
        ends.values[1] = h
        node = mg_arena_node_extra(&arena, op, node_of(value), ends,
                                   mg_op_value(op, a, 0.0, k, h, &st))
    if node == MG_NO_NODE:
        mg_free(ends)
        Py_DECREF(result)
        raise_status(MG_NO_MEMORY, op, a, 0.0)
    return with_handle(result, node)
