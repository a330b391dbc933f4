# Between references that are counted by hand and those that Cython counts.

cdef extern from "Python.h":
    PyObject *list_item "PyList_GET_ITEM"(PyObject *, Py_ssize_t)


cdef PyObject *new_reference(object result):
    Py_INCREF(<PyObject *>result)
    return <PyObject *>result


cdef object adopt(PyObject *reference):
    """Hand a new reference over to Cython's own counting."""
    result = <object>reference
    Py_DECREF(reference)
    return result
