"""What the endpoints answer: lines, and one row for each account of a run. Decimals are strings."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from milo_billing.invoicing.rules.conversions import conversion_body
from milo_billing.invoicing.rules.runs import Run, RunStep, RunStepState
from milo_billing.invoicing.rules.tax_bodies import line_tax_bodies, plain
from milo_billing.invoicing.types.documents import Finding, Syntax
from milo_billing.invoicing.types.drafts import Adjusts, LineDiscount, Part
from milo_billing.invoicing.types.invoices import InvoiceLine, LineShare, SettledBy, Settlement
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.kernel.taxes import TaxGroup, VatCheck

STATES: Final[tuple[RunStepState, ...]] = ("issued", "unchanged", "skipped", "failed")


def run_body(run: Run) -> dict[str, Any]:
    """One run, and how far it has come. `secondsLeft` is an estimate, null where nobody can say."""
    left = run.total - run.done
    return {
        "id": str(run.id),
        "month": f"{run.year:04}-{run.month:02}",
        "state": "running" if run.finished_at is None else "finished",
        "openedBy": run.opened_by,
        "openedAt": _instant(run.opened_at),
        "finishedAt": None if run.finished_at is None else _instant(run.finished_at),
        "total": run.total,
        "done": run.done,
        **{state: run.counts.get(state, 0) for state in STATES},
        "accountsPerSecond": None if run.per_second is None else round(run.per_second, 1),
        "secondsLeft": round(left / run.per_second) if run.per_second else None,
        "follows": None if run.follows is None else str(run.follows),
        "followedBy": None if run.followed_by is None else str(run.followed_by),
    }


def settlement_body(one: Settlement, by: SettledBy, *, currency: str) -> dict[str, Any]:
    """One thing that became of an invoice: `amount` is how much less is due by it, `document` what it came from."""
    return {
        "step": one.step,
        "kind": one.kind,
        "reference": one.reference,
        "amount": str(minor_to_decimal(one.amount_minor, currency)),
        "phase": one.phase,
        "at": _instant(one.at),
        "document": {"kind": by.kind, "name": by.document} if by.document else None,
        "reason": by.reason or None,
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def step_body(step: RunStep) -> dict[str, Any]:
    """What became of one account of a run."""
    total = None
    if step.total_minor is not None and step.currency is not None:
        total = str(minor_to_decimal(step.total_minor, step.currency))
    return {
        "account": step.account,
        "invoice": step.invoice,
        "number": step.number,
        "total": total,
        "currency": step.currency,
        "state": step.state,
        "reason": step.reason,
        "invoicedWith": step.invoiced_with,
    }


def vat_check_body(check: VatCheck, *, account: str) -> dict[str, Any]:
    """What was answered about an account's VAT number, without the number."""
    return {
        "account": account,
        "valid": check.valid,
        "checkedAt": _instant(check.checked_at),
        "source": check.source,
        "reference": check.reference,
    }


def adjusts_body(adjusts: Adjusts | None) -> dict[str, Any] | None:
    """Which issued invoice an adjustment is of, and what kind of line came to more or less."""
    return None if adjusts is None else {"invoiceNumber": adjusts.number, "kind": adjusts.kind}


def line_body(line: InvoiceLine, *, currency: str, taxes: Sequence[TaxGroup]) -> dict[str, Any]:
    """One line as `…/lines` gives it; `unitPrice` only where the line has a single one.

    `taxes` are the tax groups of the invoice.
    """
    prices = {part.unit_price for part in line.parts if part.kind == "Usage"}
    price = prices.pop() if len(prices) == 1 else None
    return {
        "line": line.line,
        "kind": line.kind,
        "adjusts": adjusts_body(line.adjusts),
        "subAccount": line.account or None,
        "sku": line.sku,
        "description": line.description,
        "service": line.service,
        "invoiceGroup": line.invoice_group,
        "taxCategory": line.tax_category,
        "taxes": line_tax_bodies(line.taxes, taxes),
        "priceBook": _book_body(line),
        "commitment": None if line.commitment is None else str(line.commitment),
        "firstDay": line.first_day.isoformat(),
        "endDay": line.end_day.isoformat(),
        "quantity": plain(line.quantity),
        "includedQuantity": plain(line.included),
        "pricingUnit": line.pricing_unit,
        "unitPrice": None if price is None else plain(price),
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
        "percentage": None if one.percent is None else plain(one.percent),
        "amount": str(minor_to_decimal(one.amount_minor, currency)),
    }


def _part_body(part: Part, *, currency: str) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": part.kind}
    if part.tier is not None:
        body["tier"] = part.tier
    if part.quantity is not None:
        body["quantity"] = plain(part.quantity)
    if part.unit_price is not None:
        body["unitPrice"] = plain(part.unit_price)
    return {**body, "amount": str(minor_to_decimal(part.amount_minor, currency))}


def _share_body(share: LineShare, *, currency: str) -> dict[str, Any]:
    return {
        "project": share.project or None,
        "quantity": plain(share.quantity),
        "amount": str(minor_to_decimal(share.amount_minor, currency)),
    }


def validation_body(found: Mapping[Syntax, tuple[Finding, ...]]) -> dict[str, Any]:
    """What the rules say against each of the electronic invoices; a warning does not make one wrong."""
    return {
        "valid": not any(one.severity == "error" for findings in found.values() for one in findings),
        "documents": {
            syntax: [
                {
                    "severity": one.severity,
                    "rule": one.rule,
                    "message": one.message,
                    "location": one.location,
                }
                for one in findings
            ]
            for syntax, findings in found.items()
        },
    }
