# Guards: may a layer be evaluated as a whole? Asked before each call, and by predict, here alone.
#
# A layer may be while nothing about it is unusual: its neurons are plain Neurons of one activation,
# their weights and biases distinct leaves without a hook, side by side in a block (layout.pxi),
# Value's arithmetic and nn's classes unpatched. Otherwise its calls build node by node. This is a
# guard with deoptimisation, as just-in-time compilers have them: what nn's classes are made of
# (their names of attributes, their __call__) is read here, below nn, because the answer has to be
# cheap; nn hands its classes down and asks.
#
# To find out costs a look at every weight. The answer is kept until structure_version changes,
# which every reading of a list and every assignment that could make it another one counts up
# (watched.pxi); and it is kept only if nobody else holds one of the lists or dicts that it is
# about, for whoever does could change them without a word.
#
# Wherever Python may run, an answer may end: it is used before anything else happens.

mg_layer_attach(&arena)

cdef extern from "Python.h":
    PyObject **list_items "PySequence_Fast_ITEMS"(PyObject *)


cdef enum:
    HOLDERS_OF_PARTS = 2  # of a list or dict in ``parts``: its owner and the list of parts
    HOLDERS_OF_ATTRIBUTES = 2  # of a dict at hand: its owner and a variable


cdef mg_layer_block *block_of(list weights) noexcept:
    """The block that the first of some weights is in, or NULL."""
    cdef PyObject *first
    cdef mg_node node
    if len(weights) == 0:
        return NULL
    first = list_item(<PyObject *>weights, 0)
    if Py_TYPE(first) != ValueType:
        return NULL
    node = node_of(first)
    return arena.aux[node].block if arena.meta[node].flags & MG_PARAMETER else NULL


cdef bint is_row(mg_layer_block *block, uint32_t row, list weights, object bias) noexcept:
    """Whether a row of a block is these Values: the very handles, in their order."""
    cdef mg_node first = mg_parameter(block, row, 0)
    return (
        len(weights) == block.n_in
        and memcmp(list_items(<PyObject *>weights), &arena.handle[first],
                   block.n_in * sizeof(void *)) == 0
        and <void *><PyObject *>bias == arena.handle[first + block.n_in]
    )


cdef struct FusedRows:
    # Some rows of a block, and what they go through.
    mg_layer_block *block
    uint32_t first_row
    uint32_t n_rows
    mg_activation activation


# The answers given last, by the address of the layer. Whatever else comes to live there is given
# its neurons first, which is noted. ``rows.block`` is NULL where the answer was no.
cdef struct KnownLayer:
    const void *layer
    FusedRows rows
    uint64_t version
    uint64_t n_block_changes

cdef enum:
    N_KNOWN_LAYERS = 256

cdef KnownLayer known_layers[N_KNOWN_LAYERS]


cdef inline KnownLayer *known_module(object module) noexcept:
    return &known_layers[(<size_t><PyObject *>module >> 4) % N_KNOWN_LAYERS]


cdef inline bint still_holds(KnownLayer *known, object module) noexcept:
    return (
        known.version == structure_version
        and known.layer == <void *><PyObject *>module
        and known.n_block_changes == mg_block_changes()
    )


cdef void note_answer(object module, FusedRows *rows) noexcept:
    known_module(module)[0] = KnownLayer(
        <void *><PyObject *>module, rows[0], structure_version, mg_block_changes()
    )


