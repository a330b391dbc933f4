# Rows of Values chosen by indices that are Values, so that the choice is part of the graph.
#
# What must stay true: all lists and handles are made before the first node, so that no Python runs
# while there are nodes without a reference.


cdef int want_values(list entries, str name) except -1:
    for entry in entries:
        if not is_value(<PyObject *>entry):
            raise TypeError(f"{name} must be of Values, found {type(entry).__name__}")
    return 0


cdef int check_index(mg_node index, uint32_t n) except -1:
    if mg_place(arena.data[index], n) == n:
        raise_status(MG_INDEX, MG_TAKE, arena.data[index], n)
    return 0


cdef mg_node join_of(list values) except? 0xFFFFFFFF:
    """A new JOIN of some Values, with no reference yet."""
    cdef Py_ssize_t i, n = len(values)
    cdef mg_node join = MG_NO_NODE
    cdef mg_node *nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
    if nodes != NULL:
        for i in range(n):
            nodes[i] = node_of(list_item(<PyObject *>values, i))
        join = mg_arena_join(&arena, nodes, <uint32_t>n)
        mg_free(nodes)
    if join == MG_NO_NODE:
        raise_status(MG_NO_MEMORY, MG_JOIN, 0.0, 0.0)
    return join


cdef int take_column(list column, list indices, list rows, Py_ssize_t place) except -1:
    """Complete the handles at one place of the rows."""
    cdef Py_ssize_t i
    cdef mg_node join = join_of(column), node
    for i in range(len(indices)):
        node = mg_arena_take_one(&arena, join, node_of(list_item(<PyObject *>indices, i)))
        if node == MG_NO_NODE:
            discard_unused(join)
            raise_status(MG_NO_MEMORY, MG_TAKE, 0.0, 0.0)
        handle_attach(list_item(list_item_of(rows, i), place), node)
    return 0


cdef inline PyObject *list_item_of(list rows, Py_ssize_t i) noexcept:
    return list_item(<PyObject *>rows, i)


def take_rows(columns, indices):
    """Choose from each of some columns of Values by each of some indices.

    Parameters
    ----------
    columns : list of list of Value
        Of one length, at least 1.
    indices : list of Value

    Returns
    -------
    list of list of Value
        A row for each index.

    Raises
    ------
    IndexError
        If the data of an index is no place in a column.
    """
    cdef list own_columns = [], own_indices = list(indices), rows = []
    cdef uint32_t n = 0
    cdef Py_ssize_t i, j
    cdef PyTypeObject *kind = ValueType
    for column in columns:
        own = list(column)
        want_values(own, "table")
        own_columns.append(own)
    want_values(own_indices, "index")
    if own_columns and own_columns[0]:
        kind = kind_of(<PyObject *>own_columns[0][0])
    for i in range(len(own_indices)):
        row = []
        for j in range(len(own_columns)):
            row.append(adopt(handle_new(kind)))
        rows.append(row)
    if own_columns:
        n = <uint32_t>len(own_columns[0])
    for own in own_columns:
        if n == 0 or len(own) != n:
            raise ValueError(f"columns must be of one length above 0, found {n} and {len(own)}")
    for index in own_indices:
        check_index(node_of(<PyObject *>index), n)
    if own_indices:
        for j in range(len(own_columns)):
            take_column(own_columns[j], own_indices, rows, j)
    return rows
