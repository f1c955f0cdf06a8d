"""Accounts that have changed who is invoiced for them: whose locks are taken, who is charged for what came late."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from milo_billing.controlplane.engine import Preconditions
from milo_billing.controlplane.work import Work
from milo_billing.infra import advisory_locks
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.operations import closing, issuing
from milo_billing.invoicing.rules.adjusting import Adjusted
from milo_billing.invoicing.store import invoice_rows
from milo_billing.invoicing.types.errors import UnableToIssue
from milo_billing.invoicing.types.invoices import Issued, IssueOutcome, Skipped
from tests.db.invoicing.ground import ACME, NOVEMBER, Ground
from tests.db.invoicing.late_ground import DECEMBER, adjust, spend_late
from tests.db.invoicing.test_consolidated import assert_books_right, below, booked, change, changed, charged
from tests.patience import PATIENCE_S, until


def move(ground: Ground, name: str, parent: str) -> None:
    change(ground, name, parentRef={"namespace": ACME, "name": parent})


def grant(ground: Ground, name: str, account: str, amount: str) -> None:
    spec = {
        "billingAccountRef": {"name": account},
        "kind": "Prepaid",
        "amount": amount,
        "currencyCode": "USD",
    }
    wanted = {**spec, "reason": "paid", "receivedInto": "bank"}
    ground.declare("creditgrants", name, wanted, namespace=ACME)


def swapped(ground: Ground) -> None:
    """Two payers that took each other's sub-account, of each of which something came late."""
    for payer, sub in (("one", "x"), ("two", "y")):
        ground.declare_account(payer)
        ground.spend(below(ground, payer, sub), "2026-10-05", 10)
        ground.issued(ground.account(payer))
    for payer, sub in (("two", "x"), ("one", "y")):
        move(ground, sub, payer)
        grant(ground, f"money-{payer}", payer, "100")
        spend_late(ground, ground.account(sub), "2026-10-06", 3)
        ground.spend(ground.account(sub), "2026-11-05", 8)


def locks(ground: Ground, *, granted: bool, of: int = advisory_locks.INVOICED_ACCOUNTS) -> list[int]:
    """Numbers of the accounts that somebody has locked for issuing, or waits for."""
    rows = ground.read(
        "select objid::bigint::int from pg_locks where locktype = 'advisory' and classid = %s and granted = %s "
        "and database = (select oid from pg_database where datname = current_database()) order by 1",
        of,
        granted,
    )
    return [number for (number,) in rows]


def test_two_payers_that_took_accounts_of_each_other_wait_for_one_another_in_one_order(
    ground: Ground,
) -> None:
    """Each charges the other what came late, with the other's credit: crossing, both would wait for ever."""
    swapped(ground)
    one, two = ground.account("one"), ground.account("two")
    with ThreadPoolExecutor(2) as threads:
        with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            invoice_rows.lock_account(tx, account=one.number)
            issuing_ = [threads.submit(ground.issue, payer, month=11, now=DECEMBER) for payer in (one, two)]
            until(lambda: locks(ground, granted=False) == [one.number] * 2)
            # both wait for the first of all accounts that they will touch, and have locked no other
            assert locks(ground, granted=True) == [one.number]
        assert all(isinstance(each.result(PATIENCE_S), Issued) for each in issuing_)
    rows = ground.read(
        "select account, kind, total_minor, amount_paid_minor from invoicing.invoices where sequence > 2 "
        "order by account, kind"
    )
    assert rows == [
        (one.number, "Adjustment", 300, 300),
        (one.number, "Consolidated", 800, 800),
        (two.number, "Adjustment", 300, 300),
        (two.number, "Consolidated", 800, 800),
    ]
    assert_books_right(ground)


def test_who_adjusts_an_invoice_holds_its_payer_too(ground: Ground) -> None:
    """The invoice may have no section of the payer itself."""
    main = ground.declare_account()
    ground.issue(main)
    sub = below(ground, "main", "sub")
    ground.spend(sub, "2026-10-05", 10)
    invoice = ground.issued(ground.account("main"))
    spend_late(ground, sub, "2026-10-06", 3)
    with ThreadPoolExecutor(1) as threads:
        with ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            invoice_rows.lock_account(tx, account=main.number)
            adjusting = threads.submit(adjust, ground, invoice)
            until(lambda: locks(ground, granted=False) == [main.number])
        assert adjusting.result(PATIENCE_S).invoice is not None


# ---------------------------------------------------------------------------- what an account is when it is invoiced


