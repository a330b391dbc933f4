"""Scalar automatic differentiation: micrograd's interface on a compiled engine.

A `Value` is a number that remembers how it was computed; ``backward()`` gives the derivative of
the result by everything it was computed from.

>>> from micrograd_fast import Value
>>> a, b = Value(2.0), Value(-3.0)
>>> loss = (a * b + 10).relu()
>>> loss.backward()
>>> a.grad, b.grad
(-3.0, 2.0)
"""

from . import data as data
from . import graph as graph
from . import optim as optim
from ._version import __version__
from .checking import gradcheck
from .conditions import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    where,
)
from .config import show_config
from .custom import CustomOp, custom_op
from .engine import Value, dot, sum
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    hinge_loss,
    log_softmax,
    mse_loss,
    nll_loss,
    softmax,
)
from .nn import MLP, Layer, Module, Neuron
from .program import Program, compile, load_program
from .tables import Index, take
from .takeover import install
from .takeover import load_ipython_extension as load_ipython_extension
from .takeover import unload_ipython_extension as unload_ipython_extension
from .tracing import jit
from .vectors import attention, embedding, layer_norm, linear, rms_norm

__all__ = [
    "MLP",
    "CustomOp",
    "Index",
    "Layer",
    "Module",
    "Neuron",
    "Program",
    "Value",
    "__version__",
    "attention",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "compile",
    "cross_entropy",
    "custom_op",
    "dot",
    "embedding",
    "equal",
    "gradcheck",
    "greater",
    "greater_equal",
    "hinge_loss",
    "install",
    "jit",
    "layer_norm",
    "less",
    "less_equal",
    "linear",
    "load_program",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "mse_loss",
    "nll_loss",
    "rms_norm",
    "show_config",
    "softmax",
    "sum",
    "take",
    "where",
]
