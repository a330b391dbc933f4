# A frozen graph: the engine's program with the Values that it belongs to, and how it is run.
#
# A call reads the parameters, runs on a workspace of its own, and writes gradients back: what
# csrc/program/run.h says. Its lock is the interpreter's.

cdef extern from "Python.h":
    ctypedef struct PyThreadState

    PyThreadState *PyEval_SaveThread() nogil
    void PyEval_RestoreThread(PyThreadState *) nogil
    int PyErr_CheckSignals()

cdef extern from *:
    """
    /* For an exception that is there already. */
    static int mg_raise_pending(void) { return -1; }
    """
    int raise_pending "mg_raise_pending"() except -1


cdef class FrozenGraph:
    """What a `Program` consists of. Only ``new_graph`` makes one that is of use."""

    cdef mg_program *program
    cdef mg_binding binding
    cdef uint64_t bound_at
    cdef tuple parameters
    cdef tuple inputs
    cdef tuple functions  # the custom operations that the tape has the numbers of
    cdef tuple input_names
    cdef tuple parameter_names
    cdef bint is_sequence
    cdef object by_inputs  # what wrt.pxi made of "inputs", the default
    cdef FrozenGraph weighted  # for vjp: the sum of the outputs, with their weights as more inputs
    cdef dict sparse_plans  # by what sparse.pxi is asked for

    def __dealloc__(self):
        mg_binding_free(&self.binding)
        if self.program != NULL:
            mg_program_free(self.program)

    cdef mg_status bind(self) noexcept:
        """Find the parameters, if one has moved since."""
        cdef size_t i, n = len(self.parameters)
        cdef mg_node *nodes
        if self.bound_at == n_moves and self.binding.nodes != NULL:
            return MG_OK
        nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
        if nodes == NULL:
            return MG_NO_MEMORY
        for i in range(n):
            nodes[i] = node_of(<PyObject *>self.parameters[i])
        if mg_binding_set(&self.binding, self.program, nodes) != MG_OK:
            mg_free(nodes)
            return MG_NO_MEMORY
        self.bound_at = n_moves
        return MG_OK

    cdef int run(self, Call *call, Rows *rows, mg_batch *batch) except -1:
        """Do what a batch says, with rows."""
        cdef mg_replay_failure failure
        cdef mg_functions functions
        cdef FunctionCalls calls = place_functions(batch, &functions, self.functions)
        place_rows(batch, rows)
        cdef mg_status st = mg_program_run(self.program, &arena, batch, &call.host, &failure)
        return 0 if st == MG_OK else raise_run(st, self.program, rows, &failure, calls)

    cdef int run_along(self, Call *call, Rows *rows, mg_batch *batch,
                       mg_directions *directions) except -1:
        """Multiply with the Hessian along directions."""
        cdef mg_replay_failure failure
        cdef mg_functions functions
        cdef FunctionCalls calls = place_functions(batch, &functions, self.functions)
        place_rows(batch, rows)
        cdef mg_status st = mg_program_run_along(self.program, &arena, batch, directions,
                                                 &call.host, &failure)
        return 0 if st == MG_OK else raise_run(st, self.program, rows, &failure, calls)


cdef void place_rows(mg_batch *batch, Rows *rows) noexcept:
    batch.rows = rows.numbers
    batch.row_stride = rows.row_stride
    batch.column_stride = rows.column_stride
    batch.n_rows = rows.n_rows


# The host of a call ------------------------------------------------------------------------------

cdef struct Call:
    PyObject *graph  # the caller holds it
    PyThreadState *state
    mg_host host


cdef const mg_binding *call_bind(void *context) noexcept:
    cdef FrozenGraph graph = <FrozenGraph>(<Call *>context).graph
    return &graph.binding if graph.bind() == MG_OK else NULL


cdef void call_unlock(void *context) noexcept nogil:
    (<Call *>context).state = PyEval_SaveThread()


cdef void call_lock(void *context) noexcept nogil:
    PyEval_RestoreThread((<Call *>context).state)


cdef mg_status call_check(void *context) noexcept:
    """Let Ctrl-C and other signals through; what a handler raises is pending then."""
    return MG_OK if PyErr_CheckSignals() == 0 else MG_CALLBACK


cdef void begin_call(Call *call, FrozenGraph graph) noexcept:
    call.graph = <PyObject *>graph
    call.state = NULL
    call.host.context = call
    call.host.bind = call_bind
    call.host.unlock = call_unlock
    call.host.lock = call_lock
    call.host.check = call_check
    call.host.watch.every = 0.05
    call.host.watch.n_done = 0
    call.host.watch.asked_at = 0.0


cdef int raise_run(mg_status st, mg_program *program, Rows *rows, mg_replay_failure *failure,
                   FunctionCalls calls) except -1:
    cdef mg_op op
    cdef double k = failure.b
    if st == MG_CALLBACK:
        raise_pending()
    if st == MG_FUNCTION_FAILED:
        raise_of_function(calls.errors[<Py_ssize_t>failure.a], rows.single, failure.row)
    if st == MG_INTERFERENCE:
        raise RuntimeError(
            "gradients of the parameters must stay what they are while a program runs, found them"
            " assigned by a custom operation in every try"
        )
    if st == MG_NO_MEMORY:
        raise no_memory("a run of a program")
    op = <mg_op>program.entries[failure.entry].op
    if op == MG_POW_CONST or op == MG_POW:
        k -= failure.derivative  # what was raised to, or would have been
    try:
        raise_status(st, op, failure.a, k)
    except (ArithmeticError, IndexError) as error:
        if rows.single:
            raise
        raise type(error)(f"row {failure.row}: {error}") from None
    except ValueError as error:
        if rows.single:
            raise
        raise ValueError(f"row {failure.row}: {error}") from None
    return 0


# Making ------------------------------------------------------------------------------------------

cdef mg_arithmetic arithmetic_of(object fast, object dtype) except *:
    # A type of NumPy's, or a dtype, goes by its name.
    name = getattr(dtype, "__name__", getattr(dtype, "name", dtype))
    if name not in ("float64", "float32"):
        raise ValueError(f'dtype must be "float64" or "float32", found {dtype!r}')
    if name == "float32" and not fast:
        raise ValueError(
            'dtype must be "float64" without fast=True, found "float32", which rounds otherwise than'
            " the graph"
        )
    if name == "float32":
        return MG_SINGLE_ARITHMETIC
    return MG_FAST_ARITHMETIC if fast else MG_EXACT_ARITHMETIC


def check_arithmetic(fast, dtype):
    """ValueError for a dtype that there is not, or not without ``fast``."""
    arithmetic_of(fast, dtype)


cdef FrozenGraph new_graph(mg_tape *tape, tuple parameters, tuple inputs, bint is_sequence,
                           mg_arithmetic arithmetic):
    """A frozen graph of a sound tape, which it takes over."""
    cdef FrozenGraph self
    try:
        self = FrozenGraph.__new__(FrozenGraph)
    except BaseException:
        mg_tape_free(tape)
        raise
    self.parameters = parameters
    self.inputs = inputs
    self.is_sequence = is_sequence
    self.sparse_plans = {}
    self.program = mg_program_new(tape, arithmetic)
    if self.program == NULL:
        raise no_memory("a program")
    return self
