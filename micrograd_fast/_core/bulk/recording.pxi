# Recording a formula: it is called once on stand-ins for its arguments, and the graph that it
# builds becomes a tape to be stamped (csrc/program/stamp.h).
#
# Values are stood in for by leaves with the same data. A number would end up in a leaf that does
# not say where it came from; so numbers are stood in for by RecordedNumber, which makes the leaf
# itself. What a formula decides by the data of a Value cannot be stamped: looking at it is noticed.


class NotRecordable(TypeError):
    """A formula does what its graph does not tell."""


class Watch:
    """Refuses what a formula sees of a Value beyond that it is one."""

    def __init__(self):
        self.looks = []

    def saw(self, what, value, other, filename, line):
        if what == "failure":  # the formula's own exception says more
            return
        self.looks.append(f"{filename}:{line} looks at the {what} of a Value")
        raise NotRecordable(*self.looks)


cdef class Recording:
    """What the stand-ins of a formula have seen."""

    cdef list picks  # (number of the argument, candidates, the leaf that stands for one of them)
    cdef list literals  # (number of the argument, negated, offset, leaf)

    def __cinit__(self):
        self.picks = []
        self.literals = []


cdef object new_leaf(double data):
    """A Value like any other, whatever has become of the constructor."""
    cdef PyObject *self = handle_new(ValueType)
    cdef mg_node node = mg_arena_leaf(&arena, data)
    return value_of_sum(self, node)


cdef class RecordedNumber:
    """A number that a formula is given while it is recorded.

    Values can be added to it and multiplied by it, it can be negated and have a float added. The
    rest is refused: its outcome would be frozen, or is not worth a rule here.
    """

    cdef Recording recording
    cdef uint32_t argument
    cdef bint negated
    cdef double offset  # 0 for none
    cdef object number  # what it is this time

    cdef RecordedNumber changed(self, object number, bint negated, double offset):
        cdef RecordedNumber other = RecordedNumber.__new__(RecordedNumber)
        other.recording = self.recording
        other.argument = self.argument
        other.negated = negated
        other.offset = offset
        other.number = number
        return other

    cdef object leaf(self):
        """The leaf that an operator makes of a number."""
        leaf = new_leaf(require_number(self.number, "a number of a formula"))
        self.recording.literals.append((self.argument, self.negated, self.offset, leaf))
        return leaf

    def __bool__(self):
        raise NotRecordable("the formula decides by a number")

    def __eq__(self, other):
        raise NotRecordable("the formula decides by a number")

    def __hash__(self):
        raise NotRecordable("the formula decides by a number")

    def __neg__(self):
        if self.offset != 0.0:
            return NotImplemented
        return self.changed(-self.number, not self.negated, 0.0)

    def __add__(self, other):
        if is_value(<PyObject *>other):
            return other + self.leaf()
        if type(other) is not float or other == 0.0 or self.offset != 0.0:
            return NotImplemented
        return self.changed(self.number + other, self.negated, other)

    def __radd__(self, other):
        return self.__add__(other)

    def __sub__(self, other):
        if is_value(<PyObject *>other):
            return -other + self.leaf()
        return self.__add__(-other) if type(other) is float else NotImplemented

    def __rsub__(self, other):
        if self.offset != 0.0:
            return NotImplemented
        return (-self).__add__(other)

    def __mul__(self, other):
        return other * self.leaf() if is_value(<PyObject *>other) else NotImplemented

    def __rmul__(self, other):
        return self.__mul__(other)

    cdef object pick(self, object values):
        cdef list candidates = list(values)
        if self.negated or self.offset != 0.0 or not all_plain(candidates):
            raise NotRecordable("only one of some plain Values can be picked")
        if type(self.number) is not int or not 0 <= self.number < len(candidates):
            raise ValueError(f"{self.number!r} is not the place of one of them")
        leaf = new_leaf(arena.data[node_of(<PyObject *>candidates[self.number])])
        self.recording.picks.append((self.argument, candidates, leaf))
        return leaf


