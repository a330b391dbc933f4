# What a program is asked for, in one call of the engine or a few. Where a call goes on, what fails
# in a row is what C's arithmetic makes of it, inf or nan, and no error.

cdef int want_one_output(FrozenGraph graph, str method) except -1:
    if graph.is_sequence:
        raise ValueError(
            f"a program must have one output for {method}, found a sequence of"
            f" {graph.program.tape.n_outputs}; jacobian takes any number"
        )
    return 0


cdef object values_of(FrozenGraph graph, object given, bint goes_on):
    """All outputs: a number for one row of a single one, else an array."""
    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    cdef double value
    cdef double *values = &value
    result = None
    mg_batch_clear(&batch)
    batch.goes_on = goes_on
    begin_call(&call, graph)
    read_rows(given, graph.program.tape.n_inputs, &rows)
    try:
        if graph.is_sequence and rows.single:
            result = new_array((graph.program.tape.n_outputs,), False, &values)
        elif graph.is_sequence:
            result = new_array((rows.n_rows, graph.program.tape.n_outputs), False, &values)
        elif not rows.single:
            result = new_array((rows.n_rows,), False, &values)
        batch.values = values
        graph.run(&call, &rows, &batch)
    finally:
        drop_rows(&rows)
    return value if result is None else result


cdef object first_order(FrozenGraph graph, Call *call, Rows *rows, mg_batch *batch, Wrt wrt):
    """Derivatives of one output: an array of them, or one for each row."""
    cdef double *numbers = NULL
    cdef object by_inputs = None, by_parameters = None
    batch.backward = True
    batch.seed = 1.0
    if wrt.by_inputs:
        by_inputs = new_array(shape_of(rows, len(graph.inputs)), False, &numbers)
        batch.input_gradients = numbers
    if wrt.by_parameters:
        by_parameters = new_array(shape_of(rows, len(graph.parameters)), True, &numbers)
        batch.parameter_rows = numbers
    graph.run(call, rows, batch)
    if by_inputs is None or by_parameters is None:
        return wrt.chosen(by_parameters if by_inputs is None else by_inputs)
    import numpy

    return wrt.chosen(numpy.concatenate([by_inputs, by_parameters], axis=-1))


cdef tuple shape_of(Rows *rows, Py_ssize_t n):
    """Of ``n`` numbers for what was given as rows."""
    if rows.single:
        return (n,)
    return (rows.n_rows, n)


cdef object jacobian_of(FrozenGraph graph, object given, Wrt wrt, bint goes_on):
    """Derivatives of all outputs, (rows, outputs, derivatives), without the axes that are none."""
    import numpy

    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    begin_call(&call, graph)
    read_rows(given, graph.program.tape.n_inputs, &rows)
    try:
        result = numpy.empty((rows.n_rows, graph.program.tape.n_outputs, wrt.length))
        for output in range(graph.program.tape.n_outputs):
            mg_batch_clear(&batch)
            batch.output = output
            batch.goes_on = goes_on
            # An axis of rows or, for a single one, none.
            result[:, output] = first_order(graph, &call, &rows, &batch, wrt)
    finally:
        drop_rows(&rows)
    if rows.single:
        result = result[0]
    return result if graph.is_sequence else result[..., 0, :]


cdef object reduced(FrozenGraph graph, object given, object reduction, str method,
                    double *gradients, bint goes_on):
    """The total of a batch; its gradients go into an array, or to the parameters if it is NULL."""
    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    cdef double value = 0.0
    # Made before the parameters have their gradients: from then on nothing may fail.
    cdef object total = PyFloat_FromDouble(0.0)
    cdef double *values = &value
    cdef double *weights = NULL
    cdef Py_ssize_t i
    want_one_output(graph, method)
    mg_batch_clear(&batch)
    batch.goes_on = goes_on
    begin_call(&call, graph)
    read_rows(given, graph.program.tape.n_inputs, &rows)
    try:
        own_weights = row_weights(reduction, rows.n_rows, &batch.seed)
        if own_weights is not None:
            weights = numbers_of(own_weights)
        held = None if rows.n_rows <= 1 else new_array((rows.n_rows,), False, &values)
        batch.values = values
        batch.backward = True
        batch.seeds = weights
        batch.parameter_sums = gradients
        batch.add_to_parameters = gradients == NULL
        graph.run(&call, &rows, &batch)
        for i in range(rows.n_rows):
            (<PyFloatObject *>total).ob_fval += (
                (batch.seed if weights == NULL else weights[i]) * values[i]
            )
    finally:
        drop_rows(&rows)
    return total


