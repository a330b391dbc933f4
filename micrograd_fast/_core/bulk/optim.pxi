# Optimizer steps: a few C loops over the parameters, which lie together in the arena as far as
# layers have put them so. A step is taken by all groups of an optimizer, or by none.


def first_repeated(list lists not None):
    """The first Value that is not met for the first time in these sequences of Values, or None."""
    cdef mg_node node
    cdef list values = []
    for group in lists:
        values.extend(group)
    for value in values:
        if not is_value(<PyObject *>value):
            raise TypeError(f"params must be Values, found {type(value).__name__}")
    # No Python runs in this loop, which could make use of the marks, too.
    mg_arena_next_epoch(&arena)
    for value in values:
        node = node_of(<PyObject *>value)
        if arena.mark[node] == arena.epoch:
            return value
        arena.mark[node] = arena.epoch
    return None


cdef enum:
    NO_RULE = 0
    SGD_RULE = 1
    ADAM_RULE = 2
    RMSPROP_RULE = 3
    ADAGRAD_RULE = 4


cdef enum:
    # What is kept for each parameter, if the rule wants it: a velocity or a mean of gradients, a
    # mean or sum of their squares, the mean that is beside both, and the largest of the squares.
    VELOCITIES = 0
    SQUARES = 1
    MEANS = 2
    LARGEST = 3
    N_COLUMNS = 4

KEPT_COLUMNS = (VELOCITIES, SQUARES, MEANS, LARGEST)


