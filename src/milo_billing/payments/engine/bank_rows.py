"""The rows of bank statements: statements, their entries, what each pays, who has paid from where.

Owns: the statements. Not: what an entry pays (rules.matching), what follows from it (bank_deciding).
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, LiteralString, TypeAlias, cast
from uuid import UUID

from milo_billing.infra.advisory_locks import BANK
from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import NotFound
from milo_billing.payments.rules.statements import EntryKey
from milo_billing.payments.types import BankEntry, BankStatement

PROVIDER: Final = 0
"""Whose the bank accounts are: the provider's own organization number."""

EntryState: TypeAlias = Literal[
    "Applied", "Waiting", "Ignored", "Outgoing", "Known", "Returned", "Payout", "Transfer"
]
"""Applied pays something; Waiting is on the worklist; Ignored was taken off it; Outgoing is not our matter; Known stood
in an earlier file; Returned took an earlier one back; Payout is a provider's, which is posted with it;
Transfer is money of a customer that went back, or came back from there."""


class EntryNotFound(NotFound):
    """There is no such entry of a bank statement, or not for the caller."""


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A statement that was imported."""

    uid: UUID
    format: str
    bank_account: str
    statement_id: str
    sequence: str
    currency: str
    opening_minor: int
    closing_minor: int
    opened_on: date
    closed_on: date
    imported_at: datetime
    imported_by: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as it is kept, with what the bank said of it; texts are empty once they were erased."""

    uid: UUID
    statement: UUID
    bank_account: str
    currency: str
    state: EntryState
    reason: str
    detail: str
    payer: bytes | None
    entry: BankEntry


@dataclass(frozen=True, slots=True)
class MatchRow:
    """What an entry pays: an invoice, or where that is None the account has it, on account or as unapplied cash."""

    uid: UUID
    entry: UUID
    owner_org: int
    account: int
    invoice: UUID | None
    amount_minor: int
    posted: str


def lock_bank(tx: Tx) -> None:
    """One import or decision at a time, until the transaction ends."""
    tx.execute("select pg_advisory_xact_lock(%s)", (BANK,))


# ------------------------------------------------------------------------------------------------- statements

_STATEMENT: LiteralString = (
    "select uid, format, bank_account, statement_id, sequence, currency, opening_minor, closing_minor, opened_on, "
    "closed_on, imported_at, imported_by from payments.statements"
)


def find_statement(tx: Tx, *, digest: bytes, ordinal: int) -> StatementRow | None:
    """The statement at this place of a file that was imported already."""
    row = tx.execute(f"{_STATEMENT} where digest = %s and ordinal = %s", (digest, ordinal)).fetchone()
    return None if row is None else StatementRow(*row)


def find_last_statement(tx: Tx, *, bank_account: str, before: date) -> StatementRow | None:
    """The account's statement that closed last, up to this day."""
    row = tx.execute(
        f"{_STATEMENT} where bank_account = %s and closed_on <= %s order by closed_on desc, imported_at desc, "
        "ordinal desc limit 1",
        (bank_account, before),
    ).fetchone()
    return None if row is None else StatementRow(*row)


def list_statements(tx: Tx, *, limit: int) -> tuple[StatementRow, ...]:
    """The statements that were imported last, the newest first."""
    rows = tx.execute(f"{_STATEMENT} order by imported_at desc, closed_on desc, uid limit %s", (limit,))
    return tuple(StatementRow(*row) for row in rows)


def count_entries(tx: Tx, *, statements: Collection[UUID]) -> dict[UUID, dict[EntryState, int]]:
    """How many entries of each statement are in which state."""
    rows = tx.execute(
        "select statement, state, count(*) from payments.statement_entries where statement = any(%s) group by 1, 2",
        (list(statements),),
    )
    found: dict[UUID, dict[EntryState, int]] = {uid: {} for uid in statements}
    for statement, state, count in rows:
        found[statement][state] = count
    return found


