"""Whole arrays through a model: the graphs of its rows, or their numbers without a graph."""

import gc
import random

import numpy as np
import pytest
from support import bits, picture

from micrograd_fast import Value, _core, losses, nn
from micrograd_fast._core import arena_stats

ACTIVATIONS = ["relu", "tanh", "sigmoid", "leaky_relu", "elu", "linear"]


def rows(n, width, seed=3):
    rng = random.Random(seed)
    return np.array([[rng.uniform(-2, 2) for _ in range(width)] for _ in range(n)])


def model_of(sizes, seed=5, **keywords):
    random.seed(seed)
    return nn.MLP(sizes[0], sizes[1:], **keywords)


def numbers(out):
    return [bits(v.data) for v in (out if isinstance(out, list) else [out])]


def array_bits(array):
    return [bits(number) for number in np.ravel(array).tolist()]


@pytest.fixture
def patch():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch.setattr


# A call on an array of rows ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: model_of([3, 4, 2]),
        lambda: model_of([3, 4, 1], activation="tanh"),
        lambda: nn.Layer(3, 2),
        lambda: nn.Layer(3, 1),
        lambda: nn.Neuron(3),
    ],
)
def test_a_call_on_an_array_gives_the_graph_of_every_row(make):
    pictures = []
    for by_row in (True, False):
        random.seed(8)
        model = make()
        x = rows(4, 3)
        outs = [model(row) for row in x] if by_row else model(x)
        assert isinstance(outs, list)
        assert len(outs) == 4
        flat = [v for out in outs for v in (out if isinstance(out, list) else [out])]
        loss = losses.mse_loss(flat, [0.5] * len(flat))
        loss.backward()
        pictures.append((picture(loss), [bits(p.grad) for p in model.parameters()]))
    assert pictures[0] == pictures[1]
    assert any(gradient != bits(0.0) for gradient in pictures[0][1])


def test_rows_may_be_of_any_kind_that_has_two_axes():
    import torch

    model = model_of([2, 3, 1])
    x = rows(3, 2)
    wanted = [numbers(model(row.tolist())) for row in x]
    values = np.array([[Value(number) for number in row] for row in x])
    tables = [x, torch.tensor(x), memoryview(x), values, np.asfortranarray(x)]
    for table in tables:
        assert [numbers(out) for out in model(table)] == wanted, type(table)
    assert model(x[:0]) == []


def test_values_in_an_array_get_their_gradients():
    x = np.array([[Value(0.5), Value(-1.0)], [Value(2.0), Value(0.25)]])
    neuron = nn.Neuron(2, nonlin=False)
    first, second = neuron(x)
    (first + second).backward()
    assert [[v.grad for v in row] for row in x.tolist()] == [[w.data for w in neuron.w]] * 2


@pytest.mark.parametrize("kind", [nn.Neuron, nn.Layer, nn.MLP])
def test_a_subclass_sees_an_array_once(kind):
    class Doubling(kind):
        def __call__(self, x):
            return super().__call__(x * 2)

    arguments = {nn.Neuron: (2,), nn.Layer: (2, 2), nn.MLP: (2, [2, 2])}[kind]
    model = Doubling(*arguments)
    x = rows(3, 2)
    assert [numbers(out) for out in model(x)] == [numbers(model(row)) for row in x]


def test_rows_of_the_wrong_length_are_refused_by_a_call():
    with pytest.raises(ValueError, match="a neuron with 3 weights was given 2 inputs"):
        model_of([3, 4, 1])(rows(2, 2))


# predict -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [[3, 1], [3, 2], [3, 5, 1], [2, 16, 16, 1], [4, 1, 9, 3]])
def test_predict_gives_the_bits_of_the_graph(sizes, activation):
    model = model_of(sizes, activation=activation)
    x = rows(7, sizes[0])
    found = model.predict(x)
    assert found.dtype == np.float64
    assert found.shape == ((7,) if sizes[-1] == 1 else (7, sizes[-1]))
    assert array_bits(found) == [b for row in x for b in numbers(model(row))]
    assert len(set(array_bits(found))) > 1


@pytest.mark.parametrize("kernels", _core.kernels()[1:])
def test_predict_gives_the_same_bits_on_every_instruction_set(kernels):
    before = _core.kernels()[0]
    model = model_of([9, 13, 11, 3])
    x = rows(5, 9)
    wanted = array_bits(model.predict(x))
    try:
        _core.kernels(kernels)
        assert array_bits(model.predict(x)) == wanted
    finally:
        _core.kernels(before)