cdef class Updates:
    """The updates of one group of an optimizer: its parameters, with the numbers kept for each.

    Parameters
    ----------
    values : iterable of Value
        The parameters. They stay alive with this object.
    """

    cdef readonly tuple values  # not a list, which its holders could make longer than the columns
    cdef readonly uint64_t n_steps
    cdef mg_span *spans
    cdef size_t n_spans
    cdef size_t spans_cap
    cdef uint64_t moves_known  # n_moves when the spans were found, plus 1
    cdef double *kept[N_COLUMNS]  # NULL for nothing but zeros
    cdef bint has_velocity
    cdef int rule
    cdef bint maximize
    cdef mg_sgd sgd_rule
    cdef mg_adam adam_rule
    cdef bint has_largest
    cdef mg_rmsprop rmsprop_rule
    cdef bint is_centered
    cdef mg_adagrad adagrad_rule
    cdef double lr_decay

    def __cinit__(self, values):
        self.values = tuple(values)
        for value in self.values:
            if not is_value(<PyObject *>value):
                raise TypeError(f"params must be Values, found {type(value).__name__}")
            if was_computed(node_of(<PyObject *>value)):
                raise ValueError(
                    f"params must be leaves, found {value!r}, which was computed: what is assigned"
                    " to it is gone where it is computed again; Value(number) makes a leaf"
                )
        self.rule = NO_RULE

    def __dealloc__(self):
        cdef int c
        mg_free(self.spans)
        for c in range(N_COLUMNS):
            mg_free(self.kept[c])

    def __reduce__(self):
        return Updates, (self.values,), (self.n_steps, self.columns(), self.has_velocity)

    def __setstate__(self, state):
        take_states([self], [state])

    cdef int find_spans(self) except -1:
        """Where the parameters are now: a layer may have moved them."""
        cdef size_t n_spans = 0, cap
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
            if n_spans == self.spans_cap:
                cap = 2 * self.spans_cap + 8
                moved = <mg_span *>mg_realloc(self.spans, cap * sizeof(mg_span))
                if moved == NULL:
                    raise no_memory(f"the places of {len(self.values)} parameters")
                self.spans = moved
                self.spans_cap = cap
            self.spans[n_spans] = mg_span(node, 1)
            n_spans += 1
        self.n_spans = n_spans
        self.moves_known = n_moves + 1
        return 0

    cdef int keep(self, int column, double start=0.0) except -1:
        """Make room for a number for each parameter, which is `start` at first."""
        cdef size_t i, n = len(self.values)
        if self.kept[column] != NULL:
            return 0
        self.kept[column] = <double *>mg_realloc(NULL, (n + 1) * sizeof(double))
        if self.kept[column] == NULL:
            raise no_memory(f"the state of {n} parameters")
        for i in range(n):
            self.kept[column][i] = start
        return 0

    def sgd(self, double lr, double momentum, double dampening, double weight_decay,
            bint nesterov, bint maximize):
        """Let the next step be one of stochastic gradient descent."""
        self.sgd_rule = mg_sgd(lr, momentum, dampening, weight_decay, nesterov)
        self.maximize = maximize
        self.rule = SGD_RULE

    def adam(self, double lr, double beta1, double beta2, double eps, double weight_decay,
             bint decoupled, bint amsgrad, bint maximize):
        """Let the next step be one of Adam, or of AdamW where the weight decay is decoupled."""
        self.adam_rule = mg_adam(lr, beta1, beta2, eps, weight_decay, decoupled, 1.0, 1.0)
        self.has_largest = amsgrad
        self.maximize = maximize
        self.rule = ADAM_RULE

    def rmsprop(self, double lr, double alpha, double eps, double weight_decay, double momentum,
                bint centered, bint maximize):
        """Let the next step be one of RMSprop."""
        self.rmsprop_rule = mg_rmsprop(lr, alpha, eps, weight_decay, momentum)
        self.maximize = maximize
        self.is_centered = centered
        self.rule = RMSPROP_RULE

    def adagrad(self, double lr, double lr_decay, double eps, double weight_decay,
                bint maximize):
        """Let the next step be one of Adagrad."""
        self.adagrad_rule = mg_adagrad(lr, eps, weight_decay)
        self.maximize = maximize
        self.lr_decay = lr_decay
        self.rule = ADAGRAD_RULE

    def start_squares(self, double start):
        """Let the sum of squares begin with a number, if it has not begun."""
        self.keep(SQUARES, start)

    cdef int check_squares(self, double weight_decay) except -1:
        """Raise for a gradient, with weight decay, whose square is no float."""
        cdef size_t i, n_before = 0, n_done = 0
        if self.maximize:
            weight_decay = -weight_decay
        for i in range(self.n_spans):
            if mg_squares_check(&arena, self.spans[i], weight_decay, &n_done) != MG_OK:
                raise OverflowError(
                    f"the square of gradient {n_before + n_done},"
                    f" {arena.grad[self.spans[i].first + n_done]!r}, is too large for a float"
                )
            n_before += n_done
        return 0

    cdef int prepare(self) except -1:
        """Make sure that ``update`` cannot fail. Nothing that can be seen changes."""
        cdef size_t i
        cdef mg_status st = MG_OK
        cdef double step = <double>(self.n_steps + 1)
        self.find_spans()
        if self.rule == SGD_RULE and self.sgd_rule.momentum != 0.0:
            self.keep(VELOCITIES)
        elif self.rule == ADAM_RULE:
            self.keep(VELOCITIES)
            self.keep(SQUARES)
            self.adam_rule.correction1 = 1.0 - mg_pow(self.adam_rule.beta1, step, &st)
            self.adam_rule.correction2 = 1.0 - mg_pow(self.adam_rule.beta2, step, &st)
            if self.has_largest:
                self.keep(LARGEST)
            self.check_squares(0.0 if self.adam_rule.decoupled else self.adam_rule.weight_decay)
        elif self.rule == RMSPROP_RULE:
            self.keep(SQUARES)
            if self.rmsprop_rule.momentum != 0.0:
                self.keep(VELOCITIES)
            if self.is_centered:
                self.keep(MEANS)
            self.check_squares(self.rmsprop_rule.weight_decay)
        elif self.rule == ADAGRAD_RULE:
            self.keep(SQUARES)
            self.adagrad_rule.lr = self.adagrad_rule.lr / (1.0 + (step - 1.0) * self.lr_decay)
            self.check_squares(self.adagrad_rule.weight_decay)
        for i in range(self.n_spans):
            if mg_span_before_write(&arena, self.spans[i]) != MG_OK:
                raise no_memory("the weights that live graphs were made with")
        return 0

    cdef double *kept_from(self, int column, size_t i) noexcept:
        """What is kept from parameter i on."""
        return NULL if self.kept[column] == NULL else self.kept[column] + i

    cdef void update(self) noexcept:
        # The gradients are negated and back again: no Python runs, and nobody reads them, meanwhile.
        cdef size_t i, n_before = 0
        for i in range(self.n_spans):
            if self.maximize:
                mg_span_negate_grad(&arena, self.spans[i])
            if self.rule == SGD_RULE:
                mg_sgd_step(
                    &arena, self.spans[i], &self.sgd_rule,
                    NULL if self.sgd_rule.momentum == 0.0 else self.kept[VELOCITIES] + n_before,
                    not self.has_velocity,
                )
            elif self.rule == ADAM_RULE:
                mg_adam_step(&arena, self.spans[i], &self.adam_rule,
                             self.kept_from(VELOCITIES, n_before),
                             self.kept_from(SQUARES, n_before),
                             self.kept_from(LARGEST, n_before) if self.has_largest else NULL)
            elif self.rule == RMSPROP_RULE:
                mg_rmsprop_step(
                    &arena, self.spans[i], &self.rmsprop_rule,
                    NULL if self.rmsprop_rule.momentum == 0.0
                    else self.kept_from(VELOCITIES, n_before),
                    self.kept_from(SQUARES, n_before),
                    self.kept_from(MEANS, n_before) if self.is_centered else NULL,
                )
            elif self.rule == ADAGRAD_RULE:
                mg_adagrad_step(&arena, self.spans[i], &self.adagrad_rule,
                                self.kept_from(SQUARES, n_before))
            if self.maximize:
                mg_span_negate_grad(&arena, self.spans[i])
            n_before += self.spans[i].n_nodes
        if self.rule == SGD_RULE:
            self.has_velocity = self.sgd_rule.momentum != 0.0
        self.n_steps += 1

    def zero_grad(self):
        """Set every gradient to 0.0."""
        cdef size_t i
        note_writes(self.values, "assignment of grad")
        self.find_spans()
        for i in range(self.n_spans):
            mg_span_zero_grad(&arena, self.spans[i])

    def columns(self):
        """The numbers kept for each parameter, a list of each column."""
        cdef size_t i, n = len(self.values)
        cdef int c
        cdef list columns = []
        for c in range(N_COLUMNS):
            numbers = []
            for i in range(n):
                numbers.append(0.0 if self.kept[c] == NULL else self.kept[c][i])
            columns.append(numbers)
        return tuple(columns)