def pick(values, place):
    """Return ``values[place]``, in a formula, where the place is an argument of it.

    Indexing itself is done when the formula is recorded, once for all.
    """
    if type(place) is RecordedNumber:
        return (<RecordedNumber>place).pick(values)
    return values[place]


cdef bint all_plain(object values) noexcept:
    """Whether this is a list of Values, none of a subclass, and at least one."""
    cdef Py_ssize_t i
    if type(values) is not list or len(<list>values) == 0:
        return False
    for i in range(len(<list>values)):
        if Py_TYPE(list_item(<PyObject *>values, i)) != ValueType:
            return False
    return True


cdef int refuse_attributes(mg_node root) except -1:
    """Refuse a graph in which something was set on a node: stamping makes bare nodes."""
    cdef mg_order order = take_order()
    cdef size_t i
    cdef PyObject *handle
    cdef bint bare = True
    cdef mg_status st = mg_order_build(&arena, root, MG_ORDER_ALL, &order)
    if st == MG_OK:
        for i in range(order.n_nodes):
            handle = <PyObject *>arena.handle[order.nodes[i]]
            if handle != NULL:
                bare = bare and Py_TYPE(handle) == ValueType
                bare = bare and (<ValueHandle *>handle).dict == NULL
    give_order(&order)
    if st != MG_OK:
        raise no_memory("a recorded formula")
    if not bare:
        raise NotRecordable("a node of the formula has attributes")
    return 0


# A tape is recorded by a walk from each of its roots. Roots that share their graph, as the results
# of a softmax do, are joined for the time of it: a + (b + (c + d)), whose sums come last.


cdef mg_node joined(const mg_node *roots, size_t n) except? 0xFFFFFFFF:
    cdef size_t i
    cdef mg_node root = roots[n - 1], sum_
    for i in range(1, n):
        sum_ = mg_arena_node(&arena, MG_ADD, roots[n - 1 - i], root, 0.0, 0.0)
        if sum_ == MG_NO_NODE:
            if i > 1:
                mg_arena_discard(&arena, root)
            raise no_memory("a recorded formula")
        root = sum_
    return root


cdef int take_apart(mg_tape *tape, uint32_t n) except -1:
    """Have the `n` joined roots as outputs, and not their sums."""
    cdef uint32_t i, entry = tape.outputs[0]
    cdef void *moved = mg_realloc(tape.outputs, n * sizeof(uint32_t))
    if moved == NULL:
        raise no_memory("a recorded formula")
    tape.outputs = <uint32_t *>moved
    for i in range(n - 1):
        tape.outputs[i] = tape.entries[entry].a
        entry = tape.entries[entry].b
    tape.outputs[n - 1] = entry
    tape.n_outputs = n
    tape.n_entries -= n - 1
    return 0


cdef mg_node *nodes_of_plain(list values) except NULL:
    """The nodes of some Values, to be freed."""
    cdef Py_ssize_t i
    cdef mg_node *nodes = <mg_node *>mg_calloc(len(values), sizeof(mg_node))
    if nodes == NULL:
        raise no_memory("a recorded formula")
    for i in range(len(values)):
        nodes[i] = node_of(list_item(<PyObject *>values, i))
    return nodes


