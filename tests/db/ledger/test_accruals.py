"""A month's end: what was earned and is on no invoice of the month is an asset, and is none the day after."""

from datetime import date, datetime
from typing import Any

import httpx
import pytest

from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.engine.accruals import MonthEndAccruals
from milo_billing.ledger import reads
from milo_billing.ledger.types import UNBILLED, UnableToPost, revenue
from tests.db.invoicing.ground import ACME, Ground
from tests.db.ledger.books import DECEMBER, Books

OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
USAGE = revenue("Usage")


def accrue(ground: Ground, account: int, *, month: date = OCTOBER, now: datetime = DECEMBER) -> str:
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        return MonthEndAccruals().accrue(tx, entity="kestrel", month=month, account=account, now=now)


def balance(ground: Ground, account: Any, until: date) -> int:
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        return reads.balance(tx, account=account, currency="USD", until=until).minor


def test_usage_that_nobody_has_invoiced_is_accrued_and_released(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.spend(account, "2026-11-05", 7)  # of the next month
    assert accrue(ground, account.number) == "posted"
    assert balance(ground, UNBILLED, NOVEMBER) == 10_000
    assert balance(ground, USAGE, NOVEMBER) == -10_000
    assert balance(ground, UNBILLED, date(2026, 11, 2)) == 0
    assert balance(ground, USAGE, date(2026, 11, 2)) == 0


def test_an_invoice_of_the_month_that_was_issued_after_it_leaves_the_same_accrual(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)  # on 2 November
    assert accrue(ground, account.number) == "posted"
    assert balance(ground, UNBILLED, NOVEMBER) == 10_000
    # released on the 1st, invoiced on the 2nd: October's revenue stands once
    assert balance(ground, USAGE, date(2026, 11, 3)) == -10_000
    assert accrue(ground, account.number, month=NOVEMBER) == "nothing"


def test_an_accrual_is_posted_once_also_when_usage_has_come_since(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    accrue(ground, account.number)
    ground.spend(account, "2026-10-06", 5)
    assert accrue(ground, account.number) == "unchanged"
    assert balance(ground, UNBILLED, NOVEMBER) == 10_000


def test_what_stays_uninvoiced_is_accrued_again_at_the_next_months_end(ground: Ground) -> None:
    account = ground.declare_account(paymentTerms={"invoiceFrequency": "Quarterly"})
    ground.spend(account, "2026-10-05", 100)
    ground.spend(account, "2026-11-05", 50)
    accrue(ground, account.number)
    accrue(ground, account.number, month=NOVEMBER)
    assert balance(ground, UNBILLED, date(2026, 12, 1)) == 15_000
    assert balance(ground, UNBILLED, date(2026, 12, 2)) == 0


def test_a_rating_period_over_the_months_end_is_cut(ground: Ground) -> None:
    account = ground.declare_account(paymentTerms={"invoiceDayOfMonth": 15})
    ground.spend(account, "2026-10-20", 100)
    ground.spend(account, "2026-11-02", 50)
    assert accrue(ground, account.number) == "posted"
    assert balance(ground, UNBILLED, NOVEMBER) == 10_000


def test_a_shortfall_of_an_interval_that_runs_is_not_earned_yet(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[{"amount": "600.00", "currencyCode": "USD", "interval": "Quarterly"}])
    ground.spend(account, "2026-10-05", 100)
    assert accrue(ground, account.number) == "posted"
    assert balance(ground, UNBILLED, NOVEMBER) == 10_000


def test_an_account_without_usage_has_nothing_to_accrue(ground: Ground) -> None:
    assert accrue(ground, ground.declare_account().number) == "nothing"


def test_another_entity_accrues_nothing_that_it_would_not_invoice(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        outcome = MonthEndAccruals().accrue(
            tx, entity="subsidiary", month=OCTOBER, account=account.number, now=DECEMBER
        )
    assert outcome == "nothing"


def test_a_month_that_is_closed_takes_no_accrual(ground: Ground, books: Books, http: httpx.Client) -> None:
    http.post("/v1/ledger/closings", json={"entity": "kestrel", "month": "2026-10"})
    with pytest.raises(UnableToPost, match="closed until 2026-11-01"):
        accrue(ground, books.main.number)


def test_the_door_goes_over_all_accounts_and_can_be_asked_again(books: Books, http: httpx.Client) -> None:
    asked = {"entity": "kestrel", "month": "2026-10"}
    first = http.post("/v1/ledger/accruals", json=asked)
    assert first.status_code == 200, first.text
    assert first.json() == {"metadata": {}, "posted": 2, "unchanged": 0, "nothing": 0, "failed": []}
    assert http.post("/v1/ledger/accruals", json=asked).json()["unchanged"] == 2
    assert http.get("/v1/ledger/verify").json()["ok"]


def test_the_door_says_where_the_next_request_goes_on(
    books: Books, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milo_billing.ledger.routes.ACCRUED_AT_ONCE", 1)
    asked = {"entity": "kestrel", "month": "2026-10"}
    first = http.post("/v1/ledger/accruals", json=asked).json()
    assert first["metadata"] == {"continue": str(min(books.main.number, books.yen.number))}
    second = http.post("/v1/ledger/accruals", json={**asked, **first["metadata"]}).json()
    assert (second["metadata"], first["posted"] + second["posted"]) == ({}, 2)


def test_the_door_says_that_a_month_is_closed(books: Books, http: httpx.Client) -> None:
    http.post("/v1/ledger/closings", json={"entity": "kestrel", "month": "2026-10"})
    found = http.post("/v1/ledger/accruals", json={"entity": "kestrel", "month": "2026-10"})
    assert found.status_code == 409
    assert "closed" in found.json()["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"entity": "kestrel", "month": "2026-12"}, 409),
        ({"entity": "kestrel"}, 400),
        ({"entity": "kestrel", "month": "2026-10", "continue": "x"}, 400),
    ],
)
def test_a_wrong_request_is_refused(books: Books, http: httpx.Client, body: object, code: int) -> None:
    assert http.post("/v1/ledger/accruals", json=body).status_code == code


def test_the_asset_of_a_month_shows_in_its_trial_balance(books: Books, http: httpx.Client) -> None:
    http.post("/v1/ledger/accruals", json={"entity": "kestrel", "month": "2026-10"})
    found = http.get("/v1/ledger/trial-balance", params={"at": "2026-10-31"}).json()["items"]
    assert [(row["account"], row["currencyCode"], row["balance"]) for row in found] == [
        ("Assets:Unbilled", "JPY", "500"),
        ("Assets:Unbilled", "USD", "100.00"),
        ("Income:Revenue:Usage", "JPY", "-500"),
        ("Income:Revenue:Usage", "USD", "-100.00"),
    ]
    assert http.get("/v1/ledger/entries", params={"account": f"{ACME}/main"}).status_code == 200
