# By what a derivative of a program is taken: inputs, parameters, or some of both.

cdef class Wrt:
    """Which derivatives to compute, and the places among them of those that are asked for."""

    cdef bint by_inputs, by_parameters
    cdef object places  # among the inputs, the parameters or, with both, inputs then parameters
    cdef Py_ssize_t length
    cdef str kind  # of the Values, for messages

    cdef object chosen(self, object derivatives):
        """What is asked for, of derivatives whose last axis has all."""
        return derivatives if self.places is None else derivatives[..., self.places]

    cdef object spread(self, object directions, Py_ssize_t n_all):
        """The inverse: directions with a 0 for every derivative that is not asked for."""
        import numpy

        everywhere = numpy.zeros((len(directions), n_all))
        everywhere[:, slice(None) if self.places is None else self.places] = directions
        return everywhere


cdef str INPUTS = "inputs"


cdef Wrt wrt_of(FrozenGraph graph, object given, str method):
    """What ``wrt`` stands for in a method of a program."""
    if graph.by_inputs is not None and given is INPUTS:
        return graph.by_inputs
    cdef Wrt self = Wrt.__new__(Wrt)
    cdef Py_ssize_t n_inputs = len(graph.inputs), n_parameters = len(graph.parameters)
    if isinstance(given, str):
        if given == "inputs":
            self.by_inputs = True
            self.length = n_inputs
            if n_inputs == 0:
                raise ValueError(
                    f'{method} differentiates by the inputs unless wrt says otherwise, found a'
                    f' program without inputs; wrt="parameters" stands for its {n_parameters}'
                    " parameters"
                )
        elif given == "parameters":
            self.by_parameters = True
            self.length = n_parameters
        else:
            raise ValueError(
                f'wrt must be "inputs", "parameters" or a sequence of Values, found {given!r}'
            )
        self.kind = str(given)
        if given is INPUTS:
            graph.by_inputs = self
        return self
    if is_value(<PyObject *>given) or not hasattr(given, "__iter__"):
        raise TypeError(
            'wrt must be "inputs", "parameters" or a sequence of Values, found'
            f" {type(given).__name__}"
        )
    places = places_of(graph, graph.inputs + graph.parameters, list(given), "wrt",
                       "neither an input nor a parameter")
    for place in places:
        if place < n_inputs:
            self.by_inputs = True
        else:
            self.by_parameters = True
    if not self.by_inputs:
        self.by_parameters = True
        for index in range(len(places)):
            places[index] -= n_inputs
    self.places = places
    self.length = len(places)
    self.kind = "Values"
    return self


cdef list places_of(FrozenGraph graph, tuple all_values, list values, str name, str no_member):
    """The places of some Values, each of them once, among all."""
    place_of, first_index, places = {}, {}, []
    for place, value in enumerate(all_values):
        place_of[id(value)] = place
    for index, value in enumerate(values):
        if id(value) not in place_of:
            raise ValueError(
                f"{name}[{index}], {value!r}, is {no_member} of {describe_graph(graph)}"
            )
        first = first_index.setdefault(id(value), index)
        if first != index:
            raise ValueError(f"{name}[{index}] is the same Value as {name}[{first}]")
        places.append(place_of[id(value)])
    return places


cdef str describe_graph(FrozenGraph graph):
    cdef mg_tape *tape = &graph.program.tape
    outputs = f", {tape.n_outputs} outputs" if graph.is_sequence else ""
    return (
        f"<Program of {tape.n_inputs} inputs, {tape.n_parameters} parameters{outputs}:"
        f" {graph.program.stats.n_nodes} nodes>"
    )
