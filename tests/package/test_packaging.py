"""What a user installs: imports, files, types, and the arrows between the parts."""

import ast
import inspect
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tokenize
import zipfile
from pathlib import Path

import pytest
from support import ROOT, run_python

import micrograd_fast
import micrograd_fast.engine
import micrograd_fast.graph
import micrograd_fast.nn
from micrograd_fast import _core

PACKAGE = ROOT / "micrograd_fast"

# Import paths ------------------------------------------------------------------------------------


def test_the_names_of_micrograd_are_where_it_has_them():
    import micrograd.engine
    import micrograd.nn

    assert micrograd_fast.Value is micrograd_fast.engine.Value
    assert micrograd_fast.MLP is micrograd_fast.nn.MLP
    for theirs, ours in (
        (micrograd.engine, micrograd_fast.engine),
        (micrograd.nn, micrograd_fast.nn),
    ):
        public = {
            name
            for name, thing in vars(theirs).items()
            if inspect.isclass(thing) and not name.startswith("_")
        }
        assert public
        assert public <= set(dir(ours)), public - set(dir(ours))


def test_the_extension_gives_nothing_that_is_not_its_own():
    foreign = {
        name
        for name, thing in vars(_core).items()
        if not name.startswith("_")
        and (
            inspect.ismodule(thing)
            or not getattr(thing, "__module__", "micrograd_fast").startswith("micrograd_fast")
        )
    }
    assert foreign == set()


#: The modules that say what is theirs to give, by what follows the package's name.
MODULES_WITH_ALL = [
    re.sub(r"\.__init__$", "", ".".join(["", *path.relative_to(PACKAGE).with_suffix("").parts]))
    for path in sorted(PACKAGE.rglob("*.py"))
    if re.search(r"^__all__ = ", path.read_text(encoding="utf-8"), re.MULTILINE)
]


def test_every_public_module_says_what_is_its_own():
    public = {
        f".{path.stem}"
        for path in PACKAGE.glob("*.py")
        if not path.stem.startswith("_") and path.stem != "demo"  # a program
    }
    assert public | {"", ".optim", ".takeover", ".reference"} <= set(MODULES_WITH_ALL)


@pytest.mark.parametrize("module", MODULES_WITH_ALL)
def test_star_imports_give_what_all_lists(module):
    names = {}
    exec(f"from micrograd_fast{module} import *", names)
    listed = sys.modules[f"micrograd_fast{module}"].__all__
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(names) - {"__builtins__"}


def test_import_loads_neither_numpy_nor_torch_nor_anything_else_large():
    loaded = run_python(
        """
        import sys
        before = set(sys.modules)
        import micrograd_fast
        print(*sorted(set(sys.modules) - before))
        """
    ).split()
    assert "micrograd_fast.graph" in loaded
    packages = {name.partition(".")[0] for name in loaded}
    foreign = packages - set(sys.stdlib_module_names) - {"micrograd_fast"}
    # Cython registers modules of its own: one for its state, one for its shared types.
    cython = {name for name in foreign if name.startswith(("_cython", "cython_runtime"))}
    assert foreign == cython
    assert not {"asyncio", "importlib.metadata", "unittest", "typing"} & set(loaded)


@pytest.mark.parametrize("module", ["data", "graph", "optim"])
def test_the_package_brings_its_modules_but_no_such_name_for_star_imports(module):
    printed = run_python(f"import micrograd_fast; print(micrograd_fast.{module}.__name__)")
    assert printed == f"micrograd_fast.{module}\n"
    assert module not in micrograd_fast.__all__


def test_optimizers_are_in_their_module_alone():
    names = set(micrograd_fast.optim.__all__)
    assert {"SGD", "Adam", "AdamW", "RMSprop", "Adagrad"} <= names
    assert not names & set(vars(micrograd_fast))


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert micrograd_fast.__version__ == version("micrograd_fast")


# Arrows: folders of csrc -> parts of _core -> engine -> nn -> what a user sees -------------------