cdef object second_order(FrozenGraph graph, object directions, object given, object reduction,
                         Wrt wrt, bint goes_on):
    """Products of the Hessian with some directions: (..., directions, derivatives)."""
    import numpy

    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    cdef mg_directions along
    cdef double *numbers = NULL
    cdef Py_ssize_t n = len(directions)
    cdef Py_ssize_t n_inputs = len(graph.inputs), n_parameters = len(graph.parameters)
    mg_batch_clear(&batch)
    batch.goes_on = goes_on
    memset(&along, 0, sizeof(mg_directions))
    begin_call(&call, graph)
    both = wrt.by_inputs and wrt.by_parameters
    everywhere = wrt.spread(
        directions, (n_inputs if wrt.by_inputs else 0) + (n_parameters if wrt.by_parameters else 0)
    )
    read_rows(given, n_inputs, &rows)
    try:
        weights = row_weights(reduction, rows.n_rows, &batch.seed)
        if wrt.by_inputs:
            # Every row has a Hessian of its own.
            batch.seed = 1.0
        elif weights is not None:
            batch.seeds = numbers_of(weights)
        batch.backward = True
        along.n = n
        products = []
        if wrt.by_inputs:
            by_inputs = numpy.ascontiguousarray(everywhere[:, :n_inputs])
            along.by_inputs = numbers_of(by_inputs)
            products.append(new_array((n, rows.n_rows, n_inputs), True, &numbers))
            along.input_products = numbers
        if wrt.by_parameters:
            by_parameters = numpy.ascontiguousarray(everywhere[:, n_inputs if both else 0:])
            along.by_parameters = numbers_of(by_parameters)
            if both:
                products.append(new_array((n, rows.n_rows, n_parameters), True, &numbers))
            else:
                products.append(new_array((n, n_parameters), True, &numbers))
            along.parameter_products = numbers
        graph.run_along(&call, &rows, &batch, &along)
    finally:
        drop_rows(&rows)
    found = wrt.chosen(products[0] if not both else numpy.concatenate(products, axis=2))
    if not wrt.by_inputs:
        return found
    found = found.swapaxes(0, 1)
    return found[0] if rows.single else found


cdef object along_directions(FrozenGraph graph, object directions, object given, Wrt wrt):
    """Derivatives of all outputs along some directions: (directions, rows, outputs)."""
    import numpy

    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    cdef mg_directions along
    cdef double *numbers = NULL
    cdef Py_ssize_t n = len(directions)
    cdef Py_ssize_t n_inputs = len(graph.inputs), n_parameters = len(graph.parameters)
    mg_batch_clear(&batch)
    memset(&along, 0, sizeof(mg_directions))
    begin_call(&call, graph)
    everywhere = wrt.spread(
        directions, (n_inputs if wrt.by_inputs else 0) + (n_parameters if wrt.by_parameters else 0)
    )
    read_rows(given, n_inputs, &rows)
    try:
        along.n = n
        if wrt.by_inputs:
            by_inputs = numpy.ascontiguousarray(everywhere[:, :n_inputs])
            along.by_inputs = numbers_of(by_inputs)
        if wrt.by_parameters:
            first = n_inputs if wrt.by_inputs else 0
            by_parameters = numpy.ascontiguousarray(everywhere[:, first:])
            along.by_parameters = numbers_of(by_parameters)
        result = new_array((n, rows.n_rows, graph.program.tape.n_outputs), True, &numbers)
        along.output_products = numbers
        graph.run_along(&call, &rows, &batch, &along)
    finally:
        drop_rows(&rows)
    if rows.single:
        result = result[:, 0]
    return result if graph.is_sequence else result[..., 0]


cdef FrozenGraph weighted_graph(FrozenGraph graph):
    """The graph of the sum of the outputs, each times a weight: inputs after the others."""
    cdef mg_tape tape
    cdef FrozenGraph weighted
    if graph.weighted is None:
        if mg_tape_weighted(&graph.program.tape, &tape) != MG_OK:
            raise no_memory("the sum of a program's outputs")
        # What its inputs stand for is nobody's.
        weighted = new_graph(
            &tape, graph.parameters, graph.inputs + (None,) * graph.program.tape.n_outputs, False,
            graph.program.arithmetic,
        )
        weighted.functions = graph.functions
        graph.weighted = weighted
    return graph.weighted


cdef Wrt among_weighted(FrozenGraph graph, Wrt wrt):
    """The same derivatives, of the weighted graph."""
    cdef Wrt other = Wrt.__new__(Wrt)
    cdef Py_ssize_t n_inputs = len(graph.inputs), n_weights = graph.program.tape.n_outputs
    other.by_inputs, other.by_parameters = wrt.by_inputs, wrt.by_parameters
    other.length, other.kind = wrt.length, wrt.kind
    if not wrt.by_inputs:
        other.places = wrt.places
        return other
    places = []
    for place in range(n_inputs) if wrt.places is None else wrt.places:
        places.append(place if place < n_inputs else place + n_weights)
    other.places = places
    return other


cdef object from_cotangents(FrozenGraph graph, object cotangents, object given, Wrt wrt):
    """The derivatives of the outputs, each times a number of its own, added up: one way back.

    The numbers are of shape (outputs,), or (rows, outputs).
    """
    import numpy

    cdef Rows rows
    cdef Call call
    cdef mg_batch batch
    cdef Py_ssize_t n_inputs = len(graph.inputs), n_outputs = graph.program.tape.n_outputs
    cdef FrozenGraph weighted = weighted_graph(graph)
    by = among_weighted(graph, wrt)
    numbers = as_numbers(given, "rows")
    single = numbers.ndim == 1
    n_rows = 1 if single else len(numbers)
    # Rows of another shape are refused as everywhere; what was given is not asked again.
    read_rows(numbers, n_inputs, &rows)
    drop_rows(&rows)
    if cotangents.shape != (n_rows, n_outputs) and cotangents.shape != (n_outputs,):
        raise ValueError(
            f"cotangents must be of shape ({n_outputs},), a number for each output, or"
            f" {(n_rows, n_outputs)}, found {describe_shape(cotangents.shape)}"
        )
    both = numpy.empty((n_rows, n_inputs + n_outputs))
    both[:, :n_inputs] = numbers
    both[:, n_inputs:] = cotangents
    begin_call(&call, weighted)
    mg_batch_clear(&batch)
    read_rows(both[0] if single else both, n_inputs + n_outputs, &rows)
    try:
        return first_order(weighted, &call, &rows, &batch, by)
    finally:
        drop_rows(&rows)
