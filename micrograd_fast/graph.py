"""Looking at a graph: the order of its nodes, a listing of it, a drawing of it.

Only what any program can read of a node is used here: `_children`, `_op`, `data`, `grad` and
`label`. A node is any object that has them, so graphs of `micrograd_fast.reference` work too.
Nothing recurses, and every function takes time in proportion to the nodes.

Nodes are named n0, n1, ... in topological order, so the same graph is always drawn the same.
"""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Protocol, TextIO, TypeAlias, TypeVar

    class _Graph(Protocol):
        """What a node of either engine has."""

        data: float
        grad: float
        label: str
        _op: str

        @property
        def _children(self) -> tuple[Any, ...]: ...

    _Node = TypeVar("_Node", bound=_Graph)
    _Pairs: TypeAlias = list[tuple[str, str]]

# Every letter is equally wide, in whatever font stands in for it: no text is wider than its box.
FONT = "Courier"

__all__ = ["draw_dot", "draw_graph", "print_graph", "topological_sort", "trace"]


def topological_sort(root: _Node) -> list[_Node]:
    """List the nodes of a graph with every operand before what was made of it.

    The order is the one that backward goes through from its end: depth first, operands from
    left to right.

    Parameters
    ----------
    root : Value
        The result of the graph.

    Returns
    -------
    list of Value
        Each node once, `root` last.

    Raises
    ------
    TypeError
        If `root` is not a Value.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> a, b = Value(2.0), Value(3.0)
    >>> [node.data for node in topological_sort(a * b + a)]
    [2.0, 3.0, 6.0, 8.0]
    """
    if not all(hasattr(root, name) for name in ("_children", "_op", "data", "grad", "label")):
        raise TypeError(f"root must be a Value, found {type(root).__name__}")
    order = []
    # The set holds the nodes and not their ids: an id may pass on to another object
    visited = {root}
    stack = [(root, iter(root._children))]
    while stack:
        node, operands = stack[-1]
        for operand in operands:
            if operand not in visited:
                visited.add(operand)
                stack.append((operand, iter(operand._children)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def trace(root: _Node) -> tuple[set[_Node], set[tuple[_Node, _Node]]]:
    """Collect the nodes and the edges of a graph.

    Parameters
    ----------
    root : Value
        The result of the graph.

    Returns
    -------
    nodes : set of Value
    edges : set of (Value, Value)
        Pairs of an operand and what was made of it; ``a * a`` gives one pair.

    Raises
    ------
    TypeError
        If `root` is not a Value.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> a = Value(2.0)
    >>> nodes, edges = trace(a * a)
    >>> len(nodes), len(edges)
    (2, 1)
    """
    nodes = topological_sort(root)
    edges = {(operand, node) for node in nodes for operand in node._children}
    return set(nodes), edges


def print_graph(root: _Graph, file: TextIO | None = None) -> None:
    """Print a listing of a graph, one line for each node, `root` last.

    Parameters
    ----------
    root : Value
        The result of the graph.
    file : file object, optional
        Where to print, standard output by default.

    Raises
    ------
    TypeError
        If `root` is not a Value.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> y = Value(2.0, label="x").relu() * 3
    >>> y.backward()
    >>> print_graph(y)
    n0              data 2  grad 3  label 'x'
    n1 = ReLU(n0)   data 2  grad 3
    n2              data 3  grad 2
    n3 = *(n1, n2)  data 6  grad 1
    """
    print(draw_graph(root), file=file)


def draw_graph(root: _Graph, format: Literal["text", "dot"] = "text") -> str:
    """Describe a graph in text: a listing, or the source of a drawing.

    Parameters
    ----------
    root : Value
        The result of the graph.
    format : {"text", "dot"}, optional
        "text" is the listing of `print_graph`. "dot" is the drawing of `draw_dot` in the
        language of Graphviz, for which nothing needs to be installed.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If `root` is not a Value.
    ValueError
        If the format is another.

    Examples
    --------
    >>> from micrograd_fast import Value
    >>> print(draw_graph(Value(2.0).exp(), format="dot"))
    digraph {
        rankdir=LR
        node [fontname=Courier]
        n0 [label="{ | data 2.0000 | grad 0.0000 }" shape=record]
        n1 [label="{ | data 7.3891 | grad 0.0000 }" shape=record]
        n1_op [label="exp"]
        n1_op -> n1
        n0 -> n1_op
    }
    """
    if format == "text":
        return _listing(root)
    if format == "dot":
        return _dot_source(root)
    raise ValueError(f'format must be "text" or "dot", found {format!r}')


def draw_dot(root: _Graph, format: str = "svg", rankdir: str = "LR") -> Any:
    """Draw a graph with Graphviz: a box for each node, a small ellipse for each operation.

    Parameters
    ----------
    root : Value
        The result of the graph.
    format : str, optional
        The kind of picture that rendering will give, such as "svg" or "png".
    rankdir : str, optional
        "LR" draws from left to right, "TB" from top to bottom.

    Returns
    -------
    graphviz.Digraph
        A notebook shows it as a picture; its `render` method writes a file. The program ``dot``
        lays it out, or pygraphviz where there is none.

    Raises
    ------
    ImportError
        If the Python package graphviz is not installed, or there is neither the program ``dot``
        nor the package pygraphviz to lay the drawing out.
    TypeError
        If `root` is not a Value.
    """
    boxes, operations, arrows = _drawing(root)
    try:
        import graphviz

        from . import _layout

        missing = "" if _layout.can_lay_out() else "the program dot or the package pygraphviz"
    except ImportError:
        missing = "the package graphviz"
    if missing:
        raise ImportError(
            f'drawing needs {missing}: pip install "micrograd_fast[draw]"; '
            'draw_graph(root, format="dot") gives the source of the drawing without it'
        )
    dot = _layout.Drawing(
        format=format, graph_attr={"rankdir": rankdir}, node_attr={"fontname": FONT}
    )
    for name, label in boxes:
        dot.node(name, label=label, shape="record")
    for name, label in operations:
        dot.node(name, label=graphviz.nohtml(label))
    dot.edges(arrows)
    return dot


def _listing(root: _Graph) -> str:
    nodes = topological_sort(root)
    names = {node: f"n{i}" for i, node in enumerate(nodes)}
    formulas = []
    for node, name in names.items():
        operands = ", ".join(names[operand] for operand in node._children)
        formulas.append(f"{name} = {node._op}({operands})" if operands else name)
    # A node may have hundreds of operands: such lines stick out
    formula_width = max(len(formula) for formula in formulas if len(formula) <= 40)
    numbers = [f"{node.data:.6g}" for node in nodes]
    number_width = max(map(len, numbers))
    lines = []
    for node, formula, number in zip(nodes, formulas, numbers):
        line = f"{formula:{formula_width}}  data {number:{number_width}}  grad {node.grad:.6g}"
        lines.append(f"{line}  label {node.label!r}" if node.label else line)
    return "\n".join(lines)


def _dot_source(root: _Graph) -> str:
    boxes, operations, arrows = _drawing(root)
    lines = ["digraph {", "    rankdir=LR", f"    node [fontname={FONT}]"]
    lines += [f"    {name} [label={_quote(label)} shape=record]" for name, label in boxes]
    lines += [f"    {name} [label={_quote(label)}]" for name, label in operations]
    lines += [f"    {tail} -> {head}" for tail, head in arrows]
    lines.append("}")
    return "\n".join(lines)


def _drawing(root: _Graph) -> tuple[_Pairs, _Pairs, _Pairs]:
    """List what is drawn: boxes and operations as (name, label), arrows as (name, name)."""
    names = {node: f"n{i}" for i, node in enumerate(topological_sort(root))}
    boxes: _Pairs = []
    operations: _Pairs = []
    arrows: _Pairs = []
    for node, name in names.items():
        label = _escape(node.label, "{}|<>")
        fields = (
            f"{label} " if label else "",
            f" data {node.data:.4f} ",
            f" grad {node.grad:.4f} ",
        )
        boxes.append((name, f"{{ {'|'.join(fields)}}}"))
        head = name
        if node._op:
            head = f"{name}_op"
            operations.append((head, _escape(node._op)))
            arrows.append((head, name))
        for operand in dict.fromkeys(node._children):  # a * a has one arrow
            arrows.append((names[operand], head))
    return boxes, operations, arrows


def _escape(text: object, special: str = "") -> str:
    """Write `text` so that Graphviz shows it as it is in a label; `special` gets backslashes."""
    escaped = str(text).replace("\\", "\\\\").replace("&", "&amp;").replace("\n", "\\n")
    for character in special:
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def _quote(label: str) -> str:
    return '"' + label.replace('"', '\\"') + '"'
