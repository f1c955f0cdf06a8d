"""The auditor of accounts that are invoiced together, written from domain.md §7 and §9: who used earns, who pays owes,
what lies between them is zero, and nobody is charged twice for a day.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final, LiteralString

from milo_billing.infra.database import Tx

TRANSFERS: Final = "Assets:Transfers"

_NET: Final[LiteralString] = (
    "l.amount_minor + coalesce((select sum(d.amount_minor) from invoicing.line_discounts d "
    "where d.invoice = l.invoice and d.line = l.line and d.scope = 'Invoice'), 0)"
)
_PAID_EARLY: Final[LiteralString] = (
    "case when exists (select from invoicing.settlements s where s.kind = 'EarlyPaymentDiscount' "
    "and s.reference = n.uid::text) then n.account else l.used_by end"
)
"""A discount for early payment is given up by who pays, whoever used."""

_DOCUMENTS: Final[tuple[tuple[LiteralString, int], ...]] = (
    (
        f"select 'invoice/' || i.uid || '/issue', i.account, l.used_by, i.currency, sum({_NET}) "
        "from invoicing.lines l join invoicing.invoices i on i.uid = l.invoice group by 1, 2, 3, 4",
        1,
    ),
    (
        f"select 'credit-note/' || n.uid || '/issue', n.account, {_PAID_EARLY}, n.currency, sum(c.net_minor) "
        "from invoicing.credit_lines c join invoicing.credit_notes n on n.uid = c.credit_note "
        "join invoicing.lines l on l.invoice = c.invoice and l.line = c.line group by 1, 2, 3, 4",
        -1,
    ),
    (
        f"select 'credit-note/' || n.uid || '/cancel', n.account, {_PAID_EARLY}, n.currency, sum(c.net_minor) "
        "from invoicing.cancellations x join invoicing.credit_notes n on n.uid = x.credit_note "
        "join invoicing.credit_lines c on c.credit_note = n.uid "
        "join invoicing.lines l on l.invoice = c.invoice and l.line = c.line group by 1, 2, 3, 4",
        1,
    ),
)
"""Document, who pays, who used, currency, net; and whether it charges or gives back."""


def earned_where_it_was_used(tx: Tx) -> Iterator[str]:
    """What a document charges and gives back is earned, or will be, at the account of its lines, and what another is to
    pay of it is transferred there.
    """
    earned: dict[tuple[Any, ...], int] = defaultdict(int)
    transferred: dict[tuple[Any, ...], int] = defaultdict(int)
    for query, sign in _DOCUMENTS:
        for key, payer, user, currency, net in tx.execute(query):
            minor = sign * int(net)
            earned[key, user, currency] += minor
            if user != payer:
                transferred[key, user, currency] += minor
                transferred[key, payer, currency] -= minor
    rows = tx.execute(
        "select substring(t.key from '^(?:invoice|credit-note)/[^/]+/[a-z]+'), t.billing_account, e.currency, "
        "coalesce(sum(e.amount_minor) filter (where e.account = %s), 0), "
        "-coalesce(sum(e.amount_minor) filter (where e.account ~ "
        "'^(Income:(Revenue|ContraRevenue|Interest)|Liabilities:DeferredRevenue)'), 0) "
        "from ledger.entries e join ledger.transactions t on t.id = e.transaction "
        "where t.key ~ '^(invoice/[^/]+/issue|credit-note/[^/]+/(issue|cancel))' group by 1, 2, 3",
        (TRANSFERS,),
    ).fetchall()
    yield from _differences("earned", earned, {row[:3]: int(row[4]) for row in rows})
    yield from _differences("transferred", transferred, {row[:3]: int(row[3]) for row in rows})


def transfers_meet(tx: Tx) -> Iterator[str]:
    """Over all accounts no transfer is left."""
    rows = tx.execute(
        "select currency, sum(amount_minor) from ledger.entries where account = %s group by 1 "
        "having sum(amount_minor) <> 0",
        (TRANSFERS,),
    )
    for currency, minor in rows:
        yield f"transfers over all accounts are {minor} {currency}"


def once_a_day(tx: Tx) -> Iterator[str]:
    """No instant of an account is on two invoices that stand, by their sections and by their lines; and an account's
    lines are in the days of its section.
    """
    rows = tx.execute(
        "select a.account, i.number, j.number from invoicing.sections a join invoicing.sections b "
        "on a.account = b.account and a.invoice < b.invoice and a.period && b.period "
        "join invoicing.invoices i on i.uid = a.invoice join invoicing.invoices j on j.uid = b.invoice "
        "where i.phase <> 'Void' and j.phase <> 'Void'"
    )
    for account, one, other in rows:
        yield f"days of account {account} are on {one} and {other}"
    rows = tx.execute(
        "select k.used_by, i.number, j.number, k.sku_name from invoicing.lines k join invoicing.lines l "
        "on k.used_by = l.used_by and k.invoice < l.invoice and k.sku = l.sku and k.kind = l.kind "
        "and daterange(k.first_day, k.end_day) && daterange(l.first_day, l.end_day) "
        "join invoicing.invoices i on i.uid = k.invoice join invoicing.invoices j on j.uid = l.invoice "
        "where k.kind = 'Usage' and i.phase <> 'Void' and j.phase <> 'Void'"
    )
    for account, one, other, sku in rows:
        yield f"{sku} of account {account} is charged twice for a day, on {one} and {other}"
    rows = tx.execute(
        "select i.number, l.line from invoicing.lines l join invoicing.invoices i on i.uid = l.invoice "
        "left join invoicing.sections s on s.invoice = l.invoice and s.account = l.used_by "
        "where i.kind in ('Periodic', 'Consolidated') and l.kind = 'Usage' and ("
        "s.account is null or l.first_day < (lower(s.period) at time zone 'UTC')::date "
        "or l.end_day > (upper(s.period) at time zone 'UTC')::date)"
    )
    for number, line in rows:
        yield f"line {line} of {number} is in no section of its account's"


def promotions_stay_with_their_account(tx: Tx) -> Iterator[str]:
    """Promotional credit is off lines of what its account used, whoever pays."""
    rows = tx.execute(
        "select i.number, d.line, g.name from invoicing.line_discounts d "
        "join invoicing.lines l on l.invoice = d.invoice and l.line = d.line "
        "join invoicing.invoices i on i.uid = d.invoice join invoicing.credit_grants g on g.uid = d.source "
        "where d.given_by = 'CreditGrant' and g.account <> l.used_by"
    )
    for number, line, name in rows:
        yield f"{name} is off line {line} of {number}, which another account used"


def _differences(what: str, expected: dict[Any, int], found: dict[Any, int]) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys(), key=str):
        if expected.get(key, 0) != found.get(key, 0):
            yield f"{what}: {key} should be {expected.get(key, 0)}, is {found.get(key, 0)}"


TOGETHER_CHECKS: Final = (
    earned_where_it_was_used,
    transfers_meet,
    once_a_day,
    promotions_stay_with_their_account,
)
