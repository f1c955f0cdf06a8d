"""A transfer comes back of which a part was kept and is used since; and one that is decided in a race."""

import threading
import time
from datetime import timedelta

from milo_billing.controlplane.work import Work
from milo_billing.invoicing.operations import life
from milo_billing.invoicing.reads import invoices as invoice_reads
from milo_billing.invoicing.types.invoices import Invoice
from milo_billing.kernel.money import Money
from milo_billing.ledger.types import (
    EARLY_PAYMENT_DISCOUNT,
    MONEY_ON_ACCOUNT,
    RECEIVABLE,
    UNAPPLIED_CASH,
    cash,
)
from milo_billing.payments.engine.bank_importing import Imported
from milo_billing.payments.engine.bank_worklist import assign
from milo_billing.payments.operations import receiving
from tests.bank_files import Told, camt053
from tests.db.bank.bank_ground import NOW, BankGround
from tests.db.invoicing.ground import ACME
from tests.db.invoicing.paying import pay

BANK = cash("6199")
WAIT_S_MAX = 20.0
WAITING = (
    # pg_stat_activity hides from its role what others wait for
    "select count(*) from pg_locks where not granted "
    "and pid in (select pid from pg_stat_activity where datname = current_database())"
)


def use_balance(bank: BankGround, invoice: Invoice, *, hours: int = 0) -> None:
    """Pay the invoice with what the account has, as collectors do."""

    def use(work: Work) -> None:
        found = life.lock_invoice(work, engine=bank.ground.engine, invoice=invoice.uid)
        receiving.use_balance(work, bank.ground.engine, invoice=found)

    bank.ground.write(use, now=NOW + timedelta(hours=hours))


def settlements(bank: BankGround, invoice: Invoice) -> list[tuple[str, int]]:
    found = bank.ground.reading(lambda tx: invoice_reads.list_settlements(tx, invoice=invoice.uid, limit=100))
    return [(one.kind, one.amount_minor) for one in found]


def test_what_a_returned_over_payment_has_paid_since_is_owed_again(bank: BankGround) -> None:
    _, (first, older) = bank.customer("main", 15, 25)
    told = Told(3700, text=first.number, end_to_end="E1", bank_reference="B1")
    bank.receive(camt053(told))
    use_balance(bank, older)
    assert (bank.stands(older), bank.balance(MONEY_ON_ACCOUNT).minor) == (("PartiallyPaid", 300), 0)
    returned = Told(-3700, end_to_end="E1", reason="AC04", bank_reference="R1")
    (one,) = bank.receive(camt053(returned, opening=3700, statement="S-2"))
    assert one.counts == {"Returned": 1}
    assert (bank.stands(first), bank.stands(older)) == (("Issued", 2500), ("Issued", 1500))
    assert settlements(bank, older) == [("Credit", 1200), ("PaymentReversal", -1200)]
    assert [bank.balance(name).minor for name in (BANK, MONEY_ON_ACCOUNT, UNAPPLIED_CASH)] == [0, 0, 0]
    assert bank.balance(RECEIVABLE).minor == 4000


def test_what_is_still_on_account_goes_back_first_and_the_newest_use_after_it(bank: BankGround) -> None:
    _, (first, middle, newest) = bank.customer("main", 10, 20, 25)
    for number in (1, 2):
        text = first.number if number == 1 else f"{first.number} again"
        told = Told(
            2500 if number == 1 else 2400, text=text, end_to_end=f"E{number}", bank_reference=f"B{number}"
        )
        bank.receive(camt053(told, opening=0 if number == 1 else 2500, statement=f"S-{number}"))
    use_balance(bank, middle)
    use_balance(bank, newest, hours=1)
    pay(bank.ground, newest, 600, "by other means", now=NOW)
    assert [bank.stands(one) for one in (middle, newest)] == [("Paid", 0)] * 2
    extra = Told(100, text=first.number, end_to_end="E3", bank_reference="B3")
    bank.receive(camt053(extra, opening=4900, statement="S-3"))
    returned = Told(-2400, end_to_end="E2", reason="AC04", bank_reference="R1")
    bank.receive(camt053(returned, opening=5000, statement="S-4"))
    assert (bank.balance(MONEY_ON_ACCOUNT).minor, bank.balance(UNAPPLIED_CASH).minor) == (0, 0)
    assert settlements(bank, newest)[-1] == ("PaymentReversal", -400)
    assert settlements(bank, middle)[-1] == ("PaymentReversal", -1900)
    assert bank.balance(RECEIVABLE).minor == 2300


