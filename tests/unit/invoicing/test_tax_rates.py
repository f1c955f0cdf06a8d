"""What a TaxRate and a registration may say, and what is wrong with the rest, as tables of all errors."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from milo_billing.invoicing.rules.tax_rates import day_errors, rate_errors, read_rate, registration_errors
from milo_billing.kernel.taxes import TaxPlace, TaxRateEntry


def spec(**changed: Any) -> dict[str, Any]:
    return {
        "country": "DE",
        "region": "",
        "tax": "VAT",
        "tax_category": "standard",
        "percent": "19",
        "starts_on": "2021-01-01",
        "ends_on": None,
        "reason": "",
        "reason_code": "",
        **changed,
    }


ZERO = {"percent": "0", "reason": "Medical care", "reason_code": "VATEX-EU-132-1B"}


def test_a_rate_is_read_with_its_days() -> None:
    quebec = spec(
        country="CA", region="QC", tax="QST", tax_category="cloud", percent="9.975", ends_on="2027-01-01"
    )
    assert read_rate(quebec) == (
        TaxRateEntry(TaxPlace("CA", "QC"), "QST", "cloud", "S", Decimal("9.975")),
        date(2021, 1, 1),
        date(2027, 1, 1),
    )
    assert read_rate(spec())[2] is None


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"percent": "0.0001"}, "S"),
        ({"percent": "0.000"}, "Z"),
        ({"percent": "0", "reason": "Medical care"}, "E"),
        (ZERO, "E"),
    ],
)
def test_nothing_is_exempt_by_a_reason_and_zero_rated_without_one(changed: dict[str, str], code: str) -> None:
    rate, _, _ = read_rate(spec(**changed))
    assert rate.code == code
    assert (rate.reason, rate.reason_code) == (changed.get("reason", ""), changed.get("reason_code", ""))


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        ({}, []),
        (ZERO, []),
        ({"percent": "100"}, []),
        ({"percent": "100.01"}, ['spec.percent: Invalid value: "100.01": must be at most 100']),
        (
            {**ZERO, "percent": "7"},
            [
                'spec.reason: Invalid value: "Medical care": needs percent 0',
                'spec.reasonCode: Invalid value: "VATEX-EU-132-1B": needs percent 0',
            ],
        ),
        (
            {**ZERO, "reason": ""},
            ['spec.reasonCode: Invalid value: "VATEX-EU-132-1B": needs a reason beside it'],
        ),
        (
            {"percent": "101", "starts_on": "2026-02-29"},
            [
                'spec.percent: Invalid value: "101": must be at most 100',
                'spec.startsOn: Invalid value: "2026-02-29": must be a day of the calendar, YYYY-MM-DD',
            ],
        ),
        (
            {"ends_on": "2021-01-01"},
            ['spec.endsOn: Invalid value: "2021-01-01": must be after 2021-01-01'],
        ),
    ],
)
def test_everything_that_is_wrong_with_a_rate_is_told_at_once(
    changed: dict[str, Any], errors: list[str]
) -> None:
    found = list(rate_errors(spec(**changed)))
    assert [str(one) for one in found] == errors
    assert {one.reason for one in found} <= {"FieldValueInvalid"}


@pytest.mark.parametrize(
    ("first", "end", "error"),
    [
        (None, None, None),
        ("2026-11-22", None, None),
        (None, "2026-11-22", None),
        ("2026-11-22", "2026-11-23", None),
        ("2024-02-29", "2025-01-01", None),
        ("2026-11-22", "2026-11-22", 'until: Invalid value: "2026-11-22": must be after 2026-11-22'),
        ("2026-11-22", "2025-11-23", 'until: Invalid value: "2025-11-23": must be after 2026-11-22'),
        ("2026-13-01", None, 'since: Invalid value: "2026-13-01": must be a day of the calendar, YYYY-MM-DD'),
        (None, "2026-11-31", 'until: Invalid value: "2026-11-31": must be a day of the calendar, YYYY-MM-DD'),
        # one that cannot be read is not compared
        (
            "2026-13-01",
            "2026-11-31",
            'since: Invalid value: "2026-13-01": must be a day of the calendar, YYYY-MM-DD',
        ),
    ],
)
def test_days_are_of_the_calendar_and_the_end_is_after_the_first(
    first: str | None, end: str | None, error: str | None
) -> None:
    assert [str(one) for one in day_errors("since", first, "until", end)] == (
        [] if error is None else [error]
    )


@pytest.mark.parametrize(
    ("country", "one_stop", "days", "errors"),
    [
        ("IE", True, {}, []),
        ("GB", False, {}, []),
        (
            "GB",
            True,
            {},
            ['at.oneStopShop: Invalid value: "true": is for registrations in a member state of the Union'],
        ),
        (
            "CH",
            True,
            {"since": "2026-02-30"},
            [
                'at.since: Invalid value: "2026-02-30": must be a day of the calendar, YYYY-MM-DD',
                'at.oneStopShop: Invalid value: "true": is for registrations in a member state of the Union',
            ],
        ),
        (
            "IE",
            False,
            {"since": "2026-01-02", "until": "2026-01-01"},
            ['at.until: Invalid value: "2026-01-01": must be after 2026-01-02'],
        ),
    ],
)
def test_only_a_registration_in_the_union_is_a_one_stop_shop(
    country: str, one_stop: bool, days: dict[str, str], errors: list[str]
) -> None:
    body = {"country": country, "oneStopShop": one_stop, **days}
    assert [str(one) for one in registration_errors("at", body)] == errors
