"""`micrograd_fast.graph` over both engines, and over nodes that are neither."""

import html
import importlib.util
import io
import os
import random
import re
import shutil
import sys

import graphviz
import pytest
from support import picture

from micrograd_fast.graph import draw_dot, draw_graph, print_graph, topological_sort, trace


def random_graph(engine, seed, n_nodes=60):
    """A graph whose nodes are reused, among them as both operands of one node."""
    rng = random.Random(seed)
    nodes = [engine.Value(rng.uniform(0.1, 1.0)) for _ in range(4)]
    for _ in range(n_nodes):
        a, b = rng.choice(nodes), rng.choice(nodes)
        nodes.append(rng.choice([a + b, a * b, a.tanh(), a**2]))
    return engine.sum(nodes)


def recursive_order(root):
    """The order of the textbook, which no deep graph survives."""
    order, visited = [], set()

    def place(node):
        if node not in visited:
            visited.add(node)
            for operand in node._children:
                place(operand)
            order.append(node)

    place(root)
    return order


def identities(nodes):
    return [id(node) for node in nodes]


class Node:
    """The public face of a node and nothing else."""

    __slots__ = ("_children", "_op", "data", "grad", "label")

    def __init__(self, data, _children=(), _op="", label=""):
        self._children, self._op, self.label = _children, _op, label
        self.data, self.grad = data, 0.0


class TestTopologicalSort:
    @pytest.mark.parametrize("seed", range(20))
    def test_is_the_order_of_the_recursive_textbook_search(self, engine, seed):
        root = random_graph(engine, seed)
        expected = recursive_order(root)
        assert len(expected) > 60
        assert identities(topological_sort(root)) == identities(expected)

    @pytest.mark.parametrize("seed", range(5))
    def test_lists_every_node_once_operands_first_and_the_root_last(self, engine, seed):
        root = random_graph(engine, seed)
        order = topological_sort(root)
        position = {node: i for i, node in enumerate(order)}
        assert len(position) == len(order)
        assert order[-1] is root
        for node in order:
            assert all(position[operand] < position[node] for operand in node._children)

    @pytest.mark.parametrize("seed", range(5))
    def test_is_the_order_of_backward_reversed(self, engine, seed):
        rng = random.Random(seed)
        called, nodes = [], [engine.Value(1.0)]
        for i in range(40):
            node = engine.Value(0.0, (rng.choice(nodes), rng.choice(nodes)), "custom", str(i))
            node._backward = lambda label=node.label: called.append(label)
            nodes.append(node)
        root = engine.sum(nodes)
        root.backward()
        expected = [node.label for node in topological_sort(root) if node._op == "custom"]
        assert len(expected) == 40
        assert called == expected[::-1]

    def test_of_a_leaf_is_the_leaf(self, engine):
        leaf = engine.Value(2.0)
        assert topological_sort(leaf) == [leaf]

    def test_takes_no_longer_for_many_paths(self, engine):
        node = engine.Value(0.0)
        for _ in range(200):  # 2**200 paths lead to the leaf
            node = node + node
        assert len(topological_sort(node)) == 201


class TestTrace:
    def test_gives_the_nodes_and_the_pairs_of_operand_and_result(self, engine):
        a, b = engine.Value(2.0), engine.Value(3.0)
        product = a * b
        root = product + a
        nodes, edges = trace(root)
        assert nodes == {a, b, product, root}
        assert edges == {(a, product), (b, product), (product, root), (a, root)}

    def test_gives_one_pair_for_an_operand_that_stands_twice(self, engine):
        a = engine.Value(2.0)
        square = a * a
        assert trace(square) == ({a, square}, {(a, square)})


class TestListing:
    def test_has_a_line_for_each_node_with_formula_data_grad_and_label(self, engine):
        x = engine.Value(-2.0, label="x")
        y = x * 3 + x**2
        y.label = "y"
        y.backward()
        assert draw_graph(y).splitlines() == [
            "n0              data -2  grad -1  label 'x'",
            "n1              data 3   grad -2",
            "n2 = *(n0, n1)  data -6  grad 1",
            "n3 = **2(n0)    data 4   grad 1",
            "n4 = +(n2, n3)  data -2  grad 1  label 'y'",
        ]

    def test_shows_an_operand_that_stands_twice_twice(self, engine):
        a = engine.Value(3.0)
        assert draw_graph(a * a).splitlines()[-1].startswith("n1 = *(n0, n0) ")

    def test_shows_a_node_without_a_name_of_operation(self, engine):
        node = engine.Value(1.0, (engine.Value(2.0),), (0.5,))
        assert draw_graph(node).splitlines()[-1].startswith("n1 = (n0) ")

    def test_keeps_one_line_for_a_label_of_two(self, engine):
        assert draw_graph(engine.Value(1.0, label="one\ntwo")) == (
            r"n0  data 1  grad 0  label 'one\ntwo'"
        )

    def test_is_printed_to_standard_output(self, engine, capsys):
        root = engine.Value(2.0).exp()
        print_graph(root)
        assert capsys.readouterr().out == draw_graph(root) + "\n"

    def test_is_printed_to_a_given_file_only(self, engine, capsys):
        root = engine.Value(2.0).exp()
        file = io.StringIO()
        print_graph(root, file=file)
        assert file.getvalue() == draw_graph(root) + "\n"
        assert capsys.readouterr().out == ""


