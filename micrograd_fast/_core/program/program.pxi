# Programs, as users have them.

#: What the file of a saved program says that it is.
PROGRAM_FORMAT = "micrograd_fast program 2"


cdef FrozenGraph graph_of(Program self):
    if self.graph is None:
        raise RuntimeError("this program is still being made")
    return self.graph


cdef class Program:
    """A graph frozen into a program; made by `compile`.

    A call computes what the graph would, for one row of inputs or for many, and reads the
    parameters anew. Every derivative takes ``wrt``, by what to differentiate: ``"inputs"``, as it
    is without it, ``"parameters"``, or a sequence of these Values, in an order of its own.
    `parameter_grads` and `value_and_parameter_grad` are shorthands for derivatives by all
    parameters, row by row and of the reduced total.

    A program may be subclassed. What a subclass's ``__new__`` is given is for ``super().__new__``
    alone, which returns a program that is complete.

    Attributes
    ----------
    inputs, parameters : tuple of Value
    input_names, parameter_names : tuple of str
    n_inputs, n_parameters, n_outputs : int
    is_sequence, fast : bool
    dtype : {"float64", "float32"}
    frozen_reads : list of str

    See Also
    --------
    compile, jit : How programs are made.
    load_program : The way back from `save`.

    Examples
    --------
    >>> from micrograd_fast import Value, compile
    >>> x, w = Value(0.0), Value(3.0)
    >>> program = compile(w * x * x, [x])
    >>> program
    <Program of 1 inputs, 1 parameters: 4 nodes>
    >>> rows = [[1.0], [2.0]]
    >>> program(rows).tolist()
    [3.0, 12.0]
    >>> values, grads = program.value_and_grad(rows)
    >>> grads.tolist()
    [[6.0], [12.0]]
    >>> program.parameter_grads(rows).tolist()
    [[1.0], [4.0]]
    >>> total, gradient = program.value_and_parameter_grad(rows, reduction="sum")
    >>> total, gradient.tolist()
    (15.0, [5.0])
    >>> program.backward(rows), w.grad
    (7.5, 2.5)
    >>> program.jacobian(rows, wrt=[w, x]).tolist()
    [[1.0, 6.0], [4.0, 12.0]]
    >>> program.stats()["steps"]
    2
    """

    cdef FrozenGraph graph
    cdef list reads
    cdef dict __dict__
    cdef object __weakref__

    def __cinit__(self, *made):
        if len(made) != 1 or type(made[0]) is not FrozenGraph:
            raise TypeError("programs are made by micrograd_fast.compile")
        if (<FrozenGraph>made[0]).program == NULL:
            raise TypeError("programs are made by micrograd_fast.compile")
        self.reads = []
        self.graph = made[0]

    def __repr__(self):
        return describe_graph(graph_of(self))

    @property
    def parameters(self):
        """The leaves that are not inputs, in the order that `compile` was given or, where it was
        given none, that of the graph, operands first."""
        return graph_of(self).parameters

    @property
    def inputs(self):
        """The Values that rows have numbers for; new ones where the program was loaded."""
        return graph_of(self).inputs

    @property
    def input_names(self):
        """The names that `compile` was given or, where it was given none, the labels that the
        inputs had, and their places, such as "inputs[0]", where they had none. Saved."""
        return graph_of(self).input_names

    @property
    def parameter_names(self):
        """The same for the parameters."""
        return graph_of(self).parameter_names

    @property
    def n_parameters(self):
        """The number of parameters."""
        return graph_of(self).program.tape.n_parameters

    @property
    def n_inputs(self):
        """The length of a row."""
        return graph_of(self).program.tape.n_inputs

    @property
    def n_outputs(self):
        """The number of outputs."""
        return graph_of(self).program.tape.n_outputs

    @property
    def is_sequence(self):
        """Whether it was made of a sequence of outputs, so that results have an axis for them."""
        return bool(graph_of(self).is_sequence)

    @property
    def fast(self):
        """Whether it may round otherwise than the graph; see `compile`."""
        return graph_of(self).program.arithmetic != MG_EXACT_ARITHMETIC

    @property
    def dtype(self):
        """What sums of products are computed in: "float64" or "float32"."""
        single = graph_of(self).program.arithmetic == MG_SINGLE_ARITHMETIC
        return "float32" if single else "float64"

    @property
    def frozen_reads(self):
        """Where a traced function read the data of a Value, as ``file:line``; see `jit`. What it
        decided by that is frozen. Not saved."""
        return self.reads

    def __call__(self, rows=()):
        """Compute the outputs.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)

        Returns
        -------
        float or numpy.ndarray of float64
            A number for one row, shape (batch,) for many; with a last axis of length n_outputs
            where the program was made of a sequence.

        Raises
        ------
        ValueError
            For rows of another shape.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.
        """
        return values_of(graph_of(self), rows, False)

    def value_and_grad(self, rows=(), wrt="inputs"):
        """Compute the output and its derivatives.

        Nothing in the graph is touched.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)
        wrt : {"inputs", "parameters"} or sequence of Value, optional
            What to differentiate by: all inputs, all parameters, or these.

        Returns
        -------
        values : float, or numpy.ndarray of shape (batch,)
        grads : numpy.ndarray of shape (n,) or (batch, n)
            For n Values to differentiate by: n_inputs, n_parameters or those of `wrt`.

        Raises
        ------
        ValueError
            For rows of another shape, a program of a sequence of outputs or without inputs, or a
            Value in `wrt` that is none of the program's or there twice.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> x, w = Value(0.0), Value(3.0)
        >>> value, grads = compile(w * x * x, [x]).value_and_grad([2.0])
        >>> value, grads.tolist()
        (12.0, [12.0])
        """
        cdef Rows where
        cdef Call call
        cdef mg_batch batch
        cdef double value
        cdef double *values = &value
        cdef FrozenGraph graph = graph_of(self)
        result = None
        want_one_output(graph, "value_and_grad")
        by = wrt_of(graph, wrt, "value_and_grad")
        mg_batch_clear(&batch)
        begin_call(&call, graph)
        read_rows(rows, graph.program.tape.n_inputs, &where)
        try:
            if not where.single:
                result = new_array((where.n_rows,), False, &values)
            batch.values = values
            gradients = first_order(graph, &call, &where, &batch, by)
        finally:
            drop_rows(&where)
        if result is None:
            return value, gradients
        return result, gradients

    def jacobian(self, rows=(), wrt="inputs", sparse=False):
        """Compute the derivatives of every output.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)
        wrt : {"inputs", "parameters"} or sequence of Value, optional
            As for `value_and_grad`.
        sparse : bool, optional
            Compute only what can be other than 0: the pattern is found in the graph, and columns
            or rows that do not meet are computed together, after Curtis, Powell and Reid, "On the
            Estimation of Sparse Jacobian Matrices" (1974). Needs SciPy.

        Returns
        -------
        numpy.ndarray
            Shape (batch, n_outputs, n) for n Values to differentiate by, without the first axis
            for one row and without the second where the program was not made of a sequence.
        scipy.sparse.csr_array
            With `sparse`, of shape (n_outputs, n), whose entries may round otherwise; for a batch
            a list of these.

        Raises
        ------
        ValueError
            For rows of another shape, a program without inputs, or a Value in `wrt` that is none
            of the program's or there twice.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.
        ImportError
            For `sparse` without SciPy.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> x, w = Value(0.0), Value(3.0)
        >>> program = compile([w * x, w + x], [x])
        >>> program.jacobian([2.0]).tolist()
        [[3.0], [1.0]]
        >>> program.jacobian([2.0], wrt="parameters").tolist()
        [[2.0], [1.0]]
        """
        cdef FrozenGraph graph = graph_of(self)
        by = wrt_of(graph, wrt, "jacobian")
        if sparse:
            return sparse_jacobian(graph, rows, by)
        return jacobian_of(graph, rows, by, False)

    def jvp(self, tangents, rows=(), wrt="inputs"):
        """Compute the derivatives of all outputs along a direction: the Jacobian times a vector.

        One way forward through the graph, however many outputs there are.

        Parameters
        ----------
        tangents : array_like of shape (n,)
            A number for each of the Values to differentiate by; the same for every row.
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)
        wrt : {"inputs", "parameters"} or sequence of Value, optional
            As for `value_and_grad`.

        Returns
        -------
        float or numpy.ndarray
            In the shape of what the program returns.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `jacobian`, and for tangents of another shape. A slope by what does not move need
            not exist.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> x, w = Value(0.0), Value(3.0)
        >>> program = compile([w * x, w + x * x], [x])
        >>> program.jvp([1.0], [2.0]).tolist()
        [3.0, 4.0]
        >>> program.jvp([10.0, 1.0], [2.0], wrt=[w, x]).tolist()
        [23.0, 14.0]
        """
        cdef FrozenGraph graph = graph_of(self)
        by = wrt_of(graph, wrt, "jvp")
        direction = as_numbers(tangents, "tangents")
        if direction.shape != (by.length,):
            raise ValueError(
                f"tangents must be of shape ({by.length},), a number for each of the {by.kind},"
                f" found {describe_shape(direction.shape)}"
            )
        result = along_directions(graph, direction[None], rows, by)[0]
        return result if result.shape else float(result)

    def vjp(self, cotangents, rows=(), wrt="inputs"):
        """Compute the derivatives of the outputs times a number each: a vector times the Jacobian.

        One way back through the graph, however many outputs there are. What that takes is made at
        the first call.

        Parameters
        ----------
        cotangents : array_like of shape (n_outputs,) or (batch, n_outputs)
            The numbers, for all rows or for each. Where the program was not made of a sequence, a
            number, or one for each row.
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)
        wrt : {"inputs", "parameters"} or sequence of Value, optional
            As for `value_and_grad`.

        Returns
        -------
        numpy.ndarray
            Shape (n,) or (batch, n) for n Values to differentiate by.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `jacobian`, and for cotangents of another shape.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> x, w = Value(0.0), Value(3.0)
        >>> program = compile([w * x, w + x * x], [x])
        >>> program.vjp([1.0, 10.0], [2.0], wrt=[w, x]).tolist()
        [12.0, 43.0]
        """
        cdef FrozenGraph graph = graph_of(self)
        by = wrt_of(graph, wrt, "vjp")
        numbers = as_numbers(cotangents, "cotangents")
        return from_cotangents(
            graph, numbers if graph.is_sequence else numbers[..., None], rows, by
        )

    def backward(self, rows=(), reduction="mean"):
        """Add the gradients of all rows to the ``grad`` of the parameters.

        What comes out is what the graph would give if the rows were built and propagated one
        after the other, each from the gradient that the reduction gives it.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)
        reduction : {"mean", "sum"} or array_like of shape (batch,), optional
            The weight of each row: 1 / batch, 1, or as given.

        Returns
        -------
        float
            The sum of weight times value, in the order of the rows.

        Raises
        ------
        ValueError
            For rows or weights of another shape, an unknown reduction, or a program of a
            sequence of outputs.
        TypeError
            For rows or weights that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row; no gradient has
            been touched then.
        """
        return reduced(graph_of(self), rows, reduction, "backward", NULL, False)

    def value_and_parameter_grad(self, rows=(), reduction="mean"):
        """Compute what `backward` computes, without touching the parameters.

        Shorthand for the total and its derivatives by all parameters.

        Parameters
        ----------
        rows, reduction
            As for `backward`.

        Returns
        -------
        total : float
        grad : numpy.ndarray of shape (n_parameters,)
            In the order of `parameters`.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `backward`.
        """
        cdef double *gradients = NULL
        cdef FrozenGraph graph = graph_of(self)
        result = new_array((len(graph.parameters),), True, &gradients)
        return reduced(graph, rows, reduction, "value_and_parameter_grad", gradients, False), result

    def parameter_grads(self, rows=()):
        """Compute the derivatives by the parameters, row by row.

        Shorthand for the second of what ``value_and_grad(rows, wrt="parameters")`` returns.
        Nothing in the graph is touched.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)

        Returns
        -------
        numpy.ndarray of shape (n_parameters,) or (batch, n_parameters)
            In the order of `parameters`.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `value_and_grad`.
        """
        want_one_output(graph_of(self), "parameter_grads")
        return Program.value_and_grad(self, rows, "parameters")[1]

    def hvp(self, vector, rows=(), reduction="mean", wrt="inputs"):
        """Multiply the Hessian of the output by a vector, without making the Hessian.

        Nothing in the graph is touched. Forward-over-reverse differentiation; see Pearlmutter,
        "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).

        Parameters
        ----------
        vector : array_like of shape (n,)
            As long as there are Values to differentiate by.
        rows : array_like of shape (n_inputs,) or (batch, n_inputs), optional
        reduction : {"mean", "sum"} or array_like of shape (batch,), optional
            As for `backward`. Every row has a Hessian of its own as soon as one of the Values is
            an input, and this does not matter then.
        wrt : {"inputs", "parameters"} or sequence of Value, optional
            As for `value_and_grad`.

        Returns
        -------
        numpy.ndarray
            Shape (n,), or (batch, n) where every row has a Hessian of its own.

        Raises
        ------
        ValueError
            For shapes that do not fit, a program of a sequence of outputs or without inputs, or a
            Value in `wrt` that is none of the program's or there twice.
        TypeError
            For what is not real numbers.
        ArithmeticError, ValueError
            Where a value or derivative does not exist, with the number of the first such row.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> compile(a * a * b).hvp([1.0, 0.0], wrt="parameters").tolist()
        [6.0, 4.0]
        """
        cdef FrozenGraph graph = graph_of(self)
        want_one_output(graph, "hvp")
        by = wrt_of(graph, wrt, "hvp")
        direction = as_numbers(vector, "vector")
        if direction.shape != (by.length,):
            raise ValueError(
                f"vector must be of shape ({by.length},), a number for each of the {by.kind},"
                f" found {describe_shape(direction.shape)}"
            )
        return second_order(graph, direction[None], rows, reduction, by, False)[..., 0, :]

    def hessian(self, rows=(), reduction="mean", wrt="inputs", sparse=False):
        """Compute the Hessian of the output.

        Parameters
        ----------
        rows, reduction, wrt
            As for `hvp`.
        sparse : bool, optional
            Compute only what can be other than 0: pairs of Values that meet in a product or in
            an operation that is not linear, found in the graph, in as few products with the
            Hessian as a star colouring needs (Coleman and More, "Estimation of Sparse Hessian
            Matrices and Graph Coloring Problems", 1984). Needs SciPy.

        Returns
        -------
        numpy.ndarray
            Shape (n, n) for n Values to differentiate by, or (batch, n, n) where every row has a
            Hessian of its own.
        scipy.sparse.csr_array
            With `sparse`, of shape (n, n); where every row has one of its own, a list of these.

        Raises
        ------
        ValueError, TypeError, ArithmeticError
            As `hvp`.
        ImportError
            For `sparse` without SciPy.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> compile(a * a * b, [a, b]).hessian([2.0, 3.0]).tolist()
        [[6.0, 4.0], [4.0, 0.0]]
        >>> compile(a * a + b, [a, b]).hessian([2.0, 3.0], sparse=True).nnz
        1
        """
        import numpy

        cdef FrozenGraph graph = graph_of(self)
        want_one_output(graph, "hessian")
        by = wrt_of(graph, wrt, "hessian")
        if sparse:
            return sparse_hessian(graph, rows, reduction, by)
        return second_order(graph, numpy.eye(by.length), rows, reduction, by, False)

    def get_parameters(self):
        """Read what all parameters hold.

        Returns
        -------
        numpy.ndarray of shape (n_parameters,)
            In the order of `parameters`.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> program = compile(b - a, parameters=[a, b])
        >>> program.get_parameters().tolist()
        [2.0, 3.0]
        >>> program.set_parameters([5.0, 7.0])
        >>> program(), a.data
        (2.0, 5.0)
        """
        return parameter_vector(graph_of(self))

    def set_parameters(self, vector):
        """Assign numbers to the data of all parameters or, on an error, of none.

        Parameters
        ----------
        vector : array_like of shape (n_parameters,)
            In the order of `parameters`.

        Raises
        ------
        ValueError
            For another shape.
        TypeError
            For what is not real numbers.
        """
        assign_parameters(graph_of(self), vector, False)

    def set_grad(self, vector):
        """Assign numbers to the gradients of all parameters or, on an error, of none.

        Parameters
        ----------
        vector : array_like of shape (n_parameters,)
            In the order of `parameters`.

        Raises
        ------
        ValueError, TypeError
            As `set_parameters`.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> a, b = Value(2.0), Value(3.0)
        >>> program = compile(b * a, parameters=[a, b])
        >>> program.set_grad(program.value_and_parameter_grad()[1])
        >>> a.grad, b.grad
        (3.0, 2.0)
        """
        assign_parameters(graph_of(self), vector, True)

    def fun(self, parameters=None, rows=(), reduction="mean", on_error="continue"):
        """Make a function of the parameters' numbers, as `scipy.optimize.minimize` wants it.

        Parameters
        ----------
        parameters : sequence of Value, optional
            Which of the program's parameters the numbers are for; all, in the order of
            `parameters`, if not given.
        rows, reduction
            As for `backward`.
        on_error : {"continue", "raise"}, optional
            What to do where the graph would raise: give what NumPy's arithmetic would, an
            infinite or no number with a gradient like that, so that a search turns back; or
            raise, with the parameters as they were before.

        Returns
        -------
        Objective
            Assigns its argument to the data of the parameters and returns the total and its
            gradient, an array as long as its argument. Its `hess` and `hessp` are the second
            derivatives. No ``grad`` is touched.

        Raises
        ------
        TypeError
            If `parameters` is no sequence.
        ValueError
            If one of the Values is not a parameter of the program or is given twice, the
            program is of a sequence of outputs, or `on_error` is neither.

        Notes
        -----
        Numbers to start from are `get_parameters`. Where `compile` was given no parameters, they
        are in the order of the graph, which need not be that in which they were made.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> w = Value(0.0)
        >>> fun = compile((w - 3.0) ** 2).fun([w])
        >>> value, gradient = fun([1.0])
        >>> value, gradient.tolist(), fun.hess([1.0]).tolist()
        (4.0, [-4.0], [[2.0]])
        """
        cdef FrozenGraph graph = graph_of(self)
        want_one_output(graph, "fun")
        return Objective(graph, parameters, rows, reduction, on_error)

    def residuals(self, parameters=None, rows=(), on_error="continue"):
        """Make a function of the parameters' numbers for `scipy.optimize.least_squares`.

        Parameters
        ----------
        parameters, rows, on_error
            As for `fun`.

        Returns
        -------
        Residuals
            Assigns its argument to the data of the parameters and returns the outputs of all
            rows, row by row, as one array. Its `jac` is the Jacobian.

        Raises
        ------
        TypeError, ValueError
            As `fun`; a program may be of a sequence of outputs.

        Examples
        --------
        >>> from micrograd_fast import Value, compile
        >>> x, y, slope, offset = (Value(0.0) for _ in range(4))
        >>> error = compile(slope * x + offset - y, [x, y], parameters=[slope, offset])
        >>> residuals = error.residuals(rows=[[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])
        >>> residuals([2.0, 0.0]).tolist()
        [-1.0, -1.0, -1.0]
        >>> residuals.jac([2.0, 0.0]).tolist()
        [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
        """
        return Residuals(graph_of(self), parameters, rows, on_error)

    def save(self, path):
        """Write the program to a file: a NumPy archive (``.npz``) of its columns.

        Parameters
        ----------
        path : str or os.PathLike
            Where to. Nothing is appended to the name.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError
            If two custom operations of the program have one name: the file has their names alone.

        See Also
        --------
        load_program : The way back, which says what is in the file.
        """
        import os

        import numpy

        columns = {}
        # As bytes: NumPy's text ends before a 0, and is as long everywhere as the longest.
        names = []
        for name in (*graph_of(self).input_names, *graph_of(self).parameter_names):
            names.append(name.encode("utf-8", "surrogatepass"))
        columns["names"] = numpy.frombuffer(b"".join(names), "B")
        columns["name_lengths"] = numpy.array(list(map(len, names)), "I")
        names = []
        for name in names_to_save(graph_of(self).functions):
            names.append(name.encode("utf-8", "surrogatepass"))
        if names:
            columns["function_names"] = numpy.frombuffer(b"".join(names), "B")
            columns["function_name_lengths"] = numpy.array(list(map(len, names)), "I")
        for name, column in self.tape().items():
            if name in ("input_names", "parameter_names", "function_names"):
                continue
            code = "I" if name in ("outputs", "candidates") else TAPE_COLUMNS.get(name)
            columns[name] = numpy.frombuffer(column, code) if code else numpy.array(column)
        data = []
        for p in graph_of(self).parameters:
            data.append(p.data)
        columns["data"] = numpy.array(data, dtype="f8")
        columns["format"] = numpy.array(PROGRAM_FORMAT)
        # A number would be taken for an open file's.
        with open(os.fspath(path), "wb") as file:
            numpy.savez(file, **columns)

    def tape(self):
        """List the recorded graph: what a program is saved as and made from again.

        Returns
        -------
        dict
            ``operations``, the names that ``op`` counts in; for each entry of the graph ``op``
            (uint8), ``kind`` of leaf (uint8: 0 a constant, 1 an input, 2 a parameter), operands
            ``a`` and ``b`` (uint32; the number of an input or parameter in ``a``), immediates
            ``k`` and ``h`` (float64; a constant in ``k``), as bytes in native order;
            ``candidates`` (uint32), of which a "join" has ``b`` from the one numbered ``a`` on,
            for a "take" to choose from; ``outputs`` (uint32); ``n_inputs``; ``is_sequence``;
            ``fast``; ``dtype``; ``input_names``, ``parameter_names`` and ``function_names``,
            those of custom operations, tuples of str. A "function" has its place among these in ``k``
            and its operands among the candidates, as a "join" does.
        """
        packed = packed_tape(&graph_of(self).program.tape)
        packed["is_sequence"] = self.is_sequence
        packed["fast"] = self.fast
        packed["dtype"] = self.dtype
        packed["input_names"] = self.input_names
        packed["parameter_names"] = self.parameter_names
        packed["function_names"] = function_names(graph_of(self).functions)
        return packed

    def __reduce__(self):
        arguments = (type(self), Program.tape(self), graph_of(self).parameters)
        if graph_of(self).functions:
            arguments += (graph_of(self).functions,)
        # What a subclass or its user has set on it.
        state = getattr(self, "__dict__", None)
        return (program_of_tape, arguments, state) if state else (program_of_tape, arguments)

    def stats(self):
        """Say what freezing has made of the graph.

        Returns
        -------
        dict
            ``nodes`` of the graph; ``steps`` that are left to compute one by one and ``sums`` of
            products, in ``blocks``, that are computed together; the ``runs`` of the forward
            pass; nodes ``folded`` into constants, ``shared`` with an equal one, and ``dropped``
            because nothing needs them; ``bytes`` of the program, to which the first derivatives
            of each of several outputs add; ``lanes``, the rows that are computed side by side in
            a large batch.
        """
        cdef FrozenGraph graph = graph_of(self)
        cdef mg_program_stats *stats = &graph.program.stats
        return {
            "nodes": stats.n_nodes,
            "steps": stats.n_steps,
            "sums": stats.n_sums,
            "blocks": stats.n_blocks,
            "runs": stats.n_runs,
            "folded": stats.n_folded,
            "shared": stats.n_shared,
            "dropped": stats.n_dropped,
            "bytes": stats.n_bytes,
            "lanes": mg_lanes_for(graph.program, 0, 1 << 20),
        }