def test_predict_of_one_row_has_no_axis_for_rows():
    x = rows(1, 3)[0]
    single, several = model_of([3, 4, 1]), model_of([3, 4, 2])
    found = single.predict(x)
    assert type(found) is float
    assert bits(found) == numbers(single(x))[0]
    found = several.predict(x.tolist())
    assert found.shape == (2,)
    assert array_bits(found) == numbers(several(x))


@pytest.mark.parametrize("make", [lambda: nn.Neuron(3), lambda: nn.Layer(3, 2)])
def test_predict_of_parts_of_a_model(make):
    part = make()
    x = rows(4, 3)
    found = part.predict(x)
    assert array_bits(found) == [b for row in x for b in numbers(part(row))]


def test_predict_makes_no_node():
    model = model_of([3, 8, 2])
    x = rows(50, 3)
    model.predict(x)
    gc.collect()
    before = arena_stats()
    assert model.predict(x).shape == (50, 2)
    assert arena_stats() == before


def test_predict_takes_arrays_of_other_kinds():
    model = model_of([2, 3, 2])
    x = np.array([[1, 0], [0, 1], [3, -2]])
    wanted = [b for row in x.tolist() for b in numbers(model(row))]
    read_only = x.astype(float)
    read_only.flags.writeable = False
    values = [[Value(number) for number in row] for row in x.tolist()]
    for table in (
        x,
        x.tolist(),
        read_only,
        np.asfortranarray(x),
        np.repeat(x, 2, axis=0)[::2],
        x.astype(np.float32),
        x.astype(object),
        values,
    ):
        assert array_bits(model.predict(table)) == wanted, repr(table)
    assert array_bits(model.predict(x[:2].astype(bool))) == wanted[:4]


def test_predict_of_no_rows_is_empty():
    assert model_of([3, 4, 1]).predict(np.empty((0, 3))).shape == (0,)
    assert model_of([3, 4, 2]).predict(np.empty((0, 3))).shape == (0, 2)


@pytest.mark.parametrize("n", [0, 1, 4])
def test_rows_of_the_wrong_length_are_refused_by_predict(n):
    with pytest.raises(ValueError, match="a neuron with 3 weights was given 2 inputs"):
        model_of([3, 4, 1]).predict(np.ones((n, 2)))


def test_layers_that_do_not_fit_are_refused_by_predict():
    model = model_of([3, 4, 1])
    model.layers[1] = nn.Layer(5, 1)
    with pytest.raises(ValueError, match="a neuron with 5 weights was given 4 inputs"):
        model.predict(rows(2, 3))


@pytest.mark.parametrize("shape", [(), (2, 2, 2)])
def test_predict_refuses_what_is_neither_a_row_nor_rows(shape):
    with pytest.raises(ValueError, match=f"found {len(shape)} axes"):
        model_of([2, 1]).predict(np.zeros(shape))


def test_predict_fails_as_the_graph_does():
    model = model_of([1, 1, 1], activation="log")
    model.layers[0].neurons[0].w[0].data = 1.0
    assert model.predict([[1.0]])[0] == model([1.0]).data
    for call in (model, model.predict):
        with pytest.raises(ValueError, match="log"):
            call([-1.0])


def test_predict_reads_the_weights_of_the_moment():
    model = model_of([2, 3, 1])
    before = model.predict([1.0, 2.0])
    model.layers[1].neurons[0].b.data += 0.5
    assert model.predict([1.0, 2.0]) == model([1.0, 2.0]).data != before


# What a program has changed, predict must see as a call does -----------------------------------


def assert_predict_is_the_call(model, x):
    wanted = [b for row in x for b in numbers(model(row.tolist()))]
    assert array_bits(model.predict(x)) == wanted


@pytest.mark.parametrize("kind", [nn.Neuron, nn.Layer, nn.MLP])
def test_24_predict_honours_a_patched_call(patch, kind):
    model = model_of([3, 4, 1])
    x = rows(3, 3)
    plain = array_bits(model.predict(x))
    seen = []
    original = kind.__call__

    def counted(self, x):
        seen.append(self)
        return original(self, x)

    patch(kind, "__call__", counted)
    assert array_bits(model.predict(x)) == plain
    assert len(seen) == {nn.Neuron: 3 * 5, nn.Layer: 3 * 2, nn.MLP: 3}[kind]


