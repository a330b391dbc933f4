# From what Python calls a number to a C double.

cdef extern from "Python.h":
    ctypedef struct PyFloatObject:
        double ob_fval
    object PyFloat_FromDouble(double)
    bint PyFloat_Check(PyObject *o)
    bint PyFloat_CheckExact(PyObject *o)
    double PyFloat_AS_DOUBLE(PyObject *o)
    bint PyLong_Check(PyObject *o)
    bint PyLong_CheckExact(PyObject *o)
    double PyLong_AsDouble(PyObject *o) except? -1.0


# The bases of numpy's real scalars, once numpy is there.
cdef tuple numpy_scalars = None


cdef bint is_numpy_scalar(object candidate) except -1:
    global numpy_scalars
    if numpy_scalars is None:
        numpy = sys.modules.get("numpy")
        # Absent, or still being imported.
        if not hasattr(numpy, "bool_") or not hasattr(numpy, "floating"):
            return False
        numpy_scalars = (numpy.floating, numpy.integer, numpy.bool_)
    return isinstance(candidate, numpy_scalars)


cdef enum:
    NOT_A_NUMBER = 0
    IS_A_NUMBER = 1


cdef int array_number(object array, double *number) except -1:
    """Read a numpy or torch scalar, or an array that holds exactly one number."""
    size = 1
    for length in array.shape:
        size *= length
    if size != 1:
        return NOT_A_NUMBER
    item = array.item()
    # Types without a Python counterpart (numpy.longdouble) give themselves back.
    if type(item) is type(array):
        number[0] = float(item)
        return IS_A_NUMBER
    return to_number(<PyObject *>item, number)


cdef int unusual_number(object candidate, double *number) except -1:
    if isinstance(candidate, (str, bytes, bytearray, complex)) or is_value(<PyObject *>candidate):
        return NOT_A_NUMBER
    if is_numpy_scalar(candidate):
        number[0] = float(candidate)
        return IS_A_NUMBER
    if hasattr(candidate, "shape") and hasattr(candidate, "item"):
        return array_number(candidate, number)
    kind = type(candidate)
    if hasattr(kind, "__float__"):
        number[0] = float(candidate)
        return IS_A_NUMBER
    if hasattr(kind, "__index__"):
        number[0] = float(operator.index(candidate))
        return IS_A_NUMBER
    return NOT_A_NUMBER


cdef int to_number(PyObject *candidate, double *number) except -1:
    """Read a number into ``number``; say ``NOT_A_NUMBER``, raising nothing, if it is none.

    An int beyond the range of a float raises ``OverflowError``, as in Python's own arithmetic.
    """
    # In the order of what the checks cost: the third walks the bases of the type.
    if PyFloat_CheckExact(candidate):
        number[0] = PyFloat_AS_DOUBLE(candidate)
        return IS_A_NUMBER
    if PyLong_Check(candidate):
        number[0] = PyLong_AsDouble(candidate)
        return IS_A_NUMBER
    if PyFloat_Check(candidate):
        number[0] = PyFloat_AS_DOUBLE(candidate)
        return IS_A_NUMBER
    return unusual_number(<object>candidate, number)


cdef inline double require_number(object candidate, str what) except? -1.0:
    """The number as a double, or TypeError that says what must be one."""
    if PyFloat_CheckExact(<PyObject *>candidate):
        return PyFloat_AS_DOUBLE(<PyObject *>candidate)
    if PyLong_CheckExact(<PyObject *>candidate):
        return PyLong_AsDouble(<PyObject *>candidate)
    return require_unusual_number(candidate, what)


cdef double require_unusual_number(object candidate, str what) except? -1.0:
    cdef double number = 0.0
    if to_number(<PyObject *>candidate, &number) == NOT_A_NUMBER:
        found = type(candidate).__name__
        if is_value(<PyObject *>candidate):
            found += " (its .item() gives the number)"
        elif hasattr(candidate, "shape"):
            found += f" of shape {tuple(candidate.shape)}"
        raise TypeError(f"{what} must be a real number, found {found}")
    return number


cdef int operand_number(PyObject *candidate, double *number) except -1:
    """``to_number`` for the other side of an operator, where numpy arrays broadcast."""
    if PyFloat_CheckExact(candidate):
        number[0] = PyFloat_AS_DOUBLE(candidate)
        return IS_A_NUMBER
    if (
        not PyLong_Check(candidate)
        and not is_numpy_scalar(<object>candidate)
        and getattr(<object>candidate, "ndim", 0) != 0
    ):
        return NOT_A_NUMBER
    return to_number(candidate, number)