C_FOLDERS = ["base", "ops", "loops", "nodes", "layer", "graph", "program"]
PYTHON_LAYERS = [
    {"_core", "_version"},
    {"engine", "_watched"},
    {"_state", "optim._options", "_sparse", "nn._html"},
    {"optim.lr_scheduler", "optim.optimizer", "optim.clip_grad"},
    {"optim.sgd", "optim.adam", "optim.rmsprop", "optim.adagrad"},
    {"nn._arguments", "nn.module"},
    {"nn.layers"},
    {"nn.sequential"},
    {"nn"},
    {"tables"},
    {"io", "conditions", "custom", "losses", "optim", "data", "program", "config", "_nests"},
    {"_traces", "vectors"},
    {"tracing", "checking"},
    {"graph.order", "graph.names", "graph.layout"},
    {"graph.folding"},
    {"graph.picture"},
    {"graph.drawing"},
    {"graph", "reference", "reference.engine", "reference.nn"},
    {"takeover.shape", "takeover.idioms", "takeover.element_loops"},
    {"takeover.trial", "takeover.sources"},
    {"takeover.stand_in"},
    {"takeover.hooks", "takeover.counting", "takeover.comparison"},
    {"takeover.children", "takeover.notebook"},
    {"takeover.script", "takeover"},
    {"__init__"},
    {"plot._figure", "plot._rows"},
    {"plot.boundary", "plot.confusion", "plot.curves"},
    {"plot"},
    {"demo"},
    {"commands.options"},
    {"commands.training.table", "commands.training.datasets"},
    {"commands.training.encoding"},
    {"commands.training.learner"},
    {"commands.training.folder", "commands.training.outcome"},
    {"commands.training.report", "commands.training.session"},
    {"commands.training.preparation"},
    {"commands.training"},
    {"commands.demo", "commands.run", "commands.info", "commands.train", "commands.predict"},
    {"commands"},
    {"__main__"},
]


def included(path):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def test_every_folder_of_csrc_includes_only_itself_and_those_before_it():
    csrc = ROOT / "csrc"
    assert {path.name for path in csrc.iterdir() if path.is_dir()} == {*C_FOLDERS, "tests"}
    assert not [path.name for path in csrc.iterdir() if path.suffix in {".c", ".h", ".inc"}]
    arrows = set()
    for position, folder in enumerate(C_FOLDERS):
        for path in sorted((csrc / folder).iterdir()):
            for name in included(path):
                target = name.partition("/")[0]
                assert (csrc / name).is_file() or "/" not in name, f"{path} includes {name}"
                if "/" in name:
                    arrows.add((folder, target))
                    assert C_FOLDERS.index(target) <= position, f"{path} includes {name}"
    assert {start for start, _ in arrows} >= set(C_FOLDERS)


def test_csrc_knows_nothing_of_python():
    for path in sorted((ROOT / "csrc").rglob("*.*")):
        assert not [name for name in included(path) if "Python" in name or "cython" in name]
        assert not re.search(r"\bPy[A-Z_]\w+", path.read_text()), path.name


CORE = PACKAGE / "_core"
COMMENTS_AND_TEXT = re.compile(r'"""(?:.|\n)*?"""|#.*|"(?:[^"\\\n]|\\.)*"')
TOP_LEVEL_NAME = re.compile(
    r"^(?:cdef (?:inline |class )?(?:\w+ )*\**(\w+) ?(?:\(|=|$|\[|:)|def (\w+)|(\w+) = )",
    re.MULTILINE,
)


def parts_of_the_core():
    """The name and the code, without comments and text, of each part in the stated order."""
    names = re.findall(r'^include "([^"]+)"', (CORE / "core.pyx").read_text(), re.MULTILINE)
    assert {path.relative_to(CORE).as_posix() for path in CORE.rglob("*.pxi")} == set(names)
    return {name: COMMENTS_AND_TEXT.sub("", (CORE / name).read_text()) for name in names}


def comprehensions(code):
    """The lines with a list comprehension, or with a generator that Cython makes one of."""
    open_brackets, previous = [], None
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        is_bracket = token.type == tokenize.OP  # and no text of an f-string
        if is_bracket and token.string in ("(", "[", "{"):
            is_called = token.string == "(" and previous in ("any", "all")
            open_brackets.append("" if is_called else token.string)
        elif is_bracket and token.string in (")", "]", "}"):
            open_brackets.pop()
        elif token.string == "for" and open_brackets and open_brackets[-1] in ("(", "["):
            yield token.line.strip()
        previous = token.string


def test_the_core_has_no_list_comprehension():
    """Cython 3.3 gives up a reference twice where one runs out of memory."""
    examples = ["x = [\n  f(i) for i in y]", "tuple(i for i in y)", "', '.join(str(i) for i in y)"]
    assert all(list(comprehensions(example)) for example in examples)
    assert not list(
        comprehensions("any(i for i in y); {i: j for i, j in y}\nfor i in (1, 2): f(i)")
    )
    for name in parts_of_the_core():
        assert not list(comprehensions((CORE / name).read_text())), name


def test_every_part_of_the_core_uses_only_what_comes_before_it():
    parts = parts_of_the_core()
    order = list(parts)
    defined = {}
    for part, code in parts.items():
        for match in TOP_LEVEL_NAME.finditer(code):
            defined.setdefault(next(filter(None, match.groups())), part)
    n_arrows = 0
    for part, code in parts.items():
        for name in set(re.findall(r"(?<![.\w])\w+", code)) & set(defined):
            n_arrows += defined[name] != part
            assert order.index(defined[name]) <= order.index(part), (
                f"{part} uses {name} of {defined[name]}, which comes later"
            )
    assert n_arrows >= 100


