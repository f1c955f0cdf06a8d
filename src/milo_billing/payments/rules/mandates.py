"""SEPA direct debit: what may be collected when, under which mandate and sequence. Pure.

Source: SEPA Core rulebook (EPC016-06): pre-notification 14 calendar days before unless agreed otherwise; collections
are on TARGET business days; a mandate that was not used for 36 months is over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.payments.types import DebitSequence, MandateScheme

CURRENCY: Final = "EUR"
PRE_NOTIFICATION_DAYS: Final = 14
"""Between the invoice, which says when it is collected, and the collection, unless something else was agreed."""
LEAD_DAYS: Final = 2
"""TARGET business days that a bank wants the file before the collection, at least."""
UNUSED_MONTHS_MAX: Final = 36
END_TO_END_MAX: Final = 35
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a customer signed, personal fields in clear."""

    uid: UUID
    account: int
    owner_org: int
    reference: str
    signed_on: date
    scheme: MandateScheme
    holder: str
    iban: str
    bic: str


@dataclass(frozen=True, slots=True)
class History:
    """What became of the debits of a mandate: how many were not returned, and when the last one was asked for."""

    standing: int = 0
    last_on: date | None = None


@dataclass(frozen=True, slots=True)
class PlannedDebit:
    """A collection to be asked for."""

    invoice: Invoice
    mandate: Mandate
    amount_minor: int
    sequence: DebitSequence
    end_to_end_id: str


def plan(
    invoices: Sequence[Invoice],
    *,
    mandates: Mapping[int, Mandate],
    histories: Mapping[UUID, History],
    tried: Mapping[UUID, int],
    standing: Collection[UUID],
    discounted: Mapping[UUID, int],
    collect_on: date,
    notified_days: int,
) -> tuple[PlannedDebit, ...]:
    """What is collected on this day, by due date and number: all that is due in euro of accounts with a mandate, and
    what the day is early enough for that a discount is off (`discounted`: what then settles the invoice).

    Left out is what is not due by then, what was invoiced less than `notified_days` before, what is being collected
    (`standing`), and what only an expired mandate covers. `tried` says how often each was asked for before, which makes
    end-to-end ids that never repeat. The first of several collections under a new mandate is FRST.
    """
    found: list[PlannedDebit] = []
    begun = {uid for uid, history in histories.items() if history.standing}
    for one in sorted(invoices, key=lambda each: (each.due_on, each.number, each.uid)):
        mandate = mandates.get(one.account)
        if (
            mandate is None
            or one.uid in standing
            or not _is_due(one, on=collect_on, notified_days=notified_days, early=one.uid in discounted)
        ):
            continue
        if is_expired(mandate, histories.get(mandate.uid, History()), on=collect_on):
            continue
        sequence: DebitSequence = "RCUR" if mandate.uid in begun else "FRST"
        begun.add(mandate.uid)
        end_to_end_id = end_to_end(one, attempt=tried.get(one.uid, 0) + 1)
        amount_minor = discounted.get(one.uid, one.amount_due_minor)
        found.append(PlannedDebit(one, mandate, amount_minor, sequence, end_to_end_id))
    return tuple(found)


def _is_due(invoice: Invoice, *, on: date, notified_days: int, early: bool) -> bool:
    return (
        invoice.currency == CURRENCY
        and invoice.phase in ("Issued", "PartiallyPaid", "PastDue")
        and invoice.amount_due_minor > 0
        and (early or invoice.due_on <= on)
        and invoice.issued_on + timedelta(days=notified_days) <= on
    )


def is_expired(mandate: Mandate, history: History, *, on: date) -> bool:
    """Whether the mandate was not used for 36 months, so that a new one must be signed."""
    last = history.last_on or mandate.signed_on
    months = (on.year - last.year) * 12 + on.month - last.month - (on.day < last.day)
    return months >= UNUSED_MONTHS_MAX


def end_to_end(invoice: Invoice, *, attempt: int) -> str:
    """The id under which this attempt is known at every bank: the number and the attempt, at most 35 characters."""
    text = f"{invoice.number}-{attempt}"
    return text if len(text) <= END_TO_END_MAX else f"{invoice.uid.hex[:30]}-{attempt}"


def first_collection_day(today: date, *, lead_days: int = LEAD_DAYS) -> date:
    """The first TARGET business day with so many between it and today."""
    day, left = today, lead_days
    while left > 0:
        day += _DAY
        left -= is_business_day(day)
    day += _DAY
    while not is_business_day(day):
        day += _DAY
    return day


def is_business_day(day: date) -> bool:
    """Whether TARGET settles on it: no weekend, 1 January, Good Friday, Easter Monday, 1 May, 25 or 26 December."""
    if day.weekday() >= 5 or (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26)):
        return False
    return day - easter(day.year) not in (timedelta(days=-2), timedelta(days=1))


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm of 1876)."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leap, left = divmod(century, 4)
    moon = (19 * golden + century - leap - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    fourth, remainder = divmod(rest, 4)
    week = (32 + 2 * left + 2 * fourth - moon - remainder) % 7
    late = (golden + 11 * moon + 22 * week) // 451
    month, before = divmod(moon + week - 7 * late + 114, 31)
    return date(year, month, before + 1)
