"""What a Charge may say, and until when it may still be changed."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from milo_billing.accounts.types import Account
from milo_billing.pricing.rules.charge_rules import charge_errors, settled_reason
from milo_billing.pricing.rules.wording import forbidden
from tests.unit.pricing.builders import sku

BERLIN = Account(
    1, UUID(int=1), "organization-acme", "main", 1, "EUR", "Europe/Berlin", "Ready", None, invoice_day=1
)
SETUP = replace(sku("setup"), charge_type="OneTime")
OCTOBER = datetime(2026, 9, 30, 22, tzinfo=UTC)
"""When October began in Berlin, two hours before it did in London."""


def said(**fields: Any) -> list[tuple[str, str, str]]:
    asked: dict[str, Any] = {
        "sku": "setup",
        "sold": SETUP,
        "day": "2026-10-01",
        "quantity": "1",
        "billed_until": None,
        **fields,
    }
    return [(error.field, error.reason, error.message) for error in charge_errors(account=BERLIN, **asked)]


def invalid(field: str, value: str, message: str) -> tuple[str, str, str]:
    return field, "FieldValueInvalid", f'Invalid value: "{value}": {message}'


def test_what_stands_against_the_state_of_something_is_forbidden() -> None:
    error = forbidden("spec.date", "it has passed")
    assert (error.field, error.reason) == ("spec.date", "FieldValueForbidden")
    assert error.message == "Forbidden: it has passed"


def test_a_charge_of_something_sold_once_on_a_day_to_come_is_right() -> None:
    assert said() == []
    assert said(quantity="0.01", billed_until=OCTOBER) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sold": None}, ("spec.skuRef.name", "FieldValueNotFound", 'Not found: "setup"')),
        (
            {"sold": replace(SETUP, charge_type="Usage")},
            invalid(
                "spec.skuRef.name",
                "setup",
                "is of chargeType Usage; a Charge is of a Sku of chargeType OneTime",
            ),
        ),
        ({"quantity": "0"}, invalid("spec.quantity", "0", "must be above 0")),
        ({"day": "2026-02-30"}, invalid("spec.date", "2026-02-30", "is not a date of the calendar")),
        (
            {"day": "2026-09-30", "billed_until": OCTOBER},
            invalid(
                "spec.date",
                "2026-09-30",
                "lies in an invoiced period; the first day that no invoice holds is 2026-10-01",
            ),
        ),
    ],
)
def test_a_charge_says_what_stands_against_it(fields: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert said(**fields) == [expected]


def test_everything_that_stands_against_a_charge_is_told_at_once() -> None:
    wrong = said(sold=None, quantity="0", day="soon")
    assert [field for field, _, _ in wrong] == ["spec.skuRef.name", "spec.quantity", "spec.date"]


@pytest.mark.parametrize(
    ("day", "billed_until", "now", "expected"),
    [
        # its day is not over before midnight in Berlin
        (date(2026, 9, 30), None, datetime(2026, 9, 30, 21, 59, tzinfo=UTC), None),
        (date(2026, 9, 30), None, OCTOBER, "its date, 2026-09-30, has passed"),
        (date(2026, 10, 1), None, OCTOBER, None),
        # an invoice closes its days before they have passed, and is named first where they have
        (
            date(2026, 9, 30),
            OCTOBER,
            datetime(2026, 9, 1, tzinfo=UTC),
            "2026-09-30 lies in an invoiced period (until 2026-10-01)",
        ),
        (date(2026, 9, 30), OCTOBER, OCTOBER, "2026-09-30 lies in an invoiced period (until 2026-10-01)"),
        (date(2026, 10, 1), OCTOBER, OCTOBER, None),
    ],
)
def test_a_charge_can_be_changed_to_the_end_of_its_day_unless_it_is_invoiced(
    day: date, billed_until: datetime | None, now: datetime, expected: str | None
) -> None:
    assert settled_reason(day, account=BERLIN, billed_until=billed_until, now=now) == expected
