# Custom operations: functions of numbers with their derivatives, each a node of a graph.
#
# Such a node has its operation where others have a closure (`_backward`). The operation knows
# nothing of its nodes: there is no cycle, and copies share it.
#
# What must stay true: numbers are read before a function is called and nodes are looked up again
# after it, because a function may do anything.

from cpython.bytes cimport PyBytes_FromStringAndSize

# What is asked of an operation: one number, one for each operand, one for each pair of them.
cdef enum:
    VALUE_OF = 0
    SLOPES_OF = 1
    SECONDS_OF = 2


cdef double returned_number(object found, str what) except? -1.0:
    cdef double number = 0.0
    if to_number(<PyObject *>found, &number) == NOT_A_NUMBER:
        raise TypeError(f"{what} must return a number, found {type(found).__name__}")
    return number


cdef tuple returned_parts(object found, Py_ssize_t n, str what):
    """The n things that a function has returned; of one it need not be a sequence."""
    if n == 1 and not isinstance(found, (tuple, list)):
        return (found,)
    try:
        parts = tuple(found)
    except TypeError:
        raise TypeError(f"{what} must return {n} numbers, found {type(found).__name__}") from None
    if len(parts) != n:
        raise TypeError(f"{what} must return {n} numbers, found {len(parts)}")
    return parts


cdef int read_column(object found, size_t n_rows, str what, double *to) except -1:
    """Read what a vectorized function has returned: a number for each row, or one for all."""
    import numpy

    cdef size_t r
    cdef double number
    array = numpy.asarray(found)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} must return an array of numbers, found dtype {array.dtype}")
    if array.ndim == 0:
        number = float(array)
        for r in range(n_rows):
            to[r] = number
        return 0
    if array.shape != (n_rows,):
        raise TypeError(
            f"{what} must return an array of shape ({n_rows},), found shape {array.shape}"
        )
    # A copy that nobody else has.
    cdef bytes numbers = array.astype("f8").tobytes()
    memcpy(to, <const char *>numbers, n_rows * sizeof(double))
    return 0


@cython.final
cdef class CustomOp:
    """An operation of the user's own, made by `micrograd_fast.custom_op`.

    Called with Values or numbers, it gives a Value; with arrays, an array of Values.
    """

    cdef readonly str name
    cdef readonly Py_ssize_t arity
    cdef readonly object forward
    cdef readonly object derivative
    cdef readonly object second_derivative
    cdef readonly bint vectorized

    def __init__(self, str name, Py_ssize_t arity, forward, derivative, second_derivative,
                 bint vectorized):
        if self.arity != 0:
            raise TypeError("a custom operation cannot be initialised again")
        if arity < 1:
            raise ValueError(f"arity must be at least 1, found {arity}")
        self.name = name
        self.forward = forward
        self.derivative = derivative
        self.second_derivative = second_derivative
        self.vectorized = vectorized
        self.arity = arity

    def __repr__(self):
        return f"<custom operation {self.name!r} of {self.arity}>"

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        import pickle

        for role in ("forward", "derivative", "second_derivative"):
            function = getattr(self, role)
            try:
                pickle.dumps(function)
            except Exception as error:
                raise pickle.PicklingError(
                    f"cannot pickle the custom operation {self.name!r}: its {role} must be"
                    f" importable, found {function!r} ({error})"
                ) from None
        return type(self), (self.name, self.arity, self.forward, self.derivative,
                            self.second_derivative, self.vectorized)

    def __call__(self, *operands):
        if len(operands) != self.arity:
            raise TypeError(
                f"{self.name} takes {self.arity} operands, found {len(operands)}"
            )
        for operand in operands:
            if not is_value(<PyObject *>operand) and getattr(operand, "ndim", 0) != 0:
                import numpy

                return numpy.frompyfunc(self, self.arity, 1)(*operands)
        return custom_node(self, operands)

    cdef str role(self, int part):
        return ("forward", "derivative", "second_derivative")[part] + " of " + self.name

    cdef size_t n_results(self, int part):
        if part == VALUE_OF:
            return 1
        return self.arity if part == SLOPES_OF else self.arity * self.arity

    cdef tuple results_of(self, int part, tuple operands):
        """Call the functions for a part: as many numbers or columns as there are results."""
        cdef list parts
        if part == VALUE_OF:
            return (self.forward(*operands),)
        what = self.role(part)
        if part == SLOPES_OF:
            if type(self.derivative) is not tuple:
                return returned_parts(self.derivative(*operands), self.arity, what)
            parts = []
            for function in <tuple>self.derivative:
                parts.append(function(*operands))
            return tuple(parts)
        if self.second_derivative is None:
            raise NotImplementedError(
                f"{self.name} must have a second_derivative to be differentiated twice, found none"
            )
        parts = []
        for row in returned_parts(self.second_derivative(*operands), self.arity, what):
            parts.extend(returned_parts(row, self.arity, what))
        return tuple(parts)

    cdef int compute_column(self, int part, size_t n_rows, const double *operands,
                            double *results) except -1:
        """A part for all rows at once; operand i of row r is at i * n_rows + r, as results are."""
        import numpy

        cdef Py_ssize_t i
        cdef list columns = []
        for i in range(self.arity):
            # The function's own, which may do with it what it likes.
            own = numpy.empty(n_rows)
            own[:] = numpy.frombuffer(
                PyBytes_FromStringAndSize(
                    <const char *>(operands + i * n_rows), n_rows * sizeof(double)
                )
            )
            columns.append(own)
        found = self.results_of(part, tuple(columns))
        what = self.role(part)
        for i in range(len(found)):
            read_column(found[i], n_rows, what, results + i * n_rows)
        return 0

    cdef int compute_row(self, int part, size_t n_rows, size_t row, const double *operands,
                         double *results) except -1:
        """A part for one of some rows."""
        cdef Py_ssize_t i
        cdef list numbers = []
        if self.vectorized:
            return self.compute_vectorized_row(part, n_rows, row, operands, results)
        for i in range(self.arity):
            numbers.append(operands[i * n_rows + row])
        found = self.results_of(part, tuple(numbers))
        what = self.role(part)
        for i in range(len(found)):
            results[i * n_rows + row] = returned_number(found[i], what)
        return 0

    cdef int compute_vectorized_row(self, int part, size_t n_rows, size_t row,
                                    const double *operands, double *results) except -1:
        cdef size_t i, n_results = self.n_results(part)
        cdef double *room = <double *>mg_realloc(NULL, (self.arity + n_results) * sizeof(double))
        if room == NULL:
            raise no_memory(f"a call of {self.name}")
        try:
            for i in range(<size_t>self.arity):
                room[i] = operands[i * n_rows + row]
            self.compute_column(part, 1, room, room + self.arity)
            for i in range(n_results):
                results[i * n_rows + row] = room[self.arity + i]
        finally:
            mg_free(room)
        return 0

    cdef list numbers_at(self, int part, list operands):
        """A part at some numbers."""
        cdef size_t i, n_results = self.n_results(part)
        cdef list found = []
        cdef double *room = <double *>mg_realloc(NULL, (self.arity + n_results) * sizeof(double))
        if room == NULL:
            raise no_memory(f"a call of {self.name}")
        try:
            for i in range(<size_t>self.arity):
                room[i] = operands[i]
            self.compute_row(part, 1, 0, room, room + self.arity)
            for i in range(n_results):
                found.append(room[self.arity + i])
        finally:
            mg_free(room)
        return found


