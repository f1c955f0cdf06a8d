"""What is sold once stands on the invoice of the period that holds its day, at the price of that day."""

from pathlib import Path
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.invoicing.operations.explaining import list_line_events
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.requests import EventsRequest
from milo_billing.invoicing.types.errors import LineNotFound, UnableToIssue
from milo_billing.invoicing.types.invoices import InvoiceLine
from milo_billing.kernel.errors import Invalid
from tests.db.invoicing.ground import ACME, NOVEMBER, PRICES, Ground
from tests.db.invoicing.test_other_books import bring_rates

SETUP: dict[str, Any] = {"skuRef": {"name": "setup"}, "model": "PerUnit", "unitPrice": "80"}


@pytest.fixture
def sold(ground: Ground) -> Ground:
    """A provider who also sells set-ups, by the hour."""
    ground.declare("skus", "setup", {"chargeType": "OneTime", "pricingUnit": "h", "displayName": "Set-up"})
    return ground


def publish(ground: Ground, name: str, since: str, *prices: dict[str, Any], **spec: Any) -> None:
    wanted = {"effectiveFrom": since, "currencyCode": "USD", "phase": "Published", "prices": list(prices)}
    ground.declare("pricebooks", f"{name}-{since}", {"bookName": name, **wanted, **spec})


def charge(ground: Ground, name: str, day: str, quantity: str, **spec: Any) -> None:
    wanted = {"billingAccountRef": {"name": "main"}, "skuRef": {"name": "setup"}, "date": day}
    ground.declare("charges", name, {**wanted, "quantity": quantity, **spec}, namespace=ACME)


def lines_of(ground: Ground, account: Account) -> tuple[InvoiceLine, ...]:
    invoice = ground.issued(account)
    lines = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))
    assert invoice.subtotal_minor == sum(line.amount_minor for line in lines)
    return tuple(lines)


def test_charges_stand_beside_usage_on_the_invoice_that_holds_their_day(sold: Ground) -> None:
    publish(sold, "list-usd", "2026-02-01", *PRICES, SETUP)
    publish(sold, "list-usd", "2026-10-20", *PRICES, {**SETUP, "unitPrice": "100"})
    account = sold.declare_account()
    sold.use(account, ("2026-10-01", "web", "tokens", 10_000_000))
    charge(sold, "moving-in", "2026-10-19", "2.5", description="Moving in")
    charge(sold, "more", "2026-10-20", "1")
    charge(sold, "later", "2026-11-01", "1")
    shown = [(line.description, str(line.quantity), line.amount_minor) for line in lines_of(sold, account)]
    assert shown == [("Moving in", "2.5", 20_000), ("Set-up", "1", 10_000), ("Tokens", "10", 2_500)]
    later = sold.issued(account, month=11, now=NOVEMBER.replace(month=12))
    assert later.total_minor == 10_000


def test_a_charge_alone_is_invoiced_and_has_no_events(sold: Ground, tmp_path: Path) -> None:
    publish(sold, "list-usd", "2026-02-01", *PRICES, SETUP)
    account = sold.declare_account()
    charge(sold, "moving-in", "2026-10-31", "0.01")
    invoice = sold.issued(account)
    assert invoice.total_minor == 80
    asked, blobs = EventsRequest(after=None, limit=10, later=False), FolderBlobs(tmp_path)
    with pytest.raises(LineNotFound, match="charges for no usage"):
        sold.reading(
            lambda tx: list_line_events(tx, invoice=invoice, line=1, asked=asked, blobs=blobs, now=NOVEMBER)
        )


def test_a_charge_in_another_currency_is_converted_once(sold: Ground) -> None:
    publish(sold, "list-usd", "2026-02-01", *PRICES, SETUP, isDefault=True)
    bring_rates(sold)
    account = sold.declare_account(currencyCode="CHF")
    charge(sold, "moving-in", "2026-10-03", "0.333")
    (line,) = lines_of(sold, account)
    assert line.amount_minor == 2_131  # 26.64 USD at 0.8, rounded once
    assert line.conversion is not None and line.conversion.amount_minor == 2_664


def test_what_is_sold_without_a_price_is_not_left_out(sold: Ground) -> None:
    account = sold.declare_account()
    charge(sold, "moving-in", "2026-10-19", "1")
    with pytest.raises(
        UnableToIssue, match="no price for setup from 2026-10-19 on, which a Charge or an Entitlement has"
    ):
        sold.issue(account)


def test_what_was_invoiced_is_no_longer_changed(sold: Ground) -> None:
    publish(sold, "list-usd", "2026-02-01", *PRICES, SETUP)
    account = sold.declare_account()
    charge(sold, "moving-in", "2026-10-19", "1")
    sold.issued(account)
    with pytest.raises(Invalid, match="invoiced"):
        charge(sold, "forgotten", "2026-10-20", "1")
