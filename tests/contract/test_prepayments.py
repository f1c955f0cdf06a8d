"""Money paid before it is used, through the API: a commitment's prepayment from its sale to what is left; credit."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from milo_billing.app import wiring
from milo_billing.infra.database import EVERYWHERE
from milo_billing.infra.runtime import Runtime
from milo_billing.invoicing.jobs import runs
from milo_billing.invoicing.operations.office import Office
from tests.bank_files import IBAN, Told, camt053
from tests.contract.conftest import Cluster, prepare, serving_cluster
from tests.contract.examples import (
    ACCOUNT,
    ACME,
    BILLING,
    BINDING_OF_OLD,
    BOOK,
    ISSUER,
    METER,
    ORGANIZATION,
    PROJECT,
    SKU,
    Manifest,
    manifest,
)

LATER = datetime(2026, 4, 2, 12, tzinfo=UTC)
"""When February and March are over."""
PAID_INTO = {
    **ISSUER,
    "spec": {
        **ISSUER["spec"],
        "bankDetails": {"accountHolder": "Milo Cloud GmbH", "iban": IBAN, "bic": "NTSBDEB1"},
    },
}
PREPAID = manifest(
    BILLING,
    "Commitment",
    "prepaid",
    {
        "billingAccountRef": {"name": "main"},
        "startsOn": "2026-02-01",
        "termMonths": 2,
        "prepayment": {"amount": "50"},
    },
    namespace=ACME,
)
DEFERRED, RECEIVABLE = "Liabilities:DeferredRevenue:Prepayment", "Assets:Receivable"


@dataclass
class Calendar:
    """A clock that stands until the test moves it."""

    at: datetime

    def now(self) -> datetime:
        return self.at


class Customer:
    """The provider's API, and the work of its workers."""

    def __init__(self, cluster: Cluster, runtime: Runtime, calendar: Calendar) -> None:
        self.cluster, self._runtime, self.calendar = cluster, runtime, calendar

    def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = self.cluster.http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> dict[str, Any]:
        answer = self.cluster.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def use(self, day: str, requests: int) -> None:
        """Requests of web, rolled up as the gateway does."""
        with self._runtime.databases.ingest.transaction(reach=EVERYWHERE) as tx:
            tx.execute(
                "insert into usage.rollups (account, day, project, meter, dimensions, sum, count, min, max, last, "
                "last_at, last_id) select a.number, %s, p.number, m.number, 0, %s, 1, 0, 0, 0, %s, %s "
                "from accounts.accounts a, directory.projects p, catalog.meters m "
                "where a.name = 'main' and p.name = 'web' and m.meter_name = 'api.example.com/requests'",
                (day, requests, LATER, UUID(int=1)),
            )

    def invoiced(self, month: str) -> dict[str, Any]:
        """Run the month; its invoice."""
        run = self.post("/v1/invoicing/runs", {"month": month})
        engine = wiring.build_declarative(self._runtime).engine
        office = Office(engine, self._runtime.vault)
        runs.run_steps(office, self._runtime.databases.app, self._runtime.clock, id=UUID(run["id"]))
        (found,) = (
            one
            for one in self.get(f"/apis/{BILLING}/namespaces/{ACME}/invoices")["items"]
            if one["spec"]["period"]["start"].startswith(month)
        )
        return found

    def lines(self, invoice: dict[str, Any]) -> list[tuple[str, str]]:
        path = f"/apis/{BILLING}/namespaces/{ACME}/invoices/{invoice['metadata']['name']}/lines"
        return [(line["kind"], line["amount"]) for line in self.get(path)["items"]]

    def status(self, manifest: Manifest) -> dict[str, Any]:
        return self.get(self.cluster.path(manifest))["status"]

    def pay(self, invoice: dict[str, Any]) -> None:
        """The bank's statement says that its total came, with its number."""
        status = invoice["status"]
        came = Told(int(status["amountDue"].replace(".", "")), text=status["number"])
        content = camt053(came, currency="USD", on=LATER.date())
        answer = self.cluster.http.post("/v1/payments/statements", content=content)
        assert answer.is_success, answer.text

    def phase(self, invoice: dict[str, Any]) -> str:
        path = f"/apis/{BILLING}/namespaces/{ACME}/invoices/{invoice['metadata']['name']}"
        return self.get(path)["status"]["phase"]

    def balances(self) -> dict[str, str]:
        """The trial balance, without accounts that are zero; the books are right."""
        assert self.get("/v1/ledger/verify")["ok"]
        rows = self.get("/v1/ledger/trial-balance")["items"]
        return {row["account"]: row["balance"] for row in rows if row["balance"].strip("-0.")}


