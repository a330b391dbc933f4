# The leaves of a program: their names, and all its parameters as one vector.


cdef class Names:
    """The names of a program's inputs or parameters, as they were given, or as their labels are."""

    cdef tuple names  # None until they are settled
    cdef list given  # None where nobody has given any
    cdef str kind

    def __cinit__(self, given, str kind):
        self.kind = kind
        if given is None:
            return
        if isinstance(given, (str, set, frozenset)) or not hasattr(given, "__iter__"):
            raise TypeError(
                f"{kind}_names must be a sequence of str, found {type(given).__name__}"
            )
        self.given = []
        for index, name in enumerate(given):
            if not isinstance(name, str):
                raise TypeError(
                    f"{kind}_names[{index}] must be a str, found {type(name).__name__}"
                )
            # Not of a subclass, which could say something else every time.
            self.given.append(str.__str__(name))

    cdef int settle(self, tuple values) except -1:
        """Take the names that were given for these Values, or make some."""
        cdef list names
        if self.given is not None:
            if len(self.given) != len(values):
                raise ValueError(
                    f"{self.kind}_names must be of length {len(values)}, a name for each"
                    f" {self.kind}, found {len(self.given)}"
                )
            self.names = tuple(self.given)
            return 0
        names = []
        for index, value in enumerate(values):
            label = handle_get(<PyObject *>value, "label", "")
            names.append(label if type(label) is str and label else f"{self.kind}s[{index}]")
        self.names = tuple(names)
        return 0


cdef tuple names_of_tape(object packed, str key, tuple values):
    """The names that a tape has for its inputs or parameters, if it has any."""
    cdef Names names
    given = packed.get(f"{key}_names")
    try:
        names = Names(given, key)
        names.settle(values)
    except (TypeError, ValueError) as error:
        raise damaged_program(str(error)) from None
    return names.names


cdef object parameter_vector(FrozenGraph graph):
    """What the parameters hold."""
    cdef double *numbers = NULL
    cdef Py_ssize_t i, n = len(graph.parameters)
    result = new_array((n,), False, &numbers)
    if innermost_watch is not None:
        for value in graph.parameters:
            note_look(<PyObject *>value, "data", NULL)
    # No Python runs from here on.
    for i in range(n):
        numbers[i] = arena.data[node_of(<PyObject *>graph.parameters[i])]
    return result


cdef int assign_parameters(FrozenGraph graph, object vector, bint to_gradients) except -1:
    """Assign a number each to the data or gradients of all parameters, or to none."""
    cdef double *numbers
    cdef Py_ssize_t i, n = len(graph.parameters)
    array = as_numbers(vector, "vector")
    if array.shape != (n,):
        raise ValueError(
            f"vector must be of shape ({n},), a number for each parameter,"
            f" found {describe_shape(array.shape)}"
        )
    if innermost_watch is not None:
        for value in graph.parameters:
            note_look(<PyObject *>value, "assignment of grad" if to_gradients else "assignment",
                      NULL)
    numbers = numbers_of(array)
    # No Python runs from here on. What may fail comes first.
    if to_gradients:
        for i in range(n):
            note_grad_write(numbers[i])
            arena.grad[node_of(<PyObject *>graph.parameters[i])] = numbers[i]
        return 0
    for i in range(n):
        note_data_write(node_of(<PyObject *>graph.parameters[i]))
    for i in range(n):
        arena.data[node_of(<PyObject *>graph.parameters[i])] = numbers[i]
    return 0
