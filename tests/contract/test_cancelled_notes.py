"""What cancels a credit note over HTTP and on the command line: in its status, below its path, and saved by number."""

import json
from pathlib import Path
from typing import Any

import pytest

from milo_billing.app import wiring
from milo_billing.cli.commands import app
from milo_billing.infra.runtime import Runtime
from milo_billing.invoicing.operations.office import Office
from milo_billing.invoicing.reads import invoices as invoice_reads
from tests.contract.conftest import Cluster
from tests.contract.examples import ACME, EXAMPLES
from tests.contract.invoiced import NOW, stand_invoice
from tests.db.invoicing.ground import Ground
from tests.db.invoicing.paying import pay

NOTES = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/creditnotes"
ACCOUNT = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/billingaccounts/main"


@pytest.fixture
def note(cluster: Cluster, runtime: Runtime) -> dict[str, Any]:
    """The credit note over 0.80 of 40.00, paid with 2 % off, whose payment came back."""
    for needed in EXAMPLES["creditnotes"].needs:
        cluster.created(needed)
    terms = {"spec": {"paymentTerms": {"earlyPaymentDiscountPercent": "2"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    changed = cluster.http.patch(ACCOUNT, content=json.dumps(terms), headers=headers)
    assert changed.status_code == 200, changed.text
    name = stand_invoice(runtime)
    engine = wiring.build_declarative(runtime).engine
    ground = Ground(runtime.databases, engine, Office(engine, runtime.vault))
    invoice = ground.reading(lambda tx: invoice_reads.get_invoice(tx, namespace=ACME, name=name))
    pay(ground, invoice, 3_920, "t1", now=NOW)
    pay(ground, invoice, 3_920, "b1", kind="PaymentReversal", now=NOW)
    (found,) = cluster.http.get(NOTES).json()["items"]
    return dict(found)


def test_its_status_says_where_the_cancellation_is(cluster: Cluster, note: dict[str, Any]) -> None:
    said = note["status"]["cancellation"]
    assert (said["number"], note["status"]["total"]) == ("CC-2026-000001", "0.80")
    pdf = cluster.http.get(said["documents"]["pdf"])
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    assert pdf.headers["content-disposition"] == 'inline; filename="CC-2026-000001.pdf"'


def test_the_command_line_saves_it_by_its_number_and_with_its_month(
    cluster: Cluster,
    note: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)

    def saved(*which: str) -> list[str]:
        words = ("invoices", "save", *which, "-n", ACME, "--to", str(tmp_path / which[0]), "--output", "json")
        code = app(words, exit_on_error=False, result_action="return_value")
        found = json.loads(capsys.readouterr().out)
        assert (code, found["failed"]) == (0, [])
        return [Path(one).name for one in found["files"]]

    assert saved("CC-2026-000001") == ["CC-2026-000001.pdf"]
    assert saved(note["metadata"]["name"]) == [f"{note['status']['number']}.pdf"]
    assert saved("--month", "2026-02", "--credit-notes") == [
        "CC-2026-000001.pdf",
        f"{note['status']['number']}.pdf",
        f"{note['status']['invoiceNumber']}.pdf",
    ]
