# Derivatives as sparse matrices: planned by the engine, computed in a product for each colour, and
# put together by `_sparse.py`, where SciPy is.

cdef object numbers_of_plan(const uint32_t *numbers, size_t n):
    """Some of a plan's numbers as an array."""
    import numpy

    array = numpy.empty(n, "uint32")
    if n:
        memcpy(address_of(array), numbers, n * sizeof(uint32_t))
    return array.astype("int32")


cdef object columns_of(object places, object chosen, Py_ssize_t n):
    """The column of each of n leaves, of which `places` are `chosen` columns."""
    import numpy

    columns = numpy.full(n + 1, MG_NO_COLUMN, "uint32")
    columns[places] = chosen
    return columns


cdef tuple make_plan(FrozenGraph graph, Wrt wrt, bint second):
    """Whether rows are coloured, not columns; how many colours there are; the colour of each; the
    matrix's row starts and column indices; and each entry's product and place in it."""
    import numpy

    cdef mg_columns columns
    cdef mg_sparse_plan plan
    cdef mg_status st
    cdef Py_ssize_t n_inputs = len(graph.inputs)
    numbers = numpy.arange(wrt.length)
    places = numbers if wrt.places is None else numpy.array(wrt.places, "intp")
    if not wrt.by_inputs:
        places = places + n_inputs
    is_input = places < n_inputs
    of_inputs = columns_of(places[is_input], numbers[is_input], n_inputs)
    of_parameters = columns_of(
        places[~is_input] - n_inputs, numbers[~is_input], len(graph.parameters)
    )
    columns.of_inputs = <const uint32_t *>address_of(of_inputs)
    columns.of_parameters = <const uint32_t *>address_of(of_parameters)
    columns.n = <uint32_t>wrt.length
    if second:
        st = mg_plan_hessian(&graph.program.tape, columns, &plan)
    else:
        st = mg_plan_jacobian(&graph.program.tape, columns, &plan)
    if st != MG_OK:
        raise no_memory("the pattern of a derivative")
    try:
        return (
            bool(plan.by_rows), plan.n_colours, numbers_of_plan(plan.groups, plan.n_groups),
            numbers_of_plan(plan.starts, plan.n_rows + 1), numbers_of_plan(plan.indices, plan.n),
            numbers_of_plan(plan.colours, plan.n), numbers_of_plan(plan.places, plan.n),
        )
    finally:
        mg_sparse_plan_free(&plan)


cdef enum:
    MOST_SPARSE_PLANS = 16


cdef tuple plan_of(FrozenGraph graph, Wrt wrt, bint second):
    """The plan for a derivative, made when it is first asked for."""
    key = (second, wrt.by_inputs, wrt.by_parameters,
           None if wrt.places is None else tuple(wrt.places))
    plan = graph.sparse_plans.get(key)
    if plan is None:
        plan = make_plan(graph, wrt, second)
        if len(graph.sparse_plans) >= MOST_SPARSE_PLANS:
            graph.sparse_plans.clear()
        graph.sparse_plans[key] = plan
    return plan


cdef object sparse_jacobian(FrozenGraph graph, object given, Wrt wrt):
    import numpy

    from micrograd_fast import _sparse

    plan = plan_of(graph, wrt, False)
    vectors = _sparse.sums_of_unit_vectors(plan)
    if plan[0]:
        products, rows = [], as_numbers(given, "rows")
        for cotangents in vectors:
            products.append(from_cotangents(graph, cotangents, rows, wrt))
        found = numpy.stack(products)
    else:
        found = along_directions(graph, vectors, given, wrt)
        if not graph.is_sequence:
            found = found[..., None]
    if found.ndim == 3:
        found = found.swapaxes(0, 1)
    return _sparse.matrices(plan, found, (graph.program.tape.n_outputs, wrt.length))


cdef object sparse_hessian(FrozenGraph graph, object given, object reduction, Wrt wrt):
    from micrograd_fast import _sparse

    plan = plan_of(graph, wrt, True)
    vectors = _sparse.sums_of_unit_vectors(plan)
    products = second_order(graph, vectors, given, reduction, wrt, False)
    return _sparse.matrices(plan, products, (wrt.length, wrt.length))
