"""Programs as people have them: what they print is the same with and without the engine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"

#: What is said of each program's class on stderr.
SAID = {
    "breadth_first": "class Value stays as it is: its backward gives other gradients, or goes"
    " another way",
    "counts_its_values": "class Value stays as it is: its attribute 'number' is another for each"
    " Value",
    "dataclass": "class Value runs on micrograd_fast; ints become floats",
    "gpt": "class Value runs on micrograd_fast; ints become floats",
    "keeps_a_tape": "class Value stays as it is: what the argument 'op' of its constructor does is"
    " not known",
    "label_second": "class Value runs on micrograd_fast; ints become floats",
    "lecture_class": "class Value runs on micrograd_fast; ints become floats",
    "operands_in_a_list": "class Value runs on micrograd_fast",
    "operands_in_a_tuple": "class Value runs on micrograd_fast",
    "other_names": "class Scalar runs on micrograd_fast; ints become floats",
    "overwrites_gradients": "class Value stays as it is: its __mul__ gives other numbers",
    "own_relu": "class Value runs on micrograd_fast",
    "prints": "class Value stays as it is: its Values print something while they are computed",
    "recursive_backward": "class Value stays as it is: its backward gives other numbers",
    "subclasses": "class Value runs on micrograd_fast",
    "children": "class Value runs on micrograd_fast",
}


def run(*command, program=None, **options):
    """A finished process of Python with these arguments."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        **options,
    )


def taken_over(*command, **options):
    return run("-m", "micrograd_fast", "run", *command, **options)


def test_every_program_is_named():
    here = {path.stem for path in PROGRAMS.glob("*.py")}
    assert here == {*SAID, "local_engine"}


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["", "plain"])
@pytest.mark.parametrize("name", SAID)
def test_a_program_prints_the_same(name, options):
    path = PROGRAMS / f"{name}.py"
    plain = run(path)
    taken = taken_over(*options, path)
    assert taken.stdout == plain.stdout != ""
    assert taken.returncode == plain.returncode
    assert plain.stderr == ""
    (said,) = taken.stderr.splitlines()
    file = "local_engine.py" if name == "children" else path.name
    line = next(
        number
        for number, text in enumerate((PROGRAMS / file).read_text().splitlines(), 1)
        if text.startswith("class ")
    )
    assert said == f"{file}:{line}: {SAID[name]}"


@pytest.fixture
def script(tmp_path):
    def write(text, name="script.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def both(*command, **options):
    """A program as it is and taken over."""
    return run(*command, **options), taken_over(*command, **options)


def test_imports_of_micrograd_are_ours(script):
    path = script(
        "import micrograd\nimport micrograd.nn as nn\nfrom micrograd.engine import Value\n"
        "import micrograd_fast as m\nprint(Value is m.Value, nn.MLP is m.MLP)\n"
        "print(micrograd.engine.Value is Value, nn.Module is m.Module)\n"
    )
    assert taken_over(path).stdout == "True True\nTrue True\n"


def test_a_micrograd_beside_the_program_stays_its_own(script):
    source = (PROGRAMS / "local_engine.py").read_text()
    script(source, "micrograd/engine.py")
    script("", "micrograd/__init__.py")
    path = script(
        "from micrograd.engine import Value\nprint(Value(2.0) * 3.0, Value.__module__)\n"
    )
    plain, taken = both(path)
    assert taken.stdout == plain.stdout == "Value(data=6.0, grad=0.0) micrograd.engine\n"
    assert taken.stderr == "engine.py:10: class Value runs on micrograd_fast\n"


WHAT_A_SCRIPT_SEES = """
import sys
print(__name__, __file__, sys.argv, sys.path[0], __spec__, __package__, __doc__)
print(sys.modules["__main__"].__dict__ is globals(), sorted(k for k in globals() if k[0] != "_"))
def f(): pass
print(f.__module__, __builtins__ is __import__("builtins"), input())
"""


def test_a_script_sees_what_it_sees_in_python(script, tmp_path):
    path = script(WHAT_A_SCRIPT_SEES)
    for given in (path, path.name):
        plain, taken = both(given, "a", "--b", "-m", input="line\n", cwd=tmp_path)
        assert taken.stdout == plain.stdout != ""
        assert (taken.stderr, taken.returncode) == ("", 0)


def test_a_module_sees_what_it_sees_in_python(script, tmp_path):
    script(
        "from . import other\n" + WHAT_A_SCRIPT_SEES.replace("__spec__", "__spec__.name"),
        "package/__main__.py",
    )
    script("print(__name__)", "package/other.py")
    plain, taken = both("-m", "package", "x", input="line\n", cwd=tmp_path)
    assert taken.stdout == plain.stdout != ""
    plain, taken = both("-m", "package.__main__", "x", input="line\n", cwd=tmp_path)
    assert taken.stdout == plain.stdout != ""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("def f():\n    return 1 / 0\n\n\nf()\n", 1),
        ("import sys\n\nsys.exit(7)\n", 7),
        ("import sys\n\nsys.exit('so long')\n", 1),
        ("raise SystemExit\n", 0),
        ("def f(:\n", 1),
        ("", 0),
        ("import nothing_of_that_name\n", 1),
        ("import os\n\nos._exit(5)\n", 5),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e\n", 1),
    ],
)
def test_a_script_ends_as_it_does_in_python(script, text, status):
    plain, taken = both(script(text))
    assert (taken.returncode, taken.stdout) == (plain.returncode, plain.stdout)
    assert taken.returncode == status
    assert taken.stderr == plain.stderr


