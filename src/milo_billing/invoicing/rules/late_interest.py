"""Interest on what is paid late: simple, actual/365, untaxed (domain.md §8). Pure.

The day after the last day to pay is the first that bears interest, the day of payment the last: what is due when a day
begins bears interest for it. What credit notes take back was never owed, so it bears none, from the first day on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

from milo_billing.invoicing.rules.life import CREDITED_KINDS
from milo_billing.invoicing.types.drafts import Draft, DraftLine, DraftShare, Part
from milo_billing.invoicing.types.invoices import Invoice, SettlementKind
from milo_billing.kernel.money import half_up
from milo_billing.kernel.periods import Period
from milo_billing.kernel.taxes import TaxGroup, TaxTreatment

DAYS_A_YEAR: Final = 365
_DAY: Final = timedelta(days=1)
_NONE: Final = Decimal(0)
TAX_CATEGORY: Final = "interest"


@dataclass(frozen=True, slots=True)
class Settling:
    """What became of an invoice on a day, where it was issued; as `types.Settlement`."""

    kind: SettlementKind
    amount_minor: int
    on: date


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days `[first, end)` on which the same was overdue."""

    first: date
    end: date
    owed_minor: int

    @property
    def days(self) -> int:
        return (self.end - self.first).days


@dataclass(frozen=True, slots=True)
class Charged:
    """What was charged for an invoice so far: days up to and without `until`, None where there was nothing."""

    until: date | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Owed:
    """Interest to be charged now: for days `[first, end)`, which are none where only earlier days came to more."""

    invoice: UUID
    number: str
    percent: Decimal
    first: date
    end: date
    amount_minor: int

    @property
    def first_day(self) -> date:
        """The first day that the line names, also where no new day is charged."""
        return min(self.first, self.end - _DAY)


@dataclass(frozen=True, slots=True)
class TooMuch:
    """So much interest was charged that is not owed, because less was overdue than was known."""

    invoice: UUID
    amount_minor: int


def stretches(invoice: Invoice, became: Iterable[Settling], *, until: date) -> tuple[Stretch, ...]:
    """What was overdue of the invoice on which days, up to and without the day `until`; in order."""
    if invoice.phase == "Void":
        return ()
    first = invoice.due_on + _DAY
    became = tuple(became)
    owed_minor = invoice.total_minor - sum(
        one.amount_minor for one in became if one.kind in CREDITED_KINDS or one.on < first
    )
    changes: dict[date, int] = {}
    for one in became:
        if one.kind not in CREDITED_KINDS and one.on >= first:
            changes[one.on + _DAY] = changes.get(one.on + _DAY, 0) - one.amount_minor
    found: list[Stretch] = []
    for day in [*sorted(day for day in changes if day < until), until]:
        if day > first and owed_minor > 0:
            found.append(Stretch(first, day, owed_minor))
        first, owed_minor = max(first, day), owed_minor + changes.get(day, 0)
    return tuple(found)


def interest_minor(found: Iterable[Stretch], *, percent: Decimal) -> int:
    """Interest of these days at so much a year, rounded once."""
    exact = sum((Fraction(percent) * one.owed_minor * one.days for one in found), Fraction(0))
    exact /= 100 * DAYS_A_YEAR
    return half_up(exact.numerator, exact.denominator)


def decide(
    invoice: Invoice, became: Iterable[Settling], *, charged: Charged, until: date
) -> Owed | TooMuch | None:
    """What is to be charged besides what was, or given back of it; None where all is as it should be.

    The whole since the due date less what was charged: in whatever steps it is charged, it comes to the same.
    """
    if invoice.interest_percent is None:
        return None
    found = stretches(invoice, became, until=until)
    more_minor = interest_minor(found, percent=invoice.interest_percent) - charged.amount_minor
    if more_minor < 0:
        return TooMuch(invoice.uid, -more_minor)
    if more_minor == 0:
        return None
    first = charged.until or invoice.due_on + _DAY
    end = max(first, found[-1].end)
    return Owed(invoice.uid, invoice.number, invoice.interest_percent, first, end, more_minor)


def draft(
    owed: Sequence[Owed], *, account: int, currency: str, period: Period, untaxed: TaxTreatment
) -> Draft:
    """The one-time invoice over interest: a line for each overdue invoice, outside the scope of tax."""
    lines = tuple(_line(one) for one in owed)
    total_minor = sum(one.amount_minor for one in owed)
    return Draft(
        account=account,
        kind="OneTime",
        period=period,
        currency=currency,
        lines=lines,
        subtotal_minor=total_minor,
        discounts_minor=0,
        total_minor=total_minor,
        taxes=(TaxGroup(untaxed, total_minor, 0),),
    )


def _line(owed: Owed) -> DraftLine:
    return DraftLine(
        kind="Interest",
        sku=None,
        sku_number=None,
        description=f"{owed.number}, {owed.percent.normalize():f} %",
        service="",
        invoice_group="",
        tax_category=TAX_CATEGORY,
        book=None,
        commitment=None,
        first_day=owed.first_day,
        end_day=owed.end,
        quantity=_NONE,
        included=_NONE,
        pricing_unit="",
        amount_minor=owed.amount_minor,
        parts=(Part("FlatFee", None, None, None, owed.amount_minor),),
        shares=(DraftShare(None, (), _NONE, _NONE, owed.amount_minor),),
        taxes=(1,),
    )
