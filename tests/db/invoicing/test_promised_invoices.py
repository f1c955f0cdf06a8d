"""What was promised is what is invoiced: lines of commitments, who gave which discount, and the books."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from milo_billing.accounts.types import Account
from milo_billing.adapters.folder_blobs import FolderBlobs
from milo_billing.commitments.types import UnableToAccept
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.engine import projections
from milo_billing.invoicing.operations import explaining, issuing
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.rules.requests import EventsRequest
from milo_billing.invoicing.types.drafts import Part
from milo_billing.invoicing.types.errors import LineNotFound
from milo_billing.invoicing.types.invoices import Invoice, InvoiceLine, Issued, Skipped, Unchanged
from milo_billing.kernel.errors import Invalid
from milo_billing.kernel.periods import billing_month
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground

TOKENS = [{"cel": "name == 'tokens'"}]


def minimum(amount: str, interval: str, **more: Any) -> dict[str, Any]:
    return {"amount": amount, "currencyCode": "USD", "interval": interval, **more}


def month_issued(ground: Ground, account: Account, number: int) -> Invoice:
    """The invoice of the month so many months after September 2026, issued on the second of the next one."""
    year, month = divmod(2026 * 12 + 8 + number, 12)
    after = divmod(2026 * 12 + 9 + number, 12)
    outcome = ground.issue(
        account, year=year, month=month + 1, now=datetime(after[0], after[1] + 1, 2, tzinfo=UTC)
    )
    assert isinstance(outcome, Issued), outcome
    return outcome.invoice


def lines_of(ground: Ground, invoice: Invoice) -> tuple[InvoiceLine, ...]:
    return ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))


def amounts(ground: Ground, invoice: Invoice) -> list[tuple[str, int]]:
    return [(line.kind, line.amount_minor) for line in lines_of(ground, invoice)]


def entries(ground: Ground, invoice: Invoice) -> set[tuple[str, int, date | None, date | None]]:
    return set(
        ground.read(
            "select e.account, e.amount_minor, e.service_from, e.service_to from ledger.entries e "
            "join ledger.transactions t on t.id = e.transaction where t.key = %s",
            f"invoice/{invoice.uid}/issue",
        )
    )


# ------------------------------------------------------------------------------------------------- commitments


def test_a_shortfall_is_a_line_of_the_commitment_with_how_it_came_about(
    ground: Ground, tmp_path: Path
) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[minimum("100", "Monthly")], taxCategory="committed")
    ground.spend(account, "2026-10-05", 30)
    invoice = month_issued(ground, account, 1)
    tokens, missing = lines_of(ground, invoice)
    assert (tokens.kind, tokens.sku, tokens.commitment) == ("Usage", "tokens", None)
    assert (missing.kind, missing.sku, missing.book_name, missing.description) == (
        "Shortfall",
        None,
        None,
        "yearly",
    )
    assert (missing.tax_category, missing.commitment is None) == ("committed", False)
    assert missing.parts == (
        Part("Committed", None, None, None, 10_000),
        Part("Spent", None, None, None, -3_000),
    )
    assert [(share.project, share.amount_minor) for share in missing.projects] == [("", 7_000)]
    assert (missing.first_day, missing.end_day) == (date(2026, 10, 1), date(2026, 11, 1))
    assert invoice.total_minor == 10_000
    assert entries(ground, invoice) == {
        ("Assets:Receivable", 10_000, None, None),
        ("Income:Revenue:Usage", -3_000, date(2026, 10, 1), date(2026, 11, 1)),
        ("Income:Revenue:Shortfall", -7_000, date(2026, 10, 31), date(2026, 11, 1)),
    }
    asked = EventsRequest(after=None, limit=10, later=False)
    with pytest.raises(LineNotFound, match="charges for no usage"):
        ground.reading(
            lambda tx: explaining.list_line_events(
                tx, invoice=invoice, line=2, asked=asked, blobs=FolderBlobs(tmp_path), now=NOVEMBER
            )
        )


def test_months_settle_before_the_quarter_that_holds_them(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[minimum("60", "Monthly"), minimum("300", "Quarterly")], termMonths=3)
    for day, dollars in (("2026-10-05", 48), ("2026-11-05", 120), ("2026-12-05", 60)):
        ground.spend(account, day, dollars)
    invoices = [month_issued(ground, account, number) for number in (1, 2, 3)]
    assert [amounts(ground, invoice) for invoice in invoices] == [
        [("Usage", 4_800), ("Shortfall", 1_200)],
        [("Usage", 12_000)],
        [("Usage", 6_000), ("Shortfall", 6_000)],  # 300 - 228 - 12 that October paid
    ]
    assert sum(invoice.total_minor for invoice in invoices) == 30_000


@pytest.mark.parametrize(
    ("policy", "october", "november"),
    [
        ({"type": "TrueUp"}, [("Usage", 3_000), ("Shortfall", 7_000)], None),
        ({"type": "GracePeriod", "days": 10}, [("Usage", 3_000)], [("Shortfall", 7_000)]),
        ({"type": "NotifyOnly"}, [("Usage", 3_000)], None),
    ],
    ids=["TrueUp", "GracePeriod", "NotifyOnly"],
)
def test_the_policy_decides_when_a_shortfall_is_invoiced_if_ever(
    ground: Ground,
    policy: dict[str, Any],
    october: list[tuple[str, int]],
    november: list[tuple[str, int]] | None,
) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[minimum("100", "Monthly")], termMonths=1, violationPolicy=policy)
    ground.spend(account, "2026-10-05", 30)
    assert amounts(ground, month_issued(ground, account, 1)) == october
    outcome = ground.issue(account, month=11, now=datetime(2026, 12, 2, tzinfo=UTC))
    found = amounts(ground, outcome.invoice) if isinstance(outcome, Issued) else None
    assert found == november


def test_overage_says_what_lay_over_the_minimum_times_what(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[minimum("100", "Monthly")], overageFactor="1.5", termMonths=1)
    ground.spend(account, "2026-10-05", 140)
    invoice = month_issued(ground, account, 1)
    _, over = lines_of(ground, invoice)
    (part,) = over.parts
    assert (over.kind, over.amount_minor) == ("Overage", 2_000)
    assert (part.kind, str(part.quantity), str(part.unit_price)) == ("Percentage", "40.00", "0.5")
    days = date(2026, 10, 1), date(2026, 11, 1)
    assert ("Income:Revenue:Overage", -2_000, *days) in entries(ground, invoice)


def test_prepaid_money_is_deferred_and_drawn_on_until_it_is_gone(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(prepayment={"amount": "100"}, termMonths=4)
    for day, dollars in (("2026-10-05", 30), ("2026-11-05", 50), ("2026-12-05", 50), ("2027-01-05", 9)):
        ground.spend(account, day, dollars)
    invoices = [month_issued(ground, account, number) for number in (1, 2, 3, 4)]
    assert [amounts(ground, invoice) for invoice in invoices] == [
        [("Usage", 3_000), ("Prepayment", 10_000), ("DrawDown", -3_000)],
        [("Usage", 5_000), ("DrawDown", -5_000)],
        [("Usage", 5_000), ("DrawDown", -2_000)],
        [("Usage", 900)],
    ]
    assert [invoice.total_minor for invoice in invoices] == [10_000, 0, 3_000, 900]
    term = date(2026, 10, 1), date(2027, 2, 1)
    assert ("Liabilities:DeferredRevenue:Prepayment", -10_000, *term) in entries(ground, invoices[0])
    # nothing is owed for November, and the books say where it was paid from
    november = date(2026, 11, 1), date(2026, 12, 1)
    assert entries(ground, invoices[1]) == {
        ("Income:Revenue:Usage", -5_000, *november),
        ("Liabilities:DeferredRevenue:Prepayment", 5_000, *november),
    }
    assert ground.read(
        "select sum(amount_minor)::int from ledger.entries where account like 'Liabilities:%%'"
    ) == [(0,)]


# --------------------------------------------------------------------------------------------------- discounts


def test_who_gave_each_discount_can_be_read_back_for_every_line(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(skuDiscounts=[{"percentage": "20", "skuSelectors": TOKENS, "priority": 1}])
    ground.discount("tenth", scope="Line", percentage="10", skuSelectors=TOKENS)
    ground.discount("two-off", scope="Line", amount="2", currencyCode="USD", skuSelectors=TOKENS)
    ground.discount("half", scope="Invoice", percentage="50", displayName="Half price")
    ground.discount("nine-off", scope="Invoice", amount="9", currencyCode="USD", uses=1)
    ground.spend(account, "2026-10-05", 60)
    ground.spend(account, "2026-10-06", 40, project="data")
    ground.use(account, ("2026-10-05", "web", "requests", 300))
    invoice = month_issued(ground, account, 1)
    requests, tokens = lines_of(ground, invoice)
    # tokens 100 → 80 → 72 → 70, requests 30; half of both, and 9 in proportion
    assert (requests.amount_minor, tokens.amount_minor) == (3_000, 7_000)
    assert (requests.net_minor, tokens.net_minor) == (1_230, 2_870)
    assert (invoice.subtotal_minor, invoice.discounts_minor, invoice.total_minor) == (10_000, -5_900, 4_100)
    assert [part.amount_minor for part in tokens.parts] == [10_000, -2_000, -800, -200]
    assert [
        (
            one.scope,
            one.given_by,
            one.name,
            None if one.percent is None else int(one.percent),
            one.amount_minor,
        )
        for one in tokens.discounts
    ] == [
        ("Line", "Commitment", "yearly", 20, -2_000),
        ("Line", "Discount", "tenth", 10, -800),
        ("Line", "Discount", "two-off", None, -200),
        ("Invoice", "Discount", "half", 50, -3_500),
        ("Invoice", "Discount", "nine-off", None, -630),
    ]
    assert [one.title for one in requests.discounts] == ["Half price", "nine-off"]
    assert {(share.project, share.amount_minor) for share in tokens.projects} == {
        ("web", 4_200),
        ("data", 2_800),
    }
    ((status,),) = ground.read("select status from controlplane.objects where resource = 'invoices'")
    assert (status["subtotal"], status["discounts"], status["total"]) == ("100.00", "-59.00", "41.00")
    assert ground.reading(projections.compare_projections) == ()
    # the books have what is left
    assert entries(ground, invoice) == {
        ("Assets:Receivable", 4_100, None, None),
        ("Income:Revenue:Usage", -4_100, date(2026, 10, 1), date(2026, 11, 1)),
    }


def test_discounts_leave_nothing_below_zero_and_what_comes_to_nothing_is_not_issued(ground: Ground) -> None:
    account = ground.declare_account()
    ground.discount("gift", scope="Invoice", amount="1000", currencyCode="USD")
    ground.spend(account, "2026-10-05", 30)
    assert ground.issue(account) == Skipped("nothing to charge")


def test_a_discount_takes_nothing_from_what_a_commitment_charges(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[minimum("100", "Monthly")], termMonths=1)
    ground.discount("half", scope="Invoice", percentage="50")
    ground.spend(account, "2026-10-05", 30)
    invoice = month_issued(ground, account, 1)
    assert amounts(ground, invoice) == [("Usage", 3_000), ("Shortfall", 8_500)]
    assert (invoice.discounts_minor, invoice.total_minor) == (-1_500, 10_000)


# ------------------------------------------------------------------------------------------- the whole invoice


def test_a_quarterly_invoice_is_its_three_rating_periods(ground: Ground) -> None:
    monthly, quarterly = (
        ground.declare_account("monthly"),
        ground.declare_account("quarterly", paymentTerms={"invoiceFrequency": "Quarterly"}),
    )
    for account in (monthly, quarterly):
        ground.promise(
            f"for-{account.name}",
            account.name,
            minimumSpends=[minimum("60", "Monthly")],
            termMonths=3,
            prepayment={"amount": "20"},
        )
        ground.discount(f"off-{account.name}", account.name, scope="Invoice", percentage="10")
        ground.spend(account, "2026-10-05", 40)
        ground.spend(account, "2026-12-05", 100)
    apart = [month_issued(ground, monthly, number) for number in (1, 2, 3)]
    together = month_issued(ground, quarterly, 3)
    assert together.period.start == apart[0].period.start
    assert together.total_minor == sum(invoice.total_minor for invoice in apart)
    assert together.discounts_minor == sum(invoice.discounts_minor for invoice in apart)
    assert sorted(amounts(ground, together)) == sorted(
        one for invoice in apart for one in amounts(ground, invoice)
    )
    assert sorted(amounts(ground, together))[-2:] == [("Usage", 4_000), ("Usage", 10_000)]


def test_a_preview_just_before_the_end_is_the_invoice_and_late_usage_does_not_change_it(
    ground: Ground,
) -> None:
    account = ground.declare_account()
    ground.promise(
        minimumSpends=[minimum("100", "Monthly")],
        skuDiscounts=[{"percentage": "5"}],
        prepayment={"amount": "30"},
    )
    ground.discount("half", scope="Invoice", percentage="50")
    ground.spend(account, "2026-10-05", 30)
    last = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    stretch = [billing_month(2026, 10, zone="Etc/UTC")]
    preview = ground.reading(lambda tx: issuing.draft(tx, account=account, stretch=stretch, now=last))
    invoice = ground.issued(account)
    issued = lines_of(ground, invoice)
    assert [(one.kind, one.amount_minor, one.parts, one.discounts) for one in preview.lines] == [
        (one.kind, one.amount_minor, one.parts, one.discounts) for one in issued
    ]
    assert (preview.subtotal_minor, preview.discounts_minor, preview.total_minor) == (
        invoice.subtotal_minor,
        invoice.discounts_minor,
        invoice.total_minor,
    )
    ground.use(account, ("2026-10-07", "web", "tokens", 8_000_000))
    assert ground.issue(account) == Unchanged(invoice)
    assert lines_of(ground, invoice) == issued


# ------------------------------------------------------------------------------------------- at the same time


def test_nothing_is_promised_or_given_for_days_that_are_being_invoiced(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 30)
    offer = {"billingAccountRef": {"name": "main"}, "startsOn": "2026-10-01", "termMonths": 12}
    ground.declare("commitments", "late", {**offer, "skuDiscounts": [{"percentage": "5"}]}, namespace=ACME)

    def issue(work: Work) -> list[Future[None]]:
        outcome = issuing.issue_month(work, office=ground.office, number=account.number, year=2026, month=10)
        assert isinstance(outcome, Issued)
        late = [
            threads.submit(ground.act, "commitments", "late", "accept"),
            threads.submit(ground.discount, "late", scope="Invoice", percentage="5"),
        ]
        # they wait for the invoice, which they would not be on
        assert wait(late, timeout=0.5).done == set()
        return late

    with ThreadPoolExecutor(2) as threads:
        accepted, given = ground.write(issue, now=NOVEMBER)
        with pytest.raises(UnableToAccept, match="within an invoiced period"):
            accepted.result()
        with pytest.raises(Invalid, match="lies in an invoiced period"):
            given.result()
