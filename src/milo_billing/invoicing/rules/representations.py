"""What the endpoints answer: lines, and one row for each account of a run. Decimals are strings."""

from decimal import Decimal
from typing import Any, Final, assert_never

from milo_billing.invoicing.rules.conversions import conversion_body
from milo_billing.invoicing.types import (
    Invoice,
    InvoiceLine,
    Issued,
    IssueOutcome,
    LineDiscount,
    LineShare,
    Part,
    Skipped,
    Unchanged,
)
from milo_billing.kernel.money import minor_to_decimal

STATES: Final = ("issued", "unchanged", "skipped", "failed")


def outcome_row(account: str, outcome: IssueOutcome) -> dict[str, Any]:
    """One account of a run; `account` is `namespace/name`."""
    match outcome:
        case Issued(invoice):
            return _invoice_row(account, invoice, state="issued")
        case Unchanged(invoice):
            return _invoice_row(account, invoice, state="unchanged")
        case Skipped(reason):
            return _bare_row(account, state="skipped", reason=reason)
        case _:
            assert_never(outcome)


def failure_row(account: str, *, reason: str) -> dict[str, Any]:
    """An account whose invoice could not be issued; the others go on."""
    return _bare_row(account, state="failed", reason=reason)


def line_body(line: InvoiceLine, *, currency: str) -> dict[str, Any]:
    """One line as `…/lines` gives it; `unitPrice` only where the line has a single one."""
    prices = {part.unit_price for part in line.parts if part.kind == "Usage"}
    price = prices.pop() if len(prices) == 1 else None
    return {
        "line": line.line,
        "kind": line.kind,
        "sku": line.sku,
        "description": line.description,
        "service": line.service,
        "invoiceGroup": line.invoice_group,
        "taxCategory": line.tax_category,
        "priceBook": _book_body(line),
        "commitment": None if line.commitment is None else str(line.commitment),
        "firstDay": line.first_day.isoformat(),
        "endDay": line.end_day.isoformat(),
        "quantity": _plain(line.quantity),
        "includedQuantity": _plain(line.included),
        "pricingUnit": line.pricing_unit,
        "unitPrice": None if price is None else _plain(price),
        "amount": str(minor_to_decimal(line.amount_minor, currency)),
        "discounts": [_discount_body(one, currency=currency) for one in line.discounts],
        "net": str(minor_to_decimal(line.net_minor, currency)),
        "currencyCode": currency,
        "parts": [_part_body(part, currency=currency) for part in line.parts],
        "projects": [_share_body(share, currency=currency) for share in line.projects],
        "conversion": None if line.conversion is None else conversion_body(line.conversion),
    }


def _book_body(line: InvoiceLine) -> dict[str, str] | None:
    if line.book_name is None or line.book_effective_from is None:
        return None
    return {"name": line.book_name, "effectiveFrom": line.book_effective_from.isoformat()}


def _discount_body(one: LineDiscount, *, currency: str) -> dict[str, Any]:
    """`scope` Line is inside the line's amount; Invoice is its share of what was taken off the whole invoice."""
    return {
        "scope": one.scope,
        "givenBy": {"kind": one.given_by, "name": one.name, "uid": str(one.source)},
        "title": one.title,
        "percentage": None if one.percent is None else _plain(one.percent),
        "amount": str(minor_to_decimal(one.amount_minor, currency)),
    }


def _part_body(part: Part, *, currency: str) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": part.kind}
    if part.tier is not None:
        body["tier"] = part.tier
    if part.quantity is not None:
        body["quantity"] = _plain(part.quantity)
    if part.unit_price is not None:
        body["unitPrice"] = _plain(part.unit_price)
    return {**body, "amount": str(minor_to_decimal(part.amount_minor, currency))}


def _share_body(share: LineShare, *, currency: str) -> dict[str, Any]:
    return {
        "project": share.project or None,
        "quantity": _plain(share.quantity),
        "amount": str(minor_to_decimal(share.amount_minor, currency)),
    }


def _plain(number: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _invoice_row(account: str, invoice: Invoice, *, state: str) -> dict[str, Any]:
    return {
        "account": account,
        "invoice": invoice.name,
        "number": invoice.number,
        "total": str(minor_to_decimal(invoice.total_minor, invoice.currency)),
        "currency": invoice.currency,
        "state": state,
        "reason": None,
    }


def _bare_row(account: str, *, state: str, reason: str) -> dict[str, Any]:
    return {
        "account": account,
        "invoice": None,
        "number": None,
        "total": None,
        "currency": None,
        "state": state,
        "reason": reason,
    }
