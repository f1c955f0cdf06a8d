"""One invoice for an account and the sub-accounts that it is invoiced for, a section each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from milo_billing.accounts.types import Account
from milo_billing.app.ledger_ports import above_the_books
from milo_billing.controlplane.decoding import Draft
from milo_billing.controlplane.patches import merge_patch
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import closing, issuing, previewing
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.errors import Conflict
from milo_billing.ledger import operations as ledger
from milo_billing.ledger import reads as books
from milo_billing.ledger.types import RECEIVABLE, TRANSFERS, AccountName, revenue
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, JANUARY, adjust, lines_of, notes, spend_late, void

USAGE = revenue("Usage")
CLOSING = datetime(2026, 11, 12, 15, tzinfo=UTC)


def below(ground: Ground, parent: str, name: str, mode: str = "Parent") -> Account:
    return ground.declare_account(name, parentRef={"namespace": ACME, "name": parent}, billingMode=mode)


def change(ground: Ground, name: str, **spec: object) -> None:
    """Declare some of the account's spec anew."""
    ground.write(lambda work: changed(ground, work, name, **spec), now=NOVEMBER)


def changed(ground: Ground, work: Work, name: str, **spec: object) -> None:
    """The same in a transaction that goes on."""
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "billingaccounts")

    def merged(row: Row) -> Draft:
        return Draft(
            name, ACME, "", "", "", row.labels, row.metadata, merge_patch(row.spec, spec), row.status
        )

    ground.engine.update(work, kind, namespace=ACME, name=name, change=merged, verb="patch")


@pytest.fixture
def tree(ground: Ground) -> tuple[Account, Account, Account]:
    """A payer, an account below it, and one below that, each having used something in October."""
    main = ground.declare_account()
    team, squad = below(ground, "main", "team"), below(ground, "team", "squad")
    for account, dollars in ((main, 10), (team, 20), (squad, 30)):
        ground.spend(account, "2026-10-05", dollars)
    return ground.account("main"), team, squad


def charged(ground: Ground, invoice: Invoice) -> list[tuple[str, str, int]]:
    """(sub-account, kind, amount) of every line."""
    return [(line.account, line.kind, line.amount_minor) for line in lines_of(ground, invoice)]


def booked(ground: Ground, account: Account, name: AccountName = USAGE) -> int:
    """What the books have at the account, credits positive."""
    found = ground.reading(
        lambda tx: books.balance(tx, account=name, currency="USD", billing_account=account.number)
    )
    return -found.minor


def assert_books_right(ground: Ground) -> None:
    above = above_the_books().subledgers
    found = ground.reading(lambda tx: ledger.verify(tx, subledgers=above, everything=True))
    assert found == ()


