"""Listings and drawings of a graph."""

from __future__ import annotations

from .names import parameter_names
from .order import order_of, roots_of

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal, TextIO, TypeAlias

    from .order import Node
    from .picture import Fold, Picture

    _Root: TypeAlias = Node | Sequence[Node]

# Every letter is equally wide, in whatever font stands in for it: no text is wider than its box.
FONT = "Courier"


def print_graph(root: _Root, file: TextIO | None = None, *, model: Any = None) -> None:
    """Print a listing of a graph, one line for each node, the result last.

    Parameters
    ----------
    root : Value or list of Value
        The result of the graph, or several.
    file : file object, optional
        Where to print, standard output by default.
    model : Module, optional
        Its parameters are called by the names of `parameter_names` where they have no label.

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
    print(draw_graph(root, model=model), file=file)


def draw_graph(
    root: _Root,
    format: Literal["text", "dot"] = "text",
    *,
    fold: Fold = "none",
    unfold: Sequence[Node | str] = (),
    max_nodes: int | None = None,
    gradients: bool = False,
    model: Any = None,
) -> str:
    """Describe a graph in text: a listing, or the source of a drawing.

    Parameters
    ----------
    root : Value or list of Value
        The result of the graph, or several.
    format : {"text", "dot"}, optional
        "text" is the listing of `print_graph`. "dot" is the drawing of `draw_dot` in the
        language of Graphviz, for which nothing needs to be installed.
    fold, unfold, max_nodes, gradients : optional
        As `draw_dot` has them, for "dot"; a listing has every node.
    model : Module, optional
        Its parameters are called by the names of `parameter_names` where they have no label.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If `root` is not a Value.
    ValueError
        If the format or another argument is none of what it may be.

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
        return _listing(roots_of(root), {} if model is None else parameter_names(model))
    if format == "dot":
        return _dot_source(_drawn(root, fold, unfold, max_nodes, gradients, model))
    raise ValueError(f'format must be "text" or "dot", found {format!r}')


def draw_dot(
    root: _Root,
    format: str = "svg",
    rankdir: str = "LR",
    *,
    fold: Fold = "auto",
    unfold: Sequence[Node | str] = (),
    max_nodes: int | None = 300,
    gradients: bool = False,
    model: Any = None,
) -> Any:
    """Draw a graph with Graphviz: a box for each node, a small ellipse for each operation.

    Parameters
    ----------
    root : Value or list of Value
        The result of the graph, or several.
    format : str, optional
        The kind of picture that rendering will give, such as "svg" or "png".
    rankdir : str, optional
        "LR" draws from left to right, "TB" from top to bottom.
    fold : {"auto", "none", "neurons", "layers"}, optional
        Whether each neuron, or each layer of neurons with the same inputs, is drawn as one box
        with round corners. "auto" folds as little as `max_nodes` allows.
    unfold : sequence of Value or str, optional
        Neurons (by their outputs, or by the captions of their boxes, as in
        ``"layer 0, neuron 3"``) and layers (by their captions) that are not folded.
    max_nodes : int or None, optional
        The most boxes that are drawn; None draws any number.
    gradients : bool, optional
        True fills the boxes: red for gradients above 0, blue below, the deeper the further from
        it, grey for nan.
    model : Module, optional
        Its parameters are called by the names of `parameter_names` where they have no label, and
        its neurons and layers likewise.

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
    ValueError
        If there would be more than `max_nodes` boxes, or an argument is none of what it may be.
    """
    picture = _drawn(root, fold, unfold, max_nodes, gradients, model)
    try:
        import graphviz

        from . import layout

        missing = "" if layout.can_lay_out() else "the program dot or the package pygraphviz"
    except ImportError:
        missing = "the package graphviz"
    if missing:
        raise ImportError(
            f'drawing needs {missing}: pip install "micrograd_fast[draw]"; '
            'draw_graph(root, format="dot") gives the source of the drawing without it'
        )
    dot = layout.Drawing(
        format=format, graph_attr={"rankdir": rankdir}, node_attr={"fontname": FONT}
    )
    for name, label, look in picture.boxes:
        dot.node(name, label=label, shape="record", **look)
    for name, label in picture.operations:
        dot.node(name, label=graphviz.nohtml(label))
    dot.edges(picture.arrows)
    return dot


def _drawn(
    root: _Root,
    fold: Fold,
    unfold: Sequence[Node | str],
    max_nodes: int | None,
    gradients: bool,
    model: Any,
) -> Picture:
    # Imported here because it is of no use to programs that draw nothing.
    from .picture import FOLDS, Folded, picture_of

    roots = roots_of(root)
    if fold not in ("auto", *FOLDS):
        raise ValueError(f'fold must be "auto", "none", "neurons" or "layers", found {fold!r}')
    if max_nodes is not None and (not isinstance(max_nodes, int) or max_nodes < 1):
        raise ValueError(
            f"max_nodes must be a whole number from 1 on, or None, found {max_nodes!r}"
        )
    names = {} if model is None else parameter_names(model)
    opened: list[Any] = [unfold] if isinstance(unfold, str) else list(unfold)
    return picture_of(Folded(roots, fold, opened, max_nodes, names), gradients)


def _listing(roots: list[Any], called: dict[Any, str]) -> str:
    nodes = order_of(roots)
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
        label = node.label or called.get(node, "")
        lines.append(f"{line}  label {label!r}" if label else line)
    return "\n".join(lines)


def _dot_source(picture: Picture) -> str:
    lines = ["digraph {", "    rankdir=LR", f"    node [fontname={FONT}]"]
    for name, label, look in picture.boxes:
        attributes = "".join(f' {key}="{entry}"' for key, entry in look.items())
        lines.append(f"    {name} [label={_quote(label)} shape=record{attributes}]")
    lines += [f"    {name} [label={_quote(label)}]" for name, label in picture.operations]
    lines += [f"    {tail} -> {head}" for tail, head in picture.arrows]
    lines.append("}")
    return "\n".join(lines)


def _quote(label: str) -> str:
    return '"' + label.replace('"', '\\"') + '"'
