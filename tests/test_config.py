"""What the package says of itself: versions, build, instruction set, threads."""

import platform

import numpy
import pytest
from support import run_python

import micrograd_fast
from micrograd_fast import _core


def test_the_configuration_is_that_of_this_process():
    config = micrograd_fast.show_config(mode="dicts")
    in_use, *available = _core.kernels()
    assert config == {
        "versions": {
            "micrograd_fast": micrograd_fast.__version__,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "numpy": numpy.__version__,
        },
        "platform": platform.platform(),
        "build": _core.build_info(),
        "instruction_set": {"in_use": in_use, "available": available},
        "threads": {"per_call": 1},
    }
    assert "-ffp-contract=off" in config["build"]["flags"] or platform.system() == "Windows"
    assert available[-1] == "baseline"


def test_the_instruction_set_is_the_one_in_use(instruction_set):
    config = micrograd_fast.show_config(mode="dicts")
    assert config["instruction_set"]["in_use"] == instruction_set


def test_the_environment_names_the_instruction_set(monkeypatch):
    for name in _core.kernels()[1:]:
        monkeypatch.setenv("MICROGRAD_FAST_KERNELS", name)
        printed = run_python("import micrograd_fast; micrograd_fast.show_config()")
        facts = dict(line.split(maxsplit=1) for line in printed.splitlines())
        assert facts["instruction_set"] == name


def test_every_fact_is_printed_on_a_line_of_its_own(capsys):
    config = micrograd_fast.show_config(mode="dicts")
    assert micrograd_fast.show_config() is None
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert facts == {
        **config["versions"],
        "platform": config["platform"],
        **config["build"],
        "instruction_set": config["instruction_set"]["in_use"],
        "available": " ".join(config["instruction_set"]["available"]),
        "threads": "1 per call",
    }


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match=r'^mode must be "stdout" or "dicts", found \'json\'$'):
        micrograd_fast.show_config(mode="json")
