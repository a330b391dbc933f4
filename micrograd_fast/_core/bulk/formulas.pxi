# Whole formulas at once: sums, products of sequences, and the sums inside the losses.
#
# Each builds the graph that the same formula gives when Python evaluates it operator by operator,
# without a handle for the nodes in between. What is unusual (an operand that is no plain Value, an
# operator or method that a program has replaced) is left to Python: the losses here then return
# None, and sum and dot call Python's own operators.

# The nodes of a formula under construction. Nothing refers to the last ones yet: on failure, all
# that are in here go.
cdef struct Draft:
    mg_node *nodes
    size_t n_nodes
    mg_status st  # the first failure, with its operation and operands
    mg_op op
    double a
    double k


cdef int draft_begin(Draft *draft, size_t n_nodes) except -1:
    """Make room for as many nodes, so that to add one cannot fail."""
    draft.n_nodes = 0
    draft.st = MG_OK
    draft.nodes = NULL
    if n_nodes < 0xFFFFFFFF and mg_arena_reserve(&arena, <mg_node>n_nodes) == MG_OK:
        draft.nodes = <mg_node *>mg_realloc(NULL, n_nodes * sizeof(mg_node))
    if draft.nodes == NULL:
        raise MemoryError(f"no memory for a formula of {n_nodes} nodes")
    return 0


cdef inline mg_node draft_leaf(Draft *draft, double number) noexcept:
    cdef mg_node node = mg_arena_literal(&arena, number)
    draft.nodes[draft.n_nodes] = node
    draft.n_nodes += 1
    return node


cdef inline mg_node draft_binary(Draft *draft, mg_op op, mg_node a, mg_node b) noexcept:
    """A sum, a product or a maximum, which have a value for all operands."""
    cdef mg_node node = mg_arena_node(
        &arena, op, a, b, 0.0, mg_op_value(op, arena.data[a], arena.data[b], 0.0, 0.0, NULL)
    )
    draft.nodes[draft.n_nodes] = node
    draft.n_nodes += 1
    return node


cdef inline mg_node draft_unary(Draft *draft, mg_op op, mg_node a, double k) noexcept:
    """After a failure the formula goes on with a number that means nothing, and is undone later."""
    cdef mg_status st = MG_OK
    cdef double data = mg_op_value(op, arena.data[a], 0.0, k, 0.0, &st)
    cdef mg_node node = mg_arena_node(&arena, op, a, MG_NO_NODE, k, data)
    if st != MG_OK and draft.st == MG_OK:
        draft.st = st
        draft.op = op
        draft.a = arena.data[a]
        draft.k = k
    draft.nodes[draft.n_nodes] = node
    draft.n_nodes += 1
    return node


cdef inline mg_node draft_minus(Draft *draft, mg_node a, mg_node b) noexcept:
    """``a + b * -1``, what ``a - b`` is."""
    return draft_binary(draft, MG_ADD, a, draft_binary(draft, MG_MUL, b, draft_leaf(draft, -1.0)))


cdef inline mg_node draft_sum(Draft *draft, double start, const mg_node *terms, size_t n) noexcept:
    """``start + terms[0] + terms[1] + ...``, of which the first is ``terms[0] + start``."""
    cdef mg_node total = draft_leaf(draft, start)
    cdef size_t i
    if n > 0:
        total = draft_binary(draft, MG_ADD, terms[0], total)
    for i in range(1, n):
        total = draft_binary(draft, MG_ADD, total, terms[i])
    return total


cdef int draft_undo(Draft *draft) except -1:
    """Free the nodes that nothing has come to refer to, and the draft."""
    cdef size_t i
    for i in range(draft.n_nodes):
        arena.meta[draft.nodes[i]].refs += 1
    for i in range(draft.n_nodes):
        mg_arena_release(&arena, draft.nodes[i])
    mg_free(draft.nodes)
    return 0


cdef list draft_end(Draft *draft, const mg_node *results, size_t n):
    """The Values of some nodes of the draft; raises what has failed on the way to them."""
    cdef size_t i
    cdef PyObject *handle
    cdef list values = []
    try:
        if draft.st != MG_OK:
            raise_status(draft.st, draft.op, draft.a, draft.k)
        for i in range(n):
            handle = handle_new()
            handle_attach(handle, results[i])
            values.append(adopt(handle))
    except BaseException:
        draft_undo(draft)
        raise
    mg_free(draft.nodes)
    return values


# When Python would do nothing else ----------------------------------------------------------------

cdef tuple FORMULA_METHODS = ("exp", "log", "relu", "maximum", "detach")
cdef tuple formula_originals = tuple(map(Value.__dict__.__getitem__, FORMULA_METHODS))
cdef unsigned int formula_tag = 0  # the version of Value that was found to be as it should