cdef extern from *:
    """
    static void mg_rename_type(PyObject *type, const char *name) {
        ((PyTypeObject *)type)->tp_name = name;
    }
    """
    void rename_type "mg_rename_type"(object, const char *)


# Where users find it, and pickle.
rename_type(Program, b"micrograd_fast.program.Program")


cdef object new_program(object kind, FrozenGraph graph):
    """A program of some class, which looks complete from the first moment on."""
    new = kind.__new__(kind, graph)
    if not isinstance(new, Program) or (<Program>new).graph is not graph:
        raise TypeError(f"{kind.__name__}.__new__ gave something else than a new program")
    return new


def program_of_tape(kind, packed, parameters, functions=()):
    """Make a program of what ``tape`` gave; ValueError if that makes no sense.

    ``parameters`` are Values, or numbers to make them of; ``functions`` are custom operations.
    """
    cdef mg_tape tape
    cdef mg_arithmetic arithmetic
    cdef size_t i
    memset(&tape, 0, sizeof(mg_tape))
    try:
        try:
            own_functions = tuple(functions)
            check_functions(own_functions)
            tape.n_functions = <uint32_t>len(own_functions)
            fill_tape(&tape, packed)
            check_operands_of_functions(&tape, own_functions)
            is_sequence = tape_flag(packed, "is_sequence")
            fast, dtype = tape_flag(packed, "fast"), packed["dtype"]
        except (KeyError, TypeError, OverflowError) as error:
            raise damaged_program(f"{type(error).__name__}: {error}") from None
        arithmetic = arithmetic_of(fast, dtype)
        if type(parameters) not in (list, tuple):
            raise damaged_program(
                f"its parameters must be a list or tuple, found {type(parameters).__name__}"
            )
        # Of our own, as making Values may run what takes one away.
        parameters = tuple(parameters)
        if len(parameters) != tape.n_parameters:
            raise damaged_program(f"its {tape.n_parameters} parameters are not there")
        if not is_sequence and tape.n_outputs != 1:
            raise damaged_program(f"{tape.n_outputs} outputs where there is one")
        values, inputs = [], []
        for p in parameters:
            if type(p) is float:
                p = Value(p)
            if not is_value(<PyObject *>p):
                raise damaged_program(f"a parameter is of type {type(p).__name__}")
            values.append(p)
        for i in range(tape.n_inputs):
            inputs.append(Value(0.0))
        all_parameters, all_inputs = tuple(values), tuple(inputs)
        # Programs that were kept before there were names have none.
        input_names = names_of_tape(packed, "input", all_inputs)
        parameter_names = names_of_tape(packed, "parameter", all_parameters)
    except BaseException:
        mg_tape_free(&tape)
        raise
    graph = new_graph(&tape, all_parameters, all_inputs, is_sequence, arithmetic)
    graph.functions = own_functions
    graph.input_names, graph.parameter_names = input_names, parameter_names
    return new_program(kind, graph)