cdef bint check_neurons(list neurons, FusedRows *rows, bint *held) except -1:
    """Whether these neurons, in this order, are the rows of one block; if so, which.

    ``held`` says that somebody else holds one of their lists or dicts.
    """
    cdef list parts = [None, None, None]
    cdef uint64_t version = structure_version, n_block_changes = mg_block_changes()
    cdef mg_layer_block *block = NULL
    cdef mg_activation activation
    cdef uint32_t r = 0
    while r < len(neurons):
        if not read_neuron(neurons[r], parts) or not read_activation(parts[2], &activation):
            return False
        # Looking up a name can run Python where somebody has put strange keys into a dict.
        if version != structure_version or n_block_changes != mg_block_changes():
            return False
        if r == 0:
            block = block_of(parts[0])
            if block == NULL or not mg_block_is_whole(block):
                return False
            rows.activation = activation
            rows.block = block
            rows.first_row = (
                node_of(list_item(<PyObject *>parts[0], 0)) - block.base
            ) / (block.n_in + 1)
        if activation.op != rows.activation.op or activation.k != rows.activation.k:
            return False
        if rows.first_row + r >= block.n_rows:
            return False
        if not is_row(block, rows.first_row + r, parts[0], parts[1]):
            return False
        if Py_REFCNT(list_item(<PyObject *>parts, 0)) > HOLDERS_OF_PARTS or (
            Py_REFCNT(list_item(<PyObject *>parts, 2)) > HOLDERS_OF_PARTS
        ):
            held[0] = True
        r += 1
    rows.n_rows = r
    return r > 0


cdef bint find_neurons(object module, list neurons, FusedRows *rows, bint held) except -1:
    """The rows of a module's neurons, laid out if need be; keeps the answer if it may."""
    cdef bint found = check_neurons(neurons, rows, &held)
    if not found:
        lay_out(neurons)
        found = check_neurons(neurons, rows, &held)
    if not found:
        rows.block = NULL
    # To say no for too long costs time alone.
    if not found or not held:
        note_answer(module, rows)
    return found


cdef bint find_layer(object layer, FusedRows *rows) except -1:
    """Whether a layer may be evaluated whole now, and its rows. O(1) unless something changed."""
    cdef KnownLayer *known
    cdef PyObject *neurons
    cdef bint held
    if not classes_unchanged() or not is_layer(layer):
        return False
    known = known_module(layer)
    if still_holds(known, layer):
        rows[0] = known.rows
        return rows.block != NULL
    attributes = attributes_of(layer)
    neurons = dict_get(<PyObject *>attributes, <PyObject *>"neurons")
    if neurons == NULL or type(<object>neurons) is not list:
        return False
    held = Py_REFCNT(<PyObject *>attributes) > HOLDERS_OF_ATTRIBUTES or Py_REFCNT(neurons) > 1
    return find_neurons(layer, <list>neurons, rows, held)


cdef bint find_neuron(object neuron, FusedRows *rows) except -1:
    """The same for a neuron by itself, which may be a row of a layer."""
    cdef KnownLayer *known
    if not classes_unchanged() or Py_TYPE(<PyObject *>neuron) != NeuronType:
        return False
    known = known_module(neuron)
    if still_holds(known, neuron):
        rows[0] = known.rows
        return rows.block != NULL
    return find_neurons(neuron, [neuron], rows, False)


cdef list layers_of(object model):
    """The layers that a call of a model evaluates in order, if it does nothing else; or None."""
    if type(model) is layer_class:
        return [model]
    if mlp_call is None or getattr(type(model), "__call__", None) is not mlp_call:
        return None
    layers = model.layers
    return <list>layers if type(layers) is list else None


cdef enum:
    MAX_STACK = 32  # layers that are evaluated in one go


cdef Py_ssize_t find_stack(list layers, FusedRows *rows) except -1:
    """How many layers there are, if each may be evaluated whole, on what the one before gives;
    else 0. There is room for MAX_STACK rows."""
    cdef Py_ssize_t i, n = len(layers), attempt
    cdef uint64_t version
    if n > MAX_STACK:
        return 0
    # Once more where the first round has taken a parameter out of a block of its own.
    for attempt in range(2):
        version = structure_version
        for i in range(n):
            # What a call of a subclass does is not known.
            if i >= len(layers) or type(layers[i]) is not layer_class:
                return 0
            if not find_layer(layers[i], &rows[i]):
                return 0
        if structure_version == version:
            break
    else:
        return 0
    for i in range(1, n):
        if rows[i].block.n_in != rows[i - 1].n_rows:
            return 0
    return n
