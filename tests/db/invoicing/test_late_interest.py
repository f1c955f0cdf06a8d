"""Interest on what is paid late: simple, actual/365, untaxed, each day once, and given back where it was not owed."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from milo_billing.app.ledger_ports import above_the_books
from milo_billing.app.projections import compare_projections
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.jobs import daily
from milo_billing.invoicing.operations import closing, late_interest
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules import interest_accruals
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.errors import Conflict
from milo_billing.kernel.money import minor_to_decimal
from milo_billing.ledger import operations as ledger
from tests.accounts_world import HandClock
from tests.db.invoicing.ground import ACME, Ground
from tests.db.invoicing.paying import as_it_stands, pay

TERMS = {"latePaymentInterestPercent": "8"}
NEW_YEAR = datetime(2027, 1, 1, 5, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, 5, tzinfo=UTC)


def overdue(ground: Ground, dollars: int = 1000, **terms: Any) -> Invoice:
    """An invoice that was to be paid by 2 December 2026, over so many dollars at 8 % a year."""
    account = ground.declare_account(paymentTerms={**TERMS, **terms})
    ground.spend(account, "2026-10-05", dollars)
    return ground.issued(account)


def charge(ground: Ground, at: datetime) -> list[int]:
    """What the nightly job charges at this instant, in cents, after invoices were said to be past due."""
    clock = HandClock(at)
    before = ground.read("select count(*) from invoicing.invoices where kind = 'OneTime'")[0][0]
    daily.mark_past_due(ground.office, ground.databases.app, clock)
    daily.charge_interest(ground.office, ground.databases.app, clock)
    rows = ground.read(
        "select total_minor from invoicing.invoices where kind = 'OneTime' order by issued_at, sequence offset %s",
        before,
    )
    return [minor for (minor,) in rows]


def end_account(ground: Ground, number: int, *, now: datetime) -> None:
    ground.write(lambda work: closing.issue_final(work, office=ground.office, number=number), now=now)


def charged_days(ground: Ground) -> list[tuple[str, str, int]]:
    return ground.read(
        "select lower(days)::text, upper(days)::text, amount_minor from invoicing.interest order by days"
    )


def assert_books_agree(ground: Ground) -> None:
    subledgers = above_the_books().subledgers
    assert ground.reading(lambda tx: ledger.verify(tx, subledgers=subledgers, everything=True)) == ()
    assert ground.reading(lambda tx: compare_projections(tx, ground.engine.registry)) == ()


def test_a_month_overdue_is_charged_by_an_invoice_of_its_own(ground: Ground) -> None:
    """1,000.00 at 8 % for the 29 days from 3 to 31 December: 6.356, so 6.36."""
    invoice = overdue(ground)
    assert charge(ground, datetime(2026, 12, 31, 23, tzinfo=UTC)) == []
    assert charge(ground, NEW_YEAR) == [636]
    assert charged_days(ground) == [("2026-12-03", "2027-01-01", 636)]
    ((uid,),) = ground.read("select uid from invoicing.invoices where kind = 'OneTime'")
    (line,) = ground.reading(lambda tx: line_reads.list_lines(tx, invoice=uid, limit=9))
    assert (line.kind, line.description, line.first_day, line.end_day) == (
        "Interest",
        f"{invoice.number}, 8 %",
        date(2026, 12, 3),
        date(2027, 1, 1),
    )
    rows = ground.read(
        "select account, amount_minor, service_from::text, service_to::text from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where t.key = %s order by 1",
        f"invoice/{uid}/issue",
    )
    assert rows == [
        ("Assets:Receivable", 636, None, None),
        ("Income:Interest", -636, "2026-12-03", "2027-01-01"),
    ]
    assert ground.read(
        "select tax_minor, interest_percent, early_until from invoicing.invoices where uid = %s", uid
    ) == [(0, None, None)]
    assert_books_agree(ground)


def test_charging_again_charges_the_days_since_and_no_day_twice(ground: Ground) -> None:
    """29 and 31 days are 6.36 and 6.79; all 60 days are 13.15."""
    overdue(ground)
    assert charge(ground, NEW_YEAR) == [636]
    assert charge(ground, NEW_YEAR) == []
    # the invoice over interest is unpaid as well, and bears none
    assert charge(ground, FEBRUARY) == [679]
    assert charged_days(ground) == [("2026-12-03", "2027-01-01", 636), ("2027-01-01", "2027-02-01", 679)]


def test_months_charged_late_come_to_the_same(ground: Ground) -> None:
    overdue(ground)
    assert charge(ground, FEBRUARY) == [636 + 679]


def test_a_part_that_was_paid_bears_interest_to_its_day(ground: Ground) -> None:
    """1,000.00 for 10 days until the 12th, 400.00 for 10 more until the 22nd: 2.19 + 0.88, rounded once."""
    invoice = overdue(ground)
    pay(ground, invoice, 60_000, "first", now=datetime(2026, 12, 12, 9, tzinfo=UTC))
    pay(ground, invoice, 40_000, "rest", now=datetime(2026, 12, 22, 9, tzinfo=UTC))
    assert charge(ground, NEW_YEAR) == [307]
    assert charged_days(ground) == [("2026-12-03", "2026-12-23", 307)]
    assert charge(ground, FEBRUARY) == []


@pytest.mark.parametrize(("day", "interest"), [(3, "0.22"), (12, "2.19")])
def test_an_account_is_archived_only_once_interest_on_what_it_paid_late_is_invoiced(
    ground: Ground, day: int, interest: str
) -> None:
    """1,000.00 at 8 % for one day, and for ten: also where it is paid today."""
    invoice, paid_at = overdue(ground), datetime(2026, 12, day, 9, tzinfo=UTC)
    end_account(ground, invoice.account, now=paid_at)
    pay(ground, invoice, 100_000, "late", now=paid_at)
    wanted = rf"cannot be archived yet: {interest} USD of interest on what it paid late is on no invoice yet; .*charge"
    with pytest.raises(Conflict, match=wanted):
        ground.act("billingaccounts", "main", "archive", now=paid_at)
    (minor,) = charge(ground, NEW_YEAR)
    assert str(minor_to_decimal(minor, "USD")) == interest
    with pytest.raises(Conflict, match=f"it owes {interest} USD for issued invoices"):
        ground.act("billingaccounts", "main", "archive", now=NEW_YEAR)
    ((uid,),) = ground.read("select uid from invoicing.invoices where kind = 'OneTime'")
    charged = ground.reading(lambda tx: invoice_reads.get_invoice_by_uid(tx, uid=uid))
    pay(ground, charged, minor, "interest", now=NEW_YEAR)
    ground.act("billingaccounts", "main", "archive", now=NEW_YEAR)


def test_who_pays_in_time_is_archived_without_interest(ground: Ground) -> None:
    invoice, paid_at = overdue(ground), datetime(2026, 12, 2, 23, tzinfo=UTC)
    end_account(ground, invoice.account, now=paid_at)
    pay(ground, invoice, 100_000, "in time", now=paid_at)
    ground.act("billingaccounts", "main", "archive", now=NEW_YEAR)


@pytest.mark.parametrize("day", [1, 2])
def test_who_pays_in_time_owes_none(ground: Ground, day: int) -> None:
    pay(ground, overdue(ground), 100_000, "t", now=datetime(2026, 12, day, 23, tzinfo=UTC))
    assert charge(ground, NEW_YEAR) == []


def test_without_a_rate_nothing_is_charged(ground: Ground) -> None:
    overdue(ground, latePaymentInterestPercent="0")
    assert charge(ground, NEW_YEAR) == []


def test_a_void_invoice_gives_its_interest_back(ground: Ground) -> None:
    invoice = overdue(ground)
    charge(ground, NEW_YEAR)
    kind = ground.engine.registry.get("billing.miloapis.com", "invoices")
    ground.write(
        lambda work: ground.engine.act(
            work, kind, namespace=ACME, name=invoice.name, action="void", request={"reason": "a mistake"}
        ),
        now=datetime(2027, 1, 10, tzinfo=UTC),
    )
    assert charge(ground, FEBRUARY) == []
    (found,) = ground.read("select amount_minor from invoicing.interest_reversals")
    assert found == (636,)
    assert charge(ground, FEBRUARY) == []
    assert ground.read("select sum(amount_minor) from ledger.entries where account = 'Income:Interest'") == [
        (0,)
    ]
    assert_books_agree(ground)


def test_a_payment_that_is_told_of_late_gives_back_what_was_charged_since(ground: Ground) -> None:
    """Paid in time, on 2 December; the statement came in January."""
    invoice = overdue(ground)
    charge(ground, NEW_YEAR)
    with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
        assert tx.execute("select count(*) from invoicing.interest").fetchone() == (1,)
    pay(
        ground,
        invoice,
        100_000,
        "t",
        now=datetime(2027, 1, 12, tzinfo=UTC),
        at=datetime(2026, 12, 2, 12, tzinfo=UTC),
    )
    assert charge(ground, FEBRUARY) == []
    assert ground.read("select sum(amount_minor)::int from invoicing.interest_reversals") == [(636,)]
    assert as_it_stands(ground, invoice).phase == "Paid"
    assert_books_agree(ground)


def test_the_database_refuses_a_day_that_was_charged(ground: Ground) -> None:
    overdue(ground)
    charge(ground, NEW_YEAR)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        ground.read(
            "insert into invoicing.interest select charged_on, line + 1, owner_org, invoice, "
            "daterange('2026-12-31', '2027-01-05'), percent, 1 from invoicing.interest returning 1"
        )


def standing(ground: Ground, at: datetime, *, account: int | None = None) -> list[tuple[int, int, int, int]]:
    """(days, accrued, charged, chargeable) of each invoice that is listed, amounts in cents."""
    found = ground.reading(
        lambda tx: late_interest.list_accruals(tx, account=account, after=UUID(int=0), now=at, limit=9)
    )
    return [
        (one.days, one.accrued_minor, one.charged.amount_minor, one.chargeable_minor)
        for one in sorted(found, key=lambda one: one.invoice.number)
    ]


def test_what_has_accrued_is_shown_up_to_today_and_what_of_it_would_be_charged(ground: Ground) -> None:
    """1,000.00 at 8 % are 0.2192 a day. On 3 December no day is over, on 1 January 29 are, on the 16th 44."""
    invoice = overdue(ground)
    daily.mark_past_due(ground.office, ground.databases.app, HandClock(datetime(2026, 12, 3, 5, tzinfo=UTC)))
    assert standing(ground, datetime(2026, 12, 3, 23, tzinfo=UTC)) == []
    assert standing(ground, datetime(2026, 12, 4, 1, tzinfo=UTC)) == [(1, 22, 0, 0)]
    assert standing(ground, datetime(2026, 12, 31, 23, tzinfo=UTC)) == [(28, 614, 0, 0)]
    assert standing(ground, NEW_YEAR) == [(29, 636, 0, 636)]
    assert charge(ground, NEW_YEAR) == [636]
    assert standing(ground, NEW_YEAR) == [(29, 636, 636, 0)]
    january = datetime(2027, 1, 16, 5, tzinfo=UTC)
    assert standing(ground, january) == [(44, 964, 636, 0)]
    assert standing(ground, january, account=invoice.account) == standing(ground, january)
    assert standing(ground, january, account=invoice.account + 1) == []
    # paid on the 10th, and told on the 16th: ten days of January are still to be charged, then it is done with
    pay(ground, invoice, 100_000, "t", now=january, at=datetime(2027, 1, 10, 9, tzinfo=UTC))
    assert standing(ground, FEBRUARY) == [(39, 855, 636, 219)]
    assert charge(ground, FEBRUARY) == [219]
    assert standing(ground, FEBRUARY) == []


def test_what_would_be_given_back_is_below_zero(ground: Ground) -> None:
    invoice = overdue(ground)
    charge(ground, NEW_YEAR)
    told = datetime(2027, 1, 12, tzinfo=UTC)
    pay(ground, invoice, 100_000, "t", now=told, at=datetime(2026, 12, 12, 12, tzinfo=UTC))
    assert standing(ground, told) == [(10, 219, 636, 219 - 636)]


def test_interest_that_was_waived_is_not_charged_again(ground: Ground) -> None:
    overdue(ground)
    charge(ground, NEW_YEAR)
    ((name,),) = ground.read("select name from invoicing.invoices where kind = 'OneTime'")
    kind = ground.engine.registry.get("billing.miloapis.com", "invoices")
    waived = datetime(2027, 1, 10, tzinfo=UTC)
    ground.write(
        lambda work: ground.engine.act(
            work, kind, namespace=ACME, name=name, action="void", request={"reason": "waived"}
        ),
        now=waived,
    )
    assert standing(ground, waived) == [(38, 833, 636, 0)]
    assert charge(ground, waived) == []


def test_pages_of_interest_have_each_invoice_once(ground: Ground) -> None:
    for name in ("main", "second", "third"):
        account = ground.declare_account(name, paymentTerms=TERMS)
        ground.spend(account, "2026-10-05", 100)
        ground.issued(account)
    daily.mark_past_due(ground.office, ground.databases.app, HandClock(NEW_YEAR))
    query: dict[str, str] = {"limit": "2"}
    seen: list[str] = []
    while True:
        asked = interest_accruals.parse_accruals(query)
        found = ground.reading(
            lambda tx, asked=asked: late_interest.list_accruals(
                tx, account=None, after=asked.after, now=NEW_YEAR, limit=asked.limit + 1
            )
        )
        page = interest_accruals.accruals_body(found, limit=asked.limit)
        seen += [one["account"] for one in page["items"]]
        if "continue" not in page["metadata"]:
            break
        query = {"limit": "2", "continue": page["metadata"]["continue"]}
    assert sorted(seen) == ["main", "second", "third"]
