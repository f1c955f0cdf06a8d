"""Worked examples of periods, proration and due dates of other systems (area 3 of the golden cases)."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from milo_billing.invoicing.rules.issuing import due_on
from milo_billing.invoicing.rules.taxes import settle_taxes
from milo_billing.kernel.money import settle
from milo_billing.kernel.periods import (
    INVOICE_DAY_MAX,
    DaySpan,
    add_months,
    billing_day,
    days,
    interval_of,
    local_midnight,
    term_of,
)
from milo_billing.kernel.periods import Period as Stretch
from milo_billing.pricing.rules.proration import (
    advance_span,
    arrears_span,
    change_legs,
    part_of,
    prorate,
)
from tests.golden import GoldenCase, RuledOut, Way, account_for, golden_cases, require_golden_cases
from tests.unit.invoicing.golden_taxes import taxed
from tests.unit.pricing.golden_periods import (
    DAY,
    assert_legs,
    instant,
    interval_named,
    later,
    months_in,
    nine_places,
    span,
)

CASES = golden_cases("PR-")

OTHER_GRAIN = RuledOut(
    11, "parts are actual days over the days of the full interval, not of a month of 30 days"
)
OTHER_INTERVALS = RuledOut(11, "intervals are months, quarters and years: no weeks, and no blocks of 30 days")
PRORATED_TIERS = RuledOut(
    11, "recurring prices are per unit or flat; tiers count the quantity that is charged, without days"
)
LATE_DAYS = RuledOut(14, "an invoice day is within 1..28, so that every month has it")
LAST_DAY_CHARGED = RuledOut(
    12, "spans are half-open: the day on which a service ends is not charged, whatever ends it"
)
TERMS_IN_MONTHS = RuledOut(16, "an invoice is due so many calendar days after its issue, as a whole")


# --------------------------------------------------------------------------------------------------- parts


def leading_stub(case: GoldenCase) -> None:
    start, end = _day(case.input["start"]), _day(case.input["next_billing_date"])
    months = months_in(case.input["period"])
    assert months is not None
    full, stub = term_of(start, anchor=end, months=months), DaySpan(start, end)
    if months == 1 and end.day <= INVOICE_DAY_MAX:
        assert stub == advance_span(start, interval="Monthly", invoice_day=end.day)
    _assert_part(part_of(stub, full), case.expected, days=stub.count, full_days=full.count)


def cycles_until_an_end(case: GoldenCase) -> None:
    """How many intervals a service lasted, the first and the last perhaps in part; the end is not of it."""
    start, end = _day(case.input["start"]), _day(case.input["end"])
    months = months_in(case.input["period"])
    assert months is not None
    anchor = interval_of(start, interval="Monthly", invoice_day=case.input["bill_cycle_day"]).start
    cycles, cursor = Fraction(0), start
    full = term_of(cursor, anchor=anchor, months=months)
    while cursor < end:
        full = term_of(cursor, anchor=anchor, months=months)
        part = DaySpan(cursor, min(full.end, end))
        cycles += part_of(part, full)
        cursor = part.end
    _assert_part(cycles, case.expected, days=(end - start).days, full_days=full.count)


def change_of_billing_day(case: GoldenCase) -> None:
    """A stub up to the new billing day, then each interval that begins up to the target, in advance."""
    stub = advance_span(
        _day(case.input["change_date"]), interval="Monthly", invoice_day=case.input["bill_cycle_day"]
    )
    full = interval_of(stub.start, interval="Monthly", invoice_day=case.input["bill_cycle_day"])
    whole, next_start = 0, stub.end
    while next_start <= _day(case.input["target"]):
        following = advance_span(next_start, interval="Monthly", invoice_day=case.input["bill_cycle_day"])
        whole, next_start = whole + 1, following.end
    part = part_of(stub, full)
    assert part == Fraction(int(case.expected["numerator"]), int(case.expected["denominator"]))
    assert f"{whole} + {stub.count}/{full.count}" == case.expected["cycles_expr"]


def _assert_part(part: Fraction, expected: Mapping[str, Any], *, days: int, full_days: int) -> None:
    for name, value in expected.items():
        match name:
            case "days":
                assert days == int(value)
            case "period_days":
                assert full_days == int(value)
            case "factor_9dp" | "cycles":
                assert nine_places(part) == Decimal(value)
            case _:
                raise AssertionError(f"{name} is no answer that is known")


# ------------------------------------------------------------------------------------------------- changes


def change_at_a_part(case: GoldenCase) -> None:
    part = Fraction(Decimal(case.input["fraction_remaining"]))
    assert_legs(case.input["old"], case.input["new"], part, case.expected)


def change_on_a_day(case: GoldenCase) -> None:
    """The day of the change belongs to the new terms; a change at the end changes nothing of the interval."""
    full = span(case.input["period"], end=case.input.get("period_end", "exclusive"))
    changed = _day(case.input["change_date"])
    part = part_of(DaySpan(changed, full.end), full) if changed < full.end else Fraction(0)
    assert_legs(case.input["old"], case.input["new"], part, case.expected)


def change_after_days(case: GoldenCase) -> None:
    used, whole = int(case.input["days_used"]), int(case.input["period_days"])
    assert_legs(case.input["old"], case.input["new"], Fraction(whole - used, whole), case.expected)


def several_changes(case: GoldenCase) -> None:
    """What stays changes with two legs, what comes or goes with one."""
    part = Fraction(Decimal(case.input["fraction"]))
    matched = [(Decimal(old), Decimal(new)) for old, new in case.input["matched"]]
    removed = [(Decimal(old), Decimal(0)) for old in case.input["removed"]]
    added = [(Decimal(0), Decimal(new)) for new in case.input["added"]]
    legs = [leg for pair in (*matched, *removed, *added) for leg in change_legs(*pair, part, currency="USD")]
    charged = [leg for leg in legs if leg]
    assert charged == [_cents(amount) for amount in case.expected["lines"]]
    assert sum(charged) == _cents(case.expected["net"])


def used_days(case: GoldenCase) -> None:
    full = span(case.input["period"], end=case.input["ends"])
    used = span(case.input["used"], end=case.input["ends"])
    assert used.count == int(case.expected["days"])
    amount = prorate(Decimal(case.input["amount"]), part_of(used, full), currency="USD")
    assert amount == _cents(case.expected["amount"])


def prorated_and_taxed(case: GoldenCase) -> None:
    """An advance charge from a day within its interval, whose last day is said, and the tax on it."""
    first, last = map(_day, case.input["period"])
    full = DaySpan(first, last + DAY)
    used = DaySpan(_day(case.input["start"]), full.end)
    net_minor = prorate(Decimal(case.input["amount"]), part_of(used, full), currency="USD")
    found = settle_taxes([(net_minor, (taxed(case.input["tax_percent"]),))])
    assert net_minor + found.tax_minor == _cents(case.expected["total"])


# ------------------------------------------------------------------------------------------------- periods


def anniversaries(case: GoldenCase) -> None:
    """Terms from an anchor, each clamped to its month's end."""
    anchor, months = _day(case.input["anchor"]), months_in(case.input["interval"])
    assert months is not None
    for pair in case.expected["periods"]:
        wanted = span(pair, end=case.expected["end"])
        assert term_of(wanted.start, anchor=anchor, months=months) == wanted
        assert term_of(wanted.end - DAY, anchor=anchor, months=months) == wanted


