"""An invoice before it is one: what stands in it at any moment, whose it is, and that its end is the invoice."""

from datetime import UTC, datetime
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.infra.database import forbid_writes
from milo_billing.invoicing.operations import previewing
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.previews import draft_lines, net_shares, preview_body
from milo_billing.invoicing.types.invoices import Preview
from milo_billing.kernel.errors import BadRequest
from tests.db.invoicing.ground import NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, notes, spend_late

MID = datetime(2026, 10, 15, 12, tzinfo=UTC)


def previewed(
    ground: Ground, account: Account, *, month: tuple[int, int] | None = None, now: datetime = MID
) -> Preview:
    def read(tx: Any) -> Preview:
        forbid_writes(tx)
        return previewing.preview(tx, office=ground.office, account=account, month=month, now=now)

    return ground.reading(read)


def promised(ground: Ground) -> Account:
    """Two projects, tiers, a commitment with a percentage and a minimum, and both scopes of Discounts."""
    account = ground.declare_account()
    ground.promise(
        minimumSpends=[{"amount": "500", "currencyCode": "USD", "interval": "Monthly"}],
        skuDiscounts=[{"percentage": "20"}],
    )
    ground.discount("fixed", scope="Line", amount="1", currencyCode="USD")
    ground.discount("all", scope="Invoice", percentage="10")
    ground.spend(account, "2026-10-05", 100)
    ground.spend(account, "2026-10-06", 50, project="data")
    ground.use(account, ("2026-10-07", "web", "requests", 1500), ("2026-10-07", "data", "requests", 333))
    return account


def test_the_running_period_is_shown_with_what_is_missing_to_a_promise(ground: Ground) -> None:
    account = promised(ground)
    found = previewed(ground, account)
    body = preview_body(found, account=account, by="sku", at=MID)
    assert (body["firstDay"], body["endDay"], body["provisional"]) == ("2026-10-01", "2026-11-01", True)
    assert [line["kind"] for line in body["lines"]] == ["Usage", "Usage", "Shortfall"]
    assert body["total"] == "500.00"


@pytest.mark.parametrize("by", ["sku", "project"])
def test_shares_sum_to_the_total_by_sku_and_by_project(ground: Ground, by: Any) -> None:
    account = promised(ground)
    found = previewed(ground, account)
    assert sum(net_shares(found).values()) == found.draft.total_minor
    groups = preview_body(found, account=account, by=by, at=MID)["shares"]["items"]
    inner = "projects" if by == "sku" else "skus"
    amounts = [round(float(group["amount"]) * 100) for group in groups]
    assert sum(amounts) == found.draft.total_minor
    for group, minor in zip(groups, amounts, strict=True):
        assert sum(round(float(cell["amount"]) * 100) for cell in group[inner]) == minor


def test_at_the_end_of_its_period_the_preview_is_the_invoice(ground: Ground) -> None:
    account = promised(ground)
    found = previewed(ground, account, month=(2026, 10), now=NOVEMBER)
    assert (found.closed, found.invoices) == (True, ())
    invoice = ground.issued(account)
    issued = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
    assert draft_lines(found) == issued
    draft = found.draft
    assert (draft.subtotal_minor, draft.discounts_minor, draft.total_minor, draft.period) == (
        invoice.subtotal_minor,
        invoice.discounts_minor,
        invoice.total_minor,
        invoice.period,
    )


def test_a_period_that_was_invoiced_is_shown_as_it_would_be_now(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    invoice = ground.issued(account)
    ground.spend(account, "2026-10-20", 1)
    found = previewed(ground, account, month=(2026, 10), now=NOVEMBER)
    assert (found.invoices, invoice.total_minor, found.draft.total_minor) == ((invoice,), 10_000, 10_100)


def test_what_has_no_price_is_shown_and_refuses_nothing(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, ("2026-10-05", "web", "bytes", 7))
    ground.spend(account, "2026-10-05", 10)
    body = preview_body(previewed(ground, account), account=account, by="sku", at=MID)
    assert body["total"] == "10.00"
    (left,) = body["unpriced"]["usage"]
    assert (left["meterName"], left["project"], left["sum"]) == ("example.com/bytes", "web", "7")


def test_a_quarterly_invoice_is_shown_up_to_the_month_that_runs(ground: Ground) -> None:
    account = ground.declare_account(paymentTerms={"invoiceFrequency": "Quarterly"})
    ground.spend(account, "2026-10-05", 10)
    ground.spend(account, "2026-11-01", 20)
    for month in (None, (2026, 10), (2026, 12)):
        found = previewed(ground, account, month=month, now=NOVEMBER)
        assert (len(found.periods), found.draft.total_minor, found.closed) == (2, 3_000, False)
    with pytest.raises(BadRequest, match="has not begun"):
        previewed(ground, account, month=(2027, 1), now=NOVEMBER)


def test_a_line_in_another_currency_says_at_which_rate(ground: Ground) -> None:
    ground.declare(
        "pricebooks",
        "default",
        {
            "bookName": "default",
            "effectiveFrom": "2026-01-01",
            "currencyCode": "EUR",
            "phase": "Published",
            "isDefault": True,
            "prices": [{"skuRef": {"name": "tokens"}, "model": "PerUnit", "unitPrice": "2"}],
        },
    )
    account = ground.declare_account(currencyCode="GBP")
    with ground.databases.app.transaction(reach="*") as tx:
        tx.execute(
            "insert into pricing.exchange_rates (source, day, currency, rate, imported_at) "
            "values ('ECB', '2026-10-14', 'GBP', 0.8, now())"
        )
    ground.use(account, ("2026-10-05", "web", "tokens", 10_000_000))
    body = preview_body(previewed(ground, account), account=account, by="sku", at=MID)
    assert body["total"] == "16.00"
    (rate,) = body["rates"]
    assert (rate["currencyCode"], rate["rate"], rate["day"], rate["provisional"]) == (
        "EUR",
        "0.8",
        "2026-10-14",
        True,
    )


def test_what_waits_of_earlier_invoices_is_in_the_preview_of_the_next_one(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    found = previewed(ground, account, now=datetime(2026, 11, 15, tzinfo=UTC))
    body = preview_body(found, account=account, by="project", at=DECEMBER)
    assert (body["provisional"], body["total"]) == (True, "70.00")
    assert [(line["kind"], line["amount"]) for line in body["lines"]] == [
        ("Usage", "50.00"),
        ("Adjustment", "20.00"),
    ]
    assert body["shares"]["items"] == [
        {"project": "web", "amount": "70.00", "skus": [{"sku": "tokens", "amount": "70.00"}]}
    ]
    spend_late(ground, account, "2026-10-30", -30)
    body = preview_body(
        previewed(ground, account, month=(2026, 11), now=DECEMBER), account=account, by="sku", at=MID
    )
    assert (body["total"], body["givenBack"]) == ("50.00", [{"invoice": october.number, "amount": "10.00"}])
    assert ground.issued(account, month=11, now=DECEMBER).total_minor == 5_000
    assert notes(ground) == [(october.number, 1_000)]
