"""Invoicing over HTTP: a run is streamed an account at a time, and one account's trouble is its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.adapters.typst_documents import TypstDocuments
from milo_billing.app.preview_endpoints import PREVIEWS
from milo_billing.cli.invoices import write_lines
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.invoicing.jobs.runs import run_steps
from milo_billing.invoicing.routes import routes
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.serving import client_of, serving

TOKENS = ("2026-10-01", "web", "tokens", 10_000_000)
NOBODYS = "0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11"
INVOICES = f"/apis/billing.miloapis.com/v1alpha1/namespaces/{ACME}/invoices"


@pytest.fixture
def http(ground: Ground, tmp_path: Path) -> Iterator[httpx.Client]:
    door = Door(ground.databases.app, ground.engine.authorizer, SimulatedClock(NOVEMBER))
    application = build_application(
        routes(door, ground.office, TypstDocuments(), FolderBlobs(tmp_path / "archive"))
    )
    with (
        serving(application) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def opened(http: httpx.Client, **body: object) -> UUID:
    answer = http.post("/v1/invoicing/runs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/invoicing/runs/{answer.json()['id']}"
    assert answer.json()["state"] == "running"
    return UUID(answer.json()["id"])


def run(ground: Ground, http: httpx.Client, **body: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What became of the accounts of a run that a worker went over, and the run."""
    id = opened(http, **body)
    run_steps(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), id=id)
    accounts = http.get(f"/v1/invoicing/runs/{id}/accounts").json()["items"]
    return accounts, http.get(f"/v1/invoicing/runs/{id}").json()


COUNTS = ("issued", "unchanged", "skipped", "failed")


def counts(run: dict[str, Any]) -> tuple[int, ...]:
    assert (run["state"], run["done"]) == ("finished", run["total"])
    return tuple(run[state] for state in COUNTS)


def test_a_run_goes_over_every_account_and_says_what_became_of_it(ground: Ground, http: httpx.Client) -> None:
    paying, unpriced = ground.declare_account("paying"), ground.declare_account("unpriced")
    ground.declare_account("idle")
    ground.use(paying, TOKENS)
    ground.use(unpriced, TOKENS, ("2026-10-01", "web", "bytes", 1))
    (idle, paid, failed), totals = run(ground, http, month="2026-10")
    assert (idle["account"], idle["state"], idle["reason"]) == (
        f"{ACME}/idle",
        "skipped",
        "nothing to charge",
    )
    assert paid == {
        "account": f"{ACME}/paying",
        "invoice": "kc-2026-000001",
        "number": "KC-2026-000001",
        "total": "25.00",
        "currency": "USD",
        "state": "issued",
        "reason": None,
        "invoicedWith": None,
    }
    assert failed["state"] == "failed"
    assert "usage of example.com/bytes has no price" in str(failed["reason"])
    assert counts(totals) == (1, 0, 1, 1)


def test_running_again_changes_nothing(ground: Ground, http: httpx.Client) -> None:
    ground.use(ground.declare_account(), TOKENS)
    first, _ = run(ground, http, month="2026-10")
    again, totals = run(ground, http, month="2026-10", accounts=[f"{ACME}/main"])
    assert again == [{**first[0], "state": "unchanged"}]
    assert counts(totals) == (0, 1, 0, 0)


