"""Neurons, layers and perceptrons: the same promises over both engines."""

import inspect
import random

import numpy as np
import pytest
from support import ACTIVATIONS, bits, picture


def by_hand(neuron, x):
    """What a neuron computes before its activation."""
    return sum((wi * xi for wi, xi in zip(neuron.w, x, strict=True)), neuron.b)


class TestModule:
    def test_has_no_parameters_of_its_own(self, engine):
        assert engine.nn.Module().parameters() == []

    def test_clears_the_gradients_of_what_a_subclass_lists(self, engine):
        class Pair(engine.nn.Module):
            def __init__(self):
                self.first, self.second = engine.Value(2.0), engine.Value(3.0)

            def parameters(self):
                return [self.first, self.second]

        pair = Pair()
        (pair.first * pair.second).backward()
        assert [p.grad for p in pair.parameters()] == [3.0, 2.0]
        pair.zero_grad()
        assert [p.grad for p in pair.parameters()] == [0.0, 0.0]

    def test_clears_parameters_and_leaves_the_rest_of_the_graph(self, engine):
        model = engine.nn.MLP(2, [3, 1])
        x = [engine.Value(1.0), engine.Value(-2.0)]
        out = model(x)
        loss = out * out + 1.0
        loss.backward()
        loss_grad, out_grad = loss.grad, out.grad
        model.zero_grad()
        assert all(p.grad == 0.0 for p in model.parameters())
        assert (loss.grad, out.grad) == (loss_grad, out_grad) == (1.0, 2 * out.data)


class TestDraws:
    def test_the_published_seed_gives_the_published_first_weight(self, engine):
        random.seed(1337)
        parameters = engine.nn.MLP(2, [16, 16, 1]).parameters()
        assert len(parameters) == 337
        assert parameters[0].data == 0.23550571390294128

    def test_weights_are_drawn_in_the_order_of_the_parameters_and_biases_are_not(self, engine):
        random.seed(7)
        model = engine.nn.MLP(3, [4, 2])
        after_model = random.random()
        random.seed(7)
        expected = []
        for n_inputs in (3, 3, 3, 3, 4, 4):
            expected += [random.uniform(-1, 1) for _ in range(n_inputs)] + [0.0]
        assert [bits(p.data) for p in model.parameters()] == [bits(e) for e in expected]
        assert after_model == random.random()

    def test_a_refused_model_draws_nothing(self, engine):
        random.seed(7)
        for refused in (
            lambda: engine.nn.MLP(2, [3, 0]),
            lambda: engine.nn.MLP(2, [3, 1], activation="rleu"),
            lambda: engine.nn.Layer(0, 3),
        ):
            with pytest.raises(ValueError, match=r"at least 1|unknown activation"):
                refused()
        drawn = random.random()
        random.seed(7)
        assert drawn == random.random()


class TestParameters:
    def test_of_a_neuron_are_its_weights_then_its_bias(self, engine):
        neuron = engine.nn.Neuron(3)
        expected = [*neuron.w, neuron.b]
        assert len(expected) == 4
        assert all(p is e for p, e in zip(neuron.parameters(), expected, strict=True))

    def test_of_a_model_go_layer_by_layer_and_neuron_by_neuron(self, engine):
        model = engine.nn.MLP(2, [3, 2])
        neurons = [neuron for layer in model.layers for neuron in layer.neurons]
        expected = [p for neuron in neurons for p in (*neuron.w, neuron.b)]
        assert len(expected) == 3 * 3 + 2 * 4
        assert all(p is e for p, e in zip(model.parameters(), expected, strict=True))

    def test_are_a_list_that_does_not_change_the_model(self, engine):
        model = engine.nn.MLP(2, [3, 1])
        model.parameters().clear()
        model.layers[0].neurons[0].parameters().clear()
        assert len(model.parameters()) == 13


class TestRepr:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, "ReLUNeuron(2)"),
            ({"nonlin": False}, "LinearNeuron(2)"),
            ({"activation": "tanh"}, "tanhNeuron(2)"),
            ({"activation": "tanh", "nonlin": False}, "LinearNeuron(2)"),
            ({"activation": "linear"}, "LinearNeuron(2)"),
            ({"activation": None}, "LinearNeuron(2)"),
        ],
    )
    def test_of_a_neuron_names_what_it_does(self, engine, options, expected):
        assert repr(engine.nn.Neuron(2, **options)) == expected

    def test_of_a_model_names_its_layers(self, engine):
        assert repr(engine.nn.MLP(3, [2, 1])) == (
            "MLP of [Layer of [ReLUNeuron(3), ReLUNeuron(3)], Layer of [LinearNeuron(2)]]"
        )