cdef int note_writes(tuple values, str what) except -1:
    """Tell whoever watches this thread that all of them are assigned to."""
    if innermost_watch is not None:
        for value in values:
            note_look(<PyObject *>value, what, NULL)
    return 0


cdef list own_groups(object groups):
    cdef list known = []
    for group in groups:
        if type(group) is not Updates:
            raise TypeError(f"groups must be Updates, found {type(group).__name__}")
        known.append(group)
    return known


def require_shown(groups, param_groups):
    """Raise unless `param_groups` are dicts that have the parameters of the groups, in order."""
    cdef list known = own_groups(groups)
    cdef Py_ssize_t n_shown = 0
    for shown in param_groups:
        if n_shown == len(known) or shown.get("params") is not (
            (<Updates>known[n_shown]).values
        ):
            break
        n_shown += 1
    else:
        if n_shown == len(known):
            return
    raise ValueError("the params of param_groups must stay as they are; add_param_group adds some")


def take_step(groups):
    """Make the step that each group has been told, in all of them or, on an error, in none."""
    cdef list known = own_groups(groups)
    for group in known:
        note_writes((<Updates>group).values, "assignment")
    for group in known:
        (<Updates>group).prepare()
    # No Python has run since, nor does it now.
    for group in known:
        (<Updates>group).update()


cdef double *column_of(object numbers, Py_ssize_t n, double low) except NULL:
    """The numbers in memory of their own."""
    cdef double *column
    cdef Py_ssize_t i
    entries = tuple(numbers)
    if len(entries) != n:
        raise ValueError(f"a state must have {n} numbers, found {len(entries)}")
    column = <double *>mg_realloc(NULL, (n + 1) * sizeof(double))
    if column == NULL:
        raise no_memory(f"the state of {n} parameters")
    try:
        for i in range(n):
            column[i] = require_number(entries[i], f"number {i} of a state")
            if column[i] < low:
                raise ValueError(f"number {i} of a state must be at least {low}, found {column[i]}")
    except BaseException:
        mg_free(column)
        raise
    return column


cdef class _State:
    """What a group is to take over, read in full before any group is changed."""

    cdef uint64_t n_steps
    cdef bint has_velocity
    cdef double *kept[N_COLUMNS]

    def __cinit__(self, Updates group not None, n_steps, columns, has_velocity):
        cdef int c
        if not hasattr(type(n_steps), "__index__"):
            raise TypeError(f"step must be an int, found {type(n_steps).__name__}")
        if not 0 <= n_steps < 2**53:
            raise ValueError(f"step must be from 0 to {2**53 - 1}, found {n_steps}")
        self.n_steps = operator.index(n_steps)
        self.has_velocity = has_velocity
        columns = tuple(columns)
        if len(columns) != N_COLUMNS:
            raise ValueError(f"a state must have {N_COLUMNS} columns, found {len(columns)}")
        for c in range(N_COLUMNS):
            self.kept[c] = column_of(
                columns[c], len(group.values), 0.0 if c in (SQUARES, LARGEST) else -INFINITY
            )

    def __dealloc__(self):
        cdef int c
        for c in range(N_COLUMNS):
            mg_free(self.kept[c])


def take_states(groups, states):
    """Let each group take over a state (the number of steps, the columns, and whether the first
    has begun), all of them or, on an error, none."""
    cdef list known = own_groups(groups), read = []
    cdef Updates group
    cdef _State state
    cdef Py_ssize_t i
    cdef int c
    for group, entry in zip(known, states, strict=True):
        read.append(_State(group, *entry))
    for i in range(len(known)):
        group, state = known[i], read[i]
        group.n_steps, group.has_velocity = state.n_steps, state.has_velocity
        for c in range(N_COLUMNS):
            group.kept[c], state.kept[c] = state.kept[c], group.kept[c]
