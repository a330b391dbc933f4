"""Random lives of models: the same actions on several engines, everything visible written down.

A program is a list of steps, each the name of an action of `layer_actions.py` and a seed. An
action draws what it does from its seed and from what there is so far, so a program means the same
on every engine as long as the engines agree, and any part of a program is a program: a long one
that fails can be shortened step by step.
"""

import random
from contextlib import contextmanager
from types import SimpleNamespace

import numpy
from layer_actions import (
    BUILDING,
    CHANGING,
    COPYING,
    LOOKING,
    SWEEPING,
    Life,
    call,
    new_layer,
    new_mlp,
)


@contextmanager
def fusing(core, enabled):
    """Layers fused or not within the block; fused after it, as when the engine is loaded."""
    core.fuse(enabled)
    try:
        yield
    finally:
        core.fuse(True)


def random_program(seed):
    """The program of a number: its steps, whether numbers are wild, whether there are copies."""
    rng = random.Random(f"layers {seed}")
    copies = rng.random() < 0.3
    # Few kinds at a time bring out what several together would hide.
    changes = rng.sample(CHANGING, rng.choice([0, 1, 2, 5, len(CHANGING)]))
    looks = rng.choice([[], [], LOOKING])
    kinds = [*BUILDING, *SWEEPING * 2, *changes * 2, *looks, *(COPYING if copies else [])]
    steps = [(rng.choice([new_layer, new_mlp]), rng.getrandbits(32)), (call, rng.getrandbits(32))]
    steps += [(rng.choice(kinds), rng.getrandbits(32)) for _ in range(rng.randint(3, 30))]
    return SimpleNamespace(
        steps=[(action.__name__, step_seed) for action, step_seed in steps],
        wild=rng.random() < 0.4,
        copies=copies,
    )


def live(engine, program):
    """The record of a program on an engine, and the messages of the errors that it met."""
    life = Life(engine, program.wild)
    with numpy.errstate(all="ignore"):
        try:
            for action, seed in program.steps:
                life.step(action, seed)
        finally:
            life.finish()
    return life.record, life.messages


def first_difference(ours, theirs):
    """Where two records part, in a line."""
    for i, (one, other) in enumerate(zip(ours, theirs)):
        if one == other:
            continue
        for x, y in zip(one, other):
            if x == y:
                continue
            if isinstance(x, list) and isinstance(y, list):
                at = next((j for j, pair in enumerate(zip(x, y)) if pair[0] != pair[1]), None)
                if at is not None:
                    return f"entry {i}, {one[:2]}: number {at} is {x[at]}, wanted {y[at]}"
                return f"entry {i}, {one[:2]}: {len(x)} numbers, wanted {len(y)}"
            return f"entry {i}, {one[:2]}: {x}, wanted {y}"
    return f"{len(ours)} entries, wanted {len(theirs)}"


def check(engines, program):
    """None, or what differs between the engines on a program.

    `engines` maps "reference", "unfused" and "fused" to an engine and to what makes a context in
    which to run it.
    """
    results = {}
    for name, (engine, context) in engines.items():
        if name == "reference" and program.copies:
            continue
        with context():
            results[name] = live(engine, program)
    wanted = results.get("reference", results["unfused"])[0]
    for name in ("unfused", "fused"):
        record = results[name][0]
        if record != wanted:
            return f"{name}: {first_difference(record, wanted)}"
    if results["fused"][1] != results["unfused"][1]:
        return f"messages: {first_difference(results['fused'][1], results['unfused'][1])}"
    return None


def shortest(program, fails):
    """The program without the steps that it does not need to fail."""
    steps = list(program.steps)
    i = len(steps) - 1
    while i >= 0:
        fewer = steps[:i] + steps[i + 1 :]
        if fails(SimpleNamespace(steps=fewer, wild=program.wild, copies=program.copies)):
            steps = fewer
        i = min(i, len(steps)) - 1
    return SimpleNamespace(steps=steps, wild=program.wild, copies=program.copies)
