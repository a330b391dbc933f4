"""Stands in for PyTorch on interpreters that it is not installed for: what uses it is skipped.

On the path only where ``make test-all-pythons`` puts it.
"""

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
    """A tensor: it may be made, for a table of cases, but not looked at."""

    def __init__(self, *args, **kwargs):
        pass

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