def term_that_holds(case: GoldenCase) -> None:
    """Days that begin at the anchor's time of day."""
    anchor, months = instant(case.input["anchor"]), months_in(case.input["interval"])
    assert months is not None
    begins = timedelta(hours=anchor.hour, minutes=anchor.minute, seconds=anchor.second)
    day = (instant(case.input["at"]) - begins).date()
    term = term_of(day, anchor=anchor.date(), months=months)
    for name, edge in (("from", term.start), ("to", term.end)):
        wanted = instant(case.expected[name])
        assert (wanted - begins).time() == (anchor - begins).time()
        assert edge == (wanted - begins).date()


def date_later(case: GoldenCase) -> None:
    found = later(instant(case.input["start"]), case.input["duration"])
    assert found == instant(case.expected["result"])


def sequences(case: GoldenCase) -> None:
    for text in case.input["starts"]:
        wanted = case.expected[text[:4]]
        found = [add_months(_day(text), count) for count in range(len(wanted))]
        assert found == [_day(one) for one in wanted]


def enclosing(case: GoldenCase) -> None:
    """Every interval that shares a day with the query."""
    cursor, end = _day(case.input["start"]), _day(case.input["end"])
    starts: list[date] = []
    while cursor < end:
        found = interval_of(cursor, interval="Monthly", invoice_day=case.input["anchor_day"])
        starts.append(found.start)
        cursor = found.end
    assert starts == [_day(one) for one in case.expected["period_starts"]]