class TestNeuron:
    def test_builds_the_graph_of_the_sum_of_products_from_the_bias_on(self, engine):
        neuron = engine.nn.Neuron(3)
        x = [0.5, engine.Value(-1.5), 2.0]
        out, expected = neuron(x), by_hand(neuron, x).relu()
        assert len(picture(out)) == 4 + 3 + 3 + 3 + 1
        assert picture(out) == picture(expected)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_ends_in_the_operation_named(self, engine, activation):
        neuron = engine.nn.Neuron(2, activation=activation)
        for weight in neuron.w:
            weight.data = 0.5
        neuron.b.data = 0.25  # log wants a sum above 0, acos one below 1
        out = neuron([0.5, -0.25])
        expected = getattr(by_hand(neuron, [0.5, -0.25]), activation)()
        assert picture(out) == picture(expected)

    def test_knows_every_operation_that_needs_no_argument(self, engine):
        """But for detach: what is below such a neuron would not learn; and conjugate is none."""
        found = set()
        for name, method in inspect.getmembers(engine.Value, callable):
            if not name.startswith("_"):
                try:
                    result = method(engine.Value(0.5))
                except TypeError:  # it wants a second operand
                    continue
                if isinstance(result, engine.Value):
                    found.add(method.__name__)  # not the name that numpy has for it
        assert found == {*ACTIVATIONS, "detach", "conjugate"}

    @pytest.mark.parametrize(
        "options",
        [
            {"nonlin": False},
            {"activation": None},
            {"activation": "linear"},
            {"activation": "tanh", "nonlin": False},
        ],
    )
    def test_can_be_linear(self, engine, options):
        neuron = engine.nn.Neuron(2, **options)
        neuron.b.data = -10.0
        out = neuron([0.5, -0.25])
        assert out._op == "+"
        assert bits(out.data) == bits(by_hand(neuron, [0.5, -0.25]).data)

    @pytest.mark.parametrize("name", ["rleu", "maximum", "detach", "backward", "ReLU", ""])
    def test_refuses_an_unknown_activation_and_lists_the_choices(self, engine, name):
        with pytest.raises(ValueError, match="unknown activation") as caught:
            engine.nn.Neuron(2, activation=name)
        message = str(caught.value)
        assert repr(name) in message
        assert all(choice in message for choice in ["linear", *ACTIVATIONS])

    def test_uses_the_method_that_a_program_put_on_value(self, engine, monkeypatch):
        neuron = engine.nn.Neuron(2)
        monkeypatch.setattr(engine.Value, "relu", lambda node: node * 100.0)
        out = neuron([1.0, 2.0])
        assert bits(out.data) == bits(by_hand(neuron, [1.0, 2.0]).data * 100.0)

    def test_uses_the_weights_bias_and_nonlin_that_are_there_now(self, engine):
        neuron = engine.nn.Neuron(2)
        neuron.w = [engine.Value(2.0), engine.Value(-3.0), engine.Value(0.5)]
        neuron.w[0] = engine.Value(4.0)
        neuron.b = engine.Value(-100.0)
        assert neuron([1.0, 2.0, 4.0]).data == 0.0
        neuron.nonlin = False
        assert neuron([1.0, 2.0, 4.0]).data == -100.0
        assert [p.data for p in neuron.parameters()] == [4.0, -3.0, 0.5, -100.0]

    def test_of_a_subclass_needs_no_more_than_w_b_and_nonlin(self, engine):
        class Constant(engine.nn.Neuron):
            def __init__(self, nin):
                self.w = [engine.Value(1.0) for _ in range(nin)]
                self.b = engine.Value(-5.0)
                self.nonlin = True

        neuron = Constant(2)
        assert neuron([1.0, 2.0]).data == 0.0
        assert neuron([4.0, 2.0]).data == 1.0
        assert repr(neuron) == "ReLUNeuron(2)"


ROW = [0.5, -1.25, 2.0]
INPUTS = {
    "floats": lambda engine: ROW,
    "tuple": lambda engine: tuple(ROW),
    "numpy row": lambda engine: np.array(ROW),
    "numpy float32 row": lambda engine: np.array(ROW, dtype=np.float32),
    "object row": lambda engine: np.array([engine.Value(x) for x in ROW]),
    "Values": lambda engine: [engine.Value(x) for x in ROW],
    "mix": lambda engine: [0.5, engine.Value(-1.25), np.int64(2)],
    "generator": lambda engine: (x for x in ROW),
    "generator of Values": lambda engine: (engine.Value(x) for x in ROW),
}


