"""Which classes are taken for which, as a picture."""

import pytest
from matplotlib.figure import Figure

from micrograd_fast.plot import confusion_matrix


@pytest.fixture
def ax():
    return Figure().add_subplot()


def test_counts_each_pair_of_classes(ax):
    assert confusion_matrix([0, 1, 1, 2], [0, 1, 0, 2], ax=ax) is ax
    assert ax.images[0].get_array().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert [text.get_text() for text in ax.texts] == ["1", "0", "0", "1", "1", "0", "0", "0", "1"]


def test_gives_shares_where_asked(ax):
    confusion_matrix([0, 0, 1], [0, 1, 1], ax=ax, normalize="true")
    assert ax.images[0].get_array().tolist() == [[0.5, 0.5], [0.0, 1.0]]


def test_names_classes_that_are_text(ax):
    confusion_matrix(["$a", "b"], ["b", "b"], ax=ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["$a", "b"]


@pytest.mark.parametrize(
    "y, predicted, error, message",
    [
        ([], [], ValueError, "y must have one label or more, found none"),
        ([1, 2], [1], ValueError, "predicted must be one label for each of 2 rows, found shape"),
        ([1.5, float("nan")], [1, 1], ValueError, "y must be finite, found nan or inf"),
        (["a"], [1], TypeError, "y and predicted must both be numbers or both text"),
        ([None], [1], TypeError, "y must be numbers or text, found NoneType"),
    ],
)
def test_refuses_what_are_no_labels(ax, y, predicted, error, message):
    with pytest.raises(error, match=message):
        confusion_matrix(y, predicted, ax=ax)


def test_refuses_an_unknown_share(ax):
    with pytest.raises(ValueError, match='normalize must be "true", "pred" or "all", found'):
        confusion_matrix([1], [1], ax=ax, normalize="rows")


@pytest.mark.parametrize("missing", ["matplotlib.axes", "sklearn.metrics"])
def test_says_what_to_install(monkeypatch, ax, missing):
    import sys

    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'needs .*: pip install "micrograd_fast\[plot\]"'):
        confusion_matrix([1], [1])
