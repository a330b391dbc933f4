# What a fused layer relies on of nn's classes and of a neuron, read in one place.

cdef bint fusing = True

# nn's classes, for good; what of them a fused layer relies on; and of Value.
cdef PyTypeObject *NeuronType = NULL
cdef PyTypeObject *LayerType = NULL
cdef object neuron_class = None, layer_class = None, mlp_call = None
cdef list relied_on = []  # (class, name, what its own dict has there)
cdef watched layer_neurons = None
cdef void *neuron_getattro = NULL
cdef void *layer_getattro = NULL
cdef void *value_getattro = NULL
cdef unsigned int value_tag = 0, neuron_tag = 0, layer_tag = 0
cdef dict original_methods = {}
cdef dict activation_codes = {}


def register_nn(neuron, layer, mlp):
    """Tell the engine which classes it may fuse: once, by nn."""
    global NeuronType, LayerType, neuron_class, layer_class, mlp_call
    global layer_neurons, neuron_getattro, layer_getattro, value_getattro
    if neuron_class is not None:
        raise RuntimeError("the classes of nn have been registered")
    watched_names = ((neuron, ("w", "b", "nonlin", "activation")), (layer, ("neurons",)))
    for kind, names in watched_names:
        for name in names:
            if type(kind.__dict__.get(name)) is not watched:
                raise TypeError(f"{kind.__name__}.{name} must be watched")
        for name in (*names, "__call__"):
            relied_on.append((kind, name, kind.__dict__[name]))
    for op in range(<int>MG_ADD, <int>MG_N_OPS):
        name = operation_name(<mg_op>op)
        if name in Value.__dict__:
            original_methods[name] = Value.__dict__[name]
            activation_codes[name] = op
    mlp_call = mlp.__call__
    layer_neurons = layer.__dict__["neurons"]
    neuron_class = neuron
    layer_class = layer
    NeuronType = <PyTypeObject *><PyObject *>neuron
    LayerType = <PyTypeObject *><PyObject *>layer
    neuron_getattro = NeuronType.tp_getattro
    layer_getattro = LayerType.tp_getattro
    value_getattro = ValueType.tp_getattro


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


cdef bint classes_unchanged() except -1:
    """Whether Value, Neuron and Layer are as nn.py has them, as far as a fused layer can tell."""
    global value_tag, neuron_tag, layer_tag
    if not fusing or neuron_class is None:
        return False
    if value_tag != 0 and version_tag(ValueType) == value_tag and neuron_tag != 0 and (
        version_tag(NeuronType) == neuron_tag and layer_tag != 0
        and version_tag(LayerType) == layer_tag
    ):
        return True
    # Look something up first: that is what gives a modified type its next tag.
    getattr(<object>ValueType, "relu")
    getattr(neuron_class, "parameters")
    getattr(layer_class, "parameters")
    structure_changed()
    value_tag = neuron_tag = layer_tag = 0
    if ValueType.tp_as_number.nb_add != <void *>value_add:
        return False
    if ValueType.tp_as_number.nb_multiply != <void *>value_multiply:
        return False
    if NeuronType.tp_getattro != neuron_getattro or LayerType.tp_getattro != layer_getattro:
        return False
    if ValueType.tp_getattro != value_getattro:
        return False
    for kind, name, content in relied_on:
        if kind.__dict__.get(name) is not content:
            return False
    value_tag = version_tag(ValueType)
    neuron_tag = version_tag(NeuronType)
    layer_tag = version_tag(LayerType)
    return True


cdef bint is_layer(object layer) except -1:
    """Whether a layer, perhaps of a subclass, has its neurons where nn.py keeps them."""
    cdef PyTypeObject *kind = Py_TYPE(<PyObject *>layer)
    if kind == LayerType:
        return True
    return (
        PyType_IsSubtype(kind, LayerType)
        and kind.tp_getattro == layer_getattro
        and getattr_static(type(layer), "neurons") is layer_neurons
    )


cdef bint read_activation(dict attributes, mg_activation *activation) except -1:
    """The operation of a neuron's activation; False if it cannot be fused."""
    cdef PyObject *nonlin = dict_get(<PyObject *>attributes, <PyObject *>"nonlin")
    cdef PyObject *name = dict_get(<PyObject *>attributes, <PyObject *>"activation")
    activation[0] = mg_activation(MG_LEAF, 0.0)
    # Nothing whose truth or equality would have to be asked for in Python.
    if nonlin == NULL or name == NULL:
        return False
    if <object>nonlin is False or <object>name is None:
        return <object>nonlin is False or <object>nonlin is True
    if <object>nonlin is not True or type(<object>name) is not str:
        return False
    if <object>name == "linear":
        return True
    code = activation_codes.get(<object>name)
    if code is None or Value.__dict__.get(<object>name) is not original_methods[<object>name]:
        return False
    if mg_ops[<int>code].arity != 1 or mg_ops[<int>code].n_immediates > 1:
        return False
    activation[0] = mg_activation(<mg_op><int>code, mg_ops[<int>code].immediates[0].otherwise)
    return True


cdef bint read_neuron(object neuron, list parts) except -1:
    """Put a plain neuron's weights, bias and dict into ``parts``; False if it is none."""
    cdef PyObject *weights
    cdef PyObject *bias
    if Py_TYPE(<PyObject *>neuron) != NeuronType:
        return False
    attributes = attributes_of(neuron)
    weights = dict_get(<PyObject *>attributes, <PyObject *>"w")
    if weights == NULL or type(<object>weights) is not list:
        return False
    parts[0] = <object>weights
    bias = dict_get(<PyObject *>attributes, <PyObject *>"b")
    if bias == NULL:
        return False
    parts[1] = <object>bias
    parts[2] = attributes
    return True
