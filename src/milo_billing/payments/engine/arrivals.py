"""A payout arrives at the bank: its entry and its row find each other, whichever is known first.

Owns: that. Not: which entry names which payout (rules.payouts), booking it (operations.paying_out).
"""

from typing import Final
from uuid import UUID

from milo_billing.controlplane.work import Work
from milo_billing.infra import jobs
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.payments.engine import bank_rows, payout_rows
from milo_billing.payments.engine.bank_rows import EntryRow
from milo_billing.payments.engine.payout_rows import PayoutRow
from milo_billing.payments.rules.payouts import is_named, said_by
from milo_billing.payments.rules.statements import cash_name

NOTE: Final = "payments.note_payout"
"""The job that asks the provider how a payout stands."""

FETCH: Final = "payments.fetch_payouts"
"""The job that asks for payouts of which no webhook may have come."""

CANDIDATES_MAX: Final = 20
"""Entries of one amount that are looked at."""


def defer_note(tx: Tx, *, class_uid: UUID, reference: str) -> None:
    """Have a worker ask about a payout, unless one waits for it already. Safe to repeat."""
    name = f"{NOTE}/{class_uid}/{reference}"
    jobs.defer(tx, NOTE, lock=name, once=name, class_uid=str(class_uid), reference=reference)


def note_arrival(work: Work, *, entry: UUID, row: PayoutRow) -> None:
    """A bank entry says that the payout has arrived; unless it is booked, a job asks what it is made of."""
    payout_rows.set_arrived(work.tx, row, entry=entry)
    if row.booked_at is None:
        defer_note(work.tx, class_uid=row.class_uid, reference=row.reference)


def find_arrival(work: Work, vault: Vault, row: PayoutRow) -> PayoutRow:
    """The bank may have told of it before the provider did: then its entry waits."""
    waiting = bank_rows.list_waiting_of(
        work.tx, vault, amount_minor=row.amount_minor, currency=row.currency, limit=CANDIDATES_MAX
    )
    found = [one for one in waiting if is_arrival(one, row)]
    if len(found) != 1:
        return row
    bank_rows.decide_entry(
        work.tx,
        uid=found[0].uid,
        state="Payout",
        reason="Payout",
        detail=f"payout {row.reference}",
        by=work.identity.user,
        now=work.now,
    )
    return payout_rows.set_arrived(work.tx, row, entry=found[0].uid)


def is_arrival(entry: EntryRow, row: PayoutRow) -> bool:
    """Whether the entry is this payout's arrival: its name, its amount, and the bank account that it goes to."""
    return (
        (entry.entry.amount_minor, entry.currency) == (row.amount_minor, row.currency)
        and row.bank_account in ("", cash_name(entry.bank_account))
        and is_named(said_by(entry.entry), reference=row.reference, trace=row.trace)
    )
