"""The auditor of credit, written from domain.md §7: what is left of a grant, who used it, in which order."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any, Final

from milo_billing.infra.database import Tx

_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_INSTANT: Final = timedelta(microseconds=1)
_RISING: Final = ("Granted", "GivenBack")


def grants_are_their_movements(tx: Tx) -> Iterator[str]:
    """What is left is what was granted and given back, less what was used, expired and was revoked; never below zero.

    So at every step of its history, in the row, and in the object.
    """
    history: dict[Any, list[tuple[str, int]]] = defaultdict(list)
    for uid, kind, minor in tx.execute(
        "select credit_grant, kind, amount_minor from invoicing.grant_movements order by credit_grant, step"
    ):
        history[uid].append((kind, minor))
    rows = tx.execute(
        "select g.uid, g.name, g.amount_minor, g.remaining_minor, o.status from invoicing.credit_grants g "
        "left join controlplane.objects o on o.uid = g.uid"
    )
    for uid, name, granted, remaining, status in rows:
        moved, left = history[uid], 0
        for kind, minor in moved:
            left += minor
            if left < 0 or (minor > 0) != (kind in _RISING):
                yield f"{name}: {moved} takes it to {left}"
        if moved[:1] != [("Granted", granted)] or left != remaining:
            yield f"{name} of {granted} has {remaining} left, and {moved} leave {left}"
        summed = {
            what: sum(minor for kind, minor in moved if kind in kinds)
            for what, kinds in (
                ("granted", ("Granted",)),
                ("used", ("Used", "GivenBack")),
                ("expired", ("Expired",)),
                ("revoked", ("Revoked",)),
            )
        }
        said = {what: abs(int(Decimal(status[what]).scaleb(2))) for what in summed}
        if said != {what: abs(minor) for what, minor in summed.items()}:
            yield f"{name} says {status}, and its movements {summed}"


def uses_are_right(tx: Tx) -> Iterator[str]:
    """An invoice uses a grant of its account, within its time, once; and stands in its lines, notes and settlements."""
    rows = tx.execute(
        "select g.uid, g.name, g.kind, i.uid, i.number, g.currency = i.currency and (g.account = i.account "
        "or (g.kind = 'Promotional' and exists (select from invoicing.lines l "
        "where l.invoice = i.uid and l.used_by = g.account))), "
        "g.effective_from <= m.at and m.at < coalesce(g.expires_at, 'infinity') and m.at = i.issued_at, "
        "-m.amount_minor, m.cause from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant "
        "join invoicing.invoices i on i.uid = m.invoice where m.kind = 'Used'"
    ).fetchall()
    discounted = _sums(
        tx,
        "select source, invoice, -sum(amount_minor) from invoicing.line_discounts "
        "where given_by = 'CreditGrant' group by 1, 2",
    )
    paid = _sums(
        tx,
        "select g.uid, s.invoice, sum(s.amount_minor) from invoicing.settlements s "
        "join invoicing.credit_grants g on g.uid::text = s.reference where s.kind = 'Credit' group by 1, 2",
    )
    noted = {
        f"credit-note/{uid}": net
        for uid, net in tx.execute("select uid, net_minor from invoicing.credit_notes").fetchall()
    }
    used: set[tuple[Any, Any]] = set()
    for grant, name, kind, invoice, number, same, in_time, minor, cause in rows:
        where = f"{name} for {number}"
        if not same:
            yield f"{where}: it belongs to another account"
        if not in_time:
            yield f"{where}: it was not usable when the invoice was issued"
        if (grant, invoice) in used:
            yield f"{where}: it was used twice"
        used.add((grant, invoice))
        stands = {
            "Promotional": discounted.pop((grant, invoice), 0),
            "Prepaid": paid.pop((grant, invoice), 0),
            "Goodwill": noted.get(cause, 0),
        }[kind]
        if stands != minor:
            yield f"{where}: used {minor}, and the invoice has {stands} of it"
    for (grant, invoice), minor in [*discounted.items(), *paid.items()]:
        yield f"{minor} of grant {grant} stand on invoice {invoice}, and nobody noted the use"


def given_back_is_right(tx: Tx) -> Iterator[str]:
    """No invoice gives back more than it used; after the grant expired only what is taken away at once, since its money
    went back; a void one gives back all it can.
    """
    rows = tx.execute(
        "select g.name, i.number, sum(m.amount_minor), i.phase = 'Void', "
        "bool_or(m.kind = 'GivenBack' and m.at >= g.expires_at and m.cause !~ '^(bank|payment)/'), "
        "(select max(n.issued_at) from invoicing.credit_notes n where n.invoice = i.uid and n.voids) "
        "< coalesce(g.expires_at, 'infinity') from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant "
        "join invoicing.invoices i on i.uid = m.invoice group by g.uid, i.uid"
    )
    for name, number, net, void, late, kept in rows:
        if net > 0:
            yield f"{number} gave {net} more of {name} back than it used"
        if late:
            yield f"{number} gave back {name}, which had expired"
        if void and kept and net:
            yield f"{number} is void, and keeps {-net} of {name}"


def order_is_kept(tx: Tx) -> Iterator[str]:
    """Within a kind nothing is used of a later grant while an earlier one has something left; money is used first."""
    rows = tx.execute(
        "select g.uid, g.name, g.kind, g.account, g.priority, g.effective_from, g.expires_at, g.granted_at "
        "from invoicing.credit_grants g where g.selectors = '[]'"
    ).fetchall()
    grants = {row[0]: row for row in rows}
    moved: dict[Any, list[tuple[datetime, int]]] = defaultdict(list)
    used: dict[tuple[int, datetime], set[Any]] = defaultdict(set)
    for uid, account, at, minor, kind in tx.execute(
        "select m.credit_grant, g.account, m.at, m.amount_minor, m.kind from invoicing.grant_movements m "
        "join invoicing.credit_grants g on g.uid = m.credit_grant"
    ):
        if kind != "GivenBack":
            moved[uid].append((at, minor))
        else:  # what comes back with an invoice is there for the next one
            moved[uid].append((at + _INSTANT, minor))
        if kind == "Used" and uid in grants:
            used[account, at].add(uid)
    for (account, at), uids in used.items():
        usable = [one for one in grants.values() if one[3] == account and _holds(one, at)]
        for one, other in combinations(sorted(usable, key=_order), 2):
            left = sum(minor for instant, minor in moved[one[0]] if instant <= at)
            if one[2] == other[2] and other[0] in uids and left > 0:
                yield f"at {at} {other[1]} was used, and {left} are left of {one[1]}, which comes first"
    due = tx.execute(
        "select i.number, i.account, i.issued_at, i.total_minor - coalesce((select sum(s.amount_minor) "
        "from invoicing.settlements s where s.invoice = i.uid and s.noted_at <= i.issued_at), 0) "
        "from invoicing.invoices i where i.kind in ('Periodic', 'Consolidated')"
    ).fetchall()
    for number, account, at, minor in due:
        for one in grants.values():
            left = sum(amount for instant, amount in moved[one[0]] if instant <= at)
            if minor > 0 and left > 0 and one[2:4] == ("Prepaid", account) and _holds(one, at):
                yield f"{number} was issued with {minor} due, and {left} are left of {one[1]}"


def _holds(grant: tuple[Any, ...], at: datetime) -> bool:
    return grant[7] <= at and grant[5] <= at < (grant[6] or _NEVER)


def _order(grant: tuple[Any, ...]) -> tuple[Any, ...]:
    return grant[4], grant[6] or _NEVER, grant[7], grant[0]


def _sums(tx: Tx, query: str) -> dict[tuple[Any, Any], int]:
    return {(one, other): int(minor) for one, other, minor in tx.execute(query.encode()) if minor}


def money_behind_grants(tx: Tx) -> Iterator[str]:
    """What customers prepaid lies in the books, by account: what is left of their grants."""
    owed = _sums(
        tx,
        "select account, currency, sum(remaining_minor) from invoicing.credit_grants "
        "where kind = 'Prepaid' group by 1, 2",
    )
    booked = _sums(
        tx,
        "select t.billing_account, e.currency, -sum(e.amount_minor) from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction "
        "where e.account = 'Liabilities:MoneyOnAccount:Prepaid' group by 1, 2",
    )
    for key in owed.keys() | booked.keys():
        if owed.get(key, 0) != booked.get(key, 0):
            yield f"prepaid of {key}: {owed.get(key, 0)} are left of grants, {booked.get(key, 0)} in the books"


CREDIT_CHECKS: Final = (
    grants_are_their_movements,
    uses_are_right,
    given_back_is_right,
    order_is_kept,
    money_behind_grants,
)
