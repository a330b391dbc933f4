"""Point 14 of the drop-in contract: custom operations through `_backward`."""

import contextlib
import gc
import weakref

import pytest

import micrograd_fast


def custom_product(engine, a, b, log=None):
    out = engine.Value(a.data * b.data, (a, b), "custom")

    def _backward():
        if log is not None:
            log.append(out)
        a.grad += b.data * out.grad
        b.grad += a.data * out.grad

    out._backward = _backward
    return out


def test_14_an_assigned_closure_is_called_in_its_place(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    inner = a * 5
    product = custom_product(engine, inner, b)
    out = product.tanh() + product * product
    out.backward()
    c, d = engine.Value(2.0), engine.Value(3.0)
    plain = (c * 5) * d
    (plain.tanh() + plain * plain).backward()
    assert (a.grad, b.grad) == (c.grad, d.grad)


def test_14_a_closure_replaces_the_operation(engine):
    a = engine.Value(2.0)
    out = a * 3
    out._backward = lambda: None
    (out + 1).backward()
    assert (out.grad, a.grad) == (1.0, 0.0)
    straight_through = engine.Value(round(2.7), (a,), "round")

    def _backward():
        a.grad += straight_through.grad

    straight_through._backward = _backward
    (straight_through * 4).backward()
    assert a.grad == 4.0


def test_14_a_closure_may_wrap_the_operation(engine):
    """A hook: look at the gradient as it passes, and let the operation do its work."""
    a, b = engine.Value(2.0), engine.Value(3.0)
    inner = a * b
    seen = []
    original = inner._backward

    def hook():
        seen.append(inner.grad)
        inner.grad = min(inner.grad, 1.0)
        original()

    inner._backward = hook
    (inner * 10).backward()
    assert seen == [10.0]
    assert (a.grad, b.grad) == (3.0, 2.0)
    inner._backward = original
    a.grad = inner.grad = 0.0
    (inner * 10).backward()
    assert a.grad == 30.0


def test_14_node_by_node_as_in_the_lecture(engine):
    x1, x2 = engine.Value(2.0, label="x1"), engine.Value(0.0, label="x2")
    w1, w2 = engine.Value(-3.0, label="w1"), engine.Value(1.0, label="w2")
    b = engine.Value(6.8813735870195432, label="b")
    x1w1, x2w2 = x1 * w1, x2 * w2
    both = x1w1 + x2w2
    n = both + b
    o = n.tanh()
    o.grad = 1.0
    for node in (o, n, b, both, x2w2, x1w1):
        assert node._backward() is None
    assert n.grad == pytest.approx(0.5, rel=1e-12)
    expected = {x1: -1.5, w1: 1.0, x2: 0.5, w2: 0.0}
    for leaf, slope in expected.items():
        assert leaf.grad == pytest.approx(slope, rel=1e-12), leaf.label


def test_14_by_hand_in_any_order_and_twice(engine):
    a = engine.Value(2.0)
    inner = a * 3
    out = inner * 5
    inner._backward()
    assert a.grad == 0.0
    out.grad = 1.0
    out._backward()
    out._backward()
    assert inner.grad == 10.0
    inner._backward()
    assert a.grad == 30.0
    a._backward()
    assert a.grad == 30.0


def test_14_a_backward_kept_for_later_still_works(engine):
    a = engine.Value(2.0)
    out = a * 3
    out.grad = 4.0
    step = out._backward
    assert callable(step)
    del out
    gc.collect()
    for _ in range(100):
        engine.Value(1.0) * 2
    step()
    assert a.grad == 12.0
    step()
    assert a.grad == 24.0


def test_14_closures_on_leaves_and_roots(engine):
    a = engine.Value(2.0)
    order = []
    a._backward = lambda: order.append("leaf")
    out = a * 3 + a
    original = out._backward

    def root_backward():
        order.append("root")
        original()

    out._backward = root_backward
    out.backward()
    assert order == ["root", "leaf"]
    assert a.grad == 4.0
    out.backward()
    assert order == ["root", "leaf"] * 2
    a._backward()
    assert order[-1] == "leaf"
    lone = engine.Value(1.0)
    lone._backward = lambda: order.append("lone")
    lone.backward()
    assert order[-1] == "lone"


def test_14_closures_run_in_reversed_post_order(engine):
    order = []
    a, b = engine.Value(1.0, label="a"), engine.Value(2.0, label="b")

    def watch(node, label):
        node.label = label
        original = node._backward
        node._backward = lambda: (order.append(label), original())[1]
        return node

    watch(a, "a")
    watch(b, "b")
    c = watch(a * b, "c")
    d = watch(c + a, "d")
    e = watch(b * c, "e")
    f = watch(d * e, "f")
    f.backward()
    # Post-order: a b c d e f.
    assert order == ["f", "e", "d", "c", "b", "a"]
    assert (a.grad, b.grad) == (24.0, 16.0)


def test_14_a_closure_may_be_any_callable(engine):
    class Step:
        def __init__(self, node, child):
            self.node, self.child = node, child

        def __call__(self):
            self.child.grad += 7.0 * self.node.grad

        def run(self):
            self()

    a = engine.Value(1.0)
    out = engine.Value(1.0, (a,), "step")
    for callable_ in (Step(out, a), Step(out, a).run):
        a.grad = out.grad = 0.0
        out._backward = callable_
        assert out._backward == callable_
        (out * 2).backward()
        assert a.grad == 14.0


def test_14_what_is_not_callable_fails_when_it_is_called(engine):
    a = engine.Value(1.0)
    out = a * 2
    inner = out
    try:
        inner._backward = None
    except TypeError:
        return
    with pytest.raises(TypeError):
        (out + 1).backward()


def test_14_a_closure_that_raises_stops_the_pass_there(engine):
    class Stop(Exception):
        pass

    a = engine.Value(2.0)
    low = a * 3
    middle = engine.Value(1.0, (low,), "stop")
    fail = True

    def _backward():
        if fail:
            raise Stop("not now")
        low.grad += middle.grad

    middle._backward = _backward
    out = middle * 5 + 1
    with pytest.raises(Stop, match="not now"):
        out.backward()
    assert (out.grad, middle.grad, low.grad, a.grad) == (1.0, 5.0, 0.0, 0.0)
    fail = False
    out.zero_grad()
    out.backward()
    assert a.grad == 15.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, RecursionError])
