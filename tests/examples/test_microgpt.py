"""The example of a GPT: the same losses on every engine, and names at the end."""

import importlib.util

import pytest
from support import ROOT

EXAMPLE = ROOT / "examples" / "microgpt.py"


@pytest.fixture(scope="module")
def microgpt():
    spec = importlib.util.spec_from_file_location("microgpt", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_traced_loss_is_that_of_the_graph_and_the_graph_the_reference_s(microgpt):
    names = microgpt.NAMES.split()
    of_graph = microgpt.train(names, "eager", 30)[2]
    assert of_graph[0] > 3.0
    assert len(set(of_graph)) == 30
    # Where what is chosen is computed, the order of gradients is that of all that could be.
    assert microgpt.train(names, "jit", 30)[2] == pytest.approx(of_graph, abs=1e-9)
    assert microgpt.train(names, "reference", 2)[2] == of_graph[:2]


def test_it_learns_and_prints_new_names(microgpt, tmp_path, capsys):
    data = tmp_path / "names.txt"
    data.write_text("anna\nnana\n\nanan\n")
    microgpt.main(["--data", str(data), "--steps", "60", "--samples", "3"])
    output, progress = capsys.readouterr()
    lines = output.splitlines()
    assert lines[0].startswith("3 names, 2 letters, ")
    assert float(lines[1].split()[4]) < float(lines[1].split()[1])
    assert len(lines) == 6
    assert set("".join(lines[3:])) <= set("an")
    assert "step    60 of 60" in progress


def test_a_file_without_names_is_refused(microgpt, tmp_path, capsys):
    data = tmp_path / "empty.txt"
    data.write_text("\n")
    with pytest.raises(SystemExit) as stopped:
        microgpt.main(["--data", str(data)])
    assert stopped.value.code == 2
    assert "--data must be a file of names, found none" in capsys.readouterr().err
