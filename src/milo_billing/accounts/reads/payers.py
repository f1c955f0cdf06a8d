"""SQL that reads who pays for which project, and when."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, LiteralString
from uuid import UUID

from milo_billing.accounts.rules.bound_days import bound_days
from milo_billing.accounts.types import Account, PaidProject, Payer, PayerInterval, ProjectPayer
from milo_billing.infra.database import Tx
from milo_billing.kernel.periods import Period, local_midnight

_INTERVAL: LiteralString = (
    "select project, account, owner_org, binding, binding_name, project_name, starts_at, "
    "nullif(ends_at, 'infinity'), version from accounts.payer_intervals"
)


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
