"""Sources of a program, rewritten before they are compiled.

A class that has a method `backward` gets one more decorator, the outermost, which may put a
stand-in in its place. Sums of products become calls of functions that do them in the engine where
the operands are what they seem, and as they are written everywhere else. Nothing else changes: the
lines stay, so that tracebacks show the program's own.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

from . import element_loops, idioms

# Names that a program does not use, found among the builtins while one is run.
OFFER = "__micrograd_fast_offer__"
DOT = "__micrograd_fast_dot__"
INDEXED_DOT = "__micrograd_fast_indexed_dot__"
LINEAR = "__micrograd_fast_linear__"
LOOP = "__micrograd_fast_loop__"


def compiled(source: str | bytes, filename: str, plain: bool = False) -> Any:
    """Compile a module's source after rewriting it; SyntaxError as Python raises it."""
    tree = ast.parse(source, filename)
    return compile(rewritten(tree, filename, plain), filename, "exec", dont_inherit=True)


def rewritten(tree: Any, filename: str, plain: bool = False) -> Any:
    """Rewrite a module, or a cell of a notebook, in place."""
    tree = _Classes(filename).visit(tree)
    if not plain:
        tree = _Loops().visit(_Sums().visit(tree))
    return ast.fix_missing_locations(tree)


_rewritten_modules: set[int] = set()


def mark(namespace: dict[str, Any]) -> None:
    """Remember that a module comes from a rewritten source."""
    _rewritten_modules.add(id(namespace))


def is_rewritten(namespace: dict[str, Any]) -> bool:
    """Whether the classes of a module are offered by its source."""
    return id(namespace) in _rewritten_modules


def provide(offer: Any) -> None:
    """Let rewritten sources find what they call."""
    setattr(builtins, OFFER, offer)
    setattr(builtins, DOT, idioms.dot_as_written)
    setattr(builtins, INDEXED_DOT, idioms.indexed_dot_as_written)
    setattr(builtins, LINEAR, idioms.linear_as_written)
    setattr(builtins, LOOP, element_loops.loop_as_written)


class _Classes(ast.NodeTransformer):
    """Offers classes that have a method `backward`."""

    def __init__(self, filename: str) -> None:
        self._filename = filename

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        defines = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        if "backward" in defines:
            first = node.decorator_list[0] if node.decorator_list else node
            offer = ast.Call(
                ast.Name(OFFER, ast.Load()),
                [ast.Constant(self._filename), ast.Constant(node.lineno)],
                [],
            )
            for part in ast.walk(offer):
                ast.copy_location(part, first)
            node.decorator_list.insert(0, offer)
        return node


