"""Rows chosen by an index: what `take` gives, and where gradients go."""

import copy
import gc
import math
import pickle

import numpy as np
import pytest

import micrograd_fast as mg
from micrograd_fast import MLP, Index, Value, compile, cross_entropy, jit, nll_loss, take


def table_of(engine, n_rows, n_columns):
    return [[engine.Value(10.0 * i + j) for j in range(n_columns)] for i in range(n_rows)]


def data(nest):
    return [data(item) for item in nest] if isinstance(nest, (list, np.ndarray)) else nest.data


def grads(nest):
    return [grads(item) for item in nest] if isinstance(nest, list) else nest.grad


def test_an_int_takes_the_row_itself(engine):
    table = table_of(engine, 3, 2)
    assert take(table, 1) is table[1]
    assert take(table[0], 1) is table[0][1]
    assert take(table, np.int64(2)) is table[2]
    assert take(table, [2, 0]) == [table[2], table[0]]


def test_a_value_takes_a_row_of_values(engine):
    table = table_of(engine, 3, 2)
    row = take(table, engine.Value(2.0))
    assert data(row) == [20.0, 21.0]
    assert take([1.5, engine.Value(2.5)], engine.Value(0.0)).data == 1.5
    assert data(take(table, [engine.Value(1.0), 0])) == [[10.0, 11.0], [0.0, 1.0]]
    assert take(table, []) == []


def test_arrays_come_as_arrays():
    table = np.empty((3, 2, 2), dtype=object)
    table[:] = [
        [[Value(4.0 * i + 2 * j + k) for k in range(2)] for j in range(2)] for i in range(3)
    ]
    assert data(take(table, Index(2))) == [[8.0, 9.0], [10.0, 11.0]]
    indices = np.empty((2, 2), dtype=object)
    indices[:] = [[Value(0.0), 1], [2, Value(1.0)]]
    chosen = take(table, indices)
    assert chosen.shape == (2, 2, 2, 2)
    assert data(chosen[1, 1]) == data(table[1])
    assert take(np.arange(3.0), Index(1)).data == 1.0
    assert take(np.arange(6.0).reshape(3, 2), np.array([2, 0])).tolist() == [
        [4.0, 5.0],
        [0.0, 1.0],
    ]
    assert take(table, np.array(1)).shape == (2, 2)


def test_the_gradient_goes_to_the_row_that_is_taken(engine):
    table, index = table_of(engine, 3, 2), engine.Value(1.0)
    row = take(table, index)
    (row[0] * row[1] + row[0]).backward()
    assert grads(table) == [[0.0, 0.0], [12.0, 10.0], [0.0, 0.0]]
    assert index.grad == 0.0


def test_what_is_not_taken_is_not_gone_through(engine):
    x = engine.Value(0.0)
    # The slope of the root at 0 is a division by 0, and infinity times a gradient of 0 is nan.
    out = take([x.sqrt(), x * math.inf, x + 1.0], engine.Value(2.0))
    assert out.data == 1.0
    (out * 3.0).backward()
    assert x.grad == 3.0


def test_what_an_index_is_computed_from_gets_no_gradient(engine):
    x, table = engine.Value(0.0), table_of(engine, 2, 1)
    out = take(table, x.sqrt())
    out[0].backward()
    assert (x.grad, grads(table)) == (0.0, [[1.0], [0.0]])


@pytest.mark.parametrize("n_columns", [1, 3])
def test_gradients_add_up_as_with_the_row_itself(engine, n_columns):
    """Where the entries of the table are leaves, no bit tells a Value's choice from an int's."""
    results = []
    for index in (2, engine.Value(2.0)):
        table = [
            [engine.Value(0.1 * (3 * i + j) + 0.7) for j in range(n_columns)] for i in range(4)
        ]
        rows = [take(table, i) for i in (index, 1, index)]
        products = [
            a * b / 3.0 for a, b in zip(rows[0] + rows[2], rows[1] + table[2], strict=True)
        ]
        engine.sum([p.tanh() * q for p in products for q in table[2]]).backward()
        results.append([g.hex() for row in grads(table) for g in row])
    assert results[0] == results[1]


def test_order_is_that_of_all_candidates_then_the_index(engine):
    a, b, index = engine.Value(1.0), engine.Value(2.0), engine.Value(1.0)
    out = take([a, b, a], index)
    assert out._children == (a, b, a, index)
    assert out._prev == {a, b, index}
    assert out._op == "take"
    assert [float.hex(slope) for slope in out._local_grads] == [
        float.hex(slope) for slope in (-0.0, 1.0, -0.0, -0.0)
    ]
    out.grad = 2.0
    out._backward()
    assert (a.grad, b.grad, index.grad) == (0.0, 2.0, 0.0)