@pytest.fixture
def customer(runtime: Runtime) -> Iterator[Customer]:
    """An account that pays for web, in April."""
    calendar = Calendar(LATER)
    runtime = replace(runtime, clock=calendar)
    with serving_cluster(runtime, token=prepare(runtime)) as cluster:
        for needed in (ORGANIZATION, PROJECT, METER, SKU, BOOK, PAID_INTO, ACCOUNT, BINDING_OF_OLD):
            cluster.created(needed)
        yield Customer(cluster, runtime, calendar)


def test_a_prepayment_is_sold_invoiced_paid_and_drawn_down(customer: Customer) -> None:
    """40 of 50 are used in February and 5 in March: 5 are left over, and stay deferred."""
    customer.calendar.at = datetime(2026, 1, 20, tzinfo=UTC)
    customer.cluster.created(PREPAID)
    accepted = customer.post(f"{customer.cluster.path(PREPAID)}/accept", {})
    assert accepted["status"]["acceptance"]["acceptedBy"]
    customer.use("2026-02-07", 100_000_000)
    customer.use("2026-03-07", 12_500_000)
    customer.calendar.at = LATER

    february = customer.invoiced("2026-02")
    assert customer.lines(february) == [("Usage", "40.00"), ("Prepayment", "50.00"), ("DrawDown", "-40.00")]
    assert (february["status"]["total"], february["status"]["phase"]) == ("50.00", "Issued")
    assert customer.balances() == {RECEIVABLE: "50.00", "Income:Revenue:Usage": "-40.00", DEFERRED: "-10.00"}

    customer.pay(february)
    assert customer.phase(february) == "Paid"

    march = customer.invoiced("2026-03")
    assert customer.lines(march) == [("Usage", "5.00"), ("DrawDown", "-5.00")]
    assert (march["status"]["total"], march["status"]["phase"]) == ("0.00", "Paid")
    found = customer.balances()
    assert (found[DEFERRED], found["Income:Revenue:Usage"]) == ("-5.00", "-45.00")
    assert RECEIVABLE not in found


def test_credit_is_granted_used_and_told_of(customer: Customer) -> None:
    credit = manifest(
        BILLING,
        "CreditGrant",
        "top-up",
        {
            "billingAccountRef": {"name": "main"},
            "kind": "Prepaid",
            "amount": "60",
            "currencyCode": "USD",
            "receivedInto": "3000",
            "reason": "order 4711",
        },
        namespace=ACME,
    )
    assert customer.cluster.created(credit)["status"]["phase"] == "Active"
    customer.use("2026-02-07", 100_000_000)
    preview = customer.get(f"/v1/invoicing/preview?namespace={ACME}&account=main&month=2026-02")
    assert (preview["total"], preview["prepaidCredit"], preview["amountDue"]) == ("40.00", "40.00", "0.00")
    assert customer.invoiced("2026-02")["status"]["phase"] == "Paid"
    assert customer.status(credit)["remaining"] == "20.00"

    asked = f"?namespace={ACME}&account=main"
    balance = customer.get(f"/v1/invoicing/credits{asked}")
    assert (balance["total"], balance["moneyOnAccount"]) == ("20.00", "0.00")
    assert {one["kind"]: one["amount"] for one in balance["usable"]}["Prepaid"] == "20.00"
    history = customer.get(f"/v1/invoicing/credits/history{asked}&grant=top-up")["items"]
    assert [(one["kind"], one["amount"]) for one in history] == [("Used", "-40.00"), ("Granted", "60.00")]

    revoked = customer.post(f"{customer.cluster.path(credit)}/revoke", {"reason": "the order was cancelled"})
    assert (revoked["status"]["phase"], revoked["status"]["revoked"]) == ("Revoked", "20.00")
    assert customer.get(f"/v1/invoicing/credits{asked}")["moneyOnAccount"] == "20.00"
    gone = customer.cluster.http.delete(customer.cluster.path(credit))
    assert gone.status_code == 409
    assert "revoke what is left" in gone.json()["message"]


@pytest.mark.parametrize("query", ["", "?namespace=x", "?namespace=x&account=y&more=1"])
def test_what_is_no_question_about_credit(customer: Customer, query: str) -> None:
    assert customer.cluster.http.get(f"/v1/invoicing/credits{query}").status_code == 400
