"""`invoices print`: every invoice and credit note on the server and in a folder, each once, whatever interrupted it."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.cli.commands import app
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from milo_billing.invoicing.engine import printings
from milo_billing.invoicing.engine.press import Presses, print_documents
from tests.contract.conftest import Cluster
from tests.contract.examples import ACME, EXAMPLES
from tests.contract.invoiced import stand_invoice


@pytest.fixture
def number(cluster: Cluster, runtime: Runtime) -> str:
    """An invoice of February with a credit note over it; the number of the note."""
    for needed in EXAMPLES["creditnotes"].needs:
        cluster.created(needed)
    stand_invoice(runtime)
    return str(cluster.created(EXAMPLES["creditnotes"].manifest)["status"]["number"])


@pytest.fixture
def press(runtime: Runtime) -> Iterator[None]:
    """A worker that does nothing else."""
    database, writer, ended = runtime.databases.app, TypstDocuments(), threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            with database.transaction(reach=EVERYWHERE) as tx:
                waiting = printings.list_open(tx, limit=9)
            for id in waiting:
                print_documents(runtime.vault, Presses(writer, writer), database, runtime.clock, id=id)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.usefixtures("press")
def test_what_is_missing_in_the_folder_is_printed(
    cluster: Cluster,
    number: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)
    folder = tmp_path / "printed"

    def milo(*command: str) -> tuple[int, dict[str, Any]]:
        words = ("invoices", *command, "-n", ACME, "--output", "json")
        code = app(words, exit_on_error=False, result_action="return_value")
        return code, json.loads(capsys.readouterr().out)

    def milo_details(name: str, file: Path) -> str:
        app(
            ("invoices", "details", name, "-n", ACME, "--file", str(file)),
            exit_on_error=False,
            result_action="return_value",
        )
        capsys.readouterr()
        return file.read_text()

    def printed(*which: str) -> tuple[int, int]:
        _, found = milo("print", *which, "--to", str(folder))
        assert found["failed"] == []
        return found["saved"], found["unchanged"]

    assert printed("--month", "2026-03") == (0, 0)
    code, ahead = milo("print", "--month", "2026-02")
    assert (code, ahead["state"], ahead["total"], ahead["printed"], ahead["failures"]) == (
        0,
        "finished",
        2,
        2,
        [],
    )
    assert not any(folder.iterdir()), "they stay on the server until somebody wants them"
    assert printed("--month", "2026-02") == (2, 0)
    note = folder / f"{number}.pdf"
    assert all(path.read_bytes().startswith(b"%PDF-") for path in folder.iterdir())
    first = note.read_bytes()
    note.unlink()
    (folder / f".{note.name}.part").write_bytes(b"%PDF-")  # what a kill left
    assert printed("--all") == (1, 1)
    assert note.read_bytes() == first
    assert milo("save", number, "--format", "ubl", "--to", str(folder))[0] in (0, 1)
    invoice = next(path.stem for path in folder.glob("*.pdf") if path.stem != number)
    rows = milo("details", invoice)[1]["items"]
    assert [(row["project"], row["day"], row["amount"]) for row in rows] == [("web", "2026-02-07", "40.00")]
    assert milo_details(invoice, tmp_path / "details.csv").startswith("invoice,account,line,")
    code, found = milo("validate", number)
    assert (found["invoices"], code) == (1, 1 if found["wrong"] else 0)
