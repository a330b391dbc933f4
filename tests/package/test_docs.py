"""The documentation says what the code does."""

import doctest
import random
import re
import runpy

from support import ROOT, TESTS

DOCS = ROOT / "docs"
CONTRACT = TESTS / "contract"
README = ROOT / "README.md"


def test_the_table_of_operations_is_up_to_date():
    namespace = runpy.run_path(str(DOCS / "operations.py"))
    assert (DOCS / "operations.md").read_text() == namespace["table"]()


def sections_of_the_contract():
    """For each heading with test files: their names, and the numbers of the points below it."""
    text = (DOCS / "contract.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        heading, _, points = section.partition("\n")
        names = re.findall(r"`(?:tests/contract/)?(\w+\.py)`", heading)
        yield names, [int(number) for number in re.findall(r"^(\d+)\. ", points, re.MULTILINE)]


def test_every_point_of_the_contract_has_tests_in_the_files_that_it_names():
    numbers, files = [], set()
    for names, points in sections_of_the_contract():
        tested = {}
        for name in names:
            source = (CONTRACT / name).read_text(encoding="utf-8")
            tested[name] = set(map(int, re.findall(r"^ *def test_(\d\d)_", source, re.MULTILINE)))
            assert tested[name], f"{name} has no numbered test"
        assert set(points) <= set.union(*tested.values()), names
        numbers += points
        files.update(names)
    assert numbers == list(range(1, 25))
    assert files == {path.name for path in CONTRACT.glob("test_*.py")}


def test_the_files_that_the_documentation_names_exist():
    pattern = r"`((?:csrc|docs|examples|micrograd_fast|tests)/[\w/.]+)`"
    named = {}
    for page in [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]:
        for path in re.findall(pattern, page.read_text()):
            named.setdefault(path, page.name)
    assert len(named) > 20
    missing = {path for path in named if not (DOCS.parent / path).exists()}
    assert not missing, {path: named[path] for path in missing}


def test_the_programs_of_the_readme_run_and_learn(capsys):
    state = random.getstate()
    programs = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    try:
        for program in programs:
            exec(program, {})
    finally:
        random.setstate(state)
    first, share_of_quadrants, margin_loss = capsys.readouterr().out.split("\n")[:3]
    assert len(first.split()) == 3
    assert 0.95 <= float(share_of_quadrants) <= 1.0
    assert float(margin_loss.split()[0]) < 0.1  # from about 1


def test_the_examples_of_the_page_on_freezing_give_what_stands_there():
    state = random.getstate()
    try:
        outcome = doctest.testfile(
            str(DOCS / "freezing.md"), module_relative=False, optionflags=doctest.ELLIPSIS
        )
    finally:
        random.setstate(state)
    assert outcome.attempted >= 25
    assert outcome.failed == 0