def test_the_index_is_read_when_backward_runs(engine):
    table, index = table_of(engine, 2, 1), engine.Value(0.0)
    (out,) = take(table, index)
    index.data = 1.0
    out.backward()
    assert grads(table) == [[0.0], [1.0]]
    index.data = 2.0
    with pytest.raises(IndexError, match=r"index must be a whole number from 0 to 1, found 2\.0"):
        out.backward()
    with pytest.raises(IndexError, match=r"found 2\.0"):
        out._backward()


@pytest.mark.parametrize("bad", [2, -1, 0.5, math.nan, math.inf, 1e300])
def test_an_index_out_of_range_is_an_error_and_leaves_no_node(engine, bad):
    table, index = table_of(engine, 2, 3), engine.Value(bad)
    before = engine.arena_stats()["live_nodes"] if engine.arena_stats else 0
    with pytest.raises(IndexError, match="index must be a whole number from 0 to 1, found"):
        take(table, index)
    if engine.arena_stats:
        assert engine.arena_stats()["live_nodes"] == before
    if isinstance(bad, int):
        with pytest.raises(IndexError, match=f"from 0 to 1, found {bad}"):
            take(table, bad)


def test_what_is_no_table_or_index_is_refused(engine):
    index = engine.Value(0.0)
    for table, error, message in [
        ([], ValueError, "at least one row, found none"),
        (np.zeros((0, 2)), ValueError, "at least one row, found none"),
        (3.0, TypeError, "table must be a sequence of rows, found float"),
        ([[1.0], [1.0, 2.0]], ValueError, "found 1 in row 0 and 2 in row 1"),
        ([[1.0], 2.0], ValueError, "found 1 in row 0 and none in row 1"),
        (["a", "b"], TypeError, "str"),
    ]:
        with pytest.raises(error, match=message):
            take(table, index)
    for bad in (1.0, None, "1", [1.0], object()):
        with pytest.raises(TypeError, match="index must be"):
            take([[1.0]], bad)


def test_index_makes_a_value_of_a_whole_number():
    assert Index(3).data == 3.0
    assert type(Index(np.int32(3))) is Value
    with pytest.raises(
        ValueError, match="place of Index must be a whole number from 0 on, found -1"
    ):
        Index(-1)
    with pytest.raises(TypeError):
        Index(1.0)


def test_copies_and_pickles_choose_on():
    table, index = table_of(mg.engine, 3, 2), Index(1)
    row = take(table, index)
    row[0].label = "first"
    root = row[0] * row[1]
    for again in (copy.deepcopy(root), pickle.loads(pickle.dumps(root))):
        first = next(v for v in again._prev if v.label == "first")
        *candidates, place = first._children
        assert data(candidates) == [0.0, 10.0, 20.0]
        again.backward()
        assert [v.grad for v in candidates] == [0.0, 11.0, 0.0]
        place.data = 2.0
        assert compile(again, [place])([0]) == 0.0
    both = pickle.loads(pickle.dumps(take(table[0], [index, Value(0.0)])))
    assert both[0]._children[:2] == both[1]._children[:2]
    assert copy.copy(row[0])._children == row[0]._children


def test_a_choice_with_a_closure_of_its_own_calls_it(engine):
    a, b = engine.Value(1.0), engine.Value(2.0)
    inner = a * 2.0
    out = take([inner, b], engine.Value(1.0))

    def closure():
        inner.grad += 5.0

    out._backward = closure
    (out + take([b, b], engine.Value(0.0))).backward()
    assert (a.grad, b.grad) == (10.0, 1.0)


def test_graphs_with_choices_are_freed_without_the_collector():
    from micrograd_fast._core import arena_stats

    gc.disable()
    try:
        before = arena_stats()["live_nodes"]
        for _ in range(100):
            table, index = table_of(mg.engine, 3, 3), Index(1)
            root = mg.sum([a * b for a, b in zip(*take(table, [index, index]), strict=True)])
            root.backward()
        del table, index, root
        assert arena_stats()["live_nodes"] == before
    finally:
        gc.enable()


def gradients_of_layers_and_choices(make):
    """The rows of a fused layer are a table, and its neurons candidates."""
    model = make.nn.MLP(2, [3, 2])
    for p, number in zip(model.parameters(), np.linspace(-1.0, 1.0, 17), strict=False):
        p.data = float(number)
    index = make.Value(1.0)
    x = [make.Value(0.3), make.Value(-0.8)]
    chosen = take([model(x), model([x[1], x[0]])], index)
    weights = take([n.w for n in model.layers[0].neurons], index)
    out = model([chosen[0] + weights[0], chosen[1] * weights[1]])
    make.sum([o * o for o in out]).backward()
    return [p.grad.hex() for p in model.parameters()]


