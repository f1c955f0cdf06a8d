"""Issuing: what an invoice says, that it happens once, without gaps, and never changes."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from milo_billing.accounts.reads import accounts as account_reads
from milo_billing.accounts.types import Account
from milo_billing.app.projections import compare_projections
from milo_billing.controlplane.work import Work
from milo_billing.infra.database import Databases, open_databases
from milo_billing.invoicing.operations import issuing
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.reads import lines as line_reads
from milo_billing.invoicing.types.errors import InvoiceNotFound, UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, Issued, LineShare, Skipped, Unchanged
from milo_billing.kernel.errors import Invalid
from milo_billing.kernel.money import Money
from milo_billing.kernel.periods import billing_month
from tests.db.invoicing.ground import ACME, ISSUER, NOVEMBER, PRICES, Ground

TOKENS = ("2026-10-01", "web", "tokens", 10_000_000)
MORE_TOKENS = ("2026-10-31", "data", "tokens", 8_059_974)


def lines_of(ground: Ground, invoice: Invoice) -> Any:
    return ground.reading(lambda tx: line_reads.list_lines(tx, invoice=invoice.uid, limit=100))


# ------------------------------------------------------------------------------------------- what it says


def test_an_invoice_is_the_sum_of_its_lines_and_each_line_of_its_projects(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS, MORE_TOKENS, ("2026-10-05", "web", "requests", 1500))
    invoice = ground.issued(account)
    assert (invoice.number, invoice.name, invoice.phase) == ("KC-2026-000001", "kc-2026-000001", "Issued")
    assert invoice.total == Money(4515 + 10_000 + 300 + 2_500, "USD")
    assert invoice.period == billing_month(2026, 10, zone="Etc/UTC")
    assert (invoice.issued_on, invoice.due_on) == (date(2026, 11, 2), date(2026, 12, 2))
    requests, tokens = lines_of(ground, invoice)
    assert [(part.kind, part.tier, part.amount_minor) for part in requests.parts] == [
        ("Usage", 1, 10_000),
        ("FlatFee", 2, 300),
        ("Usage", 2, 2_500),
    ]
    assert (tokens.description, str(tokens.quantity), tokens.amount_minor) == ("Tokens", "18.059974", 4515)
    assert (tokens.book_name, tokens.book_effective_from) == ("list-usd", date(2026, 1, 1))
    assert {(s.project, str(s.quantity), s.amount_minor) for s in tokens.projects} == {
        ("web", "10", 2500),
        ("data", "8.059974", 2015),
    }


def test_issue_posts_receivable_against_usage_revenue_in_its_service_days(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    entries = ground.read(
        "select t.key, t.entity, t.posted_on, e.account, e.amount_minor, e.service_from, e.service_to "
        "from ledger.entries e join ledger.transactions t on t.id = e.transaction order by e.line"
    )
    common = (f"invoice/{invoice.uid}/issue", "kestrel", date(2026, 11, 2))
    assert entries == [
        (*common, "Assets:Receivable", 2500, None, None),
        (*common, "Income:Revenue:Usage", -2500, date(2026, 10, 1), date(2026, 11, 1)),
    ]


def test_issue_tells_accounts_how_far_it_has_billed(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    until = ground.reading(lambda tx: account_reads.find_billed_until(tx, account=account.number))
    assert until == invoice.period.end


def test_the_invoice_object_says_what_the_tables_say_and_is_audited(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    ((spec, status, uid),) = ground.read(
        "select spec, status, uid from controlplane.objects where resource = 'invoices'"
    )
    assert uid == invoice.uid
    assert spec["period"] == {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
    assert (status["total"], status["amountDue"], status["dueDate"]) == ("25.00", "25.00", "2026-12-02")
    assert status["documents"]["pdf"].endswith("/namespaces/organization-acme/invoices/kc-2026-000001/pdf")
    assert ground.read("select verb from access.audit_records where target_uid = %s", uid) == [("issue",)]


def test_currencies_keep_their_own_digits(ground: Ground) -> None:
    for currency, prefix in (("JPY", "250"), ("KWD", "0.1234")):
        ground.publish(currency, [{**PRICES[0], "unitPrice": prefix}])
        account = ground.declare_account(currency.lower(), currencyCode=currency)
        ground.use(account, TOKENS)
        ground.issued(account)
    totals = ground.read(
        "select status ->> 'total' from controlplane.objects where resource = 'invoices' order by 1"
    )
    assert totals == [("1.234",), ("2500",)]


def test_what_minimums_add_without_usage_is_the_accounts_own_share(ground: Ground) -> None:
    fee = {"upTo": "10", "unitPrice": "1", "flatFee": "7", "chargeAtZero": True}
    prices = [{**PRICES[1], "tiers": [fee, {"unitPrice": "1"}]}]
    ground.publish("EUR", prices)
    account = ground.declare_account("euro", currencyCode="EUR")
    (line,) = lines_of(ground, ground.issued(account))
    assert [(share.project, share.amount_minor) for share in line.projects] == [("", 700)]
    assert isinstance(line.projects[0], LineShare)


# ------------------------------------------------------------------------------------------------ once only


def test_issuing_again_gives_the_same_invoice_and_writes_nothing(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    ground.use(account, MORE_TOKENS)  # late usage is for an adjustment, not for another periodic invoice
    before = ground.read("select max(resource_version), count(*) from controlplane.objects")
    assert ground.issue(account) == Unchanged(invoice)
    assert ground.read("select max(resource_version), count(*) from controlplane.objects") == before


def test_two_issuers_at_once_make_one_invoice(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    barrier = threading.Barrier(4)

    def issue() -> str:
        barrier.wait()
        return type(ground.issue(account)).__name__

    with ThreadPoolExecutor(4) as threads:
        outcomes = sorted(future.result() for future in [threads.submit(issue) for _ in range(4)])
    assert outcomes == ["Issued", "Unchanged", "Unchanged", "Unchanged"]
    assert ground.read("select count(*) from invoicing.invoices") == [(1,)]


def test_the_database_itself_refuses_a_second_invoice_for_the_days(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    copy = (
        "insert into invoicing.invoices select gen_random_uuid(), owner_org, namespace, 'other', account, "
        "account_name, kind, tstzrange(lower(period) + '1 day', upper(period)), 'Paid', issuer, issuer_version, "
        "series, 99, 'other', currency, 0, 0, 0, 0, 0, 0, 0, issued_at, issued_on, due_on, frozen "
        "from invoicing.invoices where uid = %s"
    )
    with pytest.raises(psycopg.errors.ExclusionViolation):
        ground.read(copy + " returning uid", invoice.uid)


# ------------------------------------------------------------------------------------------------- numbers


def test_numbers_have_no_gap_under_eight_threads_that_roll_back(ground: Ground, clean_database: str) -> None:
    many = [ground.declare_account(f"a{index:02}") for index in range(24)]
    for account in many:
        ground.use(account, TOKENS)
    chance = random.Random(7)
    failures = {account.number: chance.randrange(3) for account in many}
    crowd = open_databases(clean_database, pool_max=8)
    busy = replace(ground, databases=crowd)

    class Unlucky(Exception):
        """Whatever can go wrong between drawing a number and commit."""

    def issue_and_fail(work: Work, account: Account) -> None:
        issuing.issue_month(work, office=ground.office, number=account.number, year=2026, month=10)
        raise Unlucky

    def issue(account: Account) -> int:
        for _ in range(failures[account.number]):
            with pytest.raises(Unlucky):
                busy.write(lambda work: issue_and_fail(work, account), now=NOVEMBER)
        return busy.issued(account).sequence

    with ThreadPoolExecutor(8) as threads:
        sequences = sorted(threads.map(issue, many))
    crowd.close()
    assert sum(failures.values()) > 10
    assert sequences == list(range(1, 25))


def test_issue_dates_never_fall_along_a_series_even_if_the_clock_does(ground: Ground) -> None:
    first, second = ground.declare_account("a"), ground.declare_account("b")
    for account in (first, second):
        ground.use(account, TOKENS)
    later = ground.issued(first, now=NOVEMBER + timedelta(days=3))
    earlier = ground.issued(second, now=NOVEMBER)
    assert (later.sequence, earlier.sequence) == (1, 2)
    assert later.issued_on == earlier.issued_on == date(2026, 11, 5)


def test_the_issue_date_is_the_issuers_and_a_new_year_begins_a_new_series(ground: Ground) -> None:
    account = ground.declare_account(timeZone="Asia/Tokyo")
    ground.use(account, ("2026-12-31", "web", "tokens", 10**6), TOKENS)
    assert ground.issued(account).number == "KC-2026-000001"
    # the year is over in Tokyo, where the period closes, and not yet in Dublin, where the invoice is issued
    eve = datetime(2026, 12, 31, 15, 0, tzinfo=UTC)
    december = ground.issued(account, month=12, now=eve)
    assert (december.number, december.issued_on) == ("KC-2026-000002", date(2026, 12, 31))
    other = ground.declare_account("other")
    ground.use(other, TOKENS)
    assert ground.issued(other, now=eve + timedelta(hours=9)).number == "KC-2027-000001"


def test_two_issuers_may_have_the_same_numbers_in_one_organization(ground: Ground) -> None:
    first, second = ground.declare_account("a"), ground.declare_account("b")
    for account in (first, second):
        ground.use(account, TOKENS)
    assert ground.issued(first).name == "kc-2026-000001"
    ground.write(lambda work: work.tx.execute("delete from invoicing.issuers"))
    ground.declare("issuerprofiles", "merlin", ISSUER)
    other = ground.issued(second)
    assert (other.number, other.name, other.issuer) == ("KC-2026-000001", "merlin.kc-2026-000001", "merlin")


# -------------------------------------------------------------------------------------------------- periods


def test_a_quarterly_account_is_invoiced_once_for_three_rating_periods(ground: Ground) -> None:
    account = ground.declare_account(paymentTerms={"invoiceFrequency": "Quarterly"})
    ground.use(
        account, TOKENS, ("2026-12-24", "web", "requests", 1000), ("2026-11-24", "web", "requests", 1000)
    )
    january = datetime(2027, 1, 2, tzinfo=UTC)
    assert ground.issue(account) == Skipped("invoices come quarterly, and none ends with this month")
    invoice = ground.issued(account, month=12, now=january)
    # each month has its own first thousand: how often invoices come does not change a price
    assert invoice.total == Money(2500 + 10_000 + 10_000, "USD")
    assert (invoice.period.start.month, invoice.period.end.month) == (10, 1)


def test_after_a_change_of_invoice_day_the_days_between_are_a_stub(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS, ("2026-11-03", "web", "tokens", 4 * 10**6))
    october = ground.issued(account)
    ground.read(
        "update controlplane.objects set spec = jsonb_set(spec, '{paymentTerms,invoiceDayOfMonth}', '15') "
        "where uid = %s returning uid",
        account.uid,
    )
    stub = ground.issued(account, now=datetime(2026, 11, 16, tzinfo=UTC))
    assert stub.period.start == october.period.end
    assert (stub.period.end.day, stub.total) == (15, Money(1000, "USD"))


# -------------------------------------------------------------------------------------------------- refusals


def test_a_month_that_still_runs_cannot_be_issued(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    with pytest.raises(UnableToIssue, match=r"ends at 2026-11-01 00:00 UTC: run the month again after that"):
        ground.issue(account, now=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))


def test_usage_without_a_price_is_named_and_nothing_is_issued(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS, ("2026-10-02", "web", "bytes", 1))
    with pytest.raises(
        UnableToIssue, match=r"usage of example.com/bytes has no price: publish a price book in USD"
    ):
        ground.issue(account)
    assert ground.read("select count(*) from invoicing.number_series") == [(0,)]


def test_without_an_issuer_the_answer_says_what_to_apply(bare_ground: Ground) -> None:
    account = bare_ground.declare_account()
    bare_ground.use(account, TOKENS)
    with pytest.raises(UnableToIssue, match=r"apply an IssuerProfile with spec\.isDefault true"):
        bare_ground.issue(account)


def test_nothing_to_charge_is_no_invoice_unless_the_account_asks(ground: Ground) -> None:
    assert ground.issue(ground.declare_account()) == Skipped("nothing to charge")
    asking = ground.declare_account("asking", zeroInvoices=True)
    outcome = ground.issue(asking)
    assert isinstance(outcome, Issued)
    assert outcome.invoice.total == Money(0, "USD")
    assert ground.read("select count(*) from ledger.transactions") == [(0,)]


def test_there_is_one_default_issuer(ground: Ground) -> None:
    with pytest.raises(Invalid, match='"kestrel" is the default: set its isDefault to false first'):
        ground.declare("issuerprofiles", "merlin", ISSUER)


# --------------------------------------------------------------------------------------------- immutability


FORBIDDEN = (
    "update invoicing.invoices set total_minor = 1, subtotal_minor = 1",
    "update invoicing.invoices set frozen = '{}'",
    "update invoicing.invoices set number = 'X'",
    "delete from invoicing.invoices",
    "truncate invoicing.invoices cascade",
    "update invoicing.lines set amount_minor = 1",
    "delete from invoicing.lines",
    "truncate invoicing.lines cascade",
    "update invoicing.line_parts set amount_minor = 1",
    "delete from invoicing.line_shares",
    "update invoicing.issuer_versions set body = '{}'",
    "insert into invoicing.lines select invoice, line + 1, owner_org, kind, used_by, paid_by, sku, sku_name, "
    "description, service, invoice_group, tax_category, book, book_name, book_effective_from, commitment, first_day, "
    "end_day, quantity, included, pricing_unit, 0, in_advance, taxes from invoicing.lines",
    "insert into invoicing.line_discounts select invoice, line, 100, owner_org, 'Invoice', 'Discount', invoice, 'x', "
    "'x', 10, -1 from invoicing.lines",
    "update invoicing.line_discounts set amount_minor = 0",
    "update invoicing.taxes set reason = 'x'",
    "insert into invoicing.taxes select invoice, 100, owner_org, code, percent, name, place, 'x', '', 0, 0 "
    "from invoicing.taxes",
    "insert into invoicing.line_parts select invoice, line, part + 100, owner_org, kind, tier, quantity, unit_price, 0 "
    "from invoicing.line_parts",
    "insert into invoicing.line_shares select invoice, line, share + 100, owner_org, project, dimensions, metered, "
    "quantity, 0 from invoicing.line_shares",
)


def test_nothing_that_was_issued_ever_changes_not_even_for_the_owner(
    ground: Ground, as_owner: Callable[[str], None]
) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    ground.issued(account)
    for change in FORBIDDEN:
        try:
            as_owner(change)
        except psycopg.errors.RestrictViolation:
            continue
        pytest.fail(f"went through: {change}")


def test_a_door_changes_the_phase_of_an_invoice_and_nothing_else(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    ground.issued(account)
    assert ground.read("update invoicing.invoices set phase = 'PastDue' returning phase") == [("PastDue",)]
    for column, value in (("number", "'X'"), ("amount_paid_minor", "total_minor"), ("total_minor", "0")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ground.read(f"update invoicing.invoices set {column} = {value} returning uid")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            "alter table invoicing.lines disable trigger user; update invoicing.lines set amount_minor = 9",
            "its lines",
        ),
        (
            "alter table invoicing.line_parts disable trigger user; delete from invoicing.line_parts",
            "its parts",
        ),
        (
            "alter table invoicing.line_shares disable trigger user; delete from invoicing.line_shares",
            "its shares",
        ),
        (
            "update pg_temp.kept set discounts_minor = -1, total_minor = total_minor - 1",
            "the discounts of invoice .* are not the sum",
        ),
        (
            "insert into invoicing.line_discounts select invoice, line, 1, owner_org, 'Invoice', 'Discount', invoice, "
            "'x', 'x', null, -amount_minor - 1 from invoicing.lines; "
            "update pg_temp.kept set subtotal_minor = 9000, discounts_minor = -2501, total_minor = 6499; "
            "alter table invoicing.lines disable trigger user; "
            "insert into invoicing.lines select invoice, 2, owner_org, kind, used_by, paid_by, sku, sku_name, "
            "description, service, invoice_group, tax_category, book, book_name, book_effective_from, commitment, "
            "first_day, end_day, quantity, included, pricing_unit, 6500, in_advance, taxes from invoicing.lines",
            "the discounts of line 1",
        ),
        (
            "insert into invoicing.line_discounts select invoice, line, 1, owner_org, 'Line', 'Discount', invoice, "
            "'x', 'x', null, -1 from invoicing.lines",
            "or are not its parts",
        ),
        (
            "update pg_temp.kept set tax_minor = 1, total_minor = total_minor + 1",
            "the tax of invoice .* is not the sum",
        ),
        (
            "alter table invoicing.lines disable trigger user; update invoicing.lines set taxes = '{}'",
            "line 1 of invoice .* is in no tax group",
        ),
        (
            "alter table invoicing.lines disable trigger user; update invoicing.lines set taxes = '{1,2}'",
            "tax group 2 of invoice .* is not the sum",
        ),
        (
            "alter table invoicing.taxes disable trigger user; update invoicing.taxes set basis_minor = 1",
            "tax group 1 of invoice .* is not the sum",
        ),
    ],
)
def test_an_invoice_that_does_not_sum_up_cannot_be_committed(
    ground: Ground, as_owner: Callable[[str], None], spoil: str, message: str
) -> None:
    """Rewrites a standing invoice as a new one would be written, with one sum off."""
    account = ground.declare_account()
    ground.use(account, TOKENS)
    ground.issued(account)
    again = (
        "create temporary table kept as table invoicing.invoices; "
        "alter table invoicing.invoices disable trigger invoices_guard; "
        "set constraints all deferred; delete from invoicing.invoices; "
        f"{spoil}; insert into invoicing.invoices select * from kept; set constraints all immediate"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        as_owner(again)


# ------------------------------------------------------------------------------------------------- isolation


def test_an_organization_reads_its_own_invoices_only(ground: Ground, databases: Databases) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    invoice = ground.issued(account)
    with databases.app.transaction(reach=frozenset({account.owner_org + 1})) as tx:
        with pytest.raises(InvoiceNotFound):
            invoice_reads.get_invoice(tx, namespace=ACME, name=invoice.name)
        for table in ("invoices", "lines", "line_discounts", "line_parts", "line_shares", "documents"):
            assert tx.execute(f"select count(*) from invoicing.{table}".encode()).fetchone() == (0,)
    with databases.app.transaction(reach=frozenset({account.owner_org})) as tx:
        assert invoice_reads.get_invoice(tx, namespace=ACME, name=invoice.name) == invoice


def test_names_and_addresses_are_ciphertext(ground: Ground) -> None:
    account = ground.declare_account()
    ground.use(account, TOKENS)
    ground.issued(account)
    ((stored,),) = ground.read("select frozen::text from invoicing.invoices")
    for personal in ("Acme Robotics", "Lef", "Universit", "FR40303265045"):
        assert personal not in stored


def test_the_objects_of_invoices_agree_with_the_invoices(
    ground: Ground, superuser_tx: psycopg.Connection[Any]
) -> None:
    account = ground.declare_account()
    ground.use(account, ("2026-10-04", "web", "tokens", 1_000_000))
    ground.issued(account)
    registry = ground.engine.registry
    assert ground.reading(lambda tx: compare_projections(tx, registry)) == ()
    with superuser_tx.transaction(force_rollback=True):
        superuser_tx.execute(
            "update controlplane.objects set status = status || '{\"total\": \"1.00\"}' where resource = 'invoices'"
        )
        (wrong,) = compare_projections(superuser_tx, registry)
    assert (wrong.expected, wrong.found) == ('{"total": 250}', '{"total": 100}')
