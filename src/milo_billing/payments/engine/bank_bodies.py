"""What the doors answer about statements, entries and the worklist."""

from typing import Any

from milo_billing.kernel.money import minor_to_decimal
from milo_billing.payments.engine.bank_importing import Imported
from milo_billing.payments.engine.bank_rows import EntryRow, EntryState, StatementRow
from milo_billing.payments.engine.bank_worklist import Listed

_STATES: tuple[EntryState, ...] = (
    "Applied",
    "Waiting",
    "Returned",
    "Outgoing",
    "Known",
    "Ignored",
    "Payout",
    "Transfer",
)


def statement_body(row: StatementRow, counts: dict[EntryState, int]) -> dict[str, Any]:
    """A statement with how many of its entries are in which state."""
    return {
        "uid": str(row.uid),
        "format": row.format,
        "bankAccount": row.bank_account,
        "statementId": row.statement_id,
        "sequence": row.sequence,
        "currencyCode": row.currency,
        "opening": str(minor_to_decimal(row.opening_minor, row.currency)),
        "closing": str(minor_to_decimal(row.closing_minor, row.currency)),
        "openedOn": row.opened_on.isoformat(),
        "closedOn": row.closed_on.isoformat(),
        "importedAt": row.imported_at.isoformat(),
        "importedBy": row.imported_by,
        "entries": {state: counts.get(state, 0) for state in _STATES},
    }


def imported_body(done: Imported) -> dict[str, Any]:
    """A statement after its import."""
    return {**statement_body(done.statement, done.counts), "again": done.again, "gap": done.gap}


def entry_body(row: EntryRow) -> dict[str, Any]:
    """An entry, with what the other side wrote."""
    entry = row.entry
    return {
        "uid": str(row.uid),
        "bankAccount": row.bank_account,
        "bookedOn": entry.booked_on.isoformat(),
        "amount": str(minor_to_decimal(entry.signed_minor, row.currency)),
        "currencyCode": row.currency,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "payer": entry.counterparty_name,
        "payerIban": entry.counterparty_iban,
        "text": entry.remittance,
        "references": list(entry.references),
        "endToEndId": entry.end_to_end_id,
        "bankReference": entry.bank_reference,
        "returnReason": entry.return_reason,
    }


def listed_body(listed: Listed) -> dict[str, Any]:
    """An entry of the worklist with its candidates, the likeliest first."""
    found: list[dict[str, Any]] = []
    for one in listed.candidates:
        invoice = listed.invoices[one.invoice]
        found.append(
            {
                "invoice": f"{invoice.namespace}/{invoice.name}",
                "number": one.number,
                "account": f"{invoice.namespace}/{invoice.account_name}",
                "open": str(minor_to_decimal(one.open_minor, invoice.currency)),
                "currencyCode": invoice.currency,
                "score": one.score,
                "why": list(one.why),
            }
        )
    return {**entry_body(listed.row), "candidates": found}
