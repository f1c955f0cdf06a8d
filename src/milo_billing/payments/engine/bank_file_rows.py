"""The rows of files that ask a bank to move money: a table of debits and one of transfers, alike but for their names.

Owns: the files. Not: what is in them (debit_rows, transfer_rows), their form (adapters).
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, LiteralString
from uuid import UUID

from milo_billing.infra.clock import new_uid
from milo_billing.infra.crypto import Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.errors import NotFound
from milo_billing.payments.engine.bank_rows import PROVIDER


class BankFileNotFound(NotFound):
    """There is no such file, or not for the caller."""


@dataclass(frozen=True, slots=True)
class FileTable:
    """Where files of one kind are kept: `day` and `orders` name the columns of when the bank moves how many of them."""

    name: LiteralString
    day: LiteralString
    orders: LiteralString
    called: str


DEBIT_FILES: Final = FileTable("payments.debit_files", "collect_on", "debits", "direct debit file")
TRANSFER_FILES: Final = FileTable(
    "payments.transfer_files", "execute_on", "transfers", "credit transfer file"
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file: the bank moves so many orders, of so many cents together, on a day."""

    message_id: str
    issuer: str
    on: date
    orders: int
    total_minor: int
    created_at: datetime
    created_by: str


def new_message_id(now: datetime) -> str:
    """A name that no other file has; 28 characters, of which banks keep 30 in the names of groups."""
    return f"MB{now:%Y%m%d%H%M%S}{new_uid().hex[-12:].upper()}"


def insert_file(tx: Tx, vault: Vault, table: FileTable, row: FileRow, *, content: bytes) -> UUID:
    """Keep a file; its content is sealed under a key of its own."""
    uid = new_uid()
    tx.execute(
        f"insert into {table.name} (uid, owner_org, message_id, issuer, {table.day}, {table.orders}, total_minor, "
        "sha256, sealed, created_at, created_by) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            uid,
            PROVIDER,
            row.message_id,
            row.issuer,
            row.on,
            row.orders,
            row.total_minor,
            hashlib.sha256(content).digest(),
            vault.seal(tx, subject=uid, value=content.decode(), at=row.created_at),
            row.created_at,
            row.created_by,
        ),
    )
    return uid


def list_files(tx: Tx, table: FileTable, *, limit: int) -> tuple[FileRow, ...]:
    """The files made last."""
    rows = tx.execute(
        f"select message_id, issuer, {table.day}, {table.orders}, total_minor, created_at, created_by "
        f"from {table.name} order by created_at desc, message_id limit %s",
        (limit,),
    )
    return tuple(FileRow(*row) for row in rows)


def get_file(tx: Tx, vault: Vault, table: FileTable, *, message_id: str) -> bytes:
    """The file as it was made. Raises BankFileNotFound, also once it was erased."""
    row = tx.execute(f"select uid, sealed from {table.name} where message_id = %s", (message_id,)).fetchone()
    opened = None if row is None else vault.open(tx, subject=row[0], ciphertext=row[1])
    if not isinstance(opened, str):
        raise BankFileNotFound(f'{table.called} "{message_id[:40]}" not found')
    return opened.encode()
