"""Looking at a graph: the order of its nodes, a listing of it, a drawing of it.

Only what any program can read of a node is used here: `_children`, `_op`, `data`, `grad` and
`label`. A node is any object that has them, so graphs of `micrograd_fast.reference` work too.
Nothing recurses, and every function takes time in proportion to the nodes.

Nodes are named n0, n1, ... in topological order, so the same graph is always drawn the same.
"""

from .drawing import draw_dot, draw_graph, print_graph
from .names import parameter_names
from .order import topological_sort, trace

__all__ = [
    "draw_dot",
    "draw_graph",
    "parameter_names",
    "print_graph",
    "topological_sort",
    "trace",
]