def test_who_is_invoiced_is_as_it_stands_and_not_as_the_caller_read_it(ground: Ground) -> None:
    main, team = ground.declare_account(), ground.declare_account("team")
    for account in (main, team):
        ground.spend(account, "2026-10-05", 10)
    change(ground, "team", billingMode="Parent", parentRef={"namespace": ACME, "name": "main"})
    assert ground.issue(team) == Skipped("invoiced with main", invoiced_with=main.number)
    invoice = ground.issued(main)
    assert (invoice.kind, invoice.total_minor) == ("Consolidated", 2_000)


def test_an_account_that_gets_a_payer_while_its_step_waits_is_not_invoiced_itself(ground: Ground) -> None:
    main, lead = ground.declare_account(), ground.declare_account("lead")
    squad = below(ground, "lead", "squad")
    for account in (main, lead, squad):
        ground.spend(account, "2026-10-05", 10)
    with ThreadPoolExecutor(1) as threads:

        def change_meanwhile(work: Work) -> Future[IssueOutcome]:
            changed(ground, work, "lead", billingMode="Parent", parentRef={"namespace": ACME, "name": "main"})
            waiting = threads.submit(ground.issue, lead)
            until(lambda: bool(locks(ground, granted=False, of=advisory_locks.TREES)))
            return waiting

        waiting = ground.write(change_meanwhile, now=NOVEMBER)
        assert waiting.result(PATIENCE_S) == Skipped("invoiced with main", invoiced_with=main.number)
    assert ground.issued(main).total_minor == 3_000
    assert_books_right(ground)


def test_a_final_invoice_is_of_the_account_as_it_stands(ground: Ground) -> None:
    ground.declare_account()
    team = ground.declare_account("team")
    change(ground, "team", billingMode="Parent", parentRef={"namespace": ACME, "name": "main"})
    ended = ground.write(
        lambda work: closing.issue_final(work, office=ground.office, number=team.number), now=NOVEMBER
    )
    assert ended == Skipped("everything is on invoices of main")


def delete(ground: Ground, name: str) -> None:
    kind = next(kind for kind in ground.engine.registry.kinds if kind.plural == "billingaccounts")
    ground.write(
        lambda work: ground.engine.delete(
            work, kind, namespace=ACME, name=name, preconditions=Preconditions()
        ),
        now=NOVEMBER,
    )


def test_of_days_of_a_payer_that_was_deleted_the_present_one_is_charged(ground: Ground) -> None:
    """A receivable finds somebody, and nobody's month waits for one who is gone."""
    main = ground.declare_account()
    ground.declare_account("gone")
    team = below(ground, "gone", "team")
    ground.spend(team, "2026-10-05", 10)
    before = ground.issued(ground.account("gone"))
    move(ground, "team", "main")
    delete(ground, "gone")
    spend_late(ground, team, "2026-10-06", 3)
    ground.spend(team, "2026-11-05", 8)
    with pytest.raises(
        UnableToIssue, match="sub-account that is invoiced with another account now"
    ) as refused:
        adjust(ground, before)
    assert "usage void" in str(refused.value)
    invoice = ground.issued(ground.account("main"), month=11, now=DECEMBER)
    assert (invoice.account, charged(ground, invoice)) == (
        main.number,
        [("team", "Usage", 800), ("team", "Adjustment", 300)],
    )
    assert booked(ground, team) == 1_000 + 300 + 800
    assert_books_right(ground)


def test_usage_that_went_away_comes_off_the_invoice_of_a_payer_that_was_deleted(ground: Ground) -> None:
    ground.declare_account()
    ground.declare_account("gone")
    team = below(ground, "gone", "team")
    ground.spend(team, "2026-10-05", 10)
    ground.issued(ground.account("gone"))
    move(ground, "team", "main")
    delete(ground, "gone")
    spend_late(ground, team, "2026-10-05", -4)
    assert isinstance(ground.issue(ground.account("main"), month=11, now=DECEMBER), Skipped)
    assert booked(ground, team) == 600
    assert_books_right(ground)


def test_an_account_that_ends_below_another_payer_is_charged_there(ground: Ground) -> None:
    ground.declare_account()
    ground.declare_account("gone")
    team = below(ground, "gone", "team")
    ground.spend(team, "2026-10-05", 10)
    ground.issued(ground.account("gone"))
    move(ground, "team", "main")
    delete(ground, "gone")
    ground.write(lambda work: closing.issue_final(work, office=ground.office, number=team.number))
    spend_late(ground, team, "2026-10-06", 3)

    def adjusted() -> Adjusted:
        return ground.write(
            lambda work: issuing.adjust_account(work, office=ground.office, number=team.number),
            now=DECEMBER,
        )

    found = adjusted()
    assert found.invoice is not None
    assert (found.invoice.account_name, found.invoice.total_minor) == ("main", 300)
    assert adjusted() == Adjusted(None, ())
