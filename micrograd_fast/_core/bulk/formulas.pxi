# Formulas that are stamped: the losses.
#
# A formula is a Python function of Values. For every structure of arguments (a Value, a number, a
# list of so many Values) it is recorded once, and from then on its graph is stamped into the
# arena. Only results get handles. Python's function is what runs wherever the tape could say
# something else: for operands that are no plain Values, once a program has replaced an operator or
# a method that the formula uses, and to say why a formula fails.

cdef enum:
    MOST_ARGUMENTS = 4
    # How long all tapes of one formula may be together; one alone may be longer.
    MOST_ENTRIES = 524288
    # Room for the nodes of one tape, kept for the next.
    LARGEST_KEPT_BUFFER = 65536
    # The structure of an argument; a list is described by its length.
    IS_VALUE = -1
    IS_NUMBER = -2

cdef extern from "Python.h":
    bint PyList_CheckExact(PyObject *)
    Py_ssize_t list_size "PyList_GET_SIZE"(PyObject *)
    long long PyLong_AsLongLongAndOverflow(PyObject *, int *overflow)

cdef extern from *:
    """
    #define MG_TUPLE_ITEMS(tuple) (((PyTupleObject *)(tuple))->ob_item)
    """
    PyObject **items_of "MG_TUPLE_ITEMS"(object)

cdef struct RecordedTape:
    mg_formula *formula  # NULL where only Python's function will do
    bint is_list
    Py_ssize_t structure[MOST_ARGUMENTS]


cdef struct NodeBuffer:
    mg_node *nodes
    size_t cap

# The arguments and the nodes of the formula at hand. No Python runs while they are in use.
cdef NodeBuffer argument_nodes = NodeBuffer(NULL, 0)
cdef NodeBuffer formula_nodes = NodeBuffer(NULL, 0)


cdef bint make_room(NodeBuffer *buffer, size_t n_nodes) noexcept:
    cdef size_t larger = max(n_nodes, 2 * buffer.cap, <size_t>64)
    cdef void *moved
    if n_nodes <= buffer.cap:
        return True
    moved = mg_realloc(buffer.nodes, larger * sizeof(mg_node))
    if moved == NULL:
        return False
    buffer.nodes = <mg_node *>moved
    buffer.cap = larger
    return True


cdef void give_back(NodeBuffer *buffer) noexcept:
    if buffer.cap > LARGEST_KEPT_BUFFER:
        mg_free(buffer.nodes)
        buffer.nodes = NULL
        buffer.cap = 0


cdef PyNumberMethods operators_of_value
memcpy(&operators_of_value, ValueType.tp_as_number, sizeof(PyNumberMethods))
cdef dict methods_of_value = {
    name: method for name, method in Value.__dict__.items() if not name.startswith("__")
}
cdef frozenset table_methods = frozenset({
    operation_name(<mg_op>op) for op in range(<int>MG_ADD, <int>MG_N_OPS)
})


cdef set replaced_methods():
    """The names of the methods that a program has replaced."""
    return {name for name, method in methods_of_value.items()
            if Value.__dict__.get(name) is not method}


cdef bint operators_unchanged() noexcept:
    return memcmp(&operators_of_value, ValueType.tp_as_number, sizeof(PyNumberMethods)) == 0


cdef frozenset names_of_operations(const mg_tape *tape):
    cdef uint32_t i
    return frozenset({operation_name(<mg_op>tape.entries[i].op) for i in range(tape.n_entries)})


cdef void free_formula(mg_formula *formula) noexcept:
    if formula != NULL:
        mg_formula_free(formula)
        mg_free(formula)


cdef size_t n_entries_of(const RecordedTape *tape) noexcept:
    return 1 if tape.formula == NULL else tape.formula.tape.n_entries


cdef bint describe(tuple arguments, Py_ssize_t *structure) noexcept:
    """The structure of some arguments, or False for what no formula is recorded for."""
    cdef Py_ssize_t i
    if len(arguments) > MOST_ARGUMENTS:
        return False
    memset(structure, 0, MOST_ARGUMENTS * sizeof(Py_ssize_t))
    for i in range(len(arguments)):
        if Py_TYPE(items_of(arguments)[i]) == ValueType:
            structure[i] = IS_VALUE
        elif plain_number(items_of(arguments)[i]):
            structure[i] = IS_NUMBER
        elif all_plain(arguments[i]):
            structure[i] = list_size(items_of(arguments)[i])
        else:
            return False
    return True


cdef tuple copied_lists(tuple arguments):
    cdef list copies = []
    for argument in arguments:
        copies.append(list(argument) if type(argument) is list else argument)
    return tuple(copies)


