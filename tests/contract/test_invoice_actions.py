"""Void, write-off and credit notes over HTTP: who may, what they answer, what can be read then."""

from typing import Any

import pytest

from milo_billing.cli.commands import app
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from tests.contract.conftest import Cluster
from tests.contract.examples import ACME, EXAMPLES, IAM, manifest
from tests.contract.invoiced import stand_invoice

INVOICES = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/invoices"


@pytest.fixture
def invoice(cluster: Cluster, runtime: Runtime) -> str:
    """40.00 USD; the path of the invoice."""
    for needed in EXAMPLES["creditnotes"].needs:
        cluster.created(needed)
    return f"{INVOICES}/{stand_invoice(runtime)}"


def test_a_void_says_why_and_leaves_a_credit_note_to_read(cluster: Cluster, invoice: str) -> None:
    refused = cluster.http.post(f"{invoice}/void", json={})
    assert (refused.status_code, refused.json()["details"]["causes"][0]["field"]) == (422, "reason")
    done = cluster.http.post(f"{invoice}/void", json={"reason": "wrong addressee"})
    assert (done.status_code, done.json()["status"]["phase"]) == (200, "Void"), done.text
    (step,) = cluster.http.get(f"{invoice}/settlements").json()["items"]
    assert (step["kind"], step["amount"], step["phase"], step["reason"]) == (
        "Void",
        "40.00",
        "Void",
        "wrong addressee",
    )
    (note,) = cluster.http.get(INVOICES.replace("invoices", "creditnotes")).json()["items"]
    assert (note["status"]["total"], note["status"]["voids"]) == ("40.00", True)
    pdf = cluster.http.get(note["status"]["documents"]["pdf"])
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    again = cluster.http.post(f"{invoice}/void", json={"reason": "again"})
    assert (again.status_code, again.json()["reason"]) == (409, "Conflict")


def test_a_dry_run_takes_nothing_back(cluster: Cluster, invoice: str) -> None:
    note = EXAMPLES["creditnotes"].manifest
    assert cluster.create(note, dryRun="All").json()["status"]["total"] == "1.00"
    assert cluster.http.get(f"{invoice}/settlements").json()["items"] == []
    assert cluster.created(note)["status"]["number"].endswith("-000001")


def test_a_customer_may_read_what_is_taken_back_and_take_nothing_back(cluster: Cluster, invoice: str) -> None:
    program = manifest(IAM, "ServiceAccount", "owner", {}, namespace=ACME)
    cluster.created(program)
    spec: dict[str, Any] = {
        "roleRef": {"name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "owner", "namespace": ACME}],
        "resourceSelector": {"resourceRef": {"kind": "Organization", "name": "acme"}},
    }
    cluster.created(manifest(IAM, "PolicyBinding", "owner", spec))
    token = cluster.http.post(cluster.path(program) + "/token", json={}).json()["token"]
    customer = cluster.client(token)
    assert customer.get(f"{invoice}/settlements").status_code == 200
    for action in ("void", "writeOff"):
        assert customer.post(f"{invoice}/{action}", json={"reason": "for me"}).status_code == 403
    note = EXAMPLES["creditnotes"].manifest
    assert customer.post(cluster.path(note, name=False), json=note).status_code == 403


def test_the_command_line_credits_and_gives_up(
    cluster: Cluster, invoice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)
    name = invoice.rsplit("/", 1)[-1]
    where = ("-n", ACME)
    for command in (
        ("credit", name, *where, "--line", "1=10.00", "--reason", "an outage"),
        ("write-off", name, *where, "--reason", "insolvent"),
        ("settlements", name, *where),
    ):
        app(("invoices", *command), exit_on_error=False, result_action="return_value")
    shown = capsys.readouterr().out
    assert "over 10.00 USD: 10.00 USD less due" in shown
    assert "is Uncollectible; due: 0.00 USD" in shown
    assert "CreditNote" in shown and "insolvent" in shown


def test_what_an_invoice_came_to_since_is_shown_and_adjusted_by_staff(
    cluster: Cluster,
    runtime: Runtime,
    invoice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with runtime.databases.app.transaction(reach=EVERYWHERE) as tx:
        # the invoice of these tests is older than their price book
        tx.execute("update catalog.price_books set published_at = '2026-01-01'")
    shown = cluster.http.get(f"{invoice}/adjustments")
    assert (shown.status_code, shown.json()["items"], shown.json()["open"]["amount"]) == (200, [], "0.00")
    with runtime.databases.ingest.transaction(reach=EVERYWHERE) as tx:
        tx.execute("update usage.rollups set sum = sum / 2")
    (back,) = cluster.http.get(f"{invoice}/adjustments").json()["open"]["givenBack"]
    assert (back["kind"], back["amount"]) == ("Usage", "-20.00")
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)
    name = invoice.rsplit("/", 1)[-1]
    for command, said in (
        ("adjustments", "Still to be charged or given back: -20.00"),
        ("adjust", "gives back 20.00"),
        ("adjust", "Nothing has changed since"),
        ("adjustments", "Nothing has changed since."),
    ):
        with pytest.raises(SystemExit) as ended:
            app(["invoices", command, name, "-n", ACME])
        assert (ended.value.code, said in capsys.readouterr().out) == (0, True)
    (note,) = cluster.http.get(INVOICES.replace("invoices", "creditnotes")).json()["items"]
    assert (note["spec"]["lines"], note["status"]["total"]) == ([{"line": 1, "amount": "20.00"}], "20.00")


@pytest.mark.usefixtures("invoice")
def test_the_final_invoice_is_issued_by_staff_over_the_api_and_the_cli(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = cluster.http.post(INVOICES.replace("/invoices", "/billingaccounts/main/finalInvoice"))
    assert (answer.status_code, answer.json()) == (
        200,
        {"account": "main", "issued": False, "reason": "nothing to charge", "invoice": None},
    )
    monkeypatch.setenv("MILO_BILLING_SERVER", cluster.url)
    monkeypatch.setenv("MILO_BILLING_TOKEN", cluster.token)
    with pytest.raises(SystemExit) as ended:
        app(["invoices", "final", "--account", f"{ACME}/main"])
    assert (ended.value.code, "no final invoice is needed" in capsys.readouterr().out) == (0, True)
