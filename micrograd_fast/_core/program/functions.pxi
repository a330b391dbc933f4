# Custom operations in programs: what the engine calls for the steps that are the user's.
#
# The lock is held all the time, but a function may do anything: run other threads, end in
# KeyboardInterrupt, call the program again, drop it. A call of a program holds what it needs: its
# graph, which has the operations, a workspace of its own, and the numbers that go in and out.

cdef class FunctionCalls:
    """The operations that one call of a program may call, and what they have raised."""

    cdef tuple functions
    cdef list errors


cdef mg_status answer_call(PyObject *context, mg_function_call *call) except MG_CALLBACK:
    """Compute what is asked, or keep the exception of the first row that has none."""
    cdef FunctionCalls calls = <FunctionCalls>context
    cdef CustomOp operation = <CustomOp>calls.functions[call.function]
    cdef int part = <int>call.part
    cdef size_t r, i
    cdef mg_status st = MG_OK
    cdef bint is_done = False
    # Nothing returns from inside an except: where there is no memory for a traceback, Cython 3.3
    # would give up a reference on it that there is not.
    if operation.vectorized and call.n_rows > 1:
        try:
            operation.compute_column(part, call.n_rows, call.operands, call.results)
            is_done = True
        except RecursionError:
            raise
        except Exception:
            is_done = False  # because of some row, which is found below
    if is_done:
        return st
    for r in range(call.n_rows):
        try:
            operation.compute_row(part, call.n_rows, r, call.operands, call.results)
        except RecursionError:
            raise  # To look for its row would go as deep again, at every depth.
        except Exception as error:
            if call.goes_on and isinstance(error, (ArithmeticError, ValueError)):
                for i in range(operation.n_results(part)):
                    call.results[i * call.n_rows + r] = NAN
            else:
                call.row = r
                call.reason = len(calls.errors)
                calls.errors.append(error)
                st = MG_FUNCTION_FAILED
        if st != MG_OK:
            break
    return st


cdef mg_status call_function(void *context, mg_function_call *call) noexcept:
    # An exception that ends the call is pending then.
    return (<mg_status (*)(PyObject *, mg_function_call *) noexcept><void *>answer_call)(
        <PyObject *>context, call
    )


cdef FunctionCalls calls_of(mg_batch *batch, mg_functions *functions, tuple own):
    cdef FunctionCalls calls = FunctionCalls.__new__(FunctionCalls)
    calls.functions = own
    calls.errors = []
    functions.call = call_function
    functions.context = <PyObject *>calls
    batch.functions = functions
    return calls


cdef inline FunctionCalls place_functions(mg_batch *batch, mg_functions *functions, tuple own):
    """Make a batch call operations, as long as the result lives. None if there are no operations."""
    return calls_of(batch, functions, own) if own else None


cdef int raise_of_function(object error, bint single, size_t row) except -1:
    """Raise what a function has raised, with the row: in its text if that is all it has."""
    kind = type(error)
    if single:
        raise error
    if kind.__module__ == "builtins" and len(error.args) == 1 and type(error.args[0]) is str:
        raise kind(f"row {row}: {error.args[0]}") from error
    if hasattr(error, "add_note"):
        error.add_note(f"in row {row}")
    raise error