def test_a_deleted_account_with_usage_that_was_not_invoiced_does_not_go_unnoticed(
    ground: Ground, http: httpx.Client
) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    ground.read("update accounts.accounts set deleted_at = %s returning uid", NOVEMBER)
    (row,), totals = run(ground, http, month="2026-10")
    assert "was deleted before 25.00 USD of usage was invoiced" in str(row["reason"])
    assert totals["failed"] == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "month is required"),
        (b'{"month": "2026-13"}', "is not a month"),
        (b'{"month": "2026-10", "dry": true}', "unknown field 'dry'"),
        (b'{"month": "2026-10", "accounts": ["main"]}', "accounts[0] must be namespace/name"),
    ],
)
def test_a_run_that_cannot_be_read_says_what_is_wrong(http: httpx.Client, body: bytes, message: str) -> None:
    answer = http.post("/v1/invoicing/runs", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_a_run_of_an_account_that_does_not_exist_is_not_found(http: httpx.Client) -> None:
    answer = http.post("/v1/invoicing/runs", json={"month": "2026-10", "accounts": [f"{ACME}/nobody"]})
    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


def test_a_run_says_how_far_it_is_and_its_accounts_are_paged(ground: Ground, http: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        ground.declare_account(name)
    id = opened(http, month="2026-10")
    waiting = http.get(f"/v1/invoicing/runs/{id}").json()
    assert (waiting["done"], waiting["total"], waiting["state"]) == (0, 3, "running")
    run_steps(ground.office, ground.databases.app, SimulatedClock(NOVEMBER), id=id)
    path = f"/v1/invoicing/runs/{id}/accounts"
    first = http.get(path, params={"limit": 2, "state": "skipped"}).json()
    rest = http.get(path, params=first["metadata"]).json()
    assert [row["account"] for row in first["items"] + rest["items"]] == [f"{ACME}/{name}" for name in "abc"]
    assert http.get(path, params={"state": "failed"}).json() == {"metadata": {}, "items": []}
    assert [one["id"] for one in http.get("/v1/invoicing/runs").json()["items"]] == [str(id)]


@pytest.mark.parametrize(
    ("path", "code"), [("no-uuid", 400), (NOBODYS, 404), (f"{NOBODYS}/accounts?state=waiting", 400)]
)
def test_a_run_that_there_is_not(http: httpx.Client, path: str, code: int) -> None:
    assert http.get(f"/v1/invoicing/runs/{path}").status_code == code


def test_lines_are_paged(ground: Ground, http: httpx.Client) -> None:
    ground.use(ground.declare_account(), TOKENS, ("2026-10-05", "web", "requests", 10))
    run(ground, http, month="2026-10")
    first = http.get(f"{INVOICES}/kc-2026-000001/lines", params={"limit": 1}).json()
    rest = http.get(f"{INVOICES}/kc-2026-000001/lines", params=first["metadata"]).json()
    assert rest["metadata"] == {}
    (requests,), (tokens,) = first["items"], rest["items"]
    assert (requests["sku"], requests["amount"]) == ("requests", "1.00")
    assert (tokens["quantity"], tokens["unitPrice"], tokens["amount"]) == ("10", "2.5", "25.00")
    assert tokens["projects"] == [{"project": "web", "quantity": "10", "amount": "25.00"}]


def test_lines_say_what_was_promised_and_who_gave_what(
    ground: Ground, http: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    ground.use(ground.declare_account(), TOKENS)
    ground.promise(
        minimumSpends=[{"amount": "100", "currencyCode": "USD", "interval": "Monthly"}],
        skuDiscounts=[{"percentage": "20"}],
    )
    ground.discount("launch", scope="Invoice", amount="5", currencyCode="USD", displayName="Launch offer")
    (row,), _ = run(ground, http, month="2026-10")
    assert row["total"] == "100.00"
    tokens, missing = http.get(f"{INVOICES}/{row['invoice']}/lines").json()["items"]
    assert (tokens["kind"], tokens["amount"], tokens["net"]) == ("Usage", "20.00", "15.00")
    assert [(one["scope"], one["givenBy"]["kind"], one["amount"]) for one in tokens["discounts"]] == [
        ("Line", "Commitment", "-5.00"),
        ("Invoice", "Discount", "-5.00"),
    ]
    assert (missing["kind"], missing["sku"], missing["priceBook"], missing["amount"]) == (
        "Shortfall",
        None,
        None,
        "85.00",
    )
    assert [(part["kind"], part["amount"]) for part in missing["parts"]] == [
        ("Committed", "100.00"),
        ("Spent", "-15.00"),
    ]
    write_lines([tokens, missing])
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "LINE KIND DESCRIPTION QUANTITY UNIT UNIT PRICE AMOUNT",
        "1 Usage Tokens 10 10*6.{token} 2.5 20.00",
        "2 Shortfall yearly 85.00",
        "",
        "LINE DISCOUNT OF OFF PERCENTAGE AMOUNT",
        "1 yearly Commitment yearly the line 20 -5.00",
        "1 Launch offer Discount launch the invoice -5.00",
        "What is off the line is inside the line's amount already.",
    ]


def test_the_pdf_is_served_with_a_tag_of_its_bytes(ground: Ground, http: httpx.Client) -> None:
    ground.use(ground.declare_account(), TOKENS)
    run(ground, http, month="2026-10")
    first, again = (http.get(f"{INVOICES}/kc-2026-000001/pdf") for _ in range(2))
    assert first.headers["content-type"] == "application/pdf"
    assert first.content.startswith(b"%PDF-1.7")
    assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])


def test_an_invoice_that_does_not_exist_is_not_found(http: httpx.Client) -> None:
    for below in ("lines", "pdf"):
        answer = http.get(f"{INVOICES}/nothing/{below}")
        assert answer.status_code == 404
        assert answer.json()["message"] == 'invoices.billing.miloapis.com "nothing" not found'


def test_a_preview_and_an_explanation_are_answered_in_the_form_that_the_document_says(
    ground: Ground, http: httpx.Client
) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    asked = {"namespace": ACME, "account": "main", "month": "2026-10", "by": "project"}
    forms = {one.id: set(one.answer["required"]) for one in PREVIEWS}
    found = http.get("/v1/invoicing/preview", params=asked).json()
    assert (set(found), found["total"]) == (forms["previewInvoice"], "25.00")
    for changed, code in (
        ({"by": "day"}, 400),
        ({"month": "soon"}, 400),
        ({"account": ""}, 400),
        ({"colour": "red"}, 400),
        ({"account": "none"}, 404),
    ):
        assert http.get("/v1/invoicing/preview", params={**asked, **changed}).status_code == code
    invoice = ground.issued(account)
    explained = http.get(f"{INVOICES}/{invoice.name}/lines/1/explanation").json()
    assert (set(explained), explained["recomputed"]) == (forms["explainInvoiceLine"], "same")
    assert http.get(f"{INVOICES}/{invoice.name}/lines/2/explanation").status_code == 404
