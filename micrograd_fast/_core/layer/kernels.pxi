# The choice between the instruction sets of the inner loops.


def kernels(name=None):
    """The instruction sets that the layers' loops are built for on this machine, best first.

    Parameters
    ----------
    name : str, optional
        The build to use from now on. All of them give the same bits, but for programs that were
        made with ``fast=True``.

    Returns
    -------
    tuple of str
        The build in use, followed by all that this machine runs.

    Raises
    ------
    ValueError
        If this machine does not run the build of that name.
    """
    cdef size_t n, i
    cdef const mg_loops *const *sets = mg_loops_available(&n)
    names = []
    for i in range(n):
        names.append(sets[i].name.decode())
    if name is not None and not mg_loops_select(name.encode()):
        raise ValueError(f"this machine runs the kernels {', '.join(names)}, not {name!r}")
    return (mg_loops_current().name.decode(), *names)


def _select_kernels_from_environment():
    import os

    # Also where nothing is wanted: the choice must not be left to replays in several threads,
    # which run without the lock that it needs.
    kernels(os.environ.get("MICROGRAD_FAST_KERNELS") or None)


_select_kernels_from_environment()
