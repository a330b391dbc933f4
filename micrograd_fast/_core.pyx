# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The crossing between Python and the C engine.

Everything that touches both sides is here: the ``Value`` type, whose instances are small handles
on nodes of one process-wide arena, and the single place that turns a C status into a Python
exception. The arithmetic, the order and the backward pass are in ``csrc``.

The parts, in the order in which they build on each other::

    _core_errors.pxi     status -> exception
    _core_numbers.pxi    Python number -> double
    _core_handles.pxi    lifetime of handles, the collector's view of them
    _core_operators.pxi  forward: operators and operation methods
    _core_construct.pxi  Value(...)
    _core_backward.pxi   backward, zero_grad
    _core_face.pxi       attributes, repr
    _core_copy.pxi       copy, deepcopy, pickle
    _core_type.pxi       the table of slots that makes all this a type
    _core_layers.pxi     fused layers
    _core_kernels.pxi    instruction sets
    _core_formulas.pxi   sum, dot and the losses, a formula at a time
    _core_optim.pxi      optimizer steps
    _core_rows.pxi       rows of numbers in, arrays out
    _core_tape.pxi       the record that a frozen program is saved as
    _core_program.pxi    frozen programs
    _core_freeze.pxi     making them

Reference counts of handles are managed by hand (``PyObject *``) on the hot paths, by Cython
(``object``) elsewhere. The interpreter lock protects the arena; only replays of programs, which
do not touch it, give the lock up.
"""

import builtins
import operator
import sys
from _thread import get_ident

cimport cython
from cpython.object cimport PyObject
from libc.math cimport INFINITY, signbit
from libc.string cimport memcpy, memset

from micrograd_fast._csrc cimport *

cdef mg_arena arena
mg_arena_init(&arena)

include "_core_errors.pxi"
include "_core_numbers.pxi"
include "_core_handles.pxi"
include "_core_operators.pxi"
include "_core_construct.pxi"
include "_core_backward.pxi"
include "_core_face.pxi"
include "_core_copy.pxi"
include "_core_type.pxi"
include "_core_layers.pxi"
include "_core_kernels.pxi"
include "_core_formulas.pxi"
include "_core_optim.pxi"
include "_core_rows.pxi"
include "_core_tape.pxi"
include "_core_program.pxi"
include "_core_freeze.pxi"
