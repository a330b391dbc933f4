# Loops of a program over its parameters, such as an optimizer written out: the arithmetic of one
# element after the other, read from the loop's source (micrograd_fast/takeover/element_loops.py).
#
# What must stay true: an element is done wholly or not at all, in order, with the bits of Python's
# floats; where anything is not what the loop looks like, from there on Python does it. It does the
# one before again, which is undone for that, so that names of the body have their values of then.
# Once the operands have been looked at no Python runs, for all that is given up are floats.

cdef extern from "Python.h":
    void Py_XDECREF(PyObject *)

cdef long long LARGEST_EXACT_INT = 9007199254740992

cdef enum:
    MAX_REGISTERS = 64
    MAX_INSTRUCTIONS = 128
    MAX_LISTS = 8

cdef enum:
    LOAD_LIST = 0   # the target is the entry of a list for this element
    LOAD_DATA = 1
    LOAD_GRAD = 2
    STORE_LIST = 3  # the first operand goes there
    STORE_DATA = 4
    STORE_GRAD = 5
    COMPUTE_ADD = 6
    COMPUTE_SUB = 7
    COMPUTE_MUL = 8
    COMPUTE_DIV = 9
    COMPUTE_POW = 10
    COMPUTE_NEG = 11

cdef struct Instruction:
    int kind
    int target
    int a
    int b

# What an element was before the loop came to it.
cdef struct Before:
    mg_node node
    double data
    double grad
    PyObject *entries[8]  # of lists, owned; NULL where the loop stores nothing


