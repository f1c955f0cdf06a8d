"""SQL that reads who pays.

Rows come out as frozen values; an open end is None. What a transaction reaches is decided by row-level security.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, LiteralString, cast
from uuid import UUID

from milo_billing.accounts.rules import profiles
from milo_billing.accounts.rules.bound_days import bound_days
from milo_billing.accounts.types import (
    Account,
    AccountNode,
    AccountNotFound,
    Billed,
    BillingProfile,
    InvoiceDays,
    MethodOwner,
    PaidProject,
    Payer,
    PayerInterval,
    PayingMethod,
    PaymentMethodClassEntry,
    PaymentMethodEntry,
    ProjectPayer,
    TreeNode,
)
from milo_billing.controlplane.store import SEALED
from milo_billing.infra.crypto import Erased, Vault
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import Period, local_midnight

_ACCOUNT: LiteralString = (
    "select number, uid, namespace, name, owner_org, currency, time_zone, phase, deleted_at, invoice_day "
    "from accounts.accounts"
)
_NODE: LiteralString = (
    "a.number, a.uid, a.namespace, a.name, a.parent, a.billing_mode, a.phase, a.currency, a.time_zone, a.invoice_day, "
    "a.invoice_frequency, a.profile_type, a.payment_method"
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


# ----------------------------------------------------------------------------------------------------- trees

_ABOVE: LiteralString = (
    "with recursive above (number, parent, height) as ("
    "select number, parent, 0 from accounts.accounts where number = %(account)s "
    "union all select p.number, p.parent, c.height + 1 from accounts.accounts p join above c on p.number = c.parent) "
)


def find_node(tx: Tx, *, namespace: str, name: str) -> AccountNode | None:
    """The living account of that name, as it stands in its tree."""
    row = tx.execute(
        f"select {_NODE} from accounts.accounts a "
        "where a.namespace = %s and a.name = %s and a.deleted_at is null",
        (namespace, name),
    ).fetchone()
    return None if row is None else AccountNode(*row)


def list_ancestors(tx: Tx, *, account: int) -> tuple[AccountNode, ...]:
    """The account itself, its parent, and so on to the root; as many as a tree has levels at most."""
    found = tx.execute(
        f"{_ABOVE} select {_NODE} from above join accounts.accounts a using (number) order by above.height",
        {"account": account},
    )
    return tuple(AccountNode(*row) for row in found)


def count_levels_below(tx: Tx, *, account: int) -> int:
    """How many levels of living sub-accounts the account has; 0 without any."""
    row = tx.execute(
        "with recursive below (number, depth) as (select %s::int, 0 union all "
        "select a.number, b.depth + 1 from accounts.accounts a join below b on a.parent = b.number "
        "where a.deleted_at is null) select max(depth) from below",
        (account,),
    ).fetchone()
    return 0 if row is None else row[0]


def list_consolidated(tx: Tx, *, account: int) -> tuple[AccountNode, ...]:
    """The living sub-accounts, at any depth, that are invoiced together with the account, by number."""
    found = tx.execute(
        "with recursive below (number) as (select %s::int union all "
        "select a.number from accounts.accounts a join below b on a.parent = b.number "
        f"where a.deleted_at is null and a.billing_mode = 'Parent') select {_NODE} "
        "from below join accounts.accounts a using (number) where number <> %s order by number",
        (account, account),
    )
    return tuple(AccountNode(*row) for row in found)


def list_sub_accounts(tx: Tx, *, account: int, archived: bool, limit: int) -> tuple[str, ...]:
    """Names of living accounts right below this one; without `archived`, of those that are not."""
    found = tx.execute(
        "select name from accounts.accounts where parent = %s and deleted_at is null "
        "and (%s or phase <> 'Archived') order by name limit %s",
        (account, archived, limit),
    )
    return tuple(row[0] for row in found)


def list_tree(tx: Tx, *, account: int, after: tuple[str, ...] = (), limit: int) -> tuple[TreeNode, ...]:
    """The living accounts below this one in the order of their paths, parents before children, from behind `after`.

    Every node counts the projects it pays for now, and those that the accounts below it pay for.
    """
    found = tx.execute(
        "with recursive below (number, path) as ("
        "select %(account)s::int, array[]::text[] union all "
        "select a.number, b.path || a.name from accounts.accounts a join below b on a.parent = b.number "
        "where a.deleted_at is null), "
        "page as (select number, path from below where path > %(after)s::text[] order by path limit %(limit)s), "
        "paid as (select b.path, count(i.id) as projects from below b left join accounts.payer_intervals i "
        "on i.account = b.number and i.ends_at = 'infinity' group by b.path) "
        f"select {_NODE}, page.path, own.projects, (select coalesce(sum(p.projects), 0)::bigint from paid p "
        "where p.path > page.path and p.path[1:cardinality(page.path)] = page.path) "
        "from page join accounts.accounts a using (number) join paid own on own.path = page.path order by page.path",
        {"account": account, "after": list(after), "limit": limit},
    )
    return tuple(TreeNode(AccountNode(*row[:13]), tuple(row[13]), row[14], row[15]) for row in found)


# ------------------------------------------------------------------------------------------- payment methods


def find_method(tx: Tx, *, namespace: str, name: str) -> PaymentMethodEntry | None:
    """The payment method of that name."""
    row = tx.execute(
        "select namespace, name, account, phase, type, failure_reason from accounts.payment_methods "
        "where namespace = %s and name = %s",
        (namespace, name),
    ).fetchone()
    return None if row is None else PaymentMethodEntry(*row)


def list_paying_methods(tx: Tx, *, accounts: Collection[int]) -> Mapping[int, PayingMethod]:
    """The payment method that each of the accounts is collected from: those that have one, by number.

    It is active, of a class that collects by itself, and named by a payment profile Card or DirectDebit.
    """
    rows = tx.execute(
        "select a.number, m.uid, m.namespace, m.name, m.type, c.uid, c.name, c.provider from accounts.accounts a "
        "join accounts.payment_methods m on m.namespace = a.namespace and m.name = a.payment_method "
        "and m.account = a.uid join accounts.payment_method_classes c on c.uid = m.class "
        "where a.number = any(%s) and a.deleted_at is null and a.profile_type in ('Card', 'DirectDebit') "
        "and m.phase = 'Active' and c.provider <> 'manual'",
        (list(accounts),),
    )
    return {number: PayingMethod(*method) for number, *method in rows}


def list_pending_methods(tx: Tx, *, limit: int) -> tuple[UUID, ...]:
    """Payment methods whose provider has not said yet whether they can be paid with; uids, in their order."""
    rows = tx.execute(
        "select m.uid from accounts.payment_methods m join accounts.payment_method_classes c on c.uid = m.class "
        "where m.phase = 'Pending' and c.provider <> 'manual' order by m.uid limit %s",
        (limit,),
    )
    return tuple(uid for (uid,) in rows)


def get_method_owner(tx: Tx, *, uid: UUID) -> MethodOwner:
    """Whose a payment method is, and which class it is of. Raises AccountNotFound."""
    row = tx.execute(
        "select m.uid, m.owner_org, m.namespace, m.name, m.phase, m.account, a.number, c.uid, c.name, c.provider "
        "from accounts.payment_methods m join accounts.payment_method_classes c on c.uid = m.class "
        "join accounts.accounts a on a.uid = m.account where m.uid = %s",
        (uid,),
    ).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no payment method {uid}")
    return MethodOwner(*row)


def find_method_uid(tx: Tx, *, namespace: str, name: str) -> UUID | None:
    """The uid of the payment method of that name."""
    row = tx.execute(
        "select uid from accounts.payment_methods where namespace = %s and name = %s", (namespace, name)
    ).fetchone()
    return None if row is None else row[0]


def get_method_class_name(tx: Tx, *, uid: UUID) -> str:
    """What a payment method class is called. Raises AccountNotFound."""
    row = tx.execute("select name from accounts.payment_method_classes where uid = %s", (uid,)).fetchone()
    if row is None:
        raise AccountNotFound(f"there is no payment method class {uid}")
    return row[0]


def find_method_class(tx: Tx, *, name: str | None) -> PaymentMethodClassEntry | None:
    """The payment method class of that name; None asks for the default one.

    It stays until the transaction ends.
    """
    row = tx.execute(
        "select uid, name, provider, is_default from accounts.payment_method_classes "
        "where name = %(name)s or (%(name)s::text is null and is_default) for key share",
        {"name": name},
    ).fetchone()
    return None if row is None else PaymentMethodClassEntry(*row)


def list_methods_of_class(tx: Tx, *, uid: UUID, limit: int) -> tuple[str, ...]:
    """Payment methods of the class as `namespace/name`."""
    found = tx.execute(
        "select namespace || '/' || name from accounts.payment_methods where class = %s "
        "order by namespace, name limit %s",
        (uid, limit),
    )
    return tuple(row[0] for row in found)


# ------------------------------------------------------------------------------------------------ intervals


def paid_within(tx: Tx, *, account: int, project: int, period: Period) -> bool:
    """Whether the account paid for the project at some time in the period."""
    query = (
        "select from accounts.payer_intervals "
        "where project = %s and account = %s and starts_at < %s and ends_at > %s limit 1"
    )
    return tx.execute(query, (project, account, period.end, period.start)).rowcount == 1


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


def count_bound_days(
    tx: Tx, *, windows: Collection[tuple[Account, date, date]]
) -> Mapping[tuple[int, date], Mapping[int, tuple[int, int]]]:
    """For each window, an account and the days [first, end) of its zone: for each project that it paid for on one of
    them, on how many it did, and how many days there are. `rules.bound_days` says whose the day of a change is.

    By account number and first day. All windows are read at once.
    """
    periods = {
        (account.number, first): (
            account,
            Period(
                local_midnight(first, zone=account.time_zone), local_midnight(end, zone=account.time_zone)
            ),
        )
        for account, first, end in windows
    }
    if not periods:
        return {}
    found = tx.execute(
        f"{_INTERVAL} where starts_at < %(end)s and ends_at > %(start)s and project in (select project from "
        "accounts.payer_intervals where account = any (%(accounts)s) and starts_at < %(end)s and ends_at > %(start)s) "
        "order by project, starts_at",
        {
            "accounts": sorted({number for number, _ in periods}),
            "start": min(period.start for _, period in periods.values()),
            "end": max(period.end for _, period in periods.values()),
        },
    )
    by_account: dict[int, list[list[PayerInterval]]] = {}
    for _, of_project in groupby((PayerInterval(*row) for row in found), key=attrgetter("project")):
        payers = list(of_project)
        for number in {each.account for each in payers}:
            by_account.setdefault(number, []).append(payers)
    return {
        key: bound_days(
            chain.from_iterable(by_account.get(account.number, ())),
            account=account.number,
            period=period,
            zone=account.time_zone,
        )
        for key, (account, period) in periods.items()
    }


def count_bound_projects(tx: Tx, *, account: int) -> int:
    """How many projects the account pays for at present."""
    row = tx.execute(
        "select count(*) from accounts.payer_intervals where account = %s and ends_at = 'infinity'",
        (account,),
    ).fetchone()
    return 0 if row is None else row[0]


def find_first_start(tx: Tx, *, account: int) -> datetime | None:
    """When the account began to pay for the first of its projects; None where it never did."""
    row = tx.execute(
        "select min(starts_at) from accounts.payer_intervals where account = %s", (account,)
    ).fetchone()
    return None if row is None else row[0]


def find_last_end(tx: Tx, *, account: int) -> datetime | None:
    """When the account stopped paying for the last of its projects; None where it pays still, or never did."""
    row = tx.execute(
        "select nullif(max(ends_at), 'infinity') from accounts.payer_intervals where account = %s", (account,)
    ).fetchone()
    return None if row is None else row[0]


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


# ------------------------------------------------------------------------------------------------- time lines


def list_payers(
    tx: Tx, *, project_name: str, after: datetime | None = None, limit: int
) -> tuple[ProjectPayer, ...]:
    """Everybody who paid for the projects of that name, in the order of time, from behind the one since `after`."""
    found = tx.execute(
        "select i.project, i.account, a.namespace, a.name, i.starts_at, nullif(i.ends_at, 'infinity'), i.binding, "
        "i.binding_name from accounts.payer_intervals i join accounts.accounts a on a.number = i.account "
        "where i.project_name = %s and i.starts_at > coalesce(%s, '-infinity'::timestamptz) "
        "order by i.starts_at limit %s",
        (project_name, after, limit),
    )
    return tuple(ProjectPayer(row[0], Payer(*row[1:6]), row[6], row[7]) for row in found)


def list_paid_projects(
    tx: Tx, *, account: int, at: datetime, after: str = "", limit: int
) -> tuple[PaidProject, ...]:
    """The projects that the account pays for at that instant, by name, from behind the one called `after`."""
    found = tx.execute(
        "select project, project_name, binding, binding_name, starts_at, nullif(ends_at, 'infinity') "
        "from accounts.payer_intervals where account = %(account)s and project_name > %(after)s "
        "and starts_at <= %(at)s and ends_at > %(at)s order by project_name limit %(limit)s",
        {"account": account, "after": after, "at": at, "limit": limit},
    )
    return tuple(PaidProject(*row) for row in found)