class _Sums(ast.NodeTransformer):
    """Finds sums of products, alone and for every row of a matrix."""

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        self.generic_visit(node)
        found = linear_in(node)
        return node if found is None else ast.copy_location(found, node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        found = dot_in(node) or indexed_dot_in(node)
        return node if found is None else ast.copy_location(found, node)


class _Loops(ast.NodeTransformer):
    """Finds loops of arithmetic over parameters."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        # What the body of a class assigns is out of sight of what is evaluated later.
        for place, item in enumerate(node.body):
            if not isinstance(item, ast.For):
                node.body[place] = self.visit(item)
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        found = element_loops.loop_in(node, LOOP)
        if found is not None:
            node.iter = ast.copy_location(found, node.iter)
        return node


def dot_in(node: ast.Call) -> ast.Call | None:
    """``sum(a * b for a, b in zip(u, v))`` and its like as a call; None for anything else."""
    if name_of(node.func) != "sum" or len(node.args) != 1 or node.keywords:
        return None
    (terms,) = node.args
    if not isinstance(terms, (ast.GeneratorExp, ast.ListComp)):
        return None
    if len(terms.generators) != 1:
        return None
    (loop,) = terms.generators
    if loop.ifs or loop.is_async or not is_product(terms.elt):
        return None
    left, right = terms.elt.left.id, terms.elt.right.id  # type: ignore[attr-defined]
    total = ast.Name("sum", ast.Load())
    pair = loop.target
    if isinstance(pair, ast.Name) and left == right == pair.id:
        # The sequence is gone through once, whatever it is.
        return call(DOT, [total, ast.Constant(None), loop.iter, ast.Constant(None)])
    if not (isinstance(pair, ast.Tuple) and [left, right] == [name_of(e) for e in pair.elts]):
        return None
    if left == right or not is_plain_zip(loop.iter):
        return None
    return call(DOT, [total, loop.iter.func, *loop.iter.args])  # type: ignore[attr-defined]


def indexed_dot_in(node: ast.Call) -> ast.Call | None:
    """``sum(u[i] * v[i] for i in range(n))`` as a call; None for anything else."""
    if name_of(node.func) != "sum" or len(node.args) != 1 or node.keywords:
        return None
    (terms,) = node.args
    if not isinstance(terms, (ast.GeneratorExp, ast.ListComp)) or len(terms.generators) != 1:
        return None
    (loop,) = terms.generators
    product, numbers = terms.elt, loop.iter
    if loop.ifs or loop.is_async or not isinstance(loop.target, ast.Name):
        return None
    if not (isinstance(product, ast.BinOp) and isinstance(product.op, ast.Mult)):
        return None
    if not (
        isinstance(numbers, ast.Call)
        and name_of(numbers.func) == "range"
        and len(numbers.args) == 1
        and not numbers.keywords
        and not isinstance(numbers.args[0], ast.Starred)
    ):
        return None
    factors = [factor_in(factor, loop.target.id) for factor in (product.left, product.right)]
    if None in factors:
        return None
    # Whatever they are is looked at before anything is indexed; if in doubt, all is as it was.
    operands = later(ast.Tuple(factors, ast.Load()))  # type: ignore[arg-type]
    parts: list[ast.expr] = [node.func, numbers.func, numbers.args[0], operands, later(node)]
    return call(INDEXED_DOT, parts)


def factor_in(node: ast.expr, counter: str) -> ast.Tuple | None:
    """A sequence's entry at the counter: of a name, of a row, or of a column of a matrix."""
    if not isinstance(node, ast.Subscript):
        return None
    nothing = ast.Constant(None)
    if name_of(node.slice) == counter:
        if is_name(node.value) and name_of(node.value) != counter:
            return ast.Tuple([node.value, nothing, nothing], ast.Load())
        inner = node.value
        if (
            isinstance(inner, ast.Subscript)
            and is_name(inner.value)
            and is_fixed(inner.slice, counter)
            and name_of(inner.value) != counter
        ):
            return ast.Tuple([inner.value, inner.slice, nothing], ast.Load())
        return None
    inner = node.value
    if (
        is_fixed(node.slice, counter)
        and isinstance(inner, ast.Subscript)
        and is_name(inner.value)
        and name_of(inner.value) != counter
        and name_of(inner.slice) == counter
    ):
        return ast.Tuple([inner.value, nothing, node.slice], ast.Load())
    return None


def is_fixed(node: ast.expr, counter: str) -> bool:
    """Whether it is a name other than the counter, or a number."""
    return isinstance(node, ast.Constant) or (is_name(node) and name_of(node) != counter)


def later(node: ast.expr) -> ast.Lambda:
    """An expression that is evaluated when it is called."""
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), node)


def linear_in(node: ast.ListComp) -> ast.Call | None:
    """``[sum(a * b for a, b in zip(row, x)) for row in matrix]``, once its sum is a call."""
    if len(node.generators) != 1:
        return None
    (loop,) = node.generators
    inner = node.elt
    if loop.ifs or loop.is_async or not isinstance(loop.target, ast.Name):
        return None
    if not (isinstance(inner, ast.Call) and name_of(inner.func) == DOT and len(inner.args) == 4):
        return None
    total, pairing, left, right = inner.args
    row = loop.target.id
    names = name_of(left), name_of(right)
    # The vector is read anew for each row, which makes no difference for a plain name only.
    if row not in names or names[0] == names[1] or None in names:
        return None
    vector = right if names[0] == row else left
    rows_first = ast.Constant(names[0] == row)
    return call(LINEAR, [total, pairing, loop.iter, vector, rows_first])


def is_product(node: ast.expr) -> bool:
    """``a * b`` of two names."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and is_name(node.left)
        and is_name(node.right)
    )


def is_plain_zip(node: ast.expr) -> bool:
    """``zip(u, v)``, without `strict`."""
    return (
        isinstance(node, ast.Call)
        and name_of(node.func) == "zip"
        and len(node.args) == 2
        and not node.keywords
        and not any(isinstance(argument, ast.Starred) for argument in node.args)
    )


def is_name(node: ast.AST) -> bool:
    """Whether it is a plain name."""
    return isinstance(node, ast.Name)


def name_of(node: ast.AST) -> str | None:
    """The name that it is, or None."""
    return node.id if isinstance(node, ast.Name) else None


def call(name: str, arguments: list[ast.expr]) -> ast.Call:
    """A call of one of our functions."""
    return ast.Call(ast.Name(name, ast.Load()), arguments, [])