def test_what_cannot_be_opened_is_one_line(tmp_path):
    for command in ([tmp_path / "none.py"], ["-m", "no_such_module"], [tmp_path]):
        taken = taken_over(*command)
        assert (taken.returncode, taken.stdout) == (2, "")
        assert len(taken.stderr.splitlines()) == 1
        assert taken.stderr.startswith("micrograd_fast run: ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_script_as_it_does_in_python(script):
    path = script("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "micrograd_fast", "run", path]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever started the tests may have had it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == b"started\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == b"KeyboardInterrupt"
    assert b"micrograd_fast" not in errors


def test_check_compares_line_by_line():
    finished = taken_over("--check", "2", "--report", PROGRAMS / "gpt.py", "5")
    assert finished.returncode == 0
    assert finished.stdout == ""
    assert "3 lines, all the same" in finished.stderr
    assert "by the engine: __add__, __mul__" in finished.stderr


def test_check_shows_what_differs(script):
    path = script(
        (PROGRAMS / "local_engine.py").read_text()
        + "\nimport sys\n\n\n(Value(1.0) * 2.0).backward()\nprint('micrograd_fast' in sys.modules,"
        " type(Value(1.0)).__mro__)\n"
    )
    finished = taken_over("--check", "5", path)
    assert finished.returncode == 1
    assert "line 1: True (<class '__main__.Value'>, <class 'object'>)" in finished.stderr
    assert "  became: True (<class '__main__.Value'>, <class 'micrograd_fast" in finished.stderr


def test_a_report_says_what_is_whose():
    finished = taken_over("--report", PROGRAMS / "own_relu.py")
    assert "    by its own methods: relu\n" in finished.stderr
    assert "s of processor time" in finished.stderr


def test_install_takes_over_what_follows(script):
    class_of_its_own = (PROGRAMS / "local_engine.py").read_text()
    script("from micrograd.engine import Value\n", "helper.py")
    path = script(
        "import micrograd_fast\n\nmicrograd_fast.install()\n"
        + class_of_its_own.replace('"""', "# ", 1).replace('"""', "", 1)
        + "\nimport helper\n\nprint(issubclass(Value, micrograd_fast.Value), Value(2.0) * 3.0,"
        " helper.Value is micrograd_fast.Value)\n"
    )
    finished = run(path)
    assert finished.stdout == "True Value(data=6.0, grad=0.0) True\n"
    assert finished.stderr.endswith("class Value runs on micrograd_fast\n")