PYTHON_MODULES = {
    re.sub(
        r"(?<=\w)\.__init__", "", ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
KNOWN_MODULES = {name for layer in PYTHON_LAYERS for name in layer}


def imported_modules(module):
    """The modules of this package that one of them imports, by their names in PYTHON_LAYERS."""
    path = PYTHON_MODULES[module]
    folder = ["micrograd_fast", *path.relative_to(PACKAGE).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) + 1 - node.level] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            for alias in node.names:
                part = f"{origin}.{alias.name}"
                is_module = part.removeprefix("micrograd_fast.") in KNOWN_MODULES
                found.add(part if is_module else origin)
    return {
        name.removeprefix("micrograd_fast").removeprefix(".") or "__init__"
        for name in found
        if name.partition(".")[0] == "micrograd_fast"
    }


def python_layer(module):
    (layer,) = [i for i, modules in enumerate(PYTHON_LAYERS) if module in modules]
    return layer


def test_every_python_module_imports_only_what_comes_before_it():
    assert set(PYTHON_MODULES) | {"_core"} == KNOWN_MODULES, "a module without its place"
    n_arrows = 0
    for module in PYTHON_MODULES:
        for target in imported_modules(module):
            n_arrows += 1
            # The reference has layers of its own.
            if not (module.startswith("reference") and target.startswith("reference")):
                assert python_layer(target) < python_layer(module), f"{module} imports {target}"
    assert n_arrows >= 8


def test_the_reference_stands_on_its_own():
    assert imported_modules("reference.engine") == set()
    assert imported_modules("reference.nn") == {"reference.engine"}
    assert imported_modules("reference") == {"reference.engine", "reference.nn"}


# Types -------------------------------------------------------------------------------------------


def stub_of_value():
    tree = ast.parse(Path(_core.__file__).with_name("_core.pyi").read_text())
    (stub,) = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Value"
    ]
    return stub


def test_every_operation_of_the_table_is_on_value_and_in_the_stub():
    stubbed = {node.name for node in stub_of_value().body if isinstance(node, ast.FunctionDef)}
    operators = {"add": "__add__", "mul": "__mul__", "pow": "__pow__", "pow_const": "__pow__"}
    assert len(_core.OPERATIONS) >= 20
    for name, *_ in _core.OPERATIONS:
        method = operators.get(name, name)
        assert callable(getattr(micrograd_fast.Value, method)), name
        assert method in stubbed, f"{name} is not in _core.pyi"


def test_only_the_extension_has_a_stub():
    """A stub beside a module would hide the module from mypy."""
    assert [stub.name for stub in PACKAGE.rglob("*.pyi")] == ["_core.pyi"]


TYPED_PROGRAM = """
from fractions import Fraction

from micrograd_fast import MLP, Layer, Value, dot, sum
from micrograd_fast.engine import Value as SameValue
from micrograd_fast.graph import draw_graph, topological_sort
from micrograd_fast.nn import Module, Neuron

a = Value(2, label="a")
b: Value = (1 + a * 3.0 - a / 2) ** 2 + 2**a - a**a
c = b.relu().clip(low=0).maximum(1).leaky_relu(0.1)
made: Value = SameValue(6.0, (a, b), (1.0, Fraction(1, 2)))
named = SameValue(6.0, (a, b), "*", "product")
total: Value = sum([a, 1, 2.5, b]) + dot([a, b], [1, 2])
total.backward()
number: float = a.grad + total.item()
a.data -= 0.1 * a.grad
nodes: list[Value] = topological_sort(total)
text: str = draw_graph(total, format="dot")
model = MLP(2, [4, 1], activation="tanh")
parameters: list[Value] = model.parameters()
activation: Value = Neuron(2)([a, 1.0])


class Scale(Module):
    def __init__(self) -> None:
        self.factor = Value(1.0)

    def parameters(self) -> list[Value]:
        return [self.factor]


Scale().zero_grad()
layers: list[Layer] = model.layers
"""


def check_types(folder, program):
    (folder / "program.py").write_text(program)
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_mypy_accepts_a_strictly_typed_program(tmp_path):
    finished = check_types(tmp_path, TYPED_PROGRAM)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.slow
