# The tables that make a type of all this, and what the module tells about itself.

from libc.stdint cimport uintptr_t

cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc

    ctypedef struct PyGetSetDef:
        const char *name
        void *get
        void *set
        const char *doc
        void *closure

    ctypedef struct PyMemberDef:
        const char *name
        int type
        Py_ssize_t offset
        int flags
        const char *doc

    ctypedef struct PyType_Slot:
        int slot
        void *pfunc

    ctypedef struct PyType_Spec:
        const char *name
        int basicsize
        int itemsize
        unsigned int flags
        PyType_Slot *slots

    object PyType_FromSpec(PyType_Spec *spec)
    object PyType_FromSpecWithBases(PyType_Spec *spec, object bases)
    enum:
        METH_NOARGS
        METH_O
        METH_FASTCALL
        METH_KEYWORDS
        Py_TPFLAGS_DEFAULT
        Py_TPFLAGS_BASETYPE
        Py_TPFLAGS_HAVE_GC
        Py_tp_clear
        Py_tp_dealloc
        Py_tp_doc
        Py_tp_getset
        Py_tp_init
        Py_tp_members
        Py_tp_methods
        Py_tp_new
        Py_tp_repr
        Py_tp_setattro
        Py_tp_traverse
        Py_nb_absolute
        Py_nb_add
        Py_nb_multiply
        Py_nb_negative
        Py_nb_power
        Py_nb_subtract
        Py_nb_true_divide

cdef extern from *:
    """
    #include <structmember.h>
    #ifdef _MSC_VER
    #define MG_COMPILER "MSVC " Py_STRINGIFY(_MSC_FULL_VER)
    #elif defined(__clang__)
    #define MG_COMPILER __VERSION__
    #else
    #define MG_COMPILER "GCC " __VERSION__
    #endif
    #ifndef MG_BUILD_FLAGS
    #define MG_BUILD_FLAGS "unknown"
    #endif
    """
    enum:
        T_PYSSIZET
        READONLY
    const char *MG_COMPILER
    const char *MG_BUILD_FLAGS
    Py_ssize_t DICT_OFFSET "offsetof(ValueHandle, dict)"
    Py_ssize_t WEAKREFS_OFFSET "offsetof(ValueHandle, weakrefs)"


VALUE_DOC = """Value(data, _children=(), _op='', label='')
--

A number that remembers how it was computed, and its gradient.

Parameters
----------
data : number
    Anything with ``__float__`` or ``__index__``; kept as a C double.
_children : iterable of Value, optional
    The operands that this value was computed from, in order (also ``children``, ``prev``,
    ``_prev``, ``parents``). A str in this place is the label; the operands and ``_op`` follow it.
_op : str, optional
    The name of the operation (also ``op``). A tuple or list of numbers in this place is taken as
    ``local_grads``, the derivatives by each child: ``backward`` then adds
    ``local_grad * self.grad`` to each child's gradient.
label : str, optional
    A name for drawings (also ``name``).

Raises
------
TypeError
    If data is not a real number or a child is not a Value.
ValueError
    If the numbers of children and local_grads differ.

Examples
--------
>>> from micrograd_fast import Value
>>> a, b = Value(-4.0), Value(2.0)
>>> c = (a * b + b**3).relu()
>>> c.backward()
>>> b.grad
0.0
"""

BACKWARD_DOC = """backward($self, /)
--

Compute the gradient of this value by every value under it.

Sets the own ``grad`` to 1.0 and adds to all the others, the interior ones included; call
``zero_grad`` first where that is not wanted. Nodes are visited in reverse depth-first
post-order, operands left to right, without recursion.

Raises
------
ZeroDivisionError, OverflowError, ValueError
    If a derivative does not exist at the present data, as Python's own arithmetic would say.

Examples
--------
>>> from micrograd_fast import Value
>>> a = Value(3.0)
>>> (a * a).backward()
>>> a.grad
6.0
"""

# What the tables have room for, the empty row that ends each included.
cdef enum:
    MAX_METHODS = <int>MG_N_OPS + 16
    MAX_ATTRIBUTES = 16
    MAX_SLOTS = 32

# Everything the tables point to must stay alive as long as the type.
cdef list kept_text = []
cdef PyMethodDef type_methods[MAX_METHODS]
cdef int n_methods = 0
cdef PyGetSetDef type_attributes[MAX_ATTRIBUTES]
cdef int n_attributes = 0
cdef PyMemberDef type_members[3]
cdef PyType_Slot type_slots[MAX_SLOTS]
cdef int n_slots = 0