cdef class ElementLoop:
    """The body of a loop, as instructions on registers.

    Parameters
    ----------
    n_given : int
        How many registers are filled before the first element.
    instructions : iterable of (kind, target, a, b)
        Loads first; stores take effect once all of an element has been computed. The number of a
        list is the first operand of a load, and the target of a store.
    """

    cdef Instruction code[MAX_INSTRUCTIONS]
    cdef int n_instructions
    cdef int n_given
    cdef int n_lists

    def __cinit__(self, int n_given, instructions):
        cdef Instruction *step
        self.n_given = n_given
        for kind, target, a, b in instructions:
            if self.n_instructions == MAX_INSTRUCTIONS:
                raise ValueError(f"instructions must be at most {MAX_INSTRUCTIONS}, found more")
            for number in (target, a, b):
                if not 0 <= number < MAX_REGISTERS:
                    raise ValueError(f"a register must be below {MAX_REGISTERS}, found {number}")
            if not LOAD_LIST <= kind <= COMPUTE_NEG:
                raise ValueError(f"no instruction is {kind}")
            step = &self.code[self.n_instructions]
            step.kind, step.target, step.a, step.b = kind, target, a, b
            if kind in (LOAD_LIST, STORE_LIST):
                self.n_lists = max(self.n_lists, <int>(a if kind == LOAD_LIST else target) + 1)
            self.n_instructions += 1
        if n_given > MAX_REGISTERS or self.n_lists > MAX_LISTS:
            raise ValueError(f"a loop must have at most {MAX_LISTS} lists, found more")

    def run(self, elements, list lists not None, given, Py_ssize_t n):
        """Do the first elements, up to ``n``; return how many were done. If not all of them could
        be, one that could is left undone, too.

        Parameters
        ----------
        elements : list or tuple of Value
        lists : list of list of float
        given : sequence of float or int
            What the first registers hold.
        """
        cdef double registers[MAX_REGISTERS]
        cdef PyObject *columns[MAX_LISTS]
        cdef Before before
        cdef Py_ssize_t i, k, n_done = 0
        cdef list own = list(elements)
        memset(&before, 0, sizeof(Before))
        if len(lists) != self.n_lists or len(given) != self.n_given:
            raise ValueError("lists and given must be as many as the loop has")
        for i in range(self.n_given):
            if not read_exactly(given[i], &registers[i]):
                return 0
        for i in range(self.n_lists):
            if type(lists[i]) is not list:
                return 0
            for k in range(i):
                if lists[i] is lists[k]:
                    return 0
            columns[i] = <PyObject *>lists[i]
        n = min(n, <Py_ssize_t>len(own))
        try:
            while n_done < n and self.do_element(
                list_item(<PyObject *>own, n_done), columns, n_done, registers, &before
            ):
                n_done += 1
            if 0 < n_done < n:
                n_done -= 1
                self.undo(columns, n_done, &before)
        finally:
            for k in range(self.n_lists):
                Py_XDECREF(before.entries[k])
        return n_done

    cdef void undo(self, PyObject **columns, Py_ssize_t i, Before *before) noexcept:
        """Let the element that was done last be what it was."""
        cdef PyObject *entry
        cdef int k
        arena.data[before.node] = before.data
        arena.grad[before.node] = before.grad
        for k in range(self.n_lists):
            if before.entries[k] != NULL:
                entry = list_item(columns[k], i)
                PyList_SET_ITEM(columns[k], i, before.entries[k])
                before.entries[k] = entry

    cdef bint do_element(self, PyObject *element, PyObject **columns, Py_ssize_t i,
                         double *registers, Before *before) except -1:
        """Whether the element could be done; if not, nothing has changed."""
        cdef Instruction *step = self.code
        cdef Instruction *end = self.code + self.n_instructions
        cdef PyObject *entries[MAX_LISTS]
        cdef mg_status st = MG_OK
        cdef mg_node node
        cdef int k
        if not is_plain_type(Py_TYPE(element)) or not goes_directly(element):
            return False
        node = node_of(element)
        if arena.meta[node].marks & MG_FROZEN:
            return False  # an assignment is warned of, which runs Python
        for k in range(self.n_lists):
            if i >= len(<list>columns[k]) or not PyFloat_CheckExact(list_item(columns[k], i)):
                return False
            entries[k] = NULL
        while step != end:
            if step.kind == LOAD_LIST:
                registers[step.target] = PyFloat_AS_DOUBLE(list_item(columns[step.a], i))
            elif step.kind == LOAD_DATA:
                registers[step.target] = arena.data[node]
            elif step.kind == LOAD_GRAD:
                registers[step.target] = arena.grad[node]
            elif step.kind == COMPUTE_ADD:
                registers[step.target] = registers[step.a] + registers[step.b]
            elif step.kind == COMPUTE_SUB:
                registers[step.target] = registers[step.a] - registers[step.b]
            elif step.kind == COMPUTE_MUL:
                registers[step.target] = registers[step.a] * registers[step.b]
            elif step.kind == COMPUTE_DIV:
                registers[step.target] = mg_div(registers[step.a], registers[step.b], &st)
            elif step.kind == COMPUTE_POW:
                registers[step.target] = mg_pow(registers[step.a], registers[step.b], &st)
            elif step.kind == COMPUTE_NEG:
                registers[step.target] = -registers[step.a]
            step += 1
        if st != MG_OK:
            return False
        # All of it is known. What may fail comes before anything is stored.
        try:
            step = self.code
            while step != end:
                if step.kind == STORE_LIST and entries[step.target] == NULL:
                    entries[step.target] = new_float(0.0)
                elif step.kind == STORE_DATA:
                    note_data_write(node)
                step += 1
        except BaseException:
            for k in range(self.n_lists):
                Py_XDECREF(entries[k])
            raise
        before.node = node
        before.data = arena.data[node]
        before.grad = arena.grad[node]
        step = self.code
        while step != end:
            if step.kind == STORE_LIST:
                (<PyFloatObject *>entries[step.target]).ob_fval = registers[step.a]
            elif step.kind == STORE_DATA:
                arena.data[node] = registers[step.a]
            elif step.kind == STORE_GRAD:
                note_grad_write(registers[step.a])
                arena.grad[node] = registers[step.a]
            step += 1
        for k in range(self.n_lists):
            if entries[k] != NULL:
                Py_XDECREF(before.entries[k])  # a float, so that nothing runs
                before.entries[k] = list_item(columns[k], i)
                PyList_SET_ITEM(columns[k], i, entries[k])
        return True


cdef bint read_exactly(object number, double *read) except -1:
    """A float, or an int that is one exactly; nothing else is certain to be arithmetic on floats."""
    cdef long long whole
    cdef int overflow = 0
    if PyFloat_CheckExact(<PyObject *>number):
        read[0] = PyFloat_AS_DOUBLE(<PyObject *>number)
        return True
    if not PyLong_CheckExact(<PyObject *>number):
        return False
    whole = PyLong_AsLongLongAndOverflow(<PyObject *>number, &overflow)
    if overflow != 0 or not -LARGEST_EXACT_INT < whole < LARGEST_EXACT_INT:
        return False
    read[0] = <double>whole
    return True


def float_attributes(kind):
    """Which attributes of a type are the engine's data (1) and gradient (2), by name."""
    cdef dict found = {}
    for base in reversed(kind.__mro__):
        for name, entry in vars(base).items():
            if entry is own_data:
                found[name] = LOAD_DATA
            elif entry is own_grad:
                found[name] = LOAD_GRAD
            elif name in found:
                del found[name]
    return found