cdef mg_formula *formula_of(Recording recording, list values, int n_numbers,
                            list results) except NULL:
    """The formula whose graph, over stand-ins, ends in some results."""
    cdef mg_formula *formula
    cdef mg_node *inputs = NULL
    cdef mg_node *roots = NULL
    cdef mg_node *parameters = NULL
    cdef mg_refused refused
    cdef mg_known_leaves known
    cdef mg_status st
    cdef mg_node root = MG_NO_NODE
    cdef uint32_t n_outputs
    cdef list leaves = list(values), outputs = []
    cdef uint32_t first = 0
    for _, candidates, leaf in recording.picks:
        leaves.append(leaf)
        outputs += candidates
    for _, _, _, leaf in recording.literals:
        leaves.append(leaf)
    outputs += results
    n_outputs = <uint32_t>len(outputs)
    formula = <mg_formula *>mg_calloc(1, sizeof(mg_formula))
    if formula == NULL:
        raise no_memory("a recorded formula")
    try:
        formula.n_values = <uint32_t>len(values)
        formula.n_numbers = <uint32_t>n_numbers
        formula.n_results = <uint32_t>len(results)
        formula.picks = <mg_stamp_pick *>mg_calloc(len(recording.picks), sizeof(mg_stamp_pick))
        formula.literals = <mg_stamp_literal *>mg_calloc(
            len(recording.literals), sizeof(mg_stamp_literal)
        )
        inputs = nodes_of_plain(leaves)
        roots = nodes_of_plain(outputs)
        if formula.picks == NULL or formula.literals == NULL:
            raise no_memory("a recorded formula")
        for argument, candidates, _ in recording.picks:
            formula.picks[formula.n_picks].number = argument
            formula.picks[formula.n_picks].first = first
            formula.picks[formula.n_picks].n_candidates = <uint32_t>len(candidates)
            formula.n_picks += 1
            first += <uint32_t>len(candidates)
        for argument, negated, offset, _ in recording.literals:
            formula.literals[formula.n_literals].number = argument
            formula.literals[formula.n_literals].negated = negated
            formula.literals[formula.n_literals].offset = offset
            formula.n_literals += 1
        root = joined(roots, n_outputs)
        refuse_attributes(root)
        known = mg_known_leaves(inputs, NULL, <uint32_t>len(leaves), 0)
        st = mg_tape_record(&arena, &root, 1, &known, NULL, &formula.tape, &parameters,
                            &refused)
        if st != MG_OK:
            raise no_memory("a recorded formula")
        if refused.refusal != MG_FREEZABLE:
            raise NotRecordable("the formula makes nodes that no operation explains")
        take_apart(&formula.tape, n_outputs)
        if not mg_formula_complete(formula):
            raise NotRecordable("the formula is not one of its arguments alone")
        return formula
    except BaseException:
        mg_formula_free(formula)
        mg_free(formula)
        raise
    finally:
        if root != MG_NO_NODE and n_outputs > 1:
            mg_arena_discard(&arena, root)
        mg_free(parameters)
        mg_free(inputs)
        mg_free(roots)


cdef mg_formula *recorded(object function, tuple arguments, bint *is_list) except NULL:
    """Call a formula on stand-ins for its arguments, each a Value, a list of them, or a number."""
    cdef Recording recording = Recording()
    cdef RecordedNumber number
    cdef list values = [], stand_ins = [], row
    cdef uint32_t n_numbers = 0
    for argument in arguments:
        if is_value(<PyObject *>argument):
            leaf = new_leaf(arena.data[node_of(<PyObject *>argument)])
            values.append(leaf)
            stand_ins.append(leaf)
        elif isinstance(argument, list):
            row = []
            for one in argument:
                row.append(new_leaf(arena.data[node_of(<PyObject *>one)]))
            values += row
            stand_ins.append(row)
        else:
            number = RecordedNumber.__new__(RecordedNumber)
            number.recording = recording
            number.argument = n_numbers
            number.number = argument
            n_numbers += 1
            stand_ins.append(number)
    watch = Watch()
    result = call_under_watch(watch, function, *stand_ins)
    if watch.looks:  # though the formula may have handled the error
        raise NotRecordable(*watch.looks)
    is_list[0] = type(result) is list
    results = result if is_list[0] else [result]
    if not all_plain(results):
        raise NotRecordable("a formula gives a Value or a list of them")
    return formula_of(recording, values, n_numbers, list(results))
