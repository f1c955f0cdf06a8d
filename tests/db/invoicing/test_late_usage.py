"""Usage that reaches a period after its invoice (domain.md §4): Δ stands on the next invoice, or is given back."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from random import Random

import psycopg
import pytest

from milo_billing.accounts.types import Account
from milo_billing.infra.clock import SimulatedClock
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.jobs import daily
from milo_billing.invoicing.operations import previewing
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.types.drafts import Part
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, Issued, Skipped
from tests.db.invoicing.ground import NOVEMBER, PRICES, Ground
from tests.db.invoicing.late_ground import (
    DECEMBER,
    JANUARY,
    adjust,
    amounts,
    charged_minor,
    credit,
    lines_of,
    notes,
    spend_late,
    use_late,
    void,
)
from tests.db.invoicing.paying import as_it_stands


def test_what_came_late_is_charged_by_a_line_of_the_next_invoice(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    november = ground.issued(account, month=11, now=DECEMBER)
    own, late = lines_of(ground, november)
    assert (own.kind, own.amount_minor, own.adjusts) == ("Usage", 5_000, None)
    assert (late.kind, late.sku, late.amount_minor) == ("Adjustment", "tokens", 2_000)
    assert late.adjusts is not None
    assert (late.adjusts.number, late.adjusts.kind) == (october.number, "Usage")
    assert (late.first_day, late.end_day) == (date(2026, 10, 1), date(2026, 11, 1))
    assert late.parts == (
        Part("Rerated", None, None, None, 12_000),
        Part("Charged", None, None, None, -10_000),
    )
    assert [(one.project, one.amount_minor) for one in late.projects] == [("web", 2_000)]
    assert november.total_minor == 7_000
    assert ("Income:Revenue:Usage", -2_000, date(2026, 10, 1), date(2026, 11, 1)) in ground.read(
        "select e.account, e.amount_minor, e.service_from, e.service_to from ledger.entries e "
        "join ledger.transactions t on t.id = e.transaction where t.key = %s",
        f"invoice/{november.uid}/issue",
    )
    ground.spend(account, "2026-12-05", 50)
    december = ground.issued(account, month=12, now=JANUARY)
    assert amounts(ground, december) == [("Usage", "tokens", 5_000)]


def test_a_higher_tier_that_late_usage_reaches_prices_the_whole_period_again(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, ("2026-10-05", "web", "requests", 900))
    october = ground.issued(account)
    use_late(ground, account, "2026-10-30", 300, meter="requests")
    november = ground.issued(account, month=11, now=DECEMBER)
    # 1,000 at 0.10 and 200 at 0.05 with the tier's fee of 3.00, less 90.00
    assert amounts(ground, november) == [("Adjustment", "requests", 2_300)]
    assert november.kind == "Adjustment"
    assert november.period == october.period


def test_what_was_voided_is_given_back_by_a_credit_note_against_the_original(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-05", -30)
    ground.spend(account, "2026-11-05", 50)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert amounts(ground, november) == [("Usage", "tokens", 5_000)]
    assert notes(ground) == [(october.number, 3_000)]


def test_nothing_is_charged_twice_however_often_it_is_looked_at(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    first = adjust(ground, october)
    assert first.invoice is not None
    assert (first.invoice.kind, first.invoice.total_minor, first.invoice.period) == (
        "Adjustment",
        2_000,
        october.period,
    )
    assert adjust(ground, october) == Adjusted(None, ())
    ground.spend(account, "2026-11-05", 50)
    assert amounts(ground, ground.issued(account, month=11, now=DECEMBER)) == [("Usage", "tokens", 5_000)]


def test_what_comes_late_twice_is_charged_by_what_it_adds(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)
    for dollars, month, now in ((20, 11, DECEMBER), (5, 12, JANUARY)):
        spend_late(ground, account, "2026-10-30", dollars)
        late = ground.issued(account, month=month, now=now)
        assert amounts(ground, late) == [("Adjustment", "tokens", dollars * 100)]


def test_late_usage_within_a_minimum_or_beyond_a_maximum_changes_nothing(ground: Ground) -> None:
    ground.publish("EUR", [{**PRICES[0], "minimum": "50"}])
    account = ground.declare_account(currencyCode="EUR")
    ground.spend(account, "2026-10-05", 20)
    ground.issued(account)
    spend_late(ground, account, "2026-10-30", 10)
    assert isinstance(ground.issue(account, month=11, now=DECEMBER), Skipped)
    # 25.00 more than the minimum took: 30.00 used before, 75.00 now
    spend_late(ground, account, "2026-10-30", 45)
    assert amounts(ground, ground.issued(account, month=12, now=JANUARY)) == [("Adjustment", "tokens", 2_500)]


def test_the_prices_are_those_that_were_published_when_the_invoice_was_issued(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)
    spec = {
        "bookName": "list-usd",
        "effectiveFrom": "2026-10-01",
        "currencyCode": "USD",
        "phase": "Published",
        "prices": [{**PRICES[0], "unitPrice": "9.99"}, PRICES[1]],
    }
    ground.declare("pricebooks", "dearer", spec, now=NOVEMBER + timedelta(days=1))
    spend_late(ground, account, "2026-10-30", 20)
    assert amounts(ground, ground.issued(account, month=11, now=DECEMBER)) == [
        ("Adjustment", "tokens", 2_000)
    ]


def test_late_usage_makes_a_shortfall_smaller(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(
        minimumSpends=[{"amount": "100", "currencyCode": "USD", "interval": "Monthly"}], termMonths=1
    )
    ground.spend(account, "2026-10-05", 60)
    october = ground.issued(account)
    assert october.total_minor == 10_000
    # 30.00 of usage take 30.00 off the shortfall: nothing is owed
    spend_late(ground, account, "2026-10-30", 30)
    assert isinstance(ground.issue(account, month=11, now=DECEMBER), Skipped)
    # 30.00 more leave no shortfall, and are 20.00 beyond the minimum
    spend_late(ground, account, "2026-10-30", 30)
    late = ground.issued(account, month=12, now=JANUARY)
    assert [(line.adjusts and line.adjusts.kind, line.amount_minor) for line in lines_of(ground, late)] == [
        ("Shortfall", -4_000),
        ("Usage", 6_000),
    ]
    assert late.total_minor == 2_000


def test_usage_of_an_early_month_makes_the_shortfall_of_its_quarter_smaller(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(
        minimumSpends=[{"amount": "300", "currencyCode": "USD", "interval": "Quarterly"}], termMonths=3
    )
    for day, month, now in (
        ("2026-10-05", 10, NOVEMBER),
        ("2026-11-05", 11, DECEMBER),
        ("2026-12-05", 12, JANUARY),
    ):
        ground.spend(account, day, 80)
        last = ground.issued(account, month=month, now=now)
    spend_late(ground, account, "2026-10-20", 10)
    february = ground.issue(account, year=2027, month=1, now=datetime(2027, 2, 2, tzinfo=UTC))
    assert isinstance(february, Issued)
    assert amounts(ground, february.invoice) == [("Adjustment", "tokens", 1_000)]
    assert notes(ground) == [(last.number, 1_000)]
    assert charged_minor(ground, account) == 30_000


def test_prepaid_money_pays_for_what_comes_late(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(prepayment={"amount": "100"}, termMonths=12)
    ground.spend(account, "2026-10-05", 60)
    ground.issued(account)
    spend_late(ground, account, "2026-10-20", 30)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert november.total_minor == 0
    assert {
        (line.adjusts and line.adjusts.kind, line.amount_minor) for line in lines_of(ground, november)
    } == {
        ("DrawDown", -3_000),
        ("Usage", 3_000),
    }
    ground.spend(account, "2026-12-05", 40)
    assert ground.issued(account, month=12, now=JANUARY).total_minor == 3_000


@pytest.mark.parametrize(
    ("voided", "charged", "late"),
    [
        # all that November came to less is given back, 10.00 of it of October, and prepaid money pays for it
        (15, {("DrawDown", 11, -1_500), ("Usage", 10, 1_000), ("Usage", 11, 500)}, 700),
        # nothing is left for 5.00 of it: so much less is charged of what is used after all
        (20, set[tuple[str, int, int]](), 200),
    ],
)
def test_what_a_month_gave_back_of_another_invoice_is_charged_to_prepaid_money_again(
    ground: Ground, voided: int, charged: set[tuple[str, int, int]], late: int
) -> None:
    """Usage voided in October leaves prepaid money for November, of which 15.00 had been credited."""
    account = ground.declare_account()
    ground.promise(prepayment={"amount": "100"}, termMonths=12)
    ground.spend(account, "2026-10-05", 60)
    ground.issued(account)
    ground.spend(account, "2026-11-05", 60)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert november.total_minor == 2_000  # 40.00 of it were prepaid
    credit(ground, november, "15.00")
    spend_late(ground, account, "2026-10-20", -voided)
    december = ground.issued(account, month=12, now=JANUARY)
    assert {
        (line.adjusts.kind, line.first_day.month, line.amount_minor)
        for line in lines_of(ground, december)
        if line.adjusts is not None and line.adjusts.number == november.number
    } == charged
    assert december.total_minor == 0
    assert sorted(notes(ground)) == [
        ("KC-2026-000001", 1_000),
        (november.number, 500),
        (november.number, 1_500),
    ]
    # nothing is charged twice, and what is used after all is charged
    spend_late(ground, account, "2026-11-06", 7)
    january = ground.issue(account, year=2027, month=1, now=datetime(2027, 2, 2, tzinfo=UTC))
    assert isinstance(january, Issued)
    assert january.invoice.total_minor == late
    used = 60 - voided + 60 + 7
    assert charged_minor(ground, account) == (used - 15) * 100


def test_what_was_given_back_before_is_not_given_back_again(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    credit(ground, october, "70.00")
    spend_late(ground, account, "2026-10-05", -100)
    assert isinstance(ground.issue(account, month=11, now=DECEMBER), Skipped)
    assert notes(ground) == [(october.number, 7_000), (october.number, 3_000)]
    assert charged_minor(ground, account) == 0
    # what was a gift stays one: of 75.00 used after all, 70.00 had been given
    spend_late(ground, account, "2026-10-06", 75)
    assert ground.issued(account, month=12, now=JANUARY).total_minor == 500


def test_what_an_adjustment_charged_is_given_back_of_the_adjustment_first(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 50)
    ground.spend(account, "2026-11-05", 10)
    november = ground.issued(account, month=11, now=DECEMBER)
    spend_late(ground, account, "2026-10-30", -120)
    assert isinstance(ground.issue(account, month=12, now=JANUARY), Skipped)
    assert sorted(notes(ground)) == sorted([(november.number, 5_000), (october.number, 7_000)])
    assert charged_minor(ground, account) == 4_000


def test_a_void_invoice_is_not_adjusted_and_its_replacement_charges_everything_once(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 10)
    november = ground.issued(account, month=11, now=DECEMBER)
    void(ground, october, now=DECEMBER)
    replacement = ground.issued(account, now=DECEMBER)
    assert (replacement.total_minor, replacement.replaces) == (12_000, october.uid)
    assert notes(ground)[-1] == (november.number, 2_000)
    assert charged_minor(ground, account) == 13_000


def test_what_a_void_invoice_carried_is_charged_by_the_one_that_replaces_it(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 10)
    november = ground.issued(account, month=11, now=DECEMBER)
    void(ground, november, now=DECEMBER)
    again = ground.issued(account, month=11, now=DECEMBER)
    assert amounts(ground, again) == [("Usage", "tokens", 1_000), ("Adjustment", "tokens", 2_000)]
    assert charged_minor(ground, account) == 13_000


def test_what_was_given_back_of_an_adjustment_is_not_charged_again_when_that_is_void(ground: Ground) -> None:
    """The void original takes back what its adjustment charged, by a note on that; then that is void too."""
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    use_late(ground, account, "2026-10-30", 50, meter="requests")
    carrier = adjust(ground, october).invoice
    assert carrier is not None
    void(ground, october, now=NOVEMBER)
    adjust(ground, as_it_stands(ground, october))
    assert charged_minor(ground, account) == 0
    void(ground, carrier, now=NOVEMBER)
    assert adjust(ground, as_it_stands(ground, october)) == Adjusted(None, ())
    assert charged_minor(ground, account) == 0


def test_an_account_that_no_invoice_follows_for_is_adjusted_by_a_job(ground: Ground) -> None:
    account = ground.declare_account()
    open_one = ground.declare_account("other")
    for one in (account, open_one):
        ground.spend(one, "2026-10-05", 100)
        ground.issued(one)
        spend_late(ground, one, "2026-10-30", 20)
    ground.write(
        lambda work: work.tx.execute(
            "update accounts.accounts set phase = 'Archived' where number = %s", (account.number,)
        )
    )
    daily.adjust_closed_accounts(ground.office, ground.databases.app, SimulatedClock(DECEMBER))
    assert (charged_minor(ground, account), charged_minor(ground, open_one)) == (12_000, 10_000)


def test_usage_of_a_month_that_had_nothing_to_invoice_is_invoiced_with_the_next_one(ground: Ground) -> None:
    account = ground.declare_account()
    assert isinstance(ground.issue(account), Skipped)
    assert ground.read("select billed_until, closed_until from accounts.billed") == [
        (None, datetime(2026, 11, 1, tzinfo=UTC))
    ]
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    november = ground.issued(account, month=11, now=DECEMBER)
    assert amounts(ground, november) == [("Usage", "tokens", 5_000)]
    assert ground.read(
        "select kind, total_minor, upper(period) from invoicing.invoices order by sequence"
    ) == [
        ("Periodic", 2_000, datetime(2026, 11, 1, tzinfo=UTC)),
        ("Periodic", 5_000, datetime(2026, 12, 1, tzinfo=UTC)),
    ]
    spend_late(ground, account, "2026-10-30", 5)
    assert ground.issued(account, month=12, now=JANUARY).total_minor == 500


def void_for_nothing(ground: Ground) -> tuple[Account, Invoice]:
    """An invoice that was void, as what it charged had not been used; its month was run again: it is done."""
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    void(ground, october, now=NOVEMBER)
    spend_late(ground, account, "2026-10-05", -100)
    assert ground.issue(account) == Skipped("nothing to charge")
    return account, october


def test_late_usage_of_a_void_month_that_came_to_nothing_is_invoiced_with_the_next_one(
    ground: Ground,
) -> None:
    account, october = void_for_nothing(ground)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 50)
    ground.issued(account, month=11, now=DECEMBER)
    assert ground.read(
        "select phase, total_minor, upper(period), replaces from invoicing.invoices order by sequence"
    ) == [
        ("Void", 10_000, datetime(2026, 11, 1, tzinfo=UTC), None),
        ("Issued", 2_000, datetime(2026, 11, 1, tzinfo=UTC), october.uid),
        ("Issued", 5_000, datetime(2026, 12, 1, tzinfo=UTC), None),
    ]


def test_a_void_month_that_came_to_nothing_and_is_run_once_more_replaces_the_void_invoice(
    ground: Ground,
) -> None:
    account, october = void_for_nothing(ground)
    spend_late(ground, account, "2026-10-30", 20)
    again = ground.issued(account)
    assert (again.total_minor, again.replaces) == (2_000, october.uid)


def test_two_that_issue_at_once_charge_what_came_late_once(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    spend_late(ground, account, "2026-10-30", 20)
    ground.spend(account, "2026-11-05", 10)
    with ThreadPoolExecutor(3) as pool:
        racing: list[Future[object]] = [
            pool.submit(ground.issue, account, month=11, now=DECEMBER),
            pool.submit(ground.issue, account, month=11, now=DECEMBER),
            pool.submit(adjust, ground, october, now=DECEMBER),
        ]
        for one in racing:
            one.result()
    assert charged_minor(ground, account) == 13_000


@pytest.mark.parametrize("seed", range(4))
def test_however_usage_is_split_into_on_time_and_late_it_comes_to_the_same(ground: Ground, seed: int) -> None:
    random = Random(seed)
    rows = [
        (
            f"2026-10-{random.randrange(1, 32):02}",
            random.choice(("tokens", "requests")),
            random.randrange(1, 9),
        )
        for _ in range(8)
    ]
    promised = {
        "minimumSpends": [{"amount": "90", "currencyCode": "USD", "interval": "Monthly"}],
        "termMonths": 1,
        "skuDiscounts": [{"percentage": "12.5"}],
    }
    on_time, split = ground.declare_account("on-time"), ground.declare_account("split")
    for account in (on_time, split):
        ground.promise(f"of-{account.name}", account.name, **promised)
        ground.discount(f"off-{account.name}", account.name, scope="Invoice", percentage="7")
    late: list[tuple[str, str, int]] = []
    for day, meter, times in rows:
        total = times * (3_333_333 if meter == "tokens" else 219)
        use_late(ground, on_time, day, total, meter=meter, marked=False)
        if random.random() < 0.5:
            use_late(ground, split, day, total, meter=meter, marked=False)
        else:
            late.append((day, meter, total))
    ground.issue(on_time)
    ground.issue(split)
    for now, month in ((DECEMBER, 11), (JANUARY, 12)):
        come = late[: len(late) // 2] if month == 11 else late[len(late) // 2 :]
        for day, meter, total in come:
            use_late(ground, split, day, total, meter=meter)
        ground.issue(split, month=month, now=now)
    assert charged_minor(ground, split) == charged_minor(ground, on_time)


def test_late_usage_that_had_no_price_is_refused_until_there_is_one_that_then_stays(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    october = ground.issued(account)
    use_late(ground, account, "2026-10-30", 300, meter="bytes")
    with pytest.raises(UnableToIssue, match=r"usage of example\.com/bytes has no price"):
        ground.issue(account, month=11, now=DECEMBER)
    preview = ground.reading(
        lambda tx: previewing.preview(
            tx, office=ground.office, account=account, month=(2026, 11), now=DECEMBER
        )
    )
    assert "example.com/bytes has no price" in (preview.untaxed or "")
    meter = {"meterName": "example.com/bytes"}
    ground.declare(
        "skus", "stored", {"chargeType": "Usage", "meter": meter, "pricingUnit": "By"}, now=DECEMBER
    )

    def publish(day: str, price: str, *, now: datetime) -> None:
        spec = {
            "bookName": "list-usd",
            "effectiveFrom": day,
            "currencyCode": "USD",
            "phase": "Published",
            # what had a price keeps it
            "prices": [
                {**PRICES[0], "unitPrice": "99"},
                {"skuRef": {"name": "stored"}, "model": "PerUnit", "unitPrice": price},
            ],
        }
        ground.declare("pricebooks", f"from-{day}", spec, now=now)

    publish("2026-10-01", "2", now=DECEMBER)
    november = ground.issued(account, month=11, now=DECEMBER + timedelta(hours=1))
    assert amounts(ground, november) == [("Adjustment", "stored", 60_000)]
    publish("2026-10-02", "3", now=JANUARY)
    use_late(ground, account, "2026-10-30", 1, meter="bytes")
    assert amounts(ground, ground.issued(account, month=12, now=JANUARY + timedelta(hours=1))) == [
        ("Adjustment", "stored", 200)
    ]
    (line,) = lines_of(ground, november)
    assert (line.book_effective_from, line.adjusts and line.adjusts.number) == (
        date(2026, 10, 1),
        october.number,
    )


def test_that_a_void_month_came_to_nothing_is_said_once(ground: Ground) -> None:
    void_for_nothing(ground)
    with (
        pytest.raises(psycopg.errors.RestrictViolation, match="written once"),
        ground.databases.app.transaction(reach=EVERYWHERE) as tx,
    ):
        tx.execute("update invoicing.sections set nothing_at = null")