cdef const char *kept_alive(str s):
    encoded = s.encode()
    kept_text.append(encoded)
    return encoded


cdef int expect_room(int n_rows, int max_rows, str rows) except -1:
    """Refuse a row that would leave no place for the one that ends the table."""
    if n_rows + 1 >= max_rows:
        raise SystemError(f"the {rows} of Value must be fewer than {max_rows}, found more")
    return 0


cdef int add_method(str name, void *function, int flags, str doc) except -1:
    global n_methods
    expect_room(n_methods, MAX_METHODS, "methods")
    type_methods[n_methods].ml_name = kept_alive(name)
    type_methods[n_methods].ml_meth = function
    type_methods[n_methods].ml_flags = flags
    type_methods[n_methods].ml_doc = kept_alive(doc)
    n_methods += 1
    return 0


cdef int add_attribute(str name, void *get, void *set_, str doc) except -1:
    global n_attributes
    expect_room(n_attributes, MAX_ATTRIBUTES, "attributes")
    type_attributes[n_attributes].name = kept_alive(name)
    type_attributes[n_attributes].get = get
    type_attributes[n_attributes].set = set_
    type_attributes[n_attributes].doc = kept_alive(doc)
    type_attributes[n_attributes].closure = NULL
    n_attributes += 1
    return 0


cdef int add_slot(int slot, void *content) except -1:
    global n_slots
    expect_room(n_slots, MAX_SLOTS, "slots")
    type_slots[n_slots].slot = slot
    type_slots[n_slots].pfunc = content
    n_slots += 1
    return 0


cdef int add_operations() except -1:
    """A method for every row of the table that Python has no operator for."""
    for op in range(<int>MG_ADD, <int>MG_N_OPS):
        row = row_of(<mg_op>op)
        if not row.label.isidentifier():
            continue
        if row.immediates:
            flags = METH_FASTCALL | METH_KEYWORDS
        else:
            flags = METH_NOARGS if row.arity == 1 else METH_O
        add_method(row.name, mg_methods[op], flags, help_of(row))
    return 0


cdef object make_type():
    cdef PyType_Spec spec
    add_operations()
    add_method("backward", <void *>value_backward, METH_NOARGS, BACKWARD_DOC)
    add_method("zero_grad", <void *>value_zero_grad, METH_NOARGS,
               "zero_grad($self, /)\n--\n\nSet the gradient of this value and of every value"
               " under it to 0.0.\n")
    add_method("item", <void *>value_item, METH_NOARGS,
               "item($self, /)\n--\n\nReturn the data as a Python float.\n")
    add_method("conjugate", <void *>value_conjugate, METH_NOARGS,
               "conjugate($self, /)\n--\n\nReturn this value: it is real. numpy's std and var ask.\n")
    add_method("_propagate", <void *>value_propagate, METH_NOARGS,
               "_propagate($self, /)\n--\n\nAdd this node's share to its operands' gradients.\n")
    add_method("__format__", <void *>value_format, METH_O,
               "__format__($self, spec, /)\n--\n\nFormat the data.\n")
    add_method("__copy__", <void *>value_copy, METH_NOARGS,
               "__copy__($self, /)\n--\n\nReturn a new node on the same operands.\n")
    add_method("__deepcopy__", <void *>value_deepcopy, METH_O,
               "__deepcopy__($self, memo, /)\n--\n\nCopy the whole graph under this value.\n")
    add_method("__reduce_ex__", <void *>value_reduce, METH_O,
               "__reduce_ex__($self, protocol, /)\n--\n\nDescribe the graph to pickle.\n")
    memset(&type_methods[n_methods], 0, sizeof(PyMethodDef))

    add_attribute("data", <void *>get_data, <void *>set_data, "The number, a float.")
    add_attribute("grad", <void *>get_grad, <void *>set_grad,
                  "The gradient accumulated so far, a float.")
    add_attribute("label", <void *>get_label, <void *>set_label, "A name for drawings.")
    add_attribute("_op", <void *>get_op, <void *>set_op, "The operation's name, '' for a leaf.")
    add_attribute("_prev", <void *>get_prev, NULL, "The set of operands.")
    add_attribute("_children", <void *>get_children, NULL, "The tuple of operands in order.")
    add_attribute("_local_grads", <void *>get_local_grads, NULL,
                  "The tuple of derivatives by each operand, at the present data.")
    add_attribute("_backward", <void *>get_backward, <void *>set_backward,
                  "Called by backward to propagate this node; may be replaced.")
    add_attribute("__dict__", <void *>get_dict, NULL, "Attributes that were set on this value.")
    memset(&type_attributes[n_attributes], 0, sizeof(PyGetSetDef))

    memset(type_members, 0, sizeof(type_members))
    type_members[0].name = "__dictoffset__"
    type_members[0].type = T_PYSSIZET
    type_members[0].offset = DICT_OFFSET
    type_members[0].flags = READONLY
    type_members[1].name = "__weaklistoffset__"
    type_members[1].type = T_PYSSIZET
    type_members[1].offset = WEAKREFS_OFFSET
    type_members[1].flags = READONLY

    add_slot(Py_tp_doc, <void *>kept_alive(VALUE_DOC))
    add_slot(Py_tp_new, <void *>value_new)
    add_slot(Py_tp_init, <void *>value_init)
    add_slot(Py_tp_dealloc, <void *>handle_dealloc)
    add_slot(Py_tp_traverse, <void *>handle_traverse)
    add_slot(Py_tp_clear, <void *>handle_clear)
    add_slot(Py_tp_repr, <void *>value_repr)
    add_slot(Py_tp_setattro, <void *>value_setattro)
    add_slot(Py_tp_methods, type_methods)
    add_slot(Py_tp_getset, type_attributes)
    add_slot(Py_tp_members, type_members)
    add_slot(Py_nb_add, <void *>value_add)
    add_slot(Py_nb_multiply, <void *>value_multiply)
    add_slot(Py_nb_subtract, <void *>value_subtract)
    add_slot(Py_nb_true_divide, <void *>value_divide)
    add_slot(Py_nb_power, <void *>value_power)
    add_slot(Py_nb_negative, <void *>value_negative)
    add_slot(Py_nb_absolute, <void *>value_absolute)
    memset(&type_slots[n_slots], 0, sizeof(PyType_Slot))

    spec.name = "micrograd_fast.engine.Value"
    spec.basicsize = sizeof(ValueHandle)
    spec.itemsize = 0
    spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
    spec.slots = type_slots
    return PyType_FromSpec(&spec)


