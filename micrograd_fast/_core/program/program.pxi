# Frozen programs: a graph recorded once and replayed over rows of numbers.
#
# A call reads the parameters, runs on a workspace of its own, and writes gradients back. Only
# the first and the last need the interpreter lock; long replays give it up in between.

cdef enum:
    LONG_REPLAY = 2000  # nodes times rows from which on giving up the lock is worth it


cdef int raise_replay(mg_status st, mg_program *program, Rows *rows,
                      mg_replay_failure *failure) except -1:
    cdef mg_op op
    cdef double k = failure.b
    if st == MG_NO_MEMORY:
        raise MemoryError("no memory for a workspace")
    op = <mg_op>program.entries[failure.entry].op
    if failure.in_sweep and (op == MG_POW_CONST or op == MG_POW):
        k -= 1.0
    try:
        raise_status(st, op, failure.a, k)
    except ArithmeticError as error:
        if rows.single:
            raise
        raise type(error)(f"row {failure.row}: {error}") from None
    except ValueError as error:
        if rows.single:
            raise
        raise ValueError(f"row {failure.row}: {error}") from None
    return 0


cdef int check_fit(Py_buffer *weights, Py_buffer *directions, Py_buffer *products,
                   Py_ssize_t n_rows, Py_ssize_t length, Py_ssize_t n_products) except -1:
    found = (weights.shape[0], directions.shape[1], products.shape[0], products.shape[1])
    wanted = (n_rows, length, n_products, length)
    if found != wanted:
        raise ValueError(
            f"second_order wants {wanted[0]} weights, directions of {length} numbers and products"
            f" of shape {wanted[2:]}, found {found[0]}, {found[1]} and {found[2:]}"
        )
    return 0


# What only new_program hands to a program that comes into being: there is none without a graph.
cdef object MADE_HERE = object()


