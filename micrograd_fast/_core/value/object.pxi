# The object that a Value is to Python, and what of Python's C interface is called with explicit
# reference counts.
#
# What must stay true: a handle that anybody can reach has a node (handle.node is MG_NO_NODE only
# between its allocation and handle_attach, where no Python runs, and for handles that are dropped
# again at once); handle.dict is NULL or a dict that this handle alone owns, though others may
# borrow it (see get_dict).

cdef extern from *:
    """
    typedef struct {
        PyObject_HEAD
        mg_node node;
        int tracked;         /* whether the collector knows it, and why */
        int seen;            /* whether the graph has shown it */
        PyObject *dict;      /* attributes, _backward, label, an assigned _op; or NULL */
        PyObject *weakrefs;
    } ValueHandle;

    /* Both without a collection, which could run Python that looks at the node for which this
     * handle is, or moves it. The next container that is allocated brings it on instead. */
    static PyObject *new_untracked_handle(PyTypeObject *type) {
        const int collecting = PyGC_Disable();
        PyObject *self = (PyObject *)PyObject_GC_New(ValueHandle, type);
        if (collecting) PyGC_Enable();
        return self;
    }

    static PyObject *new_tracked_handle(PyTypeObject *subclass) {
        const int collecting = PyGC_Disable();
        PyObject *self = subclass->tp_alloc(subclass, 0);
        if (collecting) PyGC_Enable();
        return self;
    }
    """
    ctypedef struct ValueHandle:
        mg_node node
        int tracked
        int seen
        PyObject *dict
        PyObject *weakrefs

    PyObject *new_untracked_handle(PyTypeObject *) except NULL
    PyObject *new_tracked_handle(PyTypeObject *) except NULL

cdef extern from *:
    """
    /* Another number whenever the type or a base is changed, 0 until something is looked up. */
    #define MG_VERSION_TAG(type) ((type)->tp_version_tag)
    """
    unsigned int version_tag "MG_VERSION_TAG"(PyTypeObject *)

cdef extern from "Python.h":
    ctypedef void (*destructor)(PyObject *) noexcept
    ctypedef struct PyNumberMethods:
        void *nb_add
        void *nb_subtract
        void *nb_multiply
        void *nb_power
        void *nb_negative
        void *nb_bool

    ctypedef int (*visitproc)(PyObject *, void *) noexcept
    ctypedef struct PyTypeObject:
        void *tp_init
        void *tp_new
        void *tp_vectorcall
        void *tp_getattro
        void *tp_richcompare
        destructor tp_dealloc
        PyTypeObject *tp_base
        Py_hash_t (*tp_hash)(PyObject *) except? -1
        void (*tp_free)(void *) noexcept
        PyNumberMethods *tp_as_number

    PyTypeObject PyBaseObject_Type
    PyTypeObject *Py_TYPE(PyObject *o)
    Py_ssize_t Py_REFCNT(PyObject *o)
    void Py_SET_REFCNT(PyObject *o, Py_ssize_t count)
    void Py_SET_TYPE(PyObject *o, PyTypeObject *kind)
    void Py_INCREF(PyObject *o)
    void Py_DECREF(PyObject *o)
    void Py_CLEAR(PyObject *o)
    bint PyType_IsSubtype(PyTypeObject *a, PyTypeObject *b)
    void PyObject_GC_Track(void *o)
    void PyObject_GC_UnTrack(void *o)
    void PyObject_ClearWeakRefs(PyObject *o)
    bint PyObject_GC_IsTracked(PyObject *o)
    PyObject *new_dict "PyDict_New"() except NULL
    PyObject *dict_get "PyDict_GetItemWithError"(PyObject *d, PyObject *key) except? NULL
    bint dict_next "PyDict_Next"(PyObject *d, Py_ssize_t *position, PyObject **key,
                                 PyObject **entry) noexcept
    bint PyUnicode_Check(PyObject *o)
    int PyUnicode_Compare(PyObject *a, PyObject *b) noexcept

cdef PyTypeObject *ValueType = NULL
# The deallocator of Value and its twins, once there is one: how they are told from subclasses.
cdef destructor plain_dealloc = NULL


cdef inline bint is_plain_type(PyTypeObject *kind) noexcept:
    """Whether a type is Value or a twin of it (type.pxi), and no subclass that Python has made:
    those come with a deallocator of their own."""
    return kind == ValueType or kind.tp_dealloc == plain_dealloc


cdef inline bint is_value(PyObject *o) noexcept:
    if is_plain_type(Py_TYPE(o)):
        return True
    # The common operands that are none are told apart without a walk over their bases.
    return not PyFloat_CheckExact(o) and not PyLong_CheckExact(o) and PyType_IsSubtype(
        Py_TYPE(o), ValueType
    )


cdef inline PyTypeObject *kind_of(PyObject *value) noexcept:
    """The type of what a Value's operators give: Value, or the twin that it is of."""
    cdef PyTypeObject *kind = Py_TYPE(value)
    while not is_plain_type(kind):
        kind = kind.tp_base
    return kind


cdef inline mg_node node_of(PyObject *value) noexcept:
    return (<ValueHandle *>value).node
