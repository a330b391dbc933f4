# Fused layers: what nn's classes call instead of building node by node, and what the rest of the
# crossing does so that nobody can tell.
#
# A layer may be fused while nothing about it is unusual: its neurons are plain Neurons of one
# activation, their weights and biases distinct leaves without a hook, Value's arithmetic unpatched.
# Checking that costs a look at every weight, so the result is kept in the layer's block and stays
# valid for as long as structure_version does not change. Everything that could change the answer
# counts it up: attributes and lists of modules (nn.py), hooks, re-initialised parameters.

cdef extern from "Python.h":
    PyObject *PyList_New(Py_ssize_t) except NULL
    void PyList_SET_ITEM(PyObject *, Py_ssize_t, PyObject *)

mg_layer_attach(&arena)

cdef bint fusing = True
cdef uint64_t refused_version = 0
cdef set refused_layers = set()

cdef PyTypeObject *NeuronType = NULL
cdef PyTypeObject *LayerType = NULL
cdef object neuron_call = None, layer_call = None
cdef void *neuron_getattro = NULL
cdef void *value_getattro = NULL
cdef type ModuleList = None
cdef unsigned int value_tag = 0, neuron_tag = 0, layer_tag = 0
cdef dict original_methods = {}


def register_nn(neuron_class, layer_class, module_list):
    """Tell the engine which classes it may fuse, with lists that report their changes."""
    global NeuronType, LayerType, neuron_call, layer_call, ModuleList
    global neuron_getattro, value_getattro
    NeuronType = <PyTypeObject *><PyObject *>neuron_class
    LayerType = <PyTypeObject *><PyObject *>layer_class
    neuron_getattro = NeuronType.tp_getattro
    value_getattro = ValueType.tp_getattro
    neuron_call = neuron_class.__dict__["__call__"]
    layer_call = layer_class.__dict__["__call__"]
    ModuleList = module_list
    for op in range(<int>MG_ADD, <int>MG_N_OPS):
        name = operation_name(<mg_op>op)
        if name in Value.__dict__:
            original_methods[name] = Value.__dict__[name]


def fuse(enabled):
    """Switch the fusing of layers on or off; what a program computes is the same either way.

    Parameters
    ----------
    enabled : bool
        False builds every layer node by node from now on.
    """
    global fusing
    fusing = enabled
    # A gradient of -0.0 that is gone need not slow down what comes.
    arena.negative_zero_grads = some_gradient_is_negative_zero()
    structure_changed()


cdef bint some_gradient_is_negative_zero() noexcept:
    cdef mg_node node
    for node in range(arena.top):
        # A parameter without references may still be in use by a call.
        if arena.meta[node].refs == 0 and not arena.meta[node].flags & MG_PARAMETER:
            continue
        if arena.grad[node] == 0.0 and signbit(arena.grad[node]):
            return True
    return False


def instance_dict(module):
    """The attributes of a module, for its ``__dict__``."""
    return attributes_of(module)


cdef dict attributes_of(object module):
    return <dict>adopt(generic_dict(<PyObject *>module, NULL))


cdef inline bint has_another_owner(dict attributes) noexcept:
    """Whether somebody could change a module's attributes through the dict itself."""
    # One reference is the module's, the other the caller's.
    return Py_REFCNT(<PyObject *>attributes) > 2


cdef bint classes_unchanged() except -1:
    """Whether neither Value nor Neuron has been patched in a way that a fused layer would miss."""
    global value_tag, neuron_tag, structure_version
    if not fusing:
        return False
    if value_tag != 0 and version_tag(ValueType) == value_tag and neuron_tag != 0 and (
        version_tag(NeuronType) == neuron_tag
    ):
        return True
    # Look something up first: that is what gives a modified type its next tag.
    getattr(<object>ValueType, "relu")
    getattr(<object>NeuronType, "parameters")
    structure_version += 1
    value_tag = neuron_tag = 0
    if ValueType.tp_as_number.nb_add != <void *>value_add:
        return False
    if ValueType.tp_as_number.nb_multiply != <void *>value_multiply:
        return False
    if (<object>NeuronType).__dict__.get("__call__") is not neuron_call:
        return False
    if NeuronType.tp_getattro != neuron_getattro or ValueType.tp_getattro != value_getattro:
        return False
    for name in ("w", "b", "nonlin", "activation"):
        # A property would come before what the neuron's own dict says; a default does not.
        if hasattr(type(getattr(<object>NeuronType, name, None)), "__set__"):
            return False
    value_tag = version_tag(ValueType)
    neuron_tag = version_tag(NeuronType)
    return True


