"""`micrograd_fast.graph` over both engines, and over nodes that are neither."""

import html
import importlib.util
import io
import math
import os
import random
import re
import shutil
import sys

import graphviz
import pytest
from support import picture

from micrograd_fast.graph import (
    draw_dot,
    draw_graph,
    parameter_names,
    print_graph,
    topological_sort,
    trace,
)


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
    if isinstance(thing, list) and function not in (topological_sort, trace):
        name, found = r"root\[0\]", "float"  # these take several
    else:
        name, found = "root", type(thing).__name__
    with pytest.raises(TypeError, match=rf"^{name} must be a Value, found {found}$"):
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
    assert len(arrows(draw_dot(root, max_nodes=None).source)) == 2 * 19_999


@pytest.mark.slow
def test_a_chain_of_a_million_nodes_is_sorted_and_listed(compiled):
    # The reference would need a gigabyte for it
    root = chain(compiled, 1_000_000)
    assert len(topological_sort(root)) == 1_000_000
    assert draw_graph(root).count("\n") == 999_999


def network(engine, widths=(4, 4, 1), n_inputs=3, label_inputs=True):
    random.seed(1)
    model = engine.nn.MLP(n_inputs, list(widths), activation="tanh")
    x = [engine.Value(0.5 + i, label=f"x{i}" if label_inputs else "") for i in range(n_inputs)]
    return model, x, model(x)


def boxes(source):
    """The fields of each box."""
    found = re.findall(r'^\s*(\w+) \[label="((?:[^"\\\n]|\\.)*)" shape=record', source, re.M)
    return {name: record_fields(label.replace('\\"', '"')) for name, label in found}


class TestFolding:
    def test_draws_each_neuron_as_one_box_with_arrows_from_its_inputs(self, engine):
        model, _x, out = network(engine)
        source = draw_graph(out, format="dot", fold="neurons", model=model)
        shown = boxes(source)
        captions = [fields[0] for fields in shown.values()]
        assert set(captions) >= {"x0", "x1", "x2"}
        assert len(shown) == 3 + 4 + 4 + 1
        by_caption = {fields[0]: (name, fields) for name, fields in shown.items()}
        name, fields = by_caption["layer 1, neuron 2"]
        hidden = [n for n in topological_sort(out) if n._op == "tanh"]
        assert fields[1] == "tanh(w·x + b), 4 inputs"
        assert f"data {hidden[6].data:.4f}" in {f[2] for f in shown.values() if len(f) == 4}
        assert by_caption["layer 2, neuron 0"][1][1] == "w·x + b, 4 inputs"
        into = [tail for tail, head in arrows(source) if head == name]
        assert sorted(into) == sorted(by_caption[f"layer 0, neuron {i}"][0] for i in range(4))
        assert len(arrows(source)) == 3 * 4 + 4 * 4 + 4

    def test_draws_each_layer_as_one_box(self, engine):
        model, _x, out = network(engine)
        source = draw_graph(out, format="dot", fold="layers", model=model)
        shown = boxes(source)
        texts = [fields[:2] for fields in shown.values() if len(fields) == 4]
        assert texts == [
            ["layer 0", "4 neurons of 3 inputs, tanh"],
            ["layer 1", "4 neurons of 4 inputs, tanh"],
            ["layer 2, neuron 0", "w·x + b, 4 inputs"],
        ]
        assert len(arrows(source)) == 3 + 1 + 1

    def test_unfolds_what_is_asked_for(self, engine):
        model, _x, out = network(engine)
        whole = draw_graph(out, format="dot", model=model)
        hidden = next(n for n in topological_sort(out) if n._op == "tanh")
        for wanted in ("layer 0, neuron 0", hidden):
            source = draw_graph(out, format="dot", fold="layers", unfold=[wanted], model=model)
            texts = [fields[0] for fields in boxes(source).values()]
            opened = [text for text in texts if text.startswith("layer 0, neuron")]
            if wanted is not hidden:
                assert "layer 0, neuron 0, w[2]" in texts
                assert "layer 0, neuron 0" not in texts
            assert len([text for text in opened if ", w[" in text]) == 3
            assert "layer 1" in texts
            assert set(labels(source)) < set(labels(whole))
        source = draw_graph(out, format="dot", fold="layers", unfold="layer 0", model=model)
        texts = [fields[0] for fields in boxes(source).values()]
        assert {f"layer 0, neuron {i}" for i in range(4)} | {"layer 1"} <= set(texts)

    @pytest.mark.parametrize("wanted", ["layer 9", "n3"])
    def test_refuses_to_unfold_what_is_not_there(self, engine, wanted):
        _, x, out = network(engine)
        with pytest.raises(ValueError, match=rf"unfold must have captions .*, found '{wanted}'"):
            draw_dot(out, fold="layers", unfold=[wanted])
        with pytest.raises(ValueError, match=r"unfold must have .*, found Value"):
            draw_dot(out, fold="layers", unfold=[x[0]])

    def test_folds_as_little_as_the_limit_allows(self, engine):
        _, _, out = network(engine)
        n_nodes = len(topological_sort(out))
        drawn = [len(boxes(draw_dot(out, max_nodes=limit).source)) for limit in (n_nodes, 12, 6)]
        assert drawn == [n_nodes, 12, 6]
        with pytest.raises(ValueError, match=rf"at least 6 .*, found 5: it has {n_nodes} nodes"):
            draw_dot(out, max_nodes=5)
        with pytest.raises(ValueError, match=rf"at least {n_nodes} .*, found 12: it has"):
            draw_dot(out, max_nodes=12, fold="none")

    def test_finds_neurons_that_were_written_out_and_sums_of_products(self, engine):
        u = [engine.Value(float(i + 1)) for i in range(3)]
        v = [engine.Value(2.0) * w for w in u]
        root = sum(a * b for a, b in zip(u, v)).relu() * engine.sum(a * b for a, b in zip(v, v))
        texts = [fields[1] for fields in boxes(draw_graph(root, "dot", fold="neurons")).values()]
        assert "sum of 3 products" in texts

    def test_weights_that_something_else_uses_stay_to_be_seen(self, engine):
        model, _, out = network(engine, widths=(2, 1))
        penalty = engine.sum(p * p for p in model.parameters())
        source = draw_graph(out + penalty, "dot", fold="neurons", model=model)
        texts = [fields[0] for fields in boxes(source).values()]
        assert "layer 0, neuron 1, w[2]" in texts
        assert "layer 0, neuron 1" in texts

    def test_only_the_outputs_of_a_folded_neuron_leave_its_box(self, engine):
        """Every arrow joins boxes or operations that are there, and the graph stays one."""
        for seed in range(10):
            root = random_graph(engine, seed)
            for fold in ("neurons", "layers"):
                source = draw_graph(root, "dot", fold=fold)
                names = set(labels(source))
                assert {end for arrow in arrows(source) for end in arrow} <= names
                heads = {tail for tail, _ in arrows(source)}
                assert len(set(boxes(source)) - heads) == 1