@pytest.mark.parametrize("kind", [nn.Neuron, nn.Layer, nn.MLP])
def test_24_predict_honours_a_call_in_a_subclass(kind):
    class Shifted(kind):
        def __call__(self, x):
            out = super().__call__(x)
            return [v + 1.0 for v in out] if isinstance(out, list) else out + 1.0

    model = model_of([3, 4, 2])
    plain = array_bits(model.predict(rows(3, 3)))
    if kind is nn.MLP:
        model = Shifted(3, [4, 2])
    elif kind is nn.Layer:
        model.layers[1] = Shifted(4, 2, nonlin=False)
    else:
        model.layers[1].neurons[1] = Shifted(4, nonlin=False)
    assert_predict_is_the_call(model, rows(3, 3))
    assert array_bits(model.predict(rows(3, 3))) != plain


@pytest.mark.parametrize("name", ["relu", "__add__", "__mul__"])
def test_24_predict_honours_a_patched_operation(patch, name):
    model = model_of([3, 4, 1])
    calls = []
    original = getattr(Value, name)

    def counted(self, *others):
        calls.append(name)
        return original(self, *others)

    patch(Value, name, counted)
    assert_predict_is_the_call(model, rows(2, 3))
    assert len(calls) >= 2 * 2 * 4


def test_24_predict_of_unusual_layers():
    model = model_of([3, 4, 4, 2])
    x = rows(3, 3)
    neurons = [layer.neurons for layer in model.layers]

    # Weights shared inside a layer, and by two layers
    neurons[0][1].w[0] = neurons[0][0].w[2]
    assert_predict_is_the_call(model, x)
    neurons[2][0].w[1] = neurons[1][0].w[1]
    assert_predict_is_the_call(model, x)
    # A computed weight, a hook, another activation, a layer in two places
    neurons[1][2].b = Value(2.0) * 0.25
    assert_predict_is_the_call(model, x)
    neurons[2][1].b._backward = lambda: None
    assert_predict_is_the_call(model, x)
    neurons[0][3].activation = "tanh"
    assert_predict_is_the_call(model, x)
    model.layers.insert(1, model.layers[1])
    assert_predict_is_the_call(model, x)
    # Something that is no layer
    model.layers.append(lambda outs: [v * 3.0 for v in outs])
    assert_predict_is_the_call(model, x)
    model.layers[:] = [nn.Layer(3, 2)]
    model.layers[0].neurons.append(nn.Neuron(3, activation="sigmoid"))
    assert_predict_is_the_call(model, x)


def test_24_predict_while_a_weight_is_shared_by_two_ordinary_layers():
    model = model_of([2, 2, 2])
    first, second = (layer.neurons[0] for layer in model.layers)
    assert_predict_is_the_call(model, rows(3, 2))
    second.w[0] = first.w[0]
    for _ in range(3):
        assert_predict_is_the_call(model, rows(3, 2))


def test_24_predict_after_a_neuron_was_called_by_itself():
    model = model_of([2, 2, 2])
    for layer in model.layers:
        for neuron in layer.neurons:
            neuron([1.0, 2.0])
    assert_predict_is_the_call(model, rows(3, 2))


def test_predict_keeps_the_graphs_that_are_alive():
    model = model_of([2, 3, 1])
    loss = model([1.0, -0.5]) ** 2
    model.predict(rows(4, 2))
    loss.backward()
    twin = model_of([2, 3, 1])
    (twin([1.0, -0.5]) ** 2).backward()
    assert [p.grad for p in model.parameters()] == [p.grad for p in twin.parameters()]


def test_predict_of_a_module_of_ones_own():
    class Pair(nn.Module):
        def __init__(self):
            self.left, self.right = nn.Neuron(2), nn.Neuron(2, nonlin=False)

        def __call__(self, x):
            return self.left(x), self.right(x)

        def parameters(self):
            return self.left.parameters() + self.right.parameters()

    model = Pair()
    x = rows(3, 2)
    found = model.predict(x)
    assert found.shape == (3, 2)
    assert array_bits(found) == [bits(v.data) for row in x for v in model(row)]


def test_predict_gives_what_a_call_gives_that_is_no_value():
    model = nn.MLP(2, [])
    assert model.predict([[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
