# Rows of numbers for frozen programs: where they are in what a caller gives, their weights, and the
# arrays that results go into. Doubles in a buffer are read where they are, anything else is converted.

cdef enum:
    N_SHORT_ROW = 32  # inputs of a row that needs no memory of its own


cdef struct Rows:
    const char *numbers
    Py_ssize_t row_stride
    Py_ssize_t column_stride
    Py_ssize_t n_rows
    bint single  # one row, given as such
    bint is_view
    Py_buffer view
    double short_row[32]


cdef object describe_shape(object shape):
    return f"shape {tuple(shape)}"


def as_numbers(given, name):
    """Anything as a contiguous float64 array; what is no real number is refused by its index."""
    import numbers

    import numpy

    try:
        array = numpy.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name} must be of one length: {error}") from None
    if array.dtype.kind == "O":
        for index, entry in numpy.ndenumerate(array):
            if not isinstance(entry, numbers.Real):
                where = f" at index {index[0] if len(index) == 1 else index}" if index else ""
                raise TypeError(f"{name} must be numbers, found {type(entry).__name__}{where}")
    elif array.dtype.kind not in "fiub" and array.size > 0:
        raise TypeError(f"{name} must be numbers, found an array of {array.dtype}")
    return numpy.asarray(array, dtype=numpy.float64, order="C")


cdef bint read_short_row(object given, Py_ssize_t n_inputs, Rows *rows) except -1:
    """A list or tuple of as many numbers as there are inputs."""
    cdef PyObject *item
    cdef Py_ssize_t i
    if type(given) is not list and type(given) is not tuple:
        return False
    if len(given) != n_inputs or n_inputs > N_SHORT_ROW:
        return False
    for i in range(n_inputs):
        entry = given[i]
        item = <PyObject *>entry
        if PyFloat_CheckExact(item):
            rows.short_row[i] = PyFloat_AS_DOUBLE(item)
        elif PyLong_CheckExact(item):
            rows.short_row[i] = PyLong_AsDouble(item)
        else:
            return False
    rows.numbers = <const char *>rows.short_row
    rows.row_stride = 0
    rows.column_stride = sizeof(double)
    rows.n_rows = 1
    rows.single = True
    rows.is_view = False
    return True


cdef int take_view(object array, Rows *rows) except -1:
    PyObject_GetBuffer(<PyObject *>array, &rows.view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    rows.is_view = True
    return 0


cdef int drop_rows(Rows *rows) except -1:
    if rows.is_view:
        PyBuffer_Release(&rows.view)
        rows.is_view = False
    return 0


cdef int read_rows(object given, Py_ssize_t n_inputs, Rows *rows) except -1:
    """Where the numbers of one row or of many are; ``drop_rows`` must follow."""
    cdef Py_buffer *view = &rows.view
    rows.is_view = False
    if read_short_row(given, n_inputs, rows):
        return 0
    if PyObject_CheckBuffer(<PyObject *>given) and not isinstance(given, (bytes, bytearray)):
        try:
            take_view(given, rows)
        except (BufferError, ValueError):
            pass  # an array of dates, say, which as_numbers names
        if rows.is_view and not (holds_doubles(view) and 1 <= view.ndim <= 2):
            drop_rows(rows)
    if not rows.is_view:
        take_view(as_numbers(given, "rows"), rows)
    try:
        if view.ndim == 1 and (view.shape[0] == n_inputs):
            rows.single = True
            rows.n_rows = 1
            rows.row_stride = 0
            rows.column_stride = view.strides[0]
        elif view.ndim == 2 and view.shape[1] == n_inputs:
            rows.single = False
            rows.n_rows = view.shape[0]
            rows.row_stride = view.strides[0]
            rows.column_stride = view.strides[1]
        else:
            lengths = []
            for i in range(view.ndim):
                lengths.append(view.shape[i])
            shape = describe_shape(lengths)
            raise ValueError(
                f"rows of a program of {n_inputs} inputs must be of shape ({n_inputs},) or"
                f" (batch, {n_inputs}), found {shape if view.ndim else 'a single number'}"
            )
        rows.numbers = <const char *>view.buf
    except BaseException:
        drop_rows(rows)
        raise
    return 0


cdef void *address_of(object array) except? NULL:
    """Where the numbers of a contiguous array are, as long as it lives."""
    cdef Py_buffer view
    PyObject_GetBuffer(<PyObject *>array, &view, PyBUF_STRIDED_RO)
    PyBuffer_Release(&view)
    return view.buf


cdef double *numbers_of(object array) except? NULL:
    """The same for one of float64."""
    return <double *>address_of(array)


cdef object new_array(tuple shape, bint zeros, double **numbers):
    """A float64 array and where its numbers are. It outlives the call that fills it."""
    import numpy

    array = numpy.zeros(shape) if zeros else numpy.empty(shape)
    numbers[0] = numbers_of(array)
    return array


cdef object row_weights(object reduction, Py_ssize_t n_rows, double *same):
    """The weights of the rows as an array of our own, or None where all have the same."""
    if isinstance(reduction, str) or reduction is None:
        if reduction not in ("mean", "sum"):
            raise ValueError(
                f'reduction must be "mean", "sum" or an array of weights, found {reduction!r}'
            )
        same[0] = 1.0 / max(1, n_rows) if reduction == "mean" else 1.0
        return None
    weights = as_numbers(reduction, "reduction")
    if weights.shape != (n_rows,):
        raise ValueError(
            f"reduction must be a weight for each of {n_rows} rows,"
            f" found {describe_shape(weights.shape)}"
        )
    # They are used before and after others can write to the caller's.
    return weights.copy()
