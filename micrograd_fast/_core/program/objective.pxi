# Programs as functions of their parameters' numbers, for SciPy's searches.


cdef class _OfParameters:
    """A program as a function of the numbers of some parameters, which are assigned to them."""

    cdef FrozenGraph graph
    cdef list chosen
    cdef Wrt by
    cdef object rows
    cdef bint goes_on

    def __init__(self, FrozenGraph graph not None, parameters, rows, on_error):
        if parameters is not None and (
            is_value(<PyObject *>parameters) or not hasattr(parameters, "__iter__")
        ):
            raise TypeError(
                f"parameters must be a sequence of Values, found {type(parameters).__name__}"
            )
        if on_error not in ("continue", "raise"):
            raise ValueError(f'on_error must be "continue" or "raise", found {on_error!r}')
        self.graph = graph
        self.chosen = list(graph.parameters if parameters is None else parameters)
        places_of(graph, graph.parameters, self.chosen, "parameters", "not a parameter")
        self.by = wrt_of(graph, tuple(self.chosen), "fun")
        self.rows = rows
        self.goes_on = on_error == "continue"

    cdef object at(self, object numbers, object ask):
        """What is asked for, with the numbers assigned; where it raises, with those of before."""
        numbers = as_numbers(numbers, "the argument")
        if numbers.shape != (len(self.chosen),):
            raise ValueError(
                f"the argument must be of shape ({len(self.chosen)},), a number for each parameter,"
                f" found {describe_shape(numbers.shape)}"
            )
        before = list(map(operator.attrgetter("data"), self.chosen))
        try:
            assign_data(self.chosen, numbers.tolist())
            return ask()
        except BaseException:
            assign_data(self.chosen, before)
            raise


cdef int assign_data(list values, list numbers) except -1:
    for value, number in zip(values, numbers):
        value.data = number
    return 0


cdef class Objective(_OfParameters):
    """The total of a program as a function of its parameters' numbers; made by `Program.fun`.

    Examples
    --------
    >>> from micrograd_fast import Value, compile
    >>> w = Value(5.0)
    >>> fun = compile(w - w.log()).fun()
    >>> value, gradient = fun([0.0])
    >>> value, gradient.tolist()
    (inf, [-inf])
    """

    cdef object reduction

    def __init__(self, graph, parameters, rows, reduction, on_error):
        _OfParameters.__init__(self, graph, parameters, rows, on_error)
        self.reduction = reduction

    def __call__(self, x):
        """Assign the numbers; return the total and its gradient."""

        def ask():
            cdef double *gradients = NULL
            gradient = new_array((len(self.graph.parameters),), True, &gradients)
            total = reduced(self.graph, self.rows, self.reduction, "fun", gradients, self.goes_on)
            return total, self.by.chosen(gradient)

        return self.at(x, ask)

    def hess(self, x):
        """Assign the numbers; return the Hessian, of shape (n, n)."""
        import numpy

        return self.at(x, lambda: second_order(
            self.graph, numpy.eye(self.by.length), self.rows, self.reduction, self.by,
            self.goes_on
        ))

    def hessp(self, x, p):
        """Assign the numbers; return the Hessian times a vector, without making the Hessian."""
        direction = as_numbers(p, "p")
        if direction.shape != (self.by.length,):
            raise ValueError(
                f"p must be of shape ({self.by.length},), a number for each parameter,"
                f" found {describe_shape(direction.shape)}"
            )
        return self.at(x, lambda: second_order(
            self.graph, direction[None], self.rows, self.reduction, self.by, self.goes_on
        )[0])


cdef class Residuals(_OfParameters):
    """The outputs of a program as a function of its parameters' numbers; made by
    `Program.residuals`."""

    def __call__(self, x):
        """Assign the numbers; return the outputs of all rows, row by row."""
        import numpy

        return self.at(
            x, lambda: numpy.ravel(values_of(self.graph, self.rows, self.goes_on))
        )

    def jac(self, x):
        """Assign the numbers; return their Jacobian, of shape (outputs of all rows, n)."""
        return self.at(
            x, lambda: jacobian_of(self.graph, self.rows, self.by, self.goes_on).reshape(
                -1, self.by.length
            )
        )
