"""Which rating periods an invoice covers (domain.md §1)."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from milo_billing.accounts.types import InvoiceFrequency
from milo_billing.kernel.periods import Period, billing_month

_MONTHS: dict[InvoiceFrequency, int] = {"Monthly": 1, "Quarterly": 3, "Annual": 12}


def rating_periods(
    year: int, month: int, *, frequency: InvoiceFrequency, zone: str, invoice_day: int
) -> tuple[Period, ...]:
    """The rating periods of the invoice that ends with the one of this month; empty where none ends with it.

    Quarterly invoices end with the rating periods of March, June, September and December, annual ones with December's.
    """
    count = _MONTHS[frequency]
    if month % count:
        return ()
    months = (divmod(year * 12 + month - 1 - back, 12) for back in reversed(range(count)))
    return tuple(billing_month(y, m + 1, zone=zone, invoice_day=invoice_day) for y, m in months)


def invoice_holding(
    year: int, month: int, *, frequency: InvoiceFrequency, zone: str, invoice_day: int
) -> tuple[Period, ...]:
    """The rating periods of the invoice that has the one of this month among them."""
    last = month + -month % _MONTHS[frequency]
    return rating_periods(year, last, frequency=frequency, zone=zone, invoice_day=invoice_day)


def running_month(day: date, *, invoice_day: int) -> tuple[int, int]:
    """The month in which the rating period began that holds the day."""
    if day.day >= invoice_day:
        return day.year, day.month
    before = day.replace(day=1) - timedelta(days=1)
    return before.year, before.month


def months_between(first: date, last: date, *, invoice_day: int) -> tuple[tuple[int, int], ...]:
    """(year, month) of the rating periods that hold the days from `first` to `last`, in order."""
    (year, month), until = (
        running_month(first, invoice_day=invoice_day),
        running_month(last, invoice_day=invoice_day),
    )
    count = until[0] * 12 + until[1] - year * 12 - month + 1
    months = (divmod(year * 12 + month - 1 + one, 12) for one in range(count))
    return tuple((y, m + 1) for y, m in months)


def uncovered(periods: Iterable[Period], *, invoiced: Iterable[Period]) -> tuple[Period, ...]:
    """The next stretch of the rating periods that no invoice covers yet; empty where all of them are covered.

    Usually all of them or none. A change of invoice day or frequency leaves a stub of a rating period; where covered
    ones lie between, the stretch before them comes first and running the month again brings the next.
    """
    taken = sorted(invoiced)
    left: list[Period] = []
    for piece in (piece for period in periods for piece in _without(period, taken)):
        if left and left[-1].end != piece.start:
            break
        left.append(piece)
    return tuple(left)


def _without(period: Period, taken: Iterable[Period]) -> Iterator[Period]:
    cursor = period.start
    for other in taken:
        if other.end <= cursor or other.start >= period.end:
            continue
        if cursor < other.start:
            yield Period(cursor, other.start)
        cursor = other.end
    if cursor < period.end:
        yield Period(cursor, period.end)