def test_a_transfer_is_decided_by_what_its_invoice_can_take_when_it_is_booked(bank: BankGround) -> None:
    """Somebody else pays while the statement is brought in: what is over is on account, and nothing is refused."""
    _, (invoice,) = bank.customer("main", 25)
    done: list[list[Imported]] = []
    told = Told(2500, text=invoice.number, bank_reference="B1")
    importer = threading.Thread(target=lambda: done.append(bank.receive(camt053(told))))

    def paid_meanwhile(work: Work) -> None:
        life.lock_invoice(work, engine=bank.ground.engine, invoice=invoice.uid)
        importer.start()
        until = time.monotonic() + WAIT_S_MAX
        while bank.ground.read(WAITING) == [(0,)] and time.monotonic() < until:
            time.sleep(0.01)
        receiving.receive(
            work,
            bank.ground.engine,
            invoice=invoice.uid,
            amount=Money(1000, "EUR"),
            into=cash("3000"),
            key="card",
            reference="card",
        )

    bank.ground.write(paid_meanwhile, now=NOW)
    importer.join(timeout=WAIT_S_MAX)
    ((one,),) = done
    assert one.counts == {"Applied": 1}
    assert bank.stands(invoice) == ("Paid", 0)
    assert bank.balance(MONEY_ON_ACCOUNT).minor == -1000


def test_a_transfer_comes_back_whose_invoice_was_opened_again_by_a_refund(bank: BankGround) -> None:
    """Another transfer paid it too, which was kept; its refund opened the invoice again: what was kept goes."""
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(2500, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    keep(bank, 1000)
    pay(bank.ground, invoice, 1000, "refund", kind="PaymentReversal", now=NOW)
    assert (bank.stands(invoice), bank.balance(UNAPPLIED_CASH).minor) == (("PartiallyPaid", 1000), -1000)
    returned = Told(-2500, end_to_end="E1", reason="AC04", bank_reference="R1")
    (one,) = bank.receive(camt053(returned, opening=2500, statement="S-2"))
    assert one.counts == {"Returned": 1}
    assert (bank.stands(invoice), bank.balance(UNAPPLIED_CASH).minor) == (("Issued", 2500), 0)
    assert bank.balance(RECEIVABLE).minor == 2500


def test_what_a_transfer_paid_twice_over_an_invoice_is_taken_back_once(bank: BankGround) -> None:
    """It paid the invoice and, by way of money on account, what a refund had opened of it again."""
    _, (invoice,) = bank.customer("main", 25)
    bank.receive(camt053(Told(3700, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    pay(bank.ground, invoice, 1200, "refund", kind="PaymentReversal", now=NOW)
    use_balance(bank, invoice)
    assert (bank.stands(invoice), bank.balance(MONEY_ON_ACCOUNT).minor) == (("Paid", 0), 0)
    returned = Told(-3700, end_to_end="E1", reason="AC04", bank_reference="R1")
    bank.receive(camt053(returned, opening=3700, statement="S-2"))
    assert bank.stands(invoice) == ("Issued", 2500)
    assert bank.balance(UNAPPLIED_CASH).minor == 1200, (
        "the refund was paid out of what did not come after all"
    )


def keep(bank: BankGround, minor: int) -> None:
    """More money of the account, which is kept unapplied."""
    bank.receive(camt053(Told(minor, text="again", bank_reference="K1"), opening=2500, statement="S-9"))
    ((entry,),) = bank.ground.read("select uid from payments.statement_entries where state = 'Waiting'")
    bank.ground.write(
        lambda work: assign(work, bank.ground.office, uid=entry, chosen=(), account=(ACME, "main")), now=NOW
    )


def test_a_returned_transfer_takes_its_discount_with_it(bank: BankGround) -> None:
    terms = {"earlyPaymentDiscountPercent": "2", "earlyPaymentDiscountDays": 20}
    _, (invoice,) = bank.customer("main", 25, paymentTerms=terms)
    bank.receive(camt053(Told(2450, text=invoice.number, end_to_end="E1", bank_reference="B1")))
    returned = Told(-2450, end_to_end="E1", reason="AC04", bank_reference="R1")
    (one,) = bank.receive(camt053(returned, opening=2450, statement="S-2"))
    assert one.counts == {"Returned": 1}
    assert settlements(bank, invoice) == [
        ("Payment", 2450),
        ("EarlyPaymentDiscount", 50),
        ("PaymentReversal", -2450),
        ("DiscountReversal", -50),
    ]
    assert bank.stands(invoice) == ("Issued", 2500)
    assert (bank.balance(EARLY_PAYMENT_DISCOUNT).minor, bank.balance(RECEIVABLE).minor) == (0, 2500)
    bank.receive(camt053(Told(2450, text=invoice.number, bank_reference="B2"), statement="S-3"))
    assert (bank.stands(invoice), bank.balance(RECEIVABLE).minor) == (("Paid", 0), 0)
