"""Stands in for PyTorch on interpreters that it is not installed for: what uses it is skipped.

On the path only where ``make test-all-pythons`` and cibuildwheel's test command put it.
"""

import os
import sys

import pytest


def skip():
    pytest.skip("PyTorch is not installed", allow_module_level=True)


class Name:
    """A function or module: it may be imported and named, but not called."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Name()

    def __call__(self, *args, **kwargs):
        skip()


class Tensor:
    """A tensor: it may stand in a table of cases, but no test can make it or look at it."""

    def __init__(self, *args, **kwargs):
        # pytest sets this while a test runs.
        if "PYTEST_CURRENT_TEST" in os.environ:
            skip()

    def __getattr__(self, name):
        skip()


class Function:
    """A base class."""


def set_num_threads(n):
    pass


tensor = Tensor
autograd = Name()
autograd.Function = Function
nn = Name()
# `import torch.nn.functional` looks here, because a single file has no submodules.
sys.modules.update({"torch.nn": nn, "torch.nn.functional": nn.functional})


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Name()
