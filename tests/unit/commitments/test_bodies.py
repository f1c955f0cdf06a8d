"""Promises and discounts as their objects write them, and as a summary shows them."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from milo_billing.commitments.rules.bodies import parse_discount, parse_promise
from milo_billing.commitments.rules.representations import summary_body
from milo_billing.commitments.types import Commitment, DaySpan, Discount, Progress, Promise
from tests.unit.commitments.builders import label, minimum, off, promise, selector

LEAST: dict[str, Any] = {
    "startsOn": "2026-01-01",
    "termMonths": 12,
    "stacking": "Refuse",
    "violationPolicy": {"type": "TrueUp"},
    "taxCategory": "standard",
}
GPU = {"matchLabels": [{"key": "family", "op": "In", "values": ["gpu"]}, {"key": "beta", "op": "Exists"}]}


def test_what_a_commitment_leaves_out_is_not_promised() -> None:
    assert parse_promise(LEAST, ends_on=None) == Promise(date(2026, 1, 1), 12, None)


def test_a_commitment_says_everything_it_can() -> None:
    body = {
        **LEAST,
        "minimumSpends": [
            {"amount": "100.50", "interval": "Monthly"},
            {"amount": "7", "interval": "Yearly", "skuSelectors": [GPU, {"cel": "true"}]},
        ],
        "skuDiscounts": [{"percentage": "12.5", "priority": 3, "skuSelectors": [GPU]}, {"percentage": "1"}],
        "stacking": "Best",
        "prepayment": {"amount": "1000"},
        "overageFactor": "1.5",
        "violationPolicy": {"type": "GracePeriod", "days": 30},
        "taxCategory": "reduced",
    }
    gpu = selector(label("family", "gpu"), label("beta", op="Exists"))
    assert parse_promise(body, ends_on=date(2027, 1, 1)) == Promise(
        starts_on=date(2026, 1, 1),
        term_months=12,
        ends_on=date(2027, 1, 1),
        minimums=(minimum("100.50", "Monthly"), minimum("7", "Yearly", gpu, selector(cel="true"))),
        discounts=(off("12.5", gpu, priority=3), off("1")),
        stacking="Best",
        prepayment=Decimal(1000),
        overage_factor=Decimal("1.5"),
        policy="GracePeriod",
        grace_days=30,
        tax_category="reduced",
    )


def test_a_discount_is_called_by_its_name_where_it_has_no_other() -> None:
    body = {"scope": "Line", "percentage": "10", "startsOn": "2026-03-01"}
    assert parse_discount(body, uid=UUID(int=1), name="spring") == Discount(
        UUID(int=1), "spring", "Line", Decimal(10), None, (), date(2026, 3, 1), None, None, "spring"
    )


def test_a_discount_says_everything_it_can() -> None:
    body = {
        "scope": "Invoice",
        "amount": "25",
        "skuSelectors": [{"cel": "true"}],
        "startsOn": "2026-03-01",
        "endsOn": "2026-04-01",
        "uses": 3,
        "displayName": "Spring sale",
    }
    assert parse_discount(body, uid=UUID(int=1), name="spring") == Discount(
        uid=UUID(int=1),
        name="spring",
        scope="Invoice",
        percent=None,
        amount=Decimal(25),
        selectors=(selector(cel="true"),),
        starts_on=date(2026, 3, 1),
        ends_on=date(2026, 4, 1),
        uses=3,
        description="Spring sale",
    )


def test_a_summary_shows_amounts_in_the_main_unit_and_days_as_dates() -> None:
    commitment = Commitment(UUID(int=1), "organization-acme", "plan", 1, 1, "EUR", promise())
    month = DaySpan(date(2026, 1, 1), date(2026, 2, 1))
    progress = Progress(2, "Monthly", month, 100001, 25002, 74999, 25, 16, 51670, 48331)
    assert summary_body(commitment, [progress], accepted=True, at="2026-01-15T12:00:00Z") == {
        "commitment": {"namespace": "organization-acme", "name": "plan"},
        "at": "2026-01-15T12:00:00Z",
        "currencyCode": "EUR",
        "accepted": True,
        "items": [
            {
                "minimum": 2,
                "interval": "Monthly",
                "start": "2026-01-01",
                "end": "2026-02-01",
                "minimumSpend": "1000.01",
                "spent": "250.02",
                "remaining": "749.99",
                "percent": 25,
                "daysLeft": 16,
                "projectedSpend": "516.70",
                "projectedShortfall": "483.31",
            }
        ],
    }