cdef bint read_plain_number(PyObject *number, mg_number *read) noexcept:
    """False for an int beyond 64 bits."""
    cdef int overflow = 0
    read.is_int = not PyFloat_CheckExact(number)
    if read.is_int:
        read.value = <double>PyLong_AsLongLongAndOverflow(number, &overflow)
    else:
        read.value = PyFloat_AS_DOUBLE(number)
    return overflow == 0


cdef bint are_lists_of_length(tuple columns, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(len(columns)):
        if not PyList_CheckExact(items_of(columns)[i]) or list_size(items_of(columns)[i]) != n:
            return False
    return True


cdef enum Outcome:
    STAMPED
    UNKNOWN  # no tape for these arguments yet
    DECLINED  # Python's function is to be called
    FAILED  # ... and will raise an error
    NO_MEMORY


@cython.final
cdef class Formula:
    """A function of Values whose graph is built without calling it, once it has been recorded.

    Parameters
    ----------
    function : callable
        Takes Values, lists of Values and numbers; returns a Value or a list of Values. It must do
        the same whatever the numbers and the data are.
    example : tuple
        Arguments for which the function uses all operations that it ever uses.
    check : callable, optional
        Called before the function is, with the same arguments (for `total`, with the columns): it
        refuses what the function would misunderstand.
    smallest, largest : float, optional
        Other numbers than those from one to the other need the check.
    between : bool, optional
        False if only these two themselves need none.
    """

    cdef object function, check
    cdef double smallest, largest
    cdef bint bounded, between
    cdef frozenset operations  # the methods that the function calls; None if that is unknown
    cdef unsigned int value_version  # the version of Value that the tapes belong to
    cdef bint may_stamp
    cdef RecordedTape *tapes  # the last used one first
    cdef size_t n_tapes, tapes_cap, n_entries

    def __cinit__(self, function, example=None, check=None, *, smallest=None, largest=None,
                  between=True):
        cdef RecordedTape *tape
        self.function = function
        self.check = check
        self.bounded = smallest is not None or largest is not None
        self.smallest = -INFINITY if smallest is None else smallest
        self.largest = INFINITY if largest is None else largest
        self.between = between
        if example is not None and operators_unchanged() and not replaced_methods():
            self.refresh()
            tape = self.record(example)
            if tape != NULL and tape.formula != NULL:
                self.operations = names_of_operations(&tape.formula.tape)

    def __dealloc__(self):
        self.forget()
        mg_free(self.tapes)

    # The tapes ----------------------------------------------------------------------------------

    cdef void forget(self) noexcept:
        cdef size_t i
        for i in range(self.n_tapes):
            free_formula(self.tapes[i].formula)
        self.n_tapes = self.n_entries = 0

    cdef bint refresh(self) except -1:
        """Whether tapes may be used, after a look at what has become of Value."""
        if self.value_version != 0 and version_tag(ValueType) == self.value_version:
            return self.may_stamp
        # Look something up first: that is what gives a modified type its next tag.
        getattr(<object>ValueType, "relu")
        self.forget()
        self.value_version = version_tag(ValueType)
        self.may_stamp = self.value_version != 0 and operators_unchanged()
        if self.may_stamp:
            replaced = replaced_methods()
            if self.operations is not None:
                # An operation that the formula does not use may be anything.
                replaced -= table_methods - self.operations
            self.may_stamp = not replaced
        return self.may_stamp

    cdef RecordedTape *find(self, const Py_ssize_t *structure) noexcept:
        """The tape for arguments of some structure, or NULL; valid until the next one is recorded."""
        cdef size_t i
        cdef RecordedTape found
        for i in range(self.n_tapes):
            if memcmp(self.tapes[i].structure, structure, MOST_ARGUMENTS * sizeof(Py_ssize_t)) == 0:
                if i > 0:
                    found = self.tapes[i]
                    memmove(self.tapes + 1, self.tapes, i * sizeof(RecordedTape))
                    self.tapes[0] = found
                return self.tapes
        return NULL

    cdef RecordedTape *record(self, tuple arguments) except? NULL:
        """The tape for some arguments, recorded now; NULL if an error came in between."""
        cdef RecordedTape tape
        cdef unsigned int version = self.value_version
        cdef size_t larger
        cdef void *moved
        # The lists are the caller's, who may change them while Python runs.
        arguments = copied_lists(arguments)
        memset(&tape, 0, sizeof(RecordedTape))
        if not describe(arguments, tape.structure):
            return NULL
        try:
            tape.formula = recorded(self.function, arguments, &tape.is_list)
        except (ArithmeticError, ValueError, MemoryError):
            # Perhaps it is the data. Python's function will tell.
            return NULL
        except Exception:
            tape.formula = NULL
        if self.value_version != version or version_tag(ValueType) != version:
            free_formula(tape.formula)
            return NULL
        if self.find(tape.structure) != NULL:  # the function has called itself
            free_formula(tape.formula)
            return self.find(tape.structure)
        if self.n_tapes == self.tapes_cap:
            larger = max(<size_t>4, 2 * self.tapes_cap)
            moved = mg_realloc(self.tapes, larger * sizeof(RecordedTape))
            if moved == NULL:
                free_formula(tape.formula)
                return NULL
            self.tapes = <RecordedTape *>moved
            self.tapes_cap = larger
        memmove(self.tapes + 1, self.tapes, self.n_tapes * sizeof(RecordedTape))
        self.tapes[0] = tape
        self.n_tapes += 1
        self.n_entries += n_entries_of(&tape)
        while self.n_entries > MOST_ENTRIES and self.n_tapes > 1:
            self.n_tapes -= 1
            self.n_entries -= n_entries_of(&self.tapes[self.n_tapes])
            free_formula(self.tapes[self.n_tapes].formula)
        return self.tapes

    # Stamping -----------------------------------------------------------------------------------

    cdef bint is_within(self, double number) noexcept:
        if self.between:
            return self.smallest <= number <= self.largest
        return number == self.smallest or number == self.largest

    cdef Outcome stamp(self, PyObject **arguments, Py_ssize_t n_arguments,
                       RecordedTape **tape, mg_node *results, size_t n_results) noexcept:
        """Make the nodes for some arguments. `results` has room for as many as it says, or is NULL
        to find the tape only. No Python runs here."""
        cdef Py_ssize_t structure[MOST_ARGUMENTS]
        cdef mg_number numbers[MOST_ARGUMENTS]
        cdef size_t n_values = 0, n_numbers = 0
        cdef Py_ssize_t i, k
        cdef PyObject *argument
        cdef mg_status st
        if n_arguments > MOST_ARGUMENTS or version_tag(ValueType) != self.value_version:
            return DECLINED
        memset(structure, 0, sizeof(structure))
        for i in range(n_arguments):
            argument = arguments[i]
            if Py_TYPE(argument) == ValueType:
                structure[i] = IS_VALUE
                if not make_room(&argument_nodes, n_values + 1):
                    return NO_MEMORY
                argument_nodes.nodes[n_values] = node_of(argument)
                n_values += 1
            elif plain_number(argument):
                structure[i] = IS_NUMBER
                if not read_plain_number(argument, &numbers[n_numbers]):
                    return DECLINED
                if self.bounded and not self.is_within(numbers[n_numbers].value):
                    return DECLINED
                n_numbers += 1
            elif PyList_CheckExact(argument):
                structure[i] = list_size(argument)
                if structure[i] == 0:
                    return DECLINED
                if not make_room(&argument_nodes, n_values + <size_t>structure[i]):
                    return NO_MEMORY
                for k in range(structure[i]):
                    if Py_TYPE(list_item(argument, k)) != ValueType:
                        return DECLINED
                    argument_nodes.nodes[n_values] = node_of(list_item(argument, k))
                    n_values += 1
            else:
                return DECLINED
        tape[0] = self.find(structure)
        if tape[0] == NULL:
            return UNKNOWN
        if tape[0].formula == NULL:
            return DECLINED
        if results == NULL:
            return STAMPED
        if tape[0].formula.n_results != n_results:
            return DECLINED
        if not make_room(&formula_nodes, tape[0].formula.tape.n_entries):
            return NO_MEMORY
        st = mg_formula_stamp(&arena, tape[0].formula, argument_nodes.nodes, numbers,
                              formula_nodes.nodes, results)
        if st == MG_OK:
            return STAMPED
        return NO_MEMORY if st == MG_NO_MEMORY else FAILED

    cdef Outcome stamp_total(self, PyObject **columns, Py_ssize_t n_columns, Py_ssize_t n,
                             mg_node *total, Py_ssize_t *unknown) noexcept:
        """Make the nodes of the sum of the formula over some rows. No Python runs here."""
        cdef PyObject *arguments[MOST_ARGUMENTS]
        cdef RecordedTape *tape
        cdef Outcome outcome = STAMPED
        cdef mg_node term
        cdef Py_ssize_t i, k
        total[0] = mg_arena_literal(&arena, 0.0)
        if total[0] == MG_NO_NODE:
            return NO_MEMORY
        for i in range(n):
            for k in range(n_columns):
                arguments[k] = list_item(columns[k], i)
            outcome = self.stamp(arguments, n_columns, &tape, &term, 1)
            if outcome == STAMPED and tape.is_list:
                mg_arena_discard(&arena, term)
                outcome = DECLINED
            if outcome != STAMPED:
                unknown[0] = i
                mg_arena_discard(&arena, total[0])
                break
            total[0] = mg_sum_step(&arena, total[0], term, i == 0)
            if total[0] == MG_NO_NODE:
                outcome = NO_MEMORY
                break
        give_back(&argument_nodes)
        give_back(&formula_nodes)
        return outcome

    cdef list stamped(self, tuple arguments, Py_ssize_t n, Outcome *outcome):
        """The results, of which there are `n`, if the outcome says so."""
        cdef RecordedTape *tape
        cdef Py_ssize_t i
        cdef list results
        cdef mg_node *nodes = <mg_node *>mg_realloc(NULL, n * sizeof(mg_node))
        outcome[0] = NO_MEMORY
        if nodes == NULL:
            return None
        try:
            # Handles first, so that from the nodes on nothing can fail.
            results = []
            for i in range(n):
                results.append(adopt(handle_new()))
            outcome[0] = self.stamp(items_of(arguments), len(arguments), &tape, nodes, n)
            if outcome[0] == STAMPED:
                for i in range(n):
                    handle_attach(list_item(<PyObject *>results, i), nodes[i])
            return results
        finally:
            mg_free(nodes)

    cdef bint record_rows(self, tuple columns, Py_ssize_t first) except -1:
        """Record what is unknown of the rows from one on; whether all are known then."""
        cdef Py_ssize_t structure[MOST_ARGUMENTS]
        for row in list(zip(*columns))[first:]:
            if not describe(row, structure):
                return False
            if self.find(structure) == NULL and self.record(row) == NULL:
                return False
        return True

    # Python's function --------------------------------------------------------------------------

    cdef object evaluate(self, tuple arguments, bint are_columns):
        if self.check is not None:
            self.check(*arguments)
        if are_columns:
            return add_up(list(map(self.function, *arguments)))
        return self.function(*arguments)

    cdef object settle(self, Outcome outcome, tuple arguments, bint are_columns):
        """What there is to say where nothing was stamped."""
        give_back(&argument_nodes)
        give_back(&formula_nodes)
        if outcome == NO_MEMORY:
            raise_status(MG_NO_MEMORY, MG_LEAF, 0.0, 0.0)
        if outcome == DECLINED:
            return self.evaluate(arguments, are_columns)
        try:
            return self.evaluate(arguments, are_columns)
        except Exception as error:
            # Its frames would keep the nodes that were made until then.
            raise error.with_traceback(None)

    # From Python --------------------------------------------------------------------------------

    def __call__(self, *arguments):
        """Call the function, or build what it would.

        Parameters
        ----------
        *arguments : Value, list of Value, or number

        Returns
        -------
        Value or list of Value
            What the function returns.
        """
        cdef RecordedTape *tape
        cdef Outcome outcome = DECLINED
        cdef bint is_list
        if self.refresh():
            outcome = self.stamp(items_of(arguments), len(arguments), &tape, NULL, 0)
            if outcome == UNKNOWN and self.record(arguments) != NULL:
                outcome = self.stamp(items_of(arguments), len(arguments), &tape, NULL, 0)
        if outcome == STAMPED:
            is_list = tape.is_list
            results = self.stamped(arguments, tape.formula.n_results, &outcome)
            if outcome == STAMPED:
                give_back(&argument_nodes)
                give_back(&formula_nodes)
                return results if is_list else results[0]
        return self.settle(outcome, arguments, False)

    def total(self, *columns):
        """Sum the formula over rows of arguments, as ``sum`` over ``zip(*columns)`` would.

        Parameters
        ----------
        *columns : list
            One for each argument, all of one length.

        Returns
        -------
        Value
        """
        cdef Outcome outcome = DECLINED
        cdef PyObject *handle
        cdef mg_node total = MG_NO_NODE
        cdef Py_ssize_t n, n_columns = len(columns), unknown = 0
        cdef int attempt
        for attempt in range(2):
            if not 0 < n_columns <= MOST_ARGUMENTS or not self.refresh():
                break
            handle = handle_new()
            n = list_size(items_of(columns)[0]) if PyList_CheckExact(items_of(columns)[0]) else 0
            if n > 0 and are_lists_of_length(columns, n):
                outcome = self.stamp_total(items_of(columns), n_columns, n, &total, &unknown)
            if outcome == STAMPED:
                return value_of_sum(handle, total)
            Py_DECREF(handle)
            if outcome != UNKNOWN or not self.record_rows(columns, unknown):
                break
        return self.settle(outcome, columns, True)
