"""Point 18 of the drop-in contract, and 19 to 21 in small; in large they are in
`test_scale.py`, `test_memory.py` and `test_threads_and_fork.py`."""

import gc

from support import bits, picture, trace


def test_18_backward_assigns_the_root_and_adds_everywhere_else(engine):
    a = engine.Value(3.0)
    square = a * a
    z = square * 2
    z.backward()
    assert (z.grad, square.grad, a.grad) == (1.0, 2.0, 12.0)
    z.backward()
    assert (z.grad, square.grad, a.grad) == (1.0, 4.0, 36.0)
    z.backward()
    assert (z.grad, square.grad, a.grad) == (1.0, 6.0, 72.0)


def test_18_nameless_interior_nodes_keep_their_gradient_too(engine):
    a = engine.Value(3.0)
    z = (a * a) * 2
    z.backward()
    z.backward()
    assert a.grad == 36.0


def test_18_backward_returns_none_and_leaves_data_alone(engine):
    a = engine.Value(3.0)
    z = (a * a) * 2
    assert z.backward() is None
    assert (z.data, a.data) == (18.0, 3.0)


def test_18_backward_of_a_leaf(engine):
    a = engine.Value(3.0)
    a.grad = 7.0
    a.backward()
    assert a.grad == 1.0
    a.backward()
    assert a.grad == 1.0


def test_18_what_was_in_the_root_is_overwritten_and_elsewhere_is_added_to(engine):
    a = engine.Value(3.0)
    z = a * 2
    z.grad, a.grad = 100.0, 10.0
    z.backward()
    assert (z.grad, a.grad) == (1.0, 12.0)


def test_18_backward_from_the_middle_and_then_from_the_top(engine):
    a = engine.Value(2.0)
    middle = a * 3
    top = middle * 5
    middle.backward()
    assert (top.grad, middle.grad, a.grad) == (0.0, 1.0, 3.0)
    top.backward()
    assert (top.grad, middle.grad, a.grad) == (1.0, 6.0, 21.0)


def test_18_two_roots_over_shared_nodes(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    shared = a * b
    first, second = shared + a, shared * b
    first.backward()
    second.backward()
    # shared.grad is 1 after the first pass and 4 at its place in the second.
    assert shared.grad == 4.0
    assert a.grad == (1.0 + 3.0) + 4.0 * 3.0
    assert b.grad == 2.0 + 6.0 + 4.0 * 2.0


def test_18_nodes_outside_the_graph_are_untouched(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    user = a * b
    z = a * 5
    b.grad = user.grad = 9.0
    z.backward()
    assert (b.grad, user.grad, a.grad) == (9.0, 9.0, 5.0)


def test_18_a_node_is_visited_once_however_many_paths_lead_to_it(engine):
    a = engine.Value(1.0)
    node = a
    for _ in range(60):
        node = node + node
    node.backward()
    assert a.grad == 2.0**60


def test_18_zero_grad_clears_the_whole_graph_under_a_value(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    outside = b * 2
    z = ((a * b) + a).tanh() * engine.Value(0.0, (a, b), (1.0, 2.0))
    z.backward()
    outside.grad = 5.0
    nodes = trace(z)
    assert any(node.grad != 0.0 for node in nodes)
    assert z.zero_grad() is None
    assert [bits(node.grad) for node in nodes] == [bits(0.0)] * len(nodes)
    assert outside.grad == 5.0
    a.grad = 4.0
    a.zero_grad()
    assert a.grad == 0.0


def test_18_zero_grad_then_backward_is_a_fresh_start(engine):
    a, b = engine.Value(2.0), engine.Value(3.0)
    z = ((a * b) + a).tanh() * b
    z.backward()
    first = picture(z)
    z.zero_grad()
    z.backward()
    assert picture(z) == first
    z.backward()
    assert picture(z) != first


def test_18_zero_grad_does_not_run_custom_operations(engine):
    a = engine.Value(2.0)
    node = engine.Value(1.0, (a,), "custom")
    calls = []
    node._backward = lambda: calls.append(1)
    out = node * 2
    out.zero_grad()
    assert not calls
    out.backward()
    assert calls == [1]


def test_18_zero_grad_on_a_module_clears_its_parameters(engine):
    model = engine.nn.MLP(2, [3, 1])
    out = model([engine.Value(1.0), 2.0])
    out.backward()
    interior = out._children[0]
    before = interior.grad
    model.zero_grad()
    assert all(bits(p.grad) == bits(0.0) for p in model.parameters())
    assert interior.grad == before


def test_18_training_by_assigning_data_and_building_again(engine):
    w = engine.Value(0.0)
    for _ in range(100):
        loss = (w * 3 - 6) ** 2
        w.grad = 0.0
        loss.backward()
        w.data -= 0.05 * w.grad
    assert abs(w.data - 2.0) < 1e-12


def test_18_a_graph_built_on_after_backward(engine):
    a = engine.Value(2.0)
    z = a * a
    z.backward()
    out = z * 3
    out.backward()
    # z had 1 and got 3 more; a had 4 and got 4 * 4.
    assert (z.grad, a.grad) == (4.0, 20.0)


# 19 and 20 hold at any size for the compiled engine; the reference is spared the large sizes.


def test_19_backward_and_zero_grad_do_not_recurse(engine):
    a = engine.Value(1.0)
    node = a
    for _ in range(20_000):
        node = node + 1
    node.backward()
    assert a.grad == 1.0
    node.zero_grad()
    assert a.grad == 0.0


def test_19_a_wide_node_and_a_deep_left_or_right_spine(engine):
    a = engine.Value(1.0)
    left = right = a
    for _ in range(3_000):
        left = left + a
        right = a + right
    (left + right).backward()
    assert a.grad == 6002.0
    engine.Value(0.0, [left] * 3_000, [1.0] * 3_000).backward()
    assert left.grad == 1.0 + 3_000.0


# The reference is made of closures, which the collector has to find.
def test_20_a_dropped_graph_is_gone_at_once(compiled):
    gc.collect()
    gc.disable()
    try:
        a = compiled.Value(1.0)
        before = compiled.arena_stats()["live_nodes"]
        node = a
        for _ in range(10_000):
            node = (node * 2).tanh() + a
        assert compiled.arena_stats()["live_nodes"] == before + 40_000
        node.backward()
        del node
        assert compiled.arena_stats()["live_nodes"] == before
    finally:
        gc.enable()


def test_20_interior_nodes_are_not_tracked(compiled):
    a, b = compiled.Value(1.0), compiled.Value(2.0)
    for node in (a * b, a + 1, (a * b).tanh(), a**2, compiled.Value(1.0, (a,), (2.0,))):
        assert not gc.is_tracked(node)
    total = compiled.sum([a, b])
    assert not gc.is_tracked(total)
    total.backward()
    assert not gc.is_tracked(total)
    inner = (a * b) + 1
    inner.backward()
    assert not gc.is_tracked(inner)
    assert not gc.is_tracked(a)


def test_21_threads_in_small(engine):
    """The whole of point 21 is in test_threads_and_fork.py."""
    import threading

    results = {}

    def work(seed):
        a = engine.Value(float(seed))
        node = a
        for i in range(500):
            node = node * 1.001 + i * 1e-3
        node.backward()
        results[seed] = (bits(node.data), bits(a.grad))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threaded, results = results, {}
    for seed in range(4):
        work(seed)
    assert threaded == results
