# Optimizer steps: one C loop over a list of Values.


cdef class Updates:
    """The parameters of one group of an optimizer, with the numbers kept for each.

    Parameters
    ----------
    values : list of Value
        The parameters. They stay alive with this object.
    """

    cdef readonly list values
    cdef mg_node *nodes
    cdef double *first
    cdef double *second
    cdef bint has_velocity

    def __cinit__(self, list values not None):
        cdef size_t n = len(values)
        for value in values:
            if not is_value(<PyObject *>value):
                raise TypeError(f"an optimizer wants Values, found {type(value).__name__}")
        self.values = values
        self.nodes = <mg_node *>mg_realloc(NULL, (n + 1) * sizeof(mg_node))
        self.first = <double *>mg_realloc(NULL, (n + 1) * sizeof(double))
        self.second = <double *>mg_realloc(NULL, (n + 1) * sizeof(double))
        if self.nodes == NULL or self.first == NULL or self.second == NULL:
            raise MemoryError(f"no memory for the optimizer's state of {n} parameters")
        memset(self.first, 0, n * sizeof(double))
        memset(self.second, 0, n * sizeof(double))
        self.has_velocity = False

    def __dealloc__(self):
        mg_free(self.nodes)
        mg_free(self.first)
        mg_free(self.second)

    cdef int gather(self) except -1:
        """Where the parameters are now: a layer may have moved them."""
        cdef size_t i
        for i in range(<size_t>len(self.values)):
            self.nodes[i] = node_of(<PyObject *>self.values[i])
            note_data_write(self.nodes[i])
        return 0

    def sgd(self, double lr, double momentum, double dampening, double weight_decay,
            bint nesterov):
        """Make one step of stochastic gradient descent."""
        cdef mg_sgd rule = mg_sgd(lr, momentum, dampening, weight_decay, nesterov)
        self.gather()
        mg_sgd_step(&arena, self.nodes, len(self.values), &rule,
                    self.first if momentum != 0.0 else NULL, not self.has_velocity)
        self.has_velocity = momentum != 0.0

    def adam(self, double lr, double beta1, double beta2, double eps, double weight_decay,
             bint decoupled, double correction1, double correction2):
        """Make one step of Adam, or of AdamW where the weight decay is decoupled."""
        cdef mg_adam rule = mg_adam(lr, beta1, beta2, eps, weight_decay, decoupled,
                                    correction1, correction2)
        cdef size_t n_done = 0
        self.gather()
        if mg_adam_step(&arena, self.nodes, len(self.values), &rule, self.first, self.second,
                        &n_done) != MG_OK:
            raise OverflowError(
                f"the square of gradient {n_done}, {arena.grad[self.nodes[n_done]]!r},"
                " is too large for a float"
            )

    def zero_grad(self):
        """Set every gradient to 0.0."""
        for value in self.values:
            arena.grad[node_of(<PyObject *>value)] = 0.0

    def columns(self):
        """The two numbers kept for each parameter, as a pair of lists."""
        cdef size_t i, n = len(self.values)
        return [self.first[i] for i in range(n)], [self.second[i] for i in range(n)]

    def set_columns(self, list first, list second, bint has_velocity):
        """Take over what ``columns`` gave."""
        cdef size_t i, n = len(self.values)
        for i in range(n):
            self.first[i] = first[i]
            self.second[i] = second[i]
        self.has_velocity = has_velocity