class TestInputs:
    @pytest.mark.parametrize("kind", INPUTS)
    def test_of_every_kind_give_the_bits_that_floats_give(self, engine, kind):
        model = engine.nn.MLP(3, [4, 2])
        results = []
        for x in (ROW, INPUTS[kind](engine)):
            first, second = model(x)
            model.zero_grad()
            (first * second).backward()
            results.append([bits(n) for n in (first.data, second.data)])
            results[-1] += [bits(p.grad) for p in model.parameters()]
        assert results[0] == results[1]

    @pytest.mark.parametrize("kind", ["Neuron", "Layer", "MLP"])
    @pytest.mark.parametrize("n_inputs", [0, 2, 4, 7])
    @pytest.mark.parametrize("container", [list, np.array, iter])
    def test_of_the_wrong_length_are_refused_with_both_lengths(
        self, engine, kind, n_inputs, container
    ):
        model = {
            "Neuron": lambda: engine.nn.Neuron(3),
            "Layer": lambda: engine.nn.Layer(3, 2),
            "MLP": lambda: engine.nn.MLP(3, [2, 1]),
        }[kind]()
        with pytest.raises(ValueError, match=rf"3 weights .* {n_inputs} inputs"):
            model(container([1.0] * n_inputs))
        assert isinstance(model([1.0, 2.0, 3.0]), (engine.Value, list))

    @pytest.mark.parametrize("number", [1.0, 3])
    def test_that_are_a_bare_number_are_refused(self, engine, number):
        for model in (engine.nn.Neuron(1), engine.nn.Layer(1, 1), engine.nn.MLP(1, [1])):
            with pytest.raises(TypeError):
                model(number)
            with pytest.raises(TypeError):
                model(engine.Value(number))

    def test_that_are_not_numbers_are_refused(self, engine):
        with pytest.raises(TypeError):
            engine.nn.Neuron(2)([1.0, "2.0"])

    def test_reach_a_neuron_as_they_were_given(self, engine):
        given = np.array(ROW)

        class Recorder(engine.nn.Neuron):
            def __call__(self, x):
                received.append(x)
                return super().__call__(x)

        received = []
        layer = engine.nn.Layer(3, 2)
        layer.neurons = [Recorder(3), Recorder(3)]
        layer(given)
        assert [x is given for x in received] == [True, True]


class TestLayer:
    def test_gives_a_list_with_each_neuron_on_the_same_inputs(self, engine):
        layer = engine.nn.Layer(2, 3)
        x = [engine.Value(0.5), engine.Value(-1.0)]
        out = layer(x)
        assert isinstance(out, list)
        assert [picture(o) for o in out] == [picture(neuron(x)) for neuron in layer.neurons]

    def test_of_one_neuron_gives_its_value_without_a_list(self, engine):
        assert isinstance(engine.nn.Layer(2, 1)([1.0, 2.0]), engine.Value)

    def test_hands_its_options_to_every_neuron(self, engine):
        layer = engine.nn.Layer(2, 3, nonlin=False, activation="tanh")
        assert [(n.nonlin, n.activation) for n in layer.neurons] == [(False, "tanh")] * 3

    def test_sees_a_neuron_that_was_appended(self, engine):
        layer = engine.nn.Layer(2, 1)
        layer.neurons.append(engine.nn.Neuron(2))
        assert len(layer([1.0, 2.0])) == 2
        assert len(layer.parameters()) == 6

    def test_adds_up_the_gradients_of_a_weight_that_neurons_share(self, engine):
        layer = engine.nn.Layer(1, 2, nonlin=False)
        shared = engine.Value(0.5)
        layer.neurons[0].w[0] = layer.neurons[1].w[0] = shared
        first, second = layer([3.0])
        (first + second * 10.0).backward()
        assert shared.grad == 33.0


