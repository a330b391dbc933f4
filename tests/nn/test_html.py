"""Models as tables for notebooks."""

import re

from micrograd_fast import MLP, Value
from micrograd_fast.nn import Activation, Layer, Linear, Module, Neuron, Sequential


def cells(module):
    rows = re.findall(r"<tr>(<td.*?)</tr>", module._repr_html_())
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


class Holder(Module):
    def __init__(self, *parts):
        self.parts = list(parts)

    def parameters(self):
        return [p for part in self.parts if part is not self for p in part.parameters()]


def test_a_row_for_each_layer_has_shape_activation_and_parameters():
    assert cells(MLP(2, [3, 1], activation="tanh")) == [
        ["layers.0", "Layer 2 → 3", "tanh", "9"],
        ["layers.1", "Layer 3 → 1", "linear", "4"],
    ]
    assert cells(Neuron(2)) == [["", "Neuron 2 → 1", "relu", "3"]]
    assert [row[1] for row in cells(Sequential(Linear(2, 3), Activation("exp")))] == [
        "Linear 2 → 3",
        "Activation",
    ]


def test_shared_parameters_are_counted_once():
    layer = Layer(2, 3)
    model = Holder(layer, layer)
    assert [row[3] for row in cells(model)] == ["9", "0 (9 shared)"]
    assert "Holder: 9 parameters" in model._repr_html_()


def test_a_module_in_itself_is_shown_once():
    model = Holder(Layer(2, 3))
    model.parts.append(model)
    assert [row[0] for row in cells(model)] == ["parts.0"]


def test_parameters_in_no_layer_have_a_row():
    class Scaled(Holder):
        def parameters(self):
            return [*super().parameters(), self.factor]

    model = Scaled(Layer(2, 3))
    model.factor = Value(1.0)
    assert cells(model)[-1] == ["", "in no layer", "", "1"]


def test_names_are_escaped():
    model = type("<script>", (Holder,), {})()
    setattr(model, "<b>", Layer(1, 1))
    shown = model._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown


def test_a_model_that_cannot_be_described_stays_text():
    class Broken(Module):
        def parameters(self):
            raise RuntimeError("not yet")

    assert Broken()._repr_html_() is None
    assert not hasattr(Value(1.0), "_repr_html_")
