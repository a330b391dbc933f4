"""Random lives of models on the reference, unfused and fused layers, for a time or a number.

    python tests/fuzz_layers.py --seconds 600 --seed 1

Prints the number of every program on which the three differ, with the steps that it takes, and
exits with 1 if there was any. A program is found again with ``--seed`` set to its number and
``--programs 1``. `random_layers.py` says what a program is.
"""

import argparse
import gc
import importlib
import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

sys.path.append(str(Path(__file__).parent))

import random_layers
from support import live_nodes_after_collection


def engine_of(package):
    module = importlib.import_module(f"{package}.engine")
    nn = importlib.import_module(f"{package}.nn")
    return SimpleNamespace(Value=module.Value, sum=module.sum, nn=nn)


def load_engines():
    """The three ways to evaluate a layer, as `random_layers.check` wants them."""
    core = importlib.import_module("micrograd_fast._core")
    compiled = engine_of("micrograd_fast")
    return {
        "reference": (engine_of("micrograd_fast.reference"), nullcontext),
        "unfused": (compiled, lambda: random_layers.fusing(core, False)),
        "fused": (compiled, lambda: random_layers.fusing(core, True)),
    }


def check(program, engines, arena_stats):
    """None, or what is wrong with a program."""
    before = arena_stats()["live_nodes"]
    complaint = random_layers.check(engines, program)
    left = live_nodes_after_collection(arena_stats) - before
    return complaint or (f"left {left} nodes in the arena" if left else None)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--programs", type=int, help="how many at most, whatever the time")
    parser.add_argument("--seed", type=int, default=0, help="the first program's number")
    options = parser.parse_args(arguments)
    arena_stats = importlib.import_module("micrograd_fast._core").arena_stats
    engines = load_engines()
    gc.collect()
    gc.freeze()
    deadline = time.monotonic() + (options.seconds if options.programs is None else math.inf)
    seed, n_bad = options.seed, 0
    while True:
        program = random_layers.random_program(seed)
        complaint = check(program, engines, arena_stats)
        if complaint:
            n_bad += 1
            print(f"program {seed}: {complaint}", flush=True)
            short = random_layers.shortest(program, lambda p: check(p, engines, arena_stats))
            print(f"    wild={short.wild} copies={short.copies} steps={short.steps}")
            print(f"    {check(short, engines, arena_stats)}", flush=True)
        seed += 1
        if time.monotonic() >= deadline or seed - options.seed == options.programs:
            break
    print(f"seed {options.seed}: {seed - options.seed} programs, {n_bad} with a difference")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
