# Fused layers: what nn's classes call instead of building node by node, and what the rest of the
# crossing does so that nobody can tell.
#
# A layer may be fused while nothing about it is unusual: its neurons are plain Neurons of one
# activation, their weights and biases distinct leaves without a hook, Value's arithmetic unpatched.
# Checking that costs a look at every weight, so the result is kept in the layer's block and stays
# valid for as long as structure_version does not change. Everything that could change the answer
# counts it up: attributes and lists of modules (nn.py), hooks, re-initialised parameters.

cdef extern from "Python.h":
    unsigned int version_tag "MG_VERSION_TAG"(PyTypeObject *)
    PyObject *PyList_New(Py_ssize_t) except NULL
    void PyList_SET_ITEM(PyObject *, Py_ssize_t, PyObject *)
    PyObject *list_item "PyList_GET_ITEM"(PyObject *, Py_ssize_t)

cdef extern from *:
    """
    #define MG_VERSION_TAG(type) ((type)->tp_version_tag)
    """

mg_layer_attach(&arena)

cdef bint fusing = True
cdef uint64_t structure_version = 1
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


def structure_changed():
    """Note that some module is no longer what it was."""
    global structure_version
    structure_version += 1


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


cdef int expand_neuron(mg_node node) except -1:
    """Make the scalar graph of a fused neuron appear."""
    if arena.meta[node].arity == MG_FUSED and mg_neuron_expand(&arena, node) != MG_OK:
        raise MemoryError("no memory for the scalar graph of a neuron")
    return 0


cdef int make_ordinary(mg_node node) except -1:
    """Take a parameter out of its layer's block: something about it cannot be fused."""
    if arena.meta[node].flags & MG_PARAMETER:
        structure_changed()
        if mg_block_dissolve(&arena, arena.aux[node].block) != MG_OK:
            raise MemoryError("no memory for the scalar graphs of a layer")
    return 0


cdef inline int note_data_write(mg_node node) except -1:
    """To be called before the data of a node is assigned, whoever does it."""
    if arena.meta[node].flags & MG_PARAMETER:
        if mg_block_before_write(&arena, arena.aux[node].block) != MG_OK:
            raise MemoryError("no memory to keep the weights that live graphs were made with")
    return 0


cdef inline void note_grad_write(double grad) noexcept:
    """To be called when a gradient is assigned from outside the backward pass."""
    if grad == 0.0 and signbit(grad):
        arena.negative_zero_grads = 1


cdef bint fusable_leaf(object value) noexcept:
    cdef PyObject *handle = <PyObject *>value
    cdef mg_meta *meta
    if Py_TYPE(handle) != ValueType:
        return False
    meta = &arena.meta[node_of(handle)]
    return meta.arity == 0 and not meta.flags & MG_CUSTOM


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
    if op[0] == MG_LEAKY_RELU:
        k[0] = DEFAULT_NEGATIVE_SLOPE
    elif op[0] == MG_ELU:
        k[0] = DEFAULT_ALPHA
    elif mg_ops[<int>op[0]].arity != 1 or mg_ops[<int>op[0]].n_immediates != 0:
        return False
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


cdef mg_block *lay_out(object owner, object neurons) except? NULL:
    """The block of a layer's parameters, made if need be; NULL if they cannot have one."""
    cdef Py_ssize_t n_in = 0, i, n_rows = len(neurons)
    cdef mg_op activation = MG_LEAF
    cdef double k = 0.0
    cdef list values
    cdef mg_node base, node
    cdef mg_block *block
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
        base = mg_arena_take_run(&arena, <uint32_t>len(values))
        if base == MG_NO_NODE:
            raise MemoryError(f"no memory for {len(values)} parameters in a row")
        for i in range(len(values)):
            move_leaf(<PyObject *>values[i], base + <mg_node>i)
        block = NULL
        is_run = True
    if block == NULL:
        block = mg_block_new(&arena, base, <uint32_t>n_rows, <uint32_t>n_in, is_run)
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


cdef mg_block *block_of(object neuron) except? NULL:
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
    mg_block *block
    uint64_t version

cdef enum:
    N_KNOWN_LAYERS = 256

cdef KnownLayer known_layers[N_KNOWN_LAYERS]


cdef inline KnownLayer *known_layer(object layer) noexcept:
    return &known_layers[(<size_t><PyObject *>layer >> 4) % N_KNOWN_LAYERS]


