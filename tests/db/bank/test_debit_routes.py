"""Direct debit over HTTP: a mandate, the file that is tried and made, and what is answered to nonsense."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from milo_billing.adapters.bank_files import read_refusals, write_debits
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.payments.routes.debits import routes
from tests.bank_files import PAYER
from tests.db.bank.bank_ground import BankGround
from tests.db.invoicing.ground import ACME
from tests.serving import client_of, serving

MANDATES, FILES = "/v1/payments/mandates", "/v1/payments/debit-files"
MANDATE = {
    "account": f"{ACME}/main",
    "holder": "Zoé",
    "iban": PAYER,
    "signedOn": "2026-10-01",
    "reference": "M-1",
}


@pytest.fixture
def http(bank: BankGround) -> Iterator[httpx.Client]:
    with bank.ground.databases.app.transaction(reach="*") as tx:
        # as if the profile had been declared with it; what a profile may hold is tested where it is declared
        tx.execute(
            "insert into invoicing.issuer_versions (digest, body) select sha256('collector'), "
            """jsonb_set(body, '{bankDetails,sepaCreditorId}', '"DE98ZZZ09999999999"') from invoicing.issuer_versions"""
        )
        tx.execute("update invoicing.issuers set version = sha256('collector')")
    clock = SimulatedClock(datetime(2026, 11, 30, 9, tzinfo=UTC))
    door = Door(bank.ground.databases.app, bank.ground.engine.authorizer, clock)
    application = build_application(routes(door, bank.ground.office, write_debits, read_refusals))
    with (
        serving(application) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def test_a_mandate_is_taken_down_and_what_is_due_collected(bank: BankGround, http: httpx.Client) -> None:
    _, (invoice,) = bank.customer("main", 25)
    made = http.post(MANDATES, json=MANDATE)
    assert (made.status_code, made.json()["ibanLast4"], PAYER in made.text) == (201, "2606", False)
    tried = http.post(FILES, params={"dryRun": "true"}, json={})
    assert (tried.status_code, tried.json()["total"], http.get(FILES).json()) == (200, "25.00", {"items": []})
    file = http.post(FILES, json={"collectOn": "2026-12-03"}).json()
    assert (file["collectOn"], file["debits"][0]["invoice"]) == ("2026-12-03", f"{ACME}/{invoice.name}")
    content = http.get(f"{FILES}/{file['messageId']}")
    assert content.headers["content-type"].startswith("application/xml")
    assert f"<EndToEndId>{invoice.number}-1</EndToEndId>" in content.text
    assert [one["messageId"] for one in http.get(FILES).json()["items"]] == [file["messageId"]]
    assert http.post(FILES, json={}).json()["debits"] == []
    revoked = http.post(f"{MANDATES}/M-1/revoke", json={"reason": "asked for"}).json()
    assert (revoked["state"], revoked["debits"]) == ("Revoked", 1)
    assert [one["state"] for one in http.get(MANDATES).json()["items"]] == ["Revoked"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iban": "FR1420041010050500013M02607"}, "check digits"),
        ({"signedOn": "2026-02-30"}, "not a day"),
        ({"signedOn": "2027-01-01"}, "still to come"),
        ({"holder": ""}, "holder is required"),
        ({"reference": "M 1"}, "without spaces"),
        ({"scheme": "COR1"}, "neither CORE nor B2B"),
        ({"account": "main"}, "namespace/name"),
        ({"account": f"{ACME}/none"}, "not found"),
        ({"colour": "red"}, "unknown field"),
    ],
)
def test_what_is_no_mandate_is_refused(
    bank: BankGround, http: httpx.Client, change: dict[str, str], message: str
) -> None:
    bank.customer("main")
    answer = http.post(MANDATES, json={**MANDATE, **change})
    assert (answer.status_code >= 400, message in answer.json()["message"]) == (True, True), answer.text
    assert http.get(f"{FILES}/none").status_code == 404