cdef class Program:
    """A graph frozen into a program; see `micrograd_fast.compile`."""

    cdef mg_program *program
    cdef mg_binding binding
    cdef uint64_t bound_at
    cdef mg_workspace *spare
    cdef readonly tuple parameters
    cdef readonly bint is_sequence
    cdef readonly list frozen_reads

    def __cinit__(self, *made_here):
        if len(made_here) != 1 or made_here[0] is not MADE_HERE:
            raise TypeError("programs are made by micrograd_fast.compile")

    def __dealloc__(self):
        cdef mg_workspace *workspace
        while self.spare != NULL:
            workspace = self.spare
            self.spare = workspace.next
            mg_workspace_free(workspace)
        mg_binding_free(&self.binding)
        if self.program != NULL:
            mg_program_free(self.program)

    def __repr__(self):
        cdef mg_tape *tape = &self.program.tape
        outputs = f", {tape.n_outputs} outputs" if self.is_sequence else ""
        return (
            f"<Program of {tape.n_inputs} inputs, {tape.n_parameters} parameters{outputs}:"
            f" {self.program.stats.n_nodes} nodes>"
        )

    @property
    def n_inputs(self):
        """The length of a row."""
        return self.program.tape.n_inputs

    @property
    def fast(self):
        """Whether it may round otherwise than the graph."""
        return self.program.arithmetic != MG_EXACT_ARITHMETIC

    @property
    def dtype(self):
        """What sums of products are computed in."""
        return "float32" if self.program.arithmetic == MG_SINGLE_ARITHMETIC else "float64"

    @property
    def n_outputs(self):
        """The number of outputs."""
        return self.program.tape.n_outputs

    cdef int bind(self) except -1:
        """Find the parameters, if one has moved since."""
        cdef size_t i, n = len(self.parameters)
        cdef mg_node *nodes
        if self.bound_at == n_moves and self.binding.nodes != NULL:
            return 0
        nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
        if nodes == NULL:
            raise MemoryError(f"no memory for the places of {n} parameters")
        for i in range(n):
            nodes[i] = node_of(<PyObject *>self.parameters[i])
        if mg_binding_set(&self.binding, self.program, nodes) != MG_OK:
            mg_free(nodes)
            raise MemoryError(f"no memory for the places of {n} parameters")
        self.bound_at = n_moves
        return 0

    cdef mg_workspace *take_workspace(self, size_t n_rows, bint several_lanes=False) except NULL:
        """One that nobody uses; give it back."""
        cdef size_t lanes = mg_lanes_for(
            self.program, 2 if several_lanes and n_rows < 2 else n_rows
        )
        cdef mg_workspace **link = &self.spare
        cdef mg_workspace *workspace
        while link[0] != NULL:
            workspace = link[0]
            if workspace.lanes == lanes:
                link[0] = workspace.next
                return workspace
            link = &workspace.next
        workspace = mg_workspace_new(self.program, lanes)
        if workspace == NULL:
            raise MemoryError(f"no memory for a workspace of {lanes} lanes")
        return workspace

    cdef void give_workspace(self, mg_workspace *workspace) noexcept:
        workspace.next = self.spare
        self.spare = workspace

    cdef int replay(self, Rows *rows, mg_batch *batch, double *gradients) except -1:
        """Run, and add gradients up where the batch says so: onto the parameters' own, all or
        nothing, or from 0 into an array."""
        cdef mg_replay_failure failure
        cdef mg_status st
        cdef mg_workspace *workspace
        batch.rows = rows.numbers
        batch.row_stride = rows.row_stride
        batch.column_stride = rows.column_stride
        batch.n_rows = rows.n_rows
        if rows.n_rows == 0:
            return 0
        self.bind()
        workspace = self.take_workspace(rows.n_rows)
        try:
            st = self.replay_on(workspace, batch, gradients, &failure)
        finally:
            self.give_workspace(workspace)
        if st != MG_OK:
            raise_replay(st, self.program, rows, &failure)
        return 0

    cdef mg_status replay_on(self, mg_workspace *workspace, mg_batch *batch, double *gradients,
                             mg_replay_failure *failure) except *:
        cdef mg_status st
        cdef bint to_parameters = batch.add_up and gradients == NULL
        # One row's shares are as well added at the end: nothing is copied back and forth.
        batch.keep_shares = to_parameters and batch.n_rows == 1
        while True:
            mg_workspace_load(workspace, self.program, &self.binding, &arena,
                              to_parameters and not batch.keep_shares)
            if gradients != NULL:
                mg_workspace_zero_gradients(workspace, self.program)
            if batch.n_rows * self.program.stats.n_nodes < LONG_REPLAY:
                st = mg_replay(self.program, workspace, batch, failure)
            else:
                with nogil:
                    st = mg_replay(self.program, workspace, batch, failure)
                if st == MG_OK and batch.add_up:
                    # Another thread can have moved or trained the parameters meanwhile.
                    self.bind()
            if st != MG_OK or not batch.add_up:
                return st
            if gradients != NULL:
                mg_workspace_gradients(workspace, self.program, gradients)
                return st
            if batch.keep_shares:
                mg_workspace_add_shares(workspace, self.program, batch.output, &self.binding,
                                        &arena)
                return st
            if mg_workspace_store(workspace, self.program, &self.binding, &arena):
                return st

    cdef int want_one_output(self, str method) except -1:
        if self.is_sequence:
            raise ValueError(
                f"{method} wants a program of one output, found a sequence of"
                f" {self.program.tape.n_outputs}; jacobian takes any number"
            )
        return 0

    def _want_one_output(self, method):
        self.want_one_output(method)

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
        cdef Rows where
        cdef mg_batch batch
        cdef double value
        cdef double *values = &value
        result = None
        memset(&batch, 0, sizeof(mg_batch))
        read_rows(rows, self.program.tape.n_inputs, &where)
        try:
            if self.is_sequence and where.single:
                result = new_array((self.n_outputs,), False, &values)
            elif self.is_sequence:
                result = new_array((where.n_rows, self.n_outputs), False, &values)
            elif not where.single:
                result = new_array((where.n_rows,), False, &values)
            batch.values = values
            self.replay(&where, &batch, NULL)
        finally:
            drop_rows(&where)
        return value if result is None else result

    def value_and_grad(self, rows=()):
        """Compute the output and its derivatives by the inputs.

        Nothing in the graph is touched.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)

        Returns
        -------
        values : float, or numpy.ndarray of shape (batch,)
        grads : numpy.ndarray of shape (n_inputs,) or (batch, n_inputs)

        Raises
        ------
        ValueError
            For rows of another shape, or a program of a sequence of outputs.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.
        """
        cdef Rows where
        cdef mg_batch batch
        cdef double value
        cdef double *values = &value
        cdef double *grads = NULL
        result = None
        self.want_one_output("value_and_grad")
        memset(&batch, 0, sizeof(mg_batch))
        read_rows(rows, self.program.tape.n_inputs, &where)
        try:
            if where.single:
                gradients = new_array((self.n_inputs,), False, &grads)
            else:
                result = new_array((where.n_rows,), False, &values)
                gradients = new_array((where.n_rows, self.n_inputs), False, &grads)
            batch.values = values
            batch.backward = True
            batch.seed = 1.0
            batch.input_gradients = grads
            self.replay(&where, &batch, NULL)
        finally:
            drop_rows(&where)
        return (value if result is None else result), gradients

    def jacobian(self, rows=()):
        """Compute the derivatives of every output by every input.

        Parameters
        ----------
        rows : array_like of shape (n_inputs,) or (batch, n_inputs)

        Returns
        -------
        numpy.ndarray
            Shape (batch, n_outputs, n_inputs), without the first axis for one row and without
            the second where the program was not made of a sequence.

        Raises
        ------
        ValueError
            For rows of another shape.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.
        """
        cdef Rows where
        cdef mg_batch batch
        cdef double *grads = NULL
        import numpy

        memset(&batch, 0, sizeof(mg_batch))
        read_rows(rows, self.program.tape.n_inputs, &where)
        try:
            outputs = []
            batch.backward = True
            batch.seed = 1.0
            for output in range(self.n_outputs):
                outputs.append(new_array((where.n_rows, self.n_inputs), False, &grads))
                batch.input_gradients = grads
                batch.output = output
                self.replay(&where, &batch, NULL)
            result = numpy.stack(outputs, axis=1)
            if where.single:
                result = result[0]
        finally:
            drop_rows(&where)
        return result if self.is_sequence else result[..., 0, :]

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
        return self.reduced(rows, reduction, "backward", NULL)

    def value_and_parameter_grad(self, rows=(), reduction="mean"):
        """Compute what `backward` computes, without touching the parameters.

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
        result = new_array((len(self.parameters),), True, &gradients)
        return self.reduced(rows, reduction, "value_and_parameter_grad", gradients), result

    cdef object reduced(self, object rows, object reduction, str method, double *gradients):
        """The total of a batch; its gradients as for ``replay``."""
        cdef Rows where
        cdef mg_batch batch
        cdef double value = 0.0, total = 0.0
        cdef double *values = &value
        cdef double *weights = NULL
        cdef Py_ssize_t i
        self.want_one_output(method)
        memset(&batch, 0, sizeof(mg_batch))
        read_rows(rows, self.program.tape.n_inputs, &where)
        try:
            given = row_weights(reduction, where.n_rows, &batch.seed)
            if given is not None:
                weights = numbers_of(given)
            held = None if where.n_rows <= 1 else new_array((where.n_rows,), False, &values)
            batch.values = values
            batch.backward = True
            batch.seeds = weights
            batch.add_up = True
            self.replay(&where, &batch, gradients)
            for i in range(where.n_rows):
                total += (batch.seed if weights == NULL else weights[i]) * values[i]
        finally:
            drop_rows(&where)
        return total

    def parameter_grads(self, rows=()):
        """Compute the derivatives by the parameters, row by row.

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
        ValueError
            For rows of another shape, or a program of a sequence of outputs.
        TypeError
            For rows that are not real numbers.
        ArithmeticError, ValueError
            Where the graph would raise, with the number of the first such row.
        """
        cdef Rows where
        cdef mg_batch batch
        cdef double *grads = NULL
        self.want_one_output("parameter_grads")
        memset(&batch, 0, sizeof(mg_batch))
        read_rows(rows, self.program.tape.n_inputs, &where)
        try:
            result = new_array((where.n_rows, len(self.parameters)), True, &grads)
            batch.backward = True
            batch.seed = 1.0
            batch.parameter_rows = grads
            self.replay(&where, &batch, NULL)
        finally:
            drop_rows(&where)
        return result[0] if where.single else result

    def _second_order_into(self, rows, weights, input_directions, parameter_directions, by_inputs,
                           by_parameters):
        """Write products with the Hessian into arrays of zeros; `Program.hvp` says more.

        For row r and direction d, with weight ``weights[r]``: along ``input_directions[d]`` the
        product is written to ``by_inputs[d * n_rows + r]``, along ``parameter_directions[d]``,
        added up over the rows, to ``by_parameters[d]``; None stands for no such directions.
        ValueError if the arrays do not fit.
        """
        cdef Rows where
        cdef mg_batch batch
        cdef mg_tangent tangent
        cdef mg_workspace *workspace
        cdef Py_buffer weights_view, directions_view, products_view
        cdef double *directions
        cdef double *products
        cdef size_t n_inputs = self.program.tape.n_inputs
        cdef size_t n_parameters = self.program.tape.n_parameters
        cdef bint by_parameter = parameter_directions is not None
        cdef size_t length = n_parameters if by_parameter else n_inputs
        cdef Py_ssize_t n_directions
        self.want_one_output("second_order")
        along = parameter_directions if by_parameter else input_directions
        by = by_parameters if by_parameter else by_inputs
        if weights is None or along is None or by is None:
            raise ValueError("second_order wants weights, directions and arrays for their products")
        memset(&batch, 0, sizeof(mg_batch))
        memset(&tangent, 0, sizeof(mg_tangent))
        # Without an object, a view that was not taken is released all the same.
        weights_view.obj = directions_view.obj = products_view.obj = NULL
        read_rows(rows, n_inputs, &where)
        try:
            batch.seeds = take_doubles(weights, 1, False, "weights", &weights_view)
            directions = take_doubles(along, 2, False, "directions", &directions_view)
            products = take_doubles(by, 2, True, "products", &products_view)
            n_directions = directions_view.shape[0]
            check_fit(&weights_view, &directions_view, &products_view, where.n_rows, length,
                      n_directions if by_parameter else where.n_rows * n_directions)
            if where.n_rows == 0 or n_directions == 0 or length == 0:
                return
            batch.backward = True
            batch.tangent = &tangent
            tangent.by_parameters = by_parameter
            workspace = self.take_workspace(where.n_rows, True)
            try:
                tangent.dual = self.take_workspace(where.n_rows, True)
                try:
                    self.bind()
                    mg_workspace_load(workspace, self.program, &self.binding, &arena, False)
                    self.differentiate_along(directions, n_directions, &where, &batch, &tangent,
                                             workspace, products)
                finally:
                    self.give_workspace(tangent.dual)
            finally:
                self.give_workspace(workspace)
        finally:
            PyBuffer_Release(&products_view)
            PyBuffer_Release(&directions_view)
            PyBuffer_Release(&weights_view)
            drop_rows(&where)

    cdef int differentiate_along(self, const double *directions, Py_ssize_t n_directions,
                                 Rows *where, mg_batch *batch, mg_tangent *tangent,
                                 mg_workspace *workspace, double *products) except -1:
        cdef mg_replay_failure failure
        cdef mg_status st
        cdef Py_ssize_t d
        cdef size_t n_inputs = self.program.tape.n_inputs
        cdef size_t n_parameters = self.program.tape.n_parameters
        batch.rows = where.numbers
        batch.row_stride = where.row_stride
        batch.column_stride = where.column_stride
        batch.n_rows = where.n_rows
        for d in range(n_directions):
            if tangent.by_parameters:
                tangent.parameter_direction = directions + d * n_parameters
            else:
                tangent.input_direction = directions + d * n_inputs
                tangent.by_inputs = products + d * where.n_rows * n_inputs
            with nogil:
                st = mg_replay(self.program, workspace, batch, &failure)
            if st != MG_OK:
                raise_replay(st, self.program, where, &failure)
            if tangent.by_parameters:
                mg_workspace_gradients(tangent.dual, self.program, products + d * n_parameters)
        return 0

    def tape(self):
        """List the recorded graph: what a program is saved as and made from again.

        Returns
        -------
        dict
            ``operations``, the names that ``op`` counts in; for each entry of the graph ``op``
            (uint8), ``kind`` of leaf (uint8: 0 a constant, 1 an input, 2 a parameter), operands
            ``a`` and ``b`` (uint32; the number of an input or parameter in ``a``), immediates
            ``k`` and ``h`` (float64; a constant in ``k``), as bytes in native order; ``outputs``
            (uint32); ``n_inputs``; ``is_sequence``; ``fast``; ``dtype``.
        """
        packed = packed_tape(&self.program.tape)
        packed["is_sequence"] = bool(self.is_sequence)
        packed["fast"] = self.fast
        packed["dtype"] = self.dtype
        return packed

    def __reduce__(self):
        return program_of_tape, (type(self), self.tape(), self.parameters)

    def stats(self):
        """Say what freezing has made of the graph.

        Returns
        -------
        dict
            ``nodes`` of the graph; ``steps`` that are left to compute one by one and ``sums`` of
            products, in ``blocks``, that are computed together; the ``runs`` of the forward
            pass; nodes ``folded`` into constants, ``shared`` with an equal one, and ``dropped``
            because nothing needs them; ``bytes`` of the program; ``lanes``, the rows that are
            computed side by side in a large batch.
        """
        cdef mg_program_stats *stats = &self.program.stats
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
            "lanes": mg_lanes_for(self.program, 1 << 20),
        }


cdef mg_arithmetic arithmetic_of(object fast, object dtype) except *:
    # A type of NumPy's, or a dtype, goes by its name.
    name = getattr(dtype, "__name__", getattr(dtype, "name", dtype))
    if name not in ("float64", "float32"):
        raise ValueError(f'dtype must be "float64" or "float32", found {dtype!r}')
    if name == "float32" and not fast:
        raise ValueError('dtype "float32" rounds otherwise than the graph: it wants fast=True')
    if name == "float32":
        return MG_SINGLE_ARITHMETIC
    return MG_FAST_ARITHMETIC if fast else MG_EXACT_ARITHMETIC


def check_arithmetic(fast, dtype):
    """ValueError for a dtype that there is not, or not without ``fast``."""
    arithmetic_of(fast, dtype)


cdef Program new_program(object kind, mg_tape *tape, tuple parameters, bint is_sequence,
                         object fast, object dtype):
    """A program of a sound tape, which it takes over."""
    cdef Program self
    cdef mg_arithmetic arithmetic
    try:
        arithmetic = arithmetic_of(fast, dtype)
        self = kind.__new__(kind, MADE_HERE)
        if self.program != NULL:
            raise TypeError(f"{kind.__name__}.__new__ gave a program that was there before")
    except BaseException:
        mg_tape_free(tape)
        raise
    self.parameters = parameters
    self.is_sequence = is_sequence
    self.frozen_reads = []
    self.program = mg_program_new(tape)
    if self.program == NULL:
        raise MemoryError("no memory for a program")
    self.program.arithmetic = arithmetic
    return self


def program_of_tape(kind, packed, parameters):
    """Make a program of what ``tape`` gave; ValueError if that makes no sense."""
    cdef mg_tape tape
    memset(&tape, 0, sizeof(mg_tape))
    parameters = tuple(parameters)
    try:
        try:
            fill_tape(&tape, packed)
            is_sequence = bool(packed["is_sequence"])
            fast, dtype = packed["fast"], packed["dtype"]
        except (KeyError, TypeError, OverflowError) as error:
            raise damaged_program(f"{type(error).__name__}: {error}") from None
        if tape.n_parameters != len(parameters) or not all(
            is_value(<PyObject *>p) for p in parameters
        ):
            raise damaged_program(
                f"{tape.n_parameters} parameters are wanted, found {len(parameters)}"
            )
        if not is_sequence and tape.n_outputs != 1:
            raise damaged_program(f"{tape.n_outputs} outputs where there is one")
    except BaseException:
        mg_tape_free(&tape)
        raise
    return new_program(kind, &tape, parameters, is_sequence, fast, dtype)
