"""A provider pays out: what lay there is in the bank, less what it kept, whoever tells of it first and how often."""

import hashlib
from datetime import date, timedelta

import pytest

from milo_billing.adapters.bank_files import read_statements
from milo_billing.cli import payouts as commands
from milo_billing.cli.target import Target
from milo_billing.controlplane.doors import Door
from milo_billing.controlplane.edge import build_application
from milo_billing.infra.database import EVERYWHERE
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.ledger.types import UNAPPLIED_CASH, cash, clearing, payment_fees
from milo_billing.payments.engine import ages, payout_rows
from milo_billing.payments.engine.bank_importing import Imported, import_statement
from milo_billing.payments.engine.payout_rows import PayoutRow
from milo_billing.payments.operations import paying_out, refunding
from milo_billing.payments.operations.paying_out import UnableToAccept
from milo_billing.payments.routes.payouts import routes
from milo_billing.payments.types import Payout, PayoutItem
from tests.bank_files import Told, camt053
from tests.db.invoicing.ground import ACME
from tests.db.payments.ground import Till
from tests.hostile_provider import money
from tests.serving import serving

CLEARING, BANK, FEES = clearing("stripe"), cash("3000"), payment_fees("stripe")
ARRIVES = date(2026, 12, 2)
IBAN = "DE00000000000000003000"


def paid(till: Till, dollars: int = 25, *, account: str = "main") -> Invoice:
    invoice = till.owing(dollars, account=account)
    till.collect()
    till.ask_all()
    return invoice


def told(till: Till) -> list[PayoutRow]:
    """Every webhook arrives, some twice, in any order, and the jobs run; the payouts then, the first one first."""
    till.deliver(till.provider.delivered())
    return stands(till)


def stands(till: Till) -> list[PayoutRow]:
    return sorted(
        till.ground.reading(lambda tx: payout_rows.list_payouts(tx, limit=9)), key=lambda one: one.reference
    )


def fetch(till: Till) -> None:
    """The hourly job, and the jobs that it defers."""
    till.cashier.fetch_payouts()
    for reference in till.provider.payouts:
        till.cashier.note_payout(class_uid=till.class_uid, reference=reference)


def bank_says(till: Till, payout: Payout, *, minor: int | None = None, text: str | None = None) -> Imported:
    entry = Told(
        payout.amount.minor if minor is None else minor,
        text=payout.trace if text is None else text,
        bank_reference="B1",
    )
    content = camt053(entry, currency="USD", account=IBAN, on=ARRIVES)
    (statement,) = read_statements(content)
    digest = hashlib.sha256(content).digest()
    return till.work(
        lambda work: import_statement(work, till.ground.office, statement, digest=digest, ordinal=1)
    )


def test_a_payout_empties_the_clearing_account_and_fees_are_an_expense(till: Till) -> None:
    paid(till)
    paid(till, 40, account="other")
    till.provider.pay_out(arrives_on=ARRIVES)
    for _ in range(2):
        (row,) = told(till)
        assert (row.state, row.amount, row.bank_account, row.entity) == (
            "Booked",
            money(6440),
            "3000",
            "kestrel",
        )
        assert (till.balance(CLEARING), till.balance(BANK), till.balance(FEES)) == (0, 6440, 60)


def test_refunds_and_disputes_are_taken_out_of_it_with_the_fee_of_a_dispute(till: Till) -> None:
    paid(till)
    paid(till, 40, account="other")
    (first, second) = till.payments()
    till.work(
        lambda work: refunding.open_refund(
            work, till.desk, namespace=ACME, name=first.name, minor=500, reason="agreed", reopen=True
        )
    )
    till.give_back_all()
    till.provider.dispute(second.reference, "Open")
    till.provider.pay_out(arrives_on=ARRIVES)
    told(till)
    assert (till.balance(CLEARING), till.balance(BANK), till.balance(FEES)) == (0, 2000 - 75, 75)


def test_a_later_payout_may_be_nothing_but_a_dispute(till: Till) -> None:
    paid(till)
    till.provider.pay_out(arrives_on=ARRIVES)
    till.provider.dispute("pay_1", "Lost")
    till.provider.pay_out(arrives_on=ARRIVES)
    told(till)
    assert (till.balance(CLEARING), till.balance(BANK), till.balance(FEES)) == (0, -45, 45)


def test_a_payout_without_a_webhook_is_fetched(till: Till) -> None:
    paid(till)
    till.deliver(till.provider.delivered())
    till.provider.pay_out(arrives_on=ARRIVES)
    assert till.cashier.fetch_payouts() == 1
    fetch(till)
    assert [one.state for one in stands(till)] == ["Booked"]
    assert till.cashier.fetch_payouts() == 0


def test_a_payout_on_its_way_waits_for_the_provider(till: Till) -> None:
    paid(till)
    payout = till.provider.pay_out(arrives_on=ARRIVES, state="Pending")
    assert [one.state for one in told(till)] == ["Noted"]
    assert till.balance(CLEARING) == 2500
    till.provider.turn(payout.reference, "Paid")
    assert [one.state for one in told(till)] == ["Booked"]
    assert till.balance(CLEARING) == 0


@pytest.mark.parametrize("order", ["bank first", "provider first", "on its way"])
def test_the_bank_and_the_provider_tell_of_it_in_any_order(till: Till, order: str) -> None:
    paid(till)
    payout = till.provider.pay_out(arrives_on=ARRIVES, state="Pending" if order == "on its way" else "Paid")
    if order != "bank first":
        told(till)
    counts = bank_says(till, payout).counts
    assert counts == ({"Waiting": 1} if order == "bank first" else {"Payout": 1})
    told(till)
    fetch(till)
    (row,) = stands(till)
    assert (row.state, row.entry is not None) == ("Booked", True)
    assert till.ground.read("select state from payments.statement_entries") == [("Payout",)]
    assert (till.balance(CLEARING), till.balance(BANK)) == (0, 2470)