def test_one_invoice_has_a_section_of_each_account_that_the_payer_is_invoiced_for(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, _, squad = tree
    solo = below(ground, "main", "solo", "Self")
    ground.spend(solo, "2026-10-05", 40)
    assert ground.issue(squad) == Skipped("invoiced with main", invoiced_with=main.number)
    invoice = ground.issued(main)
    assert (invoice.kind, invoice.account_name, invoice.total_minor) == ("Consolidated", "main", 6_000)
    assert charged(ground, invoice) == [
        ("", "Usage", 1_000),
        ("team", "Usage", 2_000),
        ("squad", "Usage", 3_000),
    ]
    assert [(line.used_by) for line in lines_of(ground, invoice)] == [one.number for one in tree]
    # who pays for itself has an invoice of its own
    assert ground.issued(solo).total_minor == 4_000
    # and again, it is the same one
    assert ground.issue(main) == Unchanged(invoice)
    # revenue stands where it was earned, the receivable where it is owed
    assert [booked(ground, one) for one in tree] == [1_000, 2_000, 3_000]
    assert [booked(ground, one, RECEIVABLE) for one in tree] == [-6_000, 0, 0]
    assert [booked(ground, one, TRANSFERS) for one in tree] == [5_000, -2_000, -3_000]
    assert_books_right(ground)


def test_a_preview_is_the_whole_invoice_or_the_section_of_a_sub_account(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, _, squad = tree

    def previewed(account: Account) -> tuple[int, str | None, str | None]:
        found = ground.reading(
            lambda tx: previewing.preview(
                tx, office=ground.office, account=account, month=(2026, 10), now=NOVEMBER
            )
        )
        return found.draft.total_minor, found.invoiced_with, found.untaxed

    section = 3_000, "main", "it is a section of the invoice of main, taxed as a whole"
    assert (previewed(main), previewed(squad)) == ((6_000, None, None), section)
    ground.issued(main)
    assert (previewed(main), previewed(squad)) == ((6_000, None, None), section)


def test_an_account_that_joins_after_the_invoice_has_its_section_on_one_more(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, *_ = tree
    ground.issued(main)
    late = below(ground, "main", "late")
    ground.spend(late, "2026-10-07", 5)
    second = ground.issued(ground.account("main"))
    assert (second.kind, charged(ground, second)) == ("Consolidated", [("late", "Usage", 500)])


def test_what_an_account_was_invoiced_for_itself_is_not_invoiced_again_when_it_joins(ground: Ground) -> None:
    ground.declare_account()
    alone = below(ground, "main", "alone", "Self")
    ground.spend(alone, "2026-10-05", 20)
    own = ground.issued(alone)
    change(ground, "alone", billingMode="Parent")
    main = ground.account("main")
    assert ground.issue(main) == Skipped("nothing to charge")
    # what comes late of these days is charged to who was invoiced for them
    spend_late(ground, alone, "2026-10-06", 7)
    ground.spend(alone, "2026-11-05", 9)
    invoice = ground.issued(main, month=11, now=DECEMBER)
    assert charged(ground, invoice) == [("alone", "Usage", 900)]
    ((number, account, total),) = ground.read(
        "select number, account, total_minor from invoicing.invoices where kind = 'Adjustment'"
    )
    assert (account, total) == (alone.number, 700)
    assert number != own.number
    assert_books_right(ground)


def test_an_account_that_leaves_is_invoiced_itself_from_what_no_invoice_has(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, _, squad = tree
    ground.issued(main)
    change(ground, "squad", billingMode="Self")
    left = ground.account("squad")
    # October is on an invoice of main, whoever pays from now on
    assert isinstance(ground.issue(left), Unchanged)
    ground.spend(squad, "2026-11-05", 8)
    spend_late(ground, squad, "2026-10-06", 3)
    own = ground.issued(left, month=11, now=DECEMBER)
    assert (own.kind, charged(ground, own)) == ("Periodic", [("", "Usage", 800)])
    rows = ground.read("select account, total_minor from invoicing.invoices where kind = 'Adjustment'")
    assert rows == [(main.number, 300)]
    assert booked(ground, squad) == 3_000 + 800 + 300
    ground.issue(ground.account("main"), month=11, now=DECEMBER)
    assert_books_right(ground)


def test_late_usage_of_a_sub_account_is_charged_in_its_section_of_the_next_invoice(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, team, squad = tree
    ground.issued(main)
    spend_late(ground, squad, "2026-10-06", 7)
    spend_late(ground, team, "2026-10-06", 2)
    ground.spend(team, "2026-11-05", 4)
    december = ground.issued(main, month=11, now=DECEMBER)
    assert charged(ground, december) == [
        ("team", "Usage", 400),
        ("team", "Adjustment", 200),
        ("squad", "Adjustment", 700),
    ]
    assert [booked(ground, one) for one in tree] == [1_000, 2_600, 3_700]
    # once
    ground.spend(main, "2026-12-05", 1)
    assert charged(ground, ground.issued(main, month=12, now=JANUARY)) == [("", "Usage", 100)]
    assert_books_right(ground)


def test_usage_of_a_sub_account_that_went_away_is_given_back_of_its_own_lines(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, team, _ = tree
    invoice = ground.issued(main)
    spend_late(ground, team, "2026-10-05", -15)
    ground.issue(main, month=11, now=DECEMBER)
    assert notes(ground) == [(invoice.number, 1_500)]
    assert [booked(ground, one) for one in tree] == [1_000, 500, 3_000]
    assert_books_right(ground)


def test_more_of_one_account_does_not_hide_less_of_another(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, team, squad = tree
    invoice = ground.issued(main)
    spend_late(ground, team, "2026-10-05", -15)
    spend_late(ground, squad, "2026-10-05", 15)
    adjusted = adjust(ground, invoice)
    assert adjusted.invoice is not None
    assert (adjusted.invoice.kind, charged(ground, adjusted.invoice)) == (
        "Adjustment",
        [("squad", "Adjustment", 1_500)],
    )
    assert notes(ground) == [(invoice.number, 1_500)]
    assert [booked(ground, one) for one in tree] == [1_000, 500, 4_500]
    assert_books_right(ground)


def test_a_month_that_an_account_did_not_use_and_usage_reaches_late_is_invoiced_to_the_payer(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, *_ = tree
    idle = below(ground, "main", "idle")
    ground.issue(ground.account("main"), month=9)
    spend_late(ground, idle, "2026-09-20", 6)
    ground.issued(ground.account("main"))
    rows = ground.read("select kind, account, total_minor from invoicing.invoices order by sequence")
    assert rows == [("Consolidated", main.number, 600), ("Consolidated", main.number, 6_000)]
    assert_books_right(ground)


def test_a_void_consolidated_invoice_gives_revenue_back_and_is_issued_anew(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, *_ = tree
    invoice = ground.issued(main)
    void(ground, invoice, now=NOVEMBER)
    assert [booked(ground, one) for one in tree] == [0, 0, 0]
    assert_books_right(ground)
    again = ground.issued(main)
    assert (again.kind, again.total_minor, again.replaces) == ("Consolidated", 6_000, invoice.uid)
    assert [booked(ground, one) for one in tree] == [1_000, 2_000, 3_000]
    assert_books_right(ground)


def test_after_a_void_late_usage_of_every_section_is_looked_at_again(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, _, squad = tree
    ground.issued(main)
    spend_late(ground, squad, "2026-10-06", 7)
    carrier = ground.issued(main, month=11, now=DECEMBER)
    assert charged(ground, carrier) == [("squad", "Adjustment", 700)]
    void(ground, carrier, now=DECEMBER)
    again = ground.issued(main, month=11, now=DECEMBER)
    assert charged(ground, again) == [("squad", "Adjustment", 700)]
    assert_books_right(ground)


def test_a_credit_note_over_a_line_returns_the_revenue_of_its_account(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    invoice = ground.issued(tree[0])
    spec = {
        "invoiceRef": {"name": invoice.name},
        "lines": [{"line": 2, "amount": "5"}],
        "reason": "goodwill",
    }
    ground.declare("creditnotes", "team-goodwill", spec, namespace=ACME, now=NOVEMBER)
    assert [booked(ground, one) for one in tree] == [1_000, 1_500, 3_000]
    assert_books_right(ground)


def test_promotional_credit_of_a_sub_account_acts_on_its_section_and_prepaid_credit_of_the_payer_on_all(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    def grant(name: str, account: str, kind: str, amount: str, **more: object) -> None:
        spec = {
            "billingAccountRef": {"name": account},
            "kind": kind,
            "amount": amount,
            "currencyCode": "USD",
            "reason": "welcome",
            **more,
        }
        ground.declare("creditgrants", name, spec, namespace=ACME)

    grant("welcome", "team", "Promotional", "25")
    grant("goodwill", "squad", "Goodwill", "25")
    grant("money", "main", "Prepaid", "33", receivedInto="bank")
    invoice = ground.issued(tree[0])
    assert (invoice.discounts_minor, invoice.total_minor, invoice.amount_due_minor) == (-2_000, 4_000, 700)
    assert_books_right(ground)
    ((left,),) = ground.read("select remaining_minor from invoicing.credit_grants where name = 'welcome'")
    assert left == 500
    team = lines_of(ground, invoice)[1]
    spec = {"invoiceRef": {"name": invoice.name}, "lines": [{"line": 1, "amount": "5"}], "reason": "wrong"}
    ground.declare("creditnotes", "note", spec, namespace=ACME, now=NOVEMBER)
    assert team.net_minor == 0
    assert_books_right(ground)


def test_one_account_may_give_back_what_another_is_charged(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    """Promises act by account: each section is what the account's own draft says."""
    main, *_ = tree
    ground.discount("half", "team", percentage="50")
    ground.promise(
        "least", "squad", minimumSpends=[{"amount": "100", "currencyCode": "USD", "interval": "Monthly"}]
    )
    period = [ground.issued(main)]
    drafts = [
        ground.reading(
            lambda tx, one=one: issuing.draft(tx, account=one, stretch=[period[0].period], now=NOVEMBER)
        ).total_minor
        for one in tree
    ]
    assert drafts == [1_000, 1_000, 10_000]
    assert period[0].total_minor == sum(drafts)


def test_two_issuers_at_once_issue_one_invoice(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, *_ = tree

    def issue(_: int) -> IssueOutcome:
        return ground.issue(main)

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(issue, range(4)))
    assert sorted(type(one).__name__ for one in outcomes) == ["Issued", "Unchanged", "Unchanged", "Unchanged"]
    assert ground.read("select count(*) from invoicing.invoices") == [(1,)]


def test_no_day_of_an_account_is_on_two_invoices_that_stand(
    ground: Ground, tree: tuple[Account, Account, Account], as_owner: Callable[[str], None]
) -> None:
    invoice = ground.issued(tree[0])
    with pytest.raises(psycopg.errors.ExclusionViolation, match="sections_once"):
        as_owner(
            "insert into invoicing.sections (invoice, account, owner_org, section, period) "
            f"select gen_random_uuid(), account, owner_org, 9, period from invoicing.sections "
            f"where invoice = '{invoice.uid}' limit 1"
        )
    with pytest.raises(psycopg.errors.RestrictViolation, match="written once"):
        as_owner(f"update invoicing.sections set section = 9 where invoice = '{invoice.uid}'")
    with pytest.raises(psycopg.errors.RestrictViolation, match="written once"):
        as_owner(
            "insert into invoicing.sections (invoice, account, owner_org, section, period) "
            f"select invoice, account + 100, owner_org, 9, period from invoicing.sections "
            f"where invoice = '{invoice.uid}' limit 1"
        )


def test_a_sub_account_is_archived_once_its_days_are_on_an_invoice_and_the_payer_after_it(
    ground: Ground, tree: tuple[Account, Account, Account]
) -> None:
    main, team, squad = tree

    def close(account: Account) -> Issued | Unchanged | Skipped:
        return ground.write(
            lambda work: closing.issue_final(work, office=ground.office, number=account.number), now=CLOSING
        )

    ground.issued(main)
    assert close(squad) == Skipped("everything is on invoices of main")
    with pytest.raises(
        UnableToIssue, match='sub-accounts "team", "squad" are invoiced with it; archive them'
    ):
        close(main)
    ground.act("billingaccounts", "squad", "archive", now=CLOSING)
    with pytest.raises(Conflict, match="its final invoice has not been issued"):
        ground.act("billingaccounts", "team", "archive", now=CLOSING)
    close(team)
    ground.act("billingaccounts", "team", "archive", now=CLOSING)
    # late usage of what is archived is charged to who was invoiced for it
    spend_late(ground, squad, "2026-10-06", 7)
    found = ground.write(
        lambda work: issuing.adjust_account(work, office=ground.office, number=squad.number), now=DECEMBER
    )
    assert found.invoice is not None
    assert (found.invoice.account, charged(ground, found.invoice)) == (
        main.number,
        [("squad", "Adjustment", 700)],
    )
    final = close(ground.account("main"))
    assert isinstance(final, Skipped)
    assert_books_right(ground)