class TestSeveralRoots:
    def test_are_drawn_together_with_what_they_share_once(self, engine):
        a = engine.Value(2.0, label="a")
        one, other = a.exp(), a * 3.0
        shown = boxes(draw_graph([one, other], "dot"))
        assert [fields[0] for fields in shown.values()].count("a") == 1
        assert len(shown) == 4
        assert len(draw_graph((one, other)).splitlines()) == 4
        assert len(boxes(draw_dot([one, other, a]).source)) == 4

    def test_must_be_at_least_one(self):
        with pytest.raises(ValueError, match="a list of at least one, found none"):
            draw_dot([])


class TestGradientColors:
    def test_are_red_above_0_blue_below_and_grey_for_nan(self, engine):
        a, b, c, d = (engine.Value(float(i)) for i in range(4))
        root = a * b + c * d
        a.grad, b.grad, c.grad, d.grad = 4.0, -1.0, math.nan, -math.inf
        source = draw_graph(root, "dot", gradients=True)
        colors = dict(re.findall(r'^\s*(n\d+) .*fillcolor="(#\w{6})"', source, re.M))
        names = {node: f"n{i}" for i, node in enumerate(topological_sort(root))}
        assert colors[names[a]] == "#f79078"
        assert colors[names[b]] == "#b5d6f8"
        assert colors[names[c]] == "#c8c8c8"
        assert colors[names[d]] == "#6baef0"
        assert colors[names[root]] == "#ffffff"

    def test_are_white_where_nothing_has_a_gradient(self, engine):
        source = draw_graph(engine.Value(1.0).exp(), "dot", gradients=True)
        assert source.count("#ffffff") == 2


class TestParameterNames:
    def test_say_where_a_parameter_stands(self, engine):
        model, _, out = network(engine)
        names = parameter_names(model)
        assert names[model.layers[1].neurons[3].w[2]] == "layer 1, neuron 3, w[2]"
        assert names[model.layers[2].neurons[0].b] == "layer 2, neuron 0, b"
        assert set(names) == set(model.parameters())
        assert "label 'layer 1, neuron 3, w[2]'" in draw_graph(out, model=model)

    def test_go_through_dicts_lists_and_what_holds_itself(self, engine):
        class Model:
            def __init__(self):
                self.table = {"wte": [[engine.Value(1.0)], [engine.Value(2.0)]]}
                self.itself = [self]
                self.number = 3

            def parameters(self):
                return []

        model = Model()
        assert list(parameter_names(model).values()) == [
            "table['wte'][0][0]",
            "table['wte'][1][0]",
        ]
        assert list(parameter_names({"a": engine.Value(1.0)}).values()) == ["a"]

    def test_give_way_to_labels(self, engine):
        model, _, out = network(engine)
        model.layers[0].neurons[0].b.label = "first {bias}"
        texts = [fields[0] for fields in boxes(draw_graph(out, "dot", model=model)).values()]
        assert "first {bias}" in texts
        assert "layer 0, neuron 0, b" not in texts


@pytest.mark.parametrize("max_nodes", [0, -1, 2.5, "many"])
def test_a_limit_that_is_no_number_of_nodes_is_refused(engine, max_nodes):
    with pytest.raises(ValueError, match="max_nodes must be a whole number from 1 on, or None"):
        draw_dot(engine.Value(1.0), max_nodes=max_nodes)


def test_an_unknown_way_to_fold_is_refused(engine):
    with pytest.raises(
        ValueError, match='fold must be "auto", "none", .*, found "all"'.replace('"all"', "'all'")
    ):
        draw_dot(engine.Value(1.0), fold="all")
