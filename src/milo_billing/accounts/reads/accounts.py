"""SQL that reads billing accounts: their life, terms, and until when they are invoiced."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

from milo_billing.accounts.rules import profiles
from milo_billing.accounts.types import Account, AccountNotFound, Billed, BillingProfile, InvoiceDays
from milo_billing.controlplane.store import SEALED
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx

_ACCOUNT: LiteralString = (
    "select number, uid, namespace, name, owner_org, currency, time_zone, phase, deleted_at, invoice_day, "
    "billing_mode, exists (select from accounts.accounts below where below.parent = accounts.number "
    "and below.billing_mode = 'Parent') from accounts.accounts"
)


def load_accounts(tx: Tx, *, since_version: int = 0) -> tuple[Account, ...]:
    """Every account that changed after that version of 'payers', deleted ones included, by number.

    For caches: 0 is all of them. Usage of a time when an account stood is attributed to it also after its deletion.
    """
    found = tx.execute(f"{_ACCOUNT} where version > %s order by number", (since_version,))
    return tuple(Account(*row) for row in found)


def get_account(tx: Tx, *, number: int) -> Account:
    """The account of that number, also a deleted one. Raises AccountNotFound."""
    row = tx.execute(f"{_ACCOUNT} where number = %s", (number,)).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no billing account number {number}")
    return Account(*row)


def is_within_reach(tx: Tx, *, number: int) -> bool:
    """Whether the transaction may see the account of that number, also a deleted one."""
    return tx.execute("select from accounts.accounts where number = %s", (number,)).rowcount == 1


def list_numbers(
    tx: Tx, *, among: Collection[int] | None = None, after: int = 0, limit: int | None = None
) -> tuple[int, ...]:
    """Numbers of the accounts that the transaction may see, of these or of all, deleted ones included, in order.

    Those behind `after`, at most `limit`.
    """
    chosen = None if among is None else list(among)
    rows = tx.execute(
        "select number from accounts.accounts "
        "where number > %(after)s and (%(among)s::int[] is null or number = any (%(among)s)) "
        "order by number limit %(limit)s",
        {"among": chosen, "after": after, "limit": limit},
    )
    return tuple(number for (number,) in rows)


def list_names(tx: Tx, *, numbers: Collection[int]) -> dict[int, str]:
    """`namespace/name` of accounts by number, of those within reach; deleted ones have the name that they had."""
    rows = tx.execute(
        "select number, namespace || '/' || name from accounts.accounts where number = any (%s)",
        (list(numbers),),
    )
    return dict(rows.fetchall())


def find_account(tx: Tx, *, namespace: str, name: str) -> Account | None:
    """The living account of that name."""
    row = tx.execute(
        f"{_ACCOUNT} where namespace = %s and name = %s and deleted_at is null", (namespace, name)
    ).fetchone()
    return None if row is None else Account(*row)


def find_account_at(tx: Tx, *, namespace: str, name: str, at: datetime) -> Account | None:
    """The account that bore the name at that instant; before the first one was created, the first one.

    A first binding can be older than the declaration of its account (`effectiveFrom`).
    """
    row = tx.execute(
        f"{_ACCOUNT} where namespace = %(namespace)s and name = %(name)s order by created_at <= %(at)s desc, "
        "greatest(created_at - %(at)s, %(at)s - created_at) limit 1",
        {"namespace": namespace, "name": name, "at": at},
    ).fetchone()
    account = None if row is None else Account(*row)
    return (
        None if account is None or (account.deleted_at is not None and account.deleted_at <= at) else account
    )


def is_being_deleted(tx: Tx, *, uid: UUID) -> bool:
    """Whether the object of this uid waits for its finalizers to go."""
    query = "select deletion_requested_at is not null from controlplane.objects where uid = %s"
    row = tx.execute(query, (uid,)).fetchone()
    return row is not None and bool(row[0])


def find_payable(tx: Tx, *, namespace: str, name: str) -> tuple[Account, bool, datetime | None] | None:
    """The living account of that name, whether it is being deleted, and up to where it has been invoiced."""
    row = tx.execute(
        "select a.number, a.uid, a.namespace, a.name, a.owner_org, a.currency, a.time_zone, a.phase, a.deleted_at, "
        "a.invoice_day, "
        "coalesce((select o.deletion_requested_at is not null from controlplane.objects o where o.uid = a.uid), "
        "false), "
        "(select b.billed_until from accounts.billed b where b.account = a.number) "
        "from accounts.accounts a where a.namespace = %s and a.name = %s and a.deleted_at is null",
        (namespace, name),
    ).fetchone()
    return None if row is None else (Account(*row[:10]), row[10], row[11])


def find_billed_until(tx: Tx, *, account: int) -> datetime | None:
    """Up to where the account has been invoiced; None where it never was."""
    row = tx.execute("select billed_until from accounts.billed where account = %s", (account,)).fetchone()
    return None if row is None else row[0]


def get_number(tx: Tx, *, uid: UUID) -> int:
    """The number of the account that the object of this uid is, also a deleted one. Raises AccountNotFound."""
    row = tx.execute("select number from accounts.accounts where uid = %s", (uid,)).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no billing account with uid {uid}")
    return row[0]


def is_invoice_day_kept(tx: Tx, *, uid: UUID) -> bool:
    """Whether the last invoice day that was kept of the account is the one that it has."""
    row = tx.execute(
        "select from accounts.accounts a where a.uid = %s and a.invoice_day = (select d.invoice_day "
        "from accounts.invoice_days d where d.account = a.number order by d.day desc limit 1)",
        (uid,),
    )
    return row.rowcount == 1


def get_invoice_days(tx: Tx, *, account: int) -> InvoiceDays:
    """The invoice days that the account has had. Raises AccountNotFound."""
    rows = tx.execute(
        "select day, invoice_day from accounts.invoice_days where account = %s order by day", (account,)
    ).fetchall()
    if not rows:
        return InvoiceDays(get_account(tx, number=account).invoice_day)
    return InvoiceDays(rows[0][1], tuple(rows[1:]))


def find_closed_until(tx: Tx, *, account: int) -> datetime | None:
    """Up to where the account was invoiced, or nothing was to be invoiced; None where neither was said."""
    row = tx.execute(
        "select greatest(billed_until, closed_until) from accounts.billed where account = %s", (account,)
    ).fetchone()
    return None if row is None else row[0]


def needs_final(tx: Tx, *, account: int) -> bool:
    """Whether the account has paid for a project, or was invoiced, and has no final invoice of the time after."""
    row = tx.execute(
        "select coalesce(greatest(max(nullif(p.ends_at, 'infinity')), max(b.billed_until)) > "
        "coalesce(max(b.final_until), '-infinity'), false) from (values (%s)) as a (number) "
        "left join accounts.payer_intervals p on p.account = a.number "
        "left join accounts.billed b on b.account = a.number",
        (account,),
    ).fetchone()
    return row is not None and row[0]


def load_billed(tx: Tx, *, since: Mapping[int, int]) -> tuple[Billed, ...]:
    """Accounts of these shares that were invoiced further after those versions; for caches.

    `since` leads from a share of the accounts to the version of `billed/<share>` that is known; 0 is none.
    """
    query: LiteralString = (
        "select b.account, greatest(b.billed_until, b.closed_until), a.time_zone, b.version "
        "from unnest(%s::int[], %s::bigint[]) as s (share, known) "
        "join accounts.billed b on (b.account & 63) = s.share and b.version > s.known "
        "join accounts.accounts a on a.number = b.account"
    )
    found = tx.execute(query, (list(since), list(since.values())), prepare=True)
    return tuple(Billed(*row) for row in found)


def get_billing_profile(tx: Tx, vault: Vault, *, account: int) -> BillingProfile:
    """What an invoice needs to know of the account, personal fields opened.

    Raises AccountNotFound, also for an account that was deleted: its object is gone.
    """
    row = tx.execute(
        "select o.uid, o.spec from accounts.accounts a join controlplane.objects o on o.uid = a.uid "
        "where a.number = %s",
        (account,),
    ).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no billing account number {account}, or it was deleted")
    uid, spec = row
    opened = {field: _opened(tx, vault, uid, spec.get(field)) for field in profiles.PERSONAL}
    return profiles.read_profile(account, {**spec, **opened})


def _opened(tx: Tx, vault: Vault, uid: UUID, stored: Any) -> Any:
    """A personal field in clear; None where there is none or its subject was erased."""
    if not isinstance(stored, dict):
        return None
    ciphertext = cast("dict[str, str]", stored)[SEALED]
    value = vault.open(tx, subject=uid, ciphertext=ciphertext)
    return None if isinstance(value, Erased) else value
