"""How adjustments of an issued invoice are answered: those made, and what would be made now. Amounts are decimals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from milo_billing.invoicing.rules.adjusting import Adjusted, Adjustment, Charged, Rerated, by_line
from milo_billing.invoicing.types.drafts import DraftLine
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import minor_to_decimal


def adjustments_body(
    invoice: Invoice, *, sections: Sequence[tuple[Sequence[Adjustment], Rerated]]
) -> dict[str, Any]:
    """The adjustments that were made of the invoice's sections, in order, and as `open` what those made now would say:
    what they would charge, line by line with what that comes to now, and what they would give back.
    """
    currency = invoice.currency
    made = sorted((one for found, _ in sections for one in found), key=lambda one: one.adjusted_at)
    lines = [line for _, found in sections for line in found.lines]
    given_back = [pair for _, found in sections for pair in sorted(by_line(found.given_back).items())]
    minor = sum(line.net_minor for line in lines) + sum(minor for _, minor in given_back)
    return {
        "items": [_made(one, currency) for one in made],
        "open": {
            "amount": _shown(minor, currency),
            "charged": [_charged(line, currency) for line in lines],
            "givenBack": [_line(key, minor, currency) for key, minor in given_back],
        },
    }


def _made(one: Adjustment, currency: str) -> dict[str, Any]:
    return {
        "document": {
            "kind": "Invoice" if one.credit_note is None else "CreditNote",
            "number": one.document,
            "void": not one.stands,
        },
        "amount": _shown(one.amount_minor, currency),
        "at": _instant(one.adjusted_at),
        "lines": [_line(key, minor, currency) for key, minor in sorted(one.lines.items())],
    }


def _charged(line: DraftLine, currency: str) -> dict[str, Any]:
    now_minor = line.parts[0].amount_minor
    return {
        "kind": line.adjusts.kind if line.adjusts else line.kind,
        "of": line.description,
        "firstDay": line.first_day.isoformat(),
        "endDay": line.end_day.isoformat(),
        "now": _shown(now_minor, currency),
        "before": _shown(now_minor - line.amount_minor, currency),
        "amount": _shown(line.amount_minor, currency),
    }


def adjusted_body(found: Adjusted) -> dict[str, Any]:
    """The documents that an adjustment made: an invoice, credit notes, or neither."""
    return {
        "invoice": None if found.invoice is None else _invoice(found.invoice),
        "creditNotes": [
            {"name": note.name, "number": note.number, "total": _shown(note.total_minor, note.currency)}
            for note in found.notes
        ],
    }


def _invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "name": invoice.name,
        "number": invoice.number,
        "total": _shown(invoice.total_minor, invoice.currency),
    }


def _line(key: Charged, minor: int, currency: str) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "of": key.of,
        "firstDay": key.first_day.isoformat(),
        "endDay": key.end_day.isoformat(),
        "amount": _shown(minor, currency),
    }


def _shown(minor: int, currency: str) -> str:
    return str(minor_to_decimal(minor, currency))


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
