"""SQL that reads who pays.

Rows come out as frozen values; an open end is None. What a transaction reaches is decided by row-level security.
"""

from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

from milo_billing.accounts.types import (
    Account,
    AccountNotFound,
    Address,
    BillingProfile,
    Contact,
    Payer,
    PayerInterval,
    TaxId,
)
from milo_billing.controlplane.store import SEALED
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx

_ACCOUNT: LiteralString = (
    "select number, uid, namespace, name, owner_org, currency, time_zone, phase, deleted_at "
    "from accounts.accounts"
)
_INTERVAL: LiteralString = (
    "select project, account, owner_org, binding, binding_name, project_name, starts_at, "
    "nullif(ends_at, 'infinity'), version from accounts.payer_intervals"
)


# ------------------------------------------------------------------------------------------------- accounts


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


def find_account(tx: Tx, *, namespace: str, name: str) -> Account | None:
    """The living account of that name."""
    row = tx.execute(
        f"{_ACCOUNT} where namespace = %s and name = %s and deleted_at is null", (namespace, name)
    ).fetchone()
    return None if row is None else Account(*row)


def is_being_deleted(tx: Tx, *, account: int) -> bool:
    """Whether the account's object waits for its finalizers to go."""
    query = (
        "select o.deletion_requested_at is not null from accounts.accounts a "
        "join controlplane.objects o on o.uid = a.uid where a.number = %s"
    )
    row = tx.execute(query, (account,)).fetchone()
    return row is not None and bool(row[0])


def find_billed_until(tx: Tx, *, account: int) -> datetime | None:
    """Up to where the account has been invoiced; None where it never was."""
    row = tx.execute("select billed_until from accounts.billed where account = %s", (account,)).fetchone()
    return None if row is None else row[0]


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
    terms: dict[str, Any] = spec["paymentTerms"]
    return BillingProfile(
        account=account,
        net_days=terms["netDays"],
        invoice_day=terms["invoiceDayOfMonth"],
        invoice_frequency=terms["invoiceFrequency"],
        language=spec["language"],
        display_name=spec.get("displayName", ""),
        zero_invoices=spec["zeroInvoices"],
        contact=_contact(_opened(tx, vault, uid, spec.get("contactInfo"))),
        tax_ids=tuple(
            TaxId(type=tax_id["type"], value=tax_id["value"])
            for tax_id in _opened(tx, vault, uid, spec.get("taxIds")) or ()
        ),
    )


def _opened(tx: Tx, vault: Vault, uid: UUID, stored: Any) -> Any:
    """A personal field in clear; None where there is none or its subject was erased."""
    if not isinstance(stored, dict):
        return None
    ciphertext = cast("dict[str, str]", stored)[SEALED]
    value = vault.open(tx, subject=uid, ciphertext=ciphertext)
    return None if isinstance(value, Erased) else value


def _contact(info: Any) -> Contact | None:
    if info is None:
        return None
    return Contact(
        email=info["email"],
        name=info.get("name", ""),
        business_name=info.get("businessName", ""),
        invoice_emails=tuple(info.get("invoiceEmails", ())),
        address=_address(info.get("address")),
    )


def _address(info: Any) -> Address | None:
    if info is None:
        return None
    return Address(
        country=info["country"],
        line1=info.get("line1", ""),
        line2=info.get("line2", ""),
        city=info.get("city", ""),
        region=info.get("region", ""),
        postal_code=info.get("postalCode", ""),
    )


# ------------------------------------------------------------------------------------------------ intervals


def load_intervals(tx: Tx, *, since_version: int = 0) -> tuple[PayerInterval, ...]:
    """Every interval that was opened or ended after that version of 'payers', by project and start; 0 is all."""
    found = tx.execute(f"{_INTERVAL} where version > %s order by project, starts_at", (since_version,))
    return tuple(PayerInterval(*row) for row in found)


def find_interval(tx: Tx, *, binding: UUID) -> PayerInterval | None:
    """The interval that a binding opened, by the binding's uid."""
    row = tx.execute(f"{_INTERVAL} where binding = %s", (binding,)).fetchone()
    return None if row is None else PayerInterval(*row)


def find_last_interval(tx: Tx, *, project: int) -> PayerInterval | None:
    """The newest interval of a project, whether it still runs or not."""
    row = tx.execute(f"{_INTERVAL} where project = %s order by starts_at desc limit 1", (project,)).fetchone()
    return None if row is None else PayerInterval(*row)


def find_successor(tx: Tx, *, interval: PayerInterval) -> PayerInterval | None:
    """The interval that begins where this one ends; None where it runs, or nothing took its place."""
    if interval.ends_at is None:
        return None
    row = tx.execute(
        f"{_INTERVAL} where project = %s and starts_at = %s", (interval.project, interval.ends_at)
    ).fetchone()
    return None if row is None else PayerInterval(*row)


def count_bound_projects(tx: Tx, *, account: int) -> int:
    """How many projects the account pays for at present."""
    row = tx.execute(
        "select count(*) from accounts.payer_intervals where account = %s and ends_at = 'infinity'",
        (account,),
    ).fetchone()
    return 0 if row is None else row[0]


def find_active_interval(tx: Tx, *, account: int) -> PayerInterval | None:
    """One of the account's running intervals, the oldest binding first; None where it pays for no project."""
    row = tx.execute(
        f"{_INTERVAL} where account = %s and ends_at = 'infinity' order by starts_at, binding_name limit 1",
        (account,),
    ).fetchone()
    return None if row is None else PayerInterval(*row)


# ----------------------------------------------------------------------------------------------------- payer


def find_payer(tx: Tx, *, project: int, at: datetime) -> Payer | None:
    """Who pays for the project at that instant: one indexed lookup. None where nobody does."""
    # the newest interval that began by then is the only candidate: intervals of a project do not overlap
    return _payer(
        tx,
        "select account, starts_at, ends_at from accounts.payer_intervals "
        "where project = %(project)s and starts_at <= %(at)s order by starts_at desc limit 1",
        {"project": project, "at": at},
    )


def who_pays(tx: Tx, *, project_name: str, at: datetime) -> Payer | None:
    """Who pays for the project that has this name at that instant: one indexed lookup. None where nobody does.

    A name can be used again after a deletion. Its intervals do not overlap either: a project that is paid for
    cannot be deleted, and no binding is backdated to before an earlier bearer of the name had gone.
    """
    return _payer(
        tx,
        "select account, starts_at, ends_at from accounts.payer_intervals "
        "where project_name = %(name)s and starts_at <= %(at)s order by starts_at desc limit 1",
        {"name": project_name, "at": at},
    )


def _payer(tx: Tx, candidate: LiteralString, values: dict[str, Any]) -> Payer | None:
    row = tx.execute(
        f"select i.account, a.namespace, a.name, i.starts_at, nullif(i.ends_at, 'infinity') from ({candidate}) i "
        "join accounts.accounts a on a.number = i.account where i.ends_at > %(at)s",
        values,
    ).fetchone()
    return None if row is None else Payer(*row)