def test_mypy_refuses_what_the_engine_refuses(tmp_path):
    wrong = [
        'Value("1.0")',
        "Value(None)",
        "Value(1j)",
        "float(Value(1.0))",
        "Value(1.0).relue()",
        "Value(1.0) + '1'",
        'MLP("2", [1])',
    ]
    finished = check_types(
        tmp_path, "\n".join(["from micrograd_fast import MLP, Value", *wrong, ""])
    )
    refused = set(re.findall(r"^program\.py:(\d+): error", finished.stdout, re.MULTILINE))
    assert refused == {str(2 + i) for i in range(len(wrong))}, finished.stdout


# Building ----------------------------------------------------------------------------------------


def compiled_by_building(folder, environment):
    """Build in `folder`; the C files that the compiler was called for."""
    log = folder / "compiled"
    log.write_text("")
    finished = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=folder,
        env=environment | {"COMPILED": str(log)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return sorted(log.read_text().split())


@pytest.mark.slow
def test_a_build_compiles_what_has_changed_and_nothing_else(tmp_path):
    """Contents count: new dates change nothing, a header brings those that include it."""
    for name in ("setup.py", "pyproject.toml", "README.md", "csrc", "micrograd_fast"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    compiler = tmp_path / "notes-and-copies"
    # Stands in for a compiler: it notes the name, and any object will do.
    compiler.write_text(
        f"""#!{sys.executable}
import os, re, sys
from pathlib import Path
names = [name for name in sys.argv if name.endswith(".c")]
with open(os.environ["COMPILED"], "a") as log:
    log.writelines(Path(name).name + "\\n" for name in names)
if "-o" in sys.argv:
    Path(sys.argv[sys.argv.index("-o") + 1]).touch()
"""
    )
    compiler.chmod(0o755)
    environment = os.environ | {"CC": str(compiler), "LDSHARED": str(compiler)}
    everything = compiled_by_building(tmp_path, environment)
    assert "core.c" in everything
    assert set(everything) > {path.name for path in (ROOT / "csrc/program").glob("*.c")}

    assert compiled_by_building(tmp_path, environment) == []
    for path in (tmp_path / "csrc").rglob("*.*"):
        path.touch()
    assert compiled_by_building(tmp_path, environment) == []

    header = tmp_path / "csrc/program/strip.h"
    header.write_text(header.read_text() + "/* another line */\n")
    including = {
        path.name
        for path in (tmp_path / "csrc").rglob("*.c")
        if "tests" not in path.parts and "program/strip.h" in path.read_text()
    }
    again = set(compiled_by_building(tmp_path, environment))
    assert including <= again < set(everything) - {"pool.c", "ops.c"}

    part = tmp_path / "micrograd_fast/_core/value/errors.pxi"
    part.write_text(part.read_text() + "# another line\n")
    assert compiled_by_building(tmp_path, environment) == ["core.c"]
    assert set(compiled_by_building(tmp_path, environment | {"CFLAGS": "-DOTHER"})) == set(
        everything
    )


# Files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build an sdist from the source, and a wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_the_sdist_holds_all_that_builds_tests_and_measures(distributions):
    sdist, _ = distributions
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in ("csrc", "micrograd_fast", "tests", "bench", "docs", "examples")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix not in {".so", ".pyd", ".pyc", ".o"}
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    }
    assert tracked
    assert tracked - names == set()
    assert {"setup.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= names
    assert {"CONTRIBUTING.md", "Makefile", ".ci/run", "MANIFEST.in"} <= names
    assert not {name for name in names if re.search(r"\.(so|pyd|pyc|o)$|^build/|_core\.c$", name)}


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_no_sources_in_c(distributions):
    _, wheel = distributions
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {
        "micrograd_fast",
        f"micrograd_fast-{micrograd_fast.__version__}.dist-info",
    }
    package = {name for name in names if name.startswith("micrograd_fast/")}
    suffixes = {Path(name).suffix for name in package}
    assert suffixes <= {".py", ".pyi", ".typed", ".so", ".pyd", ""}
    assert {"micrograd_fast/py.typed", "micrograd_fast/_core.pyi"} <= package
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    assert sources <= package
    assert len([name for name in package if Path(name).suffix in {".so", ".pyd"}]) == 1


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(distributions, tmp_path):
    _, wheel = distributions
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        f"import sys; sys.path.append({str(tmp_path)!r}); import micrograd_fast as m;"
        "a = m.Value(3.0); (a * a).backward();"
        "print(a.grad, m.MLP(2, [2, 1])([1.0, 2.0]).data, m.__file__)"
    )
    # -I and -S: neither this folder nor what is installed is on the path.
    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("6.0 ")
    assert str(tmp_path) in finished.stdout


def test_nothing_is_installed_along():
    from importlib.metadata import requires

    assert [line for line in requires("micrograd_fast") or [] if "extra ==" not in line] == []
