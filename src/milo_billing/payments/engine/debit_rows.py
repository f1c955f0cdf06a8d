"""The rows of SEPA direct debit: mandates and debits.

Owns: the statements. Not: what is due (rules.mandates), files (bank_file_rows).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, LiteralString, cast
from uuid import UUID

from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import Conflict, NotFound
from milo_billing.payments.engine.bank_rows import payer_digest
from milo_billing.payments.rules.mandates import History, Mandate, PlannedDebit


class MandateNotFound(NotFound):
    """There is no such mandate, or not for the caller."""


class UnableToDebit(Conflict):
    """A mandate or a collection cannot be as was asked. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class MandateRow:
    """A mandate without what is personal but the last four characters of the IBAN."""

    uid: UUID
    account: str
    reference: str
    signed_on: date
    scheme: str
    last4: str
    state: Literal["Active", "Revoked"]
    reason: str
    debits: int


@dataclass(frozen=True, slots=True)
class DebitRow:
    """One debit that a bank was asked for."""

    uid: UUID
    mandate: UUID
    invoice: UUID
    account: int
    amount_minor: int
    state: Literal["Sent", "Settled", "Returned"]
    collect_on: date


def noon(day: date) -> datetime:
    """A bank says the day only; noon UTC is within it in nearly every zone."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def insert_mandate(tx: Tx, vault: Vault, mandate: Mandate, *, subject: UUID, by: str, now: datetime) -> None:
    """Keep a mandate; holder, IBAN and BIC are sealed under the account's key (`subject`)."""
    sealed = vault.seal(
        tx,
        subject=subject,
        value={"holder": mandate.holder, "iban": mandate.iban, "bic": mandate.bic},
        at=now,
    )
    tx.execute(
        "insert into payments.mandates (uid, owner_org, account, reference, signed_on, scheme, payer, last4, sealed, "
        "state, reason, created_at, created_by) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'Active', '', %s, %s)",
        (
            mandate.uid,
            mandate.owner_org,
            mandate.account,
            mandate.reference,
            mandate.signed_on,
            mandate.scheme,
            payer_digest(mandate.iban),
            mandate.iban[-4:],
            sealed,
            now,
            by,
        ),
    )


_MANDATE: LiteralString = (
    "select m.uid, a.namespace || '/' || a.name, m.reference, m.signed_on, m.scheme, m.last4, m.state, m.reason, "
    "(select count(*) from payments.debits d where d.mandate = m.uid) from payments.mandates m "
    "join accounts.accounts a on a.number = m.account"
)


def get_mandate(tx: Tx, *, reference: str) -> MandateRow:
    """One mandate. Raises MandateNotFound."""
    row = tx.execute(f"{_MANDATE} where m.reference = %s", (reference,)).fetchone()
    if row is None:
        raise MandateNotFound(f'mandate "{reference[:40]}" not found')
    return MandateRow(*row)


def is_taken(tx: Tx, *, reference: str) -> bool:
    """Whether a mandate has this reference, whosever it is."""
    return (
        tx.execute("select from payments.mandates where reference = %s", (reference,)).fetchone() is not None
    )


def find_active(tx: Tx, *, account: int) -> str | None:
    """The reference of the mandate that the account is debited under."""
    query = "select reference from payments.mandates where account = %s and state = 'Active'"
    row = tx.execute(query, (account,)).fetchone()
    return None if row is None else row[0]


def list_mandates(tx: Tx, *, limit: int) -> tuple[MandateRow, ...]:
    """Mandates, the newest first."""
    rows = tx.execute(f"{_MANDATE} order by m.created_at desc, m.reference limit %s", (limit,))
    return tuple(MandateRow(*row) for row in rows)


def load_active(tx: Tx, vault: Vault) -> dict[int, Mandate]:
    """Every active mandate with what is personal, by account; those whose account was erased are left out."""
    rows = tx.execute(
        "select m.uid, m.account, m.owner_org, m.reference, m.signed_on, m.scheme, m.sealed, a.uid "
        "from payments.mandates m join accounts.accounts a on a.number = m.account "
        "where m.state = 'Active' and a.deleted_at is null order by m.account"
    ).fetchall()
    vault.prefetch(tx, {row[7] for row in rows})
    found: dict[int, Mandate] = {}
    for row in rows:
        opened = vault.open(tx, subject=row[7], ciphertext=row[6])
        if not isinstance(opened, Erased):
            told = cast("dict[str, Any]", opened)
            found[row[1]] = Mandate(*row[:6], holder=told["holder"], iban=told["iban"], bic=told["bic"])
    return found