def labels(source):
    """Node names and their labels as Graphviz reads them from a source, escapes kept."""
    found = re.findall(r'^\s*(\w+) \[label=(?:"((?:[^"\\\n]|\\.)*)"|(\w+))', source, re.M)
    return {name: quoted.replace('\\"', '"') + plain for name, quoted, plain in found}


def unescape(text):
    """Text as Graphviz shows it."""
    text = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)
    return html.unescape(text)


def record_fields(label):
    """The fields of a record label as Graphviz shows them; its braces must be the outer ones."""
    assert re.fullmatch(r"\{(?:[^\\{}<>]|\\.)*\}", label), label
    fields = re.findall(r"(?:[^\\|]|\\.)+", label[1:-1])
    return [unescape(field.strip(" ")) for field in fields]


def arrows(source):
    return [tuple(pair) for pair in re.findall(r"^\s*(\w+) -> (\w+)$", source, re.M)]


SOURCES = {
    "draw_graph": lambda root: draw_graph(root, format="dot"),
    "draw_dot": lambda root: draw_dot(root).source,
}


@pytest.fixture(params=SOURCES)
def source_of(request):
    """Each way to the source of a drawing."""
    return SOURCES[request.param]


AWKWARD = [
    "loss",
    "a|b",
    "{a}",
    "<port> x",
    'say "hi"',
    "back\\slash",
    "ends with \\",
    'quote after \\"',
    "two\nlines",
    "R&D &lt;",
    "naïve ∂",
    "\\N",
]


class TestDrawing:
    def test_has_a_record_for_each_node_with_label_data_and_grad(self, engine, source_of):
        x = engine.Value(-2.0, label="x")
        y = (x * 3).tanh()
        y.backward()
        source = source_of(y)
        assert source.count("shape=record") == 4
        shown = labels(source)
        assert record_fields(shown["n0"]) == ["x", "data -2.0000", f"grad {x.grad:.4f}"]
        assert record_fields(shown["n1"]) == ["", "data 3.0000", "grad -0.0000"]
        assert record_fields(shown["n3"]) == ["", "data -1.0000", "grad 1.0000"]

    def test_joins_operands_to_results_through_a_node_for_the_operation(self, engine, source_of):
        x = engine.Value(-2.0)
        source = source_of((x * 3).relu())
        shown = labels(source)
        assert (shown["n2_op"], shown["n3_op"]) == ("*", "ReLU")
        assert arrows(source) == [
            ("n2_op", "n2"),
            ("n0", "n2_op"),
            ("n1", "n2_op"),
            ("n3_op", "n3"),
            ("n2", "n3_op"),
        ]

    def test_has_one_arrow_for_an_operand_that_stands_twice(self, engine, source_of):
        a = engine.Value(3.0)
        assert arrows(source_of(a * a)) == [("n1_op", "n1"), ("n0", "n1_op")]

    def test_joins_operands_directly_where_the_operation_has_no_name(self, engine, source_of):
        node = engine.Value(1.0, (engine.Value(2.0),), (0.5,))
        assert arrows(source_of(node)) == [("n0", "n1")]

    def test_runs_from_left_to_right(self, engine, source_of):
        assert "rankdir=LR" in source_of(engine.Value(1.0))

    @pytest.mark.parametrize("text", AWKWARD)
    def test_shows_any_label_as_it_is(self, engine, source_of, text):
        root = engine.Value(1.0, label=text)
        shown = labels(source_of(root))
        assert record_fields(shown["n0"]) == [text, "data 1.0000", "grad 0.0000"]

    @pytest.mark.parametrize("text", [*AWKWARD, "<b>bold</b>", "graph"])
    def test_shows_any_operation_as_it_is(self, engine, source_of, text):
        root = engine.Value(1.0, (engine.Value(2.0),), text)
        assert unescape(labels(source_of(root))["n1_op"]) == text


