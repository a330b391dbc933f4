"""Random programs over Values, written so that any engine can run them.

A `Program` is plain data: instructions that make nodes, and then a script of what is done with
them. `run` plays it on one engine and returns a transcript of everything that can be seen: the
bits of every value and gradient, the shape of the graph, and the exceptions with their place.
Two engines that keep the same promise give equal transcripts.

`tame` programs stay within ordinary numbers, so that other libraries and finite differences can
be compared; `wild` ones use special numbers, fail, and go on.
"""

import math
import random
from collections import namedtuple
from fractions import Fraction

import numpy as np
from operation_table import CONDITIONS
from support import METHODS, SPECIAL_NUMBERS, bits, picture

from micrograd_fast import Value, custom_op

#: make: instructions; script: what is done with the nodes; kinds: which instructions occurred.
Program = namedtuple("Program", ["seed", "wild", "make", "script"])

UNARY = ["neg", "pow_const", *(row.name for row in METHODS if row.arity == 1)]
BINARY = ["add", "sub", "mul", "truediv", "pow"]
N_REFLECTED = len(BINARY)
BINARY += [row.name for row in METHODS if row.arity == 2]
OTHERS = ["sum", "builtin_sum", "dot", "custom", "custom_op", "local_grads", "in_place"]
KINDS = ["leaf", *UNARY, *BINARY, *(f"{name} number" for name in BINARY), *OTHERS]
KINDS += [f"number {name}" for name in BINARY[:N_REFLECTED]]

#: What PyPI micrograd can do.
CLASSIC = ["leaf", "neg", "relu", "pow_const", "builtin_sum", "in_place"]
CLASSIC += ["add", "sub", "mul", "truediv", "add number", "sub number", "mul number"]
CLASSIC += ["truediv number", "number add", "number sub", "number mul", "number truediv"]

#: What has no differences to be compared with: its derivatives are stated.
STATED = ["custom", "local_grads", "detach", "keep", *CONDITIONS]
STATED += [f"{name} number" for name in ("keep", *CONDITIONS)]

EXPONENTS = [2, 3, -1, 2.0, 0.5, -0.5, 1, 0, 1.7, 4, -2.0, True, np.int64(2), np.float64(3)]

FUNCTIONS = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "truediv": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "pow_const": lambda a, n: a**n,
}

#: The numbers that a method takes: name and default of each.
IMMEDIATES = {row.name: row.immediates for row in METHODS if row.immediates}


def call(name, *operands):
    """One operation by its name, on Values and numbers."""
    function = FUNCTIONS.get(name)
    return function(*operands) if function else getattr(operands[0], name)(*operands[1:])


def custom_node(engine, a, b):
    """A product with a closure, one share written back as a sum with another factor order."""
    out = engine.Value(a.data * b.data + 1.0, (a, b), "custom")

    def _backward():
        a.grad += out.grad * b.data
        b.grad += (a.data + 0.5) * out.grad

    out._backward = _backward
    return out


def product_and_sine(a, b):
    return a * b + math.sin(a)


def product_and_sine_slopes(a, b):
    return b + math.cos(a), a


def product_and_sine_seconds(a, b):
    return (-math.sin(a), 1.0), (1.0, 0.0)


PRODUCT_AND_SINE = custom_op(
    product_and_sine, product_and_sine_slopes, product_and_sine_seconds, name="custom_op"
)


def operation_node(engine, a, b):
    """The operation, or the closure that it stands for."""
    if engine.Value is Value:
        return PRODUCT_AND_SINE(a, b)
    out = engine.Value(product_and_sine(a.data, b.data), (a, b), "custom_op")

    def _backward():
        by_a, by_b = product_and_sine_slopes(a.data, b.data)
        a.grad += by_a * out.grad
        b.grad += by_b * out.grad

    out._backward = _backward
    return out