cdef bint formulas_unchanged() except -1:
    """Whether no program has replaced a part of Value that the losses are made of."""
    global formula_tag
    cdef PyNumberMethods *slots = ValueType.tp_as_number
    if formula_tag != 0 and version_tag(ValueType) == formula_tag:
        return True
    # Look something up first: that is what gives a modified type its next tag.
    getattr(<object>ValueType, "relu")
    formula_tag = 0
    if (
        slots.nb_add != <void *>value_add
        or slots.nb_subtract != <void *>value_subtract
        or slots.nb_multiply != <void *>value_multiply
        or slots.nb_power != <void *>value_power
        or slots.nb_negative != <void *>value_negative
    ):
        return False
    for name, original in zip(FORMULA_METHODS, formula_originals):
        if Value.__dict__.get(name) is not original:
            return False
    formula_tag = version_tag(ValueType)
    return True


cdef bint all_plain(object values) noexcept:
    """Whether this is a list of Values, none of a subclass, and at least one."""
    cdef Py_ssize_t i
    if type(values) is not list or len(<list>values) == 0:
        return False
    for i in range(len(<list>values)):
        if Py_TYPE(list_item(<PyObject *>values, i)) != ValueType:
            return False
    return True


cdef inline mg_node item_node(object values, Py_ssize_t i) noexcept:
    return node_of(list_item(<PyObject *>values, i))


cdef inline bint plain_number(PyObject *number) noexcept:
    return PyFloat_CheckExact(number) or PyLong_CheckExact(number)


cdef bint all_plain_numbers(object numbers) noexcept:
    cdef Py_ssize_t i
    for i in range(len(<list>numbers)):
        if not plain_number(list_item(<PyObject *>numbers, i)):
            return False
    return True


cdef inline double number_of(PyObject *number) except? -1.0:
    return PyFloat_AS_DOUBLE(number) if PyFloat_CheckExact(number) else PyLong_AsDouble(number)


# sum and dot --------------------------------------------------------------------------------------


cdef bint all_native(list terms) except -1:
    for term in terms:
        if is_value(<PyObject *>term) and not (
            adds_natively(<PyObject *>term) and multiplies_natively(<PyObject *>term)
        ):
            return False
    return True


cdef object as_value(object result):
    return result if is_value(<PyObject *>result) else (<object>ValueType)(result)


cdef object numeric_term(object term, str what):
    """A plain number as it is, so that int arithmetic stays exact; others as float."""
    if isinstance(term, (int, float)):
        return term
    return require_number(term, what)


def sum(values):
    """Sum Values and numbers from left to right, to the bit as Python's ``sum`` does.

    Parameters
    ----------
    values : iterable of Value or number
        The terms. None at all give ``Value(0.0)``.

    Returns
    -------
    Value
        The root of the same graph that ``builtins.sum`` builds.

    Raises
    ------
    TypeError
        If a term is neither a Value nor a number.

    Examples
    --------
    >>> from micrograd_fast import Value, sum
    >>> sum([Value(1.0), 2, Value(3.5)]).data
    6.5
    """
    cdef list terms = list(values)
    cdef size_t i, n = len(terms), n_numbers = 0
    cdef double start
    cdef PyObject *term
    cdef Draft draft
    cdef mg_node total
    if not all_native(terms):
        return as_value(builtins.sum(terms))
    while n_numbers < n and not is_value(list_item(<PyObject *>terms, n_numbers)):
        n_numbers += 1
    numbers = []
    for i in range(n_numbers):
        numbers.append(numeric_term(terms[i], f"term {i} of sum"))
    start = builtins.sum(numbers)
    for i in range(n_numbers, n):
        if not is_value(list_item(<PyObject *>terms, i)):
            terms[i] = require_number(terms[i], f"term {i} of sum")
    draft_begin(&draft, 2 * n + 1)
    total = draft_leaf(&draft, start)
    for i in range(n_numbers, n):
        term = list_item(<PyObject *>terms, i)
        if i == n_numbers:
            # Python starts from the numbers: number + v is v + number.
            total = draft_binary(&draft, MG_ADD, node_of(term), total)
        elif is_value(term):
            total = draft_binary(&draft, MG_ADD, total, node_of(term))
        else:
            total = draft_binary(
                &draft, MG_ADD, total, draft_leaf(&draft, PyFloat_AS_DOUBLE(term))
            )
    if n_numbers == n:
        arena.meta[total].flags &= ~MG_LITERAL  # a Value of its own, not an operand
    return draft_end(&draft, &total, 1)[0]