cdef bint layer_class_unchanged() except -1:
    """Whether to call a Layer means what it says in nn.py."""
    global layer_tag
    if layer_tag != 0 and version_tag(LayerType) == layer_tag:
        return True
    getattr(<object>LayerType, "parameters")
    layer_tag = 0
    if (<object>LayerType).__dict__.get("__call__") is not layer_call:
        return False
    layer_tag = version_tag(LayerType)
    return True


cdef bint fusable_leaf(object value) noexcept:
    cdef PyObject *handle = <PyObject *>value
    if Py_TYPE(handle) != ValueType or arena.meta[node_of(handle)].arity != 0:
        return False
    return not may_have_closure(handle)


cdef bint read_activation(dict attributes, mg_op *op, double *k) except -1:
    """The operation of a neuron's activation; False if it cannot be fused."""
    k[0] = 0.0
    if "nonlin" not in attributes or "activation" not in attributes:
        return False
    name = attributes["activation"]
    if not attributes["nonlin"] or name is None or name == "linear":
        op[0] = MG_LEAF
        return True
    if not isinstance(name, str) or name not in original_methods:
        return False
    if Value.__dict__.get(name) is not original_methods[name]:
        return False
    for code in range(<int>MG_ADD, <int>MG_N_OPS):
        if operation_name(<mg_op>code) == name:
            op[0] = <mg_op>code
    if mg_ops[<int>op[0]].arity != 1 or mg_ops[<int>op[0]].n_immediates > 1:
        return False
    k[0] = mg_ops[<int>op[0]].immediates[0].otherwise
    return True


cdef list row_values(object neurons, Py_ssize_t *n_in, mg_op *activation, double *k):
    """Every parameter, row by row, bias last; None if the neurons cannot share a block."""
    cdef mg_op own_activation = MG_LEAF
    cdef double own_k = 0.0
    cdef list values = []
    cdef dict attributes
    cdef Py_ssize_t r
    for r in range(len(neurons)):
        neuron = neurons[r]
        if Py_TYPE(<PyObject *>neuron) != NeuronType:
            return None
        attributes = attributes_of(neuron)
        if has_another_owner(attributes):
            return None
        weights = attributes.get("w")
        bias = attributes.get("b")
        if type(weights) is not ModuleList or not read_activation(attributes, &own_activation,
                                                                  &own_k):
            return None
        if r == 0:
            n_in[0] = len(<list>weights)
            activation[0] = own_activation
            k[0] = own_k
        if len(<list>weights) != n_in[0] or own_activation != activation[0]:
            return None
        values.extend(<list>weights)
        values.append(bias)
    if n_in[0] == 0:
        return None
    for value in values:
        if not fusable_leaf(value):
            return None
    return values


cdef bint all_distinct(list values) noexcept:
    cdef mg_node node
    mg_arena_next_epoch(&arena)
    for value in values:
        node = node_of(<PyObject *>value)
        if arena.mark[node] == arena.epoch:
            return False
        arena.mark[node] = arena.epoch
    return True


cdef int move_leaf(PyObject *handle, mg_node target) except -1:
    """Give a leaf that only its handle refers to another slot."""
    global n_moves
    cdef mg_node source = node_of(handle)
    arena.data[target] = arena.data[source]
    arena.grad[target] = arena.grad[source]
    arena.meta[target] = arena.meta[source]
    arena.aux[target].immediate = 0.0
    arena.handle[target] = handle
    (<ValueHandle *>handle).node = target
    n_moves += 1
    arena.handle[source] = NULL
    arena.meta[source].flags = 0
    mg_arena_release(&arena, source)
    return 0


