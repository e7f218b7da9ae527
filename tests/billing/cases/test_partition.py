"""Every case of the file either runs or is left out for a reason that the policy sheet gives."""

import importlib
from pathlib import Path

from tests.billing.cases import book

for module in sorted(Path(__file__).parent.glob("test_*.py")):
    importlib.import_module(f"tests.billing.cases.{module.stem}")


def test_every_case_runs_or_is_left_out() -> None:
    assert book.RUN.isdisjoint(book.LEFT_OUT)
    assert book.RUN | set(book.LEFT_OUT) == set(book.CASES)
    assert len(book.CASES) == 118


def test_at_least_ninety_run() -> None:
    assert len(book.RUN) >= 90


def test_what_is_left_out_names_the_row_that_it_contradicts() -> None:
    assert all(row in book.ROWS and reason for row, reason in book.LEFT_OUT.values())
