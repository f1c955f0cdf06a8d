"""What is wrong with promises and discounts: the field, the reason and the words that a person reads."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from milo_billing.commitments.rules.admission import (
    date_errors,
    discount_errors,
    end_of_term,
    promise_errors,
    rivals,
    tie_errors,
)
from milo_billing.commitments.rules.wording import missing
from milo_billing.commitments.types import Commitment, Discount, Promise, Stacking
from milo_billing.kernel.errors import FieldError
from tests.unit.commitments.builders import discount, label, minimum, off, promise, selector

PERCENT = "must be above 0 and at most 100"
PERCENT_FIELD = "spec.skuDiscounts[0].percentage"
DAYS_FIELD = "spec.violationPolicy.days"
ONE_MINIMUM = "overage is what lies over the minimum: give exactly one minimum spend, or none of this"
NOTHING_PROMISED = "a commitment has minimumSpends, skuDiscounts, a prepayment or resources"
TEN = minimum("10", "Monthly")
GPU, CPU = selector(label("family", "gpu")), selector(label("family", "cpu"))


def said(errors: Iterable[FieldError]) -> list[tuple[str, str, str]]:
    return [(error.field, error.reason, error.message) for error in errors]


def invalid(field: str, value: str, message: str) -> tuple[str, str, str]:
    return field, "FieldValueInvalid", f'Invalid value: "{value}": {message}'


def required(field: str, message: str) -> tuple[str, str, str]:
    return field, "FieldValueRequired", f"Required value: {message}"


def forbidden(field: str, message: str) -> tuple[str, str, str]:
    return field, "FieldValueForbidden", f"Forbidden: {message}"


def test_a_reference_to_nothing_is_not_found() -> None:
    assert said([missing("spec.ref", "x")]) == [("spec.ref", "FieldValueNotFound", 'Not found: "x"')]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, None),
        ("2000-01-01", None),
        ("2200-12-31", None),
        ("1999-12-31", "must lie in the years 2000 to 2200"),
        ("2201-01-01", "must lie in the years 2000 to 2200"),
        ("2026-02-30", "is not a date of the calendar"),
    ],
)
def test_a_date_is_of_the_calendar_and_of_the_years_of_promises(text: str | None, wrong: str | None) -> None:
    assert said(date_errors("spec.startsOn", text)) == (
        [] if wrong is None else [invalid("spec.startsOn", f"{text}", wrong)]
    )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (promise(TEN), []),
        (promise(discounts=(off("100"),)), []),
        (promise(prepayment=Decimal(5)), []),
        (promise(), [required("spec", NOTHING_PROMISED)]),
        (promise(minimum("0", "Monthly")), [invalid("spec.minimumSpends[0].amount", "0", "must be above 0")]),
        (promise(prepayment=Decimal(0)), [  # without anything else, it is nothing that is promised, too
            required("spec", NOTHING_PROMISED), invalid("spec.prepayment.amount", "0", "must be above 0")
        ]),
        (promise(discounts=(off("0.01"),)), []),
        (promise(discounts=(off("0"),)), [invalid(PERCENT_FIELD, "0", PERCENT)]),
        (promise(discounts=(off("100.01"),)), [invalid(PERCENT_FIELD, "100.01", PERCENT)]),
        (promise(discounts=(off("5", selector(cel="true"), priority=0),)), []),
        (promise(discounts=(off("5", GPU, selector(cel="true")),)), [
            required("spec.skuDiscounts[0].priority", "what CEL selects is ordered by priority only")
        ]),
        (promise(TEN, overage_factor=Decimal(2)), []),
        (promise(TEN, TEN, overage_factor=Decimal(2)), [forbidden("spec.overageFactor", ONE_MINIMUM)]),
        (promise(discounts=(off("1"),), overage_factor=Decimal(2)), [
            forbidden("spec.overageFactor", ONE_MINIMUM)
        ]),
        (promise(TEN, policy="GracePeriod", grace_days=1), []),
        (promise(TEN, policy="GracePeriod"), [required(DAYS_FIELD, "how many days of grace there are")]),
        (promise(TEN, policy="TrueUp", grace_days=1), [forbidden(DAYS_FIELD, "only GracePeriod has days")]),
    ],
)  # fmt: skip
def test_a_promise_says_something_that_can_be_kept(
    wanted: Promise, expected: list[tuple[str, str, str]]
) -> None:
    assert said(promise_errors(wanted, resources=0)) == expected


def test_a_promise_may_be_of_resources_alone() -> None:
    assert said(promise_errors(promise(), resources=1)) == []


def test_all_errors_are_told_at_once_each_with_its_place() -> None:
    wanted = promise(TEN, minimum("0", "Yearly"), discounts=(off("5"), off("101"), off("-1")))
    assert [error.field for error in promise_errors(wanted, resources=0)] == [
        "spec.skuDiscounts[1].percentage",
        "spec.skuDiscounts[2].percentage",
        "spec.minimumSpends[1].amount",
    ]


def test_two_discounts_of_one_rank_that_may_meet_name_each_other() -> None:
    wanted = promise(discounts=(off("5", CPU), off("6", GPU), off("7", selector(label("region", "eu")))))
    assert said(tie_errors(wanted)) == [
        (
            "spec.skuDiscounts[2]",
            "FieldValueInvalid",
            f"Invalid value: may select the same Sku as skuDiscounts[{other}] with as many keys: exactly one "
            "discount applies to a Sku, so give one of them a higher priority",
        )
        for other in (0, 1)
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (discount(percent=Decimal(100)), []),
        (discount(amount=Decimal(1)), []),
        (discount(), [required("spec", "a discount has either a percentage or an amount")]),
        (discount(percent=Decimal(1), amount=Decimal(1)), [
            required("spec", "a discount has either a percentage or an amount")
        ]),
        (discount(percent=Decimal(0)), [invalid("spec.percentage", "0", PERCENT)]),
        (discount(amount=Decimal(0)), [invalid("spec.amount", "0", "must be above 0")]),
        (discount(percent=Decimal(1), selectors=(GPU,)), []),
        (discount(percent=Decimal(1), selectors=(GPU,), scope="Invoice"), [
            forbidden("spec.skuSelectors", "a discount of scope Invoice acts on every line")
        ]),
        (discount(percent=Decimal(1), scope="Invoice"), []),
        (discount(percent=Decimal(1), ends_on=date(2026, 1, 1)), []),
        (discount(percent=Decimal(1), ends_on=date(2025, 12, 31)), [
            invalid("spec.endsOn", "2025-12-31", "is before startsOn")
        ]),
    ],
)  # fmt: skip
def test_a_discount_is_a_percentage_or_an_amount(
    wanted: Discount, expected: list[tuple[str, str, str]]
) -> None:
    assert said(discount_errors(wanted)) == expected


def other_promise(stacking: Stacking, starts_on: date, ends_on: date | None) -> Commitment:
    theirs = promise(TEN, starts_on=starts_on, ends_on=ends_on, stacking=stacking)
    return Commitment(UUID(int=1), "organization-acme", "theirs", 1, 1, "USD", theirs)


@pytest.mark.parametrize(
    ("mine", "theirs", "rival"),
    [
        ("Refuse", "Refuse", True),
        ("Refuse", "Best", True),
        ("Best", "Refuse", True),
        ("Best", "Best", False),
    ],
)
def test_commitments_that_meet_are_rivals_unless_both_let_the_better_one_count(
    mine: Stacking, theirs: Stacking, rival: bool
) -> None:
    other = other_promise(theirs, date(2026, 1, 1), None)
    assert rivals(promise(TEN, stacking=mine), [other]) == ([other] if rival else [])


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "rival"),
    [
        (date(2025, 1, 1), date(2026, 1, 1), False),  # ends on the day on which this one begins
        (date(2025, 1, 1), date(2026, 1, 2), True),
        (date(2025, 1, 1), None, True),
        (date(2026, 12, 31), None, True),
        (date(2027, 1, 1), None, False),
        (date(2026, 5, 1), date(2026, 5, 1), False),  # terminated before it began
    ],
)
def test_commitments_are_rivals_only_on_days_that_both_have(
    starts_on: date, ends_on: date | None, rival: bool
) -> None:
    mine, other = promise(TEN), other_promise("Refuse", starts_on, ends_on)
    assert bool(rivals(mine, [other])) is rival
    theirs = replace(other, promise=mine)
    assert bool(rivals(other.promise, [theirs])) is rival


def test_commitments_over_other_skus_are_no_rivals() -> None:
    other = replace(
        other_promise("Refuse", date(2026, 1, 1), None), promise=promise(discounts=(off("5", GPU),))
    )
    assert rivals(promise(discounts=(off("5", CPU),)), [other]) == []
    assert rivals(promise(discounts=(off("5", GPU),)), [other]) == [other]


@pytest.mark.parametrize(
    ("today", "end"),
    [
        (date(2025, 6, 1), date(2026, 4, 30)),  # before the first term has begun
        (date(2026, 1, 31), date(2026, 4, 30)),
        (date(2026, 4, 29), date(2026, 4, 30)),
        (date(2026, 4, 30), date(2026, 7, 31)),  # a term's end is the next one's first day
        (date(2026, 7, 31), date(2026, 10, 31)),
    ],
)
def test_a_term_ends_where_the_next_one_begins_counted_from_the_first_day(today: date, end: date) -> None:
    wanted = promise(TEN, starts_on=date(2026, 1, 31), term_months=3, ends_on=None)
    assert end_of_term(wanted, today=today) == end