Value = make_type()
ValueType = <PyTypeObject *><PyObject *>Value
plain_dealloc = ValueType.tp_dealloc
own_data = Value.data
own_grad = Value.grad
ValueType.tp_vectorcall = <void *>value_vectorcall
# Not by the table of slots, which would give the class methods of these names that it does not have:
# the answers are those of any object, and only a traced function is told of the question.
ValueType.tp_hash = value_hash
ValueType.tp_richcompare = <void *>value_compare
ValueType.tp_as_number.nb_bool = <void *>value_truth
# numpy's scalars then hand `number * value` over at once instead of making arrays of both.
Value.__array_priority__ = 1000.0
for name, numpy_name in NUMPY_NAMES.items():
    setattr(Value, numpy_name, getattr(Value, name))
del name, numpy_name


cdef PyType_Slot twin_slots[4]
twin_slots[0].slot = Py_tp_dealloc
twin_slots[0].pfunc = <void *>handle_dealloc
twin_slots[1].slot = Py_tp_traverse
twin_slots[1].pfunc = <void *>handle_traverse
twin_slots[2].slot = Py_tp_clear
twin_slots[2].pfunc = <void *>handle_clear
memset(&twin_slots[3], 0, sizeof(PyType_Slot))


def make_twin(str name, dict attributes):
    """Make a twin of Value: a class that derives from it, and whose operators give its own kind.

    Attributes are put on it as on any class. The Values that a graph of its own shows are of it,
    and it costs what Value costs.
    """
    cdef PyType_Spec spec
    spec.name = kept_alive(f"micrograd_fast.engine.{name}")
    spec.basicsize = sizeof(ValueHandle)
    spec.itemsize = 0
    spec.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
    spec.slots = twin_slots
    twin = PyType_FromSpecWithBases(&spec, (Value,))
    (<PyTypeObject *><PyObject *>twin).tp_vectorcall = <void *>value_vectorcall
    for key, entry in attributes.items():
        setattr(twin, key, entry)
    return twin


def arena_stats():
    """Count what the engine holds.

    Returns
    -------
    dict
        ``live_nodes``, ``capacity`` (nodes the columns have room for), ``bytes_per_node`` and
        ``bytes`` (of the columns).
    """
    return {
        "live_nodes": arena.n_live,
        "capacity": arena.cap,
        "bytes_per_node": mg_arena_node_bytes(),
        "bytes": arena.cap * mg_arena_node_bytes(),
    }


def build_info():
    """Tell how the extension was built.

    Returns
    -------
    dict
        ``compiler`` and ``flags``.
    """
    return {"compiler": MG_COMPILER.decode(), "flags": MG_BUILD_FLAGS.decode()}
