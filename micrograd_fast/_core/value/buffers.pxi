# Doubles in memory that other objects own. Typed memoryviews could do this, too, but bring a sixth
# of the code that the compiler would get.

cdef extern from "Python.h":
    ctypedef struct Py_buffer:
        void *buf
        PyObject *obj
        Py_ssize_t len
        Py_ssize_t itemsize
        int ndim
        char *format
        Py_ssize_t *shape
        Py_ssize_t *strides

    bint PyObject_CheckBuffer(PyObject *)
    int PyObject_GetBuffer(PyObject *, Py_buffer *, int) except -1
    void PyBuffer_Release(Py_buffer *)
    int PyBUF_STRIDED_RO
    int PyBUF_FORMAT
    int PyBUF_C_CONTIGUOUS
    int PyBUF_WRITABLE


cdef bint holds_doubles(Py_buffer *view) noexcept:
    return (
        view.itemsize == sizeof(double)
        and view.format != NULL
        and view.format[0] == c"d"
        and view.format[1] == 0
    )


cdef double *take_doubles(object array, int n_axes, bint writable, str name,
                          Py_buffer *view) except NULL:
    """The numbers of a contiguous float64 array, and its shape in the view.

    They stay where they are until ``PyBuffer_Release(view)``, which must follow.
    """
    PyObject_GetBuffer(
        <PyObject *>array,
        view,
        PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0),
    )
    if view.ndim != n_axes or not holds_doubles(view):
        found = f"{view.ndim} axes of format {view.format!r}"
        PyBuffer_Release(view)
        raise ValueError(f"{name} must be float64 with {n_axes} axes, found {found}")
    return <double *>view.buf