def build(engine, nodes, instruction):
    """Carry out one instruction; `nodes` are the Values made so far."""
    kind, operands, immediates = instruction
    values = [nodes[operand] for operand in operands]
    if kind == "leaf":
        return engine.Value(*immediates)
    if kind == "sum":
        return engine.sum([*values[:1], *immediates, *values[1:]])
    if kind == "builtin_sum":
        return sum(values)
    if kind == "dot":
        half = len(values) // 2
        return engine.dot(values[:half] + list(immediates), values[half:] + list(immediates))
    if kind == "custom":
        return custom_node(engine, *values)
    if kind == "custom_op":
        return operation_node(engine, *values)
    if kind == "local_grads":
        return engine.Value(immediates[0], values, immediates[1:])
    if kind == "in_place":
        total = values[0]
        total += values[1]
        total *= immediates[0]
        return total
    if kind.startswith("number "):
        return call(kind.split()[1], immediates[0], values[0])
    if kind.endswith(" number"):
        return call(kind.split()[0], values[0], immediates[0])
    return call(kind, *values, *immediates)


def random_number(rng, wild):
    if wild and rng.random() < 0.3:
        return rng.choice(SPECIAL_NUMBERS)
    number = rng.choice([-1, 1]) * rng.uniform(0.05, 3.0)
    dress = rng.randrange(12)
    if dress == 0:
        return rng.randint(-3, 3) or 1
    if dress == 1:
        return np.float64(number)
    if dress == 2:
        return np.int64(rng.randint(1, 4))
    if dress == 3:
        return np.float32(0.5 * rng.randint(1, 6))
    if dress == 4:
        return Fraction(rng.randint(1, 9), 8)
    if dress == 5:
        return True
    return number


def random_immediates(rng, defaults):
    """Something near each default, or inside a bound that is infinite; often nothing."""
    if len(defaults) == 2:
        low = rng.choice([None, rng.uniform(-2.0, 0.0)])
        return low, rng.choice([None, rng.uniform(0.1, 2.0)])
    return tuple(default + rng.uniform(-0.9, 0.9) for default in defaults if rng.random() < 0.7)


def random_instruction(rng, kinds, n_nodes, wild):
    kind = rng.choice(kinds)
    operand_count = {"leaf": 0, "custom": 2, "custom_op": 2, "in_place": 2}.get(kind, 1)
    immediates = ()
    if kind in BINARY:
        operand_count = 2
    elif kind in ("sum", "builtin_sum"):
        operand_count = rng.randint(1, 6)
        if kind == "sum" and rng.random() < 0.5:
            immediates = tuple(random_number(rng, wild) for _ in range(rng.randint(1, 3)))
    elif kind == "dot":
        operand_count = 2 * rng.randint(1, 6)
        immediates = tuple(rng.uniform(-1, 1) for _ in range(rng.randint(0, 2)))
    elif kind == "local_grads":
        operand_count = rng.choice([1, 2, 2, 3, 5, 9])
        immediates = tuple(random_number(rng, wild) for _ in range(operand_count + 1))
    elif kind == "pow_const":
        immediates = (rng.choice(EXPONENTS + SPECIAL_NUMBERS if wild else EXPONENTS),)
    elif kind in IMMEDIATES:
        immediates = random_immediates(rng, [default for _, default in IMMEDIATES[kind]])
    elif kind == "equal number" and rng.random() < 0.5:
        immediates = (1,)  # what conditions are
    elif kind in ("leaf", "in_place") or "number" in kind:
        immediates = (random_number(rng, wild),)
    # Mostly recent nodes, so that graphs grow deep; sometimes any, so that they are reused.
    operands = tuple(
        rng.randrange(n_nodes) if rng.random() < 0.3 else max(0, n_nodes - rng.randint(1, 12))
        for _ in range(operand_count)
    )
    return kind, operands, immediates


def near_a_kink(engine, instruction, values, step=1e-3):
    """Whether a tame program would compare derivatives where there is none, or a steep one: those
    of one operation are others a step to the left than to the right."""
    kind, _, immediates = instruction
    if kind.replace(" number", "").replace("number ", "") not in (*UNARY, *BINARY):
        return False
    for i in range(len(values)):
        slopes = []
        for shift in (-step, step):
            moved = [engine.Value(v.data + shift * (i == j)) for j, v in enumerate(values)]
            node = build(engine, moved, (kind, range(len(moved)), immediates))
            slopes.append(node._local_grads)
        if any(abs(left - right) > 0.1 for left, right in zip(*slopes, strict=True)):
            return True
    return False


