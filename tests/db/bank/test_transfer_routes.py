"""Money that goes back, over HTTP: asked for, the file tried, made and fetched; and what nonsense is answered."""

from collections.abc import Iterator

import httpx
import pytest

from milo_billing.adapters.bank_files import write_transfers
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.payments.routes.transfers import routes
from tests.bank_files import PAYER, Told, camt053
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.invoicing.ground import ACME
from tests.serving import client_of, serving

TRANSFERS, FILES = "/v1/payments/transfers", "/v1/payments/transfer-files"
WANTED = {"account": f"{ACME}/main", "reason": "paid twice"}


@pytest.fixture
def http(bank: BankGround) -> Iterator[httpx.Client]:
    door = Door(bank.ground.databases.app, bank.ground.engine.authorizer, SimulatedClock(NOW))
    application = build_application(routes(door, bank.ground.office, write_transfers))
    with serving(application) as url, client_of(url, token="ann") as client:
        yield client


def test_money_is_asked_for_and_the_file_fetched(bank: BankGround, http: httpx.Client) -> None:
    _, (invoice,) = bank.customer("main", 15)
    bank.receive(camt053(Told(2000, text=invoice.number, name="Zoé", iban=PAYER, bank_reference="B1")))
    made = http.post(TRANSFERS, json={**WANTED, "amount": "2.00"})
    assert (made.status_code, made.json()["ibanLast4"], PAYER in made.text) == (201, PAYER[-4:], False)
    over = http.post(TRANSFERS, json={**WANTED, "amount": "3.01"})
    assert (over.status_code, "3.00 EUR on account" in over.json()["message"]) == (409, True)
    gone = http.post(f"{TRANSFERS}/{made.json()['endToEndId']}/cancel", json={"reason": "a mistake"})
    assert [gone.json()[name] for name in ("state", "answer", "answeredBy")] == [
        "Cancelled",
        "a mistake",
        "ann",
    ]
    assert made.json()["answeredBy"] == ""
    assert http.post(TRANSFERS, json=WANTED).json()["amount"] == "5.00"
    tried = http.post(FILES, params={"dryRun": "true"}, json={})
    assert (tried.status_code, tried.json()["total"], http.get(FILES).json()) == (200, "5.00", {"items": []})
    late = http.post(FILES, json={"executeOn": "2026-11-20"})
    assert (late.status_code, "2026-11-23 is the first" in late.json()["message"]) == (409, True)
    file = http.post(FILES, json={}).json()  # a Saturday: banks pay on Monday
    assert (file["executeOn"], [one["amount"] for one in file["transfers"]]) == ("2026-11-23", ["5.00"])
    content = http.get(f"{FILES}/{file['messageId']}")
    assert content.headers["content-type"].startswith("application/xml")
    assert f"<IBAN>{PAYER}</IBAN>" in content.text
    assert [one["messageId"] for one in http.get(FILES).json()["items"]] == [file["messageId"]]
    (sent,) = [one for one in http.get(TRANSFERS).json()["items"] if one["state"] == "Sent"]
    assert (sent["issuer"], file["issuer"], sent["executeOn"]) == ("kestrel", "kestrel", "2026-11-23")
    early = http.post(f"{TRANSFERS}/{sent['endToEndId']}/not-executed", json={"reason": "lost"})
    assert (early.status_code, "wait until that day is over" in early.json()["message"]) == (409, True)
    listed = http.get(TRANSFERS).json()["items"]
    assert sorted(one["state"] for one in listed) == ["Cancelled", "Sent"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iban": "FR1420041010050500013M02607", "holder": "Zoé"}, "check digits"),
        ({"iban": PAYER}, "iban and holder go together"),
        ({"holder": "Zoé"}, "iban and holder go together"),
        ({"amount": "0.00"}, "above zero"),
        ({"amount": "1.001"}, "above zero"),
        ({"amount": 5}, "above zero"),
        ({"reason": " "}, "reason is required"),
        ({"account": "main"}, "namespace/name"),
        ({"account": f"{ACME}/none"}, "not found"),
        ({"bic": "x"}, "not a BIC"),
        ({"colour": "red"}, "unknown field"),
        ({"issuer": 5}, "issuer must be a text"),
        ({}, "nothing"),
    ],
)
def test_what_cannot_go_back_is_refused(
    bank: BankGround, http: httpx.Client, change: dict[str, str], message: str
) -> None:
    bank.customer("main")
    answer = http.post(TRANSFERS, json={**WANTED, **change})
    assert (answer.status_code >= 400, message in answer.json()["message"]) == (True, True), answer.text
    assert http.get(f"{FILES}/none").status_code == 404
    assert http.post(f"{TRANSFERS}/none/cancel", json={"reason": "a mistake"}).status_code == 404
    assert http.post(f"{TRANSFERS}/none/not-executed", json={"reason": "lost"}).status_code == 404
    assert http.post(FILES, json={"executeOn": "2026-02-30"}).status_code == 400
    assert http.post(FILES, json={"issuer": "none"}).status_code == 409
