"""The documentation says what the code does."""

import random
import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"


def test_the_table_of_operations_is_up_to_date():
    namespace = runpy.run_path(str(DOCS / "operations.py"))
    assert (DOCS / "operations.md").read_text() == namespace["table"]()


def test_the_contract_names_test_files_that_exist():
    text = (DOCS / "contract.md").read_text(encoding="utf-8")
    for name in ("test_contract_numbers.py", "test_scale.py", "test_contract_nn_unobservable.py"):
        assert name in text
        assert (Path(__file__).parent / name).exists()


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