def test_layers_and_choices_give_the_bits_of_the_scalar_graph(layer_engines):
    gradients = []
    for make, context in layer_engines.values():
        with context():
            gradients.append(gradients_of_layers_and_choices(make))
    assert len(gradients) == 3
    assert gradients[0] == gradients[1] == gradients[2]
    assert len(set(gradients[0])) > 8


def test_a_class_may_be_chosen_by_a_value(engine):
    for loss in (cross_entropy, nll_loss):
        results = []
        for target in (1, engine.Value(1.0)):
            logits = [[engine.Value(0.3 * i - j) for i in range(3)] for j in range(2)]
            total = loss(logits, [target, 2])
            total.backward()
            results.append([total.data.hex(), *(g.hex() for row in grads(logits) for g in row)])
        assert results[0] == results[1]
        with pytest.raises(IndexError, match=r"from 0 to 2, found 3\.0"):
            loss(logits[0], engine.Value(3.0))


def test_a_frozen_classifier_takes_the_class_as_an_input():
    model, x, target = MLP(2, [4, 3], seed=1), [Value(0.0), Value(0.0)], Index(0)
    program = compile(cross_entropy(model(x), target), [*x, target])
    rows = [[0.5, -1.0, 0], [0.25, 2.0, 2], [-1.0, 0.0, 1]]
    wanted = [cross_entropy(model([a, b]), k).data for a, b, k in rows]
    assert program(rows).tolist() == wanted


# Traced functions --------------------------------------------------------------------------------


def test_indices_choose_anew_at_every_call_of_one_program():
    table = table_of(mg.engine, 4, 2)
    f = jit(lambda i, x: take(table, i)[0] * x + take(table, i)[1], indices="i")
    assert [f(i, 2.0) for i in range(4)] == [1.0, 31.0, 61.0, 91.0]
    assert f.cache_info()[:2] == (3, 1)
    assert f.value_and_grad(3, 2.0) == (91.0, 30.0)
    assert f.hessian(3, 2.0) == 0.0
    assert f.batch(np.array([0, 2]), np.array([1.0, 1.0])).tolist() == [1.0, 41.0]
    with pytest.raises(IndexError, match="from 0 to 3, found 4"):
        f(4, 2.0)
    with pytest.raises(IndexError, match="row 1: index must be a whole number from 0 to 3"):
        f.batch(np.array([0, 9]), np.array([1.0, 1.0]))


def test_indices_may_be_nests_and_arrays_of_ints():
    numbers = np.arange(12.0).reshape(4, 3)
    f = jit(lambda t, i: sum(take(t, i)).sum(), indices=("i",))
    assert f(numbers, [0, 3]) == f(numbers, np.array([0, 3])) == numbers[[0, 3]].sum()
    value, gradient = f.value_and_grad(numbers, (1, 1))
    assert (value, gradient.sum(axis=1).tolist()) == (24.0, [0.0, 6.0, 0.0, 0.0])
    both = jit(lambda t, i: sum(take(t, i)).sum(), indices="i", argnums=("t", "i"))
    with pytest.raises(TypeError, match="cannot be differentiated by i: it is static, or chooses"):
        both(numbers, [0])
    for bad in (1.0, True, "1", np.array([0.0])):
        with pytest.raises(TypeError, match="i must be an"):
            f(numbers, bad)
    with pytest.raises(TypeError, match="indices must name arguments of"):
        jit(lambda t: t, indices="i")


def test_a_jitted_function_of_indices_is_part_of_the_graph_of_values():
    table = table_of(mg.engine, 3, 1)
    f = jit(lambda i: take(table, i)[0] * 2.0, indices="i")
    assert f(Index(1)).data == 20.0
    assert jit(lambda i: f(i) + 1.0, indices="i")(2) == 41.0


def test_a_pickle_whose_choice_has_no_candidates_is_refused():
    table, index = table_of(mg.engine, 2, 1), Index(1)
    snapshot = take(table, index)[0].__reduce_ex__(2)[1][0]
    load, (packed, externals, kinds) = snapshot.__reduce__()[:2]
    names = packed["operations"]
    ops = packed["op"]
    assert [names[op] for op in ops] == ["join", "take"]
    damaged = {
        "candidates without a choice": bytes([ops[0], names.index("maximum")]),
        "a choice without candidates": bytes([names.index("local"), ops[1]]),
    }
    for op in damaged.values():
        with pytest.raises(pickle.UnpicklingError, match="a choice without candidates, or"):
            load({**packed, "op": op}, externals, kinds)
    # An inner node that is asked for by itself is nothing that could be frozen.
    join = mg._core.load_node(load(packed, externals, kinds), 0)
    for output in (join, join + 1.0):
        with pytest.raises(ValueError, match="without an operation that could be replayed"):
            compile(output)
