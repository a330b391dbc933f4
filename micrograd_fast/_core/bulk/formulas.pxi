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
    # How many rows of arguments are read at a time.
    MOST_ROWS = 256
    MOST_NUMBERS = 1024  # MOST_ROWS * MOST_ARGUMENTS
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

# The arguments, row by row, and the nodes of the formula at hand. No Python runs while they are in
# use.
cdef mg_number argument_numbers[MOST_NUMBERS]
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


cdef bint outline(PyObject **arguments, Py_ssize_t n_arguments, Py_ssize_t *structure,
                  size_t *n_values) noexcept:
    """What the structure of some arguments is, if all elements of lists are Values, and how many
    Values there are; False for what no formula is recorded for."""
    cdef Py_ssize_t i
    n_values[0] = 0
    memset(structure, 0, MOST_ARGUMENTS * sizeof(Py_ssize_t))
    for i in range(n_arguments):
        if Py_TYPE(arguments[i]) == ValueType:
            structure[i] = IS_VALUE
            n_values[0] += 1
        elif plain_number(arguments[i]):
            structure[i] = IS_NUMBER
        elif PyList_CheckExact(arguments[i]) and list_size(arguments[i]) > 0:
            structure[i] = list_size(arguments[i])
            n_values[0] += <size_t>structure[i]
        else:
            return False
    return True


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


