# Optimizer steps: a few C loops over the parameters, which lie together in the arena as far as
# layers have put them so.


def first_repeated(list lists not None):
    """The first Value that is not met for the first time in these lists of Values, or None."""
    cdef mg_node node
    mg_arena_next_epoch(&arena)
    for values in lists:
        for value in values:
            node = node_of(<PyObject *>value)
            if arena.mark[node] == arena.epoch:
                return value
            arena.mark[node] = arena.epoch
    return None


cdef class Updates:
    """The parameters of one group of an optimizer, with the numbers kept for each.

    Parameters
    ----------
    values : list of Value
        The parameters. They stay alive with this object.
    """

    cdef readonly list values
    cdef mg_span *spans
    cdef size_t n_spans
    cdef uint64_t moves_known  # n_moves when the spans were found, plus 1
    cdef double *first
    cdef double *second
    cdef bint has_velocity

    def __cinit__(self, list values not None):
        for value in values:
            if not is_value(<PyObject *>value):
                raise TypeError(f"params must be Values, found {type(value).__name__}")
        self.values = values
        self.moves_known = 0
        self.has_velocity = False

    def __dealloc__(self):
        mg_free(self.spans)
        mg_free(self.first)
        mg_free(self.second)

    cdef int find_spans(self) except -1:
        """Where the parameters are now: a layer may have moved them."""
        cdef size_t n_spans = 0, cap = 0
        cdef mg_node node
        cdef mg_span *moved
        if self.moves_known == n_moves + 1:
            return 0
        self.moves_known = 0
        for value in self.values:
            node = node_of(<PyObject *>value)
            if n_spans > 0 and node == (
                self.spans[n_spans - 1].first + self.spans[n_spans - 1].n_nodes
            ):
                self.spans[n_spans - 1].n_nodes += 1
                continue
            if n_spans == cap:
                cap = 2 * cap + 8
                moved = <mg_span *>mg_realloc(self.spans, cap * sizeof(mg_span))
                if moved == NULL:
                    raise MemoryError(f"no memory for the places of {len(self.values)} parameters")
                self.spans = moved
            self.spans[n_spans] = mg_span(node, 1)
            n_spans += 1
        self.n_spans = n_spans
        self.moves_known = n_moves + 1
        return 0

    cdef int prepare_write(self) except -1:
        cdef size_t i
        self.find_spans()
        for i in range(self.n_spans):
            if mg_span_before_write(&arena, self.spans[i]) != MG_OK:
                raise MemoryError("no memory to keep the weights that live graphs were made with")
        return 0

    cdef double *column(self, double *known) except? NULL:
        """Room for a number for each parameter, all 0 at first; ``known`` if there is some."""
        cdef size_t n_bytes = (len(self.values) + 1) * sizeof(double)
        if known == NULL:
            known = <double *>mg_realloc(NULL, n_bytes)
            if known == NULL:
                raise MemoryError(f"no memory for the state of {len(self.values)} parameters")
            memset(known, 0, n_bytes)
        return known

    def sgd(self, double lr, double momentum, double dampening, double weight_decay,
            bint nesterov):
        """Make one step of stochastic gradient descent."""
        cdef mg_sgd rule = mg_sgd(lr, momentum, dampening, weight_decay, nesterov)
        cdef double *velocity = NULL
        cdef size_t i
        if momentum != 0.0:
            velocity = self.first = self.column(self.first)
        self.prepare_write()
        for i in range(self.n_spans):
            mg_sgd_step(&arena, self.spans[i], &rule, velocity, not self.has_velocity)
            if velocity != NULL:
                velocity += self.spans[i].n_nodes
        self.has_velocity = momentum != 0.0

    def adam(self, double lr, double beta1, double beta2, double eps, double weight_decay,
             bint decoupled, double correction1, double correction2):
        """Make one step of Adam, or of AdamW where the weight decay is decoupled."""
        cdef mg_adam rule = mg_adam(lr, beta1, beta2, eps, weight_decay, decoupled,
                                    correction1, correction2)
        cdef size_t i, n_before = 0, n_done = 0
        self.first = self.column(self.first)
        self.second = self.column(self.second)
        self.prepare_write()
        for i in range(self.n_spans):
            if mg_adam_step(&arena, self.spans[i], &rule, self.first + n_before,
                            self.second + n_before, &n_done) != MG_OK:
                raise OverflowError(
                    f"the square of gradient {n_before + n_done},"
                    f" {arena.grad[self.spans[i].first + n_done]!r}, is too large for a float"
                )
            n_before += n_done

    def zero_grad(self):
        """Set every gradient to 0.0."""
        cdef size_t i
        self.find_spans()
        for i in range(self.n_spans):
            mg_span_zero_grad(&arena, self.spans[i])

    def columns(self):
        """The two numbers kept for each parameter, as a pair of lists."""
        cdef size_t i, n = len(self.values)
        first, second = [], []
        for i in range(n):
            first.append(0.0 if self.first == NULL else self.first[i])
            second.append(0.0 if self.second == NULL else self.second[i])
        return first, second

    def set_columns(self, list first, list second, bint has_velocity):
        """Take over what ``columns`` gave."""
        cdef size_t i
        self.first = self.column(self.first)
        self.second = self.column(self.second)
        for i in range(<size_t>len(self.values)):
            self.first[i] = first[i]
            self.second[i] = second[i]
        self.has_velocity = has_velocity