def test_14_every_kind_of_exception_passes_through_backward(engine, error):
    a = engine.Value(2.0)
    out = a * 3

    def _backward():
        raise error

    out._backward = _backward
    with pytest.raises(error):
        (out + 1).backward()
    with pytest.raises(error):
        out._backward()


def test_14_a_closure_may_build_graphs_and_run_backward(engine):
    """Backward within backward: on other graphs, and with a growing arena."""
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = engine.Value(6.0, (a, b), "nested")

    def _backward():
        x, y = engine.Value(a.data), engine.Value(b.data)
        total = x * y
        for _ in range(20_000):
            total = total + 0
        total = engine.Value(total.data, (total,), (1.0,))
        total.backward()
        a.grad += x.grad * out.grad
        b.grad += y.grad * out.grad
        gc.collect()

    out._backward = _backward
    loss = out * 2 + a * b
    loss.backward()
    assert (a.grad, b.grad) == (9.0, 6.0)


def test_14_a_closure_may_run_backward_through_its_own_graph(engine):
    a = engine.Value(2.0)
    low = a * 3
    out = low * 5
    depth = []
    original = out._backward

    def _backward():
        if not depth:
            depth.append(1)
            low.backward()
        original()

    out._backward = _backward
    top = out + 1
    top.backward()
    # low.backward() set low.grad to 1 and gave a 3; then low got 5 more and gave a 6 times 3.
    assert low.grad == 6.0
    assert a.grad == 3.0 + 18.0


