"""Losses over steps, as a picture."""

import math

import matplotlib
import pytest
from matplotlib.figure import Figure

from micrograd_fast.plot import loss_curve


@pytest.fixture
def ax():
    return Figure().add_subplot()


def test_draws_the_losses_on_the_axes_given_and_returns_them(ax):
    assert loss_curve([3.0, 2.0, 1.5], ax=ax) is ax
    (line,) = ax.lines
    assert line.get_ydata().tolist() == [3.0, 2.0, 1.5]
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_legend()) == ("step", "loss", None)


def test_draws_curves_of_different_lengths_by_their_names(ax):
    loss_curve({"training": [1.0, 0.5, 0.25], "validation $x$": [2.0]}, ax=ax)
    assert [len(line.get_ydata()) for line in ax.lines] == [3, 1]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["training", "validation $x$"]


@pytest.mark.parametrize(
    "history, log, scale",
    [
        ([1.0, 0.001], None, "log"),
        ([1.0, 0.5], None, "linear"),
        ([1.0, 0.0], None, "linear"),
        ([1.0, 0.5], True, "log"),
        ([1.0, 0.001], False, "linear"),
    ],
)
def test_has_a_logarithmic_scale_where_losses_span_decades(ax, history, log, scale):
    assert loss_curve(history, ax=ax, log=log).get_yscale() == scale


def test_shows_where_a_loss_is_no_number(ax):
    loss_curve([1.0, math.nan, math.inf, 0.5], ax=ax)
    curve, crosses = ax.lines
    assert [math.isnan(y) for y in curve.get_ydata()] == [False, True, True, False]
    assert crosses.get_xdata().tolist() == [1, 2]


@pytest.mark.parametrize(
    "history, error, message",
    [
        ([], ValueError, "history must have one loss or more, found none"),
        ({}, ValueError, "history must have one curve or more, found none"),
        ({"a": []}, ValueError, r"history\['a'\] must have one loss or more, found none"),
        ([["x"]], TypeError, "history must be numbers, found 'x'"),
        ([[1.0, 2.0]], ValueError, r"history must be a sequence of losses, found shape \(1, 2\)"),
    ],
)
def test_refuses_what_is_no_history_and_leaves_no_figure(history, error, message):
    import matplotlib.pyplot as plt

    with pytest.raises(error, match=message):
        loss_curve(history)
    assert plt.get_fignums() == []


def test_refuses_a_logarithm_of_0(ax):
    with pytest.raises(ValueError, match=r"history must be above 0 for log=True, found 0\.0"):
        loss_curve([1.0, 0.0], ax=ax, log=True)


def test_refuses_what_are_no_axes():
    with pytest.raises(TypeError, match="ax must be matplotlib's Axes, found str"):
        loss_curve([1.0], ax="ax")


def test_makes_a_figure_of_its_own_and_changes_nothing_of_matplotlib():
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    drawn = loss_curve([1.0, 2.0])
    try:
        assert plt.get_fignums() == [drawn.figure.number]
        assert dict(matplotlib.rcParams) == before
    finally:
        plt.close(drawn.figure)