def insert_statement(
    tx: Tx, statement: BankStatement, *, uid: UUID, digest: bytes, ordinal: int, by: str, now: datetime
) -> None:
    """Keep what a statement says of itself."""
    tx.execute(
        "insert into payments.statements (uid, owner_org, digest, ordinal, format, bank_account, statement_id, "
        "sequence, currency, opening_minor, closing_minor, opened_on, closed_on, imported_at, imported_by) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            uid,
            PROVIDER,
            digest,
            ordinal,
            statement.format,
            statement.account,
            statement.statement_id,
            statement.sequence,
            statement.currency,
            statement.opening_minor,
            statement.closing_minor,
            statement.opened_on,
            statement.closed_on,
            now,
            by,
        ),
    )


# ---------------------------------------------------------------------------------------------------- entries

_ENTRY: LiteralString = (
    "select e.uid, e.statement, s.bank_account, s.currency, e.state, e.reason, e.detail, e.payer, e.position, "
    "e.amount_minor, e.credit, e.reversal, e.booked_on, e.valued_on, e.bank_reference, e.end_to_end_id, "
    "e.return_reason, e.sealed from payments.statement_entries e join payments.statements s on s.uid = e.statement"
)


def insert_entry(
    tx: Tx,
    vault: Vault,
    entry: BankEntry,
    *,
    statement: UUID,
    key: EntryKey,
    state: EntryState,
    reason: str,
    detail: str,
    by: str,
    now: datetime,
) -> UUID:
    """Keep an entry; who paid and what they wrote is sealed under the statement's key."""
    uid = new_uid()
    sealed = vault.seal(
        tx,
        subject=statement,
        value={
            "name": entry.counterparty_name,
            "iban": entry.counterparty_iban,
            "text": entry.remittance,
            "references": list(entry.references),
            "mandate": entry.mandate,
        },
        at=now,
    )
    tx.execute(
        "insert into payments.statement_entries (uid, owner_org, statement, position, key, certain, amount_minor, "
        "credit, reversal, booked_on, valued_on, bank_reference, end_to_end_id, return_reason, payer, sealed, state, "
        "reason, detail, decided_at, decided_by) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            uid,
            PROVIDER,
            statement,
            entry.position,
            key.digest,
            key.certain,
            entry.amount_minor,
            entry.credit,
            entry.reversal,
            entry.booked_on,
            entry.valued_on,
            entry.bank_reference,
            entry.end_to_end_id,
            entry.return_reason,
            payer_digest(entry.counterparty_iban),
            sealed,
            state,
            reason,
            detail,
            now,
            by,
        ),
    )
    return uid


def payer_digest(iban: str) -> bytes | None:
    """By what a payer is known again; None where the bank did not say."""
    return hashlib.sha256(b"payer/" + iban.encode()).digest() if iban else None


def list_known_keys(tx: Tx, *, keys: Sequence[EntryKey]) -> frozenset[bytes]:
    """Which of these entries stood in an earlier file."""
    rows = tx.execute(
        "select distinct key from payments.statement_entries where key = any(%s)",
        ([one.digest for one in keys],),
    )
    return frozenset(bytes(row[0]) for row in rows)


def get_entry(tx: Tx, vault: Vault, *, uid: UUID, lock: bool = False) -> EntryRow:
    """One entry. Raises EntryNotFound."""
    query: LiteralString = f"{_ENTRY} where e.uid = %s" + (" for update of e" if lock else "")
    row = tx.execute(query, (uid,)).fetchone()
    if row is None:
        raise EntryNotFound(f'entry "{uid}" of a bank statement not found')
    return _entry(tx, vault, row)


def list_waiting(tx: Tx, vault: Vault, *, limit: int) -> tuple[EntryRow, ...]:
    """The worklist, the oldest first."""
    rows = tx.execute(
        f"{_ENTRY} where e.state = 'Waiting' order by e.booked_on, s.imported_at, e.position, e.uid limit %s",
        (limit,),
    ).fetchall()
    vault.prefetch(tx, {row[1] for row in rows})
    return tuple(_entry(tx, vault, row) for row in rows)