def revoke(tx: Tx, *, uid: UUID, reason: str) -> None:
    """Debit nothing under the mandate any more; revoking again changes nothing."""
    tx.execute(
        "update payments.mandates set state = 'Revoked', reason = %s where uid = %s and state = 'Active'",
        (reason, uid),
    )


# ----------------------------------------------------------------------------------------------------- debits


def load_histories(tx: Tx) -> dict[UUID, History]:
    """What became of the debits of each active mandate."""
    rows = tx.execute(
        "select d.mandate, count(*) filter (where d.state <> 'Returned'), max(f.collect_on) from payments.debits d "
        "join payments.debit_files f on f.uid = d.file join payments.mandates m on m.uid = d.mandate "
        "where m.state = 'Active' group by 1"
    )
    return {row[0]: History(row[1], row[2]) for row in rows}


def load_tried(tx: Tx, *, invoices: Collection[UUID]) -> tuple[dict[UUID, int], frozenset[UUID]]:
    """How often each invoice was in a file, and which are being collected, in a file or at a provider of payments."""
    rows = tx.execute(
        "select i.invoice, count(d.uid), coalesce(bool_or(d.state = 'Sent'), false) or exists (select "
        "from payments.payments p where p.invoice = i.invoice and p.phase = 'Pending') "
        "from unnest(%s::uuid[]) as i (invoice) left join payments.debits d on d.invoice = i.invoice group by 1",
        (list(invoices),),
    ).fetchall()
    return {row[0]: row[1] for row in rows}, frozenset(row[0] for row in rows if row[2])


def list_sent(tx: Tx, *, message_id: str) -> tuple[str, ...]:
    """The end-to-end ids of what a file asks for and nobody has answered."""
    rows = tx.execute(
        "select d.end_to_end_id from payments.debits d join payments.debit_files f on f.uid = d.file "
        "where f.message_id = %s and d.state = 'Sent' order by d.end_to_end_id",
        (message_id,),
    )
    return tuple(row[0] for row in rows)


def find_standing(tx: Tx, *, invoice: UUID) -> str | None:
    """The end-to-end id under which a bank is being asked for the money of the invoice."""
    query = "select end_to_end_id from payments.debits where invoice = %s and state = 'Sent'"
    row = tx.execute(query, (invoice,)).fetchone()
    return None if row is None else row[0]


def insert_debits(tx: Tx, *, file: UUID, planned: Sequence[PlannedDebit], now: datetime) -> None:
    """Keep what a file asks for."""
    with tx.cursor() as cursor:
        cursor.executemany(
            "insert into payments.debits (uid, owner_org, file, mandate, account, invoice, end_to_end_id, "
            "amount_minor, sequence, state, reason, sent_at) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'Sent', '', %s)",
            [
                (
                    new_uid(),
                    one.invoice.owner_org,
                    file,
                    one.mandate.uid,
                    one.invoice.account,
                    one.invoice.uid,
                    one.end_to_end_id,
                    one.amount_minor,
                    one.sequence,
                    now,
                )
                for one in planned
            ],
        )


def find_debit(tx: Tx, *, end_to_end_id: str) -> DebitRow | None:
    """The debit that a bank knows by this id."""
    row = tx.execute(
        "select d.uid, d.mandate, d.invoice, d.account, d.amount_minor, d.state, f.collect_on "
        "from payments.debits d join payments.debit_files f on f.uid = d.file where d.end_to_end_id = %s",
        (end_to_end_id,),
    ).fetchone()
    return None if row is None else DebitRow(*row)


def set_debit_state(tx: Tx, *, uid: UUID, state: Literal["Settled", "Returned"], reason: str = "") -> None:
    """What became of a debit."""
    tx.execute("update payments.debits set state = %s, reason = %s where uid = %s", (state, reason, uid))
