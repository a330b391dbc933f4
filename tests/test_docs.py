"""The documentation says what the code does."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_table_of_operations_is_up_to_date():
    namespace = runpy.run_path(str(DOCS / "operations.py"))
    assert (DOCS / "operations.md").read_text() == namespace["table"]()


def test_the_contract_names_test_files_that_exist():
    text = (DOCS / "contract.md").read_text(encoding="utf-8")
    for name in ("test_contract_numbers.py", "test_scale.py", "test_contract_nn_unobservable.py"):
        assert name in text
        assert (Path(__file__).parent / name).exists()