def next_date(case: GoldenCase) -> None:
    """The anchor keeps its day, whatever the current date was clamped to."""
    unit = months_in(case.input["unit"])
    assert unit is not None
    anchor, current = _day(case.input["anchor"]), _day(case.input["current"])
    since = (current.year - anchor.year) * 12 + current.month - anchor.month
    assert add_months(anchor, since) == current
    assert add_months(anchor, since + unit * case.input["count"]) == _day(case.expected["next"])


def calendar_stub(case: GoldenCase) -> None:
    interval = interval_named(case.input["alignment"].removeprefix("calendar "))
    assert interval is not None
    stub = advance_span(_day(case.input["start"]), interval=interval, invoice_day=1)
    assert stub.end == _day(case.expected["next"])


def charged_in_advance(case: GoldenCase) -> None:
    interval = interval_named(case.input["interval"])
    assert interval is not None
    charged = advance_span(
        _day(case.input["invoice_date"]), interval=interval, invoice_day=case.input["billing_day"]
    )
    assert charged == span([case.expected["start"], case.expected["end"]])


def charged_in_arrears(case: GoldenCase) -> None:
    interval = interval_named(case.input["interval"])
    assert interval is not None
    charged = arrears_span(
        _day(case.input["invoice_date"]),
        since=_day(case.input["service_start"]),
        interval=interval,
        invoice_day=case.input["billing_day"],
    )
    assert charged == span([case.expected["start"], case.expected["end"]])


def whole_terms(case: GoldenCase) -> None:
    start = _day(case.input["start"])
    for name in case.input["periods"]:
        months = months_in(name)
        assert months is not None
        for end, wanted in zip(case.input["ends"], case.expected[name], strict=True):
            # the last term that has begun by then is not whole yet
            last = term_of(_day(end), anchor=start, months=months).start
            assert ((last.year - start.year) * 12 + last.month - start.month) // months == wanted


def clock_change(case: GoldenCase) -> None:
    (first, zone), (end, _) = case.input["from"].split(), case.input["to"].split()
    period = Stretch(*(local_midnight(_day(text[:10]), zone=zone) for text in (first, end)))
    windows = [billing_day(day, zone=zone) for day in days(period, zone=zone)]
    assert len(windows) == case.expected["windows"]
    assert all(earlier.end == following.start for earlier, following in pairwise(windows))
    changed = billing_day(_day(case.expected["dst_day_local"][0][:10]), zone=zone)
    assert [changed.start, changed.end] == [instant(text) for text in case.expected["dst_day_utc"]]
    hours = int(changed.duration / timedelta(hours=1))
    assert hours == int(case.expected.get("dst_day_hours", hours))


def due_date(case: GoldenCase) -> None:
    last = due_on(_day(case.input["issue_date"]), net_days=case.input["net_days"])
    assert last == _day(case.expected["due_date"])
    assert last + DAY == _day(case.expected.get("first_overdue_day", str(last + DAY)))


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _cents(amount: str) -> int:
    return settle(Decimal(amount), "USD").minor


