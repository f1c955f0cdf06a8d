"""SQL that reads exchange rates, and what was declared to be charged once. Public."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final, LiteralString

from milo_billing.controlplane.projections import ProjectionDifference, compare_rows
from milo_billing.infra.database import Tx
from milo_billing.kernel.money import Currency
from milo_billing.pricing.rules.fx import EURO
from milo_billing.pricing.types import ExchangeRate, OneTimeCharge, RateNotFound, ReferenceRate

ECB: Final = "ECB"
"""The European Central Bank: the source where none is named."""

_ONE: Final = Decimal(1)
_CROSS: LiteralString = (
    "select f.day, f.rate, t.rate from pricing.exchange_rates f join pricing.exchange_rates t "
    "on (t.source, t.day) = (f.source, f.day) where f.source = %(source)s and f.currency = %(from)s "
    "and t.currency = %(to)s and f.day <= %(on)s and (%(known)s::timestamptz is null "
    "or greatest(f.imported_at, t.imported_at) <= %(known)s) order by f.day desc limit 1"
)
_DIRECT: LiteralString = (
    "select day, rate from pricing.exchange_rates where source = %(source)s and currency = %(leg)s "
    "and day <= %(on)s and (%(known)s::timestamptz is null or imported_at <= %(known)s) order by day desc limit 1"
)


def get_rate(
    tx: Tx, *, from_currency: Currency, to_currency: Currency, on: date, source: str = ECB
) -> ExchangeRate:
    """The rate that was last published on the day or before it, for both currencies on one day.

    Raises RateNotFound.
    """
    found = find_rate(tx, from_currency=from_currency, to_currency=to_currency, on=on, source=source)
    if found is None:
        raise RateNotFound(
            f"no exchange rate from {from_currency} to {to_currency} was published on {on.isoformat()} or before: "
            "milo-billing rates import FILE brings them in"
        )
    return found


def find_rate(
    tx: Tx,
    *,
    from_currency: Currency,
    to_currency: Currency,
    on: date,
    source: str = ECB,
    known_at: datetime | None = None,
) -> ExchangeRate | None:
    """The rate that was last published on the day or before it; None where there is none.

    A currency to itself is 1 on that very day. With `known_at` of those that had been brought in at that instant.
    """
    if from_currency == to_currency:
        return ExchangeRate(source, on, from_currency, to_currency, _ONE, _ONE)
    asked = {"source": source, "from": from_currency, "to": to_currency, "on": on, "known": known_at}
    if EURO not in (from_currency, to_currency):
        row = tx.execute(_CROSS, asked).fetchone()
        return None if row is None else ExchangeRate(source, row[0], from_currency, to_currency, *row[1:])
    leg = to_currency if from_currency == EURO else from_currency
    row = tx.execute(_DIRECT, {**asked, "leg": leg}).fetchone()
    if row is None:
        return None
    day, rate = row
    legs = (_ONE, rate) if from_currency == EURO else (rate, _ONE)
    return ExchangeRate(source, day, from_currency, to_currency, *legs)


def find_last_day(tx: Tx, *, source: str = ECB) -> date | None:
    """The last day of which the source's rates are here; None where there are none."""
    row = tx.execute("select max(day) from pricing.exchange_rates where source = %s", (source,)).fetchone()
    return None if row is None else row[0]


def find_difference(
    tx: Tx, *, source: str, rates: Sequence[ReferenceRate]
) -> tuple[ReferenceRate, Decimal] | None:
    """The first of these rates that stands with another value, and that value."""
    row = tx.execute(
        "select given.day, given.currency, given.rate, r.rate "
        "from unnest(%s::text[], %s::date[], %s::numeric[]) as given (currency, day, rate) "
        "join pricing.exchange_rates r on (r.source, r.currency, r.day) = (%s, given.currency, given.day) "
        "where r.rate <> given.rate order by given.day, given.currency limit 1",
        (
            [rate.currency for rate in rates],
            [rate.day for rate in rates],
            [rate.rate for rate in rates],
            source,
        ),
    ).fetchone()
    return None if row is None else (ReferenceRate(*row[:3]), row[3])


def list_charges(tx: Tx, *, account: int, first: date, end: date, limit: int) -> tuple[OneTimeCharge, ...]:
    """The account's charges on the days `[first, end)`, by day, then name; at most `limit` of them."""
    found = tx.execute(
        "select name, sku, day, quantity, description from pricing.charges "
        "where account = %s and day >= %s and day < %s order by day, name limit %s",
        (account, first, end, limit),
    )
    return tuple(OneTimeCharge(*row) for row in found)


_DECLARED: LiteralString = """
select 'pricing.charges', uid::text, 'charge ' || namespace || '/' || name, jsonb_build_object(
    'name', name, 'namespace', namespace, 'owner_org', owner_org, 'account', spec #>> '{billingAccountRef,name}',
    'sku', spec #>> '{skuRef,name}', 'day', (spec ->> 'date')::date, 'quantity', (spec ->> 'quantity')::numeric,
    'description', coalesce(spec ->> 'description', ''))
from controlplane.objects where api_group = 'billing.miloapis.com' and resource = 'charges'
"""

_PROJECTED: LiteralString = """
select 'pricing.charges', c.uid::text, 'charge ' || c.namespace || '/' || c.name, jsonb_build_object(
    'name', c.name, 'namespace', c.namespace, 'owner_org', c.owner_org, 'account', a.name, 'sku', c.sku, 'day', c.day,
    'quantity', c.quantity, 'description', c.description)
from pricing.charges c join accounts.accounts a on a.number = c.account
"""


def compare_projections(tx: Tx) -> tuple[ProjectionDifference, ...]:
    """Where the slice's tables differ from its objects. Needs to reach everything; empty is right."""
    return compare_rows(tx, expected=_DECLARED, found=_PROJECTED)