cdef mg_block *layer_block(object layer) except? NULL:
    """A layer's block if it may be fused now, else NULL. O(1) unless something has changed."""
    cdef KnownLayer *known = known_layer(layer)
    if not classes_unchanged():
        return NULL
    if known.version == structure_version and known.layer == <void *><PyObject *>layer:
        return known.block
    cdef mg_block *block = NULL
    cdef dict attributes = attributes_of(layer)
    neurons = attributes.get("neurons")
    if type(neurons) is ModuleList and not has_another_owner(attributes):
        block = find_block(layer, neurons)
    # Laying out can change the structure.
    known[0] = KnownLayer(<void *><PyObject *>layer, block, structure_version)
    return block


cdef mg_block *find_block(object layer, object neurons) except? NULL:
    """The block of some neurons that ``layer`` owns, with a look at every weight if need be."""
    global refused_version
    cdef mg_block *block = NULL
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


cdef bint lay_out_all(list layers, mg_block **blocks) except -1:
    """Find the blocks of several layers; False if they cannot all be fused at once."""
    cdef uint64_t version = structure_version
    cdef Py_ssize_t i
    for i in range(len(layers)):
        blocks[i] = layer_block(layers[i])
        if blocks[i] == NULL:
            return False
    # To lay one out can dissolve another, with which it shares a weight.
    return structure_version == version


cdef list plain_inputs(object x):
    """The inputs as a list, or None if only the scalar path can say what they are."""
    if type(x) is list:
        return <list>x
    if type(x) is tuple:
        return list(x)
    if getattr(x, "ndim", None) == 1 and hasattr(x, "tolist"):
        return x.tolist()
    return None


cdef mg_call *new_call(mg_block *block, uint32_t first_row, uint32_t n_rows,
                       list inputs) except? NULL:
    """A call with its inputs filled in; NULL if one of them is unusual."""
    cdef mg_call *call
    cdef Py_ssize_t i, n_in = len(inputs)
    cdef bint with_values = False
    cdef PyObject *item
    cdef mg_node node
    for i in range(n_in):
        item = list_item(<PyObject *>inputs, i)
        if Py_TYPE(item) == ValueType:
            with_values = True
            if arena.meta[node_of(item)].flags & MG_PARAMETER:
                return NULL
        elif not PyFloat_CheckExact(item) and not PyLong_CheckExact(item):
            return NULL
    call = mg_call_new(block, first_row, n_rows, with_values)
    if call == NULL:
        raise MemoryError(f"no memory for a layer call of {n_rows} neurons")
    try:
        for i in range(n_in):
            item = list_item(<PyObject *>inputs, i)
            node = MG_NO_NODE
            if Py_TYPE(item) == ValueType:
                node = node_of(item)
                call.x[i] = arena.data[node]
            elif PyFloat_CheckExact(item):
                call.x[i] = PyFloat_AS_DOUBLE(item)
            else:
                call.x[i] = PyLong_AsDouble(item)
            if with_values:
                call.inputs[i] = node
    except BaseException:
        mg_call_free(call)
        raise
    mg_call_find_duplicates(&arena, call)
    return call


cdef object neurons_of_call(mg_call *call):
    """The Values of a call that has just been made."""
    cdef uint32_t r = 0, n_rows = call.n_rows
    cdef PyObject *handle
    cdef PyObject *outputs
    outputs = PyList_New(n_rows)
    try:
        while r < n_rows:
            handle = handle_new()
            handle_attach(handle, call.neurons[r])
            PyList_SET_ITEM(outputs, r, handle)
            r += 1
    except BaseException:
        for r in range(n_rows):
            discard_unused(call.neurons[r])
        Py_DECREF(outputs)
        raise
    return adopt(outputs)


cdef int evaluate(mg_call *call) except -1:
    """Give a new call its neurons, without handles yet; frees the call if it has no value."""
    cdef double failed_pre = 0.0
    cdef mg_op activation = call.activation
    cdef mg_status st = mg_call_forward(&arena, call, &failed_pre)
    if st != MG_OK:
        mg_call_free(call)
        raise_status(st, activation, failed_pre, 0.0)
    return 0


cdef mg_call *called(mg_block *block, uint32_t first_row, uint32_t n_rows, object x) except? NULL:
    """The call of some rows of a block, evaluated; NULL for the scalar path."""
    cdef mg_call *call
    inputs = plain_inputs(x)
    if inputs is None or len(<list>inputs) != block.n_in:
        return NULL
    call = new_call(block, first_row, n_rows, inputs)
    if call != NULL:
        evaluate(call)
    return call


cdef object fused(mg_block *block, uint32_t first_row, uint32_t n_rows, object x):
    """The outputs of some rows of a block, or None for the scalar path."""
    cdef mg_call *call = called(block, first_row, n_rows, x)
    return None if call == NULL else neurons_of_call(call)