# ------------------------------------------------------------------------------------------------- sorting


def way_of(case: GoldenCase) -> Way | RuledOut | None:
    """How a case is run or why it is not, told by what it contains, so that further cases of a kind run as well."""
    return _way_of_part(case.input) or _way_of_change(case) or _way_of_period(case.input)


def _way_of_part(given: Mapping[str, Any]) -> Way | RuledOut | None:
    match given:
        case {"bill_cycle_day": int(day)} | {"billing_day": int(day)} if day > INVOICE_DAY_MAX:
            return LATE_DAYS
        case {"fixed_days": _}:
            return OTHER_GRAIN
        case {"next_billing_date": _, "period": period}:
            return leading_stub if interval_named(period) else OTHER_INTERVALS
        case {"start": _, "end": _, "bill_cycle_day": _, "period": period}:
            return cycles_until_an_end if interval_named(period) else OTHER_INTERVALS
        case {"change_date": _, "bill_cycle_day": _, "target": _}:
            return change_of_billing_day
        case {"amount": _, "start": _, "period": _, "tax_percent": _}:
            return prorated_and_taxed
        case {"prorated_units": _} | {"event_prorated_units": _}:
            return PRORATED_TIERS
        case _:
            return None


def _way_of_change(case: GoldenCase) -> Way | RuledOut | None:
    match case.input:
        case {"old": _, "new": _, "fraction_remaining": _}:
            return change_at_a_part
        case {"old": _, "new": _, "period": _, "change_date": _}:
            return change_on_a_day
        case {"old": _, "new": _, "days_used": _, "period_days": _}:
            return change_after_days
        case {"fraction": _, "matched": _, "added": _, "removed": _}:
            return several_changes
        case {"amount": _, "period": _, "used": _, "ends": _}:
            return used_days
        case {"event_date": _, "period": _} if "terminated_charge" in case.expected:
            return LAST_DAY_CHARGED
        case _:
            return None


def _way_of_period(given: Mapping[str, Any]) -> Way | RuledOut | None:
    match given:
        case {"interval": interval} if interval_named(interval) is None:
            return OTHER_INTERVALS
        case {"anchor": _, "at": _, "interval": _}:
            return term_that_holds
        case {"anchor": _, "interval": _}:
            return anniversaries
        case {"start": start, "duration": duration} if later(instant(start), duration):
            return date_later
        case {"starts": _}:
            return sequences
        case {"anchor_day": _, "start": _, "end": _}:
            return enclosing
        case {"current": _, "anchor": _, "unit": unit, "count": _}:
            return next_date if interval_named(unit) else OTHER_INTERVALS
        case {"start": _, "alignment": str(alignment)}:
            known = interval_named(alignment.removeprefix("calendar "))
            return calendar_stub if known else OTHER_INTERVALS
        case {"invoice_date": _, "service_start": _, "billing_day": _}:
            return charged_in_arrears
        case {"invoice_date": _, "billing_day": _}:
            return charged_in_advance
        case {"start": _, "ends": _, "periods": periods}:
            return whole_terms if all(map(interval_named, periods)) else OTHER_INTERVALS
        case {"window": "DAY", "from": _, "to": _}:
            return clock_change
        case {"issue_date": _, "net_days": _}:
            return due_date
        case {"issue_date": _, "term": _}:
            return TERMS_IN_MONTHS
        case _:
            return None


ACCOUNTED = account_for("area 3, periods and proration", CASES, way_of)


@pytest.mark.parametrize("case", [case for case in CASES if case.id in ACCOUNTED.reproduced], ids=str)
def test_a_golden_case_comes_out_as_its_source_says(case: GoldenCase) -> None:
    ACCOUNTED.reproduced[case.id](case)


def test_every_golden_period_is_run_or_ruled_out() -> None:
    require_golden_cases()
    print(ACCOUNTED)
    assert ACCOUNTED.forgotten == []
    assert ACCOUNTED.later == {}
