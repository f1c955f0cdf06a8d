"""What is missing at the end of an interval, what lies beyond it, and how prepaid money goes down (domain.md §6).

Everything is a function of the spend: settling again, with late usage or without, gives the shortfall as it should be,
and what was charged before is its earlier value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from milo_billing.commitments.rules.intervals import intervals, prorated_minor, terms
from milo_billing.commitments.types import (
    DaySpan,
    Interval,
    MinimumSpend,
    PartOfSpan,
    Progress,
    Promise,
    SettledInterval,
    Settlement,
    Spend,
)
from milo_billing.kernel.money import Currency, half_up

_SHORTEST_FIRST: Final[tuple[Interval, ...]] = ("Monthly", "Quarterly", "Yearly", "Term")


@dataclass(frozen=True, slots=True)
class Scopes:
    """The Skus that each minimum of a promise counts, in their order; None is every Sku."""

    minimums: tuple[frozenset[str] | None, ...]


def settle_interval(*, minimum_minor: int, spent_minor: int, factor: Decimal | None = None) -> Settlement:
    """Spend against its minimum [CM-001..012, CM-034..037].

    Cost beyond the minimum counts `factor` times: minimum + (cost - minimum) × factor; 1 where there is none. Nothing
    is carried over to another interval.
    """
    over_minor = max(spent_minor - minimum_minor, 0)
    numerator, denominator = ((Decimal(1) if factor is None else factor) - 1).as_integer_ratio()
    return Settlement(
        minimum_minor=minimum_minor,
        spent_minor=spent_minor,
        shortfall_minor=max(minimum_minor - spent_minor, 0),
        over_minor=over_minor,
        surcharge_minor=half_up(over_minor * numerator, denominator),
    )


def settle_promise(
    promise: Promise,
    spends: Sequence[Spend],
    *,
    scopes: Scopes,
    invoice_day: int,
    currency: Currency,
    until: date,
    over_by: date | None = None,
) -> tuple[SettledInterval, ...]:
    """Every interval that has begun before `until`, by end, shorter ones first.

    Shorter intervals settle first, and the shortfall they pay counts as spent in the longer ones around them that count
    the same Skus, or all. One that is not over by `over_by` (by `until`, where none is said) is settled as if nothing
    more came, and pays nothing.
    """
    settled: list[SettledInterval] = []
    for minimum, part in _by_length(promise, invoice_day=invoice_day, until=until):
        wanted = promise.minimums[minimum]
        paid_minor = sum(
            one.settlement.shortfall_minor
            for one in settled
            if one.due_on is not None
            and one.part.days.end <= (over_by or until)
            and _is_shorter(one.interval, wanted.interval)
            and part.days.holds(one.part.days)
            and _counts_for(promise.minimums[one.minimum], wanted)
        )
        spent_minor = sum(s.on(scopes.minimums[minimum]) for s in spends if part.days.holds(s.days))
        settled.append(
            SettledInterval(
                minimum=minimum,
                interval=wanted.interval,
                part=part,
                paid_minor=paid_minor,
                settlement=settle_interval(
                    minimum_minor=prorated_minor(wanted.amount, part, currency=currency),
                    spent_minor=spent_minor + paid_minor,
                    factor=promise.overage_factor,
                ),
                due_on=_due_on(promise, part),
            )
        )
    return tuple(
        sorted(settled, key=lambda one: (one.part.days.end, _SHORTEST_FIRST.index(one.interval), one.minimum))
    )


def _by_length(promise: Promise, *, invoice_day: int, until: date) -> Iterator[tuple[int, PartOfSpan]]:
    for length in _SHORTEST_FIRST:
        for number, minimum in enumerate(promise.minimums):
            if minimum.interval == length:
                for term in terms(promise, until=until):
                    for part in intervals(term, length, invoice_day=invoice_day):
                        if part.days.start < until:
                            yield number, part


def _is_shorter(one: Interval, other: Interval) -> bool:
    return _SHORTEST_FIRST.index(one) < _SHORTEST_FIRST.index(other)


def _counts_for(one: MinimumSpend, other: MinimumSpend) -> bool:
    return not other.selectors or other.selectors == one.selectors


def _due_on(promise: Promise, part: PartOfSpan) -> date | None:
    match promise.policy:
        case "TrueUp":
            return part.days.end
        case "GracePeriod":
            return part.days.end + timedelta(days=promise.grace_days)
        case "NotifyOnly":
            return None


# ----------------------------------------------------------------------------------------------- prepayment


def draw_down(balance_minor: int, charges_minor: Sequence[int]) -> tuple[int, ...]:
    """What each charge, in order, takes from prepaid money; what exceeds the balance is billed.

    A charge below zero gives back of what came before it: first what was billed of that, then what was prepaid, which
    is taken below zero, to be drawn again. What is left after the last charge of a term is lost with the term [CM-032,
    CM-033].
    """
    drawn: list[int] = []
    charged_minor = before_minor = 0
    for charge_minor in charges_minor:
        charged_minor = max(charged_minor + charge_minor, 0)
        drawn_minor = min(charged_minor, balance_minor)
        drawn.append(drawn_minor - before_minor)
        before_minor = drawn_minor
    return tuple(drawn)


# ------------------------------------------------------------------------------------------------- progress


def progress(settled: SettledInterval, *, today: date) -> Progress:
    """How the interval stands on `today`, a day of it or a later one; today counts as a day that has passed."""
    days = settled.part.days
    passed = min(max((today - days.start).days + 1, 1), days.count)
    s = settled.settlement
    usage_minor = s.spent_minor - settled.paid_minor
    projected_minor = half_up(usage_minor * days.count, passed) + settled.paid_minor
    return Progress(
        minimum=settled.minimum,
        interval=settled.interval,
        days=days,
        minimum_minor=s.minimum_minor,
        spent_minor=s.spent_minor,
        remaining_minor=s.shortfall_minor,
        percent=100 if s.minimum_minor == 0 else s.spent_minor * 100 // s.minimum_minor,
        days_left=days.count - passed,
        projected_spend_minor=projected_minor,
        projected_shortfall_minor=max(s.minimum_minor - projected_minor, 0),
    )


def running(settled: Sequence[SettledInterval], *, today: date) -> tuple[SettledInterval, ...]:
    """The intervals that hold the day."""
    span = DaySpan(today, today + timedelta(days=1))
    return tuple(one for one in settled if one.part.days.holds(span))
