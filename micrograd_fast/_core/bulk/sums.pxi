# Sums of Values and products of sequences: one loop, and a handle for the result alone.
#
# The graph is the one that Python's operators build. Where an operand has operators of its own,
# they are called.


cdef bint all_native(list terms) except -1:
    for term in terms:
        if is_value(<PyObject *>term) and not (
            adds_natively(<PyObject *>term) and multiplies_natively(<PyObject *>term)
        ):
            return False
    return True


cdef object as_value(object result):
    return result if is_value(<PyObject *>result) else (<object>ValueType)(result)


cdef double sum_of_numbers(list numbers) except? -1.0:
    """Python's sum, in whatever arithmetic the numbers bring with them."""
    try:
        return require_number(builtins.sum(numbers), "the sum of the first terms")
    except TypeError:
        for i, number in enumerate(numbers):
            require_number(number, f"term {i} of sum")
        raise


cdef object value_of_sum(PyObject *handle, mg_node total):
    """Complete a handle that was made for a sum; MG_NO_NODE says that memory ran out."""
    if total == MG_NO_NODE:
        Py_DECREF(handle)
        raise_status(MG_NO_MEMORY, MG_ADD, 0.0, 0.0)
    return adopt(with_handle(handle, total))


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
    cdef Py_ssize_t i, n = len(terms), n_numbers = 0
    cdef double start = 0.0
    cdef PyObject *term
    cdef PyObject *handle
    cdef mg_node total, node
    if not all_native(terms):
        return as_value(builtins.sum(terms))
    while n_numbers < n and not is_value(list_item(<PyObject *>terms, n_numbers)):
        n_numbers += 1
    if n_numbers > 0:
        start = sum_of_numbers(terms[:n_numbers])
    if n_numbers == n:
        return (<object>ValueType)(start)
    for i in range(n_numbers, n):
        if not is_value(list_item(<PyObject *>terms, i)):
            terms[i] = require_number(terms[i], f"term {i} of sum")
    handle = handle_new(kind_of(list_item(<PyObject *>terms, n_numbers)))
    total = mg_arena_literal(&arena, start)
    for i in range(n_numbers, n):
        term = list_item(<PyObject *>terms, i)
        if is_value(term):
            node = node_of(term)
        else:
            node = mg_arena_literal(&arena, PyFloat_AS_DOUBLE(term))
        # Python starts from the numbers: number + v is v + number.
        total = mg_sum_step(&arena, total, node, i == n_numbers)
        if total == MG_NO_NODE:
            break
    return value_of_sum(handle, total)


def add_up(values):
    """Python's sum, done here where it can be."""
    for value in values:
        if not is_value(<PyObject *>value):
            return builtins.sum(values)
    return sum(values)


cdef inline bint plain_number(PyObject *number) noexcept:
    return PyFloat_CheckExact(number) or PyLong_CheckExact(number)


cdef inline bint calculates_plainly(PyObject *value) noexcept:
    """Whether it is a Value of a plain type with the operators that it was made with."""
    return is_plain_type(Py_TYPE(value)) and adds_natively(value) and multiplies_natively(value)


cdef bint multiplies_plainly(PyObject *a, PyObject *b) noexcept:
    """Whether a product is one node, with a leaf for a number."""
    if calculates_plainly(a):
        return plain_number(b) or calculates_plainly(b)
    return plain_number(a) and calculates_plainly(b)


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
    # Lists of the caller's are not copied: no Python runs while they are gone through.
    cdef list left = w if type(w) is list else list(w)
    cdef list right = x if type(x) is list else list(x)
    cdef Py_ssize_t n = len(left)
    if n != len(right):
        raise ValueError(f"w and x of dot must have one length, found {n} and {len(right)}")
    cdef Py_ssize_t n_numbers = count_plain_numbers(left, right, n)
    if n_numbers >= 0:
        return plain_dot(left, right, n, n_numbers)
    left, right = list(left), list(right)
    try:
        return sum(map(operator.mul, left, right))
    except TypeError:
        for name, operands in (("w", left), ("x", right)):
            for i in range(n):
                if not is_value(<PyObject *>operands[i]):
                    require_number(operands[i], f"{name}[{i}] of dot")
        raise


