"""SQL that reads the tree of accounts: who is above and below, and who is invoiced with whom."""

from collections.abc import Collection
from datetime import datetime
from typing import LiteralString

from milo_billing.accounts.types import AccountNode, TreeNode
from milo_billing.infra.database import Tx

_NODE: LiteralString = (
    "a.number, a.uid, a.namespace, a.name, a.parent, a.billing_mode, a.phase, a.currency, a.time_zone, a.invoice_day, "
    "a.invoice_frequency, a.profile_type, a.payment_method"
)
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


def list_invoiced_with(tx: Tx, *, account: int, since: datetime) -> tuple[int, ...]:
    """Numbers of the sub-accounts, at any depth, whose usage from `since` on is invoiced to the account, by path.

    An account that was deleted after that is among them; an archived one has nothing left to be invoiced.
    """
    found = tx.execute(
        "with recursive below (number, path, phase) as (select %(account)s::int, array[]::text[], ''::text union all "
        "select a.number, b.path || a.name || a.number::text, a.phase "
        "from accounts.accounts a join below b on a.parent = b.number "
        "where (a.deleted_at is null or a.deleted_at > %(since)s) and a.billing_mode = 'Parent') "
        "select number from below where number <> %(account)s and phase <> 'Archived' order by path",
        {"account": account, "since": since},
    )
    return tuple(number for (number,) in found)


def list_behind(tx: Tx, *, among: Collection[int], year: int, month: int) -> tuple[int, ...]:
    """Numbers of the living accounts among these of which an invoice ends with the rating period of this month, that
    were neither invoiced up to its end nor found to have nothing up to there.
    """
    found = tx.execute(
        "select a.number from accounts.accounts a left join accounts.billed b on b.account = a.number "
        "where a.number = any(%(among)s) and a.deleted_at is null and a.phase <> 'Archived' "
        "and %(month)s %% (case a.invoice_frequency when 'Monthly' then 1 when 'Quarterly' then 3 else 12 end) = 0 "
        "and coalesce(greatest(b.billed_until, b.closed_until), '-infinity') < "
        "(make_date(%(year)s, %(month)s, a.invoice_day) + interval '1 month') at time zone a.time_zone "
        "order by a.number",
        {"among": list(among), "year": year, "month": month},
    )
    return tuple(number for (number,) in found)


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