cdef object custom_node(CustomOp operation, tuple operands):
    """A Value of an operation on Values and numbers."""
    cdef PyTypeObject *kind = NULL
    cdef PyObject *self
    cdef list numbers = [], values = []
    cdef double number
    for i, operand in enumerate(operands):
        if is_value(<PyObject *>operand):
            if kind == NULL:
                kind = kind_of(<PyObject *>operand)
            values.append(operand)
            numbers.append(arena.data[node_of(<PyObject *>operand)])
            continue
        number = require_number(operand, f"operand {i} of {operation.name}")
        values.append(None)
        numbers.append(number)
    if kind == NULL:
        kind = ValueType
    number = operation.numbers_at(VALUE_OF, numbers)[0]
    for i in range(len(values)):
        if values[i] is None:
            values[i] = constant(numbers[i])
    self = handle_new(kind)
    result = adopt(self)
    # The node is the handle's from the start: what follows may run a collection.
    handle_attach(self, local_node(number, tuple(values), []))
    handle_set(self, "_op", operation.name)
    expect_closure(self)
    handle_set(self, BACKWARD, operation)
    return result


cdef CustomOp custom_operation_of(PyObject *self):
    """The operation of a node of one, or None."""
    cdef PyObject *closure = closure_of(self)
    if closure == NULL or not isinstance(<object>closure, CustomOp):
        return None
    return <CustomOp>closure


cdef list custom_slopes(PyObject *self, CustomOp operation):
    """The derivatives of a node by its operands; it may be another node afterwards."""
    cdef const mg_node *operands
    cdef uint32_t i, n_operands = mg_node_operands(&arena, node_of(self), &operands)
    cdef list numbers = []
    if n_operands != operation.arity:
        raise ValueError(
            f"a node of {operation.name} must have {operation.arity} operands, found {n_operands}"
        )
    for i in range(n_operands):
        numbers.append(arena.data[operands[i]])
    return operation.numbers_at(SLOPES_OF, numbers)


cdef int propagate_custom(PyObject *self, CustomOp operation) except -1:
    """Give a node's operands their shares."""
    cdef const mg_node *operands
    cdef uint32_t i
    cdef list slopes = custom_slopes(self, operation)
    cdef mg_node node = node_of(self)
    if mg_node_operands(&arena, node, &operands) != <uint32_t>len(slopes):
        raise RuntimeError(f"derivative of {operation.name} has changed the operands of its node")
    for i in range(len(slopes)):
        arena.grad[operands[i]] += <double>slopes[i] * arena.grad[node]
    return 0