class TestMLP:
    def test_has_relu_layers_and_a_linear_head(self, engine):
        model = engine.nn.MLP(2, [3, 3, 1])
        assert [[n.nonlin for n in layer.neurons] for layer in model.layers] == [
            [True] * 3,
            [True] * 3,
            [False],
        ]
        assert model.layers[0].neurons[0]([1.0, 2.0])._op == "ReLU"
        assert model([1.0, 2.0])._op == "+"

    @pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", None])
    def test_has_the_given_activation_everywhere_but_in_the_head(self, engine, activation):
        model = engine.nn.MLP(2, [3, 1], activation=activation)
        hidden = [neuron([0.5, -1.0]) for neuron in model.layers[0].neurons]
        op = "+" if activation in (None, "linear") else activation
        assert [node._op for node in hidden] == [op] * 3
        assert model([0.5, -1.0])._op == "+"

    def test_feeds_each_layer_to_the_next(self, engine):
        model = engine.nn.MLP(2, [3, 2], activation="tanh")
        x = [engine.Value(0.5), engine.Value(-1.0)]
        hidden = [by_hand(neuron, x).tanh() for neuron in model.layers[0].neurons]
        expected = [by_hand(neuron, hidden) for neuron in model.layers[1].neurons]
        assert [picture(o) for o in model(x)] == [picture(e) for e in expected]

    def test_works_with_a_hidden_layer_of_one_neuron(self, engine):
        model = engine.nn.MLP(2, [1, 1, 2], activation="tanh")
        x = [engine.Value(0.5), engine.Value(-1.0)]
        hidden = by_hand(model.layers[0].neurons[0], x).tanh()
        hidden = by_hand(model.layers[1].neurons[0], [hidden]).tanh()
        expected = [by_hand(neuron, [hidden]) for neuron in model.layers[2].neurons]
        out = model(x)
        assert [picture(o) for o in out] == [picture(e) for e in expected]
        (out[0] + out[1]).backward()
        assert model.layers[0].neurons[0].w[0].grad != 0.0

    def test_sees_a_layer_that_was_replaced(self, engine):
        model = engine.nn.MLP(2, [3, 1])
        model.layers[1] = engine.nn.Layer(3, 4)
        assert len(model([1.0, 2.0])) == 4

    @pytest.mark.parametrize("nouts", [(3, 1), iter([3, 1]), np.array([3, 1])])
    def test_takes_the_sizes_in_any_container(self, engine, nouts):
        if not hasattr(nouts, "__len__"):
            nouts = iter([3, 1])  # the one above lasts for one engine
        model = engine.nn.MLP(2, nouts)
        assert [len(layer.neurons) for layer in model.layers] == [3, 1]
        assert repr(model.layers[1]) == "Layer of [LinearNeuron(3)]"

    def test_learns_with_the_same_bits_in_both_engines(self, compiled, reference):
        losses = {}
        for engine in (compiled, reference):
            random.seed(11)
            model = engine.nn.MLP(3, [5, 1, 4], activation="tanh")
            losses[engine.name] = []
            for step in range(10):
                out = model([0.3, -0.7, step / 10])
                loss = sum((o - 0.5) ** 2 for o in out)
                model.zero_grad()
                loss.backward()
                for p in model.parameters():
                    p.data -= 0.05 * p.grad
                losses[engine.name].append(loss.data)
        assert len(set(losses["eager"])) == 10
        assert losses["eager"] == losses["reference"]


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused_by_value(engine, size):
    for refused in (
        lambda: engine.nn.Neuron(size),
        lambda: engine.nn.Layer(size, 1),
        lambda: engine.nn.Layer(1, size),
        lambda: engine.nn.MLP(size, [1]),
        lambda: engine.nn.MLP(1, [2, size]),
    ):
        with pytest.raises(ValueError, match=f"at least 1, found {size}"):
            refused()


@pytest.mark.parametrize("size", [2.0, "2", None])
def test_a_size_that_is_no_int_is_refused_by_type(engine, size):
    for refused in (
        lambda: engine.nn.Neuron(size),
        lambda: engine.nn.Layer(size, 1),
        lambda: engine.nn.Layer(1, size),
        lambda: engine.nn.MLP(size, [1]),
        lambda: engine.nn.MLP(1, [2, size]),
    ):
        with pytest.raises(TypeError, match=f"must be an int, found {type(size).__name__}"):
            refused()


@pytest.mark.parametrize("nouts", [4, None])
def test_sizes_that_are_no_iterable_are_refused_by_type(engine, nouts):
    with pytest.raises(TypeError, match=f"iterable of ints, found {type(nouts).__name__}"):
        engine.nn.MLP(3, nouts)


@pytest.mark.parametrize(("kind", "rest"), [("Neuron", []), ("Layer", [2]), ("MLP", [[2, 1]])])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (1.0, TypeError, "inputs must be an iterable of numbers, found float"),
        (None, TypeError, "inputs must be an iterable of numbers, found NoneType"),
        ([[1.0, 2.0]] * 2, TypeError, "number or Value, found a list .* 2-D array"),
        ([1.0, (1.0, 2.0)], TypeError, "number or Value, found a tuple .* 2-D array"),
        ([[1.0, 2.0]] * 3, ValueError, "2 weights was given 3 inputs, found a list .* 2-D array"),
        (["1", "2"], TypeError, "number or Value, found a str among them$"),
        ("123", ValueError, "2 weights was given 3 inputs, found a str among them$"),
        ([1.0, None], TypeError, r"for \*: .*'NoneType'"),
        (np.zeros((2, 2, 2)), ValueError, "a row or a 2-D array of rows, found 3 axes"),
        (np.array(1.0), ValueError, "a row or a 2-D array of rows, found 0 axes"),
    ],
)
def test_inputs_that_are_no_row_are_refused(compiled, kind, rest, x, error, message):
    model = getattr(compiled.nn, kind)(2, *rest)
    with pytest.raises(error, match=message):
        model(x)