def test_another_amount_at_the_bank_waits_for_a_person(till: Till) -> None:
    paid(till)
    payout = till.provider.pay_out(arrives_on=ARRIVES)
    told(till)
    assert bank_says(till, payout, minor=2400, text=payout.reference).counts == {"Waiting": 1}
    ((reason, detail),) = till.ground.read("select reason, detail from payments.statement_entries")
    assert (reason, detail) == ("PayoutDiffers", "payout po_1 is 24.70 USD, to account …3000")


def test_how_long_payouts_wait_for_a_person_is_measured(till: Till) -> None:
    foreign = PayoutItem("txn_shop", "Payment", "pay_of_the_shop", money(900), money(10))
    till.provider.pay_out(arrives_on=ARRIVES, more=(foreign,))
    told(till)

    def measured() -> tuple[float, int]:
        with till.ground.databases.app.transaction(reach=EVERYWHERE) as tx:
            found = ages.measure_ages(tx, now=till.clock.now() + timedelta(hours=30))
        return found.payouts_s, found.payouts

    assert measured() == (30 * 3600, 1)
    till.work(lambda work: paying_out.accept(work, class_uid=till.class_uid, reference="po_1"))
    told(till)
    till.cashier.note_payout(class_uid=till.class_uid, reference="po_1")
    assert measured() == (0, 0)


def test_what_does_not_add_up_or_is_not_known_waits_until_somebody_accepts_it(till: Till) -> None:
    paid(till)
    foreign = PayoutItem("txn_shop", "Payment", "pay_of_the_shop", money(900), money(10))
    till.provider.pay_out(arrives_on=ARRIVES, more=(foreign,), short_minor=3)
    (row,) = told(till)
    assert (row.state, row.reason) == ("Waiting", "DoesNotAddUp")
    assert (till.balance(CLEARING), till.balance(BANK)) == (2500, 0)
    till.work(lambda work: paying_out.accept(work, class_uid=till.class_uid, reference="po_1"))
    fetch(till)
    assert [one.state for one in stands(till)] == ["Booked"]
    assert (till.balance(CLEARING), till.balance(UNAPPLIED_CASH), till.balance(FEES)) == (0, -897, 40)
    with pytest.raises(UnableToAccept, match="po_1 is Booked"):
        till.work(lambda work: paying_out.accept(work, class_uid=till.class_uid, reference="po_1"))


def test_a_payout_before_its_payment_is_known_waits_for_it(till: Till) -> None:
    till.owing(25)
    till.collect()
    till.provider.lost_after = 1.0
    with pytest.raises(Exception, match="before the answer came"):
        till.ask_all()
    till.provider.lost_after = 0.0
    till.provider.pay_out(arrives_on=ARRIVES)
    till.cashier.note_payout(class_uid=till.class_uid, reference="po_1")
    assert [one.reason for one in stands(till)] == ["UnknownItems"]
    till.ask_all()
    fetch(till)
    assert [one.state for one in stands(till)] == ["Booked"]
    assert till.balance(CLEARING) == 0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_payout_that_comes_back_lies_at_the_provider_again(till: Till, noticed: bool) -> None:
    paid(till)
    first = till.provider.pay_out(arrives_on=ARRIVES)
    if noticed:
        told(till)
    till.provider.turn(first.reference, "Failed")
    told(till)
    assert (till.balance(CLEARING), till.balance(BANK), till.balance(FEES)) == (2470, 0, 30)
    back = PayoutItem("txn_back", "Payout", first.reference, first.amount, money(0))
    till.provider.pay_out(arrives_on=ARRIVES, more=(back,))
    assert [one.state for one in told(till)] == ["Failed", "Booked"]
    assert (till.balance(CLEARING), till.balance(BANK)) == (0, 2470)


def test_fees_alone_are_paid_by_nobody(till: Till) -> None:
    fee = PayoutItem("txn_fee", "Fee", "", money(0), money(200))
    till.provider.pay_out(arrives_on=ARRIVES, more=(fee,))
    told(till)
    assert (till.balance(BANK), till.balance(FEES)) == (-200, 200)


def test_payouts_are_listed_and_accepted_over_http_and_by_commands(
    till: Till, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = PayoutItem("txn_shop", "Payment", "pay_of_the_shop", money(900), money(10))
    till.provider.pay_out(arrives_on=ARRIVES, more=(foreign,))
    told(till)
    door = Door(till.ground.databases.app, till.ground.engine.authorizer, till.clock)
    with serving(build_application(routes(door, till.ground.engine))) as url:
        target = Target(server=url, token="ann")
        commands.list_(target=target)
        assert capsys.readouterr().out.splitlines()[1].split()[:8] == [
            *("cards", "po_1", "8.90", "USD", "2026-12-02", "3000", "Waiting", "UnknownItems:"),
        ]
        commands.accept("po_1", class_="cards", target=target)
        assert capsys.readouterr().out == "po_1 is booked as it is: 8.90 USD\n"
        commands.fetch(target=target)
        assert "providers are asked" in capsys.readouterr().out
    fetch(till)
    assert [one.state for one in stands(till)] == ["Booked"]
    assert (till.balance(UNAPPLIED_CASH), till.balance(FEES)) == (-900, 10)