def test_14_a_closure_may_clear_gradients(engine):
    a = engine.Value(2.0)
    low = a * 3
    out = low * 5
    original = out._backward

    def _backward():
        original()
        low.zero_grad()

    out._backward = _backward
    (out + a).backward()
    assert (low.grad, a.grad) == (0.0, 0.0)


def test_14_a_closure_may_take_the_graph_apart(engine):
    """Nodes started over in the middle of a pass must not leave backward on dead memory. The
    reference walks on as it began, the compiled engine refuses."""
    a = engine.Value(2.0)
    low = a * 3
    middle = low * 5
    out = middle + 1

    def _backward():
        for node in (low, middle):
            with contextlib.suppress(RuntimeError):
                node.__init__(0.0)
        gc.collect()
        for _ in range(1000):
            engine.Value(0.0) + 1

    middle._backward = _backward
    out.backward()
    assert out.grad == 1.0
    b = engine.Value(2.0)
    (b * 3).backward()
    assert b.grad == 3.0


def test_14_assigning_a_closure_in_the_middle_of_a_pass(engine):
    a = engine.Value(2.0)
    low = a * 3
    top = low * 5
    original = top._backward

    def low_backward():
        a.grad += 1000.0

    def top_backward():
        original()
        low._backward = low_backward

    top._backward = top_backward
    top.backward()
    assert a.grad == 1000.0
    top._backward = lambda: None
    del top
    gc.collect()


def test_14_a_closure_replacing_itself_while_it_runs(engine):
    a = engine.Value(2.0)
    out = engine.Value(1.0, (a,), "once")

    class Token:
        pass

    token = Token()
    alive = weakref.ref(token)

    def once(token=token):
        out._backward = lambda: None
        gc.collect()
        assert token is not None
        a.grad += 1.0

    out._backward = once
    del once, token
    out.backward()
    out.backward()
    assert a.grad == 1.0
    gc.collect()
    assert alive() is None


def test_14_a_closure_survives_without_a_name_for_its_node(engine):
    """Only the root is named; a collection must not take the closures below for garbage."""
    a = engine.Value(2.0)
    log = []
    out = a
    for i in range(20):
        out = custom_product(engine, out, engine.Value(1.0 + i % 2), log) * 1.0
    for _ in range(3):
        gc.collect()
    junk = [engine.Value(i) * 2 for i in range(1000)]
    out.backward()
    assert len(log) == 20
    assert a.grad == 2.0**10
    del junk


def test_14_the_cycle_of_a_closure_is_collected(engine):
    class Token:
        pass

    def build():
        a, b = engine.Value(2.0), engine.Value(3.0)
        out = custom_product(engine, a, b)
        out.token = Token()
        return weakref.ref(out.token)

    references = [build() for _ in range(100)]
    gc.collect()
    assert not any(reference() for reference in references)


def test_14_cycles_through_graphs_are_collected(engine):
    """A leaf's closure that refers to the root, operands between them included."""

    class Token:
        pass

    def build():
        token = Token()
        leaf = engine.Value(2.0)
        root = ((leaf * 2) + 1).tanh() * leaf
        leaf._backward = lambda: (root, token)
        return weakref.ref(token)

    reference = build()
    gc.collect()
    assert reference() is None