def list_waiting_of(
    tx: Tx, vault: Vault, *, amount_minor: int, currency: str, limit: int
) -> tuple[EntryRow, ...]:
    """Entries of this amount that came in and wait, the oldest first."""
    rows = tx.execute(
        f"{_ENTRY} where e.state = 'Waiting' and e.credit and e.amount_minor = %s and s.currency = %s "
        "order by e.booked_on, e.uid limit %s",
        (amount_minor, currency, limit),
    ).fetchall()
    return tuple(_entry(tx, vault, row) for row in rows)


def list_applied(tx: Tx, vault: Vault, *, end_to_end_id: str, amount_minor: int) -> tuple[EntryRow, ...]:
    """Entries that came in under this end-to-end id, of at most this amount, and were not sent back; newest first."""
    rows = tx.execute(
        f"{_ENTRY} where e.end_to_end_id = %s and e.end_to_end_id <> '' and e.state = 'Applied' "
        "and e.amount_minor <= %s and not exists (select from payments.matches m where m.entry = e.uid "
        "and m.returned_by is not null) order by e.booked_on desc, e.uid desc limit 3",
        (end_to_end_id, amount_minor),
    ).fetchall()
    return tuple(_entry(tx, vault, row) for row in rows)


def decide_entry(
    tx: Tx, *, uid: UUID, state: EntryState, reason: str, detail: str, by: str, now: datetime
) -> None:
    """What became of an entry that waited."""
    tx.execute(
        "update payments.statement_entries set state = %s, reason = %s, detail = %s, decided_at = %s, decided_by = %s "
        "where uid = %s",
        (state, reason, detail, now, by, uid),
    )


def _entry(tx: Tx, vault: Vault, row: tuple[Any, ...]) -> EntryRow:
    opened = vault.open(tx, subject=row[1], ciphertext=row[17])
    told = {} if isinstance(opened, Erased) else cast("dict[str, Any]", opened)
    return EntryRow(
        *row[:7],
        payer=None if row[7] is None else bytes(row[7]),
        entry=BankEntry(
            position=row[8],
            amount_minor=row[9],
            credit=row[10],
            reversal=row[11],
            booked_on=row[12],
            valued_on=row[13],
            bank_reference=row[14],
            end_to_end_id=row[15],
            mandate=told.get("mandate", ""),
            references=tuple(told.get("references", ())),
            remittance=told.get("text", ""),
            counterparty_name=told.get("name", ""),
            counterparty_iban=told.get("iban", ""),
            return_reason=row[16],
        ),
    )


# --------------------------------------------------------------------------------------------- what they pay


def insert_match(tx: Tx, match: MatchRow, *, rule: str) -> None:
    """Keep what an entry pays."""
    tx.execute(
        "insert into payments.matches (uid, entry, owner_org, account, invoice, amount_minor, rule, posted) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            match.uid,
            match.entry,
            match.owner_org,
            match.account,
            match.invoice,
            match.amount_minor,
            rule,
            match.posted,
        ),
    )


def list_matches(tx: Tx, *, entries: Iterable[UUID]) -> tuple[MatchRow, ...]:
    """What these entries pay, invoices in the order of their uids, as they are locked."""
    rows = tx.execute(
        "select uid, entry, owner_org, account, invoice, amount_minor, posted from payments.matches "
        "where entry = any(%s) order by invoice nulls last",
        (list(entries),),
    )
    return tuple(MatchRow(*row) for row in rows)


def mark_returned(tx: Tx, *, entry: UUID, by: UUID) -> None:
    """Say that what an entry paid was sent back by another."""
    tx.execute("update payments.matches set returned_by = %s where entry = %s", (by, entry))


def remember_payer(tx: Tx, *, account: int, owner_org: int, payer: bytes) -> None:
    """Know the account by this payer from now on."""
    tx.execute(
        "insert into payments.payers (account, payer, owner_org) values (%s, %s, %s) on conflict do nothing",
        (account, payer, owner_org),
    )


def list_payers(tx: Tx, *, payer: bytes) -> frozenset[int]:
    """The accounts that have paid from there."""
    return frozenset(
        row[0] for row in tx.execute("select account from payments.payers where payer = %s", (payer,))
    )
