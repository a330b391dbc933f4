"""The plane of two inputs, coloured by the class that a model predicts."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from micrograd_fast import MLP, Module, Value, compile
from micrograd_fast.plot import decision_boundary

POINTS = [[-1.0, 0.0], [1.0, 0.5], [-0.5, 1.0], [2.0, -1.0]]


class Line(Module):
    """Its score is the first input."""

    def __call__(self, x):
        return x[0] * 1.0

    def predict(self, x):
        return np.asarray(x)[..., 0] * 1.0


@pytest.fixture
def ax():
    return Figure().add_subplot()


def pixels(ax):
    """The colours of the picture as an array of (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(ax.figure)
    ax.set_axis_off()
    ax.set_position([0, 0, 1, 1])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


def test_colours_each_side_by_its_class(ax):
    assert decision_boundary(Line(), POINTS, [-1, 1, -1, 1], ax=ax) is ax
    shown = pixels(ax)
    height, width, _ = shown.shape
    # The boundary is at 0 of -1.45 to 2.45.
    left, right = shown[height // 20, width // 10], shown[height // 20, width // 2]
    red, blue = np.array(to_rgb("tab:red")), np.array(to_rgb("tab:blue"))
    assert np.abs(left - (0.7 + 0.3 * red)).max() < 0.05
    assert np.abs(right - (0.7 + 0.3 * blue)).max() < 0.05


def test_points_have_their_labels_in_the_legend(ax):
    decision_boundary(Line(), POINTS, [0, 1, 0, 1], ax=ax, class_names=["$no", "yes"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["$no", "yes"]
    offsets = [c.get_offsets().tolist() for c in ax.collections if len(c.get_offsets()) == 2]
    assert offsets == [[POINTS[0], POINTS[2]], [POINTS[1], POINTS[3]]]


def test_takes_classifiers_of_several_outputs_and_programs(ax):
    model = MLP(2, [8, 3], seed=0)
    decision_boundary(model, POINTS, [0, 1, 2, 0], ax=ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1", "2"]
    x = [Value(0.0), Value(0.0)]
    program = compile(MLP(2, [4, 1], seed=0)(x), x)
    drawn = decision_boundary(program, POINTS, [0, 0, 0, 0], ax=Figure().add_subplot())
    assert [text.get_text() for text in drawn.get_legend().get_texts()] == ["0"]


def test_shades_by_a_probability(ax):
    def sigmoid(score):
        return 1.0 / (1.0 + np.exp(-score))

    decision_boundary(Line(), POINTS, [0, 1, 0, 1], ax=ax, probability=sigmoid)
    with pytest.raises(ValueError, match=r"probability must give numbers from 0 to 1, found"):
        decision_boundary(Line(), POINTS, [0, 1, 0, 1], ax=ax, probability=lambda s: s)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"model": MLP(3, [1])}, ValueError, "model must have 2 inputs, found 3"),
        ({"model": len}, TypeError, "model must be a Module with predict or a Program, found"),
        ({"X": []}, ValueError, r"X must be of shape \(rows, 2\), found shape \(0,\)"),
        ({"X": [[1.0, math.nan]] * 4}, ValueError, "X must be finite, found nan or inf"),
        ({"X": [["a", "b"]]}, TypeError, "X must be numbers, found"),
        ({"y": [1, -1]}, ValueError, r"y must be one label for each of 4 rows, found shape"),
        ({"y": [1, 2, 3, 4]}, ValueError, "y must be -1 and 1 or 0 and 1 .*, found 1, 2, 3, 4"),
        ({"y": ["a"] * 4}, TypeError, "y must be whole numbers, found 'a'"),
        ({"resolution": 1}, ValueError, "resolution must be at least 2, found 1"),
        ({"class_names": ["a"]}, ValueError, "class_names must be 2 names, found"),
    ],
)
def test_refuses_what_does_not_fit_and_leaves_no_figure(change, error, message):
    import matplotlib.pyplot as plt

    given = {"model": Line(), "X": POINTS, "y": [-1, 1, -1, 1], **change}
    with pytest.raises(error, match=message):
        decision_boundary(**given)
    assert plt.get_fignums() == []
