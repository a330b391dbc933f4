# Looks at Values, and who is told of them: while a function is traced or a formula recorded, what
# it sees of a Value beyond the graph may decide what it does.

cdef extern from "Python.h":
    unsigned long thread_ident "PyThread_get_thread_ident"()


@cython.no_gc_clear
cdef class _Watching:
    """A call during which one thread's looks are told to a watch, or to nobody."""

    cdef unsigned long thread
    cdef object watch
    cdef _Watching outer  # the one that was the innermost before, be it another thread's


# The calls that run now, of all threads; None if there is none.
cdef _Watching innermost_watch = None
cdef bint showing_operands = False  # in a set, which hashes them


cdef object watch_of_this_thread():
    cdef _Watching watching = innermost_watch
    cdef unsigned long thread = thread_ident()
    while watching is not None:
        if watching.thread == thread:
            return watching.watch
        watching = watching.outer
    return None


def is_watching_looks():
    """Whether this thread is tracing a function."""
    return watch_of_this_thread() is not None


cdef void end_watching(_Watching ended) noexcept:
    """Take a call out of those that run, wherever other threads have put theirs. Needs no memory,
    and so cannot fail."""
    global innermost_watch
    cdef _Watching inner = innermost_watch
    if inner is ended:
        innermost_watch = ended.outer
        return
    while inner is not None and inner.outer is not ended:
        inner = inner.outer
    if inner is not None:
        inner.outer = ended.outer


def call_under_watch(watch, function, /, *args, **kwargs):
    """Call a function, and tell an object of every look that this thread takes at a Value meanwhile.

    The ``saw(what, value, other, filename, line)`` of the watch may raise. Under None, nobody is
    told. Whoever was told before is told again after, however the call ends.
    """
    global innermost_watch
    cdef _Watching watching = _Watching.__new__(_Watching)
    watching.thread = thread_ident()
    watching.watch = watch
    watching.outer = innermost_watch
    innermost_watch = watching
    try:
        return function(*args, **kwargs)
    finally:
        end_watching(watching)


def forget_watches_of_other_threads():
    """In a forked process only the thread that forked goes on."""
    cdef _Watching watching = innermost_watch, outer
    while watching is not None:
        outer = watching.outer
        if watching.thread != thread_ident():
            end_watching(watching)
        watching = outer


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_watches_of_other_threads)


cdef bint looks_for_others(object module) except -1:
    """Whether a module looks at Values because another one has asked it to."""
    return isinstance(module, str) and (
        module.startswith("micrograd_fast.") or module in ("copy", "copyreg", "pickle")
    )


cdef int note_look(PyObject *self, str what, PyObject *other) except -1:
    """Tell the watch of this thread, if there is one, which line looks at a Value: the program's
    own, where this library does it for it."""
    watch = None if showing_operands else watch_of_this_thread()
    if watch is None:
        return 0
    value = <object>self
    frame = innermost = sys._getframe(0)
    while frame is not None and looks_for_others(frame.f_globals.get("__name__")):
        frame = frame.f_back
    frame = innermost if frame is None else frame
    watch.saw(what, value, None if other == NULL else <object>other, frame.f_code.co_filename,
              frame.f_lineno)
    return 0