cdef inline Outcome outcome_of(mg_status st) noexcept:
    if st == MG_OK:
        return STAMPED
    return NO_MEMORY if st == MG_NO_MEMORY else FAILED


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

    cdef bint read(self, PyObject **arguments, Py_ssize_t n_arguments, const Py_ssize_t *structure,
                   mg_node *nodes, mg_number *numbers) noexcept:
        """Read arguments of some structure; False if they are not, or the check is to see them."""
        cdef Py_ssize_t i, k
        cdef PyObject *argument
        for i in range(n_arguments):
            argument = arguments[i]
            if structure[i] == IS_VALUE:
                if Py_TYPE(argument) != ValueType:
                    return False
                nodes[0] = node_of(argument)
                nodes += 1
            elif structure[i] == IS_NUMBER:
                if not plain_number(argument) or not read_plain_number(argument, numbers):
                    return False
                if self.bounded and not self.is_within(numbers.value):
                    return False
                numbers += 1
            else:
                if not PyList_CheckExact(argument) or list_size(argument) != structure[i]:
                    return False
                for k in range(structure[i]):
                    if Py_TYPE(list_item(argument, k)) != ValueType:
                        return False
                    nodes[k] = node_of(list_item(argument, k))
                nodes += structure[i]
        return True

    cdef Outcome stamp(self, PyObject **arguments, Py_ssize_t n_arguments,
                       RecordedTape **tape, mg_node *results, size_t n_results) noexcept:
        """Make the nodes for some arguments. `results` has room for as many as it says, or is NULL
        to find the tape only. No Python runs here."""
        cdef Py_ssize_t structure[MOST_ARGUMENTS]
        cdef size_t n_values
        cdef mg_status st
        if n_arguments > MOST_ARGUMENTS or version_tag(ValueType) != self.value_version:
            return DECLINED
        if not outline(arguments, n_arguments, structure, &n_values):
            return DECLINED
        if not make_room(&argument_nodes, n_values):
            return NO_MEMORY
        if not self.read(arguments, n_arguments, structure, argument_nodes.nodes,
                         argument_numbers):
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
        st = mg_formula_stamp(&arena, tape[0].formula, argument_nodes.nodes, argument_numbers,
                              formula_nodes.nodes, results)
        return outcome_of(st)

    cdef Outcome read_alike(self, PyObject **columns, Py_ssize_t n_columns, Py_ssize_t first,
                           Py_ssize_t n, RecordedTape **tape, Py_ssize_t *n_read) noexcept:
        """Read the rows from one on that have the structure of that one; STAMPED if there is a
        tape for them."""
        cdef PyObject *arguments[MOST_ARGUMENTS]
        cdef Py_ssize_t structure[MOST_ARGUMENTS]
        cdef size_t n_values, n_numbers = 0
        cdef Py_ssize_t row, k, most
        n_read[0] = 0
        for k in range(n_columns):
            arguments[k] = list_item(columns[k], first)
        if not outline(arguments, n_columns, structure, &n_values):
            return DECLINED
        for k in range(n_columns):
            n_numbers += structure[k] == IS_NUMBER
        most = min(n - first, MOST_ROWS)
        most = max(1, min(most, LARGEST_KEPT_BUFFER // (<Py_ssize_t>n_values + 1)))
        if not make_room(&argument_nodes, most * n_values):
            return NO_MEMORY
        for row in range(most):
            for k in range(n_columns):
                arguments[k] = list_item(columns[k], first + row)
            if not self.read(arguments, n_columns, structure,
                             argument_nodes.nodes + row * n_values,
                             argument_numbers + row * n_numbers):
                break
            n_read[0] += 1
        if n_read[0] == 0:
            return DECLINED
        tape[0] = self.find(structure)
        if tape[0] == NULL:
            return UNKNOWN
        if tape[0].formula == NULL or tape[0].is_list:
            return DECLINED
        if not make_room(&formula_nodes, tape[0].formula.tape.n_entries):
            return NO_MEMORY
        return STAMPED

    cdef Outcome stamp_total(self, PyObject **columns, Py_ssize_t n_columns, Py_ssize_t n,
                             mg_node *total, Py_ssize_t *unknown) noexcept:
        """Make the nodes of the sum of the formula over some rows. No Python runs here."""
        cdef RecordedTape *tape
        cdef Outcome outcome = STAMPED
        cdef size_t n_done
        cdef Py_ssize_t row = 0, n_read
        if version_tag(ValueType) != self.value_version:
            return DECLINED
        total[0] = mg_arena_literal(&arena, 0.0)
        if total[0] == MG_NO_NODE:
            return NO_MEMORY
        while row < n:
            outcome = self.read_alike(columns, n_columns, row, n, &tape, &n_read)
            if outcome != STAMPED:
                mg_arena_discard(&arena, total[0])
                break
            outcome = outcome_of(mg_formula_stamp_sum(
                &arena, tape.formula, argument_nodes.nodes, argument_numbers, <size_t>n_read,
                formula_nodes.nodes, row == 0, total, &n_done
            ))
            row += <Py_ssize_t>n_done
            if outcome != STAMPED:
                break
        unknown[0] = row
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
                results.append(adopt(handle_new(ValueType)))
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

    cdef object evaluate(self, tuple arguments, bint are_columns, bint are_checked):
        if self.check is not None and not are_checked:
            self.check(*arguments)
        if are_columns:
            return add_up(list(map(self.function, *arguments)))
        return self.function(*arguments)

    cdef object settle(self, Outcome outcome, tuple arguments, bint are_columns,
                       bint are_checked):
        """What there is to say where nothing was stamped."""
        give_back(&argument_nodes)
        give_back(&formula_nodes)
        if outcome == NO_MEMORY:
            raise_status(MG_NO_MEMORY, MG_LEAF, 0.0, 0.0)
        if outcome == DECLINED:
            return self.evaluate(arguments, are_columns, are_checked)
        try:
            return self.evaluate(arguments, are_columns, are_checked)
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
        return self.one(arguments, False)

    def each(self, *columns):
        """Call the function for every row of arguments.

        Parameters
        ----------
        *columns : list
            One for each argument, all of one length.

        Returns
        -------
        list
            What each call returns.
        """
        cdef list results = []
        if self.check is not None:
            self.check(*columns)
        for row in zip(*columns):
            results.append(self.one(row, True))
        return results

    cdef object one(self, tuple arguments, bint are_checked):
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
        return self.settle(outcome, arguments, False, are_checked)

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
            handle = handle_new(ValueType)
            n = list_size(items_of(columns)[0]) if PyList_CheckExact(items_of(columns)[0]) else 0
            if n > 0 and are_lists_of_length(columns, n):
                outcome = self.stamp_total(items_of(columns), n_columns, n, &total, &unknown)
            if outcome == STAMPED:
                return value_of_sum(handle, total)
            Py_DECREF(handle)
            if outcome != UNKNOWN or not self.record_rows(columns, unknown):
                break
        return self.settle(outcome, columns, True, False)