cdef bint multiplies_plainly(PyObject *a, PyObject *b) noexcept:
    """Whether a product is one node, with a leaf for a number."""
    if Py_TYPE(a) == ValueType:
        return Py_TYPE(b) == ValueType or plain_number(b)
    return plain_number(a) and Py_TYPE(b) == ValueType


def dot(w, x):
    """Sum the products ``w[i] * x[i]`` from left to right.

    Parameters
    ----------
    w, x : iterable of Value or number
        Two sequences of one length.

    Returns
    -------
    Value
        The root of the same graph that ``sum(wi * xi for wi, xi in zip(w, x))`` builds.

    Raises
    ------
    ValueError
        If the lengths differ.
    TypeError
        If an element is neither a Value nor a number.

    Examples
    --------
    >>> from micrograd_fast import Value, dot
    >>> dot([Value(2.0), Value(3.0)], [10, 100]).data
    320.0
    """
    cdef list left = list(w), right = list(x)
    cdef Py_ssize_t i, n = len(left)
    cdef bint plain = formulas_unchanged()
    cdef PyObject *a
    cdef PyObject *b
    if n != len(right):
        raise ValueError(f"dot wants two sequences of one length, found {n} and {len(right)}")
    for i in range(n):
        a = list_item(<PyObject *>left, i)
        b = list_item(<PyObject *>right, i)
        if multiplies_plainly(a, b):
            continue
        plain = False
        for name, operand in (("w", left[i]), ("x", right[i])):
            if not is_value(<PyObject *>operand):
                numeric_term(operand, f"{name}[{i}] of dot")
    if not plain or n == 0:
        return sum(map(operator.mul, left, right))
    return plain_dot(left, right)


cdef object plain_dot(list left, list right):
    cdef Py_ssize_t i, n = len(left)
    cdef PyObject *a
    cdef PyObject *b
    cdef Draft draft
    cdef mg_node total, product, other
    for numbers in (left, right):
        for i in range(n):
            if PyLong_CheckExact(list_item(<PyObject *>numbers, i)):
                (<list>numbers)[i] = PyLong_AsDouble(list_item(<PyObject *>numbers, i))
    draft_begin(&draft, 3 * n + 1)
    total = draft_leaf(&draft, 0.0)
    for i in range(n):
        a = list_item(<PyObject *>left, i)
        b = list_item(<PyObject *>right, i)
        if Py_TYPE(a) != ValueType:
            a, b = b, a
        other = node_of(b) if Py_TYPE(b) == ValueType else draft_leaf(&draft, PyFloat_AS_DOUBLE(b))
        product = draft_binary(&draft, MG_MUL, node_of(a), other)
        if i == 0:
            total = draft_binary(&draft, MG_ADD, product, total)
        else:
            total = draft_binary(&draft, MG_ADD, total, product)
    return draft_end(&draft, &total, 1)[0]


# Losses -------------------------------------------------------------------------------------------


cdef mg_node *node_array(size_t n) except NULL:
    cdef mg_node *nodes = <mg_node *>mg_realloc(NULL, n * sizeof(mg_node))
    if nodes == NULL:
        raise MemoryError(f"no memory for {n} terms of a formula")
    return nodes


def sum_of_squares(predictions, targets):
    """Build ``sum((p - t) ** 2 ...)``, or return None for what is unusual."""
    cdef size_t i, n
    cdef double target
    cdef Draft draft
    cdef mg_node total, difference
    cdef mg_node *terms
    if not all_plain(predictions) or not all_plain_numbers(targets) or not formulas_unchanged():
        return None
    n = len(<list>predictions)
    numbers = []
    for t in <list>targets:
        numbers.append(number_of(<PyObject *>t))
    terms = node_array(n)
    try:
        draft_begin(&draft, 5 * n + 1)
        for i in range(n):
            target = PyFloat_AS_DOUBLE(list_item(<PyObject *>numbers, i))
            # An int has no negative zero: -0 is 0.
            if target != 0.0 or PyFloat_CheckExact(list_item(<PyObject *>targets, i)):
                target = -target
            difference = draft_binary(
                &draft, MG_ADD, item_node(predictions, i), draft_leaf(&draft, target)
            )
            terms[i] = draft_unary(&draft, MG_POW_CONST, difference, 2.0)
        total = draft_sum(&draft, 0.0, terms, n)
    finally:
        mg_free(terms)
    return draft_end(&draft, &total, 1)[0]