cdef mg_call *called_on(mg_block *block, mg_call *before) except NULL:
    """The call of a whole block on all neurons of another call, which go with it if it fails."""
    cdef uint32_t i, n = before.n_rows
    cdef mg_call *call = mg_call_new(block, 0, block.n_rows, True)
    try:
        if call == NULL:
            raise MemoryError(f"no memory for a layer call of {block.n_rows} neurons")
        for i in range(n):
            call.x[i] = arena.data[before.neurons[i]]
            call.inputs[i] = before.neurons[i]
        evaluate(call)
    except BaseException:
        for i in range(n):
            discard_unused(before.neurons[i])
        raise
    return call


def fused_layer(layer, x):
    """The list of a layer's outputs, or None where it must be built node by node."""
    cdef mg_block *block = layer_block(layer)
    return None if block == NULL else fused(block, 0, block.n_rows, x)


cdef enum:
    MAX_STACK = 32  # layers that are evaluated in one go


def fused_stack(layers, x):
    """The list of the last layer's outputs, each layer evaluated on the one before.

    None where the layers must be called one by one. The neurons in between get no handle.
    """
    cdef mg_block *blocks[MAX_STACK]
    cdef mg_call *call
    cdef Py_ssize_t i, n
    if type(layers) is not list or not 0 < len(<list>layers) <= MAX_STACK:
        return None
    n = len(<list>layers)
    for i in range(n):
        if Py_TYPE(list_item(<PyObject *>layers, i)) != LayerType:
            return None
    if not layer_class_unchanged() or not lay_out_all(<list>layers, blocks):
        return None
    for i in range(1, n):
        if blocks[i].n_in != blocks[i - 1].n_rows:
            return None
    call = called(blocks[0], 0, blocks[0].n_rows, x)
    if call == NULL:
        return None
    for i in range(1, n):
        call = called_on(blocks[i], call)
    return neurons_of_call(call)


def fused_neuron(neuron, x):
    """A neuron's output, or None where it must be built node by node."""
    cdef mg_block *block
    cdef uint32_t row
    if Py_TYPE(<PyObject *>neuron) != NeuronType or not classes_unchanged():
        return None
    block = block_of(neuron)
    if block == NULL:
        block = find_block(neuron, [neuron])
    if block == NULL or block.version != structure_version:
        return None
    row = (node_of(<PyObject *>neuron.w[0]) - block.base) / (block.n_in + 1)
    if block.row_owners[row] != <void *><PyObject *>neuron:
        return None
    outputs = fused(block, row, 1, x)
    return None if outputs is None else outputs[0]


def fused_values(list layers not None, const double[:, ::1] x not None):
    """The outputs of a stack of layers for each row of numbers, without a graph.

    Returns the numbers of all rows in one ``array.array`` (of at least one), and how many a row
    has. None if the layers cannot be fused; ValueError for rows of the wrong length.
    """
    import array

    cdef Py_ssize_t n = x.shape[0], n_layers = len(layers), r, i
    cdef uint32_t n_in = <uint32_t>x.shape[1], width = 1
    cdef double failed_pre = 0.0
    cdef mg_status st
    cdef const double *before
    cdef double *after
    cdef double[::1] scratch, outputs
    cdef mg_block *block
    cdef mg_block **blocks = <mg_block **>mg_realloc(NULL, (n_layers + 1) * sizeof(mg_block *))
    if blocks == NULL:
        raise MemoryError(f"no memory for the blocks of {n_layers} layers")
    try:
        # Once more where the first round has taken a neuron out of a block of its own.
        if n_layers == 0 or not (lay_out_all(layers, blocks) or lay_out_all(layers, blocks)):
            return None
        for i in range(n_layers):
            if blocks[i].n_in != n_in:
                raise ValueError(
                    f"a neuron with {blocks[i].n_in} weights was given {n_in} inputs"
                )
            n_in = blocks[i].n_rows
            width = max(width, n_in)
        result = array.array("d", [0.0]) * max(1, n * n_in)
        outputs = result
        scratch = array.array("d", [0.0]) * (2 * width)
        for r in range(n):
            before = &x[r, 0]
            for i in range(n_layers):
                block = blocks[i]
                after = &outputs[r * n_in] if i == n_layers - 1 else &scratch[i % 2 * width]
                st = mg_block_values(&arena, block, before, after, &failed_pre)
                if st != MG_OK:
                    raise_status(st, block.activation, failed_pre, 0.0)
                before = after
        return result, n_in
    finally:
        mg_free(blocks)