def random_program(engine, seed, n_nodes, kinds=KINDS, wild=False):
    """A program of about `n_nodes` instructions, tried out on `engine` as it is written."""
    rng = random.Random(seed)
    n_leaves = rng.randint(2, 8)
    make = [("leaf", (), (random_number(rng, wild),)) for _ in range(n_leaves)]
    nodes = [build(engine, [], instruction) for instruction in make]
    for _ in range(20 * n_nodes):
        if len(make) >= n_nodes - 1:
            break
        instruction = random_instruction(rng, kinds, len(nodes), wild)
        try:
            if not wild and near_a_kink(engine, instruction, [nodes[i] for i in instruction[1]]):
                continue
            node = build(engine, nodes, instruction)
        except (ArithmeticError, ValueError):
            if wild:
                make.append(instruction)
                nodes.append(nodes[-1])
            continue
        if not wild:
            if not (math.isfinite(node.data) and 1e-4 < abs(node.data) < 30.0):
                continue
            if not all(abs(local) <= 30.0 for local in node._local_grads):
                continue
        make.append(instruction)
        nodes.append(node)
    used = {operand for _, operands, _ in make for operand in operands}
    loose = [i for i in range(len(make)) if i not in used]
    make.append(("builtin_sum", tuple(loose), ()))  # a root with everything under it
    nodes.append(build(engine, nodes, make[-1]))
    return Program(seed, wild, make, random_script(rng, len(nodes), n_leaves, wild))


def random_script(rng, n_nodes, n_leaves, wild):
    """What is done with the nodes: backward from the end first, then whatever comes."""
    script = [("backward", n_nodes - 1)]
    for _ in range(rng.randint(0, 6)):
        node = rng.choice([n_nodes - 1, rng.randrange(n_nodes)])
        script.append(
            rng.choice(
                [
                    ("backward", node),
                    ("backward", node),
                    ("zero_grad", node),
                    ("data", rng.randrange(n_nodes), rng.uniform(0.1, 2.0)),
                    ("grad", rng.randrange(n_nodes), rng.uniform(-2.0, 2.0)),
                    ("step", node),
                    ("look", node),
                    ("read", node),
                ]
            )
        )
    return script


def forward(engine, program):
    """The nodes of a program; an instruction that fails repeats the node before it."""
    nodes, failures = [], []
    for position, instruction in enumerate(program.make):
        try:
            nodes.append(build(engine, nodes, instruction))
        except (ArithmeticError, ValueError) as error:
            failures.append((position, type(error).__name__))
            nodes.append(nodes[-1])
    return nodes, failures


def act(engine, nodes, action):
    """Carry out one line of a script and say what was seen of it."""
    what, node = action[0], nodes[action[1]]
    try:
        if what == "backward":
            node.backward()
        elif what == "zero_grad":
            node.zero_grad()
        elif what == "data":
            node.data = action[2]
        elif what == "grad":
            node.grad = action[2]
        elif what == "step":
            node._backward()
        elif what == "read":
            return (bits(node.data), bits(node.grad), node._op, len(node._children))
    except (ArithmeticError, ValueError) as error:
        return type(error).__name__
    return picture(node) if what == "look" else None


def run(engine, program):
    """Everything that can be seen of a program on one engine."""
    nodes, failures = forward(engine, program)
    transcript = [("failures", failures), ("data", [bits(node.data) for node in nodes])]
    for action in program.script:
        seen = act(engine, nodes, action)
        transcript.append((action, seen, [bits(node.grad) for node in nodes]))
    transcript.append(("last", picture(nodes[-1])))
    transcript.append(("ops", [node._op for node in nodes]))
    return transcript


def leaves_of(program, nodes):
    return [node for node, instruction in zip(nodes, program.make) if instruction[0] == "leaf"]


def first_difference(ours, theirs):
    """Where two transcripts part, for the message of an assertion."""
    for step, (mine, other) in enumerate(zip(ours, theirs)):
        if mine != other:
            return f"step {step}: {mine!r:.2000} != {other!r:.2000}"
    return "none" if len(ours) == len(theirs) else "one is longer"
