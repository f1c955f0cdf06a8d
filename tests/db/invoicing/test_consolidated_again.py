"""A month that is issued again, after later ones that had nothing to charge."""

from datetime import UTC, datetime

from milo_billing.accounts.types import Account
from milo_billing.invoicing.types.invoices import Skipped
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, spend_late, void


def invoices(ground: Ground) -> list[tuple[str, str, int]]:
    """(day on which it begins, phase, total) of every invoice, in the order of their days."""
    return ground.read(
        "select (lower(period) at time zone 'UTC')::date::text, phase, total_minor from invoicing.invoices "
        "order by lower(period), sequence"
    )


def assert_november_is_invoiced(ground: Ground, payer: Account, user: Account) -> None:
    first = ground.issued(payer)
    void(ground, first, now=NOVEMBER)
    assert ground.issue(payer, month=11, now=DECEMBER) == Skipped("nothing to charge")
    spend_late(ground, user, "2026-11-19", 7)
    ground.issued(payer, now=DECEMBER)
    ground.issue(payer, month=12, now=JANUARY)
    assert invoices(ground) == [
        ("2026-10-01", "Void", 1_000),
        ("2026-10-01", "Issued", 1_000),
        ("2026-11-01", "Issued", 700),
    ]


def test_late_usage_of_a_later_month_without_an_invoice_is_not_lost_where_an_earlier_one_is_issued_again(
    ground: Ground,
) -> None:
    main = ground.declare_account()
    ground.spend(main, "2026-10-05", 10)
    assert_november_is_invoiced(ground, main, main)


def test_nor_is_that_of_a_sub_account(ground: Ground) -> None:
    main = ground.declare_account()
    team = ground.declare_account("team", parentRef={"namespace": ACME, "name": "main"}, billingMode="Parent")
    ground.spend(main, "2026-10-05", 10)
    assert_november_is_invoiced(ground, ground.account("main"), team)


def test_a_month_that_charges_only_what_came_late_of_an_earlier_one_is_closed(ground: Ground) -> None:
    """Its invoice has none of its days: usage that reaches these later is a change, and none is lost."""
    main = ground.declare_account()
    ground.spend(main, "2026-10-05", 10)
    ground.issued(main)
    spend_late(ground, main, "2026-10-30", 5)
    assert ground.issued(main, month=11, now=DECEMBER).kind == "Adjustment"
    assert ground.read("select greatest(billed_until, closed_until) from accounts.billed") == [
        (datetime(2026, 12, 1, tzinfo=UTC),)
    ]
    spend_late(ground, main, "2026-11-19", 7)
    ground.issue(main, month=12, now=JANUARY)
    assert invoices(ground) == [
        ("2026-10-01", "Issued", 1_000),
        ("2026-10-01", "Issued", 500),
        ("2026-11-01", "Issued", 700),
    ]
