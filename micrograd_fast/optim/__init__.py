"""Optimizers, with PyTorch's names and arguments; `lr_scheduler` has schedules of their rates.

A step is one C loop over the parameters, which may be any list of Values. Its arithmetic is that
of the same rule written out in Python, line by line, to the last bit.

Of PyTorch's options, those are not there that choose among its loops over tensors (``foreach``,
``fused``), or that are for graphs of CUDA (``capturable``) or of the step itself
(``differentiable``): a step assigns data, which no graph knows of. ``decoupled_weight_decay`` of
Adam is `AdamW`.
"""

from . import lr_scheduler
from .adagrad import Adagrad
from .adam import Adam, AdamW
from .clip_grad import clip_grad_norm_, clip_grad_value_
from .lr_scheduler import CosineAnnealingLR, LinearLR, StepLR
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LinearLR",
    "RMSprop",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
