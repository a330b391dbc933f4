# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The crossing between Python and the C engine.

Everything that touches both sides is here: the ``Value`` type, whose instances are small handles
on nodes of one process-wide arena, and the single place that turns a C status into a Python
exception. The arithmetic, the order and the backward pass are in ``csrc``.

The parts, in the order in which they build on each other; a test holds them to it::

    value/     the type and its instances
        errors       status -> exception
        operations   what the table says of each operation
        object       what a Value is in memory, and Python's C interface to it
        references   between counting by hand and by Cython
        numbers      Python number -> double
        buffers      doubles in arrays
        handles      lifetime of handles
        collector    the collector's view of them
        nodes        what the engine must hear of before a node is changed
        traversal    the order of a graph's nodes
        operators    forward: operators and operation methods
        construct    Value(...)
        custom       operations of the user's own
        backward     backward, zero_grad
        looks        who is told of looks at Values: traces and recordings
        attributes   data, grad and the others, repr
    copying/   copy, deepcopy, pickle
    value/type   the table of slots that makes all this a type
    layer/     fused layers
        watched      attributes of modules whose changes are known
        neurons      what a fused layer relies on of a neuron and of nn's classes
        layout       parameters side by side in the arena
        guards       may a layer be evaluated as a whole?
        calls        doing so, for a call
        predict      ... and for rows of numbers, without a graph
        kernels      the choice of instruction sets
    bulk/      many nodes or parameters in one go: sums, choices, recorded formulas, optimizer steps
    program/   frozen programs: rows in, arrays out; the saved record; calls of custom operations;
               running; by what to differentiate; names and numbers of the parameters; Program; making

Reference counts of handles are managed by hand (``PyObject *``) on the hot paths, by Cython
(``object``) elsewhere. The interpreter lock protects the arena; only replays of programs, which
do not touch it, give the lock up.

There is no list comprehension in these parts: where memory runs out while one grows, Cython 3.3
gives up the reference on the entry twice. A test looks for them.
"""

# Declared, so that they are known in here and are no names of the module.
cdef object builtins, namedtuple, operator, os, sys

import builtins
import operator
import os
import sys
from collections import namedtuple

cimport cython
from cpython.object cimport PyObject
from libc.math cimport INFINITY, NAN, isinf, signbit
from libc.string cimport memcmp, memcpy, memmove, memset

from micrograd_fast._core.csrc.base cimport *
from micrograd_fast._core.csrc.ops cimport *
from micrograd_fast._core.csrc.loops cimport *
from micrograd_fast._core.csrc.nodes cimport *
from micrograd_fast._core.csrc.layer cimport *
from micrograd_fast._core.csrc.graph cimport *
from micrograd_fast._core.csrc.program cimport *

cdef mg_arena arena
mg_arena_init(&arena)
mg_hypot_adds_halves(sys.version_info < (3, 12))

include "value/looks.pxi"
include "value/errors.pxi"
include "value/operations.pxi"
include "value/object.pxi"
include "value/references.pxi"
include "value/numbers.pxi"
include "value/buffers.pxi"
include "value/handles.pxi"
include "value/collector.pxi"
include "value/nodes.pxi"
include "value/traversal.pxi"
include "value/operators.pxi"
include "value/construct.pxi"
include "value/custom.pxi"
include "value/backward.pxi"
include "value/attributes.pxi"
include "copying/copy.pxi"
include "copying/pickle.pxi"
include "value/type.pxi"
include "layer/watched.pxi"
include "layer/neurons.pxi"
include "layer/layout.pxi"
include "layer/guards.pxi"
include "layer/calls.pxi"
include "layer/predict.pxi"
include "layer/kernels.pxi"
include "bulk/sums.pxi"
include "bulk/takes.pxi"
include "bulk/recording.pxi"
include "bulk/formulas.pxi"
include "bulk/optim.pxi"
include "bulk/element_loops.pxi"
include "program/rows.pxi"
include "program/tape.pxi"
include "program/functions.pxi"
include "program/engine.pxi"
include "program/wrt.pxi"
include "program/parameters.pxi"
include "program/requests.pxi"
include "program/sparse.pxi"
include "program/objective.pxi"
include "program/program.pxi"
include "program/freeze.pxi"
