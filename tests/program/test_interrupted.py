"""Frozen programs that somebody interrupts or disturbs, or looks at while they are made."""

import copy
import gc
import pickle
import threading
import time

import pytest
from frozen import all_bits, moons_loss, rows_for
from support import live_nodes_after_collection, run_python

from micrograd_fast import MLP, Program, Value, _core, compile, load_program

# Signals -----------------------------------------------------------------------------------------

#: A program of 2000 steps, and so many rows (which take no memory: they are all the same) that a
#: call would take hours.
ENDLESS = """
    import os, signal, threading
    import numpy as np
    from micrograd_fast import Value, compile

    # Whoever started the tests may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x, w = Value(0.5), Value(0.25)
    output = w
    for _ in range(1000):
        output = output.sin() + x
    program = compile(output, [x])
    few = np.full((3, 1), 0.5)
    rows = np.broadcast_to(few[:1], (50_000_000, 1))
    w.grad = before = 7.0
"""

CALLS = {
    "backward": "program.backward(rows)",
    "backward of weighted rows": "program.backward(rows, np.broadcast_to(1.0, len(rows)))",
    "call": "program(rows)",
    "value_and_grad": "program.value_and_grad(rows)",
    "jacobian": "compile([output, x], [x]).jacobian(rows)",
    "value_and_parameter_grad": "program.value_and_parameter_grad(rows)",
    "parameter_grads": "program.parameter_grads(rows)",
    "hvp": "program.hvp([1.0], rows)",
    "hessian": 'program.hessian(rows, "sum", wrt=[w, x])',
    "fun": "program.fun([w], rows)([0.25])",
}


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupt_ends(call):
    run_python(
        ENDLESS
        + f"""
    wanted = program.backward(few), w.grad
    for _ in range(2):
        w.grad = before
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            {CALLS[call]}
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("it went on to its end")
        assert w.grad == before
        assert (program.backward(few), w.grad) == wanted
    """,
        timeout=120,
    )


# Threads -----------------------------------------------------------------------------------------


def test_a_call_ends_though_another_thread_assigns_gradients_all_the_time():
    loss, inputs, _ = moons_loss()
    program = compile(loss, inputs)
    rows = rows_for(program, 100_000)
    watched, other = program.parameters[0], program.parameters[-1]
    for p in program.parameters:
        p.grad = 0.0
    program.backward(rows, "sum")
    wanted = other.grad
    other.grad = 0.0
    begun, done = threading.Event(), threading.Event()
    n_assigned = 0

    def assign():
        # Each could make a call start over; a hundred times as often as are in one.
        nonlocal n_assigned
        while not done.is_set() and n_assigned < 20_000:
            n_assigned += 1
            watched.grad = float(n_assigned)
            begun.set()
            time.sleep(0.001)

    thread = threading.Thread(target=assign)
    thread.start()
    begun.wait()
    program.backward(rows, "sum")
    done.set()
    thread.join()
    assert n_assigned < 20_000
    assert all_bits([other.grad]) == all_bits([wanted])


# While a program is made -------------------------------------------------------------------------


def look_at(program, path):
    """Everything that a program of one input and one output can be asked."""
    row = [2.0] * program.n_inputs
    program.save(path)
    return (
        repr(program),
        (program.n_inputs, program.n_parameters, program.n_outputs, program.is_sequence),
        (program.fast, program.dtype, program.frozen_reads, program.stats()["steps"]),
        (len(program.inputs), [p.data for p in program.parameters], program.tape()),
        (program(row), program([row, row]).tolist(), program.backward(row)),
        (program.value_and_grad(row)[1].tolist(), program.jacobian(row).tolist()),
        (program.parameter_grads(row).tolist(), program.value_and_parameter_grad(row)[0]),
        (program.hvp([1.0], row).tolist(), program.hessian(row).tolist()),
        (program.fun(rows=row)([3.0])[0], load_program(path)(row)),
        len(program.__reduce__()[1]),
    )


