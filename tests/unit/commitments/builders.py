"""Short ways to say a promise, its spend and a rated line; what a test does not assert has a default here."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from milo_billing.catalog.types import LabelOperator, LabelRequirement, SkuSelector
from milo_billing.commitments.rules.settling import Scopes, settle_promise
from milo_billing.commitments.types import (
    DaySpan,
    Discount,
    Interval,
    MinimumSpend,
    Promise,
    SettledInterval,
    SkuDiscount,
    Spend,
)

START = date(2026, 1, 1)


def label(key: str, *values: str, op: LabelOperator = "In") -> LabelRequirement:
    return LabelRequirement(key, op, values)


def selector(*requirements: LabelRequirement, cel: str | None = None) -> SkuSelector:
    return SkuSelector(requirements, cel)


def minimum(amount: str, interval: Interval, *selectors: SkuSelector) -> MinimumSpend:
    return MinimumSpend(Decimal(amount), interval, selectors)


def off(percent: str, *selectors: SkuSelector, priority: int | None = None) -> SkuDiscount:
    return SkuDiscount(Decimal(percent), selectors, priority)


def promise(
    *minimums: MinimumSpend,
    starts_on: date = START,
    term_months: int = 12,
    ends_on: date | None = date(2027, 1, 1),
    **more: Any,
) -> Promise:
    return Promise(starts_on=starts_on, term_months=term_months, ends_on=ends_on, minimums=minimums, **more)


def discount(number: int = 1, **fields: Any) -> Discount:
    defaults: Mapping[str, Any] = {
        "scope": "Line",
        "percent": None,
        "amount": None,
        "selectors": (),
        "starts_on": START,
        "ends_on": None,
        "uses": None,
        "description": "",
    }
    return Discount(uid=UUID(int=number), name=f"discount-{number}", **{**defaults, **fields})


def spend(start: date, end: date, minor: int, sku: str = "requests") -> Spend:
    return Spend(DaySpan(start, end), {sku: minor})


def month(year: int, number: int, minor: int, sku: str = "requests") -> Spend:
    return spend(date(year, number, 1), date(year + number // 12, number % 12 + 1, 1), minor, sku)


def settle(
    wanted: Promise,
    spends: Sequence[Spend],
    *,
    until: date = date(2027, 1, 1),
    invoice_day: int = 1,
    skus: Sequence[frozenset[str] | None] | None = None,
) -> tuple[SettledInterval, ...]:
    scopes = Scopes(tuple(skus) if skus is not None else (None,) * len(wanted.minimums))
    return settle_promise(wanted, spends, scopes=scopes, invoice_day=invoice_day, currency="USD", until=until)