def test_14_a_cycle_that_is_still_held_is_kept(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    out = custom_product(engine, a, b)
    outer = out * 2
    del out
    for _ in range(3):
        gc.collect()
    outer.backward()
    assert (a.grad, b.grad) == (6.0, 4.0)
    step = outer._children[0]._backward
    del outer
    gc.collect()
    step()
    assert (a.grad, b.grad) == (12.0, 8.0)


def test_14_one_collection_frees_custom_operations_with_long_graphs_between(compiled):
    """However many ordinary nodes hang from a closure, and however many closures on each other."""
    a = compiled.Value(0.5)
    gc.collect()
    gc.disable()
    try:
        before = compiled.arena_stats()["live_nodes"]
        node = compiled.Value(0.25)
        for _ in range(4):
            for _ in range(20_000):
                node = node * a + 0.1
            node = custom_product(compiled, node, a)
        node.backward()
        del node
        assert compiled.arena_stats()["live_nodes"] > before + 160_000
        gc.collect()
        assert compiled.arena_stats()["live_nodes"] == before
    finally:
        gc.enable()


def test_14_nodes_that_hang_from_closures_bring_on_a_collection(compiled):
    """By Python's own count a few closures are not worth one."""
    a = compiled.Value(0.5)
    most = 0
    for _ in range(40):
        node = compiled.Value(0.25)
        for _ in range(25_000):
            node = node * a + 0.1
        node = custom_product(compiled, node, a)
        node.backward()
        most = max(most, compiled.arena_stats()["live_nodes"])
    assert most < 1_000_000
    del node
    gc.collect()


def test_14_a_collector_that_is_switched_off_stays_off(compiled):
    a = compiled.Value(0.5)
    gc.collect()
    gc.disable()
    try:
        before = gc.get_stats()[2]["collections"]
        for _ in range(3):
            node = compiled.Value(0.25)
            for _ in range(200_000):
                node = node * a + 0.1
            custom_product(compiled, node, a)
        assert gc.get_stats()[2]["collections"] == before
    finally:
        gc.enable()
    del node
    gc.collect()


def test_14_the_dict_of_a_node_says_whether_there_is_a_closure(compiled):
    """Whatever is done to it, and by whom."""
    a = compiled.Value(2.0)
    out = a * 3.0
    calls = []

    def gradient_of_a():
        calls.clear()
        a.grad = 0.0
        out.backward()
        return a.grad

    attributes = vars(out)
    attributes["_backward"] = lambda: calls.append("first")
    assert (gradient_of_a(), calls) == (0.0, ["first"])
    assert out._backward is attributes["_backward"]
    attributes.clear()
    assert (gradient_of_a(), calls) == (3.0, [])
    out._backward = lambda: calls.append("second")
    assert (gradient_of_a(), calls) == (0.0, ["second"])
    del attributes["_backward"]
    assert (gradient_of_a(), calls) == (3.0, [])
    assert out._local_grads == (3.0, 2.0)
    attributes.update(_backward=lambda: attributes.clear())
    assert gradient_of_a() == 0.0
    assert gradient_of_a() == 3.0
    attributes["_backward"] = None
    with pytest.raises(TypeError):
        out.backward()


def test_14_keys_of_a_dict_that_compare_in_their_own_way_do_no_harm(compiled):
    a = compiled.Value(2.0)
    out = a * 3.0
    attributes = vars(out)

    class Key:
        def __hash__(self):
            return hash("_backward")

        def __eq__(self, other):
            attributes.clear()
            return False

    attributes[Key()] = 1
    out.backward()
    assert a.grad == 3.0
    out._backward = lambda: None
    out.backward()
    assert a.grad == 3.0


def test_14_the_dict_of_a_parameter_may_get_a_closure_at_any_time(layer_engine):
    layer = layer_engine.nn.Layer(2, 2)
    for p in layer.parameters():
        p.data = 1.0
    weight = layer.neurons[0].w[0]
    calls = []

    def backward():
        calls.clear()
        sum(layer([1.0, 2.0])).backward()
        return calls

    assert backward() == []
    attributes = vars(weight)
    assert backward() == []
    attributes["_backward"] = lambda: calls.append(1)
    assert backward() == [1]
    attributes["_backward"] = lambda: None
    assert backward() == []


def test_14_a_graph_whose_closure_is_gone_can_be_frozen(compiled):
    x, w = compiled.Value(2.0), compiled.Value(3.0)
    out = x * w
    out._backward = lambda: None
    vars(out).clear()
    vars(x)
    assert micrograd_fast.compile(out, [x])([5.0]) == 15.0
