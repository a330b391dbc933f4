"""Random programs on the compiled engine and the reference, and frozen ones with choices beside
their graphs, for a time or a number.

    python tests/fuzz.py --seconds 600 --seed 1

Prints the seed of every program on which the two differ, and exits with 1 if there was any. A
program is found again with ``--seed`` set to its number and ``--programs 1``.
"""

import argparse
import importlib
import math
import random
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.append(str(Path(__file__).parent))

import numpy as np
from frozen import Case, expect_the_bits_of_the_case
from random_choices import check_bits
from random_graphs import CLASSIC, KINDS, first_difference, random_program, run
from support import live_nodes_after_collection

from micrograd_fast import compile


def engine_of(package):
    module = importlib.import_module(f"{package}.engine")
    return SimpleNamespace(Value=module.Value, sum=module.sum, dot=module.dot)


def check(seed, compiled, reference, arena_stats):
    """None, or what is wrong with the program of this seed."""
    rng = random.Random(f"fuzz {seed}")
    size = int(3 * 200 ** rng.random())
    wild = rng.random() < 0.6
    kinds = rng.choice([KINDS, KINDS, CLASSIC, rng.sample(KINDS, rng.randint(2, 8))])
    program = random_program(reference, seed, size, kinds=kinds, wild=wild)
    before = arena_stats()["live_nodes"]
    ours = run(compiled, program)
    theirs = run(reference, program)
    if ours != theirs:
        return f"differs at {first_difference(ours, theirs)}"
    try:
        check_frozen(seed, compiled)
        check_bits(seed)
    except AssertionError as error:
        return f"frozen, it differs: {error}"
    left = live_nodes_after_collection(arena_stats) - before
    return f"left {left} nodes in the arena" if left else None


def check_frozen(seed, compiled):
    """Freeze a random graph: its bits are those of eager, and what is sparse is what is dense."""
    rng = random.Random(f"frozen {seed}")
    case = Case(compiled, seed, rng.randint(5, 120), rng.choice([1, 3, 70]))
    program = compile(case.output(), case.input_values())
    expect_the_bits_of_the_case(program, case, "a graph")
    if program.n_inputs == 0:
        return
    for derivative in (program.jacobian, program.hessian):
        try:
            dense = derivative(case.rows)
        except (ArithmeticError, ValueError):
            continue  # an operation without a second derivative there
        matrices = derivative(case.rows, sparse=True)
        for matrix, wanted in zip(matrices, dense, strict=True):
            wanted = np.atleast_2d(wanted)
            scale = np.abs(wanted).max(initial=1.0)
            assert np.allclose(matrix.toarray(), wanted, rtol=1e-9, atol=1e-9 * scale), "sparse"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--programs", type=int, help="how many at most, whatever the time")
    parser.add_argument("--seed", type=int, default=0, help="the first program's number")
    options = parser.parse_args(arguments)
    compiled = engine_of("micrograd_fast")
    reference = engine_of("micrograd_fast.reference")
    arena_stats = importlib.import_module("micrograd_fast._core").arena_stats
    deadline = time.monotonic() + (options.seconds if options.programs is None else math.inf)
    seed, n_bad = options.seed, 0
    while True:
        complaint = check(seed, compiled, reference, arena_stats)
        if complaint:
            n_bad += 1
            print(f"program {seed}: {complaint}")
        seed += 1
        if time.monotonic() >= deadline or seed - options.seed == options.programs:
            break
    print(f"seed {options.seed}: {seed - options.seed} programs, {n_bad} with a difference")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