class TestDrawDot:
    def test_gives_a_digraph_in_the_format_and_direction_asked_for(self, engine):
        dot = draw_dot(engine.Value(1.0).exp(), format="png", rankdir="TB")
        assert isinstance(dot, graphviz.Digraph)
        assert dot.format == "png"
        assert "rankdir=TB" in dot.source

    def test_gives_svg_from_left_to_right_unless_asked(self, engine):
        dot = draw_dot(engine.Value(1.0))
        assert dot.format == "svg"
        assert "rankdir=LR" in dot.source

    def test_says_how_to_get_graphviz_where_it_is_missing(self, engine, monkeypatch):
        monkeypatch.setitem(sys.modules, "graphviz", None)
        with pytest.raises(ImportError, match=re.escape('pip install "micrograd_fast[draw]"')):
            draw_dot(engine.Value(1.0))
        with pytest.raises(ImportError, match=re.escape('draw_graph(root, format="dot")')):
            draw_dot(engine.Value(1.0))

    def test_says_what_to_install_where_nothing_lays_it_out(self, engine, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            ImportError, match="needs the program dot or the package pygraphviz: pip"
        ):
            draw_dot(engine.Value(1.0))

    @pytest.mark.parametrize("with_program", [False] + [True] * bool(shutil.which("dot")))
    def test_is_laid_out_with_the_program_and_without(
        self, engine, monkeypatch, tmp_path, with_program
    ):
        if not with_program:
            monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        dot = draw_dot(engine.Value(2.0, label="naïve <x>") * 3)
        shown = dot._repr_mimebundle_()["image/svg+xml"]
        texts = [html.unescape(text) for text in re.findall(r"<text [^>]*>(.*?)</text>", shown)]
        assert "naïve\xa0<x>" in [text.replace(" ", "\xa0") for text in texts]
        assert "Courier" in shown
        assert dot.pipe().decode() == shown
        assert dot.pipe("png").startswith(b"\x89PNG")
        assert dot.render("graph", format="png") == "graph.png"
        assert dot.render("graph", cleanup=True) == "graph.svg"
        assert dot.render(outfile="folder.svg") == "folder.svg"
        assert sorted(os.listdir()) == ["folder.gv", "folder.svg", "graph.png", "graph.svg"]
        assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == shown
        with pytest.raises(graphviz.FileExistsError):
            dot.render(outfile="folder.svg", raise_if_result_exists=True)

    def test_is_the_only_one_that_needs_graphviz(self, engine, monkeypatch):
        monkeypatch.setitem(sys.modules, "graphviz", None)
        assert draw_graph(engine.Value(1.0), format="dot").startswith("digraph {")


FUNCTIONS = [topological_sort, trace, print_graph, draw_graph, draw_dot]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("thing", [1.0, "x", None, [1.0], object()])
def test_what_is_not_a_node_is_refused_by_name(function, thing):
    with pytest.raises(TypeError, match=rf"^root must be a Value, found {type(thing).__name__}$"):
        function(thing)


@pytest.mark.parametrize("format", ["svg", "TEXT", None])
def test_an_unknown_format_is_refused_by_name(engine, format):
    with pytest.raises(ValueError, match=rf'^format must be "text" or "dot", found {format!r}$'):
        draw_graph(engine.Value(1.0), format=format)


@pytest.mark.parametrize("format", ["text", "dot"])
def test_the_same_graph_built_again_is_drawn_the_same(engine, format):
    first = draw_graph(random_graph(engine, seed=1), format=format)
    assert draw_graph(random_graph(engine, seed=1), format=format) == first
    assert draw_graph(random_graph(engine, seed=2), format=format) != first


@pytest.mark.parametrize("format", ["text", "dot"])
def test_both_engines_draw_the_same(compiled, reference, format):
    drawings = []
    for engine in (compiled, reference):
        root = random_graph(engine, seed=3)
        root.backward()
        drawings.append(draw_graph(root, format=format))
    assert drawings[0] == drawings[1]


def test_looking_at_a_graph_leaves_it_as_it_was(engine):
    root = random_graph(engine, seed=4)
    root.backward()
    before = picture(root)
    trace(root), draw_graph(root), draw_graph(root, format="dot"), draw_dot(root)
    assert picture(root) == before


def test_nothing_but_the_public_face_of_a_node_is_used():
    a = Node(2.0, label="a")
    root = Node(4.0, (a, a), "*")
    assert topological_sort(root) == [a, root]
    assert trace(root) == ({a, root}, {(a, root)})
    assert draw_graph(root).splitlines() == [
        "n0              data 2  grad 0  label 'a'",
        "n1 = *(n0, n0)  data 4  grad 0",
    ]
    assert arrows(draw_dot(root).source) == [("n1_op", "n1"), ("n0", "n1_op")]


def chain(engine, n_nodes):
    node = engine.Value(1.0)
    for _ in range(n_nodes - 1):
        node = node.relu()
    return node


def test_a_deep_chain_is_sorted_traced_and_drawn(engine):
    root = chain(engine, 20_000)
    assert len(topological_sort(root)) == 20_000
    nodes, edges = trace(root)
    assert (len(nodes), len(edges)) == (20_000, 19_999)
    assert len(draw_graph(root).splitlines()) == 20_000
    assert len(arrows(draw_graph(root, format="dot"))) == 2 * 19_999
    assert len(arrows(draw_dot(root).source)) == 2 * 19_999


@pytest.mark.slow
def test_a_chain_of_a_million_nodes_is_sorted_and_listed(compiled):
    # The reference would need a gigabyte for it
    root = chain(compiled, 1_000_000)
    assert len(topological_sort(root)) == 1_000_000
    assert draw_graph(root).count("\n") == 999_999
