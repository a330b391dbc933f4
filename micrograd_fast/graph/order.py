"""The order of a graph's nodes, and its edges."""

from __future__ import annotations

# True for type checkers only: at run time, typing is not worth its time to load.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, TypeVar

    class Node(Protocol):
        """What a node of either engine has."""

        data: float
        grad: float
        label: str
        _op: str

        @property
        def _children(self) -> tuple[Any, ...]: ...

    _Node = TypeVar("_Node", bound=Node)


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
    check_node(root, "root")
    return order_of([root])


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


def roots_of(root: Any) -> list[Any]:
    """List the results that are given as one Value, or as a list or tuple of some.

    Raises
    ------
    TypeError
        If there is something else among them.
    ValueError
        If there is none.
    """
    if not isinstance(root, (list, tuple)):
        check_node(root, "root")
        return [root]
    if not root:
        raise ValueError("root must be a Value, or a list of at least one, found none")
    for place, node in enumerate(root):
        check_node(node, f"root[{place}]")
    return list(root)


def check_node(root: Any, name: str) -> None:
    """Refuse what is no node."""
    if not all(hasattr(root, face) for face in ("_children", "_op", "data", "grad", "label")):
        raise TypeError(f"{name} must be a Value, found {type(root).__name__}")


def order_of(roots: list[_Node]) -> list[_Node]:
    """List the nodes under some results, each once, operands first."""
    order = []
    # The set holds the nodes and not their ids: an id may pass on to another object
    visited = set()
    for root in roots:
        if root in visited:
            continue
        visited.add(root)
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