def sum_of_hinges(scores, targets):
    """Build ``sum((1 + -t * s).relu() ...)``, or return None for what is unusual.

    A target that is neither -1 nor +1 is unusual.
    """
    cdef size_t i, n
    cdef double target
    cdef Draft draft
    cdef mg_node total, product, margin
    cdef mg_node *terms
    if not all_plain(scores) or not all_plain_numbers(targets) or not formulas_unchanged():
        return None
    n = len(<list>scores)
    for t in <list>targets:
        if t != 1 and t != -1:
            return None
    terms = node_array(n)
    try:
        draft_begin(&draft, 6 * n + 1)
        for i in range(n):
            target = number_of(list_item(<PyObject *>targets, i))
            product = draft_binary(
                &draft, MG_MUL, item_node(scores, i), draft_leaf(&draft, -target)
            )
            margin = draft_binary(&draft, MG_ADD, product, draft_leaf(&draft, 1.0))
            terms[i] = draft_unary(&draft, MG_RELU, margin, 0.0)
        total = draft_sum(&draft, 0.0, terms, n)
    finally:
        mg_free(terms)
    return draft_end(&draft, &total, 1)[0]


cdef mg_node draft_shifted_total(Draft *draft, object logits, mg_node *shifted,
                                 mg_node *exponentials) noexcept:
    """The logits less their maximum, the exponentials of those, and their sum: 4 * n + 3 nodes."""
    cdef Py_ssize_t i, n = len(<list>logits)
    cdef mg_node offset, largest = item_node(logits, 0)
    for i in range(1, n):
        largest = draft_binary(draft, MG_MAXIMUM, largest, item_node(logits, i))
    offset = draft_unary(draft, MG_DETACH, largest, 0.0)
    offset = draft_binary(draft, MG_MUL, offset, draft_leaf(draft, -1.0))
    for i in range(n):
        shifted[i] = draft_binary(draft, MG_ADD, item_node(logits, i), offset)
    for i in range(n):
        exponentials[i] = draft_unary(draft, MG_EXP, shifted[i], 0.0)
    return draft_sum(draft, 0.0, exponentials, n)


def softmax(logits):
    """Build the list of ``exp(x - max) / total``, or return None for what is unusual."""
    cdef size_t i, n
    cdef Draft draft
    cdef mg_node inverse
    cdef mg_node *exponentials
    if not all_plain(logits) or not formulas_unchanged():
        return None
    n = len(<list>logits)
    exponentials = node_array(2 * n)
    try:
        draft_begin(&draft, 5 * n + 4)
        inverse = draft_unary(
            &draft,
            MG_POW_CONST,
            draft_shifted_total(&draft, logits, exponentials + n, exponentials),
            -1.0,
        )
        for i in range(n):
            exponentials[i] = draft_binary(&draft, MG_MUL, exponentials[i], inverse)
        return draft_end(&draft, exponentials, n)
    finally:
        mg_free(exponentials)


def log_softmax(logits):
    """Build the list of ``x - max - log(total)``, or return None for what is unusual."""
    cdef size_t i, n
    cdef Draft draft
    cdef mg_node log_total
    cdef mg_node *shifted
    if not all_plain(logits) or not formulas_unchanged():
        return None
    n = len(<list>logits)
    shifted = node_array(2 * n)
    try:
        draft_begin(&draft, 7 * n + 4)
        log_total = draft_unary(
            &draft, MG_LOG, draft_shifted_total(&draft, logits, shifted, shifted + n), 0.0
        )
        for i in range(n):
            shifted[i] = draft_minus(&draft, shifted[i], log_total)
        return draft_end(&draft, shifted, n)
    finally:
        mg_free(shifted)


def sum_of_cross_entropies(rows, classes):
    """Build ``sum(log(total) - (row[k] - max) ...)``, or return None for what is unusual.

    A class that a row does not have is unusual.
    """
    cdef size_t i, n_rows, widest = 0, n_nodes = 1
    cdef Draft draft
    cdef mg_node total, log_total
    cdef mg_node *terms
    cdef mg_node *shifted
    if type(rows) is not list or not formulas_unchanged() or len(<list>rows) != len(classes):
        return None
    n_rows = len(<list>rows)
    for i in range(n_rows):
        row = (<list>rows)[i]
        k = (<list>classes)[i]
        if not all_plain(row) or type(k) is not int or not 0 <= k < len(<list>row):
            return None
        widest = max(widest, <size_t>len(<list>row))
        n_nodes += 4 * <size_t>len(<list>row) + 8
    terms = node_array(n_rows + 2 * widest)
    shifted = terms + n_rows
    try:
        draft_begin(&draft, n_nodes)
        for i in range(n_rows):
            total = draft_shifted_total(&draft, (<list>rows)[i], shifted, shifted + widest)
            log_total = draft_unary(&draft, MG_LOG, total, 0.0)
            terms[i] = draft_minus(&draft, log_total, shifted[<size_t>(<list>classes)[i]])
        total = draft_sum(&draft, 0.0, terms, n_rows)
    finally:
        mg_free(terms)
    return draft_end(&draft, &total, 1)[0]
