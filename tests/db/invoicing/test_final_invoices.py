"""The last invoice of an account: up to the day of closing, once nothing of it runs any more."""

from datetime import UTC, datetime

import pytest

from milo_billing.accounts.types import Account
from milo_billing.invoicing.operations import closing
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Invoice, Issued, IssueOutcome, Skipped, Unchanged
from milo_billing.kernel.errors import Conflict
from tests.db.invoicing.ground import ACME, Ground
from tests.db.invoicing.late_ground import amounts, charged_minor, spend_late
from tests.db.invoicing.paying import pay
from tests.db.invoicing.recurring_ground import change, issued, open_shop, take

CLOSING = datetime(2026, 11, 12, 15, tzinfo=UTC)


def close(ground: Ground, account: Account, *, now: datetime = CLOSING) -> IssueOutcome:
    return ground.write(
        lambda work: closing.issue_final(work, office=ground.office, number=account.number),
        now=now,
        reach=frozenset({account.owner_org}),
    )


def closed(ground: Ground, account: Account, *, now: datetime = CLOSING) -> Invoice:
    outcome = close(ground, account, now=now)
    assert isinstance(outcome, Issued), outcome
    return outcome.invoice


def test_the_final_invoice_has_what_no_other_covers_up_to_the_day_of_closing(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)
    ground.spend(account, "2026-11-05", 30)
    spend_late(ground, account, "2026-10-30", 20)
    final = closed(ground, account)
    assert (final.kind, final.total_minor) == ("Final", 5_000)
    assert (final.period.start, final.period.end) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 12, tzinfo=UTC),
    )
    assert amounts(ground, final) == [("Usage", "tokens", 3_000), ("Adjustment", "tokens", 2_000)]
    again = close(ground, account)
    assert isinstance(again, Unchanged)
    assert again.invoice == final
    # nobody is billed twice for its days, and what comes late of them is charged as ever
    december = datetime(2026, 12, 2, tzinfo=UTC)
    assert isinstance(ground.issue(account, month=11, now=december), Skipped)
    spend_late(ground, account, "2026-11-06", 5)
    january = ground.issued(account, month=12, now=datetime(2027, 1, 2, tzinfo=UTC))
    assert (january.kind, amounts(ground, january)) == ("Adjustment", [("Adjustment", "tokens", 500)])


def test_an_account_that_was_invoiced_is_archived_only_after_its_final_invoice_and_all_is_paid(
    ground: Ground,
) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    invoice = ground.issued(account)
    with pytest.raises(Conflict, match="its final invoice has not been issued"):
        ground.act("billingaccounts", "main", "archive", now=CLOSING)
    close(ground, account)
    with pytest.raises(
        Conflict, match=r"cannot be archived yet: it owes 100\.00 USD for issued invoices; collect"
    ):
        ground.act("billingaccounts", "main", "archive", now=CLOSING)
    pay(ground, invoice, 10_000, "all", now=CLOSING)
    ground.act("billingaccounts", "main", "archive", now=CLOSING)


def test_a_commitment_is_settled_as_it_was_terminated(ground: Ground) -> None:
    account = ground.declare_account()
    ground.promise(minimumSpends=[{"amount": "300", "currencyCode": "USD", "interval": "Monthly"}])
    ground.spend(account, "2026-10-05", 300)
    ground.issued(account)
    ground.spend(account, "2026-11-05", 30)
    with pytest.raises(UnableToIssue, match='commitments "yearly" have not ended: terminate them'):
        close(ground, account)
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "commitments")
    ground.write(
        lambda work: ground.engine.act(
            work, kind, namespace=ACME, name="yearly", action="terminate", request={"reason": "closing"}
        ),
        now=datetime(2026, 11, 10, 9, tzinfo=UTC),
    )
    final = closed(ground, account)
    shares = [(kind, minor) for kind, _, minor in amounts(ground, final)]
    assert [kind for kind, _ in shares] == ["Usage", "Shortfall"]
    # the minimum of the days up to the termination, less what was spent
    assert 0 < shares[1][1] < 30_000 - 3_000


def test_what_was_charged_in_advance_comes_back_with_it_and_nothing_may_still_fall_due(
    ground: Ground,
) -> None:
    shop = open_shop(ground)
    account = shop.declare_account()
    take(shop, "support", "2026-09-01")
    issued(shop, account, 9)
    assert isinstance(shop.issue(account, month=10, now=datetime(2026, 11, 1, 6, tzinfo=UTC)), Skipped)
    with pytest.raises(UnableToIssue, match="something still falls due: support from 2027-01-01 on"):
        close(shop, account, now=datetime(2026, 12, 12, tzinfo=UTC))
    change(shop, "support", "2026-11-10", endsAt="2026-11-10")
    final = closed(shop, account)
    assert (final.kind, final.total_minor) == ("Final", 0)
    assert charged_minor(shop, account) == 36_500 * 70 // 365


def test_an_account_that_was_invoiced_for_everything_needs_none(ground: Ground) -> None:
    account = ground.declare_account()
    ground.spend(account, "2026-10-05", 100)
    ground.issued(account)
    assert isinstance(close(ground, account, now=datetime(2026, 11, 1, 15, tzinfo=UTC)), Skipped)
    assert isinstance(close(ground, account), Skipped)
