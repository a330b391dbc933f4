"""What every test file shares: the two engines behind one name, and the leak check.

A test that takes `engine` runs twice, over the pure-Python reference and over the compiled
engine, because both make the same promise. A test that takes `compiled` runs over the compiled
engine alone; a comment there says which part of the promise the reference is free of. A test that
takes `layer_engine` runs three times, because the compiled engine has two ways to evaluate a
layer: node by node and fused. `layer_engines` is all three at once, to be compared. A test that
takes `instruction_set` runs once with each build of the inner loops.

The oracles are imported here so that a missing one stops the whole suite with its name: a suite
that quietly tests less is worth less than none.
"""

import _testcapi  # noqa: F401 - CPython's own, with which memory runs out where tests want it to
import gc
import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import micrograd  # noqa: F401
import numpy  # noqa: F401
import pytest
import sklearn  # noqa: F401
import torch

# Import mode "importlib" leaves the helper modules beside this file off the path.
sys.path.append(str(Path(__file__).parent))

import random_layers
import support

from micrograd_fast import _core

torch.set_num_threads(1)


def load_engine(name):
    """The names of one implementation: Value, sum, dot, nn, name, and the arena's statistics."""
    package = {"reference": "micrograd_fast.reference", "eager": "micrograd_fast"}[name]
    engine = importlib.import_module(f"{package}.engine")
    namespace = SimpleNamespace(
        name=name,
        Value=engine.Value,
        sum=engine.sum,
        dot=engine.dot,
        nn=importlib.import_module(f"{package}.nn"),
        arena_stats=None,
    )
    if name == "eager":
        namespace.arena_stats = importlib.import_module("micrograd_fast._core").arena_stats
    return namespace


@pytest.fixture(scope="session", params=["reference", "eager"])
def engine(request):
    """Each implementation of the contract in turn."""
    return load_engine(request.param)


@pytest.fixture(scope="session")
def compiled():
    """The compiled engine."""
    return load_engine("eager")


@pytest.fixture(scope="session")
def reference():
    """The pure-Python engine."""
    return load_engine("reference")


def load_layer_engines():
    """Each way to evaluate a layer: an engine, and what makes a context in which it does."""
    core = importlib.import_module("micrograd_fast._core")
    compiled = load_engine("eager")
    return {
        "reference": (load_engine("reference"), nullcontext),
        "unfused": (compiled, lambda: random_layers.fusing(core, False)),
        "fused": (compiled, lambda: random_layers.fusing(core, True)),
    }


@pytest.fixture(params=["reference", "unfused", "fused"])
def layer_engine(request):
    """Each way to evaluate a layer in turn."""
    engine, context = load_layer_engines()[request.param]
    with context():
        yield engine


@pytest.fixture(scope="session")
def layer_engines():
    """All ways to evaluate a layer."""
    return load_layer_engines()


@pytest.fixture(params=_core.kernels()[1:])
def instruction_set(request):
    """Each instruction set that the loops are built for on this machine, in use."""
    before = _core.kernels()[0]
    _core.kernels(request.param)
    yield request.param
    _core.kernels(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.call_passed = report.passed
    return report


def live_nodes():
    """Nodes in the arena that nothing but garbage holds; 0 before the engine is loaded."""
    core = sys.modules.get("micrograd_fast._core")
    return support.live_nodes_after_collection(core.arena_stats) if core else 0


@pytest.fixture(scope="session")
def modules_of_old():
    """The names of the modules that the collector does not walk."""
    return set()


@pytest.fixture(autouse=True)
def arena_returns_to_its_baseline(request, modules_of_old):
    """Whatever a test built is gone from the arena after it."""
    before = live_nodes()
    # Keep the collector from walking torch and the rest twice a test. Much of it is imported late,
    # at the first step of an optimizer.
    if not modules_of_old.issuperset(sys.modules):
        gc.freeze()
        modules_of_old.update(sys.modules)
    yield
    # A failure keeps its frames, and with them the graph, for the report.
    if getattr(request.node, "call_passed", False):
        leaked = live_nodes() - before
        assert leaked <= 0, f"the test left {leaked} nodes in the arena"
