"""Pictures of models and their training, on the axes of matplotlib.

Every function takes ``ax``, draws on it and returns it; without one it makes a figure with pyplot.
All of it needs the extra ``plot``: ``pip install "micrograd_fast[plot]"``.
"""

from .boundary import decision_boundary
from .confusion import confusion_matrix
from .curves import loss_curve

__all__ = ["confusion_matrix", "decision_boundary", "loss_curve"]
