"""SQL that writes what comes after an invoice: settlements, adjustments, interest."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from milo_billing.infra.database import Tx
from milo_billing.invoicing.rules.adjusting import Charged
from milo_billing.invoicing.rules.late_interest import Owed
from milo_billing.invoicing.types.invoices import Invoice, SettlementKind


def insert_settlement(
    tx: Tx,
    *,
    invoice: Invoice,
    kind: SettlementKind,
    reference: str,
    amount_minor: int,
    posted: str | None,
    reason: str | None,
    at: datetime,
    now: datetime,
) -> None:
    """Write what became of the invoice, which the transaction has locked and which is as `invoice` after it.

    The amounts and the phase of the invoice's row follow by a trigger.
    """
    tx.execute(
        "insert into invoicing.settlements (invoice, step, owner_org, kind, reference, amount_minor, phase, posted, "
        "reason, at, noted_at) select %(invoice)s, coalesce(max(step), 0) + 1, %(owner_org)s, %(kind)s, %(reference)s, "
        "%(amount_minor)s, %(phase)s, %(posted)s, %(reason)s, %(at)s, %(now)s from invoicing.settlements "
        "where invoice = %(invoice)s",
        {
            "invoice": invoice.uid,
            "owner_org": invoice.owner_org,
            "kind": kind,
            "reference": reference,
            "amount_minor": amount_minor,
            "phase": invoice.phase,
            "posted": posted,
            "reason": reason,
            "at": at,
            "now": now,
        },
    )


def insert_adjustment(
    tx: Tx,
    *,
    original: Invoice,
    account: int,
    sequence: int,
    carrier: UUID | None,
    credit_note: UUID | None,
    lines: Mapping[Charged, int],
    now: datetime,
) -> None:
    """Write what the account's section of the original came to since, by the document that says so. It can never be
    changed again.
    """
    tx.execute(
        "insert into invoicing.adjustments (invoice, sequence, owner_org, account, carrier, credit_note, amount_minor, "
        "adjusted_at) values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            original.uid,
            sequence,
            original.owner_org,
            account,
            carrier,
            credit_note,
            sum(lines.values()),
            now,
        ),
    )
    tx.execute(
        "insert into invoicing.adjusted_lines (invoice, account, sequence, owner_org, kind, charged_for, first_day, "
        "end_day, amount_minor) select %s, %s, %s, %s, l.* from unnest(%s::text[], %s::text[], %s::date[], %s::date[], "
        "%s::bigint[]) as l",
        (
            original.uid,
            account,
            sequence,
            original.owner_org,
            [key.kind for key in lines],
            [key.of for key in lines],
            [key.first_day for key in lines],
            [key.end_day for key in lines],
            list(lines.values()),
        ),
    )


def insert_interest(tx: Tx, owed: Sequence[Owed], *, charged_on: Invoice) -> None:
    """Note for which days of which overdue invoice each line of the new one is, in their order."""
    for line, one in enumerate(owed, start=1):
        tx.execute(
            "insert into invoicing.interest (charged_on, line, owner_org, invoice, days, percent, amount_minor) "
            "values (%s, %s, %s, %s, daterange(%s, %s), %s, %s)",
            (
                charged_on.uid,
                line,
                charged_on.owner_org,
                one.invoice,
                one.first,
                one.end,
                one.percent,
                one.amount_minor,
            ),
        )


def insert_reversal(tx: Tx, *, invoice: Invoice, credit_note: UUID, amount_minor: int) -> None:
    """Note that a credit note gives back interest that was charged on the invoice and is not owed."""
    tx.execute(
        "insert into invoicing.interest_reversals (credit_note, invoice, owner_org, amount_minor) "
        "values (%s, %s, %s, %s)",
        (credit_note, invoice.uid, invoice.owner_org, amount_minor),
    )
