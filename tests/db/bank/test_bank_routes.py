"""The bank side over HTTP: a file in, the worklist out, decisions; and what the command line prints of it."""

from collections.abc import Iterator

import httpx
import pytest

from milo_billing.adapters.bank_files import read_statements
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.clock import SimulatedClock
from milo_billing.payments.routes.bank import routes
from tests.bank_files import IBAN, Told, camt053
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.invoicing.ground import ACME
from tests.serving import client_of, serving

STATEMENTS = "/v1/payments/statements"
WORKLIST = "/v1/payments/worklist"


@pytest.fixture
def http(bank: BankGround) -> Iterator[httpx.Client]:
    ground = bank.ground
    door = Door(ground.databases.app, ground.engine.authorizer, SimulatedClock(NOW))
    application = build_application(routes(door, ground.office, read_statements))
    with (
        serving(application) as url,
        client_of(url, token="ann") as client,
    ):
        yield client


def test_a_file_is_tried_then_brought_in_and_what_waits_is_decided(
    bank: BankGround, http: httpx.Client
) -> None:
    _, (invoice,) = bank.customer("main", 25)
    content = camt053(
        Told(1000, text=invoice.number, bank_reference="B1"),
        Told(1500, text="the rest", name="Acme Robotics", bank_reference="B2"),
        Told(700, text="a loan", bank_reference="B3"),
        opening=5000,
    )
    tried = http.post(STATEMENTS, params={"dryRun": "true"}, content=content).json()
    assert (tried["dryRun"], tried["statements"][0]["entries"]["Applied"]) == (True, 1)
    assert bank.stands(invoice) == ("Issued", 2500)
    assert http.get(STATEMENTS).json() == {"items": []}

    (done,) = http.post(STATEMENTS, content=content).json()["statements"]
    assert (done["bankAccount"], done["opening"], done["closing"]) == (IBAN, "50.00", "82.00")
    assert {state: count for state, count in done["entries"].items() if count} == {"Applied": 1, "Waiting": 2}
    assert http.post(STATEMENTS, content=content).json()["statements"][0]["again"] is True
    assert [one["uid"] for one in http.get(STATEMENTS).json()["items"]] == [done["uid"]]

    rest, loan = http.get(WORKLIST).json()["items"]
    assert (rest["amount"], rest["payer"], rest["reason"]) == ("15.00", "Acme Robotics", "UnknownReference")
    (candidate,) = rest["candidates"]
    assert (candidate["invoice"], candidate["open"]) == (f"{ACME}/{invoice.name}", "15.00")
    body = {"invoices": [{"invoice": candidate["invoice"]}]}
    assert http.post(f"{WORKLIST}/{rest['uid']}/assign", json=body).json()["state"] == "Applied"
    assert bank.stands(invoice) == ("Paid", 0)
    again = http.post(f"{WORKLIST}/{rest['uid']}/assign", json=body)
    assert (again.status_code, "already" in again.json()["message"]) == (409, True)
    ignored = http.post(f"{WORKLIST}/{loan['uid']}/ignore", json={"reason": "a loan"}).json()
    assert (ignored["state"], ignored["detail"]) == ("Ignored", "a loan")
    assert http.get(WORKLIST).json() == {"items": []}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (STATEMENTS, b"hello", 400, "neither camt.053"),
        (STATEMENTS, camt053(Told(100), closing=7), 400, "does not add up"),
        (f"{STATEMENTS}?dryRun=maybe", b"", 400, "neither true nor false"),
        (f"{WORKLIST}/x/ignore", b'{"reason": "r"}', 400, "not the uid"),
        (f"{WORKLIST}/0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11/ignore", b'{"reason": "r"}', 404, "not found"),
        (f"{WORKLIST}/0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11/ignore", b"{}", 400, "reason is required"),
        (f"{WORKLIST}/0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11/assign", b"{}", 400, "say which invoices"),
        (
            f"{WORKLIST}/0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11/assign",
            b'{"invoices": [{"invoice": "a"}]}',
            400,
            "namespace/name",
        ),
        (f"{WORKLIST}/0b0f6b3e-7c1e-4f55-9a52-0d0c9f1f9d11/assign", b'{"sum": 1}', 400, "unknown field"),
    ],
)
def test_what_makes_no_sense_is_answered_with_what_to_do(
    http: httpx.Client, path: str, body: bytes, status: int, message: str
) -> None:
    answer = http.post(path, content=body)
    assert (answer.status_code, message in answer.json()["message"]) == (status, True), answer.text
