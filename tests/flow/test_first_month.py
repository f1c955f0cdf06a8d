"""The tutorial of the first month, word for word: from an empty folder to closed books, without kubectl."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.server import stop_leftovers

from tests.flow.tutorials import follow

PROGRAMS = Path(sys.executable).parent
FREE_PORTS = {f"MILO_BILLING_{door}_PORT": "0" for door in ("API", "GATEWAY", "HEALTH")}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the user types. PostgreSQL's user must be able to pass through."""
    folder = Path(tempfile.mkdtemp(prefix="milo-billing-month-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        stop_leftovers(folder / "first-month" / "data")
        shutil.rmtree(folder)


@pytest.mark.long
def test_a_newcomer_follows_the_first_month_from_an_empty_folder_to_closed_books(folder: Path):
    environment = {
        **FREE_PORTS,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "MILO_BILLING_POSTGRES_FSYNC": "false",
    }
    follow("docs/tutorial-first-month.md", folder=folder, environment=environment)

    month = folder / "first-month"
    for number, total in (("LT-2026-000001", "85.38"), ("LT-2026-000002", "111.90")):
        assert (month / "invoices" / f"{number}.pdf").read_bytes().startswith(b"%PDF-")
        document = (month / "invoices" / f"{number}.ubl.xml").read_text()
        assert f'<cbc:PayableAmount currencyID="EUR">{total}</cbc:PayableAmount>' in document
    october = (month / "october-books.csv").read_text()
    assert ("61.75" in october, "111.90" in october) == (True, True)  # as docs/accounting.md has them
    checked = subprocess.run(
        [PROGRAMS / "bean-check", month / "books.beancount"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, f"{checked.stdout}{checked.stderr}"
