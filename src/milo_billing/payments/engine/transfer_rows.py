"""The rows of money that goes back by bank transfer. Owns: the statements. Not: the books, files (bank_file_rows)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, LiteralString, TypeAlias, cast
from uuid import UUID

from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import NotFound
from milo_billing.payments.ports import Holder
from milo_billing.payments.rules.transfer_sources import TransferSource

TransferState: TypeAlias = Literal["Wanted", "Sent", "Booked", "Returned", "Cancelled"]


class TransferNotFound(NotFound):
    """There is no such transfer, or not for the caller."""


@dataclass(frozen=True, slots=True)
class TransferRow:
    """Money that goes back, in cents of euro; of the payee the last four characters of the IBAN.

    Wanted: it is in no file yet. Sent: it is, to be paid on a day (`execute_on`). Booked: the bank has paid it.
    Returned: it came back. Cancelled: it never went, because a person or the bank said so. Of the last two `answer`
    says why, and `answered_by` who said so, or brought in what the bank said.
    """

    uid: UUID
    owner_org: int
    account: int
    account_name: str
    entity: str
    source: TransferSource
    end_to_end_id: str
    amount_minor: int
    last4: str
    reason: str
    state: TransferState
    answer: str
    answered_by: str
    message_id: str
    execute_on: date | None
    created_at: datetime
    created_by: str


def insert_transfer(
    tx: Tx, vault: Vault, row: TransferRow, payee: Holder, *, subject: UUID, posted: str
) -> None:
    """Keep what was asked for; holder, IBAN and BIC are sealed under the account's key (`subject`)."""
    sealed = vault.seal(
        tx,
        subject=subject,
        value={"holder": payee.holder, "iban": payee.iban, "bic": payee.bic},
        at=row.created_at,
    )
    tx.execute(
        "insert into payments.transfers (uid, owner_org, account, entity, source, end_to_end_id, amount_minor, last4, "
        "sealed, reason, state, answer, answered_by, posted, created_at, created_by) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'Wanted', '', '', %s, %s, %s)",
        (
            row.uid,
            row.owner_org,
            row.account,
            row.entity,
            row.source,
            row.end_to_end_id,
            row.amount_minor,
            row.last4,
            sealed,
            row.reason,
            posted,
            row.created_at,
            row.created_by,
        ),
    )


_TRANSFER: LiteralString = (
    "select t.uid, t.owner_org, t.account, a.namespace || '/' || a.name, t.entity, t.source, t.end_to_end_id, "
    "t.amount_minor, t.last4, t.reason, t.state, t.answer, t.answered_by, coalesce(f.message_id, ''), f.execute_on, "
    "t.created_at, t.created_by "
    "from payments.transfers t join accounts.accounts a on a.number = t.account "
    "left join payments.transfer_files f on f.uid = t.file"
)


def find_transfer(tx: Tx, *, end_to_end_id: str) -> TransferRow | None:
    """The transfer that a bank knows by this id."""
    row = tx.execute(f"{_TRANSFER} where t.end_to_end_id = %s", (end_to_end_id,)).fetchone()
    return None if row is None else TransferRow(*row)


def get_transfer(tx: Tx, *, end_to_end_id: str) -> TransferRow:
    """The same. Raises TransferNotFound."""
    found = find_transfer(tx, end_to_end_id=end_to_end_id)
    if found is None:
        raise TransferNotFound(f'transfer "{end_to_end_id[:40]}" not found')
    return found


def list_transfers(tx: Tx, *, limit: int) -> tuple[TransferRow, ...]:
    """Transfers, the newest first."""
    rows = tx.execute(f"{_TRANSFER} order by t.created_at desc, t.uid limit %s", (limit,))
    return tuple(TransferRow(*row) for row in rows)


def list_sent(tx: Tx, *, message_id: str) -> tuple[str, ...]:
    """The end-to-end ids of what a file asks for and no statement has told of."""
    rows = tx.execute(
        "select t.end_to_end_id from payments.transfers t join payments.transfer_files f on f.uid = t.file "
        "where f.message_id = %s and t.state = 'Sent' order by t.end_to_end_id",
        (message_id,),
    )
    return tuple(row[0] for row in rows)


def load_wanted(tx: Tx, vault: Vault, *, entity: str, limit: int) -> tuple[tuple[TransferRow, Holder], ...]:
    """What is in no file yet, the oldest first, with whom it goes to; without those whose account was erased."""
    rows = tx.execute(
        f"{_TRANSFER} where t.state = 'Wanted' and t.entity = %s order by t.created_at, t.uid limit %s",
        (entity, limit),
    )
    wanted = tuple(TransferRow(*row) for row in rows)
    secrets = {
        row[0]: (row[1], row[2])
        for row in tx.execute(
            "select t.uid, a.uid, t.sealed from payments.transfers t join accounts.accounts a on a.number = t.account "
            "where t.uid = any(%s)",
            ([one.uid for one in wanted],),
        )
    }
    vault.prefetch(tx, {subject for subject, _ in secrets.values()})
    found: list[tuple[TransferRow, Holder]] = []
    for one in wanted:
        subject, sealed = secrets[one.uid]
        opened = vault.open(tx, subject=subject, ciphertext=sealed)
        if not isinstance(opened, Erased):
            told = cast("dict[str, Any]", opened)
            found.append((one, Holder(told["holder"], told["iban"], told["bic"])))
    return tuple(found)


def list_issuers(tx: Tx) -> tuple[str, ...]:
    """Whose transfers are in no file yet."""
    rows = tx.execute("select distinct entity from payments.transfers where state = 'Wanted' order by entity")
    return tuple(entity for (entity,) in rows)


def list_sources(tx: Tx, *, account: int) -> tuple[UUID, ...]:
    """For each bank account that the account's transfers came from, the last entry; the newest first."""
    rows = tx.execute(
        "select uid from (select distinct on (e.payer) e.uid, e.booked_on from payments.matches m "
        "join payments.statement_entries e on e.uid = m.entry "
        "where m.account = %s and m.returned_by is null and e.payer is not null "
        "order by e.payer, e.booked_on desc, e.uid desc) came order by booked_on desc, uid",
        (account,),
    )
    return tuple(row[0] for row in rows)


def set_booked(tx: Tx, *, uid: UUID, entry: UUID) -> None:
    """The bank has paid a transfer, by this entry."""
    tx.execute("update payments.transfers set state = 'Booked', entry = %s where uid = %s", (entry, uid))


def set_returned(tx: Tx, *, uid: UUID, entry: UUID, answer: str, by: str) -> None:
    """A transfer came back, by this entry; `by` brought it in."""
    tx.execute(
        "update payments.transfers set state = 'Returned', returned_by = %s, answer = %s, answered_by = %s "
        "where uid = %s",
        (entry, answer, by, uid),
    )


def set_cancelled(tx: Tx, *, uid: UUID, answer: str, by: str) -> None:
    """A transfer never went; `by` says so, or brought in what the bank said."""
    tx.execute(
        "update payments.transfers set state = 'Cancelled', answer = %s, answered_by = %s where uid = %s",
        (answer, by, uid),
    )


def set_sent(tx: Tx, *, uids: Collection[UUID], file: UUID) -> None:
    """Transfers are in a file."""
    tx.execute(
        "update payments.transfers set state = 'Sent', file = %s where uid = any(%s)", (file, list(uids))
    )
