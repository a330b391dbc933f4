# Making frozen programs: of graphs, and of tapes that come back.

cdef object refusal(mg_refused *refused):
    node = adopt(handle_of(refused.node))
    if refused.refusal == MG_HAS_CLOSURE:
        return ValueError(f"{node!r} has a Python _backward, which a program cannot replay")
    if refused.refusal == MG_HAS_NO_RULE:
        return ValueError(
            f"{node!r} was made from operands without an operation that could be replayed"
        )
    return ValueError(f"inputs[{refused.index}], {node!r}, is not below the output")


cdef mg_arithmetic arithmetic_of(object fast, object dtype) except *:
    # A type of NumPy's, or a dtype, goes by its name.
    name = getattr(dtype, "__name__", getattr(dtype, "name", dtype))
    if name not in ("float64", "float32"):
        raise ValueError(f'dtype must be "float64" or "float32", found {dtype!r}')
    if name == "float32" and not fast:
        raise ValueError('dtype "float32" rounds otherwise than the graph: it wants fast=True')
    if name == "float32":
        return MG_SINGLE_ARITHMETIC
    return MG_FAST_ARITHMETIC if fast else MG_EXACT_ARITHMETIC


def check_arithmetic(fast, dtype):
    """ValueError for a dtype that there is not, or not without ``fast``."""
    arithmetic_of(fast, dtype)


cdef Program new_program(object kind, mg_tape *tape, tuple parameters, bint is_sequence,
                         object fast, object dtype):
    """A program of a sound tape, which it takes over."""
    cdef Program self
    cdef mg_arithmetic arithmetic
    try:
        arithmetic = arithmetic_of(fast, dtype)
        self = kind.__new__(kind, MADE_HERE)
        if self.program != NULL:
            raise TypeError(f"{kind.__name__}.__new__ gave a program that was there before")
    except BaseException:
        mg_tape_free(tape)
        raise
    self.parameters = parameters
    self.is_sequence = is_sequence
    self.frozen_reads = []
    self.program = mg_program_new(tape)
    if self.program == NULL:
        raise MemoryError("no memory for a program")
    self.program.arithmetic = arithmetic
    return self


cdef mg_node *nodes_of(object values, str name) except NULL:
    """The nodes of some Values, to be freed."""
    cdef size_t i, n = len(values)
    cdef mg_node *nodes
    for i in range(n):
        if not is_value(<PyObject *>values[i]):
            raise TypeError(f"{name}[{i}] must be a Value, found {type(values[i]).__name__}")
    nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
    if nodes == NULL:
        raise MemoryError(f"no memory for {n} nodes")
    for i in range(n):
        nodes[i] = node_of(<PyObject *>values[i])
    return nodes


cdef int check_inputs(mg_node *nodes, list inputs) except -1:
    first_places = {}
    for index, value in enumerate(inputs):
        if arena.meta[nodes[index]].op != MG_LEAF or arena.meta[nodes[index]].arity != 0:
            raise ValueError(f"inputs[{index}], {value!r}, is not a leaf: it was computed")
        if id(value) in first_places:
            raise ValueError(
                f"inputs[{index}] is the same Value as inputs[{first_places[id(value)]}]"
            )
        first_places[id(value)] = index
    return 0


def program_of_tape(kind, packed, parameters):
    """Make a program of what ``tape`` gave; ValueError if that makes no sense."""
    cdef mg_tape tape
    memset(&tape, 0, sizeof(mg_tape))
    parameters = tuple(parameters)
    try:
        try:
            fill_tape(&tape, packed)
            is_sequence = bool(packed["is_sequence"])
            fast, dtype = packed["fast"], packed["dtype"]
        except (KeyError, TypeError, OverflowError) as error:
            raise damaged_program(f"{type(error).__name__}: {error}") from None
        if tape.n_parameters != len(parameters) or not all(
            is_value(<PyObject *>p) for p in parameters
        ):
            raise damaged_program(
                f"{tape.n_parameters} parameters are wanted, found {len(parameters)}"
            )
        if not is_sequence and tape.n_outputs != 1:
            raise damaged_program(f"{tape.n_outputs} outputs where there is one")
    except BaseException:
        mg_tape_free(&tape)
        raise
    return new_program(kind, &tape, parameters, is_sequence, fast, dtype)


def freeze(kind, list outputs, list inputs, bint is_sequence, bint need_inputs, fast, dtype):
    """Make a program; ``micrograd_fast.compile`` says more."""
    cdef mg_tape tape
    cdef mg_node *parameter_nodes = NULL
    cdef mg_node *input_nodes = NULL
    cdef mg_refused refused
    cdef mg_status st
    cdef mg_node *roots
    arithmetic_of(fast, dtype)
    if len(outputs) == 0 or not (is_sequence or len(outputs) == 1):
        raise ValueError(f"compile wants one output or a sequence, found {len(outputs)}")
    roots = nodes_of(outputs, "outputs" if is_sequence else "output")
    try:
        input_nodes = nodes_of(inputs, "inputs")
        check_inputs(input_nodes, inputs)
        st = mg_tape_record(&arena, roots, <uint32_t>len(outputs), input_nodes,
                            <uint32_t>len(inputs), need_inputs, &tape, &parameter_nodes, &refused)
        if st != MG_OK:
            raise MemoryError("no memory to record the graph")
        if refused.refusal != MG_FREEZABLE:
            raise refusal(&refused)
        try:
            parameters = tuple([
                adopt(handle_of(parameter_nodes[i])) for i in range(tape.n_parameters)
            ])
        except BaseException:
            mg_tape_free(&tape)
            raise
        return new_program(kind, &tape, parameters, is_sequence, fast, dtype)
    finally:
        mg_free(parameter_nodes)
        mg_free(input_nodes)
        mg_free(roots)