class Curious(Program):
    """Looks at itself while it is made."""

    path = None

    def __new__(cls, *arguments):
        new = super().__new__(cls, *arguments)
        new.seen = look_at(new, cls.path)
        return new


def test_a_subclass_may_look_at_itself_while_it_is_made(tmp_path):
    x, w = Value(0.5), Value(3.0)
    program = compile(w * x * x, [x])
    wanted = look_at(program, tmp_path / "program.npz")
    Curious.path = tmp_path / "curious.npz"
    make, (_, *arguments) = program.__reduce__()
    made = make(Curious, *arguments)
    assert type(made) is Curious
    for other in (
        made,
        copy.copy(made),
        copy.deepcopy(made),
        pickle.loads(pickle.dumps(made)),
    ):
        assert type(other) is Curious
        assert other.seen == wanted == look_at(other, Curious.path)


def test_a_subclass_that_fails_while_it_is_made_leaves_nothing():
    class Failing(Program):
        def __new__(cls, *arguments):
            super().__new__(cls, *arguments)
            raise LookupError("not today")

    x = Value(0.5)
    program = compile(3.0 * x, [x])
    make, (_, tape, _) = program.__reduce__()
    before = live_nodes_after_collection(_core.arena_stats)
    for _ in range(3):
        with pytest.raises(LookupError, match="not today"):
            make(Failing, tape, ())
    assert live_nodes_after_collection(_core.arena_stats) == before


def test_a_collection_while_a_program_is_made_sees_it_whole_or_not_at_all(tmp_path):
    x, w = Value(0.5), Value(3.0)
    program = compile(w * x * x, [x])
    make, arguments = program.__reduce__()
    outputs = [w * x * x]
    n_seen, found = 0, set()

    def look(phase, _):
        nonlocal n_seen
        if phase == "stop":
            return
        for thing in gc.get_objects():
            if type(thing).__name__ == "FrozenGraph":
                try:
                    thing = Program.__new__(Program, thing)
                except TypeError as error:
                    found.add(str(error))
            if isinstance(thing, Program):
                n_seen += 1
                try:
                    found.add((thing.parameters == (w,)) and thing([2.0]))
                except RuntimeError as error:
                    found.add(str(error))

    old = gc.get_threshold()
    gc.callbacks.append(look)
    try:
        gc.set_threshold(1)
        for _ in range(5):
            make(*arguments)
            compile(outputs[0], [x])
    finally:
        gc.set_threshold(*old)
        gc.callbacks.remove(look)
    assert n_seen > 5
    assert 12.0 in found
    told = {"programs are made by micrograd_fast.compile", "this program is still being made"}
    # Of other tests there may be programs, too, of other parameters.
    assert found <= {12.0, False} | told


# Many outputs ------------------------------------------------------------------------------------


def wide(n_outputs):
    x = [Value(0.0) for _ in range(8)]
    return MLP(8, [32, n_outputs])(x), x


def ladder(n_outputs):
    x = Value(0.5)
    outputs = [x.sin()]
    while len(outputs) < n_outputs:
        outputs.append((outputs[-1] * x).tanh())
    return outputs, [x]


@pytest.mark.parametrize("graph", [wide, ladder])
def test_a_program_is_as_large_as_its_graph_however_many_outputs(graph):
    few, many = (compile(*graph(n)) for n in (64, 256))
    made = program_bytes(few), program_bytes(many)
    assert made[1] <= 4.4 * made[0]
    for program, n_bytes in zip((few, many), made, strict=True):
        again = pickle.loads(pickle.dumps(program))
        assert program_bytes(again) == n_bytes
        row = [0.5] * program.n_inputs
        assert all_bits(again(row)) == all_bits(program(row))
        # Only derivatives want the ways back, which are made once.
        assert program_bytes(program) == n_bytes
        program.jacobian(row)
        n_bytes_with_ways_back = program_bytes(program)
        assert n_bytes_with_ways_back > n_bytes
        program.jacobian(row, "inputs")
        assert program_bytes(program) == n_bytes_with_ways_back


def program_bytes(program):
    return program.stats()["bytes"]