cdef mg_layer_block *lay_out(object owner, object neurons) except? NULL:
    """The block of a layer's parameters, made if need be; NULL if they cannot have one."""
    cdef Py_ssize_t n_in = 0, i, n_rows = len(neurons)
    cdef mg_op activation = MG_LEAF
    cdef double k = 0.0
    cdef list values
    cdef mg_node base, node
    cdef mg_layer_block *block
    cdef bint in_place = True, is_run = False
    if n_rows == 0 or not classes_unchanged():
        return NULL
    values = row_values(neurons, &n_in, &activation, &k)
    if values is None or not all_distinct(values):
        return NULL
    base = node_of(<PyObject *>values[0])
    block = arena.aux[base].block if arena.meta[base].flags & MG_PARAMETER else NULL
    for i in range(len(values)):
        node = node_of(<PyObject *>values[i])
        if node != base + i:
            in_place = False
        if (arena.aux[node].block if arena.meta[node].flags & MG_PARAMETER else NULL) != block:
            in_place = False
    if block != NULL and not (
        in_place and block.base == base and block.n_rows == n_rows and block.n_in == n_in
    ):
        in_place = False
    if not in_place:
        for value in values:
            make_ordinary(node_of(<PyObject *>value))
        for value in values:
            if arena.meta[node_of(<PyObject *>value)].refs != 1:
                return NULL
        if n_node_maps > 0:
            # Somebody remembers nodes by their numbers.
            return NULL
        base = mg_arena_take_span(&arena, <uint32_t>len(values))
        if base == MG_NO_NODE:
            raise MemoryError(f"no memory for {len(values)} parameters in a row")
        for i in range(len(values)):
            move_leaf(<PyObject *>values[i], base + <mg_node>i)
        block = NULL
        is_run = True
    if block == NULL:
        block = mg_layer_block_new(&arena, base, <uint32_t>n_rows, <uint32_t>n_in, is_run)
        if block == NULL:
            raise MemoryError(f"no memory for the record of a layer of {n_rows} neurons")
    elif (block.activation != activation or block.activation_k != k) and block.calls != NULL:
        # Calls keep their own activation; only new ones see the block's.
        pass
    block.activation = activation
    block.activation_k = k
    block.owner = <void *>owner
    for i in range(n_rows):
        block.row_owners[i] = <void *><PyObject *>neurons[i]
    block.version = structure_version
    return block


cdef mg_layer_block *block_of(object neuron) except? NULL:
    """The block that a neuron's first weight is in, or NULL."""
    cdef mg_node node
    weights = attributes_of(neuron).get("w")
    if type(weights) is not ModuleList or len(<list>weights) == 0:
        return NULL
    first = (<list>weights)[0]
    if Py_TYPE(<PyObject *>first) != ValueType:
        return NULL
    node = node_of(<PyObject *>first)
    return arena.aux[node].block if arena.meta[node].flags & MG_PARAMETER else NULL


# The blocks found last, by the address of the layer. An entry holds as long as its version is the
# current one: until then no other layer can have come to the same address.
cdef struct KnownLayer:
    const void *layer
    mg_layer_block *block
    uint64_t version

cdef enum:
    N_KNOWN_LAYERS = 256

cdef KnownLayer known_layers[N_KNOWN_LAYERS]


cdef inline KnownLayer *known_layer(object layer) noexcept:
    return &known_layers[(<size_t><PyObject *>layer >> 4) % N_KNOWN_LAYERS]


cdef mg_layer_block *layer_block(object layer) except? NULL:
    """A layer's block if it may be fused now, else NULL. O(1) unless something has changed."""
    cdef KnownLayer *known = known_layer(layer)
    if not classes_unchanged():
        return NULL
    if known.version == structure_version and known.layer == <void *><PyObject *>layer:
        return known.block
    cdef mg_layer_block *block = NULL
    cdef dict attributes = attributes_of(layer)
    neurons = attributes.get("neurons")
    if type(neurons) is ModuleList and not has_another_owner(attributes):
        block = find_block(layer, neurons)
    # Laying out can change the structure.
    known[0] = KnownLayer(<void *><PyObject *>layer, block, structure_version)
    return block


cdef mg_layer_block *find_block(object layer, object neurons) except? NULL:
    """The block of some neurons that ``layer`` owns, with a look at every weight if need be."""
    global refused_version
    cdef mg_layer_block *block = NULL
    if len(neurons) == 0 or NeuronType == NULL or not classes_unchanged():
        return NULL
    if refused_version != structure_version:
        refused_layers.clear()
        refused_version = structure_version
    elif id(layer) in refused_layers:
        return NULL
    if Py_TYPE(<PyObject *>neurons[0]) == NeuronType:
        block = block_of(neurons[0])
    if block != NULL and block.version == structure_version and block.owner == <void *>layer:
        return block
    block = lay_out(layer, neurons)
    if block == NULL and refused_version == structure_version:
        refused_layers.add(id(layer))
    return block


cdef bint lay_out_all(list layers, mg_layer_block **blocks) except -1:
    """Find the blocks of several layers; False if they cannot all be fused at once."""
    cdef uint64_t version = structure_version
    cdef Py_ssize_t i
    for i in range(len(layers)):
        blocks[i] = layer_block(layers[i])
        if blocks[i] == NULL:
            return False
    # To lay one out can dissolve another, with which it shares a weight.
    return structure_version == version
