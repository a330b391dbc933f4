"""Cells of a notebook, as IPython gives them to the transformers of trees."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import micrograd_fast

CLASS = (Path(__file__).parent / "programs" / "local_engine.py").read_text()


class Notebook:
    """Runs cells as IPython does: parsed, transformed, compiled, in one namespace."""

    def __init__(self):
        self.ast_transformers = []
        self.user_ns = {"__name__": "__main__"}

    def run_cell(self, source):
        tree = ast.parse(source)
        for transformer in self.ast_transformers:
            tree = transformer.visit(tree)
        exec(compile(ast.fix_missing_locations(tree), "<cell>", "exec"), self.user_ns)
        return SimpleNamespace(**self.user_ns)


@pytest.fixture
def notebook():
    shell = Notebook()
    finders = list(sys.meta_path)
    micrograd_fast.load_ipython_extension(shell)
    yield shell
    shell.user_ns.clear()
    micrograd_fast.unload_ipython_extension(shell)
    assert sys.meta_path == finders
    assert shell.ast_transformers == []


def test_a_class_of_a_cell_is_replaced(notebook, capsys):
    seen = notebook.run_cell(CLASS)
    assert issubclass(seen.Value, micrograd_fast.Value)
    assert capsys.readouterr().err == "cell:10: class Value runs on micrograd_fast\n"
    seen = notebook.run_cell(
        "x = [Value(1.5), Value(2.0)]\ny = sum(a * a for a in x)\ny.backward()"
    )
    assert (seen.y.data, seen.x[0].grad) == (6.25, 3.0)
    assert type(seen.y) is seen.Value


def test_a_cell_run_again_makes_a_class_of_its_own(notebook, capsys):
    first = notebook.run_cell(CLASS).Value
    second = notebook.run_cell(CLASS).Value
    assert first is not second
    assert type(first(2.0) * 3.0) is first
    assert type(second(2.0) * 3.0) is second


def test_cells_with_errors_are_the_users(notebook):
    with pytest.raises(ZeroDivisionError):
        notebook.run_cell("1 / 0")
    with pytest.raises(NameError):
        notebook.run_cell("class A:\n    backward = nothing")


def test_loading_twice_is_loading_once(notebook):
    micrograd_fast.load_ipython_extension(notebook)
    assert len(notebook.ast_transformers) == 1


def test_afterwards_cells_stay_as_they_are():
    shell = Notebook()
    micrograd_fast.load_ipython_extension(shell)
    micrograd_fast.unload_ipython_extension(shell)
    assert not issubclass(shell.run_cell(CLASS).Value, micrograd_fast.Value)