def dot_if_plain(w, x):
    """`dot` of two lists or tuples of one length, if every product is one of a Value of a plain
    type and another or a number; None for anything else, of which nothing has been touched."""
    cdef list left, right
    if type(w) not in (list, tuple) or type(x) not in (list, tuple) or len(w) != len(x):
        return None
    left = w if type(w) is list else list(w)
    right = x if type(x) is list else list(x)
    cdef Py_ssize_t n = len(left)
    cdef Py_ssize_t n_numbers = count_plain_numbers(left, right, n)
    return plain_dot(left, right, n, n_numbers) if n_numbers >= 0 else None


cdef Py_ssize_t count_plain_numbers(list left, list right, Py_ssize_t n) except -2:
    """How many factors become leaves, or -1 where there is no product, or one that is not plain.
    OverflowError for an int that is no double."""
    cdef Py_ssize_t i, n_numbers = 0
    cdef PyTypeObject *known = NULL  # a type that was found to calculate plainly
    cdef PyObject *a
    cdef PyObject *b
    for i in range(n):
        a = list_item(<PyObject *>left, i)
        b = list_item(<PyObject *>right, i)
        if Py_TYPE(a) == known and Py_TYPE(b) == known:
            continue
        if not multiplies_plainly(a, b):
            return -1
        known = Py_TYPE(b if plain_number(a) else a)
        n_numbers += plain_number(a) + plain_number(b)
        if PyLong_CheckExact(a):
            PyLong_AsDouble(a)
        if PyLong_CheckExact(b):
            PyLong_AsDouble(b)
    return n_numbers if n > 0 else -1


cdef inline double plain_double(PyObject *number) noexcept:
    """The number of a float, or of an int that is known to be a double."""
    if PyFloat_CheckExact(number):
        return PyFloat_AS_DOUBLE(number)
    return <double>PyLong_AsDouble(number)


cdef enum:
    PAIRS_AT_A_TIME = 64  # that go to C together


cdef object plain_dot(list left, list right, Py_ssize_t n, Py_ssize_t n_numbers):
    cdef Py_ssize_t i, n_pairs = 0
    cdef PyObject *a = list_item(<PyObject *>left, 0)
    cdef PyObject *b
    cdef PyObject *handle
    cdef mg_node total
    cdef mg_operands pairs[PAIRS_AT_A_TIME]
    cdef bint is_first = True
    # A leaf for each number, a product and a sum for each pair, and the 0.0.
    cdef Py_ssize_t n_nodes = n_numbers + 2 * n + 1
    handle = handle_new(kind_of(list_item(<PyObject *>right, 0) if plain_number(a) else a))
    if n_nodes > MG_NO_NODE or mg_arena_promise(&arena, <mg_node>n_nodes) != MG_OK:
        return value_of_sum(handle, MG_NO_NODE)
    total = mg_arena_literal(&arena, 0.0)
    arena.meta[total].refs = 1
    for i in range(n):
        a = list_item(<PyObject *>left, i)
        b = list_item(<PyObject *>right, i)
        if n_numbers > 0 and plain_number(a):
            a, b = b, a
        pairs[n_pairs].a = node_of(a)
        if n_numbers > 0 and plain_number(b):
            pairs[n_pairs].b = mg_arena_literal(&arena, plain_double(b))
        else:
            pairs[n_pairs].b = node_of(b)
        n_pairs += 1
        if n_pairs == PAIRS_AT_A_TIME or i == n - 1:
            total = mg_arena_add_products(&arena, total, pairs, <mg_node>n_pairs, is_first)
            is_first = False
            n_pairs = 0
    arena.meta[total].refs = 0
    return value_of_sum(handle, total)
